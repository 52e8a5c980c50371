/* Fixed work for counting instructions: the orders of `till bench`'s hot workload through each
 * stage of their way, without sockets and disk.
 *
 *   check   known_check_request of each request
 *   decide  engine_decide, batch by batch, replies included
 *   encode  known_command_encode of each accepted one into the columns
 *   seal    wal_block_seal of each block: compression and checksum
 *   decode  command_decode of each block, as a replay does
 *
 * Each stage is one function that is never inlined, so that a profiler can tell what it cost with
 * all that it calls. The work is the same in every run: seeded ids, a time that moves by itself, a
 * fixed hash seed. It fails when an order is not accepted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"
#include "engine/engine.h"
#include "engine/known.h"
#include "wal/block.h"

enum {
    ORDERS = 20000,
    BATCHES_PER_BLOCK = 16,
    BATCH_US = 20,
    CUSTOMERS = 4 << 20, /* as `till bench` draws from */
    CAPACITY = 32 << 10,
    SEED = 7,
    SKU = 1,
    WAREHOUSE = 1,
    SALE = 1,
    PRICE = 1999,
    CURRENCY = 978,
    HOLD_S = 900,
};

struct order_request {
    struct order_place_body place;
    struct line_body line;
};

struct stages {
    struct engine *engine;
    struct random random;
    struct order_request requests[BATCH_COMMANDS_MAX];
    struct command commands[BATCH_COMMANDS_MAX];
    struct column_writer columns;
    struct known_table known;         /* the server's */
    struct known_table known_decoded; /* the replay's */
    struct logged_command decoded;
    struct wal_packer packer;
    struct wal_block block;
    uint64_t now_us;
    uint8_t ids[WAL_COLUMN_SIZE_MAX];
    uint8_t fields[WAL_COLUMN_SIZE_MAX];
    uint8_t image[WAL_BLOCK_SIZE_MAX];
    _Alignas(8) uint8_t replies[BATCH_COMMANDS_MAX * FRAME_SIZE_MAX];
};

__attribute__((noinline)) static bool stage_check(struct stages *stages, uint32_t count)
{
    bool is_right = true;
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = &stages->commands[i];
        const char *reason;
        is_right &= known_check_request(&stages->known, message_info(command->number),
                                        command->body, command->size, &reason);
    }
    return is_right;
}

__attribute__((noinline)) static void stage_decide(struct stages *stages, uint32_t count)
{
    engine_decide(stages->engine, stages->now_us, stages->commands, count);
}

__attribute__((noinline)) static void stage_encode(struct stages *stages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = &stages->commands[i];
        known_command_encode(&stages->known, command->number, command->body, command->size,
                             &stages->columns);
    }
}

__attribute__((noinline)) static void stage_seal(struct stages *stages)
{
    wal_block_seal(&stages->packer, &stages->block, stages->ids, stages->fields, stages->image);
}

/* Returns how many commands the columns hold. */
__attribute__((noinline)) static uint32_t stage_decode(struct stages *stages)
{
    const struct wal_block *block = &stages->block;
    struct column_reader columns = {.schema = SCHEMA,
                                    .ids = reader_init(stages->ids, block->ids_size),
                                    .fields = reader_init(stages->fields, block->fields_size),
                                    .time_us = block->time_us,
                                    .known = &stages->known_decoded};
    uint32_t count = 0;
    bool malformed = false;
    while (command_decode(&columns, &stages->decoded, &malformed))
        count++;
    return count;
}

static void block_begin(struct stages *stages)
{
    stages->block = (struct wal_block){
        .previous = stages->block.checksum,
        .epoch = 1,
        .seq_first = engine_seq(stages->engine) + 1,
        .seq_durable = engine_seq(stages->engine),
        .time_us = stages->now_us,
    };
    stages->columns = (struct column_writer){.ids = stages->ids, .fields = stages->fields};
}

/* Seals what the columns hold and reads it again; returns how long the block is, 0: it is wrong. */
static uint32_t block_end(struct stages *stages)
{
    struct wal_block *block = &stages->block;
    block->command_count = (uint32_t)(engine_seq(stages->engine) + 1 - block->seq_first);
    block->digest = engine_digest(stages->engine);
    block->ids_size = (uint32_t)(stages->columns.ids - stages->ids);
    block->fields_size = (uint32_t)(stages->columns.fields - stages->fields);
    stage_seal(stages);
    return stage_decode(stages) == block->command_count ? block->block_size : 0;
}

