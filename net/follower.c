/* The receiver's side of a link: connecting, joining, and what comes then.
 *
 * Good path: at the end of a pause the owner connects; hello and join go out, each with the answer
 * to what was sent before it; on STREAM blocks and beats come, and the owner acknowledges.
 *
 * What can fail: everything that comes. Frames and sizes are checked by the reader; each message is
 * checked for its fields; a block for its header, checksum and padding, and that it is the one that
 * follows. The first thing that is wrong ends the connection: FOLLOWER_WRONG, and again until the
 * owner drops it. Each failure doubles the pause, up to LINK_RETRY_US_MAX; a beat
 * sets it back.
 *
 * What always holds: follower_check. A server that is of an older epoch than this one has sealed is
 * not listened to, whatever it sends: that was promised when the epoch was sealed. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "net/link.h"
#include "net/plant.h"

enum { REQUEST_JOIN = LINK_REQUEST_NEXT };

/* By state: which ones may follow, as bits. */
static const uint8_t next_states[] = {
    [FOLLOWER_RESTING] = 1 << FOLLOWER_CONNECTING,
    [FOLLOWER_CONNECTING] = 1 << FOLLOWER_GREETING | 1 << FOLLOWER_RESTING,
    [FOLLOWER_GREETING] = 1 << FOLLOWER_JOINING | 1 << FOLLOWER_RESTING,
    [FOLLOWER_JOINING] = 1 << FOLLOWER_STREAMING | 1 << FOLLOWER_RESTING,
    [FOLLOWER_STREAMING] = 1 << FOLLOWER_RESTING,
};

/* What holds in each state, from the transition into it until the one out of it. */
static void follower_check(const struct follower *follower)
{
    const struct link_reader *reader = &follower->reader;
    switch (follower->state) {
    case FOLLOWER_RESTING:
    case FOLLOWER_CONNECTING:
        TILL_ASSERT(!follower->is_wrong && reader->size == 0 && reader->raw_size == 0);
        break;
    case FOLLOWER_GREETING:
    case FOLLOWER_JOINING:
        TILL_ASSERT(reader->raw_size == 0);
        break;
    case FOLLOWER_STREAMING:
        TILL_ASSERT(follower->answer.answer == join_answer_STREAM);
        TILL_ASSERT(follower->epoch_came <= follower->epoch_theirs);
        break;
    }
}

static void follower_enter(struct follower *follower, enum follower_state state)
{
    follower_check(follower);
    TILL_ASSERT((next_states[follower->state] >> state & 1) != 0);
    follower->state = state;
    if (state == FOLLOWER_RESTING) {
        follower->is_wrong = false;
        link_reader_reset(&follower->reader);
    } else {
        follower->epoch_theirs = state == FOLLOWER_STREAMING ? follower->answer.epoch : 0;
    }
    follower_check(follower);
}

/* The other side has broken the protocol. */
__attribute__((format(printf, 2, 3))) static enum follower_event wrong(struct follower *follower,
                                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(follower->error, sizeof follower->error, format, arguments);
    va_end(arguments);
    follower->is_wrong = true;
    return FOLLOWER_WRONG;
}

bool follower_init(struct follower *follower, uint64_t now_us)
{
    *follower = (struct follower){.state = FOLLOWER_RESTING, .rested_us = now_us};
    follower->out = memory_map(FRAME_SIZE_MAX);
    return link_reader_init(&follower->reader, WAL_BLOCK_SIZE_MAX) && follower->out != NULL;
}

void follower_deinit(struct follower *follower)
{
    if (follower->out != NULL)
        memory_unmap(follower->out, FRAME_SIZE_MAX);
    follower->out = NULL;
    link_reader_deinit(&follower->reader);
}

bool follower_turn(struct follower *follower, uint64_t now_us)
{
    if (follower->state != FOLLOWER_RESTING ||
        link_left_us(follower->rested_us, follower->retry_us, now_us) > 0)
        return false;
    follower_enter(follower, FOLLOWER_CONNECTING);
    follower->heard_us = now_us;
    return true;
}

uint64_t follower_wait_us(const struct follower *follower, uint64_t now_us)
{
    if (follower->state == FOLLOWER_RESTING)
        return link_left_us(follower->rested_us, follower->retry_us, now_us);
    return link_left_us(follower->heard_us, LINK_SILENCE_US, now_us);
}

bool follower_is_silent(const struct follower *follower, uint64_t now_us)
{
    return follower->state != FOLLOWER_RESTING &&
           link_left_us(follower->heard_us, LINK_SILENCE_US, now_us) == 0;
}

void follower_connected(struct follower *follower, const struct link_self *self, uint64_t now_us)
{
    follower_enter(follower, FOLLOWER_GREETING);
    follower->heard_us = now_us;
    follower->out_size = link_hello(follower->out, self);
}

static void rest(struct follower *follower, uint64_t now_us)
{
    follower_enter(follower, FOLLOWER_RESTING);
    follower->retry_us = link_retry_us(follower->retry_us);
    follower->rested_us = now_us;
}

