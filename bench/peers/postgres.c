/* PostgreSQL: the extended protocol, version 3, pipelined.
 *
 * A connection begins with the startup message (user and database `till`, trusted) and one Parse
 * of the call. Each order is then Bind, Execute and Sync, so that each is a transaction of its own;
 * ids go as binary uuids, numbers as binary integers.
 *
 *   B <call>   E   S      ->   2 bound, D one row with the outcome, C complete, Z ready
 *
 * An answer ends with its Z. An error E stands where D and C would. */
#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/peers/protocol.h"

enum {
    VERSION = 3 << 16,
    INTEGER_OID = 23, /* int4 */
    BIGINT_OID = 20,
    UUID_OID = 2950,
    HEADER_SIZE = 5,      /* of a message: its kind and its length, which counts itself */
    ROW_OUTCOME_AT = 11,  /* kind, length, count of columns, length of the first */
    ROW_OUTCOME_SIZE = 4, /* a binary int4 */
};

static uint8_t *put_u16(uint8_t *cursor, uint16_t value)
{
    uint16_t swapped = htons(value);
    memcpy(cursor, &swapped, sizeof swapped);
    return cursor + sizeof swapped;
}

static uint8_t *put_u32(uint8_t *cursor, uint32_t value)
{
    uint32_t swapped = htonl(value);
    memcpy(cursor, &swapped, sizeof swapped);
    return cursor + sizeof swapped;
}

static uint8_t *put_text(uint8_t *cursor, const char *text)
{
    size_t size = strlen(text) + 1;
    memcpy(cursor, text, size);
    return cursor + size;
}

static uint32_t read_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return ntohl(value);
}

static uint8_t *put_parameter(uint8_t *cursor, const void *value, uint32_t size)
{
    cursor = put_u32(cursor, size);
    memcpy(cursor, value, size);
    return cursor + size;
}

/* The length at `at` covers everything from there to the end. */
static void close_message(uint8_t *at, const uint8_t *end)
{
    put_u32(at, (uint32_t)(end - at));
}

/* What an error says to people: its field M. */
static void read_error(const uint8_t *body, size_t size, char error[PROTOCOL_ERROR_SIZE])
{
    const uint8_t *end = body + size;
    snprintf(error, PROTOCOL_ERROR_SIZE, "an error without a text");
    while (body < end && *body != '\0') {
        size_t length = strnlen((const char *)body, (size_t)(end - body));
        if (*body == 'M')
            snprintf(error, PROTOCOL_ERROR_SIZE, "%.*s", (int)length - 1, body + 1);
        body += length + 1;
    }
}

/* Receives messages until the server is ready. */
static bool await_ready(int fd, char error[PROTOCOL_ERROR_SIZE])
{
    uint8_t header[HEADER_SIZE], body[PROTOCOL_ANSWER_SIZE_MAX];
    bool is_right = true;
    do {
        if (!protocol_receive(fd, header, sizeof header, error))
            return false;
        size_t size = read_u32(header + 1) - sizeof(uint32_t);
        if (size > sizeof body) {
            snprintf(error, PROTOCOL_ERROR_SIZE, "a message of %zu bytes", size);
            return false;
        }
        if (!protocol_receive(fd, body, size, error))
            return false;
        if (header[0] == 'E' || (header[0] == 'R' && read_u32(body) != 0)) {
            snprintf(error, PROTOCOL_ERROR_SIZE, "it asks for credentials");
            if (header[0] == 'E')
                read_error(body, size, error);
            is_right = false;
        }
    } while (header[0] != 'Z' && is_right);
    return is_right;
}

