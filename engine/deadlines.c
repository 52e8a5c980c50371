/* Two rings of buckets over one arena of chunks. Buckets empty in ascending order, so the first in
 * use moves up only when one was emptied, and adding or asking costs no search.
 *
 * What must always hold: a near bucket in use lies less than a round from every other one; so does
 * a far one. A deadline that the near ring does not span goes to the far one, and one beyond that
 * to a far bucket before its time: it is set again when that one opens. A far bucket is opened only
 * when no near one is due, so what it has then fits the near ring.
 *
 * The open bucket is a near one in use that is not counted as due, with its last chunk: deadlines
 * that go there change nothing else. It is closed whenever an entry is taken or a bucket is
 * counted, and moves on with each deadline that is set elsewhere. */
#include "engine/deadlines.h"

#include "base/assert.h"
#include "engine/free_list.h"

enum { CHUNK_LINK = offsetof(struct deadline_chunk, next) };

static uint64_t near_of(uint64_t time_us)
{
    return time_us >> DEADLINE_NEAR_SHIFT;
}

static uint64_t far_of(uint64_t time_us)
{
    return time_us >> DEADLINE_FAR_SHIFT;
}

static uint32_t near_slot(uint64_t bucket)
{
    return (uint32_t)(bucket & (DEADLINE_NEAR_BUCKETS - 1));
}

static uint32_t far_slot(uint64_t bucket)
{
    return DEADLINE_NEAR_BUCKETS + (uint32_t)(bucket & (DEADLINE_FAR_BUCKETS - 1));
}

static const struct deadline_chunk *chunk_at(const struct deadlines *deadlines, uint32_t index)
{
    return arena_at(&deadlines->chunks, index);
}

/* To change a chunk or a bucket, which a snapshot may have to keep. */
static struct deadline_chunk *chunk_edit(struct deadlines *deadlines, uint32_t index)
{
    keep(deadlines->keeper, TABLE_deadline_chunks, index);
    return arena_at(&deadlines->chunks, index);
}

static struct deadline_bucket *bucket_edit(struct deadlines *deadlines, uint32_t slot)
{
    keep(deadlines->keeper, TABLE_deadline_buckets, slot);
    return &deadlines->buckets[slot];
}

/* The bucket, with its last chunk kept as well: adding a deadline looks for a snapshot once. */
static struct deadline_bucket *bucket_to_append(struct deadlines *deadlines, uint32_t slot)
{
    struct deadline_bucket *bucket = &deadlines->buckets[slot];
    if (__builtin_expect(deadlines->keeper != NULL, 0)) {
        keeper_touch(deadlines->keeper, TABLE_deadline_buckets, slot);
        keeper_touch(deadlines->keeper, TABLE_deadline_chunks, bucket->tail);
    }
    return bucket;
}

/* A chunk that bucket_to_append or chunk_take has kept. */
static struct deadline_chunk *chunk_appended(struct deadlines *deadlines, uint32_t index)
{
    return arena_at(&deadlines->chunks, index);
}

/* A chunk in use holds at least one entry, and of a bucket all but the first and the last are full.
 */
static uint32_t chunks_for(uint32_t capacity)
{
    uint64_t spread = (uint64_t)capacity / DEADLINE_CHUNK_ORDERS + 2ULL * DEADLINE_BUCKETS;
    return spread < capacity ? (uint32_t)spread : capacity;
}

bool deadlines_init(struct deadlines *deadlines, uint32_t capacity)
{
    *deadlines = (struct deadlines){.capacity = capacity,
                                    .limit = capacity,
                                    .bucket_uncounted = UINT64_MAX,
                                    .open_number = UINT64_MAX};
    bool chunks =
        arena_init(&deadlines->chunks, sizeof(struct deadline_chunk), chunks_for(capacity));
    deadlines->buckets = memory_map(deadlines_buckets_bytes());
    deadlines->in_use = memory_map(DEADLINE_BUCKETS / 8);
    return chunks && deadlines->buckets != NULL && deadlines->in_use != NULL;
}

void deadlines_deinit(struct deadlines *deadlines)
{
    arena_deinit(&deadlines->chunks);
    memory_unmap(deadlines->buckets, deadlines_buckets_bytes());
    memory_unmap(deadlines->in_use, DEADLINE_BUCKETS / 8);
}

uint64_t deadlines_bytes(const struct deadlines *deadlines)
{
    return deadlines->chunks.mapped_bytes + deadlines_buckets_bytes() + DEADLINE_BUCKETS / 8;
}

