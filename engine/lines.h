/* The memory of an index: cache lines. A look-up begins in the line that the hash gives, by
 * multiplication, so that there may be any number of them; where a line is full it goes on in the
 * next one. Half of all places are free at capacity: of eight places a line has eight taken in 5
 * cases of 100 (Poisson, four on average), so nearly every look-up ends in its first line. */
#ifndef TILL_ENGINE_LINES_H
#define TILL_ENGINE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum { LINE_SIZE = 64 };

struct lines {
    uint8_t *memory;
    uint64_t count;
};

/* Lines of so many places each, for so many records. One more than half of them are used, so that
 * there is always one that is not full. */
static inline uint64_t lines_for(uint32_t capacity, unsigned places)
{
    return ((uint64_t)capacity * 2 + places - 1) / places + 1;
}

static inline uint64_t lines_bytes(const struct lines *lines)
{
    return lines->count * LINE_SIZE;
}

static inline bool lines_init(struct lines *lines, uint32_t capacity, unsigned places)
{
    lines->count = lines_for(capacity, places);
    lines->memory = memory_map(lines_bytes(lines));
    return lines->memory != NULL;
}

static inline void lines_deinit(struct lines *lines)
{
    memory_unmap(lines->memory, lines_bytes(lines));
    lines->memory = NULL;
}

static inline uint64_t lines_home(const struct lines *lines, uint32_t hash)
{
    return (uint64_t)hash * lines->count >> 32;
}

static inline uint64_t lines_next(const struct lines *lines, uint64_t line)
{
    return line + 1 == lines->count ? 0 : line + 1;
}

static inline void *lines_at(const struct lines *lines, uint64_t line)
{
    return lines->memory + line * LINE_SIZE;
}

/* The first line that a look-up of this hash reads. */
static inline const void *lines_home_at(const struct lines *lines, uint32_t hash)
{
    return lines_at(lines, lines_home(lines, hash));
}

#endif
