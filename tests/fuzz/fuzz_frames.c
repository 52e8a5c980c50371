/* Requests with any content that a client may send, decided by a small engine. The input's first
 * byte gives the engine's size, and whether the rest is
 *
 *   one body   held against every message; where it passes, it is decided
 *   requests   a message's number and its fields, each eaten from the input by its type, so that
 *              every request is well-formed, ids meet again, and the engine gets somewhere
 *
 * Replies are well-formed, rejections leave no trace, every invariant holds, and an accepted
 * request can be decoded from its record and leads another engine, with another hash seed, to the
 * same digest.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "engine/codec.h"
#include "engine/engine.h"
#include "tests/fuzz/fuzz.h"

enum {
    INPUT_SIZE_MAX = 4096,
    COLUMN_SIZE = 64 * INPUT_SIZE_MAX + 4 * FRAME_SIZE_MAX,
    GAP = 16,
    CHECK_EVERY = 16, /* batches */
};

#define START_US (1700000000 * US_PER_SECOND)

/* A shop, and the log of what it accepted. */
struct shop {
    struct engine *engine;
    struct engine_options options;
    struct column_writer writer;
    uint64_t now_us;
    uint64_t logged_us;
    uint32_t batch_count;
    uint32_t count;
    struct command commands[BATCH_COMMANDS_MAX];
    struct reply_sink sink;
    uint64_t bodies[BATCH_COMMANDS_MAX][FRAME_SIZE_MAX / 8];
    uint64_t replies[BATCH_COMMANDS_MAX * (FRAME_SIZE_MAX + GAP) / 8];
    uint8_t ids[COLUMN_SIZE];
    uint8_t fields[COLUMN_SIZE];
    struct logged_command decoded;
};

static struct engine *small_engine(const struct engine_options *options)
{
    char error[256];
    struct engine *engine = engine_create(options, error, sizeof error);
    TILL_ASSERT(engine != NULL && engine_list(engine));
    return engine;
}

static void check_engine(const struct engine *engine)
{
    char error[512];
    if (engine_check(engine, error, sizeof error) &&
        engine_check_lists(engine, error, sizeof error))
        return;
    fprintf(stderr, "%s\n", error);
    abort();
}

static void check_reply(const struct command *command)
{
    const struct message_info *message = message_info(command->number);
    bool answered = command->outcome == OUTCOME_OK || command->outcome == OUTCOME_REPLAYED;
    const struct shape_info *shape = answered ? message->reply : rejection_shape();
    uint32_t size = shape->size_bytes;
    TILL_ASSERT(command->outcome < OUTCOME_COUNT && command->reply != NULL);
    TILL_ASSERT(command->reply_size >= size && shape->check(command->reply));
    TILL_ASSERT(command->reply_size <= engine_reply_bound(command->number, command->body));
    const uint8_t *row = command->reply + size;
    uint16_t rows = shape_rows(shape, command->reply);
    for (uint16_t i = 0; i < rows; i++, row += message->reply_row->size_bytes)
        TILL_ASSERT(message->reply_row->check(row));
    TILL_ASSERT(row == command->reply + command->reply_size);
}

static void log_accepted(struct shop *shop, const struct command *command)
{
    uint64_t time_us = engine_time_us(shop->engine);
    if (time_us > shop->logged_us)
        time_encode(time_us - shop->logged_us, &shop->writer);
    shop->logged_us = time_us;
    struct column_reader reader = {.schema = SCHEMA,
                                   .ids = {.cursor = shop->writer.ids},
                                   .fields = {.cursor = shop->writer.fields}};
    command_encode(command->number, command->body, &shop->writer);
    reader.ids.end = shop->writer.ids;
    reader.fields.end = shop->writer.fields;
    bool malformed = true;
    TILL_ASSERT(command_decode(&reader, &shop->decoded, &malformed));
    TILL_ASSERT(shop->decoded.size == command->size);
    TILL_ASSERT(memcmp(shop->decoded.body, command->body, command->size) == 0);
}

