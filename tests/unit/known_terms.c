/* Known terms are for speed: an order is encoded to the same bytes with and without them, and
 * decoded to the same command, from whole columns and from such that are cut or altered. */
#include "engine/known.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

enum { ORDERS = 80, TERMS_KINDS = 4, ROUNDS = 300, COLUMN_SIZE = ORDERS * 400 };

struct order_request {
    struct order_place_body place;
    struct line_body line;
};

struct columns {
    uint8_t ids[COLUMN_SIZE];
    uint8_t fields[COLUMN_SIZE];
    size_t ids_size;
    size_t fields_size;
};

static struct order_request kinds[TERMS_KINDS];
static struct known_table known;
static struct columns plain, quick;

static void draw_kinds(void)
{
    for (unsigned i = 0; i < TERMS_KINDS; i++)
        kinds[i] = (struct order_request){
            .place = {.sale = (uint32_t)test_random_below(3),
                      .line_count = 1,
                      .points = test_random_below(2) == 0 ? 0 : (int64_t)(test_random() >> 1),
                      .currency = (uint16_t)test_random_below(1000)},
            .line = {.sku = test_random_below(2) == 0 ? 7 : test_random(),
                     .quantity = 1 + (uint32_t)test_random_below(300),
                     .price = (int64_t)(test_random() >> test_random_below(63) >> 1)}};
}

/* Encodes runs of orders both ways, with a passage of time now and then. */
static void encode_both(void)
{
    struct column_writer a = {plain.ids, plain.fields}, b = {quick.ids, quick.fields};
    unsigned kind = 0;
    draw_kinds();
    memset(&known, 0, sizeof known);
    for (unsigned i = 0; i < ORDERS; i++) {
        if (test_random_below(5) == 0)
            kind = (unsigned)test_random_below(TERMS_KINDS);
        struct order_request order = kinds[kind];
        order.place.order = (struct id){test_random(), test_random()};
        order.place.customer = (struct id){test_random(), test_random_below(2)};
        if (test_random_below(8) == 0) {
            time_encode(1000, &a);
            time_encode(1000, &b);
        }
        command_encode(MESSAGE_order_place, &order, &a);
        const struct known *terms = known_find(&known, &order);
        if (terms != NULL)
            known_encode(terms, &order, &b);
        else
            command_encode(MESSAGE_order_place, &order, &b);
        known_note(&known, &order);
    }
    plain.ids_size = (size_t)(a.ids - plain.ids);
    plain.fields_size = (size_t)(a.fields - plain.fields);
    quick.ids_size = (size_t)(b.ids - quick.ids);
    quick.fields_size = (size_t)(b.fields - quick.fields);
}

static struct column_reader reader_of(const struct columns *columns, struct known_table *table)
{
    return (struct column_reader){.schema = SCHEMA,
                                  .ids = reader_init(columns->ids, columns->ids_size),
                                  .fields = reader_init(columns->fields, columns->fields_size),
                                  .known = table};
}

/* Returns how many were decoded, by both. */
static uint32_t decode_both(const struct columns *columns, struct known_table *table)
{
    static struct logged_command a, b;
    struct column_reader with = reader_of(columns, table), without = reader_of(columns, NULL);
    bool malformed_a = false, malformed_b = false;
    uint32_t count = 0;
    for (;; count++) {
        bool has_a = command_decode(&with, &a, &malformed_a);
        bool has_b = command_decode(&without, &b, &malformed_b);
        CHECK_EQUAL(has_a, has_b);
        CHECK_EQUAL(malformed_a, malformed_b);
        if (!has_a)
            return count;
        CHECK_EQUAL(a.number, b.number);
        CHECK_EQUAL(a.size, b.size);
        CHECK_EQUAL(a.time_us, b.time_us);
        CHECK(memcmp(a.body, b.body, a.size) == 0);
        CHECK(with.fields.cursor == without.fields.cursor && with.ids.cursor == without.ids.cursor);
    }
}

TEST(known_terms_are_encoded_and_decoded_as_any_others)
{
    for (int round = 0; round < ROUNDS; round++) {
        static struct known_table table;
        encode_both();
        CHECK_EQUAL(plain.ids_size, quick.ids_size);
        CHECK_EQUAL(plain.fields_size, quick.fields_size);
        CHECK(memcmp(plain.ids, quick.ids, plain.ids_size) == 0);
        CHECK(memcmp(plain.fields, quick.fields, plain.fields_size) == 0);
        CHECK_EQUAL(decode_both(&plain, &table), ORDERS);
    }
}

TEST(known_terms_decode_cut_and_altered_columns_as_any_others)
{
    uint32_t short_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        static struct known_table table;
        encode_both();
        if (test_random_below(2) == 0)
            plain.ids_size = test_random_below(plain.ids_size);
        if (test_random_below(2) == 0)
            plain.fields_size = test_random_below(plain.fields_size) + 1;
        for (uint64_t twists = test_random_below(3); twists > 0; twists--)
            plain.fields[test_random_below(plain.fields_size)] = (uint8_t)test_random();
        short_count += decode_both(&plain, &table) < ORDERS;
    }
    CHECK(short_count > 0);
}
