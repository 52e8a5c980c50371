/* One connection at a time, and calls that wait.
 *
 * Requests are laid into the out buffer and sent together. While a send cannot go on because the
 * server waits for its replies to be taken, replies are read into the in buffer, which grows as
 * far as the requests in flight can fill it: sender and server never wait for each other.
 *
 *   good path   client_open, client_queue..., client_receive...
 *   failure     any call that fails leaves a message in client->error. After that nothing more can
 *               be sent, but replies that had come are not lost: client_receive gives them before
 * it fails for good. What is in flight then may or may not have happened; sending it again with the
 * same keys is safe.
 *
 * Replies arrive in the order of the requests; one that does not is a protocol error.
 *
 * A client that follows changes its connection only inside client_call, with nothing in flight, and
 * only after NOT_PRIMARY, which says for certain that nothing was done. It tells each server the
 * newest epoch that it has heard of: a primary that was replaced and still waits for the news then
 * stops deciding. */
#include "net/client.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/status.h"
#include "engine/layout.h"

enum {
    CLIENT_OUT_SIZE = 256 * 1024,
    CLIENT_IN_SIZE = 256 * 1024,
};

static_assert(CLIENT_OUT_SIZE >= FRAME_SIZE_MAX, "a request fits");
static_assert(CLIENT_IN_SIZE >= 2 * FRAME_SIZE_MAX, "a reply fits behind another one");

/* Always false. */
#define fail(client, ...) error_set((client)->error, sizeof(client)->error, __VA_ARGS__)

/* The checksum of a frame, whose checksum field is left zero. */
static uint32_t frame_checksum(void *bytes, uint32_t size)
{
    struct frame frame;
    memcpy(&frame, bytes, sizeof frame);
    frame.checksum = 0;
    memcpy(bytes, &frame, sizeof frame);
    return (uint32_t)checksum64(bytes, size);
}

