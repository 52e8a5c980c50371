/* Tallies: the units that each customer holds or has in a sale, of one SKU, and (SKU 0) of all.
 * Kept for sales that have, or had, limits per customer. Private to engine/. */
#ifndef TILL_ENGINE_TALLY_H
#define TILL_ENGINE_TALLY_H

#include "engine/state.h"

uint32_t tally_hash(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku);

/* The tally's index; 0: there is none. All three are indexes. */
uint32_t tally_find(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku);

/* Its units, 0 when there is none. */
uint64_t tally_of(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku);

/* Adds units, makes the tally when there is none; the caller has checked for room. */
void tally_add(struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku,
               int64_t quantity);

/* Counts a piece for its customer's limits, or with a sign of -1 takes it off. */
static inline void piece_tally(struct engine *engine, const struct order *order,
                               const struct piece *piece, int64_t sign)
{
    if (order->sale == 0 || !sale_at(engine, order->sale)->counted)
        return;
    int64_t quantity = sign * (int64_t)piece->quantity;
    uint32_t sku = stock_at(engine, piece->stock)->sku;
    tally_add(engine, order->customer, order->sale, sku, quantity);
    tally_add(engine, order->customer, order->sale, 0, quantity);
}

/* Counts all that an order holds or has. */
void order_tally(struct engine *engine, uint32_t order);

#endif
