/* Who has to go when connections take too much.
 *
 *   silent    a connection that has not said hello is closed after greeting_us
 *   stuck     one whose send makes no progress is closed after slow_reader_us
 *
 * The last quarter of what all share is a reserve. While less than that is free, both times become
 * the shorter the less there is, so that places and chunks come back at whatever rate they are
 * taken, reconnecting included. The oldest of the silent go first; and of the stuck those first
 * that keep most from others: chunks held, times the time without progress. Whoever says hello and
 * reads its replies at once is not among them: what is being sent to it is in the kernel within a
 * round trip, and only who is found stuck in the same send twice has to go. A client so far away
 * that a round trip is longer than the time that is left can be among them.
 *
 * Receive buffers need no such care: no session holds any from one turn to the next. */
#include "net/pressure.h"

#include "base/limits.h"
#include "net/server_state.h"

enum {
    LOOK_INTERVAL_US = 20000, /* while chunks are short, */
    LOOK_STARVED_US = 2000,   /* and while some wait for one */
    STUCK_US_MAX = 1000000,   /* without progress, while chunks are short */
    PLACES_RESERVE_SHARE = 4,
    BURDENS = 65, /* 0: none; else the logarithm of chunks x microseconds */
};

/* The part of a time that is left while `free` of `reserve` are. */
static uint64_t share_us(uint64_t whole_us, uint32_t free, uint32_t reserve)
{
    return free < reserve ? whole_us * free / reserve : whole_us;
}

static uint64_t since_us(const struct server *server, const struct session *session)
{
    return server->turn_us - session->since_us;
}

/* How long a connection may be silent: what is closing already makes room for others. */
static uint64_t silence_us(const struct server *server)
{
    uint32_t places = server->options.connections_max;
    uint32_t free = places - server->session_count + server->closing_count;
    return share_us(server->options.greeting_us, free, places / PLACES_RESERVE_SHARE);
}

/* Not while the log has no room, when hellos wait as well, nor one whose hello waits. */
void pressure_close_silent(struct server *server)
{
    while (server->greeting_first != 0 && !server->is_stalled) {
        const struct session *oldest = session_at(server, server->greeting_first);
        if (session_is_pending(oldest) || since_us(server, oldest) <= silence_us(server))
            return;
        session_close(server, server->greeting_first);
    }
}

bool pressure_is_stuck(const struct server *server, const struct session *session)
{
    return session->sending && session->state != SESSION_CLOSING &&
           session->since_us < server->settled_us;
}

static void close_slow_readers(struct server *server)
{
    for (uint32_t i = 1; i <= server->session_high; i++) {
        const struct session *session = session_at(server, i);
        if (pressure_is_stuck(server, session) &&
            since_us(server, session) > server->options.slow_reader_us)
            session_close(server, i);
    }
}

/* What a session keeps from others, if it was stuck in the same send at the last look. */
static unsigned burden(const struct server *server, const struct session *session,
                       uint64_t allowed_us)
{
    uint64_t us = since_us(server, session);
    if (!pressure_is_stuck(server, session) || session->stuck_us != session->since_us ||
        us <= allowed_us)
        return 0;
    return 64 - (unsigned)__builtin_clzll(us * session->output.chunk_count);
}

/* Closes those with the greatest burden, until the reserve will be free again. */
static void close_stuck(struct server *server)
{
    const struct output_pool *pool = &server->outputs;
    uint64_t allowed_us = share_us(STUCK_US_MAX, pool->free_count, pool->reserve);
    uint32_t chunks[BURDENS] = {0};
    uint32_t coming = pool->free_count;
    for (uint32_t i = 1; i <= server->session_high; i++) {
        const struct session *session = session_at(server, i);
        if (session->state == SESSION_CLOSING)
            coming += session->output.chunk_count;
        else
            chunks[burden(server, session, allowed_us)] += session->output.chunk_count;
    }
    unsigned least = BURDENS;
    for (uint32_t sum = coming; sum < pool->reserve && least > 1;)
        sum += chunks[--least];
    for (uint32_t i = 1; i <= server->session_high && coming < pool->reserve; i++) {
        const struct session *session = session_at(server, i);
        if (session->state == SESSION_CLOSING || burden(server, session, allowed_us) < least)
            continue;
        coming += session->output.chunk_count;
        session_close(server, i);
    }
    for (uint32_t i = 1; i <= server->session_high; i++) {
        struct session *session = session_at(server, i);
        session->stuck_us = pressure_is_stuck(server, session) ? session->since_us : 0;
    }
}

/* How long the next turn may wait, so that a look for those that do not read is not late. */
uint64_t pressure_wait_us(const struct server *server)
{
    if (server->outputs.free_count >= server->outputs.reserve)
        return UINT64_MAX;
    return server->starved.count > 0 ? LOOK_STARVED_US : LOOK_INTERVAL_US;
}

/* Whatever there is room for: nobody is silent or stuck for ever. */
void pressure_each_second(struct server *server)
{
    pressure_close_silent(server);
    close_slow_readers(server);
}

/* Once a turn. is_settled: the turn has seen all that had happened when it began, so that a send
 * which was begun before it and has not ended waits for its reader. */
void pressure_turn(struct server *server, bool is_settled)
{
    if (is_settled)
        server->settled_us = server->turn_us;
    if (server->turn_us - server->looked_us >= pressure_wait_us(server)) {
        server->looked_us = server->turn_us;
        close_stuck(server);
    }
}
