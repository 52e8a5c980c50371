/* The simulation itself: what a crash keeps, what the network does to a stream, and that the same
 * seed gives the same run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/io.h"
#include "base/limits.h"
#include "tests/sim/sim.h"
#include "tests/test.h"

enum { ROUNDS = 60, LISTENER = 1, ECHOES_MAX = 8, STREAM_SIZE = 3000, PAGES = 64, WRITES = 6 };

static struct io *io_open(void)
{
    char error[IO_ERROR_SIZE];
    struct io_options options = {.connections_max = 64, .buffer_size = 256, .buffer_count = 4};
    return io_create(&options, error);
}

/* A server that sends back what it receives, a connection at a time in each slot; slot n has the
 * user 10 + n. */
struct echo {
    uint8_t bytes[STREAM_SIZE];
    size_t received;
    size_t sent;
    int fd;
    bool ended;
    bool sending;
    bool closed;
};

struct echo_server {
    struct io *io;
    struct echo echoes[ECHOES_MAX];
    uint32_t count;
    uint64_t digest; /* of all events and times */
};

static void echo_event(struct echo_server *server, const struct io_event *event)
{
    if (event->kind == IO_ACCEPTED) {
        CHECK_EQUAL(event->user, LISTENER);
        if (event->result < 0)
            return;
        server->echoes[server->count].fd = event->result;
        io_receive(server->io, event->result, 10 + server->count);
        server->count++;
        return;
    }
    struct echo *echo = &server->echoes[event->user - 10];
    if (event->kind == IO_RECEIVED && event->result > 0) {
        CHECK((uintptr_t)event->bytes % 64 == 0);
        memset(event->bytes - 64, 0xee, 64);
        memcpy(echo->bytes + echo->received, event->bytes, (size_t)event->result);
        echo->received += (size_t)event->result;
        io_buffer_release(server->io, event->buffer);
        if (echo->fd >= 0)
            io_receive(server->io, echo->fd, event->user);
    } else if (event->kind == IO_RECEIVED) {
        echo->ended = true;
    } else if (event->kind == IO_SENT) {
        CHECK(event->result > 0);
        echo->sent += (size_t)event->result;
        echo->sending = false;
    } else {
        CHECK_EQUAL(event->kind, IO_CLOSED);
        echo->closed = true;
    }
}

static void echo_turn(struct echo_server *server)
{
    struct io_event events[8];
    int count = io_wait(server->io, events, 8, 1, 1000);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        server->digest = mix64(server->digest, events[i].user << 8 | events[i].kind);
        server->digest = mix64(server->digest, (uint64_t)events[i].result);
        echo_event(server, &events[i]);
    }
    server->digest = mix64(server->digest, io_time_us(server->io));
    for (uint32_t i = 0; i < server->count; i++) {
        struct echo *echo = &server->echoes[i];
        if (echo->sending || echo->fd < 0)
            continue;
        if (echo->sent < echo->received) {
            io_send(server->io, echo->fd, 10 + i, echo->bytes + echo->sent,
                    echo->received - echo->sent);
            echo->sending = true;
        } else if (echo->ended) {
            io_close(server->io, echo->fd, 10 + i);
            echo->fd = -1;
        }
    }
}

/* All clients send a stream, read it back at random times and find it unchanged. */
static uint64_t echo_round(uint64_t seed)
{
    struct sim_machine *machine = sim_machine_create(seed);
    struct echo_server *server = calloc(1, sizeof *server);
    server->io = io_open();
    CHECK(io_listen(server->io, "127.0.0.1:0", LISTENER) > 0);
    struct sim_client *clients[ECHOES_MAX];
    uint8_t streams[ECHOES_MAX][STREAM_SIZE];
    size_t received[ECHOES_MAX] = {0};
    uint32_t open_count = ECHOES_MAX;
    for (uint32_t i = 0; i < ECHOES_MAX; i++) {
        clients[i] = sim_connect(machine);
        for (size_t at = 0; at < STREAM_SIZE; at++)
            streams[i][at] = (uint8_t)sim_random(machine);
        sim_client_send(clients[i], streams[i], STREAM_SIZE);
        sim_client_finish(clients[i]);
    }
    while (open_count > 0) {
        echo_turn(server);
        uint32_t i = (uint32_t)sim_random_below(machine, ECHOES_MAX);
        if (clients[i] == NULL)
            continue;
        uint8_t bytes[1000];
        int64_t size = sim_client_receive(clients[i], bytes, 1 + sim_random_below(machine, 1000));
        if (size >= 0) {
            CHECK(received[i] + (size_t)size <= STREAM_SIZE);
            CHECK(memcmp(streams[i] + received[i], bytes, (size_t)size) == 0);
            received[i] += (size_t)size;
            continue;
        }
        CHECK_EQUAL(size, -ENOTCONN);
        CHECK_EQUAL(received[i], STREAM_SIZE);
        sim_client_free(clients[i]);
        clients[i] = NULL;
        open_count--;
    }
    uint64_t digest = server->digest;
    for (uint32_t i = 0; i < ECHOES_MAX; i++)
        CHECK(server->echoes[i].closed);
    io_destroy(server->io);
    free(server);
    sim_machine_destroy(machine);
    return digest;
}

