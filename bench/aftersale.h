/* What comes after the demo's sale: what was sold is shipped, some of it comes back, and money and
 * points go back with it; then a day passes.
 *
 * Each order has a plan of steps, drawn from the seed by its number, and is asked for one step at a
 * time. What a refund must give back is worked out here, from the order's notes alone. */
#ifndef TILL_BENCH_AFTERSALE_H
#define TILL_BENCH_AFTERSALE_H

#include "bench/audit.h"

enum {
    EARN_MONEY = 100, /* minor units a point */
    RETURN_WINDOW_S = 3600,
    EARN_LIFE_S = 365 * 24 * 3600,
};

struct aftersale {
    uint32_t shipped; /* orders */
    uint32_t delivered;
    uint32_t returned; /* units */
    uint32_t refunds;  /* that have ended well, */
    uint32_t bounced;  /* or not, and were made good by another one */
    int64_t money_back;
    int64_t points_back;
    int64_t points_earned; /* once the day has passed, */
    uint32_t earners;      /* by so many orders; */
    uint64_t forgotten;    /* so many have left memory */

    /* Private. */
    struct audit *audit;
    struct crowd *crowd;      /* the audit's */
    struct afterlife *orders; /* by cart */
    uint32_t *ready;          /* a ring of carts whose next step may be asked for */
    uint32_t ready_first;
    uint32_t ready_count;
    struct customer *customers; /* what the buyers must have a day later */
    uint32_t asked;             /* of them */
};

/* False when there is no memory. The notes are as the audit has left them. */
bool aftersale_init(struct aftersale *aftersale, struct audit *audit);
void aftersale_deinit(struct aftersale *aftersale);

/* Asks the server for all steps of all orders. What is answered as it may not be goes to the
 * crowd's counters. False when the server could not be asked; error says why. */
bool aftersale_run(struct aftersale *aftersale, const char *address, uint32_t connections,
                   char *error, size_t error_size);

/* Once a day has passed: waits until the server has done what the day brought, and compares every
 * balance, all stock and how many orders are in memory with the notes. */
bool aftersale_audit(struct aftersale *aftersale, const char *address, uint32_t connections,
                     char *error, size_t error_size);

#endif
