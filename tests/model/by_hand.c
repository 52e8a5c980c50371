/* One case at a time: its requests, the model that decides them, and the last answer. */
#include <string.h>

#include "tests/model/by_hand.h"

struct model *model;
struct model_reply reply;
uint64_t now;
uint64_t keys;

static struct sequence script;

void script_start(void)
{
    memset(&script, 0, sizeof script);
    model = model_create();
    now = START;
    keys = 1000;
}

void script_end(void)
{
    struct play_options options = play_options_for(script.count);
    struct failure failure = play(&script, &options, NULL);
    if (failure.fault != FAULT_NONE)
        fprintf(stderr, "  request %d: %s\n", failure.item, failure.text);
    model_destroy(model);
    sequence_deinit(&script);
    CHECK(failure.fault == FAULT_NONE);
}

uint16_t ask(uint16_t number, const void *body, size_t size)
{
    struct model_request request = {body, (uint32_t)size, number};
    const char *reason;
    CHECK(message_check_request(message_info(number), body, size, &reason));
    sequence_add(&script, now, number, body, (uint32_t)size);
    model_decide(model, now, &request, &reply);
    return reply.outcome;
}

void put_sku(uint64_t sku, int64_t price)
{
    struct sku_put_body body = {.key = id(++keys), .sku = sku, .price = price, .currency = EURO};
    CHECK_EQUAL(ask(MESSAGE_sku_put, &body, sizeof body), OUTCOME_OK);
}

void add_stock(uint64_t sku, uint32_t warehouse, int64_t delta)
{
    struct stock_adjust_body body = {
        .key = id(++keys), .sku = sku, .warehouse = warehouse, .delta = delta};
    CHECK_EQUAL(ask(MESSAGE_stock_adjust, &body, sizeof body), OUTCOME_OK);
}

void open_sale(struct sale_put_body terms)
{
    terms.key = id(++keys);
    struct sale_change_body change = {.key = id(++keys), .sale = terms.sale};
    CHECK_EQUAL(ask(MESSAGE_sale_put, &terms, sizeof terms), OUTCOME_OK);
    CHECK_EQUAL(ask(MESSAGE_sale_open, &change, sizeof change), OUTCOME_OK);
}

uint16_t credit(uint64_t customer, int64_t points, uint64_t expires)
{
    struct points_credit_body body = {
        .key = id(++keys), .customer = id(customer), .points = points, .expires = expires};
    return ask(MESSAGE_points_credit, &body, sizeof body);
}

uint16_t place(struct placing placing)
{
    while (placing.fixed.line_count < 3 && placing.lines[placing.fixed.line_count].sku != 0)
        placing.fixed.line_count++;
    return ask(MESSAGE_order_place, &placing,
               sizeof placing.fixed + placing.fixed.line_count * sizeof placing.lines[0]);
}

const struct order_place_reply_body *placed(void)
{
    return (const struct order_place_reply_body *)reply.words;
}

const struct take_body *take(int index)
{
    return (const struct take_body *)(placed() + 1) + index;
}

const struct order_status_body *status(void)
{
    return (const struct order_status_body *)reply.words;
}

void check_rejection(uint64_t subject, int64_t value)
{
    const struct rejection_body *body = (const struct rejection_body *)reply.words;
    CHECK_EQUAL(reply.size, sizeof *body);
    CHECK_EQUAL(body->subject, subject);
    CHECK_EQUAL(body->value, value);
}

uint16_t pay(uint64_t event, uint64_t order, int64_t amount, uint8_t outcome)
{
    struct payment_event_body body = {.event = id(event),
                                      .order = id(order),
                                      .amount = amount,
                                      .provider = 1,
                                      .status = outcome,
                                      .currency = EURO};
    return ask(MESSAGE_payment_event, &body, sizeof body);
}

uint16_t change(uint16_t number, uint64_t order)
{
    struct order_change_body body = {.key = id(++keys), .order = id(order)};
    return ask(number, &body, sizeof body);
}

uint16_t expire_holds(void)
{
    struct hold_expire_body body = {.holds = HOLDS_PER_EXPIRE_MAX};
    return ask(MESSAGE_hold_expire, &body, sizeof body);
}

const struct points_balance_reply_body *balance(uint64_t customer)
{
    struct points_balance_body body = {id(customer)};
    CHECK_EQUAL(ask(MESSAGE_points_balance, &body, sizeof body), OUTCOME_OK);
    return (const struct points_balance_reply_body *)reply.words;
}

uint16_t move(uint16_t number, struct moving moving)
{
    moving.fixed.key = id(++keys);
    while (moving.fixed.units_count < 3 && moving.rows[moving.fixed.units_count].line != 0)
        moving.fixed.units_count++;
    return ask(number, &moving,
               sizeof moving.fixed + moving.fixed.units_count * sizeof moving.rows[0]);
}

uint16_t ship_all(uint64_t order)
{
    return move(MESSAGE_order_ship, (struct moving){.fixed = {.order = id(order)}});
}

uint16_t deliver_all(uint64_t order)
{
    return move(MESSAGE_order_deliver, (struct moving){.fixed = {.order = id(order)}});
}

const struct order_money_reply_body *money(uint64_t order)
{
    struct order_page_body body = {.order = id(order)};
    CHECK_EQUAL(ask(MESSAGE_order_money, &body, sizeof body), OUTCOME_OK);
    return (const struct order_money_reply_body *)reply.words;
}

uint16_t pay_in(uint16_t currency, uint64_t event, uint64_t order, int64_t amount)
{
    struct payment_event_body body = {.event = id(event),
                                      .order = id(order),
                                      .amount = amount,
                                      .provider = 1,
                                      .status = payment_status_SUCCESS,
                                      .currency = currency};
    return ask(MESSAGE_payment_event, &body, sizeof body);
}
