/* The engine in this process: no network, no log, one thread; and the stages of an order's way
 * through the server, each measured by itself. */
#ifndef TILL_BENCH_ENGINE_ONLY_H
#define TILL_BENCH_ENGINE_ONLY_H

#include "bench/machine.h"
#include "bench/workload.h"

struct engine_run_options {
    uint32_t seconds;
    uint64_t count; /* requests to measure; 0: as many as fit into the seconds */
    bool json;
    bool stages; /* measure each stage by itself instead of the decision alone */
    bool indexes;
    struct engine_options capacities;
};

/* An exit code, after a report on stdout or a message on stderr. */
int engine_only(struct workload *workload, const struct engine_run_options *options,
                const struct machine *machine);

#endif
