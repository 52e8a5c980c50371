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

#include "base/address.h"
#include "base/assert.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/listen.h"
#include "cli/memory_need.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "net/server.h"

enum { EXIT_AGAIN = -1 };

struct serve {
    struct serve_options typed;
    struct server_options options; /* what the server is made of, from what was typed */
    struct progress progress;
    struct listen listen;
    cpu_set_t cores;                      /* that this process had at its start */
    char listen_again[ADDRESS_TEXT_SIZE]; /* with the port that was chosen */
};

static void print_help(void)
{
    options_print_usage(stdout, &serve_table);
    printf("Serves a shop from memory, every change durable in the log of its data folder.\n"
           "Stops on SIGTERM or SIGINT after answering what it has received and taking a last\n"
           "snapshot, which a second signal skips.\n\n");
    options_print(stdout, &serve_table);
}

/* Splits a text that the parser of the options has already checked. */
static struct address address_of(const char *text)
{
    struct address address;
    bool is_address = address_split(&address, text);
    TILL_ASSERT(is_address);
    return address;
}

/* Without --insecure the server listens only where no other machine can connect. EXIT_OK, or the
 * exit code after a message. */
static int look_at_address(struct serve *serve)
{
    struct listen *listen = &serve->listen;
    const char *text = serve->typed.listen;
    serve->options.listen = text;
    const struct address address = address_of(text);
    listen_look(listen, &address);
    switch (listen->verdict) {
    case LISTEN_INSIDE:
        serve->options.listen = listen->address;
        return EXIT_OK;
    case LISTEN_UNKNOWN:
        fprintf(stderr, "till serve: --listen %s: %s\n", text, listen->error);
        return EXIT_FAILED;
    case LISTEN_OUTSIDE:
        break;
    }
    if (serve->typed.insecure) {
        fprintf(stderr,
                "till serve: --insecure: whoever can connect to %s may read and change the shop\n",
                listen->error);
        return EXIT_OK;
    }
    fprintf(stderr,
            "till serve: --listen %s is %s: whoever can connect could read and change the shop, as "
            "there are no users and no encryption yet; to allow that, give --insecure\n",
            text, listen->error);
    return EXIT_USAGE;
}

static void print_line(void *context, const char *line)
{
    (void)context;
    puts(line);
}

static void show_memory_taken(void *context, bool is_whole)
{
    (void)context;
    puts(is_whole ? "memory: all of it is taken" : "memory: not all of it could be taken");
    fflush(stdout);
}

static void print_start(const struct serve *serve, const struct server *server, const struct io *io)
{
    struct server_start start = server_start(server);
    const struct serve_options *typed = &serve->typed;
    const struct address address = address_of(serve->options.listen);
    char text[ADDRESS_TEXT_SIZE];
    if (!serve->typed.quiet) {
        printf("memory:\n");
        engine_print_memory(server_engine(server), print_line, NULL);
    }
    if (start.snapshot_memory_bytes > 0)
        printf("snapshots: %.1f MiB, most of it for what changes while one is written\n",
               mebibytes(start.snapshot_memory_bytes));
    printf("io: %s\n", io_describe(io));
    if (start.backup_seq > 0)
        printf("data: a complete backup up to seq %" PRIu64 "; from now on it is a data folder\n",
               start.backup_seq);
    if (start.snapshot_seq > 0)
        printf("data: snapshot of seq %" PRIu64 ", %.1f MiB of state in %.3f s%s\n",
               start.snapshot_seq, mebibytes(start.snapshot_bytes),
               (double)start.snapshot_us / (double)US_PER_SECOND,
               start.has_log ? "" : ", without a log after it");
    printf("data: %s, seq %" PRIu64 ", %" PRIu64 " commands in %" PRIu64
           " blocks replayed in %.3f s, epoch %" PRIu64 "\n",
           typed->data, start.seq, start.commands, start.blocks,
           (double)start.replay_us / (double)US_PER_SECOND, start.epoch);
    if (start.torn_bytes > 0)
        printf("data: cut %" PRIu64 " bytes behind seq %" PRIu64
               " that are no whole block: a write "
               "that was under way when the server died, or damage to its last ones\n",
               start.torn_bytes, start.seq);
    else if (!start.is_sealed)
        printf(
            "data: the log was not sealed: its server died while it was writing, or it was cut at "
            "a fork\n");
    if (typed->archive != NULL)
        printf("archive: %s, up to seq %" PRIu64 "\n", typed->archive, start.archive_seq);
    printf("listening on %s\n", address_join(address.host, start.port, text));
    fflush(stdout);
}

