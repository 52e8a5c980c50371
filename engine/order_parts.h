/* An order's parts as they stand in the tables: its lines, and the pieces of stock that it took.
 * Reading only; engine/order.h changes them. Private to engine/. */
#ifndef TILL_ENGINE_ORDER_PARTS_H
#define TILL_ENGINE_ORDER_PARTS_H

#include "engine/state.h"

/* The place of a piece: inside its order (the order's number), or in the table of pieces (its
 * number there with this bit). */
#define PIECE_IN_ARENA (1u << 31)

static inline const struct piece *piece_of(const struct engine *engine, uint32_t place)
{
    return (place & PIECE_IN_ARENA) != 0 ? piece_at(engine, place & ~PIECE_IN_ARENA)
                                         : &order_at(engine, place)->parts.piece;
}

/* The order that took the piece at a place. */
static inline uint32_t piece_order(const struct engine *engine, uint32_t place)
{
    return (place & PIECE_IN_ARENA) != 0 ? piece_at(engine, place & ~PIECE_IN_ARENA)->order : place;
}

/* The order with this id, whose hash_id is known; 0: there is none. */
static inline uint32_t order_find_hashed(const struct engine *engine, struct id id, uint32_t hash)
{
    struct index_walk walk = index_walk(&engine->order_index, hash);
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0 && !id_equal(order_at(engine, index)->id, id)) {
    }
    return index;
}

static inline uint32_t order_find(const struct engine *engine, struct id id)
{
    return order_find_hashed(engine, id, hash_id(engine, id));
}

static inline bool order_is_inline(const struct order *order)
{
    return (order->flags & ORDER_IS_INLINE) != 0;
}

static inline uint8_t order_allocation(const struct order *order)
{
    return order->flags >> ORDER_ALLOCATION_SHIFT;
}

struct pieces {
    const struct piece *first;
    uint32_t count;
};

/* The pieces that the order was placed with. */
static inline struct pieces order_pieces_placed(const struct engine *engine,
                                                const struct order *order)
{
    return (struct pieces){order_is_inline(order) ? &order->parts.piece
                                                  : piece_at(engine, order->parts.pieces),
                           order->piece_count};
}

/* The pieces that the order has, or had last. */
static inline struct pieces order_pieces(const struct engine *engine, const struct order *order)
{
    if ((order->flags & ORDER_IS_MOVED) == 0)
        return order_pieces_placed(engine, order);
    const struct money *money = money_at(engine, order->money);
    return (struct pieces){piece_at(engine, money->pieces), money->piece_count};
}

/* A line of the order, from 0. The one line of an inline order follows from its piece. */
static inline struct line order_line(const struct engine *engine, const struct order *order,
                                     unsigned number)
{
    if (!order_is_inline(order))
        return *line_at(engine, order->parts.lines + number);
    const struct piece *piece = &order->parts.piece;
    return (struct line){.price = order->total / (int64_t)piece->quantity,
                         .sku = stock_at(engine, piece->stock)->sku,
                         .quantity = piece->quantity};
}

/* Of the order's last change. */
static inline uint64_t order_changed_seq(const struct engine *engine, const struct order *order)
{
    if (order->steps != 0)
        return step_at(engine, order->steps)->seq;
    return order->version > 1 ? order->first_seq : order->placed_seq;
}

static inline uint64_t order_changed_us(const struct engine *engine, const struct order *order)
{
    if (order->steps != 0)
        return step_at(engine, order->steps)->time_us;
    return order->version > 1 ? order->first_us : order->placed_us;
}

/* Does the order hold or have its pieces, or have they gone back? */
static inline bool order_has_pieces(const struct order *order)
{
    return order->state == order_state_PENDING || order->state == order_state_CONFIRMED;
}

/* The pool that a piece would be given back to; 0: to what is available. */
static inline uint32_t piece_returns_to(const struct engine *engine, const struct order *order,
                                        const struct piece *piece)
{
    bool to_pool = piece->pool != 0 && sale_at(engine, order->sale)->state != sale_state_CLOSED;
    return to_pool ? piece->pool : 0;
}

#endif
