/* The model's points: lots, the orders that hold or have spent points of them, and the ledger.
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
    *MODEL_ADD(&model->customers) = (struct model_customer){.customer = customer};
}

struct model_customer *model_customer(struct model *model, struct id customer)
{
    for (int i = 0; i < model->customers.count; i++) {
        if (id_equal(model->customers.items[i].customer, customer))
            return &model->customers.items[i];
    }
    return NULL;
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

/* The lot with free points that is spent first, an expired one included; MODEL_NONE without any. */
int model_lot_next(const struct model *model, struct id customer)
{
    int first = MODEL_NONE;
    for (int i = 0; i < model->lots.count; i++) {
        const struct model_lot *lot = &model->lots.items[i];
        if (!id_equal(lot->customer, customer) || lot->free == 0)
            continue;
        if (first == MODEL_NONE || is_spent_before(lot, &model->lots.items[first]))
            first = i;
    }
    return first;
}

void model_entry_add(struct model *model, uint8_t kind, int lot, int order, int64_t balance,
                     int64_t available)
{
    struct model_entry entry = {
        .customer = model->lots.items[lot].customer,
        .body =
            {
                .seq = model->seq,
                .time = model->now,
                .balance = balance,
                .available = available,
                .expires = model->lots.items[lot].expires,
                .kind = kind,
            },
    };
    if (order != MODEL_NONE)
        entry.body.order = model->orders.items[order].order;
    *MODEL_ADD(&model->entries) = entry;
}

bool model_points_sweep_one(struct model *model, struct id customer)
{
    int first = model_lot_next(model, customer);
    if (first == MODEL_NONE || !lot_has_expired(model, &model->lots.items[first]))
        return false;
    int64_t lost = model->lots.items[first].free;
    model->lots.items[first].free = 0;
    model_entry_add(model, ledger_kind_EXPIRE, first, MODEL_NONE, -lost, -lost);
    return true;
}

void model_points_sweep(struct model *model, struct id customer)
{
    while (model_points_sweep_one(model, customer)) {
    }
}

void model_lot_add(struct model *model, struct model_lot lot, int64_t points)
{
    lot.free = points;
    lot.granted = model->seq;
    *MODEL_ADD(&model->lots) = lot;
    if (lot.expires != 0)
        model_set_deadline(model, DEADLINE_OF_LOT, model->lots.count - 1, lot.expires);
}

/* Points of a lot leave it for good. */
void model_lot_use(struct model *model, int lot, int order, uint8_t kind, int64_t points)
{
    model->lots.items[lot].free -= points;
    model_entry_add(model, kind, lot, order, -points, -points);
}

void model_points_take(struct model *model, int order, int64_t points)
{
    struct id customer = model->orders.items[order].customer;
    if (points > 0)
        model_points_sweep(model, customer);
    while (points > 0) {
        int first = model_lot_next(model, customer);
        struct model_lot *lot = &model->lots.items[first];
        int64_t taken = lot->free < points ? lot->free : points;
        lot->free -= taken;
        points -= taken;
        *MODEL_ADD(&model->point_takes) = (struct model_point_take){order, first, taken};
        model_entry_add(model, ledger_kind_HOLD, first, order, 0, -taken);
    }
}

void model_points_spend(struct model *model, int order)
{
    for (int i = 0; i < model->point_takes.count; i++) {
        const struct model_point_take *take = &model->point_takes.items[i];
        if (take->order == order && take->points > 0)
            model_entry_add(model, ledger_kind_SPEND, take->lot, order, -take->points, 0);
    }
}

