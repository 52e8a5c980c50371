/* The commands of a log, printed as they are written there: all of them, or those that name what is
 * asked about. Nothing is decided again, so no state is needed to begin with.
 *
 * What can be read of a damaged folder is printed all the same, to save it; that something is wrong
 * is said at the end, where whoever reads the lines sees it. */
#ifndef TILL_CLI_LOG_PRINT_H
#define TILL_CLI_LOG_PRINT_H

#include "base/disk.h"
#include "cli/log_subject.h"
#include "cli/progress.h"
#include "cli/value.h"

struct log_print {
    const struct log_subject *subject;
    enum value_form form;
    uint64_t from; /* the first seq that is printed, */
    uint64_t to;   /* and the last; 0: no bound */
    struct progress *progress;

    /* Filled. */
    uint64_t seq_first; /* that was read; 0: none was */
    uint64_t seq;       /* of the last change that was read */
    uint64_t count;     /* of commands printed */
};

/* Prints what the archive, unless it is NULL, and the folder have. False after a message, also when
 * changes are missing between the two. */
bool log_print_folder(struct log_print *print, struct disk *disk, struct disk *archive);

/* The same of one file of blocks. */
bool log_print_file(struct log_print *print, struct disk *disk, const char *name);

/* Prints the beginning of one command's line: in JSON, the object is left open. */
void log_print_command(enum value_form form, uint64_t seq, uint64_t time_us,
                       const struct message_info *message, const void *body);

#endif
