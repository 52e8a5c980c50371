/* What payment providers say: applied once per (provider, event id).
 *
 * An event is remembered as long as its order is: a webhook that is sent again, however late, is
 * found, and never counted twice. An event whose order is unknown is not remembered, so the table
 * grows with the orders alone.
 *
 * payment_effect is docs/rules.md's table: from the order's state and the event it tells what to
 * do, before anything is done. */
#include "engine/payment.h"

#include "engine/forget.h"
#include "engine/handlers.h"
#include "engine/order.h"
#include "engine/retake.h"

enum effect {
    EFFECT_RECORD,  /* nothing but a note on the order */
    EFFECT_TELL,    /* confirms the payment that the order was placed with */
    EFFECT_CONFIRM, /* sold */
    EFFECT_RETAKE,  /* sold after all, if what it had is there again */
    EFFECT_FAIL,    /* given back */
    EFFECT_REFUND,  /* captured, and due for refund at once */
    EFFECT_PARK,    /* for a person */
};

/* `state` is the order's, an ended hold counted as EXPIRED already. */
static enum effect payment_effect(const struct engine *engine, uint32_t index, uint8_t state,
                                  const struct payment_event_body *event)
{
    const struct order *order = order_at(engine, index);
    bool same_currency = event->currency == order->currency;
    bool right = same_currency && event->amount == order_money_due(engine, order);
    if (event->status == payment_status_FAILURE) {
        bool fails = state == order_state_PENDING && order->sale != 0 &&
                     (sale_at(engine, order->sale)->flags & sale_flags_FAIL_AT_ONCE) != 0;
        return fails ? EFFECT_FAIL : EFFECT_RECORD;
    }
    if (state == order_state_PENDING)
        return right ? EFFECT_CONFIRM : EFFECT_PARK;
    if (!same_currency)
        return EFFECT_PARK;
    if (right && (order->flags & (ORDER_BORN_PAID | ORDER_IS_TOLD)) == ORDER_BORN_PAID)
        return EFFECT_TELL;
    bool ended = state == order_state_EXPIRED || state == order_state_FAILED;
    return right && ended ? EFFECT_RETAKE : EFFECT_REFUND;
}

uint32_t payment_hash(const struct engine *engine, struct id event, uint32_t provider)
{
    return hash_words(engine, mix_seeded(engine, event.low, event.high), provider);
}

uint32_t payment_find(const struct engine *engine, struct id event, uint32_t provider)
{
    struct index_walk walk =
        index_walk(&engine->payment_index, payment_hash(engine, event, provider));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0) {
        const struct payment *payment = payment_at(engine, index);
        if (id_equal(payment->event, event) && payment->provider == provider &&
            order_is_there(engine, payment->order))
            break;
    }
    return index;
}

/* No event has provider 0. */
static uint32_t loose_hash(const struct engine *engine, uint32_t order)
{
    return hash_words(engine, order, 0);
}

uint32_t payment_loose(const struct engine *engine, uint32_t order)
{
    struct index_walk walk = index_walk(&engine->payment_index, loose_hash(engine, order));
    uint32_t newest = 0;
    uint32_t index = 0;
    /* Among them may be an event of the order whose own hash is the same; it is not newer. */
    while ((index = index_next(&walk)) != 0) {
        if (payment_at(engine, index)->order == order && index > newest)
            newest = index;
    }
    return newest;
}

void payment_index_loose(struct engine *engine, uint32_t index)
{
    uint32_t order = payment_at(engine, index)->order;
    uint32_t newest = payment_loose(engine, order);
    if (newest != 0)
        index_remove(&engine->payment_index, loose_hash(engine, order), newest);
    index_insert(&engine->payment_index, loose_hash(engine, order), index);
}

void payment_push(struct engine *engine, uint32_t money, uint32_t index)
{
    payment_new(engine, index)->next = money_at(engine, money)->payments;
    money_edit(engine, money)->payments = index;
}

void payment_push_loose(struct engine *engine, uint32_t order, uint32_t index)
{
    payment_new(engine, index)->next = payment_loose(engine, order);
    payment_index_loose(engine, index);
    order_edit(engine, order)->flags |= ORDER_HAS_LOOSE;
}

