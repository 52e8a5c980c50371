/* The list of tables and numbers, and loading them.
 *
 * Arenas and the deadlines' tables are addressed by index and loaded in place. The ring of keys
 * stands at its position modulo the capacity: an engine of another capacity places each record
 * anew. Nothing here checks records themselves: engine/bounds.c does. */
#include "engine/image.h"

#include <stdio.h>
#include <string.h>

#include "engine/memory.h"
#include "engine/points.h"

static uint32_t ring_slots_used(const struct memory_ring *ring)
{
    return ring->end < ring->records.capacity ? (uint32_t)ring->end : ring->records.capacity;
}

struct engine_table_view engine_table_view(const struct engine *engine, enum engine_table table)
{
    const struct table_info *info = table_info(table);
    const struct arena *arena = table_arena_at(engine, table);
    const struct memory_ring *ring = table_ring_at(engine, table);
    struct engine_table_view view = {.name = info->name, .record_size = info->record->size_bytes};
    if (arena == NULL) {
        view.records = (uint8_t *)engine->deadlines.buckets;
        view.count = view.capacity = DEADLINE_BUCKETS;
        view.in_use = engine->deadlines.in_use;
        return view;
    }
    view.records = arena->records;
    view.capacity = arena->capacity + 1;
    view.count = (ring != NULL ? ring_slots_used(ring) : arena->count) + 1;
    return view;
}

void engine_scalars(const struct engine *engine, uint64_t scalars[ENGINE_SCALAR_COUNT])
{
#define SCALAR(number, KIND, name, place, since, text)                                             \
    scalars[SCALAR_##name] = (uint64_t)engine->place;
#include "engine/tables/tables.h"
}

void engine_keeper_set(struct engine *engine, struct keeper *keeper)
{
    engine->keeper = keeper;
    engine->deadlines.keeper = keeper;
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct runs *runs = table_runs(engine, (enum engine_table)i);
        if (runs != NULL)
            runs->keeper = keeper;
    }
}

/* Is there room for a table of the image? A ring needs it only for what is not forgotten. */
static bool table_fits(struct engine *engine, enum engine_table table,
                       const struct engine_counts *counts, uint64_t *needed)
{
    const struct memory_ring *ring = table_ring(engine, table);
    *needed = counts->count[table] - 1;
    if (ring == NULL)
        return counts->count[table] <= engine_table_view(engine, table).capacity;
    *needed = memory_ring_count(ring);
    return *needed <= ring->records.capacity;
}

static bool rings_are_sound(struct engine *engine, const struct engine_counts *counts)
{
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        const struct memory_ring *ring = table_ring(engine, (enum engine_table)i);
        if (counts->count[i] == 0)
            return false;
        if (ring != NULL && (ring->first > ring->end || counts->capacity[i] < 2 ||
                             counts->count[i] > counts->capacity[i] ||
                             memory_ring_count(ring) > counts->capacity[i] - 1))
            return false;
    }
    return counts->count[TABLE_customers] == counts->count[TABLE_customer_ids] &&
           counts->count[TABLE_warehouses] == counts->count[TABLE_warehouse_promises];
}

/* Is there room for what PENDING orders need in order to end? */
static bool has_room_to_end(const struct engine *engine, char *error, size_t error_size)
{
    const struct {
        enum engine_table table;
        uint32_t needed;
        uint32_t room;
    } reserves[] = {
        {TABLE_steps, engine->steps_reserved, step_room(engine)},
        {TABLE_ledger, engine->ledger_reserved, ledger_entry_room(engine)},
        {TABLE_lots, engine->lots_reserved, lot_room(engine)},
    };
    for (size_t i = 0; i < sizeof reserves / sizeof reserves[0]; i++) {
        if (reserves[i].needed > reserves[i].room) {
            snprintf(error, error_size,
                     "its orders need %u more %s to end, and there is room for %u: give at least "
                     "the capacities that the server ran with",
                     reserves[i].needed, table_info(reserves[i].table)->name, reserves[i].room);
            return false;
        }
    }
    return true;
}

