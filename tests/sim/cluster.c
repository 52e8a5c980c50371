/* Members, their lives, and the clients.
 *
 * All members share the time; each gets its turns at random, one at a time. A member's tip is the
 * last block that its log has told durable, or that was found in its log when it started: every
 * answer of it must tell of the history that ends there. */
#include "tests/sim/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "engine/sum.h"
#include "net/members.h"
#include "net/server_state.h"
#include "net/timekeeping.h"
#include "tests/sim/machine.h"
#include "tests/test.h"
#include "wal/reader.h"
#include "wal/wal_state.h"

enum {
    CONNECTIONS = 48,
    OUTPUT_CHUNKS = 32,
    IO_BUFFERS = 24,
    IO_BUFFER_SIZE = 16384,
    SETTLE_US = 120 * 1000 * 1000, /* simulated, within which a healed cluster is whole again */
    RESTARTS_MAX = 40,             /* in place, meanwhile */
    REPAIR_US = 1500 * 1000,
    PROMOTE_US =
        30 * 1000 * 1000, /* after which a new epoch is begun: two may have begun the last */
};

static const char *const names[NODES_MAX] = {"a", "b", "c", "d"};
static const char *const addresses[NODES_MAX] = {"a:7411", "b:7411", "c:7411", "d:7411"};

/* The world. */

struct cluster *cluster_create(uint64_t seed)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    CHECK(cluster != NULL);
    cluster->sim = sim_create(seed);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct node *node = &cluster->nodes[i];
        node->cluster = cluster;
        node->index = i;
        node->machine = sim_machine_add(cluster->sim, names[i]);
        node->follows_first = i > 0;
        sim_clock_step(node->machine, (int64_t)sim_random_below(node->machine, 4000000) - 2000000);
    }
    cluster->ledger = ledger_create(cluster_dice(cluster));
    history_init(&cluster->history, cluster->ledger);
    cluster->node_count = 2 + (unsigned)cluster_below(cluster, NODES_MAX - 1);
    cluster->acks = (uint32_t)cluster_below(cluster, cluster->node_count);
    cluster->may_lose = cluster->acks == 0 && cluster_chance(cluster, 50);
    cluster->ledger->may_lose = cluster->may_lose;
    cluster->ledger->intents_max = 100u << cluster_below(cluster, 4);
    cluster->turn_us_max = 500ULL << cluster_below(cluster, 4);
    cluster->faults_rarity = 200u << cluster_below(cluster, 5);
    cluster->pace = 2u << cluster_below(cluster, 5);
    cluster->acks_wait_us = (uint64_t)10000 << cluster_below(cluster, 8);
    cluster->segment_size = 2ULL * WAL_BLOCK_SIZE_MAX << cluster_below(cluster, 2);
    cluster->replica_keep_bytes = cluster_below(cluster, 4) * cluster->segment_size;
    if (cluster_chance(cluster, 70))
        cluster->snapshot_every_us = (uint64_t)30000 << cluster_below(cluster, 6);
    return cluster;
}

void cluster_destroy(struct cluster *cluster)
{
    history_deinit(&cluster->history);
    ledger_destroy(cluster->ledger);
    sim_destroy(cluster->sim);
    free(cluster);
}

/* The life of a member. */

static void on_durable(void *context, const struct wal_block *block, const uint8_t *image)
{
    struct node *node = context;
    struct history *history = &node->cluster->history;
    CHECK(block->epoch < EPOCHS_MAX);
    if (history_find(history, block->checksum) == NULL &&
        (history->primaries[block->epoch] >> node->index & 1) == 0)
        test_fail(__FILE__, __LINE__,
                  "seq %" PRIu64 " of epoch %" PRIu64 " is durable on a replica before it is so on "
                  "a primary",
                  block->seq_first, block->epoch);
    node->tip = history_add(history, node->index, block, image);
    if (getenv("CLUSTER_TRACE") != NULL)
        printf("%9.3f %s durable seq %lu..%lu epoch %lu block %lx\n",
               (double)cluster_now_us(node->cluster) / 1e6, names[node->index], block->seq_first,
               history_seq_last(node->tip), block->epoch, block->checksum);
    node->durable(node->durable_context, block, image);
}

