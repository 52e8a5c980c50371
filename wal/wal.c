/* Appending to the log.
 *
 * Good path: commands go to the raw columns of the open block. wal_submit makes these into the
 * image of a slot (slots go round by block number) and hands it to the disk; the columns are free
 * again at once. Completions mark slots as written, in any order, and the durable mark moves over
 * written slots in the order of the blocks. segments.c has the segments, mark.c the seal and the
 * note; take.c makes slots of whole blocks.
 *
 * What can fail: a write: fatal, the caller stops. But one that the disk had no room for is tried
 * again every second: see wal/write.h.
 *
 * What must always hold: the open block can be placed at any time, because its columns are bounded
 * by the room that there is (column_limit). */
#include "wal/wal.h"

#include "base/clock.h"
#include "wal/wal_state.h"

enum { WRITE_RETRY_US = US_PER_SECOND };

/* The open block goes to the current segment or to the spare, whichever has room for it, and after
 * a seal that is being written. The log's first block goes to the beginning of the current segment.
 */
static void column_limit_update(struct wal *wal)
{
    uint64_t room = wal_segments_room(&wal->segments);
    if (wal->seal.state == SEAL_WRITING)
        room -= WAL_ALIGN;
    if (wal->open.previous != 0) {
        uint64_t spare_room = wal_segments_spare_room(&wal->segments);
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
    column_limit_update(wal);
}

static bool columns_have_room(const struct wal *wal, size_t size_bytes)
{
    return (size_t)(wal->ids_cursor - wal->ids) + size_bytes <= wal->column_limit &&
           (size_t)(wal->fields_cursor - wal->fields) + size_bytes <= wal->column_limit;
}

enum wal_room wal_room(struct wal *wal, size_t size_bytes)
{
    TILL_ASSERT(size_bytes <= WAL_COLUMN_SIZE_MAX);
    if (wal->writes.refused_count > 0)
        return WAL_ROOM_FULL;
    if (columns_have_room(wal, size_bytes))
        return WAL_ROOM;
    wal_submit(wal);
    if (columns_have_room(wal, size_bytes))
        return WAL_ROOM;
    /* The open block can be submitted after the next event. */
    bool awaits_event = wal->open.command_count > 0 &&
                        (wal_blocks_in_flight(wal) > 0 || wal->noting.write.state != WRITE_IDLE);
    return wal->segments.is_full && !awaits_event ? WAL_ROOM_FULL : WAL_ROOM_LATER;
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

/* The spare becomes the current segment. The file before it is closed now, or when what was written
 * to it last is done. The note is written beside the first block. */
static void segment_switch(struct wal *wal)
{
    int file = wal_segments_switch(&wal->segments, wal->open.seq_first, wal->open.previous);
    if (wal_blocks_in_flight(wal) > 0)
        wal_block_slot(wal, wal->block_open - 1)->file_done = file;
    else if (wal->seal.state == SEAL_LEFT)
        wal->seal.file_done = file;
    else
        disk_file_close(wal->disk, file);
    wal_note_require(wal);
}

void wal_block_write(struct wal *wal, const struct wal_block *block, bool moves_on)
{
    struct wal_slot *slot = wal_block_slot(wal, wal->block_open);
    struct wal_block *open = &wal->open;
    if (moves_on)
        segment_switch(wal);
    slot->block = *block;
    slot->submitted_us = io_time_us(wal->io);
    slot->note_generation = wal->noting.generation_due;
    slot->written = false;
    slot->write.file = wal->segments.file;
    slot->write.offset = wal->segments.offset;
    slot->write.size_bytes = block->block_size;
    wal_write_start(&wal->writes, &slot->write);
    wal->counts.blocks++;
    wal->counts.commands += block->command_count;
    wal->counts.bytes_raw += block->ids_size + block->fields_size;
    wal->counts.bytes_stored += block->block_size;
    wal->segments.offset += block->block_size;
    wal->block_open++;
    open->previous = block->checksum;
    open->epoch = block->epoch;
    open->seq_first = block->seq_first + block->command_count;
    open->digest = block->digest;
    wal_block_begin(wal);
}

void wal_submit(struct wal *wal)
{
    struct wal_block *open = &wal->open;
    if (open->command_count == 0 || wal_blocks_in_flight(wal) >= wal->options.writes_max ||
        wal_awaits_empty(wal) ||
        !wal_note_admits(wal, open->epoch, open->seq_first, open->previous))
        return;
    struct wal_slot *slot = wal_block_slot(wal, wal->block_open);
    open->ids_size = (uint32_t)(wal->ids_cursor - wal->ids);
    open->fields_size = (uint32_t)(wal->fields_cursor - wal->fields);
    open->seq_durable = wal->seq_durable;
    bool moves_on = wal_seal_make_way(wal, open->ids_size + open->fields_size);
    slot->is_after_seal =
        wal->seal.state == SEAL_FOLLOWED && open->previous == wal->seal.block.checksum;
    wal_block_seal(&wal->packer, open, wal->ids, wal->fields, slot->image);
    struct wal_block block = *open;
    wal_block_write(wal, &block, moves_on || block.block_size > wal_segments_room(&wal->segments));
}

/* May the block count as durable, when all blocks before it do? The note that it waits for must be
 * durable, and a seal that it is chained to must be written. */
static bool is_durable(const struct wal *wal, const struct wal_slot *slot)
{
    return slot->written && slot->note_generation <= wal->noting.generation_durable &&
           wal->seal.state != SEAL_FOLLOWED;
}

/* Tells the watcher of a durable block, and before it of the seal that it is chained to. */
static void durable_tell(struct wal *wal, const struct wal_slot *slot)
{
    if (wal->durable == NULL)
        return;
    if (slot->is_after_seal)
        wal->durable(wal->durable_context, &wal->seal.block, wal->seal.page);
    wal->durable(wal->durable_context, &slot->block, slot->image);
}

static void block_durable(struct wal *wal, struct wal_slot *slot)
{
    uint64_t now_us = io_time_us(wal->io);
    uint64_t took_us = now_us > slot->submitted_us ? now_us - slot->submitted_us : 0;
    wal->counts.write_us_sum += took_us;
    if (took_us > wal->counts.write_us_max)
        wal->counts.write_us_max = took_us;
    if (slot->file_done >= 0)
        disk_file_close(wal->disk, slot->file_done);
    slot->file_done = -1;
    wal->seq_durable = slot->block.seq_first + slot->block.command_count - 1;
    wal->durable_us = now_us;
    wal->has_blocks |= slot->block.command_count > 0;
    wal->block_durable++;
    durable_tell(wal, slot);
}

/* Advances block_durable and seq_durable over all blocks that may count as durable now. */
static void durable_advance(struct wal *wal)
{
    while (wal_blocks_in_flight(wal) > 0) {
        struct wal_slot *slot = wal_block_slot(wal, wal->block_durable + 1);
        if (!is_durable(wal, slot))
            return;
        block_durable(wal, slot);
    }
}

/* The write that has ended: a block's, the note's or the seal's. */
static struct wal_write *event_write(struct wal *wal, const struct io_event *event)
{
    uint64_t number = event->user - wal->options.user_write;
    TILL_ASSERT(event->kind == IO_WRITTEN && number < WAL_USERS_COUNT);
    if (number < WAL_WRITES_MAX)
        return &wal->slots[number].write;
    return number == WAL_WRITES_MAX ? &wal->noting.write : &wal->seal.write;
}

int wal_supply(struct wal *wal)
{
    if (wal->segments.file_spare >= 0)
        return 0;
    int result = wal_segments_supply(&wal->segments);
    column_limit_update(wal);
    return result;
}

/* Starts a release that had to wait for the note or another operation; then gets the next spare. */
static int segments_turn(struct wal *wal)
{
    wal_segments_continue(&wal->segments, wal_note_segment_least(wal));
    return wal_supply(wal);
}

static int written(struct wal *wal, const struct io_event *event)
{
    struct wal_write *write = event_write(wal, event);
    int result = wal_write_finish(&wal->writes, write, event->result);
    if (result < 0)
        return wal_write_is_refusal(result) ? 0 : result;
    if (write == &wal->noting.write)
        wal_note_written(wal);
    else if (write == &wal->seal.write)
        wal_seal_written(wal);
    else
        wal->slots[event->user - wal->options.user_write].written = true;
    if (write == &wal->seal.write)
        column_limit_update(wal);
    durable_advance(wal);
    wal_note_turn(wal, wal->durable_us);
    return segments_turn(wal);
}

int wal_event(struct wal *wal, const struct io_event *event)
{
    if (event->kind == IO_WRITTEN)
        return written(wal, event);
    TILL_ASSERT(event->user == wal->options.user_prepare);
    int result = event->kind == IO_PREPARED ? wal_segments_prepared(&wal->segments, event->result)
                                            : wal_segments_released(&wal->segments, event->result);
    return result < 0 ? result : segments_turn(wal);
}

static void write_again(struct wal *wal)
{
    wal->writes.refused_us = io_time_us(wal->io);
    for (unsigned i = 0; i < WAL_WRITES_MAX; i++) {
        if (wal->slots[i].write.state == WRITE_REFUSED)
            wal_write_start(&wal->writes, &wal->slots[i].write);
    }
    if (wal->noting.write.state == WRITE_REFUSED)
        wal_write_start(&wal->writes, &wal->noting.write);
    if (wal->seal.write.state == WRITE_REFUSED)
        wal_write_start(&wal->writes, &wal->seal.write);
}

static void seal(struct wal *wal)
{
    if (wal_segments_room(&wal->segments) < WAL_ALIGN)
        segment_switch(wal);
    wal_seal_write(wal);
    column_limit_update(wal);
}

/* What is left of a span of time that began then. */
static uint64_t left_us(const struct wal *wal, uint64_t since_us, uint64_t span_us)
{
    return clock_left_us(io_time_us(wal->io), since_us, span_us);
}

void wal_turn(struct wal *wal, bool is_stopping)
{
    if (wal->writes.refused_count > 0 && left_us(wal, wal->writes.refused_us, WRITE_RETRY_US) == 0)
        write_again(wal);
    wal_segments_turn(&wal->segments);
    if (wal_seal_is_possible(wal) &&
        (is_stopping || left_us(wal, wal->durable_us, WAL_SEAL_US) == 0))
        seal(wal);
}

uint64_t wal_wait_us(const struct wal *wal)
{
    uint64_t wait_us = wal_segments_wait_us(&wal->segments);
    uint64_t own_us = UINT64_MAX;
    if (wal->writes.refused_count > 0)
        own_us = left_us(wal, wal->writes.refused_us, WRITE_RETRY_US);
    else if (wal_seal_is_possible(wal))
        own_us = left_us(wal, wal->durable_us, WAL_SEAL_US);
    return own_us < wait_us ? own_us : wait_us;
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
    return wal_blocks_in_flight(wal) == 0 && wal->noting.write.state == WRITE_IDLE &&
           wal->seal.write.state == WRITE_IDLE && !wal_segments_await_event(&wal->segments);
}

bool wal_awaits_event(const struct wal *wal)
{
    return wal->writes.under_way_count > 0 || wal_segments_await_event(&wal->segments);
}

bool wal_is_refused(const struct wal *wal)
{
    return wal->writes.refused_count > 0;
}

bool wal_is_full(const struct wal *wal)
{
    return wal->segments.is_full || wal->writes.refused_count > 0;
}

uint64_t wal_previous(const struct wal *wal)
{
    return wal->open.previous;
}

uint64_t wal_seq_next(const struct wal *wal)
{
    return wal->open.seq_first + wal->open.command_count;
}

uint64_t wal_epoch(const struct wal *wal)
{
    return wal->open.epoch;
}

void wal_watch(struct wal *wal, wal_durable *durable, void *context)
{
    wal->durable = durable;
    wal->durable_context = context;
}

void wal_epoch_begin(struct wal *wal, uint64_t epoch)
{
    TILL_ASSERT(wal->open.command_count == 0 && epoch > wal->open.epoch);
    wal->open.epoch = epoch;
    (void)wal_note_admits(wal, epoch, wal->open.seq_first, wal->open.previous);
}

/* The segments. */

uint64_t wal_seq_within(const struct wal *wal, uint64_t size_bytes)
{
    const struct wal_segments *segments = &wal->segments;
    uint32_t number = segments->current;
    uint64_t left = size_bytes;
    while (number > segments->first &&
           wal_segments_known(segments, number - 1)->size_bytes <= left) {
        number--;
        left -= wal_segments_known(segments, number)->size_bytes;
    }
    return wal_segments_known(segments, number)->seq_first;
}

int wal_release(struct wal *wal, uint64_t seq)
{
    if (seq > wal->seq_durable + 1)
        seq = wal->seq_durable + 1;
    return (int)wal_segments_release(&wal->segments, seq, wal_note_segment_least(wal));
}

uint32_t wal_segment_first(const struct wal *wal)
{
    return wal->segments.first;
}

uint64_t wal_seq_first(const struct wal *wal)
{
    return wal_segments_known(&wal->segments, wal->segments.first)->seq_first;
}

bool wal_closed_next(const struct wal *wal, uint64_t seq, struct wal_closed *closed)
{
    return wal_segments_closed(&wal->segments, seq, wal->seq_durable, closed);
}

uint32_t wal_closed_count(const struct wal *wal, uint64_t seq)
{
    struct wal_closed closed;
    return wal_closed_next(wal, seq, &closed) ? wal->segments.current - closed.number : 0;
}

uint64_t wal_bytes_stored(const struct wal *wal)
{
    return wal->counts.bytes_stored;
}

void wal_metrics(const struct wal *wal, struct metrics *metrics)
{
    metrics->wal_blocks = wal->counts.blocks;
    metrics->wal_commands = wal->counts.commands;
    metrics->wal_bytes_raw = wal->counts.bytes_raw;
    metrics->wal_bytes_stored = wal->counts.bytes_stored;
    metrics->wal_write_us_sum = wal->counts.write_us_sum;
    metrics->wal_write_us_max = wal->counts.write_us_max;
    metrics->wal_blocks_in_flight = wal_blocks_in_flight(wal);
    metrics->wal_seq_durable = wal->seq_durable;
    metrics->wal_segments = wal->segments.last - wal->segments.first + 1;
    metrics->wal_writes_refused = wal->writes.refused_count;
    metrics->wal_full = wal->segments.is_full;
}
