/* A watch over the tables: tells once when one passes 80, 90 and 100 percent of what may be put
 * into it, and again after it has fallen well below that. */
#ifndef TILL_NET_WATCH_H
#define TILL_NET_WATCH_H

#include "engine/engine.h"

enum { WATCH_TEXT_SIZE = 256 };

/* All zero: nothing was told. */
struct watch {
    uint8_t steps_told[CAPACITY_end]; /* by capacity number */
};

/* Looks at one table; true when there is something to tell, as text. */
bool watch_table(struct watch *watch, enum capacity_number number, const struct table_fill *fill,
                 char text[WATCH_TEXT_SIZE]);

/* Looks at all of them; tells through `notice`, unless it is NULL. */
void watch_tables(struct watch *watch, const struct engine *engine,
                  void (*notice)(void *context, const char *text), void *context);

#endif
