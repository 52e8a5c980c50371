/* The rules of stock, sales, placing, holds, payments and points, by hand. */
#include <string.h>

#include "tests/model/by_hand.h"

TEST(points_are_bounded_by_share_rate_and_balance)
{
    script_start();
    put_sku(1, 999);
    add_stock(1, 1, 10);
    open_sale(
        (struct sale_put_body){.sale = 5, .points_share = 5000, .rate_points = 3, .rate_money = 7});
    CHECK_EQUAL(credit(9, 1000, 0), OUTCOME_OK);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .sale = 5, .points = 1000},
        .lines = {{.sku = 1, .quantity = 1, .price = 999}},
    };
    /* Half of 999 is 499, worth floor(499 x 3 / 7) = 213 points; they pay floor(213 x 7 / 3). */
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->points_used, 213);
    CHECK_EQUAL(placed()->points_value, 497);
    CHECK_EQUAL(placed()->money_due, 502);
    CHECK_EQUAL(balance(9)->held, 213);

    placing.fixed.order = id(2);
    placing.fixed.flags = place_flags_POINTS_EXACT;
    placing.fixed.points = 700;
    CHECK_EQUAL(place(placing), OUTCOME_POINTS_CAP);
    check_rejection(0, 213);
    placing.fixed.points = 788;
    CHECK_EQUAL(place(placing), OUTCOME_INSUFFICIENT_POINTS);
    check_rejection(0, 787);
    script_end();
}

TEST(points_pay_a_whole_order_which_confirms_at_once)
{
    script_start();
    put_sku(1, 50);
    add_stock(1, 1, 1);
    CHECK_EQUAL(credit(9, 80, 0), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .points = 80},
                    .lines = {{.sku = 1, .quantity = 1, .price = 50}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(placed()->state, order_state_CONFIRMED);
    CHECK_EQUAL(placed()->hold_ends, 0);
    CHECK_EQUAL(balance(9)->balance, 30);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(status()->money, money_state_NONE);
    CHECK_EQUAL(balance(9)->available, 80);
    script_end();
}

TEST(points_held_past_their_expiry_come_back_for_a_day)
{
    script_start();
    put_sku(1, 100);
    add_stock(1, 1, 1);
    CHECK_EQUAL(credit(9, 40, now + 5 * SECOND), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .points = 30},
                    .lines = {{.sku = 1, .quantity = 1, .price = 100}},
                }),
                OUTCOME_OK);
    now += 5 * SECOND;
    CHECK_EQUAL(balance(9)->balance, 30);
    CHECK_EQUAL(balance(9)->available, 0);
    now += SECOND;
    CHECK_EQUAL(change(MESSAGE_hold_release, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 30);
    CHECK_EQUAL(balance(9)->next_expiry, now + POINTS_GRACE_US);
    now += POINTS_GRACE_US;
    CHECK_EQUAL(balance(9)->balance, 0);
    script_end();
}

TEST(single_takes_the_first_warehouse_that_fills_all)
{
    script_start();
    put_sku(1, 10);
    put_sku(2, 20);
    add_stock(1, 1, 5);
    add_stock(2, 2, 5);
    add_stock(1, 3, 4);
    add_stock(2, 3, 2);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9)},
        .lines = {{.sku = 1, .quantity = 4, .price = 10}, {.sku = 2, .quantity = 2, .price = 20}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->total, 80);
    CHECK_EQUAL(take(0)->warehouse, 3);
    CHECK_EQUAL(take(1)->warehouse, 3);

    /* Each SKU alone could be filled now, but not from one warehouse. */
    placing.fixed.order = id(2);
    CHECK_EQUAL(place(placing), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 5);
    placing.fixed.flags = place_flags_PARTIAL;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->take_count, 1);
    CHECK_EQUAL(take(0)->warehouse, 1);
    CHECK_EQUAL(take(0)->quantity, 4);
    script_end();
}

TEST(rank_goes_across_warehouses_and_names_what_was_left)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 2, 2);
    add_stock(1, 7, 3);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .allocation = allocation_RANK},
        .lines = {{.sku = 1, .quantity = 1, .price = 10}, {.sku = 1, .quantity = 5, .price = 10}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 5);
    placing.fixed.flags = place_flags_PARTIAL;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->take_count, 3);
    CHECK_EQUAL(take(1)->warehouse, 2);
    CHECK_EQUAL(take(1)->quantity, 1);
    CHECK_EQUAL(take(2)->warehouse, 7);
    CHECK_EQUAL(take(2)->quantity, 3);
    placing.fixed.order = id(2);
    CHECK_EQUAL(place(placing), OUTCOME_SOLD_OUT);
    check_rejection(1, 0);
    script_end();
}

TEST(late_payment_takes_again_or_becomes_due_for_refund)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 1);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .hold = 1},
        .lines = {{.sku = 1, .quantity = 1, .price = 10}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->hold_ends, now + SECOND);
    now += SECOND;
    /* The hold has ended: the event first expires it, then takes the stock again. */
    CHECK_EQUAL(pay(1, 1, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    CHECK_EQUAL(status()->version, 3);

    add_stock(1, 1, 1);
    placing.fixed.order = id(2);
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    now += 2 * SECOND;
    CHECK_EQUAL(expire_holds(), OUTCOME_OK);
    placing.fixed.order = id(3);
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(pay(2, 2, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_EXPIRED);
    CHECK_EQUAL(status()->money, money_state_REFUND_DUE);
    CHECK_EQUAL(status()->refund_due, 10);
    script_end();
}

TEST(wrong_amount_is_parked_and_answered_alike_again)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 1);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 1, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(pay(1, 1, 11, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    check_rejection(EURO, 10);
    CHECK(reply.accepted);
    CHECK_EQUAL(pay(1, 1, 11, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK(!reply.accepted);
    CHECK_EQUAL(pay(1, 1, 10, payment_status_SUCCESS), OUTCOME_EVENT_CONFLICT);
    CHECK_EQUAL(pay(2, 1, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->version, 3);
    CHECK_EQUAL(pay(3, 1, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 10);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 20);
    script_end();
}

TEST(ended_hold_refuses_cancel_extend_and_release)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 1);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .hold = 2},
                    .lines = {{.sku = 1, .quantity = 1, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(expire_holds(), OUTCOME_NOT_FOUND);
    now += 2 * SECOND;
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_EXPIRED, 0);
    CHECK_EQUAL(change(MESSAGE_hold_release, 1), OUTCOME_HOLD_EXPIRED);
    check_rejection(0, START + 2 * SECOND);
    struct hold_extend_body extend = {.key = id(++keys), .order = id(1), .hold = 5};
    CHECK_EQUAL(ask(MESSAGE_hold_extend, &extend, sizeof extend), OUTCOME_HOLD_EXPIRED);
    now += SECOND;
    CHECK_EQUAL(expire_holds(), OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_hold_release, 1), OUTCOME_HOLD_EXPIRED);
    check_rejection(0, START + 2 * SECOND);
    script_end();
}

TEST(deficit_lists_the_newest_orders_first)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 9);
    for (uint64_t order = 1; order <= 3; order++)
        CHECK_EQUAL(place((struct placing){
                        .fixed = {.order = id(order), .customer = id(9)},
                        .lines = {{.sku = 1, .quantity = 2, .price = 10}},
                    }),
                    OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 2), OUTCOME_OK);
    struct stock_set_body set = {
        .key = id(1), .sku = 1, .warehouse = 1, .expected = 9, .on_hand = 3};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_STOCK_BELOW_RESERVED);
    check_rejection(1, 4);
    set.flags = stock_flags_ALLOW_DEFICIT;
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    const struct stock_level_body *level = (const struct stock_level_body *)reply.words;
    const struct order_id_body *rows = (const struct order_id_body *)(level + 1);
    CHECK_EQUAL(level->available, -1);
    CHECK_EQUAL(level->order_count, 2);
    CHECK_EQUAL(rows[0].order.low, 3);
    CHECK_EQUAL(rows[1].order.low, 1);
    CHECK_EQUAL(level->orders_concerned, 2);
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_REPLAYED);
    script_end();
}

