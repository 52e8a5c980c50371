/* Where the telling begins. The log has commands, not what they did: that is told by deciding them
 * again, for which there must be a state to begin with.
 *
 *   the log begins with the first change, and it is asked for         the empty shop
 *   a snapshot shows a state from before what is asked for            the newest such snapshot
 *   else, the log begins with the first change                        the empty shop
 *   else, the oldest snapshot shows a state from within it            that snapshot, and of what
 *                                                                     comes before only the
 *                                                                     commands that name the thing
 *   else                                                              nothing but these commands
 *
 * What a snapshot, or --from, leaves out is shown by a first line without a command: how the thing
 * was then. */
#include "cli/log_history.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/log_watch.h"

struct history {
    struct folder *folder;
    struct log_print *print;
    struct log_watch watch;
    uint64_t from; /* the first seq whose effect is told */
    bool is_begun;
};

/* Closes the line that was begun, with what the last look has found. */
static void write_changes(const struct history *history, const char *name)
{
    const struct log_watch *watch = &history->watch;
    bool is_json = history->print->form == VALUE_JSON;
    if (is_json)
        printf(",\"%s\":{", name);
    if (watch->has_changed)
        fwrite(watch->changes, 1, watch->changes_size, stdout);
    puts(is_json ? "}}" : "");
}

/* Tells what there is before the first command. */
static void begin(struct history *history)
{
    struct engine *engine = history->folder->replay.engine;
    uint64_t time_us = engine_time_us(engine);
    history->is_begun = true;
    log_watch_init(&history->watch);
    log_watch_look(&history->watch, NULL);
    if (!history->watch.has_changed)
        return;
    history->print->count++;
    progress_hide(&history->folder->progress);
    if (history->print->form == VALUE_JSON) {
        printf("{\"seq\":%" PRIu64 ",\"time\":%" PRIu64, engine_seq(engine), time_us);
    } else {
        printf("%" PRIu64 " ", engine_seq(engine));
        value_write(stdout, VALUE_TEXT, FIELD_time, &time_us);
        printf(" is how it was:");
    }
    write_changes(history, "state");
}

static void observe(void *context, const struct command *command)
{
    struct history *history = context;
    (void)command;
    if (!history->is_begun && engine_seq(history->folder->replay.engine) + 1 >= history->from)
        begin(history);
}

static void decided(void *context, const struct command *command)
{
    struct history *history = context;
    const struct engine *engine = history->folder->replay.engine;
    if (!history->is_begun)
        return;
    log_watch_look(&history->watch, command);
    if (!history->watch.has_changed &&
        !log_subject_is_named(history->print->subject, command->number, command->body))
        return;
    history->print->count++;
    progress_hide(&history->folder->progress);
    log_print_command(history->print->form, engine_seq(engine), engine_time_us(engine),
                      message_info(command->number), command->body);
    write_changes(history, "changed");
}

/* Decides the commands again, from the state that `folder->replay` says, and tells what they did
 * from history->from on. */
static bool tell_effects(struct history *history)
{
    struct folder *folder = history->folder;
    struct replay *replay = &folder->replay;
    struct log_print *print = history->print;
    history->watch = (struct log_watch){.subject = print->subject,
                                        .form = print->form,
                                        .engine = replay->engine,
                                        .hash_seed = folder->capacities.hash_seed};
    folder->progress.log = "deciding the log again";
    replay->observe = observe;
    replay->decided = decided;
    replay->observer = history;
    replay->seq_last = print->to;
    bool is_replayed = replay_run(replay);
    if (is_replayed && !history->is_begun && engine_seq(replay->engine) + 1 >= history->from)
        begin(history);
    fflush(stdout);
    progress_end(&folder->progress);
    print->seq = engine_seq(replay->engine);
    if (print->seq_first == 0)
        print->seq_first = history->from;
    if (!is_replayed)
        fprintf(stderr, "till log: %s\n", replay->error);
    if (history->watch.lacks_memory)
        fprintf(stderr, "till log: not enough memory: what was told is incomplete\n");
    bool is_whole = is_replayed && !history->watch.lacks_memory;
    log_watch_deinit(&history->watch);
    return is_whole;
}

/* Says from where on it is known what the commands did; seq 0: from nowhere. */
static void tell_gap(const struct history *history, uint64_t seq)
{
    const struct log_subject *subject = history->print->subject;
    const char *hint = history->folder->archive == NULL ? "; is there an --archive?" : "";
    fprintf(stderr, "till log: the log's beginning is gone, and no snapshot shows ");
    if (seq > 0)
        fprintf(stderr, "what was before seq %" PRIu64 ": up to there", seq);
    else
        fprintf(stderr, "what was then:");
    fprintf(stderr, " only the commands that name %s %s are printed, and not what they did%s\n",
            subject->name, subject->typed, hint);
}

/* Prints the commands up to `to` that name the thing, 0: to the end. */
static bool tell_commands(struct history *history, uint64_t to)
{
    struct log_print *print = history->print;
    struct replay *replay = &history->folder->replay;
    uint64_t to_all = print->to;
    history->folder->progress.log = "reading the log";
    print->to = to;
    bool is_whole = log_print_folder(print, replay->disk, replay->archive);
    print->to = to_all;
    return is_whole;
}

/* By the table above. */
static bool tell(struct history *history)
{
    struct replay *replay = &history->folder->replay;
    const uint64_t from = history->print->from;
    const uint64_t to = history->print->to;
    struct loader snapshots = {.disk = replay->disk};
    bool is_archive = false;
    bool is_whole = folder_first_seq(replay->archive, &is_archive) == 1 ||
                    folder_first_seq(replay->disk, &is_archive) == 1;
    if (!loader_list(&snapshots)) {
        fprintf(stderr, "till log: %s\n", snapshots.error);
        return false;
    }
    uint64_t oldest = snapshots.seq_count > 0 ? snapshots.seqs[snapshots.seq_count - 1] : 0;
    history->from = from > 1 ? from : 1;
    replay->ignores_snapshots = is_whole && from <= 1;
    replay->seq_max = from > 1 ? from - 1 : 0;
    if (is_whole || (oldest > 0 && oldest < from))
        return tell_effects(history);
    bool is_state_wanted = oldest > 0 && (to == 0 || oldest < to);
    tell_gap(history, is_state_wanted ? oldest : 0);
    if (!is_state_wanted)
        return tell_commands(history, to);
    history->from = oldest + 1;
    replay->seq_max = oldest;
    return tell_commands(history, oldest) && tell_effects(history);
}

bool log_history(struct folder *folder, struct log_print *print, const char *path)
{
    struct history history = {.folder = folder, .print = print};
    bool is_told = folder_open(folder, path) && tell(&history);
    folder_close(folder);
    return is_told;
}
