/* What fails in a simulated cluster, one fault at a time, at random. */
#include <stdlib.h>
#include <string.h>

#include "net/server_state.h"
#include "tests/sim/cluster.h"
#include "tests/test.h"

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
    if (node->server == NULL)
        return;
    node->is_asked = true;
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

void node_empty_folder(struct node *node)
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
        count += node->is_behind;
        is_elsewhere |= node != lost && node->tip != NULL && !node->is_behind;
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
    node_empty_folder(node);
    history_forget(&cluster->history, node->index);
    node->rebuild_seq = seq_newest(cluster);
    node->is_behind = true;
    node->tip = NULL;
    cluster->disks_lost++;
    cluster_trace(cluster, "%s loses its disk", node_name(node));
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
    node->is_behind = node->is_damaged = true;
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
