/* Payment events, by their provider and its id of them. Private to engine/. */
#ifndef TILL_ENGINE_PAYMENT_H
#define TILL_ENGINE_PAYMENT_H

#include "engine/state.h"

uint32_t payment_hash(const struct engine *engine, struct id event, uint32_t provider);

/* The event's index; 0: it is not known. */
uint32_t payment_find(const struct engine *engine, struct id event, uint32_t provider);

/* Gives back the records of the opaque bytes that the event carried. */
void opaques_forget(struct engine *engine, uint32_t payment);

#endif
