/* The client threads.
 *
 * When to begin and to end is fixed before the threads start, so they share nothing while they run
 * but a counter that the live line reads. The main thread sleeps, shows how it goes, and reads the
 * server's processor time and counters at begin and end.
 *
 *   connected -> warming up --begin_ns--> measuring --end_ns or count--> draining -> ended
 *
 * After the end no more requests are sent, and all answers that are still missing are awaited and
 * checked. Requests of an open loop that were due and could not be sent are recorded with the time
 * that they had waited at the end.
 *
 * Each stretch of time has its own histogram; their sum is the histogram of the run. */
#include "bench/clients.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "bench/machine.h"

#define NS_PER_SECOND 1000000000ULL
#define NS_PER_MS     1000000ULL

enum {
    TURN_MS = 20,
    SLEEP_MS = 2,
    SHOW_MS = 250,
    START_NS = 20 * 1000 * 1000, /* until all threads run */
    SLOT_NS_MIN = 50 * 1000 * 1000,
    COUNT_SLOT_NS = 250 * 1000 * 1000, /* when how long it takes is not known */
    DRAIN_TIMEOUT_S = 20,
};

static uint64_t thread_cpu_ns(void)
{
    return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static bool next_request(void *context, struct frame *frame, uint64_t *token)
{
    struct client_thread *client = context;
    if (!client->asking)
        return false;
    *token = share_request(client->share, frame);
    return true;
}

static void note_wrong(struct client_thread *client, const struct load_reply *reply)
{
    const struct message_info *message = message_info(reply->frame->type & ~FRAME_REPLY);
    if (client->wrong_answers++ == 0)
        snprintf(client->wrong_first, sizeof client->wrong_first,
                 "%s answered %s in %u bytes%s, connection %u",
                 message != NULL ? message->name : "an unknown message",
                 outcome_name(reply->frame->outcome), reply->frame->size,
                 reply->in_order ? "" : " with another request's number", reply->connection);
}

static void measure_reply(struct client_thread *client, const struct load_reply *reply)
{
    const struct clients *clients = client->clients;
    uint64_t due_ns = reply->received_ns - reply->latency_ns;
    bool paced = clients->options.rate > 0;
    if (reply->received_ns < clients->begin_ns || client->measured >= clients->options.count)
        return;
    while (reply->received_ns >= client->slot_end_ns && client->slot < clients->slot_count) {
        client->slot++;
        client->slot_end_ns += clients->slot_ns;
    }
    bool in_time = reply->received_ns < clients->end_ns;
    if (in_time) {
        client->requests++;
        client->orders += answer_is_order(reply->frame);
        client->outcomes[reply->frame->outcome % OUTCOME_COUNT]++;
        client->last_ns = reply->received_ns;
    }
    if (paced ? due_ns >= clients->begin_ns : in_time) {
        client->measured++;
        histogram_record(&client->slots[client->slot], reply->latency_ns);
    }
}

static void take_reply(void *context, const struct load_reply *reply)
{
    struct client_thread *client = context;
    const struct workload_answer answer = {
        .frame = reply->frame, .token = reply->token, .connection = reply->connection};
    enum verdict verdict = share_answer(client->share, &answer);
    if (verdict == VERDICT_WRONG || !reply->in_order)
        note_wrong(client, reply);
    if (verdict == VERDICT_ENDED)
        client->asking = false;
    else
        measure_reply(client, reply);
}

static void lose_request(void *context, uint64_t token)
{
    (void)context;
    (void)token;
}

/* Has the measured part ended for this thread? */
static bool is_over(const struct client_thread *client, uint64_t now_ns)
{
    const struct clients *clients = client->clients;
    return now_ns >= clients->end_ns || client->measured >= clients->options.count ||
           client->share->ended[0] != '\0' || atomic_load(&clients->stop) || interrupted;
}

/* Requests that were due and could not be sent are recorded with the time they have waited. */
static void count_backlog(struct client_thread *client, uint64_t now_ns)
{
    const struct load_schedule *schedule = &client->load.schedule;
    uint64_t until_ns = now_ns < schedule->end_ns ? now_ns : schedule->end_ns;
    client->backlog = load_backlog(&client->load, until_ns);
    for (uint64_t i = 0; i < client->backlog; i++) {
        uint64_t due_ns = load_due_ns(&client->load, schedule->asked + i);
        if (due_ns >= client->clients->begin_ns && due_ns < until_ns)
            histogram_record(&client->slots[client->clients->slot_count], until_ns - due_ns);
    }
}

/* Waits for the answers that are still missing; false when they do not arrive in time. */
static bool drain(struct client_thread *client)
{
    uint64_t end_ns = load_clock_ns() + DRAIN_TIMEOUT_S * NS_PER_SECOND;
    client->asking = false;
    while (client->load.in_flight != 0) {
        if (load_clock_ns() > end_ns) {
            snprintf(client->load.error, sizeof client->load.error,
                     "%" PRIu64 " requests were not answered", client->load.in_flight);
            return false;
        }
        if (!load_turn(&client->load, TURN_MS))
            return false;
    }
    return true;
}

static void *client_run(void *context)
{
    struct client_thread *client = context;
    struct clients *clients = client->clients;
    const struct clients_options *options = &clients->options;
    uint64_t cpu_ns = 0, spun_ns = 0, wait_ns = 0, now_ns = load_clock_ns();
    if (options->cores != NULL)
        core_pin(options->cores[client->number]);
    client->asking = true;
    if (options->rate > 0)
        load_pace(&client->load, options->rate / options->threads, clients->start_ns,
                  clients->end_ns);
    else
        load_fill(&client->load);
    while (!is_over(client, now_ns)) {
        if (!client->measuring && now_ns >= clients->begin_ns) {
            client->measuring = true;
            cpu_ns = thread_cpu_ns();
            spun_ns = client->load.schedule.spun_ns;
            wait_ns = machine_wait_ns(0);
        }
        if (!load_turn(&client->load, TURN_MS)) {
            client->failed = true;
            break;
        }
        atomic_store_explicit(&client->progress, client->requests, memory_order_relaxed);
        now_ns = load_clock_ns();
    }
    client->cpu_ns = thread_cpu_ns() - cpu_ns;
    client->spun_ns = client->load.schedule.spun_ns - spun_ns;
    client->wait_ns = machine_wait_ns(0) - wait_ns;
    atomic_store(&client->has_ended, true);
    if (options->rate > 0)
        count_backlog(client, now_ns);
    if (!client->failed && !drain(client))
        client->failed = true;
    if (client->failed)
        atomic_store(&clients->stop, true);
    return NULL;
}

/* How many connections a thread gets: evenly distributed. */
static uint32_t connections_of(const struct clients_options *options, uint32_t number)
{
    return options->connections / options->threads +
           (number < options->connections % options->threads ? 1 : 0);
}

static bool thread_init(struct client_thread *client, struct clients *clients, uint32_t number,
                        const struct load_address *address)
{
    const struct clients_options *options = &clients->options;
    const struct load_driver driver = {client, next_request, take_reply, lose_request};
    size_t slots_size = (clients->slot_count + 1) * sizeof *client->slots;
    client->clients = clients;
    client->number = number;
    client->slots = memory_map(slots_size);
    if (client->slots == NULL || !memory_populate(client->slots, slots_size, NULL)) {
        snprintf(clients->error, sizeof clients->error, "no memory");
        return false;
    }
    if (!load_init(&client->load, &driver, connections_of(options, number), options->in_flight) ||
        !load_connect(&client->load, address)) {
        snprintf(clients->error, sizeof clients->error, "%s", client->load.error);
        return false;
    }
    return true;
}

bool clients_init(struct clients *clients, const struct clients_options *options,
                  const struct load_address *address, struct workload_share *shares)
{
    memset(clients, 0, sizeof *clients);
    clients->options = *options;
    clients->slot_ns = COUNT_SLOT_NS;
    clients->slot_count = SLOTS_MAX;
    if (options->count == 0) {
        uint64_t even_ns = options->measure_ns / SLOTS_MAX + 1;
        clients->slot_ns = even_ns > SLOT_NS_MIN ? even_ns : SLOT_NS_MIN;
        clients->slot_count =
            (uint32_t)((options->measure_ns + clients->slot_ns - 1) / clients->slot_ns);
    }
    clients->threads = calloc(options->threads, sizeof *clients->threads);
    clients->slots = calloc(clients->slot_count + 1, sizeof *clients->slots);
    if (clients->threads == NULL || clients->slots == NULL) {
        snprintf(clients->error, sizeof clients->error, "no memory");
        return false;
    }
    /* Each thread's part of the count; none at all is no bound. */
    uint64_t count = (options->count + options->threads - 1) / options->threads;
    clients->options.count = options->count != 0 ? count : UINT64_MAX;
    for (uint32_t i = 0; i < options->threads; i++)
        clients->threads[i].load.epoll = -1;
    for (uint32_t i = 0; i < options->threads; i++) {
        clients->threads[i].share = &shares[i];
        if (!thread_init(&clients->threads[i], clients, i, address))
            return false;
        clients->in_flight = clients->threads[i].load.in_flight_max;
    }
    return true;
}

void clients_deinit(struct clients *clients)
{
    size_t slots_size = (clients->slot_count + 1) * sizeof *clients->slots;
    for (uint32_t i = 0; clients->threads != NULL && i < clients->options.threads; i++) {
        load_deinit(&clients->threads[i].load);
        memory_unmap(clients->threads[i].slots, slots_size);
    }
    free(clients->threads);
    free(clients->slots);
}

static void show_progress(const struct clients *clients, uint64_t now_ns, uint64_t *shown_ns,
                          uint64_t *shown)
{
    uint64_t requests = 0;
    if (!clients->options.live || now_ns - *shown_ns < SHOW_MS * NS_PER_MS)
        return;
    for (uint32_t i = 0; i < clients->options.threads; i++)
        requests += atomic_load_explicit(&clients->threads[i].progress, memory_order_relaxed);
    if (now_ns < clients->begin_ns)
        fprintf(stderr, "\rwarming up, %.1f s left\033[K",
                (double)(clients->begin_ns - now_ns) / 1e9);
    else
        fprintf(stderr, "\r%6.1f s  %10.0f requests/s\033[K",
                (double)(now_ns - clients->begin_ns) / 1e9,
                (double)(requests - *shown) * 1e9 / (double)(now_ns - *shown_ns));
    *shown_ns = now_ns;
    *shown = requests;
}

static uint64_t server_wait_ns(const struct child *server)
{
    return server->pid != 0 ? machine_wait_ns(server->pid) : 0;
}

/* Sleeps until the threads have finished measuring, and reads the server's processor time and
 * counters when the measurement begins and ends. */
static void watch(struct clients *clients, const struct child *server)
{
    struct counters counters = {0};
    const struct timespec pause = {.tv_nsec = SLEEP_MS * 1000000L};
    uint64_t shown_ns = load_clock_ns(), shown = 0, cpu_ns = 0, wait_ns = 0;
    bool begun = false;
    if (server->pid != 0)
        counters_open(&counters, counters_hardware, server->pid);
    for (uint32_t ended = 0; ended < clients->options.threads;) {
        uint64_t now_ns = load_clock_ns();
        if (!begun && now_ns >= clients->begin_ns) {
            cpu_ns = child_cpu_ns(server);
            wait_ns = server_wait_ns(server);
            counters_begin(&counters);
            begun = true;
        }
        show_progress(clients, now_ns, &shown_ns, &shown);
        nanosleep(&pause, NULL);
        ended = 0;
        for (uint32_t i = 0; i < clients->options.threads; i++)
            ended += atomic_load(&clients->threads[i].has_ended);
    }
    if (begun) {
        counters_end(&counters);
        clients->server_cpu_ns = child_cpu_ns(server) - cpu_ns;
        clients->server_wait_ns = server_wait_ns(server) - wait_ns;
    }
    clients->server_counted = counters_counted(&counters);
    counters_close(&counters);
    if (clients->options.live)
        fprintf(stderr, "\r\033[K");
}

static void add_thread(struct clients *clients, const struct client_thread *client)
{
    double busy = (double)(client->cpu_ns - client->spun_ns);
    clients->requests += client->requests;
    clients->orders += client->orders;
    clients->wrong_answers += client->wrong_answers;
    clients->backlog += client->backlog;
    clients->wait_ns = client->wait_ns > clients->wait_ns ? client->wait_ns : clients->wait_ns;
    clients->backlog_max += client->load.schedule.backlog_max;
    clients->cpu_ns += client->cpu_ns - client->spun_ns;
    double share = clients->seconds > 0 ? busy / 1e9 / clients->seconds : 0;
    clients->cpu_share = share > clients->cpu_share ? share : clients->cpu_share;
    for (uint32_t i = 0; i < OUTCOME_COUNT; i++)
        clients->outcomes[i] += client->outcomes[i];
    for (uint32_t i = 0; i <= clients->slot_count; i++) {
        histogram_add(&clients->slots[i], &client->slots[i]);
        histogram_add(&clients->latency, &client->slots[i]);
    }
    if (client->share->ended[0] != '\0')
        clients->ended = client->share->ended;
    if (client->failed)
        snprintf(clients->error, sizeof clients->error, "%s", client->load.error);
    else if (client->wrong_answers != 0 && clients->error[0] == '\0')
        snprintf(clients->error, sizeof clients->error, "the first wrong answer: %s",
                 client->wrong_first);
}

bool clients_run(struct clients *clients, const struct child *server)
{
    const struct clients_options *options = &clients->options;
    uint32_t started = 0;
    bool whole = true;
    clients->start_ns = load_clock_ns() + START_NS;
    clients->begin_ns = clients->start_ns + options->warm_up_ns;
    clients->end_ns = clients->begin_ns + options->measure_ns;
    for (; started < options->threads; started++) {
        struct client_thread *client = &clients->threads[started];
        client->slot_end_ns = clients->begin_ns + clients->slot_ns;
        if (pthread_create(&client->thread, NULL, client_run, client) != 0) {
            snprintf(clients->error, sizeof clients->error, "no more threads");
            atomic_store(&clients->stop, true);
            whole = false;
            break;
        }
    }
    if (whole)
        watch(clients, server);
    uint64_t last_ns = clients->begin_ns;
    for (uint32_t i = 0; i < started; i++) {
        struct client_thread *client = &clients->threads[i];
        pthread_join(client->thread, NULL);
        whole &= !client->failed;
        last_ns = client->last_ns > last_ns ? client->last_ns : last_ns;
    }
    bool in_full = options->count == UINT64_MAX && last_ns != clients->begin_ns && whole;
    clients->seconds = (double)(last_ns - clients->begin_ns) / 1e9;
    for (uint32_t i = 0; i < started; i++)
        in_full = in_full && clients->threads[i].share->ended[0] == '\0';
    if (in_full && !interrupted)
        clients->seconds = (double)options->measure_ns / 1e9;
    for (uint32_t i = 0; i < started; i++)
        add_thread(clients, &clients->threads[i]);
    for (uint32_t i = 0; i < clients->slot_count; i++)
        clients->slot_used = clients->slots[i].count != 0 ? i + 1 : clients->slot_used;
    return whole;
}
