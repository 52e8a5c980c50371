/* Points that orders earn. Private to engine/.
 *
 * Whoever confirms an order, delivers it or pays its money back calls these; earning_need tells
 * what a confirmation needs beside, and so on: what a call does was checked for before. */
#ifndef TILL_ENGINE_EARNING_H
#define TILL_ENGINE_EARNING_H

#include "engine/points.h"

/* Adds to the need what it takes that an order of this sale (0: none), of whose money so much is
 * kept, earns points. */
void earning_need(const struct engine *engine, uint32_t sale, int64_t kept,
                  struct points_need *need);

/* The same for a delivery, and for the money that the order has kept becoming so much. */
void earning_need_delivered(const struct engine *engine, const struct order *order,
                            struct points_need *need);
void earning_need_changed(const struct engine *engine, const struct order *order, int64_t kept,
                          struct points_need *need);

/* The order has just been confirmed, with its money captured: it is promised what it earns. */
void earning_promise(struct engine *engine, uint32_t order);

/* All of the order is delivered: its return window begins anew. */
void earning_delivered(struct engine *engine, uint32_t order);

/* Less of the order's money is kept, since a refund of what was sold has begun or the order was
 * cancelled: what it earned by that is taken back. */
void earning_changed(struct engine *engine, uint32_t order);

/* Is something still promised? Then the order is not closed. */
bool earning_is_open(const struct engine *engine, const struct order *order);

/* What an earning is worth by its terms when so much money is kept. */
int64_t earning_entitled(const struct earning *earning, int64_t kept);

/* The order, of which nothing is open, leaves memory; or the lot does. */
void earning_forget(struct engine *engine, uint32_t order);
void earning_forget_lot(struct engine *engine, uint32_t lot);

#endif
