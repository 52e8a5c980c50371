/* Replays a data folder's log into a fresh engine and checks everything that can be checked
 * without another copy: every block's checksum and chain (the reader), that every command is
 * accepted and every block's digest is reached again (net/replay.h), every invariant (engine_check)
 * of each state that is reached, which is what each snapshot shows and what the log leads to from
 * there, that each snapshot shows the state that the log leads to at its seq, and that each with
 * the log after it leads to one and the same state: by every record and number (engine_checksum).
 * Where the log's beginning is gone, the oldest sound snapshot takes its place. A snapshot that is
 * damaged is named, with what a start would do about it; the others are checked all the same.
 * shop.till must be whole, and each snapshot of that shop. Nothing in the folder is changed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/schema.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/value.h"
#include "engine/image.h"
#include "engine/sum.h"
#include "snapshot/image.h"

struct verification {
    struct folder folder;
    char reading[64];        /* what the progress of a replay says */
    struct loader snapshots; /* those that are there, the newest first */
    bool damaged[LOADER_SNAPSHOTS_MAX];
    uint64_t checksums[LOADER_SNAPSHOTS_MAX]; /* of what each sound one shows */
    uint32_t damaged_count;
    bool is_whole;    /* the log begins with the first change */
    struct shop shop; /* whose folder it is; the zero id: it does not say */
};

/* Stock of all SKUs and warehouses. */
struct stock_totals {
    int64_t on_hand;
    int64_t available;
    int64_t pooled;
    int64_t reserved;
    int64_t committed;
};

static struct stock_totals sum_stock(struct engine *engine, uint64_t count)
{
    struct stock_totals totals = {0};
    struct {
        struct stock_get_body get;
        struct item_body items[STOCK_ITEMS_MAX];
    } request;
    uint64_t room[FRAME_SIZE_MAX / 8];
    for (uint64_t done = 0; done < count; done += request.get.item_count) {
        memset(&request, 0, sizeof request);
        request.get.item_count =
            (uint16_t)(count - done < STOCK_ITEMS_MAX ? count - done : STOCK_ITEMS_MAX);
        for (uint16_t i = 0; i < request.get.item_count; i++)
            request.items[i].sku = engine_sku_number(engine, (uint32_t)(done + i + 1));
        uint32_t size =
            (uint32_t)(sizeof request.get + request.get.item_count * sizeof request.items[0]);
        const struct stock_get_reply_body *reply =
            folder_ask(engine, MESSAGE_stock_get, &request, size, room);
        const struct stock_row_body *row = (const struct stock_row_body *)(reply + 1);
        for (uint16_t i = 0; i < reply->stock_count; i++, row++) {
            totals.on_hand += row->on_hand;
            totals.available += row->available;
            totals.pooled += row->pooled;
            totals.reserved += row->reserved_for_orders;
            totals.committed += row->committed;
        }
    }
    return totals;
}

static void print_log_summary(const struct replay *replay)
{
    printf("log      %" PRIu64 " commands in %" PRIu64 " blocks, epoch %" PRIu64 "\n",
           replay->commands, replay->blocks, replay->end.epoch);
    if (replay->loader.seq > 0)
        printf("         after the snapshot of seq %" PRIu64
               ": what came before is not in the log\n",
               replay->loader.seq);
    if (replay->end.torn_bytes > 0)
        printf("end      %" PRIu64 " bytes behind seq %" PRIu64 " are no whole block: a write that "
               "was under way when the\n         server died, or damage to its last ones; this "
               "folder cannot tell. The next start cuts them\n",
               replay->end.torn_bytes, replay->end.seq_next - 1);
    else if (!replay->end.is_sealed)
        printf("end      not sealed: a server is writing to this folder, or died while it was\n");
    else
        printf("end      sealed: whatever was acknowledged is here\n");
}

