/* The server on a machine whose wall clock jumps by hours: no key is forgotten before its time, no
 * hold ends early or late. The simulation knows the true time. */
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"
#include "tests/test.h"

#define HOUR_US (3600 * US_PER_SECOND)

enum { ROUNDS = 12, STEPS = 80, KEYS_MAX = STEPS, ORDERS_MAX = STEPS, SETTLE_TURNS = 12 };
enum { SKU = 1, PRICE = 100, CURRENCY = 840, STOCK = 10000 };

/* A world without other callers, and the truth about its time. */
struct shop {
    struct world *world;
    int64_t wall_right_us; /* offset of a right wall clock */
    uint64_t run_us;       /* time during which a server ran, */
    uint64_t between_us;   /* during which none ran but the machine was on, */
    uint64_t mark_us;      /* at this moment */
    uint32_t stops;        /* stops of a server after which the machine stayed on, */
    uint32_t crashes;      /* and other stops */
    uint64_t keys;         /* used */
};

static uint64_t below(struct shop *shop, uint64_t bound)
{
    return sim_random_below(shop->world->machine, bound);
}

static uint16_t call(struct shop *shop, unsigned number, const void *body, size_t size)
{
    world_call(shop->world, number, body, (uint32_t)size);
    return shop->world->reply.outcome;
}

static struct id new_key(struct shop *shop)
{
    return (struct id){.low = ++shop->keys, .high = 0xc10c};
}

static void count_time(struct shop *shop, uint64_t *counter)
{
    uint64_t now_us = sim_time_us(shop->world->machine);
    *counter += now_us - shop->mark_us;
    shop->mark_us = now_us;
}

static void play_turns(struct shop *shop)
{
    for (int turn = 0; turn < SETTLE_TURNS; turn++)
        CHECK(server_turn(shop->world->server, TURN_US) > 0);
}

static void set_right(struct shop *shop)
{
    struct sim_machine *machine = shop->world->machine;
    sim_clock_step(machine, shop->wall_right_us - machine->clock_us);
}

/* Sets the wall clock wrong by hours or seconds, or right. */
static void set_wall(struct shop *shop)
{
    int64_t off_us = (int64_t)below(shop, 60 * HOUR_US) - (int64_t)(30 * HOUR_US);
    set_right(shop);
    if (below(shop, 4) == 0)
        off_us = (int64_t)below(shop, 16 * US_PER_SECOND) - (int64_t)(8 * US_PER_SECOND);
    if (below(shop, 3) > 0)
        sim_clock_step(shop->world->machine, off_us);
}

static void start(struct shop *shop)
{
    if (!world_start(shop->world))
        test_fail(__FILE__, __LINE__, "%s", shop->world->error);
    play_turns(shop);
}

static struct shop shop_open(bool is_unattended)
{
    struct shop shop = {.world = world_create(test_random())};
    shop.world->is_unattended = is_unattended;
    shop.wall_right_us = shop.world->machine->clock_us;
    start(&shop);
    struct sku_put_body sku = {
        .key = new_key(&shop), .sku = SKU, .price = PRICE, .currency = CURRENCY};
    struct stock_adjust_body stock = {
        .key = new_key(&shop), .sku = SKU, .warehouse = 1, .delta = STOCK};
    CHECK_EQUAL(call(&shop, MESSAGE_sku_put, &sku, sizeof sku), OUTCOME_OK);
    CHECK_EQUAL(call(&shop, MESSAGE_stock_adjust, &stock, sizeof stock), OUTCOME_OK);
    shop.mark_us = sim_time_us(shop.world->machine);
    return shop;
}

static void shop_close(struct shop *shop)
{
    set_right(shop);
    world_stop(shop->world);
    start(shop); /* the log is replayed once more */
    world_stop(shop->world);
    world_destroy(shop->world);
}

