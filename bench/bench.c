/* `till bench`: how many orders a second, and how long each takes.
 *
 *   options -> workload -> [own server] -> set up the shop -> clients run -> audit -> report, plot
 *
 * A closed loop keeps every connection's window full; with --rate requests are due at fixed times,
 * and latency counts from then. After a warm-up the clocks, the server's processor time and the
 * histograms start at the same moment, and stop together. Every answer of the whole run is checked,
 * and the stock is added up in the end; any deviation fails the run.
 *
 * Without --connect the server is a child process on the real disk, pinned to the first core, with
 * capacities for all requests that the run can make. It allocates its memory when it starts, so the
 * bench refuses a run that needs more than is free. The child's folder is removed when it has
 * stopped. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/engine_only.h"
#include "bench/figures.h"
#include "bench/options.h"
#include "bench/plot.h"
#include "cli/cli.h"
#include "engine/tables.h"

#define NS_PER_SECOND 1000000000ULL

enum {
    START_TIMEOUT_MS = 120 * 1000,
    STOP_TIMEOUT_MS = 60 * 1000,

    /* Upper bounds of what a run can reach: higher than any measured server. */
    RATE_MAX = 7 * 1000 * 1000,
    ENGINE_RATE_MAX = 8 * 1000 * 1000, /* includes generating requests and checking answers */
    ANSWER_NS_MIN = 15 * 1000,         /* the shortest time from a request to its answer */
    MEMORY_PERCENT = 45, /* of the available memory may be used by the bench's own server */
    REQUESTS_MIN = 256 * 1024,

    ARGUMENT_SIZE = 2 + OPTION_NAME_SIZE,
};

struct bench {
    struct bench_options options;
    struct workload workload;
    struct workload_share *shares;
    struct clients clients;
    struct figures figures;
    struct child server;
    struct random random;
    int server_core;        /* -1: not pinned */
    int cores[CLIENTS_MAX]; /* of the clients */
    char audit[WORKLOAD_ERROR_SIZE];
};

static uint64_t warm_up_ns(const struct bench_options *options)
{
    if (options->warm_up != 0)
        return options->warm_up * NS_PER_SECOND;
    return options->seconds < 4 ? options->seconds * NS_PER_SECOND / 4 : NS_PER_SECOND;
}

/* An upper bound of the number of requests of the run. */
static uint64_t requests_max(const struct bench_options *options)
{
    uint64_t in_flight = (uint64_t)options->connections * options->in_flight;
    uint64_t rate = in_flight * NS_PER_SECOND / ANSWER_NS_MIN;
    rate = rate < RATE_MAX ? rate : RATE_MAX;
    if (options->engine_only)
        rate = ENGINE_RATE_MAX;
    else if (options->rate != 0)
        rate = options->rate;
    uint64_t warm_up = rate * warm_up_ns(options) / NS_PER_SECOND;
    uint64_t measured = options->count != 0 ? options->count : rate * options->seconds;
    return warm_up + measured;
}

static uint64_t engine_bytes(const struct engine_options *capacities, bool has_lists)
{
    char error[256];
    struct engine *engine = engine_create(capacities, error, sizeof error);
    uint64_t bytes = engine != NULL ? engine_memory_bytes(engine) : UINT64_MAX;
    if (engine != NULL && has_lists)
        bytes += engine_lists_bytes(capacities);
    if (engine != NULL)
        engine_destroy(engine);
    return bytes;
}

/* Chooses capacities for the whole run, or for as much of it as fits into the free memory. False
 * after a message when that is too little. */
static bool fit_capacities(struct bench *bench)
{
    struct figures *figures = &bench->figures;
    uint64_t wanted = requests_max(&bench->options), requests = wanted;
    uint64_t room = figures->machine.memory_bytes / 100 * MEMORY_PERCENT;
    for (;; requests = requests * 7 / 8) {
        figures->capacities = engine_options_default;
        workload_capacities(&bench->workload, requests, &figures->capacities);
        figures->memory_bytes = engine_bytes(&figures->capacities, bench->options.indexes);
        if (figures->memory_bytes <= room)
            break;
        if (requests < REQUESTS_MIN) {
            fprintf(stderr,
                    "till bench: the server's tables would take %" PRIu64 " MiB, and %" PRIu64
                    " MiB are available: fewer --customers, or less to measure\n",
                    figures->memory_bytes >> 20, figures->machine.memory_bytes >> 20);
            return false;
        }
    }
    if (requests < wanted)
        fprintf(stderr,
                "till bench: there is memory for %" PRIu64 " requests; a run that makes more "
                "ends early\n",
                requests);
    return true;
}

