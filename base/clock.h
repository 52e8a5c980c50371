/* The machine's clocks, read directly.
 *
 * For what only a person is told (progress, durations, pace) and for the implementation of the I/O
 * seam. The server takes its time through the seam instead (io_time_us and io_wall_us in
 * base/io.h), so that the simulation decides it. */
#ifndef TILL_BASE_CLOCK_H
#define TILL_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* What a clock shows; zero when that is before the clock's epoch (a wall clock before 1970). */
static inline uint64_t clock_read_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return now.tv_sec < 0 ? 0 : (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_read_us(clockid_t clock)
{
    return clock_read_ns(clock) / 1000;
}

/* Never goes back, and stands still while the machine sleeps: for durations. */
static inline uint64_t clock_monotonic_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

/* Since 1970; may be set by anyone at any time. */
static inline uint64_t clock_wall_us(void)
{
    return clock_read_us(CLOCK_REALTIME);
}

/* What is left of a span of time that began at `since_us`; 0 when it is over, and when the clock
 * went back. */
static inline uint64_t clock_left_us(uint64_t now_us, uint64_t since_us, uint64_t span_us)
{
    bool is_over = now_us < since_us || now_us - since_us >= span_us;
    return is_over ? 0 : span_us - (now_us - since_us);
}

#endif
