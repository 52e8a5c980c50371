/* The segment files of the log: `wal-NNNNNNNNNN.log`, numbered without a gap, oldest first. */
#ifndef TILL_WAL_SEGMENT_H
#define TILL_WAL_SEGMENT_H

#include <stdint.h>

#include "base/disk.h"

struct wal_segment {
    uint32_t number;     /* not zero */
    uint64_t size_bytes; /* whole WAL_ALIGN units */
    uint64_t start;      /* bytes in the segments before it: positions in the log are linear */
};

void wal_segment_name(uint32_t number, char name[DISK_NAME_SIZE]);

/* Lists the segments of the folder in ascending order. Returns their count or -errno; the caller
 * frees *segments. */
int wal_segments_list(struct disk *disk, struct wal_segment **segments);

#endif
