/* The generator. One function per message makes a sensible request; `twist` then spoils a field in
 * some of them. A sequence opens with a shop: SKUs, stock, sales that are open, customers with
 * points. */
#include "tests/model/generate.h"

#include <string.h>

#include "base/assert.h"

enum { TIME_START_US = 1000000000, EURO = 978, DOLLAR = 840, RECENT = 24 };

struct generator {
    const struct profile *profile;
    struct model *model;
    struct sequence *sequence;
    uint64_t random;
    uint64_t now;
    uint64_t ids; /* fresh ones given out */
    uint64_t body[FRAME_SIZE_MAX / 8];
    uint32_t size;
};

#define EVERYDAY_WEIGHTS(stock_adjust)                                                             \
    [MESSAGE_sku_put] = 2, [MESSAGE_stock_adjust] = (stock_adjust), [MESSAGE_stock_set] = 4,       \
    [MESSAGE_stock_get] = 4, [MESSAGE_sale_put] = 4, [MESSAGE_sale_open] = 3,                      \
    [MESSAGE_sale_pause] = 1, [MESSAGE_sale_close] = 1, [MESSAGE_points_balance] = 4,              \
    [MESSAGE_order_get] = 5, [MESSAGE_order_history] = 5, [MESSAGE_stats] = 3,                     \
    [MESSAGE_epoch_begin] = 3, [MESSAGE_retention_put] = 1, [MESSAGE_memory_forget] = 2

