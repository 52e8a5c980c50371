/* Orders of one to three lines, payments, cancels and more; times pass between them. */
#include "tests/unit/shop_log.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/wal_log.h"

enum { SEGMENT_SIZE = 4 << 20, EURO = 978, ERROR_SIZE = 512 };

struct engine_options shop_log_options(void)
{
    return (struct engine_options){
        .skus = 64,
        .stocks = 4096,
        .sales = 64,
        .pools = 4096,
        .tallies = 16384,
        .customers = 4096,
        .lots = 16384,
        .ledger = 65536,
        .orders = 8192,
        .lines = 16384,
        .pieces = 16384,
        .point_takes = 16384,
        .moneys = 8192,
        .steps = 16384,
        .deadlines = 16384,
        .payments = 8192,
        .keys = 8192,
        .epochs = 64,
        .accounts = 64,
        .fulfilments = 64,
        .parcels = 64,
        .refunds = 64,
        .warehouses = 8,
        .zones = 4,
        .earnings = 64,
        .opaques = 64,
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
static void block_close(struct shop_log *log)
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
static void decide(struct shop_log *log, uint16_t number, const void *body, size_t size)
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
    if (log->block.command_count == log->block_commands)
        block_close(log);
}

static struct id fresh(struct shop_log *log)
{
    return (struct id){.low = ++log->numbers};
}

static void set_up(struct shop_log *log)
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

static void decide_order(struct shop_log *log)
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
static void decide_any(struct shop_log *log)
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

struct shop_log *shop_log_create(uint32_t commands, uint32_t block_commands)
{
    char error[ERROR_SIZE];
    struct engine_options options = shop_log_options();
    struct shop_log *log = calloc(1, sizeof *log);
    CHECK(log != NULL);
    log->engine = engine_create(&options, error, sizeof error);
    CHECK(log->engine != NULL);
    log->block_commands = block_commands;
    log->now_us = log->time_written = US_PER_SECOND;
    block_close(log);
    set_up(log);
    while (engine_seq(log->engine) < commands)
        decide_any(log);
    block_close(log);
    return log;
}

void shop_log_free(struct shop_log *log)
{
    for (uint32_t i = 0; i < log->block_count; i++) {
        free(log->ids[i]);
        free(log->fields[i]);
    }
    engine_destroy(log->engine);
    free(log);
}

void shop_log_write(const struct shop_log *log)
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
