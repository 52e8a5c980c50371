/* The io_uring loop against real sockets on the loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/test.h"
#include "tests/unit/io_support.h"

enum { STREAMS_MAX = 256 };

/* Runs that many streams of that size against the echo server; between the turns it does what the
 * case defines. */
static void run_streams(struct echo *echo, uint32_t count, uint64_t size,
                        void (*between)(struct echo *echo))
{
    static struct streamer streamers[STREAMS_MAX];
    uint32_t left = count;
    for (uint32_t i = 0; i < count; i++) {
        streamers[i] =
            (struct streamer){.fd = client_connect(echo->port), .stream = i * 977, .size = size};
    }
    while (left > 0) {
        left = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (!streamer_turn(&streamers[i]))
                left++;
        }
        echo_turn(echo, 0);
        if (between != NULL)
            between(echo);
    }
    for (uint32_t i = 0; i < count; i++)
        close(streamers[i].fd);
    echo->holds_buffers = false;
    echo_release(echo);
    for (uint32_t i = 0; i < echo->connections_count; i++) {
        if (!echo->connections[i].is_paused)
            continue;
        echo->connections[i].is_paused = false;
        io_receive(echo->io, echo->connections[i].fd, 1000 + i);
    }
    TURN_UNTIL(echo, echo->closed_count == count);
}

TEST(io_echoes_many_pipelined_connections_byte_by_byte)
{
    struct echo echo;
    echo_open(&echo, 512, 4096, 256);
    run_streams(&echo, 200, 100000, NULL);
    echo_close(&echo);
}

TEST(io_echoes_when_one_event_is_taken_at_a_time)
{
    struct echo echo;
    echo_open(&echo, 64, 1024, 64);
    echo.events_max = 1;
    run_streams(&echo, 20, 30000, NULL);
    echo_close(&echo);
}

static void pause_and_resume_at_random(struct echo *echo)
{
    for (int i = 0; i < 8; i++) {
        uint32_t index = (uint32_t)test_random_below(echo->connections_count + 1);
        if (index == echo->connections_count)
            continue;
        struct echo_connection *connection = &echo->connections[index];
        if (connection->is_closing)
            continue;
        /* Up to three times in a row: a resume while the cancellation is under way, and so on. */
        for (uint64_t flips = test_random_below(4); flips > 0; flips--) {
            connection->is_paused = !connection->is_paused;
            if (connection->is_paused)
                io_receive_cancel(echo->io, connection->fd, 1000 + index);
            else
                io_receive(echo->io, connection->fd, 1000 + index);
        }
    }
}

TEST(io_pause_and_resume_keep_every_byte_in_order)
{
    struct echo echo;
    echo_open(&echo, 64, 1024, 16);
    run_streams(&echo, 24, 60000, pause_and_resume_at_random);
    echo_close(&echo);
}

TEST(io_a_paused_connection_receives_nothing_more)
{
    struct echo echo;
    uint8_t byte = 1;
    echo_open(&echo, 64, 1024, 16);
    int client = client_connect(echo.port);
    TURN_UNTIL(&echo, echo.connections_count == 1);
    io_receive_cancel(echo.io, echo.connections[0].fd, 1000);
    while (echo_turn(&echo, 1000) > 0)
        continue;
    CHECK(send(client, &byte, 1, 0) == 1);
    CHECK_EQUAL(echo_turn(&echo, 50000), 0);
    io_receive(echo.io, echo.connections[0].fd, 1000);
    TURN_UNTIL(&echo, echo.connections[0].received_bytes == 1);
    close(client);
    echo_close(&echo);
}

TEST(io_receives_one_buffer_and_nothing_more_until_asked_again)
{
    struct echo echo;
    uint8_t bytes[4096] = {1};
    echo_open(&echo, 64, 1024, 16);
    echo.keeps_what_arrives = true;
    int client = client_connect(echo.port);
    CHECK(send(client, bytes, sizeof bytes, 0) == sizeof bytes);
    TURN_UNTIL(&echo, echo.connections_count == 1);
    echo.connections[0].is_paused = true; /* the echo does not ask again */
    for (uint64_t asked = 1; asked <= 4; asked++) {
        TURN_UNTIL(&echo, echo.connections[0].received_bytes == asked * 1024);
        CHECK_EQUAL(echo_turn(&echo, 20000), 0);
        io_receive(echo.io, echo.connections[0].fd, 1000);
    }
    close(client);
    TURN_UNTIL(&echo, echo.closed_count == 1);
    echo_close(&echo);
}

