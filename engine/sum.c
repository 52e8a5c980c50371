/* Adding up records. */
#include "engine/sum.h"

#include "base/bytes.h"
#include "engine/image.h"
#include "engine/state.h"

static uint64_t sum_one(enum engine_table table, uint64_t place, const uint8_t *record,
                        uint32_t size)
{
    if (bytes_are_zero(record, size))
        return 0;
    return checksum64_seeded(record, size, mix64(table_info(table)->number, place));
}

/* The positions that a ring has: from `first` on, up to `end`. */
struct span {
    uint64_t first;
    uint64_t end;
};

static struct span ring_span(const uint64_t scalars[ENGINE_SCALAR_COUNT], enum engine_table table)
{
#define SPAN_ARENA(name)
#define SPAN_POOL(name)
#define SPAN_RUNS(name)
#define SPAN_BESIDE(name)
#define SPAN_RING(name)                                                                            \
    if (table == TABLE_##name)                                                                     \
        return (struct span){scalars[SCALAR_##name##_first], scalars[SCALAR_##name##_end]};
#define SPAN_BUCKETS(name)
#define SPAN_CHUNKS(name)
#define TABLE(number, KIND, name, ...) SPAN_##KIND(name)
#include "engine/tables/tables.h"
    till_unreachable();
}

/* Slot 1 + position modulo the slots there are; a slot that the ring does not reach is not live. */
static uint64_t sum_ring(struct span span, enum engine_table table, uint32_t slots, uint32_t first,
                         uint32_t count, const uint8_t *records)
{
    uint32_t size = table_info(table)->record->size_bytes;
    uint64_t sum = 0;
    for (uint32_t i = first == 0; i < count; i++) {
        uint64_t ahead = ((uint64_t)(first + i - 1) + slots - span.first % slots) % slots;
        if (ahead < span.end - span.first)
            sum += sum_one(table, span.first + ahead, records + (uint64_t)i * size, size);
    }
    return sum;
}

/* What an emptied bucket still names is not live. */
static bool is_live(enum table_kind kind, const uint8_t *record)
{
    return kind != TABLE_KIND_BUCKETS || ((const struct deadline_bucket *)record)->count > 0;
}

uint64_t sum_records(const uint64_t scalars[ENGINE_SCALAR_COUNT], enum engine_table table,
                     uint32_t capacity, uint32_t first, uint32_t count, const uint8_t *records)
{
    const struct table_info *info = table_info(table);
    uint32_t size = info->record->size_bytes;
    if (info->kind == TABLE_KIND_RING)
        return sum_ring(ring_span(scalars, table), table, capacity - 1, first, count, records);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = records + (uint64_t)i * size;
        if (is_live((enum table_kind)info->kind, record))
            sum += sum_one(table, first + i, record, size);
    }
    return sum;
}

uint64_t sum_scalars(const uint64_t scalars[ENGINE_SCALAR_COUNT])
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ENGINE_SCALAR_COUNT; i++) {
        const struct scalar_info *scalar = scalar_info((enum engine_scalar)i);
        if (scalar->kind == SCALAR_KIND_STATE && scalars[i] != 0)
            sum += mix64(scalar->number, scalars[i]);
    }
    return sum;
}

/* The buckets in use, which the bitmap finds: most of them never are, and looking at each would
 * take the memory of all. */
static uint64_t sum_buckets(const struct engine *engine)
{
    const struct deadlines *deadlines = &engine->deadlines;
    uint64_t sum = 0;
    for (uint32_t word = 0; word < DEADLINE_BUCKETS / 64; word++) {
        for (uint64_t bits = deadlines->in_use[word]; bits != 0; bits &= bits - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
            sum += sum_one(TABLE_deadline_buckets, slot, (const uint8_t *)&deadlines->buckets[slot],
                           sizeof deadlines->buckets[slot]);
        }
    }
    return sum;
}

uint64_t engine_checksum(const struct engine *engine)
{
    uint64_t scalars[ENGINE_SCALAR_COUNT];
    engine_scalars(engine, scalars);
    uint64_t sum = sum_scalars(scalars);
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        enum engine_table table = (enum engine_table)i;
        if (table == TABLE_deadline_buckets) {
            sum += sum_buckets(engine);
            continue;
        }
        struct engine_table_view view = engine_table_view(engine, table);
        sum += sum_records(scalars, table, view.capacity, 0, view.count, view.records);
    }
    return sum;
}
