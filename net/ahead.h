/* Reading ahead: the blocks of a log, read, checked, unpacked and decoded on a thread of their own
 * while the engine decides the commands of those before. Replay takes them here. Without a second
 * core, or a thread, each block is read when it is asked for.
 *
 *   thread  wal_reader_next -> decoder_fill ... -> ring of batches
 *   caller  ahead_next -> ahead_batch ... NULL -> ahead_next -> ... -> ahead_close */
#ifndef TILL_NET_AHEAD_H
#define TILL_NET_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "net/decode.h"
#include "wal/reader.h"

struct ahead {
    /* As it is after what ahead_next has handed out last. With a thread, the columns and the image
     * are gone by then: that ids or fields are not NULL tells only that the block was unpacked. */
    const struct wal_reader *reader;

    /* After ahead_batch has returned NULL: the columns are not what the block says. */
    bool is_malformed;
    uint64_t seq_next; /* from this command on */

    struct decoder *decoder; /* private from here on */
    struct wal_reader *own;  /* the thread's, while there is one */
    enum wal_read read;      /* what ahead_next returned last */
    struct wal_reader seen;  /* of the caller, while there is a thread */
    struct ahead_ring *ring; /* NULL: there is no thread */
};

/* Goes on from the reader, on which wal_reader_next has not been called and which belongs to the
 * ahead until ahead_close. False: there is no memory. */
bool ahead_open(struct ahead *ahead, struct wal_reader *reader, bool wants_thread);
void ahead_close(struct ahead *ahead);

/* May this thread use more than one core? */
bool ahead_has_core(void);

/* The next block, as by wal_reader_next; after anything but a block there is no next one. */
enum wal_read ahead_next(struct ahead *ahead);

/* The block's next batch, which stays until the call after the next one; NULL: there is none. */
struct batch *ahead_batch(struct ahead *ahead);

#endif
