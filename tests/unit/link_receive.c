/* The receiver's side of a link alone: its transitions and pauses, and what a server may send that
 * is none, is of another schema, or lies. */
#include <stdlib.h>
#include <string.h>

#include "engine/layout.h"
#include "tests/test.h"
#include "tests/unit/link_support.h"

enum { START_US = 5000000 };

/* A replica with a log of two epochs, and what is sent to it next. */
struct bench {
    struct chain chain;
    struct engine *engine;
    struct link_self self;
    struct link_self theirs;
    struct follower follower;
    uint64_t now_us;
    uint8_t *bytes;
    uint32_t size;
};

static struct bench *bench_create(void)
{
    struct bench *bench = calloc(1, sizeof *bench);
    CHECK(bench != NULL);
    chain_add(&bench->chain, 1, 5);
    chain_add(&bench->chain, 3, 5);
    bench->now_us = START_US;
    bench->engine = chain_engine(&bench->chain);
    bench->self = chain_self(&bench->chain, bench->engine);
    bench->theirs = bench->self;
    bench->bytes = malloc(2 * (WAL_BLOCK_SIZE_MAX + FRAME_SIZE_MAX));
    CHECK(bench->bytes != NULL && follower_init(&bench->follower, bench->now_us));
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    follower_deinit(&bench->follower);
    engine_destroy(bench->engine);
    free(bench->bytes);
    free(bench);
}

/* Gives the follower some bytes; what it finds first. */
static enum follower_event feed(struct bench *bench, const uint8_t *bytes, size_t size)
{
    return follower_next(&bench->follower, &bench->self, &bytes, &size, bench->now_us);
}

static enum follower_event feed_frame(struct bench *bench, unsigned type, uint32_t request,
                                      const void *body, uint32_t size)
{
    return feed(bench, bench->bytes, frame_of(bench->bytes, type, request, body, size));
}

static struct replica_join_reply_body answer_of(const struct bench *bench, unsigned answer)
{
    return (struct replica_join_reply_body){.seq = bench->theirs.seq,
                                            .shop = bench->theirs.shop,
                                            .epoch = bench->theirs.epoch,
                                            .answer = (uint8_t)answer};
}

static enum follower_event feed_answer(struct bench *bench,
                                       const struct replica_join_reply_body *answer)
{
    return feed_frame(bench, MESSAGE_replica_join | FRAME_REPLY, LINK_REQUEST_NEXT, answer,
                      sizeof *answer);
}

/* Begins anew, up to that state. */
static void go(struct bench *bench, enum follower_state state)
{
    struct replica_join_reply_body answer = answer_of(bench, join_answer_STREAM);
    follower_drop(&bench->follower, bench->now_us, true);
    CHECK_EQUAL(bench->follower.state, FOLLOWER_RESTING);
    if (state >= FOLLOWER_CONNECTING)
        CHECK(follower_turn(&bench->follower, bench->now_us));
    if (state >= FOLLOWER_GREETING)
        follower_connected(&bench->follower, &bench->self, bench->now_us);
    if (state >= FOLLOWER_JOINING)
        CHECK_EQUAL(feed(bench, bench->bytes, greeting_of(&bench->theirs, bench->bytes)),
                    FOLLOWER_SEND);
    if (state >= FOLLOWER_STREAMING)
        CHECK_EQUAL(feed_answer(bench, &answer), FOLLOWER_ANSWER);
    CHECK_EQUAL(bench->follower.state, state);
}

static void check_wrong(struct bench *bench, enum follower_event event, const char *part)
{
    CHECK_EQUAL(event, FOLLOWER_WRONG);
    check_says(bench->follower.error, part);
    CHECK_EQUAL(feed(bench, bench->bytes, 0), FOLLOWER_WRONG);
}

