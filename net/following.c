/* Following another server: its log is taken over block by block.
 *
 * Good path: the link is made (net/link.h's follower), the place in the log is found there, and
 * each block that comes is decided by the engine, compared with its digest, appended to this log
 * byte for byte, and acknowledged when it is durable here. While the log has no room for a block,
 * nothing more is received.
 *
 * When there is no log from here on, the newest snapshot is fetched on a connection of its own,
 * into a partial file that grows in the lane FOLLOW; then the server starts again in place, from
 * that snapshot. When the histories part, that is written down, and it starts again as well
 * (net/fork.h).
 *
 * What can fail: the connections, at any time: they are made again. A block whose commands are
 * decided otherwise here: this replica stops for good, with the block kept as evidence.
 *
 * What must hold: nothing is acknowledged that is not durable here, or to a server whose epoch is
 * older than the one that is sealed here. A block is decided and appended in the same call. */
#include "net/following.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "net/members.h"
#include "net/plant.h"
#include "net/server_state.h"
#include "net/snapshots.h"
#include "snapshot/image.h"

enum {
    START_OVER_US = 1000000,
    CHECK_CHUNKS = 64, /* of a snapshot that came are checked at a time */
};

/* One connection to the server that is followed. */

static void upstream_connect(struct server *server, struct upstream *upstream)
{
    TILL_ASSERT(upstream->state == UPSTREAM_NONE);
    upstream->state = UPSTREAM_CONNECTING;
    upstream->generation++;
    io_connect(server->io, server->members.shop.primary.bytes,
               user_of(upstream->kind, upstream->generation, 0));
}

static uint64_t upstream_user(const struct upstream *upstream)
{
    return user_of(upstream->kind, upstream->generation, 0);
}

static void upstream_input_done(struct server *server, struct upstream *upstream)
{
    if (upstream->input.buffer != 0)
        io_buffer_release(server->io, upstream->input.buffer - 1);
    upstream->input = (struct input){.bytes = NULL};
}

/* Its IO_CLOSED, or a connection that is still being made, is to come. */
static void upstream_close(struct server *server, struct upstream *upstream)
{
    upstream_input_done(server, upstream);
    if (upstream->state == UPSTREAM_OPEN) {
        upstream->state = UPSTREAM_CLOSING;
        io_close(server->io, upstream->fd, upstream_user(upstream));
    } else if (upstream->state == UPSTREAM_CONNECTING) {
        upstream->state = UPSTREAM_UNWANTED;
    }
}

static void upstream_receive(struct server *server, struct upstream *upstream)
{
    if (upstream->state != UPSTREAM_OPEN || upstream->receiving || upstream->input.size > 0)
        return;
    upstream_input_done(server, upstream);
    upstream->receiving = true;
    io_receive(server->io, upstream->fd, upstream_user(upstream));
}

/* The bytes stay as they are until they are sent. */
static void upstream_send(struct server *server, struct upstream *upstream, const uint8_t *bytes,
                          uint32_t size)
{
    TILL_ASSERT(upstream->state == UPSTREAM_OPEN && !upstream->sending && size > 0);
    upstream->sending = true;
    upstream->unsent = bytes;
    upstream->unsent_size = size;
    io_send(server->io, upstream->fd, upstream_user(upstream), bytes, size);
}