static void release_now_and_then(struct echo *echo)
{
    if (test_random_below(4) == 0)
        echo_release(echo);
}

TEST(io_starving_connections_recover_when_buffers_are_released)
{
    struct echo echo;
    echo_open(&echo, 64, 256, 4);
    echo.holds_buffers = true;
    run_streams(&echo, 32, 8000, release_now_and_then);
    echo_close(&echo);
}

TEST(io_starving_connections_recover_while_others_pause)
{
    struct echo echo;
    echo_open(&echo, 64, 256, 2);
    run_streams(&echo, 16, 8000, pause_and_resume_at_random);
    echo_close(&echo);
}

/* With a single buffer, a connection that always has data must not starve the others. */
TEST(io_starving_connections_take_turns)
{
    enum { COUNT = 8 };
    struct echo echo;
    int clients[COUNT];
    uint8_t bytes[4096] = {1};
    echo_open(&echo, 64, 64, 1);
    echo.keeps_what_arrives = true;
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_connect(echo.port);
        CHECK(send(clients[i], bytes, sizeof bytes, 0) == sizeof bytes);
    }
    TURN_UNTIL(&echo, echo.connections_count == COUNT);
    bool is_first_done = false;
    while (!is_first_done) {
        CHECK(echo_turn(&echo, PATIENCE_US) > 0);
        for (int i = 0; i < COUNT; i++)
            is_first_done |= echo.connections[i].received_bytes == sizeof bytes;
    }
    for (int i = 0; i < COUNT; i++)
        CHECK(echo.connections[i].received_bytes > 0);
    for (int i = 0; i < COUNT; i++)
        TURN_UNTIL(&echo, echo.connections[i].received_bytes == sizeof bytes);
    for (int i = 0; i < COUNT; i++)
        close(clients[i]);
    echo_close(&echo);
}

TEST(io_every_buffer_can_be_in_the_callers_hands)
{
    struct echo echo;
    uint8_t bytes[64] = {1};
    echo_open(&echo, 64, 64, 64);
    echo.holds_buffers = true;
    echo.keeps_what_arrives = true;
    int client = client_connect(echo.port);
    for (uint32_t i = 0; i < 65; i++)
        CHECK(send(client, bytes, sizeof bytes, 0) == sizeof bytes);
    while (echo.held_count < 64)
        CHECK(echo_turn(&echo, PATIENCE_US) > 0);
    CHECK_EQUAL(echo_turn(&echo, 10000), 0);
    io_buffer_release(echo.io, echo.held[--echo.held_count]);
    TURN_UNTIL(&echo, echo.held_count == 64);
    CHECK_EQUAL(echo.connections[0].received_bytes, 65 * 64);
    echo_release(&echo);
    close(client);
    echo_close(&echo);
}

/* The client does not read what is sent to it; it sees a reset, not a regular end: the data that it
 * got stops in the middle. */
TEST(io_closing_while_sending_and_receiving_ends_with_one_event_and_a_reset)
{
    enum { TOTAL = 24 << 20 }; /* more than the sockets' own buffers take */
    static uint8_t bytes[1 << 16];
    struct echo echo;
    ssize_t count;
    echo_open(&echo, 64, 4096, 16);
    echo.stream_size = TOTAL + sizeof bytes;
    int client = client_connect(echo.port);
    for (size_t sent = 0; sent < TOTAL;) {
        count = send(client, bytes, sizeof bytes, 0); /* and the client never reads */
        sent += count > 0 ? (size_t)count : 0;
        echo_turn(&echo, 0);
    }
    while (echo_turn(&echo, 20000) > 0)
        continue;
    CHECK(echo.connections[0].is_sending);
    (void)!send(client, bytes, sizeof bytes, 0);
    echo_hang_up(&echo, 0);
    TURN_UNTIL(&echo, echo.closed_count == 1);
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(echo_turn(&echo, 1000), 0);
    CHECK(fcntl(echo.connections[0].fd, F_GETFD) == -1 && errno == EBADF);
    do
        count = recv(client, bytes, sizeof bytes, 0);
    while (count > 0);
    CHECK(count < 0 && errno == ECONNRESET);
    close(client);
    echo_close(&echo);
}

