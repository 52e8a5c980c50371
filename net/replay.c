/* Block by block, and within a block in batches: commands of one time, BATCH_COMMANDS_MAX at most,
 * are decided together, so that the engine can prefetch for all of them.
 *
 *   wal_reader_next -> command_decode... -> engine_decide -> accepted? -> digest as in the block?
 *
 * The log has only what was accepted. A command that is rejected here, a digest that differs, or
 * bytes that do not decode under a checksum that was right, mean that the log and the engine do
 * not belong together: there is no way to go on, and nothing is guessed. */
#include "net/replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/codec.h"

/* Bodies of a batch, packed one behind the other. */
struct replay_batch {
    struct command commands[BATCH_COMMANDS_MAX];
    uint32_t count;
    uint32_t body_words;
    uint64_t time_us;
    struct logged_command decoded;
    uint64_t bodies[BATCH_COMMANDS_MAX * (FRAME_SIZE_MAX / 8)];
};

/* Always false. */
__attribute__((format(printf, 2, 3))) static bool fail(struct replay *replay, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(replay->error, sizeof replay->error, format, arguments);
    va_end(arguments);
    return false;
}

static bool decide_batch(struct replay *replay, struct replay_batch *batch)
{
    uint64_t seq = engine_seq(replay->engine);
    for (uint32_t i = 0; i < batch->count && replay->observe != NULL; i++)
        replay->observe(replay->context, &batch->commands[i]);
    engine_decide(replay->engine, batch->time_us, batch->commands, batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct command *command = &batch->commands[i];
        if (!command->accepted)
            return fail(replay,
                        "seq %" PRIu64 ": %s, accepted when it was logged, is rejected in replay "
                        "with %s; %s",
                        seq + i + 1, message_info(command->number)->name,
                        outcome_name(command->outcome),
                        command->outcome == OUTCOME_CAPACITY
                            ? "give at least the capacities that the server ran with"
                            : "the log does not belong to this version of till, or is damaged: "
                              "restore from a replica or a backup");
    }
    replay->commands += batch->count;
    batch->count = 0;
    batch->body_words = 0;
    return true;
}

static void append_command(struct replay_batch *batch)
{
    const struct logged_command *decoded = &batch->decoded;
    uint64_t *body = batch->bodies + batch->body_words;
    TILL_ASSERT(decoded->size <= FRAME_SIZE_MAX && decoded->size % 8 == 0);
    memcpy(body, decoded->body, decoded->size);
    batch->commands[batch->count++] =
        (struct command){.body = body, .size = decoded->size, .number = decoded->number};
    batch->body_words += decoded->size / 8;
    batch->time_us = decoded->time_us;
}

static bool replay_block(struct replay *replay, const struct wal_reader *reader,
                         struct replay_batch *batch)
{
    const struct wal_block *block = &reader->block;
    struct column_reader columns = {.ids = reader_init(reader->ids, block->ids_size),
                                    .fields = reader_init(reader->fields, block->fields_size),
                                    .time_us = block->time_us};
    bool malformed = false;
    uint32_t count = 0;
    for (; command_decode(&columns, &batch->decoded, &malformed); count++) {
        /* The snapshot's moment may lie inside of a block. */
        if (block->seq_first + count <= replay->loader.seq)
            continue;
        bool full = batch->count == BATCH_COMMANDS_MAX ||
                    (batch->count > 0 && batch->decoded.time_us != batch->time_us);
        if (full && !decide_batch(replay, batch))
            return false;
        append_command(batch);
    }
    if (malformed || count != block->command_count || columns.ids.cursor != columns.ids.end)
        return fail(replay,
                    "seq %" PRIu64 ": the block's checksum is right, but its commands cannot be "
                    "decoded; it was written by another version of till, or by a bug",
                    block->seq_first + count);
    if (!decide_batch(replay, batch))
        return false;
    if (engine_digest(replay->engine) != block->digest)
        return fail(replay,
                    "seq %" PRIu64 " to %" PRIu64 ": the state's digest is %016" PRIx64
                    " after this block, but was %016" PRIx64 " when it was written",
                    block->seq_first, engine_seq(replay->engine), engine_digest(replay->engine),
                    block->digest);
    replay->blocks++;
    return true;
}

/* Does the log go on where the state ends? `block` is its first. */
static bool begins_in_time(struct replay *replay, const struct wal_block *block)
{
    uint64_t due = engine_seq(replay->engine) + 1;
    replay->seq_first = block->seq_first;
    if (block->seq_first <= due)
        return true;
    if (replay->loader.seq == 0)
        return fail(replay,
                    "the log in %s begins with seq %" PRIu64 ", and there is no valid snapshot of "
                    "what came before: restore this folder from a replica or a backup",
                    disk_path(replay->disk), block->seq_first);
    return fail(replay,
                "the log in %s begins with seq %" PRIu64 ", and the newest valid snapshot ends "
                "at %" PRIu64 ": what lies between is missing. Restore this folder from a replica "
                "or a backup",
                disk_path(replay->disk), block->seq_first, replay->loader.seq);
}

/* The log had been durable up to the snapshot when that was published. One that ends before it has
 * lost its end; one without any block was never begun after it. */
static bool reaches_the_snapshot(struct replay *replay)
{
    if (replay->seq_first == 0 || replay->end.seq_next > replay->loader.seq)
        return true;
    return fail(replay,
                "the log in %s ends at seq %" PRIu64 ", but was durable up to %" PRIu64
                " when the snapshot of that seq was published: its end is lost. Restore this "
                "folder from a replica or a backup; to go on from the snapshot alone, move the "
                "wal- files away",
                disk_path(replay->disk), replay->end.seq_next - 1, replay->loader.seq);
}

static bool replay_blocks(struct replay *replay, struct wal_reader *reader,
                          struct replay_batch *batch)
{
    for (;;) {
        enum wal_read read = wal_reader_next(reader);
        if (read == WAL_READ_END)
            break;
        if (read != WAL_READ_BLOCK)
            return fail(replay, "%s", reader->error);
        if (replay->seq_first == 0 && !begins_in_time(replay, &reader->block))
            return false;
        if (reader->fields != NULL && !replay_block(replay, reader, batch))
            return false;
        if (replay->progress != NULL)
            replay->progress(replay->context, reader->bytes_read, reader->bytes_total);
    }
    replay->end = reader->end;
    return reaches_the_snapshot(replay);
}

static bool load_snapshot(struct replay *replay)
{
    replay->loader = (struct loader){.disk = replay->disk,
                                     .engine = replay->engine,
                                     .seq_max = replay->seq_max,
                                     .progress = replay->loading,
                                     .notice = replay->notice,
                                     .context = replay->context};
    if (replay->ignores_snapshots || loader_run(&replay->loader))
        return true;
    return fail(replay, "%s", replay->loader.error);
}

bool replay_run(struct replay *replay)
{
    struct wal_reader reader;
    struct replay_batch *batch = malloc(sizeof *batch);
    if (batch == NULL)
        return fail(replay, "no memory for a batch of commands");
    batch->count = 0;
    batch->body_words = 0;
    replay->blocks = 0;
    replay->commands = 0;
    replay->end = (struct wal_end){0};
    replay->seq_first = 0;
    bool replayed = false;
    if (!load_snapshot(replay)) {
        replayed = false;
    } else if (wal_reader_init(&reader, replay->disk) != 0) {
        fail(replay, "%s", reader.error);
    } else {
        reader.seq_known = replay->loader.seq;
        replayed = replay_blocks(replay, &reader, batch);
        wal_reader_deinit(&reader);
    }
    free(batch);
    return replayed;
}
