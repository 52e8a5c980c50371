/* Reading a log that is being written.
 *
 * Good path: a place is sought in the newest segment that begins at or before it: its blocks are
 * read until one continues the place. From there on block after block is read through a window, as
 * long as one continues the last: behind it, or at the beginning of the next segment. Where nothing
 * continues, though the caller says that more is durable, the place is sought again: so reading
 * goes on in the next file of an archive, from the archive to the log, and from a segment that was
 * released to its copy in the archive.
 *
 * What can fail: the disk, and a block that was durable and is not there: an error. A segment may
 * be released at any moment: its file gets another name, and later other blocks. A file that was
 * listed and is not found, or one that lost its name while it was read, is sought again a few
 * times.
 *
 * What must always hold: a block is only handed out when its checksum holds, it names the checksum
 * of the block before, and its seq is durable; so it makes no difference which file it was read
 * from, or when. A block without commands has no seq: it is a part of the log, and not a seal that
 * the next block overwrites, when one that is durable is chained to it. What is not durable yet may
 * be in the window as it was before: nothing is missing until it was read afresh. */
#include "wal/cursor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "wal/archive_label.h"
#include "wal/segment.h"

enum { WINDOW_SIZE = 1 << 20, SEEK_TRIES_MAX = 10 };

static_assert(WINDOW_SIZE >= WAL_BLOCK_SIZE_MAX, "a block fits the window");

static void state_enter(struct wal_cursor *cursor, enum wal_cursor_state state)
{
    TILL_ASSERT(cursor->state == CURSOR_LOST || state == CURSOR_LOST);
    TILL_ASSERT((cursor->file >= 0) == (state != CURSOR_LOST));
    TILL_ASSERT(state != CURSOR_IN_ARCHIVE || cursor->archive != NULL);
    cursor->state = state;
}

bool wal_cursor_init(struct wal_cursor *cursor, struct disk *log, struct disk *archive)
{
    *cursor = (struct wal_cursor){.log = log, .archive = archive, .folder = log, .file = -1};
    cursor->window = aligned_alloc(WAL_ALIGN, WINDOW_SIZE);
    return cursor->window != NULL;
}

static void lose(struct wal_cursor *cursor)
{
    if (cursor->file >= 0)
        disk_file_close(cursor->folder, cursor->file);
    cursor->file = -1;
    state_enter(cursor, CURSOR_LOST);
}

void wal_cursor_deinit(struct wal_cursor *cursor)
{
    lose(cursor);
    free(cursor->window);
    cursor->window = NULL;
}

static enum wal_cursor_result fail(struct wal_cursor *cursor, int result)
{
    error_set(cursor->error, sizeof cursor->error, "%s/%s cannot be read: %s",
              disk_path(cursor->folder), cursor->name, strerror(-result));
    return WAL_CURSOR_ERROR;
}

static enum wal_cursor_result damaged(struct wal_cursor *cursor)
{
    error_set(cursor->error, sizeof cursor->error,
              "%s/%s is damaged at offset %" PRIu64 ": it has no block that continues seq %" PRIu64
              ", though later ones were durable. See to the disk, and take a snapshot or a backup",
              disk_path(cursor->folder), cursor->name, cursor->offset, cursor->seq);
    return WAL_CURSOR_ERROR;
}

/* Finds the bytes at an offset, in the window or on the disk. 1; 0: the file ends before; or
 * -errno. */
static int bytes_at(struct wal_cursor *cursor, uint64_t offset, uint32_t size,
                    const uint8_t **bytes)
{
    bool is_inside = offset >= cursor->window_offset &&
                     offset + size <= cursor->window_offset + cursor->window_size;
    if (!is_inside) {
        int64_t count =
            disk_file_read(cursor->folder, cursor->file, offset, cursor->window, WINDOW_SIZE);
        cursor->window_offset = offset;
        cursor->window_size = count < 0 ? 0 : (uint64_t)count;
        if (count < 0)
            return (int)count;
        if ((uint64_t)count < size)
            return 0;
    }
    *bytes = cursor->window + (offset - cursor->window_offset);
    return 1;
}

