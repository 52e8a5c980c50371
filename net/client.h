/* A small C client that pipelines: one connection, blocking sockets, requests queued and flushed
 * together, replies taken in order.
 *
 *   client_open, then any number of client_queue and client_receive, client_close.
 *
 * The caller keeps at most client_in_flight_max requests unanswered. */
#ifndef TILL_NET_CLIENT_H
#define TILL_NET_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "net/frame.h"

enum { CLIENT_ERROR_SIZE = 256 };

/* Where a client looks for a server when it is not told: this machine, TILL_PORT_DEFAULT. */
#define CLIENT_ADDRESS_DEFAULT "127.0.0.1:7411"

struct client_reply {
    uint32_t request;
    uint16_t number;  /* message number */
    uint16_t outcome; /* enum outcome */
    uint32_t size;    /* of the body, as this client knows it, whatever the server's schema */
    const void *body; /* valid until the next call */
};

struct client {
    char error[CLIENT_ERROR_SIZE]; /* of the last call that failed */
    uint32_t in_flight;            /* queued and not answered yet */
    uint32_t in_flight_max;        /* as the server's hello said */
    uint64_t server_epoch;
    uint64_t server_seq;

    /* Private. */
    int fd;
    bool checksum;
    bool has_ended; /* error says why; replies in the buffer can still be taken */
    uint32_t request_next;
    uint8_t *out;
    size_t out_size;
    uint8_t *in;
    size_t in_capacity;
    size_t in_start;
    size_t in_end;
    uint64_t fitted[FRAME_SIZE_MAX / 8]; /* the last reply, when the server's schema is another */
};

/* Connects to ADDR:PORT ([ADDR]:PORT for IPv6) and says hello, asking for FRAME_FEATURE_* bits.
 * False with client->error; nothing is left open then. */
bool client_open(struct client *client, const char *address, uint16_t features);
void client_close(struct client *client);

/* Queues a request; flushes by itself when its buffer is full. *request is the number its reply
 * will carry. False when the connection has ended: the request is then not in flight. */
bool client_queue(struct client *client, unsigned number, const void *body, uint32_t size,
                  uint32_t *request);

/* Sends what is queued, and takes in replies while that has to wait. False when the connection has
 * ended; replies that had come can still be taken. */
bool client_flush(struct client *client);

/* Takes the next reply, waiting up to timeout_ms (-1: for ever); what is queued is sent before it
 * waits. False on error, time-out, or when the server closed the connection; the error tells which,
 * with the server's reason if it gave one. */
bool client_receive(struct client *client, struct client_reply *reply, int timeout_ms);

/* The same without waiting and without sending: *has_come is false when there is none yet. */
bool client_take(struct client *client, struct client_reply *reply, bool *has_come);

/* For poll: readable when there may be something to take. */
int client_fd(const struct client *client);

/* Queue and receive: one request with nothing else in flight. */
bool client_call(struct client *client, unsigned number, const void *body, uint32_t size,
                 struct client_reply *reply);

#endif
