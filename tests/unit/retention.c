/* What may be removed: every decision of base/retention.h, as tables. */
#include "base/retention.h"

#include "tests/test.h"

enum { FILES_MAX = 6 };

TEST(newest_two_snapshots_are_kept)
{
    static const bool kept[] = {true, true, false, false, false};
    for (int newer = 0; newer < (int)(sizeof kept / sizeof kept[0]); newer++)
        CHECK_EQUAL(retention_keeps_snapshot(newer), kept[newer]);
}

TEST(log_is_kept_from_the_older_snapshot_and_from_the_archive_on)
{
    static const struct {
        struct retention_log log;
        uint64_t seq;
    } rows[] = {
        /* Fewer than two snapshots: all of the log is needed, whatever the archive contains. */
        {{.seq_snapshot = 0}, 0},
        {{.seq_snapshot = 0, .has_archive = true}, 0},
        {{.seq_snapshot = 0, .has_archive = true, .seq_archived = 500}, 0},
        /* No archive: the snapshots alone decide; the seq of a former archive does not count. */
        {{.seq_snapshot = 1}, 2},
        {{.seq_snapshot = 100}, 101},
        {{.seq_snapshot = 100, .seq_archived = 50}, 101},
        /* An archive that is behind the snapshots keeps the segments that it does not contain
         * yet, */
        {{.seq_snapshot = 100, .has_archive = true, .seq_archived = 0}, 1},
        {{.seq_snapshot = 100, .has_archive = true, .seq_archived = 99}, 100},
        /* and one that is not behind keeps none. */
        {{.seq_snapshot = 100, .has_archive = true, .seq_archived = 100}, 101},
        {{.seq_snapshot = 100, .has_archive = true, .seq_archived = 101}, 101},
        {{.seq_snapshot = 100, .has_archive = true, .seq_archived = UINT64_MAX}, 101},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t seq = retention_log_seq(&rows[i].log);
        if (seq != rows[i].seq)
            test_fail(__FILE__, __LINE__, "row %zu: %" PRIu64 " instead of %" PRIu64, i, seq,
                      rows[i].seq);
    }
}

TEST(log_is_kept_for_a_connected_replica_as_far_as_was_allowed)
{
    static const struct {
        struct retention_log log;
        uint64_t seq;
    } rows[] = {
        /* No replica: what is allowed for one changes nothing. */
        {{.seq_snapshot = 100, .seq_allowed = 50}, 101},
        /* A replica that is behind keeps what it needs, */
        {{.seq_snapshot = 100, .seq_replica = 60}, 60},
        {{.seq_snapshot = 100, .seq_replica = 60, .seq_allowed = 60}, 60},
        {{.seq_snapshot = 100, .seq_replica = 1, .seq_allowed = 0}, 1},
        /* but not more than is allowed; */
        {{.seq_snapshot = 100, .seq_replica = 60, .seq_allowed = 80}, 80},
        {{.seq_snapshot = 100, .seq_replica = 60, .seq_allowed = 200}, 101},
        /* one that is not behind keeps nothing. */
        {{.seq_snapshot = 100, .seq_replica = 101}, 101},
        {{.seq_snapshot = 100, .seq_replica = 500, .seq_allowed = 80}, 101},
        /* What the snapshots and the archive need is kept in any case. */
        {{.seq_snapshot = 0, .seq_replica = 60, .seq_allowed = 80}, 0},
        {{.seq_snapshot = 100, .has_archive = true, .seq_archived = 69, .seq_replica = 80}, 70},
        {{.seq_snapshot = 100, .has_archive = true, .seq_archived = 79, .seq_replica = 70}, 70},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t seq = retention_log_seq(&rows[i].log);
        if (seq != rows[i].seq)
            test_fail(__FILE__, __LINE__, "row %zu: %" PRIu64 " instead of %" PRIu64, i, seq,
                      rows[i].seq);
    }
}

/* Files of 10 bytes, the oldest first; the last change in each has the time given. */
struct archive_row {
    struct retention_archive archive;
    uint32_t file_count;
    uint64_t ends[FILES_MAX];
    uint32_t gone;
};

