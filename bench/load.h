/* A load: many connections to one server with many requests in flight on each, driven by one
 * thread that spends less on a request than the server does.
 *
 *   load_init, load_connect, then load_turn until done, load_disconnect, load_deinit
 *
 * It runs in a closed loop, where an answer makes room for the next request, or after load_pace in
 * an open one, where requests are due at fixed times whatever the server does.
 *
 * A driver says what is asked and looks at the answers: `request` is called whenever a connection
 * has room for one more, `reply` for each answer in order, `lost` for each request that a broken
 * connection leaves unanswered. After load_disconnect, load_connect may be called again. */
#ifndef TILL_BENCH_LOAD_H
#define TILL_BENCH_LOAD_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/frame.h"

enum { LOAD_ERROR_SIZE = 256, LOAD_OUT_SIZE = 64 * 1024, LOAD_IN_SIZE = 256 * 1024 };

struct load_address {
    struct sockaddr_storage name;
    socklen_t size;
};

struct load_reply {
    const struct frame *frame; /* the body stands behind it; valid during the call */
    uint64_t token;            /* as `request` gave it */
    uint64_t received_ns;
    uint64_t latency_ns; /* until received: from queueing on, or from when it was due */
    uint32_t connection; /* index */
    bool in_order;       /* false when it carries another request's number */
};

struct load_driver {
    void *context;
    /* Writes the body behind *frame, and its type and size (header included); the rest of the
     * frame is the load's. False when there is nothing to ask for now. */
    bool (*request)(void *context, struct frame *frame, uint64_t *token);
    void (*reply)(void *context, const struct load_reply *reply);
    void (*lost)(void *context, uint64_t token);
};

/* The open loop's schedule: request k is due at start_ns + k x interval_ns, until end_ns. */
struct load_schedule {
    double interval_ns; /* 0: a closed loop */
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t asked;       /* requests that were due and were queued */
    uint64_t backlog_max; /* the most that were due and not queued at one moment */
    uint64_t spun_ns;     /* processor time spent on waiting for the next one to be due */
    uint64_t looked_ns;   /* when requests were last queued */
    uint32_t next;        /* connection */
};

/* A request that waits for its answer. */
struct load_ticket {
    uint64_t queued_ns;
    uint64_t token;
};

struct load_connection {
    struct load_ticket *tickets; /* a ring, by request number */
    uint8_t *out;                /* LOAD_OUT_SIZE bytes; [out_start, out_end) is still to be sent */
    uint8_t *partial;            /* FRAME_SIZE_MAX bytes; the beginning of a frame */
    uint32_t out_start;
    uint32_t out_end;
    uint32_t partial_size;
    uint32_t request_oldest; /* the number of the next answer */
    uint32_t request_next;
    int fd; /* -1: not connected */
    bool blocked;
};

struct load {
    char error[LOAD_ERROR_SIZE]; /* why the last call failed, or a connection was lost */
    uint64_t in_flight;
    uint32_t connected;
    uint32_t in_flight_max; /* of one connection; lowered to what the server's hello allows */
    uint32_t grain_ns; /* how often an open loop sends what is due; 0: immediately, by polling */
    struct load_schedule schedule;

    /* Private. */
    struct load_driver driver;
    struct load_connection *connections;
    uint8_t *in; /* shared: each receive is processed before the next one */
    uint8_t *memory;
    size_t memory_size;
    uint32_t connection_count;
    uint32_t ticket_mask;
    int epoll;
};

/* Monotonic. */
uint64_t load_clock_ns(void);

/* Reads ADDR:PORT or [ADDR]:PORT; names are looked up. False when it is none. */
bool load_address_read(struct load_address *address, const char *text);
bool load_address_is_loopback(const struct load_address *address);

/* False when there is not enough memory or no file descriptor; load->error says which. */
bool load_init(struct load *load, const struct load_driver *driver, uint32_t connections,
               uint32_t in_flight_max);
void load_deinit(struct load *load);

/* Opens all connections and says hello on each. False with load->error; none is open then. */
bool load_connect(struct load *load, const struct load_address *address);

/* Closes what is open; unanswered requests are lost. */
void load_disconnect(struct load *load);

/* Asks the driver for as many requests as there is room for, on every connection, and sends them.
 * load_turn does it by itself for the connections that had answers. */
void load_fill(struct load *load);

/* From start_ns to end_ns requests are due at this rate, on one connection after the other. What is
 * due while all connections have their window full waits its turn, after the end too, and its
 * latency goes on counting. */
void load_pace(struct load *load, double requests_per_second, uint64_t start_ns, uint64_t end_ns);

/* How many requests are due by now_ns and not queued, and when the oldest of them was. */
uint64_t load_backlog(const struct load *load, uint64_t now_ns);
uint64_t load_due_ns(const struct load *load, uint64_t request);

/* Waits up to timeout_ms for answers and deals with them. False when a connection broke, with
 * load->error; the others go on. */
bool load_turn(struct load *load, int timeout_ms);

#endif
