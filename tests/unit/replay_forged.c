/* Blocks with right checksums and a right chain, whose content no engine wrote: replay refuses them
 * with a message. No assertion may fail, whatever the columns and the header's numbers say. Reading
 * ahead on a thread comes to the same.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/image.h"
#include "engine/sum.h"
#include "net/replay.h"
#include "tests/unit/shop_log.h"
#include "tests/unit/wal_log.h"

enum { COMMANDS = 240, BLOCK_COMMANDS = 20, ROUNDS = 200, ERROR_SIZE = 512 };

static void *copied(const void *bytes, size_t size)
{
    void *copy = malloc(size + 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    return copy;
}

static bool replays_so(struct engine *engine, bool reads_ahead, char error[REPLAY_ERROR_SIZE])
{
    struct replay replay = {.engine = engine, .ignores_note = true, .reads_ahead = reads_ahead};
    CHECK(engine_clear(engine));
    CHECK(disk_open(&replay.disk, test_folder(), DISK_READ) == 0);
    bool replayed = replay_run(&replay);
    disk_close(replay.disk);
    memcpy(error, replay.error, REPLAY_ERROR_SIZE);
    return replayed;
}

/* The same without a thread and with one, where there is a core for it. */
static bool replays(struct engine *engine, char error[REPLAY_ERROR_SIZE])
{
    char error_ahead[REPLAY_ERROR_SIZE];
    bool replayed = replays_so(engine, false, error);
    uint64_t sum = engine_checksum(engine);
    CHECK_EQUAL(replays_so(engine, true, error_ahead), replayed);
    CHECK(strcmp(error_ahead, error) == 0);
    CHECK(!replayed || engine_checksum(engine) == sum);
    return replayed;
}

/* Changes a byte or a few of a column. */
static void column_forge(uint8_t *column, uint32_t size)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, 26, 31, 3};
    for (uint64_t changes = 1 + test_random_below(3); changes > 0 && size > 0; changes--) {
        uint8_t *byte = column + test_random_below(size);
        *byte = test_random_below(2) == 0 ? values[test_random_below(sizeof values)]
                                          : (uint8_t)test_random();
    }
}

static void header_forge(struct wal_block *block)
{
    uint64_t some = test_random_below(3);
    switch (test_random_below(6)) {
    case 0:
        block->digest ^= 1;
        break;
    case 1:
        block->command_count = 1 + (uint32_t)test_random_below(2 * BLOCK_COMMANDS);
        break;
    case 2:
        block->time_us = some == 0 ? TIME_US_MAX : some == 1 ? 0 : test_random() % TIME_US_MAX;
        break;
    case 3:
        block->ids_size = (uint32_t)test_random_below(block->ids_size + 1);
        break;
    case 4:
        block->fields_size = (uint32_t)test_random_below(block->fields_size + 1);
        break;
    default:
        block->seq_first += some;
        break;
    }
}

TEST(forged_blocks_are_refused_with_a_message)
{
    char error[REPLAY_ERROR_SIZE];
    struct shop_log *log = shop_log_create(COMMANDS, BLOCK_COMMANDS);
    struct engine_options options = shop_log_options();
    struct engine *engine = engine_create(&options, error, sizeof error);
    int refused = 0;
    CHECK(engine != NULL);
    shop_log_write(log);
    if (!replays(engine, error))
        test_fail(__FILE__, __LINE__, "what was not forged: %s", error);
    CHECK_EQUAL(engine_digest(engine), engine_digest(log->engine));
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t at = (uint32_t)test_random_below(log->block_count);
        struct wal_block block = log->blocks[at];
        uint8_t *ids = copied(log->ids[at], block.ids_size);
        uint8_t *fields = copied(log->fields[at], block.fields_size);
        uint64_t way = test_random_below(3);
        if (way == 0)
            header_forge(&log->blocks[at]);
        else if (way == 1)
            column_forge(log->ids[at], block.ids_size);
        else
            column_forge(log->fields[at], block.fields_size);
        shop_log_write(log);
        error[0] = '\0';
        bool is_believed = replays(engine, error);
        CHECK(is_believed || error[0] != '\0');
        /* A block with another seq may be taken for a torn write; then the log before it is
         * sound. */
        CHECK(!is_believed || engine_check(engine, error, sizeof error));
        refused += !is_believed;
        memcpy(log->ids[at], ids, block.ids_size);
        memcpy(log->fields[at], fields, block.fields_size);
        log->blocks[at] = block;
        free(ids);
        free(fields);
    }
    CHECK(refused > ROUNDS / 2);
    engine_destroy(engine);
    shop_log_free(log);
}
