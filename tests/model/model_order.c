/* The model's orders after the placing: payments, cancellation, holds, and the queries about them.
 *
 *   PENDING --payment--> CONFIRMED --cancel--> CANCELLED
 *      |--hold ends, release--> EXPIRED --late payment--> CONFIRMED
 *      |--failure, if the sale says so--> FAILED --late payment--> CONFIRMED
 *      `--cancel--> CANCELLED
 *
 * Stock does not have to be given back (tests/model/model_stock.c), points do. */
#include <stdlib.h>
#include <string.h>

#include "tests/model/model.h"

enum { QUARTER_SECOND_BITS = 18 };

int model_find_order(const struct model *model, struct id order)
{
    for (int i = 0; i < model->orders.count; i++) {
        if (!model->orders.items[i].is_gone && id_equal(model->orders.items[i].order, order))
            return i;
    }
    return MODEL_NONE;
}

bool model_order_is_live(const struct model_order *order)
{
    return order->state == order_state_PENDING || order->state == order_state_CONFIRMED;
}

uint8_t model_money_state(const struct model_order *order)
{
    bool has_ended = order->state == order_state_EXPIRED || order->state == order_state_FAILED ||
                     order->state == order_state_CANCELLED;
    if (order->captured == 0 && (order->money_due == 0 || has_ended))
        return money_state_NONE;
    if (order->state == order_state_PENDING)
        return money_state_DUE;
    return order->refund_due > 0 ? money_state_REFUND_DUE : money_state_CAPTURED;
}

void model_add_step(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    order->version++;
    order->changed = model->now;
    order->changed_seq = model->seq;
    order->rank = model->forgotten == 0 ? (uint64_t)index : UINT32_MAX + model->ranks++;
    *MODEL_ADD(&model->steps) = (struct model_step){
        .order = index,
        .body =
            {
                .seq = model->seq,
                .time = model->now,
                .version = order->version,
                .state = order->state,
                .money = model_money_state(order),
            },
    };
}

void model_set_deadline(struct model *model, int order, uint64_t time)
{
    model->orders.items[order].hold_ends = time;
    *MODEL_ADD(&model->deadlines) = (struct model_deadline){model->orders.items[order].slot, time};
}

/* The order that the request names in this field; MODEL_NONE when there is none, which has been
 * answered. */
static int find_named(const struct model *model, struct id order, unsigned field,
                      struct model_reply *reply)
{
    int index = model_find_order(model, order);
    if (id_is_zero(order))
        model_reject(model, reply, OUTCOME_INVALID, field, 0);
    else if (index == MODEL_NONE)
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
    return index;
}

static void answer_status(const struct model *model, struct model_reply *reply, int index)
{
    const struct model_order *order = &model->orders.items[index];
    struct order_status_body *answer = model_answer(model, reply, sizeof *answer);
    answer->state = order->state;
    answer->money = model_money_state(order);
    answer->version = order->version;
    answer->hold_ends = order->state == order_state_PENDING ? order->hold_ends : 0;
    answer->refund_due = order->refund_due;
}

static bool hold_has_ended(const struct model *model, const struct model_order *order)
{
    return order->state == order_state_PENDING && order->hold_ends <= model->now;
}

/* Ends the order as EXPIRED, FAILED or CANCELLED; the caller adds the step. */
static void end_order(struct model *model, int index, uint8_t state)
{
    model->orders.items[index].state = state;
    model_points_give_back(model, index);
}

static void expire(struct model *model, int index)
{
    end_order(model, index, order_state_EXPIRED);
    model_add_step(model, index);
}

/* The units of one (SKU, warehouse) in all pieces of an order. */
static int64_t units_of(const struct model *model, const struct model_order *order, int stock)
{
    int64_t units = 0;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
        if (model->pieces.items[p].stock == stock)
            units += model->pieces.items[p].quantity;
    }
    return units;
}

/* Do the points and the sale's limits allow the customer to have this order too? */
static bool may_be_taken_again(const struct model *model, const struct model_order *order)
{
    uint64_t skus[ORDER_LINES_MAX];
    int64_t allocated[ORDER_LINES_MAX] = {0};
    uint64_t sku;
    int64_t left;
    for (int i = 0; i < order->line_count; i++)
        skus[i] = model->lines.items[order->line_first + i].sku;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++)
        allocated[model->pieces.items[p].line] += model->pieces.items[p].quantity;
    return model_points_available(model, order->customer) >= order->points_used &&
           !model_limit_is_broken(model, order->sale, order->customer, order->line_count, skus,
                                  allocated, &sku, &left);
}

