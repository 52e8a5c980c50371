/* Bodies as other schemas lay them out.
 *
 * A shape grows at its end, or where reserved bytes were: a body of schema s is the beginning of
 * today's, and each of its rows the beginning of one of today's. Which schema a request is of
 * follows from its size and its count of rows: the sizes of body and rows never fall from one
 * schema to the next, so no two schemas whose layouts differ have the same size for one count.
 * Clients need not say it, and a request of today's size is looked at once, as ever. */
#ifndef TILL_ENGINE_LAYOUT_H
#define TILL_ENGINE_LAYOUT_H

#include "base/checksum.h"
#include "engine/messages.h"

/* Bytes of a body, or of a row, of that schema. */
uint32_t layout_shape_size(const struct shape_info *shape, unsigned schema);

/* Lays a request of an older schema out as today's, in room for the largest request of the message:
 * what it lacks is zero. Returns the bytes of it; 0 when it is of no older schema. */
uint32_t layout_widen(const struct message_info *message, const void *body, size_t size,
                      void *room);

/* The reply's body as today's shapes have it: in place when it is one, else in room for
 * FRAME_SIZE_MAX bytes, where a reply of an older schema has zeros in what it lacks, and one of a
 * newer schema lacks what this till does not know. NULL when it cannot be a reply to the message
 * with that outcome. */
const void *layout_reply(const struct message_info *message, unsigned outcome, const void *body,
                         uint32_t *size, void *room);

/* A checksum of a request that does not depend on the schema of who sent it: it is taken over the
 * request as the oldest schema that has all of its content lays it out. So a command that is sent
 * again after one side was renewed is still the same. */
uint64_t layout_fingerprint(const struct message_info *message, const void *body, size_t size,
                            uint64_t seed);

static inline uint64_t request_fingerprint(const struct message_info *message, const void *body,
                                           size_t size, uint64_t seed)
{
    if (message->has_grown)
        return layout_fingerprint(message, body, size, seed);
    return checksum64_seeded(body, size, seed);
}

#endif
