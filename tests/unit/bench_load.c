/* The load generator against a test server: a thread that answers hello, and every other request
 * with a frame of the same number and size, correctly or with the fault that the test chooses. */
#include "bench/load.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/messages.h"
#include "tests/test.h"

enum manner { ANSWERS_WHOLE, ANSWERS_IN_SHREDS, MIXES_NUMBERS, CLOSES_EARLY, SAYS_ERROR, BABBLES };

enum { CONNECTIONS = 3, ANSWERS_BEFORE_TROUBLE = 50 };

struct echo {
    pthread_t thread;
    enum manner manner;
    uint32_t in_flight_max;
    _Atomic uint32_t mixed; /* answers that carried another number */
    int listener;
    char address[32];
};

static bool get(int fd, void *bytes, size_t size)
{
    return recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

static void put(const struct echo *echo, int fd, const void *bytes, size_t size)
{
    const uint8_t *cursor = bytes;
    while (size != 0) {
        size_t piece = size;
        if (echo->manner == ANSWERS_IN_SHREDS)
            piece = size < 37 ? 1 : 1 + size % 37;
        ssize_t sent = send(fd, cursor, piece, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        cursor += sent;
        size -= (size_t)sent;
    }
}

/* False when the connection is to be closed. */
static bool answer(struct echo *echo, int fd, uint32_t answered)
{
    uint64_t bytes[FRAME_SIZE_MAX / 8] = {0};
    struct frame *frame = (void *)bytes;
    if (!get(fd, frame, sizeof *frame) || !get(fd, frame + 1, frame->size - sizeof *frame))
        return false;
    frame->type |= FRAME_REPLY;
    if (frame->type == (MESSAGE_hello | FRAME_REPLY)) {
        const struct hello_reply_body welcome = {.in_flight_max = echo->in_flight_max};
        memcpy(frame + 1, &welcome, sizeof welcome);
        frame->size = sizeof *frame + sizeof welcome;
    } else if (answered > ANSWERS_BEFORE_TROUBLE) {
        if (echo->manner == CLOSES_EARLY)
            return false;
        if (echo->manner == MIXES_NUMBERS) {
            frame->request ^= 1;
            echo->mixed++;
        }
        if (echo->manner == BABBLES)
            frame->size = 20;
        if (echo->manner == SAYS_ERROR) {
            const struct error_reply_body error = {.reason = {"enough of this"}};
            memcpy(frame + 1, &error, sizeof error);
            frame->type = MESSAGE_error | FRAME_REPLY;
            frame->size = sizeof *frame + sizeof error;
        }
    }
    put(echo, fd, frame, frame->size);
    return true;
}

static void *echo_connection(void *context)
{
    struct echo *echo = ((struct echo **)context)[0];
    int fd = (int)(intptr_t)((void **)context)[1];
    free(context);
    for (uint32_t answered = 0; answer(echo, fd, answered); answered++)
        continue;
    close(fd);
    return NULL;
}

static void *echo_run(void *context)
{
    struct echo *echo = context;
    pthread_t threads[CONNECTIONS];
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        void **arguments = calloc(2, sizeof *arguments);
        arguments[0] = echo;
        arguments[1] = (void *)(intptr_t)accept(echo->listener, NULL, NULL);
        pthread_create(&threads[i], NULL, echo_connection, arguments);
    }
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        pthread_join(threads[i], NULL);
    return NULL;
}

static void echo_start(struct echo *echo, enum manner manner)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof name;
    echo->manner = manner;
    echo->in_flight_max = 16;
    echo->mixed = 0;
    echo->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(echo->listener, (void *)&name, size) == 0 && listen(echo->listener, 16) == 0);
    getsockname(echo->listener, (void *)&name, &size);
    snprintf(echo->address, sizeof echo->address, "127.0.0.1:%u", ntohs(name.sin_port));
    CHECK(pthread_create(&echo->thread, NULL, echo_run, echo) == 0);
}

