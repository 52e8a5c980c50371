/* `till promote`: makes a replica the primary of the next epoch, so that nothing is lost that was
 * answered.
 *
 * A primary with --acks K answers when a change is durable on itself and on K others. Of N members,
 * N - K must promise to refuse all older epochs before one of them is promoted: N - K and K + 1
 * are more than N together, so at least one of those that promised has each change that was
 * answered, and the one with the most has all of them. And no K others are left that could still
 * acknowledge to an old primary.
 *
 *   ask      every member what it has: shop, epochs, seq. N is the largest number that any states,
 *            K the smallest but 0: where they differ, those are the numbers that ask for the most
 *            promises. With K = 0 an answer waited for nobody else, so all members are needed
 *   seal     an epoch above all that any of them knows, on each that answered
 *   choose   the one with the most among those that sealed
 *   promote  it
 *   lead     the others to it
 *
 * What can fail: any member, at any step. Before `promote` nothing has changed but promises, which
 * can be made again: the whole is repeated, with the next epoch. After it, a member that could not
 * be led to the new primary is, by `till follow`.
 *
 * --force goes on with fewer promises, or with one that has less, after saying what that may lose.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/members.h"

enum { MEMBERS_MAX = REPLICAS_MAX };

/* How long the one that is promoted has to bring to its disk what it decided as a primary. */
enum { PROMOTE_WAIT_MS = 10 * 1000 };

struct seen {
    char address[ADDRESS_TEXT_SIZE];
    bool is_reached; /* it has told what it has, */
    bool is_sealed;  /* and promised, */
    bool counts;     /* and has had all that it acknowledged since then */
    struct member_body body;
};

