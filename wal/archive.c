/* Copying closed segments to the archive.
 *
 * Good path: a segment that the log has left is read in pieces, each of whole blocks; a block is
 * copied when its checksum holds, its seq is due and it is chained to the one before. After the
 * last one, the partial file is published under the name of its seqs, then the label that goes up
 * to it and begins behind the files that go as the options say, and then those go. Between two
 * pieces the lane rests, unless the archive has fallen far behind.
 *
 * What can fail: reading the log, or a block that is not the one due: the segment is damaged at
 * rest. Nothing of it is archived or released, it is told, and tried again. Writing, for want of
 * room: the oldest archived segment makes room, as if the limit of bytes had been reached; the
 * newest is never removed, and a page is kept for the label that has to go before. Any other
 * failure of the archive's disk is told and tried again.
 *
 * What must always hold: a published file has exactly the blocks from its first to its last seq. A
 * file belongs to the history of the log: its first block is that of the segment it was copied
 * from, and it continues the file before it. */
#include "wal/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/retention.h"
#include "wal/archive_label.h"
#include "wal/segment.h"

enum {
    PIECE_SIZE = 1 << 20,
    PIECE_EVERY_US = 8000, /* 125 MiB/s, */
    BEHIND_COUNT = 16,     /* unless so many segments wait */
    RETRY_US = 10 * US_PER_SECOND,
};

static_assert(PIECE_SIZE >= WAL_BLOCK_SIZE_MAX, "a piece has a block at least");

static const char partial[] = "log";

/* What the lane works on. While a piece is under way it belongs to the lane. */
struct copy {
    struct disk *log;
    struct disk *folder;
    struct archive_options options;
    struct archive_label label; /* as it was last published, */
    bool is_label_due;          /* unless it was not: before anything else */
    struct wal_closed closed;   /* what is being copied; number 0: nothing */
    int from;
    int to;
    uint64_t offset;   /* copied up to it */
    uint64_t seq_due;  /* of the next block */
    uint64_t previous; /* checksum of the last block copied, */
    uint64_t end;      /* and of the last one that there is: the next segment goes on from it */
    uint64_t time_us;  /* of that block, */
    uint64_t epoch;    /* and its epoch */
    uint32_t removed_count;
    bool is_published;
    uint8_t *piece;
    char error[ARCHIVE_ERROR_SIZE];
};

struct archive {
    struct io *io;
    const struct wal *wal;
    struct archive_status status;
    struct archive_history history;
    struct copy copy;
    uint64_t hole_first; /* the last seqs missing between files; 0: none */
    uint64_t hole_last;
    bool is_working;
    uint64_t due_us; /* of the next piece, or try */
};

/* Says what is wrong, and gives the result on. */
#define fail(error, result, ...) ((void)error_set(error, ARCHIVE_ERROR_SIZE, __VA_ARGS__), (result))

static int fail_at(struct copy *copy, int result, const char *doing)
{
    return fail(copy->error, result, "the archive %s: %s: %s", disk_path(copy->folder), doing,
                strerror(-result));
}

/* The header of the last block in an archived segment. */
static int last_block(struct disk *disk, const struct wal_segment *segment, uint8_t *page,
                      struct wal_block *block)
{
    int file = disk_file_open(disk, segment->name, false);
    int result = file < 0 ? file : 0;
    *block = (struct wal_block){0};
    for (uint64_t offset = 0; result == 0 && offset < segment->size_bytes;) {
        int64_t count = disk_file_read(disk, file, offset, page, WAL_ALIGN);
        if (count != WAL_ALIGN || !wal_block_read(page, block) ||
            block->block_size > segment->size_bytes - offset)
            result = count < 0 ? (int)count : -EIO;
        else
            offset += block->block_size;
    }
    if (file >= 0)
        disk_file_close(disk, file);
    if (result == 0 && block->seq_first + block->command_count - 1 != segment->seq_last)
        result = -EIO;
    return result;
}

/* Removing. */

/* When the changes of a file had ended, at the latest: when those of the file after it begin. 0: it
 * cannot be read. */
