/* Members, their lives, and the clients.
 *
 * All members share the time; each gets its turns at random, one at a time. A member's tip is the
 * last block that its log has told durable, or that was found in its log when it started: every
 * answer of it must tell of the history that ends there. */
#include "tests/sim/cluster.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "net/link.h"
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
};

const char *const node_names[NODES_MAX] = {"a", "b", "c", "d"};
const char *const node_addresses[NODES_MAX] = {"a:7411", "b:7411", "c:7411", "d:7411"};

/* The world. */

void cluster_trace(const struct cluster *cluster, const char *format, ...)
{
    va_list arguments;
    if (!cluster->is_traced)
        return;
    va_start(arguments, format);
    printf("%10.6f ", (double)cluster_now_us(cluster) / 1e6);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

struct cluster *cluster_create(uint64_t seed)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    CHECK(cluster != NULL);
    cluster->sim = sim_create(seed);
    cluster->is_traced = getenv("TILL_TRACE") != NULL;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct node *node = &cluster->nodes[i];
        node->cluster = cluster;
        node->index = i;
        node->machine = sim_machine_add(cluster->sim, node_names[i]);
        node->follows_first = node->is_behind = i > 0;
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

/* The epoch of a change, as the member's state tells. */
static uint64_t epoch_of(const struct node *node, uint64_t seq)
{
    return link_epoch_up_to(node->server->engine, seq, UINT64_MAX).epoch;
}

static void on_durable(void *context, const struct wal_block *block, const uint8_t *image)
{
    struct node *node = context;
    struct history *history = &node->cluster->history;
    CHECK(block->epoch < EPOCHS_MAX);
    /* A seal of a replica that is promoted becomes a part of its log, and says nothing. */
    if (block->command_count > 0 && history_find(history, block->checksum) == NULL &&
        (history->primaries[block->epoch] >> node->index & 1) == 0)
        test_fail(__FILE__, __LINE__,
                  "seq %" PRIu64 " of epoch %" PRIu64 " is durable on a replica before it is so on "
                  "a primary",
                  block->seq_first, block->epoch);
    node->tip =
        history_add(history, node->index, block, image, epoch_of(node, block->seq_first - 1));
    cluster_trace(node->cluster, "%s has seq %" PRIu64 " to %" PRIu64 " of epoch %" PRIu64,
                  node_name(node), block->seq_first, history_seq_last(node->tip), block->epoch);
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
        history_add(&node->cluster->history, node->index, &reader.block, reader.image,
                    epoch_of(node, reader.block.seq_first - 1));
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    wal_reader_deinit(&reader);
    disk_close(disk);
}

/* A member whose log has no block yet has what its snapshot shows. */
static void hold_shown(struct node *node)
{
    struct history *history = &node->cluster->history;
    uint64_t seq = engine_seq(node->server->engine);
    struct history_block *last = seq > 0 ? history_of(history, seq, epoch_of(node, seq)) : NULL;
    if (last != NULL && history_seq_last(last) > seq)
        last = last->parent;
    if (last != NULL)
        history_hold(history, node->index, last, 0);
}

/* Finds the block with which the log ends that was recovered. */
static void find_tip(struct node *node)
{
    uint64_t checksum = wal_previous(node->server->wal);
    struct history *history = &node->cluster->history;
    node->tip = NULL;
    if (checksum == 0) {
        hold_shown(node);
        return;
    }
    if (history_find(history, checksum) == NULL)
        read_log(node);
    node->tip = history_find(history, checksum);
    CHECK(node->tip != NULL);
    history_hold(history, node->index, node->tip, 0);
    uint64_t seq_first = wal_seq_first(node->server->wal);
    for (struct history_block *block = node->tip;
         block != NULL && history_seq_last(block) >= seq_first; block = block->parent)
        block->members |= 1u << node->index;
}

/* A snapshot and a block with commands name the epoch of their last change: no folder here was
 * restored. */
static void check_epoch(const struct node *node)
{
    const struct server *server = node->server;
    if (node->tip == NULL || node->tip->block.command_count > 0)
        CHECK_EQUAL(server_start(server).epoch, members_epoch_shown(server));
}

static void note(void *context, const char *text)
{
    struct node *node = context;
    snprintf(node->notice, sizeof node->notice, "%s", text);
    cluster_trace(node->cluster, "%s: %s", node_name(node), text);
}

static void options_fill(const struct node *node, struct server_options *options)
{
    const struct cluster *cluster = node->cluster;
    static const uint32_t writes[] = {1, 2, 4, WAL_WRITES_MAX};
    struct sim_machine *machine = node->machine;
    *options = server_options_default;
    options->listen = "0.0.0.0:7411";
    options->advertise = node_addresses[node->index];
    options->name = node_name(node);
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
    check_epoch(node);
    cluster_trace(node->cluster,
                  "%s starts in role %d: epoch %" PRIu64 ", sealed %" PRIu64 ", seq %" PRIu64,
                  node_name(node), (int)node->server->members.role, wal_epoch(node->server->wal),
                  node->server->members.shop.epoch_sealed, wal_seq_durable(node->server->wal));
    node->durable = node->server->wal->durable;
    node->durable_context = node->server->wal->durable_context;
    wal_watch(node->server->wal, on_durable, node);
    return true;
}

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
        if (count == 0)
            break; /* the others came in the turn in which the server failed */
        for (int i = 0; i < count; i++)
            event_bury(server, &events[i]);
    }
    if (server != NULL)
        server_destroy(server);
    node->server = NULL;
    node->is_asked = false;
    io_destroy(node->io);
    disk_close(node->disk);
}

