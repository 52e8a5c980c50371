/* The segments of a log that is open for writing: which files there are, which one is written to,
 * and how one is made ready ahead of need.
 *
 *        first ............ current ............ last
 *        full of blocks     being written        ready: zeros, or stale blocks
 *
 * A ready segment is one that has its full size on the disk. The one after the current segment is
 * kept open, as the spare. Segments know nothing of blocks: the log (wal/wal.c) says where the next
 * block goes, and which segments are no longer needed.
 *
 * New names are given by one operation at a time, in a lane of the io:
 *
 *   SUPPLY_IDLE --prepare_start--> SUPPLY_PREPARING --wal_segments_prepared--> SUPPLY_IDLE
 *   SUPPLY_IDLE --release_start--> SUPPLY_RELEASING --wal_segments_released--> SUPPLY_IDLE
 *                                    |          ^
 *            wal_segments_released,  |          |  wal_segments_turn,
 *            the disk is full        v          |  a second later
 *                                  SUPPLY_BLOCKED
 */
#ifndef TILL_WAL_SEGMENTS_H
#define TILL_WAL_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/io.h"
#include "wal/segment.h"

/* What is known of a segment, by number modulo DISK_ENTRIES_MAX. */
struct wal_known {
    uint64_t size_bytes;
    uint64_t seq_first; /* of its first block; meaningless for ready segments */
    uint64_t previous;  /* checksum that its first block names; known of the current segment only */
};

enum wal_supply { SUPPLY_IDLE, SUPPLY_PREPARING, SUPPLY_RELEASING, SUPPLY_BLOCKED };

struct wal_segments {
    struct io *io;
    struct disk *disk;
    uint64_t size_bytes; /* of a segment that is made now */
    uint64_t user;       /* of the IO_PREPARED and IO_WORKED events */

    uint32_t first; /* numbers */
    uint32_t current;
    uint32_t last;
    uint64_t offset; /* in the current segment, of the next block */
    int file;        /* of the current segment */
    int file_spare;  /* of the one after it; -1: none is open */
    struct wal_known *known;

    enum wal_supply supply;
    bool is_full;         /* the last attempt to get a segment ready found no room on the disk */
    uint64_t refused_us;  /* when that was */
    uint64_t seq_release; /* a release to that seq was asked for and has to wait; 0: none */
    struct {
        uint32_t first; /* the segment to release first, */
        uint32_t count; /* how many, */
        uint32_t done;  /* and how many of them are released */
        uint32_t ahead; /* the number that the first renamed one gets */
        uint32_t renamed;
    } release;
    char prepare_name[DISK_NAME_SIZE];
};

static inline struct wal_known *wal_segments_known(const struct wal_segments *segments,
                                                   uint32_t number)
{
    return &segments->known[number % DISK_ENTRIES_MAX];
}

/* Bytes that are left in the current segment, and in the spare. */
static inline uint64_t wal_segments_room(const struct wal_segments *segments)
{
    return wal_segments_known(segments, segments->current)->size_bytes - segments->offset;
}

static inline uint64_t wal_segments_spare_room(const struct wal_segments *segments)
{
    return segments->file_spare < 0
               ? 0
               : wal_segments_known(segments, segments->current + 1)->size_bytes;
}

/* An IO_PREPARED or IO_WORKED event is to come. */
static inline bool wal_segments_await_event(const struct wal_segments *segments)
{
    return segments->supply == SUPPLY_PREPARING || segments->supply == SUPPLY_RELEASING;
}

/* False when there is no memory. deinit closes the files, and may follow a failed init. */
bool wal_segments_init(struct wal_segments *segments, struct io *io, struct disk *disk,
                       uint64_t size_bytes, uint64_t user);
void wal_segments_deinit(struct wal_segments *segments);

/* The steps of opening, in this order; each gives 0, or -errno with the name of the file.
 *
 * load takes in the files that are there; the next block goes to `offset` of segment `current`.
 * Where there is no file, the first segment is made, and the place is its beginning. `page` has
 * room for WAL_ALIGN bytes.
 *
 * cut removes all segments after the current one.
 *
 * trim removes ready segments that are shorter than size_min, and so of no use.
 *
 * open opens the current segment. */
int wal_segments_load(struct wal_segments *segments, uint32_t current, uint64_t offset,
                      uint8_t *page, char name[DISK_NAME_SIZE]);
int wal_segments_cut(struct wal_segments *segments, char name[DISK_NAME_SIZE]);
int wal_segments_trim(struct wal_segments *segments, uint64_t size_min, char name[DISK_NAME_SIZE]);
int wal_segments_open(struct wal_segments *segments, char name[DISK_NAME_SIZE]);

/* Opens the file of a segment for writing: a handle, or -errno. */
int wal_segments_file(const struct wal_segments *segments, uint32_t number);

/* Where there is no spare, opens a ready segment as one, or else starts to prepare one. 0 or
 * -errno. */
int wal_segments_supply(struct wal_segments *segments);

/* Makes the spare the current segment, whose first block has that seq and names that checksum.
 * Returns the file of the segment that was current: the caller closes it when what was written to
 * it last is done. */
int wal_segments_switch(struct wal_segments *segments, uint64_t seq_first, uint64_t previous);

/* Starts to release the segments that hold nothing from `seq` on and are older than number
 * `keep`: they are renamed to follow the last one, or removed when they have another size than new
 * segments. Returns how many; 0 while names are being given by another operation, or when `keep`
 * is in the way: that is made up for by continue. */
uint32_t wal_segments_release(struct wal_segments *segments, uint64_t seq, uint32_t keep);

/* Starts the release that had to wait, if it may now. */
void wal_segments_continue(struct wal_segments *segments, uint32_t keep);

/* Take in the end of an operation. 0, or -errno when it failed for another reason than a full disk;
 * after that the segments are of no use. */
int wal_segments_prepared(struct wal_segments *segments, int result);
int wal_segments_released(struct wal_segments *segments, int result);

/* Tries again what the disk had no room for, once a second. */
void wal_segments_turn(struct wal_segments *segments);

/* How long until wal_segments_turn has something to do; UINT64_MAX: only after something else. */
uint64_t wal_segments_wait_us(const struct wal_segments *segments);

/* The oldest segment before the current one that has `seq` or something after it, when all of it
 * and the first block of the segment after it are durable. False: there is none yet. */
bool wal_segments_closed(const struct wal_segments *segments, uint64_t seq, uint64_t seq_durable,
                         struct wal_closed *closed);

#endif
