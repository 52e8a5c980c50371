/* The snapshot writer: takes an image of a live engine in slices and publishes it as a file.
 *
 *   IDLE       --writer_ask----------------------------------------> CREATING
 *   CREATING   --writer_event, the file is made--------------------> READY
 *   CREATING   --writer_event, it could not be---------------------> IDLE
 *   READY      --begin, in writer_step-----------------------------> PACKING
 *   PACKING    --finish, all records are packed--------------------> DRAINING
 *   DRAINING   --drain, all is written-----------------------------> WAITING
 *   WAITING    --writer_step, the log is durable up to it----------> PUBLISHING
 *   PUBLISHING --writer_event, the file is published---------------> IDLE
 *   READY, PACKING, WAITING, PUBLISHING --fail---------------------> DRAINING
 *   DRAINING   --drain, nothing is in flight after a failure-------> DISCARDING
 *   DISCARDING --writer_event, the partial file is gone or not-----> IDLE
 *
 * writer_check (snapshot/writer.c) asserts this at each transition.
 *
 * Nothing here blocks: files are made, published and removed in the snapshots' lane of the io, and
 * written through io_write. A failure gives up this snapshot, with a message, and nothing else. */
#ifndef TILL_SNAPSHOT_WRITER_H
#define TILL_SNAPSHOT_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/io.h"
#include "engine/engine.h"

enum { WRITER_BUFFERS = 4, WRITER_ERROR_SIZE = 256 };

struct writer_options {
    uint64_t undo_bytes; /* for old states of records, while a snapshot is being written */
    uint64_t epoch;
    uint64_t user_write; /* `user` of its IO_WRITTEN events: user_write + 0..WRITER_BUFFERS-1 */
    uint64_t user_work;  /* `user` of its IO_WORKED events */
};

struct writer_status {
    uint64_t seq_begun;      /* of the snapshot under way, or the last one; 0: none yet */
    uint64_t seq_published;  /* of the newest; 0: none */
    uint64_t seq_before;     /* of the one before it, which is kept too; 0: none */
    uint64_t snapshot_count; /* published since the start */
    uint64_t failure_count;
    uint64_t bytes_stored;         /* of the last one */
    uint64_t chunk_us_max;         /* the longest slice */
    uint32_t undo_count_max;       /* the most slots of the undo memory that were in use */
    char error[WRITER_ERROR_SIZE]; /* of the last failure */
};

struct writer;

/* seq_published and seq_before are those of the snapshots that are there; 0: none. NULL without
 * memory. */
struct writer *writer_create(const struct writer_options *options, struct io *io, struct disk *disk,
                             struct engine *engine, uint64_t seq_published, uint64_t seq_before);

/* Nothing may be under way (writer_awaits_event), unless the io is gone. */
void writer_destroy(struct writer *writer);

/* Starts a snapshot if none is under way. */
void writer_ask(struct writer *writer);
bool writer_is_idle(const struct writer *writer);

/* Does the newest snapshot, or the one under way, show this change of the past? */
bool writer_will_show(const struct writer *writer, uint64_t seq);

/* One slice, between two batches: packs a chunk at most, and none unless may_pack. seq_durable is
 * the log's. True when it packed something. */
bool writer_step(struct writer *writer, uint64_t seq_durable, bool may_pack);

/* Gives up the snapshot under way, if any; it takes some more slices and events to be idle. */
void writer_cancel(struct writer *writer);

/* A slice would find something to pack. */
bool writer_has_work(const struct writer *writer);

/* How much of the undo memory is in use. */
uint32_t writer_undo_percent(const struct writer *writer);

/* The undo memory runs short: nothing should be decided before writer_step has made room, if
 * writer_has_work, or else before a write is done. */
bool writer_is_pressed(const struct writer *writer);

/* A write or a work is under way. */
bool writer_awaits_event(const struct writer *writer);

/* Takes in an IO_WRITTEN or IO_WORKED event. */
void writer_event(struct writer *writer, const struct io_event *event);

const struct writer_status *writer_status(const struct writer *writer);
uint64_t writer_memory_bytes(const struct writer *writer);

#endif
