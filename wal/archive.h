/* The archive of the log: a folder that gets a copy of each segment that the log has left, so that
 * the segment may be written again and its history is kept.
 *
 *   ARCHIVE_IDLE --archive_turn, a segment is closed--> ARCHIVE_WAITING
 *   ARCHIVE_WAITING --archive_turn, the next piece may be copied--> ARCHIVE_WORKING
 *   ARCHIVE_WORKING --archive_event, there are more pieces--> ARCHIVE_WAITING
 *   ARCHIVE_WORKING --archive_event, the copy is published, or it failed--> ARCHIVE_IDLE
 *
 * Pieces are copied in a lane of the io, one at a time and paced, so that the disk is left to the
 * log; every block is checked on the way. The last piece publishes the file (sync, rename) and then
 * removes files that are too old or too many. A failure becomes a notice, and is tried again after
 * a while: until a segment is archived it is not released. An archive belongs to one history:
 * archive_open refuses a log that does not continue it, before anything is changed. Its label tells
 * what it has (wal/archive_label.h). */
#ifndef TILL_WAL_ARCHIVE_H
#define TILL_WAL_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/io.h"
#include "wal/wal.h"

enum { ARCHIVE_ERROR_SIZE = 640 };

struct archive_options {
    uint64_t keep_us;    /* segments whose last change is older, by the log's time, are removed, a
                            few at a time, so that a wrong date does not cost all; 0: no limit */
    uint64_t keep_bytes; /* the oldest are removed while the archive has more; 0: no limit */
    uint64_t user;       /* of its IO_WORKED events */
};

struct archive_status {
    uint64_t seq;           /* everything up to it is archived, or is not in the log any more */
    uint64_t segment_count; /* archived since the start */
    uint64_t removed_count; /* because of the options, or for want of room */
    uint64_t notice_count;  /* messages for an operator; the last one: */
    char notice[ARCHIVE_ERROR_SIZE];
};

/* The history that the archive must belong to: the log, and the state that it led to. */
struct archive_history {
    struct disk *log;
    uint64_t seq_first; /* of the log's first block, or of the next block when there is none */
    uint64_t seq_next;  /* of the next block; equal to seq_first when there is no block yet */
    uint64_t epoch;     /* of the last change, */
    uint64_t time_us;   /* and its time, by the log's time */
};

struct archive;

/* Opens the archive in `folder` for that history; changes nothing. The caller owns the disks and
 * the io, and closes them after the archive. 0, or -errno with a message: -EEXIST when the archive
 * belongs to another history. */
int archive_open(struct archive **archive, struct io *io, struct disk *folder,
                 const struct archive_history *history, const struct archive_options *options,
                 char error[ARCHIVE_ERROR_SIZE]);

/* To be called when the log is open for writing: from now on its closed segments are archived. The
 * log is closed after the archive. */
void archive_start(struct archive *archive, const struct wal *wal);

/* May be called when no event is to come (archive_awaits_event), or the io is gone. */
void archive_close(struct archive *archive);

/* Starts to copy the next piece, if there is one and it is due. now_us is io_time_us. */
void archive_turn(struct archive *archive, uint64_t now_us);

/* How long until archive_turn may have something to do; UINT64_MAX: not before an event. */
uint64_t archive_wait_us(const struct archive *archive, uint64_t now_us);

/* Handles an IO_WORKED event. */
void archive_event(struct archive *archive, const struct io_event *event);
bool archive_awaits_event(const struct archive *archive);

const struct archive_status *archive_status(const struct archive *archive);

/* Fills the metrics of the archive's layer. */
void archive_metrics(const struct archive *archive, struct metrics *metrics);

#endif
