/* A cluster under simulation: see tests/sim/cluster.h. */
#include "tests/sim/cluster.h"
#include "tests/test.h"

TEST(cluster_without_faults_converges)
{
    for (int round = 0; round < 20; round++) {
        struct cluster *cluster = cluster_create(test_random());
        for (unsigned i = 0; i < cluster->node_count; i++)
            CHECK(node_start(&cluster->nodes[i]));
        cluster_play(cluster, 2000000);
        cluster_settle(cluster);
        cluster_judge(cluster);
        cluster_destroy(cluster);
    }
}
