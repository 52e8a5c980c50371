/* The archive of a log on a real disk: what is copied, kept, refused and reported. */
#include "wal/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/wal_log.h"
#include "wal/archive_label.h"
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
    const struct wal *wal = fixture->log->wal;
    const struct archive_history history = {.log = fixture->log->disk,
                                            .seq_first = wal_seq_first(wal),
                                            .seq_next = wal_seq_durable(wal) < wal_seq_first(wal)
                                                            ? wal_seq_first(wal)
                                                            : wal_seq_durable(wal) + 1,
                                            .epoch = fixture->log->epoch,
                                            .time_us = fixture->log->time_us};
    int result = archive_open(&fixture->archive, fixture->log->io, fixture->folder, &history,
                              &fixture->options, fixture->error);
    if (result == 0)
        archive_start(fixture->archive, wal);
    return result;
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

/* Plays turns until every segment that the log has left is archived. */
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

/* Appends until the log has left this many more segments. */
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

/* The archive is a chain from seq_first to the seq in its status; each block is one of the
 * log's. */
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
    fixture.log->options.segment_size = 16ULL * WAL_BLOCK_SIZE_MAX; /* several pieces each */
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
    /* The third may end with changes that are too new, and the newest is never removed. */
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
    /* The first block of this file shows where the one before it ends. */
    CHECK(status->segment_count <= 1);
    CHECK_EQUAL(status->notice_count, 1);
    CHECK(strstr(status->notice, "wal-0000000002.log is damaged") != NULL);
    segment_flip(2, place, 4);
    archive_all(&fixture);
    archive_check(&fixture, 1);
    fixture_close(&fixture);
    log_free(fixture.log);
}

/* Moves the log's files away, so that a new log begins. */
static void log_forget(struct log *log)
{
    struct disk *disk;
    struct wal_segment *segments;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_WRITE), 0);
    int count = wal_segments_list(disk, WAL_IN_DATA, &segments);
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(disk_remove(disk, segments[i].name), 0);
    CHECK_EQUAL(disk_remove(disk, WAL_NOTE_NAME), 0);
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

/* The path of an archived file from the test's folder on. */
struct archived_path {
    char text[DISK_NAME_SIZE + sizeof "archive/"];
};

static struct archived_path archived_path(const char *name)
{
    struct archived_path path;
    snprintf(path.text, sizeof path.text, "archive/%s", name);
    return path;
}

/* An archive of that many segments, closed; the caller frees the list. */
static int archive_made(struct fixture *fixture, uint32_t segment_count,
                        struct wal_segment **segments)
{
    fixture_init(fixture);
    fixture_open(fixture);
    grow(fixture, segment_count);
    archive_all(fixture);
    int count = archived(fixture, segments);
    CHECK_EQUAL(count, segment_count);
    fixture_close(fixture);
    return count;
}

/* Reads the archive to its end; returns the last seq read, and leaves the message in
 * fixture->error. */
static enum wal_read archive_read(struct fixture *fixture, uint64_t seq_known, uint64_t *seq_last)
{
    struct wal_reader reader;
    enum wal_read read;
    CHECK_EQUAL(disk_open(&fixture->folder, fixture->path, DISK_READ), 0);
    CHECK_EQUAL(wal_reader_init(&reader, fixture->folder), 0);
    reader.seq_known = seq_known;
    *seq_last = seq_known;
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK)
        *seq_last = reader.end.seq_next - 1;
    snprintf(fixture->error, sizeof fixture->error, "%s", reader.error);
    wal_reader_deinit(&reader);
    disk_close(fixture->folder);
    return read;
}

static void file_move(const char *from, const char *to)
{
    char path_from[256];
    char path_to[256];
    snprintf(path_from, sizeof path_from, "%s/%s", test_folder(), from);
    snprintf(path_to, sizeof path_to, "%s/%s", test_folder(), to);
    CHECK_EQUAL(rename(path_from, path_to), 0);
}

static void check_said(struct fixture *fixture, const char *words)
{
    if (strstr(fixture->error, words) == NULL)
        test_fail(__FILE__, __LINE__, "'%s' is not in: %s", words, fixture->error);
}

