/* Listeners, connections, receive buffers.
 *
 * Good path: each listener has ACCEPTS accepts under way, each of which brings one connection and
 * is armed again; one receive at a time per connection fills a provided buffer; one send at a time
 * per connection. A multishot accept would bring all waiting connections in one turn: clients that
 * connect and close at line rate made turns a millisecond long that way.
 *
 * What can fail: a receive that finds no buffer makes the connection starve: it goes to a list, and
 * is armed again in the list's order when buffers were released. Without free file descriptors
 * accepting pauses for a moment.
 *
 * What must hold: a connection's fd is closed only when no operation on it is under way in the
 * kernel. An operation keeps the file open, so that after an earlier close the FIN would not be
 * sent; and a late completion could meet the next connection with the same fd. */
#include "net/io_uring.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    LISTEN_BACKLOG = 4096,
    ACCEPTS = 4,          /* under way per listener: the most connections accepted in a turn */
    ACCEPT_DELAY_MS = 50, /* before accepting again after an error */
    LISTEN_TRIES = 400,   /* to bind an address that is in use, */
    LISTEN_DELAY_MS = 5,  /* with this delay between them */
};

/* Buffers. */

static uint8_t *buffer_bytes(const struct buffers *buffers, uint32_t index)
{
    return buffers->memory + index * buffers->stride_bytes + BUFFER_HEADROOM;
}

static void buffer_free(struct buffers *buffers, uint32_t index)
{
    TILL_ASSERT(buffers->free_count < buffers->count);
    buffers->free[buffers->free_count++] = (uint16_t)index;
}

/* Provides free buffers to the kernel, until it has provided_target of them. */
static void buffers_provide(struct buffers *buffers)
{
    if (buffers->was_short && buffers->free_count > 0 && buffers->provided_target < buffers->count)
        buffers->provided_target *= 2;
    buffers->was_short = false;

    int added = 0;
    while (buffers->provided_count < buffers->provided_target && buffers->free_count > 0) {
        uint32_t index = buffers->free[--buffers->free_count];
        io_uring_buf_ring_add(buffers->ring, buffer_bytes(buffers, index), buffers->size_bytes,
                              (uint16_t)index, io_uring_buf_ring_mask(buffers->count), added++);
        buffers->provided_count++;
    }
    if (added > 0)
        io_uring_buf_ring_advance(buffers->ring, added);
}

void io_buffer_release(struct io *io, uint32_t buffer)
{
    struct buffers *buffers = &io->buffers;
    TILL_ASSERT(buffer < buffers->count && buffers->is_taken[buffer]);
    buffers->is_taken[buffer] = false;
    buffer_free(buffers, buffer);
}

/* Connections. */

static struct connection *connection_at(struct io *io, int fd)
{
    TILL_ASSERT(fd >= 0 && (uint32_t)fd < io->connections_count);
    TILL_ASSERT(io->connections[fd].is_open);
    return &io->connections[fd];
}

/* The connection that a completion belongs to; NULL when it is closed. */
static struct connection *connection_of(struct io *io, const struct io_uring_cqe *cqe)
{
    struct connection *connection = &io->connections[(uint32_t)cqe->user_data];
    uint32_t generation = (uint32_t)(cqe->user_data >> 32) & GENERATION_MASK;
    return connection->is_open && connection->generation == generation ? connection : NULL;
}

static bool receive_is_under_way(const struct connection *connection)
{
    return connection->receive == RECEIVE_ARMED || connection->receive == RECEIVE_CANCELING;
}

static void connection_arm(struct io *io, struct connection *connection, int fd)
{
    TILL_ASSERT(!receive_is_under_way(connection) && !connection->is_closing);
    struct io_uring_sqe *sqe =
        io_operation(io, OPERATION_RECEIVE, connection->generation, (uint32_t)fd);
    /* POLL_FIRST: mostly the next request is not there yet, and trying to receive at once would
     * only take a buffer in vain. */
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    connection->receive = RECEIVE_ARMED;
}

