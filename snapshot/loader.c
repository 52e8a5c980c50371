/* Loading.
 *
 * Good path: the newest file is read through a window; its header is compared with what this engine
 * is; each chunk is checked against the chain, decompressed straight into its table, and when the
 * end agrees, everything that follows from the records is made anew.
 *
 *   found                                                   decision
 *   a whole image of this version and layout                load it
 *   a file that is no image, cut short, or fails a check    say so, clear the engine, try the one
 *                                                           before
 *   a newer version, or another layout of this version      stop: it is whole, and another till's
 *   more records than there is room for                     stop: raise the capacities
 *   none, or none that is whole                             a fresh engine: the log from its start
 *
 * What can fail beside: reading the disk. What is read is untrusted until its checksum holds. */
#include "snapshot/loader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/checksum.h"
#include "engine/image.h"
#include "snapshot/image.h"

enum { WINDOW_SIZE = 1 << 20 };

static_assert(WINDOW_SIZE >= 2 * (int)IMAGE_CHUNK_SIZE_MAX, "a chunk fits the window");

enum loaded { LOADED, LOAD_LATER, LOAD_DAMAGED, LOAD_REFUSED };

struct image_file {
    struct loader *loader;
    char name[DISK_NAME_SIZE];
    int file;
    uint64_t offset; /* in the file, of the window */
    uint32_t start;  /* in the window */
    uint32_t end;
    uint64_t previous;
    uint32_t chunk_number;
    struct image_header header;
    struct engine_counts counts;
    uint8_t records[IMAGE_RAW_SIZE_MAX];
    alignas(IMAGE_ALIGN) uint8_t window[WINDOW_SIZE];
};

__attribute__((format(printf, 3, 4))) static enum loaded say(struct image_file *image,
                                                             enum loaded loaded, const char *format,
                                                             ...)
{
    struct loader *loader = image->loader;
    va_list arguments;
    int size = snprintf(loader->error, sizeof loader->error, "%s/%s: ", disk_path(loader->disk),
                        image->name);
    va_start(arguments, format);
    if (size >= 0 && (size_t)size < sizeof loader->error)
        vsnprintf(loader->error + size, sizeof loader->error - (size_t)size, format, arguments);
    va_end(arguments);
    return loaded;
}

/* Moves the window on until it has so many bytes. Fewer at the end of the file; -errno. */
static int64_t window_fill(struct image_file *image, uint32_t size)
{
    if (image->end - image->start >= size)
        return size;
    memmove(image->window, image->window + image->start, image->end - image->start);
    image->offset += image->start;
    image->end -= image->start;
    image->start = 0;
    int64_t count = disk_file_read(image->loader->disk, image->file, image->offset + image->end,
                                   image->window + image->end, WINDOW_SIZE - image->end);
    if (count < 0)
        return count;
    image->end += (uint32_t)count;
    image->loader->bytes_read = image->offset + image->end;
    return image->end < size ? image->end : size;
}

static enum loaded header_compare(struct image_file *image)
{
    const struct image_fixed *fixed = &image->header.fixed;
    uint64_t layout = 0;
    for (unsigned i = 0; i < ENGINE_SCALAR_COUNT; i++) {
        const char *name = engine_scalar_name((enum engine_scalar)i);
        layout = checksum64_seeded(name, strlen(name), layout);
    }
    bool is_same = fixed->layout == layout && fixed->scalar_count == ENGINE_SCALAR_COUNT &&
                   fixed->table_count == ENGINE_TABLE_COUNT;
    for (unsigned i = 0; is_same && i < ENGINE_TABLE_COUNT; i++) {
        const struct image_table *table = &image->header.tables[i];
        is_same = strcmp(table->name, engine_table_name((enum engine_table)i)) == 0 &&
                  table->record_size == engine_table_record_size((enum engine_table)i);
        image->counts.count[i] = table->count;
        image->counts.capacity[i] = table->capacity;
    }
    if (!is_same)
        return say(image, LOAD_REFUSED,
                   "its records are laid out otherwise than this till's, though both call it "
                   "version %d: use the till that wrote it",
                   IMAGE_VERSION);
    char error[LOADER_ERROR_SIZE / 2];
    if (!engine_load_begin(image->loader->engine, image->header.scalars, &image->counts, error,
                           sizeof error))
        return say(image, LOAD_REFUSED, "%s", error);
    if (engine_seq(image->loader->engine) != fixed->seq ||
        engine_digest(image->loader->engine) != fixed->digest)
        return say(image, LOAD_DAMAGED, "its header contradicts itself");
    return LOADED;
}

