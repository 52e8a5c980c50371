/* What can be typed behind `till bench`, `till demo` and the programs beside till: values and
 * tables from the rows in bench/tables/options.h, and the bounds that the programs rely on. */
#ifndef TILL_BENCH_OPTIONS_H
#define TILL_BENCH_OPTIONS_H

#include "base/limits.h"
#include "cli/options.h"

enum {
    BENCH_FILES_BESIDE = 64, /* that a process has open besides its connections */
    BENCH_CONNECTIONS_MAX = CONNECTIONS_MAX - BENCH_FILES_BESIDE,
    BENCH_SECONDS_MAX = 3600,
    LIMIT_WRITES_MAX = 7,
    LIMIT_LOG_BYTES_MAX = 80, /* of an order: a body with one line */
    PEER_CONNECTIONS_MAX = 1024,
    PEER_IN_FLIGHT_MAX = 4096,
};

#include "cli/tables/as_structs.h"

#include "bench/tables/options.h"

#endif
