/* Customers and their points. Private to engine/. */
#ifndef TILL_ENGINE_POINTS_H
#define TILL_ENGINE_POINTS_H

#include "engine/state.h"

/* The customer with this id, whose hash_id is known; 0: there is none. */
static inline uint32_t customer_find(const struct engine *engine, struct id id, uint32_t hash)
{
    return id_index_find(&engine->customer_index, hash, id);
}

/* Adds a customer; the caller has checked for room. */
uint32_t customer_add(struct engine *engine, struct id id, uint32_t hash);

/* Points that the customer may spend now. */
int64_t points_available(const struct engine *engine, uint32_t customer);

/* Points that a PENDING order would give back now, without those that would expire with that. */
int64_t points_coming_back(const struct engine *engine, const struct order *order);

/* Records that moving points takes. */
struct points_need {
    uint32_t takes;   /* point takes, each with the ledger entries of its hold and of its end */
    uint32_t lots;    /* new lots */
    uint32_t entries; /* ledger entries beside those of the takes */
};

/* What it takes to hold so many points, which are there, and to give them back again. */
struct points_need points_needed(const struct engine *engine, uint32_t customer, int64_t points);

/* What it takes to give back what a CONFIRMED order has spent. */
struct points_need points_return_needed(const struct engine *engine, const struct order *order);

/* OK, or the CAPACITY rejection of the table that lacks room. */
enum outcome check_points_room(struct engine *engine, const struct points_need *need);

/* Holds points for an order, from the lots that expire first; they are there, and room is. */
void points_hold(struct engine *engine, uint32_t order, int64_t points);

/* The order is PENDING no longer, and gives back what it held. */
void points_release(struct engine *engine, uint32_t order);

/* The order is CONFIRMED: what it held is spent. */
void points_spend(struct engine *engine, uint32_t order);

/* The order is CONFIRMED no longer, and what it spent comes back. */
void points_return(struct engine *engine, uint32_t order);

/* The order is DELIVERED, and leaves memory: what it spent is over. */
void points_forget(struct engine *engine, uint32_t order);

/* From how many lots the order took points. */
uint32_t points_take_count(const struct engine *engine, const struct order *order);

/* The order of a ledger entry; 0: it has none, or it has left memory: whichever has its record
 * since then was placed after the entry. */
static inline uint32_t ledger_order(const struct engine *engine, const struct ledger_entry *entry)
{
    const struct order *order = order_at(engine, entry->order);
    return !id_is_zero(order->id) && order->placed_seq <= entry->seq ? entry->order : 0;
}

#endif