/* The first bucket of the wheel in use at or after `from`, or UINT64_MAX. */
static uint64_t next_in_use(const struct deadlines *deadlines, const struct wheel *wheel,
                            uint64_t from)
{
    bool is_near = wheel == &deadlines->near;
    if (wheel->count == 0)
        return UINT64_MAX;
    while (from <= wheel->last) {
        uint32_t slot = is_near ? near_slot(from) : far_slot(from);
        uint64_t word = deadlines->in_use[slot / 64] >> (slot % 64);
        if (word != 0)
            return from + (uint64_t)__builtin_ctzll(word);
        from += 64 - slot % 64;
    }
    return UINT64_MAX;
}

static uint32_t chunk_take(struct deadlines *deadlines)
{
    uint32_t index = free_list_take(&deadlines->chunks, &deadlines->chunks_free, CHUNK_LINK);
    TILL_ASSERT(index != 0);
    struct deadline_chunk *chunk = chunk_edit(deadlines, index);
    chunk->next = 0;
    chunk->first = 0;
    chunk->end = 0;
    return index;
}

static void bucket_close(struct deadlines *deadlines)
{
    deadlines->open_number = UINT64_MAX;
}

static inline struct deadline_chunk *bucket_append(struct deadlines *deadlines, struct wheel *wheel,
                                                   uint64_t number, uint32_t slot, uint32_t entry)
{
    struct deadline_bucket *bucket = bucket_to_append(deadlines, slot);
    if (bucket->count == 0) {
        bucket->head = bucket->tail = chunk_take(deadlines);
        deadlines->in_use[slot / 64] |= 1ULL << (slot % 64);
    } else if (chunk_at(deadlines, bucket->tail)->end == DEADLINE_CHUNK_ORDERS) {
        uint32_t next = chunk_take(deadlines);
        chunk_appended(deadlines, bucket->tail)->next = next;
        bucket->tail = next;
    }
    if (wheel->count == 0 || number < wheel->first)
        wheel->first = number;
    if (wheel->count == 0 || number > wheel->last)
        wheel->last = number;
    struct deadline_chunk *chunk = chunk_appended(deadlines, bucket->tail);
    chunk->orders.at[chunk->end++] = entry;
    bucket->count++;
    wheel->count++;
    return chunk;
}

/* Would a bucket of this number lie less than a round from the others? */
static inline bool wheel_spans(const struct wheel *wheel, uint64_t number, uint64_t buckets)
{
    uint64_t first = number < wheel->first ? number : wheel->first;
    uint64_t last = number > wheel->last ? number : wheel->last;
    return wheel->count == 0 || last - first < buckets;
}

/* A deadline goes to a far bucket that is not before the current one, at most a round less two
 * ahead of it, and less than a round ahead of the first in use, which may be older. So all that are
 * in use lie within one round. */
static void far_add(struct deadlines *deadlines, uint64_t now_us, uint64_t deadline_us,
                    uint32_t entry)
{
    struct wheel *far = &deadlines->far;
    uint64_t number = far_of(deadline_us);
    uint64_t first = far_of(now_us);
    if (number < first)
        number = first;
    if (number > first + DEADLINE_FAR_BUCKETS - 2)
        number = first + DEADLINE_FAR_BUCKETS - 2;
    if (far->count > 0 && number > far->first + DEADLINE_FAR_BUCKETS - 1)
        number = far->first + DEADLINE_FAR_BUCKETS - 1;
    TILL_ASSERT(wheel_spans(far, number, DEADLINE_FAR_BUCKETS));
    bucket_append(deadlines, far, number, far_slot(number), entry);
}

void deadlines_add(struct deadlines *deadlines, uint64_t now_us, uint64_t deadline_us,
                   uint32_t entry)
{
    uint64_t number = near_of(deadline_us);
    uint64_t now = near_of(now_us);
    TILL_ASSERT(deadlines_has_room(deadlines));
    if (number < now)
        number = now;
    TILL_ASSERT(number >= deadlines->bucket_due);
    if (__builtin_expect(number - now >= DEADLINE_NEAR_BUCKETS ||
                             !wheel_spans(&deadlines->near, number, DEADLINE_NEAR_BUCKETS),
                         0)) {
        far_add(deadlines, now_us, deadline_us, entry);
        return;
    }
    uint32_t slot = near_slot(number);
    deadlines->open_chunk = bucket_append(deadlines, &deadlines->near, number, slot, entry);
    deadlines->open_bucket = &deadlines->buckets[slot];
    deadlines->open_number = number;
    if (number < deadlines->bucket_uncounted)
        deadlines->bucket_uncounted = number;
}

/* When the first far bucket is to be opened. */
static uint64_t far_opens_us(const struct deadlines *deadlines)
{
    uint64_t first = deadlines->far.first;
    if (deadlines->far.count == 0)
        return UINT64_MAX;
    return first == 0 ? 0 : (first - 1) << DEADLINE_FAR_SHIFT;
}

