/* Copying closed segments to the archive.
 *
 * Good path: a segment that the log has left is read in pieces, each of whole blocks; a block is
 * copied when its checksum holds, its seq is due and it is chained to the one before. After the
 * last one, the partial file is published under the name of its seqs, and the oldest files go as
 * the options say. Between two pieces the lane rests, unless the archive has fallen far behind.
 *
 * What can fail: reading the log, or a block that is not the one due: the segment is damaged at
 * rest. Nothing of it is archived or released, it is told, and tried again. Writing, for want of
 * room: the oldest archived segment makes room, as if the limit of bytes had been reached; the
 * newest is never removed. Any other failure of the archive's disk is told and tried again.
 *
 * What must always hold: a published file has exactly the blocks from its first to its last seq. A
 * file belongs to the history of the log: its first block is that of the segment it was copied
 * from, and it continues the file before it. */
#include "wal/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wal/segment.h"

enum {
    PIECE_SIZE = 1 << 20,
    PIECE_EVERY_US = 8000, /* 125 MiB/s, */
    BEHIND_COUNT = 16,     /* unless so many segments wait */
    RETRY_US = 10 * US_PER_SECOND,
    AGED_COUNT_MAX = 2, /* segments that go for their age when one has come */
};

static_assert(PIECE_SIZE >= WAL_BLOCK_SIZE_MAX, "a piece has a block at least");

static const char partial[] = "log";

/* What the lane works on. While a piece is under way it belongs to the lane. */
struct copy {
    struct disk *log;
    struct disk *folder;
    struct archive_options options;
    struct wal_closed closed; /* what is being copied; number 0: nothing */
    int from;
    int to;
    uint64_t offset;   /* copied up to it */
    uint64_t seq_due;  /* of the next block */
    uint64_t previous; /* checksum of the last block copied */
    uint64_t time_us;  /* of that block */
    uint32_t removed_count;
    bool is_published;
    uint8_t *piece;
    char error[ARCHIVE_ERROR_SIZE];
};

struct archive {
    struct io *io;
    const struct wal *wal;
    struct archive_status status;
    struct copy copy;
    bool is_working;
    uint64_t due_us; /* of the next piece, or try */
};

/* Keeps the text, and returns the result. */
__attribute__((format(printf, 3, 4))) static int fail(char error[ARCHIVE_ERROR_SIZE], int result,
                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, ARCHIVE_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return result;
}

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

/* May the oldest of the files go? All changes in it are before the first of the one after it. */
static bool is_too_old(const struct copy *copy, const struct wal_segment *after)
{
    struct wal_block block = {0};
    return copy->options.keep_us > 0 &&
           wal_segment_begin(copy->folder, after->name, copy->piece, &block) == 0 &&
           block.time_us + copy->options.keep_us < copy->time_us;
}

/* Removes what the options do not let stay, and at least so many of the oldest. The newest stays.
 * For their age a few go at a time: age is a difference of dates, and after somebody took a clock
 * that was years ahead for right, all would go at once. */
