/* The ring of deadlines. Buckets empty in ascending order, so the first in use moves up only when
 * one was emptied, and adding or asking costs no search. */
#include "engine/deadlines.h"

#include "base/assert.h"

static uint64_t bucket_of(uint64_t time_us)
{
    return time_us >> DEADLINE_BUCKET_SHIFT;
}

static uint32_t slot_of(uint64_t bucket)
{
    return (uint32_t)(bucket & (DEADLINE_BUCKETS - 1));
}

static const struct deadline_chunk *chunk_at(const struct deadlines *deadlines, uint32_t index)
{
    return arena_at(&deadlines->chunks, index);
}

/* Whoever changes a chunk or a bucket takes it from one of these. */
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

/* Every chunk in use holds an entry, and all but two of a bucket are full. */
static uint32_t chunks_for(uint32_t capacity)
{
    uint64_t spread = (uint64_t)capacity / DEADLINE_CHUNK_ORDERS + 2ULL * DEADLINE_BUCKETS;
    return spread < capacity ? (uint32_t)spread : capacity;
}

bool deadlines_init(struct deadlines *deadlines, uint32_t capacity)
{
    *deadlines = (struct deadlines){.capacity = capacity, .bucket_uncounted = UINT64_MAX};
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

/* The first bucket in use at or after `from`, or UINT64_MAX. */
static uint64_t next_in_use(const struct deadlines *deadlines, uint64_t from)
{
    if (deadlines->count == 0)
        return UINT64_MAX;
    while (from <= deadlines->bucket_last) {
        uint32_t slot = slot_of(from);
        uint64_t word = deadlines->in_use[slot / 64] >> (slot % 64);
        if (word != 0)
            return from + (uint64_t)__builtin_ctzll(word);
        from += 64 - slot % 64;
    }
    return UINT64_MAX;
}

bool deadlines_has_room(const struct deadlines *deadlines, uint64_t now_us, uint64_t deadline_us)
{
    uint64_t number = bucket_of(deadline_us);
    TILL_ASSERT(deadline_us > now_us);
    if (deadlines->count == 0)
        return true;
    uint64_t first = number < deadlines->bucket_first ? number : deadlines->bucket_first;
    uint64_t last = number > deadlines->bucket_last ? number : deadlines->bucket_last;
    return deadlines->count < deadlines->capacity && last - first < DEADLINE_BUCKETS;
}

static uint32_t chunk_take(struct deadlines *deadlines)
{
    uint32_t index = deadlines->chunks_free;
    if (index != 0)
        deadlines->chunks_free = chunk_at(deadlines, index)->next;
    else
        index = arena_take(&deadlines->chunks, 1);
    TILL_ASSERT(index != 0);
    struct deadline_chunk *chunk = chunk_edit(deadlines, index);
    chunk->next = 0;
    chunk->first = 0;
    chunk->end = 0;
    return index;
}

void deadlines_add(struct deadlines *deadlines, uint64_t deadline_us, uint32_t order)
{
    uint64_t number = bucket_of(deadline_us);
    struct deadline_bucket *bucket = bucket_to_append(deadlines, slot_of(number));
    TILL_ASSERT(number >= deadlines->bucket_due && deadlines->count < deadlines->capacity);
    if (bucket->count == 0) {
        bucket->head = bucket->tail = chunk_take(deadlines);
        deadlines->in_use[slot_of(number) / 64] |= 1ULL << (slot_of(number) % 64);
    } else if (chunk_at(deadlines, bucket->tail)->end == DEADLINE_CHUNK_ORDERS) {
        uint32_t next = chunk_take(deadlines);
        chunk_appended(deadlines, bucket->tail)->next = next;
        bucket->tail = next;
    }
    if (deadlines->count == 0 || number < deadlines->bucket_first)
        deadlines->bucket_first = number;
    if (deadlines->count == 0 || number > deadlines->bucket_last)
        deadlines->bucket_last = number;
    if (number < deadlines->bucket_uncounted)
        deadlines->bucket_uncounted = number;
    struct deadline_chunk *chunk = chunk_appended(deadlines, bucket->tail);
    chunk->orders.at[chunk->end++] = order;
    bucket->count++;
    deadlines->count++;
}

uint64_t deadlines_due(struct deadlines *deadlines, uint64_t now_us)
{
    while (deadlines->bucket_uncounted < bucket_of(now_us)) {
        uint64_t number = deadlines->bucket_uncounted;
        deadlines->due_count += deadlines->buckets[slot_of(number)].count;
        deadlines->bucket_due = number + 1;
        deadlines->bucket_uncounted = next_in_use(deadlines, number + 1);
    }
    return deadlines->due_count;
}

uint64_t deadlines_next_us(const struct deadlines *deadlines)
{
    if (deadlines->count == 0)
        return UINT64_MAX;
    return (deadlines->bucket_first + 1) << DEADLINE_BUCKET_SHIFT;
}

uint32_t deadlines_take(struct deadlines *deadlines, uint64_t now_us)
{
    if (deadlines_due(deadlines, now_us) == 0)
        return 0;
    uint32_t slot = slot_of(deadlines->bucket_first);
    struct deadline_bucket *bucket = bucket_edit(deadlines, slot);
    uint32_t index = bucket->head;
    struct deadline_chunk *chunk = chunk_edit(deadlines, index);
    uint32_t order = chunk->orders.at[chunk->first++];
    bucket->count--;
    deadlines->count--;
    deadlines->due_count--;
    if (chunk->first == chunk->end) {
        bucket->head = chunk->next;
        chunk->next = deadlines->chunks_free;
        deadlines->chunks_free = index;
    }
    if (bucket->count == 0) {
        deadlines->in_use[slot / 64] &= ~(1ULL << (slot % 64));
        deadlines->bucket_first = next_in_use(deadlines, deadlines->bucket_first + 1);
    }
    return order;
}

void deadlines_each(const struct deadlines *deadlines,
                    void (*visit)(void *context, uint64_t bucket_us, uint32_t order), void *context)
{
    uint64_t number = deadlines->bucket_first;
    while ((number = next_in_use(deadlines, number)) != UINT64_MAX) {
        uint32_t index = deadlines->buckets[slot_of(number)].head;
        for (; index != 0; index = chunk_at(deadlines, index)->next) {
            const struct deadline_chunk *chunk = chunk_at(deadlines, index);
            for (unsigned i = chunk->first; i < chunk->end; i++)
                visit(context, number << DEADLINE_BUCKET_SHIFT, chunk->orders.at[i]);
        }
        number++;
    }
}

void deadlines_rebuild(struct deadlines *deadlines)
{
    /* Which are due is counted anew when somebody asks. */
    deadlines->bucket_uncounted = deadlines->count > 0 ? deadlines->bucket_first : UINT64_MAX;
    deadlines->bucket_due = deadlines->due_count = 0;
    for (uint32_t slot = 0; slot < DEADLINE_BUCKETS; slot++) {
        if (deadlines->buckets[slot].count > 0)
            deadlines->in_use[slot / 64] |= 1ULL << (slot % 64);
    }
}