static enum loaded header_load(struct image_file *image)
{
    int64_t size = window_fill(image, IMAGE_HEADER_SIZE);
    if (size < 0)
        return say(image, LOAD_REFUSED, "cannot be read: %s", strerror((int)-size));
    if (size < IMAGE_HEADER_SIZE)
        return say(image, LOAD_DAMAGED, "it ends in its header");
    switch (image_header_read(image->window + image->start, &image->header)) {
    case IMAGE_FOUND:
        break;
    case IMAGE_DAMAGED:
        return say(image, LOAD_DAMAGED, "its header is damaged");
    case IMAGE_NEWER:
        return say(image, LOAD_REFUSED,
                   "written in format version %" PRIu32 "; this till reads up to version %d: use "
                   "the till that wrote it, or a newer one",
                   image->header.fixed.version, IMAGE_VERSION);
    }
    image->start += IMAGE_HEADER_SIZE;
    image->previous = image->header.fixed.checksum;
    if (image_name_seq(image->name) != image->header.fixed.seq)
        return say(image, LOAD_DAMAGED, "its name is not that of its seq");
    uint64_t time_max_us = image->loader->time_max_us;
    if (time_max_us > 0 && image->header.fixed.time_us > time_max_us)
        return LOAD_LATER;
    return header_compare(image);
}

/* Are the records inside their table, and their bytes as many as that? */
static bool chunk_is_inside(const struct image_file *image, const struct image_chunk *chunk)
{
    if (chunk->table == IMAGE_END)
        return chunk->raw_size == 0 && chunk->count == chunk->number - 1;
    return chunk->table < ENGINE_TABLE_COUNT && chunk->raw_size > 0 &&
           chunk->first < image->counts.count[chunk->table] &&
           chunk->count <= image->counts.count[chunk->table] - chunk->first &&
           (uint64_t)chunk->count * image->header.tables[chunk->table].record_size ==
               chunk->raw_size;
}

static bool chunk_place(struct image_file *image, const struct image_chunk *chunk,
                        const uint8_t *bytes)
{
    struct engine *engine = image->loader->engine;
    enum engine_table table = (enum engine_table)chunk->table;
    uint8_t *room = engine_load_room(engine, table, chunk->first);
    if (room != NULL)
        return image_chunk_unpack(chunk, bytes, room);
    if (!image_chunk_unpack(chunk, bytes, image->records))
        return false;
    engine_load_ring(engine, table, image->counts.capacity[table], chunk->first, chunk->count,
                     image->records);
    return true;
}

static enum loaded chunk_damaged(struct image_file *image)
{
    return say(image, LOAD_DAMAGED, "chunk %" PRIu32 " at offset %" PRIu64 " is damaged",
               image->chunk_number + 1, image->offset + image->start);
}

/* Loads the next chunk; *ended when it was the end. */
static enum loaded chunk_load(struct image_file *image, bool *ended)
{
    struct image_chunk chunk;
    int64_t size = window_fill(image, sizeof chunk);
    if (size < 0)
        return say(image, LOAD_REFUSED, "cannot be read: %s", strerror((int)-size));
    if (size < (int64_t)sizeof chunk || !image_chunk_read(image->window + image->start, &chunk))
        return chunk_damaged(image);
    uint32_t whole = image_chunk_size(&chunk);
    size = window_fill(image, whole);
    if (size < 0)
        return say(image, LOAD_REFUSED, "cannot be read: %s", strerror((int)-size));
    const uint8_t *bytes = image->window + image->start;
    if (size < whole || !image_chunk_verify(&chunk, bytes) || chunk.previous != image->previous ||
        chunk.number != image->chunk_number + 1 || !chunk_is_inside(image, &chunk))
        return chunk_damaged(image);
    *ended = chunk.table == IMAGE_END;
    if (!*ended && !chunk_place(image, &chunk, bytes))
        return chunk_damaged(image);
    image->chunk_number++;
    image->previous = chunk.checksum;
    image->start += whole;
    return LOADED;
}

