/* What follows from the records, made anew after an image was loaded: one row per index, and the
 * bitmap of the deadlines.
 *
 * Records come in their order and their slots at random: each slot is prefetched some records
 * before it is filled, so that the memory latencies overlap. The hash seed is the engine's own;
 * nothing here depends on the engine that the image was taken of. */
#include "engine/image.h"
#include "engine/memory.h"
#include "engine/payment.h"
#include "engine/stock.h"
#include "engine/tally.h"

enum { AHEAD = 32 };

#define NOT_INDEXED UINT64_MAX

typedef uint64_t record_hash(const struct engine *engine, uint32_t record);

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

static uint64_t customer_index_hash(const struct engine *engine, uint32_t record)
{
    return hash_id(engine, customer_id_at(engine, record)->id);
}

static uint64_t order_index_hash(const struct engine *engine, uint32_t record)
{
    return hash_id(engine, order_at(engine, record)->id);
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

static uint32_t record_after(uint32_t record, uint32_t capacity)
{
    return record == capacity ? 1 : record + 1;
}

/* Indexes `count` records of a table from `record` on, which go round at the capacity, but for
 * those that are free. */
static void index_records(struct engine *engine, struct index *index, record_hash *hash,
                          enum engine_table table, uint32_t record, uint64_t count)
{
    uint32_t capacity = table_arena_at(engine, table)->capacity;
    uint64_t hashes[AHEAD] = {0};
    uint32_t filled = record;
    for (uint64_t i = 0; i < count + AHEAD; i++) {
        if (i >= AHEAD && i - AHEAD < count) {
            if (hashes[i % AHEAD] != NOT_INDEXED)
                index_insert(index, (uint32_t)hashes[i % AHEAD], filled);
            filled = record_after(filled, capacity);
        }
        if (i >= count)
            continue;
        hashes[i % AHEAD] =
            table_record_is_free(engine, table, record) ? NOT_INDEXED : hash(engine, record);
        if (hashes[i % AHEAD] != NOT_INDEXED)
            index_prefetch(index, (uint32_t)hashes[i % AHEAD]);
        record = record_after(record, capacity);
    }
}

/* The hash of each index, and of each ring's, is <name>_hash. */
#define REBUILD_ARENA(name)
#define REBUILD_POOL(name)
#define REBUILD_RING(name) ring_rebuild(engine, &engine->name, TABLE_##name, name##_hash);
#define REBUILD_CHUNKS(name)
#define REBUILD_BUCKETS(name)

static void ring_rebuild(struct engine *engine, struct memory_ring *ring, enum engine_table table,
                         record_hash *hash)
{
    index_records(engine, &ring->index, hash, table, memory_ring_slot(ring, ring->first),
                  memory_ring_count(ring));
}

void engine_rebuild(struct engine *engine)
{
#define INDEX(name, table)                                                                         \
    index_records(engine, &engine->name, name##_hash, TABLE_##table, 1, engine->table.count);
#define TABLE(number, KIND, name, ...) REBUILD_##KIND(name)
#include "engine/tables/tables.h"
    deadlines_rebuild(&engine->deadlines);
}

void engine_rewind(struct engine *engine)
{
    engine->time_us = engine->changed_us;
}
