/* Marks tell what has changed, and nothing else does: random requests, one by one, and after each
 * the marks of everything there is against the records themselves. */
#include "engine/trace.h"

#include <stdlib.h>
#include <string.h>

#include "engine/state.h"
#include "engine/stock.h"
#include "tests/model/generate.h"
#include "tests/model/play.h"
#include "tests/test.h"

enum { TIMES = 12, REQUESTS = 400, RECORDS_MAX = 4096 };

/* What was seen of each record after the command before. */
struct seen {
    struct engine *engine;
    uint64_t reply[FRAME_SIZE_MAX / 8];
    uint64_t *orders[RECORDS_MAX]; /* answers to order.get, */
    uint32_t sizes[RECORDS_MAX];   /* and their bytes */
    struct customer customers[RECORDS_MAX];
    uint64_t points[RECORDS_MAX];
    struct stock stocks[RECORDS_MAX];
    uint64_t marks[RECORDS_MAX]; /* of the stocks of a SKU */
    uint32_t entries;
};

static const struct order_get_reply_body *get_order(struct seen *seen, struct id order,
                                                    uint32_t *size)
{
    const struct order_id_body get = {.order = order};
    struct reply_sink sink = {.cursor = (uint8_t *)seen->reply, .gap = 0};
    struct command command = {
        .body = &get, .size = sizeof get, .number = MESSAGE_order_get, .sink = &sink};
    engine_decide(seen->engine, engine_time_us(seen->engine), &command, 1);
    CHECK_EQUAL(command.outcome, OUTCOME_OK);
    *size = command.reply_size;
    return (const void *)command.reply;
}

/* The order that a request names; zero: none. */
static struct id order_named(const struct sequence_item *item, const void *body)
{
    const struct shape_info *shape = message_info(item->number)->request;
    struct id order = {0, 0};
    for (uint16_t i = 0; i < shape->field_count; i++) {
        if (shape->fields[i].type == FIELD_id && strcmp(shape->fields[i].name, "order") == 0)
            memcpy(&order, (const uint8_t *)body + shape->fields[i].offset, sizeof order);
    }
    return order;
}

/* An order that shows something else has another version, and the command names it, or none; it is
 * one whose hold is over, if that was hold.expire. */
static void check_orders(struct seen *seen, uint16_t number, struct id named)
{
    for (uint32_t i = 1; i <= seen->engine->orders.count; i++) {
        struct id id = order_at(seen->engine, i)->id;
        uint32_t size;
        CHECK(i < RECORDS_MAX);
        const struct order_get_reply_body *now = get_order(seen, id, &size);
        const struct order_get_reply_body *before = (const void *)seen->orders[i];
        CHECK_EQUAL(trace_order(seen->engine, id), now->version);
        CHECK(id_equal(trace_order_customer(seen->engine, id), now->customer));
        if (before != NULL && size == seen->sizes[i] &&
            memcmp(&before->customer, &now->customer, size - sizeof now->seq) == 0)
            continue;
        CHECK(now->version > (before != NULL ? before->version : 0));
        CHECK(id_is_zero(named) || id_equal(named, id));
        CHECK(number != MESSAGE_hold_expire ||
              (before->hold_ends > 0 && before->hold_ends <= engine_time_us(seen->engine)));
        free(seen->orders[i]);
        seen->orders[i] = malloc(size);
        CHECK(seen->orders[i] != NULL);
        memcpy(seen->orders[i], now, size);
        seen->sizes[i] = size;
    }
}

/* A customer whose points have moved has another mark; the entries of all are those that the ledger
 * has more. */
static void check_points(struct seen *seen)
{
    const struct engine *engine = seen->engine;
    uint32_t entries = 0;
    for (uint32_t i = 1; i <= engine->customers.count; i++) {
        struct id id = customer_id_at(engine, i)->id;
        uint64_t mark = trace_points(engine, id);
        struct trace_movement movement;
        uint32_t cursor = 0;
        CHECK(i < RECORDS_MAX);
        bool is_same =
            memcmp(customer_at(engine, i), &seen->customers[i], sizeof(struct customer)) == 0;
        CHECK_EQUAL(is_same, mark == seen->points[i]);
        while (!is_same && trace_next_movement(engine, id, &cursor, &movement)) {
            CHECK(movement.kind != NULL && movement.points != 0);
            entries++;
        }
        seen->customers[i] = *customer_at(engine, i);
        seen->points[i] = mark;
    }
    CHECK_EQUAL(entries, engine->ledger.count - seen->entries);
    seen->entries = engine->ledger.count;
}

