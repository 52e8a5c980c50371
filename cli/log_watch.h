/* Watches one thing while a log is replayed, and tells what each command did to it: an order; a
 * customer, which is the points and all orders of his; or the stocks of a SKU. */
#ifndef TILL_CLI_LOG_WATCH_H
#define TILL_CLI_LOG_WATCH_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/log_subject.h"
#include "cli/value.h"
#include "engine/trace.h"

/* An order that is watched. */
struct watched_order {
    struct id order;
    uint32_t version; /* when it was looked at last; 0: it was not in memory */
    uint64_t *reply;  /* what order.get answered then, */
    uint64_t ends_us; /* and when its hold ends by that; 0: it has none */
};

struct log_watch {
    /* To be set. */
    const struct log_subject *subject;
    enum value_form form;
    struct engine *engine;
    uint64_t hash_seed; /* a secret, as the engine's */

    /* After log_watch_look. */
    bool has_changed;
    char *changes;       /* what has, as members of an object, or as lines, */
    size_t changes_size; /* each of them after a line end */
    bool lacks_memory;   /* nothing of this can be relied on */

    /* Private. */
    FILE *out;
    struct watched_order *orders; /* in the order in which they were placed */
    uint32_t order_count;
    uint32_t *order_index; /* finds them by their ids, in open addressing */
    uint32_t order_places; /* in it, a power of two */
    int16_t order_offset[MESSAGE_NUMBER_MAX + 1];
    uint64_t points;
    uint64_t stocks;
    struct stock_row_body *rows; /* of the stocks, when they were looked at last, */
    uint32_t row_count;
    struct stock_row_body *rows_now; /* and as they are */
    uint32_t rows_max;
    struct trace_movement *movements; /* of the points, by the last change */
    uint32_t movements_max;
    uint64_t room[FRAME_SIZE_MAX / 8];
};

/* Begins with the engine's state, whatever it is; the first look tells all of what is there.
 * lacks_memory may be set. deinit may follow in any case. */
void log_watch_init(struct log_watch *watch);
void log_watch_deinit(struct log_watch *watch);

/* Looks after this command was decided; NULL: at what there is, whatever led to it. */
void log_watch_look(struct log_watch *watch, const struct command *command);

#endif
