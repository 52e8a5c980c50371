/* Prints the message tables and the table of metrics as Markdown: what is generated in
 * docs/protocol.md and docs/operations.md.
 *
 *   till protocol                the tables, on stdout
 *   till protocol --write FILE   puts them between FILE's markers
 *   till protocol --check FILE   fails when what stands there differs (`make tidy`)
 *
 * The message tables stand between <!-- tables --> and <!-- /tables -->, the metrics between
 * <!-- metrics --> and <!-- /metrics -->; a document has one of the two.
 *
 * Everything comes from the X-macro tables, so the document cannot drift from the structs. Clients
 * in other languages may read these tables instead of having them copied. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "engine/messages.h"

enum { SHAPES_MAX = 128, DOCUMENT_SIZE_MAX = 1 << 20, PATH_SIZE = 1024 };

static void print_types(FILE *out)
{
    fputs("### Types\n\n| type | size | coding |\n|---|---|---|\n", out);
    static const char *const codings[] = {
        [CODING_IDENTITY] = "identity", [CODING_UNSIGNED] = "unsigned", [CODING_SIGNED] = "signed",
        [CODING_BYTES] = "bytes",       [CODING_ZERO] = "zero",
    };
    for (unsigned type = 0; type < FIELD_TYPE_COUNT; type++) {
        const struct field_type_info *info = field_type_info(type);
        fprintf(out, "| %s | %u | %s |\n", info->name, info->size_bytes, codings[info->coding]);
    }
}

static void print_named_values(FILE *out)
{
    size_t count = 0;
    const struct named_value_info *values = named_values(&count);
    fputs("\n### Named values\n\n| type | value | name |\n|---|---|---|\n", out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "| %s | %u | %s |\n", field_type_info(values[i].type)->name, values[i].value,
                values[i].name);
}

static void print_outcomes(FILE *out)
{
    fputs("\n### Outcomes\n\n| number | outcome | retry | known | subject | value | meaning |\n"
          "|---|---|---|---|---|---|---|\n",
          out);
    for (unsigned number = 0; number < OUTCOME_COUNT; number++) {
        const struct outcome_info *info = outcome_info(number);
        fprintf(out, "| %u | %s | %s | %s | %s | %s | %s |\n", number, info->name, info->retry,
                info->known, info->subject, info->value, info->text);
    }
}

/* Ends a row of the tables. */
static void print_since(FILE *out, unsigned since)
{
    if (since > SCHEMA_FIRST)
        fprintf(out, " (since schema %u)", since);
    fputs(" |\n", out);
}

static void print_rows_cell(FILE *out, const struct shape_info *row, unsigned rows_max)
{
    if (row == NULL)
        fputs("  |", out);
    else
        fprintf(out, " 0 to %u %s |", rows_max, row->name);
}

static void print_messages(FILE *out)
{
    static const char *const kinds[] = {
        [KIND_SESSION] = "SESSION", [KIND_ADMIN] = "ADMIN",     [KIND_LINK] = "LINK",
        [KIND_QUERY] = "QUERY",     [KIND_COMMAND] = "COMMAND", [KIND_INTERNAL] = "INTERNAL"};
    fputs("\n### Messages\n\n"
          "| number | message | kind | request | rows | reply | rows | what it does |\n"
          "|---|---|---|---|---|---|---|---|\n",
          out);
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *message = message_info(number);
        if (message == NULL)
            continue;
        fprintf(out, "| %u | %s | %s | %s |", number, message->name, kinds[message->kind],
                message->request->name);
        print_rows_cell(out, message->request_row, message->request_rows_max);
        fprintf(out, " %s |", message->reply->name);
        print_rows_cell(out, message->reply_row, message->reply_rows_max);
        fprintf(out, " %s", message->help);
        print_since(out, message->since);
    }
}

static void print_shape(FILE *out, const struct shape_info *shape)
{
    fprintf(out,
            "\n#### %s (%u bytes)\n\n| offset | size | type | field | meaning |\n"
            "|---|---|---|---|---|\n",
            shape->name, shape->size_bytes);
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        const struct field_type_info *type = field_type_info(field->type);
        bool is_required = field_is_required(shape, i);
        fprintf(out, "| %u | %u | %s | %s | %s%s%s", field->offset, type->size_bytes, type->name,
                field->name, is_required ? "required" : "",
                is_required && field->text[0] != '\0' ? ": " : "", field->text);
        print_since(out, field->since);
    }
}

/* Shapes that were printed already; several messages share some. */
struct printed {
    const struct shape_info *shapes[SHAPES_MAX];
    size_t count;
};

static void print_shape_once(FILE *out, struct printed *printed, const struct shape_info *shape)
{
    for (size_t i = 0; i < printed->count; i++) {
        if (printed->shapes[i] == shape)
            return;
    }
    if (shape == NULL || printed->count == SHAPES_MAX)
        return;
    printed->shapes[printed->count++] = shape;
    print_shape(out, shape);
}

static void print_tables(FILE *out)
{
    struct printed printed = {.count = 0};
    print_types(out);
    print_named_values(out);
    print_outcomes(out);
    print_messages(out);
    fputs("\n### Bodies and rows\n", out);
    print_shape_once(out, &printed, rejection_shape());
    print_shape_once(out, &printed, redirect_shape());
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *message = message_info(number);
        if (message == NULL)
            continue;
        print_shape_once(out, &printed, message->request);
        print_shape_once(out, &printed, message->request_row);
        print_shape_once(out, &printed, message->reply);
        print_shape_once(out, &printed, message->reply_row);
    }
    fputc('\n', out);
}