TEST(follower_waits_longer_after_each_try_that_fails)
{
    struct bench *bench = bench_create();
    struct follower *follower = &bench->follower;
    uint64_t pause_us = LINK_RETRY_US_MIN;
    CHECK_EQUAL(follower_wait_us(follower, bench->now_us), 0);
    for (int i = 0; i < 20; i++) {
        CHECK(follower_turn(follower, bench->now_us));
        CHECK(!follower_turn(follower, bench->now_us));
        follower_drop(follower, bench->now_us, false);
        CHECK_EQUAL(follower_wait_us(follower, bench->now_us), pause_us);
        CHECK(!follower_turn(follower, bench->now_us + pause_us - 1));
        CHECK_EQUAL(follower_wait_us(follower, bench->now_us + pause_us), 0);
        bench->now_us += pause_us;
        pause_us = 2 * pause_us < LINK_RETRY_US_MAX ? 2 * pause_us : LINK_RETRY_US_MAX;
    }
    CHECK_EQUAL(follower->retry_us, LINK_RETRY_US_MAX);
    bench_destroy(bench);
}

TEST(follower_waits_no_longer_after_a_beat_or_when_it_is_told_so)
{
    struct bench *bench = bench_create();
    struct follower *follower = &bench->follower;
    struct replica_beat_body beat = {.epoch = 3};
    for (int i = 0; i < 5; i++) {
        CHECK(follower_turn(follower, bench->now_us += LINK_RETRY_US_MAX));
        follower_drop(follower, bench->now_us, false);
    }
    follower_drop(follower, bench->now_us, false);
    CHECK(!follower_turn(follower, bench->now_us));
    follower_drop(follower, bench->now_us, true);
    CHECK_EQUAL(follower_wait_us(follower, bench->now_us), 0);

    go(bench, FOLLOWER_STREAMING);
    follower->retry_us = LINK_RETRY_US_MAX;
    CHECK_EQUAL(feed_frame(bench, MESSAGE_replica_beat, 0, &beat, sizeof beat), FOLLOWER_BEAT);
    follower_drop(follower, bench->now_us, false);
    CHECK_EQUAL(follower_wait_us(follower, bench->now_us), LINK_RETRY_US_MIN);
    bench_destroy(bench);
}

TEST(follower_is_silent_when_nothing_comes_in_any_state_but_at_rest)
{
    struct bench *bench = bench_create();
    for (enum follower_state state = FOLLOWER_RESTING; state <= FOLLOWER_STREAMING; state++) {
        struct follower *follower = &bench->follower;
        go(bench, state);
        bench->now_us += LINK_SILENCE_US - 1;
        CHECK(!follower_is_silent(follower, bench->now_us));
        CHECK_EQUAL(follower_wait_us(follower, bench->now_us), state != FOLLOWER_RESTING);
        if (state > FOLLOWER_CONNECTING) {
            CHECK_EQUAL(feed(bench, (const uint8_t *)"\x18", 1), FOLLOWER_NOTHING);
            CHECK_EQUAL(follower_wait_us(follower, bench->now_us), LINK_SILENCE_US);
            bench->now_us += LINK_SILENCE_US - 1;
            CHECK_EQUAL(feed(bench, bench->bytes, 0), FOLLOWER_NOTHING);
        }
        CHECK_EQUAL(follower_is_silent(follower, bench->now_us + 1), state != FOLLOWER_RESTING);
    }
    bench_destroy(bench);
}

/* Whatever comes on a connection that is being closed is passed over. */
TEST(follower_at_rest_passes_bytes_over)
{
    struct bench *bench = bench_create();
    const uint8_t *bytes = bench->bytes;
    size_t size = 1000;
    memset(bench->bytes, 0xff, size);
    CHECK_EQUAL(follower_next(&bench->follower, &bench->self, &bytes, &size, bench->now_us),
                FOLLOWER_NOTHING);
    CHECK_EQUAL(size, 0);
    CHECK(bytes == bench->bytes + 1000);
    bench_destroy(bench);
}

