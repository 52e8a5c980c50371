/* The outcome table as data. The enum in status.h and these rows come from the same macro, so they
 * cannot drift apart. */
#include "base/status.h"

#include "base/assert.h"

#define OUTCOME_ROW(number, NAME, retry, known, subject, value, text)                              \
    [number] = {#NAME, #retry, #known, subject, value, text},
static const struct outcome_info outcomes[OUTCOME_COUNT] = {OUTCOMES(OUTCOME_ROW)};
#undef OUTCOME_ROW

const struct outcome_info *outcome_info(unsigned number)
{
    TILL_ASSERT(number < OUTCOME_COUNT);
    return &outcomes[number];
}

const char *outcome_name(unsigned number)
{
    return number < OUTCOME_COUNT ? outcomes[number].name : "UNKNOWN";
}
