/* Customers and their points: lots, what orders hold of them, and the ledger.
 *
 *                 points_hold            points_spend
 *   lot.left  --------------------> held -------------> gone
 *       ^  ^        points_release   |                   |
 *       |  +-------------------------+   points_return   |
 *       +------------------------------------------------+
 *
 * A customer's list holds the lots with something left, by ascending expiry. A lot that has
 * expired counts as empty wherever it is looked at; it is swept, with its ledger entry, by the
 * next command that takes points. For every held take two ledger entries are kept in reserve (its
 * end, and the sweeping of its lot), so that an order can always end. */
#include "engine/state.h"

enum { LEDGER_ENTRIES_PER_TAKE = 2 };

uint32_t customer_add(struct engine *engine, struct id id, uint32_t hash)
{
    uint32_t index = arena_take(&engine->customers, 1);
    TILL_ASSERT(index != 0);
    TILL_ASSERT(arena_take(&engine->customer_ids, 1) == index);
    customer_id_new(engine, index)->id = id;
    index_insert(&engine->customer_index, hash, index);
    return index;
}

static bool lot_has_expired(const struct engine *engine, const struct lot *lot)
{
    return lot->expires_us <= engine->time_us;
}

static uint64_t ledger_room(const struct engine *engine)
{
    return arena_room(&engine->ledger) - engine->ledger_reserved;
}

static void ledger_add(struct engine *engine, enum ledger_kind kind, uint32_t lot, uint32_t order,
                       int64_t points)
{
    struct customer *customer = customer_edit(engine, lot_at(engine, lot)->customer);
    uint32_t index = arena_take(&engine->ledger, 1);
    TILL_ASSERT(index != 0);
    *ledger_entry_new(engine, index) = (struct ledger_entry){
        .seq = engine->seq,
        .time_us = engine->time_us,
        .points = points,
        .order = order,
        .lot = lot,
        .previous = customer->ledger,
        .kind = kind,
    };
    customer->ledger = index;
    digest_mix(engine, (uint64_t)points ^ (uint64_t)kind << 60, (uint64_t)lot << 32 | order);
}

static void lot_link(struct engine *engine, uint32_t index)
{
    struct lot *lot = lot_edit(engine, index);
    uint32_t *place = &customer_edit(engine, lot->customer)->lots;
    while (*place != 0) {
        const struct lot *other = lot_at(engine, *place);
        if (other->expires_us > lot->expires_us ||
            (other->expires_us == lot->expires_us && *place > index))
            break;
        place = &lot_edit(engine, *place)->next;
    }
    lot->next = *place;
    lot->linked = 1;
    *place = index;
}

static void lot_unlink(struct engine *engine, uint32_t index)
{
    struct lot *lot = lot_edit(engine, index);
    uint32_t *place = &customer_edit(engine, lot->customer)->lots;
    while (*place != index)
        place = &lot_edit(engine, *place)->next;
    *place = lot->next;
    lot->next = 0;
    lot->linked = 0;
}

/* An expired lot loses what is left in it. */
static void lot_sweep(struct engine *engine, uint32_t index)
{
    struct lot *lot = lot_edit(engine, index);
    lot_unlink(engine, index);
    ledger_add(engine, LEDGER_EXPIRE, index, 0, lot->left);
    customer_edit(engine, lot->customer)->spendable -= lot->left;
    lot->left = 0;
}

int64_t points_available(const struct engine *engine, uint32_t customer)
{
    int64_t available = customer_at(engine, customer)->spendable;
    for (uint32_t index = customer_at(engine, customer)->lots; index != 0;) {
        const struct lot *lot = lot_at(engine, index);
        if (!lot_has_expired(engine, lot))
            break;
        available -= lot->left;
        index = lot->next;
    }
    return available;
}

/* How many lots taking this many points touches, and how many expired ones would be swept. */
uint32_t points_lots_needed(const struct engine *engine, uint32_t customer, int64_t points,
                            uint32_t *expired)
{
    uint32_t lots = 0;
    *expired = 0;
    for (uint32_t index = customer_at(engine, customer)->lots; index != 0 && points > 0;) {
        const struct lot *lot = lot_at(engine, index);
        if (lot_has_expired(engine, lot)) {
            ++*expired;
        } else {
            lots++;
            points -= lot->left;
        }
        index = lot->next;
    }
    return lots;
}

