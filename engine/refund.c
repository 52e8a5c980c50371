/* Refunds, in two steps, because the money moves at the provider.
 *
 *              refund.begin              refund.finish SUCCESS
 *   kept, due --------------> refunding ----------------------> refunded
 *         ^                       |
 *         +-----------------------+  refund.finish FAILURE: due
 *
 * captured = kept + refunding + refunded + due, always, and the same of the points that an order
 * has spent. What an order has kept comes back by parts of its total (AMOUNT, LINES): each gives
 * the difference of what the order's shares (account.h) are with it and without it, so that parts
 * of any size, in any order, add up to what was paid, to the unit. A part whose money could not be
 * paid back is due again, with its points, and never counted a second time. What is due (DUE)
 * needs no reason: late, double and wrong payments, cancelled orders, refunds that failed.
 *
 * Its id is a refund's key, for as long as its order is in memory. */
#include "engine/refund.h"

#include "engine/account.h"
#include "engine/earning.h"
#include "engine/handlers.h"
#include "engine/layout.h"
#include "engine/order.h"
#include "engine/points.h"

/* A refund before it is written. */
struct refund_plan {
    uint32_t units[ORDER_PIECES_MAX]; /* LINES: of each of the order's pieces */
    int64_t worth;
    int64_t amount;
    int64_t points;
};

uint32_t refund_find(const struct engine *engine, struct id id)
{
    struct index_walk walk = index_walk(&engine->refund_index, refund_hash(engine, id));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && !id_equal(refund_at(engine, index)->id, id)) {
    }
    return index;
}

static enum outcome check_begin_body(struct engine *engine, const struct refund_begin_body *body,
                                     const struct refund_line_body *rows)
{
    bool by_lines = body->kind == refund_kind_LINES;
    if (id_is_zero(body->refund))
        return reject_field(engine, refund_begin_field_refund);
    if (id_is_zero(body->order))
        return reject_field(engine, refund_begin_field_order);
    if (body->amount < 0 || (body->kind == refund_kind_AMOUNT && body->amount == 0) ||
        (by_lines && body->amount != 0))
        return reject_field(engine, refund_begin_field_amount);
    if (by_lines != (body->line_count > 0))
        return reject_field(engine, refund_begin_field_line_count);
    for (unsigned i = 0; i < body->line_count; i++) {
        if (rows[i].line == 0)
            return reject_field(engine, ROW_FIELD + refund_line_field_line);
        if (rows[i].quantity == 0)
            return reject_field(engine, ROW_FIELD + refund_line_field_quantity);
    }
    return OUTCOME_OK;
}

/* Plans a row: units of its line that no refund has had, in the order of the pieces. False when
 * there are too few: *left is how many there were. */
static bool plan_row(const struct engine *engine, const struct order *order,
                     const struct refund_line_body *row, struct refund_plan *plan, int64_t *left)
{
    struct pieces pieces = order_pieces(engine, order);
    uint32_t missing = row->quantity;
    *left = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        if (pieces.first[i].line + 1u != row->line)
            continue;
        uint32_t refunded = order_fulfilment(engine, order, i)->refunded + plan->units[i];
        uint32_t may = pieces.first[i].quantity - refunded;
        uint32_t taken = may < missing ? may : missing;
        plan->units[i] += taken;
        missing -= taken;
        *left += may;
    }
    return missing == 0;
}

static enum outcome plan_lines(struct engine *engine, const struct order *order,
                               const struct refund_begin_body *body, struct refund_plan *plan)
{
    const struct refund_line_body *rows = (const struct refund_line_body *)(body + 1);
    for (unsigned i = 0; i < body->line_count; i++) {
        int64_t left = 0;
        if (rows[i].line > order->line_count)
            return reject_field(engine, ROW_FIELD + refund_line_field_line);
        if (!plan_row(engine, order, &rows[i], plan, &left))
            return reject(engine, OUTCOME_INVALID, ROW_FIELD + refund_line_field_quantity, left);
        /* All units at their prices are the total: no sum of some is more. */
        plan->worth += order_line(engine, order, rows[i].line - 1u).price * rows[i].quantity;
    }
    return OUTCOME_OK;
}

