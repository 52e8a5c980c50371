/* Block by block, and within a block in batches: commands of one time, BATCH_COMMANDS_MAX at most,
 * are decided together. While the commands of one batch are decoded, the memory that they and those
 * of the batch before will touch is on its way.
 *
 *   wal_reader_next -> command_decode, fetch... -> engine_decide_fetched -> accepted? -> digest as
 *   in the block?
 *
 * The log has only what was accepted. A command that is rejected here, a digest that differs, or
 * bytes that do not decode under a checksum that was right, mean that the log and the engine do
 * not belong together: there is no way to go on, and nothing is guessed. */
#include "net/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/codec.h"

/* Commands of one time, with their bodies packed one behind the other. */
struct replay_batch {
    struct command commands[BATCH_COMMANDS_MAX];
    uint32_t count;
    uint32_t fetched; /* commands whose records are on their way */
    uint32_t body_words;
    uint64_t time_us;
    uint64_t bodies[BATCH_COMMANDS_MAX * (FRAME_SIZE_MAX / 8)];
};

/* One batch is filled while memory comes for the one before it, which waits. */
struct replay_batches {
    struct replay_batch batches[2];
    unsigned filling;
    struct logged_command decoded;
};

/* Always false. */
#define fail(replay, ...) error_set((replay)->error, sizeof(replay)->error, __VA_ARGS__)

static void fetch_next(struct replay *replay, struct replay_batch *batch)
{
    if (batch->fetched < batch->count)
        engine_fetch_records(replay->engine, &batch->commands[batch->fetched++]);
}

static bool decide_batch(struct replay *replay, struct replay_batch *batch)
{
    uint64_t seq = engine_seq(replay->engine);
    if (batch->count == 0)
        return true;
    while (batch->fetched < batch->count)
        fetch_next(replay, batch);
    for (uint32_t i = 0; i < batch->count && replay->observe != NULL; i++)
        replay->observe(replay->context, &batch->commands[i]);
    engine_decide_fetched(replay->engine, batch->time_us, batch->commands, batch->count);
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
    batch->count = batch->fetched = 0;
    batch->body_words = 0;
    return true;
}

/* Decides the batch that waits, and lets the one that was filled wait. */
static bool batches_turn(struct replay *replay, struct replay_batches *batches)
{
    batches->filling = 1 - batches->filling;
    return decide_batch(replay, &batches->batches[batches->filling]);
}

static bool batches_flush(struct replay *replay, struct replay_batches *batches)
{
    return batches_turn(replay, batches) && batches_turn(replay, batches);
}

/* Adds the command that was decoded, and starts to fetch what it and one that waits will touch. */
static bool batches_add(struct replay *replay, struct replay_batches *batches)
{
    const struct logged_command *decoded = &batches->decoded;
    struct replay_batch *batch = &batches->batches[batches->filling];
    if (batch->count == BATCH_COMMANDS_MAX ||
        (batch->count > 0 && decoded->time_us != batch->time_us)) {
        if (!batches_turn(replay, batches))
            return false;
        batch = &batches->batches[batches->filling];
    }
    uint64_t *body = batch->bodies + batch->body_words;
    struct command *command = &batch->commands[batch->count++];
    TILL_ASSERT(decoded->size <= FRAME_SIZE_MAX && decoded->size % 8 == 0);
    memcpy(body, decoded->body, decoded->size);
    *command = (struct command){.body = body, .size = decoded->size, .number = decoded->number};
    batch->body_words += decoded->size / 8;
    batch->time_us = decoded->time_us;
    engine_fetch_slots(replay->engine, command);
    fetch_next(replay, &batches->batches[1 - batches->filling]);
    return true;
}

/* Is the command that was decoded beyond the moment asked for? */
static bool is_beyond(const struct replay *replay, const struct logged_command *decoded,
                      uint64_t seq)
{
    return (replay->seq_last > 0 && seq > replay->seq_last) ||
           (replay->time_last_us > 0 && decoded->time_us > replay->time_last_us);
}

static bool digest_agrees(struct replay *replay, const struct wal_block *block)
{
    if (engine_digest(replay->engine) == block->digest)
        return true;
    return fail(replay,
                "seq %" PRIu64 " to %" PRIu64 ": the state's digest is %016" PRIx64
                " after this block, but was %016" PRIx64 " when it was written",
                block->seq_first, engine_seq(replay->engine), engine_digest(replay->engine),
                block->digest);
}

