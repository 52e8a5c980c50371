/* Appending to the log.
 *
 * Good path: commands go to the raw columns of the open block. wal_submit seals these into the
 * image of a slot (slots go round by block number) and hands it to the disk; the columns are free
 * again at once. Completions mark slots as written, in any order, and the durable mark moves over
 * written slots in the order of the blocks.
 *
 *        segment_first ..... segment .......... segment_last
 *        full of blocks      being written      ready: zeros, or stale blocks
 *
 * One ready segment is kept open as the spare. When a block does not fit into what is left of the
 * segment, the spare becomes the segment, and at the next event another one is opened or prepared.
 *
 * What can fail: a write: fatal, the caller stops. Preparing a segment for want of room: commands
 * are refused when neither the segment nor a spare has room for them, and preparing is tried again
 * every second. Anything else about preparing is fatal too: the disk is not what it should be.
 *
 * What must always hold: the open block can be placed at any time, because its columns are bounded
 * by the room that there is (column_limit). Names are taken in order by one party at a time: no
 * segment is recycled while one is being prepared, so a crash leaves no gap. A file is closed when
 * the last block written to it is durable. */
#include "wal/wal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wal/segment.h"

enum { PREPARE_RETRY_US = US_PER_SECOND };

struct slot {
    uint8_t *image;
    uint64_t seq_last;
    uint64_t submitted_us;
    int file_done; /* to close when this block is durable; -1: none */
    bool written;
};

/* What is known of a segment, by number modulo DISK_ENTRIES_MAX. */
struct known {
    uint64_t size_bytes;
    uint64_t seq_first; /* of its first block; meaningless for ready segments */
};

struct wal {
    struct io *io;
    struct disk *disk;
    struct wal_options options;

    /* The open block. */
    uint8_t *ids;
    uint8_t *fields;
    uint8_t *ids_cursor;
    uint8_t *fields_cursor;
    size_t column_limit;   /* bytes that each column may have so that the block can be placed */
    struct wal_block open; /* its header, as far as it is known before sealing */
    uint64_t time_last;    /* of the last command appended */
    uint64_t time_next;    /* of the next one */

    /* The blocks before it. */
    uint64_t block_open; /* numbers */
    uint64_t block_durable;
    uint64_t seq_durable;
    struct slot slots[WAL_WRITES_MAX];
    uint8_t *images;
    struct wal_packer packer;

    /* The segments: numbers. */
    uint32_t segment_first;
    uint32_t segment;
    uint32_t segment_last;
    uint64_t offset; /* in segment, of the next block */
    int file;        /* of segment */
    int file_spare;  /* of the one after it; -1: none is open */
    struct known *known;
    bool preparing;
    bool full; /* the last attempt to prepare found no room */
    uint64_t full_us;
    bool releasing;
    struct {
        uint32_t first; /* segment to release first, */
        uint32_t count; /* how many, */
        uint32_t ahead; /* and the number that the first renamed one gets */
        uint32_t renamed;
    } release;
    uint64_t seq_release; /* asked for meanwhile; 0: nothing */
    char prepare_name[DISK_NAME_SIZE];

    struct wal_stats stats;
};

static struct known *segment_known(const struct wal *wal, uint32_t segment)
{
    return &wal->known[segment % DISK_ENTRIES_MAX];
}

static struct slot *block_slot(struct wal *wal, uint64_t block)
{
    return &wal->slots[block % WAL_WRITES_MAX];
}

static uint64_t blocks_in_flight(const struct wal *wal)
{
    return wal->block_open - 1 - wal->block_durable;
}

static uint64_t segment_room(const struct wal *wal)
{
    return segment_known(wal, wal->segment)->size_bytes - wal->offset;
}

/* The open block goes to the segment or to the spare, whichever has room for it. */
static void column_limit_update(struct wal *wal)
{
    uint64_t room = segment_room(wal);
    if (wal->file_spare >= 0) {
        uint64_t spare_room = segment_known(wal, wal->segment + 1)->size_bytes;
        room = spare_room > room ? spare_room : room;
    }
    if (room > WAL_BLOCK_SIZE_MAX)
        room = WAL_BLOCK_SIZE_MAX;
    size_t header_size = sizeof(struct wal_block);
    wal->column_limit = room < header_size ? 0 : (room - header_size) / 2;
}

