/* From received bytes to commands.
 *
 * Frames are read where they were received. A frame that arrives in pieces is put together in the
 * session's stash; what follows it in the receive buffer is then moved down by up to 7 bytes, so
 * that every frame stands at a multiple of 8. Anything that breaks docs/protocol.md ends the
 * session with an error frame, after the answers to what came before.
 *
 * Handling stops, and the rest waits, when there is no room: for replies (until some are sent) or
 * in the log (until a block is durable). The session is then paused, so that the kernel's socket
 * buffer and in the end the sender's window fill up. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/checksum.h"
#include "net/server_state.h"

/* How far a frame got. */
enum handled {
    HANDLED,
    HANDLED_PART,  /* the rest of it has not come yet */
    HANDLED_LATER, /* no room: try the same frame again later */
    HANDLED_LAST,  /* the session reads nothing more */
};

static uint8_t *stash_of(struct server *server, uint32_t number)
{
    return server->stashes + (uint64_t)number * FRAME_SIZE_MAX;
}

/* Reserves room for a reply that the engine has no part in, with the batch decided before it. */
static bool reserve_answer(struct server *server, uint32_t number, uint32_t body_size)
{
    struct session *session = session_at(server, number);
    uint32_t size = (uint32_t)sizeof(struct frame) + body_size;
    return pipeline_decide(server) &&
           output_reserve(&session->output, &server->outputs, size) == OUTPUT_ROOM;
}

/* The frame breaks the protocol: says why, and ends the session. */
static enum handled refuse(struct server *server, uint32_t number, const struct frame *frame,
                           const char *reason)
{
    struct error_reply_body body = {.seq = wal_seq_durable(server->wal)};
    struct frame request = {.type = MESSAGE_error, .request = frame != NULL ? frame->request : 0};
    if (!reserve_answer(server, number, sizeof body))
        return HANDLED_LATER;
    snprintf(body.reason.bytes, sizeof body.reason.bytes, "%s", reason);
    pipeline_answer(server, number, &request, OUTCOME_INVALID, &body, sizeof body);
    session_drain(server, number);
    return HANDLED_LAST;
}

static const char *hello_problem(const struct frame *frame)
{
    const struct hello_body *hello = (const struct hello_body *)(frame + 1);
    static const struct name no_token = {{0}};
    const char *reason = NULL;
    if (frame->type != MESSAGE_hello)
        return "the first frame must be hello";
    if (frame->outcome != 0 || frame->checksum != 0)
        return "hello: outcome and checksum must be zero";
    if (!message_check_request(message_info(MESSAGE_hello), hello,
                               frame->size - (uint32_t)sizeof *frame, &reason))
        return reason;
    if (hello->magic != FRAME_MAGIC)
        return "hello: the magic is not till-rpc";
    if (hello->version != PROTOCOL_VERSION)
        return "hello: this server speaks protocol version 1";
    if ((hello->features & ~FRAME_FEATURES) != 0)
        return "hello: an unknown feature is asked for";
    if (memcmp(&hello->token, &no_token, sizeof no_token) != 0)
        return "hello: no token is asked for; it must be zero";
    return NULL;
}

static enum handled handle_hello(struct server *server, uint32_t number, const struct frame *frame)
{
    struct session *session = session_at(server, number);
    const struct hello_body *hello = (const struct hello_body *)(frame + 1);
    const char *problem = hello_problem(frame);
    if (problem != NULL)
        return refuse(server, number, frame, problem);
    struct hello_reply_body reply = {
        .seq = wal_seq_durable(server->wal),
        .time = server->now_us,
        .epoch = server->start.epoch,
        .frame_size_max = FRAME_SIZE_MAX,
        .in_flight_max = FRAME_IN_FLIGHT_MAX,
        .version = PROTOCOL_VERSION,
        .features = hello->features,
        .role = server_role_PRIMARY,
    };
    if (!reserve_answer(server, number, sizeof reply))
        return HANDLED_LATER;
    pipeline_answer(server, number, frame, OUTCOME_OK, &reply, sizeof reply);
    session->checksum = (hello->features & FRAME_FEATURE_CHECKSUM) != 0;
    session->is_operator = (hello->features & FRAME_FEATURE_OPERATOR) != 0;
    session->state = SESSION_OPEN;
    return HANDLED;
}

static bool checksum_is_right(const struct session *session, struct frame *frame)
{
    uint32_t checksum = frame->checksum;
    if (!session->checksum)
        return checksum == 0;
    frame->checksum = 0;
    bool right = (uint32_t)checksum64(frame, frame->size) == checksum;
    frame->checksum = checksum;
    return right;
}

