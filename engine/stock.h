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

/* Is there room for the pair of a SKU and a warehouse, where it is not there yet (0)? OK, or the
 * CAPACITY rejection. stock_add then adds it, linked into its SKU's list by ascending warehouse. */
enum outcome stock_check_room(struct engine *engine, uint32_t stock, uint32_t warehouse);
uint32_t stock_add(struct engine *engine, uint32_t sku, uint32_t warehouse);

/* Units that are in the warehouse and may not be promised again; those that may. */
int64_t stock_promised(const struct stock *stock);

static inline int64_t stock_available(const struct stock *stock)
{
    return stock->available > 0 ? stock->available : 0;
}

void stock_level_reply(const struct engine *engine, uint32_t stock, struct stock_level_body *reply);

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
