/* Blocks with right checksums and a right chain, whose content no engine wrote: replay refuses them
 * with a message. No assertion may fail, whatever the columns and the header's numbers say.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/codec.h"
#include "engine/image.h"
#include "net/replay.h"
#include "tests/unit/wal_log.h"

enum {
    SEGMENT_SIZE = 1 << 20,
    COMMANDS = 240,
    BLOCK_COMMANDS = 20,
    BLOCKS_MAX = COMMANDS,
    ROUNDS = 200,
    EURO = 978,
    ERROR_SIZE = 512,
};

/* A log in memory: the raw columns of each block, which are sealed anew for each round. */
struct forged_log {
    struct engine *engine;
    struct column_writer writer;
    struct wal_block block; /* the one that is open */
    struct wal_block blocks[BLOCKS_MAX];
    uint8_t *ids[BLOCKS_MAX];
    uint8_t *fields[BLOCKS_MAX];
    uint32_t block_count;
    uint64_t now_us;
    uint64_t time_written;
    uint64_t numbers; /* for keys, ids and events */
    uint8_t ids_open[WAL_COLUMN_SIZE_MAX];
    uint8_t fields_open[WAL_COLUMN_SIZE_MAX];
};

static struct engine_options small_options(void)
{
    return (struct engine_options){
        .skus = 64,
        .stocks = 256,
        .sales = 64,
        .pools = 256,
        .tallies = 1024,
        .customers = 256,
        .lots = 1024,
        .ledger = 4096,
        .orders = 512,
        .lines = 1024,
        .pieces = 1024,
        .point_takes = 1024,
        .moneys = 512,
        .steps = 1024,
        .deadlines = 1024,
        .payments = 512,
        .keys = 512,
        .epochs = 64,
    };
}