/* The peer reads the end of the stream although a receive was under way. */
TEST(io_closing_tells_the_peer)
{
    struct echo echo;
    uint8_t byte;
    echo_open(&echo, 64, 4096, 16);
    int client = client_connect(echo.port);
    CHECK(fcntl(client, F_SETFL, 0) == 0);
    TURN_UNTIL(&echo, echo.connections_count == 1);
    echo_turn(&echo, 0);
    echo_hang_up(&echo, 0);
    TURN_UNTIL(&echo, echo.closed_count == 1);
    CHECK(recv(client, &byte, 1, 0) == 0);
    close(client);
    echo_close(&echo);
}

/* A connection that is accepted may get the number of one just closed; late completions of the
 * closed one must have no effect on it. Afterwards no buffer may be missing. */
TEST(io_late_completions_never_reach_the_next_connection_of_a_number)
{
    enum { ROUNDS = 400, CLIENTS = 8, BUFFERS = 16 };
    struct echo echo;
    uint8_t bytes[2000] = {1};
    echo_open(&echo, 64, 64, BUFFERS);
    for (int round = 0; round < ROUNDS; round++) {
        int clients[CLIENTS];
        uint32_t first = echo.connections_count;
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = client_connect(echo.port);
            (void)!send(clients[i], bytes, test_random_below(sizeof bytes), MSG_NOSIGNAL);
        }
        TURN_UNTIL(&echo, echo.connections_count == first + CLIENTS);
        for (uint64_t turns = test_random_below(4); turns > 0; turns--)
            echo_turn(&echo, 0);
        for (uint32_t i = 0; i < CLIENTS; i++) {
            (void)!send(clients[i], bytes, test_random_below(sizeof bytes), MSG_NOSIGNAL);
            if (test_random_below(2) == 0)
                echo_hang_up(&echo, first + i);
            if (test_random_below(2) == 0)
                echo_turn(&echo, 0);
            close(clients[i]);
        }
        TURN_UNTIL(&echo, echo.closed_count == echo.connections_count);
    }
    echo.holds_buffers = true;
    int client = client_connect(echo.port);
    for (int i = 0; i < BUFFERS; i++)
        CHECK(send(client, bytes, 64, 0) == 64);
    TURN_UNTIL(&echo, echo.held_count == BUFFERS);
    echo_release(&echo);
    close(client);
    echo_close(&echo);
}

TEST(io_serves_more_than_a_thousand_connections)
{
    enum { COUNT = 1200 };
    static struct streamer streamers[COUNT];
    struct echo echo;
    struct rlimit limit;
    echo_open(&echo, 4096, 1024, 1024); /* raises the soft limit of open files */
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < 2 * COUNT + 64) {
        printf("     skipped: no more than %u files may be open\n", (unsigned)limit.rlim_cur);
        echo_close(&echo);
        return;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        streamers[i] =
            (struct streamer){.fd = client_connect(echo.port), .stream = i, .size = 3000};
        echo_turn(&echo, 0);
    }
    uint32_t left = COUNT;
    while (left > 0) {
        left = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            if (streamers[i].echoed < streamers[i].size && !streamer_turn(&streamers[i]))
                left++;
        }
        echo_turn(&echo, 0);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        close(streamers[i].fd);
    TURN_UNTIL(&echo, echo.closed_count == COUNT);
    echo_close(&echo);
}

TEST(io_sends_to_a_slow_reader_are_reported_whole)
{
    struct echo echo;
    static uint8_t bytes[1 << 16];
    enum { TOTAL = 8 << 20 };
    echo_open(&echo, 64, 16384, 16);
    echo.stream_size = TOTAL;
    int client = client_connect(echo.port);
    size_t sent = 0;
    while (sent < TOTAL) {
        ssize_t count =
            send(client, bytes, TOTAL - sent < sizeof bytes ? TOTAL - sent : sizeof bytes, 0);
        sent += count > 0 ? (size_t)count : 0;
        echo_turn(&echo, 0);
    }
    size_t received = 0;
    while (received < TOTAL) {
        ssize_t count = recv(client, bytes, sizeof bytes, 0);
        received += count > 0 ? (size_t)count : 0;
        echo_turn(&echo, 0);
    }
    TURN_UNTIL(&echo, echo.connections[0].out_sent == TOTAL);
    close(client);
    echo_close(&echo);
}

