/* Segments are made ready ahead of need, and released behind.
 *
 * Good path: one ready segment is kept open as the spare. When a block does not fit into what is
 * left of the current segment, the spare becomes the current one, and at the next event another
 * ready segment is opened, or one is prepared: a file of its full size, written with zeros, so that
 * a block never waits for the file system to allocate anything. What snapshots and the archive have
 * made unnecessary is renamed to follow the last segment, and is written again as it is.
 *
 * What can fail: preparing and releasing, for want of room on the disk. Both are tried again every
 * second. Preparing needs room for the file; releasing only for the change of the folder, which a
 * file system that copies on write, or a quota, may refuse nevertheless. Until it succeeds no
 * segment is prepared: the names that it takes are not free. The log goes on as long as the
 * current segment and the spare have room. Any other failure is returned, and is fatal for the log:
 * the disk is not what it should be.
 *
 * What must always hold: the numbers of the files have no gap, whenever a crash comes. So names are
 * given in order, by one operation at a time. A release that was refused may have taken effect in
 * part: a file may have its new name while the change of the folder is not durable yet. It is
 * therefore repeated from that file on, and each of its steps may find itself done. */
#include "wal/segments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"

enum { RETRY_US = US_PER_SECOND };

/* By state: the states that may follow, as bits. */
static const uint8_t next_supplies[] = {
    [SUPPLY_IDLE] = 1 << SUPPLY_PREPARING | 1 << SUPPLY_RELEASING,
    [SUPPLY_PREPARING] = 1 << SUPPLY_IDLE,
    [SUPPLY_RELEASING] = 1 << SUPPLY_IDLE | 1 << SUPPLY_BLOCKED,
    [SUPPLY_BLOCKED] = 1 << SUPPLY_RELEASING,
};

/* Restates the drawings in the header. */
static void check(const struct wal_segments *segments)
{
    TILL_ASSERT(segments->first > 0 && segments->first <= segments->current);
    TILL_ASSERT(segments->current <= segments->last);
    TILL_ASSERT(segments->last - segments->first < DISK_ENTRIES_MAX);
    TILL_ASSERT(segments->file_spare < 0 || segments->current < segments->last);
    switch (segments->supply) {
    case SUPPLY_IDLE:
        TILL_ASSERT(segments->release.count == 0);
        break;
    case SUPPLY_PREPARING:
        TILL_ASSERT(segments->release.count == 0 && segments->current == segments->last);
        break;
    case SUPPLY_BLOCKED:
        TILL_ASSERT(segments->is_full);
        __attribute__((fallthrough));
    case SUPPLY_RELEASING:
        TILL_ASSERT(segments->release.count > 0 && segments->release.first == segments->first);
        TILL_ASSERT(segments->first + segments->release.count <= segments->current);
        TILL_ASSERT(segments->release.ahead == segments->last + 1);
        break;
    }
}

static void supply_enter(struct wal_segments *segments, enum wal_supply supply)
{
    TILL_ASSERT((next_supplies[segments->supply] >> supply & 1) != 0);
    segments->supply = supply;
    check(segments);
}

/* Opening. */

bool wal_segments_init(struct wal_segments *segments, struct io *io, struct disk *disk,
                       uint64_t size_bytes, uint64_t user)
{
    *segments = (struct wal_segments){.io = io,
                                      .disk = disk,
                                      .size_bytes = size_bytes,
                                      .user = user,
                                      .file = -1,
                                      .file_spare = -1};
    segments->known = calloc(DISK_ENTRIES_MAX, sizeof *segments->known);
    return segments->known != NULL;
}

void wal_segments_deinit(struct wal_segments *segments)
{
    if (segments->file >= 0)
        disk_file_close(segments->disk, segments->file);
    if (segments->file_spare >= 0)
        disk_file_close(segments->disk, segments->file_spare);
    free(segments->known);
}

int wal_segments_file(const struct wal_segments *segments, uint32_t number)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(number, name);
    return disk_file_open(segments->disk, name, true);
}

/* The current segment itself, where there is none. */
static int create_current(struct wal_segments *segments, char name[DISK_NAME_SIZE])
{
    wal_segment_name(segments->current, name);
    wal_segments_known(segments, segments->current)->size_bytes = segments->size_bytes;
    return disk_create_zeroed(segments->disk, name, segments->size_bytes);
}

/* The first seqs of the segments before the current one. */
static int read_seqs(struct wal_segments *segments, uint8_t *page, char name[DISK_NAME_SIZE])
{
    for (uint32_t number = segments->first; number < segments->current; number++) {
        struct wal_block block = {0};
        wal_segment_name(number, name);
        int result = wal_segment_begin(segments->disk, name, page, &block);
        if (result < 0)
            return result;
        wal_segments_known(segments, number)->seq_first = block.seq_first;
    }
    return 0;
}

