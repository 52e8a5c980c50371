/* Appending to the log.
 *
 * Good path: commands go to the raw columns of the open block. wal_submit makes these into the
 * image of a slot (slots go round by block number) and hands it to the disk; the columns are free
 * again at once. Completions mark slots as written, in any order, and the durable mark moves over
 * written slots in the order of the blocks. Segments are ready.c's, the seal and the note mark.c's.
 *
 * What can fail: a write: fatal, the caller stops. But one that the disk had no room for is written
 * again: see wal_event.
 *
 * What must always hold: the open block can be placed at any time, because its columns are bounded
 * by the room that there is (column_limit). */
#include "wal/wal.h"

#include <errno.h>
#include <string.h>

#include "wal/wal_state.h"

enum { WRITE_RETRY_US = US_PER_SECOND };

/* The open block goes to the segment or to the spare, whichever has room for it; behind a seal that
 * is under way. The first block of all stands at the beginning of its segment. */
void wal_column_limit_update(struct wal *wal)
{
    uint64_t room = wal_segment_room(wal);
    if (wal->seal.state == SEAL_WRITING)
        room -= WAL_ALIGN;
    if (wal->file_spare >= 0 && wal->open.previous != 0) {
        uint64_t spare_room = wal_segment_known(wal, wal->segment + 1)->size_bytes;
        room = spare_room > room ? spare_room : room;
    }
    if (room > WAL_BLOCK_SIZE_MAX)
        room = WAL_BLOCK_SIZE_MAX;
    size_t header_size = sizeof(struct wal_block);
    wal->column_limit = room < header_size ? 0 : (room - header_size) / 2;
}

void wal_block_begin(struct wal *wal)
{
    wal->ids_cursor = wal->ids;
    wal->fields_cursor = wal->fields;
    wal->open.command_count = 0;
    wal->open.time_us = wal->time_next;
    wal_column_limit_update(wal);
}

static bool columns_have_room(const struct wal *wal, size_t size_bytes)
{
    return (size_t)(wal->ids_cursor - wal->ids) + size_bytes <= wal->column_limit &&
           (size_t)(wal->fields_cursor - wal->fields) + size_bytes <= wal->column_limit;
}

