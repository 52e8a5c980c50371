/* The end of a rows file of options. */
#undef COMMAND
#undef COMMAND_END
#undef GROUP
#undef FLAG
#undef TEXT
#undef ADDRESS
#undef COUNT
#undef CAPACITIES
#undef CAPACITY_OPTION
#undef ARCHIVE
#undef MOMENT
