/* The sender's side of a link alone: its transitions and beats, and what a replica may send that is
 * none, is of another schema, or lies. */
#include <string.h>

#include "tests/test.h"
#include "tests/unit/link_support.h"

enum { START_US = 5000000 };

/* The first seven changes of the log are on their way, five were there at the join. */
struct desk {
    struct link_self self;
    struct supplier supplier;
    struct replica_join_body join;
    struct {
        struct frame frame;
        struct replica_ack_body body;
        uint64_t newer[2];
    } ack;
    uint64_t bytes[FRAME_SIZE_MAX / 8];
};

static uint32_t answer(struct desk *desk, unsigned value)
{
    struct replica_join_reply_body reply = {.answer = (uint8_t)value, .reason = {{"no, thanks"}}};
    return supplier_answer(&desk->supplier, &reply, (uint8_t *)desk->bytes);
}

static void go(struct desk *desk, enum supplier_state state)
{
    struct chain chain = {.count = 0};
    uint8_t image[LINK_BLOCK_GAP + WAL_ALIGN];
    chain_add(&chain, 2, 5);
    desk->self = chain_self(&chain, NULL);
    desk->join = join_of(&desk->self);
    supplier_init(&desk->supplier, &desk->join, 9, START_US);
    if (state != SUPPLIER_JOINING)
        answer(desk, state == SUPPLIER_LEAVING ? join_answer_REFUSED : join_answer_STREAM);
    if (state == SUPPLIER_STREAMING) {
        chain_add_block(&chain, 2, 2, 0, image + LINK_BLOCK_GAP);
        supplier_frame(&desk->supplier, image, sizeof image);
    }
    CHECK_EQUAL(desk->supplier.state, state);
    desk->ack.body = (struct replica_ack_body){
        .seq_durable = 6, .seq_applied = 7, .epoch_sealed = 2, .state = member_state_STREAMING};
    desk->ack.frame = (struct frame){.size = sizeof desk->ack.frame + sizeof desk->ack.body,
                                     .type = MESSAGE_replica_ack};
}

static bool receive(struct desk *desk)
{
    return supplier_receive(&desk->supplier, &desk->ack.frame, START_US + 1);
}

static void check_refused(struct desk *desk, const char *part)
{
    CHECK(!receive(desk));
    CHECK_EQUAL(desk->supplier.state, SUPPLIER_LEAVING);
    check_says(desk->supplier.error, part);
    go(desk, SUPPLIER_STREAMING);
}

TEST(supplier_answers_a_join_and_streams_or_leaves)
{
    struct desk desk;
    const struct frame *frame = (const struct frame *)desk.bytes;
    const struct replica_join_reply_body *reply = (const void *)(frame + 1);
    for (unsigned value = join_answer_STREAM; value <= join_answer_REFUSED; value++) {
        go(&desk, SUPPLIER_JOINING);
        CHECK_EQUAL(answer(&desk, value), sizeof *frame + sizeof *reply);
        CHECK(frame->size == sizeof *frame + sizeof *reply && frame->request == 9);
        CHECK_EQUAL(frame->type, MESSAGE_replica_join | FRAME_REPLY);
        CHECK(frame->outcome == OUTCOME_OK && frame->checksum == 0);
        CHECK_EQUAL(reply->answer, value);
        CHECK_EQUAL(desk.supplier.state,
                    value == join_answer_STREAM ? SUPPLIER_STREAMING : SUPPLIER_LEAVING);
        if (value != join_answer_STREAM)
            check_says(desk.supplier.error, value == join_answer_REFUSED
                                                ? "refused: no, thanks"
                                                : named_value_name(FIELD_join_answer, value));
    }
    go(&desk, SUPPLIER_STREAMING);
    supplier_lost(&desk.supplier);
    CHECK_EQUAL(desk.supplier.state, SUPPLIER_LEAVING);
    check_says(desk.supplier.error, "what follows seq 7 is no longer kept");
}

TEST(supplier_keeps_what_the_join_says_in_printable_form)
{
    struct desk desk;
    go(&desk, SUPPLIER_JOINING);
    memset(desk.join.address.bytes, '\x1b', sizeof desk.join.address.bytes);
    supplier_init(&desk.supplier, &desk.join, 9, START_US);
    CHECK_EQUAL(strlen(desk.supplier.address.bytes), sizeof desk.join.address.bytes - 1);
    CHECK_EQUAL(desk.supplier.address.bytes[0], '?');
    CHECK(id_equal(desk.supplier.member, desk.join.member));
    CHECK(memcmp(&desk.supplier.name, &desk.join.name, sizeof desk.join.name) == 0);
    CHECK(desk.supplier.seq_durable == 5 && desk.supplier.epoch_sealed == 2);
}

