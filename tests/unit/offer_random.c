/* Offers change no decision: an engine that uses them, and decides in batches, against one whose
 * offers are void before each command, and which decides them one by one. Few terms come again and
 * again, and between them everything is changed that terms are judged by. */
#include "engine/state.h"

#include <string.h>

#include "engine/sum.h"
#include "tests/test.h"

enum {
    SKUS = 3,
    WAREHOUSES = 3,
    SALES = 2,
    TERMS_KINDS = 5,
    CUSTOMERS = 40,
    WORLDS = 60,
    BATCHES = 400,
    BATCHES_BETWEEN_CHECKS = 100,
    REPLY_ROOM = BATCH_COMMANDS_MAX * 512,
    EURO = 978,
    DOLLAR = 840,
};

union request {
    struct {
        struct order_place_body place;
        struct line_body lines[2];
    };
    struct sku_put_body sku_put;
    struct stock_adjust_body stock_adjust;
    struct {
        struct sale_put_body put;
        struct pool_body pool;
    } sale;
    struct sale_change_body sale_change;
    struct order_change_body order_change;
    struct payment_event_body payment;
    struct points_credit_body credit;
    struct hold_expire_body expire;
    uint64_t words[64];
};

struct decider {
    struct engine *engine;
    struct command commands[BATCH_COMMANDS_MAX];
    struct reply_sink sink;
    _Alignas(8) uint8_t replies[REPLY_ROOM];
};

struct world {
    struct decider quick;  /* with offers */
    struct decider judged; /* without */
    union request requests[BATCH_COMMANDS_MAX];
    uint32_t count;
    uint64_t now_us;
    uint64_t next_id; /* of orders, keys and events */
    bool is_calm;
    uint64_t on_known_terms;
    uint64_t refused_short;
    struct {
        struct order_place_body place;
        struct line_body line;
    } kinds[TERMS_KINDS];
};

