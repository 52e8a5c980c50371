/* The audit of the demo: asks the server for every order, every SKU's stock and every balance of
 * points, and holds the answers against the crowd's notes and against each other. */
#ifndef TILL_BENCH_AUDIT_H
#define TILL_BENCH_AUDIT_H

#include "bench/crowd.h"
#include "net/client.h"

enum { AUDIT_STATES = order_state_CANCELLED + 1, AUDIT_ACCOUNTS = BUYERS / POINTS_EVERY };

struct audit {
    uint64_t oversold; /* units, over all SKUs */
    uint32_t orders[AUDIT_STATES];
    uint32_t payments[ACT_COUNT]; /* orders that each act was carried out on */
    uint32_t refunds;             /* orders with money to pay back */
    uint64_t hot_left;            /* units that could still be sold */

    /* Private. */
    struct crowd *crowd;
    uint32_t asked;
    int64_t sold[SKUS + 1][WAREHOUSES + 1]; /* by the notes on what is confirmed */
    int64_t points_spent[AUDIT_ACCOUNTS];
};

/* Runs on a server where nothing moves any more. What is wrong goes to the crowd's counters. False
 * when the server could not be asked; error says why. */
bool audit_run(struct audit *audit, struct crowd *crowd, const char *address, uint32_t connections,
               char *error, size_t error_size);

#endif
