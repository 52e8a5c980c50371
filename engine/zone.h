/* Zones: a region or a city, with the warehouses that it is sent to from, and what that costs.
 * Private to engine/. */
#ifndef TILL_ENGINE_ZONE_H
#define TILL_ENGINE_ZONE_H

#include "engine/state.h"

static inline uint32_t zone_hash(const struct engine *engine, uint32_t number)
{
    return hash_words(engine, number, 4);
}

/* The zone with this number; 0: there is none. */
static inline uint32_t zone_find(const struct engine *engine, uint32_t number)
{
    struct index_walk walk = index_walk(&engine->zone_index, zone_hash(engine, number));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && zone_at(engine, index)->zone != number) {
    }
    return index;
}

/* Does the warehouse that stands at b come after the one at a? By cost, then by number. */
static inline bool zone_is_ordered(const struct zone *zone, uint32_t a, uint32_t b)
{
    return zone->costs.at[a] < zone->costs.at[b] ||
           (zone->costs.at[a] == zone->costs.at[b] &&
            zone->warehouses.at[a] < zone->warehouses.at[b]);
}

#endif