/* Waits until a socket that is being connected is. 0 or -errno. */
static int connect_wait(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    int count = 0;
    do {
        count = poll(&poll_fd, 1, timeout_ms);
    } while (count < 0 && errno == EINTR);
    if (count == 0)
        return -ETIMEDOUT;
    if (count < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return -errno;
    return -error;
}

/* The socket does not block, so that connecting has a limit: who sends or receives waits in poll.
 */
static int connect_one(const struct addrinfo *info, int timeout_ms)
{
    int one = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    info->ai_protocol);
    if (fd < 0)
        return -errno;
    int result = connect(fd, info->ai_addr, info->ai_addrlen) == 0 ? 0 : -errno;
    if (result == -EINPROGRESS)
        result = connect_wait(fd, timeout_ms);
    if (result != 0) {
        close(fd);
        return result;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool connect_any(struct client *client, const char *address, int timeout_ms)
{
    struct address parts;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (!address_split(&parts, address) || parts.host[0] == '\0')
        return fail(client, "%s: expected ADDR:PORT, as in 127.0.0.1:%d or [::1]:%d", address,
                    TILL_PORT_DEFAULT, TILL_PORT_DEFAULT);
    int error = getaddrinfo(parts.host, parts.port, &hints, &found);
    if (error != 0)
        return fail(client, "%s: %s", address, gai_strerror(error));
    int fd = -EHOSTUNREACH;
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next)
        fd = connect_one(info, timeout_ms);
    freeaddrinfo(found);
    if (fd < 0)
        return fail(client, "%s: %s", address, strerror(-fd));
    client->fd = fd;
    return true;
}

/* Nothing more is sent or comes. Always false. */
#define end(client, ...) ((client)->has_ended = true, fail(client, __VA_ARGS__))

/* Makes room for at least one frame at the end of the in buffer. */
static bool make_room(struct client *client)
{
    if (client->in_capacity - client->in_end >= FRAME_SIZE_MAX)
        return true;
    memmove(client->in, client->in + client->in_start, client->in_end - client->in_start);
    client->in_end -= client->in_start;
    client->in_start = 0;
    if (client->in_capacity - client->in_end >= FRAME_SIZE_MAX)
        return true;
    uint8_t *grown = realloc(client->in, 2 * client->in_capacity);
    if (grown == NULL)
        return end(client, "no memory for %zu bytes of replies", 2 * client->in_capacity);
    client->in = grown;
    client->in_capacity *= 2;
    return true;
}

/* Takes in what the socket has; it is known to have something, or to have ended. */
static bool read_some(struct client *client)
{
    if (!make_room(client))
        return false;
    ssize_t count = recv(client->fd, client->in + client->in_end,
                         client->in_capacity - client->in_end, MSG_DONTWAIT);
    if (count == 0)
        return end(client, "the server closed the connection");
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        return end(client, "the connection broke: %s", strerror(errno));
    client->in_end += count > 0 ? (size_t)count : 0;
    return true;
}

/* The server's last word explains a failure better than errno does. */
static bool end_with_reason(struct client *client, const struct frame *frame, const uint8_t *bytes)
{
    struct error_reply_body error;
    if (frame->size < client->head_size + sizeof error)
        return end(client, "the server closed the connection with a malformed reason");
    memcpy(&error, bytes + client->head_size, sizeof error);
    return end(client, "the server closed the connection: %.*s", (int)sizeof error.reason.bytes,
               error.reason.bytes);
}

/* The header of the frame at bytes. *complete is false when not all of it has come; false when what
 * stands there cannot be a reply. */
static bool peek_frame(struct client *client, const uint8_t *bytes, struct frame *frame,
                       bool *complete)
{
    size_t size = (size_t)(client->in + client->in_end - bytes);
    *complete = false;
    if (size < sizeof *frame)
        return true;
    memcpy(frame, bytes, sizeof *frame);
    if (frame->size < client->head_size + FRAME_ALIGN || frame->size > FRAME_SIZE_MAX ||
        frame->size % FRAME_ALIGN != 0 || (frame->type & FRAME_REPLY) == 0)
        return end(client, "not a till server, or the stream is damaged");
    *complete = size >= frame->size;
    return true;
}

/* Lays the reply of a server of another schema out as this client knows it. What is no reply to the
 * message is left as it came. */
static void fit_reply(struct client *client, struct client_reply *reply)
{
    const struct message_info *message = message_info(reply->number);
    uint32_t size = reply->size;
    if (message == NULL)
        return;
    const void *body = layout_reply(message, reply->outcome, reply->body, &size, client->fitted);
    if (body == NULL)
        return;
    reply->body = body;
    reply->size = size;
}

/* Takes a whole reply from the buffer. *complete is false when there is none yet. */
static bool take_reply(struct client *client, struct client_reply *reply, bool *complete)
{
    struct frame frame;
    uint8_t *bytes = client->in + client->in_start;
    if (!peek_frame(client, bytes, &frame, complete))
        return false;
    if (!*complete)
        return true;
    if (client->checksum && frame.checksum != frame_checksum(bytes, frame.size))
        return end(client, "a reply's checksum is wrong: the stream is damaged");
    unsigned number = frame.type & ~FRAME_REPLY;
    if (number == MESSAGE_error)
        return end_with_reason(client, &frame, bytes);
    if (frame.request != client->request_next - client->in_flight)
        return end(client, "reply %" PRIu32 " came out of order", frame.request);
    client->in_start += frame.size;
    client->in_flight--;
    *reply = (struct client_reply){.request = frame.request,
                                   .number = (uint16_t)number,
                                   .outcome = frame.outcome,
                                   .size = frame.size - client->head_size,
                                   .body = bytes + client->head_size};
    if (client->head_size > sizeof frame)
        memcpy(&reply->age_us, bytes + sizeof frame, sizeof reply->age_us);
    fit_reply(client, reply);
    return true;
}

/* A send that failed: the server may have said why before it closed. The replies before that stay
 * where they are. Always false. */
static bool end_sending(struct client *client, int error)
{
    struct frame frame;
    bool complete = true;
    size_t size = 0;
    do {
        size = client->in_end - client->in_start;
    } while (read_some(client) && client->in_end - client->in_start > size);
    if (!client->has_ended)
        end(client, "the connection broke: %s", strerror(error));
    for (const uint8_t *bytes = client->in + client->in_start;
         peek_frame(client, bytes, &frame, &complete) && complete; bytes += frame.size) {
        if ((frame.type & ~FRAME_REPLY) == MESSAGE_error)
            return end_with_reason(client, &frame, bytes);
    }
    return false;
}

bool client_flush(struct client *client)
{
    size_t sent = 0;
    size_t size = client->out_size;
    client->out_size = 0;
    while (sent < size && !client->has_ended) {
        ssize_t count =
            send(client->fd, client->out + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) {
            sent += (size_t)count;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return end_sending(client, errno);
        struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN | POLLOUT};
        poll(&poll_fd, 1, -1);
        if ((poll_fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_some(client))
            return false;
    }
    return !client->has_ended;
}

bool client_queue(struct client *client, unsigned number, const void *body, uint32_t size,
                  uint32_t *request)
{
    struct frame frame = {.size = client->head_size + size,
                          .type = (uint16_t)number,
                          .request = client->request_next};
    TILL_ASSERT(frame.size <= FRAME_SIZE_MAX && frame.size % FRAME_ALIGN == 0);
    if (client->has_ended ||
        (client->out_size + frame.size > CLIENT_OUT_SIZE && !client_flush(client)))
        return false;
    uint8_t *bytes = client->out + client->out_size;
    memcpy(bytes, &frame, sizeof frame);
    if (client->head_size > sizeof frame)
        memcpy(bytes + sizeof frame, &client->min_seq, sizeof client->min_seq);
    memcpy(bytes + client->head_size, body, size);
    if (client->checksum) {
        frame.checksum = frame_checksum(bytes, frame.size);
        memcpy(bytes, &frame, sizeof frame);
    }
    client->out_size += frame.size;
    client->request_next++;
    client->in_flight++;
    *request = frame.request;
    return true;
}

static int64_t monotonic_ms(void)
{
    return (int64_t)(clock_monotonic_us() / 1000);
}

bool client_receive(struct client *client, struct client_reply *reply, int timeout_ms)
{
    int64_t deadline_ms = timeout_ms < 0 ? INT64_MAX : monotonic_ms() + timeout_ms;
    for (;;) {
        bool complete = false;
        if (!take_reply(client, reply, &complete))
            return false;
        if (complete)
            return true;
        if (client->has_ended)
            return false;
        if (client->out_size > 0 && !client_flush(client))
            continue;
        int64_t left_ms = timeout_ms < 0 ? -1 : deadline_ms - monotonic_ms();
        if (timeout_ms >= 0 && left_ms < 0)
            return fail(client, "no answer within %d ms", timeout_ms);
        struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, (int)left_ms) > 0)
            read_some(client);
    }
}

