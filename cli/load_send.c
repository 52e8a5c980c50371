/* A row is one command after the answer to the one before:
 *
 *   file       commands
 *   quantity   sku.put, once per SKU, and with it stock.adjust                   with keys
 *   on_hand    stock.get; sku.put where the terms differ; stock.set              without
 *   points     points.credit                                                     with keys
 *   dry run    stock.get or points.balance
 *
 * Rows are sent without waiting for those before, and their answers come in the order sent, so that
 * a SKU is put before the stock of the rows behind it is set. Each answer leads to one more command
 * of its row at most: what is in flight never grows by taking answers. */
#include "cli/load_send.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/status.h"
#include "cli/load_dry.h"
#include "cli/options.h"
#include "cli/text.h"
#include "engine/tables.h"

enum { SET_TRIES_MAX = 8 };

void load_rows_left(struct loader *loader, const struct load_place *place, uint64_t count)
{
    struct load_place *first = &loader->first_left;
    loader->counts.left += count;
    if (first->path == NULL || place->file < first->file ||
        (place->file == first->file && place->line < first->line))
        *first = *place;
}

/* The message that says why the load ends, and what can be done about it. */
static void say_end(struct loader *loader, const struct load_work *work,
                    const struct rejection_body *rejection, unsigned outcome, const char *text)
{
    static const char keys[] =
        ", when nothing is added twice; or load stock with a column on_hand, which takes no keys; "
        "or wait until keys are forgotten, a day after their use, and load only what is not in";
    const char *name = outcome == OUTCOME_CAPACITY ? capacity_name(rejection->subject) : NULL;
    const struct load_place *place = &work->row.place;
    bool is_keys = rejection->subject == CAPACITY_keys;
    char option[OPTION_NAME_SIZE];
    if (name == NULL) {
        load_say(&loader->report, "%s:%" PRIu64 ": %s, so the load ends here", place->path,
                 place->line, text);
        return;
    }
    load_say(&loader->report,
             "%s:%" PRIu64 ": the table of %s is full (%" PRId64 "%s), so the load ends here. "
             "Start the server with a larger --%s and load the same files again within 24 hours%s",
             place->path, place->line, name, rejection->value,
             is_keys ? ", beside those kept for operators" : "", option_spell(name, option),
             is_keys ? keys : ": nothing is done twice");
}

/* The server's rejection as text, and its meaning. */
static void write_rejection(const struct client_reply *reply, char text[TEXT_ERROR_SIZE])
{
    const struct text_reply answer = {.message = message_info(reply->number),
                                      .outcome = reply->outcome,
                                      .body = reply->body,
                                      .size = reply->size};
    text[0] = '\0';
    FILE *out = fmemopen(text, TEXT_ERROR_SIZE, "w");
    if (out == NULL)
        return;
    text_write_reply(out, VALUE_TEXT, &answer);
    fprintf(out, " (%s)",
            outcome_info(reply->outcome < OUTCOME_COUNT ? reply->outcome : OUTCOME_INVALID)->text);
    fclose(out);
}

/* Would every other row get the same rejection? */
static bool ends_the_load(unsigned outcome)
{
    return outcome == OUTCOME_CAPACITY || outcome == OUTCOME_STORAGE_FULL ||
           outcome == OUTCOME_FORBIDDEN || outcome == OUTCOME_NOT_PRIMARY ||
           outcome == OUTCOME_NO_QUORUM;
}

static bool is_same_place(const struct load_place *a, const struct load_place *b)
{
    return a->path != NULL && b->path != NULL && a->file == b->file && a->line == b->line;
}

/* A row is counted and reported once, although two of its commands may be rejected: if its SKU
 * could not be put, only the rejection of the stock command that follows is counted. */
