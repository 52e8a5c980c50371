/* Following the clocks.
 *
 * Good path: clock_turn adds what passed since the last reading, and a step towards the wall clock
 * of at most a twentieth of it. Both are added in whole microseconds; what a step leaves over is
 * kept for the next one, so that a loop of many short turns gets on as well as one of few.
 *
 * What can fail: clock_begin, when the folder's last time and the wall clock contradict each other
 * and no note of the same boot decides. The decision:
 *
 *   note of this boot   wall clock against what is expected   decision
 *   yes                 within the bound                      go on
 *   yes                 beyond it                             go on, JUMPED; accepted: take it
 *   no                  behind by more than the bound         refuse; accepted: keep the lead
 *   no                  ahead by more than CLOCK_SILENCE_US   refuse; accepted: take it
 *   no                  in between                            take it
 *
 * What must always hold: log_us never goes back, and grows by 19/20 to 21/20 of what passes. */
#include "net/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/checksum.h"

enum { CHECKSUM_START = offsetof(struct clock_page, version), DURATION_SIZE = 48, DATE_SIZE = 32 };

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t size_of(int64_t us)
{
    return us < 0 ? (uint64_t)-us : (uint64_t)us;
}

void clock_note_write(const struct clock_note *note, uint8_t page[CLOCK_NOTE_SIZE])
{
    struct clock_page written = {
        .magic = CLOCK_NOTE_MAGIC, .version = CLOCK_NOTE_VERSION, .note = *note};
    memset(page, 0, CLOCK_NOTE_SIZE);
    memcpy(page, &written, sizeof written);
    written.checksum = checksum64(page + CHECKSUM_START, CLOCK_NOTE_SIZE - CHECKSUM_START);
    memcpy(page, &written, sizeof written);
}

bool clock_note_read(const uint8_t *page, size_t size, struct clock_note *note)
{
    struct clock_page read;
    if (size != CLOCK_NOTE_SIZE)
        return false;
    memcpy(&read, page, sizeof read);
    *note = read.note;
    return read.magic == CLOCK_NOTE_MAGIC && read.version == CLOCK_NOTE_VERSION &&
           read.checksum == checksum64(page + CHECKSUM_START, CLOCK_NOTE_SIZE - CHECKSUM_START) &&
           note->log_us <= TIME_US_MAX && note->lead_us <= note->log_us;
}

/* For a person: the two largest units. */
static const char *duration(uint64_t us, char text[DURATION_SIZE])
{
    uint64_t seconds = (us + US_PER_SECOND / 2) / US_PER_SECOND;
    if (seconds >= 48 * 3600ULL)
        snprintf(text, DURATION_SIZE, "%" PRIu64 " days %" PRIu64 " h", seconds / 86400,
                 seconds % 86400 / 3600);
    else if (seconds >= 3600)
        snprintf(text, DURATION_SIZE, "%" PRIu64 " h %" PRIu64 " min", seconds / 3600,
                 seconds % 3600 / 60);
    else if (seconds >= 60)
        snprintf(text, DURATION_SIZE, "%" PRIu64 " min %" PRIu64 " s", seconds / 60, seconds % 60);
    else
        snprintf(text, DURATION_SIZE, "%" PRIu64 " s", seconds);
    return text;
}

static const char *date(uint64_t us, char text[DATE_SIZE])
{
    time_t seconds = (time_t)(us / US_PER_SECOND);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, DATE_SIZE, "no date");
    return text;
}

/* Within this the wall clock is followed again. */
static uint64_t return_bound_us(const struct clock *clock)
{
    return clock->bound_us / 2;
}

static void say_jumped(const struct clock *clock, char text[CLOCK_TEXT_SIZE])
{
    char wall[DATE_SIZE], log[DATE_SIZE], apart[DURATION_SIZE], bound[DURATION_SIZE];
    snprintf(text, CLOCK_TEXT_SIZE,
             "the wall clock is %s %s: it says %s where %s is expected, and is not followed. Time "
             "goes on by a clock that cannot be set, until the wall clock is back within %s, or "
             "until a start with --accept-clock takes it as right",
             duration(size_of(clock->apart_us), apart), clock->apart_us < 0 ? "behind" : "ahead",
             date(clock->now.wall_us, wall), date(clock->log_us - clock->lead_us, log),
             duration(return_bound_us(clock), bound));
}