TEST(follower_tells_in_hello_and_join_what_its_server_has)
{
    struct bench *bench = bench_create();
    const struct frame *frame = (const struct frame *)bench->follower.out;
    const struct hello_body *hello = (const struct hello_body *)(frame + 1);
    const struct replica_join_body *join = (const struct replica_join_body *)(frame + 1);
    const struct capacity_body *rows = (const struct capacity_body *)(join + 1);
    const char *reason = NULL;
    bench->self.epoch_sealed = bench->theirs.epoch = 9;
    go(bench, FOLLOWER_GREETING);
    CHECK_EQUAL(frame->type, MESSAGE_hello);
    CHECK_EQUAL(bench->follower.out_size, frame->size);
    CHECK(message_check_request(message_info(MESSAGE_hello), hello, sizeof *hello, &reason));
    CHECK(hello->magic == FRAME_MAGIC && hello->version == PROTOCOL_VERSION);
    CHECK(id_equal(hello->shop, SHOP) && hello->epoch == 9 && hello->features == 0);

    go(bench, FOLLOWER_JOINING);
    CHECK_EQUAL(frame->type, MESSAGE_replica_join);
    CHECK(message_check_request(message_info(MESSAGE_replica_join), join,
                                frame->size - sizeof *frame, &reason));
    CHECK(id_equal(join->shop, SHOP) && id_equal(join->member, MEMBER));
    CHECK(join->epoch == 3 && join->epoch_sealed == 9 && join->seq == 10);
    CHECK_EQUAL(join->checksum, chain_checksum(&bench->chain));
    CHECK(join->schema == SCHEMA && join->version == WAL_BLOCK_VERSION);
    CHECK(strcmp(join->address.bytes, "10.0.0.1:7411") == 0 &&
          strcmp(join->name.bytes, "house") == 0);
    CHECK_EQUAL(join->capacity_count, CAPACITY_COUNT);
    for (uint16_t i = 0; i < join->capacity_count; i++)
        CHECK(capacity_name(rows[i].number) != NULL && rows[i].records == CHAIN_TABLE_RECORDS);
    bench_destroy(bench);
}

/* A claim of an epoch is of a shop; an empty folder has none. */
TEST(follower_of_an_empty_folder_claims_no_epoch)
{
    struct bench *bench = bench_create();
    const struct hello_body *hello =
        (const struct hello_body *)(bench->follower.out + sizeof(struct frame));
    bench->self.shop = (struct id){0, 0};
    go(bench, FOLLOWER_GREETING);
    CHECK(id_is_zero(hello->shop) && hello->epoch == 0);
    bench_destroy(bench);
}

/* Both before and behind hello, and on the link. */
TEST(follower_says_why_the_other_server_closes_the_connection)
{
    struct bench *bench = bench_create();
    struct error_reply_body error = {.reason = {{"go away\x1b[2J\n"}}};
    unsigned type = MESSAGE_error | FRAME_REPLY;
    for (enum follower_state state = FOLLOWER_GREETING; state <= FOLLOWER_STREAMING; state++) {
        go(bench, state);
        check_wrong(bench, feed_frame(bench, type, 0, &error, sizeof error), "go away?[2J?");
        go(bench, state);
        check_wrong(bench, feed_frame(bench, type, 0, &error, 8), "malformed reason");
    }
    memset(&error, 'x', sizeof error);
    go(bench, FOLLOWER_JOINING);
    check_wrong(bench, feed_frame(bench, type, 0, &error, sizeof error), "xxxxxxxx");
    CHECK_EQUAL(strlen(strchr(bench->follower.error, 'x')), sizeof error.reason.bytes - 1);
    bench_destroy(bench);
}

TEST(follower_takes_no_size_of_a_frame_that_none_can_have)
{
    static const uint32_t sizes[] = {
        0, 1, 16, 23, 25, 28, FRAME_SIZE_MAX + 8, FRAME_SIZE_MAX - 4, UINT32_MAX, UINT32_MAX - 7};
    struct bench *bench = bench_create();
    for (enum follower_state state = FOLLOWER_GREETING; state <= FOLLOWER_STREAMING; state++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct frame frame = {.size = sizes[i], .type = MESSAGE_replica_beat};
            go(bench, state);
            check_wrong(bench, feed(bench, (const uint8_t *)&frame, sizeof frame),
                        "not a till server");
        }
    }
    bench_destroy(bench);
}

