/* Allocation: which warehouses the lines of an order are taken from.
 *
 * Nothing is written but the plan. Lines of one SKU share what there is: what the plan has taken
 * from a stock already, it cannot take again. */
#include "engine/plan.h"

#include "engine/handlers.h"
#include "engine/order_parts.h"
#include "engine/source.h"

/* What a source gives once an order that holds something has given it back. */
static int64_t source_gives_after(const struct engine *engine, uint32_t pool, uint32_t stock,
                                  uint32_t index)
{
    const struct order *order = order_at(engine, index);
    struct pieces pieces = order_pieces(engine, order);
    int64_t gives = pool != 0 ? pool_at(engine, pool)->left : stock_at(engine, stock)->available;
    if (stock_is_shut(engine, stock))
        return 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.first[i];
        if (piece->stock == stock && piece_returns_to(engine, order, piece) == pool)
            gives += piece->quantity;
    }
    return gives > 0 ? gives : 0;
}

/* What a stock still gives after what the plan has taken from it. */
static int64_t plan_gives(const struct engine *engine, const struct plan *plan, uint32_t pool,
                          uint32_t stock)
{
    int64_t gives = plan->returning == 0 ? source_gives(engine, pool, stock)
                                         : source_gives_after(engine, pool, stock, plan->returning);
    for (unsigned i = 0; i < plan->piece_count; i++)
        gives -= plan->pieces[i].stock == stock ? plan->pieces[i].quantity : 0;
    return gives;
}

bool plan_take(const struct engine *engine, struct plan *plan, unsigned line, uint32_t stock,
               uint32_t *missing)
{
    uint32_t pool = stock_source(engine, plan->sale, stock);
    int64_t gives = plan_gives(engine, plan, pool, stock);
    uint32_t taken = gives < *missing ? (uint32_t)gives : *missing;
    if (taken == 0)
        return true;
    if (plan->piece_count == ORDER_PIECES_MAX)
        return false;
    plan->pieces[plan->piece_count++] =
        (struct planned_piece){.stock = stock, .pool = pool, .quantity = taken, .line = line};
    *missing -= taken;
    return true;
}

/* The stock of a line's SKU in the warehouse of a zone that stands there; 0 when there is none, or
 * the line names another warehouse. */
static uint32_t zone_stock(const struct engine *engine, const struct plan *plan, unsigned line,
                           unsigned place)
{
    uint32_t wanted = plan->lines[line].warehouse;
    uint32_t warehouse = zone_at(engine, plan->zone)->warehouses.at[place];
    bool usable = wanted == 0 || wanted == warehouse;
    return usable ? stock_find(engine, plan->skus[line], warehouse) : 0;
}

static int64_t zone_remaining(const struct engine *engine, const struct plan *plan, unsigned line)
{
    int64_t remaining = 0;
    for (unsigned i = 0; i < zone_at(engine, plan->zone)->count; i++) {
        uint32_t stock = zone_stock(engine, plan, line, i);
        remaining += stock != 0 ? stock_gives(engine, plan->sale, stock) : 0;
    }
    return remaining;
}

/* What all lines of this line's SKU could have had together, before this order. */
static int64_t line_remaining(const struct engine *engine, const struct plan *plan, unsigned line)
{
    bool single = plan->body->allocation == allocation_SINGLE;
    uint32_t wanted = plan->lines[line].warehouse;
    int64_t remaining = 0;
    if (plan->body->allocation == allocation_CHEAPEST)
        return zone_remaining(engine, plan, line);
    if (single)
        wanted = plan->fixed_warehouse;
    for (uint32_t at = sku_at(engine, plan->skus[line])->stocks; at != 0;) {
        const struct stock *stock = stock_at(engine, at);
        int64_t gives =
            wanted == 0 || wanted == stock->warehouse ? stock_gives(engine, plan->sale, at) : 0;
        if (!single)
            remaining += gives;
        else if (gives > remaining)
            remaining = gives;
        at = stock->next;
    }
    return remaining;
}

