/* The life of sessions: their table, their states, and the lists that they stand in.
 *
 * Good path: session_accept takes a place of the free list; hello opens it; the end of the stream
 * drains it, which closes it when everything is sent; IO_CLOSED gives the place back.
 *
 * What can fail: receiving and sending, which closes this session and touches nothing else. An
 * accept without a free place closes the connection.
 *
 * What must hold: session_check, at each transition. The other lists are cleared by whoever walks
 * them, and not when a session ends: list membership, with the flag that tells of it, belongs to
 * the number and is kept when the number is reused. Walking a list, one may therefore meet a
 * session that has nothing to do there, which does no harm. */
#include "net/session.h"

#include "base/arena.h"
#include "base/assert.h"
#include "net/server_state.h"

/* By state: which ones may follow, as bits. */
static const uint8_t next_states[SESSION_STATE_COUNT] = {
    [SESSION_FREE] = 1 << SESSION_GREETING,
    [SESSION_GREETING] = 1 << SESSION_OPEN | 1 << SESSION_DRAINING | 1 << SESSION_CLOSING,
    [SESSION_OPEN] = 1 << SESSION_DRAINING | 1 << SESSION_CLOSING,
    [SESSION_DRAINING] = 1 << SESSION_CLOSING,
    [SESSION_CLOSING] = 1 << SESSION_FREE,
};

/* Each list has room for all sessions; `waiting` and `starved` have it twice, as a session may be
 * added to them again before its old entry is removed. */
static uint64_t lists_size(const struct server *server)
{
    uint64_t sessions = server->options.connections_max + 1ULL;
    return sessions * (SESSION_MARKS + 5) * sizeof(uint32_t);
}

bool sessions_init(struct server *server)
{
    uint32_t sessions = server->options.connections_max + 1;
    uint32_t *lists = memory_map(lists_size(server));
    server->sessions = memory_map(sessions * sizeof(struct session));
    server->stashes = memory_map_sparse((uint64_t)sessions * STASH_SIZE);
    bool outputs = output_pool_init(&server->outputs, server->options.output_chunks);
    server->sendable.numbers = lists;
    if (lists == NULL || server->sessions == NULL || server->stashes == NULL || !outputs)
        return false;
    for (unsigned i = 0; i < SESSION_MARKS; i++)
        server->marked[i].numbers = lists + (size_t)sessions * (i + 1);
    server->starved.numbers = lists + (size_t)sessions * (SESSION_MARKS + 1);
    server->waiting.numbers = lists + (size_t)sessions * (SESSION_MARKS + 3);
    for (uint32_t i = server->options.connections_max; i > 0; i--) {
        server->sessions[i].next = server->session_free;
        server->session_free = i;
    }
    return true;
}

void sessions_deinit(struct server *server)
{
    uint32_t sessions = server->options.connections_max + 1;
    output_pool_deinit(&server->outputs);
    memory_unmap(server->sendable.numbers, lists_size(server));
    memory_unmap(server->sessions, sessions * sizeof(struct session));
    memory_unmap(server->stashes, (uint64_t)sessions * STASH_SIZE);
}

/* Chains. */

void session_chain_add(struct server *server, enum session_chain_kind kind, uint32_t number)
{
    struct session_chain *chain = &server->chains[kind];
    struct session_links *links = &session_at(server, number)->links[kind];
    *links = (struct session_links){.previous = chain->last};
    if (chain->last != 0)
        session_at(server, chain->last)->links[kind].next = number;
    else
        chain->first = number;
    chain->last = number;
}

void session_chain_remove(struct server *server, enum session_chain_kind kind, uint32_t number)
{
    struct session_chain *chain = &server->chains[kind];
    struct session_links *links = &session_at(server, number)->links[kind];
    if (links->previous != 0)
        session_at(server, links->previous)->links[kind].next = links->next;
    else
        chain->first = links->next;
    if (links->next != 0)
        session_at(server, links->next)->links[kind].previous = links->previous;
    else
        chain->last = links->previous;
    if (chain->walk == number)
        chain->walk = links->next;
    *links = (struct session_links){.next = 0};
}

static bool is_chained(struct server *server, enum session_chain_kind kind, uint32_t number)
{
    return server->chains[kind].first == number ||
           session_at(server, number)->links[kind].previous != 0;
}

/* States. */

