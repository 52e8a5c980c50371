/* Labels on a real disk: a reader gets exactly what was published, or an error. */
#include "base/label.h"

#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <string.h>

#include "base/limits.h"
#include "tests/test.h"
#include "tests/unit/wal_log.h"

enum { ROOM = 4 * WAL_ALIGN, VERSION = 3 };

static const char name[] = "goods.till";
static alignas(WAL_ALIGN) char room[ROOM];

static struct disk *folder(void)
{
    struct disk *disk;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_WRITE), 0);
    return disk;
}

static void publish(struct disk *disk, uint32_t version, uint64_t weight, unsigned line_count)
{
    struct label label;
    label_begin(&label, room, ROOM, "goods", version);
    label_add(&label, "weight %" PRIu64 "\nmark %016" PRIx64 "\n", weight, ~weight);
    for (unsigned i = 0; i < line_count; i++)
        label_add(&label, "line %04u, which is as long as this\n", i);
    CHECK_EQUAL(label_publish(&label, disk, name), 0);
}

static int read_again(struct disk *disk, struct label *label)
{
    return label_read(label, disk, name, room, ROOM, "goods", VERSION);
}

TEST(label_is_read_as_it_was_published)
{
    struct disk *disk = folder();
    struct label label;
    CHECK_EQUAL(read_again(disk, &label), -ENOENT);
    for (unsigned line_count = 0; line_count < 300; line_count += 37) {
        uint64_t weight = test_random();
        uint64_t weight_read;
        uint64_t mark_read;
        publish(disk, VERSION, weight, line_count);
        CHECK_EQUAL(read_again(disk, &label), 0);
        CHECK(label_number(&label, "weight", 10, &weight_read));
        CHECK(label_number(&label, "mark", 16, &mark_read));
        CHECK_EQUAL(weight_read, weight);
        CHECK_EQUAL(mark_read, ~weight);
        unsigned lines = 0;
        while (label_line(&label) != NULL)
            lines++;
        CHECK_EQUAL(lines, line_count);
        CHECK(!label_number(&label, "weight", 10, &weight_read));
    }
    disk_close(disk);
}

TEST(label_with_any_byte_changed_is_refused)
{
    struct disk *disk = folder();
    struct label label;
    publish(disk, VERSION, 42, 130);
    size_t size = 2ULL * WAL_ALIGN;
    for (size_t offset = 0; offset < size; offset++) {
        uint8_t bits = (uint8_t)(1 + test_random_below(255));
        file_flip(name, offset, bits);
        CHECK_EQUAL(read_again(disk, &label), -EBADMSG);
        file_flip(name, offset, bits);
    }
    CHECK_EQUAL(read_again(disk, &label), 0);
    CHECK_EQUAL(label.size, size);
    disk_close(disk);
}

TEST(label_that_is_shorter_or_longer_is_refused)
{
    static const size_t sizes[] = {0, 1, 30, WAL_ALIGN, ROOM, 2 * WAL_ALIGN + 1};
    struct disk *disk = folder();
    struct label label;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        publish(disk, VERSION, 42, 130);
        file_truncate(name, sizes[i]);
        CHECK_EQUAL(read_again(disk, &label), -EBADMSG);
    }
    disk_close(disk);
}

TEST(label_of_something_else_or_of_a_newer_version_is_told)
{
    struct disk *disk = folder();
    struct label label;
    publish(disk, VERSION + 1, 42, 1);
    CHECK_EQUAL(read_again(disk, &label), -ENOTSUP);
    publish(disk, VERSION - 1, 42, 1);
    CHECK_EQUAL(read_again(disk, &label), 0);
    CHECK_EQUAL(label_read(&label, disk, name, room, ROOM, "good", VERSION), -EBADMSG);
    CHECK_EQUAL(label_read(&label, disk, name, room, ROOM, "goods and more", VERSION), -EBADMSG);
    disk_close(disk);
}

TEST(label_that_does_not_fit_is_not_published)
{
    struct disk *disk = folder();
    struct label label;
    publish(disk, VERSION, 42, 1);
    label_begin(&label, room, WAL_ALIGN, "goods", VERSION);
    for (int i = 0; i < 200; i++)
        label_add(&label, "a line that is too much in the end\n");
    CHECK_EQUAL(label_publish(&label, disk, name), -EOVERFLOW);
    CHECK_EQUAL(read_again(disk, &label), 0);
    disk_close(disk);
}

TEST(label_is_published_on_what_was_kept_for_it_or_left_by_a_crash)
{
    struct disk *disk = folder();
    struct label label;
    CHECK_EQUAL(label_reserve(disk, name), 0);
    CHECK_EQUAL(label_reserve(disk, name), 0);
    publish(disk, VERSION, 42, 1);
    CHECK_EQUAL(read_again(disk, &label), 0);
    CHECK_EQUAL(label.size, WAL_ALIGN);
    file_truncate("goods.till.partial", 3ULL * WAL_ALIGN);
    publish(disk, VERSION, 43, 1);
    CHECK_EQUAL(read_again(disk, &label), 0);
    CHECK_EQUAL(label.size, WAL_ALIGN);
    CHECK(!file_exists("goods.till.partial"));
    disk_close(disk);
}
