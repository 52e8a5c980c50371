/* Reading: the line is cut into words; each word's field is looked up in the message's shape, its
 * value is unquoted and read by type. Rows are appended to the body as they come. The first thing
 * that is wrong ends it: a request is sent as it was meant, or not at all.
 *
 * Writing walks the reply's shape in the tables' order, through one function per field, so that
 * both forms have the same fields in the same order. */
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/status.h"
#include "engine/tables.h"

enum { NAME_COLUMN = 18, TYPE_COLUMN = 16, COMMAND_COLUMN = 16 };

struct word {
    const char *name;
    size_t name_size;
    size_t value_size;
    char value[VALUE_TEXT_MAX];
};

struct line_reader {
    const char *cursor;
    const char *end;
    uint64_t now_us;
    uint64_t given; /* bit i: the i-th field of the request's shape was given */
    struct text_request *request;
    char *error;
};

bool text_is_command(const struct message_info *message)
{
    return message->kind == KIND_COMMAND || message->kind == KIND_QUERY ||
           message->kind == KIND_ADMIN;
}

/* The name of the rows that follow this shape, and its length; it points into the tables. */
static size_t row_name(const struct shape_info *shape, const char **name)
{
    static const char suffix[] = "_count";
    for (uint16_t i = 0; i < shape->field_count; i++) {
        if (shape->fields[i].type == FIELD_count) {
            *name = shape->fields[i].name;
            size_t size = strlen(*name);
            TILL_ASSERT(size > strlen(suffix));
            return size - strlen(suffix);
        }
    }
    *name = "";
    return 0;
}

void text_rows_name(const struct shape_info *shape, char plural[TEXT_PLURAL_SIZE])
{
    const char *name = NULL;
    int size = (int)row_name(shape, &name);
    bool has_y = size > 1 && name[size - 1] == 'y' && strchr("aeiou", name[size - 2]) == NULL;
    snprintf(plural, TEXT_PLURAL_SIZE, "%.*s%s", has_y ? size - 1 : size, name,
             size == 0 ? ""
             : has_y   ? "ies"
                       : "s");
}

/* The other name of a row, that of its first value: only in queries, where it says all that a
 * person means, and only when no field of the request has it. "" when there is none. */
static const char *row_alias(const struct message_info *message)
{
    if (message->kind != KIND_QUERY || message->request_row == NULL)
        return "";
    const char *alias = message->request_row->fields[0].name;
    for (uint16_t i = 0; i < message->request->field_count; i++) {
        if (strcmp(message->request->fields[i].name, alias) == 0)
            return "";
    }
    return alias;
}

/* Is this field of a row written without its name, after the separator of its type? */
static bool is_plain(const struct shape_info *shape, uint16_t index)
{
    char separator = field_type_info(shape->fields[index].type)->separator;
    for (uint16_t i = 1; i < index; i++) {
        if (field_type_info(shape->fields[i].type)->separator == separator)
            return false;
    }
    return index > 0 && separator != ':';
}

/* Says what is wrong, after the command's name. Always false. */
#define refuse(reader, ...)                                                                        \
    (error_set((reader)->error, TEXT_ERROR_SIZE, "%s: ", (reader)->request->message->name),        \
     error_add((reader)->error, TEXT_ERROR_SIZE, __VA_ARGS__))

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_spaces(struct line_reader *reader)
{
    while (reader->cursor < reader->end && is_space(*reader->cursor))
        reader->cursor++;
}

static bool append_value(struct line_reader *reader, struct word *word, char c)
{
    if (word->value_size == sizeof word->value)
        return refuse(reader, "the value of %.*s is longer than %d bytes", (int)word->name_size,
                      word->name, VALUE_TEXT_MAX);
    word->value[word->value_size++] = c;
    return true;
}

