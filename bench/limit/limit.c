/* The limit: the least that a server of orders can do on this machine, as the yardstick for till.
 *
 * It reads the same frames from as many connections, answers each order with the same bytes that
 * till would, and before that makes as many log bytes durable; it decides nothing, keeps nothing
 * but two sums, and recovers nothing. `till bench --connect` cannot tell the difference, so the
 * very same client measures both.
 *
 *   receive -> answers into the connection's output  -> the turn's end: the open block goes out
 *           -> log bytes into the open block            when a write may start, else it fills on
 *   block durable -> what was answered up to it is sent, one send per connection
 *
 * The techniques: one io_uring_enter a turn, deferred task work, registered files, buffers and
 * ring; multishot accept and receive into a ring of provided buffers that are taken apart in
 * place; blocks with O_DIRECT and O_DSYNC over a file that was written once; outputs that are
 * mapped twice in a row, so that none ever wraps. With --echo nothing is written and answers go at
 * the end of the turn.
 *
 * Anything unexpected ends it: a malformed frame its connection, a failed write the process.
 * Always: sent <= released <= written in each output, written - sent below OUT_SIZE; blocks become
 * durable in order; the block being filled is not being written. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/status.h"
#include "bench/options.h"
#include "engine/messages.h"
#include "net/frame.h"

enum {
    SUBMISSIONS = 4096,
    COMPLETIONS = 16384,
    BLOCKS_MAX = LIMIT_WRITES_MAX + 1, /* those being written, and the one being filled */
    BLOCK_SIZE_MAX = 4 << 20,
    BLOCK_HEADER_SIZE = 96, /* as till's blocks have */
    FILE_SIZE = 64 << 20,   /* then it is written from the beginning again */
    ZERO_SIZE = 1 << 20,
    LOG_COPY_SIZE = LIMIT_LOG_BYTES_MAX, /* copied for each order, of which log_bytes count */
    RECEIVE_COUNT = 128,
    RECEIVE_SIZE = 64 << 10,
    RECEIVE_STRIDE = RECEIVE_SIZE + FRAME_SIZE_MAX, /* a partial frame is put in front */
    OUT_SIZE = 512 << 10,
    LOG_SLOT = 0, /* of the registered files; connections have the others */
    BURST_MIN = 4,
    BURST_WAIT_US = 10,
    WAREHOUSE = 1,
    HOLD_US = 900 * 1000000,
};

enum operation {
    OPERATION_ACCEPT = 1,
    OPERATION_RECEIVE,
    OPERATION_SEND,
    OPERATION_SHUTDOWN,
    OPERATION_WRITE,
};

/* Features younger than liburing 2.3: waiting for many completions, but for a few microseconds
 * only when one is there; given in the field that headers of that age call `pad`. */
#define FEATURE_MIN_TIMEOUT (1u << 15)

struct mark {
    uint64_t block; /* 0: none */
    uint64_t written;
};

struct connection {
    uint8_t *out; /* OUT_SIZE bytes, twice */
    uint8_t *partial;
    uint64_t written;
    uint64_t released;
    uint64_t sent;
    struct mark marks[BLOCKS_MAX]; /* by block */
    uint32_t partial_size;
    bool is_open;
    bool is_ended; /* nothing more is answered */
    bool is_receiving;
    bool is_sending;
    bool is_sendable; /* listed */
};

struct block {
    uint8_t *bytes;
    uint8_t *cursor;
    uint32_t *connections; /* that have answers waiting for it */
    uint32_t connection_count;
    uint32_t answer_count;
    uint32_t size; /* as written */
    bool is_written;
};