static bool postgres_begin(int fd, const char *procedure, char error[PROTOCOL_ERROR_SIZE])
{
    uint8_t bytes[PROTOCOL_REQUEST_SIZE_MAX];
    uint8_t *cursor = put_u32(bytes + sizeof(uint32_t), VERSION);
    cursor = put_text(cursor, "user");
    cursor = put_text(cursor, "till");
    cursor = put_text(cursor, "database");
    cursor = put_text(cursor, "till");
    *cursor++ = '\0';
    close_message(bytes, cursor);
    if (!protocol_send(fd, bytes, (size_t)(cursor - bytes), error) || !await_ready(fd, error))
        return false;

    static const uint32_t types[] = {UUID_OID, UUID_OID, BIGINT_OID, INTEGER_OID, BIGINT_OID};
    char call[128];
    snprintf(call, sizeof call, "SELECT %s($1, $2, $3, $4, $5)", procedure);
    bytes[0] = 'P';
    cursor = put_text(bytes + HEADER_SIZE, "call");
    cursor = put_text(cursor, call);
    cursor = put_u16(cursor, sizeof types / sizeof types[0]);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        cursor = put_u32(cursor, types[i]);
    close_message(bytes + 1, cursor);
    memcpy(cursor, "S\0\0\0\4", HEADER_SIZE);
    cursor += HEADER_SIZE;
    return protocol_send(fd, bytes, (size_t)(cursor - bytes), error) && await_ready(fd, error);
}

static size_t postgres_request(uint8_t *bytes, uint32_t number, const struct peer_order *order)
{
    static const uint8_t execute_and_sync[] = "E\0\0\0\x09\0\0\0\0\0S\0\0\0\4";
    uint64_t sku = htobe64(order->sku), price = htobe64((uint64_t)order->price);
    uint32_t quantity = htonl(order->quantity);
    (void)number;
    bytes[0] = 'B';
    uint8_t *cursor = put_text(bytes + HEADER_SIZE, ""); /* an unnamed portal */
    cursor = put_text(cursor, "call");
    cursor = put_u16(cursor, 1); /* one format for all parameters: */
    cursor = put_u16(cursor, 1); /* binary */
    cursor = put_u16(cursor, 5);
    cursor = put_parameter(cursor, &order->order, sizeof order->order);
    cursor = put_parameter(cursor, &order->customer, sizeof order->customer);
    cursor = put_parameter(cursor, &sku, sizeof sku);
    cursor = put_parameter(cursor, &quantity, sizeof quantity);
    cursor = put_parameter(cursor, &price, sizeof price);
    cursor = put_u16(cursor, 1); /* and for all results: */
    cursor = put_u16(cursor, 1);
    close_message(bytes + 1, cursor);
    memcpy(cursor, execute_and_sync, sizeof execute_and_sync - 1);
    return (size_t)(cursor - bytes) + sizeof execute_and_sync - 1;
}

static int64_t postgres_answer(const uint8_t *bytes, size_t size, struct peer_answer *answer)
{
    size_t at = 0;
    while (size - at >= HEADER_SIZE) {
        const uint8_t *message = bytes + at;
        uint32_t length = read_u32(message + 1);
        if (length < sizeof length || length > PROTOCOL_ANSWER_SIZE_MAX)
            return -1;
        if (1 + (size_t)length > size - at)
            return 0;
        at += 1 + (size_t)length;
        if (message[0] == 'D' && length >= ROW_OUTCOME_AT + ROW_OUTCOME_SIZE - 1) {
            answer->is_accepted = read_u32(message + ROW_OUTCOME_AT) == PROTOCOL_ACCEPTED;
            if (!answer->is_accepted)
                snprintf(answer->error, sizeof answer->error, "outcome %" PRIu32,
                         read_u32(message + ROW_OUTCOME_AT));
        } else if (message[0] == 'E') {
            read_error(message + HEADER_SIZE, length - sizeof length, answer->error);
        } else if (message[0] == 'Z') {
            return (int64_t)at;
        }
    }
    return 0;
}

const struct protocol protocol_postgres = {
    .name = "postgres",
    .begin = postgres_begin,
    .request = postgres_request,
    .answer = postgres_answer,
};
