/* A sequence of requests with their times and batches, as plain data: generated once, then played
 * as often as needed, whole or in parts. */
#ifndef TILL_TESTS_MODEL_SEQUENCE_H
#define TILL_TESTS_MODEL_SEQUENCE_H

#include <stdio.h>

#include "tests/model/model.h"

struct sequence_item {
    uint64_t time;
    size_t offset; /* of the body */
    uint32_t size;
    uint16_t number;
    bool ends_batch;
};

struct sequence {
    uint64_t seed;
    struct sequence_item *items;
    int count;
    int room;
    uint8_t *bytes; /* bodies, 8-byte aligned */
    int byte_count;
    int byte_room;
};

void sequence_deinit(struct sequence *sequence);

/* Adds a request; the item's offset and size are filled in. */
void sequence_add(struct sequence *sequence, uint64_t time, uint16_t number, const void *body,
                  uint32_t size);

struct model_request sequence_request(const struct sequence *sequence, int index);

/* As text: the message and field=value for each field; rows in brackets. */
void request_print(FILE *file, const struct model_request *request);
void reply_print(FILE *file, uint16_t number, uint16_t outcome, bool accepted, const void *reply,
                 uint32_t size);
void sequence_print(FILE *file, const struct sequence *sequence);

#endif
