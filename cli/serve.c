/* `till serve`: opens the data folder, recovers its log, listens, and runs the loop until it is
 * asked to stop or must not go on. Says on stdout what it allocates, what it found and where it
 * listens; the line `listening on ADDR:PORT` is a promise to scripts. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/capacity.h"
#include "cli/cli.h"
#include "cli/listen.h"
#include "cli/memory_need.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "net/server.h"

struct serve {
    struct server_options options;
    const char *data;
    const char *core; /* NULL: any */
    int core_number;
    uint32_t segment_mib;
    uint32_t snapshot_every_s;
    uint32_t snapshot_log;
    uint32_t snapshot_memory;
    bool no_snapshots;
    const char *archive; /* NULL: none */
    uint32_t archive_days;
    uint32_t archive_mib;
    uint32_t clock_bound_s;
    struct progress progress;
    struct listen listen;
    bool insecure;
    bool quiet;
};

enum { ARCHIVE_DAYS_MAX = 100 * 365 };
enum { OWN_ROWS_MAX = 32, SERVE_ROWS_MAX = OWN_ROWS_MAX + CAPACITY_COUNT };

static size_t serve_rows(struct serve *serve, struct option_row rows[SERVE_ROWS_MAX])
{
    struct server_options *options = &serve->options;
    const struct option_row own[] = {
        {"data", OPTION_TEXT, &serve->data, "DIR", "the data folder, made when it is not there"},
        {"core", OPTION_TEXT, &serve->core, "N",
         "keep the loop, which decides everything, on this core, and the helper threads on others"},
        {"quiet", OPTION_FLAG, &serve->quiet, NULL, "do not print the memory table"},

        {"Network", OPTION_HEADING},
        {"listen", OPTION_TEXT, &options->listen, "ADDR:PORT",
         "where clients connect; [ADDR]:PORT for IPv6, port 0 for a free one"},
        {"insecure", OPTION_FLAG, &serve->insecure, NULL,
         "let other machines connect: whoever does may read and change everything, as there are no "
         "users and no encryption yet"},
        {"connections", OPTION_COUNT, &options->connections_max, "N", "at once, at most", 1,
         CONNECTIONS_MAX},
        {"spin", OPTION_AMOUNT, &options->spin_us, "US",
         "microseconds of looking again before sleeping, so that few clients wait less; 0: none", 0,
         US_PER_SECOND},

        {"Memory", OPTION_HEADING},
        {"output_chunks", OPTION_COUNT, &options->output_chunks, "N",
         "32 KiB pieces of memory for replies, shared by all connections", 16, 1u << 20},
        {"lazy_memory", OPTION_FLAG, &options->lazy_memory, NULL,
         "take memory only when it is first used: slower orders, a smaller process"},

        {"Durability (the log)", OPTION_HEADING},
        {"log_writes", OPTION_COUNT, &options->wal_writes, "N",
         "blocks of the log under way to the disk at once", 1, WAL_WRITES_MAX},
        {"log_segment", OPTION_COUNT, &serve->segment_mib, "MIB", "size of a segment of the log", 4,
         1024},
        {"rewrite_log_note", OPTION_FLAG, &options->rewrite_log_note, NULL,
         "when log-note.till is lost: make it anew, and take the log to be whole as it is"},

        {"Snapshots", OPTION_HEADING},
        {"snapshot_every", OPTION_AMOUNT, &serve->snapshot_every_s, "SECONDS",
         "between two snapshots; 0: not by time"},
        {"snapshot_log", OPTION_AMOUNT, &serve->snapshot_log, "BYTES",
         "of log after which a snapshot is taken earlier; 0: not by its size"},
        {"snapshot_memory", OPTION_COUNT, &serve->snapshot_memory, "BYTES",
         "for what changes while a snapshot is written", 1u << 20},
        {"no_snapshots", OPTION_FLAG, &serve->no_snapshots, NULL,
         "take none, at the stop neither: the log is kept whole and read whole"},

        {"Archive", OPTION_HEADING},
        {"archive", OPTION_TEXT, &serve->archive, "DIR",
         "keep the log there, for restoring to any moment; without it, old log is written over"},
        {"archive_days", OPTION_AMOUNT, &serve->archive_days, "N",
         "remove archived log that is older; 0: at no age", 0, ARCHIVE_DAYS_MAX},
        {"archive_mib", OPTION_AMOUNT, &serve->archive_mib, "N",
         "remove the oldest archived log while there is more; 0: at no size"},

        {"Time", OPTION_HEADING},
        {"clock_bound", OPTION_COUNT, &serve->clock_bound_s, "SECONDS",
         "a wall clock that is further off from one moment to the next is not followed", 1,
         CLOCK_SILENCE_US / US_PER_SECOND},
        {"accept_clock", OPTION_FLAG, &options->accept_clock, NULL,
         "for this start: the wall clock is right, though it jumped or is far from the log's time"},

        {"How many of each there is room for, memory too (suffixes k, m, g; a CAPACITY answer\n"
         "carries the number of the table, the first of these being 1)",
         OPTION_HEADING},
    };
    static_assert(sizeof own / sizeof own[0] <= OWN_ROWS_MAX, "there is room for the rows");
    memcpy(rows, own, sizeof own);
    capacity_rows(&options->engine, rows + sizeof own / sizeof own[0]);
    return sizeof own / sizeof own[0] + CAPACITY_COUNT;
}

