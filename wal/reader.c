/* Reading the log, and deciding where it ends.
 *
 * Good path: blocks are taken one after the other from a window of the segment, each checked,
 * decompressed and handed out. A block is the next one when its checksum holds, it names the
 * checksum of the block before, its first seq follows, and its epoch is not an older one. It
 * stands right after the block before, or at the start of the following segment when it did not
 * fit there.
 *
 * Where there is no next block, everything from that place on is looked at, page by page, through
 * the segments that follow. What is found there decides, the strongest finding first:
 *
 *   PROOF    a valid block of the log's future that was written after the missing one was durable:
 *            damage at rest. Nothing may be cut; a person restores the folder.
 *   TORN     the next block's header without the rest of it, or a valid block of the future that
 *            claims nothing about the missing one. Several blocks are in flight at a time and each
 *            is acknowledged after all before it, so none of these was: cut.
 *   STALE    valid blocks from before: the segment was written earlier and recycled. Bytes between
 *            such blocks are the rest of others that were overwritten: a clean end.
 *   REMAINS  bytes that are no block, where nothing was recycled: a torn write: cut.
 *   NOTHING  zeros: a clean end.
 *
 * Only a valid block's watermark proves anything, and only one that follows the place in seq: the
 * watermark of a stale block lies before its own seq, hence before the place. A block that was cut
 * could never prove anything later, because its watermark lies before the cut; cutting keeps the
 * next recovery from reporting it again.
 *
 * A log that continues a snapshot (seq_known) may begin anywhere up to the snapshot's seq, or have
 * no block yet: then the first one is due at the seq after it. A valid block of what the snapshot
 * shows, where the first block is missing, proves that the log had begun: PROOF.
 *
 * An archive is segments that the log has left, whole and without room behind their blocks. There
 * nothing can be torn: whatever is not there, up to the last seq that its label or a name promises,
 * is damage, and so is whatever is there beside the blocks. Damage is told where reading comes to
 * it, so that what lies before is of use; a label that cannot be read is damage at the end.
 *
 * What can fail: reading the disk. What is read is untrusted until its checksum holds. */
#include "wal/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wal/archive_label.h"
#include "wal/segment.h"

enum { WINDOW_SIZE = 1 << 20 };

/* How far behind the place blocks may stand that were in flight together: each at most a block and
 * the unused rest of a segment. Farther on, a segment that begins with a stale block was not
 * reached by the log, and is not read any further. */
#define IN_FLIGHT_SPAN (2ULL * WAL_WRITES_MAX * WAL_BLOCK_SIZE_MAX)

static_assert(WINDOW_SIZE >= WAL_BLOCK_SIZE_MAX, "a block fits the window");

enum finding { FOUND_NOTHING, FOUND_REMAINS, FOUND_STALE, FOUND_TORN, FOUND_PROOF, FINDING_COUNT };
enum decision { DECIDE_END, DECIDE_CUT, DECIDE_DAMAGE };

static const enum decision decisions[FINDING_COUNT] = {
    [FOUND_NOTHING] = DECIDE_END, [FOUND_REMAINS] = DECIDE_CUT,  [FOUND_STALE] = DECIDE_END,
    [FOUND_TORN] = DECIDE_CUT,    [FOUND_PROOF] = DECIDE_DAMAGE,
};

struct wal_reader_files {
    alignas(WAL_ALIGN) uint8_t window[WINDOW_SIZE];
    uint8_t ids_room[WAL_COLUMN_SIZE_MAX];
    uint8_t fields_room[WAL_COLUMN_SIZE_MAX];
    struct disk *disk;
    struct wal_segment *segments;
    uint32_t segment_count;
    int file;               /* of window_segment; -1: none is open */
    uint32_t file_segment;  /* index in segments */
    uint64_t window_offset; /* in that file */
    uint64_t window_size;
    uint32_t segment; /* where the next block should stand: index in segments */
    uint64_t offset;
    bool begun; /* a block has been read: the chain is known */
    bool ended;
    struct archive_label label; /* of an archive */
    int label_result;           /* of reading it */
    enum wal_read result;       /* when ended */
};

/* What stands at a place. */
enum standing {
    STANDS_ZERO,   /* for a page at least, or the segment ends here */
    STANDS_OTHER,  /* bytes that are no header */
    STANDS_BROKEN, /* a header whose block does not pass its checksum */
    STANDS_BLOCK,  /* a valid block */
    STANDS_ERROR,  /* it cannot be read, or is of a version to come: the reader has ended */
};

