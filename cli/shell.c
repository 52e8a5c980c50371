/* Lines in, answers out, in the order of the lines. Lines go to a server, or to the state of a
 * folder at some moment, which answers queries and changes nothing.
 *
 *   lines_next -> text_read -> client_queue -> ... -> client_take -> text_write_reply -> stdout
 *                    | refused                            | the connection broke
 *                    v                                    v
 *                 stderr (and an object)        every line without an answer is named
 *
 * When input is piped, lines are sent without waiting for the answers of those before; the server
 * decides the requests of a connection in their order, so a line sees the effect of every line
 * before it all the same. Requests in flight are bounded by the limit in the server's hello, by a
 * fixed number, and by the size of their replies, which must fit into the buffers of the sockets:
 * so the server never waits for this process, which may itself wait for the reader of its output.
 * On a terminal each answer is printed before the next prompt.
 *
 * With --follow, which may change the connection at any answer, lines are sent one by one.
 *
 * A line that cannot be understood is refused here, and the next one is read; a connection that
 * breaks ends the shell, because nobody knows whether the lines without an answer took effect. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/lines.h"
#include "cli/text.h"
#include "net/client.h"

enum {
    IN_FLIGHT_MAX = 1024,
    REPLY_BYTES_MAX = 64 * 1024, /* of replies that may be in flight to this process */
    SENT_BODY_SIZE_MAX = 256,
    RANDOM_KEYS = 64,
};

/* A line that was sent and has no answer yet. */
struct sent_line {
    const struct message_info *message;
    uint64_t number;
    uint32_t reply_size_max;
    bool has_made_up_key;
    uint64_t body[SENT_BODY_SIZE_MAX / 8]; /* the request without its rows */
};

struct shell {
    struct client client;
    struct folder *folder; /* answers in place of the server; NULL: a server answers */
    uint64_t *room;        /* buffer for the folder's replies */
    struct text_request request;
    enum value_form form;
    bool is_interactive;
    bool shows_age;
    bool has_failed;   /* some line could not be understood or sent */
    bool has_rejected; /* some answer was neither OK nor REPLAYED */

    struct sent_line sent[IN_FLIGHT_MAX]; /* a ring */
    uint32_t sent_first;
    uint32_t sent_count;
    uint32_t sent_max;
    uint32_t reply_bytes; /* the largest size that all their replies together can have */

    struct id keys[RANDOM_KEYS];
    uint32_t keys_left;
    struct lines lines;
};

static struct id random_key(struct shell *shell)
{
    struct id key = {0, 0};
    while (id_is_zero(key)) {
        if (shell->keys_left > 0)
            key = shell->keys[--shell->keys_left];
        else if (getrandom(shell->keys, sizeof shell->keys, 0) == (ssize_t)sizeof shell->keys)
            shell->keys_left = RANDOM_KEYS;
    }
    return key;
}

/* The shell's own JSON object about a line; value may be NULL. */
static void write_object(const struct shell *shell, uint64_t number, const char *outcome,
                         const char *name, const char *value)
{
    if (shell->form != VALUE_JSON)
        return;
    printf("{\"line\":%" PRIu64 ",\"outcome\":\"%s\"", number, outcome);
    if (value != NULL) {
        printf(",\"%s\":", name);
        value_write_string(stdout, VALUE_JSON, value, strlen(value));
    }
    puts("}");
}