static bool has_core(const struct serve *serve)
{
    return serve->typed.core != OPTION_NOT_GIVEN;
}

/* Takes the core away from this thread, so that the helper threads, which inherit its cores, do not
 * use it; unless there is no other core. */
static void helpers_leave(const struct serve *serve, uint32_t core)
{
    cpu_set_t others = serve->cores;
    CPU_CLR(core, &others);
    if (CPU_COUNT(&others) > 0)
        (void)sched_setaffinity(0, sizeof others, &others);
}

/* Pins this thread, which runs the loop, to the core. */
static bool loop_pin(uint32_t core)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(core, &only);
    if (sched_setaffinity(0, sizeof only, &only) == 0)
        return true;
    fprintf(stderr, "till serve: --core %" PRIu32 ": this process may not use it: %s\n", core,
            strerror(errno));
    return false;
}

/* A server that begins anew listens where it did, and is what its folder says by now. */
static void prepare_again(struct serve *serve, const struct server *server)
{
    const struct address address = address_of(serve->options.listen);
    serve->options.listen =
        address_join(address.host, server_start(server).port, serve->listen_again);
    serve->options.replica_of = NULL;
    serve->options.accept_clock = false;
    serve->options.rewrite_log_note = false;
}

/* Runs an opened folder and loop; the exit code, or EXIT_AGAIN: it is to be run again, as a replica
 * does when it goes back or has fetched a snapshot. */
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
    while (go_on == 1)
        go_on = server_turn(server, UINT64_MAX);
    if (go_on < 0) {
        /* The kernel may still access memory for writes in flight, so nothing is freed. */
        fprintf(stderr, "till serve: %s\n", server_error(server));
        fflush(NULL);
        _exit(EXIT_FAILED);
    }
    if (go_on == 2)
        prepare_again(serve, server);
    else
        printf("stopped at seq %" PRIu64 "\n", engine_seq(server_engine(server)));
    server_destroy(server);
    return go_on == 2 ? EXIT_AGAIN : EXIT_OK;
}

/* What asks to stop waits for a loop that reads it (io_create), also between two loops, until this
 * process ends. */
static void hold_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

/* Makes the loop and runs the folder in it, as often as it is to begin anew. */
static int serve_loop(struct serve *serve, struct disk *disk)
{
    const struct serve_options *typed = &serve->typed;
    struct io_options io_options = server_io_options(&serve->options);
    char error[IO_ERROR_SIZE];
    int code = EXIT_AGAIN;
    hold_signals();
    while (code == EXIT_AGAIN) {
        code = EXIT_FAILED;
        if (has_core(serve))
            helpers_leave(serve, typed->core);
        struct io *io = io_create(&io_options, error);
        if (io == NULL)
            fprintf(stderr, "till serve: %s\n", error);
        else if (!has_core(serve) || loop_pin(typed->core))
            code = serve_run(serve, io, disk);
        if (io != NULL)
            io_destroy(io);
    }
    return code;
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
    const struct named_path data = {"the data folder", serve->typed.data};
    const struct named_path archive = {"the archive", serve->typed.archive};
    return archive.path == NULL || paths_are_apart("till serve", archive, data);
}

static int serve_open(struct serve *serve)
{
    const struct serve_options *typed = &serve->typed;
    struct disk *disk = NULL;
    int code = EXIT_FAILED;
    bool had_data = path_exists(typed->data);
    bool had_archive = typed->archive == NULL || path_exists(typed->archive);
    if (folders_are_apart(serve) && open_folder(typed->data, &disk) &&
        (typed->archive == NULL || open_folder(typed->archive, &serve->options.archive)) &&
        memory_suffices(&serve->options, ""))
        code = serve_loop(serve, disk);
    disk_close(serve->options.archive);
    disk_close(disk);
    if (!had_archive && code != EXIT_OK)
        path_forget(typed->archive);
    if (!had_data && code != EXIT_OK)
        path_forget(typed->data);
    return code;
}

