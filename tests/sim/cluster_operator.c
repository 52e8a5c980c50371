/* The simulated operator: what cli/promote.c and cli/follow.c do, in steps between which anything
 * may happen.
 *
 * A member that does not answer in time is treated as one that is not there; it may do what it was
 * asked all the same. The operator may be called away after any step. */
#include <string.h>

#include "base/status.h"
#include "net/frame.h"
#include "tests/sim/cluster.h"
#include "tests/test.h"

enum { PATIENCE_US = 600 * 1000 };

static void call_make(struct cluster *cluster, unsigned index, unsigned number, const void *body,
                      uint32_t size)
{
    struct operator_call *call = &cluster->operation.calls[index];
    const struct hello_body hello = {
        .magic = FRAME_MAGIC, .version = PROTOCOL_VERSION, .features = FRAME_FEATURE_OPERATOR};
    CHECK(size <= sizeof call->body);
    call->is_made = true;
    call->is_over = call->is_done = false;
    call->number = (uint16_t)number;
    call->size = size;
    memcpy(call->body, body, size);
    if (cluster->nodes[index].server == NULL)
        call->is_over = true;
    else
        caller_greet(&call->caller, cluster->nodes[index].machine, &hello);
}

static void call_end(struct operator_call *call)
{
    if (call->is_made)
        caller_close(&call->caller);
    call->is_made = false;
}

static void call_turn(struct cluster *cluster, unsigned index)
{
    struct operator_call *call = &cluster->operation.calls[index];
    struct caller *caller = &call->caller;
    struct caller_reply *reply = &cluster->reply;
    if (!call->is_made || call->is_over)
        return;
    bool is_answered = caller_receive(caller, reply);
    if (caller->state == CALLER_READY && caller->sent == 0)
        caller_send(caller, call->number, call->body, call->size);
    if (is_answered) {
        call->is_over = true;
        call->is_done = reply->outcome == OUTCOME_OK;
        if (call->is_done && reply->size >= sizeof(struct member_body))
            memcpy(&cluster->operation.members[index], reply->body, sizeof(struct member_body));
    } else if (caller->ended || caller->state == CALLER_REFUSED) {
        call->is_over = true;
    }
}

static void step_begin(struct cluster *cluster, enum operator_step step)
{
    struct operation *operation = &cluster->operation;
    for (unsigned i = 0; i < cluster->node_count; i++)
        call_end(&operation->calls[i]);
    cluster_trace(cluster, "the operator goes from step %d to %d, epoch %" PRIu64,
                  (int)operation->step, (int)step, operation->epoch);
    operation->step = step;
    operation->deadline_us = cluster_now_us(cluster) + PATIENCE_US;
}

void operator_leave(struct cluster *cluster)
{
    step_begin(cluster, OPERATOR_RESTS);
}

void operator_begin(struct cluster *cluster, bool repairs)
{
    struct operation *operation = &cluster->operation;
    const struct member_seal_body look = {.epoch = 0};
    step_begin(cluster, OPERATOR_ASKS);
    operation->repairs = repairs;
    operation->forces = cluster->may_lose && cluster_chance(cluster, 50);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        operation->reaches[i] = cluster->is_calm || cluster_chance(cluster, 85);
        if (operation->reaches[i])
            call_make(cluster, i, MESSAGE_member_seal, &look, sizeof look);
    }
}

void operator_follow(struct cluster *cluster, unsigned follower, unsigned followed)
{
    struct operation *operation = &cluster->operation;
    struct member_follow_body body = {.primary = {{0}}};
    step_begin(cluster, OPERATOR_LEADS);
    operation->winner = NODES_MAX;
    strcpy(body.primary.bytes, node_addresses[followed]);
    call_make(cluster, follower, MESSAGE_member_follow, &body, sizeof body);
}

static bool is_done(const struct cluster *cluster, unsigned index)
{
    const struct operator_call *call = &cluster->operation.calls[index];
    return call->is_made && call->is_done;
}

/* Leads all that answered to the winner, but those that follow it already. */
static void lead(struct cluster *cluster)
{
    struct operation *operation = &cluster->operation;
    struct member_follow_body body = {.primary = {{0}}};
    bool was_there[NODES_MAX];
    for (unsigned i = 0; i < cluster->node_count; i++)
        was_there[i] =
            operation->step == OPERATOR_ASKS ? is_done(cluster, i) : operation->reaches[i];
    step_begin(cluster, OPERATOR_LEADS);
    cluster->primary = operation->winner;
    strcpy(body.primary.bytes, node_addresses[operation->winner]);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        bool follows = operation->repairs && strcmp(operation->members[i].primary.bytes,
                                                    node_addresses[operation->winner]) == 0;
        if (was_there[i] && i != operation->winner && !follows)
            call_make(cluster, i, MESSAGE_member_follow, &body, sizeof body);
    }
}

/* A primary of the newest epoch that anyone knows of, the operator included: members that could
 * tell of one may be out of reach, or have lost their disks. */