TEST(simulated_streams_arrive_whole_and_in_order)
{
    for (int round = 0; round < ROUNDS; round++)
        echo_round(test_random());
}

TEST(same_seed_gives_the_same_run)
{
    for (int round = 0; round < 5; round++) {
        uint64_t seed = test_random();
        uint64_t digest = echo_round(seed);
        CHECK_EQUAL(echo_round(seed), digest);
        CHECK(echo_round(seed + 1) != digest);
    }
}

static struct disk *folder_open(const char *path)
{
    struct disk *disk = NULL;
    CHECK_EQUAL(disk_open(&disk, path, DISK_WRITE), 0);
    return disk;
}

static struct disk *disk_open_new(void)
{
    return folder_open("data");
}

static uint8_t *pages_alloc(size_t count)
{
    void *pages = NULL;
    CHECK_EQUAL(posix_memalign(&pages, WAL_ALIGN, count * WAL_ALIGN), 0);
    return pages;
}

/* Each write fills two pages with its number; sectors of a page then hold that number or 0. */
static void check_torn(const uint8_t *page, uint8_t number, bool is_whole)
{
    for (size_t at = 0; at < WAL_ALIGN; at++) {
        if (is_whole)
            CHECK_EQUAL(page[at], number);
        else
            CHECK(page[at] == number || page[at] == 0);
    }
}

TEST(crash_keeps_completed_writes_and_tears_only_those_under_way)
{
    uint8_t *pages = pages_alloc(2 * WRITES);
    uint8_t *found = pages_alloc(PAGES);
    for (int round = 0; round < ROUNDS; round++) {
        struct sim_machine *machine = sim_machine_create(test_random());
        struct disk *disk = disk_open_new();
        struct io *io = io_open();
        CHECK_EQUAL(disk_create_zeroed(disk, "log", PAGES * WAL_ALIGN), 0);
        int file = disk_file_open(disk, "log", true);
        for (uint32_t i = 0; i < WRITES; i++) {
            memset(pages + 2 * i * WAL_ALIGN, (int)i + 1, 2 * WAL_ALIGN);
            io_write(io, disk, file, 4 * i * WAL_ALIGN, pages + 2 * i * WAL_ALIGN, 2 * WAL_ALIGN,
                     i);
        }
        bool done[WRITES] = {false};
        struct io_event events[WRITES];
        int count = io_wait(io, events, WRITES, 0, sim_random_below(machine, 500));
        for (int i = 0; i < count; i++) {
            CHECK_EQUAL(events[i].kind, IO_WRITTEN);
            CHECK_EQUAL(events[i].result, 0);
            done[events[i].user] = true;
        }
        sim_crash(machine);
        io_destroy(io);
        disk_close(disk);
        disk = disk_open_new();
        file = disk_file_open(disk, "log", true);
        CHECK_EQUAL(disk_file_read(disk, file, 0, found, PAGES * WAL_ALIGN), PAGES * WAL_ALIGN);
        for (uint32_t page = 0; page < PAGES; page++) {
            bool is_written = page / 4 < WRITES && page % 4 < 2;
            check_torn(found + page * WAL_ALIGN, is_written ? (uint8_t)(page / 4 + 1) : 0,
                       !is_written || done[page / 4]);
        }
        disk_close(disk);
        sim_machine_destroy(machine);
    }
    free(pages);
    free(found);
}

