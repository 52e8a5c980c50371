/* Fetching a snapshot: the pieces make the file through a connection that breaks, also when another
 * snapshot takes the place of the one that was begun; and what a server may send that is none, or
 * lies. */
#include "net/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "engine/layout.h"
#include "tests/test.h"
#include "tests/unit/link_support.h"

enum { START_US = 5000000, FILE_PAGES = 300, FILE_SIZE = FILE_PAGES * WAL_ALIGN };

/* A replica that fetches, the file that it writes, and what is sent to it next. */
struct bench {
    struct chain chain;
    struct engine *engine;
    struct link_self self;
    struct fetch fetch;
    uint64_t now_us;
    uint8_t *bytes;
    uint8_t *snapshot; /* at the sender */
    uint8_t *file;
    uint64_t seq;
    uint64_t checksum;
    uint64_t size;
};

/* The sender publishes a newer snapshot, and forgets the one before. */
static void publish(struct bench *bench)
{
    bench->seq++;
    bench->checksum = test_random();
    bench->size = WAL_ALIGN * (1 + test_random_below(FILE_PAGES));
    for (uint64_t i = 0; i < bench->size; i++)
        bench->snapshot[i] = (uint8_t)test_random();
}

static struct bench *bench_create(void)
{
    struct bench *bench = calloc(1, sizeof *bench);
    CHECK(bench != NULL);
    chain_add(&bench->chain, 1, 5);
    bench->now_us = START_US;
    bench->engine = chain_engine(&bench->chain);
    bench->self = chain_self(&bench->chain, bench->engine);
    bench->bytes = malloc(LINK_PIECE_MAX + 2 * FRAME_SIZE_MAX);
    bench->snapshot = malloc(FILE_SIZE);
    bench->file = calloc(1, FILE_SIZE);
    CHECK(bench->bytes != NULL && bench->snapshot != NULL && bench->file != NULL);
    CHECK(fetch_init(&bench->fetch, bench->now_us));
    publish(bench);
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    fetch_deinit(&bench->fetch);
    engine_destroy(bench->engine);
    free(bench->bytes);
    free(bench->snapshot);
    free(bench->file);
    free(bench);
}

static enum fetch_event feed(struct bench *bench, const uint8_t *bytes, size_t size)
{
    return fetch_next(&bench->fetch, &bench->self, &bytes, &size, bench->now_us);
}

static enum fetch_event feed_frame(struct bench *bench, unsigned type, uint32_t request,
                                   const void *body, uint32_t size)
{
    return feed(bench, bench->bytes, frame_of(bench->bytes, type, request, body, size));
}

static enum fetch_event feed_answer(struct bench *bench,
                                    const struct replica_fetch_reply_body *answer)
{
    return feed_frame(bench, MESSAGE_replica_fetch | FRAME_REPLY, LINK_REQUEST_NEXT, answer,
                      sizeof *answer);
}

/* The sender's answer to what the fetch asks for, as docs say: on from there, or from the start. */
static struct replica_fetch_reply_body answer_of(const struct bench *bench)
{
    const struct frame *frame = (const struct frame *)bench->fetch.out;
    const struct replica_fetch_body *asked = (const void *)(frame + 1);
    bool goes_on = asked->seq == bench->seq && asked->checksum == bench->checksum;
    CHECK_EQUAL(frame->type, MESSAGE_replica_fetch);
    CHECK(id_equal(asked->shop, SHOP));
    return (struct replica_fetch_reply_body){.seq = bench->seq,
                                             .offset = goes_on ? asked->offset : 0,
                                             .size = bench->size,
                                             .checksum = bench->checksum};
}

/* Begins anew, up to that state; the fetch keeps what it knows of the file. */
static void go(struct bench *bench, enum fetch_state state)
{
    bench->now_us += LINK_RETRY_US_MAX;
    fetch_drop(&bench->fetch, bench->now_us - LINK_RETRY_US_MAX);
    CHECK_EQUAL(bench->fetch.state, FETCH_RESTING);
    if (state >= FETCH_CONNECTING)
        CHECK(fetch_turn(&bench->fetch, bench->now_us));
    if (state >= FETCH_GREETING)
        fetch_connected(&bench->fetch, &bench->self, bench->now_us);
    if (state >= FETCH_ASKING)
        CHECK_EQUAL(feed(bench, bench->bytes, greeting_of(&bench->self, bench->bytes)), FETCH_SEND);
    if (state < FETCH_RECEIVING)
        return;
    struct replica_fetch_reply_body answer = answer_of(bench);
    CHECK_EQUAL(feed_answer(bench, &answer), FETCH_ANSWER);
    CHECK_EQUAL(bench->fetch.answer.seq, bench->seq);
}

