/* Prints the log, one JSON object per command, in the order of their seqs: what an auditor greps,
 * and what another system may read. The log is opened for reading only; a server may be running on
 * the same folder, and what it appends meanwhile may or may not be seen.
 *
 * Asked about one thing, it tells what happened to that (cli/log_history.h); else it prints the
 * commands (cli/log_print.h).
 *
 * A file by itself may be printed as well: blocks that were set aside at a fork (net/fork.h), or an
 * archived segment. Its blocks are checked, and that they are a chain; what came before is not
 * known. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/disk.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/log_history.h"
#include "cli/log_print.h"
#include "wal/segment.h"

/* Prints what there is, also of a backup that is not what it was. */
static bool print_folder(struct log_print *print, struct disk *disk, struct disk *archive)
{
    struct backup_label label = {0};
    bool is_sound = backup_label_demand(&label, disk) != BACKUP_REFUSED;
    bool printed = log_print_folder(print, disk, archive);
    if (!is_sound)
        fprintf(stderr, "till log: %s\n", label.error);
    backup_label_close(&label);
    return printed && is_sound;
}

/* Is there a file at the path, not a folder? */
static bool is_file(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && S_ISREG(found.st_mode);
}

/* Does the file's first page begin with a block, of whatever version? */
static bool has_blocks(struct disk *disk, const char *name)
{
    uint8_t page[WAL_ALIGN];
    struct wal_block block = {0};
    int result = wal_segment_begin(disk, name, page, &block);
    return result == 0 || block.magic == WAL_BLOCK_MAGIC;
}

/* Opens the folder that the file lies in; false after a message. */
static bool file_find(const char *path, struct disk **disk, const char **name)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    *name = slash == NULL ? path : slash + 1;
    int result = folder == NULL ? -ENOMEM : disk_open(disk, folder, DISK_READ);
    free(folder);
    if (result < 0)
        fprintf(stderr, "till log: %s: %s\n", path, strerror(-result));
    else if (strlen(*name) >= DISK_NAME_SIZE || !has_blocks(*disk, *name))
        fprintf(stderr,
                "till log: %s: no data folder: it is a file, and none that begins with a block of "
                "a log, as diverged-*.till and log-*.till do\n",
                path);
    else
        return true;
    return false;
}

static bool print_path(struct log_print *print, const char *path, const char *archive_path)
{
    struct disk *disk = NULL;
    struct disk *archive = NULL;
    const char *name = NULL;
    bool printed = false;
    if (is_file(path))
        printed = file_find(path, &disk, &name) && log_print_file(print, disk, name);
    else
        printed = folder_find("till log", path, FOLDER_READABLE, &disk) &&
                  (archive_path == NULL ||
                   folder_find("till log", archive_path, FOLDER_ARCHIVE, &archive)) &&
                  print_folder(print, disk, archive);
    disk_close(archive);
    disk_close(disk);
    return printed;
}

static bool read_seq(const char *option, const char *text, uint64_t *seq)
{
    if (text == NULL || (value_read(FIELD_u64, text, strlen(text), 0, seq) && *seq > 0))
        return true;
    fprintf(stderr, "till log: --%s %s: expected a number above zero\n", option, text);
    return false;
}

static bool read_options(const struct log_options *options, struct log_subject *subject,
                         struct log_print *print)
{
    print->form = options->text ? VALUE_TEXT : VALUE_JSON;
    if (!log_subject_read(subject, options->order, options->customer, options->sku) ||
        !read_seq("from", options->from, &print->from) || !read_seq("to", options->to, &print->to))
        return false;
    if (print->to == 0 || print->from <= print->to)
        return true;
    fprintf(stderr, "till log: --from %s is after --to %s\n", options->from, options->to);
    return false;
}

static void print_help(void)
{
    options_print_usage(stdout, &log_table);
    printf(
        "Prints every command of the log in the data folder DIR, one JSON object per line.\n"
        "Stops with an error where the log is damaged. DIR may also be a file of blocks by\n"
        "itself: a diverged-*.till, or a segment of an archive.\n\n"
        "Asked about an order, a customer or a SKU, it prints the commands that name it or have\n"
        "changed it, each with what it changed. For that it decides the log again, from its\n"
        "beginning, or from a snapshot that shows the state before --from. Where there is\n"
        "neither, it says so, and prints the commands that name it.\n\n");
    options_print(stdout, &log_table);
}

/* Was there anything to tell of what was asked about? */
static bool is_found(const struct log_print *print)
{
    const struct log_subject *subject = print->subject;
    if (subject->kind == SUBJECT_NONE || print->count > 0)
        return true;
    fprintf(stderr, "till log: %s %s: ", subject->name, subject->typed);
    if (print->seq_first == 0 || print->seq < print->seq_first)
        fprintf(stderr, "the log has no change from seq %" PRIu64 " on\n",
                print->from > 0 ? print->from : 1);
    else
        fprintf(stderr,
                "no command from seq %" PRIu64 " to %" PRIu64 " names it or has changed it\n",
                print->seq_first, print->seq);
    return false;
}

static bool run(struct folder *folder, struct log_print *print, const char *path)
{
    const struct log_subject *subject = print->subject;
    bool printed = false;
    if (subject->kind == SUBJECT_NONE) {
        printed = print_path(print, path, folder->archive);
    } else if (is_file(path)) {
        fprintf(stderr,
                "till log: of a file by itself, only the commands that name %s %s are printed, and "
                "not what they did\n",
                subject->name, subject->typed);
        printed = print_path(print, path, NULL);
    } else {
        printed = log_history(folder, print, path);
    }
    fflush(stdout);
    return printed && is_found(print);
}

int cli_log(int argc, char **argv)
{
    struct log_options options;
    struct log_subject subject;
    struct log_print print = {.subject = &subject};
    int operands = options_parse(&log_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG || !read_options(&options, &subject, &print))
        return EXIT_USAGE;
    struct folder folder = {
        .command = "till log", .archive = options.archive, .capacities = options.capacities};
    print.progress = &folder.progress;
    bool printed = run(&folder, &print, argv[1]);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "till log: the output cannot be written\n");
        printed = false;
    }
    return printed ? EXIT_OK : EXIT_FAILED;
}