static void decide(struct shop *shop)
{
    uint64_t seq = engine_seq(shop->engine);
    uint64_t digest = engine_digest(shop->engine);
    uint32_t accepted_count = 0;
    shop->sink = (struct reply_sink){.cursor = (uint8_t *)shop->replies, .gap = GAP};
    engine_decide(shop->engine, shop->now_us, shop->commands, shop->count);
    for (uint32_t i = 0; i < shop->count; i++) {
        check_reply(&shop->commands[i]);
        if (!shop->commands[i].accepted)
            continue;
        accepted_count++;
        log_accepted(shop, &shop->commands[i]);
    }
    TILL_ASSERT(engine_seq(shop->engine) == seq + accepted_count);
    TILL_ASSERT((engine_digest(shop->engine) == digest) == (accepted_count == 0));
    shop->count = 0;
    if (++shop->batch_count % CHECK_EVERY == 0)
        check_engine(shop->engine);
}

/* Room for the next request's body. */
static uint8_t *next_body(struct shop *shop)
{
    if (shop->count == BATCH_COMMANDS_MAX)
        decide(shop);
    return (uint8_t *)shop->bodies[shop->count];
}

/* The request in next_body. */
static void add(struct shop *shop, const struct message_info *message, uint32_t size)
{
    shop->commands[shop->count] = (struct command){.body = shop->bodies[shop->count],
                                                   .sink = &shop->sink,
                                                   .size = size,
                                                   .number = message->number};
    shop->count++;
}

static bool is_decided(const struct message_info *message)
{
    return message != NULL && message->kind != KIND_SESSION && message->kind != KIND_ADMIN &&
           message->kind != KIND_LINK;
}

static void add_body(struct shop *shop, const struct input *input)
{
    size_t size = input_left(input) / 8 * 8;
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *message = message_info(number);
        uint8_t *body = next_body(shop);
        const char *reason = NULL;
        if (!is_decided(message))
            continue;
        memcpy(body, input->cursor, size);
        if (message_check_request(message, body, size, &reason))
            add(shop, message, (uint32_t)size);
        else
            TILL_ASSERT(reason != NULL);
    }
}

/* One of the type's named values by number; for flags, the n-th value is included when bit n is
 * set; false when the type has none. */
static bool named_value(unsigned type, uint8_t byte, uint64_t *value)
{
    size_t count;
    const struct named_value_info *values = named_values(&count);
    const struct named_value_info *first = NULL;
    uint8_t of_type = 0;
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[i].type != type)
            continue;
        first = first == NULL ? &values[i] : first;
        if (field_type_is_flags(type) && (byte >> of_type & 1) != 0)
            *value |= values[i].value;
        of_type++;
    }
    if (first != NULL && !field_type_is_flags(type))
        *value = first[byte % of_type].value;
    return first != NULL;
}

static void eat_field(const struct shop *shop, struct input *input, const struct field_info *field,
                      uint16_t rows_max, uint8_t *body)
{
    const struct field_type_info *type = field_type_info(field->type);
    uint8_t *bytes = body + field->offset;
    uint64_t value;
    if (type->coding == CODING_ZERO)
        return;
    if (type->coding == CODING_IDENTITY || type->coding == CODING_BYTES) {
        *bytes = input_byte(input) % 16;
        return;
    }
    if (field->type == FIELD_count) {
        value = input_byte(input) % (rows_max + 1u);
    } else if (field->type == FIELD_time) {
        value = input_number(input, 64);
        value = value < 64 && value > 0 ? shop->now_us + (value - 32) * US_PER_SECOND : value;
    } else if (!named_value(field->type, input->cursor < input->end ? *input->cursor : 0, &value)) {
        value = input_number(input, 8);
        value =
            type->coding == CODING_SIGNED && value > 8 ? value >> 1 ^ (~(value & 1) + 1) : value;
    } else {
        input_byte(input);
    }
    memcpy(bytes, &value, type->size_bytes);
}

static void eat_shape(const struct shop *shop, struct input *input, const struct shape_info *shape,
                      uint16_t rows_max, uint8_t *body)
{
    memset(body, 0, shape->size_bytes);
    for (uint16_t i = 0; i < shape->field_count; i++)
        eat_field(shop, input, &shape->fields[i], rows_max, body);
}

static void eat_request(struct shop *shop, struct input *input, const struct message_info *message)
{
    uint8_t *body = next_body(shop);
    const char *reason = NULL;
    eat_shape(shop, input, message->request, message->request_rows_max, body);
    uint32_t size = message->request->size_bytes;
    uint16_t rows = shape_rows(message->request, body);
    for (uint16_t i = 0; i < rows; i++, size += message->request_row->size_bytes)
        eat_shape(shop, input, message->request_row, 0, body + size);
    TILL_ASSERT(message_check_request(message, body, size, &reason));
    add(shop, message, size);
}

