/* The log's time with machine clocks that are wrong: while it runs, and at each kind of start. */
#include <string.h>

#include "net/clock.h"
#include "tests/test.h"

#define HOUR_US (3600 * US_PER_SECOND)
#define DAY_US  (24 * HOUR_US)

enum { ROUNDS = 200, TURNS = 2000 };

static const struct id boot = {.low = 7, .high = 9};
static const struct id other_boot = {.low = 8, .high = 9};
static const uint64_t start_us = 1700000000ULL * US_PER_SECOND;

static char text[CLOCK_TEXT_SIZE];
static uint64_t unproven_us;

static struct clock_reading reading(uint64_t boot_us, uint64_t wall_us)
{
    return (struct clock_reading){.boot_us = boot_us, .wall_us = wall_us};
}

/* A clock that began without a log, in step with the wall clock. */
static struct clock begun(void)
{
    struct clock clock;
    const struct clock_start start = {
        .now = reading(US_PER_SECOND, start_us), .boot = boot, .bound_us = CLOCK_BOUND_US};
    CHECK(clock_begin(&clock, &start, &unproven_us, text));
    CHECK_EQUAL(clock.log_us, start_us);
    CHECK_EQUAL(unproven_us, 0);
    CHECK_EQUAL(text[0], '\0');
    return clock;
}

/* Advances by `us`, with a wall clock that is off by wall_off_us. */
static enum clock_event go_on(struct clock *clock, uint64_t us, int64_t wall_off_us)
{
    uint64_t boot_us = clock->now.boot_us + us;
    uint64_t wall_us = start_us + boot_us - US_PER_SECOND + (uint64_t)wall_off_us;
    return clock_turn(clock, reading(boot_us, wall_us));
}

/* The log's time, relative to what it would be if nobody had set the wall clock. */
static int64_t off_us(const struct clock *clock)
{
    return (int64_t)(clock->log_us - start_us - (clock->now.boot_us - US_PER_SECOND));
}

TEST(log_time_goes_by_a_clock_that_cannot_be_set)
{
    struct clock clock = begun();
    CHECK_EQUAL(go_on(&clock, 12345, 0), CLOCK_GOES_ON);
    CHECK_EQUAL(off_us(&clock), 0);
    CHECK_EQUAL(clock_at(&clock, clock.now.boot_us + 50), clock.log_us + 50);
    CHECK_EQUAL(clock_at(&clock, clock.now.boot_us - 50), clock.log_us);
    clock_say(&clock, CLOCK_GOES_ON, text);
    CHECK_EQUAL(text[0], '\0');
}

TEST(log_time_approaches_a_wall_clock_nearby_by_a_twentieth)
{
    for (int64_t wall_off_us = -2000000; wall_off_us <= 2000000; wall_off_us += 4000000) {
        struct clock clock = begun();
        CHECK_EQUAL(go_on(&clock, 10 * US_PER_SECOND, wall_off_us), CLOCK_GOES_ON);
        CHECK_EQUAL(off_us(&clock), wall_off_us / 4);
        CHECK_EQUAL(go_on(&clock, 10 * US_PER_SECOND, wall_off_us), CLOCK_GOES_ON);
        CHECK_EQUAL(off_us(&clock), wall_off_us / 2);
        CHECK_EQUAL(go_on(&clock, HOUR_US, wall_off_us), CLOCK_GOES_ON);
        CHECK_EQUAL(off_us(&clock), wall_off_us);
    }
}

TEST(turns_too_short_for_a_step_add_up)
{
    struct clock clock = begun();
    for (int turn = 0; turn < 1000; turn++)
        go_on(&clock, 3, 1000000);
    CHECK_EQUAL(off_us(&clock), 3 * 1000 / CLOCK_SLEW);
}

