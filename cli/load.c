/* Loads stock and points from CSV files.
 *
 *   stock    sku,name,price,currency,warehouse,quantity    sku.put once per SKU, then stock.adjust
 *   points   customer,points,expires                       points.credit
 *
 * The header tells which one a file is; columns come in any order. Every command's key is derived
 * from the whole file's content and the line it stands on: the same file loaded twice, by mistake
 * or because a connection broke half-way, answers REPLAYED and adds nothing. A file that was
 * edited in between is another file: its lines count anew.
 *
 * A bad line is named and left out, and so is one that the server rejects; everything else goes
 * in. With --strict a first pass over all files sends nothing, and a second one runs only when the
 * first found nothing. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/options.h"
#include "cli/text.h"
#include "net/client.h"

enum { LOAD_IN_FLIGHT_MAX = 1024, LOAD_SKUS_MIN = 1024, PROGRESS_INTERVAL_US = 250000 };

/* One line's values, whichever kind of file it is in. */
struct load_row {
    uint64_t sku;
    struct name name;
    int64_t price;
    int64_t quantity;
    uint32_t warehouse;
    uint16_t currency;
    struct id customer;
    int64_t points;
    uint64_t expires;
};

enum load_kind { LOAD_STOCK, LOAD_POINTS };

struct column {
    const char *name;
    enum load_kind kind;
    unsigned type;
    size_t offset;
    uint64_t value_min; /* of a number; value_max 0: whatever the type takes */
    uint64_t value_max;
    bool optional;
    const char *expected; /* for the message about a bad one */
};

#define COLUMN_AT(member) offsetof(struct load_row, member)
static const struct column columns[] = {
    {"sku", LOAD_STOCK, FIELD_sku, COLUMN_AT(sku), 1, UINT64_MAX, false, "a number above zero"},
    {"name", LOAD_STOCK, FIELD_name, COLUMN_AT(name), 0, 0, true, "at most 32 bytes"},
    {"price", LOAD_STOCK, FIELD_money, COLUMN_AT(price), 0, PRICE_MAX, false,
     "whole minor units (1999 for 19.99), at most 10^15"},
    {"currency", LOAD_STOCK, FIELD_currency, COLUMN_AT(currency), 1, CURRENCY_MAX, false,
     "letters or number of ISO 4217"},
    {"warehouse", LOAD_STOCK, FIELD_warehouse, COLUMN_AT(warehouse), 1, UINT32_MAX, false,
     "a number from 1 to 4294967295"},
    {"quantity", LOAD_STOCK, FIELD_stock, COLUMN_AT(quantity), 0, QUANTITY_MAX, false,
     "a number from 0 to 10^12"},
    {"customer", LOAD_POINTS, FIELD_id, COLUMN_AT(customer), 0, 0, false,
     "a number above zero, a UUID, or 32 hexadecimal digits"},
    {"points", LOAD_POINTS, FIELD_points, COLUMN_AT(points), 1, POINTS_MAX, false,
     "a number from 1 to 10^15"},
    {"expires", LOAD_POINTS, FIELD_time, COLUMN_AT(expires), 0, 0, true,
     "2026-12-31, 2026-12-31T10:00:00Z, or microseconds since 1970"},
};

enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

/* A SKU that was seen, with what it was put as. */
struct known_sku {
    uint64_t sku; /* 0: the slot is free */
    uint64_t terms;
    const char *path;
    uint64_t line;
};

struct sku_table {
    struct known_sku *slots;
    size_t slot_count; /* a power of two */
    size_t count;
};

/* A command that was sent and not answered yet. */
struct sent {
    const char *path;
    uint64_t line;
    uint64_t units; /* of stock that it adds */
};

struct loader {
    struct client client;
    struct sku_table skus;
    struct sent sent[LOAD_IN_FLIGHT_MAX];
    uint32_t in_flight_max;
    bool sending; /* false in the pass that only checks */

    /* The file being read. */
    const char *path;
    XXH128_hash_t content;
    enum load_kind kind;
    const struct column *header[CSV_FIELDS_MAX];
    uint32_t header_count;

