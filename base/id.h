/* A 128-bit opaque identity: a UUID, a ULID or an integer. All-zero means "none" and is never a
 * valid id of anything. On the wire and in records: low word first, little-endian. */
#ifndef TILL_BASE_ID_H
#define TILL_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id {
    uint64_t low;
    uint64_t high;
};

static inline bool id_equal(struct id a, struct id b)
{
    return ((a.low ^ b.low) | (a.high ^ b.high)) == 0;
}

static inline bool id_is_zero(struct id a)
{
    return (a.low | a.high) == 0;
}

enum { ID_TEXT_SIZE = 40 };

/* Writes the decimal form when the id is below 2^64, else 8-4-4-4-12 hexadecimal digits (the UUID
 * form, most significant digit first), with a terminating zero. Returns text. */
char *id_format(struct id id, char text[ID_TEXT_SIZE]);

/* Reads a decimal integer below 2^64, 32 hexadecimal digits, or the UUID form with its dashes;
 * the whole of text must be used. False when it is none of these, or zero. */
bool id_parse(const char *text, size_t size, struct id *id);

#endif
