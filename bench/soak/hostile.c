/* Driving hostile connections.
 *
 * Every socket is non-blocking and nothing is polled for: each connection gets a step at fixed
 * times and does in it what can be done without waiting. So the thread's work is bounded by the
 * number of steps, whatever the server does.
 *
 * The thread has what is left of its core when nothing else wants it, and rests half of the time:
 * where the honest clients and the interrupts of the disk share it, what is measured is the server
 * all the same. Connections come from many loopback addresses, because those that were closed keep
 * their ports for a minute. */
#include "bench/soak/hostile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/child.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define NS_PER_MS     1000000ULL
#define NS_PER_SECOND 1000000000ULL

enum {
    PAUSE_US = 500,     /* between two looks at what is due */
    STEPS_AT_ONCE = 16, /* at line rate, before the clock is read again */
    SOURCES = 240,      /* addresses 127.0.0.10 and on */
    SOURCE_FIRST = 10,
    /* What the kernel keeps for a connection on this side: the less it takes in, the more the
     * server has to keep. What it sends takes memory that would be another machine's, and that all
     * sockets of this one share with the server and the honest clients. */
    RECEIVE_BUFFER = 4096,
    SEND_BUFFER = 64 * 1024,
};

static void set_source(struct hostile *hostile, int fd)
{
    const int on = 1;
    uint32_t last = SOURCE_FIRST + hostile->sources++ % SOURCES;
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last)};
    if (hostile->address.name.ss_family != AF_INET)
        return;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    (void)bind(fd, (const void *)&source, sizeof source);
}

static void open_connection(struct hostile *hostile, struct hostile_connection *connection)
{
    const int on = 1, receive = RECEIVE_BUFFER, send = SEND_BUFFER;
    const struct load_address *address = &hostile->address;
    int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof send);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        set_source(hostile, fd);
    }
    if (fd < 0 ||
        (connect(fd, (const void *)&address->name, address->size) != 0 && errno != EINPROGRESS)) {
        hostile->figures.refused++;
        if (fd >= 0)
            close(fd);
        return;
    }
    *connection = (struct hostile_connection){
        .fd = fd, .number = connection->number, .opened_ns = load_clock_ns()};
    hostile->figures.opened++;
}

void hostile_close(struct hostile_connection *connection, bool reset)
{
    const struct linger linger = {.l_onoff = 1};
    if (connection->fd < 0)
        return;
    if (reset)
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(connection->fd);
    connection->fd = -1;
}

static void was_closed(struct hostile *hostile, struct hostile_connection *connection)
{
    hostile->figures.closed++;
    hostile_close(connection, false);
}

size_t hostile_send(struct hostile *hostile, struct hostile_connection *connection,
                    const void *bytes, size_t size)
{
    if (connection->fd < 0)
        return 0;
    ssize_t sent = send(connection->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        was_closed(hostile, connection);
    if (sent <= 0)
        return 0;
    hostile->figures.bytes_sent += (uint64_t)sent;
    return (size_t)sent;
}

size_t hostile_read(struct hostile *hostile, struct hostile_connection *connection, size_t size)
{
    if (connection->fd < 0)
        return 0;
    ssize_t got = recv(connection->fd, hostile->scratch, size, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        was_closed(hostile, connection);
    if (got <= 0)
        return 0;
    hostile->figures.bytes_read += (uint64_t)got;
    return (size_t)got;
}

bool hostile_is_closed(struct hostile *hostile, struct hostile_connection *connection)
{
    struct pollfd look = {.fd = connection->fd, .events = POLLRDHUP};
    if (connection->fd < 0)
        return true;
    if (poll(&look, 1, 0) <= 0)
        return false;
    was_closed(hostile, connection);
    return true;
}

static void step(struct hostile *hostile, uint32_t index)
{
    struct hostile_connection *connection = &hostile->connections[index];
    hostile->figures.steps++;
    if (connection->fd < 0)
        open_connection(hostile, connection);
    if (connection->fd >= 0)
        hostile->kind->step(hostile, connection);
}

/* How many steps are due now, for all connections together. */
static uint64_t steps_due(const struct hostile *hostile, uint64_t begun_ns, uint64_t taken)
{
    const struct hostile_kind *kind = hostile->kind;
    if (kind->pace == PACE_LINE)
        return STEPS_AT_ONCE;
    double ticks = (double)(load_clock_ns() - begun_ns) / (double)(kind->tick_ms * NS_PER_MS);
    uint64_t due = kind->pace == PACE_TOGETHER ? (uint64_t)ticks * kind->connections
                                               : (uint64_t)(ticks * kind->connections);
    return due > taken ? due - taken : 0;
}

/* At line rate it works for PAUSE_US or little more, and rests as long as it has worked; else it
 * looks often enough for every tick. */
static void rest(const struct hostile *hostile, uint64_t *work_ns)
{
    uint64_t pause_ns = PAUSE_US * 1000ULL;
    if (hostile->kind->pace == PACE_LINE) {
        uint64_t worked_ns = load_clock_ns() - *work_ns;
        if (worked_ns < pause_ns)
            return;
        pause_ns = worked_ns;
    }
    struct timespec pause = {.tv_sec = (time_t)(pause_ns / NS_PER_SECOND),
                             .tv_nsec = (long)(pause_ns % NS_PER_SECOND)};
    nanosleep(&pause, NULL);
    *work_ns = load_clock_ns();
}

static void *run(void *context)
{
    struct hostile *hostile = context;
    const uint32_t count = hostile->kind->connections;
    uint64_t begun_ns = load_clock_ns(), work_ns = begun_ns, taken = 0;
    if (hostile->core >= 0)
        core_pin(hostile->core);
    sched_setscheduler(0, SCHED_IDLE, &(const struct sched_param){0});
    while (!atomic_load(&hostile->stop)) {
        uint64_t due = steps_due(hostile, begun_ns, taken);
        for (uint64_t i = 0; i < due && !atomic_load(&hostile->stop); i++)
            step(hostile, (uint32_t)(taken++ % count));
        rest(hostile, &work_ns);
    }
    return NULL;
}

bool hostile_start(struct hostile *hostile, const struct hostile_kind *kind,
                   const struct load_address *address, int core)
{
    memset(hostile, 0, sizeof *hostile);
    hostile->kind = kind;
    hostile->address = *address;
    hostile->core = core;
    hostile->random.state = random_seed();
    hostile->connections = calloc(kind->connections, sizeof *hostile->connections);
    hostile->scratch = malloc(HOSTILE_SCRATCH_SIZE);
    bool is_whole = hostile->connections != NULL && hostile->scratch != NULL;
    for (uint32_t i = 0; is_whole && i < kind->connections; i++) {
        hostile->connections[i].fd = -1;
        hostile->connections[i].number = i;
    }
    if (is_whole && pthread_create(&hostile->thread, NULL, run, hostile) == 0)
        return true;
    free(hostile->connections);
    free(hostile->scratch);
    return false;
}

void hostile_stop(struct hostile *hostile)
{
    atomic_store(&hostile->stop, true);
    pthread_join(hostile->thread, NULL);
    for (uint32_t i = 0; i < hostile->kind->connections; i++)
        hostile_close(&hostile->connections[i], i % 2 == 0);
    free(hostile->connections);
    free(hostile->scratch);
}
