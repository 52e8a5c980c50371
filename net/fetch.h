/* The replica's side of fetching a snapshot, as a state machine without I/O: see net/link.h.
 *
 *   RESTING         --fetch_turn, it is time to connect----------> CONNECTING
 *   CONNECTING      --fetch_connected----------------------------> GREETING
 *   GREETING        --fetch_next, hello is answered--------------> ASKING
 *   ASKING          --fetch_next, there is a snapshot------------> RECEIVING
 *   ASKING          --fetch_next, all of it is here already------> DONE
 *   RECEIVING       --fetch_next, the last byte came-------------> DONE
 *   any but RESTING --fetch_drop---------------------------------> RESTING
 *
 * fetch_check (net/fetch.c) asserts the drawing at each transition. When there is no snapshot it
 * stays ASKING until it is dropped.
 *
 * The owner writes the pieces to the partial file in their order; after a broken connection it goes
 * on where the partial file ends, if the sender still has that snapshot, else from the beginning of
 * a newer one. What the pieces contain is for the owner to check. */
#ifndef TILL_NET_FETCH_H
#define TILL_NET_FETCH_H

#include "net/link.h"

enum fetch_state {
    FETCH_RESTING,
    FETCH_CONNECTING,
    FETCH_GREETING,
    FETCH_ASKING,
    FETCH_RECEIVING,
    FETCH_DONE,
};

enum fetch_event {
    FETCH_NOTHING,
    FETCH_SEND,   /* fetch->out */
    FETCH_ANSWER, /* fetch->answer: which snapshot, from which offset on; seq 0: there is none.
                     Offset 0: what was there before is of no use */
    FETCH_PIECE,  /* fetch->piece_bytes of piece_size, for the file's offset piece_offset; valid
                     until the next call; aligned to WAL_ALIGN in memory, in offset and in size
                     (images fill whole pages) */
    FETCH_WRONG,  /* fetch->error: drop the connection */
};

struct fetch {
    enum fetch_state state;
    uint64_t seq;      /* of the snapshot that is wanted; 0: the newest */
    uint64_t offset;   /* bytes that are there */
    uint64_t checksum; /* of its header */
    uint64_t size;     /* of the whole file; 0: not known yet */
    struct replica_fetch_reply_body answer;
    const uint8_t *piece_bytes;
    uint32_t piece_size;
    uint64_t piece_offset;
    uint8_t *out;
    uint32_t out_size;
    uint64_t retry_us;     /* pause before the next try; 0: none */
    uint64_t rested_us;    /* since when it rests */
    uint64_t heard_us;     /* when a byte came last */
    uint64_t begun_us;     /* when the answer came, and the offset from which on bytes have come */
    uint64_t begun_offset; /* since then: for the rate */
    char error[LINK_ERROR_SIZE]; /* about the other server, which it calls "it" */

    /* Private. */
    struct link_reader reader;
    bool is_wrong; /* until the connection is dropped */
};

/* False when there is no memory. */
bool fetch_init(struct fetch *fetch, uint64_t now_us);
void fetch_deinit(struct fetch *fetch);

/* The partial file has so many bytes of the snapshot seq already (0: nothing is known). At rest. */
void fetch_resume(struct fetch *fetch, uint64_t seq, uint64_t checksum, uint64_t offset);

/* The calls are used as those of struct follower. A fetch that is DONE is turned to no more; it is
 * dropped before the next one. */
bool fetch_turn(struct fetch *fetch, uint64_t now_us);
uint64_t fetch_wait_us(const struct fetch *fetch, uint64_t now_us);
void fetch_connected(struct fetch *fetch, const struct link_self *self, uint64_t now_us);
void fetch_drop(struct fetch *fetch, uint64_t now_us);

/* What came is of no use, or could not be kept: the next try, after the longest pause, is for the
 * newest snapshot from its beginning. At rest. */
void fetch_begin_anew(struct fetch *fetch);
enum fetch_event fetch_next(struct fetch *fetch, const struct link_self *self,
                            const uint8_t **bytes, size_t *size, uint64_t now_us);
bool fetch_is_silent(const struct fetch *fetch, uint64_t now_us);

#endif
