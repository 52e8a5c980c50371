/* Forgetting.
 *
 *   order_step --> queue: closed orders by their last change, the oldest first --> memory.forget
 *        ^                     |
 *        +---- changed again --+ (a late payment, a refund)
 *
 * memory.forget takes orders from the front of the queue while they are due: changed longer ago
 * than they are kept, or more than are kept. It frees the order with its lines and pieces, and
 * then, one by one, the steps and events that it had, of which there may be any number: so a piece
 * of work is bounded by the number of records that it is given. Until they are all free the order's
 * record is zero but for what leads to them (orders_forgetting): nothing finds it any more.
 *
 * What must hold: nothing that is kept refers to what was forgotten, except entries of timers,
 * which judge by their record, and ledger entries, which are older than any order that has the
 * record now. Stock, points and counts are the same before and after. Nothing can fail. */
#include "engine/forget.h"

#include <stdlib.h>

#include "engine/handlers.h"
#include "engine/keys.h"
#include "engine/payment.h"
#include "engine/piece_list.h"
#include "engine/points.h"
#include "engine/runs.h"

/* The queue. */

bool order_is_closed(const struct engine *engine, const struct order *order)
{
    const struct money *money = money_at(engine, order->money);
    bool has_ended = order->state == order_state_DELIVERED || order->state == order_state_EXPIRED ||
                     order->state == order_state_FAILED || order->state == order_state_CANCELLED;
    return has_ended && money->refund_due == 0 && money->parked == 0;
}

bool order_is_queued(const struct engine *engine, uint32_t index)
{
    return closing_at(engine, index)->older != 0 || engine->closing_first == index;
}

static void queue_remove(struct engine *engine, uint32_t index)
{
    struct closing *closing = closing_edit(engine, index);
    if (closing->older != 0)
        closing_edit(engine, closing->older)->newer = closing->newer;
    else
        engine->closing_first = closing->newer;
    if (closing->newer != 0)
        closing_edit(engine, closing->newer)->older = closing->older;
    else
        engine->closing_last = closing->older;
    *closing = (struct closing){.older = 0};
    engine->closing_count--;
}

/* Behind this one; 0: at the front. */
static void queue_insert(struct engine *engine, uint32_t index, uint32_t older)
{
    uint32_t newer = older != 0 ? closing_at(engine, older)->newer : engine->closing_first;
    *closing_edit(engine, index) = (struct closing){.older = older, .newer = newer};
    if (older != 0)
        closing_edit(engine, older)->newer = index;
    else
        engine->closing_first = index;
    if (newer != 0)
        closing_edit(engine, newer)->older = index;
    else
        engine->closing_last = index;
    engine->closing_count++;
}

/* The last one in the queue that is before this order. Those that one change has closed stand by
 * their numbers until the first order was forgotten, so that the queue follows from the records of
 * an older schema. Numbers ascend with the orders then, and so do nearly all that end together. */
static uint32_t queue_place(const struct engine *engine, uint32_t index)
{
    uint32_t older = engine->closing_last;
    while (engine->orders_forgotten == 0 && older > index &&
           order_changed_seq(engine, order_at(engine, older)) == engine->seq)
        older = closing_at(engine, older)->older;
    return older;
}

void order_queue(struct engine *engine, uint32_t index)
{
    if (order_is_queued(engine, index))
        queue_remove(engine, index);
    if (order_is_closed(engine, order_at(engine, index)))
        queue_insert(engine, index, queue_place(engine, index));
}

struct closed {
    uint64_t seq;
    uint32_t index;
};

static int closed_compare(const void *a, const void *b)
{
    const struct closed *first = a;
    const struct closed *second = b;
    if (first->seq != second->seq)
        return first->seq < second->seq ? -1 : 1;
    return first->index < second->index ? -1 : 1;
}

bool closings_rebuild(struct engine *engine)
{
    uint32_t count = 0;
    struct closed *closed = calloc(engine->orders.count + 1u, sizeof *closed);
    if (closed == NULL)
        return false;
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        if (order->money <= engine->moneys.count && order->steps <= engine->steps.count &&
            order_is_closed(engine, order))
            closed[count++] = (struct closed){order_changed_seq(engine, order), i};
    }
    qsort(closed, count, sizeof *closed, closed_compare);
    for (uint32_t i = 0; i < count; i++)
        queue_insert(engine, closed[i].index, engine->closing_last);
    free(closed);
    return true;
}

