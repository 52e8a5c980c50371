/* An index: from a 32-bit hash to record numbers, eight to a cache line.
 *
 * A line has the hashes of its records and their numbers, from the front; number 0 is a free place.
 * It has the whole hash, so the caller compares keys only where that agrees, and all eight are
 * compared at once. A record that finds its home line full stands in the next line that is not;
 * removal moves records back, so there are no tombstones, and a look-up ends at the first line that
 * is not full. */
#ifndef TILL_ENGINE_INDEX_H
#define TILL_ENGINE_INDEX_H

#include <assert.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/assert.h"
#include "engine/lines.h"

enum { INDEX_PLACES = 8 };

struct index_line {
    uint32_t hashes[INDEX_PLACES];
    uint32_t records[INDEX_PLACES];
};

static_assert(sizeof(struct index_line) == LINE_SIZE, "one cache line");

struct index {
    struct lines lines;
};

static inline bool index_init(struct index *index, uint32_t capacity)
{
    return lines_init(&index->lines, capacity, INDEX_PLACES);
}

static inline void index_deinit(struct index *index)
{
    lines_deinit(&index->lines);
}

static inline struct index_line *index_line_at(const struct index *index, uint64_t line)
{
    return lines_at(&index->lines, line);
}

/* Which of eight words are equal to one: a bit for each, the first one's lowest. Without branches,
 * since which it is cannot be predicted. */
static inline unsigned index_equal(const uint32_t words[INDEX_PLACES], uint32_t word)
{
#ifdef __SSE2__
    const __m128i *halves = (const __m128i *)(const void *)words;
    __m128i wanted = _mm_set1_epi32((int)word);
    __m128i low = _mm_cmpeq_epi32(_mm_load_si128(&halves[0]), wanted);
    __m128i high = _mm_cmpeq_epi32(_mm_load_si128(&halves[1]), wanted);
    __m128i eight = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
    return (unsigned)_mm_movemask_epi8(eight);
#else
    unsigned places = 0;
    for (unsigned i = 0; i < INDEX_PLACES; i++)
        places |= (unsigned)(words[i] == word) << i;
    return places;
#endif
}

static inline bool index_line_is_full(const struct index_line *line)
{
    return line->records[INDEX_PLACES - 1] != 0;
}

/* Walks the records whose hash is this one:
 *   struct index_walk walk = index_walk(index, hash);
 *   while ((record = index_next(&walk)) != 0) ... */
struct index_walk {
    const struct index *index;
    uint64_t line;
    uint32_t hash;
    unsigned places; /* of the line that are still to be looked at */
};

static inline struct index_walk index_walk(const struct index *index, uint32_t hash)
{
    uint64_t line = lines_home(&index->lines, hash);
    return (struct index_walk){.index = index,
                               .line = line,
                               .hash = hash,
                               .places = index_equal(index_line_at(index, line)->hashes, hash)};
}

static inline uint32_t index_next(struct index_walk *walk)
{
    const struct index_line *line = index_line_at(walk->index, walk->line);
    while (walk->places == 0) {
        if (!index_line_is_full(line))
            return 0;
        walk->line = lines_next(&walk->index->lines, walk->line);
        line = index_line_at(walk->index, walk->line);
        walk->places = index_equal(line->hashes, walk->hash);
    }
    unsigned place = (unsigned)__builtin_ctz(walk->places);
    /* A free place is found by the hash 0: then all places behind it are free too. */
    walk->places &= line->records[place] != 0 ? walk->places - 1 : 0;
    return line->records[place];
}

/* Where a record of this hash goes, if it is in its home line and no record there has its hash;
 * else NULL, which says nothing. For callers that have another way then. */
static inline struct index_line *index_vacancy(const struct index *index, uint32_t hash,
                                               unsigned *place)
{
    struct index_line *line = index_line_at(index, lines_home(&index->lines, hash));
    if (index_line_is_full(line) || index_equal(line->hashes, hash) != 0)
        return NULL;
    *place = (unsigned)__builtin_ctz(index_equal(line->records, 0));
    return line;
}

static inline void index_put(struct index_line *line, unsigned place, uint32_t hash,
                             uint32_t record)
{
    line->hashes[place] = hash;
    line->records[place] = record;
}

/* The caller keeps the number of records within the capacity. */
static inline void index_insert(struct index *index, uint32_t hash, uint32_t record)
{
    uint64_t at = lines_home(&index->lines, hash);
    struct index_line *line = index_line_at(index, at);
    while (index_line_is_full(line)) {
        at = lines_next(&index->lines, at);
        line = index_line_at(index, at);
    }
    index_put(line, (unsigned)__builtin_ctz(index_equal(line->records, 0)), hash, record);
}

/* The record is there. */
void index_remove(struct index *index, uint32_t hash, uint32_t record);

#endif