/* Takes in an event. True when the connection was lost by it, with the reason. */
static bool upstream_event(struct server *server, struct upstream *upstream,
                           const struct io_event *event, const char **why)
{
    *why = "";
    switch (event->kind) {
    case IO_CONNECTED:
        if (event->result < 0) {
            bool was_wanted = upstream->state == UPSTREAM_CONNECTING;
            upstream->state = UPSTREAM_NONE;
            *why = event->result == -EHOSTUNREACH ? "there is no such host, or no way to it"
                                                  : strerror(-event->result);
            return was_wanted;
        }
        upstream->fd = event->result;
        upstream->receiving = upstream->sending = false;
        bool is_unwanted = upstream->state == UPSTREAM_UNWANTED;
        upstream->state = UPSTREAM_OPEN;
        if (is_unwanted)
            upstream_close(server, upstream);
        return false;
    case IO_CLOSED:
        upstream->state = UPSTREAM_NONE;
        return false;
    case IO_RECEIVED:
        upstream->receiving = false;
        if (upstream->state != UPSTREAM_OPEN) {
            if (event->result > 0)
                io_buffer_release(server->io, event->buffer);
            return false;
        }
        if (event->result <= 0) {
            *why = event->result == 0 ? "it closed the connection" : strerror(-event->result);
            return true;
        }
        upstream->input = (struct input){
            .bytes = event->bytes, .size = (uint32_t)event->result, .buffer = event->buffer + 1};
        return false;
    case IO_SENT:
        upstream->sending = false;
        if (upstream->state != UPSTREAM_OPEN)
            return false;
        *why = event->result < 0 ? strerror(-event->result) : "";
        if (event->result < 0)
            return true;
        upstream->unsent += event->result;
        upstream->unsent_size -= (uint32_t)event->result;
        if (upstream->unsent_size > 0)
            upstream_send(server, upstream, upstream->unsent, upstream->unsent_size);
        return false;
    default:
        return false;
    }
}

/* The link. */

static void say(struct server *server, const char *text)
{
    struct following *following = &server->following;
    if (strncmp(following->said, text, sizeof following->said - 1) == 0)
        return;
    snprintf(following->said, sizeof following->said, "%s", text);
    server_notice(server, text);
}

/* Ends the link; what it says once is not said again until the link was good in between. */
static void link_drop(struct server *server, const char *why, bool is_soon)
{
    struct following *following = &server->following;
    char text[LINK_ERROR_SIZE + 160];
    if (why[0] != '\0') {
        snprintf(text, sizeof text, "not following %s: %s", server->members.shop.primary.bytes,
                 why);
        say(server, text);
    }
    upstream_close(server, &following->link);
    if (following->follower.state != FOLLOWER_RESTING)
        follower_drop(&following->follower, server->turn_us, is_soon);
    following->has_block = false;
    server->members.is_streaming = false;
}

/* The state that a block leads to is not the primary's. */
static void diverge(struct server *server, const struct wal_block *block, const uint8_t *image)
{
    struct following *following = &server->following;
    char name[DISK_NAME_SIZE];
    char text[SERVER_ERROR_SIZE];
    snprintf(name, sizeof name, "rejected-%010" PRIu64 "-%020" PRIu64 ".till", block->epoch,
             block->seq_first);
    int result = disk_file_publish(server->disk, name, image, block->block_size);
    snprintf(text, sizeof text,
             "this replica stops, and shows nothing any more: %s. The block is kept as %s%s%s. "
             "Start it again to see whether memory was at fault; if it stops here again, compare "
             "the tills, and keep both data folders",
             following->apply.error, name, result < 0 ? ", which could not be written: " : "",
             result < 0 ? strerror(-result) : "");
    following->is_ack_due = true;
    members_stop(server, text);
}

/* Does the block continue this log? Its epoch may be older than the one sealed here: what is
 * missing from before that comes from a server of the newer epoch, which the follower makes sure
 * of. */
static const char *block_problem(const struct server *server, const struct wal_block *block)
{
    if (block->schema > SCHEMA)
        return "it sends blocks of a newer schema: upgrade this replica";
    if (block->epoch < wal_epoch(server->wal))
        return "it sends blocks of an epoch that is over";
    bool follows = link_block_follows(wal_seq_next(server->wal) - 1, wal_previous(server->wal),
                                      wal_epoch(server->wal), block);
    return follows ? NULL : "it sends a block that does not continue this log";
}

/* Decides and appends the block that has come. False while the log has no room for it. */
static bool block_take(struct server *server)
{
    struct following *following = &server->following;
    const struct wal_block *block = &following->follower.block;
    const uint8_t *image = following->follower.block_bytes;
    const uint8_t *ids = NULL;
    const uint8_t *fields = NULL;
    /* An empty block at the log's end is sent again by who cannot know that it came. */
    following->has_block = block->checksum != wal_previous(server->wal);
    if (!following->has_block)
        return true;
    const char *problem = block_problem(server, block);
    if (problem != NULL) {
        link_drop(server, problem, false);
        return true;
    }
    if (!snapshots_make_room(server))
        return false;
    enum wal_room room = wal_take_room(server->wal, block);
    if (room == WAL_ROOM_FULL) {
        following->is_held = true;
        link_drop(server,
                  "the log's disk has no room for what comes; it goes on when there is some", true);
        return true;
    }
    if (room != WAL_ROOM)
        return false;
    following->has_block = false;
    if (!wal_block_unpack(block, image, following->ids_room, following->fields_room, &ids,
                          &fields)) {
        link_drop(server, "it sends a block that does not unpack", false);
        return true;
    }
    if (!apply_block(&following->apply, following->decoder, block, ids, fields)) {
        diverge(server, block, image);
        return true;
    }
    wal_take(server->wal, block, image);
    members_shown(server);
    return true;
}

