/* Which shop a data folder is of, and what its server has promised: the file shop.till.
 *
 *   offset size field
 *        0    8 magic         "tillshop"
 *        8    8 checksum      XXH3-64 of all of the page from offset 16 on
 *       16    4 version       1
 *       20    4 flags         1, SHOP_REPLICA: the folder is a replica's
 *                             2, SHOP_FORKED: fork_seq is to be gone back to
 *                             4, SHOP_PROMOTED: it is the primary of epoch_sealed
 *                             8, SHOP_REBASED: a snapshot was fetched, and takes the place of the
 *                                log once it is published
 *                             16, SHOP_NEW: a replica's that began empty, and has not caught up
 *       24   16 shop          id of the shop, made with its first data folder
 *       40   16 member        id of this folder, made with it; not copied by a backup
 *       56    8 epoch_sealed  epochs below it are refused
 *       64    8 fork_seq      the last change that is kept; of SHOP_REBASED the snapshot's
 *       72   96 primary       whom it follows, or did before it was promoted, ADDR:PORT
 *      168   96 replica_of    what --replica-of said when it was obeyed last; empty: never
 *
 * One page of WAL_ALIGN bytes, zero after the fields; published anew by every change. A folder that
 * has none is of a till that knew no replicas: it gets one at its first start, of a new shop. */
#ifndef TILL_NET_SHOP_H
#define TILL_NET_SHOP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/id.h"
#include "base/limits.h"
#include "engine/messages.h"

#define SHOP_NAME    "shop.till"
#define SHOP_MAGIC   0x706f68736c6c6974ULL
#define SHOP_VERSION 1

enum { SHOP_REPLICA = 1, SHOP_FORKED = 2, SHOP_PROMOTED = 4, SHOP_REBASED = 8, SHOP_NEW = 16 };
enum { SHOP_ERROR_SIZE = 512 };

struct shop {
    uint64_t magic;
    uint64_t checksum;
    uint32_t version;
    uint32_t flags;
    struct id shop;
    struct id member;
    uint64_t epoch_sealed;
    uint64_t fork_seq;
    struct text primary;
    struct text replica_of;
};

static_assert(sizeof(struct shop) == 264, "the file's layout");
static_assert(offsetof(struct shop, primary) == 72, "primary");
static_assert(offsetof(struct shop, replica_of) == 168, "replica_of");
static_assert(sizeof(struct shop) <= WAL_ALIGN, "a page has room for it");

/* Reads the folder's. 0; -ENOENT: there is none; -EBADMSG: it is damaged; -ENOTSUP: it is of a
 * newer version; or another -errno. */
int shop_read(struct disk *disk, struct shop *shop);

/* Publishes it; durable when it returns. Fills in magic, version and checksum. Blocks: at the start
 * or in a lane. 0 or -errno. */
int shop_write(struct disk *disk, struct shop *shop);

/* What a result of shop_read says, with the file's path. Always false. */
bool shop_explain(const struct disk *disk, int result, char error[SHOP_ERROR_SIZE]);

#endif