/* Takes room in all tables; false when one is too small. */
static bool tables_take(struct engine *engine, const struct engine_counts *counts, char *error,
                        size_t error_size)
{
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        enum engine_table table = (enum engine_table)i;
        uint64_t needed = 0;
        if (!table_fits(engine, table, counts, &needed)) {
            snprintf(error, error_size,
                     "it has %llu %s, and there is room for %u: give at least the capacities "
                     "that the server ran with",
                     (unsigned long long)needed, table_info(table)->name,
                     engine_table_view(engine, table).capacity - 1);
            return false;
        }
        struct arena *arena = table_arena(engine, table);
        if (arena != NULL && table_ring(engine, table) == NULL)
            arena->count = counts->count[i] - 1;
    }
    return true;
}

enum engine_load engine_load_begin(struct engine *engine,
                                   const uint64_t scalars[ENGINE_SCALAR_COUNT],
                                   const struct engine_counts *counts, char *error,
                                   size_t error_size)
{
#define SCALAR(number, KIND, name, place, since, text)                                             \
    engine->place = (__typeof__(engine->place))scalars[SCALAR_##name];
#include "engine/tables/tables.h"
    uint64_t taken[ENGINE_SCALAR_COUNT];
    engine_scalars(engine, taken);
    /* A number that is wider than its member of the engine has been cut to another one. */
    if (memcmp(taken, scalars, sizeof taken) != 0 || !rings_are_sound(engine, counts)) {
        snprintf(error, error_size, "its numbers contradict each other");
        return ENGINE_LOAD_UNSOUND;
    }
    if (!tables_take(engine, counts, error, error_size))
        return ENGINE_LOAD_LARGE;
    if (!has_room_to_end(engine, error, error_size))
        return ENGINE_LOAD_LARGE;
    uint64_t deadlines = deadlines_count(&engine->deadlines) + lots_deadlines_kept(engine);
    if (deadlines > engine->deadlines.capacity) {
        snprintf(error, error_size, "it has %llu deadlines, and there is room for %u",
                 (unsigned long long)deadlines, engine->deadlines.capacity);
        return ENGINE_LOAD_LARGE;
    }
    memcpy(engine->loaded_capacity, counts->capacity, sizeof engine->loaded_capacity);
    return ENGINE_LOAD_READY;
}

uint8_t *engine_load_room(struct engine *engine, enum engine_table table, uint32_t first,
                          uint32_t count)
{
    struct engine_table_view view = engine_table_view(engine, table);
    if (table == TABLE_deadline_buckets)
        deadlines_load(&engine->deadlines, first, count);
    if (table_ring(engine, table) != NULL && engine->loaded_capacity[table] != view.capacity)
        return NULL;
    return view.records + (uint64_t)first * view.record_size;
}

void engine_load_ring(struct engine *engine, enum engine_table table, uint32_t capacity,
                      uint32_t first, uint32_t count, const uint8_t *records)
{
    struct memory_ring *ring = table_ring(engine, table);
    uint32_t slots = capacity - 1;
    for (uint32_t i = 0; i < count; i++, records += ring->records.record_size) {
        uint32_t slot = first + i;
        if (slot == 0 || ring->end == ring->first)
            continue;
        /* The one position from `first` on, within one round, whose slot this is. */
        uint64_t ahead = (slot - 1 + slots - ring->first % slots) % slots;
        if (ahead >= memory_ring_count(ring))
            continue;
        uint64_t position = ring->first + ahead;
        memcpy(arena_at(&ring->records, memory_ring_slot(ring, position)), records,
               ring->records.record_size);
    }
}

uint64_t engine_sku_number(const struct engine *engine, uint32_t index)
{
    return index == 0 || index > engine->skus.count ? 0 : sku_at(engine, index)->sku;
}