bool client_take(struct client *client, struct client_reply *reply, bool *has_come)
{
    for (;;) {
        size_t size = client->in_end - client->in_start;
        if (!take_reply(client, reply, has_come))
            return false;
        if (*has_come)
            return true;
        if (client->has_ended)
            return false;
        if (read_some(client) && client->in_end - client->in_start == size)
            return true;
    }
}

int client_fd(const struct client *client)
{
    return client->fd;
}

void client_set_min_seq(struct client *client, uint64_t seq)
{
    TILL_ASSERT((client->features & FRAME_FEATURE_FRESH) != 0);
    client->min_seq = seq;
}

static bool is_another_shop(const struct client *client, struct id shop)
{
    return !id_is_zero(client->shop) && !id_is_zero(shop) && !id_equal(client->shop, shop);
}

/* Takes in what the server says of itself and of the connection. */
static bool take_hello(struct client *client, const struct hello_reply_body *answer)
{
    if (answer->version != PROTOCOL_VERSION)
        return fail(client, "the server speaks protocol version %u, this client %d",
                    answer->version, PROTOCOL_VERSION);
    if (is_another_shop(client, answer->shop))
        return fail(client, "the server is of another shop");
    if (!id_is_zero(answer->shop))
        client->shop = answer->shop;
    if (answer->epoch > client->epoch_seen)
        client->epoch_seen = answer->epoch;
    client->in_flight_max = answer->in_flight_max > 0 ? answer->in_flight_max : 1;
    client->server_epoch = answer->epoch;
    client->server_seq = answer->seq;
    client->checksum = (answer->features & FRAME_FEATURE_CHECKSUM) != 0;
    if ((answer->features & FRAME_FEATURE_FRESH) != 0)
        client->head_size = sizeof(struct frame_fresh);
    return true;
}