struct limit {
    struct limit_options options;
    struct io_uring ring;
    struct io_uring_buf_ring *receive_ring;
    uint8_t *receive_memory;
    struct connection *connections; /* by slot */
    uint32_t *sendable;
    uint32_t sendable_count;
    struct block blocks[BLOCKS_MAX]; /* a ring, by number */
    uint32_t block_mask;
    uint64_t block_open; /* numbered from 1 */
    uint64_t block_durable;
    uint64_t file_offset;
    uint64_t seq;
    uint64_t sku_first; /* of the shop that a client has set up */
    int64_t units;
    int64_t units_sold;
    uint64_t now_us;
    uint32_t burst; /* completions that the last turn found */
    int listener;
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("limit: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void check(int64_t result, const char *what)
{
    if (result < 0)
        die("%s: %s", what, strerror(result == -1 ? errno : (int)-result));
}

static struct io_uring_sqe *operation(struct limit *limit, enum operation kind, uint32_t target)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&limit->ring);
    while (sqe == NULL) {
        check(io_uring_submit(&limit->ring), "submitting");
        sqe = io_uring_get_sqe(&limit->ring);
    }
    sqe->user_data = (uint64_t)kind << 32 | target;
    return sqe;
}

/* The prep functions clear the flags and leave user_data alone. */
static void arm_accept(struct limit *limit)
{
    struct io_uring_sqe *sqe = operation(limit, OPERATION_ACCEPT, 0);
    io_uring_prep_multishot_accept_direct(sqe, limit->listener, NULL, NULL, 0);
}

static void arm_receive(struct limit *limit, uint32_t slot)
{
    struct io_uring_sqe *sqe = operation(limit, OPERATION_RECEIVE, slot);
    io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    limit->connections[slot].is_receiving = true;
}

static uint8_t *receive_bytes(const struct limit *limit, unsigned buffer)
{
    return limit->receive_memory + (size_t)buffer * RECEIVE_STRIDE + FRAME_SIZE_MAX;
}

static void receive_provide(struct limit *limit, unsigned buffer, int ahead)
{
    io_uring_buf_ring_add(limit->receive_ring, receive_bytes(limit, buffer), RECEIVE_SIZE,
                          (unsigned short)buffer, RECEIVE_COUNT - 1, ahead);
}

/* Sending. */

static void list_sendable(struct limit *limit, uint32_t slot)
{
    struct connection *connection = &limit->connections[slot];
    if (connection->is_sendable || connection->is_sending)
        return;
    connection->is_sendable = true;
    limit->sendable[limit->sendable_count++] = slot;
}

static void send_all(struct limit *limit)
{
    for (uint32_t i = 0; i < limit->sendable_count; i++) {
        uint32_t slot = limit->sendable[i];
        struct connection *connection = &limit->connections[slot];
        size_t size = connection->released - connection->sent;
        connection->is_sendable = false;
        if (!connection->is_open || size == 0)
            continue;
        struct io_uring_sqe *sqe = operation(limit, OPERATION_SEND, slot);
        io_uring_prep_send(sqe, (int)slot, connection->out + connection->sent % OUT_SIZE, size,
                           MSG_WAITALL | MSG_NOSIGNAL);
        sqe->flags = IOSQE_FIXED_FILE;
        connection->is_sending = true;
    }
    limit->sendable_count = 0;
}

/* Answers nothing more; the receive that is armed ends then, and with it the connection. */
static void connection_end(struct limit *limit, uint32_t slot)
{
    struct io_uring_sqe *sqe = operation(limit, OPERATION_SHUTDOWN, slot);
    io_uring_prep_shutdown(sqe, (int)slot, SHUT_RDWR);
    sqe->flags = IOSQE_FIXED_FILE;
    limit->connections[slot].is_ended = true;
}

/* Answers that still wait are lost: no one reads them. */
static void close_if_idle(struct limit *limit, uint32_t slot)
{
    struct connection *connection = &limit->connections[slot];
    if (connection->is_receiving || connection->is_sending || !connection->is_open)
        return;
    connection->is_open = false;
    int closed = -1;
    check(io_uring_register_files_update(&limit->ring, slot, &closed, 1), "closing");
}