/* Flushes stdout first: answers to earlier lines must appear before a message about a later one. */
__attribute__((format(printf, 3, 4))) static void complain(struct shell *shell, uint64_t number,
                                                           const char *format, ...)
{
    va_list arguments;
    shell->has_failed = true;
    fflush(stdout);
    if (!shell->is_interactive && number > 0)
        fprintf(stderr, "line %" PRIu64 ": ", number);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* Writes the reply; false when it is not one to this request. */
static bool write_answer(struct shell *shell, const struct sent_line *line,
                         const struct client_reply *reply)
{
    const struct text_reply answer = {.message = line->message,
                                      .request = line->body,
                                      .outcome = reply->outcome,
                                      .body = reply->body,
                                      .size = reply->size,
                                      .line = line->number,
                                      .shows_key = line->has_made_up_key,
                                      .shows_age = shell->shows_age,
                                      .age_us = reply->age_us};
    if (reply->number != line->message->number || !text_write_reply(stdout, shell->form, &answer)) {
        complain(shell, line->number, "error: the server's answer is not one to this command");
        return false;
    }
    putchar('\n');
    shell->has_rejected |= reply->outcome != OUTCOME_OK && reply->outcome != OUTCOME_REPLAYED;
    return true;
}

/* The answer to the oldest line in flight. */
static bool take_answer(struct shell *shell, const struct client_reply *reply)
{
    struct sent_line line = shell->sent[shell->sent_first];
    shell->sent_first = (shell->sent_first + 1) % IN_FLIGHT_MAX;
    shell->sent_count--;
    shell->reply_bytes -= line.reply_size_max;
    return write_answer(shell, &line, reply);
}

/* Writes the answers that have come. */
static bool take_answers(struct shell *shell)
{
    struct client_reply reply;
    bool has_come = shell->sent_count > 0;
    while (has_come) {
        if (!client_take(&shell->client, &reply, &has_come) ||
            (has_come && !take_answer(shell, &reply)))
            return false;
        has_come = has_come && shell->sent_count > 0;
    }
    return true;
}

/* Takes the answer to the oldest line in flight. What was written before is shown while it is
 * waited for. */
static bool wait_for_answer(struct shell *shell)
{
    struct client_reply reply;
    bool has_come = false;
    if (!client_take(&shell->client, &reply, &has_come))
        return false;
    if (!has_come) {
        fflush(stdout);
        if (!client_receive(&shell->client, &reply, -1))
            return false;
    }
    return take_answer(shell, &reply);
}

/* Waits until there is room for one more line in flight, whose reply may have so many bytes. */
static bool wait_for_room(struct shell *shell, uint32_t reply_size)
{
    bool goes_on = true;
    while (goes_on &&
           (shell->sent_count == shell->sent_max ||
            (shell->sent_count > 0 && shell->reply_bytes + reply_size > REPLY_BYTES_MAX)))
        goes_on = wait_for_answer(shell);
    return goes_on;
}

/* Waits until every line that was sent is answered. */
static bool wait_for_all(struct shell *shell)
{
    bool goes_on = true;
    while (goes_on && shell->sent_count > 0)
        goes_on = wait_for_answer(shell);
    return goes_on;
}

static bool refuse(struct shell *shell, const char *reason)
{
    if (!wait_for_all(shell))
        return false;
    write_object(shell, shell->lines.number, "REFUSED", "reason", reason);
    complain(shell, shell->lines.number, "refused: %s", reason);
    return true;
}

/* The answer at the requested moment, or at the end of the folder's log. */
static struct client_reply ask_folder(struct shell *shell, const struct text_request *request)
{
    struct engine *engine = shell->folder->replay.engine;
    struct reply_sink sink = {.cursor = (uint8_t *)shell->room, .gap = 0};
    struct command command = {.body = request->body,
                              .sink = &sink,
                              .size = request->size,
                              .number = (uint16_t)request->message->number};
    uint64_t time_us = shell->folder->replay.time_last_us;
    engine_decide(engine, time_us > 0 ? time_us : engine_time_us(engine), &command, 1);
    return (struct client_reply){.number = request->message->number,
                                 .outcome = command.outcome,
                                 .body = command.reply,
                                 .size = command.reply_size};
}

/* Sends a line and takes its answer, from the primary if this server sends it there. */
static bool call_line(struct shell *shell)
{
    const struct text_request *request = &shell->request;
    struct client_reply reply;
    fflush(stdout);
    return client_call(&shell->client, request->message->number, request->body, request->size,
                       &reply) &&
           take_answer(shell, &reply);
}

static bool send_line(struct shell *shell, const struct sent_line *line)
{
    const struct text_request *request = &shell->request;
    uint32_t number = 0;
    if (!wait_for_room(shell, line->reply_size_max))
        return false;
    shell->sent[(shell->sent_first + shell->sent_count++) % IN_FLIGHT_MAX] = *line;
    shell->reply_bytes += line->reply_size_max;
    if (shell->client.follows)
        return call_line(shell);
    return client_queue(&shell->client, request->message->number, request->body, request->size,
                        &number) &&
           (!shell->is_interactive || wait_for_all(shell));
}

static bool run_command(struct shell *shell, const char *text, size_t size)
{
    struct text_request *request = &shell->request;
    char error[TEXT_ERROR_SIZE];
    if (!text_read(text, size, clock_wall_us(), random_key(shell), request, error))
        return refuse(shell, error);
    if (shell->folder != NULL && request->message->kind != KIND_QUERY)
        return refuse(shell, "with --data only queries are answered: changes need a server");
    size_t fixed_size = request->message->request->size_bytes;
    struct sent_line line = {.message = request->message,
                             .number = shell->lines.number,
                             .has_made_up_key = request->has_made_up_key};
    TILL_ASSERT(fixed_size <= sizeof line.body);
    memcpy(line.body, request->body, fixed_size);
    line.reply_size_max = (uint32_t)sizeof(struct frame) +
                          engine_reply_bound(request->message->number, request->body);
    if (shell->folder == NULL)
        return send_line(shell, &line);
    const struct client_reply reply = ask_folder(shell, request);
    return write_answer(shell, &line, &reply);
}

static void print_list(FILE *out)
{
    text_print_commands(out);
    fprintf(out, "%-16s%s\n", "help", "this list; `help order.place` explains one command");
    fprintf(out, "%-16s%s\n", "quit", "ends");
}

/* Prints help as text, or inside one JSON object. */
static bool run_help(struct shell *shell, const char *name, size_t size)
{
    const struct message_info *message = message_find(name, size);
    char error[128];
    char *text = NULL;
    size_t text_size = 0;
    if (size > 0 && (message == NULL || !text_is_command(message))) {
        snprintf(error, sizeof error, "no command %.*s; `help` lists them",
                 (int)(size < 64 ? size : 64), name);
        return refuse(shell, error);
    }
    if (!wait_for_all(shell))
        return false;
    FILE *out = shell->form == VALUE_JSON ? open_memstream(&text, &text_size) : stdout;
    if (out == NULL)
        return refuse(shell, "no memory for the help");
    if (size == 0)
        print_list(out);
    else
        text_print_command(out, message);
    if (out != stdout) {
        fclose(out);
        write_object(shell, shell->lines.number, "OK", "text", text);
        free(text);
    }
    return true;
}

/* Runs one line; false ends the shell. */
static bool run_line(struct shell *shell)
{
    static const char spaces[] = " \t\r";
    char text[LINE_SIZE_MAX + 1];
    size_t size = shell->lines.size;
    if (memchr(shell->lines.text, '\0', size) != NULL)
        return refuse(shell, "the line has a zero byte in it");
    memcpy(text, shell->lines.text, size);
    text[size] = '\0';
    const char *line = text + strspn(text, spaces);
    size = strlen(line);
    while (size > 0 && strchr(spaces, line[size - 1]) != NULL)
        size--;
    if (size == 0 || line[0] == '#')
        return true;
    size_t word = strcspn(line, spaces);
    if (size == 4 && strncmp(line, "quit", size) == 0) {
        if (wait_for_all(shell))
            write_object(shell, shell->lines.number, "OK", NULL, NULL);
        return false;
    }
    if (word != 4 || strncmp(line, "help", word) != 0)
        return run_command(shell, line, size);
    const char *name = line + word + strspn(line + word, spaces);
    return run_help(shell, name, name < line + size ? (size_t)(line + size - name) : 0);
}

/* Runs the lines that have arrived. */
static bool run_lines(struct shell *shell)
{
    enum lines_next next = LINES_LINE;
    bool goes_on = true;
    while (goes_on && (next = lines_next(&shell->lines)) != LINES_NONE) {
        goes_on = next == LINES_LINE ? run_line(shell)
                                     : refuse(shell, "the line is longer than 65536 bytes");
        if (shell->is_interactive && goes_on)
            fputs("till> ", stdout);
    }
    return goes_on;
}

/* Sends and shows what there is, and waits for a line or an answer. */
static bool wait_for_more(struct shell *shell)
{
    struct pollfd fds[2] = {{.fd = shell->lines.has_ended ? -1 : shell->lines.fd, .events = POLLIN},
                            {.fd = -1, .events = POLLIN}};
    if (shell->sent_count > 0) {
        fds[1].fd = client_fd(&shell->client);
        if (!client_flush(&shell->client))
            return false;
    }
    fflush(stdout);
    if (poll(fds, 2, -1) > 0 && fds[0].revents != 0)
        lines_read(&shell->lines);
    return take_answers(shell);
}

/* Names the lines without an answer, after taking the answers that did arrive. */
static void tell_unanswered(struct shell *shell)
{
    char key_text[ID_TEXT_SIZE];
    if (wait_for_all(shell))
        return;
    const char *reason =
        shell->client.error[0] != '\0' ? shell->client.error : "the server sent a malformed answer";
    complain(shell, 0, "error: %s", reason);
    for (uint32_t i = 0; i < shell->sent_count; i++) {
        const struct sent_line *line = &shell->sent[(shell->sent_first + i) % IN_FLIGHT_MAX];
        struct id key = text_request_key(line->message, line->body);
        const char *text = id_is_zero(key) ? NULL : id_format(key, key_text);
        complain(shell, line->number, "no answer: %s%s%s", line->message->name,
                 text != NULL ? " key=" : "", text != NULL ? text : "");
        if (shell->form != VALUE_JSON)
            continue;
        printf("{\"line\":%" PRIu64 ",\"outcome\":\"UNANSWERED\",\"command\":\"%s\",\"key\":",
               line->number, line->message->name);
        value_write(stdout, VALUE_JSON, FIELD_key, &key);
        fputs(",\"reason\":", stdout);
        value_write_string(stdout, VALUE_JSON, reason, strlen(reason));
        puts("}");
    }
    complain(
        shell, 0,
        "each of these was done once or not at all: send it again as it was, with the key named "
        "here. Nothing behind line %" PRIu64 " was sent",
        shell->lines.number);
}

static void run_input(struct shell *shell)
{
    bool goes_on = true;
    lines_init(&shell->lines, STDIN_FILENO);
    if (shell->is_interactive)
        fputs("till> ", stdout);
    while (goes_on && !(shell->lines.has_ended && shell->sent_count == 0))
        goes_on = wait_for_more(shell) && run_lines(shell);
    tell_unanswered(shell);
    if (shell->lines.error != 0) {
        fprintf(stderr, "till shell: input cannot be read: %s\n", strerror(shell->lines.error));
        shell->has_failed = true;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "till shell: output cannot be written: %s\n", strerror(errno));
        shell->has_failed = true;
    }
}

