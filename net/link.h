/* Replication between two servers: what stands on their connection, and both sides of it as state
 * machines that do no I/O. Bytes and time go in, bytes and decisions come out; the sockets and
 * files are net/replicas.c's, on the side that sends, and net/following.c's, on the side that
 * receives.
 *
 * The replica connects to the client port, says hello, and sends replica.join; from the answer on
 * the connection is a link. It carries, towards the replica, frames replica.block, each followed by
 * one block of the log as it is on the sender's disk, and replica.beat, and towards the sender
 * replica.ack. A snapshot has a connection of its own, which begins with replica.fetch; frames
 * replica.piece follow. */
#ifndef TILL_NET_LINK_H
#define TILL_NET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/limits.h"
#include "engine/engine.h"
#include "engine/messages.h"
#include "net/frame.h"
#include "wal/block.h"

enum {
    LINK_BEAT_US = 100 * 1000,       /* a sender says at least so often that it is there, */
    LINK_SILENCE_US = 3 * 1000000,   /* and a link without a byte for so long is dropped */
    LINK_RETRY_US_MIN = 50 * 1000,   /* before connecting again, doubled each time */
    LINK_RETRY_US_MAX = 2 * 1000000, /* up to this */
    LINK_BLOCK_GAP = sizeof(struct frame) + sizeof(struct replica_block_body),
    LINK_PIECE_GAP = sizeof(struct frame) + sizeof(struct replica_piece_body),
    LINK_PIECE_MAX = 256 * 1024,
    LINK_OUT_SIZE = 2 * WAL_BLOCK_SIZE_MAX + 16 * 1024, /* a link's send buffer */
    LINK_ERROR_SIZE = 256,
};

static_assert(LINK_OUT_SIZE >= 2 * (WAL_BLOCK_SIZE_MAX + LINK_BLOCK_GAP), "takes any block");

/* What a server has, as a join tells it and judges it. */
struct link_self {
    struct id shop; /* zero: the folder is empty and takes the other's */
    struct id member;
    struct name name;
    struct text address; /* where clients connect */
    struct text primary; /* where commands are taken; empty: here, or not known */
    uint64_t epoch;      /* of the last durable block; 0: none */
    uint64_t epoch_sealed;
    uint64_t seq;          /* of the last durable change */
    uint64_t checksum;     /* of the last durable block; 0: none */
    uint64_t time_us;      /* the primary's clock, as far as it is known here */
    uint64_t snapshot_seq; /* of the newest published snapshot; 0: none */
    uint32_t acks;
    uint32_t members;
    const struct engine *engine; /* its history of epochs, and its capacities */
};

/* Appends a frame with a body to bytes; returns its size. */
uint32_t link_frame(uint8_t *bytes, unsigned number, const void *body, uint32_t size);

/* Writes the frame of a block into the LINK_BLOCK_GAP bytes before it, of a piece before it. */
void link_block_frame(uint8_t *gap, uint32_t block_size);
void link_piece_frame(uint8_t *gap, uint32_t piece_size, uint64_t offset);

/* The sender's side.
 *
 *   SUPPLIER_JOINING   --supplier_stream, the place in the log was found--> SUPPLIER_STREAMING
 *   SUPPLIER_JOINING   --supplier_refuse, another answer than STREAM-----> SUPPLIER_LEAVING
 *   SUPPLIER_STREAMING --supplier_lost, the place is no longer kept-------> SUPPLIER_LEAVING
 *   any                --supplier_receive, the protocol is broken---------> SUPPLIER_LEAVING
 *
 * A link that is LEAVING is closed when its bytes are sent: the replica joins again, and is told
 * what to do then. */
enum supplier_state { SUPPLIER_JOINING, SUPPLIER_STREAMING, SUPPLIER_LEAVING };

struct supplier {
    enum supplier_state state;
    uint32_t request; /* of the join, for its answer */
    struct id member;
    struct name name;
    struct text address;
    uint64_t epoch_sealed;  /* as the join and each ack say */
    uint64_t seq_sent;      /* the place in the log behind which is sent next: the last change, */
    uint64_t checksum_sent; /* and the checksum of the last block */
    uint64_t epoch_sent;    /* and its epoch */
    uint64_t seq_durable;   /* there */
    uint64_t seq_applied;
    uint64_t caught_up_us;       /* io time when it last had all that was durable here */
    uint64_t heard_us;           /* when a byte came last */
    uint64_t beat_us;            /* when the last beat was made */
    bool is_diverged;            /* it said so */
    char error[LINK_ERROR_SIZE]; /* why it is LEAVING */
};

/* What to answer to a join, but for the place in the log: STREAM means that the log has to be
 * looked for (seq, checksum). Fills reply, but for STREAM's and SNAPSHOT's details that only the
 * log knows. *fences: the replica has seen a newer epoch than self's, so self must stop deciding.
 */
unsigned supplier_judge(const struct link_self *self, const struct replica_join_body *join,
                        const struct capacity_body *capacities,
                        struct replica_join_reply_body *reply, bool *fences);