TEST(io_accepting_goes_on_after_there_were_no_file_descriptors)
{
    struct echo echo;
    struct rlimit limit;
    echo_open(&echo, 64, 1024, 16);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int client = client_connect(echo.port);
    struct rlimit none = {.rlim_cur = (rlim_t)client + 1, .rlim_max = limit.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    /* Lower descriptor numbers that earlier tests left free would be enough for accepting. */
    int fillers[256];
    int fillers_count = 0;
    while (fillers_count < 256 && (fillers[fillers_count] = dup(client)) >= 0)
        fillers_count++;
    /* More than are tried at the same time: after a delay all of them are tried again. */
    const uint32_t errors_min = 8;
    uint32_t turns = 0;
    while (echo.accept_errors_count < errors_min && turns++ < 100)
        echo_turn(&echo, 100000);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(echo.accept_errors_count >= errors_min);
    CHECK_EQUAL(echo.connections_count, 0);
    TURN_UNTIL(&echo, echo.connections_count == 1);
    while (fillers_count > 0)
        close(fillers[--fillers_count]);
    close(client);
    echo_close(&echo);
}

TEST(io_connections_beyond_the_tables_are_refused)
{
    enum { COUNT = 300 }; /* more than the slack for other file descriptors */
    struct echo echo;
    int clients[COUNT];
    echo_open(&echo, 1, 1024, 16);
    for (int i = 0; i < COUNT; i++)
        clients[i] = client_connect(echo.port);
    TURN_UNTIL(&echo, echo.connections_count + echo.accept_errors_count == COUNT);
    CHECK(echo.accept_errors_count > 0);
    for (int i = 0; i < COUNT; i++)
        close(clients[i]);
    echo_close(&echo);
}

static int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof value;
    CHECK(getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

TEST(io_accepted_sockets_send_without_delay_and_keep_little_in_the_kernel)
{
    struct echo echo;
    echo_open(&echo, 64, 1024, 16);
    int client = client_connect(echo.port);
    TURN_UNTIL(&echo, echo.connections_count == 1);
    int fd = echo.connections[0].fd;
    CHECK(option_of(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK_EQUAL(option_of(fd, SOL_SOCKET, SO_RCVBUF), 2 * 128 * 1024);
    CHECK_EQUAL(option_of(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 32 * 1024);
    close(client);
    echo_close(&echo);
}

TEST(io_listens_on_ipv6)
{
    struct echo echo;
    uint8_t byte = 1;
    echo_open(&echo, 64, 1024, 16);
    int port = io_listen(echo.io, "[::1]:0", 7);
    if (port != -EADDRNOTAVAIL && port != -EAFNOSUPPORT) { /* this machine has IPv6 */
        CHECK(port > 0);
        struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                       .sin6_port = htons((uint16_t)port),
                                       .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        int client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(client >= 0);
        CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
        CHECK(send(client, &byte, 1, 0) == 1);
        TURN_UNTIL(&echo, echo.connections_count == 1 && echo.connections[0].out_sent == 1);
        close(client);
    }
    echo_close(&echo);
}

TEST(io_listen_tells_what_is_wrong_with_an_address)
{
    static const char *const malformed[] = {
        "",      "127.0.0.1", "127.0.0.1:",   "::1:80", "127.0.0.1:x",  "127.0.0.1:70000",
        "[::1]", "[::1:80",   "127.0.0.1:8 ", ":-1",    "127.0.0.1:+80"};
    struct echo echo;
    char taken[64];
    echo_open(&echo, 64, 1024, 16);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        CHECK_EQUAL(io_listen(echo.io, malformed[i], 1), -EINVAL);
    CHECK_EQUAL(io_listen(echo.io, "999.1.1.1:80", 1), -EADDRNOTAVAIL);
    snprintf(taken, sizeof taken, "127.0.0.1:%d", echo.port);
    CHECK_EQUAL(io_listen(echo.io, taken, 1), -EADDRINUSE);
    CHECK(io_listen(echo.io, "localhost:0", 1) > 0);
    CHECK(io_listen(echo.io, ":0", 1) > 0);
    echo_close(&echo);
}