static void check_wrong(struct bench *bench, enum fetch_event event, const char *part)
{
    CHECK_EQUAL(event, FETCH_WRONG);
    check_says(bench->fetch.error, part);
    CHECK_EQUAL(feed(bench, bench->bytes, 0), FETCH_WRONG);
}

/* Sends the next piece in two parts; false when the connection breaks between them. */
static bool send_piece(struct bench *bench)
{
    uint64_t offset = bench->fetch.offset;
    uint64_t pages = (bench->size - offset) / WAL_ALIGN;
    uint64_t most = LINK_PIECE_MAX / WAL_ALIGN;
    uint32_t size = WAL_ALIGN * (uint32_t)(1 + test_random_below(pages < most ? pages : most));
    link_piece_frame(bench->bytes, size, offset);
    memcpy(bench->bytes + LINK_PIECE_GAP, bench->snapshot + offset, size);
    size_t first = test_random_below(LINK_PIECE_GAP + size);
    CHECK_EQUAL(feed(bench, bench->bytes, first), FETCH_NOTHING);
    if (test_random_below(20) == 0)
        return false;
    CHECK_EQUAL(feed(bench, bench->bytes + first, LINK_PIECE_GAP + size - first), FETCH_PIECE);
    CHECK_EQUAL((uintptr_t)bench->fetch.piece_bytes % WAL_ALIGN, 0);
    CHECK(bench->fetch.piece_size == size && bench->fetch.piece_offset == offset);
    memcpy(bench->file + offset, bench->fetch.piece_bytes, size);
    return true;
}

TEST(snapshot_is_fetched_through_a_connection_that_breaks)
{
    struct bench *bench = bench_create();
    uint32_t resumed = 0;
    uint32_t replaced = 0;
    for (int i = 0; i < 60; i++) {
        do {
            uint64_t seq = bench->fetch.seq;
            uint64_t offset = bench->fetch.offset;
            go(bench, FETCH_RECEIVING);
            CHECK_EQUAL(bench->fetch.begun_us, bench->now_us);
            CHECK_EQUAL(bench->fetch.begun_offset, seq == bench->seq ? offset : 0);
            resumed += seq == bench->seq && offset > 0;
            replaced += seq != bench->seq && offset > 0;
            while (bench->fetch.state == FETCH_RECEIVING && send_piece(bench))
                continue;
            if (bench->fetch.state != FETCH_DONE && test_random_below(4) == 0)
                publish(bench);
        } while (bench->fetch.state != FETCH_DONE);
        CHECK(bench->fetch.size == bench->size && bench->fetch.seq == bench->seq);
        CHECK(memcmp(bench->file, bench->snapshot, bench->size) == 0);
        publish(bench);
    }
    CHECK(resumed > 0 && replaced > 0);
    bench_destroy(bench);
}

TEST(fetch_resumes_what_an_earlier_start_has_left)
{
    struct bench *bench = bench_create();
    const struct replica_fetch_body *asked =
        (const void *)(bench->fetch.out + sizeof(struct frame));
    bench->size = 4 * WAL_ALIGN;
    fetch_resume(&bench->fetch, bench->seq, bench->checksum, 3 * WAL_ALIGN);
    go(bench, FETCH_RECEIVING);
    CHECK(asked->seq == bench->seq && asked->checksum == bench->checksum);
    CHECK(asked->offset == 3 * WAL_ALIGN && bench->fetch.offset == 3 * WAL_ALIGN);
    go(bench, FETCH_RESTING);
    fetch_resume(&bench->fetch, bench->seq, bench->checksum, 4 * WAL_ALIGN);
    go(bench, FETCH_DONE); /* all of it was there */
    CHECK_EQUAL(bench->fetch.state, FETCH_DONE);
    CHECK(!fetch_turn(&bench->fetch, UINT64_MAX));
    CHECK_EQUAL(fetch_wait_us(&bench->fetch, bench->now_us), UINT64_MAX);
    CHECK(!fetch_is_silent(&bench->fetch, UINT64_MAX));
    fetch_drop(&bench->fetch, bench->now_us);
    CHECK_EQUAL(fetch_wait_us(&bench->fetch, bench->now_us), 0);
    bench_destroy(bench);
}