static void connection_starve(struct io *io, struct connection *connection, int fd)
{
    struct connection_list *list = &io->starving;
    connection->receive = RECEIVE_STARVING;
    if (connection->is_listed)
        return;
    connection->is_listed = true;
    connection->starving_next = NONE;
    if (list->last == NONE)
        list->first = (uint32_t)fd + 1;
    else
        io->connections[list->last - 1].starving_next = (uint32_t)fd + 1;
    list->last = (uint32_t)fd + 1;
}

/* Cancels by user_data, which the kernel finds by hash; by fd it would search all operations.
 * Success makes no completion of its own: that of the canceled operation tells. */
static void cancel(struct io *io, enum operation by, enum operation of,
                   const struct connection *connection, int fd)
{
    struct io_uring_sqe *sqe = io_operation(io, by, connection->generation, (uint32_t)fd);
    io_uring_prep_cancel64(sqe, operation_data(of, connection->generation, (uint32_t)fd), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void receive_cancel(struct io *io, struct connection *connection, int fd)
{
    if (connection->receive == RECEIVE_STARVING)
        connection->receive = RECEIVE_IDLE;
    if (connection->receive != RECEIVE_ARMED)
        return;
    connection->receive = RECEIVE_CANCELING;
    cancel(io, OPERATION_CANCEL_RECEIVE, OPERATION_RECEIVE, connection, fd);
}

/* A cancellation that found nothing. Mostly the operation has just completed. Otherwise it was
 * changing its state in the kernel at that moment, and is canceled again. */
bool io_take_cancel(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    (void)event;
    struct connection *connection = connection_of(io, cqe);
    int fd = (int)(uint32_t)cqe->user_data;
    if (connection == NULL)
        return false;
    if (cqe->user_data >> 56 == OPERATION_CANCEL_SEND) {
        if (connection->is_sending)
            cancel(io, OPERATION_CANCEL_SEND, OPERATION_SEND, connection, fd);
    } else if (connection->receive == RECEIVE_CANCELING) {
        connection->receive = RECEIVE_ARMED;
        if (!connection->is_wanted)
            receive_cancel(io, connection, fd);
    }
    return false;
}

int io_connection_open(struct io *io, int fd)
{
    if ((uint32_t)fd >= io->connections_count) {
        close(fd);
        return -EMFILE;
    }
    struct connection *connection = &io->connections[fd];
    TILL_ASSERT(!connection->is_open);
    *connection = (struct connection){
        .generation = connection->generation,
        .starving_next = connection->starving_next,
        .is_listed = connection->is_listed,
        .is_open = true,
    };
    return fd;
}

/* Closes the fd of a closing connection if no operation is under way: true, with its last event. */
static bool connection_finish(struct connection *connection, int fd, struct io_event *event)
{
    if (receive_is_under_way(connection) || connection->is_sending)
        return false;
    TILL_ASSERT(connection->is_closing);
    close(fd);
    connection->is_open = false;
    connection->generation = (connection->generation + 1) & GENERATION_MASK;
    *event = (struct io_event){.user = connection->user_close, .kind = IO_CLOSED};
    return true;
}

/* A receive that makes an event is the last until the owner asks again. One that made none, because
 * it was canceled or found no buffer, is started again if the owner still waits for an event. */
static void receive_ended(struct io *io, struct connection *connection, int fd, int result)
{
    TILL_ASSERT(receive_is_under_way(connection));
    connection->receive = RECEIVE_IDLE;
    if (result == -ENOBUFS)
        io->buffers.was_short = true;
    else if (result != -ECANCELED)
        connection->is_wanted = false;
    if (!connection->is_wanted)
        return;
    if (result == -ENOBUFS)
        connection_starve(io, connection, fd);
    else
        connection_arm(io, connection, fd);
}

bool io_take_receive(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct buffers *buffers = &io->buffers;
    struct connection *connection = connection_of(io, cqe);
    int fd = (int)(uint32_t)cqe->user_data;
    bool has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    bool is_event = connection != NULL && !connection->is_closing && cqe->res != -ENOBUFS &&
                    cqe->res != -ECANCELED;

    if (has_buffer) {
        buffers->provided_count--;
        if (is_event && cqe->res > 0)
            buffers->is_taken[buffer] = true;
        else
            buffer_free(buffers, buffer);
    }
    if (connection == NULL)
        return false;
    receive_ended(io, connection, fd, cqe->res);
    if (connection->is_closing)
        return connection_finish(connection, fd, event);
    if (!is_event)
        return false;
    *event = (struct io_event){
        .user = connection->user_receive,
        .bytes = cqe->res > 0 ? buffer_bytes(buffers, buffer) : NULL,
        .result = cqe->res,
        .buffer = buffer,
        .kind = IO_RECEIVED,
    };
    return true;
}

void io_receive(struct io *io, int fd, uint64_t user)
{
    struct connection *connection = connection_at(io, fd);
    TILL_ASSERT(!connection->is_closing);
    connection->user_receive = user;
    connection->is_wanted = true;
    if (connection->receive != RECEIVE_IDLE)
        return; /* armed or starving; if canceling, receive_ended arms it again */
    if (io->starving.first != NONE)
        connection_starve(io, connection, fd); /* others wait for a buffer already: behind them */
    else
        connection_arm(io, connection, fd);
}

void io_receive_cancel(struct io *io, int fd, uint64_t user)
{
    struct connection *connection = connection_at(io, fd);
    connection->user_receive = user;
    connection->is_wanted = false;
    receive_cancel(io, connection, fd);
}

void io_send(struct io *io, int fd, uint64_t user, const void *bytes, size_t size)
{
    struct connection *connection = connection_at(io, fd);
    TILL_ASSERT(!connection->is_sending && !connection->is_closing);
    TILL_ASSERT(size > 0 && size <= INT32_MAX);
    connection->user_send = user;
    connection->is_sending = true;
    io_uring_prep_send(io_operation(io, OPERATION_SEND, connection->generation, (uint32_t)fd), fd,
                       bytes, size, MSG_WAITALL | MSG_NOSIGNAL);
}

bool io_take_send(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct connection *connection = connection_of(io, cqe);
    if (connection == NULL)
        return false;
    connection->is_sending = false;
    if (connection->is_closing)
        return connection_finish(connection, (int)(uint32_t)cqe->user_data, event);
    *event = (struct io_event){.user = connection->user_send, .kind = IO_SENT, .result = cqe->res};
    return true;
}

void io_close(struct io *io, int fd, uint64_t user)
{
    struct connection *connection = connection_at(io, fd);
    TILL_ASSERT(!connection->is_closing);
    connection->user_close = user;
    connection->is_wanted = false;
    connection->is_closing = true;
    receive_cancel(io, connection, fd);
    if (connection->is_sending) {
        const struct linger reset = {.l_onoff = 1};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        cancel(io, OPERATION_CANCEL_SEND, OPERATION_SEND, connection, fd);
    }
    (void)shutdown(fd, SHUT_RDWR); /* tells the peer at once; fails if the peer is gone already */
    if (receive_is_under_way(connection) || connection->is_sending)
        return; /* connection_finish closes it at the last completion */
    connection->closed_next = NONE;
    if (io->closed.last == NONE)
        io->closed.first = (uint32_t)fd + 1;
    else
        io->connections[io->closed.last - 1].closed_next = (uint32_t)fd + 1;
    io->closed.last = (uint32_t)fd + 1;
}

uint32_t io_sockets_closed(struct io *io, struct io_event *events, uint32_t events_max)
{
    uint32_t count = 0;
    while (io->closed.first != NONE && count < events_max) {
        int fd = (int)io->closed.first - 1;
        io->closed.first = io->connections[fd].closed_next;
        if (io->closed.first == NONE)
            io->closed.last = NONE;
        bool is_closed = connection_finish(&io->connections[fd], fd, &events[count]);
        TILL_ASSERT(is_closed);
        count++;
    }
    return count;
}

/* Arms starving connections, the longest waiting first, one for each buffer that the kernel has.
 * Those without data take no buffer; the next turn then arms others. */
bool io_sockets_feed(struct io *io)
{
    struct connection_list *list = &io->starving;
    buffers_provide(&io->buffers);
    uint32_t left = io->buffers.provided_count;
    while (list->first != NONE && left > 0) {
        int fd = (int)list->first - 1;
        struct connection *connection = &io->connections[fd];
        list->first = connection->starving_next;
        if (list->first == NONE)
            list->last = NONE;
        connection->is_listed = false;
        if (!connection->is_open || connection->receive != RECEIVE_STARVING)
            continue; /* canceled or closed meanwhile */
        connection_arm(io, connection, fd);
        left--;
    }
    return list->first != NONE && io->buffers.provided_count > 0;
}

/* Listeners. */

static void accept_arm(struct io *io, uint32_t index)
{
    io_uring_prep_accept(io_operation(io, OPERATION_ACCEPT, 0, index), io->listeners[index].fd,
                         NULL, NULL, SOCK_CLOEXEC);
}

bool io_take_accept_delay(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    (void)event;
    accept_arm(io, (uint32_t)cqe->user_data);
    return false;
}

/* After an error the next accept would mostly fail as well, so it is delayed; but not when only the
 * client has aborted its connection. */
static void accept_ended(struct io *io, uint32_t index, int result)
{
    static struct __kernel_timespec delay = {.tv_nsec = ACCEPT_DELAY_MS * 1000000};
    if (result >= 0 || result == -ECONNABORTED)
        accept_arm(io, index);
    else
        io_uring_prep_timeout(io_operation(io, OPERATION_ACCEPT_DELAY, 0, index), &delay, 0, 0);
}

bool io_take_accept(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    uint32_t index = (uint32_t)cqe->user_data;
    int result = cqe->res;
    accept_ended(io, index, result);
    if (result >= 0)
        result = io_connection_open(io, result);
    *event =
        (struct io_event){.user = io->listeners[index].user, .kind = IO_ACCEPTED, .result = result};
    return true;
}

/* Options of a connection; accepted sockets inherit them from their listener. The kernel's buffers
 * are bounded because all sockets share the system's memory for them, and by default one client
 * that does not read may take megabytes of it. Keepalive detects peers that have vanished without
 * closing. */
static const struct {
    int level;
    int name;
    int value;
} socket_options[] = {
    {IPPROTO_TCP, TCP_NODELAY, 1},
    {SOL_SOCKET, SO_RCVBUF, 128 * 1024},         /* the kernel doubles it, for its bookkeeping */
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 32 * 1024}, /* unsent bytes, beyond the peer's window */
    {SOL_SOCKET, SO_KEEPALIVE, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, 60},
    {IPPROTO_TCP, TCP_KEEPINTVL, 15},
    {IPPROTO_TCP, TCP_KEEPCNT, 4},
};

bool io_socket_options_set(int fd)
{
    for (size_t i = 0; i < sizeof socket_options / sizeof socket_options[0]; i++) {
        if (setsockopt(fd, socket_options[i].level, socket_options[i].name,
                       &socket_options[i].value, sizeof(int)) != 0)
            return false;
    }
    return true;
}

/* Binds and listens on one of the addresses that a name resolves to. */
static int listener_try(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
    if (fd < 0)
        return -errno;
    static const int reuse = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) != 0 ||
        !io_socket_options_set(fd) || bind(fd, info->ai_addr, info->ai_addrlen) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* A killed process keeps its address for some milliseconds, until the kernel has destroyed its
 * ring. A server that is started right after it tries until then. */
static int listener_open(const struct addrinfo *infos)
{
    static const struct timespec delay = {.tv_nsec = LISTEN_DELAY_MS * 1000000};
    int fd = -EADDRINUSE;
    for (int tries = 0; tries < LISTEN_TRIES && fd == -EADDRINUSE; tries++) {
        if (tries > 0)
            nanosleep(&delay, NULL);
        fd = -EADDRNOTAVAIL;
        for (const struct addrinfo *info = infos; info != NULL && fd < 0; info = info->ai_next)
            fd = listener_try(info);
    }
    return fd;
}

static int bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6.sin6_port = 0};
    socklen_t size = sizeof bound;
    if (getsockname(fd, &bound.any, &size) != 0)
        return -errno;
    return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
}

