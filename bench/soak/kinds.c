/* What each kind of hostile client does in a step.
 *
 * Most of them send a stream: a hello, then requests without end. Where a connection is in its
 * stream follows from how many bytes of it were sent, so that it can be cut anywhere. */
#include <string.h>

#include "bench/soak/goods.h"
#include "bench/soak/hostile.h"
#include "engine/messages.h"
#include "net/frame.h"

#define NS_PER_SECOND 1000000000ULL

enum {
    KEYS = 500 * 1000, /* of hostile sale.put: after that they come again, and are replayed */
    KIND_KEY = 7,
    KIND_SPREAD = 8,
    HALVES = 4,
    HALF_SECONDS_MAX = 16,
    INVALIDS = 6,
    GARBAGE_SIZE = 16 * 1024,
};

struct hello_frame {
    struct frame frame;
    struct hello_body body;
};

static const struct hello_frame hello = {
    .frame = {.size = sizeof hello, .type = MESSAGE_hello, .request = 1},
    .body = {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION},
};

/* The request whose reply is the largest. */
struct look_frame {
    struct frame frame;
    struct stock_get_body get;
    struct item_body items[STOCK_ITEMS_MAX];
};

struct sale_frame {
    struct frame frame;
    struct sale_put_body put;
    struct pool_body pools[SALE_POOLS_MAX];
};

struct order_frame {
    struct frame frame;
    struct order_place_body place;
    struct line_body lines[ORDER_LINES_MAX];
};

union request {
    struct frame frame;
    struct look_frame look;
    struct sale_frame sale;
    struct order_frame order;
};

static void write_look(struct look_frame *look, uint64_t first)
{
    *look = (struct look_frame){
        .frame = {.size = sizeof *look, .type = MESSAGE_stock_get, .request = 2},
        .get = {.item_count = STOCK_ITEMS_MAX},
    };
    for (uint32_t i = 0; i < STOCK_ITEMS_MAX; i++)
        look->items[i].sku = GOODS_COMMON_FIRST + (first + 7 * i) % GOODS_COMMON_COUNT;
}

/* Sends up to size bytes of the stream of a hello and the same request again and again; false when
 * there is no more room. */
static bool send_stream(struct hostile *hostile, struct hostile_connection *connection,
                        const struct frame *request, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)&hello;
    size_t start = connection->sent, left = sizeof hello - start;
    if (connection->sent >= sizeof hello) {
        bytes = (const uint8_t *)request;
        start = (connection->sent - sizeof hello) % request->size;
        left = request->size - start;
    }
    left = left < size ? left : size;
    size_t sent = hostile_send(hostile, connection, bytes + start, left);
    connection->sent += sent;
    return sent == left;
}

/* Asks for as many of the largest replies as the socket takes requests, and reads none. */
static void deaf(struct hostile *hostile, struct hostile_connection *connection)
{
    struct look_frame look;
    write_look(&look, connection->number);
    if (hostile_is_closed(hostile, connection))
        return;
    for (uint32_t i = 0; i < 64 && send_stream(hostile, connection, &look.frame, sizeof look); i++)
        continue;
}

static void slow_reader(struct hostile *hostile, struct hostile_connection *connection)
{
    deaf(hostile, connection);
    hostile_read(hostile, connection, 1);
}

static void slow_writer(struct hostile *hostile, struct hostile_connection *connection)
{
    struct look_frame look;
    write_look(&look, connection->number);
    send_stream(hostile, connection, &look.frame, 1);
    hostile_read(hostile, connection, HOSTILE_SCRATCH_SIZE);
}

