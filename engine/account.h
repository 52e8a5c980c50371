/* Accounts: what has happened to an order since it was sold. The first command that needs one makes
 * it, with the order's money if there is none yet; order_parts.h reads it. Private to engine/. */
#ifndef TILL_ENGINE_ACCOUNT_H
#define TILL_ENGINE_ACCOUNT_H

#include "engine/order_parts.h"

/* What comes back of an order when so much of its total has been refunded, by amount or lines: the
 * points rounded down, the money up. So whatever the parts are, all of the total gives all of both
 * back, and no part more than it is worth. */
struct shares {
    int64_t money;
    int64_t points;
};

struct shares order_shares(const struct engine *engine, const struct order *order, int64_t worth);

/* Points that a sold order has spent, and that are in no refund. */
int64_t order_points_unrefunded(const struct engine *engine, const struct order *order);

/* Money that a sold order was paid, and that is in no refund by amount or lines. */
int64_t order_unrefunded(const struct engine *engine, const struct order *order);

/* Captured, and neither refunded, nor on its way back, nor due for refund. */
int64_t order_kept(const struct engine *engine, const struct order *order);

/* OK, or the CAPACITY rejection of the table that lacks room for the order's account, or for that
 * and its fulfilments. */
enum outcome account_check_room(struct engine *engine, const struct order *order);
enum outcome fulfilments_check_room(struct engine *engine, const struct order *order);

/* The order's account and its fulfilments, one for each of order_pieces, to be changed: made when
 * there are none, and the caller has checked for room. */
struct account *order_account_edit(struct engine *engine, uint32_t order);
struct fulfilment *order_fulfilments_edit(struct engine *engine, uint32_t order);

/* The order, which has fulfilments, gets other pieces: so many, with these fulfilments. Called
 * before it has them. */
void order_fulfilments_replace(struct engine *engine, uint32_t order,
                               const struct fulfilment *fulfilments, uint32_t count);

/* Every change of a fulfilment ends with this. */
void fulfilment_digest(struct engine *engine, const struct fulfilment *fulfilment);

/* Gives back the account and all that belongs to it. */
void account_forget(struct engine *engine, uint32_t order);

#endif
