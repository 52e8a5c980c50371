/* Payment events, by their provider and its id of them. Private to engine/. */
#ifndef TILL_ENGINE_PAYMENT_H
#define TILL_ENGINE_PAYMENT_H

#include "engine/state.h"

uint32_t payment_hash(const struct engine *engine, struct id event, uint32_t provider);

/* The event's index; 0: it is not known. */
uint32_t payment_find(const struct engine *engine, struct id event, uint32_t provider);

/* An order's money lists its events, the newest first. */
void payment_push(struct engine *engine, uint32_t money, uint32_t payment);

/* The newest event of an order that has no money to list them, 0 without any: it is in the index
 * twice, by its event and by its order. payment_index_loose puts it there. */
uint32_t payment_loose(const struct engine *engine, uint32_t order);
void payment_push_loose(struct engine *engine, uint32_t order, uint32_t payment);
void payment_index_loose(struct engine *engine, uint32_t payment);

/* The order has been given money: that lists its events from now on. */
void payments_gather(struct engine *engine, uint32_t order);

/* Forgets the newest event of an order that is being forgotten; false when it has none left. */
bool payment_forget(struct engine *engine, uint32_t order);

#endif
