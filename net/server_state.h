/* The state that the files of the server share. Each file calls only those below it:
 *
 *   server.c       start, loop and stop
 *   metrics.c      the metrics of all layers, published once a turn
 *   input.c        received bytes to frames, frames to commands
 *   following.c    a replica's connections to the server that it follows
 *   pressure.c     which connections are closed when they take too much
 *   pipeline.c     a batch of commands to decisions, log and replies
 *   await.c        requests that wait for a change
 *   snapshots.c    when snapshots are taken, and how much time they get
 *   members.c      this server's role among those of its shop, epochs, who may decide
 *   replicas.c     the links to replicas, and what their acknowledgements allow
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

#include "engine/known.h"
#include "net/apply.h"
#include "net/clock.h"
#include "net/fetch.h"
#include "net/link.h"
#include "net/members.h"
#include "net/server.h"
#include "net/session.h"
#include "net/shop.h"
#include "net/watch.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"
#include "wal/cursor.h"
#include "wal/ring.h"

/* The receive buffers that all connections share; the size of each, which is also the most that a
 * turn receives from one connection; and the size of a session's stash: an incomplete frame and one
 * more buffer behind it. */
enum {
    SERVER_BUFFERS = 1024,
    SERVER_BUFFER_SIZE = 16 * 1024,
    STASH_SIZE = FRAME_SIZE_MAX + SERVER_BUFFER_SIZE
};

/* The epoch of a new log. A restored shop begins the next epoch, so that a seq of an epoch never
 * names two changes. */
#define SERVER_EPOCH_FIRST 1

/* What an event belongs to, in `user` of its operation: kind (16 bits), and for a session its
 * generation (16 bits) and number (32 bits). */
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
    USER_CLOCK,
    USER_LINK_WORK,
    USER_FOLLOW_LINK,
    USER_FOLLOW_FETCH,
    USER_FOLLOW_WORK
};

static inline uint64_t user_of(enum user_kind kind, uint16_t generation, uint32_t number)
{
    return (uint64_t)kind << 48 | (uint64_t)generation << 32 | number;
}

static inline enum user_kind user_kind(uint64_t user)
{
    return (enum user_kind)(user >> 48);
}

/* A list of session numbers. A flag in the session tells that it is in the list. */
struct session_list {
    uint32_t *numbers;
    uint32_t count;
};

/* The snapshots of this server: net/snapshots.c. */
struct snapshots {
    struct writer *writer;    /* NULL: none are taken */
    uint64_t begun_us;        /* when the last one was started, */
    uint64_t begun_log_bytes; /* and how much log had been written by then */
    uint64_t stepped_us;      /* the last time that earned_us was updated */
    int64_t earned_us;        /* time that slices may take; below zero: to be made up for */
    uint64_t count_seen;      /* of the writer's status: published, */
    uint64_t failures_seen;   /* and failed */
    uint64_t seq_before;      /* of the snapshot that is kept beside the newest; 0: none */
    uint64_t archived_seen;   /* of the archive's status: segments, */
    uint64_t notices_seen;    /* and messages */
    bool is_asked;            /* by a client */
    uint64_t seq_wanted;      /* by a replica: one that shows this seq; 0: none is */
    bool is_last;             /* the last one, at the stop, was started */
    bool is_skipped;          /* a second signal says that none is wanted at the stop */
};

/* The server's time: net/timekeeping.c. */
struct timekeeping {
    struct clock clock;
    struct id boot;
    uint64_t jump_us;        /* time.jump is to be logged before anything is decided; 0: no jump */
    uint64_t jump_seq;       /* its seq: the note must not be written before it is durable */
    struct clock_note noted; /* the note that was written last */
    uint8_t *page;           /* its bytes */
    bool is_writing;
    bool has_complained; /* a failure to write it has been reported */
};

