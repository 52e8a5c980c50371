/* The lines that arrive at a file descriptor, in a buffer of bounded size. Taking a line never
 * waits; reading takes what has arrived. A line that is too long is skipped and reported. */
#ifndef TILL_CLI_LINES_H
#define TILL_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_SIZE_MAX = 65536, LINES_BUFFER_SIZE = 4 * LINE_SIZE_MAX };

enum lines_next {
    LINES_LINE,
    LINES_TOO_LONG, /* only its number is known */
    LINES_NONE,     /* no complete line is in the buffer: read more, unless the input has ended */
};

struct lines {
    /* Of the last line taken. */
    const char *text; /* without its end; valid until the next call */
    size_t size;
    uint64_t number; /* from 1 */

    bool has_ended; /* nothing more can be read */
    int error;      /* errno of a failed read; 0: end of input */

    /* Private. */
    int fd;
    bool skips; /* inside a line that is too long */
    size_t start;
    size_t end;
    char bytes[LINES_BUFFER_SIZE];
};

void lines_init(struct lines *lines, int fd);

/* Takes the next complete line; the last line of the input needs no line end. */
enum lines_next lines_next(struct lines *lines);

/* Reads once; blocks while nothing has arrived. Call it only after LINES_NONE. */
void lines_read(struct lines *lines);

#endif
