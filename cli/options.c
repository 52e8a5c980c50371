/* A row names the member of the values' struct that it sets by offset, so that everything here
 * works for the options of any command.
 *
 * options_parse walks argv once. The first thing that is wrong ends it with a message; nothing has
 * been done by then, because a command acts only after its options were read. */
#include "cli/options.h"

#include <inttypes.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/error.h"
#include "cli/nearest.h"

enum { OPTION_COLUMN = 30, LINE_COLUMNS = 100 };

/* A maximum so large that help is clearer without it. */
#define UNTOLD_MIN (1u << 27)

static const char suffixes[] = "kmg";

bool count_parse(const char *text, uint32_t *count)
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
    *count = (uint32_t)value;
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

char *option_spell(const char *name, char text[OPTION_NAME_SIZE])
{
    snprintf(text, OPTION_NAME_SIZE, "%s", name);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c;
    return text;
}

static const struct option_row *find_row(const struct option_table *table, const char *typed,
                                         size_t size)
{
    char name[OPTION_NAME_SIZE];
    for (size_t i = 0; i < table->row_count; i++) {
        const struct option_row *row = &table->rows[i];
        if (row->kind == OPTION_GROUP)
            continue;
        option_spell(row->name, name);
        if (strlen(name) == size && memcmp(name, typed, size) == 0)
            return row;
    }
    return NULL;
}

static void *place_of(const struct option_row *row, void *values)
{
    return (uint8_t *)values + row->offset;
}

void options_init(const struct option_table *table, void *values)
{
    if (table->values_size > 0)
        memset(values, 0, table->values_size);
    for (size_t i = 0; i < table->row_count; i++) {
        const struct option_row *row = &table->rows[i];
        switch (row->kind) {
        case OPTION_GROUP:
        case OPTION_FLAG:
            break;
        case OPTION_TEXT:
        case OPTION_ADDRESS:
            *(const char **)place_of(row, values) = row->text;
            break;
        case OPTION_COUNT:
            *(uint32_t *)place_of(row, values) = row->count;
            break;
        }
    }
}

/* Always false. */
#define refuse(error, ...) error_set(error, OPTION_ERROR_SIZE, __VA_ARGS__)

/* Names the option that is probably meant, if there is one. The name is what was typed without
 * dashes in front of it and a value behind it. */
static bool refuse_unknown(const struct option_table *table, const char *typed,
                           char error[OPTION_ERROR_SIZE])
{
    char meant[OPTION_NAME_SIZE];
    const char *name = typed + strspn(typed, "-");
    struct nearest nearest = nearest_to(name, strcspn(name, "="));
    for (size_t i = 0; i < table->row_count; i++) {
        if (table->rows[i].kind != OPTION_GROUP)
            nearest_offer(&nearest, table->rows[i].name);
    }
    if (nearest.name == NULL)
        return refuse(error, "there is no option %s; %s --help lists all", typed, table->title);
    return refuse(error, "there is no option %s; did you mean --%s? %s --help lists all", typed,
                  option_spell(nearest.name, meant), table->title);
}

static bool set_flag(const char *name, bool *place, const char *value,
                     char error[OPTION_ERROR_SIZE])
{
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        return refuse(error, "--%s %s: expected yes or no", name, value);
    *place = value[0] == 'y';
    return true;
}

static bool set_count(const struct option_row *row, const char *name, uint32_t *place,
                      const char *value, char error[OPTION_ERROR_SIZE])
{
    uint32_t count = 0;
    if (!count_parse(value, &count) || count < row->minimum || count > row->maximum)
        return refuse(error, "--%s %s: expected a number from %" PRIu32 " to %" PRIu32 "%s", name,
                      value, row->minimum, row->maximum,
                      row->maximum < 1024 ? "" : ", or one with a suffix k, m or g (x 1024 each)");
    *place = count;
    return true;
}

