/* The log of a small shop in memory, made by an engine that decides random commands, and written to
 * the test's folder as one segment. */
#ifndef TILL_TESTS_UNIT_SHOP_LOG_H
#define TILL_TESTS_UNIT_SHOP_LOG_H

#include "engine/codec.h"
#include "engine/engine.h"
#include "wal/block.h"

enum { SHOP_LOG_BLOCKS_MAX = 512 };

/* The raw columns of each block, which a test may change before they are written. */
struct shop_log {
    struct engine *engine;
    struct column_writer writer;
    struct wal_block block; /* the one that is open */
    struct wal_block blocks[SHOP_LOG_BLOCKS_MAX];
    uint8_t *ids[SHOP_LOG_BLOCKS_MAX];
    uint8_t *fields[SHOP_LOG_BLOCKS_MAX];
    uint32_t block_count;
    uint32_t block_commands; /* of each, at most */
    uint64_t now_us;
    uint64_t time_written;
    uint64_t numbers; /* for keys, ids and events */
    uint8_t ids_open[WAL_COLUMN_SIZE_MAX];
    uint8_t fields_open[WAL_COLUMN_SIZE_MAX];
};

struct engine_options shop_log_options(void);

/* Freed by shop_log_free, as are the columns. */
struct shop_log *shop_log_create(uint32_t commands, uint32_t block_commands);
void shop_log_free(struct shop_log *log);

/* Seals all blocks, chained, into segment 1. */
void shop_log_write(const struct shop_log *log);

#endif
