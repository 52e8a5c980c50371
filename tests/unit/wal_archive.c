/* The archive of a log on a real disk: what is copied, kept, refused and told. */
#include "wal/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/wal_log.h"
#include "wal/segment.h"

enum { USER_ARCHIVE = 300, TURNS_MAX = 2000, TURN_US = 20000 };

/* A log and an archive beside it, in a folder of the test's folder. */
struct fixture {
    struct log *log;
    struct disk *folder;
    struct archive *archive;
    struct archive_options options;
    uint64_t now_us;
    char path[256];
    char error[ARCHIVE_ERROR_SIZE];
};

static void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.log = log_create(), .options = {.user = USER_ARCHIVE}};
    fixture->log->options.segment_size = WAL_BLOCK_SIZE_MAX;
    snprintf(fixture->path, sizeof fixture->path, "%s/archive", test_folder());
}

static int fixture_try_open(struct fixture *fixture)
{
    log_open(fixture->log);
    CHECK_EQUAL(disk_open(&fixture->folder, fixture->path, DISK_WRITE), 0);
    fixture->now_us = io_time_us(fixture->log->io);
    return archive_open(&fixture->archive, fixture->log->io, fixture->log->disk, fixture->folder,
                        fixture->log->wal, &fixture->options, fixture->error);
}

static void fixture_open(struct fixture *fixture)
{
    if (fixture_try_open(fixture) != 0)
        test_fail(__FILE__, __LINE__, "%s", fixture->error);
}

static void fixture_close(struct fixture *fixture)
{
    archive_close(fixture->archive);
    fixture->archive = NULL;
    log_close(fixture->log);
    disk_close(fixture->folder);
}

/* One turn of a loop that has nothing else to do; the log is idle. */
static void turn(struct fixture *fixture)
{
    struct io_event events[4];
    fixture->now_us += TURN_US;
    archive_turn(fixture->archive, fixture->now_us);
    if (!archive_awaits_event(fixture->archive))
        return;
    int count = io_wait(fixture->log->io, events, 4, 1, 10 * US_PER_SECOND);
    CHECK(count > 0);
    for (int i = 0; i < count; i++) {
        CHECK_EQUAL(events[i].user, USER_ARCHIVE);
        archive_event(fixture->archive, &events[i]);
    }
}

/* Until all that the log has left is archived. */
static void archive_all(struct fixture *fixture)
{
    struct wal_closed closed;
    log_drain(fixture->log);
    for (int i = 0;
         wal_closed_next(fixture->log->wal, archive_status(fixture->archive)->seq + 1, &closed);
         i++) {
        CHECK(i < TURNS_MAX);
        CHECK(archive_wait_us(fixture->archive, fixture->now_us) != UINT64_MAX);
        turn(fixture);
    }
    CHECK(archive_wait_us(fixture->archive, fixture->now_us) == UINT64_MAX);
}

/* Appends until so many segments more have been left. */
static void grow(struct fixture *fixture, uint32_t segment_count)
{
    uint32_t wanted = wal_closed_count(fixture->log->wal, 0) + segment_count;
    while (wal_closed_count(fixture->log->wal, 0) < wanted) {
        log_append(fixture->log, 500);
        log_drain(fixture->log);
    }
}

static int archived(struct fixture *fixture, struct wal_segment **segments)
{
    int count = wal_segments_list(fixture->folder, WAL_IN_ARCHIVE, segments);
    CHECK(count >= 0);
    return count;
}

/* The archive is a chain from seq_first to what its status says; each block is one of the log's. */
static void archive_check(struct fixture *fixture, uint64_t seq_first)
{
    struct wal_reader reader;
    uint64_t seq = seq_first;
    enum wal_read read;
    CHECK_EQUAL(wal_reader_init(&reader, fixture->folder), 0);
    CHECK(reader.is_archive);
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        CHECK_EQUAL(reader.block.seq_first, seq);
        seq += reader.block.command_count;
        CHECK_EQUAL(reader.block.digest, seq - 1);
    }
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    CHECK_EQUAL(seq - 1, archive_status(fixture->archive)->seq);
    wal_reader_deinit(&reader);
}

