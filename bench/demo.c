/* `till demo`: the whole promise in under a minute, on the machine of whoever asks.
 *
 *   set up     a shop with 4 hot SKUs in a sale's pools and 300 others, in two warehouses
 *   rush       100,000 buyers at once, over real connections; kill -9 in the middle
 *   aftermath  abandoned carts end and their goods are fought over; kill -9 once more
 *   audit      every order, stock and balance against the notes of every answer
 *   aftersale  much of what was sold is shipped and delivered, some comes back and is refunded
 *   next day   SIGTERM, which has to end with 0, and a start with the clocks a day ahead: return
 *              windows have closed, points were earned, and orders that are over have left memory;
 *              every balance and stock once more
 *   end        SIGTERM again, and `till verify` on the folder
 *
 * After a kill the answers that had already left the server are still read from the sockets: they
 * are acknowledgements, and must hold. Then it starts again on the same folder, and every request
 * without an answer is sent again as it was. Every wait has a deadline. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/aftersale.h"
#include "bench/audit.h"
#include "bench/child.h"
#include "bench/crowd.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/shop.h"
#include "cli/cli.h"

#define NS_PER_MS 1000000ULL

enum {
    CONNECTIONS = 64,
    IN_FLIGHT = 32,
    KILLS = 2,
    RUSH_KILL_CARTS = BUYERS * 2 / 5, /* arrived when the first kill comes */
    AFTERMATH_KILL_MS = 3000,         /* after the doors opened */
    CLOSING_MS = 5000,                /* from then on everybody pays */
    TURN_MS = 5,
    SHOW_MS = 1000,
    SHOW_TTY_MS = 100,
    DEADLINE_MS = 25 * 1000,
    START_TIMEOUT_MS = 20 * 1000,
    STOP_TIMEOUT_MS = 20 * 1000,
    HOLDS_TIMEOUT_MS = 10 * 1000,
    VERIFY_TIMEOUT_MS = 60 * 1000,
    VERDICT_SIZE = 512,
};

/* Capacities for this crowd and a reserve: a small server recovers fastest. Orders that are over
 * are kept for half a day. The first argument is for the next day, when the clocks are a day ahead.
 */
enum { NEXT_DAY_ARGUMENTS = 1 };
static const char *const server_arguments[] = {
    "--clock-ahead=86400", "--retain-orders=43200", "--opaques=4k",     "--skus=4k",
    "--stocks=8k",         "--tallies=512k",        "--customers=256k", "--lots=128k",
    "--ledger=256k",       "--orders=256k",         "--lines=256k",     "--pieces=256k",
    "--point-takes=64k",   "--moneys=256k",         "--steps=512k",     "--payments=256k",
    "--deadlines=512k",    "--keys=256k",           "--earnings=128k",  "--accounts=128k",
    "--fulfilments=128k",  "--parcels=128k",        "--refunds=32k",    NULL,
};

struct demo {
    struct crowd crowd;
    struct audit audit;
    struct aftersale aftersale;
    struct load load;
    struct child server;
    struct child_options server_options;
    char error[CHILD_ERROR_SIZE + 64]; /* why the demo could not go on */
    bool live;                         /* progress in place, on a terminal */

    uint64_t opened_ms;
    uint64_t shown_ms;
    uint64_t shown_placings;
    uint64_t down_ms; /* from a kill to the first requests afterwards, summed */
    uint64_t rush_ms; /* until every cart had an answer, without the time the server was down */
    uint64_t rush_placings;
    uint32_t kills;
    uint64_t recovery_ms[KILLS];
    uint64_t killed_in_flight[KILLS];
    char verdict[VERDICT_SIZE];
};

static uint64_t clock_ms(void)
{
    return load_clock_ns() / NS_PER_MS;
}

static bool fail(struct demo *demo, const char *what, const char *why)
{
    snprintf(demo->error, sizeof demo->error, "%s: %s", what, why);
    return false;
}

/* Prints one line of progress: once a second, or overwritten in place on a terminal. */
static void show(struct demo *demo, bool now)
{
    struct crowd *crowd = &demo->crowd;
    uint64_t passed_ms = crowd->now_ms - demo->shown_ms;
    if (!now && passed_ms < (uint64_t)(demo->live ? SHOW_TTY_MS : SHOW_MS))
        return;
    double rate = passed_ms == 0
                      ? 0
                      : (double)(crowd->placings - demo->shown_placings) * 1000 / (double)passed_ms;
    fprintf(stderr,
            "%s%5.1f s  %6u orders came, %7.0f answers/s, hot units sold and paid: %4u of %d%s",
            demo->live ? "\r" : "", (double)(crowd->now_ms - demo->opened_ms) / 1000,
            crowd->arrived, rate, crowd->hot_confirmed, HOT_UNITS, demo->live ? "\033[K" : "\n");
    demo->shown_ms = crowd->now_ms;
    demo->shown_placings = crowd->placings;
}

