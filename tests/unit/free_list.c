/* Freed records: the free list against a naive stack, and a table of kind POOL in an engine, whose
 * records are taken and freed with the orders that need them. */
#include "engine/free_list.h"

#include <string.h>

#include "engine/image.h"
#include "engine/memory.h"
#include "engine/sum.h"
#include "tests/test.h"

enum { ERROR_SIZE = 512, EURO = 978, TAKES = 8, LOT_POINTS = 10, ORDERS = 100 };

struct made_up {
    uint64_t content;
    uint32_t next;
    uint32_t zero;
};

TEST(free_list_gives_out_the_newest_record_it_was_given)
{
    enum { CAPACITY = 50, STEPS = 10000 };
    struct arena arena;
    uint32_t first = 0;
    uint32_t freed[CAPACITY], taken[CAPACITY];
    uint32_t freed_count = 0, taken_count = 0;
    CHECK(arena_init(&arena, sizeof(struct made_up), CAPACITY));
    for (unsigned step = 0; step < STEPS; step++) {
        if (taken_count == 0 || test_random_below(2) == 0) {
            uint32_t expected = freed_count > 0 ? freed[freed_count - 1] : arena.count + 1;
            uint32_t index = free_list_take(&arena, &first, offsetof(struct made_up, next));
            CHECK_EQUAL(index, taken_count < CAPACITY ? expected : 0);
            freed_count -= freed_count > 0;
            if (index != 0)
                taken[taken_count++] = index;
        } else {
            uint32_t at = (uint32_t)test_random_below(taken_count);
            struct made_up *record = arena_at(&arena, taken[at]);
            free_list_give(&first, record, offsetof(struct made_up, next), taken[at]);
            freed[freed_count++] = taken[at];
            taken[at] = taken[--taken_count];
        }
    }
    arena_deinit(&arena);
}

static uint64_t now_us = 1000000;

static uint16_t ask(struct engine *engine, uint16_t number, const void *body, size_t size)
{
    struct command command = {.body = body, .size = (uint32_t)size, .number = number};
    engine_decide(engine, now_us, &command, 1);
    return command.outcome;
}

/* An engine with a SKU, and a customer who has this number of lots of points. */
static struct engine *make_engine(unsigned lots)
{
    char error[ERROR_SIZE];
    struct engine_options options = engine_options_default;
    options.point_takes = TAKES;
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    struct sku_put_body sku = {.sku = 1, .price = 100, .currency = EURO};
    struct stock_set_body stock = {.sku = 1, .on_hand = ORDERS, .warehouse = 1};
    CHECK_EQUAL(ask(engine, MESSAGE_sku_put, &sku, sizeof sku), OUTCOME_OK);
    CHECK_EQUAL(ask(engine, MESSAGE_stock_set, &stock, sizeof stock), OUTCOME_OK);
    for (unsigned i = 0; i < lots; i++) {
        struct points_credit_body credit = {
            .key = {.low = 1000 + i}, .customer = {.low = 1}, .points = LOT_POINTS};
        CHECK_EQUAL(ask(engine, MESSAGE_points_credit, &credit, sizeof credit), OUTCOME_OK);
    }
    return engine;
}

/* An order that takes points from this number of lots. */
static uint16_t place(struct engine *engine, uint64_t order, unsigned lots)
{
    struct {
        struct order_place_body body;
        struct line_body line;
    } request = {
        .body = {.order = {.low = order},
                 .customer = {.low = 1},
                 .points = (int64_t)lots * LOT_POINTS,
                 .line_count = 1},
        .line = {.sku = 1, .quantity = 1, .price = 100},
    };
    return ask(engine, MESSAGE_order_place, &request, sizeof request);
}

static void release(struct engine *engine, uint64_t order)
{
    struct order_change_body body = {.key = {.low = 5000 + order}, .order = {.low = order}};
    CHECK_EQUAL(ask(engine, MESSAGE_hold_release, &body, sizeof body), OUTCOME_OK);
}

