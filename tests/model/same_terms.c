/* Orders of the same terms, with changes between them.
 *
 * What may be remembered of an order is what it was judged by, so that is what changes here: the
 * SKU's price, currency and name; the warehouses that it is in, how many units are there, and
 * whether these take orders; the zone's warehouses; the sale's state, window, hold, limits and
 * pools; the time; and how many units other orders, late payments, and orders that end, take and
 * give back. In a calm part of a sequence only what orders themselves change does, so that whole
 * batches are decided on what is known. Written from docs/rules.md: it knows nothing of how the
 * engine remembers. */
#include "tests/model/same_terms.h"

#include <string.h>

#include "base/assert.h"

enum {
    TIME_START_US = 1000000000,
    SKUS_MAX = 3,
    WAREHOUSES = 4,
    SALES = 2, /* that are not closed, at a time */
    KINDS_MAX = 6,
    RUN_MAX = 70,
    RECENT = 24,
    EURO = 978,
    DOLLAR = 840,
};

struct kind {
    struct order_place_body place;
    struct line_body line;
};

struct generator {
    struct model *model;
    struct sequence *sequence;
    uint64_t random;
    uint64_t now;
    uint64_t ids; /* fresh ones given out */
    uint64_t skus;
    uint64_t customers;
    uint64_t stock_max; /* units that come at a time */
    uint64_t edit_every;
    uint64_t run; /* orders of this kind still to come */
    uint64_t kind;
    uint64_t kind_count;
    struct kind kinds[KINDS_MAX];
    bool is_calm;
    uint32_t size;
    uint64_t body[FRAME_SIZE_MAX / 8];
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
    return random_u64(generator) % bound;
}

static bool one_in(struct generator *generator, uint64_t n)
{
    return below(generator, n) == 0;
}

