/* Taking whole blocks: how a replica's log follows the primary's.
 *
 * Good path: a block comes as the primary's disk has it, is copied into the slot of the open block,
 * and is handed to the disk at once. Several are in flight, as with blocks of this log's own.
 *
 * What can fail: what can fail for any block (wal.c). That the block is the next one is up to the
 * caller.
 *
 * What must always hold: recovery must not take a torn write for damage. It believes what a whole
 * block says, and a taken block says what was true on the primary's disk. So it is handed to the
 * disk only when that is true here too:
 *
 *   its watermark: every seq up to it is durable here
 *   the block before it, when that is without commands, is durable here: a watermark that calls all
 *   before that one durable would be taken for a proof that it was there
 *   its epoch, and what a segment begins with: the durable note says the same (mark.c)
 *
 * A block without commands is a seal of the primary that became a part of its log. A reader tells
 * it from a seal by the block that is chained to it, right behind it in the same segment. So it
 * goes where a block of any size fits behind it. This log's own seals are overwritten, but not
 * while they are being written: the block's bytes name the block before, and cannot be chained to a
 * seal. */
#include <string.h>

#include "base/schema.h"
#include "wal/wal_state.h"

static void check_next(const struct wal *wal, const struct wal_block *block)
{
    const struct wal_block *open = &wal->open;
    uint64_t seq_next = block->seq_first + block->command_count;
    TILL_ASSERT(wal->options.takes_blocks && open->command_count == 0);
    TILL_ASSERT(block->epoch >= open->epoch && block->schema <= SCHEMA);
    TILL_ASSERT(block->block_size <= WAL_BLOCK_SIZE_MAX);
    if (open->previous != 0)
        TILL_ASSERT(block->previous == open->previous && block->seq_first == open->seq_first);
    else
        TILL_ASSERT(block->seq_first == open->seq_first ||
                    (block->seq_first < open->seq_first && open->seq_first < seq_next));
}

/* The room that the block needs in its segment. */
static uint64_t room_needed(const struct wal_block *block)
{
    return block->block_size + (block->command_count == 0 ? WAL_BLOCK_SIZE_MAX : 0);
}

/* May the block be handed to the disk, as far as that depends on what is durable? */
static bool is_admitted(struct wal *wal, const struct wal_block *block)
{
    return wal_note_admits(wal, block->epoch, block->seq_first, block->previous) &&
           block->seq_durable <= wal->seq_durable && !wal_awaits_empty(wal);
}

enum wal_room wal_take_room(struct wal *wal, const struct wal_block *block)
{
    check_next(wal, block);
    if (wal->writes.refused_count > 0)
        return WAL_ROOM_FULL;
    if (!is_admitted(wal, block) || wal->seal.state == SEAL_WRITING ||
        wal_blocks_in_flight(wal) >= wal->options.writes_max)
        return WAL_ROOM_LATER;
    uint64_t needed = room_needed(block);
    if (needed <= wal_segments_room(&wal->segments) ||
        needed <= wal_segments_spare_room(&wal->segments))
        return WAL_ROOM;
    return wal->segments.is_full ? WAL_ROOM_FULL : WAL_ROOM_LATER;
}

void wal_take(struct wal *wal, const struct wal_block *block, const uint8_t *image)
{
    check_next(wal, block);
    TILL_ASSERT(is_admitted(wal, block) && wal->seal.state != SEAL_WRITING);
    TILL_ASSERT(wal_blocks_in_flight(wal) < wal->options.writes_max);
    struct wal_slot *slot = wal_block_slot(wal, wal->block_open);
    if (wal->seal.state == SEAL_THERE)
        wal_seal_make_way(wal, 0);
    if (block->checksum == wal->noting.note.seal)
        wal_note_require(wal);
    memcpy(slot->image, image, block->block_size);
    slot->is_after_seal = false;
    if (block->time_us > wal->time_last)
        wal->time_last = wal->time_next = block->time_us;
    wal_block_write(wal, block, room_needed(block) > wal_segments_room(&wal->segments));
}
