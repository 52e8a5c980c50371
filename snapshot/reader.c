/* A window over the file; each chunk is checked whole before anyone sees it.
 *
 * What can fail: reading the disk. What is read is untrusted until its checksum holds. */
#include "snapshot/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/schema.h"

static_assert(IMAGE_WINDOW_SIZE >= 2 * (int)IMAGE_CHUNK_SIZE_MAX, "a chunk fits the window");

/* Says what was found, and gives it on. */
#define say(reader, found, ...)                                                                    \
    ((void)error_set_file((reader)->error, sizeof(reader)->error, disk_path((reader)->disk),       \
                          (reader)->name, __VA_ARGS__),                                            \
     (found))

static enum image_read say_unreadable(struct image_reader *reader, int64_t result)
{
    return say(reader, IMAGE_READ_ERROR, "cannot be read: %s", strerror((int)-result));
}

/* Moves the window on until it has so many bytes. Fewer at the end of the file; -errno. */
static int64_t window_fill(struct image_reader *reader, uint32_t size)
{
    if (reader->end - reader->start >= size)
        return size;
    memmove(reader->window, reader->window + reader->start, reader->end - reader->start);
    reader->offset += reader->start;
    reader->end -= reader->start;
    reader->start = 0;
    int64_t count = disk_file_read(reader->disk, reader->file, reader->offset + reader->end,
                                   reader->window + reader->end, IMAGE_WINDOW_SIZE - reader->end);
    if (count < 0)
        return count;
    reader->end += (uint32_t)count;
    return reader->end < size ? reader->end : size;
}

static enum image_read read_header(struct image_reader *reader, uint64_t seq)
{
    int64_t size = window_fill(reader, IMAGE_HEADER_SIZE);
    if (size < 0)
        return say_unreadable(reader, size);
    if (size < IMAGE_HEADER_SIZE)
        return say(reader, IMAGE_READ_DAMAGED, "it ends in its header");
    switch (image_header_read(reader->window + reader->start, &reader->header)) {
    case IMAGE_FOUND:
        break;
    case IMAGE_DAMAGED:
        return say(reader, IMAGE_READ_DAMAGED, "its header is damaged");
    case IMAGE_NEWER:
        if (reader->header.fixed.version <= IMAGE_VERSION)
            return say(reader, IMAGE_READ_NEWER, SCHEMA_NEWER_TEXT, reader->header.fixed.schema,
                       SCHEMA);
        return say(reader, IMAGE_READ_NEWER,
                   "written in format version %" PRIu32 "; this till reads up to version %d: use "
                   "the till that wrote it, or a newer one",
                   reader->header.fixed.version, IMAGE_VERSION);
    }
    reader->start += IMAGE_HEADER_SIZE;
    reader->previous = reader->header.fixed.checksum;
    if (reader->header.fixed.seq != seq)
        return say(reader, IMAGE_READ_DAMAGED, "its name is not that of its seq");
    return IMAGE_READ_CHUNK;
}

enum image_read image_reader_open(struct image_reader *reader, struct disk *disk, const char *name,
                                  uint64_t seq)
{
    *reader = (struct image_reader){.disk = disk, .file = -1};
    snprintf(reader->name, sizeof reader->name, "%s", name);
    reader->window = malloc(IMAGE_WINDOW_SIZE);
    if (reader->window == NULL)
        return say_unreadable(reader, -ENOMEM);
    reader->file = disk_file_open(disk, reader->name, false);
    if (reader->file < 0)
        return say_unreadable(reader, reader->file);
    return read_header(reader, seq);
}

void image_reader_close(struct image_reader *reader)
{
    if (reader->file >= 0)
        disk_file_close(reader->disk, reader->file);
    free(reader->window);
    reader->file = -1;
    reader->window = NULL;
}

enum image_read image_reader_reject(struct image_reader *reader)
{
    return say(reader, IMAGE_READ_DAMAGED, "chunk %" PRIu32 " at offset %" PRIu64 " is damaged",
               reader->chunk_number + 1, reader->offset + reader->start);
}

enum image_read image_reader_next(struct image_reader *reader)
{
    struct image_chunk *chunk = &reader->chunk;
    reader->start += reader->taken;
    reader->chunk_number += reader->taken > 0;
    reader->taken = 0;
    int64_t size = window_fill(reader, sizeof *chunk);
    if (size < 0)
        return say_unreadable(reader, size);
    if (size < (int64_t)sizeof *chunk || !image_chunk_read(reader->window + reader->start, chunk))
        return image_reader_reject(reader);
    uint32_t whole = image_chunk_size(chunk);
    size = window_fill(reader, whole);
    if (size < 0)
        return say_unreadable(reader, size);
    reader->bytes = reader->window + reader->start;
    if (size < whole || !image_chunk_verify(chunk, reader->bytes) ||
        chunk->previous != reader->previous || chunk->number != reader->chunk_number + 1)
        return image_reader_reject(reader);
    bool is_end = chunk->table == IMAGE_END;
    if (is_end && (chunk->raw_size != sizeof(uint64_t) || chunk->count != chunk->number - 1))
        return image_reader_reject(reader);
    reader->previous = chunk->checksum;
    reader->taken = whole;
    reader->bytes_read = reader->offset + reader->start + whole;
    return is_end ? IMAGE_READ_END : IMAGE_READ_CHUNK;
}
