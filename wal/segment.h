/* The files that hold the log.
 *
 *   wal-NNNNNNNNNN.log             a segment in the data folder, numbered without a gap, oldest
 *                                  first, of a fixed size: what follows the last block is room
 *   log-FIRST-LAST.till            a segment in an archive, named by its first and last seq of
 *                                  twenty digits each: blocks and nothing else */
#ifndef TILL_WAL_SEGMENT_H
#define TILL_WAL_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "wal/block.h"

struct wal_segment {
    char name[DISK_NAME_SIZE];
    uint32_t number;     /* not zero; of an archived one its place in the list */
    uint64_t size_bytes; /* whole WAL_ALIGN units, */
    uint64_t file_bytes; /* and all there is */
    uint64_t start;      /* bytes in the segments before it: positions in the log are linear */
    uint64_t seq_first;  /* what the name of an archived one says; 0 of others */
    uint64_t seq_last;
};

/* A segment that the log has left for good: its blocks are durable, and so is one in the segment
 * after it, so that not even a log that was recovered goes on in it. */
struct wal_closed {
    uint32_t number;
    uint64_t seq_first;
    uint64_t seq_last;
};

enum wal_place { WAL_IN_DATA, WAL_IN_ARCHIVE };

void wal_segment_name(uint32_t number, char name[DISK_NAME_SIZE]);
void wal_archived_name(uint64_t seq_first, uint64_t seq_last, char name[DISK_NAME_SIZE]);

/* Reads the header that a segment's file begins with; 0 or -errno, -EIO for what is none. `page`
 * has room for WAL_ALIGN bytes. */
int wal_segment_begin(struct disk *disk, const char *name, uint8_t *page, struct wal_block *block);

/* Lists the segments of the folder, of one kind, oldest first. Returns their count or -errno; the
 * caller frees *segments. */
int wal_segments_list(struct disk *disk, enum wal_place place, struct wal_segment **segments);

#endif
