/* shop.till on a real disk: what is written is read back, and whatever is not that is refused. */
#include "net/shop.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "base/checksum.h"
#include "tests/unit/wal_log.h"

static struct disk *disk_writable(void)
{
    struct disk *disk;
    CHECK(disk_open(&disk, test_folder(), DISK_WRITE) == 0);
    return disk;
}

static struct shop shop_made(void)
{
    struct shop shop = {.flags = SHOP_REPLICA | SHOP_FORKED,
                        .shop = {.low = test_random(), .high = 1},
                        .member = {.low = test_random(), .high = 2},
                        .epoch_sealed = test_random(),
                        .fork_seq = test_random()};
    strcpy(shop.primary.bytes, "[2001:db8::17]:7070");
    strcpy(shop.replica_of.bytes, "10.0.0.1:7411");
    return shop;
}

/* Writes the page with a checksum that holds: what a newer till, or somebody's script, may write.
 */
static void page_forge(const struct shop *shop)
{
    alignas(8) uint8_t page[WAL_ALIGN] = {0};
    memcpy(page, shop, sizeof *shop);
    uint64_t checksum = checksum64(page + 16, WAL_ALIGN - 16);
    memcpy(page + 8, &checksum, sizeof checksum);
    file_put(SHOP_NAME, page, sizeof page);
}

TEST(shop_is_read_as_it_was_written_and_replaced_as_a_whole)
{
    struct disk *disk = disk_writable();
    struct shop found;
    CHECK_EQUAL(shop_read(disk, &found), -ENOENT);
    for (int i = 0; i < 3; i++) {
        struct shop shop = shop_made();
        CHECK_EQUAL(shop_write(disk, &shop), 0);
        CHECK_EQUAL(shop_read(disk, &found), 0);
        CHECK(memcmp(&found, &shop, sizeof shop) == 0);
        CHECK_EQUAL(found.version, SHOP_VERSION);
    }
    CHECK(!file_exists(SHOP_NAME DISK_PARTIAL));
    disk_close(disk);
}

TEST(shop_with_any_damaged_byte_is_refused)
{
    struct disk *disk = disk_writable();
    struct shop shop = shop_made();
    struct shop found;
    CHECK_EQUAL(shop_write(disk, &shop), 0);
    for (uint64_t at = 0; at < WAL_ALIGN; at++) {
        uint8_t bits = (uint8_t)(1 + test_random_below(255));
        file_flip(SHOP_NAME, at, bits);
        CHECK_EQUAL(shop_read(disk, &found), -EBADMSG);
        file_flip(SHOP_NAME, at, bits);
    }
    CHECK_EQUAL(shop_read(disk, &found), 0);
    disk_close(disk);
}

TEST(shop_file_that_is_shorter_or_longer_is_refused)
{
    struct disk *disk = disk_writable();
    struct shop shop = shop_made();
    struct shop found;
    static const uint64_t sizes[] = {
        0, 1, sizeof shop, WAL_ALIGN - 1, WAL_ALIGN + 1, 3 * WAL_ALIGN};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_EQUAL(shop_write(disk, &shop), 0);
        file_truncate(SHOP_NAME, sizes[i]);
        CHECK_EQUAL(shop_read(disk, &found), -EBADMSG);
    }
    disk_close(disk);
}

TEST(shop_of_a_newer_version_is_told_from_a_damaged_one)
{
    char error[SHOP_ERROR_SIZE];
    struct disk *disk = disk_writable();
    struct shop shop = shop_made();
    struct shop found;
    CHECK_EQUAL(shop_write(disk, &shop), 0);
    shop.version = SHOP_VERSION + 1;
    shop.flags = 1 << 7;
    page_forge(&shop);
    CHECK_EQUAL(shop_read(disk, &found), -ENOTSUP);
    CHECK(!shop_explain(disk, -ENOTSUP, error));
    CHECK(strstr(error, SHOP_NAME) != NULL && strstr(error, "newer version") != NULL);
    shop.version = 0;
    page_forge(&shop);
    CHECK_EQUAL(shop_read(disk, &found), -EBADMSG);
    disk_close(disk);
}

TEST(shop_that_no_till_writes_is_refused_though_its_checksum_holds)
{
    struct disk *disk = disk_writable();
    struct shop shop = shop_made();
    struct shop found;
    CHECK_EQUAL(shop_write(disk, &shop), 0);
    struct shop without_id = shop;
    struct shop other_flags = shop;
    struct shop endless = shop;
    without_id.shop = (struct id){0};
    without_id.flags &= ~(uint32_t)SHOP_REPLICA; /* a replica may not know its shop yet */
    other_flags.flags |= 1u << 31;
    memset(&endless.primary, 'x', sizeof endless.primary);
    const struct shop *const forged[] = {&without_id, &other_flags, &endless};
    for (unsigned i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        page_forge(forged[i]);
        CHECK_EQUAL(shop_read(disk, &found), -EBADMSG);
    }
    page_forge(&shop);
    CHECK_EQUAL(shop_read(disk, &found), 0);
    disk_close(disk);
}