static bool replay_block(struct replay *replay, const struct wal_reader *reader,
                         struct replay_batches *batches)
{
    const struct wal_block *block = &reader->block;
    struct column_reader columns = {.schema = block->schema,
                                    .ids = reader_init(reader->ids, block->ids_size),
                                    .fields = reader_init(reader->fields, block->fields_size),
                                    .time_us = block->time_us};
    uint64_t seq_begun = engine_seq(replay->engine);
    bool malformed = false;
    uint32_t count = 0;
    for (; command_decode(&columns, &batches->decoded, &malformed); count++) {
        /* The moment that the state shows may lie inside of a block. */
        if (block->seq_first + count <= seq_begun)
            continue;
        replay->has_stopped = is_beyond(replay, &batches->decoded, block->seq_first + count);
        if (replay->has_stopped)
            break;
        if (!batches_add(replay, batches))
            return false;
    }
    if (malformed || (!replay->has_stopped &&
                      (count != block->command_count || columns.ids.cursor != columns.ids.end)))
        return fail(replay,
                    "seq %" PRIu64 ": the block's checksum is right, but its commands cannot be "
                    "decoded; it was written by another version of till, or by a bug",
                    block->seq_first + count);
    if (!batches_flush(replay, batches))
        return false;
    replay->blocks += count > 0;
    replay->epoch = block->epoch;
    replay->seq_whole = engine_seq(replay->engine);
    if (replay->has_stopped && count > 0)
        replay->seq_whole = block->seq_first + block->command_count - 1;
    return replay->has_stopped || digest_agrees(replay, block);
}

/* The log does not go on where the state ends. */
static bool begins_too_late(struct replay *replay, uint64_t seq_first)
{
    if (replay->archive != NULL)
        return fail(replay,
                    "seq %" PRIu64 " to %" PRIu64
                    " are neither in the folder %s nor in what the archive %s has by its "
                    "archive.till: restore from a newer backup, or to an earlier moment",
                    engine_seq(replay->engine) + 1, seq_first - 1, disk_path(replay->disk),
                    disk_path(replay->archive));
    if (replay->loader.seq == 0)
        return fail(replay,
                    "%s: the log begins here with seq %" PRIu64 ", and there is no valid snapshot "
                    "of what came before: restore this folder from a replica or a backup",
                    replay->path_later, seq_first);
    return fail(replay,
                "%s: the log begins here with seq %" PRIu64 ", and the newest valid snapshot ends "
                "at %" PRIu64 ": what lies between is missing. Restore this folder from a replica "
                "or a backup",
                replay->path_later, seq_first, replay->loader.seq);
}

/* Snapshots that are all damaged, and no log: what they showed is lost, and a shop that is begun
 * anew in their place would hide it. */
static bool is_not_all_lost(struct replay *replay)
{
    if (replay->loader.damaged_count == 0 || engine_seq(replay->engine) > 0 || replay->has_stopped)
        return true;
    return fail(
        replay,
        "there is no valid snapshot in %s, and no log: restore this folder from a replica or "
        "a backup. %s",
        disk_path(replay->disk), replay->loader.error);
}

/* The log had been durable up to the snapshot when that was published. One that ends before it has
 * lost its end; one without any block was never begun after it. */
static bool reaches_the_snapshot(struct replay *replay)
{
    if (replay->archive != NULL || replay->has_stopped || replay->seq_first == 0 ||
        replay->end.seq_next > replay->loader.seq)
        return true;
    return fail(replay,
                "the log in %s ends at seq %" PRIu64 ", but was durable up to %" PRIu64
                " when the snapshot of that seq was published: its end is lost. Restore this "
                "folder from a replica or a backup; to go on from the snapshot alone, move the "
                "wal- files and log-note.till away",
                disk_path(replay->disk), replay->end.seq_next - 1, replay->loader.seq);
}

/* A folder that was restored begins a new epoch behind its snapshot. A block of an older one that
 * says more than the snapshot shows is of the time that was left behind. */
static bool is_of_the_epoch(struct replay *replay, const struct wal_reader *reader)
{
    const struct wal_block *block = &reader->block;
    char path[WAL_ERROR_SIZE];
    if (block->epoch >= replay->loader.epoch)
        return true;
    wal_reader_path(reader, path);
    return fail(replay,
                "%s has seq %" PRIu64 " of epoch %" PRIu64 ", and the snapshot of seq %" PRIu64
                " is of epoch %" PRIu64 ": this log is of the time before the shop was restored to "
                "that snapshot, and would undo it. Move it away",
                path, block->seq_first, block->epoch, replay->loader.seq, replay->loader.epoch);
}

/* The block that was handed out last could not be replayed: says which file has it. */
static bool fail_in_file(struct replay *replay, const struct wal_reader *reader)
{
    char path[WAL_ERROR_SIZE];
    char what[REPLAY_ERROR_SIZE];
    wal_reader_path(reader, path);
    memcpy(what, replay->error, sizeof what);
    return fail(replay, "%s: %s", path, what);
}

/* Replays what a log has after the state, up to its end or where the replay stops. A log that
 * begins later is left alone: *seq_later is its first seq then, else 0. */
