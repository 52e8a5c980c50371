/* Walks argv once. The first thing that is wrong ends it with a message; nothing has been done by
 * then, because a subcommand acts only after its options were read. */
#include "cli/options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { OPTION_COLUMN = 30 };

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
        if (name_matches(rows[i].name, typed, size))
            return &rows[i];
    }
    return NULL;
}

static bool set_target(const struct option_row *row, const char *value)
{
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)row->target = true;
        return true;
    case OPTION_TEXT:
        *(const char **)row->target = value;
        return true;
    case OPTION_COUNT:
        return count_parse(value, row->target);
    case OPTION_AMOUNT:
        return amount_parse(value, row->target);
    }
    till_unreachable();
}

/* Takes the option at argv[*index], and its value; false after a message. */
static bool take_option(int argc, char **argv, int *index, const struct option_row *rows,
                        size_t row_count)
{
    const char *typed = argv[*index] + 2;
    size_t size = strcspn(typed, "=");
    const char *value = typed[size] == '=' ? typed + size + 1 : NULL;
    const struct option_row *row = find_row(typed, size, rows, row_count);
    if (row == NULL) {
        fprintf(stderr, "till %s: no option %s; see till %s --help\n", argv[0], argv[*index],
                argv[0]);
        return false;
    }
    if (row->kind == OPTION_FLAG && value != NULL) {
        fprintf(stderr, "till %s: --%.*s takes no value\n", argv[0], (int)size, typed);
        return false;
    }
    if (row->kind != OPTION_FLAG && value == NULL) {
        if (*index + 1 >= argc) {
            fprintf(stderr, "till %s: --%.*s needs a value: %s\n", argv[0], (int)size, typed,
                    row->argument);
            return false;
        }
        value = argv[++*index];
    }
    if (!set_target(row, value)) {
        fprintf(stderr,
                "till %s: --%.*s %s: expected a number from 1 to 4294967295, or one with a "
                "suffix k, m or g\n",
                argv[0], (int)size, typed, value);
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
            fprintf(stderr, "till %s: no option %s; see till %s --help\n", argv[0], argument,
                    argv[0]);
            return OPTIONS_WRONG;
        } else {
            argv[1 + operands++] = argv[i];
        }
    }
    return operands;
}

void options_print(FILE *out, const struct option_row *rows, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++) {
        const struct option_row *row = &rows[i];
        int width = fprintf(out, "  --");
        for (const char *c = row->name; *c != '\0'; c++, width++)
            fputc(*c == '_' ? '-' : *c, out);
        if (row->kind != OPTION_FLAG)
            width += fprintf(out, " %s", row->argument);
        fprintf(out, "%*s%s", width < OPTION_COLUMN ? OPTION_COLUMN - width : 1, "", row->help);
        if (row->kind == OPTION_COUNT || row->kind == OPTION_AMOUNT) {
            char text[COUNT_TEXT_SIZE];
            fprintf(out, " (%s)", count_format(*(const uint32_t *)row->target, text));
        }
        fputc('\n', out);
    }
}
