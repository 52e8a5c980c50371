/* Both machines of a link against each other: a log of real blocks goes from one to the other over
 * a connection that hands bytes on in pieces of any size, and breaks at any place. */
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "tests/unit/link_support.h"

enum {
    PIPE_SIZE = 4 * LINK_OUT_SIZE,
    BREAKS_MAX = 30,
    STEPS_MAX = 1 << 20,
};

struct pipe {
    uint8_t *bytes;
    size_t size;
};

/* The primary with its log, the connection, and the replica. */
struct pair {
    struct chain chain;
    uint8_t *images[CHAIN_BLOCKS_MAX];
    uint32_t sizes[CHAIN_BLOCKS_MAX];
    struct engine *engine;
    uint64_t now_us;
    uint64_t breaks;

    struct link_self theirs;
    struct link_reader requests;
    struct supplier supplier;
    bool is_joined;
    uint32_t sent; /* blocks */
    uint32_t joins;

    struct pipe down; /* to the replica */
    struct pipe up;

    struct link_self ours;
    struct follower follower;
    uint32_t came;    /* blocks that are in the replica's log, */
    uint32_t durable; /* and on its disk */
    uint32_t beats;
};

static void pipe_add(struct pipe *pipe, const void *bytes, size_t size)
{
    CHECK(pipe->size + size <= PIPE_SIZE);
    memcpy(pipe->bytes + pipe->size, bytes, size);
    pipe->size += size;
}

/* Takes a piece of random size out of it, in memory of its own so that a sanitizer sees whoever
 * reads too far. */
static uint8_t *pipe_take(struct pipe *pipe, size_t *size)
{
    uint64_t most = test_random_below(3) == 0 ? 40 : 2 * WAL_BLOCK_SIZE_MAX;
    *size = pipe->size < most ? pipe->size : most;
    *size = test_random_below(*size + 1);
    uint8_t *piece = malloc(*size + 1);
    CHECK(piece != NULL);
    memcpy(piece, pipe->bytes, *size);
    pipe->size -= *size;
    memmove(pipe->bytes, pipe->bytes + *size, pipe->size);
    return piece;
}

/* A log of three epochs, with blocks of all sizes and empty ones. */
static void chain_write(struct pair *pair)
{
    uint8_t *image = malloc(WAL_BLOCK_SIZE_MAX);
    for (uint32_t i = 0; i < CHAIN_BLOCKS_MAX; i++) {
        uint64_t epoch = i < 20 ? 1 : i < 40 ? 2 : 5;
        bool is_first = i == 20 || i == 40;
        uint32_t changes =
            !is_first && test_random_below(8) == 0 ? 0 : 1 + (uint32_t)test_random_below(4);
        uint64_t columns =
            test_random_below(6) == 0 ? 2 * WAL_COLUMN_SIZE_MAX : test_random_below(3 * WAL_ALIGN);
        pair->sizes[i] = chain_add_block(&pair->chain, epoch, changes, (uint32_t)columns, image);
        pair->images[i] = malloc(pair->sizes[i]);
        CHECK(pair->images[i] != NULL);
        memcpy(pair->images[i], image, pair->sizes[i]);
    }
    free(image);
}

static struct pair *pair_create(void)
{
    struct pair *pair = calloc(1, sizeof *pair);
    CHECK(pair != NULL);
    pair->down.bytes = malloc(PIPE_SIZE);
    pair->up.bytes = malloc(PIPE_SIZE);
    CHECK(pair->down.bytes != NULL && pair->up.bytes != NULL);
    chain_write(pair);
    pair->now_us = 1 + test_random_below(US_PER_SECOND);
    pair->engine = chain_engine(&pair->chain);
    pair->theirs = chain_self(&pair->chain, pair->engine);
    pair->ours = (struct link_self){.member = {1, 1}, .engine = pair->engine};
    CHECK(follower_init(&pair->follower, pair->now_us));
    CHECK(link_reader_init(&pair->requests, FRAME_SIZE_MAX));
    return pair;
}

