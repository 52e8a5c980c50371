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
#include "net/link_reader.h"
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
};

static_assert(LINK_OUT_SIZE >= 2 * (WAL_BLOCK_SIZE_MAX + LINK_BLOCK_GAP), "takes any block");
static_assert(LINK_SILENCE_US >= 10 * LINK_BEAT_US, "some beats may be late");
static_assert(LINK_PIECE_MAX % WAL_ALIGN == 0, "pieces are aligned in the file");

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
    bool ends_empty;       /* that block has no change */
    uint64_t age_us;       /* microseconds since this state was the primary's last one */
    uint64_t snapshot_seq; /* of the newest published snapshot; 0: none */
    uint32_t acks;
    uint32_t members;
    const struct engine *engine; /* its history of epochs, and its capacities */
};

/* Writes a frame with a body to bytes; returns its size. A request is answered by its number. */
uint32_t link_frame(uint8_t *bytes, unsigned number, const void *body, uint32_t size);
uint32_t link_request(uint8_t *bytes, unsigned number, uint32_t request, const void *body,
                      uint32_t size);

/* Writes the frame of a block into the LINK_BLOCK_GAP bytes before it, and that of a piece into the
 * LINK_PIECE_GAP bytes before it. */
void link_block_frame(uint8_t *gap, uint32_t block_size);
void link_piece_frame(uint8_t *gap, uint32_t piece_size, uint64_t offset);

/* The beginning of a connection to another server: writes the hello to bytes, and returns its size;
 * is what came the answer to it, of a server that may be followed? */
uint32_t link_hello(uint8_t *bytes, const struct link_self *self);
bool link_is_greeted(const struct frame *frame, const struct link_self *self,
                     char error[LINK_ERROR_SIZE]);

/* The numbers of the requests of such a connection. */
enum { LINK_REQUEST_HELLO = 1, LINK_REQUEST_NEXT = 2 };

/* The pause before the next try to connect, after one that followed this pause and failed. */
static inline uint64_t link_retry_us(uint64_t retry_us)
{
    if (retry_us < LINK_RETRY_US_MIN)
        return LINK_RETRY_US_MIN;
    return retry_us < LINK_RETRY_US_MAX / 2 ? 2 * retry_us : LINK_RETRY_US_MAX;
}

/* How much is left of a time that began then. */
static inline uint64_t link_left_us(uint64_t begun_us, uint64_t length_us, uint64_t now_us)
{
    uint64_t passed_us = now_us > begun_us ? now_us - begun_us : 0;
    return passed_us < length_us ? length_us - passed_us : 0;
}

/* Does the block continue a place in the log: the last change, the checksum of the last block and
 * its epoch? A state that came from a snapshot knows no checksum (0) and may end within a block:
 * then the first one is that which has the next change, though it may begin before it. */
bool link_block_follows(uint64_t seq, uint64_t checksum, uint64_t epoch,
                        const struct wal_block *block);

/* The newest epoch that is known here: that of the log, or the one that was sealed. */
uint64_t link_epoch(const struct link_self *self);

/* Where one epoch of a history ends. */
struct link_epoch_end {
    uint64_t epoch;
    uint64_t seq; /* its last change */
    bool is_last; /* no newer epoch follows: seq is the log's last change */
};

/* Of the history of a log whose last change is own_seq: the newest epoch up to `epoch`, which is 1
 * at least. What the engine has behind own_seq is not durable yet, and does not count. */
struct link_epoch_end link_epoch_up_to(const struct engine *engine, uint64_t own_seq,
                                       uint64_t epoch);

/* The change that a replica goes back to when its join was answered FORK: below self->seq, or 0 for
 * a new beginning, or self->seq itself to give up the blocks without a change behind it. Whatever
 * else it is gives up nothing: the answer is wrong. net/link.c shows that joining again and again
 * ends. */
uint64_t link_fork_seq(const struct link_self *self, const struct replica_join_reply_body *answer);

/* The sender's side.
 *
 *   (a join came)      --supplier_init------------------------------------> JOINING
 *   JOINING            --supplier_answer, STREAM: the place was found-------> STREAMING
 *   JOINING            --supplier_answer, any other answer------------------> LEAVING
 *   STREAMING          --supplier_lost, the place is no longer kept---------> LEAVING
 *   JOINING, STREAMING --supplier_receive, the protocol is broken-----------> LEAVING
 *
 * A link that is LEAVING is closed when its bytes are sent: the replica joins again, and is told
 * what to do then. What a replica has counts while its link is STREAMING: only then its last block
 * was found in the log here. supplier_check (net/supplier.c) asserts the drawing at each
 * transition. */
enum supplier_state { SUPPLIER_JOINING, SUPPLIER_STREAMING, SUPPLIER_LEAVING };

struct supplier {
    enum supplier_state state;
    uint32_t request; /* of the join, for its answer */
    struct id member;
    struct name name;
    struct text address;
    uint64_t epoch_joined;  /* of its last block, as the join says: not proven */
    uint64_t epoch_sealed;  /* as the join and each ack say */
    uint64_t seq_sent;      /* the place in the log behind which is sent next: the last change, */
    uint64_t checksum_sent; /* and the checksum of the last block */
    uint64_t epoch_sent;    /* and its epoch; 0: nothing was sent, and the join's is not believed */
    uint64_t seq_durable;   /* there */
    uint64_t seq_applied;
    uint64_t caught_up_us;       /* all that was durable here at this io time is durable there */
    uint64_t heard_us;           /* when a byte came last */
    uint64_t beat_us;            /* when the last beat was made; 0: none yet */
    bool beat_is_primary;        /* it said that the sender is a primary that decides */
    bool is_diverged;            /* it said so */
    char error[LINK_ERROR_SIZE]; /* why it is LEAVING */

