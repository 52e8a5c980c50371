/* Writing the log: group commit, durability in order, segments, full disks, recycling. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "tests/unit/wal_log.h"
#include "wal/segment.h"

/* From here on there is no room for files larger than size_bytes; 0: there is room again. */
static void file_size_limit(uint64_t size_bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = size_bytes > 0 ? size_bytes : limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* The result of reading the folder now, with a check of the note. */
static struct wal_end end_now(const struct log *log)
{
    struct log_found *found = log_read(log);
    if (found->result != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", found->error);
    struct wal_end end = found->end;
    free(found);
    return end;
}

TEST(idle_log_is_sealed_once_and_opened_again_without_another_seal)
{
    struct log *log = log_create();
    log_open(log);
    log_append(log, 10);
    log_drain(log);
    CHECK(!end_now(log).is_sealed);
    while (wal_wait_us(log->wal) > 0)
        usleep((useconds_t)wal_wait_us(log->wal));
    wal_turn(log->wal, false);
    log_drain(log);
    struct wal_end end = end_now(log);
    CHECK(end.is_sealed && end.seal != 0);
    for (int i = 0; i < 2; i++) {
        CHECK(wal_wait_us(log->wal) == UINT64_MAX);
        wal_turn(log->wal, true);
        CHECK(wal_idle(log->wal));
        CHECK_EQUAL(end_now(log).seal, end.seal);
        log_close(log);
        log_open(log);
    }
    log_close(log);
    log_free(log);
}

TEST(log_that_is_not_idle_is_not_sealed)
{
    struct log *log = log_create();
    log_open(log);
    log_append(log, 10);
    CHECK(wal_wait_us(log->wal) == UINT64_MAX);
    wal_turn(log->wal, true); /* a block is open */
    log->held = true;
    wal_submit(log->wal);
    wal_turn(log->wal, true); /* and in flight */
    log_drain(log);
    CHECK(!end_now(log).is_sealed);
    log_close(log);
    log_free(log);
}

TEST(log_without_any_command_is_sealed_too)
{
    struct log *log = log_create();
    log_open(log);
    log_close(log);
    CHECK(end_now(log).is_sealed);
    CHECK_EQUAL(end_now(log).seq_begin, 1);
    log_open(log);
    log_append(log, 10);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(block_goes_over_the_seal_when_that_is_written)
{
    struct log *log = log_create();
    log_open(log);
    for (int i = 0; i < 10; i++) {
        log_append(log, 10);
        log_drain(log);
        wal_turn(log->wal, true);
        log_drain(log);
        CHECK(end_now(log).is_sealed);
    }
    log_close(log);
    log_check(log);
    CHECK_EQUAL(end_now(log).offset, 10 * WAL_ALIGN);
    log_free(log);
}

/* A log with some commands and a seal in flight, whose completion is held. */
static struct log *log_being_sealed(uint64_t segment_size, uint32_t command_count)
{
    struct log *log = log_create();
    log->options.segment_size = segment_size;
    log_open(log);
    log_append(log, command_count);
    log_drain(log);
    log->held = true;
    wal_turn(log->wal, true);
    CHECK(!wal_idle(log->wal));
    return log;
}

TEST(block_that_comes_while_the_seal_is_written_goes_behind_it)
{
    struct log *log = log_being_sealed(1 << 20, 10);
    log_append(log, 10);
    wal_submit(log->wal);
    log_append(log, 10);
    wal_submit(log->wal);
    while (log->event_count < 3)
        log_pump(log);
    /* The blocks are written, but are valid only together with the seal that the first is chained
     * to. */
    uint32_t seal = 0;
    while (log->events[seal].user != log->options.user_write + WAL_USERS_COUNT - 1)
        seal++;
    struct io_event event = log->events[seal];
    log->events[seal] = log->events[--log->event_count];
    for (uint32_t i = 0; i < log->event_count; i++)
        CHECK(wal_event(log->wal, &log->events[i]) == 0);
    log->event_count = 0;
    CHECK_EQUAL(wal_seq_durable(log->wal), 10);
    CHECK(wal_event(log->wal, &event) == 0);
    CHECK_EQUAL(wal_seq_durable(log->wal), 30);
    log_drain(log);
    CHECK(!end_now(log).is_sealed);
    struct log_found *found = log_read(log);
    CHECK_EQUAL(found->block_count, 4);
    CHECK_EQUAL(found->blocks[1].header.command_count, 0);
    CHECK_EQUAL(found->blocks[2].header.seq_durable, 9);
    CHECK_EQUAL(found->blocks[3].header.seq_durable, 10);
    free(found);
    log_close(log);
    log_check(log);
    log_open(log);
    log_append(log, 10);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(block_that_finds_no_room_behind_a_seal_under_way_goes_to_the_next_segment)
{
    struct log *log = log_being_sealed(WAL_BLOCK_SIZE_MAX, 4000);
    uint64_t block = wal_block_open(log->wal);
    CHECK_EQUAL(end_now(log).segment, 1);
    while (wal_block_open(log->wal) == block)
        CHECK(log_try(log) == WAL_ROOM);
    log_drain(log);
    CHECK_EQUAL(end_now(log).segment, 2);
    CHECK(!end_now(log).is_sealed);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(seal_that_finds_no_room_goes_to_the_next_segment)
{
    struct log *log = log_create();
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log_open(log);
    for (uint64_t i = 0; i < WAL_BLOCK_SIZE_MAX / WAL_ALIGN; i++) {
        log_append(log, 1);
        log_drain(log);
    }
    CHECK_EQUAL(end_now(log).offset, WAL_BLOCK_SIZE_MAX);
    wal_turn(log->wal, true);
    log_drain(log);
    CHECK(end_now(log).is_sealed);
    CHECK_EQUAL(note_read().segment, 2);
    log_append(log, 10);
    log_close(log);
    log_check(log);
    CHECK_EQUAL(end_now(log).segment, 2);
    CHECK_EQUAL(end_now(log).offset, WAL_ALIGN);
    log_free(log);
}

TEST(first_block_of_a_segment_is_durable_once_the_note_names_the_segment)
{
    struct log *log = log_create();
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log->options.writes_max = 2;
    log_open(log);
    while (wal_block_open(log->wal) < 2)
        log_append(log, 1);
    log_drain(log);
    uint64_t seq = wal_seq_durable(log->wal);
    CHECK_EQUAL(note_read().segment, 1);
    log->held = true;
    while (log_try(log) == WAL_ROOM && wal_block_open(log->wal) < 4)
        continue;
    struct io_event note = {0};
    while (note.kind == 0) {
        log_pump(log);
        for (uint32_t i = 0; i < log->event_count; i++) {
            if (log->events[i].kind == IO_WRITTEN &&
                log->events[i].user == log->options.user_write + WAL_WRITES_MAX) {
                note = log->events[i];
                log->events[i] = log->events[--log->event_count];
                break;
            }
        }
    }
    while (log->event_count < 1)
        log_pump(log);
    for (uint32_t i = 0; i < log->event_count; i++)
        CHECK(wal_event(log->wal, &log->events[i]) == 0);
    log->event_count = 0;
    CHECK_EQUAL(wal_seq_durable(log->wal), seq);
    CHECK(note_read().segment >= 2);
    CHECK(wal_event(log->wal, &note) == 0);
    log_drain(log);
    CHECK_EQUAL(wal_seq_durable(log->wal), log->seq_last);
    CHECK(note_read().seq_durable > seq);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(note_follows_what_is_durable_while_the_log_is_busy)
{
    struct log *log = log_create();
    log_open(log);
    log_append(log, 10);
    log_drain(log);
    CHECK_EQUAL(note_read().seq_durable, 10);
    while (note_read().seq_durable == 10) {
        log_append(log, 10);
        log_drain(log);
        usleep(1000);
    }
    CHECK(note_read().seq_durable <= log->seq_last);
    log_close(log);
    CHECK_EQUAL(note_read().seq_durable, log->seq_last);
    log_free(log);
}

TEST(log_survives_being_closed_and_opened_again)
{
    struct log *log = log_create();
    for (int round = 0; round < 5; round++) {
        log_open(log);
        CHECK_EQUAL(wal_block_open(log->wal), 1);
        CHECK_EQUAL(wal_block_last(log->wal), 0);
        CHECK_EQUAL(wal_block_durable(log->wal), 0);
        log_append(log, 1 + (uint32_t)test_random_below(3000));
        log->epoch += test_random_below(2);
        log_close(log);
        log_check(log);
    }
    log_free(log);
}

TEST(commands_appended_while_a_block_is_written_share_the_next_one)
{
    struct log *log = log_create();
    log->options.writes_max = 1;
    log_open(log);
    log->held = true;
    for (int i = 0; i < 50; i++) {
        log_append(log, 1);
        wal_submit(log->wal);
    }
    CHECK_EQUAL(wal_block_open(log->wal), 2);
    CHECK_EQUAL(wal_block_last(log->wal), 2);
    log_close(log);
    struct log_found *found = log_read(log);
    CHECK_EQUAL(found->block_count, 2);
    CHECK_EQUAL(found->blocks[0].header.command_count, 1);
    CHECK_EQUAL(found->blocks[1].header.command_count, 49);
    free(found);
    log_free(log);
}

TEST(nothing_is_written_without_commands)
{
    struct log *log = log_create();
    log_open(log);
    wal_submit(log->wal);
    CHECK_EQUAL(wal_block_open(log->wal), 1);
    log_close(log);
    log_check(log);
    log_free(log);
}

/* Appends a block and submits it, count times, and holds the completions until all have arrived. */
static void blocks_submit_held(struct log *log, uint32_t count)
{
    log->held = true;
    for (uint32_t i = 0; i < count; i++) {
        log_append(log, 10);
        wal_submit(log->wal);
    }
    uint32_t written_count = 0;
    while (written_count < count) {
        log_pump(log);
        written_count = 0;
        for (uint32_t i = 0; i < log->event_count; i++)
            written_count += log->events[i].kind == IO_WRITTEN;
    }
}

TEST(blocks_become_durable_in_order_whatever_order_they_complete_in)
{
    struct log *log = log_create();
    for (int round = 0; round < 30; round++) {
        log_open(log);
        blocks_submit_held(log, log->options.writes_max);
        bool is_written[1 + WAL_WRITES_MAX] = {true};
        while (log->event_count > 0) {
            uint32_t index = (uint32_t)test_random_below(log->event_count);
            struct io_event event = log->events[index];
            log->events[index] = log->events[--log->event_count];
            CHECK(wal_event(log->wal, &event) == 0);
            if (event.kind == IO_WRITTEN)
                is_written[event.user - log->options.user_write] = true;
            uint64_t durable = 0;
            while (durable < log->options.writes_max && is_written[durable + 1])
                durable++;
            CHECK_EQUAL(wal_block_durable(log->wal), durable);
            CHECK_EQUAL(wal_seq_durable(log->wal),
                        log->seq_last - 10 * (log->options.writes_max - durable));
        }
        log_close(log);
    }
    log_check(log);
    log_free(log);
}

TEST(watermark_in_a_block_is_what_was_durable_when_it_was_written)
{
    struct log *log = log_create();
    log_open(log);
    blocks_submit_held(log, 3);
    log_drain(log);
    log_append(log, 10);
    log_close(log);
    struct log_found *found = log_read(log);
    CHECK_EQUAL(found->block_count, 4);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQUAL(found->blocks[i].header.seq_durable, 0);
    CHECK_EQUAL(found->blocks[3].header.seq_durable, 30);
    free(found);
    log_free(log);
}

TEST(full_block_waits_when_as_many_as_allowed_are_in_flight)
{
    struct log *log = log_create();
    log->options.writes_max = 2;
    log_open(log);
    log->held = true;
    while (log_try(log) == WAL_ROOM)
        continue;
    CHECK_EQUAL(wal_block_open(log->wal), 3);
    CHECK(log_try(log) == WAL_ROOM_LATER);
    log_drain(log);
    log_append(log, 1);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(failed_write_is_fatal_and_nothing_more_becomes_durable)
{
    struct log *log = log_create();
    log_open(log);
    blocks_submit_held(log, 2);
    uint32_t failed_count = 0;
    for (uint32_t i = 0; i < log->event_count; i++) {
        struct io_event event = log->events[i];
        if (event.kind != IO_WRITTEN || event.user != log->options.user_write + 1)
            continue;
        event.result = -EIO;
        CHECK(wal_event(log->wal, &event) == -EIO);
        failed_count++;
    }
    CHECK_EQUAL(failed_count, 1);
    CHECK_EQUAL(wal_block_durable(log->wal), 0);
    log_close(log);
    log_free(log);
}

TEST(segment_that_cannot_be_prepared_for_want_of_anything_but_room_is_fatal)
{
    struct log *log = log_create();
    log_open(log);
    log->held = true;
    log_pump(log);
    CHECK_EQUAL(log->event_count, 1);
    CHECK_EQUAL(log->events[0].kind, IO_PREPARED);
    log->events[0].result = -EIO;
    CHECK(wal_event(log->wal, &log->events[0]) == -EIO);
    wal_close(log->wal);
    io_destroy(log->io);
    disk_close(log->disk);
    log_free(log);
}

TEST(log_that_finds_no_room_for_its_first_segment_does_not_open)
{
    struct disk *disk;
    struct wal *wal;
    char error[IO_ERROR_SIZE] = "";
    const struct wal_options options = {.segment_size = 1 << 20};
    const struct wal_end end = {.seq_next = 1};
    CHECK(disk_open(&disk, test_folder(), DISK_WRITE) == 0);
    file_size_limit(WAL_ALIGN);
    int result = wal_open(&wal, NULL, disk, &options, &end, 1, error);
    file_size_limit(0);
    CHECK(result == -EFBIG);
    CHECK(wal == NULL && strstr(error, test_folder()) != NULL);
    CHECK(!file_exists("wal-0000000001.log"));
    disk_close(disk);
}

TEST(statistics_count_blocks_commands_and_bytes)
{
    struct log *log = log_create();
    log_open(log);
    blocks_submit_held(log, 3);
    log_drain(log);
    struct metrics metrics;
    wal_metrics(log->wal, &metrics);
    CHECK_EQUAL(metrics.wal_blocks, 3);
    CHECK_EQUAL(metrics.wal_commands, 30);
    CHECK_EQUAL(metrics.wal_bytes_stored, 3 * WAL_ALIGN);
    CHECK(metrics.wal_bytes_raw > 30 * 20 && metrics.wal_bytes_raw < metrics.wal_bytes_stored);
    CHECK(metrics.wal_write_us_max <= metrics.wal_write_us_sum);
    CHECK_EQUAL(metrics.wal_seq_durable, 30);
    CHECK_EQUAL(metrics.wal_blocks_in_flight, 0);
    log_close(log);
    log_free(log);
}

TEST(time_of_a_block_is_its_first_command_and_never_goes_back)
{
    struct log *log = log_create();
    log_open(log);
    CHECK_EQUAL(wal_begin_time(log->wal, 5000), 0);
    log->time_us = 6000;
    log_append(log, 1);
    CHECK_EQUAL(wal_begin_time(log->wal, 6500), 500);
    CHECK_EQUAL(wal_begin_time(log->wal, 6700), 700);
    CHECK_EQUAL(wal_begin_time(log->wal, 10), 0);
    log_drain(log);
    log->time_us = 20;
    log_append(log, 1);
    log_close(log);
    struct log_found *found = log_read(log);
    CHECK_EQUAL(found->blocks[0].header.time_us, 6000);
    CHECK_EQUAL(found->blocks[1].header.time_us, 6000);
    free(found);
    log_free(log);
}

TEST(log_goes_through_many_segments_of_one_block_each)
{
    struct log *log = log_create();
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log->options.writes_max = WAL_WRITES_MAX;
    log_open(log);
    log_append(log, 60000);
    log_close(log);
    log_check(log);
    struct log_found *found = log_read(log);
    CHECK(found->end.segment > 5);
    free(found);
    log_open(log);
    log_append(log, 60000);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(segments_of_another_size_than_now_are_gone_through)
{
    struct log *log = log_create();
    for (uint64_t blocks = 4; blocks > 0; blocks--) {
        log->options.segment_size = blocks * WAL_BLOCK_SIZE_MAX;
        log_open(log);
        log_append(log, 20000);
        CHECK(wal_release(log->wal, log->seq_last / 2) >= 0);
        log_close(log);
    }
    log_check(log);
    log_free(log);
}

TEST(truncated_segment_ahead_is_replaced)
{
    struct log *log = log_create();
    log_open(log);
    log_append(log, 10);
    log_close(log);
    CHECK(file_exists("wal-0000000002.log"));
    file_truncate("wal-0000000002.log", WAL_ALIGN);
    log_open(log);
    log_append(log, 60000);
    log_close(log);
    log_check(log);
    log_free(log);
}

/* Appends until there is or is not room, as asked. */
static void append_until(struct log *log, bool wanted)
{
    enum wal_room room;
    while ((room = log_try(log)) != (wanted ? WAL_ROOM : WAL_ROOM_FULL)) {
        if (room == WAL_ROOM)
            continue;
        wal_turn(log->wal, false);
        if (wal_idle(log->wal))
            usleep(20000);
        else
            log_pump(log);
    }
}

TEST(commands_are_refused_while_the_disk_is_full_and_taken_again_after)
{
    struct log *log = log_create();
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log_open(log);
    log_append(log, 1);
    log_close(log);
    /* Existing files may be written; there is no room for new segments of the larger size. */
    log->options.segment_size = 4 * WAL_BLOCK_SIZE_MAX;
    log_open(log);
    file_size_limit(2 * WAL_BLOCK_SIZE_MAX);
    append_until(log, false);
    uint64_t seq_full = log->seq_last;
    log_drain(log);
    CHECK_EQUAL(wal_seq_durable(log->wal), seq_full);
    CHECK(log_try(log) == WAL_ROOM_FULL);
    file_size_limit(0);
    append_until(log, true);
    log_append(log, 20000);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(released_segment_makes_room_on_a_full_disk)
{
    struct log *log = log_create();
    const uint64_t sizes[] = {4 * WAL_BLOCK_SIZE_MAX, WAL_BLOCK_SIZE_MAX};
    for (int i = 0; i < 2; i++) {
        log->options.segment_size = sizes[i];
        log_open(log);
        log_append(log, 60000 * ((uint32_t)i + 1));
        log_close(log);
    }
    /* Large segments come first, small ones last, and no further large one can be made: the old
     * ones can still be renamed, and written up to the limit. */
    log->options.segment_size = sizes[0];
    log_open(log);
    file_size_limit(2 * WAL_BLOCK_SIZE_MAX);
    append_until(log, false);
    log_drain(log);
    CHECK(wal_release(log->wal, log->seq_last) > 0);
    log_drain(log);
    CHECK(log_try(log) == WAL_ROOM);
    log_drain(log);
    file_size_limit(0);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(released_segments_are_written_again_and_their_old_blocks_ignored)
{
    struct log *log = log_create();
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    int released_count = 0;
    for (int round = 0; round < 6; round++) {
        log_open(log);
        log_append(log, 15000 + (uint32_t)test_random_below(10000));
        log_drain(log);
        int released = wal_release(log->wal, log->seq_last - test_random_below(3000));
        CHECK(released >= 0);
        released_count += released;
        log_append(log, (uint32_t)test_random_below(2000));
        log_close(log);
        log_check(log);
    }
    CHECK(released_count > 5);
    CHECK(!file_exists("wal-0000000001.log"));
    log_free(log);
}

TEST(released_is_only_what_lies_entirely_before_the_seq)
{
    struct log *log = log_create();
    log->options.segment_size = 2 * WAL_BLOCK_SIZE_MAX;
    log_open(log);
    log_append(log, 60000);
    log_drain(log);
    struct log_found *found = log_read(log);
    uint64_t seq = 0; /* the first of the third segment */
    for (uint32_t i = found->block_count; i-- > 0;) {
        if (found->blocks[i].segment == 3)
            seq = found->blocks[i].header.seq_first;
    }
    CHECK(seq > 0);
    free(found);
    CHECK_EQUAL(wal_release(log->wal, 1), 0);
    CHECK_EQUAL(wal_release(log->wal, seq - 1), 1);
    log_drain(log);
    CHECK_EQUAL(wal_release(log->wal, seq - 1), 0);
    CHECK_EQUAL(wal_release(log->wal, seq), 1);
    log_close(log);
    found = log_read(log);
    CHECK_EQUAL(found->blocks[0].header.seq_first, seq);
    free(found);
    log_open(log);
    log_append(log, 30000);
    log_close(log);
    log_check(log);
    log_free(log);
}

TEST(release_beyond_what_is_durable_keeps_what_is_in_flight)
{
    struct log *log = log_create();
    log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    log_open(log);
    log_drain(log);
    /* One block in the first segment and one in the second; no completion has been delivered to the
     * log yet. */
    log->held = true;
    while (wal_block_open(log->wal) < 3)
        CHECK(log_try(log) == WAL_ROOM);
    CHECK_EQUAL(wal_release(log->wal, UINT64_MAX), 0);
    log_drain(log);
    log_check(log);
    CHECK(wal_release(log->wal, UINT64_MAX) > 0);
    log_append(log, 20000);
    log_close(log);
    log_check(log);
    log_free(log);
}
