/* Copies one snapshot of the source: on from the byte where an earlier run was interrupted, if what
 * it left is of the same snapshot. The copy is verified under its partial name before it counts. */
#include "cli/backup.h"

#include <stdio.h>
#include <string.h>

#include "snapshot/reader.h"

enum backup_step backup_image_check(struct backup *backup, const char *name, uint64_t seq)
{
    struct image_reader reader;
    enum image_read read = image_reader_open(&reader, backup->target, name, seq);
    while (read == IMAGE_READ_CHUNK) {
        read = image_reader_next(&reader);
        progress_show(&backup->progress, "verifying the snapshot", reader.bytes_read,
                      reader.header.fixed.raw_bytes);
    }
    enum backup_step step =
        read == IMAGE_READ_END ? STEP_DONE : backup_fail(backup, "%s", reader.error);
    backup->epoch = reader.header.fixed.epoch;
    image_reader_close(&reader);
    return step;
}

/* How many bytes of the source's snapshot the partial file has already; 0 when it is of another
 * snapshot. */
static uint64_t image_resume(struct backup *backup, int from, int to, uint64_t size_bytes)
{
    uint8_t *header = backup->piece + BACKUP_PIECE_SIZE / 2;
    if (size_bytes < IMAGE_HEADER_SIZE ||
        disk_file_read(backup->source, from, 0, backup->piece, IMAGE_HEADER_SIZE) !=
            IMAGE_HEADER_SIZE ||
        disk_file_read(backup->target, to, 0, header, IMAGE_HEADER_SIZE) != IMAGE_HEADER_SIZE ||
        memcmp(backup->piece, header, IMAGE_HEADER_SIZE) != 0)
        return 0;
    return size_bytes;
}

static enum backup_step image_copy_from(struct backup *backup, int from, int to, const char *name,
                                        uint64_t offset, uint64_t size_bytes)
{
    for (;;) {
        int64_t size =
            disk_file_read(backup->source, from, offset, backup->piece, BACKUP_PIECE_SIZE);
        if (size < 0)
            return backup_fail_at(backup, backup->source, name, size);
        if (size == 0)
            return STEP_DONE;
        if (size % WAL_ALIGN != 0)
            return backup_fail(backup, "%s/%s is cut short", disk_path(backup->source), name);
        int result = disk_file_write(backup->target, to, offset, backup->piece, (size_t)size);
        if (result < 0)
            return backup_fail_at(backup, backup->target, name, result);
        offset += (uint64_t)size;
        backup_pace(backup, (uint64_t)size);
        progress_show(&backup->progress, "copying the snapshot", offset, size_bytes);
    }
}

/* A damaged copy is discarded. What an earlier run left of it may be the reason; if there was such
 * a part, the snapshot is copied again from its first byte. */
static enum backup_step copy_check(struct backup *backup, const char *name, uint64_t seq,
                                   bool is_resumed)
{
    char partial[DISK_NAME_SIZE + sizeof DISK_PARTIAL];
    snprintf(partial, sizeof partial, "%s" DISK_PARTIAL, name);
    enum backup_step step = backup_image_check(backup, partial, seq);
    if (step == STEP_DONE)
        return STEP_DONE;
    int result = disk_partial_discard(backup->target, name);
    if (result < 0)
        return backup_fail_at(backup, backup->target, partial, result);
    return is_resumed ? backup_again(step) : step;
}

enum backup_step backup_image_copy(struct backup *backup, uint64_t seq)
{
    char name[DISK_NAME_SIZE];
    uint64_t held_bytes = 0;
    uint64_t offset = 0;
    image_name(seq, name);
    int from = disk_file_open(backup->source, name, false);
    if (from < 0)
        return backup_again(backup_fail_at(backup, backup->source, name, from));
    int to = disk_partial_resume(backup->target, name, &held_bytes);
    enum backup_step step = to < 0 ? backup_fail_at(backup, backup->target, name, to) : STEP_DONE;
    if (step == STEP_DONE) {
        offset = image_resume(backup, from, to, held_bytes);
        step =
            image_copy_from(backup, from, to, name, offset, backup_size_of(backup->source, name));
    }
    if (step == STEP_DONE)
        step = copy_check(backup, name, seq, offset > 0);
    if (step == STEP_DONE) {
        int result = disk_partial_publish(backup->target, to, name, name);
        if (result < 0)
            step = backup_fail_at(backup, backup->target, name, result);
    }
    if (to >= 0)
        disk_file_close(backup->target, to);
    disk_file_close(backup->source, from);
    return step;
}
