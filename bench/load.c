/* The load generator.
 *
 * On the good path one turn is: wait for readable sockets; for each, one large receive into the
 * shared buffer, a walk over the whole frames in it, then new requests written one behind the other
 * and one send. So a connection with 64 requests in flight costs two system calls per 64 answers,
 * and the bytes stay in the cache.
 *
 * A frame that is not all there is kept in the connection's partial buffer and put in front of its
 * next receive. A send that the socket does not take whole waits for EPOLLOUT; nothing new is asked
 * for on that connection until it is out.
 *
 * Answers come in the order of the requests, so the oldest ticket belongs to the next answer. A
 * wrong request number is handed to the driver as such. A malformed frame, an error message or the
 * end of the stream breaks the connection: its tickets are given to the driver as lost.
 *
 * In an open loop a turn ends with what has become due by then, all of it on the next connection
 * that has room: one system call, however many they are. The last stretch before the next request
 * is due is waited for by polling, since a sleeping thread wakes up late; with a grain, requests
 * gather that long and the thread sleeps, which leaves its core to others.
 *
 * Always: request_next - request_oldest <= in_flight_max, and in_flight is their sum. */
#include "bench/load.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/status.h"
#include "engine/messages.h"

enum {
    EVENTS_MAX = 128,
    HELLO_TIMEOUT_S = 10,
    SPIN_NS = 150 * 1000, /* how late a sleeping thread may wake up */
};

uint64_t load_clock_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

