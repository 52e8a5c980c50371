/* A simulated server and its callers.
 *
 * Callers follow the protocol: they wait for the hello's reply, respect the limit of requests in
 * flight and send well-formed frames, so an error frame to one of them is a failure. They
 * disconnect at random, read at random times, and send again what was not answered, as the protocol
 * says. */
#include "tests/sim/world.h"
#include "engine/sum.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "net/replay.h"
#include "net/server_state.h"
#include "net/timekeeping.h"
#include "tests/test.h"

enum {
    PATIENCE_TURNS = 40000,
    CONNECTIONS = 64,
    OUTPUT_CHUNKS = 32,
    IO_BUFFERS = 16,
    IO_BUFFER_SIZE = 16384
};

struct world *world_create(uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    CHECK(world != NULL);
    world->machine = sim_machine_create(seed);
    world->connections_max = CONNECTIONS;
    world->output_chunks = OUTPUT_CHUNKS;
    world->io_buffers = IO_BUFFERS;
    world->ledger = ledger_create(world->machine);
    world->has_archive = sim_chance(world->machine, 60);
    world->fills_archive = world->has_archive && sim_chance(world->machine, 30);
    return world;
}

void world_destroy(struct world *world)
{
    ledger_destroy(world->ledger);
    sim_machine_destroy(world->machine);
    free(world);
}

static void note(void *context, const char *text)
{
    struct world *world = context;
    bool is_clock = strncmp(text, "the wall clock", strlen("the wall clock")) == 0;
    snprintf(is_clock ? world->clock_notice : world->notice, sizeof world->notice, "%s", text);
}

static void snapshot_options(struct world *world, struct server_options *options)
{
    options->notice = note;
    options->context = world;
    if (world->no_snapshots || sim_chance(world->machine, 20))
        return;
    options->snapshot_memory = (uint64_t)64 << (10 + sim_random_below(world->machine, 6));
    options->snapshot_every_us = 1000 + sim_random_below(world->machine, 100000);
    options->snapshot_log_bytes = sim_random_below(world->machine, 1 << 20);
    options->snapshot_at_stop = sim_chance(world->machine, 50);
}

static void archive_options(struct world *world, struct server_options *options)
{
    if (!world->has_archive)
        return;
    CHECK_EQUAL(disk_open(&world->archive, "archive", DISK_WRITE), 0);
    options->archive = world->archive;
    options->archive_keep_bytes = world->archive_keep_bytes;
}

/* Counts what this life published and archived. */
static void count_files(struct world *world)
{
    if (world->server != NULL && world->server->snapshots.writer != NULL)
        world->snapshots += writer_status(world->server->snapshots.writer)->snapshot_count;
    if (world->server != NULL && world->server->archive != NULL)
        world->archived += archive_status(world->server->archive)->segment_count;
}

bool world_start(struct world *world)
{
    const struct io_options io_options = {.connections_max = world->connections_max,
                                          .buffer_size = IO_BUFFER_SIZE,
                                          .buffer_count = world->io_buffers};
    static const uint32_t writes[] = {1, 2, 4, WAL_WRITES_MAX};
    struct server_options options = server_options_default;
    options.listen = "127.0.0.1:7411";
    options.spin_us = 200;
    options.engine = ledger_engine_options();
    options.lazy_memory = true; /* taking all of it at each start would slow short lives */
    options.wal_segment_size = world->segment_size;
    if (options.wal_segment_size == 0)
        options.wal_segment_size = (uint64_t)WAL_BLOCK_SIZE_MAX
                                   << sim_random_below(world->machine, 3);
    snapshot_options(world, &options);
    archive_options(world, &options);
    options.retention.orders_max = world->retain_orders_max;
    options.wal_writes = world->wal_writes;
    if (options.wal_writes == 0)
        options.wal_writes = writes[sim_random_below(world->machine, 4)];
    options.connections_max = io_options.connections_max;
    options.accept_clock = !world->is_unattended;
    options.shop_new = (struct id){.low = 1};
    options.member_new = (struct id){.low = 2};
    options.output_chunks = world->output_chunks;
    CHECK_EQUAL(disk_open(&world->disk, "data", DISK_WRITE), 0);
    world->io = io_create(&io_options, world->error);
    world->server =
        server_create(&options, world->io, world->disk, world->error, sizeof world->error);
    world->seq_floor = world->ledger->seq_seen;
    return world->server != NULL;
}

