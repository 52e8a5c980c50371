/* The snapshot loader: brings a fresh engine to the state of the newest valid snapshot of a folder.
 *
 * A damaged one is named and the one before it tried. The log after the snapshot is the caller's
 * business (net/replay.h). */
#ifndef TILL_SNAPSHOT_LOADER_H
#define TILL_SNAPSHOT_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "engine/engine.h"

enum { LOADER_ERROR_SIZE = 512, LOADER_SNAPSHOTS_MAX = 64 };

struct loader {
    struct disk *disk;
    struct engine *engine; /* fresh */
    uint64_t seq_max;      /* newer ones are not looked at; 0: no bound */
    uint64_t time_max_us;  /* nor those taken later by the log's time; 0: no bound */

    /* Called now and then, unless NULL, with how much of the file has been read. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* Called with what is wrong with each snapshot that cannot be used, unless NULL. */
    void (*notice)(void *context, const char *text);
    void *context;

    /* Filled by loader_run. */
    uint64_t seq;                        /* loaded; 0: none, and the engine is fresh */
    uint64_t seqs[LOADER_SNAPSHOTS_MAX]; /* of those that are there, the newest first */
    uint32_t seq_count;
    uint32_t older_count;   /* that there was no room for in seqs, and that are not looked at */
    uint32_t damaged_count; /* of them, from the newest on, that could not be used */
    uint64_t bytes_read;
    uint64_t raw_bytes; /* of the records loaded */
    uint64_t epoch;     /* of the log, when it was taken */
    char error[LOADER_ERROR_SIZE];
};

/* Fills seqs and seq_count; seq and epoch become those of the newest with a whole header. False,
 * with an error, when the folder cannot be read, or has one of an earlier epoch behind one of a
 * later. */
bool loader_list(struct loader *loader);

/* False when there are snapshots that must not be passed over: of a newer version or
 * schema, or larger than the tables; or when the disk cannot be read. error then says what to do.
 * True without any valid one too: seq is 0 then. */
bool loader_run(struct loader *loader);

#endif
