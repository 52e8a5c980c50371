/* Which connections are closed when they take too much of what all share.
 *
 *   silent    a connection that has not sent hello is closed after greeting_us
 *   stuck     a connection whose send makes no progress is closed after slow_reader_us
 *
 * Sessions and output chunks are shared. While less than a quarter of them is free, the timeouts
 * are shorter, in proportion to what is free (for stuck connections from STUCK_US_MAX down), so
 * that sessions and chunks come back as fast as clients can take them, reconnecting included. Of
 * silent connections the oldest are closed first; of stuck ones those with the greatest burden:
 * chunks held, times the time without progress.
 *
 * A client that sends hello and reads its replies at once is not closed: its replies are in the
 * kernel's buffers within a round trip, and a connection is closed only when it is found stuck in
 * the same send twice. Only a client whose round trip is longer than the shrunk timeout may be hit.
 *
 * Receive buffers need no such rule: no session holds one from one turn to the next. */
#include "net/pressure.h"

#include "base/limits.h"
#include "net/server_state.h"

enum {
    LOOK_INTERVAL_US = 20000, /* between two looks for stuck connections while chunks are short, */
    LOOK_STARVED_US = 2000,   /* and while sessions wait for a chunk */
    STUCK_US_MAX = 1000000,   /* the longest time without progress while chunks are short */
    PLACES_RESERVE_SHARE = 4, /* 1/4 of the sessions is the reserve */
    BURDENS = 65,             /* 0: none; else 1 + log2(chunks x microseconds) */
};

/* A timeout, shrunk in proportion when less than the reserve is free. */
static uint64_t share_us(uint64_t whole_us, uint32_t free, uint32_t reserve)
{
    return free < reserve ? whole_us * free / reserve : whole_us;
}

static uint64_t since_us(const struct server *server, const struct session *session)
{
    return server->turn_us - session->since_us;
}

/* How long a connection may be silent now. Closing sessions count as free. */
static uint64_t silence_us(const struct server *server)
{
    uint32_t places = server->options.connections_max;
    uint32_t free = places - server->session_count + server->closing_count;
    return share_us(server->options.greeting_us, free, places / PLACES_RESERVE_SHARE);
}

/* None is closed while the log has no room, as hellos wait too; nor one whose input waits. */
void pressure_close_silent(struct server *server)
{
    const struct session_chain *greeting = &server->chains[CHAIN_GREETING];
    while (greeting->first != 0 && !server->is_stalled) {
        const struct session *oldest = session_at(server, greeting->first);
        if (session_is_pending(oldest) || since_us(server, oldest) <= silence_us(server))
            return;
        server->counts.silent++;
        session_close(server, greeting->first);
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
        if (!pressure_is_stuck(server, session) ||
            since_us(server, session) <= server->options.slow_reader_us)
            continue;
        server->counts.stuck++;
        session_close(server, i);
    }
}

/* The burden of a session that is stuck in the same send as at the last look; 0 for others. */
static unsigned burden(const struct server *server, const struct session *session,
                       uint64_t allowed_us)
{
    uint64_t us = since_us(server, session);
    if (!pressure_is_stuck(server, session) || session->stuck_us != session->since_us ||
        us <= allowed_us)
        return 0;
    return 64 - (unsigned)__builtin_clzll(us * session->output.chunk_count);
}

/* Closes the sessions with the greatest burden, until their chunks will fill the reserve. */
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
        server->counts.stuck++;
        session_close(server, i);
    }
    for (uint32_t i = 1; i <= server->session_high; i++) {
        struct session *session = session_at(server, i);
        session->stuck_us = pressure_is_stuck(server, session) ? session->since_us : 0;
    }
}

uint64_t pressure_wait_us(const struct server *server)
{
    if (server->outputs.free_count >= server->outputs.reserve)
        return UINT64_MAX;
    return server->starved.count > 0 ? LOOK_STARVED_US : LOOK_INTERVAL_US;
}

void pressure_each_second(struct server *server)
{
    pressure_close_silent(server);
    close_slow_readers(server);
}

void pressure_turn(struct server *server, bool is_settled)
{
    if (is_settled)
        server->settled_us = server->turn_us;
    if (server->turn_us - server->looked_us >= pressure_wait_us(server)) {
        server->looked_us = server->turn_us;
        close_stuck(server);
    }
}
