/* Accounts: made, changed and given back as one.
 *
 *   order -> money -> account -> fulfilments, a run as long as the order's pieces
 *                             -> parcels, the newest first
 *                             -> refunds, the newest first
 *
 * Most orders never need more than their own record: so nothing of this is made before it is. */
#include "engine/account.h"

#include "engine/handlers.h"
#include "engine/order.h"
#include "engine/refund.h"

/* What was to be paid, and is not waived. */
static int64_t order_paid(const struct engine *engine, const struct order *order)
{
    return order_money_due(engine, order) - order_account(engine, order)->waived;
}

struct shares order_shares(const struct engine *engine, const struct order *order, int64_t worth)
{
    const struct money *money = money_at(engine, order->money);
    int64_t paid = order_paid(engine, order);
    if (order->total == 0)
        return (struct shares){0, 0};
    return (struct shares){
        .money = (int64_t)(((wide)paid * worth + order->total - 1) / order->total),
        .points = (int64_t)((wide)money->points_used * worth / order->total),
    };
}

int64_t order_points_unrefunded(const struct engine *engine, const struct order *order)
{
    int64_t worth = order_account(engine, order)->worth;
    return money_at(engine, order->money)->points_used - order_shares(engine, order, worth).points;
}

int64_t order_unrefunded(const struct engine *engine, const struct order *order)
{
    int64_t worth = order_account(engine, order)->worth;
    return order_paid(engine, order) - order_shares(engine, order, worth).money;
}

int64_t order_kept(const struct engine *engine, const struct order *order)
{
    const struct money *money = money_at(engine, order->money);
    const struct account *account = order_account(engine, order);
    return money->captured - money->refund_due - account->refunded - account->refunding;
}

enum outcome account_check_room(struct engine *engine, const struct order *order)
{
    if (order->money == 0 && arena_room(&engine->moneys) == 0)
        return REJECT_FULL(engine, moneys);
    if (money_at(engine, order->money)->account == 0 && account_room(engine) == 0)
        return REJECT_FULL(engine, accounts);
    return OUTCOME_OK;
}

enum outcome fulfilments_check_room(struct engine *engine, const struct order *order)
{
    enum outcome outcome = account_check_room(engine, order);
    if (outcome == OUTCOME_OK && order_account(engine, order)->fulfilments == 0 &&
        arena_room(&engine->fulfilments) < order_pieces(engine, order).count)
        return REJECT_FULL(engine, fulfilments);
    return outcome;
}

struct account *order_account_edit(struct engine *engine, uint32_t order)
{
    struct money *money = order_money_edit(engine, order);
    if (money->account != 0)
        return account_edit(engine, money->account);
    money->account = account_alloc(engine);
    TILL_ASSERT(money->account != 0);
    struct account *account = account_new(engine, money->account);
    account->order = order;
    return account;
}

struct fulfilment *order_fulfilments_edit(struct engine *engine, uint32_t index)
{
    struct account *account = order_account_edit(engine, index);
    uint32_t count = order_pieces(engine, order_at(engine, index)).count;
    if (account->fulfilments != 0) {
        for (uint32_t i = 1; i < count; i++)
            keep(engine->keeper, TABLE_fulfilments, account->fulfilments + i);
        return fulfilment_edit(engine, account->fulfilments);
    }
    account->fulfilments = arena_take(&engine->fulfilments, count);
    TILL_ASSERT(account->fulfilments != 0);
    struct fulfilment *fulfilments = fulfilment_new(engine, account->fulfilments);
    for (uint32_t i = 0; i < count; i++)
        fulfilments[i].order = index;
    return fulfilments;
}

/* The order's run of fulfilments is nobody's from now on. */
static void fulfilments_leave(struct engine *engine, uint32_t index)
{
    uint32_t count = order_pieces(engine, order_at(engine, index)).count;
    memset(order_fulfilments_edit(engine, index), 0, count * sizeof(struct fulfilment));
}

void order_fulfilments_replace(struct engine *engine, uint32_t index,
                               const struct fulfilment *fulfilments, uint32_t count)
{
    fulfilments_leave(engine, index);
    uint32_t first = arena_take(&engine->fulfilments, count);
    TILL_ASSERT(first != 0);
    memcpy(fulfilment_new(engine, first), fulfilments, count * sizeof fulfilments[0]);
    order_account_edit(engine, index)->fulfilments = first;
}

void fulfilment_digest(struct engine *engine, const struct fulfilment *fulfilment)
{
    digest_mix(engine, (uint64_t)fulfilment->shipped << 32 | fulfilment->delivered,
               (uint64_t)fulfilment->returned << 32 ^ fulfilment->refunded ^
                   (uint64_t)fulfilment->order << 8);
}

void account_forget(struct engine *engine, uint32_t order)
{
    struct money *money = money_edit(engine, order_at(engine, order)->money);
    const struct account *account = account_at(engine, money->account);
    if (money->account == 0)
        return;
    if (account->fulfilments != 0)
        fulfilments_leave(engine, order);
    for (uint32_t at = account->parcels; at != 0;) {
        uint32_t next = parcel_at(engine, at)->next;
        parcel_free(engine, at);
        at = next;
    }
    for (uint32_t at = account->refunds; at != 0;) {
        const struct refund *refund = refund_at(engine, at);
        uint32_t next = refund->next;
        index_remove(&engine->refund_index, refund_hash(engine, refund->id), at);
        refund_free(engine, at);
        at = next;
    }
    account_free(engine, money->account);
    money->account = 0;
}
