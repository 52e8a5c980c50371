/* From received bytes to commands.
 *
 * Good path: frames are parsed in the receive buffer, without a copy. A frame that arrives in
 * pieces is put together in the session's stash; what follows it in the receive buffer is then
 * moved down by up to 7 bytes, so that every frame is aligned to 8. Input that breaks the protocol
 * (docs/protocol.md) ends the session with an error frame, behind the replies to what came before.
 *
 * Backpressure: handling stops, and the rest of the input waits in the stash, when there is no room
 *   for replies      until some of the session's replies are sent; if it has none, until a chunk
 *                    becomes free. The same while a send waits for its reader: nothing more is
 *                    decided for a client that does not read its replies
 *   in the log       until a block is durable; all sessions with input then wait in one queue
 *   for the change that a request demands
 *                    until it has happened, or the time for it is over: net/await.h
 * Nothing more is received meanwhile, so the kernel's socket buffer and then the sender's TCP
 * window fill up.
 *
 * What must hold: at the end of a turn no session holds a receive buffer, except those that the
 * undecided batch points into. So a client that sends or reads slowly takes no buffer from others.
 * And a turn is short whatever is sent: it handles at most one stash and one buffer of each
 * session, and about TURN_COST_MAX of all. What is left waits in the queue, first come, first
 * served; but small input is handled at once and does not wait behind large. */
#include "net/input.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/checksum.h"
#include "engine/layout.h"
#include "net/admin.h"
#include "net/await.h"
#include "net/members.h"
#include "net/pipeline.h"
#include "net/pressure.h"
#include "net/replicas.h"
#include "net/server_state.h"

enum {
    TURN_COST_MAX = 1 << 20, /* bytes of requests and replies in a turn: a millisecond or two */
    SMALL_SIZE_MAX = 1024,   /* bytes received that do not wait in the queue */
};

static admin_handler *const admin_handlers[MESSAGE_NUMBER_MAX + 1] = {
#define HANDLER_SESSION(name)
#define HANDLER_QUERY(name)
#define HANDLER_COMMAND(name)
#define HANDLER_INTERNAL(name)
#define HANDLER_ADMIN(name) [MESSAGE_##name] = admin_##name,
#define HANDLER_LINK(name)
#define MESSAGE(number, name, text_name, KIND, ...) HANDLER_##KIND(name)
#include "engine/tables/messages.h"
#undef HANDLER_SESSION
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_ADMIN
#undef HANDLER_LINK
};

