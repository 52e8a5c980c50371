/* Reads the blocks of one file: of an archived segment, of blocks that were set aside at a fork
 * (net/fork.h), which have nothing but blocks; or of a segment that was set aside, up to where its
 * chain of blocks ends. The chain is checked within the file. */
#ifndef TILL_WAL_BLOCKS_H
#define TILL_WAL_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/reader.h"

struct wal_blocks {
    /* Of the last WAL_READ_BLOCK; valid until the next call. */
    struct wal_block block;
    const uint8_t *image; /* of block_size bytes, as on the disk */
    const uint8_t *ids;
    const uint8_t *fields;
    char error[WAL_ERROR_SIZE]; /* begins with the path */

    struct wal_blocks_file *file; /* private */
};

/* has_room: there may be something else behind the last block. 0 or -errno, with error. close may
 * follow in both cases. */
int wal_blocks_open(struct wal_blocks *blocks, struct disk *disk, const char *name, bool has_room);
void wal_blocks_close(struct wal_blocks *blocks);
enum wal_read wal_blocks_next(struct wal_blocks *blocks);

#endif