static bool is_snapshots(const struct io_event *event)
{
    enum user_kind kind = user_kind(event->user);
    return kind == USER_SNAPSHOT_WRITE || kind == USER_SNAPSHOT_WORK;
}

static bool awaits_event(const struct server *server)
{
    const struct writer *writer = server->snapshots.writer;
    return wal_awaits_event(server->wal) || (writer != NULL && writer_awaits_event(writer)) ||
           (server->archive != NULL && archive_awaits_event(server->archive)) ||
           server->timekeeping.is_writing;
}

/* Frees the server's memory; the machine's disk and clients stay. A log or a snapshot that has
 * writes under way cannot be closed, so those of a dead server first get the completions of these
 * writes. */
static void bury(struct world *world)
{
    struct io_event events[IO_EVENTS_MAX];
    count_files(world);
    while (world->server != NULL && awaits_event(world->server)) {
        int count = io_wait(world->io, events, IO_EVENTS_MAX, 1, 0);
        CHECK(count > 0);
        for (int i = 0; i < count; i++) {
            if (is_snapshots(&events[i]))
                writer_event(world->server->snapshots.writer, &events[i]);
            else if (user_kind(events[i].user) == USER_ARCHIVE)
                archive_event(world->server->archive, &events[i]);
            else if (user_kind(events[i].user) == USER_CLOCK)
                timekeeping_event(world->server, &events[i]);
            else if (user_kind(events[i].user) != USER_MEMORY)
                (void)wal_event(world->server->wal, &events[i]); /* it misses its disk */
        }
    }
    if (world->server != NULL)
        server_destroy(world->server);
    world->server = NULL;
    io_destroy(world->io);
    disk_close(world->disk);
    if (world->archive != NULL)
        disk_close(world->archive);
    world->archive = NULL;
}

/* Steps the clock: usually a little, sometimes by hours. */
static void step_clock(struct sim_machine *machine)
{
    uint64_t span_us = sim_chance(machine, 10) ? 60 * 3600 * US_PER_SECOND : 4 * US_PER_SECOND;
    sim_clock_step(machine, (int64_t)sim_random_below(machine, span_us) - (int64_t)(span_us / 2));
}

static void line_receive(struct world *world, struct world_line *line)
{
    while (caller_receive(&line->caller, &world->reply)) {
        uint32_t slot = world->reply.request % IN_FLIGHT_MAX;
        ledger_judge(world->ledger, line->intents[slot], &line->requests[slot], &world->reply);
    }
    if (line->caller.state == CALLER_REFUSED)
        test_fail(__FILE__, __LINE__, "refused: %s", line->caller.error.reason.bytes);
    if (line->caller.state == CALLER_READY && !line->greeted) {
        CHECK(line->caller.hello.seq >= world->seq_floor);
        CHECK_EQUAL(line->caller.hello.role, server_role_PRIMARY);
        line->greeted = true;
    }
}

static void line_close(struct world_line *line)
{
    caller_close(&line->caller);
    line->is_open = false;
}

/* After the server's end: takes the replies that had arrived. */
static void lines_end(struct world *world)
{
    for (uint32_t i = 0; i < LINES_MAX; i++) {
        struct world_line *line = &world->lines[i];
        if (!line->is_open)
            continue;
        line_receive(world, line);
        CHECK(line->caller.ended);
        line_close(line);
    }
}