TEST(deficit_tells_how_many_orders_there_are_in_all)
{
    enum { ORDERS = CONCERNED_ORDERS_MAX + 8 };
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 2 * ORDERS);
    for (uint64_t order = 1; order <= ORDERS; order++)
        CHECK_EQUAL(place((struct placing){
                        .fixed = {.order = id(order), .customer = id(9)},
                        .lines = {{.sku = 1, .quantity = 1, .price = 10},
                                  {.sku = 1, .quantity = 1, .price = 10}},
                    }),
                    OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, ORDERS), OUTCOME_OK);
    struct stock_set_body set = {.key = id(1),
                                 .sku = 1,
                                 .warehouse = 1,
                                 .expected = 2 * ORDERS,
                                 .flags = stock_flags_ALLOW_DEFICIT};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    const struct stock_level_body *level = (const struct stock_level_body *)reply.words;
    CHECK_EQUAL(level->order_count, CONCERNED_ORDERS_MAX);
    CHECK_EQUAL(level->orders_concerned, ORDERS - 2);
    script_end();
}

TEST(key_decides_for_a_day)
{
    script_start();
    put_sku(1, 10);
    struct stock_adjust_body add = {.key = id(1), .sku = 1, .warehouse = 1, .delta = 5};
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_REPLAYED);
    CHECK_EQUAL(reply.words[0], 2);
    add.delta = 6;
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_IDEM_MISMATCH);
    now += KEY_RETENTION_US - 1;
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_IDEM_MISMATCH);
    now += 1;
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_OK);
    script_end();
}

TEST(sku_put_and_stock_set_need_no_key)
{
    script_start();
    for (int64_t price = 10; price <= 11; price++) {
        struct sku_put_body put = {.sku = 1, .price = price, .currency = EURO};
        CHECK_EQUAL(ask(MESSAGE_sku_put, &put, sizeof put), OUTCOME_OK);
        CHECK_EQUAL(ask(MESSAGE_sku_put, &put, sizeof put), OUTCOME_OK);
    }
    struct stock_set_body set = {.sku = 1, .warehouse = 1, .on_hand = 5};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_STALE_VERSION);
    check_rejection(0, 5);
    set.expected = 5;
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    struct empty_body stats = {0};
    CHECK_EQUAL(ask(MESSAGE_stats, &stats, sizeof stats), OUTCOME_OK);
    CHECK_EQUAL(stats_metric((const struct stats_reply_body *)reply.words, METRIC_keys), 0);
    struct stock_adjust_body add = {.sku = 1, .warehouse = 1, .delta = 5};
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_INVALID);
    check_rejection(stock_adjust_field_key, 0);
    script_end();
}

TEST(rejected_name_tells_whose_it_is)
{
    script_start();
    struct sku_put_body put = {
        .key = id(1), .sku = 1ULL << 63, .price = 10, .currency = EURO, .name = {"shoe"}};
    CHECK_EQUAL(ask(MESSAGE_sku_put, &put, sizeof put), OUTCOME_OK);
    put.key = id(2);
    put.sku = 2;
    CHECK_EQUAL(ask(MESSAGE_sku_put, &put, sizeof put), OUTCOME_INVALID);
    check_rejection(sku_put_field_name, INT64_MIN);
    script_end();
}

static uint16_t jump(uint64_t us)
{
    struct time_jump_body body = {.jump = us};
    return ask(MESSAGE_time_jump, &body, sizeof body);
}

TEST(key_is_no_older_for_a_jump_of_the_clock)
{
    enum { MINUTE_US = 60 * SECOND };
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 9);
    struct stock_adjust_body add = {.key = id(1), .sku = 1, .warehouse = 1, .delta = 5};
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_OK);
    uint64_t passed = MINUTE_US;
    now += passed + 2 * KEY_RETENTION_US;
    CHECK_EQUAL(jump(2 * KEY_RETENTION_US), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_REPLAYED);
    now += KEY_RETENTION_US - passed - 1;
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_REPLAYED);
    now += 1;
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &add, sizeof add), OUTCOME_OK);
    script_end();
}

TEST(jump_of_the_clock_is_a_part_of_the_time_since_the_last_change)
{
    script_start();
    put_sku(1, 10);
    CHECK_EQUAL(jump(0), OUTCOME_INVALID);
    check_rejection(time_jump_field_jump, 0);
    CHECK_EQUAL(jump(1), OUTCOME_INVALID);
    now += 500;
    CHECK_EQUAL(jump(501), OUTCOME_INVALID);
    CHECK_EQUAL(jump(500), OUTCOME_OK);
    CHECK_EQUAL(reply.words[0], 2);
    CHECK_EQUAL(jump(1), OUTCOME_INVALID);
    script_end();
}

static uint16_t begin_epoch(uint64_t epoch)
{
    struct epoch_begin_body body = {.epoch = epoch, .previous = 1000 + epoch};
    return ask(MESSAGE_epoch_begin, &body, sizeof body);
}

TEST(epoch_is_newer_than_all_before_it)
{
    script_start();
    put_sku(1, 10);
    CHECK_EQUAL(begin_epoch(0), OUTCOME_INVALID);
    CHECK_EQUAL(begin_epoch(1), OUTCOME_INVALID);
    check_rejection(epoch_begin_field_epoch, 0);
    CHECK_EQUAL(begin_epoch(2), OUTCOME_OK);
    CHECK_EQUAL(reply.words[0], 2);
    CHECK_EQUAL(begin_epoch(2), OUTCOME_INVALID);
    now += 500;
    CHECK_EQUAL(begin_epoch(7), OUTCOME_OK);
    CHECK_EQUAL(begin_epoch(6), OUTCOME_INVALID);
    CHECK_EQUAL(model->epochs.count, 2);
    CHECK_EQUAL(model->epochs.items[1].seq, 3);
    CHECK_EQUAL(model->epochs.items[1].body.previous, 1007);
    CHECK_EQUAL(model->epochs.items[1].time, now);
    script_end();
}

TEST(sale_pool_gives_alone_and_closing_gives_it_back)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 10);
    struct {
        struct sale_put_body fixed;
        struct pool_body pool;
    } sale = {
        .fixed = {.key = id(1), .sale = 5, .pool_count = 1, .customer_sku_max = 3},
        .pool = {.sku = 1, .warehouse = 1, .quantity = 4},
    };
    struct sale_change_body open = {.key = id(2), .sale = 5};
    CHECK_EQUAL(ask(MESSAGE_sale_put, &sale, sizeof sale), OUTCOME_OK);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .sale = 5},
        .lines = {{.sku = 1, .quantity = 5, .price = 10}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_SALE_NOT_OPEN);
    CHECK_EQUAL(ask(MESSAGE_sale_open, &open, sizeof open), OUTCOME_OK);
    CHECK_EQUAL(place(placing), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 4);
    placing.lines[0].quantity = 4;
    CHECK_EQUAL(place(placing), OUTCOME_CUSTOMER_LIMIT);
    check_rejection(1, 3);
    placing.lines[0].quantity = 2;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    open.key = id(3);
    CHECK_EQUAL(ask(MESSAGE_sale_close, &open, sizeof open), OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    struct {
        struct stock_get_body fixed;
        struct item_body item;
    } get = {.fixed = {.item_count = 1}, .item = {.sku = 1, .warehouse = 1}};
    CHECK_EQUAL(ask(MESSAGE_stock_get, &get, sizeof get), OUTCOME_OK);
    const struct stock_row_body *row =
        (const struct stock_row_body *)((const struct stock_get_reply_body *)reply.words + 1);
    CHECK_EQUAL(row->available, 10);
    CHECK_EQUAL(row->pooled, 0);
    script_end();
}

