/* Start, loop and stop of the server.
 *
 * A turn: wait for events; read the clocks once; begin with hold.expire if deadlines have passed;
 * turn what was received into batches, decide them and append them to the log's open block; submit
 * the block if a write may start; release and send the replies that became durable. There is one
 * io_wait, so one system call, in a turn.
 *
 *   the log fails          -> server_turn returns -1, nothing more is released, the process ends
 *   a connection fails     -> that session closes, no other is affected
 *   asked to stop          -> what was received is answered, the log is made durable, then 0 */
#include "net/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/await.h"
#include "net/following.h"
#include "net/fork.h"
#include "net/input.h"
#include "net/members.h"
#include "net/metrics.h"
#include "net/pipeline.h"
#include "net/plant.h"
#include "net/pressure.h"
#include "net/replay.h"
#include "net/replicas.h"
#include "net/server_state.h"
#include "net/snapshots.h"
#include "net/timekeeping.h"
#include "snapshot/backup_label.h"
#include "snapshot/image.h"

enum {
    SCAN_INTERVAL_US = 1000000, /* between two calls of each_second */
    STOP_DRAIN_US = 5000000,    /* a stopping server waits so long for clients to read */
    WAIT_BOUND_US = 1000000,    /* the longest wait of a turn, for each_second's sake */
};

