/* The server under simulation: crashes at any moment, a disk that fails or fills up, clients that
 * break the protocol or do not read, a clock that steps. The same server code as in production
 * runs here, on the simulated io and disk. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "net/replay.h"
#include "net/server_state.h"
#include "snapshot/backup_label.h"
#include "snapshot/image.h"
#include "tests/sim/world.h"
#include "tests/test.h"
#include "wal/segment.h"
#include "wal/wal_state.h"

enum { CRASH_ROUNDS = 60, ROUNDS = 20, LIVES_MAX = 5, TURNS_MAX = 400 };

/* Starts a server on a disk that may crash during the recovery, again and again. */
static void start_through_crashes(struct world *world)
{
    sim_disk_fill(world->machine, "data", false);
    while (sim_chance(world->machine, 25)) {
        sim_disk_crash_at(world->machine, 1 + (uint32_t)sim_random_below(world->machine, 4));
        world_start(world);
        world_crash(world);
    }
    if (!world_start(world))
        test_fail(__FILE__, __LINE__, "%s", world->error);
}

static void end_well(struct world *world)
{
    world_settle(world);
    world_stop(world);
    world_judge(world);
    world_destroy(world);
}

TEST(server_keeps_every_answer_through_crashes)
{
    uint64_t snapshots = 0;
    uint64_t archived = 0;
    for (int round = 0; round < CRASH_ROUNDS; round++) {
        struct world *world = world_create(test_random());
        uint64_t lives = 1 + sim_random_below(world->machine, LIVES_MAX);
        for (; lives > 0; lives--) {
            start_through_crashes(world);
            uint32_t turns = (uint32_t)sim_random_below(world->machine, TURNS_MAX);
            CHECK(world_play(world, turns) > 0);
            if (sim_chance(world->machine, 75))
                world_crash(world);
            else
                world_stop(world);
            world_judge(world);
        }
        CHECK(world_start(world));
        snapshots += world->snapshots;
        archived += world->archived;
        end_well(world);
    }
    CHECK(archived > 0);
    CHECK(snapshots > CRASH_ROUNDS / 2); /* many fail because of full disks */
}

enum { SNAPSHOTS_KEPT = 2 };

/* The snapshots on the disk, the newest first; returns how many. */
static uint32_t list_snapshots(uint64_t seqs[SNAPSHOTS_KEPT])
{
    struct disk *disk;
    struct disk_entry *entries;
    uint32_t count = 0;
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    for (int i = disk_list_all(disk, &entries); i-- > 0;) {
        uint64_t seq = image_name_seq(entries[i].name);
        if (seq == 0)
            continue;
        CHECK(count < SNAPSHOTS_KEPT);
        seqs[count++] = seq;
    }
    disk_close(disk);
    free(entries);
    return count;
}

/* A stopped world with two snapshots and some log after them. */
static struct world *world_with_snapshots(uint64_t seqs[SNAPSHOTS_KEPT])
{
    struct world *world = world_create(test_random());
    world->segment_size = WAL_BLOCK_SIZE_MAX;
    for (int life = 0; world->snapshots < 4; life++) {
        CHECK(life < 100);
        start_through_crashes(world);
        CHECK(world_play(world, 2 * TURNS_MAX) > 0);
        world_crash(world);
    }
    CHECK_EQUAL(list_snapshots(seqs), SNAPSHOTS_KEPT);
    world->notice[0] = '\0';
    return world;
}

static void flip_in_snapshot(struct world *world, uint64_t seq)
{
    char name[DISK_NAME_SIZE];
    image_name(seq, name);
    sim_disk_flip(world->machine, "data", name, sim_random_below(world->machine, IMAGE_HEADER_SIZE),
                  (unsigned)sim_random_below(world->machine, 8));
}

static void remove_snapshot(uint64_t seq)
{
    struct disk *disk;
    char name[DISK_NAME_SIZE];
    image_name(seq, name);
    CHECK_EQUAL(disk_open(&disk, "data", DISK_WRITE), 0);
    CHECK_EQUAL(disk_remove(disk, name), 0);
    disk_close(disk);
}

TEST(damaged_or_missing_snapshot_gives_way_to_the_one_before)
{
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t seqs[SNAPSHOTS_KEPT];
        struct world *world = world_with_snapshots(seqs);
        bool is_damaged = round % 2 == 0;
        if (is_damaged)
            flip_in_snapshot(world, seqs[0]);
        else
            remove_snapshot(seqs[0]);
        sim_disk_fill(world->machine, "data", false);
        CHECK(world_start(world));
        CHECK_EQUAL(server_start(world->server).snapshot_seq, seqs[1]);
        CHECK_EQUAL(strstr(world->notice, "damaged") != NULL, is_damaged);
        end_well(world);
    }
}