/* Connects a client and calls run with it as a shop; false after a message. */
static bool with_shop(struct bench *bench, const char *address,
                      bool (*run)(struct bench *bench, const struct shop *shop))
{
    struct client client;
    if (!client_open(&client, address, 0)) {
        fprintf(stderr, "till bench: %s: %s\n", address, client.error);
        return false;
    }
    const struct shop shop = shop_of_client(&client, &bench->random);
    bool done = run(bench, &shop) && shop_settle(&client);
    if (!done && client.error[0] != '\0')
        fprintf(stderr, "till bench: %s\n", client.error);
    client_close(&client);
    return done;
}

static bool set_up(struct bench *bench, const struct shop *shop)
{
    return workload_set_up(&bench->workload, shop);
}

/* Is the shop empty, so that the bench's orders can do no harm? False after a message that says
 * what it has. */
static bool is_new_shop(struct bench *bench, const struct shop *shop)
{
    const struct empty_body question = {0};
    struct {
        struct stats_reply_body stats;
        struct metric_body rows[METRIC_NUMBER_MAX];
    } reply;
    const struct stats_reply_body *stats = &reply.stats;
    if (!shop->look(shop->context, MESSAGE_stats, &question, sizeof question, &reply, sizeof reply))
        return false;
    uint64_t skus = stats_metric(stats, METRIC_skus);
    uint64_t stocks = stats_metric(stats, METRIC_stocks);
    uint64_t sales = stats_metric(stats, METRIC_sales);
    uint64_t customers = stats_metric(stats, METRIC_customers);
    uint64_t orders = stats_metric(stats, METRIC_orders);
    if ((skus | stocks | sales | customers | orders | stats_metric(stats, METRIC_payments)) == 0)
        return true;
    fprintf(stderr,
            "till bench: %s is a live shop: %" PRIu64 " orders, %" PRIu64 " SKUs with stock in "
            "%" PRIu64 " places, %" PRIu64 " customers, %" PRIu64
            " sales. A bench would sell from it "
            "and fill its tables permanently; to allow that, give --into-a-live-shop\n",
            bench->options.connect, orders, skus, stocks, customers, sales);
    return false;
}

static bool audit(struct bench *bench, const struct shop *shop)
{
    return workload_audit(&bench->workload, bench->shares, shop, bench->audit);
}

static bool init_shares(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    uint32_t connections = options->connections / options->clients + 1;
    bench->shares = calloc(options->clients, sizeof *bench->shares);
    bool whole = bench->shares != NULL;
    for (uint32_t i = 0; whole && i < options->clients; i++)
        whole = share_init(&bench->shares[i], &bench->workload, i, connections,
                           connections * options->in_flight);
    if (!whole)
        fprintf(stderr, "till bench: no memory for %u connections\n", options->connections);
    return whole;
}

static void deinit_shares(struct bench *bench)
{
    for (uint32_t i = 0; bench->shares != NULL && i < bench->options.clients; i++)
        share_deinit(&bench->shares[i]);
    free(bench->shares);
}

/* Prints the report and draws the plot; true when the run was complete and nothing was wrong. */
static bool report(struct bench *bench, bool whole)
{
    const struct clients *clients = &bench->clients;
    const struct bench_options *options = &bench->options;
    bench->figures.clients = clients;
    bench->figures.workload = &bench->workload;
    bench->figures.audit = bench->audit;
    if (options->json)
        figures_print_json(&bench->figures);
    else
        figures_print(&bench->figures);
    if (clients->error[0] != '\0')
        fprintf(stderr, "till bench: %s\n", clients->error);
    if (bench->audit[0] != '\0')
        fprintf(stderr, "till bench: %s\n", bench->audit);
    if (clients->ended != NULL)
        fprintf(stderr, "till bench: ended early, %s\n", clients->ended);
    bool drawn = options->plot == NULL || plot_write(options->plot, &bench->figures);
    if (!drawn)
        fprintf(stderr, "till bench: %s: %s\n", options->plot, strerror(errno));
    return whole && drawn && clients->wrong_answers == 0 && bench->audit[0] == '\0' &&
           clients->ended == NULL && !interrupted;
}

