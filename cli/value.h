/* The text form of a single field's value, by the types of engine/messages.h.
 *
 *   id, key       a decimal number, a UUID, or 32 hexadecimal digits
 *   key_or_none   the same, or 0
 *   whole numbers decimal; signed ones may start with + or -
 *   time          microseconds since 1970, 2026-12-31, 2026-12-31T10:00:00Z (a fraction and an
 *                 offset are understood), or +30s, +5m, +2h, +7d from now; written as the third
 *   seconds       a number, alone or with s, m, h or d
 *   currency      letters or number of ISO 4217
 *   hash          hexadecimal
 *   named values  their names in either case of letters, flags joined by +
 *   name, text    the bytes; quoted when they hold a space, a quote, # or a control character,
 *                 with \" \\ and \xNN inside the quotes */
#ifndef TILL_CLI_VALUE_H
#define TILL_CLI_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/messages.h"

enum { VALUE_TEXT_MAX = 1024, VALUE_EXPECTED_SIZE = 256 };

enum value_form { VALUE_TEXT, VALUE_JSON };

/* Reads text (already unquoted) into a field of this type; false when it is not one. now_us is
 * what relative times count from; 0 refuses them. */
bool value_read(unsigned type, const char *text, size_t size, uint64_t now_us, void *field);

/* What value_read takes, to stand after "expected". Returns text. */
char *value_expected(unsigned type, char text[VALUE_EXPECTED_SIZE]);

/* Types that never appear in text: reserved bytes, and counts, which are the number of rows. */
bool value_is_hidden(unsigned type);

/* True when a field of this type may not be zero because zero is none of its named values. */
bool value_is_required(unsigned type);

bool value_is_zero(unsigned type, const void *field);

/* Writes the value; in JSON, numbers as numbers, ids and names as strings, none as null. */
void value_write(FILE *out, enum value_form form, unsigned type, const void *field);

/* Writes bytes as value_write writes a name. */
void value_write_string(FILE *out, enum value_form form, const char *bytes, size_t size);

#endif