    uint64_t done[MESSAGE_NUMBER_MAX + 1]; /* by message */
    uint64_t units;
    uint64_t replayed;
    uint64_t bad;
    uint64_t started_us;
    uint64_t progress_us; /* when progress was last shown; 0: it is not shown */
};

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * US_PER_SECOND + (uint64_t)now.tv_nsec / 1000;
}

/* Names a line and what is wrong with it. Always false. */
__attribute__((format(printf, 3, 4))) static bool bad_line(struct loader *loader, uint64_t line,
                                                           const char *format, ...)
{
    va_list arguments;
    loader->bad++;
    fprintf(stderr, "%s%s:%" PRIu64 ": ", loader->progress_us > 0 ? "\r\033[K" : "", loader->path,
            line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

static bool skus_grow(struct sku_table *table)
{
    size_t slot_count = table->slot_count > 0 ? 2 * table->slot_count : LOAD_SKUS_MIN;
    struct known_sku *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < table->slot_count; i++) {
        size_t at = mix64(table->slots[i].sku, 0) & (slot_count - 1);
        if (table->slots[i].sku == 0)
            continue;
        while (slots[at].sku != 0)
            at = (at + 1) & (slot_count - 1);
        slots[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    return true;
}

/* The slot of this SKU, free if it was not seen before; NULL when memory is short. */
static struct known_sku *skus_find(struct sku_table *table, uint64_t sku)
{
    if (2 * table->count >= table->slot_count && !skus_grow(table))
        return NULL;
    size_t at = mix64(sku, 0) & (table->slot_count - 1);
    while (table->slots[at].sku != 0 && table->slots[at].sku != sku)
        at = (at + 1) & (table->slot_count - 1);
    return &table->slots[at];
}

static struct id line_key(const struct loader *loader, uint64_t line, unsigned number)
{
    const uint64_t source[] = {loader->content.low64, loader->content.high64, line, number};
    XXH128_hash_t hash = XXH3_128bits(source, sizeof source);
    return (struct id){.low = hash.low64 | 1, .high = hash.high64};
}

/* Takes one reply; false when the connection is broken. */
static bool take_reply(struct loader *loader)
{
    struct client_reply reply;
    if (!client_receive(&loader->client, &reply, -1))
        return false;
    const struct sent *sent = &loader->sent[reply.request % loader->in_flight_max];
    const struct message_info *message = message_info(reply.number);
    if (message == NULL) {
        snprintf(loader->client.error, sizeof loader->client.error,
                 "the server answered with a message that is not known here: %u", reply.number);
        return false;
    }
    if (reply.outcome == OUTCOME_OK || reply.outcome == OUTCOME_REPLAYED) {
        loader->done[message->number]++;
        loader->units += sent->units;
        loader->replayed += reply.outcome == OUTCOME_REPLAYED;
        return true;
    }
    const struct text_reply answer = {
        .message = message, .outcome = reply.outcome, .body = reply.body, .size = reply.size};
    char text[TEXT_ERROR_SIZE] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    if (out != NULL) {
        text_write_reply(out, VALUE_TEXT, &answer);
        fclose(out);
    }
    const char *path = loader->path;
    loader->path = sent->path;
    bad_line(loader, sent->line, "%s: %s (%s)", message->name, text,
             outcome_info(reply.outcome < OUTCOME_COUNT ? reply.outcome : OUTCOME_INVALID)->text);
    loader->path = path;
    return true;
}

/* Waits until at most in_flight commands are unanswered. */
static bool drain(struct loader *loader, uint32_t in_flight)
{
    if (!client_flush(&loader->client))
        return false;
    while (loader->client.in_flight > in_flight) {
        if (!take_reply(loader))
            return false;
    }
    return true;
}

static bool send_command(struct loader *loader, const struct sent *sent, unsigned number,
                         const void *body, uint32_t size)
{
    uint32_t request = 0;
    if (loader->client.in_flight == loader->in_flight_max &&
        !drain(loader, loader->in_flight_max / 2))
        return false;
    if (!client_queue(&loader->client, number, body, size, &request))
        return false;
    loader->sent[request % loader->in_flight_max] = *sent;
    return true;
}

static bool send_stock(struct loader *loader, uint64_t line, const struct load_row *row,
                       bool is_new)
{
    struct sku_put_body put = {.key = line_key(loader, line, MESSAGE_sku_put),
                               .sku = row->sku,
                               .price = row->price,
                               .currency = row->currency,
                               .name = row->name};
    struct stock_adjust_body adjust = {.key = line_key(loader, line, MESSAGE_stock_adjust),
                                       .sku = row->sku,
                                       .delta = row->quantity,
                                       .warehouse = row->warehouse};
    const struct sent put_sent = {loader->path, line, 0};
    const struct sent adjust_sent = {loader->path, line, (uint64_t)row->quantity};
    if (is_new && !send_command(loader, &put_sent, MESSAGE_sku_put, &put, sizeof put))
        return false;
    return row->quantity == 0 ||
           send_command(loader, &adjust_sent, MESSAGE_stock_adjust, &adjust, sizeof adjust);
}

/* A SKU's terms are put once; a line that gives it others is bad. False only when sending failed.
 */
static bool take_stock(struct loader *loader, uint64_t line, const struct load_row *row)
{
    const uint64_t terms_of[] = {checksum64(&row->name, sizeof row->name), (uint64_t)row->price,
                                 row->currency};
    uint64_t terms = checksum64(terms_of, sizeof terms_of);
    struct known_sku *known = skus_find(&loader->skus, row->sku);
    if (known == NULL) {
        bad_line(loader, line, "no memory to remember this SKU");
        return true;
    }
    bool is_new = known->sku == 0;
    if (is_new) {
        *known = (struct known_sku){row->sku, terms, loader->path, line};
        loader->skus.count++;
    } else if (known->terms != terms) {
        bad_line(loader, line,
                 "sku %" PRIu64 " has another price, currency or name than on %s:%" PRIu64,
                 row->sku, known->path, known->line);
        return true;
    }
    return !loader->sending || send_stock(loader, line, row, is_new);
}

static bool take_points(struct loader *loader, uint64_t line, const struct load_row *row)
{
    struct points_credit_body credit = {.key = line_key(loader, line, MESSAGE_points_credit),
                                        .customer = row->customer,
                                        .points = row->points,
                                        .expires = row->expires};
    const struct sent sent = {loader->path, line, 0};
    return !loader->sending ||
           send_command(loader, &sent, MESSAGE_points_credit, &credit, sizeof credit);
}

/* Reads one field into the row; false after a message. A negative number is beyond every maximum
 * when it is looked at without its sign. */
static bool read_column(struct loader *loader, uint64_t line, const struct column *column,
                        const struct csv_field *field, struct load_row *row)
{
    uint8_t *target = (uint8_t *)row + column->offset;
    uint64_t value = 0;
    if (field->size == 0)
        return column->optional || bad_line(loader, line, "%s is empty", column->name);
    bool good = value_read(column->type, field->bytes, field->size, 0, target);
    if (good && column->value_max > 0) {
        memcpy(&value, target, field_type_info(column->type)->size_bytes);
        good = value >= column->value_min && value <= column->value_max;
    }
    return good || bad_line(loader, line, "%s is \"%.*s\": expected %s", column->name,
                            (int)field->size, field->bytes, column->expected);
}

/* False only when sending failed. */
static bool take_record(struct loader *loader, const struct csv_record *record)
{
    struct load_row row = {0};
    bool good = true;
    if (record->field_count != loader->header_count) {
        bad_line(loader, record->line, "%" PRIu32 " fields where the header has %" PRIu32,
                 record->field_count, loader->header_count);
        return true;
    }
    for (uint32_t i = 0; i < record->field_count && good; i++)
        good = read_column(loader, record->line, loader->header[i], &record->fields[i], &row);
    if (!good)
        return true;
    return loader->kind == LOAD_STOCK ? take_stock(loader, record->line, &row)
                                      : take_points(loader, record->line, &row);
}

static const struct column *find_column(const struct csv_field *field)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (strlen(columns[i].name) == field->size &&
            strncasecmp(columns[i].name, field->bytes, field->size) == 0)
            return &columns[i];
    }
    return NULL;
}

static bool has_column(const struct loader *loader, const struct column *column)
{
    for (uint32_t i = 0; i < loader->header_count; i++) {
        if (loader->header[i] == column)
            return true;
    }
    return false;
}

/* The header tells the kind of file: every column belongs to it, and none that it needs is
 * missing. */
static bool take_header(struct loader *loader, const struct csv_record *record)
{
    loader->header_count = 0;
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct csv_field *field = &record->fields[i];
        const struct column *column = find_column(field);
        if (column == NULL || (i > 0 && column->kind != loader->kind))
            return bad_line(loader, record->line,
                            "column \"%.*s\": expected those of stock (sku,name,price,currency,"
                            "warehouse,quantity) or of points (customer,points,expires)",
                            (int)field->size, field->bytes);
        if (has_column(loader, column))
            return bad_line(loader, record->line, "column %s is there twice", column->name);
        loader->kind = column->kind;
        loader->header[loader->header_count++] = column;
    }
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (columns[i].kind == loader->kind && !columns[i].optional &&
            !has_column(loader, &columns[i]))
            return bad_line(loader, record->line, "column %s is missing", columns[i].name);
    }
    return true;
}