int wal_segments_load(struct wal_segments *segments, uint32_t current, uint64_t offset,
                      uint8_t *page, char name[DISK_NAME_SIZE])
{
    struct wal_segment *files;
    int count = wal_segments_list(segments->disk, WAL_IN_DATA, &files);
    strcpy(name, "its files");
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++)
        wal_segments_known(segments, files[i].number)->size_bytes = files[i].size_bytes;
    segments->first = segments->current = segments->last = 1;
    if (count > 0) {
        segments->first = files[0].number;
        segments->current = current;
        segments->last = files[count - 1].number;
        segments->offset = offset;
    }
    free(files);
    TILL_ASSERT(count > 0 || current == 0);
    check(segments);
    if (count == 0)
        return create_current(segments, name);
    TILL_ASSERT(offset <= wal_segments_known(segments, current)->size_bytes);
    return read_seqs(segments, page, name);
}

/* Removes the segments from a number on, the last one first, so that there is never a gap. */
static int remove_from(struct wal_segments *segments, uint32_t number, char name[DISK_NAME_SIZE])
{
    for (; segments->last >= number; segments->last--) {
        wal_segment_name(segments->last, name);
        int result = disk_remove(segments->disk, name);
        if (result < 0)
            return result;
    }
    return 0;
}

int wal_segments_cut(struct wal_segments *segments, char name[DISK_NAME_SIZE])
{
    return remove_from(segments, segments->current + 1, name);
}

/* A ready segment that somebody truncated is removed with all after it. The first segment of a log
 * without blocks counts as ready: the first block must go to its beginning, so it is made anew. */
int wal_segments_trim(struct wal_segments *segments, uint64_t size_min, char name[DISK_NAME_SIZE])
{
    uint32_t number = segments->offset == 0 ? segments->current : segments->current + 1;
    while (number <= segments->last && wal_segments_known(segments, number)->size_bytes >= size_min)
        number++;
    int result = remove_from(segments, number, name);
    if (result < 0)
        return result;
    if (segments->last >= segments->current)
        return 0;
    segments->last = segments->current;
    return create_current(segments, name);
}

int wal_segments_open(struct wal_segments *segments, char name[DISK_NAME_SIZE])
{
    wal_segment_name(segments->current, name);
    segments->file = disk_file_open(segments->disk, name, true);
    return segments->file < 0 ? segments->file : 0;
}

/* Preparing. */

static void refuse(struct wal_segments *segments)
{
    segments->is_full = true;
    segments->refused_us = io_time_us(segments->io);
}

static void prepare_start(struct wal_segments *segments)
{
    if (segments->last - segments->first + 1 == DISK_ENTRIES_MAX) {
        refuse(segments);
        return;
    }
    supply_enter(segments, SUPPLY_PREPARING);
    wal_segment_name(segments->last + 1, segments->prepare_name);
    io_prepare(segments->io, segments->disk, segments->prepare_name, segments->size_bytes,
               segments->user);
}

int wal_segments_supply(struct wal_segments *segments)
{
    if (segments->file_spare >= 0)
        return 0;
    if (segments->last == segments->current) {
        if (segments->supply == SUPPLY_IDLE && !segments->is_full)
            prepare_start(segments);
        return 0;
    }
    int file = wal_segments_file(segments, segments->current + 1);
    if (file < 0)
        return file;
    segments->file_spare = file;
    return 0;
}

/* A segment that is ready now. */
static void add_ready(struct wal_segments *segments)
{
    segments->last++;
    wal_segments_known(segments, segments->last)->size_bytes = segments->size_bytes;
}

int wal_segments_prepared(struct wal_segments *segments, int result)
{
    TILL_ASSERT(segments->supply == SUPPLY_PREPARING);
    segments->is_full = false;
    if (result == 0)
        add_ready(segments);
    else if (disk_is_full(result))
        refuse(segments);
    supply_enter(segments, SUPPLY_IDLE);
    return result < 0 && !segments->is_full ? result : 0;
}

int wal_segments_switch(struct wal_segments *segments, uint64_t seq_first, uint64_t previous)
{
    int file = segments->file;
    TILL_ASSERT(segments->file_spare >= 0);
    segments->file = segments->file_spare;
    segments->file_spare = -1;
    segments->current++;
    segments->offset = 0;
    struct wal_known *known = wal_segments_known(segments, segments->current);
    known->seq_first = seq_first;
    known->previous = previous;
    check(segments);
    return file;
}

/* Releasing. */

