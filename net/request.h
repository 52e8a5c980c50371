/* A request on its way from the bytes that were received to where it is handled: its parts, in
 * place. */
#ifndef TILL_NET_REQUEST_H
#define TILL_NET_REQUEST_H

#include <stdint.h>

#include "net/frame.h"

struct request {
    const struct frame *frame; /* its size is that of what was received */
    const void *body;          /* aligned to FRAME_ALIGN */
    uint32_t size;             /* of the body, rows included */
    uint64_t min_seq;          /* 0: none is asked for */
};

#endif
