/* Writing a snapshot.
 *
 * Good path: the partial file is created in the background. The first slice copies the engine's
 * numbers, makes the engine keep old states of records from now on, and writes the header; each
 * further slice takes a chunk from the keeper and packs it into the buffer. A buffer without room
 * for another chunk is written to the disk, up to the last whole page; the rest is moved to the
 * next buffer. When the end is packed and everything is written, and the log is durable up to the
 * snapshot's seq, the file is published, and all snapshots but the newest two are removed.
 *
 * What can fail: creating, writing and publishing the file; and the undo memory, when a single
 * batch needs more than its last quarter. Each ends this snapshot: the writer waits for writes in
 * flight, and removes the partial file. An old snapshot that cannot be removed is no failure: the
 * next snapshot tries it again.
 *
 * What must always hold: the image is exactly the engine's state between the two batches where it
 * was begun. It is not published before the log is durable up to its seq, so that no snapshot has a
 * change that a crash could take back. Two published snapshots are kept, so that damage to one of
 * them can be survived. */
#include "snapshot/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/retention.h"
#include "base/schema.h"
#include "engine/image.h"
#include "engine/sum.h"
#include "snapshot/image.h"

enum { BUFFER_SIZE = 256 * 1024 };

static_assert((int)KEEP_CHUNK_SIZE <= (int)IMAGE_RAW_SIZE_MAX,
              "a chunk of the keeper fits the format");
static_assert((int)ENGINE_SCALAR_COUNT + 2 <= (int)IMAGE_SCALARS_MAX,
              "the header has room for the scalars, and for the shop's id");
static_assert((int)ENGINE_TABLE_COUNT <= (int)IMAGE_TABLES_MAX,
              "the header has room for the tables");

static const char partial[] = "snapshot";

enum state {
    IDLE,
    CREATING,
    READY,
    PACKING,
    DRAINING,
    WAITING,
    PUBLISHING,
    DISCARDING,
    STATE_COUNT
};

/* By state: which ones may follow, as bits. */
static const uint8_t next_states[STATE_COUNT] = {
    [IDLE] = 1 << CREATING,
    [CREATING] = 1 << READY | 1 << IDLE,
    [READY] = 1 << PACKING | 1 << DRAINING,
    [PACKING] = 1 << DRAINING,
    [DRAINING] = 1 << WAITING | 1 << DISCARDING,
    [WAITING] = 1 << PUBLISHING | 1 << DRAINING,
    [PUBLISHING] = 1 << IDLE | 1 << DRAINING,
    [DISCARDING] = 1 << IDLE,
};

struct buffer {
    uint8_t *bytes;
    bool is_in_flight;
};

/* The context of blocking work, which belongs to the io's lane until the work has ended. */
struct work {
    struct disk *disk;
    int file;
    uint64_t seq;
    uint64_t seq_before; /* of the older snapshot that is kept, found while publishing */
};

struct writer {
    struct writer_options options;
    struct io *io;
    struct disk *disk;
    struct engine *engine;
    struct keeper *keeper;
    struct writer_status status;
    enum state state;
    bool has_failed;
    struct work work;

    struct image_header header;
    uint64_t scalars[ENGINE_SCALAR_COUNT]; /* when the snapshot began */
    uint64_t sum;                          /* checksum of the state that is packed so far */
    uint64_t previous;                     /* checksum of the last chunk */
    uint32_t chunk_number;
    struct buffer buffers[WRITER_BUFFERS];
    uint32_t buffer;     /* the one being filled, */
    uint32_t fill_bytes; /* and how far */
    uint64_t offset;     /* in the file, of the buffer being filled */
    uint8_t *raw;
};

struct writer *writer_create(const struct writer_options *options, struct io *io, struct disk *disk,
                             struct engine *engine, uint64_t seq_published, uint64_t seq_before)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->options = *options;
    writer->io = io;
    writer->disk = disk;
    writer->engine = engine;
    writer->status.seq_published = seq_published;
    writer->status.seq_before = seq_before;
    writer->keeper = keeper_create(engine, options->undo_bytes);
    writer->raw = malloc(KEEP_CHUNK_SIZE);
    bool made = writer->keeper != NULL && writer->raw != NULL;
    for (unsigned i = 0; i < WRITER_BUFFERS; i++) {
        writer->buffers[i].bytes = aligned_alloc(IMAGE_ALIGN, BUFFER_SIZE);
        made = made && writer->buffers[i].bytes != NULL;
    }
    if (made)
        return writer;
    writer_destroy(writer);
    return NULL;
}

void writer_destroy(struct writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->state == PACKING)
        engine_keep_end(writer->engine, writer->keeper);
    for (unsigned i = 0; i < WRITER_BUFFERS; i++)
        free(writer->buffers[i].bytes);
    free(writer->raw);
    keeper_destroy(writer->keeper);
    free(writer);
}

