/* `till restore`: makes a new data folder that begins where a shop was at a moment of its past.
 *
 * Good path: the newest snapshot before the moment and the log after it, from the folder and the
 * archive, are replayed to the moment; the invariants are checked; the state is written as a
 * snapshot, of the next epoch, by the same writer that a server uses. Then what was written is
 * read again, must have the checksum of the state that was replayed, and is replayed to the end of
 * the block that the moment lies in: only the right state reaches the digest that is in that block.
 *
 * The new folder has no log: a server goes on from the snapshot. Its epoch keeps the two histories
 * apart from there on. It is a folder of the same shop: snapshot and shop.till carry the shop's id
 * over, but it is nobody's replica, and no member yet.
 *
 * What can fail: the source, or the moment, is not there: nothing has been made then, for the new
 * folder is made last. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/paths.h"
#include "cli/value.h"
#include "engine/image.h"
#include "engine/sum.h"
#include "snapshot/image.h"
#include "snapshot/writer.h"

enum { UNDO_BYTES = 1 << 20, USER_WRITE = 0, USER_WORK = WRITER_BUFFERS };

struct restore {
    struct folder folder;
    const char *from;
    const char *data;
    struct disk *target;
    bool is_new; /* the folder was made by this run */
    uint64_t seq;
    uint64_t digest;
    uint64_t checksum; /* of the state that is restored */
    uint64_t epoch;    /* that the new folder begins with */
    struct shop shop;  /* of the source; the zero id: it does not say */
};

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "till restore: %s: %s\n", what, why);
    return false;
}

/* The file that a killed restore leaves behind; the next one removes it. */
static bool is_half_made(const char *name)
{
    return strcmp(name, "snapshot.partial") == 0;
}

/* The path must be an empty folder, or not exist. */
static bool target_is_free(const struct restore *restore)
{
    char name[256];
    char why[512];
    int result = path_find_entry(restore->data, is_half_made, name, sizeof name);
    if (result == 0)
        result = path_may_be_made(restore->data);
    if (result == 0)
        return true;
    if (result < 0)
        return complain(restore->data, result == -ENOTDIR
                                           ? "it, or what it should lie in, is a file"
                                           : strerror(-result));
    snprintf(why, sizeof why, "is not empty, it has %s; nothing was changed: give a new --data",
             name);
    return complain(restore->data, why);
}

/* Creates the new folder: last, when there is a state to write to it. */
static bool open_target(struct restore *restore)
{
    restore->is_new = !path_exists(restore->data);
    int result = path_make_parents(restore->data);
    if (result == 0)
        result = disk_open(&restore->target, restore->data, DISK_WRITE);
    if (result == -EWOULDBLOCK)
        return complain(restore->data, "a till serves this folder");
    if (result != 0)
        return complain(restore->data, strerror(-result));
    return target_is_free(restore);
}

