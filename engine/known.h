/* Known terms: those of orders that were checked, with their encoding in the log. Orders with the
 * same terms need not be checked again, and are encoded and decoded by copying. What is known of
 * terms follows from them alone, so it never becomes wrong; a row is only ever replaced. */
#ifndef TILL_ENGINE_KNOWN_H
#define TILL_ENGINE_KNOWN_H

#include "engine/codec.h"
#include "engine/terms.h"

enum { KNOWN_FIELDS_MAX = 64 };

struct known {
    struct terms terms;
    uint8_t fields[KNOWN_FIELDS_MAX]; /* the record in the fields column */
    uint32_t fields_size;             /* 0: none is known */
};

struct known_table {
    struct known rows[TERMS_ROWS];
    struct terms seen[TERMS_ROWS]; /* those that came last */
};

/* The row of these terms; NULL when they are not known. */
static inline const struct known *known_find(const struct known_table *table, const void *body)
{
    const struct known *known = &table->rows[terms_row(body)];
    return known->fields_size > 0 && terms_equal(&known->terms, body) ? known : NULL;
}

/* An order of one line has passed message_check_request: keeps its terms when they come a second
 * time in a row. */
void known_note(struct known_table *table, const void *body);

/* As command_encode of an order with these terms. */
static inline void known_encode(const struct known *known, const void *body,
                                struct column_writer *writer)
{
    memcpy(writer->ids, body, TERMS_OFFSET);
    memcpy(writer->fields, known->fields, KNOWN_FIELDS_MAX);
    writer->ids += TERMS_OFFSET;
    writer->fields += known->fields_size;
}

/* As message_check_request. */
static inline bool known_check_request(struct known_table *table,
                                       const struct message_info *message, const void *body,
                                       size_t size, const char **reason)
{
    bool has_terms = terms_are_of(message->number, (uint32_t)size);
    if (has_terms && known_find(table, body) != NULL)
        return true;
    bool is_right = message_check_request(message, body, size, reason);
    if (is_right && has_terms)
        known_note(table, body);
    return is_right;
}

/* As command_encode, of a request of this size. */
static inline void known_command_encode(const struct known_table *table, unsigned number,
                                        const void *body, uint32_t size,
                                        struct column_writer *writer)
{
    const struct known *known = terms_are_of(number, size) ? known_find(table, body) : NULL;
    if (known != NULL)
        known_encode(known, body, writer);
    else
        command_encode(number, body, writer);
}

/* As command_decode, where the next record is an order with these terms; else false, and nothing
 * was read. The record was written in the schema of today. */
static inline bool known_decode(const struct known *known, struct column_reader *reader,
                                struct logged_command *command)
{
    if ((size_t)(reader->fields.end - reader->fields.cursor) < known->fields_size ||
        (size_t)(reader->ids.end - reader->ids.cursor) < TERMS_OFFSET ||
        memcmp(reader->fields.cursor, known->fields, known->fields_size) != 0)
        return false;
    memcpy(command->body, reader->ids.cursor, TERMS_OFFSET);
    memcpy((uint8_t *)command->body + TERMS_OFFSET, &known->terms, sizeof known->terms);
    reader->ids.cursor += TERMS_OFFSET;
    reader->fields.cursor += known->fields_size;
    command->time_us = reader->time_us;
    command->size = TERMS_BODY_SIZE;
    command->number = MESSAGE_order_place;
    return true;
}

#endif