static uint64_t end_us(const struct copy *copy, const struct wal_segment *after)
{
    struct wal_block block = {0};
    return wal_segment_begin(copy->folder, after->name, copy->piece, &block) == 0 ? block.time_us
                                                                                  : 0;
}

/* How many of the oldest files the options do not let stay, and at least gone_min but the newest;
 * -ENOMEM. Times are read only of those that are next in turn to go for their age. */
static int count_gone(const struct copy *copy, const struct wal_segment *segments, int count,
                      int gone_min, uint64_t time_us)
{
    const struct retention_archive archive = {.keep_us = copy->options.keep_us,
                                              .keep_bytes = copy->options.keep_bytes,
                                              .time_us = time_us,
                                              .gone_min = (uint32_t)gone_min};
    struct retention_file *files = calloc((size_t)count + 1, sizeof *files);
    if (files == NULL)
        return -ENOMEM;
    for (int i = 0; i < count; i++)
        files[i].size_bytes = segments[i].file_bytes;
    int gone = (int)retention_archive_gone(&archive, files, (uint32_t)count);
    for (int i = gone; archive.keep_us > 0 && i < gone + RETENTION_AGED_MAX && i + 1 < count; i++)
        files[i].end_us = end_us(copy, &segments[i + 1]);
    gone = (int)retention_archive_gone(&archive, files, (uint32_t)count);
    free(files);
    return gone;
}

static int label_publish_next(struct copy *copy, const struct archive_label *label)
{
    int result = archive_label_publish(copy->folder, label);
    if (result < 0)
        return result;
    copy->label = *label;
    copy->is_label_due = false;
    /* The page for the next one; without it a full disk is told when that is due. */
    (void)archive_label_reserve(copy->folder);
    return 0;
}

/* Publishes a label that goes up to where `label` does, and begins behind what does not stay; then
 * that is removed, with what an earlier label had given up. */
static int label_advance(struct copy *copy, struct archive_label label, int least_count)
{
    struct wal_segment *segments;
    int count = wal_segments_list(copy->folder, WAL_IN_ARCHIVE, &segments);
    if (count < 0)
        return count;
    int given_up = 0;
    while (given_up < count && segments[given_up].seq_last < label.seq_first)
        given_up++;
    int gone = count_gone(copy, segments, count, given_up > least_count ? given_up : least_count,
                          label.time_us);
    int result = gone < 0 ? gone : 0;
    if (gone > given_up)
        label.seq_first = segments[gone].seq_first;
    if (result == 0 && (gone > given_up || label.seq_last != copy->label.seq_last))
        result = label_publish_next(copy, &label);
    for (int i = 0; result == 0 && i < gone; i++) {
        result = disk_remove(copy->folder, segments[i].name);
        copy->removed_count++;
    }
    free(segments);
    return result;
}

/* Copying, in the lane. */

static void files_close(struct copy *copy)
{
    if (copy->from >= 0)
        disk_file_close(copy->log, copy->from);
    if (copy->to >= 0)
        disk_file_close(copy->folder, copy->to);
    copy->from = copy->to = -1;
}

static int damaged(struct copy *copy, const char *name, uint64_t offset, uint64_t seq)
{
    return fail(copy->error, -EIO,
                "%s/%s is damaged at offset %" PRIu64 ", seq %" PRIu64
                ", and so can be neither archived nor released; what it holds is in the "
                "snapshots, but take a backup, and see to the disk",
                disk_path(copy->log), name, offset, seq);
}

/* Finds what the segment ends with: which block the first one of the segment after it is chained
 * to. */
static int find_end(struct copy *copy)
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
        return fail(copy->error, (int)size, "%s/%s cannot be read for the archive: %s",
                    disk_path(copy->log), name, strerror((int)-size));
    if (size < WAL_ALIGN || !wal_block_read(copy->piece, &block) || block.block_size > size ||
        !wal_block_verify(&block, copy->piece) || block.seq_first != copy->closed.seq_last + 1)
        return damaged(copy, name, 0, copy->closed.seq_last + 1);
    copy->end = block.previous;
    return 0;
}

static bool is_copied(const struct copy *copy)
{
    return copy->seq_due > copy->closed.seq_last && copy->previous == copy->end;
}