static void print_metrics(FILE *out)
{
    fputs("| number | metric | layer | kind | unit | what it tells |\n|---|---|---|---|---|---|\n",
          out);
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        const struct metric_info *info = &metric_table[i];
        fprintf(out, "| %u | %s | %s | %s | %s | %s |\n", info->number, info->name,
                metric_layer_name(info->layer), metric_kind_name(info->kind),
                metric_unit_name(info->unit), info->help);
    }
}

/* What may stand in a document, and between which markers. */
static const struct section {
    const char *begin;
    const char *end;
    void (*print)(FILE *out);
} sections[] = {
    {"<!-- tables -->\n", "<!-- /tables -->", print_tables},
    {"<!-- metrics -->\n", "<!-- /metrics -->", print_metrics},
};

enum { SECTIONS = sizeof sections / sizeof sections[0] };

/* A document cut at its markers, and the text that belongs between them. */
struct document {
    char *text;
    char *begin; /* of what stands between the markers */
    char *end;
    char *tables;
    size_t tables_size;
};

static bool complain(const char *path, const char *reason)
{
    fprintf(stderr, "till protocol: %s: %s\n", path, reason);
    return false;
}

/* Finds the first section that the document has, and cuts it there; NULL: it has none. */
static const struct section *document_cut(struct document *document)
{
    for (unsigned i = 0; i < SECTIONS; i++) {
        document->begin = strstr(document->text, sections[i].begin);
        if (document->begin == NULL)
            continue;
        document->begin += strlen(sections[i].begin);
        document->end = strstr(document->begin, sections[i].end);
        return document->end != NULL ? &sections[i] : NULL;
    }
    return NULL;
}

/* Reads the document and prints the tables into memory; false after a message. */
static bool document_read(struct document *document, const char *path)
{
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return complain(path, strerror(errno));
    document->text = calloc(1, DOCUMENT_SIZE_MAX);
    size_t size = document->text != NULL ? fread(document->text, 1, DOCUMENT_SIZE_MAX - 1, in) : 0;
    fclose(in);
    if (size == 0 || size == DOCUMENT_SIZE_MAX - 1)
        return complain(path, "cannot be read, or is larger than 1 MiB");
    const struct section *section = document_cut(document);
    if (section == NULL)
        return complain(path, "has no line <!-- tables --> with <!-- /tables --> after it, and no "
                              "<!-- metrics --> with <!-- /metrics -->");
    FILE *out = open_memstream(&document->tables, &document->tables_size);
    if (out == NULL)
        return complain(path, strerror(errno));
    section->print(out);
    fclose(out);
    return true;
}

static void document_free(struct document *document)
{
    free(document->text);
    free(document->tables);
}

static bool document_matches(const struct document *document)
{
    return (size_t)(document->end - document->begin) == document->tables_size &&
           memcmp(document->begin, document->tables, document->tables_size) == 0;
}

/* Published by partial name, sync and rename: a reader sees the old document or the new one. */
static bool document_write(const struct document *document, const char *path)
{
    char partial[PATH_SIZE];
    if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial)
        return complain(path, "the path is too long");
    FILE *out = fopen(partial, "w");
    if (out == NULL)
        return complain(partial, strerror(errno));
    fwrite(document->text, 1, (size_t)(document->begin - document->text), out);
    fwrite(document->tables, 1, document->tables_size, out);
    fputs(document->end, out);
    bool written = fflush(out) == 0 && ferror(out) == 0 && fsync(fileno(out)) == 0;
    if (fclose(out) != 0 || !written || rename(partial, path) != 0) {
        complain(path, strerror(errno));
        unlink(partial);
        return false;
    }
    return true;
}

static int update_document(const char *path, bool check)
{
    struct document document = {0};
    bool good = document_read(&document, path);
    if (good && check)
        good = document_matches(&document) ||
               complain(path, "the tables are not those of the source; run till protocol --write");
    else if (good && !document_matches(&document))
        good = document_write(&document, path);
    document_free(&document);
    return good ? EXIT_OK : EXIT_FAILED;
}

int cli_protocol(int argc, char **argv)
{
    struct protocol_options options;
    int operands = options_parse(&protocol_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &protocol_table);
        printf("Prints the protocol's types, outcomes and messages as Markdown, and the metrics. "
               "In a\n"
               "document the former stand between the lines <!-- tables --> and <!-- /tables -->, "
               "the\n"
               "latter between <!-- metrics --> and <!-- /metrics -->.\n\n");
        options_print(stdout, &protocol_table);
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    if (options.write != NULL && options.check != NULL) {
        fprintf(stderr, "till protocol: --write and --check exclude each other\n");
        return EXIT_USAGE;
    }
    if (options.write != NULL || options.check != NULL)
        return update_document(options.write != NULL ? options.write : options.check,
                               options.check != NULL);
    for (unsigned i = 0; i < SECTIONS; i++) {
        if (i > 0)
            fputs("### Metrics\n\n", stdout);
        sections[i].print(stdout);
    }
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
