/* The history of epochs: which changes were decided under which primary.
 *
 * A promotion makes a replica the primary of the next epoch, and the first command that it logs is
 * epoch.begin. So the history is a part of the state: it stands in the log, in every snapshot and
 * in the digest, and whoever has the state can tell whether a block of another server is of the
 * same history. Epochs grow, but need not follow each other: one that was sealed and never began
 * leaves a gap.
 *
 * What can fail: an epoch that is not newer than all before it is INVALID; and as no epoch is ever
 * forgotten, a full table answers CAPACITY, and ends all promotions. */
#include "engine/handlers.h"

/* Of the shop's beginning, which is in no record. */
enum { EPOCH_FIRST = 1 };

static uint64_t epoch_newest(const struct engine *engine)
{
    uint32_t count = engine->epochs.count;
    return count > 0 ? epoch_at(engine, count)->epoch : EPOCH_FIRST;
}

enum outcome handle_epoch_begin(struct engine *engine, struct command *command)
{
    const struct epoch_begin_body *body = command->body;
    if (body->epoch <= epoch_newest(engine))
        return reject_field(engine, epoch_begin_field_epoch);
    if (arena_room(&engine->epochs) == 0)
        return REJECT_FULL(engine, epochs);
    engine_accept(engine);

    uint32_t index = arena_take(&engine->epochs, 1);
    *epoch_new(engine, index) = (struct epoch){.epoch = body->epoch,
                                               .seq = engine->seq,
                                               .previous = body->previous,
                                               .time_us = engine->time_us};
    digest_mix(engine, body->epoch, body->previous);
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}

uint32_t engine_epoch_count(const struct engine *engine)
{
    return engine->epochs.count;
}

struct engine_epoch engine_epoch_at(const struct engine *engine, uint32_t index)
{
    TILL_ASSERT(index < engine->epochs.count);
    const struct epoch *epoch = epoch_at(engine, index + 1);
    return (struct engine_epoch){.epoch = epoch->epoch,
                                 .seq = epoch->seq,
                                 .previous = epoch->previous,
                                 .time_us = epoch->time_us};
}
