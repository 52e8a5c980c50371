/* The newest snapshot is loaded, then the log is read block by block, and each is applied
 * (net/apply.h).
 *
 *   loader_run -> ahead_next -> ahead_batch -> apply_batch ... -> apply_end ... -> replay->end
 *
 * At a fork the reading ends right after the block that fork_seq ends with, before the reader looks
 * at what follows, or at the note: a recovery that was cut short may have left the log half cut. A
 * log that ends earlier is read like any other.
 *
 * What can fail: the snapshot or the log cannot be read or is damaged; they do not belong together,
 * by their seqs or epochs; a block does not lead to the state it was written from. There is no way
 * to go on then, and nothing is guessed. */
#include "net/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/ahead.h"
#include "net/apply.h"

/* Always false. */
#define fail(replay, ...) error_set((replay)->error, sizeof(replay)->error, __VA_ARGS__)

static bool apply_batches(struct ahead *ahead, struct apply *apply)
{
    struct batch *batch;
    while (!apply->has_stopped && (batch = ahead_batch(ahead)) != NULL) {
        if (!apply_batch(apply, batch))
            return false;
    }
    return apply_end(apply, &ahead->reader->block, ahead->is_malformed, ahead->seq_next);
}

/* Applies a block, up to where the replay stops. */
static bool replay_block(struct replay *replay, struct ahead *ahead, struct apply *apply)
{
    const struct wal_block *block = &ahead->reader->block;
    if (!apply_batches(ahead, apply))
        return fail(replay, "%s", apply->error);
    uint64_t seq = engine_seq(replay->engine);
    bool is_begun = seq >= block->seq_first;
    replay->has_stopped = apply->has_stopped;
    replay->blocks += is_begun;
    replay->epoch = block->epoch;
    replay->seq_whole =
        is_begun && apply->has_stopped ? block->seq_first + block->command_count - 1 : seq;
    return true;
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

/* Has the log been read up to the fork? seq_first: of its first block that was read. */
static bool is_at_fork(const struct replay *replay, const struct wal_reader *reader,
                       uint64_t seq_first)
{
    return replay->fork_seq > 0 && seq_first > 0 && reader->end.seq_next > replay->fork_seq;
}

/* Blocks are kept whole. */
static bool is_whole_at_fork(struct replay *replay, const struct wal_reader *reader)
{
    const struct wal_block *block = &reader->block;
    char path[WAL_ERROR_SIZE];
    if (replay->fork_seq == 0 || reader->end.seq_next <= replay->fork_seq + 1)
        return true;
    wal_reader_path(reader, path);
    return fail(replay,
                "%s: seq %" PRIu64 ", to which the log is to go back, lies inside of the block of "
                "seq %" PRIu64 " to %" PRIu64,
                path, replay->fork_seq, block->seq_first, reader->end.seq_next - 1);
}

/* Replays what a log has after the state, up to its end or where the replay stops. A log that
 * begins later is left alone: *seq_later is its first seq then, else 0. */
static bool replay_blocks(struct replay *replay, struct ahead *ahead, struct apply *apply,
                          uint64_t *seq_first, uint64_t *seq_later)
{
    const struct wal_reader *reader = ahead->reader;
    *seq_first = *seq_later = 0;
    while (!replay->has_stopped && !is_at_fork(replay, reader, *seq_first)) {
        enum wal_read read = ahead_next(ahead);
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
        if (!is_whole_at_fork(replay, reader) ||
            (reader->fields != NULL && !is_of_the_epoch(replay, reader)))
            return false;
        if (reader->fields != NULL && !replay_block(replay, ahead, apply))
            return fail_in_file(replay, reader);
        if (replay->progress != NULL)
            replay->progress(replay->context, reader->bytes_read, reader->bytes_total);
    }
    return true;
}

static bool log_open(const struct replay *replay, struct wal_reader *reader, struct disk *disk)
{
    if (wal_reader_init(reader, disk) != 0)
        return false;
    reader->seq_known = engine_seq(replay->engine);
    reader->ignores_note = replay->ignores_note;
    return true;
}

/* Is the snapshot all that is kept at the fork? Then the log has no block up to there; what it has
 * may be half cut, and need not be readable. */
static bool keeps_no_block(const struct replay *replay, struct disk *disk)
{
    struct wal_reader reader;
    if (replay->fork_seq == 0 || engine_seq(replay->engine) != replay->fork_seq ||
        !log_open(replay, &reader, disk))
        return false;
    bool keeps_one =
        wal_reader_next(&reader) == WAL_READ_BLOCK && reader.block.seq_first <= replay->fork_seq;
    wal_reader_deinit(&reader);
    return !keeps_one;
}

static bool replay_log(struct replay *replay, struct disk *disk, struct apply *apply,
                       uint64_t *seq_later)
{
    struct wal_reader reader;
    struct ahead ahead;
    uint64_t seq_first = 0;
    *seq_later = 0;
    bool is_empty = keeps_no_block(replay, disk);
    bool wants_thread =
        replay->reads_ahead && !is_empty && replay->fork_seq == 0 && ahead_has_core();
    if (!log_open(replay, &reader, disk))
        return fail(replay, "%s", reader.error);
    if (!ahead_open(&ahead, &reader, wants_thread)) {
        wal_reader_deinit(&reader);
        return fail(replay, "no memory for a batch of commands");
    }
    bool replayed = is_empty || replay_blocks(replay, &ahead, apply, &seq_first, seq_later);
    struct wal_end end = ahead.reader->end;
    ahead_close(&ahead);
    if (disk == replay->disk) {
        replay->has_forked = replayed && (is_empty || is_at_fork(replay, &reader, seq_first));
        replay->end = replay->has_forked ? wal_reader_end_here(&reader) : end;
        replay->seq_first = seq_first;
        replay->is_archive = reader.is_archive;
    }
    wal_reader_deinit(&reader);
    return replayed;
}

/* The folder's log, or in turn whichever of the folder's and the archive's goes on from where the
 * state ends, until neither does. */
static bool replay_logs(struct replay *replay, struct apply *apply)
{
    struct disk *const logs[] = {replay->archive, replay->disk};
    uint64_t seq_later[2] = {0, 0};
    uint64_t seq_begun = 0;
    replay->seq_whole = engine_seq(replay->engine);
    do {
        seq_begun = engine_seq(replay->engine);
        for (unsigned i = 0; i < 2 && !replay->has_stopped; i++) {
            if (logs[i] != NULL && !replay_log(replay, logs[i], apply, &seq_later[i]))
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
    if (replay->fork_seq > 0 && (seq_max == 0 || replay->fork_seq < seq_max))
        seq_max = replay->fork_seq;
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
    struct apply apply = {.engine = replay->engine,
                          .observe = replay->observe,
                          .decided = replay->decided,
                          .context = replay->observer,
                          .seq_last = replay->seq_last,
                          .time_last_us = replay->time_last_us};
    TILL_ASSERT(replay->fork_seq == 0 || replay->archive == NULL);
    replay->blocks = replay->commands = 0;
    replay->end = (struct wal_end){0};
    replay->seq_first = replay->epoch = 0;
    replay->is_archive = replay->has_stopped = replay->has_forked = false;
    uint64_t start_us = clock_monotonic_us();
    bool replayed = load_snapshot(replay);
    uint64_t loaded_us = clock_monotonic_us();
    if (replayed)
        replayed = replay_logs(replay, &apply);
    replay->commands = apply.commands;
    replay->loaded_us = loaded_us - start_us;
    replay->replayed_us = clock_monotonic_us() - loaded_us;
    return replayed;
}
