/* The pipeline: a batch of commands is decided, the accepted ones are appended to the log's open
 * block, and the replies wait in the outputs of their sessions until every change that they may
 * show is durable.
 *
 *   pipeline_add -> [batch] -> pipeline_decide -> engine_decide -> known_command_encode ->
 * wal_append
 *                                                      |
 *   pipeline_send <- pipeline_release <- block durable <- output, marked with the block
 *
 * What must hold: a reply, also one to a query and a rejection, is released when the block is
 * durable that was the newest one with commands when the reply was written. So nothing is ever
 * shown that a crash could undo.
 *
 * What can fail: when the log has no room for now, the batch stays undecided and everything behind
 * it waits. When the disk is full, commands are answered STORAGE_FULL and queries go on. */
#include "net/pipeline.h"

#include "base/assert.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "net/members.h"
#include "net/replicas.h"
#include "net/server_state.h"
#include "net/snapshots.h"

enum {
    TIME_RECORD_SIZE_MAX = 16,
    BATCH_ENCODED_MAX = WAL_COLUMN_SIZE_MAX - TIME_RECORD_SIZE_MAX,
    OWN_MIN = 256,   /* one hold.expire or memory.forget does so much, */
    OWN_SHARE = 256, /* or this fraction of what is due (1/256), if that is more */
    OWN_RETRY_US = US_PER_SECOND,
};

static_assert(COMMAND_ENCODED_MAX(FRAME_SIZE_MAX) <= BATCH_ENCODED_MAX,
              "a block takes any command");
static_assert(sizeof(struct hold_expire_body) <= FRAME_SIZE_MAX, "and the server's own commands");

/* Writes what stands before a reply's body. Returns the size of the whole frame. */
static uint32_t frame_finish(const struct server *server, const struct session *session,
                             uint8_t *body, uint32_t body_size, uint16_t number,
                             enum outcome outcome, uint32_t request)
{
    uint32_t head_size = session_head_size(session);
    struct frame *frame = (struct frame *)(body - head_size);
    *frame = (struct frame){
        .size = head_size + body_size,
        .type = (uint16_t)(number | FRAME_REPLY),
        .outcome = (uint16_t)outcome,
        .request = request,
    };
    if (head_size > sizeof *frame)
        ((struct frame_fresh *)frame)->age_us = members_age_us(server);
    if (session->checksum)
        frame->checksum = (uint32_t)checksum64(frame, frame->size);
    return frame->size;
}

/* The replies just written may be sent when the newest block with commands is durable. */
static void output_mark(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    uint64_t block = wal_block_last(server->wal);
    if (block <= server->block_released) {
        session->output.released = session->output.written;
        session_make_sendable(server, number);
        return;
    }
    struct session_mark *mark = &session->marks[block % SESSION_MARKS];
    if (mark->block != block)
        session_list_add(&server->marked[block % SESSION_MARKS], number);
    *mark = (struct session_mark){.block = block, .written = session->output.written};
}

/* The replies just written show nothing that is not durable: they wait only for the replies before
 * them in the same output. */
static void output_mark_plain(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    struct session_mark *newest = NULL;
    for (unsigned i = 0; i < SESSION_MARKS; i++) {
        struct session_mark *mark = &session->marks[i];
        bool is_own = mark->written > 0; /* else of the connection that had this number before */
        if (is_own && mark->block > server->block_released &&
            (newest == NULL || mark->block > newest->block))
            newest = mark;
    }
    if (newest != NULL) {
        newest->written = session->output.written;
        return;
    }
    session->output.released = session->output.written;
    session_make_sendable(server, number);
}

static void block_release(struct server *server, uint64_t block)
{
    struct session_list *list = &server->marked[block % SESSION_MARKS];
    for (uint32_t i = 0; i < list->count; i++) {
        struct session *session = session_at(server, list->numbers[i]);
        struct session_mark *mark = &session->marks[block % SESSION_MARKS];
        if (mark->block != block)
            continue;
        if (mark->written > session->output.released)
            session->output.released = mark->written;
        mark->block = 0;
        session_make_sendable(server, list->numbers[i]);
    }
    list->count = 0;
}

void pipeline_release(struct server *server)
{
    uint64_t released = replicas_block_released(server);
    while (server->block_released < released)
        block_release(server, ++server->block_released);
}

