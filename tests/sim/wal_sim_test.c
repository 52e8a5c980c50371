/* The log over the simulated disk: everything reported as durable is found after a crash, nothing
 * is found that was not appended, and all of it in order; damage at rest is distinguished from a
 * torn tail.
 *
 * The commands are points.credit with random ids, so that blocks are of every size. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/disk.h"
#include "base/io.h"
#include "base/limits.h"
#include "engine/codec.h"
#include "tests/sim/sim.h"
#include "tests/test.h"
#include "wal/reader.h"
#include "wal/wal.h"

enum {
    ROUNDS = 40,
    LIVES = 5,
    COMMANDS_MAX = 400000,
    USER_WRITE = 100,
    USER_PREPARE = 200,
    EVENTS_MAX = 16,
};

struct entry {
    struct points_credit_body body;
    uint64_t time_us;
    uint64_t digest;
};

/* What was appended to the log, entries[seq]; how much the log has reported as durable; and the log
 * itself while a server runs. */
struct journal {
    struct sim_machine *machine;
    struct disk *disk;
    struct io *io;
    struct wal *wal;
    struct entry *entries;
    uint64_t seq_appended;
    uint64_t seq_durable;
    uint64_t seq_released; /* nothing before it is needed any more */
    uint64_t time_us;
    uint64_t epoch;
    uint32_t writes_max;   /* 0: random */
    uint64_t segment_size; /* 0: random */
};

static void journal_init(struct journal *journal)
{
    *journal = (struct journal){.machine = sim_machine_create(test_random())};
    journal->entries = calloc(COMMANDS_MAX + 1, sizeof *journal->entries);
    journal->time_us = 1;
    CHECK(journal->entries != NULL);
}

static void journal_deinit(struct journal *journal)
{
    free(journal->entries);
    sim_machine_destroy(journal->machine);
}

static void check_block(struct journal *journal, struct wal_reader *reader, uint64_t *seq)
{
    struct column_reader columns = {
        .schema = reader->block.schema,
        .ids = reader_init(reader->ids, reader->block.ids_size),
        .fields = reader_init(reader->fields, reader->block.fields_size),
        .time_us = reader->block.time_us,
    };
    struct logged_command command;
    bool malformed = false;
    CHECK_EQUAL(reader->block.seq_first, *seq);
    for (uint32_t i = 0; i < reader->block.command_count; i++, (*seq)++) {
        CHECK(*seq <= journal->seq_appended);
        const struct entry *entry = &journal->entries[*seq];
        CHECK(command_decode(&columns, &command, &malformed));
        CHECK_EQUAL(command.number, MESSAGE_points_credit);
        CHECK_EQUAL(command.time_us, entry->time_us);
        CHECK(memcmp(command.body, &entry->body, sizeof entry->body) == 0);
    }
    CHECK(!command_decode(&columns, &command, &malformed) && !malformed);
    CHECK_EQUAL(reader->block.digest, journal->entries[*seq - 1].digest);
}

/* Reads the whole log and compares it with what was appended; returns the end it found. */
static struct wal_end journal_check(struct journal *journal)
{
    struct wal_reader reader;
    CHECK_EQUAL(wal_reader_init(&reader, journal->disk), 0);
    enum wal_read read = wal_reader_next(&reader);
    uint64_t seq = read == WAL_READ_BLOCK ? reader.block.seq_first : 1;
    CHECK(seq == 1 || seq <= journal->seq_released);
    for (; read == WAL_READ_BLOCK; read = wal_reader_next(&reader))
        check_block(journal, &reader, &seq);
    if (read != WAL_READ_END)
        test_fail(__FILE__, __LINE__, "%s", reader.error);
    CHECK_EQUAL(reader.end.seq_next, seq);
    CHECK(seq - 1 >= journal->seq_durable);
    struct wal_end end = reader.end;
    wal_reader_deinit(&reader);
    return end;
}

