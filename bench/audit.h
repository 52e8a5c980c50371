/* The audit of the demo: asks the server for every order, every SKU's stock and every balance of
 * points, and holds the answers against the crowd's notes and against each other. */
#ifndef TILL_BENCH_AUDIT_H
#define TILL_BENCH_AUDIT_H

#include "bench/crowd.h"
#include "net/client.h"

enum { AUDIT_STATES = order_state_CANCELLED + 1, AUDIT_ACCOUNTS = BUYERS / POINTS_EVERY };

/* Units of a SKU in a warehouse, by the notes. */
struct audit_units {
    int64_t sold;      /* to orders that are confirmed, */
    int64_t shipped;   /* and of these */
    int64_t restocked; /* came back, and may be sold again, */
    int64_t scrapped;  /* or not */
};

struct audit {
    uint64_t oversold; /* units, over all SKUs */
    uint32_t orders[AUDIT_STATES];
    uint32_t payments[ACT_COUNT]; /* orders that each act was carried out on */
    uint32_t refunds;             /* orders with money to pay back */
    uint64_t hot_left;            /* units that could still be sold, without those that came back */
    struct audit_units units[SKUS + 1][WAREHOUSES + 1];

    /* Private. */
    struct crowd *crowd;
    uint32_t asked;
    int64_t points_spent[AUDIT_ACCOUNTS];
};

/* Runs on a server where nothing moves any more. What is wrong goes to the crowd's counters. False
 * when the server could not be asked; error says why. */
bool audit_run(struct audit *audit, struct crowd *crowd, const char *address, uint32_t connections,
               char *error, size_t error_size);

/* Asks for all that a driver asks for, until every answer is there. False when one did not come;
 * error says why. */
bool audit_ask(const struct load_driver *driver, const char *address, uint32_t connections,
               char *error, size_t error_size);

/* Compares all stock with the units. False when the server could not be asked; the client's error
 * says why. */
bool audit_stocks(struct audit *audit, struct client *client);

#endif
