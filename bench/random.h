/* A small random number generator (SplitMix64: Steele, Lea, Flood 2014), and ids made of it. */
#ifndef TILL_BENCH_RANDOM_H
#define TILL_BENCH_RANDOM_H

#include <sys/random.h>
#include <time.h>

#include <stdint.h>

#include "base/id.h"

struct random {
    uint64_t state;
};

/* Between the states of two numbers in a row. */
#define RANDOM_STEP 0x9e3779b97f4a7c15ULL

static inline uint64_t random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static inline uint64_t random_next(struct random *random)
{
    return random_mix(random->state += RANDOM_STEP);
}

static inline uint32_t random_below(struct random *random, uint32_t bound)
{
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

static inline struct id random_id(struct random *random)
{
    return (struct id){.low = random_next(random) | 1, .high = random_next(random)};
}

/* The id of the given number of a kind, always the same for the same seed; never zero. */
static inline struct id random_id_of(uint64_t seed, uint32_t kind, uint32_t number)
{
    uint64_t low = random_mix(seed ^ ((uint64_t)kind << 32 | number) * RANDOM_STEP);
    return (struct id){.low = low | 1, .high = random_mix(low + seed)};
}

/* A seed that differs from run to run. */
static inline uint64_t random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)time(NULL);
    return seed;
}

#endif
