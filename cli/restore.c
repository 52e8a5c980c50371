/* `till restore`: makes a new data folder that begins where a shop was at a moment of its past.
 *
 * Good path: the newest snapshot before the moment and the log after it, from the folder and the
 * archive, are replayed to the moment; the invariants are checked; the state is written as a
 * snapshot, of the next epoch, by the same writer that a server uses. Then what was written is
 * read again, and replayed to the end of the block that the moment lies in: only the right state
 * reaches the digest that is in that block.
 *
 * The new folder has no log: a server goes on from the snapshot. Its epoch keeps the two histories
 * apart from there on. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/folder.h"
#include "cli/value.h"
#include "engine/image.h"
#include "snapshot/writer.h"

enum { UNDO_BYTES = 1 << 20, USER_WRITE = 0, USER_WORK = WRITER_BUFFERS };

struct restore {
    struct folder folder;
    const char *from;
    const char *data;
    struct disk *target;
    uint64_t seq;
    uint64_t digest;
};

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "till restore: %s: %s\n", what, why);
    return false;
}

/* The new folder: made when it is not there, and empty. */
static bool open_target(struct restore *restore)
{
    struct disk_entry entry[2];
    int result = disk_open(&restore->target, restore->data, DISK_WRITE);
    if (result == -EWOULDBLOCK)
        return complain(restore->data, "a till serves this folder");
    if (result != 0)
        return complain(restore->data, strerror(-result));
    int count = disk_list(restore->target, entry, 2);
    if (count < 0)
        return complain(restore->data, strerror(-count));
    if (count > 1 || (count == 1 && strcmp(entry[0].name, "lock") != 0))
        return complain(restore->data, "is not empty; nothing was changed: give a new --data");
    return true;
}

static bool check_state(const struct restore *restore)
{
    char error[REPLAY_ERROR_SIZE];
    if (engine_seq(restore->folder.replay.engine) == 0)
        return complain(restore->from, "there was nothing yet at that moment");
    if (engine_check(restore->folder.replay.engine, error, sizeof error))
        return true;
    return complain("the restored state", error);
}

/* Turns the loop until the snapshot is published or given up. */
static bool write_all(struct writer *writer, struct io *io, uint64_t seq)
{
    struct io_event events[IO_EVENTS_MAX];
    writer_ask(writer);
    while (!writer_is_idle(writer)) {
        bool packed = writer_step(writer, seq, true);
        int count = io_wait(io, events, IO_EVENTS_MAX, 1, packed ? 0 : UINT64_MAX);
        if (count < 0)
            return complain("the I/O loop failed", strerror(-count));
        for (int i = 0; i < count; i++) {
            if (events[i].kind == IO_STOP)
                return complain("stopped", "the new folder has no snapshot yet");
            writer_event(writer, &events[i]);
        }
    }
    const struct writer_status *status = writer_status(writer);
    return status->failure_count == 0 || complain("the snapshot", status->error);
}

static bool write_snapshot(struct restore *restore)
{
    const struct writer_options options = {.undo_bytes = UNDO_BYTES,
                                           .epoch = restore->folder.replay.epoch + 1,
                                           .user_write = USER_WRITE,
                                           .user_work = USER_WORK};
    const struct io_options io_options = {
        .connections_max = 1, .buffer_size = 4096, .buffer_count = 16};
    char error[IO_ERROR_SIZE];
    struct io *io = io_create(&io_options, error);
    if (io == NULL)
        return complain("the snapshot cannot be written", error);
    struct writer *writer =
        writer_create(&options, io, restore->target, restore->folder.replay.engine, 0, 0);
    bool written = writer != NULL ? write_all(writer, io, restore->seq)
                                  : complain("the snapshot", "not enough memory");
    io_destroy(io);
    writer_destroy(writer);
    return written;
}

