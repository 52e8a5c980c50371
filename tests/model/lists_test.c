/* Lists that are paged through while orders come, change and are moved: each order that is in a
 * list all the time is shown once, in the list's order. And what is told where there are no lists.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/model/generate.h"
#include "tests/model/play.h"
#include "tests/test.h"

enum { ERROR_SIZE = 512, ORDERS_MAX = 1 << 14, REQUESTS = 20000, BEGIN = 12000, LISTS = 7 };

/* The orders of a list, in its order. */
struct listing {
    struct id orders[ORDERS_MAX];
    int count;
};

/* A list that is gone through, page by page. */
struct walk {
    struct order_list_body asked;
    bool has_begun;
    bool has_ended;
    struct listing before; /* when it began */
    struct listing shown;
    struct listing after; /* when it had ended */
};

static uint16_t ask(struct engine *engine, uint64_t time, uint16_t number, const void *body,
                    uint32_t size, uint64_t room[FRAME_SIZE_MAX / 8])
{
    struct reply_sink sink = {(uint8_t *)room, 0};
    struct command command = {.body = body, .sink = &sink, .size = size, .number = number};
    engine_decide(engine, time, &command, 1);
    CHECK(command.reply_size <= FRAME_SIZE_MAX - FRAME_HEAD_MAX);
    return command.outcome;
}

/* Adds a page to the listing; returns the next cursor. */
static struct id page(struct engine *engine, const struct order_list_body *asked,
                      struct listing *listing)
{
    static uint64_t room[FRAME_SIZE_MAX / 8];
    const struct order_list_reply_body *reply = (const void *)room;
    const struct order_body *rows = (const struct order_body *)(reply + 1);
    uint16_t outcome = ask(engine, 0, MESSAGE_order_list, asked, sizeof *asked, room);
    if (outcome == OUTCOME_NOT_FOUND) /* in a few shops there is no such sale */
        return (struct id){0};
    CHECK_EQUAL(outcome, OUTCOME_OK);
    CHECK(listing->count + reply->order_count <= ORDERS_MAX);
    for (int i = 0; i < reply->order_count; i++)
        listing->orders[listing->count++] = rows[i].order;
    return reply->next;
}

static void list_all(struct engine *engine, struct order_list_body asked, struct listing *listing)
{
    asked.wanted = 0;
    asked.cursor = (struct id){0};
    listing->count = 0;
    do {
        asked.cursor = page(engine, &asked, listing);
    } while (!id_is_zero(asked.cursor));
}

/* Where an order stands from a place on; -1: nowhere. */
static int find(const struct listing *listing, int from, struct id order)
{
    for (int i = from; i < listing->count; i++) {
        if (id_equal(listing->orders[i], order))
            return i;
    }
    return -1;
}

static void walk_step(struct engine *engine, struct walk *walk)
{
    if (walk->has_ended)
        return;
    if (!walk->has_begun)
        list_all(engine, walk->asked, &walk->before);
    walk->has_begun = true;
    walk->asked.cursor = page(engine, &walk->asked, &walk->shown);
    walk->has_ended = id_is_zero(walk->asked.cursor);
    if (walk->has_ended)
        list_all(engine, walk->asked, &walk->after);
    if (test_random_below(4) == 0)
        walk->asked.cursor.high &= UINT32_MAX; /* another server does not know the hint */
}

/* What was in the list from beginning to end was shown once, in its order; nothing twice. An order
 * that has left a list of these does not come back. */
static void walk_check(const struct walk *walk)
{
    int last = -1;
    CHECK(walk->has_ended);
    for (int i = 0; i < walk->shown.count; i++)
        CHECK(find(&walk->shown, i + 1, walk->shown.orders[i]) < 0);
    for (int i = 0; i < walk->before.count; i++) {
        if (find(&walk->after, 0, walk->before.orders[i]) < 0)
            continue;
        int at = find(&walk->shown, 0, walk->before.orders[i]);
        CHECK(at > last);
        last = at;
    }
}