void clock_say(const struct clock *clock, enum clock_event event, char text[CLOCK_TEXT_SIZE])
{
    char lasted[DURATION_SIZE];
    text[0] = '\0';
    if (event == CLOCK_JUMPED)
        say_jumped(clock, text);
    if (event == CLOCK_RETURNED)
        snprintf(text, CLOCK_TEXT_SIZE,
                 "the wall clock is right again, after %s, and is followed as before",
                 duration(clock->now.boot_us - clock->jumped_us, lasted));
}

/* Where is the wall clock, from where it is expected? */
static void look(struct clock *clock)
{
    clock->apart_us = (int64_t)(clock->now.wall_us - (clock->log_us - clock->lead_us));
}

static void jump(struct clock *clock)
{
    clock->has_jumped = true;
    clock->jumped_us = clock->now.boot_us;
    clock->jump_count++;
}

/* One step towards the wall clock. */
static void slew(struct clock *clock, uint64_t passed_us)
{
    uint64_t slack_us = clock->slew_rest + passed_us;
    uint64_t step_us = slack_us / CLOCK_SLEW;
    clock->slew_rest = (uint32_t)(slack_us % CLOCK_SLEW);
    if (clock->has_jumped)
        return;
    if (clock->now.wall_us >= clock->log_us) {
        clock->log_us += smaller(step_us, clock->now.wall_us - clock->log_us);
        clock->lead_us = 0;
        return;
    }
    step_us = smaller(step_us, clock->log_us - clock->now.wall_us);
    clock->log_us -= step_us;
    clock->lead_us -= smaller(clock->lead_us, step_us);
    clock->lead_us = smaller(clock->lead_us, clock->log_us - clock->now.wall_us);
}

enum clock_event clock_turn(struct clock *clock, struct clock_reading now)
{
    uint64_t passed_us = now.boot_us > clock->now.boot_us ? now.boot_us - clock->now.boot_us : 0;
    clock->now = now;
    clock->now.wall_us = smaller(now.wall_us, TIME_US_MAX);
    clock->log_us = smaller(clock->log_us + passed_us, TIME_US_MAX);
    look(clock);
    enum clock_event event = CLOCK_GOES_ON;
    if (!clock->has_jumped && size_of(clock->apart_us) > clock->bound_us) {
        jump(clock);
        event = CLOCK_JUMPED;
    } else if (clock->has_jumped && size_of(clock->apart_us) <= return_bound_us(clock)) {
        clock->has_jumped = false;
        event = CLOCK_RETURNED;
    }
    slew(clock, passed_us);
    return event;
}

/* Beginning. */

static void refuse(const struct clock *clock, char text[CLOCK_TEXT_SIZE])
{
    char wall[DATE_SIZE], log[DATE_SIZE], apart[DURATION_SIZE];
    date(clock->now.wall_us, wall);
    date(clock->log_us, log);
    duration(size_of(clock->apart_us), apart);
    if (clock->apart_us < 0)
        snprintf(text, CLOCK_TEXT_SIZE,
                 "the wall clock says %s, %s earlier than it must be: the log's last time is %s. "
                 "If the clock is wrong, set it right. If it is right, and was wrong before, start "
                 "once with --accept-clock: the log's time never goes back, but goes 5 %% slower "
                 "until the clock has caught up",
                 wall, apart, log);
    else
        snprintf(text, CLOCK_TEXT_SIZE,
                 "the log's last time is %s, and the wall clock says %s: nothing else shows that "
                 "%s have passed. If the clock is right, start once with --accept-clock: holds and "
                 "sales that ended meanwhile end then. If it is wrong, set it right",
                 log, wall, apart);
}

