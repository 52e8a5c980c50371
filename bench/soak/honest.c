/* Honest clients.
 *
 * The requests of a phase are due at fixed times. After the phase's end they are waited for as long
 * as it takes, within DRAIN_NS, so that a server which is only slow has answered all of them; the
 * wait counts in their latency and in the longest stall.
 *
 * New connections are opened one after the other by a thread of its own: it blocks for as long as
 * the server makes it, which is what is measured. */
#include "bench/soak/honest.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "bench/soak/goods.h"
#include "engine/messages.h"

#define NS_PER_SECOND 1000000000ULL
#define NS_PER_MS     1000000ULL
#define DRAIN_NS      (30 * NS_PER_SECOND)

enum {
    TURN_MS = 20,
    GRAIN_NS = 100 * 1000,
    PLACE_SHARES_MAX = 1 << 13, /* one request in eight */
    SHARES = 1 << 16,
    ITEMS = 4,
    GREET_EVERY_MS = 20,
    GREET_TIMEOUT_S = 20,
    RATE_GUESSED = 500 * 1000,
};

enum ask { ASK_PLACE, ASK_GONE, ASK_STOCK, ASK_ORDER };
enum id_kind { KIND_ORDER, KIND_CUSTOMER };

/* A token is what was asked, and the number of the order or the first SKU. */
static uint64_t token_make(enum ask ask, uint64_t number)
{
    return (uint64_t)ask << 56 | number;
}

static struct id customer_of(const struct honest *honest, uint64_t number)
{
    return random_id_of(honest->seed, KIND_CUSTOMER, (uint32_t)(number % HONEST_CUSTOMERS));
}

static struct id order_of(const struct honest *honest, uint64_t number)
{
    return random_id_of(honest->seed, KIND_ORDER, (uint32_t)number);
}

static void write_order(struct honest *honest, struct frame *frame, uint64_t number, uint64_t sku)
{
    struct order_place_body *place = (void *)(frame + 1);
    struct line_body *line = (void *)(place + 1);
    *place = (struct order_place_body){.order = order_of(honest, number),
                                       .customer = customer_of(honest, number),
                                       .currency = GOODS_CURRENCY,
                                       .line_count = 1};
    *line = (struct line_body){.sku = sku, .quantity = 1, .price = GOODS_PRICE};
    frame->type = MESSAGE_order_place;
    frame->size = (uint32_t)(sizeof *frame + sizeof *place + sizeof *line);
}

static void write_look(struct frame *frame, uint64_t first)
{
    struct stock_get_body *get = (void *)(frame + 1);
    struct item_body *items = (void *)(get + 1);
    *get = (struct stock_get_body){.item_count = ITEMS};
    for (uint32_t i = 0; i < ITEMS; i++)
        items[i] = (struct item_body){.sku = first + i};
    frame->type = MESSAGE_stock_get;
    frame->size = (uint32_t)(sizeof *frame + sizeof *get + ITEMS * sizeof *items);
}

static bool next_request(void *context, struct frame *frame, uint64_t *token)
{
    struct honest *honest = context;
    uint32_t draw = random_below(&honest->random, SHARES);
    if (!honest->asking)
        return false;
    if (draw < honest->place_shares && honest->orders_left > 0) {
        uint64_t number = honest->orders_begun++;
        uint64_t sku = GOODS_COMMON_FIRST + random_below(&honest->random, GOODS_COMMON_COUNT);
        honest->orders_left--;
        write_order(honest, frame, number, sku);
        *token = token_make(ASK_PLACE, number);
    } else if (draw % 4 == 0) {
        uint64_t first =
            GOODS_COMMON_FIRST + random_below(&honest->random, GOODS_COMMON_COUNT - ITEMS);
        write_look(frame, first);
        *token = token_make(ASK_STOCK, first);
    } else if (draw % 4 == 1 && honest->known_count > 0) {
        uint64_t count = honest->known_count < HONEST_KNOWN ? honest->known_count : HONEST_KNOWN;
        uint64_t number = honest->known[random_below(&honest->random, (uint32_t)count)];
        struct order_id_body *body = (void *)(frame + 1);
        body->order = order_of(honest, number);
        frame->type = MESSAGE_order_get;
        frame->size = (uint32_t)(sizeof *frame + sizeof *body);
        *token = token_make(ASK_ORDER, number);
    } else {
        /* Numbers from here on are used only for orders that are rejected. */
        uint64_t number = UINT32_MAX - random_below(&honest->random, 1 << 20);
        write_order(honest, frame, number, GOODS_GONE);
        *token = token_make(ASK_GONE, number);
    }
    return true;
}

