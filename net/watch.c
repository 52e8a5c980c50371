/* A step (80, 90, 100 percent) is reported when a table passes it, and armed again when the table
 * has fallen FALL_PERCENT below it: a table that goes up and down around a step is reported once.
 * Several steps passed at once make one message. Percentages are of the capacity without the part
 * that is reserved for operators, because others are refused when the rest is full. */
#include "net/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FALL_PERCENT = 5 };

static const uint8_t steps_percent[] = {80, 90, 100};
enum { STEPS = sizeof steps_percent };

static void write_reserve(const struct table_fill *fill, char text[WATCH_TEXT_SIZE])
{
    text[0] = '\0';
    if (fill->reserve > 0)
        snprintf(text, WATCH_TEXT_SIZE, ", beside %" PRIu64 " kept for operators", fill->reserve);
}

static void write_notice(const struct table_fill *fill, unsigned percent,
                         char text[WATCH_TEXT_SIZE])
{
    uint64_t whole = fill->capacity - fill->reserve;
    uint64_t used = fill->used < whole ? fill->used : whole;
    char reserve[WATCH_TEXT_SIZE];
    char option[NAME_SIZE];
    write_reserve(fill, reserve);
    snprintf(option, sizeof option, "%s", fill->name);
    for (char *dash = strchr(option, '_'); dash != NULL; dash = strchr(dash, '_'))
        *dash = '-';
    if (percent < 100)
        snprintf(text, WATCH_TEXT_SIZE,
                 "the table of %s is %u %% full: %" PRIu64 " of %" PRIu64
                 "%.64s; --%s at the next start makes it larger",
                 fill->name, percent, used, whole, reserve, option);
    else
        snprintf(
            text, WATCH_TEXT_SIZE,
            "the table of %s is full: %" PRIu64 " of %" PRIu64
            "%.64s; what needs room in it is answered CAPACITY, until there is some again or it "
            "is made larger with --%s at the next start",
            fill->name, used, whole, reserve, option);
}

bool watch_table(struct watch *watch, enum capacity_number number, const struct table_fill *fill,
                 char text[WATCH_TEXT_SIZE])
{
    uint8_t *told = &watch->steps_told[number];
    uint64_t whole = fill->capacity - fill->reserve;
    unsigned passed = 0;
    while (passed < STEPS && 100 * fill->used >= steps_percent[passed] * whole)
        passed++;
    while (*told > passed && 100 * fill->used < (steps_percent[*told - 1] - FALL_PERCENT) * whole)
        (*told)--;
    if (passed == 0 || passed <= *told)
        return false;
    *told = (uint8_t)passed;
    write_notice(fill, steps_percent[passed - 1], text);
    return true;
}

void watch_tables(struct watch *watch, const struct engine *engine,
                  void (*notice)(void *context, const char *text), void *context)
{
    char text[WATCH_TEXT_SIZE];
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    for (size_t i = 0; i < count; i++) {
        const struct table_fill fill = engine_table_fill(engine, capacities[i].number);
        if (watch_table(watch, capacities[i].number, &fill, text) && notice != NULL)
            notice(context, text);
    }
}