bool load_address_read(struct load_address *address, const char *text)
{
    struct address parts;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (!address_split(&parts, text) || parts.host[0] == '\0' ||
        getaddrinfo(parts.host, parts.port, &hints, &found) != 0)
        return false;
    memcpy(&address->name, found->ai_addr, found->ai_addrlen);
    address->size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool load_address_is_loopback(const struct load_address *address)
{
    if (address->name.ss_family == AF_INET) {
        const struct sockaddr_in *name = (const void *)&address->name;
        return ntohl(name->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *name = (const void *)&address->name;
    return IN6_IS_ADDR_LOOPBACK(&name->sin6_addr);
}

bool load_init(struct load *load, const struct load_driver *driver, uint32_t connections,
               uint32_t in_flight_max)
{
    memset(load, 0, sizeof *load);
    load->driver = *driver;
    load->connection_count = connections;
    load->in_flight_max = in_flight_max;
    uint32_t ticket_count = 1;
    while (ticket_count < in_flight_max)
        ticket_count *= 2;
    load->ticket_mask = ticket_count - 1;

    size_t tickets_size = ticket_count * sizeof(struct load_ticket);
    size_t each = sizeof(struct load_connection) + tickets_size + LOAD_OUT_SIZE + FRAME_SIZE_MAX;
    load->memory_size = FRAME_SIZE_MAX + LOAD_IN_SIZE + connections * each;
    load->memory = memory_map(load->memory_size);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->memory == NULL || load->epoll < 0) {
        snprintf(load->error, sizeof load->error, "%u connections: %s", connections,
                 strerror(errno));
        load_deinit(load);
        return false;
    }
    uint8_t *cursor = load->memory + FRAME_SIZE_MAX + LOAD_IN_SIZE;
    load->in = load->memory;
    load->connections = (void *)cursor;
    cursor += connections * sizeof(struct load_connection);
    for (uint32_t i = 0; i < connections; i++) {
        struct load_connection *connection = &load->connections[i];
        connection->fd = -1;
        connection->tickets = (void *)cursor;
        connection->out = cursor + tickets_size;
        connection->partial = connection->out + LOAD_OUT_SIZE;
        cursor = connection->partial + FRAME_SIZE_MAX;
    }
    return true;
}

void load_deinit(struct load *load)
{
    if (load->connections != NULL)
        load_disconnect(load);
    if (load->memory != NULL)
        memory_unmap(load->memory, load->memory_size);
    if (load->epoll >= 0)
        close(load->epoll);
    load->memory = NULL;
    load->connections = NULL;
    load->epoll = -1;
}

static void connection_close(struct load *load, struct load_connection *connection)
{
    if (connection->fd < 0)
        return;
    close(connection->fd);
    connection->fd = -1;
    load->connected--;
    while (connection->request_oldest != connection->request_next) {
        uint32_t request = connection->request_oldest++;
        load->in_flight--;
        load->driver.lost(load->driver.context,
                          connection->tickets[request & load->ticket_mask].token);
    }
}

void load_disconnect(struct load *load)
{
    for (uint32_t i = 0; i < load->connection_count; i++)
        connection_close(load, &load->connections[i]);
}

/* Receives exactly size bytes, in as many calls as it takes. */
static bool receive_exactly(int fd, void *bytes, size_t size)
{
    for (uint8_t *cursor = bytes; size > 0;) {
        ssize_t got = recv(fd, cursor, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return false;
        cursor += got;
        size -= (size_t)got;
    }
    return true;
}

/* Says hello on the socket while it still blocks, with a timeout for the answer. */
static bool say_hello(struct load *load, int fd)
{
    struct {
        struct frame frame;
        struct hello_body body;
    } hello = {
        .frame = {.size = sizeof hello, .type = MESSAGE_hello},
        .body = {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION},
    };
    union {
        struct frame frame;
        uint64_t bytes[FRAME_SIZE_MAX / 8];
    } reply;
    const void *body = reply.bytes + sizeof(struct frame) / 8;
    struct timeval timeout = {.tv_sec = HELLO_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello ||
        !receive_exactly(fd, &reply, sizeof reply.frame)) {
        snprintf(load->error, sizeof load->error, "no answer to hello: %s", strerror(errno));
        return false;
    }
    size_t body_size = reply.frame.size - sizeof reply.frame;
    bool sane = reply.frame.size >= sizeof reply.frame && reply.frame.size <= FRAME_SIZE_MAX &&
                receive_exactly(fd, reply.bytes + sizeof reply.frame / 8, body_size);
    const struct error_reply_body *error = body;
    if (sane && reply.frame.type == (MESSAGE_error | FRAME_REPLY) && body_size >= sizeof *error) {
        snprintf(load->error, sizeof load->error, "refused: %.*s", (int)sizeof error->reason,
                 error->reason.bytes);
        return false;
    }
    const struct hello_reply_body *welcome = body;
    if (!sane || reply.frame.type != (MESSAGE_hello | FRAME_REPLY) || body_size < sizeof *welcome ||
        welcome->in_flight_max == 0) {
        snprintf(load->error, sizeof load->error, "the answer to hello is not one of till's");
        return false;
    }
    if (load->in_flight_max > welcome->in_flight_max)
        load->in_flight_max = welcome->in_flight_max;
    return true;
}

static bool connection_open(struct load *load, struct load_connection *connection,
                            const struct load_address *address)
{
    const int on = 1;
    int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = connection};
    if (fd < 0 || connect(fd, (const void *)&address->name, address->size) != 0) {
        snprintf(load->error, sizeof load->error, "cannot connect: %s", strerror(errno));
        goto failed;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!say_hello(load, fd))
        goto failed;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &interest) != 0) {
        snprintf(load->error, sizeof load->error, "cannot watch: %s", strerror(errno));
        goto failed;
    }
    connection->fd = fd;
    connection->out_start = connection->out_end = connection->partial_size = 0;
    connection->request_oldest = connection->request_next = 0;
    connection->blocked = false;
    load->connected++;
    return true;
failed:
    if (fd >= 0)
        close(fd);
    return false;
}

bool load_connect(struct load *load, const struct load_address *address)
{
    TILL_ASSERT(load->connected == 0);
    for (uint32_t i = 0; i < load->connection_count; i++) {
        if (!connection_open(load, &load->connections[i], address)) {
            load_disconnect(load);
            return false;
        }
    }
    return true;
}

/* Queues up to limit requests while the window and the buffer have room; returns how many. */
static uint32_t connection_ask(struct load *load, struct load_connection *connection,
                               uint64_t limit)
{
    bool paced = load->schedule.interval_ns > 0;
    uint64_t now_ns = load_clock_ns();
    uint32_t room = load->in_flight_max - (connection->request_next - connection->request_oldest);
    uint32_t asked = 0;
    while (asked < room && asked < limit && connection->out_end <= LOAD_OUT_SIZE - FRAME_SIZE_MAX) {
        struct frame *frame = (void *)(connection->out + connection->out_end);
        uint32_t request = connection->request_next;
        struct load_ticket *ticket = &connection->tickets[request & load->ticket_mask];
        if (!load->driver.request(load->driver.context, frame, &ticket->token))
            break;
        frame->outcome = 0;
        frame->request = request;
        frame->checksum = 0;
        ticket->queued_ns = paced ? load_due_ns(load, load->schedule.asked + asked) : now_ns;
        connection->request_next++;
        connection->out_end += frame->size;
        asked++;
    }
    load->in_flight += asked;
    return asked;
}