TEST(without_any_snapshot_the_log_alone_serves_or_is_refused_when_its_beginning_is_gone)
{
    uint32_t served = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t seqs[SNAPSHOTS_KEPT];
        struct world *world = world_with_snapshots(seqs);
        remove_snapshot(seqs[0]);
        remove_snapshot(seqs[1]);
        sim_disk_fill(world->machine, "data", false);
        if (world_start(world)) {
            CHECK_EQUAL(server_start(world->server).snapshot_seq, 0);
            end_well(world);
            served++;
            continue;
        }
        CHECK(strstr(world->error, "there is no valid snapshot") != NULL);
        world_crash(world);
        world_destroy(world);
    }
    CHECK(served < ROUNDS);
}

/* Moves the log away: the rest is like a restored folder. */
static void remove_log(void)
{
    struct disk *disk;
    struct wal_segment *segments;
    CHECK_EQUAL(disk_open(&disk, "data", DISK_WRITE), 0);
    int count = wal_segments_list(disk, WAL_IN_DATA, &segments);
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(disk_remove(disk, segments[i].name), 0);
    CHECK_EQUAL(disk_remove(disk, WAL_NOTE_NAME), 0);
    free(segments);
    disk_close(disk);
}

TEST(server_ends_at_a_write_error_and_keeps_what_it_had_answered)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct world *world = world_create(test_random());
        CHECK(world_start(world));
        CHECK(world_play(world, 50) > 0);
        sim_disk_fail_write(world->machine, "data", "wal-",
                            1 + (uint32_t)sim_random_below(world->machine, 4));
        CHECK(world_play(world, 100 * TURNS_MAX) < 0);
        world_crash(world);
        world_judge(world);
        CHECK(world_start(world));
        end_well(world);
    }
}

TEST(snapshot_that_cannot_be_written_is_given_up_and_the_service_goes_on)
{
    uint32_t given_up = 0;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        struct world *world = world_create(test_random());
        int result = 1;
        CHECK(world_start(world));
        CHECK(world_play(world, 50) > 0);
        sim_disk_fail_write(world->machine, "data", "snapshot", 1);
        bool is_given_up = false;
        for (int turn = 0; result > 0 && !is_given_up && turn < 2 * TURNS_MAX; turn++) {
            result = world_play(world, 1);
            is_given_up = strstr(world->notice, "given up: the file cannot be written") != NULL;
        }
        given_up += is_given_up;
        CHECK(result > 0 && world_play(world, TURNS_MAX) > 0);
        end_well(world);
    }
    CHECK(given_up > ROUNDS / 2);
}

/* A stopped world with at least this many segments in its archive, which is whole. */
static struct world *world_with_archive(uint64_t segment_count)
{
    struct world *world = world_create(test_random());
    world->has_archive = true;
    world->fills_archive = false;
    world->segment_size = WAL_BLOCK_SIZE_MAX;
    for (int life = 0; world->archived < segment_count; life++) {
        CHECK(life < 200);
        sim_disk_fill(world->machine, "data", false);
        CHECK(world_start(world));
        CHECK(world_play(world, TURNS_MAX) > 0);
        sim_disk_fill(world->machine, "data", false);
        world_stop(world);
    }
    world_judge(world);
    return world;
}

/* Replays the archive alone, from its beginning; false, with the error, when it is refused. */
static bool replay_archive(struct replay *replay)
{
    char error[512];
    struct engine_options options = ledger_engine_options();
    *replay = (struct replay){.ignores_snapshots = true};
    replay->engine = engine_create(&options, error, sizeof error);
    CHECK(replay->engine != NULL);
    CHECK_EQUAL(disk_open(&replay->disk, "archive", DISK_READ), 0);
    bool replayed = replay_run(replay);
    disk_close(replay->disk);
    return replayed;
}

/* Flips a bit in an archived segment, or removes it. */
static void archive_ruin(struct world *world, bool removes, char name[DISK_NAME_SIZE])
{
    struct disk *disk;
    struct wal_segment *segments;
    CHECK_EQUAL(disk_open(&disk, "archive", DISK_WRITE), 0);
    int count = wal_segments_list(disk, WAL_IN_ARCHIVE, &segments);
    CHECK(count >= 3);
    const struct wal_segment *segment =
        &segments[sim_random_below(world->machine, (uint64_t)count - 1)];
    snprintf(name, DISK_NAME_SIZE, "%s", segment->name);
    if (removes)
        CHECK_EQUAL(disk_remove(disk, name), 0);
    else
        sim_disk_flip(world->machine, "archive", name,
                      sim_random_below(world->machine, segment->size_bytes),
                      (unsigned)sim_random_below(world->machine, 8));
    free(segments);
    disk_close(disk);
}

