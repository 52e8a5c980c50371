/* The archive's insides. Each file calls only those before it:
 *
 *   archive_label.c    the label as a file
 *   archive_retain.c   the label that goes up to a segment, and which old files it gives up
 *   archive_copy.c     copying one segment, in a lane of the io
 *   archive.c          the loop's side: what is copied when
 *   archive_open.c     opening: do the archive and the log belong together? */
#ifndef TILL_WAL_ARCHIVE_STATE_H
#define TILL_WAL_ARCHIVE_STATE_H

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "wal/archive.h"
#include "wal/archive_label.h"
#include "wal/segment.h"

enum { ARCHIVE_PIECE_SIZE = 1 << 20 };

static_assert(ARCHIVE_PIECE_SIZE >= WAL_BLOCK_SIZE_MAX, "a piece has a block at least");

/* What the lane works on. While a piece is being copied it belongs to the lane. */
struct archive_copy {
    struct disk *log;
    struct disk *folder;
    struct archive_options options;
    struct archive_label label; /* as it was last published, */
    bool is_label_due;          /* unless it was not: before anything else */
    struct wal_closed closed;   /* the segment that is being copied; number 0: none */
    int from;                   /* its file, */
    int to;                     /* and the copy's; -1: not open */
    uint64_t offset;            /* copied up to it */
    uint64_t seq_due;           /* of the next block */
    uint64_t previous;          /* checksum of the last block copied */
    uint64_t end;     /* checksum of the segment's last block: the next segment's first names it */
    uint64_t time_us; /* of the last block copied, */
    uint64_t epoch;   /* and its epoch */
    uint32_t removed_count;
    bool is_published;
    uint8_t *piece;
    uint8_t *page; /* of another segment; the piece keeps what it has */
    char error[ARCHIVE_ERROR_SIZE];
};

/* See the drawing in archive.h. */
enum archive_phase { ARCHIVE_IDLE, ARCHIVE_WAITING, ARCHIVE_WORKING };

struct archive {
    struct io *io;
    const struct wal *wal;
    struct archive_status status;
    struct archive_history history;
    struct archive_copy copy;
    uint64_t hole_first; /* the last seqs missing between files; 0: none */
    uint64_t hole_last;
    enum archive_phase phase;
    uint64_t due_us; /* of the next piece, or try */
};

/* Says what is wrong, and gives the result on. */
#define archive_fail(error, result, ...)                                                           \
    ((void)error_set(error, ARCHIVE_ERROR_SIZE, __VA_ARGS__), (result))

/* archive_retain.c */

/* Publishes a label, and takes it for the archive's. 0 or -errno. */
int archive_label_change(struct archive_copy *copy, const struct archive_label *label);

/* Publishes a label that goes up to where `label` does, and begins after the files that go: as many
 * as the options say, at least `least_count` of them, never the newest. Then removes these files,
 * and what an earlier label has given up. 0 or -errno. */
int archive_label_advance(struct archive_copy *copy, struct archive_label label, int least_count);

/* archive_copy.c */

/* Copies the next piece of the segment, and publishes the copy after the last one. 0, or -errno
 * with a message, after which the segment is begun again. `context` is the copy. */
int archive_copy_work(void *context);
void archive_copy_close(struct archive_copy *copy);

#endif
