/* A block of the log: many commands, one checksum, one write.
 *
 * A block stands at a multiple of WAL_ALIGN in its segment and fills a multiple of it; the rest
 * after the payload is zero. All integers are little-endian. An empty block has no commands: it
 * seals the log behind the block before it (wal/wal.h).
 *
 *   struct wal_block
 *   offset size field
 *        0    8 magic             "tillblk1"
 *        8    8 checksum          XXH3-64 of all of the block from offset 16 on
 *       16    8 previous          checksum of the block before; 0: the log begins with it
 *       24    8 epoch             of the primary that wrote it
 *       32    8 seq_first         of the first command in it; of an empty one the seq that is due
 *       40    8 seq_durable       what was durable when this block was handed to the disk
 *       48    8 time_us           of the first command; of an empty one of the last before it
 *       56    8 digest            of the engine after the last command
 *       64    4 command_count
 *       68    4 block_size        multiple of WAL_ALIGN, header and padding included
 *       72    4 ids_size          of the ids column, raw
 *       76    4 ids_stored        as stored; equal to ids_size: not compressed
 *       80    4 fields_size       of the fields column, raw
 *       84    4 fields_stored     as stored; equal to fields_size: not compressed
 *       88    4 version           3; it and magic stand here in every version
 *       92    4 schema            of the commands (base/schema.h)
 *
 * The payload follows: the ids column, then the fields column (LZ4 block format where compressed).
 * The columns' content is engine/codec.h's. */
#ifndef TILL_WAL_BLOCK_H
#define TILL_WAL_BLOCK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

#define WAL_BLOCK_MAGIC       0x316b6c626c6c6974ULL
#define WAL_BLOCK_VERSION     3
#define WAL_BLOCK_VERSION_MAX 255 /* that will ever be */

struct wal_block {
    uint64_t magic;
    uint64_t checksum;
    uint64_t previous;
    uint64_t epoch;
    uint64_t seq_first;
    uint64_t seq_durable;
    uint64_t time_us;
    uint64_t digest;
    uint32_t command_count;
    uint32_t block_size;
    uint32_t ids_size;
    uint32_t ids_stored;
    uint32_t fields_size;
    uint32_t fields_stored;
    uint32_t version;
    uint32_t schema;
};

static_assert(sizeof(struct wal_block) == 96, "the header's layout is the file format");
static_assert(offsetof(struct wal_block, checksum) == 8, "checksum");
static_assert(offsetof(struct wal_block, seq_first) == 32, "seq_first");
static_assert(offsetof(struct wal_block, command_count) == 64, "command_count");
static_assert(offsetof(struct wal_block, version) == 88, "version");
static_assert(offsetof(struct wal_block, schema) == 92, "schema");

/* What recovery fills the pages of a write with that it cuts, word by word: neither zeros, which
 * only stand where nothing was ever written, nor a block. */
#define WAL_CUT_WORD 0x2e7475636c6c6974ULL

/* The raw columns of one block are bounded so that it fits WAL_BLOCK_SIZE_MAX uncompressed. */
#define WAL_COLUMN_SIZE_MAX ((WAL_BLOCK_SIZE_MAX - (int)sizeof(struct wal_block)) / 2)

/* Whether compression paid lately, for each column: what does not compress is left raw and tried
 * again now and then. All zero to begin with. */
struct wal_packer {
    struct wal_packing {
        uint32_t raw_left; /* blocks to leave raw before the next try */
        uint32_t raw_next; /* how many that will be when the next try fails */
    } ids, fields;
};

/* Makes the block's image, of block_size bytes: at most WAL_BLOCK_SIZE_MAX, and WAL_ALIGN for an
 * empty one. The caller has filled previous, epoch, both seqs, time, digest, the count and both raw
 * sizes; the rest of the header is filled here. Each column holds at most WAL_COLUMN_SIZE_MAX
 * bytes. */
void wal_block_seal(struct wal_packer *packer, struct wal_block *block, const uint8_t *ids,
                    const uint8_t *fields, uint8_t *image);

/* Reads the header and tells whether it may be one, of any schema: the magic, and sizes that agree
 * with each other and with the format's bounds. `bytes` has WAL_ALIGN bytes at least. */
bool wal_block_read(const uint8_t *bytes, struct wal_block *block);

/* Is the block that wal_block_read found whole, padding included? `bytes` has its block_size bytes.
 */
bool wal_block_verify(const struct wal_block *block, const uint8_t *bytes);

/* The raw columns of a verified block: in place where they were stored raw, else decompressed into
 * ids_room and fields_room, WAL_COLUMN_SIZE_MAX bytes each. False when they do not decompress. */
bool wal_block_unpack(const struct wal_block *block, const uint8_t *bytes, uint8_t *ids_room,
                      uint8_t *fields_room, const uint8_t **ids, const uint8_t **fields);

#endif