/* A request that is wrong in a field, and in another way too that would be answered NOT_FOUND,
 * BAD_TRANSITION or the like: the field is named. */
static void check_invalid(uint16_t number, const void *body, size_t size, unsigned field)
{
    CHECK_EQUAL(ask(number, body, size), OUTCOME_INVALID);
    check_rejection(field, 0);
}

#define CHECK_INVALID(number, shape, field, ...)                                                   \
    check_invalid(number, &(struct shape##_body){__VA_ARGS__}, sizeof(struct shape##_body), field)

/* SKU 1 with stock in warehouse 1, sale 5 CLOSED, order 1 CANCELLED; nothing else is known. */
static void script_with_ended_things(void)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 10);
    open_sale((struct sale_put_body){.sale = 5});
    struct sale_change_body close = {.key = id(++keys), .sale = 5};
    CHECK_EQUAL(ask(MESSAGE_sale_close, &close, sizeof close), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 1, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
}

TEST(invalid_stock_comes_before_what_is_not_found)
{
    script_with_ended_things();
    CHECK_INVALID(MESSAGE_stock_adjust, stock_adjust, stock_adjust_field_sku, .key = id(1));
    CHECK_INVALID(MESSAGE_stock_adjust, stock_adjust, stock_adjust_field_delta, .key = id(1),
                  .sku = 99, .warehouse = 1);
    CHECK_INVALID(MESSAGE_stock_adjust, stock_adjust, stock_adjust_field_warehouse, .key = id(1),
                  .sku = 99, .delta = 1);
    CHECK_INVALID(MESSAGE_stock_set, stock_set, stock_set_field_sku, .key = id(1), .on_hand = -1);
    CHECK_INVALID(MESSAGE_stock_set, stock_set, stock_set_field_on_hand, .key = id(1), .sku = 99,
                  .on_hand = QUANTITY_MAX + 1, .warehouse = 1);
    CHECK_INVALID(MESSAGE_stock_set, stock_set, stock_set_field_warehouse, .key = id(1), .sku = 99);
    CHECK_INVALID(MESSAGE_stock_set, stock_set, stock_set_field_on_hand, .key = id(1), .sku = 1,
                  .warehouse = 1, .expected = 7, .on_hand = -1);
    struct {
        struct stock_get_body fixed;
        struct item_body items[2];
    } get = {.fixed = {.item_count = 2}, .items = {{.sku = 99}, {.sku = 0}}};
    check_invalid(MESSAGE_stock_get, &get, sizeof get, ROW_FIELD + (unsigned)item_field_sku);
    script_end();
}

TEST(invalid_sale_comes_before_what_is_closed_or_not_found)
{
    script_with_ended_things();
    struct {
        struct sale_put_body fixed;
        struct pool_body pools[2];
    } put = {.fixed = {.key = id(1), .sale = 5, .pool_count = 2},
             .pools = {{.sku = 1, .warehouse = 1}, {.sku = 1, .warehouse = 1}}};
    check_invalid(MESSAGE_sale_put, &put, sizeof put, ROW_FIELD + (unsigned)pool_field_sku);
    put.fixed.sale = 6;
    put.pools[0].sku = put.pools[1].sku = 99;
    check_invalid(MESSAGE_sale_put, &put, sizeof put, ROW_FIELD + (unsigned)pool_field_sku);
    put.pools[1] = (struct pool_body){.sku = 1, .warehouse = 0, .quantity = 1};
    check_invalid(MESSAGE_sale_put, &put, sizeof put, ROW_FIELD + (unsigned)pool_field_warehouse);
    put.pools[1] = (struct pool_body){.sku = 0, .warehouse = 1, .quantity = 1};
    check_invalid(MESSAGE_sale_put, &put, sizeof put, ROW_FIELD + (unsigned)pool_field_sku);
    put.fixed.points_share = POINTS_SHARE_WHOLE + 1;
    check_invalid(MESSAGE_sale_put, &put, sizeof put, sale_put_field_points_share);
    CHECK_INVALID(MESSAGE_sale_put, sale_put, sale_put_field_opens, .key = id(1), .sale = 5,
                  .opens = TIME_US_MAX + 1);
    CHECK_INVALID(MESSAGE_sale_put, sale_put, sale_put_field_closes, .key = id(1), .sale = 5,
                  .closes = TIME_US_MAX + 1);
    CHECK_INVALID(MESSAGE_sale_open, sale_change, sale_change_field_sale, .key = id(1));
    CHECK_INVALID(MESSAGE_sale_pause, sale_change, sale_change_field_sale, .key = id(1));
    CHECK_INVALID(MESSAGE_sale_close, sale_change, sale_change_field_sale, .key = id(1));
    script_end();
}

TEST(invalid_order_comes_before_what_is_not_found_or_has_ended)
{
    script_with_ended_things();
    struct {
        struct order_place_body fixed;
        struct line_body line;
    } order = {.fixed = {.order = id(2), .customer = id(9), .sale = 77, .line_count = 1},
               .line = {.sku = 99, .price = 10}};
    check_invalid(MESSAGE_order_place, &order, sizeof order,
                  ROW_FIELD + (unsigned)line_field_quantity);
    order.line.quantity = 1;
    order.line.price = -1;
    check_invalid(MESSAGE_order_place, &order, sizeof order,
                  ROW_FIELD + (unsigned)line_field_price);
    order.fixed.order = id(1); /* a known order with other content */
    check_invalid(MESSAGE_order_place, &order, sizeof order,
                  ROW_FIELD + (unsigned)line_field_price);
    order.fixed.currency = CURRENCY_MAX + 1;
    check_invalid(MESSAGE_order_place, &order, sizeof order, order_place_field_currency);
    CHECK_INVALID(MESSAGE_order_cancel, order_change, order_change_field_order, .key = id(1));
    CHECK_INVALID(MESSAGE_hold_release, order_change, order_change_field_order, .key = id(1));
    CHECK_INVALID(MESSAGE_hold_extend, hold_extend, hold_extend_field_order, .key = id(1));
    CHECK_INVALID(MESSAGE_hold_extend, hold_extend, hold_extend_field_hold, .key = id(1),
                  .order = id(99));
    CHECK_INVALID(MESSAGE_hold_extend, hold_extend, hold_extend_field_hold, .key = id(1),
                  .order = id(1), .hold = HOLD_MAX_S + 1);
    CHECK_INVALID(MESSAGE_order_get, order_id, order_id_field_order, id(0));
    CHECK_INVALID(MESSAGE_order_history, order_history, order_history_field_order, .cursor = 5);
    script_end();
}

TEST(invalid_payment_or_points_come_before_what_is_not_found)
{
    script_with_ended_things();
    struct payment_event_body event = {
        .event = id(1), .order = id(99), .provider = 1, .status = payment_status_SUCCESS};
    check_invalid(MESSAGE_payment_event, &event, sizeof event, payment_event_field_currency);
    event.currency = CURRENCY_MAX + 1;
    check_invalid(MESSAGE_payment_event, &event, sizeof event, payment_event_field_currency);
    event.order = id(1);
    check_invalid(MESSAGE_payment_event, &event, sizeof event, payment_event_field_currency);
    event.amount = -1;
    check_invalid(MESSAGE_payment_event, &event, sizeof event, payment_event_field_amount);
    CHECK_INVALID(MESSAGE_points_balance, points_balance, points_balance_field_customer, id(0));
    CHECK_EQUAL(credit(8, POINTS_MAX, 0), OUTCOME_OK);
    CHECK_INVALID(MESSAGE_points_credit, points_credit, points_credit_field_expires, .key = id(1),
                  .customer = id(8), .points = 1, .expires = now);
    script_end();
}

/* A PENDING order of one unit of SKU 1 at 100, which holds points. */
static void place_with_points(uint64_t order, int64_t points, uint32_t hold)
{
    CHECK_EQUAL(
        place((struct placing){
            .fixed = {.order = id(order), .customer = id(9), .points = points, .hold = hold},
            .lines = {{.sku = 1, .quantity = 1, .price = 100}},
        }),
        OUTCOME_OK);
    CHECK_EQUAL(placed()->points_used, points);
    CHECK_EQUAL(placed()->state, order_state_PENDING);
}

TEST(points_released_late_each_get_a_day_of_their_own)
{
    enum { DAY = 24 * 3600, MINUTE = 60 };
    script_start();
    put_sku(1, 100);
    add_stock(1, 1, 3);
    CHECK_EQUAL(credit(9, 100, now + 10 * SECOND), OUTCOME_OK);
    place_with_points(1, 60, 2 * DAY);
    place_with_points(2, 40, 2 * DAY);
    now += 20 * SECOND;
    uint64_t first = now + POINTS_GRACE_US;
    CHECK_EQUAL(change(MESSAGE_hold_release, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 60);
    CHECK_EQUAL(balance(9)->next_expiry, first);
    now = first - (uint64_t)MINUTE * SECOND;
    CHECK_EQUAL(change(MESSAGE_hold_release, 2), OUTCOME_OK);
    uint64_t second = now + POINTS_GRACE_US;
    CHECK_EQUAL(balance(9)->available, 100);
    CHECK_EQUAL(balance(9)->next_expiry, first);
    CHECK_EQUAL(balance(9)->expiring, 60);
    now = first;
    CHECK_EQUAL(balance(9)->available, 40);
    CHECK_EQUAL(balance(9)->next_expiry, second);
    /* Points that expire first are spent first, whichever lot they came from. */
    place_with_points(3, 10, DAY);
    CHECK_EQUAL(balance(9)->expiring, 30);
    now = second;
    CHECK_EQUAL(balance(9)->balance, 10);
    script_end();
}

TEST(points_held_again_and_again_end_seven_days_after_their_expiry)
{
    enum { DAY = 24 * 3600 };
    script_start();
    put_sku(1, 100);
    add_stock(1, 1, 9);
    uint64_t expiry = now + 10 * SECOND;
    uint64_t last = expiry + 7ULL * DAY * SECOND;
    CHECK_EQUAL(credit(9, 50, expiry), OUTCOME_OK);
    now = expiry - 1;
    for (uint64_t order = 1; order <= 6; order++) {
        place_with_points(order, 50, 2 * DAY);
        now += 25ULL * 3600 * SECOND;
        CHECK_EQUAL(change(MESSAGE_hold_release, order), OUTCOME_OK);
        CHECK_EQUAL(balance(9)->available, 50);
        uint64_t day_later = now + POINTS_GRACE_US;
        CHECK_EQUAL(balance(9)->next_expiry, day_later < last ? day_later : last);
    }
    CHECK_EQUAL(balance(9)->next_expiry, last);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(9), .customer = id(9), .points = 20, .hold = DAY},
                    .lines = {{.sku = 1, .quantity = 1, .price = 100}},
                }),
                OUTCOME_OK);
    now = last - 1;
    CHECK_EQUAL(balance(9)->available, 30);
    now = last;
    CHECK_EQUAL(balance(9)->available, 0);
    CHECK_EQUAL(balance(9)->held, 20);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 9), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->balance, 0);
    script_end();
}

