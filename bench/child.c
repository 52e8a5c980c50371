/* Children and scratch folders.
 *
 * A server child gets its own process group, so that Ctrl-C reaches the parent alone and the parent
 * decides what happens; and a death signal, so that none outlives the parent. Its stdout is a pipe:
 * the line `listening on ADDR:PORT` says that it has recovered and where it is. The pipe stays
 * open while the child lives. Its stderr goes to a file, which is quoted when the child fails.
 *
 * Waiting is always bounded: a child that does not do what was asked in time is killed. */
#include "bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "bench/load.h"

enum { POLL_MS = 5, EXEC_FAILED = 127 };

static const char this_binary[] = "/proc/self/exe";

volatile int interrupted;

/* The cores that this process could use before it pinned itself to one. A child gets all of them;
 * otherwise its helper threads would run on the core of the clients. */
static cpu_set_t cores_first;
static bool is_pinned;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static uint64_t deadline_after(uint32_t timeout_ms)
{
    return load_clock_ns() + timeout_ms * 1000000ULL;
}

static int left_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = load_clock_ns();
    return now_ns >= deadline_ns ? 0 : (int)((deadline_ns - now_ns) / 1000000) + 1;
}

/* Forks and executes a binary with out and err as its outputs; 0 when that fails. */
static pid_t spawn(const char *binary, const char *const *arguments, int out, int err)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid < 0 ? 0 : pid;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is_pinned)
        sched_setaffinity(0, sizeof cores_first, &cores_first);
    if (getppid() != parent)
        _exit(EXEC_FAILED);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (dup2(nothing, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(EXEC_FAILED);
    execv(binary, (char *const *)arguments);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", binary, strerror(errno));
    _exit(EXEC_FAILED);
}

/* Waits until the process has ended; false when it still runs at the deadline. */
static bool await_end(pid_t pid, uint64_t deadline_ns, int *status)
{
    for (;;) {
        pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid || (ended < 0 && errno == ECHILD))
            return true;
        if (left_ms(deadline_ns) == 0)
            return false;
        struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

static void describe_end(int status, char text[CHILD_END_SIZE])
{
    if (WIFEXITED(status))
        snprintf(text, CHILD_END_SIZE, "exit code %d", WEXITSTATUS(status));
    else
        snprintf(text, CHILD_END_SIZE, "signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

void child_log_tail(const char *log, char text[CHILD_TAIL_SIZE])
{
    text[0] = '\0';
    FILE *file = fopen(log, "re");
    if (file == NULL)
        return;
    if (fseek(file, -(long)(CHILD_TAIL_SIZE - 2), SEEK_END) != 0)
        rewind(file);
    size_t got = fread(text + 1, 1, CHILD_TAIL_SIZE - 2, file);
    fclose(file);
    while (got != 0 && text[got] == '\n')
        got--;
    text[0] = '\n';
    text[got + 1] = '\0';
}

/* Reads the child's stdout until a complete line with these words; what follows the words is then
 * at the beginning of the text. */
static bool await_line(struct child *child, const char *words, uint64_t deadline_ns,
                       const char **problem)
{
    *problem = "did not get ready in time";
    for (;;) {
        char *line = strstr(child->text, words);
        char *end = line != NULL ? strchr(line, '\n') : NULL;
        if (end != NULL) {
            line += strlen(words);
            child->text_size -= (size_t)(line - child->text);
            memmove(child->text, line, child->text_size + 1);
            return true;
        }
        struct pollfd waiting = {.fd = child->out, .events = POLLIN};
        int left = left_ms(deadline_ns);
        if (interrupted)
            *problem = "was not waited for: interrupted";
        if (left == 0 || interrupted)
            return false;
        if (poll(&waiting, 1, left) <= 0)
            continue;
        if (child->text_size == sizeof child->text - 1)
            child->text_size = 0;
        ssize_t got = read(child->out, child->text + child->text_size,
                           sizeof child->text - 1 - child->text_size);
        if (got <= 0) {
            *problem = "ended before it was ready";
            return false;
        }
        child->text_size += (size_t)got;
        child->text[child->text_size] = '\0';
    }
}

static bool await_ready(struct child *child, const struct child_options *options,
                        const char **problem)
{
    uint64_t deadline_ns = deadline_after(options->timeout_ms);
    child->text[0] = '\0';
    child->text_size = 0;
    if (!await_line(child, "listening on ", deadline_ns, problem))
        return false;
    size_t length = strcspn(child->text, " \r\n");
    snprintf(child->address, sizeof child->address, "%.*s", (int)length, child->text);
    if (!options->awaits_memory)
        return true;
    if (!await_line(child, "memory: ", deadline_ns, problem))
        return false;
    *problem = "could not take all of its tables' memory";
    return strncmp(child->text, "all of it", strlen("all of it")) == 0;
}

bool child_serve(struct child *child, const struct child_options *options,
                 char error[CHILD_ERROR_SIZE])
{
    const char *arguments[CHILD_ARGUMENTS_MAX] = {"till",          "serve",    "--data",
                                                  options->folder, "--listen", "127.0.0.1:0"};
    char core[16];
    uint32_t count = 6;
    if (options->core >= 0) {
        snprintf(core, sizeof core, "%d", options->core);
        arguments[count++] = "--core";
        arguments[count++] = core;
    }
    for (const char *const *next = options->arguments; next != NULL && *next != NULL; next++) {
        TILL_ASSERT(count + 1 < CHILD_ARGUMENTS_MAX);
        arguments[count++] = *next;
    }
    int pipes[2] = {-1, -1};
    int log = open(options->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    child->pid = 0;
    if (log >= 0 && pipe2(pipes, O_CLOEXEC) == 0)
        child->pid = spawn(options->binary != NULL ? options->binary : this_binary, arguments,
                           pipes[1], log);
    if (child->pid == 0)
        snprintf(error, CHILD_ERROR_SIZE, "cannot start a server: %s", strerror(errno));
    if (log >= 0)
        close(log);
    if (pipes[1] >= 0)
        close(pipes[1]);
    child->out = pipes[0];
    if (child->pid == 0) {
        if (child->out >= 0)
            close(child->out);
        return false;
    }
    const char *problem;
    if (await_ready(child, options, &problem))
        return true;
    char tail[CHILD_TAIL_SIZE];
    child_kill(child);
    child_log_tail(options->log, tail);
    snprintf(error, CHILD_ERROR_SIZE, "the server %s%s", problem, tail);
    return false;
}

static void child_forget(struct child *child)
{
    close(child->out);
    child->pid = 0;
}

void child_kill(struct child *child)
{
    int status;
    if (child->pid == 0)
        return;
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    child_forget(child);
}

bool child_stop(struct child *child, uint32_t timeout_ms, char error[CHILD_ERROR_SIZE])
{
    int status = 0;
    if (child->pid == 0)
        return true;
    kill(child->pid, SIGTERM);
    if (!await_end(child->pid, deadline_after(timeout_ms), &status)) {
        snprintf(error, CHILD_ERROR_SIZE, "the server did not stop within %u ms", timeout_ms);
        child_kill(child);
        return false;
    }
    child_forget(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    char end[CHILD_END_SIZE];
    describe_end(status, end);
    snprintf(error, CHILD_ERROR_SIZE, "the server ended with %s", end);
    return false;
}

bool child_alive(const struct child *child)
{
    siginfo_t info = {0};
    return child->pid != 0 &&
           waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

void child_reap(struct child *child, char end[CHILD_END_SIZE])
{
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    describe_end(status, end);
    child_forget(child);
}

uint64_t child_cpu_ns(const struct child *child)
{
    clockid_t clock;
    if (child->pid == 0 || clock_getcpuclockid(child->pid, &clock) != 0)
        return 0;
    return clock_read_ns(clock);
}

int child_run(const char *subcommand, const char *argument, uint32_t timeout_ms, char *text,
              size_t size)
{
    const char *const arguments[] = {"till", subcommand, argument, NULL};
    int pipes[2];
    text[0] = '\0';
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = spawn(this_binary, arguments, pipes[1], pipes[1]);
    close(pipes[1]);
    size_t filled = 0;
    uint64_t deadline_ns = deadline_after(timeout_ms);
    while (pid != 0) {
        struct pollfd waiting = {.fd = pipes[0], .events = POLLIN};
        char chunk[1024];
        int left = left_ms(deadline_ns);
        if (left == 0)
            break;
        if (poll(&waiting, 1, left) <= 0)
            continue;
        ssize_t got = read(pipes[0], chunk, sizeof chunk);
        if (got <= 0)
            break;
        size_t kept = (size_t)got < size - 1 - filled ? (size_t)got : size - 1 - filled;
        memcpy(text + filled, chunk, kept);
        filled += kept;
        text[filled] = '\0';
    }
    close(pipes[0]);
    int status = 0;
    if (pid == 0)
        return -1;
    if (!await_end(pid, deadline_ns, &status)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool scratch_create(char path[SCRATCH_PATH_SIZE], const char *parent, const char *prefix)
{
    int length = snprintf(path, SCRATCH_PATH_SIZE, "%s/%s-XXXXXX", parent, prefix);
    return length < SCRATCH_PATH_SIZE && mkdtemp(path) != NULL;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void scratch_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool cores_allowed(cpu_set_t *allowed)
{
    *allowed = cores_first;
    return is_pinned || sched_getaffinity(0, sizeof *allowed, allowed) == 0;
}

void cores_choose(int *first, int *second)
{
    cpu_set_t allowed;
    *first = *second = -1;
    if (!cores_allowed(&allowed))
        return;
    for (int core = 0; core < CPU_SETSIZE && *second < 0; core++) {
        if (CPU_ISSET((size_t)core, &allowed))
            *(*first < 0 ? first : second) = core;
    }
}

void core_pin(int core)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET((size_t)core, &only);
    if (!is_pinned)
        is_pinned = cores_allowed(&cores_first);
    sched_setaffinity(0, sizeof only, &only);
}

uint32_t core_count(void)
{
    cpu_set_t allowed;
    return cores_allowed(&allowed) ? (uint32_t)CPU_COUNT(&allowed) : 1;
}