/* What is due. */

static uint64_t or_default(uint64_t value, uint64_t value_default)
{
    return value != 0 ? value : value_default;
}

struct engine_retention engine_retention(const struct engine *engine)
{
    return (struct engine_retention){
        .orders_us = or_default(engine->retain_orders_us, RETAIN_ORDERS_US),
        .orders_max = engine->retain_orders_max,
        .ledger_us = or_default(engine->retain_ledger_us, RETAIN_LEDGER_US),
        .keys_us = or_default(engine->retain_keys_us, KEY_RETENTION_US)};
}

uint64_t retain_keys_us(const struct engine *engine)
{
    return engine_retention(engine).keys_us;
}

/* The time from which on the first order of the queue is due; UINT64_MAX without one. */
static uint64_t first_due_us(const struct engine *engine)
{
    struct engine_retention retention = engine_retention(engine);
    if (engine->closing_first == 0)
        return UINT64_MAX;
    if (retention.orders_max != 0 && engine->closing_count > retention.orders_max)
        return 0;
    return order_changed_us(engine, order_at(engine, engine->closing_first)) + retention.orders_us;
}

uint64_t engine_next_forget_us(const struct engine *engine)
{
    return engine->orders_forgetting != 0 ? 0 : first_due_us(engine);
}

uint64_t engine_forget_due(const struct engine *engine, uint64_t now_us)
{
    bool is_due = engine_next_forget_us(engine) <= now_us;
    return is_due ? engine->closing_count + (engine->orders_forgetting != 0) : 0;
}

/* Forgetting an order. */

static void pieces_forget(struct engine *engine, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        piece_remove(engine, (first + i) | PIECE_IN_ARENA);
    runs_give(&engine->pieces, first, count);
}

/* The lines and pieces that it was placed with, and those that it had last. */
static void parts_forget(struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    const struct money *money = money_at(engine, order->money);
    if (order_is_inline(order)) {
        piece_remove(engine, index);
    } else {
        runs_give(&engine->lines, order->parts.lines, order->line_count);
        pieces_forget(engine, order->parts.pieces, order->piece_count);
    }
    if ((order->flags & ORDER_IS_MOVED) != 0)
        pieces_forget(engine, money->pieces, money->piece_count);
}

/* The order is gone then: what is left of it are its steps and events. */
static void order_forget(struct engine *engine, uint32_t index)
{
    struct order *order = order_edit(engine, index);
    queue_remove(engine, index);
    engine->orders_by_state[order->state]--;
    engine->orders_forgotten++;
    digest_mix(engine, order->id.low ^ order->placed_seq, order->id.high ^ index);
    index_remove(&engine->order_index, hash_id(engine, order->id), index);
    parts_forget(engine, index);
    points_forget(engine, index);
    if (order->money != 0) {
        struct money *money = money_edit(engine, order->money);
        *money = (struct money){.payments = money->payments, .order = index};
    }
    *order = (struct order){
        .money = order->money, .steps = order->steps, .flags = order->flags & ORDER_HAS_LOOSE};
    engine->orders_forgetting = index;
}

/* Forgets a step or an event of the order that is being forgotten; false when there is none left.
 */
static bool part_forget(struct engine *engine)
{
    struct order *order = order_edit(engine, engine->orders_forgetting);
    uint32_t step = order->steps;
    if (step == 0)
        return payment_forget(engine, engine->orders_forgetting);
    order->steps = step_at(engine, step)->previous;
    step_free(engine, step);
    return true;
}

static bool has_parts(const struct engine *engine)
{
    const struct order *order = order_at(engine, engine->orders_forgetting);
    return order->steps != 0 || (order->flags & ORDER_HAS_LOOSE) != 0 ||
           money_at(engine, order->money)->payments != 0;
}

