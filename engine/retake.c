/* A payment that comes after its order has ended: the order takes again what it had, if all of it
 * is there.
 *
 * retake_judge plans it before anything is written: from the places that the order had, else as its
 * own allocation would find the same units now; and looks at the points and the customer's limits.
 * A hold that has just ended gives back first, so what it still holds counts as given back.
 * retake_write does what was planned. The pieces that the order was placed with stay as they are,
 * since they answer its placing; units from other places get pieces of their own. */
#include "engine/retake.h"

#include "engine/handlers.h"
#include "engine/lists.h"
#include "engine/order.h"
#include "engine/source.h"
#include "engine/tally.h"

/* Plans the pieces from where they were; false when not all of it is there. */
static bool plan_same_places(const struct engine *engine, struct plan *plan,
                             const struct pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct piece *piece = &pieces->first[i];
        uint32_t missing = piece->quantity;
        if (!plan_take(engine, plan, piece->line, piece->stock, &missing) || missing > 0)
            return false;
    }
    return true;
}

/* The order's request as its allocation would see it now: of each line what it had, from the
 * warehouse that was named, if one was. */
static void plan_request(const struct engine *engine, const struct order *order,
                         const struct pieces *pieces, struct retake *retake)
{
    struct plan *plan = &retake->plan;
    retake->body = (struct order_place_body){.line_count = order->line_count,
                                             .allocation = order_allocation(order)};
    for (uint16_t i = 0; i < order->line_count; i++) {
        struct line line = order_line(engine, order, i);
        plan->skus[i] = line.sku;
        retake->lines[i] = (struct line_body){.sku = sku_at(engine, line.sku)->sku};
    }
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct piece *piece = &pieces->first[i];
        struct line_body *line = &retake->lines[piece->line];
        line->quantity += piece->quantity;
        if ((piece->flags & PIECE_IS_FIXED) != 0)
            line->warehouse = stock_at(engine, piece->stock)->warehouse;
    }
}

static bool stock_is_there(struct engine *engine, const struct order *order, struct retake *retake)
{
    struct plan *plan = &retake->plan;
    struct pieces pieces = order_pieces(engine, order);
    retake->is_elsewhere = !plan_same_places(engine, plan, &pieces);
    if (!retake->is_elsewhere)
        return true;
    plan_request(engine, order, &pieces, retake);
    plan->body = &retake->body;
    plan->lines = retake->lines;
    plan->piece_count = 0;
    return plan_allocate(engine, plan) == OUTCOME_OK;
}

/* Units of one SKU, or of all (0). */
static uint64_t pieces_quantity(const struct engine *engine, const struct pieces *pieces,
                                uint32_t sku)
{
    uint64_t quantity = 0;
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct piece *piece = &pieces->first[i];
        if (sku == 0 || stock_at(engine, piece->stock)->sku == sku)
            quantity += piece->quantity;
    }
    return quantity;
}

/* Would the order be within the limit, its own units counted once? */
static bool limit_allows(const struct engine *engine, const struct order *order,
                         const struct pieces *pieces, uint32_t sku, uint32_t max)
{
    uint64_t has = tally_of(engine, order->customer, order->sale, sku);
    if (order->state != order_state_PENDING)
        has += pieces_quantity(engine, pieces, sku);
    return max == 0 || has <= max;
}

/* Do the sale's limits allow its customer to have this order as well? */
static bool limits_allow(const struct engine *engine, const struct order *order)
{
    const struct sale *sale = sale_at(engine, order->sale);
    struct pieces pieces = order_pieces(engine, order);
    if (order->sale == 0 || !sale->counted)
        return true;
    for (uint32_t i = 0; i < pieces.count; i++) {
        uint32_t sku = stock_at(engine, pieces.first[i].stock)->sku;
        if (!limit_allows(engine, order, &pieces, sku, sale->customer_sku_max))
            return false;
    }
    return limit_allows(engine, order, &pieces, 0, sale->customer_sale_max);
}

