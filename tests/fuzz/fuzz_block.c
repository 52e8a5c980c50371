/* The log's blocks, with any content that a disk may have. The input's first byte chooses one of
 * three ways:
 *
 *   bytes    the input is the block
 *   header   the same, but magic, version, sizes that fit and the checksum are put right, so that
 *            what stands behind the checks is reached
 *   sealed   the input is cut into two columns, which must come back from their sealed block; then
 *            the image is altered where the input's last bytes say, and put right again
 *
 * Everything that unpacks is decoded; everything that decodes must be the same after encoding and
 * decoding again. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "engine/codec.h"
#include "tests/fuzz/fuzz.h"
#include "wal/block.h"

enum { WAY_BYTES, WAY_HEADER, WAY_SEALED, WAYS };

/* Buffers of the one block under test; the image is the last, so that reads beyond it are
 * detected. */
struct bench {
    uint8_t ids_room[WAL_COLUMN_SIZE_MAX];
    uint8_t fields_room[WAL_COLUMN_SIZE_MAX];
    uint8_t ids_again[2 * FRAME_SIZE_MAX + 16];
    uint8_t fields_again[2 * FRAME_SIZE_MAX + 16];
    struct logged_command command;
    struct logged_command again;
    uint8_t image[WAL_BLOCK_SIZE_MAX];
};

static void check_settled(struct bench *bench)
{
    const struct logged_command *command = &bench->command;
    struct column_writer writer = {.ids = bench->ids_again, .fields = bench->fields_again};
    bool malformed = true;
    command_encode(command->number, command->body, &writer);
    struct column_reader reader = {
        .schema = SCHEMA,
        .ids = reader_init(bench->ids_again, (size_t)(writer.ids - bench->ids_again)),
        .fields = reader_init(bench->fields_again, (size_t)(writer.fields - bench->fields_again)),
        .time_us = command->time_us,
    };
    TILL_ASSERT(command_decode(&reader, &bench->again, &malformed));
    TILL_ASSERT(bench->again.number == command->number && bench->again.size == command->size);
    TILL_ASSERT(memcmp(bench->again.body, command->body, command->size) == 0);
    TILL_ASSERT(!command_decode(&reader, &bench->again, &malformed) && !malformed);
}

static void decode(struct bench *bench, const struct wal_block *block, const uint8_t *ids,
                   const uint8_t *fields)
{
    struct column_reader reader = {.schema = SCHEMA,
                                   .ids = reader_init(ids, block->ids_size),
                                   .fields = reader_init(fields, block->fields_size),
                                   .time_us = block->time_us};
    bool malformed = false;
    while (command_decode(&reader, &bench->command, &malformed)) {
        TILL_ASSERT(bench->command.time_us <= TIME_US_MAX);
        check_settled(bench);
    }
}

static void open_image(struct bench *bench, size_t size)
{
    struct wal_block block;
    const uint8_t *ids;
    const uint8_t *fields;
    if (!wal_block_read(bench->image, &block) || block.block_size > size)
        return;
    if (wal_block_verify(&block, bench->image) &&
        wal_block_unpack(&block, bench->image, bench->ids_room, bench->fields_room, &ids, &fields))
        decode(bench, &block, ids, fields);
}

/* Makes the header valid; the payload stays. */
static void put_right(struct bench *bench)
{
    struct wal_block block;
    memcpy(&block, bench->image, sizeof block);
    block.magic = WAL_BLOCK_MAGIC;
    block.version = WAL_BLOCK_VERSION;
    block.schema = block.schema % SCHEMA + SCHEMA_FIRST;
    block.ids_size %= WAL_COLUMN_SIZE_MAX + 1;
    block.fields_size %= WAL_COLUMN_SIZE_MAX + 1;
    block.ids_stored %= block.ids_size + 1;
    block.fields_stored %= block.fields_size + 1;
    uint32_t end = (uint32_t)sizeof block + block.ids_stored + block.fields_stored;
    block.block_size = (end + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
    bool is_empty = block.command_count == 0 && block.ids_size == 0 && block.fields_size == 0;
    block.command_count = block.command_count == 0 && !is_empty ? 1 : block.command_count;
    block.seq_first = block.seq_first % (UINT64_MAX / 2) + 1;
    block.seq_durable = is_empty ? block.seq_first - 1 : block.seq_durable % block.seq_first;
    block.time_us %= TIME_US_MAX + 1;
    memcpy(bench->image, &block, sizeof block);
    size_t from = offsetof(struct wal_block, previous);
    block.checksum = checksum64(bench->image + from, block.block_size - from);
    memcpy(bench->image, &block, sizeof block);
    TILL_ASSERT(wal_block_read(bench->image, &block) && wal_block_verify(&block, bench->image));
}

static void seal(struct bench *bench, struct input input)
{
    static struct wal_packer packer;
    uint8_t columns[2 * 4096];
    struct wal_block block = {.seq_first = 1, .command_count = 1};
    const uint8_t *ids;
    const uint8_t *fields;
    uint32_t size = 0;
    packer = (struct wal_packer){0};
    block.ids_size = input_byte(&input) * 16u;
    /* Each byte of the input becomes four bytes of a column, so that there is something to
     * compress. */
    for (; input_left(&input) > 4 && size + 4 <= sizeof columns; size += 4)
        memset(columns + size, input_byte(&input), 1 + input.cursor[0] % 4);
    block.ids_size = block.ids_size > size ? size : block.ids_size;
    block.fields_size = size - block.ids_size;
    wal_block_seal(&packer, &block, columns, columns + block.ids_size, bench->image);
    TILL_ASSERT(wal_block_read(bench->image, &block) && wal_block_verify(&block, bench->image));
    TILL_ASSERT(
        wal_block_unpack(&block, bench->image, bench->ids_room, bench->fields_room, &ids, &fields));
    TILL_ASSERT(memcmp(ids, columns, block.ids_size) == 0);
    TILL_ASSERT(memcmp(fields, columns + block.ids_size, block.fields_size) == 0);
    decode(bench, &block, ids, fields);
    uint32_t place = (uint32_t)input_byte(&input) << 8 | input_byte(&input);
    bench->image[place % block.block_size] ^= input_byte(&input);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct bench *bench;
    if (bench == NULL)
        bench = malloc(sizeof *bench);
    struct input input = input_init(bytes, size);
    int way = input_byte(&input) % WAYS;
    size_t length =
        input_left(&input) < WAL_BLOCK_SIZE_MAX ? input_left(&input) : WAL_BLOCK_SIZE_MAX;
    memset(bench->image, 0, sizeof bench->image);
    if (way == WAY_SEALED)
        seal(bench, input);
    else if (length > 0)
        memcpy(bench->image, input.cursor, length);
    if (way != WAY_BYTES)
        put_right(bench);
    open_image(bench, WAL_BLOCK_SIZE_MAX);
    return 0;
}
