/* The buffer is larger than the longest line, so bytes are moved to its start only when a line has
 * arrived in parts. */
#include "cli/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

void lines_init(struct lines *lines, int fd)
{
    lines->number = 0;
    lines->has_ended = lines->skips = false;
    lines->error = 0;
    lines->fd = fd;
    lines->start = lines->end = 0;
}

/* Takes the line that ends at `size` bytes from the start. */
static enum lines_next take(struct lines *lines, size_t size, size_t end_size)
{
    bool is_long = lines->skips || size > LINE_SIZE_MAX;
    lines->text = lines->bytes + lines->start;
    lines->size = size;
    lines->start += size + end_size;
    lines->skips = false;
    lines->number++;
    return is_long ? LINES_TOO_LONG : LINES_LINE;
}

enum lines_next lines_next(struct lines *lines)
{
    char *text = lines->bytes + lines->start;
    size_t size = lines->end - lines->start;
    char *newline = memchr(text, '\n', size);
    if (newline != NULL)
        return take(lines, (size_t)(newline - text), 1);
    if (lines->has_ended && (size > 0 || lines->skips))
        return take(lines, size, 0);
    if (size > LINE_SIZE_MAX) {
        lines->skips = true;
        lines->start = lines->end;
    }
    return LINES_NONE;
}

void lines_read(struct lines *lines)
{
    size_t size = lines->end - lines->start;
    TILL_ASSERT(size <= LINE_SIZE_MAX && !lines->has_ended);
    memmove(lines->bytes, lines->bytes + lines->start, size);
    lines->start = 0;
    lines->end = size;
    ssize_t count = read(lines->fd, lines->bytes + size, sizeof lines->bytes - size);
    if (count > 0)
        lines->end += (size_t)count;
    lines->has_ended = count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN);
    lines->error = count < 0 && lines->has_ended ? errno : 0;
}