static void print_backup(const struct folder *folder)
{
    const struct backup_label *label = &folder->label;
    if (!folder->is_backup)
        return;
    printf("backup   up to seq %" PRIu64 ", taken at ", label->seq);
    value_write(stdout, VALUE_TEXT, FIELD_time, &label->time_us);
    printf(": its %" PRIu32 " files are as they were\n", label->file_count);
}

static void print_shop(const struct shop *shop)
{
    char text[ID_TEXT_SIZE];
    if (id_is_zero(shop->shop))
        return;
    printf("shop     %s", id_format(shop->shop, text));
    if ((shop->flags & SHOP_REPLICA) != 0)
        printf(", a replica%s%s", shop->primary.bytes[0] != '\0' ? " of " : "",
               shop->primary.bytes);
    if (shop->epoch_sealed > 0)
        printf("; refuses epochs before %" PRIu64, shop->epoch_sealed);
    printf("\n");
    if ((shop->flags & SHOP_FORKED) != 0)
        printf("         the next start goes back to seq %" PRIu64
               " and sets aside what comes after it\n",
               shop->fork_seq);
}

static void print_summary(struct verification *verification)
{
    struct engine *engine = verification->folder.replay.engine;
    struct metrics metrics = {0};
    engine_metrics(engine, &metrics);
    struct stock_totals totals = sum_stock(engine, metrics.skus);
    print_backup(&verification->folder);
    print_shop(&verification->shop);
    print_log_summary(&verification->folder.replay);
    printf("orders   %" PRIu64 ": %" PRIu64 " PENDING, %" PRIu64 " CONFIRMED, %" PRIu64
           " EXPIRED, %" PRIu64 " FAILED, %" PRIu64 " CANCELLED; %" PRIu64 " with a refund due\n",
           metrics.orders, metrics.pending, metrics.confirmed, metrics.expired, metrics.failed,
           metrics.cancelled, metrics.refund_orders);
    printf("stock    %" PRIu64 " SKUs, on_hand %" PRId64 ": %" PRId64 " available, %" PRId64
           " pooled, %" PRId64 " reserved, %" PRId64 " committed\n",
           metrics.skus, totals.on_hand, totals.available, totals.pooled, totals.reserved,
           totals.committed);
    printf("state    seq %" PRIu64 ", digest %016" PRIx64 ", checksum %016" PRIx64 "\n",
           engine_seq(engine), engine_digest(engine), engine_checksum(engine));
    for (uint32_t i = verification->snapshots.seq_count; i-- > 0;) {
        if (!verification->damaged[i])
            printf("snapshot seq %" PRIu64 ", and the log after it, lead to this state too\n",
                   verification->snapshots.seqs[i]);
    }
    if (verification->snapshots.older_count > 0)
        printf("         %" PRIu32 " older snapshots were not looked at\n",
               verification->snapshots.older_count);
    if (verification->damaged_count > 0)
        printf("all invariants hold; damaged snapshots: %" PRIu32 "\n",
               verification->damaged_count);
    else
        printf("all invariants hold\n");
}

/* Replays what is there of the log after the snapshot `seq`. */
static bool replay_from(struct verification *verification, uint64_t seq)
{
    struct folder *folder = &verification->folder;
    snprintf(verification->reading, sizeof verification->reading,
             "replaying after snapshot %" PRIu64, seq);
    folder->progress.log = verification->reading;
    folder->replay.ignores_snapshots = false;
    folder->replay.seq_max = seq;
    return folder_read(folder);
}

/* Comes after every state that was reached: from the snapshot of that seq, 0: from none, and the
 * log after it. */
static bool check_invariants(const struct engine *engine, uint64_t snapshot_seq)
{
    char error[REPLAY_ERROR_SIZE];
    char name[DISK_NAME_SIZE] = "the log";
    if (engine_check(engine, error, sizeof error))
        return true;
    if (snapshot_seq > 0)
        image_name(snapshot_seq, name);
    fprintf(stderr, "till verify: %s leads to a state, at seq %" PRIu64 ", that cannot be: %s\n",
            name, engine_seq(engine), error);
    return false;
}

