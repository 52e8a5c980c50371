/* The client of the peers: the same closed loop as `till bench`, in another server's protocol.
 *
 *   peer-client --protocol NAME --connect ADDR:PORT --procedure NAME ...
 *
 * One turn: wait for readable sockets; for each, one receive, a walk over the answers in it, as
 * many new requests as there was room made for, one send. Every order has a fresh id and a customer
 * out of the same pool that `till bench` draws from. After a warm-up the measurement begins; then
 * what is still out is waited for, so that the orders counted as `accepted` are all that the peer
 * took, and whoever set it up can hold its stock against that number.
 *
 * An answer other than "accepted" counts as wrong and fails the run. The request numbers of a
 * connection are a ring of slots: [oldest, next) are in flight, the others free; an answer frees
 * the slot that it names, or the oldest when the protocol has no numbers. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "bench/histogram.h"
#include "bench/load.h"
#include "bench/options.h"
#include "bench/peers/protocol.h"
#include "bench/random.h"

#define NS_PER_SECOND 1000000000ULL

enum {
    CUSTOMERS = 4 << 20,
    CUSTOMER_SEED = 7,
    PRICE = 1999,
    QUANTITY = 1,
    EVENTS_MAX = 128,
    TURN_MS = 100,
    DRAIN_TIMEOUT_S = 20,
    IN_SIZE = 256 * 1024,
};

struct connection {
    uint64_t *sent_ns; /* by slot; 0: free */
    uint32_t *slots;   /* a ring */
    uint8_t *out;
    uint8_t *partial; /* PROTOCOL_ANSWER_SIZE_MAX bytes: the beginning of an answer */
    size_t out_start;
    size_t out_end;
    size_t partial_size;
    uint32_t oldest;
    uint32_t next;
    int fd;
    bool is_blocked;
};

struct client {
    struct peer_options options;
    const struct protocol *protocol;
    struct connection connections[PEER_CONNECTIONS_MAX];
    struct random random;
    struct histogram latency;
    uint8_t *in;
    uint32_t slot_mask;
    int epoll;
    bool is_asking;
    uint64_t waiting; /* requests in flight */
    uint64_t accepted;
    uint64_t wrong;
    char first_wrong[PROTOCOL_ERROR_SIZE];
};

static bool connection_open(struct client *client, struct connection *connection,
                            const struct load_address *address, char error[PROTOCOL_ERROR_SIZE])
{
    const int on = 1;
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = connection};
    connection->fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (const void *)&address->name, address->size) != 0) {
        snprintf(error, PROTOCOL_ERROR_SIZE, "connecting: %s", strerror(errno));
        return false;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!client->protocol->begin(connection->fd, client->options.procedure, error))
        return false;
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->fd, &interest) == 0)
        return true;
    snprintf(error, PROTOCOL_ERROR_SIZE, "epoll_ctl: %s", strerror(errno));
    return false;
}

static void connection_ask(struct client *client, struct connection *connection)
{
    uint64_t now_ns = load_clock_ns();
    while (client->is_asking && connection->next - connection->oldest < client->options.in_flight) {
        struct peer_order order = {
            .order = random_id(&client->random),
            .customer = random_id_of(CUSTOMER_SEED, 0, random_below(&client->random, CUSTOMERS)),
            .sku = 1 + random_below(&client->random, client->options.skus),
            .quantity = QUANTITY,
            .price = PRICE,
        };
        uint32_t slot = connection->slots[connection->next++ & client->slot_mask];
        connection->sent_ns[slot] = now_ns;
        connection->out_end +=
            client->protocol->request(connection->out + connection->out_end, slot, &order);
        client->waiting++;
    }
}

/* Sends what is queued; queues more requests only when all of it was sent. False when the
 * connection is broken. */
