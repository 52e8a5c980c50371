/* The memory behind the tables, for whatever walks tables that it does not know. Private to
 * engine/. */
#ifndef TILL_ENGINE_MEMORY_H
#define TILL_ENGINE_MEMORY_H

#include "engine/state.h"

/* The arena of a table; NULL for the buckets of the deadlines, which are none. The `_at` functions
 * are for reading. */
struct arena *table_arena(struct engine *engine, enum engine_table table);
const struct arena *table_arena_at(const struct engine *engine, enum engine_table table);

/* The ring of a table; NULL for one that is no ring. */
struct memory_ring *table_ring(struct engine *engine, enum engine_table table);
const struct memory_ring *table_ring_at(const struct engine *engine, enum engine_table table);

#endif
