/* The outputs of connections against naive queues of bytes: several connections share one pool,
 * replies are reserved, written, released and sent in pieces of any size. */
#include "net/output.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

enum {
    CONNECTIONS = 4,
    CHUNKS = 40,
    STEPS = 30000,
    PENDING_MAX = 64,
    GAP = 16,
};

/* One connection: its output, and the sizes of replies that are reserved but not written yet. */
struct stream {
    struct output output;
    uint32_t number;
    uint32_t pending[PENDING_MAX];
    uint32_t pending_count;
    uint64_t written; /* as counted by this test */
    uint64_t sent;
};

struct streams {
    struct output_pool pool;
    struct stream streams[CONNECTIONS];
    uint32_t decided_first_count;
    uint32_t full_count;
};

/* The byte at a position of a stream. */
static uint8_t byte_at(const struct stream *stream, uint64_t position)
{
    return (uint8_t)((position * 0x9e3779b97f4a7c15ULL >> 56) ^ stream->number);
}

static struct streams *streams_create(void)
{
    struct streams *streams = calloc(1, sizeof *streams);
    CHECK(streams != NULL && output_pool_init(&streams->pool, CHUNKS));
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        streams->streams[i].number = i;
        output_init(&streams->streams[i].output, GAP);
        CHECK_EQUAL(streams->streams[i].output.sink.gap, GAP);
    }
    return streams;
}

static void streams_destroy(struct streams *streams)
{
    output_pool_deinit(&streams->pool);
    free(streams);
}

static void check_pool(const struct streams *streams)
{
    uint32_t used_count = 0;
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        used_count += streams->streams[i].output.chunk_count;
    CHECK_EQUAL(streams->pool.free_count, CHUNKS - used_count);
}

/* Writes what is pending, as the engine would: each reply fills some of what was reserved. */
static void decide(struct streams *streams, struct stream *stream)
{
    for (uint32_t i = 0; i < stream->pending_count; i++) {
        uint64_t size = 8 + test_random_below(stream->pending[i] - 7);
        for (; size > 0; size--)
            *stream->output.sink.cursor++ = byte_at(stream, stream->written++);
    }
    stream->pending_count = 0;
    output_commit(&stream->output, &streams->pool);
    CHECK_EQUAL(stream->output.written, stream->written);
    CHECK_EQUAL(stream->output.reserved, 0);
}

static void reserve(struct streams *streams, struct stream *stream)
{
    uint32_t size = 8 + (uint32_t)test_random_below(FRAME_SIZE_MAX);
    if (stream->pending_count == PENDING_MAX)
        decide(streams, stream);
    enum output_room room = output_reserve(&stream->output, &streams->pool, size);
    if (room == OUTPUT_DECIDE_FIRST) {
        CHECK(stream->pending_count > 0);
        streams->decided_first_count++;
        decide(streams, stream);
        room = output_reserve(&stream->output, &streams->pool, size);
        CHECK(room != OUTPUT_DECIDE_FIRST);
    }
    if (room == OUTPUT_FULL) {
        CHECK(stream->output.chunk_count > 0 ? streams->pool.free_count < CHUNKS
                                             : streams->pool.free_count == 0);
        streams->full_count++;
        return;
    }
    CHECK(stream->output.chunk_count == 1 || streams->pool.free_count >= streams->pool.reserve);
    CHECK(stream->output.chunk_count <= OUTPUT_CHUNKS_MAX);
    stream->pending[stream->pending_count++] = size;
}

static void release_some(struct stream *stream)
{
    uint64_t waiting = stream->output.written - stream->output.released;
    stream->output.released += test_random_below(2) == 0 ? waiting : test_random_below(waiting + 1);
}

static void send_some(struct streams *streams, struct stream *stream)
{
    const uint8_t *bytes = NULL;
    uint32_t chunk_count = stream->output.chunk_count;
    size_t size = output_sendable(&stream->output, &streams->pool, &bytes);
    CHECK(size <= stream->output.released - stream->sent);
    CHECK_EQUAL(size == 0, stream->output.released == stream->sent);
    if (size == 0)
        return;
    if (test_random_below(3) == 0)
        size = 1 + test_random_below(size);
    for (size_t i = 0; i < size; i++)
        CHECK(bytes[i] == byte_at(stream, stream->sent + i));
    stream->sent += size;
    output_sent(&stream->output, &streams->pool, size);
    CHECK(stream->output.chunk_count <= chunk_count);
    CHECK_EQUAL(stream->output.sent, stream->sent);
    if (stream->sent == stream->written && stream->pending_count == 0)
        CHECK_EQUAL(stream->output.chunk_count, 0);
}