static void run_server(struct shell *shell, const struct shell_options *options, uint64_t min_seq)
{
    const bool is_fresh = options->age || min_seq > 0;
    if (!client_open(&shell->client, options->connect,
                     FRAME_FEATURE_CHECKSUM | FRAME_FEATURE_OPERATOR |
                         (is_fresh ? FRAME_FEATURE_FRESH : 0))) {
        fprintf(stderr, "till shell: %s\n", shell->client.error);
        shell->has_failed = true;
        return;
    }
    if (is_fresh)
        client_set_min_seq(&shell->client, min_seq);
    shell->client.follows = options->follow;
    shell->shows_age = options->age;
    shell->sent_max =
        shell->client.in_flight_max < IN_FLIGHT_MAX ? shell->client.in_flight_max : IN_FLIGHT_MAX;
    run_input(shell);
    client_close(&shell->client);
}

static void run_folder(struct shell *shell, struct folder *folder, const char *path)
{
    shell->folder = folder;
    shell->room = malloc(FRAME_SIZE_MAX);
    shell->has_failed = shell->room == NULL || !folder_open(folder, path) || !folder_read(folder);
    if (!shell->has_failed && !engine_list(folder->replay.engine)) {
        fprintf(stderr, "till shell: no memory for the lists of orders\n");
        shell->has_failed = true;
    }
    if (!shell->has_failed)
        run_input(shell);
    folder_close(folder);
    free(shell->room);
}

