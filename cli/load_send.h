/* The sending side of a load: rows become commands, and their answers counts and messages. */
#ifndef TILL_CLI_LOAD_SEND_H
#define TILL_CLI_LOAD_SEND_H

#include "cli/load_file.h"
#include "cli/load_seen.h"
#include "net/client.h"

enum { LOAD_IN_FLIGHT_MAX = 1024 };

enum load_step {
    STEP_NAME, /* stock.get of the row's name */
    STEP_READ, /* and of its SKU and warehouse */
    STEP_PUT,
    STEP_ADJUST,
    STEP_SET,
    STEP_CREDIT,
    STEP_BALANCE
};

/* A row in progress: the last command that was sent for it, and what its answers said. */
struct load_work {
    struct load_row row;
    XXH128_hash_t content; /* of its file */
    enum load_step step;
    bool is_new_sku;  /* it is this row that puts the SKU */
    bool is_followed; /* another command of the same row is behind this one */
    bool is_put;
    uint32_t tries;
    int64_t on_hand; /* as last told */
};

struct load_counts {
    uint64_t rows; /* that are in, or would be */
    uint64_t skus;
    uint64_t added;
    uint64_t units;
    uint64_t set;
    uint64_t unchanged;
    uint64_t credits;
    uint64_t points;
    uint64_t replayed;
    uint64_t left; /* rows not in because the load ended before */
};

struct loader {
    struct client client;
    struct load_report report;
    struct load_seen seen;
    struct load_input *inputs;
    uint32_t input_count;
    struct load_work works[LOAD_IN_FLIGHT_MAX]; /* by request number */
    uint32_t in_flight_max;
    uint32_t request_last;
    bool is_dry;
    bool has_ended;               /* the rest of the rows is only counted */
    bool is_broken;               /* because the connection has ended */
    struct load_place first_left; /* path NULL: none is */
    struct load_place put_failed; /* the row whose SKU could not be put last */
    struct load_place name_asked; /* the row whose name was looked for last, */
    uint64_t name_sku;            /* and whose it is; 0: nobody's */
    struct load_counts counts;
    uint64_t started_us;
};

/* Sends what the row asks for, as far as it needs no answer first. Waits for answers when there is
 * no room. */
void load_send_row(struct loader *loader, const struct load_file *file, const struct load_row *row,
                   bool is_new_sku);

/* Waits until at most so many commands are unanswered, or the connection has ended. */
void load_drain(struct loader *loader, uint32_t in_flight);

/* Counts rows that are not sent, because the load has ended. */
void load_rows_left(struct loader *loader, const struct load_place *first, uint64_t count);

/* Rows that were sent and have no answer. */
uint32_t load_rows_unanswered(const struct loader *loader);

#endif