static void echo_stop(struct echo *echo)
{
    pthread_join(echo->thread, NULL);
    close(echo->listener);
}

/* A driver that sends a number of requests of varying size and counts the outcome of each. */
struct tally {
    uint64_t left;
    uint64_t asked;
    uint64_t answered;
    uint64_t lost;
    uint64_t wrong;
    uint64_t mixed; /* how many the echo says that it got wrong */
};

static bool tally_request(void *context, struct frame *frame, uint64_t *token)
{
    struct tally *tally = context;
    if (tally->left == 0)
        return false;
    tally->left--;
    *token = ++tally->asked;
    frame->type = MESSAGE_order_place;
    frame->size = (uint32_t)(24 + 8 * (*token % 100));
    memset(frame + 1, 0, frame->size - sizeof *frame);
    memcpy(frame + 1, token, sizeof *token);
    return true;
}

static void tally_reply(void *context, const struct load_reply *reply)
{
    struct tally *tally = context;
    tally->answered++;
    if (!reply->in_order || reply->frame->size != 24 + 8 * (reply->token % 100) ||
        memcmp(reply->frame + 1, &reply->token, sizeof reply->token) != 0)
        tally->wrong++;
}

static void tally_lost(void *context, uint64_t token)
{
    struct tally *tally = context;
    (void)token;
    tally->lost++;
}

/* Runs the requests against an echo server with this behaviour; true when no connection broke. */
static bool run_tally(enum manner manner, struct tally *tally, struct load *load)
{
    struct echo echo;
    struct load_address address;
    const struct load_driver driver = {tally, tally_request, tally_reply, tally_lost};
    bool whole = true;
    echo_start(&echo, manner);
    CHECK(load_address_read(&address, echo.address));
    CHECK(load_address_is_loopback(&address));
    CHECK(load_init(load, &driver, CONNECTIONS, 64));
    if (!load_connect(load, &address))
        fprintf(stderr, "  %s\n", load->error);
    CHECK_EQUAL(load->connected, CONNECTIONS);
    CHECK_EQUAL(load->in_flight_max, 16);
    load_fill(load);
    CHECK_EQUAL(load->in_flight, CONNECTIONS * 16);
    for (uint32_t turns = 0; load->in_flight != 0 && turns < 1000000; turns++)
        whole &= load_turn(load, 1000);
    load_deinit(load);
    echo_stop(&echo);
    tally->mixed = echo.mixed;
    CHECK_EQUAL(load->in_flight, 0);
    CHECK_EQUAL(tally->asked, tally->answered + tally->lost);
    return whole;
}

TEST(load_matches_every_answer_with_its_request)
{
    struct load load;
    struct tally tally = {.left = 20000};
    CHECK(run_tally(ANSWERS_WHOLE, &tally, &load));
    CHECK_EQUAL(tally.answered, 20000);
    CHECK_EQUAL(tally.wrong, 0);
}

TEST(load_puts_shredded_answers_together)
{
    struct load load;
    struct tally tally = {.left = 3000};
    CHECK(run_tally(ANSWERS_IN_SHREDS, &tally, &load));
    CHECK_EQUAL(tally.answered, 3000);
    CHECK_EQUAL(tally.wrong, 0);
}

TEST(load_tells_answers_that_carry_another_number)
{
    struct load load;
    struct tally tally = {.left = 1000};
    CHECK(run_tally(MIXES_NUMBERS, &tally, &load));
    CHECK_EQUAL(tally.answered, 1000);
    CHECK(tally.mixed >= 1000 - CONNECTIONS * ANSWERS_BEFORE_TROUBLE);
    CHECK_EQUAL(tally.wrong, tally.mixed);
}