/* Sets the value of a row; NULL: none was given. */
static bool set_value(const struct option_row *row, void *values, const char *value,
                      char error[OPTION_ERROR_SIZE])
{
    char name[OPTION_NAME_SIZE];
    struct address address;
    void *place = place_of(row, values);
    option_spell(row->name, name);
    if (row->kind == OPTION_FLAG)
        return set_flag(name, place, value != NULL ? value : "", error);
    if (value == NULL || (value[0] == '\0' && row->kind != OPTION_COUNT))
        return refuse(error, "--%s needs a value: %s", name, row->value);
    switch (row->kind) {
    case OPTION_ADDRESS:
        if (!address_split(&address, value))
            return refuse(error, "--%s %s: expected ADDR:PORT, or [ADDR]:PORT for IPv6", name,
                          value);
        *(const char **)place = value;
        return true;
    case OPTION_TEXT:
        *(const char **)place = value;
        return true;
    case OPTION_COUNT:
        return set_count(row, name, place, value, error);
    case OPTION_GROUP:
    case OPTION_FLAG:
        break;
    }
    till_unreachable();
}

bool option_set(const struct option_table *table, void *values, const char *name, const char *value,
                char error[OPTION_ERROR_SIZE])
{
    char typed[OPTION_NAME_SIZE];
    const struct option_row *row = find_row(table, name, strlen(name));
    if (row != NULL)
        return set_value(row, values, value, error);
    snprintf(typed, sizeof typed, "--%s", name);
    return refuse_unknown(table, typed, error);
}

/* Takes the option at argv[*index], and its value. */
static bool take_option(const struct option_table *table, void *values, int argc, char **argv,
                        int *index, char error[OPTION_ERROR_SIZE])
{
    const char *typed = argv[*index];
    int size = (int)strcspn(typed, "=");
    const char *value = typed[size] == '=' ? typed + size + 1 : NULL;
    const struct option_row *row = size > 2 ? find_row(table, typed + 2, (size_t)size - 2) : NULL;
    if (row == NULL)
        return refuse_unknown(table, typed, error);
    if (row->kind == OPTION_FLAG) {
        if (value != NULL)
            return refuse(error, "%.*s takes no value", size, typed);
        value = "yes";
    }
    /* What looks like another option is not taken as a value: the value was forgotten. */
    if (value == NULL && *index + 1 < argc && strncmp(argv[*index + 1], "--", 2) != 0)
        value = argv[++*index];
    return set_value(row, values, value, error);
}

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

/* Takes all arguments; returns the number of operands, OPTIONS_HELP, or OPTIONS_WRONG with an
 * error. */
static int take_arguments(const struct option_table *table, void *values, int argc, char **argv,
                          char error[OPTION_ERROR_SIZE])
{
    int operands = 0;
    bool has_ended = false;
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (has_ended || argument[0] != '-' || argument[1] == '\0') {
            argv[1 + operands++] = argv[i];
        } else if (strcmp(argument, "--") == 0) {
            has_ended = true;
        } else if (is_help(argument)) {
            return OPTIONS_HELP;
        } else if (argument[1] != '-') {
            refuse_unknown(table, argument, error);
            return OPTIONS_WRONG;
        } else if (!take_option(table, values, argc, argv, &i, error)) {
            return OPTIONS_WRONG;
        }
    }
    return operands;
}

int options_parse(const struct option_table *table, void *values, int argc, char **argv)
{
    char error[OPTION_ERROR_SIZE];
    options_init(table, values);
    int operands = take_arguments(table, values, argc, argv, error);
    if (operands == OPTIONS_HELP)
        return OPTIONS_HELP;
    if (operands >= 0 && (uint32_t)operands < table->operands_min)
        refuse(error, "expected %s; see %s --help", table->operands, table->title);
    else if (operands >= 0 && (uint32_t)operands > table->operands_max)
        refuse(error, "'%s' is not expected; see %s --help", argv[1 + table->operands_max],
               table->title);
    else if (operands >= 0)
        return operands;
    fprintf(stderr, "%s: %s\n", table->title, error);
    return OPTIONS_WRONG;
}