/* A server's start: recover, then open the log. False when a crash came in between. */
static bool journal_open(struct journal *journal)
{
    static const struct io_options io_options = {
        .connections_max = 1, .buffer_size = 256, .buffer_count = 1};
    struct wal_options options = {
        .segment_size = (uint64_t)WAL_BLOCK_SIZE_MAX << (2 * sim_random_below(journal->machine, 3)),
        .writes_max = (uint32_t)sim_random_below(journal->machine, WAL_WRITES_MAX + 1),
        .user_write = USER_WRITE,
        .user_prepare = USER_PREPARE,
    };
    char error[IO_ERROR_SIZE];
    if (journal->writes_max > 0)
        options.writes_max = journal->writes_max;
    if (journal->segment_size > 0)
        options.segment_size = journal->segment_size;
    CHECK_EQUAL(disk_open(&journal->disk, "data", DISK_WRITE), 0);
    journal->io = io_create(&io_options, error);
    struct wal_end end = journal_check(journal);
    journal->seq_appended = end.seq_next - 1;
    journal->seq_durable = end.seq_next - 1;
    journal->epoch++;
    return wal_open(&journal->wal, journal->io, journal->disk, &options, &end, journal->epoch,
                    error) == 0;
}

/* Reports to the dead log that all its writes succeeded, so that it can be closed. */
static void journal_crash(struct journal *journal)
{
    struct io_event events[EVENTS_MAX];
    sim_crash(journal->machine);
    while (journal->wal != NULL && wal_awaits_event(journal->wal)) {
        int count = io_wait(journal->io, events, EVENTS_MAX, 1, 0);
        CHECK(count > 0);
        for (int i = 0; i < count; i++)
            (void)wal_event(journal->wal, &events[i]); /* it misses its disk */
    }
    wal_close(journal->wal);
    journal->wal = NULL;
    io_destroy(journal->io);
    disk_close(journal->disk);
}

/* Appends up to count commands, as many as there is room for; returns the room that is left. */
static enum wal_room journal_append(struct journal *journal, uint32_t count)
{
    const size_t size_max = command_encoded_max(sizeof(struct points_credit_body)) + 16;
    for (; count > 0 && journal->seq_appended < COMMANDS_MAX; count--) {
        enum wal_room room = wal_room(journal->wal, size_max);
        if (room != WAL_ROOM)
            return room;
        struct entry *entry = &journal->entries[++journal->seq_appended];
        struct sim_machine *machine = journal->machine;
        journal->time_us += sim_random_below(machine, 3);
        entry->time_us = journal->time_us;
        entry->body = (struct points_credit_body){
            .key = {sim_random(machine), sim_random(machine)},
            .customer = {sim_random_below(machine, 100) + 1, 0},
            .points = (int64_t)sim_random_below(machine, 1000) + 1,
        };
        entry->digest = mix64(journal->entries[journal->seq_appended - 1].digest,
                              entry->body.key.low ^ entry->time_us);
        uint64_t delta_us = wal_begin_time(journal->wal, entry->time_us);
        struct column_writer writer = {wal_ids(journal->wal), wal_fields(journal->wal)};
        if (delta_us > 0)
            time_encode(delta_us, &writer);
        command_encode(MESSAGE_points_credit, &entry->body, &writer);
        wal_append(journal->wal, writer.ids, writer.fields, 1, entry->digest);
    }
    return WAL_ROOM;
}

/* One turn of a server's loop, without the appending; returns 0 or the result of wal_event. */
static int journal_turn(struct journal *journal, uint64_t timeout_us)
{
    struct io_event events[EVENTS_MAX];
    wal_turn(journal->wal, sim_chance(journal->machine, 5));
    int count = io_wait(journal->io, events, EVENTS_MAX, 1, timeout_us);
    for (int i = 0; i < count; i++) {
        CHECK(events[i].kind == IO_WRITTEN || events[i].kind == IO_PREPARED ||
              events[i].kind == IO_WORKED);
        int result = wal_event(journal->wal, &events[i]);
        if (result < 0)
            return result;
    }
    uint64_t seq_durable = wal_seq_durable(journal->wal);
    CHECK(seq_durable >= journal->seq_durable && seq_durable <= journal->seq_appended);
    journal->seq_durable = seq_durable;
    return 0;
}

