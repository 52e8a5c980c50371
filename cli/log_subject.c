/* See log_subject.h. Which field names what follows from its name and type in the tables of
 * messages, so that a new message is found by its fields. */
#include "cli/log_subject.h"

#include <stdio.h>
#include <string.h>

#include "cli/value.h"

/* By log_subject_kind. */
static const struct {
    const char *name; /* of the option and of the field */
    unsigned type;
} kinds[] = {
    [SUBJECT_NONE] = {"", FIELD_zero8},
    [SUBJECT_ORDER] = {"order", FIELD_id},
    [SUBJECT_CUSTOMER] = {"customer", FIELD_id},
    [SUBJECT_SKU] = {"sku", FIELD_sku},
};

static int16_t find_field(const struct shape_info *shape, enum log_subject_kind kind)
{
    for (uint16_t i = 0; shape != NULL && i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        if (field->type == kinds[kind].type && strcmp(field->name, kinds[kind].name) == 0)
            return (int16_t)field->offset;
    }
    return -1;
}

int16_t log_subject_offset(enum log_subject_kind kind, unsigned number)
{
    const struct message_info *message = message_info(number);
    return message != NULL ? find_field(message->request, kind) : -1;
}

bool log_subject_read(struct log_subject *subject, const char *order, const char *customer,
                      const char *sku)
{
    const char *const typed[] = {NULL, order, customer, sku};
    char expected[VALUE_EXPECTED_SIZE];
    *subject = (struct log_subject){.kind = SUBJECT_NONE};
    for (enum log_subject_kind kind = SUBJECT_ORDER; kind <= SUBJECT_SKU; kind++) {
        if (typed[kind] == NULL)
            continue;
        if (subject->kind != SUBJECT_NONE) {
            fprintf(stderr, "till log: --order, --customer and --sku: give one of them\n");
            return false;
        }
        unsigned type = kinds[kind].type;
        subject->kind = kind;
        subject->name = kinds[kind].name;
        subject->typed = typed[kind];
        if (!value_read(type, typed[kind], strlen(typed[kind]), 0, &subject->id) ||
            value_is_zero(type, &subject->id)) {
            fprintf(stderr, "till log: --%s %s: expected %s, not 0\n", subject->name, typed[kind],
                    value_expected(type, expected));
            return false;
        }
    }
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *message = message_info(number);
        subject->body_offset[number] = log_subject_offset(subject->kind, number);
        subject->row_offset[number] =
            message != NULL ? find_field(message->request_row, subject->kind) : -1;
    }
    return true;
}

static bool is_named_at(const struct log_subject *subject, const uint8_t *field)
{
    return subject->kind == SUBJECT_SKU ? memcmp(field, &subject->sku, sizeof subject->sku) == 0
                                        : memcmp(field, &subject->id, sizeof subject->id) == 0;
}

bool log_subject_is_named(const struct log_subject *subject, unsigned number, const void *body)
{
    if (subject->body_offset[number] >= 0 &&
        is_named_at(subject, (const uint8_t *)body + subject->body_offset[number]))
        return true;
    if (subject->row_offset[number] < 0)
        return false;
    const struct message_info *message = message_info(number);
    const uint8_t *row = (const uint8_t *)body + message->request->size_bytes;
    uint16_t count = shape_rows(message->request, body);
    for (uint16_t i = 0; i < count; i++, row += message->request_row->size_bytes) {
        if (is_named_at(subject, row + subject->row_offset[number]))
            return true;
    }
    return false;
}
