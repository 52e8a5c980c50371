/* Setting up the ring: the flags that this kernel knows, the features that till needs, the receive
 * buffers; and when the kernel refuses, the reason and the remedy in one sentence.
 *
 * What can fail: everything, for reasons outside of till (sysctl, seccomp, an old kernel, limits).
 * The first refusal ends the start: there is no slower fallback that nobody would notice, except
 * for the flags in ring_modes, which only cost some speed; io_describe tells which are in use. */
#include "net/io_uring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

enum {
    SUBMISSIONS = 1024, /* entries of the submission queue; a full one is submitted early */
    COMPLETIONS_MIN = 4096,
    COMPLETIONS_MAX = 16384, /* if more come, the kernel keeps them (IORING_FEAT_NODROP) */
    WORKERS_MAX = 8,         /* threads that io_uring may start for work that blocks */
};

/* Best first; the first that the kernel knows is used. IORING_SETUP_NO_SQARRAY is not among them:
 * liburing 2.3 does not know it and would corrupt the queue. */
static const struct {
    unsigned flags;
    const char *name;
} ring_modes[] = {
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, "deferred task work"},
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, "cooperative task work"},
    {0, "plain"},
};

enum { RING_MODES_COUNT = sizeof ring_modes / sizeof ring_modes[0] };

static int sysctl_disabled(void)
{
    int value = -1; /* kernels before 6.6 have no such sysctl */
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &value) != 1)
            value = -1;
        fclose(file);
    }
    return value;
}

static void explain_not_permitted(const char *step, char error[IO_ERROR_SIZE])
{
    int disabled = sysctl_disabled();
    if (disabled == 2)
        snprintf(error, IO_ERROR_SIZE,
                 "%s: io_uring is switched off on this machine (sysctl kernel.io_uring_disabled "
                 "is 2); switch it on with: sysctl -w kernel.io_uring_disabled=0",
                 step);
    else if (disabled == 1)
        snprintf(error, IO_ERROR_SIZE,
                 "%s: io_uring is allowed to privileged processes only (sysctl "
                 "kernel.io_uring_disabled is 1); allow it with: sysctl -w "
                 "kernel.io_uring_disabled=0, or put till's group into kernel.io_uring_group",
                 step);
    else
        snprintf(error, IO_ERROR_SIZE,
                 "%s: not permitted, though no sysctl forbids it (kernel.io_uring_disabled is %s): "
                 "a seccomp filter does, as containers have by default. Docker: --security-opt "
                 "seccomp=FILE with a profile that allows io_uring_setup, io_uring_enter and "
                 "io_uring_register (or seccomp=unconfined); systemd: SystemCallFilter=@io_uring "
                 "or io_uring_setup io_uring_enter io_uring_register",
                 step, disabled == 0 ? "0" : "not there");
}

static void explain_too_old(const char *step, int result, char error[IO_ERROR_SIZE])
{
    struct utsname system;
    if (uname(&system) != 0)
        strcpy(system.release, "unknown");
    snprintf(error, IO_ERROR_SIZE,
             "%s: %s: this kernel (%s) is too old, or built without io_uring, or a sandbox hides "
             "it; till needs Linux 6.1 or newer",
             step, strerror(-result), system.release);
}

/* Says why the kernel refused a step of setting io_uring up, and what helps. */
static void explain(int result, const char *step, char error[IO_ERROR_SIZE])
{
    switch (-result) {
    case EPERM:
    case EACCES:
        explain_not_permitted(step, error);
        break;
    case ENOSYS:
    case EINVAL:
    case EOPNOTSUPP:
        explain_too_old(step, result, error);
        break;
    case ENOMEM:
        snprintf(error, IO_ERROR_SIZE,
                 "%s: no memory that may be locked; raise the limit: ulimit -l unlimited (docker "
                 "--ulimit memlock=-1, systemd LimitMEMLOCK=infinity), or ask for fewer buffers",
                 step);
        break;
    default:
        snprintf(error, IO_ERROR_SIZE, "%s: %s", step, strerror(-result));
    }
}

