/* What a backup says of itself: its label, the file `backup.till` (base/label.h).
 *
 *   state unfinished        or complete; the lines that follow are those of a complete one
 *   seq 10482117            the last change that it has
 *   epoch 1                 of that change
 *   time 1764163200000000   nothing changed between that change and this time, in microseconds
 *   files 2                 that it consists of, in the order of their names:
 *   1610612736 89abcdef01234567 snapshot-00000000000010000003.till
 *   33554432 0123456789abcdef wal-0000000001.log
 *
 * with the size in bytes of each and the XXH3-64 of all of it.
 *
 *   (empty folder) --begin--> unfinished --all is copied and was read again--> complete --later
 *   changes are copied beside its files--> complete, of more files --those it does not need go-->
 *
 * The label is the first file of a backup, and the last that an update publishes: until then all
 * files of the earlier one are there as they were. So other files of a shop beside those that it
 * names are what an update left that was interrupted, and do no harm. A data folder has no label:
 * it is given up when a server goes on from a backup. */
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

    /* Called now and then while files are read, unless NULL. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    void *context;

    char error[BACKUP_ERROR_SIZE]; /* begins with the path */
};

/* Reads the label of a folder that is open. backup_label_close comes in any case. */
enum backup_state backup_label_open(struct backup_label *label, struct disk *disk);
void backup_label_close(struct backup_label *label);

/* Is each file of a complete one there, as it was? */
bool backup_label_check(struct backup_label *label);

/* What readers of a folder demand: no label at all, or a complete backup that passes the check.
 * BACKUP_NONE, BACKUP_COMPLETE or BACKUP_REFUSED. */
enum backup_state backup_label_demand(struct backup_label *label, struct disk *disk);

/* Publishes the label of a backup that begins, or of a complete one, whose size and checksum of
 * each of the named files are found here. */
bool backup_label_begin(struct backup_label *label, struct disk *disk);
bool backup_label_complete(struct backup_label *label);

/* A server goes on from it: from now on it is a data folder. 0 or -errno. */
int backup_label_leave(struct disk *disk);

#endif
