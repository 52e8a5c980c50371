/* order.reallocate: an order's unshipped units are taken from other warehouses.
 *
 * What is to be taken is planned as for a placing, from all warehouses but the one that the units
 * leave. Then the order's pieces are laid out anew: those that stay, then on each line the new
 * ones. They are written as pieces of an order that was moved; those that it was placed with stay
 * as they are, since they answer its placing. */
#include "engine/account.h"
#include "engine/keys.h"
#include "engine/order.h"
#include "engine/plan.h"
#include "engine/source.h"
#include "engine/warehouse.h"

/* The order's pieces as they will be, with what has happened to their units. */
struct layout {
    struct piece pieces[2 * ORDER_PIECES_MAX];
    struct fulfilment fulfilments[2 * ORDER_PIECES_MAX];
    uint32_t count;
};

static enum outcome check_body(struct engine *engine, const struct order_reallocate_body *body)
{
    bool is_explicit = body->allocation == allocation_EXPLICIT;
    if (id_is_zero(body->order))
        return reject_field(engine, order_reallocate_field_order);
    if (!is_explicit && body->allocation != allocation_RANK)
        return reject_field(engine, order_reallocate_field_allocation);
    if (is_explicit ? body->to == 0 || body->to == body->warehouse : body->to != 0)
        return reject_field(engine, order_reallocate_field_to);
    return OUTCOME_OK;
}

static enum outcome check_state(struct engine *engine, const struct order *order)
{
    bool is_held = order->state == order_state_PENDING && !order_is_ended(engine, order);
    bool may_move = is_held || order->state == order_state_CONFIRMED ||
                    order->state == order_state_PARTIALLY_SHIPPED;
    return may_move ? OUTCOME_OK : order_reject_state(engine, order);
}

/* Do the units of this piece leave? */
static bool piece_leaves(const struct engine *engine, const struct piece *piece,
                         const struct order_reallocate_body *body)
{
    uint32_t warehouse = stock_at(engine, piece->stock)->warehouse;
    return body->warehouse != 0 ? warehouse == body->warehouse
                                : warehouse_is_shut(engine, warehouse);
}

/* May the new units come from this stock? */
static bool stock_is_candidate(const struct stock *stock, const struct order_reallocate_body *body)
{
    return body->to != 0 ? stock->warehouse == body->to : stock->warehouse != body->warehouse;
}

/* Units of a line that leave. */
static uint32_t line_leaves(const struct engine *engine, const struct order *order, unsigned line,
                            const struct order_reallocate_body *body)
{
    struct pieces pieces = order_pieces(engine, order);
    uint32_t units = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        if (pieces.first[i].line == line && piece_leaves(engine, &pieces.first[i], body))
            units += piece_unshipped(engine, order, i);
    }
    return units;
}

static enum outcome reject_short(struct engine *engine, const struct order *order, uint32_t sku,
                                 const struct order_reallocate_body *body)
{
    int64_t remaining = 0;
    for (uint32_t at = sku_at(engine, sku)->stocks; at != 0; at = stock_at(engine, at)->next) {
        if (stock_is_candidate(stock_at(engine, at), body))
            remaining += stock_gives(engine, order->sale, at);
    }
    return reject(engine, OUTCOME_INSUFFICIENT_STOCK, sku_at(engine, sku)->sku, remaining);
}

/* Plans what each line takes instead of what leaves. */
static enum outcome plan_lines(struct engine *engine, const struct order *order,
                               const struct order_reallocate_body *body, struct plan *plan)
{
    plan->sale = order->sale;
    plan->returning = 0;
    plan->piece_count = 0;
    for (unsigned i = 0; i < order->line_count; i++) {
        uint32_t missing = line_leaves(engine, order, i, body);
        uint32_t sku = order_line(engine, order, i).sku;
        for (uint32_t at = sku_at(engine, sku)->stocks; at != 0 && missing > 0;
             at = stock_at(engine, at)->next) {
            if (stock_is_candidate(stock_at(engine, at), body) &&
                !plan_take(engine, plan, i, at, &missing))
                return plan_reject_pieces(engine);
        }
        if (missing > 0)
            return reject_short(engine, order, sku, body);
    }
    return plan->piece_count > 0 ? OUTCOME_OK
                                 : reject_field(engine, order_reallocate_field_warehouse);
}

/* Lays out the line's pieces that stay; returns the units refunded by lines of those that leave. */
static uint32_t layout_staying(const struct engine *engine, const struct order *order,
                               unsigned line, const struct order_reallocate_body *body,
                               struct layout *layout)
{
    struct pieces pieces = order_pieces(engine, order);
    uint32_t left_refunded = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        if (pieces.first[i].line != line)
            continue;
        struct piece piece = pieces.first[i];
        struct fulfilment fulfilment = *order_fulfilment(engine, order, i);
        if (piece_leaves(engine, &piece, body))
            piece.quantity = fulfilment.shipped;
        if (fulfilment.refunded > piece.quantity) {
            left_refunded += fulfilment.refunded - piece.quantity;
            fulfilment.refunded = piece.quantity;
        }
        if (piece.quantity == 0)
            continue;
        layout->pieces[layout->count] = piece;
        layout->fulfilments[layout->count++] = fulfilment;
    }
    return left_refunded;
}

