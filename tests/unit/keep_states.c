/* The keeper: an image shows the state of its beginning, whatever changes meanwhile, or reports
 * that it cannot. */
#include "engine/image.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

enum { CUSTOMERS = 20000, UNDO_SMALL = 64 * 1024 };

static struct engine *make_engine(void)
{
    char error[256];
    struct engine_options options = engine_options_default;
    options.customers = options.lots = options.ledger = 2 * CUSTOMERS;
    options.orders = options.steps = options.moneys = options.keys = 4 * CUSTOMERS;
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    return engine;
}

/* Credits each customer; the first credit creates the customer. */
static void credit_all(struct engine *engine, uint64_t key_first)
{
    for (uint64_t customer = 1; customer <= CUSTOMERS; customer++) {
        struct points_credit_body body = {.points = 5};
        struct command command = {
            .body = &body, .size = sizeof body, .number = MESSAGE_points_credit};
        body.key.low = key_first + customer;
        body.customer.low = customer;
        engine_decide(engine, 1000000, &command, 1);
        CHECK_EQUAL(command.outcome, OUTCOME_OK);
    }
}

/* Reads the rest of the image; returns the XOR of all words of the customers, and how many. */
static uint64_t sum_customers(struct keeper *keeper, uint64_t *records)
{
    static uint8_t raw[KEEP_CHUNK_SIZE];
    struct keep_chunk chunk;
    enum keeper_found found;
    uint64_t sum = 0;
    while ((found = keeper_next(keeper, &chunk, raw)) != KEEPER_END) {
        if (found != KEEPER_CHUNK || chunk.table != TABLE_customers)
            continue;
        *records += chunk.count;
        for (uint32_t at = 0; at < chunk.size_bytes; at += sizeof(uint64_t)) {
            uint64_t word;
            memcpy(&word, raw + at, sizeof word);
            sum = sum * 31 + word;
        }
    }
    return sum;
}

TEST(kept_image_shows_the_moment_of_its_beginning)
{
    struct engine *engine = make_engine();
    struct keeper *keeper = keeper_create(engine, 64 << 20);
    uint64_t before_records = 0, during_records = 0, after_records = 0;
    CHECK(keeper != NULL);
    credit_all(engine, 1);
    engine_keep_begin(engine, keeper);
    uint64_t before = sum_customers(keeper, &before_records);
    engine_keep_end(engine, keeper);
    engine_keep_begin(engine, keeper);
    credit_all(engine, 1000000);
    CHECK(keeper->kept_count >= CUSTOMERS && !keeper->has_overflowed);
    uint64_t during = sum_customers(keeper, &during_records);
    CHECK_EQUAL(keeper->slots_used, 0);
    engine_keep_end(engine, keeper);
    engine_keep_begin(engine, keeper);
    uint64_t after = sum_customers(keeper, &after_records);
    engine_keep_end(engine, keeper);
    CHECK_EQUAL(before, during);
    CHECK(before != after);
    CHECK(before_records == during_records && during_records == after_records);
    keeper_destroy(keeper);
    engine_destroy(engine);
}

TEST(keeper_says_when_it_runs_short_and_when_it_has_overflowed)
{
    struct engine *engine = make_engine();
    struct keeper *keeper = keeper_create(engine, UNDO_SMALL);
    uint64_t records = 0;
    CHECK(keeper != NULL);
    credit_all(engine, 1);
    engine_keep_begin(engine, keeper);
    CHECK(!keeper_is_pressed(keeper));
    credit_all(engine, 1000000);
    CHECK(keeper_is_pressed(keeper) && keeper->has_overflowed);
    engine_keep_end(engine, keeper);
    engine_keep_begin(engine, keeper);
    CHECK(!keeper_is_pressed(keeper) && !keeper->has_overflowed);
    sum_customers(keeper, &records);
    CHECK(records > CUSTOMERS);
    engine_keep_end(engine, keeper);
    keeper_destroy(keeper);
    engine_destroy(engine);
}
