/* Text forms of ids. The decimal and the hexadecimal form cannot be confused: decimal has at most
 * 20 digits, hexadecimal exactly 32. */
#include "base/id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char *id_format(struct id id, char text[ID_TEXT_SIZE])
{
    if (id.high == 0)
        snprintf(text, ID_TEXT_SIZE, "%" PRIu64, id.low);
    else
        snprintf(text, ID_TEXT_SIZE,
                 "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
                 id.high >> 32, (id.high >> 16) & 0xffff, id.high & 0xffff, id.low >> 48,
                 id.low & (((uint64_t)1 << 48) - 1));
    return text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_decimal(const char *text, size_t size, struct id *id)
{
    uint64_t value = 0;
    if (size == 0 || size > 20)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *id = (struct id){.low = value, .high = 0};
    return true;
}

static bool parse_hex(const char *text, size_t size, struct id *id)
{
    uint64_t words[2] = {0, 0};
    unsigned digits = 0;
    for (size_t i = 0; i < size; i++) {
        if (size == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-')
                return false;
            continue;
        }
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return false;
        words[digits / 16] = words[digits / 16] << 4 | (uint64_t)digit;
        digits++;
    }
    *id = (struct id){.low = words[1], .high = words[0]};
    return true;
}

bool id_parse(const char *text, size_t size, struct id *id)
{
    bool read =
        size == 32 || size == 36 ? parse_hex(text, size, id) : parse_decimal(text, size, id);
    return read && !id_is_zero(*id);
}
