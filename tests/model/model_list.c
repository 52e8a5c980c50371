/* The model's lists: every order is looked at, and what is asked for is sorted.
 *
 * A list descends by (key, tie). A page begins below its cursor, and looks at so many entries of
 * the list at most, from the newest on; what it finds above the cursor counts. Of a cursor the
 * model knows the key and the tie; the upper 32 bits are a hint that changes nothing but how soon a
 * long list is gone through. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/model/model.h"

/* Something in a list: an order, a payment. */
struct entry {
    uint64_t key;
    uint32_t tie;
    int item;
};

struct list {
    struct entry *entries;
    int count;
    int room;
};

/* What the steps tell of an order. */
struct past {
    uint64_t placed;
    uint64_t entered; /* seq since which it is in its state */
    uint64_t due;     /* seq since which a refund is due */
    uint8_t state;
    uint8_t money;
};

static struct past *pasts_of(const struct model *model)
{
    struct past *pasts = calloc((size_t)model->orders.count + 1, sizeof *pasts);
    TILL_ASSERT(pasts != NULL);
    for (int i = 0; i < model->steps.count; i++) {
        const struct step_body *step = &model->steps.items[i].body;
        struct past *past = &pasts[model->steps.items[i].order];
        if (step->version == 1)
            past->placed = step->seq;
        if (step->state != past->state)
            past->entered = step->seq;
        if (step->money == money_state_REFUND_DUE && past->money != money_state_REFUND_DUE)
            past->due = step->seq;
        past->state = step->state;
        past->money = step->money;
    }
    return pasts;
}

static int entry_compare(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    if (left->key != right->key)
        return left->key > right->key ? -1 : 1;
    return left->tie > right->tie ? -1 : left->tie < right->tie;
}

static void list_add(struct list *list, uint64_t key, uint32_t tie, int item)
{
    list->entries =
        model_list_grown(list->entries, &list->room, list->count, sizeof *list->entries);
    list->entries[list->count++] = (struct entry){key, tie, item};
}

struct page {
    struct list list;
    struct id cursor; /* of the last entry that was shown, or looked at below it */
    int at;
};

static void page_begin(struct page *page, struct id cursor)
{
    page->at = 0;
    page->cursor = id_is_zero(cursor) ? (struct id){UINT64_MAX, UINT32_MAX} : cursor;
    page->cursor.high &= UINT32_MAX;
    if (page->list.count > 0)
        qsort(page->list.entries, (size_t)page->list.count, sizeof page->list.entries[0],
              entry_compare);
}

/* The next item; MODEL_NONE when the list has ended, or enough was looked at. */
static int page_next(struct page *page)
{
    while (page->at < page->list.count && page->at < LIST_LOOKS_MAX) {
        const struct entry *entry = &page->list.entries[page->at++];
        bool is_below = entry->key < page->cursor.low ||
                        (entry->key == page->cursor.low && entry->tie < page->cursor.high);
        if (is_below) {
            page->cursor = (struct id){entry->key, entry->tie};
            return entry->item;
        }
    }
    return MODEL_NONE;
}

static struct id page_end(struct page *page)
{
    free(page->list.entries);
    return page->at < page->list.count ? page->cursor : (struct id){0};
}

/* Does the order have units of the SKU, or from the warehouse? 0: whatever they are. */
static bool has_units(const struct model *model, const struct model_order *order, uint64_t sku,
                      uint32_t warehouse)
{
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++) {
        const struct model_stock *stock = &model->stocks.items[model->pieces.items[p].stock];
        if ((sku == 0 || stock->sku == sku) && (warehouse == 0 || stock->warehouse == warehouse))
            return true;
    }
    return false;
}

