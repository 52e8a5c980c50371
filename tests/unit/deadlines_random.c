/* The ring of deadlines against a naive list, with a clock that creeps and jumps by days. */
#include "engine/deadlines.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

enum { CAPACITY = 500, STEPS = 3000, ROUNDS = 6 };

#define DAY_US       (24 * 3600 * US_PER_SECOND)
#define START_US     (1700000000 * US_PER_SECOND)
#define RING_SPAN_US ((uint64_t)DEADLINE_BUCKETS << DEADLINE_BUCKET_SHIFT)

struct entry {
    uint64_t bucket_us;
    uint32_t order;
};

/* The ring, and a list of what it should have: by quarter-second, and in each as it was set. */
struct ring {
    struct deadlines deadlines;
    struct entry entries[CAPACITY];
    uint32_t count;
    uint32_t order_last;
    uint64_t now_us;
};

static struct ring *ring_create(void)
{
    struct ring *ring = calloc(1, sizeof *ring);
    CHECK(ring != NULL && deadlines_init(&ring->deadlines, CAPACITY));
    ring->now_us = START_US + test_random_below(RING_SPAN_US);
    return ring;
}

static void ring_destroy(struct ring *ring)
{
    deadlines_deinit(&ring->deadlines);
    free(ring);
}

static void ring_add(struct ring *ring, uint64_t deadline_us)
{
    struct entry entry = {deadline_bucket_us(deadline_us), ++ring->order_last};
    uint32_t place = ring->count;
    while (place > 0 && ring->entries[place - 1].bucket_us > entry.bucket_us)
        place--;
    memmove(&ring->entries[place + 1], &ring->entries[place], (ring->count - place) * sizeof entry);
    ring->entries[place] = entry;
    ring->count++;
    deadlines_add(&ring->deadlines, deadline_us, entry.order);
}

static bool has_passed(const struct ring *ring, const struct entry *entry)
{
    return entry->bucket_us < deadline_bucket_us(ring->now_us);
}

static bool has_room(const struct ring *ring, uint64_t deadline_us)
{
    uint64_t first_us = deadline_bucket_us(deadline_us);
    uint64_t last_us = first_us;
    if (ring->count == CAPACITY)
        return false;
    if (ring->count > 0 && ring->entries[0].bucket_us < first_us)
        first_us = ring->entries[0].bucket_us;
    if (ring->count > 0 && ring->entries[ring->count - 1].bucket_us > last_us)
        last_us = ring->entries[ring->count - 1].bucket_us;
    return last_us - first_us < RING_SPAN_US;
}

static void check_counts(struct ring *ring)
{
    uint32_t due_count = 0;
    while (due_count < ring->count && has_passed(ring, &ring->entries[due_count]))
        due_count++;
    CHECK_EQUAL(deadlines_due(&ring->deadlines, ring->now_us), due_count);
    uint64_t next_us =
        ring->count == 0 ? UINT64_MAX : ring->entries[0].bucket_us + (1 << DEADLINE_BUCKET_SHIFT);
    CHECK_EQUAL(deadlines_next_us(&ring->deadlines), next_us);
}

/* Takes up to count entries: each must be the first of the list, and must have passed. */
static void take(struct ring *ring, uint64_t count)
{
    for (; count > 0; count--) {
        uint32_t order = deadlines_take(&ring->deadlines, ring->now_us);
        bool due = ring->count > 0 && has_passed(ring, &ring->entries[0]);
        CHECK_EQUAL(order, due ? ring->entries[0].order : 0);
        if (!due)
            return;
        memmove(&ring->entries[0], &ring->entries[1], --ring->count * sizeof ring->entries[0]);
    }
}

static void add_some(struct ring *ring, uint64_t count)
{
    for (; count > 0; count--) {
        uint64_t hold_us =
            1 + (test_random_below(HOLD_MAX_S * US_PER_SECOND) >> test_random_below(30));
        uint64_t deadline_us = ring->now_us + hold_us;
        bool room = has_room(ring, deadline_us);
        CHECK_EQUAL(deadlines_has_room(&ring->deadlines, ring->now_us, deadline_us), room);
        if (room)
            ring_add(ring, deadline_us);
    }
}

static void play(struct ring *ring, uint64_t jump_us_max)
{
    for (int step = 0; step < STEPS; step++) {
        add_some(ring, test_random_below(8));
        check_counts(ring);
        ring->now_us += test_random_below(10) == 0 ? test_random_below(jump_us_max)
                                                   : test_random_below(US_PER_SECOND);
        check_counts(ring);
        take(ring, test_random_below(12));
        check_counts(ring);
    }
    ring->now_us += 8 * DAY_US;
    take(ring, UINT64_MAX);
    CHECK_EQUAL(ring->count, 0);
    check_counts(ring);
}

TEST(deadlines_come_due_in_order_while_the_clock_creeps)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct ring *ring = ring_create();
        play(ring, 60 * US_PER_SECOND);
        ring_destroy(ring);
    }
}

TEST(deadlines_come_due_in_order_when_the_clock_jumps_by_days)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct ring *ring = ring_create();
        play(ring, 20 * DAY_US);
        ring_destroy(ring);
    }
}

TEST(deadlines_of_one_moment_come_in_the_order_they_were_set)
{
    struct ring *ring = ring_create();
    for (int i = 0; i < CAPACITY; i++)
        ring_add(ring, ring->now_us + HOLD_DEFAULT_S * US_PER_SECOND);
    CHECK(!deadlines_has_room(&ring->deadlines, ring->now_us, ring->now_us + 1));
    take(ring, 1);
    ring->now_us += HOLD_DEFAULT_S * US_PER_SECOND;
    take(ring, 1);
    ring->now_us += US_PER_SECOND;
    CHECK_EQUAL(deadlines_due(&ring->deadlines, ring->now_us), CAPACITY);
    take(ring, CAPACITY / 2);
    add_some(ring, CAPACITY);
    check_counts(ring);
    take(ring, UINT64_MAX);
    ring_destroy(ring);
}

TEST(deadlines_refuse_what_the_ring_does_not_span)
{
    struct ring *ring = ring_create();
    ring_add(ring, ring->now_us + 1);
    ring->now_us += RING_SPAN_US;
    CHECK(deadlines_has_room(&ring->deadlines, ring->now_us - US_PER_SECOND,
                             ring->now_us - US_PER_SECOND / 2));
    CHECK(!deadlines_has_room(&ring->deadlines, ring->now_us, ring->now_us + US_PER_SECOND));
    take(ring, 1);
    CHECK(deadlines_has_room(&ring->deadlines, ring->now_us, ring->now_us + US_PER_SECOND));
    ring_destroy(ring);
}

struct visits {
    const struct ring *ring;
    uint32_t count;
};

static void visit(void *context, uint64_t bucket_us, uint32_t order)
{
    struct visits *visits = context;
    CHECK(visits->count < visits->ring->count);
    CHECK_EQUAL(bucket_us, visits->ring->entries[visits->count].bucket_us);
    CHECK_EQUAL(order, visits->ring->entries[visits->count].order);
    visits->count++;
}

TEST(deadlines_are_visited_each_once_and_in_order)
{
    struct ring *ring = ring_create();
    for (int round = 0; round < ROUNDS; round++) {
        struct visits visits = {.ring = ring};
        add_some(ring, 40);
        ring->now_us += test_random_below(DAY_US);
        take(ring, 20);
        deadlines_each(&ring->deadlines, visit, &visits);
        CHECK_EQUAL(visits.count, ring->count);
    }
    ring_destroy(ring);
}
