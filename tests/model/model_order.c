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

int model_find_order(const struct model *model, struct id order)
{
    for (int i = 0; i < model->orders.count; i++) {
        if (id_equal(model->orders.items[i].order, order))
            return i;
    }
    return MODEL_NONE;
}

bool model_order_is_live(const struct model_order *order)
{
    return order->state == order_state_PENDING || model_order_is_sold(order);
}

bool model_order_is_sold(const struct model_order *order)
{
    return order->state == order_state_CONFIRMED || order->state == order_state_PARTIALLY_SHIPPED ||
           order->state == order_state_SHIPPED || order->state == order_state_DELIVERED;
}

uint8_t model_money_state(const struct model_order *order)
{
    if (order->refund_due > 0)
        return money_state_REFUND_DUE;
    if (order->state == order_state_PENDING)
        return money_state_DUE;
    if (order->captured == 0)
        return money_state_NONE;
    if (order->refunded == 0)
        return money_state_CAPTURED;
    return order->refunded == order->captured ? money_state_REFUNDED
                                              : money_state_PARTIALLY_REFUNDED;
}

void model_add_step(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    order->version++;
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

int model_named_order(const struct model *model, struct id order, unsigned field,
                      struct model_reply *reply)
{
    int index = model_find_order(model, order);
    if (id_is_zero(order))
        model_reject(model, reply, OUTCOME_INVALID, field, 0);
    else if (index == MODEL_NONE)
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
    return index;
}

void model_answer_status(const struct model *model, struct model_reply *reply, int index)
{
    const struct model_order *order = &model->orders.items[index];
    struct order_status_body *answer = model_answer(model, reply, sizeof *answer);
    answer->state = order->state;
    answer->money = model_money_state(order);
    answer->version = order->version;
    answer->hold_ends = order->state == order_state_PENDING ? order->hold_ends : 0;
    answer->refund_due = order->refund_due;
}

bool model_hold_has_ended(const struct model *model, const struct model_order *order)
{
    return order->state == order_state_PENDING && order->hold_ends <= model->now;
}

/* Ends the order as EXPIRED, FAILED or CANCELLED, with those points back that are in no refund; the
 * caller adds the step. */
static void end_order(struct model *model, int index, uint8_t state)
{
    struct model_order *order = &model->orders.items[index];
    bool was_sold = order->state == order_state_CONFIRMED;
    int64_t points = order->points_used - model_points_share(order, order->asked);
    order->state = state;
    model_points_give_back(model, index, points,
                           was_sold ? ledger_kind_RETURN : ledger_kind_RELEASE);
    if (was_sold) {
        order->points_back += points;
        order->asked = order->total;
    }
}

void model_expire(struct model *model, int index)
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
bool model_take_again(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    int sale = model_find_sale(model, order->sale);
    model_sum_stock(model);
    bool is_elsewhere = !same_places_give(model, order);
    if (!may_be_taken_again(model, order) || (is_elsewhere && !model_allocate_again(model, index)))
        return false;
    if (is_elsewhere)
        order->moved = model->seq;
    bool is_closed = sale != MODEL_NONE && model->sales.items[sale].state == sale_state_CLOSED;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
        struct model_piece *piece = &model->pieces.items[p];
        const struct model_stock *stock = &model->stocks.items[piece->stock];
        piece->pool = is_closed ? MODEL_NONE
                                : model_find_pool(model, order->sale, stock->sku, stock->warehouse);
    }
    order->state = order_state_CONFIRMED;
    model_points_take(model, index, order->points_used);
    model_points_spend(model, index);
    return true;
}