static void pair_destroy(struct pair *pair)
{
    follower_deinit(&pair->follower);
    link_reader_deinit(&pair->requests);
    engine_destroy(pair->engine);
    for (uint32_t i = 0; i < CHAIN_BLOCKS_MAX; i++)
        free(pair->images[i]);
    free(pair->down.bytes);
    free(pair->up.bytes);
    free(pair);
}

/* The primary. */

static void send_down(struct pair *pair, const uint8_t *bytes, uint32_t size)
{
    pipe_add(&pair->down, bytes, size);
}

static void take_join(struct pair *pair, const struct frame *frame)
{
    uint8_t bytes[FRAME_SIZE_MAX];
    const char *reason = NULL;
    const struct message_info *message = message_info(MESSAGE_replica_join);
    const struct replica_join_body *join = (const void *)(frame + 1);
    const struct capacity_body *rows = (const void *)(join + 1);
    struct replica_join_reply_body reply;
    bool fences = true;
    CHECK(message_check_request(message, join, frame->size - sizeof *frame, &reason));
    CHECK_EQUAL(supplier_judge(&pair->theirs, join, rows, &reply, &fences), join_answer_STREAM);
    CHECK(!fences);
    supplier_init(&pair->supplier, join, frame->request, pair->now_us);
    CHECK_EQUAL(supplier_wait_us(&pair->supplier, pair->now_us), UINT64_MAX);
    send_down(pair, bytes, supplier_answer(&pair->supplier, &reply, bytes));
    pair->sent = 0;
    while (join->checksum != 0 && pair->chain.blocks[pair->sent++].checksum != join->checksum)
        CHECK(pair->sent < CHAIN_BLOCKS_MAX);
    pair->is_joined = true;
    pair->joins++;
}

static void take_request(struct pair *pair, const struct frame *frame)
{
    uint8_t bytes[FRAME_SIZE_MAX];
    const char *reason = NULL;
    const struct message_info *message = message_info(MESSAGE_hello);
    if (pair->is_joined) {
        bool is_right = supplier_receive(&pair->supplier, frame, pair->now_us);
        if (!is_right)
            test_fail(__FILE__, __LINE__, "%s", pair->supplier.error);
        CHECK(pair->supplier.seq_durable <= pair->supplier.seq_sent);
    } else if (frame->type == MESSAGE_hello) {
        const struct hello_body *hello = (const void *)(frame + 1);
        CHECK(message_check_request(message, hello, frame->size - sizeof *frame, &reason));
        CHECK_EQUAL(hello->epoch, pair->ours.epoch);
        CHECK(id_equal(hello->shop, pair->ours.shop));
        send_down(pair, bytes, greeting_of(&pair->theirs, bytes));
    } else {
        CHECK_EQUAL(frame->type, MESSAGE_replica_join);
        take_join(pair, frame);
    }
}

static void primary_receives(struct pair *pair)
{
    size_t size = 0;
    uint8_t *piece = pipe_take(&pair->up, &size);
    const uint8_t *bytes = piece;
    while (link_reader_next(&pair->requests, &bytes, &size) == LINK_FRAME)
        take_request(pair, link_reader_frame(&pair->requests));
    CHECK_EQUAL(size, 0);
    free(piece);
}

static void primary_sends(struct pair *pair)
{
    uint8_t beat[LINK_BEAT_SIZE];
    uint32_t first = pair->sent;
    size_t start = pair->down.size;
    if (!pair->is_joined)
        return;
    for (uint64_t count = test_random_below(4);
         count > 0 && pair->sent < CHAIN_BLOCKS_MAX && pair->down.size < LINK_OUT_SIZE;
         count--, pair->sent++) {
        uint8_t gap[LINK_BLOCK_GAP] = {0};
        pipe_add(&pair->down, gap, sizeof gap);
        pipe_add(&pair->down, pair->images[pair->sent], pair->sizes[pair->sent]);
    }
    if (pair->sent > first) {
        supplier_frame(&pair->supplier, pair->down.bytes + start, pair->down.size - start);
        CHECK_EQUAL(pair->supplier.seq_sent, pair->chain.blocks[pair->sent - 1].seq_last);
    }
    uint32_t size = supplier_beat(&pair->supplier, &pair->theirs, pair->now_us, beat);
    CHECK(supplier_wait_us(&pair->supplier, pair->now_us) <= LINK_BEAT_US);
    pipe_add(&pair->down, beat, size);
}

