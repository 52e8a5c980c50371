/* Timers: what ends at a time, a row of TIMER in engine/tables/tables.h each. Private to engine/.
 */
#ifndef TILL_ENGINE_TIMERS_H
#define TILL_ENGINE_TIMERS_H

#include "engine/state.h"

enum timer_number {
#define TIMER(number, name, table, since, text) TIMER_##name = (number),
#include "engine/tables/tables.h"
};

/* The functions of each timer: when its record's time comes, 0 if never; and what is due then. */
#define TIMER(number, name, table, since, text)                                                    \
    uint64_t timer_##name##_us(const struct engine *engine, uint32_t record);                      \
    void timer_##name(struct engine *engine, uint32_t record);
#include "engine/tables/tables.h"

/* Sets a deadline; deadlines_has_room said yes. */
static inline void timer_set(struct engine *engine, enum timer_number timer, uint32_t record,
                             uint64_t deadline_us)
{
    uint32_t entry = deadline_entry(timer, record);
    if (!deadlines_add_open(&engine->deadlines, engine->time_us, deadline_us, entry))
        deadlines_add(&engine->deadlines, engine->time_us, deadline_us, entry);
}

/* Takes an entry that is due, and does what is due with it; false when there is none. */
bool timer_run(struct engine *engine);

#endif
