/* The outcome table: complete, unambiguous, and with only the words that its header defines. */
#include "base/status.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "tests/test.h"

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

static bool is_field_name(const char *name)
{
    for (; *name != '\0'; name++) {
        if (!islower((unsigned char)*name) && *name != '_')
            return false;
    }
    return true;
}

TEST(every_outcome_has_a_row_of_defined_words)
{
    static const char *const retries[] = {"never", "later", "same", "elsewhere"};
    static const char *const knowns[] = {"yes", "no"};
    for (unsigned number = 0; number < OUTCOME_COUNT; number++) {
        const struct outcome_info *outcome = outcome_info(number);
        CHECK(outcome->name != NULL && outcome->text[0] != '\0');
        CHECK(is_one_of(outcome->retry, retries, sizeof retries / sizeof retries[0]));
        CHECK(is_one_of(outcome->known, knowns, sizeof knowns / sizeof knowns[0]));
        CHECK(is_field_name(outcome->subject) && is_field_name(outcome->value));
    }
}

TEST(outcomes_have_names_of_their_own)
{
    for (unsigned a = 0; a < OUTCOME_COUNT; a++) {
        for (unsigned b = 0; b < a; b++)
            CHECK(strcmp(outcome_name(a), outcome_name(b)) != 0);
    }
}

TEST(outcome_numbers_are_those_of_the_protocol)
{
    CHECK_EQUAL(OUTCOME_OK, 0);
    CHECK_EQUAL(OUTCOME_REPLAYED, 1);
    CHECK(strcmp(outcome_name(OUTCOME_SOLD_OUT), "SOLD_OUT") == 0);
    CHECK(strcmp(outcome_name(OUTCOME_STORAGE_FULL), "STORAGE_FULL") == 0);
    CHECK_EQUAL(OUTCOME_STORAGE_FULL, 31);
    CHECK(strcmp(outcome_name(OUTCOME_NO_QUORUM), "NO_QUORUM") == 0);
    CHECK_EQUAL(OUTCOME_NO_QUORUM, 32);
    CHECK(strcmp(outcome_name(OUTCOME_NOT_INDEXED), "NOT_INDEXED") == 0);
    CHECK_EQUAL(OUTCOME_NOT_INDEXED, OUTCOME_COUNT - 1);
}

TEST(outcome_beyond_the_table_is_unknown)
{
    CHECK(strcmp(outcome_name(OUTCOME_COUNT), "UNKNOWN") == 0);
    CHECK(strcmp(outcome_name(UINT16_MAX), "UNKNOWN") == 0);
}