static void eat_requests(struct shop *shop, struct input *input)
{
    while (input_left(input) > 0) {
        unsigned number = input_byte(input) % (MESSAGE_NUMBER_MAX + 1);
        if (is_decided(message_info(number))) {
            eat_request(shop, input, message_info(number));
        } else {
            decide(shop);
            shop->now_us += 1ULL << number % 44;
        }
    }
}

/* A few SKUs with stock, an open sale and customers with points, so that orders succeed. */
static void open_shop(struct shop *shop)
{
    struct id key = {.low = 1, .high = 1};
    for (uint32_t i = 1; i < 4; i++) {
        struct sku_put_body sku = {
            .key = key, .sku = i, .price = i, .currency = 1, .name = {{(char)i}}};
        memcpy(next_body(shop), &sku, sizeof sku);
        add(shop, message_info(MESSAGE_sku_put), sizeof sku);
        key.low++;
        struct stock_adjust_body stock = {
            .key = key, .sku = i, .delta = 1 << 3 * i, .warehouse = 1 + i % 2};
        memcpy(next_body(shop), &stock, sizeof stock);
        add(shop, message_info(MESSAGE_stock_adjust), sizeof stock);
        key.low++;
        struct points_credit_body points = {.key = key, .customer = {.low = i}, .points = 10};
        memcpy(next_body(shop), &points, sizeof points);
        add(shop, message_info(MESSAGE_points_credit), sizeof points);
        key.low++;
    }
    struct sale_put_body sale = {
        .key = key, .sale = 1, .points_share = 5000, .rate_points = 2, .rate_money = 1};
    memcpy(next_body(shop), &sale, sizeof sale);
    add(shop, message_info(MESSAGE_sale_put), sizeof sale);
    key.low++;
    struct sale_change_body opening = {.key = key, .sale = 1};
    memcpy(next_body(shop), &opening, sizeof opening);
    add(shop, message_info(MESSAGE_sale_open), sizeof opening);
    decide(shop);
    TILL_ASSERT(engine_seq(shop->engine) == 11);
}

static void check_replay(struct shop *shop)
{
    struct engine_options options = shop->options;
    options.hash_seed = ~options.hash_seed;
    struct engine *engine = small_engine(&options);
    struct column_reader reader = {
        .schema = SCHEMA,
        .ids = reader_init(shop->ids, (size_t)(shop->writer.ids - shop->ids)),
        .fields = reader_init(shop->fields, (size_t)(shop->writer.fields - shop->fields))};
    bool malformed = true;
    while (command_decode(&reader, &shop->decoded, &malformed)) {
        struct command command = {
            .body = shop->decoded.body, .size = shop->decoded.size, .number = shop->decoded.number};
        engine_decide(engine, shop->decoded.time_us, &command, 1);
        TILL_ASSERT(command.accepted);
    }
    TILL_ASSERT(!malformed && engine_seq(engine) == engine_seq(shop->engine));
    TILL_ASSERT(engine_digest(engine) == engine_digest(shop->engine));
    check_engine(engine);
    engine_destroy(engine);
}

static struct engine_options options_of_size(unsigned shift)
{
    struct engine_options options = {
#define CAPACITY(number, name, default, text) .name = 12u << shift,
#include "engine/tables/tables.h"
        .hash_seed = 42,
    };
    return options;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct shop *shop;
    if (size > INPUT_SIZE_MAX)
        return -1;
    if (shop == NULL) {
        shop = malloc(sizeof *shop);
        /* Two engines are made for each input; clearing huge pages would be most of the work. */
        TILL_ASSERT(shop != NULL && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    }
    struct input input = input_init(bytes, size);
    uint8_t first = input_byte(&input);
    memset(shop, 0, offsetof(struct shop, bodies));
    shop->now_us = START_US;
    shop->writer = (struct column_writer){.ids = shop->ids, .fields = shop->fields};
    shop->options = options_of_size(first >> 1 & 3);
    shop->engine = small_engine(&shop->options);
    open_shop(shop);
    if ((first & 1) != 0)
        add_body(shop, &input);
    else
        eat_requests(shop, &input);
    decide(shop);
    check_engine(shop->engine);
    check_replay(shop);
    engine_destroy(shop->engine);
    return 0;
}