struct place {
    uint32_t segment; /* index in segments */
    uint64_t offset;
};

struct scan {
    enum finding strongest;
    bool stale;           /* some stale block was found */
    uint64_t torn_end;    /* linear positions: behind the last torn block, */
    uint64_t remains_end; /* and behind the last byte that is not zero */
    struct place proof;
    uint64_t proof_seq;
};

static uint64_t position(const struct wal_reader_files *files, struct place place)
{
    return files->segments[place.segment].start + place.offset;
}

__attribute__((format(printf, 3, 4))) static enum wal_read finish(struct wal_reader *reader,
                                                                  enum wal_read result,
                                                                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->error, sizeof reader->error, format, arguments);
    va_end(arguments);
    reader->files->ended = true;
    reader->files->result = result;
    return result;
}

/* The name of a segment, for messages and for opening it. */
static const char *segment_name(const struct wal_reader_files *files, uint32_t segment)
{
    return files->segments[segment].name;
}

static int segment_open(struct wal_reader_files *files, uint32_t segment)
{
    if (files->file >= 0 && files->file_segment == segment)
        return 0;
    if (files->file >= 0)
        disk_file_close(files->disk, files->file);
    files->window_size = 0;
    files->file = disk_file_open(files->disk, segment_name(files, segment), false);
    files->file_segment = segment;
    return files->file < 0 ? files->file : 0;
}

/* The bytes at a place, through the window; NULL when they cannot be read: the reader has ended
 * with WAL_READ_ERROR then. The place and size lie inside the segment. */
static const uint8_t *bytes_at(struct wal_reader *reader, struct place place, uint32_t size)
{
    struct wal_reader_files *files = reader->files;
    int64_t result = segment_open(files, place.segment);
    bool inside = place.offset >= files->window_offset &&
                  place.offset + size <= files->window_offset + files->window_size;
    if (result == 0 && !inside) {
        uint64_t left = files->segments[place.segment].size_bytes - place.offset;
        uint64_t wanted = left < WINDOW_SIZE ? left : WINDOW_SIZE;
        result = disk_file_read(files->disk, files->file, place.offset, files->window, wanted);
        if (result >= 0 && (uint64_t)result < size)
            result = -EIO;
        files->window_offset = place.offset;
        files->window_size = result < 0 ? 0 : (uint64_t)result;
    }
    if (result < 0) {
        finish(reader, WAL_READ_ERROR, "%s/%s cannot be read at offset %" PRIu64 ": %s",
               disk_path(files->disk), segment_name(files, place.segment), place.offset,
               strerror((int)-result));
        return NULL;
    }
    return files->window + (place.offset - files->window_offset);
}

/* Is it a block of this version in all but the version it says? Then that is what was damaged. */
static bool is_misnamed(struct wal_reader *reader, struct place place, struct wal_block block)
{
    uint64_t left = reader->files->segments[place.segment].size_bytes - place.offset;
    uint32_t named = block.version;
    uint8_t page[sizeof block];
    block.version = WAL_BLOCK_VERSION;
    memcpy(page, &block, sizeof block);
    if (!wal_block_read(page, &block) || block.block_size > left ||
        bytes_at(reader, place, block.block_size) == NULL)
        return false;
    uint8_t *bytes = reader->files->window + (place.offset - reader->files->window_offset);
    memcpy(bytes, &block, sizeof block);
    bool is_whole = wal_block_verify(&block, bytes);
    block.version = named;
    memcpy(bytes, &block, sizeof block);
    return is_whole;
}

/* A block of a version that this till does not know. Whatever such a version changes, its magic and
 * the place of its version stay, so that it is not taken for a torn write and cut. */
static bool is_newer(struct wal_reader *reader, struct place place, const uint8_t *bytes)
{
    const struct wal_reader_files *files = reader->files;
    struct wal_block block;
    memcpy(&block, bytes, sizeof block);
    if (block.magic != WAL_BLOCK_MAGIC || block.version <= WAL_BLOCK_VERSION ||
        is_misnamed(reader, place, block))
        return false;
    finish(reader, WAL_READ_ERROR,
           "%s/%s, offset %" PRIu64 ", seq %" PRIu64 ": written in format version %" PRIu32
           "; this till reads up to version %d: use the till that wrote it, or a newer one",
           disk_path(files->disk), segment_name(files, place.segment), place.offset,
           reader->end.seq_next, block.version, WAL_BLOCK_VERSION);
    return true;
}