/* Its place is proven by the checksum, and the log there may be of an older epoch. */
TEST(supplier_does_not_believe_the_epoch_that_a_join_names)
{
    struct desk desk;
    struct chain chain = {.count = 0};
    uint8_t image[LINK_BLOCK_GAP + WAL_ALIGN];
    chain_add(&chain, 2, 5);
    desk.self = chain_self(&chain, NULL);
    desk.join = join_of(&desk.self);
    desk.join.epoch = UINT64_MAX;
    supplier_init(&desk.supplier, &desk.join, 9, START_US);
    answer(&desk, join_answer_STREAM);
    chain_add_block(&chain, 2, 2, 0, image + LINK_BLOCK_GAP);
    supplier_frame(&desk.supplier, image, sizeof image);
    CHECK(desk.supplier.epoch_joined == UINT64_MAX && desk.supplier.epoch_sent == 2);
    CHECK(desk.supplier.seq_sent == 7 && desk.supplier.state == SUPPLIER_STREAMING);
}

TEST(supplier_beats_at_once_and_then_when_it_is_time)
{
    struct desk desk;
    uint64_t now_us = START_US;
    const struct frame *frame = (const struct frame *)desk.bytes;
    const struct replica_beat_body *beat = (const void *)(frame + 1);
    uint8_t *bytes = (uint8_t *)desk.bytes;
    const char *reason = NULL;
    go(&desk, SUPPLIER_JOINING);
    CHECK_EQUAL(supplier_beat(&desk.supplier, &desk.self, now_us, bytes), 0);
    go(&desk, SUPPLIER_STREAMING);
    desk.self.primary = (struct text){{"10.0.0.9:1"}};
    CHECK_EQUAL(supplier_wait_us(&desk.supplier, now_us), 0);
    CHECK_EQUAL(supplier_beat(&desk.supplier, &desk.self, now_us, bytes), LINK_BEAT_SIZE);
    CHECK(frame->size == LINK_BEAT_SIZE && frame->type == MESSAGE_replica_beat);
    CHECK(message_check_request(message_info(MESSAGE_replica_beat), beat, sizeof *beat, &reason));
    CHECK(beat->seq == 5 && beat->age == desk.self.age_us && beat->epoch == 2);
    CHECK(beat->acks == 1 && beat->members == 3);
    CHECK(strcmp(beat->primary.bytes, "10.0.0.9:1") == 0);
    CHECK_EQUAL(supplier_wait_us(&desk.supplier, now_us), LINK_BEAT_US);
    CHECK_EQUAL(supplier_beat(&desk.supplier, &desk.self, now_us + LINK_BEAT_US - 1, bytes), 0);
    CHECK(supplier_beat(&desk.supplier, &desk.self, now_us + LINK_BEAT_US, bytes) > 0);
    go(&desk, SUPPLIER_LEAVING);
    CHECK_EQUAL(supplier_beat(&desk.supplier, &desk.self, now_us, bytes), 0);
}

TEST(supplier_is_silent_when_nothing_comes_but_not_before_its_answer)
{
    struct desk desk;
    uint64_t late_us = START_US + LINK_SILENCE_US;
    go(&desk, SUPPLIER_JOINING);
    CHECK(!supplier_is_silent(&desk.supplier, late_us));
    CHECK_EQUAL(supplier_wait_us(&desk.supplier, late_us), UINT64_MAX);
    go(&desk, SUPPLIER_LEAVING);
    CHECK(receive(&desk)); /* it is closed nevertheless */
    CHECK_EQUAL(supplier_wait_us(&desk.supplier, late_us - 5), 5);
    CHECK(!supplier_is_silent(&desk.supplier, late_us - 1));
    CHECK(supplier_is_silent(&desk.supplier, late_us));
    go(&desk, SUPPLIER_STREAMING);
    supplier_beat(&desk.supplier, &desk.self, late_us - 5, (uint8_t *)desk.bytes);
    CHECK_EQUAL(supplier_wait_us(&desk.supplier, late_us - 5), 5);
    CHECK(!supplier_is_silent(&desk.supplier, late_us - 1));
    CHECK(supplier_is_silent(&desk.supplier, late_us));
    CHECK(receive(&desk));
    CHECK(!supplier_is_silent(&desk.supplier, late_us));
    CHECK(supplier_is_silent(&desk.supplier, late_us + 1));
}

