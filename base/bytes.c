/* The slow path of read_varint: numbers of several bytes. Up to eight bytes are decoded at once;
 * near the end of the input they are decoded one by one. */
#include "base/bytes.h"

/* Joins the low seven bits of each of eight bytes into one number. */
static uint64_t join_sevens(uint64_t bytes)
{
    bytes &= 0x7f7f7f7f7f7f7f7f;
    bytes = (bytes & 0x007f007f007f007f) | (bytes & 0x7f007f007f007f00) >> 1;
    bytes = (bytes & 0x00003fff00003fff) | (bytes & 0x3fff00003fff0000) >> 2;
    return (bytes & 0x000000000fffffff) | (bytes & 0x0fffffff00000000) >> 4;
}

uint64_t read_varint_long(struct reader *reader)
{
    uint64_t value = 0;
    if ((size_t)(reader->end - reader->cursor) >= sizeof value) {
        memcpy(&value, reader->cursor, sizeof value);
        uint64_t last = ~value & 0x8080808080808080; /* set in bytes that end a number */
        if (last != 0) {
            reader->cursor += (__builtin_ctzll(last) + 1) / 8;
            return join_sevens(value & (last ^ (last - 1)));
        }
        value = 0;
    }
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (reader->cursor == reader->end)
            break;
        uint8_t byte = *reader->cursor++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->failed = true;
    return 0;
}