const struct profile profiles[PROFILE_COUNT] = {
    [PROFILE_MIXED] =
        {
            .name = "mixed",
            .skus = 6,
            .warehouses = 3,
            .sales = 3,
            .customers = 8,
            .lines_max = 32,
            .lines_many = 15,
            .quantity_max = 4,
            .hostile = 80,
            .stock_max = 30,
            .hold_max = 60,
            .step_max = 2000000,
            .leaps = 20,
            .weights =
                {EVERYDAY_WEIGHTS(8), [MESSAGE_order_place] = 60, [MESSAGE_payment_event] = 30,
                 [MESSAGE_order_cancel] = 10, [MESSAGE_hold_extend] = 8, [MESSAGE_hold_release] = 5,
                 [MESSAGE_hold_expire] = 2, [MESSAGE_points_credit] = 8, [MESSAGE_time_jump] = 1},
        },
    [PROFILE_POINTS] =
        {
            .name = "points",
            .skus = 4,
            .warehouses = 2,
            .sales = 3,
            .customers = 3,
            .lines_max = 4,
            .lines_many = 15,
            .quantity_max = 4,
            .hostile = 40,
            .stock_max = 500,
            .hold_max = 40,
            .step_max = 5000000,
            .leaps = 30,
            .has_big_points = true,
            .weights =
                {EVERYDAY_WEIGHTS(8), [MESSAGE_order_place] = 60, [MESSAGE_payment_event] = 30,
                 [MESSAGE_order_cancel] = 15, [MESSAGE_hold_extend] = 2,
                 [MESSAGE_hold_release] = 15, [MESSAGE_points_credit] = 30},
        },
    [PROFILE_HOLDS] =
        {
            .name = "holds",
            .skus = 4,
            .warehouses = 3,
            .sales = 2,
            .customers = 8,
            .lines_max = 4,
            .lines_many = 15,
            .quantity_max = 4,
            .hostile = 30,
            .stock_max = 100,
            .hold_max = 5,
            .step_max = 300000,
            .leaps = 4,
            .weights =
                {EVERYDAY_WEIGHTS(8), [MESSAGE_order_place] = 80, [MESSAGE_payment_event] = 30,
                 [MESSAGE_order_cancel] = 6, [MESSAGE_hold_extend] = 50,
                 [MESSAGE_hold_release] = 10, [MESSAGE_hold_expire] = 10},
        },
    [PROFILE_PIECES] =
        {
            .name = "pieces",
            .skus = 6,
            .warehouses = 24,
            .sales = 2,
            .customers = 8,
            .lines_max = 32,
            .lines_many = 70,
            .quantity_max = 30,
            .hostile = 20,
            .stock_max = 5,
            .hold_max = 60,
            .step_max = 2000000,
            .leaps = 10,
            .weights =
                {EVERYDAY_WEIGHTS(160), [MESSAGE_order_place] = 40, [MESSAGE_payment_event] = 20,
                 [MESSAGE_order_cancel] = 20, [MESSAGE_hold_release] = 20},
        },
    [PROFILE_LONG] =
        {
            .name = "long",
            .skus = 6,
            .warehouses = 3,
            .sales = 3,
            .customers = 200,
            .lines_max = 32,
            .lines_many = 10,
            .quantity_max = 4,
            .hostile = 80,
            .stock_max = 10,
            .hold_max = 60,
            .step_max = 20000,
            .leaps = 1,
            .weights =
                {EVERYDAY_WEIGHTS(8), [MESSAGE_order_place] = 140, [MESSAGE_payment_event] = 40,
                 [MESSAGE_order_cancel] = 4, [MESSAGE_hold_extend] = 6, [MESSAGE_hold_release] = 2,
                 [MESSAGE_hold_expire] = 1, [MESSAGE_points_credit] = 4},
        },
    [PROFILE_WEALTH] =
        {
            .name = "wealth",
            .skus = 2,
            .warehouses = 2,
            .sales = 2,
            .customers = 3,
            .lines_max = 2,
            .lines_many = 10,
            .quantity_max = 1,
            .hostile = 10,
            .stock_max = 500,
            .hold_max = HOLD_MAX_S,
            .step_max = 4 * 3600 * US_PER_SECOND,
            .leaps = 100,
            .has_big_points = true,
            .is_wealthy = true,
            .weights =
                {EVERYDAY_WEIGHTS(8), [MESSAGE_order_place] = 60, [MESSAGE_payment_event] = 10,
                 [MESSAGE_order_cancel] = 25, [MESSAGE_hold_extend] = 5,
                 [MESSAGE_hold_release] = 25, [MESSAGE_points_credit] = 40},
        },
};

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t random_u64(struct generator *generator)
{
    uint64_t z = (generator->random += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static uint64_t below(struct generator *generator, uint64_t bound)
{
    return bound == 0 ? 0 : random_u64(generator) % bound;
}

static bool chance(struct generator *generator, unsigned percent)
{
    return below(generator, 100) < percent;
}

/* Small numbers more often than large ones, 1 to max. */
static uint64_t small(struct generator *generator, uint64_t max)
{
    uint64_t bound = 1 + below(generator, max);
    return 1 + below(generator, chance(generator, 50) ? bound : 1 + bound / 8);
}

static struct id fresh_id(struct generator *generator)
{
    struct id id = {.low = ++generator->ids};
    if (chance(generator, 20))
        id = (struct id){.high = id.low};
    return id;
}

static void *body_start(struct generator *generator, size_t size)
{
    memset(generator->body, 0, size);
    generator->size = (uint32_t)size;
    return generator->body;
}

static void *body_row(struct generator *generator, size_t size)
{
    void *row = (uint8_t *)generator->body + generator->size;
    memset(row, 0, size);
    generator->size += (uint32_t)size;
    return row;
}

static uint64_t any_sku(struct generator *generator)
{
    return 1 + below(generator, generator->profile->skus + chance(generator, 2));
}

static uint32_t any_warehouse(struct generator *generator)
{
    return 1 + (uint32_t)below(generator, generator->profile->warehouses);
}

/* New sale numbers are used as old sales close, so that there are always some to open. */
static uint32_t any_sale(struct generator *generator)
{
    uint32_t closed = 0;
    for (int i = 0; i < generator->model->sales.count; i++)
        closed += generator->model->sales.items[i].state == sale_state_CLOSED;
    if (chance(generator, 10))
        return 1 + (uint32_t)below(generator, generator->profile->sales + closed);
    return 1 + closed + (uint32_t)below(generator, generator->profile->sales);
}

/* Usually an open sale, if there is one. */
static uint32_t any_open_sale(struct generator *generator)
{
    uint32_t sale = any_sale(generator);
    for (int tries = 0; tries < 4; tries++) {
        int index = model_find_sale(generator->model, sale);
        if (index != MODEL_NONE && generator->model->sales.items[index].state == sale_state_OPEN)
            break;
        sale = any_sale(generator);
    }
    return sale;
}

static struct id any_customer(struct generator *generator)
{
    return (struct id){.low = 1 + below(generator, generator->profile->customers)};
}

static const struct model_order *any_known_order(struct generator *generator)
{
    uint64_t count = (uint64_t)generator->model->orders.count;
    if (count == 0)
        return NULL;
    if (chance(generator, 6)) /* an order that gets many commands */
        return &generator->model->orders.items[0];
    uint64_t span = chance(generator, 70) && count > RECENT ? RECENT : count;
    return &generator->model->orders.items[count - 1 - below(generator, span)];
}

static struct id any_order(struct generator *generator)
{
    const struct model_order *order = any_known_order(generator);
    if (order == NULL || chance(generator, 3))
        return (struct id){.low = 1 + below(generator, 100)};
    return order->order;
}

static void make_sku_put(struct generator *generator)
{
    static const int64_t prices[] = {1, 7, 199, 1999, 100000, 0, PRICE_MAX};
    struct sku_put_body *body = body_start(generator, sizeof *body);
    if (chance(generator, 80))
        body->key = fresh_id(generator);
    body->sku = any_sku(generator);
    if ((uint32_t)generator->model->skus.count < generator->profile->skus)
        body->sku = (uint32_t)generator->model->skus.count + 1;
    body->price = prices[below(generator, chance(generator, 90) ? 5 : 7)];
    if (generator->profile->is_wealthy && chance(generator, 80))
        body->price = PRICE_MAX;
    body->currency = chance(generator, 92) ? EURO : DOLLAR;
    if (chance(generator, 70))
        snprintf(body->name.bytes, sizeof body->name, "sku-%d",
                 (int)(chance(generator, 90) ? body->sku : any_sku(generator)));
    else if (chance(generator, 10))
        memset(body->name.bytes, 'x', sizeof body->name);
}

static void make_stock_adjust(struct generator *generator)
{
    struct stock_adjust_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sku = any_sku(generator);
    body->warehouse = any_warehouse(generator);
    body->delta = (int64_t)small(generator, generator->profile->stock_max);
    if (chance(generator, 25))
        body->delta = -body->delta;
    if (chance(generator, 2))
        body->delta = QUANTITY_MAX - (int64_t)below(generator, 50);
}

static void make_stock_set(struct generator *generator)
{
    struct stock_set_body *body = body_start(generator, sizeof *body);
    if (chance(generator, 60))
        body->key = fresh_id(generator);
    body->sku = any_sku(generator);
    body->warehouse = any_warehouse(generator);
    body->on_hand = (int64_t)below(generator, 2 * generator->profile->stock_max);
    int stock = model_find_stock(generator->model, body->sku, body->warehouse);
    if (stock != MODEL_NONE && chance(generator, 90))
        body->expected = generator->model->stocks.items[stock].on_hand;
    if (chance(generator, 10))
        body->on_hand = body->expected;
    if (chance(generator, 40))
        body->flags = stock_flags_ALLOW_DEFICIT;
}

static void make_stock_get(struct generator *generator)
{
    struct stock_get_body *body = body_start(generator, sizeof *body);
    if (chance(generator, 30))
        snprintf(body->name.bytes, sizeof body->name, "sku-%d", (int)any_sku(generator));
    body->item_count = (uint16_t)(chance(generator, 90) ? below(generator, 5)
                                                        : below(generator, STOCK_ITEMS_MAX + 1));
    for (int i = 0; i < body->item_count; i++) {
        struct item_body *item = body_row(generator, sizeof *item);
        item->sku = 1 + below(generator, generator->profile->skus);
        item->warehouse = chance(generator, 40) ? 0 : any_warehouse(generator);
    }
}

static void make_sale_put(struct generator *generator)
{
    static const uint32_t rates[][2] = {{1, 1},          {3, 7},          {7, 3},
                                        {100, 1},        {1, 100},        {0, 0},
                                        {UINT32_MAX, 1}, {1, UINT32_MAX}, {999983, 999979}};
    static const uint32_t shares[] = {0, 1, 3333, 5000, 10000, 10000};
    uint32_t hold_max = generator->profile->hold_max;
    struct sale_put_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sale = any_sale(generator);
    if (chance(generator, 15))
        body->opens = generator->now + below(generator, 4 * generator->profile->step_max);
    if (chance(generator, 15))
        body->closes = generator->now + below(generator, 100 * generator->profile->step_max);
    if (chance(generator, 80))
        body->hold = (uint32_t)small(generator, hold_max);
    if (chance(generator, 50))
        body->hold_max = body->hold + (uint32_t)below(generator, 2 * hold_max);
    size_t rate = below(generator, sizeof rates / sizeof rates[0]);
    body->rate_points = rates[rate][0];
    body->rate_money = rates[rate][1];
    body->points_share = shares[below(generator, sizeof shares / sizeof shares[0])];
    body->points_max = chance(generator, 30) ? (int64_t)small(generator, 3000) : 0;
    body->customer_sku_max = chance(generator, 25) ? (uint32_t)small(generator, 12) : 0;
    body->customer_sale_max = chance(generator, 25) ? (uint32_t)small(generator, 30) : 0;
    body->flags = chance(generator, 50) ? sale_flags_FAIL_AT_ONCE : 0;
    uint32_t pairs = generator->profile->skus * generator->profile->warehouses;
    uint32_t pair = (uint32_t)below(generator, pairs);
    uint32_t pools_max = pairs / 2 < SALE_POOLS_MAX ? pairs / 2 : SALE_POOLS_MAX;
    body->pool_count = chance(generator, 60) ? (uint16_t)below(generator, pools_max + 1) : 0;
    for (int i = 0; i < body->pool_count; i++) {
        struct pool_body *pool = body_row(generator, sizeof *pool);
        if (i == 0 || !chance(generator, 2))
            pair = (pair + 1) % pairs;
        pool->sku = 1 + pair % generator->profile->skus;
        pool->warehouse = 1 + pair / generator->profile->skus;
        int stock = model_find_stock(generator->model, pool->sku, pool->warehouse);
        int known = model_find_pool(generator->model, body->sale, pool->sku, pool->warehouse);
        int64_t bound = stock == MODEL_NONE ? 0 : generator->model->stocks.items[stock].available;
        if (known != MODEL_NONE)
            bound += generator->model->pools.items[known].size;
        pool->quantity = bound > 0 ? (uint32_t)below(generator, (uint64_t)bound + 1) : 0;
        if (chance(generator, 3))
            pool->quantity += 5;
    }
}

static void make_sale_change(struct generator *generator)
{
    struct sale_change_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sale = any_sale(generator);
}

static void make_points_credit(struct generator *generator)
{
    struct points_credit_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->customer = any_customer(generator);
    body->points = (int64_t)small(generator, 3000);
    if (generator->profile->has_big_points && chance(generator, 15))
        body->points = (int64_t)small(generator, POINTS_MAX);
    if (generator->profile->is_wealthy && chance(generator, 30))
        body->points = POINTS_MAX - (int64_t)below(generator, 3);
    if (chance(generator, 70))
        body->expires = generator->now + 1 + small(generator, 20 * generator->profile->step_max);
    else if (chance(generator, 50))
        body->expires = generator->now + below(generator, 3 * POINTS_GRACE_US);
    if (generator->model->lots.count > 0 && chance(generator, 15)) {
        uint64_t lot = below(generator, (uint64_t)generator->model->lots.count);
        body->expires = generator->model->lots.items[lot].expires;
    }
}

static void make_points_balance(struct generator *generator)
{
    struct points_balance_body *body = body_start(generator, sizeof *body);
    body->customer = any_customer(generator);
}

static void make_line(struct generator *generator, uint8_t allocation, uint32_t warehouse)
{
    struct line_body *line = body_row(generator, sizeof *line);
    line->sku = 1 + below(generator, generator->profile->skus);
    line->quantity =
        (uint32_t)small(generator, chance(generator, 90) ? generator->profile->quantity_max : 60);
    if (allocation == allocation_SINGLE)
        line->warehouse = chance(generator, 30) ? warehouse : 0;
    else if (allocation == allocation_EXPLICIT || chance(generator, 20))
        line->warehouse = any_warehouse(generator);
    int sku = model_find_sku(generator->model, line->sku);
    if (sku != MODEL_NONE)
        line->price = generator->model->skus.items[sku].price;
}

static void make_order_place(struct generator *generator)
{
    struct order_place_body *body = body_start(generator, sizeof *body);
    body->order = chance(generator, 98) ? fresh_id(generator) : any_order(generator);
    body->customer = any_customer(generator);
    if (chance(generator, generator->profile->has_big_points ? 80 : 40))
        body->points = (int64_t)small(generator, chance(generator, 90) ? 2500 : POINTS_MAX);
    if (generator->profile->is_wealthy && chance(generator, 40))
        body->points = POINTS_MAX;
    unsigned saleless = generator->profile->is_wealthy ? 75 : 25;
    body->sale = chance(generator, saleless) ? 0 : any_open_sale(generator);
    if (chance(generator, 60))
        body->hold = (uint32_t)small(generator, generator->profile->hold_max);
    body->flags = (uint16_t)(below(generator, 8) & below(generator, 8));
    if (chance(generator, 10))
        body->currency = chance(generator, 80) ? EURO : DOLLAR;
    body->allocation = (uint8_t)below(generator, 3);
    uint32_t lines = 1;
    if (chance(generator, generator->profile->lines_many))
        lines = 1 + (uint32_t)below(generator, generator->profile->lines_max);
    else if (chance(generator, 30))
        lines = 2 + (uint32_t)below(generator, 3);
    if (chance(generator, 1))
        return; /* without lines */
    uint32_t warehouse = any_warehouse(generator);
    body->line_count = (uint16_t)lines;
    for (uint32_t i = 0; i < lines; i++)
        make_line(generator, body->allocation, warehouse);
    struct line_body *line = (struct line_body *)(body + 1) + below(generator, lines);
    if (chance(generator, 3))
        line->price++;
    else if (chance(generator, 3))
        line->sku = any_sku(generator) + 1;
}

static void make_payment_event(struct generator *generator)
{
    struct payment_event_body *body = body_start(generator, sizeof *body);
    const struct model_order *order = any_known_order(generator);
    body->event = fresh_id(generator);
    body->order = order == NULL ? any_order(generator) : order->order;
    body->amount = order == NULL ? 1 : order->money_due;
    if (chance(generator, 12))
        body->amount += (int64_t)below(generator, 3) - 1;
    else if (chance(generator, 5))
        body->amount = (int64_t)below(generator, INT64_MAX);
    if (body->amount < 0)
        body->amount = 0;
    body->provider = 1 + (uint32_t)below(generator, 2);
    body->status = chance(generator, 75) ? payment_status_SUCCESS : payment_status_FAILURE;
    body->currency = order == NULL || chance(generator, 8) ? DOLLAR : order->currency;
}

static void make_order_change(struct generator *generator)
{
    struct order_change_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->order = any_order(generator);
}

static void make_hold_extend(struct generator *generator)
{
    struct hold_extend_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->order = any_order(generator);
    body->hold = (uint32_t)small(generator, 2 * generator->profile->hold_max);
}

static void make_hold_expire(struct generator *generator)
{
    struct hold_expire_body *body = body_start(generator, sizeof *body);
    body->holds = HOLDS_PER_EXPIRE_MAX;
    if (chance(generator, 50) && !generator->profile->is_wealthy)
        body->holds = 1 + (uint32_t)below(generator, 4);
}

/* So short that orders are forgotten, at times by their number. */
static void make_retention_put(struct generator *generator)
{
    struct retention_put_body *body = body_start(generator, sizeof *body);
    if (chance(generator, 70))
        body->orders = 1 + small(generator, 20 * generator->profile->step_max);
    if (chance(generator, 30))
        body->orders_max = 1 + below(generator, 12);
    if (chance(generator, 30))
        body->ledger = 1 + small(generator, 20 * generator->profile->step_max);
    if (chance(generator, 30))
        body->keys = KEY_RETENTION_US + below(generator, 3600 * US_PER_SECOND);
}

static void make_memory_forget(struct generator *generator)
{
    struct memory_forget_body *body = body_start(generator, sizeof *body);
    body->records = chance(generator, 30) ? FORGET_RECORDS_MAX : 1 + (uint32_t)below(generator, 6);
}

/* Mostly all of the time since the last change, as after a start. */
static void make_time_jump(struct generator *generator)
{
    struct time_jump_body *body = body_start(generator, sizeof *body);
    uint64_t passed =
        generator->now > generator->model->changed ? generator->now - generator->model->changed : 0;
    body->jump = chance(generator, 60) ? passed : below(generator, passed + 2);
}

/* Mostly the epoch after the newest; else one near it. */
static void make_epoch_begin(struct generator *generator)
{
    struct epoch_begin_body *body = body_start(generator, sizeof *body);
    int count = generator->model->epochs.count;
    uint64_t newest = count > 0 ? generator->model->epochs.items[count - 1].body.epoch : 1;
    body->epoch = newest + (chance(generator, 80) ? 1 : below(generator, 3));
    body->previous = random_u64(generator);
}

static void make_order_query(struct generator *generator)
{
    struct order_id_body *body = body_start(generator, sizeof *body);
    body->order = any_order(generator);
}

static void make_order_history(struct generator *generator)
{
    struct order_history_body *body = body_start(generator, sizeof *body);
    const struct model_order *order = any_known_order(generator);
    body->order = order == NULL ? any_order(generator) : order->order;
    if (order != NULL && chance(generator, 50))
        body->cursor = below(generator, order->version + 3ULL);
}

static void make_stats(struct generator *generator)
{
    body_start(generator, sizeof(struct empty_body));
}

static void (*const makers[MESSAGE_NUMBER_MAX + 1])(struct generator *generator) = {
    [MESSAGE_sku_put] = make_sku_put,
    [MESSAGE_stock_adjust] = make_stock_adjust,
    [MESSAGE_stock_set] = make_stock_set,
    [MESSAGE_stock_get] = make_stock_get,
    [MESSAGE_sale_put] = make_sale_put,
    [MESSAGE_sale_open] = make_sale_change,
    [MESSAGE_sale_pause] = make_sale_change,
    [MESSAGE_sale_close] = make_sale_change,
    [MESSAGE_points_credit] = make_points_credit,
    [MESSAGE_points_balance] = make_points_balance,
    [MESSAGE_order_place] = make_order_place,
    [MESSAGE_payment_event] = make_payment_event,
    [MESSAGE_order_cancel] = make_order_change,
    [MESSAGE_hold_extend] = make_hold_extend,
    [MESSAGE_hold_release] = make_order_change,
    [MESSAGE_hold_expire] = make_hold_expire,
    [MESSAGE_order_get] = make_order_query,
    [MESSAGE_order_history] = make_order_history,
    [MESSAGE_stats] = make_stats,
    [MESSAGE_time_jump] = make_time_jump,
    [MESSAGE_epoch_begin] = make_epoch_begin,
    [MESSAGE_retention_put] = make_retention_put,
    [MESSAGE_memory_forget] = make_memory_forget,
};

static uint64_t hostile_value(struct generator *generator)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      999,
                                      1000,
                                      10000,
                                      10001,
                                      HOLD_MAX_S,
                                      HOLD_MAX_S + 1,
                                      INT32_MAX,
                                      1u << 31,
                                      UINT32_MAX,
                                      PRICE_MAX,
                                      PRICE_MAX + 1,
                                      QUANTITY_MAX,
                                      1 + QUANTITY_MAX,
                                      1ULL << 62,
                                      INT64_MAX,
                                      1ULL << 63,
                                      UINT64_MAX};
    if (chance(generator, 15))
        return random_u64(generator);
    return values[below(generator, sizeof values / sizeof values[0])];
}

