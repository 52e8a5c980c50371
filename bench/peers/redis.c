/* Redis: one EVALSHA per order, pipelined in RESP2.
 *
 *   *8 EVALSHA <sha> 3 o<order id> s:<sku> c<customer id> <quantity> <price>     -> :<outcome>
 *
 * Ids are 16 raw bytes, which RESP takes as they are. The script was loaded by whoever set the
 * peer up; its hash is the procedure's name. An error answer is a line that begins with '-'. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/peers/protocol.h"

enum { HASH_SIZE = 40, ID_KEY_SIZE = 1 + sizeof(struct id) };

/* What is the same in every request. */
static char preamble[96];
static size_t preamble_size;

static bool redis_begin(int fd, const char *procedure, char error[PROTOCOL_ERROR_SIZE])
{
    (void)fd;
    if (strlen(procedure) != HASH_SIZE) {
        snprintf(error, PROTOCOL_ERROR_SIZE, "'%s' is not the hash of a script", procedure);
        return false;
    }
    preamble_size =
        (size_t)snprintf(preamble, sizeof preamble,
                         "*8\r\n$7\r\nEVALSHA\r\n$%d\r\n%s\r\n$1\r\n3\r\n", HASH_SIZE, procedure);
    return true;
}

static uint8_t *put_text(uint8_t *cursor, const char *text, size_t size)
{
    cursor += sprintf((char *)cursor, "$%zu\r\n", size);
    memcpy(cursor, text, size);
    memcpy(cursor + size, "\r\n", 2);
    return cursor + size + 2;
}

static uint8_t *put_number(uint8_t *cursor, const char *prefix, int64_t number)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%s%" PRId64, prefix, number);
    return put_text(cursor, text, (size_t)size);
}

static uint8_t *put_id(uint8_t *cursor, char prefix, struct id id)
{
    char key[ID_KEY_SIZE] = {prefix};
    memcpy(key + 1, &id, sizeof id);
    return put_text(cursor, key, sizeof key);
}

static size_t redis_request(uint8_t *bytes, uint32_t number, const struct peer_order *order)
{
    (void)number;
    memcpy(bytes, preamble, preamble_size);
    uint8_t *cursor = bytes + preamble_size;
    cursor = put_id(cursor, 'o', order->order);
    cursor = put_number(cursor, "s:", (int64_t)order->sku);
    cursor = put_id(cursor, 'c', order->customer);
    cursor = put_number(cursor, "", order->quantity);
    cursor = put_number(cursor, "", order->price);
    return (size_t)(cursor - bytes);
}

static int64_t redis_answer(const uint8_t *bytes, size_t size, struct peer_answer *answer)
{
    const uint8_t *end = memchr(bytes, '\n', size);
    if (end == NULL)
        return 0;
    int64_t taken = end + 1 - bytes;
    if (bytes[0] != ':' && bytes[0] != '-')
        return -1;
    answer->is_accepted = taken == 4 && bytes[0] == ':' && bytes[1] == '0' + PROTOCOL_ACCEPTED;
    if (!answer->is_accepted)
        snprintf(answer->error, sizeof answer->error, "%.*s", (int)taken - 2, bytes);
    return taken;
}

const struct protocol protocol_redis = {
    .name = "redis",
    .begin = redis_begin,
    .request = redis_request,
    .answer = redis_answer,
};
