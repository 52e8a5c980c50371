/* The log, open for writing: group commit, and how the log marks its end.
 *
 * Commands are appended to the columns of the open block. wal_submit makes a block of them and
 * hands it to the disk; while blocks are being written, the next one fills. So the size of a group
 * commit follows from how fast the disk is, without a timer. A block is durable when it and all
 * blocks before it are. The log is a chain of blocks in segment files `wal-NNNNNNNNNN.log`, which
 * are allocated and filled with zeros ahead of need, in another thread.
 *
 *   open --wal_submit--> in flight --wal_event--> written
 *   written --wal_event, all blocks before it are written--> durable
 *
 * After WAL_SEAL_US without a change the log is sealed: an empty block after its last one proves to
 * a reader that everything before it was durable. The next block overwrites it. The log note
 * (wal/note.h) names the newest segment and says what was durable; it is written beside the first
 * block of a segment, which is durable only when the note is.
 *
 * A replica's log takes the blocks of the primary's log instead of commands (wal_take). Blocks have
 * an epoch, which is a newer one with each primary; the chain goes on through all of them.
 *
 * A failed write is fatal: wal_event reports it, and the caller must answer nothing more and exit,
 * because memory is ahead of the disk. A full disk is not fatal. When no segment can be made ready,
 * wal_room says WAL_ROOM_FULL as soon as the ready ones are full, and it is tried again every
 * second. Storage that is allocated only when it is written to may also refuse a block: then that
 * block and all after it are not durable, it is written again every second, and wal_room says
 * WAL_ROOM_FULL until it succeeds. */
#ifndef TILL_WAL_WAL_H
#define TILL_WAL_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/io.h"
#include "base/metrics.h"
#include "wal/block.h"
#include "wal/reader.h"
#include "wal/segment.h"

enum { WAL_USERS_COUNT = WAL_WRITES_MAX + 2 };

/* The least segment_size of a log that takes blocks. */
enum { WAL_SEGMENT_SIZE_TAKES = 2 * WAL_BLOCK_SIZE_MAX };

struct wal_options {
    uint64_t segment_size; /* bytes, a multiple of WAL_BLOCK_SIZE_MAX; 0: WAL_SEGMENT_SIZE */
    uint32_t writes_max;   /* blocks in flight, 1 to WAL_WRITES_MAX; 0: WAL_WRITES_DEFAULT */
    uint64_t user_write;   /* `user` of this log's IO_WRITTEN events: this one and the next
                              WAL_USERS_COUNT - 1 */
    uint64_t user_prepare; /* `user` of its IO_PREPARED and IO_WORKED events */
    bool takes_blocks; /* wal_take may be called; segment_size: WAL_SEGMENT_SIZE_TAKES or more */
};

enum wal_room {
    WAL_ROOM,       /* append */
    WAL_ROOM_LATER, /* the open block is full and cannot be submitted yet: ask after an event */
    WAL_ROOM_FULL,  /* the disk is full: answer STORAGE_FULL to commands */
};

struct wal;

/* Opens the log for appending after `end`, where a reader (wal/reader.h) of the same disk found its
 * end. Creates the first segment when there is none. Every new block has this epoch. 0 or -errno,
 * with a message. The caller owns disk and io, and closes them after the log. */
int wal_open(struct wal **wal, struct io *io, struct disk *disk, const struct wal_options *options,
             const struct wal_end *end, uint64_t epoch, char error[IO_ERROR_SIZE]);

/* May be called when no event is to come (wal_awaits_event), or the io is gone. */
void wal_close(struct wal *wal);

/* Is there room in the open block for size_bytes more in each of its columns? May submit the open
 * block to make room. */
enum wal_room wal_room(struct wal *wal, size_t size_bytes);

/* The ends of the open block's columns. After wal_room has said WAL_ROOM, the caller writes
 * commands there, and then calls wal_append with the new ends, the number of commands, and the
 * engine's digest after the last one. */
uint8_t *wal_ids(struct wal *wal);
uint8_t *wal_fields(struct wal *wal);
void wal_append(struct wal *wal, uint8_t *ids, uint8_t *fields, uint32_t command_count,
                uint64_t digest);

/* To be called before commands with this time are encoded. Makes it the block's time when the block
 * is empty, and returns 0; else returns how much later it is than the last command, which the
 * caller encodes. */
uint64_t wal_begin_time(struct wal *wal, uint64_t now_us);

/* Hands the open block to the disk, if it has commands and a write may start now. */
void wal_submit(struct wal *wal);

/* Blocks of another log: a replica's log takes whole blocks, byte for byte as the primary made
 * them, instead of commands. The open block is empty while it does; after a promotion
 * (wal_epoch_begin) commands are appended again. */

