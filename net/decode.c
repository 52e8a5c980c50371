/* Decoding is one command ahead of the batch: a command of a later time, or one too many, begins
 * the next batch. What has been decoded before malformed bytes is handed out. */
#include "net/decode.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct decoder *decoder_create(void)
{
    struct decoder *decoder = malloc(sizeof *decoder);
    if (decoder != NULL)
        memset(decoder, 0, offsetof(struct decoder, batches));
    return decoder;
}

void decoder_destroy(struct decoder *decoder)
{
    free(decoder);
}

/* Decodes the command after those of the batch; at the end, everything must have been used up. */
static void decode_one(struct decoder *decoder)
{
    struct column_reader *columns = &decoder->columns;
    bool is_malformed = false;
    decoder->has_more = command_decode(columns, &decoder->command, &is_malformed);
    if (decoder->has_more && decoder->left == 0) {
        decoder->has_more = false;
        is_malformed = true;
    }
    decoder->is_malformed =
        is_malformed ||
        (!decoder->has_more && (decoder->left > 0 || columns->ids.cursor != columns->ids.end));
    decoder->left -= decoder->has_more;
}

void decoder_begin(struct decoder *decoder, const struct wal_block *block, const uint8_t *ids,
                   const uint8_t *fields)
{
    decoder->columns = (struct column_reader){.schema = block->schema,
                                              .ids = reader_init(ids, block->ids_size),
                                              .fields = reader_init(fields, block->fields_size),
                                              .time_us = block->time_us,
                                              .known = &decoder->known};
    decoder->seq_next = block->seq_first;
    decoder->left = block->command_count;
    decode_one(decoder);
}

void decoder_end(struct decoder *decoder)
{
    decoder->has_more = decoder->is_malformed = false;
}

static void batch_add(struct batch *batch, const struct logged_command *command)
{
    uint64_t *body = batch->bodies + batch->body_words;
    TILL_ASSERT(command->size <= FRAME_SIZE_MAX && command->size % 8 == 0);
    memcpy(body, command->body, command->size);
    batch->commands[batch->count++] =
        (struct command){.body = body, .size = command->size, .number = command->number};
    batch->body_words += command->size / 8;
}

void decoder_fill(struct decoder *decoder, struct batch *batch)
{
    TILL_ASSERT(decoder->has_more);
    batch->seq_first = decoder->seq_next;
    batch->time_us = decoder->command.time_us;
    batch->schema = decoder->columns.schema;
    batch->count = batch->body_words = 0;
    do {
        batch_add(batch, &decoder->command);
        decode_one(decoder);
    } while (decoder->has_more && batch->count < BATCH_COMMANDS_MAX &&
             decoder->command.time_us == batch->time_us);
    decoder->seq_next += batch->count;
}

struct batch *decoder_next(struct decoder *decoder)
{
    if (!decoder->has_more)
        return NULL;
    decoder->turn = 1 - decoder->turn;
    decoder_fill(decoder, &decoder->batches[decoder->turn]);
    return &decoder->batches[decoder->turn];
}
