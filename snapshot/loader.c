/* Loading.
 *
 * Good path: the newest file's header is compared with what this engine is; each chunk, checked by
 * the reader, is decompressed straight into its table, and when the end agrees, everything that
 * follows from the records is made anew, and the records are checked before anything follows what
 * they refer to: a checksum tells that a file is as it was written, not by whom. The state's
 * checksum, taken from the engine's memory, must then be the one that the writer added up.
 *
 * An image of an older schema says which fields its records have: they are moved, record by record,
 * to where this till has them, by their numbers; what is not there is zero, or follows from the
 * rest (engine/upgrade.c). A table that the image does not have is empty. Numbers of the folder are
 * none of the engine's (snapshot/image.h).
 *
 *   found                                                   decision
 *   a whole image of this schema or an older one            load it
 *   a file that is no image, cut short, or fails a check;   say so, clear the engine, try the one
 *   records that no engine has, or not those it was         before
 *   written of
 *   a newer version or schema                               stop: it is whole, and another till's
 *   more records than there is room for                     stop: raise the capacities
 *   none, or none that is whole                             a fresh engine: the log from its start
 *
 * What can fail beside: reading the disk. */
#include "snapshot/loader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/schema.h"
#include "engine/image.h"
#include "engine/sum.h"
#include "snapshot/reader.h"

enum loaded { LOADED, LOAD_LATER, LOAD_DAMAGED, LOAD_REFUSED };

/* A field of the image that this till knows too. */
struct move {
    uint16_t from;
    uint16_t to;
    uint16_t size;
};

/* A table of the image. */
struct source {
    enum engine_table table;
    uint32_t record_size;
    uint32_t count;
    bool is_same; /* its records are laid out as this till's */
    uint32_t move_first;
    uint32_t move_count;
};

/* What is being loaded. */
struct loading {
    struct loader *loader;
    struct image_reader reader;
    struct engine_counts counts; /* by this till's tables */
    uint64_t scalars[ENGINE_SCALAR_COUNT];
    struct source sources[IMAGE_TABLES_MAX]; /* by the image's tables */
    struct move moves[IMAGE_MEMBERS_MAX];
    uint32_t move_count;
    uint8_t records[IMAGE_RAW_SIZE_MAX];
};

/* Says what is wrong, and gives on what that means. */
#define say(loading, loaded, ...)                                                                  \
    ((void)error_set_file((loading)->loader->error, sizeof(loading)->loader->error,                \
                          disk_path((loading)->loader->disk), (loading)->reader.name,              \
                          __VA_ARGS__),                                                            \
     (loaded))

/* What the reader found, in its words. */
static enum loaded say_read(struct loading *loading, enum image_read read)
{
    snprintf(loading->loader->error, sizeof loading->loader->error, "%s", loading->reader.error);
    return read == IMAGE_READ_DAMAGED ? LOAD_DAMAGED : LOAD_REFUSED;
}

static const struct member_info *member_find(const struct record_info *record, uint32_t number)
{
    for (unsigned i = 0; i < record->member_count; i++) {
        if (record->members[i].number == number)
            return &record->members[i];
    }
    return NULL;
}

/* Which fields go where. Those that this till has no more are left behind. */
static void source_map(struct loading *loading, struct source *source,
                       const struct image_table *table)
{
    const struct record_info *record = table_info(source->table)->record;
    const struct image_member *members = &loading->reader.header.members[table->member_first];
    source->move_first = loading->move_count;
    source->is_same =
        table->record_size == record->size_bytes && table->member_count == record->member_count;
    for (uint32_t i = 0; i < table->member_count; i++) {
        const struct member_info *member = member_find(record, members[i].number);
        source->is_same = source->is_same && member != NULL &&
                          member->offset == members[i].offset &&
                          member->size_bytes == members[i].size;
        if (member == NULL)
            continue;
        uint16_t size = members[i].size;
        loading->moves[loading->move_count++] =
            (struct move){.from = members[i].offset,
                          .to = member->offset,
                          .size = size < member->size_bytes ? size : member->size_bytes};
    }
    source->move_count = loading->move_count - source->move_first;
}

/* The table that an image calls by this number; ENGINE_TABLE_COUNT when there is none. */
static enum engine_table table_find(uint32_t number)
{
    unsigned i = 0;
    while (i < ENGINE_TABLE_COUNT && table_info((enum engine_table)i)->number != number)
        i++;
    return (enum engine_table)i;
}

