/* Amounts as messages show them. */
#ifndef TILL_CLI_UNITS_H
#define TILL_CLI_UNITS_H

#include <stdint.h>

/* For "%.1f MiB". */
static inline double mebibytes(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

#endif