void pipeline_send(struct server *server)
{
    for (uint32_t i = 0; i < server->sendable.count; i++) {
        uint32_t number = server->sendable.numbers[i];
        struct session *session = session_at(server, number);
        const uint8_t *bytes = NULL;
        session->is_sendable = false;
        bool open = session->state != SESSION_FREE && session->state != SESSION_CLOSING;
        size_t size = open && !session->sending
                          ? output_sendable(&session->output, &server->outputs, &bytes)
                          : 0;
        if (size > 0) {
            io_send(server->io, session->fd, session_user(server, number), bytes, size);
            session->sending = true;
            session->since_us = server->turn_us;
        } else if (session->state == SESSION_DRAINING && !session->sending &&
                   session->output.sent == session->output.written && session->undecided == 0) {
            session_close(server, number);
        }
    }
    server->sendable.count = 0;
}

/* The batch must fit into one block of the log; queries are not logged and take no room in it. */
enum output_room pipeline_add(struct server *server, uint32_t number, const struct request *request)
{
    struct session *session = session_at(server, number);
    const struct frame *frame = request->frame;
    bool is_query = message_info(frame->type)->kind == KIND_QUERY;
    size_t encoded_max = is_query ? 0 : command_encoded_max(request->size);
    if (server->batch_encoded_max + encoded_max > BATCH_ENCODED_MAX)
        return OUTPUT_DECIDE_FIRST;
    uint32_t reply_max =
        session_head_size(session) + engine_reply_bound(frame->type, request->body);
    enum output_room room = output_reserve(&session->output, &server->outputs, reply_max);
    if (room != OUTPUT_ROOM)
        return room;
    uint32_t i = server->batch_count++;
    server->commands[i] = (struct command){.body = request->body,
                                           .sink = &session->output.sink,
                                           .size = request->size,
                                           .number = frame->type,
                                           .spares_keys = !session->is_operator};
    server->frames[i] = *frame;
    server->owners[i] = number;
    server->batch_encoded_max += encoded_max;
    server->turn_cost += frame->size + reply_max;
    session->undecided++;
    return OUTPUT_ROOM;
}

/* Begins a batch with a command of the server itself. */
static void begin_with(struct server *server, unsigned number, const void *body, uint32_t size)
{
    TILL_ASSERT(server->batch_count == 0);
    server->commands[0] = (struct command){.body = body, .size = size, .number = (uint16_t)number};
    server->owners[0] = 0;
    server->batch_count = 1;
    server->batch_encoded_max = command_encoded_max(size);
}

/* May nothing be decided now? A batch that was begun before is refused then; but an epoch begins
 * with its first block whether enough replicas follow or not. */
static bool is_over(const struct server *server)
{
    const struct members *members = &server->members;
    return members->role != MEMBER_SERVING || (members->is_short && !members->is_epoch_due);
}

void pipeline_log_epoch(struct server *server)
{
    if (!server->members.is_epoch_due || is_over(server) || server->is_stalled ||
        server->batch_count > 0)
        return;
    /* Nobody waits for replies of the epoch before: their connections were closed when it ended.
     * And no replica acknowledges anything of it any more, so its blocks would hold their marks. */
    while (server->block_released < wal_block_durable(server->wal))
        block_release(server, ++server->block_released);
    server->epoch_begin = (struct epoch_begin_body){.epoch = wal_epoch(server->wal),
                                                    .previous = wal_previous(server->wal)};
    begin_with(server, MESSAGE_epoch_begin, &server->epoch_begin, sizeof server->epoch_begin);
    pipeline_decide(server);
}

void pipeline_log_jump(struct server *server)
{
    if (server->timekeeping.jump_us == 0 || !members_is_primary(server) || server->is_stalled ||
        server->batch_count > 0)
        return;
    server->jump = (struct time_jump_body){.jump = server->timekeeping.jump_us};
    begin_with(server, MESSAGE_time_jump, &server->jump, sizeof server->jump);
}

/* How long the server waits before it tries to log a command of its own again, for which the log
 * had no room: as long as the log does before it tries again to get some. */
static uint64_t own_wait_us(const struct server *server)
{
    return server->own_refused_us == 0
               ? 0
               : clock_left_us(server->turn_us, server->own_refused_us, OWN_RETRY_US);
}

static uint64_t told_or(uint64_t told, uint64_t has)
{
    return told != 0 ? told : has;
}

void pipeline_log_retention(struct server *server)
{
    const struct engine_retention *told = &server->options.retention;
    struct engine_retention has = engine_retention(server->engine);
    struct engine_retention wanted = {.orders_us = told_or(told->orders_us, has.orders_us),
                                      .orders_max = told_or(told->orders_max, has.orders_max),
                                      .ledger_us = told_or(told->ledger_us, has.ledger_us),
                                      .keys_us = told_or(told->keys_us, has.keys_us)};
    if (wanted.orders_max == RETENTION_ANY)
        wanted.orders_max = 0;
    if (memcmp(&wanted, &has, sizeof has) == 0 || !members_is_primary(server) ||
        server->is_stalled || server->batch_count > 0 || own_wait_us(server) > 0)
        return;
    server->retention = (struct retention_put_body){.orders = wanted.orders_us,
                                                    .orders_max = wanted.orders_max,
                                                    .ledger = wanted.ledger_us,
                                                    .keys = wanted.keys_us};
    begin_with(server, MESSAGE_retention_put, &server->retention, sizeof server->retention);
}