static void check_archive(const struct archive_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct retention_file files[FILES_MAX];
        for (uint32_t j = 0; j < FILES_MAX; j++)
            files[j] = (struct retention_file){.size_bytes = 10, .end_us = rows[i].ends[j]};
        uint32_t gone = retention_archive_gone(&rows[i].archive, files, rows[i].file_count);
        if (gone != rows[i].gone)
            test_fail(__FILE__, __LINE__, "row %zu: %u go instead of %u", i, gone, rows[i].gone);
    }
}

TEST(archive_without_bounds_keeps_everything)
{
    static const struct archive_row rows[] = {
        {{0}, 0, {0}, 0},
        {{0}, 1, {1}, 0},
        {{.time_us = 1000000}, 6, {1, 2, 3, 4, 5}, 0},
    };
    check_archive(rows, sizeof rows / sizeof rows[0]);
}

TEST(archive_of_too_many_bytes_loses_its_oldest_files)
{
    static const struct archive_row rows[] = {
        {{.keep_bytes = 60}, 6, {0}, 0},
        {{.keep_bytes = 59}, 6, {0}, 1},
        {{.keep_bytes = 50}, 6, {0}, 1},
        {{.keep_bytes = 49}, 6, {0}, 2},
        /* The newest stays, even if it alone exceeds the bound. */
        {{.keep_bytes = 1}, 6, {0}, 5},
        {{.keep_bytes = 1}, 1, {0}, 0},
        {{.keep_bytes = 1}, 0, {0}, 0},
    };
    check_archive(rows, sizeof rows / sizeof rows[0]);
}

TEST(archive_gives_up_what_it_must_but_never_the_newest)
{
    static const struct archive_row rows[] = {
        {{.gone_min = 1}, 6, {0}, 1},
        {{.gone_min = 3}, 6, {0}, 3},
        {{.gone_min = 3, .keep_bytes = 50}, 6, {0}, 3},
        {{.gone_min = 1, .keep_bytes = 20}, 6, {0}, 4},
        {{.gone_min = 6}, 6, {0}, 5},
        {{.gone_min = 1}, 1, {0}, 0},
        {{.gone_min = 1}, 0, {0}, 0},
    };
    check_archive(rows, sizeof rows / sizeof rows[0]);
}

TEST(archived_files_that_are_too_old_go_a_few_at_a_time)
{
    static const struct archive_row rows[] = {
        /* Removed when older than keep_us, not when exactly that old. */
        {{.keep_us = 100, .time_us = 1000}, 4, {899, 950, 999}, 1},
        {{.keep_us = 100, .time_us = 1000}, 4, {900, 950, 999}, 0},
        /* Two at a time, however many are too old. */
        {{.keep_us = 100, .time_us = 1000}, 6, {1, 2, 3, 4, 5}, 2},
        {{.keep_us = 100, .time_us = 1000}, 2, {1}, 1},
        {{.keep_us = 100, .time_us = 1000}, 1, {1}, 0},
        /* A file that is not too old protects those after it; so does one whose time is not
         * known. */
        {{.keep_us = 100, .time_us = 1000}, 6, {1, 950, 3, 4, 5}, 1},
        {{.keep_us = 100, .time_us = 1000}, 6, {0, 2, 3, 4, 5}, 0},
        /* A time ahead of the archive's does not count as an age. */
        {{.keep_us = 100, .time_us = 1000}, 4, {2000, 3000, 4000}, 0},
        /* After those that are removed for the size bound, or must be, two more are removed for
         * their age. */
        {{.keep_us = 100, .time_us = 1000, .keep_bytes = 50}, 6, {1, 2, 3, 4, 5}, 3},
        {{.keep_us = 100, .time_us = 1000, .gone_min = 2}, 6, {1, 2, 3, 4, 5}, 4},
        {{.keep_us = 100, .time_us = 1000, .gone_min = 2}, 6, {1, 2, 950, 4, 5}, 2},
    };
    check_archive(rows, sizeof rows / sizeof rows[0]);
}
