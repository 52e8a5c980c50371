/* The receiver's side of a snapshot on its way.
 *
 * Good path: hello, replica.fetch with what is there already, and its answer; then pieces, each of
 * which goes on where the last one ended, until the size is reached.
 *
 * What can fail: everything that comes, as in net/follower.c. A piece that is not the next one, or
 * goes beyond the announced end, ends the connection; what came before it is kept, and the next try
 * goes on there.
 *
 * What always holds: fetch_check. offset only grows while one snapshot is fetched, by whole pages,
 * and begins anew with another one. */
#include "net/fetch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/assert.h"

enum { REQUEST_FETCH = LINK_REQUEST_NEXT };

/* By state: which ones may follow, as bits. */
static const uint8_t next_states[] = {
    [FETCH_RESTING] = 1 << FETCH_CONNECTING,
    [FETCH_CONNECTING] = 1 << FETCH_GREETING | 1 << FETCH_RESTING,
    [FETCH_GREETING] = 1 << FETCH_ASKING | 1 << FETCH_RESTING,
    [FETCH_ASKING] = 1 << FETCH_RECEIVING | 1 << FETCH_DONE | 1 << FETCH_RESTING,
    [FETCH_RECEIVING] = 1 << FETCH_DONE | 1 << FETCH_RESTING,
    [FETCH_DONE] = 1 << FETCH_RESTING,
};

/* What holds in each state, from the transition into it until the one out of it. */
static void fetch_check(const struct fetch *fetch)
{
    const struct link_reader *reader = &fetch->reader;
    TILL_ASSERT(fetch->offset % WAL_ALIGN == 0);
    switch (fetch->state) {
    case FETCH_RESTING:
    case FETCH_CONNECTING:
        TILL_ASSERT(!fetch->is_wrong && reader->size == 0 && reader->raw_size == 0);
        break;
    case FETCH_GREETING:
    case FETCH_ASKING:
        TILL_ASSERT(reader->raw_size == 0);
        break;
    case FETCH_RECEIVING:
        TILL_ASSERT(fetch->seq > 0 && fetch->offset < fetch->size);
        break;
    case FETCH_DONE:
        TILL_ASSERT(fetch->seq > 0 && fetch->offset == fetch->size);
        break;
    }
}

static void fetch_enter(struct fetch *fetch, enum fetch_state state)
{
    TILL_ASSERT((next_states[fetch->state] >> state & 1) != 0);
    fetch->state = state;
    if (state == FETCH_RESTING) {
        fetch->is_wrong = false;
        link_reader_reset(&fetch->reader);
    }
    fetch_check(fetch);
}

/* The other side has broken the protocol. */
__attribute__((format(printf, 2, 3))) static enum fetch_event wrong(struct fetch *fetch,
                                                                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fetch->error, sizeof fetch->error, format, arguments);
    va_end(arguments);
    fetch->is_wrong = true;
    return FETCH_WRONG;
}

bool fetch_init(struct fetch *fetch, uint64_t now_us)
{
    *fetch = (struct fetch){.state = FETCH_RESTING, .rested_us = now_us};
    fetch->out = memory_map(FRAME_SIZE_MAX);
    return link_reader_init(&fetch->reader, LINK_PIECE_MAX) && fetch->out != NULL;
}

void fetch_deinit(struct fetch *fetch)
{
    if (fetch->out != NULL)
        memory_unmap(fetch->out, FRAME_SIZE_MAX);
    fetch->out = NULL;
    link_reader_deinit(&fetch->reader);
}

void fetch_resume(struct fetch *fetch, uint64_t seq, uint64_t checksum, uint64_t offset)
{
    TILL_ASSERT(fetch->state == FETCH_RESTING && offset % WAL_ALIGN == 0);
    fetch->seq = seq;
    fetch->checksum = checksum;
    fetch->offset = offset;
    fetch->size = 0;
}

void fetch_begin_anew(struct fetch *fetch)
{
    fetch_resume(fetch, 0, 0, 0);
    fetch->retry_us = LINK_RETRY_US_MAX;
}

bool fetch_turn(struct fetch *fetch, uint64_t now_us)
{
    if (fetch->state != FETCH_RESTING ||
        link_left_us(fetch->rested_us, fetch->retry_us, now_us) > 0)
        return false;
    fetch_enter(fetch, FETCH_CONNECTING);
    fetch->heard_us = now_us;
    return true;
}

uint64_t fetch_wait_us(const struct fetch *fetch, uint64_t now_us)
{
    if (fetch->state == FETCH_DONE)
        return UINT64_MAX;
    if (fetch->state == FETCH_RESTING)
        return link_left_us(fetch->rested_us, fetch->retry_us, now_us);
    return link_left_us(fetch->heard_us, LINK_SILENCE_US, now_us);
}

bool fetch_is_silent(const struct fetch *fetch, uint64_t now_us)
{
    return fetch->state != FETCH_RESTING && fetch->state != FETCH_DONE &&
           link_left_us(fetch->heard_us, LINK_SILENCE_US, now_us) == 0;
}

void fetch_connected(struct fetch *fetch, const struct link_self *self, uint64_t now_us)
{
    fetch_enter(fetch, FETCH_GREETING);
    fetch->heard_us = now_us;
    fetch->out_size = link_hello(fetch->out, self);
}

void fetch_drop(struct fetch *fetch, uint64_t now_us)
{
    if (fetch->state == FETCH_RESTING)
        return;
    fetch->retry_us = fetch->state == FETCH_DONE ? 0 : link_retry_us(fetch->retry_us);
    fetch->rested_us = now_us;
    fetch_enter(fetch, FETCH_RESTING);
}

