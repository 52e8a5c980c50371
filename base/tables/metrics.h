/* The metrics, one row each: included again wherever something follows from them. Whoever includes
 * this file defines METRIC; it is undefined at its end.
 *
 *   METRIC(number, layer, kind, unit, name, help)
 *
 *   number  of the wire; never used again, and at most METRIC_NUMBER_MAX
 *
 *   layer   engine: metric_of_<name>(engine) tells it, in any file of engine/. Of the others one
 *           function fills all: wal_metrics, writer_metrics (snapshot), archive_metrics; loop and
 *           connections are the server's (net/metrics.c)
 *
 *   kind    COUNTER: only grows, from the start of the server on, unless its help says otherwise.
 *           GAUGE: goes up and down
 *
 *   unit    COUNT: a number of things. BYTES. US: microseconds. SEQ: a position in the log.
 *           PERCENT. BOOL: 1 or 0
 *
 *   name    unique among all layers, and no field of stats_reply
 *
 * struct metrics, the names and numbers of `stats`, and the table of docs/operations.md follow. */
#ifndef METRIC
#define METRIC(number, layer, kind, unit, name, help)
#endif

METRIC(1, engine, GAUGE, COUNT, skus, "SKUs")
METRIC(2, engine, GAUGE, COUNT, stocks, "(SKU, warehouse) pairs")
METRIC(3, engine, GAUGE, COUNT, sales, "sales")
METRIC(4, engine, GAUGE, COUNT, customers, "customers")
METRIC(5, engine, GAUGE, COUNT, orders, "orders in memory, in all states")
METRIC(6, engine, GAUGE, COUNT, pending, "orders that are PENDING")
METRIC(7, engine, GAUGE, COUNT, confirmed, "orders that are CONFIRMED")
METRIC(8, engine, GAUGE, COUNT, expired, "orders that are EXPIRED")
METRIC(9, engine, GAUGE, COUNT, failed, "orders that are FAILED")
METRIC(10, engine, GAUGE, COUNT, cancelled, "orders that are CANCELLED")
METRIC(11, engine, GAUGE, COUNT, payments, "payment events in memory")
METRIC(12, engine, COUNTER, COUNT, parked,
       "payments ever parked for a person; kept across restarts")
METRIC(13, engine, GAUGE, COUNT, refund_orders, "orders with money to pay back")
METRIC(14, engine, GAUGE, COUNT, keys, "idempotency keys in memory")
METRIC(15, engine, GAUGE, COUNT, holds_due,
       "deadlines that have passed and that hold.expire has not reached, at the last decision")
METRIC(16, engine, COUNTER, COUNT, rejected, "commands and queries that the engine has rejected")

METRIC(17, wal, COUNTER, COUNT, wal_blocks, "blocks of the log handed to the disk")
METRIC(18, wal, COUNTER, COUNT, wal_commands, "commands in them")
METRIC(19, wal, COUNTER, BYTES, wal_bytes_raw, "size of those commands before compression")
METRIC(20, wal, COUNTER, BYTES, wal_bytes_stored,
       "size of those blocks in the file, headers and padding included")
METRIC(21, wal, COUNTER, US, wal_write_us_sum,
       "time from handing a block to the disk until it was durable, all blocks together")
METRIC(22, wal, GAUGE, US, wal_write_us_max, "the longest such time since the server started")
METRIC(23, wal, GAUGE, COUNT, wal_blocks_in_flight, "blocks handed to the disk, not durable yet")
METRIC(24, wal, GAUGE, SEQ, wal_seq_durable, "last change that is durable")
METRIC(25, wal, GAUGE, COUNT, wal_segments, "segment files, those prepared ahead included")
METRIC(26, wal, GAUGE, COUNT, wal_writes_refused,
       "writes that the disk had no room for, to be tried again")
METRIC(27, wal, GAUGE, BOOL, wal_full,
       "1 when the next segment could not be made ready or renamed; tried again every second")

