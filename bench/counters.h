/* The processor's own counters of events, as far as a machine has them and lets this process look:
 * of one thread, or of all threads of a process. They explain a time, and unlike it they hardly
 * change with what else the machine does.
 *
 *   counters_open, then any number of counters_begin and counters_end, counters_counted,
 *   counters_close
 *
 * No call fails: what cannot be counted is not known. */
#ifndef TILL_BENCH_COUNTERS_H
#define TILL_BENCH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* COUNTER(name, text, type, config): in JSON, in text, and to perf_event_open(2). */
#define COUNTERS(COUNTER)                                                                          \
    COUNTER(instructions, "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS)          \
    COUNTER(cache_misses, "cache misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES)

#define COUNTER_ENUM(name, ...) COUNTER_##name,
enum counter { COUNTERS(COUNTER_ENUM) COUNTER_COUNT };
#undef COUNTER_ENUM

enum { COUNTER_THREADS_MAX = 64 }; /* of a process with more of them nothing is counted */

struct counter_event {
    uint32_t type;
    uint64_t config;
};

/* The rows of COUNTERS. */
extern const struct counter_event counters_hardware[COUNTER_COUNT];

/* What read(2) gives, in this order. */
struct counter_reading {
    uint64_t value;
    uint64_t enabled_ns; /* how long the thread ran, */
    uint64_t running_ns; /* and how long of that the event had a counter of the processor */
};

struct counted {
    double values[COUNTER_COUNT]; /* below 0: not known */
    bool user_only;               /* what the kernel did for the threads is not in them */
    const char *problem;          /* why none is known; NULL: one is */
};

struct counters {
    /* Private. */
    uint32_t thread_count;
    bool user_only;
    int refusal;                  /* errno of the first event that could not be opened; 0: none */
    bool is_known[COUNTER_COUNT]; /* as long as nothing failed */
    int files[COUNTER_COUNT][COUNTER_THREADS_MAX];
    struct counter_reading begun[COUNTER_COUNT][COUNTER_THREADS_MAX];
    struct counter_reading sums[COUNTER_COUNT][COUNTER_THREADS_MAX];
};

/* pid 0: the calling thread; else all threads of the process, and those that they will begin. */
void counters_open(struct counters *counters, const struct counter_event events[COUNTER_COUNT],
                   pid_t pid);
void counters_close(struct counters *counters);

/* What happens between the two counts. */
void counters_begin(struct counters *counters);
void counters_end(struct counters *counters);

/* Nothing has counted so far. */
void counters_forget(struct counters *counters);

/* What a sum of readings comes to for the whole time; below 0: it never had a counter. */
double counter_scaled(const struct counter_reading *sum);

struct counted counters_counted(const struct counters *counters);

#endif
