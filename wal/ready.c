/* The segments around the one in use: prepared and kept open ahead of need, released behind.
 *
 *        segment_first ..... segment .......... segment_last
 *        full of blocks      being written      ready: zeros, or stale blocks
 *
 * Good path: one ready segment is kept open as the spare. When a block does not fit into what is
 * left of the segment, the spare becomes the segment, and at the next event another one is opened
 * or prepared. What snapshots and the archive have made unnecessary is renamed to stand ahead.
 *
 * What can fail: preparing for want of room: commands are refused when neither the segment nor a
 * spare has room for them, and preparing is tried again every second. Anything else is fatal: the
 * disk is not what it should be.
 *
 * What must always hold: names are taken in order by one party at a time: no segment is recycled
 * while one is being prepared, so a crash leaves no gap. A file is closed when the last block
 * written to it is durable. No segment is released that a page of the note still names, so that
 * whichever page a crash leaves, the segment in it is there. */
#include "wal/wal_state.h"

enum { PREPARE_RETRY_US = US_PER_SECOND };

int wal_segment_open(const struct wal *wal, uint32_t segment)
{
    char name[DISK_NAME_SIZE];
    wal_segment_name(segment, name);
    return disk_file_open(wal->disk, name, true);
}

static void prepare_start(struct wal *wal)
{
    if (wal->segment_last - wal->segment_first + 1 == DISK_ENTRIES_MAX) {
        wal->full = true;
        wal->full_us = io_time_us(wal->io);
        return;
    }
    wal->preparing = true;
    wal_segment_name(wal->segment_last + 1, wal->prepare_name);
    io_prepare(wal->io, wal->disk, wal->prepare_name, wal->options.segment_size,
               wal->options.user_prepare);
}

/* Opens a spare when one is ready, else sees to it that one is being prepared. */
int wal_spare_ensure(struct wal *wal)
{
    if (wal->file_spare >= 0)
        return 0;
    if (wal->segment_last == wal->segment) {
        if (!wal->preparing && !wal->releasing && !wal->full)
            prepare_start(wal);
        return 0;
    }
    int file = wal_segment_open(wal, wal->segment + 1);
    if (file < 0)
        return file;
    wal->file_spare = file;
    wal->full = false;
    wal_column_limit_update(wal);
    return 0;
}

/* What was asked for while names were being taken or noted; else the next spare, if one is needed.
 */
int wal_release_again(struct wal *wal)
{
    uint64_t seq = wal->seq_release;
    wal->seq_release = 0;
    if (seq > 0)
        wal_release(wal, seq);
    return wal_spare_ensure(wal);
}

int wal_prepare_finish(struct wal *wal, int result)
{
    wal->preparing = false;
    if (disk_is_full(result)) {
        wal->full = true;
        wal->full_us = io_time_us(wal->io);
    } else if (result < 0) {
        return result;
    } else {
        wal->segment_last++;
        wal_segment_known(wal, wal->segment_last)->size_bytes = wal->options.segment_size;
    }
    return wal_release_again(wal);
}

/* The spare becomes the segment. The file is closed now, or when what was written to it last is
 * done with. The note is written beside the first block. */
void wal_segment_switch(struct wal *wal)
{
    TILL_ASSERT(wal->file_spare >= 0);
    if (wal_blocks_in_flight(wal) > 0)
        wal_block_slot(wal, wal->block_open - 1)->file_done = wal->file;
    else if (wal->seal.state == SEAL_LEFT)
        wal->seal.file_done = wal->file;
    else
        disk_file_close(wal->disk, wal->file);
    wal->file = wal->file_spare;
    wal->file_spare = -1;
    wal->segment++;
    wal->offset = 0;
    wal_segment_known(wal, wal->segment)->seq_first = wal->open.seq_first;
    wal_segment_known(wal, wal->segment)->previous = wal->open.previous;
    wal_note_turn(wal, wal->durable_us);
}

/* Gives the oldest segments the numbers after the last, one by one. One of another size than is in
 * use now is removed instead. Runs off the thread: what it reads stays as it is meanwhile. */
static int release_work(void *context)
{
    struct wal *wal = context;
    char from[DISK_NAME_SIZE];
    char to[DISK_NAME_SIZE];
    int result = 0;
    wal->release.renamed = 0;
    for (uint32_t i = 0; result == 0 && i < wal->release.count; i++) {
        uint32_t segment = wal->release.first + i;
        wal_segment_name(segment, from);
        if (wal_segment_known(wal, segment)->size_bytes != wal->options.segment_size) {
            result = disk_remove(wal->disk, from);
            continue;
        }
        wal_segment_name(wal->release.ahead + wal->release.renamed++, to);
        result = disk_rename(wal->disk, from, to);
    }
    return result;
}

int wal_release_finish(struct wal *wal, int result)
{
    wal->releasing = false;
    if (result < 0)
        return result;
    wal->segment_first += wal->release.count;
    for (uint32_t i = 0; i < wal->release.renamed; i++)
        wal_segment_known(wal, ++wal->segment_last)->size_bytes = wal->options.segment_size;
    return wal_release_again(wal);
}

/* How many segments at the beginning hold nothing from seq on. */
static uint32_t release_count(const struct wal *wal, uint64_t seq)
{
    uint32_t count = 0;
    while (wal->segment_first + count < wal->segment &&
           wal_segment_known(wal, wal->segment_first + count + 1)->seq_first <= seq)
        count++;
    return count;
}

int wal_release(struct wal *wal, uint64_t seq)
{
    if (seq > wal->seq_durable + 1)
        seq = wal->seq_durable + 1;
    uint32_t count = release_count(wal, seq);
    uint32_t named = wal_note_segment_least(wal);
    bool waits = wal->preparing || wal->releasing || wal->segment_first + count > named;
    if (waits && seq > wal->seq_release)
        wal->seq_release = seq;
    if (wal->preparing || wal->releasing)
        return 0;
    if (wal->segment_first + count > named)
        count = named - wal->segment_first;
    if (count == 0)
        return 0;
    wal->release.first = wal->segment_first;
    wal->release.count = count;
    wal->release.ahead = wal->segment_last + 1;
    wal->releasing = true;
    io_work(wal->io, IO_LANE_LOG, release_work, wal, wal->options.user_prepare);
    return (int)count;
}

uint32_t wal_segment_first(const struct wal *wal)
{
    return wal->segment_first;
}

uint64_t wal_seq_first(const struct wal *wal)
{
    return wal_segment_known(wal, wal->segment_first)->seq_first;
}

bool wal_closed_next(const struct wal *wal, uint64_t seq, struct wal_closed *closed)
{
    for (uint32_t segment = wal->segment_first; segment < wal->segment; segment++) {
        uint64_t seq_next = wal_segment_known(wal, segment + 1)->seq_first;
        if (seq_next > wal->seq_durable)
            return false;
        if (seq >= seq_next)
            continue;
        *closed =
            (struct wal_closed){segment, wal_segment_known(wal, segment)->seq_first, seq_next - 1};
        return true;
    }
    return false;
}

uint32_t wal_closed_count(const struct wal *wal, uint64_t seq)
{
    struct wal_closed closed;
    return wal_closed_next(wal, seq, &closed) ? wal->segment - closed.number : 0;
}

/* When the disk was full, a while ago. */
void wal_prepare_again(struct wal *wal)
{
    if (wal->full && !wal->preparing && !wal->releasing &&
        io_time_us(wal->io) - wal->full_us >= (uint64_t)PREPARE_RETRY_US)
        prepare_start(wal);
}