/* Spoils one field; if the request would not be well-formed any more, it is left as it was. */
static void twist(struct generator *generator, uint16_t number)
{
    const struct message_info *message = message_info(number);
    const struct shape_info *shape = message->request;
    uint8_t *at = (uint8_t *)generator->body;
    uint16_t rows = shape_rows(shape, generator->body);
    if (rows > 0 && chance(generator, 50)) {
        at += shape->size_bytes + below(generator, rows) * message->request_row->size_bytes;
        shape = message->request_row;
    }
    const struct field_info *field = &shape->fields[below(generator, shape->field_count)];
    const struct field_type_info *type = field_type_info(field->type);
    uint8_t before[sizeof(struct text)];
    const char *reason;
    memcpy(before, at + field->offset, type->size_bytes);
    uint64_t words[4] = {hostile_value(generator)};
    if (type->coding == CODING_IDENTITY && chance(generator, 50))
        words[1] = hostile_value(generator);
    TILL_ASSERT(type->size_bytes <= sizeof words);
    memcpy(at + field->offset, words, type->size_bytes);
    if (!message_check_request(message, generator->body, generator->size, &reason))
        memcpy(at + field->offset, before, type->size_bytes);
}

static uint16_t any_message(struct generator *generator)
{
    const uint8_t *weights = generator->profile->weights;
    uint64_t sum = 0;
    for (int i = 0; i <= MESSAGE_NUMBER_MAX; i++)
        sum += weights[i];
    uint64_t at = below(generator, sum);
    uint16_t number = 0;
    while (at >= weights[number])
        at -= weights[number++];
    return number;
}

