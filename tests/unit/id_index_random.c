/* The index of ids against a naive list: every id is found with its record, none other is, from an
 * empty index to a full one, with hashes that are all different or nearly all the same. */
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
