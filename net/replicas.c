/* The links: sending the log and snapshots to the replicas that follow this server, and what their
 * acknowledgements allow.
 *
 * Good path: a join is judged (supplier_judge), its place in the log is found in the ring or, in
 * the lane LINK, in the files, and answered. Then, whenever a link's last send is done, its buffer
 * is filled again: with blocks from the ring, or, while the link is behind it, from the files; with
 * a beat when it is time. A link that fetches gets the snapshot's file piece by piece.
 *
 * What it costs the loop: one copy of each durable block into the ring, while there are links, and
 * one out of it for each link that is near the log's end. Files are read in the lane, one job at a
 * time, the links taking turns.
 *
 * What can fail: a file that cannot be read, a place that is gone: the link is closed, the replica
 * joins again, and gets another answer. Nothing here can keep the server from deciding; only the
 * count of acknowledgements can, where --acks asks for them.
 *
 * What must hold: only durable blocks are sent. A link's buffer belongs to the job that reads for
 * it, to the send that is under way, or to the loop. */
#include "net/replicas.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "net/admin.h"
#include "net/members.h"
#include "net/plant.h"
#include "net/server_state.h"
#include "snapshot/image.h"

enum {
    STOP_WAIT_US = 1000000, /* a stopping server waits so long for links that are behind */
};

static struct link *link_of(struct server *server, uint32_t session)
{
    uint32_t number = session_at(server, session)->link;
    TILL_ASSERT(number > 0 && number <= REPLICAS_MAX);
    return &server->replicas.links[number - 1];
}

/* The log's durable blocks. */

static void block_durable(void *context, const struct wal_block *block, const uint8_t *image)
{
    struct server *server = context;
    struct replicas *replicas = &server->replicas;
    replicas->epoch = block->epoch;
    replicas->checksum = block->checksum;
    replicas->ends_empty = block->command_count == 0;
    if (replicas->link_count > 0)
        wal_ring_add(&replicas->ring, block, image);
    if (server->options.acks == 0 || block->command_count == 0)
        return;
    uint64_t number = wal_block_durable(server->wal);
    replicas->seq_last[number % SESSION_MARKS] = wal_seq_durable(server->wal);
    replicas->block_marked = number;
}

/* The ring begins anew with the first link, at the end of the log; what comes before it is read
 * from the files. */
static void ring_begin(struct server *server)
{
    struct replicas *replicas = &server->replicas;
    wal_ring_clear(&replicas->ring);
    wal_ring_begin(&replicas->ring, wal_seq_durable(server->wal), replicas->checksum);
}

/* Acknowledgements. */

static bool link_follows(const struct server *server, const struct link *link)
{
    return link->session != 0 && link->kind == LINK_STREAMS &&
           link->supplier.state == SUPPLIER_STREAMING && !link->supplier.is_diverged &&
           !supplier_is_silent(&link->supplier, server->turn_us);
}

/* Two links of one member. One that lost its disk joins with a new id, perhaps before it is known
 * here that its earlier link is dead: then the names tell. */
static bool is_same_member(const struct supplier *one, const struct supplier *other)
{
    bool has_name = one->name.bytes[0] != '\0';
    return id_equal(one->member, other->member) ||
           (has_name && memcmp(&one->name, &other->name, sizeof one->name) == 0);
}

/* A member counts once, however many links it has. */
static bool is_counted(const struct server *server, uint32_t index)
{
    const struct link *links = server->replicas.links;
    for (uint32_t i = 0; i < index; i++) {
        if (link_follows(server, &links[i]) &&
            is_same_member(&links[i].supplier, &links[index].supplier))
            return true;
    }
    return false;
}

static uint32_t count_following(const struct server *server)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++)
        count += link_follows(server, &server->replicas.links[i]) && !is_counted(server, i);
    return count;
}

/* The K-th highest seq that replicas have made durable; 0: fewer follow. */
static uint64_t seq_acknowledged(const struct server *server)
{
    uint64_t seqs[REPLICAS_MAX] = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        const struct link *link = &server->replicas.links[i];
        if (!link_follows(server, link) || is_counted(server, i))
            continue;
        uint32_t at = count++;
        for (; at > 0 && seqs[at - 1] < link->supplier.seq_durable; at--)
            seqs[at] = seqs[at - 1];
        seqs[at] = link->supplier.seq_durable;
        if (plant(PLANT_COUNTED_TWICE) && count < REPLICAS_MAX)
            seqs[count++] = seqs[at];
    }
    return count >= server->options.acks ? seqs[server->options.acks - 1] : 0;
}

