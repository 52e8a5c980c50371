/* Preloaded into a server by tests/python/test_clock.py: clocks that a test sets while it runs.
 *
 * The file named by TILL_TEST_CLOCK holds two signed numbers of 64 bits, in microseconds: what is
 * added to the wall clock (CLOCK_REALTIME), and what is added to the time since the machine was
 * switched on (CLOCK_BOOTTIME). */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_US = 1000, US_PER_S = 1000000, NS_PER_S = 1000000000 };

static const volatile int64_t *added_us; /* of the wall clock, of the time since the boot */

__attribute__((constructor)) static void map_offsets(void)
{
    const char *path = getenv("TILL_TEST_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *memory = mmap(NULL, 2 * sizeof *added_us, PROT_READ, MAP_SHARED, file, 0);
    added_us = memory == MAP_FAILED ? NULL : memory;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result != 0 || added_us == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME))
        return result;
    int64_t added = added_us[clock == CLOCK_BOOTTIME];
    int64_t ns = time->tv_nsec + added % US_PER_S * NS_PER_US;
    time->tv_sec += added / US_PER_S + (ns < 0 ? -1 : ns / NS_PER_S);
    time->tv_nsec = ns < 0 ? ns + NS_PER_S : ns % NS_PER_S;
    return 0;
}