enum outcome plan_reject_remaining(struct engine *engine, uint64_t sku, int64_t remaining)
{
    return reject(engine, remaining == 0 ? OUTCOME_SOLD_OUT : OUTCOME_INSUFFICIENT_STOCK, sku,
                  remaining);
}

static enum outcome reject_short(struct engine *engine, const struct plan *plan, unsigned line)
{
    return plan_reject_remaining(engine, plan->lines[line].sku, line_remaining(engine, plan, line));
}

enum outcome plan_reject_pieces(struct engine *engine)
{
    return reject(engine, OUTCOME_CAPACITY, CAPACITY_pieces, ORDER_PIECES_MAX);
}

/* RANK and EXPLICIT: each line in turn from the warehouses it may use, by ascending number. */
static enum outcome allocate_ranked(struct engine *engine, struct plan *plan)
{
    bool partial = (plan->body->flags & place_flags_PARTIAL) != 0;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        uint32_t wanted = plan->lines[i].warehouse;
        uint32_t missing = plan->lines[i].quantity;
        /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): every line's SKU has been found. */
        for (uint32_t at = sku_at(engine, plan->skus[i])->stocks; at != 0 && missing > 0;) {
            const struct stock *stock = stock_at(engine, at);
            bool usable = wanted == 0 || wanted == stock->warehouse;
            if (usable && !plan_take(engine, plan, i, at, &missing))
                return plan_reject_pieces(engine);
            at = stock->next;
        }
        if (missing > 0 && !partial)
            return reject_short(engine, plan, i);
    }
    return OUTCOME_OK;
}

/* Where each line's SKU stands in its list of stocks, while all go through the warehouses by
 * ascending number together. */
struct cursors {
    uint32_t stocks[ORDER_LINES_MAX];
};

static void cursors_begin(const struct engine *engine, const struct plan *plan,
                          struct cursors *cursors)
{
    for (unsigned i = 0; i < plan->body->line_count; i++)
        cursors->stocks[i] = sku_at(engine, plan->skus[i])->stocks;
}

/* The lowest warehouse above `after` that one of the lines could use; 0 when there is none. */
static uint32_t cursors_next(const struct engine *engine, const struct plan *plan,
                             struct cursors *cursors, uint32_t after)
{
    uint32_t lowest = 0;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        uint32_t at = cursors->stocks[i];
        while (at != 0 && stock_at(engine, at)->warehouse <= after)
            at = stock_at(engine, at)->next;
        cursors->stocks[i] = at;
        if (at != 0 && (lowest == 0 || stock_at(engine, at)->warehouse < lowest))
            lowest = stock_at(engine, at)->warehouse;
    }
    return lowest;
}

/* Plans all lines from the warehouse that the cursors have reached, each as far as it goes; returns
 * the units planned. */
static uint64_t plan_warehouse(const struct engine *engine, struct plan *plan,
                               const struct cursors *cursors, uint32_t warehouse)
{
    uint64_t units = 0;
    plan->piece_count = 0;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        uint32_t stock = cursors->stocks[i];
        uint32_t missing = plan->lines[i].quantity;
        if (stock == 0 || stock_at(engine, stock)->warehouse != warehouse)
            continue;
        bool taken = plan_take(engine, plan, i, stock, &missing);
        TILL_ASSERT(taken); /* a piece a line: a plan of one warehouse is never full */
        units += plan->lines[i].quantity - missing;
    }
    return units;
}

/* No warehouse fills all lines: the first line whose SKU falls short in all of them decides, else
 * the first line. */
static enum outcome reject_single(struct engine *engine, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        uint64_t needed = 0;
        for (unsigned j = 0; j < plan->body->line_count; j++)
            needed += plan->skus[j] == plan->skus[i] ? plan->lines[j].quantity : 0;
        if ((uint64_t)line_remaining(engine, plan, i) < needed)
            return reject_short(engine, plan, i);
    }
    return reject_short(engine, plan, 0);
}

/* Most carts: each line's first stock is in the same warehouse, which is then the lowest that any
 * line could use, and fills all lines. False when it takes more looks. */
