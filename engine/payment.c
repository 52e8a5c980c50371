/* What payment providers say: applied once per (provider, event id).
 *
 * An event is remembered as long as its order is: a webhook that is sent again, however late, is
 * found, and never counted twice. An event whose order is unknown is not remembered, so the table
 * grows with the orders alone.
 *
 * payment_effect is docs/rules.md's table: from the order's state and the event it tells what to
 * do, before anything is done. What it parks waits for a person, who settles it. */
#include "engine/payment.h"

#include "base/bytes.h"
#include "engine/account.h"
#include "engine/earning.h"
#include "engine/keys.h"
#include "engine/lists.h"
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
    while ((index = index_next(&walk)) != 0 &&
           (!id_equal(payment_at(engine, index)->event, event) ||
            payment_at(engine, index)->provider != provider)) {
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

static uint32_t payment_add(struct engine *engine, uint32_t order,
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
    return index;
}

/* Records for so many opaque bytes. */
static uint32_t opaques_needed(uint32_t size)
{
    return (size + OPAQUE_PART_SIZE - 1) / OPAQUE_PART_SIZE;
}

/* The bytes of the next record: all it can have, or the rest. */
static uint32_t opaque_part_size(uint32_t left)
{
    return left < OPAQUE_PART_SIZE ? left : OPAQUE_PART_SIZE;
}

static void opaques_write(struct engine *engine, uint32_t index, const uint8_t *bytes,
                          uint32_t size)
{
    struct payment *payment = payment_edit(engine, index);
    uint32_t *place = &payment->opaques;
    payment->opaque_size = (uint16_t)size;
    while (size > 0) {
        uint32_t part = opaque_part_size(size);
        *place = opaque_alloc(engine);
        TILL_ASSERT(*place != 0);
        struct opaque *opaque = opaque_new(engine, *place);
        opaque->payment = index;
        memcpy(opaque->part.bytes, bytes, part);
        digest_mix(engine, checksum64(bytes, part), index);
        place = &opaque->next;
        bytes += part;
        size -= part;
    }
}

/* Copies a payment's opaque bytes to where there is room for all that there may be. */
static void opaques_read(const struct engine *engine, const struct payment *payment, uint8_t *room)
{
    uint32_t left = payment->opaque_size;
    for (uint32_t at = payment->opaques; at != 0; at = opaque_at(engine, at)->next) {
        uint32_t part = opaque_part_size(left);
        memcpy(room, opaque_at(engine, at)->part.bytes, part);
        room += part;
        left -= part;
    }
}

void opaques_forget(struct engine *engine, uint32_t index)
{
    struct payment *payment = payment_edit(engine, index);
    for (uint32_t at = payment->opaques; at != 0;) {
        uint32_t next = opaque_at(engine, at)->next;
        opaque_free(engine, at);
        at = next;
    }
    payment->opaques = payment->opaque_size = 0;
}

static void payment_digest(struct engine *engine, const struct payment *payment)
{
    digest_mix(engine, payment->event.low ^ (uint64_t)payment->amount,
               payment->event.high ^ (uint64_t)payment->outcome << 32 ^ payment->provider ^
                   (uint64_t)payment->settlement << 48);
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
        earning_promise(engine, index);
        break;
    case EFFECT_RETAKE:
        money_capture(engine, index, amount);
        retake_write(engine, index, retake);
        earning_promise(engine, index);
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
                               const struct retake *retake, uint32_t opaque_size)
{
    const struct order *order = order_at(engine, index);
    if (payment_room(engine) == 0)
        return REJECT_FULL(engine, payments);
    if (opaque_room(engine) < opaques_needed(opaque_size))
        return REJECT_FULL(engine, opaques);
    /* A PENDING order can always end. */
    bool ends = effect == EFFECT_CONFIRM || effect == EFFECT_FAIL;
    if (!ends && !order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (order->money == 0 && money_room(engine) == 0)
        return REJECT_FULL(engine, moneys);
    if (effect == EFFECT_RETAKE)
        return retake_check_room(engine, index, retake);
    struct points_need need = {.takes = 0};
    if (effect == EFFECT_CONFIRM)
        earning_need(engine, order->sale, order_money_due(engine, order), &need);
    return check_points_room(engine, &need);
}

/* The answer that this event got first. */
static enum outcome payment_replay(struct engine *engine, struct command *command,
                                   const struct payment *payment)
{
    const struct payment_event_body *body = command->body;
    uint8_t opaque[OPAQUE_SIZE_MAX];
    opaques_read(engine, payment, opaque);
    if (!id_equal(order_at(engine, payment->order)->id, body->order) ||
        payment->status != body->status || payment->amount != body->amount ||
        payment->currency != body->currency || payment->opaque_size != body->opaque_size ||
        memcmp(opaque, body + 1, body->opaque_size) != 0)
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

/* As many rows as the bytes fill, and zeros behind the last byte. */
static enum outcome check_opaque(struct engine *engine, const struct payment_event_body *body)
{
    const uint8_t *bytes = (const uint8_t *)(body + 1);
    uint32_t room = body->opaque_count * (uint32_t)sizeof(struct opaque_body);
    if (body->opaque_size > room || room - body->opaque_size >= sizeof(struct opaque_body))
        return reject_field(engine, payment_event_field_opaque_size);
    uint32_t rest = room - body->opaque_size;
    if (rest > 0 && !bytes_are_zero(bytes + body->opaque_size, rest))
        return reject_field(engine, ROW_FIELD + opaque_field_bytes);
    return OUTCOME_OK;
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
    return check_opaque(engine, body);
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
    outcome = check_room(engine, index, effect, &retake, body->opaque_size);
    if (outcome != OUTCOME_OK)
        return outcome;

    engine_accept(engine);
    if (ended)
        order_give_back(engine, index, order_state_EXPIRED);
    payment_apply(engine, index, effect, body->amount, &retake);
    uint32_t added = payment_add(engine, index, body);
    opaques_write(engine, added, (const uint8_t *)(body + 1), body->opaque_size);
    struct payment *payment = payment_new(engine, added);
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
    if (engine->lists != NULL)
        lists_payment_changed(engine, added);
    return (enum outcome)payment->outcome;
}

/* May the order still be confirmed by what is accepted? */
static enum outcome judge_accept(struct engine *engine, uint32_t index,
                                 const struct payment *payment, struct retake *retake)
{
    const struct order *order = order_at(engine, index);
    bool has_ended = order->state == order_state_EXPIRED || order->state == order_state_FAILED ||
                     order_is_ended(engine, order);
    if (payment->currency != order->currency)
        return reject(engine, OUTCOME_CURRENCY_MISMATCH, 0, order->currency);
    if (order->state == order_state_PENDING && !has_ended)
        return OUTCOME_OK;
    if (!has_ended || !retake_judge(engine, index, retake))
        return order_reject_state(engine, order);
    return OUTCOME_OK;
}

/* What is too little was waived, and what is too much is due for refund. */
static void write_difference(struct engine *engine, uint32_t index, int64_t amount)
{
    int64_t due = order_money_due(engine, order_at(engine, index));
    if (amount < due) {
        order_account_edit(engine, index)->waived = due - amount;
        digest_mix(engine, (uint64_t)(due - amount), index);
    } else if (amount > due) {
        order_refund_due_add(engine, index, amount - due);
    }
}

static enum effect settle_effect(const struct engine *engine, uint32_t index,
                                 const struct payment *payment, uint8_t settlement)
{
    const struct order *order = order_at(engine, index);
    if (settlement == settlement_REFUND)
        return payment->currency == order->currency ? EFFECT_REFUND : EFFECT_RECORD;
    bool is_held = order->state == order_state_PENDING && !order_is_ended(engine, order);
    return is_held ? EFFECT_CONFIRM : EFFECT_RETAKE;
}

static enum outcome settle_check_room(struct engine *engine, uint32_t index, enum effect effect,
                                      const struct retake *retake)
{
    const struct order *order = order_at(engine, index);
    if (effect != EFFECT_CONFIRM && !order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (effect != EFFECT_CONFIRM && effect != EFFECT_RETAKE)
        return OUTCOME_OK;
    enum outcome outcome = account_check_room(engine, order);
    if (outcome == OUTCOME_OK && effect == EFFECT_RETAKE)
        return retake_check_room(engine, index, retake);
    struct points_need need = {.takes = 0};
    earning_need(engine, order->sale, order_money_due(engine, order), &need);
    return outcome == OUTCOME_OK ? check_points_room(engine, &need) : outcome;
}

static void write_settlement(struct engine *engine, uint32_t known, uint8_t settlement)
{
    struct payment *payment = payment_edit(engine, known);
    payment->settlement = settlement;
    order_money_edit(engine, payment->order)->parked--;
    engine->parked_count--;
    engine->settled_count++;
    payment_digest(engine, payment);
    if (engine->lists != NULL)
        lists_payment_changed(engine, known);
}

enum outcome handle_payment_settle(struct engine *engine, struct command *command)
{
    const struct payment_settle_body *body = command->body;
    struct retake retake;
    if (id_is_zero(body->event))
        return reject_field(engine, payment_settle_field_event);
    if (body->provider == 0)
        return reject_field(engine, payment_settle_field_provider);
    uint32_t known = payment_find(engine, body->event, body->provider);
    const struct payment *payment = payment_at(engine, known);
    uint32_t index = payment->order;
    if (known == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    if (!payment_is_parked(payment))
        return order_reject_state(engine, order_at(engine, index));
    enum outcome outcome = OUTCOME_OK;
    if (body->settlement == settlement_ACCEPT)
        outcome = judge_accept(engine, index, payment, &retake);
    if (outcome != OUTCOME_OK)
        return outcome;
    enum effect effect = settle_effect(engine, index, payment, body->settlement);
    if (effect != EFFECT_RECORD && captured_would_overflow(engine, index, payment->amount))
        return reject(engine, OUTCOME_OVERFLOW, 0, TOTAL_MAX);
    outcome = settle_check_room(engine, index, effect, &retake);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (order_is_ended(engine, order_at(engine, index)))
        order_give_back(engine, index, order_state_EXPIRED);
    write_settlement(engine, known, body->settlement);
    if (body->settlement == settlement_ACCEPT)
        write_difference(engine, index, payment->amount);
    payment_apply(engine, index, effect, payment->amount, &retake);
    order_status_reply(engine, index,
                       reply_begin(engine, command, sizeof(struct order_status_body)));
    return OUTCOME_OK;
}

enum outcome handle_payment_get(struct engine *engine, struct command *command)
{
    const struct payment_id_body *body = command->body;
    if (id_is_zero(body->event))
        return reject_field(engine, payment_id_field_event);
    if (body->provider == 0)
        return reject_field(engine, payment_id_field_provider);
    uint32_t index = payment_find(engine, body->event, body->provider);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct payment *payment = payment_at(engine, index);
    uint32_t rows = (payment->opaque_size + (uint32_t)sizeof(struct opaque_body) - 1) /
                    (uint32_t)sizeof(struct opaque_body);
    struct payment_get_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + rows * sizeof(struct opaque_body)));
    *reply = (struct payment_get_reply_body){
        .seq = engine->seq,
        .order = order_at(engine, payment->order)->id,
        .status = payment->status,
        .settlement = payment->settlement,
        .parked = payment_is_parked(payment),
        .currency = payment->currency,
        .opaque_count = (uint16_t)rows,
        .amount = payment->amount,
        .time = payment->time_us,
        .opaque_size = payment->opaque_size,
    };
    opaques_read(engine, payment, (uint8_t *)(reply + 1));
    return OUTCOME_OK;
}
