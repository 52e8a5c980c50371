/* The memory of the engine's tables: making and unmaking it, taking it, and telling what it costs
 * and how full it is.
 *
 * Everything is mapped when the engine is made and sized by its options; nothing is allocated
 * afterwards. Which tables and indexes there are comes from engine/tables/tables.h. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/image.h"
#include "engine/keys.h"
#include "engine/lists.h"
#include "engine/memory.h"

const struct engine_options engine_options_default = {
#define CAPACITY(number, name, default, text) .name = (default),
#include "engine/tables/tables.h"
};

/* An entry of the deadlines names a record with so many bits. */
static_assert((int)CAPACITY_MAX < 1 << DEADLINE_RECORD_BITS, "of any table");

static uint32_t capacity_of(const struct engine_options *options, size_t offset)
{
    uint32_t capacity = 0;
    memcpy(&capacity, (const uint8_t *)options + offset, sizeof capacity);
    return capacity;
}

/* Where the arena of each table is in the engine; of the buckets, which are none, 0. */
#define PLACE_ARENA(name)   offsetof(struct engine, name)
#define PLACE_POOL(name)    offsetof(struct engine, name)
#define PLACE_RUNS(name)    offsetof(struct engine, name.records)
#define PLACE_BESIDE(name)  offsetof(struct engine, name)
#define PLACE_RING(name)    offsetof(struct engine, name.records)
#define PLACE_CHUNKS(name)  offsetof(struct engine, deadlines.chunks)
#define PLACE_BUCKETS(name) 0
static const size_t arena_places[ENGINE_TABLE_COUNT] = {
#define TABLE(number, KIND, name, ...) PLACE_##KIND(name),
#include "engine/tables/tables.h"
};

struct arena *table_arena(struct engine *engine, enum engine_table table)
{
    if (arena_places[table] == 0)
        return NULL;
    return (struct arena *)(void *)((uint8_t *)engine + arena_places[table]);
}

const struct arena *table_arena_at(const struct engine *engine, enum engine_table table)
{
    if (arena_places[table] == 0)
        return NULL;
    return (const void *)((const uint8_t *)engine + arena_places[table]);
}

#define RING_PLACE_ARENA(name)   0
#define RING_PLACE_POOL(name)    0
#define RING_PLACE_RUNS(name)    0
#define RING_PLACE_BESIDE(name)  0
#define RING_PLACE_RING(name)    offsetof(struct engine, name)
#define RING_PLACE_CHUNKS(name)  0
#define RING_PLACE_BUCKETS(name) 0
static const size_t ring_places[ENGINE_TABLE_COUNT] = {
#define TABLE(number, KIND, name, ...) RING_PLACE_##KIND(name),
#include "engine/tables/tables.h"
};

struct memory_ring *table_ring(struct engine *engine, enum engine_table table)
{
    if (ring_places[table] == 0)
        return NULL;
    return (struct memory_ring *)(void *)((uint8_t *)engine + ring_places[table]);
}

const struct memory_ring *table_ring_at(const struct engine *engine, enum engine_table table)
{
    if (ring_places[table] == 0)
        return NULL;
    return (const void *)((const uint8_t *)engine + ring_places[table]);
}

/* Where the free list of each POOL is: its two numbers in the engine, the link in a record. */
struct free_places {
    size_t first;
    size_t count;
    uint32_t link;
};

