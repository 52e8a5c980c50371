/* Lots of points expire when they expire: each that does has a deadline, set when it is made.
 *
 * When it is run, the customer's lot that expires first is swept, if its time has come; so as many
 * deadlines as a customer has expired lots sweep all of them, and none has to be looked for in a
 * long list. Until then an expired lot counts as empty wherever it is looked at, so nobody waits
 * for a midnight at which a million expire.
 *
 * Before schema 3 a lot had no deadline: it was swept when it was next touched. A log of that time
 * leads to the same state, to the digest, only by the same rules; so they hold until the first
 * block that was written by newer ones. There the lots that are in memory get their deadlines, by
 * the time of the last change, which is the same wherever the log is decided. What can fail: there
 * is no room for them, which is looked at before anything is done. */
#include <inttypes.h>
#include <stdio.h>

#include "base/schema.h"
#include "engine/points.h"
#include "engine/timers.h"

enum { SCHEMA_LOTS_TIMED = 3 };

uint64_t timer_lot_expiry_us(const struct engine *engine, uint32_t index)
{
    const struct lot *lot = lot_at(engine, index);
    return lot->customer != 0 && lot_may_expire(lot) ? lot->expires_us : 0;
}

void timer_lot_expiry(struct engine *engine, uint32_t index)
{
    (void)points_sweep_one(engine, lot_at(engine, index)->customer);
}

/* What lots without deadlines need to get them. */
struct lots_need {
    uint64_t deadlines;
    uint64_t entries; /* of the ledger */
};

/* Points never come back to a lot that has expired. */
static bool lot_needs_deadline(const struct engine *engine, uint32_t index)
{
    const struct lot *lot = lot_at(engine, index);
    return lot_may_expire(lot) && (lot->linked != 0 || lot->expires_us > engine->changed_us);
}

static struct lots_need lots_needed(const struct engine *engine)
{
    struct lots_need need = {.deadlines = engine->lots_reserved};
    for (uint32_t i = 1; i <= engine->lots.count; i++) {
        const struct lot *lot = lot_at(engine, i);
        need.deadlines += lot_needs_deadline(engine, i);
        need.entries += lot_may_expire(lot) && lot->linked != 0;
    }
    return need;
}

static bool has_room(const struct engine *engine, const struct lots_need *need, char *error,
                     size_t error_size)
{
    uint64_t deadlines = deadlines_count(&engine->deadlines) + need->deadlines;
    uint64_t entries = (uint64_t)engine->ledger.count + engine->ledger_reserved + need->entries;
    const char *option = deadlines > engine->options.deadlines ? "deadlines" : "ledger";
    uint64_t needed = deadlines > engine->options.deadlines ? deadlines : entries;
    if (deadlines <= engine->options.deadlines && entries <= engine->options.ledger)
        return true;
    snprintf(error, error_size,
             "the lots of points that a till before schema %d left need deadlines to expire by: "
             "give at least --%s %" PRIu64,
             SCHEMA_LOTS_TIMED, option, needed);
    return false;
}

/* The deadlines may have been asked for a later time than that of the last change. */
static void lots_set(struct engine *engine, const struct lots_need *need)
{
    uint64_t time_us = engine->changed_us;
    deadlines_rebuild(&engine->deadlines);
    for (uint32_t i = 1; i <= engine->lots.count; i++) {
        uint32_t entry = deadline_entry(TIMER_lot_expiry, i);
        if (lot_needs_deadline(engine, i))
            deadlines_add(&engine->deadlines, time_us, lot_at(engine, i)->expires_us, entry);
    }
    engine->ledger_reserved += (uint32_t)need->entries;
    engine->lots_timed = 1;
    deadlines_keep(&engine->deadlines, lots_deadlines_kept(engine));
}

bool engine_follow(struct engine *engine, uint32_t schema, char *error, size_t error_size)
{
    if (schema < SCHEMA_LOTS_TIMED) {
        engine->lots_timed &= engine->seq > 0;
        return true;
    }
    if (engine->lots_timed)
        return true;
    struct lots_need need = lots_needed(engine);
    if (!has_room(engine, &need, error, error_size))
        return false;
    lots_set(engine, &need);
    return true;
}
