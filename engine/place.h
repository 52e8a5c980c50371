/* What order.place needs of the memory, asked for before it is decided. Private to engine/. */
#ifndef TILL_ENGINE_PLACE_H
#define TILL_ENGINE_PLACE_H

#include "engine/state.h"

/* Prefetches index slots, and a while later the records that they name. */
void place_prefetch_slots(struct engine *engine, struct command *command);
void place_prefetch_records(struct engine *engine, struct command *command);

#endif
