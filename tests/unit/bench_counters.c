/* Counters, with and without those of the hardware: the kernel's own count of page faults is there
 * nearly everywhere, and how many there must be is known. */
#include "bench/counters.h"

#include <linux/perf_event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

enum { PAGES = 1000, PAGE = 4096, NO_TYPE = 0xfffff, EXIT_WRONG = 3 };

/* The place of the time is that of the first counter, and that of the faults the last one's. */
enum { FAULTS = COUNTER_COUNT - 1 };
static const struct counter_event software[COUNTER_COUNT] = {
    [0] = {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK},
    [FAULTS] = {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS},
};

/* Faults PAGES times. */
static void *touch(void *unused)
{
    uint8_t *memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    madvise(memory, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < PAGES; i++)
        *(volatile uint8_t *)&memory[i * PAGE] = 1;
    munmap(memory, (size_t)PAGES * PAGE);
    return unused;
}

/* False, and says so, where the system does not count even these. */
static bool has_software(const struct counters *counters)
{
    struct counted counted = counters_counted(counters);
    if (counted.problem != NULL)
        printf("     skipped: %s\n", counted.problem);
    return counted.problem == NULL;
}

static void check_faults(const struct counters *counters, uint32_t times)
{
    struct counted counted = counters_counted(counters);
    CHECK(counted.problem == NULL);
    CHECK(counted.values[0] > 0);
    CHECK(counted.values[FAULTS] >= times * (double)PAGES);
    CHECK(counted.values[FAULTS] < (times + 1) * (double)PAGES);
}

TEST(counters_count_a_thread_between_begin_and_end)
{
    struct counters counters;
    counters_open(&counters, software, 0);
    if (!has_software(&counters))
        return;
    for (uint32_t times = 1; times <= 3; times++) {
        touch(NULL);
        counters_begin(&counters);
        touch(NULL);
        counters_end(&counters);
        check_faults(&counters, times);
    }
    counters_forget(&counters);
    CHECK(counters_counted(&counters).values[FAULTS] == 0);
    counters_close(&counters);
}

/* Waits for a byte from the parent, or sends it one. */
static void await_word(int file)
{
    char word;
    if (read(file, &word, 1) != 1)
        _exit(EXIT_WRONG);
}

static void send_word(int file)
{
    if (write(file, "x", 1) != 1)
        _exit(EXIT_WRONG);
}

struct pipes {
    int orders[2];
    int reports[2];
    int helper[2];
};

static void *help(void *context)
{
    const struct pipes *pipes = context;
    await_word(pipes->helper[0]);
    return touch(NULL);
}

/* A process with one thread beside its first, and one more that begins when it is counted. Its life
 * lasts as long as the parent's end of the pipe is open. */
static void work(struct pipes *pipes)
{
    pthread_t helper, later;
    if (pthread_create(&helper, NULL, help, pipes) != 0)
        _exit(EXIT_WRONG);
    send_word(pipes->reports[1]);
    await_word(pipes->orders[0]);
    touch(NULL);
    send_word(pipes->helper[1]);
    if (pthread_create(&later, NULL, touch, NULL) != 0 || pthread_join(later, NULL) != 0 ||
        pthread_join(helper, NULL) != 0)
        _exit(EXIT_WRONG);
    send_word(pipes->reports[1]);
    await_word(pipes->orders[0]);
    _exit(0);
}

TEST(counters_count_all_threads_of_a_process)
{
    struct pipes pipes;
    struct counters counters;
    int status = -1;
    CHECK(pipe(pipes.orders) == 0 && pipe(pipes.reports) == 0 && pipe(pipes.helper) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(pipes.orders[1]);
        work(&pipes);
    }
    await_word(pipes.reports[0]);
    counters_open(&counters, software, child);
    bool counts = has_software(&counters);
    counters_begin(&counters);
    send_word(pipes.orders[1]);
    await_word(pipes.reports[0]);
    counters_end(&counters);
    send_word(pipes.orders[1]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    if (counts)
        check_faults(&counters, 3);
    counters_close(&counters);
    for (uint32_t i = 0; i < 2; i++) {
        close(pipes.orders[i]);
        close(pipes.reports[i]);
        close(pipes.helper[i]);
    }
}

/* A whole life of counters; returns what they say at its end. */
static struct counted use(const struct counter_event events[COUNTER_COUNT], pid_t pid)
{
    struct counters counters;
    counters_open(&counters, events, pid);
    counters_begin(&counters);
    touch(NULL);
    counters_end(&counters);
    struct counted counted = counters_counted(&counters);
    counters_close(&counters);
    return counted;
}

TEST(counters_that_are_not_there_are_not_known)
{
    struct counter_event events[COUNTER_COUNT];
    memcpy(events, software, sizeof events);
    events[0].type = NO_TYPE;
    struct counted some = use(events, 0);
    CHECK(some.values[0] < 0);
    CHECK((some.problem == NULL) == (some.values[FAULTS] >= 0));
    events[FAULTS].type = NO_TYPE;
    const struct counted none[] = {use(events, 0), use(software, INT32_MAX),
                                   counters_counted(&(struct counters){0})};
    for (uint32_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        CHECK(none[i].values[0] < 0 && none[i].values[FAULTS] < 0);
        CHECK(none[i].problem != NULL);
    }
}

TEST(counters_for_which_there_are_too_few_files_are_said_to_lack_them)
{
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit none = before;
    none.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    struct counted counted = use(software, getpid());
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(counted.values[FAULTS] < 0);
    CHECK(counted.problem != NULL && strstr(counted.problem, "files") != NULL);
}

TEST(counters_of_the_hardware_count_or_are_said_not_to)
{
    struct counted counted = use(counters_hardware, 0);
    CHECK((counted.problem != NULL) ==
          (counted.values[COUNTER_instructions] < 0 && counted.values[COUNTER_cache_misses] < 0));
    CHECK(counted.values[COUNTER_instructions] < 0 || counted.values[COUNTER_instructions] > PAGES);
}

TEST(counters_that_took_turns_are_scaled_to_the_whole_time)
{
    const struct {
        struct counter_reading sum;
        double scaled;
    } cases[] = {
        {{.value = 700, .enabled_ns = 90, .running_ns = 90}, 700},
        {{.value = 700, .enabled_ns = 90, .running_ns = 30}, 2100},
        {{.value = 0, .enabled_ns = 90, .running_ns = 0}, -1},
        {{.value = 0, .enabled_ns = 0, .running_ns = 0}, 0}, /* of a thread that slept */
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(counter_scaled(&cases[i].sum) == cases[i].scaled);
}
