/* An order's parts, and every transition of its life.
 *
 *                 handle_payment_event               handle_order_ship
 *   PENDING ------------------------------> CONFIRMED -----------------> PARTIALLY_SHIPPED
 *     | | |                                  ^   |  |                           |
 *     | | | handle_payment_event             |   |  | handle_order_ship         | handle_order_ship
 *     | | +------------> FAILED -------------+   |  +-------> SHIPPED <---------+
 *     | | handle_hold_expire, hold_release   |   |               |
 *     | +--------------> EXPIRED ------------+   |               | handle_order_deliver
 *     |                   (paid late)            v               v
 *     +-------------------------------------> CANCELLED      DELIVERED
 *                handle_order_cancel
 *
 * PENDING holds stock (reserved), points (held) and the customer's count; CONFIRMED has them
 * (committed, spent, counted), and so have the states after it, whose stock leaves by and by; the
 * others hold nothing. What an order took is in its pieces and
 * point takes, so that giving back returns it to where it came from, exactly once. A PENDING order
 * can always end: its first transition stands inside of it, and once that is taken by an extended
 * hold, a step is kept in reserve. */
#include "engine/order.h"

#include "engine/account.h"
#include "engine/earning.h"
#include "engine/keys.h"
#include "engine/lists.h"
#include "engine/payment.h"
#include "engine/piece_list.h"
#include "engine/points.h"
#include "engine/stock.h"
#include "engine/tally.h"
#include "engine/timers.h"
#include "engine/warehouse.h"

struct piece *order_pieces_edit(struct engine *engine, struct order *order)
{
    bool is_moved = (order->flags & ORDER_IS_MOVED) != 0;
    if (!is_moved && order_is_inline(order))
        return &order->parts.piece;
    uint32_t first = is_moved ? money_at(engine, order->money)->pieces : order->parts.pieces;
    for (uint32_t i = 1; i < order_pieces(engine, order).count; i++)
        keep(engine->keeper, TABLE_pieces, first + i);
    return piece_edit(engine, first);
}

int64_t order_money_due(const struct engine *engine, const struct order *order)
{
    return order->total - money_at(engine, order->money)->points_value;
}

uint8_t order_money_state(const struct engine *engine, const struct order *order)
{
    const struct money *money = money_at(engine, order->money);
    int64_t refunded = order_account(engine, order)->refunded;
    if (money->refund_due > 0)
        return money_state_REFUND_DUE;
    if (order->state == order_state_PENDING && order_money_due(engine, order) > 0)
        return money_state_DUE;
    if (money->captured == 0)
        return money_state_NONE;
    if (refunded == 0)
        return money_state_CAPTURED;
    return refunded < money->captured ? money_state_PARTIALLY_REFUNDED : money_state_REFUNDED;
}

bool order_is_ended(const struct engine *engine, const struct order *order)
{
    return order->state == order_state_PENDING && order->deadline_us <= engine->time_us;
}

uint64_t order_hold_max_us(const struct engine *engine, const struct order *order)
{
    uint32_t hold_max_s = order->sale != 0 ? sale_at(engine, order->sale)->hold_max_s : HOLD_MAX_S;
    return order->placed_us + hold_max_s * US_PER_SECOND;
}

bool order_has_step_room(const struct engine *engine, const struct order *order)
{
    bool is_free = order->version == 1 && order->state != order_state_PENDING;
    return is_free || step_room(engine) > engine->steps_reserved;
}

struct money *order_money_edit(struct engine *engine, uint32_t index)
{
    struct order *order = order_edit(engine, index);
    if (order->money == 0) {
        order->money = money_alloc(engine);
        TILL_ASSERT(order->money != 0);
        money_new(engine, order->money)->order = index;
        if ((order->flags & ORDER_HAS_LOOSE) != 0)
            payments_gather(engine, index);
    }
    return money_edit(engine, order->money);
}

/* The pieces of an earlier move. */
static void pieces_forget(struct engine *engine, const struct money *money)
{
    for (uint32_t i = 0; i < money->piece_count; i++)
        piece_remove(engine, (money->pieces + i) | PIECE_IN_ARENA);
    runs_give(&engine->pieces, money->pieces, money->piece_count);
}