TEST(spent_points_that_come_back_after_their_expiry_get_a_day_within_the_seven)
{
    enum { DAY = 24 * 3600 };
    script_start();
    put_sku(1, 100);
    add_stock(1, 1, 9);
    CHECK_EQUAL(credit(9, 300, now + 10 * SECOND), OUTCOME_OK);
    struct placing placing = {
        .fixed = {.customer = id(9), .points = 100},
        .lines = {{.sku = 1, .quantity = 1, .price = 100}},
    };
    for (uint64_t order = 1; order <= 2; order++) {
        placing.fixed.order = id(order);
        CHECK_EQUAL(place(placing), OUTCOME_OK);
        CHECK_EQUAL(placed()->state, order_state_CONFIRMED);
    }
    now += 3ULL * DAY * SECOND;
    CHECK_EQUAL(balance(9)->balance, 0);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->balance, 100);
    CHECK_EQUAL(balance(9)->next_expiry, now + POINTS_GRACE_US);
    now += 5ULL * DAY * SECOND;
    CHECK_EQUAL(change(MESSAGE_order_cancel, 2), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->balance, 0);
    script_end();
}

TEST(bound_of_points_counts_those_that_may_come_back)
{
    script_start();
    put_sku(1, PRICE_MAX);
    add_stock(1, 1, 9);
    CHECK_EQUAL(credit(9, POINTS_MAX, 0), OUTCOME_OK);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .points = POINTS_MAX},
        .lines = {{.sku = 1, .quantity = 1, .price = PRICE_MAX}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->state, order_state_CONFIRMED);
    CHECK_EQUAL(balance(9)->balance, 0);
    CHECK_EQUAL(credit(9, 1, 0), OUTCOME_OVERFLOW);
    check_rejection(0, POINTS_MAX);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->balance, POINTS_MAX);
    CHECK_EQUAL(credit(9, 1, 0), OUTCOME_OVERFLOW);
    /* Held ones count as well. */
    placing.fixed.order = id(2);
    placing.fixed.points = POINTS_MAX - 1;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->state, order_state_PENDING);
    CHECK_EQUAL(credit(9, 1, 0), OUTCOME_OVERFLOW);
    CHECK_EQUAL(credit(8, 1, 0), OUTCOME_OK);
    script_end();
}

TEST(points_that_expired_leave_room_for_others)
{
    enum { ROUNDS = 9300 }; /* this many bounds add up to more than 63 bits can hold */
    script_start();
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EQUAL(credit(9, POINTS_MAX, now + SECOND), OUTCOME_OK);
        now += SECOND;
    }
    CHECK_EQUAL(balance(9)->balance, 0);
    CHECK_EQUAL(credit(9, POINTS_MAX, 0), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->balance, POINTS_MAX);
    script_end();
}

TEST(points_worth_nothing_are_not_taken)
{
    script_start();
    put_sku(1, 1000);
    add_stock(1, 1, 9);
    open_sale((struct sale_put_body){
        .sale = 5, .points_share = POINTS_SHARE_WHOLE, .rate_points = 100, .rate_money = 1});
    CHECK_EQUAL(credit(9, 1000, 0), OUTCOME_OK);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .sale = 5, .points = 99},
        .lines = {{.sku = 1, .quantity = 1, .price = 1000}},
    };
    /* A unit of money costs 100 points: 99 points are worth nothing, and 299 are worth as much as
     * 200. */
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->points_used, 0);
    CHECK_EQUAL(placed()->points_value, 0);
    CHECK_EQUAL(placed()->money_due, 1000);
    placing.fixed.order = id(2);
    placing.fixed.points = 299;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->points_used, 200);
    CHECK_EQUAL(placed()->points_value, 2);
    CHECK_EQUAL(balance(9)->available, 800);
    /* POINTS_EXACT only requires that as many could be used; points that would add no value
     * stay. */
    placing.fixed.order = id(3);
    placing.fixed.points = 199;
    placing.fixed.flags = place_flags_POINTS_EXACT;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->points_used, 100);
    placing.fixed.order = id(4);
    placing.fixed.points = 701;
    CHECK_EQUAL(place(placing), OUTCOME_INSUFFICIENT_POINTS);
    check_rejection(0, 700);
    script_end();
}