/* What holds in each state, from the transition into it until the one out of it. */
static void session_check(struct server *server, uint32_t number)
{
    const struct session *session = session_at(server, number);
    bool is_greeting = is_chained(server, CHAIN_GREETING, number);
    TILL_ASSERT(is_greeting == (session->state == SESSION_GREETING));
    TILL_ASSERT(is_chained(server, CHAIN_AWAITING, number) == session->is_awaiting);
    TILL_ASSERT(server->closing_count <= server->session_count);
    switch ((enum session_state)session->state) {
    case SESSION_FREE:
        TILL_ASSERT(session->undecided == 0 && session->input.buffer == 0);
        TILL_ASSERT(session->output.first == 0);
        break;
    case SESSION_GREETING:
        TILL_ASSERT(session->fd >= 0 && session->undecided == 0 && !session->is_awaiting);
        break;
    case SESSION_OPEN:
        TILL_ASSERT(session->fd >= 0 && session->roles != 0);
        break;
    case SESSION_DRAINING:
        TILL_ASSERT(session->fd >= 0 && !session->is_awaiting && session->link == 0);
        break;
    case SESSION_CLOSING:
        TILL_ASSERT(server->closing_count > 0 && session->input.buffer == 0);
        TILL_ASSERT(!session->is_awaiting);
        break;
    case SESSION_STATE_COUNT:
        till_unreachable();
    }
}

static void session_enter(struct server *server, uint32_t number, enum session_state state)
{
    struct session *session = session_at(server, number);
    session_check(server, number);
    TILL_ASSERT((next_states[session->state] >> state & 1) != 0);
    if (session->state == SESSION_GREETING)
        session_chain_remove(server, CHAIN_GREETING, number);
    else if (session->state == SESSION_CLOSING)
        server->closing_count--;
    if (session->is_awaiting)
        session_chain_remove(server, CHAIN_AWAITING, number);
    session->is_awaiting = false;
    session->state = (uint8_t)state;
    if (state == SESSION_GREETING)
        session_chain_add(server, CHAIN_GREETING, number);
    else if (state == SESSION_CLOSING)
        server->closing_count++;
    session_check(server, number);
}

void session_accept(struct server *server, int fd)
{
    uint32_t number = server->session_free;
    if (number == 0 || server->is_stopping) {
        server->counts.refused++;
        io_close(server->io, fd, user_of(USER_REFUSED, 0, 0));
        return;
    }
    struct session *session = session_at(server, number);
    server->session_free = session->next;
    server->session_count++;
    server->counts.accepted++;
    if (number > server->session_high)
        server->session_high = number;
    session->fd = fd;
    session->since_us = server->turn_us;
    session_enter(server, number, SESSION_GREETING);
    output_init(&session->output, sizeof(struct frame));
    session->receiving = true;
    io_receive(server->io, fd, session_user(server, number));
}

void session_open(struct server *server, uint32_t number)
{
    session_enter(server, number, SESSION_OPEN);
}

void session_drain(struct server *server, uint32_t number)
{
    const struct session *session = session_at(server, number);
    session_enter(server, number, SESSION_DRAINING);
    if (session->receiving)
        io_receive_cancel(server->io, session->fd, session_user(server, number));
    session_make_sendable(server, number);
}

void session_close(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    session_input_done(server, session);
    session_enter(server, number, SESSION_CLOSING);
    io_close(server->io, session->fd, session_user(server, number));
}

/* List membership belongs to the number and is kept across reuse. */
static void session_reset(struct session *session)
{
    struct session fresh = {
        .fd = -1,
        .generation = (uint16_t)(session->generation + 1),
        .is_sendable = session->is_sendable,
        .is_waiting = session->is_waiting,
        .is_starved = session->is_starved,
    };
    for (unsigned i = 0; i < SESSION_MARKS; i++)
        fresh.marks[i].block = session->marks[i].block;
    *session = fresh;
}

void session_free(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    output_deinit(&session->output, &server->outputs);
    session_enter(server, number, SESSION_FREE);
    session_reset(session);
    session->next = server->session_free;
    server->session_free = number;
    server->session_count--;
}

void session_closed(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    session->is_closed = session->undecided > 0;
    if (!session->is_closed)
        session_free(server, number);
}

/* Lists. */

void session_make_sendable(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    if (!session->is_sendable)
        session_list_add(&server->sendable, number);
    session->is_sendable = true;
}

void session_queue(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    if (!session->is_waiting)
        session_list_add(&server->waiting, number);
    session->is_waiting = true;
}

void session_sent(struct server *server, uint32_t number, int32_t result)
{
    struct session *session = session_at(server, number);
    session->sending = false;
    server->counts.sent_bytes += result > 0 ? (uint32_t)result : 0;
    if (session->since_us > server->settled_us)
        server->settled_us = session->since_us;
    if (session->state == SESSION_CLOSING)
        return;
    if (result < 0) {
        session_close(server, number);
        return;
    }
    output_sent(&session->output, &server->outputs, (size_t)result);
    if (session->is_full)
        session_queue(server, number);
    session_make_sendable(server, number);
}