void order_move(struct engine *engine, uint32_t index, const struct piece *pieces, uint32_t count)
{
    struct order *order = order_edit(engine, index);
    struct money *money = order_money_edit(engine, index);
    if (engine->lists != NULL)
        lists_pieces_leave(engine, index);
    if ((order->flags & ORDER_IS_MOVED) != 0)
        pieces_forget(engine, money);
    order->flags |= ORDER_IS_MOVED;
    money->pieces = runs_take(&engine->pieces, count);
    money->piece_count = count;
    money->moved = order->version + 1; /* that this command makes */
    TILL_ASSERT(money->pieces != 0);
    for (uint32_t i = 0; i < count; i++) {
        struct piece *piece = piece_new(engine, money->pieces + i);
        *piece = pieces[i];
        piece->order = index;
        piece_push(engine, stock_edit(engine, piece->stock), piece,
                   (money->pieces + i) | PIECE_IN_ARENA, false);
        digest_mix(engine, (uint64_t)piece->stock << 32 | piece->quantity,
                   (uint64_t)index << 32 | piece->line);
    }
    if (engine->lists != NULL)
        lists_pieces_enter(engine, index);
}

/* How many versions a jump passes. */
static uint32_t jump_length(const struct engine *engine, const struct step *step)
{
    return step->version - step_at(engine, step->jump)->version;
}

/* Where the step after `previous` jumps to: when the last two jumps on the way back are of one
 * length, over both, else one step. The lengths are then those of the digits of a skew binary
 * number (Myers 1983), and any older version is found in leaps that are logarithmic in the
 * distance. */
uint32_t step_jump(const struct engine *engine, uint32_t previous)
{
    const struct step *step = step_at(engine, previous);
    const struct step *target = step_at(engine, step->jump);
    bool is_pair = step->jump != 0 && target->jump != 0 &&
                   jump_length(engine, step) == jump_length(engine, target);
    return is_pair ? target->jump : previous;
}

uint32_t step_find(const struct engine *engine, uint32_t newest, uint32_t version)
{
    uint32_t index = newest;
    while (index != 0 && step_at(engine, index)->version > version) {
        const struct step *step = step_at(engine, index);
        bool may_jump = step->jump != 0 && step_at(engine, step->jump)->version >= version;
        index = may_jump ? step->jump : step->previous;
    }
    return index;
}

/* The step of the placing, which follows from the order. */
static struct step_body step_1(const struct order *order)
{
    bool confirmed = (order->flags & ORDER_BORN_CONFIRMED) != 0;
    bool paid = (order->flags & ORDER_BORN_PAID) != 0;
    return (struct step_body){
        .seq = order->placed_seq,
        .time = order->placed_us,
        .version = 1,
        .state = confirmed ? order_state_CONFIRMED : order_state_PENDING,
        .money = !confirmed ? money_state_DUE
                 : paid     ? money_state_CAPTURED
                            : money_state_NONE,
    };
}

/* The step of the first transition, which the order has too. */
static struct step_body step_2(const struct order *order)
{
    return (struct step_body){.seq = order->first_seq,
                              .time = order->first_us,
                              .version = 2,
                              .state = order->first_state,
                              .money = order->first_money};
}

struct step_body order_step_at(const struct engine *engine, const struct order *order,
                               uint32_t version)
{
    if (version == 1)
        return step_1(order);
    if (version == 2)
        return step_2(order);
    const struct step *step = step_at(engine, step_find(engine, order->steps, version));
    return (struct step_body){.seq = step->seq,
                              .time = step->time_us,
                              .version = version,
                              .state = step->state,
                              .money = step->money};
}

static void write_step(struct engine *engine, struct order *order)
{
    uint32_t step = step_alloc(engine);
    TILL_ASSERT(step != 0);
    *step_new(engine, step) = (struct step){
        .seq = engine->seq,
        .time_us = engine->time_us,
        .previous = order->steps,
        .jump = step_jump(engine, order->steps),
        .version = order->version,
        .state = order->state,
        .money = order_money_state(engine, order),
    };
    order->steps = step;
}

static void write_first_step(struct engine *engine, struct order *order)
{
    order->first_seq = engine->seq;
    order->first_us = engine->time_us;
    order->first_state = order->state;
    order->first_money = order_money_state(engine, order);
    engine->steps_reserved += order->state == order_state_PENDING;
}

