/* The messages of a load about its rows: file and line first, bounded in number, and mixed with a
 * line of progress. */
#ifndef TILL_CLI_LOAD_REPORT_H
#define TILL_CLI_LOAD_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/progress.h"

/* The line that a message is about. */
struct load_place {
    const char *path;
    uint64_t line;
    uint32_t file; /* of those named, from 0: places are ordered by file and line */
};

struct load_report {
    uint32_t shown_max; /* of the errors, and of the warnings */
    uint64_t errors;
    uint64_t warnings;
    uint64_t unread; /* files that could not be read */
    struct progress progress;
};

void load_report_init(struct load_report *report, uint32_t shown_max);

/* Something is wrong with a row. Always false. */
__attribute__((format(printf, 3, 4))) bool load_error(struct load_report *report,
                                                      const struct load_place *place,
                                                      const char *format, ...);

/* A row is taken, but may not be what was meant. */
__attribute__((format(printf, 3, 4))) void load_warning(struct load_report *report,
                                                        const struct load_place *place,
                                                        const char *format, ...);

/* Any other message; not bounded in number. */
__attribute__((format(printf, 2, 3))) void load_say(struct load_report *report, const char *format,
                                                    ...);

/* Clears the progress, and says how many errors and warnings were not shown. */
void load_report_end(struct load_report *report);

#endif