/* The block at an offset of the open file. 1 when there is a whole one, 0 when there is none, or
 * -errno. */
static int block_at(struct wal_cursor *cursor, uint64_t offset, struct wal_block *block,
                    const uint8_t **bytes)
{
    int result = bytes_at(cursor, offset, WAL_ALIGN, bytes);
    if (result <= 0 || !wal_block_read(*bytes, block))
        return result < 0 ? result : 0;
    result = bytes_at(cursor, offset, block->block_size, bytes);
    if (result <= 0)
        return result;
    return wal_block_verify(block, *bytes);
}

static uint64_t seq_last(const struct wal_block *block)
{
    return block->seq_first + block->command_count - 1;
}

static bool continues(const struct wal_cursor *cursor, const struct wal_block *block)
{
    return block->seq_first == cursor->seq + 1 && block->previous == cursor->checksum;
}

static void advance(struct wal_cursor *cursor, const struct wal_block *block)
{
    cursor->seq = seq_last(block);
    cursor->checksum = block->checksum;
    cursor->offset += block->block_size;
}

/* Seeking. */

/* Opens a file, to be read from its beginning. 1, 0 when it is not there any more, or -errno. */
static int file_open(struct wal_cursor *cursor, enum wal_cursor_state state,
                     const struct wal_segment *segment)
{
    memcpy(cursor->name, segment->name, sizeof cursor->name);
    cursor->segment = segment->number;
    cursor->offset = 0;
    cursor->window_size = 0;
    int file = disk_file_open(cursor->folder, cursor->name, false);
    if (file < 0)
        return file == -ENOENT ? 0 : file;
    cursor->file = file;
    state_enter(cursor, state);
    return 1;
}

/* Moves to the place, from the beginning of the file, where a block is that may have another place
 * before it. READY, OTHER or ERROR. */
static enum wal_cursor_result file_scan(struct wal_cursor *cursor)
{
    uint64_t seq = cursor->seq;
    uint64_t checksum = cursor->checksum;
    for (bool is_first = true;; is_first = false) {
        struct wal_block block;
        const uint8_t *bytes;
        int result = block_at(cursor, cursor->offset, &block, &bytes);
        if (result < 0)
            return fail(cursor, result);
        if (result == 0 && is_first)
            return damaged(cursor);
        if (is_first) {
            cursor->seq = block.seq_first - 1;
            cursor->checksum = block.previous;
        }
        /* A log that was begun behind a snapshot does not know which block comes before it. */
        if (is_first && block.previous == 0 && block.seq_first > 1 && cursor->seq == seq &&
            checksum != 0)
            return WAL_CURSOR_GONE;
        bool is_there = cursor->seq == seq && cursor->checksum == checksum;
        bool is_over = result == 0 || !continues(cursor, &block);
        if (is_there || cursor->seq > seq)
            return is_there ? WAL_CURSOR_READY : WAL_CURSOR_OTHER;
        if (checksum == 0 && (cursor->seq == seq || (!is_over && seq_last(&block) > seq)))
            return WAL_CURSOR_READY;
        if (is_over)
            return cursor->seq == seq ? WAL_CURSOR_OTHER : damaged(cursor);
        advance(cursor, &block);
    }
}

/* The newest of the log's segments that begins at or before the place: its index; count when the
 * log begins after it, or -errno. The segments that are being written ascend; those that are ready
 * after them begin with no block, or with one that is older than all of these. */
