/* `till replicas`: the replicas that follow a server, as a table for a person or as one JSON object
 * for a program. All figures are the server's own, at one moment. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "cli/units.h"
#include "cli/value.h"
#include "net/client.h"

enum { ANSWER_MS = 10000, CELL_SIZE = 128 };

static const char *const headings[] = {
    "name",    "address",   "state", "sent",       "durable",
    "applied", "behind by", "log",   "behind for", "in this state since"};

enum { COLUMNS = sizeof headings / sizeof headings[0] };

struct table {
    char cells[REPLICAS_MAX + 1][COLUMNS][CELL_SIZE];
    uint32_t row_count;
};

/* A value as the shell writes it; "-" when there is none. */
static void write_cell(char cell[CELL_SIZE], unsigned type, const void *value)
{
    FILE *out = fmemopen(cell, CELL_SIZE, "w");
    TILL_ASSERT(out != NULL);
    bool may_lack = type == FIELD_time || field_type_info(type)->coding == CODING_BYTES;
    if (may_lack && value_is_zero(type, value))
        fputc('-', out);
    else
        value_write(out, VALUE_TEXT, type, value);
    fclose(out);
    cell[CELL_SIZE - 1] = '\0';
}

static double seconds(uint64_t us)
{
    return (double)us / US_PER_SECOND;
}

static double percent(uint64_t done, uint64_t all)
{
    return all > 0 ? 100.0 * (double)done / (double)all : 0;
}

static void add_row(struct table *table, const struct replica_body *replica)
{
    char(*cells)[CELL_SIZE] = table->cells[table->row_count++];
    char state[CELL_SIZE];
    write_cell(cells[0], FIELD_name, &replica->name);
    write_cell(cells[1], FIELD_text, &replica->address);
    write_cell(state, FIELD_member_state, &replica->state);
    if (replica->sync_bytes > 0)
        snprintf(cells[2], CELL_SIZE, "%.100s %.0f %%", state,
                 percent(replica->sync_done, replica->sync_bytes));
    else
        snprintf(cells[2], CELL_SIZE, "%s", state);
    snprintf(cells[3], CELL_SIZE, "%" PRIu64, replica->seq_sent);
    snprintf(cells[4], CELL_SIZE, "%" PRIu64, replica->seq_durable);
    snprintf(cells[5], CELL_SIZE, "%" PRIu64, replica->seq_applied);
    snprintf(cells[6], CELL_SIZE, "%" PRIu64, replica->lag_commands);
    snprintf(cells[7], CELL_SIZE, "%.1f MiB", mebibytes(replica->lag_bytes));
    snprintf(cells[8], CELL_SIZE, "%.3f s", seconds(replica->lag_us));
    write_cell(cells[9], FIELD_time, &replica->since);
}

/* Each column as wide as its widest cell; the last one ends the line. */
static void print_table(const struct table *table)
{
    for (uint32_t row = 0; row < table->row_count; row++) {
        for (size_t column = 0; column < COLUMNS; column++) {
            size_t width = 0;
            for (uint32_t i = 0; i < table->row_count; i++) {
                size_t size = strlen(table->cells[i][column]);
                width = size > width ? size : width;
            }
            bool is_last = column == COLUMNS - 1;
            printf("%-*s%s", is_last ? 0 : (int)width, table->cells[row][column],
                   is_last ? "\n" : "  ");
        }
    }
}

