/* The rules of units on their way, by hand: shipped, delivered, returned. */
#include <string.h>

#include "tests/model/by_hand.h"

struct returning {
    struct order_return_body fixed;
    struct returned_body rows[3];
};

static uint16_t give_back(struct returning returning)
{
    returning.fixed.key = id(++keys);
    while (returning.fixed.returned_count < 3 &&
           returning.rows[returning.fixed.returned_count].line != 0)
        returning.fixed.returned_count++;
    return ask(MESSAGE_order_return, &returning,
               sizeof returning.fixed + returning.fixed.returned_count * sizeof returning.rows[0]);
}

static const struct stock_row_body *stock(uint64_t sku, uint32_t warehouse)
{
    struct {
        struct stock_get_body fixed;
        struct item_body item;
    } body = {.fixed = {.item_count = 1}, .item = {.sku = sku, .warehouse = warehouse}};
    CHECK_EQUAL(ask(MESSAGE_stock_get, &body, sizeof body), OUTCOME_OK);
    return (const struct stock_row_body *)((struct stock_get_reply_body *)reply.words + 1);
}

static const struct piece_body *piece(uint64_t order, int index)
{
    struct order_id_body body = {id(order)};
    CHECK_EQUAL(ask(MESSAGE_order_get, &body, sizeof body), OUTCOME_OK);
    return (const struct piece_body *)((struct order_get_reply_body *)reply.words + 1) + index;
}

/* An order that is sold: 12 units of SKU 1, 8 from warehouse 1 and 4 from warehouse 2, and 3 units
 * of SKU 2. */
static void sell_from_two(uint64_t order)
{
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(order),
                              .customer = id(9),
                              .flags = place_flags_PAID,
                              .allocation = allocation_RANK},
                    .lines = {{.sku = 1, .quantity = 12, .price = 10},
                              {.sku = 2, .quantity = 3, .price = 5}},
                }),
                OUTCOME_OK);
}

static void script_with_two_warehouses(void)
{
    script_start();
    put_sku(1, 10);
    put_sku(2, 5);
    add_stock(1, 1, 8);
    add_stock(1, 2, 9);
    add_stock(2, 1, 20);
    sell_from_two(1);
}

TEST(units_leave_their_warehouse_when_they_are_shipped)
{
    script_with_two_warehouses();
    CHECK_EQUAL(stock(1, 2)->committed, 4);
    CHECK_EQUAL(move(MESSAGE_order_ship,
                     (struct moving){.fixed = {.order = id(1)},
                                     .rows = {{.line = 1, .quantity = 3, .warehouse = 2},
                                              {.line = 1, .quantity = 2}}}),
                OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_PARTIALLY_SHIPPED);
    CHECK_EQUAL(status()->version, 2);
    CHECK_EQUAL(stock(1, 2)->committed, 1);
    CHECK_EQUAL(stock(1, 2)->on_hand, 6);
    CHECK_EQUAL(stock(1, 2)->available, 5);
    CHECK_EQUAL(stock(1, 1)->on_hand, 6);
    CHECK_EQUAL(piece(1, 0)->shipped, 2);
    CHECK_EQUAL(piece(1, 1)->shipped, 3);
    CHECK_EQUAL(piece(1, 2)->shipped, 0);
    script_end();
}

TEST(order_is_partially_shipped_until_all_of_it_is)
{
    script_with_two_warehouses();
    CHECK_EQUAL(move(MESSAGE_order_ship, (struct moving){.fixed = {.order = id(1)},
                                                         .rows = {{.line = 1, .quantity = 12}}}),
                OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_PARTIALLY_SHIPPED);
    CHECK_EQUAL(ship_all(1), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_SHIPPED);
    CHECK_EQUAL(ship_all(1), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_SHIPPED, 0);
    CHECK_EQUAL(move(MESSAGE_order_deliver, (struct moving){.fixed = {.order = id(1)},
                                                            .rows = {{.line = 2, .quantity = 3}}}),
                OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_SHIPPED);
    CHECK_EQUAL(deliver_all(1), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_DELIVERED);
    CHECK_EQUAL(deliver_all(1), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_DELIVERED, 0);
    script_end();
}

