/* While the memory that a batch will touch is on its way, the batch before it is decided. At the
 * end of the block both are decided, so that the engine then has all of it, and nothing waits
 * between two blocks.
 *
 *   decoder_next -> engine_fetch ... -> engine_decide_fetched -> all accepted?
 *                                       the block's last batch -> digest as in the block?
 *
 * What can fail: a command is rejected that was accepted when it was logged, the columns do not
 * decode, or the digest is another one. Then log and engine do not belong together: there is no way
 * to go on, and nothing is guessed. */
#include "net/apply.h"

#include <inttypes.h>

#include "base/error.h"

/* Always false. */
#define fail(apply, ...) error_set((apply)->error, sizeof(apply)->error, __VA_ARGS__)

/* Decides the next so many commands, each of which must be accepted. */
static bool decide(struct apply *apply, struct command *commands, uint32_t count)
{
    uint64_t seq = engine_seq(apply->engine);
    engine_decide_fetched(apply->engine, apply->waiting.time_us, commands, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = &commands[i];
        if (!command->accepted)
            return fail(apply,
                        "seq %" PRIu64 ": %s, accepted when it was logged, is rejected in replay "
                        "with %s; %s",
                        seq + i + 1, message_info(command->number)->name,
                        outcome_name(command->outcome),
                        command->outcome == OUTCOME_CAPACITY
                            ? "give at least the capacities that the server ran with"
                            : "the log does not belong to this version of till, or is damaged: "
                              "restore from a replica or a backup");
    }
    apply->commands += count;
    return true;
}

static bool decide_observed(struct apply *apply, struct command *command)
{
    if (apply->observe != NULL)
        apply->observe(apply->context, command);
    if (!decide(apply, command, 1))
        return false;
    if (apply->decided != NULL)
        apply->decided(apply->context, command);
    return true;
}

static bool decide_waiting(struct apply *apply)
{
    struct command *commands = apply->waiting.commands;
    uint32_t count = apply->waiting.count;
    bool is_observed = apply->observe != NULL || apply->decided != NULL;
    apply->waiting.count = 0;
    if (count == 0)
        return true;
    if (!engine_follow(apply->engine, apply->waiting.schema, apply->error, sizeof apply->error))
        return false;
    if (!is_observed)
        return decide(apply, commands, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!decide_observed(apply, &commands[i]))
            return false;
    }
    return true;
}

/* How many of the batch's first commands the state shows already, or will when what waits has been
 * decided: the moment that the state shows may lie inside of a block. */
static uint32_t count_known(const struct apply *apply, const struct batch *batch)
{
    uint64_t seq = engine_seq(apply->engine) + apply->waiting.count;
    uint64_t known = seq < batch->seq_first ? 0 : seq - batch->seq_first + 1;
    return known < batch->count ? (uint32_t)known : batch->count;
}

/* How many there are up to the moment asked for. */
static uint32_t count_wanted(const struct apply *apply, const struct batch *batch)
{
    if (apply->time_last_us > 0 && batch->time_us > apply->time_last_us)
        return 0;
    if (apply->seq_last == 0 || apply->seq_last >= batch->seq_first + batch->count - 1)
        return batch->count;
    return apply->seq_last < batch->seq_first ? 0
                                              : (uint32_t)(apply->seq_last - batch->seq_first + 1);
}

bool apply_batch(struct apply *apply, struct batch *batch)
{
    uint32_t known = count_known(apply, batch);
    uint32_t wanted = count_wanted(apply, batch);
    uint32_t count = wanted > known ? wanted - known : 0;
    apply->has_stopped = wanted < batch->count && known < batch->count;
    engine_fetch(apply->engine, batch->commands + known, count);
    if (!decide_waiting(apply))
        return false;
    apply->waiting.commands = batch->commands + known;
    apply->waiting.time_us = batch->time_us;
    apply->waiting.count = count;
    apply->waiting.schema = batch->schema;
    return true;
}

static bool digest_agrees(struct apply *apply, const struct wal_block *block)
{
    if (engine_digest(apply->engine) == block->digest)
        return true;
    return fail(apply,
                "seq %" PRIu64 " to %" PRIu64 ": the state's digest is %016" PRIx64
                " after this block, but was %016" PRIx64 " when it was written",
                block->seq_first, engine_seq(apply->engine), engine_digest(apply->engine),
                block->digest);
}

bool apply_end(struct apply *apply, const struct wal_block *block, bool is_malformed,
               uint64_t seq_next)
{
    if (is_malformed && !apply->has_stopped)
        return fail(apply,
                    "seq %" PRIu64 ": the block's checksum is right, but its commands cannot be "
                    "decoded; it was written by another version of till, or by a bug",
                    seq_next);
    return decide_waiting(apply) && (apply->has_stopped || digest_agrees(apply, block));
}

bool apply_block(struct apply *apply, struct decoder *decoder, const struct wal_block *block,
                 const uint8_t *ids, const uint8_t *fields)
{
    struct batch *batch;
    apply->has_stopped = false;
    decoder_begin(decoder, block, ids, fields);
    while (!apply->has_stopped && (batch = decoder_next(decoder)) != NULL) {
        if (!apply_batch(apply, batch))
            return false;
    }
    return apply_end(apply, block, decoder->is_malformed, decoder->seq_next);
}
