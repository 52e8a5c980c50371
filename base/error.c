/* Formatting into a bounded buffer. Whatever the arguments, the buffer holds a terminated text. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append(char *error, size_t size, const char *format, va_list arguments)
{
    size_t used = strnlen(error, size);
    vsnprintf(error + used, size - used, format, arguments);
}

bool error_set(char *error, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, size, format, arguments);
    va_end(arguments);
    return false;
}

bool error_set_file(char *error, size_t size, const char *folder, const char *name,
                    const char *format, ...)
{
    va_list arguments;
    snprintf(error, size, "%s/%s: ", folder, name);
    va_start(arguments, format);
    append(error, size, format, arguments);
    va_end(arguments);
    return false;
}

bool error_add(char *error, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    append(error, size, format, arguments);
    va_end(arguments);
    return false;
}