/* Of hello and of join: an answer that is none of theirs. */
static void check_strange_answers(struct bench *bench, enum follower_state state, unsigned number,
                                  uint32_t request, const void *body, uint32_t size)
{
    unsigned type = number | FRAME_REPLY;
    struct frame *frame = (struct frame *)bench->bytes;
    const char *name = message_info(number)->name;
    go(bench, state);
    check_wrong(bench, feed_frame(bench, number, request, body, size), name);
    go(bench, state);
    check_wrong(bench, feed_frame(bench, type ^ 32, request, body, size), name);
    go(bench, state);
    check_wrong(bench, feed_frame(bench, type, request + 1, body, size), name);
    go(bench, state);
    check_wrong(bench, feed_frame(bench, type, request, body, 8), "a size that none has");
    go(bench, state);
    frame_of(bench->bytes, type, request, body, size);
    frame->checksum = 1;
    check_wrong(bench, feed(bench, bench->bytes, frame->size), name);
    for (unsigned outcome = 1; outcome < 3; outcome++) {
        go(bench, state);
        frame_of(bench->bytes, type, request, body, size);
        frame->outcome = outcome == 1 ? OUTCOME_FORBIDDEN : UINT16_MAX;
        check_wrong(bench, feed(bench, bench->bytes, frame->size),
                    outcome == 1 ? "FORBIDDEN" : "UNKNOWN");
    }
}

TEST(follower_takes_no_answer_that_is_not_the_one_to_its_request)
{
    struct bench *bench = bench_create();
    struct replica_join_reply_body answer = answer_of(bench, join_answer_STREAM);
    struct {
        struct frame frame;
        struct hello_reply_body body;
    } greeting;
    greeting_of(&bench->theirs, (uint8_t *)&greeting);
    check_strange_answers(bench, FOLLOWER_GREETING, MESSAGE_hello, LINK_REQUEST_HELLO,
                          &greeting.body, sizeof greeting.body);
    check_strange_answers(bench, FOLLOWER_JOINING, MESSAGE_replica_join, LINK_REQUEST_NEXT, &answer,
                          sizeof answer);
    bench_destroy(bench);
}

static enum follower_event feed_greeting(struct bench *bench, const struct hello_reply_body *body,
                                         uint32_t size)
{
    go(bench, FOLLOWER_GREETING);
    return feed_frame(bench, MESSAGE_hello | FRAME_REPLY, LINK_REQUEST_HELLO, body, size);
}

TEST(follower_joins_no_server_of_another_shop_or_protocol)
{
    struct bench *bench = bench_create();
    struct {
        struct hello_reply_body body;
        uint64_t newer[4];
    } hello = {.body = {.version = PROTOCOL_VERSION, .shop = SHOP}};
    uint32_t size = sizeof hello.body;
    uint32_t size_first = layout_shape_size(message_info(MESSAGE_hello)->reply, SCHEMA_FIRST);
    CHECK_EQUAL(feed_greeting(bench, &hello.body, size), FOLLOWER_SEND);
    memset(hello.newer, 0xff, sizeof hello.newer);
    CHECK_EQUAL(feed_greeting(bench, &hello.body, sizeof hello), FOLLOWER_SEND);
    CHECK_EQUAL(feed_greeting(bench, &hello.body, size_first), FOLLOWER_SEND);
    hello.body.shop.high = 1;
    check_wrong(bench, feed_greeting(bench, &hello.body, size), "it is of shop 00000000-0000-0001");
    bench->self.shop = (struct id){0, 0};
    CHECK_EQUAL(feed_greeting(bench, &hello.body, size), FOLLOWER_SEND);
    hello.body.version++;
    check_wrong(bench, feed_greeting(bench, &hello.body, size), "was not asked for");
    hello.body.version--;
    hello.body.features = FRAME_FEATURE_CHECKSUM;
    check_wrong(bench, feed_greeting(bench, &hello.body, size), "was not asked for");
    bench_destroy(bench);
}