static void take_send(struct limit *limit, uint32_t slot, int result)
{
    struct connection *connection = &limit->connections[slot];
    connection->is_sending = false;
    if (result < 0 && !connection->is_ended)
        connection_end(limit, slot);
    if (result > 0)
        connection->sent += (uint32_t)result;
    if (connection->sent == connection->written) /* stay where the cache is warm */
        connection->sent = connection->released = connection->written = 0;
    if (connection->released != connection->sent && !connection->is_ended)
        list_sendable(limit, slot);
    close_if_idle(limit, slot);
}

/* Writing. */

static struct block *block_at(struct limit *limit, uint64_t number)
{
    return &limit->blocks[number & limit->block_mask];
}

static void block_begin(struct block *block)
{
    block->cursor = block->bytes + BLOCK_HEADER_SIZE;
    block->connection_count = 0;
    block->answer_count = 0;
    block->is_written = false;
}

static void submit_block(struct limit *limit)
{
    struct block *block = block_at(limit, limit->block_open);
    if (limit->options.echo || block->answer_count == 0 ||
        limit->block_open - limit->block_durable > limit->options.writes)
        return;
    size_t used = (size_t)(block->cursor - block->bytes);
    block->size = (uint32_t)((used + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN);
    if (limit->file_offset + block->size > FILE_SIZE)
        limit->file_offset = 0;
    uint32_t index = (uint32_t)(block - limit->blocks);
    struct io_uring_sqe *sqe = operation(limit, OPERATION_WRITE, index);
    io_uring_prep_write_fixed(sqe, LOG_SLOT, block->bytes, block->size, limit->file_offset, 0);
    sqe->flags = IOSQE_FIXED_FILE;
    limit->file_offset += block->size;
    block_begin(block_at(limit, ++limit->block_open));
}

static void release_block(struct limit *limit, uint64_t number)
{
    struct block *block = block_at(limit, number);
    for (uint32_t i = 0; i < block->connection_count; i++) {
        struct connection *connection = &limit->connections[block->connections[i]];
        struct mark *mark = &connection->marks[block - limit->blocks];
        if (mark->block != number)
            continue; /* its slot is another connection's now */
        mark->block = 0;
        connection->released = mark->written;
        list_sendable(limit, block->connections[i]);
    }
}

static void take_write(struct limit *limit, uint32_t index, int result)
{
    struct block *block = &limit->blocks[index];
    if (result != (int)block->size)
        die("writing %u bytes: %s", block->size, result < 0 ? strerror(-result) : "short");
    block->is_written = true;
    while (limit->block_durable + 1 < limit->block_open &&
           block_at(limit, limit->block_durable + 1)->is_written)
        release_block(limit, ++limit->block_durable);
}

/* Answering. */

static struct frame *answer_begin(struct connection *connection, const struct frame *frame,
                                  enum outcome outcome, size_t body_size)
{
    struct frame *answer = (void *)(connection->out + connection->written % OUT_SIZE);
    *answer = (struct frame){
        .size = (uint32_t)(sizeof *answer + body_size),
        .type = (uint16_t)(frame->type | FRAME_REPLY),
        .outcome = (uint16_t)outcome,
        .request = frame->request,
    };
    connection->written += answer->size;
    return answer;
}

static bool answer_order(struct limit *limit, struct connection *connection,
                         const struct frame *frame)
{
    const struct order_place_body *place = (const void *)(frame + 1);
    const struct line_body *lines = (const void *)(place + 1);
    uint32_t count = place->line_count;
    if (frame->size < sizeof *frame + LOG_COPY_SIZE || count == 0 ||
        frame->size != sizeof *frame + sizeof *place + count * sizeof *lines)
        return false;
    size_t body_size = sizeof(struct order_place_reply_body) + count * sizeof(struct take_body);
    struct frame *answer = answer_begin(connection, frame, OUTCOME_OK, body_size);
    struct order_place_reply_body *reply = (void *)(answer + 1);
    struct take_body *takes = (void *)(reply + 1);
    int64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += lines[i].price * lines[i].quantity;
        limit->units_sold += lines[i].quantity;
        takes[i] = (struct take_body){
            .line = (uint16_t)(i + 1), .quantity = lines[i].quantity, .warehouse = WAREHOUSE};
    }
    *reply = (struct order_place_reply_body){
        .seq = ++limit->seq,
        .total = total,
        .money_due = total,
        .hold_ends = limit->now_us + HOLD_US,
        .state = order_state_PENDING,
        .currency = place->currency,
        .take_count = (uint16_t)count,
    };
    if (!limit->options.echo) {
        struct block *block = block_at(limit, limit->block_open);
        TILL_ASSERT(block->cursor + LOG_COPY_SIZE <= block->bytes + BLOCK_SIZE_MAX);
        memcpy(block->cursor, place, LOG_COPY_SIZE);
        block->cursor += limit->options.log_bytes;
    }
    return true;
}

