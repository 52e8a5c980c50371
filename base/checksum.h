/* XXH3, the one checksum and hash of till: 64 bits over bytes. The source of the algorithm is
 * xxHash (Debian's libxxhash); inlined here because the inputs on the hot path are short. */
#ifndef TILL_BASE_CHECKSUM_H
#define TILL_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t checksum64(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size);
}

static inline uint64_t checksum64_seeded(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

/* A good mix of two words: the folded 128-bit product. Used for table hashes and digests. */
static inline uint64_t mix64(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(a ^ 0x9e3779b97f4a7c15ULL) * (b ^ 0xe7037ed1a0b428dbULL);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif
