/* Record encoding, generated from the message tables: straight-line code per shape, so that the hot
 * path pays for its fields and not for walking a table. Decoding yields exactly the body that was
 * encoded, because what is not written (reserved bytes) was checked to be zero before. */
#include "engine/codec.h"

#include "base/assert.h"
#include "engine/known.h"

enum { RECORD_TIME = 0 };

static inline void encode_IDENTITY(struct column_writer *writer, const void *field, size_t size)
{
    writer->ids = write_bytes(writer->ids, field, size);
}

static inline void encode_UNSIGNED(struct column_writer *writer, const void *field, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, field, size);
    writer->fields = write_varint(writer->fields, value);
}

static inline void encode_SIGNED(struct column_writer *writer, const void *field, size_t size)
{
    int64_t value = 0;
    TILL_ASSERT(size == sizeof value);
    memcpy(&value, field, sizeof value);
    writer->fields = write_zigzag(writer->fields, value);
}

static inline void encode_BYTES(struct column_writer *writer, const void *field, size_t size)
{
    const uint8_t *bytes = field;
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    *writer->fields++ = (uint8_t)size;
    writer->fields = write_bytes(writer->fields, bytes, size);
}

static inline void encode_ZERO(struct column_writer *writer, const void *field, size_t size)
{
    (void)writer, (void)field, (void)size;
}

static inline void decode_IDENTITY(struct column_reader *reader, void *field, size_t size)
{
    const uint8_t *bytes = read_bytes(&reader->ids, size);
    if (bytes != NULL)
        memcpy(field, bytes, size);
}

static inline void decode_UNSIGNED(struct column_reader *reader, void *field, size_t size)
{
    uint64_t value = read_varint(&reader->fields);
    if (size < sizeof value && value >> (8 * size) != 0)
        reader->fields.failed = true;
    memcpy(field, &value, size);
}

static inline void decode_SIGNED(struct column_reader *reader, void *field, size_t size)
{
    int64_t value = read_zigzag(&reader->fields);
    memcpy(field, &value, size);
}

static inline void decode_BYTES(struct column_reader *reader, void *field, size_t size)
{
    const uint8_t *length = read_bytes(&reader->fields, 1);
    memset(field, 0, size);
    if (length == NULL)
        return;
    if (*length > size) {
        reader->fields.failed = true;
        return;
    }
    const uint8_t *bytes = read_bytes(&reader->fields, *length);
    if (bytes != NULL)
        memcpy(field, bytes, *length);
}

static inline void decode_ZERO(struct column_reader *reader, void *field, size_t size)
{
    (void)reader;
    memset(field, 0, size);
}

/* The coding of each field type, as a name the generated code can paste. */
#define FIELD_TYPE(name, c_type, coding, separator)                                                \
    static inline void encode_field_##name(struct column_writer *writer, const c_type *field)      \
    {                                                                                              \
        encode_##coding(writer, field, sizeof *field);                                             \
    }                                                                                              \
    static inline void decode_field_##name(struct column_reader *reader, c_type *field)            \
    {                                                                                              \
        decode_##coding(reader, field, sizeof *field);                                             \
    }
#include "engine/tables/fields.h"

#define SHAPE(shape)                                                                               \
    __attribute__((unused)) static inline void encode_##shape(struct column_writer *writer,        \
                                                              const void *body)                    \
    {                                                                                              \
        const struct shape##_body *typed = body;
#define FIELD(shape, number, type, name, since, text) encode_field_##type(writer, &typed->name);
#define SHAPE_END(shape)                              }
#include "engine/tables/messages.h"

/* What a schema before the field's does not write is zero. */
#define SHAPE(shape)                                                                               \
    __attribute__((unused)) static inline void decode_##shape(struct column_reader *reader,        \
                                                              void *body)                          \
    {                                                                                              \
        struct shape##_body *typed = body;
#define FIELD(shape, number, type, name, since, text)                                              \
    if ((since) <= SCHEMA_FIRST || (since) <= reader->schema)                                      \
        decode_field_##type(reader, &typed->name);                                                 \
    else                                                                                           \
        memset(&typed->name, 0, sizeof typed->name);
#define SHAPE_END(shape) }
#include "engine/tables/messages.h"

static inline void encode_none(struct column_writer *writer, const void *body)
{
    (void)writer, (void)body;
}

static inline void decode_none(struct column_reader *reader, void *body)
{
    (void)reader, (void)body;
}

static void encode_shapes(unsigned number, const void *body, const uint8_t *row, uint16_t rows,
                          size_t row_size, struct column_writer *writer)
{
    switch (number) {
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row_shape, ...)          \
    case number:                                                                                   \
        encode_##request(writer, body);                                                            \
        for (uint16_t i = 0; i < rows; i++, row += row_size)                                       \
            encode_##row_shape(writer, row);                                                       \
        break;
#include "engine/tables/messages.h"
    default:
        till_unreachable();
    }
}

