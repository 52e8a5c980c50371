/* attention.list: what a person must look at. Parked payments and refunds due are in lists of their
 * own, and of the latter those that failed are shown alone. Deficits are found by a look at all
 * stocks, so many a page, and warehouses are few: these need no list. */
#include "engine/account.h"
#include "engine/handlers.h"
#include "engine/list_page.h"
#include "engine/order.h"

static struct list_key key_parked(const struct engine *engine, uint32_t node)
{
    return (struct list_key){.key = payment_at(engine, node)->reply.parked.seq};
}

static struct list_key key_due(const struct engine *engine, uint32_t node)
{
    return (struct list_key){.key = engine->lists->due[node]};
}

static bool is_there(const struct engine *engine, const struct list_page *page, uint32_t node)
{
    (void)engine;
    (void)page;
    (void)node;
    return true; /* the family has one list */
}

static struct concern_body concern_of(const struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    return (struct concern_body){.order = order->id,
                                 .state = order->state,
                                 .money = order_money_state(engine, order),
                                 .currency = order->currency};
}

static struct concern_body parked_row(const struct engine *engine, uint32_t node)
{
    const struct payment *payment = payment_at(engine, node);
    struct concern_body row = concern_of(engine, payment->order);
    row.currency = payment->currency;
    row.provider = payment->provider;
    row.event = payment->event;
    row.amount = payment->amount;
    row.since = payment->reply.parked.seq;
    return row;
}

static struct concern_body due_row(const struct engine *engine, uint32_t node)
{
    const struct money *money = money_at(engine, node);
    struct concern_body row = concern_of(engine, money->order);
    row.amount = money->refund_due;
    row.since = engine->lists->due[node];
    return row;
}

/* Has a refund of this money failed? What it was to pay back is due again. */
static bool has_failed(const struct engine *engine, uint32_t node)
{
    return account_at(engine, money_at(engine, node)->account)->refunds_failed > 0;
}

/* Rows of the list, at most so many; returns how many, and the cursor of the next page. */
static uint16_t list_rows(const struct engine *engine, const struct attention_list_body *body,
                          uint16_t most, struct concern_body *rows, struct id *next)
{
    bool is_parked = body->kind == attention_PARKED;
    struct list_page page = {
        .family = is_parked ? &engine->lists->parked : &engine->lists->refunds,
        .key_of = is_parked ? key_parked : key_due,
    };
    uint16_t count = 0;
    uint32_t node = 0;
    list_page_begin(&page, engine, body->cursor, is_there);
    while (count < most && (node = list_page_next(&page, engine)) != 0) {
        if (body->kind != attention_REFUND_FAILED || has_failed(engine, node))
            rows[count++] = is_parked ? parked_row(engine, node) : due_row(engine, node);
    }
    *next = list_page_cursor(&page);
    return count;
}

/* The same of stocks below zero. A cursor is the number of the last one that was looked at. */
static uint16_t deficit_rows(const struct engine *engine, struct id cursor, uint16_t most,
                             struct concern_body *rows, struct id *next)
{
    uint64_t count = engine->stocks.count;
    uint64_t first = cursor.low < count ? cursor.low + 1 : count + 1;
    uint64_t last = first + STOCK_LOOKS_MAX - 1 < count ? first + STOCK_LOOKS_MAX - 1 : count;
    uint16_t found = 0;
    uint64_t at = first;
    for (; at <= last && found < most; at++) {
        const struct stock *stock = stock_at(engine, (uint32_t)at);
        if (stock->available >= 0)
            continue;
        rows[found++] = (struct concern_body){.sku = sku_at(engine, stock->sku)->sku,
                                              .available = stock->available,
                                              .warehouse = stock->warehouse};
    }
    *next = (struct id){.low = at <= count ? at - 1 : 0};
    return found;
}

/* The offline warehouse with the lowest number above `after` that something is promised from; 0:
 * there is none. */
static uint32_t next_offline(const struct engine *engine, uint64_t after)
{
    uint32_t next = 0;
    for (uint32_t i = 1; i <= engine->warehouses.count; i++) {
        const struct warehouse *warehouse = warehouse_at(engine, i);
        bool is_lower = next == 0 || warehouse->warehouse < warehouse_at(engine, next)->warehouse;
        if (warehouse->state == warehouse_state_OFFLINE && warehouse->warehouse > after &&
            is_lower && warehouse_promise_at(engine, i)->units > 0)
            next = i;
    }
    return next;
}

/* A cursor is the number of the last warehouse that was shown. */
static uint16_t offline_rows(const struct engine *engine, struct id cursor, uint16_t most,
                             struct concern_body *rows, struct id *next)
{
    uint16_t count = 0;
    uint32_t at = engine->warehouses_shut > 0 ? next_offline(engine, cursor.low) : 0;
    for (; at != 0 && count < most; count++) {
        const struct warehouse_promise *promise = warehouse_promise_at(engine, at);
        rows[count] = (struct concern_body){.warehouse = warehouse_at(engine, at)->warehouse,
                                            .orders = promise->orders,
                                            .units = (int64_t)promise->units};
        cursor.low = rows[count].warehouse;
        at = next_offline(engine, cursor.low);
    }
    *next = (struct id){.low = at != 0 ? cursor.low : 0};
    return count;
}

enum outcome handle_attention_list(struct engine *engine, struct command *command)
{
    const struct attention_list_body *body = command->body;
    struct concern_body rows[LIST_ROWS_MAX];
    uint16_t most = body->wanted != 0 ? body->wanted : LIST_ROWS_MAX;
    uint16_t count = 0;
    struct id next = {0};
    if (body->wanted > LIST_ROWS_MAX)
        return reject_field(engine, attention_list_field_wanted);
    if (body->kind == attention_DEFICIT)
        count = deficit_rows(engine, body->cursor, most, rows, &next);
    else if (body->kind == attention_OFFLINE)
        count = offline_rows(engine, body->cursor, most, rows, &next);
    else if (engine->lists == NULL)
        return reject(engine, OUTCOME_NOT_INDEXED, 0, 0);
    else
        count = list_rows(engine, body, most, rows, &next);
    struct attention_list_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    *reply = (struct attention_list_reply_body){
        .seq = engine->seq, .next = next, .concern_count = count};
    return OUTCOME_OK;
}
