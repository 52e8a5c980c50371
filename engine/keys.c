/* The memory of what was already done: idempotency keys and payment events.
 *
 * Both are rings: records are added at the end and forgotten from the front once their retention
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

static bool ring_is_full(const struct memory_ring *ring)
{
    return memory_ring_count(ring) == ring->records.capacity;
}

static const struct key_record *key_at(const struct engine *engine, uint32_t slot)
{
    return arena_at(&engine->keys.records, slot);
}

static const struct payment *payment_at(const struct engine *engine, uint32_t slot)
{
    return arena_at(&engine->payments.records, slot);
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

uint32_t payment_hash(const struct engine *engine, struct id event, uint32_t provider)
{
    return hash_words(engine, event.low ^ provider, event.high);
}

const struct payment *payment_find(const struct engine *engine, struct id event, uint32_t provider)
{
    struct index_walk walk =
        index_walk(&engine->payments.index, payment_hash(engine, event, provider));
    uint32_t slot = 0;
    while ((slot = index_next(&walk)) != 0) {
        const struct payment *payment = payment_at(engine, slot);
        if (id_equal(payment->event, event) && payment->provider == provider &&
            is_kept(engine, payment->time_us, EVENT_RETENTION_US))
            return payment;
    }
    return NULL;
}

static bool oldest_payment_is_kept(const struct engine *engine)
{
    const struct memory_ring *ring = &engine->payments;
    return ring->first == ring->end ||
           is_kept(engine, payment_at(engine, ring_slot(ring, ring->first))->time_us,
                   EVENT_RETENTION_US);
}

static uint64_t key_time_us(const struct engine *engine, uint32_t slot)
{
    return key_at(engine, slot)->time_us;
}

static uint64_t payment_time_us(const struct engine *engine, uint32_t slot)
{
    return payment_at(engine, slot)->time_us;
}

/* Records that are still kept: those behind the last one that is not. */
static uint64_t ring_kept(const struct engine *engine, const struct memory_ring *ring,
                          uint64_t (*slot_time_us)(const struct engine *engine, uint32_t slot),
                          uint64_t retention_us)
{
    uint64_t first = ring->first;
    uint64_t end = ring->end;
    while (first < end) {
        uint64_t middle = first + (end - first) / 2;
        if (is_kept(engine, slot_time_us(engine, ring_slot(ring, middle)), retention_us))
            end = middle;
        else
            first = middle + 1;
    }
    return ring->end - first;
}

uint64_t keys_kept(const struct engine *engine)
{
    return ring_kept(engine, &engine->keys, key_time_us, KEY_RETENTION_US);
}

uint64_t payments_kept(const struct engine *engine)
{
    return ring_kept(engine, &engine->payments, payment_time_us, EVENT_RETENTION_US);
}

bool payment_has_room(const struct engine *engine)
{
    return !ring_is_full(&engine->payments) || !oldest_payment_is_kept(engine);
}

static void payments_forget(struct engine *engine)
{
    if (oldest_payment_is_kept(engine))
        return;
    struct memory_ring *ring = &engine->payments;
    uint32_t slot = ring_slot(ring, ring->first++);
    const struct payment *oldest = payment_at(engine, slot);
    index_remove(&ring->index, payment_hash(engine, oldest->event, oldest->provider), slot);
}

struct payment *payment_add(struct engine *engine, struct id event, uint32_t provider)
{
    payments_forget(engine);
    struct memory_ring *ring = &engine->payments;
    uint32_t slot = ring_slot(ring, ring->end++);
    keep(engine->keeper, TABLE_payments, slot);
    struct payment *payment = arena_at(&ring->records, slot);
    *payment = (struct payment){.event = event, .provider = provider, .time_us = engine->time_us};
    index_insert(&ring->index, payment_hash(engine, event, provider), slot);
    return payment;
}