TEST(history_comes_in_pages_and_loses_nothing)
{
    enum { EVENTS = 200 };
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 9);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 1, .price = 10}},
                }),
                OUTCOME_OK);
    for (uint64_t event = 1; event <= EVENTS; event++)
        CHECK_EQUAL(pay(event, 1, 10, payment_status_FAILURE), OUTCOME_OK);
    struct order_history_body page = {.order = id(1)};
    const struct order_history_reply_body *answer = (const void *)reply.words;
    uint32_t version = 0;
    do {
        CHECK_EQUAL(ask(MESSAGE_order_history, &page, sizeof page), OUTCOME_OK);
        const struct step_body *rows = (const struct step_body *)(answer + 1);
        for (unsigned i = 0; i < answer->step_count; i++)
            CHECK_EQUAL(rows[i].version, ++version);
        page.cursor = answer->next;
    } while (page.cursor != 0);
    CHECK_EQUAL(version, EVENTS + 1);
    /* From any step on; behind the last one there is nothing. */
    page.cursor = EVENTS;
    CHECK_EQUAL(ask(MESSAGE_order_history, &page, sizeof page), OUTCOME_OK);
    CHECK_EQUAL(answer->step_count, 2);
    page.cursor = UINT64_MAX;
    CHECK_EQUAL(ask(MESSAGE_order_history, &page, sizeof page), OUTCOME_OK);
    CHECK_EQUAL(answer->step_count, 0);
    CHECK_EQUAL(answer->next, 0);
    script_end();
}

/* A PAID order of one unit of SKU 1 at 10. */
static void place_paid(uint64_t order)
{
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(order), .customer = id(9), .flags = place_flags_PAID},
                    .lines = {{.sku = 1, .quantity = 1, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(placed()->state, order_state_CONFIRMED);
}

TEST(first_success_of_a_paid_order_is_the_word_of_its_payment)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 9);
    place_paid(1);
    /* Neither a failure nor another amount confirms that payment. */
    CHECK_EQUAL(pay(1, 1, 10, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 0);
    CHECK_EQUAL(pay(2, 1, 9, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 9);
    CHECK_EQUAL(pay(3, 1, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 9);
    CHECK_EQUAL(status()->version, 4);
    CHECK_EQUAL(pay(3, 1, 10, payment_status_SUCCESS), OUTCOME_REPLAYED);
    CHECK_EQUAL(pay(4, 1, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 19);
    struct order_id_body get = {id(1)};
    CHECK_EQUAL(ask(MESSAGE_order_get, &get, sizeof get), OUTCOME_OK);
    CHECK_EQUAL(((const struct order_get_reply_body *)reply.words)->captured, 29);

    /* The payment is confirmed after the order was cancelled: the refund is due only once. */
    place_paid(2);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 2), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 10);
    CHECK_EQUAL(pay(5, 2, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 10);
    CHECK_EQUAL(pay(6, 2, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 20);

    /* An order with nothing to pay has no payment to be confirmed. */
    CHECK_EQUAL(credit(9, 10, 0), OUTCOME_OK);
    CHECK_EQUAL(
        place((struct placing){
            .fixed = {.order = id(3), .customer = id(9), .points = 10, .flags = place_flags_PAID},
            .lines = {{.sku = 1, .quantity = 1, .price = 10}},
        }),
        OUTCOME_OK);
    CHECK_EQUAL(pay(7, 3, 10, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 10);
    script_end();
}

TEST(payment_event_is_known_as_long_as_its_order)
{
    enum { YEAR = 365 * 24 * 3600 };
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 9);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 1, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(pay(1, 1, 10, payment_status_SUCCESS), OUTCOME_OK);
    now += (uint64_t)YEAR * SECOND;
    CHECK_EQUAL(pay(2, 1, 10, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(pay(1, 1, 10, payment_status_SUCCESS), OUTCOME_REPLAYED);
    CHECK_EQUAL(status()->version, 2);
    CHECK_EQUAL(status()->refund_due, 0);
    CHECK_EQUAL(pay(1, 1, 11, payment_status_SUCCESS), OUTCOME_EVENT_CONFLICT);
    script_end();
}

/* Lets order 1's hold end, and others take what it had: `taken` units of SKU 1 in warehouse 1. */
static void let_it_end(uint32_t taken)
{
    now += 2 * SECOND;
    CHECK_EQUAL(expire_holds(), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(2), .customer = id(8)},
                    .lines = {{.sku = 1, .quantity = taken, .warehouse = 1, .price = 10}},
                }),
                OUTCOME_OK);
}

static const struct piece_body *order_piece(int index)
{
    struct order_id_body get = {id(1)};
    CHECK_EQUAL(ask(MESSAGE_order_get, &get, sizeof get), OUTCOME_OK);
    return (const struct piece_body *)((const struct order_get_reply_body *)reply.words + 1) +
           index;
}

TEST(late_success_takes_elsewhere_what_is_not_where_it_was)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 3);
    add_stock(1, 2, 2);
    add_stock(1, 3, 3);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .hold = 1},
        .lines = {{.sku = 1, .quantity = 3, .price = 10}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(take(0)->warehouse, 1);
    let_it_end(1);
    put_sku(1, 99); /* the order's price is its own */
    CHECK_EQUAL(pay(1, 1, 30, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    CHECK_EQUAL(status()->refund_due, 0);
    CHECK_EQUAL(order_piece(0)->warehouse, 3);
    CHECK_EQUAL(order_piece(0)->allocated, 3);
    CHECK_EQUAL(order_piece(0)->price, 10);
    /* Its placing still gets its first answer. */
    CHECK_EQUAL(place(placing), OUTCOME_REPLAYED);
    CHECK_EQUAL(take(0)->warehouse, 1);
    struct stock_set_body set = {
        .key = id(1), .sku = 1, .warehouse = 3, .expected = 3, .flags = stock_flags_ALLOW_DEFICIT};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    const struct stock_level_body *level = (const struct stock_level_body *)reply.words;
    CHECK_EQUAL(level->orders_concerned, 1);
    set = (struct stock_set_body){
        .key = id(2), .sku = 1, .warehouse = 1, .expected = 3, .flags = stock_flags_ALLOW_DEFICIT};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    CHECK_EQUAL(level->orders_concerned, 1); /* the other one */
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 30);
    script_end();
}

TEST(late_success_takes_by_its_own_allocation_alone)
{
    static const struct {
        uint8_t allocation;
        uint32_t warehouse; /* that the line names */
        bool is_sold;
    } cases[] = {
        {allocation_SINGLE, 0, false}, /* no warehouse has all three */
        {allocation_SINGLE, 1, false}, {allocation_RANK, 0, true},
        {allocation_RANK, 1, false},   {allocation_EXPLICIT, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script_start();
        put_sku(1, 10);
        add_stock(1, 1, 3);
        add_stock(1, 2, 2);
        CHECK_EQUAL(
            place((struct placing){
                .fixed = {.order = id(1),
                          .customer = id(9),
                          .hold = 1,
                          .allocation = cases[i].allocation},
                .lines = {{.sku = 1, .quantity = 3, .price = 10, .warehouse = cases[i].warehouse}},
            }),
            OUTCOME_OK);
        let_it_end(1);
        CHECK_EQUAL(pay(1, 1, 30, payment_status_SUCCESS), OUTCOME_OK);
        CHECK_EQUAL(status()->state,
                    cases[i].is_sold ? order_state_CONFIRMED : order_state_EXPIRED);
        CHECK_EQUAL(status()->refund_due, cases[i].is_sold ? 0 : 30);
        if (cases[i].is_sold) {
            CHECK_EQUAL(order_piece(0)->allocated, 2);
            CHECK_EQUAL(order_piece(1)->warehouse, 2);
            CHECK_EQUAL(order_piece(1)->allocated, 1);
        }
        script_end();
    }
}

TEST(late_success_of_a_partial_order_takes_what_it_had)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 2);
    CHECK_EQUAL(
        place((struct placing){
            .fixed = {.order = id(1), .customer = id(9), .hold = 1, .flags = place_flags_PARTIAL},
            .lines = {{.sku = 1, .quantity = 5, .price = 10}},
        }),
        OUTCOME_OK);
    CHECK_EQUAL(placed()->total, 20);
    let_it_end(1);
    add_stock(1, 2, 9);
    CHECK_EQUAL(pay(1, 1, 20, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    CHECK_EQUAL(order_piece(0)->warehouse, 2);
    CHECK_EQUAL(order_piece(0)->allocated, 2);
    CHECK_EQUAL(order_piece(0)->quantity, 5);
    script_end();
}

TEST(late_success_takes_from_what_is_available_once_its_sale_has_closed)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 4);
    add_stock(1, 2, 4);
    struct {
        struct sale_put_body fixed;
        struct pool_body pool;
    } sale = {
        .fixed = {.key = id(1), .sale = 5, .pool_count = 1},
        .pool = {.sku = 1, .warehouse = 1, .quantity = 4},
    };
    struct sale_change_body change_sale = {.key = id(2), .sale = 5};
    CHECK_EQUAL(ask(MESSAGE_sale_put, &sale, sizeof sale), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_sale_open, &change_sale, sizeof change_sale), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .sale = 5, .hold = 1},
                    .lines = {{.sku = 1, .quantity = 4, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(take(0)->warehouse, 1);
    change_sale.key = id(3);
    CHECK_EQUAL(ask(MESSAGE_sale_close, &change_sale, sizeof change_sale), OUTCOME_OK);
    let_it_end(1);
    CHECK_EQUAL(pay(1, 1, 40, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    CHECK_EQUAL(order_piece(0)->warehouse, 2);
    script_end();
}

TEST(late_success_on_a_hold_that_has_just_ended_counts_what_it_still_holds)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 3);
    add_stock(1, 2, 3);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .hold = 1},
                    .lines = {{.sku = 1, .quantity = 3, .price = 10}},
                }),
                OUTCOME_OK);
    /* One of the three is missing: with what the hold gives back there are two. */
    struct stock_set_body set = {.key = id(1),
                                 .sku = 1,
                                 .warehouse = 1,
                                 .expected = 3,
                                 .on_hand = 2,
                                 .flags = stock_flags_ALLOW_DEFICIT};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    now += SECOND;
    CHECK_EQUAL(pay(1, 1, 30, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    CHECK_EQUAL(status()->version, 3);
    CHECK_EQUAL(order_piece(0)->warehouse, 2);
    script_end();
}

static uint16_t transfer(int64_t quantity, uint32_t from, uint32_t to)
{
    struct stock_transfer_body body = {
        .key = id(++keys), .sku = 1, .quantity = quantity, .from = from, .to = to};
    return ask(MESSAGE_stock_transfer, &body, sizeof body);
}

static const struct level_body *level(int index)
{
    return (const struct level_body *)((const struct stock_transfer_reply_body *)reply.words + 1) +
           index;
}

static uint16_t set_aside(int64_t delta, uint16_t flags)
{
    struct stock_unsellable_body body = {
        .key = id(++keys), .sku = 1, .delta = delta, .warehouse = 1, .flags = flags};
    return ask(MESSAGE_stock_unsellable, &body, sizeof body);
}

static const struct warehouse_put_reply_body *put_warehouse(uint32_t warehouse, uint8_t state)
{
    struct warehouse_put_body body = {.key = id(++keys), .warehouse = warehouse, .state = state};
    CHECK_EQUAL(ask(MESSAGE_warehouse_put, &body, sizeof body), OUTCOME_OK);
    return (const struct warehouse_put_reply_body *)reply.words;
}

/* Zone 4, of two warehouses. */
static void put_zone(uint32_t first, int64_t first_cost, uint32_t second, int64_t second_cost)
{
    struct {
        struct zone_put_body fixed;
        struct zone_warehouse_body rows[2];
    } body = {
        .fixed = {.key = id(++keys), .zone = 4, .warehouse_count = 2},
        .rows = {{.warehouse = first, .cost = first_cost},
                 {.warehouse = second, .cost = second_cost}},
    };
    CHECK_EQUAL(ask(MESSAGE_zone_put, &body, sizeof body), OUTCOME_OK);
}

TEST(transfer_moves_what_is_available_and_nothing_else)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 8);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 3, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(transfer(6, 1, 2), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 5);
    CHECK_EQUAL(transfer(5, 1, 2), OUTCOME_OK);
    CHECK_EQUAL(level(0)->on_hand, 3);
    CHECK_EQUAL(level(0)->available, 0);
    CHECK_EQUAL(level(1)->on_hand, 5);
    CHECK_EQUAL(level(1)->available, 5);
    add_stock(1, 3, QUANTITY_MAX);
    CHECK_EQUAL(transfer(1, 2, 3), OUTCOME_OVERFLOW);
    check_rejection(0, QUANTITY_MAX);
    CHECK_EQUAL(transfer(1, 2, 2), OUTCOME_INVALID);
    check_rejection(stock_transfer_field_to, 0);
    /* What comes back is in the warehouse that it was taken from. */
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(transfer(3, 1, 2), OUTCOME_OK);
    script_end();
}

