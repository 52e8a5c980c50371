/* How the log marks its end: the seal after its last block, and the note beside its segments.
 *
 * Good path: after a short time without a change, an empty block is written after the last one: the
 * seal. It proves that the block before it was durable, as any later block would, so that damage to
 * that block can be distinguished from a torn write. When the seal is durable, a note with its
 * checksum is written: a reader that finds the log to end with that seal knows that nothing after
 * it was acknowledged.
 *
 * Why a noted seal proves this: the next block overwrites the seal, so the seal is gone before that
 * block is durable; or the next block goes to the next segment, and is acknowledged only when a
 * note without a seal is durable; or, while the seal is still being written, the next block goes
 * after it and is chained to it, and then the seal is never noted.
 *
 * The note is written when a segment is begun, when its first block is durable, when the log is
 * sealed, and every WAL_NOTE_US while blocks become durable: one write at a time, the two pages
 * alternately. Everything that a note says was true when it was handed to the disk, and remains
 * true. An answer waits for a note in these cases:
 *
 *   a new segment      its note is written beside its first block
 *   a taken seal       a replica takes a seal of the primary that became a part of the log, and its
 *                      own seal in that place, byte for byte the same, was noted: a note without it
 *                      is written beside the block, because it is no end any more
 *   a new epoch        a block of an epoch that no note names would look like one of another log:
 *                      the note is durable before the block is handed to the disk
 *   a taken beginning  and so it is for the first block of a log that begins in the middle of the
 *                      primary's, because a note says what the segment begins with
 *
 * A block that goes after a seal that is being written must not prove that the seal was durable.
 * Its watermark (seq_durable) cannot express that, because the seal has no seq; so the block's
 * watermark is one less than what is durable. Behind a taken seal, which has a slot, the next block
 * waits instead (wal_awaits_empty): its watermark is the primary's. */
#include <errno.h>
#include <string.h>

#include "wal/wal_state.h"

/* The seal. */

/* By state: the states that may follow, as bits. */
static const uint8_t next_states[] = {
    [SEAL_NONE] = 1 << SEAL_WRITING,
    [SEAL_WRITING] = 1 << SEAL_THERE | 1 << SEAL_FOLLOWED | 1 << SEAL_LEFT,
    [SEAL_THERE] = 1 << SEAL_NONE,
    [SEAL_FOLLOWED] = 1 << SEAL_NONE,
    [SEAL_LEFT] = 1 << SEAL_NONE,
};

/* Restates the drawing of enum wal_seal_state: the seal is being written in the states that
 * wal_seal_written leaves, and only in SEAL_LEFT may it keep a file open. */
static void seal_check(const struct wal_seal *seal)
{
    bool is_awaited =
        seal->state == SEAL_WRITING || seal->state == SEAL_FOLLOWED || seal->state == SEAL_LEFT;
    TILL_ASSERT((seal->write.state != WRITE_IDLE) == is_awaited);
    TILL_ASSERT(seal->file_done < 0 || seal->state == SEAL_LEFT);
    TILL_ASSERT(seal->state == SEAL_NONE || seal->block.checksum != 0);
}

static void seal_enter(struct wal_seal *seal, enum wal_seal_state state)
{
    TILL_ASSERT((next_states[seal->state] >> state & 1) != 0);
    seal->state = state;
    seal_check(seal);
}

bool wal_seal_is_possible(const struct wal *wal)
{
    return wal->seal.state == SEAL_NONE && wal->open.command_count == 0 &&
           wal_blocks_in_flight(wal) == 0 && wal->writes.refused_count == 0 &&
           (wal_segments_room(&wal->segments) >= WAL_ALIGN || wal->segments.file_spare >= 0);
}

void wal_seal_write(struct wal *wal)
{
    struct wal_seal *seal = &wal->seal;
    seal->block = (struct wal_block){
        .previous = wal->open.previous,
        .epoch = wal->open.epoch,
        .seq_first = wal->open.seq_first,
        .seq_durable = wal->open.seq_first - 1,
        .time_us = wal->time_last,
        .digest = wal->open.digest,
    };
    wal_block_seal(&wal->packer, &seal->block, wal->ids, wal->fields, seal->page);
    seal->write.file = wal->segments.file;
    seal->write.offset = wal->segments.offset;
    wal_write_start(&wal->writes, &seal->write);
    seal_enter(seal, SEAL_WRITING);
}

