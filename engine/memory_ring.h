/* A memory ring: a bounded first-in first-out table of records that are forgotten after a while,
 * with an index of its own. Every table of kind RING (engine/tables/tables.h) is one.
 *
 * A record is known by its position: how many were added before it. It stands in the slot 1 +
 * position modulo the capacity, so the ring's oldest records are overwritten by its newest, and an
 * image may be loaded by an engine of another capacity: each record moves to the slot of its
 * position. The ring knows nothing of keys and times: its owner tells the hash of a record, and
 * which records are old. */
#ifndef TILL_ENGINE_MEMORY_RING_H
#define TILL_ENGINE_MEMORY_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
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

/* Adds a record of this hash; returns its slot, which the caller fills. The caller has forgotten
 * enough for the ring to have room. */
static inline uint32_t memory_ring_add(struct memory_ring *ring, uint32_t hash)
{
    TILL_ASSERT(memory_ring_count(ring) < ring->records.capacity);
    uint32_t slot = memory_ring_slot(ring, ring->end++);
    index_insert(&ring->index, hash, slot);
    return slot;
}

/* Forgets the oldest record, which has this hash. */
static inline void memory_ring_forget(struct memory_ring *ring, uint32_t hash)
{
    TILL_ASSERT(memory_ring_count(ring) > 0);
    index_remove(&ring->index, hash, memory_ring_slot(ring, ring->first++));
}

/* Records from the first one on that is not old. Ages only fall along the ring, so those that are
 * old come before all others. */
static inline uint64_t memory_ring_kept(const struct memory_ring *ring,
                                        bool (*is_old)(const void *context, const void *record),
                                        const void *context)
{
    uint64_t first = ring->first;
    uint64_t end = ring->end;
    while (first < end) {
        uint64_t middle = first + (end - first) / 2;
        if (is_old(context, arena_at(&ring->records, memory_ring_slot(ring, middle))))
            first = middle + 1;
        else
            end = middle;
    }
    return ring->end - first;
}

#endif