static void journal_settle(struct journal *journal)
{
    while (journal->seq_durable < journal->seq_appended || !wal_idle(journal->wal)) {
        wal_submit(journal->wal);
        CHECK_EQUAL(journal_turn(journal, wal_is_refused(journal->wal) ? 1000000 : 1000), 0);
    }
}

static void journal_close(struct journal *journal)
{
    journal_settle(journal);
    wal_close(journal->wal);
    journal->wal = NULL;
    io_destroy(journal->io);
    disk_close(journal->disk);
}

/* A life of the log: random appends and submits for some turns. */
static void journal_live(struct journal *journal, uint32_t turns, uint32_t append_max)
{
    for (uint32_t turn = 0; turn < turns; turn++) {
        journal_append(journal, (uint32_t)sim_random_below(journal->machine, append_max + 1));
        if (sim_chance(journal->machine, 70))
            wal_submit(journal->wal);
        CHECK_EQUAL(journal_turn(journal, sim_random_below(journal->machine, 200)), 0);
        if (sim_chance(journal->machine, 2) && journal->seq_durable > 0) {
            uint64_t seq = 1 + sim_random_below(journal->machine, journal->seq_durable);
            if (seq > journal->seq_released)
                journal->seq_released = seq;
            CHECK(wal_release(journal->wal, journal->seq_released) >= 0);
        }
    }
}

TEST(log_keeps_what_it_told_durable_through_crashes)
{
    static const uint32_t append_max[] = {2, 100, 3000};
    for (int round = 0; round < ROUNDS; round++) {
        struct journal journal;
        journal_init(&journal);
        uint32_t most = append_max[sim_random_below(journal.machine, 3)];
        for (int life = 0; life < LIVES; life++) {
            if (sim_chance(journal.machine, 30))
                sim_disk_crash_at(journal.machine,
                                  1 + (uint32_t)sim_random_below(journal.machine, 4));
            if (!journal_open(&journal)) {
                journal_crash(&journal);
                continue;
            }
            sim_disk_crash_at(journal.machine, 0);
            journal_live(&journal, (uint32_t)sim_random_below(journal.machine, 60), most);
            if (sim_chance(journal.machine, 70))
                journal_crash(&journal);
            else
                journal_close(&journal);
        }
        CHECK(journal_open(&journal));
        journal_close(&journal);
        journal_deinit(&journal);
    }
}

TEST(log_write_error_is_told_and_what_was_durable_stays)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct journal journal;
        journal_init(&journal);
        CHECK(journal_open(&journal));
        journal_live(&journal, 10, 50);
        sim_disk_fail_write(journal.machine, "data", "wal-",
                            1 + (uint32_t)sim_random_below(journal.machine, 5));
        int result = 0;
        while (result == 0) {
            journal_append(&journal, 10);
            wal_submit(journal.wal);
            result = journal_turn(&journal, 100);
        }
        CHECK(result < 0);
        journal_crash(&journal);
        CHECK(journal_open(&journal));
        journal_close(&journal);
        journal_deinit(&journal);
    }
}

TEST(log_on_a_full_disk_says_so_and_goes_on_when_there_is_room)
{
    struct journal journal;
    journal_init(&journal);
    CHECK(journal_open(&journal));
    sim_disk_fill(journal.machine, "data", true);
    enum wal_room room = WAL_ROOM;
    while (room != WAL_ROOM_FULL && journal.seq_appended < COMMANDS_MAX) {
        room = journal_append(&journal, 3000);
        wal_submit(journal.wal);
        CHECK_EQUAL(journal_turn(&journal, 200), 0);
    }
    CHECK_EQUAL(room, WAL_ROOM_FULL);
    uint64_t seq_full = journal.seq_appended;
    journal_settle(&journal);
    sim_disk_fill(journal.machine, "data", false);
    for (int turn = 0; turn < 100 && journal.seq_appended == seq_full; turn++) {
        journal_append(&journal, 1);
        CHECK_EQUAL(journal_turn(&journal, 100000), 0);
    }
    CHECK(journal.seq_appended > seq_full);
    journal_crash(&journal);
    CHECK(journal_open(&journal));
    journal_close(&journal);
    journal_deinit(&journal);
}