/* Removes a file, or what an earlier try has left of it. */
static int remove_again(struct disk *disk, const char *name)
{
    int result = disk_remove(disk, name);
    if (result == -ENOENT)
        result = disk_partial_discard(disk, name);
    return result == -ENOENT ? 0 : result;
}

/* Renames a file. When an earlier try did, that is made durable: a file that is renamed to its own
 * name stays, and the folder is synced. */
static int rename_again(struct disk *disk, const char *from, const char *to)
{
    int result = disk_rename(disk, from, to);
    return result == -ENOENT ? disk_rename(disk, to, to) : result;
}

/* Gives the oldest segments the numbers after the last, one by one. One of another size than is in
 * use now is removed instead. In a lane: what it reads is not changed meanwhile. */
static int release_work(void *context)
{
    struct wal_segments *segments = context;
    char from[DISK_NAME_SIZE];
    char to[DISK_NAME_SIZE];
    for (; segments->release.done < segments->release.count; segments->release.done++) {
        uint32_t number = segments->release.first + segments->release.done;
        bool is_renamed = wal_segments_known(segments, number)->size_bytes == segments->size_bytes;
        wal_segment_name(number, from);
        wal_segment_name(segments->release.ahead + segments->release.renamed, to);
        int result = is_renamed ? rename_again(segments->disk, from, to)
                                : remove_again(segments->disk, from);
        if (result < 0)
            return result;
        segments->release.renamed += is_renamed;
    }
    return 0;
}

static void release_start(struct wal_segments *segments)
{
    supply_enter(segments, SUPPLY_RELEASING);
    io_work(segments->io, IO_LANE_LOG, release_work, segments, segments->user);
}

int wal_segments_released(struct wal_segments *segments, int result)
{
    TILL_ASSERT(segments->supply == SUPPLY_RELEASING);
    if (disk_is_full(result)) {
        refuse(segments);
        supply_enter(segments, SUPPLY_BLOCKED);
        return 0;
    }
    segments->is_full = false;
    segments->first += segments->release.count;
    for (uint32_t i = 0; i < segments->release.renamed; i++)
        add_ready(segments);
    memset(&segments->release, 0, sizeof segments->release);
    supply_enter(segments, SUPPLY_IDLE);
    return result;
}

/* How many segments at the beginning hold nothing from seq on. */
static uint32_t count_unneeded(const struct wal_segments *segments, uint64_t seq)
{
    uint32_t count = 0;
    while (segments->first + count < segments->current &&
           wal_segments_known(segments, segments->first + count + 1)->seq_first <= seq)
        count++;
    return count;
}

uint32_t wal_segments_release(struct wal_segments *segments, uint64_t seq, uint32_t keep)
{
    uint32_t count = count_unneeded(segments, seq);
    bool is_busy = segments->supply != SUPPLY_IDLE;
    bool is_kept = segments->first + count > keep;
    if ((is_busy || is_kept) && seq > segments->seq_release)
        segments->seq_release = seq;
    if (is_busy)
        return 0;
    if (is_kept)
        count = keep - segments->first;
    if (count == 0)
        return 0;
    segments->release.first = segments->first;
    segments->release.count = count;
    segments->release.ahead = segments->last + 1;
    release_start(segments);
    return count;
}

void wal_segments_continue(struct wal_segments *segments, uint32_t keep)
{
    uint64_t seq = segments->seq_release;
    segments->seq_release = 0;
    if (seq > 0)
        wal_segments_release(segments, seq, keep);
}

/* Trying again. */

static bool prepares_again(const struct wal_segments *segments)
{
    return segments->is_full && segments->supply == SUPPLY_IDLE &&
           segments->last == segments->current;
}

void wal_segments_turn(struct wal_segments *segments)
{
    bool prepares = prepares_again(segments);
    if ((!prepares && segments->supply != SUPPLY_BLOCKED) || wal_segments_wait_us(segments) > 0)
        return;
    if (prepares)
        prepare_start(segments);
    else
        release_start(segments);
}

uint64_t wal_segments_wait_us(const struct wal_segments *segments)
{
    if (!prepares_again(segments) && segments->supply != SUPPLY_BLOCKED)
        return UINT64_MAX;
    return clock_left_us(io_time_us(segments->io), segments->refused_us, RETRY_US);
}

bool wal_segments_closed(const struct wal_segments *segments, uint64_t seq, uint64_t seq_durable,
                         struct wal_closed *closed)
{
    for (uint32_t number = segments->first; number < segments->current; number++) {
        uint64_t seq_next = wal_segments_known(segments, number + 1)->seq_first;
        if (seq_next > seq_durable)
            return false;
        if (seq >= seq_next)
            continue;
        *closed = (struct wal_closed){number, wal_segments_known(segments, number)->seq_first,
                                      seq_next - 1};
        return true;
    }
    return false;
}