/* Adds what was durable on the disk, though the server died before it knew. */
static void read_log(struct node *node)
{
    struct disk *disk;
    struct wal_reader reader;
    enum wal_read read;
    sim_use(node->machine);
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    CHECK_EQUAL(wal_reader_init(&reader, disk), 0);
    reader.seq_known = server_start(node->server).snapshot_seq;
    reader.ignores_note = true;
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK)
        history_add(&node->cluster->history, node->index, &reader.block, reader.image);
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    wal_reader_deinit(&reader);
    disk_close(disk);
}

/* Finds the block with which the log ends that was recovered. */
static void find_tip(struct node *node)
{
    uint64_t checksum = wal_previous(node->server->wal);
    const struct history *history = &node->cluster->history;
    node->tip = NULL;
    if (checksum == 0)
        return;
    if (history_find(history, checksum) == NULL)
        read_log(node);
    node->tip = history_find(history, checksum);
    CHECK(node->tip != NULL);
    uint64_t seq_first = wal_seq_first(node->server->wal);
    for (struct history_block *block = node->tip;
         block != NULL && history_seq_last(block) >= seq_first; block = block->parent)
        block->members |= 1u << node->index;
}

static void note(void *context, const char *text)
{
    struct node *node = context;
    snprintf(node->notice, sizeof node->notice, "%s", text);
    if (getenv("CLUSTER_TRACE") != NULL)
        printf("%9.3f %s: %s\n", (double)sim_time_us(node->machine) / 1e6, names[node->index],
               text);
}

static void options_fill(const struct node *node, struct server_options *options)
{
    const struct cluster *cluster = node->cluster;
    static const uint32_t writes[] = {1, 2, 4, WAL_WRITES_MAX};
    struct sim_machine *machine = node->machine;
    *options = server_options_default;
    options->listen = "0.0.0.0:7411";
    options->advertise = addresses[node->index];
    options->name = names[node->index];
    options->engine = ledger_engine_options();
    options->lazy_memory = true;
    options->wal_segment_size = cluster->segment_size;
    options->wal_writes = writes[sim_random_below(machine, 4)];
    options->connections_max = CONNECTIONS;
    options->output_chunks = OUTPUT_CHUNKS;
    options->accept_clock = true;
    options->acks = cluster->acks;
    options->members = cluster->node_count;
    options->acks_wait_us = cluster->acks_wait_us;
    options->min_seq_wait_us = 20000;
    options->replica_keep_bytes = cluster->replica_keep_bytes;
    options->shop_new = (struct id){.low = sim_random(machine), .high = 1};
    options->member_new = (struct id){.low = sim_random(machine), .high = 1};
    options->notice = note;
    options->context = (void *)(uintptr_t)node;
    options->snapshot_memory = (uint64_t)64 << (10 + sim_random_below(machine, 6));
    options->snapshot_every_us = cluster->snapshot_every_us;
    options->snapshot_at_stop = sim_chance(machine, 30);
}

static bool start(struct node *node, const char *upstream)
{
    const struct io_options io_options = {
        .connections_max = CONNECTIONS, .buffer_size = IO_BUFFER_SIZE, .buffer_count = IO_BUFFERS};
    struct server_options options;
    char error[IO_ERROR_SIZE];
    options_fill(node, &options);
    options.replica_of = upstream;
    sim_use(node->machine);
    CHECK_EQUAL(disk_open(&node->disk, "data", DISK_WRITE), 0);
    node->io = io_create(&io_options, error);
    node->server = server_create(&options, node->io, node->disk, node->error, sizeof node->error);
    if (node->server == NULL)
        return false;
    find_tip(node);
    if (getenv("CLUSTER_TRACE") != NULL)
        printf("%9.3f %s starts, seq %lu tip %lx role %d epoch %lu sealed %lu\n",
               (double)cluster_now_us(node->cluster) / 1e6, names[node->index],
               wal_seq_durable(node->server->wal), node->tip ? node->tip->block.checksum : 0,
               node->server->members.role, wal_epoch(node->server->wal),
               node->server->members.shop.epoch_sealed);
    node->durable = node->server->wal->durable;
    node->durable_context = node->server->wal->durable_context;
    wal_watch(node->server->wal, on_durable, node);
    return true;
}

static void line_end(struct cluster_line *line);
static void lines_end(struct node *node);

static bool awaits_event(const struct server *server)
{
    const struct writer *writer = server->snapshots.writer;
    return wal_awaits_event(server->wal) || (writer != NULL && writer_awaits_event(writer)) ||
           server->timekeeping.is_writing || server->replicas.reading != NULL ||
           server->following.is_working;
}

