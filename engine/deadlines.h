/* The deadlines of everything that ends at a time: holds, and whatever else has a row of TIMER in
 * engine/tables/tables.h.
 *
 * An entry is a timer's number and a record. Entries stand in buckets, each a chain of chunks in
 * the order in which they were set. The near buckets are quarters of a second and span twelve days;
 * what lies further stands in far buckets of 19 hours each, which span 35 years and are opened a
 * bucket before their time: each of their entries is then set again by its record's time.
 *
 *   set ---near---> near bucket --its time--> due: the record is looked at
 *    |                  ^
 *    +---far----> far bucket --a bucket before its time--> set again
 *
 * Nothing is ever taken out early: a hold that was confirmed or extended leaves a stale entry,
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

#define DEADLINE_NEAR_SHIFT   18 /* 2^18 us a near bucket */
#define DEADLINE_NEAR_BUCKETS (1u << 22)
#define DEADLINE_FAR_SHIFT    36 /* 2^36 us a far bucket */
#define DEADLINE_FAR_BUCKETS  (1u << 14)
#define DEADLINE_BUCKETS      (DEADLINE_NEAR_BUCKETS + DEADLINE_FAR_BUCKETS)

static_assert(((uint64_t)DEADLINE_NEAR_BUCKETS << DEADLINE_NEAR_SHIFT) >
                  (HOLD_MAX_S + 2) * US_PER_SECOND,
              "the near buckets span the longest hold");
static_assert((4ULL << DEADLINE_FAR_SHIFT) < (uint64_t)DEADLINE_NEAR_BUCKETS << DEADLINE_NEAR_SHIFT,
              "what a far bucket has when it is opened fits the near ones");
static_assert((1u << DEADLINE_NEAR_SHIFT) < TICK_US, "a near bucket passes within a tick");

/* An entry: the timer in the bits above the record. */
enum { DEADLINE_RECORD_BITS = 28, TIMERS_MAX = 16 };

static inline uint32_t deadline_entry(unsigned timer, uint32_t record)
{
    return (uint32_t)timer << DEADLINE_RECORD_BITS | record;
}

static inline unsigned deadline_timer(uint32_t entry)
{
    return entry >> DEADLINE_RECORD_BITS;
}

static inline uint32_t deadline_record(uint32_t entry)
{
    return entry & ((1u << DEADLINE_RECORD_BITS) - 1);
}

/* A ring of buckets. Their numbers are absolute: a time by the length of a bucket. */
struct wheel {
    uint64_t first; /* first and last in use, when count > 0 */
    uint64_t last;
    uint64_t count; /* entries */
};

struct deadlines {
    struct arena chunks;
    struct deadline_bucket *buckets; /* the near ones, then the far ones */
    uint64_t *in_use;                /* bitmap of the buckets */
    struct wheel near;
    struct wheel far;
    uint64_t bucket_due;       /* near buckets before it are counted in due_count */
    uint64_t bucket_uncounted; /* the first in use from bucket_due on; UINT64_MAX: none */
    uint64_t due_count;
    uint32_t chunks_free;
    uint32_t capacity;
    uint32_t limit; /* the capacity less what is kept for deadlines that must be set some day */
    struct keeper *keeper; /* of the snapshot being written; NULL: none is */

    /* The near bucket that was last set a deadline in, and its last chunk: most that follow go to
     * the same place. UINT64_MAX: none. */
    uint64_t open_number;
    struct deadline_bucket *open_bucket;
    struct deadline_chunk *open_chunk;
};

bool deadlines_init(struct deadlines *deadlines, uint32_t capacity);
void deadlines_deinit(struct deadlines *deadlines);
uint64_t deadlines_bytes(const struct deadlines *deadlines);

static inline uint64_t deadlines_buckets_bytes(void)
{
    return sizeof(struct deadline_bucket) * DEADLINE_BUCKETS;
}

static inline uint64_t deadlines_count(const struct deadlines *deadlines)
{
    return deadlines->near.count + deadlines->far.count;
}

/* May one more be set, and how many may? */
static inline bool deadlines_has_room(const struct deadlines *deadlines)
{
    return deadlines_count(deadlines) < deadlines->limit;
}

static inline uint64_t deadlines_room(const struct deadlines *deadlines)
{
    return deadlines_has_room(deadlines) ? deadlines->limit - deadlines_count(deadlines) : 0;
}

/* Keeps room for so many, in all. */
static inline void deadlines_keep(struct deadlines *deadlines, uint32_t count)
{
    deadlines->limit = count < deadlines->capacity ? deadlines->capacity - count : 0;
}

/* Sets a deadline; now_us is the engine's time. One that has passed is due at once. */
void deadlines_add(struct deadlines *deadlines, uint64_t now_us, uint64_t deadline_us,
                   uint32_t entry);

/* The same for one that goes where the last one went, in few instructions; false, with nothing set,
 * when it does not, or has passed, or a snapshot may have to keep what is changed. */
static inline bool deadlines_add_open(struct deadlines *deadlines, uint64_t now_us,
                                      uint64_t deadline_us, uint32_t entry)
{
    if (deadline_us >> DEADLINE_NEAR_SHIFT != deadlines->open_number || deadline_us < now_us ||
        deadlines->open_chunk->end == DEADLINE_CHUNK_ORDERS || deadlines->keeper != NULL)
        return false;
    deadlines->open_chunk->orders.at[deadlines->open_chunk->end++] = entry;
    deadlines->open_bucket->count++;
    deadlines->near.count++;
    return true;
}

/* Entries to be taken at now_us: of near buckets that have wholly passed, and of the first far one
 * if it is to be opened. The time when there will be some, UINT64_MAX without any entry. */
uint64_t deadlines_due(struct deadlines *deadlines, uint64_t now_us);
uint64_t deadlines_next_us(const struct deadlines *deadlines);

/* Takes the next entry that is due, the near ones first. */
enum deadline_taken {
    DEADLINE_NONE,
    DEADLINE_DUE, /* look at its record */
    DEADLINE_FAR, /* set it again at its record's time, if that is still to come */
};
enum deadline_taken deadlines_take(struct deadlines *deadlines, uint64_t now_us, uint32_t *entry);

/* Visits every entry with the time at which its bucket begins. For checks. */
void deadlines_each(const struct deadlines *deadlines,
                    void (*visit)(void *context, uint64_t bucket_us, bool is_far, uint32_t entry),
                    void *context);

/* The time at which the near bucket of a deadline begins. */
static inline uint64_t deadline_bucket_us(uint64_t deadline_us)
{
    return deadline_us >> DEADLINE_NEAR_SHIFT << DEADLINE_NEAR_SHIFT;
}

/* So many buckets, from the slot `first` on, are about to be loaded: they may be in use. */
void deadlines_load(struct deadlines *deadlines, uint32_t first, uint32_t count);

/* After buckets and chunks were loaded: finds which of the buckets are in use. Which are due is
 * counted anew when somebody asks. */
void deadlines_rebuild(struct deadlines *deadlines);

#endif
