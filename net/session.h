/* A session: one client connection, from accept to close.
 *
 *   FREE           --session_accept------------------------------------------> GREETING
 *   GREETING       --session_open, hello-------------------------------------> OPEN
 *   GREETING, OPEN --session_drain, end of stream, broken protocol or stop---> DRAINING
 *   GREETING, OPEN --session_close, I/O error, silent or slow----------------> CLOSING
 *   DRAINING       --session_close, the same, or all replies are sent--------> CLOSING
 *   CLOSING        --session_free, IO_CLOSED and no command is undecided-----> FREE
 *
 * session_check (net/session.c) asserts this at each transition.
 *
 * A session receives one buffer at a time, and the next one when all of that is handled. Frames are
 * parsed in the receive buffer, without a copy. An incomplete frame is copied to the session's
 * stash until the rest arrives. So is input that cannot be handled yet, for want of room for
 * replies or in the log: receive buffers are shared by all sessions and must not be held. */
#ifndef TILL_NET_SESSION_H
#define TILL_NET_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/messages.h"
#include "net/frame.h"
#include "net/output.h"

enum session_state {
    SESSION_FREE,
    SESSION_GREETING,
    SESSION_OPEN,
    SESSION_DRAINING, /* reads nothing more; closes when all replies are sent */
    SESSION_CLOSING,  /* waits for IO_CLOSED */
    SESSION_STATE_COUNT,
};

enum { SESSION_MARKS = 16 };

static_assert(SESSION_MARKS > WAL_WRITES_MAX + 1, "a mark for every block that is not durable");

/* Sets of roles (enum message_role), a bit each. As there are no users yet, every client has all of
 * them but that of the server itself. */
#define SESSION_ROLES_CLIENT (~(1u << ROLE_server))

static_assert(ROLE_server < 32, "a bit for every role");

/* The output up to `written` may be sent when the block is durable. */
struct session_mark {
    uint64_t block; /* 0: unused */
    uint64_t written;
};

/* Chains of sessions, the oldest first. Unlike the lists of the server, from which a number that
 * was reused is not removed, a chain is left when the session ends. */
enum session_chain_kind {
    CHAIN_GREETING, /* those that have not said hello */
    CHAIN_AWAITING, /* those whose request waits for a change: net/await.h */
    CHAIN_COUNT,
};

struct session_chain {
    uint32_t first;
    uint32_t last;
    uint32_t walk; /* where a walk along the chain goes on; 0: none is under way */
};

struct session_links {
    uint32_t next;
    uint32_t previous;
};

/* Received bytes that are not handled yet. */
struct input {
    uint8_t *bytes;
    uint32_t size;
    uint32_t buffer; /* the receive buffer's index + 1; 0: none is held */
};

struct session {
    int fd;
    uint32_t next; /* in the free list */
    struct session_links links[CHAIN_COUNT];
    uint32_t link;       /* it carries replication instead of requests: net/replicas.h; 0: none */
    uint16_t generation; /* changes when the number is reused */
    uint8_t state;       /* enum session_state */
    bool checksum;       /* frames carry one, as agreed in hello */
    bool is_operator;    /* as hello said */
    bool receiving;
    bool sending;
    bool is_waiting;      /* in server.waiting */
    bool is_starved;      /* in server.starved */
    bool is_full;         /* its input waits until some of its output is sent */
    bool is_awaiting;     /* in the chain of that name */
    bool is_sendable;     /* in server.sendable */
    bool is_closed;       /* IO_CLOSED came while it had undecided commands */
    bool has_ended;       /* the client has closed its sending side */
    uint32_t roles;       /* a bit for each enum message_role that it has; none before hello */
    uint32_t undecided;   /* its commands in the open batch */
    uint32_t stash_start; /* where the stashed bytes begin, */
    uint32_t stash_size;  /* and how many there are */
    uint64_t stash_batch; /* the last batch whose commands point into the stash */
    struct input input;
    uint64_t awaited_seq; /* its next request waits for this change; 0: it does not, */
    uint64_t awaiting_us; /* and since when it does */
    uint64_t since_us;    /* when it was accepted, or its last send began */
    uint64_t stuck_us;    /* since_us, if the last look for slow readers found it stuck; else 0 */
    struct output output;
    struct session_mark marks[SESSION_MARKS]; /* by block modulo SESSION_MARKS */
};

/* Bytes before the body of its frames, in both directions: a header, and what hello agreed on. */
static inline uint32_t session_head_size(const struct session *session)
{
    return session->output.sink.gap;
}

/* Is its input still handled? */
static inline bool session_reads(const struct session *session)
{
    return session->state == SESSION_GREETING || session->state == SESSION_OPEN;
}

/* Does its input wait for its turn, for room or for a change? */
static inline bool session_is_pending(const struct session *session)
{
    return session->is_waiting || session->is_starved || session->is_full || session->is_awaiting;
}

/* Has it the role that the message asks for? */
static inline bool session_may_send(const struct session *session,
                                    const struct message_info *message)
{
    return (session->roles >> message->role & 1) != 0;
}

/* Sessions stand in a table of the server and are named by their number in it, from 1 on. */
struct server;

/* Takes the memory of all sessions and lists; false when there is not enough. deinit gives it back,
 * also after a failure. */
bool sessions_init(struct server *server);
void sessions_deinit(struct server *server);

/* A connection was accepted: makes it a session, or closes it when none is free. */
void session_accept(struct server *server, int fd);

/* It has said hello. */
void session_open(struct server *server, uint32_t number);

/* Stops reading. Requests that were read are answered; the connection closes when all is sent. */
void session_drain(struct server *server, uint32_t number);

/* Closes the connection now; what is not sent is dropped. */
void session_close(struct server *server, uint32_t number);

/* IO_CLOSED came. The session becomes free at once, or, when it has undecided commands, after they
 * are decided: whoever decides them then calls session_free. */
void session_closed(struct server *server, uint32_t number);
void session_free(struct server *server, uint32_t number);

/* An IO_SENT event: result is the number of bytes, or -errno. */
void session_sent(struct server *server, uint32_t number, int32_t result);

/* It joins a chain at its end, and leaves it. */
void session_chain_add(struct server *server, enum session_chain_kind kind, uint32_t number);
void session_chain_remove(struct server *server, enum session_chain_kind kind, uint32_t number);

/* Adds it to the list of sessions to send from in this turn; to the end of the queue of sessions
 * with input to handle. */
void session_make_sendable(struct server *server, uint32_t number);
void session_queue(struct server *server, uint32_t number);

#endif