static uint32_t completions_for(const struct io_options *options)
{
    uint64_t wanted = 2ULL * options->connections_max + options->buffer_count;
    uint32_t count = COMPLETIONS_MIN;
    while (count < wanted && count < COMPLETIONS_MAX)
        count *= 2;
    return count;
}

/* Buffer rings and IORING_RECVSEND_POLL_FIRST came with kernel 5.19, but a probe does not show
 * them. It shows SEND_ZC, which came with the release after that. */
static int features_check(struct io *io)
{
    enum { FEATURES = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP };
    if ((io->ring.features & FEATURES) != FEATURES)
        return -EOPNOTSUPP;
    struct io_uring_probe *probe =
        calloc(1, sizeof *probe + IORING_OP_LAST * sizeof(struct io_uring_probe_op));
    if (probe == NULL)
        return -ENOMEM;
    int result = io_uring_register_probe(&io->ring, probe, IORING_OP_LAST);
    if (result == 0 && !io_uring_opcode_supported(probe, IORING_OP_SEND_ZC))
        result = -EOPNOTSUPP;
    free(probe);
    return result;
}

static int ring_open(struct io *io, const struct io_options *options, const char **mode)
{
    int result = -EINVAL;
    for (uint32_t i = 0; i < RING_MODES_COUNT && result == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | ring_modes[i].flags,
            .cq_entries = completions_for(options),
        };
        result = io_uring_queue_init_params(SUBMISSIONS, &io->ring, &params);
        *mode = ring_modes[i].name;
    }
    io->has_ring = result == 0;
    return result;
}

/* Raises the soft limit of file descriptors, often 1024, to what the connections need. */
static void raise_file_limit(const struct io *io)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= io->connections_count)
        return;
    limit.rlim_cur =
        limit.rlim_max < io->connections_count ? limit.rlim_max : io->connections_count;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* if it stays too low, accepting fails with -EMFILE */
}

int io_ring_init(struct io *io, const struct io_options *options, char error[IO_ERROR_SIZE])
{
    const char *mode = NULL;
    const char *step = "io_uring_setup";
    int result = ring_open(io, options, &mode);
    if (result == 0) {
        step = "probing io_uring";
        result = features_check(io);
    }
    if (result == 0) {
        struct io_uring_buf_reg buffers = {
            .ring_addr = (uint64_t)(uintptr_t)io->buffers.ring,
            .ring_entries = io->buffers.count,
        };
        step = "registering receive buffers";
        result = io_uring_register_buf_ring(&io->ring, &buffers, 0);
    }
    if (result != 0) {
        explain(result, step, error);
        return result;
    }
    /* Both are optional: the loop works without them. */
    bool is_registered = io_uring_register_ring_fd(&io->ring) == 1;
    io->enter_flags = IORING_ENTER_GETEVENTS | (is_registered ? IORING_ENTER_REGISTERED_RING : 0);
    unsigned workers[2] = {WORKERS_MAX, WORKERS_MAX};
    (void)io_uring_register_iowq_max_workers(&io->ring, workers);
    raise_file_limit(io);

    struct utsname system;
    if (uname(&system) != 0)
        strcpy(system.release, "unknown");
    snprintf(io->description, sizeof io->description,
             "io_uring on Linux %.40s: %s, %s ring, %u receive buffers of %u bytes", system.release,
             mode, is_registered ? "registered" : "unregistered", io->buffers.count,
             io->buffers.size_bytes);
    return 0;
}

/* Cancels all operations and waits until they have ended, so that the memory they use may be freed
 * and the ports are free. It waits for at most a second, in case a disk hangs. */
void io_ring_deinit(struct io *io)
{
    if (!io->has_ring)
        return;
    struct io_uring_sync_cancel_reg everything = {
        .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
        .timeout = {.tv_sec = 1},
    };
    (void)io_uring_register_sync_cancel(&io->ring, &everything);
    io_uring_queue_exit(&io->ring);
    io->has_ring = false;
}
