/* Chunks move from the pool's free list to the end of a connection's chain, and from the front of
 * the chain back to the free list. The free list is last in, first out: the next chunk to be used
 * is the one most likely to be in the CPU's cache. */
#include "net/output.h"

#include "base/assert.h"

enum { RESERVE_SHARE = 4, STEP_SHARE = 64 };

bool output_pool_init(struct output_pool *pool, uint32_t chunk_count)
{
    *pool = (struct output_pool){
        .chunk_count = chunk_count,
        .free_count = chunk_count,
        .reserve = chunk_count / RESERVE_SHARE,
        .step = (chunk_count + STEP_SHARE - 1) / STEP_SHARE,
    };
    pool->bytes = memory_map((uint64_t)chunk_count * OUTPUT_CHUNK_SIZE);
    pool->chunks = memory_map((chunk_count + 1ULL) * sizeof(struct output_chunk));
    if (pool->bytes == NULL || pool->chunks == NULL)
        return false;
    pool->free_first = 1;
    for (uint32_t i = 1; i < chunk_count; i++)
        pool->chunks[i].next = i + 1;
    return true;
}

void output_pool_deinit(struct output_pool *pool)
{
    memory_unmap(pool->bytes, (uint64_t)pool->chunk_count * OUTPUT_CHUNK_SIZE);
    memory_unmap(pool->chunks, (pool->chunk_count + 1ULL) * sizeof(struct output_chunk));
    *pool = (struct output_pool){.bytes = NULL};
}

static uint8_t *chunk_bytes(const struct output_pool *pool, uint32_t chunk)
{
    return pool->bytes + (uint64_t)(chunk - 1) * OUTPUT_CHUNK_SIZE;
}

static void chunk_free(struct output_pool *pool, uint32_t chunk)
{
    pool->chunks[chunk].next = pool->free_first;
    pool->free_first = chunk;
    pool->free_count++;
}

void output_init(struct output *output, uint32_t gap)
{
    *output = (struct output){.sink = {.gap = gap}};
}

void output_deinit(struct output *output, struct output_pool *pool)
{
    while (output->first != 0) {
        uint32_t chunk = output->first;
        output->first = chunk == output->last ? 0 : pool->chunks[chunk].next;
        chunk_free(pool, chunk);
    }
}

static bool may_append(const struct output *output, const struct output_pool *pool)
{
    if (output->chunk_count == 0)
        return pool->free_count > 0;
    return output->chunk_count < OUTPUT_CHUNKS_MAX &&
           pool->free_count > pool->reserve + output->chunk_count * pool->step;
}

static enum output_room chunk_append(struct output *output, struct output_pool *pool)
{
    uint32_t chunk = pool->free_first;
    if (!may_append(output, pool))
        return OUTPUT_FULL;
    pool->free_first = pool->chunks[chunk].next;
    pool->free_count--;
    pool->chunks[chunk] = (struct output_chunk){.next = 0};
    if (output->last != 0) {
        pool->chunks[output->last].next = chunk;
    } else {
        output->first = chunk;
        output->start = 0;
    }
    output->last = chunk;
    output->chunk_count++;
    output->sink.cursor = chunk_bytes(pool, chunk);
    return OUTPUT_ROOM;
}

enum output_room output_reserve(struct output *output, struct output_pool *pool, uint32_t size)
{
    TILL_ASSERT(size <= OUTPUT_CHUNK_SIZE);
    bool fits = output->last != 0 &&
                OUTPUT_CHUNK_SIZE - pool->chunks[output->last].end - output->reserved >= size;
    if (!fits && output->reserved > 0)
        return OUTPUT_DECIDE_FIRST;
    if (!fits && chunk_append(output, pool) == OUTPUT_FULL)
        return OUTPUT_FULL;
    output->reserved += size;
    return OUTPUT_ROOM;
}

void output_commit(struct output *output, struct output_pool *pool)
{
    if (output->last == 0)
        return;
    struct output_chunk *chunk = &pool->chunks[output->last];
    uint32_t end = (uint32_t)(output->sink.cursor - chunk_bytes(pool, output->last));
    TILL_ASSERT(end >= chunk->end && end - chunk->end <= output->reserved);
    output->written += end - chunk->end;
    output->reserved = 0;
    chunk->end = end;
}

size_t output_sendable(const struct output *output, const struct output_pool *pool,
                       const uint8_t **bytes)
{
    uint64_t ready = output->released - output->sent;
    if (ready == 0)
        return 0;
    uint32_t in_chunk = pool->chunks[output->first].end - output->start;
    *bytes = chunk_bytes(pool, output->first) + output->start;
    return ready < in_chunk ? (size_t)ready : in_chunk;
}

void output_sent(struct output *output, struct output_pool *pool, size_t size)
{
    uint32_t chunk = output->first;
    TILL_ASSERT(size <= output->released - output->sent);
    output->sent += size;
    output->start += (uint32_t)size;
    bool idle = output->sent == output->written && output->reserved == 0;
    if (output->start < pool->chunks[chunk].end || (chunk == output->last && !idle))
        return;
    output->first = chunk == output->last ? 0 : pool->chunks[chunk].next;
    output->last = output->first == 0 ? 0 : output->last;
    output->start = 0;
    output->chunk_count--;
    chunk_free(pool, chunk);
}
