/* All of it goes to stderr. The line of progress is wiped before anything else is said. */
#include "cli/load_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

enum { PROGRESS_INTERVAL_US = 250000 };

uint64_t load_clock_us(void)
{
    return clock_monotonic_us();
}

void load_report_init(struct load_report *report, uint32_t shown_max)
{
    *report = (struct load_report){.shown_max = shown_max};
    if (isatty(STDERR_FILENO) != 0)
        report->progress_us = load_clock_us();
}

static void wipe_progress(const struct load_report *report)
{
    if (report->progress_us > 0)
        fputs("\r\033[K", stderr);
}

static void say_of(const struct load_report *report, const struct load_place *place,
                   const char *kind, const char *format, va_list arguments)
{
    wipe_progress(report);
    fflush(stdout);
    fprintf(stderr, "%s:%" PRIu64 ": %s", place->path, place->line, kind);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

bool load_error(struct load_report *report, const struct load_place *place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (report->errors++ < report->shown_max)
        say_of(report, place, "", format, arguments);
    va_end(arguments);
    return false;
}

void load_warning(struct load_report *report, const struct load_place *place, const char *format,
                  ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (report->warnings++ < report->shown_max)
        say_of(report, place, "warning: ", format, arguments);
    va_end(arguments);
}

void load_say(struct load_report *report, const char *format, ...)
{
    va_list arguments;
    wipe_progress(report);
    fflush(stdout);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void load_progress(struct load_report *report, const char *what, const char *path, size_t read,
                   size_t size)
{
    uint64_t now_us = report->progress_us > 0 ? load_clock_us() : 0;
    if (now_us == 0 || now_us < report->progress_us + PROGRESS_INTERVAL_US)
        return;
    report->progress_us = now_us;
    fprintf(stderr, "\r\033[K%s %s: %zu%%", what, path, read * 100 / size);
}

void load_report_end(struct load_report *report)
{
    wipe_progress(report);
    if (report->errors > report->shown_max)
        load_say(report, "till load: %" PRIu64 " more lines are wrong; --errors N names more",
                 report->errors - report->shown_max);
    if (report->warnings > report->shown_max)
        load_say(report, "till load: %" PRIu64 " more warnings; --errors N shows more",
                 report->warnings - report->shown_max);
}
