/* Lots under the rules before schema 3, which swept them when they were touched, and the moment at
 * which they get deadlines. */
#include <string.h>

#include "base/schema.h"
#include "engine/engine.h"
#include "engine/sum.h"
#include "tests/test.h"

enum { ERROR_SIZE = 512, OLDER = 2, CUSTOMER = 7 };

static const uint64_t start_us = 1000000000;

static uint64_t reply[FRAME_SIZE_MAX / 8];

static uint16_t ask(struct engine *engine, uint64_t now_us, uint16_t number, const void *body,
                    size_t size)
{
    struct reply_sink sink = {.cursor = (uint8_t *)reply, .gap = 0};
    struct command command = {
        .body = body, .sink = &sink, .size = (uint32_t)size, .number = number};
    engine_decide(engine, now_us, &command, 1);
    return command.outcome;
}

static uint16_t credit(struct engine *engine, uint64_t now_us, uint64_t key, uint64_t expires_us)
{
    struct points_credit_body body = {
        .key = {.low = key}, .customer = {.low = CUSTOMER}, .points = 10, .expires = expires_us};
    return ask(engine, now_us, MESSAGE_points_credit, &body, sizeof body);
}

static uint16_t expire(struct engine *engine, uint64_t now_us)
{
    struct hold_expire_body body = {.holds = HOLDS_PER_EXPIRE_MAX};
    return ask(engine, now_us, MESSAGE_hold_expire, &body, sizeof body);
}

static unsigned ledger_entries(struct engine *engine)
{
    struct points_page_body body = {.customer = {.low = CUSTOMER}};
    CHECK_EQUAL(ask(engine, 0, MESSAGE_points_ledger, &body, sizeof body), OUTCOME_OK);
    return ((const struct points_ledger_reply_body *)reply)->entry_count;
}

/* An engine that decides a log of an older schema: three lots, one of which has expired, one in
 * years. */
static struct engine *engine_of_older(uint32_t deadlines)
{
    char error[ERROR_SIZE];
    struct engine_options options = {
#define CAPACITY(number, name, default, text) .name = 64,
#include "engine/tables/tables.h"
    };
    options.deadlines = deadlines;
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    CHECK(engine_follow(engine, OLDER, error, sizeof error));
    CHECK_EQUAL(credit(engine, start_us, 1, start_us + US_PER_SECOND), OUTCOME_OK);
    CHECK_EQUAL(credit(engine, start_us, 2, start_us + 5 * US_PER_SECOND), OUTCOME_OK);
    CHECK_EQUAL(credit(engine, start_us, 3, start_us + 900ULL * 86400 * US_PER_SECOND), OUTCOME_OK);
    CHECK_EQUAL(credit(engine, start_us + 2 * US_PER_SECOND, 4, 0), OUTCOME_OK);
    return engine;
}

TEST(lots_have_no_deadlines_by_the_rules_before_schema_3)
{
    char error[ERROR_SIZE];
    struct engine *engine = engine_of_older(64);
    /* The last credit has swept the first lot; nothing sweeps the second one but such a command. */
    CHECK_EQUAL(ledger_entries(engine), 5);
    CHECK_EQUAL(expire(engine, start_us + 10 * US_PER_SECOND), OUTCOME_NOT_FOUND);
    CHECK_EQUAL(engine_next_due_us(engine), UINT64_MAX);
    CHECK(engine_check(engine, error, sizeof error));
    engine_destroy(engine);
}

TEST(lots_get_deadlines_where_schema_3_begins)
{
    char error[ERROR_SIZE];
    struct engine *engine = engine_of_older(64);
    CHECK(engine_follow(engine, SCHEMA, error, sizeof error));
    CHECK(engine_check(engine, error, sizeof error));
    CHECK(engine_follow(engine, OLDER, error, sizeof error)); /* nothing goes back */
    CHECK_EQUAL(expire(engine, start_us + 10 * US_PER_SECOND), OUTCOME_OK);
    CHECK_EQUAL(ledger_entries(engine), 6);
    CHECK_EQUAL(expire(engine, start_us + 899ULL * 86400 * US_PER_SECOND), OUTCOME_OK);
    CHECK_EQUAL(ledger_entries(engine), 6);
    CHECK_EQUAL(expire(engine, start_us + 901ULL * 86400 * US_PER_SECOND), OUTCOME_OK);
    CHECK_EQUAL(ledger_entries(engine), 7);
    CHECK(engine_check(engine, error, sizeof error));
    engine_destroy(engine);
}

/* A server asks what is due before it decides anything; a replay does not. */
TEST(lots_get_the_same_deadlines_whenever_schema_3_begins)
{
    char error[ERROR_SIZE];
    struct engine *early = engine_of_older(64);
    struct engine *late = engine_of_older(64);
    CHECK(engine_follow(early, SCHEMA, error, sizeof error));
    (void)ledger_entries(late);
    CHECK_EQUAL(engine_holds_due(late, start_us + 60 * US_PER_SECOND), 0);
    CHECK(engine_follow(late, SCHEMA, error, sizeof error));
    CHECK_EQUAL(engine_checksum(late), engine_checksum(early));
    CHECK_EQUAL(engine_holds_due(late, start_us + 60 * US_PER_SECOND), 1);
    CHECK_EQUAL(engine_holds_due(early, start_us + 60 * US_PER_SECOND), 1);
    engine_destroy(early);
    engine_destroy(late);
}

TEST(lots_without_room_for_their_deadlines_are_told_with_the_option)
{
    char error[ERROR_SIZE] = "";
    struct engine *engine = engine_of_older(1);
    CHECK(!engine_follow(engine, SCHEMA, error, sizeof error));
    CHECK(strstr(error, "--deadlines 2") != NULL);
    engine_destroy(engine);
}
