/* The tree of blocks, and what was told of it. */
#include "tests/sim/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/test.h"

void history_init(struct history *history, struct ledger *ledger)
{
    *history = (struct history){.ledger = ledger};
}

void history_deinit(struct history *history)
{
    while (history->oldest != NULL) {
        struct history_block *block = history->oldest;
        history->oldest = block->newer;
        free(block->image);
        free(block);
    }
    for (uint32_t i = 0; i < history->shown_count; i++)
        free(history->shown[i].answer.reply);
    free(history->shown);
}

struct history_block *history_find(const struct history *history, uint64_t checksum)
{
    struct history_block *found = history->buckets[checksum % HISTORY_BUCKETS];
    while (found != NULL && found->block.checksum != checksum)
        found = found->next;
    return found;
}

/* Equal places have equal states. */
static void check_unique(const struct history *history, const struct history_block *added)
{
    if (added->block.command_count == 0)
        return;
    for (const struct history_block *other = history->oldest; other != NULL; other = other->newer) {
        if (other == added || other->block.command_count == 0 ||
            other->block.epoch != added->block.epoch ||
            history_seq_last(other) != history_seq_last(added))
            continue;
        test_fail(__FILE__, __LINE__, "there are two blocks of epoch %" PRIu64 ", seq %" PRIu64,
                  added->block.epoch, history_seq_last(added));
    }
}

struct history_block *history_of(const struct history *history, uint64_t seq, uint64_t epoch)
{
    for (struct history_block *block = history->oldest; block != NULL; block = block->newer) {
        if (block->block.command_count > 0 && block->block.epoch == epoch &&
            block->block.seq_first <= seq && history_seq_last(block) >= seq)
            return block;
    }
    return NULL;
}

struct history_block *history_add(struct history *history, unsigned member,
                                  const struct wal_block *block, const uint8_t *image,
                                  uint64_t epoch_before)
{
    struct history_block *found = history_find(history, block->checksum);
    if (found != NULL) {
        CHECK_EQUAL(found->block.block_size, block->block_size);
        CHECK(memcmp(found->image, image, block->block_size) == 0);
        found->members |= 1u << member;
        found->holders |= 1u << member;
        return found;
    }
    struct history_block **bucket = &history->buckets[block->checksum % HISTORY_BUCKETS];
    struct history_block *added = calloc(1, sizeof *added);
    CHECK(added != NULL);
    added->block = *block;
    added->image = malloc(block->block_size);
    CHECK(added->image != NULL);
    memcpy(added->image, image, block->block_size);
    added->members = added->holders = 1u << member;
    added->next = *bucket;
    *bucket = added;
    if (history->newest != NULL)
        history->newest->newer = added;
    else
        history->oldest = added;
    history->newest = added;
    if (block->previous != 0) {
        added->parent = history_find(history, block->previous);
        CHECK(added->parent != NULL);
        CHECK_EQUAL(block->seq_first, history_seq_last(added->parent) + 1);
        CHECK(block->epoch >= added->parent->block.epoch);
    } else if (block->seq_first > 1) {
        added->parent = history_of(history, block->seq_first - 1, epoch_before);
        CHECK(added->parent != NULL);
    }
    check_unique(history, added);
    return added;
}

struct history_block *history_at(struct history_block *tip, uint64_t seq)
{
    if (tip == NULL || seq > history_seq_last(tip))
        return NULL;
    while (tip != NULL && (tip->block.seq_first > seq || tip->block.command_count == 0))
        tip = tip->parent;
    return tip;
}

struct history_block *history_only(const struct history *history, uint64_t seq)
{
    struct history_block *only = NULL;
    for (struct history_block *block = history->oldest; block != NULL; block = block->newer) {
        if (block->block.command_count == 0 || block->block.seq_first > seq ||
            history_seq_last(block) < seq)
            continue;
        if (only != NULL)
            return NULL;
        only = block;
    }
    return only;
}

void history_show(struct history *history, unsigned member, const struct history_block *block,
                  const struct request *request, bool is_query, const struct caller_reply *reply)
{
    if (!is_query && reply->outcome == OUTCOME_OK) {
        uint32_t *answerers = &history->answerers[block->block.epoch];
        *answerers |= 1u << member;
        if ((*answerers & (*answerers - 1)) != 0)
            test_fail(__FILE__, __LINE__, "two members answered OK in epoch %" PRIu64,
                      block->block.epoch);
    }
    if (history->shown_count == history->shown_room) {
        history->shown_room = 2 * history->shown_room + 1024;
        history->shown = realloc(history->shown, history->shown_room * sizeof *history->shown);
        CHECK(history->shown != NULL);
    }
    struct shown *shown = &history->shown[history->shown_count++];
    *shown = (struct shown){
        .answer = {.request = *request, .outcome = reply->outcome, .reply_size = reply->size},
        .block = block,
        .is_query = is_query,
    };
    shown->answer.reply = malloc(reply->size);
    CHECK(shown->answer.reply != NULL);
    memcpy(shown->answer.reply, reply->body, reply->size);
}

