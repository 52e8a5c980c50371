/* Several machines in one simulation: what the network between them does to connections, what a
 * crash or a cut path leaves of them, and that the same seed gives the same run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/io.h"
#include "base/limits.h"
#include "tests/sim/sim.h"
#include "tests/test.h"

enum { NODES = 3, ENDS_MAX = 16, STREAM_SIZE = 20000, PORT = 7411, LISTENER = 1, USER_FIRST = 10 };
enum { SECOND_US = 1000000, PATIENCE_TURNS = 1000000, ROUNDS = 40 };

/* One end of a connection. Each side sends a stream of bytes and checks the other's; the first byte
 * that the side which connected sends is the number of the connection, from which both streams
 * follow. */
struct end {
    int result; /* of connecting */
    uint8_t connection;
    uint8_t bytes[STREAM_SIZE]; /* to be sent */
    size_t sent;
    size_t received;
    int error; /* -errno of the first receive or send that failed */
    bool connects;
    bool is_asked;
    bool is_open;
    bool is_known; /* the connection's number is */
    bool is_sending;
    bool is_ended;
    bool is_closed;
    bool is_silent; /* sends nothing */
};

struct node {
    struct sim_machine *machine;
    struct io *io;
    struct end ends[ENDS_MAX]; /* number n has the user USER_FIRST + n */
    uint32_t end_count;
};

struct net {
    struct sim *sim;
    struct node nodes[NODES];
    uint8_t connections;
    uint64_t digest; /* of all events and times */
    bool keeps_open; /* a side that has all its bytes does not close */
};

static uint8_t stream_byte(uint8_t connection, bool connects, size_t at)
{
    return at == 0 ? connection
                   : (uint8_t)((at * 2654435761u + connection * 7919u + connects) >> 11);
}

static void end_fill(struct end *end, uint8_t connection)
{
    end->connection = connection;
    end->is_known = true;
    for (size_t at = 0; at < STREAM_SIZE; at++)
        end->bytes[at] = stream_byte(connection, end->connects, at);
}

static void node_start(struct node *node)
{
    char error[IO_ERROR_SIZE];
    char address[64];
    struct io_options options = {.connections_max = 64, .buffer_size = 4096, .buffer_count = 8};
    sim_use(node->machine);
    node->io = io_create(&options, error);
    snprintf(address, sizeof address, "0.0.0.0:%d", PORT);
    CHECK_EQUAL(io_listen(node->io, address, LISTENER), PORT);
}

static struct net *net_create(uint64_t seed)
{
    static const char *const names[NODES] = {"north", "south", "west"};
    struct net *net = calloc(1, sizeof *net);
    CHECK(net != NULL);
    net->sim = sim_create(seed);
    for (uint32_t i = 0; i < NODES; i++) {
        net->nodes[i].machine = sim_machine_add(net->sim, names[i]);
        node_start(&net->nodes[i]);
    }
    return net;
}

static void net_destroy(struct net *net)
{
    for (uint32_t i = 0; i < NODES; i++)
        io_destroy(net->nodes[i].io);
    sim_destroy(net->sim);
    free(net);
}

static struct end *node_dial(struct net *net, uint32_t from, const char *host)
{
    struct node *node = &net->nodes[from];
    char address[64];
    CHECK(node->end_count < ENDS_MAX);
    struct end *end = &node->ends[node->end_count];
    *end = (struct end){.connects = true, .is_asked = true};
    end_fill(end, net->connections++);
    snprintf(address, sizeof address, "%s:%d", host, PORT);
    io_connect(node->io, address, USER_FIRST + node->end_count);
    node->end_count++;
    return end;
}

static void end_received(struct node *node, struct end *end, const struct io_event *event)
{
    CHECK(!end->is_ended);
    if (event->result <= 0) {
        end->is_ended = true;
        end->error = end->error == 0 ? event->result : end->error;
        return;
    }
    if (!end->is_known)
        end_fill(end, event->bytes[0]);
    for (int i = 0; i < event->result; i++)
        CHECK_EQUAL(event->bytes[i],
                    stream_byte(end->connection, !end->connects, end->received + (size_t)i));
    end->received += (size_t)event->result;
    io_buffer_release(node->io, event->buffer);
    if (!end->is_closed)
        io_receive(node->io, end->result, event->user);
}

static void end_opened(struct node *node, struct end *end, int result)
{
    end->result = result;
    end->is_asked = false;
    end->is_open = result >= 0;
    if (end->is_open)
        io_receive(node->io, result, USER_FIRST + (uint64_t)(end - node->ends));
}