void supplier_init(struct supplier *supplier, const struct replica_join_body *join,
                   uint32_t request, uint64_t now_us);

/* The answer to the join, as bytes to be sent first; returns their number. STREAM makes it
 * STREAMING, all others LEAVING. */
uint32_t supplier_answer(struct supplier *supplier, const struct replica_join_reply_body *reply,
                         uint8_t *bytes);

/* Frames the blocks that were read from the ring or the log into bytes, each behind LINK_BLOCK_GAP
 * free bytes, and moves the place behind them. The owner has checked nothing: a block that does not
 * continue the place is a bug (asserted). */
void supplier_frame(struct supplier *supplier, uint8_t *bytes, size_t size);

/* A beat, when one is due; returns its bytes, 0: none. */
uint32_t supplier_beat(struct supplier *supplier, const struct link_self *self, uint64_t now_us,
                       uint8_t *bytes);
uint64_t supplier_wait_us(const struct supplier *supplier, uint64_t now_us);

/* Takes one frame that came on the link (an ack). False: the link is to be closed, error says why.
 */
bool supplier_receive(struct supplier *supplier, const struct frame *frame, uint64_t now_us);

/* Has nothing come for too long? */
bool supplier_is_silent(const struct supplier *supplier, uint64_t now_us);

/* The receiver's side.
 *
 *   FOLLOWER_RESTING    --follower_turn, it is time to connect------> FOLLOWER_CONNECTING
 *   FOLLOWER_CONNECTING --follower_connected------------------------> FOLLOWER_GREETING
 *   FOLLOWER_GREETING   --follower_next, hello is answered----------> FOLLOWER_JOINING
 *   FOLLOWER_JOINING    --follower_next, the answer is STREAM-------> FOLLOWER_STREAMING
 *   FOLLOWER_JOINING    --follower_next, any other answer-----------> FOLLOWER_RESTING
 *   any but RESTING     --follower_drop, closed, silent or wrong----> FOLLOWER_RESTING */
enum follower_state {
    FOLLOWER_RESTING,
    FOLLOWER_CONNECTING,
    FOLLOWER_GREETING,
    FOLLOWER_JOINING,
    FOLLOWER_STREAMING,
};

/* What follower_next has found in the bytes that came. */
enum follower_event {
    FOLLOWER_NOTHING, /* all bytes are used up */
    FOLLOWER_SEND,    /* follower->out has out_size bytes to be sent, now */
    FOLLOWER_ANSWER,  /* follower->answer, of STREAM, SNAPSHOT, FORK or REFUSED */
    FOLLOWER_BLOCK,   /* follower->block_bytes, aligned to WAL_ALIGN, valid until the next call;
                         its header and checksum are right: follower->block */
    FOLLOWER_BEAT,    /* follower->beat */
    FOLLOWER_WRONG,   /* follower->error: drop the connection */
};

struct follower {
    enum follower_state state;
    struct replica_join_reply_body answer;
    struct replica_beat_body beat;
    struct wal_block block;
    const uint8_t *block_bytes;
    uint8_t *out; /* for frames to be sent: follower_ack and the beginning of the connection */
    uint32_t out_size;
    uint64_t retry_us;       /* pause before the next try */
    uint64_t rested_us;      /* since when it rests */
    uint64_t heard_us;       /* when a byte came last */
    uint64_t received_bytes; /* of blocks, since it began to follow */
    char error[LINK_ERROR_SIZE];

    /* Private. */
    uint8_t *room; /* one frame, or one block */
    uint32_t room_size;
    uint32_t block_size; /* of the block that is being received; 0: a frame is */
};

/* False when there is no memory. */
bool follower_init(struct follower *follower, uint64_t now_us);
void follower_deinit(struct follower *follower);

/* True when the owner shall connect now: CONNECTING begins. */
bool follower_turn(struct follower *follower, uint64_t now_us);
uint64_t follower_wait_us(const struct follower *follower, uint64_t now_us);

/* The connection is there: GREETING; follower->out is the hello. */
void follower_connected(struct follower *follower, const struct link_self *self, uint64_t now_us);

/* The connection has failed or was closed, or the owner closes it: RESTING. soon: the next try need
 * not wait (after a FORK, or once a snapshot is there). */
void follower_drop(struct follower *follower, uint64_t now_us, bool soon);

/* Takes from the bytes that came: moves *bytes and *size on. Call it until FOLLOWER_NOTHING. self
 * is what the join says when hello has been answered. */
enum follower_event follower_next(struct follower *follower, const struct link_self *self,
                                  const uint8_t **bytes, size_t *size, uint64_t now_us);

/* An ack into follower->out; out_size bytes to be sent. */
void follower_ack(struct follower *follower, const struct replica_ack_body *ack);

/* Has nothing come for too long, or does connecting take too long? */
bool follower_is_silent(const struct follower *follower, uint64_t now_us);

#endif
