/* The mappings of arenas. A mapping reserves addresses, not memory. A server makes the system
 * provide the memory when it starts (memory_populate); a tool that only reads a log leaves it to
 * page faults. */
#include "base/arena.h"

#include <sys/mman.h>

#include "base/assert.h"

static const uint64_t huge_page_bytes = 2ULL << 20;

/* While it populates one piece, the kernel holds a lock on the mappings of the process: with pieces
 * of this size for less than a millisecond. */
static const uint64_t populate_piece_bytes = 2ULL << 20;

static uint64_t round_up(uint64_t size, uint64_t to)
{
    return (size + to - 1) / to * to;
}

/* A kernel that ignores the advice costs speed only. */
static void *map(uint64_t size_bytes, int advice)
{
    uint64_t mapped_bytes = round_up(size_bytes, huge_page_bytes);
    void *memory = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, mapped_bytes, advice);
    return memory;
}

void *memory_map(uint64_t size_bytes)
{
    return map(size_bytes, MADV_HUGEPAGE);
}

void *memory_map_sparse(uint64_t size_bytes)
{
    return map(size_bytes, MADV_NOHUGEPAGE);
}

bool memory_populate(void *memory, uint64_t size_bytes, const atomic_bool *stop)
{
    uint64_t left = round_up(size_bytes, huge_page_bytes);
    uint8_t *piece = memory;
    while (left > 0 && (stop == NULL || !atomic_load_explicit(stop, memory_order_relaxed))) {
        uint64_t bytes = left < populate_piece_bytes ? left : populate_piece_bytes;
        if (madvise(piece, bytes, MADV_POPULATE_WRITE) != 0)
            return false;
        piece += bytes;
        left -= bytes;
    }
    return true;
}

void memory_unmap(void *memory, uint64_t size_bytes)
{
    if (memory != NULL)
        TILL_ASSERT(munmap(memory, round_up(size_bytes, huge_page_bytes)) == 0);
}

bool arena_init(struct arena *arena, uint32_t record_size, uint32_t capacity)
{
    TILL_ASSERT(record_size > 0 && capacity < UINT32_MAX);
    *arena = (struct arena){.record_size = record_size, .capacity = capacity};
    arena->mapped_bytes = (uint64_t)record_size * ((uint64_t)capacity + 1);
    arena->records = memory_map(arena->mapped_bytes);
    return arena->records != NULL;
}

void arena_deinit(struct arena *arena)
{
    memory_unmap(arena->records, arena->mapped_bytes);
    *arena = (struct arena){.records = NULL};
}