void history_hold(struct history *history, unsigned member, struct history_block *tip, uint64_t seq)
{
    for (struct history_block *block = tip; block != NULL; block = block->parent)
        block->holders |= 1u << member;
    for (struct history_block *block = history->oldest; tip == NULL && block != NULL;
         block = block->newer) {
        if (history_seq_last(block) <= seq)
            block->holders |= 1u << member;
    }
}

void history_forget(struct history *history, unsigned member)
{
    for (struct history_block *block = history->oldest; block != NULL; block = block->newer)
        block->members &= ~(1u << member);
}

/* Replaying. */

struct branch {
    struct history *history;
    const struct history_block *at;
    uint32_t next; /* of what was shown, sorted by seq */
};

static void check_one(struct ledger_replay *replay, struct shown *shown)
{
    shown->is_checked = true;
    if (shown->is_query) {
        ledger_replay_answer(replay, &shown->answer);
        return;
    }
    CHECK_EQUAL(shown->answer.reply_size, replay->reply_size);
    CHECK(memcmp(shown->answer.reply, replay->reply, replay->reply_size) == 0);
}

/* Commands come first, because answering queries overwrites the reply of the one decided last. */
static void check_shown(struct ledger_replay *replay)
{
    struct branch *branch = replay->context;
    struct history *history = branch->history;
    uint64_t seq = engine_seq(replay->engine);
    uint32_t end = branch->next;
    while (end < history->shown_count && history->shown[end].answer.reply[0] <= seq)
        end++;
    for (unsigned queries = 0; queries < 2; queries++) {
        for (uint32_t i = branch->next; i < end; i++) {
            struct shown *shown = &history->shown[i];
            if (shown->block == branch->at && shown->is_query == (queries == 1) &&
                !shown->is_checked)
                check_one(replay, shown);
        }
    }
    branch->next = end;
}

static int shown_compare(const void *a, const void *b)
{
    uint64_t seq_a = ((const struct shown *)a)->answer.reply[0];
    uint64_t seq_b = ((const struct shown *)b)->answer.reply[0];
    return (seq_a > seq_b) - (seq_a < seq_b);
}

/* From the first block up to `tip`. */
static void replay_to(struct history *history, const struct history_block *tip, bool is_aside)
{
    static uint8_t ids_room[WAL_COLUMN_SIZE_MAX];
    static uint8_t fields_room[WAL_COLUMN_SIZE_MAX];
    struct ledger_replay replay;
    struct branch branch = {.history = history};
    uint32_t count = 0;
    for (const struct history_block *block = tip; block != NULL; block = block->parent)
        count++;
    const struct history_block **path = calloc(count + 1, sizeof(const struct history_block *));
    CHECK(path != NULL);
    for (uint32_t i = count; i-- > 0; tip = tip->parent)
        path[i] = tip;
    ledger_replay_begin(&replay, history->ledger);
    replay.is_aside = is_aside;
    replay.reached = check_shown;
    replay.context = &branch;
    check_shown(&replay);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *ids = NULL;
        const uint8_t *fields = NULL;
        branch.at = path[i];
        CHECK(wal_block_unpack(&path[i]->block, path[i]->image, ids_room, fields_room, &ids,
                               &fields));
        uint64_t seq_max = i + 1 < count ? path[i + 1]->block.seq_first - 1 : UINT64_MAX;
        if (path[i]->block.command_count > 0)
            ledger_replay_block(&replay, &path[i]->block, ids, fields, seq_max);
    }
    ledger_replay_end(&replay);
    free(path);
}

void history_judge(struct history *history, struct history_block *tip)
{
    if (history->shown_count > 0)
        qsort(history->shown, history->shown_count, sizeof *history->shown, shown_compare);
    for (struct history_block *block = tip; block != NULL; block = block->parent)
        block->is_kept = true;
    replay_to(history, tip, history->ledger->may_lose);
    for (uint32_t i = history->shown_count; i-- > 0;) {
        if (!history->shown[i].is_checked)
            replay_to(history, history->shown[i].block, true);
        CHECK(history->shown[i].is_checked);
    }
}
