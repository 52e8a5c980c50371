/* The log's reading end: walks the blocks of a data folder, or of an archive, in order and finds
 * its end.
 *
 * What follows the last good block is decided by a table (wal/tail.c): nothing, what may be a torn
 * write (cut), or damage (it was durable once: refused, with file, offset and seq). It looks past
 * the first bad block to tell, and at what the log has noted of itself (wal/note.h). */
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
 * block is chained to it: the next block goes where it stands. */
struct wal_end {
    uint32_t segment;    /* number of the segment that the next block goes to; 0: no log yet */
    uint64_t offset;     /* in it */
    uint64_t seq_next;   /* 1 for an empty log */
    uint64_t previous;   /* checksum of the last block */
    uint64_t epoch;      /* of the last block; 0 for an empty log */
    uint64_t time_us;    /* of the last block */
    uint64_t digest;     /* in the last block; whoever has a snapshot and no block sets it */
    uint64_t torn_bytes; /* from the end on, over as many segments: to be cut; 0 when clean */
    uint64_t seal;       /* checksum of the seal that the log ends with; 0: none that counts */
    /* Nothing was acknowledged behind the end: it is sealed, or the end of a backup, or there is no
     * log. When false, the server died in the middle of its work. */
    bool is_sealed;
    uint64_t seq_begin;        /* of a log with a seal and no block: the seq that is due in it */
    uint64_t segment_seq;      /* of the first block in that segment, when it has one, */
    uint64_t segment_previous; /* and the checksum of the one before that */
};

struct wal_reader {
    /* Of the last WAL_READ_BLOCK; the columns are valid until the next call. */
    struct wal_block block;
    const uint8_t *image; /* of block_size bytes, as it stands on the disk */
    const uint8_t *ids;
    const uint8_t *fields;
    struct wal_end end;
    char error[WAL_ERROR_SIZE];
    uint64_t bytes_read; /* so far, of bytes_total: for progress */
    uint64_t bytes_total;
    bool is_archive; /* the folder has archived segments, and no others */

    /* To be set after wal_reader_init by whoever has a snapshot: what it shows. The log may begin
     * behind it or after it; blocks that end at or before it are checked, but not unpacked: ids and
     * fields are NULL. An archive is not read before the segment that has what comes after it. */
    uint64_t seq_known;

    /* To be set after wal_reader_init: what the log has noted is not looked at. For a folder that
     * is being made, and for a person who has lost the note alone. */
    bool ignores_note;

    struct wal_reader_files *files; /* private */
};

/* Lists the segments. 0, or -errno with reader->error. */
int wal_reader_init(struct wal_reader *reader, struct disk *disk);
void wal_reader_deinit(struct wal_reader *reader);
enum wal_read wal_reader_next(struct wal_reader *reader);

/* The file that has the block which was handed out last, for messages. */
void wal_reader_path(const struct wal_reader *reader, char path[WAL_ERROR_SIZE]);

/* After WAL_READ_END in a folder that has blocks: what a note of it should say, but for seal and
 * flags, which are 0. To be written with wal_note_write by whoever made the folder. */
struct wal_note wal_reader_note(const struct wal_reader *reader);

#endif