/* The character after a backslash inside quotes. */
static bool read_escape(struct line_reader *reader, struct word *word)
{
    char digits[3] = "";
    size_t left = (size_t)(reader->end - reader->cursor);
    uint64_t code = 0;
    if (left >= 1 && (*reader->cursor == '"' || *reader->cursor == '\\'))
        return append_value(reader, word, *reader->cursor++);
    if (left >= 3 && *reader->cursor == 'x') {
        memcpy(digits, reader->cursor + 1, 2);
        reader->cursor += 3;
        if (value_read(FIELD_hash, digits, 2, 0, &code) && code != 0)
            return append_value(reader, word, (char)code);
    }
    return refuse(reader, "%.*s: in quotes, a backslash stands before \", \\ or xNN",
                  (int)word->name_size, word->name);
}

static bool read_quoted(struct line_reader *reader, struct word *word)
{
    while (reader->cursor < reader->end) {
        char c = *reader->cursor++;
        if (c == '"')
            return true;
        if (c == '\\' ? !read_escape(reader, word) : !append_value(reader, word, c))
            return false;
    }
    return refuse(reader, "%.*s: the closing quote is missing", (int)word->name_size, word->name);
}

/* The next name=value. */
static bool read_word(struct line_reader *reader, struct word *word)
{
    word->name = reader->cursor;
    word->value_size = 0;
    while (reader->cursor < reader->end && *reader->cursor != '=' && !is_space(*reader->cursor))
        reader->cursor++;
    word->name_size = (size_t)(reader->cursor - word->name);
    if (reader->cursor == reader->end || *reader->cursor != '=')
        return refuse(reader, "%.*s: expected name=value", (int)word->name_size, word->name);
    reader->cursor++;
    while (reader->cursor < reader->end && !is_space(*reader->cursor)) {
        char c = *reader->cursor++;
        if (c == '"' ? !read_quoted(reader, word) : !append_value(reader, word, c))
            return false;
    }
    return true;
}

static bool name_equal(const char *name, const char *typed, size_t size)
{
    return strlen(name) == size && memcmp(name, typed, size) == 0;
}

/* A field that a person must give: the shell makes a key where there is none. */
static bool must_be_given(const struct shape_info *shape, uint16_t index)
{
    return field_is_required(shape, index) && shape->fields[index].type != FIELD_key;
}

/* Is at least one row required? */
static bool row_must_be_given(const struct shape_info *shape)
{
    for (uint16_t i = 0; i < shape->field_count; i++) {
        if (shape->fields[i].type == FIELD_count)
            return field_is_required(shape, i);
    }
    return false;
}

/* The names of what may be typed, each with the mark behind it if it must be. */
static void list_fields(const struct message_info *message, const char *mark,
                        char text[TEXT_ERROR_SIZE])
{
    const struct shape_info *shape = message->request;
    const char *alias = row_alias(message);
    const char *row = NULL;
    size_t row_size = row_name(shape, &row);
    size_t size = 0;
    text[0] = '\0';
    for (uint16_t i = 0; i < shape->field_count && size < TEXT_ERROR_SIZE / 2; i++) {
        if (!value_is_hidden(shape->fields[i].type))
            size += (size_t)snprintf(text + size, TEXT_ERROR_SIZE - size, " %s%s",
                                     shape->fields[i].name, must_be_given(shape, i) ? mark : "");
    }
    size +=
        (size_t)snprintf(text + size, TEXT_ERROR_SIZE - size, "%s%.*s%s", row_size > 0 ? " " : "",
                         (int)row_size, row, row_size > 0 && row_must_be_given(shape) ? mark : "");
    if (alias[0] != '\0')
        snprintf(text + size, TEXT_ERROR_SIZE - size, " (or %s)", alias);
}

static bool read_field(struct line_reader *reader, const struct field_info *field, void *target,
                       const char *value, size_t size, const char *row_prefix)
{
    char expected[VALUE_EXPECTED_SIZE];
    uint64_t now_us = reader->now_us;
    if (value_read(field->type, value, size, now_us, target))
        return true;
    value_expected(field->type, expected);
    return refuse(reader, "%s%s=%.*s: expected %s", row_prefix, field->name,
                  (int)(size < 64 ? size : 64), value, expected);
}

