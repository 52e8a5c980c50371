/* The server's life and its loop.
 *
 * A turn: reap events; the time is read once; holds whose deadline has passed are put first; what
 * was received becomes batches that are decided and appended to the log's open block; the block is
 * submitted if a write may start; outputs that became durable are released and sent. One io_wait,
 * so one system call, a turn.
 *
 *   failure of the log      -> server_turn gives -1, nothing more is released, the process ends
 *   a connection's failure  -> that session closes, nothing else is touched
 *   being asked to stop     -> what was received is answered, the log is made durable, then 0 */
#include "net/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/replay.h"
#include "net/server_state.h"
#include "snapshot/image.h"

enum {
    SCAN_INTERVAL_US = 1000000, /* between looks for slow readers and silent newcomers */
    STOP_DRAIN_US = 5000000,    /* a stopping server waits so long for clients to read */
    WAIT_BOUND_US = 1000000,
};

const struct server_options server_options_default = {
    .listen = "127.0.0.1:7411",
    .connections_max = 16384,
    .spin_us = 200,
    .output_chunks = 4096,
    .slow_reader_us = 30 * US_PER_SECOND,
    .greeting_us = 10 * US_PER_SECOND,
};

struct io_options server_io_options(const struct server_options *options)
{
    return (struct io_options){
        .connections_max = options->connections_max,
        .buffer_size = SERVER_BUFFER_SIZE,
        .buffer_count = SERVER_BUFFERS,
        .spin_us = options->spin_us,
    };
}

void session_make_sendable(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    if (!session->is_sendable)
        session_list_add(&server->sendable, number);
    session->is_sendable = true;
}

/* A number's list memberships outlive its session: they belong to the lists. */
static void session_reset(struct session *session)
{
    struct session fresh = {
        .fd = -1,
        .generation = (uint16_t)(session->generation + 1),
        .is_sendable = session->is_sendable,
        .waiting = session->waiting,
    };
    for (unsigned i = 0; i < SESSION_MARKS; i++)
        fresh.marks[i].block = session->marks[i].block;
    *session = fresh;
}

void session_free(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    output_deinit(&session->output, &server->outputs);
    server->has_room_again = true;
    session_reset(session);
    session->next = server->session_free;
    server->session_free = number;
    server->session_count--;
}

void session_close(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    TILL_ASSERT(session->state != SESSION_FREE && session->state != SESSION_CLOSING);
    session->state = SESSION_CLOSING;
    input_drop(server, number);
    io_close(server->io, session->fd, session_user(server, number));
}

/* Nothing more is read; what was asked for is answered, sent, and then the connection closes. */
void session_drain(struct server *server, uint32_t number)
{
    struct session *session = session_at(server, number);
    session->state = SESSION_DRAINING;
    if (!session->paused && !session->has_ended)
        io_receive_pause(server->io, session->fd, session_user(server, number));
    session->paused = true;
    session_make_sendable(server, number);
}

static void session_accept(struct server *server, int fd)
{
    uint32_t number = server->session_free;
    if (number == 0 || server->is_stopping) {
        io_close(server->io, fd, user_of(USER_REFUSED, 0, 0));
        return;
    }
    struct session *session = session_at(server, number);
    server->session_free = session->next;
    server->session_count++;
    if (number > server->session_high)
        server->session_high = number;
    session->fd = fd;
    session->state = SESSION_GREETING;
    session->send_since_us = server->now_us;
    output_init(&session->output, sizeof(struct frame));
    io_receive(server->io, fd, session_user(server, number));
}

static void session_sent(struct server *server, uint32_t number, int32_t result)
{
    struct session *session = session_at(server, number);
    session->sending = false;
    if (session->state == SESSION_CLOSING)
        return;
    if (result < 0) {
        session_close(server, number);
        return;
    }
    if (output_sent(&session->output, &server->outputs, (size_t)result))
        server->has_room_again = true;
    session_make_sendable(server, number);
}

static void session_event(struct server *server, const struct io_event *event)
{
    uint32_t number = (uint32_t)event->user;
    struct session *session = session_at(server, number);
    TILL_ASSERT((uint16_t)(event->user >> 32) == session->generation);
    if (event->kind == IO_RECEIVED) {
        input_received(server, number, event);
    } else if (event->kind == IO_SENT) {
        session_sent(server, number, event->result);
    } else if (event->kind == IO_CLOSED) {
        session->is_closed = session->undecided > 0;
        if (!session->is_closed)
            session_free(server, number);
    }
}

static bool fail(struct server *server, const char *what, int result)
{
    snprintf(server->error, sizeof server->error, "%s: %s", what, strerror(-result));
    return false;
}

/* Is the data folder still where it was? What was answered since a file of it was removed is lost
 * with that, and is told; in a folder that was moved nothing is lost, but another server may begin
 * in its place. */
