/* The clients of a bench: threads that each drive a share of the connections with a share of the
 * workload, for a warm-up and then for a measured time, and note what they see.
 *
 *   clients_init, clients_run, then the figures, clients_deinit
 *
 * What is measured: in a closed loop every answer received between begin and end; in an open loop
 * every request that was due between them, whenever it was answered. */
#ifndef TILL_BENCH_CLIENTS_H
#define TILL_BENCH_CLIENTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "bench/child.h"
#include "bench/counters.h"
#include "bench/histogram.h"
#include "bench/load.h"
#include "bench/workload.h"

enum { CLIENTS_MAX = 64, SLOTS_MAX = 240, CLIENTS_ERROR_SIZE = 512 };

struct clients_options {
    uint32_t threads;
    uint32_t connections; /* in all */
    uint32_t in_flight;   /* on each */
    double rate;          /* requests a second in all; 0: a closed loop */
    uint64_t warm_up_ns;
    uint64_t measure_ns; /* at most */
    uint64_t count;      /* requests to measure; 0: as many as there are in measure_ns */
    const int *cores;    /* to pin each thread to; NULL: none */
    bool live;           /* show progress on stderr */
};

struct client_thread {
    struct load load;
    struct workload_share *share;
    struct clients *clients;
    pthread_t thread;
    uint32_t number;
    bool asking;
    bool measuring;
    bool failed;
    atomic_bool has_ended; /* its measured part */
    _Atomic uint64_t progress;

    /* Since begin. The slots cut the time up; what came after its end is in the one behind them. */
    struct histogram *slots;
    uint32_t slot;
    uint64_t slot_end_ns;
    uint64_t measured;
    uint64_t requests; /* answered until end */
    uint64_t orders;
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t last_ns; /* when the last of them was answered */
    uint64_t cpu_ns;
    uint64_t spun_ns;
    uint64_t wait_ns;
    uint64_t backlog; /* due before the end and never sent */

    uint64_t wrong_answers; /* of the whole run */
    char wrong_first[160];
};

struct clients {
    char error[CLIENTS_ERROR_SIZE];

    /* The figures, for all threads. */
    uint64_t requests;
    uint64_t orders;
    uint64_t wrong_answers;
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t backlog;
    uint64_t backlog_max;
    double seconds;
    double cpu_share; /* of its core, used by the busiest thread; polling is not counted */
    uint64_t cpu_ns;
    uint64_t server_cpu_ns;
    uint64_t wait_ns; /* the longest time that one client thread was ready to run and got no core */
    uint64_t server_wait_ns; /* the same of the server */
    struct counted server_counted;
    struct histogram latency;
    struct histogram *slots; /* slot_count of them, slot_ns each; one more for what came later */
    uint32_t slot_count;
    uint32_t slot_used; /* the last with anything in it, from 1 */
    uint64_t slot_ns;
    const char *ended; /* why the server accepted no more orders, or NULL */
    uint32_t in_flight;

    /* Private. */
    struct clients_options options;
    struct client_thread *threads;
    uint64_t start_ns;
    uint64_t begin_ns;
    uint64_t end_ns;
    atomic_bool stop;
};

/* Connects; shares has options->threads of them. False with an error. */
bool clients_init(struct clients *clients, const struct clients_options *options,
                  const struct load_address *address, struct workload_share *shares);
void clients_deinit(struct clients *clients);

/* False with an error when a connection broke or answers did not come; the figures stand, as far
 * as they go. */
bool clients_run(struct clients *clients, const struct child *server);

#endif