/* The field of a row that starts at this separator: `:name=` names it, any other separator tells
 * it. Moves *cursor to its value. shape->field_count when there is none. */
static uint16_t row_field(const struct shape_info *shape, const char **cursor, const char *end)
{
    char separator = **cursor;
    const char *name = *cursor + 1;
    const char *equals = memchr(name, '=', (size_t)(end - name));
    for (uint16_t i = 1; i < shape->field_count; i++) {
        if (value_is_hidden(shape->fields[i].type))
            continue;
        if (separator == ':') {
            if (equals != NULL &&
                name_equal(shape->fields[i].name, name, (size_t)(equals - name))) {
                *cursor = equals + 1;
                return i;
            }
        } else if (is_plain(shape, i) &&
                   field_type_info(shape->fields[i].type)->separator == separator) {
            *cursor = name;
            return i;
        }
    }
    return shape->field_count;
}

/* Where the value that starts at cursor ends: at the next separator of this shape, or `:`. */
static const char *row_value_end(const struct shape_info *shape, const char *cursor,
                                 const char *end)
{
    for (; cursor < end; cursor++) {
        if (*cursor == ':')
            break;
        uint16_t i = 1;
        while (
            i < shape->field_count &&
            (!is_plain(shape, i) || field_type_info(shape->fields[i].type)->separator != *cursor))
            i++;
        if (i < shape->field_count)
            break;
    }
    return cursor;
}

/* How a row of this shape is written: SKUxQUANTITY/WAREHOUSE@PRICE, by field names. */
static char *row_pattern(const struct shape_info *shape, char text[VALUE_EXPECTED_SIZE])
{
    size_t size = (size_t)snprintf(text, VALUE_EXPECTED_SIZE, "%s", shape->fields[0].name);
    for (uint16_t i = 1; i < shape->field_count; i++) {
        if (value_is_hidden(shape->fields[i].type) || size >= VALUE_EXPECTED_SIZE)
            continue;
        char separator = field_type_info(shape->fields[i].type)->separator;
        const char *name = shape->fields[i].name;
        char *rest = text + size;
        if (is_plain(shape, i))
            size += (size_t)snprintf(rest, VALUE_EXPECTED_SIZE - size, "[%c%s]", separator, name);
        else
            size += (size_t)snprintf(rest, VALUE_EXPECTED_SIZE - size, "[:%s=...]", name);
    }
    return text;
}

static bool read_row(struct line_reader *reader, const struct word *word, uint8_t *row)
{
    const struct shape_info *shape = reader->request->message->request_row;
    const char *cursor = word->value;
    const char *end = word->value + word->value_size;
    char pattern[VALUE_EXPECTED_SIZE];
    char prefix[64];
    uint64_t given = 0;
    uint16_t index = 0;
    snprintf(prefix, sizeof prefix, "%.*s: ", (int)word->name_size, word->name);
    for (;;) {
        const char *value = cursor;
        cursor = row_value_end(shape, cursor, end);
        if ((given >> index & 1) != 0)
            return refuse(reader, "%s%s is given twice", prefix, shape->fields[index].name);
        given |= 1ULL << index;
        if (!read_field(reader, &shape->fields[index], row + shape->fields[index].offset, value,
                        (size_t)(cursor - value), prefix))
            return false;
        if (cursor == end)
            return true;
        index = row_field(shape, &cursor, end);
        if (index == shape->field_count)
            return refuse(reader, "%.*s=%.*s: expected %s", (int)word->name_size, word->name,
                          (int)word->value_size, word->value, row_pattern(shape, pattern));
    }
}

