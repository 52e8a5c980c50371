/* The server's metrics: once a turn, at its end, each layer fills in its own, and the whole is
 * published on the board that other threads read (base/metrics.h). `stats` reads the same struct,
 * on this thread: the engine's figures in its answer are those of the moment, the others those of
 * the last turn's end.
 *
 * A turn pays for a copy of some 60 words, twice, and one more look at the clock. Nothing is paid
 * per command: what is counted here is counted per turn, event or connection. */
#include "net/metrics.h"

#include "net/server_state.h"

static void loop_metrics(struct server *server, struct metrics *metrics)
{
    struct server_counts *counts = &server->counts;
    uint64_t now_us = io_time_us(server->io);
    uint64_t took_us = now_us > server->turn_us ? now_us - server->turn_us : 0;
    counts->busy_us += took_us;
    if (took_us > counts->turn_us_max)
        counts->turn_us_max = took_us;
    metrics->loop_turns = counts->turns;
    metrics->loop_events = counts->events;
    metrics->loop_busy_us = counts->busy_us;
    metrics->loop_turn_us_max = counts->turn_us_max;
    metrics->batches = counts->batches;
    metrics->stalled = server->is_stalled;
    metrics->notices = counts->notices;
    metrics->clock_jumps = server->timekeeping.clock.jump_count;
}

static void connections_metrics(const struct server *server, struct metrics *metrics)
{
    const struct server_counts *counts = &server->counts;
    metrics->connections = server->session_count;
    metrics->connections_closing = server->closing_count;
    metrics->connections_max = server->session_high;
    metrics->connections_accepted = counts->accepted;
    metrics->connections_refused = counts->refused;
    metrics->connections_silent = counts->silent;
    metrics->connections_stuck = counts->stuck;
    metrics->protocol_errors = counts->protocol_errors;
    metrics->received_bytes = counts->received_bytes;
    metrics->sent_bytes = counts->sent_bytes;
    metrics->output_chunks = server->outputs.chunk_count - server->outputs.free_count;
    metrics->sessions_waiting = server->waiting.count;
    metrics->sessions_starved = server->starved.count;
}

void metrics_open(struct server *server)
{
    engine_show_metrics(server->engine, &server->metrics);
}

void metrics_turn(struct server *server, uint32_t events)
{
    struct metrics *metrics = &server->metrics;
    server->counts.turns++;
    server->counts.events += events;
    engine_metrics(server->engine, metrics);
    wal_metrics(server->wal, metrics);
    if (server->snapshots.writer != NULL)
        writer_metrics(server->snapshots.writer, metrics);
    if (server->archive != NULL)
        archive_metrics(server->archive, metrics);
    loop_metrics(server, metrics);
    connections_metrics(server, metrics);
    metrics_publish(&server->board, metrics);
}
