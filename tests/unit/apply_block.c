/* Blocks that one engine has made are applied to another: it comes to the same state, by digest and
 * checksum, or says what is wrong. */
#include "net/apply.h"

#include <string.h>

#include "engine/codec.h"
#include "engine/image.h"
#include "engine/sum.h"
#include "tests/test.h"

enum { BLOCKS = 12, COMMANDS_MAX = 200, EURO = 978, COLUMN_SIZE = 64 * 1024 };

/* A block with its columns as they are before they are stored. */
struct made_block {
    struct wal_block header;
    uint64_t time_last_us;
    uint8_t ids[COLUMN_SIZE];
    uint8_t fields[COLUMN_SIZE];
};

/* The engine that makes the blocks. */
struct maker {
    struct engine *engine;
    uint64_t now_us;
    uint64_t numbers;
    struct made_block blocks[BLOCKS];
};

static struct engine *engine_made(void)
{
    const struct engine_options options = {.skus = 64,
                                           .epochs = 4,
                                           .accounts = 4,
                                           .fulfilments = 4,
                                           .parcels = 4,
                                           .refunds = 4,
                                           .warehouses = 8,
                                           .zones = 4,
                                           .earnings = 4,
                                           .opaques = 4,
                                           .stocks = 128,
                                           .sales = 8,
                                           .pools = 8,
                                           .tallies = 64,
                                           .customers = 512,
                                           .lots = 64,
                                           .ledger = 64,
                                           .orders = 4096,
                                           .lines = 64,
                                           .pieces = 64,
                                           .point_takes = 64,
                                           .moneys = 64,
                                           .steps = 64,
                                           .deadlines = 8192,
                                           .payments = 64,
                                           .keys = 1024};
    char error[256];
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    return engine;
}

/* Decides a command, and writes it into the block when it is accepted. */
static void decide(struct maker *maker, struct made_block *made, struct column_writer *columns,
                   uint16_t number, const void *body, size_t size)
{
    struct command command = {.body = body, .size = (uint32_t)size, .number = number};
    engine_decide(maker->engine, maker->now_us, &command, 1);
    if (!command.accepted)
        return;
    if (made->header.command_count++ == 0)
        made->header.time_us = made->time_last_us = maker->now_us;
    if (maker->now_us > made->time_last_us)
        time_encode(maker->now_us - made->time_last_us, columns);
    made->time_last_us = maker->now_us;
    command_encode(number, body, columns);
}

static void decide_some(struct maker *maker, struct made_block *made, struct column_writer *columns)
{
    struct sku_put_body put = {.key = {.low = ++maker->numbers},
                               .sku = 1 + maker->numbers % 4,
                               .price = 10,
                               .currency = EURO};
    struct stock_adjust_body add = {
        .key = {.low = ++maker->numbers}, .sku = put.sku, .delta = 1000, .warehouse = 1};
    decide(maker, made, columns, MESSAGE_sku_put, &put, sizeof put);
    decide(maker, made, columns, MESSAGE_stock_adjust, &add, sizeof add);
    for (uint64_t i = 0, count = test_random_below(COMMANDS_MAX); i < count; i++) {
        struct {
            struct order_place_body fixed;
            struct line_body line;
        } order = {.fixed = {.order = {.low = ++maker->numbers},
                             .customer = {.low = 1 + test_random_below(100)},
                             .hold = 60,
                             .line_count = 1},
                   .line = {.sku = put.sku, .quantity = 1, .price = 10}};
        maker->now_us += test_random_below(4) / 3 * test_random_below(1000);
        decide(maker, made, columns, MESSAGE_order_place, &order, sizeof order);
    }
}

static struct maker *maker_run(void)
{
    static struct maker maker;
    memset(&maker, 0, sizeof maker);
    maker.engine = engine_made();
    maker.now_us = 1000000;
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct made_block *made = &maker.blocks[i];
        struct column_writer columns = {made->ids, made->fields};
        made->header = (struct wal_block){
            .epoch = 1, .schema = SCHEMA, .seq_first = engine_seq(maker.engine) + 1};
        decide_some(&maker, made, &columns);
        CHECK(made->header.command_count > 1);
        made->header.ids_size = (uint32_t)(columns.ids - made->ids);
        made->header.fields_size = (uint32_t)(columns.fields - made->fields);
        CHECK(made->header.ids_size <= COLUMN_SIZE && made->header.fields_size <= COLUMN_SIZE);
        made->header.digest = engine_digest(maker.engine);
        maker.now_us += test_random_below(1000);
    }
    return &maker;
}

static struct decoder *decoder;

static void begin(struct apply *apply)
{
    *apply = (struct apply){.engine = engine_made()};
    decoder = decoder_create();
    CHECK(decoder != NULL);
}

static void end(struct apply *apply)
{
    engine_destroy(apply->engine);
    decoder_destroy(decoder);
}

static bool apply_made(struct apply *apply, const struct made_block *made)
{
    return apply_block(apply, decoder, &made->header, made->ids, made->fields);
}

static uint64_t last_of(const struct made_block *made)
{
    return made->header.seq_first + made->header.command_count - 1;
}

