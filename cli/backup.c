/* `till backup`: copies what a shop needs to start from, the newest snapshot and the log after it,
 * out of the data folder of a running server (or of a stopped one).
 *
 * It reads the files that the server writes, as a recovery would, and asks the server nothing: no
 * order waits for a backup, but for its share of the disk, which --rate bounds. What it makes has
 * the files of a data folder, and a label that names them (snapshot/backup_label.h).
 *
 *   target                            then
 *   empty, or not there               label it unfinished; then go on as with one
 *   an unfinished backup              copy the snapshot, verify it, publish it; then the log
 *   a complete one                    check it; append the log that came since, in files of its
 *                                     own, then copy the newest snapshot
 *   of another history, or too old    refuse: nothing is removed that was not proven to be older
 *   anything else                     refuse, and change nothing
 *
 * When all is there and was read again, the label is published that names it, and only then goes
 * what lies before the newest snapshot. So a first backup is unfinished until it is complete, and
 * a later one complete at each moment, as the earlier one at first. Whatever ends it on the way,
 * the same command goes on from there: snapshots from the byte where they were left, the log from
 * the last file.
 *
 * What can fail: the server releases segments while they are read, and writes over them. Then the
 * source's log seems damaged, or to end before the snapshot that it was durable up to: it is read
 * again, with a newer snapshot if need be, some times. All that is copied is read again from the
 * target before it counts. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "snapshot/backup_label.h"
#include "snapshot/loader.h"
#include "snapshot/reader.h"
#include "wal/reader.h"
#include "wal/segment.h"

enum {
    PIECE_SIZE = 1 << 20,
    TRIES_MAX = 10,
    TRY_EVERY_MS = 100,
};

enum step { STEP_DONE, STEP_AGAIN, STEP_FAILED };

/* What the target holds. */
struct holding {
    struct loader snapshots; /* the newest first */
    struct wal_end log;      /* its end; segment 0: there is none */
    struct wal_note note;    /* what it should note of its log; segment 0: it has none */
    uint64_t log_first;      /* 0: no block */
    uint32_t segment_last;   /* number of the last file; 0: none */
};

struct backup {
    const char *data;
    const char *path;
    uint32_t rate_mib;
    bool is_new; /* this run began the target */
    struct disk *source;
    struct disk *target;
    struct holding held;
    struct backup_label label;  /* of the target */
    struct backup_label origin; /* of the source, which may be a backup too */
    bool is_of_backup;
    uint64_t epoch; /* of the newest snapshot in the target */
    struct progress progress;
    uint8_t *piece;
    uint64_t bytes_copied;
    uint64_t paced_from_us; /* when the first of them was */
    /* The segment being written in the target. */
    int file; /* -1: none */
    uint32_t segment;
    uint64_t offset;
    uint32_t fill_bytes; /* of the piece, not written yet */
    bool must_note;      /* the target's note does not allow for it yet */
    char error[WAL_ERROR_SIZE];
};

/* Always STEP_FAILED. */
#define fail(backup, ...)                                                                          \
    ((void)error_set((backup)->error, sizeof(backup)->error, __VA_ARGS__), (enum step)STEP_FAILED)

static enum step fail_at(struct backup *backup, const struct disk *disk, const char *name,
                         int64_t result)
{
    return fail(backup, "%s/%s: %s", disk_path(disk), name, strerror((int)-result));
}

/* A failure that a server may have caused which goes on meanwhile. */
static enum step again(enum step failed)
{
    return failed == STEP_FAILED ? STEP_AGAIN : failed;
}

/* Waits until so many bytes are due at the rate. */
static void pace(struct backup *backup, uint64_t bytes)
{
    uint64_t now_us = clock_monotonic_us();
    if (backup->bytes_copied == 0)
        backup->paced_from_us = now_us;
    backup->bytes_copied += bytes;
    if (backup->rate_mib == 0)
        return;
    double due_s = (double)backup->bytes_copied / ((double)backup->rate_mib * (1 << 20));
    double passed_s = (double)(now_us - backup->paced_from_us) / (double)US_PER_SECOND;
    if (due_s <= passed_s)
        return;
    double wait_s = due_s - passed_s;
    const struct timespec wait = {.tv_sec = (time_t)wait_s,
                                  .tv_nsec = (long)((wait_s - (double)(time_t)wait_s) * 1e9)};
    nanosleep(&wait, NULL);
}

