/* Reads durable blocks of a log while a server writes it, from a place on, for a replica that is
 * further behind than the ring in memory reaches (wal/ring.h).
 *
 *   CURSOR_LOST --wal_cursor_seek, a file has the place--> CURSOR_IN_LOG or CURSOR_IN_ARCHIVE
 *   CURSOR_IN_LOG, CURSOR_IN_ARCHIVE --wal_cursor_seek, or wal_cursor_read finds nothing more in
 *   this file, and seeks--> CURSOR_LOST
 *
 * It reads the segments of the data folder, and where these do not reach back far enough, the files
 * of an archive. Its calls block: they are made in a lane of the io, one at a time. It shares
 * nothing with the writer but the folder: of struct disk it uses only what lists and reads, with
 * handles of its own, and what is durable it is told by the caller. So a segment may be released
 * and written again under it; the chain of checksums tells. */
#ifndef TILL_WAL_CURSOR_H
#define TILL_WAL_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "wal/block.h"

enum { WAL_CURSOR_ERROR_SIZE = 512 };

enum wal_cursor_result {
    WAL_CURSOR_READY,
    WAL_CURSOR_GONE,  /* no file reaches back so far (any more): a snapshot is needed */
    WAL_CURSOR_OTHER, /* the log does not have that place: another history, or it ends before it */
    WAL_CURSOR_ERROR, /* cursor->error says what could not be read, or is damaged */
};

enum wal_cursor_state { CURSOR_LOST, CURSOR_IN_LOG, CURSOR_IN_ARCHIVE };

struct wal_cursor {
    char error[WAL_CURSOR_ERROR_SIZE];

    /* The place: that of the last block read, or what was sought. wal_ring_find with both tells
     * whether the ring goes on from here. */
    uint64_t seq;
    uint64_t checksum;

    /* Private. */
    enum wal_cursor_state state;
    struct disk *log;
    struct disk *archive; /* NULL: there is none */
    struct disk *folder;  /* the one of them that the file is in */
    int file;             /* -1: none is open */
    char name[DISK_NAME_SIZE];
    uint32_t segment; /* its number, in the log */
    uint64_t offset;  /* of the next block */
    uint8_t *window;
    uint64_t window_offset;
    uint64_t window_size;
};

/* `archive` may be NULL. False when there is no memory: the cursor holds one window of 1 MiB. The
 * disks stay open longer than the cursor. deinit may follow a failed init; not during a call. */
bool wal_cursor_init(struct wal_cursor *cursor, struct disk *log, struct disk *archive);
void wal_cursor_deinit(struct wal_cursor *cursor);

/* Finds the place after the block that has this checksum and whose last seq is `seq`, which must be
 * durable. Checksum 0: before the block that has seq + 1, whatever is before it. */
enum wal_cursor_result wal_cursor_seek(struct wal_cursor *cursor, uint64_t seq, uint64_t checksum);

/* Reads whole blocks, checked, in order, each behind `gap` bytes that are left as they are, as many
 * as fit into size bytes: up to the one with the seq seq_max, which is durable. *size_read is 0
 * when there is none: a room of gap + WAL_BLOCK_SIZE_MAX takes any block. A block without commands
 * is read when the one that is chained to it is durable. When the result is not READY, what was
 * read before it, *size_read bytes, is good. */
enum wal_cursor_result wal_cursor_read(struct wal_cursor *cursor, uint64_t seq_max, size_t gap,
                                       uint8_t *bytes, size_t size, size_t *size_read);

#endif
