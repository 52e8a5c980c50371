/* The engine's state as a snapshot sees it: a list of numbers, and tables of fixed-size records.
 *
 * The numbers (scalars) are copied whole when a snapshot begins; the tables are read chunk by chunk
 * through a keeper (engine/keep.h). Indexes and whatever else follows from the records are in no
 * image: engine_rebuild makes them anew.
 *
 *   writing  engine_scalars, engine_keep_begin, keeper_next ..., engine_keep_end
 *   loading  engine_load_begin, engine_load_room or engine_load_ring ..., engine_rebuild,
 *            engine_check_bounds, engine_check_totals
 *
 * The records come from a file: until these two have passed them, nothing may be asked or decided.
 */
#ifndef TILL_ENGINE_IMAGE_H
#define TILL_ENGINE_IMAGE_H

#include "engine/engine.h"
#include "engine/keep.h"

/* SCALAR(name, place): every number of the state that is not in a record. `rejected` counts since
 * the server's start and is not part of the state. A table's count is kept with the table. */
#define ENGINE_SCALARS(SCALAR)                                                                     \
    SCALAR(seq, seq)                                                                               \
    SCALAR(digest, digest)                                                                         \
    SCALAR(time_us, time_us)                                                                       \
    SCALAR(changed_us, changed_us)                                                                 \
    SCALAR(jumped_us, jumped_us)                                                                   \
    SCALAR(point_takes_free, point_takes_free)                                                     \
    SCALAR(point_takes_free_count, point_takes_free_count)                                         \
    SCALAR(steps_reserved, steps_reserved)                                                         \
    SCALAR(ledger_reserved, ledger_reserved)                                                       \
    SCALAR(lots_reserved, lots_reserved)                                                           \
    SCALAR(orders_PENDING, orders_by_state[order_state_PENDING])                                   \
    SCALAR(orders_CONFIRMED, orders_by_state[order_state_CONFIRMED])                               \
    SCALAR(orders_PARTIALLY_SHIPPED, orders_by_state[order_state_PARTIALLY_SHIPPED])               \
    SCALAR(orders_SHIPPED, orders_by_state[order_state_SHIPPED])                                   \
    SCALAR(orders_DELIVERED, orders_by_state[order_state_DELIVERED])                               \
    SCALAR(orders_EXPIRED, orders_by_state[order_state_EXPIRED])                                   \
    SCALAR(orders_FAILED, orders_by_state[order_state_FAILED])                                     \
    SCALAR(orders_CANCELLED, orders_by_state[order_state_CANCELLED])                               \
    SCALAR(on_hand_total, on_hand_total)                                                           \
    SCALAR(parked_count, parked_count)                                                             \
    SCALAR(refund_order_count, refund_order_count)                                                 \
    SCALAR(keys_first, keys.first)                                                                 \
    SCALAR(keys_end, keys.end)                                                                     \
    SCALAR(deadlines_bucket_first, deadlines.bucket_first)                                         \
    SCALAR(deadlines_bucket_last, deadlines.bucket_last)                                           \
    SCALAR(deadlines_count, deadlines.count)                                                       \
    SCALAR(deadlines_chunks_free, deadlines.chunks_free)

#define SCALAR_ENUM(name, place) SCALAR_##name,
enum engine_scalar { ENGINE_SCALARS(SCALAR_ENUM) ENGINE_SCALAR_COUNT };
#undef SCALAR_ENUM

/* A table as it stands now. Records are numbered from 0; what the first of an arena is, no record
 * refers to. */
struct engine_table_view {
    const char *name;
    uint8_t *records;
    uint32_t record_size;
    uint32_t count;    /* in use, record 0 included */
    uint32_t capacity; /* record 0 included */
};

uint64_t engine_scalars_layout(void); /* XXH3-64 of the names of all, in order */
const char *engine_table_name(enum engine_table table);
uint32_t engine_table_record_size(enum engine_table table);
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
    ENGINE_LOAD_UNSOUND, /* its numbers are not such as any engine has */
    ENGINE_LOAD_LARGE,   /* the tables have not the room; error says what to do */
};

/* Makes a fresh (or cleared) engine ready to take an image's records. */
enum engine_load engine_load_begin(struct engine *engine,
                                   const uint64_t scalars[ENGINE_SCALAR_COUNT],
                                   const struct engine_counts *counts, char *error,
                                   size_t error_size);

/* Where records of the image belong: the caller writes all of them there. NULL for a ring of
 * another capacity, whose records are handed to engine_load_ring instead. */
uint8_t *engine_load_room(struct engine *engine, enum engine_table table, uint32_t first);
void engine_load_ring(struct engine *engine, enum engine_table table, uint32_t capacity,
                      uint32_t first, uint32_t count, const uint8_t *records);

/* Makes everything that follows from the records: the indexes, and the bitmap of the deadlines. It
 * follows no reference. */
void engine_rebuild(struct engine *engine);

/* Is every number of every record within its bounds, everything that is referred to in use, and
 * does every list end? Then, do the numbers beside the records follow from them? False: error says
 * of which record what is wrong. Both together: nothing that is decided on this state can go
 * astray. */
bool engine_check_bounds(const struct engine *engine, char *error, size_t error_size);
bool engine_check_totals(const struct engine *engine, char *error, size_t error_size);

/* Back to what engine_create made; memory that was populated is not any more. */
bool engine_clear(struct engine *engine);

/* The SKUs in the order they came, from 1; 0 past the last. */
uint64_t engine_sku_number(const struct engine *engine, uint32_t index);

#endif