static void row_is_rejected(struct loader *loader, const struct load_work *work,
                            const struct client_reply *reply)
{
    const struct load_place *place = &work->row.place;
    bool is_told = is_same_place(&loader->put_failed, place);
    struct rejection_body rejection;
    char text[TEXT_ERROR_SIZE];
    memcpy(&rejection, reply->body, sizeof rejection);
    write_rejection(reply, text);
    if (work->is_followed)
        loader->put_failed = *place;
    if (ends_the_load(reply->outcome)) {
        if (!loader->has_ended)
            say_end(loader, work, &rejection, reply->outcome, text);
        loader->has_ended = true;
    } else if (!is_told) {
        load_error(&loader->report, place, "%s: %s", message_info(reply->number)->name, text);
        return;
    }
    if (!work->is_followed && loader->has_ended)
        load_rows_left(loader, place, 1);
}

static struct id step_key(const struct load_work *work, unsigned number)
{
    const uint64_t source[] = {work->content.low64, work->content.high64, work->row.place.line,
                               number};
    XXH128_hash_t hash = XXH3_128bits(source, sizeof source);
    return (struct id){.low = hash.low64 | 1, .high = hash.high64};
}

/* A request's body, whichever step it is for. */
union load_body {
    struct {
        struct stock_get_body fixed;
        struct item_body item;
    } read;
    struct sku_put_body put;
    struct stock_adjust_body adjust;
    struct stock_set_body set;
    struct points_credit_body credit;
    struct points_balance_body balance;
};

/* Makes the request of the work's step; returns its size, and its message number. */
static uint32_t make_request(const struct load_work *work, union load_body *body, unsigned *number)
{
    const struct load_row *row = &work->row;
    bool has_key = row->kind == LOAD_ADD;
    memset(body, 0, sizeof *body);
    switch (work->step) {
    case STEP_NAME:
        *number = MESSAGE_stock_get;
        body->read.fixed.name = row->name;
        return sizeof body->read.fixed;
    case STEP_READ:
        *number = MESSAGE_stock_get;
        body->read.fixed.item_count = 1;
        body->read.item = (struct item_body){.sku = row->sku, .warehouse = row->warehouse};
        return sizeof body->read;
    case STEP_PUT:
        *number = MESSAGE_sku_put;
        body->put = (struct sku_put_body){
            .sku = row->sku, .price = row->price, .currency = row->currency, .name = row->name};
        if (has_key)
            body->put.key = step_key(work, MESSAGE_sku_put);
        return sizeof body->put;
    case STEP_ADJUST:
        *number = MESSAGE_stock_adjust;
        body->adjust = (struct stock_adjust_body){.key = step_key(work, MESSAGE_stock_adjust),
                                                  .sku = row->sku,
                                                  .delta = row->units,
                                                  .warehouse = row->warehouse};
        return sizeof body->adjust;
    case STEP_SET:
        *number = MESSAGE_stock_set;
        body->set = (struct stock_set_body){.sku = row->sku,
                                            .expected = work->on_hand,
                                            .on_hand = row->units,
                                            .warehouse = row->warehouse};
        return sizeof body->set;
    case STEP_CREDIT:
        *number = MESSAGE_points_credit;
        body->credit = (struct points_credit_body){.key = step_key(work, MESSAGE_points_credit),
                                                   .customer = row->customer,
                                                   .points = row->points,
                                                   .expires = row->expires};
        return sizeof body->credit;
    case STEP_BALANCE:
        *number = MESSAGE_points_balance;
        body->balance.customer = row->customer;
        return sizeof body->balance;
    }
    till_unreachable();
}

/* Sends the work's step; there is room for it. */
static void send_step(struct loader *loader, const struct load_work *work)
{
    union load_body body;
    unsigned number = 0;
    uint32_t size = make_request(work, &body, &number);
    TILL_ASSERT(loader->client.in_flight < loader->in_flight_max);
    if (!client_queue(&loader->client, number, &body, size, &loader->request_last)) {
        loader->has_ended = loader->is_broken = true;
        load_rows_left(loader, &work->row.place, 1);
        return;
    }
    loader->works[loader->request_last % loader->in_flight_max] = *work;
}

