/* A snapshot says which shop it is of. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/image.h"
#include "engine/sum.h"
#include "snapshot/loader.h"
#include "snapshot/writer.h"
#include "tests/unit/wal_log.h"

enum { USER_WORK = WRITER_BUFFERS };

static struct engine *engine_made(void)
{
    char error[256];
    const struct engine_options options = {.skus = 8,
                                           .epochs = 4,
                                           .accounts = 4,
                                           .fulfilments = 4,
                                           .parcels = 4,
                                           .refunds = 4,
                                           .warehouses = 8,
                                           .zones = 4,
                                           .earnings = 4,
                                           .opaques = 4,
                                           .stocks = 16,
                                           .sales = 8,
                                           .pools = 8,
                                           .tallies = 64,
                                           .customers = 64,
                                           .lots = 64,
                                           .ledger = 64,
                                           .orders = 64,
                                           .lines = 64,
                                           .pieces = 64,
                                           .point_takes = 64,
                                           .moneys = 64,
                                           .steps = 64,
                                           .deadlines = 64,
                                           .payments = 64,
                                           .keys = 64};
    struct engine *engine = engine_create(&options, error, sizeof error);
    CHECK(engine != NULL);
    return engine;
}

/* Decides a command, so that there is something to keep. */
static void sku_put(struct engine *engine)
{
    const struct sku_put_body put = {.key = {.low = 7}, .sku = 1, .price = 10, .currency = 978};
    struct command command = {.body = &put, .size = sizeof put, .number = MESSAGE_sku_put};
    engine_decide(engine, 1000, &command, 1);
    CHECK(command.accepted);
}

static void snapshot_write(struct engine *engine, struct id shop)
{
    const struct io_options io_options = {
        .connections_max = 1, .buffer_size = 4096, .buffer_count = 16};
    const struct writer_options options = {
        .undo_bytes = 1 << 20, .epoch = 3, .shop = shop, .user_work = USER_WORK};
    struct io_event events[IO_EVENTS_MAX];
    char error[IO_ERROR_SIZE];
    struct disk *disk;
    CHECK(disk_open(&disk, test_folder(), DISK_WRITE) == 0);
    struct io *io = io_create(&io_options, error);
    CHECK(io != NULL);
    struct writer *writer = writer_create(&options, io, disk, engine, 0, 0);
    CHECK(writer != NULL);
    writer_ask(writer);
    while (!writer_is_idle(writer)) {
        bool packed = writer_step(writer, UINT64_MAX, true);
        int count = io_wait(io, events, IO_EVENTS_MAX, 1, packed ? 0 : UINT64_MAX);
        CHECK(count >= 0);
        for (int i = 0; i < count; i++)
            writer_event(writer, &events[i]);
    }
    CHECK_EQUAL(writer_status(writer)->failure_count, 0);
    io_destroy(io);
    writer_destroy(writer);
    disk_close(disk);
}

static void check_shop(struct id shop)
{
    struct engine *engine = engine_made();
    sku_put(engine);
    snapshot_write(engine, shop);
    uint64_t checksum = engine_checksum(engine);
    struct loader loader = {.engine = engine};
    CHECK(engine_clear(engine));
    CHECK(disk_open(&loader.disk, test_folder(), DISK_READ) == 0);
    CHECK(loader_run(&loader));
    CHECK_EQUAL(loader.seq, 1);
    CHECK(id_equal(loader.shop, shop));
    CHECK_EQUAL(engine_checksum(engine), checksum);
    struct loader listed = {.disk = loader.disk};
    CHECK(loader_list(&listed));
    CHECK(id_equal(listed.shop, shop));
    disk_close(loader.disk);
    engine_destroy(engine);
}

TEST(snapshot_says_which_shop_it_is_of_and_the_state_is_the_same)
{
    check_shop((struct id){.low = test_random(), .high = 1 + test_random_below(UINT32_MAX)});
}

TEST(snapshot_of_a_folder_without_a_shop_says_none)
{
    check_shop((struct id){0});
}