/* What stands at a place. The header is filled for a valid block and for a broken one, of which
 * only the header makes sense. */
static enum standing look(struct wal_reader *reader, struct place place, struct wal_block *block)
{
    uint64_t left = reader->files->segments[place.segment].size_bytes - place.offset;
    if (left < WAL_ALIGN)
        return STANDS_ZERO;
    const uint8_t *bytes = bytes_at(reader, place, WAL_ALIGN);
    if (bytes == NULL)
        return STANDS_ERROR;
    if (bytes[0] == 0 && memcmp(bytes, bytes + 1, WAL_ALIGN - 1) == 0)
        return STANDS_ZERO;
    if (is_newer(reader, place, bytes))
        return STANDS_ERROR;
    bytes = bytes_at(reader, place, WAL_ALIGN); /* the window may have moved on */
    if (bytes == NULL)
        return STANDS_ERROR;
    if (!wal_block_read(bytes, block))
        return STANDS_OTHER;
    if (block->block_size > left)
        return STANDS_BROKEN;
    bytes = bytes_at(reader, place, block->block_size);
    if (bytes == NULL)
        return STANDS_ERROR;
    return wal_block_verify(block, bytes) ? STANDS_BLOCK : STANDS_BROKEN;
}

/* Does the block continue the chain? Any block may be the first one read, unless a name says which:
 * older ones may have been released, and what the log must begin with is known to whoever holds the
 * snapshot. */
static bool is_next(const struct wal_reader *reader, const struct wal_block *block)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_end *end = &reader->end;
    if (!files->begun)
        return !reader->is_archive || block->seq_first == files->segments[files->segment].seq_first;
    return block->seq_first == end->seq_next && block->previous == end->previous &&
           block->epoch >= end->epoch;
}

/* Moves on behind the valid block at a place and hands it out. */
static enum wal_read take(struct wal_reader *reader, struct place place,
                          const struct wal_block *block)
{
    struct wal_reader_files *files = reader->files;
    const uint8_t *bytes = bytes_at(reader, place, block->block_size);
    if (bytes == NULL)
        return files->result;
    reader->image = bytes;
    reader->ids = NULL;
    reader->fields = NULL;
    bool is_known = block->seq_first + block->command_count - 1 <= reader->seq_known;
    if (!is_known && !wal_block_unpack(block, bytes, files->ids_room, files->fields_room,
                                       &reader->ids, &reader->fields))
        return finish(reader, WAL_READ_DAMAGE,
                      "%s/%s, offset %" PRIu64 ", seq %" PRIu64 ": the block's checksum holds but "
                      "its content does not decompress. Restore this folder from a replica or a "
                      "backup",
                      disk_path(files->disk), segment_name(files, place.segment), place.offset,
                      block->seq_first);
    files->begun = true;
    files->segment = place.segment;
    files->offset = place.offset + block->block_size;
    reader->block = *block;
    reader->bytes_read = position(files, place) + block->block_size;
    reader->end = (struct wal_end){
        .segment = files->segments[place.segment].number,
        .offset = files->offset,
        .seq_next = block->seq_first + block->command_count,
        .previous = block->checksum,
        .epoch = block->epoch,
        .time_us = block->time_us,
    };
    return WAL_READ_BLOCK;
}

/* What a header found at the place or behind it, of a valid block or a broken one, says about the
 * missing block. */
static enum finding judge(const struct wal_reader *reader, const struct wal_block *block,
                          enum standing standing)
{
    const struct wal_end *end = &reader->end;
    bool chained = block->previous == end->previous;
    bool follows = block->seq_first == end->seq_next;
    if (standing == STANDS_BROKEN)
        return follows && chained ? FOUND_TORN : FOUND_REMAINS;
    /* Without a first block, what a snapshot shows need not be in the log. But a block of it proves
     * that the log had begun: the first segment is never a recycled one. */
    if (!reader->files->begun && block->seq_first <= reader->seq_known)
        return FOUND_PROOF;
    if (block->seq_first < end->seq_next)
        return FOUND_STALE;
    if (block->seq_durable >= end->seq_next)
        return FOUND_PROOF;
    /* The seq follows, but the block is not the next one. When it calls all that was read durable,
     * or is chained to it, then it stands in the wrong place, is of an older epoch, or what was
     * read is not what was durable: none of that comes from a torn write. */
    if (reader->files->begun && follows && (chained || block->seq_durable == end->seq_next - 1))
        return FOUND_PROOF;
    return FOUND_TORN;
}