static bool take_row(struct line_reader *reader, const struct word *word)
{
    struct text_request *request = reader->request;
    const struct message_info *message = request->message;
    uint16_t rows = shape_rows(message->request, request->body);
    if (rows == message->request_rows_max)
        return refuse(reader, "%.*s: at most %u of them", (int)word->name_size, word->name,
                      message->request_rows_max);
    if (!read_row(reader, word, (uint8_t *)request->body + request->size))
        return false;
    rows++;
    memcpy((uint8_t *)request->body + message->request->count_offset, &rows, sizeof rows);
    request->size += message->request_row->size_bytes;
    return true;
}

static bool take_word(struct line_reader *reader, const struct word *word)
{
    const struct shape_info *shape = reader->request->message->request;
    const char *row = NULL;
    size_t row_size = row_name(shape, &row);
    char fields[TEXT_ERROR_SIZE];
    if (row_size > 0 && row_size == word->name_size && memcmp(row, word->name, row_size) == 0)
        return take_row(reader, word);
    if (word->name_size > 0 &&
        name_equal(row_alias(reader->request->message), word->name, word->name_size))
        return take_row(reader, word);
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        if (value_is_hidden(field->type) || !name_equal(field->name, word->name, word->name_size))
            continue;
        if ((reader->given >> i & 1) != 0)
            return refuse(reader, "%s is given twice", field->name);
        reader->given |= 1ULL << i;
        return read_field(reader, field, (uint8_t *)reader->request->body + field->offset,
                          word->value, word->value_size, "");
    }
    list_fields(reader->request->message, "", fields);
    return refuse(reader, "no field %.*s; expected%s", (int)word->name_size, word->name,
                  fields[0] == '\0' ? " none" : fields);
}

static bool is_key(const struct field_info *field)
{
    return field->type == FIELD_key || field->type == FIELD_key_or_none;
}

/* Fields that were not given: sets the key, and refuses when one is missing that may not be zero.
 */
static bool fill_absent(struct line_reader *reader, struct id key)
{
    const struct shape_info *shape = reader->request->message->request;
    char expected[VALUE_EXPECTED_SIZE];
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        if ((reader->given >> i & 1) != 0)
            continue;
        if (is_key(field)) {
            memcpy((uint8_t *)reader->request->body + field->offset, &key, sizeof key);
            reader->request->has_made_up_key = true;
        }
        if (value_is_required(field->type))
            return refuse(reader, "%s is missing: expected %s", field->name,
                          value_expected(field->type, expected));
    }
    return true;
}

bool text_read(const char *line, size_t size, uint64_t now_us, struct id key,
               struct text_request *request, char error[TEXT_ERROR_SIZE])
{
    struct line_reader reader = {
        .cursor = line, .end = line + size, .now_us = now_us, .request = request, .error = error};
    skip_spaces(&reader);
    const char *name = reader.cursor;
    while (reader.cursor < reader.end && !is_space(*reader.cursor))
        reader.cursor++;
    size_t name_size = (size_t)(reader.cursor - name);
    request->message = message_find(name, name_size);
    if (request->message == NULL || !text_is_command(request->message)) {
        snprintf(error, TEXT_ERROR_SIZE, "no command %.*s; `help` lists them",
                 (int)(name_size < 64 ? name_size : 64), name);
        return false;
    }
    request->size = request->message->request->size_bytes;
    request->has_made_up_key = false;
    memset(request->body, 0, sizeof request->body);
    for (skip_spaces(&reader); reader.cursor < reader.end; skip_spaces(&reader)) {
        struct word word;
        if (!read_word(&reader, &word) || !take_word(&reader, &word))
            return false;
    }
    if (!fill_absent(&reader, key))
        return false;
    const char *reason = NULL;
    TILL_ASSERT(message_check_request(request->message, request->body, request->size, &reason));
    return true;
}

/* What is being written, and in which form. */
struct line_writer {
    FILE *out;
    enum value_form form;
};

