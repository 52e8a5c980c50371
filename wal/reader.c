/* Reading the log.
 *
 * Good path: blocks are taken one after the other from a window of the segment, each checked,
 * decompressed and handed out. A block is the next one when its checksum holds, it names the
 * checksum of the block before, its first seq follows, and its epoch is not an older one. It
 * stands right after the block before, or at the start of the following segment when it did not
 * fit there.
 *
 * An empty block is a seal. The next block is written over it, and is chained to the one before
 * the seal; so a seal is not handed out, but remembered as standing where the next block goes.
 * Only when the seal was still on its way to the disk, the next block went behind it and is
 * chained to it: then the seal has become a part of the log, and is handed out as a block without
 * commands.
 *
 * Where there is no next block, wal/tail.c decides.
 *
 * A log that continues a snapshot (seq_known) may begin anywhere up to the snapshot's seq, or have
 * no block yet: then the first one is due at the seq after it.
 *
 * An archive is segments that the log has left, whole and without room behind their blocks. There
 * nothing can be torn: wal/archive_reader.c reads it.
 *
 * What can fail: reading the disk. What is read is untrusted until its checksum holds. */
#include "wal/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/schema.h"
#include "wal/reader_state.h"

enum { LIST_TRIES_MAX = 10 };

enum wal_read wal_reader_end(struct wal_reader *reader, enum wal_read result)
{
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

const uint8_t *wal_reader_bytes(struct wal_reader *reader, struct wal_spot place, uint32_t size)
{
    struct wal_reader_files *files = reader->files;
    int64_t result = segment_open(files, place.segment);
    bool inside = place.offset >= files->window_offset &&
                  place.offset + size <= files->window_offset + files->window_size;
    if (result == 0 && !inside) {
        uint64_t left = files->segments[place.segment].size_bytes - place.offset;
        uint64_t wanted = left < WAL_WINDOW_SIZE ? left : WAL_WINDOW_SIZE;
        result = disk_file_read(files->disk, files->file, place.offset, files->window, wanted);
        if (result >= 0 && (uint64_t)result < size)
            result = -EIO;
        files->window_offset = place.offset;
        files->window_size = result < 0 ? 0 : (uint64_t)result;
    }
    if (result < 0) {
        wal_reader_finish(reader, WAL_READ_ERROR, "%s/%s cannot be read at offset %" PRIu64 ": %s",
                          disk_path(files->disk), segment_name(files, place.segment), place.offset,
                          strerror((int)-result));
        return NULL;
    }
    return files->window + (place.offset - files->window_offset);
}

/* Is it a block of this version in all but the version it says? Then that is what was damaged. */
static bool is_misnamed(struct wal_reader *reader, struct wal_spot place, struct wal_block block)
{
    uint64_t left = reader->files->segments[place.segment].size_bytes - place.offset;
    uint32_t named = block.version;
    uint8_t page[sizeof block];
    block.version = WAL_BLOCK_VERSION;
    memcpy(page, &block, sizeof block);
    if (!wal_block_read(page, &block) || block.block_size > left ||
        wal_reader_bytes(reader, place, block.block_size) == NULL)
        return false;
    uint8_t *bytes = reader->files->window + (place.offset - reader->files->window_offset);
    memcpy(bytes, &block, sizeof block);
    bool is_whole = wal_block_verify(&block, bytes);
    block.version = named;
    memcpy(bytes, &block, sizeof block);
    return is_whole;
}

/* A block of a version that this till does not read. Whatever such a version changes, its magic and
 * the place of its version stay, so that it is not taken for a torn write and cut. Versions are
 * small numbers: others are what stood there before a header that was torn. */
static bool is_foreign(struct wal_reader *reader, struct wal_spot place, const uint8_t *bytes)
{
    const struct wal_reader_files *files = reader->files;
    struct wal_block block;
    memcpy(&block, bytes, sizeof block);
    if (block.magic != WAL_BLOCK_MAGIC || block.version == WAL_BLOCK_VERSION ||
        block.version == 0 || block.version > WAL_BLOCK_VERSION_MAX ||
        is_misnamed(reader, place, block))
        return false;
    wal_reader_finish(reader, WAL_READ_ERROR,
                      "%s/%s, offset %" PRIu64 ", seq %" PRIu64
                      ": written in format version %" PRIu32
                      "; this till reads version %d: use the till that wrote it%s",
                      disk_path(files->disk), segment_name(files, place.segment), place.offset,
                      reader->end.seq_next, block.version, WAL_BLOCK_VERSION,
                      block.version > WAL_BLOCK_VERSION ? ", or a newer one" : "");
    return true;
}

/* A whole block whose commands may have what this till does not know. A schema changes what the
 * commands are, not the layout of a block: its checksum tells that it is no torn write. */
static bool is_newer(struct wal_reader *reader, struct wal_spot place,
                     const struct wal_block *block)
{
    const struct wal_reader_files *files = reader->files;
    if (block->schema <= SCHEMA)
        return false;
    wal_reader_finish(reader, WAL_READ_ERROR,
                      "%s/%s, offset %" PRIu64 ", seq %" PRIu64 ": " SCHEMA_NEWER_TEXT,
                      disk_path(files->disk), segment_name(files, place.segment), place.offset,
                      block->seq_first, block->schema, SCHEMA);
    return true;
}

static bool is_cut(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word == WAL_CUT_WORD && memcmp(bytes, bytes + sizeof word, WAL_ALIGN - sizeof word) == 0;
}

enum wal_standing wal_reader_look(struct wal_reader *reader, struct wal_spot place,
                                  struct wal_block *block)
{
    uint64_t left = reader->files->segments[place.segment].size_bytes - place.offset;
    if (left < WAL_ALIGN)
        return STANDS_ZERO;
    const uint8_t *bytes = wal_reader_bytes(reader, place, WAL_ALIGN);
    if (bytes == NULL)
        return STANDS_ERROR;
    if (bytes[0] == 0 && memcmp(bytes, bytes + 1, WAL_ALIGN - 1) == 0)
        return STANDS_ZERO;
    if (is_cut(bytes))
        return STANDS_CUT;
    if (is_foreign(reader, place, bytes))
        return STANDS_ERROR;
    bytes = wal_reader_bytes(reader, place, WAL_ALIGN); /* the window may have moved on */
    if (bytes == NULL)
        return STANDS_ERROR;
    if (!wal_block_read(bytes, block))
        return STANDS_OTHER;
    if (block->block_size > left)
        return STANDS_BROKEN;
    bytes = wal_reader_bytes(reader, place, block->block_size);
    if (bytes == NULL)
        return STANDS_ERROR;
    if (!wal_block_verify(block, bytes))
        return STANDS_BROKEN;
    return is_newer(reader, place, block) ? STANDS_ERROR : STANDS_BLOCK;
}

bool wal_reader_is_next(const struct wal_reader *reader, const struct wal_block *block)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_end *end = &reader->end;
    if (!files->begun)
        return !reader->is_archive ||
               block->seq_first == files->segments[files->next.segment].seq_first;
    return block->seq_first == end->seq_next && block->previous == end->previous &&
           block->epoch >= end->epoch;
}

