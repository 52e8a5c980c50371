/* The replica's side of fetching a snapshot, as a state machine without I/O: see net/link.h.
 *
 *   FETCH_RESTING    --fetch_turn-----------------------------> FETCH_CONNECTING
 *   FETCH_CONNECTING --fetch_connected------------------------> FETCH_GREETING
 *   FETCH_GREETING   --fetch_next, hello is answered----------> FETCH_ASKING
 *   FETCH_ASKING     --fetch_next, the answer came------------> FETCH_RECEIVING
 *   FETCH_RECEIVING  --fetch_next, the last byte came---------> FETCH_DONE
 *   any              --fetch_drop-----------------------------> FETCH_RESTING
 *
 * The owner writes the pieces to the partial file in their order; after a broken connection it goes
 * on where the partial file ends, if the sender still has that snapshot, else from the beginning of
 * a newer one. */
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
    FETCH_ANSWER, /* fetch->answer: which snapshot, from which offset on; seq 0: there is none */
    FETCH_PIECE,  /* fetch->piece_bytes of piece_size, for the file's offset piece_offset; valid
                     until the next call; WAL_ALIGN-aligned in memory, offset and size, but for the
                     file's last piece, which ends the file (images fill whole pages) */
    FETCH_WRONG,
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
    uint64_t retry_us;
    uint64_t rested_us;
    uint64_t heard_us;
    uint64_t begun_us; /* when the first byte came */
    uint64_t begun_offset;
    char error[LINK_ERROR_SIZE];

    /* Private. */
    uint8_t *room;
    uint32_t room_size;
    uint32_t raw_size;
};

bool fetch_init(struct fetch *fetch, uint64_t now_us);
void fetch_deinit(struct fetch *fetch);

/* The file's partial has so many bytes of the snapshot seq already (0: nothing is known). */
void fetch_resume(struct fetch *fetch, uint64_t seq, uint64_t checksum, uint64_t offset);

bool fetch_turn(struct fetch *fetch, uint64_t now_us);
uint64_t fetch_wait_us(const struct fetch *fetch, uint64_t now_us);
void fetch_connected(struct fetch *fetch, const struct link_self *self, uint64_t now_us);
void fetch_drop(struct fetch *fetch, uint64_t now_us);
enum fetch_event fetch_next(struct fetch *fetch, const struct link_self *self,
                            const uint8_t **bytes, size_t *size, uint64_t now_us);
bool fetch_is_silent(const struct fetch *fetch, uint64_t now_us);

#endif