__attribute__((format(printf, 2, 3))) static void tell(const struct demo *demo, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs(demo->live ? "\r\033[K" : "", stderr);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

static bool set_up(struct demo *demo)
{
    struct random random = {.state = demo->crowd.seed};
    struct client client;
    struct pool_body pools[HOT_SKUS * WAREHOUSES];
    struct sale_put_body sale = {
        .sale = SALE,
        .hold = SALE_HOLD_S,
        .points_share = POINTS_SHARE,
        .rate_points = 1,
        .rate_money = 1,
        .customer_sku_max = CUSTOMER_SKU_MAX,
        .customer_sale_max = CUSTOMER_SALE_MAX,
        .flags = sale_flags_FAIL_AT_ONCE,
        .earn_points = 1,
        .earn_money = EARN_MONEY,
        .return_window = RETURN_WINDOW_S,
        .earn_life = EARN_LIFE_S,
    };
    if (!client_open(&client, demo->server.address, 0))
        return fail(demo, "setting up", client.error);
    const struct shop shop = shop_of_client(&client, &random);
    bool done = true;
    for (uint64_t sku = 1; done && sku <= SKUS; sku++) {
        done = shop_put_sku(&shop, sku, crowd_price(sku), CURRENCY_EUR);
        for (uint32_t warehouse = 1; done && warehouse <= WAREHOUSES; warehouse++) {
            uint32_t units = crowd_stock(sku, warehouse);
            done = shop_put_stock(&shop, sku, warehouse, units);
            if (crowd_is_hot(sku))
                pools[sale.pool_count++] =
                    (struct pool_body){.sku = sku, .quantity = units, .warehouse = warehouse};
        }
    }
    for (uint32_t buyer = 0; done && buyer < BUYERS; buyer += POINTS_EVERY)
        done = shop_credit_points(&shop, crowd_customer(&demo->crowd, buyer), POINTS_CREDITED);
    done = done && shop_open_sale(&shop, &sale, pools) && shop_settle(&client);
    if (!done)
        fail(demo, "setting up", client.error);
    client_close(&client);
    return done;
}

static bool start_server(struct demo *demo)
{
    char error[CHILD_ERROR_SIZE];
    return child_serve(&demo->server, &demo->server_options, error) ||
           fail(demo, "starting", error);
}

static bool connect_crowd(struct demo *demo)
{
    struct load_address address;
    if (!load_address_read(&address, demo->server.address))
        return fail(demo, "the server's address", demo->server.address);
    return load_connect(&demo->load, &address) || fail(demo, "connecting", demo->load.error);
}

/* Kills the server while requests are in flight, reads the answers that it had sent, and starts it
 * again. */
static bool kill_and_recover(struct demo *demo)
{
    uint64_t killed_ms = clock_ms();
    load_fill(&demo->load);
    demo->killed_in_flight[demo->kills] = demo->load.in_flight;
    child_kill(&demo->server);
    demo->crowd.paused = true;
    while (demo->load.connected != 0 && clock_ms() < killed_ms + START_TIMEOUT_MS)
        load_turn(&demo->load, TURN_MS);
    load_disconnect(&demo->load);

    uint64_t started_ms = clock_ms();
    if (!start_server(demo))
        return false;
    demo->recovery_ms[demo->kills] = clock_ms() - started_ms;
    if (!connect_crowd(demo))
        return false;
    demo->crowd.paused = false;
    demo->down_ms += clock_ms() - killed_ms;
    demo->crowd.now_ms = clock_ms();
    tell(demo,
         "         kill -9 with %" PRIu64 " requests in flight; recovered in %" PRIu64
         " ms, asking again",
         demo->killed_in_flight[demo->kills], demo->recovery_ms[demo->kills]);
    demo->kills++;
    return true;
}

static bool time_for_kill(const struct demo *demo)
{
    if (demo->kills == 0)
        return demo->crowd.arrived >= RUSH_KILL_CARTS;
    uint64_t open_ms = demo->crowd.now_ms - demo->opened_ms - demo->down_ms;
    return demo->kills < KILLS && demo->rush_ms != 0 && open_ms >= AFTERMATH_KILL_MS;
}

static void open_doors(struct demo *demo)
{
    demo->opened_ms = demo->shown_ms = demo->crowd.now_ms = clock_ms();
    tell(demo, "The doors open.");
}

/* From the opening until everybody is served and the hot goods are sold. */
static bool sell(struct demo *demo)
{
    struct crowd *crowd = &demo->crowd;
    open_doors(demo);
    while (!crowd_settled(crowd) || demo->kills < KILLS) {
        crowd->now_ms = clock_ms();
        uint64_t open_ms = crowd->now_ms - demo->opened_ms - demo->down_ms;
        if (crowd->now_ms - demo->opened_ms > DEADLINE_MS) {
            crowd_complain(crowd, &crowd->wrong, NO_CART, "the sale did not come to its end");
            break;
        }
        if (interrupted)
            return fail(demo, "selling", "interrupted");
        crowd->closing = open_ms > CLOSING_MS;
        if (demo->rush_ms == 0 && crowd->answered == CARTS) {
            demo->rush_ms = open_ms > 0 ? open_ms : 1;
            demo->rush_placings = crowd->placings;
        }
        if (time_for_kill(demo) && !kill_and_recover(demo))
            return false;
        load_fill(&demo->load);
        if (!load_turn(&demo->load, TURN_MS))
            return fail(demo, "selling", demo->load.error);
        show(demo, false);
    }
    crowd->over = true;
    load_fill(&demo->load);
    uint64_t end_ms = clock_ms() + START_TIMEOUT_MS;
    while (demo->load.in_flight != 0 && clock_ms() < end_ms)
        load_turn(&demo->load, TURN_MS);
    crowd->now_ms = clock_ms();
    show(demo, true);
    if (demo->live)
        fprintf(stderr, "\n");
    return demo->load.in_flight == 0 || fail(demo, "selling", "requests were never answered");
}

/* Abandoned carts end within a tick of their deadline. */
static bool await_holds(struct demo *demo)
{
    struct client client;
    struct client_reply reply;
    const struct empty_body question = {0};
    uint64_t end_ms = clock_ms() + HOLDS_TIMEOUT_MS;
    bool ended = false;
    if (!client_open(&client, demo->server.address, 0))
        return fail(demo, "waiting for holds", client.error);
    while (!ended && clock_ms() < end_ms) {
        const struct timespec pause = {.tv_nsec = 50 * (long)NS_PER_MS};
        nanosleep(&pause, NULL);
        if (!client_call(&client, MESSAGE_stats, &question, sizeof question, &reply) ||
            reply.outcome != OUTCOME_OK)
            break;
        ended = stats_metric(reply.body, METRIC_pending) == 0;
    }
    if (!ended)
        fail(demo, "waiting for holds to end", client.error);
    client_close(&client);
    return ended;
}

static bool stop_server(struct demo *demo)
{
    char error[CHILD_ERROR_SIZE];
    return child_stop(&demo->server, STOP_TIMEOUT_MS, error) || fail(demo, "stopping", error);
}

/* Lets `till verify` read the folder; its last line is the verdict. */
static void verify(struct demo *demo)
{
    char text[4096];
    int code =
        child_run("verify", demo->server_options.folder, VERIFY_TIMEOUT_MS, text, sizeof text);
    size_t size = strlen(text);
    while (size != 0 && text[size - 1] == '\n')
        text[--size] = '\0';
    const char *line = strrchr(text, '\n') != NULL ? strrchr(text, '\n') + 1 : text;
    if (code == EXIT_OK)
        snprintf(demo->verdict, sizeof demo->verdict, "ok");
    else
        snprintf(demo->verdict, sizeof demo->verdict, "%.*s", (int)sizeof demo->verdict - 1,
                 *line != '\0' ? line : "no answer");
}

/* The sale, until its last cart has ended, and its audit. */
static bool hold_sale(struct demo *demo)
{
    const struct load_driver driver = crowd_driver(&demo->crowd);
    char error[CHILD_ERROR_SIZE];
    if (!load_init(&demo->load, &driver, CONNECTIONS, IN_FLIGHT))
        return fail(demo, "starting", demo->load.error);
    if (!start_server(demo) || !set_up(demo) || !connect_crowd(demo) || !sell(demo))
        return false;
    tell(demo, "Waiting for the last abandoned carts, then the audit.");
    load_disconnect(&demo->load);
    return await_holds(demo) && (audit_run(&demo->audit, &demo->crowd, demo->server.address,
                                           CONNECTIONS, error, sizeof error) ||
                                 fail(demo, "auditing", error));
}

/* What was sold is shipped, and some of it comes back; then a day passes. */
static bool live_on(struct demo *demo)
{
    char error[CHILD_ERROR_SIZE];
    tell(demo, "Parcels, returns and refunds.");
    if (!aftersale_init(&demo->aftersale, &demo->audit))
        return fail(demo, "after the sale", "no memory");
    if (!aftersale_run(&demo->aftersale, demo->server.address, CONNECTIONS, error, sizeof error))
        return fail(demo, "after the sale", error);
    tell(demo, "The next day, and a last audit.");
    demo->server_options.arguments = server_arguments;
    return stop_server(demo) && start_server(demo) &&
           (aftersale_audit(&demo->aftersale, demo->server.address, CONNECTIONS, error,
                            sizeof error) ||
            fail(demo, "the next day", error));
}

/* Runs all phases of the demo; false when it could not be completed. */
static bool run(struct demo *demo)
{
    tell(demo, "%d buyers for %d units of hot goods, %d other SKUs, 2 warehouses; data in %s",
         BUYERS, HOT_UNITS, COMMON_SKUS, demo->server_options.folder);
    if (!hold_sale(demo) || !live_on(demo) || !stop_server(demo))
        return false;
    verify(demo);
    return true;
}

static int report_on(const struct demo *demo, double seconds, bool json)
{
    const struct report report = {
        .crowd = &demo->crowd,
        .audit = &demo->audit,
        .aftersale = &demo->aftersale,
        .verdict = demo->verdict,
        .recovery_ms = demo->recovery_ms,
        .killed_in_flight = demo->killed_in_flight,
        .kills = demo->kills,
        .connections = CONNECTIONS,
        .seconds = seconds,
        .orders_per_second = (double)demo->rush_placings * 1000 / (double)demo->rush_ms,
    };
    if (json)
        report_print_json(&report);
    else
        report_print(&report);
    return report_is_good(&report) ? EXIT_OK : EXIT_FAILED;
}

/* Runs the demo in a scratch folder of its own. */
static int demo_in(struct demo *demo, const struct demo_options *options)
{
    char scratch[SCRATCH_PATH_SIZE], data[SCRATCH_PATH_SIZE + 8], log[SCRATCH_PATH_SIZE + 16];
    uint64_t started_ms = clock_ms();
    if (!scratch_create(scratch, options->folder, "till-demo")) {
        fprintf(stderr, "till demo: no folder in %s: %s\n", options->folder, strerror(errno));
        return EXIT_FAILED;
    }
    snprintf(data, sizeof data, "%s/data", scratch);
    snprintf(log, sizeof log, "%s/server.log", scratch);
    demo->server_options =
        (struct child_options){.folder = data,
                               .log = log,
                               .arguments = &server_arguments[NEXT_DAY_ARGUMENTS],
                               .core = -1,
                               .timeout_ms = START_TIMEOUT_MS};
    int code = EXIT_FAILED;
    if (run(demo))
        code = report_on(demo, (double)(clock_ms() - started_ms) / 1000, options->json);
    else
        fprintf(stderr, "till demo: %s\n", demo->error);
    demo->crowd.paused = true;
    load_deinit(&demo->load);
    aftersale_deinit(&demo->aftersale);
    child_kill(&demo->server);
    if (options->keep)
        fprintf(stderr, "The data is in %s; till verify %s reads it.\n", data, data);
    else
        scratch_remove(scratch);
    return code;
}

int cli_demo(int argc, char **argv)
{
    static struct demo demo;
    struct demo_options options;
    int operands = options_parse(&demo_table, &options, argc, argv);
    if (operands == OPTIONS_HELP) {
        options_print_usage(stdout, &demo_table);
        printf("A flash sale with a hundred thousand buyers and a server that is killed in the "
               "middle;\nthen parcels, returns and refunds, and the day after.\n\n");
        options_print(stdout, &demo_table);
        return EXIT_OK;
    }
    if (operands == OPTIONS_WRONG)
        return EXIT_USAGE;
    if (!crowd_init(&demo.crowd, random_seed())) {
        fprintf(stderr, "till demo: no memory for the buyers\n");
        return EXIT_FAILED;
    }
    demo.live = isatty(STDERR_FILENO);
    interrupt_catch();
    int code = demo_in(&demo, &options);
    crowd_deinit(&demo.crowd);
    return code;
}