TEST(each_block_leads_to_the_state_that_it_was_written_from)
{
    struct maker *maker = maker_run();
    struct apply apply;
    begin(&apply);
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (!apply_made(&apply, &maker->blocks[i]))
            test_fail(__FILE__, __LINE__, "%s", apply.error);
        CHECK_EQUAL(engine_seq(apply.engine), last_of(&maker->blocks[i]));
        CHECK_EQUAL(apply.commands, last_of(&maker->blocks[i]));
        CHECK_EQUAL(engine_digest(apply.engine), maker->blocks[i].header.digest);
    }
    CHECK_EQUAL(engine_checksum(apply.engine), engine_checksum(maker->engine));
    CHECK(!apply.has_stopped);
    end(&apply);
    engine_destroy(maker->engine);
}

TEST(block_is_applied_up_to_a_seq_inside_of_it_and_goes_on_from_there)
{
    struct maker *maker = maker_run();
    struct apply apply;
    begin(&apply);
    for (unsigned i = 0; i < BLOCKS; i++) {
        const struct made_block *made = &maker->blocks[i];
        apply.seq_last = made->header.seq_first + test_random_below(made->header.command_count - 1);
        CHECK(apply_made(&apply, made));
        CHECK(apply.has_stopped);
        CHECK_EQUAL(engine_seq(apply.engine), apply.seq_last);
        apply.seq_last = 0;
        CHECK(apply_made(&apply, made));
        CHECK(!apply.has_stopped);
    }
    CHECK_EQUAL(apply.commands, engine_seq(maker->engine));
    CHECK_EQUAL(engine_checksum(apply.engine), engine_checksum(maker->engine));
    end(&apply);
    engine_destroy(maker->engine);
}

/* What the callbacks see of the engine. */
struct observed {
    const struct engine *engine;
    uint64_t seq_before;
    uint64_t count;
};

static void see_before(void *context, const struct command *command)
{
    struct observed *observed = context;
    CHECK(message_info(command->number) != NULL);
    observed->seq_before = engine_seq(observed->engine);
}

static void see_after(void *context, const struct command *command)
{
    struct observed *observed = context;
    CHECK(command->accepted);
    CHECK_EQUAL(engine_seq(observed->engine), observed->seq_before + 1);
    observed->count++;
}

TEST(commands_that_are_observed_are_decided_one_by_one)
{
    struct maker *maker = maker_run();
    struct apply apply;
    begin(&apply);
    struct observed observed = {.engine = apply.engine};
    apply.observe = see_before;
    apply.decided = see_after;
    apply.context = &observed;
    for (unsigned i = 0; i < BLOCKS; i++)
        CHECK(apply_made(&apply, &maker->blocks[i]));
    CHECK_EQUAL(observed.count, engine_seq(maker->engine));
    CHECK_EQUAL(apply.commands, observed.count);
    CHECK_EQUAL(engine_checksum(apply.engine), engine_checksum(maker->engine));
    end(&apply);
    engine_destroy(maker->engine);
}

TEST(block_is_applied_up_to_a_time_inside_of_it)
{
    struct maker *maker = maker_run();
    struct apply apply;
    begin(&apply);
    const struct made_block *made = &maker->blocks[0];
    apply.time_last_us = made->header.time_us;
    CHECK(apply_made(&apply, made));
    CHECK_EQUAL(apply.has_stopped, made->time_last_us > made->header.time_us);
    CHECK_EQUAL(engine_time_us(apply.engine), made->header.time_us);
    end(&apply);
    engine_destroy(maker->engine);
}

TEST(block_with_another_digest_is_refused_by_its_seqs)
{
    struct maker *maker = maker_run();
    struct apply apply;
    begin(&apply);
    maker->blocks[0].header.digest ^= 1;
    CHECK(!apply_made(&apply, &maker->blocks[0]));
    CHECK(strstr(apply.error, "seq 1 to ") != NULL && strstr(apply.error, "digest") != NULL);
    end(&apply);
    engine_destroy(maker->engine);
}

TEST(block_whose_command_is_rejected_is_refused_by_its_seq)
{
    struct maker *maker = maker_run();
    struct apply apply;
    struct made_block *made = &maker->blocks[0];
    struct column_writer columns = {made->ids, made->fields};
    struct stock_adjust_body add = {.key = {.low = 1}, .sku = 3, .delta = 5, .warehouse = 1};
    command_encode(MESSAGE_stock_adjust, &add, &columns); /* before there is a SKU */
    made->header.command_count = 1;
    made->header.ids_size = (uint32_t)(columns.ids - made->ids);
    made->header.fields_size = (uint32_t)(columns.fields - made->fields);
    begin(&apply);
    CHECK(!apply_made(&apply, made));
    CHECK(strncmp(apply.error, "seq 1: stock.adjust, accepted", 29) == 0);
    CHECK(strstr(apply.error, "NOT_FOUND") != NULL);
    end(&apply);
    engine_destroy(maker->engine);
}

TEST(block_that_says_another_count_is_refused)
{
    struct maker *maker = maker_run();
    for (int off = -1; off <= 1; off += 2) {
        struct apply apply;
        begin(&apply);
        struct made_block *made = &maker->blocks[0];
        made->header.command_count += (uint32_t)off;
        CHECK(!apply_made(&apply, made));
        CHECK(strstr(apply.error, "cannot be decoded") != NULL);
        made->header.command_count -= (uint32_t)off;
        end(&apply);
    }
    engine_destroy(maker->engine);
}
