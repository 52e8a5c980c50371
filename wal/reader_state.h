/* The reader's insides, shared by reader.c (reading block after block), tail.c (deciding where the
 * log ends) and archive_reader.c (reading the blocks of an archive). */
#ifndef TILL_WAL_READER_STATE_H
#define TILL_WAL_READER_STATE_H

#include <stdalign.h>

#include "base/error.h"
#include "wal/archive_label.h"
#include "wal/reader.h"
#include "wal/segment.h"

enum { WAL_WINDOW_SIZE = 1 << 20 };

static_assert(WAL_WINDOW_SIZE >= WAL_BLOCK_SIZE_MAX, "a block fits the window");

struct wal_spot {
    uint32_t segment; /* index in segments */
    uint64_t offset;
};

/* An empty block that follows the last one read, and to which no block is chained yet. */
struct wal_reader_seal {
    bool is_there;
    struct wal_spot place;
    struct wal_block block;
};

struct wal_reader_files {
    alignas(WAL_ALIGN) uint8_t window[WAL_WINDOW_SIZE];
    uint8_t ids_room[WAL_COLUMN_SIZE_MAX];
    uint8_t fields_room[WAL_COLUMN_SIZE_MAX];
    struct disk *disk; /* zero at first, from here on */
    struct wal_segment *segments;
    uint32_t segment_count;
    struct wal_note note;
    int note_result;            /* of reading it */
    struct archive_label label; /* of an archive */
    int label_result;           /* of reading it */
    bool has_noted;             /* the first block of the segment that the note names was read: */
    uint64_t noted_seq;         /* that block's seq, */
    uint64_t noted_previous;    /* and the checksum that it names */
    int file;                   /* of file_segment; -1: none is open */
    uint32_t file_segment;      /* index in segments */
    uint64_t window_offset;     /* in that file */
    uint64_t window_size;
    struct wal_spot next; /* where the next block should be */
    struct wal_reader_seal seal;
    bool begun; /* a block has been read: the chain is known */
    bool ended;
    enum wal_read result; /* when ended */
};

/* What one log page contains. */
enum wal_standing {
    STANDS_ZERO,   /* zeros, or less than a page is left in the segment */
    STANDS_CUT,    /* a page that an earlier recovery has cut */
    STANDS_OTHER,  /* bytes that are no block header */
    STANDS_BROKEN, /* a valid header whose block does not match its checksum */
    STANDS_BLOCK,  /* the beginning of a valid block */
    STANDS_ERROR,  /* it cannot be read, or has another version: the reading has ended */
};

static inline uint64_t wal_position(const struct wal_reader_files *files, struct wal_spot place)
{
    return files->segments[place.segment].start + place.offset;
}

/* Ends the reading, with a message. */
#define wal_reader_finish(reader, result, ...)                                                     \
    ((void)error_set((reader)->error, sizeof(reader)->error, __VA_ARGS__),                         \
     wal_reader_end(reader, result))
enum wal_read wal_reader_end(struct wal_reader *reader, enum wal_read result);

/* The bytes at a position, read through the window. NULL when they cannot be read: the reading has
 * ended with WAL_READ_ERROR then. All of them lie inside the segment. */
const uint8_t *wal_reader_bytes(struct wal_reader *reader, struct wal_spot place, uint32_t size);

/* What the page at a position contains. *block is filled when it begins with a valid header. */
enum wal_standing wal_reader_look(struct wal_reader *reader, struct wal_spot place,
                                  struct wal_block *block);

/* Does the block continue the chain? In a data folder any block may be the first one that is read:
 * older ones may have been released, and the caller, who has the snapshot, knows which seq must
 * come first. In an archive the file's name says it. */
bool wal_reader_is_next(const struct wal_reader *reader, const struct wal_block *block);

/* Hands out the valid block at a position, and moves on to the position after it. */
enum wal_read wal_reader_hand_out(struct wal_reader *reader, struct wal_spot place,
                                  const struct wal_block *block);

/* Hands out the next block, or ends the reading because it cannot be read. False when there is no
 * next block. */
bool wal_reader_take(struct wal_reader *reader, enum wal_read *result);

/* Decides where the log ends when there is no next block (tail.c). */
enum wal_read wal_tail_decide(struct wal_reader *reader);

/* Hands out the next block of an archive (archive_reader.c). */
enum wal_read wal_archive_next(struct wal_reader *reader);

/* The same when there is no segment (tail.c). */
enum wal_read wal_tail_of_nothing(struct wal_reader *reader);

#endif
