/* The report. Text and JSON tell the same; a figure that was not measured is left out of the text
 * and null in JSON. */
#include "bench/figures.h"

#include <inttypes.h>
#include <stdio.h>

#define CLIENT_FULL_SHARE 0.95
#define WAIT_SHARE        0.02 /* from which on the report speaks of a shared core */

static const struct {
    const char *name; /* in JSON */
    const char *text;
    double share;
} percentiles[] = {
    {"p50_us", "p50", 0.50},     {"p90_us", "p90", 0.90},        {"p99_us", "p99", 0.99},
    {"p999_us", "p99.9", 0.999}, {"p9999_us", "p99.99", 0.9999},
};

enum { PERCENTILE_COUNT = sizeof percentiles / sizeof percentiles[0] };

bool figures_client_was_full(const struct figures *figures)
{
    return figures->clients->cpu_share >= CLIENT_FULL_SHARE;
}

const char *figures_conditions(const struct figures *figures, char text[CONDITIONS_SIZE])
{
    const struct clients_options *options = &figures->clients->options;
    char rate[48] = "closed loop";
    if (options->rate > 0)
        snprintf(rate, sizeof rate, "open loop at %.0f requests/s", options->rate);
    snprintf(text, CONDITIONS_SIZE, "%s, %u connections x %u in flight, %u client%s, %s",
             figures->workload->options.name, options->connections, figures->clients->in_flight,
             options->threads, options->threads == 1 ? "" : "s", rate);
    return text;
}

const char *json_text(const char *text, char *room, size_t size)
{
    size_t end = 0;
    for (; *text != '\0' && end + 3 < size; text++) {
        if (*text == '"' || *text == '\\')
            room[end++] = '\\';
        room[end++] = (unsigned char)*text < ' ' ? ' ' : *text;
    }
    room[end] = '\0';
    return room;
}

/* count / total, or 0 without a total. */
static double ratio(double count, double total)
{
    return total > 0 ? count / total : 0;
}

static double per_second(const struct figures *figures, uint64_t count)
{
    return ratio((double)count, figures->clients->seconds);
}

static double percentile_us(const struct figures *figures, double share)
{
    return (double)histogram_percentile(&figures->clients->latency, share) / 1000;
}

static void print_outcomes(const struct clients *clients)
{
    const char *comma = "";
    printf("  outcomes       ");
    for (uint32_t i = 0; i < OUTCOME_COUNT; i++) {
        if (clients->outcomes[i] == 0)
            continue;
        printf("%s%s %" PRIu64, comma, outcome_name(i), clients->outcomes[i]);
        comma = ", ";
    }
    printf("\n");
}

#define COUNTER_ROW(name, text, ...) {#name, text},
static const struct {
    const char *name; /* in JSON */
    const char *text;
} counter_rows[] = {COUNTERS(COUNTER_ROW)};
#undef COUNTER_ROW

void counted_print(const struct counted *counted, uint64_t orders, uint64_t requests)
{
    const char *comma = "";
    double count = (double)(orders != 0 ? orders : requests);
    for (uint32_t i = 0; i < COUNTER_COUNT; i++) {
        if (counted->values[i] < 0)
            continue;
        printf("%s%.1f %s", comma, ratio(counted->values[i], count), counter_rows[i].text);
        comma = ", ";
    }
    if (counted->problem != NULL)
        printf("%s\n", counted->problem);
    else
        printf(" %s%s\n", orders != 0 ? "an order" : "a request",
               counted->user_only ? ", without the kernel's" : "");
}