const struct server_options server_options_default = {
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

uint64_t server_connections_bytes(const struct server_options *options)
{
    return (uint64_t)options->output_chunks * OUTPUT_CHUNK_SIZE +
           (uint64_t)options->connections_max * STASH_SIZE + REPLICAS_BYTES_MAX;
}

static void session_event(struct server *server, const struct io_event *event)
{
    uint32_t number = (uint32_t)event->user;
    TILL_ASSERT((uint16_t)(event->user >> 32) == session_at(server, number)->generation);
    if (event->kind == IO_RECEIVED) {
        input_received(server, number, event);
    } else if (event->kind == IO_SENT && session_at(server, number)->link > 0) {
        links_sent(server, number, event->result);
    } else if (event->kind == IO_SENT) {
        session_sent(server, number, event->result);
    } else if (event->kind == IO_CLOSED) {
        if (session_at(server, number)->link > 0)
            links_closed(server, number);
        session_closed(server, number);
    }
}

static bool fail(struct server *server, const char *what, int result)
{
    snprintf(server->error, sizeof server->error, "%s: %s", what, strerror(-result));
    return false;
}

/* The memory of the tables is taken on a helper thread, so that the server answers at once. Until
 * it is done, a decision that touches a new page waits while the kernel clears it. */
static int memory_work(void *context)
{
    struct server *server = context;
    return engine_populate(server->engine, &server->memory_stop) ? 0 : -errno;
}

static void memory_take(struct server *server)
{
    server->is_taking_memory = true;
    io_work(server->io, IO_LANE_MEMORY, memory_work, server, user_of(USER_MEMORY, 0, 0));
}

static void memory_taken(struct server *server, int result)
{
    char text[128];
    server->is_taking_memory = false;
    if (!server->is_stopping && server->options.memory_taken != NULL)
        server->options.memory_taken(server->options.context, result == 0);
    if (result == 0)
        return;
    snprintf(text, sizeof text, "the memory of the tables (%.0f MiB) could not be taken: %s",
             (double)engine_memory_bytes(server->engine) / (1 << 20), strerror(-result));
    server_notice(server, text);
}

/* Is the data folder still where it was? 0; -ENOENT, with the server's error, when a file of it was
 * removed: what was answered since then is lost. -ESTALE when the folder was moved: nothing is
 * lost, but another server might be started in its old place. */
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

/* Drains all sessions. One with input that waits for room drains when that is handled. */
static void stop_begin(struct server *server)
{
    server->is_stopping = true;
    server->stop_us = server->turn_us;
    atomic_store_explicit(&server->memory_stop, true, memory_order_relaxed);
    for (uint32_t i = 1; i <= server->session_high; i++) {
        const struct session *session = session_at(server, i);
        if (session->link == 0 && session_reads(session) && !session_is_pending(session))
            session_drain(server, i);
    }
}

/* False, with the server's error, when the server must not go on. */
static bool handle_event(struct server *server, const struct io_event *event)
{
    int result = 0;
    switch (user_kind(event->user)) {
    case USER_LISTEN:
        if (event->kind == IO_ACCEPTED && event->result >= 0) {
            pressure_close_silent(server);
            session_accept(server, event->result);
        }
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
    case USER_MEMORY:
        memory_taken(server, event->result);
        break;
    case USER_CLOCK:
        timekeeping_event(server, event);
        break;
    case USER_LINK_WORK:
        replicas_event(server, event);
        break;
    case USER_FOLLOW_LINK:
    case USER_FOLLOW_FETCH:
    case USER_FOLLOW_WORK:
        following_event(server, event);
        break;
    case USER_REFUSED:
        break;
    }
    if (event->kind == IO_STOP) {
        server->is_asked = true;
        if (server->is_stopping)
            server->snapshots.is_skipped = true;
        else
            stop_begin(server);
    }
    return true;
}

/* Reports once per block that the disk has no room for it. */
static void watch_storage(struct server *server)
{
    uint64_t block = wal_block_durable(server->wal) + 1;
    if (!wal_is_refused(server->wal) || server->block_full == block)
        return;
    server->block_full = block;
    server_notice(server,
                  "there is no room on the log's disk for what is to be written: it is tried "
                  "again every second, and commands are answered STORAGE_FULL meanwhile");
}

/* False when files of the data folder were removed. That it was moved is reported once. */
static bool watch_folder(struct server *server)
{
    char text[SERVER_ERROR_SIZE];
    int result = folder_check(server);
    if (result == -ESTALE && !server->is_moved) {
        snprintf(text, sizeof text,
                 "the data folder is no longer %s: it was moved, and this server goes on writing "
                 "to it where it is now. Stop it before another one is started",
                 disk_path(server->disk));
        server_notice(server, text);
    }
    server->is_moved = result == -ESTALE;
    return result != -ENOENT;
}

static void notice_of_watch(void *server, const char *text)
{
    server_notice(server, text);
}

static void watch_fill(struct server *server)
{
    watch_tables(&server->watch, server->engine, notice_of_watch, server);
}

/* Does what is due once a second. False when the server must not go on. */
static bool each_second(struct server *server)
{
    if (server->turn_us - server->scanned_us < SCAN_INTERVAL_US)
        return true;
    server->scanned_us = server->turn_us;
    pressure_each_second(server);
    watch_fill(server);
    return watch_folder(server);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How long a turn may wait for events; 0 when there is something to do. */
static uint64_t wait_us(struct server *server, uint64_t timeout_us)
{
    uint64_t now_us = clock_at(&server->timekeeping.clock, io_time_us(server->io));
    uint64_t wait = earlier(earlier(timeout_us, WAIT_BOUND_US), snapshots_wait_us(server));
    wait = earlier(wait, wal_wait_us(server->wal));
    wait = earlier(wait, earlier(pressure_wait_us(server), await_wait_us(server)));
    wait = earlier(wait, members_wait_us(server));
    wait = earlier(wait, replicas_wait_us(server));
    wait = earlier(wait, following_wait_us(server));
    bool has_chunk = server->starved.count > 0 && server->outputs.free_count > 0;
    if (!server->is_stalled && (server->waiting.count > 0 || has_chunk))
        return 0;
    if (server->sendable.count > 0)
        return 0;
    if (!server->is_stalled && wait > 0)
        wait = earlier(wait, pipeline_expire_wait_us(server, now_us));
    return wait;
}

/* Is everything that was decided durable and sent? */
static bool has_drained(const struct server *server)
{
    return !server->is_stalled && server->batch_count == 0 &&
           server->session_count == server->replicas.link_count && wal_idle(server->wal);
}

static bool archive_is_idle(const struct server *server)
{
    return server->archive == NULL || !archive_awaits_event(server->archive);
}

static void run_pipeline(struct server *server)
{
    if (server->is_stalled)
        pipeline_decide(server);
    input_handle_waiting(server);
    pipeline_decide(server);
    wal_submit(server->wal);
    wal_turn(server->wal, server->is_stopping);
    pipeline_release(server);
    pipeline_send(server);
    replicas_turn(server);
}

/* A server that is to begin anew stops first, without a last snapshot. */
static void restart_begin(struct server *server)
{
    if (!server->is_restarting || server->is_stopping)
        return;
    server->snapshots.is_skipped = true;
    stop_begin(server);
}

int server_turn(struct server *server, uint64_t timeout_us)
{
    struct io_event events[IO_EVENTS_MAX];
    int count = io_wait(server->io, events, IO_EVENTS_MAX, 1, wait_us(server, timeout_us));
    if (count < 0) {
        fail(server, "the I/O loop failed", count);
        return -1;
    }
    timekeeping_turn(server);
    server->turn_cost = 0;
    members_turn(server);
    if (server->is_stalled)
        pipeline_decide(server);
    pipeline_log_epoch(server);
    pipeline_log_jump(server);
    pipeline_log_retention(server);
    pipeline_expire_holds(server);
    for (int i = 0; i < count; i++) {
        if (!handle_event(server, &events[i]))
            return -1;
    }
    following_turn(server);
    run_pipeline(server);
    restart_begin(server);
    snapshots_turn(server, count == 0);
    snapshots_archive_turn(server);
    timekeeping_note(server);
    watch_storage(server);
    pressure_turn(server, count < IO_EVENTS_MAX);
    if (!each_second(server))
        return -1;
    metrics_turn(server, (uint32_t)count);
    if (!server->is_stopping)
        return 1;
    bool is_late = server->turn_us - server->stop_us > STOP_DRAIN_US;
    if (is_late && wal_is_refused(server->wal)) {
        fail(server,
             "what was decided last could not be made durable, and was not answered: there is no "
             "room for it on the log's disk",
             -ENOSPC);
        return -1;
    }
    bool gave_up = is_late && wal_idle(server->wal);
    bool is_done = (has_drained(server) || gave_up) && snapshots_stop(server) &&
                   replicas_stop(server) && following_stop(server);
    bool is_idle =
        archive_is_idle(server) && !server->is_taking_memory && !server->timekeeping.is_writing;
    if (!is_done || !is_idle)
        return 1;
    return server->is_restarting && !server->is_asked ? 2 : 0;
}

/* Renames the snapshots that could not be used, so that the newest two are valid ones. */
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

/* Comes before the log is opened for writing, so that nothing is changed when the archive belongs
 * to another history and is refused. */
static bool open_archive(struct server *server, const struct replay *replay)
{
    const struct archive_options options = {.keep_us = server->options.archive_keep_us,
                                            .keep_bytes = server->options.archive_keep_bytes,
                                            .user = user_of(USER_ARCHIVE, 0, 0)};
    const struct archive_history history = {
        .log = server->disk,
        .seq_first = replay->seq_first > 0 ? replay->seq_first : engine_seq(server->engine) + 1,
        .seq_next = engine_seq(server->engine) + 1,
        .epoch = server->start.epoch,
        .time_us = engine_time_us(server->engine),
    };
    char error[ARCHIVE_ERROR_SIZE];
    if (server->options.archive == NULL ||
        archive_open(&server->archive, server->io, server->options.archive, &history, &options,
                     error) == 0)
        return true;
    /* A replica may go back, or start from a later snapshot, and its archive cannot. */
    if (members_is_replica(server)) {
        server_notice(server, error);
        server_notice(server, "nothing is archived here until that is settled");
        return true;
    }
    snprintf(server->error, sizeof server->error, "%s", error);
    return false;
}

static void start_archive(struct server *server)
{
    if (server->archive == NULL)
        return;
    archive_start(server->archive, server->wal);
    server->start.archive_seq = archive_status(server->archive)->seq;
}

/* If the folder is a backup, it must be complete before a shop is started from it. */
static bool check_backup(struct server *server)
{
    struct backup_label label = {.progress = server->options.checking,
                                 .context = server->options.context};
    enum backup_state state = backup_label_demand(&label, server->disk);
    if (state == BACKUP_COMPLETE)
        server->start.backup_seq = label.seq;
    else if (state == BACKUP_REFUSED)
        snprintf(server->error, sizeof server->error, "%s", label.error);
    backup_label_close(&label);
    return state != BACKUP_REFUSED;
}

/* Makes a backup an ordinary data folder, by removing its label: from here on the log gets blocks
 * that the label does not know of. None of the files that it names has been changed so far. */
static bool leave_backup(struct server *server)
{
    int result = server->start.backup_seq > 0 ? backup_label_leave(server->disk) : 0;
    return result == 0 || fail(server, "the label of the backup cannot be removed", result);
}

/* Removes partial files that a crash left in a folder. */
static bool tidy(struct server *server, struct disk *disk)
{
    int result = disk != NULL ? disk_tidy(disk) : 0;
    return result == 0 || fail(server, "what a crash left half made cannot be removed", result);
}

/* Does what was written down before the server began anew: leaves the log before a snapshot that
 * was fetched, or goes back to where this folder's history parts from its primary's. */
static bool go_back(struct server *server)
{
    const struct shop *shop = &server->members.shop;
    struct fork fork = {.disk = server->disk, .fork_seq = shop->fork_seq};
    char text[FORK_ERROR_SIZE];
    if ((shop->flags & SHOP_FORKED) == 0)
        return true;
    if (!tidy(server, server->disk))
        return false;
    if (!plant(PLANT_TAIL_DROPPED) && !fork_set_aside(&fork)) {
        snprintf(server->error, sizeof server->error, "%s", fork.error);
        return false;
    }
    if (fork.name[0] != '\0') {
        snprintf(text, sizeof text,
                 "seq %" PRIu64 " to %" PRIu64 ", which are not in the primary's history, were set "
                 "aside as %s/%s: %" PRIu64 " orders were placed in them; till log prints them",
                 fork.seq_first, fork.seq_last, disk_path(server->disk), fork.name, fork.orders);
        server_notice(server, text);
    }
    if (fork.begins_anew)
        server_notice(server, "neither a snapshot nor the log leads back to where the histories "
                              "part: the files of this one were renamed, diverged-*, and the "
                              "folder begins anew");
    return true;
}

/* When the folder has a snapshot that was fetched, its log is left. It was written down before the
 * snapshot was published: without that, the log is still what the folder has. */
static bool leave_log(struct server *server)
{
    const struct shop *shop = &server->members.shop;
    char name[DISK_NAME_SIZE];
    if ((shop->flags & SHOP_REBASED) == 0)
        return true;
    image_name(shop->fork_seq, name);
    int file = disk_file_open(server->disk, name, false);
    if (file == -ENOENT)
        return true;
    if (file < 0)
        return fail(server, "the fetched snapshot cannot be opened", file);
    disk_file_close(server->disk, file);
    int result = fork_leave_log(server->disk);
    return result == 0 ||
           fail(server, "the log before a fetched snapshot cannot be removed", result);
}

/* Brings the folder's state into the engine. */
static bool replay_folder(struct server *server, struct replay *replay)
{
    if (!leave_log(server))
        return false;
    if (replay_run(replay))
        return true;
    snprintf(server->error, sizeof server->error, "%s", replay->error);
    return false;
}

/* Reads the log into the engine and opens it for writing where it ends. */
static bool recover(struct server *server)
{
    bool is_forked = (server->members.shop.flags & SHOP_FORKED) != 0 && !plant(PLANT_TAIL_KEPT);
    uint64_t fork_seq = is_forked ? server->members.shop.fork_seq : 0;
    struct replay replay = {.disk = server->disk,
                            .engine = server->engine,
                            .ignores_note = server->options.rewrite_log_note ||
                                            (server->members.shop.flags & SHOP_FORKED) != 0,
                            .fork_seq = fork_seq,
                            .reads_ahead = server->options.reads_ahead,
                            .progress = server->options.progress,
                            .loading = server->options.loading,
                            .notice = server->options.notice,
                            .context = server->options.context};
    struct wal_options options = {
        .segment_size = server->options.wal_segment_size,
        .writes_max = server->options.wal_writes,
        .user_write = user_of(USER_WAL_WRITE, 0, 0),
        .user_prepare = user_of(USER_WAL_PREPARE, 0, 0),
        .takes_blocks = members_is_replica(server),
    };
    if (!check_backup(server) || !go_back(server) || !replay_folder(server, &replay))
        return false;
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
    server->start.torn_bytes = replay.has_forked ? 0 : replay.end.torn_bytes;
    server->start.is_sealed = replay.end.is_sealed;
    server->start.snapshot_bytes = replay.loader.raw_bytes;
    server->start.snapshot_us = replay.loaded_us;
    server->start.replay_us = replay.replayed_us;
    server->start.epoch = replay.epoch > 0 ? replay.epoch : SERVER_EPOCH_FIRST;
    if (!open_archive(server, &replay) || !tidy(server, server->disk) ||
        !tidy(server, server->options.archive))
        return false;
    /* A log without a block continues the state of the snapshot. */
    replay.end.digest = engine_digest(server->engine);
    replay.end.time_us = engine_time_us(server->engine);
    char error[IO_ERROR_SIZE];
    if (!timekeeping_open(server))
        return false;
    if (wal_open(&server->wal, server->io, server->disk, &options, &replay.end, server->start.epoch,
                 error) != 0) {
        snprintf(server->error, sizeof server->error, "%s", error);
        return false;
    }
    server->block_released = wal_block_durable(server->wal);
    if (!leave_backup(server) || !replicas_open(server) ||
        !members_begin(server, replay.loader.shop) || !damaged_set_aside(server, &replay.loader) ||
        !snapshots_open(server, &replay.loader) || !following_open(server))
        return false;
    start_archive(server);
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
    server->batch_number = 1;
    server->engine = engine_create(&options->engine, server->error, sizeof server->error);
    bool made = server->engine != NULL;
    if (made && !sessions_init(server)) {
        snprintf(server->error, sizeof server->error, "out of memory for connections");
        made = false;
    }
    /* Listen first: an address that is taken is reported before a long log is read. Whoever
     * connects meanwhile waits for the first turn. */
    if (made && listen_on(server) && members_open(server) && recover(server)) {
        if (!options->lazy_memory)
            memory_take(server);
        metrics_open(server);
        watch_fill(server);
        return server;
    }
    snprintf(error, error_size, "%s", server->error);
    server_destroy(server);
    return NULL;
}

void server_destroy(struct server *server)
{
    if (server->wal != NULL)
        wal_close(server->wal);
    writer_destroy(server->snapshots.writer);
    archive_close(server->archive);
    timekeeping_close(server);
    following_close(server);
    replicas_close(server);
    engine_destroy(server->engine);
    sessions_deinit(server);
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

const struct metrics_board *server_metrics(const struct server *server)
{
    return &server->board;
}