static void event_bury(struct server *server, const struct io_event *event)
{
    switch (user_kind(event->user)) {
    case USER_SNAPSHOT_WRITE:
    case USER_SNAPSHOT_WORK:
        writer_event(server->snapshots.writer, event);
        break;
    case USER_CLOCK:
        timekeeping_event(server, event);
        break;
    case USER_LINK_WORK:
        server->replicas.reading = NULL;
        break;
    case USER_FOLLOW_WORK:
        server->following.is_working = false;
        break;
    case USER_WAL_WRITE:
    case USER_WAL_PREPARE:
        (void)wal_event(server->wal, event); /* it misses its disk */
        break;
    default:
        break;
    }
}

/* Frees the memory of a server that has stopped or died. What it had under way ends first. */
static void bury(struct node *node)
{
    struct io_event events[IO_EVENTS_MAX];
    struct server *server = node->server;
    if (server != NULL)
        wal_watch(server->wal, NULL, NULL);
    while (server != NULL && awaits_event(server)) {
        int count = io_wait(node->io, events, IO_EVENTS_MAX, 1, 0);
        CHECK(count > 0);
        for (int i = 0; i < count; i++)
            event_bury(server, &events[i]);
    }
    if (server != NULL)
        server_destroy(server);
    node->server = NULL;
    io_destroy(node->io);
    disk_close(node->disk);
}

void node_crash(struct node *node, uint64_t down_us)
{
    sim_crash(node->machine);
    lines_end(node);
    if (getenv("CLUSTER_TRACE") != NULL)
        printf("%9.3f %s crashes\n", (double)cluster_now_us(node->cluster) / 1e6,
               names[node->index]);
    bury(node);
    node->start_us = cluster_now_us(node->cluster) + down_us;
}

/* Whom the operator has it follow when it is started. */
static const char *upstream_of(const struct node *node)
{
    const struct cluster *cluster = node->cluster;
    bool is_empty = node->rebuild_seq > 0;
    if (is_empty)
        return addresses[cluster->primary];
    return node->follows_first ? addresses[0] : NULL;
}

static void folder_empty(struct node *node);

/* A folder that is damaged is emptied, as docs/replication.md says. */
bool node_start(struct node *node)
{
    if (start(node, upstream_of(node))) {
        node->is_damaged = false;
        return true;
    }
    if (node->is_damaged && !node->machine->dying) {
        node_crash(node, 1000);
        folder_empty(node);
        node->is_damaged = false;
        return false;
    }
    if (!node->machine->dying && !node->is_full)
        test_fail(__FILE__, __LINE__, "%s does not start: %s", names[node->index], node->error);
    node_crash(node, 1000 + cluster_below(node->cluster, 1000000));
    return false;
}

/* Clients. */

static void line_open(struct cluster *cluster, struct cluster_line *line)
{
    unsigned index = line->next;
    if (index >= cluster->node_count)
        index = (unsigned)cluster_below(cluster, cluster->node_count);
    line->next = NODES_MAX;
    line->node = &cluster->nodes[index];
    if (line->node->server == NULL)
        return;
    const struct hello_body hello = {
        .magic = FRAME_MAGIC,
        .version = PROTOCOL_VERSION,
        .features = cluster_chance(cluster, 20) ? FRAME_FEATURE_CHECKSUM : 0,
        .shop = line->shop,
        .epoch = line->epoch_seen,
    };
    caller_greet(&line->caller, line->node->machine, &hello);
    line->is_open = true;
    line->is_loyal = cluster_chance(cluster, 30);
    if (cluster_chance(cluster, 50))
        line->epoch_seen = 0; /* it is another client */
}

static void line_end(struct cluster_line *line)
{
    caller_close(&line->caller);
    line->is_open = false;
}

/* Goes where the redirect says. */
static void redirect(struct cluster_line *line, const struct caller_reply *reply)
{
    struct redirect_body body;
    CHECK_EQUAL(reply->size, sizeof body);
    memcpy(&body, reply->body, sizeof body);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        if (strcmp(body.primary.bytes, addresses[i]) == 0)
            line->next = i;
    }
}

/* A command that was answered is durable on the primary and on K replicas. */
static void check_holders(struct cluster *cluster, const struct history_block *block)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct node *node = &cluster->nodes[i];
        uint64_t seq = node->server != NULL ? wal_seq_durable(node->server->wal) : 0;
        if ((block->holders >> i & 1) == 0 && seq >= history_seq_last(block))
            history_hold(&cluster->history, i, node->tip, seq);
        count += block->holders >> i & 1;
    }
    if (count <= cluster->acks)
        test_fail(__FILE__, __LINE__,
                  "seq %" PRIu64 " was answered, and %" PRIu32 " members have it",
                  block->block.seq_first, count);
}