/* Does the reader's owner know all that the block says? What is empty stands behind it if it
 * follows what is known. */
static bool is_known(const struct wal_reader *reader, const struct wal_block *block)
{
    uint64_t seq_last = block->seq_first + block->command_count - 1;
    return block->command_count > 0 ? seq_last <= reader->seq_known
                                    : block->seq_first <= reader->seq_known;
}

static void end_move(struct wal_reader *reader, struct wal_spot place,
                     const struct wal_block *block)
{
    struct wal_reader_files *files = reader->files;
    struct wal_end *end = &reader->end;
    bool is_first = place.offset == 0;
    files->begun = true;
    reader->segment = place.segment;
    files->next = (struct wal_spot){place.segment, place.offset + block->block_size};
    *end = (struct wal_end){
        .segment = files->segments[place.segment].number,
        .offset = files->next.offset,
        .seq_next = block->seq_first + block->command_count,
        .previous = block->checksum,
        .epoch = block->epoch,
        .time_us = block->time_us,
        .digest = block->digest,
        .segment_seq = is_first ? block->seq_first : end->segment_seq,
        .segment_previous = is_first ? block->previous : end->segment_previous,
    };
    if (is_first && end->segment == files->note.segment) {
        files->has_noted = true;
        files->noted_seq = block->seq_first;
        files->noted_previous = block->previous;
    }
}

enum wal_read wal_reader_hand_out(struct wal_reader *reader, struct wal_spot place,
                                  const struct wal_block *block)
{
    struct wal_reader_files *files = reader->files;
    const uint8_t *bytes = wal_reader_bytes(reader, place, block->block_size);
    if (bytes == NULL)
        return files->result;
    reader->image = bytes;
    reader->ids = NULL;
    reader->fields = NULL;
    if (!is_known(reader, block) &&
        !wal_block_unpack(block, bytes, files->ids_room, files->fields_room, &reader->ids,
                          &reader->fields))
        return wal_reader_finish(
            reader, WAL_READ_DAMAGE,
            "%s/%s, offset %" PRIu64 ", seq %" PRIu64 ": the block's checksum holds but its "
            "content does not decompress. Restore this folder from a replica or a backup",
            disk_path(files->disk), segment_name(files, place.segment), place.offset,
            block->seq_first);
    end_move(reader, place, block);
    reader->block = *block;
    reader->bytes_read = wal_position(files, place) + block->block_size;
    return WAL_READ_BLOCK;
}

/* Is a block chained to the empty one at the place? */
static bool is_followed(struct wal_reader *reader, struct wal_spot place,
                        const struct wal_block *empty)
{
    struct wal_block block;
    place.offset += empty->block_size;
    return wal_reader_look(reader, place, &block) == STANDS_BLOCK &&
           block.previous == empty->checksum && block.seq_first == empty->seq_first &&
           block.epoch >= empty->epoch;
}