static bool finds_primary(struct cluster *cluster)
{
    struct operation *operation = &cluster->operation;
    uint64_t newest = operation->epoch_promoted;
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct member_body *body = &operation->members[i];
        if (!is_done(cluster, i))
            continue;
        newest = body->epoch > newest ? body->epoch : newest;
        newest = body->epoch_sealed > newest ? body->epoch_sealed : newest;
    }
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct member_body *body = &operation->members[i];
        bool is_new = body->epoch == newest || body->epoch_sealed == newest;
        if (is_done(cluster, i) && body->role == server_role_PRIMARY && is_new) {
            operation->winner = i;
            return true;
        }
    }
    return false;
}

/* Would its promise count? A member that began empty counts when it has caught up, as it says
 * itself. One whose log is damaged at its end takes that for a torn write, and says nothing: it
 * must not count either. */
static bool counts(const struct cluster *cluster, unsigned index)
{
    const struct member_body *member = &cluster->operation.members[index];
    return is_done(cluster, index) && !id_is_zero(member->shop) &&
           member->state != member_state_SYNCING && !cluster->nodes[index].is_damaged;
}

/* Has everybody answered, and did all who do not count begin empty? Where nobody is a primary they
 * find none to catch up with, so that only a promotion by force helps: it loses nothing, as fewer
 * disks than K were lost. */
static bool are_rest_empty(const struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->node_count; i++) {
        bool is_empty = is_done(cluster, i) && !cluster->nodes[i].is_damaged &&
                        cluster->operation.members[i].state == member_state_SYNCING;
        if (!counts(cluster, i) && !is_empty)
            return false;
    }
    return true;
}

static bool are_enough(const struct cluster *cluster, uint32_t count)
{
    bool forces = cluster->operation.forces || (cluster->is_calm && are_rest_empty(cluster));
    return count > 0 && (forces || count >= cluster->node_count - cluster->acks);
}

/* With too few whose promise would count, nobody is asked for one: a primary among them would stop
 * for nothing. */
static void asked(struct cluster *cluster)
{
    struct operation *operation = &cluster->operation;
    uint64_t newest = operation->epoch;
    uint32_t count = 0;
    bool is_there[NODES_MAX] = {false};
    if (operation->repairs && finds_primary(cluster)) {
        lead(cluster);
        return;
    }
    operation->shop = (struct id){0};
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct member_body *body = &operation->members[i];
        is_there[i] = is_done(cluster, i) && !id_is_zero(body->shop);
        operation->reaches[i] = is_done(cluster, i);
        if (!is_done(cluster, i))
            continue;
        newest = body->epoch > newest ? body->epoch : newest;
        newest = body->epoch_sealed > newest ? body->epoch_sealed : newest;
        count += counts(cluster, i);
        if (is_there[i])
            operation->shop = body->shop;
    }
    if (!are_enough(cluster, count)) {
        operator_leave(cluster);
        return;
    }
    operation->epoch = newest + 1;
    const struct member_seal_body body = {.shop = operation->shop, .epoch = operation->epoch};
    step_begin(cluster, OPERATOR_SEALS);
    for (unsigned i = 0; i < cluster->node_count; i++) {
        if (is_there[i])
            call_make(cluster, i, MESSAGE_member_seal, &body, sizeof body);
    }
}

static bool has_more(const struct member_body *a, const struct member_body *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->seq > b->seq;
}

static void sealed(struct cluster *cluster)
{
    struct operation *operation = &cluster->operation;
    const struct member_promote_body body = {.shop = operation->shop, .epoch = operation->epoch};
    uint32_t count = 0;
    unsigned best = NODES_MAX;
    for (unsigned i = 0; i < cluster->node_count; i++) {
        const struct member_body *member = &operation->members[i];
        if (!counts(cluster, i))
            continue;
        count++;
        if (best == NODES_MAX || has_more(member, &operation->members[best]))
            best = i;
    }
    if (!are_enough(cluster, count)) {
        operator_leave(cluster);
        return;
    }
    /* From here on it may be the primary, whether its answer comes or not. */
    operation->winner = cluster->primary = best;
    operation->epoch_promoted = operation->epoch;
    step_begin(cluster, OPERATOR_PROMOTES);
    call_make(cluster, best, MESSAGE_member_promote, &body, sizeof body);
}

static void promoted(struct cluster *cluster)
{
    if (!is_done(cluster, cluster->operation.winner)) {
        operator_leave(cluster);
        return;
    }
    cluster->promotions++;
    lead(cluster);
}

void operator_turn(struct cluster *cluster)
{
    struct operation *operation = &cluster->operation;
    bool is_over = cluster_now_us(cluster) >= operation->deadline_us;
    bool waits = false;
    if (operation->step == OPERATOR_RESTS)
        return;
    for (unsigned i = 0; i < cluster->node_count; i++) {
        call_turn(cluster, i);
        waits |= operation->calls[i].is_made && !operation->calls[i].is_over;
    }
    if (waits && !is_over)
        return;
    if (!cluster->is_calm && cluster_chance(cluster, 4)) {
        operator_leave(cluster);
        return;
    }
    switch (operation->step) {
    case OPERATOR_ASKS:
        asked(cluster);
        break;
    case OPERATOR_SEALS:
        sealed(cluster);
        break;
    case OPERATOR_PROMOTES:
        promoted(cluster);
        break;
    case OPERATOR_LEADS:
    case OPERATOR_RESTS:
        operator_leave(cluster);
        break;
    }
}