static void answer_take(struct server *server)
{
    struct following *following = &server->following;
    const struct replica_join_reply_body *answer = &following->follower.answer;
    struct link_self self;
    char text[LINK_ERROR_SIZE];
    if (answer->answer != join_answer_REFUSED && !members_adopt(server, answer->shop)) {
        link_drop(server, "shop.till cannot be written", false);
        return;
    }
    switch (answer->answer) {
    case join_answer_STREAM:
        snprintf(text, sizeof text, "following %.100s", server->members.shop.primary.bytes);
        server_notice(server, text);
        following->said[0] = '\0';
        server->members.is_streaming = true;
        server->members.is_syncing = false;
        members_joined(server);
        return;
    case join_answer_SNAPSHOT:
        snprintf(text, sizeof text,
                 "fetching a snapshot of %.100s, to start again from it: this folder is empty, or "
                 "too far behind",
                 server->members.shop.primary.bytes);
        say(server, text);
        server->members.is_syncing = true;
        following->fetches = true;
        link_drop(server, "", false);
        return;
    case join_answer_FORK:
        link_drop(server, "its history parted from this one: going back to where they part", true);
        members_self(server, &self);
        members_go_back(server, link_fork_seq(&self, answer));
        return;
    default:
        snprintf(text, sizeof text, "%.*s", (int)sizeof answer->reason, answer->reason.bytes);
        link_drop(server, text, false);
        return;
    }
}

/* Handles what has come on the link, until a block has to wait. */
static void link_input(struct server *server)
{
    struct following *following = &server->following;
    struct upstream *link = &following->link;
    struct link_self self;
    while (link->state == UPSTREAM_OPEN && !server->is_restarting) {
        if (!members_is_replica(server))
            return;
        /* What has diverged takes no more blocks; the link stays, so that the primary can tell. */
        if (server->members.role == MEMBER_DIVERGED)
            following->has_block = false;
        if (following->has_block) {
            if (!block_take(server))
                return;
            continue;
        }
        /* The answer to what is being sent may come before the news that it was sent. */
        if (link->sending && following->follower.state != FOLLOWER_STREAMING)
            return;
        const uint8_t *bytes = link->input.bytes;
        size_t size = link->input.size;
        members_self(server, &self);
        enum follower_event event =
            follower_next(&following->follower, &self, &bytes, &size, server->turn_us);
        link->input.bytes += link->input.size - size;
        link->input.size = (uint32_t)size;
        switch (event) {
        case FOLLOWER_NOTHING:
            return;
        case FOLLOWER_SEND:
            upstream_send(server, link, following->follower.out, following->follower.out_size);
            break;
        case FOLLOWER_ANSWER:
            answer_take(server);
            break;
        case FOLLOWER_BLOCK:
            following->has_block = true;
            break;
        case FOLLOWER_BEAT:
            members_beat(server, &following->follower.beat);
            following->is_ack_due = true;
            break;
        case FOLLOWER_WRONG:
            link_drop(server, following->follower.error, false);
            break;
        }
    }
}

/* What this replica has, when it has changed or a beat asks. Nothing is acknowledged to a server
 * whose epoch is older than the one sealed here. */
