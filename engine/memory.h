/* The memory behind the tables, for code that handles any table. Private to engine/. */
#ifndef TILL_ENGINE_MEMORY_H
#define TILL_ENGINE_MEMORY_H

#include "engine/state.h"

/* The arena of a table; NULL for the buckets of the deadlines, which are none. The `_at` functions
 * are for reading. */
struct arena *table_arena(struct engine *engine, enum engine_table table);
const struct arena *table_arena_at(const struct engine *engine, enum engine_table table);

/* The free list of a POOL; all zero for any other table. */
struct free_list {
    uint32_t first; /* the record that was given back last; 0: none is free */
    uint32_t count;
    uint32_t link_offset; /* in a record, of the next free one */
};

struct free_list table_free_list(const struct engine *engine, enum engine_table table);

/* Is a record of a table free? In a POOL: is it zero but for the link of a free list? */
bool table_record_is_free(const struct engine *engine, enum engine_table table, uint32_t record);

/* Records of an arena that are in use. */
uint32_t table_records_used(const struct engine *engine, enum engine_table table);

/* The runs of a table; NULL for one of another kind. */
struct runs *table_runs(struct engine *engine, enum engine_table table);
const struct runs *table_runs_at(const struct engine *engine, enum engine_table table);

/* The ring of a table; NULL for one that is no ring. */
struct memory_ring *table_ring(struct engine *engine, enum engine_table table);
const struct memory_ring *table_ring_at(const struct engine *engine, enum engine_table table);

#endif