static bool is_writing(const struct writer *writer)
{
    for (unsigned i = 0; i < WRITER_BUFFERS; i++) {
        if (writer->buffers[i].is_in_flight)
            return true;
    }
    return false;
}

/* What holds in each state, from the transition into it until the one out of it. */
static void writer_check(const struct writer *writer)
{
    switch (writer->state) {
    case IDLE:
        TILL_ASSERT(!is_writing(writer));
        break;
    case CREATING:
        TILL_ASSERT(!writer->has_failed && !is_writing(writer));
        break;
    case READY:
        TILL_ASSERT(writer->work.file >= 0 && !is_writing(writer));
        break;
    case PACKING:
    case DRAINING:
        TILL_ASSERT(writer->work.file >= 0);
        break;
    case WAITING:
    case PUBLISHING:
        TILL_ASSERT(!is_writing(writer) && writer->fill_bytes == 0);
        break;
    case DISCARDING:
        TILL_ASSERT(writer->has_failed && !is_writing(writer));
        break;
    case STATE_COUNT:
        till_unreachable();
    }
}

static void enter(struct writer *writer, enum state state)
{
    writer_check(writer);
    TILL_ASSERT((next_states[writer->state] >> state & 1) != 0);
    writer->state = state;
    writer_check(writer);
}

static void work_start(struct writer *writer, enum state state, int (*work)(void *context))
{
    enter(writer, state);
    io_work(writer->io, IO_LANE_SNAPSHOT, work, &writer->work, writer->options.user_work);
}

static int work_create(void *context)
{
    struct work *work = context;
    work->file = disk_partial_create(work->disk, partial);
    return work->file < 0 ? work->file : 0;
}

static int work_discard(void *context)
{
    struct work *work = context;
    disk_file_close(work->disk, work->file);
    return disk_partial_discard(work->disk, partial);
}

/* Removes the snapshots that are not kept. */
static void remove_older(struct work *work)
{
    struct disk_entry *entries;
    int count = disk_list_all(work->disk, &entries);
    int kept = 0;
    for (int i = count; i-- > 0;) {
        uint64_t seq = image_name_seq(entries[i].name);
        if (seq == 0)
            continue;
        if (!retention_keeps_snapshot(kept))
            (void)disk_remove(work->disk, entries[i].name);
        else if (kept++ > 0)
            work->seq_before = seq;
    }
    free(entries);
}

static int work_publish(void *context)
{
    struct work *work = context;
    char name[DISK_NAME_SIZE];
    image_name(work->seq, name);
    int result = disk_partial_publish(work->disk, work->file, partial, name);
    if (result < 0)
        return result;
    disk_file_close(work->disk, work->file);
    remove_older(work);
    return 0;
}

void writer_epoch(struct writer *writer, uint64_t epoch)
{
    if (epoch > writer->options.epoch)
        writer->options.epoch = epoch;
}

void writer_ask(struct writer *writer)
{
    if (writer->state != IDLE)
        return;
    writer->has_failed = false;
    writer->work = (struct work){.disk = writer->disk, .file = -1};
    work_start(writer, CREATING, work_create);
}

bool writer_is_idle(const struct writer *writer)
{
    return writer->state == IDLE;
}

bool writer_will_show(const struct writer *writer, uint64_t seq)
{
    if (writer->status.seq_published >= seq)
        return true;
    if (writer->state == IDLE || writer->has_failed)
        return false;
    return writer->state == CREATING || writer->state == READY || writer->work.seq >= seq;
}

static void fail(struct writer *writer, const char *what, const char *why)
{
    if (writer->has_failed)
        return;
    writer->has_failed = true;
    writer->status.failure_count++;
    snprintf(writer->status.error, sizeof writer->status.error, "%s: %s", what, why);
    if (writer->state == PACKING)
        engine_keep_end(writer->engine, writer->keeper);
    if (writer->state >= READY && writer->state != DRAINING)
        enter(writer, DRAINING);
}

/* Writes the buffer's whole pages to the disk; the rest is copied to the next buffer, which is
 * free. */
static void buffer_write(struct writer *writer)
{
    struct buffer *buffer = &writer->buffers[writer->buffer];
    uint32_t size = writer->fill_bytes / IMAGE_ALIGN * IMAGE_ALIGN;
    uint32_t rest = writer->fill_bytes - size;
    uint32_t next = (writer->buffer + 1) % WRITER_BUFFERS;
    TILL_ASSERT(!writer->buffers[next].is_in_flight);
    memcpy(writer->buffers[next].bytes, buffer->bytes + size, rest);
    buffer->is_in_flight = true;
    io_write(writer->io, writer->disk, writer->work.file, writer->offset, buffer->bytes, size,
             writer->options.user_write + writer->buffer);
    writer->offset += size;
    writer->buffer = next;
    writer->fill_bytes = rest;
}

