/* The end of a simulated cluster: all faults end, it becomes whole again, and everything that was
 * told and is on the disks is checked. */
#include <stdlib.h>
#include <string.h>

#include "engine/sum.h"
#include "net/members.h"
#include "net/server_state.h"
#include "tests/sim/cluster.h"
#include "tests/test.h"
#include "wal/reader.h"

enum {
    SETTLE_US = 120 * 1000 * 1000, /* simulated, within which a healed cluster is whole again */
    RESTARTS_MAX = 40,             /* in place, meanwhile */
    REPAIR_US = 1500 * 1000,
    PROMOTE_US =
        30 * 1000 * 1000, /* after which a new epoch is begun: two may have begun the last */
};

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
            fprintf(stderr, "  %s is down: %s\n", node_names[i], node->error);
            continue;
        }
        const struct server *server = node->server;
        fprintf(stderr,
                "  %s: role %d, state %u, epoch %" PRIu64 " sealed %" PRIu64
                ", seq durable %" PRIu64 " engine %" PRIu64
                ", follows '%s', primary '%s'; \"%s\"\n",
                node_names[i], (int)server->members.role, members_state(server),
                wal_epoch(server->wal), server->members.shop.epoch_sealed,
                wal_seq_durable(server->wal), engine_seq(server->engine),
                server->members.shop.primary.bytes, server->members.primary.bytes, node->notice);
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
    cluster_trace(cluster, "%u members, %" PRIu32 " acknowledgements: whole again",
                  cluster->node_count, cluster->acks);
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

/* What was durable here and is not kept was set aside: nothing is deleted. Blocks that a snapshot
 * showed may have left the log before: then they are in the snapshot that was set aside. */
static void judge_asides(struct node *node)
{
    static const char image[] = "diverged-snapshot-";
    struct disk *disk;
    struct disk_entry *entries;
    uint64_t seq_shown = 0;
    sim_use(node->machine);
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    int count = disk_list_all(disk, &entries);
    for (int i = 0; i < count; i++) {
        if (strncmp(entries[i].name, "diverged-", strlen("diverged-")) == 0)
            read_aside(node, disk, &entries[i]);
        if (strncmp(entries[i].name, image, sizeof image - 1) == 0) {
            uint64_t seq = strtoull(entries[i].name + sizeof image - 1, NULL, 10);
            seq_shown = seq > seq_shown ? seq : seq_shown;
        }
    }
    free(entries);
    disk_close(disk);
    for (const struct history_block *block = node->cluster->history.oldest; block != NULL;
         block = block->newer) {
        uint64_t seq_last = block->block.seq_first + block->block.command_count - 1;
        if (block->is_kept || block->block.command_count == 0 || seq_last <= seq_shown ||
            (block->members >> node->index & 1) == 0 || (block->asides >> node->index & 1) != 0)
            continue;
        test_fail(__FILE__, __LINE__,
                  "seq %" PRIu64 " of epoch %" PRIu64 " was durable on %s and is nowhere now",
                  block->block.seq_first, block->block.epoch, node_name(node));
    }
}

void cluster_judge(struct cluster *cluster)
{
    char error[256];
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
        if (!engine_check_lists(node->server->engine, error, sizeof error))
            test_fail(__FILE__, __LINE__, "of %s, %s", node_name(node), error);
    }
    history_judge(&cluster->history, tip);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        judge_log(&cluster->nodes[i], tip);
        judge_asides(&cluster->nodes[i]);
    }
    for (unsigned i = 0; i < cluster->node_count; i++)
        node_crash(&cluster->nodes[i], 0);
}