TEST(unsellable_units_come_back_or_are_discarded)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 8);
    CHECK_EQUAL(set_aside(9, 0), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 8);
    CHECK_EQUAL(set_aside(5, 0), OUTCOME_OK);
    const struct stock_level_body *stock = (const struct stock_level_body *)reply.words;
    CHECK_EQUAL(stock->on_hand, 8);
    CHECK_EQUAL(stock->available, 3);
    CHECK_EQUAL(set_aside(-1, 0), OUTCOME_OK);
    CHECK_EQUAL(stock->on_hand, 8);
    CHECK_EQUAL(stock->available, 4);
    CHECK_EQUAL(set_aside(-3, stock_flags_DISCARD), OUTCOME_OK);
    CHECK_EQUAL(stock->on_hand, 5);
    CHECK_EQUAL(stock->available, 4);
    CHECK_EQUAL(set_aside(-2, stock_flags_DISCARD), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 1);
    CHECK_EQUAL(set_aside(1, stock_flags_DISCARD), OUTCOME_INVALID);
    check_rejection(stock_unsellable_field_flags, 0);
    script_end();
}

TEST(warehouse_that_is_shut_gives_nothing_and_counts_what_it_has_promised)
{
    script_start();
    put_sku(1, 10);
    put_sku(2, 20);
    add_stock(1, 1, 5);
    add_stock(2, 1, 5);
    add_stock(1, 2, 2);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9)},
        .lines = {{.sku = 1, .quantity = 1, .price = 10}, {.sku = 2, .quantity = 2, .price = 20}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    placing.fixed.order = id(2);
    placing.fixed.flags = place_flags_PAID;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(put_warehouse(1, warehouse_state_DRAINING)->orders, 2);
    CHECK_EQUAL(put_warehouse(1, warehouse_state_OFFLINE)->units, 6);

    placing.fixed.order = id(3);
    CHECK_EQUAL(place(placing), OUTCOME_SOLD_OUT);
    check_rejection(2, 0);
    placing.lines[1].sku = 0;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(take(0)->warehouse, 2);
    placing.fixed.order = id(4);
    placing.lines[0].warehouse = 1;
    CHECK_EQUAL(place(placing), OUTCOME_WAREHOUSE_OFFLINE);
    check_rejection(1, 0);

    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(put_warehouse(1, warehouse_state_ONLINE)->orders, 1);
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(put_warehouse(1, warehouse_state_ONLINE)->units, 4);
    script_end();
}

