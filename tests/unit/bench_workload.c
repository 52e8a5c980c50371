/* Every workload against an engine in this process: a right answer is accepted, and any changed
 * answer is found wrong. */
#include "bench/workload_kind.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/test.h"

enum { REQUESTS = 20000, IN_FLIGHT = 64, TAMPERED_BYTE = 8 };

static const char *const names[] = {"hot", "zipf", "cart", "stampede", "lifecycle", "read"};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

struct fixture {
    struct engine *engine;
    struct workload workload;
    struct workload_share share;
    struct random random;
    uint64_t now_us;
    uint64_t reply[2 * FRAME_SIZE_MAX / 8];
};

/* Decides one request; the reply is framed as a server does it. */
static const struct frame *decide(struct fixture *fixture, unsigned number, const void *body,
                                  uint32_t size)
{
    struct reply_sink sink = {.cursor = (void *)fixture->reply, .gap = sizeof(struct frame)};
    struct command command = {
        .body = body, .sink = &sink, .size = size, .number = (uint16_t)number};
    engine_decide(fixture->engine, fixture->now_us += 50, &command, 1);
    struct frame *frame = (struct frame *)command.reply - 1;
    *frame = (struct frame){.size = (uint32_t)sizeof *frame + command.reply_size,
                            .type = (uint16_t)(number | FRAME_REPLY),
                            .outcome = command.outcome};
    return frame;
}

static bool ask(void *context, unsigned number, const void *body, uint32_t size)
{
    return decide(context, number, body, size)->outcome == OUTCOME_OK;
}

static bool look(void *context, unsigned number, const void *body, uint32_t size, void *reply,
                 uint32_t reply_size)
{
    struct fixture *fixture = context;
    const struct hold_expire_body expire = {.holds = HOLDS_PER_EXPIRE_MAX};
    struct command command = {
        .body = &expire, .size = sizeof expire, .number = MESSAGE_hold_expire};
    if (engine_holds_due(fixture->engine, fixture->now_us) != 0)
        engine_decide(fixture->engine, fixture->now_us, &command, 1);
    const struct frame *frame = decide(fixture, number, body, size);
    if (frame->outcome != OUTCOME_OK || frame->size != sizeof *frame + reply_size)
        return false;
    memcpy(reply, frame + 1, reply_size);
    return true;
}

static struct shop shop_of(struct fixture *fixture)
{
    return (struct shop){.context = fixture, .random = &fixture->random, .ask = ask, .look = look};
}

static struct fixture *fixture_create_with(const char *name, uint32_t skus)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char error[WORKLOAD_ERROR_SIZE];
    const struct workload_options options = {.name = name,
                                             .skus = skus,
                                             .customers = 5000,
                                             .lines = 8,
                                             .shares = 1,
                                             .requests = 10 * REQUESTS};
    struct engine_options capacities = engine_options_default;
    CHECK(fixture != NULL);
    fixture->now_us = 1700000000ULL * US_PER_SECOND;
    fixture->random.state = test_random();
    CHECK(workload_init(&fixture->workload, &options, error));
    workload_capacities(&fixture->workload, REQUESTS, &capacities);
    fixture->engine = engine_create(&capacities, error, sizeof error);
    CHECK(fixture->engine != NULL);
    const struct shop shop = shop_of(fixture);
    CHECK(workload_set_up(&fixture->workload, &shop));
    CHECK(share_init(&fixture->share, &fixture->workload, 0, 1, IN_FLIGHT));
    return fixture;
}

static struct fixture *fixture_create(const char *name)
{
    return fixture_create_with(name, 100);
}

static void fixture_destroy(struct fixture *fixture)
{
    share_deinit(&fixture->share);
    workload_deinit(&fixture->workload);
    engine_destroy(fixture->engine);
    free(fixture);
}

