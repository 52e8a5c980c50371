/* The log's writing end: the open block, group commit, segments, and how the log marks its end.
 *
 * Commands are appended to the open block's columns. wal_submit makes it a block and hands it to
 * the disk; while blocks are being written the next one fills: group commit by natural batching, no
 * timer. A block counts as durable when it and all before it are. The log is a chain of blocks in
 * segment files `wal-NNNNNNNNNN.log`, preallocated full of zeros ahead of need, off this thread.
 *
 *   open --wal_submit--> in flight --wal_event--> written --all before written--> durable
 *
 * When nothing happens for a moment, the log is sealed: an empty block at its end tells whoever
 * reads it that all before it was durable. The next block is written over it. The log's note
 * (wal/note.h) names the newest segment and says what was durable; the first block of a segment
 * counts as durable once the note names the segment, which is written beside it.
 *
 * A failed write is fatal: wal_event tells, and the caller must answer nothing more and exit;
 * memory is ahead of the disk. A full disk is not. When no segment could be prepared, wal_room says
 * WAL_ROOM_FULL until one can be, and it is tried again every second. A block may be refused as
 * well, on storage that finds room only when it is written to: then it is not durable, whatever
 * waits for it waits on, and it is written again every second; wal_room says WAL_ROOM_FULL. */
#ifndef TILL_WAL_WAL_H
#define TILL_WAL_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/io.h"
#include "wal/block.h"
#include "wal/reader.h"
#include "wal/segment.h"

enum { WAL_USERS_COUNT = WAL_WRITES_MAX + 2 };

struct wal_options {
    uint64_t segment_size; /* bytes, a multiple of WAL_BLOCK_SIZE_MAX; 0: WAL_SEGMENT_SIZE */
    uint32_t writes_max;   /* blocks in flight, 1 to WAL_WRITES_MAX; 0: 2 */
    uint64_t user_write;   /* `user` of this log's IO_WRITTEN events: this one and the next
                              WAL_USERS_COUNT - 1 */
    uint64_t user_prepare; /* `user` of its IO_PREPARED and IO_WORKED events */
};

enum wal_room {
    WAL_ROOM,       /* append */
    WAL_ROOM_LATER, /* the open block is full and cannot be submitted yet: after a completion */
    WAL_ROOM_FULL,  /* the disk is full: answer STORAGE_FULL to commands */
};

struct wal;

/* Opens the log for appending after `end`, the place where a reader (wal/reader.h) of the same
 * disk found its end; creates the first segment when there is none. epoch is written into every
 * block from here on. 0 or -errno, with a message. The wal keeps disk and io; both outlive it. */
int wal_open(struct wal **wal, struct io *io, struct disk *disk, const struct wal_options *options,
             const struct wal_end *end, uint64_t epoch, char error[IO_ERROR_SIZE]);

/* No event may be due (wal_awaits_event), unless the io that carries it is gone. */
void wal_close(struct wal *wal);

/* Is there room in the open block for size_bytes more in each of its columns? May submit the open
 * block to make it. */
enum wal_room wal_room(struct wal *wal, size_t size_bytes);

/* The open block's cursors, to append to after wal_room said WAL_ROOM; appended commands are then
 * counted with wal_append: the number of commands, the time of the first if the block was empty,
 * and the engine's digest after the last. The column struct is the caller's view; wal_append
 * stores the cursors back. */
uint8_t *wal_ids(struct wal *wal);
uint8_t *wal_fields(struct wal *wal);
void wal_append(struct wal *wal, uint8_t *ids, uint8_t *fields, uint32_t command_count,
                uint64_t digest);

/* The open block's time: the time its records are relative to. wal_begin_time sets it when the
 * block is empty, and returns what passed since its last record otherwise (to be encoded). */
uint64_t wal_begin_time(struct wal *wal, uint64_t now_us);

/* Writes the open block, if it has commands and a write may start now. */
void wal_submit(struct wal *wal);

/* What the log does by itself, once a turn of the loop: it seals itself when nothing is open or in
 * flight and nothing has happened for WAL_SEAL_US, at once when is_stopping; and it writes again
 * what a full disk refused. */
void wal_turn(struct wal *wal, bool is_stopping);

/* How long until wal_turn may have something to do; UINT64_MAX: only after something else. */
uint64_t wal_wait_us(const struct wal *wal);

/* Takes in an IO_WRITTEN, IO_PREPARED or IO_WORKED event of this log. 0, or -errno when a block
 * could not be made durable: fatal. */
int wal_event(struct wal *wal, const struct io_event *event);

/* Blocks are numbered from 1 in the order they are opened. wal_block_open is the one being filled
 * (what is appended now becomes durable with it); every block up to wal_block_durable is durable.
 * wal_block_last is the newest with commands: what a reply that saw everything must wait for. */
uint64_t wal_block_open(const struct wal *wal);
uint64_t wal_block_last(const struct wal *wal);
uint64_t wal_block_durable(const struct wal *wal);
uint64_t wal_seq_durable(const struct wal *wal);

/* Nothing is being written or waits to be written again, and no segment is being prepared or
 * released. */
bool wal_idle(const struct wal *wal);

/* An event of this log is to come. */
bool wal_awaits_event(const struct wal *wal);

/* The disk has refused something that was to be written, for want of room, and it is not durable
 * yet. */
bool wal_is_refused(const struct wal *wal);

/* The oldest closed segment that has seq or something after it. False: there is none yet. */
bool wal_closed_next(const struct wal *wal, uint64_t seq, struct wal_closed *closed);

/* How many there are from that one on. */
uint32_t wal_closed_count(const struct wal *wal, uint64_t seq);

/* The first segment, and the first seq that it has, or will have when there is no block yet. */
uint32_t wal_segment_first(const struct wal *wal);
uint64_t wal_seq_first(const struct wal *wal);

/* Segments that hold nothing from `seq` on are no longer needed: they are renamed to stand ahead
 * of the log and are written again, without being allocated or zeroed anew; what is not durable is
 * kept whatever `seq` is. Off this thread: returns how many are on their way, and wal_event tells
 * the end. While a segment is being prepared, or others are being released, it returns 0, and does
 * it when that is done. */
int wal_release(struct wal *wal, uint64_t seq);

/* Are the folder and the files that are being written to still where they were opened? 0; -ENOENT,
 * with a message, when one was removed or moved away: what is written to it from then on may be
 * lost; -ESTALE when the folder as a whole was moved, and nothing is lost. */
int wal_check(const struct wal *wal, char error[IO_ERROR_SIZE]);

struct wal_stats {
    uint64_t blocks;
    uint64_t commands;
    uint64_t bytes_raw;    /* of both columns */
    uint64_t bytes_stored; /* headers and padding included */
    uint64_t write_us_sum; /* from submit to durable */
    uint64_t write_us_max;
};
struct wal_stats wal_stats(const struct wal *wal);

#endif
