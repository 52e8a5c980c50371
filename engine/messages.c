/* The message tables as data, and the one structural check that every request passes before the
 * engine sees it. What passes here is well-formed; what it means is for the handlers to judge. */
#include "engine/messages.h"

#include <string.h>

#include "base/assert.h"
#include "base/status.h"

static const struct field_type_info field_types[FIELD_TYPE_COUNT] = {
#define FIELD_TYPE(name, c_type, coding, separator)                                                \
    [FIELD_##name] = {#name, sizeof(c_type), CODING_##coding, separator},
#include "engine/tables/fields.h"
};

static const struct named_value_info named[] = {
#define NAMED(type, number, NAME) {#NAME, FIELD_##type, number},
#include "engine/tables/fields.h"
};

enum { NAMED_COUNT = sizeof named / sizeof named[0] };

#define SHAPE(shape) static const struct field_info shape##_fields[] = {
#define FIELD(shape, field_number, field_type, field_name, field_since, field_text)                \
    {.name = #field_name,                                                                          \
     .text = field_text,                                                                           \
     .number = field_number,                                                                       \
     .offset = offsetof(struct shape##_body, field_name),                                          \
     .since = field_since,                                                                         \
     .type = FIELD_##field_type},
#define SHAPE_END(shape)                                                                           \
    }                                                                                              \
    ;
#include "engine/tables/messages.h"

bool field_type_is_flags(unsigned type)
{
    return false
#define FLAGS(flags) || type == FIELD_##flags
#include "engine/tables/fields.h"
        ;
}

/* Which values a type admits: bit v for the value v of an enumerated type, the union of the bits
 * of a type of flags, 0 for types that admit everything, as a metric's number does: it stands in
 * replies alone, and there are more than bits. A constant where the type is one. */
static inline uint64_t admitted(unsigned type)
{
    uint64_t flags = 0;
    uint64_t values = 0;
    if (type == FIELD_metric)
        return 0;
#define NAMED(named_type, number, NAME)                                                            \
    flags |= type == FIELD_##named_type ? (uint64_t)(number) : 0;                                  \
    values |= type == FIELD_##named_type ? 1ULL << ((number)&63) : 0;
#include "engine/tables/fields.h"
    return field_type_is_flags(type) ? flags : values;
}

static inline bool field_is_valid(unsigned type, const void *field)
{
    uint64_t value = 0;
    bool zero = field_types[type].coding == CODING_ZERO;
    uint64_t mask = admitted(type);
    if (type == FIELD_name)
        return name_is_valid(field);
    if (!zero && mask == 0)
        return true;
    memcpy(&value, field, field_types[type].size_bytes);
    if (zero)
        return value == 0;
    if (field_type_is_flags(type))
        return (value & ~mask) == 0;
    return value < 64 && (mask >> value & 1) != 0;
}

/* One straight-line checker per shape; the compiler drops the fields that admit everything. */
#define SHAPE(shape)                                                                               \
    static bool check_##shape(const void *body)                                                    \
    {                                                                                              \
        const struct shape##_body *typed = body;                                                   \
        return true
#define FIELD(shape, number, type, name, since, text) &field_is_valid(FIELD_##type, &typed->name)
#define SHAPE_END(shape)                                                                           \
    ;                                                                                              \
    }
#include "engine/tables/messages.h"

/* The offset of a shape's count field, plus one; 0 without one. It is a sum to which only the
 * `count` field adds. */
#define SHAPE(shape) enum { shape##_count_place = 0
#define FIELD(shape, number, type, name, since, text)                                              \
    +(FIELD_##type == FIELD_count ? offsetof(struct shape##_body, name) + 1 : 0)
#define SHAPE_END(shape)                                                                           \
    }                                                                                              \
    ;
#include "engine/tables/messages.h"

#define SHAPE(shape_name)                                                                          \
    static const struct shape_info shape_##shape_name = {                                          \
        .name = #shape_name,                                                                       \
        .fields = shape_name##_fields,                                                             \
        .field_count = sizeof shape_name##_fields / sizeof shape_name##_fields[0],                 \
        .size_bytes = sizeof(struct shape_name##_body),                                            \
        .check = check_##shape_name,                                                               \
        .count_offset = shape_name##_count_place - 1,                                              \
    };
#include "engine/tables/messages.h"

/* Named by messages without rows; never reached. */
static const struct shape_info shape_none = {.name = "none", .count_offset = -1};
enum { none_has_grown = false };

const struct message_info message_table[MESSAGE_NUMBER_MAX + 1] = {
#define IS_KEYED      true
#define IS_KEYED_ROWS true
#define IS_FREE       false
#define MESSAGE(message_number, c_name, text_name, KIND, message_role, KEY, message_since,         \
                request_shape, row, rows_max, reply_shape, reply_row_shape, reply_max,             \
                message_help)                                                                      \
    [message_number] = {                                                                           \
        .name = text_name,                                                                         \
        .help = message_help,                                                                      \
        .number = message_number,                                                                  \
        .kind = KIND_##KIND,                                                                       \
        .role = ROLE_##message_role,                                                               \
        .is_keyed = IS_##KEY,                                                                      \
        .has_grown = request_shape##_has_grown || row##_has_grown,                                 \
        .since = message_since,                                                                    \
        .request_rows_max = rows_max,                                                              \
        .reply_rows_max = reply_max,                                                               \
        .request = &shape_##request_shape,                                                         \
        .request_row = (rows_max) > 0 ? &shape_##row : NULL,                                       \
        .reply = &shape_##reply_shape,                                                             \
        .reply_row = (reply_max) > 0 ? &shape_##reply_row_shape : NULL,                            \
    },
#include "engine/tables/messages.h"
#undef IS_KEYED
#undef IS_KEYED_ROWS
#undef IS_FREE
};

/* Whatever a well-formed request holds and whatever its reply tells, both fit a frame. */
struct none_body {
    uint64_t unused;
};
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row, rows_max, reply,    \
                reply_row, reply_max, help)                                                        \
    static_assert(FRAME_HEAD_MAX + sizeof(struct request##_body) +                                 \
                          (rows_max) * sizeof(struct row##_body) <=                                \
                      FRAME_SIZE_MAX,                                                              \
                  text_name ": the largest request");                                              \
    static_assert(FRAME_HEAD_MAX + sizeof(struct reply##_body) +                                   \
                          (reply_max) * sizeof(struct reply_row##_body) <=                         \
                      FRAME_SIZE_MAX,                                                              \
                  text_name ": the largest reply");
#include "engine/tables/messages.h"

const struct field_type_info *field_type_info(unsigned type)
{
    TILL_ASSERT(type < FIELD_TYPE_COUNT);
    return &field_types[type];
}

const struct field_info *shape_field(const struct shape_info *shape, uint64_t number)
{
    for (uint16_t i = 0; i < shape->field_count; i++) {
        if (shape->fields[i].number == number)
            return &shape->fields[i];
    }
    return NULL;
}

const struct shape_info *rejection_shape(void)
{
    return &shape_rejection;
}

/* Whoever knows only the rejection reads the epoch as its subject. */
static_assert(offsetof(struct redirect_body, epoch) == offsetof(struct rejection_body, subject) &&
                  offsetof(struct redirect_body, reserved) ==
                      offsetof(struct rejection_body, value) &&
                  offsetof(struct redirect_body, primary) == sizeof(struct rejection_body),
              "a redirect begins like a rejection");

const struct shape_info *redirect_shape(void)
{
    return &shape_redirect;
}

const struct shape_info *reply_shape(const struct message_info *message, unsigned outcome,
                                     size_t size)
{
    if (outcome == OUTCOME_OK || outcome == OUTCOME_REPLAYED)
        return message->reply;
    return outcome == OUTCOME_NOT_PRIMARY && size >= sizeof(struct redirect_body)
               ? &shape_redirect
               : &shape_rejection;
}

bool field_is_required(const struct shape_info *shape, unsigned index)
{
    static const struct {
        const struct shape_info *shape;
        unsigned number;
    } rows[] = {
#define REQUIRED(shape_name, field_name) {&shape_##shape_name, shape_name##_field_##field_name},
#include "engine/tables/messages.h"
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].shape == shape && rows[i].number == shape->fields[index].number)
            return true;
    }
    return false;
}

uint64_t stats_metric(const struct stats_reply_body *stats, unsigned number)
{
    const struct metric_body *rows = (const struct metric_body *)(stats + 1);
    for (uint16_t i = 0; i < stats->metric_count; i++) {
        if (rows[i].metric == number)
            return rows[i].value;
    }
    return 0;
}

const struct message_info *message_find(const char *name, size_t size)
{
    for (unsigned i = 0; i <= MESSAGE_NUMBER_MAX; i++) {
        const char *candidate = message_table[i].name;
        if (candidate != NULL && strlen(candidate) == size && memcmp(candidate, name, size) == 0)
            return &message_table[i];
    }
    return NULL;
}

const struct named_value_info *named_values(size_t *count)
{
    *count = NAMED_COUNT;
    return named;
}

const char *named_value_name(unsigned type, uint64_t value)
{
    for (size_t i = 0; i < NAMED_COUNT; i++) {
        if (named[i].type == type && named[i].value == value)
            return named[i].name;
    }
    return NULL;
}

bool named_value_find(unsigned type, const char *name, size_t size, uint16_t *value)
{
    for (size_t i = 0; i < NAMED_COUNT; i++) {
        if (named[i].type == type && strlen(named[i].name) == size &&
            memcmp(named[i].name, name, size) == 0) {
            *value = named[i].value;
            return true;
        }
    }
    return false;
}

bool message_check_request(const struct message_info *message, const void *body, size_t size,
                           const char **reason)
{
    const struct shape_info *shape = message->request;
    if (size < shape->size_bytes) {
        *reason = "the body is shorter than its fixed fields";
        return false;
    }
    uint16_t rows = shape_rows(shape, body);
    if (rows > message->request_rows_max) {
        *reason = "more rows than the message allows";
        return false;
    }
    size_t row_size = rows > 0 ? message->request_row->size_bytes : 0;
    if (size != shape->size_bytes + rows * row_size) {
        *reason = "the size does not match the row count";
        return false;
    }
    if (!shape->check(body)) {
        *reason = "a reserved byte is not zero, a value or flag not defined, or a name not padded";
        return false;
    }
    const uint8_t *row = (const uint8_t *)body + shape->size_bytes;
    for (uint16_t i = 0; i < rows; i++, row += row_size) {
        if (!message->request_row->check(row)) {
            *reason = "a reserved byte of a row is not zero";
            return false;
        }
    }
    return true;
}
