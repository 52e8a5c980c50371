/* Both forms tell the same numbers. A rejection is counted once for each order that was never
 * accepted, by the last reason given. */
#include "bench/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_SIZE = 32 };

struct rejections {
    uint32_t accepted;
    uint32_t rejected;
    uint32_t by_outcome[OUTCOME_COUNT];
};

static void count_rejections(const struct crowd *crowd, struct rejections *rejections)
{
    memset(rejections, 0, sizeof *rejections);
    for (uint32_t i = 0; i < CARTS; i++) {
        if (crowd->carts[i].seq != 0)
            rejections->accepted++;
        else
            rejections->by_outcome[crowd->carts[i].outcome]++;
    }
    rejections->rejected = CARTS - rejections->accepted;
}

bool report_is_good(const struct report *report)
{
    const struct crowd *crowd = report->crowd;
    return report->audit->oversold == 0 && crowd->lost == 0 && crowd->doubled == 0 &&
           crowd->wrong == 0 && report->audit->hot_left == 0 && crowd->hot_confirmed == HOT_UNITS &&
           strcmp(report->verdict, "ok") == 0;
}

/* 1234567 as 1,234,567. */
static const char *grouped(uint64_t number, char text[NUMBER_SIZE])
{
    char *cursor = &text[NUMBER_SIZE - 1];
    *cursor = '\0';
    for (uint32_t digits = 0; digits == 0 || number != 0; digits++, number /= 10) {
        if (digits != 0 && digits % 3 == 0)
            *--cursor = ',';
        *--cursor = (char)('0' + number % 10);
    }
    return cursor;
}

static double percentile_us(const struct report *report, double share)
{
    return (double)histogram_percentile(&report->crowd->latency, share) / 1000;
}

/* The left half of a line: what is counted, and how many. */
static void print_row(const char *name, uint64_t number)
{
    char text[NUMBER_SIZE];
    printf("  %-14s%11s   ", name, grouped(number, text));
}

/* One of several counts on a line, after a comma if it is not the first; nothing for zero. */
static void print_part(bool *begun, uint64_t number, const char *name)
{
    char text[NUMBER_SIZE];
    if (number == 0)
        return;
    printf("%s%s %s", *begun ? ", " : "", grouped(number, text), name);
    *begun = true;
}

static void print_orders(const struct report *report)
{
    const struct audit *audit = report->audit;
    struct rejections rejections;
    char text[NUMBER_SIZE];
    bool begun = false;
    count_rejections(report->crowd, &rejections);
    print_row("buyers", BUYERS);
    printf("with %s orders, on %u connections\n", grouped(CARTS, text), report->connections);
    print_row("accepted", rejections.accepted);
    for (uint32_t state = 0; state < AUDIT_STATES; state++)
        print_part(&begun, audit->orders[state],
                   named_value_name(FIELD_order_state, state) ?: "in no known state");
    printf("\n");
    begun = false;
    print_row("rejected", rejections.rejected);
    for (uint32_t outcome = 0; outcome < OUTCOME_COUNT; outcome++)
        print_part(&begun, rejections.by_outcome[outcome], outcome_name(outcome));
    printf("\n");
}

static void print_events(const struct report *report)
{
    const struct crowd *crowd = report->crowd;
    const struct audit *audit = report->audit;
    bool begun = false;
    print_row("hot goods", crowd->hot_confirmed);
    printf("units of %d sold; %u came back from other buyers first\n", HOT_UNITS,
           crowd->hot_accepted - crowd->hot_confirmed);
    print_row("payments", audit->payments[ACT_PAY]);
    print_part(&begun, audit->payments[ACT_FAIL], "failed");
    print_part(&begun, audit->payments[ACT_PAY_WRONG], "of a wrong amount");
    print_part(&begun, audit->payments[ACT_PAY_TWICE], "paid twice");
    print_part(&begun, audit->refunds, "refunds due");
    printf("\n");
    print_row("repeated", crowd->repeated);
    printf("second clicks, repeated webhooks, retries: the first answer again\n");
    for (uint32_t i = 0; i < report->kills; i++) {
        print_row("kill -9", i + 1);
        printf("with %" PRIu64 " requests in flight; recovered in %" PRIu64 " ms\n",
               report->killed_in_flight[i], report->recovery_ms[i]);
    }
    print_row("orders/s", (uint64_t)report->orders_per_second);
    printf("in the rush, each answer durable before it was given\n");
    print_row("latency, us", (uint64_t)percentile_us(report, 0.5));
    printf("median; p99 %.0f, p99.9 %.0f, max %.0f\n", percentile_us(report, 0.99),
           percentile_us(report, 0.999), (double)crowd->latency.maximum / 1000);
}

