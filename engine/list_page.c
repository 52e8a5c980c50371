/* Going down a list from a cursor. What a client sends as one is looked at before it is used: a
 * hint must be a number of a node that is in the list. */
#include "engine/list_page.h"

static bool is_below(struct list_key a, struct list_key b)
{
    return a.key != b.key ? a.key < b.key : a.tie < b.tie;
}

void list_page_begin(struct list_page *page, const struct engine *engine, struct id cursor,
                     list_is_there *is_there)
{
    const struct list_family *family = page->family;
    uint32_t hint = (uint32_t)(cursor.high >> 32);
    page->node = list_newest(family, page->list);
    page->last = 0;
    page->looks_left = LIST_LOOKS_MAX;
    page->cursor = (struct list_key){cursor.low, (uint32_t)cursor.high};
    if (id_is_zero(cursor))
        page->cursor = (struct list_key){UINT64_MAX, UINT32_MAX};
    else if (hint > 0 && hint <= family->nodes && list_has(family, hint) &&
             is_there(engine, page, hint) && !is_below(page->key_of(engine, hint), page->cursor))
        page->node = hint;
}

uint32_t list_page_next(struct list_page *page, const struct engine *engine)
{
    uint32_t head = list_head(page->family, page->list);
    while (page->node != head && page->looks_left > 0) {
        struct list_key key = page->key_of(engine, page->node);
        page->last = page->node;
        page->node = page->family->links[page->node].older;
        page->looks_left--;
        if (is_below(key, page->cursor)) {
            page->cursor = key;
            return page->last;
        }
    }
    return 0;
}

struct id list_page_cursor(const struct list_page *page)
{
    if (page->node == list_head(page->family, page->list))
        return (struct id){0};
    return (struct id){.low = page->cursor.key,
                       .high = (uint64_t)page->last << 32 | page->cursor.tie};
}
