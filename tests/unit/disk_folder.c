/* The data folder on a real file system. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/limits.h"
#include "tests/test.h"
#include "tests/unit/wal_log.h"

static struct disk *disk_writable(void)
{
    struct disk *disk;
    CHECK(disk_open(&disk, test_folder(), DISK_WRITE) == 0);
    return disk;
}

static uint8_t *page_create(uint8_t value)
{
    uint8_t *page = aligned_alloc(WAL_ALIGN, WAL_ALIGN);
    CHECK(page != NULL);
    memset(page, value, WAL_ALIGN);
    return page;
}

TEST(folder_is_created_for_writing_and_must_exist_for_reading)
{
    char path[128];
    struct disk *disk;
    snprintf(path, sizeof path, "%s/data", test_folder());
    CHECK(disk_open(&disk, path, DISK_READ) == -ENOENT);
    CHECK(disk_open(&disk, path, DISK_WRITE) == 0);
    CHECK(strcmp(disk_path(disk), path) == 0);
    disk_close(disk);
    CHECK(disk_open(&disk, path, DISK_READ) == 0);
    disk_close(disk);
}

TEST(folder_is_locked_against_a_second_process)
{
    struct disk *disk = disk_writable();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct disk *second;
        bool refused = disk_open(&second, test_folder(), DISK_WRITE) == -EWOULDBLOCK;
        bool readable = disk_open(&second, test_folder(), DISK_READ) == 0;
        _exit(refused && readable ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    disk_close(disk);
    disk_close(disk_writable());
}

TEST(files_are_listed_by_name_with_their_sizes)
{
    struct disk_entry entries[4];
    struct disk *disk;
    file_put("b", "12345", 5);
    file_put("a", "", 0);
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    CHECK_EQUAL(disk_list(disk, entries, 4), 2);
    CHECK(strcmp(entries[0].name, "a") == 0 && strcmp(entries[1].name, "b") == 0);
    CHECK_EQUAL(entries[0].size_bytes, 0);
    CHECK_EQUAL(entries[1].size_bytes, 5);
    CHECK_EQUAL(disk_list(disk, entries, 1), 2);
    CHECK_EQUAL(disk_list(disk, NULL, 0), 2);
    disk_close(disk);
}

TEST(created_file_is_zeros_of_its_size_and_is_created_once)
{
    enum { SIZE = (3 << 20) + WAL_ALIGN };
    struct disk *disk = disk_writable();
    uint8_t *page = page_create(1);
    CHECK(disk_create_zeroed(disk, "zeros", SIZE) == 0);
    CHECK(disk_create_zeroed(disk, "zeros", SIZE) == -EEXIST);
    CHECK(!file_exists("zeros.partial"));
    int file = disk_file_open(disk, "zeros", true);
    CHECK(file >= 0);
    for (uint64_t offset = 0; offset < SIZE; offset += WAL_ALIGN) {
        CHECK_EQUAL(disk_file_read(disk, file, offset, page, WAL_ALIGN), WAL_ALIGN);
        for (unsigned i = 0; i < WAL_ALIGN; i++)
            CHECK(page[i] == 0);
    }
    CHECK_EQUAL(disk_file_read(disk, file, SIZE, page, WAL_ALIGN), 0);
    disk_file_close(disk, file);
    free(page);
    disk_close(disk);
}

/* Writes a page and reads it back, through a file system at path. */
static void page_round_trip(const char *path)
{
    struct disk *disk;
    uint8_t *page = page_create(7);
    CHECK(disk_open(&disk, path, DISK_WRITE) == 0);
    CHECK(disk_create_zeroed(disk, "file", 2 * WAL_ALIGN) == 0);
    int file = disk_file_open(disk, "file", true);
    CHECK(file >= 0);
    CHECK(disk_file_write(disk, file, WAL_ALIGN, page, WAL_ALIGN) == 0);
    memset(page, 0, WAL_ALIGN);
    CHECK_EQUAL(disk_file_read(disk, file, WAL_ALIGN, page, WAL_ALIGN), WAL_ALIGN);
    CHECK(page[0] == 7 && page[WAL_ALIGN - 1] == 7);
    disk_file_close(disk, file);
    CHECK(disk_rename(disk, "file", "other") == 0);
    CHECK(disk_file_open(disk, "file", false) == -ENOENT);
    file = disk_file_open(disk, "other", false);
    CHECK(file >= 0);
    disk_file_close(disk, file);
    CHECK(disk_remove(disk, "other") == 0);
    CHECK(disk_remove(disk, "other") == -ENOENT);
    free(page);
    disk_close(disk);
}

TEST(written_page_is_read_back_renamed_and_removed)
{
    page_round_trip(test_folder());
}

TEST(file_system_without_direct_io_is_used_without_it)
{
    char command[64];
    char path[] = "/dev/shm/till-test-XXXXXX";
    if (mkdtemp(path) == NULL)
        return; /* no tmpfs here */
    page_round_trip(path);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    CHECK(system(command) == 0);
}

TEST(partial_files_of_a_crash_stay_until_the_folder_is_tidied)
{
    struct disk *disk;
    file_put("wal-0000000003.log.partial", "x", 1);
    CHECK(disk_open(&disk, test_folder(), DISK_READ) == 0);
    disk_close(disk);
    CHECK(file_exists("wal-0000000003.log.partial"));
    disk = disk_writable();
    CHECK(file_exists("wal-0000000003.log.partial"));
    CHECK_EQUAL(disk_tidy(disk), 0);
    CHECK(!file_exists("wal-0000000003.log.partial"));
    disk_close(disk);
}

TEST(partial_file_grows_with_what_is_written_and_is_published)
{
    struct disk *disk = disk_writable();
    uint8_t *page = page_create(7);
    int file = disk_partial_create(disk, "file");
    CHECK(file >= 0);
    for (uint64_t offset = 0; offset < 3 * WAL_ALIGN; offset += WAL_ALIGN)
        CHECK_EQUAL(disk_file_write(disk, file, offset, page, WAL_ALIGN), 0);
    CHECK(!file_exists("file"));
    CHECK_EQUAL(disk_partial_publish(disk, file, "file", "published"), 0);
    CHECK(file_exists("published") && !file_exists("file.partial"));
    memset(page, 0, WAL_ALIGN);
    CHECK_EQUAL(disk_file_read(disk, file, 2 * WAL_ALIGN, page, WAL_ALIGN), WAL_ALIGN);
    CHECK(page[0] == 7 && page[WAL_ALIGN - 1] == 7);
    CHECK_EQUAL(disk_file_read(disk, file, 3 * WAL_ALIGN, page, WAL_ALIGN), 0);
    disk_file_close(disk, file);
    free(page);
    disk_close(disk);
}

TEST(file_that_finds_no_room_leaves_nothing_behind)
{
    struct rlimit before;
    struct disk *disk = disk_writable();
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    struct rlimit small = {.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    int result = disk_create_zeroed(disk, "large", 2 << 20);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(result == -EFBIG);
    CHECK(!file_exists("large") && !file_exists("large.partial"));
    CHECK(disk_create_zeroed(disk, "large", 2 << 20) == 0);
    disk_close(disk);
}