static void print_help(void)
{
    options_print_usage(stdout, &shell_table);
    printf("Reads commands from standard input, one per line, and prints one answer each, in the\n"
           "order of the lines:\n"
           "  order.place order=1 customer=42 sale=1 line=7x2@1999 points=500\n"
           "  stock.get sku=7\n"
           "`help` lists the commands, `help order.place` explains one, `quit` ends. Empty lines\n"
           "and those that begin with # have no answer. Piped lines are sent without waiting for\n"
           "the answers of those before; each sees the effect of all lines before it.\n\n"
           "A command without a key gets a random one, which is shown at the end of its answer.\n"
           "When the connection breaks, each line without an answer is named, with its key: sent\n"
           "again with that key (stock.adjust key=... and the same fields) it is done once.\n\n"
           "With --json every answer is one object that begins with its line's number:\n"
           "  {\"line\":1,\"outcome\":\"OK\",\"seq\":12,...}   OK, REPLAYED or a rejection of the "
           "server\n"
           "  {\"line\":2,\"outcome\":\"REFUSED\",\"reason\":\"...\"}   by the shell; nothing was "
           "sent\n"
           "  {\"line\":3,\"outcome\":\"UNANSWERED\",\"command\":\"stock.adjust\",\"key\":\"...\","
           "...}\n"
           "  {\"line\":4,\"outcome\":\"OK\",\"text\":\"...\"}   to help\n"
           "so that a script can be written as\n"
           "  till shell --json --fail < shop.till | jq 'select(.outcome != \"OK\")'\n"
           "The exit code is 0 when every line could be understood and was answered; with --fail\n"
           "only when every outcome was OK or REPLAYED, too; else 1.\n\n");
    options_print(stdout, &shell_table);
}

