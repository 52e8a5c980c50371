/* Many greedy connections beside one that behaves well: whatever they do, each request of the
 * well-behaved one is answered within a bounded number of turns, and its connection is kept. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "net/server_state.h"
#include "tests/sim/world.h"
#include "tests/test.h"

enum {
    ANSWERS = 12000, /* shared among the connections of the crowd */
    TURNS_MAX = 3000,
    REQUESTS = 30, /* of each connection in the crowd: replies of four chunks */
    WINDOW = 4096,
};

struct crowd {
    struct world *world;
    struct sim_client **clients;
    uint32_t count;
    uint32_t ended_count; /* by the server */
    void (*send)(struct sim_client *client);
};

static void send_hello(struct sim_client *client)
{
    struct {
        struct frame frame;
        struct hello_body body;
    } hello = {.frame = {.size = sizeof hello, .type = MESSAGE_hello},
               .body = {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION}};
    sim_client_send(client, &hello, sizeof hello);
}

struct large_query {
    struct frame frame;
    struct stock_get_body body;
    struct item_body items[STOCK_ITEMS_MAX];
};

static struct large_query large_query(void)
{
    struct large_query query = {.frame = {.size = sizeof query, .type = MESSAGE_stock_get},
                                .body = {.item_count = STOCK_ITEMS_MAX}};
    for (int i = 0; i < STOCK_ITEMS_MAX; i++)
        query.items[i].sku = 1;
    return query;
}

/* Requests large replies that nobody will read. */
static void send_requests(struct sim_client *client)
{
    struct large_query query = large_query();
    send_hello(client);
    for (int i = 0; i < REQUESTS; i++)
        sim_client_send(client, &query, sizeof query);
}

/* Sends a frame and the beginning of another one. */
static void send_part(struct sim_client *client)
{
    struct large_query query = large_query();
    send_hello(client);
    sim_client_send(client, &query, sizeof query);
    sim_client_send(client, &query, 200);
}

static void send_nothing(struct sim_client *client)
{
    (void)client;
}

static void crowd_connect(struct crowd *crowd, uint32_t i)
{
    crowd->clients[i] = sim_connect(crowd->world->machine);
    sim_client_limit(crowd->clients[i], WINDOW, 1 << 20);
    crowd->send(crowd->clients[i]);
}

/* New connections replace those that the server has closed, so that the crowd stays full. */
static void crowd_fill(struct crowd *crowd)
{
    uint8_t byte;
    for (uint32_t i = 0; i < crowd->count; i++) {
        if (!sim_client_is_over(crowd->clients[i]))
            continue;
        while (sim_client_receive(crowd->clients[i], &byte, 1) > 0)
            continue;
        sim_client_free(crowd->clients[i]);
        crowd->ended_count++;
        crowd_connect(crowd, i);
    }
}

/* Some disconnect and connect again. */
static void crowd_churn(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count / 20; i++) {
        uint32_t leaver = (uint32_t)sim_random_below(crowd->world->machine, crowd->count);
        sim_client_free(crowd->clients[leaver]);
        crowd_connect(crowd, leaver);
    }
}

static struct crowd crowd_gather(struct world *world, uint32_t count,
                                 void (*send)(struct sim_client *client))
{
    struct crowd crowd = {.world = world, .count = count, .send = send};
    crowd.clients = calloc(count, sizeof(struct sim_client *));
    CHECK(crowd.clients != NULL);
    for (uint32_t i = 0; i < count; i++)
        crowd_connect(&crowd, i);
    return crowd;
}

static void crowd_leave(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++)
        sim_client_free(crowd->clients[i]);
    free(crowd->clients);
}

static void turn(struct world *world)
{
    CHECK(server_turn(world->server, TURN_US) > 0);
}

/* Opens a new connection; when there was no place for it, tries again. */
static void greet(struct world *world, struct caller *caller)
{
    caller_open(caller, world->machine, false);
    for (int turns = 0; caller->state != CALLER_READY; turns++) {
        CHECK(turns < TURNS_MAX);
        turn(world);
        CHECK(!caller_receive(caller, &world->reply));
        if (!caller->ended)
            continue;
        caller_close(caller);
        caller_open(caller, world->machine, false);
    }
}

/* One request on the connection that behaves. */
static void ask(struct world *world, struct caller *caller)
{
    struct stock_get_body body = {.item_count = 0, .name = {.bytes = "b"}};
    caller_send(caller, MESSAGE_stock_get, &body, sizeof body);
    for (int turns = 0; !caller_receive(caller, &world->reply); turns++) {
        CHECK(turns < TURNS_MAX);
        CHECK(!caller->ended);
        turn(world);
    }
    CHECK_EQUAL(world->reply.outcome, OUTCOME_OK);
}

/* Sends requests on the old connection and on new ones while the crowd is active; returns how many
 * of the crowd the server has closed. */
static uint32_t behave_beside(struct world *world, uint32_t count,
                              void (*send)(struct sim_client *client), bool churns)
{
    struct caller *callers = calloc(2, sizeof *callers);
    CHECK(callers != NULL && world_start(world));
    world_settle(world); /* the SKUs exist */
    greet(world, &callers[0]);
    struct crowd crowd = crowd_gather(world, count, send);
    for (uint32_t i = 0; i < ANSWERS / count; i++) {
        ask(world, &callers[0]);
        greet(world, &callers[1]);
        ask(world, &callers[1]);
        caller_close(&callers[1]);
        if (churns)
            crowd_churn(&crowd);
        crowd_fill(&crowd);
    }
    crowd_leave(&crowd);
    caller_close(&callers[0]);
    free(callers);
    world_stop(world);
    world_destroy(world);
    return crowd.ended_count;
}