TEST(ruined_archive_is_refused)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct world *world = world_with_archive(4);
        struct replay whole;
        struct replay ruined;
        char name[DISK_NAME_SIZE];
        CHECK(replay_archive(&whole));
        bool removes = round % 2 == 0;
        archive_ruin(world, removes, name);
        CHECK(!replay_archive(&ruined));
        CHECK(strstr(ruined.error, "archive") != NULL);
        engine_destroy(whole.engine);
        engine_destroy(ruined.engine);
        world_destroy(world);
    }
}

TEST(archive_that_is_full_or_fails_costs_no_answer_and_is_gone_on_with)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct world *world = world_create(test_random());
        world->has_archive = world->fills_archive = true;
        world->segment_size = WAL_BLOCK_SIZE_MAX;
        for (int life = 0; life < 3; life++) {
            CHECK(world_start(world));
            sim_disk_fail_write(world->machine, "archive", "log",
                                1 + (uint32_t)sim_random_below(world->machine, 3));
            CHECK(world_play(world, TURNS_MAX) > 0);
            sim_disk_fill(world->machine, "data", false);
            world_crash(world);
            world_judge(world);
        }
        sim_disk_fill(world->machine, "archive", false);
        CHECK(world_start(world));
        end_well(world);
    }
}

/* Makes a backup of the folder of a stopped world, of all its segments and snapshots. */
static void make_backup(void)
{
    struct disk *disk;
    struct backup_label label = {.seq = 1, .epoch = 1, .time_us = 1};
    struct disk_entry *entries;
    CHECK_EQUAL(disk_open(&disk, "data", DISK_WRITE), 0);
    int count = disk_list_all(disk, &entries);
    CHECK(backup_label_begin(&label, disk));
    label.files = calloc((size_t)count + 1, sizeof *label.files);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i].name;
        if (strncmp(name, "wal-", 4) == 0 || image_name_seq(name) > 0)
            strcpy(label.files[label.file_count++].name, name);
    }
    CHECK(backup_label_complete(&label));
    backup_label_close(&label);
    free(entries);
    disk_close(disk);
}

/* Is it still a backup? If so, it must be as complete as before. */
static bool is_backup(void)
{
    struct disk *disk;
    struct backup_label label = {0};
    CHECK_EQUAL(disk_open(&disk, "data", DISK_READ), 0);
    enum backup_state state = backup_label_demand(&label, disk);
    if (state == BACKUP_REFUSED)
        test_fail(__FILE__, __LINE__, "%s", label.error);
    backup_label_close(&label);
    disk_close(disk);
    return state == BACKUP_COMPLETE;
}

TEST(folder_that_was_a_backup_is_whole_at_any_crash_of_the_server_that_goes_on_from_it)
{
    uint32_t kept = 0;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        struct world *world = world_create(test_random());
        CHECK(world_start(world));
        CHECK(world_play(world, TURNS_MAX) > 0);
        sim_disk_fill(world->machine, "data", false);
        world_stop(world);
        make_backup();
        for (int crash = 0; crash < 4 && is_backup(); crash++) {
            sim_disk_crash_at(world->machine, 1 + (uint32_t)sim_random_below(world->machine, 3));
            world_start(world);
            world_crash(world);
            kept += is_backup();
            world_judge(world);
        }
        if (!world_start(world))
            test_fail(__FILE__, __LINE__, "%s", world->error);
        CHECK(!is_backup());
        end_well(world);
    }
    CHECK(kept > 0);
}

/* Only the first segments exist, so the log is soon full. */
static void start_on_full_disk(struct world *world)
{
    world->segment_size = WAL_BLOCK_SIZE_MAX;
    CHECK(world_start(world));
    for (int turn = 0; world->ledger->full_count < 20; turn++) {
        CHECK(turn < 20000);
        sim_disk_fill(world->machine, "data", true);
        CHECK(world_play(world, 1) > 0);
    }
}

static struct world *world_on_full_disk(void)
{
    struct world *world = world_create(test_random());
    start_on_full_disk(world);
    return world;
}

static uint64_t stats_seq(struct world *world)
{
    struct empty_body empty = {0};
    world_call(world, MESSAGE_stats, &empty, sizeof empty);
    CHECK_EQUAL(world->reply.outcome, OUTCOME_OK);
    return world->reply.body[0];
}