/* Snapshots. */

static enum step image_check(struct backup *backup, const char *name, uint64_t seq)
{
    struct image_reader reader;
    enum image_read read = image_reader_open(&reader, backup->target, name, seq);
    while (read == IMAGE_READ_CHUNK) {
        read = image_reader_next(&reader);
        progress_show(&backup->progress, "verifying the snapshot", reader.bytes_read,
                      reader.header.fixed.raw_bytes);
    }
    enum step step = read == IMAGE_READ_END ? STEP_DONE : fail(backup, "%s", reader.error);
    backup->epoch = reader.header.fixed.epoch;
    image_reader_close(&reader);
    return step;
}

/* How much of the source's file the partial file has: none when it is of another image. */
static uint64_t image_resume(struct backup *backup, int from, int to, uint64_t size_bytes)
{
    uint8_t *header = backup->piece + PIECE_SIZE / 2;
    if (size_bytes < IMAGE_HEADER_SIZE ||
        disk_file_read(backup->source, from, 0, backup->piece, IMAGE_HEADER_SIZE) !=
            IMAGE_HEADER_SIZE ||
        disk_file_read(backup->target, to, 0, header, IMAGE_HEADER_SIZE) != IMAGE_HEADER_SIZE ||
        memcmp(backup->piece, header, IMAGE_HEADER_SIZE) != 0)
        return 0;
    return size_bytes;
}

static enum step image_copy_from(struct backup *backup, int from, int to, const char *name,
                                 uint64_t offset, uint64_t size_bytes)
{
    for (;;) {
        int64_t size = disk_file_read(backup->source, from, offset, backup->piece, PIECE_SIZE);
        if (size < 0)
            return fail_at(backup, backup->source, name, size);
        if (size == 0)
            return STEP_DONE;
        if (size % WAL_ALIGN != 0)
            return fail(backup, "%s/%s is cut short", disk_path(backup->source), name);
        int result = disk_file_write(backup->target, to, offset, backup->piece, (size_t)size);
        if (result < 0)
            return fail_at(backup, backup->target, name, result);
        offset += (uint64_t)size;
        pace(backup, (uint64_t)size);
        progress_show(&backup->progress, "copying the snapshot", offset, size_bytes);
    }
}

static uint64_t size_of(struct disk *disk, const char *name)
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

/* A damaged copy is not gone on with: what an earlier run left of it may be the reason, and then it
 * is copied anew. */
static enum step copy_check(struct backup *backup, const char *name, uint64_t seq, bool is_resumed)
{
    char partial[DISK_NAME_SIZE + sizeof DISK_PARTIAL];
    snprintf(partial, sizeof partial, "%s" DISK_PARTIAL, name);
    enum step step = image_check(backup, partial, seq);
    if (step == STEP_DONE)
        return STEP_DONE;
    int result = disk_partial_discard(backup->target, name);
    if (result < 0)
        return fail_at(backup, backup->target, partial, result);
    return is_resumed ? again(step) : step;
}

/* Copies the snapshot of that seq, goes on with what an earlier run left of it, and publishes it
 * once it is verified. */
