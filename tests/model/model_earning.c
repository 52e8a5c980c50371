/* What orders earn, in the model.
 *
 * An order has the terms of the moment at which it was confirmed. What it should have earned is
 * always worked out anew from the money that is kept. */
#include "tests/model/model.h"

static int64_t worth(uint32_t points, uint32_t money, int64_t kept)
{
    wide worth = money == 0 ? 0 : (wide)kept * points / money;
    return worth > POINTS_MAX ? POINTS_MAX : (int64_t)worth;
}

static int64_t kept(const struct model_order *order)
{
    return order->captured - order->refund_due - order->refunded - order->refunding;
}

void model_earning_begin(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    struct model_earning *earning = &order->earning;
    int sale = model_find_sale(model, order->sale);
    if (sale == MODEL_NONE) {
        earning->points = model->terms.earn_points;
        earning->money = model->terms.earn_money;
        earning->return_window = model->terms.return_window;
        earning->life = model->terms.earn_life;
    } else {
        const struct sale_put_body *terms = &model->sales.items[sale].terms;
        earning->points = terms->earn_points;
        earning->money = terms->earn_money;
        earning->return_window = terms->return_window;
        earning->life = terms->earn_life;
    }
    int64_t points = worth(earning->points, earning->money, kept(order));
    if (points == 0)
        return;
    model_points_sweep(model, order->customer);
    int64_t room = POINTS_MAX - model_points_owned(model, order->customer);
    earning->earned = earning->promised = points < room ? points : room;
    if (earning->earned == 0)
        return;
    earning->ends = model->now + earning->return_window * US_PER_SECOND;
    model_set_deadline(model, DEADLINE_OF_WINDOW, index, earning->ends);
}

/* Takes back from one lot; returns how much. */
static int64_t take_back(struct model *model, int lot, int order, int64_t points)
{
    int64_t free = model->lots.items[lot].free;
    int64_t taken = free < points ? free : points;
    if (taken > 0)
        model_lot_use(model, lot, order, ledger_kind_CLAWBACK, taken);
    return taken;
}

void model_earning_change(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    struct model_earning *earning = &order->earning;
    int64_t entitled = worth(earning->points, earning->money, kept(order));
    int64_t points = earning->earned - earning->taken_back - entitled;
    if (points <= 0)
        return;
    earning->taken_back += points;
    if (earning->granted == 0) {
        earning->promised -= points;
        return;
    }
    model_points_sweep(model, order->customer);
    points -= take_back(model, earning->lot, index, points);
    while (points > 0) {
        int lot = model_lot_next(model, order->customer);
        if (lot == MODEL_NONE)
            break;
        points -= take_back(model, lot, index, points);
    }
    model_customer(model, order->customer)->owed += points;
}

void model_earning_delivered(struct model *model, int index)
{
    struct model_earning *earning = &model->orders.items[index].earning;
    if (earning->promised == 0)
        return;
    earning->ends = model->now + earning->return_window * US_PER_SECOND;
    model_set_deadline(model, DEADLINE_OF_WINDOW, index, earning->ends);
}

void model_earning_end(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    struct model_earning *earning = &order->earning;
    bool is_on_its_way =
        order->state == order_state_PARTIALLY_SHIPPED || order->state == order_state_SHIPPED;
    if (earning->promised == 0 || earning->ends > model->now)
        return;
    if (is_on_its_way) {
        earning->ends = UINT64_MAX;
        return;
    }
    model_earning_change(model, index);
    if (earning->promised == 0)
        return;
    struct model_customer *customer = model_customer(model, order->customer);
    uint64_t expires = earning->life == 0 ? 0 : model->now + earning->life * US_PER_SECOND;
    struct model_lot lot = {
        .customer = order->customer,
        .expires = expires,
        .last = expires == 0 ? 0 : expires + POINTS_GRACE_MAX_US,
        .order = index,
    };
    earning->granted = earning->promised;
    earning->promised = 0;
    earning->lot = model->lots.count;
    model_lot_add(model, lot, earning->granted);
    model_entry_add(model, ledger_kind_EARN, earning->lot, index, earning->granted,
                    earning->granted);
    customer->owed -= take_back(model, earning->lot, index, customer->owed);
}

void model_points_terms(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    const struct points_terms_body *body = request->body;
    unsigned invalid = 0;
    if (body->earn_points == 0 && body->earn_money != 0)
        invalid = points_terms_field_earn_points;
    else if (body->earn_points != 0 && body->earn_money == 0)
        invalid = points_terms_field_earn_money;
    else if (body->return_window > RETURN_WINDOW_MAX_S)
        invalid = points_terms_field_return_window;
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    model_accept(model, reply);
    model->terms = *body;
    model_answer(model, reply, sizeof(struct seq_reply_body));
}
