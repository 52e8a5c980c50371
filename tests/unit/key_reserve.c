/* The table of keys: the part that ordinary commands may fill, the part kept for operators, and
 * that replay ignores this reserve. */
#include "engine/state.h"

#include <string.h>

#include "tests/test.h"

enum { KEYS = 64, RESERVE = 4, START_US = 1000000, EURO = 978 };

static struct engine *engine;
static uint64_t now_us;

static void engine_start(uint32_t keys)
{
    char error[256];
    struct engine_options options = engine_options_default;
    options.keys = keys;
    options.lots = options.ledger = 8 * KEYS;
    engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    now_us = START_US;
}

/* Checks the outcome and the numbers in the rejection. */
static uint16_t decide(uint16_t number, const void *body, uint32_t size, bool spares_keys,
                       struct rejection_body *rejection)
{
    uint64_t room[64];
    struct reply_sink sink = {(uint8_t *)room, 0};
    struct command command = {
        .body = body, .sink = &sink, .size = size, .number = number, .spares_keys = spares_keys};
    engine_decide(engine, now_us, &command, 1);
    if (rejection != NULL)
        memcpy(rejection, command.reply, sizeof *rejection);
    return command.outcome;
}

static uint16_t credit(uint64_t key, bool spares_keys, struct rejection_body *rejection)
{
    struct points_credit_body body = {.key = {.low = key}, .customer = {.low = 1}, .points = 1};
    return decide(MESSAGE_points_credit, &body, sizeof body, spares_keys, rejection);
}

TEST(ordinary_commands_leave_the_reserve_of_keys_to_operators)
{
    struct rejection_body rejection;
    uint64_t key = 0;
    engine_start(KEYS);
    while (key < KEYS - RESERVE)
        CHECK_EQUAL(credit(++key, true, NULL), OUTCOME_OK);
    CHECK_EQUAL(credit(key + 1, true, &rejection), OUTCOME_CAPACITY);
    CHECK_EQUAL(rejection.subject, CAPACITY_keys);
    CHECK_EQUAL(rejection.value, KEYS - RESERVE);
    CHECK_EQUAL(credit(key, true, NULL), OUTCOME_REPLAYED);
    while (key < KEYS)
        CHECK_EQUAL(credit(++key, false, NULL), OUTCOME_OK);
    CHECK_EQUAL(credit(key + 1, false, &rejection), OUTCOME_CAPACITY);
    CHECK_EQUAL(rejection.value, KEYS);
    engine_destroy(engine);
}

TEST(keys_that_are_forgotten_make_room_beside_the_reserve)
{
    uint64_t key = 0;
    engine_start(KEYS);
    for (; key < KEYS; key++, now_us += US_PER_SECOND)
        CHECK_EQUAL(credit(key + 1, false, NULL), OUTCOME_OK);
    /* The n-th key is forgotten n - 1 seconds after the first. */
    now_us = START_US + KEY_RETENTION_US + (RESERVE - 1) * US_PER_SECOND;
    CHECK_EQUAL(credit(key + 1, true, NULL), OUTCOME_CAPACITY);
    now_us += US_PER_SECOND;
    CHECK_EQUAL(credit(key + 1, true, NULL), OUTCOME_OK);
    CHECK_EQUAL(credit(key + 2, true, NULL), OUTCOME_CAPACITY);
    CHECK_EQUAL(credit(key + 2, false, NULL), OUTCOME_OK);
    engine_destroy(engine);
}

TEST(commands_without_a_key_need_no_room_for_one)
{
    struct sku_put_body put = {.sku = 1, .price = 1, .currency = EURO};
    struct stock_set_body set = {.sku = 1, .warehouse = 1, .on_hand = 5};
    engine_start(1);
    CHECK_EQUAL(credit(1, false, NULL), OUTCOME_OK);
    CHECK_EQUAL(decide(MESSAGE_sku_put, &put, sizeof put, true, NULL), OUTCOME_OK);
    CHECK_EQUAL(decide(MESSAGE_stock_set, &set, sizeof set, true, NULL), OUTCOME_OK);
    put.key.low = set.key.low = 2;
    set.expected = 5;
    CHECK_EQUAL(decide(MESSAGE_sku_put, &put, sizeof put, false, NULL), OUTCOME_CAPACITY);
    CHECK_EQUAL(decide(MESSAGE_stock_set, &set, sizeof set, false, NULL), OUTCOME_CAPACITY);
    engine_destroy(engine);
}

TEST(small_table_of_keys_has_no_reserve)
{
    engine_start(15);
    for (uint64_t key = 1; key <= 15; key++)
        CHECK_EQUAL(credit(key, true, NULL), OUTCOME_OK);
    CHECK_EQUAL(credit(16, true, NULL), OUTCOME_CAPACITY);
    engine_destroy(engine);
}
