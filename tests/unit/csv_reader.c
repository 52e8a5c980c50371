/* Comma-separated values, well-formed and not. */
#include <stdlib.h>
#include <string.h>

#include "cli/csv.h"
#include "tests/test.h"

static struct csv_reader reader;
static struct csv_record record;
static char bytes[4096];

static void open_text(const char *text)
{
    strcpy(bytes, text);
    csv_init(&reader, bytes, strlen(bytes));
}

static bool field_is(uint32_t index, const char *text)
{
    const struct csv_field *field = &record.fields[index];
    return index < record.field_count && field->size == strlen(text) &&
           memcmp(field->bytes, text, field->size) == 0;
}

/* The next record is on this line and has these fields; NULL for a field that is not there. */
static bool next_is(uint64_t line, const char *first, const char *second)
{
    return csv_next(&reader, &record) == CSV_RECORD && record.line == line &&
           record.field_count == (second != NULL ? 2u : 1u) && field_is(0, first) &&
           (second == NULL || field_is(1, second));
}

TEST(records_end_at_either_kind_of_line_end_or_the_files_end)
{
    open_text("a,b\nc,d\r\ne,f");
    CHECK(next_is(1, "a", "b"));
    CHECK(next_is(2, "c", "d"));
    CHECK(next_is(3, "e", "f"));
    CHECK(csv_next(&reader, &record) == CSV_END);
    CHECK(csv_next(&reader, &record) == CSV_END);
}

TEST(quoted_fields_hold_commas_quotes_and_line_ends)
{
    open_text("\"a,b\",\"say \"\"hi\"\"\"\n\"two\nlines\",\"\"\nx,y\n");
    CHECK(next_is(1, "a,b", "say \"hi\""));
    CHECK(next_is(2, "two\nlines", ""));
    CHECK(next_is(4, "x", "y"));
}

TEST(a_byte_order_mark_and_empty_lines_are_skipped)
{
    open_text("\xef\xbb\xbf\n\r\nsku,name\n\n\na,b");
    CHECK(next_is(3, "sku", "name"));
    CHECK(next_is(6, "a", "b"));
}

TEST(empty_fields_are_fields)
{
    open_text(",\na,\n,b\n");
    CHECK(next_is(1, "", ""));
    CHECK(next_is(2, "a", ""));
    CHECK(next_is(3, "", "b"));
}

TEST(a_quote_that_is_not_closed_costs_one_line)
{
    open_text("a,\"b\nc,d\n");
    CHECK(csv_next(&reader, &record) == CSV_MALFORMED);
    CHECK_EQUAL(record.line, 1);
    CHECK(next_is(2, "c", "d"));
}

TEST(a_quote_that_is_closed_lines_later_by_mistake_costs_one_line)
{
    open_text("a,\"b\nc,\"d\"\ne,f\n");
    CHECK(csv_next(&reader, &record) == CSV_MALFORMED);
    CHECK(next_is(2, "c", "d"));
    CHECK(next_is(3, "e", "f"));
}

TEST(a_quote_inside_a_plain_field_is_malformed)
{
    open_text("a\"b,c\nd,e\n");
    CHECK(csv_next(&reader, &record) == CSV_MALFORMED);
    CHECK(next_is(2, "d", "e"));
}

TEST(more_fields_than_fit_are_malformed)
{
    char text[256] = "";
    for (unsigned i = 0; i < CSV_FIELDS_MAX; i++)
        strcat(text, "x,");
    strcat(text, "x\na,b");
    open_text(text);
    CHECK(csv_next(&reader, &record) == CSV_MALFORMED);
    CHECK(next_is(2, "a", "b"));
}

TEST(an_empty_file_has_no_records)
{
    open_text("");
    CHECK(csv_next(&reader, &record) == CSV_END);
}

TEST(random_bytes_are_read_to_their_end)
{
    static const char alphabet[] = "a,\"\n\r\xef";
    for (unsigned round = 0; round < 5000; round++) {
        size_t size = test_random_below(60);
        char *text = malloc(size + 1); /* exact, so that a sanitizer sees every access outside */
        CHECK(text != NULL);
        for (size_t i = 0; i < size; i++)
            text[i] = alphabet[test_random_below(sizeof alphabet - 1)];
        csv_init(&reader, text, size);
        unsigned records = 0;
        while (csv_next(&reader, &record) != CSV_END)
            records++;
        CHECK(records <= size);
        CHECK(reader.cursor == reader.end);
        free(text);
    }
}
