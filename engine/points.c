/* Customers and their points: lots, what orders hold of them, and the ledger.
 *
 *                 points_hold            points_spend
 *   lot.left  --------------------> held -------------> spent
 *       ^  ^        points_release   |                   |
 *       |  +-------------------------+   points_return   |
 *       +------------------------------------------------+
 *
 * A customer's list holds the lots with something left, by ascending expiry. A lot that has
 * expired counts as empty wherever it is looked at; it is swept, with its ledger entry, by the
 * next command that takes or credits points. Points that come back after their lot's expiry have a
 * time of their own, so they get a lot of their own.
 *
 * spendable + held + spent is at most POINTS_MAX for every customer: only a credit raises the sum,
 * and it sweeps first and looks at all three. So no sum of points can leave its range, whatever
 * comes back. For every held take two ledger entries are kept in reserve (that it came back, and
 * that it expired with that), and a lot when its own may expire: an order can always end. */
#include "engine/points.h"

#include "engine/keys.h"

enum { LEDGER_ENTRIES_PER_TAKE = 2 };

uint32_t customer_add(struct engine *engine, struct id id, uint32_t hash)
{
    uint32_t index = arena_take(&engine->customers, 1);
    TILL_ASSERT(index != 0);
    TILL_ASSERT(arena_take(&engine->customer_ids, 1) == index);
    customer_id_new(engine, index)->id = id;
    id_index_insert(&engine->customer_index, hash, id, index);
    return index;
}

static bool lot_has_expired(const struct engine *engine, const struct lot *lot)
{
    return lot->expires_us <= engine->time_us;
}

static uint32_t ledger_room(const struct engine *engine)
{
    return ledger_entry_room(engine) - engine->ledger_reserved;
}

static uint32_t lots_room(const struct engine *engine)
{
    return lot_room(engine) - engine->lots_reserved;
}

