/* Sums that no random sequence of the model tests reaches: a million stock records. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/test.h"

enum { EURO = 978, ERROR_SIZE = 512, KEYS = 64 };

static struct engine *engine;
static uint64_t now_us = 1000000000;
static uint64_t keys;
static uint64_t reply[FRAME_SIZE_MAX / 8];

static uint16_t ask(uint16_t number, const void *body, size_t size)
{
    struct reply_sink sink = {.cursor = (uint8_t *)reply, .gap = 0};
    struct command command = {
        .body = body, .sink = &sink, .size = (uint32_t)size, .number = number};
    engine_decide(engine, now_us, &command, 1);
    return command.outcome;
}

static struct id fresh_key(void)
{
    now_us += KEY_RETENTION_US / (KEYS / 2); /* so that the small table of keys is enough */
    return (struct id){.low = ++keys};
}

static uint16_t add_stock(uint32_t warehouse, int64_t delta)
{
    struct stock_adjust_body body = {
        .key = fresh_key(), .sku = 1, .delta = delta, .warehouse = warehouse};
    return ask(MESSAGE_stock_adjust, &body, sizeof body);
}

static uint16_t set_stock(uint32_t warehouse, int64_t expected, int64_t on_hand)
{
    struct stock_set_body body = {.key = fresh_key(),
                                  .sku = 1,
                                  .expected = expected,
                                  .on_hand = on_hand,
                                  .warehouse = warehouse};
    return ask(MESSAGE_stock_set, &body, sizeof body);
}

TEST(stock_of_all_warehouses_together_is_bounded)
{
    enum { PLACES = STOCK_TOTAL_MAX / QUANTITY_MAX };
    char error[ERROR_SIZE];
    struct engine_options options = engine_options_default;
    options.stocks = options.warehouses = PLACES + 8;
    options.keys = KEYS;
    engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    struct sku_put_body sku = {.key = fresh_key(), .sku = 1, .price = 1, .currency = EURO};
    CHECK_EQUAL(ask(MESSAGE_sku_put, &sku, sizeof sku), OUTCOME_OK);
    /* Descending, since an insert searches a SKU's list from its lowest warehouse on. */
    for (uint32_t warehouse = PLACES; warehouse > 0; warehouse--)
        CHECK_EQUAL(add_stock(warehouse, QUANTITY_MAX), OUTCOME_OK);
    CHECK_EQUAL(add_stock(PLACES + 1, 1), OUTCOME_OVERFLOW);
    const struct rejection_body *rejection = (const struct rejection_body *)reply;
    CHECK_EQUAL(rejection->value, STOCK_TOTAL_MAX);
    CHECK_EQUAL(set_stock(PLACES + 1, 0, 1), OUTCOME_OVERFLOW);
    CHECK_EQUAL(set_stock(5, QUANTITY_MAX, QUANTITY_MAX - 1), OUTCOME_OK);
    CHECK_EQUAL(add_stock(PLACES + 1, 2), OUTCOME_OVERFLOW);
    CHECK_EQUAL(set_stock(PLACES + 1, 0, 1), OUTCOME_OK);
    CHECK_EQUAL(add_stock(PLACES + 2, 1), OUTCOME_OVERFLOW);
    struct {
        struct stock_get_body fixed;
        struct item_body item;
    } get = {.fixed = {.item_count = 1}, .item = {.sku = 1}};
    CHECK_EQUAL(ask(MESSAGE_stock_get, &get, sizeof get), OUTCOME_OK);
    const struct stock_row_body *row =
        (const struct stock_row_body *)((const struct stock_get_reply_body *)reply + 1);
    CHECK_EQUAL(row->on_hand, STOCK_TOTAL_MAX);
    CHECK_EQUAL(row->available, STOCK_TOTAL_MAX);
    CHECK(engine_check(engine, error, sizeof error));
    engine_destroy(engine);
}
