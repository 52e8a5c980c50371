/* Loads stock and points from CSV files.
 *
 * Rows that add are done once, because the key of every command is derived from the content of the
 * whole file and the number of its line: when the same file is loaded twice, by mistake or because
 * a connection broke, the answers are REPLAYED and nothing is added. A file that was edited in
 * between has other keys: all of its rows are added. Rows that set need no keys: stock.set carries
 * the on_hand that was read, and a row whose on_hand is right already sends nothing more. If the
 * stock was changed meanwhile, the answer is STALE_VERSION with the new on_hand, and the row is
 * tried again, a bounded number of times.
 *
 * A line that is wrong, or that the server rejects, is reported and skipped; the others are loaded.
 * A rejection that all other rows would get as well, above all a full table, ends the load: the
 * rows that are left are counted and not sent. With --strict a first pass over all files sends
 * nothing, and a second one runs only when the first found nothing. With --dry-run only queries are
 * sent. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/load_send.h"

enum {
    DRY_IN_FLIGHT_MAX = 256, /* answers of 200 bytes: they fit the socket while output waits */
    PROGRESS_NAME_SIZE = 128,
};

/* The rows of one file. */
static void run_file(struct loader *loader, struct load_file *file, bool sending)
{
    struct progress *progress = &loader->report.progress;
    char doing[PROGRESS_NAME_SIZE];
    struct load_row row;
    bool is_new_sku = false;
    snprintf(doing, sizeof doing, "%s %s",
             loader->is_dry ? "reading"
             : sending      ? "loading"
                            : "checking",
             file->input->path);
    while (!loader->has_ended && load_file_next(file, &row)) {
        if (load_seen_row(&loader->seen, &row, &loader->report, &is_new_sku) && sending)
            load_send_row(loader, file, &row, is_new_sku);
        progress_show(progress, doing, load_file_read_bytes(file), file->size);
    }
    progress_end(progress);
    struct load_place first = {0};
    uint64_t left = loader->has_ended ? load_file_skip(file, &first) : 0;
    if (left > 0)
        load_rows_left(loader, &first, left);
}

/* One pass over all files. */
static void run_pass(struct loader *loader, bool sending)
{
    load_seen_deinit(&loader->seen);
    for (uint32_t i = 0; i < loader->input_count; i++) {
        struct load_file file;
        if (!load_file_open(&file, &loader->inputs[i], &loader->report))
            continue;
        run_file(loader, &file, sending);
        load_file_close(&file);
    }
}

/* One part of the summary; nothing when the count is zero. */
static void print_part(const char **joint, uint64_t count, const char *text)
{
    if (count == 0)
        return;
    printf("%s%" PRIu64 " %s", *joint, count, text);
    *joint = ", ";
}

static void print_counts(const struct load_counts *counts)
{
    const char *joint = ": ";
    print_part(&joint, counts->skus, "SKUs put");
    print_part(&joint, counts->units, "units of stock added");
    print_part(&joint, counts->set, "set");
    print_part(&joint, counts->unchanged, "as the file has them already");
    print_part(&joint, counts->points, "points credited");
    putchar('\n');
}

static void print_summary(const struct loader *loader, uint32_t unanswered)
{
    const struct load_counts *counts = &loader->counts;
    uint64_t wrong = loader->report.errors + loader->report.unread;
    double seconds = (double)(clock_monotonic_us() - loader->started_us) / US_PER_SECOND;
    if (loader->is_dry)
        printf("nothing was changed. It would be %" PRIu64 " rows", counts->rows);
    else
        printf("%" PRIu64 " rows are in, after %.1f s", counts->rows, seconds);
    print_counts(counts);
    if (loader->is_dry && counts->added + counts->credits > 0)
        printf("rows that add do so unless the same file was loaded in the last 24 hours; they "
               "take %" PRIu64 " keys\n",
               counts->added + counts->credits + (counts->added > 0 ? counts->skus : 0));
    if (counts->replayed > 0)
        printf("%" PRIu64 " of the commands had been done before, by loading the same file, and "
               "were REPLAYED: nothing was added twice\n",
               counts->replayed);
    if (unanswered > 0)
        printf("%" PRIu32
               " rows are not known to be in: load the same files again within 24 hours, "
               "nothing is done twice\n",
               unanswered);
    if (counts->left > 0)
        printf("%" PRIu64 " rows are not in, the first of them is %s:%" PRIu64 "\n", counts->left,
               loader->first_left.path, loader->first_left.line);
    if (wrong > 0)
        printf("%" PRIu64 " lines or files were left out. Correct lines that add in a file of "
               "their own, because an edited file counts as a new one; a file with on_hand can be "
               "loaded again as a whole\n",
               wrong);
}

