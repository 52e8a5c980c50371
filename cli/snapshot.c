/* `till snapshot`: asks a running server for a snapshot, and waits until it is published. The
 * server answers at once, with the seq of its last change; it is polled until its newest snapshot
 * includes that seq. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "engine/messages.h"
#include "net/client.h"

enum { ASK_INTERVAL_MS = 50 };

static bool ask(struct client *client, uint64_t seq, struct snapshot_reply_body *reply)
{
    const struct snapshot_body request = {.seq = seq};
    struct client_reply answer;
    if (!client_call(client, MESSAGE_snapshot, &request, sizeof request, &answer)) {
        fprintf(stderr, "till snapshot: %s\n", client->error);
        return false;
    }
    if (answer.outcome != OUTCOME_OK || answer.size < sizeof *reply) {
        fprintf(stderr, "till snapshot: the server answers %s\n", outcome_name(answer.outcome));
        return false;
    }
    memcpy(reply, answer.body, sizeof *reply);
    return true;
}

static int wait_published(struct client *client, uint32_t wait_s)
{
    struct snapshot_reply_body first;
    struct snapshot_reply_body reply;
    const struct timespec interval = {.tv_nsec = ASK_INTERVAL_MS * 1000000L};
    if (!ask(client, 0, &first))
        return EXIT_FAILED;
    reply = first;
    for (uint64_t waited_ms = 0; reply.seq_published < first.seq; waited_ms += ASK_INTERVAL_MS) {
        if (reply.failures > first.failures) {
            fprintf(stderr, "till snapshot: the snapshot failed; the server's stderr says why\n");
            return EXIT_FAILED;
        }
        if (waited_ms >= wait_s * 1000ULL) {
            fprintf(stderr,
                    "till snapshot: not published within %" PRIu32 " seconds; it may still be, "
                    "unless the server runs with --no-snapshots\n",
                    wait_s);
            return EXIT_FAILED;
        }
        nanosleep(&interval, NULL);
        if (!ask(client, first.seq, &reply))
            return EXIT_FAILED;
    }
    printf("published: seq %" PRIu64 "\n", reply.seq_published);
    return EXIT_OK;
}

int cli_snapshot(int argc, char **argv)
{
    struct snapshot_options options;
    int operands = options_parse(&snapshot_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &snapshot_table);
        printf("Has a running server take a snapshot, and waits until it is published.\n\n");
        options_print(stdout, &snapshot_table);
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    struct client client;
    if (!client_open(&client, options.connect, FRAME_FEATURE_OPERATOR)) {
        fprintf(stderr, "till snapshot: %s\n", client.error);
        return EXIT_FAILED;
    }
    int code = wait_published(&client, options.wait);
    client_close(&client);
    return code;
}
