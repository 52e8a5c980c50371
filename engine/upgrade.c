/* Bringing an image of an older schema to this one: what its records lack and others tell.
 *
 * The records are not checked yet, so nothing here follows what they refer to further than to a
 * record that there is, and no list is walked. What comes of a file that nobody should have written
 * is refused afterwards, like the rest of it (engine/bounds.c). What must hold: the state is the
 * one, to each record, that a replay of the log leads to, since it may be compared with that. */
#include "engine/image.h"
#include "engine/order_parts.h"
#include "engine/payment.h"
#include "engine/piece_list.h"

/* Is there a piece at this place, as far as the place itself tells? */
static bool is_place(const struct engine *engine, uint32_t place)
{
    uint32_t index = place & ~PIECE_IN_ARENA;
    const struct arena *arena =
        (place & PIECE_IN_ARENA) != 0 ? &engine->pieces.records : &engine->orders;
    return index > 0 && index <= arena->count;
}

/* The piece that the one at this place leads to is told of it. */
static void link_back(struct engine *engine, uint32_t place)
{
    uint32_t older = piece_of(engine, place)->next;
    if (is_place(engine, older))
        piece_newer_set(engine, older, place);
}

/* Pieces inside of orders have named these, and are now linked both ways as the others are. */
static void link_pieces(struct engine *engine)
{
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        if (order_is_inline(order_at(engine, i)))
            order_edit(engine, i)->parts.piece.order = 0;
    }
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        if (order_is_inline(order_at(engine, i)))
            link_back(engine, i);
    }
    for (uint32_t i = 1; i <= engine->pieces.records.count; i++)
        link_back(engine, i | PIECE_IN_ARENA);
}

/* Orders list their events, which came in the order of their numbers. */
static void list_payments(struct engine *engine)
{
    for (uint32_t i = 1; i <= engine->payments.count; i++) {
        struct payment *payment = payment_edit(engine, i);
        if (payment->order == 0 || payment->order > engine->orders.count)
            continue;
        struct order *order = order_edit(engine, payment->order);
        if (order->money > engine->moneys.count)
            continue;
        if (order->money != 0)
            payment_push(engine, order->money, i);
        else
            payment_push_loose(engine, payment->order, i);
    }
}

/* The version with which a late payment took the order from other places: it became CONFIRMED with
 * that. Steps of such an image lead to lower numbers. */
static uint32_t moved_version(const struct engine *engine, const struct order *order)
{
    uint32_t at = order->steps;
    while (at != 0 && at <= engine->steps.count) {
        const struct step *step = step_at(engine, at);
        uint32_t before = step->previous < at ? step->previous : 0;
        uint8_t from = before != 0 ? step_at(engine, before)->state : order->first_state;
        if (step->state == order_state_CONFIRMED && from != order_state_CONFIRMED)
            return step->version;
        at = before;
    }
    return 2;
}

static void note_moves(struct engine *engine)
{
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        if ((order->flags & ORDER_IS_MOVED) != 0 && order->money != 0 &&
            order->money <= engine->moneys.count)
            money_edit(engine, order->money)->moved = moved_version(engine, order);
    }
}

void engine_upgrade(struct engine *engine, unsigned schema)
{
    if (schema >= 3)
        return;
    link_pieces(engine);
    list_payments(engine);
    note_moves(engine);
}