TEST(follower_rests_after_any_answer_but_stream)
{
    struct bench *bench = bench_create();
    struct follower *follower = &bench->follower;
    struct replica_join_reply_body answer = answer_of(bench, join_answer_REFUSED);
    memset(&answer.reason, 'n', sizeof answer.reason);
    answer.shop.low = answer.epoch = 0; /* whoever it is, it may refuse */
    go(bench, FOLLOWER_JOINING);
    CHECK_EQUAL(feed_answer(bench, &answer), FOLLOWER_ANSWER);
    CHECK_EQUAL(follower->state, FOLLOWER_RESTING);
    CHECK_EQUAL(strlen(follower->error), sizeof answer.reason.bytes - 1);
    CHECK_EQUAL(follower_wait_us(follower, bench->now_us), LINK_RETRY_US_MIN);

    answer = answer_of(bench, join_answer_SNAPSHOT);
    answer.snapshot_seq = 77;
    go(bench, FOLLOWER_JOINING);
    CHECK_EQUAL(feed_answer(bench, &answer), FOLLOWER_ANSWER);
    CHECK(follower->state == FOLLOWER_RESTING && follower->answer.snapshot_seq == 77);

    answer = answer_of(bench, join_answer_FORK);
    answer.fork_epoch = 3;
    answer.fork_seq = 8;
    go(bench, FOLLOWER_JOINING);
    CHECK_EQUAL(feed_answer(bench, &answer), FOLLOWER_ANSWER);
    CHECK(follower->state == FOLLOWER_RESTING && follower->answer.fork_seq == 8);
    bench_destroy(bench);
}

static void check_answer_wrong(struct bench *bench, const struct replica_join_reply_body *answer,
                               const char *part)
{
    go(bench, FOLLOWER_JOINING);
    check_wrong(bench, feed_answer(bench, answer), part);
}

TEST(follower_obeys_no_server_of_another_shop_or_an_older_epoch)
{
    struct bench *bench = bench_create();
    for (unsigned value = join_answer_STREAM; value <= join_answer_FORK; value++) {
        struct replica_join_reply_body answer = answer_of(bench, value);
        answer.fork_epoch = 1;
        answer.fork_seq = 2;
        bench->self.epoch_sealed = 3;
        answer.shop.low++;
        check_answer_wrong(bench, &answer, "it is of shop");
        answer.shop = (struct id){0, 0};
        check_answer_wrong(bench, &answer, "it is of shop");
        bench->self.shop = (struct id){0, 0};
        check_answer_wrong(bench, &answer, "it is of shop");
        bench->self.shop = SHOP;
        answer.shop = SHOP;
        answer.epoch = 2;
        check_answer_wrong(bench, &answer, "it is of epoch 2");
        answer.epoch = 3;
        bench->self.epoch_sealed = 4;
        check_answer_wrong(bench, &answer, "this server knows of epoch 4");
        answer.epoch = 4;
        go(bench, FOLLOWER_JOINING);
        CHECK_EQUAL(feed_answer(bench, &answer), FOLLOWER_ANSWER);
    }
    struct replica_join_reply_body answer = answer_of(bench, 0);
    check_answer_wrong(bench, &answer, "it answered 0");
    answer.answer = join_answer_REFUSED + 1;
    check_answer_wrong(bench, &answer, "it answered 5");
    bench_destroy(bench);
}

/* Else it would go back to where it is, again and again. */
TEST(follower_takes_no_fork_at_its_own_end)
{
    struct bench *bench = bench_create();
    struct replica_join_reply_body answer = answer_of(bench, join_answer_FORK);
    answer.fork_epoch = 3;
    answer.fork_seq = 10;
    check_answer_wrong(bench, &answer, "nothing is to be given up");
    answer.fork_seq = UINT64_MAX;
    answer.fork_epoch = UINT64_MAX;
    check_answer_wrong(bench, &answer, "nothing is to be given up");
    answer.fork_epoch = answer.fork_seq = 0;
    go(bench, FOLLOWER_JOINING);
    CHECK_EQUAL(feed_answer(bench, &answer), FOLLOWER_ANSWER);
    bench->self.seq = 0; /* a log of one empty block */
    go(bench, FOLLOWER_JOINING);
    CHECK_EQUAL(feed_answer(bench, &answer), FOLLOWER_ANSWER);
    bench->self.checksum = 0;
    check_answer_wrong(bench, &answer, "nothing is to be given up");
    bench_destroy(bench);
}

