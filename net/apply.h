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
#include "wal/block.h"

enum { APPLY_ERROR_SIZE = 384 };

struct apply {
    struct engine *engine;
    /* Called with each command before it is decided, unless NULL. */
    void (*observe)(void *context, const struct command *command);
    void *context;
    uint64_t seq_last;     /* later changes are not made; 0: no bound */
    uint64_t time_last_us; /* the same by time */

    bool has_stopped;  /* at seq_last or time_last_us */
    uint64_t commands; /* decided so far */
    char error[APPLY_ERROR_SIZE];

    struct apply_batches *batches; /* private */
};

/* False when there is no memory. */
bool apply_init(struct apply *apply, struct engine *engine);
void apply_deinit(struct apply *apply);

/* Decides what the block has after the engine's seq; the columns are unpacked. False: error names
 * seq and reason; the engine's state is of no use then. */
bool apply_block(struct apply *apply, const struct wal_block *block, const uint8_t *ids,
                 const uint8_t *fields);

#endif
