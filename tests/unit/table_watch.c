/* The watch over how full the tables are, and the notices that it gives. */
#include <stdio.h>
#include <string.h>

#include "net/watch.h"
#include "tests/test.h"

enum { KEYS = 160, RESERVE = 10, EURO = 978 };

static struct watch watch;
static char text[WATCH_TEXT_SIZE];

/* Is there a notice that contains this text; for "": is there none? */
static bool tells(uint64_t used, const char *notice)
{
    const struct table_fill fill = {.name = "point_takes", .used = used, .capacity = 1000};
    bool told = watch_table(&watch, CAPACITY_point_takes, &fill, text);
    return notice[0] == '\0' ? !told : told && strstr(text, notice) != NULL;
}

TEST(table_that_fills_is_told_of_once_a_step)
{
    watch = (struct watch){{0}};
    CHECK(tells(0, "") && tells(799, ""));
    CHECK(tells(800, "the table of point_takes is 80 % full: 800 of 1000; --point-takes at"));
    CHECK(tells(801, "") && tells(899, ""));
    CHECK(tells(900, "90 % full") && tells(999, ""));
    CHECK(tells(1000, "is full: 1000 of 1000") && tells(1000, ""));
}

TEST(table_that_falls_and_rises_again_is_told_of_again)
{
    watch = (struct watch){{0}};
    CHECK(tells(1000, "is full"));
    CHECK(tells(999, "") && tells(1000, "") && tells(950, "") && tells(1000, ""));
    CHECK(tells(949, "") && tells(1000, "is full"));
    CHECK(tells(849, "") && tells(899, "") && tells(950, "90 %"));
    CHECK(tells(749, "") && tells(800, "80 %"));
    CHECK(tells(750, "") && tells(800, ""));
    CHECK(tells(0, "") && tells(900, "90 %"));
}

TEST(what_is_kept_for_operators_is_no_room_for_others)
{
    struct table_fill fill = {.name = "keys", .used = 119, .capacity = KEYS, .reserve = RESERVE};
    watch = (struct watch){{0}};
    CHECK(!watch_table(&watch, CAPACITY_keys, &fill, text));
    fill.used = 120;
    CHECK(watch_table(&watch, CAPACITY_keys, &fill, text));
    CHECK(strstr(text, "120 of 150, beside 10 kept for operators; --keys") != NULL);
    fill.used = KEYS;
    CHECK(watch_table(&watch, CAPACITY_keys, &fill, text));
    CHECK(strstr(text, "is full: 150 of 150, beside 10") != NULL);
}

static void decide(struct engine *engine, uint64_t now_us, uint16_t number, const void *body,
                   uint32_t size)
{
    struct command command = {.body = body, .size = size, .number = number};
    engine_decide(engine, now_us, &command, 1);
    CHECK_EQUAL(command.outcome, OUTCOME_OK);
}

static uint64_t used(const struct engine *engine, enum capacity_number number)
{
    return engine_table_fill(engine, number).used;
}

TEST(tables_tell_what_is_in_them_and_what_is_to_be_forgotten_not)
{
    struct {
        struct order_place_body fixed;
        struct line_body line;
    } place = {.fixed = {.order = {.low = 1}, .customer = {.low = 1}, .points = 2, .line_count = 1},
               .line = {.sku = 1, .quantity = 1, .price = 5}};
    struct sku_put_body put = {.sku = 1, .price = 5, .currency = EURO};
    struct stock_set_body set = {.sku = 1, .warehouse = 1, .on_hand = 5};
    struct points_credit_body credit = {.key = {.low = 1}, .customer = {.low = 1}, .points = 9};
    struct empty_body empty = {0};
    char error[256];
    uint64_t now_us = US_PER_SECOND;
    struct engine_options options = engine_options_default;
    options.keys = KEYS;
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    decide(engine, now_us, MESSAGE_sku_put, &put, sizeof put);
    decide(engine, now_us, MESSAGE_stock_set, &set, sizeof set);
    decide(engine, now_us, MESSAGE_points_credit, &credit, sizeof credit);
    decide(engine, now_us, MESSAGE_order_place, &place, sizeof place);
    CHECK_EQUAL(used(engine, CAPACITY_skus), 1);
    CHECK_EQUAL(used(engine, CAPACITY_stocks), 1);
    CHECK_EQUAL(used(engine, CAPACITY_orders), 1);
    CHECK_EQUAL(used(engine, CAPACITY_customers), 1);
    CHECK_EQUAL(used(engine, CAPACITY_point_takes), 1);
    CHECK_EQUAL(used(engine, CAPACITY_deadlines), 1);
    CHECK_EQUAL(used(engine, CAPACITY_lines), 0);
    /* A credit and a hold, and two entries that the order's end may need. */
    CHECK_EQUAL(used(engine, CAPACITY_ledger), 4);
    CHECK_EQUAL(used(engine, CAPACITY_keys), 1);
    CHECK_EQUAL(engine_table_fill(engine, CAPACITY_keys).reserve, RESERVE);
    decide(engine, now_us + KEY_RETENTION_US, MESSAGE_stats, &empty, sizeof empty);
    CHECK_EQUAL(used(engine, CAPACITY_keys), 0);
    engine_destroy(engine);
}