TEST(full_disk_refuses_commands_answers_queries_and_ends_by_itself)
{
    for (int round = 0; round < 4; round++) {
        struct world *world = world_on_full_disk();
        uint64_t seq = stats_seq(world);
        if (round % 2 == 1) {
            world_crash(world);
            world_judge(world);
            sim_disk_fill(world->machine, "data", true);
            CHECK(world_start(world));
            CHECK(stats_seq(world) >= seq); /* the server itself may have logged something */
        }
        for (int turn = 0; stats_seq(world) < seq + 10; turn++) {
            CHECK(turn < 1000);
            sim_disk_fill(world->machine, "data", false);
            CHECK(world_play(world, 10) > 0);
        }
        end_well(world);
    }
}

/* How many turns the server takes in ten seconds without events from outside. */
static uint32_t count_turns(struct world *world)
{
    uint32_t turn_count = 0;
    for (uint64_t end_us = sim_time_us(world->machine) + 10 * US_PER_SECOND;
         sim_time_us(world->machine) < end_us; turn_count++)
        CHECK(server_turn(world->server, UINT64_MAX) > 0);
    return turn_count;
}

/* A server that retries without a pause takes some hundred thousand turns. */
TEST(holds_that_are_due_while_the_disk_is_full_are_tried_no_more_often_than_the_log)
{
    enum { IDLE_TURNS_MAX = 300 };
    uint32_t due_count = 0;
    for (int round = 0; round < 4; round++) {
        struct world *world = world_create(test_random());
        world->no_snapshots = true;
        start_on_full_disk(world);
        count_turns(world);
        uint64_t now_us = world->server->now_us;
        due_count += engine_holds_due(world->server->engine, now_us) > 0;
        CHECK(count_turns(world) < IDLE_TURNS_MAX);
        sim_disk_fill(world->machine, "data", false);
        count_turns(world);
        CHECK_EQUAL(engine_holds_due(world->server->engine, now_us), 0);
        end_well(world);
    }
    CHECK(due_count > 0);
}

/* The log's file system first has no room for a change of the folder, and later has. */
TEST(release_that_the_disk_refuses_ends_no_server)
{
    uint32_t blocked_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct world *world = world_create(test_random());
        world->segment_size = WAL_BLOCK_SIZE_MAX;
        CHECK(world_start(world));
        for (int part = 0; part < 40; part++) {
            sim_disk_refuse_changes(world->machine, "data", "wal-",
                                    (unsigned)sim_random_below(world->machine, 101));
            CHECK(world_play(world, 50) > 0);
            blocked_count += world->server->wal->segments.supply == SUPPLY_BLOCKED;
        }
        sim_disk_refuse_changes(world->machine, "data", "wal-", 0);
        end_well(world);
    }
    CHECK(blocked_count > 0);
}

/* Takes a reply that comes within this many turns; false when there is none. */
static bool play_for_reply(struct world *world, struct caller *caller, uint32_t turns)
{
    for (uint32_t turn = 0; turn < turns; turn++) {
        CHECK(server_turn(world->server, TURN_US) > 0);
        if (caller_receive(caller, &world->reply))
            return true;
    }
    return false;
}

static struct caller *ready_caller(struct world *world)
{
    struct caller *caller = calloc(1, sizeof *caller);
    CHECK(caller != NULL);
    caller_open(caller, world->machine, false);
    while (caller->state != CALLER_READY) {
        CHECK(!caller->ended && server_turn(world->server, TURN_US) > 0);
        CHECK(!caller_receive(caller, &world->reply));
    }
    return caller;
}

static void send_stats(struct caller *caller)
{
    struct empty_body empty = {0};
    caller_send(caller, MESSAGE_stats, &empty, sizeof empty);
}

/* Lets time pass without any work, so that the log is sealed. */
static void idle(struct world *world)
{
    for (uint64_t end_us = sim_time_us(world->machine) + US_PER_SECOND;
         sim_time_us(world->machine) < end_us;)
        CHECK(server_turn(world->server, TURN_US) > 0);
}

static void send_credit(struct caller *caller, uint64_t key)
{
    struct points_credit_body body = {.key = {key, 1}, .customer = {1, 0}, .points = 1};
    caller_send(caller, MESSAGE_points_credit, &body, sizeof body);
}

static void send_balance(struct caller *caller)
{
    struct points_balance_body body = {.customer = {1, 0}};
    caller_send(caller, MESSAGE_points_balance, &body, sizeof body);
}

/* Plays turns until the log seals itself. */
static void play_until_sealing(struct world *world)
{
    bool was_idle = false;
    for (uint32_t turn = 0;; turn++) {
        CHECK(turn < 10000);
        bool is_idle = wal_idle(world->server->wal);
        if (was_idle && !is_idle)
            return;
        was_idle = is_idle;
        CHECK(server_turn(world->server, TURN_US) > 0);
    }
}

