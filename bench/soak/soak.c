/* The soak: honest clients at a quarter of the load that a server can take, and beside them each
 * kind of hostile client in turn.
 *
 *   server -> goods -> maximum load -> calm, kind, calm, kind, ..., calm -> table or JSON
 *
 * It starts a server of its own in a folder that goes afterwards. The server's loop has one core;
 * the clients, and the server's helper threads, have the others. Between two kinds there is a calm
 * phase, which the percentiles of both are compared with: what a machine can do changes in half an
 * hour.
 *
 * A run fails when the server ends, when an honest request or hello is not answered or answered
 * wrongly, or when no honest request, or a hello, is answered for --stall-ms milliseconds. With
 * --strict it also fails when a kind's p99 is more than twice that of the calm around it, which
 * says something on a machine that does nothing else. A server that has ended is started again, so
 * that one run tells about all kinds. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/machine.h"
#include "bench/options.h"
#include "bench/soak/goods.h"
#include "bench/soak/honest.h"
#include "bench/soak/hostile.h"
#include "cli/cli.h"
#include "cli/units.h"

#define NS_PER_SECOND 1000000000ULL
#define NS_PER_MS     1000000ULL

enum {
    SHARE = 4, /* honest load: the measured maximum divided by this */
    PHASES_MAX = 2 * HOSTILE_KIND_COUNT + 1,
    KIND_PARTS = 2, /* a hostile phase is this many times as long as a calm one */
    MEASURE_MS_MIN = 500,
    MEASURE_MS_MAX = 5000,
    SETTLE_MS = 300, /* pause, for the server to finish what a phase left behind */
    START_TIMEOUT_MS = 120 * 1000,
    STOP_TIMEOUT_MS = 60 * 1000,
    TIMER_SLACK_NS = 1000,
    P99_TIMES_MAX = 2,
    ORDERS_A_SECOND = 40 * 1000,
    ORDERS_MIN = 1 << 20,
    ORDERS_MAX = 16 << 20,
    TEXT_SIZE = 512,
    FAILURES_MAX = 64,
};

struct phase {
    const struct hostile_kind *kind; /* NULL: calm */
    struct honest_figures honest;
    struct hostile_figures hostile;
    double p99_times;         /* of the calm around it */
    double server_cpu;        /* processor time of all server threads / duration */
    double server_wait;       /* time the server's loop was ready without a core / duration */
    double client_wait;       /* the same of the honest clients */
    char end[CHILD_END_SIZE]; /* how the server ended; empty: it did not */
};

struct soak {
    struct soak_options options;
    struct child server;
    struct child_options server_options;
    struct honest honest;
    struct hostile hostile;
    struct phase phases[PHASES_MAX];
    uint32_t phase_count;
    double rate_max; /* measured; 0: it was not */
    double rate;
    int server_core; /* -1: any */
    int hostile_core;
    char tail[CHILD_TAIL_SIZE]; /* of the log of the first server that ended */
    char failures[FAILURES_MAX][TEXT_SIZE];
    uint32_t failure_count;
};

