/* The reader's insides, shared by reader.c (walking the blocks), tail.c (deciding where the log
 * ends) and archive_reader.c (walking those of an archive). */
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

/* An empty block that follows the last one read, and that no block is chained to yet. */
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
    bool has_noted;             /* the first block of the segment that it names was read: */
    uint64_t noted_seq;         /* its seq, */
    uint64_t noted_previous;    /* and what it is chained to */
    int file;                   /* of window_segment; -1: none is open */
    uint32_t file_segment;      /* index in segments */
    uint64_t window_offset;     /* in that file */
    uint64_t window_size;
    struct wal_spot next; /* where the next block should stand */
    struct wal_reader_seal seal;
    bool begun; /* a block has been read: the chain is known */
    bool ended;
    enum wal_read result; /* when ended */
};

/* What stands at a place. */
enum wal_standing {
    STANDS_ZERO,   /* for a page at least, or the segment ends here */
    STANDS_CUT,    /* a page of a torn write that was cut */
    STANDS_OTHER,  /* bytes that are no header */
    STANDS_BROKEN, /* a header whose block does not pass its checksum */
    STANDS_BLOCK,  /* a valid block */
    STANDS_ERROR,  /* it cannot be read, or is of another version: the reader has ended */
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

/* The bytes at a place, through the window; NULL when they cannot be read: the reader has ended
 * with WAL_READ_ERROR then. The place and size lie inside the segment. */
const uint8_t *wal_reader_bytes(struct wal_reader *reader, struct wal_spot place, uint32_t size);

/* What stands at a place. The header is filled for a valid block and for a broken one, of which
 * only the header makes sense. */
enum wal_standing wal_reader_look(struct wal_reader *reader, struct wal_spot place,
                                  struct wal_block *block);

/* Does the block continue the chain? Any block may be the first one read, unless a name says which:
 * older ones may have been released, and what the log must begin with is known to whoever holds the
 * snapshot. */
bool wal_reader_is_next(const struct wal_reader *reader, const struct wal_block *block);

/* Moves on behind the valid block at a place and hands it out. */
enum wal_read wal_reader_hand_out(struct wal_reader *reader, struct wal_spot place,
                                  const struct wal_block *block);

/* Takes the next block if there is one, or ends because it cannot be read. False when there is
 * none. */
bool wal_reader_take(struct wal_reader *reader, enum wal_read *result);

/* There is no next block: where does that leave the log? tail.c. */
enum wal_read wal_tail_decide(struct wal_reader *reader);

/* The next block of an archive; archive_reader.c. */
enum wal_read wal_archive_next(struct wal_reader *reader);

/* Without a segment; tail.c. */
enum wal_read wal_tail_of_nothing(struct wal_reader *reader);

#endif