METRIC(28, snapshot, COUNTER, COUNT, snapshots, "snapshots published")
METRIC(29, snapshot, COUNTER, COUNT, snapshot_failures, "snapshots given up")
METRIC(30, snapshot, GAUGE, SEQ, snapshot_seq, "last change in the newest snapshot; 0: none")
METRIC(31, snapshot, GAUGE, SEQ, snapshot_seq_before,
       "last change in the snapshot before it, which is kept too; 0: none")
METRIC(32, snapshot, GAUGE, SEQ, snapshot_seq_begun,
       "last change in the snapshot begun last; 0: none since the server started")
METRIC(33, snapshot, GAUGE, BYTES, snapshot_bytes, "size of the snapshot published last")
METRIC(34, snapshot, GAUGE, US, snapshot_slice_us_max,
       "the longest time that the loop packed a chunk of a snapshot")
METRIC(35, snapshot, GAUGE, COUNT, snapshot_undo_max,
       "the most old states of records that were kept at once for a snapshot under way")
METRIC(36, snapshot, GAUGE, PERCENT, snapshot_undo_percent,
       "how much of the memory for old states is in use")

METRIC(37, archive, GAUGE, SEQ, archive_seq, "every change up to it is archived")
METRIC(38, archive, COUNTER, COUNT, archive_segments, "segments archived")
METRIC(39, archive, COUNTER, COUNT, archive_removed,
       "segments removed from the archive, by its limits or for want of room")
METRIC(40, archive, COUNTER, COUNT, archive_notices, "notices about the archive")

METRIC(41, loop, COUNTER, COUNT, loop_turns, "turns of the loop")
METRIC(42, loop, COUNTER, COUNT, loop_events, "I/O events handled")
METRIC(43, loop, COUNTER, US, loop_busy_us, "time in turns, without the waiting for events")
METRIC(44, loop, GAUGE, US, loop_turn_us_max, "the longest turn since the server started")
METRIC(45, loop, COUNTER, COUNT, batches, "batches of commands and queries decided")
METRIC(46, loop, GAUGE, BOOL, stalled, "1 while nothing is decided: the log has no room yet")
METRIC(47, loop, COUNTER, COUNT, notices, "notices given since the log was read at the start")
METRIC(48, loop, COUNTER, COUNT, clock_jumps, "jumps of the wall clock, which were not followed")

METRIC(49, connections, GAUGE, COUNT, connections, "connections, those being closed included")
METRIC(50, connections, GAUGE, COUNT, connections_closing, "connections being closed")
METRIC(51, connections, GAUGE, COUNT, connections_max, "the most connections at the same time")
METRIC(52, connections, COUNTER, COUNT, connections_accepted, "connections accepted")
METRIC(53, connections, COUNTER, COUNT, connections_refused,
       "connections closed at once: all places were taken, or the server was stopping")
METRIC(54, connections, COUNTER, COUNT, connections_silent,
       "connections closed because no hello came in time")
METRIC(55, connections, COUNTER, COUNT, connections_stuck,
       "connections closed because they did not read their replies")
METRIC(56, connections, COUNTER, COUNT, protocol_errors,
       "connections closed because of a frame against the protocol")
METRIC(57, connections, COUNTER, BYTES, received_bytes, "bytes received")
METRIC(58, connections, COUNTER, BYTES, sent_bytes, "bytes sent")
METRIC(59, connections, GAUGE, COUNT, output_chunks, "chunks of memory that hold replies")
METRIC(60, connections, GAUGE, COUNT, sessions_waiting,
       "connections whose requests wait for their turn")
METRIC(61, connections, GAUGE, COUNT, sessions_starved,
       "connections whose requests wait for a chunk to write replies to")
METRIC(62, engine, GAUGE, COUNT, orders_closed, "orders that are closed, with nothing due")
METRIC(63, engine, COUNTER, COUNT, orders_forgotten,
       "closed orders that have left memory; kept across restarts")

#undef METRIC
