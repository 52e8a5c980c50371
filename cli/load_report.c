/* Everything goes to stderr. The line of progress is cleared before any other output. */
#include "cli/load_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"

void load_report_init(struct load_report *report, uint32_t shown_max)
{
    *report = (struct load_report){.shown_max = shown_max};
}

static void say_of(struct load_report *report, const struct load_place *place, const char *kind,
                   const char *format, va_list arguments)
{
    progress_hide(&report->progress);
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
    progress_hide(&report->progress);
    fflush(stdout);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void load_report_end(struct load_report *report)
{
    progress_hide(&report->progress);
    if (report->errors > report->shown_max)
        load_say(report, "till load: %" PRIu64 " more lines are wrong; --errors N names more",
                 report->errors - report->shown_max);
    if (report->warnings > report->shown_max)
        load_say(report, "till load: %" PRIu64 " more warnings; --errors N shows more",
                 report->warnings - report->shown_max);
}
