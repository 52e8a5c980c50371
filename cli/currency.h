/* ISO 4217: the letters people write, and the numbers that messages carry. */
#ifndef TILL_CLI_CURRENCY_H
#define TILL_CLI_CURRENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CURRENCY_LETTERS = 3 };

/* NULL when the number is not in the table. */
const char *currency_letters(uint16_t number);

/* In either case of letters. */
bool currency_find(const char *letters, size_t size, uint16_t *number);

#endif