void model_points_give_back(struct model *model, int order, int64_t points, uint8_t kind)
{
    for (int i = 0; i < model->point_takes.count; i++) {
        struct model_point_take *take = &model->point_takes.items[i];
        if (take->order != order || take->points == 0 || points == 0)
            continue;
        int64_t given = take->points < points ? take->points : points;
        struct model_lot lot = model->lots.items[take->lot];
        uint64_t day_later = model->now + POINTS_GRACE_US;
        int to = take->lot;
        bool is_lost = false;
        if (!lot_has_expired(model, &lot)) {
            model->lots.items[take->lot].free += given;
        } else if (model->now < lot.last) {
            lot.expires = day_later < lot.last ? day_later : lot.last;
            lot.order = MODEL_NONE;
            model_lot_add(model, lot, given);
            to = model->lots.count - 1;
        } else {
            is_lost = true;
        }
        take->points -= given;
        points -= given;
        model_entry_add(model, kind, to, order, kind == ledger_kind_RETURN ? given : 0, given);
        if (is_lost)
            model_entry_add(model, ledger_kind_EXPIRE, to, order, -given, -given);
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

/* What the customer's orders are still promised. */
static wide points_promised(const struct model *model, struct id customer)
{
    wide promised = 0;
    for (int i = 0; i < model->orders.count; i++) {
        if (id_equal(model->orders.items[i].customer, customer))
            promised += model->orders.items[i].earning.promised;
    }
    return promised;
}

int64_t model_points_owned(const struct model *model, struct id customer)
{
    return (int64_t)(model_points_available(model, customer) + points_taken(model, customer) +
                     points_promised(model, customer));
}

static bool expiry_is_right(const struct model *model, uint64_t expires)
{
    return expires == 0 || (expires > model->now && expires <= TIME_US_MAX);
}

/* Adds points, or takes them away, and answers; or rejects it. */
static void change(struct model *model, uint8_t kind, struct id customer, int64_t points,
                   uint64_t expires, struct model_reply *reply)
{
    if (points > 0 && model_points_owned(model, customer) + points > POINTS_MAX) {
        model_reject(model, reply, OUTCOME_OVERFLOW, 0, POINTS_MAX);
        return;
    }
    if (points < 0 && model_customer(model, customer) == NULL) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    int64_t available = model_points_available(model, customer);
    if (points < 0 && available < -points) {
        model_reject(model, reply, OUTCOME_INSUFFICIENT_POINTS, 0, available);
        return;
    }
    model_accept(model, reply);
    model_customer_comes_to_be(model, customer);
    model_points_sweep(model, customer);
    if (points > 0) {
        struct model_lot lot = {
            .customer = customer,
            .expires = expires,
            .last = expires == 0 ? 0 : expires + POINTS_GRACE_MAX_US,
            .order = MODEL_NONE,
        };
        model_lot_add(model, lot, points);
        model_entry_add(model, kind, model->lots.count - 1, MODEL_NONE, points, points);
    }
    for (int64_t left = points; left < 0;) {
        int lot = model_lot_next(model, customer);
        int64_t free = model->lots.items[lot].free;
        int64_t part = free < -left ? free : -left;
        model_lot_use(model, lot, MODEL_NONE, kind, part);
        left += part;
    }
    struct points_credit_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->available = available + points;
    answer->balance = answer->available + points_held(model, customer);
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
    else if (!expiry_is_right(model, body->expires))
        invalid = points_credit_field_expires;
    if (invalid != 0)
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
    else
        change(model, ledger_kind_CREDIT, body->customer, body->points, body->expires, reply);
}

void model_points_adjust(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct points_adjust_body *body = request->body;
    unsigned invalid = 0;
    if (id_is_zero(body->customer))
        invalid = points_adjust_field_customer;
    else if (body->delta == 0 || body->delta < -POINTS_MAX || body->delta > POINTS_MAX)
        invalid = points_adjust_field_delta;
    else if (!expiry_is_right(model, body->expires) || (body->delta < 0 && body->expires != 0))
        invalid = points_adjust_field_expires;
    else if (body->reason.bytes[0] == '\0')
        invalid = points_adjust_field_reason;
    if (invalid != 0)
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
    else
        change(model, ledger_kind_ADJUST, body->customer, body->delta, body->expires, reply);
}

void model_points_balance(struct model *model, const struct model_request *request,
                          struct model_reply *reply)
{
    const struct points_balance_body *body = request->body;
    if (id_is_zero(body->customer)) {
        model_reject(model, reply, OUTCOME_INVALID, points_balance_field_customer, 0);
        return;
    }
    const struct model_customer *customer = model_customer(model, body->customer);
    if (customer == NULL) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    struct points_balance_reply_body *answer = model_answer(model, reply, sizeof *answer);
    answer->held = points_held(model, body->customer);
    answer->available = model_points_available(model, body->customer);
    answer->balance = answer->available + answer->held;
    answer->promised = (int64_t)points_promised(model, body->customer);
    answer->owed = customer->owed;
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

/* The customer of a page; NULL when the request is rejected, which has been answered. */
static const struct model_customer *page_customer(struct model *model,
                                                  const struct points_page_body *body,
                                                  struct model_reply *reply)
{
    const struct model_customer *customer = model_customer(model, body->customer);
    if (id_is_zero(body->customer))
        model_reject(model, reply, OUTCOME_INVALID, points_page_field_customer, 0);
    else if (customer == NULL)
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
    return customer;
}

/* A lot's cursor: its expiry, UINT64_MAX for never, and its number. */
static struct id lot_cursor(const struct model *model, int lot)
{
    uint64_t expires = model->lots.items[lot].expires;
    return (struct id){.high = expires == 0 ? UINT64_MAX : expires, .low = (uint64_t)lot + 1};
}

static bool is_behind(struct id a, struct id b)
{
    return a.high > b.high || (a.high == b.high && a.low > b.low);
}

/* The lot with the smallest cursor behind this one. */
static int lot_behind(const struct model *model, struct id customer, struct id cursor)
{
    int next = MODEL_NONE;
    for (int i = 0; i < model->lots.count; i++) {
        const struct model_lot *lot = &model->lots.items[i];
        struct id at = lot_cursor(model, i);
        if (id_equal(lot->customer, customer) && lot->free > 0 && !lot_has_expired(model, lot) &&
            is_behind(at, cursor) && (next == MODEL_NONE || is_behind(lot_cursor(model, next), at)))
            next = i;
    }
    return next;
}

/* Points that PENDING orders hold of a lot. */
static int64_t held_of(const struct model *model, int lot)
{
    int64_t held = 0;
    for (int i = 0; i < model->point_takes.count; i++) {
        const struct model_point_take *take = &model->point_takes.items[i];
        if (take->lot == lot && model->orders.items[take->order].state == order_state_PENDING)
            held += take->points;
    }
    return held;
}

void model_points_lots(struct model *model, const struct model_request *request,
                       struct model_reply *reply)
{
    const struct points_page_body *body = request->body;
    if (page_customer(model, body, reply) == NULL)
        return;
    struct points_lots_reply_body *answer = model_answer(model, reply, sizeof *answer);
    struct id cursor = body->cursor;
    for (int at; (at = lot_behind(model, body->customer, cursor)) != MODEL_NONE;) {
        const struct model_lot *lot = &model->lots.items[at];
        if (answer->lot_count == POINTS_ROWS_MAX) {
            answer->next = cursor;
            break;
        }
        cursor = lot_cursor(model, at);
        struct lot_body *row = model_answer_row(reply, sizeof *row);
        row->left = lot->free;
        row->held = held_of(model, at);
        row->expires = lot->expires;
        row->granted = lot->granted;
        if (lot->order != MODEL_NONE)
            row->order = model->orders.items[lot->order].order;
        answer->lot_count++;
    }
}

void model_points_ledger(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct points_page_body *body = request->body;
    if (page_customer(model, body, reply) == NULL)
        return;
    struct points_ledger_reply_body *answer = model_answer(model, reply, sizeof *answer);
    /* A cursor that names no entry of the customer leads to nothing. */
    int at = model->entries.count - 1;
    if (!id_is_zero(body->cursor)) {
        uint64_t number = body->cursor.low;
        bool is_one = number >= 1 && number <= (uint64_t)model->entries.count;
        at = is_one ? (int)number - 1 : MODEL_NONE;
        if (is_one && (model->entries.items[at].body.seq != body->cursor.high ||
                       !id_equal(model->entries.items[at].customer, body->customer)))
            at = MODEL_NONE;
        at -= at != MODEL_NONE;
    }
    struct id last = {0};
    for (; at >= 0; at--) {
        const struct model_entry *entry = &model->entries.items[at];
        if (!id_equal(entry->customer, body->customer))
            continue;
        if (answer->entry_count == POINTS_ROWS_MAX) {
            answer->next = last;
            break;
        }
        struct entry_body *row = model_answer_row(reply, sizeof *row);
        *row = entry->body;
        last = (struct id){.high = entry->body.seq, .low = (uint64_t)at + 1};
        answer->entry_count++;
    }
}
