/* Accounts: what has happened to an order since it was sold. The first command that needs one makes
 * it, with the order's money if there is none yet; order_parts.h reads it. Private to engine/. */
#ifndef TILL_ENGINE_ACCOUNT_H
#define TILL_ENGINE_ACCOUNT_H

#include "engine/order_parts.h"

/* OK, or the CAPACITY rejection of the table that lacks room for the order's account, or for that
 * and its fulfilments. */
enum outcome account_check_room(struct engine *engine, const struct order *order);
enum outcome fulfilments_check_room(struct engine *engine, const struct order *order);

/* The order's account and its fulfilments, one for each of order_pieces, to be changed: made when
 * there are none, and the caller has checked for room. */
struct account *order_account_edit(struct engine *engine, uint32_t order);
struct fulfilment *order_fulfilments_edit(struct engine *engine, uint32_t order);

/* Every change of a fulfilment ends with this. */
void fulfilment_digest(struct engine *engine, const struct fulfilment *fulfilment);

/* Gives back the account and all that belongs to it. */
void account_forget(struct engine *engine, uint32_t order);

#endif