static struct world *world_for(uint32_t count, uint32_t output_chunks)
{
    struct world *world = world_create(test_random());
    world->connections_max = 2 * count;
    world->output_chunks = output_chunks;
    return world;
}

TEST(readers_that_never_read_keep_nobody_waiting)
{
    CHECK_EQUAL(behave_beside(world_for(64, 4096), 64, send_requests, false), 0);
    CHECK_EQUAL(behave_beside(world_for(300, 4096), 300, send_requests, false), 0);
    behave_beside(world_for(1000, 4096), 1000, send_requests, false);
}

TEST(readers_that_never_read_are_closed_when_there_is_too_little_for_all)
{
    static const uint32_t counts[] = {64, 300, 1000};
    for (int i = 0; i < 3; i++) {
        CHECK(behave_beside(world_for(counts[i], 32), counts[i], send_requests, false) > 0);
        behave_beside(world_for(counts[i], 32), counts[i], send_requests, true);
    }
}

TEST(slow_writers_keep_nobody_waiting)
{
    CHECK_EQUAL(behave_beside(world_for(300, 512), 300, send_part, false), 0);
    behave_beside(world_for(300, 32), 300, send_part, true);
}

TEST(silent_connections_do_not_take_every_place)
{
    struct world *world = world_for(300, 64);
    world->connections_max = 64;
    CHECK(behave_beside(world, 300, send_nothing, true) > 0);
}

/* Accepted commands, large rejected ones that need room for a whole block of the log, and queries,
 * in pieces of any size: the log is out of room most of the time. */
enum { PUSHERS = 16, PUSHES = 480, CREDITS = 400, NEWCOMERS = 48 };

static void push(struct world *world, struct caller *caller, uint32_t pusher, uint32_t i)
{
    struct {
        struct sale_put_body body;
        struct pool_body pools[SALE_POOLS_MAX];
    } put = {.body = {.key = {.low = 9, .high = 9}, .sale = 9, .pool_count = SALE_POOLS_MAX}};
    for (uint32_t j = 0; j < SALE_POOLS_MAX; j++)
        put.pools[j] = (struct pool_body){.sku = 1000 + j, .quantity = 1, .warehouse = 1};
    struct points_credit_body credit = {
        .key = {.low = i + 1, .high = 77 + pusher}, .customer = {.low = 1}, .points = 1};
    struct stock_get_body get = {.item_count = 0, .name = {.bytes = "b"}};
    if (sim_chance(world->machine, 5))
        caller_send(caller, MESSAGE_stock_get, &get, sizeof get);
    else if (i < CREDITS)
        caller_send(caller, MESSAGE_points_credit, &credit, sizeof credit);
    else
        caller_send(caller, MESSAGE_sale_put, &put, sizeof put);
}

static void check_pushed(const struct caller_reply *reply)
{
    unsigned expected = reply->number == MESSAGE_sale_put ? OUTCOME_NOT_FOUND : OUTCOME_OK;
    CHECK_EQUAL(reply->outcome, expected);
}

/* Returns in how many turns the log had no room. */
static uint32_t push_through(struct world *world)
{
    struct caller *callers = calloc(PUSHERS + NEWCOMERS, sizeof *callers);
    uint32_t stalls = 0;
    uint32_t count = PUSHERS;
    uint32_t in_flight = 0;
    CHECK(callers != NULL && world_start(world));
    world_settle(world); /* the SKUs exist */
    for (uint32_t i = 0; i < PUSHERS; i++) {
        greet(world, &callers[i]);
        sim_client_limit(callers[i].client, 1 << 20, 1 << 20);
    }
    sim_disk_slow(world->machine, 2 * US_PER_SECOND);
    for (uint32_t i = 0; i < PUSHERS * PUSHES; i++)
        push(world, &callers[i % PUSHERS], i % PUSHERS, i / PUSHERS);
    do {
        if (count < PUSHERS + NEWCOMERS)
            caller_open(&callers[count++], world->machine, false);
        turn(world);
        stalls += world->server->is_stalled;
        in_flight = 0;
        for (uint32_t i = 0; i < count; i++) {
            while (caller_receive(&callers[i], &world->reply))
                check_pushed(&world->reply);
            CHECK(!callers[i].ended);
            in_flight += caller_in_flight(&callers[i]) + (callers[i].state != CALLER_READY);
        }
    } while (in_flight > 0);
    for (uint32_t i = 0; i < count; i++)
        caller_close(&callers[i]);
    free(callers);
    world_stop(world);
    world_destroy(world);
    return stalls;
}

TEST(everything_is_answered_in_order_while_the_log_is_out_of_room)
{
    uint32_t stalls = 0;
    for (int round = 0; round < 5; round++) {
        struct world *world = world_for(PUSHERS + NEWCOMERS, 256);
        world->wal_writes = 1;
        world->io_buffers = 256;
        stalls += push_through(world);
    }
    CHECK(stalls > 0);
}
