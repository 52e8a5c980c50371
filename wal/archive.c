/* The archive as the loop sees it: when the next piece of which segment is copied.
 *
 * Good path: when the log has left a segment, its pieces are copied one at a time, with a rest
 * between two of them, unless the archive has fallen far behind; archive_copy.c does it in a lane.
 *
 * What can fail: whatever the lane reports. It becomes a notice, and the segment is tried again
 * from its beginning after a while.
 *
 * What must always hold: the archive's files belong to the history of the log. archive_open.c has
 * made sure of it for the files that were there. */
#include "wal/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/archive_state.h"

enum {
    PIECE_EVERY_US = 8000, /* 125 MiB/s, */
    BEHIND_COUNT = 16,     /* unless so many segments wait */
    RETRY_US = 10 * US_PER_SECOND,
};

/* By phase: the phases that may follow, as bits. */
static const uint8_t next_phases[] = {
    [ARCHIVE_IDLE] = 1 << ARCHIVE_WAITING,
    [ARCHIVE_WAITING] = 1 << ARCHIVE_WORKING,
    [ARCHIVE_WORKING] = 1 << ARCHIVE_WAITING | 1 << ARCHIVE_IDLE,
};

/* Restates the drawing in the header. */
static void check(const struct archive *archive)
{
    const struct archive_copy *copy = &archive->copy;
    bool has_segment = copy->closed.number != 0;
    switch (archive->phase) {
    case ARCHIVE_IDLE:
        TILL_ASSERT(!has_segment && !copy->is_published && copy->from < 0 && copy->to < 0);
        break;
    case ARCHIVE_WAITING:
        TILL_ASSERT(has_segment && !copy->is_published);
        TILL_ASSERT(copy->closed.seq_last > archive->status.seq);
        break;
    case ARCHIVE_WORKING:
        TILL_ASSERT(has_segment);
        break;
    }
}

static void phase_enter(struct archive *archive, enum archive_phase phase)
{
    TILL_ASSERT((next_phases[archive->phase] >> phase & 1) != 0);
    archive->phase = phase;
    check(archive);
}

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
    struct archive_copy *copy = &archive->copy;
    if (!wal_closed_next(archive->wal, archive->status.seq + 1, &copy->closed))
        return false;
    copy->offset = 0;
    copy->seq_due = copy->closed.seq_first;
    copy->previous = 0;
    phase_enter(archive, ARCHIVE_WAITING);
    return true;
}

void archive_turn(struct archive *archive, uint64_t now_us)
{
    struct archive_copy *copy = &archive->copy;
    if (archive->phase == ARCHIVE_WORKING || now_us < archive->due_us)
        return;
    if (archive->phase == ARCHIVE_IDLE && !copy_begin(archive))
        return;
    bool is_behind = wal_closed_count(archive->wal, copy->closed.seq_first) > BEHIND_COUNT;
    archive->due_us = now_us + (is_behind ? 0 : PIECE_EVERY_US);
    phase_enter(archive, ARCHIVE_WORKING);
    io_work(archive->io, IO_LANE_ARCHIVE, archive_copy_work, copy, copy->options.user);
}

uint64_t archive_wait_us(const struct archive *archive, uint64_t now_us)
{
    struct wal_closed closed;
    if (archive->phase == ARCHIVE_WORKING)
        return UINT64_MAX;
    if (archive->phase == ARCHIVE_IDLE &&
        !wal_closed_next(archive->wal, archive->status.seq + 1, &closed))
        return UINT64_MAX;
    return archive->due_us > now_us ? archive->due_us - now_us : 0;
}

void archive_event(struct archive *archive, const struct io_event *event)
{
    struct archive_copy *copy = &archive->copy;
    struct archive_status *status = &archive->status;
    TILL_ASSERT(archive->phase == ARCHIVE_WORKING && event->kind == IO_WORKED);
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
    bool is_over = copy->is_published || event->result < 0;
    if (is_over)
        copy->closed.number = 0;
    copy->is_published = false;
    phase_enter(archive, is_over ? ARCHIVE_IDLE : ARCHIVE_WAITING);
}

bool archive_awaits_event(const struct archive *archive)
{
    return archive->phase == ARCHIVE_WORKING;
}

const struct archive_status *archive_status(const struct archive *archive)
{
    return &archive->status;
}

void archive_metrics(const struct archive *archive, struct metrics *metrics)
{
    metrics->archive_seq = archive->status.seq;
    metrics->archive_segments = archive->status.segment_count;
    metrics->archive_removed = archive->status.removed_count;
    metrics->archive_notices = archive->status.notice_count;
}

/* Reports seqs that are missing between the archive and the log, or between files of the archive,
 * at each start. Archiving continues after the gap. */
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

void archive_start(struct archive *archive, const struct wal *wal)
{
    struct archive_copy *copy = &archive->copy;
    archive->wal = wal;
    note_gaps(archive);
    if (copy->label.seq_first == 0 || copy->label.seq_first > copy->label.seq_last) {
        copy->label = (struct archive_label){.seq_first = archive->status.seq + 1,
                                             .seq_last = archive->status.seq};
        copy->is_label_due = true;
    }
    /* A failure now is reported when the first segment is copied. */
    if (copy->is_label_due)
        (void)archive_label_change(copy, &copy->label);
    else
        (void)archive_label_reserve(copy->folder);
}

void archive_close(struct archive *archive)
{
    if (archive == NULL)
        return;
    archive_copy_close(&archive->copy);
    free(archive->copy.piece);
    free(archive);
}
