/* Outgoing connections of the io_uring loop, over real sockets on the loopback. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/io_uring.h"
#include "tests/test.h"
#include "tests/unit/io_support.h"

enum { STREAM_SIZE = 200000, RESULTS_MAX = 32, FILLERS_MAX = 8 };

static const uint64_t user_first = (UINT64_C(1) << IO_USER_BITS) - RESULTS_MAX;

/* An io that connects, and what became of each connection that it asked for, in the order asked.
 * It sends a stream on one of them and checks what comes back. */
struct dialer {
    struct io *io;
    uint32_t asked_count;
    uint32_t done_count;
    int results[RESULTS_MAX];
    bool is_done[RESULTS_MAX];
    uint8_t stream[STREAM_SIZE];
    size_t sent;
    size_t received;
    uint32_t closed_count;
};

static void dialer_open(struct dialer *dialer, uint64_t connect_us_max)
{
    char error[IO_ERROR_SIZE] = "";
    const struct io_options options = {
        .connections_max = 64, .buffer_size = 4096, .buffer_count = 16};
    *dialer = (struct dialer){.io = io_create(&options, error)};
    if (dialer->io == NULL)
        test_fail(__FILE__, __LINE__, "%s", error);
    dialer->io->connect_us_max = connect_us_max;
    for (size_t i = 0; i < STREAM_SIZE; i++)
        dialer->stream[i] = stream_byte(5, i);
}

static uint32_t dial(struct dialer *dialer, const char *host, int port)
{
    char address[ADDRESS_TEXT_SIZE];
    uint32_t index = dialer->asked_count++;
    CHECK(index < RESULTS_MAX);
    snprintf(address, sizeof address, "%s:%d", host, port);
    io_connect(dialer->io, address, user_first + index);
    memset(address, 'x', sizeof address); /* the call has copied it */
    return index;
}

static void connected(struct dialer *dialer, const struct io_event *event)
{
    CHECK(event->user >= user_first && event->user < user_first + dialer->asked_count);
    uint64_t index = event->user - user_first;
    CHECK(!dialer->is_done[index]);
    dialer->is_done[index] = true;
    dialer->results[index] = event->result;
    dialer->done_count++;
}

static void received(struct dialer *dialer, const struct io_event *event)
{
    CHECK(event->result > 0 && dialer->received + (size_t)event->result <= STREAM_SIZE);
    CHECK(memcmp(event->bytes, dialer->stream + dialer->received, (size_t)event->result) == 0);
    dialer->received += (size_t)event->result;
    io_buffer_release(dialer->io, event->buffer);
    if (dialer->received < STREAM_SIZE)
        io_receive(dialer->io, dialer->results[event->user], event->user);
}

static void dialer_turn(struct dialer *dialer, uint64_t timeout_us)
{
    struct io_event events[4];
    int count = io_wait(dialer->io, events, 4, 1, timeout_us);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        const struct io_event *event = &events[i];
        if (event->kind == IO_CONNECTED) {
            connected(dialer, event);
        } else if (event->kind == IO_RECEIVED) {
            received(dialer, event);
        } else if (event->kind == IO_SENT) {
            CHECK(event->result > 0);
            dialer->sent += (size_t)event->result;
        } else {
            CHECK_EQUAL(event->kind, IO_CLOSED);
            dialer->closed_count++;
        }
    }
}

static void dialer_finish(struct dialer *dialer)
{
    while (dialer->done_count < dialer->asked_count)
        dialer_turn(dialer, PATIENCE_US);
}

static int dial_and_wait(struct dialer *dialer, const char *host, int port)
{
    uint32_t index = dial(dialer, host, port);
    dialer_finish(dialer);
    return dialer->results[index];
}

/* A port of the loopback on which nobody listens, or with a listener that answers nobody: its
 * queue is full. */
struct mute {
    int fd;
    int port;
    int fillers[FILLERS_MAX];
};

static void mute_open(struct mute *mute, bool listens)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    mute->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(mute->fd >= 0 && bind(mute->fd, (struct sockaddr *)&address, size) == 0);
    CHECK(getsockname(mute->fd, (struct sockaddr *)&address, &size) == 0);
    CHECK(!listens || listen(mute->fd, 0) == 0);
    mute->port = ntohs(address.sin_port);
    for (int i = 0; i < FILLERS_MAX; i++) {
        mute->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(mute->fillers[i] >= 0);
        (void)connect(mute->fillers[i], (struct sockaddr *)&address, size);
    }
}

