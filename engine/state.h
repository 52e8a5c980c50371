/* The engine's state: its tables, the numbers beside them, and how records are read and changed.
 * Private to engine/; everyone else sees engine/engine.h.
 *
 * Records refer to each other by index, 0 for none. What is done with them is in the modules' own
 * headers: stock.h, sale.h, points.h, order.h and so on; handlers.h has what all handlers use. */
#ifndef TILL_ENGINE_STATE_H
#define TILL_ENGINE_STATE_H

#include "base/arena.h"
#include "base/checksum.h"
#include "engine/deadlines.h"
#include "engine/engine.h"
#include "engine/free_list.h"
#include "engine/id_index.h"
#include "engine/index.h"
#include "engine/keep.h"
#include "engine/memory_ring.h"
#include "engine/offer.h"
#include "engine/records.h"
#include "engine/runs.h"

struct engine {
    struct engine_options options;
    uint64_t hash_seeds[2]; /* which follow from options.hash_seed */

    uint64_t seq;
    uint64_t digest;
    uint64_t time_us;
    uint64_t changed_us; /* time_us of the last change */
    uint64_t jumped_us;  /* what jumps of the clock have added to time_us in all: keys.c */

    /* Of the command being decided. */
    uint64_t subject;
    int64_t value;
    bool accepted;
    bool keeps_key;         /* there is a key, to be remembered if the command is accepted */
    bool awaits_key_accept; /* the command is KEYED: key_accept must accept it */
    uint32_t keys_max;      /* keys that may be remembered with this one */

    struct keeper *keeper; /* of the snapshot being written; NULL: none is */

#define TABLE_MEMBER_ARENA(name) struct arena name;
#define TABLE_MEMBER_POOL(name)                                                                    \
    struct arena name;                                                                             \
    uint32_t name##_free; /* the record that was given back last; 0: none is free */               \
    uint32_t name##_free_count;
#define TABLE_MEMBER_RUNS(name)   struct runs name;
#define TABLE_MEMBER_BESIDE(name) struct arena name;
#define TABLE_MEMBER_RING(name)   struct memory_ring name;
#define TABLE_MEMBER_BUCKETS(name)
#define TABLE_MEMBER_CHUNKS(name)
#define TABLE(number, KIND, name, ...) TABLE_MEMBER_##KIND(name)
#define INDEX(name, table)             struct index name;
#define ID_INDEX(name, table)          struct id_index name;
#include "engine/tables/tables.h"
#undef TABLE_MEMBER_ARENA
#undef TABLE_MEMBER_POOL
#undef TABLE_MEMBER_RUNS
#undef TABLE_MEMBER_BESIDE
#undef TABLE_MEMBER_RING
#undef TABLE_MEMBER_BUCKETS
#undef TABLE_MEMBER_CHUNKS
    struct deadlines deadlines;

    /* What PENDING orders still need to end, whatever else fills the tables: a step, once the one
     * inside of the order is taken; two ledger entries for each of their point takes; a lot for
     * each of those whose lot may have expired by then. */
    uint32_t steps_reserved;
    uint32_t ledger_reserved;
    uint32_t lots_reserved;

    uint64_t orders_by_state[order_state_CANCELLED + 1];
    uint64_t orders_forgotten;
    uint32_t orders_forgetting; /* of which only steps and events are left; 0: none is */
    uint32_t closing_first;     /* the queue of closed orders */
    uint32_t closing_last;
    uint32_t closing_count;
    uint64_t retain_orders_us; /* as told; 0: not */
    uint64_t retain_orders_max;
    uint64_t retain_ledger_us;
    uint64_t retain_keys_us;
    uint64_t
        keys_known_us; /* engine_kept_us: what was kept before is forgotten, however long kept */
    int64_t on_hand_total; /* of all stocks: no sum over some of them is larger */
    uint64_t parked_count;
    uint64_t refund_order_count;
    uint64_t rejected_count;

    uint64_t terms_generation; /* raised by each change of what terms are judged by */
    struct offers *offers;

    const struct metrics *metrics_shown; /* of the other layers, for `stats`; NULL: none */

    uint32_t loaded_capacity[ENGINE_TABLE_COUNT]; /* of the image being loaded */

    uint64_t scratch[FRAME_SIZE_MAX / 8]; /* a reply that no caller wants is written here */
};

/* The tables by whose records the terms of orders are judged. */
static const bool table_has_terms[ENGINE_TABLE_COUNT] = {
#define TERMS(table) [TABLE_##table] = true,
#include "engine/tables/tables.h"
};

/* Typed access to the tables. The `_at` functions read; whoever changes a record takes it from an
 * `_edit` function, so that every change of a record can be seen in the code, and so that a
 * snapshot keeps its old content. A record that the same command has just added has none to be
 * kept: `_new` gives it without that check. */