TEST(archive_that_lost_its_first_or_last_file_is_named_by_whoever_needs_it)
{
    struct fixture fixture;
    struct wal_segment *segments;
    uint64_t seq_last;
    int count = archive_made(&fixture, 4, &segments);
    struct archived_path last = archived_path(segments[count - 1].name);
    struct archived_path first = archived_path(segments[0].name);
    file_move(last.text, "kept");
    CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_DAMAGE);
    CHECK_EQUAL(seq_last, segments[count - 2].seq_last);
    check_said(&fixture, "has nothing of seq");
    CHECK_EQUAL(fixture_try_open(&fixture), -EIO);
    check_said(&fixture, "its newest file is missing");
    fixture_close(&fixture);
    file_move("kept", last.text);
    file_move(first.text, "kept");
    CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_DAMAGE);
    CHECK_EQUAL(seq_last, 0);
    check_said(&fixture, "has nothing of seq 1 to");
    CHECK_EQUAL(archive_read(&fixture, segments[0].seq_last - 1, &seq_last), WAL_READ_DAMAGE);
    CHECK_EQUAL(archive_read(&fixture, segments[0].seq_last, &seq_last), WAL_READ_END);
    fixture_open(&fixture);
    CHECK_EQUAL(archive_status(fixture.archive)->notice_count, 1);
    CHECK(strstr(archive_status(fixture.archive)->notice, "has nothing of seq 1 to") != NULL);
    fixture_close(&fixture);
    for (int i = 1; i < count; i++)
        file_move(archived_path(segments[i].name).text, "kept");
    CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_DAMAGE);
    free(segments);
    log_free(fixture.log);
}

TEST(anything_behind_the_last_block_of_an_archived_file_is_damage)
{
    static const uint64_t more[] = {1, 100, WAL_ALIGN, 5 * WAL_ALIGN};
    struct fixture fixture;
    struct wal_segment *segments;
    uint64_t seq_last;
    int count = archive_made(&fixture, 3, &segments);
    for (int i = 0; i < count; i++) {
        struct archived_path path = archived_path(segments[i].name);
        for (size_t j = 0; j < sizeof more / sizeof more[0]; j++) {
            file_truncate(path.text, segments[i].file_bytes + more[j]);
            if (j % 2 == 1)
                file_flip(path.text, segments[i].file_bytes + more[j] - 1, 0x40);
            CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_DAMAGE);
            check_said(&fixture, "behind its last block");
            check_said(&fixture, segments[i].name);
        }
        file_truncate(path.text, segments[i].file_bytes);
    }
    CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_END);
    free(segments);
    log_free(fixture.log);
}

TEST(archive_without_a_sound_label_is_read_but_not_called_whole)
{
    struct fixture fixture;
    struct wal_segment *segments;
    uint64_t seq_last;
    int count = archive_made(&fixture, 3, &segments);
    for (int round = 0; round < 20; round++) {
        uint64_t offset = test_random_below(WAL_ALIGN);
        file_flip("archive/archive.till", offset, 2);
        CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_DAMAGE);
        CHECK_EQUAL(seq_last, segments[count - 1].seq_last);
        check_said(&fixture, "archive.till, which says what the archive has, is damaged");
        CHECK(fixture_try_open(&fixture) < 0);
        check_said(&fixture, "archive.till");
        fixture_close(&fixture);
        file_flip("archive/archive.till", offset, 2);
    }
    file_move("archive/archive.till", "kept");
    CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_DAMAGE);
    CHECK_EQUAL(seq_last, segments[count - 1].seq_last);
    check_said(&fixture, "is missing");
    CHECK_EQUAL(fixture_try_open(&fixture), -ENOENT);
    fixture_close(&fixture);
    file_move("kept", "archive/archive.till");
    fixture_open(&fixture);
    fixture_close(&fixture);
    free(segments);
    log_free(fixture.log);
}