/* A running server removes a snapshot when newer ones are there. */
static bool is_gone(struct disk *disk, uint64_t seq)
{
    char name[DISK_NAME_SIZE];
    image_name(seq, name);
    int file = disk_file_open(disk, name, false);
    if (file >= 0)
        disk_file_close(disk, file);
    return file == -ENOENT;
}

/* Is the snapshot of the shop that the folder is of? */
static bool check_shop(struct verification *verification, const struct loader *loader)
{
    if (loader->seq == 0)
        return true;
    verification->folder.replay.loader = *loader;
    return folder_shop(&verification->folder, &verification->shop);
}

/* Loads each snapshot by itself, and checks the state that it shows. Those that are damaged are
 * named by the loader. */
static bool try_snapshots(struct verification *verification)
{
    struct folder *folder = &verification->folder;
    const struct loader *snapshots = &verification->snapshots;
    for (uint32_t i = 0; i < snapshots->seq_count; i++) {
        struct loader loader = {.disk = folder->replay.disk,
                                .engine = folder->replay.engine,
                                .seq_max = snapshots->seqs[i],
                                .progress = folder->replay.loading,
                                .notice = folder->replay.notice,
                                .context = &folder->progress};
        bool is_loaded = loader_run(&loader);
        progress_end(&folder->progress);
        if (is_loaded &&
            (!check_invariants(loader.engine, loader.seq) || !check_shop(verification, &loader)))
            return false;
        verification->checksums[i] = engine_checksum(loader.engine);
        if (!is_loaded || !engine_clear(folder->replay.engine)) {
            fprintf(stderr, "till verify: %s\n", is_loaded ? "not enough memory" : loader.error);
            return false;
        }
        verification->damaged[i] = loader.seq != snapshots->seqs[i];
        verification->damaged_count +=
            verification->damaged[i] && !is_gone(loader.disk, snapshots->seqs[i]);
    }
    return true;
}

/* What a start makes of damaged snapshots; nothing when there is none. */
static void print_fallback(const struct verification *verification)
{
    const struct loader *snapshots = &verification->snapshots;
    char name[DISK_NAME_SIZE];
    uint32_t sound = 0;
    while (sound < snapshots->seq_count && verification->damaged[sound])
        sound++;
    if (verification->damaged_count == 0)
        return;
    if (sound < snapshots->seq_count)
        image_name(snapshots->seqs[sound], name);
    else
        snprintf(name, sizeof name, "the beginning");
    if (sound == 0)
        fprintf(stderr, "till verify: a start does not need it: it goes on from %s\n", name);
    else if (sound < snapshots->seq_count || verification->is_whole)
        fprintf(stderr,
                "till verify: a start falls back to %s and the log after it, and loses nothing\n",
                name);
    else
        fprintf(stderr, "till verify: a start has nothing to fall back to\n");
}

/* The checksum of a state that a server of today has made its own, as it does when it starts: the
 * snapshot that it took then shows that already. */
static uint64_t checksum_today(struct engine *engine)
{
    char error[LOADER_ERROR_SIZE];
    (void)engine_follow(engine, SCHEMA, error, sizeof error);
    return engine_checksum(engine);
}

/* Every snapshot must lead to the state that the engine has. The log of a running server has grown
 * since that was read: the replay stops there. */
