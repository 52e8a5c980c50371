/* An arena: one table of fixed-size records, whose capacity is set at start, addressed by index.
 *
 * Record 0 is unused: index 0 means "none" in every record that refers to another. The memory is
 * one anonymous mapping, a whole number of huge pages, and the kernel is advised to use them; pages
 * that were never touched take no memory. Records are zero until written. */
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
    uint32_t count;    /* records in use: indexes 1 to count */
    uint32_t capacity; /* records that may be in use */
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

/* The record at an index. Record 0 may be read: it is all zero, and is never written. */
static inline void *arena_at(const struct arena *arena, uint32_t index)
{
    return arena->records + (uint64_t)index * arena->record_size;
}

/* Anonymous memory, all zero, for tables that are not arenas. NULL when there is not enough. */
void *memory_map(uint64_t size_bytes);

/* The same for memory of which only a few pages are ever touched: without huge pages, so that it
 * takes no more memory than these. */
void *memory_map_sparse(uint64_t size_bytes);

/* Makes the system provide all pages of the memory now, so that no later access waits for a page to
 * be cleared. False when there is not enough. Another thread may use the memory meanwhile, and may
 * end this call early by setting `stop`, unless that is NULL. */
bool memory_populate(void *memory, uint64_t size_bytes, const atomic_bool *stop);
void memory_unmap(void *memory, uint64_t size_bytes);

#endif