static void show(struct cluster *cluster, struct cluster_line *line, uint32_t intent,
                 const struct request *request)
{
    const struct caller_reply *reply = &cluster->reply;
    const struct node *node = line->node;
    uint64_t seq = reply->body[0];
    bool is_query = intent == NO_INTENT;
    struct history_block *block = NULL;
    if (node->tip != NULL)
        block = history_at(node->tip, seq);
    else if (seq > 0)
        block = history_only(&cluster->history, seq);
    if (block == NULL && node->tip != NULL && seq > 0)
        test_fail(__FILE__, __LINE__,
                  "%s answered with seq %" PRIu64 ", and what is durable there ends at %" PRIu64,
                  names[node->index], seq, history_seq_last(node->tip));
    if (block == NULL && seq > 0)
        return; /* it has only a snapshot, and it is not certain of which history */
    CHECK(is_query || block != NULL);
    if (getenv("CLUSTER_TRACE") != NULL && !is_query)
        printf("%9.3f %s answered seq %lu epoch %lu block %lx outcome %u\n",
               (double)cluster_now_us(cluster) / 1e6, names[node->index], seq, block->block.epoch,
               block->block.checksum, reply->outcome);
    if (!is_query)
        check_holders(cluster, block);
    history_show(&cluster->history, node->index, block, request, is_query, reply);
}

/* An answer, unless it says only that nothing was decided. */
static void reply_take(struct cluster *cluster, struct cluster_line *line)
{
    const struct caller_reply *reply = &cluster->reply;
    uint32_t slot = reply->request % CLUSTER_IN_FLIGHT;
    uint32_t intent = line->intents[slot];
    switch (reply->outcome) {
    case OUTCOME_NOT_PRIMARY:
        redirect(line, reply);
        return;
    case OUTCOME_NO_QUORUM:
    case OUTCOME_REPLICA_BEHIND:
    case OUTCOME_OVERLOADED:
        return;
    default:
        break;
    }
    if (intent != NO_INTENT)
        ledger_judge(cluster->ledger, intent, &line->requests[slot], reply);
    if (intent == NO_INTENT || ledger_is_done(reply->outcome))
        show(cluster, line, intent, &line->requests[slot]);
}

static void line_receive(struct cluster *cluster, struct cluster_line *line)
{
    while (caller_receive(&line->caller, &cluster->reply))
        reply_take(cluster, line);
    if (line->caller.state == CALLER_REFUSED)
        test_fail(__FILE__, __LINE__, "refused: %s", line->caller.error.reason.bytes);
    if (line->caller.state == CALLER_READY) {
        line->shop = line->caller.hello.shop;
        line->epoch_seen = line->caller.hello.epoch;
    }
}

/* The replies that had arrived still count. */
static void lines_end(struct node *node)
{
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < CLUSTER_LINES; i++) {
        struct cluster_line *line = &cluster->lines[i];
        if (!line->is_open || line->node != node)
            continue;
        line_receive(cluster, line);
        line_end(line);
    }
}

static bool line_has_room(const struct cluster_line *line)
{
    return line->caller.state == CALLER_READY && !line->caller.ended &&
           caller_in_flight(&line->caller) < CLUSTER_IN_FLIGHT;
}

static void line_send(struct cluster_line *line, uint32_t intent, const struct request *request)
{
    uint32_t number = caller_send(&line->caller, request->number, request->body, request->size);
    line->requests[number % CLUSTER_IN_FLIGHT] = *request;
    line->intents[number % CLUSTER_IN_FLIGHT] = intent;
}

static void line_ask(struct cluster *cluster, struct cluster_line *line)
{
    struct request request;
    uint32_t intent = ledger_unanswered(cluster->ledger);
    if (!cluster->is_calm)
        intent = ledger_next(cluster->ledger, &request);
    else if (intent != NO_INTENT)
        request = cluster->ledger->intents[intent].request;
    else
        return;
    line_send(line, intent, &request);
}

