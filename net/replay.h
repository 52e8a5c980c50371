/* Replay: the newest valid snapshot of a data folder, and the commands of the log after it, decided
 * again by a fresh engine.
 *
 * It ends in the very state the log was written from, and proves it: every command must be
 * accepted, and the engine's digest after each block must be the block's. It may end at an earlier
 * moment, and take what the folder's log lacks from an archive. At a fork (net/fork.h) it ends
 * where the log is to be cut; it takes no archive then. Start-up and all tools that read a folder
 * go through here. */
#ifndef TILL_NET_REPLAY_H
#define TILL_NET_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "engine/engine.h"
#include "snapshot/loader.h"
#include "wal/reader.h"

enum { REPLAY_ERROR_SIZE = 640 };

struct replay {
    struct disk *disk;
    struct engine *engine;  /* fresh */
    bool ignores_snapshots; /* the log from its beginning */
    bool ignores_note;      /* what the log has noted of its end (wal/note.h) */
    bool reads_ahead;       /* on a second thread, where there is a core for it (net/ahead.h) */
    struct disk *archive;   /* of the same history; NULL: the folder's log alone */
    uint64_t seq_max;       /* newer snapshots are not looked at; 0: no bound */
    uint64_t seq_last;      /* the last change to be made; 0: no bound */
    uint64_t time_last_us;  /* later changes are not made; 0: no bound */
    uint64_t fork_seq;      /* nothing later is read: the log is to be cut there; 0: it is not */

    /* Called now and then while a snapshot is loaded, unless NULL. */
    void (*loading)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* Called with what is wrong with a snapshot that cannot be used, unless NULL. */
    void (*notice)(void *context, const char *text);
    /* Called after each block, unless NULL, with how much of the log has been read. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    void *context; /* of these three */

    /* Called with each command before it is decided, and after it, unless NULL (net/apply.h). */
    void (*observe)(void *observer, const struct command *command);
    void (*decided)(void *observer, const struct command *command);
    void *observer;

    /* Filled by replay_run. */
    struct loader loader; /* what it says of snapshots */
    struct wal_end end;   /* of the folder's log */
    uint64_t seq_first;   /* of the first block in the folder's log; 0: it has none */
    uint64_t epoch;       /* of the last block, or of the snapshot; 0: there is neither */
    uint64_t blocks;      /* of which commands were replayed */
    uint64_t commands;
    bool is_archive;    /* the folder itself is an archive */
    bool has_stopped;   /* at seq_last or time_last_us: there is more, */
    uint64_t seq_whole; /* and the block that was begun goes up to this seq */
    bool has_forked;    /* at fork_seq: wal_open with `end` cuts what lies behind it */
    uint64_t loaded_us; /* how long the snapshot took, and the log */
    uint64_t replayed_us;
    char path_later[WAL_ERROR_SIZE]; /* of the log that does not go on where the state ends */
    char error[REPLAY_ERROR_SIZE];
};

/* False when the log is damaged or does not lead to the state it was written from; error then
 * names the first thing that is wrong, and where. */
bool replay_run(struct replay *replay);

#endif