uint64_t deadlines_due(struct deadlines *deadlines, uint64_t now_us)
{
    while (deadlines->bucket_uncounted < near_of(now_us)) {
        uint64_t number = deadlines->bucket_uncounted;
        bucket_close(deadlines);
        deadlines->due_count += deadlines->buckets[near_slot(number)].count;
        deadlines->bucket_due = number + 1;
        deadlines->bucket_uncounted = next_in_use(deadlines, &deadlines->near, number + 1);
    }
    if (__builtin_expect(far_opens_us(deadlines) <= now_us, 0))
        return deadlines->due_count + deadlines->buckets[far_slot(deadlines->far.first)].count;
    return deadlines->due_count;
}

uint64_t deadlines_next_us(const struct deadlines *deadlines)
{
    uint64_t opens_us = far_opens_us(deadlines);
    if (deadlines->near.count == 0)
        return opens_us;
    uint64_t passes_us = (deadlines->near.first + 1) << DEADLINE_NEAR_SHIFT;
    return passes_us < opens_us ? passes_us : opens_us;
}

/* Takes the first entry of the wheel's first bucket. */
static uint32_t bucket_take(struct deadlines *deadlines, struct wheel *wheel, uint32_t slot)
{
    struct deadline_bucket *bucket = bucket_edit(deadlines, slot);
    uint32_t index = bucket->head;
    bucket_close(deadlines);
    struct deadline_chunk *chunk = chunk_edit(deadlines, index);
    uint32_t entry = chunk->orders.at[chunk->first++];
    bucket->count--;
    wheel->count--;
    if (chunk->first == chunk->end) {
        bucket->head = chunk->next;
        free_list_give(&deadlines->chunks_free, chunk, CHUNK_LINK, index);
    }
    if (bucket->count == 0) {
        deadlines->in_use[slot / 64] &= ~(1ULL << (slot % 64));
        wheel->first = next_in_use(deadlines, wheel, wheel->first + 1);
    }
    return entry;
}

enum deadline_taken deadlines_take(struct deadlines *deadlines, uint64_t now_us, uint32_t *entry)
{
    if (deadlines_due(deadlines, now_us) == 0)
        return DEADLINE_NONE;
    if (deadlines->due_count > 0) {
        deadlines->due_count--;
        *entry = bucket_take(deadlines, &deadlines->near, near_slot(deadlines->near.first));
        return DEADLINE_DUE;
    }
    *entry = bucket_take(deadlines, &deadlines->far, far_slot(deadlines->far.first));
    return DEADLINE_FAR;
}

static void each_of(const struct deadlines *deadlines, const struct wheel *wheel,
                    void (*visit)(void *context, uint64_t bucket_us, bool is_far, uint32_t entry),
                    void *context)
{
    bool is_far = wheel == &deadlines->far;
    uint64_t number = wheel->first;
    while ((number = next_in_use(deadlines, wheel, number)) != UINT64_MAX) {
        uint32_t slot = is_far ? far_slot(number) : near_slot(number);
        uint64_t bucket_us = number << (is_far ? DEADLINE_FAR_SHIFT : DEADLINE_NEAR_SHIFT);
        uint32_t index = deadlines->buckets[slot].head;
        for (; index != 0; index = chunk_at(deadlines, index)->next) {
            const struct deadline_chunk *chunk = chunk_at(deadlines, index);
            for (unsigned i = chunk->first; i < chunk->end; i++)
                visit(context, bucket_us, is_far, chunk->orders.at[i]);
        }
        number++;
    }
}

void deadlines_each(const struct deadlines *deadlines,
                    void (*visit)(void *context, uint64_t bucket_us, bool is_far, uint32_t entry),
                    void *context)
{
    each_of(deadlines, &deadlines->near, visit, context);
    each_of(deadlines, &deadlines->far, visit, context);
}

void deadlines_load(struct deadlines *deadlines, uint32_t first, uint32_t count)
{
    for (uint32_t slot = first; slot < first + count; slot++)
        deadlines->in_use[slot / 64] |= 1ULL << (slot % 64);
}

void deadlines_rebuild(struct deadlines *deadlines)
{
    deadlines->bucket_uncounted = deadlines->near.count > 0 ? deadlines->near.first : UINT64_MAX;
    deadlines->bucket_due = deadlines->due_count = 0;
    bucket_close(deadlines);
    for (uint32_t word = 0; word < DEADLINE_BUCKETS / 64; word++) {
        for (uint64_t bits = deadlines->in_use[word]; bits != 0; bits &= bits - 1) {
            if (deadlines->buckets[word * 64 + (uint32_t)__builtin_ctzll(bits)].count == 0)
                deadlines->in_use[word] ^= bits & -bits;
        }
    }
}