static bool awaits_acks(const struct server *server)
{
    return server->options.acks > 0 && !members_is_replica(server);
}

/* Called when an acknowledgement came: what was acknowledged once stays so. */
static void acknowledge(struct server *server)
{
    struct replicas *replicas = &server->replicas;
    if (!awaits_acks(server))
        return;
    uint64_t seq = seq_acknowledged(server);
    if (seq > replicas->seq_acknowledged)
        replicas->seq_acknowledged = seq;
}

uint64_t replicas_block_released(const struct server *server)
{
    const struct replicas *replicas = &server->replicas;
    uint64_t block = server->block_released;
    if (plant(PLANT_SHOWN_EARLY))
        return wal_block_last(server->wal);
    /* Behind a fence no reply waits: all who waited were closed. Blocks that will never be
     * acknowledged must not count against those that a new epoch may have in flight. */
    if (!awaits_acks(server) || server->members.role == MEMBER_FENCED ||
        plant(PLANT_ANSWERED_EARLY))
        return wal_block_durable(server->wal);
    while (block < replicas->block_marked &&
           replicas->seq_last[(block + 1) % SESSION_MARKS] <= replicas->seq_acknowledged)
        block++;
    return block;
}

uint64_t replicas_seq_released(const struct server *server)
{
    uint64_t seq = wal_seq_durable(server->wal);
    uint64_t acknowledged = server->replicas.seq_acknowledged;
    return awaits_acks(server) && acknowledged < seq ? acknowledged : seq;
}

uint64_t replicas_seq_needed(const struct server *server)
{
    uint64_t least = 0;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        const struct link *link = &server->replicas.links[i];
        uint64_t seq = link->kind == LINK_FETCHES ? link->fetch.seq : link->supplier.seq_sent;
        /* What the other side says that it has may be anything, until it was found here. */
        if (link->session != 0 && seq <= wal_seq_durable(server->wal) &&
            (least == 0 || seq + 1 < least))
            least = seq + 1;
    }
    return least;
}

/* The beginning and the end of a link. */

/* A replica needs a snapshot that shows this change. */
static void snapshot_want(struct server *server, uint64_t seq)
{
    if (server->snapshots.seq_wanted < seq)
        server->snapshots.seq_wanted = seq;
}

bool replicas_open(struct server *server)
{
    struct replicas *replicas = &server->replicas;
    if (!wal_ring_init(&replicas->ring, REPLICAS_RING_SIZE)) {
        snprintf(server->error, sizeof server->error, "there is not enough memory for replicas");
        return false;
    }
    replicas->checksum = wal_previous(server->wal);
    /* A log may have no change, but an empty block to which the next one will be chained. */
    bool has_block = wal_seq_durable(server->wal) > 0 || replicas->checksum != 0;
    replicas->epoch = has_block ? wal_epoch(server->wal) : 0;
    replicas->seq_acknowledged = 0;
    replicas->block_marked = wal_block_durable(server->wal);
    wal_watch(server->wal, block_durable, server);
    return true;
}

static void link_release(struct link *link)
{
    if (link->fetch.file >= 0)
        disk_file_close(link->disk, link->fetch.file);
    if (link->has_cursor)
        wal_cursor_deinit(&link->cursor);
    free(link->out);
    *link = (struct link){.fetch = {.file = -1}};
}

void replicas_close(struct server *server)
{
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        if (server->replicas.links[i].out != NULL)
            link_release(&server->replicas.links[i]);
    }
    wal_ring_deinit(&server->replicas.ring);
}

/* A free place; 0: there is none. */
static uint32_t link_take(struct server *server, uint32_t session, enum link_kind kind)
{
    struct replicas *replicas = &server->replicas;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        struct link *link = &replicas->links[i];
        if (link->session != 0 || link->is_reading)
            continue;
        uint8_t *out = malloc(LINK_OUT_SIZE);
        if (out == NULL)
            return 0;
        *link = (struct link){.session = session,
                              .kind = kind,
                              .disk = server->disk,
                              .since_us = server->turn_us,
                              .out = out,
                              .fetch = {.file = -1}};
        if (replicas->link_count++ == 0)
            ring_begin(server);
        session_at(server, session)->link = (uint16_t)(i + 1);
        return i + 1;
    }
    return 0;
}