static void node_event(struct node *node, const struct io_event *event)
{
    if (event->kind == IO_ACCEPTED) {
        CHECK_EQUAL(event->user, LISTENER);
        CHECK(node->end_count < ENDS_MAX);
        if (event->result >= 0)
            end_opened(node, &node->ends[node->end_count++], event->result);
        return;
    }
    CHECK(event->user >= USER_FIRST && event->user < USER_FIRST + node->end_count);
    struct end *end = &node->ends[event->user - USER_FIRST];
    if (event->kind == IO_CONNECTED) {
        CHECK(end->connects && end->is_asked);
        end_opened(node, end, event->result);
    } else if (event->kind == IO_RECEIVED) {
        end_received(node, end, event);
    } else if (event->kind == IO_SENT) {
        end->is_sending = false;
        end->sent += event->result > 0 ? (size_t)event->result : 0;
        if (event->result < 0 && end->error == 0)
            end->error = event->result;
    } else {
        CHECK_EQUAL(event->kind, IO_CLOSED);
        CHECK(end->is_closed);
    }
}

/* Sends on, or closes. The side that connected closes first when both streams are through. */
static void end_turn(struct net *net, struct node *node, struct end *end)
{
    uint64_t user = USER_FIRST + (uint64_t)(end - node->ends);
    if (!end->is_open || end->is_sending)
        return;
    bool is_through = end->sent == STREAM_SIZE && end->received == STREAM_SIZE;
    if (end->error != 0 || end->is_ended || (is_through && end->connects && !net->keeps_open)) {
        io_close(node->io, end->result, user);
        end->is_open = false;
        end->is_closed = true;
    } else if (end->is_known && !end->is_silent && end->sent < STREAM_SIZE) {
        io_send(node->io, end->result, user, end->bytes + end->sent, STREAM_SIZE - end->sent);
        end->is_sending = true;
    }
}

static void node_turn(struct net *net, struct node *node, uint64_t timeout_us)
{
    struct io_event events[8];
    int count = io_wait(node->io, events, 8, 1, timeout_us);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        net->digest = mix64(net->digest, events[i].user << 8 | events[i].kind);
        net->digest = mix64(net->digest, (uint64_t)events[i].result);
        node_event(node, &events[i]);
    }
    net->digest = mix64(net->digest, io_time_us(node->io));
    for (uint32_t i = 0; i < node->end_count; i++)
        end_turn(net, node, &node->ends[i]);
}

static void net_turn(struct net *net)
{
    struct sim_machine *machine = net->nodes[0].machine;
    struct node *node = &net->nodes[sim_random_below(machine, NODES)];
    node_turn(net, node, sim_random_below(machine, 500));
}

static uint64_t net_time_us(const struct net *net)
{
    return sim_time_us(net->nodes[0].machine);
}

static void net_play(struct net *net, uint64_t span_us)
{
    for (uint64_t end_us = net_time_us(net) + span_us; net_time_us(net) < end_us;)
        net_turn(net);
}

#define TURN_UNTIL(net, condition)                                                                 \
    for (uint32_t turn = 0; !(condition); turn++) {                                                \
        CHECK(turn < PATIENCE_TURNS);                                                              \
        net_turn(net);                                                                             \
    }

static bool is_at_rest(const struct net *net)
{
    for (uint32_t i = 0; i < NODES; i++) {
        for (uint32_t j = 0; j < net->nodes[i].end_count; j++) {
            if (net->nodes[i].ends[j].is_asked || net->nodes[i].ends[j].is_open)
                return false;
        }
    }
    return true;
}

/* The end on that node that accepted the connection; NULL: it did not yet. */
static struct end *find_accepted(struct node *node, const struct end *other)
{
    for (uint32_t i = 0; i < node->end_count; i++) {
        struct end *end = &node->ends[i];
        if (!end->connects && end->is_known && end->connection == other->connection)
            return end;
    }
    return NULL;
}

static uint64_t exchange_round(uint64_t seed)
{
    struct net *net = net_create(seed);
    struct sim_machine *machine = net->nodes[0].machine;
    for (uint32_t i = 0; i < NODES; i++)
        sim_path_slow(net->nodes[i].machine, net->nodes[(i + 1) % NODES].machine,
                      sim_random_below(machine, 100000));
    for (uint32_t i = 0; i < 4; i++) {
        node_dial(net, 0, "south");
        node_dial(net, 1, "north");
        node_dial(net, 2, i % 2 == 0 ? "south" : "localhost");
        net_turn(net);
    }
    TURN_UNTIL(net, is_at_rest(net));
    uint32_t end_count = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        for (uint32_t j = 0; j < net->nodes[i].end_count; j++) {
            const struct end *end = &net->nodes[i].ends[j];
            CHECK_EQUAL(end->received, STREAM_SIZE);
            CHECK_EQUAL(end->sent, STREAM_SIZE);
            end_count++;
        }
    }
    CHECK_EQUAL(end_count, 2 * net->connections);
    uint64_t digest = net->digest;
    net_destroy(net);
    return digest;
}