static bool stock_is_right(const struct frame *frame, uint64_t first)
{
    const struct stock_get_reply_body *reply = (const void *)(frame + 1);
    const struct stock_row_body *rows = (const void *)(reply + 1);
    bool is_right = frame->outcome == OUTCOME_OK && reply->stock_count == ITEMS &&
                    frame->size == sizeof *frame + sizeof *reply + ITEMS * sizeof *rows;
    for (uint32_t i = 0; is_right && i < ITEMS; i++)
        is_right = rows[i].sku == first + i && rows[i].price == GOODS_PRICE;
    return is_right;
}

static bool answer_is_right(const struct honest *honest, const struct load_reply *reply)
{
    static const uint16_t types[] = {
        [ASK_PLACE] = MESSAGE_order_place,
        [ASK_GONE] = MESSAGE_order_place,
        [ASK_STOCK] = MESSAGE_stock_get,
        [ASK_ORDER] = MESSAGE_order_get,
    };
    const struct frame *frame = reply->frame;
    const void *body = frame + 1;
    enum ask ask = (enum ask)(reply->token >> 56);
    uint64_t number = reply->token & (UINT64_MAX >> 8);
    if (!reply->in_order || frame->type != (types[ask] | FRAME_REPLY))
        return false;
    switch (ask) {
    case ASK_GONE:
        return frame->outcome == OUTCOME_SOLD_OUT;
    case ASK_STOCK:
        return stock_is_right(frame, number);
    case ASK_ORDER:
        return frame->outcome == OUTCOME_OK &&
               id_equal(((const struct order_get_reply_body *)body)->customer,
                        customer_of(honest, number));
    case ASK_PLACE:
        break;
    }
    return frame->outcome == OUTCOME_OK &&
           ((const struct order_place_reply_body *)body)->total == GOODS_PRICE;
}

static void take_reply(void *context, const struct load_reply *reply)
{
    struct honest *honest = context;
    struct honest_figures *figures = honest->figures;
    uint64_t gap_ns = reply->received_ns - honest->last_ns;
    bool is_right = answer_is_right(honest, reply);
    honest->last_ns = reply->received_ns;
    figures->answered++;
    figures->stall_ns = gap_ns > figures->stall_ns ? gap_ns : figures->stall_ns;
    histogram_record(&figures->latency, reply->latency_ns);
    if (is_right && reply->token >> 56 == ASK_PLACE)
        honest->known[honest->known_count++ % HONEST_KNOWN] = reply->token;
    if (!is_right && figures->wrong++ == 0) {
        const struct message_info *message = message_info(reply->frame->type & ~FRAME_REPLY);
        snprintf(figures->first_wrong, sizeof figures->first_wrong, "%s answered %s in %u bytes%s",
                 message != NULL ? message->name : "an unknown message",
                 outcome_name(reply->frame->outcome), reply->frame->size,
                 reply->in_order ? "" : " with another request's number");
    }
}

static void lose_request(void *context, uint64_t token)
{
    struct honest *honest = context;
    (void)token;
    honest->figures->unanswered++;
}

static const struct load_driver driver_of_nobody = {
    .request = next_request, .reply = take_reply, .lost = lose_request};

bool honest_init(struct honest *honest, uint64_t orders_max)
{
    struct load_driver driver = driver_of_nobody;
    memset(honest, 0, sizeof *honest);
    honest->seed = random_seed();
    honest->random.state = honest->seed;
    honest->orders_left = orders_max;
    driver.context = honest;
    return load_init(&honest->load, &driver, HONEST_CONNECTIONS, HONEST_IN_FLIGHT);
}

void honest_deinit(struct honest *honest)
{
    honest->figures = &honest->unmeasured;
    load_deinit(&honest->load);
}

bool honest_connect(struct honest *honest, const char *address)
{
    honest->figures = &honest->unmeasured;
    load_disconnect(&honest->load);
    if (!load_address_read(&honest->address, address))
        return false;
    honest->load.grain_ns = GRAIN_NS;
    return load_connect(&honest->load, &honest->address);
}

/* New connections. */

struct greeter {
    struct load_address address;
    struct honest_figures *figures;
    atomic_bool stop;
    pthread_t thread;
};

static const char *receive_hello(int fd)
{
    uint8_t bytes[sizeof(struct frame) + sizeof(struct hello_reply_body)];
    const struct frame *frame = (const void *)bytes;
    size_t size = 0;
    while (size < sizeof bytes) {
        ssize_t got = recv(fd, bytes + size, sizeof bytes - size, 0);
        if (got == 0)
            return "closed without an answer to hello";
        if (got < 0 && errno == EAGAIN)
            return "hello is not answered";
        if (got < 0 && errno != EINTR)
            return strerror(errno);
        size += got > 0 ? (size_t)got : 0;
    }
    return frame->type == (MESSAGE_hello | FRAME_REPLY) ? NULL : "another answer to hello";
}