static int folder_check(struct server *server)
{
    char error[IO_ERROR_SIZE];
    int result = wal_check(server->wal, error);
    if (result == -ENOENT)
        snprintf(server->error, sizeof server->error,
                 "%s under the running server: what was answered in the last second may be lost "
                 "with it, and nothing more is answered",
                 error);
    return result;
}

/* Nothing more is read. Sessions with input that waits for room drain when it was handled. */
static void stop_begin(struct server *server)
{
    server->is_stopping = true;
    server->stop_us = server->now_us;
    for (uint32_t i = 1; i <= server->session_high; i++) {
        const struct session *session = session_at(server, i);
        bool reads = session->state == SESSION_OPEN || session->state == SESSION_GREETING;
        if (reads && !session->waiting)
            session_drain(server, i);
    }
}

/* False when the server must not go on. */
static bool handle_event(struct server *server, const struct io_event *event)
{
    int result = 0;
    switch (user_kind(event->user)) {
    case USER_LISTEN:
        if (event->kind == IO_ACCEPTED && event->result >= 0)
            session_accept(server, event->result);
        break;
    case USER_SESSION:
        session_event(server, event);
        break;
    case USER_WAL_WRITE:
    case USER_WAL_PREPARE:
        result = wal_event(server->wal, event);
        if (result < 0 && folder_check(server) != -ENOENT)
            fail(server,
                 "the log could not be written, so nothing more is answered; start again to "
                 "recover what was acknowledged",
                 result);
        if (result < 0)
            return false;
        break;
    case USER_SNAPSHOT_WRITE:
    case USER_SNAPSHOT_WORK:
        writer_event(server->snapshots.writer, event);
        break;
    case USER_ARCHIVE:
        archive_event(server->archive, event);
        break;
    case USER_REFUSED:
        break;
    }
    if (event->kind == IO_STOP && server->is_stopping)
        server->snapshots.is_skipped = true;
    else if (event->kind == IO_STOP)
        stop_begin(server);
    return true;
}

/* Once a second: connections that do not read, or never said hello. */
static void scan_sessions(struct server *server)
{
    if (server->now_us - server->scanned_us < SCAN_INTERVAL_US)
        return;
    server->scanned_us = server->now_us;
    for (uint32_t i = 1; i <= server->session_high; i++) {
        struct session *session = session_at(server, i);
        uint64_t since_us = server->now_us - session->send_since_us;
        bool slow = session->sending && since_us > server->options.slow_reader_us;
        bool silent = session->state == SESSION_GREETING && since_us > server->options.greeting_us;
        if (session->state != SESSION_CLOSING && session->state != SESSION_FREE && (slow || silent))
            session_close(server, i);
    }
}

/* Says once that the log's disk has no room for a block. */
static void watch_storage(struct server *server)
{
    uint64_t block = wal_block_durable(server->wal) + 1;
    if (!wal_is_refused(server->wal) || server->block_full == block)
        return;
    server->block_full = block;
    if (server->options.notice != NULL)
        server->options.notice(server->options.context,
                               "there is no room on the log's disk for what is to be written: it "
                               "is tried again every second, and commands are answered "
                               "STORAGE_FULL meanwhile");
}