static int files_open(struct copy *copy, const char *name)
{
    int found = find_end(copy);
    if (found < 0)
        return found;
    copy->from = disk_file_open(copy->log, name, false);
    if (copy->from < 0)
        return fail(copy->error, copy->from, "%s/%s cannot be opened for the archive: %s",
                    disk_path(copy->log), name, strerror(-copy->from));
    int result = copy->is_label_due ? label_publish_next(copy, &copy->label) : 0;
    if (result < 0)
        return fail_at(copy, result, "its label cannot be published");
    copy->to = disk_partial_create(copy->folder, partial);
    return copy->to < 0 ? fail_at(copy, copy->to, "no file can be made") : 0;
}

/* How many bytes of the piece are blocks that are due, one after the other; 0 when the first is
 * not. The last of them may have no command. */
static uint32_t blocks_due(struct copy *copy, uint32_t size)
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

static int piece_write(struct copy *copy, uint32_t size)
{
    int result = disk_file_write(copy->folder, copy->to, copy->offset, copy->piece, size);
    while (disk_is_full(result)) {
        uint32_t removed_count = copy->removed_count;
        int removed = label_advance(copy, copy->label, 1);
        if (removed < 0)
            return fail_at(copy, removed, "the oldest segment cannot make room");
        if (copy->removed_count == removed_count)
            break;
        result = disk_file_write(copy->folder, copy->to, copy->offset, copy->piece, size);
    }
    return result < 0 ? fail_at(copy, result, "a segment cannot be written") : 0;
}

static int publish(struct copy *copy)
{
    char name[DISK_NAME_SIZE];
    struct archive_label label = copy->label;
    wal_archived_name(copy->closed.seq_first, copy->closed.seq_last, name);
    int result = disk_partial_publish(copy->folder, copy->to, partial, name);
    if (result < 0)
        return fail_at(copy, result, "a segment cannot be published");
    files_close(copy);
    if (label.seq_first > label.seq_last)
        label.seq_first = copy->closed.seq_first;
    label.seq_last = copy->closed.seq_last;
    label.epoch = copy->epoch;
    label.time_us = copy->time_us;
    label.last_block = copy->previous;
    result = label_advance(copy, label, 0);
    copy->is_published = copy->label.seq_last == copy->closed.seq_last;
    if (!copy->is_published)
        return fail_at(copy, result, "its label cannot be published");
    return result < 0 ? fail_at(copy, result, "an old segment cannot be removed") : 0;
}

