/* Replays a data folder's log into a fresh engine and checks everything that can be checked
 * without another copy: every block's checksum and chain (the reader), that every command is
 * accepted and every block's digest is reached again (net/replay.h), every invariant of the state
 * at the end (engine_check), and that each snapshot with the log after it leads to that very state.
 * Where the log's beginning is gone, the oldest snapshot takes its place. Nothing in the folder is
 * changed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/capacity.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "engine/image.h"
#include "net/replay.h"

enum { PROGRESS_INTERVAL_US = 250000 };

struct verification {
    struct replay replay;
    struct loader snapshots; /* those that are there */
    const char *reading;     /* what progress is shown of */
    bool shows_progress;
    uint64_t progress_us; /* when it was last shown */
};

/* Stock of all SKUs and warehouses. */
struct stock_totals {
    int64_t on_hand;
    int64_t available;
    int64_t pooled;
    int64_t reserved;
    int64_t committed;
};

static void show_progress(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    struct verification *verification = context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * US_PER_SECOND + (uint64_t)now.tv_nsec / 1000;
    if (now_us < verification->progress_us + PROGRESS_INTERVAL_US || bytes_total == 0)
        return;
    verification->progress_us = now_us;
    fprintf(stderr, "\r\033[K%s: %" PRIu64 "%%, seq %" PRIu64, verification->reading,
            bytes_read * 100 / bytes_total, engine_seq(verification->replay.engine));
}

/* Asks the engine one query; the reply's body, which lies in `room`. */
static const void *ask(struct engine *engine, unsigned number, const void *body, uint32_t size,
                       uint64_t room[FRAME_SIZE_MAX / 8])
{
    struct reply_sink sink = {.cursor = (uint8_t *)room, .gap = 0};
    struct command command = {
        .body = body, .sink = &sink, .size = size, .number = (uint16_t)number};
    engine_decide(engine, engine_time_us(engine), &command, 1);
    TILL_ASSERT(command.outcome == OUTCOME_OK);
    return command.reply;
}

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
            ask(engine, MESSAGE_stock_get, &request, size, room);
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
        printf("tail     %" PRIu64 " bytes after the last block were never acknowledged; the next "
               "start cuts them\n",
               replay->end.torn_bytes);
}

static void print_summary(struct verification *verification)
{
    struct engine *engine = verification->replay.engine;
    struct empty_body empty = {0};
    struct stats_reply_body stats;
    uint64_t room[FRAME_SIZE_MAX / 8];
    memcpy(&stats, ask(engine, MESSAGE_stats, &empty, sizeof empty, room), sizeof stats);
    struct stock_totals totals = sum_stock(engine, stats.skus);
    print_log_summary(&verification->replay);
    printf("orders   %" PRIu64 ": %" PRIu64 " PENDING, %" PRIu64 " CONFIRMED, %" PRIu64
           " EXPIRED, %" PRIu64 " FAILED, %" PRIu64 " CANCELLED; %" PRIu64 " with a refund due\n",
           stats.orders, stats.pending, stats.confirmed, stats.expired, stats.failed,
           stats.cancelled, stats.refund_orders);
    printf("stock    %" PRIu64 " SKUs, on_hand %" PRId64 ": %" PRId64 " available, %" PRId64
           " pooled, %" PRId64 " reserved, %" PRId64 " committed\n",
           stats.skus, totals.on_hand, totals.available, totals.pooled, totals.reserved,
           totals.committed);
    printf("state    seq %" PRIu64 ", digest %016" PRIx64 "\n", engine_seq(engine),
           engine_digest(engine));
    for (uint32_t i = verification->snapshots.seq_count; i-- > 0;)
        printf("snapshot seq %" PRIu64 ", and the log after it, lead to this state too\n",
               verification->snapshots.seqs[i]);
    printf("all invariants hold\n");
}

/* Replays the log from its beginning, or what is there of it after the snapshot `seq`. */
static bool replay_from(struct verification *verification, uint64_t seq)
{
    struct replay *replay = &verification->replay;
    char what[64] = "replaying the log";
    if (seq > 0)
        snprintf(what, sizeof what, "replaying after snapshot %" PRIu64, seq);
    verification->reading = what;
    replay->ignores_snapshots = seq == 0;
    replay->seq_max = seq;
    bool replayed = replay_run(replay);
    fputs(verification->shows_progress ? "\r\033[K" : "", stderr);
    if (!replayed)
        fprintf(stderr, "till verify: %s\n", replay->error);
    else if (replay->loader.damaged_count > 0)
        fprintf(stderr, "till verify: %s\n", replay->loader.error);
    return replayed && replay->loader.damaged_count == 0;
}