void links_closed(struct server *server, uint32_t session)
{
    struct link *link = link_of(server, session);
    session_at(server, session)->link = 0;
    server->replicas.link_count--;
    link->session = 0;
    if (!link->is_reading)
        link_release(link);
}

static void link_end(struct server *server, struct link *link, const char *why)
{
    char text[LINK_ERROR_SIZE + 80];
    if (why[0] != '\0') {
        struct text name = {{0}};
        memcpy(name.bytes, link->supplier.name.bytes, sizeof link->supplier.name.bytes);
        link_text_settle(&name);
        snprintf(text, sizeof text, "the link to the replica %.32s is closed: %s", name.bytes, why);
        server_notice(server, text);
    }
    link->is_ending = true;
    if (session_at(server, link->session)->state != SESSION_CLOSING)
        session_close(server, link->session);
}

/* A member that joins again has lost its earlier link, whether that is known here or not. One that
 * joins from another address may be a copy: then the two take the link from each other, and nothing
 * else would say why. */
static void end_earlier(struct server *server, const struct link *newer)
{
    const struct supplier *now = &newer->supplier;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        struct link *link = &server->replicas.links[i];
        if (link != newer && link->session != 0 && link->kind == LINK_STREAMS && !link->is_ending &&
            id_equal(link->supplier.member, now->member))
            link_end(server, link,
                     strcmp(link->supplier.address.bytes, now->address.bytes) == 0
                         ? ""
                         : "the same member has joined from another address; if one of the two "
                           "runs on a copy of the other's data folder, start it with an empty one");
    }
}

static void answer(struct link *link)
{
    link->out_size = supplier_answer(&link->supplier, &link->reply, link->out);
    link->out_sent = 0;
}

static void judge(struct server *server, struct link *link, const struct replica_join_body *join,
                  const struct capacity_body *capacities)
{
    struct link_self self;
    bool fences = false;
    members_self(server, &self);
    unsigned verdict = supplier_judge(&self, join, capacities, &link->reply, &fences);
    if (fences)
        members_meet(server, join->shop,
                     join->epoch > join->epoch_sealed ? join->epoch : join->epoch_sealed);
    else if (verdict != join_answer_REFUSED)
        members_heard(server, join->member, join->epoch_sealed);
    if (verdict == join_answer_STREAM)
        return;
    if (verdict == join_answer_SNAPSHOT)
        snapshot_want(server, join->seq + 1);
    answer(link);
}

static void fetch_begin(struct server *server, struct link *link,
                        const struct replica_fetch_body *body)
{
    struct link_self self;
    members_self(server, &self);
    link->fetch.seq = body->seq;
    link->fetch.offset = body->offset;
    link->fetch.checksum = body->checksum;
    link->fetch.seq_newest = self.snapshot_seq;
    if (self.snapshot_seq == 0)
        snapshot_want(server, 1);
    if (!id_equal(body->shop, self.shop))
        link->fetch.seq = link->fetch.seq_newest = 0;
}

bool links_begin(struct server *server, uint32_t session, const struct request *request)
{
    bool joins = request->frame->type == MESSAGE_replica_join;
    if (!joins && request->frame->type != MESSAGE_replica_fetch)
        return false;
    uint32_t number = link_take(server, session, joins ? LINK_STREAMS : LINK_FETCHES);
    if (number == 0)
        return false;
    struct link *link = &server->replicas.links[number - 1];
    link->supplier.request = request->frame->request;
    if (!joins) {
        fetch_begin(server, link, request->body);
        return true;
    }
    const struct replica_join_body *join = request->body;
    supplier_init(&link->supplier, join, request->frame->request, server->turn_us);
    end_earlier(server, link);
    judge(server, link, join, (const struct capacity_body *)(join + 1));
    return true;
}