static enum step image_copy(struct backup *backup, uint64_t seq)
{
    char name[DISK_NAME_SIZE];
    uint64_t held_bytes = 0;
    uint64_t offset = 0;
    image_name(seq, name);
    int from = disk_file_open(backup->source, name, false);
    if (from < 0)
        return again(fail_at(backup, backup->source, name, from));
    int to = disk_partial_resume(backup->target, name, &held_bytes);
    enum step step = to < 0 ? fail_at(backup, backup->target, name, to) : STEP_DONE;
    if (step == STEP_DONE) {
        offset = image_resume(backup, from, to, held_bytes);
        step = image_copy_from(backup, from, to, name, offset, size_of(backup->source, name));
    }
    if (step == STEP_DONE)
        step = copy_check(backup, name, seq, offset > 0);
    if (step == STEP_DONE) {
        int result = disk_partial_publish(backup->target, to, name, name);
        if (result < 0)
            step = fail_at(backup, backup->target, name, result);
    }
    if (to >= 0)
        disk_file_close(backup->target, to);
    disk_file_close(backup->source, from);
    return step;
}

/* The log. */

static enum step segment_write(struct backup *backup)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(backup->segment, name);
    if (backup->fill_bytes == 0)
        return STEP_DONE;
    int result = disk_file_write(backup->target, backup->file, backup->offset, backup->piece,
                                 backup->fill_bytes);
    if (result < 0)
        return fail_at(backup, backup->target, name, result);
    backup->offset += backup->fill_bytes;
    pace(backup, backup->fill_bytes);
    backup->fill_bytes = 0;
    return STEP_DONE;
}

/* The copy's own note of its log. */
static enum step note_write(struct backup *backup)
{
    struct wal_note *note = &backup->held.note;
    note->flags = WAL_NOTE_COPY;
    int result = wal_note_write(backup->target, note);
    backup->must_note = false;
    return result < 0 ? fail_at(backup, backup->target, WAL_NOTE_NAME, result) : STEP_DONE;
}

/* A backup that was complete stays one while its log grows, wherever this run ends: its note must
 * allow for a block before the block is there. */
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

static enum step segment_publish(struct backup *backup)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(backup->segment, name);
    if (backup->file < 0)
        return STEP_DONE;
    enum step step = segment_write(backup);
    if (step == STEP_DONE && backup->must_note)
        step = note_write(backup);
    if (step == STEP_DONE) {
        int result = disk_partial_publish(backup->target, backup->file, name, name);
        if (result < 0)
            step = fail_at(backup, backup->target, name, result);
    }
    disk_file_close(backup->target, backup->file);
    backup->file = -1;
    return step;
}

/* Appends a block to the target's last segment that this run began. */
static enum step block_copy(struct backup *backup, const struct wal_reader *reader)
{
    uint32_t size = reader->block.block_size;
    enum step step = STEP_DONE;
    if (backup->offset + backup->fill_bytes + size > WAL_SEGMENT_SIZE)
        step = segment_publish(backup);
    else if (backup->fill_bytes + size > PIECE_SIZE)
        step = segment_write(backup);
    if (step != STEP_DONE)
        return step;
    if (backup->file < 0) {
        char name[DISK_NAME_SIZE];
        wal_segment_name(++backup->segment, name);
        backup->file = disk_partial_create(backup->target, name);
        backup->offset = backup->fill_bytes = 0;
        if (backup->file < 0)
            return fail_at(backup, backup->target, name, backup->file);
    }
    note_allow(backup, &reader->block);
    memcpy(backup->piece + backup->fill_bytes, reader->image, size);
    backup->fill_bytes += size;
    return STEP_DONE;
}

/* May the block that was read follow what the target has, up to seq? */
static enum step block_follows(struct backup *backup, const struct wal_reader *reader, uint64_t seq)
{
    const struct holding *held = &backup->held;
    const struct wal_block *block = &reader->block;
    char name[DISK_NAME_SIZE];
    wal_segment_name(reader->end.segment, name);
    bool has_log = held->log_first > 0;
    if (block->seq_first > seq + 1) {
        enum step step =
            fail(backup,
                 "the backup in %s ends at seq %" PRIu64 ", and the log goes on at %" PRIu64
                 " in %s/%s: what lies between is not there any more. Make a new backup in an "
                 "empty folder",
                 backup->path, seq, block->seq_first, backup->data, name);
        return backup->is_new ? again(step) : step;
    }
    if (has_log && (block->seq_first != seq + 1 || block->previous != held->log.previous))
        return fail(backup,
                    "the backup in %s is of another history than %s: they differ after seq "
                    "%" PRIu64 ". Make a new backup in an empty folder",
                    backup->path, backup->data, seq);
    return STEP_DONE;
}

