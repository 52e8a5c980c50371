/* One line that is written over. The clock is the machine's own: nothing depends on it. */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

enum { SHOW_EVERY_US = 100000 };

void progress_show(struct progress *progress, const char *what, uint64_t bytes_done,
                   uint64_t bytes_total)
{
    uint64_t now_us = clock_monotonic_us();
    if (progress->what == NULL || strcmp(progress->what, what) != 0)
        *progress = (struct progress){.what = what, .began_us = now_us};
    if (now_us - progress->shown_us < SHOW_EVERY_US || bytes_total == 0 ||
        isatty(STDERR_FILENO) == 0)
        return;
    progress->shown_us = now_us;
    double seconds = (double)(now_us - progress->began_us) / (double)US_PER_SECOND;
    double rate = seconds > 0 ? (double)bytes_done / seconds : 0;
    uint64_t left = bytes_total > bytes_done ? bytes_total - bytes_done : 0;
    fprintf(stderr, "\r%s: %3.0f %% of %.1f MiB, %.0f MiB/s, %.0f s left\033[K", what,
            100.0 * (double)bytes_done / (double)bytes_total, (double)bytes_total / (1 << 20),
            rate / (1 << 20), rate > 0 ? (double)left / rate : 0.0);
}

void progress_end(struct progress *progress)
{
    if (progress->shown_us != 0)
        fputs("\r\033[K", stderr);
    *progress = (struct progress){.what = NULL};
}