static void write_name(const struct line_writer *writer, const char *name, size_t size)
{
    fprintf(writer->out, writer->form == VALUE_JSON ? ",\"%.*s\":" : " %.*s=", (int)size, name);
}

static void write_field(const struct line_writer *writer, const struct field_info *field,
                        const void *body)
{
    const void *value = (const uint8_t *)body + field->offset;
    if (value_is_hidden(field->type))
        return;
    if (writer->form == VALUE_TEXT && value_is_zero(field->type, value))
        return;
    write_name(writer, field->name, strlen(field->name));
    value_write(writer->out, writer->form, field->type, value);
}

/* One row as text: the plain fields first, then the named ones, zeros left out. */
static void write_row_text(FILE *out, const struct shape_info *shape, const uint8_t *row)
{
    value_write(out, VALUE_TEXT, shape->fields[0].type, row + shape->fields[0].offset);
    for (unsigned named = 0; named <= 1; named++) {
        for (uint16_t i = 1; i < shape->field_count; i++) {
            const struct field_info *field = &shape->fields[i];
            const void *value = row + field->offset;
            if (value_is_hidden(field->type) || value_is_zero(field->type, value) ||
                is_plain(shape, i) == (named == 1))
                continue;
            if (named == 1)
                fprintf(out, ":%s=", field->name);
            else
                fputc(field_type_info(field->type)->separator, out);
            value_write(out, VALUE_TEXT, field->type, value);
        }
    }
}

static void write_row_json(FILE *out, const struct shape_info *shape, const uint8_t *row)
{
    const struct line_writer writer = {out, VALUE_JSON};
    const struct field_info *first = &shape->fields[0];
    fprintf(out, "{\"%s\":", first->name);
    value_write(out, VALUE_JSON, first->type, row + first->offset);
    for (uint16_t i = 1; i < shape->field_count; i++)
        write_field(&writer, &shape->fields[i], row);
    fputc('}', out);
}

/* Metrics are written as if each were a field of its name; one that this till does not know goes by
 * its number. */
static void write_metrics(const struct line_writer *writer, const struct metric_body *rows,
                          uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        char number[sizeof "metric_65535"];
        const char *name = named_value_name(FIELD_metric, rows[i].metric);
        if (name == NULL) {
            snprintf(number, sizeof number, "metric_%u", rows[i].metric);
            name = number;
        }
        if (writer->form == VALUE_TEXT && rows[i].value == 0)
            continue;
        write_name(writer, name, strlen(name));
        value_write(writer->out, writer->form, FIELD_u64, &rows[i].value);
    }
}

static void write_rows(const struct line_writer *writer, const struct shape_info *shape,
                       const struct shape_info *row_shape, const void *body)
{
    const char *name = NULL;
    char plural[TEXT_PLURAL_SIZE];
    size_t name_size = row_name(shape, &name);
    const uint8_t *row = (const uint8_t *)body + shape->size_bytes;
    uint16_t rows = shape_rows(shape, body);
    if (row_shape == NULL)
        return;
    if (row_shape->fields[0].type == FIELD_metric) {
        write_metrics(writer, (const struct metric_body *)(const void *)row, rows);
        return;
    }
    if (writer->form == VALUE_JSON) {
        text_rows_name(shape, plural);
        write_name(writer, plural, strlen(plural));
        fputc('[', writer->out);
    }
    for (uint16_t i = 0; i < rows; i++, row += row_shape->size_bytes) {
        if (writer->form == VALUE_JSON) {
            fputs(i > 0 ? "," : "", writer->out);
            write_row_json(writer->out, row_shape, row);
        } else {
            write_name(writer, name, name_size);
            write_row_text(writer->out, row_shape, row);
        }
    }
    if (writer->form == VALUE_JSON)
        fputc(']', writer->out);
}

static const struct field_info *find_field(const struct shape_info *shape, const char *name)
{
    for (uint16_t i = 0; i < shape->field_count; i++) {
        if (strcmp(shape->fields[i].name, name) == 0)
            return &shape->fields[i];
    }
    return NULL;
}

