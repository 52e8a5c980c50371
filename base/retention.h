/* Retention: which snapshots, log segments and archived files may be removed. Decisions alone, from
 * numbers; whoever asks does the removing.
 *
 *   snapshots       the newest two are kept. The older of them is for the day when the newest is
 *                   found damaged: with the log after it, it still gives the whole state
 *   the log         is kept from the change after that older snapshot on, and where there is an
 *                   archive, also from the change after what the archive has. It is kept for a
 *                   connected replica from the change on that this needs next, but not more than
 *                   was allowed for that
 *   archived files  the oldest may go while there are too many bytes, or when they are too old; the
 *                   newest is always kept. Only a few are removed for their age at a time: age is a
 *                   difference of dates, and if an operator accepts a clock that is years ahead,
 *                   all files are too old at once
 *
 * It is in base/ because wal, snapshot and net must decide alike without knowing each other. */
#ifndef TILL_BASE_RETENTION_H
#define TILL_BASE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RETENTION_SNAPSHOTS = 2,
    RETENTION_AGED_MAX = 2, /* files of an archive that go for their age at a time */
};

/* Is a snapshot kept that has so many valid ones after it? */
static inline bool retention_keeps_snapshot(int newer_count)
{
    return newer_count < RETENTION_SNAPSHOTS;
}

struct retention_log {
    uint64_t seq_snapshot; /* of the oldest snapshot that is kept; 0: there are fewer than two */
    bool has_archive;
    uint64_t seq_archived; /* everything up to it is in the archive */
    uint64_t seq_replica;  /* the oldest that a connected replica needs next; 0: there is none */
    uint64_t seq_allowed;  /* nothing before it is kept for a replica */
};

/* Whatever the log holds before this seq may go; 0: nothing. */
uint64_t retention_log_seq(const struct retention_log *log);

struct retention_archive {
    uint64_t keep_us;    /* 0: whatever its age */
    uint64_t keep_bytes; /* 0: whatever its size */
    uint64_t time_us;    /* of the last change that is archived */
    uint32_t gone_min;   /* so many of the oldest go in any case, but for the newest file */
};

/* A file of an archive. */
struct retention_file {
    uint64_t size_bytes;
    uint64_t end_us; /* all changes in it are before that; 0: not known, it is not too old */
};

/* How many of the oldest of these files may go. They are in order, the oldest first. */
uint32_t retention_archive_gone(const struct retention_archive *archive,
                                const struct retention_file *files, uint32_t file_count);

#endif
