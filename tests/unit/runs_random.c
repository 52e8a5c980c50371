/* Runs against a naive map of records: what is taken is free and in a row, what is given back can
 * be taken again, free blocks are those of a buddy allocator, and everything given back is one
 * again. */
#include "engine/runs.h"

#include <stdlib.h>

#include "tests/test.h"

enum { CAPACITY = 700, STEPS = 20000, RUNS_MAX = CAPACITY, RECORD_SIZE = 24 };

static const struct run_layout layout = {.links_offset = 8, .used_offset = 4};

struct taken {
    uint32_t first;
    uint32_t count;
};

struct world {
    struct runs runs;
    bool used[CAPACITY + 1];
    struct taken taken[RUNS_MAX];
    uint32_t taken_count;
    uint32_t used_count;
    uint32_t length_max;
};

static void world_init(struct world *world, uint32_t length_max)
{
    *world = (struct world){.length_max = length_max, .runs = {.layout = &layout}};
    CHECK(arena_init(&world->runs.records, RECORD_SIZE, CAPACITY));
}

static void fill(struct world *world, uint32_t index)
{
    uint32_t *words = arena_at(&world->runs.records, index);
    for (unsigned i = 0; i < RECORD_SIZE / sizeof *words; i++) {
        CHECK_EQUAL(words[i], 0);
        words[i] = 1 + (uint32_t)test_random_below(9);
    }
}

/* Is there a run of so many free records as one block, or behind all others? */
static bool naive_have(const struct world *world, uint32_t count)
{
    uint32_t size = 1;
    while (size < count)
        size *= 2;
    if (CAPACITY - world->runs.records.count >= count)
        return true;
    for (uint32_t first = size; first + size - 1 <= world->runs.records.count; first += size) {
        uint32_t free_count = 0;
        while (free_count < size && !world->used[first + free_count])
            free_count++;
        if (free_count == size)
            return true;
    }
    return false;
}

static void take(struct world *world, uint32_t count)
{
    bool have = naive_have(world, count);
    CHECK_EQUAL(runs_have(&world->runs, count), have);
    uint32_t first = runs_take(&world->runs, count);
    CHECK_EQUAL(first != 0, have);
    if (first == 0)
        return;
    CHECK(first + count - 1 <= CAPACITY);
    for (uint32_t i = first; i < first + count; i++) {
        CHECK(!world->used[i]);
        world->used[i] = true;
        fill(world, i);
    }
    world->taken[world->taken_count++] = (struct taken){first, count};
    world->used_count += count;
}

static void give(struct world *world, uint32_t at)
{
    struct taken taken = world->taken[at];
    world->taken[at] = world->taken[--world->taken_count];
    world->used_count -= taken.count;
    for (uint32_t i = 0; i < taken.count; i++)
        world->used[taken.first + i] = false;
    runs_give(&world->runs, taken.first, taken.count);
}

/* Of those that were taken one after the other. */
static void give_oldest(struct world *world)
{
    struct taken oldest = world->taken[0];
    memmove(&world->taken[0], &world->taken[1], (world->taken_count - 1) * sizeof world->taken[0]);
    world->taken[world->taken_count - 1] = oldest;
    give(world, world->taken_count - 1);
}

/* The lists have each free record once, and no block whose buddy is in the same list. */
static void check_lists(const struct world *world)
{
    const struct runs *runs = &world->runs;
    bool listed[CAPACITY + 1] = {false};
    uint32_t sizes[CAPACITY + 1] = {0};
    uint32_t count = 0;
    for (unsigned size = 0; size < RUN_SIZES; size++) {
        uint32_t previous = 0;
        for (uint32_t at = runs->free[size]; at != 0; at = run_block_at(runs, at).next) {
            CHECK_EQUAL(at % (1u << size), 0);
            CHECK_EQUAL(run_block_at(runs, at).previous, previous);
            CHECK_EQUAL(run_block_at(runs, at).size, size + 1);
            sizes[at] = size + 1;
            for (uint32_t i = at; i < at + (1u << size); i++) {
                CHECK(i <= runs->records.count && !world->used[i] && !listed[i]);
                listed[i] = true;
                count++;
            }
            previous = at;
        }
    }
    CHECK_EQUAL(count, runs->free_count);
    CHECK_EQUAL(runs_used(runs), world->used_count);
    for (uint32_t i = 1; i <= runs->records.count; i++) {
        CHECK_EQUAL(run_is_free(runs, i), !world->used[i]);
        uint32_t buddy = sizes[i] > 0 ? i ^ 1u << (sizes[i] - 1) : 0;
        if (sizes[i] > 0 && sizes[i] < RUN_SIZES && buddy <= CAPACITY)
            CHECK(sizes[buddy] != sizes[i]);
    }
}

static void play(uint32_t length_max)
{
    struct world world;
    world_init(&world, length_max);
    for (unsigned step = 0; step < STEPS; step++) {
        /* In turns the table fills up and empties. */
        bool fills = step / 500 % 2 == 0;
        bool takes = test_random_below(10) < (fills ? 7 : 3);
        if (takes && world.taken_count < RUNS_MAX)
            take(&world, 1 + (uint32_t)test_random_below(length_max));
        else if (world.taken_count > 0)
            give(&world, (uint32_t)test_random_below(world.taken_count));
        if (step % 50 == 0)
            check_lists(&world);
    }
    while (world.taken_count > 0)
        give(&world, (uint32_t)test_random_below(world.taken_count));
    check_lists(&world);
    CHECK_EQUAL(runs_used(&world.runs), 0);
    for (uint32_t blocks = 0; blocks < CAPACITY / RUN_LENGTH_MAX - 1; blocks++)
        take(&world, RUN_LENGTH_MAX);
    arena_deinit(&world.runs.records);
}

TEST(runs_that_were_given_back_are_taken_again)
{
    play(1);
    play(5);
    play(32);
    play(RUN_LENGTH_MAX);
}

/* The orders of a shop end about in the order in which they came: their lines never need more room
 * than as many of the longest. */
TEST(runs_of_a_steady_load_need_no_more_room_than_at_first)
{
    enum { LIVE = 60, ROUNDS = 20000, LENGTH_MAX = 8 };
    struct world world;
    world_init(&world, LENGTH_MAX);
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (world.taken_count == LIVE)
            give_oldest(&world);
        take(&world, 1 + (uint32_t)test_random_below(LENGTH_MAX));
    }
    CHECK(world.runs.records.count <= LIVE * LENGTH_MAX);
    check_lists(&world);
    arena_deinit(&world.runs.records);
}