static bool verify_snapshots(struct verification *verification)
{
    struct engine *engine = verification->folder.replay.engine;
    struct wal_end end = verification->folder.replay.end;
    const struct loader *snapshots = &verification->snapshots;
    uint64_t seq = engine_seq(engine);
    uint64_t digest = engine_digest(engine);
    uint64_t checksum = checksum_today(engine);
    for (uint32_t i = snapshots->seq_count; i-- > 0;) {
        if (verification->damaged[i])
            continue;
        if (!engine_clear(engine)) {
            fprintf(stderr, "till verify: not enough memory\n");
            return false;
        }
        verification->folder.replay.seq_last = snapshots->seqs[i] < seq ? seq : 0;
        if (!replay_from(verification, snapshots->seqs[i]) ||
            !check_invariants(engine, snapshots->seqs[i]))
            return false;
        uint64_t checksum_led_to = checksum_today(engine);
        if (engine_seq(engine) == seq && engine_digest(engine) == digest &&
            checksum_led_to == checksum)
            continue;
        fprintf(stderr,
                "till verify: the snapshot of seq %" PRIu64 " and the log after it lead to seq "
                "%" PRIu64 ", digest %016" PRIx64 ", checksum %016" PRIx64 ", not to seq %" PRIu64
                ", digest %016" PRIx64 ", checksum %016" PRIx64 "\n",
                snapshots->seqs[i], engine_seq(engine), engine_digest(engine), checksum_led_to, seq,
                digest, checksum);
        return false;
    }
    verification->folder.replay.end = end;
    return true;
}

/* An archive without its beginning leads to no state, but its blocks are a chain. */
static bool verify_chain(struct verification *verification, struct disk *disk)
{
    struct wal_reader reader;
    uint64_t seq_first = 0;
    uint64_t blocks = 0;
    enum wal_read read = WAL_READ_ERROR;
    if (wal_reader_init(&reader, disk) == 0) {
        while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
            seq_first = seq_first == 0 ? reader.block.seq_first : seq_first;
            blocks++;
            progress_show(&verification->folder.progress, "checking the archive", reader.bytes_read,
                          reader.bytes_total);
        }
        wal_reader_deinit(&reader);
    }
    progress_end(&verification->folder.progress);
    if (read != WAL_READ_END) {
        fprintf(stderr, "till verify: %s\n", reader.error);
        return false;
    }
    if (blocks == 0) {
        printf("archive  nothing yet\n");
        return true;
    }
    printf("archive  seq %" PRIu64 " to %" PRIu64 " in %" PRIu64 " blocks, epoch %" PRIu64
           ": checksums and chain hold\n",
           seq_first, reader.end.seq_next - 1, blocks, reader.end.epoch);
    return true;
}

/* Without a state to begin with, the chain is all there is to check. */
static int verify_archive(struct verification *verification)
{
    if (!verify_chain(verification, verification->folder.replay.disk))
        return EXIT_FAILED;
    printf("what came before is not here, so what it leads to was not checked; till verify BACKUP "
           "--archive DIR does\n");
    return EXIT_OK;
}

/* Replays on to the snapshot's seq: the log must lead to the state that the snapshot shows. One
 * that goes beyond the log is left to verify_snapshots. */
static bool replay_to(struct verification *verification, uint32_t snapshot)
{
    struct folder *folder = &verification->folder;
    struct replay *replay = &folder->replay;
    uint64_t seq = verification->snapshots.seqs[snapshot];
    replay->seq_last = seq;
    bool is_replayed = replay_run(replay);
    progress_end(&folder->progress);
    replay->seq_last = 0;
    replay->ignores_snapshots = true;
    if (!is_replayed) {
        fprintf(stderr, "till verify: %s\n", replay->error);
        return false;
    }
    uint64_t checksum = engine_checksum(replay->engine);
    if (checksum != verification->checksums[snapshot])
        checksum = checksum_today(replay->engine);
    if (engine_seq(replay->engine) != seq || checksum == verification->checksums[snapshot])
        return true;
    char name[DISK_NAME_SIZE];
    image_name(seq, name);
    fprintf(stderr,
            "till verify: %s/%s shows a state of checksum %016" PRIx64
            ", and the log that comes before it leads to one of %016" PRIx64
            ": one of the two is not this shop's\n",
            disk_path(replay->disk), name, verification->checksums[snapshot], checksum);
    return false;
}