/* Most pairs of SKU and warehouse have stock from the opening on. */
static void stock_next_pair(struct generator *generator)
{
    struct stock_adjust_body *body = (struct stock_adjust_body *)generator->body;
    uint32_t pair = (uint32_t)generator->sequence->count - generator->profile->skus;
    if (chance(generator, 20))
        return;
    body->sku = 1 + pair % generator->profile->skus;
    body->warehouse = 1 + pair / generator->profile->skus;
    if (body->delta < 0)
        body->delta = -body->delta;
}

/* The shop that a sequence opens with, message by message; 0 when it is complete. */
static uint16_t opening_message(const struct generator *generator, int index)
{
    const struct profile *profile = generator->profile;
    int sales = (int)profile->sales;
    if (index < (int)profile->skus)
        return MESSAGE_sku_put;
    index -= (int)profile->skus;
    if (index < (int)(profile->skus * profile->warehouses))
        return MESSAGE_stock_adjust;
    index -= (int)(profile->skus * profile->warehouses);
    if (index < 6 * sales)
        return index < 3 * sales ? MESSAGE_sale_put : MESSAGE_sale_open;
    return index < 6 * sales + 6 ? MESSAGE_points_credit : 0;
}

/* Decides the request with the model, so that later requests fit the state, and adds it. */
static void add(struct generator *generator, uint16_t number)
{
    struct model_reply reply;
    struct model_request request = {generator->body, generator->size, number};
    const char *reason;
    TILL_ASSERT(
        message_check_request(message_info(number), generator->body, generator->size, &reason));
    model_decide(generator->model, generator->now, &request, &reply);
    sequence_add(generator->sequence, generator->now, number, generator->body, generator->size);
}

