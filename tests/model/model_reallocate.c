/* The model's order.reallocate. The order gets new pieces behind all others; those that it had
 * become empty, and so are part of no sum. */
#include <stdlib.h>
#include <string.h>

#include "tests/model/model.h"

enum { TABLE_PIECES = 11, PIECES_ROOM = 2 * ORDER_PIECES_MAX };

struct new_piece {
    int line;
    uint64_t sku;
    uint32_t warehouse;
    int64_t quantity;
};

struct draft_pieces {
    struct new_piece at[ORDER_PIECES_MAX + 1];
    int count;
};

static unsigned invalid_field(const struct order_reallocate_body *body)
{
    if (id_is_zero(body->order))
        return order_reallocate_field_order;
    if (body->allocation != allocation_RANK && body->allocation != allocation_EXPLICIT)
        return order_reallocate_field_allocation;
    bool is_right = body->allocation == allocation_RANK
                        ? body->to == 0
                        : body->to != 0 && body->to != body->warehouse;
    return is_right ? 0 : order_reallocate_field_to;
}

static int by_number(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* The SKU's warehouses that units may come from, by ascending number. */
static int candidates(const struct model *model, uint64_t sku,
                      const struct order_reallocate_body *body, uint32_t *warehouses)
{
    int count = 0;
    for (int i = 0; i < model->stocks.count; i++) {
        const struct model_stock *stock = &model->stocks.items[i];
        bool may = body->allocation == allocation_RANK ? stock->warehouse != body->warehouse
                                                       : stock->warehouse == body->to;
        if (stock->sku == sku && may)
            warehouses[count++] = stock->warehouse;
    }
    qsort(warehouses, (size_t)count, sizeof warehouses[0], by_number);
    return count;
}

static bool leaves(const struct model *model, const struct model_piece *piece, uint32_t warehouse)
{
    uint32_t number = model->stocks.items[piece->stock].warehouse;
    return warehouse != 0 ? number == warehouse : model_is_shut(model, number);
}

/* Plans what a line takes instead; false when the request is rejected. */
static bool line_is_planned(const struct model *model, const struct model_order *order, int line,
                            const struct order_reallocate_body *body, struct draft_pieces *draft,
                            struct model_reply *reply)
{
    uint64_t sku = model->lines.items[order->line_first + line].sku;
    uint32_t warehouses[MODEL_WAREHOUSES_MAX * 8];
    int count = candidates(model, sku, body, warehouses);
    int64_t missing = 0;
    int64_t could = 0;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
        const struct model_piece *piece = &model->pieces.items[p];
        if (piece->line == line && leaves(model, piece, body->warehouse))
            missing += piece->quantity - piece->shipped;
    }
    for (int w = 0; w < count; w++) {
        int64_t gives = model_could_give(model, order->sale, sku, warehouses[w]);
        could += gives;
        for (int i = 0; i < draft->count; i++) {
            if (draft->at[i].sku == sku && draft->at[i].warehouse == warehouses[w])
                gives -= draft->at[i].quantity;
        }
        int64_t taken = gives < missing ? gives : missing;
        if (taken == 0)
            continue;
        if (draft->count == ORDER_PIECES_MAX) {
            model_reject(model, reply, OUTCOME_CAPACITY, TABLE_PIECES, ORDER_PIECES_MAX);
            return false;
        }
        draft->at[draft->count++] = (struct new_piece){line, sku, warehouses[w], taken};
        missing -= taken;
    }
    if (missing > 0)
        model_reject(model, reply, OUTCOME_INSUFFICIENT_STOCK, sku, could);
    return missing == 0;
}

static bool is_closed(const struct model *model, uint32_t sale)
{
    int index = model_find_sale(model, sale);
    return index != MODEL_NONE && model->sales.items[index].state == sale_state_CLOSED;
}

