/* Runs: a table whose records are taken and given back several in a row, as the lines of an order
 * are. Every table of kind RUNS (engine/tables/tables.h) is one.
 *
 * What was given back lies in blocks of 1, 2, 4 to 64 records, each at an index that is a multiple
 * of its size, with a list for each size: a buddy allocator. A run of n is cut out of the smallest
 * block that has it, and the rest of that goes back; only when there is none are n new records
 * taken behind all others, at any index. A run is given back as the blocks that it consists of, and
 * a block whose buddy is free becomes one of twice the size with it. Which records are taken
 * follows from what was decided before, like all of the state.
 *
 *   index     8       9      10      11      12      13      14      15
 *         +-------+-------+-------+-------+-------+-------+-------+-------+
 *         | taken         | 2 free        | 4 free                        |
 *         +-------+-------+-------+-------+-------+-------+-------+-------+
 *
 * A free record is zero but for three words of a block's first one: the next and the previous block
 * of its size, and the size. A word that is not zero in any record in use tells them apart. */
#ifndef TILL_ENGINE_RUNS_H
#define TILL_ENGINE_RUNS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "engine/keep.h"
#include "engine/tables.h"

enum { RUN_SIZES = 7, RUN_LENGTH_MAX = 1 << (RUN_SIZES - 1) };

/* Where the words stand in a record of the table. */
struct run_layout {
    enum engine_table table;
    uint32_t links_offset;
    uint32_t used_offset;
};

struct runs {
    struct arena records;
    uint32_t free[RUN_SIZES]; /* first free block of 1, 2, 4 ... records; 0: there is none */
    uint32_t free_count;      /* records in all of them */
    const struct run_layout *layout;
    struct keeper *keeper; /* of the snapshot being written; NULL: none is */
};

/* In the first record of a free block. */
struct run_block {
    uint32_t next;
    uint32_t previous;
    uint32_t size; /* 1 + the list that it is in; 0: it is no first record */
};

static inline bool run_is_free(const struct runs *runs, uint32_t index)
{
    uint32_t used = 0;
    const uint8_t *record = arena_at(&runs->records, index);
    memcpy(&used, record + runs->layout->used_offset, sizeof used);
    return used == 0;
}

static inline struct run_block run_block_at(const struct runs *runs, uint32_t index)
{
    struct run_block block;
    const uint8_t *record = arena_at(&runs->records, index);
    memcpy(&block, record + runs->layout->links_offset, sizeof block);
    return block;
}

/* Is there a run of so many records, 1 to RUN_LENGTH_MAX? */
bool runs_have(const struct runs *runs, uint32_t count);

/* Takes a run and returns its first record; 0 when there is none. All are zero, and kept for a
 * snapshot: they may be written like new ones. */
uint32_t runs_take(struct runs *runs, uint32_t count);

/* Gives a run back, of any length. */
void runs_give(struct runs *runs, uint32_t first, uint32_t count);

/* Records in use. */
static inline uint32_t runs_used(const struct runs *runs)
{
    return runs->records.count - runs->free_count;
}

#endif