/* NULL when a request of this shape has none. */
static const struct field_info *find_key(const struct shape_info *shape)
{
    for (uint16_t i = 0; i < shape->field_count; i++) {
        if (is_key(&shape->fields[i]))
            return &shape->fields[i];
    }
    return NULL;
}

struct id text_request_key(const struct message_info *message, const void *body)
{
    const struct field_info *field = find_key(message->request);
    struct id key = {0, 0};
    if (field != NULL)
        memcpy(&key, (const uint8_t *)body + field->offset, sizeof key);
    return key;
}

/* A reply's fields in the table's order; for one about an order, the order and its state first
 * and its seq last. */
static void write_reply(const struct line_writer *writer, const struct text_reply *reply)
{
    const struct message_info *message = reply->message;
    const void *body = reply->body;
    const struct shape_info *shape = message->reply;
    const struct field_info *order = find_field(message->request, "order");
    const struct field_info *state = order != NULL ? find_field(shape, "state") : NULL;
    const struct field_info *seq = order != NULL ? find_field(shape, "seq") : NULL;
    if (order != NULL)
        write_field(writer, order, reply->request);
    if (state != NULL)
        write_field(writer, state, body);
    for (uint16_t i = 0; i < shape->field_count; i++) {
        if (&shape->fields[i] != state && &shape->fields[i] != seq)
            write_field(writer, &shape->fields[i], body);
    }
    write_rows(writer, shape, message->reply_row, body);
    if (seq != NULL)
        write_field(writer, seq, body);
}

/* The name of the request's field with this number; a row's have ROW_FIELD added. */
static bool write_field_name(const struct line_writer *writer, const struct message_info *message,
                             uint64_t number)
{
    const struct shape_info *shape = message->request;
    const struct shape_info *row_shape = message->request_row;
    const char *mark = writer->form == VALUE_JSON ? "\"" : "";
    const char *row = NULL;
    int row_size = (int)row_name(shape, &row);
    const struct field_info *field = shape_field(shape, number);
    if (field != NULL) {
        int size = field->type == FIELD_count ? row_size : (int)strlen(field->name);
        fprintf(writer->out, "%s%.*s%s", mark, size, field->name, mark);
        return true;
    }
    if (row_shape != NULL && number > ROW_FIELD)
        field = shape_field(row_shape, number - ROW_FIELD);
    if (field == NULL)
        return false;
    fprintf(writer->out, "%s%.*s.%s%s", mark, row_size, row, field->name, mark);
    return true;
}

/* The type of a rejection's number, by its name in the outcome table. `state` has the type of the
 * reply's field of that name, because orders and sales have states of their own. */
static unsigned subject_type(const struct message_info *message, const char *name)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {
        {"currency", FIELD_currency}, {"opens", FIELD_time}, {"ended", FIELD_time},
        {"ends", FIELD_time},         {"sku", FIELD_sku},    {"sale", FIELD_u64},
    };
    if (strcmp(name, "state") == 0) {
        const struct field_info *state = find_field(message->reply, name);
        return state != NULL ? state->type : FIELD_u64;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    }
    return FIELD_stock;
}

/* One of the two numbers of a rejection. One that the table does not name is written under the
 * name of its place when it says something. */
static void write_subject(const struct line_writer *writer, const struct message_info *message,
                          const char *name, const char *place, uint64_t number)
{
    if (name[0] == '\0' && number == 0)
        return;
    write_name(writer, name[0] != '\0' ? name : place, strlen(name[0] != '\0' ? name : place));
    if (strcmp(name, "field") == 0 && write_field_name(writer, message, number))
        return;
    if (strcmp(name, "table") == 0 && capacity_name(number) != NULL) {
        const char *table = capacity_name(number);
        value_write_string(writer->out, writer->form, table, strlen(table));
        return;
    }
    value_write(writer->out, writer->form, subject_type(message, name), &number);
}

