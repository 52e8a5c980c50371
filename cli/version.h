/* Which till this is. */
#ifndef TILL_CLI_VERSION_H
#define TILL_CLI_VERSION_H

#include <stdio.h>

/* The version's one source. */
#define TILL_VERSION "0.1.0"

/* The version, what it was built from, and the numbers of the protocol and the file formats. */
void version_print(FILE *out);

#endif