static void mute_close(struct mute *mute)
{
    for (int i = 0; i < FILLERS_MAX; i++)
        close(mute->fillers[i]);
    close(mute->fd);
}

static void exchange(struct dialer *dialer, struct echo *echo, const char *host, int port)
{
    uint32_t index = dial(dialer, host, port);
    dialer_finish(dialer);
    int fd = dialer->results[index];
    CHECK(fd >= 0);
    dialer->sent = dialer->received = 0;
    io_send(dialer->io, fd, index, dialer->stream, STREAM_SIZE);
    io_receive(dialer->io, fd, index);
    while (dialer->received < STREAM_SIZE) {
        echo_turn(echo, 0);
        dialer_turn(dialer, 0);
    }
    CHECK_EQUAL(dialer->sent, STREAM_SIZE);
    uint32_t closed_count = dialer->closed_count + 1;
    io_close(dialer->io, fd, index);
    while (dialer->closed_count < closed_count || echo->closed_count < closed_count) {
        echo_turn(echo, 1000);
        dialer_turn(dialer, 1000);
    }
}

TEST(io_connects_by_number_and_by_name_and_the_connection_is_used_as_an_accepted_one)
{
    static struct dialer dialer;
    struct echo echo;
    echo_open(&echo, 64, 4096, 16);
    dialer_open(&dialer, IO_CONNECT_US_MAX);
    exchange(&dialer, &echo, "127.0.0.1", echo.port);
    exchange(&dialer, &echo, "localhost", echo.port);
    int port = io_listen(echo.io, "[::1]:0", 7);
    if (port != -EADDRNOTAVAIL && port != -EAFNOSUPPORT) /* this machine has IPv6 */
        exchange(&dialer, &echo, "[::1]", port);
    io_destroy(dialer.io);
    echo_close(&echo);
}

static int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof value;
    CHECK(getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

TEST(io_connected_sockets_have_the_options_of_accepted_ones)
{
    static struct dialer dialer;
    struct echo echo;
    echo_open(&echo, 64, 1024, 16);
    dialer_open(&dialer, IO_CONNECT_US_MAX);
    int fd = dial_and_wait(&dialer, "127.0.0.1", echo.port);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK_EQUAL(option_of(fd, SOL_SOCKET, SO_RCVBUF), 2 * 128 * 1024);
    io_destroy(dialer.io);
    echo_close(&echo);
}

TEST(io_connect_reports_why_there_is_no_connection)
{
    static const char *const malformed[] = {"", "127.0.0.1", ":80", "::1:80", "127.0.0.1:x"};
    static struct dialer dialer;
    struct mute nobody;
    char too_long[80]; /* one part of a name has at most 63 characters: no server is asked */
    mute_open(&nobody, false);
    dialer_open(&dialer, IO_CONNECT_US_MAX);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        uint32_t index = dialer.asked_count++;
        io_connect(dialer.io, malformed[i], user_first + index);
        dialer_finish(&dialer);
        CHECK_EQUAL(dialer.results[index], -EINVAL);
    }
    memset(too_long, 'a', sizeof too_long);
    too_long[sizeof too_long - 1] = '\0';
    CHECK_EQUAL(dial_and_wait(&dialer, too_long, 80), -EHOSTUNREACH);
    CHECK_EQUAL(dial_and_wait(&dialer, "127.0.0.1", nobody.port), -ECONNREFUSED);
    CHECK_EQUAL(dial_and_wait(&dialer, "localhost", nobody.port), -ECONNREFUSED);
    io_destroy(dialer.io);
    mute_close(&nobody);
}

TEST(io_connect_gives_up_after_its_time_and_refuses_more_than_its_places)
{
    static struct dialer dialer;
    struct mute silent;
    struct echo echo;
    mute_open(&silent, true);
    echo_open(&echo, 64, 1024, 16);
    dialer_open(&dialer, 100 * 1000);
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++)
        dial(&dialer, "127.0.0.1", silent.port);
    CHECK_EQUAL(dialer.done_count, 0);
    for (uint32_t i = 0; i < 3; i++)
        dial(&dialer, "127.0.0.1", echo.port);
    dialer_finish(&dialer);
    for (uint32_t i = 0; i < dialer.asked_count; i++)
        CHECK_EQUAL(dialer.results[i], i < IO_CONNECTS_MAX ? -ETIMEDOUT : -EBUSY);
    dialer.io->connect_us_max = IO_CONNECT_US_MAX;
    CHECK(dial_and_wait(&dialer, "127.0.0.1", echo.port) >= 0);
    io_destroy(dialer.io);
    echo_close(&echo);
    mute_close(&silent);
}