static void print_help(const struct option_row *rows, size_t row_count)
{
    printf("usage: till serve [options]\n\n"
           "Serves a shop from memory, every change durable in the log of its data folder.\n"
           "Stops on SIGTERM or SIGINT after answering what it has received and taking a last\n"
           "snapshot, which a second signal skips.\n\n");
    options_print(stdout, rows, row_count);
}

/* Only what stays on this machine is listened to without --insecure; EXIT_OK, or the exit code
 * after a message. */
static int look_at_address(struct serve *serve)
{
    struct listen *listen = &serve->listen;
    const char *text = serve->options.listen;
    listen_look(listen, text);
    switch (listen->verdict) {
    case LISTEN_INSIDE:
        serve->options.listen = listen->address;
        return EXIT_OK;
    case LISTEN_WRONG:
        fprintf(stderr, "till serve: --listen '%s' is not ADDR:PORT\n", text);
        return EXIT_USAGE;
    case LISTEN_UNKNOWN:
        fprintf(stderr, "till serve: --listen %s: %s\n", text, listen->error);
        return EXIT_FAILED;
    case LISTEN_OUTSIDE:
        break;
    }
    if (serve->insecure) {
        fprintf(stderr, "till serve: --insecure: whoever reaches %s may read and change the shop\n",
                listen->error);
        return EXIT_OK;
    }
    fprintf(stderr,
            "till serve: --listen %s is %s: whoever reaches it could read and change the shop, as "
            "there are no users and no encryption yet; --insecure if that is meant\n",
            text, listen->error);
    return EXIT_USAGE;
}

static void print_line(void *context, const char *line)
{
    (void)context;
    puts(line);
}

static void show_progress(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    struct serve *serve = context;
    progress_show(&serve->progress, "reading the log", bytes_read, bytes_total);
}

static void show_checking(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    struct serve *serve = context;
    progress_show(&serve->progress, "checking the backup", bytes_read, bytes_total);
}

static void show_loading(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    struct serve *serve = context;
    progress_show(&serve->progress, "reading the snapshot", bytes_read, bytes_total);
}

static void show_memory_taken(void *context, bool is_whole)
{
    (void)context;
    puts(is_whole ? "memory: all of it is taken" : "memory: not all of it could be taken");
    fflush(stdout);
}

static void show_notice(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "till serve: %s\n", text);
}