TEST(prepared_file_is_whole_or_absent_after_a_crash)
{
    unsigned whole_count = 0;
    unsigned absent_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct sim_machine *machine = sim_machine_create(test_random());
        struct disk *disk = disk_open_new();
        struct io *io = io_open();
        struct io_event event;
        io_prepare(io, disk, "next", PAGES * WAL_ALIGN, 7);
        int count = io_wait(io, &event, 1, 0, 0);
        sim_crash(machine);
        io_destroy(io);
        disk_close(disk);
        disk = disk_open_new();
        struct disk_entry entry;
        int file_count = disk_list(disk, &entry, 1);
        CHECK(file_count == 1 || count == 0);
        if (file_count == 1) {
            CHECK_EQUAL(entry.size_bytes, PAGES * WAL_ALIGN);
            CHECK_EQUAL(disk_create_zeroed(disk, "next", WAL_ALIGN), -EEXIST);
            whole_count++;
        } else {
            absent_count++;
        }
        disk_close(disk);
        sim_machine_destroy(machine);
    }
    CHECK(whole_count > 0 && absent_count > 0);
}

TEST(crash_releases_the_lock_of_the_disk)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *disk = NULL;
    struct disk *other = NULL;
    CHECK_EQUAL(disk_open(&other, "data", DISK_READ), -ENOENT);
    disk = disk_open_new();
    CHECK_EQUAL(disk_open(&other, "data", DISK_WRITE), -EWOULDBLOCK);
    CHECK_EQUAL(disk_open(&other, "data", DISK_READ), 0);
    disk_close(other);
    sim_crash(machine);
    disk_close(disk);
    disk_close(disk_open_new());
    sim_machine_destroy(machine);
}

TEST(full_disk_refuses_files_and_a_failed_write_is_told)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *disk = disk_open_new();
    struct io *io = io_open();
    struct io_event event;
    uint8_t *page = pages_alloc(1);
    memset(page, 1, WAL_ALIGN);
    sim_disk_fill(machine, "data", true);
    CHECK_EQUAL(disk_create_zeroed(disk, "a", WAL_ALIGN), -ENOSPC);
    io_prepare(io, disk, "a", WAL_ALIGN, 7);
    CHECK_EQUAL(io_wait(io, &event, 1, 1, UINT64_MAX), 1);
    CHECK_EQUAL(event.result, -ENOSPC);
    sim_disk_fill(machine, "data", false);
    CHECK_EQUAL(disk_create_zeroed(disk, "a", WAL_ALIGN), 0);
    CHECK_EQUAL(disk_rename(disk, "a", "b"), 0);
    CHECK_EQUAL(disk_rename(disk, "a", "b"), -ENOENT);
    int file = disk_file_open(disk, "b", true);
    sim_disk_fail_write(machine, "data", "", 2);
    for (int i = 0; i < 3; i++) {
        io_write(io, disk, file, 0, page, WAL_ALIGN, 7);
        CHECK_EQUAL(io_wait(io, &event, 1, 1, UINT64_MAX), 1);
        CHECK_EQUAL(event.result, i == 1 ? -EIO : 0);
    }
    CHECK_EQUAL(disk_remove(disk, "b"), 0);
    CHECK_EQUAL(disk_list(disk, NULL, 0), 0);
    free(page);
    io_destroy(io);
    disk_close(disk);
    sim_machine_destroy(machine);
}

TEST(ordered_crash_cuts_a_blocking_change_and_all_that_follow)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *disk = disk_open_new();
    sim_disk_crash_at(machine, 2);
    CHECK_EQUAL(disk_create_zeroed(disk, "a", WAL_ALIGN), 0);
    CHECK_EQUAL(disk_rename(disk, "a", "b"), -EIO);
    CHECK_EQUAL(disk_create_zeroed(disk, "c", WAL_ALIGN), -EIO);
    sim_crash(machine);
    disk_close(disk);
    disk = disk_open_new();
    struct disk_entry entry;
    CHECK_EQUAL(disk_list(disk, &entry, 1), 1);
    CHECK(strcmp(entry.name, "a") == 0 || strcmp(entry.name, "b") == 0);
    disk_close(disk);
    sim_machine_destroy(machine);
}

