/* Everything here comes from ENGINE_CAPACITIES; a capacity added there is an option at once. */
#include "cli/capacity.h"

#include <string.h>

#include "base/assert.h"

void capacity_rows(struct engine_options *options, struct option_row rows[CAPACITY_COUNT])
{
    size_t count = 0;
#define CAPACITY_ROW(c_name, value, text)                                                          \
    rows[count++] =                                                                                \
        (struct option_row){#c_name, OPTION_COUNT, &options->c_name, "N", text, 1, CAPACITY_MAX};
    ENGINE_CAPACITIES(CAPACITY_ROW)
#undef CAPACITY_ROW
    TILL_ASSERT(count == CAPACITY_COUNT);
}

const char *capacity_name(uint64_t number)
{
#define CAPACITY_NAME(name, value, text) #name,
    static const char *const names[] = {ENGINE_CAPACITIES(CAPACITY_NAME)};
#undef CAPACITY_NAME
    return number >= 1 && number <= CAPACITY_COUNT ? names[number - 1] : NULL;
}