static bool buffer_has_room(const struct writer *writer)
{
    return writer->fill_bytes + IMAGE_CHUNK_SIZE_MAX <= BUFFER_SIZE;
}

/* Makes room for a chunk, if the disk has kept up. */
static bool buffer_make_room(struct writer *writer)
{
    if (!buffer_has_room(writer) &&
        !writer->buffers[(writer->buffer + 1) % WRITER_BUFFERS].is_in_flight)
        buffer_write(writer);
    return buffer_has_room(writer);
}

static void describe_table(struct writer *writer, enum engine_table number)
{
    const struct table_info *info = table_info(number);
    struct engine_table_view view = engine_table_view(writer->engine, number);
    struct image_fixed *fixed = &writer->header.fixed;
    writer->header.tables[number] = (struct image_table){
        .number = info->number,
        .record_size = view.record_size,
        .count = view.count,
        .capacity = view.capacity,
        .member_first = fixed->member_count,
        .member_count = info->record->member_count,
    };
    for (unsigned i = 0; i < info->record->member_count; i++) {
        const struct member_info *member = &info->record->members[i];
        TILL_ASSERT(fixed->member_count < IMAGE_MEMBERS_MAX);
        writer->header.members[fixed->member_count++] = (struct image_member){
            .number = member->number, .offset = member->offset, .size = member->size_bytes};
    }
    fixed->raw_bytes += (uint64_t)view.count * view.record_size;
}

static void begin(struct writer *writer)
{
    struct image_header *header = &writer->header;
    memset(header, 0, sizeof *header);
    header->fixed = (struct image_fixed){
        .schema = SCHEMA,
        .table_count = ENGINE_TABLE_COUNT,
        .scalar_count = ENGINE_SCALAR_COUNT,
        .epoch = writer->options.epoch,
        .seq = engine_seq(writer->engine),
        .digest = engine_digest(writer->engine),
        .time_us = engine_time_us(writer->engine),
    };
    engine_scalars(writer->engine, writer->scalars);
    for (unsigned i = 0; i < ENGINE_SCALAR_COUNT; i++)
        header->scalars[i] = (struct image_scalar){
            .number = scalar_info((enum engine_scalar)i)->number, .value = writer->scalars[i]};
    image_shop_write(header, writer->options.shop);
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++)
        describe_table(writer, (enum engine_table)i);
    writer->sum = sum_scalars(writer->scalars);
    engine_keep_begin(writer->engine, writer->keeper);
    writer->status.seq_begun = writer->work.seq = header->fixed.seq;
    writer->buffer = 0;
    writer->offset = 0;
    image_header_write(header, writer->buffers[0].bytes);
    writer->fill_bytes = IMAGE_HEADER_SIZE;
    writer->previous = header->fixed.checksum;
    writer->chunk_number = 0;
    enter(writer, PACKING);
}

static void chunk_pack(struct writer *writer, struct image_chunk *chunk)
{
    uint8_t *bytes = writer->buffers[writer->buffer].bytes + writer->fill_bytes;
    chunk->previous = writer->previous;
    chunk->number = ++writer->chunk_number;
    writer->fill_bytes += image_chunk_write(chunk, writer->raw, bytes);
    writer->previous = chunk->checksum;
}

