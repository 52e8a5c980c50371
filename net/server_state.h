/* The state that the files of the server share. Each file calls only those below it:
 *
 *   server.c       start, loop and stop
 *   input.c        received bytes to frames, frames to commands
 *   pressure.c     which connections are closed when they take too much
 *   pipeline.c     a batch of commands to decisions, log and replies
 *   snapshots.c    when snapshots are taken, and how much time they get
 *   timekeeping.c  the clocks, once a turn
 *   session.c      the life of connections, and the lists that they stand in
 *   output.c, watch.c and clock.c know no server: replies of one connection, tables that fill up,
 *   the log's time
 *
 * What a file offers is declared in the header of its name. `tests/tidy/run includes` checks the
 * order. */
#ifndef TILL_NET_SERVER_STATE_H
#define TILL_NET_SERVER_STATE_H

#include <stdatomic.h>
#include <string.h>

#include "net/clock.h"
#include "net/server.h"
#include "net/session.h"
#include "net/watch.h"
#include "snapshot/writer.h"

/* Receive buffers, the size of each (what a turn takes in from one connection), and what a session
 * may have to put by: a frame that came in pieces, and a buffer behind it. */
enum {
    SERVER_BUFFERS = 1024,
    SERVER_BUFFER_SIZE = 16 * 1024,
    STASH_SIZE = FRAME_SIZE_MAX + SERVER_BUFFER_SIZE
};

/* The epoch of a log that begins. It grows when a shop is restored, and when another server takes
 * over as primary, which none can yet. */
#define SERVER_EPOCH_FIRST 1

/* `user` of an operation: kind, generation of the session, number of the session. */
enum user_kind {
    USER_LISTEN = 1,
    USER_SESSION,
    USER_REFUSED,
    USER_WAL_WRITE,
    USER_WAL_PREPARE,
    USER_SNAPSHOT_WRITE,
    USER_SNAPSHOT_WORK,
    USER_ARCHIVE,
    USER_MEMORY,
    USER_CLOCK
};

static inline uint64_t user_of(enum user_kind kind, uint16_t generation, uint32_t number)
{
    return (uint64_t)kind << 48 | (uint64_t)generation << 32 | number;
}

static inline enum user_kind user_kind(uint64_t user)
{
    return (enum user_kind)(user >> 48);
}

/* A list of session numbers, each at most once, for this turn or until room appears. */
struct session_list {
    uint32_t *numbers;
    uint32_t count;
};

/* The snapshots of this server: net/snapshots.c. */
struct snapshots {
    struct writer *writer; /* NULL: none are taken */
    uint64_t begun_us;     /* when the last one was started, */
    uint64_t begun_log_bytes;
    uint64_t stepped_us;
    int64_t earned_us; /* time that slices may take */
    uint64_t count_seen;
    uint64_t failures_seen;
    uint64_t seq_before; /* of the snapshot that is kept beside the newest; 0: none */
    uint64_t archived_seen;
    uint64_t notices_seen; /* of the archive */
    bool is_asked;
    bool is_last;    /* the one at the stop was started */
    bool is_skipped; /* and is not wanted after all */
};

/* The server's time: net/timekeeping.c. */
struct timekeeping {
    struct clock clock;
    struct id boot;
    uint64_t jump_us;  /* to be logged before anything else is decided; 0: nothing */
    uint64_t jump_seq; /* up to which the log must be durable before it is noted */
    struct clock_note noted;
    uint8_t *page; /* the note as it is written */
    bool is_writing;
    bool has_complained;
};

/* Requests of older schemas, laid out as today's, while they are in the open batch. */
enum { OLDER_SIZE = 64 * 1024 };

struct older {
    uint64_t batch; /* number of the batch that they are in */
    uint32_t used_bytes;
    _Alignas(8) uint8_t bytes[OLDER_SIZE];
};

struct server {
    struct server_options options;
    struct io *io;
    struct disk *disk;
    struct engine *engine;
    struct wal *wal;
    struct archive *archive; /* NULL: none is kept */
    struct snapshots snapshots;
    struct timekeeping timekeeping;
    struct server_start start;
    uint64_t now_us;  /* of this turn, as the log has it; never goes back */
    uint64_t turn_us; /* of this turn, by io_time_us: how long anything takes */
    uint64_t scanned_us;
    bool is_taking_memory;   /* of the tables, on the I/O seam's thread for it, */
    atomic_bool memory_stop; /* until it is done or told not to go on */
    struct watch watch;      /* over the tables */
    bool is_moved;           /* the data folder, and it was said */
    uint64_t block_full;     /* the log's disk had no room for it, and it was said */
    uint64_t looked_us;      /* for those that do not read, while chunks were short */
    uint64_t settled_us;     /* a send begun before it has ended, or waits for its reader */
    bool is_stopping;
    uint64_t stop_us;
    char error[SERVER_ERROR_SIZE];

    struct session *sessions; /* numbered from 1 */
    uint8_t *stashes;         /* STASH_SIZE bytes each */
    uint32_t session_free;
    uint32_t session_count; /* in use */
    uint32_t closing_count; /* of them */
    uint32_t session_high;  /* the highest number ever used */
    struct output_pool outputs;
    uint32_t greeting_first; /* sessions without a hello, the oldest first */
    uint32_t greeting_last;

    /* The open batch: parsed, not decided. */
    struct command commands[BATCH_COMMANDS_MAX];
    struct frame frames[BATCH_COMMANDS_MAX]; /* the requests' headers */
    uint32_t owners[BATCH_COMMANDS_MAX];     /* session numbers; 0: the server itself */
    uint32_t batch_count;
    uint64_t batch_number;
    size_t batch_encoded_max;
    uint32_t buffers_done[SERVER_BUFFERS]; /* that only the batch may still point into */
    uint32_t buffers_done_count;
    bool is_stalled; /* the log has no room: nothing is decided until a block is durable */
    struct hold_expire_body expire;
    struct time_jump_body jump;

    struct session_list sendable;
    struct session_list waiting; /* for their turn, first come, first served */
    struct session_list starved; /* for a chunk, while there is none at all */
    bool is_behind;              /* some of them have waited for the log: nobody overtakes them */
    uint32_t turn_cost;          /* bytes of requests and replies that this turn has handled */
    struct session_list marked[SESSION_MARKS]; /* by block: whose output it releases */
    uint64_t block_released;                   /* every block up to it has released its output */
    struct older older;
};

static inline struct session *session_at(struct server *server, uint32_t number)
{
    return &server->sessions[number];
}

static inline uint64_t session_user(struct server *server, uint32_t number)
{
    return user_of(USER_SESSION, session_at(server, number)->generation, number);
}

static inline void session_list_add(struct session_list *list, uint32_t number)
{
    list->numbers[list->count++] = number;
}

/* The first ones leave the list. */
static inline void session_list_shift(struct session_list *list, uint32_t count)
{
    list->count -= count;
    memmove(list->numbers, list->numbers + count, list->count * sizeof *list->numbers);
}

/* The session is done with its receive buffer; the open batch may still point into it. */
static inline void session_input_done(struct server *server, struct session *session)
{
    if (session->input.buffer != 0)
        server->buffers_done[server->buffers_done_count++] = session->input.buffer - 1;
    session->input = (struct input){.bytes = NULL};
}

/* Tells a person. */
static inline void server_notice(const struct server *server, const char *text)
{
    if (server->options.notice != NULL)
        server->options.notice(server->options.context, text);
}

#endif