/* Adds what was planned for the line: to a piece that it has of the same place, or as a new one. */
static void layout_add(struct layout *layout, uint32_t first, const struct planned_piece *planned)
{
    uint32_t at = first;
    while (at < layout->count &&
           (layout->pieces[at].stock != planned->stock || layout->pieces[at].pool != planned->pool))
        at++;
    if (at < layout->count) {
        layout->pieces[at].quantity += planned->quantity;
        return;
    }
    layout->pieces[at] = (struct piece){.stock = planned->stock,
                                        .quantity = planned->quantity,
                                        .pool = planned->pool,
                                        .line = (uint16_t)planned->line};
    layout->fulfilments[at] = (struct fulfilment){.order = 0};
    layout->count++;
}

static void layout_pieces(const struct engine *engine, const struct order *order,
                          const struct order_reallocate_body *body, const struct plan *plan,
                          struct layout *layout)
{
    layout->count = 0;
    for (unsigned line = 0; line < order->line_count; line++) {
        uint32_t first = layout->count;
        uint32_t refunded = layout_staying(engine, order, line, body, layout);
        for (unsigned i = 0; i < plan->piece_count; i++) {
            if (plan->pieces[i].line == line)
                layout_add(layout, first, &plan->pieces[i]);
        }
        for (uint32_t i = first; i < layout->count; i++) {
            uint32_t room = layout->pieces[i].quantity - layout->fulfilments[i].refunded;
            uint32_t taken = refunded < room ? refunded : room;
            layout->fulfilments[i].refunded += taken;
            refunded -= taken;
        }
    }
}

static enum outcome check_room(struct engine *engine, const struct order *order,
                               const struct layout *layout)
{
    if (layout->count > ORDER_PIECES_MAX)
        return plan_reject_pieces(engine);
    if (!order_has_step_room(engine, order))
        return REJECT_FULL(engine, steps);
    if (order->money == 0 && money_room(engine) == 0)
        return REJECT_FULL(engine, moneys);
    if (!runs_have(&engine->pieces, layout->count))
        return REJECT_FULL(engine, pieces);
    if (order_account(engine, order)->fulfilments != 0 &&
        !runs_have(&engine->fulfilments, layout->count))
        return REJECT_FULL(engine, fulfilments);
    return OUTCOME_OK;
}

/* The units that leave go back to where they were taken from. */
static void write_leaving(struct engine *engine, const struct order *order,
                          const struct order_reallocate_body *body)
{
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < pieces.count; i++) {
        struct piece piece = pieces.first[i];
        piece.quantity = piece_unshipped(engine, order, i);
        if (piece.quantity > 0 && piece_leaves(engine, &piece, body))
            piece_give_back(engine, order, &piece);
    }
}

static void write_taken(struct engine *engine, const struct order *order, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->piece_count; i++) {
        const struct planned_piece *planned = &plan->pieces[i];
        struct stock *stock = stock_edit(engine, planned->stock);
        source_take(engine, stock, planned->pool, planned->quantity);
        if (order->state != order_state_PENDING) {
            stock->reserved -= planned->quantity;
            stock->committed += planned->quantity;
        }
        stock_digest(engine, planned->stock);
    }
}

/* The pieces as they are now, and what has happened to their units. */
static void write_layout(struct engine *engine, uint32_t index, const struct layout *layout)
{
    if (order_account(engine, order_at(engine, index))->fulfilments != 0)
        order_fulfilments_replace(engine, index, layout->fulfilments, layout->count);
    order_move(engine, index, layout->pieces, layout->count);
}

enum outcome handle_order_reallocate(struct engine *engine, struct command *command)
{
    const struct order_reallocate_body *body = command->body;
    struct plan plan;
    struct layout layout;
    enum outcome outcome = check_body(engine, body);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint32_t index = order_find(engine, body->order);
    const struct order *order = order_at(engine, index);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    outcome = check_state(engine, order);
    if (outcome == OUTCOME_OK)
        outcome = plan_lines(engine, order, body, &plan);
    if (outcome != OUTCOME_OK)
        return outcome;
    layout_pieces(engine, order, body, &plan, &layout);
    outcome = check_room(engine, order, &layout);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    warehouses_leave(engine, index);
    write_leaving(engine, order, body);
    write_taken(engine, order, &plan);
    write_layout(engine, index, &layout);
    warehouses_enter(engine, index);
    order_step(engine, index);
    order_status_reply(engine, index,
                       reply_begin(engine, command, sizeof(struct order_status_body)));
    return OUTCOME_OK;
}
