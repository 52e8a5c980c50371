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
#include "base/id.h"
#include "base/io.h"
#include "engine/engine.h"

enum { WRITER_BUFFERS = 4, WRITER_ERROR_SIZE = 256 };

struct writer_options {
    uint64_t undo_bytes; /* memory for old states of records that change meanwhile */
    uint64_t epoch;
    struct id shop;      /* the folder's; zero: it has none */
    uint64_t user_write; /* `user` of its IO_WRITTEN events: user_write + 0..WRITER_BUFFERS-1 */
    uint64_t user_work;  /* `user` of its IO_WORKED events */
};

struct writer_status {
    uint64_t seq_begun;      /* of the snapshot being written, or the last one; 0: none yet */
    uint64_t seq_published;  /* of the newest published one; 0: none */
    uint64_t seq_before;     /* of the one before that, which is kept too; 0: none */
    uint64_t snapshot_count; /* published since the start */
    uint64_t failure_count;
    uint64_t bytes_stored;         /* of the last one */
    uint64_t chunk_us_max;         /* the longest slice */
    uint32_t undo_count_max;       /* the most slots of the undo memory that were in use */
    char error[WRITER_ERROR_SIZE]; /* of the last failure */
};

struct writer;

/* seq_published and seq_before are those of the snapshots in the folder; 0: none. NULL when there
 * is not enough memory. */
struct writer *writer_create(const struct writer_options *options, struct io *io, struct disk *disk,
                             struct engine *engine, uint64_t seq_published, uint64_t seq_before);

/* May be called when no event is to come (writer_awaits_event), or the io is gone. */
void writer_destroy(struct writer *writer);

/* The newest change is of this epoch: what the next snapshot says, unless it is said to be of a
 * newer one already, as behind the snapshot of a restored folder until its epoch begins. */
void writer_epoch(struct writer *writer, uint64_t epoch);

/* Starts a snapshot, unless one is being written. */
void writer_ask(struct writer *writer);
bool writer_is_idle(const struct writer *writer);

/* Does the newest snapshot, or the one being written, contain the change of this seq? */
bool writer_will_show(const struct writer *writer, uint64_t seq);

/* Does one slice of the work, between two batches of commands: packs one chunk at most, and none
 * when may_pack is false. seq_durable is the log's. True when it has packed something. */
bool writer_step(struct writer *writer, uint64_t seq_durable, bool may_pack);

/* Gives up the snapshot that is being written, if there is one; further slices and events are
 * needed until the writer is idle. */
void writer_cancel(struct writer *writer);

/* Would a slice find something to pack? */
bool writer_has_work(const struct writer *writer);

/* How much of the undo memory is in use. */
uint32_t writer_undo_percent(const struct writer *writer);

/* Is the undo memory running short? Then no command should be decided before writer_step has made
 * room, or, when writer_has_work is false, before a write has ended. */
bool writer_is_pressed(const struct writer *writer);

/* Is an event to come? */
bool writer_awaits_event(const struct writer *writer);

/* Handles an IO_WRITTEN or IO_WORKED event. */
void writer_event(struct writer *writer, const struct io_event *event);

const struct writer_status *writer_status(const struct writer *writer);

/* Fills the metrics of the snapshots' layer. */
void writer_metrics(const struct writer *writer, struct metrics *metrics);

uint64_t writer_memory_bytes(const struct writer *writer);

#endif
