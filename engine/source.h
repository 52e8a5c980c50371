/* Where an order's units of a stock come from: a pool of its sale, or what is available. Private to
 * engine/. */
#ifndef TILL_ENGINE_SOURCE_H
#define TILL_ENGINE_SOURCE_H

#include "engine/stock.h"
#include "engine/warehouse.h"

/* The pool of a sale (its index) for a stock; 0: there is none. */
static inline uint32_t pool_find(const struct engine *engine, uint32_t sale, uint32_t stock)
{
    struct index_walk walk = index_walk(&engine->pool_index, hash_words(engine, sale, stock));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 &&
           (pool_at(engine, index)->sale != sale || pool_at(engine, index)->stock != stock)) {
    }
    return index;
}

/* The pool that a sale's orders take a stock from; 0: from what is available. */
static inline uint32_t stock_source(const struct engine *engine, uint32_t sale, uint32_t stock)
{
    const struct sale *terms = sale_at(engine, sale);
    if (sale == 0 || terms->pools == 0 || terms->state == sale_state_CLOSED)
        return 0;
    return pool_find(engine, sale, stock);
}

/* Units that are there to be taken. */
static inline int64_t source_left(const struct engine *engine, uint32_t pool, uint32_t stock)
{
    int64_t left = pool != 0 ? pool_at(engine, pool)->left : stock_at(engine, stock)->available;
    return left > 0 ? left : 0;
}

/* A warehouse that is not ONLINE gives none of them, whatever is left. */
static inline bool stock_is_shut(const struct engine *engine, uint32_t stock)
{
    return warehouse_is_shut(engine, stock_at(engine, stock)->warehouse);
}

static inline int64_t source_gives(const struct engine *engine, uint32_t pool, uint32_t stock)
{
    return stock_is_shut(engine, stock) ? 0 : source_left(engine, pool, stock);
}

static inline int64_t stock_gives(const struct engine *engine, uint32_t sale, uint32_t stock)
{
    return source_gives(engine, stock_source(engine, sale, stock), stock);
}

/* Moves units from the pool, or from what is available without one, to reserved; `stock` was taken
 * from stock_edit. stock_digest comes after it. */
static inline void source_take(struct engine *engine, struct stock *stock, uint32_t pool,
                               uint32_t quantity)
{
    if (pool != 0) {
        struct pool *source = pool_edit(engine, pool);
        source->left -= quantity;
        source->taken += quantity;
        stock->pooled -= quantity;
    } else {
        stock->available -= quantity;
    }
    stock->reserved += quantity;
}

/* The same with the digest; `stock` is the record at the index. */
static inline void stock_take(struct engine *engine, struct stock *stock, uint32_t index,
                              uint32_t pool, uint32_t quantity)
{
    source_take(engine, stock, pool, quantity);
    stock_digest(engine, index);
}

#endif
