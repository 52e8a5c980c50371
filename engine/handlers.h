/* The handlers, one for each message that the engine decides, and what all of them use. Private to
 * engine/.
 *
 * A handler first looks and judges without writing anything, and returns a rejection if it must.
 * Then it accepts the command, and from there on nothing can fail any more. Handlers of KEYED
 * messages accept with key_accept of engine/keys.h, all others with engine_accept. */
#ifndef TILL_ENGINE_HANDLERS_H
#define TILL_ENGINE_HANDLERS_H

#include "engine/state.h"

#define HANDLER_QUERY(name)    enum outcome handle_##name(struct engine *, struct command *);
#define HANDLER_COMMAND(name)  enum outcome handle_##name(struct engine *, struct command *);
#define HANDLER_INTERNAL(name) enum outcome handle_##name(struct engine *, struct command *);
#define HANDLER_SESSION(name)
#define HANDLER_ADMIN(name)
#define HANDLER_LINK(name)
#define MESSAGE(number, name, text_name, KIND, ...) HANDLER_##KIND(name)
#include "engine/tables/messages.h"
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_SESSION
#undef HANDLER_ADMIN
#undef HANDLER_LINK

/* Of each KEYED_ROWS message: appends the rows to its first answer, which was kept without them and
 * has just been written again. */
#define REPLAY_FREE(name)
#define REPLAY_KEYED(name)
#define REPLAY_KEYED_ROWS(name) void replay_rows_##name(struct engine *, struct command *);

#define MESSAGE(number, name, text_name, KIND, role, KEY, ...) REPLAY_##KEY(name)
#include "engine/tables/messages.h"
#undef REPLAY_FREE
#undef REPLAY_KEYED
#undef REPLAY_KEYED_ROWS

/* Of each metric of the engine's layer: what it is now. */
#define METRIC_OF_engine(name) uint64_t metric_of_##name(struct engine *);
#define METRIC_OF_wal(name)
#define METRIC_OF_snapshot(name)
#define METRIC_OF_archive(name)
#define METRIC_OF_loop(name)
#define METRIC_OF_connections(name)
#define METRIC(number, layer, kind, unit, name, help) METRIC_OF_##layer(name)
#include "base/tables/metrics.h"
#undef METRIC_OF_engine
#undef METRIC_OF_wal
#undef METRIC_OF_snapshot
#undef METRIC_OF_archive
#undef METRIC_OF_loop
#undef METRIC_OF_connections

/* A rejection: the outcome, and the two numbers that base/status.h names for it. */
static inline enum outcome reject(struct engine *engine, enum outcome outcome, uint64_t subject,
                                  int64_t value)
{
    engine->subject = subject;
    engine->value = value;
    return outcome;
}

static inline enum outcome reject_field(struct engine *engine, unsigned field)
{
    return reject(engine, OUTCOME_INVALID, field, 0);
}

/* The CAPACITY rejection of a table that has no room. */
#define REJECT_FULL(engine, table)                                                                 \
    reject(engine, OUTCOME_CAPACITY, CAPACITY_##table, (int64_t)(engine)->options.table)

/* The command will change the state: it takes the next seq. */
static inline void engine_accept(struct engine *engine)
{
    TILL_ASSERT(!engine->accepted);
    engine->accepted = true;
    engine->seq++;
    engine->changed_us = engine->time_us;
    digest_mix(engine, engine->seq, engine->time_us);
}

/* Room for a reply body of size bytes, every one of which the caller writes. */
static inline void *reply_room(struct engine *engine, struct command *command, uint32_t size)
{
    uint8_t *body = (uint8_t *)engine->scratch;
    if (command->sink != NULL) {
        body = command->sink->cursor + command->sink->gap;
        command->sink->cursor = body + size;
    }
    command->reply = body;
    command->reply_size = size;
    return body;
}

/* The same, zeroed. */
static inline void *reply_begin(struct engine *engine, struct command *command, uint32_t size)
{
    return memset(reply_room(engine, command, size), 0, size);
}

/* The reply that tells the last rejection. */
static inline struct rejection_body *reply_rejection(struct engine *engine, struct command *command)
{
    struct rejection_body *reply = reply_room(engine, command, sizeof *reply);
    *reply = rejection_make(engine->seq, engine->subject, engine->value);
    return reply;
}

#endif
