/* Opening the log for appending, where a reader has found its end.
 *
 * Good path: what was torn is filled with WAL_CUT_WORD, so that no later recovery finds it again;
 * the note is written, so that it says what is there; then the files that are written to are
 * opened. A folder without a log gets its first segment, and then its first note: a segment that
 * nothing was ever written to needs none.
 *
 * What can fail: the disk, with the name of the file. A crash at any moment leaves what the next
 * opening takes for the same log: each step is repeated as long as it has not been done in full. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_state.h"

/* Keeps what could not be done with a file, and gives the result on. */
static int fail(const struct wal *wal, char error[IO_ERROR_SIZE], const char *name, int result)
{
    if (result < 0)
        snprintf(error, IO_ERROR_SIZE, "the log in %s cannot be opened for writing: %s: %s",
                 disk_path(wal->disk), name, strerror(-result));
    return result;
}

static int fail_at(const struct wal *wal, char error[IO_ERROR_SIZE], uint32_t segment, int result)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(segment, name);
    return fail(wal, error, name, result);
}

/* Fills what lies in a segment from an offset on. */
static int segment_fill(struct wal *wal, uint32_t segment, uint64_t offset, uint64_t size_bytes)
{
    int file = wal_segment_open(wal, segment);
    int result = file < 0 ? file : 0;
    while (result == 0 && size_bytes > 0) {
        size_t size = size_bytes < WAL_BLOCK_SIZE_MAX ? size_bytes : WAL_BLOCK_SIZE_MAX;
        result = disk_file_write(wal->disk, file, offset, wal->images, size);
        offset += size;
        size_bytes -= size;
    }
    if (file >= 0)
        disk_file_close(wal->disk, file);
    return result;
}

/* Fills what was torn, from the end of the log on. */
static int torn_cut(struct wal *wal, uint64_t torn_bytes, char error[IO_ERROR_SIZE])
{
    const uint64_t word = WAL_CUT_WORD;
    uint32_t segment = wal->segment;
    uint64_t offset = wal->offset;
    for (size_t i = 0; i < WAL_BLOCK_SIZE_MAX; i += sizeof word)
        memcpy(wal->images + i, &word, sizeof word);
    for (; torn_bytes > 0; segment++, offset = 0) {
        uint64_t size_bytes = wal_segment_known(wal, segment)->size_bytes - offset;
        if (size_bytes > torn_bytes)
            size_bytes = torn_bytes;
        int result = segment_fill(wal, segment, offset, size_bytes);
        if (result < 0)
            return fail_at(wal, error, segment, result);
        torn_bytes -= size_bytes;
        TILL_ASSERT(torn_bytes == 0 || segment < wal->segment_last);
    }
    return 0;
}

/* The segment itself, where there is none: the log waits for it. */
static int segment_create(struct wal *wal, char error[IO_ERROR_SIZE])
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(wal->segment, name);
    wal_segment_known(wal, wal->segment)->size_bytes = wal->options.segment_size;
    return fail(wal, error, name, disk_create_zeroed(wal->disk, name, wal->options.segment_size));
}

/* The first seqs of the segments before the one in use. */
static int segments_read(struct wal *wal, char error[IO_ERROR_SIZE])
{
    char name[DISK_NAME_SIZE];
    for (uint32_t segment = wal->segment_first; segment < wal->segment; segment++) {
        struct wal_block block = {0};
        wal_segment_name(segment, name);
        int result = wal_segment_begin(wal->disk, name, wal->images, &block);
        if (result < 0)
            return fail(wal, error, name, result);
        wal_segment_known(wal, segment)->seq_first = block.seq_first;
    }
    return 0;
}

/* Ready segments that were truncated, to no use for any block, go away with all after them, the
 * last one first, so that no gap can come to be. The first segment of a log without blocks counts
 * as ready: the first block must stand at its beginning, so it is made anew. */