/* Sends part of a frame once, then nothing, until the connection is reopened. */
static void half(struct hostile *hostile, struct hostile_connection *connection)
{
    static const uint8_t zeros[FRAME_SIZE_MAX];
    struct {
        struct hello_frame hello;
        struct look_frame look;
        struct frame largest;
    } parts = {.hello = hello,
               .largest = {.size = FRAME_SIZE_MAX, .type = MESSAGE_stock_get, .request = 2}};
    const size_t look_offset = offsetof(typeof(parts), look);
    uint32_t part = connection->number % HALVES;
    write_look(&parts.look, connection->number);
    if (connection->sent > 0) {
        uint64_t seconds = 1 + connection->number / HALVES % HALF_SECONDS_MAX;
        if (!hostile_is_closed(hostile, connection) &&
            load_clock_ns() > connection->opened_ns + seconds * NS_PER_SECOND)
            hostile_close(connection, true);
        return;
    }
    if (part == 0) {
        connection->sent = hostile_send(hostile, connection, &parts, sizeof parts.hello / 3);
    } else if (part == 1) {
        connection->sent = hostile_send(hostile, connection, &parts, look_offset + 8);
    } else if (part == 2) {
        connection->sent = hostile_send(hostile, connection, &parts, sizeof parts - 40);
    } else {
        connection->sent = hostile_send(hostile, connection, &parts, look_offset);
        hostile_send(hostile, connection, &parts.largest, sizeof parts.largest);
        hostile_send(hostile, connection, zeros, FRAME_SIZE_MAX - sizeof parts.largest - 8);
    }
}

static void silent(struct hostile *hostile, struct hostile_connection *connection)
{
    if (hostile_is_closed(hostile, connection) || connection->number % 2 == 0)
        return;
    if (connection->sent < sizeof hello)
        send_stream(hostile, connection, &hello.frame, sizeof hello);
}

/* Every second connection closes without waiting for the answer. */
static void churn(struct hostile *hostile, struct hostile_connection *connection)
{
    if (connection->sent < sizeof hello)
        send_stream(hostile, connection, &hello.frame, sizeof hello);
    else if (hostile_read(hostile, connection, HOSTILE_SCRATCH_SIZE) > 0)
        hostile_close(connection, false);
    if (connection->number % 2 == 1 && connection->sent == sizeof hello)
        hostile_close(connection, true);
}

/* Writes a frame that breaks the protocol in one of INVALIDS ways; returns how much of it there is.
 */
static size_t write_invalid(struct hostile *hostile, struct look_frame *look, uint32_t way)
{
    write_look(look, way);
    switch (way) {
    case 0:
        look->frame.size = 20;
        break;
    case 1:
        look->frame.size = UINT32_MAX - 7;
        break;
    case 2:
        look->frame.type = 0x7fff;
        break;
    case 3:
        look->get.item_count = UINT16_MAX;
        break;
    case 4:
        look->items[STOCK_ITEMS_MAX - 1].reserved = 1;
        break;
    default:
        for (uint32_t i = 0; i < GARBAGE_SIZE / 8; i++)
            ((uint64_t *)(void *)hostile->scratch)[i] = random_next(&hostile->random);
        return 0;
    }
    return sizeof *look;
}

/* After the invalid frame it reads until the server has closed; what happened to be the beginning
 * of a frame is given up. */
static void invalid(struct hostile *hostile, struct hostile_connection *connection)
{
    struct look_frame look;
    if (connection->round > 0) {
        hostile_read(hostile, connection, HOSTILE_SCRATCH_SIZE);
        if (load_clock_ns() > connection->opened_ns + NS_PER_SECOND)
            hostile_close(connection, true);
        return;
    }
    if (connection->sent < sizeof hello)
        send_stream(hostile, connection, &hello.frame, sizeof hello);
    if (connection->sent < sizeof hello)
        return;
    size_t size = write_invalid(hostile, &look, random_below(&hostile->random, INVALIDS));
    if (size > 0)
        hostile_send(hostile, connection, &look, size);
    else
        hostile_send(hostile, connection, hostile->scratch, GARBAGE_SIZE);
    connection->round = 1;
}

/* The largest requests. */

