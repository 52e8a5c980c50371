/* A replica that is none, and whose disk costs nothing: it joins, takes what it is sent, and
 * acknowledges it at once.
 *
 *   sink ADDR:PORT
 *
 *   hello -> replica.join, with nothing in its log -> answered STREAM -> frames and blocks
 *                                                                        |  for all that came with
 *                                                                        v  one read, one ack
 *
 * It decides nothing and writes nothing, so beside it only what a replica costs the primary is
 * seen: the sending, and with --acks 1 the waiting for acknowledgements. It is in C because with
 * one order in flight the client waits for each acknowledgement, which here takes some system calls
 * and no more.
 *
 * The server has its whole log and no snapshot, so an empty replica is sent all of it. The sink
 * ends when the connection does: with 0 when it was streaming, else with 1 after a message. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/random.h"
#include "cli/cli.h"
#include "engine/tables.h"
#include "net/client.h"
#include "net/link.h"

enum { IN_SIZE = 1 << 20, REQUEST_JOIN = LINK_REQUEST_NEXT };

struct sink {
    struct client client;
    struct link_reader reader;
    bool is_streaming;
    uint64_t seq; /* of the last change that came */
    char error[LINK_ERROR_SIZE];
    uint8_t in[IN_SIZE];
};

static bool send_all(struct sink *sink, const uint8_t *bytes, size_t size)
{
    while (size != 0) {
        ssize_t sent = send(client_fd(&sink->client), bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Its tables are as large as any. */
static bool send_join(struct sink *sink)
{
    struct random random = {.state = random_seed()};
    struct {
        struct replica_join_body body;
        struct capacity_body rows[TABLES_MAX];
    } join = {.body = {.member = random_id(&random),
                       .name = {.bytes = "sink"},
                       .schema = SCHEMA,
                       .version = WAL_BLOCK_VERSION}};
    uint8_t frame[FRAME_SIZE_MAX];
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    join.body.capacity_count = (uint16_t)count;
    for (size_t i = 0; i < count; i++)
        join.rows[i] =
            (struct capacity_body){.number = capacities[i].number, .records = UINT32_MAX};
    uint32_t size = (uint32_t)(sizeof join.body + count * sizeof join.rows[0]);
    return send_all(sink, frame,
                    link_request(frame, MESSAGE_replica_join, REQUEST_JOIN, &join, size));
}

/* Beats are acknowledged as well: a link that is silent is closed. */
static bool send_ack(struct sink *sink)
{
    uint8_t frame[sizeof(struct frame) + sizeof(struct replica_ack_body)];
    const struct replica_ack_body ack = {
        .seq_durable = sink->seq, .seq_applied = sink->seq, .state = member_state_STREAMING};
    return send_all(sink, frame, link_frame(frame, MESSAGE_replica_ack, &ack, sizeof ack));
}

static bool take_answer(struct sink *sink, const struct frame *frame)
{
    union link_body room;
    const struct replica_join_reply_body *answer =
        link_reply(frame, MESSAGE_replica_join, REQUEST_JOIN, &room, sink->error);
    if (answer == NULL)
        return false;
    sink->is_streaming = answer->answer == join_answer_STREAM;
    if (!sink->is_streaming)
        snprintf(sink->error, sizeof sink->error, "the join was answered %s: %.128s",
                 named_value_name(FIELD_join_answer, answer->answer) ?: "what is not known",
                 answer->reason.bytes);
    return sink->is_streaming;
}

static bool take_frame(struct sink *sink, const struct frame *frame)
{
    union link_body room;
    const char *reason = NULL;
    if (!sink->is_streaming)
        return take_answer(sink, frame);
    if (link_closes(frame, sink->error))
        return false;
    const void *body = link_body(frame, &room, &reason);
    bool is_right = body != NULL;
    if (is_right && frame->type == MESSAGE_replica_block) {
        uint32_t size = ((const struct replica_block_body *)body)->size;
        is_right = size >= WAL_ALIGN && size <= WAL_BLOCK_SIZE_MAX;
        if (is_right)
            link_reader_expect(&sink->reader, size);
    }
    if (!is_right)
        snprintf(sink->error, sizeof sink->error, "a malformed message %u", frame->type);
    return is_right;
}

static bool take_block(struct sink *sink)
{
    struct wal_block block;
    if (!wal_block_read(sink->reader.room, &block)) {
        snprintf(sink->error, sizeof sink->error, "what follows seq %" PRIu64 " is no block",
                 sink->seq);
        return false;
    }
    sink->seq = block.seq_first + block.command_count - 1;
    return true;
}

/* Takes what came with one read; false with an error. */
static bool take(struct sink *sink, size_t size)
{
    const uint8_t *bytes = sink->in;
    for (;;) {
        switch (link_reader_next(&sink->reader, &bytes, &size)) {
        case LINK_MORE:
            return true;
        case LINK_FRAME:
            if (!take_frame(sink, link_reader_frame(&sink->reader)))
                return false;
            break;
        case LINK_BYTES:
            if (!take_block(sink))
                return false;
            break;
        case LINK_WRONG:
            snprintf(sink->error, sizeof sink->error, "what comes is no frame");
            return false;
        }
    }
}

/* Until the connection ends, or what comes is wrong. */
static void follow(struct sink *sink)
{
    for (;;) {
        ssize_t got = recv(client_fd(&sink->client), sink->in, sizeof sink->in, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || !take(sink, (size_t)got))
            return;
        if (sink->is_streaming && !send_ack(sink))
            return;
    }
}

int main(int argc, char **argv)
{
    static struct sink sink;
    if (argc != 2) {
        fprintf(stderr, "usage: sink ADDR:PORT\n");
        return EXIT_USAGE;
    }
    if (!client_open(&sink.client, argv[1], 0)) {
        fprintf(stderr, "sink: %s: %s\n", argv[1], sink.client.error);
        return EXIT_FAILED;
    }
    fcntl(client_fd(&sink.client), F_SETFL, 0); /* a read waits */
    if (!link_reader_init(&sink.reader, WAL_BLOCK_SIZE_MAX))
        snprintf(sink.error, sizeof sink.error, "no memory");
    else if (send_join(&sink))
        follow(&sink);
    if (sink.error[0] != '\0')
        fprintf(stderr, "sink: %s\n", sink.error);
    else if (!sink.is_streaming)
        fprintf(stderr, "sink: the server closed the connection\n");
    link_reader_deinit(&sink.reader);
    client_close(&sink.client);
    return sink.is_streaming && sink.error[0] == '\0' ? EXIT_OK : EXIT_FAILED;
}