/* One that refuses, one that is silent and gets its share of the time, and one that answers. The
 * share is half of a second; the last one then has the time that a busy machine may need. */
TEST(io_connect_tries_the_next_address_of_a_host)
{
    static struct dialer dialer;
    struct mute nobody, silent;
    struct echo echo;
    mute_open(&nobody, false);
    mute_open(&silent, true);
    echo_open(&echo, 64, 1024, 16);
    dialer_open(&dialer, 1000 * 1000);
    uint32_t index = dial(&dialer, "127.0.0.1", nobody.port);
    struct connect_place *place = &dialer.io->connects[0];
    struct host_addresses *addresses = &place->addresses;
    const int ports[] = {silent.port, echo.port};
    for (int i = 0; i < 2; i++) {
        addresses->all[addresses->count] = addresses->all[0];
        addresses->all[addresses->count++].v4.sin_port = htons((uint16_t)ports[i]);
    }
    while (dialer.done_count == 0 && place->tried_count < 2)
        dialer_turn(&dialer, PATIENCE_US);
    place->deadline_us += IO_CONNECT_US_MAX;
    dialer_finish(&dialer);
    CHECK(dialer.results[index] >= 0);
    TURN_UNTIL(&echo, echo.connections_count == 1);
    io_destroy(dialer.io);
    echo_close(&echo);
    mute_close(&silent);
    mute_close(&nobody);
}

/* The timer of such a lookup runs out at once; its place is free again when the lookup has ended.
 */
TEST(io_connect_gives_up_a_name_that_is_not_found_in_time)
{
    static struct dialer dialer;
    struct echo echo;
    echo_open(&echo, 64, 1024, 16);
    dialer_open(&dialer, 0);
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++)
        dial(&dialer, "localhost", echo.port);
    dialer_finish(&dialer);
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++)
        CHECK_EQUAL(dialer.results[i], -ETIMEDOUT);
    for (uint32_t i = 0; i < IO_CONNECTS_MAX; i++) {
        while (dialer.io->connects[i].state != CONNECT_FREE)
            dialer_turn(&dialer, PATIENCE_US);
    }
    dialer.io->connect_us_max = IO_CONNECT_US_MAX;
    CHECK(dial_and_wait(&dialer, "localhost", echo.port) >= 0);
    io_destroy(dialer.io);
    echo_close(&echo);
}

TEST(io_connects_many_at_a_time_and_again)
{
    enum { ROUNDS = 60 };
    static struct dialer dialer;
    struct echo echo;
    echo_open(&echo, 64, 1024, 64);
    dialer_open(&dialer, IO_CONNECT_US_MAX);
    uint32_t closed_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + (uint32_t)test_random_below(IO_CONNECTS_MAX);
        dialer.asked_count = dialer.done_count = 0;
        memset(dialer.is_done, 0, sizeof dialer.is_done);
        for (uint32_t i = 0; i < count; i++) {
            dial(&dialer, test_random_below(4) == 0 ? "localhost" : "127.0.0.1", echo.port);
            if (test_random_below(3) == 0)
                dialer_turn(&dialer, 0);
        }
        dialer_finish(&dialer);
        for (uint32_t i = 0; i < count; i++) {
            CHECK(dialer.results[i] >= 0);
            io_close(dialer.io, dialer.results[i], i);
        }
        closed_count += count;
        while (dialer.closed_count < closed_count)
            dialer_turn(&dialer, PATIENCE_US);
        TURN_UNTIL(&echo, echo.closed_count == closed_count);
    }
    io_destroy(dialer.io);
    echo_close(&echo);
}

static int open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder != NULL);
    int count = 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

TEST(io_destroy_ends_connections_that_are_being_made)
{
    static struct dialer dialer;
    struct mute silent;
    mute_open(&silent, true);
    for (int turns = 0; turns < 3; turns++) {
        int before = open_files();
        dialer_open(&dialer, IO_CONNECT_US_MAX);
        dial(&dialer, "localhost", silent.port);
        dial(&dialer, "127.0.0.1", silent.port);
        dial(&dialer, "localhost", silent.port);
        for (int i = 0; i < turns; i++)
            dialer_turn(&dialer, 1000);
        io_destroy(dialer.io);
        for (int tries = 0; open_files() > before && tries < 1000; tries++)
            usleep(1000); /* a lookup that was abandoned may still read /etc/hosts */
        CHECK_EQUAL(open_files(), before);
    }
    mute_close(&silent);
}