int io_listen(struct io *io, const char *address, uint64_t user)
{
    struct address parts;
    if (io->listeners_count == LISTENERS_MAX)
        return -EMFILE;
    if (!address_split(&parts, address))
        return -EINVAL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *infos = NULL;
    int failure =
        getaddrinfo(parts.host[0] == '\0' ? NULL : parts.host, parts.port, &hints, &infos);
    if (failure != 0)
        return failure == EAI_SYSTEM ? -errno : -EADDRNOTAVAIL;
    int fd = listener_open(infos);
    freeaddrinfo(infos);
    if (fd < 0)
        return fd;
    uint32_t index = io->listeners_count++;
    io->listeners[index] = (struct listener){.user = user, .fd = fd};
    for (int i = 0; i < ACCEPTS; i++)
        accept_arm(io, index);
    return bound_port(fd);
}

/* Memory of all of them. */

int io_sockets_init(struct io *io, const struct io_options *options)
{
    struct buffers *buffers = &io->buffers;
    TILL_ASSERT(options->buffer_count > 0 && options->buffer_count <= 32768);
    TILL_ASSERT((options->buffer_count & (options->buffer_count - 1)) == 0);
    TILL_ASSERT(options->buffer_size >= 64 && options->buffer_size % 64 == 0);
    buffers->count = options->buffer_count;
    buffers->size_bytes = options->buffer_size;
    /* The headroom also keeps the distance of two buffers from being a power of two, which would
     * map all of them to the same few sets of the CPU's caches. */
    buffers->stride_bytes = (uint64_t)options->buffer_size + BUFFER_HEADROOM;
    buffers->memory = memory_map(buffers->stride_bytes * buffers->count);
    buffers->ring = memory_map(sizeof(struct io_uring_buf) * buffers->count);
    buffers->is_taken = memory_map(buffers->count);
    buffers->free = memory_map(sizeof(uint16_t) * buffers->count);
    io->connections_count = options->connections_max + CONNECTIONS_SLACK;
    io->connections = memory_map(sizeof(struct connection) * io->connections_count);
    if (buffers->memory == NULL || buffers->ring == NULL || buffers->is_taken == NULL ||
        buffers->free == NULL || io->connections == NULL)
        return -ENOMEM;
    buffers->provided_target = buffers->count < BUFFERS_FIRST ? buffers->count : BUFFERS_FIRST;
    for (uint32_t i = buffers->count; i-- > 0;)
        buffer_free(buffers, i);
    return 0;
}

void io_sockets_deinit(struct io *io)
{
    struct buffers *buffers = &io->buffers;
    for (uint32_t i = 0; i < io->listeners_count; i++)
        close(io->listeners[i].fd);
    for (uint32_t fd = 0; io->connections != NULL && fd < io->connections_count; fd++) {
        if (io->connections[fd].is_open)
            close((int)fd);
    }
    memory_unmap(io->connections, sizeof(struct connection) * io->connections_count);
    memory_unmap(buffers->free, sizeof(uint16_t) * buffers->count);
    memory_unmap(buffers->is_taken, buffers->count);
    memory_unmap(buffers->ring, sizeof(struct io_uring_buf) * buffers->count);
    memory_unmap(buffers->memory, buffers->stride_bytes * buffers->count);
}
