/* A peer's protocol, as far as placing an order needs it: how a connection begins, what one request
 * looks like, and where an answer ends. */
#ifndef TILL_BENCH_PEERS_PROTOCOL_H
#define TILL_BENCH_PEERS_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

enum {
    PROTOCOL_ERROR_SIZE = 256,
    PROTOCOL_REQUEST_SIZE_MAX = 512,
    PROTOCOL_ANSWER_SIZE_MAX = 4096,
    PROTOCOL_ACCEPTED = 1, /* what the procedure of every peer returns for an order it took */
};

struct peer_order {
    struct id order;
    struct id customer;
    uint64_t sku;
    uint32_t quantity;
    int64_t price;
};

struct peer_answer {
    uint32_t number; /* of the request, when the protocol is numbered */
    bool is_accepted;
    char error[PROTOCOL_ERROR_SIZE]; /* what the peer said instead; empty when it is accepted */
};

struct protocol {
    const char *name;
    bool is_numbered; /* answers name their request; else they come in order */

    /* Says what has to be said first on a connected, blocking socket. procedure names what is
     * called for each order. */
    bool (*begin)(int fd, const char *procedure, char error[PROTOCOL_ERROR_SIZE]);

    /* Writes a request of at most PROTOCOL_REQUEST_SIZE_MAX bytes; returns its size. */
    size_t (*request)(uint8_t *bytes, uint32_t number, const struct peer_order *order);

    /* Takes the first answer of [bytes, bytes + size): returns its size, 0 when it is not all there
     * yet, -1 when it is malformed. */
    int64_t (*answer)(const uint8_t *bytes, size_t size, struct peer_answer *answer);
};

extern const struct protocol protocol_redis, protocol_postgres, protocol_tarantool;

/* Sends or receives all of it on a blocking socket; false with the reason in error. */
bool protocol_send(int fd, const void *bytes, size_t size, char error[PROTOCOL_ERROR_SIZE]);
bool protocol_receive(int fd, void *bytes, size_t size, char error[PROTOCOL_ERROR_SIZE]);

#endif
