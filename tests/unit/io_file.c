/* The io_uring loop's writes, preparations, wake-ups and signals, and its refusals. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/limits.h"
#include "tests/test.h"

enum { PATIENCE_US = 10 * 1000 * 1000, FILE_SIZE = 1 << 20 };

static const struct io_options options = {
    .connections_max = 16, .buffer_size = 1024, .buffer_count = 16};

static struct io *io_open(void)
{
    char error[IO_ERROR_SIZE] = "";
    struct io *io = io_create(&options, error);
    if (io == NULL)
        test_fail(__FILE__, __LINE__, "%s", error);
    return io;
}

static struct io_event next_event(struct io *io)
{
    struct io_event event;
    CHECK_EQUAL(io_wait(io, &event, 1, 1, PATIENCE_US), 1);
    return event;
}

static struct disk *folder_open(struct io *io)
{
    struct disk *disk = NULL;
    CHECK_EQUAL(disk_open(&disk, test_folder(), DISK_WRITE), 0);
    io_prepare(io, disk, "file", FILE_SIZE, 5);
    struct io_event event = next_event(io);
    CHECK(event.kind == IO_PREPARED && event.user == 5 && event.result == 0);
    return disk;
}

TEST(io_writes_in_any_order_and_all_of_them)
{
    enum { BLOCKS = 64, ROUNDS = 4 };
    struct io *io = io_open();
    struct disk *disk = folder_open(io);
    int file = disk_file_open(disk, "file", true);
    uint8_t *bytes = aligned_alloc(WAL_ALIGN, BLOCKS * WAL_ALIGN);
    uint8_t *found = aligned_alloc(WAL_ALIGN, BLOCKS * WAL_ALIGN);
    CHECK(file >= 0 && bytes != NULL && found != NULL);
    for (int round = 0; round < ROUNDS; round++) {
        struct io_event events[IO_EVENTS_MAX];
        bool is_written[BLOCKS] = {false};
        for (int i = 0; i < BLOCKS * WAL_ALIGN; i++)
            bytes[i] = (uint8_t)test_random();
        for (uint32_t i = 0; i < BLOCKS; i++) {
            uint32_t block = i * 29 % BLOCKS; /* 29 is odd: each block once */
            io_write(io, disk, file, (uint64_t)block * WAL_ALIGN, bytes + block * WAL_ALIGN,
                     WAL_ALIGN, (1ULL << 55) + block);
        }
        for (int left = BLOCKS; left > 0;) {
            int count = io_wait(io, events, IO_EVENTS_MAX, 1, PATIENCE_US);
            CHECK(count > 0);
            for (int i = 0; i < count; i++) {
                uint64_t block = events[i].user - (1ULL << 55);
                CHECK(events[i].kind == IO_WRITTEN && events[i].result == 0);
                CHECK(block < BLOCKS && !is_written[block]);
                is_written[block] = true;
            }
            left -= count;
        }
        CHECK_EQUAL(disk_file_read(disk, file, 0, found, BLOCKS * WAL_ALIGN), BLOCKS * WAL_ALIGN);
        CHECK(memcmp(bytes, found, BLOCKS * WAL_ALIGN) == 0);
    }
    disk_file_close(disk, file);
    io_destroy(io);
    disk_close(disk);
    free(bytes);
    free(found);
}

