/* The engine's state as a snapshot sees it: a list of numbers, and tables of fixed-size records.
 *
 * Which there are, and their numbers in an image, say the rows of engine/tables. `rejected` counts
 * since the server's start and is not part of the state.
 *
 * The numbers (scalars) are copied whole when a snapshot begins; the tables are read chunk by chunk
 * through a keeper (engine/keep.h). Indexes and whatever else follows from the records are in no
 * image: engine_rebuild makes them anew.
 *
 *   writing  engine_scalars, engine_keep_begin, keeper_next ..., engine_keep_end
 *   loading  engine_load_begin, engine_load_room or engine_load_ring ..., engine_rebuild,
 *            engine_upgrade, engine_check_bounds, engine_add_warehouses (of an older schema),
 *            engine_check_totals
 *
 * The records come from a file: until these two have passed them, nothing may be asked or decided.
 */
#ifndef TILL_ENGINE_IMAGE_H
#define TILL_ENGINE_IMAGE_H

#include "engine/engine.h"
#include "engine/keep.h"

/* A table as it stands now. Records are numbered from 0; record 0 of an arena is its unused none.
 */
struct engine_table_view {
    const char *name;
    uint8_t *records;
    uint32_t record_size;
    uint32_t count;         /* in use, record 0 included */
    uint32_t capacity;      /* record 0 included */
    const uint64_t *in_use; /* bitmap: others say nothing, whatever is in them. NULL: all may */
};

struct engine_table_view engine_table_view(const struct engine *engine, enum engine_table table);
void engine_scalars(const struct engine *engine, uint64_t scalars[ENGINE_SCALAR_COUNT]);

/* From begin on, every first change of a record is kept, until end; both between two batches. The
 * keeper was made for this engine. */
void engine_keep_begin(struct engine *engine, struct keeper *keeper);
void engine_keep_end(struct engine *engine, struct keeper *keeper);
void engine_keeper_set(struct engine *engine, struct keeper *keeper);

/* What an image says of its tables. */
struct engine_counts {
    uint32_t count[ENGINE_TABLE_COUNT];    /* record 0 included */
    uint32_t capacity[ENGINE_TABLE_COUNT]; /* of the engine that it was taken of */
};

enum engine_load {
    ENGINE_LOAD_READY,
    ENGINE_LOAD_UNSOUND, /* its numbers contradict each other: no engine wrote it */
    ENGINE_LOAD_LARGE,   /* it does not fit the tables; error says what to do */
};

/* Makes a fresh (or cleared) engine ready to take an image's records. */
enum engine_load engine_load_begin(struct engine *engine,
                                   const uint64_t scalars[ENGINE_SCALAR_COUNT],
                                   const struct engine_counts *counts, char *error,
                                   size_t error_size);

/* Where to write `count` records of the image. NULL for a ring of another capacity: its records are
 * handed to engine_load_ring instead. */
uint8_t *engine_load_room(struct engine *engine, enum engine_table table, uint32_t first,
                          uint32_t count);
void engine_load_ring(struct engine *engine, enum engine_table table, uint32_t capacity,
                      uint32_t first, uint32_t count, const uint8_t *records);

/* Adds what an image of a schema before 3 lacks: the warehouses of its stock, and what is promised
 * from each. After engine_check_bounds. False: they do not fit; error says what to do. */
bool engine_add_warehouses(struct engine *engine, char *error, size_t error_size);

/* Makes everything that follows from the records: the indexes, and the bitmap of the deadlines. It
 * follows no reference. */
void engine_rebuild(struct engine *engine);

/* Brings the records of an image of an older schema to what this one has beside, once the rest is
 * rebuilt. */
void engine_upgrade(struct engine *engine, unsigned schema);

/* The engine's time becomes that of its last change, as after a replay of the log. What was asked
 * since then left no trace but the time; and the next change may be of another primary, whose clock
 * is behind. Not while the deadlines have been asked for the time that is taken back. */
void engine_rewind(struct engine *engine);

/* Is every number of every record within its bounds, everything that is referred to in use, and
 * does every list end? Then, do the numbers beside the records follow from them? False: error says
 * of which record what is wrong. A state that has passed both can be decided on: no index leaves
 * its table, no sum its range. */
bool engine_check_bounds(const struct engine *engine, char *error, size_t error_size);
bool engine_check_totals(const struct engine *engine, char *error, size_t error_size);

/* Back to what engine_create made; memory that was populated is not any more. */
bool engine_clear(struct engine *engine);

/* The number of the SKU that was added as the first (index 1), the second, and so on; 0 when there
 * are fewer. */
uint64_t engine_sku_number(const struct engine *engine, uint32_t index);

#endif
