/* The server's use of its clock (net/clock.h): at the start, once a turn, and the clock note that
 * it keeps in the data folder for the next start.
 *
 *   timekeeping_open -> clock_begin -> time.jump is due, if much of the time since the log's last
 *                                      change is unproven (pipeline_log_jump logs it)
 *   timekeeping_turn -> clock_turn  -> the times of this turn; jumps are reported and counted
 *   timekeeping_note                -> writes the note when it is due, in a lane of its own
 *
 * The note is a help and not part of the state: without it a start asks an operator sooner. So a
 * failure to write it is reported once and has no other effect. It is not written before time.jump
 * is durable: else a start after a crash would take the note as proof that the jump was time that
 * really passed. */
#include "net/timekeeping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/server_state.h"

static void notice(struct server *server, const char *text)
{
    if (text[0] != '\0')
        server_notice(server, text);
}

static void say_unreadable(struct server *server)
{
    char text[CLOCK_TEXT_SIZE];
    snprintf(text, sizeof text,
             "%s/%s is damaged and passed over: how much time has passed is told by the wall clock "
             "alone",
             disk_path(server->disk), CLOCK_NOTE_NAME);
    notice(server, text);
}

/* The note that an earlier server left; log_us is 0 when there is none. */
static struct clock_note read_note(struct server *server)
{
    uint8_t bytes[CLOCK_NOTE_SIZE + 1]; /* one more, so that a longer file is noticed */
    struct clock_note note = {0};
    int file = disk_file_open(server->disk, CLOCK_NOTE_NAME, false);
    if (file == -ENOENT)
        return note;
    int64_t size = file < 0 ? file : disk_file_read(server->disk, file, 0, bytes, sizeof bytes);
    if (file >= 0)
        disk_file_close(server->disk, file);
    if (size < 0 || !clock_note_read(bytes, (size_t)size, &note)) {
        say_unreadable(server);
        return (struct clock_note){0};
    }
    return note;
}

static struct clock_reading read_clocks(struct server *server)
{
    struct clock_reading now = {.boot_us = io_time_us(server->io)};
    now.wall_us = io_wall_us(server->io);
    return now;
}

static void take_times(struct server *server)
{
    server->now_us = server->timekeeping.clock.log_us;
    server->turn_us = server->timekeeping.clock.now.boot_us;
}

bool timekeeping_open(struct server *server)
{
    struct timekeeping *timekeeping = &server->timekeeping;
    const struct server_options *options = &server->options;
    char text[CLOCK_TEXT_SIZE];
    uint64_t unproven_us = 0;
    timekeeping->page = aligned_alloc(WAL_ALIGN, CLOCK_NOTE_SIZE);
    timekeeping->boot = io_boot_id(server->io);
    if (timekeeping->page == NULL) {
        snprintf(server->error, sizeof server->error, "out of memory");
        return false;
    }
    const struct clock_start start = {
        .now = read_clocks(server),
        .boot = timekeeping->boot,
        .last_us = engine_time_us(server->engine),
        .note = read_note(server),
        /* A replica's clock stamps nothing. */
        .is_accepted = options->accept_clock || (server->members.shop.flags & SHOP_REPLICA) != 0,
        .bound_us = options->clock_bound_us > 0 ? options->clock_bound_us : CLOCK_BOUND_US,
    };
    if (!clock_begin(&timekeeping->clock, &start, &unproven_us, text)) {
        snprintf(server->error, sizeof server->error, "%s", text);
        return false;
    }
    notice(server, text);
    timekeeping->jump_us = unproven_us >= CLOCK_JUMP_US ? unproven_us : 0;
    take_times(server);
    return true;
}

void timekeeping_close(struct server *server)
{
    free(server->timekeeping.page);
}

void timekeeping_take_over(struct server *server)
{
    struct timekeeping *timekeeping = &server->timekeeping;
    if (timekeeping->clock.log_us < engine_time_us(server->engine))
        timekeeping->clock.log_us = engine_time_us(server->engine);
    timekeeping->jump_us = 0;
    take_times(server);
}

void timekeeping_turn(struct server *server)
{
    struct clock *clock = &server->timekeeping.clock;
    enum clock_event event = clock_turn(clock, read_clocks(server));
    if (event != CLOCK_GOES_ON) {
        char text[CLOCK_TEXT_SIZE];
        clock_say(clock, event, text);
        notice(server, text);
    }
    take_times(server);
}

/* Runs in the clock's lane, on another thread. */
static int write_note(void *context)
{
    const struct server *server = context;
    struct disk *disk = server->disk;
    int file = disk_partial_create(disk, CLOCK_NOTE_NAME);
    if (file < 0)
        return file;
    int result = disk_file_write(disk, file, 0, server->timekeeping.page, CLOCK_NOTE_SIZE);
    if (result == 0)
        result = disk_partial_publish(disk, file, CLOCK_NOTE_NAME, CLOCK_NOTE_NAME);
    disk_file_close(disk, file);
    if (result < 0)
        (void)disk_partial_discard(disk, CLOCK_NOTE_NAME); /* else the next write replaces it */
    return result;
}

static bool note_is_due(const struct server *server)
{
    const struct timekeeping *timekeeping = &server->timekeeping;
    const struct clock_note *noted = &timekeeping->noted;
    if (timekeeping->is_writing || server->is_stopping || timekeeping->jump_us > 0 ||
        wal_seq_durable(server->wal) < timekeeping->jump_seq)
        return false;
    return noted->log_us == 0 || server->turn_us - noted->boot_us >= CLOCK_NOTE_US ||
           clock_note_is_off(&timekeeping->clock, noted);
}

void timekeeping_note(struct server *server)
{
    struct timekeeping *timekeeping = &server->timekeeping;
    if (!note_is_due(server))
        return;
    timekeeping->noted = clock_note_of(&timekeeping->clock, timekeeping->boot);
    clock_note_write(&timekeeping->noted, timekeeping->page);
    timekeeping->is_writing = true;
    io_work(server->io, IO_LANE_CLOCK, write_note, server, user_of(USER_CLOCK, 0, 0));
}

void timekeeping_event(struct server *server, const struct io_event *event)
{
    struct timekeeping *timekeeping = &server->timekeeping;
    TILL_ASSERT(timekeeping->is_writing && event->kind == IO_WORKED);
    timekeeping->is_writing = false;
    if (event->result == 0 || disk_is_full(event->result) || timekeeping->has_complained)
        return;
    char text[CLOCK_TEXT_SIZE];
    snprintf(text, sizeof text, "%s/%s cannot be written: %s. A start may need --accept-clock then",
             disk_path(server->disk), CLOCK_NOTE_NAME, strerror(-event->result));
    notice(server, text);
    timekeeping->has_complained = true;
}
