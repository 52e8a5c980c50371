/* Bodies of other schemas, with made-up shapes that have grown twice: an older body gets zeros in
 * the fields that it lacks, a newer one loses the fields that are not known here, and anything else
 * is refused. */
#include "engine/layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/test.h"

enum { ROWS_MAX = 4, BODY_SIZE_MAX = 256 };

/* Bytes of body and row, by schema. */
static const uint32_t body_sizes[] = {0, 16, 24, 32};
static const uint32_t row_sizes[] = {0, 8, 8, 16};

static const struct field_info body_fields[] = {
    {.name = "key", .number = 1, .offset = 0, .since = 1, .type = FIELD_u64},
    {.name = "row_count", .number = 2, .offset = 8, .since = 1, .type = FIELD_count},
    {.name = "flag", .number = 5, .offset = 10, .since = 2, .type = FIELD_u16},
    {.name = "reserved", .number = 3, .offset = 12, .since = 1, .type = FIELD_zero32},
    {.name = "later", .number = 6, .offset = 16, .since = 2, .type = FIELD_u64},
    {.name = "latest", .number = 7, .offset = 24, .since = 3, .type = FIELD_u64},
};
static const struct field_info row_fields[] = {
    {.name = "sku", .number = 1, .offset = 0, .since = 1, .type = FIELD_sku},
    {.name = "note", .number = 2, .offset = 8, .since = 3, .type = FIELD_u64},
};
static const struct shape_info body_shape = {
    .name = "body", .fields = body_fields, .field_count = 6, .size_bytes = 32, .count_offset = 8};
static const struct shape_info row_shape = {
    .name = "row", .fields = row_fields, .field_count = 2, .size_bytes = 16, .count_offset = -1};
static const struct message_info message = {
    .name = "made.up",
    .number = 63,
    .has_grown = true,
    .request_rows_max = ROWS_MAX,
    .reply_rows_max = ROWS_MAX,
    .request = &body_shape,
    .request_row = &row_shape,
    .reply = &body_shape,
    .reply_row = &row_shape,
};

/* The same before it had grown. */
static const struct shape_info first_body_shape = {
    .name = "body", .fields = body_fields, .field_count = 2, .size_bytes = 16, .count_offset = 8};
static const struct shape_info first_row_shape = {
    .name = "row", .fields = row_fields, .field_count = 1, .size_bytes = 8, .count_offset = -1};
static const struct message_info first_message = {
    .name = "made.up",
    .number = 63,
    .reply_rows_max = ROWS_MAX,
    .reply = &first_body_shape,
    .reply_row = &first_row_shape,
};

/* A body of a schema in which every byte is nonzero except the reserved ones; returns its size. */
static uint32_t make_body(unsigned schema, unsigned rows, uint8_t *body)
{
    uint32_t size = body_sizes[schema] + rows * row_sizes[schema];
    for (uint32_t i = 0; i < size; i++)
        body[i] = (uint8_t)(1 + test_random_below(UINT8_MAX));
    memset(body + 10, 0, 6);
    memcpy(body + 8, &(uint16_t){(uint16_t)rows}, sizeof(uint16_t));
    return size;
}

static void check_widened(unsigned schema, unsigned rows, const uint8_t *old, const uint8_t *new)
{
    static const uint8_t zeros[BODY_SIZE_MAX];
    CHECK(memcmp(new, old, body_sizes[schema]) == 0);
    CHECK(memcmp(new + body_sizes[schema], zeros, 32 - body_sizes[schema]) == 0);
    for (unsigned i = 0; i < rows; i++) {
        const uint8_t *row = new + 32 + 16 * i;
        CHECK(memcmp(row, old + body_sizes[schema] + i * row_sizes[schema], row_sizes[schema]) ==
              0);
        CHECK(memcmp(row + row_sizes[schema], zeros, 16 - row_sizes[schema]) == 0);
    }
}

TEST(request_of_an_older_schema_has_zeros_in_what_it_lacks)
{
    for (unsigned schema = 1; schema < 3; schema++) {
        for (unsigned rows = 0; rows <= ROWS_MAX; rows++) {
            uint64_t old[BODY_SIZE_MAX / 8];
            uint64_t new[BODY_SIZE_MAX / 8];
            uint32_t size = make_body(schema, rows, (uint8_t *)old);
            memset(new, 0xff, sizeof new);
            CHECK_EQUAL(layout_widen(&message, old, size, new), 32 + 16 * rows);
            check_widened(schema, rows, (const uint8_t *)old, (const uint8_t *)new);
        }
    }
}