void follower_drop(struct follower *follower, uint64_t now_us, bool soon)
{
    if (follower->state != FOLLOWER_RESTING)
        rest(follower, now_us);
    if (soon)
        follower->retry_us = 0;
}

/* A join with what self has; the blocks that answer it continue that place. */
static enum follower_event join(struct follower *follower, const struct link_self *self)
{
    struct {
        struct replica_join_body body;
        struct capacity_body rows[TABLES_MAX];
    } request = {.body = {.shop = self->shop,
                          .member = self->member,
                          .name = self->name,
                          .address = self->address,
                          .epoch = self->epoch,
                          .epoch_sealed = self->epoch_sealed,
                          .seq = self->seq,
                          .checksum = self->checksum,
                          .schema = SCHEMA,
                          .version = WAL_BLOCK_VERSION}};
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    TILL_ASSERT(count <= TABLES_MAX);
    request.body.capacity_count = (uint16_t)count;
    for (size_t i = 0; i < count; i++) {
        struct table_fill fill = engine_table_fill(self->engine, capacities[i].number);
        request.rows[i] = (struct capacity_body){.number = capacities[i].number,
                                                 .records = (uint32_t)fill.capacity};
    }
    follower->seq_came = self->seq;
    follower->checksum_came = self->checksum;
    follower->epoch_came = self->epoch;
    follower_enter(follower, FOLLOWER_JOINING);
    follower->out_size =
        link_request(follower->out, MESSAGE_replica_join, REQUEST_JOIN, &request,
                     (uint32_t)(sizeof request.body + count * sizeof request.rows[0]));
    return FOLLOWER_SEND;
}

/* Does going back as the FORK says give up something? Else it would be answered so for ever. */
static bool shortens(const struct follower *follower, const struct link_self *self)
{
    uint64_t fork_seq = link_fork_seq(self, &follower->answer);
    return fork_seq < self->seq || (fork_seq == 0 && self->checksum != 0) || self->ends_empty;
}

/* Is an answer that makes this server do something one that it may take from the other one? */
static bool answer_is_right(struct follower *follower, const struct link_self *self)
{
    const struct replica_join_reply_body *answer = &follower->answer;
    char theirs[ID_TEXT_SIZE];
    if (id_is_zero(answer->shop) ||
        (!id_is_zero(self->shop) && !id_equal(answer->shop, self->shop)))
        wrong(follower, "it is of shop %s", id_format(answer->shop, theirs));
    else if (answer->epoch == 0 || answer->epoch < link_epoch(self))
        wrong(follower, "it is of epoch %" PRIu64 ", and this server knows of epoch %" PRIu64,
              answer->epoch, link_epoch(self));
    else if (answer->answer == join_answer_FORK && !shortens(follower, self))
        wrong(follower,
              "it says that the histories part at seq %" PRIu64 " of epoch %" PRIu64
              ", where nothing is to be given up",
              answer->fork_seq, answer->fork_epoch);
    return !follower->is_wrong;
}

static enum follower_event take_answer(struct follower *follower, const struct link_self *self,
                                       uint64_t now_us)
{
    union link_body room;
    const struct replica_join_reply_body *body =
        link_reply(link_reader_frame(&follower->reader), MESSAGE_replica_join, REQUEST_JOIN, &room,
                   follower->error);
    if (body == NULL) {
        follower->is_wrong = true;
        return FOLLOWER_WRONG;
    }
    struct replica_join_reply_body *answer = &follower->answer;
    *answer = *body;
    link_text_settle(&answer->reason);
    if (named_value_name(FIELD_join_answer, answer->answer) == NULL)
        return wrong(follower, "it answered %u to replica.join", answer->answer);
    if (answer->answer == join_answer_REFUSED)
        error_set(follower->error, sizeof follower->error, "%s", answer->reason.bytes);
    else if (!answer_is_right(follower, self))
        return FOLLOWER_WRONG;
    if (answer->answer != join_answer_STREAM) {
        rest(follower, now_us);
        return FOLLOWER_ANSWER;
    }
    follower_enter(follower, FOLLOWER_STREAMING);
    return FOLLOWER_ANSWER;
}

/* The sender tells of an epoch: is it one that is still listened to? */
static bool epoch_is_right(struct follower *follower, const struct link_self *self, uint64_t epoch)
{
    if (epoch > follower->epoch_theirs)
        follower->epoch_theirs = epoch;
    if (follower->epoch_theirs >= self->epoch_sealed)
        return true;
    wrong(follower, "it is of epoch %" PRIu64 ", and this server has sealed epoch %" PRIu64,
          follower->epoch_theirs, self->epoch_sealed);
    return false;
}

static enum follower_event take_beat(struct follower *follower, const struct link_self *self,
                                     const struct replica_beat_body *beat)
{
    if (!epoch_is_right(follower, self, beat->epoch))
        return FOLLOWER_WRONG;
    follower->beat = *beat;
    link_text_settle(&follower->beat.primary);
    follower->retry_us = 0;
    return FOLLOWER_BEAT;
}

