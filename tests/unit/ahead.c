/* What is read ahead on a thread is what is read without one, block by block and command by
 * command, wherever the caller stops. */
#include "net/ahead.h"

#include <string.h>

#include "tests/unit/shop_log.h"
#include "tests/unit/wal_log.h"

enum { COMMANDS = 3000, ROUNDS = 40 };

/* Two readers of one folder: without a thread, and with one. */
struct pair {
    struct disk *disk;
    struct wal_reader readers[2];
    struct ahead aheads[2];
};

static void pair_open(struct pair *pair, uint64_t seq_known)
{
    CHECK(disk_open(&pair->disk, test_folder(), DISK_READ) == 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQUAL(wal_reader_init(&pair->readers[i], pair->disk), 0);
        pair->readers[i].ignores_note = true;
        pair->readers[i].seq_known = seq_known;
        CHECK(ahead_open(&pair->aheads[i], &pair->readers[i], i == 1));
    }
    CHECK(pair->aheads[0].ring == NULL && pair->aheads[1].ring != NULL);
}

static void pair_close(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        ahead_close(&pair->aheads[i]);
        wal_reader_deinit(&pair->readers[i]);
    }
    disk_close(pair->disk);
}

static void check_equal(const struct batch *a, const struct batch *b)
{
    CHECK_EQUAL(a->seq_first, b->seq_first);
    CHECK_EQUAL(a->time_us, b->time_us);
    CHECK_EQUAL(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        CHECK_EQUAL(a->commands[i].number, b->commands[i].number);
        CHECK_EQUAL(a->commands[i].size, b->commands[i].size);
        CHECK(memcmp(a->commands[i].body, b->commands[i].body, a->commands[i].size) == 0);
    }
}

/* Takes the batches of a block from both, up to some of them. The batch before is still there. */
static uint64_t batches_compare(struct pair *pair, uint64_t batches_max)
{
    struct batch *before[2] = {NULL, NULL};
    uint64_t commands = 0;
    for (uint64_t i = 0; i < batches_max; i++) {
        struct batch *a = ahead_batch(&pair->aheads[0]);
        struct batch *b = ahead_batch(&pair->aheads[1]);
        CHECK_EQUAL(a == NULL, b == NULL);
        if (i > 0)
            check_equal(before[0], before[1]);
        if (a == NULL) {
            CHECK_EQUAL(pair->aheads[0].is_malformed, pair->aheads[1].is_malformed);
            CHECK_EQUAL(pair->aheads[0].seq_next, pair->aheads[1].seq_next);
            break;
        }
        check_equal(a, b);
        commands += a->count;
        before[0] = a;
        before[1] = b;
    }
    return commands;
}

static void check_ends(const struct wal_end *a, const struct wal_end *b)
{
    CHECK_EQUAL(a->segment, b->segment);
    CHECK_EQUAL(a->offset, b->offset);
    CHECK_EQUAL(a->seq_next, b->seq_next);
    CHECK_EQUAL(a->previous, b->previous);
    CHECK_EQUAL(a->epoch, b->epoch);
    CHECK_EQUAL(a->time_us, b->time_us);
    CHECK_EQUAL(a->digest, b->digest);
    CHECK_EQUAL(a->torn_bytes, b->torn_bytes);
    CHECK_EQUAL(a->seal, b->seal);
    CHECK_EQUAL(a->is_sealed, b->is_sealed);
    CHECK_EQUAL(a->seq_begin, b->seq_begin);
    CHECK_EQUAL(a->segment_seq, b->segment_seq);
    CHECK_EQUAL(a->segment_previous, b->segment_previous);
    CHECK_EQUAL(a->is_cut, b->is_cut);
}

static enum wal_read block_compare(struct pair *pair)
{
    enum wal_read read = ahead_next(&pair->aheads[0]);
    const struct wal_reader *a = pair->aheads[0].reader;
    CHECK_EQUAL(ahead_next(&pair->aheads[1]), read);
    const struct wal_reader *b = pair->aheads[1].reader;
    CHECK(memcmp(&a->block, &b->block, sizeof a->block) == 0);
    check_ends(&a->end, &b->end);
    CHECK(strcmp(a->error, b->error) == 0);
    CHECK_EQUAL(a->bytes_read, b->bytes_read);
    CHECK_EQUAL(a->fields == NULL, b->fields == NULL);
    if (read == WAL_READ_BLOCK) {
        char paths[2][WAL_ERROR_SIZE];
        wal_reader_path(a, paths[0]);
        wal_reader_path(b, paths[1]);
        CHECK(strcmp(paths[0], paths[1]) == 0);
    }
    return read;
}

TEST(reading_ahead_hands_out_the_same_blocks_and_batches)
{
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t block_commands = 10 + (uint32_t)test_random_below(round % 2 == 0 ? 20 : 1000);
        struct shop_log *log = shop_log_create(COMMANDS, block_commands);
        uint64_t known = test_random_below(3) == 0 ? test_random_below(COMMANDS) : 0;
        uint64_t commands = 0, seq_first = 0;
        struct pair pair;
        shop_log_write(log);
        pair_open(&pair, known);
        while (block_compare(&pair) == WAL_READ_BLOCK) {
            const struct wal_reader *reader = pair.aheads[1].reader;
            if (seq_first == 0 && reader->fields != NULL)
                seq_first = reader->block.seq_first;
            commands += batches_compare(&pair, UINT64_MAX);
        }
        CHECK_EQUAL(commands, engine_seq(log->engine) + 1 - seq_first);
        pair_close(&pair);
        shop_log_free(log);
    }
}

TEST(reading_ahead_may_be_left_at_any_batch)
{
    struct shop_log *log = shop_log_create(COMMANDS, 200);
    shop_log_write(log);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t blocks = test_random_below(log->block_count);
        struct pair pair;
        pair_open(&pair, 0);
        for (uint64_t i = 0; i < blocks; i++) {
            CHECK_EQUAL(block_compare(&pair), WAL_READ_BLOCK);
            batches_compare(&pair, test_random_below(100));
        }
        pair_close(&pair);
    }
    shop_log_free(log);
}

TEST(reading_ahead_hands_on_what_is_wrong)
{
    struct shop_log *log = shop_log_create(COMMANDS, 50);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t at = (uint32_t)test_random_below(log->block_count);
        struct wal_block block = log->blocks[at];
        struct pair pair;
        if (test_random_below(2) == 0)
            log->blocks[at].command_count += 1;
        else
            log->blocks[at].fields_size -= 1;
        shop_log_write(log);
        if (test_random_below(2) == 0)
            segment_flip(1, test_random_below(100000), 1);
        pair_open(&pair, 0);
        while (block_compare(&pair) == WAL_READ_BLOCK)
            batches_compare(&pair, UINT64_MAX);
        pair_close(&pair);
        log->blocks[at] = block;
    }
    shop_log_free(log);
}
