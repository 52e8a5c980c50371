/* Byte cursors: every varint is read back from its shortest form, and a reader never reads outside
 * its bytes. */
#include "base/bytes.h"

#include "tests/test.h"

/* A number of random magnitude: short ones are as likely as long ones. */
static uint64_t random_magnitude(void)
{
    return test_random() >> test_random_below(64);
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static void check_varint(uint64_t value)
{
    uint8_t bytes[VARINT_SIZE_MAX];
    size_t size = (size_t)(write_varint(bytes, value) - bytes);
    CHECK_EQUAL(size, varint_size(value));
    struct reader reader = reader_init(bytes, size);
    CHECK_EQUAL(read_varint(&reader), value);
    CHECK(!reader.failed && reader.cursor == reader.end);
}

static void check_zigzag(int64_t value)
{
    uint8_t bytes[VARINT_SIZE_MAX];
    size_t size = (size_t)(write_zigzag(bytes, value) - bytes);
    struct reader reader = reader_init(bytes, size);
    CHECK_EQUAL(read_zigzag(&reader), value);
    CHECK(!reader.failed && reader.cursor == reader.end);
}

TEST(varints_of_every_length_come_back)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        uint64_t power = 1ULL << bits;
        check_varint(power);
        check_varint(power - 1);
        check_varint(power | test_random_below(power));
        check_varint(~power);
    }
    check_varint(UINT64_MAX);
    for (int i = 0; i < 10000; i++)
        check_varint(random_magnitude());
}

TEST(zigzag_varints_come_back_and_small_ones_stay_small)
{
    uint8_t bytes[VARINT_SIZE_MAX];
    check_zigzag(0);
    check_zigzag(INT64_MAX);
    check_zigzag(INT64_MIN);
    for (int i = 0; i < 10000; i++) {
        int64_t value = (int64_t)(random_magnitude() >> 1);
        check_zigzag(value);
        check_zigzag(-value);
    }
    CHECK_EQUAL(write_zigzag(bytes, -64) - bytes, 1);
    CHECK_EQUAL(write_zigzag(bytes, 63) - bytes, 1);
    CHECK_EQUAL(write_zigzag(bytes, 64) - bytes, 2);
}

TEST(truncated_varint_fails_and_yields_zero)
{
    for (int i = 0; i < 1000; i++) {
        uint8_t bytes[VARINT_SIZE_MAX];
        size_t size = (size_t)(write_varint(bytes, random_magnitude()) - bytes);
        for (size_t cut = 0; cut < size; cut++) {
            struct reader reader = reader_init(bytes, cut);
            CHECK_EQUAL(read_varint(&reader), 0);
            CHECK(reader.failed);
        }
    }
}

TEST(varint_beyond_64_bits_fails)
{
    uint8_t bytes[VARINT_SIZE_MAX + 1];
    memset(bytes, 0xff, sizeof bytes);
    for (unsigned last = 0; last < 0x100; last++) {
        bytes[VARINT_SIZE_MAX - 1] = (uint8_t)last;
        struct reader reader = reader_init(bytes, sizeof bytes);
        uint64_t value = read_varint(&reader);
        CHECK_EQUAL(reader.failed, last > 1);
        CHECK_EQUAL(value, last > 1 ? 0 : (uint64_t)last << 63 | UINT64_MAX >> 1);
    }
}

TEST(reader_gives_its_bytes_once_and_no_more)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5};
    struct reader reader = reader_init(bytes, sizeof bytes);
    CHECK(read_bytes(&reader, 2) == bytes);
    CHECK(read_bytes(&reader, 0) == bytes + 2);
    CHECK(read_bytes(&reader, 4) == NULL && reader.failed);
    CHECK(read_bytes(&reader, SIZE_MAX) == NULL);
    CHECK(read_bytes(&reader, 3) == bytes + 2);
    CHECK(read_bytes(&reader, 1) == NULL);
}

TEST(reader_stays_failed_when_it_can_read_on)
{
    static const uint8_t bytes[] = {7};
    struct reader reader = reader_init(bytes, sizeof bytes);
    CHECK(read_bytes(&reader, 2) == NULL);
    CHECK_EQUAL(read_varint(&reader), 7);
    CHECK(reader.failed);
}