/* What the server says of itself. */
static void print_server(const char *address, const struct replicas_reply_body *reply)
{
    char state[CELL_SIZE];
    char primary[CELL_SIZE];
    write_cell(state, FIELD_member_state, &reply->state);
    printf("%s: %s, %s, epoch %" PRIu64 ", seq %" PRIu64 "\n", address,
           reply->role == server_role_REPLICA ? "a replica" : "the primary", state, reply->epoch,
           reply->seq);
    if (reply->state == member_state_FENCED) {
        puts("answers NOT_PRIMARY: a newer epoch has begun, or is about to. Lead it to the new "
             "primary with\n"
             "till follow or, if nobody was promoted, repeat till promote");
    } else if (reply->role == server_role_REPLICA) {
        write_cell(primary, FIELD_text, &reply->primary);
        printf("follows %s; ", primary);
        if (reply->age == UINT64_MAX)
            printf("how old its answers are is not known yet\n");
        else
            printf("its answers are %.3f s old\n", seconds(reply->age));
    }
    if (reply->state == member_state_WAITING)
        puts("decides nothing until enough other members have joined it: requests are answered "
             "NO_QUORUM");
    if (reply->acks > 0 && reply->role == server_role_PRIMARY)
        printf("waits for %" PRIu32 " of its replicas: answered up to seq %" PRIu64 "\n",
               reply->acks, reply->seq_released);
    if (reply->sync_bytes == 0)
        return;
    double rate = reply->sync_us > 0 ? (double)reply->sync_done / seconds(reply->sync_us) : 0;
    double left = (double)(reply->sync_bytes - reply->sync_done);
    printf("first sync: %.1f %% of %.1f MiB, %.1f MiB/s",
           percent(reply->sync_done, reply->sync_bytes), mebibytes(reply->sync_bytes),
           rate / (1 << 20));
    if (rate > 0)
        printf(", %.0f s left", left / rate);
    putchar('\n');
}

static void print_replicas(const char *address, const struct client_reply *answer)
{
    const struct message_info *message = message_info(MESSAGE_replicas);
    struct table table = {.row_count = 0};
    struct replicas_reply_body reply;
    memcpy(&reply, answer->body, sizeof reply);
    print_server(address, &reply);
    if (reply.replica_count == 0) {
        puts("no replica follows it");
        return;
    }
    for (size_t column = 0; column < COLUMNS; column++)
        snprintf(table.cells[0][column], CELL_SIZE, "%s", headings[column]);
    table.row_count = 1;
    const uint8_t *rows = (const uint8_t *)answer->body + sizeof reply;
    for (uint32_t i = 0; i < reply.replica_count; i++) {
        struct replica_body replica;
        memcpy(&replica, rows + (size_t)i * message->reply_row->size_bytes, sizeof replica);
        add_row(&table, &replica);
    }
    putchar('\n');
    print_table(&table);
}

/* Is it an answer whose rows are all there? text_write_reply checks the same. */
static bool is_whole(const struct client_reply *answer)
{
    const struct message_info *message = message_info(MESSAGE_replicas);
    if (answer->size < sizeof(struct replicas_reply_body))
        return false;
    uint32_t rows = shape_rows(message->reply, answer->body);
    return rows <= REPLICAS_MAX &&
           answer->size == message->reply->size_bytes + rows * message->reply_row->size_bytes;
}

static int print_answer(const struct replicas_options *options, const struct client_reply *answer)
{
    if (answer->outcome != OUTCOME_OK || !is_whole(answer)) {
        fprintf(stderr, "till replicas: %s: it answers %s\n", options->connect,
                answer->outcome == OUTCOME_OK ? "in a way that is not known here"
                                              : outcome_name(answer->outcome));
        return EXIT_FAILED;
    }
    if (!options->json) {
        print_replicas(options->connect, answer);
        return EXIT_OK;
    }
    const struct text_reply reply = {.message = message_info(MESSAGE_replicas),
                                     .outcome = answer->outcome,
                                     .body = answer->body,
                                     .size = answer->size};
    text_write_reply(stdout, VALUE_JSON, &reply);
    putchar('\n');
    return EXIT_OK;
}

int cli_replicas(int argc, char **argv)
{
    const struct empty_body request = {0};
    struct replicas_options options;
    struct client client;
    struct client_reply answer;
    uint32_t number = 0;
    int operands = options_parse(&replicas_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &replicas_table);
        printf(
            "Prints what a server is, and the replicas that are connected to it: how far each is,\n"
            "and how far behind. Behind for 0 s has all that there is.\n\n");
        options_print(stdout, &replicas_table);
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    if (!client_open(&client, options.connect, FRAME_FEATURE_OPERATOR)) {
        fprintf(stderr, "till replicas: %s\n", client.error);
        return EXIT_FAILED;
    }
    bool is_answered = client_queue(&client, MESSAGE_replicas, &request, sizeof request, &number) &&
                       client_receive(&client, &answer, ANSWER_MS);
    int code = EXIT_FAILED;
    if (is_answered)
        code = print_answer(&options, &answer);
    else
        fprintf(stderr, "till replicas: %s\n", client.error);
    client_close(&client);
    return code;
}