static void add_any(struct generator *generator)
{
    struct sequence *sequence = generator->sequence;
    uint16_t number = opening_message(generator, sequence->count);
    bool is_opening = number != 0;
    if (!is_opening)
        number = any_message(generator);
    if (!is_opening && chance(generator, 7)) {
        uint64_t span =
            chance(generator, 80) && sequence->count > RECENT ? RECENT : (uint64_t)sequence->count;
        int again = sequence->count - 1 - (int)below(generator, span);
        struct model_request request = sequence_request(sequence, again);
        memcpy(generator->body, request.body, request.size);
        generator->size = request.size;
        number = request.number;
        if (chance(generator, 25))
            twist(generator, number);
    } else {
        makers[number](generator);
        if (is_opening && number == MESSAGE_stock_adjust)
            stock_next_pair(generator);
        while (!is_opening && below(generator, 1000) < generator->profile->hostile)
            twist(generator, number);
    }
    add(generator, number);
}

/* A moment at which something happens, or just before or after it. */
static uint64_t boundary(struct generator *generator)
{
    const struct model *model = generator->model;
    uint64_t time = generator->now;
    uint64_t pick = below(generator, 12);
    if (pick < 5 && model->deadlines.count > 0)
        time = model->deadlines.items[below(generator, (uint64_t)model->deadlines.count)].time;
    else if (pick < 8 && model->lots.count > 0)
        time = model->lots.items[below(generator, (uint64_t)model->lots.count)].expires;
    else if (pick < 10 && model->sales.count > 0) {
        const struct model_sale *sale =
            &model->sales.items[below(generator, (uint64_t)model->sales.count)];
        time = chance(generator, 50) ? sale->terms.opens : sale->terms.closes;
    } else if (pick == 10 && model->keys.count > 0 && chance(generator, 10))
        time = model->keys.items[below(generator, (uint64_t)model->keys.count)].kept +
               model->jumped + KEY_RETENTION_US;
    time += below(generator, 3) - 1;
    bool is_near = time >= generator->now && time - generator->now < 2 * POINTS_GRACE_MAX_US;
    return is_near ? time : generator->now;
}

