/* The server: one thread, one loop, from sockets through the engine and the log back to sockets.
 *
 *   server_create recovers the folder's log into a fresh engine and listens; server_turn is one
 *   turn of the loop; server_destroy frees everything, also after a failure.
 *
 * It runs on whatever implements base/io.h and base/disk.h. */
#ifndef TILL_NET_SERVER_H
#define TILL_NET_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/io.h"
#include "base/metrics.h"
#include "engine/engine.h"
#include "wal/archive.h"
#include "wal/wal.h"

enum { SERVER_ERROR_SIZE = 768 };

/* Of the closed orders that are kept at most: any number. */
#define RETENTION_ANY UINT64_MAX

struct server_options {
    const char *listen; /* ADDR:PORT or [ADDR]:PORT; port 0: a free one */
    struct engine_options engine;
    uint64_t wal_segment_size; /* 0: the default */
    uint32_t wal_writes;       /* blocks in flight to the disk; 0: the default */
    bool rewrite_log_note;     /* ignore the log's note, even a lost one, and write it anew */
    uint32_t connections_max;
    uint32_t spin_us;         /* microseconds that an idle loop polls before it sleeps; 0: off */
    uint32_t output_chunks;   /* of replies, for all connections; OUTPUT_CHUNK_SIZE bytes each */
    uint64_t slow_reader_us;  /* a connection whose send makes no progress for so long is closed, */
    uint64_t greeting_us;     /* and one that has not sent hello after so long */
    uint64_t snapshot_memory; /* bytes for old states of records while one is taken; 0: take none */
    uint64_t snapshot_every_us;  /* take one so often; 0: not by time */
    uint64_t snapshot_log_bytes; /* and after so much log; 0: not by its size */
    bool snapshot_at_stop;
    struct disk *archive; /* gets a copy of each segment before it is reused; NULL: no archive */
    uint64_t archive_keep_us;    /* archived files that are older are removed; 0: never */
    uint64_t archive_keep_bytes; /* the oldest are removed while there is more; 0: never */
    bool reads_ahead;            /* the log at start, on a second thread (net/ahead.h) */
    bool lazy_memory;            /* tables get memory when it is first used, not ahead of that */
    uint64_t clock_bound_us;     /* a wall clock that is off by more has jumped; 0: the default */
    bool accept_clock;           /* an operator says that the wall clock is right now */

    /* What is told to the shop about its retention (engine/engine.h), while this server decides for
     * it; what is 0 stays as it is. */
    struct engine_retention retention;

    /* Replicas. */
    const char *replica_of;      /* ADDR:PORT of the server to follow; NULL: as the folder says */
    const char *name;            /* what others call this server; NULL: none */
    const char *advertise;       /* ADDR:PORT where its clients connect; NULL: where it listens */
    uint32_t acks;               /* replicas that a reply waits for */
    uint32_t members;            /* servers of the shop, this one included; 0: acks + 1 */
    uint64_t acks_wait_us;       /* with fewer replicas for so long, nothing is decided */
    uint64_t min_seq_wait_us;    /* a request waits so long for the change that it demands */
    uint64_t replica_keep_bytes; /* of log that is kept for replicas that are behind */
    struct id shop_new;          /* random ids for a folder that has none yet: of the shop, */
    struct id member_new;        /* and of the folder */

    /* Callbacks; any of them may be NULL. At the start: how much of the log is read, */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* how much of a backup is checked, */
    void (*checking)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* and how much of a snapshot is loaded. */
    void (*loading)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* How much of its primary's snapshot a replica has fetched; with 0 of 0: no more is fetched. */
    void (*fetching)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* Called once, when the memory of the tables has been taken, or part of it could not be. */
    void (*memory_taken)(void *context, bool is_whole);
    /* A message for the operator, such as a damaged snapshot or one that was given up. */
    void (*notice)(void *context, const char *text);
    void *context;
};

/* What is no option of `till serve`; everything else is zero. */
extern const struct server_options server_options_default;

struct server;

/* The most memory that all connections together can take: unsent replies, waiting requests, and
 * what is sent to replicas. */
uint64_t server_connections_bytes(const struct server_options *options);

/* The options of the io that such a server needs. */
struct io_options server_io_options(const struct server_options *options);

/* NULL on failure, with a message. io, disk and the archive outlive the server. */
struct server *server_create(const struct server_options *options, struct io *io, struct disk *disk,
                             char *error, size_t error_size);
void server_destroy(struct server *server);

/* One turn of the loop: waits up to timeout_us for events and handles them. Returns 1: call it
 * again; 0: it was asked to stop and has stopped, everything decided is durable and answered; -1:
 * it must not go on (server_error says why); nothing was answered that is not durable; 2: it has
 * stopped in order to begin anew from its folder: destroy it and create it again, with a new io. */
int server_turn(struct server *server, uint64_t timeout_us);
const char *server_error(const struct server *server);

/* What was found at start-up, and where it listens. */
struct server_start {
    uint16_t port;
    uint64_t commands; /* replayed */
    uint64_t blocks;
    uint64_t seq;
    uint64_t backup_seq;     /* the last change of the backup it began with; 0: a data folder */
    uint64_t snapshot_seq;   /* of the snapshot it began with; 0: none */
    bool has_log;            /* there was a log to read */
    uint64_t torn_bytes;     /* cut off the log's end */
    bool is_sealed;          /* certain: nothing after this end was ever acknowledged */
    uint64_t snapshot_bytes; /* of its records; and the time that loading them took */
    uint64_t snapshot_us;
    uint64_t replay_us;             /* the time that replaying the log took */
    uint64_t epoch;                 /* of the log */
    uint64_t archive_seq;           /* everything up to it has been archived */
    uint64_t snapshot_memory_bytes; /* all that taking snapshots needs */
};
struct server_start server_start(const struct server *server);

const struct engine *server_engine(const struct server *server);

/* Where it publishes its metrics at the end of each turn; any thread may read them until
 * server_destroy. */
const struct metrics_board *server_metrics(const struct server *server);

#endif