/* The folders that are read are not written to. */
static bool paths_are_right(const struct restore *restore)
{
    const struct named_path data = {"the new folder", restore->data};
    const struct named_path from = {"what is restored,", restore->from};
    const struct named_path archive = {"the archive", restore->folder.archive};
    return paths_are_apart("till restore", data, from) &&
           (archive.path == NULL || paths_are_apart("till restore", data, archive));
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

/* Runs the writer until the snapshot is published or has failed. */
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
                                           .epoch = restore->epoch,
                                           .shop = restore->shop.shop,
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

/* Loads the snapshot that was written, and replays to the end of the block that the moment is in.
 */
static bool check_written(struct restore *restore)
{
    struct replay *replay = &restore->folder.replay;
    struct loader loader = {.disk = restore->target, .engine = replay->engine};
    uint64_t seq_whole = replay->seq_whole;
    if (!engine_clear(replay->engine) || !loader_run(&loader))
        return complain("what was written cannot be read", loader.error);
    if (loader.seq != restore->seq || engine_checksum(replay->engine) != restore->checksum)
        return complain(restore->data,
                        "what was read back is not what was written: check the disk");
    if (seq_whole == restore->seq)
        return true;
    replay->time_last_us = 0;
    replay->seq_last = seq_whole;
    replay->seq_max = restore->seq;
    replay->ignores_snapshots = true;
    bool is_replayed = replay_run(replay);
    progress_end(&restore->folder.progress);
    if (!is_replayed)
        return complain("the state does not lead on", replay->error);
    return engine_seq(replay->engine) == seq_whole ||
           complain("the state does not lead on", "the log has become shorter");
}

/* A snapshot that failed the check is removed, so that no server can start from it. */
static bool keep_or_remove(struct restore *restore, bool is_right)
{
    char name[DISK_NAME_SIZE];
    image_name(restore->seq, name);
    if (!is_right)
        (void)disk_remove(restore->target, name);
    return is_right;
}

/* Comes after the snapshot, which says the same: a restore that is cut short in between has made a
 * whole folder. */
static bool write_shop(struct restore *restore)
{
    struct shop shop = {.shop = restore->shop.shop, .epoch_sealed = restore->shop.epoch_sealed};
    int result = id_is_zero(shop.shop) ? 0 : shop_write(restore->target, &shop);
    return result == 0 || complain(SHOP_NAME, strerror(-result));
}

/* Epochs that were sealed may have been begun by another member of the shop: the new one comes
 * after them too. */
static bool find_shop(struct restore *restore)
{
    if (!folder_shop(&restore->folder, &restore->shop))
        return false;
    uint64_t epoch = restore->folder.replay.epoch;
    uint64_t sealed = restore->shop.epoch_sealed;
    restore->epoch = (epoch > sealed ? epoch : sealed) + 1;
    return true;
}

static bool run(struct restore *restore)
{
    struct engine **engine = &restore->folder.replay.engine;
    if (!paths_are_right(restore) || !target_is_free(restore) ||
        !folder_open(&restore->folder, restore->from) || !folder_read(&restore->folder) ||
        !check_state(restore) || !find_shop(restore))
        return false;
    uint64_t time_us = engine_time_us(*engine);
    restore->seq = engine_seq(*engine);
    restore->digest = engine_digest(*engine);
    restore->checksum = engine_checksum(*engine);
    bool has_stopped = restore->folder.replay.has_stopped;
    if (!open_target(restore) || !write_snapshot(restore) ||
        !keep_or_remove(restore, check_written(restore)) || !write_shop(restore))
        return false;
    printf("restored seq %" PRIu64 " of ", restore->seq);
    value_write(stdout, VALUE_TEXT, FIELD_time, &time_us);
    printf(", digest %016" PRIx64 ", to %s, epoch %" PRIu64 "\n", restore->digest, restore->data,
           restore->epoch);
    if (!has_stopped)
        printf("that is the last change in the log\n");
    return true;
}

static void print_help(void)
{
    options_print_usage(stdout, &restore_table);
    printf("Makes a new data folder that begins where the shop was after its last change, or at a\n"
           "moment of its past, and checks it against the digests in the log. The folder that it\n"
           "reads is not changed. Give the new server an archive of its own.\n\n");
    options_print(stdout, &restore_table);
}

int cli_restore(int argc, char **argv)
{
    struct restore_options options;
    int operands = options_parse(&restore_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    if (options.from == NULL) {
        fprintf(stderr, "till restore: --from DIR is needed; see till restore --help\n");
        return EXIT_USAGE;
    }
    struct restore restore = {.folder = {.command = "till restore",
                                         .archive = options.archive,
                                         .at = options.at,
                                         .seq = options.seq,
                                         .capacities = options.capacities},
                              .from = options.from,
                              .data = options.data};
    if (!folder_options(&restore.folder))
        return EXIT_USAGE;
    bool restored = run(&restore);
    folder_close(&restore.folder);
    disk_close(restore.target);
    if (!restored && restore.is_new)
        path_forget(restore.data);
    return restored ? EXIT_OK : EXIT_FAILED;
}