TEST(load_hands_back_what_a_broken_connection_left_unanswered)
{
    const enum manner manners[] = {CLOSES_EARLY, SAYS_ERROR, BABBLES};
    for (uint32_t i = 0; i < sizeof manners / sizeof manners[0]; i++) {
        struct load load;
        struct tally tally = {.left = 1000};
        CHECK(!run_tally(manners[i], &tally, &load));
        CHECK(tally.answered <= CONNECTIONS * ANSWERS_BEFORE_TROUBLE);
        CHECK(tally.lost > 0 && tally.lost <= CONNECTIONS * 16);
        CHECK_EQUAL(tally.wrong, 0);
        if (manners[i] == SAYS_ERROR)
            CHECK(strstr(load.error, "enough of this") != NULL);
    }
}

/* Runs a schedule to its end, and continues until no request is unanswered. */
static void check_schedule(uint32_t grain_ns)
{
    enum { RATE = 20000, LENGTH_NS = 100 * 1000 * 1000 };
    struct echo echo;
    struct load load;
    struct load_address address;
    struct tally tally = {.left = UINT64_MAX};
    const struct load_driver driver = {&tally, tally_request, tally_reply, tally_lost};
    echo_start(&echo, ANSWERS_WHOLE);
    CHECK(load_address_read(&address, echo.address));
    CHECK(load_init(&load, &driver, CONNECTIONS, 64));
    CHECK(load_connect(&load, &address));
    load.grain_ns = grain_ns;
    uint64_t start_ns = load_clock_ns(), end_ns = start_ns + LENGTH_NS;
    load_pace(&load, RATE, start_ns, end_ns);
    while (load_clock_ns() < end_ns || load.in_flight != 0 || load_backlog(&load, end_ns) != 0)
        CHECK(load_turn(&load, 10));
    load_deinit(&load);
    echo_stop(&echo);
    CHECK_EQUAL(tally.asked, 1 + RATE / 10);
    CHECK_EQUAL(tally.asked, load.schedule.asked);
    CHECK_EQUAL(tally.answered, tally.asked);
    CHECK_EQUAL(tally.wrong, 0);
    CHECK_EQUAL(load_backlog(&load, UINT64_MAX), 0);
    CHECK_EQUAL(load_due_ns(&load, 1000), start_ns + 50 * 1000 * 1000);
    CHECK(grain_ns == 0 || load.schedule.spun_ns == 0);
}

TEST(load_in_an_open_loop_asks_for_exactly_what_its_schedule_holds)
{
    check_schedule(0);
}

TEST(load_with_a_grain_asks_for_the_same_without_polling)
{
    check_schedule(5 * 1000 * 1000);
}

TEST(load_in_an_open_loop_keeps_a_backlog_when_no_connection_has_room)
{
    struct load load = {.epoll = -1};
    load_pace(&load, 1000, 5000, 5000 + 10 * 1000 * 1000);
    CHECK_EQUAL(load_backlog(&load, 4000), 0);
    CHECK_EQUAL(load_backlog(&load, 5001), 1);
    CHECK_EQUAL(load_backlog(&load, 5001 + 3 * 1000 * 1000), 4);
    load.schedule.asked = 2;
    CHECK_EQUAL(load_backlog(&load, 5001 + 3 * 1000 * 1000), 2);
    CHECK_EQUAL(load_due_ns(&load, 2), 5000 + 2 * 1000 * 1000);
}

TEST(load_address_needs_a_port_and_knows_loopback)
{
    struct load_address address;
    CHECK(!load_address_read(&address, "127.0.0.1"));
    CHECK(!load_address_read(&address, "127.0.0.1:"));
    CHECK(!load_address_read(&address, ""));
    CHECK(!load_address_read(&address, ":7411"));
    CHECK(!load_address_read(&address, "::1:7411"));
    CHECK(load_address_read(&address, "[::1]:7411") && load_address_is_loopback(&address));
    CHECK(load_address_read(&address, "127.8.9.1:7411") && load_address_is_loopback(&address));
    CHECK(load_address_read(&address, "10.0.0.1:7411") && !load_address_is_loopback(&address));
}
