/* Opening the log for appending, where a reader has found its end.
 *
 * Good path: torn writes are filled with WAL_CUT_WORD, so that no later recovery finds them again;
 * the note is written, so that it describes the present files; then the files that are written to
 * are opened. A folder without a log gets its first segment, and then its first note: a segment
 * that was never written to needs no note.
 *
 * A log that is cut at a fork (wal_reader_end_here) loses whole blocks after its new end: the rest
 * of the segment is filled in the same way, and the segments after it are removed, the last one
 * first. Until the note is written, it may say that more was durable than there is.
 *
 * What can fail: the disk, with the name of the file. After a crash at any moment the next opening
 * finds the same log: a step that was not completed is repeated. Of a log that is being cut, it
 * finds at least what is before the new end, and is to cut it again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_state.h"

/* Fills a part of a segment with the cut word. */
static int segment_fill(struct wal *wal, uint32_t segment, uint64_t offset, uint64_t size_bytes)
{
    int file = wal_segments_file(&wal->segments, segment);
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

/* Fills torn_bytes after the end of the log, over as many segments. */
static int torn_cut(struct wal *wal, uint64_t torn_bytes, char name[DISK_NAME_SIZE])
{
    const uint64_t word = WAL_CUT_WORD;
    uint32_t segment = wal->segments.current;
    uint64_t offset = wal->segments.offset;
    for (size_t i = 0; i < WAL_BLOCK_SIZE_MAX; i += sizeof word)
        memcpy(wal->images + i, &word, sizeof word);
    for (; torn_bytes > 0; segment++, offset = 0) {
        uint64_t size_bytes = wal_segments_known(&wal->segments, segment)->size_bytes - offset;
        if (size_bytes > torn_bytes)
            size_bytes = torn_bytes;
        wal_segment_name(segment, name);
        int result = segment_fill(wal, segment, offset, size_bytes);
        if (result < 0)
            return result;
        torn_bytes -= size_bytes;
        TILL_ASSERT(torn_bytes == 0 || segment < wal->segments.last);
    }
    return 0;
}

static bool memory_take(struct wal *wal)
{
    enum { PAGES_SIZE = 2 * WAL_ALIGN };
    wal->ids = malloc(WAL_COLUMN_SIZE_MAX);
    wal->fields = malloc(WAL_COLUMN_SIZE_MAX);
    wal->images =
        aligned_alloc(WAL_ALIGN, (size_t)WAL_WRITES_MAX * WAL_BLOCK_SIZE_MAX + PAGES_SIZE);
    bool has_segments = wal_segments_init(&wal->segments, wal->io, wal->disk,
                                          wal->options.segment_size, wal->options.user_prepare);
    return wal->ids != NULL && wal->fields != NULL && wal->images != NULL && has_segments;
}

/* Assigns memory and event numbers to the blocks' writes, the note's and the seal's. */
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

/* What a segment must have room for. */
static uint64_t segment_size_min(const struct wal_options *options)
{
    return options->takes_blocks ? WAL_SEGMENT_SIZE_TAKES : WAL_BLOCK_SIZE_MAX;
}

static void options_resolve(struct wal_options *options)
{
    if (options->segment_size == 0)
        options->segment_size = WAL_SEGMENT_SIZE;
    if (options->writes_max == 0)
        options->writes_max = WAL_WRITES_DEFAULT;
    TILL_ASSERT(options->segment_size % WAL_BLOCK_SIZE_MAX == 0);
    TILL_ASSERT(options->segment_size >= segment_size_min(options));
    TILL_ASSERT(options->writes_max <= WAL_WRITES_MAX);
}

/* Takes over what the reader has found in the current segment, which may have no block yet. */
static void segment_know(struct wal *wal, const struct wal_end *end)
{
    struct wal_known *known = wal_segments_known(&wal->segments, wal->segments.current);
    bool has_block = wal->segments.offset > 0;
    known->seq_first = has_block ? end->segment_seq : end->seq_next;
    known->previous = has_block ? end->segment_previous : end->previous;
}

/* The steps of opening. A step that fails leaves the name of the file in `name`. */
static int open_after(struct wal *wal, const struct wal_end *end, char name[DISK_NAME_SIZE])
{
    struct wal_segments *segments = &wal->segments;
    int result = wal_segments_load(segments, end->segment, end->offset, wal->images, name);
    if (result == 0)
        result = torn_cut(wal, end->torn_bytes, name);
    if (result == 0 && end->is_cut)
        result = wal_segments_cut(segments, name);
    if (result == 0)
        result = wal_segments_trim(segments, segment_size_min(&wal->options), name);
    if (result < 0)
        return result;
    segment_know(wal, end);
    strcpy(name, WAL_NOTE_NAME);
    result = wal_note_open(wal);
    if (result == 0)
        result = wal_segments_open(segments, name);
    if (result < 0)
        return result;
    wal_block_begin(wal);
    wal_segment_name(segments->current + 1, name);
    return wal_supply(wal);
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
                     .block.checksum = end->seal,
                     .file_done = -1},
            .noting = {.file = -1},
            .writes = {.io = io, .disk = disk},
            .segments = {.file = -1, .file_spare = -1},
        };
        options_resolve(&wal->options);
    }
    if (wal == NULL || !memory_take(wal)) {
        snprintf(error, IO_ERROR_SIZE, "there is not enough memory for the log");
        wal_close(wal);
        return -ENOMEM;
    }
    writes_init(wal);
    char name[DISK_NAME_SIZE];
    int result = open_after(wal, end, name);
    if (result < 0) {
        snprintf(error, IO_ERROR_SIZE, "the log in %s cannot be opened for writing: %s: %s",
                 disk_path(disk), name, strerror(-result));
        wal_close(wal);
        return result;
    }
    wal->durable_us = io_time_us(io);
    *wal_out = wal;
    return 0;
}

int wal_check(const struct wal *wal, char error[IO_ERROR_SIZE])
{
    const int files[] = {wal->segments.file, wal->segments.file_spare, wal->noting.file};
    char names[][DISK_NAME_SIZE] = {"", "", WAL_NOTE_NAME};
    int result = disk_check(wal->disk);
    wal_segment_name(wal->segments.current, names[0]);
    wal_segment_name(wal->segments.current + 1, names[1]);
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
    if (wal->noting.file >= 0)
        disk_file_close(wal->disk, wal->noting.file);
    if (wal->seal.file_done >= 0)
        disk_file_close(wal->disk, wal->seal.file_done);
    wal_segments_deinit(&wal->segments);
    free(wal->ids);
    free(wal->fields);
    free(wal->images);
    free(wal);
}
