/* The model's payments after they came: a person settles those that are parked. */
#include <string.h>

#include "tests/model/model.h"

static int find_payment(const struct model *model, struct id event, uint32_t provider)
{
    for (int i = 0; i < model->payments.count; i++) {
        const struct model_payment *payment = &model->payments.items[i];
        if (payment->body.provider == provider && id_equal(payment->body.event, event))
            return i;
    }
    return MODEL_NONE;
}

static bool is_parked(const struct model_payment *payment)
{
    return payment->outcome == OUTCOME_AMOUNT_MISMATCH && payment->settlement == 0;
}

/* An event that is named; MODEL_NONE when there is none, which has been answered. */
static int named_payment(const struct model *model, struct id event, uint32_t provider,
                         unsigned event_field, unsigned provider_field, struct model_reply *reply)
{
    int index = find_payment(model, event, provider);
    if (id_is_zero(event))
        model_reject(model, reply, OUTCOME_INVALID, event_field, 0);
    else if (provider == 0)
        model_reject(model, reply, OUTCOME_INVALID, provider_field, 0);
    else if (index == MODEL_NONE)
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
    else
        return index;
    return MODEL_NONE;
}

/* The order becomes CONFIRMED, if it can be. */
static bool is_confirmed(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    if (model_hold_has_ended(model, order))
        model_expire(model, index);
    if (order->state == order_state_EXPIRED || order->state == order_state_FAILED)
        return model_take_again(model, index);
    bool was_pending = order->state == order_state_PENDING;
    if (!was_pending)
        return false;
    order->state = order_state_CONFIRMED;
    model_points_spend(model, index);
    return true;
}

static bool could_be_confirmed(const struct model *model, int index)
{
    struct model *copy = model_copy(model);
    bool is_possible = is_confirmed(copy, index);
    model_destroy(copy);
    return is_possible;
}

static void accept_payment(struct model *model, int index, int64_t amount)
{
    struct model_order *order = &model->orders.items[index];
    is_confirmed(model, index);
    order->captured += amount;
    if (amount < order->money_due)
        order->waived = order->money_due - amount;
    else
        order->refund_due += amount - order->money_due;
    model_earning_begin(model, index);
}

static void refund_payment(struct model *model, int index, const struct payment_event_body *event)
{
    struct model_order *order = &model->orders.items[index];
    if (model_hold_has_ended(model, order))
        model_expire(model, index);
    if (event->currency != order->currency)
        return;
    order->captured += event->amount;
    order->refund_due += event->amount;
}

void model_payment_settle(struct model *model, const struct model_request *request,
                          struct model_reply *reply)
{
    const struct payment_settle_body *body = request->body;
    bool accepts = body->settlement == settlement_ACCEPT;
    int number = named_payment(model, body->event, body->provider, payment_settle_field_event,
                               payment_settle_field_provider, reply);
    if (number == MODEL_NONE)
        return;
    const struct payment_event_body event = model->payments.items[number].body;
    int index = model->payments.items[number].order;
    const struct model_order *order = &model->orders.items[index];
    uint8_t state = model_hold_has_ended(model, order) ? order_state_EXPIRED : order->state;
    bool captures = accepts || event.currency == order->currency;
    if (!is_parked(&model->payments.items[number])) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
        return;
    }
    if (accepts && event.currency != order->currency) {
        model_reject(model, reply, OUTCOME_CURRENCY_MISMATCH, 0, order->currency);
        return;
    }
    if (accepts && !could_be_confirmed(model, index)) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
        return;
    }
    if (captures && (wide)order->captured + event.amount > TOTAL_MAX) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, TOTAL_MAX);
        return;
    }
    model_accept(model, reply);
    model->payments.items[number].settlement = body->settlement;
    model->orders.items[index].parked--;
    if (accepts)
        accept_payment(model, index, event.amount);
    else
        refund_payment(model, index, &event);
    model_add_step(model, index);
    model_answer_status(model, reply, index);
}

void model_payment_get(struct model *model, const struct model_request *request,
                       struct model_reply *reply)
{
    const struct payment_id_body *body = request->body;
    int number = named_payment(model, body->event, body->provider, payment_id_field_event,
                               payment_id_field_provider, reply);
    if (number == MODEL_NONE)
        return;
    const struct model_payment *payment = &model->payments.items[number];
    struct payment_get_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->order = model->orders.items[payment->order].order;
    answer->status = payment->body.status;
    answer->settlement = payment->settlement;
    answer->parked = is_parked(payment);
    answer->currency = payment->body.currency;
    answer->amount = payment->body.amount;
    answer->time = payment->time;
    answer->opaque_size = payment->body.opaque_size;
    answer->opaque_count = payment->body.opaque_count;
    size_t size = payment->body.opaque_count * sizeof(struct opaque_body);
    memcpy(model_answer_row(reply, size),
           model->bytes.items + payment->request + sizeof payment->body, size);
}
