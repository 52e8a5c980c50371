/* Copies the log block by block, into segments of the target's own: their first block continues
 * what the target has. Each segment is published when it is full, or when the source has no more.
 */
#include "cli/backup.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "wal/segment.h"

static enum backup_step segment_write(struct backup *backup)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(backup->segment, name);
    if (backup->fill_bytes == 0)
        return STEP_DONE;
    int result = disk_file_write(backup->target, backup->file, backup->offset, backup->piece,
                                 backup->fill_bytes);
    if (result < 0)
        return backup_fail_at(backup, backup->target, name, result);
    backup->offset += backup->fill_bytes;
    backup_pace(backup, backup->fill_bytes);
    backup->fill_bytes = 0;
    return STEP_DONE;
}

/* A complete backup stays complete while its log grows, wherever this run is interrupted: so its
 * note must cover a block before the block is in the folder. */
static void note_allow(struct backup *backup, const struct wal_block *block)
{
    struct wal_note *note = &backup->held.note;
    if (note->segment == 0)
        *note = (struct wal_note){
            .segment = backup->segment, .seq_first = block->seq_first, .previous = block->previous};
    if (note->epoch < block->epoch) {
        note->epoch = block->epoch;
        backup->must_note = true;
    }
}

static enum backup_step segment_publish(struct backup *backup)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(backup->segment, name);
    if (backup->file < 0)
        return STEP_DONE;
    enum backup_step step = segment_write(backup);
    if (step == STEP_DONE && backup->must_note)
        step = backup_note_write(backup);
    if (step == STEP_DONE) {
        int result = disk_partial_publish(backup->target, backup->file, name, name);
        if (result < 0)
            step = backup_fail_at(backup, backup->target, name, result);
    }
    disk_file_close(backup->target, backup->file);
    backup->file = -1;
    return step;
}

/* Appends a block to the target's last segment that this run began. */
static enum backup_step block_copy(struct backup *backup, const struct wal_reader *reader)
{
    uint32_t size = reader->block.block_size;
    enum backup_step step = STEP_DONE;
    if (backup->offset + backup->fill_bytes + size > WAL_SEGMENT_SIZE)
        step = segment_publish(backup);
    else if (backup->fill_bytes + size > BACKUP_PIECE_SIZE)
        step = segment_write(backup);
    if (step != STEP_DONE)
        return step;
    if (backup->file < 0) {
        char name[DISK_NAME_SIZE];
        wal_segment_name(++backup->segment, name);
        backup->file = disk_partial_create(backup->target, name);
        backup->offset = backup->fill_bytes = 0;
        if (backup->file < 0)
            return backup_fail_at(backup, backup->target, name, backup->file);
    }
    note_allow(backup, &reader->block);
    memcpy(backup->piece + backup->fill_bytes, reader->image, size);
    backup->fill_bytes += size;
    return STEP_DONE;
}

/* Can this block follow what the target has, which ends at seq? */
static enum backup_step block_follows(struct backup *backup, const struct wal_reader *reader,
                                      uint64_t seq)
{
    const struct backup_holding *held = &backup->held;
    const struct wal_block *block = &reader->block;
    char name[DISK_NAME_SIZE];
    wal_segment_name(reader->end.segment, name);
    bool has_log = held->log_first > 0;
    if (block->seq_first > seq + 1) {
        enum backup_step step = backup_fail(
            backup,
            "the backup in %s ends at seq %" PRIu64 ", and the log goes on at %" PRIu64
            " in %s/%s: what lies between is not there any more. Make a new backup in an "
            "empty folder",
            backup->path, seq, block->seq_first, backup->data, name);
        return backup->is_new ? backup_again(step) : step;
    }
    if (has_log && (block->seq_first != seq + 1 || block->previous != held->log.previous))
        return backup_fail(backup,
                           "the backup in %s is of another history than %s: they differ after seq "
                           "%" PRIu64 ". Make a new backup in an empty folder",
                           backup->path, backup->data, seq);
    return STEP_DONE;
}

/* A block without commands is copied as well if it comes next in the target's log, because the
 * block after it is chained to it. */
static bool leads_on(const struct backup *backup, const struct wal_block *block, uint64_t seq)
{
    return backup->held.log_first > 0 && block->command_count == 0 && block->seq_first == seq + 1 &&
           block->previous == backup->held.log.previous;
}

enum backup_step backup_log_copy(struct backup *backup, uint64_t seq, uint64_t seq_durable)
{
    struct wal_reader reader;
    enum backup_step step = STEP_DONE;
    enum wal_read read = WAL_READ_ERROR;
    bool has_copied = false;
    backup->file = -1;
    backup->segment = backup->held.segment_last;
    if (wal_reader_init(&reader, backup->source) != 0)
        return backup_fail(backup, "%s", reader.error);
    reader.seq_known = seq;
    while (step == STEP_DONE && (read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        if (reader.fields == NULL && !leads_on(backup, &reader.block, seq))
            continue;
        if (!has_copied)
            step = block_follows(backup, &reader, seq);
        if (step == STEP_DONE)
            step = block_copy(backup, &reader);
        has_copied = true;
        progress_show(&backup->progress, "copying the log", reader.bytes_read, reader.bytes_total);
    }
    if (step == STEP_DONE && read != WAL_READ_END)
        step = backup_again(backup_fail(backup, "%s", reader.error));
    else if (step == STEP_DONE && reader.end.seq_next <= seq_durable)
        step = backup_again(backup_fail(backup,
                                        "the log in %s ends at seq %" PRIu64 ", and had %" PRIu64,
                                        backup->data, reader.end.seq_next - 1, seq_durable));
    else if (step == STEP_DONE && !has_copied && reader.end.seq_next == seq + 1 &&
             backup->held.log_first > 0 && reader.end.previous != backup->held.log.previous)
        step = backup_fail(
            backup, "the backup in %s is of another history than %s: they differ at seq %" PRIu64,
            backup->path, backup->data, seq);
    enum backup_step published = segment_publish(backup);
    wal_reader_deinit(&reader);
    return step == STEP_DONE ? published : step;
}
