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
#include "engine/engine.h"
#include "wal/archive.h"
#include "wal/wal.h"

enum { SERVER_ERROR_SIZE = 768 };

struct server_options {
    const char *listen; /* ADDR:PORT or [ADDR]:PORT; port 0: a free one */
    struct engine_options engine;
    uint64_t wal_segment_size; /* 0: the default */
    uint32_t wal_writes;       /* blocks in flight to the disk; 0: the default */
    bool rewrite_log_note;     /* what the log's note says, or that it is lost, is passed over */
    uint32_t connections_max;
    uint32_t spin_us;            /* an idle loop looks again for so long before it sleeps */
    uint32_t output_chunks;      /* in all, of OUTPUT_CHUNK_SIZE bytes */
    uint64_t slow_reader_us;     /* a send without progress for so long ends the connection */
    uint64_t greeting_us;        /* and so does a connection without a hello */
    uint64_t snapshot_memory;    /* bytes for old states while one is written; 0: take none */
    uint64_t snapshot_every_us;  /* 0: not by time */
    uint64_t snapshot_log_bytes; /* 0: not by the size of the log */
    bool snapshot_at_stop;
    struct disk *archive;     /* gets a copy of each segment before it is used again; NULL: none */
    uint64_t archive_keep_us; /* 0: whatever its age */
    uint64_t archive_keep_bytes; /* 0: whatever its size */
    bool lazy_memory;            /* take memory as it is touched, not from the start on */
    uint64_t clock_bound_us;     /* a wall clock further off has jumped; 0: the default */
    bool accept_clock;           /* an operator says that the wall clock is right */

    /* Told while the log is read at start-up, unless NULL. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* The same while the files of a backup are checked. */
    void (*checking)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* The same while a snapshot is loaded. */
    void (*loading)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* Told, unless NULL, when the memory of all tables is there, or not all of it could be had. */
    void (*memory_taken)(void *context, bool is_whole);
    /* Told, unless NULL, what a person should know: a damaged snapshot, one that was given up. */
    void (*notice)(void *context, const char *text);
    void *context;
};

extern const struct server_options server_options_default;

struct server;

/* What its connections take at most, all of them together: for replies that are not sent and for
 * requests that wait. */
uint64_t server_connections_bytes(const struct server_options *options);

/* The io that a server of these options needs. */
struct io_options server_io_options(const struct server_options *options);

/* NULL on failure, with a message. io, disk and the archive outlive the server. */
struct server *server_create(const struct server_options *options, struct io *io, struct disk *disk,
                             char *error, size_t error_size);
void server_destroy(struct server *server);

/* One turn: waits up to timeout_us for something to happen and does all there is to do. 1: go on;
 * 0: it was asked to stop and has stopped, everything decided is durable and answered; -1: it must
 * not go on (server_error says why): nothing was answered that is not durable. */
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
    bool is_sealed;          /* nothing more was ever acknowledged; else nobody can tell */
    uint64_t snapshot_bytes; /* of its records, and how long loading it took */
    uint64_t snapshot_us;
    uint64_t replay_us;             /* how long the commands took */
    uint64_t epoch;                 /* of the log */
    uint64_t archive_seq;           /* everything up to it has been archived */
    uint64_t snapshot_memory_bytes; /* what taking snapshots needs, in all */
};
struct server_start server_start(const struct server *server);

const struct engine *server_engine(const struct server *server);

#endif
