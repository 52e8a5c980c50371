/* The ring of durable blocks against a list that keeps every block. */
#include "wal/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "tests/test.h"

enum {
    RING_SIZE = 3 * WAL_BLOCK_SIZE_MAX,
    BLOCKS = 3000,
    GAP = 24,
    ROOM_SIZE = 4 * (WAL_BLOCK_SIZE_MAX + GAP),
};

static uint8_t image[WAL_BLOCK_SIZE_MAX];
static uint8_t room[ROOM_SIZE];

/* The bytes of a block, made from its number: no two pages of two blocks are the same. */
static void image_make(uint64_t number, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = mix64(number, i);
        memcpy(image + i, &word, sizeof word);
    }
}

/* The next block of the chain. Some have no commands, also two in succession. */
static struct wal_block block_next(const struct wal_block *last, uint64_t number)
{
    struct wal_block block = {
        .previous = last->checksum,
        .checksum = mix64(number, 1),
        .seq_first = last->seq_first + last->command_count,
        .command_count = (uint32_t)(test_random_below(4) == 0 ? 0 : 1 + test_random_below(9)),
        .block_size = WAL_ALIGN,
    };
    if (block.command_count > 0)
        block.block_size *= 1 + (uint32_t)(test_random_below(64) >> test_random_below(7));
    return block;
}

static uint64_t seq_last(const struct wal_block *block)
{
    return block->seq_first + block->command_count - 1;
}

/* How many of the newest blocks fit the ring. */
static uint64_t kept_count(const struct wal_block *blocks, uint64_t count)
{
    uint64_t size = 0;
    uint64_t kept = 0;
    while (kept < count && size + blocks[count - kept].block_size <= RING_SIZE)
        size += blocks[count - kept++].block_size;
    return kept;
}

/* How many of the newest blocks have no commands: they are not handed out yet. */
static uint64_t waiting_count(const struct wal_block *blocks, uint64_t count)
{
    uint64_t waiting = 0;
    while (waiting < kept_count(blocks, count) && blocks[count - waiting].command_count == 0)
        waiting++;
    return waiting;
}

/* Every place of the chain is found when the block behind it is in the ring, or will be the next
 * one; the others are gone. */
static void check_places(const struct wal_ring *ring, const struct wal_block *blocks,
                         uint64_t count)
{
    uint64_t kept = kept_count(blocks, count);
    uint64_t from = count > kept + 20 ? count - kept - 20 : 0;
    for (uint64_t i = from; i <= count; i++) {
        uint64_t number = 0;
        enum wal_ring_result result =
            wal_ring_find(ring, seq_last(&blocks[i]), blocks[i].checksum, &number);
        CHECK_EQUAL(result, i + kept >= count ? WAL_RING_FOUND : WAL_RING_GONE);
        CHECK(result != WAL_RING_FOUND || number == i + 1);
        uint64_t block_count = blocks[i].command_count;
        if (block_count < 2 || i + kept <= count)
            continue;
        /* No place: inside a block, or with another checksum. */
        CHECK_EQUAL(wal_ring_find(ring, blocks[i].seq_first, blocks[i].checksum, &number),
                    WAL_RING_OTHER);
        CHECK_EQUAL(wal_ring_find(ring, seq_last(&blocks[i]), blocks[i].checksum + 1, &number),
                    WAL_RING_OTHER);
        /* But a block can be found by any of its seqs. */
        CHECK_EQUAL(wal_ring_find(ring, blocks[i].seq_first, 0, &number), WAL_RING_FOUND);
        CHECK_EQUAL(number, i);
    }
    uint64_t number;
    CHECK_EQUAL(wal_ring_find(ring, seq_last(&blocks[count]) + 1, 77, &number), WAL_RING_OTHER);
    CHECK_EQUAL(wal_ring_find(ring, seq_last(&blocks[count]) + 1, 0, &number), WAL_RING_OTHER);
    CHECK_EQUAL(wal_ring_find(ring, seq_last(&blocks[count]), 0, &number), WAL_RING_FOUND);
    CHECK_EQUAL(number, count + 1 - waiting_count(blocks, count));
}