TEST(supplier_takes_acks_also_of_a_newer_schema)
{
    struct desk desk;
    go(&desk, SUPPLIER_STREAMING);
    memset(desk.ack.newer, 0xff, sizeof desk.ack.newer);
    for (unsigned newer = 0; newer < 2; newer++) {
        desk.ack.frame.size += newer * (uint32_t)sizeof desk.ack.newer;
        CHECK(receive(&desk));
        CHECK(desk.supplier.seq_durable == 6 && desk.supplier.seq_applied == 7);
        CHECK(desk.supplier.epoch_sealed == 2 && !desk.supplier.is_diverged);
    }
    desk.ack.body.seq_durable = 7;
    desk.ack.body.epoch_sealed = UINT64_MAX;
    desk.ack.body.state = member_state_DIVERGED;
    CHECK(receive(&desk));
    CHECK(desk.supplier.seq_durable == 7 && desk.supplier.epoch_sealed == UINT64_MAX);
    CHECK(desk.supplier.is_diverged);
    desk.ack.body.state = member_state_STREAMING; /* what has diverged stays so on this link */
    CHECK(receive(&desk));
    CHECK(desk.supplier.is_diverged);
}

TEST(supplier_takes_no_ack_of_what_it_has_not_sent)
{
    struct desk desk;
    static const uint64_t seqs[] = {8, 9, 1ULL << 32, 1ULL << 63, UINT64_MAX};
    go(&desk, SUPPLIER_STREAMING);
    for (size_t i = 0; i < sizeof seqs / sizeof seqs[0]; i++) {
        desk.ack.body.seq_durable = seqs[i];
        check_refused(&desk, "more than the seq 7 sent");
        CHECK_EQUAL(desk.supplier.seq_durable, 5);
        desk.ack.body.seq_applied = seqs[i];
        check_refused(&desk, "more than the seq 7 sent");
    }
}

TEST(supplier_takes_no_ack_that_goes_back)
{
    struct desk desk;
    for (unsigned field = 0; field < 3; field++) {
        go(&desk, SUPPLIER_STREAMING);
        CHECK(receive(&desk));
        desk.ack.body.seq_durable -= field == 0;
        desk.ack.body.seq_applied -= field == 1;
        desk.ack.body.epoch_sealed -= field == 2;
        check_refused(&desk, "takes back");
    }
    desk.ack.body.seq_durable = 4; /* less than the join had */
    check_refused(&desk, "takes back");
}

TEST(supplier_takes_nothing_but_acks_that_are_well_formed)
{
    struct desk desk;
    go(&desk, SUPPLIER_STREAMING);
    for (unsigned type = 0; type <= UINT16_MAX; type += type < 2048 ? 1 : 911) {
        if (type == MESSAGE_replica_ack)
            continue;
        desk.ack.frame.type = (uint16_t)type;
        check_refused(&desk, "which is not due on a link");
    }
    desk.ack.frame.type = MESSAGE_replica_ack | FRAME_REPLY;
    check_refused(&desk, "which is not due on a link");
    desk.ack.frame.outcome = 1;
    check_refused(&desk, "must be zero");
    desk.ack.frame.checksum = 1;
    check_refused(&desk, "must be zero");
    desk.ack.body.reserved = 1;
    check_refused(&desk, "reserved byte");
    desk.ack.body.reserved3 = 1u << 31;
    check_refused(&desk, "reserved byte");
    for (unsigned state = 0; state <= UINT8_MAX; state++) {
        if (state == member_state_STREAMING || state == member_state_DIVERGED)
            continue;
        desk.ack.body.state = (uint8_t)state;
        check_refused(&desk, state <= member_state_AWAY ? "in state" : "malformed");
    }
    go(&desk, SUPPLIER_JOINING);
    check_refused(&desk, "which is not due on a link");
}

TEST(supplier_takes_no_size_of_a_frame_that_an_ack_cannot_have)
{
    struct desk desk;
    static const uint32_t sizes[] = {0, 8, 16, 17, 23, 25, 47, FRAME_SIZE_MAX + 8, UINT32_MAX};
    go(&desk, SUPPLIER_STREAMING);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        desk.ack.frame.size = sizes[i];
        check_refused(&desk, "it sent a frame of");
    }
    for (uint32_t size = 24; size < sizeof desk.ack.frame + sizeof desk.ack.body; size += 8) {
        desk.ack.frame.size = size;
        check_refused(&desk, "malformed");
    }
}