/* One connection, hello, and the answer; NULL when it came. */
static const char *greet(const struct load_address *address)
{
    const struct timeval timeout = {.tv_sec = GREET_TIMEOUT_S};
    const struct {
        struct frame frame;
        struct hello_body body;
    } hello = {
        .frame = {.size = sizeof hello, .type = MESSAGE_hello},
        .body = {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION},
    };
    int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return strerror(errno);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    const char *problem = NULL;
    if (connect(fd, (const void *)&address->name, address->size) != 0)
        problem = errno == EINPROGRESS ? "no connection in time" : strerror(errno);
    else if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello)
        problem = strerror(errno);
    else
        problem = receive_hello(fd);
    close(fd);
    return problem;
}

static void *greeter_run(void *context)
{
    struct greeter *greeter = context;
    struct honest_figures *figures = greeter->figures;
    const struct timespec pause = {.tv_nsec = GREET_EVERY_MS * 1000000L};
    while (!atomic_load(&greeter->stop)) {
        uint64_t begun_ns = load_clock_ns();
        const char *problem = greet(&greeter->address);
        uint64_t took_ns = load_clock_ns() - begun_ns;
        figures->greetings++;
        figures->greeting_ns = took_ns > figures->greeting_ns ? took_ns : figures->greeting_ns;
        if (problem != NULL && figures->ungreeted++ == 0)
            snprintf(figures->first_ungreeted, sizeof figures->first_ungreeted, "%s", problem);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* Running. */

static void note_gap(struct honest *honest, uint64_t now_ns)
{
    struct honest_figures *figures = honest->figures;
    uint64_t gap_ns = now_ns - honest->last_ns;
    figures->stall_ns = gap_ns > figures->stall_ns ? gap_ns : figures->stall_ns;
}

static bool turn(struct honest *honest)
{
    struct honest_figures *figures = honest->figures;
    bool is_whole = load_turn(&honest->load, TURN_MS);
    if (!is_whole && figures->first_lost[0] == '\0')
        snprintf(figures->first_lost, sizeof figures->first_lost, "%s", honest->load.error);
    return honest->load.connected > 0 && !interrupted;
}

double honest_measure(struct honest *honest, const char *address, uint64_t length_ns,
                      double run_seconds, double share)
{
    struct honest_figures *figures = &honest->unmeasured;
    double places = (double)honest->orders_left / (run_seconds * RATE_GUESSED) * SHARES;
    honest->place_shares = places < PLACE_SHARES_MAX ? (uint32_t)places : PLACE_SHARES_MAX;
    honest->load.in_flight_max = HONEST_FULL;
    if (!honest_connect(honest, address))
        return 0;
    memset(figures, 0, sizeof *figures);
    honest->asking = true;
    uint64_t begun_ns = honest->last_ns = load_clock_ns();
    load_fill(&honest->load);
    while (load_clock_ns() < begun_ns + length_ns && turn(honest))
        continue;
    double rate = (double)figures->answered * 1e9 / (double)(load_clock_ns() - begun_ns);
    honest->asking = false;
    if (figures->wrong > 0)
        snprintf(honest->load.error, sizeof honest->load.error, "%s", figures->first_wrong);
    if (figures->wrong > 0 || figures->unanswered > 0)
        return 0;
    places = (double)honest->orders_left / (run_seconds * rate * share) * SHARES;
    honest->place_shares = places < honest->place_shares ? (uint32_t)places : honest->place_shares;
    honest->load.in_flight_max = HONEST_IN_FLIGHT;
    return honest_connect(honest, address) ? rate : 0;
}

void honest_run(struct honest *honest, double rate, uint64_t length_ns,
                struct honest_figures *figures)
{
    struct greeter greeter = {.address = honest->address, .figures = figures};
    memset(figures, 0, sizeof *figures);
    honest->figures = figures;
    bool greets = pthread_create(&greeter.thread, NULL, greeter_run, &greeter) == 0;
    uint64_t begun_ns = honest->last_ns = load_clock_ns();
    uint64_t end_ns = begun_ns + length_ns;
    load_pace(&honest->load, rate, begun_ns, end_ns);
    honest->asking = true;
    while (load_clock_ns() < end_ns && turn(honest))
        continue;
    figures->seconds = (double)(load_clock_ns() - begun_ns) / 1e9;
    atomic_store(&greeter.stop, true);
    uint64_t left = load_backlog(&honest->load, end_ns);
    while ((honest->load.in_flight > 0 || left > 0) && load_clock_ns() < end_ns + DRAIN_NS &&
           turn(honest))
        left = load_backlog(&honest->load, end_ns);
    if (honest->load.in_flight > 0 || left > 0)
        note_gap(honest, load_clock_ns());
    figures->unanswered += honest->load.in_flight + left;
    honest->asking = false;
    if (greets)
        pthread_join(greeter.thread, NULL);
}