static void print_start(const struct serve *serve, const struct server *server, const struct io *io)
{
    struct server_start start = server_start(server);
    const char *colon = strrchr(serve->options.listen, ':');
    if (!serve->quiet) {
        printf("memory:\n");
        engine_print_memory(server_engine(server), print_line, NULL);
    }
    if (start.snapshot_memory_bytes > 0)
        printf("snapshots: %.1f MiB, most of it for what changes while one is written\n",
               (double)start.snapshot_memory_bytes / (1 << 20));
    printf("io: %s\n", io_describe(io));
    if (start.backup_seq > 0)
        printf("data: a whole backup up to seq %" PRIu64 "; from now on it is a data folder\n",
               start.backup_seq);
    if (start.snapshot_seq > 0)
        printf("data: snapshot of seq %" PRIu64 ", %.1f MiB of state in %.3f s%s\n",
               start.snapshot_seq, (double)start.snapshot_bytes / (1 << 20),
               (double)start.snapshot_us / (double)US_PER_SECOND,
               start.has_log ? "" : ", without a log after it");
    printf("data: %s, seq %" PRIu64 ", %" PRIu64 " commands in %" PRIu64
           " blocks replayed in %.3f s, epoch %" PRIu64 "\n",
           serve->data, start.seq, start.commands, start.blocks,
           (double)start.replay_us / (double)US_PER_SECOND, start.epoch);
    if (start.torn_bytes > 0)
        printf("data: cut %" PRIu64 " bytes behind seq %" PRIu64
               " that are no whole block: a write "
               "that was under way when the server died, or damage to its last ones\n",
               start.torn_bytes, start.seq);
    else if (!start.is_sealed)
        printf("data: the log was not sealed: its server died while it was writing\n");
    if (serve->archive != NULL)
        printf("archive: %s, up to seq %" PRIu64 "\n", serve->archive, start.archive_seq);
    printf("listening on %.*s:%u\n", (int)(colon - serve->options.listen), serve->options.listen,
           start.port);
    fflush(stdout);
}

static bool core_read(const char *text, int *core)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *core = number < CPU_SETSIZE ? (int)number : CPU_SETSIZE;
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && *core < CPU_SETSIZE)
        return true;
    fprintf(stderr, "till serve: --core '%s' is not a number from 0 to %d\n", text,
            CPU_SETSIZE - 1);
    return false;
}

/* The helper threads, which are started next, leave the loop's core to it, if they have another. */
static void helpers_leave(int core)
{
    cpu_set_t others;
    if (sched_getaffinity(0, sizeof others, &others) != 0)
        return;
    CPU_CLR((size_t)core, &others);
    if (CPU_COUNT(&others) > 0)
        (void)sched_setaffinity(0, sizeof others, &others);
}

/* The thread of the loop stays on its core from now on. */
static bool loop_pin(int core)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET((size_t)core, &only);
    if (sched_setaffinity(0, sizeof only, &only) == 0)
        return true;
    fprintf(stderr, "till serve: --core %d: this process may not use such a core: %s\n", core,
            strerror(errno));
    return false;
}

/* Runs an opened folder and loop; the exit code. */
static int serve_run(struct serve *serve, struct io *io, struct disk *disk)
{
    char error[SERVER_ERROR_SIZE];
    struct server *server = server_create(&serve->options, io, disk, error, sizeof error);
    progress_end(&serve->progress);
    if (server == NULL) {
        fprintf(stderr, "till serve: %s\n", error);
        return EXIT_FAILED;
    }
    print_start(serve, server, io);
    int go_on = 1;
    while (go_on > 0)
        go_on = server_turn(server, UINT64_MAX);
    if (go_on < 0) {
        /* Writes may be under way to memory that must stay: the process ends as it is. */
        fprintf(stderr, "till serve: %s\n", server_error(server));
        fflush(NULL);
        _exit(EXIT_FAILED);
    }
    printf("stopped at seq %" PRIu64 "\n", engine_seq(server_engine(server)));
    server_destroy(server);
    return EXIT_OK;
}

static bool open_folder(const char *path, struct disk **disk)
{
    int opened = disk_open(disk, path, DISK_WRITE);
    if (opened != 0)
        fprintf(stderr, "till serve: %s: %s\n", path,
                opened == -EWOULDBLOCK ? "another till serves this folder"
                : opened == -ENOLCK    ? "its file system cannot lock a folder"
                                       : strerror(-opened));
    return opened == 0;
}

