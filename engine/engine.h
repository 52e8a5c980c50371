/* The engine: a shop's whole state in memory, and the one place that decides.
 *
 * It is handed commands and a time, and changes its state or leaves it alone; it knows no clock,
 * no socket and no disk, allocates nothing after init, and given the same commands and times
 * reaches the same state, to the digest. A command is *accepted* when it changed something; only
 * those are logged. A rejection leaves no trace. */
#ifndef TILL_ENGINE_ENGINE_H
#define TILL_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/status.h"
#include "engine/messages.h"
#include "engine/tables.h"

/* The largest capacity that a table may have: the top bits of an index have other uses. */
enum { CAPACITY_MAX = (1 << 28) - 1 };

/* How many of each the engine has room for (engine/tables/tables.h). */
struct engine_options {
#define CAPACITY(number, name, default, text) uint32_t name;
#include "engine/tables/tables.h"
    uint64_t hash_seed; /* decides no outcome; a secret keeps clients from choosing collisions */
};

extern const struct engine_options engine_options_default;

/* Where replies go: the engine writes bodies one behind the other, each after `gap` bytes that
 * are left for a frame header. The caller has made room: engine_reply_bound per command. */
struct reply_sink {
    uint8_t *cursor;
    uint32_t gap;
};

/* One command on its way through. */
struct command {
    const void *body;        /* 8-byte aligned; passed message_check_request */
    struct reply_sink *sink; /* NULL: no reply is wanted (replay) */
    uint32_t size;           /* of the body, rows included */
    uint16_t number;         /* a QUERY, COMMAND or INTERNAL message */
    bool spares_keys;        /* may not use up the reserve of keys; replay always may */

    /* Filled by engine_decide. */
    uint16_t outcome;    /* enum outcome */
    bool accepted;       /* it changed the state and has taken the next seq: log it */
    uint8_t *reply;      /* the body in the sink; NULL without one */
    uint32_t reply_size; /* bytes of it, a multiple of 8 */

    /* Private to the engine, from engine_fetch to the decision: of the ids of an order.place. */
    uint32_t order_hash;
    uint32_t customer_hash;
};

struct engine;

/* Maps and sizes everything. NULL when memory is short; error then says what was asked for. */
struct engine *engine_create(const struct engine_options *options, char *error, size_t error_size);
void engine_destroy(struct engine *engine);

/* Takes the memory of all tables from the system now, so that no decision waits for it later.
 * False when there is not enough. Another thread may decide meanwhile: contents are not touched; it
 * ends the work early by setting `stop`, unless that is NULL. */
bool engine_populate(struct engine *engine, const atomic_bool *stop);

/* Bytes of all tables at capacity, and what each takes as lines for a person. */
uint64_t engine_memory_bytes(const struct engine *engine);
/* Bytes of the tables that one capacity sizes. */
uint64_t engine_capacity_bytes(const struct engine *engine, enum capacity_number number);
void engine_print_memory(const struct engine *engine,
                         void (*print)(void *context, const char *line), void *context);

/* Decides count commands (at most BATCH_COMMANDS_MAX) in order, all at time now_us. A time before
 * the last one given is raised to it. */
void engine_decide(struct engine *engine, uint64_t now_us, struct command *commands,
                   uint32_t count);

/* The same in two steps, for a caller that has other work to do while the memory comes that the
 * commands will look up. Every command goes through both. */
void engine_fetch(struct engine *engine, struct command *commands, uint32_t count);
void engine_decide_fetched(struct engine *engine, uint64_t now_us, struct command *commands,
                           uint32_t count);

/* Answers a command that is not decided, for a reason outside of the engine: a rejection without
 * numbers, which shows the changes up to seq. */
void engine_refuse(struct command *command, enum outcome outcome, uint64_t seq);

/* The most bytes of body that the reply to this request may take. */
uint32_t engine_reply_bound(unsigned number, const void *body);

/* The last change, the digest of everything up to it, and the time of the last decision. */
uint64_t engine_seq(const struct engine *engine);
uint64_t engine_digest(const struct engine *engine);
uint64_t engine_time_us(const struct engine *engine);

/* The history of epochs, the oldest first: epoch.begin adds one. Epoch 1, which a new shop begins
 * with, has no entry. */
struct engine_epoch {
    uint64_t epoch;
    uint64_t seq;      /* of the epoch.begin: its first change */
    uint64_t previous; /* checksum of the last block before it */
    uint64_t time_us;
};

uint32_t engine_epoch_count(const struct engine *engine);
struct engine_epoch engine_epoch_at(const struct engine *engine, uint32_t index);

/* Entries of all timers that hold.expire would run now, stale ones included (of holds that were
 * extended or have ended), and the time from which on there is one: UINT64_MAX without any. */
uint64_t engine_holds_due(struct engine *engine, uint64_t now_us);
uint64_t engine_next_due_us(const struct engine *engine);

/* How long what is over stays in memory: retention.put tells it, and it is a part of the state. */
struct engine_retention {
    uint64_t orders_us;  /* closed orders, from their last change on */
    uint64_t orders_max; /* closed orders at most; 0: any number */
    uint64_t ledger_us;
    uint64_t keys_us;
};

struct engine_retention engine_retention(const struct engine *engine);

/* How many records memory.forget may find to forget at that time, at most (0: none), and the time
 * from which on there is one: UINT64_MAX without any. */
uint64_t engine_forget_due(const struct engine *engine, uint64_t now_us);
uint64_t engine_next_forget_us(const struct engine *engine);

/* How full the table of a capacity is. Records that are reserved for orders to end count as used;
 * records that are due to be forgotten do not. */
struct table_fill {
    const char *name; /* of the capacity */
    uint64_t used;
    uint64_t capacity;
    uint64_t reserve; /* part of the capacity that only operators may use */
};

struct table_fill engine_table_fill(const struct engine *engine, enum capacity_number number);

/* Fills the metrics of the engine's layer. */
void engine_metrics(struct engine *engine, struct metrics *metrics);

/* From now on `stats` shows the metrics of the other layers too, as they stand here then; without
 * it, or with NULL, it shows the engine's alone. No part of the state, and no decision reads it. */
void engine_show_metrics(struct engine *engine, const struct metrics *metrics);

/* Checks every invariant of the state. True when all hold; else error names the first that does
 * not and where. Reads everything: seconds for millions of orders. */
bool engine_check(const struct engine *engine, char *error, size_t error_size);

#endif
