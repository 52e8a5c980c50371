/* The echo server and its clients: every event of the io is handled, and nothing is lost. */
#include "tests/unit/io_support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/test.h"

void echo_open(struct echo *echo, uint32_t connections_max, uint32_t buffer_size,
               uint32_t buffer_count)
{
    char error[IO_ERROR_SIZE] = "";
    const struct io_options options = {
        .connections_max = connections_max,
        .buffer_size = buffer_size,
        .buffer_count = buffer_count,
    };
    *echo = (struct echo){.io = io_create(&options, error), .stream_size = 1 << 20};
    if (echo->io == NULL)
        test_fail(__FILE__, __LINE__, "%s", error);
    echo->connections = calloc(ECHO_CONNECTIONS_MAX, sizeof *echo->connections);
    echo->port = io_listen(echo->io, "127.0.0.1:0", 7);
    CHECK(echo->connections != NULL && echo->port > 0);
}

void echo_close(struct echo *echo)
{
    io_destroy(echo->io);
    for (uint32_t i = 0; i < echo->connections_count; i++)
        free(echo->connections[i].out);
    free(echo->connections);
}

/* Connections are users 1000 and up. */
static struct echo_connection *connection_of(struct echo *echo, uint64_t user)
{
    CHECK(user >= 1000 && user < 1000 + echo->connections_count);
    struct echo_connection *connection = &echo->connections[user - 1000];
    CHECK(!connection->is_closed);
    return connection;
}

static uint64_t user_of(const struct echo *echo, const struct echo_connection *connection)
{
    return 1000 + (uint64_t)(connection - echo->connections);
}

static void accepted(struct echo *echo, const struct io_event *event)
{
    CHECK_EQUAL(event->user, 7);
    if (event->result < 0) {
        echo->accept_errors_count++;
        return;
    }
    CHECK(echo->connections_count < ECHO_CONNECTIONS_MAX);
    struct echo_connection *connection = &echo->connections[echo->connections_count++];
    connection->fd = event->result;
    io_receive(echo->io, event->result, user_of(echo, connection));
}

static void send_back(struct echo *echo, struct echo_connection *connection)
{
    size_t size = connection->out_end - connection->out_sent;
    if (connection->is_sending || connection->is_closing || size == 0)
        return;
    connection->is_sending = true;
    io_send(echo->io, connection->fd, user_of(echo, connection),
            connection->out + connection->out_sent, size);
}

static void keep(struct echo *echo, struct echo_connection *connection, const uint8_t *bytes,
                 size_t size)
{
    if (connection->out == NULL)
        connection->out = malloc(echo->stream_size);
    CHECK(connection->out != NULL && connection->out_end + size <= echo->stream_size);
    memcpy(connection->out + connection->out_end, bytes, size);
    connection->out_end += size;
}

static void received(struct echo *echo, const struct io_event *event)
{
    struct echo_connection *connection = connection_of(echo, event->user);
    CHECK(!connection->is_ended);
    if (event->result <= 0) {
        connection->is_ended = true;
        echo_hang_up(echo, (uint32_t)(connection - echo->connections));
        return;
    }
    CHECK((uintptr_t)event->bytes % 64 == 0);
    memset(event->bytes - 64, 0xee, 64); /* the headroom belongs to no one else */
    connection->received_bytes += (uint64_t)event->result;
    if (!echo->keeps_what_arrives && !connection->is_closing)
        keep(echo, connection, event->bytes, (size_t)event->result);
    if (echo->holds_buffers) {
        CHECK(echo->held_count < ECHO_HELD_MAX);
        echo->held[echo->held_count++] = event->buffer;
    } else {
        io_buffer_release(echo->io, event->buffer);
    }
    send_back(echo, connection);
    if (!connection->is_paused && !connection->is_closing)
        io_receive(echo->io, connection->fd, event->user);
}

static void sent(struct echo *echo, const struct io_event *event)
{
    struct echo_connection *connection = connection_of(echo, event->user);
    CHECK(connection->is_sending);
    connection->is_sending = false;
    if (event->result > 0)
        connection->out_sent += (size_t)event->result;
    else
        echo_hang_up(echo, (uint32_t)(connection - echo->connections));
    CHECK(connection->out_sent <= connection->out_end);
    send_back(echo, connection);
}

static void closed(struct echo *echo, const struct io_event *event)
{
    struct echo_connection *connection = connection_of(echo, event->user);
    CHECK(connection->is_closing);
    connection->is_closed = true;
    echo->closed_count++;
}

void echo_hang_up(struct echo *echo, uint32_t index)
{
    struct echo_connection *connection = &echo->connections[index];
    if (connection->is_closing)
        return;
    connection->is_closing = true;
    io_close(echo->io, connection->fd, user_of(echo, connection));
}

void echo_release(struct echo *echo)
{
    while (echo->held_count > 0)
        io_buffer_release(echo->io, echo->held[--echo->held_count]);
}

uint32_t echo_turn(struct echo *echo, uint64_t timeout_us)
{
    struct io_event events[IO_EVENTS_MAX];
    uint32_t events_max = echo->events_max > 0 ? echo->events_max : IO_EVENTS_MAX;
    int count = io_wait(echo->io, events, events_max, 1, timeout_us);
    CHECK(count >= 0 && (uint32_t)count <= events_max);
    for (int i = 0; i < count; i++) {
        switch (events[i].kind) {
        case IO_ACCEPTED:
            accepted(echo, &events[i]);
            break;
        case IO_RECEIVED:
            received(echo, &events[i]);
            break;
        case IO_SENT:
            sent(echo, &events[i]);
            break;
        case IO_CLOSED:
            closed(echo, &events[i]);
            break;
        case IO_STOP:
            echo->stops_count++;
            break;
        default:
            test_fail(__FILE__, __LINE__, "event of kind %d", events[i].kind);
        }
    }
    return (uint32_t)count;
}

int client_connect(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

bool streamer_turn(struct streamer *streamer)
{
    uint8_t bytes[8192];
    uint64_t left = streamer->size - streamer->sent;
    size_t size = 1 + test_random_below(sizeof bytes);
    if (size > left)
        size = left;
    for (size_t i = 0; i < size; i++)
        bytes[i] = stream_byte(streamer->stream, streamer->sent + i);
    ssize_t count = size > 0 ? send(streamer->fd, bytes, size, MSG_NOSIGNAL) : 0;
    CHECK(count >= 0 || errno == EAGAIN);
    if (count > 0)
        streamer->sent += (uint64_t)count;

    count = recv(streamer->fd, bytes, 1 + test_random_below(sizeof bytes), 0);
    CHECK(count > 0 || (count < 0 && errno == EAGAIN));
    for (ssize_t i = 0; i < count; i++)
        CHECK_EQUAL(bytes[i], stream_byte(streamer->stream, streamer->echoed + (uint64_t)i));
    if (count > 0)
        streamer->echoed += (uint64_t)count;
    return streamer->echoed == streamer->size;
}
