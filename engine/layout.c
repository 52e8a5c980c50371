/* Between the layouts of schemas.
 *
 * Good path: the schema that a body is of is found by its size, and the fixed fields and each row
 * are copied to where today's shapes have them. Nothing here is on the way of a body that has
 * today's layout.
 *
 * A reply of a newer schema has no description. Its fixed fields, when rows follow, do not grow
 * beyond the size that they had first (`make schema-check` refuses it), so that the size of a row
 * is what is left, divided by the count.
 *
 * What can fail: a body that is of no schema. What is inside of it is for others to check. */
#include "engine/layout.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/schema.h"

/* Where the parts of a body stand. */
struct layout {
    uint32_t fixed; /* bytes of the fixed fields */
    uint32_t row;   /* bytes of each row */
    uint16_t rows;
};

uint32_t layout_shape_size(const struct shape_info *shape, unsigned schema)
{
    uint32_t end = 0;
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        uint32_t field_end = field->offset + (uint32_t)field_type_info(field->type)->size_bytes;
        if (field->since <= schema && field_end > end)
            end = field_end;
    }
    return (end + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
}

/* The newest schema that has changed the shape. */
static unsigned shape_schema(const struct shape_info *shape)
{
    unsigned schema = SCHEMA_FIRST;
    for (uint16_t i = 0; shape != NULL && i < shape->field_count; i++) {
        if (shape->fields[i].since > schema)
            schema = shape->fields[i].since;
    }
    return schema;
}

/* The layout of that schema, when the body is of it; a count came with some schema as well. */
static bool layout_find(const struct shape_info *shape, const struct shape_info *row,
                        unsigned schema, const void *body, size_t size, struct layout *layout)
{
    *layout = (struct layout){.fixed = layout_shape_size(shape, schema)};
    if (size < layout->fixed)
        return false;
    if (row != NULL && shape->count_offset < (int)layout->fixed) {
        layout->row = layout_shape_size(row, schema);
        layout->rows = shape_rows(shape, body);
    }
    return size == layout->fixed + (size_t)layout->rows * layout->row;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Copies a body to today's layout; returns its size. */
static uint32_t layout_copy(const struct shape_info *shape, const struct shape_info *row,
                            const struct layout *layout, const uint8_t *body, uint8_t *room)
{
    uint32_t row_size = row != NULL ? row->size_bytes : 0;
    uint32_t size = shape->size_bytes + layout->rows * row_size;
    memset(room, 0, size);
    memcpy(room, body, smaller(layout->fixed, shape->size_bytes));
    body += layout->fixed;
    room += shape->size_bytes;
    for (uint16_t i = 0; i < layout->rows; i++, body += layout->row, room += row_size)
        memcpy(room, body, smaller(layout->row, row_size));
    return size;
}

/* The older schemas, the newest first. */
static uint32_t widen(const struct shape_info *shape, const struct shape_info *row,
                      uint16_t rows_max, const void *body, size_t size, void *room)
{
    unsigned schema = shape_schema(shape);
    struct layout layout;
    if (shape_schema(row) > schema)
        schema = shape_schema(row);
    while (schema-- > SCHEMA_FIRST) {
        if (layout_find(shape, row, schema, body, size, &layout) && layout.rows <= rows_max)
            return layout_copy(shape, row, &layout, body, room);
    }
    return 0;
}

uint32_t layout_widen(const struct message_info *message, const void *body, size_t size, void *room)
{
    if (!message->has_grown)
        return 0;
    return widen(message->request, message->request_row, message->request_rows_max, body, size,
                 room);
}

/* A reply that has more than today's: longer rows or, where there are none, a longer body. */
static uint32_t narrow(const struct shape_info *shape, const struct shape_info *row,
                       uint16_t rows_max, const void *body, size_t size, void *room)
{
    struct layout layout = {.fixed = shape->size_bytes};
    if (size < layout.fixed)
        return 0;
    layout.rows = row != NULL ? shape_rows(shape, body) : 0;
    if (layout.rows > 0) {
        size_t left = size - layout.fixed;
        layout.row = (uint32_t)(left / layout.rows);
        if (layout.rows > rows_max || left % layout.rows != 0 || layout.row < row->size_bytes ||
            layout.row % FRAME_ALIGN != 0)
            return 0;
    }
    return layout_copy(shape, row, &layout, body, room);
}

static bool is_ours(const struct shape_info *shape, const struct shape_info *row, uint16_t rows_max,
                    const void *body, size_t size)
{
    if (size < shape->size_bytes)
        return false;
    uint16_t rows = row != NULL ? shape_rows(shape, body) : 0;
    return rows <= rows_max &&
           size == shape->size_bytes + (rows > 0 ? (size_t)rows * row->size_bytes : 0);
}

const void *layout_reply(const struct message_info *message, unsigned outcome, const void *body,
                         uint32_t *size, void *room)
{
    const struct shape_info *shape = reply_shape(message, outcome, *size);
    const struct shape_info *row = shape == message->reply ? message->reply_row : NULL;
    uint16_t rows_max = message->reply_rows_max;
    if (is_ours(shape, row, rows_max, body, *size))
        return body;
    uint32_t fitted = widen(shape, row, rows_max, body, *size, room);
    if (fitted == 0)
        fitted = narrow(shape, row, rows_max, body, *size, room);
    *size = fitted;
    return fitted > 0 ? room : NULL;
}

/* The newest schema of the fields that are not zero. */
static unsigned content_schema(const struct shape_info *shape, const uint8_t *body)
{
    unsigned schema = SCHEMA_FIRST;
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        if (field->since > schema &&
            !bytes_are_zero(body + field->offset, field_type_info(field->type)->size_bytes))
            schema = field->since;
    }
    return schema;
}

uint64_t layout_fingerprint(const struct message_info *message, const void *body, size_t size,
                            uint64_t seed)
{
    const struct shape_info *shape = message->request;
    const struct shape_info *row = message->request_row;
    const uint8_t *from = (const uint8_t *)body + shape->size_bytes;
    uint16_t rows = shape_rows(shape, body);
    unsigned schema = content_schema(shape, body);
    for (uint16_t i = 0; i < rows; i++) {
        unsigned row_schema = content_schema(row, from + (size_t)i * row->size_bytes);
        schema = row_schema > schema ? row_schema : schema;
    }
    uint32_t fixed = layout_shape_size(shape, schema);
    uint32_t row_size = rows > 0 ? layout_shape_size(row, schema) : 0;
    uint64_t oldest[FRAME_SIZE_MAX / 8];
    uint8_t *to = (uint8_t *)oldest + fixed;
    TILL_ASSERT(size <= sizeof oldest);
    memcpy(oldest, body, fixed);
    for (uint16_t i = 0; i < rows; i++, to += row_size, from += row->size_bytes)
        memcpy(to, from, row_size);
    return checksum64_seeded(oldest, (size_t)(to - (uint8_t *)oldest), seed);
}
