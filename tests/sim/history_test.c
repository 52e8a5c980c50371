/* The tree of blocks that the simulation of a cluster keeps: which block another one continues. */
#include "base/limits.h"
#include "tests/sim/history.h"
#include "tests/test.h"

enum { BLOCKS = 5 };

static struct wal_block block_of(uint64_t checksum, uint64_t previous, uint64_t epoch, uint64_t seq,
                                 uint32_t count)
{
    return (struct wal_block){.checksum = checksum,
                              .previous = previous,
                              .epoch = epoch,
                              .seq_first = seq,
                              .command_count = count,
                              .block_size = WAL_ALIGN};
}

/* Epoch 2 was lost with its only member, and epoch 3 goes on from a snapshot of what epoch 1 has at
 * the same seq. */
TEST(log_behind_a_snapshot_continues_the_history_that_the_snapshot_is_of)
{
    struct history history;
    static const uint8_t image[WAL_ALIGN];
    const struct wal_block blocks[BLOCKS] = {
        block_of(10, 0, 1, 1, 2), block_of(11, 10, 1, 3, 3), block_of(20, 10, 2, 3, 3),
        block_of(30, 0, 3, 6, 1), block_of(40, 0, 4, 6, 1),
    };
    history_init(&history, NULL);
    for (unsigned i = 0; i < 3; i++)
        CHECK(history_add(&history, i, &blocks[i], image, 1) != NULL);
    struct history_block *added = history_add(&history, 3, &blocks[3], image, 1);
    CHECK(added->parent == history_find(&history, 11));
    added = history_add(&history, 3, &blocks[4], image, 2);
    CHECK(added->parent == history_find(&history, 20));
    CHECK(history_of(&history, 4, 2) == history_find(&history, 20));
    CHECK(history_of(&history, 6, 1) == NULL);
    history_deinit(&history);
}
