/* A cluster under simulation: see tests/sim/cluster.h. A long run: test-sim --times 100000
 * cluster_keeps. */
#include "tests/sim/cluster.h"
#include "tests/test.h"

enum { CALM_ROUNDS = 5, ROUNDS = 120, SEED_FIRST = 1, PLAY_US_MAX = 8000000 };

static struct cluster *begin(uint64_t seed)
{
    struct cluster *cluster = cluster_create(seed);
    for (unsigned i = 0; i < cluster->node_count; i++)
        CHECK(node_start(&cluster->nodes[i]));
    return cluster;
}

static void end(struct cluster *cluster)
{
    cluster_settle(cluster);
    cluster_judge(cluster);
    cluster_destroy(cluster);
}

TEST(replicas_have_what_the_primary_has_when_nothing_fails)
{
    for (int round = 0; round < CALM_ROUNDS; round++) {
        struct cluster *cluster = begin(test_random());
        cluster->faults_rarity = UINT32_MAX;
        cluster_play(cluster, 1000000);
        CHECK_EQUAL(cluster->promotions, 0);
        end(cluster);
    }
}

TEST(cluster_keeps_what_it_answered_through_crashes_partitions_and_promotions)
{
    struct cluster *cluster = begin(test_random());
    cluster_play(cluster, 100000 + cluster_below(cluster, PLAY_US_MAX));
    end(cluster);
}

/* The same, often enough to have everything happen: always the same clusters, so that how much does
 * is known. */
TEST(many_clusters_keep_what_they_answered)
{
    uint32_t promotions = 0, forks = 0, fetches = 0, disks_lost = 0, damages = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct cluster *cluster = begin(SEED_FIRST + (uint64_t)round);
        cluster_play(cluster, 100000 + cluster_below(cluster, PLAY_US_MAX));
        promotions += cluster->promotions;
        forks += cluster->forks;
        fetches += cluster->fetches;
        disks_lost += cluster->disks_lost;
        damages += cluster->damages;
        end(cluster);
    }
    bool is_enough =
        promotions >= ROUNDS / 4 && forks + fetches >= 5 && disks_lost >= 5 && damages >= 3;
    if (!is_enough)
        test_fail(__FILE__, __LINE__,
                  "in %d clusters there were %" PRIu32 " promotions, %" PRIu32 " forks, %" PRIu32
                  " snapshots fetched, %" PRIu32 " disks lost, %" PRIu32 " damaged",
                  ROUNDS, promotions, forks, fetches, disks_lost, damages);
}