static void pass_time(struct generator *generator)
{
    uint64_t step_max = generator->profile->step_max;
    if (below(generator, 1000) < generator->profile->leaps)
        generator->now += below(generator, chance(generator, 70) ? 3600 * US_PER_SECOND
                                                                 : 30 * 3600 * US_PER_SECOND) *
                          (generator->profile->is_wealthy ? 4 : 1);
    else if (chance(generator, 15))
        generator->now = boundary(generator);
    else if (chance(generator, 60))
        generator->now += small(generator, step_max);
    else if (chance(generator, 2))
        generator->now -= below(generator, 1000); /* a clock that steps back */
}

void sequence_generate(struct sequence *sequence, const struct profile *profile, uint64_t seed,
                       int count)
{
    struct generator generator = {
        .profile = profile,
        .model = model_create(),
        .sequence = sequence,
        .random = seed,
        .now = TIME_START_US,
    };
    memset(sequence, 0, sizeof *sequence);
    sequence->seed = seed;
    while (sequence->count < count) {
        uint64_t commands = chance(&generator, 50) ? 1 + below(&generator, BATCH_COMMANDS_MAX)
                                                   : 1 + below(&generator, 4);
        pass_time(&generator);
        if (generator.now > generator.model->changed + 600 * US_PER_SECOND &&
            chance(&generator, 30)) {
            make_time_jump(&generator);
            add(&generator, MESSAGE_time_jump);
            sequence->items[sequence->count - 1].ends_batch = false;
            commands = commands == 1 ? 1 : commands - 1;
        }
        /* Holds of days and leaps of days: no deadline may be beyond the span of the ring. */
        if (model_holds_due(generator.model, generator.now) > 0 &&
            (profile->is_wealthy || chance(&generator, 80))) {
            make_hold_expire(&generator);
            add(&generator, MESSAGE_hold_expire);
            sequence->items[sequence->count - 1].ends_batch = false;
            commands = commands == 1 ? 1 : commands - 1;
        }
        if (model_next_forget(generator.model) <= generator.now && chance(&generator, 40)) {
            make_memory_forget(&generator);
            add(&generator, MESSAGE_memory_forget);
            sequence->items[sequence->count - 1].ends_batch = false;
            commands = commands == 1 ? 1 : commands - 1;
        }
        for (uint64_t i = 0; i < commands; i++) {
            add_any(&generator);
            sequence->items[sequence->count - 1].ends_batch = i + 1 == commands;
        }
    }
    model_destroy(generator.model);
}
