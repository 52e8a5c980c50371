/* Paths of folders, as a command is given them: whether one lies inside another, what exists there,
 * and creating them. A path may contain links, or not exist yet. */
#ifndef TILL_CLI_PATHS_H
#define TILL_CLI_PATHS_H

#include <stdbool.h>
#include <stddef.h>

/* A folder that a command is given, and what it is called in messages. */
struct named_path {
    const char *what; /* "the archive" */
    const char *path;
};

/* False, after a message, when one of the two folders is the other one or lies in it. */
bool paths_are_apart(const char *command, struct named_path a, struct named_path b);

/* Can a folder be created there, or written to? 0 or -errno. */
int path_may_be_made(const char *path);

/* Makes the folders above the path's own, durably; 0 or -errno. */
int path_make_parents(const char *path);

/* Is there something at the path? */
bool path_exists(const char *path);

/* Removes a folder if it is empty. */
void path_forget(const char *path);

/* Looks for an entry of the folder for which `is_known` is false. 1, with its name; 0: there is
 * none, or no such folder; or -errno. */
int path_find_entry(const char *path, bool (*is_known)(const char *name), char *name,
                    size_t name_size);

#endif
