/* Free lists: how an arena takes records back.
 *
 * A record that is given back is linked into a chain by a uint32_t member of its own, its link. The
 * next record that is taken is the last one that was given back, and a new one of the arena only
 * when none is free. So which record is taken follows from what was decided before, and is the same
 * after a replay. Who keeps the list's first record keeps the list: it is a number of the state. */
#ifndef TILL_ENGINE_FREE_LIST_H
#define TILL_ENGINE_FREE_LIST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

/* The link of a record is at this offset in it. */
static inline uint32_t free_list_next(const struct arena *arena, uint32_t index, size_t link_offset)
{
    uint32_t next = 0;
    memcpy(&next, (const uint8_t *)arena_at(arena, index) + link_offset, sizeof next);
    return next;
}

/* Takes the first record of the list, which its link no longer leads on from. The one behind it is
 * wanted next, and was last touched long ago. */
static inline void free_list_reuse(const struct arena *arena, uint32_t *first, void *record,
                                   size_t link_offset)
{
    uint8_t *link = (uint8_t *)record + link_offset;
    memcpy(first, link, sizeof *first);
    memset(link, 0, sizeof *first);
    __builtin_prefetch(arena_at(arena, *first), 1);
}

/* Takes a record; 0 when there is no room. One that was used before has its old content. */
static inline uint32_t free_list_take(struct arena *arena, uint32_t *first, size_t link_offset)
{
    uint32_t index = *first;
    if (index == 0)
        return arena_take(arena, 1);
    *first = free_list_next(arena, index, link_offset);
    return index;
}

/* Gives back this record, of this index; the caller has kept it for a snapshot. */
static inline void free_list_give(uint32_t *first, void *record, size_t link_offset, uint32_t index)
{
    memcpy((uint8_t *)record + link_offset, first, sizeof *first);
    *first = index;
}

#endif
