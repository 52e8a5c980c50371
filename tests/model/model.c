/* The model's frame: lists, replies, idempotency keys, stats, and the calls of the handlers.
 *
 * Each request is decided in the same steps: time advances; a keyed command is looked up by its
 * key, among those that are not too old; then its handler decides. The answer to an accepted keyed
 * command is kept under its key. */
#include "tests/model/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *model_list_grown(void *items, int *room, int count, size_t item_size)
{
    if (count < *room)
        return items;
    *room = *room == 0 ? 16 : *room * 2;
    void *grown = realloc(items, (size_t)*room * item_size);
    TILL_ASSERT(grown != NULL);
    return grown;
}

struct model *model_create(void)
{
    struct model *model = calloc(1, sizeof *model);
    TILL_ASSERT(model != NULL);
    return model;
}

struct model *model_copy(const struct model *model)
{
    struct model *copy = model_create();
    *copy = *model;
#define COPY_LIST(type, name)                                                                      \
    copy->name.items = malloc((size_t)copy->name.room * sizeof(type) + 1);                         \
    TILL_ASSERT(copy->name.items != NULL);                                                         \
    if (copy->name.count > 0)                                                                      \
        memcpy(copy->name.items, model->name.items, (size_t)copy->name.count * sizeof(type));
    MODEL_LISTS(COPY_LIST)
#undef COPY_LIST
    return copy;
}

void model_destroy(struct model *model)
{
#define FREE_LIST(type, name) free(model->name.items);
    MODEL_LISTS(FREE_LIST)
#undef FREE_LIST
    free(model);
}

size_t model_keep(struct model *model, const void *bytes, size_t size)
{
    size_t offset = (size_t)model->bytes.count;
    for (size_t i = 0; i < size; i++)
        *MODEL_ADD(&model->bytes) = ((const uint8_t *)bytes)[i];
    return offset;
}

static bool is_kept(const struct model *model, size_t offset, size_t kept_size, const void *bytes,
                    size_t size)
{
    return kept_size == size && memcmp(model->bytes.items + offset, bytes, size) == 0;
}

void *model_answer(const struct model *model, struct model_reply *reply, size_t size)
{
    memset(reply->words, 0, size);
    reply->size = (uint32_t)size;
    reply->words[0] = model->seq;
    return reply->words;
}

void *model_answer_row(struct model_reply *reply, size_t size)
{
    void *row = (uint8_t *)reply->words + reply->size;
    TILL_ASSERT(reply->size + size <= sizeof reply->words);
    memset(row, 0, size);
    reply->size += (uint32_t)size;
    return row;
}

void model_reject(const struct model *model, struct model_reply *reply, enum outcome outcome,
                  uint64_t subject, int64_t value)
{
    struct rejection_body *body = model_answer(model, reply, sizeof *body);
    body->subject = subject;
    body->value = value;
    reply->outcome = (uint16_t)outcome;
}

void model_accept(struct model *model, struct model_reply *reply)
{
    model->seq++;
    model->changed = model->now;
    reply->accepted = true;
    reply->outcome = OUTCOME_OK;
}

static void answer_as_kept(const struct model *model, struct model_reply *reply, size_t offset,
                           size_t size)
{
    memcpy(reply->words, model->bytes.items + offset, size);
    reply->size = (uint32_t)size;
}

static bool key_may_be_none(uint16_t number)
{
    return number == MESSAGE_sku_put || number == MESSAGE_stock_set;
}

/* True when the key alone decides the request. */
static bool key_decides(const struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    struct id key;
    memcpy(&key, request->body, sizeof key);
    if (id_is_zero(key) && key_may_be_none(request->number))
        return false;
    if (id_is_zero(key)) {
        model_reject(model, reply, OUTCOME_INVALID, 1, 0);
        return true;
    }
    for (int i = 0; i < model->keys.count; i++) {
        const struct model_key *known = &model->keys.items[i];
        if (!id_equal(known->key, key) || !model_key_is_known(model, known))
            continue;
        if (known->number != request->number ||
            !is_kept(model, known->request, known->request_size, request->body, request->size)) {
            model_reject(model, reply, OUTCOME_IDEM_MISMATCH, 0, 0);
            return true;
        }
        answer_as_kept(model, reply, known->reply, known->reply_size);
        reply->outcome = OUTCOME_REPLAYED;
        if (request->number == MESSAGE_stock_set) {
            const struct stock_set_body *body = request->body;
            model_answer_orders_concerned(model, reply, body->sku, body->warehouse);
        }
        return true;
    }
    return false;
}

static void key_keep(struct model *model, const struct model_request *request,
                     const struct model_reply *reply)
{
    struct model_key key = {
        .kept = model_kept(model),
        .request = model_keep(model, request->body, request->size),
        .request_size = request->size,
        .reply = model_keep(model, reply->words, reply->size),
        .reply_size = reply->size,
        .number = request->number,
    };
    memcpy(&key.key, request->body, sizeof key.key);
    if (!id_is_zero(key.key))
        *MODEL_ADD(&model->keys) = key;
}