/* Something random on a random line. */
static void line_turn(struct cluster *cluster)
{
    struct cluster_line *line = &cluster->lines[cluster_below(cluster, CLUSTER_LINES)];
    if (!line->is_open) {
        line_open(cluster, line);
        return;
    }
    line_receive(cluster, line);
    bool leaves = line->next < NODES_MAX && caller_in_flight(&line->caller) == 0;
    if (line->caller.ended || cluster_chance(cluster, 1) || (leaves && !line->is_loyal)) {
        line_end(line);
        return;
    }
    for (uint64_t count = 1 + cluster_below(cluster, 4); count > 0 && line_has_room(line); count--)
        line_ask(cluster, line);
}

/* Turns. */

static void node_notice_role(struct node *node)
{
    const struct server *server = node->server;
    struct history *history = &node->cluster->history;
    uint64_t epoch = wal_epoch(server->wal);
    CHECK(epoch < EPOCHS_MAX);
    if (server->members.role == MEMBER_SERVING)
        history->primaries[epoch] |= 1u << node->index;
    if (node->rebuild_seq > 0 && wal_seq_durable(server->wal) >= node->rebuild_seq)
        node->rebuild_seq = 0;
}

static void node_restart(struct node *node)
{
    node->cluster->restarts++;
    node->cluster->forks += (node->server->members.shop.flags & SHOP_FORKED) != 0;
    node->cluster->fetches += (node->server->members.shop.flags & SHOP_REBASED) != 0;
    lines_end(node);
    bury(node);
    if (!start(node, NULL)) {
        if (!node->machine->dying)
            test_fail(__FILE__, __LINE__, "%s does not start again in place: %s",
                      names[node->index], node->error);
        node_crash(node, 1000);
    }
}

/* It was asked to stop, and has. */
static void node_stopped(struct node *node)
{
    lines_end(node);
    bury(node);
    node->start_us = cluster_now_us(node->cluster) + cluster_below(node->cluster, 200000);
}

static void node_turn(struct node *node)
{
    struct cluster *cluster = node->cluster;
    sim_use(node->machine);
    int result = server_turn(node->server, cluster_below(cluster, cluster->turn_us_max));
    if (node->machine->dying)
        node_crash(node, cluster_below(cluster, 500000));
    else if (result == 1)
        node_notice_role(node);
    else if (result == 2)
        node_restart(node);
    else if (result == 0)
        node_stopped(node);
    else
        test_fail(__FILE__, __LINE__, "%s ended with %d: %s", names[node->index], result,
                  server_error(node->server));
}

/* An empty folder follows another member. */
static bool may_start(const struct node *node)
{
    return node->rebuild_seq == 0 || node->index != node->cluster->primary;
}

void cluster_turn(struct cluster *cluster)
{
    struct node *node = &cluster->nodes[cluster_below(cluster, cluster->node_count)];
    if (node->server != NULL)
        node_turn(node);
    else if (cluster_now_us(cluster) >= node->start_us && may_start(node))
        node_start(node);
    else
        sim_time_pass(node->machine, cluster_below(cluster, 100));
    if (cluster_chance(cluster, cluster->is_calm ? 40 : cluster->pace))
        line_turn(cluster);
    operator_turn(cluster);
}

void cluster_play(struct cluster *cluster, uint64_t us)
{
    uint64_t end_us = cluster_now_us(cluster) + us;
    while (cluster_now_us(cluster) < end_us) {
        if (cluster_below(cluster, cluster->faults_rarity) == 0 && !cluster->is_calm)
            cluster_fault(cluster);
        cluster_turn(cluster);
    }
}

/* Faults. */

static struct node *any_node(struct cluster *cluster)
{
    return &cluster->nodes[cluster_below(cluster, cluster->node_count)];
}

/* Short times are more likely than long ones. */
static uint64_t any_time_us(const struct cluster *cluster, unsigned bits)
{
    return cluster_below(cluster, 1ULL << cluster_below(cluster, bits));
}

static void fault_crash(struct cluster *cluster)
{
    struct node *node = any_node(cluster);
    if (node->server != NULL)
        node_crash(node, any_time_us(cluster, 22));
}

/* The disk stops within the next few changes, and the machine with it. */
static void fault_crash_at(struct cluster *cluster)
{
    struct node *node = any_node(cluster);
    sim_disk_crash_at(node->machine, 1 + (uint32_t)cluster_below(cluster, 6));
}

static void fault_stop(struct cluster *cluster)
{
    struct node *node = any_node(cluster);
    if (node->server != NULL)
        sim_stop(node->machine);
}