/* A file system that copies on write may have no room for a rename. */
TEST(log_whose_release_is_refused_says_so_and_goes_on_when_there_is_room)
{
    struct journal journal;
    struct wal_closed closed;
    journal_init(&journal);
    journal.segment_size = WAL_BLOCK_SIZE_MAX;
    CHECK(journal_open(&journal));
    while (!wal_closed_next(journal.wal, 1, &closed)) {
        journal_append(&journal, 3000);
        journal_settle(&journal);
    }
    sim_disk_refuse_changes(journal.machine, "data", "wal-", 100);
    journal.seq_released = journal.seq_durable;
    while (wal_release(journal.wal, journal.seq_released) == 0)
        CHECK_EQUAL(journal_turn(&journal, 200), 0);
    enum wal_room room = WAL_ROOM;
    while (room != WAL_ROOM_FULL && journal.seq_appended < COMMANDS_MAX) {
        room = journal_append(&journal, 3000);
        wal_submit(journal.wal);
        CHECK_EQUAL(journal_turn(&journal, 200), 0);
    }
    CHECK_EQUAL(room, WAL_ROOM_FULL);
    CHECK(wal_wait_us(journal.wal) > 0);
    uint64_t seq_full = journal.seq_appended;
    journal_settle(&journal);
    sim_disk_refuse_changes(journal.machine, "data", "wal-", 0);
    for (int turn = 0; turn < 100 && journal.seq_appended == seq_full; turn++) {
        journal_append(&journal, 1);
        CHECK_EQUAL(journal_turn(&journal, 100000), 0);
    }
    CHECK(journal.seq_appended > seq_full);
    CHECK(wal_segment_first(journal.wal) > closed.number);
    journal_crash(&journal);
    CHECK(journal_open(&journal));
    journal_close(&journal);
    journal_deinit(&journal);
}

TEST(log_whose_releases_are_refused_keeps_what_it_told_durable_through_crashes)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct journal journal;
        journal_init(&journal);
        for (int life = 0; life < LIVES; life++) {
            CHECK(journal_open(&journal));
            sim_disk_refuse_changes(journal.machine, "data", "wal-",
                                    (unsigned)sim_random_below(journal.machine, 90));
            for (int part = 0; part < 10; part++) {
                journal_live(&journal, (uint32_t)sim_random_below(journal.machine, 20), 3000);
                sim_time_pass(journal.machine, US_PER_SECOND);
            }
            if (sim_chance(journal.machine, 50))
                journal_crash(&journal);
            else
                journal_close(&journal);
            sim_disk_refuse_changes(journal.machine, "data", "wal-", 0);
        }
        CHECK(journal_open(&journal));
        journal_close(&journal);
        journal_deinit(&journal);
    }
}

/* How the completions of the two blocks in flight come back. */
struct refusal {
    bool is_second_first; /* in which order */
    bool is_refused[2];   /* which of them */
    bool crashes;         /* before they are written again */
};

/* Collects the completions of both blocks, and reports them in the given order, as refused where it
 * says so: whatever part of a refused write reached the disk, here all of it, does not count. */
static void refusal_tell(struct journal *journal, const struct refusal *refusal)
{
    struct io_event written[2] = {{0}, {0}};
    uint32_t count = 0;
    while (count < 2) {
        struct io_event event;
        if (io_wait(journal->io, &event, 1, 1, 1000) == 0)
            continue;
        if (event.kind != IO_WRITTEN || event.user >= USER_WRITE + WAL_WRITES_MAX) {
            CHECK_EQUAL(wal_event(journal->wal, &event), 0);
            continue;
        }
        written[event.user - USER_WRITE - 1] = event;
        count++;
    }
    for (int i = 0; i < 2; i++) {
        int block = refusal->is_second_first ? 1 - i : i;
        if (refusal->is_refused[block])
            written[block].result = i == 0 ? -ENOSPC : -EDQUOT;
        CHECK_EQUAL(wal_event(journal->wal, &written[block]), 0);
    }
}

