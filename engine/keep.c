/* The keeper: bitmaps, chains and slots.
 *
 * Good path: keeper_touch finds the record's bit unset, sets it, and puts the old content into
 * slots, chained by chunk. keeper_next copies a chunk of records, lays the chain's slots over them,
 * frees these, clears the chunk's bits, and moves the mark: from then on its records may change
 * freely. So all bitmaps, chains and slots are empty again when the last chunk has been passed.
 *
 * What can fail: the slots run out. The writer is told early (keeper_is_pressed) and hurries; one
 * batch that touches more than the last quarter of all slots still overflows, which ends this
 * snapshot and nothing else.
 *
 * What must always hold: a record before the mark, or added after the beginning, has no bit set; a
 * record with its bit set has all its parts in the chain of its chunk, unless has_overflowed. */
#include "engine/keep.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "engine/image.h"

enum { ZEROS_MAX = 16 }; /* chunks that are all zero, passed by one keeper_next */

static uint64_t bitmap_bytes(const struct keep_table *table)
{
    return ((uint64_t)table->capacity + 63) / 64 * sizeof(uint64_t);
}

static uint64_t chains_bytes(const struct keep_table *table)
{
    uint64_t chunks = (uint64_t)table->capacity / table->chunk_records + 1;
    return (chunks + 1) / 2 * 2 * sizeof(uint32_t);
}

static void table_init(struct keep_table *table, const struct engine_table_view *view)
{
    TILL_ASSERT(view->record_size <= KEEP_RECORD_SIZE_MAX);
    table->records = view->records;
    table->in_use = view->in_use;
    table->capacity = view->capacity;
    table->record_size = view->record_size;
    table->chunk_records = 64;
    while (2 * table->chunk_records * table->record_size <= KEEP_CHUNK_SIZE)
        table->chunk_records *= 2;
}

static uint64_t slots_bytes(const struct keeper *keeper)
{
    return ((uint64_t)keeper->slot_count + 1) * sizeof(struct keep_slot);
}

static bool maps_init(struct keeper *keeper)
{
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++)
        keeper->maps_bytes += bitmap_bytes(&keeper->tables[i]) + chains_bytes(&keeper->tables[i]);
    keeper->maps = memory_map(keeper->maps_bytes);
    if (keeper->maps == NULL || !memory_populate(keeper->maps, keeper->maps_bytes, NULL))
        return false;
    uint8_t *cursor = keeper->maps;
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct keep_table *table = &keeper->tables[i];
        table->is_kept = (uint64_t *)cursor;
        table->chunks = (uint32_t *)(cursor + bitmap_bytes(table));
        cursor += bitmap_bytes(table) + chains_bytes(table);
    }
    return true;
}

struct keeper *keeper_create(const struct engine *engine, uint64_t undo_bytes)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL)
        return NULL;
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct engine_table_view view = engine_table_view(engine, (enum engine_table)i);
        table_init(&keeper->tables[i], &view);
    }
    uint64_t slots = undo_bytes / sizeof(struct keep_slot);
    keeper->slot_count = slots < UINT32_MAX / 2 ? (uint32_t)slots : UINT32_MAX / 2;
    keeper->slots = memory_map(slots_bytes(keeper));
    if (keeper->slots != NULL && memory_populate(keeper->slots, slots_bytes(keeper), NULL) &&
        maps_init(keeper))
        return keeper;
    keeper_destroy(keeper);
    return NULL;
}

void keeper_destroy(struct keeper *keeper)
{
    if (keeper == NULL)
        return;
    memory_unmap(keeper->maps, keeper->maps_bytes);
    memory_unmap(keeper->slots, slots_bytes(keeper));
    free(keeper);
}

uint64_t keeper_bytes(const struct keeper *keeper)
{
    return slots_bytes(keeper) + keeper->maps_bytes;
}

static uint32_t slot_take(struct keeper *keeper)
{
    uint32_t index = keeper->slot_free;
    if (index != 0)
        keeper->slot_free = keeper->slots[index].next;
    else if (keeper->slot_end <= keeper->slot_count)
        index = keeper->slot_end++;
    keeper->slots_used += index != 0;
    return index;
}