static bool overlap(const struct image_member *a, const struct image_member *b)
{
    return a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

/* Has the image each field that its schema has, once, with its size, and no two in one place? One
 * of today's schema is laid out as today. */
static bool members_are_whole(const struct loading *loading, const struct source *source,
                              const struct image_table *table)
{
    const struct record_info *record = table_info(source->table)->record;
    const struct image_header *header = &loading->reader.header;
    const struct image_member *members = &header->members[table->member_first];
    for (uint32_t i = 0; i < record->member_count; i++) {
        const struct member_info *member = &record->members[i];
        uint32_t found = 0;
        for (uint32_t j = 0; j < table->member_count; j++) {
            if (members[j].number != member->number)
                continue;
            if (members[j].size != member->size_bytes)
                return false;
            found++;
        }
        if (found != (member->since <= header->fixed.schema ? 1 : 0))
            return false;
    }
    for (uint32_t i = 0; i < table->member_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (overlap(&members[i], &members[j]))
                return false;
        }
    }
    return header->fixed.schema < SCHEMA || source->is_same;
}

/* False when the image lacks a table or field of its schema, has one that it cannot have, or one
 * twice, or more rows of fields than there are. */
static bool tables_map(struct loading *loading)
{
    const struct image_header *header = &loading->reader.header;
    bool is_there[ENGINE_TABLE_COUNT] = {false};
    loading->move_count = 0;
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct engine_table_view view =
            engine_table_view(loading->loader->engine, (enum engine_table)i);
        loading->counts.count[i] = 1;
        loading->counts.capacity[i] = view.capacity;
    }
    for (uint32_t i = 0; i < header->fixed.table_count; i++) {
        const struct image_table *table = &header->tables[i];
        enum engine_table number = table_find(table->number);
        if (number == ENGINE_TABLE_COUNT || is_there[number] ||
            table_info(number)->since > header->fixed.schema ||
            table->member_count > IMAGE_MEMBERS_MAX - loading->move_count)
            return false;
        is_there[number] = true;
        loading->sources[i] = (struct source){
            .table = number, .record_size = table->record_size, .count = table->count};
        loading->counts.count[number] = table->count;
        loading->counts.capacity[number] = table->capacity;
        source_map(loading, &loading->sources[i], table);
        if (!members_are_whole(loading, &loading->sources[i], table))
            return false;
    }
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        if (!is_there[i] && table_info((enum engine_table)i)->since <= header->fixed.schema)
            return false;
    }
    return true;
}

/* The same of the numbers. */
static bool scalars_map(struct loading *loading)
{
    const struct image_header *header = &loading->reader.header;
    memset(loading->scalars, 0, sizeof loading->scalars);
    for (unsigned i = 0; i < ENGINE_SCALAR_COUNT; i++) {
        const struct scalar_info *scalar = scalar_info((enum engine_scalar)i);
        uint32_t found = 0;
        for (uint32_t j = 0; j < header->fixed.scalar_count; j++) {
            if (header->scalars[j].number != scalar->number)
                continue;
            loading->scalars[i] = header->scalars[j].value;
            found++;
        }
        if (found != (scalar->since <= header->fixed.schema ? 1 : 0))
            return false;
    }
    return true;
}

static enum loaded header_compare(struct loading *loading)
{
    const struct image_fixed *fixed = &loading->reader.header.fixed;
    struct engine *engine = loading->loader->engine;
    if (fixed->schema < SCHEMA_FIRST || !tables_map(loading) || !scalars_map(loading))
        return say(loading, LOAD_DAMAGED, "its tables are not those of schema %" PRIu32,
                   fixed->schema);
    char error[LOADER_ERROR_SIZE / 2];
    enum engine_load ready =
        engine_load_begin(engine, loading->scalars, &loading->counts, error, sizeof error);
    if (ready != ENGINE_LOAD_READY)
        return say(loading, ready == ENGINE_LOAD_UNSOUND ? LOAD_DAMAGED : LOAD_REFUSED, "%s",
                   error);
    if (fixed->epoch == 0 || fixed->epoch > UINT64_MAX / 2 || engine_seq(engine) != fixed->seq ||
        engine_digest(engine) != fixed->digest || engine_time_us(engine) != fixed->time_us)
        return say(loading, LOAD_DAMAGED, "its header contradicts itself");
    return LOADED;
}

/* Are the records inside their table, and their bytes as many as that? */
static bool chunk_is_inside(const struct loading *loading, const struct image_chunk *chunk)
{
    if (chunk->table >= loading->reader.header.fixed.table_count)
        return false;
    const struct source *source = &loading->sources[chunk->table];
    return chunk->raw_size > 0 && chunk->first < source->count &&
           chunk->count <= source->count - chunk->first &&
           (uint64_t)chunk->count * source->record_size == chunk->raw_size;
}

