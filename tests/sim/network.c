/* The network between machines.
 *
 * A connection between two machines is two ends (struct sim_client), each in the list of its
 * machine. What an end sends is in the peer's stream `up` until the peer's server receives it, so
 * one stream stands for the buffers of both sides and for what is on its way.
 *
 * An end learns that its peer is gone by the end of the stream, after what the peer had sent, or by
 * a reset (break_us). Neither passes a path that is cut. A machine that crashed says nothing: the
 * peer learns of it when it sends something, or after a time in which it hears nothing.
 *
 * What must hold: an end whose `peer` is NULL but whose `far` is not has been left, and either its
 * stream is finished or it is to break; nothing of an end is touched by another machine but what is
 * on its way to it. */
#include "tests/sim/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
    SILENCE_US_MAX = 10 * 1000 * 1000, /* until an end notices that a crashed machine is silent */
    GIVE_UP_US_MIN = 2 * 1000 * 1000,  /* until an end gives up a peer that it does not reach */
    GIVE_UP_US_MAX = 30 * 1000 * 1000,
    GIVE_UP_PERCENT = 50,
    HEAL_US_MAX = 400 * 1000, /* until what waited is sent again */
};

static struct sim_path *path(const struct sim_machine *from, const struct sim_machine *to)
{
    TILL_ASSERT(from->sim == to->sim);
    return &from->sim->paths[from->index][to->index];
}

struct sim_machine *sim_network_find(struct sim_machine *from, const char *host)
{
    if (strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0)
        return from;
    for (uint32_t i = 0; i < from->sim->machine_count; i++) {
        if (strcmp(from->sim->machines[i]->name, host) == 0)
            return from->sim->machines[i];
    }
    return NULL;
}

bool sim_network_is_whole(const struct sim_machine *one, const struct sim_machine *other)
{
    return !path(one, other)->is_cut && !path(other, one)->is_cut;
}

bool sim_network_reaches(const struct sim_client *client)
{
    return client->far == NULL || !path(client->far, client->machine)->is_cut;
}

uint64_t sim_network_due(const struct sim_client *client)
{
    struct sim_machine *machine = client->machine;
    uint64_t due_us = machine->sim->now_us + sim_delay_us(machine, machine->network_delay_us_max);
    if (client->far != NULL && path(client->far, machine)->delay_us_max > 0)
        due_us += sim_delay_us(machine, path(client->far, machine)->delay_us_max);
    return due_us;
}

static struct sim_client *end_create(struct sim_machine *machine, struct sim_machine *far)
{
    static const size_t windows[] = {16384, 65536, 262144};
    static const size_t pieces[] = {1500, 16384, 65536, 65536};
    struct sim_client *end = sim_client_create(machine);
    end->far = far;
    end->up_due_us = sim_network_due(end);
    sim_client_limit(end, windows[sim_random_below(machine, 3)],
                     pieces[sim_random_below(machine, 4)]);
    return end;
}

struct sim_client *sim_network_connect(struct sim_machine *from, struct sim_machine *to)
{
    struct sim_client *end = end_create(from, to);
    end->state = SIM_OPEN;
    end->peer = end_create(to, from);
    end->peer->peer = end;
    return end;
}

/* The stream to the far end; NULL when there is none any more. */
static struct sim_stream *stream_out(struct sim_client *client)
{
    if (client->far == NULL)
        return &client->down;
    return client->peer == NULL ? NULL : &client->peer->up;
}

size_t sim_network_room(struct sim_client *client)
{
    const struct sim_stream *out = stream_out(client);
    if (sim_network_reaches(client))
        client->unconfirmed = 0; /* the confirmation has arrived */
    size_t used = client->unconfirmed + (out == NULL ? 0 : sim_stream_size(out));
    return used < client->window ? client->window - used : 0;
}

static void break_at(struct sim_client *client, uint64_t due_us)
{
    if (client->break_us == 0 || due_us < client->break_us)
        client->break_us = due_us > 0 ? due_us : 1;
}

/* Whatever is sent to an end that is gone is answered by a reset. */
void sim_network_send(struct sim_client *client, const void *bytes, size_t size)
{
    struct sim_stream *out = stream_out(client);
    if (out == NULL) {
        break_at(client, sim_network_due(client));
        return;
    }
    if (client->peer != NULL && sim_stream_size(out) == 0)
        client->peer->up_due_us = sim_network_due(client->peer);
    sim_stream_append(out, bytes, size);
}

void sim_network_confirm(struct sim_client *client, size_t size)
{
    if (client->peer != NULL && !sim_network_reaches(client->peer))
        client->peer->unconfirmed += size;
}

void sim_network_lose(struct sim_client *client)
{
    struct sim_stream *out = stream_out(client);
    if (out != NULL)
        out->end = out->start + sim_random_below(client->machine, sim_stream_size(out) + 1);
}

void sim_network_leave(struct sim_client *client, enum sim_leave how)
{
    struct sim_client *peer = client->peer;
    if (peer == NULL)
        return;
    peer->peer = NULL;
    client->peer = NULL;
    if (how == SIM_FINISH) {
        peer->finished = true;
        if (sim_stream_size(&peer->up) == 0)
            peer->up_due_us = sim_network_due(peer);
    } else if (how == SIM_RESET || sim_chance(peer->machine, 50)) {
        break_at(peer, sim_network_due(peer));
    } else {
        break_at(peer,
                 peer->machine->sim->now_us + sim_random_below(peer->machine, SILENCE_US_MAX));
    }
}

/* What had arrived may be lost by a reset. */
void sim_network_broken(struct sim_client *client)
{
    client->broken = true;
    client->break_us = client->give_up_us = 0;
    if (sim_chance(client->machine, 50))
        client->up.start = client->up.end;
    sim_network_leave(client, SIM_VANISH);
}

/* Calls for each end of the connections between the two machines. */
static void each_end(struct sim_machine *one, struct sim_machine *other,
                     void (*call)(struct sim_client *client))
{
    for (uint32_t i = 0; i < one->client_count; i++) {
        if (one->clients[i]->far == other)
            call(one->clients[i]);
    }
    for (uint32_t i = 0; i < other->client_count; i++) {
        if (other->clients[i]->far == one)
            call(other->clients[i]);
    }
}

static void end_is_cut(struct sim_client *client)
{
    struct sim_machine *machine = client->machine;
    uint64_t span_us = GIVE_UP_US_MAX - GIVE_UP_US_MIN;
    if (!client->broken && client->give_up_us == 0 && sim_chance(machine, GIVE_UP_PERCENT))
        client->give_up_us =
            machine->sim->now_us + GIVE_UP_US_MIN + sim_random_below(machine, span_us);
}

static void end_is_healed(struct sim_client *client)
{
    struct sim_machine *machine = client->machine;
    client->up_due_us = machine->sim->now_us + sim_delay_us(machine, HEAL_US_MAX);
    if (sim_network_is_whole(machine, client->far))
        client->give_up_us = 0;
}

void sim_path_cut(struct sim_machine *from, struct sim_machine *to)
{
    TILL_ASSERT(from != to);
    if (path(from, to)->is_cut)
        return;
    path(from, to)->is_cut = true;
    each_end(from, to, end_is_cut);
}

void sim_path_heal(struct sim_machine *from, struct sim_machine *to)
{
    if (!path(from, to)->is_cut)
        return;
    path(from, to)->is_cut = false;
    each_end(from, to, end_is_healed);
}

void sim_path_slow(struct sim_machine *from, struct sim_machine *to, uint64_t us_max)
{
    path(from, to)->delay_us_max = us_max;
}