static void *copy_of(const void *bytes, size_t size)
{
    void *copy = malloc(size + 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    return copy;
}

/* Closes the open block, and begins the next. */
static void block_close(struct forged_log *log)
{
    struct wal_block *block = &log->block;
    if (block->command_count > 0) {
        block->ids_size = (uint32_t)(log->writer.ids - log->ids_open);
        block->fields_size = (uint32_t)(log->writer.fields - log->fields_open);
        block->digest = engine_digest(log->engine);
        log->ids[log->block_count] = copy_of(log->ids_open, block->ids_size);
        log->fields[log->block_count] = copy_of(log->fields_open, block->fields_size);
        log->blocks[log->block_count++] = *block;
    }
    uint64_t seq = engine_seq(log->engine);
    log->writer = (struct column_writer){log->ids_open, log->fields_open};
    log->block = (struct wal_block){.epoch = 1, .seq_first = seq + 1, .seq_durable = seq};
}

/* Decides a command, and logs it when it was accepted. */
static void decide(struct forged_log *log, uint16_t number, const void *body, size_t size)
{
    struct command command = {.body = body, .size = (uint32_t)size, .number = number};
    engine_decide(log->engine, log->now_us, &command, 1);
    if (!command.accepted)
        return;
    if (log->block.command_count++ == 0)
        log->block.time_us = log->now_us;
    else if (log->now_us > log->time_written)
        time_encode(log->now_us - log->time_written, &log->writer);
    log->time_written = log->now_us;
    command_encode(number, body, &log->writer);
    if (log->block.command_count == BLOCK_COMMANDS)
        block_close(log);
}

static struct id fresh(struct forged_log *log)
{
    return (struct id){.low = ++log->numbers};
}

static void set_up(struct forged_log *log)
{
    for (uint64_t sku = 1; sku <= 4; sku++) {
        struct sku_put_body put = {.key = fresh(log), .sku = sku, .price = 10, .currency = EURO};
        decide(log, MESSAGE_sku_put, &put, sizeof put);
        for (uint32_t warehouse = 1; warehouse <= 2; warehouse++) {
            struct stock_adjust_body add = {
                .key = fresh(log), .sku = sku, .delta = 1000, .warehouse = warehouse};
            decide(log, MESSAGE_stock_adjust, &add, sizeof add);
        }
    }
    struct {
        struct sale_put_body fixed;
        struct pool_body pools[2];
    } sale = {.fixed = {.key = fresh(log), .sale = 1, .customer_sku_max = 900, .pool_count = 2},
              .pools = {{.sku = 1, .quantity = 100, .warehouse = 1},
                        {.sku = 2, .quantity = 100, .warehouse = 2}}};
    decide(log, MESSAGE_sale_put, &sale, sizeof sale);
    struct sale_change_body open = {.key = fresh(log), .sale = 1};
    decide(log, MESSAGE_sale_open, &open, sizeof open);
    struct epoch_begin_body begin = {.epoch = 2, .previous = test_random()};
    decide(log, MESSAGE_epoch_begin, &begin, sizeof begin);
}

static void decide_order(struct forged_log *log)
{
    struct {
        struct order_place_body fixed;
        struct line_body lines[3];
    } order = {.fixed = {.order = fresh(log),
                         .customer = {.low = 1 + test_random_below(5)},
                         .points = (int64_t)test_random_below(10),
                         .sale = (uint32_t)test_random_below(2),
                         .hold = 1 + (uint32_t)test_random_below(60),
                         .line_count = (uint16_t)(1 + test_random_below(3)),
                         .allocation = (uint8_t)test_random_below(2)}};
    for (unsigned i = 0; i < order.fixed.line_count; i++)
        order.lines[i] = (struct line_body){.sku = 1 + test_random_below(4),
                                            .quantity = 1 + (uint32_t)test_random_below(3),
                                            .price = 10};
    decide(log, MESSAGE_order_place, &order,
           sizeof order.fixed + order.fixed.line_count * sizeof order.lines[0]);
}

/* A random command that refers to existing records. */
static void decide_any(struct forged_log *log)
{
    struct id order = {.low = 1 + test_random_below(log->numbers)};
    struct points_credit_body credit = {.key = fresh(log),
                                        .customer = {.low = 1 + test_random_below(5)},
                                        .points = 20,
                                        .expires = log->now_us + 20 * US_PER_SECOND};
    struct payment_event_body event = {.event = fresh(log),
                                       .order = order,
                                       .amount = (int64_t)test_random_below(60),
                                       .provider = 1,
                                       .status = payment_status_SUCCESS,
                                       .currency = EURO};
    struct hold_extend_body extend = {.key = fresh(log), .order = order, .hold = 90};
    struct order_change_body change = {.key = fresh(log), .order = order};
    struct hold_expire_body expire = {.holds = HOLDS_PER_EXPIRE_MAX};
    log->now_us += test_random_below(US_PER_SECOND);
    switch (test_random_below(8)) {
    case 0:
        decide(log, MESSAGE_points_credit, &credit, sizeof credit);
        break;
    case 1:
        decide(log, MESSAGE_payment_event, &event, sizeof event);
        break;
    case 2:
        decide(log, MESSAGE_hold_extend, &extend, sizeof extend);
        break;
    case 3:
        decide(log, MESSAGE_order_cancel, &change, sizeof change);
        break;
    case 4:
        decide(log, MESSAGE_hold_expire, &expire, sizeof expire);
        break;
    default:
        decide_order(log);
    }
}

static struct forged_log *log_of_a_shop(void)
{
    char error[ERROR_SIZE];
    struct engine_options options = small_options();
    struct forged_log *log = calloc(1, sizeof *log);
    CHECK(log != NULL);
    log->engine = engine_create(&options, error, sizeof error);
    CHECK(log->engine != NULL);
    log->now_us = log->time_written = US_PER_SECOND;
    block_close(log);
    set_up(log);
    while (engine_seq(log->engine) < COMMANDS)
        decide_any(log);
    block_close(log);
    return log;
}

static void shop_free(struct forged_log *log)
{
    for (uint32_t i = 0; i < log->block_count; i++) {
        free(log->ids[i]);
        free(log->fields[i]);
    }
    engine_destroy(log->engine);
    free(log);
}

/* Seals all blocks into one segment, chained. */
static void write_blocks(const struct forged_log *log)
{
    static uint8_t image[WAL_BLOCK_SIZE_MAX];
    uint64_t offset = 0;
    uint64_t previous = 0;
    segment_create(1, 0);
    segment_create(1, SEGMENT_SIZE);
    for (uint32_t i = 0; i < log->block_count; i++) {
        struct wal_packer packer = {{0}, {0}};
        struct wal_block block = log->blocks[i];
        block.previous = previous;
        wal_block_seal(&packer, &block, log->ids[i], log->fields[i], image);
        segment_write(1, offset, image, block.block_size);
        previous = block.checksum;
        offset += block.block_size;
    }
}

static bool replays(struct engine *engine, char error[REPLAY_ERROR_SIZE])
{
    struct replay replay = {.engine = engine, .ignores_note = true};
    CHECK(engine_clear(engine));
    CHECK(disk_open(&replay.disk, test_folder(), DISK_READ) == 0);
    bool replayed = replay_run(&replay);
    disk_close(replay.disk);
    memcpy(error, replay.error, REPLAY_ERROR_SIZE);
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
    struct engine_options options = small_options();
    struct forged_log *log = log_of_a_shop();
    struct engine *engine = engine_create(&options, error, sizeof error);
    int refused = 0;
    CHECK(engine != NULL);
    write_blocks(log);
    if (!replays(engine, error))
        test_fail(__FILE__, __LINE__, "what was not forged: %s", error);
    CHECK_EQUAL(engine_digest(engine), engine_digest(log->engine));
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t at = (uint32_t)test_random_below(log->block_count);
        struct wal_block block = log->blocks[at];
        uint8_t *ids = copy_of(log->ids[at], block.ids_size);
        uint8_t *fields = copy_of(log->fields[at], block.fields_size);
        uint64_t way = test_random_below(3);
        if (way == 0)
            header_forge(&log->blocks[at]);
        else if (way == 1)
            column_forge(log->ids[at], block.ids_size);
        else
            column_forge(log->fields[at], block.fields_size);
        write_blocks(log);
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
    shop_free(log);
}