static int segment_search(struct wal_cursor *cursor, const struct wal_segment *segments, int count)
{
    struct wal_block first;
    struct wal_block block;
    int low = 0;
    int high = count;
    if (count == 0)
        return 0;
    int result = wal_segment_begin(cursor->log, segments[0].name, cursor->window, &first);
    if (result == -EIO || (result == 0 && first.seq_first > cursor->seq + 1))
        return count;
    while (result == 0 && high - low > 1) {
        int middle = low + (high - low) / 2;
        result = wal_segment_begin(cursor->log, segments[middle].name, cursor->window, &block);
        bool is_before =
            result == 0 && block.seq_first >= first.seq_first && block.seq_first <= cursor->seq + 1;
        *(is_before ? &low : &high) = middle;
        if (result == -EIO)
            result = 0;
    }
    return result < 0 ? result : low;
}

/* The file of the archive that has the seq after the place; count: none. */
static int archived_search(const struct wal_cursor *cursor, const struct wal_segment *segments,
                           int count)
{
    int i = 0;
    while (i < count && segments[i].seq_last <= cursor->seq)
        i++;
    return i < count && segments[i].seq_first <= cursor->seq + 1 ? i : count;
}

/* Lists the files of the log or the archive, and opens the one that the place is in. 1; 0: it is
 * not there any more; -ERANGE: there is none, or another -errno. */
static int place_open(struct wal_cursor *cursor, enum wal_cursor_state state)
{
    struct wal_segment *segments;
    struct archive_label label;
    int label_result;
    bool is_archive = state == CURSOR_IN_ARCHIVE;
    cursor->folder = is_archive ? cursor->archive : cursor->log;
    cursor->name[0] = '\0';
    cursor->window_size = 0;
    int count = is_archive ? archive_list(cursor->archive, &label, &label_result, &segments)
                           : wal_segments_list(cursor->log, WAL_IN_DATA, &segments);
    if (count < 0)
        return count;
    int index = is_archive ? archived_search(cursor, segments, count)
                           : segment_search(cursor, segments, count);
    int result = index == count ? -ERANGE : index;
    if (result >= 0)
        result = file_open(cursor, state, &segments[index]);
    free(segments);
    return result == -ENOENT ? 0 : result;
}

/* One try. False when a file was released or removed meanwhile. */
static bool seek_once(struct wal_cursor *cursor, uint64_t seq, uint64_t checksum,
                      enum wal_cursor_result *result)
{
    lose(cursor);
    cursor->seq = seq;
    cursor->checksum = checksum;
    int opened = place_open(cursor, CURSOR_IN_LOG);
    if (opened == -ERANGE && cursor->archive != NULL)
        opened = place_open(cursor, CURSOR_IN_ARCHIVE);
    *result = opened == -ERANGE ? WAL_CURSOR_GONE : WAL_CURSOR_READY;
    if (opened < 0 && opened != -ERANGE)
        *result = fail(cursor, opened);
    if (opened <= 0)
        return opened < 0;
    *result = file_scan(cursor);
    return *result == WAL_CURSOR_READY ||
           disk_file_check(cursor->folder, cursor->file, cursor->name) == 0;
}

enum wal_cursor_result wal_cursor_seek(struct wal_cursor *cursor, uint64_t seq, uint64_t checksum)
{
    enum wal_cursor_result result = WAL_CURSOR_READY;
    bool is_settled = false;
    for (int i = 0; i < SEEK_TRIES_MAX && !is_settled; i++)
        is_settled = seek_once(cursor, seq, checksum, &result);
    if (!is_settled) {
        error_set(cursor->error, sizeof cursor->error,
                  "the log in %s changes faster than seq %" PRIu64 " can be found in it",
                  disk_path(cursor->log), seq);
        result = WAL_CURSOR_ERROR;
    }
    if (result != WAL_CURSOR_READY)
        lose(cursor);
    return result;
}

/* Reading. */

/* Is a block with commands that is durable chained to the empty one at the offset, directly or over
 * other empty ones? 1, 0 or -errno. In an archive there is nothing but the chain. */