TEST(fetch_waits_longer_after_each_try_that_fails_and_no_longer_after_a_piece)
{
    struct bench *bench = bench_create();
    struct fetch *fetch = &bench->fetch;
    uint64_t pause_us = LINK_RETRY_US_MIN;
    CHECK_EQUAL(fetch_wait_us(fetch, bench->now_us), 0);
    for (int i = 0; i < 10; i++) {
        CHECK(fetch_turn(fetch, bench->now_us) && !fetch_turn(fetch, bench->now_us));
        fetch_drop(fetch, bench->now_us);
        fetch_drop(fetch, bench->now_us);
        CHECK_EQUAL(fetch_wait_us(fetch, bench->now_us), pause_us);
        CHECK(!fetch_turn(fetch, bench->now_us + pause_us - 1));
        bench->now_us += pause_us;
        pause_us = 2 * pause_us < LINK_RETRY_US_MAX ? 2 * pause_us : LINK_RETRY_US_MAX;
    }
    bench->size = 2 * WAL_ALIGN;
    go(bench, FETCH_RECEIVING);
    link_piece_frame(bench->bytes, WAL_ALIGN, 0);
    CHECK_EQUAL(feed(bench, bench->bytes, LINK_PIECE_GAP + WAL_ALIGN), FETCH_PIECE);
    fetch_drop(fetch, bench->now_us);
    CHECK_EQUAL(fetch_wait_us(fetch, bench->now_us), LINK_RETRY_US_MIN);
    bench_destroy(bench);
}

TEST(fetch_is_silent_when_nothing_comes_in_any_state_but_at_rest)
{
    struct bench *bench = bench_create();
    for (enum fetch_state state = FETCH_RESTING; state <= FETCH_RECEIVING; state++) {
        struct fetch *fetch = &bench->fetch;
        go(bench, state);
        bench->now_us += LINK_SILENCE_US - 1;
        CHECK(!fetch_is_silent(fetch, bench->now_us));
        if (state > FETCH_CONNECTING) {
            CHECK_EQUAL(feed(bench, (const uint8_t *)"\x18", 1), FETCH_NOTHING);
            CHECK_EQUAL(fetch_wait_us(fetch, bench->now_us), LINK_SILENCE_US);
            bench->now_us += LINK_SILENCE_US - 1;
            CHECK_EQUAL(feed(bench, bench->bytes, 0), FETCH_NOTHING);
        }
        CHECK_EQUAL(fetch_is_silent(fetch, bench->now_us + 1), state != FETCH_RESTING);
    }
    bench_destroy(bench);
}

TEST(fetch_without_a_snapshot_asks_until_it_is_dropped)
{
    struct bench *bench = bench_create();
    struct replica_fetch_reply_body answer = {.seq = 0};
    go(bench, FETCH_ASKING);
    CHECK_EQUAL(feed_answer(bench, &answer), FETCH_ANSWER);
    CHECK(bench->fetch.answer.seq == 0 && bench->fetch.state == FETCH_ASKING);
    go(bench, FETCH_RECEIVING);
    CHECK_EQUAL(bench->fetch.state, FETCH_RECEIVING);
    bench_destroy(bench);
}

static void check_answer_wrong(struct bench *bench, const struct replica_fetch_reply_body *answer)
{
    go(bench, FETCH_ASKING);
    check_wrong(bench, feed_answer(bench, answer), "it wants to send a snapshot of");
}

TEST(fetch_takes_no_answer_that_leads_to_no_file)
{
    static const uint64_t sizes[] = {0,
                                     1,
                                     WAL_ALIGN - 1,
                                     8 * WAL_ALIGN + 1,
                                     3 * WAL_ALIGN,
                                     1ULL << 63,
                                     UINT64_MAX - WAL_ALIGN + 1,
                                     UINT64_MAX};
    struct bench *bench = bench_create();
    struct replica_fetch_reply_body good = {
        .seq = 9, .offset = 4 * WAL_ALIGN, .size = 8 * WAL_ALIGN, .checksum = 99};
    struct replica_fetch_reply_body answer;
    fetch_resume(&bench->fetch, 9, 99, 4 * WAL_ALIGN);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        answer = good;
        answer.size = sizes[i];
        check_answer_wrong(bench, &answer);
    }
    answer = good;
    answer.seq = 10;
    check_answer_wrong(bench, &answer);
    answer = good;
    answer.checksum++;
    check_answer_wrong(bench, &answer);
    for (uint64_t offset = 1; offset < 9 * WAL_ALIGN; offset += WAL_ALIGN / 2 - 1) {
        answer = good;
        answer.offset = offset;
        check_answer_wrong(bench, &answer);
    }
    CHECK(bench->fetch.seq == 9 && bench->fetch.offset == 4 * WAL_ALIGN);
    go(bench, FETCH_ASKING);
    CHECK_EQUAL(feed_answer(bench, &good), FETCH_ANSWER);
    good.offset = 0;
    good.checksum = 100;
    go(bench, FETCH_ASKING);
    CHECK_EQUAL(feed_answer(bench, &good), FETCH_ANSWER);
    CHECK(bench->fetch.offset == 0 && bench->fetch.checksum == 100);
    bench_destroy(bench);
}