static void stop_and_start(struct shop *shop, uint64_t pause_us_max)
{
    world_stop(shop->world);
    count_time(shop, &shop->run_us);
    shop->stops++;
    set_wall(shop);
    sim_time_pass(shop->world->machine, below(shop, pause_us_max));
    start(shop);
    count_time(shop, &shop->between_us);
}

static void crash(struct shop *shop, uint64_t pause_us_max)
{
    uint64_t lost_us = 0;
    world_crash(shop->world);
    count_time(shop, &shop->run_us);
    shop->crashes++;
    sim_time_pass(shop->world->machine, below(shop, pause_us_max));
    count_time(shop, &lost_us);
}

/* A credit with a key, and when it was made. */
struct kept_key {
    struct points_credit_body body;
    uint64_t run_us;
    uint64_t between_us;
    uint32_t stops;
    uint32_t crashes;
};

static void credit(struct shop *shop, struct kept_key *key, uint16_t outcome)
{
    CHECK_EQUAL(call(shop, MESSAGE_points_credit, &key->body, sizeof key->body), outcome);
    count_time(shop, &shop->run_us);
    if (outcome != OUTCOME_OK)
        return;
    key->run_us = shop->run_us;
    key->between_us = shop->between_us;
    key->stops = shop->stops;
    key->crashes = shop->crashes;
}

/* Sends a command again whose key must be known or must be forgotten, by its age; in between either
 * is right. */
static void credit_again(struct shop *shop, struct kept_key *key)
{
    count_time(shop, &shop->run_us);
    uint64_t run_us = shop->run_us - key->run_us;
    uint64_t between_us = shop->between_us - key->between_us;
    uint64_t stops = shop->stops - key->stops;
    uint64_t crashes = shop->crashes - key->crashes;
    uint64_t age_us_max = (run_us + between_us) * (CLOCK_SLEW + 1) / CLOCK_SLEW +
                          (stops + crashes) * CLOCK_JUMP_US + US_PER_SECOND;
    uint64_t age_us_min = run_us - run_us / CLOCK_SLEW;
    uint64_t lost_us = (stops + crashes) * 2 * CLOCK_NOTE_US;
    if (age_us_max < KEY_RETENTION_US)
        credit(shop, key, OUTCOME_REPLAYED);
    else if (age_us_min > KEY_RETENTION_US + lost_us)
        credit(shop, key, OUTCOME_OK);
}

/* Hours pass, some of them without requests. */
static void hours_pass(struct shop *shop)
{
    for (uint64_t parts = below(shop, 4); parts > 0; parts--) {
        sim_time_pass(shop->world->machine, below(shop, 3 * HOUR_US));
        play_turns(shop);
    }
}

TEST(key_is_kept_for_its_time_whatever_the_wall_clock_says)
{
    for (int round = 0; round < ROUNDS; round++) {
        static struct kept_key keys[KEYS_MAX];
        struct shop shop = shop_open(false);
        uint32_t count = 0;
        for (int step = 0; step < STEPS; step++) {
            uint64_t choice = below(&shop, 100);
            if (choice < 25) {
                keys[count].body = (struct points_credit_body){
                    .key = new_key(&shop), .customer = {.low = 1}, .points = 1};
                credit(&shop, &keys[count++], OUTCOME_OK);
            } else if (choice < 60 && count > 0) {
                credit_again(&shop, &keys[below(&shop, count)]);
            } else if (choice < 75) {
                hours_pass(&shop);
            } else if (choice < 90) {
                set_wall(&shop);
                play_turns(&shop);
            } else if (choice < 95) {
                stop_and_start(&shop, 8 * HOUR_US);
            } else {
                crash(&shop, 40 * HOUR_US);
                set_wall(&shop);
                start(&shop);
            }
        }
        for (uint32_t i = 0; i < count; i++)
            credit_again(&shop, &keys[i]);
        shop_close(&shop);
    }
}