static void acknowledge(struct server *server)
{
    struct following *following = &server->following;
    const struct members *members = &server->members;
    uint64_t seq_durable =
        plant(PLANT_ACK_EARLY) ? engine_seq(server->engine) : wal_seq_durable(server->wal);
    if (following->follower.state != FOLLOWER_STREAMING || following->link.sending ||
        following->link.state != UPSTREAM_OPEN ||
        (seq_durable == following->acked_seq && !following->is_ack_due))
        return;
    const struct replica_ack_body ack = {
        .seq_durable = seq_durable,
        .seq_applied = engine_seq(server->engine),
        .epoch_sealed = plant(PLANT_EPOCH_UNCHECKED) ? 0 : members->shop.epoch_sealed,
        .state = members->role == MEMBER_DIVERGED ? member_state_DIVERGED : member_state_STREAMING,
    };
    follower_ack(&following->follower, &ack);
    following->acked_seq = seq_durable;
    following->is_ack_due = false;
    upstream_send(server, &following->link, following->follower.out, following->follower.out_size);
}

static void link_event(struct server *server, const struct io_event *event)
{
    struct following *following = &server->following;
    struct link_self self;
    const char *why = "";
    if (upstream_event(server, &following->link, event, &why)) {
        link_drop(server, why, false);
        return;
    }
    if (event->kind == IO_CONNECTED && following->link.state == UPSTREAM_OPEN) {
        members_self(server, &self);
        follower_connected(&following->follower, &self, server->turn_us);
        upstream_send(server, &following->link, following->follower.out,
                      following->follower.out_size);
    }
}

/* Is all that is in the log durable? */
static bool is_settled(const struct server *server)
{
    return wal_block_last(server->wal) == wal_block_durable(server->wal);
}

static bool may_connect(const struct server *server)
{
    const struct following *following = &server->following;
    return is_settled(server) && !following->is_held && following->link.state == UPSTREAM_NONE &&
           !following->fetches && server->members.role == MEMBER_FOLLOWING;
}

static void link_turn(struct server *server)
{
    struct following *following = &server->following;
    struct follower *follower = &following->follower;
    bool is_sealed =
        server->members.shop.epoch_sealed > following->link_epoch && !plant(PLANT_EPOCH_UNCHECKED);
    if (follower->state != FOLLOWER_RESTING && server->members.is_moved)
        link_drop(server, "", true);
    else if (follower->state != FOLLOWER_RESTING && is_sealed)
        link_drop(server, "a newer epoch was sealed here, of which it has to know first", false);
    else if (follower_is_silent(follower, server->turn_us))
        link_drop(server, "nothing came from it", false);
    server->members.is_moved = false;
    following->is_held = following->is_held && wal_is_full(server->wal);
    /* What was decided here as a primary becomes durable before anything is followed. Then the
     * state is made anew from the log: queries were answered at this machine's time, which may be
     * ahead of the log's, and the new primary's blocks have to be decided at theirs. One that
     * diverged has decided a block that is not in its log. */
    if (is_settled(server) && server->members.is_stale) {
        server->is_restarting = true;
        return;
    }
    if (may_connect(server) && follower_turn(follower, server->turn_us)) {
        following->link_epoch = server->members.shop.epoch_sealed;
        upstream_connect(server, &following->link);
    }
    link_input(server);
    acknowledge(server);
    if (!following->has_block)
        upstream_receive(server, &following->link);
}

/* Fetching a snapshot. */

static void show_fetching(struct server *server, uint64_t bytes_done, uint64_t bytes_total)
{
    server->members.sync_done = bytes_done;
    server->members.sync_bytes = bytes_total;
    if (server->options.fetching != NULL)
        server->options.fetching(server->options.context, bytes_done, bytes_total);
}

static void fetch_end(struct server *server, const char *why)
{
    struct following *following = &server->following;
    char text[LINK_ERROR_SIZE + 160];
    if (why[0] != '\0') {
        snprintf(text, sizeof text, "fetching a snapshot from %s: %s",
                 server->members.shop.primary.bytes, why);
        say(server, text);
    }
    upstream_close(server, &following->fetching);
    if (following->fetch.state != FETCH_RESTING)
        fetch_drop(&following->fetch, server->turn_us);
}

/* No snapshot is wanted (any more) from the server that is followed; what came of one stays. */
static void sync_end(struct server *server)
{
    server->following.fetches = false;
    server->members.is_syncing = false;
    fetch_end(server, "");
}

/* Checks some more of the file that came: it may be damaged on the other server's disk, or on the
 * way. Published, it would stand in the place of the log that this server has. */
