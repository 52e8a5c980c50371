/* Lines as they are typed, and answers as they are printed. */
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "cli/text.h"
#include "tests/test.h"

static const uint64_t now_us = 1700000000000000;
static const struct id made_up = {.low = 77, .high = 0};

static struct text_request request;
static char error[TEXT_ERROR_SIZE];

static bool reads(const char *line)
{
    return text_read(line, strlen(line), now_us, made_up, &request, error);
}

/* Refused, with this in the message. */
static bool refuses(const char *line, const char *reason)
{
    return !reads(line) && strstr(error, reason) != NULL;
}

/* The reply to `line`, as it is printed; valid until the next call. "" when it is not printed. */
static const char *printed(const char *line, enum value_form form, unsigned outcome,
                           const void *body, size_t size)
{
    static char text[4096];
    memset(text, 0, sizeof text);
    if (!reads(line))
        return error;
    const struct text_reply reply = {.message = request.message,
                                     .request = request.body,
                                     .outcome = outcome,
                                     .body = body,
                                     .size = size};
    FILE *out = fmemopen(text, sizeof text, "w");
    bool fits = text_write_reply(out, form, &reply);
    fclose(out);
    return fits ? text : "";
}

static bool rejects(const char *line, unsigned outcome, uint64_t subject, int64_t value,
                    const char *text)
{
    struct rejection_body rejection = {.seq = 9, .subject = subject, .value = value};
    const char *answer = printed(line, VALUE_TEXT, outcome, &rejection, sizeof rejection);
    if (strcmp(answer, text) != 0)
        fprintf(stderr, "  %s\n", answer);
    return strcmp(answer, text) == 0;
}

TEST(a_line_becomes_the_body_it_names)
{
    CHECK(reads("order.place order=1 customer=42 sale=3 line=7x2@1999 line=8x1/5@250 points=500 "
                "hold=15m flags=partial+paid currency=usd allocation=rank"));
    const struct order_place_body *place = (const void *)request.body;
    const struct line_body *lines = (const void *)(place + 1);
    CHECK_EQUAL(request.size, sizeof *place + 2 * sizeof *lines);
    CHECK_EQUAL(place->order.low, 1);
    CHECK_EQUAL(place->customer.low, 42);
    CHECK_EQUAL(place->sale, 3);
    CHECK_EQUAL(place->points, 500);
    CHECK_EQUAL(place->hold, 900);
    CHECK_EQUAL(place->flags, place_flags_PARTIAL | place_flags_PAID);
    CHECK_EQUAL(place->currency, 840);
    CHECK_EQUAL(place->allocation, allocation_RANK);
    CHECK_EQUAL(place->line_count, 2);
    CHECK_EQUAL(lines[0].sku, 7);
    CHECK_EQUAL(lines[0].quantity, 2);
    CHECK_EQUAL(lines[0].warehouse, 0);
    CHECK_EQUAL(lines[0].price, 1999);
    CHECK_EQUAL(lines[1].warehouse, 5);
    CHECK_EQUAL(lines[1].price, 250);
}

TEST(a_rows_values_come_in_any_order_and_by_name)
{
    CHECK(reads("order.place order=1 customer=2 line=7@1999x2/3 line=8:quantity=4:price=5"));
    const struct line_body *lines =
        (const void *)((const struct order_place_body *)request.body + 1);
    CHECK_EQUAL(lines[0].price, 1999);
    CHECK_EQUAL(lines[0].quantity, 2);
    CHECK_EQUAL(lines[0].warehouse, 3);
    CHECK_EQUAL(lines[1].quantity, 4);
    CHECK_EQUAL(lines[1].price, 5);
    CHECK(reads("stock.get item=7 item=7/3"));
    CHECK(reads("sale.put sale=1 pool=7x100/1"));
}

TEST(a_missing_key_is_made_up_and_a_given_one_is_kept)
{
    CHECK(reads("stock.adjust sku=7 warehouse=1 delta=-5"));
    const struct stock_adjust_body *adjust = (const void *)request.body;
    CHECK_EQUAL(adjust->key.low, 77);
    CHECK(adjust->delta == -5);
    CHECK(request.has_made_up_key);
    CHECK(reads("stock.adjust key=5 sku=7 warehouse=1 delta=+5"));
    CHECK_EQUAL(adjust->key.low, 5);
    CHECK(!request.has_made_up_key);
    CHECK(reads("sku.put key=0 sku=7 price=1 currency=EUR"));
    CHECK(id_is_zero(((const struct sku_put_body *)request.body)->key));
    CHECK(!request.has_made_up_key);
}

