/* The deadlines of holds: a ring of quarter-second buckets, each a chain of chunks of order
 * numbers in the order they were set.
 *
 * Nothing is ever taken out early: an order that was confirmed or extended leaves a stale entry,
 * which is looked at once, when its time comes, and dropped. So setting a deadline appends four
 * bytes to a chunk that is in the cache, and ending an order touches nothing here. A bitmap of the
 * buckets in use finds the next one. */
#ifndef TILL_ENGINE_DEADLINES_H
#define TILL_ENGINE_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/limits.h"
#include "engine/keep.h"
#include "engine/records.h"

#define DEADLINE_BUCKET_SHIFT 18 /* 2^18 us a bucket */
#define DEADLINE_BUCKETS      (1u << 22)

static_assert(((uint64_t)DEADLINE_BUCKETS << DEADLINE_BUCKET_SHIFT) >
                  (HOLD_MAX_S + 2) * US_PER_SECOND,
              "the ring spans the longest hold");
static_assert((1u << DEADLINE_BUCKET_SHIFT) < TICK_US, "a bucket passes within a tick");

struct deadlines {
    struct arena chunks;
    struct deadline_bucket *buckets;
    uint64_t *in_use;      /* bitmap of the buckets */
    uint64_t bucket_first; /* absolute numbers: the first and last in use, when count > 0 */
    uint64_t bucket_last;
    uint64_t bucket_due;       /* buckets before it are counted in due_count */
    uint64_t bucket_uncounted; /* the first in use from bucket_due on; UINT64_MAX: none */
    uint64_t count;
    uint64_t due_count;
    uint32_t chunks_free;
    uint32_t capacity;
    struct keeper *keeper; /* of the snapshot being written; NULL: none is */
};

bool deadlines_init(struct deadlines *deadlines, uint32_t capacity);
void deadlines_deinit(struct deadlines *deadlines);
uint64_t deadlines_bytes(const struct deadlines *deadlines);

static inline uint64_t deadlines_buckets_bytes(void)
{
    return sizeof(struct deadline_bucket) * DEADLINE_BUCKETS;
}

/* Can a deadline be added now? False when the table is full, or so far behind the clock that the
 * ring does not span both. */
bool deadlines_has_room(const struct deadlines *deadlines, uint64_t now_us, uint64_t deadline_us);
void deadlines_add(struct deadlines *deadlines, uint64_t deadline_us, uint32_t order);

/* Entries in buckets that have wholly passed at now_us; the time when the next one will have. */
uint64_t deadlines_due(struct deadlines *deadlines, uint64_t now_us);
uint64_t deadlines_next_us(const struct deadlines *deadlines);

/* Takes the next entry of a bucket that has wholly passed; 0 when there is none. */
uint32_t deadlines_take(struct deadlines *deadlines, uint64_t now_us);

/* Visits every entry with a time in its bucket's quarter-second. For checks. */
void deadlines_each(const struct deadlines *deadlines,
                    void (*visit)(void *context, uint64_t bucket_us, uint32_t order),
                    void *context);

/* Finds the buckets in use and those due anew, after the buckets and chunks were loaded. */
void deadlines_rebuild(struct deadlines *deadlines);

/* The first moment of the quarter-second that a deadline is kept under. */
static inline uint64_t deadline_bucket_us(uint64_t deadline_us)
{
    return deadline_us >> DEADLINE_BUCKET_SHIFT << DEADLINE_BUCKET_SHIFT;
}

#endif
