/* A whole cluster of till servers in one simulated world: members on machines of their own, clients
 * that try again and go elsewhere, an operator, and faults at random. What every member has and
 * what every client was told goes to the history (tests/sim/history.h).
 *
 * N members and K acknowledgements are drawn for each world. In a world that may lose answers
 * (may_lose; K is 0 then) the operator promotes by force, and any disk may be lost. In all others
 * nothing that was answered may be lost, as long as no more than K disks are lost at a time and the
 * operator does as docs/replication.md says. */
#ifndef TILL_TESTS_SIM_CLUSTER_H
#define TILL_TESTS_SIM_CLUSTER_H

#include "base/io.h"
#include "net/server.h"
#include "tests/sim/caller.h"
#include "tests/sim/history.h"
#include "tests/sim/ledger.h"
#include "tests/sim/sim.h"

enum {
    NODES_MAX = 4,
    CLUSTER_LINES = 6,
    CLUSTER_IN_FLIGHT = 16,
    CLUSTER_ERROR_SIZE = SERVER_ERROR_SIZE,
};

/* A member: its machine, and the server that runs there. */
struct node {
    struct cluster *cluster;
    struct sim_machine *machine;
    unsigned index;
    struct disk *disk;
    struct io *io;
    struct server *server;     /* NULL: it is down, */
    uint64_t start_us;         /* until this time */
    struct history_block *tip; /* the end of its log; NULL: there is no block in it */
    wal_durable *durable;      /* the server's own watch of its log, */
    void *durable_context;     /* which is told after the history */
    bool follows_first;        /* it is started with --replica-of */
    bool is_behind;            /* it has not caught up since it was empty or damaged */
    bool is_damaged;           /* a bit of its log was inverted, and it may not have noticed */
    bool is_full;              /* its disk is */
    bool is_asked;             /* to stop */
    uint64_t rebuild_seq;      /* its disk was lost: it is as good as the others from this seq on */
    char error[CLUSTER_ERROR_SIZE];
    char notice[CLUSTER_ERROR_SIZE]; /* the last one */
};

/* A client: it is connected to one member, and goes to another one when that one is not the primary
 * or the connection ends. */
struct cluster_line {
    struct caller caller;
    struct request requests[CLUSTER_IN_FLIGHT];
    uint32_t intents[CLUSTER_IN_FLIGHT];
    struct node *node;
    unsigned next; /* where it connects next; NODES_MAX: anywhere */
    struct id shop;
    uint64_t epoch_seen;
    bool is_open;
    bool is_loyal; /* reads from whom it has, also from a replica */
};

/* What an operator does with till promote and till follow, a step at a time:
 *
 *   RESTS --operator_begin--> ASKS --> SEALS --> PROMOTES --> LEADS --> RESTS
 *   ASKS --a primary is there, and it only repairs--> LEADS
 *   any --too few answer, or it is called away--> RESTS */
enum operator_step {
    OPERATOR_RESTS,
    OPERATOR_ASKS,
    OPERATOR_SEALS,
    OPERATOR_PROMOTES,
    OPERATOR_LEADS,
};

struct operator_call {
    struct caller caller;
    bool is_made; /* there is one in this step, */
    bool is_over; /* it has ended, */
    bool is_done; /* with OK */
    uint16_t number;
    uint32_t size;
    uint64_t body[16];
};

struct operation {
    enum operator_step step;
    bool repairs; /* leaves a primary that is there alone */
    bool forces;
    uint64_t deadline_us;    /* of the step */
    uint64_t epoch;          /* that it begins; never one that it began before */
    uint64_t epoch_promoted; /* of the last promotion that was asked for, whatever came of it */
    struct id shop;
    unsigned winner;
    bool reaches[NODES_MAX]; /* whom it can talk to */
    bool is_sealed[NODES_MAX];
    struct member_body members[NODES_MAX];
    struct operator_call calls[NODES_MAX];
};

struct cluster {
    struct sim *sim;
    struct ledger *ledger;
    struct history history;
    struct node nodes[NODES_MAX];
    unsigned node_count; /* N */
    uint32_t acks;       /* K */
    unsigned primary;    /* as far as the operator knows: the last one that was to be */
    bool may_lose;
    bool is_traced;
    bool is_calm;           /* nothing fails */
    uint64_t turn_us_max;   /* a server's turn waits so long at most */
    unsigned faults_rarity; /* turns from one fault to the next, on average */
    unsigned pace;          /* how often clients do something, in percent of the turns */
    uint64_t acks_wait_us;
    uint64_t segment_size;
    uint64_t replica_keep_bytes;
    uint64_t snapshot_every_us; /* 0: no snapshots are taken */
    struct operation operation;
    struct cluster_line lines[CLUSTER_LINES];
    struct caller_reply reply;
    uint32_t promotions;
    uint32_t forks;
    uint32_t fetches;
    uint32_t restarts;
    uint32_t disks_lost;
    uint32_t damages;
};

extern const char *const node_names[NODES_MAX];
extern const char *const node_addresses[NODES_MAX];

static inline const char *node_name(const struct node *node)
{
    return node_names[node->index];
}

/* With TILL_TRACE in the environment, what happens is printed. */
__attribute__((format(printf, 2, 3))) void cluster_trace(const struct cluster *cluster,
                                                         const char *format, ...);

struct cluster *cluster_create(uint64_t seed);
void cluster_destroy(struct cluster *cluster);

/* Starts a member; false when it does not start. */
bool node_start(struct node *node);

/* Its power fails, and comes back after so long. */
void node_crash(struct node *node, uint64_t down_us);

/* All files of its folder are gone; it is down. */
void node_empty_folder(struct node *node);

/* A client does something; those of a member that has ended take what had arrived. */
void lines_turn(struct cluster *cluster);
void lines_end(struct node *node);

/* One turn of a random member, of clients and of the operator. */
void cluster_turn(struct cluster *cluster);

/* Something fails, or heals. */
void cluster_fault(struct cluster *cluster);

/* Plays for so long. */
void cluster_play(struct cluster *cluster, uint64_t us);

/* All faults end: plays until every intent is answered and all members have the same, which must
 * come within a bounded time. */
void cluster_settle(struct cluster *cluster);

/* Checks everything that was told, and what is on the disks. */
void cluster_judge(struct cluster *cluster);

/* The operator. */
void operator_begin(struct cluster *cluster, bool repairs);
void operator_turn(struct cluster *cluster);
void operator_leave(struct cluster *cluster);

/* Has another one follow it: till follow, and no more. */
void operator_follow(struct cluster *cluster, unsigned follower, unsigned followed);

static inline struct sim_machine *cluster_dice(const struct cluster *cluster)
{
    return cluster->nodes[0].machine;
}

static inline uint64_t cluster_below(const struct cluster *cluster, uint64_t bound)
{
    return sim_random_below(cluster_dice(cluster), bound);
}

static inline bool cluster_chance(const struct cluster *cluster, unsigned percent)
{
    return sim_chance(cluster_dice(cluster), percent);
}

static inline uint64_t cluster_now_us(const struct cluster *cluster)
{
    return sim_time_us(cluster_dice(cluster));
}

#endif
