/* The snapshot loader: brings a fresh engine to the state of the newest valid snapshot of a folder.
 *
 * A damaged snapshot is reported, and the one before it is tried. The caller replays the log after
 * the snapshot (net/replay.h). */
#ifndef TILL_SNAPSHOT_LOADER_H
#define TILL_SNAPSHOT_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/id.h"
#include "engine/engine.h"

enum { LOADER_ERROR_SIZE = 512, LOADER_SNAPSHOTS_MAX = 64 };

struct loader {
    struct disk *disk;
    struct engine *engine; /* fresh */
    uint64_t seq_max;      /* snapshots with a later seq are ignored; 0: no bound */
    uint64_t time_max_us;  /* and those taken later, by the log's time; 0: no bound */

    /* Called at intervals, unless NULL, with how much of the file has been read. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* Called with what is wrong with each snapshot that cannot be used, unless NULL. */
    void (*notice)(void *context, const char *text);
    void *context;

    /* Filled by loader_run. */
    uint64_t seq; /* of the loaded snapshot; 0: none, and the engine is fresh */
    uint64_t seqs[LOADER_SNAPSHOTS_MAX]; /* of the snapshots in the folder, the newest first */
    uint32_t seq_count;
    uint32_t older_count;   /* older snapshots that do not fit into seqs, and are ignored */
    uint32_t damaged_count; /* the first so many in seqs could not be used */
    uint64_t bytes_read;
    uint64_t raw_bytes; /* of the records loaded */
    uint64_t epoch;     /* of the log, when the loaded snapshot was taken */
    struct id shop;     /* whose snapshot it is; zero: it does not say */
    char error[LOADER_ERROR_SIZE];
};

/* Fills seqs and seq_count; seq, epoch and shop become those of the newest snapshot with a valid
 * header. False, with an error, when the folder cannot be read, or has a snapshot with an earlier
 * epoch but a later seq than another one. */
bool loader_list(struct loader *loader);

/* False when the newest snapshot must not be skipped, because it has a newer version or schema, or
 * more records than the tables have room for; or when the disk cannot be read. error then says what
 * to do. True also when there is no valid snapshot: seq is 0 then. */
bool loader_run(struct loader *loader);

#endif