/* A client that sends what the server alone makes is refused by the message's role. */
#define MESSAGE(number, name, text_name, KIND, role, ...)                                          \
    static_assert(KIND_##KIND == KIND_LINK                                                         \
                      ? ROLE_##role == ROLE_replica || ROLE_##role == ROLE_server                  \
                      : (KIND_##KIND == KIND_INTERNAL) == (ROLE_##role == ROLE_server),            \
                  text_name ": INTERNAL messages are those of the role server");
#include "engine/tables/messages.h"

/* The result of handling input. */
enum handled {
    HANDLED,         /* done; an incomplete frame may be left */
    HANDLED_STALLED, /* stopped: no room in the log; try the same frame again later */
    HANDLED_FULL,    /* stopped: no room for its reply, or the client does not read; the same */
    HANDLED_AWAITS,  /* stopped: the change that it demands has not happened; the same */
    HANDLED_LINK,    /* the connection is a link now; what follows the frame belongs to it */
    HANDLED_LAST,    /* the session reads nothing more */
};

static uint8_t *stash_of(struct server *server, uint32_t number)
{
    return server->stashes + (uint64_t)number * STASH_SIZE;
}

/* Reserves room for a reply that does not come from the engine. Decides the batch first, so that
 * replies keep the order of the requests. */
static enum handled reserve_answer(struct server *server, uint32_t number, uint32_t body_size)
{
    struct session *session = session_at(server, number);
    uint32_t size = session_head_size(session) + body_size;
    if (!pipeline_decide(server))
        return HANDLED_STALLED;
    enum output_room room = output_reserve(&session->output, &server->outputs, size);
    return room == OUTPUT_ROOM ? HANDLED : HANDLED_FULL;
}

/* The frame breaks the protocol: answers with the reason and drains the session. */
static enum handled refuse(struct server *server, uint32_t number, const struct frame *frame,
                           const char *reason)
{
    struct error_reply_body body = {.seq = wal_seq_durable(server->wal)};
    struct frame request = {.type = MESSAGE_error, .request = frame != NULL ? frame->request : 0};
    enum handled reserved = reserve_answer(server, number, sizeof body);
    if (reserved != HANDLED)
        return reserved;
    server->counts.protocol_errors++;
    snprintf(body.reason.bytes, sizeof body.reason.bytes, "%s", reason);
    pipeline_answer(server, number, &request, OUTCOME_INVALID, &body, sizeof body);
    session_drain(server, number);
    return HANDLED_LAST;
}

/* The body as today's shapes have it, when it is a well-formed request of an older schema; returns
 * its size, else 0. */
static uint32_t widen(const struct message_info *message, const struct request *request, void *room)
{
    const char *reason = NULL;
    uint32_t size = layout_widen(message, request->body, request->size, room);
    return size > 0 && message_check_request(message, room, size, &reason) ? size : 0;
}

static const char *hello_problem(const struct request *request, struct hello_body *hello)
{
    const struct message_info *message = message_info(MESSAGE_hello);
    const struct frame *frame = request->frame;
    static const struct name no_token = {{0}};
    const char *reason = NULL;
    if (frame->type != MESSAGE_hello)
        return "the first frame must be hello";
    if (frame->outcome != 0 || frame->checksum != 0)
        return "hello: outcome and checksum must be zero";
    if (message_check_request(message, request->body, request->size, &reason))
        memcpy(hello, request->body, sizeof *hello);
    else if (widen(message, request, hello) == 0)
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

static enum handled handle_hello(struct server *server, uint32_t number,
                                 const struct request *request)
{
    struct session *session = session_at(server, number);
    struct hello_body hello;
    const char *problem = hello_problem(request, &hello);
    if (problem != NULL)
        return refuse(server, number, request->frame, problem);
    enum handled reserved = reserve_answer(server, number, sizeof(struct hello_reply_body));
    if (reserved != HANDLED)
        return reserved;
    members_meet(server, hello.shop, hello.epoch);
    struct hello_reply_body reply = {
        .seq = wal_seq_durable(server->wal),
        .time = server->now_us,
        .frame_size_max = FRAME_SIZE_MAX,
        .in_flight_max = FRAME_IN_FLIGHT_MAX,
        .version = PROTOCOL_VERSION,
        .features = hello.features,
    };
    members_greet(server, &reply);
    pipeline_answer(server, number, request->frame, OUTCOME_OK, &reply, sizeof reply);
    session->checksum = (hello.features & FRAME_FEATURE_CHECKSUM) != 0;
    session->is_operator = (hello.features & FRAME_FEATURE_OPERATOR) != 0;
    session->roles = SESSION_ROLES_CLIENT;
    if ((hello.features & FRAME_FEATURE_FRESH) != 0)
        session->output.sink.gap = sizeof(struct frame_fresh);
    session_open(server, number);
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

/* Which rule of the protocol this request breaks; NULL: none. */
static const char *frame_problem(const struct session *session, const struct message_info *message,
                                 struct frame *frame)
{
    if (frame->outcome != 0)
        return "a request's outcome must be zero";
    if (!checksum_is_right(session, frame))
        return session->checksum ? "the checksum does not match"
                                 : "the checksum must be zero: the hello did not ask for checksums";
    if (message == NULL)
        return "there is no message of this type";
    if (message->kind == KIND_SESSION)
        return "this message is not for an open connection";
    return NULL;
}

/* Rejects a request without asking the engine. */
static enum handled reject(struct server *server, uint32_t number, const struct request *request,
                           enum outcome outcome)
{
    enum handled reserved = reserve_answer(server, number, sizeof(struct rejection_body));
    if (reserved != HANDLED)
        return reserved;
    uint64_t seq = wal_seq_durable(server->wal);
    int64_t value = outcome == OUTCOME_REPLICA_BEHIND ? (int64_t)seq : 0;
    struct rejection_body body = rejection_make(seq, 0, value);
    pipeline_answer(server, number, request->frame, outcome, &body, sizeof body);
    return HANDLED;
}

/* Commands are taken elsewhere. */
static enum handled redirect(struct server *server, uint32_t number, const struct request *request)
{
    struct redirect_body body;
    enum handled reserved = reserve_answer(server, number, sizeof body);
    if (reserved != HANDLED)
        return reserved;
    members_redirect(server, &body);
    pipeline_answer(server, number, request->frame, OUTCOME_NOT_PRIMARY, &body, sizeof body);
    return HANDLED;
}

/* A message for the server itself, not for the engine. */
static enum handled handle_admin(struct server *server, uint32_t number,
                                 const struct message_info *message, const struct request *request)
{
    union admin_reply reply;
    enum handled reserved = reserve_answer(server, number, sizeof reply);
    if (reserved != HANDLED)
        return reserved;
    enum outcome outcome = admin_handlers[message->number](server, request->body, &reply);
    /* A primary that stops being one closes the connections with replies that will never be
     * released, and this one may be among them. */
    if (session_at(server, number)->state == SESSION_CLOSING)
        return HANDLED_LAST;
    uint32_t size = sizeof reply.rejection;
    if (outcome == OUTCOME_OK) {
        size = message->reply->size_bytes;
        if (message->reply_row != NULL)
            size += (uint32_t)shape_rows(message->reply, &reply) * message->reply_row->size_bytes;
    }
    pipeline_answer(server, number, request->frame, outcome, &reply, size);
    return HANDLED;
}

/* A request that demands a change which has not happened here waits for it, in vain perhaps. The
 * batch is decided first, so that nothing points into the stash in which the input is kept. */
static enum handled handle_awaiting(struct server *server, uint32_t number,
                                    const struct request *request)
{
    if (!pipeline_decide(server))
        return HANDLED_STALLED;
    if (!await_is_over(server, number, request->min_seq))
        return HANDLED_AWAITS;
    enum handled handled = reject(server, number, request, OUTCOME_REPLICA_BEHIND);
    if (handled == HANDLED)
        session_at(server, number)->awaited_seq = 0;
    return handled;
}

/* A replica makes this connection a link. What it asked for before is answered first, so that its
 * output is empty from here on. */
static enum handled handle_link(struct server *server, uint32_t number,
                                const struct request *request)
{
    struct session *session = session_at(server, number);
    unsigned type = request->frame->type;
    if (type != MESSAGE_replica_join && type != MESSAGE_replica_fetch)
        return refuse(server, number, request->frame, "this message is only for a link");
    if (session->checksum || session_head_size(session) > sizeof(struct frame))
        return refuse(server, number, request->frame, "a link's hello asks for no features");
    if (session->undecided > 0 && !pipeline_decide(server))
        return HANDLED_STALLED;
    if (session->output.sent != session->output.written)
        return HANDLED_FULL;
    if (!links_begin(server, number, request))
        return refuse(server, number, request->frame,
                      "no more replicas may follow here: 16 do, or memory is short");
    return HANDLED_LINK;
}

/* A well-formed request of an open connection. Its body stays where it is until it is decided. */
static enum handled handle_request(struct server *server, uint32_t number,
                                   const struct message_info *message,
                                   const struct request *request)
{
    enum outcome outcome = OUTCOME_OK;
    if (!session_may_send(session_at(server, number), message))
        return reject(server, number, request, OUTCOME_FORBIDDEN);
    if (message->kind == KIND_ADMIN)
        return handle_admin(server, number, message, request);
    if (message->kind == KIND_LINK)
        return handle_link(server, number, request);
    if ((server->kinds_asked >> message->kind & 1) != 0)
        outcome = members_admit(server, message);
    if (outcome == OUTCOME_NOT_PRIMARY)
        return redirect(server, number, request);
    if (outcome != OUTCOME_OK)
        return reject(server, number, request, outcome);
    if (request->min_seq != 0 && !await_is_reached(server, number, request->min_seq))
        return handle_awaiting(server, number, request);
    if (server->batch_count == BATCH_COMMANDS_MAX && !pipeline_decide(server))
        return HANDLED_STALLED;
    enum output_room room = pipeline_add(server, number, request);
    if (room == OUTPUT_DECIDE_FIRST) {
        if (!pipeline_decide(server))
            return HANDLED_STALLED;
        room = pipeline_add(server, number, request);
    }
    return room == OUTPUT_ROOM ? HANDLED : HANDLED_FULL;
}

/* A request that has not today's shapes: one of an older schema is handled as today's, which takes
 * room of its own until the batch is decided; any other breaks the protocol. */
static enum handled handle_other_shape(struct server *server, uint32_t number,
                                       const struct message_info *message,
                                       const struct request *request, const char *problem)
{
    struct older *older = &server->older;
    if (older->batch != server->batch_number)
        older->used_bytes = 0;
    if (OLDER_SIZE - older->used_bytes < FRAME_SIZE_MAX) {
        if (!pipeline_decide(server))
            return HANDLED_STALLED;
        older->used_bytes = 0;
    }
    struct request wide = *request;
    uint8_t *room = older->bytes + older->used_bytes;
    wide.body = room;
    wide.size = widen(message, request, room);
    if (wide.size == 0)
        return refuse(server, number, request->frame, problem);
    enum handled handled = handle_request(server, number, message, &wide);
    if (handled == HANDLED) {
        older->batch = server->batch_number;
        older->used_bytes += wide.size;
    }
    return handled;
}

/* Most frames of a sale are orders on known terms, on connections without features: whatever may
 * keep such a request from the batch is asked here in few instructions. False: nothing was done. */
static bool handle_known(struct server *server, uint32_t number, const struct frame *frame)
{
    struct session *session = session_at(server, number);
    const struct request request = {.frame = frame, .body = frame + 1, .size = TERMS_BODY_SIZE};
    bool is_plain = frame->size == sizeof *frame + TERMS_BODY_SIZE &&
                    frame->type == MESSAGE_order_place && frame->outcome == 0 &&
                    frame->checksum == 0 && session->state == SESSION_OPEN && !session->checksum &&
                    session_head_size(session) == sizeof *frame;
    return is_plain && server->kinds_asked == 0 && server->batch_count < BATCH_COMMANDS_MAX &&
           known_find(&server->known, request.body) != NULL &&
           session_may_send(session, message_info(MESSAGE_order_place)) &&
           pipeline_add(server, number, &request) == OUTPUT_ROOM;
}

/* Handles one complete frame, aligned to 8 bytes. */
static enum handled handle_frame(struct server *server, uint32_t number, struct frame *frame)
{
    if (handle_known(server, number, frame))
        return HANDLED;
    struct session *session = session_at(server, number);
    const struct message_info *message = message_info(frame->type);
    const uint32_t head_size = session_head_size(session);
    const char *problem = NULL;
    struct request request = {.frame = frame,
                              .body = (const uint8_t *)frame + head_size,
                              .size = frame->size - head_size};
    if (session->state == SESSION_GREETING)
        return handle_hello(server, number, &request);
    problem = frame_problem(session, message, frame);
    if (problem != NULL)
        return refuse(server, number, frame, problem);
    if (head_size > sizeof *frame)
        request.min_seq = ((const struct frame_fresh *)frame)->min_seq;
    if (!known_check_request(&server->known, message, request.body, request.size, &problem))
        return handle_other_shape(server, number, message, &request, problem);
    return handle_request(server, number, message, &request);
}

static const char *size_problem(uint32_t size)
{
    if (size % FRAME_ALIGN != 0)
        return "the frame's size is not a multiple of 8";
    if (size < sizeof(struct frame) + FRAME_ALIGN)
        return "the frame's size is below 24";
    return size > FRAME_SIZE_MAX ? "the frame's size is above 8192" : NULL;
}

static void input_skip(struct input *input, uint32_t size)
{
    input->bytes += size;
    input->size -= size;
}

/* Handles the complete frames at the front of an input, in place. */
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
        if (handled == HANDLED || handled == HANDLED_LINK)
            input_skip(input, size);
        if (handled != HANDLED)
            return handled;
    }
    return HANDLED;
}

static bool stash_is_in_batch(const struct server *server, const struct session *session)
{
    return session->stash_batch == server->batch_number && session->undecided > 0;
}

/* Makes sure that the stash may be overwritten: if commands of the open batch point into it, the
 * batch is decided first. False when it cannot be decided now. */
static bool stash_clear(struct server *server, const struct session *session)
{
    return !stash_is_in_batch(server, session) || pipeline_decide(server);
}

static uint32_t stash_fill(struct session *session, uint8_t *stash, uint32_t wanted)
{
    struct input *input = &session->input;
    uint32_t missing = wanted > session->stash_size ? wanted - session->stash_size : 0;
    uint32_t part = missing < input->size ? missing : input->size;
    memcpy(stash + session->stash_size, input->bytes, part);
    session->stash_size += part;
    input_skip(input, part);
    return session->stash_size;
}

/* Appends received bytes to the frame in the stash, and handles it when it is complete. */
static enum handled handle_stashed(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    struct input *input = &session->input;
    uint8_t *stash = stash_of(server, number);
    struct frame *frame = (struct frame *)stash;
    if (stash_fill(session, stash, sizeof *frame) < sizeof *frame)
        return HANDLED;
    const char *problem = size_problem(frame->size);
    if (problem != NULL)
        return refuse(server, number, NULL, problem);
    if (stash_fill(session, stash, frame->size) < frame->size)
        return HANDLED;
    enum handled handled = handle_frame(server, number, frame);
    if (handled == HANDLED_LINK)
        session->stash_size = 0;
    if (handled != HANDLED)
        return handled;
    session->stash_size = 0;
    session->stash_batch = server->batch_number;
    uint32_t shift = (uint32_t)((uintptr_t)input->bytes % FRAME_ALIGN);
    memmove(input->bytes - shift, input->bytes, input->size);
    input->bytes -= shift;
    return HANDLED;
}

/* Handles the complete frames in the stash. An incomplete one behind them moves to the stash's
 * front, so that there is room for the rest of it. */
static enum handled handle_kept(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    uint8_t *stash = stash_of(server, number);
    struct input kept = {.bytes = stash + session->stash_start, .size = session->stash_size};
    enum handled handled = handle_frames(server, number, &kept);
    if (kept.size < session->stash_size)
        session->stash_batch = server->batch_number;
    session->stash_start = (uint32_t)(kept.bytes - stash);
    session->stash_size = kept.size;
    if (handled != HANDLED || session->stash_start == 0)
        return handled;
    if (kept.size > 0 && !stash_clear(server, session))
        return HANDLED_STALLED;
    memmove(stash, kept.bytes, kept.size);
    session->stash_start = 0;
    return HANDLED;
}

/* Copies an incomplete frame to the stash, where it waits for the rest. */
static enum handled stash_begin(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    if (!stash_clear(server, session))
        return HANDLED_STALLED;
    stash_fill(session, stash_of(server, number), session->input.size);
    return HANDLED;
}

/* Handles the stash, then the receive buffer. HANDLED: nothing is left but perhaps an incomplete
 * frame, in the stash. */
static enum handled handle_input(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    struct input *input = &session->input;
    enum handled handled = HANDLED;
    if (session->stash_size > 0)
        handled = input->size > 0 ? handle_stashed(server, number) : handle_kept(server, number);
    if (handled == HANDLED && input->size > 0)
        handled = handle_frames(server, number, input);
    if (handled == HANDLED && input->size > 0)
        handled = stash_begin(server, number);
    return handled;
}

/* Moves the input from the receive buffer to the end of the stash. While the undecided batch points
 * into the stash the session keeps its buffer instead; this can be so for BATCH_COMMANDS_MAX
 * sessions at most. */
static void input_keep(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    const struct input *input = &session->input;
    uint32_t end = session->stash_start + session->stash_size;
    if (input->buffer == 0 || stash_is_in_batch(server, session))
        return;
    TILL_ASSERT(end + input->size <= STASH_SIZE);
    memcpy(stash_of(server, number) + end, input->bytes, input->size);
    session->stash_size += input->size;
    session_input_done(server, session);
}

static void input_wait(struct server *server, uint32_t number, enum handled why)
{
    struct session *session = session_at(server, number);
    if (why == HANDLED_STALLED) {
        session_queue(server, number);
    } else if (why == HANDLED_AWAITS) {
        await_add(server, number);
    } else if (session->output.chunk_count > 0) {
        session->is_full = true;
    } else {
        if (!session->is_starved)
            session_list_add(&server->starved, number);
        session->is_starved = true;
    }
    input_keep(server, number);
}

/* Hands a link what has come behind the frame that made it one. */
static void link_rest(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    uint32_t kept = session->stash_size;
    session->stash_size = 0;
    if (kept > 0)
        links_received(server, number, stash_of(server, number) + session->stash_start, kept);
    session->stash_start = 0;
    if (session->input.size > 0)
        links_received(server, number, session->input.bytes, session->input.size);
}

/* All that was received is handled. */
static void input_go_on(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    session_input_done(server, session);
    if (!session_reads(session))
        return;
    /* A link has nothing to drain: it is closed with its other side, or by replicas_stop. */
    if (session->link != 0 && session->has_ended) {
        session_close(server, number);
    } else if (session->link == 0 && (session->has_ended || server->is_stopping)) {
        session_drain(server, number);
    } else if (!session->receiving) {
        session->receiving = true;
        io_receive(server->io, session->fd, session_user(server, number));
    }
}

/* Handles the input of a session, as far as there is room. */
static void input_handle(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    bool is_stuck = pressure_is_stuck(server, session);
    session->is_full = false;
    enum handled handled = is_stuck ? HANDLED_FULL : handle_input(server, number);
    if (handled == HANDLED_STALLED || handled == HANDLED_FULL || handled == HANDLED_AWAITS) {
        input_wait(server, number, handled);
        return;
    }
    if (handled == HANDLED_LINK)
        link_rest(server, number);
    input_go_on(server, number);
}

static bool turn_has_room(const struct server *server)
{
    return !server->is_stalled && server->turn_cost < TURN_COST_MAX;
}

/* Handles the input of the first `count` sessions of a list, until the turn is long enough or the
 * log has no room. A session with input left is added to the end of a list again. */
static void handle_first(struct server *server, struct session_list *list, uint32_t count)
{
    uint32_t done = 0;
    for (; done < count && turn_has_room(server); done++) {
        struct session *session = session_at(server, list->numbers[done]);
        if (list == &server->waiting)
            session->is_waiting = false;
        else
            session->is_starved = false;
        if (session_reads(session) && !session->is_awaiting)
            input_handle(server, list->numbers[done]);
    }
    session_list_shift(list, done);
}

/* Sessions whose change has happened come first, then those that wait for a chunk, as many as there
 * are free chunks. Those that still wait afterwards give their receive buffers back. */
void input_handle_waiting(struct server *server)
{
    struct session_list *waiting = &server->waiting;
    struct session_list *starved = &server->starved;
    uint32_t looks = AWAIT_LOOKS_MAX;
    uint32_t number = 0;
    while (turn_has_room(server) && (number = await_next(server, &looks)) != 0)
        input_handle(server, number);
    uint32_t chunks = server->outputs.free_count;
    if (!server->is_stalled) {
        handle_first(server, starved, starved->count < chunks ? starved->count : chunks);
        handle_first(server, waiting, waiting->count);
        server->is_behind = server->is_behind && waiting->count > 0;
    }
    for (uint32_t i = 0; i < waiting->count; i++)
        input_keep(server, waiting->numbers[i]);
}

/* May input that has just been received be handled at once, or must it queue behind others? */
static bool is_next(const struct server *server, uint32_t size)
{
    if (server->is_stalled || server->is_behind || server->starved.count > 0)
        return false;
    return size <= SMALL_SIZE_MAX || (server->waiting.count == 0 && turn_has_room(server));
}

void input_received(struct server *server, uint32_t number, const struct io_event *event)
{
    struct session *session = session_at(server, number);
    session->receiving = false;
    if (event->result < 0) {
        if (session->state != SESSION_CLOSING)
            session_close(server, number);
        return;
    }
    if (!session_reads(session)) {
        if (event->result > 0)
            io_buffer_release(server->io, event->buffer);
        return;
    }
    server->counts.received_bytes += (uint32_t)event->result;
    session->has_ended = event->result == 0;
    if (event->result > 0)
        session->input = (struct input){
            .bytes = event->bytes, .size = (uint32_t)event->result, .buffer = event->buffer + 1};
    if (session->link != 0) {
        link_rest(server, number);
        input_go_on(server, number);
        return;
    }
    if (is_next(server, session->input.size)) {
        input_handle(server, number);
        return;
    }
    session_queue(server, number);
    if (server->is_stalled)
        input_keep(server, number);
}