TEST(wall_clock_that_jumps_is_said_counted_and_not_followed_until_it_is_back)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        struct clock clock = begun();
        int64_t jump_us = sign * (int64_t)(25 * HOUR_US);
        CHECK_EQUAL(go_on(&clock, US_PER_SECOND, jump_us), CLOCK_JUMPED);
        clock_say(&clock, CLOCK_JUMPED, text);
        CHECK(strstr(text, sign < 0 ? "25 h 0 min behind" : "25 h 0 min ahead") != NULL);
        CHECK(strstr(text, "2023-11-14T22:13:21Z") != NULL); /* what it should say */
        CHECK(strstr(text, sign < 0 ? "2023-11-13T21:13:21Z" : "2023-11-15T23:13:21Z") != NULL);
        CHECK_EQUAL(go_on(&clock, HOUR_US, jump_us), CLOCK_GOES_ON);
        CHECK_EQUAL(off_us(&clock), 0);
        CHECK_EQUAL(go_on(&clock, HOUR_US, sign * (int64_t)CLOCK_BOUND_US), CLOCK_GOES_ON);
        CHECK_EQUAL(off_us(&clock), 0);
        CHECK_EQUAL(go_on(&clock, 60 * US_PER_SECOND, sign * (int64_t)CLOCK_BOUND_US / 2),
                    CLOCK_RETURNED);
        clock_say(&clock, CLOCK_RETURNED, text);
        CHECK(strstr(text, "2 h 1 min") != NULL);
        CHECK_EQUAL(clock.jump_count, 1);
        CHECK_EQUAL(off_us(&clock), sign * 3 * (int64_t)US_PER_SECOND);
    }
}

TEST(wall_clock_that_creeps_faster_than_it_may_is_a_jump_in_the_end)
{
    struct clock clock = begun();
    int64_t wall_off_us = 0;
    while (go_on(&clock, US_PER_SECOND, wall_off_us) == CLOCK_GOES_ON) {
        wall_off_us += 500000;
        CHECK(wall_off_us < (int64_t)HOUR_US);
    }
    CHECK(off_us(&clock) <= wall_off_us / 8);
}

/* A start some time after the clock's note was written, in the same boot or another. */
struct restart {
    struct id boot;
    uint64_t passed_us; /* by the time since the boot */
    int64_t wall_off_us;
    bool is_accepted;
};

static bool restart(struct clock *clock, const struct restart *how)
{
    struct clock_note note = clock_note_of(clock, boot);
    bool is_same = id_equal(how->boot, boot);
    uint64_t boot_us = is_same ? clock->now.boot_us + how->passed_us : how->passed_us;
    const struct clock_start start = {
        .now = reading(boot_us, clock->log_us + how->passed_us + (uint64_t)how->wall_off_us),
        .boot = how->boot,
        .last_us = clock->log_us - 5,
        .note = note,
        .is_accepted = how->is_accepted,
        .bound_us = CLOCK_BOUND_US,
    };
    return clock_begin(clock, &start, &unproven_us, text);
}

TEST(start_in_the_same_boot_goes_on_as_if_the_server_had_not_stopped)
{
    static const int64_t offs_us[] = {0, 9999999, -9999999};
    for (int i = 0; i < 3; i++) {
        struct clock clock = begun();
        const struct restart how = {boot, 90 * DAY_US, offs_us[i], i == 1};
        uint64_t log_us = clock.log_us;
        CHECK(restart(&clock, &how));
        CHECK_EQUAL(clock.log_us, log_us + 90 * DAY_US);
        CHECK_EQUAL(unproven_us, 0);
        CHECK_EQUAL(text[0], '\0');
        CHECK(!clock.has_jumped);
    }
}

TEST(start_in_the_same_boot_does_not_follow_a_clock_that_jumped_meanwhile)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        struct clock clock = begun();
        const struct restart how = {boot, HOUR_US, sign * (int64_t)(25 * HOUR_US), false};
        uint64_t log_us = clock.log_us;
        CHECK(restart(&clock, &how));
        CHECK_EQUAL(clock.log_us, log_us + HOUR_US);
        CHECK_EQUAL(unproven_us, 0);
        CHECK(clock.has_jumped);
        CHECK_EQUAL(clock.jump_count, 1);
        CHECK(strstr(text, "--accept-clock") != NULL);
    }
}

TEST(start_in_another_boot_believes_a_clock_that_is_ahead_by_a_day_at_most)
{
    struct clock clock = begun();
    uint64_t log_us = clock.log_us;
    const struct restart most = {other_boot, DAY_US, 0, false};
    CHECK(restart(&clock, &most));
    CHECK_EQUAL(clock.log_us, log_us + DAY_US);
    CHECK_EQUAL(unproven_us, DAY_US);
    CHECK_EQUAL(text[0], '\0');
    clock = begun();
    struct restart more = {other_boot, DAY_US + 1, 0, false};
    CHECK(!restart(&clock, &more));
    CHECK(strstr(text, "2023-11-14T22:13:20Z") != NULL);
    CHECK(strstr(text, "2023-11-15T22:13:20Z") != NULL);
    CHECK(strstr(text, "24 h 0 min") != NULL && strstr(text, "--accept-clock") != NULL);
    clock = begun();
    more.is_accepted = true;
    CHECK(restart(&clock, &more));
    CHECK_EQUAL(clock.log_us, log_us + DAY_US + 1);
    CHECK_EQUAL(unproven_us, DAY_US + 1);
    CHECK(strstr(text, "ahead by 24 h 0 min") != NULL);
}

