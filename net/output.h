/* The output of a connection: replies that wait to be durable, then to be sent.
 *
 *   | sent | released, being sent | written, waits for the log | reserved by undecided commands |
 *
 * Bytes stand in chunks from a pool that all connections share; an idle connection holds none.
 * Replies are written in place by the engine through `sink`, one behind the other.
 *
 * The pool's last quarter is for connections that hold none, so that whoever reads its replies is
 * answered however many others do not read theirs. Of the rest a connection gets the less the more
 * is taken: OUTPUT_CHUNKS_MAX while few want many, and of 4096 in all some 3072 / (n + 64) when n
 * of them take all that they can get. */
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
    OUTPUT_CHUNKS_MAX = 16, /* of one connection: then it is paused until it has read */
};

static_assert(OUTPUT_CHUNK_SIZE >= 2 * FRAME_SIZE_MAX, "a chunk takes any reply");

struct output_chunk {
    uint32_t next;
    uint32_t end; /* bytes in it */
};

struct output_pool {
    uint8_t *bytes;
    struct output_chunk *chunks;
    uint32_t chunk_count;
    uint32_t free_first; /* chunks are numbered from 1 */
    uint32_t free_count;
    uint32_t reserve; /* of them, for those that hold none */
    uint32_t step;    /* so many more must be free for each one that is held already */
};

struct output {
    uint64_t written; /* bytes since the connection began */
    uint64_t released;
    uint64_t sent;
    uint32_t first; /* chunk being sent from, and where in it */
    uint32_t start;
    uint32_t last; /* chunk being written to */
    uint32_t chunk_count;
    uint32_t reserved; /* bytes that undecided commands may write to the last chunk */
    struct reply_sink sink;
};

enum output_room {
    OUTPUT_ROOM,
    OUTPUT_DECIDE_FIRST, /* another chunk is needed, and the last one is still being written to */
    OUTPUT_FULL,         /* after something was sent, or another connection gave a chunk back */
};

bool output_pool_init(struct output_pool *pool, uint32_t chunk_count);
void output_pool_deinit(struct output_pool *pool);

void output_init(struct output *output, uint32_t gap);
void output_deinit(struct output *output, struct output_pool *pool);

/* Reserves size bytes for one more reply. */
enum output_room output_reserve(struct output *output, struct output_pool *pool, uint32_t size);

/* Everything reserved has been written through the sink, or will not be. */
void output_commit(struct output *output, struct output_pool *pool);

/* What can be sent now; 0 bytes when nothing can. */
size_t output_sendable(const struct output *output, const struct output_pool *pool,
                       const uint8_t **bytes);

/* So many of them were. */
void output_sent(struct output *output, struct output_pool *pool, size_t size);

#endif
