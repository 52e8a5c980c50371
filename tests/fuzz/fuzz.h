/* What the fuzzers share: an input that is consumed byte by byte, and yields zeros after its end.
 * The checks are TILL_ASSERTs, so that the fuzzer sees a crash and keeps the input. */
#ifndef TILL_TESTS_FUZZ_FUZZ_H
#define TILL_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

struct input {
    const uint8_t *cursor;
    const uint8_t *end;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline struct input input_init(const uint8_t *bytes, size_t size)
{
    return (struct input){.cursor = bytes, .end = bytes + size};
}

static inline size_t input_left(const struct input *input)
{
    return (size_t)(input->end - input->cursor);
}

static inline uint8_t input_byte(struct input *input)
{
    return input->cursor < input->end ? *input->cursor++ : 0;
}

/* A number of any magnitude: small bytes stand for themselves, so that the same numbers occur
 * often. */
static inline uint64_t input_number(struct input *input, uint8_t small_below)
{
    uint8_t first = input_byte(input);
    if (first < 0xc0)
        return first % small_below;
    uint64_t value = 0;
    for (int i = first % 8; i >= 0; i--)
        value = value << 8 | input_byte(input);
    return value;
}

#endif
