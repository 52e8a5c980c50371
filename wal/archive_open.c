/* Opening an archive: is it one, and is it of this log's history?
 *
 * Good path: the label says what the archive should have, and that is compared with the files that
 * are there. Then the newest file is compared with the log: where the log still has that segment,
 * it must be the same; where the log begins right after it, the log's first block must be chained
 * to it; where something lies between them, epoch and time must not go back.
 *
 * What can fail: the disk; a label or a file that is missing or damaged; an archive of another
 * history. Nothing is changed before all of it is found to be right. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wal/archive_state.h"

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

/* For an archive whose newest segment the log still has: is it a copy of the log's, and does the
 * log's next segment continue it? */
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

/* Reads the header of the log's first block. False when there is none. */
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

/* For a log that begins after the newest archived segment: does it belong to the same history? When
 * it begins right after it, its first block must be chained to it; a log that was started again
 * after a snapshot is not. When there are seqs between them, epoch and time must not go back. */
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

/* Is the newest file the last one that the label names, or the one that was published after that?
 */
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

/* Do the archive and the log belong together? Extends the label to a file that was published after
 * it. */
static int connect(struct archive *archive, const struct wal_segment *newest, char *error)
{
    struct archive_copy *copy = &archive->copy;
    const struct archive_history *history = &archive->history;
    struct wal_block first = {0};
    struct wal_block last = {0};
    int result = wal_segment_begin(copy->folder, newest->name, copy->piece, &first);
    if (result == 0)
        result = last_block(copy->folder, newest, copy->piece, &last);
    if (result == 0 && !is_labelled(&copy->label, newest, &first, &last))
        result = -EIO;
    if (result < 0)
        return archive_fail(
            error, result,
            "%s/%s, the newest segment in the archive, is damaged, or does not belong to "
            "the label " ARCHIVE_LABEL_NAME ": take it from another copy, or give "
            "--archive a new folder",
            disk_path(copy->folder), newest->name);
    bool continues = history->seq_first > newest->seq_last
                         ? is_later(archive, newest, &last)
                         : is_copy(archive, newest, &first, &last);
    if (!continues)
        return archive_fail(error, -EEXIST,
                            "the archive %s goes up to seq %" PRIu64
                            " of another history than the log in %s, which goes from seq %" PRIu64
                            " to %" PRIu64
                            ". Give a folder of its own to the archive of a shop that was "
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

/* May the folder become an archive? Not when it is a data folder or a backup. */
static int is_free(struct archive *archive, char *error)
{
    struct disk *folder = archive->copy.folder;
    struct disk_entry *entries;
    int count = disk_list_all(folder, &entries);
    int result = count < 0 ? archive_fail(error, count, "the archive %s cannot be listed: %s",
                                          disk_path(folder), strerror(-count))
                           : 0;
    for (int i = 0; result == 0 && i < count; i++) {
        const char *name = entries[i].name;
        if (strncmp(name, "wal-", 4) == 0 || strncmp(name, "snapshot-", 9) == 0 ||
            strcmp(name, "backup.till") == 0 || strcmp(name, "log-note.till") == 0 ||
            strcmp(name, "clock-note.till") == 0 || strcmp(name, "shop.till") == 0)
            result = archive_fail(
                error, -EEXIST,
                "%s has %s: it is no archive, but a data folder or a backup; nothing was "
                "changed: give the archive a folder of its own",
                disk_path(folder), name);
    }
    free(entries);
    return result;
}

/* Do the names of the files agree with the label? One file may be newer than the label. */
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
        return archive_fail(error, label_result, "%s; or give --archive a new folder", why);
    }
    if (label->seq_first > label->seq_last)
        return 0;
    if (count == 0 || segments[count - 1].seq_last < label->seq_last)
        return archive_fail(error, -EIO,
                            "the archive %s should go up to seq %" PRIu64
                            ", by its label " ARCHIVE_LABEL_NAME
                            ", and its newest file is missing: take it "
                            "from another copy, or give --archive a new folder",
                            path, label->seq_last);
    if (count > 1 && segments[count - 2].seq_last > label->seq_last)
        return archive_fail(
            error, -EIO,
            "the label " ARCHIVE_LABEL_NAME " of the archive %s goes up to seq %" PRIu64
            ", which is older than its files: take all of it from one copy, or give "
            "--archive a new folder",
            path, label->seq_last);
    return 0;
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
    struct archive_copy *copy = &archive->copy;
    struct wal_segment *segments = NULL;
    int label_result = 0;
    int count = archive_list(copy->folder, &copy->label, &label_result, &segments);
    if (count < 0)
        return archive_fail(error, count, "the archive %s cannot be listed: %s",
                            disk_path(copy->folder), strerror(-count));
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
        return archive_fail(error, -ENOMEM, "no memory for the archive");
    archive->io = io;
    archive->history = *history;
    archive->copy = (struct archive_copy){
        .log = history->log, .folder = folder, .options = *options, .from = -1, .to = -1};
    archive->copy.piece = aligned_alloc(WAL_ALIGN, ARCHIVE_PIECE_SIZE + WAL_ALIGN);
    if (archive->copy.piece != NULL)
        archive->copy.page = archive->copy.piece + ARCHIVE_PIECE_SIZE;
    int result = archive->copy.piece == NULL
                     ? archive_fail(error, -ENOMEM, "no memory for the archive")
                     : open_files(archive, error);
    if (result < 0) {
        archive_close(archive);
        return result;
    }
    *archive_out = archive;
    return 0;
}