/* An order that is held, and when it was placed. */
struct held {
    struct id order;
    uint64_t hold_us;
    uint64_t placed_us; /* time by which the call was answered, */
    uint64_t asked_us;  /* and when it was sent */
    uint32_t crashes;
};

static void place(struct shop *shop, struct held *held)
{
    struct {
        struct order_place_body body;
        struct line_body line;
    } request = {
        .body = {.order = new_key(shop),
                 .customer = {.low = 2},
                 .hold = 1 + (uint32_t)below(shop, 1200),
                 .line_count = 1},
        .line = {.sku = SKU, .quantity = 1, .price = PRICE},
    };
    held->order = request.body.order;
    held->hold_us = request.body.hold * US_PER_SECOND;
    held->asked_us = sim_time_us(shop->world->machine);
    held->crashes = shop->crashes;
    CHECK_EQUAL(call(shop, MESSAGE_order_place, &request, sizeof request), OUTCOME_OK);
    held->placed_us = sim_time_us(shop->world->machine);
}

/* Checks that the hold has ended if and only if its time has passed, within a tolerance: a
 * twentieth, the clock bound for each crash, and the tick. */
static void check_held(struct shop *shop, const struct held *held)
{
    struct order_id_body body = {.order = held->order};
    uint64_t slack_us = (shop->crashes - held->crashes) * CLOCK_BOUND_US;
    uint64_t lasted_us_min = sim_time_us(shop->world->machine) - held->placed_us;
    play_turns(shop);
    CHECK_EQUAL(call(shop, MESSAGE_order_get, &body, sizeof body), OUTCOME_OK);
    const struct order_get_reply_body *reply =
        (const struct order_get_reply_body *)shop->world->reply.body;
    uint64_t lasted_us_max = sim_time_us(shop->world->machine) - held->asked_us;
    uint64_t hold_us_min = held->hold_us * CLOCK_SLEW / (CLOCK_SLEW + 1);
    uint64_t hold_us_max = held->hold_us * CLOCK_SLEW / (CLOCK_SLEW - 1);
    if (lasted_us_max + slack_us < hold_us_min)
        CHECK_EQUAL(reply->state, order_state_PENDING);
    if (lasted_us_min > hold_us_max + slack_us + 2 * TICK_US)
        CHECK_EQUAL(reply->state, order_state_EXPIRED);
}

/* After a crash only the wall clock shows the time: one that is behind is refused, a right one is
 * believed. */
static void crash_and_start(struct shop *shop)
{
    crash(shop, 8 * HOUR_US);
    if (below(shop, 2) == 0) {
        set_right(shop);
        sim_clock_step(shop->world->machine, -(int64_t)(9 * HOUR_US));
        CHECK(!world_start(shop->world));
        CHECK(strstr(shop->world->error, "--accept-clock") != NULL);
        world_crash(shop->world);
    }
    set_right(shop);
    start(shop);
    shop->mark_us = sim_time_us(shop->world->machine);
}

TEST(hold_ends_in_its_time_whatever_the_wall_clock_says)
{
    for (int round = 0; round < ROUNDS; round++) {
        static struct held orders[ORDERS_MAX];
        struct shop shop = shop_open(true);
        uint32_t count = 0;
        for (int step = 0; step < STEPS; step++) {
            uint64_t choice = below(&shop, 100);
            if (choice < 25) {
                place(&shop, &orders[count++]);
            } else if (choice < 50 && count > 0) {
                check_held(&shop, &orders[below(&shop, count)]);
            } else if (choice < 75) {
                sim_time_pass(shop.world->machine, below(&shop, 400 * US_PER_SECOND));
                play_turns(&shop);
            } else if (choice < 92) {
                set_wall(&shop);
                play_turns(&shop);
            } else if (choice < 96) {
                stop_and_start(&shop, 200 * US_PER_SECOND);
            } else {
                crash_and_start(&shop);
            }
        }
        for (uint32_t i = 0; i < count; i++)
            check_held(&shop, &orders[i]);
        shop_close(&shop);
    }
}