static void print_server(const struct figures *figures)
{
    const struct clients *clients = figures->clients;
    double cpu_ns = (double)clients->server_cpu_ns;
    if (!figures->own_server)
        return;
    printf("  server         %.2f of a core", ratio(cpu_ns / 1e9, clients->seconds));
    if (clients->orders != 0)
        printf(", %.0f ns an order", cpu_ns / (double)clients->orders);
    printf(", %.0f ns a request\n", ratio(cpu_ns, (double)clients->requests));
    printf("  its counters   ");
    counted_print(&clients->server_counted, clients->orders, clients->requests);
    printf("  its room       %u orders, %u customers; %.1f GiB of tables\n",
           figures->capacities.orders, figures->capacities.customers,
           (double)figures->memory_bytes / (1 << 30));
}

/* Other processes used the same cores: the figures of such a run are less reliable. */
static void print_waiting(const struct figures *figures)
{
    const struct clients *clients = figures->clients;
    double client = ratio((double)clients->wait_ns / 1e9, clients->seconds);
    double server = ratio((double)clients->server_wait_ns / 1e9, clients->seconds);
    if (client >= WAIT_SHARE || server >= WAIT_SHARE)
        printf("  shared cores   the client waited for its core %.0f %% of the time, the server "
               "%.0f %%: others ran there\n",
               100 * client, 100 * server);
}

void figures_print(const struct figures *figures)
{
    const struct clients *clients = figures->clients;
    const struct machine *machine = &figures->machine;
    char conditions[CONDITIONS_SIZE];
    if (clients->orders != 0)
        printf("%.0f orders per second, each durable before it was answered\n",
               per_second(figures, clients->orders));
    if (clients->orders != clients->requests)
        printf("%.0f requests per second\n", per_second(figures, clients->requests));
    printf("  load           %s\n  latency        ", figures_conditions(figures, conditions));
    for (uint32_t i = 0; i < PERCENTILE_COUNT; i++)
        printf("%s %.1f, ", percentiles[i].text, percentile_us(figures, percentiles[i].share));
    printf("max %.1f us\n", (double)clients->latency.maximum / 1000);
    printf("  wrong answers  %" PRIu64 " (%" PRIu64 " requests in %.2f s)\n",
           clients->wrong_answers, clients->requests, clients->seconds);
    print_outcomes(clients);
    if (clients->options.rate > 0)
        printf("  backlog        %" PRIu64 " requests at most, %" PRIu64 " never sent\n",
               clients->backlog_max, clients->backlog);
    printf("  client         %.2f of a core, %.0f ns a request%s\n", clients->cpu_share,
           ratio((double)clients->cpu_ns, (double)clients->requests),
           figures_client_was_full(figures)
               ? ": its core was full, and what is measured is the client"
               : "");
    print_server(figures);
    print_waiting(figures);
    printf("  machine        %s, %s, %u cores%s\n", machine->kernel, machine->processor,
           machine->cores, figures->pinned ? ", server and client pinned" : "");
    if (machine->flush_us >= 0)
        printf("  flush          %.0f us for 4 KiB, median\n", machine->flush_us);
}

/* A member with a number, or null where there is none. */
static void print_member(const char *name, bool known, double value, int digits)
{
    if (known)
        printf(", \"%s\": %.*f", name, digits, value);
    else
        printf(", \"%s\": null", name);
}

void counted_print_json(const struct counted *counted, const char *prefix, uint64_t orders,
                        uint64_t requests)
{
    const uint64_t counts[] = {orders, requests};
    const char *const units[] = {"order", "request"};
    char name[64];
    for (uint32_t i = 0; i < 2 * COUNTER_COUNT; i++) {
        double value = counted->values[i / 2], count = (double)counts[i % 2];
        snprintf(name, sizeof name, "%s_%s_per_%s", prefix, counter_rows[i / 2].name, units[i % 2]);
        print_member(name, value >= 0 && count > 0, ratio(value, count), 2);
    }
    printf(", \"%s_counters_have_kernel\": %s", prefix,
           counted->problem != NULL ? "null"
           : counted->user_only     ? "false"
                                    : "true");
}

