/* The insides of the log's writing end. Each file calls only those before it:
 *
 *   write.c, segments.c, note.c   a write, the files, the note's pages: know nothing of struct wal
 *   mark.c                        how the log marks its end: the seal and the note
 *   wal.c                         appending
 *   take.c                        appending whole blocks of another log
 *   open.c                        opening and closing */
#ifndef TILL_WAL_WAL_STATE_H
#define TILL_WAL_WAL_STATE_H

#include "base/assert.h"
#include "base/limits.h"
#include "wal/note.h"
#include "wal/segments.h"
#include "wal/wal.h"
#include "wal/write.h"

struct wal_slot {
    uint8_t *image;
    struct wal_write write;
    struct wal_block block;
    uint64_t submitted_us;
    uint64_t note_generation; /* of the note that must be durable before this block counts as it */
    int file_done;            /* to close when this block is durable; -1: none */
    bool written;
    bool is_after_seal; /* it is chained to the seal in wal_seal, which is a part of the log so */
};

/*   SEAL_NONE --wal_seal_write--> SEAL_WRITING --wal_seal_written--> SEAL_THERE
 *   SEAL_THERE --wal_seal_make_way, the next block overwrites the seal--> SEAL_NONE
 *
 *   SEAL_WRITING --wal_seal_make_way, the next block goes after the seal--> SEAL_FOLLOWED
 *   SEAL_WRITING --wal_seal_make_way, the next block goes to the next segment--> SEAL_LEFT
 *   SEAL_FOLLOWED, SEAL_LEFT --wal_seal_written--> SEAL_NONE */
enum wal_seal_state { SEAL_NONE, SEAL_WRITING, SEAL_THERE, SEAL_FOLLOWED, SEAL_LEFT };

struct wal_seal {
    enum wal_seal_state state;
    struct wal_write write;
    uint8_t *page;
    struct wal_block block;
    int file_done; /* to close when the seal is written; -1: none */
};

/* The log note: the last one that was handed to the disk, and what the pages are known to say. */
struct wal_noting {
    struct wal_note note;
    struct wal_write write;
    uint8_t *page;
    int file;
    uint32_t page_segments[WAL_NOTE_PAGES]; /* the segment that each page names, once durable */
    uint64_t generation_due;                /* blocks that are handed over now wait for this note */
    uint64_t generation_durable;
    uint64_t epoch_due;     /* what the next note says; no block has a newer one than */
    uint64_t epoch_durable; /* what the durable note says */
    uint64_t written_us;
};

/* Since the log was opened. */
struct wal_counts {
    uint64_t blocks;
    uint64_t commands;
    uint64_t bytes_raw;    /* of both columns */
    uint64_t bytes_stored; /* headers and padding included */
    uint64_t write_us_sum; /* from submit to durable */
    uint64_t write_us_max;
};

struct wal {
    struct io *io;
    struct disk *disk;
    struct wal_options options;
    struct wal_segments segments;
    struct wal_writes writes;

    /* The open block. */
    uint8_t *ids;
    uint8_t *fields;
    uint8_t *ids_cursor;
    uint8_t *fields_cursor;
    size_t column_limit;   /* the most bytes of each column for which there is room on the disk */
    struct wal_block open; /* its header, as far as it is known yet */
    uint64_t time_last;    /* of the last command appended */
    uint64_t time_next;    /* of the next one */

    /* The blocks before it. */
    uint64_t block_open; /* numbers */
    uint64_t block_durable;
    uint64_t seq_durable;
    uint64_t durable_us; /* when the last one became durable, or the log was opened */
    bool has_blocks;     /* the log has at least one durable block */
    struct wal_slot slots[WAL_WRITES_MAX];
    uint8_t *images;
    struct wal_packer packer;
    struct wal_seal seal;
    struct wal_noting noting;
    wal_durable *durable; /* NULL: nobody is told */
    void *durable_context;

    struct wal_counts counts;
};

static inline struct wal_slot *wal_block_slot(struct wal *wal, uint64_t block)
{
    return &wal->slots[block % WAL_WRITES_MAX];
}

static inline uint64_t wal_blocks_in_flight(const struct wal *wal)
{
    return wal->block_open - 1 - wal->block_durable;
}

/* Is a block without commands on its way to the disk? The next one waits for it: its watermark
 * could not tell whether the empty block was durable, because that has no seq. */
static inline bool wal_awaits_empty(struct wal *wal)
{
    return wal_blocks_in_flight(wal) > 0 &&
           wal_block_slot(wal, wal->block_open - 1)->block.command_count == 0;
}

/* mark.c */
/* Decides where the open block goes: over the seal, after it, or (true) to the next segment. */
bool wal_seal_make_way(struct wal *wal, uint32_t columns_size);
void wal_seal_written(struct wal *wal);
/* May the log be sealed now? A seal goes to the next segment when this one has no page left. */
bool wal_seal_is_possible(const struct wal *wal);
void wal_seal_write(struct wal *wal);
/* Writes the note if there is something to be noted and it is not being written. */
void wal_note_turn(struct wal *wal, uint64_t now_us);
void wal_note_written(struct wal *wal);
/* Blocks that are handed to the disk from now on do not count as durable before a new note is. */
void wal_note_require(struct wal *wal);
/* Is the durable note one that a block of that epoch may be handed to the disk under? If not, such
 * a note is on its way. The log's first block has this seq and names this checksum. */
bool wal_note_admits(struct wal *wal, uint64_t epoch, uint64_t seq_first, uint64_t previous);
/* The oldest segment that a durable page names: it and all later ones must be kept. */
uint32_t wal_note_segment_least(const struct wal *wal);
/* Writes the note when the log is opened, and opens its file. */
int wal_note_open(struct wal *wal);

/* wal.c */
/* Hands the block, whose image is in the slot of the open block, to the disk: to the current
 * segment, or else to the next one. Then begins an empty open block. */
void wal_block_write(struct wal *wal, const struct wal_block *block, bool moves_on);
/* Begins an empty open block. */
void wal_block_begin(struct wal *wal);
/* Sees to it that there is a spare, now or later. 0 or -errno. */
int wal_supply(struct wal *wal);

#endif
