/* The sender's side of a link: what a join is answered, and what is sent and heard from then on.
 *
 * Good path: supplier_judge says STREAM, the owner finds the place in its ring or log,
 * supplier_answer tells the replica, and then blocks and beats go out, acks come in.
 *
 * The decision of a join: the first row whose condition holds. Epoch and seq are those of the last
 * durable block; an epoch is sealed by a member that has promised to refuse older ones.
 *
 *   the join says                                          answer
 *   no member, or this server's own                        REFUSED
 *   blocks and no shop, or blocks and no epoch             REFUSED
 *   (this server has no shop)                              REFUSED
 *   another shop                                           REFUSED
 *   an epoch, had or sealed, above this server's epoch     REFUSED, and *fences when it is also
 *                                                          above the epoch that this server sealed
 *   it cannot read today's blocks, or today's commands     REFUSED
 *   a capacity below this server's                         REFUSED
 *   it is empty                                            SNAPSHOT when there is one, else STREAM
 *   epoch e is in this history, and does not end before    STREAM, if the place is found
 *   e is this server's last epoch, and ends before         REFUSED
 *   e is an earlier one of this history, and ends before   FORK, e
 *   e is not in this history                               FORK, the newest epoch before e
 *
 * A shop that is not this one decides nothing: it does not fence. An epoch that was only sealed
 * refuses too: the replica has promised to take nothing of older ones.
 *
 * A replica that has more of this server's last epoch than is durable here: every block comes from
 * the epoch's primary, which sends what is durable with it. So either this server is a replica that
 * is behind the other, which time heals. Or it is the primary, and has lost what it had made
 * durable (an old copy of its folder was started), or the epoch was begun twice by force. Changes
 * that the replica holds may then have been acknowledged and be nowhere else, and no rule tells
 * which history the shop wants. FORK would take them out of service; so it waits for a person, who
 * promotes one of the two: the new epoch says which history counts, and the other one follows it.
 *
 * What can fail: what the other side sends. It ends this link, and nothing else.
 *
 * What always holds: supplier_check. No replica counts as having what was not sent to it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "net/link.h"

/* Answers REFUSED; always true. */
__attribute__((format(printf, 2, 3))) static bool refuse(struct replica_join_reply_body *reply,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reply->reason.bytes, sizeof reply->reason.bytes, format, arguments);
    va_end(arguments);
    reply->answer = join_answer_REFUSED;
    return true;
}

/* A log that has no block yet begins with epoch 1. */
static uint64_t epoch_of(const struct link_self *self)
{
    return self->epoch > 0 ? self->epoch : 1;
}

/* Has it neither changes nor blocks? */
static bool is_empty(const struct replica_join_body *join)
{
    return join->seq == 0 && join->checksum == 0;
}

static bool refuses_shop(const struct link_self *self, const struct replica_join_body *join,
                         struct replica_join_reply_body *reply)
{
    char id[ID_TEXT_SIZE];
    if (id_is_zero(join->member))
        return refuse(reply, "your join names no member: the id of a data folder");
    if (id_equal(join->member, self->member))
        return refuse(reply, "you cannot follow yourself, nor a copy of your data folder");
    if (!is_empty(join) && (id_is_zero(join->shop) || join->epoch == 0))
        return refuse(reply, "your join contradicts itself: it has blocks of no shop or no epoch");
    if (id_is_zero(self->shop))
        return refuse(reply, "the server you ask has no data itself: follow the primary");
    if (!id_is_zero(join->shop) && !id_equal(join->shop, self->shop))
        return refuse(reply, "here is shop %s: follow your own, or use an empty --data",
                      id_format(self->shop, id));
    return false;
}

static bool refuses_epoch(const struct link_self *self, const struct replica_join_body *join,
                          struct replica_join_reply_body *reply, bool *fences)
{
    uint64_t theirs = join->epoch > join->epoch_sealed ? join->epoch : join->epoch_sealed;
    if (id_is_zero(join->shop) || theirs <= epoch_of(self))
        return false;
    *fences = theirs > self->epoch_sealed;
    return refuse(reply,
                  "you know of epoch %" PRIu64 ", it is %" PRIu64 " here: follow another server",
                  theirs, epoch_of(self));
}

