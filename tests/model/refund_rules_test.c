/* The rules of refunds, by hand. */
#include "tests/model/by_hand.h"

struct refunding {
    struct refund_begin_body fixed;
    struct refund_line_body rows[3];
};

static uint16_t begin(struct refunding refunding)
{
    while (refunding.fixed.line_count < 3 && refunding.rows[refunding.fixed.line_count].line != 0)
        refunding.fixed.line_count++;
    return ask(MESSAGE_refund_begin, &refunding,
               sizeof refunding.fixed + refunding.fixed.line_count * sizeof refunding.rows[0]);
}

static uint16_t begin_kind(uint8_t kind, uint64_t refund, uint64_t order, int64_t amount)
{
    return begin((struct refunding){
        .fixed = {.refund = id(refund), .order = id(order), .amount = amount, .kind = kind}});
}

static uint16_t begin_amount(uint64_t refund, uint64_t order, int64_t amount)
{
    return begin_kind(refund_kind_AMOUNT, refund, order, amount);
}

static uint16_t finish(uint64_t refund, uint8_t result)
{
    struct refund_finish_body body = {.refund = id(refund), .status = result};
    return ask(MESSAGE_refund_finish, &body, sizeof body);
}

static void check_begun(int64_t amount, int64_t points)
{
    const struct refund_begin_reply_body *begun = (const void *)reply.words;
    CHECK_EQUAL(begun->amount, amount);
    CHECK_EQUAL(begun->points, points);
}

