/* A child: `till serve` in a process of its own, for the bench and the demo; and a scratch folder
 * for what it writes.
 *
 * The binary is the one that is running, unless another is named. A child is stopped, killed and
 * awaited by its pid alone, and dies with its parent. */
#ifndef TILL_BENCH_CHILD_H
#define TILL_BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CHILD_ERROR_SIZE = 2048,
    CHILD_ADDRESS_SIZE = 96,
    CHILD_ARGUMENTS_MAX = 128,
    SCRATCH_PATH_SIZE = 256,
};

struct child {
    pid_t pid; /* 0: none */
    char address[CHILD_ADDRESS_SIZE];

    /* Private. */
    int out;
    char text[4096]; /* read from it, and not processed yet */
    size_t text_size;
};

struct child_options {
    const char *binary;           /* of till; NULL: the one that is running */
    const char *folder;           /* of the server's data */
    const char *log;              /* the file that its stderr is appended to */
    const char *const *arguments; /* further ones of `serve`, ended by NULL; NULL for none */
    int core;                     /* of its loop; -1: any */
    bool awaits_memory;           /* until all of its tables' memory is taken */
    uint32_t timeout_ms;          /* for start and recovery */
};

/* Starts a server on a free loopback port and waits until it listens, or has its memory too. False
 * with an error that includes the end of its log; no process is left then. */
bool child_serve(struct child *child, const struct child_options *options,
                 char error[CHILD_ERROR_SIZE]);

/* Kills it with SIGKILL and reaps it. */
void child_kill(struct child *child);

/* Asks it to stop with SIGTERM. True when it exits with 0 within the time; it is gone either way,
 * and error says how. */
bool child_stop(struct child *child, uint32_t timeout_ms, char error[CHILD_ERROR_SIZE]);

/* Is it still running? */
bool child_alive(const struct child *child);

/* Reaps a child that has ended by itself, and describes how it ended: "exit code 1", "signal 6". */
enum { CHILD_END_SIZE = 32 };
void child_reap(struct child *child, char end[CHILD_END_SIZE]);

/* The last lines of a server's log, after a line break. */
enum { CHILD_TAIL_SIZE = 1200 };
void child_log_tail(const char *log, char text[CHILD_TAIL_SIZE]);

/* Processor time that all its threads have used. */
uint64_t child_cpu_ns(const struct child *child);

/* Runs `till SUBCOMMAND ARGUMENT` to its end. Returns the exit code, or -1 when it had to be killed
 * or could not be run; text gets what it printed, at most size - 1 bytes. */
int child_run(const char *subcommand, const char *argument, uint32_t timeout_ms, char *text,
              size_t size);

/* A new empty folder in parent, and its removal with everything in it. */
bool scratch_create(char path[SCRATCH_PATH_SIZE], const char *parent, const char *prefix);
void scratch_remove(const char *path);

/* The first and second core that this process may use; second -1 when there is one only. Cores are
 * those it had at its start: core_pin takes the calling thread to one of them and leaves the
 * others to its children. */
void cores_choose(int *first, int *second);
void core_pin(int core);
uint32_t core_count(void);

/* From now on SIGINT and SIGTERM set this, so that children and folders are cleaned up. */
extern volatile int interrupted;
void interrupt_catch(void);

#endif