/* The options as typed, converted to the server's units. */
static uint64_t retention_us(uint32_t seconds)
{
    return seconds != OPTION_NOT_GIVEN ? seconds * US_PER_SECOND : 0;
}

static struct server_options server_options_of(struct serve *serve)
{
    const struct serve_options *typed = &serve->typed;
    struct server_options options = server_options_default;
    options.engine = typed->capacities;
    options.connections_max = typed->connections;
    options.spin_us = typed->spin;
    options.output_chunks = typed->output_chunks;
    options.lazy_memory = typed->lazy_memory;
    options.wal_writes = typed->log_writes;
    options.wal_segment_size = (uint64_t)typed->log_segment << 20;
    options.rewrite_log_note = typed->rewrite_log_note;
    options.reads_ahead = true;
    options.snapshot_every_us = typed->snapshot_every * US_PER_SECOND;
    options.snapshot_log_bytes = typed->snapshot_log;
    options.snapshot_memory = typed->no_snapshots ? 0 : typed->snapshot_memory;
    options.snapshot_at_stop = true;
    options.retention = (struct engine_retention){
        .orders_us = retention_us(typed->retain_orders),
        .orders_max = typed->retain_orders_max == OPTION_NOT_GIVEN ? 0
                      : typed->retain_orders_max == 0              ? RETENTION_ANY
                                                                   : typed->retain_orders_max,
        .keys_us = retention_us(typed->retain_keys)};
    options.archive_keep_us = 24ULL * 3600 * US_PER_SECOND * typed->archive_days;
    options.archive_keep_bytes = (uint64_t)typed->archive_mib << 20;
    options.clock_bound_us = typed->clock_bound * US_PER_SECOND;
    options.accept_clock = typed->accept_clock;
    options.replica_of = typed->replica_of;
    options.name = typed->name;
    options.advertise = typed->advertise;
    options.acks = typed->acks;
    options.members = typed->members;
    options.acks_wait_us = typed->acks_wait_ms * 1000ULL;
    options.min_seq_wait_us = typed->min_seq_wait_ms * 1000ULL;
    options.replica_keep_bytes = (uint64_t)typed->replica_keep_mib << 20;
    options.progress = progress_log;
    options.checking = progress_backup;
    options.loading = progress_snapshot;
    options.fetching = progress_fetching;
    options.memory_taken = show_memory_taken;
    options.notice = progress_notice;
    options.context = &serve->progress;
    return options;
}

/* False after a message. */
static bool options_agree(const struct serve_options *typed)
{
    if (typed->name != NULL && strlen(typed->name) > NAME_SIZE) {
        fprintf(stderr, "till serve: --name %s: it has more than %d bytes\n", typed->name,
                NAME_SIZE);
        return false;
    }
    if (typed->members > 0 && typed->members <= typed->acks) {
        fprintf(stderr,
                "till serve: --members %" PRIu32 " counts this server too: with --acks %" PRIu32
                " there are at least %" PRIu32 "\n",
                typed->members, typed->acks, typed->acks + 1);
        return false;
    }
    return true;
}

/* The random numbers that a server needs. */
static bool draw(struct server_options *options)
{
    struct {
        uint64_t hash_seed;
        struct id shop;
        struct id member;
    } drawn;
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        return false;
    options->engine.hash_seed = drawn.hash_seed;
    options->shop_new = drawn.shop;
    options->member_new = drawn.member;
    return true;
}

int cli_serve(int argc, char **argv)
{
    struct serve serve = {.progress = {.command = "till serve", .log = "reading the log"}};
    int operands = options_parse(&serve_table, &serve.typed, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG || !options_agree(&serve.typed))
        return EXIT_USAGE;
    serve.options = server_options_of(&serve);
    int code = look_at_address(&serve);
    if (code != EXIT_OK)
        return code;
    if (sched_getaffinity(0, sizeof serve.cores, &serve.cores) != 0 || !draw(&serve.options)) {
        perror("till serve");
        return EXIT_FAILED;
    }
    /* Exceeding a limit on file sizes then fails the write, as a full disk does, instead of killing
     * the process. */
    signal(SIGXFSZ, SIG_IGN);
    /* The reader of stdout may close it, as `grep -m1` does; that must not kill the server. */
    signal(SIGPIPE, SIG_IGN);
    return serve_open(&serve);
}