/* Checks that every byte of the file is the number. */
static void check_file(struct disk *disk, const char *name, uint32_t page_count, uint8_t number)
{
    uint8_t *found = pages_alloc(page_count + 1);
    int file = disk_file_open(disk, name, false);
    CHECK(file >= 0);
    CHECK_EQUAL(disk_file_read(disk, file, 0, found, (page_count + 1) * WAL_ALIGN),
                page_count * WAL_ALIGN);
    for (size_t at = 0; at < page_count * WAL_ALIGN; at++)
        CHECK_EQUAL(found[at], number);
    disk_file_close(disk, file);
    free(found);
}

static void io_write_whole(struct io *io, struct disk *disk, int file, uint64_t offset,
                           const uint8_t *page, int32_t result)
{
    struct io_event event;
    io_write(io, disk, file, offset, page, WAL_ALIGN, 7);
    CHECK_EQUAL(io_wait(io, &event, 1, 1, UINT64_MAX), 1);
    CHECK_EQUAL(event.kind, IO_WRITTEN);
    CHECK_EQUAL(event.result, result);
}

TEST(same_name_in_two_folders_is_two_files)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *disks[2] = {folder_open("data"), folder_open("archive")};
    struct io *io = io_open();
    struct io_event event;
    uint8_t *page = pages_alloc(1);
    CHECK_EQUAL(disk_create_zeroed(disks[0], "log", WAL_ALIGN), 0);
    CHECK_EQUAL(disk_list(disks[1], NULL, 0), 0);
    io_prepare(io, disks[1], "log", WAL_ALIGN, 7);
    CHECK_EQUAL(io_wait(io, &event, 1, 1, UINT64_MAX), 1);
    CHECK_EQUAL(event.result, 0);
    for (int i = 0; i < 2; i++) {
        int file = disk_file_open(disks[i], "log", true);
        memset(page, i + 1, WAL_ALIGN);
        io_write_whole(io, disks[i], file, 0, page, 0);
        disk_file_close(disks[i], file);
    }
    check_file(disks[0], "log", 1, 1);
    check_file(disks[1], "log", 1, 2);
    CHECK_EQUAL(strcmp(disk_path(disks[1]), "archive"), 0);
    CHECK_EQUAL(disk_rename(disks[0], "log", "old"), 0);
    CHECK_EQUAL(disk_remove(disks[0], "old"), 0);
    CHECK_EQUAL(disk_list(disks[0], NULL, 0), 0);
    check_file(disks[1], "log", 1, 2);
    free(page);
    io_destroy(io);
    disk_close(disks[0]);
    disk_close(disks[1]);
    sim_machine_destroy(machine);
}

TEST(tidying_a_folder_removes_the_partial_files_of_no_other)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *data = folder_open("data");
    struct disk *archive = folder_open("archive");
    CHECK(disk_partial_create(data, "log") >= 0);
    CHECK(disk_partial_create(archive, "log") >= 0);
    disk_close(data);
    data = folder_open("data");
    CHECK_EQUAL(disk_list(data, NULL, 0), 1);
    CHECK_EQUAL(disk_tidy(data), 0);
    CHECK_EQUAL(disk_list(data, NULL, 0), 0);
    CHECK_EQUAL(disk_list(archive, NULL, 0), 1);
    disk_close(data);
    disk_close(archive);
    sim_machine_destroy(machine);
}

TEST(each_folder_has_a_lock_of_its_own)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *data = folder_open("data");
    struct disk *other = NULL;
    CHECK_EQUAL(disk_open(&other, "archive", DISK_READ), -ENOENT);
    struct disk *archive = folder_open("archive");
    CHECK_EQUAL(disk_open(&other, "data", DISK_WRITE), -EWOULDBLOCK);
    CHECK_EQUAL(disk_open(&other, "archive", DISK_WRITE), -EWOULDBLOCK);
    disk_close(data);
    CHECK_EQUAL(disk_open(&other, "archive", DISK_WRITE), -EWOULDBLOCK);
    data = folder_open("data");
    sim_crash(machine);
    disk_close(data);
    disk_close(archive);
    disk_close(folder_open("data"));
    disk_close(folder_open("archive"));
    sim_machine_destroy(machine);
}

