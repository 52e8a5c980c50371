/* Every limit of till, named in one place, with the relations between them asserted.
 *
 * Capacities that an operator may want to change are options of `till serve` (engine/engine.h); the
 * limits here are fixed by the formats or by the structure of the code. */
#ifndef TILL_BASE_LIMITS_H
#define TILL_BASE_LIMITS_H

#include <assert.h>

/* Frames, see docs/protocol.md. */
#define FRAME_SIZE_MAX    8192 /* bytes, header included, requests and replies alike */
#define FRAME_HEADER_SIZE 16
#define FRAME_HEAD_MAX    24 /* with what a hello may agree on behind the header */
#define FRAME_ALIGN       8  /* every frame's size is a multiple of this */
#define PROTOCOL_VERSION  1

/* Messages: rows of each repeated group. */
#define ORDER_LINES_MAX      32
#define ORDER_PIECES_MAX     64 /* (line, warehouse) allocations of one order */
#define STOCK_ITEMS_MAX      64
#define SALE_POOLS_MAX       64
#define HISTORY_ROWS_MAX     64
#define CONCERNED_ORDERS_MAX 32
#define TABLES_MAX           64  /* capacities */
#define REPLICAS_MAX         16  /* that follow one server */
#define METRIC_NUMBER_MAX    448 /* metrics: one reply has all of them */
#define NAME_SIZE            32  /* bytes of a SKU's name, zero-padded */

/* Decisions. */
#define BATCH_COMMANDS_MAX 64 /* commands handed to the engine at once */

/* Values. Money and points are signed 64-bit; these bounds leave every product and sum that the
 * engine forms inside 63 bits: 32 lines x 2^32 pieces x price stays below 2^63 only if checked,
 * so additions are checked as well; the bounds give the early, clear error. */
#define PRICE_MAX          1000000000000000LL /* 10^15 minor units */
#define POINTS_MAX         1000000000000000LL
#define QUANTITY_MAX       1000000000000LL       /* stock of one (SKU, warehouse), */
#define STOCK_TOTAL_MAX    1000000000000000000LL /* and of all together */
#define CURRENCY_MAX       999                   /* ISO 4217 numbers have three digits */
#define POINTS_SHARE_WHOLE 10000                 /* parts of the total that a share counts in */
#define TOTAL_MAX          (1LL << 62)           /* of an order, in minor units */

/* Time, in microseconds unless the name says otherwise. */
#define US_PER_SECOND        1000000ULL
#define TIME_US_MAX          (1ULL << 62)
#define HOLD_DEFAULT_S       (15 * 60)
#define HOLD_MAX_S           (7 * 24 * 3600)
#define TICK_US              US_PER_SECOND /* a hold outlives its deadline by at most this */
#define KEY_RETENTION_US     (24ULL * 3600 * US_PER_SECOND)
#define POINTS_GRACE_US      (24ULL * 3600 * US_PER_SECOND)     /* after a late return, */
#define POINTS_GRACE_MAX_US  (7ULL * 24 * 3600 * US_PER_SECOND) /* at most, after their expiry */
#define HOLDS_PER_EXPIRE_MAX 4096 /* holds that one hold.expire may end */
#define RETAIN_ORDERS_US     (30ULL * 24 * 3600 * US_PER_SECOND) /* closed, unless told otherwise */
#define RETAIN_LEDGER_US     (30ULL * 24 * 3600 * US_PER_SECOND)
#define RETAIN_MAX_S         (100U * 365 * 24 * 3600) /* anything, when told otherwise */
#define FORGET_RECORDS_MAX   4096                     /* records that one memory.forget may free */

/* How the log's time follows the machine's clocks, see net/clock.h. */
#define CLOCK_SLEW     20                   /* at most one part in so many faster or slower */
#define CLOCK_BOUND_US (10 * US_PER_SECOND) /* a wall clock further away than this has jumped */
#define CLOCK_SILENCE_US                                                                           \
    (24ULL * 3600 * US_PER_SECOND)           /* longest gap at a start with no other evidence */
#define CLOCK_NOTE_US  (300 * US_PER_SECOND) /* between two notes of it in the data folder, */
#define CLOCK_DRIFT_US US_PER_SECOND         /* or when the last one is off by so much */
#define CLOCK_JUMP_US  (60 * US_PER_SECOND)  /* a smaller jump at a start counts as time kept */

/* The log, see wal/block.h. */
#define WAL_ALIGN          4096
#define WAL_BLOCK_SIZE_MAX (256 * 1024) /* stored bytes of one block, header included */
#define WAL_SEGMENT_SIZE   (64ULL * 1024 * 1024)
#define WAL_WRITES_MAX     8         /* blocks in flight to the disk, */
#define WAL_WRITES_DEFAULT 2         /* unless told otherwise */
#define WAL_SEAL_US        10000ULL  /* the log is sealed after so long without a change */
#define WAL_NOTE_US        100000ULL /* between two notes of what is durable, while it changes */

/* Connections. */
#define CONNECTIONS_MAX 65536

static_assert(FRAME_SIZE_MAX % FRAME_ALIGN == 0, "frames are aligned");
static_assert(WAL_BLOCK_SIZE_MAX % WAL_ALIGN == 0, "blocks are aligned");
static_assert(WAL_SEGMENT_SIZE % WAL_BLOCK_SIZE_MAX == 0, "a segment holds whole blocks");
static_assert(ORDER_PIECES_MAX >= ORDER_LINES_MAX, "each line may have one warehouse at least");

#endif
