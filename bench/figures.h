/* The figures of one bench with the conditions that they hold under, for a person, as JSON, and
 * drawn (bench/plot.c). */
#ifndef TILL_BENCH_FIGURES_H
#define TILL_BENCH_FIGURES_H

#include "bench/clients.h"
#include "bench/machine.h"

struct figures {
    const struct clients *clients;
    const struct workload *workload;
    struct machine machine;
    bool pinned;
    bool own_server;                  /* and with it its processor time and its capacities */
    struct engine_options capacities; /* of the own server */
    uint64_t memory_bytes;            /* of its tables */
    const char *audit;                /* what the audit found; empty: nothing */
};

/* A client thread used all of its core: the figures show the limit of the client, not of the
 * server. */
bool figures_client_was_full(const struct figures *figures);

/* One line: workload, connections, in flight, rate. */
enum { CONDITIONS_SIZE = 192 };
const char *figures_conditions(const struct figures *figures, char text[CONDITIONS_SIZE]);

void figures_print(const struct figures *figures);
void figures_print_json(const struct figures *figures);

/* What was counted, an order where there are orders, else a request: the rest of a line of text,
 * which says so when nothing is known; and members of JSON whose names begin with prefix, null
 * where nothing is known. */
void counted_print(const struct counted *counted, uint64_t orders, uint64_t requests);
void counted_print_json(const struct counted *counted, const char *prefix, uint64_t orders,
                        uint64_t requests);

/* Text as the inside of a JSON string; text is cut where there is no room. */
const char *json_text(const char *text, char *room, size_t size);

#endif
