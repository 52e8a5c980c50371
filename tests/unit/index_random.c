/* The index against a naive list of pairs: random inserts and removals, home slots at the very end
 * of the table so that probing wraps around, and a table filled to its capacity. */
#include "engine/id_index.h"
#include "engine/index.h"

#include <stdlib.h>

#include "tests/test.h"

enum { CAPACITY = 200, STEPS = 4000, ROUNDS = 40, WIDTHS = 4 };

struct pair {
    uint32_t hash;
    uint32_t record; /* 0: there is no such pair */
};

/* The index under test, and every pair that it should have: the record is the pair's position plus
 * one. */
struct indexed {
    struct index index;
    struct pair pairs[CAPACITY];
    uint32_t count;
    uint32_t hash_base;
    uint32_t hash_width; /* how many different hashes are drawn, from the base on */
};

static void indexed_init(struct indexed *indexed, uint32_t hash_base, uint32_t hash_width)
{
    *indexed = (struct indexed){.hash_base = hash_base, .hash_width = hash_width};
    CHECK(index_init(&indexed->index, CAPACITY));
}

static uint32_t random_hash(const struct indexed *indexed)
{
    return indexed->hash_base + (uint32_t)test_random_below(indexed->hash_width);
}

static void pair_insert(struct indexed *indexed, uint32_t place)
{
    struct pair *pair = &indexed->pairs[place];
    *pair = (struct pair){.hash = random_hash(indexed), .record = place + 1};
    index_insert(&indexed->index, pair->hash, pair->record);
    indexed->count++;
}

static void pair_remove(struct indexed *indexed, uint32_t place)
{
    index_remove(&indexed->index, indexed->pairs[place].hash, indexed->pairs[place].record);
    indexed->pairs[place].record = 0;
    indexed->count--;
}

/* Iterating over a hash yields each of its records once, and no other. */
static void check_hash(const struct indexed *indexed, uint32_t hash)
{
    struct index_walk walk = index_walk(&indexed->index, hash);
    bool seen[CAPACITY] = {false};
    uint32_t seen_count = 0;
    uint32_t expected_count = 0;
    uint32_t record;
    while ((record = index_next(&walk)) != 0) {
        CHECK(record <= CAPACITY && !seen[record - 1]);
        CHECK(indexed->pairs[record - 1].record == record);
        CHECK(indexed->pairs[record - 1].hash == hash);
        seen[record - 1] = true;
        seen_count++;
    }
    for (uint32_t i = 0; i < CAPACITY; i++)
        expected_count += indexed->pairs[i].record != 0 && indexed->pairs[i].hash == hash;
    CHECK_EQUAL(seen_count, expected_count);
}

static void check_all(const struct indexed *indexed)
{
    uint32_t used_count = 0;
    for (uint64_t line = 0; line < indexed->index.lines.count; line++) {
        for (uint32_t place = 0; place < INDEX_PLACES; place++)
            used_count += index_line_at(&indexed->index, line)->records[place] != 0;
    }
    CHECK_EQUAL(used_count, indexed->count);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        if (indexed->pairs[i].record != 0)
            check_hash(indexed, indexed->pairs[i].hash);
    }
    check_hash(indexed, random_hash(indexed));
}

static void play(uint32_t hash_base, uint32_t hash_width)
{
    struct indexed indexed;
    indexed_init(&indexed, hash_base, hash_width);
    for (int step = 0; step < STEPS; step++) {
        uint32_t place = (uint32_t)test_random_below(CAPACITY);
        if (indexed.pairs[place].record == 0)
            pair_insert(&indexed, place);
        else
            pair_remove(&indexed, place);
        check_hash(&indexed, random_hash(&indexed));
        if (step % 100 == 0)
            check_all(&indexed);
    }
    for (uint32_t place = 0; place < CAPACITY; place++) {
        if (indexed.pairs[place].record != 0)
            pair_remove(&indexed, place);
    }
    check_all(&indexed);
    index_deinit(&indexed.index);
}

/* From all records under the same hash to almost no two records with the same hash. */
static const uint32_t widths[WIDTHS] = {1, 7, 1u << 24, UINT32_MAX};

TEST(index_finds_what_was_inserted_and_not_removed)
{
    for (int i = 0; i < WIDTHS; i++)
        play(0, widths[i]);
}

TEST(index_chains_wrap_around_the_end_of_the_table)
{
    for (int i = 0; i < WIDTHS - 1; i++)
        play(UINT32_MAX - widths[i], widths[i]);
}

TEST(full_index_still_finds_and_ends_every_walk)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct indexed indexed;
        indexed_init(&indexed, round % 2 == 0 ? 0 : UINT32_MAX - 7,
                     round % 2 == 0 ? UINT32_MAX : 7);
        for (uint32_t place = 0; place < CAPACITY; place++)
            pair_insert(&indexed, place);
        check_all(&indexed);
        for (int step = 0; step < CAPACITY; step++) {
            uint32_t place = (uint32_t)test_random_below(CAPACITY);
            pair_remove(&indexed, place);
            pair_insert(&indexed, place);
        }
        check_all(&indexed);
        index_deinit(&indexed.index);
    }
}

TEST(index_has_more_places_than_its_capacity)
{
    CHECK(lines_for(0, INDEX_PLACES) > 0);
    CHECK(lines_for(1, ID_PLACES) * ID_PLACES > 1);
    CHECK(lines_for(UINT32_MAX, INDEX_PLACES) * INDEX_PLACES > UINT32_MAX);
}