static bool refuses_format(const struct replica_join_body *join,
                           struct replica_join_reply_body *reply)
{
    if (join->version < WAL_BLOCK_VERSION)
        return refuse(reply, "upgrade this replica first: it reads log version %" PRIu32 ", not %d",
                      join->version, WAL_BLOCK_VERSION);
    if (join->schema < SCHEMA)
        return refuse(reply, "upgrade this replica first: it reads schema %" PRIu32 ", not %d",
                      join->schema, SCHEMA);
    return false;
}

/* What the join has room for; a capacity that it does not name has none. */
static uint32_t capacity_of(const struct capacity_body *capacities, uint16_t count, unsigned number)
{
    for (uint16_t i = 0; i < count; i++) {
        if (capacities[i].number == number)
            return capacities[i].records;
    }
    return 0;
}

/* The first capacity that is too small, as the option that sets it. */
static bool refuses_capacity(const struct link_self *self, const struct replica_join_body *join,
                             const struct capacity_body *capacities,
                             struct replica_join_reply_body *reply)
{
    size_t count = 0;
    const struct capacity_info *rows = capacity_infos(&count);
    for (size_t i = 0; i < count; i++) {
        struct table_fill fill = engine_table_fill(self->engine, rows[i].number);
        uint32_t theirs = capacity_of(capacities, join->capacity_count, rows[i].number);
        char option[NAME_SIZE];
        if (theirs >= fill.capacity)
            continue;
        snprintf(option, sizeof option, "%s", rows[i].name);
        for (char *c = option; *c != '\0'; c++)
            *c = *c == '_' ? '-' : *c;
        return refuse(reply, "start this replica with --%s %" PRIu64 " at least: it has %" PRIu32,
                      option, fill.capacity, theirs);
    }
    return false;
}

/* This history as it concerns the replica's last epoch. An epoch whose epoch.begin is not durable
 * yet, or behind a restored snapshot, has no entry: it begins behind all that is here. */
static struct link_epoch_end epoch_end(const struct link_self *self, uint64_t epoch)
{
    struct link_epoch_end end = link_epoch_up_to(self->engine, self->seq, epoch);
    if (end.is_last && epoch_of(self) > end.epoch) {
        end.is_last = epoch >= epoch_of(self);
        end.epoch = end.is_last ? epoch_of(self) : end.epoch;
    }
    return end;
}

static void judge_place(const struct link_self *self, const struct replica_join_body *join,
                        struct replica_join_reply_body *reply)
{
    struct link_epoch_end end = epoch_end(self, join->epoch);
    if (end.epoch == join->epoch && join->seq <= end.seq) {
        reply->answer = join_answer_STREAM;
        return;
    }
    if (end.is_last) { /* and so it is the join's: refuses_epoch lets no newer one through */
        refuse(reply, "behind you (epoch %" PRIu64 ", seq %" PRIu64 "): wait, or promote one of us",
               end.epoch, end.seq);
        return;
    }
    reply->answer = join_answer_FORK;
    reply->fork_epoch = end.epoch;
    reply->fork_seq = end.seq < join->seq ? end.seq : join->seq;
}

unsigned supplier_judge(const struct link_self *self, const struct replica_join_body *join,
                        const struct capacity_body *capacities,
                        struct replica_join_reply_body *reply, bool *fences)
{
    *fences = false;
    *reply = (struct replica_join_reply_body){
        .seq = self->seq, .shop = self->shop, .epoch = epoch_of(self), .acks = self->acks};
    if (refuses_shop(self, join, reply) || refuses_epoch(self, join, reply, fences) ||
        refuses_format(join, reply) || refuses_capacity(self, join, capacities, reply))
        return reply->answer;
    if (!is_empty(join))
        judge_place(self, join, reply);
    else if (self->snapshot_seq == 0)
        reply->answer = join_answer_STREAM;
    else
        reply->answer = join_answer_SNAPSHOT;
    if (reply->answer == join_answer_SNAPSHOT)
        reply->snapshot_seq = self->snapshot_seq;
    return reply->answer;
}

/* States. */

/* What holds in each state, from the transition into it until the one out of it. */
static void supplier_check(const struct supplier *supplier)
{
    TILL_ASSERT(supplier->seq_durable <= supplier->seq_sent);
    TILL_ASSERT(supplier->seq_applied <= supplier->seq_sent);
    switch (supplier->state) {
    case SUPPLIER_JOINING:
        TILL_ASSERT(supplier->beat_us == 0 && supplier->mark_us == 0);
        TILL_ASSERT(supplier->error[0] == '\0');
        break;
    case SUPPLIER_STREAMING:
        TILL_ASSERT(supplier->error[0] == '\0');
        break;
    case SUPPLIER_LEAVING:
        TILL_ASSERT(supplier->error[0] != '\0');
        break;
    }
}