static bool run_clients(struct bench *bench, const char *text, const struct load_address *address)
{
    const struct bench_options *options = &bench->options;
    const struct clients_options clients_options = {
        .threads = options->clients,
        .connections = options->connections,
        .in_flight = options->in_flight,
        .rate = options->rate,
        .warm_up_ns = warm_up_ns(options),
        .measure_ns = (options->count != 0 ? BENCH_SECONDS_MAX : options->seconds) * NS_PER_SECOND,
        .count = options->count,
        .cores = bench->server_core >= 0 ? bench->cores : NULL,
        .live = isatty(STDERR_FILENO) && !options->json,
    };
    bool good = clients_init(&bench->clients, &clients_options, address, bench->shares);
    if (good) {
        bool whole = clients_run(&bench->clients, &bench->server);
        if (whole && !interrupted && !with_shop(bench, text, audit) && bench->audit[0] == '\0')
            whole = false;
        good = report(bench, whole);
    } else {
        fprintf(stderr, "till bench: %s: %s\n", text, bench->clients.error);
    }
    clients_deinit(&bench->clients);
    return good;
}

/* Runs the bench against a server that is listening already; the exit code. */
static int bench_server(struct bench *bench, const char *text)
{
    struct load_address address;
    if (!load_address_read(&address, text)) {
        fprintf(stderr, "till bench: %s: the host is not known\n", text);
        return EXIT_FAILED;
    }
    if (!bench->options.allow_remote && !load_address_is_loopback(&address)) {
        fprintf(stderr,
                "till bench: %s is another machine, which a bench would load completely; to "
                "allow that, give --allow-remote\n",
                text);
        return EXIT_USAGE;
    }
    if (bench->options.connect != NULL && !bench->options.into_a_live_shop &&
        !with_shop(bench, text, is_new_shop))
        return EXIT_FAILED;
    bool good =
        with_shop(bench, text, set_up) && init_shares(bench) && run_clients(bench, text, &address);
    deinit_shares(bench);
    return good ? EXIT_OK : EXIT_FAILED;
}

/* The server gets the first core, the client threads the others in turn; with a single core,
 * nothing is pinned. */
static void choose_cores(struct bench *bench)
{
    cpu_set_t allowed;
    int others[CPU_SETSIZE];
    uint32_t count = 0;
    bench->server_core = -1;
    if (bench->options.unpinned || core_count() < 2 ||
        sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET((size_t)core, &allowed))
            continue;
        if (bench->server_core < 0)
            bench->server_core = core;
        else
            others[count++] = core;
    }
    for (uint32_t i = 0; i < bench->options.clients; i++)
        bench->cores[i] = others[i % count];
    bench->figures.pinned = true;
}

/* The capacities as options of `till serve`; returns how many texts there are. */
static uint32_t capacity_arguments(const struct engine_options *capacities,
                                   char texts[2 * CAPACITY_COUNT][ARGUMENT_SIZE])
{
    char name[OPTION_NAME_SIZE];
    size_t count = 0;
    const struct capacity_info *infos = capacity_infos(&count);
    for (size_t i = 0; i < count; i++) {
        uint32_t value;
        memcpy(&value, (const uint8_t *)capacities + infos[i].offset, sizeof value);
        snprintf(texts[2 * i], ARGUMENT_SIZE, "--%s", option_spell(infos[i].name, name));
        snprintf(texts[2 * i + 1], ARGUMENT_SIZE, "%u", value);
    }
    return (uint32_t)(2 * count);
}