TEST(no_more_units_go_than_are_left)
{
    script_with_two_warehouses();
    struct moving moving = {.fixed = {.order = id(1)}, .rows = {{.line = 1, .quantity = 13}}};
    CHECK_EQUAL(move(MESSAGE_order_ship, moving), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + units_field_quantity, 12);
    moving.rows[0] = (struct units_body){.line = 1, .quantity = 5, .warehouse = 2};
    CHECK_EQUAL(move(MESSAGE_order_ship, moving), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + units_field_quantity, 4);
    /* What a row has taken is not left for those after it. */
    moving.rows[0].quantity = 3;
    moving.rows[1] = (struct units_body){.line = 1, .quantity = 10};
    CHECK_EQUAL(move(MESSAGE_order_ship, moving), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + units_field_quantity, 9);
    moving.rows[1] = (struct units_body){.line = 3, .quantity = 1};
    CHECK_EQUAL(move(MESSAGE_order_ship, moving), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + units_field_line, 0);
    CHECK_EQUAL(deliver_all(1), OUTCOME_BAD_TRANSITION);
    moving.rows[1].line = 0;
    CHECK_EQUAL(move(MESSAGE_order_ship, moving), OUTCOME_OK);
    /* Nothing arrives that has not left. */
    moving.rows[0].quantity = 4;
    CHECK_EQUAL(move(MESSAGE_order_deliver, moving), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + units_field_quantity, 3);
    CHECK_EQUAL(deliver_all(1), OUTCOME_OK);
    CHECK_EQUAL(deliver_all(1), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_PARTIALLY_SHIPPED, 0);
    script_end();
}

TEST(shipped_order_is_not_cancelled)
{
    script_with_two_warehouses();
    CHECK_EQUAL(move(MESSAGE_order_ship, (struct moving){.fixed = {.order = id(1)},
                                                         .rows = {{.line = 2, .quantity = 1}}}),
                OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_PARTIALLY_SHIPPED, 0);
    script_end();
}

TEST(what_left_the_warehouse_in_a_deficit_cannot_be_shipped)
{
    script_with_two_warehouses();
    struct stock_set_body set = {
        .sku = 1, .warehouse = 1, .expected = 8, .on_hand = 5, .flags = stock_flags_ALLOW_DEFICIT};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    CHECK_EQUAL(ship_all(1), OUTCOME_INSUFFICIENT_STOCK);
    check_rejection(1, 5);
    CHECK_EQUAL(move(MESSAGE_order_ship, (struct moving){.fixed = {.order = id(1)},
                                                         .rows = {{.line = 1, .quantity = 5}}}),
                OUTCOME_OK);
    CHECK_EQUAL(stock(1, 1)->on_hand, 0);
    CHECK_EQUAL(stock(1, 1)->available, -3);
    /* What was shipped is promised no longer. */
    set = (struct stock_set_body){
        .sku = 2, .warehouse = 1, .expected = 20, .flags = stock_flags_ALLOW_DEFICIT};
    CHECK_EQUAL(ask(MESSAGE_stock_set, &set, sizeof set), OUTCOME_OK);
    CHECK_EQUAL(((const struct stock_level_body *)reply.words)->orders_concerned, 1);
    script_end();
}

TEST(return_is_restocked_or_scrapped_where_it_arrives)
{
    script_with_two_warehouses();
    struct returning returning = {.fixed = {.order = id(1)},
                                  .rows = {{.line = 1, .quantity = 9, .fate = fate_RESTOCK}}};
    CHECK_EQUAL(give_back(returning), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_CONFIRMED, 0);
    CHECK_EQUAL(ship_all(1), OUTCOME_OK);
    /* Back to where they were taken: eight to the first warehouse, one to the second. */
    CHECK_EQUAL(give_back(returning), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_SHIPPED);
    CHECK_EQUAL(status()->version, 3);
    CHECK_EQUAL(stock(1, 1)->available, 8);
    CHECK_EQUAL(stock(1, 2)->available, 6);
    CHECK_EQUAL(give_back(returning), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + returned_field_quantity, 3);
    /* To a warehouse that has not had the SKU before. */
    returning.rows[0] =
        (struct returned_body){.line = 1, .quantity = 3, .warehouse = 7, .fate = fate_SCRAP};
    CHECK_EQUAL(give_back(returning), OUTCOME_OK);
    CHECK_EQUAL(stock(1, 7)->on_hand, 3);
    CHECK_EQUAL(stock(1, 7)->unsellable, 3);
    CHECK_EQUAL(stock(1, 7)->available, 0);
    CHECK_EQUAL(piece(1, 0)->returned, 8);
    CHECK_EQUAL(piece(1, 1)->returned, 4);
    script_end();
}

TEST(return_is_bounded_like_all_stock)
{
    script_with_two_warehouses();
    CHECK_EQUAL(ship_all(1), OUTCOME_OK);
    add_stock(2, 3, QUANTITY_MAX - 1);
    struct returning returning = {
        .fixed = {.order = id(1)},
        .rows = {{.line = 2, .quantity = 1, .warehouse = 3, .fate = fate_RESTOCK},
                 {.line = 2, .quantity = 1, .warehouse = 3, .fate = fate_SCRAP}}};
    CHECK_EQUAL(give_back(returning), OUTCOME_OVERFLOW);
    check_rejection(0, QUANTITY_MAX);
    returning.rows[1].line = 0;
    CHECK_EQUAL(give_back(returning), OUTCOME_OK);
    script_end();
}

