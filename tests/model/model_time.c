/* The model's deadlines, and hold.expire, which handles those that are due.
 *
 * All are in one list, in the order in which they were set. Each stands in its quarter-second, or,
 * when that is too far from the others, aside until the time comes nearer. */
#include <string.h>

#include "tests/model/model.h"

enum { QUARTER_BITS = 18, QUARTERS = 1 << 22, ASIDE_BITS = 36, ASIDES = 1 << 14 };

/* The first and the last bucket of a kind that has a deadline; false when none has. */
static bool in_use(const struct model *model, bool is_aside, uint64_t *first, uint64_t *last)
{
    bool is_any = false;
    for (int i = 0; i < model->deadlines.count; i++) {
        const struct model_deadline *deadline = &model->deadlines.items[i];
        if (deadline->is_aside != is_aside)
            continue;
        if (!is_any || deadline->bucket < *first)
            *first = deadline->bucket;
        if (!is_any || deadline->bucket > *last)
            *last = deadline->bucket;
        is_any = true;
    }
    return is_any;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void model_set_deadline(struct model *model, enum model_deadline_kind kind, int item, uint64_t time)
{
    uint64_t now = model->now >> QUARTER_BITS;
    uint64_t quarter = later(time >> QUARTER_BITS, now);
    uint64_t first = quarter;
    uint64_t last = quarter;
    struct model_deadline deadline = {.kind = kind, .item = item, .time = time, .bucket = quarter};
    (void)in_use(model, false, &first, &last);
    if (quarter - now >= QUARTERS || later(last, quarter) - earlier(first, quarter) >= QUARTERS) {
        uint64_t current = model->now >> ASIDE_BITS;
        deadline.is_aside = true;
        deadline.bucket = later(time >> ASIDE_BITS, current);
        deadline.bucket = earlier(deadline.bucket, current + ASIDES - 2);
        if (in_use(model, true, &first, &last))
            deadline.bucket = earlier(deadline.bucket, first + ASIDES - 1);
    }
    *MODEL_ADD(&model->deadlines) = deadline;
}

/* When what stands in this bucket aside is to be set again: one before its own begins. */
static uint64_t opens(uint64_t bucket)
{
    return bucket == 0 ? 0 : (bucket - 1) << ASIDE_BITS;
}

/* Of those that stand aside, only the first are due. */
static bool is_due(const struct model *model, const struct model_deadline *deadline, uint64_t now)
{
    uint64_t first = 0;
    uint64_t last = 0;
    if (!deadline->is_aside)
        return deadline->bucket < now >> QUARTER_BITS;
    (void)in_use(model, true, &first, &last);
    return deadline->bucket == first && opens(first) <= now;
}

uint64_t model_holds_due(const struct model *model, uint64_t now)
{
    uint64_t due = 0;
    for (int i = 0; i < model->deadlines.count; i++)
        due += is_due(model, &model->deadlines.items[i], now);
    return due;
}

uint64_t model_next_due(const struct model *model)
{
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t next = UINT64_MAX;
    if (in_use(model, false, &first, &last))
        next = (first + 1) << QUARTER_BITS;
    if (in_use(model, true, &first, &last))
        next = earlier(next, opens(first));
    return next;
}

/* The due deadline that hold.expire handles next: in the oldest quarter-second, the one that was
 * set first; then of those aside. MODEL_NONE when none is due. */
static int next_due(const struct model *model)
{
    int next = MODEL_NONE;
    for (int i = 0; i < model->deadlines.count; i++) {
        const struct model_deadline *deadline = &model->deadlines.items[i];
        const struct model_deadline *best = &model->deadlines.items[next == MODEL_NONE ? i : next];
        bool is_before =
            deadline->is_aside == best->is_aside ? deadline->bucket < best->bucket : best->is_aside;
        if ((next == MODEL_NONE || is_before) && is_due(model, deadline, model->now))
            next = i;
    }
    return next;
}

static struct model_deadline deadline_remove(struct model *model, int index)
{
    struct model_deadline removed = model->deadlines.items[index];
    model->deadlines.count--;
    memmove(model->deadlines.items + index, model->deadlines.items + index + 1,
            (size_t)(model->deadlines.count - index) * sizeof removed);
    return removed;
}

/* When what the deadline is for ends by now; 0: it does not. */
static uint64_t ends(const struct model *model, const struct model_deadline *deadline)
{
    if (deadline->kind == DEADLINE_OF_LOT)
        return model->lots.items[deadline->item].expires;
    const struct model_order *order = &model->orders.items[deadline->item];
    if (deadline->kind == DEADLINE_OF_HOLD)
        return order->state == order_state_PENDING ? order->hold_ends : 0;
    return order->earning.promised > 0 ? order->earning.ends : 0;
}

static void handle(struct model *model, const struct model_deadline *deadline)
{
    int item = deadline->item;
    uint64_t time = ends(model, deadline);
    if (deadline->is_aside) {
        if (time != 0)
            model_set_deadline(model, deadline->kind, item, time);
    } else if (deadline->kind == DEADLINE_OF_HOLD) {
        if (model_hold_has_ended(model, &model->orders.items[item]))
            model_expire(model, item);
    } else if (deadline->kind == DEADLINE_OF_LOT) {
        (void)model_points_sweep_one(model, model->lots.items[item].customer);
    } else {
        model_earning_end(model, item);
    }
}

void model_hold_expire(struct model *model, const struct model_request *request,
                       struct model_reply *reply)
{
    const struct hold_expire_body *body = request->body;
    if (body->holds == 0 || body->holds > HOLDS_PER_EXPIRE_MAX) {
        model_reject(model, reply, OUTCOME_INVALID, hold_expire_field_holds, 0);
        return;
    }
    if (next_due(model) == MODEL_NONE) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    model_accept(model, reply);
    for (uint32_t i = 0; i < body->holds; i++) {
        int next = next_due(model);
        if (next == MODEL_NONE)
            break;
        struct model_deadline deadline = deadline_remove(model, next);
        handle(model, &deadline);
    }
    model_answer(model, reply, sizeof(struct seq_reply_body));
}
