/* See trace.h. A mark is made of what every change of the thing changes: an order's version; the
 * record of a customer, which has the newest entry of his ledger; the numbers of each stock. */
#include "engine/trace.h"

#include "engine/order_parts.h"
#include "engine/points.h"
#include "engine/stock.h"

static uint32_t find_customer(const struct engine *engine, struct id customer)
{
    return customer_find(engine, customer, hash_id(engine, customer));
}

uint32_t trace_order(const struct engine *engine, struct id order)
{
    uint32_t index = order_find(engine, order);
    return index != 0 ? order_at(engine, index)->version : 0;
}

struct id trace_order_customer(const struct engine *engine, struct id order)
{
    uint32_t index = order_find(engine, order);
    return customer_id_at(engine, order_at(engine, index)->customer)->id;
}

/* Mixes so many words of a record, an even number of them, into a mark; not zero. */
static uint64_t mark_mixed(uint64_t mark, const void *record, size_t count)
{
    const uint64_t *words = record;
    for (size_t i = 0; i < count; i += 2)
        mark = digest_mixed(mark, words[i], words[i + 1]);
    return mark | 1;
}

uint64_t trace_points(const struct engine *engine, struct id customer)
{
    uint32_t index = find_customer(engine, customer);
    enum { WORDS = sizeof(struct customer) / sizeof(uint64_t) };
    static_assert(WORDS * sizeof(uint64_t) == sizeof(struct customer) && WORDS % 2 == 0, "all");
    static const struct customer none;
    const struct customer *record = customer_at(engine, index);
    return memcmp(record, &none, sizeof none) != 0 ? mark_mixed(0, record, WORDS) : 0;
}

uint64_t trace_stocks(const struct engine *engine, uint64_t sku)
{
    enum { NUMBERS = 6 };
    static_assert(offsetof(struct stock, sku) == NUMBERS * sizeof(uint64_t), "the numbers first");
    uint64_t mark = 0;
    for (uint32_t i = sku_at(engine, sku_find(engine, sku))->stocks; i != 0;
         i = stock_at(engine, i)->next)
        mark = mark_mixed(mark, stock_at(engine, i), NUMBERS);
    return mark;
}

bool trace_next_order(const struct engine *engine, struct id customer, uint32_t *cursor,
                      struct id *order)
{
    uint32_t owner = find_customer(engine, customer);
    while (owner != 0 && ++*cursor <= engine->orders.count) {
        if (order_at(engine, *cursor)->customer != owner)
            continue;
        *order = order_at(engine, *cursor)->id;
        return true;
    }
    return false;
}

bool trace_next_stock(const struct engine *engine, uint64_t sku, uint32_t *cursor,
                      struct stock_row_body *row)
{
    const struct sku *owner = sku_at(engine, sku_find(engine, sku));
    *cursor = *cursor != 0 ? stock_at(engine, *cursor)->next : owner->stocks;
    const struct stock *stock = stock_at(engine, *cursor);
    *row = (struct stock_row_body){.sku = sku,
                                   .warehouse = stock->warehouse,
                                   .currency = owner->currency,
                                   .price = owner->price,
                                   .on_hand = stock->on_hand,
                                   .available = stock->available,
                                   .pooled = stock->pooled,
                                   .reserved_for_orders = stock->reserved,
                                   .committed = stock->committed,
                                   .unsellable = stock->unsellable};
    return *cursor != 0;
}

bool trace_next_movement(const struct engine *engine, struct id customer, uint32_t *cursor,
                         struct trace_movement *movement)
{
    uint32_t owner = find_customer(engine, customer);
    *cursor = *cursor != 0 ? ledger_entry_at(engine, *cursor)->previous
                           : customer_at(engine, owner)->ledger;
    const struct ledger_entry *entry = ledger_entry_at(engine, *cursor);
    *movement = (struct trace_movement){
        .kind = named_value_name(FIELD_ledger_kind, entry->kind),
        .points = entry->points,
        .expires_us = lot_at(engine, entry->lot)->expires_us,
        .order = order_at(engine, entry->order)->id,
    };
    return *cursor != 0 && entry->seq == engine->seq;
}