static bool batch_run(struct stages *stages, uint32_t count)
{
    struct reply_sink sink = {.cursor = stages->replies};
    for (uint32_t i = 0; i < count; i++) {
        stages->requests[i] = (struct order_request){
            .place = {.order = random_id(&stages->random),
                      .customer = random_id_of(SEED, 0, random_below(&stages->random, CUSTOMERS)),
                      .sale = SALE,
                      .line_count = 1,
                      .currency = CURRENCY},
            .line = {.sku = SKU, .quantity = 1, .price = PRICE},
        };
        stages->commands[i] = (struct command){.body = &stages->requests[i],
                                               .sink = &sink,
                                               .size = sizeof stages->requests[i],
                                               .number = MESSAGE_order_place};
    }
    stages->now_us += BATCH_US;
    if (!stage_check(stages, count))
        return false;
    stage_decide(stages, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!stages->commands[i].accepted)
            return false;
    }
    stage_encode(stages, count);
    return true;
}

static bool set_up_one(struct stages *stages, unsigned number, const void *body, size_t size)
{
    struct reply_sink sink = {.cursor = stages->replies};
    struct command command = {
        .body = body, .sink = &sink, .size = (uint32_t)size, .number = (uint16_t)number};
    engine_decide(stages->engine, stages->now_us, &command, 1);
    return command.accepted;
}

static bool set_up(struct stages *stages)
{
    struct engine_options options = engine_options_default;
    char error[256];
    options.orders = options.customers = options.deadlines = options.steps = CAPACITY;
    options.hash_seed = SEED;
    stages->engine = engine_create(&options, error, sizeof error);
    stages->random.state = SEED;
    stages->now_us = US_PER_SECOND;
    if (stages->engine == NULL)
        return false;
    const struct sku_put_body sku = {
        .key = random_id(&stages->random), .sku = SKU, .price = PRICE, .currency = CURRENCY};
    const struct stock_adjust_body stock = {.key = random_id(&stages->random),
                                            .sku = SKU,
                                            .delta = QUANTITY_MAX,
                                            .warehouse = WAREHOUSE};
    const struct sale_put_body sale = {
        .key = random_id(&stages->random), .sale = SALE, .hold = HOLD_S};
    const struct sale_change_body open = {.key = random_id(&stages->random), .sale = SALE};
    return set_up_one(stages, MESSAGE_sku_put, &sku, sizeof sku) &&
           set_up_one(stages, MESSAGE_stock_adjust, &stock, sizeof stock) &&
           set_up_one(stages, MESSAGE_sale_put, &sale, sizeof sale) &&
           set_up_one(stages, MESSAGE_sale_open, &open, sizeof open);
}

/* With an argument, whatever it is: an engine that keeps lists of orders. */
int main(int argc, char **argv)
{
    static struct stages stages;
    uint64_t log_bytes = 0;
    uint32_t done = 0, batches = 0;
    (void)argv;
    if (!set_up(&stages) || (argc > 1 && !engine_list(stages.engine))) {
        fprintf(stderr, "stages: cannot set the shop up\n");
        return 1;
    }
    block_begin(&stages);
    while (done < ORDERS) {
        uint32_t count = ORDERS - done < BATCH_COMMANDS_MAX ? ORDERS - done : BATCH_COMMANDS_MAX;
        if (!batch_run(&stages, count)) {
            fprintf(stderr, "stages: an order was not accepted\n");
            return 1;
        }
        done += count;
        if (++batches % BATCHES_PER_BLOCK == 0 || done == ORDERS) {
            uint32_t size = block_end(&stages);
            if (size == 0) {
                fprintf(stderr, "stages: a block was not decoded\n");
                return 1;
            }
            log_bytes += size;
            block_begin(&stages);
        }
    }
    printf("orders %u log_bytes %" PRIu64 "\n", done, log_bytes);
    engine_destroy(stages.engine);
    return 0;
}
