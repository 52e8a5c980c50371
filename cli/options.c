/* Walks argv once. The first thing that is wrong ends it with a message; nothing has been done by
 * then, because a subcommand acts only after its options were read. */
#include "cli/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/nearest.h"

enum { OPTION_COLUMN = 30, LINE_COLUMNS = 100, OPTION_NAME_SIZE = 64 };

/* A maximum so large that help is clearer without it. */
#define UNTOLD_MIN (1u << 30)

static const char suffixes[] = "kmg";

static bool amount_parse(const char *text, uint32_t *amount)
{
    uint64_t value = 0;
    const char *cursor = text;
    for (; *cursor >= '0' && *cursor <= '9'; cursor++) {
        value = value * 10 + (uint64_t)(*cursor - '0');
        if (value > UINT32_MAX)
            return false;
    }
    if (cursor == text)
        return false;
    if (*cursor != '\0') {
        const char *suffix = strchr(suffixes, *cursor | 0x20);
        if (suffix == NULL || cursor[1] != '\0')
            return false;
        value <<= 10 * (suffix - suffixes + 1);
    }
    if (value > UINT32_MAX)
        return false;
    *amount = (uint32_t)value;
    return true;
}

bool count_parse(const char *text, uint32_t *count)
{
    uint32_t amount = 0;
    if (!amount_parse(text, &amount) || amount == 0)
        return false;
    *count = amount;
    return true;
}

char *count_format(uint32_t count, char text[COUNT_TEXT_SIZE])
{
    unsigned power = 0;
    while (count != 0 && count % 1024 == 0 && power < 3) {
        count /= 1024;
        power++;
    }
    snprintf(text, COUNT_TEXT_SIZE, "%" PRIu32 "%.1s", count,
             power > 0 ? &suffixes[power - 1] : "");
    return text;
}

/* An option's name as it is typed: with dashes. */
static bool name_matches(const char *name, const char *typed, size_t size)
{
    if (strlen(name) != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        if ((name[i] == '_' ? '-' : name[i]) != typed[i])
            return false;
    }
    return true;
}

static const struct option_row *find_row(const char *typed, size_t size,
                                         const struct option_row *rows, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].kind != OPTION_HEADING && name_matches(rows[i].name, typed, size))
            return &rows[i];
    }
    return NULL;
}

/* A message about a command: one behind `till`, or a program of its own, called by its path. */
__attribute__((format(printf, 2, 3))) static void complain(const char *command, const char *format,
                                                           ...)
{
    const char *slash = strrchr(command, '/');
    va_list arguments;
    fprintf(stderr, "%s%s: ", slash == NULL ? "till " : "", slash == NULL ? command : slash + 1);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* Names what is probably meant, if something is. */
static void refuse_unknown(const char *command, const char *typed, const struct option_row *rows,
                           size_t row_count)
{
    char meant[OPTION_NAME_SIZE] = "";
    const char *name = typed + strspn(typed, "-");
    struct nearest nearest = nearest_to(name, strcspn(name, "="));
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].kind != OPTION_HEADING)
            nearest_offer(&nearest, rows[i].name);
    }
    if (nearest.name == NULL) {
        complain(command, "no option %s; --help lists those that there are", typed);
        return;
    }
    snprintf(meant, sizeof meant, "%s", nearest.name);
    for (char *c = meant; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c;
    complain(command, "no option %s; did you mean --%s? --help lists all", typed, meant);
}

static uint32_t row_minimum(const struct option_row *row)
{
    return row->minimum == 0 && row->kind == OPTION_COUNT ? 1 : row->minimum;
}

static uint32_t row_maximum(const struct option_row *row)
{
    return row->maximum == 0 ? UINT32_MAX : row->maximum;
}

static bool set_target(const struct option_row *row, const char *value)
{
    uint32_t amount = 0;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)row->target = true;
        return true;
    case OPTION_TEXT:
        *(const char **)row->target = value;
        return true;
    case OPTION_COUNT:
    case OPTION_AMOUNT:
        if (!amount_parse(value, &amount) || amount < row_minimum(row) || amount > row_maximum(row))
            return false;
        *(uint32_t *)row->target = amount;
        return true;
    case OPTION_HEADING:
        break;
    }
    till_unreachable();
}

