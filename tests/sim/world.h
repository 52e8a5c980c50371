/* One till server on a simulated machine with its callers, over several lives: the environment of
 * the simulated server tests. Every reply goes to the ledger. */
#ifndef TILL_TESTS_SIM_WORLD_H
#define TILL_TESTS_SIM_WORLD_H

#include "base/io.h"
#include "net/server.h"
#include "tests/sim/caller.h"
#include "tests/sim/ledger.h"
#include "tests/sim/sim.h"

enum { LINES_MAX = 6, IN_FLIGHT_MAX = 32, TURN_US = 500 };

/* A caller and what it waits for, by request number modulo IN_FLIGHT_MAX. */
struct world_line {
    struct caller caller;
    struct request requests[IN_FLIGHT_MAX];
    uint32_t intents[IN_FLIGHT_MAX];
    uint32_t in_flight_max;
    bool is_open;
    bool greeted;
};

struct world {
    struct sim_machine *machine;
    struct ledger *ledger;
    struct disk *disk;
    struct io *io;
    struct server *server;
    uint64_t segment_size; /* of the log; 0: a random small one at each start */
    uint32_t wal_writes;   /* 0: a random number at each start */
    uint32_t connections_max;
    uint32_t output_chunks;
    uint32_t io_buffers;
    uint64_t retain_orders_max;    /* what the server tells the shop; 0: nothing */
    bool no_snapshots;             /* else they are taken often, with random triggers */
    bool is_unattended;            /* starts do not get --accept-clock */
    struct disk *archive;          /* of the live server; NULL: this world has none */
    bool has_archive;              /* all lives of this world have an archive, or none has */
    bool fills_archive;            /* it is full at times, and loses its oldest segments then */
    uint64_t archive_keep_bytes;   /* 0: as many as there is room for */
    uint64_t archived;             /* segments, in all lives */
    uint64_t snapshots;            /* published in all lives */
    char notice[512];              /* the last notice that a server gave, */
    char clock_notice[512];        /* and of those about the clock */
    char error[SERVER_ERROR_SIZE]; /* the reason why a server did not start */
    uint64_t seq_floor;            /* what this life's server must have recovered at least */
    struct caller_reply reply;
    struct world_line lines[LINES_MAX];
};

struct world *world_create(uint64_t seed);
void world_destroy(struct world *world);

/* Starts a server; false when it does not start, which only a failing disk may cause. */
bool world_start(struct world *world);

/* The machine crashes; replies that had reached the callers still count. */
void world_crash(struct world *world);

/* Asks the server to stop and waits until it has. */
void world_stop(struct world *world);

/* Does something random on a random connection: connect, disconnect, send some requests,
 * receive. */
void world_act(struct world *world);

/* Plays this many turns of server and callers, while the clock steps and the disk fills up and has
 * room again; returns the result of the last server_turn. */
int world_play(struct world *world, uint32_t turns);

/* With room on the disk, plays turns until every intent has been answered and nothing is in
 * flight. */
void world_settle(struct world *world);

/* Sends one request on a new connection, and plays turns until it is answered: world->reply. */
void world_call(struct world *world, unsigned number, const void *body, uint32_t size);

/* Replays the log of a machine without a server, and checks every reply that was given. */
void world_judge(struct world *world);

#endif