static void show_progress(struct loader *loader, size_t read, size_t size)
{
    uint64_t now_us = loader->progress_us > 0 ? monotonic_us() : 0;
    if (now_us < loader->progress_us + PROGRESS_INTERVAL_US || now_us == 0)
        return;
    loader->progress_us = now_us;
    fprintf(stderr, "\r\033[K%s %s: %zu%%", loader->sending ? "loading" : "checking", loader->path,
            read * 100 / size);
}

/* False only when sending failed. */
static bool take_records(struct loader *loader, char *bytes, size_t size)
{
    struct csv_reader reader;
    struct csv_record record;
    bool has_header = false;
    csv_init(&reader, bytes, size);
    for (;;) {
        enum csv_read read = csv_next(&reader, &record);
        if (read == CSV_END) {
            if (!has_header)
                bad_line(loader, record.line, "the file is empty");
            return true;
        }
        if (read == CSV_MALFORMED)
            bad_line(loader, record.line, "%s", reader.error);
        if (!has_header) {
            if (read == CSV_MALFORMED || !take_header(loader, &record))
                return true;
            has_header = true;
        } else if (read == CSV_RECORD && !take_record(loader, &record)) {
            return false;
        }
        show_progress(loader, (size_t)(reader.cursor - bytes), size);
    }
}

