/* The newest durable blocks of the log in memory, for all replicas that are near its end.
 *
 * One ring of a fixed size: adding a block drops the oldest ones that are in the way. Blocks are
 * numbered from 1 as they are added. A reader has nothing but the number of the block that it reads
 * next, so that it costs nothing: when that block was dropped before it was read, it is told so,
 * and reads from the files (wal/cursor.h) until it has come near the end again.
 *
 * A place in the chain is given as the seq and the checksum of the block before it: with the same
 * seq a chain can have a block without commands and the one chained to it. The former is not handed
 * out before the latter is there: if there was a crash between them, recovery would leave it out.
 */
#ifndef TILL_WAL_RING_H
#define TILL_WAL_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/block.h"

enum wal_ring_result {
    WAL_RING_FOUND, /* there, or right after the newest block */
    WAL_RING_GONE,  /* older than what the ring has */
    WAL_RING_OTHER, /* the chain of this ring does not have that place: another history, or later */
};

struct wal_ring_entry;

struct wal_ring {
    uint8_t *bytes;
    size_t size_bytes;
    struct wal_ring_entry *entries; /* by number modulo entries_max */
    uint64_t entries_max;
    uint64_t number_first; /* the oldest block; number_next when there is none */
    uint64_t number_next;  /* what the next block gets */
    uint64_t number_end;   /* who reads next this one has read everything: number_next, or the first
                              of some blocks without commands that none with commands follows yet */
    uint64_t bytes_total;  /* of all blocks ever added */
    uint64_t seq;          /* the place that the next block continues, */
    uint64_t checksum;
    bool is_begun; /* when it is known */
};

/* size_bytes: a multiple of WAL_ALIGN, at least WAL_BLOCK_SIZE_MAX. False when there is no memory.
 * deinit may follow a failed init. */
bool wal_ring_init(struct wal_ring *ring, size_t size_bytes);
void wal_ring_deinit(struct wal_ring *ring);

/* Drops all blocks; what was counted goes on. */
void wal_ring_clear(struct wal_ring *ring);

/* Says, while the ring is empty, which place the first block will continue: the end of the log when
 * it is opened; 0 and 0 for a log without a block. Until the first block the ring is of use only
 * for that place. */
void wal_ring_begin(struct wal_ring *ring, uint64_t seq, uint64_t checksum);

/* Adds the next block of the chain; the image has block_size bytes, and is copied. */
void wal_ring_add(struct wal_ring *ring, const struct wal_block *block, const uint8_t *image);

/* The number of the block that continues that place, which may be the next one to be added.
 * Checksum 0: of the block with the seq after `seq`, whatever is before it. */
enum wal_ring_result wal_ring_find(const struct wal_ring *ring, uint64_t seq, uint64_t checksum,
                                   uint64_t *number);

/* Copies whole blocks from *number on, each behind `gap` bytes that are left as they are, as many
 * as fit into size bytes, and advances *number, up to number_end. *size_read is 0 when there is
 * none yet: a room of gap + WAL_BLOCK_SIZE_MAX takes any block. FOUND or GONE. */
enum wal_ring_result wal_ring_read(const struct wal_ring *ring, uint64_t *number, size_t gap,
                                   uint8_t *bytes, size_t size, size_t *size_read);

/* Bytes of all blocks ever added before that number; of a dropped one, as of the oldest. The
 * difference of two is how far one is behind the other. */
uint64_t wal_ring_bytes_before(const struct wal_ring *ring, uint64_t number);

#endif
