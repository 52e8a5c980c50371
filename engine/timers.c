/* Running what is due.
 *
 * Every entry costs one call of its timer's function, so the number of entries bounds the work of a
 * hold.expire. Which entries are due follows from the log's time and from what was set before, in
 * the log's order: a replay runs the same ones. An entry of a far bucket is set again by its
 * record's time; that counts as one as well. */
#include "engine/timers.h"

#define TIMER(number, name, table, since, text)                                                    \
    static_assert((number) < TIMERS_MAX, "an entry has room for the number");
#include "engine/tables/tables.h"

bool timer_run(struct engine *engine)
{
    uint32_t entry = 0;
    enum deadline_taken taken = deadlines_take(&engine->deadlines, engine->time_us, &entry);
    uint32_t record = deadline_record(entry);
    uint64_t ends_us = 0;
    if (taken == DEADLINE_NONE)
        return false;
    switch (deadline_timer(entry)) {
#define TIMER(number, name, table, since, text)                                                    \
    case number:                                                                                   \
        if (taken == DEADLINE_DUE)                                                                 \
            timer_##name(engine, record);                                                          \
        else                                                                                       \
            ends_us = timer_##name##_us(engine, record);                                           \
        break;
#include "engine/tables/tables.h"
    default:
        till_unreachable();
    }
    if (ends_us > 0)
        deadlines_add(&engine->deadlines, engine->time_us, ends_us, entry);
    return true;
}