static void scan_note(const struct wal_reader *reader, struct scan *scan, struct place place,
                      enum finding finding, const struct wal_block *block, uint64_t size)
{
    const struct wal_reader_files *files = reader->files;
    uint64_t end = position(files, place) + size;
    scan->remains_end = end;
    if (finding == FOUND_STALE)
        scan->stale = true;
    if (finding == FOUND_TORN)
        scan->torn_end = end;
    if (finding == FOUND_PROOF && scan->strongest != FOUND_PROOF) {
        scan->proof = place;
        scan->proof_seq = block->seq_first;
    }
    if (finding > scan->strongest)
        scan->strongest = finding;
}

/* Looks at a segment from a place on. False when it could not be read. */
static bool scan_segment(struct wal_reader *reader, struct place place, bool far, struct scan *scan)
{
    uint64_t segment_size = reader->files->segments[place.segment].size_bytes;
    while (place.offset < segment_size) {
        struct wal_block block;
        enum standing standing = look(reader, place, &block);
        uint64_t size = WAL_ALIGN;
        if (standing == STANDS_ERROR)
            return false;
        if (standing != STANDS_ZERO) {
            enum finding finding = FOUND_REMAINS;
            if (standing == STANDS_BLOCK || standing == STANDS_BROKEN)
                finding = judge(reader, &block, standing);
            if (standing == STANDS_BLOCK || finding == FOUND_TORN)
                size = block.block_size;
            if (size > segment_size - place.offset)
                size = segment_size - place.offset;
            scan_note(reader, scan, place, finding, &block, size);
            if (far && place.offset == 0 && finding == FOUND_STALE)
                return true;
            /* The size that a broken header claims may cover blocks that are whole. */
            if (standing == STANDS_BROKEN)
                size = WAL_ALIGN;
        }
        place.offset += size;
    }
    return true;
}

/* Looks at everything from the place on. False when it could not be read. */
static bool scan_on(struct wal_reader *reader, struct scan *scan)
{
    struct wal_reader_files *files = reader->files;
    struct place place = {files->segment, files->offset};
    uint64_t start = position(files, place);
    *scan = (struct scan){.torn_end = start, .remains_end = start};
    while (place.segment < files->segment_count) {
        bool far = position(files, place) - start > IN_FLIGHT_SPAN;
        if (!scan_segment(reader, place, far, scan))
            return false;
        place = (struct place){place.segment + 1, 0};
    }
    return true;
}

static enum wal_read damage(struct wal_reader *reader, const struct scan *scan)
{
    const struct wal_reader_files *files = reader->files;
    return finish(
        reader, WAL_READ_DAMAGE,
        "%s/%s, offset %" PRIu64 ", seq %" PRIu64 ": the log is damaged here; the block at "
        "%s, offset %" PRIu64 ", seq %" PRIu64 ", shows that it was durable once. Nothing "
        "was changed. Restore this folder from a replica or a backup",
        disk_path(files->disk), segment_name(files, files->segment), files->offset,
        reader->end.seq_next, segment_name(files, scan->proof.segment), scan->proof.offset,
        scan->proof_seq);
}

/* The segments of a data folder, or else of an archive. */
static int list_segments(struct wal_reader *reader, struct disk *disk,
                         struct wal_reader_files *files)
{
    int count = wal_segments_list(disk, WAL_IN_DATA, &files->segments);
    if (count != 0)
        return count;
    free(files->segments);
    count = archive_list(disk, &files->label, &files->label_result, &files->segments);
    reader->is_archive = count > 0 || (count == 0 && files->label_result != -ENOENT);
    return count;
}

int wal_reader_init(struct wal_reader *reader, struct disk *disk)
{
    *reader = (struct wal_reader){.end = {.seq_next = 1}};
    struct wal_reader_files *files = aligned_alloc(WAL_ALIGN, sizeof *files);
    int count = -ENOMEM;
    if (files != NULL) {
        files->segments = NULL;
        files->label_result = 0;
        count = list_segments(reader, disk, files);
    }
    if (count < 0) {
        snprintf(reader->error, sizeof reader->error, "the log in %s cannot be listed: %s",
                 disk_path(disk), strerror(-count));
        free(files);
        return count;
    }
    files->disk = disk;
    files->segment_count = (uint32_t)count;
    files->file = -1;
    files->window_size = 0;
    files->window_offset = 0;
    files->segment = 0;
    files->offset = 0;
    files->begun = false;
    files->ended = false;
    reader->files = files;
    if (count > 0) {
        const struct wal_segment *last = &files->segments[count - 1];
        reader->bytes_total = last->start + last->size_bytes;
        reader->end.segment = files->segments[0].number;
    }
    return 0;
}

