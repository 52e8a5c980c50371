/* A watch over the tables: reports once when a table passes 80, 90 and 100 percent of its capacity,
 * and again after it has fallen well below that. What is reserved for operators is not counted. */
#ifndef TILL_NET_WATCH_H
#define TILL_NET_WATCH_H

#include "engine/engine.h"

enum { WATCH_TEXT_SIZE = 256 };

/* All zero: nothing was reported yet. */
struct watch {
    uint8_t steps_told[CAPACITY_end]; /* by capacity number: how many of the steps were reported */
};

/* Looks at one table; true when there is something to report, which is in `text`. */
bool watch_table(struct watch *watch, enum capacity_number number, const struct table_fill *fill,
                 char text[WATCH_TEXT_SIZE]);

/* Looks at all tables, and reports through `notice`, unless it is NULL. */
void watch_tables(struct watch *watch, const struct engine *engine,
                  void (*notice)(void *context, const char *text), void *context);

#endif
