/* The memory of idempotency keys.
 *
 * It is a ring: records are added at the end and forgotten from the front once their retention
 * has passed. A record that is due to be forgotten counts as absent wherever it is met, and is
 * really taken out only by the next one that is added, so that neither looking nor a rejected
 * command changes anything.
 *
 * The last part of the table of keys is a reserve: commands that spare it are refused while no more
 * than that is left, so that a load cannot lock out whoever must cancel an order or close a sale.
 */
#include "engine/state.h"

bool keys_init(struct memory_ring *ring, uint32_t record_size, uint32_t capacity)
{
    *ring = (struct memory_ring){.first = 0};
    bool records = arena_init(&ring->records, record_size, capacity);
    return index_init(&ring->index, capacity) && records;
}

void keys_deinit(struct memory_ring *ring)
{
    arena_deinit(&ring->records);
    index_deinit(&ring->index);
}

uint64_t memory_ring_count(const struct memory_ring *ring)
{
    return ring->end - ring->first;
}

/* Records stand at 1 + position modulo capacity. */
static uint32_t ring_slot(const struct memory_ring *ring, uint64_t position)
{
    return (uint32_t)(position % ring->records.capacity) + 1;
}

static const struct key_record *key_at(const struct engine *engine, uint32_t slot)
{
    return arena_at(&engine->keys.records, slot);
}

enum { KEYS_RESERVE_SHARE = 16 };

uint32_t keys_reserve(const struct engine *engine)
{
    return engine->keys.records.capacity / KEYS_RESERVE_SHARE;
}

static bool is_kept(const struct engine *engine, uint64_t time_us, uint64_t retention_us)
{
    return time_us + retention_us > engine->time_us;
}

const struct key_record *key_find(const struct engine *engine, struct id key)
{
    struct index_walk walk = index_walk(&engine->keys.index, hash_id(engine, key));
    uint32_t slot = 0;
    while ((slot = index_next(&walk)) != 0) {
        const struct key_record *record = key_at(engine, slot);
        if (id_equal(record->key, key) && is_kept(engine, record->time_us, KEY_RETENTION_US))
            return record;
    }
    return NULL;
}

static bool oldest_key_is_kept(const struct engine *engine)
{
    const struct memory_ring *ring = &engine->keys;
    return ring->first == ring->end ||
           is_kept(engine, key_at(engine, ring_slot(ring, ring->first))->time_us, KEY_RETENTION_US);
}

/* Fewer than keys_max of the keys are still kept. Times only grow along the ring, so that is so
 * when the keys_max-th from its end is not. */
bool key_has_room(const struct engine *engine)
{
    const struct memory_ring *ring = &engine->keys;
    if (!engine->keeps_key || memory_ring_count(ring) < engine->keys_max)
        return true;
    uint32_t slot = ring_slot(ring, ring->end - engine->keys_max);
    return !is_kept(engine, key_at(engine, slot)->time_us, KEY_RETENTION_US);
}

enum outcome reject_keys_full(struct engine *engine)
{
    return reject(engine, OUTCOME_CAPACITY, CAPACITY_keys, engine->keys_max);
}

/* Forgets the front of the ring when its retention has passed. */
static void keys_forget(struct engine *engine)
{
    if (oldest_key_is_kept(engine))
        return;
    struct memory_ring *ring = &engine->keys;
    uint32_t slot = ring_slot(ring, ring->first++);
    index_remove(&ring->index, hash_id(engine, key_at(engine, slot)->key), slot);
}

void key_add(struct engine *engine, struct id key, uint64_t fingerprint, const void *reply,
             size_t reply_size)
{
    keys_forget(engine);
    struct memory_ring *ring = &engine->keys;
    uint32_t slot = ring_slot(ring, ring->end++);
    keep(engine->keeper, TABLE_keys, slot);
    struct key_record *record = arena_at(&ring->records, slot);
    *record =
        (struct key_record){.key = key, .fingerprint = fingerprint, .time_us = engine->time_us};
    TILL_ASSERT(reply_size <= sizeof record->reply);
    memcpy(record->reply, reply, reply_size);
    index_insert(&ring->index, hash_id(engine, key), slot);
    digest_mix(engine, fingerprint, key.low);
}

/* Records that are still kept: those behind the last one that is not. */
uint64_t keys_kept(const struct engine *engine)
{
    const struct memory_ring *ring = &engine->keys;
    uint64_t first = ring->first;
    uint64_t end = ring->end;
    while (first < end) {
        uint64_t middle = first + (end - first) / 2;
        if (is_kept(engine, key_at(engine, ring_slot(ring, middle))->time_us, KEY_RETENTION_US))
            end = middle;
        else
            first = middle + 1;
    }
    return ring->end - first;
}
