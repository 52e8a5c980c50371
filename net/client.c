/* One connection, blocking.
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
 * Replies arrive in the order of the requests; one that does not is a protocol error. */
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
    HELLO_TIMEOUT_MS = 10000,
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

static int connect_one(const struct addrinfo *info)
{
    int one = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
    if (fd < 0)
        return -errno;
    if (connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool connect_any(struct client *client, const char *address)
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
        fd = connect_one(info);
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
static bool end_with_reason(struct client *client, const struct frame *frame, const uint8_t *body)
{
    struct error_reply_body error;
    if (frame->size < sizeof *frame + sizeof error)
        return end(client, "the server closed the connection with a malformed reason");
    memcpy(&error, body, sizeof error);
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
    if (frame->size < sizeof *frame + FRAME_ALIGN || frame->size > FRAME_SIZE_MAX ||
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
        return end_with_reason(client, &frame, bytes + sizeof frame);
    if (frame.request != client->request_next - client->in_flight)
        return end(client, "reply %" PRIu32 " came out of order", frame.request);
    client->in_start += frame.size;
    client->in_flight--;
    *reply = (struct client_reply){.request = frame.request,
                                   .number = (uint16_t)number,
                                   .outcome = frame.outcome,
                                   .size = frame.size - (uint32_t)sizeof frame,
                                   .body = bytes + sizeof frame};
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
            return end_with_reason(client, &frame, bytes + sizeof frame);
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
    struct frame frame = {.size = (uint32_t)sizeof frame + size,
                          .type = (uint16_t)number,
                          .request = client->request_next};
    TILL_ASSERT(frame.size <= FRAME_SIZE_MAX && frame.size % FRAME_ALIGN == 0);
    if (client->has_ended ||
        (client->out_size + frame.size > CLIENT_OUT_SIZE && !client_flush(client)))
        return false;
    uint8_t *bytes = client->out + client->out_size;
    memcpy(bytes, &frame, sizeof frame);
    memcpy(bytes + sizeof frame, body, size);
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

/* When it cannot be sent, receiving tells why. */
bool client_call(struct client *client, unsigned number, const void *body, uint32_t size,
                 struct client_reply *reply)
{
    uint32_t request = 0;
    TILL_ASSERT(client->in_flight == 0);
    return client_queue(client, number, body, size, &request) && client_receive(client, reply, -1);
}

/* The hello and its reply are never checksummed: they agree on it. */
static bool say_hello(struct client *client, uint16_t features)
{
    struct hello_body hello = {
        .magic = FRAME_MAGIC, .version = PROTOCOL_VERSION, .features = features};
    struct hello_reply_body answer;
    struct client_reply reply = {.number = 0};
    uint32_t request = 0;
    if (!client_queue(client, MESSAGE_hello, &hello, sizeof hello, &request) ||
        !client_receive(client, &reply, HELLO_TIMEOUT_MS))
        return false;
    if (reply.number != MESSAGE_hello || reply.outcome != OUTCOME_OK || reply.size != sizeof answer)
        return fail(client, "the server refused the hello: %s", outcome_name(reply.outcome));
    memcpy(&answer, reply.body, sizeof answer);
    if (answer.version != PROTOCOL_VERSION)
        return fail(client, "the server speaks protocol version %u, this client %d", answer.version,
                    PROTOCOL_VERSION);
    client->in_flight_max = answer.in_flight_max > 0 ? answer.in_flight_max : 1;
    client->server_epoch = answer.epoch;
    client->server_seq = answer.seq;
    client->checksum = (answer.features & FRAME_FEATURE_CHECKSUM) != 0;
    return true;
}

bool client_open(struct client *client, const char *address, uint16_t features)
{
    *client = (struct client){.fd = -1, .in_capacity = CLIENT_IN_SIZE, .request_next = 1};
    client->out = malloc(CLIENT_OUT_SIZE);
    client->in = malloc(client->in_capacity);
    if (client->out == NULL || client->in == NULL)
        fail(client, "no memory for the buffers of a connection");
    else if (connect_any(client, address) && say_hello(client, features))
        return true;
    client_close(client);
    return false;
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
