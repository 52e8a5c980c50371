/* The test harness: tests register themselves by name and run in one process, or alone if asked for
 * by name. `test-unit [--seed N] [--times N] [name-part...]` runs those whose name contains a part,
 * N times with a seed each.
 *
 *   TEST(torn_tail_is_cut_at_the_last_durable_block) { CHECK(...); }
 *
 * CHECK ends the test when the condition does not hold; the run goes on with the next. */
#ifndef TILL_TESTS_TEST_H
#define TILL_TESTS_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *test);
__attribute__((noreturn, format(printf, 3, 4))) void test_fail(const char *file, int line,
                                                               const char *format, ...);

/* A random number generator of the test's own, seeded from --seed (printed) and the test's name. */
uint64_t test_random(void);
static inline uint64_t test_random_below(uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)test_random() * bound) >> 64);
}

/* A fresh empty folder of this test, removed when it has passed. */
const char *test_folder(void);

#define TEST(test_name)                                                                            \
    static void test_name(void);                                                                   \
    static struct test test_##test_name = {#test_name, test_name, NULL};                           \
    __attribute__((constructor)) static void register_##test_name(void)                            \
    {                                                                                              \
        test_register(&test_##test_name);                                                          \
    }                                                                                              \
    static void test_name(void)

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "%s does not hold", #condition))
#define CHECK_EQUAL(a, b)                                                                          \
    do {                                                                                           \
        uint64_t value_a = (uint64_t)(a), value_b = (uint64_t)(b);                                 \
        if (value_a != value_b)                                                                    \
            test_fail(__FILE__, __LINE__, "%s is %" PRIu64 ", %s is %" PRIu64, #a, value_a, #b,    \
                      value_b);                                                                    \
    } while (0)

#endif