/* The next block stands right behind the one before, or, once there is a chain to tell it by, at
 * the beginning of the following segment. */
bool wal_reader_take(struct wal_reader *reader, enum wal_read *result)
{
    struct wal_reader_files *files = reader->files;
    struct wal_spot places[] = {files->next, {files->next.segment + 1, 0}};
    unsigned place_count = files->begun && files->next.segment + 1 < files->segment_count ? 2 : 1;
    files->seal.is_there = false;
    for (unsigned i = 0; i < place_count; i++) {
        struct wal_block block;
        enum wal_standing standing = wal_reader_look(reader, places[i], &block);
        if (standing == STANDS_BLOCK && wal_reader_is_next(reader, &block)) {
            if (block.command_count > 0 || is_followed(reader, places[i], &block)) {
                *result = wal_reader_hand_out(reader, places[i], &block);
                return true;
            }
            files->seal = (struct wal_reader_seal){true, places[i], block};
        }
        if (files->ended) {
            *result = files->result;
            return true;
        }
    }
    return false;
}

/* The segments of a data folder, or else of an archive. */
static int list_segments(struct wal_reader *reader, struct disk *disk)
{
    struct wal_reader_files *files = reader->files;
    int count = wal_segments_list(disk, WAL_IN_DATA, &files->segments);
    if (count != 0)
        return count;
    free(files->segments);
    count = archive_list(disk, &files->label, &files->label_result, &files->segments);
    reader->is_archive = count > 0 || (count == 0 && files->label_result != -ENOENT);
    return count;
}

/* Lists the segments and reads the note so that both are of one moment, though a server may be
 * writing: what the note says is never undone, but it may name a segment that came after the list.
 */
static int take_stock(struct wal_reader *reader, struct disk *disk)
{
    struct wal_reader_files *files = reader->files;
    files->note_result = wal_note_read(disk, &files->note);
    for (unsigned i = 0; i < LIST_TRIES_MAX; i++) {
        struct wal_note before = files->note;
        free(files->segments);
        files->segments = NULL;
        int count = list_segments(reader, disk);
        files->note_result = wal_note_read(disk, &files->note);
        if (count < 0 || files->note_result < 0 || files->note.segment == before.segment)
            return count;
    }
    return -EBUSY;
}

int wal_reader_init(struct wal_reader *reader, struct disk *disk)
{
    *reader = (struct wal_reader){.end = {.seq_next = 1}};
    struct wal_reader_files *files = aligned_alloc(WAL_ALIGN, sizeof *files);
    int count = -ENOMEM;
    reader->files = files;
    if (files != NULL) {
        memset(&files->disk, 0, sizeof *files - offsetof(struct wal_reader_files, disk));
        files->disk = disk;
        files->file = -1;
        count = take_stock(reader, disk);
    }
    if (count < 0) {
        snprintf(reader->error, sizeof reader->error, "the log in %s cannot be listed: %s",
                 disk_path(disk), strerror(-count));
        wal_reader_deinit(reader);
        return count;
    }
    files->segment_count = (uint32_t)count;
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
        wal_reader_finish(
            reader, WAL_READ_DAMAGE,
            "%s/%s is missing, though segments before and after it are there. Put it back, or "
            "restore this folder from a replica or a backup",
            disk_path(files->disk), name);
        return true;
    }
    return false;
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
        return wal_archive_next(reader);
    if (files->segment_count == 0)
        return wal_tail_of_nothing(reader);
    return wal_reader_take(reader, &result) ? result : wal_tail_decide(reader);
}

struct wal_end wal_reader_end_here(const struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    struct wal_end end = reader->end;
    TILL_ASSERT(!reader->is_archive && !files->ended);
    if (!files->begun)
        end.seq_next = reader->seq_known + 1;
    if (files->segment_count > 0)
        end.torn_bytes = files->segments[files->next.segment].size_bytes - files->next.offset;
    end.is_cut = true;
    return end;
}

void wal_reader_path(const struct wal_reader *reader, char path[WAL_ERROR_SIZE])
{
    const struct wal_reader_files *files = reader->files;
    snprintf(path, WAL_ERROR_SIZE, "%s/%s", disk_path(files->disk),
             files->segments[reader->segment].name);
}

struct wal_note wal_reader_note(const struct wal_reader *reader)
{
    const struct wal_reader_files *files = reader->files;
    const struct wal_end *end = &reader->end;
    TILL_ASSERT(files->ended && files->result == WAL_READ_END && files->begun);
    return (struct wal_note){
        .epoch = end->epoch,
        .segment_size = files->segments[files->next.segment].size_bytes,
        .seq_first = end->segment_seq,
        .previous = end->segment_previous,
        .seq_durable = end->seq_next - 1,
        .segment = end->segment,
    };
}
