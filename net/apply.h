/* Applying a block of the log to an engine: its commands are decided again, in batches, while the
 * memory that the next ones will touch is on its way. Replay and replicas go through here.
 *
 * The log has only what was accepted. A command that is rejected here, a digest that differs, or
 * bytes that do not decode under a checksum that was right, mean that log and engine do not belong
 * together. */
#ifndef TILL_NET_APPLY_H
#define TILL_NET_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "net/decode.h"
#include "wal/block.h"

enum { APPLY_ERROR_SIZE = 384 };

/* Zero at first, but for the members to be set. */
struct apply {
    struct engine *engine;
    /* Called with each command before it is decided, and after it, unless NULL. With either, each
     * is decided by itself: the engine is as it was right before, and right after. */
    void (*observe)(void *context, const struct command *command);
    void (*decided)(void *context, const struct command *command);
    void *context;
    uint64_t seq_last;     /* later changes are not made; 0: no bound */
    uint64_t time_last_us; /* the same by time */

    bool has_stopped;  /* at seq_last or time_last_us */
    uint64_t commands; /* decided so far */
    char error[APPLY_ERROR_SIZE];

    struct {
        struct command *commands;
        uint64_t time_us;
        uint32_t count;
        uint32_t schema;
    } waiting; /* private: for its memory, while the next batch is decoded */
};

/* Decides the batch before this one, and lets this one wait, from the engine's seq on: it must stay
 * until the next call of apply_batch or apply_end has returned. False: error names seq and reason;
 * the engine's state is of no use then. */
bool apply_batch(struct apply *apply, struct batch *batch);

/* Decides what waits, and compares the state with what the block says. Its last batch, of those
 * that are wanted, has been applied. is_malformed: its columns did not decode from seq_next on. */
bool apply_end(struct apply *apply, const struct wal_block *block, bool is_malformed,
               uint64_t seq_next);

/* Both, for all of a block, whose columns are unpacked. */
bool apply_block(struct apply *apply, struct decoder *decoder, const struct wal_block *block,
                 const uint8_t *ids, const uint8_t *fields);

#endif
