/* A workload: what the buyers of a bench ask for, and what they must be answered.
 *
 * One `struct workload` describes the shop and is only read while the bench runs; each client
 * thread has a `struct workload_share`, which writes its requests and judges its answers. The same
 * workload drives a server over the network and an engine in this process.
 *
 *   workload_init, workload_set_up, share_init for each thread,
 *   share_request and share_answer, workload_audit when nothing is unanswered,
 *   share_deinit, workload_deinit */
#ifndef TILL_BENCH_WORKLOAD_H
#define TILL_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/random.h"
#include "bench/shop.h"
#include "engine/engine.h"
#include "net/frame.h"

enum {
    WORKLOAD_SKUS_MAX = 1 << 17,
    WORKLOAD_RANK_CELLS = 1 << 14,
    WORKLOAD_ERROR_SIZE = 256,
};

struct workload_options {
    const char *name;
    uint32_t skus;      /* of zipf, cart, lifecycle and read */
    uint32_t customers; /* ids are drawn from a pool of so many */
    uint32_t lines;     /* the most lines of a cart */
    uint32_t shares;
    uint64_t requests; /* the most that the run may come to; sizes what has to be prepared */
};

struct workload_kind;

struct workload {
    const struct workload_kind *kind;
    struct workload_options options;
    uint64_t seed;
    uint64_t sku_first; /* the run's own SKUs have numbers in a row */
    uint32_t sku_count;
    uint32_t sale;
    int64_t units;                           /* stock of each SKU */
    uint32_t ranks[WORKLOAD_RANK_CELLS + 1]; /* where each cell of the skewed draw begins */
    uint32_t *sold;                          /* read: units by SKU, in prepared orders */
};

enum verdict {
    VERDICT_RIGHT,
    VERDICT_WRONG,
    VERDICT_ENDED, /* a table of the server is full; share->ended says which */
};

struct workload_answer {
    const struct frame *frame; /* with the body behind it */
    uint64_t token;            /* as share_request gave it */
    uint32_t connection;       /* index within the share */
};

/* Bytes of a request or reply of order.place with all its lines. */
struct order_frame {
    struct frame frame;
    struct order_place_body place;
    struct line_body lines[ORDER_LINES_MAX];
};

struct workload_share {
    const struct workload *workload;
    struct random random;
    struct order_frame order; /* ready but for what differs from request to request */
    uint64_t seed;            /* of the ids that must be known again */
    uint64_t *seq_last;       /* by connection */
    uint64_t asked;
    char ended[128]; /* empty unless VERDICT_ENDED was given */

    /* Units of stock that this share's buyers hold, by what the server answered. */
    uint64_t units_reserved;
    uint64_t units_committed;

    struct wave *waves;    /* stampede: by SKU */
    struct visits *visits; /* lifecycle: orders under way */
};

/* The names and texts of all workloads, for help. */
void workload_print(FILE *out);

/* False with an error: no such workload, or no memory. */
bool workload_init(struct workload *workload, const struct workload_options *options,
                   char error[WORKLOAD_ERROR_SIZE]);
void workload_deinit(struct workload *workload);

/* The capacities that an engine needs for so many requests. */
void workload_capacities(const struct workload *workload, uint64_t requests,
                         struct engine_options *capacities);

/* Puts SKUs, stock, sale and whatever else has to be there. */
bool workload_set_up(struct workload *workload, const struct shop *shop);

/* connections: of this share; in_flight: unanswered requests in all. False without memory. */
bool share_init(struct workload_share *share, const struct workload *workload, uint32_t number,
                uint32_t connections, uint32_t in_flight);
void share_deinit(struct workload_share *share);

/* Writes type, size and body; the frame has FRAME_SIZE_MAX bytes of room. Returns the token that
 * share_answer is to be given with the answer. */
uint64_t share_request(struct workload_share *share, struct frame *frame);
enum verdict share_answer(struct workload_share *share, const struct workload_answer *answer);

/* Is this the decision of an order, which is what a bench counts? Not one of an order that was
 * decided before. */
bool answer_is_order(const struct frame *frame);

/* When every request is answered: does the server's stock agree with what it answered? Waits a
 * while for holds to expire. False with an error that names what does not add up. */
bool workload_audit(const struct workload *workload, const struct workload_share *shares,
                    const struct shop *shop, char error[WORKLOAD_ERROR_SIZE]);

#endif