/* A block without a command that the target's log may go on with: the next one is chained to it. */
static bool leads_on(const struct backup *backup, const struct wal_block *block, uint64_t seq)
{
    return backup->held.log_first > 0 && block->command_count == 0 && block->seq_first == seq + 1 &&
           block->previous == backup->held.log.previous;
}

/* Copies the blocks that have something after seq, as far as the source's log goes now: that is
 * seq_durable at least. */
static enum step log_copy(struct backup *backup, uint64_t seq, uint64_t seq_durable)
{
    struct wal_reader reader;
    enum step step = STEP_DONE;
    enum wal_read read = WAL_READ_ERROR;
    bool has_copied = false;
    backup->file = -1;
    backup->segment = backup->held.segment_last;
    if (wal_reader_init(&reader, backup->source) != 0)
        return fail(backup, "%s", reader.error);
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
        step = again(fail(backup, "%s", reader.error));
    else if (step == STEP_DONE && reader.end.seq_next <= seq_durable)
        step = again(fail(backup, "the log in %s ends at seq %" PRIu64 ", and had %" PRIu64,
                          backup->data, reader.end.seq_next - 1, seq_durable));
    else if (step == STEP_DONE && !has_copied && reader.end.seq_next == seq + 1 &&
             backup->held.log_first > 0 && reader.end.previous != backup->held.log.previous)
        step = fail(backup,
                    "the backup in %s is of another history than %s: they differ at seq %" PRIu64,
                    backup->path, backup->data, seq);
    enum step published = segment_publish(backup);
    wal_reader_deinit(&reader);
    return step == STEP_DONE ? published : step;
}

/* What the target holds, each block of its log checked. */
static enum step take_stock(struct backup *backup)
{
    struct disk *disk = backup->target;
    struct holding *holding = &backup->held;
    struct wal_reader reader;
    struct wal_segment *segments;
    enum wal_read read;
    *holding = (struct holding){.snapshots = {.disk = disk}};
    if (!loader_list(&holding->snapshots))
        return fail(backup, "%s", holding->snapshots.error);
    int count = wal_segments_list(disk, WAL_IN_DATA, &segments);
    if (count < 0)
        return fail_at(backup, disk, "", count);
    holding->segment_last = count > 0 ? segments[count - 1].number : 0;
    free(segments);
    if (wal_reader_init(&reader, disk) != 0)
        return fail(backup, "%s", reader.error);
    reader.ignores_note = true; /* it is of the last run's end */
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        if (holding->log_first == 0)
            holding->log_first = reader.block.seq_first;
        progress_show(&backup->progress, "verifying the log", reader.bytes_read,
                      reader.bytes_total);
    }
    holding->log = reader.end;
    if (read == WAL_READ_END && holding->log_first > 0)
        holding->note = wal_reader_note(&reader);
    enum step step = read == WAL_READ_END ? STEP_DONE : fail(backup, "%s", reader.error);
    if (reader.is_archive)
        step = fail(backup, "%s is an archive", disk_path(disk));
    wal_reader_deinit(&reader);
    return step;
}

static uint64_t newest(const struct holding *holding)
{
    return holding->snapshots.seq_count > 0 ? holding->snapshots.seqs[0] : 0;
}

/* The last seq that a folder gives when it is started from. */
static uint64_t last_seq(const struct holding *holding)
{
    return holding->log_first > 0 ? holding->log.seq_next - 1 : newest(holding);
}

/* The snapshot of the source to copy: one that was half copied, if it is still there, else the
 * newest. */
static uint64_t choose_snapshot(struct backup *backup, const struct loader *source)
{
    char name[DISK_NAME_SIZE + sizeof DISK_PARTIAL];
    for (uint32_t i = 0; i < source->seq_count; i++) {
        image_name(source->seqs[i], name);
        strcat(name, DISK_PARTIAL);
        if (size_of(backup->target, name) > 0)
            return source->seqs[i];
    }
    return source->seq_count > 0 ? source->seqs[0] : 0;
}

