/* The subcommands of the one binary. Each takes its own arguments (argv[0] is its name), answers
 * --help on stdout, writes errors to stderr, and returns an exit code. */
#ifndef TILL_CLI_CLI_H
#define TILL_CLI_CLI_H

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1, /* the work was tried and something is wrong: the message says what */
    EXIT_USAGE = 2,  /* the command line is wrong: nothing was tried */
};

int cli_serve(int argc, char **argv);    /* cli/serve.c */
int cli_load(int argc, char **argv);     /* cli/load.c */
int cli_shell(int argc, char **argv);    /* cli/shell.c */
int cli_verify(int argc, char **argv);   /* cli/verify.c */
int cli_snapshot(int argc, char **argv); /* cli/snapshot.c */
int cli_replicas(int argc, char **argv); /* cli/replicas.c */
int cli_follow(int argc, char **argv);   /* cli/follow.c */
int cli_promote(int argc, char **argv);  /* cli/promote.c */
int cli_backup(int argc, char **argv);   /* cli/backup.c */
int cli_restore(int argc, char **argv);  /* cli/restore.c */
int cli_log(int argc, char **argv);      /* cli/log.c */
int cli_protocol(int argc, char **argv); /* cli/protocol.c */
int cli_demo(int argc, char **argv);     /* bench/demo.c */
int cli_bench(int argc, char **argv);    /* bench/bench.c */

#endif
