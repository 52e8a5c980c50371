/* The image's parts: what was written is read back, and anything that was changed is refused. */
#include "snapshot/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/schema.h"
#include "tests/test.h"

static void make_header(struct image_header *header, uint8_t bytes[IMAGE_HEADER_SIZE])
{
    *header = (struct image_header){
        .fixed = {.schema = 1,
                  .table_count = 2,
                  .scalar_count = 2,
                  .member_count = 3,
                  .seq = 77,
                  .digest = 5,
                  .epoch = 1},
        .scalars = {{.number = 1, .value = 11}, {.number = 4, .value = 22}},
        .tables = {{.number = 3, .record_size = 64, .count = 4, .capacity = 9, .member_count = 2},
                   {.number = 9,
                    .record_size = 128,
                    .count = 1,
                    .capacity = 2,
                    .member_first = 2,
                    .member_count = 1}},
        .members = {{.number = 1, .size = 8},
                    {.number = 7, .offset = 8, .size = 56},
                    {.number = 1, .size = 128}},
    };
    image_header_write(header, bytes);
}

/* As a later version of till would have written it. */
static void set_version(uint8_t bytes[IMAGE_HEADER_SIZE], uint32_t version)
{
    memcpy(bytes + offsetof(struct image_fixed, version), &version, sizeof version);
    uint64_t checksum = checksum64(bytes + 16, IMAGE_HEADER_SIZE - 16);
    memcpy(bytes + offsetof(struct image_fixed, checksum), &checksum, sizeof checksum);
}

TEST(image_header_comes_back_as_it_was)
{
    static struct image_header header, read;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    make_header(&header, bytes);
    CHECK_EQUAL(image_header_read(bytes, &read), IMAGE_FOUND);
    CHECK(memcmp(&header, &read, sizeof header) == 0);
}

TEST(image_header_with_any_bit_flipped_is_damaged)
{
    static struct image_header header, read;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    make_header(&header, bytes);
    for (uint32_t bit = 0; bit < 8 * IMAGE_HEADER_SIZE; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK_EQUAL(image_header_read(bytes, &read), IMAGE_DAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

TEST(image_of_a_newer_schema_is_told_from_damage)
{
    static struct image_header header, read;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    make_header(&header, bytes);
    header.fixed.schema = SCHEMA + 1;
    image_header_write(&header, bytes);
    CHECK_EQUAL(image_header_read(bytes, &read), IMAGE_NEWER);
    bytes[IMAGE_HEADER_SIZE - 1] ^= 1;
    CHECK_EQUAL(image_header_read(bytes, &read), IMAGE_DAMAGED);
}

TEST(image_of_a_newer_version_is_told_from_damage)
{
    static struct image_header header, read;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    make_header(&header, bytes);
    set_version(bytes, IMAGE_VERSION + 1);
    CHECK_EQUAL(image_header_read(bytes, &read), IMAGE_NEWER);
    set_version(bytes, 0);
    CHECK_EQUAL(image_header_read(bytes, &read), IMAGE_DAMAGED);
}

/* Rows that point outside the header or outside a record. */
TEST(image_header_whose_rows_contradict_each_other_is_damaged)
{
    static struct image_header header, read;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    for (unsigned i = 0; i < 5; i++) {
        make_header(&header, bytes);
        if (i == 0)
            header.members[1].size = 57;
        if (i == 1)
            header.members[2].size = 0;
        if (i == 2)
            header.tables[1].member_count = 2;
        if (i == 3)
            header.tables[0].member_first = UINT32_MAX;
        if (i == 4)
            header.tables[1].record_size = IMAGE_RECORD_SIZE_MAX + 1;
        image_header_write(&header, bytes);
        CHECK_EQUAL(image_header_read(bytes, &read), IMAGE_DAMAGED);
    }
}

enum { RECORDS_SIZE = 4096 };

static void fill(uint8_t *raw, bool compresses)
{
    for (uint32_t i = 0; i < RECORDS_SIZE; i++)
        raw[i] = compresses ? (uint8_t)(i / 64) : (uint8_t)test_random();
}

TEST(image_chunk_comes_back_whether_it_compresses_or_not)
{
    for (int compresses = 0; compresses < 2; compresses++) {
        static uint8_t raw[RECORDS_SIZE], records[RECORDS_SIZE], bytes[IMAGE_CHUNK_SIZE_MAX];
        struct image_chunk chunk = {.previous = 9,
                                    .number = 4,
                                    .table = 1,
                                    .first = 3,
                                    .count = 32,
                                    .raw_size = RECORDS_SIZE};
        struct image_chunk read;
        fill(raw, compresses == 1);
        uint32_t size = image_chunk_write(&chunk, raw, bytes);
        CHECK_EQUAL(size % 8, 0);
        CHECK_EQUAL(chunk.stored_size < chunk.raw_size, compresses == 1);
        CHECK(image_chunk_read(bytes, &read));
        CHECK(memcmp(&read, &chunk, sizeof chunk) == 0);
        CHECK_EQUAL(image_chunk_size(&read), size);
        CHECK(image_chunk_verify(&read, bytes));
        CHECK(image_chunk_unpack(&read, bytes, records));
        CHECK(memcmp(records, raw, sizeof raw) == 0);
    }
}

TEST(image_chunk_with_any_bit_flipped_is_not_believed)
{
    static uint8_t raw[RECORDS_SIZE], bytes[IMAGE_CHUNK_SIZE_MAX];
    struct image_chunk chunk = {.number = 1, .count = 32, .raw_size = RECORDS_SIZE};
    fill(raw, true);
    uint32_t size = image_chunk_write(&chunk, raw, bytes);
    for (uint32_t bit = 0; bit < 8 * size; bit++) {
        struct image_chunk read;
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK(!image_chunk_read(bytes, &read) || !image_chunk_verify(&read, bytes));
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

TEST(image_chunk_whose_sizes_are_beyond_bounds_is_not_read)
{
    uint8_t bytes[sizeof(struct image_chunk)];
    struct image_chunk read;
    struct image_chunk chunk = {.raw_size = IMAGE_RAW_SIZE_MAX + 1, .stored_size = 8};
    memcpy(bytes, &chunk, sizeof chunk);
    CHECK(!image_chunk_read(bytes, &read));
    chunk = (struct image_chunk){.raw_size = 8, .stored_size = 16};
    memcpy(bytes, &chunk, sizeof chunk);
    CHECK(!image_chunk_read(bytes, &read));
}

TEST(image_names_are_exact)
{
    char name[DISK_NAME_SIZE];
    image_name(42, name);
    CHECK(strcmp(name, "snapshot-00000000000000000042.till") == 0);
    CHECK_EQUAL(image_name_seq(name), 42);
    CHECK_EQUAL(image_name_seq("snapshot-42.till"), 0);
    CHECK_EQUAL(image_name_seq("snapshot-00000000000000000042.till.damaged"), 0);
    CHECK_EQUAL(image_name_seq("snapshot-00000000000000000042.till.partial"), 0);
    CHECK_EQUAL(image_name_seq("wal-0000000001.log"), 0);
}
