/* Names that a person probably meant. */
#include "cli/nearest.h"

#include <string.h>

#include "tests/test.h"

static const char *nearest_of(const char *typed, const char *const *names)
{
    struct nearest nearest = nearest_to(typed, strlen(typed));
    for (; *names != NULL; names++)
        nearest_offer(&nearest, *names);
    return nearest.name != NULL ? nearest.name : "";
}

TEST(nearest_name_is_found_through_slips_of_the_fingers)
{
    static const char *const names[] = {"serve",  "load",     "shell",      "snapshot",
                                        "verify", "log_size", "output_log", NULL};
    static const char *const cases[][2] = {
        {"sevre", "serve"},        {"serv", "serve"},    {"server", "serve"},
        {"snapshots", "snapshot"}, {"snap", "snapshot"}, {"loda", "load"},
        {"log-size", "log_size"},  {"verfy", "verify"},  {"shel", "shell"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(strcmp(nearest_of(cases[i][0], names), cases[i][1]) == 0);
}

TEST(nothing_is_near_to_what_has_little_in_common)
{
    static const char *const names[] = {"serve", "log", "restore", NULL};
    static const char *const cases[] = {"", "x", "xyz", "install",
                                        "an-option-that-is-longer-than-any-name-there-is"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(strcmp(nearest_of(cases[i], names), "") == 0);
}