static int is_followed(struct wal_cursor *cursor, struct wal_block block, uint64_t seq_max)
{
    uint64_t offset = cursor->offset;
    while (block.command_count == 0 && cursor->state == CURSOR_IN_LOG) {
        struct wal_block next;
        const uint8_t *bytes;
        offset += block.block_size;
        int result = block_at(cursor, offset, &next, &bytes);
        if (result <= 0)
            return result;
        if (next.previous != block.checksum || next.seq_first != block.seq_first)
            return 0;
        block = next;
    }
    return seq_last(&block) <= seq_max;
}

/* Finds the next block in the open file. 1, 0 or -errno. */
static int next_here(struct wal_cursor *cursor, uint64_t seq_max, struct wal_block *block,
                     const uint8_t **bytes)
{
    int result = 0;
    for (int i = 0; i < 2 && result == 0; i++) {
        if (i > 0)
            cursor->window_size = 0;
        result = block_at(cursor, cursor->offset, block, bytes);
        if (result == 1)
            result = continues(cursor, block) ? is_followed(cursor, *block, seq_max) : 0;
    }
    /* The window may have moved on. */
    return result == 1 ? bytes_at(cursor, cursor->offset, block->block_size, bytes) : result;
}

/* Moves to the next segment, if it begins with the next block. 1, 0 or -errno. */
static int segment_advance(struct wal_cursor *cursor)
{
    char name[DISK_NAME_SIZE];
    struct wal_block block;
    wal_segment_name(cursor->segment + 1, name);
    int file = disk_file_open(cursor->log, name, false);
    if (file < 0)
        return file == -ENOENT ? 0 : file;
    cursor->window_size = 0;
    int64_t count = disk_file_read(cursor->log, file, 0, cursor->window, WAL_ALIGN);
    if (count != WAL_ALIGN || !wal_block_read(cursor->window, &block) ||
        !continues(cursor, &block)) {
        disk_file_close(cursor->log, file);
        return count < 0 ? (int)count : 0;
    }
    disk_file_close(cursor->log, cursor->file);
    cursor->file = file;
    cursor->segment++;
    cursor->offset = 0;
    memcpy(cursor->name, name, sizeof cursor->name);
    return 1;
}

/* Finds the next block where the place is: 1, 0 or -errno. */
static int next(struct wal_cursor *cursor, uint64_t seq_max, struct wal_block *block,
                const uint8_t **bytes)
{
    int result = next_here(cursor, seq_max, block, bytes);
    while (result == 0 && cursor->state == CURSOR_IN_LOG) {
        int advanced = segment_advance(cursor);
        if (advanced <= 0)
            return advanced;
        result = next_here(cursor, seq_max, block, bytes);
    }
    return result;
}

enum wal_cursor_result wal_cursor_read(struct wal_cursor *cursor, uint64_t seq_max, size_t gap,
                                       uint8_t *bytes, size_t size, size_t *size_read)
{
    TILL_ASSERT(cursor->state != CURSOR_LOST);
    *size_read = 0;
    for (bool is_sought = false;;) {
        struct wal_block block;
        const uint8_t *image;
        int result = next(cursor, seq_max, &block, &image);
        if (result < 0) {
            fail(cursor, result);
            lose(cursor);
            return WAL_CURSOR_ERROR;
        }
        if (result == 1) {
            if (gap + block.block_size > size - *size_read)
                return WAL_CURSOR_READY;
            memcpy(bytes + *size_read + gap, image, block.block_size);
            *size_read += gap + block.block_size;
            advance(cursor, &block);
            is_sought = false;
            continue;
        }
        if (cursor->seq >= seq_max)
            return WAL_CURSOR_READY;
        if (is_sought) {
            damaged(cursor);
            lose(cursor);
            return WAL_CURSOR_ERROR;
        }
        is_sought = true;
        enum wal_cursor_result sought = wal_cursor_seek(cursor, cursor->seq, cursor->checksum);
        if (sought != WAL_CURSOR_READY)
            return sought;
    }
}
