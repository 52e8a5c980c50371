/* A file is read whole: the keys of its rows are made of all of its content, and a reader that
 * works in place needs no buffers. Every message names the line, the column and what was expected
 * there; what is quoted of the file is short and printable. */
#include "cli/load_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/value.h"

enum { READ_SIZE_MIN = 64 * 1024, QUOTED_SIZE_MAX = 48, QUOTED_TEXT_SIZE = QUOTED_SIZE_MAX + 8 };

enum {
    IN_ADD = 1 << LOAD_ADD,
    IN_SET = 1 << LOAD_SET,
    IN_STOCK = IN_ADD | IN_SET,
    IN_POINTS = 1 << LOAD_POINTS,
    IN_ANY = IN_STOCK | IN_POINTS,
};

struct load_column {
    const char *name;
    unsigned kinds; /* IN_* */
    unsigned type;
    size_t offset;
    uint64_t value_min; /* of a number; value_max 0: whatever the type takes */
    uint64_t value_max;
    bool optional;
    const char *expected; /* for the message about a bad one */
};

#define COLUMN_AT(member) offsetof(struct load_row, member)
static const struct load_column columns[] = {
    {"sku", IN_STOCK, FIELD_sku, COLUMN_AT(sku), 1, UINT64_MAX, false, "a number above zero"},
    {"name", IN_STOCK, FIELD_name, COLUMN_AT(name), 0, 0, true, "at most 32 bytes"},
    {"price", IN_STOCK, FIELD_money, COLUMN_AT(price), 0, PRICE_MAX, false,
     "whole minor units (1999 for 19.99), at most 10^15"},
    {"currency", IN_STOCK, FIELD_currency, COLUMN_AT(currency), 1, CURRENCY_MAX, false,
     "letters or number of ISO 4217"},
    {"warehouse", IN_STOCK, FIELD_warehouse, COLUMN_AT(warehouse), 1, UINT32_MAX, false,
     "a number from 1 to 4294967295"},
    {"quantity", IN_ADD, FIELD_stock, COLUMN_AT(units), 0, QUANTITY_MAX, false,
     "a number from 0 to 10^12"},
    {"on_hand", IN_SET, FIELD_stock, COLUMN_AT(units), 0, QUANTITY_MAX, false,
     "a number from 0 to 10^12"},
    {"customer", IN_POINTS, FIELD_id, COLUMN_AT(customer), 0, 0, false,
     "a number above zero, a UUID, or 32 hexadecimal digits"},
    {"points", IN_POINTS, FIELD_points, COLUMN_AT(points), 1, POINTS_MAX, false,
     "a number from 1 to 10^15"},
    {"expires", IN_POINTS, FIELD_time, COLUMN_AT(expires), 0, 0, true,
     "2026-12-31, 2026-12-31T10:00:00Z, or microseconds since 1970"},
};

enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

static const char columns_expected[] =
    "those of stock (sku,name,price,currency,warehouse and quantity or on_hand) or of points "
    "(customer,points,expires), between commas";

void load_input_deinit(struct load_input *input)
{
    free(input->kept);
    input->kept = NULL;
}

/* A field as a message quotes it: short, without control characters. */
static const char *quoted(const struct csv_field *field, char text[QUOTED_TEXT_SIZE])
{
    size_t size = field->size < QUOTED_SIZE_MAX ? field->size : QUOTED_SIZE_MAX;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)field->bytes[i];
        text[i] = (char)(byte < ' ' || byte == 0x7f ? '?' : byte);
    }
    strcpy(text + size, field->size > size ? "..." : "");
    return text;
}

/* Everything that can be read from fd; NULL when it fails (errno), and the caller frees it. */
static char *read_all(int fd, size_t size_expected, size_t *size)
{
    size_t capacity = size_expected > READ_SIZE_MIN ? size_expected + 1 : READ_SIZE_MIN;
    char *bytes = malloc(capacity);
    *size = 0;
    while (bytes != NULL) {
        ssize_t count = read(fd, bytes + *size, capacity - *size);
        if (count == 0)
            return bytes;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            break;
        *size += (size_t)count;
        if (*size < capacity)
            continue;
        char *grown = realloc(bytes, 2 * capacity);
        if (grown == NULL)
            break;
        bytes = grown;
        capacity *= 2;
    }
    free(bytes);
    return NULL;
}

/* The content of an input, to be freed by the caller; NULL when it cannot be read (errno). */
static char *read_input(struct load_input *input, size_t *size)
{
    struct stat stat;
    bool is_standard = strcmp(input->path, "-") == 0;
    if (input->kept == NULL) {
        int fd = is_standard ? STDIN_FILENO : open(input->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return NULL;
        bool is_regular = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
        char *bytes = read_all(fd, is_regular ? (size_t)stat.st_size : 0, size);
        int error = errno;
        if (!is_standard)
            close(fd);
        errno = error;
        if (bytes == NULL || (is_regular && !is_standard))
            return bytes;
        input->kept = bytes;
        input->kept_size = *size;
    }
    *size = input->kept_size;
    char *copy = malloc(*size + 1);
    return copy != NULL ? memcpy(copy, input->kept, *size) : NULL;
}

static const struct load_column *find_column(const struct csv_field *field)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (strlen(columns[i].name) == field->size &&
            strncasecmp(columns[i].name, field->bytes, field->size) == 0)
            return &columns[i];
    }
    return NULL;
}

static bool has_column(const struct load_file *file, const struct load_column *column)
{
    for (uint32_t i = 0; i < file->header_count; i++) {
        if (file->header[i] == column)
            return true;
    }
    return false;
}