void node_crash(struct node *node, uint64_t down_us)
{
    sim_crash(node->machine);
    lines_end(node);
    cluster_trace(node->cluster, "%s crashes", node_name(node));
    bury(node);
    node->start_us = cluster_now_us(node->cluster) + down_us;
}

/* Whom the operator has it follow when it is started. */
static const char *upstream_of(const struct node *node)
{
    const struct cluster *cluster = node->cluster;
    bool is_empty = node->rebuild_seq > 0;
    if (is_empty)
        return node_addresses[cluster->primary];
    return node->follows_first ? node_addresses[0] : NULL;
}

/* A folder that is damaged is emptied, as docs/replication.md says. It may have started before,
 * with the damage taken for a torn write: what it had then is gone as well. */
bool node_start(struct node *node)
{
    if (start(node, upstream_of(node)))
        return true;
    if (node->is_damaged && !node->machine->dying) {
        node_crash(node, 1000);
        if (node->tip != NULL)
            history_hold(&node->cluster->history, node->index, node->tip, 0);
        node_empty_folder(node);
        history_forget(&node->cluster->history, node->index);
        node->tip = NULL;
        node->is_damaged = false;
        return false;
    }
    if (!node->machine->dying && !node->is_full)
        test_fail(__FILE__, __LINE__, "%s does not start: %s", node_name(node), node->error);
    node_crash(node, 1000 + cluster_below(node->cluster, 1000000));
    return false;
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
    node->is_behind = (server->members.shop.flags & SHOP_NEW) != 0 ||
                      wal_seq_durable(server->wal) < node->rebuild_seq;
    if (!node->is_behind) {
        node->rebuild_seq = 0;
        node->is_damaged = false;
    }
}

static void node_restart(struct node *node)
{
    node->cluster->restarts++;
    node->cluster->forks += (node->server->members.shop.flags & SHOP_FORKED) != 0;
    node->cluster->fetches += (node->server->members.shop.flags & SHOP_REBASED) != 0;
    lines_end(node);
    bury(node);
    if (!start(node, NULL)) {
        if (!node->machine->dying && !node->is_full)
            test_fail(__FILE__, __LINE__, "%s does not start again in place: %s", node_name(node),
                      node->error);
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
    else if (result == 2 && node->is_asked && !node->machine->stop_asked)
        test_fail(__FILE__, __LINE__, "%s was told to stop, and begins anew", node_name(node));
    else if (result == 2)
        node_restart(node);
    else if (result == 0)
        node_stopped(node);
    else
        test_fail(__FILE__, __LINE__, "%s ended with %d: %s", node_name(node), result,
                  server_error(node->server));
}

/* An empty folder has forgotten what was sealed: it follows the newest primary, and is not started
 * while one is being made. */
static bool may_start(const struct node *node)
{
    const struct cluster *cluster = node->cluster;
    enum operator_step step = cluster->operation.step;
    bool is_promoting = step == OPERATOR_SEALS || step == OPERATOR_PROMOTES;
    return node->rebuild_seq == 0 || (node->index != cluster->primary && !is_promoting);
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
        lines_turn(cluster);
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
