/* The options of a subcommand, declared in one table from which parsing and help both come.
 *
 * An option is written --name VALUE or --name=VALUE; everything else is an operand, and `--` ends
 * the options. */
#ifndef TILL_CLI_OPTIONS_H
#define TILL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,  /* target: bool, becomes true; takes no value */
    OPTION_TEXT,  /* target: const char *, becomes the value (argv's memory) */
    OPTION_COUNT, /* target: uint32_t; a number above zero, with a suffix k, m or g (x 1024 each) */
    OPTION_AMOUNT,  /* the same, but 0 is one too */
    OPTION_HEADING, /* none: its name stands above the options that follow, in the help */
};

/* What a row does not name is zero. */
struct option_row {
    const char *name; /* without the dashes; an underscore in it is typed as a dash */
    enum option_kind kind;
    void *target;
    const char *argument; /* what the help calls the value */
    const char *help;
    uint32_t minimum; /* of a count or an amount; 0: the kind's */
    uint32_t maximum; /* 0: UINT32_MAX */
};

enum { OPTIONS_HELP = -1, OPTIONS_WRONG = -2 };

/* Returns the number of operands, which are moved to argv[1] and on; OPTIONS_HELP when --help was
 * given; OPTIONS_WRONG after a message on stderr. */
int options_parse(int argc, char **argv, const struct option_row *rows, size_t row_count);

/* Each option with its help and, in brackets, the value that it has now, which is its default. */
void options_print(FILE *out, const struct option_row *rows, size_t row_count);

/* A number above zero with an optional suffix k, m or g. */
bool count_parse(const char *text, uint32_t *count);

/* The shortest text that count_parse reads back as this. */
enum { COUNT_TEXT_SIZE = 16 };
char *count_format(uint32_t count, char text[COUNT_TEXT_SIZE]);

#endif