#define RECORD_ACCESS(type, table, memory)                                                         \
    static inline const struct type *type##_at(const struct engine *engine, uint32_t index)        \
    {                                                                                              \
        return (const struct type *)(const void *)engine->memory.records + index;                  \
    }                                                                                              \
    __attribute__((unused)) static inline struct type *type##_edit(struct engine *engine,          \
                                                                   uint32_t index)                 \
    {                                                                                              \
        keep(engine->keeper, TABLE_##table, index);                                                \
        if (table_has_terms[TABLE_##table])                                                        \
            engine->terms_generation++;                                                            \
        return (struct type *)(void *)engine->memory.records + index;                              \
    }                                                                                              \
    __attribute__((unused)) static inline struct type *type##_new(struct engine *engine,           \
                                                                  uint32_t index)                  \
    {                                                                                              \
        return (struct type *)(void *)engine->memory.records + index;                              \
    }

/* Where the free records of each POOL are linked. */
#define LINK(record, member)                                                                       \
    enum { record##_free_link = offsetof(struct record, member) };                                 \
    static_assert(sizeof(((struct record *)NULL)->member) == sizeof(uint32_t), "links the free "   \
                                                                               "ones");
#include "engine/tables/tables.h"

/* Records of a POOL come and go: `_alloc` gives one that is zero (0: there is no room), which the
 * caller may write like a new one; `_free` takes it back, and leaves it zero but for its link. So a
 * free record can be told from any other. `_room` is how many may be taken. */
#define POOL_ACCESS(type, table)                                                                   \
    static inline uint32_t type##_alloc(struct engine *engine)                                     \
    {                                                                                              \
        uint32_t index = engine->table##_free;                                                     \
        if (index == 0)                                                                            \
            return arena_take(&engine->table, 1);                                                  \
        free_list_reuse(&engine->table, &engine->table##_free, type##_edit(engine, index),         \
                        type##_free_link);                                                         \
        engine->table##_free_count--;                                                              \
        return index;                                                                              \
    }                                                                                              \
    __attribute__((unused)) static inline void type##_free(struct engine *engine, uint32_t index)  \
    {                                                                                              \
        struct type *record = type##_edit(engine, index);                                          \
        memset(record, 0, sizeof *record);                                                         \
        free_list_give(&engine->table##_free, record, type##_free_link, index);                    \
        engine->table##_free_count++;                                                              \
    }                                                                                              \
    static inline uint32_t type##_room(const struct engine *engine)                                \
    {                                                                                              \
        return arena_room(&engine->table) + engine->table##_free_count;                            \
    }
#define ACCESS_ARENA(record, table) RECORD_ACCESS(record, table, table)
#define ACCESS_POOL(record, table)  RECORD_ACCESS(record, table, table) POOL_ACCESS(record, table)
#define ACCESS_RUNS(record, table)  RECORD_ACCESS(record, table, table.records)
/* Such a record is there with the one that it stands beside, and counts from the first change on.
 */
#define ACCESS_BESIDE(type, table)                                                                 \
    static inline const struct type *type##_at(const struct engine *engine, uint32_t index)        \
    {                                                                                              \
        return (const struct type *)(const void *)engine->table.records + index;                   \
    }                                                                                              \
    static inline struct type *type##_edit(struct engine *engine, uint32_t index)                  \
    {                                                                                              \
        keep(engine->keeper, TABLE_##table, index);                                                \
        if (index > engine->table.count)                                                           \
            engine->table.count = index;                                                           \
        return (struct type *)(void *)engine->table.records + index;                               \
    }
#define ACCESS_RING(record, table) RECORD_ACCESS(record, table, table.records)
#define ACCESS_BUCKETS(record, table)
#define ACCESS_CHUNKS(record, table)
#define TABLE(number, KIND, name, record, ...) ACCESS_##KIND(record, name)
#include "engine/tables/tables.h"
#undef RECORD_ACCESS
#undef POOL_ACCESS
#undef ACCESS_ARENA
#undef ACCESS_POOL
#undef ACCESS_RUNS
#undef ACCESS_BESIDE
#undef ACCESS_RING
#undef ACCESS_BUCKETS
#undef ACCESS_CHUNKS

/* Both words are seeded: of a factor that a client could make zero, or nearly so, all hashes of a
 * kind would be the same, whatever the other one is. */
static inline uint64_t mix_seeded(const struct engine *engine, uint64_t a, uint64_t b)
{
    return fold64(a ^ engine->hash_seeds[0], b ^ engine->hash_seeds[1]);
}

static inline uint32_t hash_words(const struct engine *engine, uint64_t a, uint64_t b)
{
    return (uint32_t)(mix_seeded(engine, a, b) >> 32);
}

static inline uint32_t hash_id(const struct engine *engine, struct id id)
{
    return hash_words(engine, id.low, id.high);
}

/* A digest with two words of what changed mixed in. */
static inline uint64_t digest_mixed(uint64_t digest, uint64_t a, uint64_t b)
{
    return mix64(digest ^ a, b);
}

static inline void digest_mix(struct engine *engine, uint64_t a, uint64_t b)
{
    engine->digest = digest_mixed(engine->digest, a, b);
}

#endif
