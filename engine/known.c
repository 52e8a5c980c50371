/* Keeping terms that were checked. They are encoded once, when they come a second time in a row: a
 * record that begins with these bytes can only be an order with these terms, since records are read
 * from the front and each field tells where it ends. */
#include "engine/known.h"

static_assert(COMMAND_ENCODED_MAX(TERMS_BODY_SIZE) >= KNOWN_FIELDS_MAX,
              "known_encode stays within the room of a command");

void known_note(struct known_table *table, const void *body)
{
    uint8_t ids[COMMAND_ENCODED_MAX(TERMS_BODY_SIZE)];
    uint8_t fields[COMMAND_ENCODED_MAX(TERMS_BODY_SIZE)] = {0};
    struct column_writer writer = {.ids = ids, .fields = fields};
    struct terms *seen = &table->seen[terms_row(body)];
    bool again = terms_equal(seen, body);
    *seen = terms_of(body);
    if (!again)
        return;
    command_encode(MESSAGE_order_place, body, &writer);
    uint32_t size = (uint32_t)(writer.fields - fields);
    if (size > KNOWN_FIELDS_MAX)
        return;
    struct known *known = &table->rows[terms_row(body)];
    *known = (struct known){.terms = terms_of(body), .fields_size = size};
    memcpy(known->fields, fields, size);
}