enum wal_room wal_room(struct wal *wal, size_t size_bytes)
{
    TILL_ASSERT(size_bytes <= WAL_COLUMN_SIZE_MAX);
    wal_prepare_again(wal);
    if (wal->refused_count > 0)
        return WAL_ROOM_FULL;
    if (columns_have_room(wal, size_bytes))
        return WAL_ROOM;
    wal_submit(wal);
    if (columns_have_room(wal, size_bytes))
        return WAL_ROOM;
    /* With commands that cannot be submitted yet, or a spare on its way, an event will help. */
    bool awaits_event = wal->open.command_count > 0 && wal_blocks_in_flight(wal) > 0;
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

/* Writing. */

void wal_write_start(struct wal *wal, struct wal_write *write)
{
    wal->refused_count -= write->is_refused;
    write->is_refused = false;
    write->is_under_way = true;
    wal->under_way_count++;
    io_write(wal->io, wal->disk, write->file, write->offset, write->bytes, write->size_bytes,
             write->user);
}

/* The open block's image, and where it goes. */
static void block_place(struct wal *wal, struct wal_slot *slot)
{
    struct wal_block *open = &wal->open;
    open->ids_size = (uint32_t)(wal->ids_cursor - wal->ids);
    open->fields_size = (uint32_t)(wal->fields_cursor - wal->fields);
    open->seq_durable = wal->seq_durable;
    bool moves_on = wal_seal_make_way(wal, open->ids_size + open->fields_size);
    wal_block_seal(&wal->packer, open, wal->ids, wal->fields, slot->image);
    if (moves_on || open->block_size > wal_segment_room(wal))
        wal_segment_switch(wal);
    slot->segment = wal->segment;
    slot->write.file = wal->file;
    slot->write.offset = wal->offset;
    slot->write.size_bytes = open->block_size;
}

void wal_submit(struct wal *wal)
{
    struct wal_block *open = &wal->open;
    if (open->command_count == 0 || wal_blocks_in_flight(wal) >= wal->options.writes_max)
        return;
    struct wal_slot *slot = wal_block_slot(wal, wal->block_open);
    block_place(wal, slot);
    slot->seq_last = open->seq_first + open->command_count - 1;
    slot->submitted_us = io_time_us(wal->io);
    slot->written = false;
    wal_write_start(wal, &slot->write);
    wal->stats.blocks++;
    wal->stats.commands += open->command_count;
    wal->stats.bytes_raw += open->ids_size + open->fields_size;
    wal->stats.bytes_stored += open->block_size;
    wal->offset += open->block_size;
    wal->block_open++;
    open->previous = open->checksum;
    open->seq_first = slot->seq_last + 1;
    wal_block_begin(wal);
}

/* May the block count as durable, those before it being so? Its segment must be noted, and a seal
 * that it is chained to must be written. */
static bool is_durable(const struct wal *wal, const struct wal_slot *slot)
{
    return slot->written && slot->segment <= wal_note_segment(wal) &&
           wal->seal.state != SEAL_FOLLOWED;
}

/* The durable mark moves over every block that is written and has none in flight before it. */
static void durable_advance(struct wal *wal)
{
    while (wal_blocks_in_flight(wal) > 0) {
        struct wal_slot *slot = wal_block_slot(wal, wal->block_durable + 1);
        if (!is_durable(wal, slot))
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
        wal->durable_us = now_us;
        wal->has_blocks = true;
        wal->block_durable++;
    }
}

/* The write that an event is of: a block's, the note's or the seal's. */
static struct wal_write *event_write(struct wal *wal, const struct io_event *event)
{
    uint64_t number = event->user - wal->options.user_write;
    TILL_ASSERT(event->kind == IO_WRITTEN && number < WAL_USERS_COUNT);
    if (number < WAL_WRITES_MAX)
        return &wal->slots[number].write;
    return number == WAL_WRITES_MAX ? &wal->noting.write : &wal->seal.write;
}

/* A write that failed for want of room may be tried again, unlike any other and unlike a flush.
 * Nothing was answered that depends on it: until it succeeds, neither it nor a block after it
 * counts as durable. The same bytes go to the same place, all of them, so whatever part of the
 * first try reached the disk is written over with itself; and the second try carries a flush of its
 * own, behind all of its bytes. What a failed flush may lose silently, bytes that the system takes
 * for written and does not write again, are therefore not relied on. A crash between the tries
 * leaves a torn write, and whole blocks behind it whose watermarks claim nothing of it: recovery
 * cuts both. Any other error says that the disk does not do what it should, and ends the log. */
static bool may_try_again(int result)
{
    return result == -ENOSPC || result == -EDQUOT;
}

static int written(struct wal *wal, const struct io_event *event)
{
    struct wal_write *write = event_write(wal, event);
    if (event->result < 0 && !may_try_again(event->result))
        return event->result;
    TILL_ASSERT(write->is_under_way && !write->is_refused);
    wal->under_way_count--;
    if (event->result < 0) {
        write->is_refused = true;
        wal->refused_count++;
        wal->refused_us = io_time_us(wal->io);
        return 0;
    }
    write->is_under_way = false;
    if (write == &wal->noting.write)
        wal_note_written(wal);
    else if (write == &wal->seal.write)
        wal_seal_written(wal);
    else
        wal->slots[event->user - wal->options.user_write].written = true;
    durable_advance(wal);
    wal_note_turn(wal, wal->durable_us);
    return wal_release_again(wal);
}

int wal_event(struct wal *wal, const struct io_event *event)
{
    if (event->kind == IO_PREPARED) {
        TILL_ASSERT(wal->preparing && event->user == wal->options.user_prepare);
        return wal_prepare_finish(wal, event->result);
    }
    if (event->kind == IO_WORKED) {
        TILL_ASSERT(wal->releasing && event->user == wal->options.user_prepare);
        return wal_release_finish(wal, event->result);
    }
    return written(wal, event);
}

static void write_again(struct wal *wal)
{
    wal->refused_us = io_time_us(wal->io);
    for (unsigned i = 0; i < WAL_WRITES_MAX; i++) {
        if (wal->slots[i].write.is_refused)
            wal_write_start(wal, &wal->slots[i].write);
    }
    if (wal->noting.write.is_refused)
        wal_write_start(wal, &wal->noting.write);
    if (wal->seal.write.is_refused)
        wal_write_start(wal, &wal->seal.write);
}

/* What is left of a time that began then; nothing when the clock was put back. */
static uint64_t left_us(const struct wal *wal, uint64_t since_us, uint64_t us)
{
    uint64_t now_us = io_time_us(wal->io);
    bool is_over = now_us < since_us || now_us - since_us >= us;
    return is_over ? 0 : us - (now_us - since_us);
}

void wal_turn(struct wal *wal, bool is_stopping)
{
    if (wal->refused_count > 0 && left_us(wal, wal->refused_us, WRITE_RETRY_US) == 0)
        write_again(wal);
    if (wal_seal_is_possible(wal) &&
        (is_stopping || left_us(wal, wal->durable_us, WAL_SEAL_US) == 0))
        wal_seal_write(wal);
}

uint64_t wal_wait_us(const struct wal *wal)
{
    if (wal->refused_count > 0)
        return left_us(wal, wal->refused_us, WRITE_RETRY_US);
    return wal_seal_is_possible(wal) ? left_us(wal, wal->durable_us, WAL_SEAL_US) : UINT64_MAX;
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
    return wal_blocks_in_flight(wal) == 0 && !wal->noting.write.is_under_way &&
           !wal->seal.write.is_under_way && !wal->preparing && !wal->releasing;
}

bool wal_awaits_event(const struct wal *wal)
{
    return wal->under_way_count > 0 || wal->preparing || wal->releasing;
}

bool wal_is_refused(const struct wal *wal)
{
    return wal->refused_count > 0;
}

struct wal_stats wal_stats(const struct wal *wal)
{
    return wal->stats;
}