static uint64_t below(uint64_t bound)
{
    return test_random_below(bound);
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

static struct engine *engine_made(uint32_t deadlines)
{
    char error[256];
    struct engine_options options = engine_options_default;
    options.orders = 8000;
    options.customers = CUSTOMERS + 10;
    options.deadlines = deadlines;
    options.pools = options.stocks = 64;
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    return engine;
}

static void add(struct world *world, uint16_t number, size_t size)
{
    struct command command = {
        .body = &world->requests[world->count], .size = (uint32_t)size, .number = number};
    world->quick.commands[world->count] = command;
    world->judged.commands[world->count] = command;
    world->count++;
}

static struct id new_id(struct world *world)
{
    return (struct id){.low = ++world->next_id, .high = 7};
}

static struct id old_id(const struct world *world)
{
    return (struct id){.low = 1 + below(world->next_id), .high = 7};
}

static union request *next(struct world *world)
{
    union request *request = &world->requests[world->count];
    memset(request, 0, sizeof *request);
    return request;
}

/* Terms that orders have from now on. */
static void draw_kind(struct world *world, unsigned kind)
{
    struct order_place_body place = {
        .points = one_in(8) ? 5 : 0,
        .sale = (uint32_t)below(SALES + 1),
        .hold = one_in(2) ? 0 : 1 + (uint32_t)below(20),
        .flags = (uint16_t)(one_in(4) ? 1 + below(7) : 0),
        .currency = one_in(2) ? 0 : EURO,
        .line_count = 1,
        .allocation = one_in(6) ? allocation_RANK : allocation_SINGLE,
    };
    struct line_body line = {
        .sku = 1 + below(SKUS),
        .quantity = 1 + (uint32_t)below(3),
        .warehouse = one_in(3) ? 1 + (uint32_t)below(WAREHOUSES) : 0,
        .price = one_in(8) ? 5 : 100,
    };
    world->kinds[kind].place = place;
    world->kinds[kind].line = line;
}

static void add_order(struct world *world, unsigned kind)
{
    union request *request = next(world);
    request->place = world->kinds[kind].place;
    request->lines[0] = world->kinds[kind].line;
    request->place.order = one_in(20) ? old_id(world) : new_id(world);
    request->place.customer = (struct id){.low = 1 + below(CUSTOMERS)};
    if (one_in(300))
        request->place.order = (struct id){.low = 0};
    if (one_in(300))
        request->place.customer = (struct id){.low = 0};
    bool has_two = one_in(30);
    if (has_two) {
        request->place.line_count = 2;
        request->lines[1] = request->lines[0];
        request->lines[1].sku = 1 + below(SKUS);
    }
    add(world, MESSAGE_order_place,
        sizeof request->place + (has_two ? 2 : 1) * sizeof request->lines[0]);
}

static void add_sku(struct world *world)
{
    union request *request = next(world);
    request->sku_put = (struct sku_put_body){.key = new_id(world),
                                             .sku = 1 + below(SKUS),
                                             .price = one_in(4) ? 120 : 100,
                                             .currency = one_in(8) ? DOLLAR : EURO};
    add(world, MESSAGE_sku_put, sizeof request->sku_put);
}

static void add_stock(struct world *world)
{
    union request *request = next(world);
    request->stock_adjust = (struct stock_adjust_body){.key = new_id(world),
                                                       .sku = 1 + below(SKUS),
                                                       .warehouse = 1 + (uint32_t)below(WAREHOUSES),
                                                       .delta = (int64_t)below(400) - 15};
    add(world, MESSAGE_stock_adjust, sizeof request->stock_adjust);
}

/* Of a stock that is there; it sells out. */
static void add_stock_taken(struct world *world)
{
    add_stock(world);
    world->requests[world->count - 1].stock_adjust.delta = -(int64_t)below(60);
}

static void add_sale(struct world *world)
{
    union request *request = next(world);
    uint64_t soon_us = world->now_us + below(4 * US_PER_SECOND);
    request->sale.put = (struct sale_put_body){
        .key = new_id(world),
        .opens = one_in(3) ? soon_us : 0,
        .closes = one_in(3) ? soon_us + 1 + below(4 * US_PER_SECOND) : 0,
        .sale = 1 + (uint32_t)below(SALES),
        .hold = one_in(2) ? 0 : 1 + (uint32_t)below(9),
        .hold_max = one_in(2) ? 0 : 9 + (uint32_t)below(9),
        .points_share = 10000,
        .rate_points = 1,
        .rate_money = 1,
        .customer_sku_max = one_in(6) ? 4 : 0,
        .pool_count = one_in(2),
    };
    if (request->sale.put.pool_count > 0)
        request->sale.pool = (struct pool_body){.sku = 1 + below(SKUS),
                                                .quantity = (uint32_t)below(30),
                                                .warehouse = 1 + (uint32_t)below(WAREHOUSES)};
    add(world, MESSAGE_sale_put,
        sizeof request->sale.put + request->sale.put.pool_count * sizeof request->sale.pool);
}

static void add_sale_change(struct world *world)
{
    static const uint16_t numbers[] = {MESSAGE_sale_open, MESSAGE_sale_open, MESSAGE_sale_open,
                                       MESSAGE_sale_pause, MESSAGE_sale_close};
    union request *request = next(world);
    uint16_t number = numbers[below(one_in(8) ? 5 : 4)];
    request->sale_change =
        (struct sale_change_body){.key = new_id(world), .sale = 1 + (uint32_t)below(SALES)};
    add(world, number, sizeof request->sale_change);
}

static void add_order_change(struct world *world)
{
    static const uint16_t numbers[] = {MESSAGE_order_cancel, MESSAGE_hold_release};
    union request *request = next(world);
    request->order_change =
        (struct order_change_body){.key = new_id(world), .order = old_id(world)};
    add(world, numbers[below(2)], sizeof request->order_change);
}

static void add_payment(struct world *world)
{
    union request *request = next(world);
    request->payment = (struct payment_event_body){.event = new_id(world),
                                                   .order = old_id(world),
                                                   .amount = (int64_t)(100 * (1 + below(3))),
                                                   .provider = 1,
                                                   .status = one_in(4) ? payment_status_FAILURE
                                                                       : payment_status_SUCCESS,
                                                   .currency = EURO};
    add(world, MESSAGE_payment_event, sizeof request->payment);
}

static void add_credit(struct world *world)
{
    union request *request = next(world);
    request->credit = (struct points_credit_body){.key = new_id(world),
                                                  .customer = {.low = 1 + below(CUSTOMERS + 20)},
                                                  .points = 1 + (int64_t)below(20)};
    add(world, MESSAGE_points_credit, sizeof request->credit);
}

static void add_expire(struct world *world)
{
    union request *request = next(world);
    request->expire = (struct hold_expire_body){.holds = 1 + (uint32_t)below(200)};
    add(world, MESSAGE_hold_expire, sizeof request->expire);
}

/* While it is calm, nothing voids the offers: what is left changes stock, customers and time. */
static void add_edit(struct world *world)
{
    static void (*const edits[])(struct world *) = {
        add_order_change, add_payment, add_payment, add_credit, add_expire, add_stock_taken,
        add_sku,          add_stock,   add_stock,   add_sale,   add_sale,   add_sale_change};
    edits[below(world->is_calm ? 6 : 12)](world);
}

/* Runs of orders of one kind, with something else between two runs, or not. */
static void draw_batch(struct world *world)
{
    uint32_t count = one_in(3) ? BATCH_COMMANDS_MAX : 1 + (uint32_t)below(BATCH_COMMANDS_MAX);
    world->count = 0;
    while (world->count < count) {
        unsigned kind = (unsigned)below(TERMS_KINDS);
        for (uint64_t run = 1 + below(20); run > 0 && world->count < count; run--)
            add_order(world, kind);
        if (world->count < count && !one_in(3))
            add_edit(world);
    }
}

static void decide(struct world *world)
{
    struct decider *quick = &world->quick, *judged = &world->judged;
    quick->sink = (struct reply_sink){.cursor = quick->replies};
    judged->sink = (struct reply_sink){.cursor = judged->replies};
    for (uint32_t i = 0; i < world->count; i++) {
        quick->commands[i].sink = &quick->sink;
        judged->commands[i].sink = &judged->sink;
        judged->engine->terms_generation++;
        engine_decide(judged->engine, world->now_us, &judged->commands[i], 1);
    }
    engine_decide(quick->engine, world->now_us, quick->commands, world->count);
    CHECK(quick->sink.cursor <= quick->replies + REPLY_ROOM);
}

static void compare(const struct world *world)
{
    const struct decider *quick = &world->quick, *judged = &world->judged;
    for (uint32_t i = 0; i < world->count; i++) {
        const struct command *a = &quick->commands[i], *b = &judged->commands[i];
        CHECK_EQUAL(a->outcome, b->outcome);
        CHECK_EQUAL(a->accepted, b->accepted);
        CHECK_EQUAL(a->reply_size, b->reply_size);
        CHECK(memcmp(a->reply, b->reply, a->reply_size) == 0);
    }
    CHECK_EQUAL(quick->engine->seq, judged->engine->seq);
    CHECK_EQUAL(quick->engine->digest, judged->engine->digest);
    CHECK_EQUAL(quick->engine->time_us, judged->engine->time_us);
    CHECK_EQUAL(quick->engine->changed_us, judged->engine->changed_us);
    CHECK_EQUAL(quick->engine->rejected_count, judged->engine->rejected_count);
}

/* Is there an offer for this order, before the batch that it is in? */
static void count_known(struct world *world)
{
    const struct engine *engine = world->quick.engine;
    for (uint32_t i = 0; i < world->count; i++) {
        const struct command *command = &world->quick.commands[i];
        if (!terms_are_of(command->number, command->size))
            continue;
        const struct offer *offer = &engine->offers->rows[terms_row(command->body)];
        bool is_known = offer->generation == engine->terms_generation &&
                        terms_equal(&offer->terms, command->body);
        world->on_known_terms += is_known;
        world->refused_short += is_known && offer->is_only && command->outcome == OUTCOME_SOLD_OUT;
    }
}

static void check_both(const struct world *world)
{
    char error[256];
    CHECK(engine_check(world->quick.engine, error, sizeof error));
    CHECK_EQUAL(engine_checksum(world->quick.engine), engine_checksum(world->judged.engine));
}

static void play(struct world *world, uint32_t deadlines)
{
    world->quick.engine = engine_made(deadlines);
    world->judged.engine = engine_made(deadlines);
    world->now_us = 1000 * US_PER_SECOND;
    for (unsigned kind = 0; kind < TERMS_KINDS; kind++)
        draw_kind(world, kind);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        if (one_in(4))
            world->now_us += below(one_in(20) ? 30 * US_PER_SECOND : US_PER_SECOND);
        if (one_in(10))
            draw_kind(world, (unsigned)below(TERMS_KINDS));
        if (one_in(12))
            world->is_calm = !world->is_calm;
        draw_batch(world);
        decide(world);
        compare(world);
        count_known(world);
        if (batch % BATCHES_BETWEEN_CHECKS == 0)
            check_both(world);
    }
    check_both(world);
    engine_destroy(world->quick.engine);
    engine_destroy(world->judged.engine);
}

TEST(offers_change_no_decision)
{
    static struct world world;
    uint64_t on_known_terms = 0, refused_short = 0;
    for (unsigned i = 0; i < WORLDS; i++) {
        memset(&world, 0, sizeof world);
        play(&world, i % 3 == 0 ? 1000 : 40000);
        on_known_terms += world.on_known_terms;
        refused_short += world.refused_short;
    }
    CHECK(on_known_terms > 1000 && refused_short > 0);
}
