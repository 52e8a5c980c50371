/* The log's records: every message decodes as it was encoded, with its time; cut or altered columns
 * are refused, or decode to something well-formed, and are never read beyond their end. */
#include "engine/codec.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

enum { RECORDS_MAX = 64, COLUMN_SIZE = RECORDS_MAX * 2 * FRAME_SIZE_MAX, ROUNDS = 200 };

/* Some commands and their columns. */
struct records {
    uint64_t bodies[RECORDS_MAX][FRAME_SIZE_MAX / 8];
    uint32_t sizes[RECORDS_MAX];
    uint16_t numbers[RECORDS_MAX];
    uint64_t times_us[RECORDS_MAX];
    uint32_t count;
    uint64_t time_us;
    uint8_t ids[COLUMN_SIZE];
    uint8_t fields[COLUMN_SIZE];
    struct column_writer writer;
};

static struct records *records_create(void)
{
    struct records *records = calloc(1, sizeof *records);
    CHECK(records != NULL);
    records->writer = (struct column_writer){.ids = records->ids, .fields = records->fields};
    return records;
}

static size_t ids_size(const struct records *records)
{
    return (size_t)(records->writer.ids - records->ids);
}

static size_t fields_size(const struct records *records)
{
    return (size_t)(records->writer.fields - records->fields);
}

/* One of a type's named values; for flags any combination of them. */
static uint64_t random_named(unsigned type)
{
    size_t count;
    const struct named_value_info *values = named_values(&count);
    uint64_t flags = 0;
    uint64_t chosen = 0;
    uint64_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[i].type != type)
            continue;
        if (test_random_below(2) == 0)
            flags |= values[i].value;
        if (test_random_below(++seen) == 0)
            chosen = values[i].value;
    }
    return field_type_is_flags(type) ? flags : chosen;
}

static bool is_enumerated(unsigned type)
{
    size_t count;
    const struct named_value_info *values = named_values(&count);
    for (size_t i = 0; i < count; i++) {
        if (values[i].type == type)
            return true;
    }
    return false;
}

static void fill_field(const struct field_info *field, uint16_t rows, uint8_t *body)
{
    const struct field_type_info *type = field_type_info(field->type);
    uint8_t *bytes = body + field->offset;
    uint64_t value = test_random() >> test_random_below(64);
    if (type->coding == CODING_ZERO)
        return;
    if (field->type == FIELD_count) {
        memcpy(bytes, &rows, sizeof rows);
    } else if (is_enumerated(field->type)) {
        value = random_named(field->type);
        memcpy(bytes, &value, type->size_bytes);
    } else if (type->size_bytes <= sizeof value) {
        value = test_random_below(8) == 0 ? UINT64_MAX : value;
        memcpy(bytes, &value, type->size_bytes);
    } else {
        uint64_t used = test_random_below(type->size_bytes + 1ULL);
        for (uint64_t i = 0; i < used; i++)
            bytes[i] = (uint8_t)(1 + test_random_below(UINT8_MAX));
    }
}

static void fill_shape(const struct shape_info *shape, uint16_t rows, uint8_t *body)
{
    memset(body, 0, shape->size_bytes);
    for (uint16_t i = 0; i < shape->field_count; i++)
        fill_field(&shape->fields[i], rows, body);
}

/* Appends a well-formed request of that message, after some time. */
static void records_add(struct records *records, const struct message_info *message)
{
    uint32_t index = records->count++;
    uint8_t *body = (uint8_t *)records->bodies[index];
    uint32_t size = message->request->size_bytes;
    uint16_t rows = (uint16_t)test_random_below(message->request_rows_max + 1ULL);
    const char *reason = NULL;
    fill_shape(message->request, rows, body);
    for (uint16_t i = 0; i < rows; i++, size += message->request_row->size_bytes)
        fill_shape(message->request_row, 0, body + size);
    CHECK(message_check_request(message, body, size, &reason));
    uint64_t delta_us =
        test_random_below(3) == 0 ? test_random() >> (16 + test_random_below(48)) : 0;
    struct column_writer before = records->writer;
    if (delta_us > 0)
        time_encode(delta_us, &records->writer);
    records->time_us += delta_us;
    records->sizes[index] = size;
    records->numbers[index] = message->number;
    records->times_us[index] = records->time_us;
    command_encode(message->number, body, &records->writer);
    CHECK((size_t)(records->writer.ids - before.ids) <= command_encoded_max(size));
    CHECK((size_t)(records->writer.fields - before.fields) <= command_encoded_max(size));
}

static bool is_logged(const struct message_info *message)
{
    return message != NULL && (message->kind == KIND_COMMAND || message->kind == KIND_INTERNAL);
}

static void records_fill(struct records *records, uint32_t count)
{
    while (records->count < count) {
        const struct message_info *message =
            message_info((unsigned)test_random_below(MESSAGE_NUMBER_MAX + 1));
        if (is_logged(message))
            records_add(records, message);
    }
}

/* Returns how many records decode as they were encoded; sets *malformed if the rest does not
 * decode. The columns are copied to memory of their exact size, so that a sanitizer sees every read
 * beyond it. */
