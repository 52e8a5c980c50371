/* Bounded little-endian byte cursors: a writer that is given enough room, and a reader that never
 * leaves its bytes. A read past the end yields zero and marks the reader as failed, so that a
 * decoder checks once, at its end. Integers are variable-length (LEB128: 7 bits a byte, low first,
 * at most 10 bytes); signed ones are zigzag-coded first. */
#ifndef TILL_BASE_BYTES_H
#define TILL_BASE_BYTES_H

#include <assert.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "till's formats are the host's layout");

/* Are all of these bytes zero? size is at least 1. */
static inline bool bytes_are_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

enum { VARINT_SIZE_MAX = 10 };

struct reader {
    const uint8_t *cursor;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_init(const uint8_t *bytes, size_t size)
{
    return (struct reader){.cursor = bytes, .end = bytes + size, .failed = false};
}

/* The next size bytes, or NULL (and failed) when there are fewer. */
static inline const uint8_t *read_bytes(struct reader *reader, size_t size)
{
    const uint8_t *bytes = reader->cursor;
    if ((size_t)(reader->end - bytes) < size) {
        reader->failed = true;
        return NULL;
    }
    reader->cursor += size;
    return bytes;
}

/* The slow path: several bytes, or the end of the input. */
uint64_t read_varint_long(struct reader *reader);

static inline uint64_t read_varint(struct reader *reader)
{
    if (__builtin_expect(reader->cursor != reader->end && *reader->cursor < 0x80, 1))
        return *reader->cursor++;
    return read_varint_long(reader);
}

static inline int64_t read_zigzag(struct reader *reader)
{
    uint64_t value = read_varint(reader);
    return (int64_t)(value >> 1 ^ (~(value & 1) + 1));
}

/* The writers return the new cursor. The caller has checked that there is room. */
static inline uint8_t *write_bytes(uint8_t *cursor, const void *bytes, size_t size)
{
    memcpy(cursor, bytes, size);
    return cursor + size;
}

static inline uint8_t *write_varint(uint8_t *cursor, uint64_t value)
{
    while (value >= 0x80) {
        *cursor++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *cursor++ = (uint8_t)value;
    return cursor;
}

static inline uint8_t *write_zigzag(uint8_t *cursor, int64_t value)
{
    return write_varint(cursor, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

#endif