/* Room to hold points from so many lots, end that hold again, and sweep expired lots; or the
 * CAPACITY rejection of the table that lacks it. */
enum outcome check_points_room(struct engine *engine, uint32_t lots, uint32_t expired)
{
    uint64_t takes_room =
        engine->point_takes_free_count + (uint64_t)arena_room(&engine->point_takes);
    uint64_t entries = (uint64_t)lots * (1 + LEDGER_ENTRIES_PER_TAKE) + expired;
    if (takes_room < lots)
        return REJECT_FULL(engine, point_takes);
    if (ledger_room(engine) < entries)
        return REJECT_FULL(engine, ledger);
    return OUTCOME_OK;
}

static uint32_t take_new(struct engine *engine)
{
    uint32_t index = engine->point_takes_free;
    if (index == 0)
        return arena_take(&engine->point_takes, 1);
    engine->point_takes_free = point_take_at(engine, index)->next;
    engine->point_takes_free_count--;
    return index;
}

static void takes_free(struct engine *engine, struct money *money)
{
    for (uint32_t index = money->takes; index != 0;) {
        struct point_take *take = point_take_edit(engine, index);
        uint32_t next = take->next;
        take->next = engine->point_takes_free;
        engine->point_takes_free = index;
        engine->point_takes_free_count++;
        index = next;
    }
    money->takes = 0;
}

uint32_t points_take_count(const struct engine *engine, const struct order *order)
{
    uint32_t count = 0;
    uint32_t index = money_at(engine, order->money)->takes;
    for (; index != 0; index = point_take_at(engine, index)->next)
        count++;
    return count;
}

static void hold_from_lot(struct engine *engine, uint32_t order, uint32_t index, int64_t points)
{
    struct lot *lot = lot_edit(engine, index);
    struct customer *customer = customer_edit(engine, lot->customer);
    struct money *money = money_edit(engine, order_at(engine, order)->money);
    lot->left -= points;
    lot->held += points;
    customer->spendable -= points;
    customer->held += points;
    uint32_t take = take_new(engine);
    TILL_ASSERT(take != 0);
    *point_take_edit(engine, take) =
        (struct point_take){.points = points, .lot = index, .next = money->takes};
    money->takes = take;
    engine->ledger_reserved += LEDGER_ENTRIES_PER_TAKE;
    ledger_add(engine, LEDGER_HOLD, index, order, points);
    if (lot->left == 0)
        lot_unlink(engine, index);
}

/* Holds points for an order, from the lots that expire first; check_points_room said yes. */
void points_hold(struct engine *engine, uint32_t order, int64_t points)
{
    uint32_t customer = order_at(engine, order)->customer;
    while (points > 0) {
        uint32_t index = customer_at(engine, customer)->lots;
        TILL_ASSERT(index != 0);
        const struct lot *lot = lot_at(engine, index);
        if (lot_has_expired(engine, lot)) {
            lot_sweep(engine, index);
            continue;
        }
        int64_t part = lot->left < points ? lot->left : points;
        hold_from_lot(engine, order, index, part);
        points -= part;
    }
}

/* Points come back to their lot; one that has expired by now keeps them for the grace period. */
static void lot_give_back(struct engine *engine, uint32_t index, int64_t points)
{
    struct lot *lot = lot_edit(engine, index);
    if (lot_has_expired(engine, lot)) {
        if (lot->linked != 0)
            lot_sweep(engine, index);
        lot->expires_us = engine->time_us + POINTS_GRACE_US;
    }
    lot->left += points;
    customer_edit(engine, lot->customer)->spendable += points;
    if (lot->linked == 0)
        lot_link(engine, index);
}