/* Its record and that of its money can be used again. */
static void order_end(struct engine *engine)
{
    uint32_t money = order_at(engine, engine->orders_forgetting)->money;
    if (money != 0)
        money_free(engine, money);
    order_free(engine, engine->orders_forgetting);
    engine->orders_forgetting = 0;
}

/* One piece of the work; false when nothing is due. */
static bool forget_one(struct engine *engine)
{
    if (engine_next_forget_us(engine) > engine->time_us)
        return false;
    if (engine->orders_forgetting == 0)
        order_forget(engine, engine->closing_first);
    else
        part_forget(engine);
    if (!has_parts(engine))
        order_end(engine);
    return true;
}

/* Orders of the queue were last touched long ago. So their memory is asked for some ahead: first
 * the records, then, of those that are there, what they lead to. */
enum { RECORDS_AHEAD = 16, LINKS_AHEAD = 8 };

struct ahead {
    uint32_t records;
    uint32_t links;
};

static void ahead_of_records(const struct engine *engine, struct ahead *ahead)
{
    const uint8_t *order = (const uint8_t *)order_at(engine, ahead->records);
    __builtin_prefetch(order);
    __builtin_prefetch(order + sizeof(struct order) / 2);
    ahead->records = closing_at(engine, ahead->records)->newer;
    __builtin_prefetch(closing_at(engine, ahead->records));
}

static void ahead_of_links(const struct engine *engine, struct ahead *ahead)
{
    const struct order *order = order_at(engine, ahead->links);
    __builtin_prefetch(lines_home_at(&engine->order_index.lines, hash_id(engine, order->id)));
    if (order_is_inline(order)) {
        __builtin_prefetch(piece_of(engine, order->parts.piece.next));
        __builtin_prefetch(piece_of(engine, order->parts.piece.order));
    }
    if (order->steps != 0)
        __builtin_prefetch(step_at(engine, order->steps));
    ahead->links = closing_at(engine, ahead->links)->newer;
}

static struct ahead ahead_begin(const struct engine *engine)
{
    struct ahead ahead = {engine->closing_first, engine->closing_first};
    for (unsigned i = 0; i < RECORDS_AHEAD; i++)
        ahead_of_records(engine, &ahead);
    for (unsigned i = 0; i < LINKS_AHEAD; i++)
        ahead_of_links(engine, &ahead);
    return ahead;
}

enum outcome handle_memory_forget(struct engine *engine, struct command *command)
{
    const struct memory_forget_body *body = command->body;
    if (body->records == 0 || body->records > FORGET_RECORDS_MAX)
        return reject_field(engine, memory_forget_field_records);
    if (engine_forget_due(engine, engine->time_us) == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    engine_accept(engine);
    struct ahead ahead = ahead_begin(engine);
    uint32_t left = body->records;
    while (left > 0 && forget_one(engine)) {
        ahead_of_records(engine, &ahead);
        ahead_of_links(engine, &ahead);
        left--;
    }
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}

/* Keys that are forgotten by now stay so when others are kept for longer. */
static void keys_retain(struct engine *engine, uint64_t keys_us)
{
    uint64_t kept_us = engine_kept_us(engine);
    uint64_t before_us = retain_keys_us(engine);
    if (kept_us >= before_us && kept_us - before_us + 1 > engine->keys_known_us)
        engine->keys_known_us = kept_us - before_us + 1;
    engine->retain_keys_us = keys_us;
}

enum outcome handle_retention_put(struct engine *engine, struct command *command)
{
    const struct retention_put_body *body = command->body;
    if (body->orders > TIME_US_MAX)
        return reject_field(engine, retention_put_field_orders);
    if (body->ledger > TIME_US_MAX)
        return reject_field(engine, retention_put_field_ledger);
    if (body->keys > TIME_US_MAX || (body->keys != 0 && body->keys < KEY_RETENTION_US))
        return reject_field(engine, retention_put_field_keys);
    engine_accept(engine);
    keys_retain(engine, body->keys);
    engine->retain_orders_us = body->orders;
    engine->retain_orders_max = body->orders_max;
    engine->retain_ledger_us = body->ledger;
    digest_mix(engine, body->orders ^ body->ledger << 1, body->orders_max ^ body->keys << 1);
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}
