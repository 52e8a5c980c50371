/* The log's writes to the disk: of a block, of the seal, of a page of the note.
 *
 *   WRITE_IDLE --wal_write_start--> WRITE_UNDER_WAY --wal_write_finish--> WRITE_IDLE
 *                                      |       ^
 *     wal_write_finish, the disk is full       |  wal_write_start, a second later
 *                                      v       |
 *                                   WRITE_REFUSED
 *
 * Only a write that failed for want of room may be tried again, unlike any other, and unlike a
 * flush. Nothing was answered that depends on it: until it succeeds, neither it nor a block after
 * it counts as durable. The same bytes go to the same place, all of them, so whatever part of the
 * first try reached the disk is overwritten with the same bytes; and the second try has a flush of
 * its own, after all of its bytes. What a failed flush may lose silently, bytes that the system
 * takes for written and does not write again, are therefore not relied on. A crash between the
 * tries leaves a torn write, and whole blocks behind it whose watermarks claim nothing of it:
 * recovery cuts both. Any other error says that the disk does not do what it should, and ends the
 * log. */
#ifndef TILL_WAL_WRITE_H
#define TILL_WAL_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/io.h"

enum wal_write_state { WRITE_IDLE, WRITE_UNDER_WAY, WRITE_REFUSED };

/* One write. The bytes stay as they are until it is idle again. */
struct wal_write {
    const uint8_t *bytes;
    uint64_t offset;
    uint64_t user;
    uint32_t size_bytes;
    int file;
    enum wal_write_state state;
};

/* All writes of one log. */
struct wal_writes {
    struct io *io;
    struct disk *disk;
    uint32_t under_way_count;
    uint32_t refused_count;
    uint64_t refused_us; /* when one was refused last, or they were all tried again */
};

/* Hands a write to the disk, for the first time or again. */
void wal_write_start(struct wal_writes *writes, struct wal_write *write);

/* Takes in how it ended: 0, -ENOSPC or -EDQUOT when it was refused, or another error, which is
 * fatal; the write is of no use then. */
int wal_write_finish(struct wal_writes *writes, struct wal_write *write, int result);

static inline bool wal_write_is_refusal(int result)
{
    return result == -ENOSPC || result == -EDQUOT;
}

#endif