static int image_check(struct fetch_job *job)
{
    struct image_reader *reader = &job->reader;
    enum image_read read = IMAGE_READ_CHUNK;
    if (!job->is_checking) {
        char partial[DISK_NAME_SIZE];
        snprintf(partial, sizeof partial, "%.40s" DISK_PARTIAL, job->name);
        read = image_reader_open(reader, job->disk, partial, job->seq);
        job->is_checking = true;
    }
    for (int i = 0; i < CHECK_CHUNKS && read == IMAGE_READ_CHUNK; i++)
        read = image_reader_next(reader);
    if (read == IMAGE_READ_CHUNK)
        return 0;
    job->is_whole = read == IMAGE_READ_END;
    job->is_checking = false;
    image_reader_close(reader);
    return job->is_whole ? 0 : read == IMAGE_READ_ERROR ? -EIO : -EBADMSG;
}

/* In the lane: opens the partial file, writes a piece, checks the whole, or publishes. */
static int fetch_work(void *context)
{
    struct fetch_job *job = context;
    uint64_t size = 0;
    int result = 0;
    switch (job->step) {
    case FETCH_JOB_OPEN:
        result = disk_partial_resume(job->disk, job->name, &size);
        if (result >= 0 && job->offset == 0 && size > 0) {
            disk_file_close(job->disk, result);
            result = disk_partial_discard(job->disk, job->name);
            if (result == 0)
                result = disk_partial_create(job->disk, job->name);
        }
        job->file = result;
        return result < 0 ? result : 0;
    case FETCH_JOB_WRITE:
        return disk_file_write(job->disk, job->file, job->offset, job->bytes, job->size);
    case FETCH_JOB_CHECK:
        return image_check(job);
    case FETCH_JOB_PUBLISH:
        result = disk_partial_publish(job->disk, job->file, job->name, job->name);
        disk_file_close(job->disk, job->file);
        job->file = -1;
        return result;
    }
    return -EINVAL;
}

static void fetch_work_start(struct server *server, enum fetch_job_step step)
{
    struct following *following = &server->following;
    following->job.step = step;
    following->is_working = true;
    io_work(server->io, IO_LANE_FOLLOW, fetch_work, &following->job,
            user_of(USER_FOLLOW_WORK, 0, 0));
}

/* Where the pieces go: on with the file that was begun, or a new one. */
static void fetch_answer_take(struct server *server)
{
    struct following *following = &server->following;
    const struct replica_fetch_reply_body *answer = &following->fetch.answer;
    struct fetch_job *job = &following->job;
    if (answer->seq == 0) {
        fetch_end(server, "it has no snapshot yet, and was asked to take one");
        return;
    }
    /* A snapshot of the very state that is here is taken: the sender's log begins behind it, and
     * does not know which block comes before. Begun with that snapshot, this log need not know
     * either. */
    if (answer->seq < engine_seq(server->engine)) {
        following->fetches = false;
        fetch_end(server, "");
        return;
    }
    show_fetching(server, answer->offset, answer->size);
    if (job->file >= 0 && job->seq == answer->seq && answer->offset == job->written)
        return;
    if (job->file >= 0)
        disk_file_close(server->disk, job->file);
    if (job->file >= 0 && job->seq != answer->seq)
        disk_partial_discard(server->disk, job->name);
    job->file = -1;
    job->seq = answer->seq;
    job->offset = job->written = answer->offset;
    image_name(answer->seq, job->name);
    fetch_work_start(server, FETCH_JOB_OPEN);
}

/* The disk has failed, or what came is damaged: it is fetched anew, after a pause. */
static void fetch_failed(struct server *server, int result)
{
    struct following *following = &server->following;
    struct fetch_job *job = &following->job;
    char text[LINK_ERROR_SIZE + IMAGE_ERROR_SIZE];
    if (job->step == FETCH_JOB_CHECK)
        snprintf(text, sizeof text,
                 "what came cannot be used: %s. It is fetched again; if that does not help, take "
                 "another one there with till snapshot",
                 job->reader.error);
    else
        snprintf(text, sizeof text, "%s/%s cannot be written: %s", disk_path(server->disk),
                 job->name, strerror(-result));
    if (disk_is_full(result) && job->step == FETCH_JOB_WRITE) {
        /* What was fetched stays, and a piece is asked for now and then until there is room. */
        fetch_end(server, text);
        fetch_resume(&following->fetch, job->seq, following->fetch.checksum, job->written);
        return;
    }
    if (job->file >= 0)
        disk_file_close(server->disk, job->file);
    if (job->step == FETCH_JOB_CHECK)
        (void)disk_partial_discard(server->disk, job->name);
    job->file = -1;
    job->written = 0;
    fetch_end(server, text);
    fetch_begin_anew(&following->fetch);
}