TEST(streams_between_machines_arrive_whole_and_in_order)
{
    for (int round = 0; round < ROUNDS; round++)
        exchange_round(test_random());
}

TEST(same_seed_gives_the_same_run_of_several_machines)
{
    for (int round = 0; round < 3; round++) {
        uint64_t seed = test_random();
        uint64_t digest = exchange_round(seed);
        CHECK_EQUAL(exchange_round(seed), digest);
        CHECK(exchange_round(seed + 1) != digest);
    }
}

/* A path that is cut for less than anyone gives up in keeps bytes back, and loses none. */
TEST(cut_path_delays_what_is_sent_in_its_direction)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct net *net = net_create(test_random());
        struct node *north = &net->nodes[0];
        struct node *south = &net->nodes[1];
        struct end *near = node_dial(net, 0, "south");
        net->keeps_open = true;
        TURN_UNTIL(net, find_accepted(south, near) != NULL);
        struct end *far = find_accepted(south, near);
        sim_path_cut(north->machine, south->machine);
        size_t received = far->received;
        size_t received_near = near->received;
        bool was_through = near->received == STREAM_SIZE;
        net_play(net, SECOND_US);
        CHECK_EQUAL(far->received, received);
        CHECK(was_through || near->received > received_near);
        CHECK(near->is_open && far->is_open);
        net->keeps_open = false;
        sim_path_heal(north->machine, south->machine);
        TURN_UNTIL(net, is_at_rest(net));
        CHECK_EQUAL(near->received, STREAM_SIZE);
        CHECK_EQUAL(far->received, STREAM_SIZE);
        net_destroy(net);
    }
}

/* What is received but cannot be confirmed fills the sender's window. */
TEST(sends_stall_when_nothing_is_confirmed)
{
    uint32_t stalled_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct net *net = net_create(test_random());
        struct node *north = &net->nodes[0];
        struct node *south = &net->nodes[1];
        struct end *near = node_dial(net, 0, "south");
        TURN_UNTIL(net, find_accepted(south, near) != NULL);
        sim_path_cut(north->machine, south->machine);
        net_play(net, SECOND_US);
        stalled_count += find_accepted(south, near)->sent < STREAM_SIZE;
        sim_path_heal(north->machine, south->machine);
        TURN_UNTIL(net, is_at_rest(net));
        net_destroy(net);
    }
    CHECK(stalled_count > 0 && stalled_count < ROUNDS);
}

static void cut_both(struct net *net)
{
    sim_path_cut(net->nodes[0].machine, net->nodes[1].machine);
    sim_path_cut(net->nodes[1].machine, net->nodes[0].machine);
}

static void heal_both(struct net *net)
{
    sim_path_heal(net->nodes[0].machine, net->nodes[1].machine);
    sim_path_heal(net->nodes[1].machine, net->nodes[0].machine);
}

/* Whichever sides gave up during the cut, afterwards both have ended or neither has. */
TEST(long_cut_breaks_a_connection_on_no_side_on_one_or_on_both)
{
    uint32_t broken_counts[3] = {0};
    for (int round = 0; round < 2 * ROUNDS; round++) {
        struct net *net = net_create(test_random());
        net->keeps_open = true;
        struct end *near = node_dial(net, 0, "south");
        TURN_UNTIL(net, find_accepted(&net->nodes[1], near) != NULL);
        struct end *far = find_accepted(&net->nodes[1], near);
        cut_both(net);
        net_play(net, 40 * (uint64_t)SECOND_US);
        broken_counts[near->is_closed + far->is_closed]++;
        bool is_broken = near->is_closed || far->is_closed;
        heal_both(net);
        net_play(net, 12 * SECOND_US);
        CHECK_EQUAL(near->is_closed, is_broken);
        CHECK_EQUAL(far->is_closed, is_broken);
        if (!is_broken)
            CHECK(near->received == STREAM_SIZE && far->received == STREAM_SIZE);
        net_destroy(net);
    }
    CHECK(broken_counts[0] > 0 && broken_counts[1] > 0 && broken_counts[2] > 0);
}