static bool connection_send(struct client *client, struct connection *connection)
{
    if (!connection->is_blocked)
        connection_ask(client, connection);
    size_t size = connection->out_end - connection->out_start;
    if (size == 0)
        return true;
    ssize_t sent = send(connection->fd, connection->out + connection->out_start, size,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    connection->out_start += sent > 0 ? (size_t)sent : 0;
    bool is_blocked = connection->out_start != connection->out_end;
    if (!is_blocked)
        connection->out_start = connection->out_end = 0;
    if (is_blocked != connection->is_blocked) {
        struct epoll_event interest = {.events = is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                       .data.ptr = connection};
        epoll_ctl(client->epoll, EPOLL_CTL_MOD, connection->fd, &interest);
        connection->is_blocked = is_blocked;
    }
    return true;
}

/* Returns how many bytes whole answers took, or -1. */
static int64_t connection_take(struct client *client, struct connection *connection,
                               const uint8_t *bytes, size_t size)
{
    uint64_t now_ns = load_clock_ns();
    size_t at = 0;
    while (at < size) {
        struct peer_answer answer;
        answer.number = connection->slots[connection->oldest & client->slot_mask];
        answer.is_accepted = false;
        answer.error[0] = '\0';
        int64_t taken = client->protocol->answer(bytes + at, size - at, &answer);
        if (taken <= 0)
            return taken < 0 ? -1 : (int64_t)at;
        at += (size_t)taken;
        if (connection->oldest == connection->next || answer.number > client->slot_mask ||
            connection->sent_ns[answer.number] == 0)
            return -1;
        histogram_record(&client->latency, now_ns - connection->sent_ns[answer.number]);
        connection->sent_ns[answer.number] = 0;
        connection->slots[connection->oldest++ & client->slot_mask] = answer.number;
        client->waiting--;
        if (answer.is_accepted)
            client->accepted++;
        else if (client->wrong++ == 0)
            memcpy(client->first_wrong, answer.error, sizeof answer.error);
    }
    return (int64_t)at;
}

static bool connection_receive(struct client *client, struct connection *connection)
{
    memcpy(client->in, connection->partial, connection->partial_size);
    ssize_t got =
        recv(connection->fd, client->in + connection->partial_size, IN_SIZE, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    size_t size = connection->partial_size + (size_t)got;
    int64_t taken = connection_take(client, connection, client->in, size);
    if (taken < 0 || size - (size_t)taken > PROTOCOL_ANSWER_SIZE_MAX)
        return false;
    connection->partial_size = size - (size_t)taken;
    memcpy(connection->partial, client->in + taken, connection->partial_size);
    return true;
}

/* Runs the loop until end_ns, or, draining, until nothing is in flight. */
static bool run_until(struct client *client, uint64_t end_ns, bool drain)
{
    struct epoll_event events[EVENTS_MAX];
    while (load_clock_ns() < end_ns && !(drain && client->waiting == 0)) {
        int count = epoll_wait(client->epoll, events, EVENTS_MAX, TURN_MS);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection_receive(client, connection) || !connection_send(client, connection)) {
                fprintf(stderr, "peer-client: a connection broke: %s\n", strerror(errno));
                return false;
            }
        }
    }
    return true;
}

