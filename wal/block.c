/* Blocks as bytes.
 *
 * Good path: the columns are compressed or copied behind the header, the rest of the last page is
 * zeroed, and one checksum is taken over all of it. Reading checks the sizes, then the checksum,
 * and then decompresses.
 *
 * What can fail: anything about bytes that come from a disk. Every size is bounded before it is
 * used, and a block is only believed when its checksum fits.
 *
 * What always holds: the stored payload is never longer than the raw one, so a block always fits
 * where its raw columns would. No byte of a block changes unseen: the magic is compared, and the
 * checksum covers the rest, the padding too. */
#include "wal/block.h"

#include <lz4.h>
#include <string.h>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/schema.h"

enum {
    CHECKSUM_START = offsetof(struct wal_block, previous),
    RAW_BLOCKS_MAX = 63,       /* between two tries at a column that does not compress */
    COMPRESSED_SIZE_MIN = 256, /* bytes below which a column is not worth a try */
};

static uint32_t payload_end(const struct wal_block *block)
{
    return (uint32_t)sizeof *block + block->ids_stored + block->fields_stored;
}

static uint32_t align_up(uint32_t size)
{
    return (size + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
}

static uint64_t block_checksum(const struct wal_block *block, const uint8_t *bytes)
{
    return checksum64(bytes + CHECKSUM_START, block->block_size - CHECKSUM_START);
}

/* Stores a column at out, compressed when that saves an eighth; returns the stored size. Tries
 * that fail are spaced out to one in 64 blocks; one that succeeds makes every block be tried. */
static uint32_t column_store(struct wal_packing *packing, const uint8_t *column, uint32_t size,
                             uint8_t *out)
{
    if (packing->raw_left > 0) {
        packing->raw_left--;
    } else if (size >= COMPRESSED_SIZE_MIN) {
        int stored = LZ4_compress_default((const char *)column, (char *)out, (int)size,
                                          (int)(size - size / 8));
        if (stored > 0) {
            packing->raw_next = 0;
            return (uint32_t)stored;
        }
        packing->raw_next = 2 * packing->raw_next + 1;
        if (packing->raw_next > RAW_BLOCKS_MAX)
            packing->raw_next = RAW_BLOCKS_MAX;
        packing->raw_left = packing->raw_next;
    }
    memcpy(out, column, size);
    return size;
}

/* An empty block says nothing but that all before it is durable. */
static bool is_sound(const struct wal_block *block)
{
    if (block->command_count == 0 && (block->ids_size > 0 || block->fields_size > 0 ||
                                      block->seq_durable + 1 != block->seq_first))
        return false;
    return block->seq_durable < block->seq_first &&
           block->seq_first <= UINT64_MAX - block->command_count;
}

void wal_block_seal(struct wal_packer *packer, struct wal_block *block, const uint8_t *ids,
                    const uint8_t *fields, uint8_t *image)
{
    TILL_ASSERT(is_sound(block));
    TILL_ASSERT(block->ids_size <= WAL_COLUMN_SIZE_MAX);
    TILL_ASSERT(block->fields_size <= WAL_COLUMN_SIZE_MAX);
    uint8_t *payload = image + sizeof *block;
    if (sizeof *block + block->ids_size + block->fields_size <= WAL_ALIGN) {
        /* One page is the least that can be written: nothing would be saved. */
        memcpy(payload, ids, block->ids_size);
        memcpy(payload + block->ids_size, fields, block->fields_size);
        block->ids_stored = block->ids_size;
        block->fields_stored = block->fields_size;
    } else {
        block->ids_stored = column_store(&packer->ids, ids, block->ids_size, payload);
        block->fields_stored =
            column_store(&packer->fields, fields, block->fields_size, payload + block->ids_stored);
    }
    block->magic = WAL_BLOCK_MAGIC;
    block->version = WAL_BLOCK_VERSION;
    block->schema = SCHEMA;
    block->block_size = align_up(payload_end(block));
    memset(image + payload_end(block), 0, block->block_size - payload_end(block));
    memcpy(image, block, sizeof *block);
    block->checksum = block_checksum(block, image);
    memcpy(image + offsetof(struct wal_block, checksum), &block->checksum, sizeof block->checksum);
}

bool wal_block_read(const uint8_t *bytes, struct wal_block *block)
{
    memcpy(block, bytes, sizeof *block);
    return block->magic == WAL_BLOCK_MAGIC && block->version == WAL_BLOCK_VERSION &&
           block->schema >= SCHEMA_FIRST && block->ids_size <= WAL_COLUMN_SIZE_MAX &&
           block->fields_size <= WAL_COLUMN_SIZE_MAX && block->ids_stored <= block->ids_size &&
           block->fields_stored <= block->fields_size &&
           block->block_size == align_up(payload_end(block)) && block->time_us <= TIME_US_MAX &&
           is_sound(block);
}

bool wal_block_verify(const struct wal_block *block, const uint8_t *bytes)
{
    return block->checksum == block_checksum(block, bytes);
}

static bool column_unpack(const uint8_t *stored, uint32_t stored_size, uint32_t size, uint8_t *room,
                          const uint8_t **column)
{
    *column = stored;
    if (stored_size == size)
        return true;
    *column = room;
    return LZ4_decompress_safe((const char *)stored, (char *)room, (int)stored_size, (int)size) ==
           (int)size;
}

bool wal_block_unpack(const struct wal_block *block, const uint8_t *bytes, uint8_t *ids_room,
                      uint8_t *fields_room, const uint8_t **ids, const uint8_t **fields)
{
    const uint8_t *payload = bytes + sizeof *block;
    return column_unpack(payload, block->ids_stored, block->ids_size, ids_room, ids) &&
           column_unpack(payload + block->ids_stored, block->fields_stored, block->fields_size,
                         fields_room, fields);
}