bool retake_judge(struct engine *engine, uint32_t index, struct retake *retake)
{
    const struct order *order = order_at(engine, index);
    int64_t points = points_available(engine, order->customer);
    bool is_held = order->state == order_state_PENDING;
    if (is_held)
        points += points_coming_back(engine, order);
    retake->plan.sale = order->sale;
    retake->plan.returning = is_held ? index : 0;
    retake->plan.fixed_warehouse = 0;
    retake->plan.piece_count = 0;
    return stock_is_there(engine, order, retake) && limits_allow(engine, order) &&
           money_at(engine, order->money)->points_used <= points;
}

enum outcome retake_check_room(struct engine *engine, uint32_t index, const struct retake *retake)
{
    const struct order *order = order_at(engine, index);
    int64_t points = money_at(engine, order->money)->points_used;
    if (retake->is_elsewhere && arena_room(&engine->pieces) < retake->plan.piece_count)
        return REJECT_FULL(engine, pieces);
    if (order->sale != 0 && sale_at(engine, order->sale)->counted &&
        arena_room(&engine->tallies) < order->line_count + 1u)
        return REJECT_FULL(engine, tallies);
    if (points == 0)
        return OUTCOME_OK;
    /* A hold that has just ended gives its points back first, to lots that may then be needed too;
     * what is taken is spent at once: what comes back of it asks for room then. */
    uint32_t takes = points_take_count(engine, order);
    struct points_need need = points_needed(engine, order->customer, points);
    need.takes += takes;
    need.entries += takes;
    need.lots = 0;
    return check_points_room(engine, &need);
}

/* New pieces for what is taken from other places, as planned. */
static void write_elsewhere(struct engine *engine, uint32_t index, const struct plan *plan)
{
    struct order *order = order_edit(engine, index);
    struct money *money = order_money_edit(engine, index);
    if (engine->lists != NULL)
        lists_pieces_leave(engine, index);
    money->pieces = arena_take(&engine->pieces, plan->piece_count);
    money->piece_count = plan->piece_count;
    order->flags |= ORDER_IS_MOVED;
    for (uint32_t i = 0; i < plan->piece_count; i++) {
        const struct planned_piece *planned = &plan->pieces[i];
        uint32_t place = money->pieces + i;
        struct stock *stock = stock_edit(engine, planned->stock);
        *piece_new(engine, place) = (struct piece){.stock = planned->stock,
                                                   .quantity = planned->quantity,
                                                   .next = stock->pieces,
                                                   .order = index,
                                                   .pool = planned->pool,
                                                   .line = (uint16_t)planned->line};
        stock->pieces = place | PIECE_IN_ARENA;
        stock_take(engine, stock, planned->stock, planned->pool, planned->quantity);
    }
    if (engine->lists != NULL)
        lists_pieces_enter(engine, index);
}

/* The same pieces once more, from whatever its sale takes them from at this time. */
static void write_same_places(struct engine *engine, uint32_t index, const struct plan *plan)
{
    struct piece *pieces = order_pieces_edit(engine, order_edit(engine, index));
    for (uint32_t i = 0; i < plan->piece_count; i++) {
        const struct planned_piece *planned = &plan->pieces[i];
        pieces[i].pool = planned->pool;
        stock_take(engine, stock_edit(engine, planned->stock), planned->stock, planned->pool,
                   planned->quantity);
    }
}

/* The order, which holds nothing, takes what was planned, and is sold at once. */
void retake_write(struct engine *engine, uint32_t index, const struct retake *retake)
{
    if (retake->is_elsewhere)
        write_elsewhere(engine, index, &retake->plan);
    else
        write_same_places(engine, index, &retake->plan);
    order_tally(engine, index);
    points_hold(engine, index, money_at(engine, order_at(engine, index)->money)->points_used);
    order_commit(engine, index);
    order_enter(engine, index, order_state_CONFIRMED);
}
