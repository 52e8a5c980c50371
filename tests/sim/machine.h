/* The internals of the simulation, shared by the files that implement it; tests use sim.h. */
#ifndef TILL_TESTS_SIM_MACHINE_H
#define TILL_TESTS_SIM_MACHINE_H

#include "base/disk.h"
#include "base/io.h"
#include "tests/sim/sim.h"

enum {
    SIM_FILE_PAGE = 4096,
    SIM_SECTOR = 512, /* what a disk writes atomically */
    SIM_CLIENTS_MAX = 2048,
    SIM_FOLDERS_MAX = 4,
    SIM_PATH_SIZE = 256,
    SIM_NAME_SIZE = 32,
};

/* A file: pages by number; NULL stands for one full of zeros, or for a hole of a partial file.
 * Unlinked files exist until the last handle is closed. */
struct sim_file {
    struct sim_file *next; /* linked files of the folder, by name */
    struct sim_folder *folder;
    char name[DISK_NAME_SIZE];
    uint64_t size_bytes;
    uint8_t **pages;
    uint32_t reference_count; /* the folder's and the handles' */
    bool grows;               /* with what is written: a partial file */
};

/* A folder: what disk_open opens by its path, on a file system of its own. */
struct sim_folder {
    char path[SIM_PATH_SIZE];
    struct sim_file *files; /* by name */
    bool exists;            /* it has been opened for writing */
    bool locked;
    bool full;
    uint32_t fail_write_in;
    const char *fail_write_to; /* files whose names begin with it */
    unsigned refuse_percent;
    const char *refuse_write_to;
    unsigned refuse_change_percent;
    const char *refuse_change_to;
};

/* Bytes in one direction of a connection: those that were sent and not received yet. */
struct sim_stream {
    uint8_t *bytes;
    size_t start;
    size_t end;
    size_t capacity;
};

struct sim_send {
    const uint8_t *bytes;
    uint64_t checksum; /* of the bytes at the call: they must not change */
    uint64_t user;
    uint64_t due_us;
    uint32_t size;
    int32_t result;
    bool active;
    bool copied; /* the outcome is settled, the event is still to come */
};

/*   connecting --accept--> open --io_close--> closing --IO_CLOSED--> gone
 *   any --sim_crash, io_destroy--> gone
 * The end of a machine that connects to another one begins open. */
enum sim_client_state { SIM_CONNECTING, SIM_OPEN, SIM_CLOSING, SIM_GONE };

/* A server's end of a connection. At the far end is a client that the test drives, or, when `far`
 * is set, the end of a server on that machine (network.c). */
struct sim_client {
    struct sim_machine *machine;
    struct sim_machine *far;
    struct sim_client *peer; /* the end on `far`; NULL: it is gone */
    struct sim_stream up;    /* to the server */
    struct sim_stream down; /* to the test's client; what is sent to a peer is in the peer's `up` */
    struct sim_send send;
    uint64_t break_us;   /* when it learns that the far end is gone; 0: nothing to learn */
    uint64_t give_up_us; /* when it takes the far end for gone, as nothing arrives; 0: never */
    size_t unconfirmed;  /* bytes that the peer received and could not confirm */
    uint64_t up_due_us;  /* when the next of `up`, or its end, may be received */
    uint64_t close_due_us;
    uint64_t receive_user;
    uint64_t close_user;
    size_t window; /* bytes on their way to the far end, at most */
    size_t piece;  /* at most this much is received or sent in one go */
    int fd;        /* -1: not accepted yet, or closed */
    enum sim_client_state state;
    bool receiving;
    bool may_come_late; /* something received may still arrive after a cancel or a close */
    bool is_reset;      /* closed in the middle of a send */
    bool received_end;  /* the end or an error was reported: nothing more is received */
    bool finished;      /* the client sends no more */
    bool broken;        /* reset by either side */
    bool held;          /* the test has the handle */
};

/* The network from one machine to another. */
struct sim_path {
    uint64_t delay_us_max; /* more than the delays of the machine that receives */
    bool is_cut;
};

struct sim {
    uint64_t random_state;
    uint64_t now_us;
    struct sim_machine *machines[SIM_MACHINES_MAX];
    uint32_t machine_count;
    struct sim_path paths[SIM_MACHINES_MAX][SIM_MACHINES_MAX]; /* from, to */
};

