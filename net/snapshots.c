/* When the server takes snapshots, and how much of its time they get.
 *
 * A snapshot starts after so many seconds, after so much log, on demand, and when the server stops.
 * It is taken in slices between batches, on a budget: it earns a share of the time that passes, a
 * small one while there is other work and a larger one while there is none, and each slice that
 * packed a chunk is charged the time that it took. The share grows as the undo memory (old states
 * of records) fills; when that runs short, packing comes before deciding, whatever time it takes.
 * Even an idle server limits the share, because what a snapshot writes delays the log's writes.
 *
 * Whenever a snapshot was published or a segment archived, the log is told which segments it may
 * release (base/retention.h decides). A segment goes to the archive as soon as the log has left
 * it. */
#include "net/snapshots.h"

#include <stdio.h>
#include <string.h>

#include "base/retention.h"
#include "net/admin.h"
#include "net/members.h"
#include "net/replicas.h"
#include "net/server_state.h"

enum {
    SHARE_BUSY = 4,      /* percent of the time that slices may take while there is other work, */
    SHARE_IDLE = 20,     /* and while there is none */
    SHARE_UNDO = 2,      /* a percent more for each 2 percent of the undo memory that are in use */
    EARNED_US_MAX = 200, /* time that was not used is not saved up beyond this */
    PASSED_US_MAX = 100000, /* a longer turn counts as one of this length */
};

bool snapshots_open(struct server *server, const struct loader *loader)
{
    struct writer_options options = {
        .undo_bytes = server->options.snapshot_memory,
        .epoch = loader->epoch > 0 ? loader->epoch : SERVER_EPOCH_FIRST,
        .shop = server->members.shop.shop,
        .user_write = user_of(USER_SNAPSHOT_WRITE, 0, 0),
        .user_work = user_of(USER_SNAPSHOT_WORK, 0, 0),
    };
    struct snapshots *snapshots = &server->snapshots;
    uint32_t valid = loader->damaged_count;
    uint64_t before = valid + 1 < loader->seq_count ? loader->seqs[valid + 1] : 0;
    snapshots->seq_before = before;
    if (options.undo_bytes == 0)
        return true;
    snapshots->writer =
        writer_create(&options, server->io, server->disk, server->engine, loader->seq, before);
    snapshots->begun_us = snapshots->stepped_us = io_time_us(server->io);
    if (snapshots->writer == NULL)
        snprintf(server->error, sizeof server->error,
                 "there is not enough memory for --snapshot-memory");
    return snapshots->writer != NULL;
}

/* Has anything changed since the newest snapshot? */
static bool has_news(const struct server *server)
{
    return engine_seq(server->engine) > writer_status(server->snapshots.writer)->seq_published;
}

static bool is_due(const struct server *server)
{
    const struct snapshots *snapshots = &server->snapshots;
    const struct server_options *options = &server->options;
    uint64_t log_bytes = wal_bytes_stored(server->wal) - snapshots->begun_log_bytes;
    bool is_wanted = snapshots->seq_wanted > 0 &&
                     !writer_will_show(snapshots->writer, snapshots->seq_wanted) &&
                     engine_seq(server->engine) >= snapshots->seq_wanted;
    return snapshots->is_asked || is_wanted ||
           (options->snapshot_every_us > 0 &&
            server->turn_us >= snapshots->begun_us + options->snapshot_every_us) ||
           (options->snapshot_log_bytes > 0 && log_bytes >= options->snapshot_log_bytes);
}

static void start(struct server *server)
{
    struct snapshots *snapshots = &server->snapshots;
    snapshots->is_asked = false;
    snapshots->begun_us = server->turn_us;
    snapshots->begun_log_bytes = wal_bytes_stored(server->wal);
    if (has_news(server))
        writer_ask(snapshots->writer);
}

/* Releases the segments that are needed neither for recovery nor for the archive. */
static void release(struct server *server)
{
    struct retention_log log = {.seq_snapshot = server->snapshots.seq_before,
                                .has_archive = server->archive != NULL};
    if (log.has_archive)
        log.seq_archived = archive_status(server->archive)->seq;
    log.seq_replica = replicas_seq_needed(server);
    log.seq_allowed = wal_seq_within(server->wal, server->options.replica_keep_bytes);
    wal_release(server->wal, retention_log_seq(&log));
}

/* Notices when a snapshot has been published or given up since the last call. */
static void finish(struct server *server)
{
    struct snapshots *snapshots = &server->snapshots;
    const struct writer_status *status = writer_status(snapshots->writer);
    char text[WRITER_ERROR_SIZE + 64];
    if (status->failure_count > snapshots->failures_seen) {
        snprintf(text, sizeof text, "this snapshot is given up: %s", status->error);
        server_notice(server, text);
    }
    if (status->snapshot_count > snapshots->count_seen && status->seq_before > 0) {
        snapshots->seq_before = status->seq_before;
        release(server);
    }
    snapshots->failures_seen = status->failure_count;
    snapshots->count_seen = status->snapshot_count;
}

