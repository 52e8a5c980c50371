/* The model's points: lots, and the orders that hold or have spent points of them.
 *
 * A lot's free points are valid until the lot expires. Points that an order takes leave the lot at
 * once; they are held while the order is PENDING and spent once it is CONFIRMED. Points that come
 * back after the lot's expiry become a new lot. */
#include "tests/model/model.h"

void model_customer_comes_to_be(struct model *model, struct id customer)
{
    for (int i = 0; i < model->customers.count; i++) {
        if (id_equal(model->customers.items[i].customer, customer))
            return;
    }
    *MODEL_ADD(&model->customers) = (struct model_customer){customer};
}

static bool lot_has_expired(const struct model *model, const struct model_lot *lot)
{
    return lot->expires != 0 && lot->expires <= model->now;
}

int64_t model_points_available(const struct model *model, struct id customer)
{
    int64_t available = 0;
    for (int i = 0; i < model->lots.count; i++) {
        const struct model_lot *lot = &model->lots.items[i];
        if (id_equal(lot->customer, customer) && !lot_has_expired(model, lot))
            available += lot->free;
    }
    return available;
}

static int64_t points_held(const struct model *model, struct id customer)
{
    int64_t held = 0;
    for (int i = 0; i < model->point_takes.count; i++) {
        const struct model_point_take *take = &model->point_takes.items[i];
        const struct model_order *order = &model->orders.items[take->order];
        if (order->state == order_state_PENDING && id_equal(order->customer, customer))
            held += take->points;
    }
    return held;
}

/* Of two lots that have free points, is `a` spent before `b`, which was credited earlier? */
static bool is_spent_before(const struct model_lot *a, const struct model_lot *b)
{
    if (a->expires == 0)
        return false;
    return b->expires == 0 || a->expires < b->expires;
}

void model_points_take(struct model *model, int order, int64_t points)
{
    struct id customer = model->orders.items[order].customer;
    while (points > 0) {
        int first = MODEL_NONE;
        for (int i = 0; i < model->lots.count; i++) {
            const struct model_lot *lot = &model->lots.items[i];
            if (!id_equal(lot->customer, customer) || lot_has_expired(model, lot) || lot->free == 0)
                continue;
            if (first == MODEL_NONE || is_spent_before(lot, &model->lots.items[first]))
                first = i;
        }
        struct model_lot *lot = &model->lots.items[first];
        int64_t taken = lot->free < points ? lot->free : points;
        lot->free -= taken;
        points -= taken;
        *MODEL_ADD(&model->point_takes) = (struct model_point_take){order, first, taken};
    }
}

void model_points_give_back(struct model *model, int order, int64_t points)
{
    for (int i = 0; i < model->point_takes.count; i++) {
        struct model_point_take *take = &model->point_takes.items[i];
        if (take->order != order || take->points == 0 || points == 0)
            continue;
        int64_t given = take->points < points ? take->points : points;
        struct model_lot lot = model->lots.items[take->lot];
        uint64_t day_later = model->now + POINTS_GRACE_US;
        if (!lot_has_expired(model, &lot)) {
            model->lots.items[take->lot].free += given;
        } else if (model->now < lot.last) {
            lot.expires = day_later < lot.last ? day_later : lot.last;
            lot.free = given;
            *MODEL_ADD(&model->lots) = lot;
        }
        take->points -= given;
        points -= given;
    }
}

/* The points that a customer's orders have taken and would give back. */
static wide points_taken(const struct model *model, struct id customer)
{
    wide taken = 0;
    for (int i = 0; i < model->point_takes.count; i++) {
        const struct model_point_take *take = &model->point_takes.items[i];
        if (id_equal(model->orders.items[take->order].customer, customer))
            taken += take->points;
    }
    return taken;
}

void model_points_credit(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct points_credit_body *body = request->body;
    unsigned invalid = 0;
    if (id_is_zero(body->customer))
        invalid = points_credit_field_customer;
    else if (body->points < 1 || body->points > POINTS_MAX)
        invalid = points_credit_field_points;
    else if (body->expires != 0 && (body->expires <= model->now || body->expires > TIME_US_MAX))
        invalid = points_credit_field_expires;
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    int64_t available = model_points_available(model, body->customer);
    int64_t held = points_held(model, body->customer);
    if (available + points_taken(model, body->customer) + body->points > POINTS_MAX) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, POINTS_MAX);
        return;
    }
    model_accept(model, reply);
    model_customer_comes_to_be(model, body->customer);
    *MODEL_ADD(&model->lots) = (struct model_lot){
        .customer = body->customer,
        .expires = body->expires,
        .last = body->expires == 0 ? 0 : body->expires + POINTS_GRACE_MAX_US,
        .free = body->points,
    };
    struct points_credit_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->available = available + body->points;
    answer->balance = answer->available + held;
}

void model_points_balance(struct model *model, const struct model_request *request,
                          struct model_reply *reply)
{
    const struct points_balance_body *body = request->body;
    if (id_is_zero(body->customer)) {
        model_reject(model, reply, OUTCOME_INVALID, points_balance_field_customer, 0);
        return;
    }
    bool is_known = false;
    for (int i = 0; i < model->customers.count; i++)
        is_known |= id_equal(model->customers.items[i].customer, body->customer);
    if (!is_known) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    struct points_balance_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->held = points_held(model, body->customer);
    answer->available = model_points_available(model, body->customer);
    answer->balance = answer->available + answer->held;
    for (int i = 0; i < model->lots.count; i++) {
        const struct model_lot *lot = &model->lots.items[i];
        if (!id_equal(lot->customer, body->customer) || lot_has_expired(model, lot) ||
            lot->expires == 0 || lot->free == 0)
            continue;
        if (answer->next_expiry == 0 || lot->expires < answer->next_expiry) {
            answer->next_expiry = lot->expires;
            answer->expiring = 0;
        }
        if (lot->expires == answer->next_expiry)
            answer->expiring += lot->free;
    }
}
