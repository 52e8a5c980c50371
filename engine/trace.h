/* One thing of the state, looked at between two commands by whoever replays a log and tells what
 * each command did to it: an order, a customer's points, a SKU's stocks.
 *
 * Each has a mark, for the cost of a look-up or two: after a command that has changed the thing it
 * is another one than before. What has changed is told by the queries, and where there is none, row
 * by row: by a cursor that is 0 at first and belongs to the state that it was begun in.
 *
 * Reading only; things go by their ids, since the record of one that is forgotten may be used again
 * for another. */
#ifndef TILL_ENGINE_TRACE_H
#define TILL_ENGINE_TRACE_H

#include "engine/engine.h"

/* The order's version; 0: it is not in memory. */
uint32_t trace_order(const struct engine *engine, struct id order);

/* Who placed the order; zero: it is not in memory. */
struct id trace_order_customer(const struct engine *engine, struct id order);

/* 0: the customer is not known, or never had any. */
uint64_t trace_points(const struct engine *engine, struct id customer);

/* 0: there are none. */
uint64_t trace_stocks(const struct engine *engine, uint64_t sku);

/* The next order of the customer: of all orders in memory, which are read. */
bool trace_next_order(const struct engine *engine, struct id customer, uint32_t *cursor,
                      struct id *order);

/* The next stock of the SKU, by ascending warehouse. */
bool trace_next_stock(const struct engine *engine, uint64_t sku, uint32_t *cursor,
                      struct stock_row_body *row);

/* The next movement of the customer's points that the last change has made, the newest first. */
struct trace_movement {
    const char *kind;    /* its name; NULL: it has none yet */
    int64_t points;      /* how many */
    uint64_t expires_us; /* of their lot; UINT64_MAX: never */
    struct id order;     /* zero: of none */
};

bool trace_next_movement(const struct engine *engine, struct id customer, uint32_t *cursor,
                         struct trace_movement *movement);

#endif
