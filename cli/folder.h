/* A data folder, a backup or an archive, read into an engine of this process: what verify, restore
 * and the shell have in common when they need no server. Nothing in the folder is changed; a server
 * may be running on it. */
#ifndef TILL_CLI_FOLDER_H
#define TILL_CLI_FOLDER_H

#include <stdbool.h>

#include "cli/progress.h"
#include "engine/engine.h"
#include "net/replay.h"
#include "net/shop.h"
#include "snapshot/backup_label.h"

/* What a command looks for at a path. */
enum folder_kind {
    FOLDER_READABLE, /* a data folder, a backup or an archive */
    FOLDER_DATA,     /* a data folder or a backup */
    FOLDER_ARCHIVE,
};

/* Opens the folder for reading if the names of its files show that it is of that kind; false after
 * a message. */
bool folder_find(const char *command, const char *path, enum folder_kind kind, struct disk **disk);

/* Is it the name of a file that such a folder has? */
bool folder_has_name(enum folder_kind kind, const char *name);

struct folder {
    const char *command; /* for messages: "till verify" */
    const char *archive; /* as typed; NULL: not given */
    const char *at;
    const char *seq;
    struct engine_options capacities;
    struct replay replay; /* disk, archive and engine, once opened; seq_last and
                             time_last_us are what the options say */
    bool is_backup;
    struct backup_label label; /* if it is a backup */
    struct progress progress;
};

/* Takes in what was typed for --at and --seq; false after a message. */
bool folder_options(struct folder *folder);

/* Opens the folder, checks it if it is a backup, and creates an empty engine; false after a
 * message. folder_close must follow in both cases. */
bool folder_open(struct folder *folder, const char *path);
void folder_close(struct folder *folder);

/* Replays into the engine up to the moment that the options name, or to the end of the log; false
 * after a message, also when that moment is earlier or later than what the folder has. */
bool folder_read(struct folder *folder);

/* What the engine answers now to a query that it can answer: the body, which lies in `room`. */
const void *folder_ask(struct engine *engine, unsigned number, const void *body, uint32_t size,
                       uint64_t room[FRAME_SIZE_MAX / 8]);

/* Which shop it is of, once it was read: what shop.till says, or without that file the snapshot
 * that was loaded; a zero id: neither does. False after a message: shop.till cannot be used, or
 * says something else than the snapshot. */
bool folder_shop(const struct folder *folder, struct shop *shop);

/* The first seq of the log in a folder, which may be NULL; 0 when it has none, or cannot be read.
 */
uint64_t folder_first_seq(struct disk *disk, bool *is_archive);

#endif
