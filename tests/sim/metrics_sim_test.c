/* Every metric changes: each row of base/tables/metrics.h has a story here, in which a whole server
 * does what that metric counts. A metric without a story fails, and so does one that its story does
 * not change. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "net/metrics.h"
#include "net/server_state.h"
#include "tests/sim/world.h"
#include "tests/test.h"

enum { ROUNDS_MAX = 40, TURNS = 400 };

/* The first values of one server's metrics, and which have differed since then; over several
 * servers, which have changed in any. */
struct watcher {
    struct world *world;
    struct metrics first;
    bool has_first;
    bool moved[METRIC_COUNT];
};

static void look(struct watcher *watcher)
{
    struct metrics now;
    metrics_read(server_metrics(watcher->world->server), &now);
    if (!watcher->has_first)
        watcher->first = now;
    watcher->has_first = true;
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        watcher->moved[i] |=
            metric_value(&now, &metric_table[i]) != metric_value(&watcher->first, &metric_table[i]);
}

static bool has_moved(const struct watcher *watcher, unsigned number)
{
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        if (metric_table[i].number == number)
            return watcher->moved[i];
    }
    return false;
}

static void turn(struct watcher *watcher)
{
    CHECK(server_turn(watcher->world->server, TURN_US) > 0);
    look(watcher);
}

/* Plays turns in which callers act at random. */
static void play(struct watcher *watcher, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        CHECK(world_play(watcher->world, 1) > 0);
        look(watcher);
    }
}

static void start(struct watcher *watcher)
{
    watcher->has_first = false;
    if (!world_start(watcher->world))
        test_fail(__FILE__, __LINE__, "%s", watcher->world->error);
    turn(watcher);
}

static void begin(struct watcher *watcher)
{
    watcher->world = world_create(test_random());
}

static void end(struct watcher *watcher)
{
    world_crash(watcher->world);
    world_destroy(watcher->world);
}

static void call(struct watcher *watcher, unsigned number, const void *body, size_t size)
{
    world_call(watcher->world, number, body, (uint32_t)size);
    CHECK_EQUAL(watcher->world->reply.outcome, OUTCOME_OK);
    look(watcher);
}

/* The stories. */

static void trade(struct watcher *watcher)
{
    for (int round = 0; round < 4; round++) {
        begin(watcher);
        start(watcher);
        play(watcher, 2 * TURNS);
        end(watcher);
    }
}

static void fail_in_a_shop(struct watcher *watcher)
{
    start(watcher);
    struct sku_put_body sku = {.sku = 900, .price = 5, .currency = 840};
    struct stock_set_body stock = {.sku = 900, .warehouse = 1, .on_hand = 5};
    struct sale_put_body sale = {.key = {.low = 1, .high = 9},
                                 .sale = 9,
                                 .rate_points = 1,
                                 .rate_money = 1,
                                 .flags = sale_flags_FAIL_AT_ONCE};
    struct sale_change_body opening = {.key = {.low = 2, .high = 9}, .sale = 9};
    struct {
        struct order_place_body body;
        struct line_body line;
    } placing = {.body = {.order = {.low = 3, .high = 9},
                          .customer = {.low = 77},
                          .sale = 9,
                          .line_count = 1},
                 .line = {.sku = 900, .quantity = 1, .price = 5}};
    struct payment_event_body payment = {.event = {.low = 4, .high = 9},
                                         .order = placing.body.order,
                                         .amount = 5,
                                         .provider = 1,
                                         .status = payment_status_FAILURE,
                                         .currency = 840};
    call(watcher, MESSAGE_sku_put, &sku, sizeof sku);
    call(watcher, MESSAGE_stock_set, &stock, sizeof stock);
    call(watcher, MESSAGE_sale_put, &sale, sizeof sale);
    call(watcher, MESSAGE_sale_open, &opening, sizeof opening);
    call(watcher, MESSAGE_order_place, &placing, sizeof placing);
    call(watcher, MESSAGE_payment_event, &payment, sizeof payment);
    turn(watcher);
}

/* A payment that fails ends an order of such a sale at once. */
static void fail_an_order(struct watcher *watcher)
{
    begin(watcher);
    fail_in_a_shop(watcher);
    end(watcher);
}