static void block_begin(struct wal *wal)
{
    wal->ids_cursor = wal->ids;
    wal->fields_cursor = wal->fields;
    wal->open.command_count = 0;
    wal->open.time_us = wal->time_next;
    column_limit_update(wal);
}

/* Segments. */

static int segment_open(const struct wal *wal, uint32_t segment)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(segment, name);
    return disk_file_open(wal->disk, name, true);
}

static void prepare_start(struct wal *wal)
{
    if (wal->segment_last - wal->segment_first + 1 == DISK_ENTRIES_MAX) {
        wal->full = true;
        wal->full_us = io_time_us(wal->io);
        return;
    }
    wal->preparing = true;
    wal_segment_name(wal->segment_last + 1, wal->prepare_name);
    io_prepare(wal->io, wal->disk, wal->prepare_name, wal->options.segment_size,
               wal->options.user_prepare);
}

/* Opens a spare when one is ready, else sees to it that one is being prepared. */
static int spare_ensure(struct wal *wal)
{
    if (wal->file_spare >= 0)
        return 0;
    if (wal->segment_last == wal->segment) {
        if (!wal->preparing && !wal->releasing && !wal->full)
            prepare_start(wal);
        return 0;
    }
    int file = segment_open(wal, wal->segment + 1);
    if (file < 0)
        return file;
    wal->file_spare = file;
    wal->full = false;
    column_limit_update(wal);
    return 0;
}

/* What was asked for while names were being taken; else the next spare, if one is needed. */
static int release_again(struct wal *wal)
{
    uint64_t seq = wal->seq_release;
    wal->seq_release = 0;
    if (seq > 0)
        wal_release(wal, seq);
    return spare_ensure(wal);
}

static int prepare_finish(struct wal *wal, int result)
{
    wal->preparing = false;
    if (disk_is_full(result)) {
        wal->full = true;
        wal->full_us = io_time_us(wal->io);
    } else if (result < 0) {
        return result;
    } else {
        wal->segment_last++;
        segment_known(wal, wal->segment_last)->size_bytes = wal->options.segment_size;
    }
    return release_again(wal);
}

/* The spare becomes the segment. The file is closed now, or when its last block is durable. */
static void segment_switch(struct wal *wal)
{
    TILL_ASSERT(wal->file_spare >= 0);
    if (blocks_in_flight(wal) == 0)
        disk_file_close(wal->disk, wal->file);
    else
        block_slot(wal, wal->block_open - 1)->file_done = wal->file;
    wal->file = wal->file_spare;
    wal->file_spare = -1;
    wal->segment++;
    wal->offset = 0;
    segment_known(wal, wal->segment)->seq_first = wal->open.seq_first;
}

/* Gives the oldest segments the numbers after the last, one by one. One of another size than is in
 * use now is removed instead. Runs off the thread: what it reads stays as it is meanwhile. */
static int release_work(void *context)
{
    struct wal *wal = context;
    char from[DISK_NAME_SIZE];
    char to[DISK_NAME_SIZE];
    int result = 0;
    wal->release.renamed = 0;
    for (uint32_t i = 0; result == 0 && i < wal->release.count; i++) {
        uint32_t segment = wal->release.first + i;
        wal_segment_name(segment, from);
        if (segment_known(wal, segment)->size_bytes != wal->options.segment_size) {
            result = disk_remove(wal->disk, from);
            continue;
        }
        wal_segment_name(wal->release.ahead + wal->release.renamed++, to);
        result = disk_rename(wal->disk, from, to);
    }
    return result;
}

static int release_finish(struct wal *wal, int result)
{
    wal->releasing = false;
    if (result < 0)
        return result;
    wal->segment_first += wal->release.count;
    for (uint32_t i = 0; i < wal->release.renamed; i++)
        segment_known(wal, ++wal->segment_last)->size_bytes = wal->options.segment_size;
    return release_again(wal);
}

int wal_release(struct wal *wal, uint64_t seq)
{
    if (wal->preparing || wal->releasing) {
        if (seq > wal->seq_release)
            wal->seq_release = seq;
        return 0;
    }
    if (seq > wal->seq_durable + 1)
        seq = wal->seq_durable + 1;
    uint32_t count = 0;
    while (wal->segment_first + count < wal->segment &&
           segment_known(wal, wal->segment_first + count + 1)->seq_first <= seq)
        count++;
    if (count == 0)
        return 0;
    wal->release.first = wal->segment_first;
    wal->release.count = count;
    wal->release.ahead = wal->segment_last + 1;
    wal->releasing = true;
    io_work(wal->io, IO_LANE_LOG, release_work, wal, wal->options.user_prepare);
    return (int)count;
}