/* Takes the option at argv[*index], and its value; false after a message. */
static bool take_option(int argc, char **argv, int *index, const struct option_row *rows,
                        size_t row_count)
{
    const char *typed = argv[*index];
    int size = (int)strcspn(typed, "=");
    const char *value = typed[size] == '=' ? typed + size + 1 : NULL;
    const struct option_row *row = find_row(typed + 2, (size_t)size - 2, rows, row_count);
    if (row == NULL) {
        refuse_unknown(argv[0], typed, rows, row_count);
        return false;
    }
    if (row->kind == OPTION_FLAG && value != NULL) {
        complain(argv[0], "%.*s takes no value", size, typed);
        return false;
    }
    if (row->kind != OPTION_FLAG && value == NULL) {
        /* What looks like another option is no value: it was forgotten. */
        if (*index + 1 >= argc || strncmp(argv[*index + 1], "--", 2) == 0) {
            complain(argv[0], "%.*s needs a value: %s", size, typed, row->argument);
            return false;
        }
        value = argv[++*index];
    }
    if (row->kind == OPTION_TEXT && value[0] == '\0') {
        complain(argv[0], "%.*s needs a value: %s", size, typed, row->argument);
        return false;
    }
    if (!set_target(row, value)) {
        complain(argv[0], "%.*s %s: expected a number from %" PRIu32 " to %" PRIu32 "%s", size,
                 typed, value, row_minimum(row), row_maximum(row),
                 row_maximum(row) < 1024 ? "" : ", or one with a suffix k, m or g (x 1024 each)");
        return false;
    }
    return true;
}

int options_parse(int argc, char **argv, const struct option_row *rows, size_t row_count)
{
    int operands = 0;
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (!ended && strcmp(argument, "--") == 0) {
            ended = true;
        } else if (!ended && (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)) {
            return OPTIONS_HELP;
        } else if (!ended && strncmp(argument, "--", 2) == 0) {
            if (!take_option(argc, argv, &i, rows, row_count))
                return OPTIONS_WRONG;
        } else if (!ended && argument[0] == '-' && argument[1] != '\0') {
            refuse_unknown(argv[0], argument, rows, row_count);
            return OPTIONS_WRONG;
        } else {
            argv[1 + operands++] = argv[i];
        }
    }
    return operands;
}

/* What stands in brackets behind an option's help: its value now, and its range if it has one of
 * its own; empty when there is nothing to tell. */
static void format_value(const struct option_row *row, char text[LINE_COLUMNS])
{
    char count[COUNT_TEXT_SIZE], minimum[COUNT_TEXT_SIZE], maximum[COUNT_TEXT_SIZE];
    bool is_number = row->kind == OPTION_COUNT || row->kind == OPTION_AMOUNT;
    uint32_t value = is_number ? *(const uint32_t *)row->target : 0;
    text[0] = '\0';
    if (row->kind == OPTION_TEXT && *(const char *const *)row->target != NULL)
        snprintf(text, LINE_COLUMNS, "(%s)", *(const char *const *)row->target);
    /* A count that is zero was not given, and need not be. */
    if (!is_number || (row->kind == OPTION_COUNT && value == 0))
        return;
    if (row->maximum == 0 || row->maximum >= UNTOLD_MIN)
        snprintf(text, LINE_COLUMNS, "(%s)", count_format(value, count));
    else
        snprintf(text, LINE_COLUMNS, "(%s; %s to %s)", count_format(value, count),
                 count_format(row_minimum(row), minimum), count_format(row->maximum, maximum));
}

/* Prints words from this column on; returns the column behind the last one. */
static int print_words(FILE *out, int column, const char *words)
{
    while (*words != '\0') {
        int size = (int)strcspn(words, " ");
        if (column + size >= LINE_COLUMNS) {
            fprintf(out, "\n%*s", OPTION_COLUMN, "");
            column = OPTION_COLUMN;
        } else if (column > OPTION_COLUMN) {
            column += fprintf(out, " ");
        }
        column += fprintf(out, "%.*s", size, words);
        words += size;
        words += strspn(words, " ");
    }
    return column;
}

static void print_option(FILE *out, const struct option_row *row)
{
    char value[LINE_COLUMNS];
    int column = fprintf(out, "  --");
    for (const char *c = row->name; *c != '\0'; c++, column++)
        fputc(*c == '_' ? '-' : *c, out);
    if (row->kind != OPTION_FLAG)
        column += fprintf(out, " %s", row->argument);
    if (column >= OPTION_COLUMN)
        column = fprintf(out, "\n") - 1;
    fprintf(out, "%*s", OPTION_COLUMN - column, "");
    column = print_words(out, OPTION_COLUMN, row->help);
    format_value(row, value);
    print_words(out, column, value);
    fputc('\n', out);
}

void options_print(FILE *out, const struct option_row *rows, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].kind == OPTION_HEADING)
            fprintf(out, "%s%s:\n", i > 0 ? "\n" : "", rows[i].name);
        else
            print_option(out, &rows[i]);
    }
}