/* The server starts from what its folder has now: the snapshot, or else the log. */
static void published(struct server *server, int result)
{
    struct fetch_job *job = &server->following.job;
    char text[LINK_ERROR_SIZE];
    job->file = -1;
    if (result < 0) {
        snprintf(text, sizeof text, "%s/%s cannot be published: %s", disk_path(server->disk),
                 job->name, strerror(-result));
        say(server, text);
    }
    server->is_restarting = !server->is_stopping;
}

static void fetch_worked(struct server *server, int result)
{
    struct following *following = &server->following;
    struct fetch_job *job = &following->job;
    following->is_working = false;
    if (job->step == FETCH_JOB_PUBLISH) {
        published(server, result);
        return;
    }
    if (result < 0) {
        fetch_failed(server, result);
        return;
    }
    if (server->is_stopping)
        return;
    switch (job->step) {
    case FETCH_JOB_OPEN:
        break;
    case FETCH_JOB_WRITE:
        job->written = job->offset + job->size;
        job->is_whole = false;
        show_fetching(server, job->written, following->fetch.answer.size);
        if (job->written >= following->fetch.answer.size)
            fetch_work_start(server, FETCH_JOB_CHECK);
        break;
    case FETCH_JOB_CHECK:
        if (!job->is_whole) {
            fetch_work_start(server, FETCH_JOB_CHECK);
            break;
        }
        following->fetches = false;
        following->is_fetched = true;
        fetch_end(server, "");
        show_fetching(server, 0, 0);
        break;
    case FETCH_JOB_PUBLISH:
        break;
    }
}

static void fetch_input(struct server *server)
{
    struct following *following = &server->following;
    struct upstream *upstream = &following->fetching;
    struct fetch *fetch = &following->fetch;
    struct link_self self;
    while (upstream->state == UPSTREAM_OPEN && !following->is_working && !upstream->sending &&
           !server->is_restarting) {
        const uint8_t *bytes = upstream->input.bytes;
        size_t size = upstream->input.size;
        members_self(server, &self);
        enum fetch_event event = fetch_next(fetch, &self, &bytes, &size, server->turn_us);
        upstream->input.bytes += upstream->input.size - size;
        upstream->input.size = (uint32_t)size;
        switch (event) {
        case FETCH_NOTHING:
            return;
        case FETCH_SEND:
            upstream_send(server, upstream, fetch->out, fetch->out_size);
            break;
        case FETCH_ANSWER:
            fetch_answer_take(server);
            break;
        case FETCH_PIECE:
            following->job.bytes = fetch->piece_bytes;
            following->job.size = fetch->piece_size;
            following->job.offset = fetch->piece_offset;
            fetch_work_start(server, FETCH_JOB_WRITE);
            break;
        case FETCH_WRONG:
            fetch_end(server, fetch->error);
            break;
        }
    }
}

static void fetch_event(struct server *server, const struct io_event *event)
{
    struct following *following = &server->following;
    struct link_self self;
    const char *why = "";
    if (upstream_event(server, &following->fetching, event, &why)) {
        fetch_end(server, why);
        return;
    }
    if (event->kind == IO_CONNECTED && following->fetching.state == UPSTREAM_OPEN) {
        members_self(server, &self);
        fetch_connected(&following->fetch, &self, server->turn_us);
        upstream_send(server, &following->fetching, following->fetch.out,
                      following->fetch.out_size);
    }
}

static void fetch_turn_take(struct server *server)
{
    struct following *following = &server->following;
    struct fetch *fetch = &following->fetch;
    if (!following->fetches || following->is_working)
        return;
    if (fetch->state != FETCH_RESTING && fetch_is_silent(fetch, server->turn_us))
        fetch_end(server, "nothing came");
    if (server->members.sync_begun_us == 0)
        server->members.sync_begun_us = server->turn_us;
    server->members.sync_us = server->turn_us - server->members.sync_begun_us;
    if (following->fetching.state == UPSTREAM_NONE && fetch_turn(fetch, server->turn_us))
        upstream_connect(server, &following->fetching);
    fetch_input(server);
    if (!following->is_working)
        upstream_receive(server, &following->fetching);
}