void order_step(struct engine *engine, uint32_t index)
{
    struct order *order = order_edit(engine, index);
    if (++order->version == 2)
        write_first_step(engine, order);
    else
        write_step(engine, order);
    digest_mix(engine, (uint64_t)index << 32 | order->version,
               order->deadline_us ^ (uint64_t)order->state << 56);
}

void order_enter(struct engine *engine, uint32_t index, uint8_t state)
{
    struct order *order = order_edit(engine, index);
    if (order->state == order_state_PENDING && order->version > 1)
        engine->steps_reserved--;
    uint8_t from_state = order->state;
    engine->orders_by_state[from_state]--;
    engine->orders_by_state[state]++;
    order->state = state;
    order_step(engine, index);
    if (engine->lists != NULL && state != from_state)
        lists_entered(engine, index, from_state);
}

void order_commit(struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.first[i];
        struct stock *stock = stock_edit(engine, piece->stock);
        stock->reserved -= piece->quantity;
        stock->committed += piece->quantity;
        stock_digest(engine, piece->stock);
    }
    if (order->money != 0)
        points_spend(engine, index);
}

void piece_give_back(struct engine *engine, const struct order *order, const struct piece *piece)
{
    struct stock *stock = stock_edit(engine, piece->stock);
    if (order->state == order_state_PENDING)
        stock->reserved -= piece->quantity;
    else
        stock->committed -= piece->quantity;
    uint32_t to_pool = piece_returns_to(engine, order, piece);
    if (piece->pool != 0)
        pool_edit(engine, piece->pool)->taken -= piece->quantity;
    if (to_pool != 0) {
        pool_edit(engine, to_pool)->left += piece->quantity;
        stock->pooled += piece->quantity;
    } else {
        stock->available += piece->quantity;
    }
    stock_digest(engine, piece->stock);
}

/* What was spent comes back, but for the points of earlier refunds. */
static void give_back_spent(struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    int64_t points = order_points_unrefunded(engine, order);
    points_return(engine, index, points);
    if (money_at(engine, order->money)->account == 0)
        return;
    struct account *account = order_account_edit(engine, index);
    account->points_back += points;
    account->worth = order->total;
}

void order_give_back(struct engine *engine, uint32_t index, uint8_t state)
{
    const struct order *order = order_at(engine, index);
    struct pieces pieces = order_pieces(engine, order);
    TILL_ASSERT(order->state == order_state_PENDING || order->state == order_state_CONFIRMED);
    for (uint32_t i = 0; i < pieces.count; i++) {
        piece_give_back(engine, order, &pieces.first[i]);
        piece_tally(engine, order, &pieces.first[i], -1);
    }
    warehouses_leave(engine, index);
    if (order->state == order_state_PENDING)
        points_release(engine, index);
    else
        give_back_spent(engine, index);
    order_enter(engine, index, state);
}

void order_refund_due_add(struct engine *engine, uint32_t index, int64_t amount)
{
    struct money *money = order_money_edit(engine, index);
    engine->refund_order_count -= money->refund_due > 0;
    money->refund_due += amount;
    engine->refund_order_count += money->refund_due > 0;
    digest_mix(engine, (uint64_t)money->refund_due, (uint64_t)money->captured ^ index);
    if (engine->lists != NULL)
        lists_refund_changed(engine, order_at(engine, index)->money);
}

void order_status_reply(const struct engine *engine, uint32_t index,
                        struct order_status_body *reply)
{
    const struct order *order = order_at(engine, index);
    reply->seq = engine->seq;
    reply->state = order->state;
    reply->money = order_money_state(engine, order);
    reply->version = order->version;
    reply->hold_ends = order->state == order_state_PENDING ? order->deadline_us : 0;
    reply->refund_due = money_at(engine, order->money)->refund_due;
}

enum outcome order_reject_state(struct engine *engine, const struct order *order)
{
    uint8_t state = order_is_ended(engine, order) ? order_state_EXPIRED : order->state;
    return reject(engine, OUTCOME_BAD_TRANSITION, state, 0);
}

