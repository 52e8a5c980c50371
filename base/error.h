/* Error messages for a person, in a buffer that belongs to the caller. A message that is too long
 * is cut off at the end of the buffer.
 *
 * The functions always return false, so that a function can end with
 *
 *   return error_set(error, sizeof error, "%s cannot be read: %s", name, strerror(-result));
 *
 * A file with many messages defines a macro with the buffer of its own struct filled in. */
#ifndef TILL_BASE_ERROR_H
#define TILL_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces the text in the buffer. */
__attribute__((format(printf, 3, 4))) bool error_set(char *error, size_t size, const char *format,
                                                     ...);

/* The same for what is wrong with a file: the text begins with "FOLDER/NAME: ". */
__attribute__((format(printf, 5, 6))) bool error_set_file(char *error, size_t size,
                                                          const char *folder, const char *name,
                                                          const char *format, ...);

/* Continues the text in the buffer. */
__attribute__((format(printf, 3, 4))) bool error_add(char *error, size_t size, const char *format,
                                                     ...);

#endif
