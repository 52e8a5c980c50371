/* The model's refunds. Nothing is summed up: each order has what was asked for of its total, and
 * its shares are computed from that whenever they are needed. */
#include <string.h>

#include "tests/model/model.h"

int64_t model_points_share(const struct model_order *order, int64_t asked)
{
    return order->total == 0 ? 0 : (int64_t)((wide)order->points_used * asked / order->total);
}

int64_t model_money_share(const struct model_order *order, int64_t asked)
{
    wide paid = order->total - order->points_value - order->waived;
    if (order->total == 0)
        return 0;
    wide whole = paid * asked / order->total;
    return (int64_t)(whole + (paid * asked % order->total != 0));
}

static int find_refund(const struct model *model, struct id refund)
{
    for (int i = 0; i < model->refunds.count; i++) {
        if (id_equal(model->refunds.items[i].body.refund, refund))
            return i;
    }
    return MODEL_NONE;
}

static unsigned invalid_begin_field(const struct refund_begin_body *body)
{
    const struct refund_line_body *rows = (const struct refund_line_body *)(body + 1);
    if (id_is_zero(body->refund))
        return refund_begin_field_refund;
    if (id_is_zero(body->order))
        return refund_begin_field_order;
    if (body->amount < 0 || (body->kind == refund_kind_AMOUNT && body->amount == 0) ||
        (body->kind == refund_kind_LINES && body->amount > 0))
        return refund_begin_field_amount;
    if ((body->kind == refund_kind_LINES) == (body->line_count == 0))
        return refund_begin_field_line_count;
    for (int i = 0; i < body->line_count; i++) {
        if (rows[i].line == 0)
            return ROW_FIELD + refund_line_field_line;
        if (rows[i].quantity == 0)
            return ROW_FIELD + refund_line_field_quantity;
    }
    return 0;
}

/* Takes the rows from copies of the pieces, and adds up what they are worth. False when the request
 * is rejected. */
static bool lines_are_left(const struct model *model, const struct model_order *order,
                           const struct refund_begin_body *body, struct model_piece *pieces,
                           wide *worth, struct model_reply *reply)
{
    const struct refund_line_body *rows = (const struct refund_line_body *)(body + 1);
    for (int i = 0; i < body->line_count; i++) {
        int64_t missing = rows[i].quantity;
        int64_t left = 0;
        if (rows[i].line > order->line_count) {
            model_reject(model, reply, OUTCOME_INVALID, ROW_FIELD + refund_line_field_line, 0);
            return false;
        }
        for (int p = 0; p < order->piece_count; p++) {
            if (pieces[p].line + 1 != rows[i].line)
                continue;
            int64_t may = pieces[p].quantity - pieces[p].refunded;
            int64_t taken = may < missing ? may : missing;
            pieces[p].refunded += taken;
            missing -= taken;
            left += may;
        }
        if (missing > 0) {
            model_reject(model, reply, OUTCOME_INVALID, ROW_FIELD + refund_line_field_quantity,
                         left);
            return false;
        }
        *worth +=
            (wide)rows[i].quantity * model->lines.items[order->line_first + rows[i].line - 1].price;
    }
    return true;
}

struct draft_refund {
    wide worth;
    int64_t amount;
    int64_t points;
    struct model_piece pieces[ORDER_PIECES_MAX];
};

static bool draft_is_possible(const struct model *model, const struct model_order *order,
                              const struct refund_begin_body *body, struct draft_refund *draft,
                              struct model_reply *reply)
{
    if (body->kind == refund_kind_DUE) {
        draft->amount = body->amount == 0 ? order->refund_due : body->amount;
        draft->points = order->points_due;
        if (body->amount > order->refund_due)
            model_reject(model, reply, OUTCOME_REFUND_EXCEEDS, 0, order->refund_due);
        return body->amount <= order->refund_due;
    }
    uint8_t state = model_hold_has_ended(model, order) ? order_state_EXPIRED : order->state;
    if (!model_order_is_sold(order)) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
        return false;
    }
    draft->worth = body->amount;
    if (body->kind == refund_kind_LINES &&
        !lines_are_left(model, order, body, draft->pieces, &draft->worth, reply))
        return false;
    if (draft->worth > order->total - order->asked) {
        model_reject(model, reply, OUTCOME_REFUND_EXCEEDS, 0, order->total - order->asked);
        return false;
    }
    int64_t asked = order->asked + (int64_t)draft->worth;
    draft->amount = model_money_share(order, asked) - model_money_share(order, order->asked);
    draft->points = model_points_share(order, asked) - model_points_share(order, order->asked);
    return true;
}

