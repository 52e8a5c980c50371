/* What a join is answered: every combination of what it says against the table of decisions, told
 * again here over plain rows of blocks; and the way back to where two histories part, between
 * servers with any histories. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "tests/test.h"
#include "tests/unit/link_support.h"

enum { EPOCH_END = 8 };

/* A judgement and what it was made of. */
struct court {
    struct chain chain; /* of the server that is asked */
    struct link_self self;
    struct replica_join_body join;
    struct capacity_body rows[TABLES_MAX];
    struct replica_join_reply_body reply;
    bool fences;
};

/* Histories of a server: of one epoch, of several, begun with a later one, and none. */
static void chain_make(struct chain *chain, unsigned kind)
{
    *chain = (struct chain){.count = 0};
    if (kind == 1) {
        chain_add(chain, 1, 3);
        chain_add(chain, 1, 2);
    } else if (kind == 2) {
        chain_add(chain, 1, 3);
        chain_add(chain, 3, 2);
        chain_add(chain, 4, 1);
        chain_add(chain, 4, 2);
    } else if (kind == 3) {
        chain_add(chain, 2, 2);
        chain_add(chain, 5, 2);
    }
}

enum { CHAIN_KINDS = 4 };

static unsigned judge(struct court *court)
{
    memset(&court->reply, 0xff, sizeof court->reply);
    return supplier_judge(&court->self, &court->join, court->rows, &court->reply, &court->fences);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Where the history and that epoch stand, from the blocks alone: its last change here; false when
 * it is not in this history. Epoch 1 is in each, if only with nothing. */
static bool epoch_end(const struct court *court, uint64_t epoch, uint64_t *end)
{
    uint64_t newest = 1;
    bool is_there = epoch == 1;
    *end = 0;
    for (uint32_t i = 0; i < court->chain.count; i++) {
        const struct chain_block *block = &court->chain.blocks[i];
        if (block->seq_last > court->self.seq)
            break;
        newest = block->epoch;
        is_there = is_there || block->epoch == epoch;
        if (block->epoch <= epoch)
            *end = block->seq_last;
    }
    if (court->self.epoch > newest && epoch == court->self.epoch)
        is_there = true;
    return is_there;
}

static unsigned expected_place(const struct court *court, uint64_t *fork_epoch, uint64_t *fork_seq)
{
    uint64_t end = 0;
    uint64_t epoch = court->join.epoch;
    if (epoch_end(court, epoch, &end) && court->join.seq <= end)
        return join_answer_STREAM;
    if (epoch == larger(court->self.epoch, 1))
        return join_answer_REFUSED;
    while (!epoch_end(court, epoch, &end))
        epoch--;
    *fork_epoch = epoch;
    *fork_seq = court->join.seq < end ? court->join.seq : end;
    return join_answer_FORK;
}

static bool is_small(const struct court *court)
{
    struct capacity_body ours[TABLES_MAX];
    uint16_t count = capacities_of(court->self.engine, ours);
    bool small = false;
    for (uint16_t i = 0; i < count; i++) {
        uint32_t theirs = 0;
        for (uint16_t k = 0; k < court->join.capacity_count; k++)
            theirs = court->rows[k].number == ours[i].number ? court->rows[k].records : theirs;
        small = small || theirs < ours[i].records;
    }
    return small;
}

static unsigned expected(const struct court *court, bool *fences, uint64_t *fork_epoch,
                         uint64_t *fork_seq)
{
    const struct replica_join_body *join = &court->join;
    const struct link_self *self = &court->self;
    bool empty = join->seq == 0 && join->checksum == 0;
    uint64_t seen = larger(join->epoch, join->epoch_sealed);
    bool refused = join->member.low == 0 || id_equal(join->member, self->member) ||
                   (!empty && (id_is_zero(join->shop) || join->epoch == 0)) ||
                   id_is_zero(self->shop) ||
                   (!id_is_zero(join->shop) && !id_equal(join->shop, self->shop));
    *fences = !refused && !id_is_zero(join->shop) &&
              seen > larger(larger(self->epoch, self->epoch_sealed), 1);
    if (refused || (!id_is_zero(join->shop) && seen > larger(self->epoch, 1)) ||
        join->schema < SCHEMA || join->version < WAL_BLOCK_VERSION || is_small(court))
        return join_answer_REFUSED;
    if (empty)
        return self->snapshot_seq > 0 ? join_answer_SNAPSHOT : join_answer_STREAM;
    return expected_place(court, fork_epoch, fork_seq);
}

static void check_reply(struct court *court)
{
    bool fences = false;
    uint64_t fork_epoch = 0;
    uint64_t fork_seq = 0;
    unsigned answer = expected(court, &fences, &fork_epoch, &fork_seq);
    const struct replica_join_reply_body *reply = &court->reply;
    if (judge(court) != answer)
        test_fail(__FILE__, __LINE__,
                  "epoch %" PRIu64 " seq %" PRIu64 " checksum %" PRIu64 " sealed %" PRIu64
                  ", here epoch %" PRIu64 " seq %" PRIu64 ": answered %u, not %u",
                  court->join.epoch, court->join.seq, court->join.checksum,
                  court->join.epoch_sealed, court->self.epoch, court->self.seq, reply->answer,
                  answer);
    CHECK_EQUAL(court->fences, fences);
    CHECK_EQUAL(reply->answer, answer);
    CHECK_EQUAL(reply->fork_epoch, fork_epoch);
    CHECK_EQUAL(reply->fork_seq, fork_seq);
    CHECK_EQUAL(reply->seq, court->self.seq);
    CHECK_EQUAL(reply->epoch, larger(court->self.epoch, 1));
    CHECK_EQUAL(reply->acks, court->self.acks);
    CHECK(id_equal(reply->shop, court->self.shop));
    CHECK_EQUAL(reply->snapshot_seq, answer == join_answer_SNAPSHOT ? court->self.snapshot_seq : 0);
    CHECK_EQUAL(reply->reason.bytes[0] != '\0', answer == join_answer_REFUSED);
    CHECK(memchr(reply->reason.bytes, '\0', sizeof reply->reason.bytes) != NULL);
    CHECK(message_info(MESSAGE_replica_join)->reply->check(reply));
}

/* Joins that are sound but for where they are. */
static void check_places(struct court *court)
{
    static const struct id shops[] = {{0, 0}, {7, 70}, {7, 71}};
    court->join = join_of(&court->self);
    court->join.capacity_count = capacities_of(court->self.engine, court->rows);
    for (unsigned shop = 0; shop < 3; shop++) {
        for (uint64_t i = 0; i < EPOCH_END * EPOCH_END * 11 * 2; i++) {
            court->join.shop = shops[shop];
            court->join.epoch = i % EPOCH_END;
            court->join.epoch_sealed = i / EPOCH_END % EPOCH_END;
            court->join.seq = i / (EPOCH_END * EPOCH_END) % 11;
            court->join.checksum = i / (EPOCH_END * EPOCH_END * 11) * 99;
            check_reply(court);
        }
    }
}

static void court_open(struct court *court, unsigned kind)
{
    chain_make(&court->chain, kind);
    court->self = chain_self(&court->chain, chain_engine(&court->chain));
}

static void court_close(struct court *court)
{
    engine_destroy((struct engine *)court->self.engine);
}

TEST(join_is_answered_as_the_table_of_decisions_says_wherever_it_is)
{
    struct court court;
    for (unsigned kind = 0; kind < CHAIN_KINDS; kind++) {
        for (unsigned variant = 0; variant < 8; variant++) {
            court_open(&court, kind);
            court.self.snapshot_seq = (variant & 1) * 2;
            court.self.epoch_sealed += (variant & 2);
            if ((variant & 4) != 0 && court.chain.count > 1) { /* the last block is not durable */
                const struct chain_block *block = &court.chain.blocks[court.chain.count - 2];
                court.self.epoch = block->epoch;
                court.self.seq = block->seq_last;
            }
            check_places(&court);
            court_close(&court);
        }
    }
}

/* The folder was restored: its epoch begins behind all that it has, and has no entry yet. */
TEST(join_is_answered_so_too_by_a_server_whose_epoch_has_not_begun)
{
    struct court court;
    for (unsigned kind = 0; kind < CHAIN_KINDS; kind++) {
        court_open(&court, kind);
        court.self.epoch = court.self.epoch_sealed = 6;
        check_places(&court);
        court_close(&court);
    }
}

static void check_forms(struct court *court, uint16_t count)
{
    for (unsigned i = 0; i < 3 * 3 * 3 * 4; i++) {
        static const struct id members[] = {{0, 0}, {8, 80}, {9, 80}};
        court->join.capacity_count = capacities_of(court->self.engine, court->rows);
        court->join.member = members[i % 3];
        court->join.schema = SCHEMA - 1 + i / 3 % 3;
        court->join.version = WAL_BLOCK_VERSION - 1 + i / 9 % 3;
        for (uint16_t row = 0; row < count && i / 27 == 1; row++)
            court->rows[row].records++;
        court->rows[0].records -= i / 27 == 2;
        if (i / 27 == 3)
            court->join.capacity_count--;
        check_reply(court);
    }
}

TEST(join_is_answered_as_the_table_of_decisions_says_whatever_it_can_do)
{
    struct court court;
    court_open(&court, 2);
    for (unsigned empty = 0; empty < 2; empty++) {
        for (unsigned shops = 0; shops < 4; shops++) {
            court.self.shop = (shops & 1) != 0 ? SHOP : (struct id){0, 0};
            court.join = join_of(&court.self);
            court.join.shop = (shops & 2) != 0 ? SHOP : (struct id){0, 0};
            if (empty)
                court.join.seq = court.join.epoch = court.join.checksum = 0;
            check_forms(&court, court.join.capacity_count);
        }
    }
    court_close(&court);
}

static void check_reason(struct court *court, const char *reason)
{
    CHECK_EQUAL(judge(court), join_answer_REFUSED);
    if (strcmp(court->reply.reason.bytes, reason) != 0)
        test_fail(__FILE__, __LINE__, "%s\n  is not\n%s", court->reply.reason.bytes, reason);
}

/* The largest numbers and the longest names: no reason is cut off. */
TEST(join_that_is_refused_is_told_what_to_change)
{
    struct court court;
    court_open(&court, 1);
    struct replica_join_body good = join_of(&court.self);
    good.capacity_count = capacities_of(court.self.engine, court.rows);

    court.join = good;
    court.join.member = (struct id){0, 0};
    check_reason(&court, "your join names no member: the id of a data folder");
    court.join.member = court.self.member;
    check_reason(&court, "you cannot follow yourself, nor a copy of your data folder");
    court.join = good;
    court.join.epoch = 0;
    check_reason(&court, "your join contradicts itself: it has blocks of no shop or no epoch");
    court.join = good;
    court.self.shop = (struct id){UINT64_MAX, UINT64_MAX};
    check_reason(&court, "here is shop ffffffff-ffff-ffff-ffff-ffffffffffff: follow your own, "
                         "or use an empty --data");
    court.self.shop = (struct id){0, 0};
    check_reason(&court, "the server you ask has no data itself: follow the primary");
    court.self.shop = good.shop;
    court.self.epoch = UINT64_MAX - 1;
    court.join.epoch_sealed = UINT64_MAX;
    check_reason(&court, "you know of epoch 18446744073709551615, it is 18446744073709551614 "
                         "here: follow another server");
    court.join = good;
    court.join.version = 2;
    check_reason(&court, "upgrade this replica first: it reads log version 2, not 3");
    court.join = good;
    court.join.schema = SCHEMA - 1;
    check_reason(&court, "upgrade this replica first: it reads schema 2, not 3");
    court.join = good;
    court.join.epoch = court.self.epoch = UINT64_MAX;
    court.self.seq = UINT64_MAX - 1;
    court.join.seq = UINT64_MAX;
    check_reason(&court, "behind you (epoch 18446744073709551615, seq 18446744073709551614): wait, "
                         "or promote one of us");
    court_close(&court);
}

TEST(join_with_a_smaller_capacity_is_told_the_option_that_sets_it)
{
    struct court court;
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    court_open(&court, 1);
    for (size_t i = 0; i < count; i++) {
        char reason[256];
        snprintf(reason, sizeof reason, "start this replica with --%s 64 at least: it has 63",
                 capacities[i].name);
        for (char *c = reason; *c != '\0'; c++)
            *c = *c == '_' ? '-' : *c;
        court.join = join_of(&court.self);
        court.join.capacity_count = capacities_of(court.self.engine, court.rows);
        court.rows[i].records--;
        check_reason(&court, reason);
        CHECK(sizeof "start this replica with -- 268435455 at least: it has 268435454" +
                  strlen(capacities[i].name) <=
              sizeof court.reply.reason.bytes);
    }
    /* Numbers that are not known here do not matter. */
    court.join = join_of(&court.self);
    court.join.capacity_count = capacities_of(court.self.engine, court.rows);
    court.rows[court.join.capacity_count++] = (struct capacity_body){.number = 60000};
    CHECK_EQUAL(judge(&court), join_answer_STREAM);
    court_close(&court);
}

/* A world of servers whose histories part and are led together again. */
enum { SERVERS = 4, BLOCKS_MAX = 24, WORLD_STEPS = 60, WORLDS = 40 };

struct world {
    struct chain chains[SERVERS];
    uint64_t epoch;              /* the newest that has begun */
    int owners[WORLD_STEPS + 2]; /* who appends to an epoch; -1: nobody any more */
    uint32_t forks;              /* FORKs answered */
    uint32_t joins;
};

/* The number of blocks that two logs have in common. */
static uint32_t common(const struct chain *a, const struct chain *b)
{
    uint32_t count = 0;
    while (count < a->count && count < b->count &&
           a->blocks[count].checksum == b->blocks[count].checksum)
        count++;
    return count;
}

static void append(struct world *world, int server)
{
    struct chain *chain = &world->chains[server];
    uint64_t epoch = chain_epoch(chain);
    if (epoch > 0 && world->owners[epoch] == server && chain->count < BLOCKS_MAX)
        chain_add(chain, epoch, (uint32_t)test_random_below(4));
}

static void promote(struct world *world, int server)
{
    struct chain *chain = &world->chains[server];
    if (chain->count >= BLOCKS_MAX || world->epoch >= WORLD_STEPS)
        return;
    world->epoch += 1 + test_random_below(2);
    world->owners[world->epoch] = server;
    if (test_random_below(3) == 0)
        chain_add(chain, world->epoch, 0);
    chain_add(chain, world->epoch, 1 + (uint32_t)test_random_below(3));
}

/* The last change before a block. */
static uint64_t seq_before(const struct chain *chain, uint32_t index)
{
    return index > 0 ? chain->blocks[index - 1].seq_last : 0;
}

/* Cuts a log behind the block that ends with a change: those without one go too. */
static void cut(struct chain *chain, uint64_t seq)
{
    while (chain->count > 0 && seq_before(chain, chain->count - 1) >= seq)
        chain->count--;
    CHECK_EQUAL(chain_seq(chain), seq);
}

/* What the owner of a supplier does with STREAM: the block at that place has to be the same. */
static bool place_is_there(const struct chain *theirs, const struct chain *ours)
{
    return ours->count <= theirs->count && common(theirs, ours) == ours->count;
}

static unsigned ask(struct world *world, int primary, int replica,
                    struct replica_join_reply_body *reply)
{
    struct capacity_body rows[TABLES_MAX];
    const struct chain *theirs = &world->chains[primary];
    struct engine *engine = chain_engine(theirs);
    struct link_self self = chain_self(theirs, engine);
    struct link_self other = chain_self(&world->chains[replica], engine);
    struct replica_join_body join = join_of(&other);
    bool fences = false;
    join.capacity_count = capacities_of(engine, rows);
    supplier_judge(&self, &join, rows, reply, &fences);
    if (reply->answer == join_answer_STREAM && !place_is_there(theirs, &world->chains[replica])) {
        reply->answer = join.epoch < self.epoch ? join_answer_FORK : join_answer_REFUSED;
        reply->fork_epoch = reply->fork_seq = 0;
    }
    engine_destroy(engine);
    world->joins++;
    return reply->answer;
}

/* A replica joins, and joins again as long as it is told to go back. */
static void rejoin(struct world *world, int primary, int replica)
{
    const struct chain *theirs = &world->chains[primary];
    struct chain *ours = &world->chains[replica];
    struct chain before = *ours;
    struct replica_join_reply_body reply;
    uint32_t shared = common(theirs, ours);
    uint64_t seq_shared = seq_before(ours, shared);
    uint32_t rounds = 0;
    while (ask(world, primary, replica, &reply) == join_answer_FORK) {
        uint32_t count = ours->count;
        struct engine *engine = chain_engine(ours);
        struct link_self self = chain_self(ours, engine);
        uint64_t fork_seq = link_fork_seq(&self, &reply);
        engine_destroy(engine);
        cut(ours, fork_seq);
        CHECK(ours->count < count);
        CHECK(chain_seq(ours) >= seq_shared);
        CHECK(++rounds <= 2 * WORLD_STEPS);
        world->forks++;
    }
    if (rounds > 0)
        for (uint64_t i = 0; i <= world->epoch; i++)
            world->owners[i] = world->owners[i] == replica ? -1 : world->owners[i];
    if (reply.answer == join_answer_REFUSED) {
        CHECK(chain_epoch(&before) >= chain_epoch(theirs));
        CHECK(rounds == 0);
        CHECK(chain_epoch(&before) > chain_epoch(theirs) || shared == theirs->count);
        return;
    }
    CHECK(place_is_there(theirs, ours));
    CHECK_EQUAL(chain_seq(ours), seq_shared);
    for (uint64_t count = test_random_below(4); count > 0 && ours->count < theirs->count; count--) {
        ours->blocks[ours->count] = theirs->blocks[ours->count];
        ours->count++;
    }
}

TEST(joining_again_and_again_ends_at_the_last_block_that_both_have)
{
    struct world *world = calloc(1, sizeof *world);
    uint32_t forks = 0;
    CHECK(world != NULL);
    for (int round = 0; round < WORLDS; round++) {
        *world = (struct world){.epoch = 1};
        world->owners[1] = 0;
        chain_add(&world->chains[0], 1, 2);
        for (int step = 0; step < WORLD_STEPS; step++) {
            int a = (int)test_random_below(SERVERS);
            int b = (int)test_random_below(SERVERS);
            uint64_t what = test_random_below(10);
            if (what < 4)
                append(world, a);
            else if (what == 4)
                promote(world, a);
            else if (a != b)
                rejoin(world, a, b);
        }
        forks += world->forks;
    }
    CHECK(forks > WORLDS);
    free(world);
}

/* The case for which the least of three places is not enough: the replica lacks the epoch that is
 * named, and the change that is named is inside of a block of it. */
TEST(replica_without_the_epoch_of_the_fork_goes_back_to_an_end_of_its_own)
{
    struct chain ours = {.count = 0};
    chain_add(&ours, 1, 3);
    chain_add(&ours, 1, 4);
    chain_add(&ours, 4, 2);
    struct engine *engine = chain_engine(&ours);
    struct link_self self = chain_self(&ours, engine);
    struct replica_join_reply_body reply = {.fork_epoch = 2, .fork_seq = 5};
    CHECK_EQUAL(link_fork_seq(&self, &reply), 7);
    reply = (struct replica_join_reply_body){.fork_epoch = 1, .fork_seq = 3};
    CHECK_EQUAL(link_fork_seq(&self, &reply), 3);
    reply = (struct replica_join_reply_body){.fork_epoch = 1, .fork_seq = 9};
    CHECK_EQUAL(link_fork_seq(&self, &reply), 7);
    reply = (struct replica_join_reply_body){.fork_epoch = 4, .fork_seq = 8};
    CHECK_EQUAL(link_fork_seq(&self, &reply), 8);
    reply = (struct replica_join_reply_body){.fork_epoch = 0, .fork_seq = 2};
    CHECK_EQUAL(link_fork_seq(&self, &reply), 0);
    /* What is decided and not durable does not count. */
    reply = (struct replica_join_reply_body){.fork_epoch = 1, .fork_seq = 9};
    self.seq = 6;
    self.epoch = 1;
    CHECK_EQUAL(link_fork_seq(&self, &reply), 6);
    engine_destroy(engine);
}

/* The replica has sealed off epoch 4 without a change of it: in an empty block, or only by the name
 * of its snapshot. Where nothing else is to be given up, that is. */
TEST(replica_with_no_change_of_its_last_epoch_gives_up_its_empty_blocks_or_begins_anew)
{
    struct chain ours = {.count = 0};
    chain_add(&ours, 1, 3);
    chain_add(&ours, 2, 4);
    chain_add(&ours, 4, 0);
    struct engine *engine = chain_engine(&ours);
    struct link_self self = chain_self(&ours, engine);
    CHECK(self.ends_empty && self.epoch == 4);
    static const struct {
        uint64_t fork_epoch, fork_seq;
        uint64_t with_block, without; /* where it goes back to */
    } rows[] = {
        {2, 7, 7, 0}, /* all its changes are theirs */
        {3, 9, 7, 0}, /* it has no epoch 3: where that ends there says nothing */
        {3, 5, 7, 0}, /* the same */
        {2, 5, 5, 5}, /* theirs end before */
        {1, 3, 3, 3}, /* epoch 2 is not theirs */
        {1, 9, 3, 3}, /* the same, and epoch 1 goes on there */
        {0, 0, 7, 0}, /* its last block is not theirs */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct replica_join_reply_body reply = {.fork_epoch = rows[i].fork_epoch,
                                                      .fork_seq = rows[i].fork_seq};
        self.ends_empty = true;
        CHECK_EQUAL(link_fork_seq(&self, &reply), rows[i].with_block);
        self.ends_empty = false;
        CHECK_EQUAL(link_fork_seq(&self, &reply), rows[i].without);
    }
    engine_destroy(engine);
}