/* Records of another layout, one by one. */
static void records_move(struct loading *loading, const struct source *source,
                         const struct image_chunk *chunk)
{
    struct engine *engine = loading->loader->engine;
    const uint8_t *from = loading->records;
    for (uint32_t i = 0; i < chunk->count; i++, from += source->record_size) {
        uint8_t record[KEEP_RECORD_SIZE_MAX] = {0};
        for (uint32_t j = 0; j < source->move_count; j++) {
            const struct move *move = &loading->moves[source->move_first + j];
            memcpy(record + move->to, from + move->from, move->size);
        }
        uint8_t *room = engine_load_room(engine, source->table, chunk->first + i, 1);
        if (room != NULL)
            memcpy(room, record, table_info(source->table)->record->size_bytes);
        else
            engine_load_ring(engine, source->table, loading->counts.capacity[source->table],
                             chunk->first + i, 1, record);
    }
}

static bool chunk_place(struct loading *loading, const struct image_chunk *chunk)
{
    struct engine *engine = loading->loader->engine;
    if (!chunk_is_inside(loading, chunk))
        return false;
    const struct source *source = &loading->sources[chunk->table];
    uint8_t *room = engine_load_room(engine, source->table, chunk->first, chunk->count);
    if (room != NULL && source->is_same)
        return image_chunk_unpack(chunk, loading->reader.bytes, room);
    if (!image_chunk_unpack(chunk, loading->reader.bytes, loading->records))
        return false;
    if (source->is_same)
        engine_load_ring(engine, source->table, loading->counts.capacity[source->table],
                         chunk->first, chunk->count, loading->records);
    else
        records_move(loading, source, chunk);
    return true;
}

static enum loaded chunks_load(struct loading *loading, uint64_t bytes_total)
{
    struct loader *loader = loading->loader;
    struct image_reader *reader = &loading->reader;
    enum image_read read;
    while ((read = image_reader_next(reader)) == IMAGE_READ_CHUNK) {
        if (!chunk_place(loading, &reader->chunk))
            return say_read(loading, image_reader_reject(reader));
        loader->bytes_read = reader->bytes_read;
        if (loader->progress != NULL && reader->chunk.number % 64 == 0)
            loader->progress(loader->context, reader->bytes_read, bytes_total);
    }
    return read == IMAGE_READ_END ? LOADED : say_read(loading, read);
}

/* Is it of a schema without warehouses, so that they are added? */
static bool lacks_warehouses(const struct loading *loading)
{
    return loading->reader.header.fixed.schema < table_info(TABLE_warehouses)->since;
}

/* The end carries the checksum of the state that the image shows: the same one, as long as the
 * records are laid out as they were, since what is zero adds nothing to it. Over records that were
 * moved or added it is another one. */
static enum loaded sum_compare(struct loading *loading)
{
    uint64_t sum = 0;
    if (lacks_warehouses(loading))
        return LOADED;
    for (uint32_t i = 0; i < loading->reader.header.fixed.table_count; i++) {
        if (!loading->sources[i].is_same)
            return LOADED;
    }
    if (!image_chunk_unpack(&loading->reader.chunk, loading->reader.bytes, (uint8_t *)&sum) ||
        sum != engine_checksum(loading->loader->engine))
        return say(loading, LOAD_DAMAGED,
                   "the state that came of it is not the one that it was written of");
    return LOADED;
}

static enum loaded records_check(struct loading *loading)
{
    struct engine *engine = loading->loader->engine;
    char error[LOADER_ERROR_SIZE / 2];
    engine_rebuild(engine);
    engine_upgrade(engine, loading->reader.header.fixed.schema);
    bool is_sound = engine_check_bounds(engine, error, sizeof error);
    if (is_sound && lacks_warehouses(loading) &&
        !engine_add_warehouses(engine, error, sizeof error))
        return say(loading, LOAD_REFUSED, "%s", error);
    if (is_sound && engine_check_totals(engine, error, sizeof error)) {
        enum loaded loaded = sum_compare(loading);
        engine_rewind(engine);
        return loaded;
    }
    return say(loading, LOAD_DAMAGED, "forged or damaged, though its checksums are right: %s",
               error);
}

static enum loaded image_load(struct loading *loading, uint64_t seq, uint64_t bytes_total)
{
    struct loader *loader = loading->loader;
    const struct image_fixed *fixed = &loading->reader.header.fixed;
    char name[DISK_NAME_SIZE];
    image_name(seq, name);
    enum image_read read = image_reader_open(&loading->reader, loader->disk, name, seq);
    enum loaded loaded = read == IMAGE_READ_CHUNK ? LOADED : say_read(loading, read);
    if (loaded == LOADED && loader->time_max_us > 0 && fixed->time_us > loader->time_max_us)
        loaded = LOAD_LATER;
    if (loaded == LOADED)
        loaded = header_compare(loading);
    if (loaded == LOADED)
        loaded = chunks_load(loading, bytes_total);
    if (loaded == LOADED)
        loaded = records_check(loading);
    if (loaded == LOADED) {
        loader->seq = seq;
        loader->raw_bytes = fixed->raw_bytes;
        loader->epoch = fixed->epoch;
        loader->shop = image_shop_read(&loading->reader.header);
    }
    image_reader_close(&loading->reader);
    return loaded;
}