/* True when the event was seen before or is refused: then it is answered. */
static bool event_was_seen(const struct model *model, const struct model_request *request,
                           struct model_reply *reply)
{
    const struct payment_event_body *body = request->body;
    for (int i = 0; i < model->payments.count; i++) {
        const struct model_payment *seen = &model->payments.items[i];
        if (seen->body.provider != body->provider || !id_equal(seen->body.event, body->event))
            continue;
        if (seen->request_size != request->size ||
            memcmp(model->bytes.items + seen->request, body, request->size) != 0) {
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

/* As many rows as the bytes need, and zeros behind the last of them. */
static unsigned invalid_opaque_field(const struct payment_event_body *body)
{
    const uint8_t *bytes = (const uint8_t *)(body + 1);
    if ((body->opaque_size + 7) / 8 != body->opaque_count)
        return payment_event_field_opaque_size;
    for (int i = body->opaque_size; i < 8 * body->opaque_count; i++) {
        if (bytes[i] != 0)
            return ROW_FIELD + opaque_field_bytes;
    }
    return 0;
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
    return invalid_opaque_field(body);
}

static bool is_right(const struct model_order *order, const struct payment_event_body *body)
{
    return body->amount == order->money_due && body->currency == order->currency;
}

/* Will this event be parked for a person? */
static bool is_to_be_parked(const struct model *model, const struct model_order *order,
                            const struct payment_event_body *body)
{
    bool is_in_time = order->state == order_state_PENDING && !model_hold_has_ended(model, order);
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
    if (order->state == order_state_PENDING) {
        order->state = order_state_CONFIRMED;
        model_points_spend(model, index);
    } else if (!may_retake || !is_right(order, body) || !model_take_again(model, index)) {
        order->refund_due += body->amount;
        return;
    }
    model_earning_begin(model, index);
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
    if (event_was_seen(model, request, reply))
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
    if (model_hold_has_ended(model, order))
        model_expire(model, index);
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
        model_answer_status(model, reply, index);
    size_t kept = model_keep(model, reply->words, reply->size);
    size_t kept_request = model_keep(model, request->body, request->size);
    *MODEL_ADD(&model->payments) = (struct model_payment){
        .body = *body,
        .order = index,
        .time = model->now,
        .request = kept_request,
        .request_size = request->size,
        .reply = kept,
        .reply_size = reply->size,
        .outcome = reply->outcome,
    };
}

void model_order_cancel(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct order_change_body *body = request->body;
    int index = model_named_order(model, body->order, order_change_field_order, reply);
    if (index == MODEL_NONE)
        return;
    struct model_order *order = &model->orders.items[index];
    uint8_t state = model_hold_has_ended(model, order) ? order_state_EXPIRED : order->state;
    if (state != order_state_PENDING && state != order_state_CONFIRMED) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
        return;
    }
    model_accept(model, reply);
    end_order(model, index, order_state_CANCELLED);
    order->refund_due = order->captured - order->refunded - order->refunding;
    model_earning_change(model, index);
    model_add_step(model, index);
    model_answer_status(model, reply, index);
}

/* The order of a hold command; MODEL_NONE when the command is rejected, which has been answered. */
static int find_pending(const struct model *model, struct id id, unsigned field,
                        struct model_reply *reply)
{
    int index = model_named_order(model, id, field, reply);
    if (index == MODEL_NONE)
        return MODEL_NONE;
    const struct model_order *order = &model->orders.items[index];
    if (order->state == order_state_EXPIRED || model_hold_has_ended(model, order)) {
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
    model->orders.items[index].hold_ends = cap > model->now ? wanted : order->hold_ends;
    model_set_deadline(model, DEADLINE_OF_HOLD, index, order->hold_ends);
    model_add_step(model, index);
    model_answer_status(model, reply, index);
}

void model_hold_release(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct order_change_body *body = request->body;
    int index = find_pending(model, body->order, order_change_field_order, reply);
    if (index == MODEL_NONE)
        return;
    model_accept(model, reply);
    model_expire(model, index);
    model->orders.items[index].hold_ends = model->now;
    model_answer_status(model, reply, index);
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
        row->shipped = (uint32_t)piece->shipped;
        row->delivered = (uint32_t)piece->delivered;
        row->returned = (uint32_t)piece->returned;
        row->refunded = (uint32_t)piece->refunded;
    }
}

void model_order_get(struct model *model, const struct model_request *request,
                     struct model_reply *reply)
{
    const struct order_id_body *body = request->body;
    int index = model_named_order(model, body->order, order_id_field_order, reply);
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
    int index = model_named_order(model, body->order, order_history_field_order, reply);
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