/* Both. */

void following_event(struct server *server, const struct io_event *event)
{
    struct following *following = &server->following;
    switch (user_kind(event->user)) {
    case USER_FOLLOW_LINK:
        if ((uint16_t)(event->user >> 32) == following->link.generation)
            link_event(server, event);
        break;
    case USER_FOLLOW_FETCH:
        if ((uint16_t)(event->user >> 32) == following->fetching.generation)
            fetch_event(server, event);
        break;
    default:
        fetch_worked(server, event->result);
        break;
    }
}

/* Has the next start take the snapshot that was fetched, if it is there then, and publishes it:
 * tried again while shop.till cannot be written. In this order, because a folder with a snapshot
 * that its log does not reach is one that has lost its log's end, unless shop.till says otherwise.
 */
static void start_over(struct server *server)
{
    struct following *following = &server->following;
    link_drop(server, "", false);
    if (following->is_working)
        return;
    if (following->tried_us != 0 && server->turn_us - following->tried_us < START_OVER_US)
        return;
    following->tried_us = server->turn_us;
    if (members_start_over(server, following->job.seq))
        fetch_work_start(server, FETCH_JOB_PUBLISH);
}

void following_turn(struct server *server)
{
    struct following *following = &server->following;
    if (server->is_restarting || server->is_stopping)
        return;
    if (following->is_fetched) {
        start_over(server);
        return;
    }
    if (!members_is_replica(server)) {
        if (following->link.state != UPSTREAM_NONE || following->fetches) {
            link_drop(server, "", true);
            sync_end(server);
        }
        return;
    }
    if (server->members.is_moved && following->fetches)
        sync_end(server);
    link_turn(server);
    fetch_turn_take(server);
}

uint64_t following_wait_us(const struct server *server)
{
    const struct following *following = &server->following;
    if (!members_is_replica(server) || server->is_stopping)
        return UINT64_MAX;
    if (following->is_fetched)
        return clock_left_us(server->turn_us, following->tried_us, START_OVER_US);
    if (server->members.is_moved)
        return 0;
    if (following->fetches)
        return fetch_wait_us(&following->fetch, server->turn_us);
    /* At rest, it is not time that ends the wait while there is another reason for it. */
    bool is_resting = following->follower.state == FOLLOWER_RESTING;
    return is_resting && !may_connect(server)
               ? UINT64_MAX
               : follower_wait_us(&following->follower, server->turn_us);
}

bool following_open(struct server *server)
{
    struct following *following = &server->following;
    following->link.kind = USER_FOLLOW_LINK;
    following->fetching.kind = USER_FOLLOW_FETCH;
    following->job = (struct fetch_job){.disk = server->disk, .file = -1};
    following->apply = (struct apply){.engine = server->engine};
    following->ids_room = malloc(WAL_COLUMN_SIZE_MAX);
    following->fields_room = malloc(WAL_COLUMN_SIZE_MAX);
    if (following->ids_room != NULL && following->fields_room != NULL &&
        follower_init(&following->follower, server->turn_us) &&
        fetch_init(&following->fetch, server->turn_us) &&
        (following->decoder = decoder_create()) != NULL)
        return true;
    snprintf(server->error, sizeof server->error, "there is not enough memory to follow");
    return false;
}

void following_close(struct server *server)
{
    struct following *following = &server->following;
    if (following->job.disk == NULL)
        return;
    if (following->job.file >= 0)
        disk_file_close(server->disk, following->job.file);
    if (following->job.is_checking)
        image_reader_close(&following->job.reader);
    free(following->ids_room);
    free(following->fields_room);
    follower_deinit(&following->follower);
    fetch_deinit(&following->fetch);
    decoder_destroy(following->decoder);
}

bool following_stop(struct server *server)
{
    struct following *following = &server->following;
    upstream_close(server, &following->link);
    upstream_close(server, &following->fetching);
    return following->link.state == UPSTREAM_NONE && following->fetching.state == UPSTREAM_NONE &&
           !following->is_working;
}