/* One more closed order than are kept. */
static void forget_an_order(struct watcher *watcher)
{
    begin(watcher);
    watcher->world->retain_orders_max = 1;
    fail_in_a_shop(watcher);
    for (uint64_t order = 5; order <= 6; order++) {
        struct {
            struct order_place_body body;
            struct line_body line;
        } placing = {
            .body = {.order = {.low = order, .high = 9}, .customer = {.low = 77}, .line_count = 1},
            .line = {.sku = 900, .quantity = 1, .price = 5}};
        struct order_change_body cancel = {.key = {.low = order, .high = 10},
                                           .order = placing.body.order};
        call(watcher, MESSAGE_order_place, &placing, sizeof placing);
        call(watcher, MESSAGE_order_cancel, &cancel, sizeof cancel);
    }
    turn(watcher);
    turn(watcher);
    end(watcher);
}

/* Without snapshots, no segment is ever used again. */
static void grow_the_log(struct watcher *watcher)
{
    for (int round = 0; round < ROUNDS_MAX && !has_moved(watcher, METRIC_wal_segments); round++) {
        begin(watcher);
        watcher->world->no_snapshots = true;
        watcher->world->segment_size = WAL_BLOCK_SIZE_MAX;
        start(watcher);
        for (int i = 0; i < 10 && !has_moved(watcher, METRIC_wal_segments); i++)
            play(watcher, TURNS);
        end(watcher);
    }
}

/* Holds cannot be ended while the log has no room, so due holds accumulate. */
static void fill_the_disk(struct watcher *watcher)
{
    for (int round = 0; round < ROUNDS_MAX && !(has_moved(watcher, METRIC_wal_full) &&
                                                has_moved(watcher, METRIC_holds_due));
         round++) {
        begin(watcher);
        watcher->world->segment_size = WAL_BLOCK_SIZE_MAX;
        start(watcher);
        play(watcher, 50);
        for (int turns = 0; turns < 10 * TURNS && !has_moved(watcher, METRIC_holds_due); turns++) {
            sim_disk_fill(watcher->world->machine, "data", true);
            play(watcher, 1);
        }
        end(watcher);
    }
}

static void refuse_writes(struct watcher *watcher)
{
    begin(watcher);
    start(watcher);
    play(watcher, TURNS);
    sim_disk_refuse_writes(watcher->world->machine, "data", "wal-", 100);
    play(watcher, TURNS);
    end(watcher);
}

/* Plays worlds until both metrics have changed; not every world takes snapshots. */
static void take_snapshots(struct watcher *watcher)
{
    for (int round = 0; round < ROUNDS_MAX && !(has_moved(watcher, METRIC_snapshot_seq_before) &&
                                                has_moved(watcher, METRIC_snapshot_undo_percent));
         round++) {
        begin(watcher);
        start(watcher);
        play(watcher, 2 * TURNS);
        end(watcher);
    }
}

static void fail_snapshots(struct watcher *watcher)
{
    for (int round = 0; round < ROUNDS_MAX && !has_moved(watcher, METRIC_snapshot_failures);
         round++) {
        begin(watcher);
        start(watcher);
        play(watcher, 50);
        sim_disk_fail_write(watcher->world->machine, "data", "snapshot", 1);
        play(watcher, 2 * TURNS);
        end(watcher);
    }
}

/* Plays many lives of a shop with an archive, until the metric has changed. */
static void live_with_archive(struct watcher *watcher, unsigned until,
                              void (*hinder)(struct watcher *watcher))
{
    watcher->world->has_archive = true;
    watcher->world->fills_archive = false;
    watcher->world->segment_size = WAL_BLOCK_SIZE_MAX;
    for (int life = 0; life < 5 * ROUNDS_MAX && !has_moved(watcher, until); life++) {
        sim_disk_fill(watcher->world->machine, "data", false);
        start(watcher);
        for (int turns = 0; turns < TURNS && !has_moved(watcher, until); turns++) {
            hinder(watcher);
            play(watcher, 1);
        }
        sim_disk_fill(watcher->world->machine, "data", false);
        world_crash(watcher->world);
    }
    world_destroy(watcher->world);
}

static void hinder_nothing(struct watcher *watcher)
{
    (void)watcher;
}

/* Older files are removed as soon as there is a newer one. */
static void outgrow_the_archive(struct watcher *watcher)
{
    begin(watcher);
    watcher->world->archive_keep_bytes = 1;
    live_with_archive(watcher, METRIC_archive_removed, hinder_nothing);
}

static void fail_writes(struct watcher *watcher)
{
    sim_disk_fail_write(watcher->world->machine, "archive", "log", 1);
}

static void fail_the_archive(struct watcher *watcher)
{
    begin(watcher);
    live_with_archive(watcher, METRIC_archive_notices, fail_writes);
}

