/* The lines of a descriptor, as they come, in a buffer of bounded size: taking one never waits, and
 * reading takes what there is. A line that is longer than the bound is skipped and told. */
#ifndef TILL_CLI_LINES_H
#define TILL_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_SIZE_MAX = 65536, LINES_BUFFER_SIZE = 4 * LINE_SIZE_MAX };

enum lines_next {
    LINES_LINE,
    LINES_TOO_LONG, /* its number is known, and nothing else */
    LINES_NONE,     /* the rest of it must be read first, or there is nothing more */
};

struct lines {
    /* Of the last line taken. */
    const char *text; /* without its end; valid until the next call */
    size_t size;
    uint64_t number; /* from 1 */

    bool has_ended; /* nothing more can be read */
    int error;      /* why, as errno; 0: it was the end */

    /* Private. */
    int fd;
    bool skips; /* in a line that is too long */
    size_t start;
    size_t end;
    char bytes[LINES_BUFFER_SIZE];
};

void lines_init(struct lines *lines, int fd);

/* Takes the next line that has come whole; the last one needs no end. */
enum lines_next lines_next(struct lines *lines);

/* Reads once, waiting when nothing has come. Only when lines_next found none. */
void lines_read(struct lines *lines);

#endif