struct promotion {
    struct seen members[MEMBERS_MAX];
    uint32_t count;
    uint32_t member_count; /* N */
    uint32_t acks;         /* K */
    struct id shop;
    uint64_t epoch; /* to begin */
    const char *target;
    bool is_forced;
};

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fputs("till promote: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

/* Tells a step as it is taken, since the next one may take seconds. */
__attribute__((format(printf, 2, 3))) static void tell(const struct seen *member,
                                                       const char *format, ...)
{
    va_list arguments;
    printf("%s: ", member->address);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* Takes the list apart. EXIT_OK, or the exit code after a message. */
static int read_members(struct promotion *promotion, const char *list)
{
    for (const char *end = list; *list != '\0'; list = *end == ',' ? end + 1 : end) {
        end = list + strcspn(list, ",");
        struct seen *member = &promotion->members[promotion->count];
        int size = (int)(end - list);
        struct text text;
        if (promotion->count == MEMBERS_MAX) {
            refuse("--members: more than %d", MEMBERS_MAX);
            return EXIT_USAGE;
        }
        snprintf(member->address, sizeof member->address, "%.*s", size, list);
        if (size >= ADDRESS_TEXT_SIZE || !member_address(member->address, &text)) {
            refuse("--members: %.*s: expected ADDR:PORT, or [ADDR]:PORT for IPv6", size, list);
            return EXIT_USAGE;
        }
        for (uint32_t i = 0; i < promotion->count; i++) {
            if (strcmp(promotion->members[i].address, member->address) == 0) {
                refuse("--members: %s is there twice", member->address);
                return EXIT_USAGE;
            }
        }
        promotion->count++;
    }
    return EXIT_OK;
}

static struct seen *find_target(struct promotion *promotion)
{
    for (uint32_t i = 0; i < promotion->count; i++) {
        if (strcmp(promotion->members[i].address, promotion->target) == 0)
            return &promotion->members[i];
    }
    return NULL;
}

/* Did it begin empty, and not catch up since? It may be in the place of one whose disk was lost,
 * and with it changes that this one acknowledged. */
static bool is_syncing(const struct seen *member)
{
    return member->body.state == member_state_SYNCING;
}

/* Asks what every member has. */
static void ask_all(struct promotion *promotion)
{
    const struct member_seal_body request = {.epoch = 0};
    char error[MEMBER_ERROR_SIZE];
    for (uint32_t i = 0; i < promotion->count; i++) {
        struct seen *member = &promotion->members[i];
        const struct member_body *body = &member->body;
        member->is_reached = member_ask(member->address, MESSAGE_member_seal, &request,
                                        sizeof request, &member->body, error);
        if (member->is_reached)
            tell(member, "%s, epoch %" PRIu64 ", seq %" PRIu64,
                 body->role == server_role_PRIMARY ? "a primary" : "a replica", body->epoch,
                 body->seq);
        else
            tell(member, "no answer: %s", error);
    }
}

/* Is this member one of the same shop, and another one than those before it? */
static int look_at(struct promotion *promotion, uint32_t index)
{
    const struct seen *member = &promotion->members[index];
    if (!id_is_zero(promotion->shop) && !id_is_zero(member->body.shop) &&
        !id_equal(promotion->shop, member->body.shop))
        return refuse("%s is of another shop than those before it in --members", member->address);
    if (id_is_zero(promotion->shop))
        promotion->shop = member->body.shop;
    for (uint32_t i = 0; i < index; i++) {
        const struct seen *other = &promotion->members[i];
        if (other->is_reached && id_equal(other->body.member, member->body.member))
            return refuse("%s and %s are the same server", other->address, member->address);
    }
    return EXIT_OK;
}

/* Learns N, K, the shop and the next epoch from what the members say. */
static int take_in(struct promotion *promotion)
{
    uint64_t newest = 0;
    promotion->member_count = promotion->count;
    for (uint32_t i = 0; i < promotion->count; i++) {
        const struct member_body *body = &promotion->members[i].body;
        if (!promotion->members[i].is_reached)
            continue;
        int code = look_at(promotion, i);
        if (code != EXIT_OK)
            return code;
        if (body->members > promotion->member_count)
            promotion->member_count = body->members;
        if (body->acks > 0 && (promotion->acks == 0 || body->acks < promotion->acks))
            promotion->acks = body->acks;
        newest = body->epoch > newest ? body->epoch : newest;
        newest = body->epoch_sealed > newest ? body->epoch_sealed : newest;
    }
    promotion->epoch = newest + 1;
    if (id_is_zero(promotion->shop))
        return refuse("no member that has a shop answers: nothing was changed; start some of them");
    if (promotion->acks >= promotion->member_count)
        promotion->member_count = promotion->acks + 1;
    return EXIT_OK;
}

/* Has each member promise. An empty one has no shop that it could promise for. */
static void seal_all(struct promotion *promotion)
{
    const struct member_seal_body request = {.shop = promotion->shop, .epoch = promotion->epoch};
    char error[MEMBER_ERROR_SIZE];
    for (uint32_t i = 0; i < promotion->count; i++) {
        struct seen *member = &promotion->members[i];
        if (!member->is_reached)
            continue;
        if (id_is_zero(member->body.shop)) {
            tell(member, "is empty: it does not count");
            continue;
        }
        member->is_sealed = member_ask(member->address, MESSAGE_member_seal, &request,
                                       sizeof request, &member->body, error);
        member->counts = member->is_sealed && !is_syncing(member);
        if (member->is_sealed && !member->counts)
            tell(member, "began empty and has not caught up: it does not count");
        if (member->is_sealed)
            tell(member, "refuses epochs before %" PRIu64 "; has epoch %" PRIu64 ", seq %" PRIu64,
                 promotion->epoch, member->body.epoch, member->body.seq);
        else
            tell(member, "does not promise: %s", error);
    }
}

/* Does it answer, and would its promise count? */
static bool is_there(const struct seen *member)
{
    return member->is_reached && !id_is_zero(member->body.shop) && !is_syncing(member);
}

/* The addresses of those that did not promise or, before anyone was asked to, are not there. */
static void print_missing(const struct promotion *promotion, bool were_asked)
{
    const char *comma = "";
    for (uint32_t i = 0; i < promotion->count; i++) {
        const struct seen *member = &promotion->members[i];
        if (were_asked ? member->counts : is_there(member))
            continue;
        fprintf(stderr, "%s%s", comma, promotion->members[i].address);
        comma = ", ";
    }
    if (promotion->member_count > promotion->count)
        fprintf(stderr, "%s%" PRIu32 " that --members does not name", comma,
                promotion->member_count - promotion->count);
}

static uint32_t needed(const struct promotion *promotion)
{
    return promotion->member_count - promotion->acks;
}

static bool has_more(const struct seen *a, const struct seen *b)
{
    if (a->body.epoch != b->body.epoch)
        return a->body.epoch > b->body.epoch;
    return a->body.seq > b->body.seq;
}

/* So few members do what is needed. */
static void tell_few(const struct promotion *promotion, uint32_t count, bool were_asked)
{
    refuse("%s%" PRIu32 " of %" PRIu32 " members %s, at least %" PRIu32 " needed",
           promotion->is_forced ? "--force: " : "", count, promotion->member_count,
           were_asked ? "sealed" : "answer", needed(promotion));
    fputs("till promote: missing: ", stderr);
    print_missing(promotion, were_asked);
    fputc('\n', stderr);
}

/* With too few that answer, nobody is asked to promise: a primary among them would stop for
 * nothing.
 */
static int judge_answers(const struct promotion *promotion)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < promotion->count; i++)
        count += is_there(&promotion->members[i]);
    if (count >= needed(promotion) || promotion->is_forced)
        return EXIT_OK;
    tell_few(promotion, count, false);
    return refuse("nothing was changed: start one of these%s, or give --force, which loses every "
                  "change that only they have",
                  promotion->member_count > promotion->count ? " and name it" : "");
}