static void print_aftersale(const struct aftersale *aftersale)
{
    char number[NUMBER_SIZE], other[NUMBER_SIZE];
    print_row("shipped", aftersale->shipped);
    printf("orders, %s of them delivered; ", grouped(aftersale->delivered, number));
    printf("%s units came back\n", grouped(aftersale->returned, number));
    print_row("refunds", aftersale->refunds);
    printf("of %s.%02u EUR and %s points; ", grouped((uint64_t)aftersale->money_back / 100, number),
           (unsigned)(aftersale->money_back % 100),
           grouped((uint64_t)aftersale->points_back, other));
    printf("%s failed and were begun again\n", grouped(aftersale->bounced, number));
    print_row("points", (uint64_t)aftersale->points_earned);
    printf("earned by %s orders, a day later\n", grouped(aftersale->earners, number));
    print_row("forgotten", aftersale->forgotten);
    printf("orders that were over by then\n");
}

void report_print(const struct report *report)
{
    const struct crowd *crowd = report->crowd;
    bool verified = strcmp(report->verdict, "ok") == 0;
    printf("\nWhat happened\n");
    print_orders(report);
    print_events(report);
    print_aftersale(report->aftersale);
    printf("\nWhat was proven, from notes of every answer that any buyer was given\n");
    print_row("oversold", report->audit->oversold);
    printf("units of %d SKUs in %d warehouses\n", SKUS, WAREHOUSES);
    print_row("lost", crowd->lost);
    printf("acknowledged orders and payments that are not there as answered\n");
    print_row("doubled", crowd->doubled);
    printf("orders decided twice, payments captured twice\n");
    print_row("wrong", crowd->wrong);
    printf("other answers, sums, limits or balances that may not be\n");
    printf("  %-14s%11s   %s\n", "verify", verified ? "ok" : "FAILED",
           verified ? "the log replays to the same state, all invariants hold" : report->verdict);
    if (crowd->first_wrong[0] != '\0')
        printf("\nThe first that is wrong: %s\n", crowd->first_wrong);
    printf("\n%s, in %.1f s.\n", report_is_good(report) ? "All held" : "NOT all held",
           report->seconds);
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    putchar('"');
}

static void print_json_aftersale(const struct aftersale *aftersale)
{
    printf(", \"shipped\": %u, \"delivered\": %u, \"units_returned\": %u, \"refunds\": %u"
           ", \"refunds_failed\": %u, \"money_back\": %" PRId64 ", \"points_back\": %" PRId64
           ", \"points_earned\": %" PRId64 ", \"orders_forgotten\": %" PRIu64,
           aftersale->shipped, aftersale->delivered, aftersale->returned, aftersale->refunds,
           aftersale->bounced, aftersale->money_back, aftersale->points_back,
           aftersale->points_earned, aftersale->forgotten);
}

void report_print_json(const struct report *report)
{
    const struct crowd *crowd = report->crowd;
    struct rejections rejections;
    count_rejections(crowd, &rejections);
    printf("{\"oversold\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"doubled\": %" PRIu64
           ", \"wrong_answers\": %" PRIu64 ", \"buyers\": %d, \"orders\": %d, \"accepted\": %u"
           ", \"rejected\": {",
           report->audit->oversold, crowd->lost, crowd->doubled, crowd->wrong, BUYERS, CARTS,
           rejections.accepted);
    const char *separator = "";
    for (uint32_t outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        if (rejections.by_outcome[outcome] == 0)
            continue;
        printf("%s\"%s\": %u", separator, outcome_name(outcome), rejections.by_outcome[outcome]);
        separator = ", ";
    }
    uint64_t recovery_ms = 0;
    for (uint32_t i = 0; i < report->kills; i++)
        recovery_ms = recovery_ms > report->recovery_ms[i] ? recovery_ms : report->recovery_ms[i];
    printf("}, \"hot_units\": %d, \"hot_sold\": %u, \"hot_left\": %" PRIu64
           ", \"orders_per_second\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f"
           ", \"max_us\": %.1f, \"kills\": %u, \"recovery_ms\": %" PRIu64,
           HOT_UNITS, crowd->hot_confirmed, report->audit->hot_left, report->orders_per_second,
           percentile_us(report, 0.50), percentile_us(report, 0.99), percentile_us(report, 0.999),
           (double)crowd->latency.maximum / 1000, report->kills, recovery_ms);
    print_json_aftersale(report->aftersale);
    printf(", \"seconds\": %.1f, \"verify\": ", report->seconds);
    print_json_text(report->verdict);
    if (crowd->first_wrong[0] != '\0') {
        printf(", \"first_wrong\": ");
        print_json_text(crowd->first_wrong);
    }
    printf("}\n");
}