void command_encode(unsigned number, const void *body, struct column_writer *writer)
{
    const struct message_info *message = message_info(number);
    uint16_t rows = shape_rows(message->request, body);
    const uint8_t *row = (const uint8_t *)body + message->request->size_bytes;
    *writer->fields++ = (uint8_t)number;
    encode_shapes(number, body, row, rows, rows > 0 ? message->request_row->size_bytes : 0, writer);
}

void time_encode(uint64_t delta_us, struct column_writer *writer)
{
    *writer->fields++ = RECORD_TIME;
    writer->fields = write_varint(writer->fields, delta_us);
}

static void decode_body(unsigned number, struct column_reader *reader, void *body)
{
    switch (number) {
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, ...)                     \
    case number:                                                                                   \
        decode_##request(reader, body);                                                            \
        break;
#include "engine/tables/messages.h"
    default:
        till_unreachable();
    }
}

static void decode_row(unsigned number, struct column_reader *reader, void *row)
{
    switch (number) {
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row_shape, ...)          \
    case number:                                                                                   \
        decode_##row_shape(reader, row);                                                           \
        break;
#include "engine/tables/messages.h"
    default:
        till_unreachable();
    }
}

/* Reads body and rows of a known message; false when the bytes do not fit it. */
static bool decode_message(struct column_reader *reader, const struct message_info *message,
                           struct logged_command *command)
{
    decode_body(message->number, reader, command->body);
    if (reader->fields.failed || reader->ids.failed)
        return false;
    uint16_t rows = shape_rows(message->request, command->body);
    if (rows > message->request_rows_max)
        return false;
    uint8_t *row = (uint8_t *)command->body + message->request->size_bytes;
    for (uint16_t i = 0; i < rows; i++, row += message->request_row->size_bytes)
        decode_row(message->number, reader, row);
    command->size = (uint32_t)(row - (uint8_t *)command->body);
    const char *reason = NULL;
    return !reader->fields.failed && !reader->ids.failed &&
           message_check_request(message, command->body, command->size, &reason);
}

/* Orders of one line are known from here on. */
static void note_terms(struct column_reader *reader, const struct logged_command *command)
{
    if (reader->known == NULL || reader->schema != SCHEMA ||
        !terms_are_of(command->number, command->size))
        return;
    reader->last = known_find(reader->known, command->body);
    if (reader->last == NULL)
        known_note(reader->known, command->body);
}

bool command_decode(struct column_reader *reader, struct logged_command *command, bool *malformed)
{
    *malformed = false;
    while (reader->fields.cursor < reader->fields.end) {
        if (reader->last != NULL && known_decode(reader->last, reader, command))
            return true;
        uint8_t number = *reader->fields.cursor++;
        if (number == RECORD_TIME) {
            uint64_t delta_us = read_varint(&reader->fields);
            /* The time so far is no greater than the bound: the difference cannot wrap. */
            if (reader->fields.failed || reader->time_us > TIME_US_MAX ||
                delta_us > TIME_US_MAX - reader->time_us) {
                *malformed = true;
                return false;
            }
            reader->time_us += delta_us;
            continue;
        }
        const struct message_info *message = message_info(number);
        *malformed = message == NULL || message->since > reader->schema ||
                     (message->kind != KIND_COMMAND && message->kind != KIND_INTERNAL) ||
                     !decode_message(reader, message, command);
        command->number = number;
        command->time_us = reader->time_us;
        if (!*malformed)
            note_terms(reader, command);
        return !*malformed;
    }
    return false;
}