static void model_metrics(const struct model *model, struct metrics *metrics)
{
    metrics->skus = (uint64_t)model->skus.count;
    metrics->stocks = (uint64_t)model->stocks.count;
    metrics->sales = (uint64_t)model->sales.count;
    metrics->customers = (uint64_t)model->customers.count;
    metrics->orders = (uint64_t)model->orders.count - model->forgotten;
    metrics->orders_forgotten = model->forgotten;
    for (int i = 0; i < model->orders.count; i++) {
        const struct model_order *order = &model->orders.items[i];
        if (order->is_gone)
            continue;
        metrics->orders_closed += model_order_is_closed(order);
        metrics->pending += order->state == order_state_PENDING;
        metrics->confirmed += order->state == order_state_CONFIRMED;
        metrics->expired += order->state == order_state_EXPIRED;
        metrics->failed += order->state == order_state_FAILED;
        metrics->cancelled += order->state == order_state_CANCELLED;
        metrics->refund_orders += order->refund_due > 0;
    }
    metrics->payments = (uint64_t)(model->payments.count + model->payments_left);
    for (int i = 0; i < model->payments.count; i++)
        metrics->parked += model->payments.items[i].outcome == OUTCOME_AMOUNT_MISMATCH;
    for (int i = 0; i < model->keys.count; i++)
        metrics->keys += model_key_is_known(model, &model->keys.items[i]);
    metrics->holds_due = model_holds_due(model, model->now);
    metrics->rejected = model->rejected;
}

/* One row for each metric of the engine: there is no server. */
static void model_stats(struct model *model, const struct model_request *request,
                        struct model_reply *reply)
{
    (void)request;
    struct stats_reply_body *stats = model_answer(model, reply, sizeof *stats);
    struct metrics metrics = {0};
    model_metrics(model, &metrics);
    stats->time = model->now;
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        if (metric_table[i].layer != LAYER_engine)
            continue;
        struct metric_body *row = model_answer_row(reply, sizeof *row);
        row->metric = metric_table[i].number;
        row->value = metric_value(&metrics, &metric_table[i]);
        stats->metric_count++;
    }
}

static void model_time_jump(struct model *model, const struct model_request *request,
                            struct model_reply *reply)
{
    const struct time_jump_body *body = request->body;
    if (body->jump == 0 || body->jump > model->now - model->changed) {
        model_reject(model, reply, OUTCOME_INVALID, time_jump_field_jump, 0);
        return;
    }
    model_accept(model, reply);
    model->jumped += body->jump;
    model_answer(model, reply, sizeof(struct seq_reply_body));
}

static void model_epoch_begin(struct model *model, const struct model_request *request,
                              struct model_reply *reply)
{
    const struct epoch_begin_body *body = request->body;
    uint64_t newest = 1;
    for (int i = 0; i < model->epochs.count; i++) {
        if (model->epochs.items[i].body.epoch > newest)
            newest = model->epochs.items[i].body.epoch;
    }
    if (body->epoch <= newest) {
        model_reject(model, reply, OUTCOME_INVALID, epoch_begin_field_epoch, 0);
        return;
    }
    model_accept(model, reply);
    *MODEL_ADD(&model->epochs) = (struct model_epoch){*body, model->seq, model->changed};
    model_answer(model, reply, sizeof(struct seq_reply_body));
}

static const struct {
    model_handler *handler;
    bool is_keyed;
} handlers[MESSAGE_NUMBER_MAX + 1] = {
    [MESSAGE_sku_put] = {model_sku_put, true},
    [MESSAGE_stock_adjust] = {model_stock_adjust, true},
    [MESSAGE_stock_set] = {model_stock_set, true},
    [MESSAGE_stock_get] = {model_stock_get, false},
    [MESSAGE_sale_put] = {model_sale_put, true},
    [MESSAGE_sale_open] = {model_sale_open, true},
    [MESSAGE_sale_pause] = {model_sale_pause, true},
    [MESSAGE_sale_close] = {model_sale_close, true},
    [MESSAGE_points_credit] = {model_points_credit, true},
    [MESSAGE_points_balance] = {model_points_balance, false},
    [MESSAGE_order_place] = {model_order_place, false},
    [MESSAGE_payment_event] = {model_payment_event, false},
    [MESSAGE_order_cancel] = {model_order_cancel, true},
    [MESSAGE_hold_extend] = {model_hold_extend, true},
    [MESSAGE_hold_release] = {model_hold_release, true},
    [MESSAGE_hold_expire] = {model_hold_expire, false},
    [MESSAGE_order_get] = {model_order_get, false},
    [MESSAGE_order_history] = {model_order_history, false},
    [MESSAGE_stats] = {model_stats, false},
    [MESSAGE_time_jump] = {model_time_jump, false},
    [MESSAGE_epoch_begin] = {model_epoch_begin, false},
    [MESSAGE_retention_put] = {model_retention_put, false},
    [MESSAGE_memory_forget] = {model_memory_forget, false},
};

static void pass_time(struct model *model, uint64_t now)
{
    if (now > model->now)
        model->now = now;
}

void model_refused(struct model *model, uint64_t now)
{
    pass_time(model, now);
    model->rejected++;
}

void model_decide(struct model *model, uint64_t now, const struct model_request *request,
                  struct model_reply *reply)
{
    TILL_ASSERT(handlers[request->number].handler != NULL);
    bool is_keyed = handlers[request->number].is_keyed;
    pass_time(model, now);
    reply->outcome = OUTCOME_OK;
    reply->accepted = false;
    if (!is_keyed || !key_decides(model, request, reply)) {
        handlers[request->number].handler(model, request, reply);
        if (is_keyed && reply->accepted)
            key_keep(model, request, reply);
    }
    if (!reply->accepted && reply->outcome != OUTCOME_OK && reply->outcome != OUTCOME_REPLAYED &&
        reply->outcome != OUTCOME_AMOUNT_MISMATCH)
        model->rejected++;
}
