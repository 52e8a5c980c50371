/* From pieces of a stream to frames, raw bytes and checked bodies.
 *
 * Good path: the room is filled with a frame's header, then with the rest of the frame; the caller
 * looks at it, says how many raw bytes follow, and the room is filled with those.
 *
 * What can fail: anything about the bytes. A frame's size is checked before it is used; a body is
 * only handed out when it has the size of one.
 *
 * What always holds: the room takes what is asked for, as link_reader_expect asserts, so no size
 * that the other side names writes outside of it. */
#include "net/link_reader.h"

#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/status.h"
#include "engine/layout.h"

bool link_reader_init(struct link_reader *reader, uint32_t room_size)
{
    TILL_ASSERT(room_size >= FRAME_SIZE_MAX);
    *reader = (struct link_reader){.room = memory_map(room_size), .room_size = room_size};
    return reader->room != NULL;
}

void link_reader_deinit(struct link_reader *reader)
{
    if (reader->room != NULL)
        memory_unmap(reader->room, reader->room_size);
    reader->room = NULL;
}

void link_reader_reset(struct link_reader *reader)
{
    reader->size = reader->raw_size = 0;
    reader->is_whole = false;
}

/* Fills the room up to `wanted` bytes; false while some are missing. */
static bool fill(struct link_reader *reader, uint32_t wanted, const uint8_t **bytes, size_t *size)
{
    TILL_ASSERT(wanted <= reader->room_size);
    size_t part = wanted > reader->size ? wanted - reader->size : 0;
    if (part > *size)
        part = *size;
    if (part > 0)
        memcpy(reader->room + reader->size, *bytes, part);
    reader->size += (uint32_t)part;
    *bytes += part;
    *size -= part;
    return reader->size >= wanted;
}

static bool is_frame(const struct frame *frame)
{
    return frame->size >= sizeof *frame + FRAME_ALIGN && frame->size <= FRAME_SIZE_MAX &&
           frame->size % FRAME_ALIGN == 0;
}

enum link_read link_reader_next(struct link_reader *reader, const uint8_t **bytes, size_t *size)
{
    if (reader->is_whole) {
        reader->size = 0;
        reader->is_whole = false;
    }
    if (reader->raw_size > 0) {
        if (!fill(reader, reader->raw_size, bytes, size))
            return LINK_MORE;
        reader->raw_size = 0;
        reader->is_whole = true;
        return LINK_BYTES;
    }
    if (!fill(reader, sizeof(struct frame), bytes, size))
        return LINK_MORE;
    const struct frame *frame = link_reader_frame(reader);
    if (!is_frame(frame))
        return LINK_WRONG;
    if (!fill(reader, frame->size, bytes, size))
        return LINK_MORE;
    reader->is_whole = true;
    return LINK_FRAME;
}

void link_reader_expect(struct link_reader *reader, uint32_t raw_size)
{
    TILL_ASSERT(reader->is_whole && raw_size > 0 && raw_size <= reader->room_size);
    reader->raw_size = raw_size;
}

const void *link_body(const struct frame *frame, union link_body *room, const char **reason)
{
    const struct message_info *message = message_info(frame->type);
    size_t size = frame->size - sizeof *frame;
    if (message == NULL || message->kind != KIND_LINK || message->request_row != NULL) {
        *reason = "no message of this type is for a link";
        return NULL;
    }
    if (frame->outcome != 0 || frame->checksum != 0) {
        *reason = "its outcome and its checksum must be zero";
        return NULL;
    }
    if (message_check_request(message, frame + 1, size, reason))
        return frame + 1;
    if (size > message->request->size_bytes)
        return memcpy(room, frame + 1, message->request->size_bytes);
    const char *reason_widened = NULL;
    uint32_t widened = layout_widen(message, frame + 1, size, room);
    if (widened == 0 || !message_check_request(message, room, widened, &reason_widened))
        return NULL;
    return room;
}

bool link_closes(const struct frame *frame, char error[LINK_ERROR_SIZE])
{
    struct error_reply_body body;
    if (frame->type != (MESSAGE_error | FRAME_REPLY))
        return false;
    if (frame->size < sizeof *frame + sizeof body) {
        error_set(error, LINK_ERROR_SIZE, "it closed the connection with a malformed reason");
        return true;
    }
    memcpy(&body, frame + 1, sizeof body);
    link_text_settle(&body.reason);
    error_set(error, LINK_ERROR_SIZE, "it closed the connection: %s", body.reason.bytes);
    return true;
}

const void *link_reply(const struct frame *frame, unsigned number, uint32_t request,
                       union link_body *room, char error[LINK_ERROR_SIZE])
{
    const struct message_info *message = message_info(number);
    uint32_t size = frame->size - (uint32_t)sizeof *frame;
    if (link_closes(frame, error))
        return NULL;
    if (frame->type != (number | FRAME_REPLY) || frame->request != request ||
        frame->checksum != 0) {
        error_set(error, LINK_ERROR_SIZE, "it sent something else than the answer to %s",
                  message->name);
        return NULL;
    }
    if (frame->outcome != OUTCOME_OK) {
        error_set(error, LINK_ERROR_SIZE, "it answered %s to %s", outcome_name(frame->outcome),
                  message->name);
        return NULL;
    }
    const void *body = layout_reply(message, true, frame + 1, &size, room);
    if (body == NULL)
        error_set(error, LINK_ERROR_SIZE, "its answer to %s has a size that none has",
                  message->name);
    return body;
}

void link_text_settle(struct text *text)
{
    size_t size = strnlen(text->bytes, sizeof text->bytes - 1);
    memset(text->bytes + size, 0, sizeof text->bytes - size);
    for (size_t i = 0; i < size; i++) {
        if (text->bytes[i] < ' ' || text->bytes[i] > '~')
            text->bytes[i] = '?';
    }
}