    /* Private: what was durable here at a time, until it is durable there. */
    uint64_t mark_seq;
    uint64_t mark_us; /* 0: no mark is set */
};

/* What to answer to a join, but for the place in the log: STREAM means that the log has to be
 * searched for (seq, checksum). Then the answer may become SNAPSHOT when that place is no longer
 * kept. When the block there has another checksum, it becomes REFUSED while the place is of the
 * last epoch here, and else FORK with fork_epoch 0 and fork_seq 0: the replica begins anew. Fills
 * reply, and returns reply->answer. `capacities` has the join->capacity_count rows of the join,
 * which passed message_check_request.
 *
 * *fences: the replica has seen an epoch that self has neither in its log nor sealed, so self must
 * stop deciding. The table of decisions is in net/supplier.c. */
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

/* The place is no longer kept here. */
void supplier_lost(struct supplier *supplier);

/* Does a primary send it that decides, as far as it knows? */
static inline bool link_beat_is_primary(const struct replica_beat_body *beat)
{
    return beat->age == 0 && beat->primary.bytes[0] == '\0';
}

/* A beat, when one is due, of at most LINK_BEAT_SIZE bytes; returns their number, 0: none. Keeps
 * account of caught_up_us, so it is called in every turn and not only when a beat is due. */
enum { LINK_BEAT_SIZE = sizeof(struct frame) + sizeof(struct replica_beat_body) };
uint32_t supplier_beat(struct supplier *supplier, const struct link_self *self, uint64_t now_us,
                       uint8_t *bytes);

/* Microseconds until the next beat is due or the link is silent; UINT64_MAX: neither comes. */
uint64_t supplier_wait_us(const struct supplier *supplier, uint64_t now_us);

/* Takes one whole frame that came on the link, aligned to FRAME_ALIGN: an ack. A link has no
 * checksums of frames: one that has is refused. False: the link is to be closed, error says why.
 * The owner looks at epoch_sealed afterwards: a newer one than its own fences it. */
bool supplier_receive(struct supplier *supplier, const struct frame *frame, uint64_t now_us);

/* Has nothing come for too long? Not while the answer to the join is this side's to give. */
bool supplier_is_silent(const struct supplier *supplier, uint64_t now_us);

/* The receiver's side.
 *
 *   RESTING         --follower_turn, it is time to connect------> CONNECTING
 *   CONNECTING      --follower_connected------------------------> GREETING
 *   GREETING        --follower_next, hello is answered----------> JOINING
 *   JOINING         --follower_next, the answer is STREAM-------> STREAMING
 *   JOINING         --follower_next, any other answer-----------> RESTING
 *   any but RESTING --follower_drop, closed, silent or wrong----> RESTING
 *
 * follower_check (net/follower.c) asserts the drawing at each transition. Nothing that the other
 * server sends is believed before it is checked. */
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
    FOLLOWER_BLOCK,   /* follower->block_bytes, aligned to WAL_ALIGN, valid until the next call.
                         Its header, checksum and padding are right, and it continues the place of
                         the join and the blocks since: follower->block */
    FOLLOWER_BEAT,    /* follower->beat; the owner answers it with an ack, so that neither side is
                         silent when nothing is sold */
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
    uint64_t retry_us;           /* pause before the next try; 0: none */
    uint64_t rested_us;          /* since when it rests */
    uint64_t heard_us;           /* when a byte came last */
    uint64_t received_bytes;     /* of blocks, since it began to follow */
    char error[LINK_ERROR_SIZE]; /* about the other server, which it calls "it" */

    /* Private. */
    struct link_reader reader;
    uint64_t seq_came;      /* the place behind which the next block is expected: the join's, or */
    uint64_t checksum_came; /* the last block's; checksum 0 behind a change: not known */
    uint64_t epoch_came;
    uint64_t epoch_theirs; /* the newest that the sender has told of */
    bool is_wrong;         /* until the connection is dropped */
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
 * not wait (after a FORK, or once a snapshot is there), also when it rests already. */
void follower_drop(struct follower *follower, uint64_t now_us, bool soon);

/* Takes from the bytes that came: moves *bytes and *size on. Call it until FOLLOWER_NOTHING. self
 * is what the join says when hello has been answered, and what answers are held against. At rest,
 * what a connection that is being closed still brings is passed over. */
enum follower_event follower_next(struct follower *follower, const struct link_self *self,
                                  const uint8_t **bytes, size_t *size, uint64_t now_us);

/* An ack into follower->out; out_size bytes to be sent before the next call that writes there. Of
 * changes that are here from an earlier connection it tells none that have not come on this one as
 * well: the sender takes no ack of what it has not sent. */
void follower_ack(struct follower *follower, const struct replica_ack_body *ack);

/* Has nothing come for too long, or does connecting take too long? */
bool follower_is_silent(const struct follower *follower, uint64_t now_us);

#endif