static void refusal_play(const struct refusal *refusal)
{
    struct journal journal;
    journal_init(&journal);
    journal.writes_max = 2;
    CHECK(journal_open(&journal));
    for (int block = 0; block < 2; block++) {
        CHECK(journal_append(&journal, 10) == WAL_ROOM);
        wal_submit(journal.wal);
    }
    refusal_tell(&journal, refusal);
    uint64_t durable = refusal->is_refused[0] ? 0 : refusal->is_refused[1] ? 10 : 20;
    bool is_refused = durable < 20;
    CHECK_EQUAL(wal_seq_durable(journal.wal), durable);
    CHECK_EQUAL(wal_is_refused(journal.wal), is_refused);
    CHECK_EQUAL(journal_append(&journal, 1), is_refused ? WAL_ROOM_FULL : WAL_ROOM);
    CHECK(!is_refused || !wal_awaits_event(journal.wal) || wal_wait_us(journal.wal) > 0);
    journal.seq_durable = durable;
    if (refusal->crashes) {
        journal_crash(&journal);
        CHECK(journal_open(&journal));
    }
    journal_close(&journal);
    CHECK(journal_open(&journal));
    CHECK(refusal->crashes || journal.seq_appended == (is_refused ? 20 : 21));
    journal_close(&journal);
    journal_deinit(&journal);
}

TEST(refused_blocks_are_written_again_and_become_durable_in_order)
{
    for (unsigned way = 0; way < 16; way++)
        refusal_play(&(struct refusal){.is_second_first = (way & 1) != 0,
                                       .is_refused = {(way & 2) != 0, (way & 4) != 0},
                                       .crashes = (way & 8) != 0});
}

TEST(log_on_storage_that_refuses_writes_keeps_what_it_told_durable_through_crashes)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct journal journal;
        journal_init(&journal);
        for (int life = 0; life < LIVES; life++) {
            CHECK(journal_open(&journal));
            /* Blocks, seals and notes alike. */
            sim_disk_refuse_writes(journal.machine, "data", "",
                                   (unsigned)sim_random_below(journal.machine, 60));
            journal_live(&journal, (uint32_t)sim_random_below(journal.machine, 60), 100);
            sim_disk_refuse_writes(journal.machine, "data", "", 0);
            if (sim_chance(journal.machine, 50))
                journal_crash(&journal);
            else
                journal_close(&journal);
        }
        CHECK(journal_open(&journal));
        journal_close(&journal);
        journal_deinit(&journal);
    }
}

/* Every block but the last is followed by one whose watermark proves that it was durable. */
TEST(log_damaged_at_rest_is_refused_and_not_cut)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct journal journal;
        struct wal_reader reader;
        journal_init(&journal);
        CHECK(journal_open(&journal));
        uint32_t block_count = 2 + (uint32_t)sim_random_below(journal.machine, 5);
        for (uint32_t block = 0; block < block_count; block++) {
            journal_append(&journal, 1 + (uint32_t)sim_random_below(journal.machine, 500));
            journal_settle(&journal);
        }
        CHECK_EQUAL(wal_reader_init(&reader, journal.disk), 0);
        uint64_t offset = 0;
        uint32_t damaged = (uint32_t)sim_random_below(journal.machine, block_count - 1);
        for (uint32_t block = 0; block <= damaged; block++) {
            offset += block == 0 ? 0 : reader.block.block_size;
            CHECK_EQUAL(wal_reader_next(&reader), WAL_READ_BLOCK);
        }
        sim_disk_flip(journal.machine, "data", "wal-0000000001.log",
                      offset + sim_random_below(journal.machine, reader.block.block_size),
                      (unsigned)sim_random_below(journal.machine, 8));
        wal_reader_deinit(&reader);
        CHECK_EQUAL(wal_reader_init(&reader, journal.disk), 0);
        enum wal_read read;
        uint32_t read_count = 0;
        while ((read = wal_reader_next(&reader)) == WAL_READ_BLOCK)
            read_count++;
        CHECK_EQUAL(read, WAL_READ_DAMAGE);
        CHECK_EQUAL(read_count, damaged);
        CHECK(reader.error[0] != '\0');
        wal_reader_deinit(&reader);
        journal_close(&journal);
        journal_deinit(&journal);
    }
}