/* The log begins after the snapshot, with a seal; a command that comes while the seal is in flight
 * goes after it. */
TEST(snapshot_alone_is_gone_on_from_while_its_log_is_being_sealed)
{
    uint32_t played = 0;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        enum { TURNS_LATER = 5000 };
        uint64_t seqs[SNAPSHOTS_KEPT];
        struct world *world = world_create(test_random());
        world->has_archive = false;
        CHECK(world_start(world));
        world_settle(world);
        world_stop(world);
        if (list_snapshots(seqs) == 0 || seqs[0] < world->ledger->seq_seen) {
            world_destroy(world);
            continue;
        }
        remove_log();
        CHECK(world_start(world));
        struct caller *caller = ready_caller(world);
        play_until_sealing(world);
        send_credit(caller, 1);
        CHECK(play_for_reply(world, caller, TURNS_LATER));
        CHECK_EQUAL(world->reply.outcome, OUTCOME_OK);
        caller_close(caller);
        free(caller);
        world_crash(world);
        if (!world_start(world))
            test_fail(__FILE__, __LINE__, "%s", world->error);
        CHECK(engine_seq(server_engine(world->server)) > seqs[0]);
        world_stop(world);
        world_destroy(world);
        played++;
    }
    CHECK(played > ROUNDS / 2);
}

/* What was decided before waits, and so do queries that would show it; later commands are refused
 * at once, and the service resumes by itself. */
TEST(storage_that_refuses_a_block_makes_its_answer_wait_and_refuses_the_next)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum { TURNS = 200, TURNS_LATER = 5000 };
        struct world *world = world_create(test_random());
        CHECK(world_start(world));
        world_settle(world);
        struct caller *first = ready_caller(world);
        struct caller *second = ready_caller(world);
        struct caller *reader = ready_caller(world);
        idle(world);
        sim_disk_refuse_writes(world->machine, "data", "wal-", 100);
        send_credit(first, 1);
        CHECK(!play_for_reply(world, first, TURNS));
        send_credit(second, 2);
        CHECK(play_for_reply(world, second, TURNS));
        CHECK_EQUAL(world->reply.outcome, OUTCOME_STORAGE_FULL);
        send_balance(reader);
        CHECK(!play_for_reply(world, reader, TURNS));
        sim_disk_refuse_writes(world->machine, "data", "wal-", 0);
        CHECK(play_for_reply(world, first, TURNS_LATER));
        CHECK_EQUAL(world->reply.outcome, OUTCOME_OK);
        CHECK(play_for_reply(world, reader, TURNS));
        send_credit(second, 2);
        CHECK(play_for_reply(world, second, TURNS));
        CHECK_EQUAL(world->reply.outcome, OUTCOME_OK);
        struct caller *const callers[] = {first, second, reader};
        for (int i = 0; i < 3; i++) {
            caller_close(callers[i]);
            free(callers[i]);
        }
        world_stop(world);
        world_destroy(world);
    }
}

TEST(storage_that_refuses_blocks_costs_no_answer_through_crashes)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct world *world = world_create(test_random());
        for (int life = 0; life < 3; life++) {
            start_through_crashes(world);
            sim_disk_refuse_writes(world->machine, "data",
                                   sim_chance(world->machine, 50) ? "" : "wal-",
                                   (unsigned)sim_random_below(world->machine, 50));
            CHECK(world_play(world, TURNS_MAX) > 0);
            sim_disk_refuse_writes(world->machine, "data", "", 0);
            world_crash(world);
            world_judge(world);
        }
        start_through_crashes(world);
        end_well(world);
    }
}

TEST(server_that_is_stopped_while_its_storage_refuses_a_block_says_what_was_not_answered)
{
    struct world *world = world_create(test_random());
    CHECK(world_start(world));
    world_settle(world);
    struct caller *caller = ready_caller(world);
    idle(world);
    sim_disk_refuse_writes(world->machine, "data", "wal-", 100);
    send_credit(caller, 1);
    CHECK(!play_for_reply(world, caller, 100));
    sim_stop(world->machine);
    int result = 1;
    for (uint32_t turn = 0; result > 0; turn++) {
        CHECK(turn < 100000);
        result = server_turn(world->server, TURN_US);
    }
    CHECK(result < 0);
    CHECK(strstr(server_error(world->server), "was not answered") != NULL);
    caller_close(caller);
    free(caller);
    world_crash(world);
    CHECK(world_start(world));
    world_stop(world);
    world_destroy(world);
}