TEST(an_answer_shows_its_line_and_the_key_that_was_made_up)
{
    struct stock_level_body level = {.seq = 4, .on_hand = 5, .available = 5};
    char text[512] = "";
    CHECK(reads("stock.adjust sku=7 warehouse=1 delta=5"));
    for (unsigned form = VALUE_TEXT; form <= VALUE_JSON; form++) {
        const struct text_reply reply = {.message = request.message,
                                         .request = request.body,
                                         .outcome = OUTCOME_OK,
                                         .body = &level,
                                         .size = sizeof level,
                                         .line = 12,
                                         .shows_key = request.has_made_up_key};
        FILE *out = fmemopen(text, sizeof text, "w");
        CHECK(text_write_reply(out, form, &reply));
        fclose(out);
        CHECK(strcmp(text, form == VALUE_TEXT
                               ? "OK seq=4 on_hand=5 available=5 key=77"
                               : "{\"line\":12,\"outcome\":\"OK\",\"seq\":4,\"on_hand\":5,"
                                 "\"available\":5,\"orders_concerned\":0,\"orders\":[],"
                                 "\"key\":\"77\"}") == 0);
    }
}

TEST(a_query_of_rows_takes_what_they_are_about_by_its_name)
{
    CHECK(reads("stock.get sku=7/3 item=8 sku=9"));
    const struct stock_get_body *get = (const void *)request.body;
    const struct item_body *items = (const void *)(get + 1);
    CHECK_EQUAL(get->item_count, 3);
    CHECK_EQUAL(items[0].sku, 7);
    CHECK_EQUAL(items[0].warehouse, 3);
    CHECK_EQUAL(items[2].sku, 9);
    CHECK(refuses("stock.get sku=x", "stock.get: sku: sku=x: expected"));
    CHECK(refuses("stock.get key=7", "no field key; expected name item (or sku)"));
    /* In a command, a field's name refers to that field only. */
    CHECK(refuses("order.place order=1 customer=2 sku=7", "no field sku; expected order"));
}

TEST(arrays_are_plural_and_made_of_the_tables)
{
    char text[256];
    FILE *out = fmemopen(text, sizeof text, "w");
    CHECK(reads("stock.get item=7/3"));
    text_write_request(out, VALUE_JSON, request.message, request.body);
    fclose(out);
    CHECK(strcmp(text, ",\"name\":null,\"items\":[{\"sku\":7,\"warehouse\":3}]") == 0);
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *message = message_info(number);
        if (message == NULL || message->reply_row == NULL)
            continue;
        char plural[TEXT_PLURAL_SIZE];
        text_rows_name(message->reply, plural);
        CHECK(plural[0] != '\0' && plural[strlen(plural) - 1] == 's');
    }
}

TEST(request_is_written_as_it_can_be_typed)
{
    static const char line[] = "order.place order=1 customer=2 sale=3 line=7x2/3@1999 line=8x1";
    char text[256];
    FILE *out = fmemopen(text, sizeof text, "w");
    CHECK(reads(line));
    fputs(request.message->name, out);
    text_write_request(out, VALUE_TEXT, request.message, request.body);
    fclose(out);
    CHECK(strcmp(text, line) == 0);
}

static bool changes_are(enum value_form form, const void *before, const void *after,
                        const char *expected)
{
    char text[1024] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    text_write_changes(out, form, message_info(MESSAGE_order_get), before, after);
    fclose(out);
    return strcmp(text, expected) == 0;
}

TEST(changes_of_an_answer_are_the_fields_that_differ_zeros_too_and_all_rows_or_none)
{
    struct answer {
        struct order_get_reply_body order;
        struct piece_body pieces[2];
    } before = {.order = {.seq = 5,
                          .hold_ends = 1,
                          .version = 1,
                          .state = order_state_PENDING,
                          .piece_count = 1},
                .pieces = {{.sku = 7, .quantity = 2, .warehouse = 3, .allocated = 2, .line = 1}}};
    struct answer after = before;
    after.order.seq = 6;
    CHECK(changes_are(VALUE_TEXT, &before, &after, ""));
    after.order.hold_ends = 0;
    after.order.version = 2;
    after.order.state = order_state_EXPIRED;
    CHECK(changes_are(VALUE_TEXT, &before, &after, " hold_ends=0 version=2 state=EXPIRED"));
    CHECK(changes_are(VALUE_JSON, &before, &after,
                      ",\"hold_ends\":0,\"version\":2,\"state\":\"EXPIRED\""));
    before.order = after.order;
    after.pieces[0].warehouse = 4;
    CHECK(changes_are(VALUE_TEXT, &before, &after, " piece=7x2/4:allocated=2:line=1"));
    after.order.piece_count = 2;
    after.pieces[0].warehouse = 3;
    after.pieces[1] = (struct piece_body){.sku = 8, .quantity = 1, .line = 2};
    CHECK(changes_are(VALUE_TEXT, &before, &after,
                      " piece=7x2/3:allocated=2:line=1 piece=8x1:line=2"));
    CHECK(changes_are(VALUE_TEXT, NULL, &after,
                      " version=2 state=EXPIRED piece=7x2/3:allocated=2:line=1 piece=8x1:line=2"));
}

