/* Which shop the target is of; what it holds, checked; the label that says so; and the removal of
 * what a start from it does not need, which comes last: whatever ends a run before, nothing is
 * missing. */
#include "cli/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/shop.h"
#include "snapshot/image.h"
#include "wal/segment.h"

enum backup_step backup_take_stock(struct backup *backup)
{
    struct disk *disk = backup->target;
    struct backup_holding *holding = &backup->held;
    struct wal_reader reader;
    struct wal_segment *segments;
    enum wal_read read;
    *holding = (struct backup_holding){.snapshots = {.disk = disk}};
    if (!loader_list(&holding->snapshots))
        return backup_fail(backup, "%s", holding->snapshots.error);
    int count = wal_segments_list(disk, WAL_IN_DATA, &segments);
    if (count < 0)
        return backup_fail_at(backup, disk, "", count);
    holding->segment_last = count > 0 ? segments[count - 1].number : 0;
    free(segments);
    if (wal_reader_init(&reader, disk) != 0)
        return backup_fail(backup, "%s", reader.error);
    reader.ignores_note = true; /* it may describe the end of an earlier run */
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        if (holding->log_first == 0)
            holding->log_first = reader.block.seq_first;
        progress_show(&backup->progress, "verifying the log", reader.bytes_read,
                      reader.bytes_total);
    }
    holding->log = reader.end;
    if (read == WAL_READ_END && holding->log_first > 0)
        holding->note = wal_reader_note(&reader);
    enum backup_step step =
        read == WAL_READ_END ? STEP_DONE : backup_fail(backup, "%s", reader.error);
    if (reader.is_archive)
        step = backup_fail(backup, "%s is an archive", disk_path(disk));
    wal_reader_deinit(&reader);
    return step;
}

uint64_t backup_newest(const struct backup_holding *holding)
{
    return holding->snapshots.seq_count > 0 ? holding->snapshots.seqs[0] : 0;
}

uint64_t backup_last_seq(const struct backup_holding *holding)
{
    return holding->log_first > 0 ? holding->log.seq_next - 1 : backup_newest(holding);
}

uint64_t backup_size_of(struct disk *disk, const char *name)
{
    struct disk_entry *entries;
    int count = disk_list_all(disk, &entries);
    uint64_t size_bytes = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i].name, name) == 0)
            size_bytes = entries[i].size_bytes;
    }
    free(entries);
    return size_bytes;
}

enum backup_step backup_note_write(struct backup *backup)
{
    struct wal_note *note = &backup->held.note;
    note->flags = WAL_NOTE_COPY;
    int result = wal_note_write(backup->target, note);
    backup->must_note = false;
    return result < 0 ? backup_fail_at(backup, backup->target, WAL_NOTE_NAME, result) : STEP_DONE;
}

/* What the backup's shop.till should say, of what the source's says; the zero id: there is none. */
static enum backup_step shop_of_source(struct backup *backup, struct shop *shop)
{
    char error[SHOP_ERROR_SIZE];
    struct shop found;
    int result = shop_read(backup->source, &found);
    *shop = (struct shop){0};
    if (result == -ENOENT)
        return STEP_DONE;
    if (result < 0) {
        (void)shop_explain(backup->source, result, error);
        return backup_fail(backup, "%s", error);
    }
    if ((found.flags & SHOP_FORKED) != 0)
        return backup_fail(backup,
                           "%s is about to go back to seq %" PRIu64
                           ", which its next start does: back it "
                           "up after that",
                           backup->data, found.fork_seq);
    shop->shop = found.shop;
    shop->epoch_sealed = found.epoch_sealed;
    return STEP_DONE;
}

enum backup_step backup_shop_copy(struct backup *backup)
{
    char error[SHOP_ERROR_SIZE];
    struct shop shop;
    struct shop held;
    enum backup_step step = shop_of_source(backup, &shop);
    if (step != STEP_DONE || id_is_zero(shop.shop))
        return step;
    int result = shop_read(backup->target, &held);
    if (result < 0 && result != -ENOENT) {
        (void)shop_explain(backup->target, result, error);
        return backup_fail(backup, "%s", error);
    }
    if (result == 0 && !id_equal(held.shop, shop.shop))
        return backup_fail(backup,
                           "the backup in %s is of another shop than %s. Make a new backup in an "
                           "empty folder",
                           backup->path, backup->data);
    if (result == 0 && held.epoch_sealed == shop.epoch_sealed)
        return STEP_DONE;
    result = shop_write(backup->target, &shop);
    return result < 0 ? backup_fail_at(backup, backup->target, SHOP_NAME, result) : STEP_DONE;
}

