/* The checksum of 80 bytes in two steps is the checksum of 80 bytes. */
#include "base/checksum.h"

#include "tests/test.h"

enum { SIZE = 80, ROUNDS = 2000 };

TEST(checksum_in_two_steps_is_the_checksum)
{
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t words[SIZE / sizeof(uint64_t)];
        for (unsigned i = 0; i < SIZE / sizeof(uint64_t); i++)
            words[i] = round % 3 == 0 ? test_random_below(4) : test_random();
        CHECK_EQUAL(checksum80(checksum80_rest(words), words), checksum64(words, SIZE));
    }
}
