/* The ring: the bytes of the newest blocks, one behind the other and round again, and an entry for
 * each with where it is.
 *
 * Good path: a block is copied behind the newest one, over the oldest ones, whose entries are
 * dropped. Finding a place searches the entries, whose seqs ascend. Nothing here can fail.
 *
 * What must always hold: the entries from number_first to number_next are one chain, and the bytes
 * of none of them are overwritten. A block has at least one page, so there are never more entries
 * than pages. */
#include "wal/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct wal_ring_entry {
    uint64_t seq_first;
    uint64_t seq_last; /* of a block without commands: seq_first - 1 */
    uint64_t previous;
    uint64_t checksum;
    uint64_t bytes_before; /* of all blocks ever added before it */
    uint32_t size_bytes;
};

bool wal_ring_init(struct wal_ring *ring, size_t size_bytes)
{
    TILL_ASSERT(size_bytes % WAL_ALIGN == 0 && size_bytes >= WAL_BLOCK_SIZE_MAX);
    *ring = (struct wal_ring){.size_bytes = size_bytes,
                              .entries_max = size_bytes / WAL_ALIGN,
                              .number_first = 1,
                              .number_next = 1,
                              .number_end = 1};
    ring->bytes = malloc(size_bytes);
    ring->entries = calloc(ring->entries_max, sizeof *ring->entries);
    return ring->bytes != NULL && ring->entries != NULL;
}

void wal_ring_deinit(struct wal_ring *ring)
{
    free(ring->bytes);
    free(ring->entries);
    *ring = (struct wal_ring){0};
}

static struct wal_ring_entry *entry_at(const struct wal_ring *ring, uint64_t number)
{
    return &ring->entries[number % ring->entries_max];
}

static bool is_empty(const struct wal_ring *ring)
{
    return ring->number_first == ring->number_next;
}

void wal_ring_clear(struct wal_ring *ring)
{
    ring->number_first = ring->number_next;
    ring->is_begun = false;
}

void wal_ring_begin(struct wal_ring *ring, uint64_t seq, uint64_t checksum)
{
    TILL_ASSERT(is_empty(ring));
    ring->seq = seq;
    ring->checksum = checksum;
    ring->is_begun = true;
}

/* Drops the oldest blocks until there is room for size_bytes more. */
static void make_room(struct wal_ring *ring, uint32_t size_bytes)
{
    while (!is_empty(ring) &&
           ring->bytes_total + size_bytes - entry_at(ring, ring->number_first)->bytes_before >
               ring->size_bytes)
        ring->number_first++;
    if (ring->number_end < ring->number_first)
        ring->number_end = ring->number_first;
}

void wal_ring_add(struct wal_ring *ring, const struct wal_block *block, const uint8_t *image)
{
    if (ring->checksum != 0)
        TILL_ASSERT(block->previous == ring->checksum && block->seq_first == ring->seq + 1);
    make_room(ring, block->block_size);
    uint64_t at = ring->bytes_total % ring->size_bytes;
    uint64_t part =
        ring->size_bytes - at < block->block_size ? ring->size_bytes - at : block->block_size;
    memcpy(ring->bytes + at, image, part);
    memcpy(ring->bytes, image + part, block->block_size - part);
    *entry_at(ring, ring->number_next) = (struct wal_ring_entry){
        .seq_first = block->seq_first,
        .seq_last = block->seq_first + block->command_count - 1,
        .previous = block->previous,
        .checksum = block->checksum,
        .bytes_before = ring->bytes_total,
        .size_bytes = block->block_size,
    };
    ring->number_next++;
    if (block->command_count > 0)
        ring->number_end = ring->number_next;
    ring->bytes_total += block->block_size;
    ring->seq = block->seq_first + block->command_count - 1;
    ring->checksum = block->checksum;
    ring->is_begun = true;
}

/* The oldest block that ends after `seq`, or is empty and stands right after it; number_next: there
 * is none. */
static uint64_t search(const struct wal_ring *ring, uint64_t seq)
{
    uint64_t low = ring->number_first;
    uint64_t high = ring->number_next;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct wal_ring_entry *entry = entry_at(ring, middle);
        if (entry->seq_first > seq || entry->seq_last > seq)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The block that has the seq after `seq`, or will have it, or an empty one right before that. */
static enum wal_ring_result find_seq(const struct wal_ring *ring, uint64_t seq, uint64_t *number)
{
    uint64_t found = search(ring, seq);
    *number = found;
    if (found == ring->number_next && seq >= ring->seq)
        return seq == ring->seq ? WAL_RING_FOUND : WAL_RING_OTHER;
    if (found == ring->number_next)
        return WAL_RING_GONE;
    return entry_at(ring, found)->seq_first <= seq + 1 ? WAL_RING_FOUND : WAL_RING_GONE;
}

enum wal_ring_result wal_ring_find(const struct wal_ring *ring, uint64_t seq, uint64_t checksum,
                                   uint64_t *number)
{
    if (!ring->is_begun)
        return WAL_RING_GONE;
    if (checksum == 0)
        return find_seq(ring, seq, number);
    for (*number = search(ring, seq); *number < ring->number_next; (*number)++) {
        const struct wal_ring_entry *entry = entry_at(ring, *number);
        if (entry->seq_first != seq + 1)
            break;
        if (entry->previous == checksum)
            return WAL_RING_FOUND;
    }
    if (*number == ring->number_next && ring->seq == seq && ring->checksum == checksum)
        return WAL_RING_FOUND;
    /* Before the oldest block there may have been an empty one with the same seq. */
    uint64_t seq_oldest =
        is_empty(ring) ? ring->seq + 1 : entry_at(ring, ring->number_first)->seq_first;
    return seq < seq_oldest ? WAL_RING_GONE : WAL_RING_OTHER;
}

enum wal_ring_result wal_ring_read(const struct wal_ring *ring, uint64_t *number, size_t gap,
                                   uint8_t *bytes, size_t size, size_t *size_read)
{
    *size_read = 0;
    TILL_ASSERT(*number <= ring->number_next);
    if (*number < ring->number_first)
        return WAL_RING_GONE;
    for (; *number < ring->number_end; (*number)++) {
        const struct wal_ring_entry *entry = entry_at(ring, *number);
        if (gap + entry->size_bytes > size - *size_read)
            break;
        uint64_t at = entry->bytes_before % ring->size_bytes;
        uint64_t left = ring->size_bytes - at;
        uint64_t part = left < entry->size_bytes ? left : entry->size_bytes;
        uint8_t *to = bytes + *size_read + gap;
        memcpy(to, ring->bytes + at, part);
        memcpy(to + part, ring->bytes, entry->size_bytes - part);
        *size_read += gap + entry->size_bytes;
    }
    return WAL_RING_FOUND;
}

uint64_t wal_ring_bytes_before(const struct wal_ring *ring, uint64_t number)
{
    TILL_ASSERT(number <= ring->number_next);
    if (number < ring->number_first)
        number = ring->number_first;
    return number == ring->number_next ? ring->bytes_total : entry_at(ring, number)->bytes_before;
}