/* Does the size fit a body of that shape with its rows? */
static bool body_fits(const struct shape_info *shape, const struct shape_info *row_shape,
                      uint16_t rows_max, const void *body, size_t size)
{
    if (size < shape->size_bytes)
        return false;
    uint16_t rows = shape_rows(shape, body);
    size_t row_size = row_shape != NULL ? row_shape->size_bytes : 0;
    return rows <= rows_max && size == shape->size_bytes + rows * row_size;
}

static void write_rejection(const struct line_writer *writer, const struct text_reply *reply)
{
    const struct message_info *message = reply->message;
    const struct outcome_info *info = outcome_info(reply->outcome);
    struct rejection_body rejection;
    memcpy(&rejection, reply->body, sizeof rejection);
    write_subject(writer, message, info->subject, "subject", rejection.subject);
    /* A name that is taken tells whose it is; units that are not there, how many there are. */
    bool is_invalid = reply->outcome == OUTCOME_INVALID;
    bool tells_left = is_invalid && rejection.subject > ROW_FIELD;
    if (!is_invalid || rejection.value != 0)
        write_subject(writer, message, tells_left ? "left" : info->value, "value",
                      (uint64_t)rejection.value);
    if (reply_shape(message, reply->outcome, reply->size) == redirect_shape())
        write_field(writer, find_field(redirect_shape(), "primary"), reply->body);
}

bool text_write_reply(FILE *out, enum value_form form, const struct text_reply *reply)
{
    const struct line_writer writer = {out, form};
    const struct message_info *message = reply->message;
    const struct shape_info *shape = reply_shape(message, reply->outcome, reply->size);
    bool done = shape == message->reply;
    if (reply->outcome >= OUTCOME_COUNT ||
        !body_fits(shape, done ? message->reply_row : NULL, done ? message->reply_rows_max : 0,
                   reply->body, reply->size))
        return false;
    if (form == VALUE_JSON)
        fputc('{', out);
    if (form == VALUE_JSON && reply->line > 0)
        fprintf(out, "\"line\":%" PRIu64 ",", reply->line);
    fprintf(out, form == VALUE_JSON ? "\"outcome\":\"%s\"" : "%s", outcome_name(reply->outcome));
    if (done) {
        write_reply(&writer, reply);
    } else {
        write_rejection(&writer, reply);
    }
    if (done && reply->shows_key)
        write_field(&writer, find_key(message->request), reply->request);
    if (reply->shows_age) {
        write_name(&writer, "age_us", strlen("age_us"));
        value_write(out, form, FIELD_u64, &reply->age_us);
    }
    if (form == VALUE_JSON)
        fputc('}', out);
    return true;
}

void text_write_request(FILE *out, enum value_form form, const struct message_info *message,
                        const void *body)
{
    const struct line_writer writer = {out, form};
    for (uint16_t i = 0; i < message->request->field_count; i++)
        write_field(&writer, &message->request->fields[i], body);
    write_rows(&writer, message->request, message->request_row, body);
}

/* One field of an answer, also when it has become zero. */
static void write_change(const struct line_writer *writer, const struct field_info *field,
                         const void *before, const void *after)
{
    const uint8_t *value = (const uint8_t *)after + field->offset;
    size_t size = field_type_info(field->type)->size_bytes;
    if (value_is_hidden(field->type) ||
        memcmp((const uint8_t *)before + field->offset, value, size) == 0)
        return;
    write_name(writer, field->name, strlen(field->name));
    value_write(writer->out, writer->form, field->type, value);
}

static bool rows_differ(const struct message_info *message, const void *before, const void *after)
{
    size_t start = message->reply->size_bytes;
    uint16_t rows = shape_rows(message->reply, after);
    return message->reply_row != NULL &&
           (rows != shape_rows(message->reply, before) ||
            memcmp((const uint8_t *)before + start, (const uint8_t *)after + start,
                   (size_t)rows * message->reply_row->size_bytes) != 0);
}