void keeper_touch(struct keeper *keeper, enum engine_table number, uint32_t record)
{
    struct keep_table *table = &keeper->tables[number];
    if (record >= table->count || record < table->next)
        return;
    uint64_t bit = 1ULL << (record % 64);
    if ((table->is_kept[record / 64] & bit) != 0)
        return;
    table->is_kept[record / 64] |= bit;
    keeper->kept_count++;
    const uint8_t *bytes = table->records + (uint64_t)record * table->record_size;
    uint32_t *chain = &table->chunks[record / table->chunk_records];
    for (uint32_t done = 0, part = 0; done < table->record_size; done += KEEP_SLOT_BYTES, part++) {
        uint32_t left = table->record_size - done;
        uint32_t index = slot_take(keeper);
        if (index == 0) {
            keeper->has_overflowed = true;
            return;
        }
        struct keep_slot *slot = &keeper->slots[index];
        *slot = (struct keep_slot){.next = *chain, .record = record, .part = part};
        memcpy(slot->bytes, bytes + done, left < KEEP_SLOT_BYTES ? left : KEEP_SLOT_BYTES);
        *chain = index;
    }
}

/* Copies the old states that were kept of a chunk over its records, and frees their slots. */
static void chain_apply(struct keeper *keeper, struct keep_table *table, uint32_t first,
                        uint8_t *raw)
{
    uint32_t *chain = &table->chunks[first / table->chunk_records];
    while (*chain != 0) {
        uint32_t index = *chain;
        struct keep_slot *slot = &keeper->slots[index];
        uint32_t done = slot->part * KEEP_SLOT_BYTES;
        uint32_t left = table->record_size - done;
        memcpy(raw + (size_t)(slot->record - first) * table->record_size + done, slot->bytes,
               left < KEEP_SLOT_BYTES ? left : KEEP_SLOT_BYTES);
        *chain = slot->next;
        slot->next = keeper->slot_free;
        keeper->slot_free = index;
        keeper->slots_used--;
    }
}

/* Are none of a chunk's records in use, where no old state of them was kept? Of a table with a
 * bitmap that alone is read, and not the records: most of their memory was never touched. */
static bool chunk_is_empty(const struct keep_table *table, uint32_t first, uint32_t count)
{
    if (table->in_use == NULL)
        return bytes_are_zero(table->records + (uint64_t)first * table->record_size,
                              (size_t)count * table->record_size);
    return bytes_are_zero((const uint8_t *)&table->in_use[first / 64],
                          ((size_t)count + 63) / 64 * sizeof(uint64_t));
}

/* Passes the table's next chunk. True when it is part of the image; it is in raw then. */
static bool table_pass(struct keeper *keeper, struct keep_table *table, struct keep_chunk *chunk,
                       uint8_t *raw)
{
    uint32_t first = table->next;
    uint32_t left = table->count - first;
    uint32_t count = left < table->chunk_records ? left : table->chunk_records;
    uint32_t size = count * table->record_size;
    const uint8_t *records = table->records + (uint64_t)first * table->record_size;
    table->next += count;
    if (table->chunks[first / table->chunk_records] == 0 && chunk_is_empty(table, first, count))
        return false;
    memcpy(raw, records, size);
    chain_apply(keeper, table, first, raw);
    memset(&table->is_kept[first / 64], 0, ((size_t)count + 63) / 64 * sizeof(uint64_t));
    *chunk = (struct keep_chunk){keeper->table, first, count, size};
    return !bytes_are_zero(raw, size);
}

enum keeper_found keeper_next(struct keeper *keeper, struct keep_chunk *chunk,
                              uint8_t raw[KEEP_CHUNK_SIZE])
{
    for (unsigned passed = 0; keeper->table < ENGINE_TABLE_COUNT;) {
        struct keep_table *table = &keeper->tables[keeper->table];
        if (table->next == table->count)
            keeper->table++;
        else if (table_pass(keeper, table, chunk, raw))
            return KEEPER_CHUNK;
        else if (++passed == ZEROS_MAX)
            return KEEPER_ZEROS;
    }
    return KEEPER_END;
}

void engine_keep_begin(struct engine *engine, struct keeper *keeper)
{
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct engine_table_view view = engine_table_view(engine, (enum engine_table)i);
        TILL_ASSERT(view.records == keeper->tables[i].records);
        keeper->tables[i].count = view.count;
        keeper->tables[i].next = 0;
    }
    keeper->slot_end = 1;
    keeper->slot_free = 0;
    keeper->slots_used = 0;
    keeper->table = 0;
    keeper->has_overflowed = false;
    keeper->kept_count = 0;
    engine_keeper_set(engine, keeper);
}

void engine_keep_end(struct engine *engine, struct keeper *keeper)
{
    engine_keeper_set(engine, NULL);
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct keep_table *table = &keeper->tables[i];
        uint32_t left = table->count - table->next;
        if (left > 0) {
            uint32_t chunk = table->next / table->chunk_records;
            memset(&table->is_kept[table->next / 64], 0,
                   bitmap_bytes(table) - table->next / 64 * sizeof(uint64_t));
            memset(&table->chunks[chunk], 0, chains_bytes(table) - chunk * sizeof(uint32_t));
        }
        table->count = 0;
        table->next = 0;
    }
}