/* This server among those of its shop: net/members.c. */
struct members {
    struct shop shop; /* as in the folder */
    enum member_role role;
    struct text address;            /* where its clients connect, as others are told */
    uint16_t admits[KIND_LINK + 1]; /* by message_kind: OK, or how a request is answered */
    bool is_made;                   /* there was no shop.till */
    bool is_new;                    /* shop.till is to be written, for the first time or changed */
    bool is_epoch_due;              /* epoch.begin is to be logged before anything is decided */
    bool are_more;                  /* more follow than --members says, and that was reported */
    bool is_short;                  /* fewer than --acks follow, for too long */
    uint64_t short_us;              /* since when fewer follow; 0: enough do */
    struct id heard[REPLICAS_MAX];  /* while WAITING: others that know of no newer epoch */
    uint32_t heard_count;
    uint64_t seq_recovered; /* K replicas must have it before a primary started again serves */

    /* Of a replica. */
    bool has_joined;   /* since it follows: its state is the primary's */
    bool is_streaming; /* what it is doing now */
    bool is_syncing;
    bool is_moved; /* another server is to be followed */
    bool is_stale; /* it was a primary, or diverged: before it follows, its state is made anew from
                      its log */
    struct text primary;      /* where commands are taken, as the last beat said */
    uint32_t primary_acks;    /* as the last beat said; until one has come, what this server was */
    uint32_t primary_members; /* started with is told: 0 */
    bool has_beat; /* one of a primary has come since it follows: that had seq_missed then, which */
    uint64_t seq_missed;    /* one that began empty has to have */
    uint64_t beat_fresh_us; /* io time at which the sender's state, with its change beat_seq, was */
    uint64_t beat_seq;      /* the primary's last one */
    uint64_t fresh_us;      /* the same of the state shown here; 0: not known */
    uint64_t sync_begun_us;
    uint64_t sync_us;
    uint64_t sync_done;
    uint64_t sync_bytes;
};

/* A job of the lane LINK for one link. */
struct link_job {
    bool is_seek;
    uint64_t seq_max;
    size_t size; /* bytes that were read */
    enum wal_cursor_result found;
};

/* A snapshot that is being sent. */
struct link_fetch {
    int file;       /* -1: none is open */
    bool is_opened; /* the answer was given */
    bool is_done;
    uint64_t seq;
    uint64_t seq_newest;
    uint64_t offset;
    uint64_t size;
    uint64_t checksum;
};

enum link_kind { LINK_STREAMS, LINK_FETCHES };

enum { LINK_IN_SIZE = 512 }; /* an acknowledgement, also of later schemas */

/* The link to one replica. */
struct link {
    uint32_t session; /* 0: this place is free */
    enum link_kind kind;
    struct disk *disk;
    uint64_t since_us;
    bool is_ending;  /* its session is being closed */
    bool is_reading; /* a job has its buffer, */
    bool is_sending; /* or a send */
    bool has_cursor;
    bool has_place;  /* the cursor stands where is read next */
    bool is_in_ring; /* ring_number is what is sent next */
    uint64_t ring_number;
    struct supplier supplier;
    struct replica_join_reply_body reply;
    struct wal_cursor cursor;
    struct link_fetch fetch;
    struct link_job job;
    uint8_t *out; /* LINK_OUT_SIZE bytes */
    uint32_t out_size;
    uint32_t out_sent;
    uint32_t in_size;
    _Alignas(8) uint8_t in[LINK_IN_SIZE];
};

/* The links to the replicas that follow this server: net/replicas.c. */
struct replicas {
    struct link links[REPLICAS_MAX];
    uint32_t link_count;
    uint32_t following;   /* distinct members that follow, at the end of the last turn */
    uint32_t turn;        /* whose turn it is */
    struct link *reading; /* whose job is in the lane; NULL: none */
    struct wal_ring ring;
    uint64_t epoch;    /* of the last durable block, */
    uint64_t checksum; /* and its checksum; */
    bool ends_empty;   /* it has no change, and became durable since the start */
    uint64_t seq_acknowledged;
    uint64_t block_marked;            /* the newest block in seq_last */
    uint64_t seq_last[SESSION_MARKS]; /* of each block, by its number */
};

