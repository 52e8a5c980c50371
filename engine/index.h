/* An index: open addressing from a 32-bit hash to record numbers, 8 bytes a slot.
 *
 * A slot holds the hash and the record; record 0 is an empty slot. The hash gives the home slot by
 * multiplication, so the table may have any size, and needs no power of two. The slot has the whole
 * hash, so the caller compares keys only where that agrees. Collisions probe linearly; removal
 * shifts back, so there are no tombstones. */
#ifndef TILL_ENGINE_INDEX_H
#define TILL_ENGINE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"

struct index {
    uint64_t *slots; /* hash << 32 | record */
    uint64_t slot_count;
};

static inline uint64_t index_slots_for(uint32_t capacity)
{
    return (uint64_t)capacity + capacity / 3 + 16;
}

static inline uint64_t index_bytes(const struct index *index)
{
    return index->slot_count * sizeof(uint64_t);
}

static inline bool index_init(struct index *index, uint32_t capacity)
{
    index->slot_count = index_slots_for(capacity);
    index->slots = memory_map(index_bytes(index));
    return index->slots != NULL;
}

static inline void index_deinit(struct index *index)
{
    memory_unmap(index->slots, index_bytes(index));
    index->slots = NULL;
}

static inline uint64_t index_home(const struct index *index, uint32_t hash)
{
    return (uint64_t)hash * index->slot_count >> 32;
}

static inline void index_prefetch(const struct index *index, uint32_t hash)
{
    __builtin_prefetch(&index->slots[index_home(index, hash)]);
}

/* Walks the records whose hash is this one:
 *   struct index_walk walk = index_walk(index, hash);
 *   while ((record = index_next(&walk)) != 0) ... */
struct index_walk {
    const struct index *index;
    uint64_t slot;
    uint32_t hash;
};

static inline struct index_walk index_walk(const struct index *index, uint32_t hash)
{
    return (struct index_walk){.index = index, .slot = index_home(index, hash), .hash = hash};
}

static inline uint32_t index_next(struct index_walk *walk)
{
    for (;;) {
        uint64_t entry = walk->index->slots[walk->slot];
        if (entry == 0)
            return 0;
        walk->slot = walk->slot + 1 == walk->index->slot_count ? 0 : walk->slot + 1;
        if ((uint32_t)(entry >> 32) == walk->hash)
            return (uint32_t)entry;
    }
}

/* The caller keeps the number of records within the capacity. */
static inline void index_insert(struct index *index, uint32_t hash, uint32_t record)
{
    uint64_t slot = index_home(index, hash);
    while (index->slots[slot] != 0)
        slot = slot + 1 == index->slot_count ? 0 : slot + 1;
    index->slots[slot] = (uint64_t)hash << 32 | record;
}

static inline void index_remove(struct index *index, uint32_t hash, uint32_t record)
{
    uint64_t entry = (uint64_t)hash << 32 | record;
    uint64_t hole = index_home(index, hash);
    while (index->slots[hole] != entry) {
        TILL_ASSERT(index->slots[hole] != 0);
        hole = hole + 1 == index->slot_count ? 0 : hole + 1;
    }
    for (uint64_t next = hole;;) {
        next = next + 1 == index->slot_count ? 0 : next + 1;
        if (index->slots[next] == 0)
            break;
        /* An entry may fill the hole unless its home lies between the hole and itself. */
        uint64_t home = index_home(index, (uint32_t)(index->slots[next] >> 32));
        bool stays = hole <= next ? hole < home && home <= next : hole < home || home <= next;
        if (!stays) {
            index->slots[hole] = index->slots[next];
            hole = next;
        }
    }
    index->slots[hole] = 0;
}

#endif