/* The whole file; NULL after a message. The caller frees it. */
static char *read_file(struct loader *loader, size_t *size)
{
    struct stat stat;
    char *bytes = NULL;
    size_t got = 0;
    int fd = open(loader->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) != 0)
        goto failed;
    *size = (size_t)stat.st_size;
    bytes = malloc(*size + 1);
    if (bytes == NULL)
        goto failed;
    while (got < *size) {
        ssize_t count = read(fd, bytes + got, *size - got);
        if (count < 0)
            goto failed;
        if (count == 0)
            break;
        got += (size_t)count;
    }
    close(fd);
    *size = got;
    return bytes;

failed:
    fprintf(stderr, "till load: %s: %s\n", loader->path, strerror(errno));
    loader->bad++;
    free(bytes);
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* One pass over all files; false when the connection broke. */
static bool run_pass(struct loader *loader, char **paths, int path_count, bool sending)
{
    loader->sending = sending;
    free(loader->skus.slots);
    loader->skus = (struct sku_table){0};
    for (int i = 0; i < path_count; i++) {
        size_t size = 0;
        loader->path = paths[i];
        char *bytes = read_file(loader, &size);
        if (bytes == NULL)
            continue;
        loader->content = XXH3_128bits(bytes, size);
        bool sent = take_records(loader, bytes, size);
        free(bytes);
        if (!sent)
            return false;
    }
    return !sending || drain(loader, 0);
}

