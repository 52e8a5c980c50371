/* Progress of long work on a terminal: what, how much of it, how fast, how long it will take. */
#ifndef TILL_CLI_PROGRESS_H
#define TILL_CLI_PROGRESS_H

#include <stdint.h>

struct progress {
    const char *what; /* being done; NULL: nothing was shown yet */
    uint64_t began_us;
    uint64_t shown_us;
};

/* Shows the line anew, some times a second; nothing where stderr is no terminal. */
void progress_show(struct progress *progress, const char *what, uint64_t bytes_done,
                   uint64_t bytes_total);

/* Takes the line away, if there is one. */
void progress_end(struct progress *progress);

#endif
