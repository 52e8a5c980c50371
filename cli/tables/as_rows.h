/* Makes the next rows file of options the arrays that describe them. */
#define COMMAND(command, title, operands, least, most)                                             \
    static const struct option_row command##_rows[] = {
#define COMMAND_END(command)                                                                       \
    }                                                                                              \
    ;
#define GROUP(command, title_) {.kind = OPTION_GROUP, .name = (title_)},
#define FLAG(command, name_, help_)                                                                \
    {.kind = OPTION_FLAG,                                                                          \
     .name = #name_,                                                                               \
     .help = (help_),                                                                              \
     .offset = offsetof(struct command##_options, name_)},
#define TEXT_OF(command, kind_, name_, default_, value_, help_)                                    \
    {.kind = (kind_),                                                                              \
     .name = #name_,                                                                               \
     .value = (value_),                                                                            \
     .help = (help_),                                                                              \
     .text = (default_),                                                                           \
     .offset = offsetof(struct command##_options, name_)},
#define TEXT(command, ...)    TEXT_OF(command, OPTION_TEXT, __VA_ARGS__)
#define ADDRESS(command, ...) TEXT_OF(command, OPTION_ADDRESS, __VA_ARGS__)
#define COUNT_OF(command, name_, place_, default_, minimum_, maximum_, value_, help_)              \
    {.kind = OPTION_COUNT,                                                                         \
     .name = (name_),                                                                              \
     .value = (value_),                                                                            \
     .help = (help_),                                                                              \
     .count = (default_),                                                                          \
     .minimum = (minimum_),                                                                        \
     .maximum = (maximum_),                                                                        \
     .offset = offsetof(struct command##_options, place_)},
#define COUNT(command, name_, ...) COUNT_OF(command, #name_, name_, __VA_ARGS__)
#define CAPACITY_OPTION(command, number, name_, default_, help_)                                   \
    COUNT_OF(command, #name_, capacities.name_, default_, 1, CAPACITY_MAX, "N", help_)