/* Once a second: is the data folder still there? False when it is not. */
static bool watch_folder(struct server *server)
{
    char text[SERVER_ERROR_SIZE];
    if (server->now_us - server->watched_us < SCAN_INTERVAL_US)
        return true;
    server->watched_us = server->now_us;
    int result = folder_check(server);
    if (result == -ESTALE && !server->is_moved && server->options.notice != NULL) {
        snprintf(text, sizeof text,
                 "the data folder is no longer %s: it was moved, and this server goes on writing "
                 "to it where it is now. Stop it before another one is started",
                 disk_path(server->disk));
        server->options.notice(server->options.context, text);
    }
    server->is_moved = result == -ESTALE;
    return result != -ENOENT;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How long a turn may wait for events: not at all when there is something to do. */
static uint64_t wait_us(struct server *server, uint64_t timeout_us)
{
    uint64_t now_us = io_time_us(server->io);
    uint64_t due_us = engine_next_due_us(server->engine);
    uint64_t wait = earlier(earlier(timeout_us, WAIT_BOUND_US), snapshots_wait_us(server));
    wait = earlier(wait, wal_wait_us(server->wal));
    if (server->waiting.count > 0 && server->has_room_again && !server->is_stalled)
        return 0;
    if (server->sendable.count > 0)
        return 0;
    if (!server->is_stalled && wait > 0)
        wait = due_us <= now_us ? 0 : earlier(wait, due_us - now_us);
    return wait;
}

/* True when nothing decided is left to make durable or to send. */
static bool has_drained(const struct server *server)
{
    return !server->is_stalled && server->batch_count == 0 && server->session_count == 0 &&
           wal_idle(server->wal);
}

static bool archive_is_idle(const struct server *server)
{
    return server->archive == NULL || !archive_awaits_event(server->archive);
}

static void run_pipeline(struct server *server)
{
    if (server->has_room_again) {
        server->has_room_again = false;
        input_handle_waiting(server);
    }
    pipeline_decide(server);
    wal_submit(server->wal);
    wal_turn(server->wal, server->is_stopping);
    uint64_t released = server->block_released;
    pipeline_release(server);
    server->has_room_again |= server->block_released != released;
    pipeline_send(server);
}

int server_turn(struct server *server, uint64_t timeout_us)
{
    struct io_event events[IO_EVENTS_MAX];
    int count = io_wait(server->io, events, IO_EVENTS_MAX, 1, wait_us(server, timeout_us));
    if (count < 0) {
        fail(server, "the I/O loop failed", count);
        return -1;
    }
    uint64_t time_us = io_time_us(server->io);
    server->now_us = time_us > server->now_us ? time_us : server->now_us;
    if (server->is_stalled)
        pipeline_decide(server);
    pipeline_expire_holds(server);
    for (int i = 0; i < count; i++) {
        if (!handle_event(server, &events[i]))
            return -1;
    }
    run_pipeline(server);
    snapshots_turn(server, count == 0);
    snapshots_archive_turn(server);
    scan_sessions(server);
    watch_storage(server);
    if (!watch_folder(server))
        return -1;
    if (!server->is_stopping)
        return 1;
    bool is_late = server->now_us - server->stop_us > STOP_DRAIN_US;
    if (is_late && wal_is_refused(server->wal)) {
        fail(server,
             "what was decided last could not be made durable, and was not answered: there is no "
             "room for it on the log's disk",
             -ENOSPC);
        return -1;
    }
    bool gave_up = is_late && wal_idle(server->wal);
    bool is_done = (has_drained(server) || gave_up) && snapshots_stop(server);
    return is_done && archive_is_idle(server) ? 0 : 1;
}

/* Room for the numbers of all sessions in each list, and twice in `waiting`, where a session may
 * be added again before its old place is cleared. */
static uint64_t lists_size(const struct server *server)
{
    uint64_t sessions = server->options.connections_max + 1ULL;
    return sessions * (SESSION_MARKS + 3) * sizeof(uint32_t);
}

static bool tables_init(struct server *server)
{
    uint32_t sessions = server->options.connections_max + 1;
    uint32_t *lists = memory_map(lists_size(server));
    server->sessions = memory_map(sessions * sizeof(struct session));
    server->stashes = memory_map((uint64_t)sessions * FRAME_SIZE_MAX);
    server->inputs = memory_map((SERVER_BUFFERS + 1) * sizeof(struct input));
    bool outputs = output_pool_init(&server->outputs, server->options.output_chunks);
    server->sendable.numbers = lists;
    if (lists == NULL || server->sessions == NULL || server->stashes == NULL ||
        server->inputs == NULL || !outputs)
        return false;
    for (unsigned i = 0; i < SESSION_MARKS; i++)
        server->marked[i].numbers = lists + (size_t)sessions * (i + 1);
    server->waiting.numbers = lists + (size_t)sessions * (SESSION_MARKS + 1);
    for (uint32_t i = server->options.connections_max; i > 0; i--) {
        server->sessions[i].next = server->session_free;
        server->session_free = i;
    }
    server->batch_number = 1;
    return true;
}

/* Snapshots that could not be used get out of the way, so that the two newest are two good ones. */
static bool damaged_set_aside(struct server *server, const struct loader *loader)
{
    for (uint32_t i = 0; i < loader->damaged_count; i++) {
        char name[DISK_NAME_SIZE];
        char aside[DISK_NAME_SIZE + sizeof ".damaged"];
        image_name(loader->seqs[i], name);
        snprintf(aside, sizeof aside, "%s.damaged", name);
        int result = disk_rename(server->disk, name, aside);
        if (result < 0)
            return fail(server, "a damaged snapshot cannot be renamed", result);
    }
    return true;
}

static bool open_archive(struct server *server)
{
    const struct archive_options options = {.keep_us = server->options.archive_keep_us,
                                            .keep_bytes = server->options.archive_keep_bytes,
                                            .user = user_of(USER_ARCHIVE, 0, 0)};
    char error[ARCHIVE_ERROR_SIZE];
    if (server->options.archive == NULL)
        return true;
    if (archive_open(&server->archive, server->io, server->disk, server->options.archive,
                     server->wal, &options, error) != 0) {
        snprintf(server->error, sizeof server->error, "%s", error);
        return false;
    }
    server->start.archive_seq = archive_status(server->archive)->seq;
    return true;
}

/* Reads the log into the engine and opens it for writing where it ends. */
static bool recover(struct server *server)
{
    struct replay replay = {.disk = server->disk,
                            .engine = server->engine,
                            .ignores_note = server->options.rewrite_log_note,
                            .progress = server->options.progress,
                            .loading = server->options.loading,
                            .notice = server->options.notice,
                            .context = server->options.context};
    struct wal_options options = {
        .segment_size = server->options.wal_segment_size,
        .writes_max = server->options.wal_writes,
        .user_write = user_of(USER_WAL_WRITE, 0, 0),
        .user_prepare = user_of(USER_WAL_PREPARE, 0, 0),
    };
    if (!replay_run(&replay)) {
        snprintf(server->error, sizeof server->error, "%s", replay.error);
        return false;
    }
    if (replay.is_archive) {
        snprintf(server->error, sizeof server->error,
                 "%s is an archive of a log: serve the folder that till restore makes of it",
                 disk_path(server->disk));
        return false;
    }
    server->start.commands = replay.commands;
    server->start.blocks = replay.blocks;
    server->start.seq = engine_seq(server->engine);
    server->start.snapshot_seq = replay.loader.seq;
    server->start.has_log = replay.end.segment > 0;
    server->start.torn_bytes = replay.end.torn_bytes;
    server->start.is_sealed = replay.end.is_sealed;
    server->start.snapshot_bytes = replay.loader.raw_bytes;
    server->start.snapshot_us = replay.loaded_us;
    server->start.replay_us = replay.replayed_us;
    server->start.epoch = replay.epoch > 0 ? replay.epoch : SERVER_EPOCH_FIRST;
    server->now_us = engine_time_us(server->engine);
    /* A log that has no block yet goes on from the snapshot's state. */
    replay.end.digest = engine_digest(server->engine);
    replay.end.time_us = engine_time_us(server->engine);
    char error[IO_ERROR_SIZE];
    if (wal_open(&server->wal, server->io, server->disk, &options, &replay.end, server->start.epoch,
                 error) != 0) {
        snprintf(server->error, sizeof server->error, "%s", error);
        return false;
    }
    server->block_released = wal_block_durable(server->wal);
    if (!damaged_set_aside(server, &replay.loader) || !snapshots_open(server, &replay.loader) ||
        !open_archive(server))
        return false;
    if (server->snapshots.writer != NULL)
        server->start.snapshot_memory_bytes = writer_memory_bytes(server->snapshots.writer);
    return true;
}

static bool listen_on(struct server *server)
{
    const char *address = server->options.listen;
    int port = io_listen(server->io, address, user_of(USER_LISTEN, 0, 0));
    if (port < 0) {
        snprintf(server->error, sizeof server->error, "cannot listen on %s: %s", address,
                 strerror(-port));
        return false;
    }
    server->start.port = (uint16_t)port;
    return true;
}

struct server *server_create(const struct server_options *options, struct io *io, struct disk *disk,
                             char *error, size_t error_size)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    server->options = *options;
    server->io = io;
    server->disk = disk;
    server->engine = engine_create(&options->engine, server->error, sizeof server->error);
    bool made = server->engine != NULL;
    if (made && !tables_init(server)) {
        snprintf(server->error, sizeof server->error, "out of memory for connections");
        made = false;
    }
    if (made && !options->lazy_memory && !engine_populate(server->engine)) {
        snprintf(server->error, sizeof server->error,
                 "there is not enough memory for the tables (%.0f MiB): lower the capacities",
                 (double)engine_memory_bytes(server->engine) / (1 << 20));
        made = false;
    }
    /* An address that cannot be had is told before a long log is read; who connects meanwhile waits
     * for the first turn. */
    if (made && listen_on(server) && recover(server))
        return server;
    snprintf(error, error_size, "%s", server->error);
    server_destroy(server);
    return NULL;
}

void server_destroy(struct server *server)
{
    uint32_t sessions = server->options.connections_max + 1;
    if (server->wal != NULL)
        wal_close(server->wal);
    writer_destroy(server->snapshots.writer);
    archive_close(server->archive);
    engine_destroy(server->engine);
    output_pool_deinit(&server->outputs);
    memory_unmap(server->sendable.numbers, lists_size(server));
    memory_unmap(server->sessions, sessions * sizeof(struct session));
    memory_unmap(server->stashes, (uint64_t)sessions * FRAME_SIZE_MAX);
    memory_unmap(server->inputs, (SERVER_BUFFERS + 1) * sizeof(struct input));
    free(server);
}

const char *server_error(const struct server *server)
{
    return server->error;
}

struct server_start server_start(const struct server *server)
{
    return server->start;
}

const struct engine *server_engine(const struct server *server)
{
    return server->engine;
}