/* Why this request breaks the protocol; NULL when it does not. */
static const char *frame_problem(const struct session *session, struct frame *frame)
{
    const char *reason = NULL;
    const struct message_info *message = message_info(frame->type);
    if (frame->outcome != 0)
        return "a request's outcome must be zero";
    if (!checksum_is_right(session, frame))
        return session->checksum ? "the checksum does not match"
                                 : "the checksum must be zero: the hello did not ask for checksums";
    if (message == NULL)
        return "there is no message of this type";
    if (message->kind == KIND_SESSION)
        return "this message is not for an open connection";
    if (!message_check_request(message, frame + 1, frame->size - (uint32_t)sizeof *frame, &reason))
        return reason;
    return NULL;
}

static enum handled handle_forbidden(struct server *server, uint32_t number,
                                     const struct frame *frame)
{
    struct rejection_body body = {.seq = engine_seq(server->engine)};
    if (!reserve_answer(server, number, sizeof body))
        return HANDLED_LATER;
    pipeline_answer(server, number, frame, OUTCOME_FORBIDDEN, &body, sizeof body);
    return HANDLED;
}

static enum handled handle_snapshot(struct server *server, uint32_t number,
                                    const struct frame *frame)
{
    struct snapshot_reply_body body;
    if (!reserve_answer(server, number, sizeof body))
        return HANDLED_LATER;
    snapshots_ask(server, (const struct snapshot_body *)(frame + 1), &body);
    pipeline_answer(server, number, frame, OUTCOME_OK, &body, sizeof body);
    return HANDLED;
}

/* Handles one whole frame, 8-byte aligned. */
static enum handled handle_frame(struct server *server, uint32_t number, struct frame *frame)
{
    struct session *session = session_at(server, number);
    if (session->state == SESSION_GREETING)
        return handle_hello(server, number, frame);
    const char *problem = frame_problem(session, frame);
    if (problem != NULL)
        return refuse(server, number, frame, problem);
    if (message_info(frame->type)->kind == KIND_INTERNAL)
        return handle_forbidden(server, number, frame);
    if (frame->type == MESSAGE_snapshot)
        return handle_snapshot(server, number, frame);
    if (server->batch_count == BATCH_COMMANDS_MAX && !pipeline_decide(server))
        return HANDLED_LATER;
    enum output_room room = pipeline_add(server, number, frame);
    if (room == OUTPUT_DECIDE_FIRST) {
        if (!pipeline_decide(server))
            return HANDLED_LATER;
        room = pipeline_add(server, number, frame);
    }
    return room == OUTPUT_ROOM ? HANDLED : HANDLED_LATER;
}

static const char *size_problem(uint32_t size)
{
    if (size % FRAME_ALIGN != 0)
        return "the frame's size is not a multiple of 8";
    if (size < sizeof(struct frame) + FRAME_ALIGN)
        return "the frame's size is below 24";
    return size > FRAME_SIZE_MAX ? "the frame's size is above 8192" : NULL;
}

static uint32_t stash_fill(struct session *session, uint8_t *stash, struct input *input,
                           uint32_t wanted)
{
    uint32_t missing = wanted > session->stash_size ? wanted - session->stash_size : 0;
    uint32_t part = missing < input->size ? missing : input->size;
    memcpy(stash + session->stash_size, input->bytes, part);
    session->stash_size += part;
    input->bytes += part;
    input->size -= part;
    return session->stash_size;
}

/* Completes the frame in the stash from this input, and handles it when it is whole. */
static enum handled handle_stash(struct server *server, uint32_t number, struct input *input)
{
    struct session *session = session_at(server, number);
    uint8_t *stash = stash_of(server, number);
    struct frame *frame = (struct frame *)stash;
    if (stash_fill(session, stash, input, sizeof *frame) < sizeof *frame)
        return HANDLED_PART;
    const char *problem = size_problem(frame->size);
    if (problem != NULL)
        return refuse(server, number, NULL, problem);
    if (stash_fill(session, stash, input, frame->size) < frame->size)
        return HANDLED_PART;
    enum handled handled = handle_frame(server, number, frame);
    if (handled != HANDLED)
        return handled;
    session->stash_size = 0;
    session->stash_batch = server->batch_number;
    uint32_t shift = (uint32_t)((uintptr_t)input->bytes % FRAME_ALIGN);
    memmove(input->bytes - shift, input->bytes, input->size);
    input->bytes -= shift;
    return HANDLED;
}