uint64_t pipeline_expire_wait_us(const struct server *server, uint64_t now_us)
{
    uint64_t due_us = engine_next_due_us(server->engine);
    uint64_t wait_us = own_wait_us(server);
    if (!members_is_primary(server))
        return UINT64_MAX;
    uint64_t forget_us = engine_next_forget_us(server->engine);
    due_us = forget_us < due_us ? forget_us : due_us;
    if (due_us > now_us && due_us - now_us > wait_us)
        wait_us = due_us - now_us;
    return wait_us;
}

/* How much of what is due one command of the server's own does. */
static uint32_t own_share(uint64_t due, uint32_t most)
{
    uint64_t share = due / OWN_SHARE > OWN_MIN ? due / OWN_SHARE : OWN_MIN;
    return (uint32_t)(share < most ? share : most);
}

void pipeline_expire_holds(struct server *server)
{
    if (!members_is_primary(server) || server->is_stalled || server->batch_count > 0 ||
        own_wait_us(server) > 0)
        return;
    /* Not asked on a replica: it moves the engine's deadlines on to this machine's time. */
    uint64_t holds = engine_holds_due(server->engine, server->now_us);
    uint64_t closed = engine_forget_due(server->engine, server->now_us);
    if (closed > 0 && (holds == 0 || server->has_expired)) {
        server->has_expired = false;
        server->forget =
            (struct memory_forget_body){.records = own_share(closed, FORGET_RECORDS_MAX)};
        begin_with(server, MESSAGE_memory_forget, &server->forget, sizeof server->forget);
    } else if (holds > 0) {
        server->has_expired = true;
        server->expire = (struct hold_expire_body){.holds = own_share(holds, HOLDS_PER_EXPIRE_MAX)};
        begin_with(server, MESSAGE_hold_expire, &server->expire, sizeof server->expire);
    }
}

/* If the batch began with epoch.begin or time.jump, that is in the log now. */
static void note_own(struct server *server)
{
    if (server->commands[0].number == MESSAGE_epoch_begin) {
        TILL_ASSERT(server->commands[0].accepted);
        members_epoch_begun(server);
    }
    if (server->commands[0].number != MESSAGE_time_jump)
        return;
    TILL_ASSERT(server->commands[0].accepted);
    server->timekeeping.jump_us = 0;
    server->timekeeping.jump_seq = engine_seq(server->engine);
}

static void batch_log(struct server *server)
{
    struct column_writer writer = {.ids = wal_ids(server->wal), .fields = wal_fields(server->wal)};
    uint32_t accepted_count = 0;
    for (uint32_t i = 0; i < server->batch_count; i++) {
        const struct command *command = &server->commands[i];
        if (!command->accepted)
            continue;
        if (accepted_count++ == 0) {
            uint64_t delta_us = wal_begin_time(server->wal, engine_time_us(server->engine));
            if (delta_us > 0)
                time_encode(delta_us, &writer);
        }
        known_command_encode(&server->known, command->number, command->body, command->size,
                             &writer);
    }
    if (accepted_count > 0)
        wal_append(server->wal, writer.ids, writer.fields, accepted_count,
                   engine_digest(server->engine));
}

/* Time has jumped and time.jump is not logged yet: no command may be decided before it is. */
static bool awaits_jump(const struct server *server)
{
    return server->timekeeping.jump_us > 0 && !members_is_replica(server);
}

/* What must be logged before this batch is not yet: the beginning of an epoch, or a jump. */
static bool awaits_own(const struct server *server)
{
    if (server->members.is_epoch_due)
        return server->commands[0].number != MESSAGE_epoch_begin;
    return awaits_jump(server) && server->commands[0].number != MESSAGE_time_jump;
}

/* The time at which queries are decided while commands are not: that of the last change, so that
 * the engine's time does not go ahead of the log's. */
static uint64_t query_time_us(const struct server *server)
{
    return awaits_jump(server) || is_over(server) ? engine_time_us(server->engine) : server->now_us;
}

/* Commands are refused, queries are decided: the disk is full, or this server may decide nothing,
 * or not before its epoch has begun in the log, for what came right behind its promotion. While a
 * jump of time is not logged, queries are decided at the time before it; else the engine, and a
 * snapshot of it, would take the jump for time that has passed. A refusal shows no change, so it
 * need not wait for changes that are decided and not durable yet. */