static void supplier_enter(struct supplier *supplier, enum supplier_state state)
{
    supplier_check(supplier);
    TILL_ASSERT(state == SUPPLIER_STREAMING ? supplier->state == SUPPLIER_JOINING
                                            : supplier->state != SUPPLIER_LEAVING);
    TILL_ASSERT(state != SUPPLIER_JOINING);
    supplier->state = state;
}

/* LEAVING, because of that. Always false. */
__attribute__((format(printf, 2, 3))) static bool leave(struct supplier *supplier,
                                                        const char *format, ...)
{
    va_list arguments;
    supplier_enter(supplier, SUPPLIER_LEAVING);
    va_start(arguments, format);
    vsnprintf(supplier->error, sizeof supplier->error, format, arguments);
    va_end(arguments);
    supplier_check(supplier);
    return false;
}

void supplier_init(struct supplier *supplier, const struct replica_join_body *join,
                   uint32_t request, uint64_t now_us)
{
    *supplier = (struct supplier){
        .state = SUPPLIER_JOINING,
        .request = request,
        .member = join->member,
        .name = join->name,
        .address = join->address,
        .epoch_joined = join->epoch,
        .epoch_sealed = join->epoch_sealed,
        .seq_sent = join->seq,
        .checksum_sent = join->checksum,
        .seq_durable = join->seq,
        .seq_applied = join->seq,
        .caught_up_us = now_us,
        .heard_us = now_us,
    };
    link_text_settle(&supplier->address);
    supplier_check(supplier);
}

uint32_t supplier_answer(struct supplier *supplier, const struct replica_join_reply_body *reply,
                         uint8_t *bytes)
{
    TILL_ASSERT(supplier->state == SUPPLIER_JOINING);
    if (reply->answer == join_answer_STREAM) {
        supplier_enter(supplier, SUPPLIER_STREAMING);
        supplier_check(supplier);
    } else if (reply->answer == join_answer_REFUSED) {
        leave(supplier, "refused: %.*s", (int)sizeof reply->reason.bytes, reply->reason.bytes);
    } else {
        leave(supplier, "its join was answered %s",
              named_value_name(FIELD_join_answer, reply->answer));
    }
    return link_request(bytes, MESSAGE_replica_join | FRAME_REPLY, supplier->request, reply,
                        sizeof *reply);
}

void supplier_lost(struct supplier *supplier)
{
    TILL_ASSERT(supplier->state == SUPPLIER_STREAMING);
    leave(supplier, "what follows seq %" PRIu64 " is no longer kept here", supplier->seq_sent);
}

void supplier_frame(struct supplier *supplier, uint8_t *bytes, size_t size)
{
    TILL_ASSERT(supplier->state == SUPPLIER_STREAMING);
    while (size > 0) {
        struct wal_block block;
        TILL_ASSERT(size >= LINK_BLOCK_GAP + WAL_ALIGN);
        bool is_block = wal_block_read(bytes + LINK_BLOCK_GAP, &block);
        TILL_ASSERT(is_block && size - LINK_BLOCK_GAP >= block.block_size);
        TILL_ASSERT(link_block_follows(supplier->seq_sent, supplier->checksum_sent,
                                       supplier->epoch_sent, &block));
        link_block_frame(bytes, block.block_size);
        supplier->seq_sent = block.seq_first + block.command_count - 1;
        supplier->checksum_sent = block.checksum;
        supplier->epoch_sent = block.epoch;
        bytes += LINK_BLOCK_GAP + block.block_size;
        size -= LINK_BLOCK_GAP + block.block_size;
    }
    supplier_check(supplier);
}

/* Under load there is always something that is not durable there yet. So it is noted what is
 * durable here at one time, and when that is durable there, the replica has caught up with that
 * time: caught_up_us is late by the time that an ack takes, and two such notes apart at most. */
static void mark_look(struct supplier *supplier)
{
    if (supplier->mark_us != 0 && supplier->seq_durable >= supplier->mark_seq) {
        supplier->caught_up_us = supplier->mark_us;
        supplier->mark_us = 0;
    }
}

