/* What the parts of `till backup` have in common: cli/backup.c opens source and target and decides
 * what is done, backup_image.c copies a snapshot, backup_log.c the log, and backup_target.c knows
 * what the target holds, labels it and removes what it no longer needs. */
#ifndef TILL_CLI_BACKUP_H
#define TILL_CLI_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/progress.h"
#include "snapshot/backup_label.h"
#include "snapshot/loader.h"
#include "wal/reader.h"

enum { BACKUP_PIECE_SIZE = 1 << 20 };

/* How a step ended. STEP_AGAIN: a server that goes on meanwhile may be the reason why it failed. */
enum backup_step { STEP_DONE, STEP_AGAIN, STEP_FAILED };

/* What the target holds. */
struct backup_holding {
    struct loader snapshots; /* the newest first */
    struct wal_end log;      /* where the log ends; segment 0: there is no log */
    struct wal_note note;    /* what log-note.till should say; segment 0: there is no log */
    uint64_t log_first;      /* first seq of the log; 0: it has no block */
    uint32_t segment_last;   /* number of the last file; 0: none */
};

struct backup {
    const char *data;
    const char *path;
    uint32_t rate_mib;
    bool is_new; /* the target was empty when this run began */
    struct disk *source;
    struct disk *target;
    struct backup_holding held;
    struct backup_label label;  /* of the target */
    struct backup_label origin; /* of the source, which may be a backup too */
    bool is_of_backup;
    uint64_t epoch; /* of the newest snapshot in the target */
    struct progress progress;
    uint8_t *piece;
    uint64_t bytes_copied;
    uint64_t paced_from_us; /* when the first of them was copied */
    /* The segment being written in the target. */
    int file; /* -1: none */
    uint32_t segment;
    uint64_t offset;
    uint32_t fill_bytes; /* bytes of the piece that are not written yet */
    bool must_note;      /* log-note.till must be written before the segment is published */
    char error[WAL_ERROR_SIZE];
};

/* cli/backup.c. */

/* Notes what is wrong; STEP_FAILED. */
#define backup_fail(backup, ...)                                                                   \
    ((void)error_set((backup)->error, sizeof(backup)->error, __VA_ARGS__),                         \
     (enum backup_step)STEP_FAILED)
enum backup_step backup_fail_at(struct backup *backup, const struct disk *disk, const char *name,
                                int64_t result);

/* A failure that a server may have caused which goes on meanwhile. */
enum backup_step backup_again(enum backup_step failed);

/* Counts bytes as copied, and waits until so many are due at the rate. */
void backup_pace(struct backup *backup, uint64_t bytes);

/* cli/backup_image.c. */

/* Reads a snapshot in the target from its first to its last byte. */
enum backup_step backup_image_check(struct backup *backup, const char *name, uint64_t seq);

/* Copies the snapshot of that seq, continues what an earlier run left of it, and publishes it once
 * it is verified. */
enum backup_step backup_image_copy(struct backup *backup, uint64_t seq);

/* cli/backup_log.c: copies the blocks that have something after seq, as far as the source's log
 * goes now: that is seq_durable at least. */
enum backup_step backup_log_copy(struct backup *backup, uint64_t seq, uint64_t seq_durable);

/* cli/backup_target.c. */

/* Finds out what the target holds; checks each block of its log. */
enum backup_step backup_take_stock(struct backup *backup);

/* The seq of the newest snapshot; 0: there is none. */
uint64_t backup_newest(const struct backup_holding *holding);

/* The last seq that a folder gives when it is started from. */
uint64_t backup_last_seq(const struct backup_holding *holding);

/* Copies which shop the source is of; what its server is to others, a member or a replica, stays
 * behind. A target of another shop is refused. */
enum backup_step backup_shop_copy(struct backup *backup);

/* The size of a file; 0: it is not there. */
uint64_t backup_size_of(struct disk *disk, const char *name);

/* Writes the copy's own note of its log. */
enum backup_step backup_note_write(struct backup *backup);

/* Everything is there: reads it again, publishes the label, and removes what is older. */
enum backup_step backup_finish(struct backup *backup);

#endif