static void fault_path(struct cluster *cluster)
{
    struct node *one = any_node(cluster);
    struct node *other = any_node(cluster);
    bool is_one_way = cluster_chance(cluster, 40);
    if (one == other)
        return;
    if (cluster_chance(cluster, 50)) {
        sim_path_heal(one->machine, other->machine);
        sim_path_heal(other->machine, one->machine);
        return;
    }
    sim_path_cut(one->machine, other->machine);
    if (!is_one_way)
        sim_path_cut(other->machine, one->machine);
}

static void fault_slow(struct cluster *cluster)
{
    struct node *one = any_node(cluster);
    struct node *other = any_node(cluster);
    if (one != other)
        sim_path_slow(one->machine, other->machine,
                      cluster_chance(cluster, 50) ? 0 : any_time_us(cluster, 20));
}

static void fault_full(struct cluster *cluster)
{
    struct node *node = any_node(cluster);
    node->is_full = cluster_chance(cluster, 40);
    sim_disk_fill(node->machine, "data", node->is_full);
}

static void fault_late(struct cluster *cluster)
{
    sim_time_pass(cluster_dice(cluster), any_time_us(cluster, 22));
}

static void fault_promote(struct cluster *cluster)
{
    if (cluster->operation.step == OPERATOR_RESTS)
        operator_begin(cluster, cluster_chance(cluster, 30));
}

static void fault_follow(struct cluster *cluster)
{
    unsigned follower = any_node(cluster)->index;
    unsigned followed = any_node(cluster)->index;
    bool is_meant = follower != cluster->primary || cluster_chance(cluster, 10);
    if (cluster->operation.step == OPERATOR_RESTS && follower != followed && is_meant)
        operator_follow(cluster, follower, followed);
}

static void folder_empty(struct node *node)
{
    struct disk *disk;
    struct disk_entry *entries;
    sim_use(node->machine);
    sim_disk_crash_at(node->machine, 0);
    CHECK_EQUAL(disk_open(&disk, "data", DISK_WRITE), 0);
    int count = disk_list_all(disk, &entries);
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(disk_remove(disk, entries[i].name), 0);
    free(entries);
    disk_close(disk);
}

/* The newest change that any member has or had. */
static uint64_t seq_newest(const struct cluster *cluster)
{
    uint64_t seq = 1;
    for (const struct history_block *block = cluster->history.oldest; block != NULL;
         block = block->newer) {
        if (history_seq_last(block) > seq)
            seq = history_seq_last(block);
    }
    return seq;
}

/* May this disk be lost? Not the last one that has something. */
static bool may_lose_disk(const struct cluster *cluster, const struct node *lost)
{
    unsigned count = 0;
    bool is_elsewhere = false;
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct node *node = &cluster->nodes[i];
        count += node->rebuild_seq > 0;
        is_elsewhere |= node != lost && node->tip != NULL && node->rebuild_seq == 0;
    }
    return is_elsewhere && count < (cluster->may_lose ? cluster->node_count - 1 : cluster->acks);
}

/* A primary that loses its disk has to be replaced before it is started again. */
static void fault_disk(struct cluster *cluster)
{
    struct node *node = any_node(cluster);
    if (!may_lose_disk(cluster, node) || node->rebuild_seq > 0)
        return;
    if (node->server != NULL)
        node_crash(node, any_time_us(cluster, 22));
    if (node->tip != NULL)
        history_hold(&cluster->history, node->index, node->tip, 0);
    folder_empty(node);
    history_forget(&cluster->history, node->index);
    node->rebuild_seq = seq_newest(cluster);
    node->tip = NULL;
    cluster->disks_lost++;
    if (getenv("CLUSTER_TRACE") != NULL)
        printf("%9.3f %s disk lost\n", (double)cluster_now_us(node->cluster) / 1e6,
               names[node->index]);
}

/* A bit of a replica's log is inverted. Damage at its end may look like a torn write, so from then
 * on the member is no better than one that lost its disk. */
static void fault_damage(struct cluster *cluster)
{
    struct node *node = any_node(cluster);
    struct disk *disk;
    struct disk_entry *entries;
    if (node->server == NULL || node->server->members.role != MEMBER_FOLLOWING ||
        node->rebuild_seq > 0 || !may_lose_disk(cluster, node))
        return;
    node_crash(node, any_time_us(cluster, 20));
    history_hold(&cluster->history, node->index, node->tip, 0);
    history_forget(&cluster->history, node->index);
    node->rebuild_seq = seq_newest(cluster);
    node->is_damaged = true;
    sim_use(node->machine);
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    int count = disk_list_all(disk, &entries);
    for (int i = 0; i < count; i++) {
        if (strncmp(entries[i].name, "wal-", 4) == 0 && entries[i].size_bytes > 0)
            sim_disk_flip(node->machine, "data", entries[i].name,
                          cluster_below(cluster, 1 + cluster_below(cluster, entries[i].size_bytes)),
                          (unsigned)cluster_below(cluster, 8));
    }
    free(entries);
    disk_close(disk);
    cluster->damages++;
}

