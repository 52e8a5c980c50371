/* till: one binary whose first argument names what it does. The subcommands are one table, from
 * which dispatch and help both come. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench/options.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/nearest.h"
#include "cli/version.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static int print_help_of(int argc, char **argv);
static int print_version(int argc, char **argv);

static const struct subcommand subcommands[] = {
    {"serve", cli_serve, "run the server on a data folder"},
    {"load", cli_load, "load stock and points from CSV files"},
    {"shell", cli_shell, "type commands, read answers"},
    {"snapshot", cli_snapshot, "have a running server take a snapshot"},
    {"replicas", cli_replicas, "the replicas of a running server, and how far they are"},
    {"follow", cli_follow, "make a running server a replica of another one"},
    {"promote", cli_promote, "make a replica the primary, safely"},
    {"backup", cli_backup, "copy the data folder of a running server"},
    {"restore", cli_restore, "make a data folder as of a moment of the past"},
    {"log", cli_log, "print the log of a data folder as JSON lines"},
    {"verify", cli_verify, "replay the log of a data folder and check everything"},
    {"protocol", cli_protocol, "print the message tables as Markdown"},
    {"demo", cli_demo, "a small flash sale, start to end"},
    {"bench", cli_bench, "measure a server"},
    {"help", print_help_of, "this list; `till help serve` explains one of them"},
    {"version", print_version, "the version, and those of the protocol and the files"},
};

enum { SUBCOMMAND_COUNT = sizeof subcommands / sizeof subcommands[0] };

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

static bool is_version(const char *argument)
{
    return strcmp(argument, "--version") == 0 || strcmp(argument, "-V") == 0;
}

static void print_help(FILE *out)
{
    fputs("till: a transaction engine for flash sales: stock, points, payments and orders\n\n"
          "usage: till COMMAND [arguments]\n\n",
          out);
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        fprintf(out, "  %-10s%s\n", subcommands[i].name, subcommands[i].help);
    fputs("\ntill COMMAND --help explains one of them. Exit codes: 0 done, 1 failed, 2 not\n"
          "understood: then nothing was tried. till help --markdown prints the options of all of\n"
          "them as a document.\n",
          out);
}

/* docs/options.md. */
static void print_document(void)
{
    static const struct option_table *const tables[] = {
        &serve_table,  &load_table,     &shell_table,  &snapshot_table, &replicas_table,
        &follow_table, &promote_table,  &backup_table, &restore_table,  &log_table,
        &verify_table, &protocol_table, &demo_table,   &bench_table,    &soak_table,
        &limit_table,  &peer_table,
    };
    fputs(
        "# Options\n\n"
        "Every option of every command, with its default and its bounds. This page is what\n"
        "`till help --markdown` prints. A number may have a suffix k, m or g, which multiplies\n"
        "it by 1024, 1024 x 1024 or 1024 x 1024 x 1024. Where there is no default, the option\n"
        "is off, or has no value, until it is given. [operations.md](operations.md) tells when to\n"
        "use them. soak, limit and peer-client are built beside till by `make bench-soak`,\n"
        "`make bench-limit` and `make bench-peers`.\n",
        stdout);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        options_print_markdown(stdout, tables[i]);
}

/* NULL after a message, which names the one that is probably meant. */
static const struct subcommand *find_subcommand(const char *name)
{
    struct nearest nearest = nearest_to(name, strlen(name));
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        if (strcmp(name, subcommands[i].name) == 0)
            return &subcommands[i];
        nearest_offer(&nearest, subcommands[i].name);
    }
    fprintf(stderr, "till: no command %s; ", name);
    if (nearest.name != NULL)
        fprintf(stderr, "did you mean %s? ", nearest.name);
    fputs("till help lists them all\n", stderr);
    return NULL;
}

/* `till help`, `till help COMMAND`, `till help --markdown`. */
static int print_help_of(int argc, char **argv)
{
    static char help_option[] = "--help";
    if (argc > 2) {
        fprintf(stderr, "till help: '%s' is not expected; till help COMMAND explains one\n",
                argv[2]);
        return EXIT_USAGE;
    }
    if (argc == 2 && strcmp(argv[1], "--markdown") == 0) {
        print_document();
        return EXIT_OK;
    }
    const struct subcommand *subcommand = NULL;
    if (argc == 2 && !is_help(argv[1])) {
        subcommand = find_subcommand(argv[1]);
        if (subcommand == NULL)
            return EXIT_USAGE;
    }
    if (subcommand != NULL && subcommand->run != print_help_of) {
        char *arguments[] = {argv[1], help_option, NULL};
        return subcommand->run(2, arguments);
    }
    print_help(stdout);
    return EXIT_OK;
}

static int print_version(int argc, char **argv)
{
    if (argc > 1 && is_help(argv[1])) {
        puts("usage: till version\n\nPrints the version of till, what it was built from, and the\n"
             "numbers of the protocol and of the file formats that it writes.");
        return EXIT_OK;
    }
    if (argc > 1) {
        fprintf(stderr, "till version: '%s' is not expected\n", argv[1]);
        return EXIT_USAGE;
    }
    version_print(stdout);
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (is_help(argv[1])) {
        print_help(stdout);
        return EXIT_OK;
    }
    bool is_asked = is_version(argv[1]);
    const struct subcommand *subcommand = is_asked ? NULL : find_subcommand(argv[1]);
    if (!is_asked && subcommand == NULL)
        return EXIT_USAGE;
    if (is_asked || (argc == 3 && is_version(argv[2]))) {
        version_print(stdout);
        return EXIT_OK;
    }
    return subcommand->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return code;
    perror("till: standard output");
    return code == EXIT_OK ? EXIT_FAILED : code;
}