/* Replays what is there after the snapshot `seq`, 0: from the beginning, with a stop at each later
 * snapshot. What the replay tells then is of all of it together. */
static bool replay_all(struct verification *verification, uint64_t seq)
{
    struct replay *replay = &verification->folder.replay;
    const struct loader *snapshots = &verification->snapshots;
    struct replay passed = {0};
    replay->ignores_snapshots = seq == 0;
    replay->seq_max = seq;
    for (uint32_t i = snapshots->seq_count; i-- > 0;) {
        if (verification->damaged[i] || snapshots->seqs[i] <= seq)
            continue;
        if (!replay_to(verification, i))
            return false;
        if (passed.loader.seq == 0)
            passed.loader = replay->loader;
        /* A block that the stop lies in is read, and counted, once more. */
        bool is_whole = replay->seq_whole == engine_seq(replay->engine);
        passed.blocks += replay->blocks - !is_whole;
        passed.commands += replay->commands;
    }
    if (!folder_read(&verification->folder))
        return false;
    replay->blocks += passed.blocks;
    replay->commands += passed.commands;
    if (passed.loader.seq > 0)
        replay->loader = passed.loader;
    return true;
}

static int verify_state(struct verification *verification, uint64_t snapshot_seq)
{
    struct replay *replay = &verification->folder.replay;
    if (!replay_all(verification, snapshot_seq) || !check_invariants(replay->engine, snapshot_seq))
        return EXIT_FAILED;
    struct replay first = *replay;
    if (!verify_snapshots(verification))
        return EXIT_FAILED;
    *replay = first; /* of what the summary tells, the engine is the same */
    print_summary(verification);
    return verification->damaged_count == 0 ? EXIT_OK : EXIT_FAILED;
}

/* The oldest snapshot that is sound; 0: there is none. */
static uint64_t oldest_sound(const struct verification *verification)
{
    uint32_t i = verification->snapshots.seq_count;
    while (i > 0 && verification->damaged[i - 1])
        i--;
    return i > 0 ? verification->snapshots.seqs[i - 1] : 0;
}

/* Where a whole log begins there is no snapshot to begin with; else the oldest has the most after
 * it. */
static int verify_folder(struct verification *verification)
{
    const struct replay *replay = &verification->folder.replay;
    struct loader *snapshots = &verification->snapshots;
    bool is_archive = false;
    snapshots->disk = replay->disk;
    if (!loader_list(snapshots)) {
        fprintf(stderr, "till verify: %s\n", snapshots->error);
        return EXIT_FAILED;
    }
    verification->is_whole = folder_first_seq(replay->archive, &is_archive) == 1 ||
                             folder_first_seq(replay->disk, &is_archive) == 1;
    if (is_archive && !verification->is_whole)
        return verify_archive(verification);
    if (!folder_shop(&verification->folder, &verification->shop) || !try_snapshots(verification))
        return EXIT_FAILED;
    print_fallback(verification);
    if (verification->is_whole)
        return verify_state(verification, 0);
    if (replay->archive != NULL && !verify_chain(verification, replay->archive))
        return EXIT_FAILED;
    return verify_state(verification, oldest_sound(verification));
}

int cli_verify(int argc, char **argv)
{
    struct verify_options options;
    int operands = options_parse(&verify_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &verify_table);
        printf(
            "Replays the log in DIR, a data folder, a backup or an archive, and checks it:\n"
            "checksums, decisions, digests, every invariant of each state that it leads to, and\n"
            "that each snapshot shows one of these and leads to the last. Changes nothing. The\n"
            "capacities must be at least what the server ran with.\n\n");
        options_print(stdout, &verify_table);
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    struct verification verification = {.folder = {.command = "till verify",
                                                   .archive = options.archive,
                                                   .capacities = options.capacities}};
    struct folder *folder = &verification.folder;
    int code = folder_open(folder, argv[1]) ? verify_folder(&verification) : EXIT_FAILED;
    folder_close(folder);
    return code;
}