/* The held points of an order are held no longer: they go where `kind` says. */
static void points_end(struct engine *engine, uint32_t order, enum ledger_kind kind)
{
    uint32_t index = money_at(engine, order_at(engine, order)->money)->takes;
    while (index != 0) {
        const struct point_take *take = point_take_at(engine, index);
        struct lot *lot = lot_edit(engine, take->lot);
        lot->held -= take->points;
        customer_edit(engine, lot->customer)->held -= take->points;
        engine->ledger_reserved -= LEDGER_ENTRIES_PER_TAKE;
        if (kind == LEDGER_RELEASE)
            lot_give_back(engine, take->lot, take->points);
        ledger_add(engine, kind, take->lot, order, take->points);
        index = take->next;
    }
}

void points_release(struct engine *engine, uint32_t order)
{
    points_end(engine, order, LEDGER_RELEASE);
    if (order_at(engine, order)->money != 0)
        takes_free(engine, money_edit(engine, order_at(engine, order)->money));
}

void points_spend(struct engine *engine, uint32_t order)
{
    points_end(engine, order, LEDGER_SPEND);
}

/* Spent points come back: the order is cancelled after it was confirmed. */
void points_return(struct engine *engine, uint32_t order)
{
    if (order_at(engine, order)->money == 0)
        return;
    struct money *money = money_edit(engine, order_at(engine, order)->money);
    for (uint32_t index = money->takes; index != 0;) {
        const struct point_take *take = point_take_at(engine, index);
        lot_give_back(engine, take->lot, take->points);
        ledger_add(engine, LEDGER_RETURN, take->lot, order, take->points);
        index = take->next;
    }
    takes_free(engine, money);
}

enum outcome handle_points_credit(struct engine *engine, struct command *command)
{
    const struct points_credit_body *body = command->body;
    if (id_is_zero(body->customer))
        return reject_field(engine, points_credit_field_customer);
    if (body->points < 1 || body->points > POINTS_MAX)
        return reject_field(engine, points_credit_field_points);
    if (body->expires != 0 && (body->expires <= engine->time_us || body->expires > TIME_US_MAX))
        return reject_field(engine, points_credit_field_expires);
    uint32_t hash = hash_id(engine, body->customer);
    uint32_t index = customer_find(engine, body->customer, hash);
    int64_t balance = points_available(engine, index) + customer_at(engine, index)->held;
    if (balance + body->points > POINTS_MAX)
        return reject(engine, OUTCOME_OVERFLOW, 0, POINTS_MAX);
    if (index == 0 && arena_room(&engine->customers) == 0)
        return REJECT_FULL(engine, customers);
    if (arena_room(&engine->lots) == 0)
        return REJECT_FULL(engine, lots);
    if (ledger_room(engine) == 0)
        return REJECT_FULL(engine, ledger);
    if (!key_has_room(engine))
        return reject_keys_full(engine);

    engine_accept(engine);
    if (index == 0)
        index = customer_add(engine, body->customer, hash);
    uint32_t lot = arena_take(&engine->lots, 1);
    *lot_new(engine, lot) = (struct lot){
        .left = body->points,
        .expires_us = body->expires != 0 ? body->expires : UINT64_MAX,
        .customer = index,
    };
    lot_link(engine, lot);
    customer_edit(engine, index)->spendable += body->points;
    ledger_add(engine, LEDGER_CREDIT, lot, 0, body->points);
    struct points_credit_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    reply->available = points_available(engine, index);
    reply->balance = reply->available + customer_at(engine, index)->held;
    return OUTCOME_OK;
}

enum outcome handle_points_balance(struct engine *engine, struct command *command)
{
    const struct points_balance_body *body = command->body;
    uint32_t index = customer_find(engine, body->customer, hash_id(engine, body->customer));
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    struct points_balance_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    reply->held = customer_at(engine, index)->held;
    reply->available = points_available(engine, index);
    reply->balance = reply->available + reply->held;
    uint64_t next_us = UINT64_MAX;
    for (uint32_t at = customer_at(engine, index)->lots; at != 0; at = lot_at(engine, at)->next) {
        const struct lot *lot = lot_at(engine, at);
        if (lot_has_expired(engine, lot))
            continue;
        if (lot->expires_us > next_us || lot->expires_us == UINT64_MAX)
            break;
        next_us = lot->expires_us;
        reply->expiring += lot->left;
    }
    reply->next_expiry = next_us == UINT64_MAX ? 0 : next_us;
    return OUTCOME_OK;
}
