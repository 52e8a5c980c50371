/* The image is kept as chunks in memory. */
#include "tests/model/imager.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/sum.h"

enum { UNDO_BYTES = 4 << 20 };

void imager_init(struct imager *imager, const struct engine *engine)
{
    *imager = (struct imager){.keeper = keeper_create(engine, UNDO_BYTES)};
    TILL_ASSERT(imager->keeper != NULL);
}

void imager_deinit(struct imager *imager)
{
    for (uint32_t i = 0; i < imager->chunk_count; i++)
        free(imager->chunks[i].bytes);
    free(imager->chunks);
    keeper_destroy(imager->keeper);
}

void imager_begin(struct imager *imager, struct engine *engine)
{
    engine_scalars(engine, imager->scalars);
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct engine_table_view view = engine_table_view(engine, (enum engine_table)i);
        imager->counts.count[i] = view.count;
        imager->counts.capacity[i] = view.capacity;
    }
    imager->seq = engine_seq(engine);
    imager->digest = engine_digest(engine);
    imager->checksum = engine_checksum(engine);
    imager->is_running = true;
    engine_keep_begin(engine, imager->keeper);
}

static void chunk_add(struct imager *imager, const struct keep_chunk *place, const uint8_t *raw)
{
    imager->chunks = reallocarray(imager->chunks, imager->chunk_count + 1, sizeof *imager->chunks);
    struct imager_chunk *chunk = &imager->chunks[imager->chunk_count++];
    *chunk = (struct imager_chunk){.place = *place, .bytes = malloc(place->size_bytes)};
    TILL_ASSERT(chunk->bytes != NULL);
    memcpy(chunk->bytes, raw, place->size_bytes);
}

void imager_step(struct imager *imager, struct engine *engine, uint32_t count)
{
    static uint8_t raw[KEEP_CHUNK_SIZE];
    struct keep_chunk place;
    enum keeper_found found = KEEPER_CHUNK;
    while (imager->is_running && count > 0) {
        found = keeper_next(imager->keeper, &place, raw);
        count -= found == KEEPER_CHUNK;
        if (found == KEEPER_CHUNK)
            chunk_add(imager, &place, raw);
        if (found == KEEPER_END) {
            TILL_ASSERT(imager->keeper->slots_used == 0 && !imager->keeper->has_overflowed);
            engine_keep_end(engine, imager->keeper);
            imager->is_running = false;
            imager->is_done = true;
        }
    }
}

bool imager_load(const struct imager *imager, struct engine *engine, char *error, size_t error_size)
{
    if (engine_load_begin(engine, imager->scalars, &imager->counts, error, error_size) !=
        ENGINE_LOAD_READY)
        return false;
    for (uint32_t i = 0; i < imager->chunk_count; i++) {
        const struct keep_chunk *place = &imager->chunks[i].place;
        enum engine_table table = (enum engine_table)place->table;
        uint8_t *room = engine_load_room(engine, table, place->first, place->count);
        if (room != NULL)
            memcpy(room, imager->chunks[i].bytes, place->size_bytes);
        else
            engine_load_ring(engine, table, imager->counts.capacity[table], place->first,
                             place->count, imager->chunks[i].bytes);
    }
    engine_rebuild(engine);
    return engine_check_bounds(engine, error, error_size) &&
           engine_check_totals(engine, error, error_size);
}
