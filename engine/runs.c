/* The blocks of runs.h.
 *
 * What must hold: a free record is in one block, a block is in the list of its size, and no two
 * buddies are both free. What can fail: there is no run of a length, although enough records are
 * free. */
#include "engine/runs.h"

#include "base/assert.h"

static void block_write(struct runs *runs, uint32_t index, struct run_block block)
{
    uint8_t *record = arena_at(&runs->records, index);
    keep(runs->keeper, runs->layout->table, index);
    memcpy(record + runs->layout->links_offset, &block, sizeof block);
}

static void block_link(struct runs *runs, uint32_t index, unsigned size)
{
    uint32_t next = runs->free[size];
    block_write(runs, index, (struct run_block){.next = next, .size = size + 1});
    if (next != 0) {
        struct run_block block = run_block_at(runs, next);
        block.previous = index;
        block_write(runs, next, block);
    }
    runs->free[size] = index;
}

/* The block's first record is zero then, as the others are. */
static void block_unlink(struct runs *runs, uint32_t index)
{
    struct run_block block = run_block_at(runs, index);
    if (block.next != 0) {
        struct run_block next = run_block_at(runs, block.next);
        next.previous = block.previous;
        block_write(runs, block.next, next);
    }
    if (block.previous != 0) {
        struct run_block previous = run_block_at(runs, block.previous);
        previous.next = block.next;
        block_write(runs, block.previous, previous);
    } else {
        runs->free[block.size - 1] = block.next;
    }
    block_write(runs, index, (struct run_block){.size = 0});
}

static bool is_block(const struct runs *runs, uint32_t index, unsigned size)
{
    return index <= runs->records.count && run_is_free(runs, index) &&
           run_block_at(runs, index).size == size + 1;
}

/* Adds a block whose records are zero, with its buddy if that is free, and so on. */
static void block_give(struct runs *runs, uint32_t index, unsigned size)
{
    while (size < RUN_SIZES - 1) {
        uint32_t buddy = index ^ 1u << size;
        if (!is_block(runs, buddy, size))
            break;
        block_unlink(runs, buddy);
        index &= ~(1u << size);
        size++;
    }
    block_link(runs, index, size);
}

/* The largest block that begins here and has no more than count records. */
static unsigned block_size(uint32_t index, uint32_t count)
{
    unsigned fits = 31 - (unsigned)__builtin_clz(count);
    unsigned aligned = (unsigned)__builtin_ctz(index);
    unsigned size = fits < aligned ? fits : aligned;
    return size < RUN_SIZES - 1 ? size : RUN_SIZES - 1;
}

/* Adds records that are zero, as blocks. */
static void blocks_give(struct runs *runs, uint32_t first, uint32_t count)
{
    while (count > 0) {
        unsigned size = block_size(first, count);
        block_give(runs, first, size);
        first += 1u << size;
        count -= 1u << size;
    }
}

/* The list of the smallest blocks that have so many records, and are there; RUN_SIZES: none. */
static unsigned list_of(const struct runs *runs, uint32_t count)
{
    unsigned size = count <= 1 ? 0 : 32 - (unsigned)__builtin_clz(count - 1);
    while (size < RUN_SIZES && runs->free[size] == 0)
        size++;
    return size;
}

bool runs_have(const struct runs *runs, uint32_t count)
{
    return arena_room(&runs->records) >= count || list_of(runs, count) < RUN_SIZES;
}

uint32_t runs_take(struct runs *runs, uint32_t count)
{
    TILL_ASSERT(count > 0 && count <= RUN_LENGTH_MAX);
    unsigned size = list_of(runs, count);
    if (size == RUN_SIZES)
        return arena_take(&runs->records, count);
    uint32_t first = runs->free[size];
    block_unlink(runs, first);
    blocks_give(runs, first + count, (1u << size) - count);
    for (uint32_t i = 1; i < count; i++)
        keep(runs->keeper, runs->layout->table, first + i);
    runs->free_count -= count;
    return first;
}

void runs_give(struct runs *runs, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        keep(runs->keeper, runs->layout->table, first + i);
    memset(arena_at(&runs->records, first), 0, (size_t)count * runs->records.record_size);
    runs->free_count += count;
    blocks_give(runs, first, count);
}