TEST(cheapest_takes_one_parcel_where_it_can)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 4);
    add_stock(1, 2, 3);
    add_stock(1, 3, 9);
    put_zone(1, 500, 2, 200);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .allocation = allocation_CHEAPEST, .zone = 4},
        .lines = {{.sku = 1, .quantity = 4, .price = 10}},
    };
    /* The cheaper one has 3, the other all. */
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(placed()->take_count, 1);
    CHECK_EQUAL(take(0)->warehouse, 1);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    placing.fixed.order = id(2);
    placing.lines[0].quantity = 8;
    CHECK_EQUAL(place(placing), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 7);
    placing.lines[0].quantity = 6;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(take(0)->warehouse, 2);
    CHECK_EQUAL(take(0)->quantity, 3);
    CHECK_EQUAL(take(1)->warehouse, 1);
    CHECK_EQUAL(take(1)->quantity, 3);

    placing.fixed.order = id(3);
    placing.lines[0] = (struct line_body){.sku = 1, .quantity = 1, .warehouse = 3, .price = 10};
    CHECK_EQUAL(place(placing), OUTCOME_SOLD_OUT);
    check_rejection(1, 0);
    placing.fixed.zone = 5;
    CHECK_EQUAL(place(placing), OUTCOME_NOT_FOUND);
    check_rejection(5, 0);
    placing.fixed.zone = 0;
    CHECK_EQUAL(place(placing), OUTCOME_INVALID);
    check_rejection(order_place_field_zone, 0);
    script_end();
}

