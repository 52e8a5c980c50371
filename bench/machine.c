/* What /proc and uname tell, and the time of a flush: writes of one page over a file that is there
 * in full already, each with O_DIRECT and O_DSYNC, as the log does it. Where the file system has no
 * O_DIRECT, O_DSYNC alone. */
#include "bench/machine.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/load.h"
#include "cli/memory_limit.h"

enum {
    PAGE = 4096,
    WRITES = 201,
    PAGES = 256,
    BUDGET_NS = 1000 * 1000 * 1000, /* a slow disk is measured with fewer writes */
};

/* Finds the line that begins with name and copies what follows the colon. */
static void read_line(const char *path, const char *name, char *text, size_t size)
{
    char line[256];
    FILE *file = fopen(path, "re");
    text[0] = '\0';
    while (file != NULL && text[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (colon != NULL && strncmp(line, name, strlen(name)) == 0)
            snprintf(text, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    }
    if (file != NULL)
        fclose(file);
}

static int compare(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* The median of the writes' times in nanoseconds; 0 when one fails. */
static uint64_t measure_writes(int file, const uint8_t *page)
{
    uint64_t times_ns[WRITES] = {0}, begun_ns = load_clock_ns();
    uint32_t count = 0;
    while (count < WRITES && load_clock_ns() - begun_ns < BUDGET_NS) {
        uint64_t start_ns = load_clock_ns();
        if (pwrite(file, page, PAGE, (off_t)(count % PAGES) * PAGE) != PAGE)
            return 0;
        times_ns[count++] = load_clock_ns() - start_ns;
    }
    qsort(times_ns, count, sizeof times_ns[0], compare);
    return times_ns[count / 2];
}

static double flush_us(const char *folder)
{
    char path[SCRATCH_PATH_SIZE + 16];
    static _Alignas(PAGE) uint8_t page[PAGE];
    snprintf(path, sizeof path, "%s/flush-time", folder);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return -1;
    bool written = true;
    for (uint32_t i = 0; written && i < PAGES; i++)
        written = write(file, page, PAGE) == PAGE;
    written = written && fsync(file) == 0;
    close(file);
    file = open(path, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
    if (file < 0)
        file = open(path, O_WRONLY | O_DSYNC | O_CLOEXEC);
    uint64_t median_ns = written && file >= 0 ? measure_writes(file, page) : 0;
    if (file >= 0)
        close(file);
    unlink(path);
    return median_ns != 0 ? (double)median_ns / 1000 : -1;
}

uint64_t machine_wait_ns(pid_t pid)
{
    char path[64] = "/proc/thread-self/schedstat";
    unsigned long long ran_ns, waited_ns = 0;
    if (pid != 0)
        snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    bool read = fscanf(file, "%llu %llu", &ran_ns, &waited_ns) == 2;
    fclose(file);
    return read ? waited_ns : 0;
}

void machine_look(struct machine *machine, const char *folder)
{
    struct utsname system;
    struct memory_limit limit;
    uname(&system);
    snprintf(machine->kernel, sizeof machine->kernel, "Linux %.64s", system.release);
    read_line("/proc/cpuinfo", "model name", machine->processor, sizeof machine->processor);
    memory_limit_look(&limit, "");
    machine->memory_bytes = limit.left_bytes;
    machine->cores = core_count();
    machine->flush_us = folder != NULL ? flush_us(folder) : -1;
}
