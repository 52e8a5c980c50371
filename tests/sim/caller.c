/* A client of till in the simulation.
 *
 * The hello travels as request 0 and is answered inside caller_receive; requests are numbered from
 * 1 on, and each reply must carry the next number, the reply bit and a size that its message
 * allows. Anything that follows an error frame is a failure. */
#include "tests/sim/caller.h"

#include <string.h>

#include "base/checksum.h"
#include "base/status.h"
#include "tests/test.h"

static uint32_t frame_checksum(uint8_t *bytes, uint32_t size)
{
    memset(bytes + offsetof(struct frame, checksum), 0, sizeof(uint32_t));
    return (uint32_t)checksum64(bytes, size);
}

void caller_send_frame(struct caller *caller, struct frame frame, const void *body, uint32_t size)
{
    uint8_t bytes[FRAME_SIZE_MAX];
    memcpy(bytes, &frame, sizeof frame);
    memcpy(bytes + sizeof frame, body, size);
    if (caller->checksum && caller->state == CALLER_READY) {
        frame.checksum = frame_checksum(bytes, (uint32_t)sizeof frame + size);
        memcpy(bytes, &frame, sizeof frame);
    }
    sim_client_send(caller->client, bytes, sizeof frame + size);
}

static void send_message(struct caller *caller, unsigned number, uint32_t request, const void *body,
                         uint32_t size)
{
    struct frame frame = {
        .size = (uint32_t)sizeof frame + size, .type = (uint16_t)number, .request = request};
    caller_send_frame(caller, frame, body, size);
}

void caller_greet(struct caller *caller, struct sim_machine *machine,
                  const struct hello_body *hello)
{
    *caller = (struct caller){.client = sim_connect(machine),
                              .checksum = (hello->features & FRAME_FEATURE_CHECKSUM) != 0};
    send_message(caller, MESSAGE_hello, 0, hello, sizeof *hello);
}

void caller_open(struct caller *caller, struct sim_machine *machine, bool checksum)
{
    const struct hello_body hello = {
        .magic = FRAME_MAGIC,
        .version = PROTOCOL_VERSION,
        .features = checksum ? FRAME_FEATURE_CHECKSUM : 0,
    };
    caller_greet(caller, machine, &hello);
}

void caller_close(struct caller *caller)
{
    if (caller->client != NULL)
        sim_client_free(caller->client);
    caller->client = NULL;
    caller->ended = true;
}

uint32_t caller_send(struct caller *caller, unsigned number, const void *body, uint32_t size)
{
    CHECK_EQUAL(caller->state, CALLER_READY);
    send_message(caller, number, ++caller->sent, body, size);
    return caller->sent;
}

/* The size that the reply's message allows for its body. */
static void check_size(const struct caller_reply *reply)
{
    const struct message_info *message = message_info(reply->number);
    CHECK(message != NULL);
    bool is_done = reply->outcome == OUTCOME_OK || reply->outcome == OUTCOME_REPLAYED;
    if (!is_done && reply->number != MESSAGE_error) {
        CHECK_EQUAL(reply->size, reply_shape(message, reply->outcome, reply->size)->size_bytes);
        return;
    }
    uint32_t size = message->reply->size_bytes;
    CHECK(reply->size >= size);
    if (message->reply_row != NULL)
        size += (uint32_t)shape_rows(message->reply, reply->body) * message->reply_row->size_bytes;
    CHECK_EQUAL(reply->size, size);
}

/* Takes one whole frame off the front of what has arrived. */
static bool take_frame(struct caller *caller, struct caller_reply *reply)
{
    struct frame frame;
    if (caller->in_size < sizeof frame)
        return false;
    memcpy(&frame, caller->in, sizeof frame);
    CHECK(frame.size >= sizeof frame + 8 && frame.size <= FRAME_SIZE_MAX);
    CHECK(frame.size % FRAME_ALIGN == 0 && (frame.type & FRAME_REPLY) != 0);
    if (caller->in_size < frame.size)
        return false;
    if (caller->checksum && caller->state != CALLER_GREETING)
        CHECK_EQUAL(frame_checksum(caller->in, frame.size), frame.checksum);
    else
        CHECK_EQUAL(frame.checksum, 0);
    reply->request = frame.request;
    reply->number = (uint16_t)(frame.type & ~FRAME_REPLY);
    reply->outcome = frame.outcome;
    reply->size = frame.size - (uint32_t)sizeof frame;
    memcpy(reply->body, caller->in + sizeof frame, reply->size);
    caller->in_size -= frame.size;
    memmove(caller->in, caller->in + frame.size, caller->in_size);
    check_size(reply);
    return true;
}

static bool take_reply(struct caller *caller, struct caller_reply *reply)
{
    if (!take_frame(caller, reply))
        return false;
    CHECK(caller->state == CALLER_GREETING || caller->state == CALLER_READY);
    if (reply->number == MESSAGE_error) {
        CHECK_EQUAL(reply->outcome, OUTCOME_INVALID);
        memcpy(&caller->error, reply->body, sizeof caller->error);
        CHECK(caller->error.reason.bytes[0] != '\0');
        caller->state = CALLER_REFUSED;
        return false;
    }
    if (caller->state == CALLER_GREETING) {
        CHECK_EQUAL(reply->number, MESSAGE_hello);
        CHECK_EQUAL(reply->outcome, OUTCOME_OK);
        memcpy(&caller->hello, reply->body, sizeof caller->hello);
        caller->checksum = (caller->hello.features & FRAME_FEATURE_CHECKSUM) != 0;
        caller->state = CALLER_READY;
        return take_reply(caller, reply);
    }
    CHECK_EQUAL(reply->request, ++caller->answered);
    CHECK(caller->answered <= caller->sent);
    return true;
}

bool caller_receive(struct caller *caller, struct caller_reply *reply)
{
    if (caller->client == NULL)
        return false;
    while (!take_reply(caller, reply)) {
        int64_t size = sim_client_receive(caller->client, caller->in + caller->in_size,
                                          sizeof caller->in - caller->in_size);
        if (size <= 0) {
            caller->ended |= size < 0;
            return false;
        }
        caller->in_size += (size_t)size;
    }
    return true;
}
