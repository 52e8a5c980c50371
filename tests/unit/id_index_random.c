/* The index of ids against a naive list: every id is found with its record, none other is, from an
 * empty index to a full one, with hashes that are all different or nearly all the same,
 * and while ids come and go. */
#include "engine/id_index.h"

#include "tests/test.h"

enum { CAPACITY = 300, ROUNDS = 20 };

static struct id id_of(uint32_t record, uint64_t salt)
{
    /* Ids that share a half with others. */
    return (struct id){.low = record % 2 == 0 ? salt : record, .high = record};
}

static void fill(uint64_t hash_count)
{
    struct id_index index;
    uint32_t hashes[CAPACITY + 1];
    uint64_t salt = test_random() | 1;
    CHECK(id_index_init(&index, CAPACITY));
    for (uint32_t record = 1; record <= CAPACITY; record++) {
        hashes[record] = UINT32_MAX - (uint32_t)test_random_below(hash_count);
        CHECK_EQUAL(id_index_find(&index, hashes[record], id_of(record, salt)), 0);
        id_index_insert(&index, hashes[record], id_of(record, salt), record);
        uint32_t other = 1 + (uint32_t)test_random_below(record);
        CHECK_EQUAL(id_index_find(&index, hashes[other], id_of(other, salt)), other);
    }
    for (uint32_t record = 1; record <= CAPACITY; record++)
        CHECK_EQUAL(id_index_find(&index, hashes[record], id_of(record, salt)), record);
    for (uint32_t record = CAPACITY + 1; record <= 2 * CAPACITY; record++)
        CHECK_EQUAL(id_index_find(&index, hashes[record - CAPACITY], id_of(record, salt)), 0);
    id_index_deinit(&index);
}

TEST(index_of_ids_finds_each_id_and_no_other)
{
    for (int round = 0; round < ROUNDS; round++) {
        fill(1);
        fill(5);
        fill(1ULL << 32);
    }
}

/* Hashes near the end of the table, so that ways wrap around. */
static uint32_t hash_near_the_end(const void *context, struct id id)
{
    const uint32_t *hash_count = context;
    return UINT32_MAX - (uint32_t)(id.high % *hash_count);
}

static void play_removals(uint32_t hash_count)
{
    enum { STEPS = 20000 };
    struct id_index index;
    bool is_there[CAPACITY + 1] = {false};
    uint32_t count = 0;
    CHECK(id_index_init(&index, CAPACITY));
    for (unsigned step = 0; step < STEPS; step++) {
        uint32_t record = 1 + (uint32_t)test_random_below(CAPACITY);
        struct id id = id_of(record, 1);
        if (is_there[record])
            id_index_remove(&index, hash_near_the_end, &hash_count, id, record);
        else
            id_index_insert(&index, hash_near_the_end(&hash_count, id), id, record);
        is_there[record] = !is_there[record];
        count += is_there[record] ? 1 : UINT32_MAX;
        for (uint32_t i = 1 + step % 7; i <= CAPACITY; i += 7) {
            struct id other = id_of(i, 1);
            uint32_t found = id_index_find(&index, hash_near_the_end(&hash_count, other), other);
            CHECK_EQUAL(found, is_there[i] ? i : 0);
        }
    }
    uint32_t places = 0;
    for (uint64_t line = 0; line < index.lines.count; line++) {
        for (unsigned i = 0; i < ID_PLACES; i++)
            places += id_line_at(&index, line)->records[i] != 0;
    }
    CHECK_EQUAL(places, count);
    id_index_deinit(&index);
}

TEST(index_of_ids_finds_what_was_not_removed)
{
    play_removals(1);
    play_removals(7);
    play_removals(UINT32_MAX);
}

/* What is loaded from a file may have an id twice: no other record may come of it. */
TEST(an_id_that_is_there_twice_has_one_of_its_records)
{
    for (uint32_t others = 0; others <= 2 * ID_PLACES; others++) {
        struct id_index index;
        uint32_t record = 1;
        CHECK(id_index_init(&index, CAPACITY));
        for (; record <= others; record++)
            id_index_insert(&index, 5, id_of(record, 1), record);
        struct id id = id_of(CAPACITY, 1);
        id_index_insert(&index, 5, id, 1u << 20);
        id_index_insert(&index, 5, id, 1u << 21);
        uint32_t found = id_index_find(&index, 5, id);
        CHECK(found == 1u << 20 || found == 1u << 21);
        id_index_deinit(&index);
    }
}
