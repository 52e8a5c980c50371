/* The logs, engines and frames of the tests of links. Real blocks come from wal_block_seal, and an
 * engine gets its history by deciding the commands that a log of these epochs would have. */
#include "tests/unit/link_support.h"

#include <string.h>

#include "base/checksum.h"
#include "tests/test.h"

uint64_t chain_seq(const struct chain *chain)
{
    return chain->count > 0 ? chain->blocks[chain->count - 1].seq_last : 0;
}

uint64_t chain_epoch(const struct chain *chain)
{
    return chain->count > 0 ? chain->blocks[chain->count - 1].epoch : 0;
}

uint64_t chain_checksum(const struct chain *chain)
{
    return chain->count > 0 ? chain->blocks[chain->count - 1].checksum : 0;
}

void chain_add(struct chain *chain, uint64_t epoch, uint32_t changes)
{
    CHECK(chain->count < CHAIN_BLOCKS_MAX);
    struct chain_block block = {.epoch = epoch,
                                .seq_last = chain_seq(chain) + changes,
                                .checksum = mix64(chain_checksum(chain), test_random()) | 1};
    chain->blocks[chain->count++] = block;
}

uint32_t chain_add_block(struct chain *chain, uint64_t epoch, uint32_t changes, uint32_t columns,
                         uint8_t *image)
{
    static uint8_t bytes[WAL_COLUMN_SIZE_MAX];
    struct wal_packer packer = {{0}, {0}};
    uint32_t half = columns / 2 < WAL_COLUMN_SIZE_MAX ? columns / 2 : WAL_COLUMN_SIZE_MAX;
    struct wal_block block = {.previous = chain_checksum(chain),
                              .epoch = epoch,
                              .seq_first = chain_seq(chain) + 1,
                              .seq_durable = chain_seq(chain),
                              .time_us = US_PER_SECOND,
                              .digest = test_random(),
                              .command_count = changes,
                              .ids_size = changes > 0 ? half : 0,
                              .fields_size = changes > 0 ? half : 0};
    for (uint32_t i = 0; i < half; i++)
        bytes[i] = (uint8_t)test_random();
    wal_block_seal(&packer, &block, bytes, bytes, image);
    chain_add(chain, epoch, changes);
    chain->blocks[chain->count - 1].checksum = block.checksum;
    return block.block_size;
}

void block_mend(uint8_t *image)
{
    struct wal_block block;
    memcpy(&block, image, sizeof block);
    size_t start = offsetof(struct wal_block, previous);
    block.checksum = checksum64(image + start, block.block_size - start);
    memcpy(image, &block, sizeof block);
}

uint32_t greeting_of(const struct link_self *self, uint8_t *bytes)
{
    struct hello_reply_body body = {.seq = self->seq,
                                    .time = 1,
                                    .epoch = self->epoch,
                                    .frame_size_max = FRAME_SIZE_MAX,
                                    .in_flight_max = FRAME_IN_FLIGHT_MAX,
                                    .version = PROTOCOL_VERSION,
                                    .role = server_role_PRIMARY,
                                    .shop = self->shop};
    return frame_of(bytes, MESSAGE_hello | FRAME_REPLY, LINK_REQUEST_HELLO, &body, sizeof body);
}

uint32_t frame_of(uint8_t *bytes, unsigned type, uint32_t request, const void *body, uint32_t size)
{
    struct frame frame = {
        .size = (uint32_t)sizeof frame + size, .type = (uint16_t)type, .request = request};
    memcpy(bytes, &frame, sizeof frame);
    memcpy(bytes + sizeof frame, body, size);
    return frame.size;
}

void check_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", text, part);
}

static struct engine_options small_options(void)
{
    struct engine_options options = engine_options_default;
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    uint32_t records = CHAIN_TABLE_RECORDS;
    for (size_t i = 0; i < count; i++)
        memcpy((uint8_t *)&options + capacities[i].offset, &records, sizeof records);
    return options;
}

struct engine *engine_of(enum capacity_number number, uint32_t records)
{
    char error[256];
    struct engine_options options = small_options();
    memcpy((uint8_t *)&options + capacity_info(number)->offset, &records, sizeof records);
    struct engine *engine = engine_create(&options, error, sizeof error);
    if (engine == NULL)
        test_fail(__FILE__, __LINE__, "%s", error);
    return engine;
}

static void decide(struct engine *engine, uint16_t number, const void *body, uint32_t size)
{
    struct command command = {.body = body, .size = size, .number = number};
    engine_decide(engine, US_PER_SECOND, &command, 1);
    CHECK(command.accepted);
}

static bool chain_ends_empty(const struct chain *chain)
{
    uint64_t before = chain->count > 1 ? chain->blocks[chain->count - 2].seq_last : 0;
    return chain->count > 0 && chain_seq(chain) == before;
}

struct engine *chain_engine(const struct chain *chain)
{
    struct engine *engine = engine_of(CAPACITY_skus, CHAIN_TABLE_RECORDS);
    uint64_t epoch = 1;
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct chain_block *block = &chain->blocks[i];
        if (block->seq_last == engine_seq(engine))
            continue; /* it has no change */
        if (block->epoch > epoch) {
            struct epoch_begin_body begin = {.epoch = block->epoch,
                                             .previous = i > 0 ? block[-1].checksum : 0};
            decide(engine, MESSAGE_epoch_begin, &begin, sizeof begin);
        }
        epoch = block->epoch;
        while (engine_seq(engine) < block->seq_last) {
            struct sku_put_body sku = {
                .sku = 1, .price = 1 + (int64_t)engine_seq(engine), .currency = 978};
            decide(engine, MESSAGE_sku_put, &sku, sizeof sku);
        }
    }
    CHECK_EQUAL(engine_seq(engine), chain_seq(chain));
    return engine;
}

struct link_self chain_self(const struct chain *chain, const struct engine *engine)
{
    return (struct link_self){
        .shop = SHOP,
        .member = MEMBER,
        .name = {{"house"}},
        .address = {{"10.0.0.1:7411"}},
        .epoch = chain_epoch(chain),
        .epoch_sealed = chain_epoch(chain),
        .seq = chain_seq(chain),
        .checksum = chain_checksum(chain),
        .ends_empty = chain_ends_empty(chain),
        .age_us = 1234567,
        .acks = 1,
        .members = 3,
        .engine = engine,
    };
}

struct replica_join_body join_of(const struct link_self *self)
{
    return (struct replica_join_body){
        .shop = self->shop,
        .member = {.low = self->member.low + 1, .high = 81},
        .name = {{"annex"}},
        .address = {{"10.0.0.2:7411"}},
        .epoch = self->epoch,
        .epoch_sealed = self->epoch_sealed,
        .seq = self->seq,
        .checksum = self->checksum,
        .schema = SCHEMA,
        .version = WAL_BLOCK_VERSION,
    };
}

uint16_t capacities_of(const struct engine *engine, struct capacity_body rows[TABLES_MAX])
{
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    for (size_t i = 0; i < count; i++) {
        struct table_fill fill = engine_table_fill(engine, capacities[i].number);
        rows[i] = (struct capacity_body){.number = capacities[i].number,
                                         .records = (uint32_t)fill.capacity};
    }
    return (uint16_t)count;
}
