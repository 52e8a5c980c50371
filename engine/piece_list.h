/* The list of each stock's pieces, whatever was taken of it, the newest first: linked both ways, so
 * that a piece leaves it at once with its order. `next` is the older one. The newer one stands in a
 * piece inside of an order where others have the order, since its place tells that; for the others
 * in piece_links. Private to engine/. */
#ifndef TILL_ENGINE_PIECE_LIST_H
#define TILL_ENGINE_PIECE_LIST_H

#include "engine/order_parts.h"

/* Where its stock's next newer piece is; 0: it is the newest. */
static inline uint32_t piece_newer(const struct engine *engine, uint32_t place)
{
    return (place & PIECE_IN_ARENA) != 0 ? piece_link_at(engine, place & ~PIECE_IN_ARENA)->newer
                                         : order_at(engine, place)->parts.piece.order;
}

static inline void piece_newer_set(struct engine *engine, uint32_t place, uint32_t newer)
{
    if ((place & PIECE_IN_ARENA) == 0)
        order_edit(engine, place)->parts.piece.order = newer;
    else
        piece_link_edit(engine, place & ~PIECE_IN_ARENA)->newer = newer;
}

/* The piece at this place becomes the newest of its stock; there is none that is newer yet. Plain,
 * which a caller knows when it is compiled: no snapshot has to keep what changes. */
static inline void piece_push(struct engine *engine, struct stock *stock, struct piece *piece,
                              uint32_t place, bool is_plain)
{
    uint32_t older = stock->pieces;
    piece->next = older;
    stock->pieces = place;
    if (__builtin_expect(older - 1 < PIECE_IN_ARENA - 1, 1)) { /* not 0, and inside of an order */
        struct order *order = is_plain ? order_new(engine, older) : order_edit(engine, older);
        order->parts.piece.order = place;
    } else if (older != 0) {
        piece_newer_set(engine, older, place);
    }
}

/* The piece at this place leaves its stock's list. */
static inline void piece_remove(struct engine *engine, uint32_t place)
{
    struct piece piece = *piece_of(engine, place);
    uint32_t newer = piece_newer(engine, place);
    if (newer == 0)
        stock_edit(engine, piece.stock)->pieces = piece.next;
    else if ((newer & PIECE_IN_ARENA) == 0)
        order_edit(engine, newer)->parts.piece.next = piece.next;
    else
        piece_edit(engine, newer & ~PIECE_IN_ARENA)->next = piece.next;
    if (piece.next != 0)
        piece_newer_set(engine, piece.next, newer);
    piece_newer_set(engine, place, 0);
}

#endif
