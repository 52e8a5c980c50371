/* The plan of an order: what it would get, from where, at what price, before anything is written.
 * place.c plans new orders, retake.c what a late payment takes again. Private to engine/. */
#ifndef TILL_ENGINE_PLAN_H
#define TILL_ENGINE_PLAN_H

#include "engine/points.h"

struct planned_piece {
    uint32_t stock;
    uint32_t pool;
    uint32_t quantity;
    uint32_t line;
};

struct plan {
    const struct order_place_body *body;
    const struct line_body *lines;
    uint32_t order_hash;
    uint32_t customer_hash;
    uint32_t sale;            /* index; 0: none */
    uint32_t customer;        /* index; 0: not known yet */
    uint32_t fixed_warehouse; /* with SINGLE: the one that a line names; 0: none does */
    uint32_t zone;            /* index; with CHEAPEST */
    uint32_t returning;       /* order whose hold ends first and gives back; 0: none */
    uint16_t currency;
    uint16_t piece_count;
    uint32_t skus[ORDER_LINES_MAX]; /* index of each line's SKU */
    struct planned_piece pieces[ORDER_PIECES_MAX];
    int64_t total;
    int64_t points_used;
    int64_t points_value;
    struct points_need need;
    uint32_t tallies_new;
    uint64_t deadline_us;
    uint32_t hold_s;
    bool is_inline;    /* one line that one place fills: it stands inside of the order */
    bool is_confirmed; /* at once: it is paid, or nothing is due */
};

/* Plans where each line is taken from, by the body's allocation; else the rejection. For one line
 * and SINGLE, place.c has a shorter way. */
enum outcome plan_allocate(struct engine *engine, struct plan *plan);

/* CAPACITY: more pieces than an order may have. */
enum outcome plan_reject_pieces(struct engine *engine);

/* SOLD_OUT or INSUFFICIENT_STOCK. */
enum outcome plan_reject_remaining(struct engine *engine, uint64_t sku, int64_t remaining);

/* Takes up to *missing from a stock, and off *missing. False when the plan is full. */
bool plan_take(const struct engine *engine, struct plan *plan, unsigned line, uint32_t stock,
               uint32_t *missing);

#endif