static void print_json_outcomes(const struct clients *clients)
{
    const char *comma = "";
    printf(", \"outcomes\": {");
    for (uint32_t i = 0; i < OUTCOME_COUNT; i++) {
        if (clients->outcomes[i] == 0)
            continue;
        printf("%s\"%s\": %" PRIu64, comma, outcome_name(i), clients->outcomes[i]);
        comma = ", ";
    }
    printf("}");
}

static void print_json_conditions(const struct figures *figures)
{
    const struct clients_options *options = &figures->clients->options;
    const struct machine *machine = &figures->machine;
    char text[128];
    printf(", \"connections\": %u, \"in_flight\": %u, \"clients\": %u", options->connections,
           figures->clients->in_flight, options->threads);
    print_member("rate", options->rate > 0, options->rate, 0);
    print_member("warm_up_s", true, (double)options->warm_up_ns / 1e9, 2);
    printf(", \"skus\": %u, \"customers\": %u", figures->workload->sku_count,
           figures->workload->options.customers);
    printf(", \"kernel\": \"%s\"", json_text(machine->kernel, text, sizeof text));
    printf(", \"processor\": \"%s\"", json_text(machine->processor, text, sizeof text));
    printf(", \"cores\": %u, \"pinned\": %s", machine->cores, figures->pinned ? "true" : "false");
    print_member("flush_us", machine->flush_us >= 0, machine->flush_us, 1);
    print_member("server_orders_max", figures->own_server, figures->capacities.orders, 0);
    print_member("server_memory_bytes", figures->own_server, (double)figures->memory_bytes, 0);
}

void figures_print_json(const struct figures *figures)
{
    const struct clients *clients = figures->clients;
    double requests = (double)clients->requests, orders = (double)clients->orders;
    double server_ns = (double)clients->server_cpu_ns;
    char text[2 * WORKLOAD_ERROR_SIZE];
    printf("{\"workload\": \"%s\"", figures->workload->options.name);
    print_member("orders_per_second", true, per_second(figures, clients->orders), 0);
    print_member("requests_per_second", true, per_second(figures, clients->requests), 0);
    for (uint32_t i = 0; i < PERCENTILE_COUNT; i++)
        print_member(percentiles[i].name, true, percentile_us(figures, percentiles[i].share), 1);
    print_member("max_us", true, (double)clients->latency.maximum / 1000, 1);
    print_member("wrong_answers", true, (double)clients->wrong_answers, 0);
    print_member("orders", true, orders, 0);
    print_member("requests", true, requests, 0);
    print_member("seconds", true, clients->seconds, 3);
    bool paced = clients->options.rate > 0;
    print_member("backlog_max", paced, (double)clients->backlog_max, 0);
    print_member("backlog_never_sent", paced, (double)clients->backlog, 0);
    print_member("client_cpu_share", true, clients->cpu_share, 3);
    print_member("client_cpu_ns_per_request", true, ratio((double)clients->cpu_ns, requests), 1);
    printf(", \"client_core_full\": %s", figures_client_was_full(figures) ? "true" : "false");
    print_member("server_cpu_share", figures->own_server, ratio(server_ns / 1e9, clients->seconds),
                 3);
    print_member("client_wait_share", true, ratio((double)clients->wait_ns / 1e9, clients->seconds),
                 3);
    print_member("server_wait_share", figures->own_server,
                 ratio((double)clients->server_wait_ns / 1e9, clients->seconds), 3);
    print_member("server_cpu_ns_per_order", figures->own_server && orders > 0,
                 ratio(server_ns, orders), 1);
    print_member("server_cpu_ns_per_request", figures->own_server, ratio(server_ns, requests), 1);
    counted_print_json(&clients->server_counted, "server", clients->orders, clients->requests);
    print_json_outcomes(clients);
    printf(", \"audit\": \"%s\"",
           figures->audit[0] != '\0' ? json_text(figures->audit, text, sizeof text) : "ok");
    print_json_conditions(figures);
    printf("}\n");
}