static int load_files(struct loader *loader, const char *address, bool is_strict)
{
    struct load_report *report = &loader->report;
    loader->started_us = clock_monotonic_us();
    if (is_strict)
        run_pass(loader, false);
    if (report->errors + report->unread + report->warnings > 0) {
        load_report_end(report);
        fprintf(stderr, "till load: nothing was sent, because of --strict\n");
        return EXIT_FAILED;
    }
    if (!client_open(&loader->client, address, FRAME_FEATURE_CHECKSUM)) {
        fprintf(stderr, "till load: %s\n", loader->client.error);
        return EXIT_FAILED;
    }
    uint32_t in_flight_max = loader->is_dry ? DRY_IN_FLIGHT_MAX : LOAD_IN_FLIGHT_MAX;
    loader->in_flight_max =
        loader->client.in_flight_max < in_flight_max ? loader->client.in_flight_max : in_flight_max;
    run_pass(loader, true);
    load_drain(loader, 0);
    if (loader->is_broken)
        load_say(report, "till load: %s", loader->client.error);
    load_report_end(report);
    print_summary(loader, load_rows_unanswered(loader));
    client_close(&loader->client);
    bool good = !loader->has_ended && report->errors + report->unread == 0;
    return good ? EXIT_OK : EXIT_FAILED;
}

static void print_help(void)
{
    options_print_usage(stdout, &load_table);
    printf(
        "Loads stock and points into a running server. A header names the columns, which come\n"
        "in any order:\n"
        "  sku,name,price,currency,warehouse,quantity   adds the quantity to what is there\n"
        "  sku,name,price,currency,warehouse,on_hand    makes on_hand what the file says\n"
        "  customer,points,expires                      credits points\n"
        "name and expires may be absent or empty. Prices are in minor units: 1999 for 19.99.\n"
        "FILE may be - for standard input.\n\n"
        "  till load examples/shop/stock.csv examples/shop/points.csv\n"
        "  till load --dry-run stock.csv\n"
        "  gunzip < stock.csv.gz | till load -\n\n"
        "Quantities and points are added once: the same file loaded again within 24 hours adds\n"
        "nothing, but an edited one is another file, all of whose lines count. on_hand can be\n"
        "edited and loaded as often as one likes: rows that are as the file says are left alone,\n"
        "the others set, unless more is promised to orders. It takes none of the keys that adding\n"
        "needs. Where it changes a price or currency, a row without a name takes the SKU's name\n"
        "away; otherwise it leaves it alone.\n\n"
        "A row that is wrong or rejected is named and left out. One that is there twice is\n"
        "loaded twice, with a warning. A full table ends the load, and what is not in is counted;\n"
        "the last of the keys are kept for operators. The exit code is 0 when everything is "
        "in.\n\n");
    options_print(stdout, &load_table);
}

/* The files that were named; false after a message. */
static bool name_inputs(struct loader *loader, char **paths, uint32_t count)
{
    bool has_standard = false;
    loader->inputs = calloc(count, sizeof *loader->inputs);
    if (loader->inputs == NULL)
        return false;
    loader->input_count = count;
    for (uint32_t i = 0; i < count; i++) {
        bool is_standard = strcmp(paths[i], "-") == 0;
        if (is_standard && has_standard) {
            fprintf(stderr, "till load: - is there twice: standard input can be read once\n");
            return false;
        }
        has_standard |= is_standard;
        loader->inputs[i] = (struct load_input){.path = paths[i], .number = i};
    }
    return true;
}

static void loader_destroy(struct loader *loader)
{
    for (uint32_t i = 0; i < loader->input_count; i++)
        load_input_deinit(&loader->inputs[i]);
    free(loader->inputs);
    load_seen_deinit(&loader->seen);
    free(loader);
}

int cli_load(int argc, char **argv)
{
    struct load_options options;
    int path_count = options_parse(&load_table, &options, argc, argv);
    if (path_count == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (path_count == OPTIONS_WRONG)
        return EXIT_USAGE;
    struct loader *loader = calloc(1, sizeof *loader);
    if (loader == NULL) {
        fprintf(stderr, "till load: no memory\n");
        return EXIT_FAILED;
    }
    loader->is_dry = options.dry_run;
    load_report_init(&loader->report, options.errors);
    int code = EXIT_USAGE;
    if (name_inputs(loader, argv + 1, (uint32_t)path_count))
        code = load_files(loader, options.connect, options.strict);
    loader_destroy(loader);
    return code;
}
