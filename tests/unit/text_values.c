/* Values of single fields, as people type them and as they are printed. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/options.h"
#include "cli/value.h"
#include "tests/test.h"

static bool read_text(unsigned type, const char *text, uint64_t now_us, void *field)
{
    return value_read(type, text, strlen(text), now_us, field);
}

static bool refuses(unsigned type, const char *text)
{
    uint64_t field[16] = {0};
    return !read_text(type, text, 1, field);
}

/* The field as it is written; valid until the next call. */
static const char *written(unsigned type, const void *field, enum value_form form)
{
    static char text[512];
    memset(text, 0, sizeof text);
    FILE *out = fmemopen(text, sizeof text, "w");
    value_write(out, form, type, field);
    fclose(out);
    return text;
}

static bool writes(unsigned type, uint64_t value, const char *text)
{
    return strcmp(written(type, &value, VALUE_TEXT), text) == 0;
}

static bool writes_name(const char *bytes, enum value_form form, const char *text)
{
    struct name name = {0};
    memcpy(name.bytes, bytes, strlen(bytes));
    return strcmp(written(FIELD_name, &name, form), text) == 0;
}

TEST(whole_numbers_are_taken_up_to_the_size_of_their_field)
{
    uint64_t value = 0;
    CHECK(read_text(FIELD_u16, "65535", 0, &value));
    CHECK_EQUAL(value, 65535);
    CHECK(refuses(FIELD_u16, "65536"));
    CHECK(read_text(FIELD_u64, "18446744073709551615", 0, &value));
    CHECK_EQUAL(value, UINT64_MAX);
    CHECK(refuses(FIELD_u64, "18446744073709551616"));
    CHECK(refuses(FIELD_u64, ""));
    CHECK(refuses(FIELD_u64, "1x"));
    CHECK(refuses(FIELD_u64, "-1"));
    CHECK(refuses(FIELD_quantity, " 1"));
}

TEST(signed_numbers_take_a_sign_and_every_value)
{
    int64_t value = 0;
    CHECK(read_text(FIELD_stock, "-9223372036854775808", 0, &value));
    CHECK(value == INT64_MIN);
    CHECK(read_text(FIELD_stock, "+5", 0, &value));
    CHECK_EQUAL(value, 5);
    CHECK(refuses(FIELD_stock, "9223372036854775808"));
    CHECK(refuses(FIELD_stock, "-9223372036854775809"));
    CHECK(refuses(FIELD_money, "19.99"));
    CHECK(refuses(FIELD_money, "-"));
    CHECK(writes(FIELD_money, (uint64_t)INT64_MIN, "-9223372036854775808"));
}

TEST(ids_are_numbers_or_uuids_and_never_zero)
{
    struct id id = {0, 0};
    CHECK(read_text(FIELD_id, "00112233-4455-6677-8899-aabbccddeeff", 0, &id));
    CHECK_EQUAL(id.high, 0x0011223344556677);
    CHECK(strcmp(written(FIELD_id, &id, VALUE_TEXT), "00112233-4455-6677-8899-aabbccddeeff") == 0);
    CHECK(read_text(FIELD_key, "42", 0, &id));
    CHECK(strcmp(written(FIELD_id, &id, VALUE_JSON), "\"42\"") == 0);
    CHECK(refuses(FIELD_id, "0"));
    CHECK(refuses(FIELD_key, "0"));
    CHECK(read_text(FIELD_key_or_none, "0", 0, &id));
    CHECK(strcmp(written(FIELD_key_or_none, &id, VALUE_TEXT), "0") == 0);
    CHECK(read_text(FIELD_key_or_none, "42", 0, &id));
    CHECK_EQUAL(id.low, 42);
    CHECK(refuses(FIELD_key_or_none, "0x"));
    CHECK(refuses(FIELD_key_or_none, ""));
}

TEST(times_are_microseconds_dates_clocks_and_from_now_on)
{
    uint64_t time_us = 0;
    CHECK(read_text(FIELD_time, "1700000000000000", 0, &time_us));
    CHECK_EQUAL(time_us, 1700000000000000);
    CHECK(read_text(FIELD_time, "2026-12-31", 0, &time_us));
    CHECK_EQUAL(time_us, 1798675200000000);
    CHECK(read_text(FIELD_time, "2026-12-31T10:20:30.25Z", 0, &time_us));
    CHECK_EQUAL(time_us, 1798712430250000);
    CHECK(read_text(FIELD_time, "2026-12-31T12:20:30.25+02:00", 0, &time_us));
    CHECK_EQUAL(time_us, 1798712430250000);
    CHECK(read_text(FIELD_time, "2026-12-31T08:50-01:30", 0, &time_us));
    CHECK_EQUAL(time_us, 1798712400000000);
    CHECK(read_text(FIELD_time, "+2h", 1000, &time_us));
    CHECK_EQUAL(time_us, 7200001000);
    CHECK(!read_text(FIELD_time, "+2h", 0, &time_us));
}

