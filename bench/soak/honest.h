/* The honest clients of a soak: a fixed rate of requests on connections that stay, whose answers
 * are checked, and beside them new connections, each of which wants its hello answered.
 *
 *   honest_init, honest_connect, honest_measure once, honest_run for each phase, honest_deinit
 *
 * What they ask is what a flash sale is asked: most want what is sold out, some look at stock and
 * at their orders, and a bounded share places an order that is accepted and logged. */
#ifndef TILL_BENCH_SOAK_HONEST_H
#define TILL_BENCH_SOAK_HONEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/child.h"
#include "bench/histogram.h"
#include "bench/load.h"
#include "bench/random.h"

enum {
    HONEST_CONNECTIONS = 64,
    HONEST_IN_FLIGHT = 4096,  /* of each, so that a stall of the server is not one of the clients */
    HONEST_FULL = 64,         /* of each, when the maximum is measured */
    HONEST_CUSTOMERS = 50000, /* customers that place orders */
    HONEST_KNOWN = 4096,      /* accepted orders that are asked for again */
    HONEST_ERROR_SIZE = 256,
};

/* What the honest clients measured in one phase. */
struct honest_figures {
    struct histogram latency; /* of requests, from when each was due */
    double seconds;
    uint64_t answered;
    uint64_t unanswered;  /* due in the phase, and not answered in the time it was given after it */
    uint64_t wrong;       /* answers that are not what they must be */
    uint64_t stall_ns;    /* the longest time without any answer */
    uint64_t greetings;   /* new connections, */
    uint64_t ungreeted;   /* of which so many had no answer to their hello, */
    uint64_t greeting_ns; /* and the slowest answer */
    char first_wrong[HONEST_ERROR_SIZE];
    char first_lost[HONEST_ERROR_SIZE];
    char first_ungreeted[HONEST_ERROR_SIZE];
};

struct honest {
    struct load load;
    struct load_address address;
    struct random random;
    uint64_t seed;
    uint64_t orders_left;         /* that may still be placed */
    uint32_t place_shares;        /* of 2^16 requests, how many place one */
    uint64_t orders_begun;        /* numbers of orders: each has its id and its customer */
    uint64_t known[HONEST_KNOWN]; /* a ring of accepted ones */
    uint64_t known_count;
    bool asking;
    uint64_t last_ns;               /* of the last answer */
    struct honest_figures *figures; /* of the phase, or else */
    struct honest_figures unmeasured;
};

/* orders_max: that the server has room for. False when memory is short. */
bool honest_init(struct honest *honest, uint64_t orders_max);
void honest_deinit(struct honest *honest);

/* Opens all connections anew. False with load.error. */
bool honest_connect(struct honest *honest, const char *address);

/* The most requests a second, with every window full, for so long; 0 with load.error. Spreads the
 * orders that may be placed over a run of so many seconds at a share of that rate. */
double honest_measure(struct honest *honest, const char *address, uint64_t length_ns,
                      double run_seconds, double share);

/* Runs one phase at a rate. It ends early when the server has closed all connections. */
void honest_run(struct honest *honest, double rate, uint64_t length_ns,
                struct honest_figures *figures);

#endif