static void jump_the_clock(struct watcher *watcher)
{
    begin(watcher);
    start(watcher);
    sim_clock_step(watcher->world->machine, (int64_t)(3600 * US_PER_SECOND));
    turn(watcher);
    end(watcher);
}

static void pass_seconds(struct watcher *watcher, uint64_t seconds)
{
    for (uint64_t i = 0; i < 2 * seconds; i++) {
        sim_time_pass(watcher->world->machine, US_PER_SECOND / 2);
        turn(watcher);
    }
}

/* More connections than places, and none of them sends anything. */
static void stay_silent(struct watcher *watcher)
{
    enum { PLACES = 8 };
    struct sim_client *clients[2 * PLACES];
    begin(watcher);
    watcher->world->connections_max = PLACES;
    start(watcher);
    for (int i = 0; i < 2 * PLACES; i++)
        clients[i] = sim_connect(watcher->world->machine);
    pass_seconds(watcher, 20);
    for (int i = 0; i < 2 * PLACES; i++)
        sim_client_free(clients[i]);
    end(watcher);
}

static void break_the_protocol(struct watcher *watcher)
{
    struct frame frame = {.size = 24, .type = MESSAGE_stats};
    uint64_t body[2] = {0};
    begin(watcher);
    start(watcher);
    struct sim_client *client = sim_connect(watcher->world->machine);
    sim_client_send(client, &frame, sizeof frame);
    sim_client_send(client, body, 8);
    for (int turns = 0; turns < 5 * TURNS && !has_moved(watcher, METRIC_protocol_errors); turns++)
        turn(watcher);
    sim_client_free(client);
    end(watcher);
}

struct hello {
    struct frame frame;
    struct hello_body body;
};

static const struct hello hello = {.frame = {.size = sizeof hello, .type = MESSAGE_hello},
                                   .body = {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION}};

/* A crowd that requests more replies than there are chunks for, and reads none. */
static void read_nothing(struct watcher *watcher)
{
    enum { CROWD = 100, REQUESTS = 30, WINDOW = 4096 };
    struct sim_client *clients[CROWD];
    struct {
        struct frame frame;
        struct stock_get_body body;
        struct item_body items[STOCK_ITEMS_MAX];
    } query = {.frame = {.size = sizeof query, .type = MESSAGE_stock_get},
               .body = {.item_count = STOCK_ITEMS_MAX}};
    for (int i = 0; i < STOCK_ITEMS_MAX; i++)
        query.items[i].sku = 1;
    begin(watcher);
    watcher->world->connections_max = 2 * CROWD;
    start(watcher);
    world_settle(watcher->world); /* the SKU exists */
    for (int i = 0; i < CROWD; i++) {
        clients[i] = sim_connect(watcher->world->machine);
        sim_client_limit(clients[i], WINDOW, 1 << 20);
        sim_client_send(clients[i], &hello, sizeof hello);
        for (int request = 0; request < REQUESTS; request++)
            sim_client_send(clients[i], &query, sizeof query);
    }
    for (int turns = 0; turns < 5 * TURNS; turns++)
        turn(watcher);
    pass_seconds(watcher, 2);
    for (int i = 0; i < CROWD; i++)
        sim_client_free(clients[i]);
    end(watcher);
}

/* Commands that ask for most of a block while the one being filled cannot be written yet. */
static void outpace_the_disk(struct watcher *watcher)
{
    enum { PUSHERS = 16, CREDITS = 400, PUTS = 80 };
    struct sim_client *clients[PUSHERS];
    struct {
        struct frame frame;
        struct points_credit_body body;
    } credit = {.frame = {.size = sizeof credit, .type = MESSAGE_points_credit},
                .body = {.customer = {.low = 1}, .points = 1}};
    struct {
        struct frame frame;
        struct sale_put_body body;
        struct pool_body pools[SALE_POOLS_MAX];
    } put = {.frame = {.size = sizeof put, .type = MESSAGE_sale_put},
             .body = {.key = {.low = 9, .high = 9}, .sale = 9, .pool_count = SALE_POOLS_MAX}};
    for (uint32_t i = 0; i < SALE_POOLS_MAX; i++)
        put.pools[i] = (struct pool_body){.sku = 1000 + i, .quantity = 1, .warehouse = 1};
    begin(watcher);
    watcher->world->wal_writes = 1;
    watcher->world->io_buffers = 256;
    watcher->world->output_chunks = 256;
    start(watcher);
    sim_disk_slow(watcher->world->machine, 2 * US_PER_SECOND);
    for (uint32_t i = 0; i < PUSHERS; i++) {
        clients[i] = sim_connect(watcher->world->machine);
        sim_client_limit(clients[i], 1 << 20, 1 << 20);
        sim_client_send(clients[i], &hello, sizeof hello);
        for (uint32_t request = 0; request < CREDITS; request++) {
            credit.body.key = (struct id){.low = request + 1, .high = 100 + i};
            sim_client_send(clients[i], &credit, sizeof credit);
        }
        for (uint32_t request = 0; request < PUTS; request++)
            sim_client_send(clients[i], &put, sizeof put);
    }
    for (int turns = 0; turns < 5 * TURNS; turns++)
        turn(watcher);
    for (uint32_t i = 0; i < PUSHERS; i++)
        sim_client_free(clients[i]);
    end(watcher);
}

