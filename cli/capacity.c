/* Everything here comes from the rows of capacities; one that is added there is an option at once.
 */
#include "cli/capacity.h"

void capacity_rows(struct engine_options *options, struct option_row rows[CAPACITY_COUNT])
{
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct option_row){capacities[i].name,
                                      OPTION_COUNT,
                                      (uint8_t *)options + capacities[i].offset,
                                      "N",
                                      capacities[i].text,
                                      1,
                                      CAPACITY_MAX};
}