bool wal_seal_make_way(struct wal *wal, uint32_t columns_size)
{
    struct wal_seal *seal = &wal->seal;
    uint32_t size = (uint32_t)sizeof(struct wal_block) + columns_size;
    uint32_t size_max = (size + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
    if (seal->state == SEAL_THERE)
        seal_enter(seal, SEAL_NONE);
    if (seal->state != SEAL_WRITING)
        return false;
    if (size_max + WAL_ALIGN > wal_segments_room(&wal->segments)) {
        seal_enter(seal, SEAL_LEFT);
        return true;
    }
    seal_enter(seal, SEAL_FOLLOWED);
    wal->segments.offset += WAL_ALIGN;
    wal->open.previous = seal->block.checksum;
    wal->open.seq_durable -= wal->open.seq_durable > 0;
    return false;
}

void wal_seal_written(struct wal *wal)
{
    struct wal_seal *seal = &wal->seal;
    if (seal->file_done >= 0)
        disk_file_close(wal->disk, seal->file_done);
    seal->file_done = -1;
    seal_enter(seal, seal->state == SEAL_WRITING ? SEAL_THERE : SEAL_NONE);
}

/* The note. */

static uint64_t seq_to_note(const struct wal *wal)
{
    return wal->has_blocks ? wal->seq_durable : 0;
}

static bool note_is_due(const struct wal *wal, uint64_t now_us)
{
    const struct wal_noting *noting = &wal->noting;
    const struct wal_note *note = &noting->note;
    uint64_t seq_first = wal_segments_known(&wal->segments, wal->segments.current)->seq_first;
    uint64_t seq_durable = seq_to_note(wal);
    if (noting->generation_due > note->generation)
        return true;
    if (wal->seal.state == SEAL_THERE && wal->seal.block.checksum != note->seal)
        return true;
    if (seq_durable <= note->seq_durable)
        return false;
    bool is_begun = note->seq_durable < seq_first && seq_durable >= seq_first;
    return is_begun || now_us - noting->written_us >= WAL_NOTE_US;
}

/* Fills the note with the log's present state, and makes the page of its next generation. */
static void note_make(struct wal *wal)
{
    const struct wal_known *known = wal_segments_known(&wal->segments, wal->segments.current);
    struct wal_noting *noting = &wal->noting;
    noting->note = (struct wal_note){
        .generation = noting->note.generation + 1,
        .epoch = noting->epoch_due,
        .segment_size = known->size_bytes,
        .seq_first = known->seq_first,
        .previous = known->previous,
        .seq_durable = seq_to_note(wal),
        .seal = wal->seal.state == SEAL_THERE ? wal->seal.block.checksum : 0,
        .segment = wal->segments.current,
    };
    wal_note_page(&noting->note, noting->page);
    noting->write.offset = noting->note.generation % WAL_NOTE_PAGES * WAL_ALIGN;
}

void wal_note_turn(struct wal *wal, uint64_t now_us)
{
    struct wal_noting *noting = &wal->noting;
    if (noting->write.state != WRITE_IDLE || !note_is_due(wal, now_us))
        return;
    note_make(wal);
    noting->written_us = now_us;
    wal_write_start(&wal->writes, &noting->write);
}

void wal_note_written(struct wal *wal)
{
    struct wal_noting *noting = &wal->noting;
    noting->page_segments[noting->note.generation % WAL_NOTE_PAGES] = noting->note.segment;
    noting->generation_durable = noting->note.generation;
    noting->epoch_durable = noting->note.epoch;
}

void wal_note_require(struct wal *wal)
{
    wal->noting.generation_due = wal->noting.note.generation + 1;
    wal_note_turn(wal, wal->durable_us);
}

bool wal_note_admits(struct wal *wal, uint64_t epoch, uint64_t seq_first, uint64_t previous)
{
    struct wal_noting *noting = &wal->noting;
    struct wal_known *known = wal_segments_known(&wal->segments, wal->segments.current);
    bool is_first = wal->open.previous == 0;
    bool differs = is_first && (known->seq_first != seq_first || known->previous != previous);
    if (epoch <= noting->epoch_due && !differs)
        return noting->epoch_durable >= epoch &&
               (!is_first || noting->generation_durable >= noting->generation_due);
    if (epoch > noting->epoch_due)
        noting->epoch_due = epoch;
    if (differs) {
        known->seq_first = seq_first;
        known->previous = previous;
    }
    wal_note_require(wal);
    return false;
}

uint32_t wal_note_segment_least(const struct wal *wal)
{
    const uint32_t *segments = wal->noting.page_segments;
    return segments[0] < segments[1] ? segments[0] : segments[1];
}

/* Overwrites the two pages of an existing note one after the other, so that one of them is always
 * whole, and no room is needed for another file. */
static int pages_write(struct wal *wal)
{
    struct wal_noting *noting = &wal->noting;
    int result = 0;
    for (unsigned i = 0; result == 0 && i < WAL_NOTE_PAGES; i++) {
        note_make(wal);
        result =
            disk_file_write(wal->disk, noting->file, noting->write.offset, noting->page, WAL_ALIGN);
    }
    return result;
}

int wal_note_open(struct wal *wal)
{
    struct wal_noting *noting = &wal->noting;
    int result = wal_note_read(wal->disk, &noting->note);
    bool is_there = result == 0;
    noting->epoch_due = wal->open.epoch;
    if (result == -ENOENT || result == -EBADMSG) {
        noting->note.generation = 0;
        note_make(wal);
        result = wal_note_write(wal->disk, &noting->note);
    }
    if (result == 0)
        result = noting->file = disk_file_open(wal->disk, WAL_NOTE_NAME, true);
    if (result < 0)
        return result;
    noting->write.file = noting->file;
    noting->page_segments[0] = noting->page_segments[1] = wal->segments.current;
    result = is_there ? pages_write(wal) : 0;
    noting->generation_durable = noting->note.generation;
    noting->epoch_durable = noting->note.epoch;
    return result;
}