static void watch_for_room(struct load *load, struct load_connection *connection, bool blocked)
{
    if (connection->blocked == blocked)
        return;
    struct epoll_event interest = {.events = blocked ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                   .data.ptr = connection};
    epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &interest);
    connection->blocked = blocked;
}

/* Sends what is queued; false when the connection is broken. */
static bool connection_send(struct load *load, struct load_connection *connection)
{
    size_t size = connection->out_end - connection->out_start;
    if (size == 0)
        return true;
    ssize_t sent = send(connection->fd, connection->out + connection->out_start, size,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        snprintf(load->error, sizeof load->error, "send: %s", strerror(errno));
        return false;
    }
    connection->out_start += sent > 0 ? (uint32_t)sent : 0;
    bool blocked = connection->out_start != connection->out_end;
    if (!blocked)
        connection->out_start = connection->out_end = 0;
    watch_for_room(load, connection, blocked);
    return true;
}

/* Asks and sends until the window is full, the driver has nothing, or the socket takes no more. In
 * an open loop only sends: requests come when they are due. */
static bool connection_fill(struct load *load, struct load_connection *connection)
{
    for (;;) {
        if (!connection_send(load, connection))
            return false;
        if (connection->blocked || load->schedule.interval_ns > 0)
            return true;
        connection_ask(load, connection, UINT32_MAX);
        if (connection->out_end == 0)
            return true;
    }
}

/* Hands the whole frames in [bytes, bytes + size) to the driver. Returns how many bytes they took,
 * or -1 when a frame is malformed or says that the server gives up. */
static int64_t connection_take(struct load *load, struct load_connection *connection,
                               const uint8_t *bytes, size_t size)
{
    uint64_t now_ns = load_clock_ns();
    size_t taken = 0;
    while (size - taken >= sizeof(struct frame)) {
        const struct frame *frame = (const void *)(bytes + taken);
        if (frame->size < sizeof *frame + 8 || frame->size > FRAME_SIZE_MAX ||
            frame->size % FRAME_ALIGN != 0) {
            snprintf(load->error, sizeof load->error, "malformed frame of %u bytes", frame->size);
            return -1;
        }
        if (frame->size > size - taken)
            break;
        if (frame->type == (MESSAGE_error | FRAME_REPLY)) {
            const struct error_reply_body *error = (const void *)(frame + 1);
            snprintf(load->error, sizeof load->error, "the server closes: %.*s",
                     frame->size >= sizeof *frame + sizeof *error ? (int)sizeof error->reason : 0,
                     error->reason.bytes);
            return -1;
        }
        if (connection->request_oldest == connection->request_next) {
            snprintf(load->error, sizeof load->error, "an answer that nobody asked for");
            return -1;
        }
        uint32_t request = connection->request_oldest++;
        const struct load_ticket *ticket = &connection->tickets[request & load->ticket_mask];
        load->in_flight--;
        load->driver.reply(load->driver.context,
                           &(struct load_reply){
                               .frame = frame,
                               .token = ticket->token,
                               .received_ns = now_ns,
                               .latency_ns = now_ns - ticket->queued_ns,
                               .connection = (uint32_t)(connection - load->connections),
                               .in_order = frame->request == request,
                           });
        taken += frame->size;
    }
    return (int64_t)taken;
}

/* Receives once; false when the connection is broken. */
static bool connection_receive(struct load *load, struct load_connection *connection)
{
    uint8_t *in = load->in;
    memcpy(in, connection->partial, connection->partial_size);
    ssize_t got = recv(connection->fd, in + connection->partial_size, LOAD_IN_SIZE, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0) {
        snprintf(load->error, sizeof load->error, "connection lost: %s",
                 got == 0 ? "closed by the server" : strerror(errno));
        return false;
    }
    size_t size = connection->partial_size + (size_t)got;
    int64_t taken = connection_take(load, connection, in, size);
    if (taken < 0)
        return false;
    connection->partial_size = (uint32_t)(size - (size_t)taken);
    memcpy(connection->partial, in + taken, connection->partial_size);
    return true;
}