void links_received(struct server *server, uint32_t session, uint8_t *bytes, uint32_t size)
{
    struct link *link = link_of(server, session);
    while (size > 0 && !link->is_ending) {
        uint32_t wanted = sizeof(struct frame);
        struct frame *frame = (struct frame *)link->in;
        if (link->in_size >= sizeof *frame)
            wanted = frame->size;
        uint32_t part = wanted - link->in_size < size ? wanted - link->in_size : size;
        memcpy(link->in + link->in_size, bytes, part);
        link->in_size += part;
        bytes += part;
        size -= part;
        if (link->in_size == sizeof *frame &&
            (frame->size <= sizeof *frame || frame->size > LINK_IN_SIZE)) {
            link_end(server, link, "it sent a frame that is no acknowledgement");
            return;
        }
        if (link->in_size < sizeof *frame || link->in_size < frame->size)
            continue;
        link->in_size = 0;
        if (link->kind == LINK_FETCHES ||
            !supplier_receive(&link->supplier, frame, server->turn_us)) {
            link_end(server, link, link->supplier.error);
            return;
        }
        if (link->supplier.epoch_sealed > wal_epoch(server->wal))
            members_meet(server, server->members.shop.shop, link->supplier.epoch_sealed);
        acknowledge(server);
    }
}

/* What is sent may be of the session's output still, from before it became a link. */
void links_sent(struct server *server, uint32_t session, int32_t result)
{
    struct link *link = link_of(server, session);
    if (!link->is_sending) {
        session_sent(server, session, result);
        return;
    }
    link->is_sending = false;
    session_at(server, session)->sending = false;
    /* Who fetches may hang up when it likes, and says why itself. */
    if (result < 0 && !link->is_ending)
        link_end(server, link, link->kind == LINK_FETCHES ? "" : strerror(-result));
    if (result < 0)
        return;
    server->counts.sent_bytes += (uint32_t)result;
    link->out_sent += (uint32_t)result;
}

/* Jobs in the lane. */

/* The place is looked for, or blocks are read behind it. */
static int read_log(struct link *link)
{
    struct link_job *job = &link->job;
    size_t size = 0;
    enum wal_cursor_result result = WAL_CURSOR_READY;
    if (!link->has_place)
        result =
            wal_cursor_seek(&link->cursor, link->supplier.seq_sent, link->supplier.checksum_sent);
    link->has_place = result == WAL_CURSOR_READY;
    if (result == WAL_CURSOR_READY && !job->is_seek)
        result = wal_cursor_read(&link->cursor, job->seq_max, LINK_BLOCK_GAP, link->out,
                                 LINK_OUT_SIZE, &size);
    if (result != WAL_CURSOR_READY)
        link->has_place = false;
    job->found = result;
    job->size = size;
    return 0;
}

/* The size of a file, by its name in the listing of its folder; 0: it has none of that name. */
static uint64_t file_size(struct disk *disk, const char *name)
{
    struct disk_entry *entries = NULL;
    int count = disk_list_all(disk, &entries);
    uint64_t size = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i].name, name) == 0)
            size = entries[i].size_bytes;
    }
    free(entries);
    return size;
}

/* Can the file that was asked for go on where the replica's part of it ends? */
static bool goes_on(const struct link_fetch *fetch, uint64_t checksum)
{
    return fetch->offset == 0 || (fetch->checksum == checksum && fetch->offset <= fetch->size &&
                                  fetch->offset % WAL_ALIGN == 0);
}

/* Opens the snapshot that is asked for, or else the newest one. */
static int fetch_open(struct link *link)
{
    struct link_fetch *fetch = &link->fetch;
    uint64_t seqs[] = {fetch->seq, fetch->seq_newest};
    uint8_t *header = link->out;
    for (unsigned i = 0; i < 2 && fetch->file < 0; i++) {
        char name[DISK_NAME_SIZE];
        struct image_fixed fixed;
        if (seqs[i] == 0)
            continue;
        image_name(seqs[i], name);
        int file = disk_file_open(link->disk, name, false);
        if (file < 0)
            continue;
        int64_t size = disk_file_read(link->disk, file, 0, header, IMAGE_HEADER_SIZE);
        memcpy(&fixed, header, sizeof fixed);
        fetch->size = file_size(link->disk, name);
        if (size != IMAGE_HEADER_SIZE || fetch->size < IMAGE_HEADER_SIZE ||
            (i == 0 && !goes_on(fetch, fixed.checksum))) {
            disk_file_close(link->disk, file);
            continue;
        }
        if (i == 1)
            fetch->offset = 0;
        fetch->file = file;
        fetch->seq = seqs[i];
        fetch->checksum = fixed.checksum;
    }
    return 0;
}

static int fetch_read(struct link *link)
{
    struct link_fetch *fetch = &link->fetch;
    if (!fetch->is_opened)
        return fetch_open(link);
    uint64_t left = fetch->size - fetch->offset;
    size_t wanted = left < LINK_PIECE_MAX ? (size_t)left : LINK_PIECE_MAX;
    int64_t size =
        disk_file_read(link->disk, fetch->file, fetch->offset, link->out + LINK_PIECE_GAP, wanted);
    link->job.size = wanted;
    return size < 0 ? (int)size : size == (int64_t)wanted ? 0 : -EIO;
}

