/* The transitions of orders, and what follows from their state. Private to engine/. */
#ifndef TILL_ENGINE_ORDER_H
#define TILL_ENGINE_ORDER_H

#include "engine/order_parts.h"

/* Money that was due when the order was placed, and the state of its money. */
int64_t order_money_due(const struct engine *engine, const struct order *order);
uint8_t order_money_state(const struct engine *engine, const struct order *order);

/* Is it PENDING with a hold that has ended, so that it is EXPIRED as soon as anybody looks? */
bool order_is_ended(const struct engine *engine, const struct order *order);

/* The latest time to which its hold may be extended. */
uint64_t order_hold_max_us(const struct engine *engine, const struct order *order);

/* Is there room for a transition that is not the end of a PENDING order? */
bool order_has_step_room(const struct engine *engine, const struct order *order);

/* Where the step after `previous` jumps to, and the step of a version, from the newest one back; 0
 * when it has none. */
uint32_t step_jump(const struct engine *engine, uint32_t previous);
uint32_t step_find(const struct engine *engine, uint32_t newest, uint32_t version);

/* The order's pieces and its money record, to be changed; the latter is made when there is none,
 * and the caller has checked for room. */
struct piece *order_pieces_edit(struct engine *engine, struct order *order);
struct money *order_money_edit(struct engine *engine, uint32_t order);

/* Records a change of the order: one more version. order_enter changes its state too. They come
 * after all other changes of the order and its money: by these it is closed, or not. */
void order_step(struct engine *engine, uint32_t order);
void order_enter(struct engine *engine, uint32_t order, uint8_t state);

/* Stock from reserved to committed, points from held to spent: the order is sold. */
void order_commit(struct engine *engine, uint32_t order);

/* Everything that a PENDING or CONFIRMED order holds or has goes back, and it enters a state that
 * holds nothing. */
void order_give_back(struct engine *engine, uint32_t order, uint8_t state);

/* More of what was captured is due for refund. */
void order_refund_due_add(struct engine *engine, uint32_t order, int64_t amount);

void order_status_reply(const struct engine *engine, uint32_t order,
                        struct order_status_body *reply);

#endif