enum outcome handle_order_cancel(struct engine *engine, struct command *command)
{
    const struct order_change_body *body = command->body;
    if (id_is_zero(body->order))
        return reject_field(engine, order_change_field_order);
    uint32_t index = order_find(engine, body->order);
    const struct order *order = order_at(engine, index);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    bool confirmed = order->state == order_state_CONFIRMED;
    if (order_is_ended(engine, order) || (order->state != order_state_PENDING && !confirmed))
        return order_reject_state(engine, order);
    if (confirmed && !order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (confirmed) {
        struct points_need need =
            points_return_needed(engine, order, order_points_unrefunded(engine, order));
        earning_need_changed(engine, order, 0, &need);
        enum outcome outcome = check_points_room(engine, &need);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (order_kept(engine, order) > 0)
        order_refund_due_add(engine, index, order_kept(engine, order));
    order_give_back(engine, index, order_state_CANCELLED);
    earning_changed(engine, index);
    order_status_reply(engine, index,
                       reply_begin(engine, command, sizeof(struct order_status_body)));
    return OUTCOME_OK;
}

/* Is this order's hold running, so that it may be extended or released? */
static enum outcome check_hold(struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    if (order->state == order_state_EXPIRED || order_is_ended(engine, order))
        return reject(engine, OUTCOME_HOLD_EXPIRED, 0, (int64_t)order->deadline_us);
    if (order->state != order_state_PENDING)
        return order_reject_state(engine, order);
    return OUTCOME_OK;
}

enum outcome handle_hold_extend(struct engine *engine, struct command *command)
{
    const struct hold_extend_body *body = command->body;
    if (id_is_zero(body->order))
        return reject_field(engine, hold_extend_field_order);
    if (body->hold == 0 || body->hold > HOLD_MAX_S)
        return reject_field(engine, hold_extend_field_hold);
    uint32_t index = order_find(engine, body->order);
    enum outcome outcome = check_hold(engine, index);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint64_t deadline_us = engine->time_us + body->hold * US_PER_SECOND;
    uint64_t cap_us = order_hold_max_us(engine, order_at(engine, index));
    if (deadline_us > cap_us)
        deadline_us = cap_us;
    if (deadline_us <= engine->time_us)
        deadline_us = order_at(engine, index)->deadline_us;
    if (!order_has_step_room(engine, order_at(engine, index)))
        return REJECT_FULL(engine, steps);
    if (!deadlines_has_room(&engine->deadlines))
        return REJECT_FULL(engine, deadlines);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    order_edit(engine, index)->deadline_us = deadline_us;
    timer_set(engine, TIMER_hold, index, deadline_us);
    order_step(engine, index);
    order_status_reply(engine, index,
                       reply_begin(engine, command, sizeof(struct order_status_body)));
    return OUTCOME_OK;
}

enum outcome handle_hold_release(struct engine *engine, struct command *command)
{
    const struct order_change_body *body = command->body;
    if (id_is_zero(body->order))
        return reject_field(engine, order_change_field_order);
    uint32_t index = order_find(engine, body->order);
    enum outcome outcome = check_hold(engine, index);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    order_edit(engine, index)->deadline_us = engine->time_us;
    order_give_back(engine, index, order_state_EXPIRED);
    order_status_reply(engine, index,
                       reply_begin(engine, command, sizeof(struct order_status_body)));
    return OUTCOME_OK;
}

uint64_t timer_hold_us(const struct engine *engine, uint32_t order)
{
    const struct order *record = order_at(engine, order);
    return record->state == order_state_PENDING ? record->deadline_us : 0;
}

void timer_hold(struct engine *engine, uint32_t order)
{
    if (order_is_ended(engine, order_at(engine, order)))
        order_give_back(engine, order, order_state_EXPIRED);
}

/* Runs what is due, of all timers. Accepted whenever an entry was taken, a stale one too: a replay
 * must take the same entries. */
enum outcome handle_hold_expire(struct engine *engine, struct command *command)
{
    const struct hold_expire_body *body = command->body;
    if (body->holds == 0 || body->holds > HOLDS_PER_EXPIRE_MAX)
        return reject_field(engine, hold_expire_field_holds);
    if (deadlines_due(&engine->deadlines, engine->time_us) == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    engine_accept(engine);
    uint32_t left = body->holds;
    while (left > 0 && timer_run(engine))
        left--;
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}