void payments_gather(struct engine *engine, uint32_t index)
{
    struct order *order = order_edit(engine, index);
    uint32_t newest = payment_loose(engine, index);
    money_edit(engine, order->money)->payments = newest;
    index_remove(&engine->payment_index, loose_hash(engine, index), newest);
    order->flags &= (uint8_t)~ORDER_HAS_LOOSE;
}

/* Takes the newest event of an order out of its list; 0: there is none. */
static uint32_t payment_pop(struct engine *engine, uint32_t index)
{
    struct order *order = order_edit(engine, index);
    bool is_loose = (order->flags & ORDER_HAS_LOOSE) != 0;
    uint32_t newest =
        is_loose ? payment_loose(engine, index) : money_at(engine, order->money)->payments;
    uint32_t older = payment_at(engine, newest)->next;
    if (newest == 0)
        return 0;
    if (!is_loose) {
        money_edit(engine, order->money)->payments = older;
        return newest;
    }
    index_remove(&engine->payment_index, loose_hash(engine, index), newest);
    if (older != 0)
        index_insert(&engine->payment_index, loose_hash(engine, index), older);
    else
        order->flags &= (uint8_t)~ORDER_HAS_LOOSE;
    return newest;
}

bool payment_forget(struct engine *engine, uint32_t order)
{
    uint32_t index = payment_pop(engine, order);
    if (index == 0)
        return false;
    const struct payment *payment = payment_at(engine, index);
    index_remove(&engine->payment_index, payment_hash(engine, payment->event, payment->provider),
                 index);
    payment_free(engine, index);
    return true;
}

/* Lists an event of an order. One that changes no money of an order that has none makes none
 * either, until an order was forgotten: so the records are the same whether the log of an older
 * schema was replayed or an image of it was loaded, which has none for such an order. */
static void payment_list(struct engine *engine, uint32_t order, uint32_t index)
{
    if (order_at(engine, order)->money == 0 && engine->orders_forgotten == 0) {
        payment_push_loose(engine, order, index);
        return;
    }
    order_money_edit(engine, order);
    payment_push(engine, order_at(engine, order)->money, index);
}

static struct payment *payment_add(struct engine *engine, uint32_t order,
                                   const struct payment_event_body *event)
{
    uint32_t index = payment_alloc(engine);
    TILL_ASSERT(index != 0);
    struct payment *payment = payment_new(engine, index);
    *payment = (struct payment){.event = event->event,
                                .time_us = engine->time_us,
                                .amount = event->amount,
                                .provider = event->provider,
                                .order = order,
                                .status = event->status,
                                .currency = event->currency};
    index_insert(&engine->payment_index, payment_hash(engine, event->event, event->provider),
                 index);
    payment_list(engine, order, index);
    return payment;
}

static void payment_digest(struct engine *engine, const struct payment *payment)
{
    digest_mix(engine, payment->event.low ^ (uint64_t)payment->amount,
               payment->event.high ^ (uint64_t)payment->outcome << 32 ^ payment->provider);
}

static void money_capture(struct engine *engine, uint32_t index, int64_t amount)
{
    struct money *money = order_money_edit(engine, index);
    money->captured += amount;
    digest_mix(engine, (uint64_t)money->captured, index);
}

static void payment_apply(struct engine *engine, uint32_t index, enum effect effect, int64_t amount,
                          const struct retake *retake)
{
    switch (effect) {
    case EFFECT_TELL:
        order_edit(engine, index)->flags |= ORDER_IS_TOLD;
        order_step(engine, index);
        break;
    case EFFECT_PARK:
        order_money_edit(engine, index)->parked++;
        engine->parked_count++;
        /* fallthrough */
    case EFFECT_RECORD:
        order_step(engine, index);
        break;
    case EFFECT_CONFIRM:
        money_capture(engine, index, amount);
        order_commit(engine, index);
        order_enter(engine, index, order_state_CONFIRMED);
        break;
    case EFFECT_RETAKE:
        money_capture(engine, index, amount);
        retake_write(engine, index, retake);
        break;
    case EFFECT_REFUND:
        money_capture(engine, index, amount);
        order_refund_due_add(engine, index, amount);
        order_step(engine, index);
        break;
    case EFFECT_FAIL:
        order_give_back(engine, index, order_state_FAILED);
        break;
    }
}