static bool same_places_give(const struct model *model, const struct model_order *order)
{
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
        const struct model_piece *piece = &model->pieces.items[p];
        const struct model_stock *stock = &model->stocks.items[piece->stock];
        if (units_of(model, order, piece->stock) >
            model_could_give(model, order->sale, stock->sku, stock->warehouse))
            return false;
    }
    return true;
}

/* Takes again what the order had, if all of it is available. */
static bool take_again(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    int sale = model_find_sale(model, order->sale);
    model_sum_stock(model);
    if (!may_be_taken_again(model, order) ||
        (!same_places_give(model, order) && !model_allocate_again(model, index)))
        return false;
    bool is_closed = sale != MODEL_NONE && model->sales.items[sale].state == sale_state_CLOSED;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
        struct model_piece *piece = &model->pieces.items[p];
        const struct model_stock *stock = &model->stocks.items[piece->stock];
        piece->pool = is_closed ? MODEL_NONE
                                : model_find_pool(model, order->sale, stock->sku, stock->warehouse);
    }
    order->state = order_state_CONFIRMED;
    model_points_take(model, index, order->points_used);
    return true;
}

/* True when the event was seen before or is refused: then it is answered. */
static bool event_was_seen(const struct model *model, const struct payment_event_body *body,
                           struct model_reply *reply)
{
    for (int i = 0; i < model->payments.count; i++) {
        const struct model_payment *seen = &model->payments.items[i];
        if (seen->body.provider != body->provider || !id_equal(seen->body.event, body->event))
            continue;
        if (memcmp(&seen->body, body, sizeof *body) != 0) {
            model_reject(model, reply, OUTCOME_EVENT_CONFLICT, body->provider, 0);
            return true;
        }
        memcpy(reply->words, model->bytes.items + seen->reply, seen->reply_size);
        reply->size = (uint32_t)seen->reply_size;
        reply->outcome = seen->outcome == OUTCOME_OK ? OUTCOME_REPLAYED : seen->outcome;
        return true;
    }
    return false;
}

static unsigned invalid_event_field(const struct payment_event_body *body)
{
    if (id_is_zero(body->event))
        return payment_event_field_event;
    if (id_is_zero(body->order))
        return payment_event_field_order;
    if (body->amount < 0)
        return payment_event_field_amount;
    if (body->provider == 0)
        return payment_event_field_provider;
    if (body->currency == 0 || body->currency > CURRENCY_MAX)
        return payment_event_field_currency;
    return 0;
}

static bool is_right(const struct model_order *order, const struct payment_event_body *body)
{
    return body->amount == order->money_due && body->currency == order->currency;
}

/* Will this event be parked for a person? */
static bool is_to_be_parked(const struct model *model, const struct model_order *order,
                            const struct payment_event_body *body)
{
    bool is_in_time = order->state == order_state_PENDING && !hold_has_ended(model, order);
    if (body->status != payment_status_SUCCESS)
        return false;
    return is_in_time ? !is_right(order, body) : body->currency != order->currency;
}

/* A success that is not to be parked, on an order whose hold has not just ended. */
static void apply_success(struct model *model, int index, const struct payment_event_body *body)
{
    struct model_order *order = &model->orders.items[index];
    bool may_retake = order->state == order_state_EXPIRED || order->state == order_state_FAILED;
    order->captured += body->amount;
    if (order->state == order_state_PENDING)
        order->state = order_state_CONFIRMED;
    else if (!may_retake || !is_right(order, body) || !take_again(model, index))
        order->refund_due += body->amount;
}

static bool sale_fails_at_once(const struct model *model, uint32_t sale)
{
    int index = model_find_sale(model, sale);
    return index != MODEL_NONE &&
           (model->sales.items[index].terms.flags & sale_flags_FAIL_AT_ONCE) != 0;
}

