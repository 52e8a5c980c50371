/* The rules of order.reallocate, by hand. */
#include "tests/model/by_hand.h"

static uint16_t reallocate(uint64_t order, uint32_t warehouse, uint32_t to)
{
    struct order_reallocate_body body = {
        .key = id(++keys),
        .order = id(order),
        .warehouse = warehouse,
        .to = to,
        .allocation = to == 0 ? allocation_RANK : allocation_EXPLICIT,
    };
    return ask(MESSAGE_order_reallocate, &body, sizeof body);
}

static void check_piece(uint64_t order, int index, uint32_t warehouse, uint32_t allocated,
                        uint32_t shipped)
{
    struct order_id_body body = {id(order)};
    CHECK_EQUAL(ask(MESSAGE_order_get, &body, sizeof body), OUTCOME_OK);
    const struct order_get_reply_body *answer = (const void *)reply.words;
    const struct piece_body *piece = (const struct piece_body *)(answer + 1) + index;
    CHECK(index < answer->piece_count);
    CHECK_EQUAL(piece->warehouse, warehouse);
    CHECK_EQUAL(piece->allocated, allocated);
    CHECK_EQUAL(piece->shipped, shipped);
}

static int64_t available(uint32_t warehouse)
{
    struct {
        struct stock_get_body fixed;
        struct item_body item;
    } body = {.fixed = {.item_count = 1}, .item = {.sku = 1, .warehouse = warehouse}};
    CHECK_EQUAL(ask(MESSAGE_stock_get, &body, sizeof body), OUTCOME_OK);
    return ((const struct stock_row_body *)((struct stock_get_reply_body *)reply.words + 1))
        ->available;
}

/* Six units of SKU 1 from warehouse 1, of which there are six, with four in 2 and three in 3. */
static void script_with_an_order(uint16_t flags)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 6);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .flags = flags},
                    .lines = {{.sku = 1, .quantity = 6, .price = 10}},
                }),
                OUTCOME_OK);
    add_stock(1, 2, 4);
    add_stock(1, 3, 3);
}

TEST(reallocating_takes_from_the_other_warehouses_by_rank)
{
    script_with_an_order(0);
    CHECK_EQUAL(reallocate(1, 1, 0), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_PENDING);
    CHECK_EQUAL(status()->version, 2);
    check_piece(1, 0, 2, 4, 0);
    check_piece(1, 1, 3, 2, 0);
    CHECK_EQUAL(available(1), 6);
    CHECK_EQUAL(available(2), 0);
    CHECK_EQUAL(available(3), 1);
    /* Its placing is still answered as it was first decided. */
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 6, .price = 10}},
                }),
                OUTCOME_REPLAYED);
    CHECK_EQUAL(take(0)->warehouse, 1);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(available(2), 4);
    script_end();
}

TEST(reallocating_is_all_or_nothing)
{
    script_with_an_order(place_flags_PAID);
    CHECK_EQUAL(reallocate(1, 1, 2), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 4);
    CHECK_EQUAL(reallocate(1, 1, 7), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 0);
    add_stock(1, 2, 2);
    CHECK_EQUAL(reallocate(1, 1, 2), OUTCOME_OK);
    check_piece(1, 0, 2, 6, 0);
    script_end();
}

TEST(shipped_units_stay_where_they_were_taken)
{
    script_with_an_order(place_flags_PAID);
    CHECK_EQUAL(move(MESSAGE_order_ship, (struct moving){.fixed = {.order = id(1)},
                                                         .rows = {{.line = 1, .quantity = 2}}}),
                OUTCOME_OK);
    CHECK_EQUAL(reallocate(1, 1, 2), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_PARTIALLY_SHIPPED);
    check_piece(1, 0, 1, 2, 2);
    check_piece(1, 1, 2, 4, 0);
    CHECK_EQUAL(available(1), 4);
    CHECK_EQUAL(reallocate(1, 1, 3), OUTCOME_INVALID);
    check_rejection(order_reallocate_field_warehouse, 0);
    /* Back again: the units join those of their place. */
    CHECK_EQUAL(reallocate(1, 2, 1), OUTCOME_OK);
    check_piece(1, 0, 1, 6, 2);
    CHECK_EQUAL(ship_all(1), OUTCOME_OK);
    CHECK_EQUAL(reallocate(1, 1, 2), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_SHIPPED, 0);
    script_end();
}

TEST(reallocating_takes_from_the_pool_of_the_sale)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 5);
    add_stock(1, 2, 5);
    struct {
        struct sale_put_body fixed;
        struct pool_body pools[2];
    } sale = {.fixed = {.key = id(1), .sale = 5, .customer_sale_max = 3, .pool_count = 2},
              .pools = {{.sku = 1, .warehouse = 1, .quantity = 4},
                        {.sku = 1, .warehouse = 2, .quantity = 1}}};
    struct sale_change_body open = {.key = id(2), .sale = 5};
    CHECK_EQUAL(ask(MESSAGE_sale_put, &sale, sizeof sale), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_sale_open, &open, sizeof open), OUTCOME_OK);
    struct placing placing = {.fixed = {.order = id(1), .customer = id(9), .sale = 5},
                              .lines = {{.sku = 1, .quantity = 1, .price = 10}}};
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    placing.fixed.order = id(2);
    placing.lines[0].quantity = 2;
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(reallocate(2, 1, 2), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 1);
    CHECK_EQUAL(reallocate(1, 1, 2), OUTCOME_OK);
    CHECK_EQUAL(available(2), 4);
    /* It counts for its customer as before. */
    placing.fixed.order = id(3);
    placing.lines[0].quantity = 1;
    CHECK_EQUAL(place(placing), OUTCOME_CUSTOMER_LIMIT);
    script_end();
}

TEST(late_payment_takes_a_reallocated_order_from_where_it_was_last)
{
    script_with_an_order(0);
    CHECK_EQUAL(reallocate(1, 1, 0), OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_hold_release, 1), OUTCOME_OK);
    CHECK_EQUAL(pay(1, 1, 60, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    check_piece(1, 0, 2, 4, 0);
    check_piece(1, 1, 3, 2, 0);
    script_end();
}

TEST(reallocating_needs_an_order_that_waits_in_a_warehouse)
{
    script_with_an_order(0);
    CHECK_EQUAL(reallocate(9, 1, 0), OUTCOME_NOT_FOUND);
    CHECK_EQUAL(reallocate(1, 0, 2), OUTCOME_INVALID);
    check_rejection(order_reallocate_field_warehouse, 0);
    CHECK_EQUAL(reallocate(1, 1, 1), OUTCOME_INVALID);
    check_rejection(order_reallocate_field_to, 0);
    CHECK_EQUAL(reallocate(1, 2, 1), OUTCOME_INVALID);
    check_rejection(order_reallocate_field_warehouse, 0);
    now += HOLD_DEFAULT_S * (uint64_t)SECOND;
    CHECK_EQUAL(reallocate(1, 1, 0), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_EXPIRED, 0);
    script_end();
}