static int remove_oldest(struct copy *copy, uint32_t least_count)
{
    struct wal_segment *segments;
    int count = wal_segments_list(copy->folder, WAL_IN_ARCHIVE, &segments);
    uint64_t bytes = 0;
    uint32_t aged_count = 0;
    int result = count < 0 ? count : 0;
    for (int i = 0; i < count; i++)
        bytes += segments[i].size_bytes;
    for (int i = 0; result == 0 && i + 1 < count; i++) {
        bool is_too_much = copy->options.keep_bytes > 0 && bytes > copy->options.keep_bytes;
        if (least_count == 0 && !is_too_much &&
            (++aged_count > AGED_COUNT_MAX || !is_too_old(copy, &segments[i + 1])))
            break;
        result = disk_remove(copy->folder, segments[i].name);
        bytes -= segments[i].size_bytes;
        least_count -= least_count > 0;
        copy->removed_count++;
    }
    if (count >= 0)
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

static int files_open(struct copy *copy, const char *name)
{
    copy->from = disk_file_open(copy->log, name, false);
    if (copy->from < 0)
        return fail(copy->error, copy->from, "%s/%s cannot be opened for the archive: %s",
                    disk_path(copy->log), name, strerror(-copy->from));
    copy->to = disk_partial_create(copy->folder, partial);
    return copy->to < 0 ? fail_at(copy, copy->to, "no file can be made") : 0;
}

/* How many bytes of the piece are blocks that are due, one after the other; 0 when the first is
 * not. What lies behind the segment's last block is none of them. */
static uint32_t blocks_due(struct copy *copy, uint32_t size)
{
    uint32_t offset = 0;
    while (copy->seq_due <= copy->closed.seq_last && size - offset >= WAL_ALIGN) {
        struct wal_block block;
        const uint8_t *bytes = copy->piece + offset;
        if (!wal_block_read(bytes, &block) || block.block_size > size - offset ||
            !wal_block_verify(&block, bytes) || block.seq_first != copy->seq_due ||
            (copy->previous != 0 && block.previous != copy->previous))
            break;
        copy->seq_due += block.command_count;
        copy->previous = block.checksum;
        copy->time_us = block.time_us;
        offset += block.block_size;
    }
    return offset;
}

static int piece_write(struct copy *copy, uint32_t size)
{
    int result = disk_file_write(copy->folder, copy->to, copy->offset, copy->piece, size);
    while (disk_is_full(result)) {
        uint32_t removed_count = copy->removed_count;
        int removed = remove_oldest(copy, 1);
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
    wal_archived_name(copy->closed.seq_first, copy->closed.seq_last, name);
    int result = disk_partial_publish(copy->folder, copy->to, partial, name);
    if (result < 0)
        return fail_at(copy, result, "a segment cannot be published");
    copy->is_published = true;
    files_close(copy);
    result = remove_oldest(copy, 0);
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
        return fail(copy->error, -EIO,
                    "%s/%s is damaged at offset %" PRIu64 ", seq %" PRIu64
                    ", and so can be neither archived nor released; what it holds is in the "
                    "snapshots, but take a backup, and see to the disk",
                    disk_path(copy->log), name, copy->offset, copy->seq_due);
    result = piece_write(copy, due);
    copy->offset += due;
    if (result == 0 && copy->seq_due > copy->closed.seq_last)
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

/* The newest archived segment and the log share seqs: it must be a copy of the log's. */
static bool is_copy(struct archive *archive, const struct wal_segment *newest, uint64_t checksum)
{
    struct wal_closed closed;
    struct wal_block block = {0};
    char name[DISK_NAME_SIZE];
    if (!wal_closed_next(archive->wal, newest->seq_first, &closed) ||
        closed.seq_first != newest->seq_first || closed.seq_last != newest->seq_last)
        return false;
    wal_segment_name(closed.number, name);
    return wal_segment_begin(archive->copy.log, name, archive->copy.piece, &block) == 0 &&
           block.checksum == checksum;
}

/* The log begins right behind the newest archived segment: it must be chained to it. A log that was
 * begun anew behind a snapshot is chained to nothing, and can follow. */
static bool is_next(struct archive *archive, const struct wal_block *last)
{
    struct wal_block block = {0};
    char name[DISK_NAME_SIZE];
    if (wal_seq_durable(archive->wal) < wal_seq_first(archive->wal))
        return true;
    wal_segment_name(wal_segment_first(archive->wal), name);
    return wal_segment_begin(archive->copy.log, name, archive->copy.piece, &block) == 0 &&
           (block.previous == last->checksum || block.previous == 0);
}

static int connect(struct archive *archive, const struct wal_segment *newest, char *error)
{
    struct copy *copy = &archive->copy;
    uint64_t seq_first = wal_seq_first(archive->wal);
    struct wal_block first = {0};
    struct wal_block last = {0};
    int result = wal_segment_begin(copy->folder, newest->name, copy->piece, &first);
    if (result == 0)
        result = last_block(copy->folder, newest, copy->piece, &last);
    if (result < 0)
        return fail(error, result,
                    "%s/%s, the newest segment in the archive, is damaged: take it from another "
                    "copy, or move it away if the log still has what is in it",
                    disk_path(copy->folder), newest->name);
    bool continues = seq_first > newest->seq_last + 1;
    if (seq_first == newest->seq_last + 1)
        continues = is_next(archive, &last);
    else if (!continues)
        continues = is_copy(archive, newest, first.checksum);
    if (!continues)
        return fail(error, -EEXIST,
                    "the archive %s goes up to seq %" PRIu64
                    " of another history than the log in %s, which goes from seq %" PRIu64
                    " to %" PRIu64 ". Give a folder of its own to the archive of a shop that was "
                    "restored to an earlier moment",
                    disk_path(copy->folder), newest->seq_last, disk_path(copy->log), seq_first,
                    wal_seq_durable(archive->wal));
    archive->status.seq = newest->seq_last;
    return 0;
}

/* What lies between the archive and the log is gone; what comes is archived all the same. */
static void note_gap(struct archive *archive)
{
    char text[ARCHIVE_ERROR_SIZE];
    uint64_t seq_first = wal_seq_first(archive->wal);
    if (archive->status.seq + 1 >= seq_first)
        return;
    (void)fail(text, 0,
               "the archive %s has nothing of seq %" PRIu64 " to %" PRIu64
               ", which the log has no more: it is of use from there on, with a backup that was "
               "taken later",
               disk_path(archive->copy.folder), archive->status.seq + 1, seq_first - 1);
    notice(archive, text);
    archive->status.seq = seq_first - 1;
}

int archive_open(struct archive **archive_out, struct io *io, struct disk *log, struct disk *folder,
                 const struct wal *wal, const struct archive_options *options,
                 char error[ARCHIVE_ERROR_SIZE])
{
    struct wal_segment *segments = NULL;
    struct archive *archive = calloc(1, sizeof *archive);
    *archive_out = NULL;
    if (archive == NULL)
        return fail(error, -ENOMEM, "no memory for the archive");
    archive->io = io;
    archive->wal = wal;
    archive->copy =
        (struct copy){.log = log, .folder = folder, .options = *options, .from = -1, .to = -1};
    archive->copy.piece = aligned_alloc(WAL_ALIGN, PIECE_SIZE);
    int count = archive->copy.piece == NULL ? -ENOMEM
                                            : wal_segments_list(folder, WAL_IN_ARCHIVE, &segments);
    int result = count;
    if (count < 0)
        fail(error, count, "the archive %s cannot be listed: %s", disk_path(folder),
             strerror(-count));
    else if (count > 0)
        result = connect(archive, &segments[count - 1], error);
    free(segments);
    if (result < 0) {
        archive_close(archive);
        return result;
    }
    note_gap(archive);
    *archive_out = archive;
    return 0;
}

void archive_close(struct archive *archive)
{
    if (archive == NULL)
        return;
    files_close(&archive->copy);
    free(archive->copy.piece);
    free(archive);
}