/* Has the order what the first criterion asks for? Its key, if so. */
static bool is_in_list(const struct model *model, const struct order_list_body *body, int index,
                       const struct past *past, struct entry *entry)
{
    const struct model_order *order = &model->orders.items[index];
    *entry = (struct entry){.key = past->placed, .item = index};
    if (!id_is_zero(body->customer))
        return id_equal(order->customer, body->customer);
    if (body->sku != 0)
        return has_units(model, order, body->sku, 0);
    if (body->sale != 0)
        return order->sale == body->sale;
    if (body->warehouse != 0) {
        entry->key = order->moved != 0 ? order->moved : past->placed;
        return has_units(model, order, 0, body->warehouse);
    }
    entry->key = past->entered;
    entry->tie = (uint32_t)index + 1;
    return order->state == body->state;
}

static bool is_shown(const struct model *model, const struct order_list_body *body,
                     const struct model_order *order)
{
    return (id_is_zero(body->customer) || id_equal(order->customer, body->customer)) &&
           (body->sku == 0 || has_units(model, order, body->sku, 0)) &&
           (body->sale == 0 || order->sale == body->sale) &&
           (body->warehouse == 0 || has_units(model, order, 0, body->warehouse)) &&
           (body->state == order_state_ANY || order->state == body->state);
}

static bool customer_is_known(const struct model *model, struct id customer)
{
    for (int i = 0; i < model->customers.count; i++) {
        if (id_equal(model->customers.items[i].customer, customer))
            return true;
    }
    return false;
}

static bool list_is_refused(const struct model *model, const struct order_list_body *body,
                            struct model_reply *reply)
{
    bool has_customer = !id_is_zero(body->customer);
    if (!has_customer && body->sku == 0 && body->sale == 0 && body->warehouse == 0 &&
        body->state == order_state_ANY)
        model_reject(model, reply, OUTCOME_INVALID, order_list_field_customer, 0);
    else if (body->wanted > LIST_ROWS_MAX)
        model_reject(model, reply, OUTCOME_INVALID, order_list_field_wanted, 0);
    else if (has_customer && !customer_is_known(model, body->customer))
        model_reject(model, reply, OUTCOME_NOT_FOUND, 0, 0);
    else if (body->sku != 0 && model_find_sku(model, body->sku) == MODEL_NONE)
        model_reject(model, reply, OUTCOME_NOT_FOUND, body->sku, 0);
    else if (body->sale != 0 && model_find_sale(model, body->sale) == MODEL_NONE)
        model_reject(model, reply, OUTCOME_NOT_FOUND, body->sale, 0);
    else
        return false;
    return true;
}

void model_order_list(struct model *model, const struct model_request *request,
                      struct model_reply *reply)
{
    const struct order_list_body *body = request->body;
    if (list_is_refused(model, body, reply))
        return;
    struct past *pasts = pasts_of(model);
    struct page page = {0};
    for (int i = 0; i < model->orders.count; i++) {
        struct entry entry;
        if (is_in_list(model, body, i, &pasts[i], &entry))
            list_add(&page.list, entry.key, entry.tie, i);
    }
    page_begin(&page, body->cursor);
    struct order_list_reply_body *answer = model_answer(model, reply, sizeof *answer);
    int most = body->wanted == 0 ? LIST_ROWS_MAX : body->wanted;
    int index;
    while (answer->order_count < most && (index = page_next(&page)) != MODEL_NONE) {
        const struct model_order *order = &model->orders.items[index];
        if (!is_shown(model, body, order))
            continue;
        struct order_body *row = model_answer_row(reply, sizeof *row);
        *row = (struct order_body){.order = order->order,
                                   .state = order->state,
                                   .money = model_money_state(order),
                                   .currency = order->currency,
                                   .version = order->version,
                                   .total = order->total,
                                   .customer = order->customer,
                                   .placed_seq = pasts[index].placed,
                                   .placed = order->placed,
                                   .sale = order->sale};
        answer->order_count++;
    }
    answer->next = page_end(&page);
    free(pasts);
}

