/* Removal from an index.
 *
 * What must hold after it: every line between a record's home and where it stands is full. A hole
 * in a line is closed with the line's last record. If the line was full, one of the lines behind it
 * may have a record whose way led through it: that record moves to the freed place, and the hole
 * with it, until a line is reached that was not full before: no way leads further. */
#include "engine/index.h"

static unsigned line_count(const struct index_line *line)
{
    unsigned free_places = index_equal(line->records, 0);
    return free_places == 0 ? INDEX_PLACES : (unsigned)__builtin_ctz(free_places);
}

/* Takes a record out of its line: the last one takes its place. */
static void line_take_out(struct index_line *line, unsigned place)
{
    unsigned last = line_count(line) - 1;
    index_put(line, place, line->hashes[last], line->records[last]);
    index_put(line, last, 0, 0);
}

/* Does the way of a record of this hash to line `at` lead through line `hole`? */
static bool leads_through(const struct index *index, uint32_t hash, uint64_t hole, uint64_t at)
{
    uint64_t count = index->lines.count;
    uint64_t home = lines_home(&index->lines, hash);
    return (hole + count - home) % count < (at + count - home) % count;
}

/* Moves a record of line `at` to line `hole` if one may stand there. */
static bool line_fill(const struct index *index, uint64_t hole, uint64_t at)
{
    struct index_line *from = index_line_at(index, at);
    struct index_line *to = index_line_at(index, hole);
    for (unsigned i = 0; i < line_count(from); i++) {
        if (!leads_through(index, from->hashes[i], hole, at))
            continue;
        index_put(to, INDEX_PLACES - 1, from->hashes[i], from->records[i]);
        line_take_out(from, i);
        return true;
    }
    return false;
}

/* Takes the record out and returns its line; *was_full: was there no free place in it? */
static uint64_t take_out(struct index *index, uint32_t hash, uint32_t record, bool *was_full)
{
    struct index_walk walk = index_walk(index, hash);
    uint32_t found = index_next(&walk);
    while (found != record) {
        TILL_ASSERT(found != 0);
        found = index_next(&walk);
    }
    struct index_line *line = index_line_at(index, walk.line);
    *was_full = index_line_is_full(line);
    /* It may stand there under another hash as well. */
    unsigned places = index_equal(line->records, record) & index_equal(line->hashes, hash);
    line_take_out(line, (unsigned)__builtin_ctz(places));
    return walk.line;
}

void index_remove(struct index *index, uint32_t hash, uint32_t record)
{
    bool was_full = false;
    uint64_t hole = take_out(index, hash, record, &was_full);
    for (uint64_t at = lines_next(&index->lines, hole); was_full && at != hole;
         at = lines_next(&index->lines, at)) {
        bool is_full = index_line_is_full(index_line_at(index, at));
        if (line_fill(index, hole, at))
            hole = at;
        was_full = is_full;
    }
}
