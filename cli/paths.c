/* Paths are compared after all links are resolved, and folders by device and inode number as well,
 * because one folder may be mounted at several paths. */
#include "cli/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Removes the last part of a resolved path, down to "/". */
static void strip(char *path)
{
    char *slash = strrchr(path, '/');
    slash[slash == path ? 1 : 0] = '\0';
}

/* Adds the next part of `rest` to a resolved path, and returns what comes after it. */
static const char *add_part(char *path, const char *rest)
{
    size_t size = strlen(path);
    rest += strspn(rest, "/");
    int part = (int)strcspn(rest, "/");
    if (part == 2 && strncmp(rest, "..", 2) == 0)
        strip(path);
    else if (part > 0 && !(part == 1 && rest[0] == '.'))
        snprintf(path + size, PATH_MAX - size, "%s%.*s", size > 1 ? "/" : "", part, rest);
    return rest + part;
}

/* Resolves the links of the part of the path that exists; the rest is appended as it was typed. */
static bool resolve(const char *path, char resolved[PATH_MAX])
{
    char begin[PATH_MAX];
    size_t size = strlen(path);
    errno = size == 0 ? ENOENT : ENAMETOOLONG;
    if (size == 0 || size >= PATH_MAX)
        return false;
    memcpy(begin, path, size + 1);
    const char *rest = path + size;
    while (realpath(begin, resolved) == NULL) {
        if (errno != ENOENT)
            return false;
        char *slash = strrchr(begin, '/');
        rest = slash == NULL ? path : path + (slash - begin);
        strcpy(slash == NULL ? begin : slash + (slash == begin), slash == NULL ? "." : "");
    }
    while (*rest != '\0')
        rest = add_part(resolved, rest);
    return true;
}

/* Is `outer` the same folder as `inner`, or one above it? Both are resolved. */
static bool is_within(const char *inner, const char *outer)
{
    struct stat above;
    struct stat wanted;
    char path[PATH_MAX];
    bool exists = stat(outer, &wanted) == 0;
    strcpy(path, inner);
    for (;;) {
        if (strcmp(path, outer) == 0 ||
            (exists && stat(path, &above) == 0 && above.st_dev == wanted.st_dev &&
             above.st_ino == wanted.st_ino))
            return true;
        if (strcmp(path, "/") == 0)
            return false;
        strip(path);
    }
}

bool paths_are_apart(const char *command, struct named_path a, struct named_path b)
{
    char path_a[PATH_MAX];
    char path_b[PATH_MAX];
    /* A path that cannot be resolved cannot be opened either; opening it gives the message. */
    if (!resolve(a.path, path_a) || !resolve(b.path, path_b))
        return true;
    bool a_within = is_within(path_a, path_b);
    bool b_within = is_within(path_b, path_a);
    if (!a_within && !b_within)
        return true;
    if (a_within && b_within)
        fprintf(stderr, "%s: %s %s and %s %s are one folder", command, a.what, a.path, b.what,
                b.path);
    else
        fprintf(stderr, "%s: %s %s lies in %s %s", command, a_within ? a.what : b.what,
                a_within ? a.path : b.path, a_within ? b.what : a.what, a_within ? b.path : a.path);
    fprintf(stderr, "; nothing was changed: give each a folder of its own\n");
    return false;
}

/* Makes one folder, and makes its name durable. */
static int make_folder(const char *path)
{
    char above[PATH_MAX + sizeof "/.."];
    if (mkdir(path, 0755) != 0)
        return errno == EEXIST ? 0 : -errno;
    snprintf(above, sizeof above, "%s/..", path);
    int folder = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = folder < 0 || fsync(folder) != 0 ? -errno : 0;
    if (folder >= 0)
        close(folder);
    return result;
}

int path_make_parents(const char *path)
{
    char above[PATH_MAX];
    int result = 0;
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    if (end >= PATH_MAX)
        return -ENAMETOOLONG;
    for (size_t i = 1; result == 0 && i < end; i++) {
        if (path[i] != '/' || path[i - 1] == '/')
            continue;
        snprintf(above, sizeof above, "%.*s", (int)i, path);
        result = make_folder(above);
    }
    return result;
}

int path_may_be_made(const char *path)
{
    char above[PATH_MAX];
    struct stat status;
    if (!resolve(path, above))
        return -errno;
    while (stat(above, &status) != 0) {
        if (errno != ENOENT || strcmp(above, "/") == 0)
            return -errno;
        strip(above);
    }
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    return access(above, W_OK | X_OK) == 0 ? 0 : -errno;
}

bool path_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

void path_forget(const char *path)
{
    (void)rmdir(path);
}

/* Names that any folder may have. */
static bool is_plain(const char *name)
{
    static const char *const plain[] = {".", "..", "lost+found"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(name, plain[i]) == 0)
            return true;
    }
    return false;
}

int path_find_entry(const char *path, bool (*is_known)(const char *name), char *name,
                    size_t name_size)
{
    DIR *entries = opendir(path);
    if (entries == NULL)
        return errno == ENOENT ? 0 : -errno;
    int result = 0;
    errno = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(entries)) != NULL; errno = 0) {
        if (is_plain(entry->d_name) || is_known(entry->d_name))
            continue;
        snprintf(name, name_size, "%s", entry->d_name);
        result = 1;
    }
    if (result == 0)
        result = -errno;
    closedir(entries);
    return result;
}