static struct id fresh_id(struct generator *generator)
{
    struct id id = {.low = ++generator->ids};
    return one_in(generator, 5) ? (struct id){.high = id.low} : id;
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

/* Mostly what the orders of this run name. */
static uint64_t any_sku(struct generator *generator)
{
    if (one_in(generator, 2))
        return generator->kinds[generator->kind].line.sku;
    return 1 + below(generator, generator->skus + one_in(generator, 40));
}

static uint32_t any_warehouse(struct generator *generator)
{
    uint32_t named = generator->kinds[generator->kind].line.warehouse;
    if (named != 0 && one_in(generator, 2))
        return named;
    return 1 + (uint32_t)below(generator, WAREHOUSES);
}

static bool sale_has_state(const struct generator *generator, uint32_t sale, uint8_t state)
{
    int index = model_find_sale(generator->model, sale);
    return index != MODEL_NONE && generator->model->sales.items[index].state == state;
}

/* Mostly that of the orders of this run. New numbers are used as sales close. */
static uint32_t any_sale(struct generator *generator)
{
    uint32_t named = generator->kinds[generator->kind].place.sale;
    if (named != 0 && one_in(generator, 2))
        return named;
    uint32_t closed = 0;
    for (int i = 0; i < generator->model->sales.count; i++)
        closed += generator->model->sales.items[i].state == sale_state_CLOSED;
    return 1 + closed + (uint32_t)below(generator, SALES);
}

static struct id any_customer(struct generator *generator)
{
    return (struct id){.low = 1 + below(generator, generator->customers), .high = 9};
}

static const struct model_order *known_order(struct generator *generator)
{
    uint64_t count = (uint64_t)generator->model->orders.count;
    if (count == 0)
        return NULL;
    uint64_t span = count > RECENT && !one_in(generator, 3) ? RECENT : count;
    return &generator->model->orders.items[count - 1 - below(generator, span)];
}

static struct id any_order(struct generator *generator)
{
    const struct model_order *order = known_order(generator);
    return order == NULL ? fresh_id(generator) : order->order;
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
    generator->sequence->items[generator->sequence->count - 1].ends_batch = false;
}

/* Mostly one that is open. */
static uint32_t sale_draw(struct generator *generator)
{
    uint32_t sale = any_sale(generator);
    for (int tries = 0; tries < 4 && !sale_has_state(generator, sale, sale_state_OPEN); tries++)
        sale = any_sale(generator);
    return sale;
}

/* The price that the shop asks now; mostly. */
static void price_draw(struct generator *generator, struct line_body *line)
{
    int sku = model_find_sku(generator->model, line->sku);
    line->price = sku == MODEL_NONE ? 0 : generator->model->skus.items[sku].price;
    if (one_in(generator, 12))
        line->price++;
}

static void line_draw(struct generator *generator, struct line_body *line)
{
    line->sku = 1 + below(generator, generator->skus);
    line->quantity = 1 + (uint32_t)below(generator, 3);
    line->warehouse = one_in(generator, 3) ? any_warehouse(generator) : 0;
    price_draw(generator, line);
}

/* Terms that orders have from now on. */
static void kind_draw(struct generator *generator, struct kind *kind)
{
    memset(kind, 0, sizeof *kind);
    kind->place.line_count = 1;
    kind->place.sale = one_in(generator, 3) ? 0 : sale_draw(generator);
    if (one_in(generator, 2))
        kind->place.hold = 1 + (uint32_t)below(generator, 30);
    if (one_in(generator, 5))
        kind->place.flags =
            one_in(generator, 2) ? place_flags_PARTIAL : (uint16_t)below(generator, 8);
    if (one_in(generator, 8))
        kind->place.points = 1 + (int64_t)below(generator, 300);
    if (one_in(generator, 4))
        kind->place.currency = one_in(generator, 6) ? DOLLAR : EURO;
    line_draw(generator, &kind->line);
    if (one_in(generator, 6))
        kind->place.allocation = allocation_RANK;
    else if (one_in(generator, 6))
        kind->place.allocation = allocation_EXPLICIT;
    else if (one_in(generator, 6))
        kind->place.allocation = allocation_CHEAPEST;
    if (kind->place.allocation == allocation_CHEAPEST)
        kind->place.zone = 1;
    if (kind->place.allocation == allocation_EXPLICIT && !one_in(generator, 10))
        kind->line.warehouse = any_warehouse(generator);
}

static void order_add(struct generator *generator, const struct kind *kind)
{
    struct order_place_body *body = body_start(generator, sizeof *body);
    *body = kind->place;
    body->order = one_in(generator, 25) ? any_order(generator) : fresh_id(generator);
    body->customer = any_customer(generator);
    if (one_in(generator, 200))
        memset(&body->order, 0, sizeof body->order);
    if (one_in(generator, 200))
        memset(&body->customer, 0, sizeof body->customer);
    *(struct line_body *)body_row(generator, sizeof kind->line) = kind->line;
    if (one_in(generator, 30)) {
        body->line_count = 2;
        line_draw(generator, body_row(generator, sizeof kind->line));
    }
    add(generator, MESSAGE_order_place);
}

/* An order that came before, with the customer that it had then: a repeated request. */
static void repeat_add(struct generator *generator)
{
    const struct sequence *sequence = generator->sequence;
    int index = sequence->count - 1 - (int)below(generator, (uint64_t)sequence->count);
    struct model_request request = sequence_request(sequence, index);
    memcpy(generator->body, request.body, request.size);
    generator->size = request.size;
    add(generator, request.number);
}

static void sku_add(struct generator *generator, uint64_t sku)
{
    static const int64_t prices[] = {100, 100, 100, 120, 0, PRICE_MAX};
    struct sku_put_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sku = sku;
    body->price = prices[below(generator, one_in(generator, 8) ? 6 : 4)];
    body->currency = one_in(generator, 6) ? DOLLAR : EURO;
    if (one_in(generator, 2))
        body->name.bytes[0] = (char)('a' + below(generator, 4));
    add(generator, MESSAGE_sku_put);
}

static void sku_edit_add(struct generator *generator)
{
    sku_add(generator, any_sku(generator));
}

static void stock_add(struct generator *generator, uint64_t sku, uint32_t warehouse, int64_t delta)
{
    struct stock_adjust_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sku = sku;
    body->warehouse = warehouse;
    body->delta = delta;
    add(generator, MESSAGE_stock_adjust);
}

/* Often the first stock of a warehouse of a lower number, which then comes before the others. */
static void stock_more_add(struct generator *generator)
{
    int64_t delta = 1 + (int64_t)below(generator, generator->stock_max);
    stock_add(generator, any_sku(generator), any_warehouse(generator), delta);
}

static void stock_less_add(struct generator *generator)
{
    int64_t delta = 1 + (int64_t)below(generator, generator->stock_max);
    stock_add(generator, any_sku(generator), any_warehouse(generator), -delta);
}

/* Down to any number, also below what is promised. */
static void stock_set_add(struct generator *generator)
{
    struct stock_set_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sku = any_sku(generator);
    body->warehouse = any_warehouse(generator);
    body->on_hand = (int64_t)below(generator, generator->stock_max);
    body->flags = one_in(generator, 4) ? 0 : stock_flags_ALLOW_DEFICIT;
    int stock = model_find_stock(generator->model, body->sku, body->warehouse);
    if (stock != MODEL_NONE)
        body->expected = generator->model->stocks.items[stock].on_hand;
    add(generator, MESSAGE_stock_set);
}

/* From one warehouse to another, which may be the first that it has anything of the SKU. */
static void transfer_add(struct generator *generator)
{
    struct stock_transfer_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sku = any_sku(generator);
    body->from = any_warehouse(generator);
    body->to = any_warehouse(generator);
    body->quantity = 1 + (int64_t)below(generator, generator->stock_max);
    add(generator, MESSAGE_stock_transfer);
}

/* Most are open: one that is shut is opened before another one is shut. */
static void warehouse_add(struct generator *generator)
{
    struct warehouse_put_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->warehouse = any_warehouse(generator);
    body->state = one_in(generator, 2) ? warehouse_state_DRAINING : warehouse_state_OFFLINE;
    for (uint32_t warehouse = 1; warehouse <= WAREHOUSES; warehouse++) {
        if (!model_is_shut(generator->model, warehouse))
            continue;
        body->warehouse = warehouse;
        body->state = warehouse_state_ONLINE;
    }
    add(generator, MESSAGE_warehouse_put);
}

static void zone_add(struct generator *generator)
{
    struct zone_put_body *body = body_start(generator, sizeof *body);
    uint32_t first = any_warehouse(generator);
    body->key = fresh_id(generator);
    body->zone = 1;
    body->warehouse_count = (uint16_t)below(generator, WAREHOUSES);
    for (uint32_t i = 0; i < body->warehouse_count; i++) {
        struct zone_warehouse_body *row = body_row(generator, sizeof *row);
        row->warehouse = 1 + (first + i) % WAREHOUSES;
        row->cost = (int64_t)below(generator, 3);
    }
    add(generator, MESSAGE_zone_put);
}

static void pools_add(struct generator *generator, struct sale_put_body *body)
{
    uint64_t pair = below(generator, generator->skus * WAREHOUSES);
    body->pool_count = one_in(generator, 2) ? 0 : (uint16_t)below(generator, 3);
    for (unsigned i = 0; i < body->pool_count; i++, pair++) {
        struct pool_body *pool = body_row(generator, sizeof *pool);
        pool->sku = 1 + pair % generator->skus;
        pool->warehouse = 1 + (uint32_t)(pair / generator->skus % WAREHOUSES);
        pool->quantity = (uint32_t)below(generator, generator->stock_max);
        int stock = model_find_stock(generator->model, pool->sku, pool->warehouse);
        int64_t available = stock == MODEL_NONE ? 0 : generator->model->stocks.items[stock].on_hand;
        if (pool->quantity > available && !one_in(generator, 4))
            pool->quantity = (uint32_t)available / 2;
    }
}

static void sale_add(struct generator *generator, uint32_t sale)
{
    struct sale_put_body *body = body_start(generator, sizeof *body);
    uint64_t soon = generator->now + below(generator, 3 * US_PER_SECOND);
    body->key = fresh_id(generator);
    body->sale = sale;
    body->opens = one_in(generator, 4) ? soon : 0;
    body->closes = one_in(generator, 3) ? soon + 1 + below(generator, 3 * US_PER_SECOND) : 0;
    body->hold = one_in(generator, 2) ? 0 : 1 + (uint32_t)below(generator, 20);
    body->hold_max = one_in(generator, 2) ? 0 : 20 + (uint32_t)below(generator, 20);
    body->points_share = one_in(generator, 3) ? 5000 : 10000;
    body->rate_points = body->rate_money = one_in(generator, 4) ? 0 : 1;
    body->customer_sku_max = one_in(generator, 8) ? 1 + (uint32_t)below(generator, 4) : 0;
    body->customer_sale_max = one_in(generator, 8) ? 1 + (uint32_t)below(generator, 6) : 0;
    body->flags = one_in(generator, 2) ? sale_flags_FAIL_AT_ONCE : 0;
    pools_add(generator, body);
    add(generator, MESSAGE_sale_put);
}

static void sale_change_add(struct generator *generator, uint16_t number, uint32_t sale)
{
    struct sale_change_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->sale = sale;
    add(generator, number);
}

static void sale_edit_add(struct generator *generator)
{
    sale_add(generator, any_sale(generator));
}

/* Of a sale that was never heard of, its terms first. */
static void sale_open_add(struct generator *generator)
{
    uint32_t sale = any_sale(generator);
    if (model_find_sale(generator->model, sale) == MODEL_NONE)
        sale_add(generator, sale);
    sale_change_add(generator, MESSAGE_sale_open, sale);
}

static void sale_stop_add(struct generator *generator)
{
    bool is_end = one_in(generator, 2);
    sale_change_add(generator, is_end ? MESSAGE_sale_close : MESSAGE_sale_pause,
                    sale_draw(generator));
}

static void order_change_add(struct generator *generator)
{
    struct order_change_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->order = any_order(generator);
    add(generator, one_in(generator, 2) ? MESSAGE_order_cancel : MESSAGE_hold_release);
}

/* Often for an order that has ended: it takes its units again. */
static void payment_add(struct generator *generator)
{
    struct payment_event_body *body = body_start(generator, sizeof *body);
    const struct model_order *order = known_order(generator);
    if (order == NULL)
        return;
    body->event = fresh_id(generator);
    body->order = order->order;
    body->amount = order->money_due;
    body->provider = 1;
    body->status = one_in(generator, 4) ? payment_status_FAILURE : payment_status_SUCCESS;
    body->currency = order->currency;
    add(generator, MESSAGE_payment_event);
}

static void extend_add(struct generator *generator)
{
    struct hold_extend_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->order = any_order(generator);
    body->hold = 1 + (uint32_t)below(generator, 30);
    add(generator, MESSAGE_hold_extend);
}

static void credit_add(struct generator *generator)
{
    struct points_credit_body *body = body_start(generator, sizeof *body);
    body->key = fresh_id(generator);
    body->customer = any_customer(generator);
    body->points = 1 + (int64_t)below(generator, 1000);
    add(generator, MESSAGE_points_credit);
}

static void expire_add(struct generator *generator)
{
    struct hold_expire_body *body = body_start(generator, sizeof *body);
    body->holds = one_in(generator, 2) ? HOLDS_PER_EXPIRE_MAX : 1 + (uint32_t)below(generator, 9);
    add(generator, MESSAGE_hold_expire);
}

/* Something else than an order of the kinds; in a calm part, nothing that terms are judged by. */
static void other_add(struct generator *generator)
{
    static void (*const others[])(struct generator *) = {
        order_change_add, payment_add,    extend_add,    credit_add,    expire_add,
        repeat_add,       stock_less_add, sku_edit_add,  sku_edit_add,  stock_more_add,
        stock_more_add,   stock_set_add,  sale_edit_add, sale_edit_add, sale_open_add,
        sale_open_add,    sale_stop_add,  transfer_add,  warehouse_add, warehouse_add,
        zone_add,
    };
    enum { CALM = 7, OTHERS = sizeof others / sizeof others[0] };
    others[below(generator, generator->is_calm ? CALM : OTHERS)](generator);
}

static void run_begin(struct generator *generator)
{
    generator->run = 1 + below(generator, one_in(generator, 2) ? RUN_MAX : 6);
    generator->kind = below(generator, generator->kind_count);
    struct kind *kind = &generator->kinds[generator->kind];
    bool is_past = sale_has_state(generator, kind->place.sale, sale_state_CLOSED);
    if (one_in(generator, is_past ? 2 : 8))
        kind_draw(generator, kind);
    else if (one_in(generator, 3))
        price_draw(generator, &kind->line);
}

/* A moment at which a sale opens or closes, or a hold ends, or just before or after it. */
static uint64_t boundary(struct generator *generator)
{
    const struct model *model = generator->model;
    uint64_t time = generator->now;
    if (one_in(generator, 2) && model->deadlines.count > 0) {
        time = model->deadlines.items[below(generator, (uint64_t)model->deadlines.count)].time;
    } else if (model->sales.count > 0) {
        int index = (int)below(generator, (uint64_t)model->sales.count);
        const struct sale_put_body *terms = &model->sales.items[index].terms;
        time = one_in(generator, 2) ? terms->opens : terms->closes;
    }
    time += below(generator, 3) - 1;
    bool is_near = time > generator->now && time - generator->now < 60 * US_PER_SECOND;
    return is_near ? time : generator->now;
}

static void pass_time(struct generator *generator)
{
    if (one_in(generator, 4))
        generator->now = boundary(generator);
    else if (one_in(generator, 3))
        generator->now += below(generator, US_PER_SECOND);
    else if (one_in(generator, 40))
        generator->now += below(generator, 60 * US_PER_SECOND);
    if (one_in(generator, 12))
        generator->is_calm = !generator->is_calm;
}

static void batch_add(struct generator *generator)
{
    uint64_t commands =
        one_in(generator, 3) ? BATCH_COMMANDS_MAX : 1 + below(generator, BATCH_COMMANDS_MAX);
    int end = generator->sequence->count + (int)commands;
    if (model_holds_due(generator->model, generator->now) > 0 && !one_in(generator, 5))
        expire_add(generator);
    while (generator->sequence->count < end) {
        if (generator->run == 0)
            run_begin(generator);
        if (one_in(generator, generator->edit_every)) {
            other_add(generator);
        } else {
            order_add(generator, &generator->kinds[generator->kind]);
            generator->run--;
        }
    }
    generator->sequence->items[generator->sequence->count - 1].ends_batch = true;
}

/* The stock of the opening is in the warehouses of higher numbers, so that others come first. */
static void shop_open(struct generator *generator)
{
    for (uint64_t sku = 1; sku <= generator->skus; sku++) {
        sku_add(generator, sku);
        uint32_t warehouse = 1 + (uint32_t)(WAREHOUSES - 1 - below(generator, 3));
        stock_add(generator, sku, warehouse, (int64_t)generator->stock_max);
    }
    for (uint32_t sale = 1; sale <= SALES; sale++) {
        sale_add(generator, sale);
        sale_change_add(generator, MESSAGE_sale_open, sale);
    }
    for (uint64_t i = 0; i < generator->kind_count; i++)
        kind_draw(generator, &generator->kinds[i]);
    generator->sequence->items[generator->sequence->count - 1].ends_batch = true;
}

void sequence_of_same_terms(struct sequence *sequence, uint64_t seed, int count)
{
    static const uint64_t edit_every[] = {3, 8, 20, 60};
    static const uint64_t stock_max[] = {30, 300, 3000};
    struct generator generator = {
        .model = model_create(),
        .sequence = sequence,
        .random = seed,
        .now = TIME_START_US,
    };
    memset(sequence, 0, sizeof *sequence);
    sequence->seed = seed;
    generator.skus = 1 + below(&generator, SKUS_MAX);
    generator.kind_count = 2 + below(&generator, KINDS_MAX - 1);
    generator.customers = one_in(&generator, 2) ? 5 : 200;
    generator.stock_max = stock_max[below(&generator, 3)];
    generator.edit_every = edit_every[below(&generator, 4)];
    shop_open(&generator);
    while (sequence->count < count) {
        pass_time(&generator);
        batch_add(&generator);
    }
    model_destroy(generator.model);
}
