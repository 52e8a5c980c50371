/* SKUs, and their stock in each warehouse. Private to engine/. */
#ifndef TILL_ENGINE_STOCK_H
#define TILL_ENGINE_STOCK_H

#include "engine/state.h"

static inline uint32_t sku_hash(const struct engine *engine, uint64_t sku)
{
    return hash_words(engine, sku, 1);
}

/* The SKU with this number; 0: there is none. */
static inline uint32_t sku_find(const struct engine *engine, uint64_t sku)
{
    struct index_walk walk = index_walk(&engine->sku_index, sku_hash(engine, sku));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && sku_at(engine, index)->sku != sku) {
    }
    return index;
}

/* The SKU with this name; 0: there is none. */
uint32_t name_hash(const struct engine *engine, const struct name *name);
uint32_t sku_find_name(const struct engine *engine, const struct name *name);

/* The stock of a SKU (its index) in a warehouse (its number); 0: there is none. */
uint32_t stock_find(const struct engine *engine, uint32_t sku, uint32_t warehouse);

/* Adds that stock, linked into its SKU's list by ascending warehouse; the caller has checked for
 * room. */
uint32_t stock_add(struct engine *engine, uint32_t sku, uint32_t warehouse);

/* Units that are in the warehouse and may not be promised again. */
int64_t stock_promised(const struct stock *stock);

/* A digest with a stock's numbers mixed in. */
static inline uint64_t stock_mixed(uint64_t digest, const struct stock *stock, uint32_t index)
{
    return digest_mixed(digest, (uint64_t)stock->available ^ (uint64_t)stock->pooled << 32,
                        (uint64_t)stock->reserved ^ (uint64_t)stock->committed << 32 ^
                            (uint64_t)stock->on_hand << 16 ^ index);
}

/* Every change of a stock ends with this. */
static inline void stock_digest(struct engine *engine, uint32_t index)
{
    engine->digest = stock_mixed(engine->digest, stock_at(engine, index), index);
}

#endif