static int copy_piece(struct copy *copy, const char *name)
{
    int result = copy->from < 0 ? files_open(copy, name) : 0;
    if (result < 0)
        return result;
    int64_t size = disk_file_read(copy->log, copy->from, copy->offset, copy->piece, PIECE_SIZE);
    if (size < 0)
        return fail(copy->error, (int)size, "%s/%s cannot be read for the archive: %s",
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

static int work_piece(void *context)
{
    struct copy *copy = context;
    char name[DISK_NAME_SIZE];
    wal_segment_name(copy->closed.number, name);
    int result = copy_piece(copy, name);
    if (result < 0)
        files_close(copy);
    return result;
}

/* The loop's side. */

static void notice(struct archive *archive, const char *text)
{
    struct archive_status *status = &archive->status;
    if (strcmp(status->notice, text) == 0)
        return;
    status->notice_count++;
    snprintf(status->notice, sizeof status->notice, "%s", text);
}

/* Takes the next closed segment, if there is one. */
static bool copy_begin(struct archive *archive)
{
    struct copy *copy = &archive->copy;
    if (!wal_closed_next(archive->wal, archive->status.seq + 1, &copy->closed))
        return false;
    copy->offset = 0;
    copy->seq_due = copy->closed.seq_first;
    copy->previous = 0;
    return true;
}

void archive_turn(struct archive *archive, uint64_t now_us)
{
    struct copy *copy = &archive->copy;
    if (archive->is_working || now_us < archive->due_us)
        return;
    if (copy->closed.number == 0 && !copy_begin(archive))
        return;
    bool is_behind = wal_closed_count(archive->wal, copy->closed.seq_first) > BEHIND_COUNT;
    archive->due_us = now_us + (is_behind ? 0 : PIECE_EVERY_US);
    archive->is_working = true;
    io_work(archive->io, IO_LANE_ARCHIVE, work_piece, copy, copy->options.user);
}

uint64_t archive_wait_us(const struct archive *archive, uint64_t now_us)
{
    struct wal_closed closed;
    if (archive->is_working)
        return UINT64_MAX;
    if (archive->copy.closed.number == 0 &&
        !wal_closed_next(archive->wal, archive->status.seq + 1, &closed))
        return UINT64_MAX;
    return archive->due_us > now_us ? archive->due_us - now_us : 0;
}

void archive_event(struct archive *archive, const struct io_event *event)
{
    struct copy *copy = &archive->copy;
    struct archive_status *status = &archive->status;
    TILL_ASSERT(archive->is_working && event->kind == IO_WORKED);
    archive->is_working = false;
    status->removed_count += copy->removed_count;
    copy->removed_count = 0;
    if (copy->is_published) {
        status->seq = copy->closed.seq_last;
        status->segment_count++;
    }
    if (event->result < 0) {
        notice(archive, copy->error);
        archive->due_us = io_time_us(archive->io) + (uint64_t)RETRY_US;
    }
    if (copy->is_published || event->result < 0)
        copy->closed.number = 0;
    copy->is_published = false;
}

bool archive_awaits_event(const struct archive *archive)
{
    return archive->is_working;
}

const struct archive_status *archive_status(const struct archive *archive)
{
    return &archive->status;
}

/* Opening. */

/* The newest archived segment and the log share seqs: it must be a copy of the log's, and the one
 * behind that goes on from it. */
static bool is_copy(struct archive *archive, const struct wal_segment *newest,
                    const struct wal_block *first, const struct wal_block *last)
{
    struct disk *log = archive->history.log;
    struct wal_segment *segments;
    struct wal_block block = {0};
    uint8_t *page = archive->copy.piece;
    bool is_same = false;
    int count = wal_segments_list(log, WAL_IN_DATA, &segments);
    for (int i = 0; i + 1 < count; i++) {
        if (wal_segment_begin(log, segments[i].name, page, &block) != 0 ||
            block.seq_first > newest->seq_first)
            break;
        if (block.seq_first < newest->seq_first)
            continue;
        is_same = block.checksum == first->checksum &&
                  wal_segment_begin(log, segments[i + 1].name, page, &block) == 0 &&
                  block.seq_first == newest->seq_last + 1 && block.previous == last->checksum;
        break;
    }
    if (count >= 0)
        free(segments);
    return is_same;
}

/* The first block of the log; false when there is none. */
static bool first_of_log(struct archive *archive, struct wal_block *block)
{
    struct disk *log = archive->history.log;
    struct wal_segment *segments;
    int count = wal_segments_list(log, WAL_IN_DATA, &segments);
    if (count < 0)
        return false;
    bool is_there = archive->history.seq_next > archive->history.seq_first && count > 0 &&
                    wal_segment_begin(log, segments[0].name, archive->copy.piece, block) == 0;
    free(segments);
    return is_there;
}

/* The log begins behind the newest archived segment: right behind it, it must be chained to it,
 * which a log that was begun anew behind a snapshot is not. Where something lies between, epoch and
 * time at least must not go back. */
static bool is_later(struct archive *archive, const struct wal_segment *newest,
                     const struct wal_block *last)
{
    const struct archive_history *history = &archive->history;
    struct wal_block block = {.epoch = history->epoch, .time_us = history->time_us};
    bool has_block = first_of_log(archive, &block);
    if (history->seq_first == newest->seq_last + 1)
        return has_block && block.previous == last->checksum;
    return last->epoch <= block.epoch && last->time_us <= block.time_us;
}

/* Is the newest file what the label calls so, or the one that was published after it? */
static bool is_labelled(const struct archive_label *label, const struct wal_segment *newest,
                        const struct wal_block *first, const struct wal_block *last)
{
    if (label->seq_first > label->seq_last)
        return true;
    if (newest->seq_last == label->seq_last)
        return last->checksum == label->last_block;
    return newest->seq_first > label->seq_last + 1 ||
           (newest->seq_first == label->seq_last + 1 && first->previous == label->last_block);
}

/* Do the archive and the log belong together? The label takes in what was published behind it. */
static int connect(struct archive *archive, const struct wal_segment *newest, char *error)
{
    struct copy *copy = &archive->copy;
    const struct archive_history *history = &archive->history;
    struct wal_block first = {0};
    struct wal_block last = {0};
    int result = wal_segment_begin(copy->folder, newest->name, copy->piece, &first);
    if (result == 0)
        result = last_block(copy->folder, newest, copy->piece, &last);
    if (result == 0 && !is_labelled(&copy->label, newest, &first, &last))
        result = -EIO;
    if (result < 0)
        return fail(error, result,
                    "%s/%s, the newest segment in the archive, is damaged, or does not belong to "
                    "the label " ARCHIVE_LABEL_NAME ": take it from another copy, or give "
                    "--archive a new folder",
                    disk_path(copy->folder), newest->name);
    bool continues = history->seq_first > newest->seq_last
                         ? is_later(archive, newest, &last)
                         : is_copy(archive, newest, &first, &last);
    if (!continues)
        return fail(error, -EEXIST,
                    "the archive %s goes up to seq %" PRIu64
                    " of another history than the log in %s, which goes from seq %" PRIu64
                    " to %" PRIu64 ". Give a folder of its own to the archive of a shop that was "
                    "restored to an earlier moment",
                    disk_path(copy->folder), newest->seq_last, disk_path(history->log),
                    history->seq_first, history->seq_next - 1);
    copy->is_label_due = copy->label.seq_last != newest->seq_last;
    if (copy->label.seq_first > copy->label.seq_last)
        copy->label.seq_first = newest->seq_first;
    copy->label.seq_last = newest->seq_last;
    copy->label.epoch = last.epoch;
    copy->label.time_us = last.time_us;
    copy->label.last_block = last.checksum;
    archive->status.seq = newest->seq_last;
    return 0;
}

/* A folder that is no archive yet must not be something else of till's. */
static int is_free(struct archive *archive, char *error)
{
    struct disk *folder = archive->copy.folder;
    struct disk_entry *entries;
    int count = disk_list_all(folder, &entries);
    int result = count < 0 ? fail(error, count, "the archive %s cannot be listed: %s",
                                  disk_path(folder), strerror(-count))
                           : 0;
    for (int i = 0; result == 0 && i < count; i++) {
        const char *name = entries[i].name;
        if (strncmp(name, "wal-", 4) == 0 || strncmp(name, "snapshot-", 9) == 0 ||
            strcmp(name, "backup.till") == 0 || strcmp(name, "log-note.till") == 0 ||
            strcmp(name, "clock-note.till") == 0)
            result = fail(error, -EEXIST,
                          "%s has %s: it is no archive, but a data folder or a backup; nothing was "
                          "changed: give the archive a folder of its own",
                          disk_path(folder), name);
    }
    free(entries);
    return result;
}

/* Is what is there what the label says, as far as names tell? One file may have come since. */
static int compare(struct archive *archive, const struct wal_segment *segments, int count,
                   int label_result, char *error)
{
    const struct archive_label *label = &archive->copy.label;
    const char *path = disk_path(archive->copy.folder);
    if (label_result == -ENOENT && count == 0)
        return is_free(archive, error);
    if (label_result < 0) {
        char why[ARCHIVE_LABEL_ERROR_SIZE];
        archive_label_explain(archive->copy.folder, label_result, why);
        return fail(error, label_result, "%s; or give --archive a new folder", why);
    }
    if (label->seq_first > label->seq_last)
        return 0;
    if (count == 0 || segments[count - 1].seq_last < label->seq_last)
        return fail(error, -EIO,
                    "the archive %s should go up to seq %" PRIu64
                    ", by its label " ARCHIVE_LABEL_NAME
                    ", and its newest file is missing: take it "
                    "from another copy, or give --archive a new folder",
                    path, label->seq_last);
    if (count > 1 && segments[count - 2].seq_last > label->seq_last)
        return fail(error, -EIO,
                    "the label " ARCHIVE_LABEL_NAME " of the archive %s goes up to seq %" PRIu64
                    ", which is older than its files: take all of it from one copy, or give "
                    "--archive a new folder",
                    path, label->seq_last);
    return 0;
}

/* What lies between the archive and the log is gone; what comes is archived all the same. What lies
 * between its files is told at each start. */
static void note_gaps(struct archive *archive)
{
    char text[ARCHIVE_ERROR_SIZE];
    const char *path = disk_path(archive->copy.folder);
    uint64_t seq_first = archive->history.seq_first;
    if (archive->status.seq + 1 < seq_first) {
        error_set(text, sizeof text,
                  "the archive %s has nothing of seq %" PRIu64 " to %" PRIu64
                  ", which the log has no more: it is of use from there on, with a backup that "
                  "was taken later",
                  path, archive->status.seq + 1, seq_first - 1);
        notice(archive, text);
        archive->status.seq = seq_first - 1;
    } else if (archive->hole_first > 0) {
        error_set(text, sizeof text,
                  "the archive %s has nothing of seq %" PRIu64 " to %" PRIu64
                  ": it is of use from there on, with a backup that was taken later",
                  path, archive->hole_first, archive->hole_last);
        notice(archive, text);
    }
}

static void find_hole(struct archive *archive, const struct wal_segment *segments, int count)
{
    uint64_t due = archive->copy.label.seq_first;
    for (int i = 0; i < count; i++) {
        if (segments[i].seq_first > due) {
            archive->hole_first = due;
            archive->hole_last = segments[i].seq_first - 1;
        }
        due = segments[i].seq_last + 1;
    }
}

static int open_files(struct archive *archive, char *error)
{
    struct copy *copy = &archive->copy;
    struct wal_segment *segments = NULL;
    int label_result = 0;
    int count = archive_list(copy->folder, &copy->label, &label_result, &segments);
    if (count < 0)
        return fail(error, count, "the archive %s cannot be listed: %s", disk_path(copy->folder),
                    strerror(-count));
    int result = compare(archive, segments, count, label_result, error);
    if (result == 0)
        find_hole(archive, segments, count);
    if (result == 0 && count > 0)
        result = connect(archive, &segments[count - 1], error);
    free(segments);
    return result;
}

int archive_open(struct archive **archive_out, struct io *io, struct disk *folder,
                 const struct archive_history *history, const struct archive_options *options,
                 char error[ARCHIVE_ERROR_SIZE])
{
    struct archive *archive = calloc(1, sizeof *archive);
    *archive_out = NULL;
    if (archive == NULL)
        return fail(error, -ENOMEM, "no memory for the archive");
    archive->io = io;
    archive->history = *history;
    archive->copy = (struct copy){
        .log = history->log, .folder = folder, .options = *options, .from = -1, .to = -1};
    archive->copy.piece = aligned_alloc(WAL_ALIGN, PIECE_SIZE);
    int result = archive->copy.piece == NULL ? fail(error, -ENOMEM, "no memory for the archive")
                                             : open_files(archive, error);
    if (result < 0) {
        archive_close(archive);
        return result;
    }
    *archive_out = archive;
    return 0;
}

void archive_start(struct archive *archive, const struct wal *wal)
{
    struct copy *copy = &archive->copy;
    archive->wal = wal;
    note_gaps(archive);
    if (copy->label.seq_first == 0 || copy->label.seq_first > copy->label.seq_last) {
        copy->label = (struct archive_label){.seq_first = archive->status.seq + 1,
                                             .seq_last = archive->status.seq};
        copy->is_label_due = true;
    }
    /* What fails now is told when the first segment is to go there. */
    if (copy->is_label_due)
        (void)label_publish_next(copy, &copy->label);
    else
        (void)archive_label_reserve(copy->folder);
}

void archive_close(struct archive *archive)
{
    if (archive == NULL)
        return;
    files_close(&archive->copy);
    free(archive->copy.piece);
    free(archive);
}