static enum loaded chunks_load(struct image_file *image, uint64_t bytes_total)
{
    struct loader *loader = image->loader;
    bool ended = false;
    enum loaded loaded = LOADED;
    while (loaded == LOADED && !ended) {
        loaded = chunk_load(image, &ended);
        if (loader->progress != NULL && image->chunk_number % 64 == 0)
            loader->progress(loader->context, image->offset + image->start, bytes_total);
    }
    return loaded;
}

static enum loaded image_load(struct image_file *image, uint64_t bytes_total)
{
    struct loader *loader = image->loader;
    image->file = disk_file_open(loader->disk, image->name, false);
    if (image->file < 0)
        return say(image, LOAD_REFUSED, "cannot be opened: %s", strerror(-image->file));
    enum loaded loaded = header_load(image);
    if (loaded == LOADED)
        loaded = chunks_load(image, bytes_total);
    disk_file_close(loader->disk, image->file);
    if (loaded == LOADED)
        engine_rebuild(loader->engine);
    return loaded;
}

/* Lists the snapshots, the newest first. */
static bool list(struct loader *loader, uint64_t sizes[LOADER_SNAPSHOTS_MAX])
{
    struct disk_entry *entries = malloc(DISK_ENTRIES_MAX * sizeof *entries);
    int count = entries == NULL ? -ENOMEM : disk_list(loader->disk, entries, DISK_ENTRIES_MAX);
    if (count > DISK_ENTRIES_MAX)
        count = -EOVERFLOW;
    for (int i = count; i-- > 0 && loader->seq_count < LOADER_SNAPSHOTS_MAX;) {
        uint64_t seq = image_name_seq(entries[i].name);
        if (seq == 0 || (loader->seq_max > 0 && seq > loader->seq_max))
            continue;
        sizes[loader->seq_count] = entries[i].size_bytes;
        loader->seqs[loader->seq_count++] = seq;
    }
    free(entries);
    if (count < 0)
        snprintf(loader->error, sizeof loader->error, "%s cannot be listed: %s",
                 disk_path(loader->disk), strerror(-count));
    return count >= 0;
}

bool loader_list(struct loader *loader)
{
    uint64_t sizes[LOADER_SNAPSHOTS_MAX] = {0};
    loader->seq_count = 0;
    return list(loader, sizes);
}

bool loader_run(struct loader *loader)
{
    uint64_t sizes[LOADER_SNAPSHOTS_MAX] = {0};
    loader->seq = 0;
    loader->seq_count = 0;
    loader->damaged_count = 0;
    loader->bytes_read = loader->raw_bytes = loader->epoch = 0;
    loader->error[0] = '\0';
    struct image_file *image = aligned_alloc(IMAGE_ALIGN, sizeof *image);
    if (image == NULL) {
        snprintf(loader->error, sizeof loader->error, "no memory to load a snapshot");
        return false;
    }
    bool is_well = list(loader, sizes);
    for (uint32_t i = 0; is_well && loader->seq == 0 && i < loader->seq_count; i++) {
        memset(image, 0, offsetof(struct image_file, records));
        image->loader = loader;
        image_name(loader->seqs[i], image->name);
        enum loaded loaded = image_load(image, sizes[i]);
        if (loaded == LOADED) {
            loader->seq = loader->seqs[i];
            loader->raw_bytes = image->header.fixed.raw_bytes;
            loader->epoch = image->header.fixed.epoch;
            break;
        }
        if (loaded == LOAD_LATER)
            continue;
        if (loader->notice != NULL && loaded == LOAD_DAMAGED)
            loader->notice(loader->context, loader->error);
        loader->damaged_count++;
        is_well = loaded == LOAD_DAMAGED && engine_clear(loader->engine);
    }
    free(image);
    return is_well;
}
