/* A session: one client connection, from accept to close.
 *
 *   GREETING --hello--> OPEN --end of stream, error, stop--> DRAINING --all sent--> CLOSING -->
 * free
 *
 * Input is parsed where it was received. What of a frame came without its end is kept in the
 * session's stash until the rest arrives; what was received but cannot be handled yet (no room
 * for replies, or none in the log) stays in its receive buffers, chained to the session. */
#ifndef TILL_NET_SESSION_H
#define TILL_NET_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "net/frame.h"
#include "net/output.h"

enum session_state {
    SESSION_FREE,
    SESSION_GREETING,
    SESSION_OPEN,
    SESSION_DRAINING, /* nothing more is read; closes when everything written is sent */
    SESSION_CLOSING,  /* waits for IO_CLOSED */
};

enum { SESSION_MARKS = 16 };

static_assert(SESSION_MARKS > WAL_WRITES_MAX + 1, "a mark for every block that is not durable");

/* Up to where the output may be released when a block of the log is durable. */
struct session_mark {
    uint64_t block; /* 0: none */
    uint64_t written;
};

struct session {
    int fd;
    uint32_t next; /* in the free list */
    uint16_t generation;
    uint8_t state;
    bool checksum;
    bool is_operator; /* the hello said so */
    bool sending;
    bool paused;        /* nothing is being received */
    bool waiting;       /* in the server's queue of sessions with input to handle */
    bool is_sendable;   /* in the turn's list of sessions to send from */
    bool is_closed;     /* IO_CLOSED came while commands were undecided */
    bool has_ended;     /* the client sends nothing more */
    uint32_t undecided; /* commands of the open batch */
    uint32_t stash_size;
    uint64_t stash_batch; /* the batch that has a command in the stash */
    uint32_t input_first; /* receive buffers with input, numbered from 1 */
    uint32_t input_last;
    uint64_t send_since_us;
    struct output output;
    struct session_mark marks[SESSION_MARKS]; /* by block modulo SESSION_MARKS */
};

#endif