static void answer_hello(const struct limit *limit, void *body)
{
    *(struct hello_reply_body *)body = (struct hello_reply_body){
        .time = limit->now_us,
        .epoch = 1,
        .frame_size_max = FRAME_SIZE_MAX,
        .in_flight_max = FRAME_IN_FLIGHT_MAX,
        .version = PROTOCOL_VERSION,
        .role = server_role_PRIMARY,
    };
}

/* The first SKU has all the stock there is, so that a client's sum over its SKUs is right. */
static void answer_stock(const struct limit *limit, const struct stock_get_body *get, void *body)
{
    const struct item_body *items = (const void *)(get + 1);
    struct stock_get_reply_body *reply = body;
    struct stock_row_body *rows = (void *)(reply + 1);
    reply->stock_count = get->item_count;
    for (uint32_t i = 0; i < get->item_count; i++) {
        rows[i].sku = items[i].sku;
        if (items[i].sku != limit->sku_first)
            continue;
        rows[i].on_hand = limit->units;
        rows[i].reserved_for_orders = limit->units_sold;
        rows[i].available = limit->units - limit->units_sold;
    }
}

/* A SKU that is put once there were orders begins another shop. */
static void note_command(struct limit *limit, unsigned number, const void *body)
{
    if (number == MESSAGE_stock_adjust)
        limit->units += ((const struct stock_adjust_body *)body)->delta;
    if (number != MESSAGE_sku_put || (limit->units_sold == 0 && limit->units != 0))
        return;
    limit->sku_first = ((const struct sku_put_body *)body)->sku;
    limit->units = limit->units_sold = 0;
}

/* Everything but orders: commands are said to be done, queries find nothing but stock. */
static bool answer_other(struct limit *limit, struct connection *connection,
                         const struct frame *frame)
{
    const struct message_info *message = message_info(frame->type);
    const void *body = frame + 1;
    const char *reason;
    if (message == NULL || message->kind == KIND_INTERNAL ||
        !message_check_request(message, body, frame->size - sizeof *frame, &reason))
        return false;
    /* A shop that nothing was written to: what `till bench` looks for before it starts. */
    bool is_found = message->kind != KIND_QUERY || frame->type == MESSAGE_stock_get ||
                    frame->type == MESSAGE_stats;
    size_t size = is_found ? message->reply->size_bytes : sizeof(struct rejection_body);
    if (frame->type == MESSAGE_stock_get)
        size += shape_rows(message->request, body) * sizeof(struct stock_row_body);
    struct frame *answer =
        answer_begin(connection, frame, is_found ? OUTCOME_OK : OUTCOME_NOT_FOUND, size);
    memset(answer + 1, 0, size);
    note_command(limit, frame->type, body);
    if (frame->type == MESSAGE_hello)
        answer_hello(limit, answer + 1);
    else if (frame->type == MESSAGE_stock_get)
        answer_stock(limit, body, answer + 1);
    memcpy(answer + 1, &limit->seq, sizeof limit->seq); /* every reply begins with it */
    return true;
}

