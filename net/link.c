/* What both sides of a link have in common: frames, the beginning of a connection, and where two
 * histories part.
 *
 * Good path of a connection: hello, which names the shop and the newest epoch known here, and its
 * answer; then a request that makes the connection a link, and its answer.
 *
 * Going back. A history is a row of epochs, each of one primary, which ends where the next one
 * begins. A replica whose last change is `own`, in epoch e, joins, and is answered FORK(f, s): f is
 * the newest epoch up to e of the sender's history, s where f ends there, at most `own`.
 *
 *   The replica has no epoch behind f, and f = e. It goes back to min(own, s), which is below own,
 *   as the sender answers FORK with f = e only where f ends before own.
 *   It has epochs behind f, and f too: it goes back to where f ends here or there, whichever comes
 *   first. Either is the end of a block of both, as one primary made all of f.
 *   It has epochs behind f, and not f: s means nothing here, it may even be inside of a block. It
 *   goes back to the end of its newest epoch before f.
 *   It has no epoch behind f, and f is before e. Then e is bare, it has no change of it: its log
 *   ends with an empty block of e, which it took before the first change was there; or it has only
 *   the snapshot of a restored folder, which names the epoch to come. If it has f, it goes back to
 *   min(own, s); if not, s means nothing, and it stays at own. At own, the empty blocks behind it
 *   are given up; without any there is only the whole to be given up, and it begins anew.
 *
 * So each FORK makes the replica's log shorter, where it has epochs behind f by an epoch at least,
 * and joining ends: when e is an epoch of both that does not end before `own` at the sender. All up
 * to there is the same then, as the blocks of e are one chain. It never goes back behind the last
 * change of both, but for a new beginning: the block of that change is of an epoch of both
 * histories, so it is at most f where f is in both, and before f's end here and there; and where f
 * is not in both, it is of an older epoch that the replica keeps whole.
 *
 * Only by force two primaries begin the same epoch. Then the replica's last block is not at its
 * place in the sender's log, which the sender notices by the checksum. While that epoch is its last
 * one, it answers REFUSED: a person decides which history counts, by promoting one of the two.
 * After that it answers FORK(0, 0): the replica begins anew, and 0 is not above anything. But where
 * its last block is empty, it may be only this block that the sender never had: it goes first. */
#include "net/link.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"

static void frame_write(uint8_t *bytes, struct frame frame, const void *body, uint32_t size)
{
    frame.size = (uint32_t)sizeof frame + size;
    TILL_ASSERT(frame.size <= FRAME_SIZE_MAX && frame.size % FRAME_ALIGN == 0);
    memcpy(bytes, &frame, sizeof frame);
    memcpy(bytes + sizeof frame, body, size);
}

uint32_t link_frame(uint8_t *bytes, unsigned number, const void *body, uint32_t size)
{
    frame_write(bytes, (struct frame){.type = (uint16_t)number}, body, size);
    return (uint32_t)sizeof(struct frame) + size;
}

void link_block_frame(uint8_t *gap, uint32_t block_size)
{
    struct replica_block_body body = {.size = block_size};
    link_frame(gap, MESSAGE_replica_block, &body, sizeof body);
}

void link_piece_frame(uint8_t *gap, uint32_t piece_size, uint64_t offset)
{
    struct replica_piece_body body = {.size = piece_size, .offset = offset};
    link_frame(gap, MESSAGE_replica_piece, &body, sizeof body);
}

uint32_t link_request(uint8_t *bytes, unsigned number, uint32_t request, const void *body,
                      uint32_t size)
{
    frame_write(bytes, (struct frame){.type = (uint16_t)number, .request = request}, body, size);
    return (uint32_t)sizeof(struct frame) + size;
}

uint64_t link_epoch(const struct link_self *self)
{
    return self->epoch > self->epoch_sealed ? self->epoch : self->epoch_sealed;
}

uint32_t link_hello(uint8_t *bytes, const struct link_self *self)
{
    struct hello_body body = {
        .magic = FRAME_MAGIC,
        .version = PROTOCOL_VERSION,
        .shop = self->shop,
        .epoch = id_is_zero(self->shop) ? 0 : link_epoch(self),
    };
    return link_request(bytes, MESSAGE_hello, LINK_REQUEST_HELLO, &body, sizeof body);
}

bool link_is_greeted(const struct frame *frame, const struct link_self *self,
                     char error[LINK_ERROR_SIZE])
{
    union link_body room;
    char theirs[ID_TEXT_SIZE];
    char ours[ID_TEXT_SIZE];
    const struct hello_reply_body *reply =
        link_reply(frame, MESSAGE_hello, LINK_REQUEST_HELLO, &room, error);
    if (reply == NULL)
        return false;
    if (reply->version != PROTOCOL_VERSION || reply->features != 0)
        return error_set(error, LINK_ERROR_SIZE, "its hello agrees on what was not asked for");
    if (id_is_zero(self->shop) || id_is_zero(reply->shop) || id_equal(self->shop, reply->shop))
        return true;
    return error_set(error, LINK_ERROR_SIZE,
                     "it is of shop %s, this folder of shop %s: follow your own, "
                     "or use an empty --data",
                     id_format(reply->shop, theirs), id_format(self->shop, ours));
}

struct link_epoch_end link_epoch_up_to(const struct engine *engine, uint64_t own_seq,
                                       uint64_t epoch)
{
    struct link_epoch_end found = {.epoch = 1, .seq = own_seq, .is_last = true};
    uint32_t count = engine_epoch_count(engine);
    for (uint32_t i = 0; i < count; i++) {
        struct engine_epoch entry = engine_epoch_at(engine, i);
        if (entry.seq > own_seq)
            break;
        if (entry.epoch > epoch) {
            found.seq = entry.seq - 1;
            found.is_last = false;
            break;
        }
        found.epoch = entry.epoch;
    }
    return found;
}

bool link_block_follows(uint64_t seq, uint64_t checksum, uint64_t epoch,
                        const struct wal_block *block)
{
    uint64_t seq_next = seq + 1;
    if (block->epoch < epoch)
        return false;
    if (checksum == 0 && seq > 0)
        return block->seq_first <= seq_next && block->seq_first + block->command_count >= seq_next;
    return block->seq_first == seq_next && block->previous == checksum;
}

/* Where the changes part, by what both say of their epochs. */
static uint64_t parting_seq(const struct link_self *self,
                            const struct replica_join_reply_body *answer)
{
    if (answer->fork_epoch == 0)
        return 0;
    struct link_epoch_end own = link_epoch_up_to(self->engine, self->seq, answer->fork_epoch);
    if (own.epoch < answer->fork_epoch)
        return own.seq;
    return own.seq < answer->fork_seq ? own.seq : answer->fork_seq;
}

uint64_t link_fork_seq(const struct link_self *self, const struct replica_join_reply_body *answer)
{
    uint64_t seq = parting_seq(self, answer);
    bool is_bare = link_epoch_up_to(self->engine, self->seq, UINT64_MAX).epoch < self->epoch;
    if (self->ends_empty && (answer->fork_epoch == 0 || seq >= self->seq))
        return self->seq;
    return is_bare && seq >= self->seq ? 0 : seq;
}
