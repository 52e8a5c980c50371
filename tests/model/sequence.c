/* Sequences and their text. Printing walks the message tables, so that a failure reads like the
 * protocol's own documentation. */
#include "tests/model/sequence.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void sequence_deinit(struct sequence *sequence)
{
    free(sequence->items);
    free(sequence->bytes);
}

void sequence_add(struct sequence *sequence, uint64_t time, uint16_t number, const void *body,
                  uint32_t size)
{
    sequence->items = model_list_grown(sequence->items, &sequence->room, sequence->count,
                                       sizeof *sequence->items);
    sequence->items[sequence->count++] = (struct sequence_item){
        .time = time,
        .offset = (size_t)sequence->byte_count,
        .size = size,
        .number = number,
        .ends_batch = true,
    };
    while (sequence->byte_room < sequence->byte_count + (int)size) {
        sequence->bytes =
            model_list_grown(sequence->bytes, &sequence->byte_room, sequence->byte_room, 1);
    }
    memcpy(sequence->bytes + sequence->byte_count, body, size);
    sequence->byte_count += (int)size;
}

struct model_request sequence_request(const struct sequence *sequence, int index)
{
    const struct sequence_item *item = &sequence->items[index];
    return (struct model_request){sequence->bytes + item->offset, item->size, item->number};
}

static void field_print(FILE *file, const struct field_info *field, const uint8_t *body)
{
    const struct field_type_info *type = field_type_info(field->type);
    uint64_t value = 0;
    char text[ID_TEXT_SIZE];
    struct id id;
    if (type->coding == CODING_ZERO)
        return;
    fprintf(file, " %s=", field->name);
    if (type->coding == CODING_IDENTITY) {
        memcpy(&id, body + field->offset, sizeof id);
        fputs(id_format(id, text), file);
    } else if (type->coding == CODING_BYTES) {
        fprintf(file, "'%.*s'", type->size_bytes, (const char *)body + field->offset);
    } else {
        memcpy(&value, body + field->offset, type->size_bytes);
        const char *name = named_value_name(field->type, value);
        if (name != NULL && !field_type_is_flags(field->type))
            fputs(name, file);
        else if (type->coding == CODING_SIGNED)
            fprintf(file, "%" PRId64, (int64_t)value);
        else
            fprintf(file, "%" PRIu64, value);
    }
}

static void body_print(FILE *file, const struct shape_info *shape, const struct shape_info *row,
                       const void *body, uint32_t size)
{
    const uint8_t *end = (const uint8_t *)body + size;
    const uint8_t *at = body;
    for (int i = 0; i < shape->field_count; i++)
        field_print(file, &shape->fields[i], at);
    at += shape->size_bytes;
    for (; row != NULL && at + row->size_bytes <= end; at += row->size_bytes) {
        fputs(" [", file);
        for (int i = 0; i < row->field_count; i++)
            field_print(file, &row->fields[i], at);
        fputs(" ]", file);
    }
}

void request_print(FILE *file, const struct model_request *request)
{
    const struct message_info *message = message_info(request->number);
    fputs(message->name, file);
    body_print(file, message->request, message->request_row, request->body, request->size);
    fputc('\n', file);
}

void reply_print(FILE *file, uint16_t number, uint16_t outcome, bool accepted, const void *reply,
                 uint32_t size)
{
    const struct message_info *message = message_info(number);
    bool is_done = outcome == OUTCOME_OK || outcome == OUTCOME_REPLAYED;
    const struct shape_info *shape = is_done ? message->reply : rejection_shape();
    fprintf(file, "%s%s (%u bytes)", outcome_name(outcome), accepted ? " accepted" : "", size);
    if (size >= shape->size_bytes)
        body_print(file, shape, is_done ? message->reply_row : NULL, reply, size);
    fputc('\n', file);
}

void sequence_print(FILE *file, const struct sequence *sequence)
{
    for (int i = 0; i < sequence->count; i++) {
        struct model_request request = sequence_request(sequence, i);
        fprintf(file, "    %d: time %" PRIu64 "%s ", i, sequence->items[i].time,
                sequence->items[i].ends_batch ? "" : " +");
        request_print(file, &request);
    }
}
