/* The memory of idempotency keys. Private to engine/. */
#ifndef TILL_ENGINE_KEYS_H
#define TILL_ENGINE_KEYS_H

#include "engine/handlers.h"

/* The time that ages what is kept for a while: the log's time without its jumps. */
static inline uint64_t engine_kept_us(const struct engine *engine)
{
    return engine->time_us - engine->jumped_us;
}

/* The key's record; NULL when it is not known, or no longer. */
const struct key_record *key_find(const struct engine *engine, struct id key);

/* Remembers a key with its command's answer; its command was accepted. */
void key_add(struct engine *engine, struct id key, uint64_t fingerprint, const void *reply,
             size_t reply_size);

/* Accepts a KEYED command, the last thing that is judged: false when it has a key and there is no
 * room for it. Then the rejection. */
bool key_accept(struct engine *engine);
enum outcome reject_keys_full(struct engine *engine);

/* Keys that only operators may fill, and those that are remembered now. */
uint32_t keys_reserve(const struct engine *engine);
uint64_t keys_kept(const struct engine *engine);

#endif