static uint32_t decode_equal(const struct records *records, size_t ids, size_t fields,
                             bool *malformed)
{
    uint8_t *ids_copy = malloc(ids + 1);
    uint8_t *fields_copy = malloc(fields + 1);
    struct logged_command *command = malloc(sizeof *command);
    uint32_t count = 0;
    CHECK(ids_copy != NULL && fields_copy != NULL && command != NULL);
    memcpy(ids_copy + 1, records->ids, ids);
    memcpy(fields_copy + 1, records->fields, fields);
    struct column_reader reader = {.schema = SCHEMA,
                                   .ids = reader_init(ids_copy + 1, ids),
                                   .fields = reader_init(fields_copy + 1, fields)};
    while (command_decode(&reader, command, malformed)) {
        CHECK(count < records->count);
        CHECK_EQUAL(command->number, records->numbers[count]);
        CHECK_EQUAL(command->size, records->sizes[count]);
        CHECK_EQUAL(command->time_us, records->times_us[count]);
        CHECK(memcmp(command->body, records->bodies[count], command->size) == 0);
        count++;
    }
    free(ids_copy);
    free(fields_copy);
    free(command);
    return count;
}

TEST(every_message_comes_back_from_the_log)
{
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        if (!is_logged(message_info(number)))
            continue;
        for (int round = 0; round < ROUNDS; round++) {
            struct records *records = records_create();
            bool malformed = true;
            records_add(records, message_info(number));
            CHECK_EQUAL(decode_equal(records, ids_size(records), fields_size(records), &malformed),
                        1);
            CHECK(!malformed);
            free(records);
        }
    }
}

TEST(records_come_back_in_order_with_their_times)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct records *records = records_create();
        bool malformed = true;
        records_fill(records, RECORDS_MAX);
        CHECK_EQUAL(decode_equal(records, ids_size(records), fields_size(records), &malformed),
                    RECORDS_MAX);
        CHECK(!malformed);
        free(records);
    }
}

TEST(cut_columns_give_the_records_before_the_cut)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct records *records = records_create();
        bool malformed = false;
        records_fill(records, 4);
        size_t ids = ids_size(records);
        size_t fields = fields_size(records);
        CHECK(decode_equal(records, ids, test_random_below(fields), &malformed) < 4);
        if (ids > 0) {
            CHECK(decode_equal(records, test_random_below(ids), fields, &malformed) < 4);
            CHECK(malformed);
        }
        free(records);
    }
}

/* What decodes is well-formed, and encoding and decoding it again gives the same. */
static void check_settled(const struct logged_command *command)
{
    static uint8_t ids[2 * FRAME_SIZE_MAX + 16];
    static uint8_t fields[2 * FRAME_SIZE_MAX + 16];
    struct logged_command *again = malloc(sizeof *again);
    const char *reason = NULL;
    bool malformed = true;
    CHECK(again != NULL && is_logged(message_info(command->number)));
    CHECK(message_check_request(message_info(command->number), command->body, command->size,
                                &reason));
    struct column_writer writer = {.ids = ids, .fields = fields};
    command_encode(command->number, command->body, &writer);
    struct column_reader reader = {.schema = SCHEMA,
                                   .ids = reader_init(ids, (size_t)(writer.ids - ids)),
                                   .fields = reader_init(fields, (size_t)(writer.fields - fields)),
                                   .time_us = command->time_us};
    CHECK(command_decode(&reader, again, &malformed));
    CHECK(again->number == command->number && again->size == command->size);
    CHECK(again->time_us == command->time_us);
    CHECK(memcmp(again->body, command->body, command->size) == 0);
    free(again);
}

TEST(altered_columns_decode_to_well_formed_records_or_to_none)
{
    struct logged_command *command = malloc(sizeof *command);
    uint32_t malformed_count = 0;
    CHECK(command != NULL);
    for (int round = 0; round < 5 * ROUNDS; round++) {
        struct records *records = records_create();
        bool malformed = false;
        records_fill(records, 3);
        for (uint64_t twists = 1 + test_random_below(3); twists > 0; twists--)
            records->fields[test_random_below(fields_size(records))] = (uint8_t)test_random();
        struct column_reader reader = {.schema = SCHEMA,
                                       .ids = reader_init(records->ids, ids_size(records)),
                                       .fields =
                                           reader_init(records->fields, fields_size(records))};
        while (command_decode(&reader, command, &malformed))
            check_settled(command);
        malformed_count += malformed;
        free(records);
    }
    free(command);
    CHECK(malformed_count > 0);
}

TEST(only_commands_are_records)
{
    static struct logged_command command;
    for (unsigned number = 1; number <= UINT8_MAX; number++) {
        uint8_t fields[64] = {(uint8_t)number};
        bool malformed = false;
        struct column_reader reader = {.schema = SCHEMA,
                                       .ids = reader_init(fields, 0),
                                       .fields = reader_init(fields, sizeof fields)};
        if (is_logged(message_info(number)))
            continue;
        CHECK(!command_decode(&reader, &command, &malformed));
        CHECK(malformed);
    }
}

TEST(time_alone_is_the_end_and_not_malformed)
{
    static struct logged_command command;
    uint8_t fields[2 * VARINT_SIZE_MAX];
    struct column_writer writer = {.ids = NULL, .fields = fields};
    bool malformed = true;
    time_encode(1000, &writer);
    struct column_reader reader = {.schema = SCHEMA,
                                   .ids = reader_init(fields, 0),
                                   .fields = reader_init(fields, (size_t)(writer.fields - fields)),
                                   .time_us = 5};
    CHECK(!command_decode(&reader, &command, &malformed));
    CHECK(!malformed && reader.time_us == 1005);
    writer.fields = fields;
    time_encode(UINT64_MAX, &writer);
    reader.fields = reader_init(fields, (size_t)(writer.fields - fields));
    CHECK(!command_decode(&reader, &command, &malformed));
    CHECK(malformed);
}