/* Hello is answered: asks for the snapshot. */
static enum fetch_event take_greeting(struct fetch *fetch, const struct link_self *self)
{
    struct replica_fetch_body body = {.shop = self->shop,
                                      .seq = fetch->seq,
                                      .offset = fetch->offset,
                                      .checksum = fetch->checksum};
    if (!link_is_greeted(link_reader_frame(&fetch->reader), self, fetch->error)) {
        fetch->is_wrong = true;
        return FETCH_WRONG;
    }
    fetch_enter(fetch, FETCH_ASKING);
    fetch->out_size =
        link_request(fetch->out, MESSAGE_replica_fetch, REQUEST_FETCH, &body, sizeof body);
    return FETCH_SEND;
}

/* Either the file goes on that is there in part, or another one begins. */
static bool answer_is_right(const struct fetch *fetch)
{
    const struct replica_fetch_reply_body *answer = &fetch->answer;
    bool goes_on = answer->offset == fetch->offset && answer->seq == fetch->seq &&
                   answer->checksum == fetch->checksum;
    return (goes_on || answer->offset == 0) && answer->size > 0 && answer->size <= INT64_MAX &&
           answer->size % WAL_ALIGN == 0 && answer->offset <= answer->size;
}

static enum fetch_event take_answer(struct fetch *fetch, uint64_t now_us)
{
    union link_body room;
    const struct replica_fetch_reply_body *body =
        link_reply(link_reader_frame(&fetch->reader), MESSAGE_replica_fetch, REQUEST_FETCH, &room,
                   fetch->error);
    if (body == NULL) {
        fetch->is_wrong = true;
        return FETCH_WRONG;
    }
    fetch->answer = *body;
    if (body->seq == 0)
        return FETCH_ANSWER;
    if (!answer_is_right(fetch))
        return wrong(fetch,
                     "it wants to send a snapshot of %" PRIu64 " bytes, seq %" PRIu64
                     ", from offset %" PRIu64,
                     body->size, body->seq, body->offset);
    fetch->seq = body->seq;
    fetch->checksum = body->checksum;
    fetch->offset = fetch->begun_offset = body->offset;
    fetch->size = body->size;
    fetch->begun_us = now_us;
    fetch_enter(fetch, fetch->offset < fetch->size ? FETCH_RECEIVING : FETCH_DONE);
    return FETCH_ANSWER;
}

/* The head of a piece. */
static enum fetch_event take_frame(struct fetch *fetch)
{
    const struct frame *frame = link_reader_frame(&fetch->reader);
    union link_body room;
    const char *reason = NULL;
    if (link_closes(frame, fetch->error)) {
        fetch->is_wrong = true;
        return FETCH_WRONG;
    }
    if (frame->type != MESSAGE_replica_piece)
        return wrong(fetch, "it sent message %u, which is not due here", frame->type);
    const struct replica_piece_body *body = link_body(frame, &room, &reason);
    if (body == NULL)
        return wrong(fetch, "it sent a malformed replica.piece: %s", reason);
    if (body->offset != fetch->offset || body->size == 0 || body->size > LINK_PIECE_MAX ||
        body->size % WAL_ALIGN != 0 || body->size > fetch->size - fetch->offset)
        return wrong(fetch,
                     "it sent a piece of %" PRIu32 " bytes at offset %" PRIu64
                     ": the next one begins at %" PRIu64 ", and the file ends at %" PRIu64,
                     body->size, body->offset, fetch->offset, fetch->size);
    link_reader_expect(&fetch->reader, body->size);
    return FETCH_NOTHING;
}

static enum fetch_event take_piece(struct fetch *fetch)
{
    fetch->piece_bytes = fetch->reader.room;
    fetch->piece_size = fetch->reader.size;
    fetch->piece_offset = fetch->offset;
    fetch->offset += fetch->piece_size;
    fetch->retry_us = 0;
    if (fetch->offset == fetch->size)
        fetch_enter(fetch, FETCH_DONE);
    return FETCH_PIECE;
}

/* What the frame or the raw bytes mean that are whole now; FETCH_NOTHING: read on. */
static enum fetch_event take(struct fetch *fetch, const struct link_self *self, enum link_read read,
                             uint64_t now_us)
{
    if (read == LINK_WRONG)
        return wrong(fetch, "not a till server, or the stream is damaged");
    if (read == LINK_BYTES)
        return take_piece(fetch);
    if (fetch->state == FETCH_GREETING)
        return take_greeting(fetch, self);
    if (fetch->state == FETCH_ASKING)
        return take_answer(fetch, now_us);
    return take_frame(fetch);
}

enum fetch_event fetch_next(struct fetch *fetch, const struct link_self *self,
                            const uint8_t **bytes, size_t *size, uint64_t now_us)
{
    if (fetch->state == FETCH_RESTING || fetch->state == FETCH_DONE) {
        *bytes += *size;
        *size = 0;
        return FETCH_NOTHING;
    }
    TILL_ASSERT(fetch->state != FETCH_CONNECTING);
    if (*size > 0)
        fetch->heard_us = now_us;
    enum fetch_event event = fetch->is_wrong ? FETCH_WRONG : FETCH_NOTHING;
    while (event == FETCH_NOTHING) {
        enum link_read read = link_reader_next(&fetch->reader, bytes, size);
        if (read == LINK_MORE)
            break;
        event = take(fetch, self, read, now_us);
    }
    fetch_check(fetch);
    return event;
}