/* Room for what the event does. */
static enum outcome check_room(struct engine *engine, uint32_t index, enum effect effect,
                               const struct retake *retake)
{
    const struct order *order = order_at(engine, index);
    if (payment_room(engine) == 0)
        return REJECT_FULL(engine, payments);
    /* A PENDING order can always end. */
    bool ends = effect == EFFECT_CONFIRM || effect == EFFECT_FAIL;
    if (!ends && !order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (order->money == 0 && money_room(engine) == 0)
        return REJECT_FULL(engine, moneys);
    return effect == EFFECT_RETAKE ? retake_check_room(engine, index, retake) : OUTCOME_OK;
}

/* The answer that this event got first. */
static enum outcome payment_replay(struct engine *engine, struct command *command,
                                   const struct payment *payment)
{
    const struct payment_event_body *body = command->body;
    if (!id_equal(order_at(engine, payment->order)->id, body->order) ||
        payment->status != body->status || payment->amount != body->amount ||
        payment->currency != body->currency)
        return reject(engine, OUTCOME_EVENT_CONFLICT, body->provider, 0);
    if (payment->outcome != OUTCOME_OK) {
        struct rejection_body *reply = reply_room(engine, command, sizeof *reply);
        *reply = payment->reply.parked;
        return (enum outcome)payment->outcome;
    }
    struct order_status_body *reply = reply_room(engine, command, sizeof *reply);
    *reply = payment->reply.applied;
    return OUTCOME_REPLAYED;
}

static enum outcome check_event(struct engine *engine, const struct payment_event_body *body)
{
    if (id_is_zero(body->event))
        return reject_field(engine, payment_event_field_event);
    if (id_is_zero(body->order))
        return reject_field(engine, payment_event_field_order);
    if (body->amount < 0)
        return reject_field(engine, payment_event_field_amount);
    if (body->provider == 0)
        return reject_field(engine, payment_event_field_provider);
    if (body->currency == 0 || body->currency > CURRENCY_MAX)
        return reject_field(engine, payment_event_field_currency);
    return OUTCOME_OK;
}

/* What was captured so far plus this amount must stay a number. */
static bool captured_would_overflow(const struct engine *engine, uint32_t index, int64_t amount)
{
    return amount > TOTAL_MAX - money_at(engine, order_at(engine, index)->money)->captured;
}

enum outcome handle_payment_event(struct engine *engine, struct command *command)
{
    const struct payment_event_body *body = command->body;
    struct retake retake;
    enum outcome outcome = check_event(engine, body);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint32_t known = payment_find(engine, body->event, body->provider);
    if (known != 0)
        return payment_replay(engine, command, payment_at(engine, known));
    uint32_t index = order_find(engine, body->order);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct order *order = order_at(engine, index);
    bool ended = order_is_ended(engine, order);
    enum effect effect =
        payment_effect(engine, index, ended ? order_state_EXPIRED : order->state, body);
    if (effect == EFFECT_RETAKE && !retake_judge(engine, index, &retake))
        effect = EFFECT_REFUND;
    bool captures = effect == EFFECT_CONFIRM || effect == EFFECT_RETAKE || effect == EFFECT_REFUND;
    if (captures && captured_would_overflow(engine, index, body->amount))
        return reject(engine, OUTCOME_OVERFLOW, 0, TOTAL_MAX);
    outcome = check_room(engine, index, effect, &retake);
    if (outcome != OUTCOME_OK)
        return outcome;

    engine_accept(engine);
    if (ended)
        order_give_back(engine, index, order_state_EXPIRED);
    payment_apply(engine, index, effect, body->amount, &retake);
    struct payment *payment = payment_add(engine, index, body);
    if (effect == EFFECT_PARK) {
        payment->outcome = (uint8_t)reject(engine, OUTCOME_AMOUNT_MISMATCH, order->currency,
                                           order_money_due(engine, order));
        payment->reply.parked = *reply_rejection(engine, command);
    } else {
        struct order_status_body *reply = reply_begin(engine, command, sizeof *reply);
        order_status_reply(engine, index, reply);
        payment->reply.applied = *reply;
    }
    payment_digest(engine, payment);
    return (enum outcome)payment->outcome;
}