/*   UPSTREAM_NONE --upstream_connect--> UPSTREAM_CONNECTING --IO_CONNECTED--> UPSTREAM_OPEN
 *   UPSTREAM_OPEN --upstream_close--> UPSTREAM_CLOSING --IO_CLOSED--> UPSTREAM_NONE
 *   UPSTREAM_CONNECTING --upstream_close--> UPSTREAM_UNWANTED --IO_CONNECTED--> UPSTREAM_CLOSING
 *   UPSTREAM_CONNECTING, UPSTREAM_UNWANTED --IO_CONNECTED, it failed--> UPSTREAM_NONE */
enum upstream_state {
    UPSTREAM_NONE,
    UPSTREAM_CONNECTING,
    UPSTREAM_UNWANTED,
    UPSTREAM_OPEN,
    UPSTREAM_CLOSING,
};

/* A connection to the server that is followed. */
struct upstream {
    enum user_kind kind;
    enum upstream_state state;
    uint16_t generation;
    int fd;
    bool receiving;
    bool sending;
    struct input input;
    const uint8_t *unsent;
    uint32_t unsent_size;
};

enum fetch_job_step { FETCH_JOB_OPEN, FETCH_JOB_WRITE, FETCH_JOB_CHECK, FETCH_JOB_PUBLISH };

/* Work on the partial file of a snapshot, in the lane FOLLOW. */
struct fetch_job {
    enum fetch_job_step step;
    struct disk *disk;
    int file; /* -1: none is open */
    uint64_t seq;
    uint64_t offset;
    uint64_t written;
    const uint8_t *bytes;
    size_t size;
    char name[DISK_NAME_SIZE];
    bool is_checking; /* the reader is open, */
    bool is_whole;    /* or has found that the file is an image without damage */
    struct image_reader reader;
};

/* A replica's side: net/following.c. */
struct following {
    struct follower follower;
    struct upstream link;
    struct fetch fetch;
    struct upstream fetching;
    struct fetch_job job;
    bool is_working;   /* the job is in the lane */
    bool fetches;      /* a snapshot is wanted before the log */
    bool is_fetched;   /* it is there, and nothing is followed until the server starts from it */
    uint64_t tried_us; /* when that was tried last */
    bool has_block;    /* a block waits for room in the log */
    bool is_held;      /* the disk was full: nothing is followed until there was room */
    bool is_ack_due;
    uint64_t acked_seq;
    uint64_t link_epoch; /* what was sealed when the link was made */
    struct apply apply;
    struct decoder *decoder;
    uint8_t *ids_room;
    uint8_t *fields_room;
    char said[LINK_ERROR_SIZE]; /* the last notice */
};

/* Requests of older schemas, laid out as today's, while they are in the open batch. */
enum { OLDER_SIZE = 64 * 1024 };

struct older {
    uint64_t batch; /* number of the batch that they are in */
    uint32_t used_bytes;
    _Alignas(8) uint8_t bytes[OLDER_SIZE];
};

/* Since the server's start. */
struct server_counts {
    uint64_t turns;
    uint64_t events;
    uint64_t busy_us;
    uint64_t turn_us_max;
    uint64_t batches; /* with something in them */
    uint64_t notices;
    uint64_t accepted; /* connections, */
    uint64_t refused;  /* for want of a place, */
    uint64_t silent;   /* closed without a hello, */
    uint64_t stuck;    /* closed because they did not read, */
    uint64_t protocol_errors;
    uint64_t received_bytes;
    uint64_t sent_bytes;
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
    struct members members;
    struct replicas replicas;
    struct following following;
    struct server_start start;
    uint64_t now_us;         /* the log's time of this turn; never goes back */
    uint64_t turn_us;        /* io_time_us of this turn: for measuring how long things take */
    uint64_t scanned_us;     /* when each_second ran last */
    bool is_taking_memory;   /* a helper thread takes the memory of the tables, */
    atomic_bool memory_stop; /* until it is done or this is set */
    struct watch watch;      /* tells when tables fill up */
    bool is_moved;           /* the data folder was moved, and that was reported */
    uint64_t block_full;     /* the newest block whose lack of disk space was reported */
    uint64_t looked_us;      /* when slow readers were looked for last, while chunks were short */
    uint64_t settled_us;     /* a send begun earlier that has not ended waits for its reader */
    uint32_t kinds_asked;    /* message kinds, a bit each, of which members_admit is asked */
    bool is_stopping;
    bool is_restarting; /* it stops in order to be created again from its folder, */
    bool is_asked;      /* unless it was asked to stop: then for good */
    uint64_t stop_us;
    char error[SERVER_ERROR_SIZE];
    struct server_counts counts;
    struct metrics metrics;     /* at the end of the last turn, */
    struct metrics_board board; /* and for other threads */

