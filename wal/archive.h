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
    uint64_t keep_us;    /* segments whose last change is older, by the log's time, go; 0: never.
                            A few at a time: a date that was wrong does not cost all of them */
    uint64_t keep_bytes; /* the oldest go while there are more bytes; 0: never */
    uint64_t user;       /* of its IO_WORKED events */
};

struct archive_status {
    uint64_t seq;           /* everything up to it that is to be archived is */
    uint64_t segment_count; /* archived since the start */
    uint64_t removed_count; /* to keep within the options, or for want of room */
    uint64_t notice_count;  /* things a person should know; the last of them: */
    char notice[ARCHIVE_ERROR_SIZE];
};

/* The history that the archive should be of: the log, and the state that it led to. */
struct archive_history {
    struct disk *log;
    uint64_t seq_first; /* of the log's first block, or the seq that its first one will have */
    uint64_t seq_next;  /* equal to seq_first: there is no block yet */
    uint64_t epoch;     /* of the last change, */
    uint64_t time_us;   /* and when that was, by the log's time */
};

struct archive;

/* Opens the archive in `folder` for that history; changes nothing. The disks and the io outlive the
 * archive. 0, or -errno with a message: -EEXIST for an archive of another history. */
int archive_open(struct archive **archive, struct io *io, struct disk *folder,
                 const struct archive_history *history, const struct archive_options *options,
                 char error[ARCHIVE_ERROR_SIZE]);

/* The log has been opened for writing: from now on what it leaves is archived. It outlives the
 * archive. */
void archive_start(struct archive *archive, const struct wal *wal);

/* Nothing may be under way (archive_awaits_event), unless the io is gone. */
void archive_close(struct archive *archive);

/* Starts the next piece if there is one and its time has come. now_us is io_time_us. */
void archive_turn(struct archive *archive, uint64_t now_us);

/* How long until archive_turn may have something to do; UINT64_MAX: only after an event. */
uint64_t archive_wait_us(const struct archive *archive, uint64_t now_us);

/* Takes in an IO_WORKED event. */
void archive_event(struct archive *archive, const struct io_event *event);
bool archive_awaits_event(const struct archive *archive);

const struct archive_status *archive_status(const struct archive *archive);

#endif
