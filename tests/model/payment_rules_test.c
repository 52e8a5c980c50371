/* Every cell of the table of payments in docs/rules.md, by hand: what an event does, by the order's
 * state. Then what a person decides about those that were parked. */
#include <string.h>

#include "tests/model/by_hand.h"

/* An order of one unit at 100, PENDING; FAILED at once if its payment fails. */
static void script_with_a_pending_order(void)
{
    script_start();
    put_sku(1, 100);
    add_stock(1, 1, 3);
    open_sale((struct sale_put_body){.sale = 5, .flags = sale_flags_FAIL_AT_ONCE});
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 1, .price = 100}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(2), .customer = id(9), .sale = 5},
                    .lines = {{.sku = 1, .quantity = 1, .price = 100}},
                }),
                OUTCOME_OK);
}

static void check_order(uint64_t order, unsigned state, int64_t captured, int64_t refund_due,
                        uint32_t parked)
{
    const struct order_money_reply_body *answer = money(order);
    CHECK_EQUAL(answer->state, state);
    CHECK_EQUAL(answer->captured, captured);
    CHECK_EQUAL(answer->refund_due, refund_due);
    CHECK_EQUAL(answer->parked, parked);
}

TEST(pending_order_is_confirmed_by_the_right_amount)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 100, payment_status_SUCCESS), OUTCOME_OK);
    check_order(1, order_state_CONFIRMED, 100, 0, 0);
    script_end();
}

TEST(pending_order_parks_a_wrong_amount_or_currency)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 99, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    check_rejection(EURO, 100);
    CHECK_EQUAL(pay_in(DOLLAR, 2, 1, 100), OUTCOME_AMOUNT_MISMATCH);
    check_order(1, order_state_PENDING, 0, 0, 2);
    script_end();
}

TEST(pending_order_stays_pending_after_a_failure_or_fails_at_once)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 100, payment_status_FAILURE), OUTCOME_OK);
    check_order(1, order_state_PENDING, 0, 0, 0);
    CHECK_EQUAL(pay(2, 2, 100, payment_status_FAILURE), OUTCOME_OK);
    check_order(2, order_state_FAILED, 0, 0, 0);
    script_end();
}

/* Order 1 EXPIRED, order 2 FAILED. */
static void script_with_ended_orders(void)
{
    script_with_a_pending_order();
    CHECK_EQUAL(change(MESSAGE_hold_release, 1), OUTCOME_OK);
    CHECK_EQUAL(pay(90, 2, 100, payment_status_FAILURE), OUTCOME_OK);
}

TEST(ended_order_is_taken_again_by_the_right_amount_or_owes_it)
{
    script_with_ended_orders();
    CHECK_EQUAL(pay(1, 1, 100, payment_status_SUCCESS), OUTCOME_OK);
    check_order(1, order_state_CONFIRMED, 100, 0, 0);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(3), .customer = id(9), .flags = place_flags_PAID},
                    .lines = {{.sku = 1, .quantity = 2, .price = 100}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(pay(2, 2, 100, payment_status_SUCCESS), OUTCOME_OK);
    check_order(2, order_state_FAILED, 100, 100, 0);
    script_end();
}

TEST(ended_order_owes_a_wrong_amount_and_parks_another_currency)
{
    script_with_ended_orders();
    CHECK_EQUAL(pay(1, 1, 101, payment_status_SUCCESS), OUTCOME_OK);
    check_order(1, order_state_EXPIRED, 101, 101, 0);
    CHECK_EQUAL(pay_in(DOLLAR, 2, 2, 100), OUTCOME_AMOUNT_MISMATCH);
    check_order(2, order_state_FAILED, 0, 0, 1);
    script_end();
}

