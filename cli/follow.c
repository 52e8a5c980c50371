/* `till follow`: makes a running server a replica of another one. What its folder has that the
 * other's history has not is set aside by the server, which names the file. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/members.h"

static int follow(const char *server, const char *primary)
{
    char error[MEMBER_ERROR_SIZE];
    struct member_follow_body request;
    struct member_body member;
    if (!member_address(primary, &request.primary)) {
        fprintf(stderr, "till follow: %s: expected ADDR:PORT, or [ADDR]:PORT for IPv6\n", primary);
        return EXIT_USAGE;
    }
    if (strcmp(server, primary) == 0) {
        fprintf(stderr, "till follow: %s cannot follow itself\n", server);
        return EXIT_USAGE;
    }
    if (!member_ask(server, MESSAGE_member_follow, &request, sizeof request, &member, error)) {
        fprintf(stderr, "till follow: %s: %s\n", server, error);
        return EXIT_FAILED;
    }
    printf("%s: follows %s from seq %" PRIu64 " of epoch %" PRIu64 "\n", server, primary,
           member.seq, member.epoch);
    return EXIT_OK;
}

int cli_follow(int argc, char **argv)
{
    struct follow_options options;
    int operands = options_parse(&follow_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &follow_table);
        printf("Makes a running server a replica of the one at ADDR:PORT, for good: it remembers\n"
               "that when it is started again. A former primary sets aside what it had decided\n"
               "and the other one does not have, and says so; `till log` prints it.\n"
               "A server that is the primary stops deciding at once, also when the other one does\n"
               "not answer: to make another server the primary, use till promote --connect.\n\n");
        options_print(stdout, &follow_table);
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    return follow(options.connect, argv[1]);
}