/* Answers the whole frames of [bytes, end); returns where the rest begins, NULL when malformed. */
static const uint8_t *answer_frames(struct limit *limit, struct connection *connection,
                                    const uint8_t *bytes, const uint8_t *end)
{
    uint32_t answer_count = 0;
    while ((size_t)(end - bytes) >= sizeof(struct frame)) {
        const struct frame *frame = (const void *)bytes;
        if (frame->size < sizeof *frame + 8 || frame->size > FRAME_SIZE_MAX ||
            frame->size % FRAME_ALIGN != 0)
            return NULL;
        if (frame->size > (size_t)(end - bytes))
            break;
        if (connection->written - connection->sent > OUT_SIZE - FRAME_SIZE_MAX)
            return NULL; /* more in flight than hello allows */
        bool is_answered = frame->type == MESSAGE_order_place
                               ? answer_order(limit, connection, frame)
                               : answer_other(limit, connection, frame);
        if (!is_answered)
            return NULL;
        bytes += frame->size;
        answer_count++;
    }
    block_at(limit, limit->block_open)->answer_count += answer_count;
    return bytes;
}

/* What was just answered may be sent once the block that is open now is durable. */
static void mark_answers(struct limit *limit, uint32_t slot)
{
    struct connection *connection = &limit->connections[slot];
    struct block *block = block_at(limit, limit->block_open);
    if (limit->options.echo) {
        connection->released = connection->written;
        list_sendable(limit, slot);
        return;
    }
    struct mark *mark = &connection->marks[block - limit->blocks];
    if (mark->block != limit->block_open)
        block->connections[block->connection_count++] = slot;
    *mark = (struct mark){limit->block_open, connection->written};
}

static void take_bytes(struct limit *limit, uint32_t slot, uint8_t *bytes, size_t size)
{
    struct connection *connection = &limit->connections[slot];
    uint32_t misalignment = connection->partial_size % FRAME_ALIGN;
    if (misalignment != 0) /* a stream that was cut inside a word: rare */
        bytes = memmove(bytes - FRAME_ALIGN + misalignment, bytes, size);
    const uint8_t *end = bytes + size;
    uint8_t *start = bytes - connection->partial_size;
    memcpy(start, connection->partial, connection->partial_size);
    const uint8_t *rest = answer_frames(limit, connection, start, end);
    if (rest == NULL) {
        connection_end(limit, slot);
        return;
    }
    connection->partial_size = (uint32_t)(end - rest);
    memcpy(connection->partial, rest, connection->partial_size);
    mark_answers(limit, slot);
}

static void take_receive(struct limit *limit, uint32_t slot, const struct io_uring_cqe *cqe)
{
    struct connection *connection = &limit->connections[slot];
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0 && !connection->is_ended)
            take_bytes(limit, slot, receive_bytes(limit, buffer), (size_t)cqe->res);
        receive_provide(limit, buffer, 0);
        io_uring_buf_ring_advance(limit->receive_ring, 1);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) != 0)
        return;
    if (!connection->is_ended && (cqe->res > 0 || cqe->res == -ENOBUFS)) {
        arm_receive(limit, slot);
        return;
    }
    connection->is_ended = true;
    connection->is_receiving = false;
    close_if_idle(limit, slot);
}

static void take_accept(struct limit *limit, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        arm_accept(limit);
    if (cqe->res < 0)
        return; /* no slot, or the client is gone */
    uint32_t slot = (uint32_t)cqe->res;
    struct connection *connection = &limit->connections[slot];
    *connection = (struct connection){
        .out = connection->out, .partial = connection->partial, .is_open = true};
    arm_receive(limit, slot);
}

