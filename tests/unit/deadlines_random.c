/* The deadlines, near and far, against a naive list, with a clock that advances slowly and in leaps
 * of days and years. An entry's record is its index in the list. */
#include "engine/deadlines.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

enum { CAPACITY = 500, STEPS = 3000, ROUNDS = 6, RECORDS_MAX = 1 << 20 };

#define DAY_US       (24 * 3600 * US_PER_SECOND)
#define YEAR_US      (365 * DAY_US)
#define START_US     (1700000000 * US_PER_SECOND)
#define NEAR_SPAN_US ((uint64_t)DEADLINE_NEAR_BUCKETS << DEADLINE_NEAR_SHIFT)
#define FAR_US       (1ULL << DEADLINE_FAR_SHIFT)

/* The entries that were set, by record: the time, or 0 once the entry was taken as due. */
struct naive {
    struct deadlines deadlines;
    uint64_t *times;
    uint32_t record_last;
    uint32_t count;
    uint64_t now_us;
    bool has_moved; /* some were set again, so their times are no longer in order */
};

static struct naive *naive_create(void)
{
    struct naive *naive = calloc(1, sizeof *naive);
    CHECK(naive != NULL && deadlines_init(&naive->deadlines, CAPACITY));
    naive->times = calloc(RECORDS_MAX, sizeof naive->times[0]);
    CHECK(naive->times != NULL);
    naive->now_us = START_US + test_random_below(NEAR_SPAN_US);
    return naive;
}

static void naive_destroy(struct naive *naive)
{
    deadlines_deinit(&naive->deadlines);
    free(naive->times);
    free(naive);
}

static void add(struct naive *naive, uint64_t deadline_us)
{
    uint32_t record = ++naive->record_last;
    CHECK(record < RECORDS_MAX);
    naive->times[record] = deadline_us;
    naive->count++;
    uint32_t entry = deadline_entry(3, record);
    if (!deadlines_add_open(&naive->deadlines, naive->now_us, deadline_us, entry))
        deadlines_add(&naive->deadlines, naive->now_us, deadline_us, entry);
}

static void add_some(struct naive *naive, uint64_t count, uint64_t span_us)
{
    for (; count > 0 && naive->count < CAPACITY; count--) {
        CHECK(deadlines_has_room(&naive->deadlines));
        add(naive, naive->now_us + 1 + (test_random_below(span_us) >> test_random_below(30)));
    }
    CHECK_EQUAL(deadlines_has_room(&naive->deadlines), naive->count < CAPACITY);
}

/* Takes up to count entries as the engine does. */
static void take(struct naive *naive, uint64_t count)
{
    uint64_t bucket_us = 0;
    uint32_t entry;
    for (; count > 0; count--) {
        enum deadline_taken taken = deadlines_take(&naive->deadlines, naive->now_us, &entry);
        if (taken == DEADLINE_NONE)
            return;
        CHECK_EQUAL(deadline_timer(entry), 3);
        uint32_t record = deadline_record(entry);
        uint64_t time_us = naive->times[record];
        CHECK(time_us > 0);
        if (taken == DEADLINE_FAR) {
            deadlines_add(&naive->deadlines, naive->now_us, time_us, entry);
            naive->has_moved = true;
            continue;
        }
        /* No entry is taken before its time. */
        CHECK(deadline_bucket_us(time_us) < deadline_bucket_us(naive->now_us));
        CHECK(naive->has_moved || deadline_bucket_us(time_us) >= bucket_us);
        bucket_us = deadline_bucket_us(time_us);
        naive->times[record] = 0;
        naive->count--;
    }
}

/* After everything due was taken, no entry is left whose time passed a tick ago or more, and the
 * next time to look is not later than the first remaining entry's time. An entry of a far bucket
 * that was opened after the entry's time is due one near bucket later. */
static void check_none_is_late(struct naive *naive)
{
    uint64_t first_us = UINT64_MAX;
    take(naive, UINT64_MAX);
    naive->now_us += 1u << DEADLINE_NEAR_SHIFT;
    take(naive, UINT64_MAX);
    CHECK_EQUAL(deadlines_due(&naive->deadlines, naive->now_us), 0);
    CHECK_EQUAL(deadlines_count(&naive->deadlines), naive->count);
    for (uint32_t record = 1; record <= naive->record_last; record++) {
        uint64_t time_us = naive->times[record];
        if (time_us > 0 && time_us < first_us)
            first_us = time_us;
    }
    CHECK(first_us > naive->now_us - TICK_US);
    uint64_t next_us = deadlines_next_us(&naive->deadlines);
    if (naive->count == 0)
        CHECK_EQUAL(next_us, UINT64_MAX);
    else
        CHECK(next_us > naive->now_us && next_us <= first_us + TICK_US);
}

static void play(struct naive *naive, uint64_t span_us, uint64_t jump_us_max)
{
    for (int step = 0; step < STEPS; step++) {
        add_some(naive, test_random_below(8), span_us);
        naive->now_us += test_random_below(10) == 0 ? test_random_below(jump_us_max)
                                                    : test_random_below(US_PER_SECOND);
        take(naive, test_random_below(12));
        if (test_random_below(50) == 0)
            check_none_is_late(naive);
    }
    check_none_is_late(naive);
    while (naive->count > 0) {
        naive->now_us = deadlines_next_us(&naive->deadlines);
        CHECK(naive->now_us != UINT64_MAX);
        check_none_is_late(naive);
    }
}

