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

/* checksum64 of 80 bytes in two steps, for callers that have many with the same last 48: what those
 * come to, and the checksum from that and the first 32. By XXH3's specification the result for 65
 * to 96 bytes is a sum of such parts, each of 16 bytes and a part of the secret, mixed once more.
 */
static inline uint64_t checksum80_part(const uint8_t *bytes, size_t at, size_t secret)
{
    return XXH3_mix16B(bytes + at, XXH3_kSecret + secret, 0);
}

static inline uint64_t checksum80_rest(const void *bytes)
{
    return 80 * XXH_PRIME64_1 + checksum80_part(bytes, 32, 64) + checksum80_part(bytes, 32, 80) +
           checksum80_part(bytes, 48, 48) + checksum80_part(bytes, 64, 16);
}

static inline uint64_t checksum80(uint64_t rest, const void *bytes)
{
    return XXH3_avalanche(rest + checksum80_part(bytes, 0, 0) + checksum80_part(bytes, 16, 32));
}

/* The 128-bit product, folded: 0 when either factor is. */
static inline uint64_t fold64(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* A good mix of two words that nobody chooses: for digests and sums. */
static inline uint64_t mix64(uint64_t a, uint64_t b)
{
    return fold64(a ^ 0x9e3779b97f4a7c15ULL, b ^ 0xe7037ed1a0b428dbULL);
}

#endif