TEST(segment_that_the_log_has_left_is_archived_block_by_block)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_open(&fixture);
    for (int round = 0; round < 4; round++) {
        grow(&fixture, 1 + (uint32_t)test_random_below(4));
        archive_all(&fixture);
        archive_check(&fixture, 1);
        CHECK_EQUAL(wal_release(fixture.log->wal, archive_status(fixture.archive)->seq + 1) > 0, 1);
        log_drain(fixture.log);
        fixture_close(&fixture);
        fixture_open(&fixture);
    }
    CHECK(!file_exists("wal-0000000001.log"));
    CHECK_EQUAL(archive_status(fixture.archive)->notice_count, 0);
    fixture_close(&fixture);
    log_free(fixture.log);
}

TEST(archive_that_was_interrupted_begins_the_segment_again)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.log->options.segment_size = 16ULL * WAL_BLOCK_SIZE_MAX; /* some pieces each */
    for (int round = 0; round < 6; round++) {
        fixture_open(&fixture);
        grow(&fixture, 1);
        for (uint64_t turns = test_random_below(8); turns > 0; turns--)
            turn(&fixture);
        fixture_close(&fixture);
    }
    fixture_open(&fixture);
    archive_all(&fixture);
    archive_check(&fixture, 1);
    fixture_close(&fixture);
    log_free(fixture.log);
}

TEST(oldest_archived_segments_go_while_there_are_more_bytes_than_wanted)
{
    struct fixture fixture;
    struct wal_segment *segments;
    fixture_init(&fixture);
    fixture.options.keep_bytes = 3ULL * WAL_BLOCK_SIZE_MAX;
    fixture_open(&fixture);
    grow(&fixture, 7);
    archive_all(&fixture);
    int count = archived(&fixture, &segments);
    CHECK_EQUAL(count, 3);
    CHECK_EQUAL(archive_status(fixture.archive)->removed_count, 4);
    archive_check(&fixture, segments[0].seq_first);
    free(segments);
    fixture_close(&fixture);
    log_free(fixture.log);
}

TEST(archived_segments_go_when_all_in_them_is_too_old_by_the_time_of_the_log)
{
    struct fixture fixture;
    struct wal_segment *segments;
    fixture_init(&fixture);
    fixture.options.keep_us = 1000 * US_PER_SECOND;
    fixture_open(&fixture);
    grow(&fixture, 3);
    archive_all(&fixture);
    CHECK_EQUAL(archived(&fixture, &segments), 3);
    free(segments);
    fixture.log->time_us += 990 * US_PER_SECOND;
    grow(&fixture, 2);
    archive_all(&fixture);
    CHECK_EQUAL(archived(&fixture, &segments), 5);
    free(segments);
    fixture.log->time_us += 100 * US_PER_SECOND;
    grow(&fixture, 1);
    archive_all(&fixture);
    /* The third may have changes of just now at its end, and the newest never goes. */
    int count = archived(&fixture, &segments);
    CHECK(count >= 3 && count <= 4);
    archive_check(&fixture, segments[0].seq_first);
    free(segments);
    fixture_close(&fixture);
    log_free(fixture.log);
}

TEST(clock_that_was_accepted_years_ahead_does_not_empty_the_archive)
{
    struct fixture fixture;
    struct wal_segment *segments;
    fixture_init(&fixture);
    fixture.options.keep_us = 1000 * US_PER_SECOND;
    fixture_open(&fixture);
    grow(&fixture, 8);
    archive_all(&fixture);
    fixture.log->time_us += 365ULL * 24 * 3600 * US_PER_SECOND;
    int count = archived(&fixture, &segments);
    free(segments);
    for (int more = 0; more < 4; more++) {
        grow(&fixture, 1);
        archive_all(&fixture);
        int left = archived(&fixture, &segments);
        CHECK(left >= count - 1 && left > 0);
        archive_check(&fixture, segments[0].seq_first);
        free(segments);
        count = left;
    }
    fixture_close(&fixture);
    log_free(fixture.log);
}