/* The default as text; empty where there is none. */
static void format_default(const struct option_row *row, char text[LINE_COLUMNS])
{
    char count[COUNT_TEXT_SIZE];
    text[0] = '\0';
    if (row->kind == OPTION_COUNT && row->count >= row->minimum && row->count <= row->maximum)
        snprintf(text, LINE_COLUMNS, "%s", count_format(row->count, count));
    else if (row->kind != OPTION_COUNT && row->text != NULL)
        snprintf(text, LINE_COLUMNS, "%s", row->text);
}

/* The bounds as text; empty where they are not worth telling. */
static void format_bounds(const struct option_row *row, char text[LINE_COLUMNS])
{
    char minimum[COUNT_TEXT_SIZE], maximum[COUNT_TEXT_SIZE];
    text[0] = '\0';
    if (row->kind == OPTION_COUNT && row->maximum < UNTOLD_MIN)
        snprintf(text, LINE_COLUMNS, "%s to %s", count_format(row->minimum, minimum),
                 count_format(row->maximum, maximum));
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
    char name[OPTION_NAME_SIZE], value[LINE_COLUMNS], bounds[LINE_COLUMNS];
    char brackets[2 * LINE_COLUMNS + sizeof "(; )"];
    int column = fprintf(out, "  --%s", option_spell(row->name, name));
    if (row->value != NULL)
        column += fprintf(out, " %s", row->value);
    if (column >= OPTION_COLUMN)
        column = fprintf(out, "\n") - 1;
    fprintf(out, "%*s", OPTION_COLUMN - column, "");
    column = print_words(out, OPTION_COLUMN, row->help);
    format_default(row, value);
    format_bounds(row, bounds);
    if (value[0] != '\0' || bounds[0] != '\0') {
        snprintf(brackets, sizeof brackets, "(%s%s%s)", value,
                 value[0] != '\0' && bounds[0] != '\0' ? "; " : "", bounds);
        print_words(out, column, brackets);
    }
    fputc('\n', out);
}

void options_print_usage(FILE *out, const struct option_table *table)
{
    fprintf(out, "usage: %s%s%s%s\n\n", table->title, table->operands[0] != '\0' ? " " : "",
            table->operands, table->row_count > 0 ? " [options]" : "");
}

void options_print(FILE *out, const struct option_table *table)
{
    for (size_t i = 0; i < table->row_count; i++) {
        if (table->rows[i].kind == OPTION_GROUP)
            fprintf(out, "%s%s:\n", i > 0 ? "\n" : "", table->rows[i].name);
        else
            print_option(out, &table->rows[i]);
    }
}

/* A title that help breaks into lines is one line here. */
static void print_markdown_title(FILE *out, const char *title)
{
    fputs("\n**", out);
    for (const char *c = title; *c != '\0'; c++)
        fputc(*c == '\n' ? ' ' : *c, out);
    fputs("**\n", out);
}

void options_print_markdown(FILE *out, const struct option_table *table)
{
    char name[OPTION_NAME_SIZE], value[LINE_COLUMNS], bounds[LINE_COLUMNS];
    fprintf(out, "\n## %s%s%s\n", table->title, table->operands[0] != '\0' ? " " : "",
            table->operands);
    bool is_table = false;
    for (size_t i = 0; i < table->row_count; i++) {
        const struct option_row *row = &table->rows[i];
        if (row->kind == OPTION_GROUP) {
            print_markdown_title(out, row->name);
            is_table = false;
            continue;
        }
        if (!is_table)
            fputs("\n| option | default | bounds | meaning |\n|---|---|---|---|\n", out);
        is_table = true;
        format_default(row, value);
        format_bounds(row, bounds);
        fprintf(out, "| `--%s%s%s` | %s | %s | %s |\n", option_spell(row->name, name),
                row->value != NULL ? " " : "", row->value != NULL ? row->value : "", value, bounds,
                row->help);
    }
}
