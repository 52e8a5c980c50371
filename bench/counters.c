/* Counters by perf_event_open(2).
 *
 * An event counts for one thread, so each thread of a process has events of its own; what a thread
 * begins later inherits them. They count from counters_open on. What counts is the difference of
 * two readings.
 *
 * A machine may have no such counter, as many virtual ones; the kernel may refuse to count at all,
 * or only what happens in the kernel (kernel.perf_event_paranoid): then user space alone is
 * counted. A counter that any thread cannot have is not known, as a part of a sum would mislead.
 *
 * When the processor has fewer counters than are asked for, the kernel lets the events take turns,
 * and a reading tells for how long of the time each one counted: it is scaled to the whole time. */
#include "bench/counters.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static_assert(sizeof(struct counter_reading) == 3 * sizeof(uint64_t), "as read gives it");

#define COUNTER_EVENT(name, text, type, config) {type, config},
const struct counter_event counters_hardware[COUNTER_COUNT] = {COUNTERS(COUNTER_EVENT)};
#undef COUNTER_EVENT

/* A file, or -1 with errno. */
static int event_open(const struct counter_event *event, pid_t thread, bool user_only)
{
    struct perf_event_attr attributes = {
        .size = sizeof attributes,
        .type = event->type,
        .config = event->config,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
        .inherit = thread != 0,
        .exclude_kernel = user_only,
    };
    return (int)syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* The events of one more thread; one that has ended meanwhile has none. */
static void open_thread(struct counters *counters, const struct counter_event *events, pid_t thread)
{
    uint32_t place = counters->thread_count;
    bool opened = false;
    for (uint32_t i = 0; i < COUNTER_COUNT; i++) {
        int *file = &counters->files[i][place];
        *file = event_open(&events[i], thread, counters->user_only);
        if (*file < 0 && (errno == EACCES || errno == EPERM) && !counters->user_only) {
            counters->user_only = true;
            *file = event_open(&events[i], thread, true);
        }
        opened |= *file >= 0;
        if (*file < 0 && errno != ESRCH) {
            counters->is_known[i] = false;
            counters->refusal = counters->refusal != 0 ? counters->refusal : errno;
        }
    }
    counters->thread_count += opened;
}

static void know_nothing(struct counters *counters, int refusal)
{
    memset(counters->is_known, false, sizeof counters->is_known);
    counters->refusal = refusal;
}

void counters_open(struct counters *counters, const struct counter_event events[COUNTER_COUNT],
                   pid_t pid)
{
    char path[48];
    memset(counters, 0, sizeof *counters);
    memset(counters->is_known, true, sizeof counters->is_known);
    if (pid == 0) {
        open_thread(counters, events, 0);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    for (struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        if (thread != 0 && counters->thread_count < COUNTER_THREADS_MAX)
            open_thread(counters, events, thread);
        else if (thread != 0)
            know_nothing(counters, EMFILE);
    }
    if (threads == NULL)
        know_nothing(counters, errno);
    else
        closedir(threads);
}

void counters_close(struct counters *counters)
{
    for (uint32_t i = 0; i < COUNTER_COUNT; i++) {
        for (uint32_t thread = 0; thread < counters->thread_count; thread++) {
            if (counters->files[i][thread] >= 0)
                close(counters->files[i][thread]);
        }
    }
    counters->thread_count = 0;
}

/* Reads the event of each thread that has one. */
static void read_all(struct counters *counters, enum counter counter,
                     struct counter_reading readings[COUNTER_THREADS_MAX])
{
    for (uint32_t thread = 0; thread < counters->thread_count; thread++) {
        int file = counters->files[counter][thread];
        ssize_t size = sizeof readings[thread];
        if (file >= 0 && read(file, &readings[thread], sizeof readings[thread]) != size)
            counters->is_known[counter] = false;
    }
}

void counters_begin(struct counters *counters)
{
    for (uint32_t i = 0; i < COUNTER_COUNT; i++) {
        if (counters->is_known[i])
            read_all(counters, i, counters->begun[i]);
    }
}

void counters_end(struct counters *counters)
{
    struct counter_reading now[COUNTER_THREADS_MAX] = {0};
    for (uint32_t i = 0; i < COUNTER_COUNT; i++) {
        if (!counters->is_known[i])
            continue;
        read_all(counters, i, now);
        for (uint32_t thread = 0; thread < counters->thread_count; thread++) {
            struct counter_reading *sum = &counters->sums[i][thread];
            const struct counter_reading *begun = &counters->begun[i][thread];
            if (counters->files[i][thread] < 0)
                continue;
            sum->value += now[thread].value - begun->value;
            sum->enabled_ns += now[thread].enabled_ns - begun->enabled_ns;
            sum->running_ns += now[thread].running_ns - begun->running_ns;
        }
    }
}

void counters_forget(struct counters *counters)
{
    memset(counters->sums, 0, sizeof counters->sums);
}

double counter_scaled(const struct counter_reading *sum)
{
    if (sum->running_ns == sum->enabled_ns)
        return (double)sum->value;
    if (sum->running_ns == 0)
        return -1;
    return (double)sum->value * (double)sum->enabled_ns / (double)sum->running_ns;
}

static double counted_value(const struct counters *counters, enum counter counter)
{
    double value = 0;
    if (!counters->is_known[counter] || counters->thread_count == 0)
        return -1;
    for (uint32_t thread = 0; thread < counters->thread_count; thread++) {
        double part = counter_scaled(&counters->sums[counter][thread]);
        if (part < 0)
            return -1;
        value += part;
    }
    return value;
}

static const char *problem_of(int refusal)
{
    switch (refusal) {
    case EACCES:
    case EPERM:
        return "hardware counters are not permitted here (kernel.perf_event_paranoid)";
    case EMFILE:
        return "there are more threads to count than files to count them with";
    default:
        return "no hardware counters on this machine";
    }
}

struct counted counters_counted(const struct counters *counters)
{
    struct counted counted = {.user_only = counters->user_only,
                              .problem = problem_of(counters->refusal)};
    for (uint32_t i = 0; i < COUNTER_COUNT; i++) {
        counted.values[i] = counted_value(counters, i);
        if (counted.values[i] >= 0)
            counted.problem = NULL;
    }
    return counted;
}