TEST(ended_order_records_a_failure)
{
    script_with_ended_orders();
    CHECK_EQUAL(pay(1, 1, 100, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(status()->version, 3);
    check_order(1, order_state_EXPIRED, 0, 0, 0);
    CHECK_EQUAL(pay(2, 2, 100, payment_status_FAILURE), OUTCOME_OK);
    check_order(2, order_state_FAILED, 0, 0, 0);
    script_end();
}

/* The states that a sold order of three units goes through. */
static void go_on(unsigned state)
{
    struct moving one = {.fixed = {.order = id(1)}, .rows = {{.line = 1, .quantity = 1}}};
    if (state == order_state_PARTIALLY_SHIPPED)
        CHECK_EQUAL(move(MESSAGE_order_ship, one), OUTCOME_OK);
    if (state == order_state_SHIPPED)
        CHECK_EQUAL(ship_all(1), OUTCOME_OK);
    if (state == order_state_DELIVERED)
        CHECK_EQUAL(deliver_all(1), OUTCOME_OK);
}

static void script_with_a_sold_order(void)
{
    script_start();
    put_sku(1, 100);
    add_stock(1, 1, 3);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(1), .customer = id(9)},
                    .lines = {{.sku = 1, .quantity = 3, .price = 100}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(pay(90, 1, 300, payment_status_SUCCESS), OUTCOME_OK);
}

TEST(sold_order_owes_a_second_capture_of_the_right_amount)
{
    script_with_a_sold_order();
    for (unsigned state = order_state_CONFIRMED; state <= order_state_DELIVERED; state++) {
        go_on(state);
        int64_t times = (int64_t)state - order_state_CONFIRMED + 1;
        CHECK_EQUAL(pay(state, 1, 300, payment_status_SUCCESS), OUTCOME_OK);
        check_order(1, state, 300 + 300 * times, 300 * times, 0);
        CHECK_EQUAL(money(1)->kept, 300);
    }
    script_end();
}

TEST(sold_order_owes_a_wrong_amount_and_parks_another_currency)
{
    script_with_a_sold_order();
    for (unsigned state = order_state_CONFIRMED; state <= order_state_DELIVERED; state++) {
        go_on(state);
        int64_t times = (int64_t)state - order_state_CONFIRMED + 1;
        CHECK_EQUAL(pay(state, 1, 7, payment_status_SUCCESS), OUTCOME_OK);
        CHECK_EQUAL(pay_in(DOLLAR, 20 + state, 1, 300), OUTCOME_AMOUNT_MISMATCH);
        check_order(1, state, 300 + 7 * times, 7 * times, (uint32_t)times);
    }
    script_end();
}

TEST(sold_order_records_a_failure_which_never_undoes_a_capture)
{
    script_with_a_sold_order();
    for (unsigned state = order_state_CONFIRMED; state <= order_state_DELIVERED; state++) {
        go_on(state);
        CHECK_EQUAL(pay(state, 1, 300, payment_status_FAILURE), OUTCOME_OK);
        check_order(1, state, 300, 0, 0);
    }
    script_end();
}

static void script_with_a_cancelled_order(void)
{
    script_with_a_pending_order();
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
}

TEST(cancelled_order_owes_the_right_amount)
{
    script_with_a_cancelled_order();
    CHECK_EQUAL(pay(1, 1, 100, payment_status_SUCCESS), OUTCOME_OK);
    check_order(1, order_state_CANCELLED, 100, 100, 0);
    script_end();
}

TEST(cancelled_order_owes_a_wrong_amount_and_parks_another_currency)
{
    script_with_a_cancelled_order();
    CHECK_EQUAL(pay(1, 1, 5, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(pay_in(DOLLAR, 2, 1, 100), OUTCOME_AMOUNT_MISMATCH);
    check_order(1, order_state_CANCELLED, 5, 5, 1);
    script_end();
}

TEST(cancelled_order_records_a_failure)
{
    script_with_a_cancelled_order();
    CHECK_EQUAL(pay(1, 1, 100, payment_status_FAILURE), OUTCOME_OK);
    CHECK_EQUAL(status()->version, 3);
    check_order(1, order_state_CANCELLED, 0, 0, 0);
    script_end();
}

static uint16_t settle(uint64_t event, uint8_t settlement)
{
    struct payment_settle_body body = {
        .key = id(++keys), .event = id(event), .provider = 1, .settlement = settlement};
    return ask(MESSAGE_payment_settle, &body, sizeof body);
}

static const struct payment_get_reply_body *payment(uint64_t event)
{
    struct payment_id_body body = {.event = id(event), .provider = 1};
    CHECK_EQUAL(ask(MESSAGE_payment_get, &body, sizeof body), OUTCOME_OK);
    return (const struct payment_get_reply_body *)reply.words;
}

TEST(parked_payment_is_accepted_and_the_rest_is_waived)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 90, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(payment(1)->parked, 1);
    CHECK_EQUAL(settle(1, settlement_ACCEPT), OUTCOME_OK);
    CHECK_EQUAL(status()->state, order_state_CONFIRMED);
    check_order(1, order_state_CONFIRMED, 90, 0, 0);
    CHECK_EQUAL(money(1)->waived, 10);
    CHECK_EQUAL(money(1)->kept, 90);
    CHECK_EQUAL(payment(1)->parked, 0);
    CHECK_EQUAL(payment(1)->settlement, settlement_ACCEPT);
    /* The event itself is answered as at first. */
    CHECK_EQUAL(pay(1, 1, 90, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(settle(1, settlement_REFUND), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_CONFIRMED, 0);
    script_end();
}

TEST(parked_payment_of_too_much_is_accepted_and_owes_the_difference)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 130, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(settle(1, settlement_ACCEPT), OUTCOME_OK);
    check_order(1, order_state_CONFIRMED, 130, 30, 0);
    CHECK_EQUAL(money(1)->waived, 0);
    script_end();
}

TEST(parked_payment_is_refunded_in_the_currency_of_the_order_or_outside)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 90, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(pay_in(DOLLAR, 2, 1, 100), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(settle(1, settlement_REFUND), OUTCOME_OK);
    check_order(1, order_state_PENDING, 90, 90, 1);
    CHECK_EQUAL(money(1)->money, money_state_REFUND_DUE);
    CHECK_EQUAL(settle(2, settlement_ACCEPT), OUTCOME_CURRENCY_MISMATCH);
    check_rejection(0, EURO);
    CHECK_EQUAL(settle(2, settlement_REFUND), OUTCOME_OK);
    check_order(1, order_state_PENDING, 90, 90, 0);
    /* It waits for its payment as before. */
    CHECK_EQUAL(pay(3, 1, 100, payment_status_SUCCESS), OUTCOME_OK);
    check_order(1, order_state_CONFIRMED, 190, 90, 0);
    script_end();
}

TEST(parked_payment_of_an_ended_order_takes_it_again_if_it_can_be)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 90, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(pay(2, 2, 90, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    now += 2 * HOLD_DEFAULT_S * (uint64_t)SECOND;
    CHECK_EQUAL(settle(1, settlement_ACCEPT), OUTCOME_OK);
    CHECK_EQUAL(status()->version, 4);
    check_order(1, order_state_CONFIRMED, 90, 0, 0);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(3), .customer = id(9), .flags = place_flags_PAID},
                    .lines = {{.sku = 1, .quantity = 2, .price = 100}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(expire_holds(), OUTCOME_OK);
    CHECK_EQUAL(settle(2, settlement_ACCEPT), OUTCOME_OK);
    script_end();
}

TEST(parked_payment_is_not_accepted_where_the_order_cannot_be_confirmed)
{
    script_with_a_pending_order();
    CHECK_EQUAL(pay(1, 1, 90, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(pay(2, 2, 90, payment_status_SUCCESS), OUTCOME_AMOUNT_MISMATCH);
    CHECK_EQUAL(change(MESSAGE_order_cancel, 1), OUTCOME_OK);
    CHECK_EQUAL(settle(1, settlement_ACCEPT), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_CANCELLED, 0);
    CHECK_EQUAL(change(MESSAGE_hold_release, 2), OUTCOME_OK);
    CHECK_EQUAL(place((struct placing){
                    .fixed = {.order = id(3), .customer = id(9), .flags = place_flags_PAID},
                    .lines = {{.sku = 1, .quantity = 3, .price = 100}},
                }),
                OUTCOME_OK);
    CHECK_EQUAL(settle(2, settlement_ACCEPT), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_EXPIRED, 0);
    CHECK_EQUAL(settle(2, settlement_REFUND), OUTCOME_OK);
    check_order(2, order_state_EXPIRED, 90, 90, 0);
    script_end();
}

TEST(invalid_settlement_comes_before_what_is_not_found)
{
    script_with_a_pending_order();
    CHECK_EQUAL(settle(0, settlement_ACCEPT), OUTCOME_INVALID);
    check_rejection(payment_settle_field_event, 0);
    CHECK_EQUAL(settle(7, settlement_ACCEPT), OUTCOME_NOT_FOUND);
    CHECK_EQUAL(pay(1, 1, 100, payment_status_SUCCESS), OUTCOME_OK);
    CHECK_EQUAL(settle(1, settlement_REFUND), OUTCOME_BAD_TRANSITION);
    check_rejection(order_state_CONFIRMED, 0);
    CHECK_EQUAL(payment(1)->amount, 100);
    CHECK_EQUAL(payment(1)->time, now);
    script_end();
}

struct opaque_event {
    struct payment_event_body fixed;
    struct opaque_body rows[OPAQUE_ROWS_MAX];
};

static uint16_t pay_with(const struct opaque_event *event)
{
    return ask(MESSAGE_payment_event, event,
               sizeof event->fixed + event->fixed.opaque_count * sizeof event->rows[0]);
}

TEST(event_keeps_the_bytes_that_it_carries)
{
    script_with_a_pending_order();
    struct opaque_event event = {.fixed = {.event = id(1),
                                           .order = id(1),
                                           .amount = 100,
                                           .provider = 1,
                                           .status = payment_status_SUCCESS,
                                           .currency = EURO,
                                           .opaque_count = OPAQUE_ROWS_MAX,
                                           .opaque_size = OPAQUE_SIZE_MAX}};
    for (unsigned i = 0; i < OPAQUE_SIZE_MAX; i++)
        ((uint8_t *)event.rows)[i] = (uint8_t)(i + 1);
    CHECK_EQUAL(pay_with(&event), OUTCOME_OK);
    const struct payment_get_reply_body *answer = payment(1);
    CHECK_EQUAL(answer->opaque_size, OPAQUE_SIZE_MAX);
    CHECK(memcmp(answer + 1, event.rows, OPAQUE_SIZE_MAX) == 0);
    CHECK_EQUAL(pay_with(&event), OUTCOME_REPLAYED);
    /* They are part of its content. */
    event.rows[31].bytes ^= 1ULL << 63;
    CHECK_EQUAL(pay_with(&event), OUTCOME_EVENT_CONFLICT);
    event.fixed.opaque_count = event.fixed.opaque_size = 0;
    CHECK_EQUAL(pay_with(&event), OUTCOME_EVENT_CONFLICT);
    script_end();
}

TEST(bytes_of_an_event_fill_their_rows)
{
    script_with_a_pending_order();
    struct opaque_event event = {.fixed = {.event = id(1),
                                           .order = id(1),
                                           .amount = 100,
                                           .provider = 1,
                                           .status = payment_status_SUCCESS,
                                           .currency = EURO,
                                           .opaque_count = 2,
                                           .opaque_size = 8},
                                 .rows = {{.bytes = 1}}};
    CHECK_EQUAL(pay_with(&event), OUTCOME_INVALID);
    check_rejection(payment_event_field_opaque_size, 0);
    event.fixed.opaque_size = 17;
    CHECK_EQUAL(pay_with(&event), OUTCOME_INVALID);
    event.fixed.opaque_size = 9;
    event.rows[1].bytes = 0x100;
    CHECK_EQUAL(pay_with(&event), OUTCOME_INVALID);
    check_rejection(ROW_FIELD + opaque_field_bytes, 0);
    event.rows[1].bytes = 0xff;
    CHECK_EQUAL(pay_with(&event), OUTCOME_OK);
    CHECK_EQUAL(payment(1)->opaque_size, 9);
    script_end();
}
