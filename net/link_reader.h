/* Takes apart what another server sends on a connection of net/link.h: frames, each followed by raw
 * bytes or not, which arrive in pieces of any size. All of it is untrusted.
 *
 *   link_reader_next --> LINK_MORE   all bytes are used up
 *                    --> LINK_FRAME  a whole frame; if raw bytes follow it, say so with
 *                                    link_reader_expect before the next call
 *                    --> LINK_BYTES  all of these
 *                    --> LINK_WRONG  what comes is no frame; nothing more can be read
 *
 * Frames and raw bytes are put together in one room, each byte with one copy, so that raw bytes are
 * aligned as the disk wants them. */
#ifndef TILL_NET_LINK_READER_H
#define TILL_NET_LINK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/messages.h"
#include "net/frame.h"

enum { LINK_ERROR_SIZE = 256 };

enum link_read { LINK_MORE, LINK_FRAME, LINK_BYTES, LINK_WRONG };

struct link_reader {
    uint8_t *room;      /* aligned to WAL_ALIGN: one frame, or the bytes behind one */
    uint32_t room_size; /* of it */
    uint32_t size;      /* bytes that are in it */
    uint32_t raw_size;  /* raw bytes that come next; 0: a frame does */
    bool is_whole;      /* what is in the room was handed out */
};

/* With room for so many raw bytes, and for any frame. False when there is no memory. */
bool link_reader_init(struct link_reader *reader, uint32_t room_size);
void link_reader_deinit(struct link_reader *reader);

/* A new connection begins. */
void link_reader_reset(struct link_reader *reader);

/* Takes from the bytes: moves *bytes and *size on. What is found stands in reader->room until the
 * next call. */
enum link_read link_reader_next(struct link_reader *reader, const uint8_t **bytes, size_t *size);

/* The frame that was just found is followed by so many bytes, which fit into the room. */
void link_reader_expect(struct link_reader *reader, uint32_t raw_size);

static inline const struct frame *link_reader_frame(const struct link_reader *reader)
{
    return (const struct frame *)reader->room;
}

/* Room for any body, which checks below use when the sender's schema is another. */
union link_body {
    uint64_t bytes[FRAME_SIZE_MAX / 8];
};

/* The body of a frame that the other side sends by itself, message->request, as today's shapes have
 * it: zero where an older schema has nothing, without what a newer one adds. Of a newer one
 * reserved bytes and named values are not checked. NULL: it is no such body; *reason says why. */
const void *link_body(const struct frame *frame, union link_body *room, const char **reason);

/* Is it the frame that a server sends before it closes a connection? error then has its reason. */
bool link_closes(const struct frame *frame, char error[LINK_ERROR_SIZE]);

/* The body of the OK answer to a request of this side, as today's shapes have it. NULL: it is none,
 * and error says what came. */
const void *link_reply(const struct frame *frame, unsigned number, uint32_t request,
                       union link_body *room, char error[LINK_ERROR_SIZE]);

/* Makes a text that came from another server one that can be printed: terminated, zero behind its
 * end, and nothing in it but printable ASCII characters. */
void link_text_settle(struct text *text);

#endif
