/* The messages of till as C sees them.
 *
 * They are declared once, in the tables of engine/tables: fields.h has the types of fields and the
 * names of their values, messages.h the messages and the fields of their shapes. From them come:
 * the C structs (which are the wire layout), the asserted sizes, the structural check of requests,
 * the log's record codec (engine/codec.h), the handlers' prototypes and the dispatch, the shell,
 * the printed log, the JSON names, and the message tables of docs/protocol.md (`till protocol`
 * prints them).
 *
 * A message's body is a shape: fixed fields, little-endian, naturally aligned, a multiple of 8
 * bytes, with explicit zero fields as padding. A shape with a `count` field is followed by that
 * many rows of a second shape. The frame header before the body is net/frame.h's. */
#ifndef TILL_ENGINE_MESSAGES_H
#define TILL_ENGINE_MESSAGES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/schema.h"

struct name {
    char bytes[NAME_SIZE]; /* zero-padded; all zero is "no name" */
};

/* A name ends at its first zero byte, and only zeros follow. */
static inline bool name_is_valid(const struct name *name)
{
    for (size_t i = strnlen(name->bytes, NAME_SIZE); i < NAME_SIZE; i++) {
        if (name->bytes[i] != '\0')
            return false;
    }
    return true;
}

struct text {
    char bytes[96]; /* zero-terminated */
};

enum message_number {
#define MESSAGE(number, name, ...) MESSAGE_##name = (number),
#include "engine/tables/messages.h"
};

enum { MESSAGE_NUMBER_MAX = 127 };

enum message_kind {
    KIND_SESSION = 1,
    KIND_QUERY,
    KIND_COMMAND,
    KIND_INTERNAL,
    KIND_ADMIN,
    KIND_LINK
};

/* Which category of user may send a message: `any` for what a connection begins with, `server` for
 * what the server alone makes, `replica` for a server that follows this one. */
enum message_role {
    ROLE_any = 1,
    ROLE_read,
    ROLE_order,
    ROLE_payment,
    ROLE_stock,
    ROLE_sale,
    ROLE_points,
    ROLE_admin,
    ROLE_server,
    ROLE_replica,
};

/* The C structs. */
#define FIELD_TYPE(name, c_type, coding, separator) typedef c_type field_##name;
#include "engine/tables/fields.h"