/* A part of the total of what was sold. */
static enum outcome plan_part(struct engine *engine, const struct order *order,
                              const struct refund_begin_body *body, struct refund_plan *plan)
{
    int64_t worth = order_account(engine, order)->worth;
    enum outcome outcome = OUTCOME_OK;
    if (!order_is_sold(order))
        return order_reject_state(engine, order);
    plan->worth = body->amount;
    if (body->kind == refund_kind_LINES)
        outcome = plan_lines(engine, order, body, plan);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (plan->worth > order->total - worth)
        return reject(engine, OUTCOME_REFUND_EXCEEDS, 0, order->total - worth);
    struct shares before = order_shares(engine, order, worth);
    struct shares after = order_shares(engine, order, worth + plan->worth);
    plan->amount = after.money - before.money;
    plan->points = after.points - before.points;
    return OUTCOME_OK;
}

static enum outcome plan_due(struct engine *engine, const struct order *order,
                             const struct refund_begin_body *body, struct refund_plan *plan)
{
    int64_t due = money_at(engine, order->money)->refund_due;
    if (body->amount > due)
        return reject(engine, OUTCOME_REFUND_EXCEEDS, 0, due);
    plan->amount = body->amount != 0 ? body->amount : due;
    plan->points = order_account(engine, order)->points_due;
    return OUTCOME_OK;
}

static enum outcome plan_refund(struct engine *engine, const struct order *order,
                                const struct refund_begin_body *body, struct refund_plan *plan)
{
    bool is_due = body->kind == refund_kind_DUE;
    bool by_lines = body->kind == refund_kind_LINES;
    enum outcome outcome =
        is_due ? plan_due(engine, order, body, plan) : plan_part(engine, order, body, plan);
    if (outcome == OUTCOME_OK && plan->amount == 0 && plan->points == 0)
        return reject_field(engine, by_lines ? (unsigned)refund_begin_field_line_count
                                             : (unsigned)refund_begin_field_amount);
    return outcome;
}

