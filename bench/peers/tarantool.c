/* Tarantool: one CALL per order in its binary protocol, msgpack in big-endian.
 *
 *   size  { 0 request: 10 call, 1 sync: number }  { 33 tuple: [order, customer, sku, quantity,
 *         price], 34 function: name }
 *   ->  size  { 0 code, 1 sync, 5 schema version }  { 48 data: [outcome] }  or  { 49 error: text }
 *
 * Sizes are written as a 32-bit msgpack number, five bytes. Each call runs in a fiber of its own:
 * answers name their request. The server greets with 128 bytes; guests may call. */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/peers/protocol.h"

enum {
    GREETING_SIZE = 128,
    SIZE_SIZE = 5,
    KEY_TYPE = 0x00,
    KEY_SYNC = 0x01,
    KEY_TUPLE = 0x21,
    KEY_FUNCTION = 0x22,
    KEY_DATA = 0x30,
    KEY_ERROR = 0x31,
    TYPE_CALL = 0x0a,
    MARK_U8 = 0xcc, /* and 16, 32, 64 bits after it */
    MARK_U32 = 0xce,
    MARK_U64 = 0xcf,
    MARK_STRING = 0xa0, /* with up to 31 bytes */
    MARK_STRING8 = 0xd9,
    MARK_STRING16 = 0xda,
    MARK_MAP = 0x80,
    MARK_ARRAY = 0x90,
    MARK_ARRAY32 = 0xdd,
    FIXED_MAX = 0x7f,
    NAME_SIZE_MAX = 31,
};

static char function_name[NAME_SIZE_MAX + 1];

static bool tarantool_begin(int fd, const char *procedure, char error[PROTOCOL_ERROR_SIZE])
{
    char greeting[GREETING_SIZE];
    snprintf(function_name, sizeof function_name, "%s", procedure);
    if (!protocol_receive(fd, greeting, sizeof greeting, error))
        return false;
    if (memcmp(greeting, "Tarantool", 9) == 0)
        return true;
    snprintf(error, PROTOCOL_ERROR_SIZE, "it does not greet as Tarantool does");
    return false;
}

static uint8_t *put_u32(uint8_t *cursor, uint32_t value)
{
    uint32_t swapped = htobe32(value);
    *cursor++ = MARK_U32;
    memcpy(cursor, &swapped, sizeof swapped);
    return cursor + sizeof swapped;
}

static uint8_t *put_u64(uint8_t *cursor, uint64_t value)
{
    uint64_t swapped = htobe64(value);
    *cursor++ = MARK_U64;
    memcpy(cursor, &swapped, sizeof swapped);
    return cursor + sizeof swapped;
}

static uint8_t *put_string(uint8_t *cursor, const void *bytes, size_t size)
{
    *cursor++ = (uint8_t)(MARK_STRING | size);
    memcpy(cursor, bytes, size);
    return cursor + size;
}

static size_t tarantool_request(uint8_t *bytes, uint32_t number, const struct peer_order *order)
{
    uint8_t *cursor = bytes + SIZE_SIZE;
    *cursor++ = MARK_MAP | 2;
    *cursor++ = KEY_TYPE;
    *cursor++ = TYPE_CALL;
    *cursor++ = KEY_SYNC;
    cursor = put_u32(cursor, number);
    *cursor++ = MARK_MAP | 2;
    *cursor++ = KEY_FUNCTION;
    cursor = put_string(cursor, function_name, strlen(function_name));
    *cursor++ = KEY_TUPLE;
    *cursor++ = MARK_ARRAY | 5;
    cursor = put_string(cursor, &order->order, sizeof order->order);
    cursor = put_string(cursor, &order->customer, sizeof order->customer);
    cursor = put_u64(cursor, order->sku);
    cursor = put_u32(cursor, order->quantity);
    cursor = put_u64(cursor, (uint64_t)order->price);
    put_u32(bytes, (uint32_t)(cursor - bytes - SIZE_SIZE));
    return (size_t)(cursor - bytes);
}

/* A number or the length of a string or array, of any width; false when it is none. */
static bool take_number(const uint8_t **cursor, const uint8_t *end, uint64_t *value)
{
    if (*cursor == end)
        return false;
    uint8_t mark = *(*cursor)++;
    *value = mark;
    if (mark <= FIXED_MAX)
        return true;
    if (mark < MARK_U8 || mark > MARK_U64)
        return false;
    size_t width = (size_t)1 << (mark - MARK_U8);
    if ((size_t)(end - *cursor) < width)
        return false;
    for (*value = 0; width > 0; width--)
        *value = *value << 8 | *(*cursor)++;
    return true;
}

/* The header: a map of numbers to numbers. */
static bool take_header(const uint8_t **cursor, const uint8_t *end, uint64_t *sync)
{
    if (*cursor == end || (*(*cursor) & 0xf0) != MARK_MAP)
        return false;
    for (unsigned left = *(*cursor)++ & 0x0f; left > 0; left--) {
        uint64_t key, value;
        if (!take_number(cursor, end, &key) || !take_number(cursor, end, &value))
            return false;
        if (key == KEY_SYNC)
            *sync = value;
    }
    return true;
}

/* The text of an error: the string that follows its key. */
static void read_error(const uint8_t *body, const uint8_t *end, char error[PROTOCOL_ERROR_SIZE])
{
    size_t left = (size_t)(end - body), at = 3, size = 0;
    snprintf(error, PROTOCOL_ERROR_SIZE, "an error without a text");
    if (left < 5 || body[1] != KEY_ERROR)
        return;
    if ((body[2] & 0xe0) == MARK_STRING) {
        size = body[2] & 0x1f;
    } else if (body[2] == MARK_STRING8) {
        size = body[3];
        at = 4;
    } else if (body[2] == MARK_STRING16) {
        size = (size_t)body[3] << 8 | body[4];
        at = 5;
    }
    if (size <= left - at)
        snprintf(error, PROTOCOL_ERROR_SIZE, "%.*s", (int)size, body + at);
}

static int64_t tarantool_answer(const uint8_t *bytes, size_t size, struct peer_answer *answer)
{
    uint32_t length;
    uint64_t sync = UINT32_MAX, outcome = 0;
    if (size < SIZE_SIZE)
        return 0;
    memcpy(&length, bytes + 1, sizeof length);
    length = be32toh(length);
    if (bytes[0] != MARK_U32 || length > PROTOCOL_ANSWER_SIZE_MAX)
        return -1;
    if (length > size - SIZE_SIZE)
        return 0;
    const uint8_t *body = bytes + SIZE_SIZE;
    const uint8_t *end = body + length;
    if (!take_header(&body, end, &sync))
        return -1;
    answer->number = (uint32_t)sync;
    const uint8_t *data = body;
    bool is_data = end - data >= 8 && data[0] == (MARK_MAP | 1) && data[1] == KEY_DATA &&
                   data[2] == MARK_ARRAY32;
    data += is_data ? 7 : 0; /* the array has one element, whatever its length is written as */
    answer->is_accepted =
        is_data && take_number(&data, end, &outcome) && outcome == PROTOCOL_ACCEPTED;
    if (!answer->is_accepted && is_data)
        snprintf(answer->error, sizeof answer->error, "outcome %" PRIu64, outcome);
    else if (!answer->is_accepted)
        read_error(body, end, answer->error);
    return SIZE_SIZE + (int64_t)length;
}

const struct protocol protocol_tarantool = {
    .name = "tarantool",
    .is_numbered = true,
    .begin = tarantool_begin,
    .request = tarantool_request,
    .answer = tarantool_answer,
};
