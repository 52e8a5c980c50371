/* Ids as text: both forms are read back, and text in neither form is refused. */
#include "base/id.h"

#include <string.h>

#include "tests/test.h"

static bool parses(const char *text)
{
    struct id id;
    return id_parse(text, strlen(text), &id);
}

static void check_comes_back(struct id id)
{
    char text[ID_TEXT_SIZE];
    struct id parsed;
    CHECK(id_format(id, text) == text);
    CHECK(id_parse(text, strlen(text), &parsed));
    CHECK(id_equal(parsed, id));
}

TEST(ids_of_every_length_come_back_from_their_text)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        check_comes_back((struct id){.low = 1ULL << bits});
        check_comes_back((struct id){.low = UINT64_MAX >> bits});
        check_comes_back((struct id){.high = 1ULL << bits});
        check_comes_back((struct id){.low = test_random() >> bits, .high = test_random()});
        check_comes_back((struct id){.low = test_random(), .high = UINT64_MAX >> bits});
    }
}

TEST(ids_below_2_to_the_64_are_decimal_and_others_uuids)
{
    char text[ID_TEXT_SIZE];
    id_format((struct id){.low = UINT64_MAX}, text);
    CHECK(strcmp(text, "18446744073709551615") == 0);
    id_format((struct id){.high = 1}, text);
    CHECK(strcmp(text, "00000000-0000-0001-0000-000000000000") == 0);
    id_format((struct id){.high = 0x0123456789abcdef, .low = 0xfedcba9876543210}, text);
    CHECK(strcmp(text, "01234567-89ab-cdef-fedc-ba9876543210") == 0);
}

TEST(ids_are_read_in_either_case_with_and_without_dashes)
{
    static const char *const forms[] = {
        "01234567-89ab-cdef-fedc-ba9876543210",
        "01234567-89AB-CDEF-fedc-BA9876543210",
        "0123456789abcdeffedcba9876543210",
        "0123456789ABCDEFFEDCBA9876543210",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct id id;
        CHECK(id_parse(forms[i], strlen(forms[i]), &id));
        CHECK(id.high == 0x0123456789abcdef && id.low == 0xfedcba9876543210);
    }
}

TEST(text_that_is_no_id_is_refused)
{
    static const char *const texts[] = {
        "",
        "0",
        "00000000000000000000",
        "00000000000000000000000000000000",
        "00000000-0000-0000-0000-000000000000",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1x",
        "0x10",
        "18446744073709551616",
        "99999999999999999999",
        "000000000000000000001",
        "0123456789abcdeffedcba987654321",
        "0123456789abcdeffedcba98765432100",
        "0123456789abcdeffedcba987654321g",
        "01234567-89ab-cdef-fedc-ba987654321",
        "01234567-89ab-cdef-fedc_ba9876543210",
        "012345678-9ab-cdef-fedc-ba9876543210",
        "01234567-89ab-cdef-fedcba9876-543210",
        "01234567-89ab-cdef-fedc-ba987654321\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parses(texts[i]))
            test_fail(__FILE__, __LINE__, "\"%s\" is taken for an id", texts[i]);
    }
}

TEST(only_the_given_bytes_of_a_text_are_read)
{
    struct id id;
    CHECK(id_parse("1234", 2, &id));
    CHECK(id.low == 12 && id.high == 0);
}

TEST(zero_is_the_only_id_that_is_none)
{
    CHECK(id_is_zero((struct id){0}));
    CHECK(!id_is_zero((struct id){.low = 1}));
    CHECK(!id_is_zero((struct id){.high = 1}));
    CHECK(!id_equal((struct id){.low = 1}, (struct id){.high = 1}));
}