/* The replica. */

static void replica_knows(struct pair *pair)
{
    struct chain durable = pair->chain;
    durable.count = pair->durable;
    pair->ours.shop = pair->durable > 0 ? SHOP : pair->ours.shop;
    pair->ours.epoch = pair->ours.epoch_sealed = chain_epoch(&durable);
    pair->ours.seq = chain_seq(&durable);
    pair->ours.checksum = chain_checksum(&durable);
}

static void replica_acks(struct pair *pair)
{
    struct chain came = pair->chain;
    came.count = pair->came;
    struct replica_ack_body ack = {.seq_durable = pair->ours.seq,
                                   .seq_applied = chain_seq(&came),
                                   .epoch_sealed = pair->ours.epoch_sealed,
                                   .state = member_state_STREAMING};
    follower_ack(&pair->follower, &ack);
    pipe_add(&pair->up, pair->follower.out, pair->follower.out_size);
}

/* A block came, which may be there already from an earlier connection. */
static void replica_takes(struct pair *pair)
{
    const struct follower *follower = &pair->follower;
    uint32_t number = 0;
    while (pair->chain.blocks[number].checksum != follower->block.checksum)
        CHECK(++number < CHAIN_BLOCKS_MAX);
    CHECK(number <= pair->came);
    CHECK_EQUAL((uintptr_t)follower->block_bytes % WAL_ALIGN, 0);
    CHECK_EQUAL(follower->block.block_size, pair->sizes[number]);
    CHECK(memcmp(follower->block_bytes, pair->images[number], pair->sizes[number]) == 0);
    pair->came = number == pair->came ? number + 1 : pair->came;
}

static void replica_sees(struct pair *pair, enum follower_event event)
{
    struct follower *follower = &pair->follower;
    switch (event) {
    case FOLLOWER_SEND:
        pipe_add(&pair->up, follower->out, follower->out_size);
        break;
    case FOLLOWER_ANSWER:
        CHECK_EQUAL(follower->answer.answer, join_answer_STREAM);
        CHECK_EQUAL(follower->state, FOLLOWER_STREAMING);
        pair->ours.shop = follower->answer.shop;
        break;
    case FOLLOWER_BLOCK:
        replica_takes(pair);
        break;
    case FOLLOWER_BEAT:
        pair->beats++;
        CHECK_EQUAL(follower->beat.seq, pair->theirs.seq);
        CHECK_EQUAL(follower->beat.age, pair->theirs.age_us);
        CHECK_EQUAL(follower->beat.members, pair->theirs.members);
        replica_acks(pair);
        break;
    case FOLLOWER_NOTHING:
    case FOLLOWER_WRONG:
        test_fail(__FILE__, __LINE__, "%s", follower->error);
    }
}

static void replica_receives(struct pair *pair)
{
    size_t size = 0;
    uint8_t *piece = pipe_take(&pair->down, &size);
    const uint8_t *bytes = piece;
    enum follower_event event = FOLLOWER_NOTHING;
    while ((event = follower_next(&pair->follower, &pair->ours, &bytes, &size, pair->now_us)) !=
           FOLLOWER_NOTHING)
        replica_sees(pair, event);
    CHECK_EQUAL(size, 0);
    free(piece);
}

static void replica_writes(struct pair *pair)
{
    uint32_t durable = pair->durable;
    pair->durable += (uint32_t)test_random_below(pair->came - pair->durable + 1);
    replica_knows(pair);
    if (pair->durable > durable && pair->follower.state == FOLLOWER_STREAMING)
        replica_acks(pair);
}

static void connection_breaks(struct pair *pair)
{
    pair->down.size = pair->up.size = 0;
    pair->is_joined = false;
    link_reader_reset(&pair->requests);
    follower_drop(&pair->follower, pair->now_us, test_random_below(2) == 0);
    pair->breaks++;
}