static bool measure(struct client *client)
{
    uint64_t warm_up_ns = client->options.seconds * NS_PER_SECOND / 4;
    client->is_asking = true;
    for (uint32_t i = 0; i < client->options.connections; i++) {
        if (!connection_send(client, &client->connections[i]))
            return false;
    }
    if (!run_until(client, load_clock_ns() + warm_up_ns, false))
        return false;
    histogram_init(&client->latency);
    uint64_t start_ns = load_clock_ns(), accepted = client->accepted;
    clock_t cpu = clock();
    if (!run_until(client, start_ns + client->options.seconds * NS_PER_SECOND, false))
        return false;
    double seconds = (double)(load_clock_ns() - start_ns) / 1e9;
    double cpu_seconds = (double)(clock() - cpu) / CLOCKS_PER_SEC;
    double orders = (double)(client->accepted - accepted);
    struct histogram latency = client->latency;
    client->is_asking = false;
    if (!run_until(client, load_clock_ns() + DRAIN_TIMEOUT_S * NS_PER_SECOND, true) ||
        client->waiting != 0) {
        fprintf(stderr, "peer-client: %" PRIu64 " requests were not answered\n", client->waiting);
        return false;
    }
    printf("{\"orders_per_second\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"wrong_answers\": %" PRIu64 ", \"accepted\": %" PRIu64
           ", \"seconds\": %.3f, \"client_cpu_share\": %.2f}\n",
           orders / seconds, (double)histogram_percentile(&latency, 0.50) / 1000,
           (double)histogram_percentile(&latency, 0.99) / 1000, (double)latency.maximum / 1000,
           client->wrong, client->accepted, seconds, cpu_seconds / seconds);
    if (client->wrong != 0)
        fprintf(stderr, "peer-client: %" PRIu64 " wrong answers, the first: %s\n", client->wrong,
                client->first_wrong);
    return client->wrong == 0;
}

/* Its memory is freed when the process ends. */
static bool connection_init(const struct client *client, struct connection *connection)
{
    uint32_t slot_count = client->slot_mask + 1;
    connection->sent_ns = calloc(slot_count, sizeof *connection->sent_ns);
    connection->slots = calloc(slot_count, sizeof *connection->slots);
    connection->out = malloc((size_t)client->options.in_flight * PROTOCOL_REQUEST_SIZE_MAX);
    connection->partial = malloc(PROTOCOL_ANSWER_SIZE_MAX);
    if (connection->sent_ns == NULL || connection->slots == NULL || connection->out == NULL ||
        connection->partial == NULL)
        return false;
    for (uint32_t slot = 0; slot < slot_count; slot++)
        connection->slots[slot] = slot;
    return true;
}

static bool set_up(struct client *client)
{
    struct load_address address;
    char error[PROTOCOL_ERROR_SIZE] = "no memory";
    if (!load_address_read(&address, client->options.connect)) {
        fprintf(stderr, "peer-client: %s: the host is not known\n", client->options.connect);
        return false;
    }
    client->slot_mask = 0;
    while (client->slot_mask + 1 < client->options.in_flight)
        client->slot_mask = client->slot_mask * 2 + 1;
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->in = memory_map(IN_SIZE + PROTOCOL_ANSWER_SIZE_MAX);
    bool is_done = client->epoll >= 0 && client->in != NULL;
    for (uint32_t i = 0; i < client->options.connections && is_done; i++) {
        struct connection *connection = &client->connections[i];
        is_done = connection_init(client, connection) &&
                  connection_open(client, connection, &address, error);
    }
    if (!is_done)
        fprintf(stderr, "peer-client: %s: %s\n", client->options.connect, error);
    return is_done;
}

int main(int argc, char **argv)
{
    static const struct protocol *const protocols[] = {&protocol_redis, &protocol_postgres,
                                                       &protocol_tarantool};
    struct client *client = memory_map(sizeof *client);
    if (client == NULL) {
        fprintf(stderr, "peer-client: no memory\n");
        return 1;
    }
    int operands = options_parse(&peer_table, &client->options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &peer_table);
        printf("Places orders on a peer in a closed loop.\n\n");
        options_print(stdout, &peer_table);
        return 0;
    }
    if (operands == OPTIONS_WRONG)
        return 2;
    const struct peer_options *options = &client->options;
    for (size_t i = 0; options->protocol != NULL && i < sizeof protocols / sizeof protocols[0];
         i++) {
        if (strcmp(options->protocol, protocols[i]->name) == 0)
            client->protocol = protocols[i];
    }
    if (client->protocol == NULL || options->connect == NULL) {
        fprintf(stderr, "peer-client: --protocol redis, postgres or tarantool, and --connect "
                        "ADDR:PORT are needed; see peer-client --help\n");
        return 2;
    }
    client->random.state = random_seed();
    return set_up(client) && measure(client) ? 0 : 1;
}
