/* Retention: what a steady load takes, what stays the same when orders are forgotten, and the
 * bounds of one piece of that work. */
#include <string.h>

#include "engine/forget.h"
#include "engine/image.h"
#include "engine/memory.h"
#include "engine/points.h"
#include "engine/sum.h"
#include "tests/test.h"

enum {
    ERROR_SIZE = 512,
    EURO = 978,
    ORDERS = 512,
    KEPT = 100,
    ROUNDS = 20 * ORDERS,
    LINES_MAX = 8,
    DAY_S = 24 * 3600,
};

static uint64_t now_us = 1000000;
static uint64_t next_id = 1;

static uint16_t ask(struct engine *engine, uint16_t number, const void *body, size_t size)
{
    struct command command = {.body = body, .size = (uint32_t)size, .number = number};
    engine_decide(engine, now_us, &command, 1);
    return command.outcome;
}

static struct id fresh_id(void)
{
    return (struct id){.low = next_id++};
}

static void retain(struct engine *engine, uint64_t orders_us, uint64_t orders_max)
{
    struct retention_put_body body = {.orders = orders_us, .orders_max = orders_max};
    CHECK_EQUAL(ask(engine, MESSAGE_retention_put, &body, sizeof body), OUTCOME_OK);
}

static uint16_t forget(struct engine *engine, uint32_t records)
{
    struct memory_forget_body body = {.records = records};
    return ask(engine, MESSAGE_memory_forget, &body, sizeof body);
}

/* Small tables, two SKUs in two warehouses, and a customer with points. */
static struct engine *make_engine(void)
{
    char error[ERROR_SIZE];
    struct engine_options options = engine_options_default;
    options.orders = options.moneys = options.payments = options.steps = ORDERS;
    options.lines = options.pieces = ORDERS * LINES_MAX;
    options.deadlines = 4 * ORDERS;
    options.keys = 2 * ROUNDS;
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    for (uint64_t i = 1; i <= 4; i++) {
        struct sku_put_body sku = {.sku = 1 + i % 2, .price = 100, .currency = EURO};
        struct stock_set_body stock = {
            .sku = 1 + i % 2, .on_hand = 100000, .warehouse = 1 + (uint32_t)i / 3};
        CHECK_EQUAL(ask(engine, MESSAGE_sku_put, &sku, sizeof sku), OUTCOME_OK);
        CHECK_EQUAL(ask(engine, MESSAGE_stock_set, &stock, sizeof stock), OUTCOME_OK);
    }
    struct points_credit_body credit = {
        .key = fresh_id(), .customer = {.low = 1}, .points = 1000000};
    CHECK_EQUAL(ask(engine, MESSAGE_points_credit, &credit, sizeof credit), OUTCOME_OK);
    return engine;
}

static uint16_t place(struct engine *engine, struct id order, unsigned lines, int64_t points)
{
    struct {
        struct order_place_body body;
        struct line_body lines[LINES_MAX];
    } request = {.body = {.order = order,
                          .customer = {.low = 1},
                          .points = points,
                          .line_count = (uint16_t)lines}};
    for (unsigned i = 0; i < lines; i++)
        request.lines[i] = (struct line_body){.sku = 1 + i % 2, .quantity = 1, .price = 100};
    return ask(engine, MESSAGE_order_place, &request,
               sizeof request.body + lines * sizeof request.lines[0]);
}

static void end(struct engine *engine, struct id order)
{
    struct order_change_body body = {.key = fresh_id(), .order = order};
    uint16_t number = test_random_below(2) == 0 ? MESSAGE_order_cancel : MESSAGE_hold_release;
    CHECK_EQUAL(ask(engine, number, &body, sizeof body), OUTCOME_OK);
}

static void fail_payment(struct engine *engine, struct id order)
{
    struct payment_event_body body = {.event = fresh_id(),
                                      .order = order,
                                      .amount = 1,
                                      .provider = 1,
                                      .status = payment_status_FAILURE,
                                      .currency = EURO};
    CHECK_EQUAL(ask(engine, MESSAGE_payment_event, &body, sizeof body), OUTCOME_OK);
}