static int partial_discard(struct backup *backup, const char *name)
{
    char stem[DISK_NAME_SIZE];
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(name) - strlen(DISK_PARTIAL)), name);
    return disk_partial_discard(backup->target, stem);
}

/* Removes the files that a start from the newest snapshot does not need, and what is half copied
 * of others. */
static enum step remove_older(struct backup *backup)
{
    const struct holding *held = &backup->held;
    struct disk_entry *entries;
    int count = disk_list_all(backup->target, &entries);
    enum step step = count < 0 ? fail_at(backup, backup->target, "", count) : STEP_DONE;
    for (int i = 0; step == STEP_DONE && i < count; i++) {
        const char *name = entries[i].name;
        uint64_t seq = image_name_seq(name);
        bool is_partial = disk_name_is_partial(name);
        if (!is_partial && (seq == 0 || seq == newest(held)))
            continue;
        int result = is_partial ? partial_discard(backup, name) : disk_remove(backup->target, name);
        if (result < 0)
            step = fail_at(backup, backup->target, name, result);
    }
    free(entries);
    return step;
}

/* How many of the target's segments end before the newest snapshot; *segments is the caller's to
 * free. */
static enum step count_older(struct backup *backup, struct wal_segment **segments, int *count,
                             int *older_count)
{
    *older_count = 0;
    *count = wal_segments_list(backup->target, WAL_IN_DATA, segments);
    if (*count < 0)
        return fail_at(backup, backup->target, "", *count);
    for (int i = 1; i < *count; i++) {
        struct wal_block block = {0};
        int result = wal_segment_begin(backup->target, (*segments)[i].name, backup->piece, &block);
        if (result < 0)
            return fail_at(backup, backup->target, (*segments)[i].name, result);
        if (block.seq_first > newest(&backup->held) + 1)
            break;
        *older_count = i;
    }
    return STEP_DONE;
}

/* Removes the segments that end before the newest snapshot, oldest first. */
static enum step remove_log(struct backup *backup)
{
    struct wal_segment *segments;
    int count;
    int older_count;
    enum step step = count_older(backup, &segments, &count, &older_count);
    for (int i = 0; step == STEP_DONE && i < older_count; i++) {
        int result = disk_remove(backup->target, segments[i].name);
        if (result < 0)
            step = fail_at(backup, backup->target, segments[i].name, result);
    }
    free(segments);
    return step;
}

/* The label: names, sizes and checksums of what a start from the newest snapshot needs. */
static enum step write_label(struct backup *backup)
{
    const struct holding *held = &backup->held;
    struct backup_label *label = &backup->label;
    struct wal_segment *segments;
    int count;
    int older_count;
    enum step step = count_older(backup, &segments, &count, &older_count);
    backup_label_close(label);
    label->files = step == STEP_DONE ? calloc((size_t)count + 1, sizeof *label->files) : NULL;
    if (step == STEP_DONE && label->files == NULL)
        step = fail(backup, "not enough memory");
    if (step == STEP_DONE) {
        if (newest(held) > 0)
            image_name(newest(held), label->files[label->file_count++].name);
        for (int i = older_count; i < count; i++)
            strcpy(label->files[label->file_count++].name, segments[i].name);
        label->seq = last_seq(held);
        label->epoch = held->log_first > 0 ? held->log.epoch : backup->epoch;
        if (!backup_label_complete(label))
            step = fail(backup, "%s", label->error);
    }
    free(segments);
    return step;
}