static void check_piece_wrong(struct bench *bench, uint32_t size, uint64_t offset)
{
    struct replica_piece_body body = {.size = size, .offset = offset};
    go(bench, FETCH_RECEIVING);
    check_wrong(bench, feed_frame(bench, MESSAGE_replica_piece, 0, &body, sizeof body),
                "it sent a piece of");
}

TEST(fetch_takes_no_piece_but_the_next_one)
{
    static const uint32_t sizes[] = {0,
                                     1,
                                     WAL_ALIGN - 1,
                                     WAL_ALIGN + 8,
                                     LINK_PIECE_MAX + WAL_ALIGN,
                                     UINT32_MAX - WAL_ALIGN + 1,
                                     UINT32_MAX};
    static const uint64_t offsets[] = {0, WAL_ALIGN, 3 * WAL_ALIGN, 6 * WAL_ALIGN, UINT64_MAX};
    struct bench *bench = bench_create();
    struct replica_piece_body body = {.size = WAL_ALIGN, .reserved = 1, .offset = 2 * WAL_ALIGN};
    bench->size = LINK_PIECE_MAX + 6 * WAL_ALIGN; /* more than the largest piece is left */
    fetch_resume(&bench->fetch, bench->seq, bench->checksum, 2 * WAL_ALIGN);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_piece_wrong(bench, sizes[i], 2 * WAL_ALIGN);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++)
        check_piece_wrong(bench, WAL_ALIGN, offsets[i]);
    go(bench, FETCH_RECEIVING);
    check_wrong(bench, feed_frame(bench, MESSAGE_replica_piece, 0, &body, sizeof body),
                "malformed replica.piece");
    go(bench, FETCH_RECEIVING);
    check_wrong(bench, feed_frame(bench, MESSAGE_replica_piece, 0, &body, 8), "malformed");
    for (unsigned type = 0; type <= UINT16_MAX; type += type < 2048 ? 1 : 911) {
        if (type == MESSAGE_replica_piece)
            continue;
        go(bench, FETCH_RECEIVING);
        check_wrong(bench, feed_frame(bench, type, 0, &body, sizeof body), "which is not due here");
    }
    CHECK_EQUAL(bench->fetch.offset, 2 * WAL_ALIGN);
    bench->size = 6 * WAL_ALIGN; /* four pages are left */
    check_piece_wrong(bench, 5 * WAL_ALIGN, 2 * WAL_ALIGN);
    check_piece_wrong(bench, LINK_PIECE_MAX, 2 * WAL_ALIGN);
    bench_destroy(bench);
}

TEST(fetch_says_why_the_other_server_closes_the_connection)
{
    struct bench *bench = bench_create();
    struct error_reply_body error = {.reason = {{"go away\x1b[2J\n"}}};
    struct frame frame = {.size = 20};
    for (enum fetch_state state = FETCH_GREETING; state <= FETCH_RECEIVING; state++) {
        go(bench, state);
        check_wrong(bench, feed_frame(bench, MESSAGE_error | FRAME_REPLY, 0, &error, sizeof error),
                    "it closed the connection: go away?[2J?");
        go(bench, state);
        check_wrong(bench, feed(bench, (const uint8_t *)&frame, sizeof frame), "not a till server");
    }
    go(bench, FETCH_ASKING);
    check_wrong(bench, feed_frame(bench, MESSAGE_hello | FRAME_REPLY, LINK_REQUEST_NEXT, &error, 8),
                "something else than the answer to replica.fetch");
    go(bench, FETCH_ASKING);
    check_wrong(
        bench, feed_frame(bench, MESSAGE_replica_fetch | FRAME_REPLY, LINK_REQUEST_NEXT, &error, 8),
        "a size that none has");
    bench_destroy(bench);
}