void wal_reader_deinit(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    if (files == NULL)
        return;
    if (files->file >= 0)
        disk_file_close(files->disk, files->file);
    free(files->segments);
    free(files);
    reader->files = NULL;
}

/* Segments are only ever added at the end and taken from the beginning: one that is missing between
 * two others was lost. */
static bool segment_is_missing(struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    char name[DISK_NAME_SIZE];
    for (uint32_t i = 1; i < files->segment_count && !reader->is_archive; i++) {
        uint32_t expected = files->segments[i - 1].number + 1;
        if (files->segments[i].number == expected)
            continue;
        wal_segment_name(expected, name);
        finish(reader, WAL_READ_DAMAGE,
               "%s/%s is missing, though segments before and after it are there. Put it back, or "
               "restore this folder from a replica or a backup",
               disk_path(files->disk), name);
        return true;
    }
    return false;
}

/* Takes the next block if there is one: right behind the block before, or, once there is a chain to
 * tell it by, at the beginning of the following segment. False when there is none. */
static bool take_next(struct wal_reader *reader, enum wal_read *result)
{
    struct wal_reader_files *files = reader->files;
    struct place places[] = {{files->segment, files->offset}, {files->segment + 1, 0}};
    unsigned place_count = files->begun && files->segment + 1 < files->segment_count ? 2 : 1;
    for (unsigned i = 0; i < place_count; i++) {
        struct wal_block block;
        enum standing standing = look(reader, places[i], &block);
        if (standing == STANDS_ERROR) {
            *result = files->result;
            return true;
        }
        if (standing == STANDS_BLOCK && is_next(reader, &block)) {
            *result = take(reader, places[i], &block);
            return true;
        }
    }
    return false;
}

/* The archive. */

/* Something is not there, or not as the label has it. */
static enum wal_read archive_lacks(struct wal_reader *reader, uint64_t seq_first, uint64_t seq_last,
                                   const char *why)
{
    return finish(reader, WAL_READ_DAMAGE,
                  "the archive %s has nothing of seq %" PRIu64 " to %" PRIu64
                  ", %s: take what is missing from another copy of the archive",
                  disk_path(reader->files->disk), seq_first, seq_last, why);
}

/* Archived segments that end before what is wanted are not read. False when the first of those that
 * the label names is wanted, and not there. */
static bool archive_begins(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    const struct archive_label *label = &files->label;
    while (files->segment + 1 < files->segment_count &&
           files->segments[files->segment].seq_last <= reader->seq_known)
        files->segment++;
    uint64_t seq = files->segment_count > 0 ? files->segments[0].seq_first : label->seq_last + 1;
    if (files->label_result != 0 || label->seq_first >= seq || reader->seq_known + 1 >= seq)
        return true;
    archive_lacks(reader, label->seq_first, seq - 1,
                  "which its label " ARCHIVE_LABEL_NAME " names");
    return false;
}

/* All files were read, or there is none. */
static enum wal_read archive_ends(struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    char error[ARCHIVE_LABEL_ERROR_SIZE];
    uint64_t seq_last = files->begun ? reader->end.seq_next - 1 : 0;
    if (!files->begun && files->segment_count > 0)
        seq_last = files->segments[files->segment_count - 1].seq_last;
    reader->bytes_read = reader->bytes_total;
    if (files->label_result != 0) {
        archive_label_explain(files->disk, files->label_result, error);
        return finish(reader, WAL_READ_DAMAGE, "%s", error);
    }
    if (seq_last < files->label.seq_first - 1)
        seq_last = files->label.seq_first - 1;
    if (seq_last < files->label.seq_last)
        return archive_lacks(reader, seq_last + 1, files->label.seq_last,
                             "which its label " ARCHIVE_LABEL_NAME " names");
    return finish(reader, WAL_READ_END, "%s", "");
}