static int job_run(void *context)
{
    struct link *link = context;
    return link->kind == LINK_FETCHES ? fetch_read(link) : read_log(link);
}

/* Starts the job that a link waits for, if the lane is free. */
static void job_start(struct server *server, struct link *link)
{
    struct replicas *replicas = &server->replicas;
    if (replicas->reading != NULL)
        return;
    if (link->kind == LINK_STREAMS && !link->has_cursor) {
        link->has_cursor = wal_cursor_init(&link->cursor, server->disk, server->options.archive);
        if (!link->has_cursor) {
            link_end(server, link, "there is not enough memory for it");
            return;
        }
    }
    link->job.seq_max = wal_seq_durable(server->wal);
    link->job.is_seek = link->supplier.state == SUPPLIER_JOINING;
    link->job.size = 0;
    link->is_reading = true;
    replicas->reading = link;
    io_work(server->io, IO_LANE_LINK, job_run, link, user_of(USER_LINK_WORK, 0, 0));
}

/* The replica's last block is another one than the log has there: by force, two were primary in one
 * epoch. While that is the last epoch here, nobody has decided which of the two histories counts;
 * a newer epoch has. */
static void answer_other(const struct server *server, struct link *link)
{
    struct replica_join_reply_body *reply = &link->reply;
    if (link->supplier.epoch_joined < server->replicas.epoch) {
        reply->answer = join_answer_FORK;
        reply->fork_epoch = reply->fork_seq = 0;
        return;
    }
    reply->answer = join_answer_REFUSED;
    snprintf(reply->reason.bytes, sizeof reply->reason.bytes,
             "this log has another block there, of the same epoch: two were primary in it. Promote "
             "one");
}

static void stream_read(struct server *server, struct link *link)
{
    struct supplier *supplier = &link->supplier;
    const struct link_job *job = &link->job;
    if (job->size > 0)
        supplier_frame(supplier, link->out, job->size);
    link->out_size = (uint32_t)job->size;
    link->out_sent = 0;
    if (job->found == WAL_CURSOR_READY && supplier->state == SUPPLIER_STREAMING)
        return;
    if (job->found == WAL_CURSOR_ERROR) {
        link_end(server, link, link->cursor.error);
        return;
    }
    if (job->found == WAL_CURSOR_GONE)
        snapshot_want(server, supplier->seq_sent + 1);
    if (supplier->state == SUPPLIER_STREAMING) {
        supplier_lost(supplier);
        link_end(server, link, supplier->error);
        return;
    }
    if (job->found == WAL_CURSOR_READY)
        link->reply.answer = join_answer_STREAM;
    else if (job->found == WAL_CURSOR_GONE)
        link->reply.answer = join_answer_SNAPSHOT;
    else
        answer_other(server, link);
    answer(link);
}

static void fetch_answer(struct link *link)
{
    struct link_fetch *fetch = &link->fetch;
    const struct replica_fetch_reply_body body = {
        .seq = fetch->file >= 0 ? fetch->seq : 0,
        .offset = fetch->offset,
        .size = fetch->size,
        .checksum = fetch->checksum,
    };
    fetch->is_opened = true;
    link->out_size = link_frame(link->out, MESSAGE_replica_fetch | FRAME_REPLY, &body, sizeof body);
    ((struct frame *)link->out)->request = link->supplier.request;
    link->out_sent = 0;
}

static void fetch_piece(struct link *link)
{
    struct link_fetch *fetch = &link->fetch;
    uint32_t size = (uint32_t)link->job.size;
    link_piece_frame(link->out, size, fetch->offset);
    fetch->offset += size;
    link->out_size = LINK_PIECE_GAP + size;
    link->out_sent = 0;
    fetch->is_done = fetch->offset >= fetch->size;
}

void replicas_event(struct server *server, const struct io_event *event)
{
    struct link *link = server->replicas.reading;
    server->replicas.reading = NULL;
    link->is_reading = false;
    if (link->session == 0) {
        link_release(link);
        return;
    }
    if (link->is_ending)
        return;
    if (event->result < 0) {
        link_end(server, link, strerror(-event->result));
        return;
    }
    if (link->kind == LINK_STREAMS)
        stream_read(server, link);
    else if (!link->fetch.is_opened)
        fetch_answer(link);
    else
        fetch_piece(link);
}

