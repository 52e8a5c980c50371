/* Copying one closed segment to the archive, in a lane of the io.
 *
 * Good path: the segment is read in pieces, each of whole blocks; a block is copied when its
 * checksum holds, its seq is due and it is chained to the block before. After the last one, the
 * partial file is published under the name of its seqs, and then the label that goes up to it.
 *
 * What can fail: reading the log, or a block that is not the one due: the segment is damaged at
 * rest. Nothing of it is archived or released. Writing, for want of room: the oldest archived
 * segment makes room, as if the limit of bytes had been reached. Any other failure of the archive's
 * disk. After each of them the copy of this segment begins again.
 *
 * What must always hold: a published file has exactly the blocks from its first to its last seq. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "wal/archive_state.h"

static const char partial[] = "log";

static int fail_at(struct archive_copy *copy, int result, const char *doing)
{
    return archive_fail(copy->error, result, "the archive %s: %s: %s", disk_path(copy->folder),
                        doing, strerror(-result));
}

void archive_copy_close(struct archive_copy *copy)
{
    if (copy->from >= 0)
        disk_file_close(copy->log, copy->from);
    if (copy->to >= 0)
        disk_file_close(copy->folder, copy->to);
    copy->from = copy->to = -1;
}

static int damaged(struct archive_copy *copy, const char *name, uint64_t offset, uint64_t seq)
{
    return archive_fail(copy->error, -EIO,
                        "%s/%s is damaged at offset %" PRIu64 ", seq %" PRIu64
                        ", and so can be neither archived nor released; what it holds is in the "
                        "snapshots, but take a backup, and see to the disk",
                        disk_path(copy->log), name, offset, seq);
}

/* Finds the checksum of the segment's last block: the first block of the next segment names it. */
static int find_end(struct archive_copy *copy)
{
    char name[DISK_NAME_SIZE];
    struct wal_block block;
    wal_segment_name(copy->closed.number + 1, name);
    int file = disk_file_open(copy->log, name, false);
    int64_t size = file < 0 ? file : 0;
    if (file >= 0) {
        size = disk_file_read(copy->log, file, 0, copy->piece, WAL_BLOCK_SIZE_MAX);
        disk_file_close(copy->log, file);
    }
    if (size < 0)
        return archive_fail(copy->error, (int)size, "%s/%s cannot be read for the archive: %s",
                            disk_path(copy->log), name, strerror((int)-size));
    if (size < WAL_ALIGN || !wal_block_read(copy->piece, &block) || block.block_size > size ||
        !wal_block_verify(&block, copy->piece) || block.seq_first != copy->closed.seq_last + 1)
        return damaged(copy, name, 0, copy->closed.seq_last + 1);
    copy->end = block.previous;
    return 0;
}

static bool is_copied(const struct archive_copy *copy)
{
    return copy->seq_due > copy->closed.seq_last && copy->previous == copy->end;
}

static int files_open(struct archive_copy *copy, const char *name)
{
    int found = find_end(copy);
    if (found < 0)
        return found;
    copy->from = disk_file_open(copy->log, name, false);
    if (copy->from < 0)
        return archive_fail(copy->error, copy->from, "%s/%s cannot be opened for the archive: %s",
                            disk_path(copy->log), name, strerror(-copy->from));
    int result = copy->is_label_due ? archive_label_change(copy, &copy->label) : 0;
    if (result < 0)
        return fail_at(copy, result, "its label cannot be published");
    copy->to = disk_partial_create(copy->folder, partial);
    return copy->to < 0 ? fail_at(copy, copy->to, "no file can be made") : 0;
}

/* How many bytes of the piece are blocks that continue the copy; 0 when the first block does not.
 * The last block of a segment may have no command. */
static uint32_t blocks_due(struct archive_copy *copy, uint32_t size)
{
    uint32_t offset = 0;
    while (!is_copied(copy) && size - offset >= WAL_ALIGN) {
        struct wal_block block;
        const uint8_t *bytes = copy->piece + offset;
        if (!wal_block_read(bytes, &block) || block.block_size > size - offset ||
            !wal_block_verify(&block, bytes) || block.seq_first != copy->seq_due ||
            (copy->previous != 0 && block.previous != copy->previous))
            break;
        copy->seq_due += block.command_count;
        copy->previous = block.checksum;
        copy->time_us = block.time_us;
        copy->epoch = block.epoch;
        offset += block.block_size;
    }
    return offset;
}

static int piece_write(struct archive_copy *copy, uint32_t size)
{
    int result = disk_file_write(copy->folder, copy->to, copy->offset, copy->piece, size);
    while (disk_is_full(result)) {
        uint32_t removed_count = copy->removed_count;
        int removed = archive_label_advance(copy, copy->label, 1);
        if (removed < 0)
            return fail_at(copy, removed, "the oldest segment cannot make room");
        if (copy->removed_count == removed_count)
            break;
        result = disk_file_write(copy->folder, copy->to, copy->offset, copy->piece, size);
    }
    return result < 0 ? fail_at(copy, result, "a segment cannot be written") : 0;
}

static int publish(struct archive_copy *copy)
{
    char name[DISK_NAME_SIZE];
    struct archive_label label = copy->label;
    wal_archived_name(copy->closed.seq_first, copy->closed.seq_last, name);
    int result = disk_partial_publish(copy->folder, copy->to, partial, name);
    if (result < 0)
        return fail_at(copy, result, "a segment cannot be published");
    archive_copy_close(copy);
    if (label.seq_first > label.seq_last)
        label.seq_first = copy->closed.seq_first;
    label.seq_last = copy->closed.seq_last;
    label.epoch = copy->epoch;
    label.time_us = copy->time_us;
    label.last_block = copy->previous;
    result = archive_label_advance(copy, label, 0);
    copy->is_published = copy->label.seq_last == copy->closed.seq_last;
    if (!copy->is_published)
        return fail_at(copy, result, "its label cannot be published");
    return result < 0 ? fail_at(copy, result, "an old segment cannot be removed") : 0;
}

static int copy_piece(struct archive_copy *copy, const char *name)
{
    int result = copy->from < 0 ? files_open(copy, name) : 0;
    if (result < 0)
        return result;
    int64_t size =
        disk_file_read(copy->log, copy->from, copy->offset, copy->piece, ARCHIVE_PIECE_SIZE);
    if (size < 0)
        return archive_fail(copy->error, (int)size, "%s/%s cannot be read for the archive: %s",
                            disk_path(copy->log), name, strerror((int)-size));
    uint32_t due = blocks_due(copy, (uint32_t)size);
    if (due == 0)
        return damaged(copy, name, copy->offset, copy->seq_due);
    result = piece_write(copy, due);
    copy->offset += due;
    if (result == 0 && is_copied(copy))
        result = publish(copy);
    return result;
}

int archive_copy_work(void *context)
{
    struct archive_copy *copy = context;
    char name[DISK_NAME_SIZE];
    wal_segment_name(copy->closed.number, name);
    int result = copy_piece(copy, name);
    if (result < 0)
        archive_copy_close(copy);
    return result;
}