#define SHAPE(shape)                                  struct shape##_body {
#define FIELD(shape, number, type, name, since, text) field_##type name;
#define SHAPE_END(shape)                                                                           \
    }                                                                                              \
    ;                                                                                              \
    static_assert(sizeof(struct shape##_body) % 8 == 0, "bodies keep frames aligned");
#include "engine/tables/messages.h"

/* No padding anywhere: the sum of the fields is the size. */
#define SHAPE(shape)                                  static_assert(sizeof(struct shape##_body) == 0
#define FIELD(shape, number, type, name, since, text) +sizeof(field_##type)
#define SHAPE_END(shape)                              , "padding is explicit");
#include "engine/tables/messages.h"

/* Has the shape fields that came after the first schema? */
#define SHAPE(shape)                                  enum { shape##_has_grown = false
#define FIELD(shape, number, type, name, since, text) || (since) > SCHEMA_FIRST
#define SHAPE_END(shape)                                                                           \
    }                                                                                              \
    ;
#include "engine/tables/messages.h"

/* The number of each field in its shape: what an INVALID rejection names, and ROW_FIELD more for
 * the field of a row. */
enum { ROW_FIELD = 256 };

#define SHAPE(shape)                                                                               \
    enum shape##_field                                                                             \
    {                                                                                              \
        shape##_field_none,
#define FIELD(shape, number, type, name, since, text) shape##_field_##name = (number),
#define SHAPE_END(shape)                                                                           \
    }                                                                                              \
    ;
#include "engine/tables/messages.h"

enum named_value {
#define NAMED(type, number, NAME) type##_##NAME = (number),
#include "engine/tables/fields.h"
};

/* The same as data, for code that handles any message. */
enum field_type {
#define FIELD_TYPE(name, c_type, coding, separator) FIELD_##name,
#include "engine/tables/fields.h"
    FIELD_TYPE_COUNT
};

enum field_coding { CODING_IDENTITY, CODING_UNSIGNED, CODING_SIGNED, CODING_BYTES, CODING_ZERO };

struct field_type_info {
    const char *name;
    uint8_t size_bytes;
    uint8_t coding;
    char separator;
};

struct field_info {
    const char *name;
    const char *text;
    uint16_t number;
    uint16_t offset;
    uint16_t since; /* the schema that brought it */
    uint8_t type;
};

struct shape_info {
    const char *name;
    const struct field_info *fields;
    uint16_t field_count;
    uint16_t size_bytes;
    int16_t count_offset;            /* of the `count` field; -1 when rows never follow */
    bool (*check)(const void *body); /* reserved bytes zero, enumerated values known */
};

struct message_info {
    const char *name; /* NULL: no such message */
    const char *help;
    uint8_t number;
    uint8_t kind;
    uint8_t role;   /* enum message_role */
    bool is_keyed;  /* its first field is an idempotency key */
    bool has_grown; /* its request has fields that came after the first schema */
    uint16_t since;
    uint16_t request_rows_max;
    uint16_t reply_rows_max;
    const struct shape_info *request;
    const struct shape_info *request_row; /* NULL: none */
    const struct shape_info *reply;
    const struct shape_info *reply_row; /* NULL: none */
};

struct named_value_info {
    const char *name;
    uint8_t type;
    uint16_t value;
};

const struct field_type_info *field_type_info(unsigned type);

/* The shape of a reply that was not done, and the longer one of NOT_PRIMARY, which begins like it.
 */
const struct shape_info *rejection_shape(void);
const struct shape_info *redirect_shape(void);

/* That of the body of a reply with this outcome and so many bytes: the message's own, if it was
 * done. */
const struct shape_info *reply_shape(const struct message_info *message, unsigned outcome,
                                     size_t size);

/* By number; read through message_info. */
extern const struct message_info message_table[MESSAGE_NUMBER_MAX + 1];

/* NULL when there is no message of that number or name. */
static inline const struct message_info *message_info(unsigned number)
{
    if (number > MESSAGE_NUMBER_MAX || message_table[number].name == NULL)
        return NULL;
    return &message_table[number];
}

const struct message_info *message_find(const char *name, size_t size);

/* All named values, in table order; the name of one (NULL when it has none), or one by its name. */
const struct named_value_info *named_values(size_t *count);
const char *named_value_name(unsigned type, uint64_t value);
bool named_value_find(unsigned type, const char *name, size_t size, uint16_t *value);

/* True for types whose named values are bits that combine. */
bool field_type_is_flags(unsigned type);

/* Is the shape's field of this index a REQUIRED one? */
bool field_is_required(const struct shape_info *shape, unsigned index);

/* The field with this number; NULL when the shape has none. */
const struct field_info *shape_field(const struct shape_info *shape, uint64_t number);

/* A metric in the reply to `stats`, rows included; 0 when it is not among them. */
uint64_t stats_metric(const struct stats_reply_body *stats, unsigned number);

/* Rows that follow a body of this shape: the value of its count field, 0 without one. */
static inline uint16_t shape_rows(const struct shape_info *shape, const void *body)
{
    uint16_t rows = 0;
    if (shape->count_offset >= 0)
        memcpy(&rows, (const uint8_t *)body + shape->count_offset, sizeof rows);
    return rows;
}

/* The body of a rejection: every one that is sent is made here. */
static inline struct rejection_body rejection_make(uint64_t seq, uint64_t subject, int64_t value)
{
    return (struct rejection_body){.seq = seq, .subject = subject, .value = value};
}

/* Is this a well-formed request of that message, of today's shapes: known enum values and flags,
 * reserved bytes zero, row count within its bound and consistent with size? On failure *reason says
 * what is wrong. */
bool message_check_request(const struct message_info *message, const void *body, size_t size,
                           const char **reason);

#endif
