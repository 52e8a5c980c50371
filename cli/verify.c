/* Replays a data folder's log into a fresh engine and checks everything that can be checked
 * without another copy: every block's checksum and chain (the reader), that every command is
 * accepted and every block's digest is reached again (net/replay.h), and at the end every
 * invariant of the state (engine_check). Nothing in the folder is changed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/capacity.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "net/replay.h"

enum { PROGRESS_INTERVAL_US = 250000 };

struct verification {
    struct replay replay;
    uint64_t *skus; /* every SKU that was put, some more than once until they are sorted */
    size_t sku_count;
    size_t sku_room;
    bool short_of_memory;
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
    fprintf(stderr, "\r\033[Kreplaying: %" PRIu64 "%%, seq %" PRIu64,
            bytes_read * 100 / bytes_total, engine_seq(verification->replay.engine));
}

/* Remembers the SKUs, to ask for their stock at the end. */
static void observe(void *context, const struct command *command)
{
    struct verification *verification = context;
    struct sku_put_body put;
    if (command->number != MESSAGE_sku_put)
        return;
    if (verification->sku_count == verification->sku_room) {
        size_t room = verification->sku_room > 0 ? 2 * verification->sku_room : 1024;
        uint64_t *skus = reallocarray(verification->skus, room, sizeof *skus);
        if (skus == NULL) {
            verification->short_of_memory = true;
            return;
        }
        verification->skus = skus;
        verification->sku_room = room;
    }
    memcpy(&put, command->body, sizeof put);
    verification->skus[verification->sku_count++] = put.sku;
}

static int compare_skus(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void sort_skus(struct verification *verification)
{
    size_t kept = 0;
    if (verification->sku_count > 0)
        qsort(verification->skus, verification->sku_count, sizeof *verification->skus,
              compare_skus);
    for (size_t i = 0; i < verification->sku_count; i++) {
        if (kept == 0 || verification->skus[kept - 1] != verification->skus[i])
            verification->skus[kept++] = verification->skus[i];
    }
    verification->sku_count = kept;
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

static struct stock_totals sum_stock(struct engine *engine, const uint64_t *skus, size_t count)
{
    struct stock_totals totals = {0};
    struct {
        struct stock_get_body get;
        struct item_body items[STOCK_ITEMS_MAX];
    } request;
    uint64_t room[FRAME_SIZE_MAX / 8];
    for (size_t done = 0; done < count; done += request.get.item_count) {
        memset(&request, 0, sizeof request);
        request.get.item_count =
            (uint16_t)(count - done < STOCK_ITEMS_MAX ? count - done : STOCK_ITEMS_MAX);
        for (uint16_t i = 0; i < request.get.item_count; i++)
            request.items[i].sku = skus[done + i];
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

static void print_summary(struct verification *verification)
{
    struct engine *engine = verification->replay.engine;
    struct empty_body empty = {0};
    struct stats_reply_body stats;
    uint64_t room[FRAME_SIZE_MAX / 8];
    const struct replay *replay = &verification->replay;
    memcpy(&stats, ask(engine, MESSAGE_stats, &empty, sizeof empty, room), sizeof stats);
    sort_skus(verification);
    struct stock_totals totals = sum_stock(engine, verification->skus, verification->sku_count);
    printf("log      %" PRIu64 " commands in %" PRIu64 " blocks, epoch %" PRIu64 "\n",
           replay->commands, replay->blocks, replay->end.epoch);
    printf("orders   %" PRIu64 ": %" PRIu64 " PENDING, %" PRIu64 " CONFIRMED, %" PRIu64
           " EXPIRED, %" PRIu64 " FAILED, %" PRIu64 " CANCELLED; %" PRIu64 " with a refund due\n",
           stats.orders, stats.pending, stats.confirmed, stats.expired, stats.failed,
           stats.cancelled, stats.refund_orders);
    printf("stock    %" PRIu64 " SKUs, on_hand %" PRId64 ": %" PRId64 " available, %" PRId64
           " pooled, %" PRId64 " reserved, %" PRId64 " committed%s\n",
           stats.skus, totals.on_hand, totals.available, totals.pooled, totals.reserved,
           totals.committed, verification->short_of_memory ? " (not all: memory is short)" : "");
    printf("state    seq %" PRIu64 ", digest %016" PRIx64 "\n", engine_seq(engine),
           engine_digest(engine));
    if (replay->end.torn_bytes > 0)
        printf("tail     %" PRIu64 " bytes after the last block were never acknowledged; the next "
               "start cuts them\n",
               replay->end.torn_bytes);
    printf("all invariants hold\n");
}

static int verify_folder(struct verification *verification)
{
    struct replay *replay = &verification->replay;
    char error[REPLAY_ERROR_SIZE];
    if (verification->shows_progress)
        replay->progress = show_progress;
    replay->observe = observe;
    replay->context = verification;
    bool replayed = replay_run(replay);
    fputs(verification->shows_progress ? "\r\033[K" : "", stderr);
    if (!replayed) {
        fprintf(stderr, "till verify: %s\n", replay->error);
        return EXIT_FAILED;
    }
    if (!engine_check(replay->engine, error, sizeof error)) {
        fprintf(stderr, "till verify: after seq %" PRIu64 ": %s\n", engine_seq(replay->engine),
                error);
        return EXIT_FAILED;
    }
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
    free(verification.skus);
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
            "\nand every invariant of the state it leads to. Changes nothing. The capacities must"
            "\nbe at least what the server ran with.\n\n");
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
