/* One line in, one line out: each line is sent and answered before the next is read, so that a
 * script sees the effect of every line before it. Lines go to a server, or to the state of a folder
 * at some moment, which answers queries and changes nothing.
 *
 * A line that cannot be understood is refused here, on stderr, and the next one is read; a
 * connection that breaks ends the shell, because nobody knows whether the last line took effect.
 * The prompt is there for people only: when input comes from elsewhere, the output is answers. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/folder.h"
#include "cli/text.h"
#include "net/client.h"

struct shell {
    struct client client;
    struct folder *folder; /* what is asked instead of the server; NULL: the server */
    uint64_t *room;        /* for the folder's replies */
    struct text_request request;
    enum value_form form;
    uint64_t line_number;
    bool interactive;
    bool failed; /* some line could not be understood or sent */
};

enum shell_step { SHELL_NEXT, SHELL_QUIT };

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * US_PER_SECOND + (uint64_t)now.tv_nsec / 1000;
}

static struct id random_key(void)
{
    struct id key = {0, 0};
    while (id_is_zero(key)) {
        if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
            key = (struct id){0, 0};
    }
    return key;
}

/* Answers come before the complaint about a later line, also where both go to one place. */
static void complain(struct shell *shell, const char *kind, const char *reason)
{
    shell->failed = true;
    fflush(stdout);
    if (!shell->interactive)
        fprintf(stderr, "line %" PRIu64 ": ", shell->line_number);
    fprintf(stderr, "%s: %s\n", kind, reason);
}

/* At the moment asked for, or else of what the folder ends with. */
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

static enum shell_step run_command(struct shell *shell, const char *line, size_t size)
{
    struct text_request *request = &shell->request;
    struct client_reply reply;
    char error[TEXT_ERROR_SIZE];
    if (!text_read(line, size, clock_us(), random_key(), request, error)) {
        complain(shell, "refused", error);
        return SHELL_NEXT;
    }
    if (shell->folder != NULL && request->message->kind != KIND_QUERY) {
        complain(shell, "refused", "a folder answers queries alone: changes go to its server");
        return SHELL_NEXT;
    }
    if (shell->folder != NULL) {
        reply = ask_folder(shell, request);
    } else if (!client_call(&shell->client, request->message->number, request->body, request->size,
                            &reply)) {
        complain(shell, "error", shell->client.error);
        return SHELL_QUIT;
    }
    const struct text_reply answer = {.message = request->message,
                                      .request = request->body,
                                      .outcome = reply.outcome,
                                      .body = reply.body,
                                      .size = reply.size};
    if (reply.number != request->message->number ||
        !text_write_reply(stdout, shell->form, &answer)) {
        complain(shell, "error", "the server's answer is not one to this command");
        return SHELL_QUIT;
    }
    fputc('\n', stdout);
    return SHELL_NEXT;
}

static void help(struct shell *shell, const char *name, size_t size)
{
    const struct message_info *message = message_find(name, size);
    char error[128];
    if (size == 0) {
        text_print_commands(stdout);
        printf("%-16s%s\n", "help", "this list; `help order.place` explains one command");
        printf("%-16s%s\n", "quit", "ends");
    } else if (message != NULL && text_is_command(message)) {
        text_print_command(stdout, message);
    } else {
        snprintf(error, sizeof error, "no command %.*s; `help` lists them",
                 (int)(size < 64 ? size : 64), name);
        complain(shell, "refused", error);
    }
}

static enum shell_step run_line(struct shell *shell, const char *line)
{
    static const char spaces[] = " \t\r\n";
    line += strspn(line, spaces);
    size_t size = strlen(line);
    size_t word = strcspn(line, spaces);
    while (size > 0 && strchr(spaces, line[size - 1]) != NULL)
        size--;
    if (size == 0 || line[0] == '#')
        return SHELL_NEXT;
    if (size == 4 && strncmp(line, "quit", size) == 0)
        return SHELL_QUIT;
    if (word != 4 || strncmp(line, "help", word) != 0)
        return run_command(shell, line, size);
    const char *name = line + word + strspn(line + word, spaces);
    help(shell, name, name < line + size ? (size_t)(line + size - name) : 0);
    return SHELL_NEXT;
}