static void check_state(const struct engine *engine, uint64_t takes)
{
    char error[ERROR_SIZE];
    if (!engine_check(engine, error, sizeof error))
        test_fail(__FILE__, __LINE__, "%s", error);
    CHECK_EQUAL(engine_table_fill(engine, CAPACITY_point_takes).used, takes);
}

TEST(pool_has_room_for_as_many_records_as_are_in_use)
{
    struct engine *engine = make_engine(TAKES + 1);
    for (uint64_t order = 1; order <= ORDERS; order++) {
        CHECK_EQUAL(place(engine, order, TAKES), OUTCOME_OK);
        check_state(engine, TAKES);
        CHECK_EQUAL(place(engine, order + ORDERS, 1), OUTCOME_CAPACITY);
        release(engine, order);
        check_state(engine, 0);
    }
    CHECK_EQUAL(table_free_list(engine, TABLE_point_takes).count, TAKES);
    engine_destroy(engine);
}

/* Does what loading a snapshot does: numbers, then records, then what is rebuilt from them. */
static void copy(const struct engine *engine, struct engine *to)
{
    char error[ERROR_SIZE];
    uint64_t scalars[ENGINE_SCALAR_COUNT];
    struct engine_counts counts;
    engine_scalars(engine, scalars);
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct engine_table_view view = engine_table_view(engine, (enum engine_table)i);
        counts.count[i] = view.count;
        counts.capacity[i] = view.capacity;
    }
    CHECK_EQUAL(engine_load_begin(to, scalars, &counts, error, sizeof error), ENGINE_LOAD_READY);
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        struct engine_table_view view = engine_table_view(engine, (enum engine_table)i);
        memcpy(engine_load_room(to, (enum engine_table)i, 0, view.count), view.records,
               (size_t)view.count * view.record_size);
    }
    engine_rebuild(to);
}

TEST(pool_that_was_copied_goes_on_like_its_original)
{
    struct engine *engine = make_engine(TAKES);
    struct engine *copied = make_engine(0);
    for (uint64_t order = 1; order <= 4; order++)
        CHECK_EQUAL(place(engine, order, 2), OUTCOME_OK);
    release(engine, 3);
    release(engine, 1);
    CHECK(engine_clear(copied));
    copy(engine, copied);
    check_state(copied, 4);
    CHECK_EQUAL(engine_checksum(copied), engine_checksum(engine));
    struct engine *both[] = {engine, copied};
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQUAL(place(both[i], 5, 3), OUTCOME_OK);
        release(both[i], 2);
        CHECK_EQUAL(place(both[i], 6, 3), OUTCOME_OK);
        check_state(both[i], TAKES);
    }
    CHECK_EQUAL(engine_digest(copied), engine_digest(engine));
    CHECK_EQUAL(engine_checksum(copied), engine_checksum(engine));
    engine_destroy(engine);
    engine_destroy(copied);
}

/* Any damage to a free list is detected from the rows alone. */
TEST(free_lists_that_lie_are_refused)
{
    char error[ERROR_SIZE];
    struct engine *engine = make_engine(TAKES);
    CHECK_EQUAL(place(engine, 1, 3), OUTCOME_OK);
    CHECK_EQUAL(place(engine, 2, 3), OUTCOME_OK);
    release(engine, 1);
    check_state(engine, 3);
    struct free_list list = table_free_list(engine, TABLE_point_takes);
    CHECK(table_record_is_free(engine, TABLE_point_takes, list.first));
    struct point_take *freed = point_take_edit(engine, list.first);
    struct point_take was = *freed;
    freed->points = 1;
    CHECK(!engine_check_bounds(engine, error, sizeof error));
    *freed = was;
    freed->next = 0;
    CHECK(!engine_check_bounds(engine, error, sizeof error));
    *freed = was;
    engine->point_takes_free_count++;
    CHECK(!engine_check_bounds(engine, error, sizeof error));
    engine->point_takes_free_count--;
    engine->point_takes_free = 0;
    CHECK(!engine_check_bounds(engine, error, sizeof error));
    engine->point_takes_free = list.first;
    check_state(engine, 3);
    engine_destroy(engine);
}