TEST(request_of_a_size_that_no_older_schema_has_is_refused)
{
    uint64_t body[BODY_SIZE_MAX / 8];
    uint64_t room[BODY_SIZE_MAX / 8];
    for (unsigned rows = 0; rows <= ROWS_MAX + 1; rows++) {
        make_body(1, rows, (uint8_t *)body);
        for (uint32_t size = 0; size <= 120; size++) {
            bool is_older = rows <= ROWS_MAX && (size == 16u + 8 * rows || size == 24u + 8 * rows);
            CHECK_EQUAL(layout_widen(&message, body, size, room) > 0, is_older);
        }
    }
}

/* A message whose request has got rows: their count came with them, so an older one has none. */
TEST(request_from_before_its_message_had_rows_has_none)
{
    uint64_t old[6] = {1, 0, 2, 0, 100, 1ULL << 32 | 5};
    uint64_t room[FRAME_SIZE_MAX / 8];
    const struct message_info *event = message_info(MESSAGE_payment_event);
    const struct payment_event_body *widened = (const struct payment_event_body *)room;
    CHECK_EQUAL(layout_widen(event, old, sizeof old, room), sizeof *widened);
    CHECK(memcmp(room, old, sizeof old) == 0);
    CHECK_EQUAL(widened->opaque_count, 0);
    CHECK_EQUAL(widened->opaque_size, 0);
    CHECK_EQUAL(layout_widen(event, old, sizeof old - 8, room), 0);
}

TEST(message_that_has_not_grown_has_no_older_request)
{
    uint64_t body[BODY_SIZE_MAX / 8] = {0};
    uint64_t room[FRAME_SIZE_MAX / 8];
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *known = message_info(number);
        for (uint32_t size = 0; known != NULL && !known->has_grown && size < BODY_SIZE_MAX; size++)
            CHECK_EQUAL(layout_widen(known, body, size, room), 0);
    }
}

TEST(shapes_of_today_have_their_sizes_in_todays_schema)
{
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *known = message_info(number);
        if (known == NULL)
            continue;
        CHECK_EQUAL(layout_shape_size(known->request, SCHEMA), known->request->size_bytes);
        CHECK_EQUAL(layout_shape_size(known->reply, SCHEMA), known->reply->size_bytes);
    }
    for (unsigned schema = 1; schema <= 3; schema++) {
        CHECK_EQUAL(layout_shape_size(&body_shape, schema), body_sizes[schema]);
        CHECK_EQUAL(layout_shape_size(&row_shape, schema), row_sizes[schema]);
    }
}

TEST(fingerprint_is_that_of_the_oldest_schema_that_has_the_content)
{
    for (unsigned schema = 1; schema <= 3; schema++) {
        for (unsigned rows = 0; rows <= ROWS_MAX; rows++) {
            uint64_t old[BODY_SIZE_MAX / 8];
            uint64_t new[BODY_SIZE_MAX / 8];
            uint32_t size = make_body(schema, rows, (uint8_t *)old);
            uint32_t size_new = schema < 3 ? layout_widen(&message, old, size, new) : size;
            if (schema == 3)
                memcpy(new, old, size);
            uint64_t expected = checksum64_seeded(old, size, 9);
            CHECK_EQUAL(request_fingerprint(&message, new, size_new, 9), expected);
            ((uint8_t *)new)[10] = 1; /* a field of schema 2 that was reserved bytes */
            CHECK(request_fingerprint(&message, new, size_new, 9) != expected);
        }
    }
}

TEST(reply_of_todays_schema_stays_where_it_is)
{
    uint64_t body[BODY_SIZE_MAX / 8];
    for (unsigned rows = 0; rows <= ROWS_MAX + 1; rows++) {
        uint32_t size = make_body(3, rows, (uint8_t *)body);
        uint64_t room[FRAME_SIZE_MAX / 8];
        CHECK((layout_reply(&message, OUTCOME_OK, body, &size, room) == body) ==
              (rows <= ROWS_MAX));
    }
}

