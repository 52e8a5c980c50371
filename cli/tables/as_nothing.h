/* The beginning of a rows file of options: what its includer did not define expands to nothing. The
 * rows that several commands have in common are here, once. */
#ifndef COMMAND
#define COMMAND(command, title, operands, least, most)
#endif
#ifndef COMMAND_END
#define COMMAND_END(command)
#endif
#ifndef GROUP
#define GROUP(command, title)
#endif
#ifndef FLAG
#define FLAG(command, name, help)
#endif
#ifndef TEXT
#define TEXT(command, name, default, value, help)
#endif
#ifndef ADDRESS
#define ADDRESS(command, name, default, value, help)
#endif
#ifndef COUNT
#define COUNT(command, name, default, minimum, maximum, value, help)
#endif
#ifndef CAPACITIES
#define CAPACITIES(command)
#endif
#ifndef CAPACITY_OPTION
#define CAPACITY_OPTION(command, number, name, default, help)
#endif

#define ARCHIVE(command)                                                                           \
    TEXT(command, archive, NULL, "DIR", "the archive of its log, for what the folder itself lacks")
#define MOMENT(command)                                                                            \
    ARCHIVE(command)                                                                               \
    TEXT(command, at, NULL, "TIME",                                                                \
         "as it was then: 2026-11-25T22:00:00Z, or microseconds since 1970")                       \
    TEXT(command, seq, NULL, "N", "as it was after the change with this number")