void world_crash(struct world *world)
{
    sim_crash(world->machine);
    lines_end(world);
    bury(world);
}

void world_stop(struct world *world)
{
    sim_stop(world->machine);
    int result = 1;
    for (uint32_t turn = 0; result > 0; turn++) {
        CHECK(turn < PATIENCE_TURNS);
        result = server_turn(world->server, TURN_US);
        for (uint32_t i = 0; i < LINES_MAX; i++) {
            if (world->lines[i].is_open)
                line_receive(world, &world->lines[i]);
        }
    }
    CHECK_EQUAL(result, 0);
    bury(world);
    lines_end(world);
}

static void line_open(struct world *world, struct world_line *line)
{
    caller_open(&line->caller, world->machine, sim_chance(world->machine, 50));
    line->in_flight_max = 1 + (uint32_t)sim_random_below(world->machine, IN_FLIGHT_MAX);
    line->is_open = true;
    line->greeted = false;
}

static bool line_has_room(const struct world_line *line)
{
    return line->caller.state == CALLER_READY && !line->caller.ended &&
           caller_in_flight(&line->caller) < line->in_flight_max;
}

static void line_send(struct world_line *line, uint32_t intent, const struct request *request)
{
    uint32_t number = caller_send(&line->caller, request->number, request->body, request->size);
    line->requests[number % IN_FLIGHT_MAX] = *request;
    line->intents[number % IN_FLIGHT_MAX] = intent;
}

void world_act(struct world *world)
{
    struct world_line *line = &world->lines[sim_random_below(world->machine, LINES_MAX)];
    uint64_t choice = sim_random_below(world->machine, 100);
    if (!line->is_open) {
        line_open(world, line);
    } else if (line->caller.ended || choice == 0) {
        line_receive(world, line);
        line_close(line);
    } else if (choice < 50) {
        line_receive(world, line);
    } else {
        struct request request;
        uint64_t count = 1 + sim_random_below(world->machine, 8);
        for (; count > 0 && line_has_room(line); count--) {
            uint32_t intent = ledger_next(world->ledger, &request);
            line_send(line, intent, &request);
        }
    }
}

int world_play(struct world *world, uint32_t turns)
{
    int result = 1;
    for (uint32_t turn = 0; turn < turns && result > 0; turn++) {
        for (uint64_t acts = sim_random_below(world->machine, 4); acts > 0; acts--)
            world_act(world);
        if (sim_chance(world->machine, 2))
            sim_time_pass(world->machine, sim_random_below(world->machine, 1500000));
        if (sim_chance(world->machine, 2))
            step_clock(world->machine);
        if (sim_chance(world->machine, 1))
            sim_disk_fill(world->machine, "data", sim_chance(world->machine, 50));
        if (world->fills_archive && sim_chance(world->machine, 1))
            sim_disk_fill(world->machine, "archive", sim_chance(world->machine, 50));
        result = server_turn(world->server, sim_random_below(world->machine, TURN_US));
    }
    return result;
}

void world_settle(struct world *world)
{
    sim_disk_fill(world->machine, "data", false);
    for (uint32_t turn = 0;; turn++) {
        CHECK(turn < PATIENCE_TURNS);
        uint32_t intent = ledger_unanswered(world->ledger);
        uint32_t in_flight = 0;
        for (uint32_t i = 0; i < LINES_MAX; i++) {
            struct world_line *line = &world->lines[i];
            if (!line->is_open)
                line_open(world, line);
            line_receive(world, line);
            if (line->caller.ended)
                line_close(line);
            else if (intent != NO_INTENT && line_has_room(line))
                line_send(line, intent, &world->ledger->intents[intent].request);
            in_flight += line->is_open ? caller_in_flight(&line->caller) : 0;
        }
        if (intent == NO_INTENT && in_flight == 0)
            return;
        CHECK(server_turn(world->server, TURN_US) > 0);
    }
}

