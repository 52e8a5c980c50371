/* Progress of long work on a terminal, as one line that is overwritten: what is being done, how far
 * it is, how fast it goes, and how long it will still take. */
#ifndef TILL_CLI_PROGRESS_H
#define TILL_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *command; /* whose notices these are: "till verify" */
    const char *log;     /* what progress_log calls the work: "reading the log" */

    /* Private. */
    const char *what; /* being done; NULL: nothing yet */
    uint64_t began_us;
    uint64_t shown_us;
    bool is_shown;
};

/* Shows the line again, a few times a second; nothing where stderr is not a terminal. The text must
 * stay until the next call. */
void progress_show(struct progress *progress, const char *what, uint64_t bytes_done,
                   uint64_t bytes_total);

/* The same as callbacks of whatever reads a log, a snapshot or the files of a backup; the context
 * is the struct progress. */
void progress_log(void *context, uint64_t bytes_done, uint64_t bytes_total);
void progress_snapshot(void *context, uint64_t bytes_done, uint64_t bytes_total);
void progress_backup(void *context, uint64_t bytes_done, uint64_t bytes_total);

/* The same of a snapshot that comes from another server; with 0 of 0 the line is cleared. */
void progress_fetching(void *context, uint64_t bytes_done, uint64_t bytes_total);

/* What a person should know meanwhile, as a line of its own on stderr; the same context. */
void progress_notice(void *context, const char *text);

/* Clears the line, so that something else can be printed. */
void progress_hide(struct progress *progress);

/* Clears it because the work has ended. */
void progress_end(struct progress *progress);

#endif