/* Takes one slice, and charges its time. True when it packed something. */
static bool slice(struct server *server, bool may_pack)
{
    struct snapshots *snapshots = &server->snapshots;
    uint64_t start_us = io_time_us(server->io);
    bool packed = writer_step(snapshots->writer, replicas_seq_released(server), may_pack);
    uint64_t end_us = io_time_us(server->io);
    if (packed && end_us > start_us)
        snapshots->earned_us -= (int64_t)(end_us - start_us);
    return packed;
}

/* The share of the time that slices may take, in percent. */
static uint32_t share(const struct writer *writer, bool is_idle)
{
    return (is_idle ? SHARE_IDLE : SHARE_BUSY) + writer_undo_percent(writer) / SHARE_UNDO;
}

void snapshots_turn(struct server *server, bool is_idle)
{
    struct snapshots *snapshots = &server->snapshots;
    if (snapshots->writer == NULL)
        return;
    finish(server);
    if (writer_is_idle(snapshots->writer) && is_due(server))
        start(server);
    writer_epoch(snapshots->writer, members_epoch_shown(server));
    uint64_t now_us = io_time_us(server->io);
    uint64_t passed_us = now_us > snapshots->stepped_us ? now_us - snapshots->stepped_us : 0;
    if (passed_us > PASSED_US_MAX)
        passed_us = PASSED_US_MAX;
    snapshots->stepped_us = now_us;
    snapshots->earned_us += (int64_t)(passed_us * share(snapshots->writer, is_idle) / 100 + 1);
    if (snapshots->earned_us > EARNED_US_MAX)
        snapshots->earned_us = EARNED_US_MAX;
    slice(server, snapshots->earned_us > 0 || server->is_stopping);
}

void snapshots_archive_turn(struct server *server)
{
    struct snapshots *snapshots = &server->snapshots;
    if (server->archive == NULL)
        return;
    const struct archive_status *status = archive_status(server->archive);
    if (status->notice_count > snapshots->notices_seen)
        server_notice(server, status->notice);
    if (status->segment_count > snapshots->archived_seen)
        release(server);
    snapshots->notices_seen = status->notice_count;
    snapshots->archived_seen = status->segment_count;
    if (!server->is_stopping)
        archive_turn(server->archive, server->turn_us);
}

bool snapshots_make_room(struct server *server)
{
    struct writer *writer = server->snapshots.writer;
    if (writer == NULL)
        return true;
    while (writer_is_pressed(writer) && slice(server, true)) {
    }
    return !writer_is_pressed(writer);
}

uint64_t snapshots_wait_us(const struct server *server)
{
    const struct snapshots *snapshots = &server->snapshots;
    uint64_t archive_us = UINT64_MAX;
    if (server->archive != NULL && !server->is_stopping)
        archive_us = archive_wait_us(server->archive, server->turn_us);
    if (snapshots->writer == NULL || !writer_has_work(snapshots->writer))
        return archive_us;
    if (snapshots->earned_us > 0 || server->is_stopping)
        return 0;
    uint64_t slice_us = (uint64_t)-snapshots->earned_us * 100 / share(snapshots->writer, true) + 1;
    return slice_us < archive_us ? slice_us : archive_us;
}

bool snapshots_stop(struct server *server)
{
    struct snapshots *snapshots = &server->snapshots;
    if (snapshots->writer == NULL)
        return true;
    if (snapshots->is_skipped || replicas_seq_released(server) < engine_seq(server->engine))
        writer_cancel(snapshots->writer);
    if (!writer_is_idle(snapshots->writer))
        return false;
    finish(server);
    bool is_wanted = server->options.snapshot_at_stop && has_news(server) &&
                     replicas_seq_released(server) == engine_seq(server->engine);
    if (!is_wanted || snapshots->is_skipped || snapshots->is_last)
        return wal_idle(server->wal);
    snapshots->is_last = true;
    server_notice(server, "taking a last snapshot; a second signal skips it");
    start(server);
    return false;
}

enum outcome admin_snapshot(struct server *server, const void *request_body, void *reply)
{
    const struct snapshot_body *request = request_body;
    struct snapshots *snapshots = &server->snapshots;
    struct writer_status status = {0};
    uint64_t seq = engine_seq(server->engine);
    /* Its state is not that of its log: no snapshot of it is ever published. */
    if (server->members.role == MEMBER_DIVERGED) {
        struct rejection_body body = rejection_make(wal_seq_durable(server->wal), seq, 0);
        memcpy(reply, &body, sizeof body);
        return OUTCOME_REPLICA_BEHIND;
    }
    if (request->seq > 0 && request->seq < seq)
        seq = request->seq;
    if (snapshots->writer != NULL) {
        status = *writer_status(snapshots->writer);
        snapshots->is_asked |= !writer_will_show(snapshots->writer, seq);
    }
    *(struct snapshot_reply_body *)reply = (struct snapshot_reply_body){
        .seq = seq,
        .seq_published = status.seq_published,
        .failures = status.failure_count,
        .snapshots = status.snapshot_count,
    };
    return OUTCOME_OK;
}