/* False after a message. */
static bool options_agree(const struct shell_options *options, uint64_t *min_seq)
{
    const char *text = options->min_seq;
    bool asks_server = options->age || options->follow || text != NULL;
    bool names_moment = options->archive != NULL || options->at != NULL || options->seq != NULL;
    *min_seq = 0;
    if (text != NULL && !value_read(FIELD_u64, text, strlen(text), 0, min_seq))
        fprintf(stderr, "till shell: --min-seq %s: expected a number\n", text);
    else if (options->data == NULL && names_moment)
        fprintf(stderr, "till shell: --archive, --at and --seq need --data DIR\n");
    else if (options->data != NULL && asks_server)
        fprintf(stderr, "till shell: --age, --min-seq and --follow need a server, not --data\n");
    else
        return true;
    return false;
}

int cli_shell(int argc, char **argv)
{
    struct shell_options options;
    int operands = options_parse(&shell_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    struct folder folder = {.command = "till shell",
                            .archive = options.archive,
                            .at = options.at,
                            .seq = options.seq,
                            .capacities = options.capacities};
    uint64_t min_seq = 0;
    if (!folder_options(&folder) || !options_agree(&options, &min_seq))
        return EXIT_USAGE;
    struct shell *shell = calloc(1, sizeof *shell);
    if (shell == NULL) {
        fprintf(stderr, "till shell: no memory\n");
        return EXIT_FAILED;
    }
    shell->form = options.json ? VALUE_JSON : VALUE_TEXT;
    shell->is_interactive = isatty(STDIN_FILENO) != 0;
    if (options.data != NULL)
        run_folder(shell, &folder, options.data);
    else
        run_server(shell, &options, min_seq);
    bool good = !shell->has_failed && !(options.fail && shell->has_rejected);
    free(shell);
    return good ? EXIT_OK : EXIT_FAILED;
}