/* At the place there is no block that is due: why? */
static enum wal_read archive_breaks(struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_segment *segment = &files->segments[files->segment];
    uint64_t due = files->begun ? reader->end.seq_next : segment->seq_first;
    if (due > segment->seq_last)
        return finish(reader, WAL_READ_DAMAGE,
                      "%s/%s is damaged at offset %" PRIu64
                      ", behind its last block, where nothing "
                      "should be: take this file from another copy of the archive",
                      disk_path(files->disk), segment->name, files->offset);
    return finish(reader, WAL_READ_DAMAGE,
                  "%s/%s is damaged at offset %" PRIu64 ", seq %" PRIu64
                  ": take this file from another copy of the archive",
                  disk_path(files->disk), segment->name, files->offset, due);
}

/* The file was read to its end. Where its name is the last in the label, so is its last block; one
 * file may be newer than the label, but not more. False when something is wrong. */
static bool archive_file_ends(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    const struct wal_segment *segment = &files->segments[files->segment];
    const struct archive_label *label = &files->label;
    if (reader->end.seq_next != segment->seq_last + 1 || files->offset != segment->file_bytes) {
        archive_breaks(reader);
        return false;
    }
    if (files->label_result != 0 || segment->seq_last < label->seq_last)
        return true;
    bool is_last = segment->seq_last == label->seq_last;
    if (is_last ? reader->end.previous == label->last_block && reader->end.epoch == label->epoch
                : segment->seq_first > label->seq_last &&
                      (files->segment == 0 || segment[-1].seq_last <= label->seq_last))
        return true;
    finish(reader, WAL_READ_DAMAGE,
           "%s/%s and the label " ARCHIVE_LABEL_NAME ", which goes up to seq %" PRIu64
           ", do not belong together: take both from one copy of the archive",
           disk_path(files->disk), segment->name, label->seq_last);
    return false;
}

/* The next block of an archive: there is nothing between two of them, and nothing but them in a
 * file. */
static enum wal_read archive_next(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    struct wal_block block;
    if (!files->begun && !archive_begins(reader))
        return files->result;
    if (files->segment_count == 0)
        return archive_ends(reader);
    if (files->begun && files->offset >= files->segments[files->segment].size_bytes) {
        if (!archive_file_ends(reader))
            return files->result;
        if (files->segment + 1 == files->segment_count)
            return archive_ends(reader);
        if (files->segments[files->segment + 1].seq_first != reader->end.seq_next)
            return finish(reader, WAL_READ_DAMAGE,
                          "the archive %s has nothing from seq %" PRIu64
                          " on until %s, which does not follow: files are missing, or are of "
                          "another history",
                          disk_path(files->disk), reader->end.seq_next,
                          files->segments[files->segment + 1].name);
        files->segment++;
        files->offset = 0;
    }
    struct place place = {files->segment, files->offset};
    enum standing standing = look(reader, place, &block);
    if (standing == STANDS_ERROR)
        return files->result;
    if (standing != STANDS_BLOCK || !is_next(reader, &block) ||
        block.seq_first + block.command_count - 1 > files->segments[files->segment].seq_last)
        return archive_breaks(reader);
    return take(reader, place, &block);
}

/* There is no next block: where does that leave the log? */
static enum wal_read decide(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    struct scan scan;
    enum wal_read result;
    if (!scan_on(reader, &scan))
        return files->result;
    uint64_t start = position(files, (struct place){files->segment, files->offset});
    switch (decisions[scan.strongest]) {
    case DECIDE_DAMAGE:
        /* The folder of a running server is read too: what was not there may have come since, and
         * once there is a proof that it was written, another look must find it. */
        files->window_size = 0;
        return take_next(reader, &result) ? result : damage(reader, &scan);
    case DECIDE_CUT:
        /* Among stale blocks, bytes that are none are theirs. */
        reader->end.torn_bytes = (scan.stale ? scan.torn_end : scan.remains_end) - start;
        break;
    case DECIDE_END:
        break;
    }
    reader->bytes_read = reader->bytes_total;
    return finish(reader, WAL_READ_END, "%s", "");
}

enum wal_read wal_reader_next(struct wal_reader *reader)
{
    struct wal_reader_files *files = reader->files;
    enum wal_read result;
    if (!files->begun)
        reader->end.seq_next = reader->seq_known + 1;
    if (files->ended || (!files->begun && segment_is_missing(reader)))
        return files->result;
    if (reader->is_archive)
        return archive_next(reader);
    if (files->segment_count == 0)
        return finish(reader, WAL_READ_END, "%s", "");
    if (take_next(reader, &result))
        return result;
    return decide(reader);
}