    struct session *sessions; /* numbered from 1 */
    uint8_t *stashes;         /* STASH_SIZE bytes each */
    uint32_t session_free;    /* the first of the free list; 0: none is free */
    uint32_t session_count;   /* sessions in use, */
    uint32_t closing_count;   /* and how many of them are CLOSING */
    uint32_t session_high;    /* the highest number ever used */
    struct output_pool outputs;
    struct session_chain chains[CHAIN_COUNT];
    uint64_t walked_seq; /* how far the engine was when the last walk along CHAIN_AWAITING began */

    /* The open batch: commands that are parsed and not decided yet. */
    struct command commands[BATCH_COMMANDS_MAX];
    struct frame frames[BATCH_COMMANDS_MAX]; /* the requests' headers */
    uint32_t owners[BATCH_COMMANDS_MAX];     /* session numbers; 0: the server itself */
    uint32_t batch_count;
    uint64_t batch_number;    /* grows with each batch: tells whether a stash is still in use */
    size_t batch_encoded_max; /* bytes that its commands may take in the log */
    uint32_t buffers_done[SERVER_BUFFERS]; /* to be released when the batch is decided */
    uint32_t buffers_done_count;
    bool is_stalled; /* the log has no room: nothing is decided until a block is durable */
    struct hold_expire_body expire; /* the bodies of the server's own commands */
    struct time_jump_body jump;
    struct epoch_begin_body epoch_begin;
    struct retention_put_body retention;
    struct memory_forget_body forget;
    bool has_expired;        /* hold.expire was the last of the two: memory.forget comes next */
    uint64_t own_refused_us; /* when the log last had no room for a command of the server's own; 0:
                                the last such command was logged, or none was refused yet */

    struct session_list sendable; /* to send from at the end of this turn */
    struct session_list waiting;  /* have input to handle, first come, first served */
    struct session_list starved;  /* hold no chunk for replies, and there was none free */
    bool is_behind;               /* some wait because the log had no room: others queue behind */
    uint32_t turn_cost;           /* bytes of requests and replies that this turn has handled */
    struct session_list marked[SESSION_MARKS]; /* by block modulo SESSION_MARKS: have replies that
                                                  are released when the block is durable */
    uint64_t block_released;                   /* the replies of all blocks up to it are released */
    struct older older;
    struct known_table known; /* terms of orders that were checked */
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

/* Removes the first `count` numbers. */
static inline void session_list_shift(struct session_list *list, uint32_t count)
{
    list->count -= count;
    memmove(list->numbers, list->numbers + count, list->count * sizeof *list->numbers);
}

/* The session no longer needs its receive buffer. Commands of the open batch may still point into
 * it, so it is released when they are decided. */
static inline void session_input_done(struct server *server, struct session *session)
{
    if (session->input.buffer != 0)
        server->buffers_done[server->buffers_done_count++] = session->input.buffer - 1;
    session->input = (struct input){.bytes = NULL};
}

/* A message for the operator. */
static inline void server_notice(struct server *server, const char *text)
{
    server->counts.notices++;
    if (server->options.notice != NULL)
        server->options.notice(server->options.context, text);
}

#endif