/* True when the refund is known: then it is answered. */
static bool refund_is_known(const struct model *model, const struct model_request *request,
                            struct model_reply *reply)
{
    const struct refund_begin_body *body = request->body;
    int known = find_refund(model, body->refund);
    if (known == MODEL_NONE)
        return false;
    const struct model_refund *refund = &model->refunds.items[known];
    if (refund->request_size != request->size ||
        memcmp(model->bytes.items + refund->request, request->body, request->size) != 0) {
        model_reject(model, reply, OUTCOME_IDEM_MISMATCH, 0, 0);
        return true;
    }
    struct refund_begin_reply_body *answer = model_answer(model, reply, sizeof *answer);
    *answer = refund->begin_reply;
    reply->outcome = OUTCOME_REPLAYED;
    return true;
}

static void begin(struct model *model, int index, const struct model_request *request,
                  const struct draft_refund *draft, struct model_reply *reply)
{
    const struct refund_begin_body *body = request->body;
    struct model_order *order = &model->orders.items[index];
    model_accept(model, reply);
    order->refunding += draft->amount;
    order->points_refunding += draft->points;
    order->asked += (int64_t)draft->worth;
    if (body->kind == refund_kind_DUE) {
        order->refund_due -= draft->amount;
        order->points_due = 0;
    }
    if (body->kind == refund_kind_LINES)
        memcpy(model->pieces.items + order->piece_first, draft->pieces,
               (size_t)order->piece_count * sizeof draft->pieces[0]);
    if (body->kind != refund_kind_DUE)
        model_earning_change(model, index);
    model_add_step(model, index);
    struct refund_begin_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->amount = draft->amount;
    answer->points = draft->points;
    answer->state = order->state;
    answer->money = model_money_state(order);
    answer->version = order->version;
    size_t kept = model_keep(model, request->body, request->size);
    *MODEL_ADD(&model->refunds) = (struct model_refund){
        .body = *body,
        .order = index,
        .amount = draft->amount,
        .points = draft->points,
        .worth = (int64_t)draft->worth,
        .begun = model->now,
        .state = refund_state_BEGUN,
        .request = kept,
        .request_size = request->size,
        .begin_reply = *answer,
    };
}

void model_refund_begin(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct refund_begin_body *body = request->body;
    struct draft_refund draft = {.worth = 0};
    unsigned invalid = invalid_begin_field(body);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    if (refund_is_known(model, request, reply))
        return;
    int index = model_find_order(model, body->order);
    if (index == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    const struct model_order *order = &model->orders.items[index];
    memcpy(draft.pieces, model->pieces.items + order->piece_first,
           (size_t)order->piece_count * sizeof draft.pieces[0]);
    if (!draft_is_possible(model, order, body, &draft, reply))
        return;
    if (draft.amount == 0 && draft.points == 0) {
        unsigned field = body->kind == refund_kind_LINES ? refund_begin_field_line_count
                                                         : refund_begin_field_amount;
        model_reject(model, reply, OUTCOME_INVALID, field, 0);
        return;
    }
    begin(model, index, request, &draft, reply);
}

void model_refund_finish(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct refund_finish_body *body = request->body;
    bool succeeds = body->status == payment_status_SUCCESS;
    int index = find_refund(model, body->refund);
    if (id_is_zero(body->refund)) {
        model_reject(model, reply, OUTCOME_INVALID, refund_finish_field_refund, 0);
        return;
    }
    if (index == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    struct model_refund *refund = &model->refunds.items[index];
    struct model_order *order = &model->orders.items[refund->order];
    uint8_t state = succeeds ? refund_state_SUCCEEDED : refund_state_FAILED;
    if (refund->state != refund_state_BEGUN && refund->state != state) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, refund->state, 0);
        return;
    }
    if (refund->state == state) {
        struct refund_finish_reply_body *first = model_answer(model, reply, sizeof *first);
        *first = refund->finish_reply;
        reply->outcome = OUTCOME_REPLAYED;
        return;
    }
    model_accept(model, reply);
    order->refunding -= refund->amount;
    order->points_refunding -= refund->points;
    if (succeeds) {
        order->refunded += refund->amount;
        order->points_back += refund->points;
        model_points_give_back(model, refund->order, refund->points, ledger_kind_RETURN);
    } else {
        order->refund_due += refund->amount;
        order->points_due += refund->points;
        order->refunds_failed++;
    }
    refund->state = state;
    refund->finished = model->now;
    model_add_step(model, refund->order);
    struct refund_finish_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->amount = refund->amount;
    answer->points = refund->points;
    answer->state = state;
    answer->money = model_money_state(order);
    answer->version = order->version;
    refund->finish_reply = *answer;
}