void load_fill(struct load *load)
{
    for (uint32_t i = 0; i < load->connection_count; i++) {
        struct load_connection *connection = &load->connections[i];
        if (connection->fd >= 0 && !connection_fill(load, connection))
            connection_close(load, connection);
    }
}

void load_pace(struct load *load, double requests_per_second, uint64_t start_ns, uint64_t end_ns)
{
    load->schedule = (struct load_schedule){
        .interval_ns = 1e9 / requests_per_second, .start_ns = start_ns, .end_ns = end_ns};
}

uint64_t load_due_ns(const struct load *load, uint64_t request)
{
    return load->schedule.start_ns + (uint64_t)((double)request * load->schedule.interval_ns);
}

uint64_t load_backlog(const struct load *load, uint64_t now_ns)
{
    const struct load_schedule *schedule = &load->schedule;
    uint64_t until_ns = now_ns < schedule->end_ns ? now_ns : schedule->end_ns;
    if (schedule->interval_ns <= 0 || until_ns <= schedule->start_ns)
        return 0;
    uint64_t due = 1 + (uint64_t)((double)(until_ns - schedule->start_ns) / schedule->interval_ns);
    return due > schedule->asked ? due - schedule->asked : 0;
}

/* Queues requests that are due, on the connections that have room, one after the other. */
static bool ask_what_is_due(struct load *load)
{
    struct load_schedule *schedule = &load->schedule;
    uint64_t now_ns = load_clock_ns();
    bool whole = true;
    if (now_ns < schedule->looked_ns + load->grain_ns)
        return whole;
    uint64_t due = load_backlog(load, now_ns);
    schedule->looked_ns = now_ns;
    for (uint32_t tried = 0; due != 0 && tried < load->connection_count; tried++) {
        struct load_connection *connection = &load->connections[schedule->next];
        schedule->next = (schedule->next + 1) % load->connection_count;
        if (connection->fd < 0 || connection->blocked)
            continue;
        uint32_t asked = connection_ask(load, connection, due);
        schedule->asked += asked;
        due -= asked;
        if (asked != 0 && !connection_send(load, connection)) {
            connection_close(load, connection);
            whole = false;
        }
    }
    if (due > schedule->backlog_max)
        schedule->backlog_max = due;
    return whole;
}

/* When the next requests are to be queued, in an open loop. */
static uint64_t next_look_ns(const struct load *load)
{
    const struct load_schedule *schedule = &load->schedule;
    uint64_t due_ns = load_due_ns(load, schedule->asked);
    uint64_t look_ns = schedule->looked_ns + load->grain_ns;
    return load->grain_ns > 0 && look_ns > due_ns ? look_ns : due_ns;
}

/* Waits for events, in an open loop only until shortly before the next request is due. */
static int await_events(struct load *load, struct epoll_event *events, int timeout_ms)
{
    struct load_schedule *schedule = &load->schedule;
    uint64_t now_ns = load_clock_ns();
    bool has_ended = now_ns >= schedule->end_ns && load_backlog(load, now_ns) == 0;
    if (schedule->interval_ns <= 0 || has_ended)
        return epoll_wait(load->epoll, events, EVENTS_MAX, timeout_ms);
    uint64_t due_ns = next_look_ns(load);
    uint64_t spin_ns = load->grain_ns > 0 ? 0 : SPIN_NS;
    if (due_ns > now_ns + spin_ns) {
        uint64_t pause_ns = due_ns - now_ns - spin_ns;
        struct timespec pause = {.tv_sec = (time_t)(pause_ns / 1000000000ULL),
                                 .tv_nsec = (long)(pause_ns % 1000000000ULL)};
        return epoll_pwait2(load->epoll, events, EVENTS_MAX, &pause, NULL);
    }
    int count = epoll_wait(load->epoll, events, EVENTS_MAX, 0);
    if (count == 0 && load->grain_ns == 0)
        schedule->spun_ns += load_clock_ns() - now_ns;
    return count;
}

bool load_turn(struct load *load, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    bool whole = true;
    int count = await_events(load, events, timeout_ms);
    for (int i = 0; i < count; i++) {
        struct load_connection *connection = events[i].data.ptr;
        bool usable =
            (events[i].events & ~(uint32_t)EPOLLOUT) == 0 || connection_receive(load, connection);
        if (!usable || !connection_fill(load, connection)) {
            connection_close(load, connection);
            whole = false;
        }
    }
    if (load->schedule.interval_ns > 0)
        whole &= ask_what_is_due(load);
    return whole;
}
