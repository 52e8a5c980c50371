/* Lines that arrive through a pipe in pieces of any size, compared with the whole text cut into
 * lines at once. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/lines.h"
#include "tests/test.h"

enum { TEXT_SIZE_MAX = 400000, PIECE_SIZE_MAX = 60000 };

static char text[TEXT_SIZE_MAX];
static struct lines lines;

/* Mostly short lines, some close to the longest allowed; sometimes the last one has no newline. */
static size_t make_text(void)
{
    size_t size = 0;
    while (size < TEXT_SIZE_MAX - 2 * LINE_SIZE_MAX - 2) {
        size_t length = (size_t)test_random_below(40);
        if (test_random_below(20) == 0)
            length = LINE_SIZE_MAX - 2 + (size_t)test_random_below(LINE_SIZE_MAX);
        memset(text + size, 'a' + (int)test_random_below(26), length);
        size += length;
        text[size++] = '\n';
    }
    return size - (size_t)test_random_below(2);
}

/* Takes the lines that have arrived, and compares them with the text from *at on. */
static void take_lines(size_t *at, size_t size)
{
    enum lines_next next;
    while ((next = lines_next(&lines)) != LINES_NONE) {
        const char *newline = memchr(text + *at, '\n', size - *at);
        size_t length = newline != NULL ? (size_t)(newline - text) - *at : size - *at;
        CHECK_EQUAL(next, length > LINE_SIZE_MAX ? LINES_TOO_LONG : LINES_LINE);
        if (next == LINES_LINE)
            CHECK(lines.size == length && memcmp(lines.text, text + *at, length) == 0);
        *at += length + (newline != NULL);
    }
}

TEST(lines_come_whole_and_in_order_in_whatever_pieces)
{
    for (unsigned round = 0; round < 20; round++) {
        size_t size = make_text();
        size_t written = 0;
        size_t at = 0;
        uint64_t count = 0;
        int pipe_fds[2];
        CHECK(pipe(pipe_fds) == 0);
        lines_init(&lines, pipe_fds[0]);
        while (written < size) {
            size_t piece = 1 + (size_t)test_random_below(PIECE_SIZE_MAX);
            piece = piece < size - written ? piece : size - written;
            CHECK(write(pipe_fds[1], text + written, piece) == (ssize_t)piece);
            written += piece;
            lines_read(&lines);
            take_lines(&at, size);
        }
        close(pipe_fds[1]);
        while (!lines.has_ended) {
            lines_read(&lines);
            take_lines(&at, size);
        }
        CHECK_EQUAL(at, size);
        CHECK_EQUAL(lines.error, 0);
        for (size_t i = 0; i < size; i++)
            count += text[i] == '\n';
        CHECK_EQUAL(lines.number, count + (text[size - 1] != '\n'));
        close(pipe_fds[0]);
    }
}

TEST(lines_of_nothing_are_none_and_an_error_is_told)
{
    int pipe_fds[2];
    CHECK(pipe(pipe_fds) == 0);
    close(pipe_fds[1]);
    lines_init(&lines, pipe_fds[0]);
    lines_read(&lines);
    CHECK(lines.has_ended && lines.error == 0 && lines_next(&lines) == LINES_NONE);
    close(pipe_fds[0]);
    lines_init(&lines, -1);
    lines_read(&lines);
    CHECK(lines.has_ended && lines.error != 0 && lines_next(&lines) == LINES_NONE);
}