TEST(crash_tears_what_is_under_way_in_every_folder)
{
    static const char *const paths[] = {"data", "archive"};
    unsigned lost_count[2] = {0};
    uint8_t *page = pages_alloc(1);
    uint8_t *found = pages_alloc(1);
    memset(page, 1, WAL_ALIGN);
    for (int round = 0; round < ROUNDS; round++) {
        struct sim_machine *machine = sim_machine_create(test_random());
        struct disk *disks[2];
        struct io *io = io_open();
        for (int i = 0; i < 2; i++) {
            disks[i] = folder_open(paths[i]);
            CHECK_EQUAL(disk_create_zeroed(disks[i], "log", WAL_ALIGN), 0);
            int file = disk_file_open(disks[i], "log", true);
            io_write(io, disks[i], file, 0, page, WAL_ALIGN, 7);
        }
        sim_crash(machine);
        io_destroy(io);
        for (int i = 0; i < 2; i++) {
            CHECK_EQUAL(disk_create_zeroed(disks[i], "late", WAL_ALIGN), -EIO);
            disk_close(disks[i]);
            disks[i] = folder_open(paths[i]);
            CHECK_EQUAL(disk_list(disks[i], NULL, 0), 1);
            int file = disk_file_open(disks[i], "log", true);
            CHECK_EQUAL(disk_file_read(disks[i], file, 0, found, WAL_ALIGN), WAL_ALIGN);
            check_torn(found, 1, false);
            lost_count[i] += memcmp(found, page, WAL_ALIGN) != 0;
            disk_close(disks[i]);
        }
        sim_machine_destroy(machine);
    }
    CHECK(lost_count[0] > 0 && lost_count[0] < ROUNDS);
    CHECK(lost_count[1] > 0 && lost_count[1] < ROUNDS);
    free(page);
    free(found);
}

TEST(ordered_crash_in_one_folder_cuts_the_other_too)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *data = folder_open("data");
    struct disk *archive = folder_open("archive");
    struct io *io = io_open();
    struct io_event event;
    sim_disk_crash_at(machine, 2);
    CHECK_EQUAL(disk_create_zeroed(data, "a", WAL_ALIGN), 0);
    CHECK_EQUAL(disk_rename(data, "a", "b"), -EIO);
    CHECK_EQUAL(disk_create_zeroed(archive, "a", WAL_ALIGN), -EIO);
    io_prepare(io, archive, "a", WAL_ALIGN, 7);
    CHECK_EQUAL(io_wait(io, &event, 1, 1, UINT64_MAX), 1);
    CHECK_EQUAL(event.result, -EIO);
    sim_crash(machine);
    io_destroy(io);
    disk_close(data);
    disk_close(archive);
    archive = folder_open("archive");
    CHECK_EQUAL(disk_list(archive, NULL, 0), 0);
    disk_close(archive);
    sim_machine_destroy(machine);
}

TEST(fault_ordered_for_one_folder_spares_the_other)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *data = folder_open("data");
    struct disk *archive = folder_open("archive");
    uint8_t *page = pages_alloc(1);
    memset(page, 1, WAL_ALIGN);
    sim_disk_fill(machine, "archive", true);
    CHECK_EQUAL(disk_create_zeroed(archive, "log", WAL_ALIGN), -ENOSPC);
    CHECK_EQUAL(disk_create_zeroed(data, "log", WAL_ALIGN), 0);
    sim_disk_fill(machine, "archive", false);
    CHECK_EQUAL(disk_create_zeroed(archive, "log", WAL_ALIGN), 0);
    int data_file = disk_file_open(data, "log", true);
    int archive_file = disk_file_open(archive, "log", true);
    sim_disk_fail_write(machine, "archive", "log", 1);
    CHECK_EQUAL(disk_file_write(data, data_file, 0, page, WAL_ALIGN), 0);
    CHECK_EQUAL(disk_file_write(archive, archive_file, 0, page, WAL_ALIGN), -EIO);
    CHECK_EQUAL(disk_file_write(archive, archive_file, 0, page, WAL_ALIGN), 0);
    sim_disk_flip(machine, "archive", "log", 5, 0);
    check_file(data, "log", 1, 1);
    CHECK_EQUAL(disk_file_read(archive, archive_file, 0, page, WAL_ALIGN), WAL_ALIGN);
    CHECK(page[4] == 1 && page[5] == 0);
    free(page);
    disk_close(data);
    disk_close(archive);
    sim_machine_destroy(machine);
}