/* Goes on with another step, unless the load has ended. */
static void step_to(struct loader *loader, struct load_work *work, enum load_step step)
{
    work->step = step;
    if (loader->has_ended)
        load_rows_left(loader, &work->row.place, 1);
    else
        send_step(loader, work);
}

static void row_is_in(struct loader *loader, const struct load_work *work)
{
    const struct load_row *row = &work->row;
    loader->counts.rows++;
    if (work->step == STEP_ADJUST) {
        loader->counts.added++;
        loader->counts.units += (uint64_t)row->units;
    } else if (work->step == STEP_SET) {
        loader->counts.set++;
    } else if (work->step == STEP_CREDIT) {
        loader->counts.credits++;
        loader->counts.points += (uint64_t)row->points;
    }
}

/* The stock is to be set; it is known what there is. */
static void set_stock(struct loader *loader, struct load_work *work)
{
    if (work->on_hand == work->row.units) {
        loader->counts.rows++;
        loader->counts.unchanged += !work->is_put;
    } else if (work->tries == SET_TRIES_MAX) {
        load_error(&loader->report, &work->row.place,
                   "on_hand was changed by others %d times while it was set: expected it to stand "
                   "still; load again",
                   SET_TRIES_MAX);
    } else {
        work->tries++;
        step_to(loader, work, STEP_SET);
    }
}

/* The first row that stock.get gives; all zero when there is no such thing. */
static struct stock_row_body stock_row(const struct client_reply *reply)
{
    const struct stock_get_reply_body *body = reply->body;
    return reply->outcome == OUTCOME_OK ? *(const struct stock_row_body *)(body + 1)
                                        : (struct stock_row_body){0};
}

static struct load_found read_found(const struct loader *loader, const struct load_work *work,
                                    const struct client_reply *reply)
{
    bool has_name = is_same_place(&loader->name_asked, &work->row.place);
    return (struct load_found){.has_sku = reply->outcome == OUTCOME_OK,
                               .name_sku = has_name ? loader->name_sku : 0,
                               .stock = stock_row(reply)};
}

/* The stock of a row that sets was read. */
static void take_read(struct loader *loader, struct load_work *work,
                      const struct client_reply *reply)
{
    struct load_found found = read_found(loader, work, reply);
    work->on_hand = found.stock.on_hand;
    if (work->is_new_sku && load_terms_differ(&work->row, &found))
        step_to(loader, work, STEP_PUT);
    else
        set_stock(loader, work);
}

static void take_put(struct loader *loader, struct load_work *work)
{
    work->is_put = true;
    loader->counts.skus++;
    if (work->is_followed)
        return;
    if (work->row.kind == LOAD_ADD)
        row_is_in(loader, work);
    else
        set_stock(loader, work);
}

static void dry_stock(struct loader *loader, const struct load_work *work,
                      const struct client_reply *reply)
{
    struct load_found found = read_found(loader, work, reply);
    load_dry_stock(loader, work, &found);
}

static void dry_points(struct loader *loader, const struct load_work *work,
                       const struct client_reply *reply)
{
    const struct points_balance_reply_body *body = reply->body;
    load_dry_points(loader, &work->row, reply->outcome == OUTCOME_OK ? body->balance : 0);
}

/* Is this a whole reply to the step, or a rejection? */
static bool reply_fits(const struct load_work *work, const struct client_reply *reply)
{
    union load_body body;
    unsigned number = 0;
    const struct message_info *message = message_info(reply->number);
    make_request(work, &body, &number);
    if (message == NULL || reply->number != number || reply->outcome >= OUTCOME_COUNT)
        return false;
    bool done = reply->outcome == OUTCOME_OK || reply->outcome == OUTCOME_REPLAYED;
    if (!done)
        return reply->size == reply_shape(message, reply->outcome, reply->size)->size_bytes;
    size_t rows = work->step == STEP_READ || work->step == STEP_NAME;
    return reply->size >= message->reply->size_bytes + rows * sizeof(struct stock_row_body);
}

