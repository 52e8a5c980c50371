/* An echo server on base/io.h and its clients, all in the test's one thread. */
#ifndef TILL_TESTS_UNIT_IO_SUPPORT_H
#define TILL_TESTS_UNIT_IO_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

enum { ECHO_CONNECTIONS_MAX = 8192, ECHO_HELD_MAX = 64, PATIENCE_US = 10 * 1000 * 1000 };

/* Waits for events until the condition holds; with a bug a wait times out. */
#define TURN_UNTIL(echo, condition)                                                                \
    while (!(condition))                                                                           \
    CHECK(echo_turn((echo), PATIENCE_US) > 0)

/* One accepted connection; the struct is not reused once the connection is closed, so that a late
 * event is detected. */
struct echo_connection {
    int fd;
    bool is_closing;
    bool is_closed;
    bool is_ended; /* nothing more is received */
    bool is_paused;
    bool is_sending;
    uint8_t *out; /* all that was received, so that nothing moves while it is sent */
    size_t out_sent;
    size_t out_end;
    uint64_t received_bytes;
};

struct echo {
    struct io *io;
    int port;
    size_t stream_size;      /* bytes that one connection may send to be echoed */
    uint32_t events_max;     /* requested at once; 0: IO_EVENTS_MAX */
    bool keeps_what_arrives; /* does not send back what it receives */
    bool holds_buffers;      /* releases buffers only when told to */
    uint32_t connections_count;
    uint32_t closed_count;
    uint32_t accept_errors_count;
    uint32_t stops_count;
    uint32_t held[ECHO_HELD_MAX]; /* buffers not released yet */
    uint32_t held_count;
    struct echo_connection *connections;
};

/* buffer_count may be as low as 1. Listens on a free port of 127.0.0.1. */
void echo_open(struct echo *echo, uint32_t connections_max, uint32_t buffer_size,
               uint32_t buffer_count);
void echo_close(struct echo *echo);

/* One io_wait and the handling of its events; waits up to timeout_us. Returns the number of events.
 * Fails the test on an event of a closed connection or a malformed one. */
uint32_t echo_turn(struct echo *echo, uint64_t timeout_us);
void echo_release(struct echo *echo);
void echo_hang_up(struct echo *echo, uint32_t connection);

/* A connected socket that does not block. */
int client_connect(int port);

/* The byte at a position of a client's stream. */
static inline uint8_t stream_byte(uint32_t stream, uint64_t position)
{
    return (uint8_t)(((position + stream) * 2654435761u) >> 13);
}

/* A client that sends a stream in pieces of random size and checks what comes back. */
struct streamer {
    int fd;
    uint32_t stream;
    uint64_t size; /* bytes to send in all */
    uint64_t sent;
    uint64_t echoed;
};

/* Sends and receives a little without waiting; true when all has come back. */
bool streamer_turn(struct streamer *streamer);

#endif