/* Which story changes which metric. */
static const struct {
    unsigned number;
    void (*story)(struct watcher *watcher);
} cases[] = {
    {METRIC_skus, trade},
    {METRIC_stocks, trade},
    {METRIC_sales, trade},
    {METRIC_customers, trade},
    {METRIC_orders, trade},
    {METRIC_pending, trade},
    {METRIC_confirmed, trade},
    {METRIC_expired, trade},
    {METRIC_failed, fail_an_order},
    {METRIC_cancelled, trade},
    {METRIC_payments, trade},
    {METRIC_parked, trade},
    {METRIC_refund_orders, trade},
    {METRIC_keys, trade},
    {METRIC_holds_due, fill_the_disk},
    {METRIC_rejected, trade},
    {METRIC_orders_closed, trade},
    {METRIC_orders_forgotten, forget_an_order},
    {METRIC_wal_blocks, trade},
    {METRIC_wal_commands, trade},
    {METRIC_wal_bytes_raw, trade},
    {METRIC_wal_bytes_stored, trade},
    {METRIC_wal_write_us_sum, trade},
    {METRIC_wal_write_us_max, trade},
    {METRIC_wal_blocks_in_flight, trade},
    {METRIC_wal_seq_durable, trade},
    {METRIC_wal_segments, grow_the_log},
    {METRIC_wal_writes_refused, refuse_writes},
    {METRIC_wal_full, fill_the_disk},
    {METRIC_snapshots, take_snapshots},
    {METRIC_snapshot_failures, fail_snapshots},
    {METRIC_snapshot_seq, take_snapshots},
    {METRIC_snapshot_seq_before, take_snapshots},
    {METRIC_snapshot_seq_begun, take_snapshots},
    {METRIC_snapshot_bytes, take_snapshots},
    {METRIC_snapshot_slice_us_max, take_snapshots},
    {METRIC_snapshot_undo_max, take_snapshots},
    {METRIC_snapshot_undo_percent, take_snapshots},
    {METRIC_archive_seq, outgrow_the_archive},
    {METRIC_archive_segments, outgrow_the_archive},
    {METRIC_archive_removed, outgrow_the_archive},
    {METRIC_archive_notices, fail_the_archive},
    {METRIC_loop_turns, trade},
    {METRIC_loop_events, trade},
    {METRIC_loop_busy_us, trade},
    {METRIC_loop_turn_us_max, trade},
    {METRIC_batches, trade},
    {METRIC_stalled, outpace_the_disk},
    {METRIC_notices, jump_the_clock},
    {METRIC_clock_jumps, jump_the_clock},
    {METRIC_connections, trade},
    {METRIC_connections_closing, trade},
    {METRIC_connections_max, trade},
    {METRIC_connections_accepted, trade},
    {METRIC_connections_refused, stay_silent},
    {METRIC_connections_silent, stay_silent},
    {METRIC_connections_stuck, read_nothing},
    {METRIC_protocol_errors, break_the_protocol},
    {METRIC_received_bytes, trade},
    {METRIC_sent_bytes, trade},
    {METRIC_output_chunks, trade},
    {METRIC_sessions_waiting, outpace_the_disk},
    {METRIC_sessions_starved, read_nothing},
};

enum { CASES = sizeof cases / sizeof cases[0] };

static int case_of(unsigned number)
{
    for (int i = 0; i < CASES; i++) {
        if (cases[i].number == number)
            return i;
    }
    return -1;
}

