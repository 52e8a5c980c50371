/* The segments of the log: their files' names, and listing them.
 *
 *   wal-NNNNNNNNNN.log             a segment in the data folder, numbered in order without a gap,
 * of a fixed size: there is free space after the last block log-FIRST-LAST.till            a
 * segment in an archive, named by its first and last seq, with twenty digits each; it has blocks
 * only, without free space */
#ifndef TILL_WAL_SEGMENT_H
#define TILL_WAL_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "wal/block.h"

struct wal_segment {
    char name[DISK_NAME_SIZE];
    uint32_t number;     /* from 1; an archived segment's is its index in the list + 1 */
    uint64_t size_bytes; /* of the file, rounded down to whole WAL_ALIGN units */
    uint64_t file_bytes; /* of the file */
    uint64_t start;      /* size of all segments before it: its linear position in the log */
    uint64_t seq_first;  /* from the name of an archived segment; else 0 */
    uint64_t seq_last;
};

/* A closed segment: one that is never written to again. All its blocks are durable, and so is the
 * first block of the next segment, so that even after a recovery the log continues there. */
struct wal_closed {
    uint32_t number;
    uint64_t seq_first;
    uint64_t seq_last;
};

enum wal_place { WAL_IN_DATA, WAL_IN_ARCHIVE };

void wal_segment_name(uint32_t number, char name[DISK_NAME_SIZE]);
void wal_archived_name(uint64_t seq_first, uint64_t seq_last, char name[DISK_NAME_SIZE]);

/* Reads the header of the segment's first block. 0 or -errno, -EIO when it is no header. `page` has
 * room for WAL_ALIGN bytes. */
int wal_segment_begin(struct disk *disk, const char *name, uint8_t *page, struct wal_block *block);

/* Lists the segments of the folder, of one kind, oldest first. Returns their count or -errno; the
 * caller frees *segments. */
int wal_segments_list(struct disk *disk, enum wal_place place, struct wal_segment **segments);

#endif
