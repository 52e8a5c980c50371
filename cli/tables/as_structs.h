/* Makes the next rows file of options the structs of its values, and declares its tables. */
#define COMMAND(command, title, operands, least, most)                                             \
    extern const struct option_table command##_table;                                              \
    struct command##_options {
#define COMMAND_END(command)                                                                       \
    }                                                                                              \
    ;
#define FLAG(command, name, help)   bool name;
#define TEXT(command, name, ...)    const char *name;
#define ADDRESS(command, name, ...) const char *name;
#define COUNT(command, name, ...)   uint32_t name;
#define CAPACITIES(command)         struct engine_options capacities;