static int segments_trim(struct wal *wal, char error[IO_ERROR_SIZE])
{
    char name[DISK_NAME_SIZE];
    uint32_t segment = wal->offset == 0 ? wal->segment : wal->segment + 1;
    while (segment <= wal->segment_last &&
           wal_segment_known(wal, segment)->size_bytes >= WAL_BLOCK_SIZE_MAX)
        segment++;
    for (; wal->segment_last >= segment; wal->segment_last--) {
        wal_segment_name(wal->segment_last, name);
        int result = disk_remove(wal->disk, name);
        if (result < 0)
            return fail(wal, error, name, result);
    }
    if (wal->segment_last >= wal->segment)
        return 0;
    wal->segment_last = wal->segment;
    return segment_create(wal, error);
}

/* Takes in the segments that are there, or creates the first. */
static int segments_load(struct wal *wal, const struct wal_end *end, char error[IO_ERROR_SIZE])
{
    struct wal_segment *segments;
    int count = wal_segments_list(wal->disk, WAL_IN_DATA, &segments);
    if (count < 0)
        return fail(wal, error, "its files", count);
    for (int i = 0; i < count; i++)
        wal_segment_known(wal, segments[i].number)->size_bytes = segments[i].size_bytes;
    wal->segment = wal->segment_first = wal->segment_last = 1;
    if (count > 0) {
        wal->segment = end->segment;
        wal->segment_first = segments[0].number;
        wal->segment_last = segments[count - 1].number;
    }
    free(segments);
    TILL_ASSERT(count > 0 || end->segment == 0);
    TILL_ASSERT(wal->segment >= wal->segment_first && wal->segment <= wal->segment_last);
    if (count == 0)
        return segment_create(wal, error);
    wal->offset = end->offset;
    TILL_ASSERT(wal->offset <= wal_segment_known(wal, wal->segment)->size_bytes);
    return segments_read(wal, error);
}

static bool memory_take(struct wal *wal)
{
    enum { PAGES_SIZE = 2 * WAL_ALIGN };
    wal->ids = malloc(WAL_COLUMN_SIZE_MAX);
    wal->fields = malloc(WAL_COLUMN_SIZE_MAX);
    wal->images =
        aligned_alloc(WAL_ALIGN, (size_t)WAL_WRITES_MAX * WAL_BLOCK_SIZE_MAX + PAGES_SIZE);
    wal->known = calloc(DISK_ENTRIES_MAX, sizeof *wal->known);
    return wal->ids != NULL && wal->fields != NULL && wal->images != NULL && wal->known != NULL;
}

/* What is to be written, by whom, and from where. */
static void writes_init(struct wal *wal)
{
    uint8_t *pages = wal->images + (size_t)WAL_WRITES_MAX * WAL_BLOCK_SIZE_MAX;
    uint64_t user = wal->options.user_write;
    for (unsigned i = 0; i < WAL_WRITES_MAX; i++) {
        struct wal_slot *slot = &wal->slots[i];
        slot->image = wal->images + (size_t)i * WAL_BLOCK_SIZE_MAX;
        slot->file_done = -1;
        slot->write = (struct wal_write){.bytes = slot->image, .user = user + i};
    }
    wal->noting.page = pages;
    wal->noting.write =
        (struct wal_write){.bytes = pages, .size_bytes = WAL_ALIGN, .user = user + WAL_WRITES_MAX};
    wal->seal.page = pages + WAL_ALIGN;
    wal->seal.write = (struct wal_write){
        .bytes = wal->seal.page, .size_bytes = WAL_ALIGN, .user = user + WAL_WRITES_MAX + 1};
}

static void options_resolve(struct wal_options *options)
{
    if (options->segment_size == 0)
        options->segment_size = WAL_SEGMENT_SIZE;
    if (options->writes_max == 0)
        options->writes_max = WAL_WRITES_DEFAULT;
    TILL_ASSERT(options->segment_size % WAL_BLOCK_SIZE_MAX == 0);
    TILL_ASSERT(options->writes_max <= WAL_WRITES_MAX);
}

