/* The insides of the log's writing end. Each file calls only those before it:
 *
 *   write.c, segments.c, note.c   a write, the files, the note's pages: know nothing of struct wal
 *   mark.c                        how the log marks its end: the seal and the note
 *   wal.c                         appending
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
    uint64_t seq_last;
    uint64_t submitted_us;
    uint32_t segment; /* where it stands: a note that names it must be durable */
    int file_done;    /* to close when this block is durable; -1: none */
    bool written;
};

/*   none --wal_turn, idle for a moment--> writing --written--> there --a block goes over it--> none
 *                                           |
 *               a block goes behind it <----+----> a block goes to the next segment
 *                     |                                  |
 *                  followed --written--> none           left --written--> none */
enum wal_seal_state { SEAL_NONE, SEAL_WRITING, SEAL_THERE, SEAL_FOLLOWED, SEAL_LEFT };

struct wal_seal {
    enum wal_seal_state state;
    struct wal_write write;
    uint8_t *page;
    uint64_t checksum;
    int file_done; /* to close when it is written; -1: none */
};

/* The note: what was handed to the disk last, and what is known to be on it. */
struct wal_noting {
    struct wal_note note;
    struct wal_write write;
    uint8_t *page;
    int file;
    uint32_t page_segments[WAL_NOTE_PAGES]; /* that each page names for certain */
    uint64_t written_us;
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
    size_t column_limit;   /* bytes that each column may have so that the block can be placed */
    struct wal_block open; /* its header, as far as it is known before it is made */
    uint64_t time_last;    /* of the last command appended */
    uint64_t time_next;    /* of the next one */

    /* The blocks before it. */
    uint64_t block_open; /* numbers */
    uint64_t block_durable;
    uint64_t seq_durable;
    uint64_t durable_us; /* when the last one became durable, or the log was opened */
    bool has_blocks;     /* one at least is durable */
    struct wal_slot slots[WAL_WRITES_MAX];
    uint8_t *images;
    struct wal_packer packer;
    struct wal_seal seal;
    struct wal_noting noting;

    struct wal_stats stats;
};

static inline struct wal_slot *wal_block_slot(struct wal *wal, uint64_t block)
{
    return &wal->slots[block % WAL_WRITES_MAX];
}

static inline uint64_t wal_blocks_in_flight(const struct wal *wal)
{
    return wal->block_open - 1 - wal->block_durable;
}

/* mark.c */
/* Where the open block goes with regard to the seal; true when it must go to the next segment. */
bool wal_seal_make_way(struct wal *wal, uint32_t columns_size);
void wal_seal_written(struct wal *wal);
/* May the log be sealed now? A seal goes to the next segment when this one has no page left. */
bool wal_seal_is_possible(const struct wal *wal);
void wal_seal_write(struct wal *wal);
/* Writes the note if there is something to be noted and it is not being written. */
void wal_note_turn(struct wal *wal, uint64_t now_us);
void wal_note_written(struct wal *wal);
/* The newest segment that a page names for certain: blocks up to it may count as durable; and the
 * oldest one: it and what follows it stays. */
uint32_t wal_note_segment(const struct wal *wal);
uint32_t wal_note_segment_least(const struct wal *wal);
/* Notes how things stand when the log is opened. */
int wal_note_open(struct wal *wal);

/* wal.c */
/* Begins an empty open block. */
void wal_block_begin(struct wal *wal);
/* Sees to it that there is a spare, now or later. 0 or -errno. */
int wal_supply(struct wal *wal);

#endif