TEST(times_count_from_the_clock_that_was_given)
{
    CHECK(reads("points.credit customer=1 points=5 expires=+1m"));
    CHECK_EQUAL(((const struct points_credit_body *)request.body)->expires, now_us + 60000000);
}

TEST(names_may_be_quoted)
{
    CHECK(reads("sku.put sku=1 price=5 currency=EUR name=\"red \\\"XL\\\" \\x41\\\\\""));
    CHECK(strcmp(((const struct sku_put_body *)request.body)->name.bytes, "red \"XL\" A\\") == 0);
    CHECK(refuses("sku.put name=\"red", "name: the closing quote is missing"));
    CHECK(refuses("sku.put name=\"\\q\"", "name: in quotes, a backslash"));
    CHECK(refuses("sku.put name=\"\\x00\"", "name: in quotes, a backslash"));
    CHECK(refuses("sku.put name=\"\\", "name: in quotes, a backslash"));
}

TEST(what_cannot_be_meant_is_refused_by_name)
{
    CHECK(refuses("order.palce order=1", "no command order.palce"));
    CHECK(refuses("hold.expire holds=1", "no command hold.expire"));
    CHECK(refuses("hello", "no command hello"));
    CHECK(refuses("replica.join member=1", "no command replica.join"));
    CHECK(refuses("order.get ordr=1", "order.get: no field ordr; expected order"));
    CHECK(refuses("stats x=1", "stats: no field x; expected none"));
    CHECK(refuses("order.get order", "order.get: order: expected name=value"));
    CHECK(refuses("order.get order=1 order=2", "order is given twice"));
    CHECK(refuses("order.get order=abc", "order=abc: expected a number above zero, a UUID"));
    CHECK(refuses("order.place line_count=1", "no field line_count"));
    CHECK(refuses("order.place reserved=0", "no field reserved"));
    CHECK(refuses("payment.event order=1", "status is missing: expected SUCCESS or FAILURE"));
    CHECK(refuses("payment.event status=maybe", "status=maybe: expected SUCCESS or FAILURE"));
}

TEST(a_malformed_row_is_refused_by_name)
{
    CHECK(refuses("order.place line=x2@5", "line: sku=: expected"));
    CHECK(refuses("order.place line=7y2", "line: sku=7y2: expected"));
    CHECK(refuses("order.place line=7x2x3", "line: quantity is given twice"));
    CHECK(refuses("order.place line=7x2:color=3", "line=7x2:color=3: expected sku[xquantity]"));
    CHECK(refuses("order.place line=7x2:", "expected sku[xquantity]"));
    CHECK(refuses("order.place line=7x2/", "line: warehouse=: expected"));
    CHECK(refuses("stock.get item=7@5", "item: sku=7@5: expected"));
}

TEST(more_rows_than_the_message_has_are_refused)
{
    char line[512] = "order.place order=1 customer=1";
    for (unsigned i = 0; i < ORDER_LINES_MAX; i++)
        strcat(line, " line=1x1@1");
    CHECK(reads(line));
    strcat(line, " line=1x1@1");
    CHECK(refuses(line, "line: at most 32 of them"));
}