TEST(reply_of_an_older_schema_has_zeros_in_what_it_lacks)
{
    for (unsigned schema = 1; schema < 3; schema++) {
        uint64_t body[BODY_SIZE_MAX / 8];
        uint64_t room[FRAME_SIZE_MAX / 8];
        uint32_t size = make_body(schema, ROWS_MAX, (uint8_t *)body);
        CHECK(layout_reply(&message, OUTCOME_OK, body, &size, room) == room);
        CHECK_EQUAL(size, 32 + 16 * ROWS_MAX);
        check_widened(schema, ROWS_MAX, (const uint8_t *)body, (const uint8_t *)room);
    }
}

/* A newer server's rows are longer, or its body is longer where it has no rows. */
TEST(reply_of_a_newer_schema_lacks_what_is_not_known)
{
    uint8_t body[BODY_SIZE_MAX];
    uint64_t room[FRAME_SIZE_MAX / 8];
    for (unsigned rows = 0; rows <= ROWS_MAX; rows++) {
        for (uint32_t row_size = 8; row_size <= 48; row_size += 8) {
            uint32_t size = 16 + rows * row_size;
            for (uint32_t i = 0; i < sizeof body; i++)
                body[i] = (uint8_t)test_random();
            memcpy(body + 8, &rows, sizeof rows);
            const uint8_t *found = layout_reply(&first_message, OUTCOME_OK, body, &size, room);
            CHECK(found == (rows == 0 || row_size == 8 ? body : (uint8_t *)room));
            CHECK_EQUAL(size, 16u + 8 * rows);
            CHECK(memcmp(found, body, 16) == 0);
            for (unsigned i = 0; i < rows; i++)
                CHECK(memcmp(found + 16 + 8 * i, body + 16 + i * row_size, 8) == 0);
        }
    }
    struct message_info plain = first_message;
    plain.reply_row = NULL;
    plain.reply_rows_max = 0;
    for (uint32_t longer = 24; longer <= BODY_SIZE_MAX; longer += 8) {
        uint32_t size = longer;
        CHECK(layout_reply(&plain, OUTCOME_OK, body, &size, room) == room);
        CHECK_EQUAL(size, 16);
        CHECK(memcmp(room, body, 16) == 0);
    }
}

TEST(reply_that_is_too_short_or_cut_is_refused)
{
    uint64_t body[BODY_SIZE_MAX / 8] = {0};
    uint64_t room[FRAME_SIZE_MAX / 8];
    uint16_t rows = 3;
    memcpy((uint8_t *)body + 8, &rows, sizeof rows);
    for (uint32_t whole = 0; whole < 16 + 2 * 3 * 8; whole++) {
        uint32_t size = whole;
        if (whole != 16 + 3 * 8)
            CHECK(layout_reply(&first_message, OUTCOME_OK, body, &size, room) == NULL);
    }
    for (uint32_t whole = 0; whole < sizeof(struct rejection_body); whole++) {
        uint32_t size = whole;
        CHECK(layout_reply(&first_message, OUTCOME_NOT_FOUND, body, &size, room) == NULL);
    }
    uint32_t size = sizeof(struct rejection_body) + 8;
    CHECK(layout_reply(&first_message, OUTCOME_NOT_FOUND, body, &size, room) == room);
    CHECK_EQUAL(size, sizeof(struct rejection_body));
}

TEST(refusal_by_a_replica_may_tell_the_primary)
{
    uint64_t body[BODY_SIZE_MAX / 8] = {0};
    uint64_t room[FRAME_SIZE_MAX / 8];
    static const uint32_t sizes[][2] = {
        {sizeof(struct rejection_body), sizeof(struct rejection_body)},
        {sizeof(struct redirect_body) - 8, sizeof(struct rejection_body)},
        {sizeof(struct redirect_body), sizeof(struct redirect_body)},
        {sizeof(struct redirect_body) + 8, sizeof(struct redirect_body)},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t size = sizes[i][0];
        CHECK(layout_reply(&first_message, OUTCOME_NOT_PRIMARY, body, &size, room) != NULL);
        CHECK_EQUAL(size, sizes[i][1]);
    }
}
