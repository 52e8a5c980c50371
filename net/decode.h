/* A block of the log as batches of commands that the engine can decide: commands of one time,
 * BATCH_COMMANDS_MAX at most, with their bodies as on the wire. */
#ifndef TILL_NET_DECODE_H
#define TILL_NET_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/known.h"
#include "wal/block.h"

struct batch {
    uint64_t seq_first;
    uint64_t time_us;
    uint32_t count;
    uint32_t body_words;
    uint32_t schema; /* by whose rules they were decided */
    struct command commands[BATCH_COMMANDS_MAX];
    uint64_t bodies[BATCH_COMMANDS_MAX * (FRAME_SIZE_MAX / 8)]; /* one behind the other */
};

struct decoder {
    uint64_t seq_next; /* of the command that is decoded next */
    bool has_more;     /* after a batch: there is another one */
    bool is_malformed; /* without more: the columns are not what the block says */
    uint32_t left;     /* private: of the commands that the block says it has */
    unsigned turn;     /* which of the two batches was filled last */
    struct column_reader columns;
    struct logged_command command;
    struct known_table known;
    struct batch batches[2]; /* of decoder_next */
};

/* NULL: there is no memory. */
struct decoder *decoder_create(void);
void decoder_destroy(struct decoder *decoder);

/* Begins a block; its columns, which are unpacked, must stay until its last batch was decoded.
 * has_more tells whether it has any. */
void decoder_begin(struct decoder *decoder, const struct wal_block *block, const uint8_t *ids,
                   const uint8_t *fields);

/* There is nothing to decode. */
void decoder_end(struct decoder *decoder);

/* The next batch, of a decoder that has more. */
void decoder_fill(struct decoder *decoder, struct batch *batch);

/* The next batch, in memory of the decoder, until the call after the next one; NULL when there are
 * no more. */
struct batch *decoder_next(struct decoder *decoder);

#endif