TEST(times_that_are_none_are_refused)
{
    static const char *const wrong[] = {
        "2026-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-01-32",
        "1969-12-31",
        "1970-01-01T00:00+01:00",
        "2026-01-01T24:00Z",
        "2026-01-01T10:00",
        "2026-01-01T10:00:60Z",
        "2026-01-01T10:00:00.",
        "2026-01-01T10:00Zx",
        "2026-01-01T10:00:00.1234567Z",
        "2026-1-1",
        "+5y",
        "+",
        "now",
        "+99999999999999d",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(refuses(FIELD_time, wrong[i]));
    CHECK(!refuses(FIELD_time, "2024-02-29"));
}

TEST(times_are_printed_so_that_they_read_back)
{
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t time_us = test_random_below(253402300800ULL * US_PER_SECOND);
        uint64_t read_back = 0;
        if (i % 2 == 0)
            time_us -= time_us % US_PER_SECOND;
        CHECK(read_text(FIELD_time, written(FIELD_time, &time_us, VALUE_TEXT), 0, &read_back));
        CHECK_EQUAL(read_back, time_us);
    }
    CHECK(writes(FIELD_time, 951782400000000, "2000-02-29T00:00:00Z"));
    CHECK(writes(FIELD_time, 0, "0"));
    CHECK(writes(FIELD_time, UINT64_MAX, "18446744073709551615"));
}

TEST(seconds_have_units)
{
    uint32_t seconds = 0;
    CHECK(read_text(FIELD_seconds, "90", 0, &seconds) && seconds == 90);
    CHECK(read_text(FIELD_seconds, "90s", 0, &seconds) && seconds == 90);
    CHECK(read_text(FIELD_seconds, "15m", 0, &seconds) && seconds == 900);
    CHECK(read_text(FIELD_seconds, "2H", 0, &seconds) && seconds == 7200);
    CHECK(refuses(FIELD_seconds, "m"));
    CHECK(refuses(FIELD_seconds, "5mm"));
    CHECK(refuses(FIELD_seconds, "4294967296"));
}

TEST(currencies_are_letters_or_numbers)
{
    uint16_t number = 0;
    CHECK(read_text(FIELD_currency, "eur", 0, &number) && number == 978);
    CHECK(read_text(FIELD_currency, "840", 0, &number) && number == 840);
    CHECK(refuses(FIELD_currency, "EURO"));
    CHECK(refuses(FIELD_currency, "XX1"));
    CHECK(writes(FIELD_currency, 392, "JPY"));
    CHECK(writes(FIELD_currency, 1, "1"));
}

TEST(named_values_go_by_name_in_either_case)
{
    uint64_t value = 0;
    CHECK(read_text(FIELD_allocation, "rank", 0, &value));
    CHECK_EQUAL(value, allocation_RANK);
    CHECK(read_text(FIELD_place_flags, "Partial+points_exact", 0, &value));
    CHECK_EQUAL(value, place_flags_PARTIAL | place_flags_POINTS_EXACT);
    CHECK(writes(FIELD_place_flags, value, "PARTIAL+POINTS_EXACT"));
    CHECK(writes(FIELD_order_state, order_state_FAILED, "FAILED"));
    CHECK(writes(FIELD_order_state, 99, "99"));
    CHECK(refuses(FIELD_allocation, "RANK+SINGLE"));
    CHECK(refuses(FIELD_allocation, "1"));
    CHECK(refuses(FIELD_place_flags, "PARTIAL+"));
    CHECK(refuses(FIELD_place_flags, ""));
    CHECK(value_is_required(FIELD_payment_status));
    CHECK(!value_is_required(FIELD_allocation));
    CHECK(!value_is_required(FIELD_place_flags));
}

TEST(names_fill_their_field_and_no_more)
{
    struct name name;
    CHECK(read_text(FIELD_name, "exactly thirty-two bytes of name", 0, &name));
    CHECK(memcmp(name.bytes, "exactly thirty-two bytes of name", NAME_SIZE) == 0);
    CHECK(refuses(FIELD_name, "one more than thirty-two bytes --"));
    CHECK(!value_read(FIELD_name, "a\0b", 3, 0, &name));
}

TEST(names_are_quoted_where_they_must_be)
{
    CHECK(writes_name("shirt", VALUE_TEXT, "shirt"));
    CHECK(writes_name("red shirt", VALUE_TEXT, "\"red shirt\""));
    CHECK(writes_name("9\" nails \\ #1", VALUE_TEXT, "\"9\\\" nails \\\\ #1\""));
    CHECK(writes_name("a\nb", VALUE_TEXT, "\"a\\x0ab\""));
    CHECK(writes_name("a\nb", VALUE_JSON, "\"a\\u000ab\""));
    CHECK(writes_name("", VALUE_JSON, "null"));
    CHECK(writes_name("caf\xc3\xa9", VALUE_JSON, "\"caf\xc3\xa9\""));
    CHECK(writes_name("caf\xe9", VALUE_JSON, "\"caf\\u00e9\""));
    CHECK(writes_name("\xc0\x80", VALUE_JSON, "\"\\u00c0\\u0080\""));
}

TEST(counts_have_suffixes_and_print_as_short_as_they_read)
{
    static const uint32_t samples[] = {1, 1000, 1023, 1024, 10u << 20, 1u << 30, UINT32_MAX};
    char text[COUNT_TEXT_SIZE];
    uint32_t count = 0;
    CHECK(count_parse("10m", &count) && count == 10u << 20);
    CHECK(count_parse("3K", &count) && count == 3072);
    CHECK(count_parse("0", &count) && count == 0);
    CHECK(!count_parse("4g", &count));
    CHECK(!count_parse("4294967296", &count));
    CHECK(!count_parse("1kk", &count));
    CHECK(!count_parse("k", &count));
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        CHECK(count_parse(count_format(samples[i], text), &count));
        CHECK_EQUAL(count, samples[i]);
    }
}
