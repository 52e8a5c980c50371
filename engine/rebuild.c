/* What follows from the records, made anew after an image was loaded: one row per index, and the
 * bitmap of the deadlines. Offers are void.
 *
 * Records come in their order and their slots at random: each slot is prefetched some records
 * before it is filled, so that the memory latencies overlap. The hash seed is the engine's own;
 * nothing here depends on the engine that the image was taken of. */
#include "engine/forget.h"
#include "engine/image.h"
#include "engine/memory.h"
#include "engine/payment.h"
#include "engine/stock.h"
#include "engine/tally.h"

enum { AHEAD = 32 };

#define NOT_INDEXED UINT64_MAX

typedef uint64_t record_hash(const struct engine *engine, uint32_t record);
typedef void record_insert(struct engine *engine, uint32_t hash, uint32_t record);

static uint64_t sku_index_hash(const struct engine *engine, uint32_t record)
{
    return sku_hash(engine, sku_at(engine, record)->sku);
}

static uint64_t name_index_hash(const struct engine *engine, uint32_t record)
{
    const struct name *name = &sku_at(engine, record)->name;
    return name->bytes[0] == '\0' ? NOT_INDEXED : name_hash(engine, name);
}

static uint64_t stock_index_hash(const struct engine *engine, uint32_t record)
{
    const struct stock *stock = stock_at(engine, record);
    return hash_words(engine, stock->sku, stock->warehouse);
}

static uint64_t sale_index_hash(const struct engine *engine, uint32_t record)
{
    return hash_words(engine, sale_at(engine, record)->sale, 2);
}

static uint64_t pool_index_hash(const struct engine *engine, uint32_t record)
{
    const struct pool *pool = pool_at(engine, record);
    return hash_words(engine, pool->sale, pool->stock);
}

static uint64_t tally_index_hash(const struct engine *engine, uint32_t record)
{
    const struct tally *tally = tally_at(engine, record);
    return tally_hash(engine, tally->customer, tally->sale, tally->sku);
}

static struct id customer_index_id(const struct engine *engine, uint32_t record)
{
    return customer_id_at(engine, record)->id;
}

static uint64_t order_index_hash(const struct engine *engine, uint32_t record)
{
    return order_is_there(engine, record) ? hash_id(engine, order_at(engine, record)->id)
                                          : NOT_INDEXED;
}

static uint64_t keys_hash(const struct engine *engine, uint32_t record)
{
    const struct key_record *key = key_record_at(engine, record);
    return hash_id(engine, key->key);
}

static uint64_t payment_index_hash(const struct engine *engine, uint32_t record)
{
    const struct payment *payment = payment_at(engine, record);
    return payment_hash(engine, payment->event, payment->provider);
}

/* How each index takes a record. */
#define INSERT_ARENA(name)
#define INSERT_POOL(name)
#define INSERT_RUNS(name)
#define INSERT_BESIDE(name)
#define INSERT_RING(name)                                                                          \
    static void name##_insert(struct engine *engine, uint32_t hash, uint32_t record)               \
    {                                                                                              \
        index_insert(&engine->name.index, hash, record);                                           \
    }
#define INSERT_CHUNKS(name)
#define INSERT_BUCKETS(name)
#define TABLE(number, KIND, name, ...) INSERT_##KIND(name)
#define INDEX(name, table)                                                                         \
    static void name##_insert(struct engine *engine, uint32_t hash, uint32_t record)               \
    {                                                                                              \
        index_insert(&engine->name, hash, record);                                                 \
    }
#define ID_INDEX(name, table)                                                                      \
    static uint64_t name##_hash(const struct engine *engine, uint32_t record)                      \
    {                                                                                              \
        return hash_id(engine, name##_id(engine, record));                                         \
    }                                                                                              \
    static void name##_insert(struct engine *engine, uint32_t hash, uint32_t record)               \
    {                                                                                              \
        id_index_insert(&engine->name, hash, name##_id(engine, record), record);                   \
    }
#include "engine/tables/tables.h"

/* An index to be filled. */
struct rebuilt {
    const struct lines *lines;
    record_hash *hash;
    record_insert *insert;
    enum engine_table table;
};

static uint32_t record_after(uint32_t record, uint32_t capacity)
{
    return record == capacity ? 1 : record + 1;
}

/* Indexes `count` records of the table from `record` on, which go round at the capacity, but for
 * those that are free. */
static void index_records(struct engine *engine, struct rebuilt rebuilt, uint32_t record,
                          uint64_t count)
{
    uint32_t capacity = table_arena_at(engine, rebuilt.table)->capacity;
    uint64_t hashes[AHEAD] = {0};
    uint32_t filled = record;
    for (uint64_t i = 0; i < count + AHEAD; i++) {
        if (i >= AHEAD && i - AHEAD < count) {
            if (hashes[i % AHEAD] != NOT_INDEXED)
                rebuilt.insert(engine, (uint32_t)hashes[i % AHEAD], filled);
            filled = record_after(filled, capacity);
        }
        if (i >= count)
            continue;
        bool is_free = table_record_is_free(engine, rebuilt.table, record);
        hashes[i % AHEAD] = is_free ? NOT_INDEXED : rebuilt.hash(engine, record);
        if (hashes[i % AHEAD] != NOT_INDEXED)
            __builtin_prefetch(lines_home_at(rebuilt.lines, (uint32_t)hashes[i % AHEAD]));
        record = record_after(record, capacity);
    }
}

#define REBUILT(index, name, table)                                                                \
    (struct rebuilt)                                                                               \
    {                                                                                              \
        &(index)->lines, name##_hash, name##_insert, TABLE_##table                                 \
    }
#define REBUILD_ARENA(name)
#define REBUILD_POOL(name)
#define REBUILD_RUNS(name)
#define REBUILD_BESIDE(name)
#define REBUILD_RING(name)                                                                         \
    index_records(engine, REBUILT(&engine->name.index, name, name),                                \
                  memory_ring_slot(&engine->name, engine->name.first),                             \
                  memory_ring_count(&engine->name));
#define REBUILD_CHUNKS(name)
#define REBUILD_BUCKETS(name)

/* The newest event of an order that has no money is the last one: records of events were not used
 * again yet when it came. */
static void rebuild_loose(struct engine *engine)
{
    for (uint32_t i = 1; i <= engine->payments.count; i++) {
        uint32_t order = payment_at(engine, i)->order;
        if (order <= engine->orders.count &&
            (order_at(engine, order)->flags & ORDER_HAS_LOOSE) != 0)
            payment_index_loose(engine, i);
    }
}

void engine_rebuild(struct engine *engine)
{
#define INDEX(name, table)                                                                         \
    index_records(engine, REBUILT(&engine->name, name, table), 1, engine->table.count);
#define ID_INDEX(name, table)          INDEX(name, table)
#define TABLE(number, KIND, name, ...) REBUILD_##KIND(name)
#include "engine/tables/tables.h"
    rebuild_loose(engine);
    deadlines_rebuild(&engine->deadlines);
    engine->terms_generation++;
}

void engine_rewind(struct engine *engine)
{
    engine->time_us = engine->changed_us;
}