TEST(jump_at_a_start_is_logged_before_anything_else_though_the_disk_is_full)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct world *world = world_on_full_disk();
        for (int life = 0; life < 3; life++) {
            world_crash(world);
            sim_disk_fill(world->machine, "data", true);
            sim_time_pass(world->machine, 20 * 3600 * US_PER_SECOND);
            CHECK(world_start(world));
            CHECK(world_play(world, 20 + (uint32_t)sim_random_below(world->machine, 60)) > 0);
        }
        end_well(world); /* every key is still known */
    }
}

TEST(clock_that_steps_back_never_turns_the_log_s_time_back)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct world *world = world_create(test_random());
        CHECK(world_start(world));
        for (int step = 0; step < 20; step++) {
            CHECK(world_play(world, 10) > 0);
            sim_clock_step(world->machine, -(int64_t)sim_random_below(world->machine, 100000000));
            if (sim_chance(world->machine, 20)) {
                world_crash(world);
                sim_disk_fill(world->machine, "data", false);
                CHECK(world_start(world));
            }
        }
        end_well(world);
    }
}

/* A frame after a good hello that must be refused: a stats request unless its row says otherwise,
 * whose body is zeros but for one word. */
struct bad_frame {
    const char *what;
    uint32_t size;
    uint16_t type;
    uint16_t outcome;
    uint32_t body_size;
    uint32_t word;
    uint64_t value;
};

#define PLACE_SIZE (uint32_t)sizeof(struct order_place_body)

static const struct bad_frame bad_frames[] = {
    {"size zero", 0, MESSAGE_stats, 0, 8, 0, 0},
    {"size of the header alone", 16, MESSAGE_stats, 0, 8, 0, 0},
    {"size not a multiple of 8", 28, MESSAGE_stats, 0, 16, 0, 0},
    {"size too large", FRAME_SIZE_MAX + 8, MESSAGE_stats, 0, 8, 0, 0},
    {"size enormous", 0xfffffff8, MESSAGE_stats, 0, 8, 0, 0},
    {"body too long", 32, MESSAGE_stats, 0, 16, 0, 0},
    {"body too short", 24, MESSAGE_order_get, 0, 8, 0, 1},
    {"reserved bytes", 24, MESSAGE_stats, 0, 8, 0, 1},
    {"type zero", 24, 0, 0, 8, 0, 0},
    {"type unknown", 24, MESSAGE_NUMBER_MAX, 0, 8, 0, 0},
    {"type beyond the table", 24, 0x7fff, 0, 8, 0, 0},
    {"type of a reply", 24, MESSAGE_stats | FRAME_REPLY, 0, 8, 0, 0},
    {"type of the server's own error", 24, MESSAGE_error, 0, 8, 0, 0},
    {"outcome in a request", 24, MESSAGE_stats, 1, 8, 0, 0},
    {"second hello", 16 + sizeof(struct hello_body), MESSAGE_hello, 0, sizeof(struct hello_body), 0,
     FRAME_MAGIC},
    {"row that is not there", 16 + PLACE_SIZE, MESSAGE_order_place, 0, PLACE_SIZE, 6, 1ULL << 32},
    {"more rows than allowed", 16 + PLACE_SIZE, MESSAGE_order_place, 0, PLACE_SIZE, 6, 33ULL << 32},
    {"flag unknown", 16 + PLACE_SIZE, MESSAGE_order_place, 0, PLACE_SIZE, 6, 0x8000},
    {"value unknown", 16 + PLACE_SIZE, MESSAGE_order_place, 0, PLACE_SIZE, 6, 9ULL << 48},
};

enum { BAD_FRAMES = sizeof bad_frames / sizeof bad_frames[0], GOOD_BEFORE = 3 };

static void send_bad_frame(struct caller *caller, const struct bad_frame *bad)
{
    uint64_t body[16] = {0};
    struct frame frame = {
        .size = bad->size, .type = bad->type, .outcome = bad->outcome, .request = 77};
    CHECK(bad->body_size <= sizeof body);
    body[bad->word] = bad->value;
    caller_send_frame(caller, frame, body, bad->body_size);
}

/* Plays turns, with the world's callers active, until the caller's stream has ended; returns how
 * many replies it got. */
static uint32_t play_until_ended(struct world *world, struct caller *caller)
{
    uint32_t replies = 0;
    for (int turn = 0; !caller->ended; turn++) {
        CHECK(turn < 10000);
        CHECK(world_play(world, 1) > 0);
        while (caller_receive(caller, &world->reply))
            replies++;
    }
    return replies;
}

static void play_until_ready(struct world *world, struct caller *caller)
{
    while (caller->state != CALLER_READY) {
        CHECK(!caller->ended && world_play(world, 1) > 0);
        CHECK(!caller_receive(caller, &world->reply));
    }
}

