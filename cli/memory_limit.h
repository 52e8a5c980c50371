/* How much memory this process may still take before the kernel ends it, or others: by the limits
 * of its control group and of those above it, and by what the machine has. */
#ifndef TILL_CLI_MEMORY_LIMIT_H
#define TILL_CLI_MEMORY_LIMIT_H

#include <stdint.h>

enum { MEMORY_REASON_SIZE = 512 };

struct memory_limit {
    uint64_t left_bytes;             /* UINT64_MAX: nothing that limits it was found */
    char reason[MEMORY_REASON_SIZE]; /* which limit it is, for a message: file and numbers */
};

/* Looks below root at proc/self/cgroup, proc/meminfo and sys/fs/cgroup: "" for the system's own.
 * What is not there, or makes no sense, limits nothing. */
void memory_limit_look(struct memory_limit *limit, const char *root);

#endif
