/* The memory that a batch of commands will look up, asked for before it is decided. Private to
 * engine/. */
#ifndef TILL_ENGINE_FETCH_H
#define TILL_ENGINE_FETCH_H

#include "engine/state.h"

void fetch_batch(struct engine *engine, struct command *commands, uint32_t count);

#endif