static void answer_deficits(struct model *model, const struct attention_list_body *body, int most,
                            struct model_reply *reply)
{
    struct attention_list_reply_body *answer = model_answer(model, reply, sizeof *answer);
    int count = model->stocks.count;
    int first = body->cursor.low < (uint64_t)count ? (int)body->cursor.low : count;
    int at = first;
    model_sum_stock(model);
    for (; at < count && at < first + STOCK_LOOKS_MAX && answer->concern_count < most; at++) {
        const struct model_stock *stock = &model->stocks.items[at];
        if (stock->available >= 0)
            continue;
        struct concern_body *row = model_answer_row(reply, sizeof *row);
        row->sku = stock->sku;
        row->warehouse = stock->warehouse;
        row->available = stock->available;
        answer->concern_count++;
    }
    answer->next.low = at < count ? (uint64_t)at : 0;
}

/* Offline warehouses that something is promised from, by ascending number. */
static void answer_offline(const struct model *model, const struct attention_list_body *body,
                           int most, struct model_reply *reply)
{
    struct attention_list_reply_body *answer = model_answer(model, reply, sizeof *answer);
    uint32_t after = (uint32_t)body->cursor.low;
    for (;;) {
        uint32_t next = 0;
        for (int i = 0; i < model->warehouses.count; i++) {
            const struct model_warehouse *warehouse = &model->warehouses.items[i];
            if (warehouse->state == warehouse_state_OFFLINE && warehouse->warehouse > after &&
                (next == 0 || warehouse->warehouse < next) &&
                model_units_promised(model, warehouse->warehouse) > 0)
                next = warehouse->warehouse;
        }
        if (next == 0 || body->cursor.low > UINT32_MAX)
            return;
        if (answer->concern_count == most) {
            answer->next.low = after;
            return;
        }
        struct concern_body *row = model_answer_row(reply, sizeof *row);
        row->warehouse = after = next;
        row->orders = model_orders_promised(model, next);
        row->units = model_units_promised(model, next);
        answer->concern_count++;
    }
}

static struct concern_body concern_of(const struct model_order *order)
{
    return (struct concern_body){.order = order->order,
                                 .state = order->state,
                                 .money = model_money_state(order),
                                 .currency = order->currency};
}

static struct concern_body parked_row(const struct model *model, const struct entry *entry)
{
    const struct payment_event_body *event = &model->payments.items[entry->item].body;
    struct concern_body row =
        concern_of(&model->orders.items[model_find_order(model, event->order)]);
    row.currency = event->currency;
    row.provider = event->provider;
    row.event = event->event;
    row.amount = event->amount;
    row.since = entry->key;
    return row;
}

void model_attention_list(struct model *model, const struct model_request *request,
                          struct model_reply *reply)
{
    const struct attention_list_body *body = request->body;
    int most = body->wanted == 0 ? LIST_ROWS_MAX : body->wanted;
    if (body->wanted > LIST_ROWS_MAX) {
        model_reject(model, reply, OUTCOME_INVALID, attention_list_field_wanted, 0);
        return;
    }
    if (body->kind == attention_DEFICIT) {
        answer_deficits(model, body, most, reply);
        return;
    }
    if (body->kind == attention_OFFLINE) {
        model_sum_stock(model);
        answer_offline(model, body, most, reply);
        return;
    }
    struct past *pasts = pasts_of(model);
    struct page page = {0};
    for (int i = 0; body->kind == attention_PARKED && i < model->payments.count; i++) {
        const struct model_payment *payment = &model->payments.items[i];
        uint64_t seq;
        memcpy(&seq, model->bytes.items + payment->reply, sizeof seq);
        if (payment->outcome == OUTCOME_AMOUNT_MISMATCH && payment->settlement == 0)
            list_add(&page.list, seq, 0, i);
    }
    bool is_due = body->kind == attention_REFUND_DUE || body->kind == attention_REFUND_FAILED;
    for (int i = 0; is_due && i < model->orders.count; i++) {
        if (model->orders.items[i].refund_due > 0)
            list_add(&page.list, pasts[i].due, 0, i);
    }
    free(pasts);
    page_begin(&page, body->cursor);
    struct attention_list_reply_body *answer = model_answer(model, reply, sizeof *answer);
    int item;
    while (answer->concern_count < most && (item = page_next(&page)) != MODEL_NONE) {
        const struct entry entry = {.key = page.cursor.low, .item = item};
        if (body->kind == attention_REFUND_FAILED && model->orders.items[item].refunds_failed == 0)
            continue;
        struct concern_body *row = model_answer_row(reply, sizeof *row);
        answer->concern_count++;
        if (body->kind == attention_PARKED) {
            *row = parked_row(model, &entry);
            continue;
        }
        *row = concern_of(&model->orders.items[item]);
        row->amount = model->orders.items[item].refund_due;
        row->since = entry.key;
    }
    answer->next = page_end(&page);
}

