/* Sales, by their numbers. Private to engine/. */
#ifndef TILL_ENGINE_SALE_H
#define TILL_ENGINE_SALE_H

#include "engine/state.h"

/* The sale with this number; 0: there is none. */
static inline uint32_t sale_find(const struct engine *engine, uint32_t sale)
{
    struct index_walk walk = index_walk(&engine->sale_index, hash_words(engine, sale, 2));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && sale_at(engine, index)->sale != sale) {
    }
    return index;
}

#endif
