/* Reads the blocks of a log, in a data folder or an archive, in order, and finds the log's end.
 *
 * A table decides what follows the last good block (wal/tail.c): nothing; a write that may be torn,
 * which is cut; or damage to a block that was durable, which is refused with file, offset and seq.
 * To decide, the reader looks beyond the first bad block, and at the log note (wal/note.h). */
#ifndef TILL_WAL_READER_H
#define TILL_WAL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "wal/block.h"
#include "wal/note.h"

enum { WAL_ERROR_SIZE = 512 };

enum wal_read {
    WAL_READ_BLOCK,  /* the next block is in reader->block, ids and fields */
    WAL_READ_END,    /* no more; reader->end tells where, and what was cut */
    WAL_READ_DAMAGE, /* reader->error names file, offset, seq and the remedy */
    WAL_READ_ERROR,  /* the disk could not be read; reader->error says why */
};

/* Where the log ends: what wal_open needs to append. A seal is not part of the log as long as no
 * block is chained to it: the next block overwrites it. */
struct wal_end {
    uint32_t segment;  /* number of the segment that the next block goes to; 0: no log yet */
    uint64_t offset;   /* in it */
    uint64_t seq_next; /* 1 for an empty log */
    uint64_t previous; /* checksum of the last block */
    uint64_t epoch;    /* of the last block; 0 for an empty log */
    uint64_t time_us;  /* of the last block */
    uint64_t
        digest; /* in the last block; the caller sets it when there is a snapshot and no block */
    uint64_t torn_bytes; /* to be cut after the end, in one or more segments; 0: none */
    uint64_t seal;       /* checksum of the seal that the log ends with; 0: it is not sealed */
    /* Nothing after the end was ever acknowledged: it is sealed, or the end of a backup, or there
     * is no log. When false, the server died while it was writing. */
    bool is_sealed;
    uint64_t seq_begin;        /* of a log with a seal and no block: the seal's seq; else 0 */
    uint64_t segment_seq;      /* of the first block in `segment`, when it has one, */
    uint64_t segment_previous; /* and the checksum of the one before that */
    bool is_cut; /* the log is to end here, though it went on: later segments are removed */
};

struct wal_reader {
    /* Of the last WAL_READ_BLOCK; the columns are valid until the next call. */
    struct wal_block block;
    const uint8_t *image; /* of block_size bytes, as on the disk */
    const uint8_t *ids;
    const uint8_t *fields;
    struct wal_end end;
    char error[WAL_ERROR_SIZE];
    uint64_t bytes_read; /* so far, of bytes_total: for progress */
    uint64_t bytes_total;
    bool is_archive;  /* the folder is an archive */
    uint32_t segment; /* private: which of the files has the last block */

    /* To be set after wal_reader_init by a caller that has a snapshot: its seq. The log may begin
     * anywhere up to the seq after it. Blocks that end at or before it are checked, but not
     * unpacked: ids and fields are NULL. An archive is read from the segment that has the next seq.
     */
    uint64_t seq_known;

    /* To be set after wal_reader_init: the log note is ignored. For a folder that is being made,
     * and for an operator who has lost only the note. */
    bool ignores_note;

    struct wal_reader_files *files; /* private */
};

/* Lists the segments. 0, or -errno with reader->error. */
int wal_reader_init(struct wal_reader *reader, struct disk *disk);
void wal_reader_deinit(struct wal_reader *reader);
enum wal_read wal_reader_next(struct wal_reader *reader);

/* The end for a log that is to be cut after the last block that was handed out, or before its first
 * one. wal_open with it makes that the log's end: it overwrites the rest of the segment, removes
 * the segments after it, and writes the note. When a crash comes before it is done, the note may
 * contradict the folder: then it is to be done again, by a reader with ignores_note. Not for an
 * archive, and not after the reading has ended. */
struct wal_end wal_reader_end_here(const struct wal_reader *reader);

/* The path of the file that has the last block that was handed out, for messages. */
void wal_reader_path(const struct wal_reader *reader, char path[WAL_ERROR_SIZE]);

/* After WAL_READ_END in a folder that has blocks: the note that it should have, with seal and flags
 * 0. A tool that has made the folder writes it with wal_note_write. */
struct wal_note wal_reader_note(const struct wal_reader *reader);

#endif