/* Money that has gone back in full, as one refund. */
static void pay_back(uint64_t refund, uint64_t order)
{
    CHECK_EQUAL(begin_kind(refund_kind_DUE, refund, order, 0), OUTCOME_OK);
    CHECK_EQUAL(finish(refund, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(money(order)->refund_due, 0);
}

/* Order 1, sold: 3 units of SKU 1 at 100 and 2 of SKU 2 at 50, which is 400, of which 100 points
 * pay 100. */
static void script_with_an_order(void)
{
    script_start();
    put_sku(1, 100);
    put_sku(2, 50);
    add_stock(1, 1, 10);
    add_stock(2, 1, 10);
    CHECK_EQUAL(credit(9, 1000, 0), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .points = 100},
                    .lines = {{.sku = 1, .quantity = 3, .price = 100},
                              {.sku = 2, .quantity = 2, .price = 50}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(pay(1, 1, 300, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 900);
}

TEST(refund_of_an_amount_gives_points_rounded_down_and_money_for_the_rest)
{
    script_with_an_order();
    /* 7 of 400: floor(100 x 7 / 400) = 1 point, ceil(300 x 7 / 400) = 6. */
    CHECK_EQUAL(begin_amount(11, 1, 7), OUTCOME_OK);
    check_begun(6, 1);
    CHECK_EQUAL(balance(9)->available, 900);
    CHECK_EQUAL(money(1)->refunding, 6);
    CHECK_EQUAL(money(1)->kept, 294);
    CHECK_EQUAL(money(1)->points_refunding, 1);
    CHECK_EQUAL(finish(11, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 901);
    CHECK_EQUAL(money(1)->refunded, 6);
    CHECK_EQUAL(money(1)->refunding, 0);
    CHECK_EQUAL(money(1)->points_back, 1);
    /* 7 more: 14 of 400 are 3 points and 11, of which 1 and 6 have come back. */
    CHECK_EQUAL(begin_amount(12, 1, 7), OUTCOME_OK);
    check_begun(5, 2);
    script_end();
}

TEST(refund_of_lines_gives_their_units_at_their_prices)
{
    script_with_an_order();
    struct refunding lines = {
        .fixed = {.refund = id(11), .order = id(1), .kind = refund_kind_LINES},
        .rows = {{.line = 1, .quantity = 1}, {.line = 2, .quantity = 2}},
    };
    CHECK_EQUAL(begin(lines), OUTCOME_OK);
    check_begun(150, 50);
    lines.fixed.refund = id(12);
    CHECK_EQUAL(begin(lines), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + refund_line_field_quantity, 0);
    lines.rows[1].line = 0;
    lines.rows[0].quantity = 3;
    CHECK_EQUAL(begin(lines), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + refund_line_field_quantity, 2);
    lines.rows[0].line = 3;
    CHECK_EQUAL(begin(lines), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + refund_line_field_line, 0);
    /* Units of which the money is back already by an amount are not left. */
    CHECK_EQUAL(begin_amount(13, 1, 150), OUTCOME_OK);
    lines.rows[0] = (struct refund_line_body){.line = 1, .quantity = 1};
    CHECK_EQUAL(begin(lines), OUTCOME_REFUND_EXCEEDS);
    check_rejection(0, 50);
    script_end();
}

TEST(refunds_are_bounded_by_what_is_left_of_the_total)
{
    script_with_an_order();
    CHECK_EQUAL(begin_amount(11, 1, 401), OUTCOME_REFUND_EXCEEDS);
    check_rejection(0, 400);
    CHECK_EQUAL(begin_amount(11, 1, 250), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(12, 1, 151), OUTCOME_REFUND_EXCEEDS);
    check_rejection(0, 150);
    /* One that failed counts as well: its money is due by itself. */
    CHECK_EQUAL(finish(11, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(12, 1, 151), OUTCOME_REFUND_EXCEEDS);
    check_rejection(0, 150);
    CHECK_EQUAL(begin_kind(refund_kind_DUE, 12, 1, 189), OUTCOME_REFUND_EXCEEDS);
    check_rejection(0, 188);
    script_end();
}

TEST(refund_that_completes_the_order_returns_exactly_what_is_left)
{
    static const int64_t parts[] = {1, 33, 199, 2, 165};
    script_with_an_order();
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_EQUAL(begin_amount(11 + i, 1, parts[i]), OUTCOME_OK);
        CHECK_EQUAL(finish(11 + i, payment_status_SUCCESS), OUTCOME_OK);
    }
    CHECK_EQUAL(money(1)->refunded, 300);
    CHECK_EQUAL(money(1)->points_back, 100);
    CHECK_EQUAL(money(1)->kept, 0);
    CHECK_EQUAL(money(1)->money, money_state_REFUNDED);
    CHECK_EQUAL(balance(9)->available, 1000);
    script_end();
}

TEST(refund_is_known_by_its_id)
{
    script_with_an_order();
    CHECK_EQUAL(begin_amount(11, 1, 100), OUTCOME_OK);
    struct model_reply first = reply;
    CHECK_EQUAL(finish(11, payment_status_SUCCESS), OUTCOME_OK);
    struct model_reply last = reply;
    now += KEY_RETENTION_US * 400;
    CHECK_EQUAL(begin_amount(11, 1, 100), OUTCOME_REPLAYED);
    CHECK_EQUAL(reply.words[0], first.words[0]);
    CHECK_EQUAL(reply.words[3], first.words[3]);
    CHECK_EQUAL(begin_amount(11, 1, 99), OUTCOME_IDEM_MISMATCH);
    CHECK_EQUAL(begin_amount(11, 99, 100), OUTCOME_IDEM_MISMATCH);
    CHECK_EQUAL(finish(11, payment_status_SUCCESS), OUTCOME_REPLAYED);
    CHECK_EQUAL(reply.words[0], last.words[0]);
    CHECK_EQUAL(finish(11, payment_status_FAILURE), OUTCOME_BAD_TRANSITION);
    check_rejection(refund_state_SUCCEEDED, 0);
    CHECK_EQUAL(finish(12, payment_status_SUCCESS), OUTCOME_NOT_FOUND);
    CHECK_EQUAL(money(1)->refunded, 75);
    script_end();
}

TEST(refund_that_failed_is_due_again_with_its_points)
{
    script_with_an_order();
    CHECK_EQUAL(begin_amount(11, 1, 200), OUTCOME_OK);
    check_begun(150, 50);
    CHECK_EQUAL(finish(11, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(money(1)->money, money_state_REFUND_DUE);
    CHECK_EQUAL(money(1)->refund_due, 150);
    CHECK_EQUAL(money(1)->points_due, 50);
    CHECK_EQUAL(money(1)->refunds_failed, 1);
    CHECK_EQUAL(balance(9)->available, 900);
    /* Part of the money, with all points; then the rest. */
    CHECK_EQUAL(begin_kind(refund_kind_DUE, 12, 1, 100), OUTCOME_OK);
    check_begun(100, 50);
    CHECK_EQUAL(finish(12, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 950);
    CHECK_EQUAL(begin_kind(refund_kind_DUE, 13, 1, 0), OUTCOME_OK);
    check_begun(50, 0);
    CHECK_EQUAL(finish(13, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(money(1)->refunded, 150);
    CHECK_EQUAL(begin_amount(14, 1, 200), OUTCOME_OK);
    check_begun(150, 50);
    script_end();
}

TEST(what_an_order_owes_is_paid_back_by_the_same_two_commands)
{
    script_with_an_order();
    struct placing placing = {.fixed = {.order = id(2), .customer = id(9)},
                              .lines = {{.sku = 1, .quantity = 1, .price = 100}}};
    /* A double payment. */
    CHECK_EQUAL(pay(2, 1, 300, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(money(1)->refund_due, 300);
    pay_back(11, 1);
    CHECK_EQUAL(money(1)->kept, 300);
    CHECK_EQUAL(money(1)->money, money_state_PARTIALLY_REFUNDED);
    /* A late payment of a wrong amount. */
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_hold_release, 2), OUTCOME_OK);
    CHECK_EQUAL(pay(3, 2, 70, payment_status_SUCCESS), OUTCOME_OK);
    pay_back(12, 2);
    CHECK_EQUAL(money(2)->money, money_state_REFUNDED);
    CHECK_EQUAL(money(2)->state, order_state_EXPIRED);
    /* Cancelled after it was paid. */
    placing.fixed.order = id(3);
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(pay(4, 3, 100, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 3), OUTCOME_OK);
    pay_back(13, 3);
    CHECK_EQUAL(money(3)->money, money_state_REFUNDED);
    script_end();
}

TEST(refund_that_gives_nothing_is_invalid)
{
    script_start();
    put_sku(1, 3);
    put_sku(2, 0);
    add_stock(1, 1, 5);
    add_stock(2, 1, 5);
    open_sale((struct sale_put_body){
        .sale = 5, .points_share = POINTS_SHARE_WHOLE, .rate_points = 1, .rate_money = 3});
    CHECK_EQUAL(credit(9, 1, 0), OUTCOME_OK);
    CHECK_EQUAL(
        place((struct placing){
            .fixed = {.order = id(1), .customer = id(9), .sale = 5, .points = 1},
            .lines = {{.sku = 1, .quantity = 1, .price = 3}, {.sku = 2, .quantity = 1, .price = 0}},
        }),
        OUTCOME_OK);
    CHECK_EQUAL(placed()->money_due, 0);
    /* One point paid all of it: it comes back with the last unit. */
    CHECK_EQUAL(begin_amount(11, 1, 2), OUTCOME_INVALID);
    check_rejection(refund_begin_field_amount, 0);
    CHECK_EQUAL(begin((struct refunding){
                    .fixed = {.refund = id(11), .order = id(1), .kind = refund_kind_LINES},
                    .rows = {{.line = 2, .quantity = 1}}}),
                OUTCOME_INVALID);
    check_rejection(refund_begin_field_line_count, 0);
    CHECK_EQUAL(begin_kind(refund_kind_DUE, 11, 1, 0), OUTCOME_INVALID);
    CHECK_EQUAL(begin_amount(11, 1, 3), OUTCOME_OK);
    check_begun(0, 1);
    CHECK_EQUAL(finish(11, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 1);
    script_end();
}

TEST(refund_by_amount_or_lines_needs_a_sold_order)
{
    script_with_an_order();
    struct placing placing = {.fixed = {.order = id(2), .customer = id(9)},
                              .lines = {{.sku = 1, .quantity = 1, .price = 100}}};
    CHECK_EQUAL(place(placing), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(11, 2, 1), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_PENDING, 0);
    CHECK_EQUAL(change(MESSAGE_hold_release, 2), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(11, 2, 1), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_EXPIRED, 0);
    CHECK_EQUAL(begin_amount(11, 3, 1), OUTCOME_NOT_FOUND);
    CHECK_EQUAL(ship_all(1), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(11, 1, 1), OUTCOME_OK);
    CHECK_EQUAL(deliver_all(1), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(12, 1, 1), OUTCOME_OK);
    CHECK_EQUAL(money(1)->state, order_state_DELIVERED);
    script_end();
}

TEST(cancelling_after_refunds_returns_the_rest)
{
    script_with_an_order();
    CHECK_EQUAL(begin_amount(11, 1, 100), OUTCOME_OK);
    CHECK_EQUAL(finish(11, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(12, 1, 100), OUTCOME_OK);
    CHECK_EQUAL(begin_amount(13, 1, 100), OUTCOME_OK);
    CHECK_EQUAL(finish(13, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    /* A quarter is back, one on its way, and one has failed. The last quarter's points come back.
     */
    CHECK_EQUAL(money(1)->refund_due, 150);
    CHECK_EQUAL(money(1)->points_due, 25);
    CHECK_EQUAL(balance(9)->available, 950);
    CHECK_EQUAL(finish(12, payment_status_SUCCESS), OUTCOME_OK);
    pay_back(14, 1);
    CHECK_EQUAL(money(1)->refunded, 300);
    CHECK_EQUAL(money(1)->points_back, 100);
    CHECK_EQUAL(balance(9)->available, 1000);
    script_end();
}

TEST(points_of_a_refund_that_come_back_after_their_expiry_get_a_day)
{
    script_start();
    put_sku(1, 100);
    add_stock(1, 1, 5);
    CHECK_EQUAL(credit(9, 60, now + 10 * SECOND), OUTCOME_OK);
    CHECK_EQUAL(credit(9, 40, 0), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9), .points = 100},
                    .lines = {{.sku = 1, .quantity = 1, .price = 100}},
                }),
                OUTCOME_OK);
    now += 20 * SECOND;
    /* Those that were taken first come back first. */
    CHECK_EQUAL(begin_amount(11, 1, 80), OUTCOME_OK);
    CHECK_EQUAL(finish(11, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(balance(9)->available, 80);
    CHECK_EQUAL(balance(9)->expiring, 60);
    CHECK_EQUAL(balance(9)->next_expiry, now + POINTS_GRACE_US);
    script_end();
}

TEST(money_state_follows_the_refunds)
{
    script_with_an_order();
    CHECK_EQUAL(money(1)->money, money_state_CAPTURED);
    CHECK_EQUAL(begin_amount(11, 1, 400), OUTCOME_OK);
    CHECK_EQUAL(money(1)->money, money_state_CAPTURED);
    CHECK_EQUAL(finish(11, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(money(1)->money, money_state_REFUND_DUE);
    CHECK_EQUAL(begin_kind(refund_kind_DUE, 12, 1, 100), OUTCOME_OK);
    CHECK_EQUAL(finish(12, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(money(1)->money, money_state_REFUND_DUE);
    CHECK_EQUAL(begin_kind(refund_kind_DUE, 13, 1, 200), OUTCOME_OK);
    CHECK_EQUAL(money(1)->money, money_state_PARTIALLY_REFUNDED);
    CHECK_EQUAL(finish(13, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(money(1)->money, money_state_REFUNDED);
    script_end();
}

TEST(refunds_come_in_pages_the_newest_first)
{
    enum { REFUNDS = REFUND_ROWS_MAX + 2 };
    script_with_an_order();
    for (uint64_t i = 0; i < REFUNDS; i++)
        CHECK_EQUAL(begin_amount(11 + i, 1, 2), OUTCOME_OK);
    struct order_page_body page = {.order = id(1)};
    const struct order_money_reply_body *answer = money(1);
    const struct refund_body *rows = (const struct refund_body *)(answer + 1);
    CHECK_EQUAL(answer->refund_count, REFUND_ROWS_MAX);
    CHECK_EQUAL(rows[0].refund.low, 11 + REFUNDS - 1);
    page.cursor = answer->next;
    CHECK_EQUAL(ask(MESSAGE_order_money, &page, sizeof page), OUTCOME_OK);
    CHECK_EQUAL(answer->refund_count, 2);
    CHECK_EQUAL(rows[1].refund.low, 11);
    CHECK_EQUAL(answer->next, 0);
    script_end();
}

TEST(invalid_refund_comes_before_what_is_known_or_not_found)
{
    script_with_an_order();
    CHECK_EQUAL(begin_amount(11, 1, 100), OUTCOME_OK);
    struct refunding refunding = {
        .fixed = {.refund = id(11), .order = id(1), .kind = refund_kind_LINES}};
    CHECK_EQUAL(begin(refunding), OUTCOME_INVALID);
    check_rejection(refund_begin_field_line_count, 0);
    refunding.rows[0].line = 1;
    CHECK_EQUAL(begin(refunding), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + refund_line_field_quantity, 0);
    refunding.fixed.amount = 1;
    CHECK_EQUAL(begin(refunding), OUTCOME_INVALID);
    check_rejection(refund_begin_field_amount, 0);
    CHECK_EQUAL(begin_amount(11, 1, 0), OUTCOME_INVALID);
    CHECK_EQUAL(begin_amount(0, 1, 5), OUTCOME_INVALID);
    check_rejection(refund_begin_field_refund, 0);
    CHECK_EQUAL(begin_amount(12, 0, 5), OUTCOME_INVALID);
    check_rejection(refund_begin_field_order, 0);
    CHECK_EQUAL(finish(0, payment_status_SUCCESS), OUTCOME_INVALID);
    script_end();
}