struct sim_machine {
    struct sim *sim;
    char name[SIM_NAME_SIZE];
    uint32_t index;
    uint64_t boot_us;     /* when the machine was switched on last, */
    uint64_t boot_number; /* for the nth time */
    int64_t clock_us;     /* what the wall clock adds */

    struct sim_folder folders[SIM_FOLDERS_MAX];
    uint32_t folder_count;
    struct disk *disks; /* open ones */
    bool dying;         /* sim_disk_crash_at has struck: nothing changes any folder any more */
    uint32_t crash_change_in;

    struct io *io; /* the live one, if any */
    bool stop_asked;

    struct sim_client *clients[SIM_CLIENTS_MAX];
    uint32_t client_count;

    /* Drawn once per machine, so that runs differ in kind and not only in detail. */
    uint64_t write_delay_us_max;
    uint64_t network_delay_us_max;
};

/* The machine that the calls of base/io.h and base/disk.h act on which name none. */
extern struct sim_machine *sim_machine_current;

/* A delay from 0 to max, most of the time much shorter. */
uint64_t sim_delay_us(struct sim_machine *machine, uint64_t us_max);

/* Functions of disk_sim.c that machine.c and io_sim.c call. */
struct sim_folder *sim_disk_folder(struct disk *disk);
struct sim_file *sim_disk_file(struct disk *disk, int file);
void sim_file_release(struct sim_file *file);
/* A write of io_write takes effect, or fails as the disk's faults have it; torn, it takes effect in
 * part. A partial file grows with either. */
int sim_file_write_later(struct sim_machine *machine, struct sim_file *file, uint64_t offset,
                         const uint8_t *bytes, size_t size);
void sim_file_tear(struct sim_machine *machine, struct sim_file *file, uint64_t offset,
                   const uint8_t *bytes, size_t size);
int sim_file_create(struct sim_folder *folder, const char *name, uint64_t size_bytes);
void sim_disk_crash(struct sim_machine *machine);

/* io_sim.c */
void sim_io_crash(struct io *io);
/* Does a server on that machine accept connections at that port? */
bool sim_io_listens(const struct sim_machine *machine, int port);

/* client.c */
struct sim_client *sim_client_create(struct sim_machine *machine);
void sim_stream_append(struct sim_stream *stream, const void *bytes, size_t size);
size_t sim_stream_take(struct sim_stream *stream, void *bytes, size_t size);
static inline size_t sim_stream_size(const struct sim_stream *stream)
{
    return stream->end - stream->start;
}

/* The server's side has ended: by a crash, or because it closed. */
void sim_client_cut(struct sim_client *client, bool broken);

/* network.c */
/* The machine that a host's name in an address of `from` means; NULL: none. */
struct sim_machine *sim_network_find(struct sim_machine *from, const char *host);
/* Can the two tell each other anything? */
bool sim_network_is_whole(const struct sim_machine *one, const struct sim_machine *other);
/* A connection between the two: returns the end of `from`, which is open. The other is to be
 * accepted. */
struct sim_client *sim_network_connect(struct sim_machine *from, struct sim_machine *to);

/* When what the far end sends now arrives at this one, if nothing is on its way already; whether
 * anything arrives at all. */
uint64_t sim_network_due(const struct sim_client *client);
bool sim_network_reaches(const struct sim_client *client);
/* How many bytes may be sent to the far end, and the sending. */
size_t sim_network_room(struct sim_client *client);
void sim_network_send(struct sim_client *client, const void *bytes, size_t size);
/* The server has received so much. */
void sim_network_confirm(struct sim_client *client, size_t size);
/* What is on its way to the far end is lost, from a random byte on. */
void sim_network_lose(struct sim_client *client);

/* This end leaves its peer, which sees the end of the stream, a reset, or at first nothing. */
enum sim_leave { SIM_FINISH, SIM_RESET, SIM_VANISH };
void sim_network_leave(struct sim_client *client, enum sim_leave how);
/* This end learns that the other is gone, or gives it up. */
void sim_network_broken(struct sim_client *client);

#endif