static enum outcome begin_check_room(struct engine *engine, const struct order *order,
                                     const struct refund_begin_body *body,
                                     const struct refund_plan *plan)
{
    struct points_need need = {.takes = 0};
    if (refund_room(engine) == 0)
        return REJECT_FULL(engine, refunds);
    if (!order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (body->kind != refund_kind_DUE)
        earning_need_changed(engine, order, order_kept(engine, order) - plan->amount, &need);
    enum outcome outcome = check_points_room(engine, &need);
    if (outcome != OUTCOME_OK)
        return outcome;
    return body->kind == refund_kind_LINES ? fulfilments_check_room(engine, order)
                                           : account_check_room(engine, order);
}

/* Every change of a refund ends with this. */
static void refund_digest(struct engine *engine, const struct refund *refund)
{
    digest_mix(engine, refund->id.low ^ (uint64_t)refund->amount << 8 ^ refund->state,
               refund->id.high ^ (uint64_t)refund->points << 8 ^ (uint64_t)refund->order << 32);
}

static uint32_t refund_add(struct engine *engine, uint32_t index,
                           const struct refund_begin_body *body, const struct refund_plan *plan,
                           uint64_t fingerprint)
{
    struct account *account = order_account_edit(engine, index);
    uint32_t refund = refund_alloc(engine);
    TILL_ASSERT(refund != 0);
    *refund_new(engine, refund) = (struct refund){
        .id = body->refund,
        .fingerprint = fingerprint,
        .amount = plan->amount,
        .points = plan->points,
        .worth = plan->worth,
        .reason = body->reason,
        .order = index,
        .next = account->refunds,
        .begun = order_at(engine, index)->version,
        .kind = body->kind,
        .state = refund_state_BEGUN,
    };
    account->refunds = refund;
    index_insert(&engine->refund_index, refund_hash(engine, body->refund), refund);
    refund_digest(engine, refund_at(engine, refund));
    return refund;
}

/* What was planned is on its way back. */
static void write_begin(struct engine *engine, uint32_t index, uint8_t kind,
                        const struct refund_plan *plan)
{
    struct account *account = order_account_edit(engine, index);
    account->refunding += plan->amount;
    account->points_refunding += plan->points;
    account->worth += plan->worth;
    if (kind == refund_kind_DUE) {
        account->points_due -= plan->points;
        order_refund_due_add(engine, index, -plan->amount);
    }
    if (kind != refund_kind_LINES)
        return;
    struct fulfilment *fulfilments = order_fulfilments_edit(engine, index);
    for (uint32_t i = 0; i < order_pieces(engine, order_at(engine, index)).count; i++) {
        fulfilments[i].refunded += plan->units[i];
        if (plan->units[i] > 0)
            fulfilment_digest(engine, &fulfilments[i]);
    }
}

/* The answer to refund.begin, now or later. */
static void begin_reply(struct engine *engine, struct command *command, uint32_t index)
{
    const struct refund *refund = refund_at(engine, index);
    const struct order *order = order_at(engine, refund->order);
    struct step_body step = order_step_at(engine, order, refund->begun);
    struct refund_begin_reply_body *reply = reply_room(engine, command, sizeof *reply);
    *reply = (struct refund_begin_reply_body){
        .seq = step.seq,
        .amount = refund->amount,
        .points = refund->points,
        .state = step.state,
        .money = step.money,
        .version = step.version,
    };
}

enum outcome handle_refund_begin(struct engine *engine, struct command *command)
{
    const struct refund_begin_body *body = command->body;
    struct refund_plan plan = {.worth = 0};
    enum outcome outcome =
        check_begin_body(engine, body, (const struct refund_line_body *)(body + 1));
    if (outcome != OUTCOME_OK)
        return outcome;
    uint64_t fingerprint =
        request_fingerprint(message_info(command->number), body, command->size, command->number);
    uint32_t known = refund_find(engine, body->refund);
    if (known != 0) {
        if (refund_at(engine, known)->fingerprint != fingerprint)
            return reject(engine, OUTCOME_IDEM_MISMATCH, 0, 0);
        begin_reply(engine, command, known);
        return OUTCOME_REPLAYED;
    }
    uint32_t index = order_find(engine, body->order);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct order *order = order_at(engine, index);
    outcome = plan_refund(engine, order, body, &plan);
    if (outcome == OUTCOME_OK)
        outcome = begin_check_room(engine, order, body, &plan);
    if (outcome != OUTCOME_OK)
        return outcome;

    engine_accept(engine);
    write_begin(engine, index, body->kind, &plan);
    if (body->kind != refund_kind_DUE)
        earning_changed(engine, index);
    order_step(engine, index);
    begin_reply(engine, command, refund_add(engine, index, body, &plan, fingerprint));
    return OUTCOME_OK;
}

/* The answer to refund.finish, now or later. */
static void finish_reply(struct engine *engine, struct command *command, uint32_t index)
{
    const struct refund *refund = refund_at(engine, index);
    const struct order *order = order_at(engine, refund->order);
    struct step_body step = order_step_at(engine, order, refund->finished);
    struct refund_finish_reply_body *reply = reply_room(engine, command, sizeof *reply);
    *reply = (struct refund_finish_reply_body){
        .seq = step.seq,
        .amount = refund->amount,
        .points = refund->points,
        .state = refund->state,
        .money = step.money,
        .version = step.version,
    };
}

static enum outcome finish_check_room(struct engine *engine, const struct refund *refund,
                                      bool succeeds)
{
    const struct order *order = order_at(engine, refund->order);
    struct points_need need = {.takes = 0};
    if (!order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (succeeds)
        need = points_return_needed(engine, order, refund->points);
    return check_points_room(engine, &need);
}

static void write_finish(struct engine *engine, const struct refund *refund, bool succeeds)
{
    struct account *account = order_account_edit(engine, refund->order);
    account->refunding -= refund->amount;
    account->points_refunding -= refund->points;
    if (succeeds) {
        account->refunded += refund->amount;
        account->points_back += refund->points;
        points_return(engine, refund->order, refund->points);
    } else {
        account->refunds_failed++;
        account->points_due += refund->points;
        order_refund_due_add(engine, refund->order, refund->amount);
    }
}

enum outcome handle_refund_finish(struct engine *engine, struct command *command)
{
    const struct refund_finish_body *body = command->body;
    bool succeeds = body->status == payment_status_SUCCESS;
    uint8_t state = succeeds ? refund_state_SUCCEEDED : refund_state_FAILED;
    if (id_is_zero(body->refund))
        return reject_field(engine, refund_finish_field_refund);
    uint32_t index = refund_find(engine, body->refund);
    const struct refund *refund = refund_at(engine, index);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    if (refund->state == state) {
        finish_reply(engine, command, index);
        return OUTCOME_REPLAYED;
    }
    if (refund->state != refund_state_BEGUN)
        return reject(engine, OUTCOME_BAD_TRANSITION, refund->state, 0);
    enum outcome outcome = finish_check_room(engine, refund, succeeds);
    if (outcome != OUTCOME_OK)
        return outcome;

    engine_accept(engine);
    write_finish(engine, refund, succeeds);
    order_step(engine, refund->order);
    struct refund *ended = refund_edit(engine, index);
    ended->state = state;
    ended->finished = order_at(engine, refund->order)->version;
    refund_digest(engine, ended);
    finish_reply(engine, command, index);
    return OUTCOME_OK;
}

enum outcome handle_refund_get(struct engine *engine, struct command *command)
{
    const struct refund_id_body *body = command->body;
    if (id_is_zero(body->refund))
        return reject_field(engine, refund_id_field_refund);
    uint32_t index = refund_find(engine, body->refund);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct refund *refund = refund_at(engine, index);
    const struct order *order = order_at(engine, refund->order);
    bool has_ended = refund->state != refund_state_BEGUN;
    struct refund_get_reply_body *reply = reply_room(engine, command, sizeof *reply);
    *reply = (struct refund_get_reply_body){
        .seq = engine->seq,
        .order = order->id,
        .kind = refund->kind,
        .state = refund->state,
        .currency = order->currency,
        .amount = refund->amount,
        .points = refund->points,
        .worth = refund->worth,
        .begun = order_step_at(engine, order, refund->begun).time,
        .finished = has_ended ? order_step_at(engine, order, refund->finished).time : 0,
        .reason = refund->reason,
    };
    return OUTCOME_OK;
}

/* The refunds of an order from one of them on, to older ones; returns the one behind them, 0 when
 * there is none. One that is not of this order has none behind it. */
static uint32_t refund_rows(const struct engine *engine, uint32_t order, uint32_t at,
                            struct refund_body rows[REFUND_ROWS_MAX], uint16_t *count)
{
    for (*count = 0; refund_at(engine, at)->order == order; at = refund_at(engine, at)->next) {
        const struct refund *refund = refund_at(engine, at);
        if (*count == REFUND_ROWS_MAX)
            return at;
        rows[(*count)++] = (struct refund_body){
            .refund = refund->id,
            .amount = refund->amount,
            .points = refund->points,
            .begun = order_step_at(engine, order_at(engine, order), refund->begun).time,
            .kind = refund->kind,
            .state = refund->state,
        };
    }
    return 0;
}

/* An order that holds nothing any more has given back all points that no refund is about to. */
static int64_t order_points_back(const struct engine *engine, const struct order *order)
{
    const struct account *account = order_account(engine, order);
    if (order_has_pieces(order))
        return account->points_back;
    return money_at(engine, order->money)->points_used - account->points_refunding -
           account->points_due;
}

/* A cursor is the number of the refund that the page begins with. */
enum outcome handle_order_money(struct engine *engine, struct command *command)
{
    const struct order_page_body *body = command->body;
    if (id_is_zero(body->order))
        return reject_field(engine, order_page_field_order);
    uint32_t index = order_find(engine, body->order);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct order *order = order_at(engine, index);
    const struct money *money = money_at(engine, order->money);
    const struct account *account = order_account(engine, order);
    struct refund_body rows[REFUND_ROWS_MAX];
    uint16_t count = 0;
    uint32_t at = account->refunds;
    if (body->cursor != 0)
        at = body->cursor <= engine->refunds.count ? (uint32_t)body->cursor : 0;
    uint32_t next = refund_rows(engine, index, at, rows, &count);
    struct order_money_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    *reply = (struct order_money_reply_body){
        .seq = engine->seq,
        .next = next,
        .total = order->total,
        .money_due = order_money_due(engine, order),
        .waived = account->waived,
        .captured = money->captured,
        .kept = order_kept(engine, order),
        .refunded = account->refunded,
        .refunding = account->refunding,
        .refund_due = money->refund_due,
        .refundable = order_is_sold(order) ? order->total - account->worth : 0,
        .points_used = money->points_used,
        .points_back = order_points_back(engine, order),
        .points_refunding = account->points_refunding,
        .points_due = account->points_due,
        .refunds_failed = account->refunds_failed,
        .parked = money->parked,
        .money = order_money_state(engine, order),
        .state = order->state,
        .currency = order->currency,
        .refund_count = count,
    };
    return OUTCOME_OK;
}