/* What the reader has found of the segment in use: the next block may be its first. */
static void segment_know(struct wal *wal, const struct wal_end *end)
{
    struct wal_known *known = wal_segment_known(wal, wal->segment);
    known->seq_first = wal->offset > 0 ? end->segment_seq : end->seq_next;
    known->previous = wal->offset > 0 ? end->segment_previous : end->previous;
}

static int open_after(struct wal *wal, const struct wal_end *end, char error[IO_ERROR_SIZE])
{
    int result = segments_load(wal, end, error);
    if (result == 0)
        result = torn_cut(wal, end->torn_bytes, error);
    if (result == 0)
        result = segments_trim(wal, error);
    if (result < 0)
        return result;
    segment_know(wal, end);
    result = fail(wal, error, WAL_NOTE_NAME, wal_note_open(wal));
    if (result < 0)
        return result;
    wal->file = wal_segment_open(wal, wal->segment);
    if (wal->file < 0)
        return fail_at(wal, error, wal->segment, wal->file);
    wal_block_begin(wal);
    return fail_at(wal, error, wal->segment + 1, wal_spare_ensure(wal));
}

int wal_open(struct wal **wal_out, struct io *io, struct disk *disk,
             const struct wal_options *options, const struct wal_end *end, uint64_t epoch,
             char error[IO_ERROR_SIZE])
{
    TILL_ASSERT(epoch >= end->epoch);
    *wal_out = NULL;
    struct wal *wal = malloc(sizeof *wal);
    if (wal != NULL) {
        *wal = (struct wal){
            .io = io,
            .disk = disk,
            .options = *options,
            .open = {.previous = end->previous,
                     .epoch = epoch,
                     .seq_first = end->seq_next,
                     .digest = end->digest},
            .time_last = end->time_us,
            .time_next = end->time_us,
            .block_open = 1,
            .seq_durable = end->seq_next - 1,
            .has_blocks = end->epoch > 0,
            .seal = {.state = end->seal != 0 ? SEAL_THERE : SEAL_NONE,
                     .checksum = end->seal,
                     .file_done = -1},
            .noting = {.file = -1},
            .file = -1,
            .file_spare = -1,
        };
        options_resolve(&wal->options);
    }
    if (wal == NULL || !memory_take(wal)) {
        snprintf(error, IO_ERROR_SIZE, "there is not enough memory for the log");
        wal_close(wal);
        return -ENOMEM;
    }
    writes_init(wal);
    int result = open_after(wal, end, error);
    if (result < 0) {
        wal_close(wal);
        return result;
    }
    wal->durable_us = io_time_us(io);
    *wal_out = wal;
    return 0;
}

int wal_check(const struct wal *wal, char error[IO_ERROR_SIZE])
{
    const int files[] = {wal->file, wal->file_spare, wal->noting.file};
    char names[][DISK_NAME_SIZE] = {"", "", WAL_NOTE_NAME};
    int result = disk_check(wal->disk);
    wal_segment_name(wal->segment, names[0]);
    wal_segment_name(wal->segment + 1, names[1]);
    snprintf(error, IO_ERROR_SIZE, "the data folder %s was removed", disk_path(wal->disk));
    for (unsigned i = 0; result != -ENOENT && i < sizeof files / sizeof files[0]; i++) {
        if (files[i] < 0 || disk_file_check(wal->disk, files[i], names[i]) == 0)
            continue;
        result = -ENOENT;
        snprintf(error, IO_ERROR_SIZE, "%s/%s was removed, or moved away", disk_path(wal->disk),
                 names[i]);
    }
    return result;
}

void wal_close(struct wal *wal)
{
    if (wal == NULL)
        return;
    int files[] = {wal->file, wal->file_spare, wal->noting.file, wal->seal.file_done};
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i] >= 0)
            disk_file_close(wal->disk, files[i]);
    }
    free(wal->ids);
    free(wal->fields);
    free(wal->images);
    free(wal->known);
    free(wal);
}