static void run_input(struct shell *shell)
{
    char *line = NULL;
    size_t capacity = 0;
    enum shell_step step = SHELL_NEXT;
    while (step == SHELL_NEXT) {
        if (shell->interactive)
            fputs("till> ", stdout);
        fflush(stdout);
        ssize_t size = getline(&line, &capacity, stdin);
        if (size < 0)
            break;
        shell->line_number++;
        if (strlen(line) != (size_t)size)
            complain(shell, "refused", "the line has a zero byte in it");
        else
            step = run_line(shell, line);
    }
    free(line);
    if (ferror(stdin)) {
        fprintf(stderr, "till shell: input cannot be read: %s\n", strerror(errno));
        shell->failed = true;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "till shell: output cannot be written: %s\n", strerror(errno));
        shell->failed = true;
    }
}

static int run_server(struct shell *shell, const char *address)
{
    if (!client_open(&shell->client, address, FRAME_FEATURES)) {
        fprintf(stderr, "till shell: %s\n", shell->client.error);
        return EXIT_FAILED;
    }
    run_input(shell);
    client_close(&shell->client);
    return shell->failed ? EXIT_FAILED : EXIT_OK;
}

static int run_folder(struct shell *shell, struct folder *folder, const char *path)
{
    shell->folder = folder;
    shell->room = malloc(FRAME_SIZE_MAX);
    shell->failed = shell->room == NULL || !folder_open(folder, path) || !folder_read(folder);
    if (!shell->failed)
        run_input(shell);
    folder_close(folder);
    free(shell->room);
    return shell->failed ? EXIT_FAILED : EXIT_OK;
}

enum { OWN_ROWS = 3, SHELL_ROWS = OWN_ROWS + FOLDER_ROWS + CAPACITY_COUNT };

static void print_help(const struct option_row rows[SHELL_ROWS])
{
    printf("usage: till shell [options]\n\n"
           "Reads commands from standard input, one per line, and prints one answer each:\n"
           "  order.place order=1 customer=42 sale=1 line=7x2@1999 points=500\n"
           "`help` lists the commands. A command without a key gets a random one. The exit\n"
           "code is 0 when every line could be understood and sent.\n\n");
    options_print(stdout, rows, OWN_ROWS);
    printf("\nWith --data, which moment queries are answered for, and at least the capacities\n"
           "that the server ran with:\n");
    options_print(stdout, rows + OWN_ROWS, FOLDER_ROWS + CAPACITY_COUNT);
}

int cli_shell(int argc, char **argv)
{
    const char *address = CLIENT_ADDRESS_DEFAULT;
    const char *data = NULL;
    bool json = false;
    struct folder folder = {.command = "till shell", .capacities = engine_options_default};
    struct option_row rows[SHELL_ROWS] = {
        {"connect", OPTION_TEXT, &address, "ADDR:PORT", "the server; " CLIENT_ADDRESS_DEFAULT},
        {"data", OPTION_TEXT, &data, "DIR", "ask this folder, no server: queries alone"},
        {"json", OPTION_FLAG, &json, NULL, "answer with one JSON object per line"},
    };
    folder_rows(&folder, rows + OWN_ROWS);
    capacity_rows(&folder.capacities, rows + OWN_ROWS + FOLDER_ROWS);
    int operands = options_parse(argc, argv, rows, SHELL_ROWS);
    if (operands == OPTIONS_HELP) {
        print_help(rows);
        return EXIT_OK;
    }
    if (operands != 0) {
        if (operands > 0)
            fprintf(stderr, "till shell: what is %s? Commands come from standard input\n", argv[1]);
        return EXIT_USAGE;
    }
    if (!folder_options(&folder))
        return EXIT_USAGE;
    if (data == NULL && (folder.archive != NULL || folder.at != NULL || folder.seq != NULL)) {
        fprintf(stderr, "till shell: --archive, --at and --seq belong to --data DIR\n");
        return EXIT_USAGE;
    }
    struct shell shell = {.form = json ? VALUE_JSON : VALUE_TEXT,
                          .interactive = isatty(STDIN_FILENO) != 0};
    return data != NULL ? run_folder(&shell, &folder, data) : run_server(&shell, address);
}