TEST(io_write_tells_of_failure_and_why_a_write_was_short)
{
    struct io *io = io_open();
    struct disk *disk = folder_open(io);
    void *bytes = aligned_alloc(WAL_ALIGN, 2 * WAL_ALIGN);
    int readable = disk_file_open(disk, "file", false);
    int writable = disk_file_open(disk, "file", true);
    CHECK(bytes != NULL && readable >= 0 && writable >= 0);
    memset(bytes, 1, 2 * WAL_ALIGN);
    io_write(io, disk, readable, 0, bytes, WAL_ALIGN, 3);
    struct io_event event = next_event(io);
    CHECK(event.kind == IO_WRITTEN && event.user == 3);
    CHECK_EQUAL(event.result, -EBADF);

    /* A file size limit that lies in the middle of the write. */
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    struct rlimit low = {.rlim_cur = FILE_SIZE + WAL_ALIGN, .rlim_max = limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
    io_write(io, disk, writable, FILE_SIZE, bytes, 2 * WAL_ALIGN, 4);
    event = next_event(io);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    signal(SIGXFSZ, SIG_DFL);
    CHECK(event.kind == IO_WRITTEN && event.user == 4);
    CHECK_EQUAL(event.result, -EFBIG);

    disk_file_close(disk, readable);
    disk_file_close(disk, writable);
    io_destroy(io);
    disk_close(disk);
    free(bytes);
}

TEST(io_prepare_makes_a_file_of_zeros_and_tells_of_failure)
{
    struct io *io = io_open();
    struct disk *disk = folder_open(io);
    uint8_t *bytes = malloc(FILE_SIZE);
    int file = disk_file_open(disk, "file", false);
    CHECK(bytes != NULL && file >= 0);
    CHECK_EQUAL(disk_file_read(disk, file, 0, bytes, FILE_SIZE), FILE_SIZE);
    for (int i = 0; i < FILE_SIZE; i++)
        CHECK(bytes[i] == 0);
    for (uint64_t user = 10; user < 13; user++) {
        io_prepare(io, disk, "file", FILE_SIZE, user);
        struct io_event event = next_event(io);
        CHECK(event.kind == IO_PREPARED && event.user == user);
        CHECK_EQUAL(event.result, -EEXIST);
    }
    disk_file_close(disk, file);
    io_destroy(io);
    disk_close(disk);
    free(bytes);
}

TEST(io_destroy_waits_for_a_preparation_under_way)
{
    struct io *io = io_open();
    struct disk *disk = folder_open(io);
    io_prepare(io, disk, "other", FILE_SIZE, 1);
    io_destroy(io);
    disk_close(disk);
}

static void *wake(void *io)
{
    io_wake(io);
    return NULL;
}

TEST(io_wake_from_another_thread_ends_a_wait)
{
    struct io *io = io_open();
    struct io_event events[8];
    pthread_t thread;
    for (uint32_t wait_events = 1; wait_events <= 8; wait_events++) {
        CHECK(pthread_create(&thread, NULL, wake, io) == 0);
        CHECK_EQUAL(io_wait(io, events, 8, wait_events, UINT64_MAX), 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    CHECK_EQUAL(io_wait(io, events, 8, 8, 1000), 0);
    CHECK_EQUAL(io_wait(io, events, 8, 0, UINT64_MAX), 0);
    CHECK_EQUAL(io_wait(io, events, 8, 1, 0), 0);
    io_destroy(io);
}

TEST(io_a_signal_to_stop_is_an_event_and_nothing_more)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGTERM};
    sigset_t before;
    sigset_t after;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &before) == 0);
    struct io *io = io_open();
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        CHECK(kill(getpid(), signals[i]) == 0);
        struct io_event event = next_event(io);
        CHECK(event.kind == IO_STOP && event.result == signals[i]);
    }
    io_destroy(io);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0);
    CHECK_EQUAL(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

TEST(io_describes_itself_in_one_line)
{
    struct io *io = io_open();
    CHECK(strstr(io_describe(io), "io_uring") != NULL && strchr(io_describe(io), '\n') == NULL);
    io_destroy(io);
}

TEST(io_tells_the_wall_clock_and_the_time_since_the_boot_that_it_names)
{
    struct io *io = io_open();
    struct io *other = io_open();
    uint64_t boot_us = clock_read_us(CLOCK_BOOTTIME);
    CHECK(io_time_us(io) >= boot_us && io_time_us(io) < boot_us + 3600 * US_PER_SECOND);
    CHECK(io_wall_us(io) > 1600000000ULL * US_PER_SECOND);
    CHECK(!id_is_zero(io_boot_id(io)) && id_equal(io_boot_id(io), io_boot_id(other)));
    io_destroy(other);
    io_destroy(io);
}

/* Makes a system call fail for the rest of this process, as a container's filter does. */
static bool refuse_system_call(uint32_t number, uint32_t error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0 /* offset of the number in struct seccomp_data */),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The error message of io_create in a process in which that system call fails. */
static void refused_message(uint32_t number, uint32_t error, char message[IO_ERROR_SIZE])
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char text[IO_ERROR_SIZE] = "the filter could not be set";
        if (refuse_system_call(number, error) && io_create(&options, text) != NULL)
            strcpy(text, "io_create succeeded");
        ssize_t size = write(ends[1], text, sizeof text);
        _exit(size == sizeof text ? 0 : 1);
    }
    close(ends[1]);
    ssize_t size = read(ends[0], message, IO_ERROR_SIZE);
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_EQUAL(size, IO_ERROR_SIZE);
}

TEST(io_a_refused_io_uring_is_explained)
{
    static const struct {
        uint32_t number;
        uint32_t error;
        const char *names[3];
    } cases[] = {
        {SYS_io_uring_setup, EPERM, {"io_uring_setup:", "io_uring_disabled", "seccomp"}},
        {SYS_io_uring_setup, ENOSYS, {"io_uring_setup:", "6.1", "kernel"}},
        {SYS_io_uring_setup, EINVAL, {"io_uring_setup:", "6.1", "kernel"}},
        {SYS_io_uring_setup, ENOMEM, {"io_uring_setup:", "ulimit -l", "memlock"}},
        {SYS_io_uring_setup, EMFILE, {"io_uring_setup:", "Too many open files", ""}},
        {SYS_io_uring_register, EPERM, {"", "io_uring_disabled", "seccomp"}},
        {SYS_signalfd4, EMFILE, {"setting up", "Too many open files", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[IO_ERROR_SIZE];
        refused_message(cases[i].number, cases[i].error, message);
        for (int k = 0; k < 3; k++) {
            if (strstr(message, cases[i].names[k]) == NULL)
                test_fail(__FILE__, __LINE__, "case %zu lacks '%s': %s", i, cases[i].names[k],
                          message);
        }
    }
}