bool replicas_await_event(const struct server *server)
{
    return server->replicas.reading != NULL;
}

/* Sending. */

/* Fills the buffer from the ring, if the link's place is in it. */
static void fill_from_ring(struct server *server, struct link *link)
{
    struct supplier *supplier = &link->supplier;
    struct wal_ring *ring = &server->replicas.ring;
    size_t size = 0;
    if (!link->is_in_ring) {
        link->is_in_ring = wal_ring_find(ring, supplier->seq_sent, supplier->checksum_sent,
                                         &link->ring_number) == WAL_RING_FOUND;
        /* Once it moves on in the ring, the cursor stays behind. */
        if (link->is_in_ring)
            link->has_place = false;
    }
    if (link->is_in_ring && wal_ring_read(ring, &link->ring_number, LINK_BLOCK_GAP, link->out,
                                          LINK_OUT_SIZE, &size) != WAL_RING_FOUND)
        link->is_in_ring = false;
    if (size == 0)
        return;
    supplier_frame(supplier, link->out, size);
    link->out_size = (uint32_t)size;
    link->out_sent = 0;
}

static void fill_stream(struct server *server, struct link *link)
{
    struct supplier *supplier = &link->supplier;
    if (supplier->state == SUPPLIER_JOINING) {
        uint64_t number = 0;
        if (wal_ring_find(&server->replicas.ring, supplier->seq_sent, supplier->checksum_sent,
                          &number) == WAL_RING_FOUND) {
            link->reply.answer = join_answer_STREAM;
            answer(link);
        } else {
            job_start(server, link);
        }
        return;
    }
    fill_from_ring(server, link);
    if (!link->is_in_ring && link->out_size == 0)
        job_start(server, link);
}

/* A beat, if one is due; and what is durable here now is noted, for the link's lag. */
static void fill_beat(struct server *server, struct link *link)
{
    struct link_self self;
    if (link->is_reading || link->supplier.state != SUPPLIER_STREAMING ||
        link->out_size + LINK_BEAT_SIZE > LINK_OUT_SIZE)
        return;
    members_self(server, &self);
    link->out_size +=
        supplier_beat(&link->supplier, &self, server->turn_us, link->out + link->out_size);
}

static void fill(struct server *server, struct link *link)
{
    if (link->kind == LINK_FETCHES) {
        job_start(server, link);
        return;
    }
    /* A beat goes by itself where the buffer will be the job's that reads the log. */
    if (!link->is_in_ring)
        fill_beat(server, link);
    if (link->out_size > 0)
        return;
    fill_stream(server, link);
    fill_beat(server, link);
}

static void send(struct server *server, struct link *link)
{
    struct session *session = session_at(server, link->session);
    if (link->out_sent == link->out_size)
        return;
    io_send(server->io, session->fd, session_user(server, link->session),
            link->out + link->out_sent, link->out_size - link->out_sent);
    link->is_sending = true;
    session->sending = true;
    session->since_us = server->turn_us;
}

/* Was all sent that will ever be? Such a link is closed, so that it keeps its place from none. */
static bool is_finished(const struct link *link)
{
    const struct link_fetch *fetch = &link->fetch;
    if (link->kind == LINK_STREAMS)
        return link->supplier.state == SUPPLIER_LEAVING;
    return fetch->is_done || (fetch->is_opened && fetch->file < 0);
}

static void link_turn(struct server *server, struct link *link)
{
    const struct session *session = session_at(server, link->session);
    const struct output *output = &session->output;
    if (link->is_ending || link->is_reading || session->state != SESSION_OPEN)
        return;
    if (link->kind == LINK_STREAMS && supplier_is_silent(&link->supplier, server->turn_us)) {
        link_end(server, link, "nothing has come from it");
        return;
    }
    if (session->sending || output->sent < output->written)
        return;
    if (link->out_sent == link->out_size) {
        link->out_sent = link->out_size = 0;
        if (is_finished(link)) {
            link_end(server, link, "");
            return;
        }
        fill(server, link);
    }
    if (!link->is_reading && !link->is_ending)
        send(server, link);
}

