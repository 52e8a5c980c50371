/* A cluster under simulation: see tests/sim/cluster.h. */
#include "tests/sim/cluster.h"
#include "tests/test.h"

TEST(cluster_without_faults_converges)
{
    for (int round = 0; round < 20; round++) {
        struct cluster *cluster = cluster_create(test_random());
        for (unsigned i = 0; i < cluster->node_count; i++)
            CHECK(node_start(&cluster->nodes[i]));
        cluster->is_calm = true;
        cluster_play(cluster, 500000);
        cluster->is_calm = false;
        cluster->faults_rarity = UINT32_MAX;
        cluster_play(cluster, 1000000);
        cluster_settle(cluster);
        cluster_judge(cluster);
        cluster_destroy(cluster);
    }
}

TEST(cluster_keeps_what_it_answered_through_crashes_partitions_and_promotions)
{
    for (int round = 0; round < 1; round++) {
        struct cluster *cluster = cluster_create(test_random());
        for (unsigned i = 0; i < cluster->node_count; i++)
            CHECK(node_start(&cluster->nodes[i]));
        cluster_play(cluster, 100000 + cluster_below(cluster, 8000000));
        cluster_settle(cluster);
        cluster_judge(cluster);
        cluster_destroy(cluster);
    }
}
