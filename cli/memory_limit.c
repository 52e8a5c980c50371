/* The kernel kills or slows down the processes of a control group that uses more memory than its
 * limit, or than the limit of a group above it. Cached pages of files count as used, but the kernel
 * frees them when memory is short, so they are subtracted. The result is the smallest amount left
 * in any of these groups and in the machine.
 *
 * Version 2 of control groups has one tree, version 1 has one for each controller. In a container
 * the path in proc/self/cgroup may exist only on the host; the process then sees its own group as
 * the root of the tree, which is why the root is always looked at. */
#include "cli/memory_limit.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/units.h"

enum { PATH_SIZE = 4096, LINE_SIZE = 4096 };

/* A limit this large means none: version 1 writes a huge number. */
#define UNLIMITED_BYTES (1ULL << 62)

/* A tree of groups, and what the files in each are called. */
struct tree {
    const char *folder;
    const char *limits[2];
    const char *usage;
    const char *cached[2]; /* lines of memory.stat: pages of files */
};

static const struct tree tree_v1 = {.folder = "/sys/fs/cgroup/memory",
                                    .limits = {"memory.limit_in_bytes"},
                                    .usage = "memory.usage_in_bytes",
                                    .cached = {"total_inactive_file", "total_active_file"}};
static const struct tree tree_v2 = {.folder = "/sys/fs/cgroup",
                                    .limits = {"memory.max", "memory.high"},
                                    .usage = "memory.current",
                                    .cached = {"inactive_file", "active_file"}};

static FILE *open_file(const char *folder, const char *name)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof path, "%s/%s", folder, name);
    return size < (int)sizeof path ? fopen(path, "re") : NULL;
}

/* The number that follows the name at the beginning of a line, after spaces or a colon; with an
 * empty name, the first number of the file. False when there is none. */
static bool read_number(const char *folder, const char *file_name, const char *name,
                        uint64_t *number)
{
    char line[LINE_SIZE];
    size_t size = strlen(name);
    bool is_found = false;
    FILE *file = open_file(folder, file_name);
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        const char *cursor = line + size;
        if (strncmp(line, name, size) != 0 || (size > 0 && strchr(" \t:", *cursor) == NULL))
            continue;
        cursor += strspn(cursor, " \t:");
        is_found = *cursor >= '0' && *cursor <= '9';
        *number = is_found ? strtoull(cursor, NULL, 10) : 0;
    }
    if (file != NULL)
        fclose(file);
    return is_found;
}

/* The memory that a group and those below it use and that cannot be reclaimed. */
static uint64_t group_in_use(const struct tree *tree, const char *folder)
{
    uint64_t in_use = 0, cached = 0;
    if (!read_number(folder, tree->usage, "", &in_use))
        return 0;
    for (size_t i = 0; i < sizeof tree->cached / sizeof tree->cached[0]; i++) {
        if (read_number(folder, "memory.stat", tree->cached[i], &cached))
            in_use -= cached < in_use ? cached : in_use;
    }
    return in_use;
}

static void look_at_group(struct memory_limit *limit, const struct tree *tree, const char *folder,
                          const char *group)
{
    for (size_t i = 0; i < sizeof tree->limits / sizeof tree->limits[0]; i++) {
        uint64_t bytes;
        if (tree->limits[i] == NULL || !read_number(folder, tree->limits[i], "", &bytes) ||
            bytes >= UNLIMITED_BYTES)
            continue;
        uint64_t in_use = group_in_use(tree, folder);
        uint64_t left = bytes > in_use ? bytes - in_use : 0;
        if (left >= limit->left_bytes)
            continue;
        limit->left_bytes = left;
        snprintf(limit->reason, sizeof limit->reason,
                 "%s of the control group %.300s is %.1f MiB, of which %.1f MiB are in use",
                 tree->limits[i], group[0] != '\0' ? group : "/", mebibytes(bytes),
                 mebibytes(in_use));
    }
}

/* The group at this path, and all above it. */
static void look_at_tree(struct memory_limit *limit, const struct tree *tree, const char *root,
                         const char *path)
{
    char folder[PATH_SIZE], group[PATH_SIZE];
    snprintf(group, sizeof group, "%s", path);
    /* Above the part of the tree that this process sees, nothing can be seen. */
    if (strstr(group, "/..") != NULL)
        group[0] = '\0';
    for (;;) {
        char *slash = strrchr(group, '/');
        if (slash != NULL && slash[1] == '\0') {
            *slash = '\0';
            continue;
        }
        if (snprintf(folder, sizeof folder, "%s%s%s", root, tree->folder, group) <
            (int)sizeof folder)
            look_at_group(limit, tree, folder, group);
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

/* Is this one of the controllers in a list with commas? */
static bool has_memory(const char *list, size_t size)
{
    static const char name[] = "memory";
    for (const char *end = list + size; list < end; list++) {
        size_t length = strcspn(list, ",:");
        if (length == strlen(name) && strncmp(list, name, length) == 0)
            return true;
        list += length;
    }
    return false;
}

/* Lines are NUMBER:CONTROLLERS:PATH; version 2 has the number 0 and no controllers. */
static void look_at_groups(struct memory_limit *limit, const char *root)
{
    char line[LINE_SIZE];
    FILE *file = open_file(root, "proc/self/cgroup");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *list = strchr(line, ':');
        char *group = list != NULL ? strchr(list + 1, ':') : NULL;
        if (group == NULL)
            continue;
        list++;
        group++;
        group[strcspn(group, "\n")] = '\0';
        size_t size = (size_t)(group - 1 - list);
        if (size == 0)
            look_at_tree(limit, &tree_v2, root, group);
        else if (has_memory(list, size))
            look_at_tree(limit, &tree_v1, root, group);
    }
    if (file != NULL)
        fclose(file);
}

void memory_limit_look(struct memory_limit *limit, const char *root)
{
    uint64_t kibibytes;
    *limit = (struct memory_limit){.left_bytes = UINT64_MAX};
    if (read_number(root, "proc/meminfo", "MemAvailable", &kibibytes) &&
        kibibytes < UNLIMITED_BYTES >> 10) {
        limit->left_bytes = kibibytes << 10;
        snprintf(limit->reason, sizeof limit->reason, "the machine has %.1f MiB available",
                 mebibytes(kibibytes << 10));
    }
    look_at_groups(limit, root);
}
