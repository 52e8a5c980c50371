/* Good path: each block stands right behind the one before, its checksum holds, it names that one's
 * checksum, its seq follows, and its epoch is not an older one; the last one ends where the file
 * ends.
 *
 * What can fail: reading the disk; and what is not the next block is damage, unless there may be
 * something else behind the last one. Nothing is believed before its checksum holds. */
#include "wal/blocks.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/schema.h"

enum { WINDOW_SIZE = 1 << 20 };

struct wal_blocks_file {
    alignas(WAL_ALIGN) uint8_t window[WINDOW_SIZE];
    uint8_t ids_room[WAL_COLUMN_SIZE_MAX];
    uint8_t fields_room[WAL_COLUMN_SIZE_MAX];
    struct disk *disk;
    char name[DISK_NAME_SIZE];
    int file;
    bool has_room;
    bool begun;      /* a block was read: the chain is known */
    uint64_t offset; /* of the next block */
    uint64_t window_offset;
    uint64_t window_size;
};

/* Always false. */
#define fail(blocks, ...)                                                                          \
    error_set_file((blocks)->error, sizeof(blocks)->error, disk_path((blocks)->file->disk),        \
                   (blocks)->file->name, __VA_ARGS__)

int wal_blocks_open(struct wal_blocks *blocks, struct disk *disk, const char *name, bool has_room)
{
    struct wal_blocks_file *file = aligned_alloc(WAL_ALIGN, sizeof *file);
    *blocks = (struct wal_blocks){.file = file};
    if (file == NULL) {
        (void)error_set(blocks->error, sizeof blocks->error, "there is not enough memory");
        return -ENOMEM;
    }
    file->disk = disk;
    (void)error_set(file->name, sizeof file->name, "%s", name);
    file->has_room = has_room;
    file->begun = false;
    file->offset = file->window_offset = file->window_size = 0;
    file->file = disk_file_open(disk, name, false);
    if (file->file < 0)
        (void)fail(blocks, "%s", strerror(-file->file));
    return file->file < 0 ? file->file : 0;
}

void wal_blocks_close(struct wal_blocks *blocks)
{
    if (blocks->file != NULL && blocks->file->file >= 0)
        disk_file_close(blocks->file->disk, blocks->file->file);
    free(blocks->file);
    blocks->file = NULL;
}

/* How many bytes there are at the next block's place, as many as it may have if the file does; or
 * -errno. */
static int64_t window_fill(struct wal_blocks_file *file)
{
    uint64_t passed = file->offset - file->window_offset;
    if (file->window_size < passed + WAL_BLOCK_SIZE_MAX) {
        int64_t size =
            disk_file_read(file->disk, file->file, file->offset, file->window, WINDOW_SIZE);
        file->window_offset = file->offset;
        file->window_size = size < 0 ? 0 : (uint64_t)size;
        return size;
    }
    return (int64_t)(file->window_size - passed);
}

/* Is it the next block of the chain? */
static bool follows(const struct wal_blocks *blocks, const struct wal_block *block)
{
    const struct wal_block *before = &blocks->block;
    return !blocks->file->begun ||
           (block->previous == before->checksum && block->epoch >= before->epoch &&
            block->seq_first == before->seq_first + before->command_count);
}

static enum wal_read hand_out(struct wal_blocks *blocks, const struct wal_block *block,
                              const uint8_t *bytes)
{
    struct wal_blocks_file *file = blocks->file;
    if (block->schema > SCHEMA) {
        (void)fail(blocks, "offset %" PRIu64 ", seq %" PRIu64 ": " SCHEMA_NEWER_TEXT, file->offset,
                   block->seq_first, block->schema, SCHEMA);
        return WAL_READ_ERROR;
    }
    if (!wal_block_unpack(block, bytes, file->ids_room, file->fields_room, &blocks->ids,
                          &blocks->fields)) {
        (void)fail(blocks,
                   "offset %" PRIu64 ", seq %" PRIu64
                   ": the block's checksum holds but its content does not decompress",
                   file->offset, block->seq_first);
        return WAL_READ_DAMAGE;
    }
    blocks->block = *block;
    blocks->image = bytes;
    file->begun = true;
    file->offset += block->block_size;
    return WAL_READ_BLOCK;
}

enum wal_read wal_blocks_next(struct wal_blocks *blocks)
{
    struct wal_blocks_file *file = blocks->file;
    struct wal_block block = {0};
    int64_t size = window_fill(file);
    if (size < 0) {
        (void)fail(blocks, "it cannot be read at offset %" PRIu64 ": %s", file->offset,
                   strerror((int)-size));
        return WAL_READ_ERROR;
    }
    if (size == 0)
        return WAL_READ_END;
    const uint8_t *bytes = file->window + (file->offset - file->window_offset);
    if (size >= WAL_ALIGN && wal_block_read(bytes, &block) && block.block_size <= size &&
        wal_block_verify(&block, bytes) && follows(blocks, &block))
        return hand_out(blocks, &block, bytes);
    if (file->has_room && file->begun)
        return WAL_READ_END;
    if (block.magic == WAL_BLOCK_MAGIC && block.version != WAL_BLOCK_VERSION &&
        block.version <= WAL_BLOCK_VERSION_MAX)
        (void)fail(blocks,
                   "offset %" PRIu64 ": written in format version %" PRIu32
                   "; this till reads version %d",
                   file->offset, block.version, WAL_BLOCK_VERSION);
    else if (file->begun)
        (void)fail(blocks,
                   "it is damaged at offset %" PRIu64 ", behind seq %" PRIu64
                   ": there is no block that follows, and not the end of the file",
                   file->offset, blocks->block.seq_first + blocks->block.command_count - 1);
    else
        (void)fail(blocks, "no block of a log stands at its beginning");
    return WAL_READ_DAMAGE;
}