TEST(what_is_shipped_stays_sold_in_its_sale)
{
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, 5);
    struct {
        struct sale_put_body fixed;
        struct pool_body pool;
    } sale = {.fixed = {.key = id(1), .sale = 5, .customer_sale_max = 3, .pool_count = 1},
              .pool = {.sku = 1, .warehouse = 1, .quantity = 4}};
    struct sale_change_body open = {.key = id(2), .sale = 5};
    CHECK_EQUAL(ask(MESSAGE_sale_put, &sale, sizeof sale), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_sale_open, &open, sizeof open), OUTCOME_OK);
    struct placing placing = {
        .fixed = {.order = id(1), .customer = id(9), .sale = 5, .flags = place_flags_PAID},
        .lines = {{.sku = 1, .quantity = 3, .price = 10}},
    };
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(ship_all(1), OUTCOME_OK);
    struct returning back = {.fixed = {.order = id(1)},
                             .rows = {{.line = 1, .quantity = 3, .fate = fate_RESTOCK}}};
    CHECK_EQUAL(give_back(back), OUTCOME_OK);
    CHECK_EQUAL(stock(1, 1)->pooled, 1);
    CHECK_EQUAL(stock(1, 1)->available, 4);
    placing.fixed.order = id(2);
    placing.lines[0].quantity = 1;
    CHECK_EQUAL(place(placing), OUTCOME_CUSTOMER_LIMIT);
    check_rejection(0, 0);
    sale.fixed.key = id(3);
    sale.pool.quantity = 2;
    CHECK_EQUAL(ask(MESSAGE_sale_put, &sale, sizeof sale), OUTCOME_STOCK_BELOW_RESERVED);
    check_rejection(1, 3);
    script_end();
}

TEST(parcels_come_in_pages_the_newest_first)
{
    enum { PARCELS = PARCEL_ROWS_MAX + 3 };
    script_start();
    put_sku(1, 10);
    add_stock(1, 1, PARCELS);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .flags = place_flags_PAID},
                    .lines = {{.sku = 1, .quantity = PARCELS, .price = 10}},
                }),
                OUTCOME_OK);
    struct moving moving = {.fixed = {.order = id(1), .courier = 4},
                            .rows = {{.line = 1, .quantity = 1}}};
    for (int i = 0; i < PARCELS; i++) {
        moving.fixed.tracking.bytes[0] = (char)(' ' + i);
        CHECK_EQUAL(move(MESSAGE_order_ship, moving), OUTCOME_OK);
    }
    struct order_page_body page = {.order = id(1)};
    const struct order_parcels_reply_body *answer = (const void *)reply.words;
    const struct parcel_body *rows = (const struct parcel_body *)(answer + 1);
    CHECK_EQUAL(ask(MESSAGE_order_parcels, &page, sizeof page), OUTCOME_OK);
    CHECK_EQUAL(answer->parcel_count, PARCEL_ROWS_MAX);
    CHECK_EQUAL(rows[0].version, PARCELS + 1);
    CHECK_EQUAL(rows[0].courier, 4);
    CHECK_EQUAL(rows[0].tracking.bytes[0], ' ' + PARCELS - 1);
    page.cursor = answer->next;
    CHECK_EQUAL(ask(MESSAGE_order_parcels, &page, sizeof page), OUTCOME_OK);
    CHECK_EQUAL(answer->parcel_count, 3);
    CHECK_EQUAL(rows[2].version, 2);
    CHECK_EQUAL(answer->next, 0);
    script_end();
}

TEST(invalid_units_come_before_what_is_not_found)
{
    script_start();
    struct moving moving = {.fixed = {.order = id(99)}, .rows = {{.line = 1}}};
    CHECK_EQUAL(move(MESSAGE_order_ship, moving), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + units_field_quantity, 0);
    moving.fixed.order = id(0);
    CHECK_EQUAL(move(MESSAGE_order_deliver, moving), OUTCOME_INVALID);
    check_rejection(order_ship_field_order, 0);
    CHECK_EQUAL(give_back((struct returning){.fixed = {.order = id(99)}}), OUTCOME_INVALID);
    check_rejection(order_return_field_returned_count, 0);
    CHECK_EQUAL(ship_all(99), OUTCOME_NOT_FOUND);
    script_end();
}