/* Everything that is written is sent; the connection then holds no chunk. */
static void drain(struct streams *streams, struct stream *stream)
{
    decide(streams, stream);
    stream->output.released = stream->output.written;
    while (stream->sent < stream->written)
        send_some(streams, stream);
    CHECK_EQUAL(stream->output.chunk_count, 0);
}

/* One step in turn out of `of` is spent on sending and releasing, the others on writing. */
static void play(struct streams *streams, uint64_t of)
{
    for (int step = 0; step < STEPS; step++) {
        struct stream *stream = &streams->streams[test_random_below(CONNECTIONS)];
        if (test_random_below(of) > 0) {
            reserve(streams, stream);
        } else {
            if (test_random_below(2) == 0)
                decide(streams, stream);
            release_some(stream);
            send_some(streams, stream);
        }
        check_pool(streams);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        drain(streams, &streams->streams[i]);
    CHECK_EQUAL(streams->pool.free_count, CHUNKS);
}

TEST(outputs_send_what_was_written_once_and_in_order)
{
    struct streams *streams = streams_create();
    play(streams, 2);
    CHECK(streams->decided_first_count > 0);
    streams_destroy(streams);
}

TEST(outputs_that_are_read_too_slowly_fill_up_and_lose_nothing)
{
    struct streams *streams = streams_create();
    play(streams, 20);
    CHECK(streams->full_count > 0);
    streams_destroy(streams);
}

/* Reserves until this connection gets no more. */
static uint32_t fill(struct streams *streams, struct stream *stream)
{
    for (uint32_t full = streams->full_count; streams->full_count == full;)
        reserve(streams, stream);
    return stream->output.chunk_count;
}

TEST(one_output_leaves_chunks_to_others)
{
    struct streams *streams = streams_create();
    uint32_t most = fill(streams, &streams->streams[0]);
    CHECK(most > CHUNKS / 4 && most <= OUTPUT_CHUNKS_MAX);
    uint32_t next = fill(streams, &streams->streams[1]);
    CHECK(next > 1 && next <= most);
    for (int i = 0; i < CONNECTIONS; i++)
        drain(streams, &streams->streams[i]);
    streams_destroy(streams);
}

/* However many connections take all chunks they can get, some are left for connections that have
 * none. */
TEST(the_last_chunks_are_for_outputs_that_hold_none)
{
    enum { GREEDY = 64, POOL = 1024 };
    struct output_pool pool;
    struct output outputs[POOL];
    CHECK(output_pool_init(&pool, POOL));
    for (int i = 0; i < POOL; i++)
        output_init(&outputs[i], GAP);
    uint32_t most = 0;
    for (int i = 0; i < POOL; i++) {
        uint32_t free_count = pool.free_count;
        CHECK_EQUAL(output_reserve(&outputs[i], &pool, OUTPUT_CHUNK_SIZE), OUTPUT_ROOM);
        for (enum output_room room = OUTPUT_ROOM; i < GREEDY && room == OUTPUT_ROOM;) {
            outputs[i].sink.cursor += OUTPUT_CHUNK_SIZE;
            output_commit(&outputs[i], &pool);
            room = output_reserve(&outputs[i], &pool, OUTPUT_CHUNK_SIZE);
        }
        most = free_count - pool.free_count > most ? free_count - pool.free_count : most;
        CHECK_EQUAL(free_count - pool.free_count, outputs[i].chunk_count);
        if (pool.free_count == 0)
            break;
        CHECK(i >= GREEDY || pool.free_count >= POOL / 4);
    }
    CHECK_EQUAL(pool.free_count, 0);
    CHECK_EQUAL(most, OUTPUT_CHUNKS_MAX);
    for (int i = 0; i < POOL; i++)
        output_deinit(&outputs[i], &pool);
    CHECK_EQUAL(pool.free_count, POOL);
    output_pool_deinit(&pool);
}

TEST(closed_output_gives_every_chunk_back)
{
    struct streams *streams = streams_create();
    for (int round = 0; round < 50; round++) {
        struct stream *stream = &streams->streams[0];
        for (uint64_t i = test_random_below(40); i > 0; i--)
            reserve(streams, stream);
        decide(streams, stream);
        release_some(stream);
        send_some(streams, stream);
        output_deinit(&stream->output, &streams->pool);
        CHECK_EQUAL(streams->pool.free_count, CHUNKS);
        *stream = (struct stream){.number = 0};
        output_init(&stream->output, GAP);
    }
    streams_destroy(streams);
}
