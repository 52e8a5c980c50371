/* The writer's insides, shared by wal.c (appending), open.c (opening), ready.c (segments) and
 * mark.c (the seal and the note). */
#ifndef TILL_WAL_WAL_STATE_H
#define TILL_WAL_WAL_STATE_H

#include "base/assert.h"
#include "base/limits.h"
#include "wal/note.h"
#include "wal/segment.h"
#include "wal/wal.h"

/* One write to the disk; the bytes stay as they are until it is done. */
struct wal_write {
    const uint8_t *bytes;
    uint64_t offset;
    uint64_t user;
    uint32_t size_bytes;
    int file;
    bool is_under_way; /* handed over, and not done */
    bool is_refused;   /* the disk had no room for it: to be handed over again */
};

struct wal_slot {
    uint8_t *image;
    struct wal_write write;
    uint64_t seq_last;
    uint64_t submitted_us;
    uint32_t segment; /* where it stands: a note that names it must be durable */
    int file_done;    /* to close when this block is durable; -1: none */
    bool written;
};

/* What is known of a segment, by number modulo DISK_ENTRIES_MAX. */
struct wal_known {
    uint64_t size_bytes;
    uint64_t seq_first; /* of its first block; meaningless for ready segments */
    uint64_t previous;  /* what that is chained to; known of the current segment only */
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
    uint32_t refused_count; /* writes that are */
    uint64_t refused_us;    /* when they were tried last */
    uint32_t under_way_count;

    /* The segments: numbers. */
    uint32_t segment_first;
    uint32_t segment;
    uint32_t segment_last;
    uint64_t offset; /* in segment, of the next block */
    int file;        /* of segment */
    int file_spare;  /* of the one after it; -1: none is open */
    struct wal_known *known;
    bool preparing;
    bool full; /* the last attempt to prepare found no room */
    uint64_t full_us;
    bool releasing;
    struct {
        uint32_t first; /* segment to release first, */
        uint32_t count; /* how many, */
        uint32_t ahead; /* and the number that the first renamed one gets */
        uint32_t renamed;
    } release;
    uint64_t seq_release; /* asked for meanwhile; 0: nothing */
    char prepare_name[DISK_NAME_SIZE];

    struct wal_stats stats;
};

static inline struct wal_known *wal_segment_known(const struct wal *wal, uint32_t segment)
{
    return &wal->known[segment % DISK_ENTRIES_MAX];
}

static inline struct wal_slot *wal_block_slot(struct wal *wal, uint64_t block)
{
    return &wal->slots[block % WAL_WRITES_MAX];
}

static inline uint64_t wal_blocks_in_flight(const struct wal *wal)
{
    return wal->block_open - 1 - wal->block_durable;
}

static inline uint64_t wal_segment_room(const struct wal *wal)
{
    return wal_segment_known(wal, wal->segment)->size_bytes - wal->offset;
}

/* wal.c */
void wal_block_begin(struct wal *wal);
void wal_column_limit_update(struct wal *wal);
/* Hands a write to the disk, again when it was refused. Its file, place and bytes are set. */
void wal_write_start(struct wal *wal, struct wal_write *write);

/* ready.c */
int wal_segment_open(const struct wal *wal, uint32_t segment);
int wal_spare_ensure(struct wal *wal);
void wal_segment_switch(struct wal *wal);
int wal_release_again(struct wal *wal);
int wal_prepare_finish(struct wal *wal, int result);
int wal_release_finish(struct wal *wal, int result);
void wal_prepare_again(struct wal *wal);

/* mark.c */
/* Where the open block goes with regard to the seal; true when it must go to the next segment. */
bool wal_seal_make_way(struct wal *wal, uint32_t columns_size);
void wal_seal_written(struct wal *wal);
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

#endif