static void write_sale(struct sale_frame *sale, uint32_t key)
{
    *sale = (struct sale_frame){
        .frame = {.size = sizeof *sale, .type = MESSAGE_sale_put},
        .put = {.key = random_id_of(KIND_KEY, KIND_KEY, key),
                .sale = 1 + key % GOODS_SALES,
                .pool_count = SALE_POOLS_MAX},
    };
    for (uint32_t i = 0; i < SALE_POOLS_MAX; i++)
        sale->pools[i] = (struct pool_body){.sku = GOODS_POOLED_FIRST + i,
                                            .quantity = 1 + key % GOODS_POOL_MAX,
                                            .warehouse = GOODS_WAREHOUSE};
}

static void write_order(struct order_frame *order, uint32_t number)
{
    *order = (struct order_frame){
        .frame = {.size = sizeof *order, .type = MESSAGE_order_place},
        .place = {.order = random_id_of(KIND_SPREAD, KIND_SPREAD, number),
                  .customer = random_id_of(KIND_SPREAD, KIND_SPREAD + 1, 0),
                  .currency = GOODS_CURRENCY,
                  .line_count = ORDER_LINES_MAX,
                  .allocation = allocation_RANK},
    };
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++)
        order->lines[i] = (struct line_body){
            .sku = GOODS_SPREAD_FIRST + i, .quantity = GOODS_SPREAD_QUANTITY, .price = GOODS_PRICE};
}

/* All connections ask for the same in one round, and in every fourth for something of each. */
static void write_largest(union request *request, const struct hostile_connection *connection)
{
    uint32_t round = connection->round, number = connection->number;
    uint32_t way = round % 4 < 3 ? round % 4 : number % 3;
    if (way == 0)
        write_look(&request->look, number + round);
    else if (way == 1)
        write_sale(&request->sale, (round * 128 + number) % KEYS);
    else
        write_order(&request->order, number % GOODS_SPREAD_ORDERS);
    request->frame.request = round;
}

/* Counts the outcomes of the replies in the scratch memory. */
static void count_replies(struct hostile *hostile, struct hostile_connection *connection,
                          size_t size)
{
    const uint8_t *bytes = hostile->scratch;
    while (size > 0) {
        size_t part = sizeof connection->head - connection->head_size;
        if (connection->skip > 0) {
            part = size < connection->skip ? size : connection->skip;
            connection->skip -= (uint32_t)part;
        } else {
            part = size < part ? size : part;
            memcpy(connection->head + connection->head_size, bytes, part);
            connection->head_size += (uint32_t)part;
        }
        bytes += part;
        size -= part;
        if (connection->head_size == sizeof connection->head) {
            struct frame frame;
            memcpy(&frame, connection->head, sizeof frame);
            if (frame.type != (MESSAGE_hello | FRAME_REPLY))
                hostile->figures.outcomes[frame.outcome % OUTCOME_COUNT]++;
            connection->skip = frame.size - (uint32_t)sizeof frame;
            connection->head_size = 0;
        }
    }
}

/* One request a step. What the socket did not take of it goes first in the next one; `sent` counts
 * the hello, then starts anew with each request. */
static void largest(struct hostile *hostile, struct hostile_connection *connection)
{
    union request request;
    size_t got;
    while ((got = hostile_read(hostile, connection, HOSTILE_SCRATCH_SIZE)) > 0)
        count_replies(hostile, connection, got);
    if (connection->round == 0) {
        send_stream(hostile, connection, &hello.frame, sizeof hello);
        if (connection->sent < sizeof hello)
            return;
        connection->round = 1;
        connection->sent = 0;
    }
    write_largest(&request, connection);
    connection->sent +=
        hostile_send(hostile, connection, (const uint8_t *)&request + connection->sent,
                     request.frame.size - connection->sent);
    if (connection->sent == request.frame.size) {
        connection->round++;
        connection->sent = 0;
    }
}

#define HOSTILE_KIND(name, connections, pace, tick_ms, step, text)                                 \
    {name, connections, PACE_##pace, tick_ms, step, text},
const struct hostile_kind hostile_kinds[HOSTILE_KIND_COUNT] = {HOSTILE_KINDS(HOSTILE_KIND)};
#undef HOSTILE_KIND