static void print_summary(const struct loader *loader)
{
    double seconds = (double)(monotonic_us() - loader->started_us) / US_PER_SECOND;
    printf("%" PRIu64 " SKUs, %" PRIu64 " stock lines (%" PRIu64 " units) and %" PRIu64
           " credits of points are in, after %.1f s\n",
           loader->done[MESSAGE_sku_put], loader->done[MESSAGE_stock_adjust], loader->units,
           loader->done[MESSAGE_points_credit], seconds);
    if (loader->replayed > 0)
        printf("%" PRIu64 " of these commands had been done before, by loading the same file, and "
               "were REPLAYED: nothing was added twice\n",
               loader->replayed);
    if (loader->bad > 0)
        printf("%" PRIu64 " lines were left out; correct them in a file of their own, because an "
               "edited file counts as a new one\n",
               loader->bad);
}

static int load_files(struct loader *loader, const char *address, bool strict, char **paths,
                      int path_count)
{
    loader->started_us = monotonic_us();
    loader->progress_us = isatty(STDERR_FILENO) != 0 ? loader->started_us : 0;
    if (strict)
        run_pass(loader, paths, path_count, false);
    if (loader->bad > 0) {
        fprintf(stderr, "till load: nothing was sent, because of --strict\n");
        return EXIT_FAILED;
    }
    if (!client_open(&loader->client, address, FRAME_FEATURE_CHECKSUM)) {
        fprintf(stderr, "till load: %s\n", loader->client.error);
        return EXIT_FAILED;
    }
    loader->in_flight_max = loader->client.in_flight_max < LOAD_IN_FLIGHT_MAX
                                ? loader->client.in_flight_max
                                : LOAD_IN_FLIGHT_MAX;
    bool sent = run_pass(loader, paths, path_count, true);
    fputs(loader->progress_us > 0 ? "\r\033[K" : "", stderr);
    if (!sent)
        fprintf(stderr,
                "till load: %s\n%" PRIu32 " commands are unanswered; loading the same files again "
                "within 24 hours is safe, what was done is not done twice\n",
                loader->client.error, loader->client.in_flight);
    client_close(&loader->client);
    print_summary(loader);
    return sent && loader->bad == 0 ? EXIT_OK : EXIT_FAILED;
}

int cli_load(int argc, char **argv)
{
    const char *address = CLIENT_ADDRESS_DEFAULT;
    bool strict = false;
    const struct option_row rows[] = {
        {"connect", OPTION_TEXT, &address, "ADDR:PORT", "the server"},
        {"strict", OPTION_FLAG, &strict, NULL, "send nothing when any line is bad"},
    };
    const size_t row_count = sizeof rows / sizeof rows[0];
    int path_count = options_parse(argc, argv, rows, row_count);
    if (path_count == OPTIONS_HELP) {
        printf(
            "usage: till load [options] FILE.csv...\n\n"
            "Loads stock (header sku,name,price,currency,warehouse,quantity) and points (header\n"
            "customer,points,expires), columns in any order; name and expires may be absent.\n"
            "Prices are in minor units: 1999 for 19.99. Quantities are added to what is there.\n"
            "The same file loaded again within 24 hours adds nothing.\n\n");
        options_print(stdout, rows, row_count);
        return EXIT_OK;
    }
    if (path_count <= 0) {
        if (path_count == 0)
            fprintf(stderr, "till load: which files? See till load --help\n");
        return EXIT_USAGE;
    }
    struct loader *loader = calloc(1, sizeof *loader);
    if (loader == NULL) {
        fprintf(stderr, "till load: no memory\n");
        return EXIT_FAILED;
    }
    int code = load_files(loader, address, strict, argv + 1, path_count);
    free(loader->skus.slots);
    free(loader);
    return code;
}