static enum follower_event feed_link(struct bench *bench, unsigned number, const void *body,
                                     uint32_t size)
{
    go(bench, FOLLOWER_STREAMING);
    return feed_frame(bench, number, 0, body, size);
}

TEST(follower_takes_on_a_link_nothing_but_blocks_and_beats)
{
    struct bench *bench = bench_create();
    uint8_t body[512] = {0};
    for (unsigned number = 0; number <= UINT16_MAX; number += number < 2048 ? 1 : 911) {
        if (number == MESSAGE_replica_block || number == MESSAGE_replica_beat)
            continue;
        check_wrong(bench, feed_link(bench, number, body, 128), "which is not due on a link");
    }
    for (unsigned i = 0; i < 2; i++) {
        struct frame *frame = (struct frame *)bench->bytes;
        go(bench, FOLLOWER_STREAMING);
        frame_of(bench->bytes, MESSAGE_replica_beat, 0, body, sizeof(struct replica_beat_body));
        *(i == 0 ? &frame->checksum : &frame->request) = 1;
        frame->outcome = i == 1;
        check_wrong(bench, feed(bench, bench->bytes, frame->size), "must be zero");
    }
    bench_destroy(bench);
}

TEST(follower_takes_beats_of_other_schemas_and_none_that_cannot_be)
{
    struct bench *bench = bench_create();
    struct {
        struct replica_beat_body body;
        uint64_t newer[2];
    } beat = {.body = {.seq = 11, .age = UINT64_MAX, .epoch = 3, .acks = 2, .members = 5},
              .newer = {UINT64_MAX, UINT64_MAX}};
    memset(&beat.body.primary, 'p', sizeof beat.body.primary);
    for (unsigned newer = 0; newer < 2; newer++) {
        uint32_t size = newer ? sizeof beat : sizeof beat.body;
        CHECK_EQUAL(feed_link(bench, MESSAGE_replica_beat, &beat, size), FOLLOWER_BEAT);
        CHECK(bench->follower.beat.seq == 11 && bench->follower.beat.age == UINT64_MAX);
        CHECK(bench->follower.beat.acks == 2 && bench->follower.beat.members == 5);
        CHECK_EQUAL(strlen(bench->follower.beat.primary.bytes), sizeof beat.body.primary - 1);
    }
    check_wrong(bench, feed_link(bench, MESSAGE_replica_beat, &beat, sizeof beat.body - 8),
                "malformed replica.beat");
    bench_destroy(bench);
}

TEST(follower_takes_no_size_of_a_block_that_none_can_have)
{
    static const uint32_t sizes[] = {0,
                                     1,
                                     WAL_ALIGN - 1,
                                     WAL_ALIGN + 8,
                                     WAL_BLOCK_SIZE_MAX - 8,
                                     WAL_BLOCK_SIZE_MAX + 1,
                                     WAL_BLOCK_SIZE_MAX + WAL_ALIGN,
                                     1u << 31,
                                     UINT32_MAX - WAL_ALIGN + 1,
                                     UINT32_MAX};
    struct bench *bench = bench_create();
    struct replica_block_body body = {.size = WAL_ALIGN};
    CHECK_EQUAL(feed_link(bench, MESSAGE_replica_block, &body, sizeof body), FOLLOWER_NOTHING);
    body.size = WAL_BLOCK_SIZE_MAX;
    CHECK_EQUAL(feed_link(bench, MESSAGE_replica_block, &body, sizeof body), FOLLOWER_NOTHING);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        body.size = sizes[i];
        check_wrong(bench, feed_link(bench, MESSAGE_replica_block, &body, sizeof body),
                    "announced a block");
    }
    body = (struct replica_block_body){.size = WAL_ALIGN, .reserved = 1};
    check_wrong(bench, feed_link(bench, MESSAGE_replica_block, &body, sizeof body),
                "malformed replica.block");
    bench_destroy(bench);
}

