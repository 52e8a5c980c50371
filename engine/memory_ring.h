/* A memory ring: a bounded first-in first-out table of records that are forgotten after a while,
 * with an index of its own. Every table of kind RING (engine/tables/tables.h) is one.
 *
 * A record is known by its position: how many were added before it. It stands in the slot 1 +
 * position modulo the capacity, so the ring's oldest records are overwritten by its newest, and an
 * image may be loaded by an engine of another capacity: each record moves to the slot of its
 * position. */
#ifndef TILL_ENGINE_MEMORY_RING_H
#define TILL_ENGINE_MEMORY_RING_H

#include <stdint.h>

#include "base/arena.h"
#include "engine/index.h"

struct memory_ring {
    struct arena records;
    struct index index;
    uint64_t first; /* position of the oldest record: how many were forgotten */
    uint64_t end;   /* position of the next record: how many were added */
};

static inline uint64_t memory_ring_count(const struct memory_ring *ring)
{
    return ring->end - ring->first;
}

static inline uint32_t memory_ring_slot(const struct memory_ring *ring, uint64_t position)
{
    return (uint32_t)(position % ring->records.capacity) + 1;
}

#endif
