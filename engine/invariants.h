/* The invariants of the state by name, and the report of one that does not hold.
 *
 * engine/tables/invariants.h declares them; engine_check_bounds, engine_check_totals and
 * engine_check check them. A check looks at one record or number after the other and says so
 * (report_look, report_look_number), so that whatever it finds is reported with its place:
 *
 *   record 3 of table moneys (order 17): invariant 7.1, money_captured: 1 captured, its payments
 *   make 0 (captured = sum of the payments that succeeded)
 *
 * Private to engine/ and its tests. */
#ifndef TILL_ENGINE_INVARIANTS_H
#define TILL_ENGINE_INVARIANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/tables.h"

enum invariant {
    INVARIANT_holds, /* none is violated */
#define INVARIANT(number, part, name, text) INVARIANT_##name,
#include "engine/tables/invariants.h"
    INVARIANT_END,
};

struct invariant_info {
    const char *name;
    const char *text;
    uint16_t number;
    uint16_t part;
};

const struct invariant_info *invariant_info(enum invariant invariant);

struct engine;

/* The place that a check looks at: a record of a table, or a number beside the tables. */
struct report_place {
    enum engine_table table; /* TABLE_none: a number */
    uint32_t index;          /* of the record, or an enum engine_scalar */
};

struct report {
    const struct engine *engine;
    char *error; /* where the first violation is written */
    size_t error_size;
    struct report_place place;
    struct report_place wrapped; /* where a sum left its range */
    bool has_wrapped;
};

void report_look(struct report *report, enum engine_table table, uint32_t record);
void report_look_number(struct report *report, enum engine_scalar scalar);

/* Reports that the invariant does not hold at the place: with what was found, or without
 * (report_broken). Always false. */
__attribute__((format(printf, 3, 4))) bool report_violated(struct report *report,
                                                           enum invariant invariant,
                                                           const char *format, ...);
bool report_broken(struct report *report, enum invariant invariant);

/* The check cannot be made. Always false. */
bool report_no_memory(struct report *report);

/* Adds to a sum. One that leaves its range is noted with the place, for report_sums_hold, which
 * comes before the sums are compared with anything. */
void report_add(struct report *report, int64_t *sum, int64_t amount);
bool report_sums_hold(struct report *report);

#endif