/* One try, as far as the source lets it. */
static enum step copy(struct backup *backup)
{
    struct loader source = {.disk = backup->source};
    enum step step = take_stock(backup);
    if (step == STEP_DONE && !loader_list(&source))
        step = fail(backup, "%s", source.error);
    if (step != STEP_DONE)
        return step;
    uint64_t snapshot = choose_snapshot(backup, &source);
    uint64_t seq = last_seq(&backup->held);
    backup->is_new |= seq == 0;
    bool is_begun = !backup->is_new || backup->held.log_first > 0;
    if (!is_begun) {
        step = snapshot > seq ? image_copy(backup, snapshot) : STEP_DONE;
        seq = snapshot;
    }
    if (step == STEP_DONE)
        step = log_copy(backup, seq, snapshot > seq ? snapshot : seq);
    if (step == STEP_DONE && is_begun && snapshot > newest(&backup->held))
        step = image_copy(backup, snapshot);
    return step;
}

/* Everything is there: reads it again, publishes the label, and removes what is older. */
static enum step finish(struct backup *backup)
{
    struct holding *held = &backup->held;
    enum step step = take_stock(backup);
    char name[DISK_NAME_SIZE];
    image_name(newest(held), name);
    if (step == STEP_DONE && newest(held) > 0)
        step = image_check(backup, name, newest(held));
    if (step == STEP_DONE && held->log_first > 0)
        step = note_write(backup);
    if (step == STEP_DONE)
        step = write_label(backup);
    if (step == STEP_DONE)
        step = remove_older(backup);
    if (step == STEP_DONE)
        step = remove_log(backup);
    return step;
}

/* Opens the source; one that has no change yet is refused before anything is made. */
static enum step open_source(struct backup *backup)
{
    struct wal_reader reader;
    struct loader snapshots = {0};
    if (!folder_find("till backup", backup->data, FOLDER_DATA, &backup->source))
        return STEP_FAILED;
    enum backup_state state = backup_label_demand(&backup->origin, backup->source);
    if (state == BACKUP_REFUSED)
        return fail(backup, "%s", backup->origin.error);
    backup->is_of_backup = state == BACKUP_COMPLETE;
    snapshots.disk = backup->source;
    if (!loader_list(&snapshots))
        return fail(backup, "%s", snapshots.error);
    if (snapshots.seq_count > 0)
        return STEP_DONE;
    if (wal_reader_init(&reader, backup->source) != 0)
        return fail(backup, "%s", reader.error);
    enum wal_read read = wal_reader_next(&reader);
    wal_reader_deinit(&reader);
    if (read == WAL_READ_BLOCK)
        return STEP_DONE;
    if (read == WAL_READ_END)
        return fail(backup, "%s has nothing to back up yet", backup->data);
    return fail(backup, "%s", reader.error);
}

/* The names that a backup has, whole and half made. */
static bool is_of_backup(const char *name)
{
    char stem[DISK_NAME_SIZE];
    if (strlen(name) >= sizeof stem)
        return false;
    strcpy(stem, name);
    while (disk_name_is_partial(stem)) /* one that was being removed has it twice */
        stem[strlen(stem) - strlen(DISK_PARTIAL)] = '\0';
    return strcmp(stem, BACKUP_LABEL_NAME) == 0 || folder_has_name(FOLDER_DATA, stem);
}

static bool is_label_begun(const char *name)
{
    return strcmp(name, BACKUP_LABEL_NAME DISK_PARTIAL) == 0;
}

/* Makes a new target, unless what has its path is none. */
static enum step make_target(struct backup *backup)
{
    char name[256];
    int result = path_find_entry(backup->path, is_of_backup, name, sizeof name);
    if (result > 0)
        return fail(backup,
                    "%s has %s, which is not of a backup; nothing was changed: give the backup a "
                    "folder of its own",
                    backup->path, name);
    if (result == 0)
        result = path_make_parents(backup->path);
    if (result == 0)
        result = disk_open(&backup->target, backup->path, DISK_WRITE);
    if (result != 0)
        return fail(backup, "%s: %s", backup->path,
                    result == -EWOULDBLOCK ? "another till uses this folder" : strerror(-result));
    return STEP_DONE;
}