/* Adds a column of the header. */
static bool take_column(struct load_file *file, const struct load_place *place,
                        const struct csv_field *field, unsigned *kinds)
{
    char text[QUOTED_TEXT_SIZE];
    const struct load_column *column = find_column(field);
    bool excludes = column != NULL && (*kinds & column->kinds) == 0;
    if (excludes && (column->kinds & IN_STOCK) != 0 && (*kinds & IN_STOCK) != 0)
        return load_error(file->report, place,
                          "columns quantity and on_hand: expected one of them; a quantity is added "
                          "to what is there, on_hand replaces it");
    if (column == NULL || excludes)
        return load_error(file->report, place, "column \"%s\": expected %s", quoted(field, text),
                          columns_expected);
    if (has_column(file, column))
        return load_error(file->report, place, "column %s is there twice: expected once",
                          column->name);
    *kinds &= column->kinds;
    file->header[file->header_count++] = column;
    return true;
}

/* The header tells the kind of file: every column belongs to it, and none that it needs is
 * missing. */
static bool take_header(struct load_file *file, const struct load_place *place,
                        const struct csv_record *record)
{
    unsigned kinds = IN_ANY;
    for (uint32_t i = 0; i < record->field_count; i++) {
        if (!take_column(file, place, &record->fields[i], &kinds))
            return false;
    }
    if (kinds == IN_STOCK)
        return load_error(file->report, place,
                          "column quantity or on_hand is missing: expected one of them; a quantity "
                          "is added to what is there, on_hand replaces it");
    file->kind = kinds == IN_POINTS ? LOAD_POINTS : kinds == IN_SET ? LOAD_SET : LOAD_ADD;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        bool belongs = (columns[i].kinds & kinds) != 0;
        if (belongs && !columns[i].optional && !has_column(file, &columns[i]))
            return load_error(file->report, place, "column %s is missing: expected it in each row",
                              columns[i].name);
    }
    return true;
}

static struct load_place place_at(const struct load_file *file, uint64_t line)
{
    return (struct load_place){file->input->path, line, file->input->number};
}

bool load_file_open(struct load_file *file, struct load_input *input, struct load_report *report)
{
    struct csv_record record;
    *file = (struct load_file){.input = input, .report = report};
    file->bytes = read_input(input, &file->size);
    if (file->bytes == NULL) {
        load_say(report, "till load: %s: %s", input->path, strerror(errno));
        report->unread++;
        return false;
    }
    file->content = XXH3_128bits(file->bytes, file->size);
    csv_init(&file->reader, file->bytes, file->size);
    enum csv_read read = csv_next(&file->reader, &record);
    const struct load_place place = place_at(file, record.line);
    bool good = false;
    if (read == CSV_END)
        load_error(report, &place, "the file is empty: expected a header");
    else if (read == CSV_MALFORMED)
        load_error(report, &place, "%s: expected a header", file->reader.error);
    else
        good = take_header(file, &place, &record);
    if (!good)
        load_file_close(file);
    return good;
}

void load_file_close(struct load_file *file)
{
    free(file->bytes);
    file->bytes = NULL;
}

size_t load_file_read_bytes(const struct load_file *file)
{
    return (size_t)(file->reader.cursor - file->bytes);
}

/* Reads one field into the row; false after a message. A negative number is beyond every maximum
 * when it is looked at without its sign. */
static bool read_column(struct load_file *file, const struct load_column *column,
                        const struct csv_field *field, struct load_row *row)
{
    char text[QUOTED_TEXT_SIZE];
    uint8_t *target = (uint8_t *)row + column->offset;
    uint64_t value = 0;
    if (field->size == 0)
        return column->optional || load_error(file->report, &row->place, "%s is empty: expected %s",
                                              column->name, column->expected);
    bool good = value_read(column->type, field->bytes, field->size, 0, target);
    if (good && column->value_max > 0) {
        memcpy(&value, target, field_type_info(column->type)->size_bytes);
        good = value >= column->value_min && value <= column->value_max;
    }
    return good || load_error(file->report, &row->place, "%s is \"%s\": expected %s", column->name,
                              quoted(field, text), column->expected);
}

/* The names of the header's columns, in their order. */
static void write_header(const struct load_file *file, char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = 0; i < file->header_count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i > 0 ? "," : "", file->header[i]->name);
    }
}

static bool read_row(struct load_file *file, const struct csv_record *record, struct load_row *row)
{
    char header[256];
    bool good = true;
    *row = (struct load_row){.place = place_at(file, record->line), .kind = file->kind};
    if (record->field_count != file->header_count) {
        write_header(file, header, sizeof header);
        return load_error(file->report, &row->place,
                          "%" PRIu32 " fields: expected %" PRIu32 ", as in the header (%s)",
                          record->field_count, file->header_count, header);
    }
    for (uint32_t i = 0; i < record->field_count && good; i++)
        good = read_column(file, file->header[i], &record->fields[i], row);
    return good;
}

bool load_file_next(struct load_file *file, struct load_row *row)
{
    struct csv_record record;
    enum csv_read read;
    while ((read = csv_next(&file->reader, &record)) != CSV_END) {
        const struct load_place place = place_at(file, record.line);
        uint32_t field = record.field_count;
        if (read == CSV_RECORD && read_row(file, &record, row))
            return true;
        if (read == CSV_MALFORMED)
            load_error(file->report, &place, "%s: %s",
                       field < file->header_count ? file->header[field]->name : "the line",
                       file->reader.error);
    }
    return false;
}

uint64_t load_file_skip(struct load_file *file, struct load_place *first)
{
    struct csv_record record;
    uint64_t count = 0;
    while (csv_next(&file->reader, &record) != CSV_END) {
        if (count++ == 0)
            *first = place_at(file, record.line);
    }
    return count;
}
