/* Reading and writing shop.till.
 *
 * Good path: the file is one page, whose checksum holds. It is changed as a whole: a new one is
 * written under a partial name and published in place of the old one.
 *
 * What can fail: the disk. A page that is not whole was not left by a crash, but damaged. A newer
 * version is recognized by the page alone: magic, checksum and version stand in the same place in
 * every version, and the checksum covers the whole page. */
#include "net/shop.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/error.h"

enum {
    CHECKSUM_START = offsetof(struct shop, version),
    SHOP_FLAGS = SHOP_REPLICA | SHOP_FORKED | SHOP_PROMOTED | SHOP_REBASED | SHOP_NEW
};

static bool text_ends(const struct text *text)
{
    return text->bytes[sizeof text->bytes - 1] == '\0';
}

static uint64_t page_checksum(const uint8_t page[WAL_ALIGN])
{
    return checksum64(page + CHECKSUM_START, WAL_ALIGN - CHECKSUM_START);
}

static int page_read(const uint8_t page[WAL_ALIGN], struct shop *shop)
{
    memcpy(shop, page, sizeof *shop);
    if (shop->magic != SHOP_MAGIC || shop->checksum != page_checksum(page))
        return -EBADMSG;
    if (shop->version > SHOP_VERSION)
        return -ENOTSUP;
    bool is_sound = shop->version == SHOP_VERSION && (shop->flags & ~(uint32_t)SHOP_FLAGS) == 0 &&
                    (!id_is_zero(shop->shop) || (shop->flags & SHOP_REPLICA) != 0) &&
                    text_ends(&shop->primary) && text_ends(&shop->replica_of);
    return is_sound ? 0 : -EBADMSG;
}

int shop_read(struct disk *disk, struct shop *shop)
{
    alignas(WAL_ALIGN) uint8_t pages[2 * WAL_ALIGN];
    *shop = (struct shop){0};
    int file = disk_file_open(disk, SHOP_NAME, false);
    if (file < 0)
        return file;
    int64_t size = disk_file_read(disk, file, 0, pages, sizeof pages);
    disk_file_close(disk, file);
    if (size < 0)
        return (int)size;
    return size == WAL_ALIGN ? page_read(pages, shop) : -EBADMSG;
}

int shop_write(struct disk *disk, struct shop *shop)
{
    alignas(WAL_ALIGN) uint8_t page[WAL_ALIGN] = {0};
    TILL_ASSERT(!id_is_zero(shop->shop) || (shop->flags & SHOP_REPLICA) != 0);
    TILL_ASSERT((shop->flags & ~(uint32_t)SHOP_FLAGS) == 0);
    TILL_ASSERT(text_ends(&shop->primary) && text_ends(&shop->replica_of));
    shop->magic = SHOP_MAGIC;
    shop->version = SHOP_VERSION;
    memcpy(page, shop, sizeof *shop);
    shop->checksum = page_checksum(page);
    memcpy(page, shop, sizeof *shop);
    return disk_file_publish(disk, SHOP_NAME, page, sizeof page);
}

bool shop_explain(const struct disk *disk, int result, char error[SHOP_ERROR_SIZE])
{
    const char *why = strerror(-result);
    if (result == -EBADMSG)
        why = "it is damaged. Restore this folder from a replica or a backup";
    else if (result == -ENOTSUP)
        why = "it is of a newer version: use the till that wrote it";
    return error_set_file(error, SHOP_ERROR_SIZE, disk_path(disk), SHOP_NAME, "%s", why);
}