/* A frame on the link: a beat, or the head of a block. */
static enum follower_event take_frame(struct follower *follower, const struct link_self *self)
{
    const struct frame *frame = link_reader_frame(&follower->reader);
    union link_body room;
    const char *reason = NULL;
    if (link_closes(frame, follower->error)) {
        follower->is_wrong = true;
        return FOLLOWER_WRONG;
    }
    if (frame->type != MESSAGE_replica_block && frame->type != MESSAGE_replica_beat)
        return wrong(follower, "it sent message %u, which is not due on a link", frame->type);
    const void *body = link_body(frame, &room, &reason);
    if (body == NULL)
        return wrong(follower, "it sent a malformed %s: %s", message_info(frame->type)->name,
                     reason);
    if (frame->type == MESSAGE_replica_beat)
        return take_beat(follower, self, body);
    uint32_t size = ((const struct replica_block_body *)body)->size;
    if (size < WAL_ALIGN || size > WAL_BLOCK_SIZE_MAX || size % WAL_ALIGN != 0)
        return wrong(follower, "it announced a block of %" PRIu32 " bytes", size);
    link_reader_expect(&follower->reader, size);
    return FOLLOWER_NOTHING;
}

/* Is what is in the room a whole block of the announced size, padding included? */
static bool block_is_whole(struct follower *follower)
{
    const uint8_t *bytes = follower->reader.room;
    struct wal_block *block = &follower->block;
    if (!wal_block_read(bytes, block) || block->block_size != follower->reader.size ||
        !wal_block_verify(block, bytes))
        return false;
    size_t end = sizeof *block + block->ids_stored + block->fields_stored;
    return end == block->block_size || bytes_are_zero(bytes + end, block->block_size - end);
}

static enum follower_event take_block(struct follower *follower, const struct link_self *self)
{
    const struct wal_block *block = &follower->block;
    if (!block_is_whole(follower))
        return wrong(follower, "the block behind seq %" PRIu64 " is damaged", follower->seq_came);
    if (block->schema > SCHEMA)
        return wrong(follower, "the block behind seq %" PRIu64 " is " SCHEMA_NEWER_TEXT,
                     follower->seq_came, block->schema, SCHEMA);
    if (!link_block_follows(follower->seq_came, follower->checksum_came, follower->epoch_came,
                            block))
        return wrong(follower,
                     "a block of seq %" PRIu64 ", epoch %" PRIu64 ", does not continue seq %" PRIu64
                     ", epoch %" PRIu64 ", checksum %016" PRIx64,
                     block->seq_first, block->epoch, follower->seq_came, follower->epoch_came,
                     follower->checksum_came);
    if (!epoch_is_right(follower, self, block->epoch))
        return FOLLOWER_WRONG;
    follower->seq_came = block->seq_first + block->command_count - 1;
    follower->checksum_came = block->checksum;
    follower->epoch_came = block->epoch;
    follower->received_bytes += block->block_size;
    follower->block_bytes = follower->reader.room;
    return FOLLOWER_BLOCK;
}

static enum follower_event take_greeting(struct follower *follower, const struct link_self *self)
{
    if (link_is_greeted(link_reader_frame(&follower->reader), self, follower->error))
        return join(follower, self);
    follower->is_wrong = true;
    return FOLLOWER_WRONG;
}

/* What the frame or the raw bytes mean that are whole now; FOLLOWER_NOTHING: read on. */
static enum follower_event take(struct follower *follower, const struct link_self *self,
                                enum link_read read, uint64_t now_us)
{
    if (read == LINK_WRONG)
        return wrong(follower, "not a till server, or the stream is damaged");
    if (read == LINK_BYTES)
        return take_block(follower, self);
    if (follower->state == FOLLOWER_GREETING)
        return take_greeting(follower, self);
    if (follower->state == FOLLOWER_JOINING)
        return take_answer(follower, self, now_us);
    return take_frame(follower, self);
}

enum follower_event follower_next(struct follower *follower, const struct link_self *self,
                                  const uint8_t **bytes, size_t *size, uint64_t now_us)
{
    if (follower->state == FOLLOWER_RESTING) {
        *bytes += *size;
        *size = 0;
        return FOLLOWER_NOTHING;
    }
    TILL_ASSERT(follower->state != FOLLOWER_CONNECTING);
    if (*size > 0)
        follower->heard_us = now_us;
    enum follower_event event = follower->is_wrong ? FOLLOWER_WRONG : FOLLOWER_NOTHING;
    while (event == FOLLOWER_NOTHING) {
        enum link_read read = link_reader_next(&follower->reader, bytes, size);
        if (read == LINK_MORE)
            break;
        event = take(follower, self, read, now_us);
    }
    follower_check(follower);
    return event;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void follower_ack(struct follower *follower, const struct replica_ack_body *ack)
{
    struct replica_ack_body body = *ack;
    TILL_ASSERT(follower->state == FOLLOWER_STREAMING);
    body.seq_durable = smaller(body.seq_durable, follower->seq_came);
    body.seq_applied = smaller(body.seq_applied, follower->seq_came);
    follower->out_size = link_frame(follower->out, MESSAGE_replica_ack, &body, sizeof body);
}
