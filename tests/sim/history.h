/* All blocks that were ever durable on any member of a simulated cluster, and what was answered:
 * the checker of the cluster's tests.
 *
 * The blocks are a tree, as each names the one before it: where two primaries went on from the same
 * block, it has branches. A reply is kept with the block that has the last change which it shows,
 * so it is known of which history it tells. At the end each branch that a reply tells of is
 * replayed, and the branch on which the shop goes on has all that was promised to be kept. */
#ifndef TILL_TESTS_SIM_HISTORY_H
#define TILL_TESTS_SIM_HISTORY_H

#include "tests/sim/caller.h"
#include "tests/sim/ledger.h"
#include "wal/block.h"

enum { EPOCHS_MAX = 256, HISTORY_BUCKETS = 4096 };

struct history_block {
    struct history_block *parent; /* NULL: it is the first one */
    struct history_block *next;   /* in its bucket */
    struct history_block *newer;  /* the one that was added after it */
    struct wal_block block;
    uint8_t *image;
    /* Members, as bits: that have had it durable in their logs, but for those whose disk was lost;
     * that have or had all up to it, also in a snapshot; in whose diverged-*.till files it is. */
    uint32_t members;
    uint32_t holders;
    uint32_t asides;
    bool is_kept; /* it is a part of the history on which the shop goes on */
};

/* A reply. The command's outcome is OK or REPLAYED, or it is the answer to a query. */
struct shown {
    struct answer answer;
    const struct history_block *block; /* with the change that it names; NULL: seq 0 */
    bool is_query;
    bool is_checked;
};

struct history {
    struct ledger *ledger;
    struct history_block *buckets[HISTORY_BUCKETS]; /* by checksum */
    struct history_block *oldest;
    struct history_block *newest;
    uint32_t primaries[EPOCHS_MAX]; /* by epoch: members that decided in it, as bits, */
    uint32_t answerers[EPOCHS_MAX]; /* and those that answered OK to a command of it */
    struct shown *shown;
    uint32_t shown_count;
    uint32_t shown_room;
};

void history_init(struct history *history, struct ledger *ledger);
void history_deinit(struct history *history);

/* NULL: it is not known. */
struct history_block *history_find(const struct history *history, uint64_t checksum);

/* The block that has the change seq of this epoch; NULL: it is not known. */
struct history_block *history_of(const struct history *history, uint64_t seq, uint64_t epoch);

/* A block has become durable on a member, or was found there after a crash. It continues one that
 * is known; of two blocks that end at the same seq of the same epoch, there is only one. A log that
 * was begun behind a snapshot does not name the block before its first one: that is the one which
 * has the change before, of the epoch that the member's state says for it. */
struct history_block *history_add(struct history *history, unsigned member,
                                  const struct wal_block *block, const uint8_t *image,
                                  uint64_t epoch_before);

/* The block of the history that ends with `tip` which has the change seq; NULL: it has none. */
struct history_block *history_at(struct history_block *tip, uint64_t seq);

/* The only block that has the change seq; NULL: there are several, or there is none. */
struct history_block *history_only(const struct history *history, uint64_t seq);

static inline uint64_t history_seq_last(const struct history_block *block)
{
    return block->block.seq_first + block->block.command_count - 1;
}

/* A member has answered: block has the seq that the reply names. */
void history_show(struct history *history, unsigned member, const struct history_block *block,
                  const struct request *request, bool is_query, const struct caller_reply *reply);

/* The member has, or had, everything up to this change in the history that ends with tip; NULL: in
 * one that is not known. */
void history_hold(struct history *history, unsigned member, struct history_block *tip,
                  uint64_t seq);

/* The member's disk was lost. */
void history_forget(struct history *history, unsigned member);

/* Replays the history that ends with `tip`, which is the one on which the shop goes on, and then
 * those of which replies tell beside it. */
void history_judge(struct history *history, struct history_block *tip);

#endif