TEST(pages_show_each_order_that_stays_once_while_others_come_and_go)
{
    static struct walk walks[LISTS];
    static uint64_t room[FRAME_SIZE_MAX / 8];
    struct play_options options = play_options_for(REQUESTS);
    struct sequence sequence;
    char error[ERROR_SIZE];
    struct engine *engine = engine_create(&options.engine, error, sizeof error);
    CHECK(engine != NULL && engine_list(engine));
    memset(walks, 0, sizeof walks);
    walks[0].asked = (struct order_list_body){.state = order_state_PENDING, .wanted = 2};
    walks[1].asked = (struct order_list_body){.state = order_state_EXPIRED, .wanted = 3};
    walks[2].asked = (struct order_list_body){.state = order_state_CONFIRMED, .wanted = 5};
    walks[3].asked = (struct order_list_body){.customer = {.low = 7}, .wanted = 1};
    walks[4].asked = (struct order_list_body){.sku = 1, .wanted = 9};
    walks[5].asked = (struct order_list_body){.warehouse = 2, .wanted = 4};
    walks[6].asked = (struct order_list_body){.sale = 1, .wanted = 3};
    sequence_generate(&sequence, &profiles[PROFILE_LONG], test_random(), REQUESTS);
    for (int i = 0; i < sequence.count; i++) {
        struct model_request request = sequence_request(&sequence, i);
        ask(engine, sequence.items[i].time, request.number, request.body, request.size, room);
        for (int w = 0; w < LISTS && i >= BEGIN; w++)
            walk_step(engine, &walks[w]);
    }
    for (int w = 0; w < LISTS; w++) {
        while (!walks[w].has_ended)
            walk_step(engine, &walks[w]);
        walk_check(&walks[w]);
    }
    CHECK(walks[1].before.count > 16 && walks[4].before.count > 16);
    CHECK(engine_check_lists(engine, error, sizeof error));
    engine_destroy(engine);
    sequence_deinit(&sequence);
}

/* A list that is longer than a page looks at, and whose orders leave it behind the cursor. */
TEST(page_whose_place_has_left_a_long_list_is_found_again)
{
    enum { ORDERS = 4 * LIST_LOOKS_MAX };
    static uint64_t room[FRAME_SIZE_MAX / 8];
    static struct listing shown;
    struct play_options options = play_options_for(ORDERS);
    char error[ERROR_SIZE];
    struct engine *engine = engine_create(&options.engine, error, sizeof error);
    CHECK(engine != NULL && engine_list(engine));
    struct sku_put_body sku = {.sku = 1, .price = 1, .currency = 978};
    struct stock_adjust_body stock = {.key = {.low = 1}, .sku = 1, .delta = ORDERS, .warehouse = 1};
    CHECK_EQUAL(ask(engine, 1, MESSAGE_sku_put, &sku, sizeof sku, room), OUTCOME_OK);
    CHECK_EQUAL(ask(engine, 1, MESSAGE_stock_adjust, &stock, sizeof stock, room), OUTCOME_OK);
    for (uint64_t i = 1; i <= ORDERS; i++) {
        struct {
            struct order_place_body fixed;
            struct line_body line;
        } place = {.fixed = {.order = {.low = i}, .customer = {.low = 5}, .line_count = 1},
                   .line = {.sku = 1, .quantity = 1, .price = 1}};
        CHECK_EQUAL(ask(engine, 2, MESSAGE_order_place, &place, sizeof place, room), OUTCOME_OK);
    }
    /* Between two pages, the order that the cursor stands on leaves. */
    struct order_list_body asked = {.state = order_state_PENDING};
    uint64_t cancelled = 0;
    int pages = 0;
    shown.count = 0;
    do {
        int before = shown.count;
        asked.cursor = page(engine, &asked, &shown);
        pages++;
        if (shown.count == before)
            continue;
        struct order_change_body cancel = {.key = {.low = 100 + ++cancelled},
                                           .order = shown.orders[shown.count - 1]};
        CHECK_EQUAL(ask(engine, 3, MESSAGE_order_cancel, &cancel, sizeof cancel, room), OUTCOME_OK);
    } while (!id_is_zero(asked.cursor));
    CHECK_EQUAL(shown.count, ORDERS);
    for (int i = 0; i < ORDERS; i++)
        CHECK_EQUAL(shown.orders[i].low, ORDERS - i);
    CHECK(pages > ORDERS / LIST_ROWS_MAX); /* some only looked for their place */
    engine_destroy(engine);
}