void cluster_fault(struct cluster *cluster)
{
    static const struct {
        void (*happens)(struct cluster *cluster);
        unsigned weight;
    } faults[] = {
        {fault_crash, 15}, {fault_crash_at, 8}, {fault_stop, 4},   {fault_path, 24},
        {fault_slow, 10},  {fault_full, 10},    {fault_late, 8},   {fault_promote, 12},
        {fault_follow, 4}, {fault_disk, 3},     {fault_damage, 2},
    };
    uint64_t choice = cluster_below(cluster, 100);
    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (choice < faults[i].weight) {
            faults[i].happens(cluster);
            return;
        }
        choice -= faults[i].weight;
    }
}

/* The end. */

/* Do all members have the same, and follow? */
static bool is_whole(const struct cluster *cluster)
{
    const struct node *primary = NULL;
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct node *node = &cluster->nodes[i];
        if (node->server == NULL)
            return false;
        if (node->server->members.role == MEMBER_SERVING && members_is_primary(node->server))
            primary = primary == NULL ? node : NULL;
    }
    if (primary == NULL)
        return false;
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct node *node = &cluster->nodes[i];
        if (node != primary &&
            (node->server->members.role != MEMBER_FOLLOWING || !node->server->members.is_streaming))
            return false;
        if (wal_seq_durable(node->server->wal) != wal_seq_durable(primary->server->wal) ||
            engine_seq(node->server->engine) != engine_seq(primary->server->engine) ||
            wal_seq_durable(node->server->wal) != engine_seq(node->server->engine))
            return false;
    }
    return true;
}

static void tell_state(const struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct node *node = &cluster->nodes[i];
        if (node->server == NULL) {
            fprintf(stderr, "  %s is down: %s\n", names[i], node->error);
            continue;
        }
        const struct server *server = node->server;
        fprintf(stderr,
                "  %s: role %d, state %u, epoch %" PRIu64 " sealed %" PRIu64
                ", seq durable %" PRIu64 " engine %" PRIu64
                ", follows '%s', primary '%s'; \"%s\"\n",
                names[i], (int)server->members.role, members_state(server), wal_epoch(server->wal),
                server->members.shop.epoch_sealed, wal_seq_durable(server->wal),
                engine_seq(server->engine), server->members.shop.primary.bytes,
                server->members.primary.bytes, node->notice);
    }
}

static void heal(struct cluster *cluster)
{
    cluster->is_calm = true;
    operator_leave(cluster);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        struct node *node = &cluster->nodes[i];
        for (unsigned j = 0; j < cluster->node_count; j++) {
            if (i == j)
                continue;
            sim_path_heal(node->machine, cluster->nodes[j].machine);
            sim_path_slow(node->machine, cluster->nodes[j].machine, 0);
        }
        node->is_full = false;
        sim_disk_fill(node->machine, "data", false);
        sim_disk_crash_at(node->machine, 0);
        node->start_us = 0;
    }
}

void cluster_settle(struct cluster *cluster)
{
    uint64_t begun_us = cluster_now_us(cluster);
    uint64_t repair_us = begun_us;
    uint64_t promote_us = begun_us + PROMOTE_US;
    uint32_t restarts_max = cluster->restarts + RESTARTS_MAX;
    heal(cluster);
    while (ledger_unanswered(cluster->ledger) != NO_INTENT || !is_whole(cluster)) {
        uint64_t now_us = cluster_now_us(cluster);
        if (cluster->restarts > restarts_max) {
            tell_state(cluster);
            test_fail(__FILE__, __LINE__, "a member begins anew again and again");
        }
        if (getenv("CLUSTER_TRACE2") != NULL && now_us % 1000000 < 50) {
            printf("%.3f unanswered %u whole %d\n", (double)now_us / 1e6,
                   ledger_unanswered(cluster->ledger), is_whole(cluster));
            tell_state(cluster);
        }
        if (now_us > begun_us + SETTLE_US) {
            tell_state(cluster);
            test_fail(__FILE__, __LINE__, "the cluster is stuck");
        }
        if (cluster->operation.step == OPERATOR_RESTS && now_us >= promote_us) {
            promote_us = now_us + PROMOTE_US;
            operator_begin(cluster, false);
        } else if (cluster->operation.step == OPERATOR_RESTS && now_us >= repair_us) {
            repair_us = now_us + REPAIR_US;
            operator_begin(cluster, true);
        }
        cluster_turn(cluster);
    }
    operator_leave(cluster);
    if (getenv("CLUSTER_TRACE") != NULL)
        printf("N %u K %u lose %d turn %lu: settled in %.3f s, %u intents\n", cluster->node_count,
               cluster->acks, cluster->may_lose, cluster->turn_us_max,
               (double)(cluster_now_us(cluster) - begun_us) / 1e6, cluster->ledger->intent_count);
}