/* Takes the wall clock as right: the log's time goes up to it, or keeps the lead that it has. */
static uint64_t take(struct clock *clock)
{
    uint64_t before_us = clock->log_us;
    clock->log_us = larger(before_us, clock->now.wall_us);
    clock->lead_us = clock->log_us - clock->now.wall_us;
    if (clock->lead_us <= clock->bound_us)
        clock->lead_us = 0;
    look(clock);
    return clock->log_us - before_us;
}

static void say_taken(const struct clock *clock, uint64_t ahead_us, char text[CLOCK_TEXT_SIZE])
{
    char by[DURATION_SIZE], until[DURATION_SIZE];
    if (clock->lead_us > 0)
        snprintf(text, CLOCK_TEXT_SIZE,
                 "the wall clock is taken as right, %s behind the log's time, which goes 5 %% "
                 "slower for %s, until the clock has caught up",
                 duration(clock->lead_us, by), duration(clock->lead_us * CLOCK_SLEW, until));
    else
        snprintf(text, CLOCK_TEXT_SIZE,
                 "the wall clock is taken as right, and the log's time goes ahead by %s: holds and "
                 "sales that ended meanwhile end now",
                 duration(ahead_us, by));
}

/* Does the note prove what the log's time is now? It is of this boot, and the log has not gone
 * further since than time has: else a jump was accepted after it. */
static bool is_proof(const struct clock_start *start)
{
    const struct clock_note *note = &start->note;
    return note->log_us > 0 && !id_is_zero(start->boot) && id_equal(note->boot, start->boot) &&
           start->now.boot_us >= note->boot_us &&
           start->last_us <=
               note->log_us + (start->now.boot_us - note->boot_us) + 2 * CLOCK_DRIFT_US;
}

/* The log's time by what is proven, and whether a note of this boot proves that it is now. */
static bool expect(struct clock *clock, const struct clock_start *start)
{
    bool is_proven = is_proof(start);
    uint64_t passed_us = is_proven ? start->now.boot_us - start->note.boot_us : 0;
    clock->log_us = larger(start->last_us, start->note.log_us + passed_us);
    clock->log_us = smaller(clock->log_us, TIME_US_MAX);
    clock->lead_us = start->note.lead_us;
    look(clock);
    return is_proven;
}

bool clock_begin(struct clock *clock, const struct clock_start *start, uint64_t *unproven_us,
                 char text[CLOCK_TEXT_SIZE])
{
    TILL_ASSERT(start->bound_us > 0 && start->bound_us <= CLOCK_SILENCE_US);
    *clock = (struct clock){.now = start->now, .bound_us = start->bound_us};
    clock->now.wall_us = smaller(start->now.wall_us, TIME_US_MAX);
    *unproven_us = 0;
    text[0] = '\0';
    if (start->last_us == 0) {
        clock->log_us = clock->now.wall_us;
        return true;
    }
    bool is_proven = expect(clock, start);
    bool is_within = size_of(clock->apart_us) <= clock->bound_us;
    if (!is_proven && clock->apart_us > 0)
        is_within = clock->apart_us <= (int64_t)CLOCK_SILENCE_US;
    if (is_proven && is_within)
        return true;
    if (!is_within && is_proven && !start->is_accepted) {
        jump(clock);
        clock_say(clock, CLOCK_JUMPED, text);
        return true;
    }
    if (!is_within && !start->is_accepted) {
        refuse(clock, text);
        return false;
    }
    *unproven_us = take(clock);
    if (!is_within)
        say_taken(clock, *unproven_us, text);
    return true;
}

struct clock_note clock_note_of(const struct clock *clock, struct id boot)
{
    return (struct clock_note){.boot = boot,
                               .boot_us = clock->now.boot_us,
                               .log_us = clock->log_us,
                               .lead_us = clock->lead_us};
}

bool clock_note_is_off(const struct clock *clock, const struct clock_note *note)
{
    uint64_t told_us = note->log_us + (clock->now.boot_us - note->boot_us);
    return size_of((int64_t)(told_us - clock->log_us)) > CLOCK_DRIFT_US ||
           size_of((int64_t)(note->lead_us - clock->lead_us)) > CLOCK_DRIFT_US;
}