/* Adds what a line takes to its pieces, which begin at `first` of the new ones. */
static int add_new(const struct model *model, const struct model_order *order, int index,
                   const struct new_piece *taken, struct model_piece *pieces, int first, int count)
{
    int stock = model_find_stock(model, taken->sku, taken->warehouse);
    int pool = is_closed(model, order->sale)
                   ? MODEL_NONE
                   : model_find_pool(model, order->sale, taken->sku, taken->warehouse);
    for (int i = first; i < count; i++) {
        if (pieces[i].stock == stock && pieces[i].pool == pool) {
            pieces[i].quantity += taken->quantity;
            return count;
        }
    }
    pieces[count] = (struct model_piece){.order = index,
                                         .line = taken->line,
                                         .stock = stock,
                                         .pool = pool,
                                         .quantity = taken->quantity};
    return count + 1;
}

/* The order's pieces as they will be; returns how many. */
static int lay_out(const struct model *model, int index, const struct order_reallocate_body *body,
                   const struct draft_pieces *draft, struct model_piece *pieces)
{
    const struct model_order *order = &model->orders.items[index];
    int count = 0;
    for (int line = 0; line < order->line_count; line++) {
        int first = count;
        int64_t refunded = 0;
        for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
            struct model_piece piece = model->pieces.items[p];
            if (piece.line != line)
                continue;
            refunded += piece.refunded;
            if (leaves(model, &piece, body->warehouse))
                piece.quantity = piece.shipped;
            piece.refunded = piece.refunded < piece.quantity ? piece.refunded : piece.quantity;
            refunded -= piece.refunded;
            if (piece.quantity > 0)
                pieces[count++] = piece;
        }
        for (int i = 0; i < draft->count; i++) {
            if (draft->at[i].line == line)
                count = add_new(model, order, index, &draft->at[i], pieces, first, count);
        }
        for (int i = first; i < count; i++) {
            int64_t room = pieces[i].quantity - pieces[i].refunded;
            int64_t more = refunded < room ? refunded : room;
            pieces[i].refunded += more;
            refunded -= more;
        }
    }
    return count;
}

void model_order_reallocate(struct model *model, const struct model_request *request,
                            struct model_reply *reply)
{
    const struct order_reallocate_body *body = request->body;
    struct draft_pieces draft = {.count = 0};
    struct model_piece pieces[PIECES_ROOM];
    unsigned invalid = invalid_field(body);
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    int index = model_named_order(model, body->order, order_reallocate_field_order, reply);
    if (index == MODEL_NONE)
        return;
    struct model_order *order = &model->orders.items[index];
    uint8_t state = model_hold_has_ended(model, order) ? order_state_EXPIRED : order->state;
    if (state != order_state_PENDING && state != order_state_CONFIRMED &&
        state != order_state_PARTIALLY_SHIPPED) {
        model_reject(model, reply, OUTCOME_BAD_TRANSITION, state, 0);
        return;
    }
    model_sum_stock(model);
    for (int line = 0; line < order->line_count; line++) {
        if (!line_is_planned(model, order, line, body, &draft, reply))
            return;
    }
    if (draft.count == 0) {
        model_reject(model, reply, OUTCOME_INVALID, order_reallocate_field_warehouse, 0);
        return;
    }
    int count = lay_out(model, index, body, &draft, pieces);
    if (count > ORDER_PIECES_MAX) {
        model_reject(model, reply, OUTCOME_CAPACITY, TABLE_PIECES, ORDER_PIECES_MAX);
        return;
    }
    model_accept(model, reply);
    model->orders.items[index].moved = model->seq;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
        model->pieces.items[p].quantity = 0;
        model->pieces.items[p].shipped = 0;
    }
    order->piece_first = model->pieces.count;
    order->piece_count = count;
    for (int i = 0; i < count; i++)
        *MODEL_ADD(&model->pieces) = pieces[i];
    model_add_step(model, index);
    model_answer_status(model, reply, index);
}