/* Epochs never fall: an older snapshot of a newer epoch is what the shop was restored to, and the
 * one that was loaded is of the time that was left behind. */
static bool epoch_is_newest(struct loading *loading, uint32_t index)
{
    struct loader *loader = loading->loader;
    bool is_newest = true;
    for (uint32_t i = index + 1; is_newest && i < loader->seq_count; i++) {
        char name[DISK_NAME_SIZE];
        image_name(loader->seqs[i], name);
        enum image_read read =
            image_reader_open(&loading->reader, loader->disk, name, loader->seqs[i]);
        uint64_t epoch = loading->reader.header.fixed.epoch;
        is_newest = read != IMAGE_READ_CHUNK || epoch <= loader->epoch;
        if (!is_newest)
            (void)say(loading, LOAD_REFUSED,
                      "it is of epoch %" PRIu64 ", and the newer snapshot of seq %" PRIu64
                      " of epoch %" PRIu64 ", which is of the time before the shop was restored "
                      "and would undo that. Move the newer one away",
                      epoch, loader->seq, loader->epoch);
        image_reader_close(&loading->reader);
    }
    return is_newest;
}

/* Lists the snapshots, the newest first. */
static bool list(struct loader *loader, uint64_t sizes[LOADER_SNAPSHOTS_MAX])
{
    struct disk_entry *entries;
    int count = disk_list_all(loader->disk, &entries);
    loader->older_count = 0;
    for (int i = count; i-- > 0;) {
        uint64_t seq = image_name_seq(entries[i].name);
        if (seq == 0 || (loader->seq_max > 0 && seq > loader->seq_max))
            continue;
        if (loader->seq_count == LOADER_SNAPSHOTS_MAX) {
            loader->older_count++;
            continue;
        }
        sizes[loader->seq_count] = entries[i].size_bytes;
        loader->seqs[loader->seq_count++] = seq;
    }
    free(entries);
    if (count < 0)
        snprintf(loader->error, sizeof loader->error, "%s cannot be listed: %s",
                 disk_path(loader->disk), strerror(-count));
    return count >= 0;
}

static struct loading *loading_begin(struct loader *loader)
{
    struct loading *loading = malloc(sizeof *loading);
    if (loading == NULL)
        snprintf(loader->error, sizeof loader->error, "no memory to load a snapshot");
    else
        loading->loader = loader;
    return loading;
}

/* The seq, epoch and shop of a snapshot, as its header has them; false when it has none that is
 * whole. */
static bool epoch_read(struct loading *loading, uint32_t index)
{
    struct loader *loader = loading->loader;
    char name[DISK_NAME_SIZE];
    image_name(loader->seqs[index], name);
    enum image_read read =
        image_reader_open(&loading->reader, loader->disk, name, loader->seqs[index]);
    loader->seq = loader->seqs[index];
    loader->epoch = loading->reader.header.fixed.epoch;
    loader->shop = image_shop_read(&loading->reader.header);
    image_reader_close(&loading->reader);
    return read == IMAGE_READ_CHUNK;
}

bool loader_list(struct loader *loader)
{
    uint64_t sizes[LOADER_SNAPSHOTS_MAX] = {0};
    loader->seq_count = 0;
    struct loading *loading = loading_begin(loader);
    bool is_well = loading != NULL && list(loader, sizes);
    bool is_found = false;
    for (uint32_t i = 0; is_well && !is_found && i < loader->seq_count; i++) {
        is_found = epoch_read(loading, i);
        is_well = !is_found || epoch_is_newest(loading, i);
    }
    free(loading);
    return is_well;
}

bool loader_run(struct loader *loader)
{
    uint64_t sizes[LOADER_SNAPSHOTS_MAX] = {0};
    loader->seq = 0;
    loader->seq_count = 0;
    loader->damaged_count = 0;
    loader->bytes_read = loader->raw_bytes = loader->epoch = 0;
    loader->shop = (struct id){0};
    loader->error[0] = '\0';
    struct loading *loading = loading_begin(loader);
    bool is_well = loading != NULL && list(loader, sizes);
    for (uint32_t i = 0; is_well && loader->seq == 0 && i < loader->seq_count; i++) {
        enum loaded loaded = image_load(loading, loader->seqs[i], sizes[i]);
        if (loaded == LOADED)
            is_well = epoch_is_newest(loading, i);
        if (loaded == LOADED || loaded == LOAD_LATER)
            continue;
        if (loader->notice != NULL && loaded == LOAD_DAMAGED)
            loader->notice(loader->context, loader->error);
        loader->damaged_count++;
        is_well = loaded == LOAD_DAMAGED && engine_clear(loader->engine);
    }
    free(loading);
    return is_well;
}