/* Goes on with the row that a reply is for. */
static void take_reply(struct loader *loader, const struct client_reply *reply)
{
    struct load_work work = loader->works[reply->request % loader->in_flight_max];
    bool done = reply->outcome == OUTCOME_OK || reply->outcome == OUTCOME_REPLAYED;
    bool is_answer = done || reply->outcome == OUTCOME_NOT_FOUND;
    loader->counts.replayed += reply->outcome == OUTCOME_REPLAYED;
    if (work.step == STEP_BALANCE && is_answer) {
        dry_points(loader, &work, reply);
    } else if (work.step == STEP_NAME && is_answer) {
        loader->name_asked = work.row.place;
        loader->name_sku = stock_row(reply).sku;
    } else if (work.step == STEP_READ && is_answer) {
        if (loader->is_dry)
            dry_stock(loader, &work, reply);
        else
            take_read(loader, &work, reply);
    } else if (work.step == STEP_SET && reply->outcome == OUTCOME_STALE_VERSION) {
        work.on_hand = ((const struct rejection_body *)reply->body)->value;
        set_stock(loader, &work);
    } else if (!done) {
        row_is_rejected(loader, &work, reply);
    } else if (work.step == STEP_PUT) {
        take_put(loader, &work);
    } else {
        row_is_in(loader, &work);
    }
}

void load_drain(struct loader *loader, uint32_t in_flight)
{
    struct client_reply reply;
    while (loader->client.in_flight > in_flight) {
        if (!client_receive(&loader->client, &reply, -1)) {
            loader->has_ended = loader->is_broken = true;
            return;
        }
        if (reply_fits(&loader->works[reply.request % loader->in_flight_max], &reply)) {
            take_reply(loader, &reply);
            continue;
        }
        load_say(&loader->report, "till load: an answer is not one to the command that was sent");
        loader->has_ended = true;
    }
}

/* One more command in flight, when there is room for it; the answers that made room may have ended
 * the load. */
static void send_one(struct loader *loader, struct load_work *work, enum load_step step)
{
    if (loader->client.in_flight == loader->in_flight_max)
        load_drain(loader, loader->in_flight_max / 2);
    step_to(loader, work, step);
}

/* Sends two commands of one row together. When the second one is answered, the first one's answer
 * is known. */
static void send_two(struct loader *loader, struct load_work *work, enum load_step first,
                     enum load_step second)
{
    work->is_followed = true;
    send_one(loader, work, first);
    work->is_followed = false;
    if (!loader->has_ended)
        send_one(loader, work, second);
}

void load_send_row(struct loader *loader, const struct load_file *file, const struct load_row *row,
                   bool is_new_sku)
{
    struct load_work work = {.row = *row, .content = file->content, .is_new_sku = is_new_sku};
    bool adds = row->kind == LOAD_ADD && !loader->is_dry;
    if (row->kind == LOAD_POINTS)
        send_one(loader, &work, loader->is_dry ? STEP_BALANCE : STEP_CREDIT);
    else if (!adds && is_new_sku && load_has_name(row))
        send_two(loader, &work, STEP_NAME, STEP_READ);
    else if (!adds)
        send_one(loader, &work, STEP_READ);
    else if (is_new_sku && row->units > 0)
        send_two(loader, &work, STEP_PUT, STEP_ADJUST);
    else if (is_new_sku || row->units > 0)
        send_one(loader, &work, is_new_sku ? STEP_PUT : STEP_ADJUST);
    else
        loader->counts.rows++;
}

uint32_t load_rows_unanswered(const struct loader *loader)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < loader->client.in_flight; i++)
        count += !loader->works[(loader->request_last - i) % loader->in_flight_max].is_followed;
    return count;
}