#define FREE_ARENA(name, record)
#define FREE_POOL(name, record)                                                                    \
    [TABLE_##name] = {offsetof(struct engine, name##_free),                                        \
                      offsetof(struct engine, name##_free_count), record##_free_link},
#define FREE_RUNS(name, record)
#define FREE_BESIDE(name, record)
#define FREE_RING(name, record)
#define FREE_CHUNKS(name, record)
#define FREE_BUCKETS(name, record)
static const struct free_places free_places[ENGINE_TABLE_COUNT] = {
#define TABLE(number, KIND, name, record, ...) FREE_##KIND(name, record)
#include "engine/tables/tables.h"
};

/* A snapshot must have both numbers. */
#define SAVED_ARENA(name)
#define SAVED_POOL(name)                                                                           \
    static_assert(SCALAR_##name##_free != SCALAR_##name##_free_count, "both are scalars");
#define SAVED_RUNS(name)                                                                           \
    static_assert(SCALAR_##name##_free_6 - SCALAR_##name##_free_0 == RUN_SIZES - 1 &&              \
                      SCALAR_##name##_free_count - SCALAR_##name##_free_6 == 1,                    \
                  "the first block of each size, and how many records");
#define SAVED_BESIDE(name)
#define SAVED_RING(name) static_assert(SCALAR_##name##_first != SCALAR_##name##_end, "as these");
#define SAVED_CHUNKS(name)
#define SAVED_BUCKETS(name)
#define TABLE(number, KIND, name, ...) SAVED_##KIND(name)
#include "engine/tables/tables.h"

static uint32_t number_at(const struct engine *engine, size_t place)
{
    uint32_t number = 0;
    memcpy(&number, (const uint8_t *)engine + place, sizeof number);
    return number;
}

struct free_list table_free_list(const struct engine *engine, enum engine_table table)
{
    const struct free_places *places = &free_places[table];
    if (places->first == 0)
        return (struct free_list){.first = 0};
    return (struct free_list){.first = number_at(engine, places->first),
                              .count = number_at(engine, places->count),
                              .link_offset = places->link};
}

/* Where the runs of each table of that kind are. */
#define RUNS_ARENA(name)   0
#define RUNS_POOL(name)    0
#define RUNS_RUNS(name)    offsetof(struct engine, name)
#define RUNS_BESIDE(name)  0
#define RUNS_RING(name)    0
#define RUNS_CHUNKS(name)  0
#define RUNS_BUCKETS(name) 0
static const size_t runs_places[ENGINE_TABLE_COUNT] = {
#define TABLE(number, KIND, name, ...) RUNS_##KIND(name),
#include "engine/tables/tables.h"
};

struct runs *table_runs(struct engine *engine, enum engine_table table)
{
    if (runs_places[table] == 0)
        return NULL;
    return (struct runs *)(void *)((uint8_t *)engine + runs_places[table]);
}

const struct runs *table_runs_at(const struct engine *engine, enum engine_table table)
{
    if (runs_places[table] == 0)
        return NULL;
    return (const void *)((const uint8_t *)engine + runs_places[table]);
}

/* How the records of RUNS look when they are free. */
#define RUN(record, links, used)                                                                   \
    enum {                                                                                         \
        record##_links = offsetof(struct record, links),                                           \
        record##_used = offsetof(struct record, used)                                              \
    };                                                                                             \
    static_assert(sizeof(((struct record *)NULL)->used) == sizeof(uint32_t) &&                     \
                      sizeof(struct record) - offsetof(struct record, links) >=                    \
                          sizeof(struct run_block) &&                                              \
                      (record##_used + sizeof(uint32_t) <= record##_links ||                       \
                       record##_links + sizeof(struct run_block) <= record##_used),                \
                  "a free block's words stand beside the one that tells it from records in use");
#include "engine/tables/tables.h"

#define LAYOUT_ARENA(name, record)
#define LAYOUT_POOL(name, record)
#define LAYOUT_RUNS(name, record) [TABLE_##name] = {TABLE_##name, record##_links, record##_used},
#define LAYOUT_BESIDE(name, record)
#define LAYOUT_RING(name, record)
#define LAYOUT_CHUNKS(name, record)
#define LAYOUT_BUCKETS(name, record)
static const struct run_layout run_layouts[ENGINE_TABLE_COUNT] = {
#define TABLE(number, KIND, name, record, ...) LAYOUT_##KIND(name, record)
#include "engine/tables/tables.h"
};

bool table_record_is_free(const struct engine *engine, enum engine_table table, uint32_t record)
{
    static const uint8_t zeros[KEEP_RECORD_SIZE_MAX];
    const struct free_places *places = &free_places[table];
    const struct runs *runs = table_runs_at(engine, table);
    if (runs != NULL)
        return run_is_free(runs, record);
    if (places->first == 0)
        return false;
    const struct arena *arena = table_arena_at(engine, table);
    const uint8_t *bytes = arena_at(arena, record);
    uint32_t behind = places->link + (uint32_t)sizeof(uint32_t);
    return memcmp(bytes, zeros, places->link) == 0 &&
           memcmp(bytes + behind, zeros, arena->record_size - behind) == 0;
}

uint32_t table_records_used(const struct engine *engine, enum engine_table table)
{
    const struct runs *runs = table_runs_at(engine, table);
    if (runs != NULL)
        return runs_used(runs);
    return table_arena_at(engine, table)->count - table_free_list(engine, table).count;
}

/* The memory of each index, how many records a line of it finds, and the table that they are of. */
static const struct {
    size_t place;
    unsigned line_places;
    enum engine_table table;
} indexes[] = {
#define INDEX_AT(member, places, table)                                                            \
    {offsetof(struct engine, member.lines), places, TABLE_##table},
#define INDEX_ARENA(name)
#define INDEX_POOL(name)
#define INDEX_RUNS(name)
#define INDEX_BESIDE(name)
#define INDEX_RING(name) INDEX_AT(name.index, INDEX_PLACES, name)
#define INDEX_CHUNKS(name)
#define INDEX_BUCKETS(name)
#define INDEX(name, table)             INDEX_AT(name, INDEX_PLACES, table)
#define ID_INDEX(name, table)          INDEX_AT(name, ID_PLACES, table)
#define TABLE(number, KIND, name, ...) INDEX_##KIND(name)
#include "engine/tables/tables.h"
};

enum { INDEX_COUNT = sizeof indexes / sizeof indexes[0] };

static struct lines *index_lines(struct engine *engine, unsigned number)
{
    return (struct lines *)(void *)((uint8_t *)engine + indexes[number].place);
}

static const struct lines *index_lines_at(const struct engine *engine, unsigned number)
{
    return (const void *)((const uint8_t *)engine + indexes[number].place);
}

static bool options_are_valid(const struct engine_options *options, char *error, size_t error_size)
{
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    for (size_t i = 0; i < count; i++) {
        uint32_t capacity = capacity_of(options, capacities[i].offset);
        if (capacity == 0 || capacity > CAPACITY_MAX) {
            snprintf(error, error_size, "the capacity of %s must be 1 to %d", capacities[i].name,
                     CAPACITY_MAX);
            return false;
        }
    }
    return true;
}

/* Buckets and chunks are the deadlines' own. */
static bool is_of_deadlines(const struct table_info *table)
{
    return table->kind == TABLE_KIND_BUCKETS || table->kind == TABLE_KIND_CHUNKS;
}

static bool tables_init(struct engine *engine)
{
    bool all = deadlines_init(&engine->deadlines, engine->options.deadlines);
    engine->offers = calloc(1, sizeof *engine->offers);
    engine->terms_generation = 1;
    engine->lots_timed = 1;
    all &= engine->offers != NULL;
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        const struct table_info *table = table_info((enum engine_table)i);
        if (!is_of_deadlines(table))
            all &= arena_init(table_arena(engine, (enum engine_table)i), table->record->size_bytes,
                              capacity_of(&engine->options, table->capacity_offset));
        struct runs *runs = table_runs(engine, (enum engine_table)i);
        if (runs != NULL)
            runs->layout = &run_layouts[i];
    }
    for (unsigned i = 0; i < INDEX_COUNT; i++)
        all &=
            lines_init(index_lines(engine, i),
                       capacity_of(&engine->options, table_info(indexes[i].table)->capacity_offset),
                       indexes[i].line_places);
    return all;
}

static void options_take(struct engine *engine, const struct engine_options *options)
{
    engine->options = *options;
    for (uint64_t i = 0; i < 2; i++)
        engine->hash_seeds[i] = checksum64_seeded(&i, sizeof i, options->hash_seed);
}

struct engine *engine_create(const struct engine_options *options, char *error, size_t error_size)
{
    if (!options_are_valid(options, error, error_size))
        return NULL;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    options_take(engine, options);
    if (!tables_init(engine)) {
        snprintf(error, error_size,
                 "the tables could not be mapped: lower the capacities, or raise the limit of "
                 "virtual memory (ulimit -v)");
        engine_destroy(engine);
        return NULL;
    }
    return engine;
}

static void tables_deinit(struct engine *engine)
{
    deadlines_deinit(&engine->deadlines);
    free(engine->offers);
    lists_destroy(engine->lists);
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        const struct table_info *table = table_info((enum engine_table)i);
        if (!is_of_deadlines(table))
            arena_deinit(table_arena(engine, (enum engine_table)i));
    }
    for (unsigned i = 0; i < INDEX_COUNT; i++)
        lines_deinit(index_lines(engine, i));
}

void engine_destroy(struct engine *engine)
{
    if (engine == NULL)
        return;
    tables_deinit(engine);
    free(engine);
}

bool engine_clear(struct engine *engine)
{
    struct engine_options options = engine->options;
    tables_deinit(engine);
    memset(engine, 0, sizeof *engine);
    options_take(engine, &options);
    return tables_init(engine);
}

/* Indexes are touched at random from the first command on, records from the front: indexes first.
 */
bool engine_populate(struct engine *engine, const atomic_bool *stop)
{
    bool all = memory_populate(engine->deadlines.buckets, deadlines_buckets_bytes(), stop);
    for (unsigned i = 0; all && i < INDEX_COUNT; i++) {
        const struct lines *lines = index_lines_at(engine, i);
        all = memory_populate(lines->memory, lines_bytes(lines), stop);
    }
    for (unsigned i = 0; all && i < ENGINE_TABLE_COUNT; i++) {
        const struct arena *arena = table_arena_at(engine, (enum engine_table)i);
        if (arena != NULL)
            all = memory_populate(arena->records, arena->mapped_bytes, stop);
    }
    if (all && engine->lists != NULL)
        all = memory_populate(engine->lists->memory, engine->lists->memory_bytes, stop);
    return all;
}

/* Bytes of all that one capacity sizes. */
static uint64_t capacity_bytes(const struct engine *engine, size_t offset)
{
    bool sizes_deadlines = offset == offsetof(struct engine_options, deadlines);
    uint64_t bytes = sizes_deadlines ? deadlines_bytes(&engine->deadlines) : 0;
    for (unsigned i = 0; !sizes_deadlines && i < ENGINE_TABLE_COUNT; i++) {
        if (table_info((enum engine_table)i)->capacity_offset == offset)
            bytes += table_arena_at(engine, (enum engine_table)i)->mapped_bytes;
    }
    for (unsigned i = 0; i < INDEX_COUNT; i++) {
        if (table_info(indexes[i].table)->capacity_offset == offset)
            bytes += lines_bytes(index_lines_at(engine, i));
    }
    return bytes;
}

uint64_t engine_memory_bytes(const struct engine *engine)
{
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += capacity_bytes(engine, capacities[i].offset);
    if (engine->lists != NULL)
        total += engine_lists_bytes(&engine->options);
    return total;
}

uint64_t engine_capacity_bytes(const struct engine *engine, enum capacity_number number)
{
    const struct capacity_info *capacity = capacity_info(number);
    TILL_ASSERT(capacity != NULL);
    return capacity_bytes(engine, capacity->offset);
}

void engine_print_memory(const struct engine *engine,
                         void (*print)(void *context, const char *line), void *context)
{
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    char line[128];
    for (size_t i = 0; i < count; i++) {
        uint32_t capacity = capacity_of(&engine->options, capacities[i].offset);
        uint64_t bytes = capacity_bytes(engine, capacities[i].offset);
        snprintf(line, sizeof line, "  %-12s %11u  %9.1f MiB  %6.1f bytes each", capacities[i].name,
                 capacity, (double)bytes / (1 << 20), (double)bytes / (double)capacity);
        print(context, line);
    }
    if (engine->lists != NULL) {
        snprintf(line, sizeof line, "  %-12s %11s  %9.1f MiB", "lists", "",
                 (double)engine_lists_bytes(&engine->options) / (1 << 20));
        print(context, line);
    }
    snprintf(line, sizeof line, "  %-12s %11s  %9.1f MiB", "in all", "",
             (double)engine_memory_bytes(engine) / (1 << 20));
    print(context, line);
}

/* Of the arenas that this capacity sizes, the records in use of the one that has most. */
static uint64_t arenas_used(const struct engine *engine, size_t capacity_offset)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        const struct table_info *table = table_info((enum engine_table)i);
        if (is_of_deadlines(table) || table->kind == TABLE_KIND_RING ||
            table->kind == TABLE_KIND_BESIDE || table->capacity_offset != capacity_offset)
            continue;
        uint32_t count = table_records_used(engine, (enum engine_table)i);
        used = count > used ? count : used;
    }
    return used;
}

static uint64_t table_used(const struct engine *engine, const struct capacity_info *capacity)
{
    uint64_t used = arenas_used(engine, capacity->offset);
    switch (capacity->number) {
    case CAPACITY_steps:
        return used + engine->steps_reserved;
    case CAPACITY_ledger:
        return used + engine->ledger_reserved;
    case CAPACITY_deadlines:
        return engine->deadlines.capacity - deadlines_room(&engine->deadlines);
    case CAPACITY_keys:
        return keys_kept(engine);
    default:
        return used;
    }
}

struct table_fill engine_table_fill(const struct engine *engine, enum capacity_number number)
{
    const struct capacity_info *capacity = capacity_info(number);
    TILL_ASSERT(capacity != NULL);
    return (struct table_fill){
        .name = capacity->name,
        .used = table_used(engine, capacity),
        .capacity = capacity_of(&engine->options, capacity->offset),
        .reserve = number == CAPACITY_keys ? keys_reserve(engine) : 0,
    };
}