static void check_stocks(struct seen *seen)
{
    const struct engine *engine = seen->engine;
    uint32_t count = 0;
    for (uint32_t i = 1; i <= engine->skus.count; i++) {
        uint64_t sku = sku_at(engine, i)->sku;
        uint64_t mark = trace_stocks(engine, sku);
        struct stock_row_body row = {0};
        uint32_t warehouse = 0;
        bool is_same = true;
        CHECK(i < RECORDS_MAX);
        for (uint32_t at = 0; trace_next_stock(engine, sku, &at, &row); count++) {
            const struct stock *stock = stock_at(engine, at);
            const struct stock *before = &seen->stocks[at];
            is_same = is_same && before->warehouse != 0 &&
                      memcmp(stock, before, offsetof(struct stock, sku)) == 0;
            CHECK(row.warehouse > warehouse);
            CHECK_EQUAL(row.on_hand, stock->on_hand);
            CHECK_EQUAL(row.on_hand, row.available + row.pooled + row.reserved_for_orders +
                                         row.committed + row.unsellable);
            warehouse = row.warehouse;
            seen->stocks[at] = *stock;
        }
        CHECK_EQUAL(is_same, mark == seen->marks[i]);
        seen->marks[i] = mark;
    }
    CHECK_EQUAL(count, engine->stocks.count);
}

/* The orders of all customers together are all orders. */
static void check_owners(const struct engine *engine)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= engine->customers.count; i++) {
        struct id customer = customer_id_at(engine, i)->id;
        struct id order;
        for (uint32_t cursor = 0; trace_next_order(engine, customer, &cursor, &order); count++)
            CHECK(id_equal(trace_order_customer(engine, order), customer));
    }
    CHECK_EQUAL(count, engine->orders.count);
}

static void trace(const struct profile *profile)
{
    static struct seen seen;
    struct sequence sequence;
    struct play_options options = play_options_for(REQUESTS);
    char error[256];
    memset(&seen, 0, sizeof seen);
    sequence_generate(&sequence, profile, test_random(), REQUESTS);
    seen.engine = engine_create(&options.engine, error, sizeof error);
    CHECK(seen.engine != NULL);
    for (int i = 0; i < sequence.count; i++) {
        const struct sequence_item *item = &sequence.items[i];
        const void *body = sequence.bytes + item->offset;
        struct command command = {.body = body, .size = item->size, .number = item->number};
        engine_decide(seen.engine, item->time, &command, 1);
        if (!command.accepted)
            continue;
        check_orders(&seen, item->number, order_named(item, body));
        check_points(&seen);
        check_stocks(&seen);
    }
    check_owners(seen.engine);
    for (uint32_t i = 0; i < RECORDS_MAX; i++)
        free(seen.orders[i]);
    engine_destroy(seen.engine);
    sequence_deinit(&sequence);
}

TEST(marks_differ_after_what_has_changed_and_after_nothing_else)
{
    for (unsigned i = 0; i < TIMES * PROFILE_COUNT; i++)
        trace(&profiles[i % PROFILE_COUNT]);
}

TEST(what_is_not_there_has_no_mark)
{
    char error[256];
    struct play_options options = play_options_for(REQUESTS);
    struct engine *engine = engine_create(&options.engine, error, sizeof error);
    struct id id = {.low = 7};
    struct stock_row_body row;
    struct trace_movement movement;
    uint32_t cursor = 0;
    CHECK(engine != NULL);
    CHECK_EQUAL(trace_order(engine, id), 0);
    CHECK(id_is_zero(trace_order_customer(engine, id)));
    CHECK_EQUAL(trace_points(engine, id), 0);
    CHECK_EQUAL(trace_stocks(engine, 7), 0);
    CHECK(!trace_next_order(engine, id, &cursor, &id));
    CHECK(!trace_next_stock(engine, 7, &cursor, &row));
    CHECK(!trace_next_movement(engine, id, &cursor, &movement));
    engine_destroy(engine);
}
