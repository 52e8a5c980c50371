/* First pass over a record: find its fields without writing anything. If it is malformed, the bytes
 * are unchanged and reading continues after its first line, so a quote that is never closed costs
 * one line and not the rest of the file. Second pass: unquote the fields in place, which only makes
 * them shorter. */
#include "cli/csv.h"

#include <string.h>

void csv_init(struct csv_reader *reader, char *bytes, size_t size)
{
    static const char byte_order_mark[] = {'\xef', '\xbb', '\xbf'};
    *reader = (struct csv_reader){.cursor = bytes, .end = bytes + size, .line = 1};
    if (size >= sizeof byte_order_mark &&
        memcmp(bytes, byte_order_mark, sizeof byte_order_mark) == 0)
        reader->cursor += sizeof byte_order_mark;
}

/* The size of the line end at cursor; 0 when there is none. */
static size_t line_end_size(const char *cursor, const char *end)
{
    if (cursor < end && *cursor == '\n')
        return 1;
    if (end - cursor >= 2 && cursor[0] == '\r' && cursor[1] == '\n')
        return 2;
    return 0;
}

static void skip_line(struct csv_reader *reader)
{
    char *newline = memchr(reader->cursor, '\n', (size_t)(reader->end - reader->cursor));
    reader->cursor = newline != NULL ? newline + 1 : reader->end;
    reader->line++;
}

/* The end of the field at cursor, quotes included; NULL, with *error, when it is malformed. */
static char *field_end(char *cursor, char *end, const char **error)
{
    if (cursor == end || *cursor != '"') {
        while (cursor < end && *cursor != ',' && line_end_size(cursor, end) == 0) {
            if (*cursor == '"') {
                *error = "a quote inside a field that does not start with one";
                return NULL;
            }
            cursor++;
        }
        return cursor;
    }
    for (cursor++; cursor < end; cursor++) {
        if (*cursor != '"')
            continue;
        if (cursor + 1 < end && cursor[1] == '"') {
            cursor++;
            continue;
        }
        cursor++;
        if (cursor == end || *cursor == ',' || line_end_size(cursor, end) > 0)
            return cursor;
        *error = "text after the closing quote of a field";
        return NULL;
    }
    *error = "a quote that is not closed";
    return NULL;
}

/* Removes the quotes around a field and halves those inside. */
static struct csv_field unquote(struct csv_field field)
{
    if (field.size < 2 || field.bytes[0] != '"')
        return field;
    char *to = field.bytes;
    const char *from = field.bytes + 1;
    const char *end = field.bytes + field.size - 1;
    for (; from < end; from++) {
        *to++ = *from;
        if (*from == '"')
            from++;
    }
    return (struct csv_field){field.bytes, (size_t)(to - field.bytes)};
}

static enum csv_read malformed(struct csv_reader *reader, const char *error)
{
    reader->error = error;
    skip_line(reader);
    return CSV_MALFORMED;
}

enum csv_read csv_next(struct csv_reader *reader, struct csv_record *record)
{
    while (line_end_size(reader->cursor, reader->end) > 0)
        skip_line(reader);
    record->field_count = 0;
    record->line = reader->line;
    if (reader->cursor == reader->end)
        return CSV_END;
    char *cursor = reader->cursor;
    for (;;) {
        const char *error = NULL;
        char *end = field_end(cursor, reader->end, &error);
        if (end == NULL)
            return malformed(reader, error);
        if (record->field_count == CSV_FIELDS_MAX)
            return malformed(reader, "more than 32 fields");
        record->fields[record->field_count++] = (struct csv_field){cursor, (size_t)(end - cursor)};
        cursor = end;
        if (cursor == reader->end || *cursor != ',')
            break;
        cursor++;
    }
    for (const char *c = reader->cursor; c < cursor; c++)
        reader->line += *c == '\n';
    reader->line++;
    reader->cursor = cursor + line_end_size(cursor, reader->end);
    for (uint32_t i = 0; i < record->field_count; i++)
        record->fields[i] = unquote(record->fields[i]);
    return CSV_RECORD;
}
