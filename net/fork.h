/* Going back to where two histories part: what a folder's log has behind that place is set aside,
 * and nothing is deleted.
 *
 * fork_set_aside comes before recovery, when shop.till says SHOP_FORKED. It may be cut short at any
 * moment and done again.
 *
 *   1. the blocks behind fork_seq are copied to diverged-EPOCH-FIRST.till (10 and 20 digits; of the
 *      last and of the first of them), one behind the other as in an archived segment; `till log
 *      FILE` prints it
 *   2. snapshots of a later seq are renamed: diverged-snapshot-SEQ.till
 *   3. when neither a snapshot nor the log leads to fork_seq any more, every file of the old
 *      history is renamed, diverged-..., and the folder begins anew, empty
 *
 * Where a file of that name is there already, from an earlier fork, the next one gets a number:
 * ...-2.till. A log that ends before fork_seq has nothing to set aside.
 *
 * Recovery then replays up to fork_seq (replay.fork_seq) and opens the log for writing there, which
 * cuts what lies behind it; after that the caller clears SHOP_FORKED. */
#ifndef TILL_NET_FORK_H
#define TILL_NET_FORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"

enum { FORK_ERROR_SIZE = 640 };

struct fork {
    struct disk *disk;
    uint64_t fork_seq;

    /* Filled by fork_set_aside. */
    char name[DISK_NAME_SIZE]; /* of the file with the blocks; empty: there were none behind it */
    uint64_t seq_first;        /* in it */
    uint64_t seq_last;
    uint64_t orders;  /* order.place commands in it */
    bool begins_anew; /* 3.; name is empty then */
    bool is_inside;   /* false was returned because fork_seq lies inside of a block */
    char error[FORK_ERROR_SIZE];
};

/* The folder is open for writing. False: error says which file cannot be read or written, what is
 * damaged, or that fork_seq lies inside of a block. */
bool fork_set_aside(struct fork *fork);

/* For a replica whose log does not reach the snapshot that it has fetched (SHOP_REBASED): removes
 * the log, all of which the snapshot shows, as the log's own release would. 0 or -errno; it may be
 * cut short and done again. */
int fork_leave_log(struct disk *disk);

#endif
