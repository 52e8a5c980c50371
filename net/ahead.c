/* The ring: the thread fills slots and counts them as filled, the caller takes them and counts them
 * as free again. A block has one slot or more, one for each batch; so a block of any size goes
 * through the ring.
 *
 * Who finds nothing to do sleeps until the other has moved on; the thread, until half of the ring
 * is free, so that the two do not wake each other for every slot. The counts are atomic: a lock is
 * taken only to sleep and to wake. Both sides first say that they sleep, or have moved on, and then
 * look at what the other said: one of the two sees it.
 *
 * What can fail: nothing here. What the reader finds wrong is handed on, and ends the reading.
 *
 * What must hold: the thread alone uses the reader and the decoder until it was joined; a slot is
 * the thread's while it is free, and the caller's from filled to free. */
#include "net/ahead.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"

/* Slots, of which the caller holds HELD_SLOTS: the batch that waits, and the one taken last. */
enum { RING_SLOTS = 64, HELD_SLOTS = 2, CACHE_LINE = 64 };

struct ahead_slot {
    struct wal_reader reader; /* of a block's first slot */
    enum wal_read read;
    bool is_first; /* of its block, */
    bool is_last;  /* and this tells whether all of it was decoded */
    bool is_malformed;
    uint64_t seq_next;
    struct batch batch; /* its count is 0: the block has none */
};

struct ahead_ring {
    struct wal_reader *reader;
    struct decoder *decoder;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    atomic_bool is_stopping;
    atomic_bool filler_sleeps;
    atomic_bool taker_sleeps;
    alignas(CACHE_LINE) atomic_uint_fast64_t filled; /* slots so far */
    alignas(CACHE_LINE) atomic_uint_fast64_t freed;
    uint64_t taken; /* the caller's; it has not freed all of them */
    bool has_batch; /* the slot taken last has a batch that was not handed out */
    struct ahead_slot slots[RING_SLOTS];
};

static struct ahead_slot *slot_at(struct ahead_ring *ring, uint64_t number)
{
    return &ring->slots[number % RING_SLOTS];
}

static bool has_room(struct ahead_ring *ring, uint64_t slots)
{
    return atomic_load(&ring->filled) - atomic_load(&ring->freed) + slots <= RING_SLOTS;
}

static bool may_fill(struct ahead_ring *ring)
{
    return atomic_load(&ring->is_stopping) || has_room(ring, RING_SLOTS / 2);
}

static bool may_take(struct ahead_ring *ring)
{
    return atomic_load(&ring->filled) > ring->taken;
}

static void sleep_until(struct ahead_ring *ring, bool (*is_so)(struct ahead_ring *),
                        atomic_bool *sleeps)
{
    pthread_mutex_lock(&ring->mutex);
    atomic_store(sleeps, true);
    while (!is_so(ring))
        pthread_cond_wait(&ring->moved, &ring->mutex);
    atomic_store(sleeps, false);
    pthread_mutex_unlock(&ring->mutex);
}

/* Wakes the other side if it sleeps. */
static void wake(struct ahead_ring *ring, atomic_bool *sleeps)
{
    if (!atomic_load(sleeps))
        return;
    pthread_mutex_lock(&ring->mutex);
    pthread_cond_broadcast(&ring->moved);
    pthread_mutex_unlock(&ring->mutex);
}

/* The next free slot; NULL: the caller does not want any more. */
static struct ahead_slot *slot_free(struct ahead_ring *ring)
{
    if (!has_room(ring, 1))
        sleep_until(ring, may_fill, &ring->filler_sleeps);
    return atomic_load(&ring->is_stopping) ? NULL : slot_at(ring, atomic_load(&ring->filled));
}

/* Puts the next batch of the block, if it has one, into the slot, which is the caller's then. */
static void slot_fill(struct ahead_ring *ring, struct ahead_slot *slot, bool is_first)
{
    struct decoder *decoder = ring->decoder;
    slot->is_first = is_first;
    slot->batch.count = 0;
    if (decoder->has_more)
        decoder_fill(decoder, &slot->batch);
    slot->is_last = !decoder->has_more;
    slot->is_malformed = decoder->is_malformed;
    slot->seq_next = decoder->seq_next;
    atomic_fetch_add(&ring->filled, 1);
    wake(ring, &ring->taker_sleeps);
}

/* Reads the next block, and begins to decode it. */
static enum wal_read block_read(struct wal_reader *reader, struct decoder *decoder)
{
    enum wal_read read = wal_reader_next(reader);
    if (read == WAL_READ_BLOCK && reader->fields != NULL)
        decoder_begin(decoder, &reader->block, reader->ids, reader->fields);
    else
        decoder_end(decoder);
    return read;
}