static void mark_set(struct supplier *supplier, const struct link_self *self, uint64_t now_us)
{
    mark_look(supplier);
    if (supplier->seq_durable >= self->seq) {
        supplier->caught_up_us = now_us;
        supplier->mark_us = 0;
    } else if (supplier->mark_us == 0) {
        supplier->mark_seq = self->seq;
        supplier->mark_us = now_us;
    }
}

uint32_t supplier_beat(struct supplier *supplier, const struct link_self *self, uint64_t now_us,
                       uint8_t *bytes)
{
    if (supplier->state != SUPPLIER_STREAMING)
        return 0;
    mark_set(supplier, self, now_us);
    struct replica_beat_body body = {
        .seq = self->seq,
        .age = self->age_us,
        .epoch = epoch_of(self),
        .acks = self->acks,
        .members = self->members,
        .primary = self->primary,
    };
    /* A primary that begins to decide tells it at once: a replica that began empty waits for it. */
    bool is_news = link_beat_is_primary(&body) && !supplier->beat_is_primary;
    if (!is_news && supplier->beat_us != 0 &&
        link_left_us(supplier->beat_us, LINK_BEAT_US, now_us) > 0)
        return 0;
    supplier->beat_us = now_us;
    supplier->beat_is_primary = link_beat_is_primary(&body);
    return link_frame(bytes, MESSAGE_replica_beat, &body, sizeof body);
}

uint64_t supplier_wait_us(const struct supplier *supplier, uint64_t now_us)
{
    if (supplier->state == SUPPLIER_JOINING)
        return UINT64_MAX;
    uint64_t silence_us = link_left_us(supplier->heard_us, LINK_SILENCE_US, now_us);
    if (supplier->state == SUPPLIER_LEAVING)
        return silence_us;
    uint64_t beat_us =
        supplier->beat_us == 0 ? 0 : link_left_us(supplier->beat_us, LINK_BEAT_US, now_us);
    return beat_us < silence_us ? beat_us : silence_us;
}

static bool is_state_of_ack(uint8_t state)
{
    return state == member_state_STREAMING || state == member_state_DIVERGED;
}

static bool take_ack(struct supplier *supplier, const struct replica_ack_body *ack)
{
    if (!is_state_of_ack(ack->state))
        return leave(supplier, "it acknowledges in state %u, which is none of a link", ack->state);
    if (ack->seq_durable > supplier->seq_sent || ack->seq_applied > supplier->seq_sent)
        return leave(supplier, "it acknowledges more than the seq %" PRIu64 " sent to it",
                     supplier->seq_sent);
    if (ack->seq_durable < supplier->seq_durable || ack->seq_applied < supplier->seq_applied ||
        ack->epoch_sealed < supplier->epoch_sealed)
        return leave(supplier, "it takes back what it has acknowledged");
    supplier->seq_durable = ack->seq_durable;
    supplier->seq_applied = ack->seq_applied;
    supplier->epoch_sealed = ack->epoch_sealed;
    supplier->is_diverged = supplier->is_diverged || ack->state == member_state_DIVERGED;
    mark_look(supplier);
    return true;
}

bool supplier_receive(struct supplier *supplier, const struct frame *frame, uint64_t now_us)
{
    union link_body room;
    const char *reason = NULL;
    if (supplier->state == SUPPLIER_LEAVING)
        return true;
    supplier->heard_us = now_us;
    if (frame->size < sizeof *frame + FRAME_ALIGN || frame->size > FRAME_SIZE_MAX ||
        frame->size % FRAME_ALIGN != 0)
        return leave(supplier, "it sent a frame of %" PRIu32 " bytes", frame->size);
    if (supplier->state == SUPPLIER_JOINING || frame->type != MESSAGE_replica_ack)
        return leave(supplier, "it sent message %u, which is not due on a link", frame->type);
    const struct replica_ack_body *ack = link_body(frame, &room, &reason);
    if (ack == NULL)
        return leave(supplier, "its acknowledgement is malformed: %s", reason);
    return take_ack(supplier, ack);
}

bool supplier_is_silent(const struct supplier *supplier, uint64_t now_us)
{
    return supplier->state != SUPPLIER_JOINING &&
           link_left_us(supplier->heard_us, LINK_SILENCE_US, now_us) == 0;
}
