/* till: one binary whose first argument names what it does. The subcommands are one table, from
 * which dispatch and help both come. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define TILL_VERSION "0.1.0"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct subcommand subcommands[] = {
    {"serve", cli_serve, "run the server on a data folder"},
    {"load", cli_load, "load stock and points from CSV files"},
    {"shell", cli_shell, "type commands, read answers"},
    {"snapshot", cli_snapshot, "have a running server take a snapshot"},
    {"backup", cli_backup, "copy the data folder of a running server"},
    {"restore", cli_restore, "make a data folder as of a moment of the past"},
    {"log", cli_log, "print the log of a data folder as JSON lines"},
    {"verify", cli_verify, "replay the log of a data folder and check everything"},
    {"protocol", cli_protocol, "print the message tables as Markdown"},
    {"demo", cli_demo, "a small flash sale, start to end"},
    {"bench", cli_bench, "measure a server"},
};

enum { SUBCOMMAND_COUNT = sizeof subcommands / sizeof subcommands[0] };

static void print_help(FILE *out)
{
    fputs("till: a transaction engine for flash sales: stock, points, payments and orders\n\n"
          "usage: till COMMAND [arguments]\n\n",
          out);
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        fprintf(out, "  %-10s%s\n", subcommands[i].name, subcommands[i].help);
    fputs("\ntill COMMAND --help explains one of them; till --version tells the version\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("till " TILL_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "till: no command %s; till --help lists them\n", argv[1]);
    return EXIT_USAGE;
}
