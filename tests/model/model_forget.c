/* The model's retention: closed orders are looked for among all orders each time, by when they were
 * changed last. */
#include "tests/model/model.h"

static const uint64_t day = 24 * 3600 * US_PER_SECOND;

bool model_order_is_closed(const struct model_order *order)
{
    bool has_ended = order->state == order_state_DELIVERED || order->state == order_state_EXPIRED ||
                     order->state == order_state_FAILED || order->state == order_state_CANCELLED;
    return !order->is_gone && has_ended && order->refund_due == 0 && order->parked == 0;
}

static bool was_changed_before(const struct model_order *a, const struct model_order *b)
{
    return a->changed_seq != b->changed_seq ? a->changed_seq < b->changed_seq : a->rank < b->rank;
}

static int closed_count(const struct model *model)
{
    int count = 0;
    for (int i = 0; i < model->orders.count; i++)
        count += model_order_is_closed(&model->orders.items[i]);
    return count;
}

/* The closed order that was changed longest ago. */
static int oldest_closed(const struct model *model)
{
    int oldest = MODEL_NONE;
    for (int i = 0; i < model->orders.count; i++) {
        const struct model_order *order = &model->orders.items[i];
        if (model_order_is_closed(order) &&
            (oldest == MODEL_NONE || was_changed_before(order, &model->orders.items[oldest])))
            oldest = i;
    }
    return oldest;
}

uint64_t model_next_forget(const struct model *model)
{
    int oldest = oldest_closed(model);
    uint64_t kept = model->retention.orders != 0 ? model->retention.orders : 30 * day;
    uint64_t most = model->retention.orders_max;
    if (model->steps_left + model->payments_left > 0)
        return 0;
    if (oldest == MODEL_NONE)
        return UINT64_MAX;
    if (most != 0 && (uint64_t)closed_count(model) > most)
        return 0;
    return model->orders.items[oldest].changed + kept;
}

/* Its events are not known any more; some of their records may be there for a while. */
static void forget_order(struct model *model, int index)
{
    struct model_order *order = &model->orders.items[index];
    int kept = 0;
    for (int i = 0; i < model->payments.count; i++) {
        if (!id_equal(model->payments.items[i].body.order, order->order))
            model->payments.items[kept++] = model->payments.items[i];
    }
    model->payments_left = model->payments.count - kept;
    model->steps_left = order->version > 2 ? (int)order->version - 2 : 0;
    model->payments.count = kept;
    model->slot_left = order->slot;
    order->is_gone = true;
    model->forgotten++;
}

void model_memory_forget(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct memory_forget_body *body = request->body;
    if (body->records == 0 || body->records > FORGET_RECORDS_MAX) {
        model_reject(model, reply, OUTCOME_INVALID, memory_forget_field_records, 0);
        return;
    }
    if (model_next_forget(model) > model->now) {
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
        return;
    }
    model_accept(model, reply);
    for (uint32_t i = 0; i < body->records && model_next_forget(model) <= model->now; i++) {
        if (model->steps_left > 0)
            model->steps_left--;
        else if (model->payments_left > 0)
            model->payments_left--;
        else
            forget_order(model, oldest_closed(model));
        if (model->steps_left + model->payments_left == 0)
            *MODEL_ADD(&model->free_slots) = model->slot_left;
    }
    model_answer(model, reply, sizeof(struct seq_reply_body));
}

void model_retention_put(struct model *model, const struct model_request *request,
                         struct model_reply *reply)
{
    const struct retention_put_body *body = request->body;
    unsigned invalid = body->orders > TIME_US_MAX   ? retention_put_field_orders
                       : body->ledger > TIME_US_MAX ? retention_put_field_ledger
                       : body->keys > TIME_US_MAX || (body->keys > 0 && body->keys < day)
                           ? retention_put_field_keys
                           : 0;
    if (invalid != 0) {
        model_reject(model, reply, OUTCOME_INVALID, invalid, 0);
        return;
    }
    model_accept(model, reply);
    int kept = 0;
    for (int i = 0; i < model->keys.count; i++) {
        if (model_key_is_known(model, &model->keys.items[i]))
            model->keys.items[kept++] = model->keys.items[i];
    }
    model->keys.count = kept;
    model->retention = *body;
    model_answer(model, reply, sizeof(struct seq_reply_body));
}
