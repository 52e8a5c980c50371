/* A memory ring against a naive queue: a record is found from when it is added until it is
 * forgotten, round after round, and the count of kept records is right. */
#include "engine/memory_ring.h"

#include "tests/test.h"

enum { CAPACITY = 37, STEPS = 20000, HASHES = 8 };

/* Records are numbers that grow; few hashes, so that chains in the index are long. */
struct ring_record {
    uint64_t number;
};

static struct memory_ring ring;

static uint32_t hash_of(uint64_t number)
{
    return (uint32_t)(number % HASHES) * 0x9e3779b9u;
}

static uint64_t number_at(uint32_t slot)
{
    return ((const struct ring_record *)arena_at(&ring.records, slot))->number;
}

/* The slot of a number, as the ring's index finds it; 0: it is not there. */
static uint32_t find(uint64_t number)
{
    struct index_walk walk = index_walk(&ring.index, hash_of(number));
    uint32_t slot = 0;
    while ((slot = index_next(&walk)) != 0 && number_at(slot) != number) {
    }
    return slot;
}

static void add(uint64_t number)
{
    uint32_t slot = memory_ring_add(&ring, hash_of(number));
    ((struct ring_record *)arena_at(&ring.records, slot))->number = number;
}

static bool is_below(const void *context, const void *record)
{
    return ((const struct ring_record *)record)->number < *(const uint64_t *)context;
}

TEST(memory_ring_finds_what_it_has_not_forgotten)
{
    uint64_t oldest = 1, next = 1;
    CHECK(arena_init(&ring.records, sizeof(struct ring_record), CAPACITY));
    CHECK(index_init(&ring.index, CAPACITY));
    for (unsigned step = 0; step < STEPS; step++) {
        bool is_full = next - oldest == CAPACITY;
        if (next > oldest && (is_full || test_random_below(2) == 0))
            memory_ring_forget(&ring, hash_of(oldest++));
        else
            add(next++);
        CHECK_EQUAL(memory_ring_count(&ring), next - oldest);
        CHECK_EQUAL(find(oldest - 1), 0);
        for (uint64_t number = oldest; number < next; number++)
            CHECK_EQUAL(find(number), memory_ring_slot(&ring, number - 1));
        uint64_t bound = oldest + test_random_below(next - oldest + 1);
        CHECK_EQUAL(memory_ring_kept(&ring, is_below, &bound), next - bound);
    }
    arena_deinit(&ring.records);
    index_deinit(&ring.index);
}