/* Puts the beginning of a frame by until the rest comes. A command in the batch may still stand in
 * the stash: that one is decided first. */
static enum handled stash_begin(struct server *server, uint32_t number, struct input *input)
{
    struct session *session = session_at(server, number);
    if (session->stash_batch == server->batch_number && session->undecided > 0 &&
        !pipeline_decide(server))
        return HANDLED_LATER;
    stash_fill(session, stash_of(server, number), input, input->size);
    return HANDLED_PART;
}

/* Handles the whole frames that stand in one receive buffer, in place. */
static enum handled handle_frames(struct server *server, uint32_t number, struct input *input)
{
    while (input->size >= sizeof(struct frame)) {
        struct frame *frame = (struct frame *)input->bytes;
        uint32_t size = frame->size;
        const char *problem = size_problem(size);
        if (problem != NULL)
            return refuse(server, number, NULL, problem);
        if (input->size < size)
            break;
        enum handled handled = handle_frame(server, number, frame);
        if (handled != HANDLED)
            return handled;
        input->bytes += size;
        input->size -= size;
    }
    return HANDLED;
}

/* Handles what one receive buffer brought. HANDLED or HANDLED_PART: all of it was used. */
static enum handled handle_input(struct server *server, uint32_t number, struct input *input)
{
    enum handled handled = HANDLED;
    if (session_at(server, number)->stash_size > 0)
        handled = handle_stash(server, number, input);
    if (handled == HANDLED)
        handled = handle_frames(server, number, input);
    if (handled == HANDLED && input->size > 0)
        handled = stash_begin(server, number, input);
    return handled;
}

/* The session's first buffer is done with; the batch may still point into it. */
static void input_pop(struct server *server, struct session *session)
{
    uint32_t buffer = session->input_first;
    session->input_first = server->inputs[buffer].next;
    server->inputs[buffer].next = server->inputs_done;
    server->inputs_done = buffer;
}

void input_drop(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    while (session->input_first != 0)
        input_pop(server, session);
}

static void input_wait(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    if (!session->waiting)
        session_list_add(&server->waiting, number);
    session->waiting = true;
    if (!session->paused)
        io_receive_pause(server->io, session->fd, session_user(server, number));
    session->paused = true;
}

/* Handles what the session has received, as far as there is room. */
void input_handle(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    while (session->input_first != 0) {
        struct input *input = &server->inputs[session->input_first];
        enum handled handled = handle_input(server, number, input);
        if (handled == HANDLED_LATER) {
            input_wait(server, number);
            return;
        }
        if (handled == HANDLED_LAST) {
            input_drop(server, number);
            return;
        }
        input_pop(server, session);
    }
    if (session->has_ended || server->is_stopping) {
        session_drain(server, number);
    } else if (session->paused) {
        session->paused = false;
        io_receive(server->io, session->fd, session_user(server, number));
    }
}

/* Sessions that waited for room try again. */
void input_handle_waiting(struct server *server)
{
    uint32_t count = server->waiting.count;
    for (uint32_t i = 0; i < count && !server->is_stalled; i++) {
        uint32_t number = server->waiting.numbers[i];
        struct session *session = session_at(server, number);
        session->waiting = false;
        if (session->state == SESSION_GREETING || session->state == SESSION_OPEN)
            input_handle(server, number);
        server->waiting.numbers[i] = 0;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < server->waiting.count; i++) {
        if (server->waiting.numbers[i] != 0)
            server->waiting.numbers[kept++] = server->waiting.numbers[i];
    }
    server->waiting.count = kept;
}

void input_received(struct server *server, uint32_t number, const struct io_event *event)
{
    struct session *session = session_at(server, number);
    bool reads = session->state == SESSION_GREETING || session->state == SESSION_OPEN;
    if (event->result > 0) {
        uint32_t buffer = event->buffer + 1;
        struct input *input = &server->inputs[buffer];
        *input = (struct input){.bytes = event->bytes, .size = (uint32_t)event->result};
        if (!reads) {
            io_buffer_release(server->io, event->buffer);
            return;
        }
        if (session->input_first == 0)
            session->input_first = buffer;
        else
            server->inputs[session->input_last].next = buffer;
        session->input_last = buffer;
    } else if (event->result < 0 && session->state != SESSION_CLOSING) {
        session_close(server, number);
        return;
    }
    session->has_ended |= event->result == 0;
    if (reads && !session->waiting)
        input_handle(server, number);
}