TEST(start_in_another_boot_refuses_a_clock_that_is_behind)
{
    struct clock clock = begun();
    uint64_t log_us = clock.log_us;
    struct restart how = {other_boot, 0, -(int64_t)CLOCK_BOUND_US, false};
    CHECK(restart(&clock, &how));
    CHECK_EQUAL(clock.log_us, log_us);
    CHECK_EQUAL(unproven_us, 0);
    clock = begun();
    how.wall_off_us = -(int64_t)HOUR_US;
    CHECK(!restart(&clock, &how));
    CHECK(strstr(text, "1 h 0 min earlier") != NULL && strstr(text, "--accept-clock") != NULL);
}

/* Plays turns of a second until the log's time equals the wall clock; returns how many. */
static uint64_t melt(struct clock *clock)
{
    uint64_t seconds = 0;
    for (; clock->log_us > clock->now.wall_us; seconds++) {
        uint64_t log_us = clock->log_us;
        const struct clock_reading now =
            reading(clock->now.boot_us + US_PER_SECOND, clock->now.wall_us + US_PER_SECOND);
        CHECK_EQUAL(clock_turn(clock, now), CLOCK_GOES_ON);
        CHECK(clock->log_us > log_us && clock->log_us < log_us + US_PER_SECOND);
    }
    return seconds;
}

TEST(lead_that_was_accepted_melts_and_outlives_every_kind_of_start)
{
    const struct id boots[] = {boot, other_boot};
    for (int i = 0; i < 2; i++) {
        struct clock clock = begun();
        struct restart how = {boots[i], 0, -(int64_t)HOUR_US, true};
        uint64_t log_us = clock.log_us;
        CHECK(restart(&clock, &how));
        CHECK_EQUAL(clock.log_us, log_us);
        CHECK_EQUAL(clock.lead_us, HOUR_US);
        CHECK_EQUAL(unproven_us, 0);
        CHECK(strstr(text, "1 h 0 min behind") != NULL && strstr(text, "20 h 0 min") != NULL);
        /* The wall clock is where it is expected, so no further confirmation is needed. */
        how = (struct restart){boots[1 - i], 600 * US_PER_SECOND, -(int64_t)HOUR_US, false};
        CHECK(restart(&clock, &how));
        CHECK_EQUAL(text[0], '\0');
        CHECK(!clock.has_jumped);
        CHECK(clock.log_us - clock.lead_us == clock.now.wall_us);
        /* A jump is still one. */
        struct clock jumped = clock;
        const struct clock_reading far =
            reading(clock.now.boot_us, clock.now.wall_us + 2 * CLOCK_BOUND_US);
        CHECK_EQUAL(clock_turn(&jumped, far), CLOCK_JUMPED);
        uint64_t seconds = melt(&clock);
        CHECK(seconds >= 49 * 60 * CLOCK_SLEW && seconds <= 61 * 60 * CLOCK_SLEW);
        CHECK_EQUAL(clock.lead_us, 0);
    }
}

TEST(accepted_start_in_the_same_boot_takes_a_clock_that_jumped)
{
    struct clock clock = begun();
    const struct restart ahead = {boot, HOUR_US, 25 * (int64_t)HOUR_US, true};
    uint64_t log_us = clock.log_us;
    CHECK(restart(&clock, &ahead));
    CHECK_EQUAL(clock.log_us, log_us + 26 * HOUR_US);
    CHECK_EQUAL(unproven_us, 25 * HOUR_US);
    CHECK(!clock.has_jumped && clock.jump_count == 0);
    clock = begun();
    const struct restart behind = {boot, HOUR_US, -25 * (int64_t)HOUR_US, true};
    CHECK(restart(&clock, &behind));
    CHECK_EQUAL(clock.log_us, log_us + HOUR_US);
    CHECK_EQUAL(clock.lead_us, 25 * HOUR_US);
    CHECK_EQUAL(unproven_us, 0);
}