/* The loop. */

/* Submits, and waits for about as many completions as the turn before brought, because the kernel
 * does its deferred work in batches of what is waited for; but not longer than a moment. */
static void enter(struct limit *limit)
{
    struct io_uring *ring = &limit->ring;
    struct io_uring_getevents_arg argument = {.sigmask_sz = _NSIG / 8, .pad = BURST_WAIT_US};
    bool waits_for_many = (ring->features & FEATURE_MIN_TIMEOUT) != 0 && limit->burst >= BURST_MIN;
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
    io_uring_smp_store_release(ring->sq.ktail, ring->sq.sqe_tail);
    int result = io_uring_enter2(
        (unsigned)ring->enter_ring_fd, io_uring_sq_ready(ring), waits_for_many ? limit->burst : 1,
        flags | (waits_for_many ? IORING_ENTER_EXT_ARG : 0),
        waits_for_many ? (sigset_t *)&argument : NULL, waits_for_many ? sizeof argument : 0);
    if (result < 0 && result != -EINTR && result != -ETIME && result != -EAGAIN && result != -EBUSY)
        check(result, "io_uring_enter");
}

static void turn(struct limit *limit)
{
    enter(limit);
    limit->now_us = clock_wall_us();
    unsigned ready = io_uring_cq_ready(&limit->ring);
    unsigned head = *limit->ring.cq.khead;
    for (unsigned i = 0; i < ready; i++) {
        const struct io_uring_cqe *cqe =
            &limit->ring.cq.cqes[(head + i) & limit->ring.cq.ring_mask];
        uint32_t target = (uint32_t)cqe->user_data;
        switch ((enum operation)(cqe->user_data >> 32)) {
        case OPERATION_ACCEPT:
            take_accept(limit, cqe);
            break;
        case OPERATION_RECEIVE:
            take_receive(limit, target, cqe);
            break;
        case OPERATION_SEND:
            take_send(limit, target, cqe->res);
            break;
        case OPERATION_WRITE:
            take_write(limit, target, cqe->res);
            break;
        case OPERATION_SHUTDOWN:
            break; /* the receive tells what it did */
        }
    }
    io_uring_cq_advance(&limit->ring, ready);
    limit->burst = ready;
    submit_block(limit);
    send_all(limit);
}

/* Setting up. */

static void *memory(size_t size)
{
    void *bytes = memory_map(size);
    if (bytes == NULL)
        die("no memory for %zu bytes", size);
    return bytes;
}

static void set_up_ring(struct limit *limit)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
                 IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = COMPLETIONS,
    };
    check(io_uring_queue_init_params(SUBMISSIONS, &limit->ring, &params), "io_uring_setup");
    check(io_uring_register_ring_fd(&limit->ring), "registering the ring");
    check(io_uring_register_files_sparse(&limit->ring, limit->options.connections + 1),
          "registering files");
    limit->receive_memory = memory((size_t)RECEIVE_COUNT * RECEIVE_STRIDE);
    limit->receive_ring = memory(sizeof(struct io_uring_buf) * RECEIVE_COUNT);
    struct io_uring_buf_reg buffers = {
        .ring_addr = (uint64_t)(uintptr_t)limit->receive_ring,
        .ring_entries = RECEIVE_COUNT,
    };
    check(io_uring_register_buf_ring(&limit->ring, &buffers, 0), "registering buffers");
    for (unsigned i = 0; i < RECEIVE_COUNT; i++)
        receive_provide(limit, i, (int)i);
    io_uring_buf_ring_advance(limit->receive_ring, RECEIVE_COUNT);
}