void model_refund_get(struct model *model, const struct model_request *request,
                      struct model_reply *reply)
{
    const struct refund_id_body *body = request->body;
    int index = find_refund(model, body->refund);
    if (id_is_zero(body->refund)) {
        model_reject(model, reply, OUTCOME_INVALID, refund_id_field_refund, 0);
        return;
    }
    if (index == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    const struct model_refund *refund = &model->refunds.items[index];
    const struct model_order *order = &model->orders.items[refund->order];
    struct refund_get_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->order = order->order;
    answer->kind = refund->body.kind;
    answer->state = refund->state;
    answer->currency = order->currency;
    answer->amount = refund->amount;
    answer->points = refund->points;
    answer->worth = refund->worth;
    answer->begun = refund->begun;
    answer->finished = refund->finished;
    answer->reason = refund->body.reason;
}

/* Refunds are numbered from 1 in the order in which they came. */
static void answer_refunds(const struct model *model, int order, uint64_t cursor,
                           struct model_reply *reply)
{
    struct order_money_reply_body *answer = (struct order_money_reply_body *)reply->words;
    uint64_t count = (uint64_t)model->refunds.count;
    if (cursor > count || (cursor != 0 && model->refunds.items[cursor - 1].order != order))
        return;
    for (uint64_t number = cursor == 0 ? count : cursor; number > 0; number--) {
        const struct model_refund *refund = &model->refunds.items[number - 1];
        if (refund->order != order)
            continue;
        if (answer->refund_count == REFUND_ROWS_MAX) {
            answer->next = number;
            return;
        }
        answer->refund_count++;
        struct refund_body *row = model_answer_row(reply, sizeof *row);
        row->refund = refund->body.refund;
        row->amount = refund->amount;
        row->points = refund->points;
        row->begun = refund->begun;
        row->kind = refund->body.kind;
        row->state = refund->state;
    }
}

void model_order_money(struct model *model, const struct model_request *request,
                       struct model_reply *reply)
{
    const struct order_page_body *body = request->body;
    int index = model_named_order(model, body->order, order_page_field_order, reply);
    if (index == MODEL_NONE)
        return;
    const struct model_order *order = &model->orders.items[index];
    struct order_money_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->total = order->total;
    answer->money_due = order->money_due;
    answer->waived = order->waived;
    answer->captured = order->captured;
    answer->kept = order->captured - order->refunded - order->refunding - order->refund_due;
    answer->refunded = order->refunded;
    answer->refunding = order->refunding;
    answer->refund_due = order->refund_due;
    answer->refundable = model_order_is_sold(order) ? order->total - order->asked : 0;
    answer->points_used = order->points_used;
    answer->points_back = order->points_back;
    if (!model_order_is_live(order))
        answer->points_back = order->points_used - order->points_refunding - order->points_due;
    answer->points_refunding = order->points_refunding;
    answer->points_due = order->points_due;
    answer->refunds_failed = order->refunds_failed;
    answer->parked = order->parked;
    answer->money = model_money_state(order);
    answer->state = order->state;
    answer->currency = order->currency;
    answer_refunds(model, index, body->cursor, reply);
}
