/* The report of the demo: what happened and what it proved, for a person or as JSON. */
#ifndef TILL_BENCH_REPORT_H
#define TILL_BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/aftersale.h"
#include "bench/audit.h"
#include "bench/crowd.h"

struct report {
    const struct crowd *crowd;
    const struct audit *audit;
    const struct aftersale *aftersale;
    const char *verdict; /* of till verify: "ok", or what it found */
    const uint64_t *recovery_ms;
    const uint64_t *killed_in_flight;
    uint32_t kills;
    uint32_t connections;
    double seconds;           /* in all */
    double orders_per_second; /* answered in the rush */
};

/* Nothing oversold, lost, doubled or otherwise wrong, the hot goods sold out, and verify content.
 */
bool report_is_good(const struct report *report);

void report_print(const struct report *report);
void report_print_json(const struct report *report);

#endif
