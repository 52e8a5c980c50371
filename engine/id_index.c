/* Removal from an index of ids: as from any other (engine/index.c), but that a line has no hashes,
 * so that those of the records behind the hole are made from their ids. */
#include "engine/id_index.h"

#include "base/assert.h"

static unsigned line_count(const struct id_line *line)
{
    unsigned count = 0;
    while (count < ID_PLACES && line->records[count] != 0)
        count++;
    return count;
}

/* Takes a record out of its line: the last one takes its place. */
static void line_take_out(struct id_line *line, unsigned place)
{
    unsigned last = line_count(line) - 1;
    line->ids[place] = line->ids[last];
    line->records[place] = line->records[last];
    line->ids[last] = (struct id){0};
    line->records[last] = 0;
}

/* Does the way of a record from its home to line `at` lead through line `hole`? */
static bool leads_through(const struct id_index *index, uint64_t home, uint64_t hole, uint64_t at)
{
    uint64_t count = index->lines.count;
    return (hole + count - home) % count < (at + count - home) % count;
}

/* Moves a record of line `at` to line `hole` if one may stand there. */
static bool line_fill(const struct id_index *index, id_index_hash *hash, const void *context,
                      uint64_t hole, uint64_t at)
{
    struct id_line *from = id_line_at(index, at);
    struct id_line *to = id_line_at(index, hole);
    for (unsigned i = 0; i < line_count(from); i++) {
        uint64_t home = lines_home(&index->lines, hash(context, from->ids[i]));
        if (!leads_through(index, home, hole, at))
            continue;
        to->ids[ID_PLACES - 1] = from->ids[i];
        to->records[ID_PLACES - 1] = from->records[i];
        line_take_out(from, i);
        return true;
    }
    return false;
}

/* Takes the record out and returns its line; *was_full: was there no free place in it? */
static uint64_t take_out(struct id_index *index, uint32_t hash, uint32_t record, bool *was_full)
{
    for (uint64_t at = lines_home(&index->lines, hash);; at = lines_next(&index->lines, at)) {
        struct id_line *line = id_line_at(index, at);
        *was_full = id_line_is_full(line);
        for (unsigned i = 0; i < ID_PLACES; i++) {
            if (line->records[i] == record) {
                line_take_out(line, i);
                return at;
            }
        }
        TILL_ASSERT(*was_full);
    }
}

void id_index_remove(struct id_index *index, id_index_hash *hash, const void *context, struct id id,
                     uint32_t record)
{
    bool was_full = false;
    uint64_t hole = take_out(index, hash(context, id), record, &was_full);
    for (uint64_t at = lines_next(&index->lines, hole); was_full && at != hole;
         at = lines_next(&index->lines, at)) {
        bool is_full = id_line_is_full(id_line_at(index, at));
        if (line_fill(index, hash, context, hole, at))
            hole = at;
        was_full = is_full;
    }
}