TEST(every_metric_has_a_story_that_moves_it)
{
    static struct watcher watchers[CASES]; /* of a story, by the first case that names it */
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        int found = case_of(metric_table[i].number);
        if (found < 0)
            test_fail(__FILE__, __LINE__, "no story moves %s", metric_table[i].name);
        int first = 0;
        while (cases[first].story != cases[found].story)
            first++;
        struct watcher *watcher = &watchers[first];
        if (watcher->world == NULL)
            cases[first].story(watcher);
        if (!watcher->moved[i])
            test_fail(__FILE__, __LINE__, "%s is where it was", metric_table[i].name);
    }
}

/* Starts worlds with an archive until one takes snapshots; not every world does. */
static struct world *whole_world(void)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct world *world = world_create(test_random());
        world->has_archive = true;
        CHECK(world_start(world));
        if (world->server->snapshots.writer != NULL)
            return world;
        world_crash(world);
        world_destroy(world);
    }
    test_fail(__FILE__, __LINE__, "no world takes snapshots");
}

enum { UNTOUCHED = 0xa5 };

/* Did the layer's function write all of its metrics and nothing else? */
static void check_filled(const struct metrics *metrics, unsigned layer)
{
    uint64_t untouched;
    memset(&untouched, UNTOUCHED, sizeof untouched);
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        bool is_filled = metric_value(metrics, &metric_table[i]) != untouched;
        if (is_filled != (metric_table[i].layer == layer || layer == 0))
            test_fail(__FILE__, __LINE__, "%s: %s", metric_table[i].name,
                      is_filled ? "another layer wrote it" : "its layer did not write it");
    }
}

TEST(each_layer_fills_all_of_its_metrics_and_no_others)
{
    struct world *world = whole_world();
    struct server *server = world->server;
    struct metrics metrics;
    memset(&metrics, UNTOUCHED, sizeof metrics);
    engine_metrics(server->engine, &metrics);
    check_filled(&metrics, LAYER_engine);
    memset(&metrics, UNTOUCHED, sizeof metrics);
    wal_metrics(server->wal, &metrics);
    check_filled(&metrics, LAYER_wal);
    memset(&metrics, UNTOUCHED, sizeof metrics);
    writer_metrics(server->snapshots.writer, &metrics);
    check_filled(&metrics, LAYER_snapshot);
    memset(&metrics, UNTOUCHED, sizeof metrics);
    archive_metrics(server->archive, &metrics);
    check_filled(&metrics, LAYER_archive);
    memset(&server->metrics, UNTOUCHED, sizeof server->metrics);
    metrics_turn(server, 0);
    check_filled(&server->metrics, 0);
    world_crash(world);
    world_destroy(world);
}

/* Reads a server's board from another thread while it serves. */
struct onlooker {
    const struct metrics_board *board;
    atomic_bool stop;
    uint64_t sums_wrong;
    uint64_t backwards;
    atomic_bool has_changed;
};

static void *look_on(void *context)
{
    struct onlooker *onlooker = context;
    struct metrics last = {0};
    while (!atomic_load_explicit(&onlooker->stop, memory_order_relaxed)) {
        struct metrics now;
        metrics_read(onlooker->board, &now);
        onlooker->sums_wrong +=
            now.orders != now.pending + now.confirmed + now.expired + now.failed + now.cancelled;
        for (unsigned i = 0; i < METRIC_COUNT; i++)
            onlooker->backwards +=
                metric_table[i].kind == METRIC_KIND_COUNTER &&
                metric_value(&now, &metric_table[i]) < metric_value(&last, &metric_table[i]);
        if (now.loop_turns > last.loop_turns && last.loop_turns > 0)
            atomic_store(&onlooker->has_changed, true);
        last = now;
    }
    return NULL;
}

TEST(another_thread_sees_moments_of_a_server_that_serves_and_counters_that_only_grow)
{
    struct onlooker onlooker = {0};
    struct world *world = world_create(test_random());
    pthread_t thread;
    CHECK(world_start(world));
    onlooker.board = server_metrics(world->server);
    CHECK_EQUAL(pthread_create(&thread, NULL, look_on, &onlooker), 0);
    int result = world_play(world, 5 * TURNS);
    while (result > 0 && !atomic_load(&onlooker.has_changed))
        result = world_play(world, TURNS);
    atomic_store(&onlooker.stop, true);
    pthread_join(thread, NULL);
    CHECK(result > 0);
    CHECK_EQUAL(onlooker.sums_wrong, 0);
    CHECK_EQUAL(onlooker.backwards, 0);
    world_crash(world);
    world_destroy(world);
}
