/* An index of ids: three ids with their record numbers to a cache line, so that a look-up touches
 * nothing else. Ids are not zero: a free place has the id zero and the number 0. A line's records
 * stand at its front, and a record that finds its home line full in the next line that is not; a
 * removal moves records back, as in engine/index.h. */
#ifndef TILL_ENGINE_ID_INDEX_H
#define TILL_ENGINE_ID_INDEX_H

#include <assert.h>

#include "base/id.h"
#include "engine/lines.h"

enum { ID_PLACES = 3 };

struct id_line {
    struct id ids[ID_PLACES];
    uint32_t records[ID_PLACES];
    uint32_t zero;
};

static_assert(sizeof(struct id_line) == LINE_SIZE, "one cache line");

struct id_index {
    struct lines lines;
};

static inline bool id_index_init(struct id_index *index, uint32_t capacity)
{
    return lines_init(&index->lines, capacity, ID_PLACES);
}

static inline void id_index_deinit(struct id_index *index)
{
    lines_deinit(&index->lines);
}

static inline struct id_line *id_line_at(const struct id_index *index, uint64_t line)
{
    return lines_at(&index->lines, line);
}

static inline bool id_line_is_full(const struct id_line *line)
{
    return line->records[ID_PLACES - 1] != 0;
}

/* The record of an id, whose hash this is; 0: there is none. Of an id that is there twice, as it
 * may be in a file that nobody should have written, one of its records. */
static inline uint32_t id_index_find(const struct id_index *index, uint32_t hash, struct id id)
{
    uint64_t at = lines_home(&index->lines, hash);
    for (;;) {
        /* Without branches: which of the three it is cannot be predicted. */
        const struct id_line *line = id_line_at(index, at);
        uint32_t record = 0;
#pragma GCC unroll 3
        for (unsigned i = 0; i < ID_PLACES; i++)
            record = id_equal(line->ids[i], id) ? line->records[i] : record;
        if (record != 0 || !id_line_is_full(line))
            return record;
        at = lines_next(&index->lines, at);
    }
}

/* The id is not there yet; the caller keeps the number of records within the capacity. */
static inline void id_index_insert(struct id_index *index, uint32_t hash, struct id id,
                                   uint32_t record)
{
    uint64_t at = lines_home(&index->lines, hash);
    while (id_line_is_full(id_line_at(index, at)))
        at = lines_next(&index->lines, at);
    struct id_line *line = id_line_at(index, at);
    unsigned place = 0;
    while (line->records[place] != 0)
        place++;
    line->ids[place] = id;
    line->records[place] = record;
}

/* Removes the record of an id, which is there; hash tells the hash of an id. */
typedef uint32_t id_index_hash(const void *context, struct id id);
void id_index_remove(struct id_index *index, id_index_hash *hash, const void *context, struct id id,
                     uint32_t record);

#endif
