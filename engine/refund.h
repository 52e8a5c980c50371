/* Refunds, by their id. Private to engine/. */
#ifndef TILL_ENGINE_REFUND_H
#define TILL_ENGINE_REFUND_H

#include "engine/state.h"

static inline uint32_t refund_hash(const struct engine *engine, struct id id)
{
    return hash_id(engine, id);
}

/* The refund's index; 0: it is not known. */
uint32_t refund_find(const struct engine *engine, struct id id);

#endif
