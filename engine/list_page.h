/* A page of a list (engine/lists.h): where it begins, and the cursor of the next one. Private to
 * engine/.
 *
 * A list descends by (key, tie). A cursor has these of the last entry that was looked at, and only
 * what is below is shown next: so each entry that stays in the list is shown once, whatever else
 * comes, goes or moves between two pages, and also by another server. A cursor has a node as well,
 * as a hint: any node of the list that is not below the cursor is a right place to look from, and
 * without one the newest is. A page looks at LIST_LOOKS_MAX entries at most; so it may have fewer
 * rows than were wanted, or none, and yet a cursor.
 *
 *   low 64 bits: the key; then 32 bits: the tie; the upper 32 bits: the hint */
#ifndef TILL_ENGINE_LIST_PAGE_H
#define TILL_ENGINE_LIST_PAGE_H

#include "engine/lists.h"

struct list_key {
    uint64_t key;
    uint32_t tie; /* of those with the same key */
};

struct list_page;

/* What a node of some list of the family descends by, and whether it is in the page's list. */
typedef struct list_key list_key_of(const struct engine *engine, uint32_t node);
typedef bool list_is_there(const struct engine *engine, const struct list_page *page,
                           uint32_t node);

struct list_page {
    const struct list_family *family;
    list_key_of *key_of;
    uint32_t list;
    uint32_t node; /* the next to look at; the list's head: there is none */
    uint32_t last; /* the last that was looked at; 0: none */
    uint32_t looks_left;
    struct list_key cursor; /* of the last that was looked at, or as it was given */
};

/* Begins the page of a cursor, which may be anything. family, key_of and list are given. */
void list_page_begin(struct list_page *page, const struct engine *engine, struct id cursor,
                     list_is_there *is_there);

/* The next node below the cursor; 0: the list has ended, or the page has looked long enough. */
uint32_t list_page_next(struct list_page *page, const struct engine *engine);

/* The cursor of the next page; zero: there is none. */
struct id list_page_cursor(const struct list_page *page);

#endif
