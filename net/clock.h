/* The log's time: one that never goes back and never jumps while the server runs.
 *
 * A wall clock is right most of the time, and sometimes hours or years off: a battery is empty, a
 * time server lies, somebody sets it. A clock that counts since the machine was switched on
 * (boot_us, base/io.h) knows no date, but cannot be set. So the log's time goes by the second one,
 * and approaches the first by going up to a twentieth faster or slower: a hold of 15 minutes is
 * off by 45 seconds at most, and an hour is made good within a day.
 *
 *             at most bound_us apart          further apart: said, counted
 *   FOLLOWS <------------------------ JUMPED <---------------------------- FOLLOWS
 *           clock_turn, within half of it    clock_turn
 *
 * A wall clock that is suddenly further away has jumped, one way or the other, and is not followed
 * until it comes back: clock_begin alone, at a start, takes an operator's word that it is right.
 * When that word puts the log's time ahead of the wall clock, it keeps its lead, which melts
 * away at that twentieth: the wall clock is expected at log_us - lead_us from then on.
 *
 * At a start, a note that an earlier server left in the data folder tells which boot_us belonged to
 * which log_us. In the same boot it proves how much time has passed since, and the start goes on as
 * if the server had never stopped, wrong wall clock or not. After another boot only the wall clock
 * can tell. It is believed up to a bound, and never when it is behind the log.
 *
 * Pure: it is handed readings and yields times and words. */
#ifndef TILL_NET_CLOCK_H
#define TILL_NET_CLOCK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/limits.h"

struct clock_reading {
    uint64_t boot_us; /* since the machine was switched on */
    uint64_t wall_us; /* since the Unix epoch, right or wrong */
};

/* What was known of the log's time at some moment. */
struct clock_note {
    struct id boot; /* which switching on boot_us counts from; zero: unknown */
    uint64_t boot_us;
    uint64_t log_us;
    uint64_t lead_us;
};

/* The file `clock-note.till` of a data folder: one page, zero after the note.
 *
 *   offset size field
 *        0    8 magic     "tillclck"
 *        8    8 checksum  XXH3-64 of the page from offset 16 on
 *       16    4 version   1
 *       20    4 zero
 *       24   16 boot
 *       40    8 boot_us
 *       48    8 log_us
 *       56    8 lead_us */
#define CLOCK_NOTE_NAME    "clock-note.till"
#define CLOCK_NOTE_MAGIC   0x6b636c636c6c6974ULL
#define CLOCK_NOTE_VERSION 1

enum { CLOCK_NOTE_SIZE = WAL_ALIGN };

struct clock_page {
    uint64_t magic;
    uint64_t checksum;
    uint32_t version;
    uint32_t zero;
    struct clock_note note;
};

static_assert(sizeof(struct clock_page) == 64, "the page's layout is the file format");
static_assert(offsetof(struct clock_page, note) == 24, "note");

void clock_note_write(const struct clock_note *note, uint8_t page[CLOCK_NOTE_SIZE]);

/* False when the bytes are no whole note of this version. */
bool clock_note_read(const uint8_t *page, size_t size, struct clock_note *note);

enum { CLOCK_TEXT_SIZE = 512 };

struct clock_start {
    struct clock_reading now;
    struct id boot;         /* zero: unknown */
    uint64_t last_us;       /* of the log; 0: there is none yet */
    struct clock_note note; /* log_us 0: there is none */
    bool is_accepted;       /* an operator says that the wall clock is right */
    uint64_t bound_us;
};

enum clock_event {
    CLOCK_GOES_ON,
    CLOCK_JUMPED,   /* the wall clock is not followed from now on */
    CLOCK_RETURNED, /* it is again */
};

struct clock {
    uint64_t log_us;
    struct clock_reading now; /* when it was that */
    uint64_t bound_us;
    uint64_t lead_us;   /* how far it may be ahead of the wall clock, on an operator's word */
    int64_t apart_us;   /* the wall clock, from where it is expected */
    uint64_t jumped_us; /* boot_us when it jumped */
    uint64_t jump_count;
    uint32_t slew_rest; /* of passed time, what was too short for a step */
    bool has_jumped;
};

/* Begins, and tells in *unproven_us how much of the time since the log's last, nothing but the wall
 * clock has shown to pass. `text` gets what a person should know, or nothing. False when an
 * operator's word is needed; text then has both times and says what to do. */
bool clock_begin(struct clock *clock, const struct clock_start *start, uint64_t *unproven_us,
                 char text[CLOCK_TEXT_SIZE]);

/* Moves on to a reading. What has happened, if anything, is put into words by clock_say. */
enum clock_event clock_turn(struct clock *clock, struct clock_reading now);
void clock_say(const struct clock *clock, enum clock_event event, char text[CLOCK_TEXT_SIZE]);

/* The log's time at boot_us, as far as it is known before the next clock_turn. */
static inline uint64_t clock_at(const struct clock *clock, uint64_t boot_us)
{
    return clock->log_us + (boot_us > clock->now.boot_us ? boot_us - clock->now.boot_us : 0);
}

struct clock_note clock_note_of(const struct clock *clock, struct id boot);

/* Would a start with this note be off by more than a second from where the clock is? */
bool clock_note_is_off(const struct clock *clock, const struct clock_note *note);

#endif