void model_payment_event(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct payment_event_body *body = request->body;
    unsigned invalid = invalid_event_field(body);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    if (event_was_seen(model, body, reply))
        return;
    int index = model_find_order(model, body->order);
    if (index == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    const struct model_order *order = &model->orders.items[index];
    bool is_success = body->status == payment_status_SUCCESS;
    bool is_parked = is_to_be_parked(model, order, body);
    bool is_word = is_success && order->awaits_word && is_right(order, body);
    if (is_success && !is_parked && !is_word && (wide)order->captured + body->amount > TOTAL_MAX) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, TOTAL_MAX);
        return;
    }
    model_accept(model, reply);
    if (hold_has_ended(model, order))
        expire(model, index);
    if (is_word)
        model->orders.items[index].awaits_word = false;
    else if (is_success && !is_parked)
        apply_success(model, index, body);
    if (!is_success && order->state == order_state_PENDING &&
        sale_fails_at_once(model, order->sale))
        end_order(model, index, order_state_FAILED);
    model_add_step(model, index);
    model->orders.items[index].parked += is_parked;
    if (is_parked)
        model_reject(model, reply, OUTCOME_AMOUNT_MISMATCH, order->currency, order->money_due);
    else
        answer_status(model, reply, index);
    size_t kept = model_keep(model, reply->words, reply->size);
    *MODEL_ADD(&model->payments) = (struct model_payment){
        .body = *body,
        .reply = kept,
        .reply_size = reply->size,
        .outcome = reply->outcome,
    };
}

void model_order_cancel(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct order_change_body *body = request->body;
    int index = find_named(model, body->order, order_change_field_order, reply);
    if (index == MODEL_NONE)
        return;
    struct model_order *order = &model->orders.items[index];
    uint8_t state = hold_has_ended(model, order) ? order_state_EXPIRED : order->state;
    if (state != order_state_PENDING && state != order_state_CONFIRMED) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
        return;
    }
    model_accept(model, reply);
    end_order(model, index, order_state_CANCELLED);
    order->refund_due = order->captured;
    model_add_step(model, index);
    answer_status(model, reply, index);
}

/* The order of a hold command; MODEL_NONE when the command is rejected, which has been answered. */
static int find_pending(const struct model *model, struct id id, unsigned field,
                        struct model_reply *reply)
{
    int index = find_named(model, id, field, reply);
    if (index == MODEL_NONE)
        return MODEL_NONE;
    const struct model_order *order = &model->orders.items[index];
    if (order->state == order_state_EXPIRED || hold_has_ended(model, order)) {
        model_reject(model, reply, OUTCOME_HOLD_EXPIRED, 0, (int64_t)order->hold_ends);
        return MODEL_NONE;
    }
    if (order->state != order_state_PENDING) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, order->state, 0);
        return MODEL_NONE;
    }
    return index;
}

void model_hold_extend(struct model *model, const struct model_request *request,
                       struct model_reply *reply)
{
    const struct hold_extend_body *body = request->body;
    if (!id_is_zero(body->order) && (body->hold == 0 || body->hold > HOLD_MAX_S)) {
        model_reject(model, reply, OUTCOME_INVALID, hold_extend_field_hold, 0);
        return;
    }
    int index = find_pending(model, body->order, hold_extend_field_order, reply);
    if (index == MODEL_NONE)
        return;
    const struct model_order *order = &model->orders.items[index];
    int sale = model_find_sale(model, order->sale);
    uint64_t hold_max = sale == MODEL_NONE ? HOLD_MAX_S : model->sales.items[sale].terms.hold_max;
    uint64_t asked = model->now + body->hold * US_PER_SECOND;
    uint64_t cap = order->placed + hold_max * US_PER_SECOND;
    model_accept(model, reply);
    uint64_t wanted = asked < cap ? asked : cap;
    model_set_deadline(model, index, cap > model->now ? wanted : order->hold_ends);
    model_add_step(model, index);
    answer_status(model, reply, index);
}

void model_hold_release(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct order_change_body *body = request->body;
    int index = find_pending(model, body->order, order_change_field_order, reply);
    if (index == MODEL_NONE)
        return;
    model_accept(model, reply);
    expire(model, index);
    model->orders.items[index].hold_ends = model->now;
    answer_status(model, reply, index);
}

/* A deadline is due when its quarter-second has wholly passed. */
static bool is_due(const struct model_deadline *deadline, uint64_t now)
{
    return deadline->time >> QUARTER_SECOND_BITS < now >> QUARTER_SECOND_BITS;
}

uint64_t model_holds_due(const struct model *model, uint64_t now)
{
    uint64_t due = 0;
    for (int i = 0; i < model->deadlines.count; i++)
        due += is_due(&model->deadlines.items[i], now);
    return due;
}

uint64_t model_next_due(const struct model *model)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < model->deadlines.count; i++) {
        uint64_t quarter = model->deadlines.items[i].time >> QUARTER_SECOND_BITS;
        uint64_t due = (quarter + 1) << QUARTER_SECOND_BITS;
        if (due < next)
            next = due;
    }
    return next;
}

/* The due deadline that hold.expire handles next: in the oldest quarter-second, the one that was
 * set first. MODEL_NONE when none is due. */