static bool replay_blocks(struct replay *replay, struct wal_reader *reader,
                          struct replay_batches *batches, uint64_t *seq_first, uint64_t *seq_later)
{
    *seq_first = *seq_later = 0;
    while (!replay->has_stopped) {
        enum wal_read read = wal_reader_next(reader);
        if (read == WAL_READ_END && reader->end.seq_begin > engine_seq(replay->engine) + 1) {
            *seq_later = reader->end.seq_begin;
            snprintf(replay->path_later, sizeof replay->path_later, "%s", disk_path(replay->disk));
        }
        if (read == WAL_READ_END)
            break;
        if (read != WAL_READ_BLOCK)
            return fail(replay, "%s", reader->error);
        if (*seq_first == 0)
            *seq_first = reader->block.seq_first;
        if (*seq_first > engine_seq(replay->engine) + 1) {
            *seq_later = *seq_first;
            wal_reader_path(reader, replay->path_later);
            break;
        }
        if (reader->fields != NULL && !is_of_the_epoch(replay, reader))
            return false;
        if (reader->fields != NULL && !replay_block(replay, reader, batches))
            return fail_in_file(replay, reader);
        if (replay->progress != NULL)
            replay->progress(replay->context, reader->bytes_read, reader->bytes_total);
    }
    return true;
}

static bool replay_log(struct replay *replay, struct disk *disk, struct replay_batches *batches,
                       uint64_t *seq_later)
{
    struct wal_reader reader;
    uint64_t seq_first = 0;
    if (wal_reader_init(&reader, disk) != 0)
        return fail(replay, "%s", reader.error);
    reader.seq_known = engine_seq(replay->engine);
    reader.ignores_note = replay->ignores_note;
    bool replayed = replay_blocks(replay, &reader, batches, &seq_first, seq_later);
    if (disk == replay->disk) {
        replay->end = reader.end;
        replay->seq_first = seq_first;
        replay->is_archive = reader.is_archive;
    }
    wal_reader_deinit(&reader);
    return replayed;
}

/* The folder's log, or in turn whichever of the folder's and the archive's goes on from where the
 * state ends, until neither does. */
static bool replay_logs(struct replay *replay, struct replay_batches *batches)
{
    struct disk *const logs[] = {replay->archive, replay->disk};
    uint64_t seq_later[2] = {0, 0};
    uint64_t seq_begun = 0;
    replay->seq_whole = engine_seq(replay->engine);
    do {
        seq_begun = engine_seq(replay->engine);
        for (unsigned i = 0; i < 2 && !replay->has_stopped; i++) {
            if (logs[i] != NULL && !replay_log(replay, logs[i], batches, &seq_later[i]))
                return false;
        }
    } while (replay->archive != NULL && !replay->has_stopped &&
             engine_seq(replay->engine) > seq_begun);
    for (unsigned i = 0; i < 2 && !replay->has_stopped; i++) {
        if (seq_later[i] > 0)
            return begins_too_late(replay, seq_later[i]);
    }
    return is_not_all_lost(replay) && reaches_the_snapshot(replay);
}

static bool load_snapshot(struct replay *replay)
{
    uint64_t seq_max = replay->seq_max;
    if (replay->seq_last > 0 && (seq_max == 0 || replay->seq_last < seq_max))
        seq_max = replay->seq_last;
    replay->loader = (struct loader){.disk = replay->disk,
                                     .engine = replay->engine,
                                     .seq_max = seq_max,
                                     .time_max_us = replay->time_last_us,
                                     .progress = replay->loading,
                                     .notice = replay->notice,
                                     .context = replay->context};
    if (replay->ignores_snapshots || loader_run(&replay->loader)) {
        replay->epoch = replay->loader.epoch;
        return true;
    }
    return fail(replay, "%s", replay->loader.error);
}

bool replay_run(struct replay *replay)
{
    struct replay_batches *batches = malloc(sizeof *batches);
    if (batches == NULL)
        return fail(replay, "no memory for a batch of commands");
    batches->filling = 0;
    for (unsigned i = 0; i < 2; i++) {
        batches->batches[i].count = batches->batches[i].fetched = 0;
        batches->batches[i].body_words = 0;
    }
    replay->blocks = replay->commands = 0;
    replay->end = (struct wal_end){0};
    replay->seq_first = replay->epoch = 0;
    replay->is_archive = replay->has_stopped = false;
    uint64_t start_us = clock_monotonic_us();
    bool replayed = load_snapshot(replay);
    uint64_t loaded_us = clock_monotonic_us();
    if (replayed)
        replayed = replay_logs(replay, batches);
    replay->loaded_us = loaded_us - start_us;
    replay->replayed_us = clock_monotonic_us() - loaded_us;
    free(batches);
    return replayed;
}
