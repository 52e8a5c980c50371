/* The memory of idempotency keys.
 *
 * It is a ring: records are added at the end and forgotten from the front once their retention
 * has passed. A record that is due to be forgotten counts as absent wherever it is met, and is
 * really taken out only by the next one that is added, so that neither looking nor a rejected
 * command changes anything.
 *
 * A record's age is how long it was kept, not the difference of two dates: when a start finds the
 * clock far ahead of the log, nobody knows whether that time has passed, and whoever sends a
 * command again must not have it done twice because somebody set a clock. So each record carries
 * the time without the jumps of the clock (engine_kept_us), and the server logs each jump as
 * time.jump before anything else is decided at the new time. A jump is a part of the time since
 * the last change, so this time too never goes back from one change to the next: a key that was
 * forgotten when another command took it stays forgotten, and the ring is in order. If the server
 * was really down for that long, records are kept longer than they need be: that costs only room
 * that a server which was down has not filled.
 *
 * The last part of the table of keys is a reserve: commands that spare it are refused while no more
 * than that is left, so that a load cannot lock out whoever must cancel an order or close a sale.
 */
#include "engine/keys.h"

#include "engine/forget.h"

enum { KEYS_RESERVE_SHARE = 16 };

uint32_t keys_reserve(const struct engine *engine)
{
    return engine->keys.records.capacity / KEYS_RESERVE_SHARE;
}

static bool key_is_old(const void *context, const void *record)
{
    const struct engine *engine = context;
    const struct key_record *key = record;
    return key->kept_us + retain_keys_us(engine) <= engine_kept_us(engine) ||
           key->kept_us < engine->keys_known_us;
}

const struct key_record *key_find(const struct engine *engine, struct id key)
{
    struct index_walk walk = index_walk(&engine->keys.index, hash_id(engine, key));
    uint32_t slot = 0;
    while ((slot = index_next(&walk)) != 0) {
        const struct key_record *record = key_record_at(engine, slot);
        if (id_equal(record->key, key) && !key_is_old(engine, record))
            return record;
    }
    return NULL;
}

/* Are fewer than keys_max keys still kept, or needs the command no room? Ages only fall along the
 * ring, so it is enough that the keys_max-th key from its end is old. */
static bool key_has_room(const struct engine *engine)
{
    const struct memory_ring *ring = &engine->keys;
    if (!engine->keeps_key || memory_ring_count(ring) < engine->keys_max)
        return true;
    uint32_t slot = memory_ring_slot(ring, ring->end - engine->keys_max);
    return key_is_old(engine, key_record_at(engine, slot));
}

bool key_accept(struct engine *engine)
{
    TILL_ASSERT(engine->awaits_key_accept);
    if (!key_has_room(engine))
        return false;
    engine->awaits_key_accept = false;
    engine_accept(engine);
    return true;
}

enum outcome reject_keys_full(struct engine *engine)
{
    return reject(engine, OUTCOME_CAPACITY, CAPACITY_keys, engine->keys_max);
}

/* Forgets the oldest key when its retention has passed: one for each that is added is enough. */
static void keys_forget(struct engine *engine)
{
    struct memory_ring *ring = &engine->keys;
    if (memory_ring_count(ring) == 0)
        return;
    const struct key_record *oldest = key_record_at(engine, memory_ring_slot(ring, ring->first));
    if (key_is_old(engine, oldest))
        memory_ring_forget(ring, hash_id(engine, oldest->key));
}

void key_add(struct engine *engine, struct id key, uint64_t fingerprint, const void *reply,
             size_t reply_size)
{
    keys_forget(engine);
    uint32_t slot = memory_ring_add(&engine->keys, hash_id(engine, key));
    struct key_record *record = key_record_edit(engine, slot);
    *record = (struct key_record){
        .key = key, .fingerprint = fingerprint, .kept_us = engine_kept_us(engine)};
    TILL_ASSERT(reply_size <= sizeof record->reply.bytes);
    memcpy(record->reply.bytes, reply, reply_size);
    digest_mix(engine, fingerprint, key.low);
}

uint64_t keys_kept(const struct engine *engine)
{
    return memory_ring_kept(&engine->keys, key_is_old, engine);
}

enum outcome handle_time_jump(struct engine *engine, struct command *command)
{
    const struct time_jump_body *body = command->body;
    if (body->jump == 0 || body->jump > engine->time_us - engine->changed_us)
        return reject_field(engine, time_jump_field_jump);
    engine_accept(engine);
    engine->jumped_us += body->jump;
    digest_mix(engine, engine->jumped_us, body->jump);
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}
