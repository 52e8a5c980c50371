/* The options of a command, read from the command line or as names and values from elsewhere.
 *
 *   struct serve_options options;
 *   int operands = options_parse(&serve_table, &options, argc, argv);
 *
 * The rows that declare options are in cli/tables/options.h and bench/tables/options.h; from them
 * come the struct of the values and the table that the functions here walk. On the command line an
 * option is --name VALUE or --name=VALUE; everything else is an operand, and `--` ends the options.
 */
#ifndef TILL_CLI_OPTIONS_H
#define TILL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind { OPTION_GROUP, OPTION_FLAG, OPTION_TEXT, OPTION_ADDRESS, OPTION_COUNT };

struct option_row {
    enum option_kind kind;
    const char *name;  /* with underscores; of a group: its title */
    const char *value; /* what help calls the value */
    const char *help;
    const char *text; /* default of a text or an address */
    uint32_t count;   /* default of a count, and its bounds */
    uint32_t minimum;
    uint32_t maximum;
    size_t offset; /* in the struct of the values */
};

struct option_table {
    const char *title;    /* "till serve" */
    const char *operands; /* as the usage line shows them */
    uint32_t operands_min;
    uint32_t operands_max;
    const struct option_row *rows;
    size_t row_count;
    size_t values_size;
};

/* The default of a count that has none. */
#define OPTION_NOT_GIVEN UINT32_MAX

enum { OPTIONS_HELP = -1, OPTIONS_WRONG = -2 };
enum { OPTION_NAME_SIZE = 64, OPTION_ERROR_SIZE = 512 };

/* Sets all values to their defaults, and what is no option to zero. */
void options_init(const struct option_table *table, void *values);

/* Sets one value; the name is written as it is typed, without the dashes in front of it, and a flag
 * is "yes" or "no". The value's text must stay. False with an error that names the option, what was
 * given and what is allowed; then the values are as they were. */
bool option_set(const struct option_table *table, void *values, const char *name, const char *value,
                char error[OPTION_ERROR_SIZE]);

/* Sets all values from their defaults and a command line. Returns the number of operands, which are
 * moved to argv[1] and on; OPTIONS_HELP when --help was given; OPTIONS_WRONG after a message on
 * stderr. */
int options_parse(const struct option_table *table, void *values, int argc, char **argv);

/* The usage line and an empty one. */
void options_print_usage(FILE *out, const struct option_table *table);

/* Each option with its help and, in brackets, its default and bounds. */
void options_print(FILE *out, const struct option_table *table);

/* The same as a section of a Markdown document. */
void options_print_markdown(FILE *out, const struct option_table *table);

/* An option's name as it is typed: with dashes. */
char *option_spell(const char *name, char text[OPTION_NAME_SIZE]);

/* A number with an optional suffix k, m or g. */
bool count_parse(const char *text, uint32_t *count);

/* The shortest text that count_parse reads back as this. */
enum { COUNT_TEXT_SIZE = 16 };
char *count_format(uint32_t count, char text[COUNT_TEXT_SIZE]);

#endif