TEST(damaged_segment_is_told_and_neither_archived_nor_passed_over)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_open(&fixture);
    grow(&fixture, 3);
    uint64_t place = test_random_below(8) * WAL_ALIGN + 16 + test_random_below(80);
    segment_flip(2, place, 4);
    for (int i = 0; i < 20; i++)
        turn(&fixture);
    const struct archive_status *status = archive_status(fixture.archive);
    CHECK_EQUAL(status->segment_count, 1);
    CHECK_EQUAL(status->notice_count, 1);
    CHECK(strstr(status->notice, "wal-0000000002.log is damaged") != NULL);
    segment_flip(2, place, 4);
    archive_all(&fixture);
    archive_check(&fixture, 1);
    fixture_close(&fixture);
    log_free(fixture.log);
}

/* Moves the log's files away, so that another log begins. */
static void log_forget(struct log *log)
{
    struct disk *disk;
    struct wal_segment *segments;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_WRITE), 0);
    int count = wal_segments_list(disk, WAL_IN_DATA, &segments);
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(disk_remove(disk, segments[i].name), 0);
    free(segments);
    disk_close(disk);
    log->seq_last = 0;
}

TEST(archive_of_another_history_is_refused)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_open(&fixture);
    grow(&fixture, 2);
    archive_all(&fixture);
    fixture_close(&fixture);
    log_forget(fixture.log);
    for (int round = 0; round < 2; round++) {
        CHECK_EQUAL(fixture_try_open(&fixture), -EEXIST);
        CHECK(strstr(fixture.error, "another history") != NULL);
        fixture.archive = NULL;
        grow(&fixture, 3);
        fixture_close(&fixture);
    }
    log_free(fixture.log);
}

TEST(damaged_newest_segment_of_the_archive_is_named)
{
    struct fixture fixture;
    struct wal_segment *segments;
    char name[DISK_NAME_SIZE + sizeof "archive/"];
    fixture_init(&fixture);
    fixture_open(&fixture);
    grow(&fixture, 2);
    archive_all(&fixture);
    int count = archived(&fixture, &segments);
    snprintf(name, sizeof name, "archive/%s", segments[count - 1].name);
    fixture_close(&fixture);
    file_truncate(name, segments[count - 1].size_bytes - WAL_ALIGN);
    CHECK(fixture_try_open(&fixture) < 0);
    CHECK(strstr(fixture.error, segments[count - 1].name) != NULL);
    free(segments);
    fixture_close(&fixture);
    log_free(fixture.log);
}

TEST(archive_begins_where_the_log_does_and_says_what_it_lacks)
{
    struct fixture fixture;
    fixture_init(&fixture);
    log_open(fixture.log);
    fixture.folder = NULL;
    grow(&fixture, 4);
    struct wal_closed closed;
    CHECK(wal_closed_next(fixture.log->wal, fixture.log->seq_last / 2, &closed));
    CHECK(wal_release(fixture.log->wal, closed.seq_first) > 0);
    log_drain(fixture.log);
    log_close(fixture.log);
    fixture_open(&fixture);
    CHECK_EQUAL(archive_status(fixture.archive)->notice_count, 1);
    CHECK_EQUAL(archive_status(fixture.archive)->seq, closed.seq_first - 1);
    archive_all(&fixture);
    archive_check(&fixture, closed.seq_first);
    fixture_close(&fixture);
    log_free(fixture.log);
}

TEST(reader_begins_an_archive_with_the_segment_that_has_what_is_wanted)
{
    struct fixture fixture;
    struct wal_segment *segments;
    fixture_init(&fixture);
    fixture_open(&fixture);
    grow(&fixture, 5);
    archive_all(&fixture);
    int count = archived(&fixture, &segments);
    for (int i = 0; i < count; i++) {
        struct wal_reader reader;
        CHECK_EQUAL(wal_reader_init(&reader, fixture.folder), 0);
        reader.seq_known = segments[i].seq_first - 1 +
                           test_random_below(segments[i].seq_last - segments[i].seq_first + 1);
        CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_BLOCK);
        CHECK_EQUAL(reader.block.seq_first, segments[i].seq_first);
        while (reader.fields == NULL)
            CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_BLOCK);
        CHECK(reader.end.seq_next > reader.seq_known + 1);
        wal_reader_deinit(&reader);
    }
    free(segments);
    fixture_close(&fixture);
    log_free(fixture.log);
}