/* Packs the end, and zeros up to a whole page. */
static void finish(struct writer *writer)
{
    struct image_chunk chunk = {
        .table = IMAGE_END, .count = writer->chunk_number, .raw_size = sizeof writer->sum};
    engine_keep_end(writer->engine, writer->keeper);
    memcpy(writer->raw, &writer->sum, sizeof writer->sum);
    chunk_pack(writer, &chunk);
    uint32_t size = (writer->fill_bytes + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;
    memset(writer->buffers[writer->buffer].bytes + writer->fill_bytes, 0,
           size - writer->fill_bytes);
    writer->fill_bytes = size;
    enter(writer, DRAINING);
}

/* Writes the last buffer as soon as the next one is free, and waits for all writes. */
static void drain(struct writer *writer)
{
    if (!writer->has_failed && writer->fill_bytes > 0 &&
        !writer->buffers[(writer->buffer + 1) % WRITER_BUFFERS].is_in_flight)
        buffer_write(writer);
    if (is_writing(writer))
        return;
    if (writer->has_failed)
        work_start(writer, DISCARDING, work_discard);
    else if (writer->fill_bytes == 0)
        enter(writer, WAITING);
}

static void pack(struct writer *writer)
{
    struct keep_chunk found;
    uint64_t start_us = io_time_us(writer->io);
    if (writer->keeper->slots_used > writer->status.undo_count_max)
        writer->status.undo_count_max = writer->keeper->slots_used;
    switch (keeper_next(writer->keeper, &found, writer->raw)) {
    case KEEPER_CHUNK: {
        struct image_chunk chunk = {.table = found.table,
                                    .first = found.first,
                                    .count = found.count,
                                    .raw_size = found.size_bytes};
        writer->sum += sum_records(writer->scalars, (enum engine_table)found.table,
                                   writer->header.tables[found.table].capacity, found.first,
                                   found.count, writer->raw);
        chunk_pack(writer, &chunk);
        break;
    }
    case KEEPER_ZEROS:
        break;
    case KEEPER_END:
        finish(writer);
        break;
    }
    uint64_t took_us = io_time_us(writer->io) - start_us;
    if (took_us > writer->status.chunk_us_max && took_us < US_PER_SECOND)
        writer->status.chunk_us_max = took_us;
}

bool writer_has_work(const struct writer *writer)
{
    if (writer->state == READY)
        return true;
    return writer->state == PACKING &&
           (buffer_has_room(writer) ||
            !writer->buffers[(writer->buffer + 1) % WRITER_BUFFERS].is_in_flight);
}

bool writer_step(struct writer *writer, uint64_t seq_durable, bool may_pack)
{
    bool packs = may_pack && writer_has_work(writer);
    if (writer->state == READY && may_pack)
        begin(writer);
    if (writer->state == PACKING && writer->keeper->has_overflowed)
        fail(writer, "the undo memory is full", "give it more with --snapshot-memory");
    if (writer->state == PACKING && may_pack && buffer_make_room(writer))
        pack(writer);
    if (writer->state == DRAINING)
        drain(writer);
    if (writer->state == WAITING && seq_durable >= writer->work.seq)
        work_start(writer, PUBLISHING, work_publish);
    return packs;
}

void writer_cancel(struct writer *writer)
{
    if (writer->state == READY || writer->state == PACKING || writer->state == DRAINING ||
        writer->state == WAITING)
        fail(writer, "the server stops", "it was asked to skip the snapshot");
}

uint32_t writer_undo_percent(const struct writer *writer)
{
    const struct keeper *keeper = writer->keeper;
    if (writer->state != PACKING)
        return 0;
    return (uint32_t)((uint64_t)keeper->slots_used * 100 / keeper->slot_count);
}

bool writer_is_pressed(const struct writer *writer)
{
    return writer->state == PACKING && !writer->keeper->has_overflowed &&
           keeper_is_pressed(writer->keeper);
}

bool writer_awaits_event(const struct writer *writer)
{
    return writer->state == CREATING || writer->state == PUBLISHING ||
           writer->state == DISCARDING || is_writing(writer);
}

static void worked(struct writer *writer, int result)
{
    enum state state = writer->state;
    if (state == CREATING) {
        enter(writer, result < 0 ? IDLE : READY);
        if (result < 0)
            fail(writer, "the file cannot be made", strerror(-result));
    } else if (state == PUBLISHING && result < 0) {
        fail(writer, "the file cannot be published", strerror(-result));
    } else if (state == PUBLISHING) {
        writer->status.seq_before = writer->work.seq_before;
        writer->status.seq_published = writer->work.seq;
        writer->status.snapshot_count++;
        writer->status.bytes_stored = writer->offset;
        enter(writer, IDLE);
    } else {
        TILL_ASSERT(state == DISCARDING);
        enter(writer, IDLE);
    }
}

void writer_event(struct writer *writer, const struct io_event *event)
{
    if (event->kind == IO_WORKED) {
        worked(writer, event->result);
        return;
    }
    TILL_ASSERT(event->kind == IO_WRITTEN);
    writer->buffers[event->user - writer->options.user_write].is_in_flight = false;
    if (event->result < 0)
        fail(writer, "the file cannot be written", strerror(-event->result));
}

const struct writer_status *writer_status(const struct writer *writer)
{
    return &writer->status;
}

void writer_metrics(const struct writer *writer, struct metrics *metrics)
{
    metrics->snapshots = writer->status.snapshot_count;
    metrics->snapshot_failures = writer->status.failure_count;
    metrics->snapshot_seq = writer->status.seq_published;
    metrics->snapshot_seq_before = writer->status.seq_before;
    metrics->snapshot_seq_begun = writer->status.seq_begun;
    metrics->snapshot_bytes = writer->status.bytes_stored;
    metrics->snapshot_slice_us_max = writer->status.chunk_us_max;
    metrics->snapshot_undo_max = writer->status.undo_count_max;
    metrics->snapshot_undo_percent = writer_undo_percent(writer);
}

uint64_t writer_memory_bytes(const struct writer *writer)
{
    return keeper_bytes(writer->keeper) + WRITER_BUFFERS * BUFFER_SIZE + KEEP_CHUNK_SIZE;
}