static void play_rounds(uint64_t span_us, uint64_t jump_us_max)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct naive *naive = naive_create();
        play(naive, span_us, jump_us_max);
        naive_destroy(naive);
    }
}

TEST(deadlines_of_holds_come_due_while_the_clock_creeps)
{
    play_rounds(HOLD_MAX_S * US_PER_SECOND, 60 * US_PER_SECOND);
}

TEST(deadlines_of_holds_come_due_when_the_clock_jumps_by_days)
{
    play_rounds(HOLD_MAX_S * US_PER_SECOND, 20 * DAY_US);
}

TEST(deadlines_years_ahead_come_due_in_their_time)
{
    play_rounds(30 * YEAR_US, 20 * DAY_US);
}

TEST(deadlines_beyond_every_bucket_come_due_in_their_time)
{
    play_rounds(500 * YEAR_US, 3 * YEAR_US);
}

TEST(deadlines_come_due_when_the_clock_jumps_by_decades)
{
    play_rounds(100 * YEAR_US, 40 * YEAR_US);
}

TEST(deadlines_of_one_moment_come_in_the_order_they_were_set)
{
    struct naive *naive = naive_create();
    for (int i = 0; i < CAPACITY; i++)
        add(naive, naive->now_us + HOLD_DEFAULT_S * US_PER_SECOND);
    CHECK(!deadlines_has_room(&naive->deadlines));
    naive->now_us += HOLD_DEFAULT_S * US_PER_SECOND + US_PER_SECOND;
    CHECK_EQUAL(deadlines_due(&naive->deadlines, naive->now_us), CAPACITY);
    for (uint32_t i = 1; i <= CAPACITY; i++) {
        uint32_t entry;
        CHECK_EQUAL(deadlines_take(&naive->deadlines, naive->now_us, &entry), DEADLINE_DUE);
        CHECK_EQUAL(deadline_record(entry), i);
    }
    naive_destroy(naive);
}

TEST(deadline_that_has_passed_is_due_at_once)
{
    struct naive *naive = naive_create();
    uint32_t entry;
    add(naive, naive->now_us + 1);
    naive->now_us += US_PER_SECOND;
    CHECK_EQUAL(deadlines_due(&naive->deadlines, naive->now_us), 1);
    deadlines_add(&naive->deadlines, naive->now_us, START_US / 2, deadline_entry(5, 77));
    naive->now_us += US_PER_SECOND;
    CHECK_EQUAL(deadlines_take(&naive->deadlines, naive->now_us, &entry), DEADLINE_DUE);
    CHECK_EQUAL(deadline_record(entry), 1);
    CHECK_EQUAL(deadlines_take(&naive->deadlines, naive->now_us, &entry), DEADLINE_DUE);
    CHECK_EQUAL(deadline_timer(entry), 5);
    CHECK_EQUAL(deadline_record(entry), 77);
    naive_destroy(naive);
}

TEST(deadlines_far_ahead_cost_nothing_until_their_bucket_opens)
{
    struct naive *naive = naive_create();
    uint64_t deadline_us = naive->now_us + YEAR_US;
    add(naive, deadline_us);
    CHECK_EQUAL(naive->deadlines.far.count, 1);
    CHECK(deadlines_next_us(&naive->deadlines) > naive->now_us + YEAR_US - 3 * FAR_US);
    naive->now_us = deadline_us - 2 * FAR_US;
    CHECK_EQUAL(deadlines_due(&naive->deadlines, naive->now_us), 0);
    naive->now_us = deadline_us - FAR_US + 1;
    take(naive, 1);
    CHECK_EQUAL(naive->deadlines.far.count, 0);
    CHECK_EQUAL(naive->deadlines.near.count, 1);
    CHECK_EQUAL(naive->count, 1);
    naive->now_us = deadline_us + US_PER_SECOND;
    take(naive, 1);
    CHECK_EQUAL(naive->count, 0);
    naive_destroy(naive);
}

struct visits {
    const struct naive *naive;
    uint32_t count;
};

static void visit(void *context, uint64_t bucket_us, bool is_far, uint32_t entry)
{
    struct visits *visits = context;
    uint64_t time_us = visits->naive->times[deadline_record(entry)];
    CHECK(time_us > 0);
    if (is_far)
        CHECK_EQUAL(bucket_us, time_us >> DEADLINE_FAR_SHIFT << DEADLINE_FAR_SHIFT);
    else
        CHECK_EQUAL(bucket_us, deadline_bucket_us(time_us));
    visits->count++;
}

TEST(deadlines_are_visited_each_once)
{
    struct naive *naive = naive_create();
    for (int round = 0; round < ROUNDS; round++) {
        struct visits visits = {.naive = naive};
        add_some(naive, 40, YEAR_US);
        naive->now_us += test_random_below(DAY_US);
        take(naive, 20);
        deadlines_each(&naive->deadlines, visit, &visits);
        CHECK_EQUAL(visits.count, naive->count);
    }
    naive_destroy(naive);
}