static bool allocate_at_once(const struct engine *engine, struct plan *plan)
{
    uint32_t warehouse = stock_at(engine, sku_at(engine, plan->skus[0])->stocks)->warehouse;
    if (plan->fixed_warehouse != 0 && plan->fixed_warehouse != warehouse)
        return false;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        uint32_t stock = sku_at(engine, plan->skus[i])->stocks;
        uint32_t quantity = plan->lines[i].quantity;
        if (stock == 0 || stock_at(engine, stock)->warehouse != warehouse)
            return false;
        uint32_t pool = stock_source(engine, plan->sale, stock);
        if (plan_gives(engine, plan, pool, stock) < quantity)
            return false;
        if (quantity == 0) /* a partial order got none of it, and takes again what it had */
            continue;
        plan->pieces[plan->piece_count++] =
            (struct planned_piece){.stock = stock, .pool = pool, .quantity = quantity, .line = i};
    }
    return true;
}

static enum outcome allocate_single(struct engine *engine, struct plan *plan)
{
    struct cursors cursors;
    uint64_t wanted_units = 0;
    uint64_t best_units = 0;
    uint32_t best = 0;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        wanted_units += plan->lines[i].quantity;
        if (plan->lines[i].warehouse != 0)
            plan->fixed_warehouse = plan->lines[i].warehouse;
    }
    if (allocate_at_once(engine, plan))
        return OUTCOME_OK;
    plan->piece_count = 0;
    cursors_begin(engine, plan, &cursors);
    uint32_t warehouse = 0;
    while ((warehouse = cursors_next(engine, plan, &cursors, warehouse)) != 0) {
        if (plan->fixed_warehouse != 0 && warehouse != plan->fixed_warehouse)
            continue;
        uint64_t units = plan_warehouse(engine, plan, &cursors, warehouse);
        if (units == wanted_units)
            return OUTCOME_OK;
        if (units > best_units) {
            best_units = units;
            best = warehouse;
        }
    }
    if ((plan->body->flags & place_flags_PARTIAL) == 0)
        return reject_single(engine, plan);
    plan->piece_count = 0;
    if (best != 0) {
        cursors_begin(engine, plan, &cursors);
        warehouse = cursors_next(engine, plan, &cursors, best - 1);
        plan_warehouse(engine, plan, &cursors, warehouse);
    }
    return OUTCOME_OK;
}

/* Plans all lines from the warehouse that stands there in the zone. False when it does not fill
 * them. */
static bool zone_fills(const struct engine *engine, struct plan *plan, unsigned place)
{
    plan->piece_count = 0;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        uint32_t stock = zone_stock(engine, plan, i, place);
        uint32_t missing = plan->lines[i].quantity;
        if ((stock != 0 && !plan_take(engine, plan, i, stock, &missing)) || missing > 0)
            return false;
    }
    return true;
}

/* CHEAPEST: all from the first warehouse of the zone that fills the order, since each parcel has
 * its cost; where none does, each line in turn across them. */
static enum outcome allocate_cheapest(struct engine *engine, struct plan *plan)
{
    bool partial = (plan->body->flags & place_flags_PARTIAL) != 0;
    uint32_t count = zone_at(engine, plan->zone)->count;
    for (unsigned i = 0; i < count; i++) {
        if (zone_fills(engine, plan, i))
            return OUTCOME_OK;
    }
    plan->piece_count = 0;
    for (unsigned i = 0; i < plan->body->line_count; i++) {
        uint32_t missing = plan->lines[i].quantity;
        for (unsigned j = 0; j < count && missing > 0; j++) {
            uint32_t stock = zone_stock(engine, plan, i, j);
            if (stock != 0 && !plan_take(engine, plan, i, stock, &missing))
                return plan_reject_pieces(engine);
        }
        if (missing > 0 && !partial)
            return reject_short(engine, plan, i);
    }
    return OUTCOME_OK;
}

enum outcome plan_allocate(struct engine *engine, struct plan *plan)
{
    switch (plan->body->allocation) {
    case allocation_SINGLE:
        return allocate_single(engine, plan);
    case allocation_CHEAPEST:
        return allocate_cheapest(engine, plan);
    default:
        return allocate_ranked(engine, plan);
    }
}
