/* The log note: a file beside the segments that records how far the log was durable, so that a log
 * that has lost its end can be distinguished from one that ends there.
 *
 *   log-note.till   two pages of WAL_ALIGN bytes, written alternately: a crash tears one of them at
 *                   most, and the other one remains valid. When both pages are whole, the one with
 *                   the higher generation counts.
 *
 *   offset size field
 *        0    8 magic         "tillnote"
 *        8    8 checksum      XXH3-64 of all of the page from offset 16 on
 *       16    8 generation    counts the writes, from 1
 *       24    8 epoch         the newest epoch that a block may have
 *       32    8 segment_size  bytes of the segment's file, which is never made shorter
 *       40    8 seq_first     of the first block in the segment
 *       48    8 previous      checksum of the block before that one; 0: the log begins with it
 *       56    8 seq_durable   every block of this log up to that seq was durable; 0: none was
 *       64    8 seal          checksum of the empty block that the log was sealed with; 0: none
 *       72    4 segment       number of the newest segment that may have blocks; it exists
 *       76    4 version       1; its offset and magic's are the same in every version
 *       80    4 flags         1, WAL_NOTE_COPY: the note of a backup, whose last segment ends with
 *                             its last block. With seq_durable 0 the segment may not exist yet
 *       84      zero
 *
 * The first block of a segment is acknowledged only when a note that names the segment is durable.
 * The other fields are written some time after they have changed, and no answer waits for that. A
 * folder that has blocks has a note: a tool that makes a folder of segments writes it last, with
 * wal_note_write. */
#ifndef TILL_WAL_NOTE_H
#define TILL_WAL_NOTE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/limits.h"

#define WAL_NOTE_NAME    "log-note.till"
#define WAL_NOTE_MAGIC   0x65746f6e6c6c6974ULL
#define WAL_NOTE_VERSION 1

enum { WAL_NOTE_COPY = 1 };
enum { WAL_NOTE_PAGES = 2, WAL_NOTE_SIZE = WAL_NOTE_PAGES * WAL_ALIGN };

struct wal_note {
    uint64_t magic;
    uint64_t checksum;
    uint64_t generation;
    uint64_t epoch;
    uint64_t segment_size;
    uint64_t seq_first;
    uint64_t previous;
    uint64_t seq_durable;
    uint64_t seal;
    uint32_t segment;
    uint32_t version;
    uint32_t flags;
    uint32_t zero;
};

static_assert(sizeof(struct wal_note) == 88, "the note's layout is the file format");
static_assert(offsetof(struct wal_note, seq_durable) == 56, "seq_durable");
static_assert(offsetof(struct wal_note, segment) == 72, "segment");
static_assert(offsetof(struct wal_note, version) == 76, "version");

/* Makes the page of a note. Fills in magic, version and checksum. */
void wal_note_page(struct wal_note *note, uint8_t page[WAL_ALIGN]);

/* Reads the folder's note. 0; -ENOENT: there is none; -EBADMSG: neither page is whole; -ENOTSUP: it
 * is of another version, or another -errno: it cannot be read. */
int wal_note_read(struct disk *disk, struct wal_note *note);

/* Publishes a new file with both pages, in place of an existing one. The generations continue from
 * the note's. 0 or -errno. The folder is open for writing. */
int wal_note_write(struct disk *disk, struct wal_note *note);

#endif