static void check_state(const struct engine *engine)
{
    char error[ERROR_SIZE];
    if (!engine_check(engine, error, sizeof error))
        test_fail(__FILE__, __LINE__, "%s", error);
}

/* Twenty times as many orders as there is room for, of which some hundred are there at once: the
 * records of the first are those of the last. */
TEST(steady_load_takes_no_more_records_than_at_first)
{
    struct engine *engine = make_engine();
    uint32_t counts[ENGINE_TABLE_COUNT] = {0};
    retain(engine, 0, KEPT);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct id order = fresh_id();
        now_us += US_PER_SECOND;
        CHECK_EQUAL(place(engine, order, 1 + (unsigned)test_random_below(LINES_MAX),
                          (int64_t)test_random_below(2) * 50),
                    OUTCOME_OK);
        if (test_random_below(3) == 0)
            fail_payment(engine, order);
        end(engine, order);
        if (engine_forget_due(engine, now_us) > 0)
            CHECK_EQUAL(forget(engine, 1 + (uint32_t)test_random_below(8)), OUTCOME_OK);
        struct hold_expire_body expire = {.holds = 64};
        if (engine_holds_due(engine, now_us) > 0)
            CHECK_EQUAL(ask(engine, MESSAGE_hold_expire, &expire, sizeof expire), OUTCOME_OK);
        if (round % 1000 == 0)
            check_state(engine);
    }
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++)
        counts[i] = engine_table_view(engine, (enum engine_table)i).count;
    CHECK(counts[TABLE_orders] < 2 * KEPT && counts[TABLE_moneys] < 2 * KEPT);
    CHECK(counts[TABLE_payments] < 2 * KEPT && counts[TABLE_steps] < 2 * KEPT);
    CHECK(counts[TABLE_lines] < 2 * KEPT * LINES_MAX &&
          counts[TABLE_pieces] < 2 * KEPT * LINES_MAX);
    CHECK(engine->orders_forgotten > ROUNDS - 2 * KEPT);
    engine_destroy(engine);
}

/* What is the same before and after: stock, points, and orders that are not closed. */
struct sums {
    struct stock stocks[4];
    struct customer customer;
    uint64_t open;
    uint64_t refunds;
    int64_t on_hand;
};

static struct sums sums_of(const struct engine *engine)
{
    struct sums sums = {
        .customer = *customer_at(engine, 1),
        .open = engine->orders_by_state[order_state_PENDING] +
                engine->orders_by_state[order_state_CONFIRMED],
        .refunds = engine->refund_order_count,
        .on_hand = engine->on_hand_total,
    };
    for (uint32_t i = 0; i < 4; i++) {
        sums.stocks[i] = *stock_at(engine, i + 1);
        sums.stocks[i].pieces = 0;
    }
    return sums;
}

TEST(forgetting_changes_no_stock_points_or_open_order)
{
    struct engine *engine = make_engine();
    for (unsigned i = 0; i < ORDERS / 2; i++) {
        struct id order = fresh_id();
        CHECK_EQUAL(place(engine, order, 1 + (unsigned)test_random_below(LINES_MAX),
                          (int64_t)test_random_below(90)),
                    OUTCOME_OK);
        if (test_random_below(2) == 0)
            end(engine, order);
    }
    uint32_t closed = engine->closing_count;
    retain(engine, 0, 1);
    for (uint32_t left = closed; left > 1; left--) {
        struct sums before = sums_of(engine);
        CHECK_EQUAL(forget(engine, 1), OUTCOME_OK);
        struct sums after = sums_of(engine);
        CHECK(memcmp(&before, &after, sizeof before) == 0);
        CHECK_EQUAL(engine->closing_count, left - 1);
        check_state(engine);
    }
    CHECK_EQUAL(forget(engine, 1), OUTCOME_NOT_FOUND);
    engine_destroy(engine);
}