TEST(malformed_frame_closes_its_connection_only)
{
    struct world *world = world_create(test_random());
    struct caller *caller = calloc(1, sizeof *caller);
    CHECK(world_start(world));
    for (uint32_t i = 0; i < 2 * BAD_FRAMES; i++) {
        const struct bad_frame *bad = &bad_frames[i / 2];
        caller_open(caller, world->machine, i % 2 == 1);
        play_until_ready(world, caller);
        for (int good = 0; good < GOOD_BEFORE; good++)
            send_stats(caller);
        send_bad_frame(caller, bad);
        send_stats(caller); /* is not checked */
        uint32_t replies = play_until_ended(world, caller);
        if (replies != GOOD_BEFORE || caller->state != CALLER_REFUSED)
            test_fail(__FILE__, __LINE__, "%s: %u replies, state %u", bad->what, replies,
                      (unsigned)caller->state);
        caller_close(caller);
    }
    free(caller);
    end_well(world);
}

TEST(wrong_checksum_closes_its_connection_only)
{
    struct world *world = world_create(test_random());
    struct caller *caller = calloc(1, sizeof *caller);
    CHECK(world_start(world));
    for (int with_checksum = 0; with_checksum < 2; with_checksum++) {
        struct frame frame = {
            .size = 24, .type = MESSAGE_stats, .request = 1, .checksum = 0x12345678};
        struct empty_body empty = {0};
        caller_open(caller, world->machine, with_checksum == 1);
        play_until_ready(world, caller);
        caller->checksum = false; /* the frame's own checksum is sent */
        caller_send_frame(caller, frame, &empty, sizeof empty);
        caller->checksum = with_checksum == 1;
        CHECK_EQUAL(play_until_ended(world, caller), 0);
        CHECK_EQUAL(caller->state, CALLER_REFUSED);
        caller_close(caller);
    }
    free(caller);
    end_well(world);
}

TEST(wrong_or_missing_hello_is_refused)
{
    static const struct hello_body hellos[] = {
        {.magic = FRAME_MAGIC + 1, .version = PROTOCOL_VERSION},
        {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION + 1},
        {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION, .features = 0x80},
        {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION, .reserved = 1},
        {.magic = FRAME_MAGIC, .version = PROTOCOL_VERSION, .token = {.bytes = "secret"}},
    };
    enum { HELLOS = sizeof hellos / sizeof hellos[0] };
    struct world *world = world_create(test_random());
    struct caller *caller = calloc(1, sizeof *caller);
    CHECK(world_start(world));
    for (uint32_t i = 0; i <= HELLOS; i++) {
        struct frame frame = {.size = 16 + sizeof hellos[0], .type = MESSAGE_hello};
        struct empty_body empty = {0};
        *caller = (struct caller){.client = sim_connect(world->machine)};
        if (i < HELLOS) {
            caller_send_frame(caller, frame, &hellos[i], sizeof hellos[i]);
        } else {
            frame = (struct frame){.size = 24, .type = MESSAGE_stats};
            caller_send_frame(caller, frame, &empty, sizeof empty);
        }
        CHECK_EQUAL(play_until_ended(world, caller), 0);
        CHECK_EQUAL(caller->state, CALLER_REFUSED);
        caller_close(caller);
    }
    free(caller);
    end_well(world);
}

TEST(half_a_frame_and_a_hang_up_leave_no_trace)
{
    struct world *world = world_create(test_random());
    struct caller *caller = calloc(1, sizeof *caller);
    CHECK(world_start(world));
    for (int round = 0; round < ROUNDS; round++) {
        struct frame frame = {.size = 24, .type = MESSAGE_stats};
        caller_open(caller, world->machine, false);
        play_until_ready(world, caller);
        sim_client_send(caller->client, &frame, 1 + sim_random_below(world->machine, 16));
        if (sim_chance(world->machine, 50)) {
            sim_client_finish(caller->client);
            CHECK_EQUAL(play_until_ended(world, caller), 0);
        } else {
            CHECK(world_play(world, 10) > 0);
        }
        caller_close(caller);
    }
    free(caller);
    end_well(world);
}

/* Requests as large as their messages allow, and so many that a batch of them does not fit a block
 * of the log. None of the SKUs exists, so nothing changes. */
enum { LARGE_CALLERS = 16, LARGE_COMMANDS = 640 };

