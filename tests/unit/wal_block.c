/* Blocks as bytes: a sealed block is read back, and no other bytes are accepted as a block. */
#include "wal/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/schema.h"
#include "tests/test.h"

/* A block with columns of given sizes, and the result of reading it back. */
struct sealed {
    struct wal_packer packer;
    struct wal_block block;
    uint8_t ids[WAL_COLUMN_SIZE_MAX];
    uint8_t fields[WAL_COLUMN_SIZE_MAX];
    uint8_t ids_room[WAL_COLUMN_SIZE_MAX];
    uint8_t fields_room[WAL_COLUMN_SIZE_MAX];
    uint8_t image[WAL_BLOCK_SIZE_MAX];
};

static struct sealed *sealed_create(void)
{
    struct sealed *sealed = calloc(1, sizeof *sealed);
    CHECK(sealed != NULL);
    return sealed;
}

static void seal(struct sealed *sealed, uint32_t ids_size, uint32_t fields_size)
{
    sealed->block = (struct wal_block){
        .previous = test_random(),
        .epoch = 3,
        .seq_first = 10,
        .seq_durable = 9,
        .time_us = 77,
        .digest = test_random(),
        .command_count = 5,
        .ids_size = ids_size,
        .fields_size = fields_size,
    };
    wal_block_seal(&sealed->packer, &sealed->block, sealed->ids, sealed->fields, sealed->image);
}

static void noise_fill(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)test_random();
}

static bool is_whole(const uint8_t *bytes, size_t size)
{
    struct wal_block block;
    return wal_block_read(bytes, &block) && block.block_size <= size &&
           wal_block_verify(&block, bytes);
}

static void check_comes_back(struct sealed *sealed)
{
    struct wal_block block;
    const uint8_t *ids;
    const uint8_t *fields;
    CHECK(wal_block_read(sealed->image, &block));
    CHECK(memcmp(&block, &sealed->block, sizeof block) == 0);
    CHECK(wal_block_verify(&block, sealed->image));
    CHECK_EQUAL(block.schema, SCHEMA);
    CHECK(wal_block_unpack(&block, sealed->image, sealed->ids_room, sealed->fields_room, &ids,
                           &fields));
    CHECK(memcmp(ids, sealed->ids, block.ids_size) == 0);
    CHECK(memcmp(fields, sealed->fields, block.fields_size) == 0);
    uint32_t payload_end = (uint32_t)sizeof block + block.ids_stored + block.fields_stored;
    for (uint32_t i = payload_end; i < block.block_size; i++)
        CHECK(sealed->image[i] == 0);
    CHECK(block.block_size % WAL_ALIGN == 0 && block.block_size <= WAL_BLOCK_SIZE_MAX);
}

TEST(block_of_any_size_comes_back_from_its_image)
{
    struct sealed *sealed = sealed_create();
    for (int round = 0; round < 200; round++) {
        uint32_t ids_size = (uint32_t)test_random_below(WAL_COLUMN_SIZE_MAX + 1) >> round % 16;
        uint32_t fields_size = (uint32_t)test_random_below(WAL_COLUMN_SIZE_MAX + 1) >> round % 13;
        noise_fill(sealed->ids, ids_size);
        memset(sealed->fields, round, fields_size);
        noise_fill(sealed->fields, fields_size / (1 + test_random_below(5)));
        seal(sealed, ids_size, fields_size);
        check_comes_back(sealed);
    }
    free(sealed);
}

TEST(full_columns_that_do_not_compress_fit_a_block)
{
    struct sealed *sealed = sealed_create();
    noise_fill(sealed->ids, WAL_COLUMN_SIZE_MAX);
    noise_fill(sealed->fields, WAL_COLUMN_SIZE_MAX);
    seal(sealed, WAL_COLUMN_SIZE_MAX, WAL_COLUMN_SIZE_MAX);
    check_comes_back(sealed);
    CHECK_EQUAL(sealed->block.block_size, WAL_BLOCK_SIZE_MAX);
    free(sealed);
}

TEST(column_that_compresses_is_stored_smaller_and_noise_is_stored_raw)
{
    struct sealed *sealed = sealed_create();
    noise_fill(sealed->ids, 16384);
    seal(sealed, 16384, 16384);
    CHECK_EQUAL(sealed->block.ids_stored, 16384);
    CHECK(sealed->block.fields_stored < 1024);
    CHECK_EQUAL(sealed->block.block_size, 5 * WAL_ALIGN);
    free(sealed);
}

TEST(column_that_begins_to_compress_is_found_out_soon)
{
    struct sealed *sealed = sealed_create();
    noise_fill(sealed->ids, 16384);
    for (int i = 0; i < 500; i++)
        seal(sealed, 16384, 0);
    memset(sealed->ids, 0, 16384);
    int raw_count = 0;
    do
        seal(sealed, 16384, 0);
    while (sealed->block.ids_stored == 16384 && ++raw_count < 1000);
    CHECK(raw_count < 64);
    seal(sealed, 16384, 0);
    CHECK(sealed->block.ids_stored < 16384);
    free(sealed);
}

TEST(flipped_bit_anywhere_in_a_block_is_found)
{
    struct sealed *sealed = sealed_create();
    noise_fill(sealed->ids, 4000);
    noise_fill(sealed->fields, 3000);
    seal(sealed, 4000, 6000);
    uint32_t payload_end =
        (uint32_t)sizeof sealed->block + sealed->block.ids_stored + sealed->block.fields_stored;
    CHECK(payload_end < sealed->block.block_size);
    for (uint32_t i = 0; i < sealed->block.block_size; i++) {
        uint8_t bit = (uint8_t)(1 << test_random_below(8));
        sealed->image[i] ^= bit;
        if (is_whole(sealed->image, sizeof sealed->image))
            test_fail(__FILE__, __LINE__, "a flip at byte %u was not found", i);
        sealed->image[i] ^= bit;
    }
    CHECK(is_whole(sealed->image, sizeof sealed->image));
    free(sealed);
}

/* Sizes and counts of any value are either refused or bounded; with the checksum made to fit, the
 * content decompresses or is refused, and no memory outside is accessed (run with sanitizers). */
TEST(forged_headers_and_content_never_lead_outside)
{
    struct sealed *sealed = sealed_create();
    uint8_t *bytes = aligned_alloc(WAL_ALIGN, WAL_BLOCK_SIZE_MAX);
    CHECK(bytes != NULL);
    memset(sealed->ids, 1, 30000);
    noise_fill(sealed->ids, 3000);
    seal(sealed, 30000, 20000);
    for (int round = 0; round < 20000; round++) {
        struct wal_block block;
        memcpy(bytes, sealed->image, sealed->block.block_size);
        for (uint64_t i = test_random_below(4); i > 0; i--) {
            uint64_t at = 64 + test_random_below(i % 2 ? 32 : sealed->block.block_size - 64);
            bytes[at] = (uint8_t)(test_random() >> test_random_below(64));
        }
        if (!wal_block_read(bytes, &block) || block.block_size > sealed->block.block_size)
            continue;
        const uint8_t *ids;
        const uint8_t *fields;
        (void)wal_block_verify(&block, bytes);
        (void)wal_block_unpack(&block, bytes, sealed->ids_room, sealed->fields_room, &ids, &fields);
    }
    free(bytes);
    free(sealed);
}