/* Opens the target, which must be a sound backup, or else is labelled as one that begins. */
static enum step open_target(struct backup *backup)
{
    char name[256];
    enum step step = make_target(backup);
    if (step != STEP_DONE)
        return step;
    switch (backup_label_open(&backup->label, backup->target)) {
    case BACKUP_UNFINISHED:
        return STEP_DONE;
    case BACKUP_COMPLETE:
        return backup_label_check(&backup->label) ? STEP_DONE
                                                  : fail(backup, "%s", backup->label.error);
    case BACKUP_REFUSED:
        return fail(backup, "%s", backup->label.error);
    case BACKUP_NONE:
        break;
    }
    if (path_find_entry(backup->path, is_label_begun, name, sizeof name) != 0)
        return fail(backup,
                    "%s has %s, and no " BACKUP_LABEL_NAME ": it is a data folder, or a backup "
                    "that lost it; nothing was changed: give the backup a folder of its own",
                    backup->path, name);
    if (!backup_label_begin(&backup->label, backup->target))
        return fail(backup, "%s", backup->label.error);
    return STEP_DONE;
}

/* As far as the source shows what had been answered, it does up to now; a backup up to its own
 * time. */
static uint64_t source_time_us(const struct backup *backup)
{
    return backup->is_of_backup ? backup->origin.time_us : clock_wall_us();
}

static enum step run(struct backup *backup)
{
    const struct timespec pause = {.tv_nsec = TRY_EVERY_MS * 1000000L};
    const struct named_path source = {"the data folder", backup->data};
    const struct named_path target = {"the backup", backup->path};
    backup->label.progress = backup->origin.progress = progress_backup;
    backup->label.context = backup->origin.context = &backup->progress;
    enum step step = open_source(backup);
    if (step == STEP_DONE && !paths_are_apart("till backup", source, target))
        return STEP_FAILED;
    if (step == STEP_DONE)
        step = open_target(backup);
    if (step != STEP_DONE)
        return step;
    step = STEP_AGAIN;
    for (int i = 0; i < TRIES_MAX && step == STEP_AGAIN; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        backup->label.time_us = source_time_us(backup);
        step = copy(backup);
    }
    return step == STEP_DONE ? finish(backup) : step;
}

static void print_summary(const struct backup *backup)
{
    const struct holding *held = &backup->held;
    printf("backup up to seq %" PRIu64 " in %s: ", last_seq(held), backup->path);
    if (newest(held) > 0)
        printf("the snapshot of seq %" PRIu64 "%s", newest(held),
               held->log_first > 0 ? " and the log after it" : "");
    else
        printf("the log from its beginning");
    printf("; %.2f MiB copied, checksums and chain hold\n", mebibytes(backup->bytes_copied));
}

static void print_help(void)
{
    options_print_usage(stdout, &backup_table);
    printf("Copies the newest snapshot and the log after it to DIR, from the folder of a server\n"
           "that may be running, and verifies the copy. DIR is then a backup: to serve, to\n"
           "restore from, to verify; its backup.till says what it has. The same command with the\n"
           "same DIR goes on where it was stopped, or brings an earlier backup up to date; a\n"
           "folder with anything else in it is refused. For a backup of this moment:\n"
           "  till snapshot && till backup DIR\n\n");
    options_print(stdout, &backup_table);
}

int cli_backup(int argc, char **argv)
{
    struct backup_options options;
    int operands = options_parse(&backup_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    struct backup backup = {.data = options.data, .rate_mib = options.rate, .file = -1};
    backup.path = argv[1];
    backup.piece = aligned_alloc(WAL_ALIGN, PIECE_SIZE);
    enum step step = backup.piece != NULL ? run(&backup) : fail(&backup, "not enough memory");
    progress_end(&backup.progress);
    if (step == STEP_DONE)
        print_summary(&backup);
    else if (backup.error[0] != '\0')
        fprintf(stderr, "till backup: %s\n", backup.error);
    backup_label_close(&backup.label);
    backup_label_close(&backup.origin);
    disk_close(backup.target);
    disk_close(backup.source);
    free(backup.piece);
    return step == STEP_DONE ? EXIT_OK : EXIT_FAILED;
}