TEST(late_success_takes_from_the_zone_as_it_is_by_then)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 2);
    add_stock(1, 2, 1);
    add_stock(1, 3, 1);
    put_zone(1, 100, 2, 200);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1),
                              .customer = id(9),
                              .hold = 1,
                              .allocation = allocation_CHEAPEST,
                              .zone = 4},
                    .lines = {{.sku = 1, .quantity = 2, .price = 10}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(take(0)->warehouse, 1);
    put_warehouse(1, warehouse_state_OFFLINE);
    put_zone(3, 100, 2, 200);
    now += SECOND;
    CHECK_EQUAL(pay(1, 1, 20, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    CHECK_EQUAL(put_warehouse(3, warehouse_state_ONLINE)->units, 1);
    CHECK_EQUAL(put_warehouse(2, warehouse_state_ONLINE)->orders, 1);
    CHECK_EQUAL(put_warehouse(1, warehouse_state_ONLINE)->orders, 0);
    script_end();
}

static void set_terms(uint32_t points, uint32_t money, uint32_t window, uint32_t life)
{
    struct points_terms_body body = {.key = id(++keys),
                                     .earn_points = points,
                                     .earn_money = money,
                                     .return_window = window,
                                     .earn_life = life};
    CHECK_EQUAL(ask(MESSAGE_points_terms, &body, sizeof body), OUTCOME_OK);
}

static uint16_t adjust(uint64_t customer, int64_t delta, uint64_t expires)
{
    struct points_adjust_body body = {.key = id(++keys),
                                      .customer = id(customer),
                                      .delta = delta,
                                      .expires = expires,
                                      .reason = {"complaint"}};
    return ask(MESSAGE_points_adjust, &body, sizeof body);
}

/* Customer 9 buys so many units of SKU 1, at 10, and pays with points and at once. */
static void buy(uint64_t order, uint32_t sale, uint32_t quantity, int64_t points)
{
    struct placing placing = {
        .fixed = {.order = id(order),
                  .customer = id(9),
                  .sale = sale,
                  .points = points,
                  .flags = place_flags_PAID},
        .lines = {{.sku = 1, .quantity = quantity, .price = 10}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_OK);
}

static void shop_with_stock(void)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 1000);
}

static void pass(uint64_t seconds)
{
    now += seconds * SECOND;
    expire_holds();
}

static const struct entry_body *ledger(uint64_t customer, struct id cursor)
{
    struct points_page_body body = {.customer = id(customer), .cursor = cursor};
    CHECK_EQUAL(ask(MESSAGE_points_ledger, &body, sizeof body), OUTCOME_OK);
    return (const struct entry_body *)((const struct points_ledger_reply_body *)reply.words + 1);
}

static const struct lot_body *lots(uint64_t customer, struct id cursor)
{
    struct points_page_body body = {.customer = id(customer), .cursor = cursor};
    CHECK_EQUAL(ask(MESSAGE_points_lots, &body, sizeof body), OUTCOME_OK);
    return (const struct lot_body *)((const struct points_lots_reply_body *)reply.words + 1);
}

static uint16_t lot_count(void)
{
    return ((const struct points_lots_reply_body *)reply.words)->lot_count;
}

static struct id lots_next(void)
{
    return ((const struct points_lots_reply_body *)reply.words)->next;
}

static struct id ledger_next(void)
{
    return ((const struct points_ledger_reply_body *)reply.words)->next;
}

TEST(earned_points_are_promised_and_come_when_the_return_window_closes)
{
    shop_with_stock();
    set_terms(3, 7, 14 * 86400, 365 * 86400);
    buy(1, 0, 5, 0);
    /* floor(50 x 3 / 7) = 21 */
    CHECK_EQUAL(balance(9)->promised, 21);
    CHECK_EQUAL(balance(9)->balance, 0);
    now += 14 * 86400ULL * SECOND - 1;
    expire_holds();
    CHECK_EQUAL(balance(9)->promised, 21);
    pass(1);
    CHECK_EQUAL(balance(9)->promised, 0);
    CHECK_EQUAL(balance(9)->available, 21);
    const struct lot_body *lot = lots(9, (struct id){0});
    CHECK_EQUAL(lot_count(), 1);
    CHECK_EQUAL(lot->left, 21);
    CHECK_EQUAL(lot->expires, now + 365ULL * 86400 * SECOND);
    CHECK(id_equal(lot->order, id(1)));
    const struct entry_body *entry = ledger(9, (struct id){0});
    CHECK_EQUAL(entry->kind, ledger_kind_EARN);
    CHECK_EQUAL(entry->balance, 21);
    CHECK_EQUAL(entry->available, 21);
    script_end();
}

TEST(earned_points_are_of_the_money_that_was_paid)
{
    shop_with_stock();
    CHECK_EQUAL(credit(9, 30, 0), OUTCOME_OK);
    set_terms(1, 1, 60, 0);
    buy(1, 0, 5, 30);
    CHECK_EQUAL(balance(9)->promised, 20);
    /* A second payment is due back at once, and a late one of an ended order is not. */
    CHECK_EQUAL(pay(1, 1, 20, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(pay(2, 1, 20, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->refund_due, 20);
    CHECK_EQUAL(balance(9)->promised, 20);
    struct placing placing = {.fixed = {.order = id(2), .customer = id(9), .hold = 1},
                              .lines = {{.sku = 1, .quantity = 4, .price = 10}}};
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->promised, 20);
    pass(2);
    CHECK_EQUAL(pay(3, 2, 40, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    CHECK_EQUAL(balance(9)->promised, 60);
    script_end();
}

TEST(earned_points_follow_the_terms_of_the_confirmation)
{
    shop_with_stock();
    struct sale_put_body terms = {
        .sale = 5, .earn_points = 2, .earn_money = 1, .return_window = 100};
    open_sale(terms);
    set_terms(7, 1, 1, 0);
    buy(1, 5, 1, 0);
    CHECK_EQUAL(balance(9)->promised, 20);
    terms.key = id(++keys);
    terms.earn_points = terms.earn_money = terms.return_window = 0;
    CHECK_EQUAL(ask(MESSAGE_sale_put, &terms, sizeof terms), OUTCOME_OK);
    buy(2, 5, 1, 0);
    CHECK_EQUAL(balance(9)->promised, 20);
    pass(99);
    CHECK_EQUAL(balance(9)->available, 0);
    pass(2);
    CHECK_EQUAL(balance(9)->available, 20);
    CHECK_EQUAL(balance(9)->next_expiry, 0);
    script_end();
}

TEST(cancelled_before_its_window_closes_an_order_earns_nothing)
{
    shop_with_stock();
    set_terms(1, 1, 100, 0);
    buy(1, 0, 5, 0);
    CHECK_EQUAL(balance(9)->promised, 50);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->promised, 0);
    pass(200);
    CHECK_EQUAL(balance(9)->balance, 0);
    CHECK_EQUAL(balance(9)->owed, 0);
    ledger(9, (struct id){0});
    CHECK_EQUAL(((const struct points_ledger_reply_body *)reply.words)->entry_count, 0);
    script_end();
}

TEST(earned_points_are_taken_back_from_their_own_lot_first)
{
    shop_with_stock();
    set_terms(1, 1, 10, 1000);
    CHECK_EQUAL(credit(9, 30, now + 500 * SECOND), OUTCOME_OK);
    CHECK_EQUAL(credit(9, 30, 0), OUTCOME_OK);
    buy(1, 0, 5, 0);
    pass(11);
    CHECK_EQUAL(balance(9)->available, 110);
    /* 45 are spent: the 30 that expire first, then 15 of the earned ones. */
    set_terms(0, 0, 0, 0);
    buy(2, 0, 5, 45);
    CHECK_EQUAL(balance(9)->available, 65);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 15);
    CHECK_EQUAL(balance(9)->owed, 0);
    const struct entry_body *entries = ledger(9, (struct id){0});
    CHECK_EQUAL(entries[0].kind, ledger_kind_CLAWBACK);
    CHECK_EQUAL(entries[0].balance, -15);
    CHECK_EQUAL(entries[0].expires, 0);
    CHECK_EQUAL(entries[1].kind, ledger_kind_CLAWBACK);
    CHECK_EQUAL(entries[1].balance, -35);
    CHECK(id_equal(entries[1].order, id(1)));
    script_end();
}

TEST(what_cannot_be_taken_back_is_owed_and_settled_by_what_is_earned_next)
{
    shop_with_stock();
    set_terms(1, 1, 10, 0);
    buy(1, 0, 5, 0);
    pass(11);
    buy(2, 0, 4, 40);
    CHECK_EQUAL(balance(9)->available, 10);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 0);
    CHECK_EQUAL(balance(9)->owed, 40);
    /* A credit does not settle it, ... */
    CHECK_EQUAL(credit(9, 100, 0), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->owed, 40);
    /* ... and what is earned does, as far as it reaches. */
    buy(3, 0, 3, 0);
    buy(4, 0, 3, 0);
    pass(5);
    CHECK_EQUAL(balance(9)->promised, 60);
    pass(6);
    CHECK_EQUAL(balance(9)->owed, 0);
    CHECK_EQUAL(balance(9)->available, 120);
    const struct entry_body *entries = ledger(9, (struct id){0});
    CHECK_EQUAL(entries[0].kind, ledger_kind_CLAWBACK);
    CHECK_EQUAL(entries[0].balance, -10);
    CHECK_EQUAL(entries[1].kind, ledger_kind_EARN);
    CHECK_EQUAL(entries[2].balance, -30);
    script_end();
}

TEST(nobody_earns_more_than_a_customer_may_have)
{
    shop_with_stock();
    set_terms(1, 1, 10, 0);
    CHECK_EQUAL(credit(9, POINTS_MAX - 30, 0), OUTCOME_OK);
    buy(1, 0, 5, 0);
    CHECK_EQUAL(balance(9)->promised, 30);
    CHECK_EQUAL(credit(9, 1, 0), OUTCOME_OVERFLOW);
    pass(11);
    CHECK_EQUAL(balance(9)->available, POINTS_MAX);
    /* What was not earned is not taken back. */
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, POINTS_MAX - 30);
    script_end();
}

TEST(lots_expire_when_their_time_comes_however_far_it_is)
{
    static const uint64_t years = 40ULL * 366 * 86400;
    shop_with_stock();
    CHECK_EQUAL(credit(9, 10, now + 5 * SECOND), OUTCOME_OK);
    CHECK_EQUAL(credit(9, 20, now + 30 * 86400ULL * SECOND), OUTCOME_OK);
    CHECK_EQUAL(credit(9, 40, now + years * SECOND), OUTCOME_OK);
    pass(6);
    const struct entry_body *entry = ledger(9, (struct id){0});
    CHECK_EQUAL(entry->kind, ledger_kind_EXPIRE);
    CHECK_EQUAL(entry->balance, -10);
    CHECK_EQUAL(entry->time, now);
    pass(30 * 86400 - 60 * 60);
    CHECK_EQUAL(balance(9)->balance, 60);
    pass(60 * 60);
    CHECK_EQUAL(ledger(9, (struct id){0})->balance, -20);
    pass(years / 2);
    pass(years / 2 - 31 * 86400);
    CHECK_EQUAL(balance(9)->balance, 40);
    pass(31 * 86400);
    CHECK_EQUAL(ledger(9, (struct id){0})->balance, -40);
    CHECK_EQUAL(balance(9)->balance, 0);
    script_end();
}

TEST(adjusting_takes_what_expires_first_and_never_more_than_there_is)
{
    shop_with_stock();
    CHECK_EQUAL(adjust(9, -5, 0), OUTCOME_NOT_FOUND);
    CHECK_EQUAL(adjust(9, 50, 0), OUTCOME_OK);
    CHECK_EQUAL(adjust(9, 30, now + 100 * SECOND), OUTCOME_OK);
    CHECK_EQUAL(adjust(9, -5, now + 100 * SECOND), OUTCOME_INVALID);
    CHECK_EQUAL(adjust(9, -81, 0), OUTCOME_INSUFFICIENT_POINTS);
    check_rejection(0, 80);
    CHECK_EQUAL(adjust(9, -40, 0), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->balance, 40);
    const struct entry_body *entries = ledger(9, (struct id){0});
    CHECK_EQUAL(entries[0].balance, -10);
    CHECK_EQUAL(entries[1].balance, -30);
    CHECK_EQUAL(entries[0].seq, entries[1].seq);
    CHECK_EQUAL(entries[1].kind, ledger_kind_ADJUST);
    CHECK_EQUAL(adjust(9, POINTS_MAX - 39, 0), OUTCOME_OVERFLOW);
    script_end();
}

TEST(pages_of_points_stay_right_while_rows_come_and_go)
{
    enum { LOTS = 150 };
    shop_with_stock();
    for (uint64_t i = 1; i <= LOTS; i++)
        CHECK_EQUAL(credit(9, (int64_t)i, now + (1000 + i) * SECOND), OUTCOME_OK);
    lots(9, (struct id){0});
    CHECK_EQUAL(lot_count(), POINTS_ROWS_MAX);
    struct id next = lots_next();
    /* The rows of the first page are spent, the cursor's among them, and others come before it. */
    CHECK_EQUAL(adjust(9, -POINTS_ROWS_MAX * (POINTS_ROWS_MAX + 1) / 2, 0), OUTCOME_OK);
    CHECK_EQUAL(credit(9, 1, now + 500 * SECOND), OUTCOME_OK);
    CHECK_EQUAL(lots(9, next)->left, POINTS_ROWS_MAX + 1);
    CHECK_EQUAL(lots(9, lots_next())->left, 2 * POINTS_ROWS_MAX + 1);
    CHECK_EQUAL(lot_count(), LOTS - 2 * POINTS_ROWS_MAX);
    CHECK(id_is_zero(lots_next()));

    ledger(9, (struct id){0});
    next = ledger_next();
    uint64_t seq = ledger(9, next)->seq;
    CHECK_EQUAL(credit(9, 7, 0), OUTCOME_OK);
    CHECK_EQUAL(ledger(9, next)->seq, seq);
    /* A cursor that was never given leads nowhere. */
    ledger(9, (struct id){.high = 1, .low = 1000000});
    CHECK_EQUAL(((const struct points_ledger_reply_body *)reply.words)->entry_count, 0);
    script_end();
}

/* Its deadline stands aside at first, and is set again while all of its points are spent. */
TEST(lot_that_is_empty_for_a_while_still_expires_when_its_time_comes)
{
    shop_with_stock();
    CHECK_EQUAL(credit(9, 50, now + 30 * 86400ULL * SECOND), OUTCOME_OK);
    buy(1, 0, 5, 50);
    pass(29 * 86400 + 20 * 3600);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 50);
    pass(4 * 3600 + 1);
    CHECK_EQUAL(ledger(9, (struct id){0})->kind, ledger_kind_EXPIRE);
    script_end();
}