/* Starts a server with room for the run and runs the bench against it. */
static int bench_child(struct bench *bench, const char *scratch)
{
    char data[SCRATCH_PATH_SIZE + 8], log[SCRATCH_PATH_SIZE + 16], error[CHILD_ERROR_SIZE] = "";
    char connections[24], texts[2 * CAPACITY_COUNT][ARGUMENT_SIZE];
    char snapshot_log[24];
    const char *arguments[2 * CAPACITY_COUNT + 7] = {
        "--indexes", bench->options.indexes ? "on" : "off", "--connections", connections,
        "--no-snapshots"};
    uint32_t own = 5;
    if (bench->options.snapshot_log > 0) {
        snprintf(snapshot_log, sizeof snapshot_log, "%u", bench->options.snapshot_log);
        arguments[4] = "--snapshot-log";
        arguments[own++] = snapshot_log;
    }
    uint32_t count = capacity_arguments(&bench->figures.capacities, texts);
    for (uint32_t i = 0; i < count; i++)
        arguments[own + i] = texts[i];
    snprintf(data, sizeof data, "%s/data", scratch);
    snprintf(log, sizeof log, "%s/server.log", scratch);
    snprintf(connections, sizeof connections, "%u", bench->options.connections + 64);
    const struct child_options options = {
        .folder = data,
        .log = log,
        .arguments = arguments,
        .core = bench->server_core,
        .awaits_memory = true,
        .timeout_ms = START_TIMEOUT_MS,
    };
    int code = EXIT_FAILED;
    if (bench->server_core >= 0)
        core_pin(bench->cores[0]);
    if (child_serve(&bench->server, &options, error)) {
        code = bench_server(bench, bench->server.address);
        if (!child_stop(&bench->server, STOP_TIMEOUT_MS, error))
            code = EXIT_FAILED;
        else
            error[0] = '\0';
    }
    if (error[0] != '\0')
        fprintf(stderr, "till bench: %s\n", error);
    return code;
}

/* Runs the bench against a server of its own, in a folder that is removed afterwards. */
static int bench_own_server(struct bench *bench)
{
    char scratch[SCRATCH_PATH_SIZE];
    if (!scratch_create(scratch, bench->options.folder, "till-bench")) {
        fprintf(stderr, "till bench: no folder in %s: %s\n", bench->options.folder,
                strerror(errno));
        return EXIT_FAILED;
    }
    machine_look(&bench->figures.machine, scratch);
    bench->figures.own_server = true;
    choose_cores(bench);
    int code = fit_capacities(bench) ? bench_child(bench, scratch) : EXIT_FAILED;
    scratch_remove(scratch);
    return code;
}

static int bench_engine(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    machine_look(&bench->figures.machine, NULL);
    if (!fit_capacities(bench))
        return EXIT_FAILED;
    const struct engine_run_options run = {
        .seconds = options->seconds,
        .count = options->count,
        .json = options->json,
        .stages = options->stages,
        .indexes = options->indexes,
        .capacities = bench->figures.capacities,
    };
    return engine_only(&bench->workload, &run, &bench->figures.machine);
}

static int bench_run(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    char error[WORKLOAD_ERROR_SIZE];
    const struct workload_options workload_options = {
        .name = options->workload,
        .skus = options->skus,
        .customers = options->customers,
        .lines = options->lines,
        .shares = options->engine_only ? 1 : options->clients,
        .requests = requests_max(options),
    };
    if (!workload_init(&bench->workload, &workload_options, error)) {
        fprintf(stderr, "till bench: %s\n", error);
        return EXIT_USAGE;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    bench->random.state = random_seed();
    bench->server_core = -1;
    interrupt_catch();
    int code;
    if (options->engine_only) {
        code = bench_engine(bench);
    } else if (options->connect != NULL) {
        machine_look(&bench->figures.machine, options->folder);
        code = bench_server(bench, options->connect);
    } else {
        code = bench_own_server(bench);
    }
    workload_deinit(&bench->workload);
    return code;
}

/* Checks combinations of options; false after a message. */
static bool options_agree(const struct bench_options *options)
{
    const char *wrong = NULL;
    if (options->clients > options->connections)
        wrong = "there are more --clients than --connections";
    else if (options->engine_only && (options->connect != NULL || options->plot != NULL))
        wrong = "--engine-only has no --connect and no --plot";
    else if (options->indexes && options->connect != NULL)
        wrong = "--indexes needs a server that the bench starts";
    else if (options->stages && !options->engine_only)
        wrong = "--stages needs --engine-only";
    else if ((options->allow_remote || options->into_a_live_shop) && options->connect == NULL)
        wrong = "--allow-remote and --into-a-live-shop belong to --connect";
    if (wrong != NULL)
        fprintf(stderr, "till bench: %s\n", wrong);
    return wrong == NULL;
}

int cli_bench(int argc, char **argv)
{
    static struct bench memory;
    int operands = options_parse(&bench_table, &memory.options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &bench_table);
        printf("Measures orders per second and latency, and checks every answer.\n\n");
        options_print(stdout, &bench_table);
        printf("\nworkloads:\n");
        workload_print(stdout);
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG || !options_agree(&memory.options))
        return EXIT_USAGE;
    return bench_run(&memory);
}
