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
 * It receives one buffer at a time and asks for the next when all of that one is handled. Frames
 * are parsed where they were received. What of a frame came without its end goes to the session's
 * stash until the rest arrives; so does what cannot be handled yet (no room for replies, or none in
 * the log), so that the receive buffer, which belongs to all, is free for others. */
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
    SESSION_DRAINING, /* nothing more is read; closes when everything written is sent */
    SESSION_CLOSING,  /* waits for IO_CLOSED */
    SESSION_STATE_COUNT,
};

enum { SESSION_MARKS = 16 };

static_assert(SESSION_MARKS > WAL_WRITES_MAX + 1, "a mark for every block that is not durable");

/* Sets of roles (enum message_role), a bit each. As there are no users yet, every client has all of
 * them but that of the server itself. */
#define SESSION_ROLES_CLIENT (~(1u << ROLE_server))

static_assert(ROLE_server < 32, "a bit for every role");

/* Up to where the output may be released when a block of the log is durable. */
struct session_mark {
    uint64_t block; /* 0: none */
    uint64_t written;
};

/* What a receive brought and is not handled yet. */
struct input {
    uint8_t *bytes;
    uint32_t size;
    uint32_t buffer; /* numbered from 1; 0: none is held */
};

struct session {
    int fd;
    uint32_t next;          /* in the free list */
    uint32_t greeting_next; /* in the list of those that have not said hello */
    uint32_t greeting_previous;
    uint16_t generation;
    uint8_t state; /* enum session_state */
    bool checksum;
    bool is_operator; /* the hello said so */
    bool receiving;
    bool sending;
    bool is_waiting;    /* in the server's queue of sessions with input to handle */
    bool is_starved;    /* in the list of those that wait for any chunk to write replies to */
    bool is_full;       /* waits for some of its output to be sent */
    bool is_sendable;   /* in the turn's list of sessions to send from */
    bool is_closed;     /* IO_CLOSED came while commands were undecided */
    bool has_ended;     /* the client sends nothing more */
    uint32_t roles;     /* what it may send; none before hello */
    uint32_t undecided; /* commands of the open batch */
    uint32_t stash_start;
    uint32_t stash_size;
    uint64_t stash_batch; /* the last batch that has commands in the stash */
    struct input input;
    uint64_t since_us; /* of its accept, or of the last send begun */
    uint64_t stuck_us; /* the same, when a look for those that do not read last found it stuck */
    struct output output;
    struct session_mark marks[SESSION_MARKS]; /* by block modulo SESSION_MARKS */
};

/* Does it read, so that what it has received is to be handled? */
static inline bool session_reads(const struct session *session)
{
    return session->state == SESSION_GREETING || session->state == SESSION_OPEN;
}

/* Has it input that waits for its turn or for room? */
static inline bool session_is_pending(const struct session *session)
{
    return session->is_waiting || session->is_starved || session->is_full;
}

/* Has it the role that the message asks for? */
static inline bool session_may_send(const struct session *session,
                                    const struct message_info *message)
{
    return (session->roles >> message->role & 1) != 0;
}

/* Sessions live in the server's table and go by their number there. */
struct server;

/* The memory of all sessions and their lists; false when there is not enough of it. deinit undoes
 * what there is, after a failure too. */
bool sessions_init(struct server *server);
void sessions_deinit(struct server *server);

/* Takes a connection in, or closes it at once when there is no place for it. */
void session_accept(struct server *server, int fd);

/* It has said hello. */
void session_open(struct server *server, uint32_t number);

/* Nothing more is read; what was asked for is answered, sent, and then the connection closes. */
void session_drain(struct server *server, uint32_t number);
void session_close(struct server *server, uint32_t number);

/* IO_CLOSED came: its place is free once none of its commands is undecided, which whoever decides
 * them sees to with session_free. */
void session_closed(struct server *server, uint32_t number);
void session_free(struct server *server, uint32_t number);

/* An IO_SENT event: result is the number of bytes, or -errno. */
void session_sent(struct server *server, uint32_t number, int32_t result);

/* Puts it on the list of those to send from in this turn; in the queue of those with input to
 * handle, behind whoever waits there already. */
void session_make_sendable(struct server *server, uint32_t number);
void session_queue(struct server *server, uint32_t number);

#endif
