/* The numbers come from the headers that define them. TILL_SOURCE is what git calls the source; the
 * Makefile sets it when it builds from a git clone. */
#include "cli/version.h"

#include "base/schema.h"
#include "net/frame.h"
#include "snapshot/image.h"
#include "wal/block.h"

#ifndef TILL_SOURCE
#define TILL_SOURCE ""
#endif

void version_print(FILE *out)
{
    static const struct {
        const char *name;
        unsigned number;
    } formats[] = {
        {"protocol", PROTOCOL_VERSION},
        {"log format", WAL_BLOCK_VERSION},
        {"snapshot format", IMAGE_VERSION},
        {"schema", SCHEMA},
    };
    fprintf(out, "till %s%s\n", TILL_VERSION, TILL_SOURCE[0] != '\0' ? " (" TILL_SOURCE ")" : "");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        fprintf(out, "%s %u\n", formats[i].name, formats[i].number);
}
