/* Warehouses: whether they take orders, and what is promised from them. Private to engine/.
 *
 * A warehouse has a record from its first stock on, or since it was put. Its promises are counted
 * beside it: the orders that have units there which were not shipped, and those units. */
#ifndef TILL_ENGINE_WAREHOUSE_H
#define TILL_ENGINE_WAREHOUSE_H

#include "engine/state.h"

static inline uint32_t warehouse_hash(const struct engine *engine, uint32_t number)
{
    return hash_words(engine, number, 3);
}

/* The warehouse with this number; 0: there is none. */
static inline uint32_t warehouse_find(const struct engine *engine, uint32_t number)
{
    struct index_walk walk = index_walk(&engine->warehouse_index, warehouse_hash(engine, number));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && warehouse_at(engine, index)->warehouse != number) {
    }
    return index;
}

/* Is it known not to be ONLINE? Then nothing is promised from it any more. */
static inline bool warehouse_is_shut(const struct engine *engine, uint32_t number)
{
    return engine->warehouses_shut != 0 &&
           warehouse_at(engine, warehouse_find(engine, number))->state > warehouse_state_ONLINE;
}

/* Has it a record, or is there room for one? warehouse_add then makes one where there is none, and
 * returns it; it follows from the first stock, so that it is no part of the digest. */
bool warehouse_has_room(const struct engine *engine, uint32_t number);
uint32_t warehouse_add(struct engine *engine, uint32_t number);

/* More is promised from it, or with a minus less. By its record. */
static inline void warehouse_promise(struct engine *engine, uint32_t warehouse, int64_t orders,
                                     int64_t units)
{
    struct warehouse_promise *promise = warehouse_promise_edit(engine, warehouse);
    promise->orders += (uint64_t)orders;
    promise->units += (uint64_t)units;
}

/* The order has taken its pieces, or gives back those that it has: each of the warehouses that they
 * are in counts it once. */
void warehouses_enter(struct engine *engine, uint32_t order);
void warehouses_leave(struct engine *engine, uint32_t order);

#endif