/* Outputs are pages of one file in memory, each mapped twice in a row. */
static void set_up_connections(struct limit *limit)
{
    uint32_t slots = limit->options.connections + 1;
    int file = memfd_create("outputs", MFD_CLOEXEC);
    check(file, "memfd_create");
    check(ftruncate(file, (off_t)slots * OUT_SIZE), "sizing the outputs");
    limit->connections = memory(slots * sizeof *limit->connections);
    limit->sendable = memory(slots * sizeof *limit->sendable);
    uint8_t *partials = memory((size_t)slots * FRAME_SIZE_MAX);
    uint8_t *outputs = mmap(NULL, (size_t)slots * 2 * OUT_SIZE, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (outputs == MAP_FAILED)
        die("mapping the outputs: %s", strerror(errno));
    for (uint32_t slot = 0; slot < slots; slot++) {
        limit->connections[slot].partial = partials + (size_t)slot * FRAME_SIZE_MAX;
        limit->connections[slot].out = outputs + (size_t)slot * 2 * OUT_SIZE;
        for (unsigned half = 0; half < 2; half++) {
            if (mmap(limit->connections[slot].out + half * OUT_SIZE, OUT_SIZE,
                     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
                     (off_t)slot * OUT_SIZE) == MAP_FAILED)
                die("mapping the outputs: %s", strerror(errno));
        }
    }
    close(file);
}

/* A file full of zeros, which has no name any more, so that nothing is left of it. */
static void set_up_log(struct limit *limit)
{
    char path[4096];
    uint32_t slots = limit->options.connections + 1;
    uint32_t block_count = 2;
    while (block_count < limit->options.writes + 1)
        block_count *= 2;
    struct iovec whole = {.iov_base = memory((size_t)block_count * BLOCK_SIZE_MAX),
                          .iov_len = (size_t)block_count * BLOCK_SIZE_MAX};
    for (uint32_t i = 0; i < block_count; i++) {
        limit->blocks[i].bytes = (uint8_t *)whole.iov_base + (size_t)i * BLOCK_SIZE_MAX;
        limit->blocks[i].connections = memory(slots * sizeof *limit->blocks[i].connections);
        block_begin(&limit->blocks[i]);
    }
    limit->block_mask = block_count - 1;
    limit->block_open = 1;
    if (limit->options.echo)
        return;
    snprintf(path, sizeof path, "%s/till-limit-%d.tmp", limit->options.folder, (int)getpid());
    int file = open(path, O_CREAT | O_EXCL | O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    check(file, path);
    unlink(path);
    for (off_t offset = 0; offset < FILE_SIZE; offset += ZERO_SIZE) {
        if (pwrite(file, whole.iov_base, ZERO_SIZE, offset) != ZERO_SIZE)
            die("%s: %s", path, strerror(errno));
    }
    check(io_uring_register_files_update(&limit->ring, LOG_SLOT, &file, 1), "registering the log");
    int registered = io_uring_register_buffers(&limit->ring, &whole, 1);
    if (registered == -ENOMEM)
        die("%zu KiB of blocks cannot be locked in memory (ulimit -l)", whole.iov_len / 1024);
    check(registered, "registering the blocks");
}

static void set_up_listener(struct limit *limit)
{
    const int on = 1;
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)limit->options.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    limit->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(limit->listener, "socket");
    setsockopt(limit->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(limit->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    check(bind(limit->listener, (const void *)&name, size), "bind");
    check(listen(limit->listener, SOMAXCONN), "listen");
    check(getsockname(limit->listener, (void *)&name, &size), "getsockname");
    arm_accept(limit);
    printf("listening on 127.0.0.1:%u\n", ntohs(name.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct limit *limit = memory(sizeof *limit);
    int operands = options_parse(&limit_table, &limit->options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &limit_table);
        printf("Answers orders as till would, and does nothing else.\n\n");
        options_print(stdout, &limit_table);
        return 0;
    }
    if (operands == OPTIONS_WRONG)
        return 2;
    set_up_ring(limit);
    set_up_connections(limit);
    set_up_log(limit);
    set_up_listener(limit);
    for (;;)
        turn(limit);
}