static bool folders_are_apart(const struct serve *serve)
{
    const struct named_path data = {"the data folder", serve->data};
    const struct named_path archive = {"the archive", serve->archive};
    return serve->archive == NULL || paths_are_apart("till serve", archive, data);
}

static int serve_open(struct serve *serve)
{
    char error[IO_ERROR_SIZE];
    struct io_options io_options = server_io_options(&serve->options);
    struct disk *disk = NULL;
    struct io *io = NULL;
    int code = EXIT_FAILED;
    bool had_data = path_exists(serve->data);
    bool had_archive = serve->archive == NULL || path_exists(serve->archive);
    if (folders_are_apart(serve) && open_folder(serve->data, &disk) &&
        (serve->archive == NULL || open_folder(serve->archive, &serve->options.archive)) &&
        memory_suffices(&serve->options, "")) {
        if (serve->core != NULL)
            helpers_leave(serve->core_number);
        io = io_create(&io_options, error);
        if (io == NULL)
            fprintf(stderr, "till serve: %s\n", error);
        else if (serve->core == NULL || loop_pin(serve->core_number))
            code = serve_run(serve, io, disk);
    }
    if (io != NULL)
        io_destroy(io);
    disk_close(serve->options.archive);
    disk_close(disk);
    if (!had_archive && code != EXIT_OK)
        path_forget(serve->archive);
    if (!had_data && code != EXIT_OK)
        path_forget(serve->data);
    return code;
}

int cli_serve(int argc, char **argv)
{
    struct serve serve = {.options = server_options_default,
                          .data = "till-data",
                          .segment_mib = 64,
                          .snapshot_every_s = 300,
                          .snapshot_log = 1u << 30,
                          .snapshot_memory = 64u << 20,
                          .archive_mib = 64u << 10,
                          .clock_bound_s = CLOCK_BOUND_US / US_PER_SECOND};
    struct option_row rows[SERVE_ROWS_MAX];
    serve.options.engine = engine_options_default;
    serve.options.wal_writes = WAL_WRITES_DEFAULT;
    size_t row_count = serve_rows(&serve, rows);
    int operands = options_parse(argc, argv, rows, row_count);
    if (operands == OPTIONS_HELP) {
        print_help(rows, row_count);
        return EXIT_OK;
    }
    if (operands > 0)
        fprintf(stderr, "till serve: '%s' is not expected; see till serve --help\n", argv[1]);
    if (operands != 0)
        return EXIT_USAGE;
    if (serve.core != NULL && !core_read(serve.core, &serve.core_number))
        return EXIT_USAGE;
    int code = look_at_address(&serve);
    if (code != EXIT_OK)
        return code;
    if (getrandom(&serve.options.engine.hash_seed, sizeof(uint64_t), 0) != sizeof(uint64_t)) {
        perror("till serve: getrandom");
        return EXIT_FAILED;
    }
    /* A limit on file sizes is then an error of the write, like a full disk, not a death. */
    signal(SIGXFSZ, SIG_IGN);
    /* Whoever reads what is printed may go, as `grep -m1` does: no reason to stop a shop. */
    signal(SIGPIPE, SIG_IGN);
    serve.options.wal_segment_size = (uint64_t)serve.segment_mib << 20;
    serve.options.snapshot_memory = serve.no_snapshots ? 0 : serve.snapshot_memory;
    serve.options.snapshot_every_us = serve.snapshot_every_s * US_PER_SECOND;
    serve.options.snapshot_log_bytes = serve.snapshot_log;
    serve.options.snapshot_at_stop = true;
    serve.options.archive_keep_us = 24ULL * 3600 * US_PER_SECOND * serve.archive_days;
    serve.options.clock_bound_us = serve.clock_bound_s * US_PER_SECOND;
    serve.options.archive_keep_bytes = (uint64_t)serve.archive_mib << 20;
    serve.options.checking = show_checking;
    serve.options.loading = show_loading;
    serve.options.memory_taken = show_memory_taken;
    serve.options.notice = show_notice;
    serve.options.progress = show_progress;
    serve.options.context = &serve;
    return serve_open(&serve);
}