/* Are the promises enough, or is it forced? */
static int judge_promises(const struct promotion *promotion)
{
    uint32_t count = 0;
    bool is_one_sealed = false;
    for (uint32_t i = 0; i < promotion->count; i++) {
        count += promotion->members[i].counts;
        is_one_sealed |= promotion->members[i].is_sealed;
    }
    if (count >= needed(promotion))
        return EXIT_OK;
    tell_few(promotion, count, true);
    if (!promotion->is_forced || !is_one_sealed)
        return refuse("nobody was promoted, and those that sealed take no commands until someone "
                      "is: repeat it when more answer%s",
                      is_one_sealed ? ", or with --force, which loses every change that only the "
                                      "missing ones have"
                                    : "");
    refuse("--force: every change that only the missing ones have is lost, answered or not; and an "
           "old primary among them goes on until it hears of epoch %" PRIu64,
           promotion->epoch);
    return EXIT_OK;
}

/* Can the one that was named be promoted, by what the members told? Asked before anyone promises: a
 * primary among them would stop for nothing. What they have may change until they promise, so
 * choose asks again. */
static int judge_target(struct promotion *promotion)
{
    if (promotion->target == NULL)
        return EXIT_OK;
    const struct seen *target = find_target(promotion);
    TILL_ASSERT(target != NULL);
    if (!target->is_reached)
        return refuse("nothing was changed: %s does not answer, so it cannot be promoted",
                      target->address);
    for (uint32_t i = 0; i < promotion->count && !promotion->is_forced; i++) {
        const struct seen *other = &promotion->members[i];
        if (other->is_reached && has_more(other, target))
            return refuse("nothing was changed: %s has epoch %" PRIu64 ", seq %" PRIu64
                          ", and %s has more: promote that one, or repeat it when this one has "
                          "caught up",
                          target->address, target->body.epoch, target->body.seq, other->address);
    }
    return EXIT_OK;
}

/* Of those that promised, the one with the most; the first of several. */
static struct seen *find_best(struct promotion *promotion)
{
    struct seen *best = NULL;
    for (uint32_t i = 0; i < promotion->count; i++) {
        struct seen *member = &promotion->members[i];
        if (member->is_sealed && (best == NULL || has_more(member, best)))
            best = member;
    }
    return best;
}