void text_write_changes(FILE *out, enum value_form form, const struct message_info *message,
                        const void *before, const void *after)
{
    const struct line_writer writer = {out, form};
    const struct shape_info *shape = message->reply;
    for (uint16_t i = 1; i < shape->field_count; i++) {
        if (before != NULL)
            write_change(&writer, &shape->fields[i], before, after);
        else
            write_field(&writer, &shape->fields[i], after);
    }
    if (before == NULL || rows_differ(message, before, after))
        write_rows(&writer, shape, message->reply_row, after);
}

void text_print_commands(FILE *out)
{
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *message = message_info(number);
        char fields[TEXT_ERROR_SIZE];
        if (message == NULL || !text_is_command(message))
            continue;
        list_fields(message, "*", fields);
        fprintf(out, "%-*s%s\n%*s%s\n", COMMAND_COLUMN, message->name, message->help,
                COMMAND_COLUMN - 1, "", fields[0] == '\0' ? " (no fields)" : fields);
    }
    fprintf(out, "%-*s%s\n", COMMAND_COLUMN, "*", "must be given");
}

/* Does the text already name every value of this type? Not for flags, which also need the +
 * explained. */
static bool names_values(const char *text, unsigned type)
{
    size_t count = 0, named = 0;
    const struct named_value_info *values = named_values(&count);
    for (size_t i = 0; i < count; i++) {
        if (values[i].type != type)
            continue;
        if (strstr(text, values[i].name) == NULL)
            return false;
        named++;
    }
    return named == 1 || (named > 1 && !field_type_is_flags(type));
}

/* Types that were printed, each of which is explained once. */
struct printed_types {
    bool is_printed[FIELD_TYPE_COUNT];
};

static void print_fields(FILE *out, const struct shape_info *shape, int indent,
                         struct printed_types *types)
{
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        const char *type = field_type_info(field->type)->name;
        if (value_is_hidden(field->type))
            continue;
        fprintf(out, "%*s%c %-*s", indent, "", must_be_given(shape, i) ? '*' : ' ',
                NAME_COLUMN - indent, field->name);
        if (field->text[0] != '\0')
            fprintf(out, "%-*s%s\n", TYPE_COLUMN, type, field->text);
        else
            fprintf(out, "%s\n", type);
        if (!names_values(field->text, field->type))
            types->is_printed[field->type] = true;
    }
}

static void print_types(FILE *out, const struct printed_types *types)
{
    char expected[VALUE_EXPECTED_SIZE];
    fputs("* must be given, and not be zero; what is not given is zero, or none, and a key is made "
          "up.\nValues:\n",
          out);
    for (unsigned type = 0; type < FIELD_TYPE_COUNT; type++) {
        if (types->is_printed[type])
            fprintf(out, "  %-*s%s\n", NAME_COLUMN, field_type_info(type)->name,
                    value_expected(type, expected));
    }
}

void text_print_command(FILE *out, const struct message_info *message)
{
    const char *row = NULL;
    int row_size = (int)row_name(message->request, &row);
    char pattern[VALUE_EXPECTED_SIZE];
    struct printed_types types = {{false}};
    fprintf(out, "%s: %s\n", message->name, message->help);
    print_fields(out, message->request, 0, &types);
    if (row_size > 0) {
        bool is_required = row_must_be_given(message->request);
        fprintf(out, "%c %.*s=%s, %s%u times, where\n", is_required ? '*' : ' ', row_size, row,
                row_pattern(message->request_row, pattern), is_required ? "1 to " : "up to ",
                message->request_rows_max);
        if (row_alias(message)[0] != '\0')
            fprintf(out, "  (or %s=...)\n", row_alias(message));
        print_fields(out, message->request_row, 2, &types);
    }
    if (message->request->fields[0].type != FIELD_zero64)
        print_types(out, &types);
}