/* Decides one request and checks its answer, after changing one byte of the body if asked to. */
static enum verdict run_one(struct fixture *fixture, bool tamper)
{
    uint64_t request[FRAME_SIZE_MAX / 8];
    struct frame *frame = (void *)request;
    uint64_t token = share_request(&fixture->share, frame);
    const char *reason = "";
    uint32_t size = frame->size - (uint32_t)sizeof *frame;
    CHECK(message_check_request(message_info(frame->type), frame + 1, size, &reason));
    const struct frame *reply = decide(fixture, frame->type, frame + 1, size);
    if (tamper)
        ((uint8_t *)fixture->reply)[sizeof *reply + TAMPERED_BYTE] ^= 1;
    const struct workload_answer answer = {.frame = reply, .token = token};
    return share_answer(&fixture->share, &answer);
}

TEST(workloads_find_the_engine_s_answers_right_and_its_stock_adding_up)
{
    for (uint32_t i = 0; i < NAME_COUNT; i++) {
        struct fixture *fixture = fixture_create(names[i]);
        char error[WORKLOAD_ERROR_SIZE] = "";
        for (uint32_t n = 0; n < REQUESTS; n++)
            CHECK_EQUAL(run_one(fixture, false), VERDICT_RIGHT);
        fixture->now_us += 5 * US_PER_SECOND;
        const struct shop shop = shop_of(fixture);
        CHECK(workload_audit(&fixture->workload, &fixture->share, &shop, error));
        fixture->share.units_reserved++;
        CHECK(!workload_audit(&fixture->workload, &fixture->share, &shop, error));
        CHECK(error[0] != '\0');
        fixture_destroy(fixture);
    }
}

TEST(workloads_sell_the_most_skus_there_may_be)
{
    for (uint32_t i = 0; i < NAME_COUNT; i++) {
        struct fixture *fixture = fixture_create_with(names[i], WORKLOAD_SKUS_MAX);
        const struct workload *workload = &fixture->workload;
        char error[WORKLOAD_ERROR_SIZE] = "";
        for (uint32_t n = 0; n < REQUESTS; n++)
            CHECK_EQUAL(run_one(fixture, false), VERDICT_RIGHT);
        CHECK_EQUAL(sku_draw(workload, UINT64_MAX), workload->sku_count - 1);
        fixture->now_us += 5 * US_PER_SECOND;
        const struct shop shop = shop_of(fixture);
        CHECK(workload_audit(workload, &fixture->share, &shop, error));
        fixture_destroy(fixture);
    }
}

TEST(workloads_find_a_changed_answer_wrong)
{
    for (uint32_t i = 0; i < NAME_COUNT; i++) {
        for (uint32_t right = 0; right < 40; right++) {
            struct fixture *fixture = fixture_create(names[i]);
            for (uint32_t n = 0; n < right; n++)
                CHECK_EQUAL(run_one(fixture, false), VERDICT_RIGHT);
            CHECK_EQUAL(run_one(fixture, true), VERDICT_WRONG);
            fixture_destroy(fixture);
        }
    }
}

TEST(workload_stampede_finds_a_unit_sold_beyond_the_stock)
{
    struct fixture *fixture = fixture_create("stampede");
    char error[WORKLOAD_ERROR_SIZE];
    const struct shop shop = shop_of(fixture);
    for (uint32_t n = 0; n < 2000; n++)
        run_one(fixture, false);
    CHECK_EQUAL(fixture->share.units_reserved, 1000);
    /* One unit too many, sold after other buyers were answered SOLD_OUT. */
    const struct stock_adjust_body more = {
        .key = {.low = 1}, .sku = fixture->workload.sku_first, .delta = 1, .warehouse = 1};
    CHECK(ask(fixture, MESSAGE_stock_adjust, &more, sizeof more));
    CHECK_EQUAL(run_one(fixture, false), VERDICT_RIGHT);
    CHECK_EQUAL(fixture->share.units_reserved, 1001);
    CHECK(!workload_audit(&fixture->workload, &fixture->share, &shop, error));
    fixture_destroy(fixture);
}

TEST(workload_that_does_not_exist_is_refused)
{
    struct workload workload;
    char error[WORKLOAD_ERROR_SIZE] = "";
    const struct workload_options options = {.name = "nothing", .skus = 1};
    CHECK(!workload_init(&workload, &options, error));
    CHECK(strstr(error, "nothing") != NULL);
}