static int next_due(const struct model *model)
{
    int next = MODEL_NONE;
    for (int i = 0; i < model->deadlines.count; i++) {
        const struct model_deadline *deadline = &model->deadlines.items[i];
        if (is_due(deadline, model->now) &&
            (next == MODEL_NONE || deadline->time >> QUARTER_SECOND_BITS <
                                       model->deadlines.items[next].time >> QUARTER_SECOND_BITS))
            next = i;
    }
    return next;
}

static struct model_deadline deadline_remove(struct model *model, int index)
{
    struct model_deadline removed = model->deadlines.items[index];
    model->deadlines.count--;
    memmove(model->deadlines.items + index, model->deadlines.items + index + 1,
            (size_t)(model->deadlines.count - index) * sizeof removed);
    return removed;
}

static int find_slot(const struct model *model, int slot)
{
    for (int i = 0; i < model->orders.count; i++) {
        if (!model->orders.items[i].is_gone && model->orders.items[i].slot == slot)
            return i;
    }
    return MODEL_NONE;
}

void model_hold_expire(struct model *model, const struct model_request *request,
                       struct model_reply *reply)
{
    const struct hold_expire_body *body = request->body;
    if (body->holds == 0 || body->holds > HOLDS_PER_EXPIRE_MAX) {
        model_reject(model, reply, OUTCOME_INVALID, hold_expire_field_holds, 0);
        return;
    }
    if (next_due(model) == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    model_accept(model, reply);
    for (uint32_t i = 0; i < body->holds; i++) {
        int next = next_due(model);
        if (next == MODEL_NONE)
            break;
        struct model_deadline deadline = deadline_remove(model, next);
        int order = find_slot(model, deadline.slot);
        if (order != MODEL_NONE && hold_has_ended(model, &model->orders.items[order]))
            expire(model, order);
    }
    model_answer(model, reply, sizeof(struct seq_reply_body));
}

/* One row of order.get; piece is NULL for a line that got nothing. */
static void answer_piece(const struct model *model, const struct model_order *order, int line,
                         const struct model_piece *piece, struct model_reply *reply)
{
    const struct line_body *asked = &model->lines.items[order->line_first + line];
    struct piece_body *row = model_answer_row(reply, sizeof *row);
    row->sku = asked->sku;
    row->quantity = asked->quantity;
    row->price = asked->price;
    row->line = (uint16_t)(line + 1);
    if (piece != NULL) {
        row->warehouse = model->stocks.items[piece->stock].warehouse;
        row->allocated = (uint32_t)piece->quantity;
    }
}

void model_order_get(struct model *model, const struct model_request *request,
                     struct model_reply *reply)
{
    const struct order_id_body *body = request->body;
    int index = find_named(model, body->order, order_id_field_order, reply);
    if (index == MODEL_NONE)
        return;
    const struct model_order *order = &model->orders.items[index];
    struct order_get_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->customer = order->customer;
    answer->total = order->total;
    answer->points_used = order->points_used;
    answer->points_value = order->points_value;
    answer->money_due = order->money_due;
    answer->captured = order->captured;
    answer->refund_due = order->refund_due;
    answer->placed = order->placed;
    answer->hold_ends = order->state == order_state_PENDING ? order->hold_ends : 0;
    answer->version = order->version;
    answer->sale = order->sale;
    answer->parked = order->parked;
    answer->state = order->state;
    answer->money = model_money_state(order);
    answer->currency = order->currency;
    for (int line = 0; line < order->line_count; line++) {
        int rows_before = answer->piece_count;
        for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
            if (model->pieces.items[p].line != line)
                continue;
            answer_piece(model, order, line, &model->pieces.items[p], reply);
            answer->piece_count++;
        }
        if (answer->piece_count == rows_before) {
            answer_piece(model, order, line, NULL, reply);
            answer->piece_count++;
        }
    }
}

void model_order_history(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct order_history_body *body = request->body;
    int index = find_named(model, body->order, order_history_field_order, reply);
    if (index == MODEL_NONE)
        return;
    struct order_history_reply_body *answer = model_answer(model, reply, sizeof *answer);
    for (int i = 0; i < model->steps.count; i++) {
        if (model->steps.items[i].order != index ||
            model->steps.items[i].body.version < body->cursor)
            continue;
        if (answer->step_count == HISTORY_ROWS_MAX) {
            answer->next = model->steps.items[i].body.version;
            break;
        }
        struct step_body *row = model_answer_row(reply, sizeof *row);
        *row = model->steps.items[i].body;
        answer->step_count++;
    }
}
