/* Makes the next rows file of options the tables of its commands. */
#define COMMAND(command, title_, operands_, least, most)                                           \
    const struct option_table command##_table = {                                                  \
        .title = (title_),                                                                         \
        .operands = (operands_),                                                                   \
        .operands_min = (least),                                                                   \
        .operands_max = (most),                                                                    \
        .rows = command##_rows,                                                                    \
        .row_count = sizeof command##_rows / sizeof(struct option_row),                            \
        .values_size = sizeof(struct command##_options),                                           \
    };