static void set_label(struct fixture *fixture, uint64_t seq_first, uint64_t seq_last,
                      uint64_t last_block)
{
    struct archive_label label;
    CHECK_EQUAL(disk_open(&fixture->folder, fixture->path, DISK_WRITE), 0);
    CHECK_EQUAL(archive_label_read(fixture->folder, &label), 0);
    label.seq_first = seq_first;
    label.seq_last = seq_last;
    label.last_block = last_block;
    CHECK_EQUAL(archive_label_publish(fixture->folder, &label), 0);
    disk_close(fixture->folder);
}

/* The checksum of the block before the one that a segment begins with. */
static uint64_t before(struct fixture *fixture, const struct wal_segment *segment)
{
    struct wal_block block;
    uint8_t *page = aligned_alloc(WAL_ALIGN, WAL_ALIGN);
    CHECK_EQUAL(disk_open(&fixture->folder, fixture->path, DISK_READ), 0);
    CHECK_EQUAL(wal_segment_begin(fixture->folder, segment->name, page, &block), 0);
    disk_close(fixture->folder);
    free(page);
    return block.previous;
}

TEST(one_file_may_be_newer_than_the_label_and_any_older)
{
    struct fixture fixture;
    struct wal_segment *segments;
    uint64_t seq_last;
    archive_made(&fixture, 4, &segments);
    set_label(&fixture, segments[1].seq_first, segments[2].seq_last,
              before(&fixture, &segments[3]));
    CHECK_EQUAL(archive_read(&fixture, segments[0].seq_last, &seq_last), WAL_READ_END);
    CHECK_EQUAL(seq_last, segments[3].seq_last);
    fixture_open(&fixture);
    CHECK_EQUAL(archive_status(fixture.archive)->seq, segments[3].seq_last);
    grow(&fixture, 1);
    archive_all(&fixture);
    struct wal_segment *left;
    CHECK_EQUAL(archived(&fixture, &left), 4);
    CHECK_EQUAL(left[0].seq_first, segments[1].seq_first);
    archive_check(&fixture, segments[1].seq_first);
    free(left);
    fixture_close(&fixture);
    free(segments);
    log_free(fixture.log);
}

TEST(label_of_another_moment_or_another_archive_is_refused)
{
    struct fixture fixture;
    struct wal_segment *segments;
    uint64_t seq_last;
    archive_made(&fixture, 4, &segments);
    uint64_t end = before(&fixture, &segments[2]);
    const struct archive_label labels[] = {
        {.seq_first = 1, .seq_last = segments[1].seq_last, .last_block = end},
        {.seq_first = 1, .seq_last = segments[3].seq_last, .last_block = end},
        {.seq_first = 1, .seq_last = segments[3].seq_last - 1, .last_block = end},
        {.seq_first = 1, .seq_last = segments[3].seq_last + 1, .last_block = end},
    };
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        set_label(&fixture, labels[i].seq_first, labels[i].seq_last, labels[i].last_block);
        CHECK_EQUAL(archive_read(&fixture, 0, &seq_last), WAL_READ_DAMAGE);
        CHECK(fixture_try_open(&fixture) < 0);
        fixture_close(&fixture);
    }
    free(segments);
    log_free(fixture.log);
}

TEST(archive_that_ends_before_the_log_begins_must_not_be_of_a_later_time)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.log->time_us = 1000 * US_PER_SECOND;
    fixture_open(&fixture);
    grow(&fixture, 2);
    archive_all(&fixture);
    uint64_t seq_last = archive_status(fixture.archive)->seq;
    fixture_close(&fixture);
    log_forget(fixture.log);
    log_open(fixture.log);
    fixture.folder = NULL;
    fixture.log->time_us = 1000;
    grow(&fixture, 6);
    struct wal_closed closed;
    CHECK(wal_closed_next(fixture.log->wal, seq_last + 1000, &closed));
    CHECK(wal_release(fixture.log->wal, closed.seq_first) > 0);
    log_drain(fixture.log);
    log_close(fixture.log);
    CHECK_EQUAL(fixture_try_open(&fixture), -EEXIST);
    check_said(&fixture, "another history");
    fixture_close(&fixture);
    log_free(fixture.log);
}
