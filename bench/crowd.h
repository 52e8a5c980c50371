/* The crowd of the demo: 100,000 buyers, what each of them wants and does, and notes of every
 * answer that any of them was given.
 *
 * What a buyer does is drawn from the seed by his cart's number, so that a request can be written
 * again, byte for byte, when its answer was lost. The notes are what the audit holds the server to.
 */
#ifndef TILL_BENCH_CROWD_H
#define TILL_BENCH_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/status.h"
#include "bench/agenda.h"
#include "bench/histogram.h"
#include "bench/load.h"
#include "engine/messages.h"

enum {
    BUYERS = 100000,
    RETURNERS = 3000, /* buyers who come a second time, with another order */
    CARTS = BUYERS + RETURNERS,

    WAREHOUSES = 2, /* numbered from 1 */
    HOT_SKUS = 4,
    COMMON_SKUS = 300,
    SKUS = HOT_SKUS + COMMON_SKUS, /* numbered from 1, the hot ones first */
    HOT_UNITS = 1000,              /* of all hot SKUs together */
    CURRENCY_EUR = 978,
    SALE = 1,
    SALE_HOLD_S = 2,
    CUSTOMER_SKU_MAX = 2,
    CUSTOMER_SALE_MAX = 4,
    POINTS_EVERY = 25, /* each 25th buyer has points */
    POINTS_CREDITED = 2000,
    POINTS_ASKED = 1500,
    POINTS_SHARE = 3000, /* of 10,000 */

    PLAN_LINES_MAX = 2,
    CART_TAKES_MAX = PLAN_LINES_MAX * WAREHOUSES,
};

/* ACT(NAME, message): what a buyer, or the payment provider for him, may ask for. */
#define ACTS(ACT)                                                                                  \
    ACT(PLACE, order_place)                                                                        \
    ACT(PAY, payment_event)                                                                        \
    ACT(PAY_WRONG, payment_event)                                                                  \
    ACT(PAY_TWICE, payment_event)                                                                  \
    ACT(FAIL, payment_event)                                                                       \
    ACT(CANCEL, order_cancel)

#define ACT_ENUM(NAME, message) ACT_##NAME,
enum act { ACTS(ACT_ENUM) ACT_COUNT };
#undef ACT_ENUM

/* Notes on one order: what was answered first, and what may never be answered otherwise. */
struct cart {
    uint64_t seq; /* of the placing; 0: not accepted */
    uint64_t hold_ends;
    int64_t total;
    int64_t points_used;
    int64_t points_value;
    int64_t money_due;
    int64_t captured;   /* what acknowledged payments add up to */
    int64_t refund_due; /* as of version */
    uint32_t version;   /* the newest that an answer showed */
    uint32_t versions[ACT_COUNT];
    struct {
        uint8_t line;
        uint8_t warehouse;
        uint16_t quantity;
    } takes[CART_TAKES_MAX];
    uint8_t take_count;
    uint8_t state;   /* as of version */
    uint8_t money;   /* as of version */
    uint8_t outcome; /* of the last rejection */
    uint8_t habit;
    uint8_t step;    /* of the habit */
    uint8_t waiting; /* copies of requests that are on the agenda or unanswered */
    uint8_t applied; /* acts that took effect, a bit for each */
    bool decided;    /* the placing was answered OK, not REPLAYED */
    bool answered;
    bool has_parked; /* payments, by the audit */
};

struct crowd {
    struct cart *carts;
    struct agenda agenda;
    struct histogram latency; /* of placings */
    uint64_t seed;
    uint64_t now_ms; /* set before each turn */

    bool paused;  /* no new requests, while the server is down */
    bool closing; /* from now on every accepted order is paid */
    bool over;    /* no buyer retries sold-out goods any more */

    uint32_t arrived;
    uint32_t answered;      /* carts with at least one answer to their placing */
    uint32_t owed;          /* copies of requests that wait, refreshed ones not counted */
    uint32_t hot_accepted;  /* units, counted again each time that they were taken */
    uint32_t hot_confirmed; /* units */
    uint64_t placings;      /* answers to placings */
    uint64_t repeated;      /* answers that were REPLAYED */
    uint64_t retried;       /* requests whose answer was lost in a crash */

    uint64_t lost;    /* acknowledged, and then denied */
    uint64_t doubled; /* decided twice */
    uint64_t wrong;   /* any other answer that may not be */
    char first_wrong[160];
};

/* False when there is no memory. */
bool crowd_init(struct crowd *crowd, uint64_t seed);
void crowd_deinit(struct crowd *crowd);

struct load_driver crowd_driver(struct crowd *crowd);

/* Everybody has come and been answered, everything that was begun is done, and the hot goods are
 * sold and paid for. */
bool crowd_settled(const struct crowd *crowd);

/* Notes something that may not be, about an order or NO_CART; the first is kept for the report. */
enum { NO_CART = CARTS };
__attribute__((format(printf, 4, 5))) void crowd_complain(struct crowd *crowd, uint64_t *counter,
                                                          uint32_t cart, const char *format, ...);

/* What the shop is like, and who is who. */
int64_t crowd_price(uint64_t sku);
uint32_t crowd_stock(uint64_t sku, uint32_t warehouse);
bool crowd_is_hot(uint64_t sku);
struct id crowd_order(const struct crowd *crowd, uint32_t cart);
uint32_t crowd_buyer(uint32_t cart);
struct id crowd_customer(const struct crowd *crowd, uint32_t buyer);

/* The SKU of a cart's line, from 1; 0 when it has no such line. */
uint64_t crowd_line_sku(const struct crowd *crowd, uint32_t cart, uint32_t line);

#endif