/* May wal_take be called with this block now? WAL_ROOM_LATER: ask again after an event. The block
 * is whole (wal_block_verify), of a known schema, and the next one: it names the checksum
 * wal_previous, its seq_first is wal_seq_next, and its epoch is not older than wal_epoch. To a log
 * without a block (wal_previous is 0) the first one may name any checksum, and has the seq that is
 * due or begins with it. */
enum wal_room wal_take_room(struct wal *wal, const struct wal_block *block);

/* Copies the block and hands it to the disk at once. After wal_take_room has said WAL_ROOM. */
void wal_take(struct wal *wal, const struct wal_block *block, const uint8_t *image);

/* What the next block continues: the checksum of the last one (0: there is none), the next seq, and
 * the epoch that the log is in. */
uint64_t wal_previous(const struct wal *wal);
uint64_t wal_seq_next(const struct wal *wal);
uint64_t wal_epoch(const struct wal *wal);

/* The next block is the first one of this epoch, which is newer than the log's. The open block is
 * empty. It is handed to the disk when the log note names the epoch. */
void wal_epoch_begin(struct wal *wal, uint64_t epoch);

/* From now on `durable` is called for each block of the chain, in order, when it has become
 * durable. wal_seq_durable counts it already. A seal of this log that became a part of it is told
 * before the block that is chained to it; so recovery keeps what was told, but for taken blocks
 * without commands at the very end. The image has block_size bytes, until the call returns; the log
 * must not be changed in the call. */
typedef void wal_durable(void *context, const struct wal_block *block, const uint8_t *image);
void wal_watch(struct wal *wal, wal_durable *durable, void *context);

/* What the log does on its own, once a turn of the loop: it seals itself when there is no open
 * block and nothing in flight, after WAL_SEAL_US without a change, or at once when is_stopping; and
 * it tries again what a full disk refused. */
void wal_turn(struct wal *wal, bool is_stopping);

/* How long until wal_turn may have something to do; UINT64_MAX: not before another call. */
uint64_t wal_wait_us(const struct wal *wal);

/* Handles an IO_WRITTEN, IO_PREPARED or IO_WORKED event of this log. 0, or -errno: fatal, because a
 * block or a segment could not be written. */
int wal_event(struct wal *wal, const struct io_event *event);

/* Blocks are numbered from 1 in the order in which they are opened. wal_block_open is the one being
 * filled: commands that are appended now become durable with it. Every block up to
 * wal_block_durable is durable. wal_block_last is the newest one with commands: a reply that may
 * show any change waits until this block is durable. */
uint64_t wal_block_open(const struct wal *wal);
uint64_t wal_block_last(const struct wal *wal);
uint64_t wal_block_durable(const struct wal *wal);
uint64_t wal_seq_durable(const struct wal *wal);

/* Nothing is being written, or waits to be written again; no segment is being prepared or released.
 * A release that waits for room does not count: nothing depends on it. */
bool wal_idle(const struct wal *wal);

/* Is an event of this log to come? */
bool wal_awaits_event(const struct wal *wal);

/* Has the disk refused a write for want of room, which is not durable yet? */
bool wal_is_refused(const struct wal *wal);

/* Was there no room on the disk for a segment or a write, when it was last tried? */
bool wal_is_full(const struct wal *wal);

/* The oldest closed segment that has seq or something after it. False: there is none yet. */
bool wal_closed_next(const struct wal *wal, uint64_t seq, struct wal_closed *closed);

/* How many closed segments there are, from that one on. */
uint32_t wal_closed_count(const struct wal *wal, uint64_t seq);

/* The oldest segment, and its first seq: the seq of the next block when there is none yet. */
uint32_t wal_segment_first(const struct wal *wal);
uint64_t wal_seq_first(const struct wal *wal);

/* The first seq of the oldest segment that can be kept, when at most size_bytes bytes of files may
 * be kept beside the one that is being written. */
uint64_t wal_seq_within(const struct wal *wal, uint64_t size_bytes);

/* Releases the segments that have no command from `seq` on: they are renamed to follow the newest
 * one and are used again, without being allocated or zeroed again. A segment with a command that is
 * not durable is kept, whatever `seq` is. This happens in another thread: returns how many segments
 * are being released, and wal_event reports the end. While a segment is being prepared, or others
 * are being released, it returns 0, and the release starts later. */
int wal_release(struct wal *wal, uint64_t seq);

/* Do the folder and the files that are being written to still have their names? 0; -ENOENT, with a
 * message, when one was removed or renamed: what is written to it since then may be lost; -ESTALE
 * when the whole folder was moved: nothing is lost. */
int wal_check(const struct wal *wal, char error[IO_ERROR_SIZE]);

/* Bytes of all blocks handed to the disk, headers and padding included. */
uint64_t wal_bytes_stored(const struct wal *wal);

/* Fills the metrics of the log's layer. */
void wal_metrics(const struct wal *wal, struct metrics *metrics);

#endif
