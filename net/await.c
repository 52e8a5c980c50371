/* A session whose request demands a change that has not happened here waits in a chain.
 *
 *   handle_request --await_add--> CHAIN_AWAITING --await_next--> handle_request, again
 *
 * Good path: a walk along the chain begins whenever the engine has grown, and takes out those whose
 * change has happened; their input is handled again. When min_seq_wait_us are over, or the server
 * stops, the request is handled all the same, and answered REPLICA_BEHIND.
 *
 * What must hold: all wait equally long and join at the end, so the first of the chain is the first
 * whose time is over, and a look at that one is enough. A walk takes as many turns as it needs:
 * however many sessions wait, a turn looks at AWAIT_LOOKS_MAX of them, and at none while nothing
 * has changed. */
#include "net/await.h"

#include "base/assert.h"
#include "net/server_state.h"

bool await_is_reached(struct server *server, uint32_t number, uint64_t min_seq)
{
    bool is_reached = engine_seq(server->engine) >= min_seq;
    if (is_reached)
        session_at(server, number)->awaited_seq = 0;
    return is_reached;
}

static bool is_over(const struct server *server, const struct session *session)
{
    return server->is_stopping ||
           server->turn_us - session->awaiting_us >= server->options.min_seq_wait_us;
}

bool await_is_over(struct server *server, uint32_t number, uint64_t min_seq)
{
    struct session *session = session_at(server, number);
    if (session->awaited_seq == 0) {
        session->awaited_seq = min_seq;
        session->awaiting_us = server->turn_us;
    }
    return is_over(server, session);
}

void await_add(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    TILL_ASSERT(session->awaited_seq != 0 && !session->is_awaiting);
    session_chain_add(server, CHAIN_AWAITING, number);
    session->is_awaiting = true;
}

static uint32_t take(struct server *server, uint32_t number)
{
    session_chain_remove(server, CHAIN_AWAITING, number);
    session_at(server, number)->is_awaiting = false;
    return number;
}

uint32_t await_next(struct server *server, uint32_t *looks)
{
    struct session_chain *chain = &server->chains[CHAIN_AWAITING];
    uint64_t seq = engine_seq(server->engine);
    if (chain->first != 0 && is_over(server, session_at(server, chain->first)))
        return take(server, chain->first);
    if (chain->walk == 0 && seq > server->walked_seq) {
        chain->walk = chain->first;
        server->walked_seq = seq;
    }
    for (; chain->walk != 0 && *looks > 0; --*looks) {
        uint32_t number = chain->walk;
        const struct session *session = session_at(server, number);
        chain->walk = session->links[CHAIN_AWAITING].next;
        if (session->awaited_seq <= seq)
            return take(server, number);
    }
    return 0;
}

uint64_t await_wait_us(const struct server *server)
{
    const struct session_chain *chain = &server->chains[CHAIN_AWAITING];
    if (chain->first == 0 || server->is_stalled)
        return UINT64_MAX;
    bool has_grown = engine_seq(server->engine) > server->walked_seq;
    if (chain->walk != 0 || has_grown || server->is_stopping)
        return 0;
    const struct session *oldest = &server->sessions[chain->first];
    uint64_t waited_us = io_time_us(server->io) - oldest->awaiting_us;
    uint64_t wait_us = server->options.min_seq_wait_us;
    return waited_us < wait_us ? wait_us - waited_us : 0;
}