static int partial_discard(struct backup *backup, const char *name)
{
    char stem[DISK_NAME_SIZE];
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(name) - strlen(DISK_PARTIAL)), name);
    return disk_partial_discard(backup->target, stem);
}

/* Removes older snapshots, and partial files. */
static enum backup_step remove_older(struct backup *backup)
{
    const struct backup_holding *held = &backup->held;
    struct disk_entry *entries;
    int count = disk_list_all(backup->target, &entries);
    enum backup_step step =
        count < 0 ? backup_fail_at(backup, backup->target, "", count) : STEP_DONE;
    for (int i = 0; step == STEP_DONE && i < count; i++) {
        const char *name = entries[i].name;
        uint64_t seq = image_name_seq(name);
        bool is_partial = disk_name_is_partial(name);
        if (!is_partial && (seq == 0 || seq == backup_newest(held)))
            continue;
        int result = is_partial ? partial_discard(backup, name) : disk_remove(backup->target, name);
        if (result < 0)
            step = backup_fail_at(backup, backup->target, name, result);
    }
    free(entries);
    return step;
}

/* How many of the target's segments end before the newest snapshot; the caller frees *segments. */
static enum backup_step count_older(struct backup *backup, struct wal_segment **segments,
                                    int *count, int *older_count)
{
    *older_count = 0;
    *count = wal_segments_list(backup->target, WAL_IN_DATA, segments);
    if (*count < 0)
        return backup_fail_at(backup, backup->target, "", *count);
    for (int i = 1; i < *count; i++) {
        struct wal_block block = {0};
        int result = wal_segment_begin(backup->target, (*segments)[i].name, backup->piece, &block);
        if (result < 0)
            return backup_fail_at(backup, backup->target, (*segments)[i].name, result);
        if (block.seq_first > backup_newest(&backup->held) + 1)
            break;
        *older_count = i;
    }
    return STEP_DONE;
}

/* Removes the segments that end before the newest snapshot, oldest first. */
static enum backup_step remove_log(struct backup *backup)
{
    struct wal_segment *segments;
    int count;
    int older_count;
    enum backup_step step = count_older(backup, &segments, &count, &older_count);
    for (int i = 0; step == STEP_DONE && i < older_count; i++) {
        int result = disk_remove(backup->target, segments[i].name);
        if (result < 0)
            step = backup_fail_at(backup, backup->target, segments[i].name, result);
    }
    free(segments);
    return step;
}

/* The label: names, sizes and checksums of what a start from the newest snapshot needs. */
static enum backup_step write_label(struct backup *backup)
{
    const struct backup_holding *held = &backup->held;
    struct backup_label *label = &backup->label;
    struct wal_segment *segments;
    int count;
    int older_count;
    enum backup_step step = count_older(backup, &segments, &count, &older_count);
    backup_label_close(label);
    label->files = step == STEP_DONE ? calloc((size_t)count + 1, sizeof *label->files) : NULL;
    if (step == STEP_DONE && label->files == NULL)
        step = backup_fail(backup, "not enough memory");
    if (step == STEP_DONE) {
        if (backup_newest(held) > 0)
            image_name(backup_newest(held), label->files[label->file_count++].name);
        for (int i = older_count; i < count; i++)
            strcpy(label->files[label->file_count++].name, segments[i].name);
        label->seq = backup_last_seq(held);
        label->epoch = held->log_first > 0 ? held->log.epoch : backup->epoch;
        if (!backup_label_complete(label))
            step = backup_fail(backup, "%s", label->error);
    }
    free(segments);
    return step;
}

enum backup_step backup_finish(struct backup *backup)
{
    struct backup_holding *held = &backup->held;
    enum backup_step step = backup_take_stock(backup);
    char name[DISK_NAME_SIZE];
    image_name(backup_newest(held), name);
    if (step == STEP_DONE && backup_newest(held) > 0)
        step = backup_image_check(backup, name, backup_newest(held));
    if (step == STEP_DONE && held->log_first > 0)
        step = backup_note_write(backup);
    if (step == STEP_DONE)
        step = write_label(backup);
    if (step == STEP_DONE)
        step = remove_older(backup);
    if (step == STEP_DONE)
        step = remove_log(backup);
    return step;
}