uint32_t wal_segment_first(const struct wal *wal)
{
    return wal->segment_first;
}

uint64_t wal_seq_first(const struct wal *wal)
{
    return segment_known(wal, wal->segment_first)->seq_first;
}

bool wal_closed_next(const struct wal *wal, uint64_t seq, struct wal_closed *closed)
{
    for (uint32_t segment = wal->segment_first; segment < wal->segment; segment++) {
        uint64_t seq_next = segment_known(wal, segment + 1)->seq_first;
        if (seq_next > wal->seq_durable)
            return false;
        if (seq >= seq_next)
            continue;
        *closed =
            (struct wal_closed){segment, segment_known(wal, segment)->seq_first, seq_next - 1};
        return true;
    }
    return false;
}

uint32_t wal_closed_count(const struct wal *wal, uint64_t seq)
{
    struct wal_closed closed;
    return wal_closed_next(wal, seq, &closed) ? wal->segment - closed.number : 0;
}

/* Opening. */

/* Zeros over what was torn, from the end of the log on. */
static int torn_cut(struct wal *wal, uint64_t torn_bytes)
{
    uint8_t *zeros = wal->images;
    uint32_t segment = wal->segment;
    uint64_t offset = wal->offset;
    memset(zeros, 0, WAL_BLOCK_SIZE_MAX);
    while (torn_bytes > 0) {
        uint64_t size_bytes = segment_known(wal, segment)->size_bytes - offset;
        if (size_bytes > torn_bytes)
            size_bytes = torn_bytes;
        torn_bytes -= size_bytes;
        int file = segment_open(wal, segment);
        int result = file < 0 ? file : 0;
        while (result == 0 && size_bytes > 0) {
            size_t size = size_bytes < WAL_BLOCK_SIZE_MAX ? size_bytes : WAL_BLOCK_SIZE_MAX;
            result = disk_file_write(wal->disk, file, offset, zeros, size);
            offset += size;
            size_bytes -= size;
        }
        if (file >= 0)
            disk_file_close(wal->disk, file);
        if (result < 0)
            return result;
        TILL_ASSERT(torn_bytes == 0 || segment < wal->segment_last);
        segment++;
        offset = 0;
    }
    return 0;
}

/* The segment itself, where there is none: the log waits for it. */
static int segment_create(struct wal *wal)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(wal->segment, name);
    segment_known(wal, wal->segment)->size_bytes = wal->options.segment_size;
    return disk_create_zeroed(wal->disk, name, wal->options.segment_size);
}

/* The first seq of a segment that has blocks. */
static int segment_read(struct wal *wal, uint32_t segment)
{
    char name[DISK_NAME_SIZE];
    struct wal_block block = {0};
    wal_segment_name(segment, name);
    int result = wal_segment_begin(wal->disk, name, wal->images, &block);
    if (result == 0)
        segment_known(wal, segment)->seq_first = block.seq_first;
    return result;
}

/* Ready segments that were truncated, to no use for any block, go away with all after them, the
 * last one first, so that no gap can come to be. The first segment of a log without blocks counts
 * as ready: the first block must stand at its beginning, so it is made anew. */
static int segments_trim(struct wal *wal)
{
    char name[DISK_NAME_SIZE];
    uint32_t segment = wal->offset == 0 ? wal->segment : wal->segment + 1;
    while (segment <= wal->segment_last &&
           segment_known(wal, segment)->size_bytes >= WAL_BLOCK_SIZE_MAX)
        segment++;
    for (; wal->segment_last >= segment; wal->segment_last--) {
        wal_segment_name(wal->segment_last, name);
        int result = disk_remove(wal->disk, name);
        if (result < 0)
            return result;
    }
    if (wal->segment_last >= wal->segment)
        return 0;
    wal->segment_last = wal->segment;
    return segment_create(wal);
}

/* Takes in the segments that are there, or creates the first. */
static int segments_load(struct wal *wal, const struct wal_end *end)
{
    struct wal_segment *segments;
    int count = wal_segments_list(wal->disk, WAL_IN_DATA, &segments);
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++)
        segment_known(wal, segments[i].number)->size_bytes = segments[i].size_bytes;
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
        return segment_create(wal);
    wal->offset = end->offset;
    TILL_ASSERT(wal->offset <= segment_known(wal, wal->segment)->size_bytes);
    return 0;
}