static void *run(void *context)
{
    struct ahead_ring *ring = context;
    struct ahead_slot *slot;
    enum wal_read read = WAL_READ_BLOCK;
    while (read == WAL_READ_BLOCK && (slot = slot_free(ring)) != NULL) {
        slot->read = read = block_read(ring->reader, ring->decoder);
        slot->reader = *ring->reader;
        slot_fill(ring, slot, true);
        while (ring->decoder->has_more && (slot = slot_free(ring)) != NULL)
            slot_fill(ring, slot, false);
    }
    return NULL;
}

bool ahead_has_core(void)
{
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1;
}

static void ring_free(struct ahead_ring *ring)
{
    pthread_cond_destroy(&ring->moved);
    pthread_mutex_destroy(&ring->mutex);
    free(ring);
}

/* Without a thread when there is no memory for its ring, or it is refused. */
static void ring_open(struct ahead *ahead)
{
    struct ahead_ring *ring = aligned_alloc(CACHE_LINE, sizeof *ring);
    if (ring == NULL)
        return;
    ring->reader = ahead->own;
    ring->decoder = ahead->decoder;
    pthread_mutex_init(&ring->mutex, NULL);
    pthread_cond_init(&ring->moved, NULL);
    atomic_init(&ring->filled, 0);
    atomic_init(&ring->freed, 0);
    atomic_init(&ring->filler_sleeps, false);
    atomic_init(&ring->taker_sleeps, false);
    atomic_init(&ring->is_stopping, false);
    ring->taken = 0;
    ring->has_batch = false;
    if (pthread_create(&ring->thread, NULL, run, ring) == 0)
        ahead->ring = ring;
    else
        ring_free(ring);
}

bool ahead_open(struct ahead *ahead, struct wal_reader *reader, bool wants_thread)
{
    *ahead = (struct ahead){
        .reader = reader, .decoder = decoder_create(), .own = reader, .read = WAL_READ_BLOCK};
    if (ahead->decoder == NULL)
        return false;
    ahead->seen = *reader;
    if (wants_thread)
        ring_open(ahead);
    if (ahead->ring != NULL)
        ahead->reader = &ahead->seen;
    return true;
}

void ahead_close(struct ahead *ahead)
{
    struct ahead_ring *ring = ahead->ring;
    if (ring != NULL) {
        atomic_store(&ring->is_stopping, true);
        wake(ring, &ring->filler_sleeps);
        pthread_join(ring->thread, NULL);
        ring_free(ring);
    }
    decoder_destroy(ahead->decoder);
    ahead->ring = NULL;
    ahead->decoder = NULL;
    ahead->reader = ahead->own;
}

/* Takes the next slot, and frees the one that was taken HELD_SLOTS before. */
static struct ahead_slot *slot_take(struct ahead_ring *ring)
{
    if (!may_take(ring))
        sleep_until(ring, may_take, &ring->taker_sleeps);
    struct ahead_slot *slot = slot_at(ring, ring->taken++);
    if (ring->taken > HELD_SLOTS) {
        atomic_store(&ring->freed, ring->taken - HELD_SLOTS);
        if (may_fill(ring))
            wake(ring, &ring->filler_sleeps);
    }
    ring->has_batch = slot->batch.count > 0;
    return slot;
}

enum wal_read ahead_next(struct ahead *ahead)
{
    struct ahead_ring *ring = ahead->ring;
    TILL_ASSERT(ahead->read == WAL_READ_BLOCK);
    if (ring == NULL) {
        ahead->read = block_read(ahead->own, ahead->decoder);
        return ahead->read;
    }
    struct ahead_slot *slot = slot_take(ring);
    while (!slot->is_first) /* what was not asked for of the block before */
        slot = slot_take(ring);
    ahead->seen = slot->reader;
    ahead->read = slot->read;
    return ahead->read;
}

struct batch *ahead_batch(struct ahead *ahead)
{
    struct ahead_ring *ring = ahead->ring;
    if (ring == NULL) {
        struct batch *batch = decoder_next(ahead->decoder);
        ahead->is_malformed = ahead->decoder->is_malformed;
        ahead->seq_next = ahead->decoder->seq_next;
        return batch;
    }
    TILL_ASSERT(ring->taken > 0);
    struct ahead_slot *slot = slot_at(ring, ring->taken - 1);
    if (!ring->has_batch && !slot->is_last)
        slot = slot_take(ring);
    ahead->is_malformed = slot->is_malformed;
    ahead->seq_next = slot->seq_next;
    if (!ring->has_batch)
        return NULL;
    ring->has_batch = false;
    return &slot->batch;
}