__attribute__((format(printf, 2, 3))) static void fail(struct soak *soak, const char *format, ...)
{
    va_list arguments;
    if (soak->failure_count == FAILURES_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(soak->failures[soak->failure_count++], TEXT_SIZE, format, arguments);
    va_end(arguments);
}

static const char *phase_name(const struct phase *phase)
{
    return phase->kind != NULL ? phase->kind->name : "calm";
}

static void pause_ms(uint32_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* The plan. */

/* Is the name in the list a,b,c? */
static bool is_listed(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *item = list; item != NULL; item = strchr(item, ',')) {
        item += *item == ',';
        if (strncmp(item, name, size) == 0 && (item[size] == ',' || item[size] == '\0'))
            return true;
    }
    return false;
}

/* Every item of the list must be the name of a kind. */
static bool list_is_valid(const char *list)
{
    uint32_t items = 1, known = 0;
    for (const char *c = list; *c != '\0'; c++)
        items += *c == ',';
    for (uint32_t i = 0; i < HOSTILE_KIND_COUNT; i++)
        known += is_listed(list, hostile_kinds[i].name);
    if (items == known)
        return true;
    fprintf(stderr, "soak: --kinds %s: one is unknown or there twice; see soak --help\n", list);
    return false;
}

static void plan(struct soak *soak)
{
    for (uint32_t i = 0; i < HOSTILE_KIND_COUNT; i++) {
        const struct hostile_kind *kind = &hostile_kinds[i];
        if (soak->options.kinds != NULL && !is_listed(soak->options.kinds, kind->name))
            continue;
        soak->phase_count++;
        soak->phases[soak->phase_count++].kind = kind;
    }
    soak->phase_count++;
}

static uint64_t phase_ns(const struct soak *soak, const struct phase *phase)
{
    uint32_t kinds = soak->phase_count / 2;
    uint64_t parts = kinds * KIND_PARTS + kinds + 1;
    uint64_t part_ns = soak->options.seconds * NS_PER_SECOND / parts;
    return phase->kind != NULL ? KIND_PARTS * part_ns : part_ns;
}

/* The server. */

static uint32_t orders_max(const struct soak *soak)
{
    uint64_t orders = (uint64_t)soak->options.seconds * ORDERS_A_SECOND;
    orders = orders > ORDERS_MIN ? orders : ORDERS_MIN;
    return orders < ORDERS_MAX ? (uint32_t)orders : ORDERS_MAX;
}

/* One core for the server, one for the honest clients, and a third for the hostile ones where there
 * is one. The server's is the second, which serves the disk's interrupts on the machines that this
 * was written on: on the clients' core, what completes a write of the log waited behind hostile
 * work for up to half a second, and the server with it. */
static void choose_cores(struct soak *soak)
{
    int clients;
    cpu_set_t allowed;
    cores_choose(&clients, &soak->server_core);
    if (soak->server_core < 0)
        clients = -1;
    soak->hostile_core = clients;
    if (clients < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int core = CPU_SETSIZE - 1; core > soak->server_core; core--) {
        if (CPU_ISSET((size_t)core, &allowed))
            soak->hostile_core = core;
    }
    core_pin(clients);
}

static bool start_server(struct soak *soak)
{
    char error[CHILD_ERROR_SIZE];
    if (!child_serve(&soak->server, &soak->server_options, error)) {
        fail(soak, "%.*s", TEXT_SIZE - 1, error);
        return false;
    }
    return true;
}

static bool put_goods(struct soak *soak)
{
    struct client client;
    bool done = client_open(&client, soak->server.address, false);
    if (done) {
        const struct shop shop = shop_of_client(&client, &soak->honest.random);
        done = goods_put(&shop) && shop_settle(&client);
        client_close(&client);
    }
    if (!done)
        fail(soak, "the shop cannot be set up: %s", client.error);
    return done;
}

/* Phases. */

/* If the server ended during a phase, starts it again; if its connections did, opens them again.
 * False after a failure. */
static bool recover(struct soak *soak, struct phase *phase)
{
    if (!child_alive(&soak->server)) {
        child_reap(&soak->server, phase->end);
        if (soak->tail[0] == '\0')
            child_log_tail(soak->server_options.log, soak->tail);
        if (!start_server(soak))
            return false;
    } else if (phase->honest.unanswered == 0) {
        return true;
    }
    if (honest_connect(&soak->honest, soak->server.address))
        return true;
    fail(soak, "honest clients cannot connect after %s: %s", phase_name(phase),
         soak->honest.load.error);
    return false;
}

static bool run_phase(struct soak *soak, struct phase *phase)
{
    bool is_hostile = phase->kind != NULL;
    if (is_hostile &&
        !hostile_start(&soak->hostile, phase->kind, &soak->honest.address, soak->hostile_core)) {
        fail(soak, "%s cannot be started: %s", phase->kind->name, strerror(errno));
        return false;
    }
    uint64_t begun_ns = load_clock_ns(), cpu_ns = child_cpu_ns(&soak->server);
    uint64_t server_ns = machine_wait_ns(soak->server.pid), client_ns = machine_wait_ns(0);
    honest_run(&soak->honest, soak->rate, phase_ns(soak, phase), &phase->honest);
    double length_ns = (double)(load_clock_ns() - begun_ns);
    phase->client_wait = (double)(machine_wait_ns(0) - client_ns) / length_ns;
    if (child_alive(&soak->server)) {
        phase->server_cpu = (double)(child_cpu_ns(&soak->server) - cpu_ns) / length_ns;
        phase->server_wait = (double)(machine_wait_ns(soak->server.pid) - server_ns) / length_ns;
    }
    if (is_hostile) {
        hostile_stop(&soak->hostile);
        phase->hostile = soak->hostile.figures;
        pause_ms(SETTLE_MS);
    }
    return recover(soak, phase);
}

static bool run_phases(struct soak *soak)
{
    const struct soak_options *options = &soak->options;
    uint64_t measure_ms = options->seconds * 1000 / 20;
    measure_ms = measure_ms < MEASURE_MS_MIN   ? MEASURE_MS_MIN
                 : measure_ms > MEASURE_MS_MAX ? MEASURE_MS_MAX
                                               : measure_ms;
    soak->rate_max = honest_measure(&soak->honest, soak->server.address, measure_ms * NS_PER_MS,
                                    options->seconds, 1.0 / SHARE);
    if (soak->rate_max <= 0) {
        fail(soak, "the maximum load cannot be measured: %s", soak->honest.load.error);
        return false;
    }
    soak->rate = options->rate > 0 ? options->rate : soak->rate_max / SHARE;
    pause_ms(SETTLE_MS);
    for (uint32_t i = 0; i < soak->phase_count; i++) {
        fprintf(stderr, options->json ? "%s\n" : "\r%s\033[K", phase_name(&soak->phases[i]));
        if (!run_phase(soak, &soak->phases[i]) || interrupted) {
            soak->phase_count = i + 1;
            break;
        }
    }
    if (!options->json)
        fprintf(stderr, "\r\033[K");
    return !interrupted;
}

static bool run_server(struct soak *soak, const char *scratch)
{
    char data[SCRATCH_PATH_SIZE + 8], log[SCRATCH_PATH_SIZE + 16], orders[16], deadlines[16];
    uint32_t room = orders_max(soak);
    const char *const arguments[] = {
        "--orders", orders, "--deadlines",    deadlines, "--customers", "128k", "--stocks", "32k",
        "--keys",   "1m",   "--payments",     "1k",      "--moneys",    "1k",   "--steps",  "64k",
        "--ledger", "1k",   "--lots",         "1k",      "--tallies",   "1k",   "--lines",  "64k",
        "--pieces", "64k",  "--snapshot-log", "256m",    NULL};
    char error[CHILD_ERROR_SIZE];
    snprintf(data, sizeof data, "%s/data", scratch);
    snprintf(log, sizeof log, "%s/server.log", scratch);
    snprintf(orders, sizeof orders, "%u", room);
    snprintf(deadlines, sizeof deadlines, "%u", room + room / 8);
    soak->server_options = (struct child_options){.binary = soak->options.till,
                                                  .folder = data,
                                                  .log = log,
                                                  .arguments = arguments,
                                                  .core = soak->server_core,
                                                  .awaits_memory = true,
                                                  .timeout_ms = START_TIMEOUT_MS};
    bool done = start_server(soak);
    if (done && !honest_init(&soak->honest, room - room / 8)) {
        fail(soak, "%s", soak->honest.load.error);
        done = false;
    }
    if (done) {
        done = put_goods(soak) && run_phases(soak);
        honest_deinit(&soak->honest);
    }
    if (!child_stop(&soak->server, STOP_TIMEOUT_MS, error)) {
        fail(soak, "%.*s", TEXT_SIZE - 1, error);
        done = false;
    }
    return done;
}

/* Judging. */

static uint64_t p99(const struct phase *phase)
{
    return histogram_percentile(&phase->honest.latency, 0.99);
}

/* Compares a hostile phase with the calm phases before and after it. */
static void compare(struct soak *soak, uint32_t index)
{
    struct phase *phase = &soak->phases[index];
    if (phase->kind == NULL || index + 1 >= soak->phase_count)
        return;
    double calm = (double)(p99(phase - 1) + p99(phase + 1)) / 2;
    phase->p99_times = calm > 0 ? (double)p99(phase) / calm : 0;
    if (soak->options.strict && phase->p99_times > P99_TIMES_MAX)
        fail(soak, "%s: p99 is %.1f times that of the calm around it", phase_name(phase),
             phase->p99_times);
}

static void judge(struct soak *soak, const struct phase *phase)
{
    const struct honest_figures *honest = &phase->honest;
    const char *name = phase_name(phase);
    uint64_t stall_ns = soak->options.stall_ms * NS_PER_MS;
    if (phase->end[0] != '\0')
        fail(soak, "%s: the server ended with %s", name, phase->end);
    if (honest->unanswered > 0)
        fail(soak, "%s: %" PRIu64 " requests were not answered%s%s", name, honest->unanswered,
             honest->first_lost[0] != '\0' ? ": " : "", honest->first_lost);
    if (honest->wrong > 0)
        fail(soak, "%s: %" PRIu64 " wrong answers, the first: %s", name, honest->wrong,
             honest->first_wrong);
    if (honest->stall_ns > stall_ns)
        fail(soak, "%s: nothing was answered for %.3f s", name, (double)honest->stall_ns / 1e9);
    if (honest->ungreeted > 0)
        fail(soak, "%s: %" PRIu64 " of %" PRIu64 " new connections were not served, the first: %s",
             name, honest->ungreeted, honest->greetings, honest->first_ungreeted);
    if (honest->greeting_ns > stall_ns)
        fail(soak, "%s: a hello was answered after %.3f s", name,
             (double)honest->greeting_ns / 1e9);
}

/* Reporting. */

static void print_outcomes(const struct hostile_figures *hostile)
{
    for (uint32_t i = 0; i < OUTCOME_COUNT; i++) {
        if (hostile->outcomes[i] > 0)
            printf(", %s %" PRIu64, outcome_name((uint16_t)i), hostile->outcomes[i]);
    }
}

static void print_table(const struct soak *soak)
{
    printf("maximum %.0f requests/s, honest clients %.0f requests/s on %d connections\n\n",
           soak->rate_max, soak->rate, HONEST_CONNECTIONS);
    printf("%-13s %5s %10s %9s %9s %9s %6s %9s %9s %14s  %s\n", "phase", "s", "answered", "p50 us",
           "p99 us", "p99.9 us", "times", "stall ms", "hello ms", "cpu, waits", "hostile");
    for (uint32_t i = 0; i < soak->phase_count; i++) {
        const struct phase *phase = &soak->phases[i];
        const struct honest_figures *honest = &phase->honest;
        const struct hostile_figures *hostile = &phase->hostile;
        char times[16] = "";
        if (phase->kind != NULL)
            snprintf(times, sizeof times, "%.2f", phase->p99_times);
        printf("%-13s %5.1f %10" PRIu64 " %9.0f %9.0f %9.0f %6s %9.1f %9.1f %4.2f %4.2f %4.2f  ",
               phase_name(phase), honest->seconds, honest->answered,
               (double)histogram_percentile(&honest->latency, 0.5) / 1e3, (double)p99(phase) / 1e3,
               (double)histogram_percentile(&honest->latency, 0.999) / 1e3, times,
               (double)honest->stall_ns / 1e6, (double)honest->greeting_ns / 1e6, phase->server_cpu,
               phase->server_wait, phase->client_wait);
        if (phase->kind != NULL)
            printf("%" PRIu64 " opened, %" PRIu64 " closed by the server, %.1f MiB sent, %.1f read",
                   hostile->opened, hostile->closed, mebibytes(hostile->bytes_sent),
                   mebibytes(hostile->bytes_read));
        print_outcomes(hostile);
        printf("\n");
    }
    printf("\n");
    for (uint32_t i = 0; i < soak->failure_count; i++)
        printf("FAIL %s\n", soak->failures[i]);
    if (soak->tail[0] != '\0')
        printf("the end of the server's log:%s\n", soak->tail);
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if ((unsigned char)*c < ' ')
            printf("\\u%04x", (unsigned)*c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void print_json_phase(const struct phase *phase)
{
    const struct honest_figures *honest = &phase->honest;
    const struct hostile_figures *hostile = &phase->hostile;
    printf("{\"phase\":\"%s\",\"seconds\":%.3f,\"answered\":%" PRIu64 ",\"unanswered\":%" PRIu64
           ",\"wrong\":%" PRIu64,
           phase_name(phase), honest->seconds, honest->answered, honest->unanswered, honest->wrong);
    printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p99_9_us\":%.1f,\"p99_times\":%.3f",
           (double)histogram_percentile(&honest->latency, 0.5) / 1e3, (double)p99(phase) / 1e3,
           (double)histogram_percentile(&honest->latency, 0.999) / 1e3, phase->p99_times);
    printf(",\"stall_ms\":%.3f,\"hellos\":%" PRIu64 ",\"hellos_unanswered\":%" PRIu64
           ",\"hello_ms\":%.3f,\"server\":\"%s\"",
           (double)honest->stall_ns / 1e6, honest->greetings, honest->ungreeted,
           (double)honest->greeting_ns / 1e6, phase->end[0] != '\0' ? phase->end : "alive");
    printf(",\"server_cpu\":%.3f,\"server_wait\":%.3f,\"client_wait\":%.3f", phase->server_cpu,
           phase->server_wait, phase->client_wait);
    printf(",\"opened\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"closed\":%" PRIu64
           ",\"steps\":%" PRIu64 ",\"bytes_sent\":%" PRIu64 ",\"bytes_read\":%" PRIu64
           ",\"outcomes\":{",
           hostile->opened, hostile->refused, hostile->closed, hostile->steps, hostile->bytes_sent,
           hostile->bytes_read);
    const char *comma = "";
    for (uint32_t i = 0; i < OUTCOME_COUNT; i++) {
        if (hostile->outcomes[i] == 0)
            continue;
        printf("%s\"%s\":%" PRIu64, comma, outcome_name((uint16_t)i), hostile->outcomes[i]);
        comma = ",";
    }
    printf("}}");
}

static void print_json(const struct soak *soak, bool is_good)
{
    printf("{\"ok\":%s,\"rate_max\":%.0f,\"rate\":%.0f,\"phases\":[", is_good ? "true" : "false",
           soak->rate_max, soak->rate);
    for (uint32_t i = 0; i < soak->phase_count; i++) {
        printf("%s", i > 0 ? "," : "");
        print_json_phase(&soak->phases[i]);
    }
    printf("],\"failures\":[");
    for (uint32_t i = 0; i < soak->failure_count; i++) {
        printf("%s", i > 0 ? "," : "");
        print_json_text(soak->failures[i]);
    }
    printf("],\"log\":");
    print_json_text(soak->tail);
    printf("}\n");
}

static int run(struct soak *soak)
{
    char scratch[SCRATCH_PATH_SIZE];
    struct rlimit files;
    if (!scratch_create(scratch, soak->options.folder, "till-soak")) {
        fprintf(stderr, "soak: no folder in %s: %s\n", soak->options.folder, strerror(errno));
        return EXIT_FAILED;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    interrupt_catch();
    choose_cores(soak);
    plan(soak);
    bool is_good = run_server(soak, scratch);
    scratch_remove(scratch);
    for (uint32_t i = 0; i < soak->phase_count; i++) {
        compare(soak, i);
        judge(soak, &soak->phases[i]);
    }
    is_good = is_good && soak->failure_count == 0;
    if (soak->options.json)
        print_json(soak, is_good);
    else
        print_table(soak);
    return is_good ? EXIT_OK : EXIT_FAILED;
}

static void print_help(void)
{
    options_print_usage(stdout, &soak_table);
    printf("Runs honest clients beside each kind of hostile ones, and fails when those are\n"
           "noticed: a server that ends, a stall, a request or a hello without an answer.\n\n");
    options_print(stdout, &soak_table);
    printf("\nkinds:\n");
    for (uint32_t i = 0; i < HOSTILE_KIND_COUNT; i++)
        printf("  %-13s %5u: %s\n", hostile_kinds[i].name, hostile_kinds[i].connections,
               hostile_kinds[i].text);
}

int main(int argc, char **argv)
{
    static struct soak soak;
    const struct soak_options *options = &soak.options;
    int operands = options_parse(&soak_table, &soak.options, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG || (options->kinds != NULL && !list_is_valid(options->kinds)))
        return EXIT_USAGE;
    return run(&soak);
}