TEST(note_that_the_log_contradicts_proves_nothing)
{
    struct clock clock = begun();
    const struct clock_start start = {
        .now = reading(clock.now.boot_us + HOUR_US, start_us + 26 * HOUR_US),
        .boot = boot,
        .last_us = start_us + 25 * HOUR_US, /* a jump was accepted, and not noted any more */
        .note = clock_note_of(&clock, boot),
        .bound_us = CLOCK_BOUND_US,
    };
    CHECK(clock_begin(&clock, &start, &unproven_us, text));
    CHECK_EQUAL(clock.log_us, start_us + 26 * HOUR_US);
    CHECK_EQUAL(unproven_us, HOUR_US);
    CHECK(!clock.has_jumped);
}

TEST(start_without_a_note_goes_by_the_log_s_last_time)
{
    struct clock clock;
    struct clock_start start = {.now = reading(5, start_us + HOUR_US),
                                .boot = boot,
                                .last_us = start_us,
                                .bound_us = CLOCK_BOUND_US};
    CHECK(clock_begin(&clock, &start, &unproven_us, text));
    CHECK_EQUAL(clock.log_us, start_us + HOUR_US);
    CHECK_EQUAL(unproven_us, HOUR_US);
    start.now.wall_us = start_us - HOUR_US;
    CHECK(!clock_begin(&clock, &start, &unproven_us, text));
    start.now.wall_us = UINT64_MAX;
    CHECK(!clock_begin(&clock, &start, &unproven_us, text));
    start.is_accepted = true;
    CHECK(clock_begin(&clock, &start, &unproven_us, text));
    CHECK_EQUAL(clock.log_us, TIME_US_MAX);
    clock_turn(&clock, reading(UINT64_MAX, UINT64_MAX));
    CHECK_EQUAL(clock.log_us, TIME_US_MAX);
}

TEST(log_time_never_goes_back_and_keeps_its_pace_whatever_the_wall_clock_does)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct clock clock = begun();
        int64_t wall_off_us = 0;
        uint64_t jumps = 0;
        for (int turn = 0; turn < TURNS; turn++) {
            uint64_t passed_us = test_random_below(test_random_below(2) == 0 ? 100 : US_PER_SECOND);
            uint64_t log_us = clock.log_us;
            if (test_random_below(50) == 0)
                wall_off_us = (int64_t)test_random_below(3 * DAY_US) - (int64_t)(DAY_US);
            if (test_random_below(50) == 0)
                wall_off_us = (int64_t)test_random_below(30 * US_PER_SECOND) - 15000000;
            jumps += go_on(&clock, passed_us, wall_off_us) == CLOCK_JUMPED;
            uint64_t grown_us = clock.log_us - log_us;
            CHECK(grown_us + passed_us / CLOCK_SLEW + 1 >= passed_us);
            CHECK(grown_us <= passed_us + passed_us / CLOCK_SLEW + 1);
        }
        CHECK(off_us(&clock) <= 15000000 && off_us(&clock) >= -15000000);
        CHECK_EQUAL(clock.jump_count, jumps);
    }
}

TEST(note_comes_back_and_one_that_is_not_whole_is_none)
{
    struct clock clock = begun();
    struct clock_note note = clock_note_of(&clock, boot);
    struct clock_note read;
    uint8_t page[CLOCK_NOTE_SIZE];
    note.lead_us = 77;
    clock_note_write(&note, page);
    CHECK(clock_note_read(page, sizeof page, &read));
    CHECK(memcmp(&note, &read, sizeof note) == 0);
    CHECK(!clock_note_read(page, sizeof page - 1, &read));
    CHECK(!clock_note_read(page, 0, &read));
    for (unsigned bit = 0; bit < 8 * CLOCK_NOTE_SIZE; bit++) {
        page[bit / 8] = (uint8_t)(page[bit / 8] ^ 1u << bit % 8);
        CHECK(!clock_note_read(page, sizeof page, &read));
        page[bit / 8] = (uint8_t)(page[bit / 8] ^ 1u << bit % 8);
    }
    note.lead_us = note.log_us + 1;
    clock_note_write(&note, page);
    CHECK(!clock_note_read(page, sizeof page, &read));
}

TEST(note_is_off_once_the_clock_has_drifted_from_what_it_tells)
{
    struct clock clock = begun();
    struct clock_note note = clock_note_of(&clock, boot);
    go_on(&clock, DAY_US, 0);
    CHECK(!clock_note_is_off(&clock, &note));
    go_on(&clock, 19 * US_PER_SECOND, 5000000);
    CHECK(!clock_note_is_off(&clock, &note));
    go_on(&clock, 2 * US_PER_SECOND, 5000000);
    CHECK(clock_note_is_off(&clock, &note));
}