/* An order with any number of steps and events is unknown at once; they go one by one. */
TEST(order_with_many_steps_and_events_is_forgotten_in_pieces)
{
    enum { EVENTS = 40, PIECE = 7 };
    struct engine *engine = make_engine();
    struct id order = fresh_id();
    CHECK_EQUAL(place(engine, order, 3, 10), OUTCOME_OK);
    for (unsigned i = 0; i < EVENTS; i++)
        fail_payment(engine, order);
    end(engine, order);
    now_us += 30ULL * DAY_S * US_PER_SECOND - 1;
    CHECK_EQUAL(forget(engine, PIECE), OUTCOME_NOT_FOUND);
    CHECK_EQUAL(engine_next_forget_us(engine), now_us + 1);
    now_us++;
    /* The order, the steps after the second version, the events. */
    uint32_t records = 1 + EVENTS + EVENTS;
    for (uint32_t done = 0; done < records; done += PIECE) {
        CHECK(engine_forget_due(engine, now_us) > 0);
        CHECK_EQUAL(forget(engine, PIECE), OUTCOME_OK);
        struct order_id_body get = {order};
        CHECK_EQUAL(ask(engine, MESSAGE_order_get, &get, sizeof get), OUTCOME_NOT_FOUND);
        check_state(engine);
    }
    CHECK_EQUAL(engine_forget_due(engine, now_us), 0);
    CHECK_EQUAL(table_records_used(engine, TABLE_steps), 0);
    CHECK_EQUAL(table_records_used(engine, TABLE_payments), 0);
    CHECK_EQUAL(table_records_used(engine, TABLE_orders), 0);
    CHECK_EQUAL(table_records_used(engine, TABLE_lines), 0);
    engine_destroy(engine);
}

TEST(ledger_entries_tell_of_no_order_that_has_left_memory)
{
    struct engine *engine = make_engine();
    struct id first = fresh_id();
    CHECK_EQUAL(place(engine, first, 1, 50), OUTCOME_OK);
    end(engine, first);
    for (uint32_t i = 2; i <= engine->ledger.count; i++)
        CHECK_EQUAL(ledger_order(engine, ledger_entry_at(engine, i)), 1);
    uint32_t entries = engine->ledger.count;
    retain(engine, 1, 0);
    now_us += US_PER_SECOND;
    CHECK_EQUAL(forget(engine, 1), OUTCOME_OK);
    for (uint32_t i = 1; i <= entries; i++)
        CHECK_EQUAL(ledger_order(engine, ledger_entry_at(engine, i)), 0);
    CHECK_EQUAL(place(engine, fresh_id(), 1, 50), OUTCOME_OK);
    for (uint32_t i = 1; i <= entries; i++)
        CHECK_EQUAL(ledger_order(engine, ledger_entry_at(engine, i)), 0);
    CHECK_EQUAL(ledger_order(engine, ledger_entry_at(engine, engine->ledger.count)), 1);
    check_state(engine);
    engine_destroy(engine);
}

TEST(retention_has_bounds)
{
    struct engine *engine = make_engine();
    struct retention_put_body keys = {.keys = KEY_RETENTION_US - 1};
    struct retention_put_body orders = {.orders = TIME_US_MAX + 1};
    CHECK_EQUAL(ask(engine, MESSAGE_retention_put, &keys, sizeof keys), OUTCOME_INVALID);
    CHECK_EQUAL(ask(engine, MESSAGE_retention_put, &orders, sizeof orders), OUTCOME_INVALID);
    CHECK_EQUAL(forget(engine, 0), OUTCOME_INVALID);
    CHECK_EQUAL(forget(engine, FORGET_RECORDS_MAX + 1), OUTCOME_INVALID);
    CHECK_EQUAL(engine_retention(engine).orders_us, RETAIN_ORDERS_US);
    retain(engine, 5, 6);
    CHECK_EQUAL(engine_retention(engine).orders_us, 5);
    CHECK_EQUAL(engine_retention(engine).orders_max, 6);
    engine_destroy(engine);
}