/* Every block that the log of the folder has is one of the history that is kept, up to its end. */
static void judge_log(struct node *node, const struct history_block *tip)
{
    struct disk *disk;
    struct wal_reader reader;
    enum wal_read read;
    const struct history_block *last = NULL;
    sim_use(node->machine);
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    CHECK_EQUAL(wal_reader_init(&reader, disk), 0);
    reader.seq_known = server_start(node->server).snapshot_seq;
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        last = history_find(&node->cluster->history, reader.block.checksum);
        CHECK(last != NULL && last->is_kept);
        CHECK(memcmp(last->image, reader.image, reader.block.block_size) == 0);
    }
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    CHECK(last == NULL || last == tip);
    wal_reader_deinit(&reader);
    disk_close(disk);
}

/* Notes the blocks of a file: they stand at multiples of WAL_ALIGN. */
static void read_aside(struct node *node, struct disk *disk, const struct disk_entry *entry)
{
    uint8_t *bytes = malloc(entry->size_bytes + WAL_BLOCK_SIZE_MAX);
    int file = disk_file_open(disk, entry->name, false);
    CHECK(bytes != NULL && file >= 0);
    CHECK_EQUAL(disk_file_read(disk, file, 0, bytes, entry->size_bytes), entry->size_bytes);
    disk_file_close(disk, file);
    for (uint64_t at = 0; at + WAL_ALIGN <= entry->size_bytes; at += WAL_ALIGN) {
        struct wal_block block;
        if (!wal_block_read(bytes + at, &block) || at + block.block_size > entry->size_bytes ||
            !wal_block_verify(&block, bytes + at))
            continue;
        struct history_block *known = history_find(&node->cluster->history, block.checksum);
        if (known != NULL)
            known->asides |= 1u << node->index;
    }
    free(bytes);
}

/* What was durable here and is not kept was set aside: nothing is deleted. */
static void judge_asides(struct node *node)
{
    struct disk *disk;
    struct disk_entry *entries;
    sim_use(node->machine);
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    int count = disk_list_all(disk, &entries);
    for (int i = 0; i < count; i++) {
        if (strncmp(entries[i].name, "diverged-", strlen("diverged-")) == 0)
            read_aside(node, disk, &entries[i]);
    }
    free(entries);
    disk_close(disk);
    for (const struct history_block *block = node->cluster->history.oldest; block != NULL;
         block = block->newer) {
        if (block->is_kept || block->block.command_count == 0 ||
            (block->members >> node->index & 1) == 0 || (block->asides >> node->index & 1) != 0)
            continue;
        test_fail(__FILE__, __LINE__,
                  "seq %" PRIu64 " of epoch %" PRIu64 " was durable on %s and is nowhere now",
                  block->block.seq_first, block->block.epoch, names[node->index]);
    }
}

void cluster_judge(struct cluster *cluster)
{
    struct history_block *tip = NULL;
    uint64_t digest = engine_checksum(cluster->nodes[0].server->engine);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        struct node *node = &cluster->nodes[i];
        CHECK(node->server != NULL);
        lines_end(node);
        if (tip == NULL)
            tip = node->tip;
        CHECK(node->tip == NULL || node->tip == tip);
        CHECK_EQUAL(engine_checksum(node->server->engine), digest);
    }
    history_judge(&cluster->history, tip);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        judge_log(&cluster->nodes[i], tip);
        judge_asides(&cluster->nodes[i]);
    }
    for (unsigned i = 0; i < cluster->node_count; i++)
        node_crash(&cluster->nodes[i], 0);
}
