/* The connections of a machine, and their far ends: what a test does as a client.
 *
 * A connection is two streams of bytes. `up` takes whatever the client sends; `down` holds at most
 * `window` bytes, so that a client that does not receive stalls the server's sends. The record
 * exists until the server's side is closed and the test has released its handle. */
#include "tests/sim/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void sim_stream_append(struct sim_stream *stream, const void *bytes, size_t size)
{
    if (stream->start > 0) {
        memmove(stream->bytes, stream->bytes + stream->start, sim_stream_size(stream));
        stream->end -= stream->start;
        stream->start = 0;
    }
    if (stream->capacity - stream->end < size) {
        stream->capacity = 2 * (stream->end + size);
        stream->bytes = realloc(stream->bytes, stream->capacity);
        TILL_ASSERT(stream->bytes != NULL);
    }
    if (size > 0)
        memcpy(stream->bytes + stream->end, bytes, size);
    stream->end += size;
}

size_t sim_stream_take(struct sim_stream *stream, void *bytes, size_t size)
{
    if (size > sim_stream_size(stream))
        size = sim_stream_size(stream);
    if (size > 0)
        memcpy(bytes, stream->bytes + stream->start, size);
    stream->start += size;
    return size;
}

struct sim_client *sim_client_create(struct sim_machine *machine)
{
    static const size_t windows[] = {600, 4096, 65536};
    static const size_t pieces[] = {5, 64, 1500, 65536, 65536};
    TILL_ASSERT(machine->client_count < SIM_CLIENTS_MAX);
    struct sim_client *client = calloc(1, sizeof *client);
    TILL_ASSERT(client != NULL);
    client->machine = machine;
    client->window = windows[sim_random_below(machine, 3)];
    client->piece = pieces[sim_random_below(machine, 5)];
    client->fd = -1;
    machine->clients[machine->client_count++] = client;
    return client;
}

struct sim_client *sim_connect(struct sim_machine *machine)
{
    struct sim_client *client = sim_client_create(machine);
    client->up_due_us = sim_network_due(client);
    client->held = true;
    return client;
}

void sim_client_limit(struct sim_client *client, size_t window, size_t piece)
{
    client->window = window;
    client->piece = piece;
}

void sim_client_send(struct sim_client *client, const void *bytes, size_t size)
{
    TILL_ASSERT(!client->finished);
    if (client->broken || client->state == SIM_GONE)
        return;
    if (sim_stream_size(&client->up) == 0)
        client->up_due_us = sim_network_due(client);
    sim_stream_append(&client->up, bytes, size);
}

int64_t sim_client_receive(struct sim_client *client, void *bytes, size_t size)
{
    size_t taken = sim_stream_take(&client->down, bytes, size);
    if (taken > 0)
        return (int64_t)taken;
    if (client->broken)
        return -ECONNRESET;
    return client->state == SIM_GONE ? -ENOTCONN : 0;
}

bool sim_client_is_over(const struct sim_client *client)
{
    return client->broken || client->state == SIM_GONE;
}

void sim_client_finish(struct sim_client *client)
{
    client->finished = true;
}

void sim_client_reset(struct sim_client *client)
{
    client->broken = true;
    client->down.start = client->down.end;
    if (sim_chance(client->machine, 50))
        client->up.start = client->up.end;
}

static void client_destroy(struct sim_client *client)
{
    struct sim_machine *machine = client->machine;
    uint32_t index = 0;
    sim_network_leave(client, SIM_RESET);
    while (machine->clients[index] != client)
        index++;
    machine->clients[index] = machine->clients[--machine->client_count];
    free(client->up.bytes);
    free(client->down.bytes);
    free(client);
}

void sim_client_free(struct sim_client *client)
{
    client->held = false;
    if (client->state == SIM_GONE)
        client_destroy(client);
    else if (!client->broken)
        sim_client_reset(client);
}

void sim_client_cut(struct sim_client *client, bool broken)
{
    sim_network_leave(client, broken ? SIM_RESET : SIM_FINISH);
    client->state = SIM_GONE;
    client->fd = -1;
    client->broken |= broken;
    client->send.active = false;
    if (!client->held)
        client_destroy(client);
}
