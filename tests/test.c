/* Runs the registered tests. A failed check jumps out of its test; a crash ends the run, which then
 * has no closing line and counts as failed. */
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static struct test *tests;
static jmp_buf failed;
static uint64_t random_state;
static char folder[64];

void test_register(struct test *test)
{
    struct test **place = &tests;
    while (*place != NULL && strcmp((*place)->name, test->name) < 0)
        place = &(*place)->next;
    test->next = *place;
    *place = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "  %s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    longjmp(failed, 1);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t test_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static void folder_remove(void)
{
    char command[128];
    if (folder[0] == '\0')
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "  %s could not be removed\n", folder);
    folder[0] = '\0';
}

const char *test_folder(void)
{
    if (folder[0] == '\0') {
        strcpy(folder, "/var/tmp/till-test-XXXXXX"); /* on a real disk, not on tmpfs */
        if (mkdtemp(folder) == NULL)
            test_fail(__FILE__, __LINE__, "no folder could be made in /var/tmp");
    }
    return folder;
}

static bool run_one(const struct test *test, uint64_t seed)
{
    random_state = seed;
    for (const char *c = test->name; *c != '\0'; c++)
        random_state = random_state * 31 + (uint64_t)*c;
    if (setjmp(failed) != 0) {
        printf("FAIL %s (--seed %" PRIu64 ")%s%s\n", test->name, seed,
               folder[0] != '\0' ? ", see " : "", folder);
        folder[0] = '\0'; /* kept for inspection; the next test gets another one */
        return false;
    }
    test->run();
    folder_remove();
    printf("ok   %s\n", test->name);
    fflush(stdout);
    return true;
}

static bool is_wanted(const struct test *test, int count, char **parts)
{
    for (int i = 0; i < count; i++) {
        if (strstr(test->name, parts[i]) != NULL)
            return true;
    }
    return count == 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = (uint64_t)getpid() * 2654435761u;
    uint64_t times = 1;
    int first = 1;
    for (; first + 1 < argc && strncmp(argv[first], "--", 2) == 0; first += 2) {
        if (strcmp(argv[first], "--seed") == 0) {
            seed = strtoull(argv[first + 1], NULL, 10);
        } else if (strcmp(argv[first], "--times") == 0) {
            times = strtoull(argv[first + 1], NULL, 10);
        } else {
            fprintf(stderr, "usage: %s [--seed N] [--times N] [name-part...]\n", argv[0]);
            return 2;
        }
    }
    /* A huge page would be cleared as a whole for the few records of a table in a test. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    printf("seed %" PRIu64 "\n", seed);
    unsigned passed_count = 0;
    unsigned failed_count = 0;
    for (struct test *test = tests; test != NULL; test = test->next) {
        for (uint64_t i = 0; i < times && is_wanted(test, argc - first, argv + first); i++) {
            if (run_one(test, seed + i))
                passed_count++;
            else
                failed_count++;
        }
    }
    printf("%u passed, %u failed\n", passed_count, failed_count);
    return failed_count == 0 && passed_count > 0 ? 0 : 1;
}