static uint64_t only_size(struct disk *disk)
{
    struct disk_entry entry;
    CHECK_EQUAL(disk_list(disk, &entry, 1), 1);
    return entry.size_bytes;
}

TEST(partial_file_grows_with_what_is_written_until_its_folder_is_full)
{
    enum { REFUSED = 100 }; /* more than the writes that may be in flight */
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *data = folder_open("data");
    struct disk *archive = folder_open("archive");
    struct io *io = io_open();
    uint8_t *page = pages_alloc(1);
    memset(page, 1, WAL_ALIGN);
    int data_file = disk_partial_create(data, "log");
    int archive_file = disk_partial_create(archive, "log");
    io_write_whole(io, archive, archive_file, 0, page, 0);
    sim_disk_fill(machine, "archive", true);
    CHECK_EQUAL(disk_partial_create(archive, "next"), -ENOSPC);
    CHECK_EQUAL(disk_file_write(archive, archive_file, WAL_ALIGN, page, WAL_ALIGN), -ENOSPC);
    for (int i = 0; i < REFUSED; i++)
        io_write_whole(io, archive, archive_file, WAL_ALIGN, page, -ENOSPC);
    CHECK_EQUAL(only_size(archive), WAL_ALIGN);
    CHECK_EQUAL(disk_file_write(archive, archive_file, 0, page, WAL_ALIGN), 0);
    io_write_whole(io, archive, archive_file, 0, page, 0);
    io_write_whole(io, data, data_file, 0, page, 0);
    CHECK_EQUAL(disk_file_write(data, data_file, WAL_ALIGN, page, WAL_ALIGN), 0);
    sim_disk_fill(machine, "archive", false);
    CHECK_EQUAL(disk_file_write(archive, archive_file, WAL_ALIGN, page, WAL_ALIGN), 0);
    CHECK_EQUAL(disk_partial_publish(data, data_file, "log", "log"), 0);
    CHECK_EQUAL(disk_partial_publish(archive, archive_file, "log", "log"), 0);
    check_file(data, "log", 2, 1);
    check_file(archive, "log", 2, 1);
    free(page);
    io_destroy(io);
    disk_close(data);
    disk_close(archive);
    sim_machine_destroy(machine);
}

TEST(hole_of_a_partial_file_needs_room_too)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct disk *disk = disk_open_new();
    uint8_t *page = pages_alloc(1);
    memset(page, 1, WAL_ALIGN);
    int file = disk_partial_create(disk, "log");
    CHECK_EQUAL(disk_file_write(disk, file, WAL_ALIGN, page, WAL_ALIGN), 0);
    CHECK_EQUAL(only_size(disk), 2 * WAL_ALIGN);
    sim_disk_fill(machine, "data", true);
    CHECK_EQUAL(disk_file_write(disk, file, 0, page, WAL_ALIGN), -ENOSPC);
    CHECK_EQUAL(disk_file_write(disk, file, WAL_ALIGN, page, WAL_ALIGN), 0);
    free(page);
    disk_close(disk);
    sim_machine_destroy(machine);
}

TEST(wall_clock_steps_back_while_time_goes_on)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct io *io = io_open();
    struct io_event event;
    uint64_t wall_us = io_wall_us(io);
    uint64_t time_us = io_time_us(io);
    sim_clock_step(machine, -1000000);
    CHECK_EQUAL(io_wait(io, &event, 1, 1, 500), 0);
    CHECK(io_wall_us(io) < wall_us);
    CHECK(io_time_us(io) >= time_us + 500);
    io_destroy(io);
    sim_machine_destroy(machine);
}

TEST(crash_begins_time_anew_under_another_name)
{
    struct sim_machine *machine = sim_machine_create(test_random());
    struct io *io = io_open();
    struct id boot = io_boot_id(io);
    CHECK(!id_is_zero(boot) && id_equal(io_boot_id(io), boot));
    sim_time_pass(machine, 1000000);
    uint64_t time_us = io_time_us(io);
    uint64_t wall_us = io_wall_us(io);
    sim_crash(machine);
    io_destroy(io);
    io = io_open();
    CHECK(io_time_us(io) < time_us);
    CHECK(io_wall_us(io) >= wall_us);
    CHECK(!id_equal(io_boot_id(io), boot));
    io_destroy(io);
    sim_machine_destroy(machine);
}
