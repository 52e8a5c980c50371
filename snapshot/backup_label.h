/* The label of a backup: the file `backup.till` (base/label.h), which says what the backup
 * contains.
 *
 *   state unfinished        or complete; only a complete one has the lines that follow
 *   seq 10482117            the last change that it contains
 *   epoch 1                 of that change
 *   time 1764163200000000   no change happened between that one and this time, in microseconds
 *   files 2                 number of its files, listed in the order of their names:
 *   1610612736 89abcdef01234567 snapshot-00000000000010000003.till
 *   33554432 0123456789abcdef wal-0000000001.log
 *
 * each with its size in bytes, and the XXH3-64 of its content.
 *
 *   (empty folder) --backup_label_begin--> unfinished
 *   unfinished --backup_label_complete, when everything is copied and verified--> complete
 *   complete --backup_label_complete, when an update has copied later changes--> complete
 *
 * The label is the first file of a backup, and the last file that an update publishes: until then
 * all files of the earlier backup are unchanged. An update removes files that are no longer needed
 * after that. So files that the label does not name were left by an interrupted update, and do no
 * harm. A data folder has no label: it is removed when a server starts from a backup. */
#ifndef TILL_SNAPSHOT_BACKUP_LABEL_H
#define TILL_SNAPSHOT_BACKUP_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"

#define BACKUP_LABEL_NAME "backup.till"

enum { BACKUP_ERROR_SIZE = 512 };

enum backup_state {
    BACKUP_NONE, /* the folder has no label */
    BACKUP_UNFINISHED,
    BACKUP_COMPLETE,
    BACKUP_REFUSED, /* label->error says why */
};

struct backup_file {
    char name[DISK_NAME_SIZE];
    uint64_t size_bytes;
    uint64_t checksum;
};

struct backup_label {
    struct disk *disk;
    uint64_t seq;
    uint64_t epoch;
    uint64_t time_us;
    struct backup_file *files; /* backup_label_close frees them */
    uint32_t file_count;

    /* Called at intervals while files are read, unless NULL. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    void *context;

    char error[BACKUP_ERROR_SIZE]; /* begins with the path */
};

/* Reads the label of a folder that is open. backup_label_close must be called in any case. */
enum backup_state backup_label_open(struct backup_label *label, struct disk *disk);
void backup_label_close(struct backup_label *label);

/* Is each file of a complete backup there, with its size and checksum? */
bool backup_label_check(struct backup_label *label);

/* What every reader of a folder requires: no label, or a complete backup that passes the check.
 * BACKUP_NONE, BACKUP_COMPLETE or BACKUP_REFUSED. */
enum backup_state backup_label_demand(struct backup_label *label, struct disk *disk);

/* Publish the label of a backup that begins, or that is complete. complete reads each of the named
 * files and fills in its size and checksum. */
bool backup_label_begin(struct backup_label *label, struct disk *disk);
bool backup_label_complete(struct backup_label *label);

/* Removes the label when a server starts from the backup: from now on the folder is a data folder.
 * 0 or -errno. */
int backup_label_leave(struct disk *disk);

#endif