/* The links take turns, so that one that reads files does not keep the lane from the others. */
void replicas_turn(struct server *server)
{
    struct replicas *replicas = &server->replicas;
    replicas->following = 0;
    if (replicas->link_count == 0)
        return;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        struct link *link = &replicas->links[(replicas->turn + i) % REPLICAS_MAX];
        if (link->session != 0)
            link_turn(server, link);
    }
    replicas->turn = (replicas->turn + 1) % REPLICAS_MAX;
    replicas->following = count_following(server);
}

uint64_t replicas_wait_us(const struct server *server)
{
    uint64_t wait_us = UINT64_MAX;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        const struct link *link = &server->replicas.links[i];
        if (link->session == 0 || link->kind != LINK_STREAMS ||
            link->supplier.state != SUPPLIER_STREAMING)
            continue;
        uint64_t link_us = supplier_wait_us(&link->supplier, server->turn_us);
        bool is_busy =
            link->is_reading || session_at((struct server *)server, link->session)->sending;
        if (!is_busy && link_us < wait_us)
            wait_us = link_us;
    }
    return wait_us;
}

bool replicas_stop(struct server *server)
{
    struct replicas *replicas = &server->replicas;
    bool is_late = server->turn_us - server->stop_us > STOP_WAIT_US;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        struct link *link = &replicas->links[i];
        if (link->session == 0 || link->is_ending)
            continue;
        bool has_all = link->kind == LINK_STREAMS && link->supplier.state == SUPPLIER_STREAMING &&
                       link->supplier.seq_durable >= wal_seq_durable(server->wal);
        if (has_all || is_late || link->supplier.state != SUPPLIER_STREAMING)
            link_end(server, link, "");
    }
    return replicas->link_count == 0 && replicas->reading == NULL;
}

/* What operators ask for. */

static uint8_t link_state(const struct server *server, const struct link *link)
{
    const struct supplier *supplier = &link->supplier;
    if (link->kind == LINK_FETCHES || supplier->state == SUPPLIER_JOINING)
        return member_state_SYNCING;
    if (supplier->is_diverged)
        return member_state_DIVERGED;
    if (supplier->state != SUPPLIER_STREAMING || supplier_is_silent(supplier, server->turn_us))
        return member_state_AWAY;
    return link->is_in_ring ? member_state_STREAMING : member_state_BEHIND;
}

static struct replica_body row_of(const struct server *server, const struct link *link)
{
    const struct supplier *supplier = &link->supplier;
    const struct wal_ring *ring = &server->replicas.ring;
    uint64_t seq = wal_seq_durable(server->wal);
    uint64_t ago_us = server->turn_us - link->since_us;
    struct replica_body row = {
        .name = supplier->name,
        .address = supplier->address,
        .member = supplier->member,
        .seq_sent = supplier->seq_sent,
        .seq_durable = supplier->seq_durable,
        .seq_applied = supplier->seq_applied,
        .since = server->now_us > ago_us ? server->now_us - ago_us : 0,
        .state = link_state(server, link),
    };
    if (link->kind == LINK_FETCHES) {
        row.sync_done = link->fetch.offset;
        row.sync_bytes = link->fetch.size;
        return row;
    }
    if (supplier->seq_durable < seq) {
        row.lag_commands = seq - supplier->seq_durable;
        row.lag_us = server->turn_us - supplier->caught_up_us;
    }
    if (link->is_in_ring)
        row.lag_bytes = wal_ring_bytes_before(ring, ring->number_end) -
                        wal_ring_bytes_before(ring, link->ring_number);
    return row;
}

enum outcome admin_replicas(struct server *server, const void *request, void *reply)
{
    struct replica_body *rows = (struct replica_body *)((struct replicas_reply_body *)reply + 1);
    struct replicas_reply_body body = {
        .seq = wal_seq_durable(server->wal),
        .seq_released = replicas_seq_released(server),
        .epoch = wal_epoch(server->wal),
        .time = server->now_us,
        .age = members_age_us(server),
        .acks = server->options.acks,
        .role = members_role(server),
        .state = members_state(server),
    };
    struct redirect_body redirect;
    (void)request;
    members_redirect(server, &redirect);
    body.primary = redirect.primary;
    body.sync_done = server->members.sync_done;
    body.sync_bytes = server->members.sync_bytes;
    body.sync_us = server->members.sync_us;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) {
        const struct link *link = &server->replicas.links[i];
        if (link->session != 0)
            rows[body.replica_count++] = row_of(server, link);
    }
    memcpy(reply, &body, sizeof body);
    return OUTCOME_OK;
}