TEST(an_orders_answer_names_the_order_first_and_the_seq_last)
{
    struct {
        struct order_place_reply_body body;
        struct take_body takes[2];
    } reply = {.body = {.seq = 12,
                        .total = 3998,
                        .money_due = 3998,
                        .hold_ends = 1700000000000000,
                        .state = order_state_PENDING,
                        .currency = 978,
                        .take_count = 2},
               .takes = {{.line = 1, .quantity = 2, .warehouse = 1},
                         {.line = 2, .quantity = 1, .warehouse = 5}}};
    const char *line = "order.place order=1 customer=42 line=7x2@1999";
    CHECK(strcmp(printed(line, VALUE_TEXT, OUTCOME_OK, &reply, sizeof reply),
                 "OK order=1 state=PENDING total=3998 money_due=3998 "
                 "hold_ends=2023-11-14T22:13:20Z currency=EUR take=1x2/1 take=2x1/5 seq=12") == 0);
    CHECK(strcmp(printed(line, VALUE_JSON, OUTCOME_REPLAYED, &reply, sizeof reply),
                 "{\"outcome\":\"REPLAYED\",\"order\":\"1\",\"state\":\"PENDING\",\"total\":3998,"
                 "\"points_used\":0,\"points_value\":0,\"money_due\":3998,"
                 "\"hold_ends\":1700000000000000,\"currency\":\"EUR\",\"takes\":["
                 "{\"line\":1,\"quantity\":2,\"warehouse\":1},"
                 "{\"line\":2,\"quantity\":1,\"warehouse\":5}],\"seq\":12}") == 0);
}

TEST(a_row_names_the_values_whose_separator_is_taken)
{
    struct {
        struct order_get_reply_body body;
        struct piece_body piece;
    } reply = {
        .body = {.seq = 3, .state = order_state_CONFIRMED, .piece_count = 1},
        .piece = {
            .sku = 7, .quantity = 2, .warehouse = 1, .price = 1999, .allocated = 2, .line = 1}};
    CHECK(strcmp(printed("order.get order=1", VALUE_TEXT, OUTCOME_OK, &reply, sizeof reply),
                 "OK order=1 state=CONFIRMED piece=7x2/1@1999:allocated=2:line=1 seq=3") == 0);
}

TEST(rejections_are_printed_by_the_outcome_table)
{
    const char *place = "order.place order=1 customer=1 sale=1 line=7x1@1";
    CHECK(rejects(place, OUTCOME_SOLD_OUT, 7, 0, "SOLD_OUT sku=7 remaining=0"));
    CHECK(rejects(place, OUTCOME_SALE_NOT_OPEN, 1, 1700000000000000,
                  "SALE_NOT_OPEN sale=1 opens=2023-11-14T22:13:20Z"));
    CHECK(
        rejects(place, OUTCOME_CURRENCY_MISMATCH, 7, 978, "CURRENCY_MISMATCH sku=7 currency=EUR"));
    CHECK(rejects(place, OUTCOME_CAPACITY, 9, 100, "CAPACITY table=orders limit=100"));
    CHECK(rejects(place, OUTCOME_CAPACITY, 99, 100, "CAPACITY table=99 limit=100"));
    CHECK(rejects(place, OUTCOME_IDEM_MISMATCH, 0, 0, "IDEM_MISMATCH"));
    CHECK(rejects(place, OUTCOME_NOT_FOUND, 7, 0, "NOT_FOUND subject=7"));
    CHECK(rejects("order.cancel order=1", OUTCOME_BAD_TRANSITION, order_state_CANCELLED, 0,
                  "BAD_TRANSITION state=CANCELLED"));
    CHECK(rejects("sale.open sale=1", OUTCOME_BAD_TRANSITION, sale_state_CLOSED, 0,
                  "BAD_TRANSITION state=CLOSED"));
    CHECK(rejects("stock.adjust sku=7", OUTCOME_OVERFLOW, 0, -5, "OVERFLOW maximum=-5"));
}

TEST(refusal_by_a_replica_names_the_primary)
{
    const char *place = "order.place order=1 customer=1 line=7x1@1";
    struct redirect_body redirect = {.seq = 9, .epoch = 3, .primary = {"10.0.0.2:7411"}};
    CHECK(strcmp(printed(place, VALUE_TEXT, OUTCOME_NOT_PRIMARY, &redirect, sizeof redirect),
                 "NOT_PRIMARY epoch=3 primary=10.0.0.2:7411") == 0);
    CHECK(strcmp(printed(place, VALUE_JSON, OUTCOME_NOT_PRIMARY, &redirect, sizeof redirect),
                 "{\"outcome\":\"NOT_PRIMARY\",\"epoch\":3,\"primary\":\"10.0.0.2:7411\"}") == 0);
    CHECK(rejects(place, OUTCOME_NOT_PRIMARY, 3, 0, "NOT_PRIMARY epoch=3"));
    CHECK(rejects(place, OUTCOME_NO_QUORUM, 0, 0, "NO_QUORUM"));
}

