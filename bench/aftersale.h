/* What comes after the demo's sale: what was sold is shipped, some of it comes back, and money and
 * points go back with it; then a day passes.
 *
 * Each order has a plan of steps, drawn from the seed by its number, and is asked for one step at a
 * time. What a refund must give back is worked out here, from the order's notes alone. */
#ifndef TILL_BENCH_AFTERSALE_H
#define TILL_BENCH_AFTERSALE_H

#include "bench/crowd.h"
#include "bench/load.h"

enum {
    EARN_MONEY = 100, /* minor units a point */
    RETURN_WINDOW_S = 3600,
    EARN_LIFE_S = 365 * 24 * 3600,
    RETAIN_HOURS = 12, /* closed orders, */
    DAY_S = 24 * 3600, /* of which a day is more than enough */
};

struct aftersale {
    uint32_t shipped; /* orders */
    uint32_t delivered;
    uint32_t returned; /* units */
    uint32_t refunds;  /* that have ended well, */
    uint32_t bounced;  /* or not, and were made good by another one */
    int64_t money_back;
    int64_t points_back;
    int64_t points_earned; /* once the day has passed, by the accounts that are looked at */
    uint64_t forgotten;    /* orders that have left memory with it */

    /* Private. */
    struct crowd *crowd;
    struct afterlife *orders; /* by cart */
    uint32_t *ready;          /* a ring of carts whose next step may be asked for */
    uint32_t ready_first;
    uint32_t ready_count;
    uint32_t open; /* orders whose plan is not done */
};

/* False when there is no memory. The crowd's notes are as an audit has left them. */
bool aftersale_init(struct aftersale *aftersale, struct crowd *crowd);
void aftersale_deinit(struct aftersale *aftersale);

/* Asks the server for all steps of all orders. What is answered as it may not be goes to the crowd's
 * counters. False when the server could not be asked; error says why. */
bool aftersale_run(struct aftersale *aftersale, const char *address, uint32_t connections,
                   char *error, size_t error_size);

/* Once a day has passed: waits until the server has done what the day brought, and compares what
 * customers have, and how many orders are in memory, with the notes. */
bool aftersale_audit(struct aftersale *aftersale, const char *address, char *error,
                     size_t error_size);

#endif