TEST(connecting_tells_why_it_failed_and_waits_for_a_path_that_heals)
{
    struct net *net = net_create(test_random());
    struct end *end = node_dial(net, 0, "nowhere");
    TURN_UNTIL(net, !end->is_asked);
    CHECK_EQUAL(end->result, -EHOSTUNREACH);
    cut_both(net);
    end = node_dial(net, 0, "south");
    uint64_t start_us = net_time_us(net);
    TURN_UNTIL(net, !end->is_asked);
    CHECK_EQUAL(end->result, -ETIMEDOUT);
    CHECK(net_time_us(net) - start_us >= IO_CONNECT_US_MAX);
    end = node_dial(net, 0, "south");
    net_play(net, SECOND_US);
    CHECK(end->is_asked);
    sim_path_heal(net->nodes[0].machine, net->nodes[1].machine);
    net_play(net, SECOND_US);
    CHECK(end->is_asked); /* no answer gets through */
    heal_both(net);
    TURN_UNTIL(net, !end->is_asked);
    CHECK(end->result >= 0);
    TURN_UNTIL(net, is_at_rest(net));
    CHECK_EQUAL(end->received, STREAM_SIZE);
    net_destroy(net);
}

TEST(nobody_listens_on_a_machine_that_has_crashed)
{
    struct net *net = net_create(test_random());
    struct node *south = &net->nodes[1];
    sim_crash(south->machine);
    struct end *end = node_dial(net, 0, "south");
    while (end->is_asked)
        node_turn(net, &net->nodes[0], 500);
    CHECK_EQUAL(end->result, -ECONNREFUSED);
    io_destroy(south->io);
    node_start(south);
    end = node_dial(net, 0, "south");
    TURN_UNTIL(net, is_at_rest(net));
    CHECK_EQUAL(end->received, STREAM_SIZE);
    net_destroy(net);
}

TEST(more_connections_than_places_are_refused)
{
    struct net *net = net_create(test_random());
    cut_both(net);
    for (uint32_t i = 0; i < IO_CONNECTS_MAX + 2; i++)
        node_dial(net, 0, "south");
    TURN_UNTIL(net, is_at_rest(net));
    for (uint32_t i = 0; i < IO_CONNECTS_MAX + 2; i++)
        CHECK_EQUAL(net->nodes[0].ends[i].result, i < IO_CONNECTS_MAX ? -ETIMEDOUT : -EBUSY);
    net_destroy(net);
}

/* The others notice, some of them late, and go on among themselves. */
TEST(crash_of_one_machine_breaks_its_connections_and_no_others)
{
    uint32_t late_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct net *net = net_create(test_random());
        struct node *north = &net->nodes[0];
        struct node *south = &net->nodes[1];
        net->keeps_open = true;
        struct end *to_south = node_dial(net, 0, "south");
        struct end *to_west = node_dial(net, 0, "west");
        net_play(net, sim_random_below(north->machine, 20000));
        to_south->is_silent = true; /* else it learns of the crash when it sends */
        struct id boot = io_boot_id(north->io);
        CHECK(boot.low != io_boot_id(south->io).low || boot.high != io_boot_id(south->io).high);
        bool was_open = to_south->is_open;
        sim_crash(south->machine);
        io_destroy(south->io);
        south->end_count = 0;
        node_start(south);
        CHECK(io_boot_id(north->io).low == boot.low && io_boot_id(north->io).high == boot.high);
        net_play(net, SECOND_US);
        late_count += was_open && to_south->is_open;
        net_play(net, 15 * SECOND_US);
        CHECK(!was_open || to_south->is_closed);
        CHECK_EQUAL(to_west->received, STREAM_SIZE);
        CHECK(to_west->is_open);
        net_destroy(net);
    }
    CHECK(late_count > 0 && late_count < ROUNDS);
}

TEST(each_machine_has_its_own_folders_and_clock)
{
    struct net *net = net_create(test_random());
    struct disk *disks[2];
    struct disk *other = NULL;
    for (uint32_t i = 0; i < 2; i++) {
        sim_use(net->nodes[i].machine);
        CHECK_EQUAL(disk_open(&other, "data", DISK_READ), -ENOENT);
        CHECK_EQUAL(disk_open(&disks[i], "data", DISK_WRITE), 0);
    }
    CHECK_EQUAL(disk_create_zeroed(disks[0], "log", WAL_ALIGN), 0);
    CHECK_EQUAL(disk_list(disks[0], NULL, 0), 1);
    CHECK_EQUAL(disk_list(disks[1], NULL, 0), 0);
    sim_crash(net->nodes[0].machine);
    CHECK_EQUAL(disk_check(disks[0]), -EIO);
    CHECK_EQUAL(disk_create_zeroed(disks[1], "log", WAL_ALIGN), 0);
    disk_close(disks[0]);
    disk_close(disks[1]);
    uint64_t wall_us = io_wall_us(net->nodes[1].io);
    sim_clock_step(net->nodes[2].machine, 3600 * (int64_t)SECOND_US);
    CHECK(io_wall_us(net->nodes[1].io) < wall_us + SECOND_US);
    CHECK(io_wall_us(net->nodes[2].io) > wall_us + 3000 * (uint64_t)SECOND_US);
    net_destroy(net);
}