TEST(rows_of_an_admin_reply_are_written)
{
    struct {
        struct replicas_reply_body fixed;
        struct replica_body rows[2];
    } reply = {.fixed = {.seq = 8, .role = server_role_PRIMARY, .replica_count = 2},
               .rows = {{.name = {"east"}, .seq_sent = 8, .state = member_state_STREAMING},
                        {.name = {"west"}, .seq_sent = 5, .state = member_state_AWAY}}};
    CHECK(strcmp(printed("replicas", VALUE_TEXT, OUTCOME_OK, &reply, sizeof reply),
                 "OK seq=8 role=PRIMARY replica=east:seq_sent=8:state=STREAMING "
                 "replica=west:seq_sent=5:state=AWAY") == 0);
    const char *json = printed("replicas", VALUE_JSON, OUTCOME_OK, &reply, sizeof reply);
    CHECK(strstr(json, ",\"replicas\":[{\"name\":\"east\",\"address\":null,") != NULL);
    CHECK(strstr(json, "\"state\":\"AWAY\"}]}") != NULL);
}

TEST(an_invalid_field_is_named)
{
    const char *place = "order.place order=1 customer=1 line=7x1@1";
    CHECK(rejects(place, OUTCOME_INVALID, order_place_field_customer, 0, "INVALID field=customer"));
    CHECK(rejects(place, OUTCOME_INVALID, order_place_field_line_count, 0, "INVALID field=line"));
    CHECK(rejects(place, OUTCOME_INVALID, ROW_FIELD + line_field_quantity, 0,
                  "INVALID field=line.quantity"));
    CHECK(rejects(place, OUTCOME_INVALID, 99, 0, "INVALID field=99"));
    CHECK(rejects("sku.put sku=1 price=1 currency=EUR name=x", OUTCOME_INVALID, sku_put_field_name,
                  INT64_MIN, "INVALID field=name sku=9223372036854775808"));
    CHECK(rejects("order.ship order=1 units=1x9", OUTCOME_INVALID, ROW_FIELD + units_field_quantity,
                  5, "INVALID field=units.quantity left=5"));
    CHECK(rejects("stats", OUTCOME_INVALID, 2, 0, "INVALID field=2"));
}

TEST(metrics_are_written_as_fields_of_their_names)
{
    struct {
        struct stats_reply_body stats;
        struct metric_body rows[3];
    } reply = {.stats = {.seq = 5, .metric_count = 3},
               .rows = {{.metric = METRIC_orders, .value = 17},
                        {.metric = METRIC_keys},
                        {.metric = 65535, .value = 9}}};
    CHECK(strcmp(printed("stats", VALUE_TEXT, OUTCOME_OK, &reply, sizeof reply),
                 "OK seq=5 orders=17 metric_65535=9") == 0);
    CHECK(strstr(printed("stats", VALUE_JSON, OUTCOME_OK, &reply, sizeof reply),
                 ",\"orders\":17,\"keys\":0,\"metric_65535\":9}") != NULL);
}

TEST(a_reply_of_another_form_is_not_printed)
{
    struct stock_level_body level = {.seq = 1, .order_count = 1};
    struct rejection_body rejection = {.seq = 1};
    const char *line = "stock.adjust sku=7 warehouse=1 delta=1";
    CHECK(printed(line, VALUE_TEXT, OUTCOME_OK, &level, sizeof level)[0] == '\0');
    level.order_count = 0;
    CHECK(printed(line, VALUE_TEXT, OUTCOME_OK, &level, sizeof level)[0] != '\0');
    CHECK(printed(line, VALUE_TEXT, OUTCOME_OK, &level, sizeof level - 8)[0] == '\0');
    CHECK(printed(line, VALUE_TEXT, OUTCOME_COUNT, &rejection, sizeof rejection)[0] == '\0');
    CHECK(printed(line, VALUE_TEXT, OUTCOME_INVALID, &rejection, 8)[0] == '\0');
}

TEST(random_lines_are_refused_or_make_wellformed_requests)
{
    static const char *const parts[] = {
        "order.place", "stock.get", "payment.event",
        " ",           "line=",     "7",
        "x",           "2",         "@",
        "/",           ":",         "\"",
        "\\",          "=",         "item",
        "order=",      "status=",   "SUCCESS",
        "flags=",      "PARTIAL",   "+",
        "key",         "-",         "\t",
    };
    for (unsigned round = 0; round < 20000; round++) {
        char line[256] = "";
        unsigned count = (unsigned)test_random_below(14);
        if (round % 2 == 0)
            strcat(line, parts[test_random_below(3)]);
        for (unsigned i = 0; i < count; i++)
            strcat(line, parts[test_random_below(sizeof parts / sizeof parts[0])]);
        const char *reason = NULL;
        if (reads(line))
            CHECK(message_check_request(request.message, request.body, request.size, &reason));
        else
            CHECK(error[0] != '\0');
    }
}