/* The link of a bench, and a block of so many bytes that continues it. */
static uint8_t *block_of(struct bench *bench, uint64_t epoch, uint32_t columns)
{
    uint8_t *image = calloc(1, WAL_BLOCK_SIZE_MAX);
    struct chain chain = bench->chain;
    CHECK(image != NULL);
    chain_add_block(&chain, epoch, 2, columns, image);
    return image;
}

/* Gives it the first bytes of an image, as a block of that size, on the link that is there. */
static enum follower_event feed_block(struct bench *bench, const uint8_t *image, uint32_t size)
{
    link_block_frame(bench->bytes, size);
    memcpy(bench->bytes + LINK_BLOCK_GAP, image, size);
    return feed(bench, bench->bytes, LINK_BLOCK_GAP + size);
}

TEST(follower_sees_any_change_of_a_block)
{
    struct bench *bench = bench_create();
    uint8_t *image = block_of(bench, 3, 100);
    go(bench, FOLLOWER_STREAMING);
    CHECK_EQUAL(feed_block(bench, image, WAL_ALIGN), FOLLOWER_BLOCK);
    CHECK_EQUAL(bench->follower.block.seq_first, 11);
    for (uint32_t i = 0; i < WAL_ALIGN; i++) {
        uint8_t changed = (uint8_t)(1 + test_random_below(UINT8_MAX));
        image[i] ^= changed;
        go(bench, FOLLOWER_STREAMING);
        check_wrong(bench, feed_block(bench, image, WAL_ALIGN), "behind seq 10 is damaged");
        image[i] ^= changed;
    }
    image[WAL_ALIGN - 1] = 1; /* padding under a checksum that is right */
    block_mend(image);
    go(bench, FOLLOWER_STREAMING);
    check_wrong(bench, feed_block(bench, image, WAL_ALIGN), "behind seq 10 is damaged");
    free(image);
    bench_destroy(bench);
}

TEST(follower_takes_no_block_of_another_size_than_announced)
{
    struct bench *bench = bench_create();
    uint8_t *image = block_of(bench, 3, 3 * WAL_ALIGN);
    for (uint32_t pages = 1; pages < 8; pages++) {
        go(bench, FOLLOWER_STREAMING);
        enum follower_event event = feed_block(bench, image, pages * WAL_ALIGN);
        if (pages == 4)
            CHECK_EQUAL(event, FOLLOWER_BLOCK);
        else
            check_wrong(bench, event, "is damaged");
    }
    free(image);
    bench_destroy(bench);
}

static void check_block_wrong(struct bench *bench, const struct wal_block *header, const char *part)
{
    uint8_t *image = block_of(bench, 3, 0);
    struct wal_block block = *header;
    memcpy(image, &block, sizeof block);
    block_mend(image);
    go(bench, FOLLOWER_STREAMING);
    check_wrong(bench, feed_block(bench, image, WAL_ALIGN), part);
    free(image);
}

TEST(follower_takes_no_block_but_the_one_that_follows)
{
    struct bench *bench = bench_create();
    uint8_t *image = block_of(bench, 3, 0);
    struct wal_block good;
    struct wal_block block;
    memcpy(&good, image, sizeof good);
    block = good;
    block.schema = SCHEMA + 1;
    check_block_wrong(bench, &block, "written by a newer till");
    for (int i = -1; i < 2; i += 2) {
        block = good;
        block.seq_first += (uint64_t)i;
        block.seq_durable = 1;
        check_block_wrong(bench, &block, "does not continue seq 10, epoch 3");
        block = good;
        block.previous += (uint64_t)i;
        check_block_wrong(bench, &block, "does not continue seq 10, epoch 3");
    }
    block = good;
    block.epoch = 2;
    check_block_wrong(bench, &block, "a block of seq 11, epoch 2, does not continue");
    go(bench, FOLLOWER_STREAMING);
    CHECK_EQUAL(feed_block(bench, image, WAL_ALIGN), FOLLOWER_BLOCK);
    check_wrong(bench, feed_block(bench, image, WAL_ALIGN), "does not continue seq 12");
    free(image);
    bench_destroy(bench);
}

