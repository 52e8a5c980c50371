/* Retention: closed orders, with all that belongs to them, leave memory in the order in which they
 * were closed. Private to engine/. */
#ifndef TILL_ENGINE_FORGET_H
#define TILL_ENGINE_FORGET_H

#include "engine/order_parts.h"

/* Will nothing more become of the order by itself: has it ended, with nothing due and nothing left
 * for a person? */
bool order_is_closed(const struct engine *engine, const struct order *order);

/* Is it in the queue of closed orders? */
bool order_is_queued(const struct engine *engine, uint32_t order);

/* Every change of an order ends with this: closed, it stands at the end of the queue of those that
 * are to be forgotten; else it is not in the queue. */
void order_queue(struct engine *engine, uint32_t order);

/* Makes the queue anew; false without memory for it. */
bool closings_rebuild(struct engine *engine);

/* Has this record an order in it: is it neither free nor that of an order of which only the steps
 * and events are left to be forgotten? */
static inline bool order_is_there(const struct engine *engine, uint32_t index)
{
    return !id_is_zero(order_at(engine, index)->id);
}

/* How long keys and ledger entries are kept, as told or by default. */
uint64_t retain_keys_us(const struct engine *engine);

#endif
