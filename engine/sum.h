/* The checksum of the whole state: every live record of every table, and every number.
 *
 * It is a sum, modulo 2^64, of one XXH3-64 for each record, seeded with the table's number and the
 * record's place, so records may be added in any order: a snapshot adds them up as it writes them.
 * A record's place is its index, of a ring its position since the ring began. Both follow from the
 * log alone, like the rest of the state (which record a POOL takes next follows from its free
 * records, so these count as well): they are the same after a replay, after a snapshot and on
 * a replica, whatever the capacities, the hash seed and the slots of a ring are. Records that are
 * all zero and numbers that are add nothing, so a table or a number that a later schema has beside
 * these changes no sum while it is empty. Numbers that a query may move on (SCALAR_KIND_CLOCK) and
 * the engine's indexes are not part of it. */
#ifndef TILL_ENGINE_SUM_H
#define TILL_ENGINE_SUM_H

#include "engine/engine.h"
#include "engine/tables.h"

/* Of a live engine, between two batches. */
uint64_t engine_checksum(const struct engine *engine);

/* The same in parts: the numbers, and each table's records in pieces. `capacity` is what the
 * table's engine has room for, record 0 included; `first` is the index of the piece's first
 * record. */
uint64_t sum_scalars(const uint64_t scalars[ENGINE_SCALAR_COUNT]);
uint64_t sum_records(const uint64_t scalars[ENGINE_SCALAR_COUNT], enum engine_table table,
                     uint32_t capacity, uint32_t first, uint32_t count, const uint8_t *records);

#endif