static void send_largest(struct caller *callers)
{
    struct {
        struct sale_put_body body;
        struct pool_body pools[SALE_POOLS_MAX];
    } put = {.body = {.key = {.low = 9, .high = 9},
                      .sale = 9,
                      .rate_points = 1,
                      .rate_money = 1,
                      .pool_count = SALE_POOLS_MAX}};
    struct {
        struct stock_get_body body;
        struct item_body items[STOCK_ITEMS_MAX];
    } query = {.body = {.item_count = STOCK_ITEMS_MAX}};
    for (uint32_t i = 0; i < SALE_POOLS_MAX; i++)
        put.pools[i] = (struct pool_body){.sku = 1000 + i, .quantity = 1, .warehouse = 1};
    for (uint32_t i = 0; i < STOCK_ITEMS_MAX; i++)
        query.items[i].sku = 1000 + i;
    for (int i = 0; i < LARGE_COMMANDS; i++) {
        struct caller *caller = &callers[i % LARGE_CALLERS];
        caller_send(caller, MESSAGE_sale_put, &put, sizeof put);
        if (i / LARGE_CALLERS % 4 == 0)
            caller_send(caller, MESSAGE_stock_get, &query, sizeof query);
    }
}

static void expect_rejections(struct world *world, struct caller *caller)
{
    for (int turn = 0; caller_in_flight(caller) > 0; turn++) {
        CHECK(turn < 10000 && !caller->ended);
        sim_time_pass(world->machine, US_PER_SECOND / 10); /* all of it has arrived */
        CHECK(world_play(world, 1) > 0);
        while (caller_receive(caller, &world->reply))
            CHECK(world->reply.outcome == OUTCOME_NOT_FOUND ||
                  world->reply.outcome == OUTCOME_STORAGE_FULL);
    }
}

TEST(batches_of_the_largest_commands_and_queries_are_decided)
{
    struct caller *callers = calloc(LARGE_CALLERS, sizeof *callers);
    for (int round = 0; round < 4; round++) {
        struct world *world = world_create(test_random());
        CHECK(world_start(world));
        for (int i = 0; i < LARGE_CALLERS; i++) {
            caller_open(&callers[i], world->machine, false);
            sim_client_limit(callers[i].client, 1 << 20, 1 << 20);
            play_until_ready(world, &callers[i]);
        }
        send_largest(callers);
        for (int i = 0; i < LARGE_CALLERS; i++) {
            expect_rejections(world, &callers[i]);
            caller_close(&callers[i]);
        }
        end_well(world);
    }
    free(callers);
}

/* Requests much at once and reads nothing for a while. */
enum { GREEDY_REQUESTS = 1500, GREEDY_WINDOW = 16384 };

static struct caller *greedy_caller(struct world *world)
{
    struct {
        struct stock_get_body body;
        struct item_body items[STOCK_ITEMS_MAX];
    } query = {.body = {.item_count = STOCK_ITEMS_MAX}};
    for (int i = 0; i < STOCK_ITEMS_MAX; i++)
        query.items[i].sku = 1;
    struct caller *caller = calloc(1, sizeof *caller);
    world_settle(world); /* the SKUs exist */
    caller_open(caller, world->machine, false);
    sim_client_limit(caller->client, GREEDY_WINDOW, GREEDY_WINDOW);
    play_until_ready(world, caller);
    for (int i = 0; i < GREEDY_REQUESTS; i++)
        caller_send(caller, MESSAGE_stock_get, &query, sizeof query);
    return caller;
}

static void play_for(struct world *world, uint64_t seconds)
{
    uint64_t end_us = sim_time_us(world->machine) + seconds * US_PER_SECOND;
    while (sim_time_us(world->machine) < end_us) {
        sim_time_pass(world->machine, sim_random_below(world->machine, 100000));
        CHECK(world_play(world, 1) > 0);
    }
}

TEST(slow_reader_is_paused_and_gets_everything_when_it_reads)
{
    struct world *world = world_create(test_random());
    CHECK(world_start(world));
    struct caller *caller = greedy_caller(world);
    play_for(world, 5);
    uint32_t replies = 0;
    while (replies < GREEDY_REQUESTS) {
        CHECK(world_play(world, 1) > 0);
        while (caller_receive(caller, &world->reply))
            replies++;
        CHECK(!caller->ended);
    }
    caller_close(caller);
    free(caller);
    end_well(world);
}

TEST(reader_that_never_reads_is_dropped_while_others_go_on)
{
    struct world *world = world_create(test_random());
    CHECK(world_start(world));
    struct caller *caller = greedy_caller(world);
    uint64_t seq = world->ledger->seq_seen;
    play_for(world, 45);
    CHECK(world->ledger->seq_seen > seq);
    uint32_t replies = 0;
    while (caller_receive(caller, &world->reply))
        replies++;
    CHECK(caller->ended && replies < GREEDY_REQUESTS);
    CHECK_EQUAL(caller->state, CALLER_READY);
    caller_close(caller);
    free(caller);
    end_well(world);
}