static int64_t units_of(const struct model *model, const struct model_order *order)
{
    int64_t units = 0;
    for (int p = order->piece_first; p < order->piece_first + order->piece_count; p++)
        units += model->pieces.items[p].quantity;
    return units;
}

static void answer_orders(const struct model *model, uint32_t sale,
                          struct sale_get_reply_body *answer)
{
    uint32_t counts[order_state_CANCELLED + 1] = {0};
    for (int i = 0; i < model->orders.count; i++) {
        const struct model_order *order = &model->orders.items[i];
        if (order->sale != sale)
            continue;
        counts[order->state]++;
        if (order->state == order_state_PENDING)
            answer->held += units_of(model, order);
        else if (model_order_is_live(order))
            answer->sold += units_of(model, order);
    }
    answer->indexed = 1;
    answer->pending = counts[order_state_PENDING];
    answer->confirmed = counts[order_state_CONFIRMED];
    answer->partially_shipped = counts[order_state_PARTIALLY_SHIPPED];
    answer->shipped = counts[order_state_SHIPPED];
    answer->delivered = counts[order_state_DELIVERED];
    answer->expired = counts[order_state_EXPIRED];
    answer->failed = counts[order_state_FAILED];
    answer->cancelled = counts[order_state_CANCELLED];
}

static void answer_terms(const struct model_sale *sale, struct sale_get_reply_body *answer)
{
    const struct sale_put_body *terms = &sale->terms;
    answer->state = sale->state;
    answer->flags = terms->flags;
    answer->opens = terms->opens;
    answer->closes = terms->closes;
    answer->points_max = terms->points_max;
    answer->hold = terms->hold;
    answer->hold_max = terms->hold_max;
    answer->points_share = terms->points_share;
    answer->rate_points = terms->rate_points;
    answer->rate_money = terms->rate_money;
    answer->customer_sku_max = terms->customer_sku_max;
    answer->customer_sale_max = terms->customer_sale_max;
    answer->earn_points = terms->earn_points;
    answer->earn_money = terms->earn_money;
    answer->return_window = terms->return_window;
    answer->earn_life = terms->earn_life;
}

void model_sale_get(struct model *model, const struct model_request *request,
                    struct model_reply *reply)
{
    const struct sale_get_body *body = request->body;
    int index = model_find_sale(model, body->sale);
    if (body->sale == 0 || index == MODEL_NONE) {
        bool is_zero = body->sale == 0;
        model_reject(model, reply, is_zero ? OUTCOME_INVALID : OUTCOME_NOT_FOUND,
                     is_zero ? sale_get_field_sale : body->sale, 0);
        return;
    }
    struct sale_get_reply_body *answer = model_answer(model, reply, sizeof *answer);
    uint64_t counts[OUTCOME_COUNT] = {0};
    model_sum_stock(model);
    answer_terms(&model->sales.items[index], answer);
    answer_orders(model, body->sale, answer);
    for (int i = 0; i < model->pools.count; i++) {
        const struct model_pool *pool = &model->pools.items[i];
        if (pool->sale != body->sale)
            continue;
        answer->pools++;
        answer->left += pool->left;
        answer->taken += pool->used;
    }
    for (int i = 0; i < model->refusals.count; i++) {
        if (model->refusals.items[i].sale == body->sale)
            counts[model->refusals.items[i].outcome]++;
    }
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        if (counts[i] == 0)
            continue;
        struct rejected_body *row = model_answer_row(reply, sizeof *row);
        *row = (struct rejected_body){.outcome = (uint16_t)i, .count = counts[i]};
        answer->rejection_count++;
    }
}