/* NULL after a message. */
static struct seen *choose(struct promotion *promotion)
{
    struct seen *best = find_best(promotion);
    if (promotion->target == NULL)
        return best;
    struct seen *target = find_target(promotion);
    TILL_ASSERT(best != NULL && target != NULL);
    if (!target->is_sealed) {
        refuse("%s did not promise, so it cannot be promoted; %s can be", target->address,
               best->address);
        return NULL;
    }
    if (!has_more(best, target))
        return target;
    refuse("%s%s has epoch %" PRIu64 ", seq %" PRIu64 ", and %s has more: epoch %" PRIu64
           ", seq %" PRIu64 "%s",
           promotion->is_forced ? "--force: " : "", target->address, target->body.epoch,
           target->body.seq, best->address, best->body.epoch, best->body.seq,
           promotion->is_forced ? ", which is lost"
                                : "; nobody was promoted, and those that sealed take no commands "
                                  "until someone is: repeat it with that one");
    return promotion->is_forced ? target : NULL;
}

/* Leads the others to the new primary. One that was not reached may be lost for good, which is no
 * failure; if it is not, it does not know whom to follow. */
static int lead(struct promotion *promotion, const struct seen *winner)
{
    struct member_follow_body request;
    char error[MEMBER_ERROR_SIZE];
    int code = EXIT_OK;
    member_address(winner->address, &request.primary);
    for (uint32_t i = 0; i < promotion->count; i++) {
        struct seen *member = &promotion->members[i];
        if (member == winner)
            continue;
        if (!member->is_reached)
            tell(member, "was not reached: when it is there again, use till follow %s --connect %s",
                 winner->address, member->address);
        else if (member_ask(member->address, MESSAGE_member_follow, &request, sizeof request,
                            &member->body, error))
            tell(member, "follows %s", winner->address);
        else
            code = refuse("%s does not follow: %s; when it is there again, use till follow %s "
                          "--connect %s",
                          member->address, error, winner->address, member->address);
    }
    return code;
}

static int promote(struct promotion *promotion)
{
    char error[MEMBER_ERROR_SIZE];
    ask_all(promotion);
    int code = take_in(promotion);
    if (code != EXIT_OK)
        return code;
    printf("%" PRIu32 " members, %" PRIu32 " acknowledgements: at least %" PRIu32
           " must refuse epochs before %" PRIu64 "\n",
           promotion->member_count, promotion->acks, needed(promotion), promotion->epoch);
    code = judge_answers(promotion);
    if (code == EXIT_OK)
        code = judge_target(promotion);
    if (code != EXIT_OK)
        return code;
    seal_all(promotion);
    code = judge_promises(promotion);
    if (code != EXIT_OK)
        return code;
    struct seen *winner = choose(promotion);
    if (winner == NULL)
        return EXIT_FAILED;
    const struct member_promote_body request = {.shop = promotion->shop, .epoch = promotion->epoch};
    if (!member_ask_again(winner->address, MESSAGE_member_promote, &request, sizeof request,
                          &winner->body, PROMOTE_WAIT_MS, error))
        return refuse("%s was not promoted: %s; till promote can be repeated", winner->address,
                      error);
    tell(winner, "is the primary of epoch %" PRIu64, promotion->epoch);
    return lead(promotion, winner);
}

static void print_help(void)
{
    options_print_usage(stdout, &promote_table);
    printf(
        "Makes a replica the primary. First, so many servers of the shop promise to refuse the\n"
        "old primary that no change can be answered there any more, and that one of them has\n"
        "every change that was answered; of these the one that has most is promoted, and the\n"
        "others follow it, the old primary too if it is there. With fewer, nothing is promoted.\n"
        "It can be repeated at any time, and after any failure.\n\n");
    options_print(stdout, &promote_table);
}

int cli_promote(int argc, char **argv)
{
    static struct promotion promotion;
    struct promote_options options;
    int operands = options_parse(&promote_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        print_help();
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    promotion = (struct promotion){.target = options.connect, .is_forced = options.force};
    if (options.members == NULL) {
        refuse("expected --members ADDR:PORT,...: all servers of the shop");
        return EXIT_USAGE;
    }
    int code = read_members(&promotion, options.members);
    if (code != EXIT_OK)
        return code;
    if (promotion.target != NULL && find_target(&promotion) == NULL) {
        refuse("--connect %s is not one of --members", promotion.target);
        return EXIT_USAGE;
    }
    return promote(&promotion);
}