static bool memory_take(struct wal *wal)
{
    wal->ids = malloc(WAL_COLUMN_SIZE_MAX);
    wal->fields = malloc(WAL_COLUMN_SIZE_MAX);
    wal->images = aligned_alloc(WAL_ALIGN, (size_t)WAL_WRITES_MAX * WAL_BLOCK_SIZE_MAX);
    wal->known = calloc(DISK_ENTRIES_MAX, sizeof *wal->known);
    if (wal->ids == NULL || wal->fields == NULL || wal->images == NULL || wal->known == NULL)
        return false;
    for (unsigned i = 0; i < WAL_WRITES_MAX; i++) {
        wal->slots[i].image = wal->images + (size_t)i * WAL_BLOCK_SIZE_MAX;
        wal->slots[i].file_done = -1;
    }
    return true;
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

static int open_after(struct wal *wal, const struct wal_end *end)
{
    int result = segments_load(wal, end);
    for (uint32_t segment = wal->segment_first; result == 0 && segment < wal->segment; segment++)
        result = segment_read(wal, segment);
    segment_known(wal, wal->segment)->seq_first = end->seq_next;
    if (result == 0 && wal->offset > 0)
        result = segment_read(wal, wal->segment);
    if (result == 0)
        result = torn_cut(wal, end->torn_bytes);
    if (result == 0)
        result = segments_trim(wal);
    if (result == 0)
        result = wal->file = segment_open(wal, wal->segment);
    if (result < 0)
        return result;
    block_begin(wal);
    return spare_ensure(wal);
}

int wal_open(struct wal **wal_out, struct io *io, struct disk *disk,
             const struct wal_options *options, const struct wal_end *end, uint64_t epoch,
             char error[IO_ERROR_SIZE])
{
    TILL_ASSERT(epoch >= end->epoch);
    *wal_out = NULL;
    struct wal *wal = malloc(sizeof *wal);
    int result = -ENOMEM;
    if (wal != NULL) {
        *wal = (struct wal){
            .io = io,
            .disk = disk,
            .options = *options,
            .open = {.previous = end->previous, .epoch = epoch, .seq_first = end->seq_next},
            .time_last = end->time_us,
            .time_next = end->time_us,
            .block_open = 1,
            .seq_durable = end->seq_next - 1,
            .file = -1,
            .file_spare = -1,
        };
        options_resolve(&wal->options);
        if (memory_take(wal))
            result = open_after(wal, end);
    }
    if (result < 0) {
        snprintf(error, IO_ERROR_SIZE, "the log in %s cannot be opened for writing: %s",
                 disk_path(disk), strerror(-result));
        wal_close(wal);
        return result;
    }
    *wal_out = wal;
    return 0;
}

void wal_close(struct wal *wal)
{
    if (wal == NULL)
        return;
    if (wal->file >= 0)
        disk_file_close(wal->disk, wal->file);
    if (wal->file_spare >= 0)
        disk_file_close(wal->disk, wal->file_spare);
    free(wal->ids);
    free(wal->fields);
    free(wal->images);
    free(wal->known);
    free(wal);
}

/* Appending. */

static bool columns_have_room(const struct wal *wal, size_t size_bytes)
{
    return (size_t)(wal->ids_cursor - wal->ids) + size_bytes <= wal->column_limit &&
           (size_t)(wal->fields_cursor - wal->fields) + size_bytes <= wal->column_limit;
}

enum wal_room wal_room(struct wal *wal, size_t size_bytes)
{
    TILL_ASSERT(size_bytes <= WAL_COLUMN_SIZE_MAX);
    if (wal->full && !wal->preparing && !wal->releasing &&
        io_time_us(wal->io) - wal->full_us >= (uint64_t)PREPARE_RETRY_US)
        prepare_start(wal);
    if (columns_have_room(wal, size_bytes))
        return WAL_ROOM;
    wal_submit(wal);
    if (columns_have_room(wal, size_bytes))
        return WAL_ROOM;
    /* With commands that cannot be submitted yet, or a spare on its way, an event will help. */
    bool awaits_event = wal->open.command_count > 0 && blocks_in_flight(wal) > 0;
    return wal->full && !awaits_event ? WAL_ROOM_FULL : WAL_ROOM_LATER;
}

uint8_t *wal_ids(struct wal *wal)
{
    return wal->ids_cursor;
}

uint8_t *wal_fields(struct wal *wal)
{
    return wal->fields_cursor;
}

uint64_t wal_begin_time(struct wal *wal, uint64_t now_us)
{
    wal->time_next = now_us > wal->time_last ? now_us : wal->time_last;
    if (wal->open.command_count > 0)
        return wal->time_next - wal->time_last;
    wal->open.time_us = wal->time_next;
    return 0;
}

void wal_append(struct wal *wal, uint8_t *ids, uint8_t *fields, uint32_t command_count,
                uint64_t digest)
{
    TILL_ASSERT(command_count > 0);
    wal->ids_cursor = ids;
    wal->fields_cursor = fields;
    TILL_ASSERT(columns_have_room(wal, 0));
    wal->open.command_count += command_count;
    wal->open.digest = digest;
    wal->time_last = wal->time_next;
}

void wal_submit(struct wal *wal)
{
    struct wal_block *open = &wal->open;
    if (open->command_count == 0 || blocks_in_flight(wal) >= wal->options.writes_max)
        return;
    struct slot *slot = block_slot(wal, wal->block_open);
    open->ids_size = (uint32_t)(wal->ids_cursor - wal->ids);
    open->fields_size = (uint32_t)(wal->fields_cursor - wal->fields);
    open->seq_durable = wal->seq_durable;
    wal_block_seal(&wal->packer, open, wal->ids, wal->fields, slot->image);
    if (open->block_size > segment_room(wal))
        segment_switch(wal);
    slot->seq_last = open->seq_first + open->command_count - 1;
    slot->submitted_us = io_time_us(wal->io);
    slot->written = false;
    io_write(wal->io, wal->disk, wal->file, wal->offset, slot->image, open->block_size,
             wal->options.user_write + wal->block_open % WAL_WRITES_MAX);
    wal->stats.blocks++;
    wal->stats.commands += open->command_count;
    wal->stats.bytes_raw += open->ids_size + open->fields_size;
    wal->stats.bytes_stored += open->block_size;
    wal->offset += open->block_size;
    wal->block_open++;
    open->previous = open->checksum;
    open->seq_first = slot->seq_last + 1;
    block_begin(wal);
}

/* The durable mark moves over every block that is written and has none in flight before it. */
static void durable_advance(struct wal *wal)
{
    while (blocks_in_flight(wal) > 0) {
        struct slot *slot = block_slot(wal, wal->block_durable + 1);
        if (!slot->written)
            return;
        uint64_t now_us = io_time_us(wal->io);
        uint64_t took_us = now_us > slot->submitted_us ? now_us - slot->submitted_us : 0;
        wal->stats.write_us_sum += took_us;
        if (took_us > wal->stats.write_us_max)
            wal->stats.write_us_max = took_us;
        if (slot->file_done >= 0)
            disk_file_close(wal->disk, slot->file_done);
        slot->file_done = -1;
        wal->seq_durable = slot->seq_last;
        wal->block_durable++;
    }
}

int wal_event(struct wal *wal, const struct io_event *event)
{
    if (event->kind == IO_PREPARED) {
        TILL_ASSERT(wal->preparing && event->user == wal->options.user_prepare);
        return prepare_finish(wal, event->result);
    }
    if (event->kind == IO_WORKED) {
        TILL_ASSERT(wal->releasing && event->user == wal->options.user_prepare);
        return release_finish(wal, event->result);
    }
    TILL_ASSERT(event->kind == IO_WRITTEN);
    TILL_ASSERT(event->user - wal->options.user_write < WAL_WRITES_MAX);
    if (event->result < 0)
        return event->result;
    wal->slots[event->user - wal->options.user_write].written = true;
    durable_advance(wal);
    return spare_ensure(wal);
}

uint64_t wal_block_open(const struct wal *wal)
{
    return wal->block_open;
}

uint64_t wal_block_last(const struct wal *wal)
{
    return wal->open.command_count > 0 ? wal->block_open : wal->block_open - 1;
}

uint64_t wal_block_durable(const struct wal *wal)
{
    return wal->block_durable;
}

uint64_t wal_seq_durable(const struct wal *wal)
{
    return wal->seq_durable;
}

bool wal_idle(const struct wal *wal)
{
    return blocks_in_flight(wal) == 0 && !wal->preparing && !wal->releasing;
}

struct wal_stats wal_stats(const struct wal *wal)
{
    return wal->stats;
}