static void ledger_add(struct engine *engine, enum ledger_kind kind, uint32_t lot, uint32_t order,
                       int64_t points)
{
    struct customer *customer = customer_edit(engine, lot_at(engine, lot)->customer);
    uint32_t index = ledger_entry_alloc(engine);
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

static bool lot_may_expire(const struct lot *lot)
{
    return lot->expires_us != UINT64_MAX;
}

/* The time from which on points of this lot that come back are lost. */
static uint64_t lot_last_us(const struct engine *engine, const struct lot *lot)
{
    uint64_t expires_us =
        lot->origin != 0 ? lot_at(engine, lot->origin)->expires_us : lot->expires_us;
    return expires_us != UINT64_MAX ? expires_us + POINTS_GRACE_MAX_US : UINT64_MAX;
}

/* Until when points of an expired lot that come back now may be spent. Not after now: they are
 * lost.
 */
static uint64_t grace_ends_us(const struct engine *engine, const struct lot *lot)
{
    uint64_t last_us = lot_last_us(engine, lot);
    uint64_t ends_us = engine->time_us + POINTS_GRACE_US;
    return ends_us < last_us ? ends_us : last_us;
}

/* Counts the takes, the lots that may have expired by the time that their points come back, and the
 * entries for sweeping those that have expired already. */
struct points_need points_needed(const struct engine *engine, uint32_t customer, int64_t points)
{
    struct points_need need = {.takes = 0};
    for (uint32_t index = customer_at(engine, customer)->lots; index != 0 && points > 0;) {
        const struct lot *lot = lot_at(engine, index);
        if (lot_has_expired(engine, lot)) {
            need.entries++;
        } else {
            need.takes++;
            need.lots += lot_may_expire(lot);
            points -= lot->left;
        }
        index = lot->next;
    }
    return need;
}

int64_t points_coming_back(const struct engine *engine, const struct order *order)
{
    int64_t points = 0;
    for (uint32_t at = money_at(engine, order->money)->takes; at != 0;) {
        const struct point_take *take = point_take_at(engine, at);
        const struct lot *lot = lot_at(engine, take->lot);
        if (grace_ends_us(engine, lot) > engine->time_us)
            points += take->points;
        at = take->next;
    }
    return points;
}

struct points_need points_return_needed(const struct engine *engine, const struct order *order)
{
    struct points_need need = {.takes = 0};
    for (uint32_t at = money_at(engine, order->money)->takes; at != 0;) {
        const struct point_take *take = point_take_at(engine, at);
        need.lots += lot_has_expired(engine, lot_at(engine, take->lot));
        need.entries += LEDGER_ENTRIES_PER_TAKE;
        at = take->next;
    }
    return need;
}

enum outcome check_points_room(struct engine *engine, const struct points_need *need)
{
    uint64_t entries = (uint64_t)need->takes * (1 + LEDGER_ENTRIES_PER_TAKE) + need->entries;
    if (point_take_room(engine) < need->takes)
        return REJECT_FULL(engine, point_takes);
    if (lots_room(engine) < need->lots)
        return REJECT_FULL(engine, lots);
    if (ledger_room(engine) < entries)
        return REJECT_FULL(engine, ledger);
    return OUTCOME_OK;
}

static void takes_free(struct engine *engine, struct money *money)
{
    for (uint32_t index = money->takes; index != 0;) {
        uint32_t next = point_take_at(engine, index)->next;
        point_take_free(engine, index);
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

/* Takes points from a lot for an order; returns the take. */
static uint32_t hold_from_lot(struct engine *engine, uint32_t order, uint32_t index, int64_t points)
{
    struct lot *lot = lot_edit(engine, index);
    struct customer *customer = customer_edit(engine, lot->customer);
    lot->left -= points;
    lot->held += points;
    customer->spendable -= points;
    customer->held += points;
    uint32_t take = point_take_alloc(engine);
    TILL_ASSERT(take != 0);
    *point_take_new(engine, take) = (struct point_take){.points = points, .lot = index};
    engine->ledger_reserved += LEDGER_ENTRIES_PER_TAKE;
    engine->lots_reserved += lot_may_expire(lot);
    ledger_add(engine, LEDGER_HOLD, index, order, points);
    if (lot->left == 0)
        lot_unlink(engine, index);
    return take;
}

void points_hold(struct engine *engine, uint32_t order, int64_t points)
{
    uint32_t customer = order_at(engine, order)->customer;
    uint32_t *place = &money_edit(engine, order_at(engine, order)->money)->takes;
    while (points > 0) {
        uint32_t index = customer_at(engine, customer)->lots;
        TILL_ASSERT(index != 0);
        const struct lot *lot = lot_at(engine, index);
        if (lot_has_expired(engine, lot)) {
            lot_sweep(engine, index);
            continue;
        }
        int64_t part = lot->left < points ? lot->left : points;
        *place = hold_from_lot(engine, order, index, part);
        place = &point_take_edit(engine, *place)->next;
        points -= part;
    }
}

static void lot_fill(struct engine *engine, uint32_t index, int64_t points)
{
    struct lot *lot = lot_edit(engine, index);
    lot->left += points;
    customer_edit(engine, lot->customer)->spendable += points;
    if (lot->linked == 0)
        lot_link(engine, index);
}

static uint32_t lot_add(struct engine *engine, const struct lot *lot, int64_t points)
{
    uint32_t index = lot_alloc(engine);
    TILL_ASSERT(index != 0);
    *lot_new(engine, index) = *lot;
    lot_fill(engine, index, points);
    return index;
}

/* Points of an order come back: to their lot, or when that has expired to one of their own, which
 * the grace period ends. What comes back after the last moment of all expires with that. */
static void take_give_back(struct engine *engine, uint32_t order, const struct point_take *take,
                           enum ledger_kind kind)
{
    const struct lot *lot = lot_at(engine, take->lot);
    uint32_t index = take->lot;
    uint64_t ends_us = grace_ends_us(engine, lot);
    if (!lot_has_expired(engine, lot)) {
        lot_fill(engine, index, take->points);
    } else if (ends_us > engine->time_us) {
        struct lot late = {.expires_us = ends_us,
                           .customer = lot->customer,
                           .origin = lot->origin != 0 ? lot->origin : index};
        index = lot_add(engine, &late, take->points);
    }
    ledger_add(engine, kind, index, order, take->points);
    if (ends_us <= engine->time_us)
        ledger_add(engine, LEDGER_EXPIRE, index, order, take->points);
}

/* The points of a take are held no longer. */
static void take_end(struct engine *engine, const struct point_take *take)
{
    struct lot *lot = lot_edit(engine, take->lot);
    lot->held -= take->points;
    customer_edit(engine, lot->customer)->held -= take->points;
    engine->ledger_reserved -= LEDGER_ENTRIES_PER_TAKE;
    engine->lots_reserved -= lot_may_expire(lot);
}

void points_release(struct engine *engine, uint32_t order)
{
    if (order_at(engine, order)->money == 0)
        return;
    struct money *money = money_edit(engine, order_at(engine, order)->money);
    for (uint32_t index = money->takes; index != 0;) {
        const struct point_take *take = point_take_at(engine, index);
        take_end(engine, take);
        take_give_back(engine, order, take, LEDGER_RELEASE);
        index = take->next;
    }
    takes_free(engine, money);
}

void points_spend(struct engine *engine, uint32_t order)
{
    const struct order *spender = order_at(engine, order);
    for (uint32_t index = money_at(engine, spender->money)->takes; index != 0;) {
        const struct point_take *take = point_take_at(engine, index);
        take_end(engine, take);
        customer_edit(engine, spender->customer)->spent += take->points;
        ledger_add(engine, LEDGER_SPEND, take->lot, order, take->points);
        index = take->next;
    }
}

void points_return(struct engine *engine, uint32_t order)
{
    const struct order *spender = order_at(engine, order);
    if (spender->money == 0)
        return;
    struct money *money = money_edit(engine, spender->money);
    for (uint32_t index = money->takes; index != 0;) {
        const struct point_take *take = point_take_at(engine, index);
        customer_edit(engine, spender->customer)->spent -= take->points;
        take_give_back(engine, order, take, LEDGER_RETURN);
        index = take->next;
    }
    takes_free(engine, money);
}

/* What it has spent will never come back. */
void points_forget(struct engine *engine, uint32_t order)
{
    const struct order *spender = order_at(engine, order);
    if (money_at(engine, spender->money)->takes == 0)
        return;
    struct money *money = money_edit(engine, spender->money);
    for (uint32_t index = money->takes; index != 0; index = point_take_at(engine, index)->next)
        customer_edit(engine, spender->customer)->spent -= point_take_at(engine, index)->points;
    takes_free(engine, money);
}

/* What a credit sweeps first: the expired lots, which stand at the head of the list. */
static uint32_t expired_count(const struct engine *engine, uint32_t customer)
{
    uint32_t count = 0;
    for (uint32_t index = customer_at(engine, customer)->lots; index != 0;) {
        const struct lot *lot = lot_at(engine, index);
        if (!lot_has_expired(engine, lot))
            break;
        count++;
        index = lot->next;
    }
    return count;
}

static void sweep_expired(struct engine *engine, uint32_t customer)
{
    for (;;) {
        uint32_t index = customer_at(engine, customer)->lots;
        if (index == 0 || !lot_has_expired(engine, lot_at(engine, index)))
            return;
        lot_sweep(engine, index);
    }
}

/* All that a customer has, or may get back. */
static int64_t points_owned(const struct engine *engine, uint32_t customer)
{
    const struct customer *owner = customer_at(engine, customer);
    return points_available(engine, customer) + owner->held + owner->spent;
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
    if (points_owned(engine, index) > POINTS_MAX - body->points)
        return reject(engine, OUTCOME_OVERFLOW, 0, POINTS_MAX);
    if (index == 0 && arena_room(&engine->customers) == 0)
        return REJECT_FULL(engine, customers);
    struct points_need need = {.lots = 1, .entries = 1 + expired_count(engine, index)};
    enum outcome outcome = check_points_room(engine, &need);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (index == 0)
        index = customer_add(engine, body->customer, hash);
    sweep_expired(engine, index);
    struct lot credit = {.expires_us = body->expires != 0 ? body->expires : UINT64_MAX,
                         .customer = index};
    ledger_add(engine, LEDGER_CREDIT, lot_add(engine, &credit, body->points), 0, body->points);
    struct points_credit_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    reply->available = points_available(engine, index);
    reply->balance = reply->available + customer_at(engine, index)->held;
    return OUTCOME_OK;
}

enum outcome handle_points_balance(struct engine *engine, struct command *command)
{
    const struct points_balance_body *body = command->body;
    if (id_is_zero(body->customer))
        return reject_field(engine, points_balance_field_customer);
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
