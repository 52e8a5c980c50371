/* An arena: one table of fixed-size records, sized at start, addressed by index.
 *
 * Index 0 is never given out: it means "none" in every record that refers to another. The memory
 * is one anonymous mapping of whole huge pages in size and advised as such; pages that were never
 * touched cost nothing. Records are zero until written. */
#ifndef TILL_BASE_ARENA_H
#define TILL_BASE_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *records;
    uint64_t mapped_bytes;
    uint32_t record_size;
    uint32_t count;    /* records given out; the highest index in use */
    uint32_t capacity; /* records that may be given out */
};

/* Maps room for capacity records. False when the system has no memory for it (errno is set). */
bool arena_init(struct arena *arena, uint32_t record_size, uint32_t capacity);
void arena_deinit(struct arena *arena);

/* Takes the next count records in a row; 0 when there is no room. */
static inline uint32_t arena_take(struct arena *arena, uint32_t count)
{
    if (arena->capacity - arena->count < count)
        return 0;
    uint32_t index = arena->count + 1;
    arena->count += count;
    return index;
}

static inline uint32_t arena_room(const struct arena *arena)
{
    return arena->capacity - arena->count;
}

/* The record at an index, 0 included (it reads as zeros and is never written). */
static inline void *arena_at(const struct arena *arena, uint32_t index)
{
    return arena->records + (uint64_t)index * arena->record_size;
}

/* Anonymous zeroed memory for tables that are not arenas; NULL when there is none. */
void *memory_map(uint64_t size_bytes);

/* The same, for memory that is touched only here and there: never in huge pages, so that it takes
 * no more than what is touched. */
void *memory_map_sparse(uint64_t size_bytes);

/* Takes the memory from the system now, so that no later touch has to wait for a cleared page.
 * False when there is not enough. Another thread may use the memory meanwhile, and may end the work
 * early by setting `stop`, unless that is NULL. */
bool memory_populate(void *memory, uint64_t size_bytes, const atomic_bool *stop);
void memory_unmap(void *memory, uint64_t size_bytes);

#endif