void world_call(struct world *world, unsigned number, const void *body, uint32_t size)
{
    struct caller *caller = calloc(1, sizeof *caller);
    CHECK(caller != NULL);
    caller_open(caller, world->machine, false);
    for (uint32_t turn = 0; !caller_receive(caller, &world->reply); turn++) {
        CHECK(turn < PATIENCE_TURNS && !caller->ended);
        if (caller->state == CALLER_READY && caller->sent == 0)
            caller_send(caller, number, body, size);
        CHECK(server_turn(world->server, TURN_US) > 0);
    }
    caller_close(caller);
    free(caller);
}

/* The state that replaying a folder leads to, with or without an archive and snapshots. */
struct led_to {
    uint64_t seq;
    uint64_t checksum;
};

static struct led_to lead(struct disk *data, struct disk *archive, bool ignores_snapshots,
                          uint64_t seq_last)
{
    char error[512];
    struct engine_options options = ledger_engine_options();
    struct replay replay = {.disk = data,
                            .archive = archive,
                            .engine = engine_create(&options, error, sizeof error),
                            .ignores_snapshots = ignores_snapshots,
                            .seq_last = seq_last};
    CHECK(replay.engine != NULL);
    if (!replay_run(&replay))
        test_fail(__FILE__, __LINE__, "%s", replay.error);
    struct led_to found = {engine_seq(replay.engine), engine_checksum(replay.engine)};
    engine_destroy(replay.engine);
    return found;
}

/* The first and the last seq of a folder's log, which is whole; 0 and 0 without a block. */
static void log_span(struct disk *disk, uint64_t *first, uint64_t *last)
{
    struct wal_reader reader;
    enum wal_read read;
    *first = *last = 0;
    CHECK_EQUAL(wal_reader_init(&reader, disk), 0);
    while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK) {
        if (*first == 0)
            *first = reader.block.seq_first;
        *last = reader.end.seq_next - 1;
    }
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    wal_reader_deinit(&reader);
}

/* There is no gap between the archive and the log, and where the archive is whole, any moment is
 * restored to the same state from the beginning and from the snapshot before it. */
static void judge_archive(struct world *world, struct disk *data)
{
    struct disk *archive;
    uint64_t first, last, log_first, log_last;
    CHECK_EQUAL(disk_open(&archive, "archive", DISK_READ), 0);
    log_span(archive, &first, &last);
    log_span(data, &log_first, &log_last);
    CHECK(log_first <= last + 1 || log_last == 0);
    CHECK(log_last >= last);
    if (first == 1) {
        struct led_to started = lead(data, NULL, false, 0);
        struct led_to whole = lead(data, archive, true, 0);
        CHECK_EQUAL(started.seq, whole.seq);
        CHECK_EQUAL(started.checksum, whole.checksum);
        uint64_t seq = 1 + sim_random_below(world->machine, whole.seq);
        struct led_to slow = lead(data, archive, true, seq);
        struct led_to fast = lead(data, archive, false, seq);
        CHECK_EQUAL(slow.seq, seq);
        CHECK_EQUAL(fast.seq, seq);
        CHECK_EQUAL(slow.checksum, fast.checksum);
    }
    disk_close(archive);
}

/* Where the log is whole, a start reaches the state that the log alone leads to. */
static void judge_start(struct disk *data)
{
    uint64_t first, last;
    log_span(data, &first, &last);
    if (first != 1)
        return;
    struct led_to started = lead(data, NULL, false, 0);
    struct led_to whole = lead(data, NULL, true, 0);
    CHECK_EQUAL(started.seq, whole.seq);
    CHECK_EQUAL(started.checksum, whole.checksum);
}

void world_judge(struct world *world)
{
    struct disk *disk;
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    CHECK(ledger_check_log(world->ledger, disk) >= world->ledger->seq_seen);
    if (world->has_archive)
        judge_archive(world, disk);
    else
        judge_start(disk);
    disk_close(disk);
}
