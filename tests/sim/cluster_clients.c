/* The clients of a simulated cluster: each goes on where it finds the primary, asks again what was
 * not answered, and keeps what it was told. */
#include <string.h>

#include "base/status.h"
#include "net/frame.h"
#include "net/server_state.h"
#include "tests/sim/cluster.h"
#include "tests/test.h"

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
        if (strcmp(body.primary.bytes, node_addresses[i]) == 0)
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
                  node_name(node), seq, history_seq_last(node->tip));
    if (block == NULL && seq > 0)
        return; /* it has only a snapshot, and it is not certain of which history */
    CHECK(is_query || block != NULL);
    if (!is_query)
        cluster_trace(cluster, "%s answered seq %" PRIu64, node_name(node), seq);
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
void lines_end(struct node *node)
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
void lines_turn(struct cluster *cluster)
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
