/* The hashes of ids: whoever does not know the seed cannot choose ids that share one, also not by
 * what makes the hash simple without a seed. */
#include "engine/payment.h"

#include <stdlib.h>

#include "tests/test.h"

enum { IDS = 4096, SHARED_MAX = 8, ROUNDS = 20 };

/* The constants of mix64: a word that is equal to one makes a factor of it zero. */
static const uint64_t words[] = {0, 1, 0x9e3779b97f4a7c15ULL, 0xe7037ed1a0b428dbULL, UINT64_MAX};

enum { WORDS = sizeof words / sizeof words[0] };

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void check_hashes(uint32_t hashes[IDS])
{
    uint32_t shared = 0;
    qsort(hashes, IDS, sizeof hashes[0], compare);
    for (unsigned i = 1; i < IDS; i++)
        shared += hashes[i] == hashes[i - 1];
    CHECK(shared <= SHARED_MAX);
}

static struct engine *engine_seeded(void)
{
    char error[256];
    struct engine_options options = engine_options_default;
#define CAPACITY(number, name, default, text) options.name = 16;
#include "engine/tables/tables.h"
    options.hash_seed = test_random();
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    return engine;
}

/* Ids with one word that is chosen, and one that counts, from its low or its high end. */
TEST(ids_of_a_client_s_choice_have_different_hashes)
{
    static uint32_t hashes[IDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct engine *engine = engine_seeded();
        for (unsigned kind = 0; kind < 8 * WORDS; kind++) {
            uint64_t word = words[kind / 8] ^ (kind % 8 >= 4);
            for (uint64_t i = 0; i < IDS; i++) {
                uint64_t count = kind % 2 == 0 ? i + 1 : (i + 1) << 48;
                struct id id = kind % 4 < 2 ? (struct id){.low = count, .high = word}
                                            : (struct id){.low = word, .high = count};
                hashes[i] = hash_id(engine, id);
            }
            check_hashes(hashes);
        }
        engine_destroy(engine);
    }
}

/* Events that differ from each other by as much as their providers do. */
TEST(payment_events_of_a_client_s_choice_have_different_hashes)
{
    static uint32_t hashes[IDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct engine *engine = engine_seeded();
        for (unsigned kind = 0; kind < 2 * WORDS; kind++) {
            for (uint32_t i = 0; i < IDS; i++) {
                uint64_t word = words[kind / 2] ^ (i + 1);
                struct id event = kind % 2 == 0 ? (struct id){.low = word, .high = 5}
                                                : (struct id){.low = 5, .high = word};
                hashes[i] = payment_hash(engine, event, i + 1);
            }
            check_hashes(hashes);
        }
        engine_destroy(engine);
    }
}
