/* Replay: the commands of a data folder's log, decided again by a fresh engine.
 *
 * It ends in the very state the log was written from, and proves it: every command must be
 * accepted, and the engine's digest after each block must be the block's. Start-up and
 * `till verify` both go through here. */
#ifndef TILL_NET_REPLAY_H
#define TILL_NET_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "engine/engine.h"
#include "wal/reader.h"

enum { REPLAY_ERROR_SIZE = 640 };

struct replay {
    struct disk *disk;
    struct engine *engine;

    /* Called after each block, unless NULL, with how much of the log has been read. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* Called with each command before it is decided, unless NULL. */
    void (*observe)(void *context, const struct command *command);
    void *context;

    /* Filled by replay_run. */
    struct wal_end end;
    uint64_t blocks;
    uint64_t commands;
    char error[REPLAY_ERROR_SIZE];
};

/* False when the log is damaged or does not lead to the state it was written from; error then
 * names the first thing that is wrong, and where. */
bool replay_run(struct replay *replay);

#endif
