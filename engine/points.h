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

static inline bool lot_has_expired(const struct engine *engine, const struct lot *lot)
{
    return lot->expires_us <= engine->time_us;
}

static inline bool lot_may_expire(const struct lot *lot)
{
    return lot->expires_us != UINT64_MAX;
}

/* Does it expire by a deadline? */
static inline bool lot_is_timed(const struct engine *engine, const struct lot *lot)
{
    return engine->lots_timed && lot_may_expire(lot);
}

/* Deadlines that are kept for lots to come. */
static inline uint32_t lots_deadlines_kept(const struct engine *engine)
{
    return engine->lots_timed ? engine->lots_reserved : 0;
}

/* What an entry of the ledger added to the balance, and to what may be spent. */
static inline int64_t ledger_balance_change(const struct ledger_entry *entry)
{
    bool takes = entry->kind == ledger_kind_SPEND || entry->kind == ledger_kind_EXPIRE ||
                 entry->kind == ledger_kind_CLAWBACK;
    bool moves = entry->kind == ledger_kind_HOLD || entry->kind == ledger_kind_RELEASE;
    return moves ? 0 : takes ? -entry->points : entry->points;
}

static inline int64_t ledger_available_change(const struct ledger_entry *entry)
{
    if (entry->kind == ledger_kind_HOLD)
        return -entry->points;
    if (entry->kind == ledger_kind_RELEASE)
        return entry->points;
    return entry->kind == ledger_kind_SPEND ? 0 : ledger_balance_change(entry);
}

/* Points that the customer may spend now. */
int64_t points_available(const struct engine *engine, uint32_t customer);

/* All that a customer has, or may get back or is promised. */
int64_t points_owned(const struct engine *engine, uint32_t customer);

/* Points that a PENDING order would give back now, without those that would expire with that. */
int64_t points_coming_back(const struct engine *engine, const struct order *order);

/* Records that moving points takes. */
struct points_need {
    uint32_t takes;   /* point takes, each with the ledger entries of its hold and of its end */
    uint32_t lots;    /* new lots, now or kept for later */
    uint32_t entries; /* ledger entries beside those of the takes, now or kept for later */
    uint32_t deadlines;
    uint32_t earnings;
};

/* What it takes to hold so many points, which are there, and to give them back again. */
struct points_need points_needed(const struct engine *engine, uint32_t customer, int64_t points);

/* What it takes to give back so many of the points that a sold order has spent. */
struct points_need points_return_needed(const struct engine *engine, const struct order *order,
                                        int64_t points);

/* OK, or the CAPACITY rejection of the table that lacks room. */
enum outcome check_points_room(struct engine *engine, const struct points_need *need);

/* Holds points for an order, from the lots that expire first; they are there, and room is. */
void points_hold(struct engine *engine, uint32_t order, int64_t points);

/* The order is PENDING no longer, and gives back what it held. */
void points_release(struct engine *engine, uint32_t order);

/* The order is CONFIRMED: what it held is spent. */
void points_spend(struct engine *engine, uint32_t order);

/* So many of the points that a sold order has spent come back, those first that it took first. */
void points_return(struct engine *engine, uint32_t order, int64_t points);

/* From how many lots the order took points. */
uint32_t points_take_count(const struct engine *engine, const struct order *order);

/* From how many lots so many points would be taken, the lots that expire first first. */
uint32_t points_takes_from(const struct engine *engine, uint32_t customer, int64_t points);

/* Sweeps the customer's lots that have expired, or the first of them; false when none has. */
void points_sweep(struct engine *engine, uint32_t customer);
bool points_sweep_one(struct engine *engine, uint32_t customer);

/* For what adds and takes points; the caller has checked for room. Adds a lot like this one, with
 * points, and its deadline; takes points that are left in a lot; adds an entry to the ledger; keeps
 * more lots in reserve, each with a deadline, or fewer. */
uint32_t lot_add(struct engine *engine, const struct lot *lot, int64_t points);
void lot_take(struct engine *engine, uint32_t lot, int64_t points);
void ledger_add(struct engine *engine, uint8_t kind, uint32_t lot, uint32_t order, int64_t points);
void lots_reserve(struct engine *engine, int32_t change);

#endif
