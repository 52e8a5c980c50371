/* The clock is the monotonic one: rates and times left are for a person, nothing depends on them.
 */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/units.h"

enum { SHOW_EVERY_US = 100000 };

void progress_show(struct progress *progress, const char *what, uint64_t bytes_done,
                   uint64_t bytes_total)
{
    uint64_t now_us = clock_monotonic_us();
    if (progress->what == NULL || strcmp(progress->what, what) != 0) {
        progress->what = what;
        progress->began_us = now_us;
    }
    if (now_us - progress->shown_us < SHOW_EVERY_US || bytes_total == 0)
        return;
    progress->shown_us = now_us;
    progress->is_shown = isatty(STDERR_FILENO) != 0;
    if (!progress->is_shown)
        return;
    double seconds = (double)(now_us - progress->began_us) / (double)US_PER_SECOND;
    double rate = seconds > 0 ? (double)bytes_done / seconds : 0;
    uint64_t left = bytes_total > bytes_done ? bytes_total - bytes_done : 0;
    fprintf(stderr, "\r%s: %3.0f %% of %.1f MiB, %.0f MiB/s, %.0f s left\033[K", what,
            100.0 * (double)bytes_done / (double)bytes_total, mebibytes(bytes_total),
            mebibytes((uint64_t)rate), rate > 0 ? (double)left / rate : 0.0);
}

void progress_log(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    struct progress *progress = context;
    progress_show(progress, progress->log, bytes_done, bytes_total);
}

void progress_snapshot(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    progress_show(context, "reading the snapshot", bytes_done, bytes_total);
}

void progress_backup(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    progress_show(context, "checking the backup", bytes_done, bytes_total);
}

void progress_fetching(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    if (bytes_total == 0)
        progress_end(context);
    else
        progress_show(context, "fetching a snapshot from the primary", bytes_done, bytes_total);
}

void progress_notice(void *context, const char *text)
{
    struct progress *progress = context;
    progress_hide(progress);
    fprintf(stderr, "%s: %s\n", progress->command, text);
}

void progress_hide(struct progress *progress)
{
    if (progress->is_shown)
        fputs("\r\033[K", stderr);
    progress->is_shown = false;
}

void progress_end(struct progress *progress)
{
    progress_hide(progress);
    progress->what = NULL;
    progress->shown_us = 0;
}
