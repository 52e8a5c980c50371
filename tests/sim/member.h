/* A log with a model of it, over the simulated disk, for logs that follow each other.
 *
 * The chain is the model: the blocks that the log which leads has shown as durable, in order. A
 * member is a log in a folder of its own, with an archive if wanted, that has a part of the chain:
 * it leads, and makes the chain longer, or follows, and takes blocks of it. */
#ifndef TILL_TESTS_SIM_MEMBER_H
#define TILL_TESTS_SIM_MEMBER_H

#include "base/disk.h"
#include "base/io.h"
#include "base/limits.h"
#include "tests/sim/sim.h"
#include "tests/test.h"
#include "wal/archive.h"
#include "wal/reader.h"
#include "wal/ring.h"
#include "wal/wal.h"

enum { CHAIN_MAX = 4096 };

struct link {
    struct wal_block block;
    uint8_t *image;
};

struct chain {
    struct link links[CHAIN_MAX];
    uint32_t count;
};

/* It begins with the link `first`: before that it has a snapshot with seq_known. */
struct member {
    struct sim_machine *machine;
    struct chain *chain;
    const char *folder;
    const char *archive_folder; /* NULL: it has no archive */
    struct disk *disk;
    struct disk *archive_disk;
    struct io *io;
    struct wal *wal;
    struct archive *archive;
    uint64_t seq_known;
    uint64_t seq_released;
    uint64_t epoch;
    uint32_t first;
    uint32_t taken;        /* links handed to the log, */
    uint32_t durable;      /* and those of them that it told durable */
    uint32_t cut_at;       /* the log is cut before this link when it is opened; 0: it is not */
    struct wal_ring *ring; /* gets the durable blocks; NULL: there is none */
};

static inline uint64_t link_seq_last(const struct link *link)
{
    return link->block.seq_first + link->block.command_count - 1;
}

void chain_cut(struct chain *chain, uint32_t count);

/* Recovers, compares what is found with the chain, and opens the log; a member that leads begins an
 * epoch, and ends the chain where its log ends. False when a crash came in between. */
bool member_open(struct member *member, bool leads);

/* Makes all durable first. */
void member_close(struct member *member);

/* The power fails; the dead log is told that its writes succeeded, so that it can be closed. Also
 * after a member_open that failed. */
void member_crash(struct member *member);

/* The log's own part of some turns, between appending commands, or taking links of the chain. */
void member_lead(struct member *member, uint32_t turns);
void member_follow(struct member *member, uint32_t turns);

#endif