TEST(holds_that_end_together_are_listed_by_their_numbers)
{
    enum { ORDERS = 600 };
    static uint64_t room[FRAME_SIZE_MAX / 8];
    static struct listing listing;
    struct play_options options = play_options_for(3 * ORDERS);
    char error[ERROR_SIZE];
    struct engine *engine = engine_create(&options.engine, error, sizeof error);
    CHECK(engine != NULL && engine_list(engine));
    struct sku_put_body sku = {.sku = 1, .price = 1, .currency = 978};
    struct stock_adjust_body stock = {.key = {.low = 1}, .sku = 1, .delta = ORDERS, .warehouse = 1};
    CHECK_EQUAL(ask(engine, 1, MESSAGE_sku_put, &sku, sizeof sku, room), OUTCOME_OK);
    CHECK_EQUAL(ask(engine, 1, MESSAGE_stock_adjust, &stock, sizeof stock, room), OUTCOME_OK);
    for (uint64_t i = 1; i <= ORDERS; i++) {
        struct {
            struct order_place_body fixed;
            struct line_body line;
        } place = {.fixed = {.order = {.low = i}, .customer = {.low = i}, .line_count = 1},
                   .line = {.sku = 1, .quantity = 1, .price = 1}};
        CHECK_EQUAL(ask(engine, 2, MESSAGE_order_place, &place, sizeof place, room), OUTCOME_OK);
    }
    /* Deadlines are set anew from the last order to the first, so they are run in that order. */
    for (uint64_t i = ORDERS; i > 0; i--) {
        struct hold_extend_body extend = {
            .key = {.low = 1000 + i}, .order = {.low = i}, .hold = 1000};
        CHECK_EQUAL(ask(engine, 3, MESSAGE_hold_extend, &extend, sizeof extend, room), OUTCOME_OK);
    }
    struct hold_expire_body expire = {.holds = HOLDS_PER_EXPIRE_MAX};
    CHECK_EQUAL(
        ask(engine, 2000 * US_PER_SECOND, MESSAGE_hold_expire, &expire, sizeof expire, room),
        OUTCOME_OK);
    list_all(engine, (struct order_list_body){.state = order_state_EXPIRED}, &listing);
    CHECK_EQUAL(listing.count, ORDERS);
    for (int i = 0; i < ORDERS; i++)
        CHECK_EQUAL(listing.orders[i].low, ORDERS - i);
    CHECK(engine_check_lists(engine, error, sizeof error));
    engine_destroy(engine);
}

TEST(lists_are_refused_where_there_are_none)
{
    static uint64_t room[FRAME_SIZE_MAX / 8];
    struct play_options options = play_options_for(10);
    char error[ERROR_SIZE];
    struct engine *engine = engine_create(&options.engine, error, sizeof error);
    CHECK(engine != NULL);
    uint64_t memory = engine_memory_bytes(engine);
    struct order_list_body orders = {.state = order_state_PENDING};
    struct attention_list_body attention = {.kind = attention_PARKED};
    CHECK_EQUAL(ask(engine, 1, MESSAGE_order_list, &orders, sizeof orders, room),
                OUTCOME_NOT_INDEXED);
    CHECK_EQUAL(ask(engine, 1, MESSAGE_attention_list, &attention, sizeof attention, room),
                OUTCOME_NOT_INDEXED);
    attention.kind = attention_DEFICIT;
    CHECK_EQUAL(ask(engine, 1, MESSAGE_attention_list, &attention, sizeof attention, room),
                OUTCOME_OK);
    orders.state = order_state_ANY;
    CHECK_EQUAL(ask(engine, 1, MESSAGE_order_list, &orders, sizeof orders, room), OUTCOME_INVALID);
    CHECK(engine_list(engine));
    CHECK_EQUAL(engine_memory_bytes(engine), memory + engine_lists_bytes(&options.engine));
    orders.sku = 9;
    CHECK_EQUAL(ask(engine, 1, MESSAGE_order_list, &orders, sizeof orders, room),
                OUTCOME_NOT_FOUND);
    engine_destroy(engine);
}
