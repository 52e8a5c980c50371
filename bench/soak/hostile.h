/* Hostile clients: many connections that all misbehave in one way, driven by one thread beside the
 * honest ones, for as long as a phase lasts.
 *
 *   hostile_start, then whatever is measured beside them, hostile_stop
 *
 * Each kind is a row of HOSTILE_KINDS and a function in kinds.c that takes one connection one step
 * further. A connection that the server has closed is opened again at its next step. All loads are
 * bounded: by the number of connections, by the tick between two steps of each, and by a bounded
 * number of ids and keys, so that they fill no table however long they last. */
#ifndef TILL_BENCH_SOAK_HOSTILE_H
#define TILL_BENCH_SOAK_HOSTILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "bench/load.h"
#include "bench/random.h"

/* When the connections take their steps. */
enum hostile_pace {
    PACE_EVEN,     /* each once a tick, one after the other */
    PACE_TOGETHER, /* all of them at the same moment, once a tick */
    PACE_LINE,     /* one after the other, as fast as it goes */
};

/* KIND(name, connections, pace, tick_ms, step, text) */
#define HOSTILE_KINDS(KIND)                                                                        \
    KIND("deaf-64", 64, EVEN, 20, deaf, "ask for the largest replies and read nothing")            \
    KIND("deaf-300", 300, EVEN, 20, deaf, "the same, more of them")                                \
    KIND("deaf-1000", 1000, EVEN, 20, deaf, "the same, more still")                                \
    KIND("slow-readers", 1000, EVEN, 20, slow_reader, "the same, but read a byte a tick")          \
    KIND("slow-writers", 1000, EVEN, 50, slow_writer, "send valid requests, a byte a tick")        \
    KIND("halves", 1000, EVEN, 50, half, "send a part of a hello or of a frame, and wait")         \
    KIND("silent", 10000, EVEN, 1000, silent, "connect and say nothing, or hello and no more")     \
    KIND("churn", 64, LINE, 0, churn, "connect, hello, close, at line rate")                       \
    KIND("invalid", 64, LINE, 0, invalid, "send frames that break the protocol, at line rate")     \
    KIND("largest", 128, TOGETHER, 50, largest, "all at once, requests of the largest sizes")

#define HOSTILE_COUNT_ONE(...) +1
enum { HOSTILE_KIND_COUNT = HOSTILE_KINDS(HOSTILE_COUNT_ONE) };
#undef HOSTILE_COUNT_ONE

/* What they did, to show that they were there. */
struct hostile_figures {
    uint64_t opened;
    uint64_t refused; /* connections that could not be opened */
    uint64_t closed;  /* by the server */
    uint64_t steps;
    uint64_t bytes_sent;
    uint64_t bytes_read;
    uint64_t outcomes[OUTCOME_COUNT]; /* of the largest requests */
};

struct hostile;

struct hostile_connection {
    int fd;          /* -1: not open */
    uint32_t number; /* from 0 */
    uint64_t opened_ns;
    uint64_t sent;      /* bytes of its stream */
    uint32_t round;     /* requests begun */
    uint32_t skip;      /* bytes of the reply being read that are still to come */
    uint32_t head_size; /* bytes of the header being read that are there */
    uint8_t head[16];
};

struct hostile_kind {
    const char *name;
    uint32_t connections;
    enum hostile_pace pace;
    uint32_t tick_ms;
    void (*step)(struct hostile *hostile, struct hostile_connection *connection);
    const char *text;
};

struct hostile {
    const struct hostile_kind *kind;
    struct load_address address;
    int core; /* to run on; -1: any */
    struct hostile_figures figures;
    struct random random;

    /* Private. */
    struct hostile_connection *connections;
    uint8_t *scratch;
    pthread_t thread;
    atomic_bool stop;
    uint32_t sources; /* addresses used so far */
};

enum { HOSTILE_SCRATCH_SIZE = 64 * 1024 };

extern const struct hostile_kind hostile_kinds[HOSTILE_KIND_COUNT];

/* False when memory or threads are short. */
bool hostile_start(struct hostile *hostile, const struct hostile_kind *kind,
                   const struct load_address *address, int core);

/* Ends the thread and closes everything. */
void hostile_stop(struct hostile *hostile);

/* For the kinds. An open connection sends what it can of the bytes and returns how many that were;
 * it is closed, and 0 returned, when the server has closed it. */
size_t hostile_send(struct hostile *hostile, struct hostile_connection *connection,
                    const void *bytes, size_t size);

/* Reads up to size bytes to the scratch memory, in the same way. */
size_t hostile_read(struct hostile *hostile, struct hostile_connection *connection, size_t size);

/* Has the server closed it? Closes it then. */
bool hostile_is_closed(struct hostile *hostile, struct hostile_connection *connection);

/* Closes it from this side: with a reset, or as one does. */
void hostile_close(struct hostile_connection *connection, bool reset);

#endif
