/* Within a block the commands are decided in batches: commands of one time, BATCH_COMMANDS_MAX at
 * most, together. While the commands of one batch are decoded, the memory that they and those of
 * the batch before will touch is on its way. At the end of the block both batches are decided, so
 * that the engine then has all of it, and nothing waits between two blocks.
 *
 *   command_decode, fetch... -> engine_decide_fetched -> accepted? -> digest as in the block?
 *
 * What can fail: a command is rejected that was accepted when it was logged, the columns do not
 * decode, or the digest is another one. Then log and engine do not belong together: there is no way
 * to go on, and nothing is guessed. */
#include "net/apply.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "engine/known.h"

/* Commands of one time, with their bodies packed one behind the other. */
struct apply_batch {
    struct command commands[BATCH_COMMANDS_MAX];
    uint32_t count;
    uint32_t body_words;
    uint64_t time_us;
    uint64_t bodies[BATCH_COMMANDS_MAX * (FRAME_SIZE_MAX / 8)];
};

/* One batch is filled while memory comes for the one before it, which waits. */
struct apply_batches {
    struct apply_batch batches[2];
    unsigned filling;
    struct logged_command decoded;
    struct known_table known;
};

/* Always false. */
#define fail(apply, ...) error_set((apply)->error, sizeof(apply)->error, __VA_ARGS__)

bool apply_init(struct apply *apply, struct engine *engine)
{
    *apply = (struct apply){.engine = engine, .batches = malloc(sizeof *apply->batches)};
    if (apply->batches == NULL)
        return false;
    apply->batches->filling = 0;
    memset(&apply->batches->known, 0, sizeof apply->batches->known);
    for (unsigned i = 0; i < 2; i++) {
        struct apply_batch *batch = &apply->batches->batches[i];
        batch->count = batch->body_words = 0;
    }
    return true;
}

void apply_deinit(struct apply *apply)
{
    free(apply->batches);
    apply->batches = NULL;
}

static bool decide_batch(struct apply *apply, struct apply_batch *batch)
{
    uint64_t seq = engine_seq(apply->engine);
    if (batch->count == 0)
        return true;
    for (uint32_t i = 0; i < batch->count && apply->observe != NULL; i++)
        apply->observe(apply->context, &batch->commands[i]);
    engine_decide_fetched(apply->engine, batch->time_us, batch->commands, batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct command *command = &batch->commands[i];
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
    apply->commands += batch->count;
    batch->count = batch->body_words = 0;
    return true;
}

/* Decides the batch that waits, and lets the one that was filled wait for its memory. */
static bool batches_turn(struct apply *apply)
{
    struct apply_batches *batches = apply->batches;
    struct apply_batch *filled = &batches->batches[batches->filling];
    engine_fetch(apply->engine, filled->commands, filled->count);
    batches->filling = 1 - batches->filling;
    return decide_batch(apply, &batches->batches[batches->filling]);
}

static bool batches_flush(struct apply *apply)
{
    return batches_turn(apply) && batches_turn(apply);
}

/* Adds the command that was decoded. */
static bool batches_add(struct apply *apply)
{
    struct apply_batches *batches = apply->batches;
    const struct logged_command *decoded = &batches->decoded;
    struct apply_batch *batch = &batches->batches[batches->filling];
    if (batch->count == BATCH_COMMANDS_MAX ||
        (batch->count > 0 && decoded->time_us != batch->time_us)) {
        if (!batches_turn(apply))
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
    return true;
}

/* Is the command that was decoded beyond the moment asked for? */
static bool is_beyond(const struct apply *apply, uint64_t seq)
{
    return (apply->seq_last > 0 && seq > apply->seq_last) ||
           (apply->time_last_us > 0 && apply->batches->decoded.time_us > apply->time_last_us);
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

bool apply_block(struct apply *apply, const struct wal_block *block, const uint8_t *ids,
                 const uint8_t *fields)
{
    struct column_reader columns = {.schema = block->schema,
                                    .ids = reader_init(ids, block->ids_size),
                                    .fields = reader_init(fields, block->fields_size),
                                    .time_us = block->time_us,
                                    .known = &apply->batches->known};
    uint64_t seq_begun = engine_seq(apply->engine);
    bool malformed = false;
    uint32_t count = 0;
    for (; command_decode(&columns, &apply->batches->decoded, &malformed); count++) {
        /* The moment that the state shows may lie inside of a block. */
        if (block->seq_first + count <= seq_begun)
            continue;
        apply->has_stopped = is_beyond(apply, block->seq_first + count);
        if (apply->has_stopped)
            break;
        if (!batches_add(apply))
            return false;
    }
    if (malformed || (!apply->has_stopped &&
                      (count != block->command_count || columns.ids.cursor != columns.ids.end)))
        return fail(apply,
                    "seq %" PRIu64 ": the block's checksum is right, but its commands cannot be "
                    "decoded; it was written by another version of till, or by a bug",
                    block->seq_first + count);
    return batches_flush(apply) && (apply->has_stopped || digest_agrees(apply, block));
}
