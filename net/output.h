/* The output of a connection: replies that wait for the log to be durable, then to be sent.
 *
 *   | sent | released, being sent | written, waits for the log | reserved by undecided commands |
 *
 * The bytes are in chunks of a pool that all connections share; an idle connection holds none. The
 * engine writes replies in place through `sink`, one behind the other.
 *
 * The last quarter of the pool is reserved for connections that hold no chunk, so that a client
 * that reads its replies is answered however many others do not. Of the rest, a connection may hold
 * fewer chunks the more are taken: up to OUTPUT_CHUNKS_MAX while few connections want many, and in
 * a pool of 4096 about 3072 / (n + 64) each when n connections take all that they can get. */
#ifndef TILL_NET_OUTPUT_H
#define TILL_NET_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/limits.h"
#include "engine/engine.h"

enum {
    OUTPUT_CHUNK_SIZE = 32 * 1024,
    OUTPUT_CHUNKS_MAX = 16, /* of one connection; then its input waits until replies are sent */
};

static_assert(OUTPUT_CHUNK_SIZE >= 2 * FRAME_SIZE_MAX, "a chunk takes any reply");

struct output_chunk {
    uint32_t next;
    uint32_t end; /* bytes written to it */
};

struct output_pool {
    uint8_t *bytes;
    struct output_chunk *chunks;
    uint32_t chunk_count;
    uint32_t free_first; /* a list; chunks are numbered from 1 */
    uint32_t free_count;
    uint32_t reserve; /* free chunks that are kept for connections without any */
    uint32_t step;    /* a connection with n chunks gets another while more than reserve + n * step
                         are free */
};

struct output {
    uint64_t written;  /* bytes since the connection began: all, */
    uint64_t released; /* those that may be sent, */
    uint64_t sent;     /* and those that were */
    uint32_t first;    /* the chunk being sent from; 0: none is held */
    uint32_t start;    /* of its bytes, the first that is not sent */
    uint32_t last;     /* the chunk being written to */
    uint32_t chunk_count;
    uint32_t reserved; /* bytes that undecided commands may write to the last chunk */
    struct reply_sink sink;
};

enum output_room {
    OUTPUT_ROOM,
    OUTPUT_DECIDE_FIRST, /* a new chunk is needed, which must wait until the batch is decided */
    OUTPUT_FULL,         /* try again when something was sent, or a chunk became free */
};

bool output_pool_init(struct output_pool *pool, uint32_t chunk_count);
void output_pool_deinit(struct output_pool *pool);

/* gap: bytes before the body of each reply, for its frame's head. */
void output_init(struct output *output, uint32_t gap);
void output_deinit(struct output *output, struct output_pool *pool);

/* Reserves size bytes for one more reply. */
enum output_room output_reserve(struct output *output, struct output_pool *pool, uint32_t size);

/* Takes in what was written through the sink, and ends all reservations. */
void output_commit(struct output *output, struct output_pool *pool);

/* Released bytes that can be sent in one piece; returns their number, 0 when there are none. */
size_t output_sendable(const struct output *output, const struct output_pool *pool,
                       const uint8_t **bytes);

/* The first `size` of them were sent. */
void output_sent(struct output *output, struct output_pool *pool, size_t size);

#endif