/* Behind a snapshot alone it is not known which block came before; behind nothing, none did. */
TEST(follower_whose_last_block_is_not_known_takes_any_before_the_first_one)
{
    struct bench *bench = bench_create();
    uint8_t *image = block_of(bench, 3, 0);
    bench->self.checksum = 0;
    go(bench, FOLLOWER_STREAMING);
    CHECK_EQUAL(feed_block(bench, image, WAL_ALIGN), FOLLOWER_BLOCK);
    chain_add_block(&bench->chain, 3, 2, 0, image);
    chain_add_block(&bench->chain, 3, 1, 0, image);
    check_wrong(bench, feed_block(bench, image, WAL_ALIGN), "does not continue seq 12");

    bench->chain.count = 0;
    bench->self.seq = bench->self.epoch = bench->self.checksum = 0;
    chain_add_block(&bench->chain, 3, 1, 0, image);
    go(bench, FOLLOWER_STREAMING);
    CHECK_EQUAL(feed_block(bench, image, WAL_ALIGN), FOLLOWER_BLOCK);
    ((struct wal_block *)image)->previous = 1;
    block_mend(image);
    go(bench, FOLLOWER_STREAMING);
    check_wrong(bench, feed_block(bench, image, WAL_ALIGN), "does not continue seq 0");
    free(image);
    bench_destroy(bench);
}

TEST(follower_that_has_sealed_an_epoch_hears_no_older_server)
{
    struct bench *bench = bench_create();
    uint8_t *image = block_of(bench, 3, 0);
    struct replica_beat_body beat = {.epoch = 4};
    uint32_t size = sizeof beat;
    go(bench, FOLLOWER_STREAMING);
    bench->self.epoch_sealed = 5;
    check_wrong(bench, feed_block(bench, image, WAL_ALIGN), "this server has sealed epoch 5");
    bench->self.epoch_sealed = 3;
    go(bench, FOLLOWER_STREAMING);
    bench->self.epoch_sealed = 5;
    check_wrong(bench, feed_frame(bench, MESSAGE_replica_beat, 0, &beat, size), "sealed epoch 5");
    bench->self.epoch_sealed = 3;
    go(bench, FOLLOWER_STREAMING);
    bench->self.epoch_sealed = 5;
    beat.epoch = 5; /* the server that was promoted then sends what came before its epoch */
    CHECK_EQUAL(feed_frame(bench, MESSAGE_replica_beat, 0, &beat, size), FOLLOWER_BEAT);
    CHECK_EQUAL(feed_block(bench, image, WAL_ALIGN), FOLLOWER_BLOCK);
    free(image);
    bench_destroy(bench);
}

TEST(follower_acknowledges_no_more_than_has_come_on_its_link)
{
    struct bench *bench = bench_create();
    const struct frame *frame = (const struct frame *)bench->follower.out;
    const struct replica_ack_body *sent = (const struct replica_ack_body *)(frame + 1);
    struct replica_ack_body ack = {
        .seq_durable = 9, .seq_applied = 12, .epoch_sealed = 3, .state = member_state_DIVERGED};
    uint8_t *image = block_of(bench, 3, 0);
    const char *reason = NULL;
    go(bench, FOLLOWER_STREAMING);
    follower_ack(&bench->follower, &ack);
    CHECK(sent->seq_durable == 9 && sent->seq_applied == 10 && sent->epoch_sealed == 3);
    CHECK(frame->type == MESSAGE_replica_ack && frame->size == bench->follower.out_size);
    CHECK(message_check_request(message_info(MESSAGE_replica_ack), sent, sizeof *sent, &reason));
    CHECK_EQUAL(feed_block(bench, image, WAL_ALIGN), FOLLOWER_BLOCK);
    ack.seq_durable = 13;
    follower_ack(&bench->follower, &ack);
    CHECK(sent->seq_durable == 12 && sent->seq_applied == 12);
    CHECK_EQUAL(sent->state, member_state_DIVERGED);
    free(image);
    bench_destroy(bench);
}