static void batch_refuse_commands(struct server *server, enum wal_room room)
{
    uint64_t now_us = query_time_us(server);
    bool may_not = is_over(server) || (server->members.is_epoch_due && room != WAL_ROOM_FULL);
    enum outcome outcome = may_not ? OUTCOME_NO_QUORUM : OUTCOME_STORAGE_FULL;
    for (uint32_t i = 0; i < server->batch_count; i++) {
        struct command *command = &server->commands[i];
        if (message_info(command->number)->kind == KIND_QUERY) {
            engine_decide(server->engine, now_us, command, 1);
            continue;
        }
        if (command->sink == NULL)
            server->own_refused_us = server->turn_us;
        engine_refuse(command, outcome, wal_seq_durable(server->wal));
    }
}

/* Were all commands that this session has in the batch refused? */
static bool is_refused(const struct server *server, uint32_t number)
{
    bool refused = true;
    for (uint32_t i = 0; i < server->batch_count; i++)
        refused &= server->owners[i] != number ||
                   server->commands[i].outcome == OUTCOME_STORAGE_FULL ||
                   server->commands[i].outcome == OUTCOME_NO_QUORUM;
    return refused;
}

/* Writes the replies' frame headers, and marks each output with the block that it waits for. */
static void batch_answer(struct server *server, bool refuses)
{
    for (uint32_t i = 0; i < server->batch_count; i++) {
        const struct command *command = &server->commands[i];
        uint32_t number = server->owners[i];
        if (number == 0)
            continue;
        frame_finish(server, session_at(server, number), command->reply, command->reply_size,
                     command->number, (enum outcome)command->outcome, server->frames[i].request);
    }
    for (uint32_t i = 0; i < server->batch_count; i++) {
        uint32_t number = server->owners[i];
        struct session *session = session_at(server, number);
        if (number == 0 || session->undecided == 0)
            continue;
        session->undecided = 0;
        output_commit(&session->output, &server->outputs);
        if (refuses && is_refused(server, number))
            output_mark_plain(server, number);
        else
            output_mark(server, number);
        if (session->is_closed)
            session_free(server, number);
    }
}

/* Releases the receive buffers that only the commands of the batch still pointed into. */
static void batch_buffers_release(struct server *server)
{
    while (server->buffers_done_count > 0)
        io_buffer_release(server->io, server->buffers_done[--server->buffers_done_count]);
}

/* May the batch be decided now? Replies are marked with their blocks, so there may be only so many
 * that are not released; while acknowledgements are late, that is what bounds what is decided. */
static enum wal_room batch_room(struct server *server, size_t size)
{
    if (is_over(server))
        return WAL_ROOM;
    bool has_marks = wal_block_open(server->wal) - server->block_released < SESSION_MARKS;
    return has_marks && snapshots_make_room(server) ? wal_room(server->wal, size) : WAL_ROOM_LATER;
}

bool pipeline_decide(struct server *server)
{
    if (server->batch_count > 0) {
        size_t size = server->batch_encoded_max;
        if (size > 0)
            size += TIME_RECORD_SIZE_MAX;
        enum wal_room room = batch_room(server, size);
        server->is_stalled = room == WAL_ROOM_LATER;
        if (server->is_stalled) {
            server->is_behind = true;
            return false;
        }
        bool refuses = room == WAL_ROOM_FULL || awaits_own(server) || is_over(server);
        if (refuses) {
            batch_refuse_commands(server, room);
        } else {
            engine_decide(server->engine, server->now_us, server->commands, server->batch_count);
            batch_log(server);
            note_own(server);
            server->own_refused_us = 0;
        }
        batch_answer(server, refuses);
        server->counts.batches++;
    }
    batch_buffers_release(server);
    server->batch_count = 0;
    server->batch_encoded_max = 0;
    server->batch_number++;
    return true;
}

void pipeline_answer(struct server *server, uint32_t number, const struct frame *request,
                     enum outcome outcome, const void *body, uint32_t size)
{
    struct session *session = session_at(server, number);
    struct reply_sink *sink = &session->output.sink;
    uint8_t *reply = sink->cursor + sink->gap;
    memcpy(reply, body, size);
    sink->cursor +=
        frame_finish(server, session, reply, size, request->type, outcome, request->request);
    output_commit(&session->output, &server->outputs);
    /* Of the answers that are made here, only snapshot's tells of a change that may not be durable.
     */
    if (request->type != MESSAGE_snapshot)
        output_mark_plain(server, number);
    else
        output_mark(server, number);
}
