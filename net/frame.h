/* The frame: the unit of the wire protocol, in both directions.
 *
 *   offset size field
 *        0    4 size      of the whole frame, a multiple of 8, 24 to FRAME_SIZE_MAX
 *        4    2 type      message number; in a reply with bit 15 set
 *        6    2 outcome   of a reply (base/status.h); zero in a request
 *        8    4 request   chosen by the client, copied to the reply
 *       12    4 checksum  low half of XXH3-64 of the frame with this field zero, when the hello
 *                         agreed on it; else zero
 *       16    8 min_seq   of a request,
 *               age       of a reply: both only when the hello agreed on freshness
 *               body      engine/messages.h; at 16, or at 24 behind min_seq or age
 *
 * min_seq: this change must have happened before the request is handled; 0 asks for none. age:
 * microseconds since the state that the reply shows was the primary's last one; 0 on the primary.
 *
 * A reply whose outcome is OK or REPLAYED carries the message's reply body, NOT_PRIMARY the
 * redirect body, and any other outcome the rejection body. Replies come in the order of the
 * requests of a connection. */
#ifndef TILL_NET_FRAME_H
#define TILL_NET_FRAME_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

struct frame {
    uint32_t size;
    uint16_t type;
    uint16_t outcome;
    uint32_t request;
    uint32_t checksum;
};

static_assert(sizeof(struct frame) == FRAME_HEADER_SIZE && offsetof(struct frame, request) == 8,
              "wire layout");

#define FRAME_REPLY            0x8000u
#define FRAME_MAGIC            0x6370722d6c6c6974ULL /* "till-rpc" */
#define FRAME_FEATURE_CHECKSUM 1u
#define FRAME_FEATURE_OPERATOR 2u /* an operator's session: may use the reserve of keys */
#define FRAME_FEATURE_FRESH    4u /* requests carry min_seq, replies an age */
#define FRAME_FEATURES         7u /* all of them */
#define FRAME_IN_FLIGHT_MAX    4096u
#define TILL_PORT_DEFAULT      7411

/* What stands before the body when the hello agreed on freshness. */
struct frame_fresh {
    struct frame frame;
    union {
        uint64_t min_seq; /* of a request */
        uint64_t age_us;  /* of a reply */
    };
};

static_assert(sizeof(struct frame_fresh) == FRAME_HEAD_MAX, "wire layout");

#endif
