/* Assertions that stay in release builds.
 *
 * What a client or a disk can cause is an error value; what only a bug can cause asserts. A failed
 * assertion ends the process at once: memory that broke an invariant must not answer anyone, and
 * the log holds every acknowledged change. */
#ifndef TILL_BASE_ASSERT_H
#define TILL_BASE_ASSERT_H

#include <stdio.h>
#include <stdlib.h>

#define TILL_ASSERT(condition)                                                                     \
    (__builtin_expect(!!(condition), 1) ? (void)0                                                  \
                                        : till_assert_failed(#condition, __FILE__, __LINE__))

__attribute__((noreturn, cold)) static inline void till_assert_failed(const char *condition,
                                                                      const char *file, int line)
{
    fprintf(stderr, "till: bug: %s does not hold at %s:%d; stopping\n", condition, file, line);
    abort();
}

/* For a branch that only a bug can reach. */
#define till_unreachable() till_assert_failed("unreachable", __FILE__, __LINE__)

#endif