/* Reads what was written, and goes on to the end of the block that the moment lies in. */
static bool check_written(struct restore *restore)
{
    struct replay *replay = &restore->folder.replay;
    struct loader loader = {.disk = restore->target, .engine = replay->engine};
    uint64_t seq_whole = replay->seq_whole;
    if (!engine_clear(replay->engine) || !loader_run(&loader))
        return complain("what was written cannot be read", loader.error);
    if (loader.seq != restore->seq || engine_digest(replay->engine) != restore->digest)
        return complain(restore->data,
                        "what was written is not what was restored: see to the disk");
    if (seq_whole == restore->seq)
        return true;
    replay->time_last_us = 0;
    replay->seq_last = seq_whole;
    replay->seq_max = restore->seq;
    replay->ignores_snapshots = true;
    if (!replay_run(replay))
        return complain("the state does not lead on", replay->error);
    return engine_seq(replay->engine) == seq_whole ||
           complain("the state does not lead on", "the log has become shorter");
}

static bool run(struct restore *restore)
{
    struct engine **engine = &restore->folder.replay.engine;
    if (!folder_open(&restore->folder, restore->from) || !open_target(restore) ||
        !folder_read(&restore->folder) || !check_state(restore))
        return false;
    uint64_t time_us = engine_time_us(*engine);
    restore->seq = engine_seq(*engine);
    restore->digest = engine_digest(*engine);
    uint64_t epoch = restore->folder.replay.epoch + 1;
    bool has_stopped = restore->folder.replay.has_stopped;
    if (!write_snapshot(restore) || !check_written(restore))
        return false;
    printf("restored seq %" PRIu64 " of ", restore->seq);
    value_write(stdout, VALUE_TEXT, FIELD_time, &time_us);
    printf(", digest %016" PRIx64 ", to %s, epoch %" PRIu64 "\n", restore->digest, restore->data,
           epoch);
    if (!has_stopped)
        printf("that is the last change that is there\n");
    return true;
}

enum { OWN_ROWS = 2, RESTORE_ROWS = OWN_ROWS + FOLDER_ROWS + CAPACITY_COUNT };

int cli_restore(int argc, char **argv)
{
    struct restore restore = {
        .folder = {.command = "till restore", .capacities = engine_options_default},
        .data = "till-data"};
    struct option_row rows[RESTORE_ROWS] = {
        {"from", OPTION_TEXT, &restore.from, "DIR", "a backup, a data folder or a whole archive"},
        {"data", OPTION_TEXT, &restore.data, "DIR", "the new data folder (till-data)"},
    };
    folder_rows(&restore.folder, rows + OWN_ROWS);
    capacity_rows(&restore.folder.capacities, rows + OWN_ROWS + FOLDER_ROWS);
    int operands = options_parse(argc, argv, rows, RESTORE_ROWS);
    if (operands == OPTIONS_HELP) {
        printf(
            "usage: till restore --from DIR [options]\n\n"
            "Makes a new data folder that begins where the shop was after its last change, or at\n"
            "a moment of its past, and checks it against the digests in the log. The folder\n"
            "that it reads is not changed. Give the new server an archive of its own.\n\n");
        options_print(stdout, rows, OWN_ROWS + FOLDER_ROWS);
        printf("\nAt least what the server ran with:\n");
        options_print(stdout, rows + OWN_ROWS + FOLDER_ROWS, CAPACITY_COUNT);
        return EXIT_OK;
    }
    if (operands != 0 || restore.from == NULL) {
        if (operands > 0)
            fprintf(stderr, "till restore: '%s' is not expected; see till restore --help\n",
                    argv[1]);
        else if (operands == 0)
            fprintf(stderr, "till restore: --from DIR is needed; see till restore --help\n");
        return EXIT_USAGE;
    }
    if (!folder_options(&restore.folder))
        return EXIT_USAGE;
    bool restored = run(&restore);
    folder_close(&restore.folder);
    disk_close(restore.target);
    return restored ? EXIT_OK : EXIT_FAILED;
}