/* The hello and its reply have none of the features that they agree on. */
static bool say_hello(struct client *client, int timeout_ms)
{
    struct hello_body hello = {.magic = FRAME_MAGIC,
                               .version = PROTOCOL_VERSION,
                               .features = client->features,
                               .shop = client->shop,
                               .epoch = client->epoch_seen};
    struct hello_reply_body answer;
    struct client_reply reply = {.number = 0};
    uint32_t request = 0;
    if (!client_queue(client, MESSAGE_hello, &hello, sizeof hello, &request) ||
        !client_receive(client, &reply, timeout_ms))
        return false;
    if (reply.number != MESSAGE_hello || reply.outcome != OUTCOME_OK || reply.size != sizeof answer)
        return fail(client, "the server refused the hello: %s", outcome_name(reply.outcome));
    memcpy(&answer, reply.body, sizeof answer);
    return take_hello(client, &answer);
}

/* Connects, with empty buffers and none of the features. */
static bool begin(struct client *client, const char *address, int timeout_ms)
{
    client->head_size = sizeof(struct frame);
    client->checksum = false;
    client->has_ended = false;
    client->in_flight = 0;
    client->out_size = client->in_start = client->in_end = 0;
    return connect_any(client, address, timeout_ms) && say_hello(client, timeout_ms);
}

bool client_open_within(struct client *client, const char *address, uint16_t features,
                        int timeout_ms)
{
    *client = (struct client){
        .fd = -1, .features = features, .in_capacity = CLIENT_IN_SIZE, .request_next = 1};
    client->out = malloc(CLIENT_OUT_SIZE);
    client->in = malloc(client->in_capacity);
    if (client->out == NULL || client->in == NULL)
        fail(client, "no memory for the buffers of a connection");
    else if (begin(client, address, timeout_ms))
        return true;
    client_close(client);
    return false;
}

bool client_open(struct client *client, const char *address, uint16_t features)
{
    return client_open_within(client, address, features, CLIENT_OPEN_MS);
}

/* Goes to the primary of which this server knows. The connection has ended when that fails. */
static bool move(struct client *client, const char *primary)
{
    char reason[CLIENT_ERROR_SIZE];
    close(client->fd);
    client->fd = -1;
    if (begin(client, primary, CLIENT_OPEN_MS))
        return true;
    snprintf(reason, sizeof reason, "%s", client->error);
    return end(client, "sent on to the primary at %s: %s", primary, reason);
}

/* Takes a step towards the primary. *goes_on is false when there is none to take: the reply is the
 * answer then. */
static bool follow(struct client *client, const struct client_reply *reply, uint32_t *hops,
                   uint32_t *pauses, bool *goes_on)
{
    const struct timespec pause = {.tv_nsec = CLIENT_PAUSE_MS * 1000000L};
    struct redirect_body redirect;
    char primary[sizeof redirect.primary + 1] = "";
    *goes_on =
        client->follows && reply->outcome == OUTCOME_NOT_PRIMARY && reply->size >= sizeof redirect;
    if (!*goes_on)
        return true;
    memcpy(&redirect, reply->body, sizeof redirect);
    memcpy(primary, redirect.primary.bytes, sizeof redirect.primary);
    if (redirect.epoch > client->epoch_seen)
        client->epoch_seen = redirect.epoch;
    bool is_known = primary[0] != '\0';
    *goes_on = is_known ? (*hops)++ < CLIENT_HOPS_MAX : (*pauses)++ < CLIENT_PAUSES_MAX;
    if (*goes_on && !is_known)
        nanosleep(&pause, NULL);
    return !*goes_on || !is_known || move(client, primary);
}

/* When it cannot be sent, receiving tells why. */
bool client_call(struct client *client, unsigned number, const void *body, uint32_t size,
                 struct client_reply *reply)
{
    uint32_t hops = 0;
    uint32_t pauses = 0;
    bool goes_on = true;
    while (goes_on) {
        uint32_t request = 0;
        TILL_ASSERT(client->in_flight == 0);
        if (!client_queue(client, number, body, size, &request) ||
            !client_receive(client, reply, -1) || !follow(client, reply, &hops, &pauses, &goes_on))
            return false;
    }
    return true;
}

void client_close(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    free(client->out);
    free(client->in);
    client->out = NULL;
    client->in = NULL;
}