static void step(struct pair *pair)
{
    pair->now_us += test_random_below(LINK_BEAT_US / 4);
    if (follower_turn(&pair->follower, pair->now_us)) {
        follower_connected(&pair->follower, &pair->ours, pair->now_us);
        pipe_add(&pair->up, pair->follower.out, pair->follower.out_size);
    }
    if (pair->follower.state != FOLLOWER_RESTING)
        replica_receives(pair);
    primary_receives(pair);
    primary_sends(pair);
    replica_writes(pair);
    if (pair->breaks < BREAKS_MAX && test_random_below(30) == 0)
        connection_breaks(pair);
    CHECK(!follower_is_silent(&pair->follower, pair->now_us));
}

static bool is_done(const struct pair *pair)
{
    return pair->is_joined && pair->supplier.seq_durable == pair->theirs.seq &&
           pair->supplier.seq_applied == pair->theirs.seq && pair->durable == CHAIN_BLOCKS_MAX;
}

TEST(log_goes_to_a_replica_byte_for_byte_through_a_connection_that_breaks)
{
    struct pair *pair = pair_create();
    uint64_t bytes = 0;
    uint8_t beat[LINK_BEAT_SIZE];
    for (uint32_t i = 0; !is_done(pair) || pair->breaks < BREAKS_MAX; i++) {
        CHECK(i < STEPS_MAX);
        step(pair);
    }
    for (uint32_t i = 0; i < CHAIN_BLOCKS_MAX; i++)
        bytes += pair->sizes[i];
    CHECK(pair->follower.received_bytes >= bytes);
    CHECK(pair->joins > 1 && pair->beats > 1);
    supplier_beat(&pair->supplier, &pair->theirs, pair->now_us, beat);
    CHECK_EQUAL(pair->supplier.caught_up_us, pair->now_us);
    pair_destroy(pair);
}

/* A replica that is never quite there has caught up with what was there a while ago. */
TEST(supplier_knows_since_when_a_replica_lags_that_never_has_all)
{
    struct supplier supplier;
    struct chain chain = {.count = 0};
    struct link_self self = chain_self(&chain, NULL);
    struct replica_join_body join = join_of(&self);
    struct replica_join_reply_body reply = {.answer = join_answer_STREAM};
    struct replica_ack_body ack = {.state = member_state_STREAMING};
    uint8_t bytes[FRAME_SIZE_MAX];
    uint8_t *image = malloc(LINK_BLOCK_GAP + WAL_BLOCK_SIZE_MAX);
    uint64_t now_us = 1000;
    CHECK(image != NULL);
    supplier_init(&supplier, &join, 2, now_us);
    supplier_answer(&supplier, &reply, bytes);
    for (uint64_t seq = 1; seq < 40; seq++, now_us += 1000) {
        uint32_t size = chain_add_block(&chain, 1, 1, 100, image + LINK_BLOCK_GAP);
        supplier_frame(&supplier, image, LINK_BLOCK_GAP + size);
        self.seq = seq;
        supplier_beat(&supplier, &self, now_us, bytes);
        ack.seq_durable = seq > 3 ? seq - 3 : 0;
        frame_of(bytes, MESSAGE_replica_ack, 0, &ack, sizeof ack);
        CHECK(supplier_receive(&supplier, (const struct frame *)bytes, now_us));
        CHECK(seq < 10 || now_us - supplier.caught_up_us >= 3000);
        CHECK(seq < 10 || now_us - supplier.caught_up_us <= 2 * 4000);
    }
    ack.seq_durable = 39;
    frame_of(bytes, MESSAGE_replica_ack, 0, &ack, sizeof ack);
    CHECK(supplier_receive(&supplier, (const struct frame *)bytes, now_us));
    supplier_beat(&supplier, &self, now_us, bytes);
    CHECK_EQUAL(supplier.caught_up_us, now_us);
    supplier_beat(&supplier, &self, now_us + 500, bytes);
    CHECK_EQUAL(supplier.caught_up_us, now_us + 500);
    free(image);
}