/* Reads with some room, and compares what comes with what was added. */
static void check_read(const struct wal_ring *ring, const struct wal_block *blocks, uint64_t count,
                       uint64_t *number)
{
    size_t size = test_random_below(ROOM_SIZE + 1);
    size_t size_read = 0;
    uint64_t next = *number;
    memset(room, 0x5a, sizeof room);
    enum wal_ring_result result = wal_ring_read(ring, number, GAP, room, size, &size_read);
    if (next + kept_count(blocks, count) <= count) {
        CHECK_EQUAL(result, WAL_RING_GONE);
        CHECK_EQUAL(size_read, 0);
        *number = count + 1 - test_random_below(kept_count(blocks, count) + 1);
        return;
    }
    CHECK_EQUAL(result, WAL_RING_FOUND);
    CHECK_EQUAL(ring->number_end, count + 1 - waiting_count(blocks, count));
    CHECK(*number <= ring->number_end || *number == next);
    size_t at = 0;
    for (; next < *number; next++) {
        for (size_t i = 0; i < GAP; i++)
            CHECK_EQUAL(room[at + i], 0x5a);
        image_make(next, blocks[next].block_size);
        CHECK(memcmp(room + at + GAP, image, blocks[next].block_size) == 0);
        at += GAP + blocks[next].block_size;
    }
    CHECK_EQUAL(at, size_read);
    CHECK(at == sizeof room || room[at] == 0x5a);
    CHECK(*number >= ring->number_end || size_read + GAP + blocks[next].block_size > size);
}

TEST(ring_of_blocks_finds_and_reads_what_a_list_of_them_has)
{
    static struct wal_block blocks[BLOCKS + 1]; /* from 1 on; 0: before the first */
    struct wal_ring ring;
    uint64_t number = 1;
    uint64_t bytes = 0;
    CHECK(wal_ring_init(&ring, RING_SIZE));
    blocks[0] = (struct wal_block){.checksum = 99, .seq_first = 5};
    wal_ring_begin(&ring, 4, 99);
    for (uint64_t count = 1; count <= BLOCKS; count++) {
        blocks[count] = block_next(&blocks[count - 1], count);
        CHECK_EQUAL(wal_ring_bytes_before(&ring, count), bytes);
        bytes += blocks[count].block_size;
        image_make(count, blocks[count].block_size);
        wal_ring_add(&ring, &blocks[count], image);
        CHECK_EQUAL(wal_ring_bytes_before(&ring, count + 1), bytes);
        if (test_random_below(8) == 0)
            check_places(&ring, blocks, count);
        if (test_random_below(4) == 0)
            check_read(&ring, blocks, count, &number);
    }
    wal_ring_deinit(&ring);
}

TEST(ring_without_a_block_knows_the_end_of_the_log_alone)
{
    struct wal_ring ring;
    uint64_t number = 0;
    size_t size_read = 1;
    CHECK(wal_ring_init(&ring, RING_SIZE));
    CHECK_EQUAL(wal_ring_find(&ring, 0, 0, &number), WAL_RING_GONE);
    CHECK_EQUAL(wal_ring_find(&ring, 7, 77, &number), WAL_RING_GONE);
    wal_ring_begin(&ring, 7, 77);
    CHECK_EQUAL(wal_ring_find(&ring, 7, 77, &number), WAL_RING_FOUND);
    CHECK_EQUAL(number, 1);
    CHECK_EQUAL(wal_ring_find(&ring, 7, 0, &number), WAL_RING_FOUND);
    CHECK_EQUAL(wal_ring_find(&ring, 7, 78, &number), WAL_RING_GONE);
    CHECK_EQUAL(wal_ring_find(&ring, 6, 0, &number), WAL_RING_GONE);
    CHECK_EQUAL(wal_ring_find(&ring, 8, 78, &number), WAL_RING_OTHER);
    CHECK_EQUAL(wal_ring_find(&ring, 8, 0, &number), WAL_RING_OTHER);
    CHECK_EQUAL(wal_ring_read(&ring, &number, GAP, room, sizeof room, &size_read), WAL_RING_FOUND);
    CHECK_EQUAL(size_read, 0);
    wal_ring_deinit(&ring);
    CHECK(wal_ring_init(&ring, RING_SIZE));
    wal_ring_begin(&ring, 0, 0);
    CHECK_EQUAL(wal_ring_find(&ring, 0, 0, &number), WAL_RING_FOUND);
    CHECK_EQUAL(number, 1);
    wal_ring_deinit(&ring);
}