/* Every snapshot must lead to the state that the engine has. */
static bool verify_snapshots(struct verification *verification)
{
    struct engine *engine = verification->replay.engine;
    const struct loader *snapshots = &verification->snapshots;
    uint64_t seq = engine_seq(engine);
    uint64_t digest = engine_digest(engine);
    for (uint32_t i = snapshots->seq_count; i-- > 0;) {
        if (!engine_clear(engine)) {
            fprintf(stderr, "till verify: not enough memory\n");
            return false;
        }
        if (!replay_from(verification, snapshots->seqs[i]))
            return false;
        if (engine_seq(engine) == seq && engine_digest(engine) == digest)
            continue;
        fprintf(stderr,
                "till verify: the snapshot of seq %" PRIu64 " and the log after it lead to seq "
                "%" PRIu64 ", digest %016" PRIx64 ", not to seq %" PRIu64 ", digest %016" PRIx64
                "\n",
                snapshots->seqs[i], engine_seq(engine), engine_digest(engine), seq, digest);
        return false;
    }
    return true;
}

/* Where a whole log begins there is no snapshot to begin with; else the oldest has the most after
 * it. */
static uint64_t snapshot_to_begin_with(struct verification *verification)
{
    const struct loader *snapshots = &verification->snapshots;
    struct wal_reader reader;
    bool is_whole = false;
    if (wal_reader_init(&reader, verification->replay.disk) == 0) {
        is_whole = wal_reader_next(&reader) == WAL_READ_BLOCK && reader.block.seq_first == 1;
        wal_reader_deinit(&reader);
    }
    return is_whole || snapshots->seq_count == 0 ? 0 : snapshots->seqs[snapshots->seq_count - 1];
}

static int verify_folder(struct verification *verification)
{
    struct replay *replay = &verification->replay;
    char error[REPLAY_ERROR_SIZE];
    verification->snapshots.disk = replay->disk;
    if (!loader_list(&verification->snapshots)) {
        fprintf(stderr, "till verify: %s\n", verification->snapshots.error);
        return EXIT_FAILED;
    }
    if (verification->shows_progress)
        replay->progress = replay->loading = show_progress;
    replay->context = verification;
    if (!replay_from(verification, snapshot_to_begin_with(verification)))
        return EXIT_FAILED;
    if (!engine_check(replay->engine, error, sizeof error)) {
        fprintf(stderr, "till verify: after seq %" PRIu64 ": %s\n", engine_seq(replay->engine),
                error);
        return EXIT_FAILED;
    }
    struct replay first = *replay;
    if (!verify_snapshots(verification))
        return EXIT_FAILED;
    *replay = first; /* of what the summary tells, the engine is the same */
    print_summary(verification);
    return EXIT_OK;
}

static int verify(const char *path, const struct engine_options *options)
{
    struct verification verification = {.shows_progress = isatty(STDERR_FILENO) != 0};
    struct replay *replay = &verification.replay;
    char error[REPLAY_ERROR_SIZE];
    int result = disk_open(&replay->disk, path, DISK_READ);
    if (result != 0) {
        fprintf(stderr, "till verify: %s: %s\n", path, strerror(-result));
        return EXIT_FAILED;
    }
    replay->engine = engine_create(options, error, sizeof error);
    if (replay->engine == NULL) {
        fprintf(stderr, "till verify: %s\n", error);
        result = EXIT_FAILED;
    } else {
        result = verify_folder(&verification);
        engine_destroy(replay->engine);
    }
    disk_close(replay->disk);
    return result;
}

int cli_verify(int argc, char **argv)
{
    struct engine_options options = engine_options_default;
    struct option_row rows[CAPACITY_COUNT];
    capacity_rows(&options, rows);
    int operands = options_parse(argc, argv, rows, CAPACITY_COUNT);
    if (operands == OPTIONS_HELP) {
        printf(
            "usage: till verify DIR [options]\n\n"
            "Replays the log in the data folder DIR and checks it: checksums, decisions, digests,"
            "\nevery invariant of the state it leads to, and that each snapshot leads there too."
            "\nChanges nothing. The capacities must be at least what the server ran with.\n\n");
        options_print(stdout, rows, CAPACITY_COUNT);
        return EXIT_OK;
    }
    if (operands != 1) {
        if (operands != OPTIONS_WRONG)
            fprintf(stderr, "till verify: expected one data folder; see till verify --help\n");
        return EXIT_USAGE;
    }
    return verify(argv[1], &options);
}
