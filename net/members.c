/* Roles, epochs, and when this server may decide.
 *
 * Good path: shop.till is read before the log; --replica-of changes it; after recovery the role
 * follows from it and from the log's epoch. A change of roles is written to shop.till first.
 *
 * What can fail: writing shop.till. A seal or promotion that is not durable is answered
 * STORAGE_FULL and has not happened. A fence is taken up in memory all the same: it is safer.
 *
 * What must hold: of two members that are PRIMARY of different epochs, the older one gets no
 * acknowledgement from a member that has sealed the newer one; a member that has sealed an epoch
 * has told its seq afterwards. docs/replication.md has the proof. */
#include "net/members.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/schema.h"
#include "net/admin.h"
#include "net/link.h"
#include "net/plant.h"
#include "net/server_state.h"
#include "net/timekeeping.h"

/* Nobody seals an epoch that leaves no room for the promotions to come. */
#define EPOCH_MAX (UINT64_MAX / 4)

/* By role: which ones may follow, as bits. */
static const uint8_t next_roles[MEMBER_ROLE_COUNT] = {
    [MEMBER_SERVING] = 1 << MEMBER_FENCED | 1 << MEMBER_FOLLOWING,
    [MEMBER_WAITING] = 1 << MEMBER_SERVING | 1 << MEMBER_FENCED | 1 << MEMBER_FOLLOWING,
    [MEMBER_FENCED] = 1 << MEMBER_FOLLOWING,
    [MEMBER_FOLLOWING] = 1 << MEMBER_FOLLOWING | 1 << MEMBER_SERVING | 1 << MEMBER_DIVERGED,
    [MEMBER_DIVERGED] = 1 << MEMBER_FOLLOWING | 1 << MEMBER_DIVERGED,
};

/* Which requests are handled: by kind, OK or the outcome that they get. */
static void admits_update(struct server *server)
{
    struct members *members = &server->members;
    enum outcome command = OUTCOME_OK;
    enum outcome query = OUTCOME_OK;
    switch (members->role) {
    case MEMBER_SERVING:
        /* What is shown before the epoch has begun in the log waits for no acknowledgement. */
        if (members->is_short || members->is_epoch_due)
            command = query = OUTCOME_NO_QUORUM;
        break;
    case MEMBER_WAITING:
        command = query = OUTCOME_NO_QUORUM;
        break;
    case MEMBER_FENCED:
        command = query = OUTCOME_NOT_PRIMARY;
        break;
    case MEMBER_FOLLOWING:
        command = OUTCOME_NOT_PRIMARY;
        query = members->has_joined ? OUTCOME_OK : OUTCOME_REPLICA_BEHIND;
        break;
    case MEMBER_DIVERGED:
        command = OUTCOME_NOT_PRIMARY;
        query = OUTCOME_REPLICA_BEHIND;
        break;
    case MEMBER_ROLE_COUNT:
        till_unreachable();
    }
    members->admits[KIND_COMMAND] = (uint16_t)command;
    members->admits[KIND_QUERY] = (uint16_t)query;
    server->kinds_asked = (uint32_t)(command != OUTCOME_OK) << KIND_COMMAND |
                          (uint32_t)(query != OUTCOME_OK) << KIND_QUERY;
}

/* What holds in each role. */
static void members_check(const struct server *server)
{
    const struct members *members = &server->members;
    bool is_replica = (members->shop.flags & SHOP_REPLICA) != 0;
    switch (members->role) {
    case MEMBER_SERVING:
    case MEMBER_WAITING:
        TILL_ASSERT(!is_replica && members->shop.epoch_sealed <= wal_epoch(server->wal));
        break;
    case MEMBER_FENCED:
        TILL_ASSERT(!is_replica);
        break;
    case MEMBER_FOLLOWING:
    case MEMBER_DIVERGED:
        TILL_ASSERT(is_replica && !members->is_epoch_due);
        break;
    case MEMBER_ROLE_COUNT:
        till_unreachable();
    }
}

static void role_enter(struct server *server, enum member_role role)
{
    struct members *members = &server->members;
    TILL_ASSERT((next_roles[members->role] >> role & 1) != 0);
    members->role = role;
    members->has_joined = false;
    members->is_short = false;
    members->short_us = server->turn_us;
    members_check(server);
    admits_update(server);
}

static bool fail(struct server *server, const char *what, int result)
{
    snprintf(server->error, sizeof server->error, "%s/%s %s: %s", disk_path(server->disk),
             SHOP_NAME, what, strerror(-result));
    return false;
}

/* Makes a changed shop.till durable, and takes it over. */
static int shop_change(struct server *server, struct shop *changed)
{
    int result = shop_write(server->disk, changed);
    if (result == 0)
        server->members.shop = *changed;
    return result;
}

static void text_copy(struct text *text, const char *from)
{
    *text = (struct text){{0}};
    snprintf(text->bytes, sizeof text->bytes, "%s", from);
}

/* Before recovery. */

/* A folder that has no shop.till yet: of a new shop, unless it will take on that of its primary.
 * Then it may be in the place of one that was lost, with changes that it had acknowledged. */
static void shop_make(const struct server *server, struct shop *shop)
{
    const struct server_options *options = &server->options;
    *shop = (struct shop){.member = options->member_new};
    if (options->replica_of == NULL)
        shop->shop = options->shop_new;
    else
        shop->flags = SHOP_NEW;
}

/* --replica-of is obeyed once: while a server is started with the same command line again and
 * again, what till follow and till promote have made of it since is what counts. Else a primary
 * that is started again could become the replica of one that follows it. */
static void upstream_take(struct server *server, const char *upstream, struct shop *shop)
{
    bool was_obeyed = strncmp(shop->replica_of.bytes, upstream, sizeof shop->primary.bytes) == 0;
    bool is_so = (shop->flags & SHOP_REPLICA) != 0 &&
                 strncmp(shop->primary.bytes, upstream, sizeof shop->primary.bytes) == 0;
    if (was_obeyed && !is_so)
        server_notice(server, "--replica-of is passed over: since this server first had it, it was "
                              "promoted, or told to follow another one. till follow changes that");
    if (was_obeyed)
        return;
    shop->flags = (shop->flags | SHOP_REPLICA) & ~(uint32_t)SHOP_PROMOTED;
    text_copy(&shop->primary, upstream);
    text_copy(&shop->replica_of, upstream);
}

bool members_open(struct server *server)
{
    const char *upstream = server->options.replica_of;
    struct shop shop = {0};
    int result = shop_read(server->disk, &shop);
    if (result == -EBADMSG || result == -ENOTSUP) {
        snprintf(server->error, sizeof server->error, "%s/%s is %s", disk_path(server->disk),
                 SHOP_NAME,
                 result == -ENOTSUP
                     ? "of a newer version: use the till that wrote it"
                     : "damaged: it says which epochs this folder has promised to refuse, so it is "
                       "not made anew. Restore the folder from a backup, or remove the file if no "
                       "replica ever followed this shop");
        return false;
    }
    if (result != 0 && result != -ENOENT)
        return fail(server, "cannot be read", result);
    struct shop wanted = shop;
    server->members.is_made = result == -ENOENT;
    if (result == -ENOENT)
        shop_make(server, &wanted);
    if (id_is_zero(wanted.member))
        wanted.member = server->options.member_new;
    if (upstream != NULL)
        upstream_take(server, upstream, &wanted);
    server->members.shop = wanted;
    server->members.is_new = memcmp(&wanted, &shop, sizeof shop) != 0;
    return true;
}

/* After recovery. */

uint64_t members_epoch_shown(const struct server *server)
{
    const struct engine *engine = server->engine;
    uint32_t count = engine_epoch_count(engine);
    return count > 0 ? engine_epoch_at(engine, count - 1).epoch : SERVER_EPOCH_FIRST;
}

/* The epoch that a primary writes is to begin with a block that says so. */
static void epoch_begin(struct server *server, uint64_t epoch)
{
    if (epoch > wal_epoch(server->wal))
        wal_epoch_begin(server->wal, epoch);
    server->members.is_epoch_due = members_epoch_shown(server) < wal_epoch(server->wal);
}

static uint32_t members_count(const struct server *server)
{
    const struct server_options *options = &server->options;
    return options->members > 0 ? options->members : options->acks + 1;
}

/* So many others must be heard from before a primary that was started again decides anything:
 * with this one they are N - K, one of which would be in any group that sealed a newer epoch. */
static uint32_t others_needed(const struct server *server)
{
    uint32_t acks = server->options.acks;
    uint32_t count = members_count(server);
    return acks > 0 && count > acks + 1 ? count - acks - 1 : 0;
}

/* So many others must be there before it serves: heard from, and with all of this log. */
static uint32_t waits_for(const struct server *server)
{
    uint32_t others = others_needed(server);
    return others > server->options.acks ? others : server->options.acks;
}

/* May a primary that was started again decide? Its log may end with changes that were durable here
 * and not acknowledged yet. No answer shows them before they are: not before K replicas have all
 * of this log. Where an epoch is due, every answer waits for the block that begins it. */
static bool may_serve(const struct server *server)
{
    const struct members *members = &server->members;
    return members->heard_count >= others_needed(server) &&
           (server->options.acks == 0 ||
            server->replicas.seq_acknowledged >= members->seq_recovered);
}

/* Says what a primary waits for, so that it does not look stuck. */
static void tell_waiting(struct server *server)
{
    char text[320];
    snprintf(text, sizeof text,
             "deciding nothing yet: of the %" PRIu32 " members %" PRIu32 " besides this one must "
             "join, know of no newer epoch and have what is here; until then requests are answered "
             "NO_QUORUM. If another server was promoted meanwhile, make this one its replica with "
             "till follow",
             members_count(server), waits_for(server));
    server_notice(server, text);
}

/* Where others are told to connect: as --advertise says, or where this server listens. */
static void address_tell(struct server *server)
{
    const struct server_options *options = &server->options;
    char text[ADDRESS_TEXT_SIZE];
    struct address address;
    bool is_address = address_split(&address, options->listen);
    TILL_ASSERT(is_address);
    text_copy(&server->members.address, options->advertise != NULL
                                            ? options->advertise
                                            : address_join(address.host, server->start.port, text));
}

/* A folder without shop.till may have a snapshot that says whose it is; one with both is of one
 * shop. */
static bool shop_compare(struct server *server, struct id snapshot_shop)
{
    struct members *members = &server->members;
    char own[ID_TEXT_SIZE];
    char other[ID_TEXT_SIZE];
    if (id_is_zero(snapshot_shop) || id_equal(snapshot_shop, members->shop.shop))
        return true;
    if (members->is_made || id_is_zero(members->shop.shop)) {
        members->shop.shop = snapshot_shop;
        members->is_new = true;
        return true;
    }
    snprintf(server->error, sizeof server->error,
             "%s/%s says that this folder is of shop %s, but its newest snapshot is of shop %s: "
             "files of two shops are mixed. Move away those that do not belong here",
             disk_path(server->disk), SHOP_NAME, id_format(members->shop.shop, own),
             id_format(snapshot_shop, other));
    return false;
}

bool members_begin(struct server *server, struct id snapshot_shop)
{
    struct members *members = &server->members;
    struct shop *shop = &members->shop;
    if (!shop_compare(server, snapshot_shop))
        return false;
    uint32_t done = SHOP_FORKED | SHOP_REBASED;
    bool is_promoted = (shop->flags & SHOP_PROMOTED) != 0;
    if (members->is_new || (shop->flags & done) != 0) {
        struct shop changed = *shop;
        if ((shop->flags & SHOP_FORKED) != 0 && engine_seq(server->engine) == 0)
            changed.flags |= SHOP_NEW;
        changed.flags &= ~done;
        changed.fork_seq = 0;
        int result = shop_change(server, &changed);
        if (result < 0)
            return fail(server, "cannot be written", result);
    }
    address_tell(server);
    members->short_us = server->turn_us;
    if ((shop->flags & SHOP_REPLICA) != 0) {
        members->role = MEMBER_FOLLOWING;
    } else if (shop->epoch_sealed > wal_epoch(server->wal) && !is_promoted) {
        members->role = MEMBER_FENCED;
    } else {
        if (!engine_follow(server->engine, SCHEMA, server->error, sizeof server->error))
            return false;
        epoch_begin(server, is_promoted ? shop->epoch_sealed : 0);
        members->seq_recovered = members->is_epoch_due ? 0 : wal_seq_durable(server->wal);
        members->role = may_serve(server) ? MEMBER_SERVING : MEMBER_WAITING;
    }
    if (members->role == MEMBER_FENCED || plant(PLANT_PROMOTED_UNSEALED))
        server_notice(server, "a newer epoch of this shop was sealed here: commands are answered "
                              "NOT_PRIMARY. Make this server a replica with till follow");
    if (members->role == MEMBER_WAITING)
        tell_waiting(server);
    members_check(server);
    admits_update(server);
    return true;
}

/* Once a turn. */

/* A replica that began empty has what the primary that it follows had when it began to stream: from
 * now on its promise counts in a promotion, as that of a member that has all that it ever
 * acknowledged. */
static void catch_up(struct server *server)
{
    struct members *members = &server->members;
    struct shop changed = members->shop;
    if ((changed.flags & SHOP_NEW) == 0 || !members->has_beat ||
        wal_seq_durable(server->wal) < members->seq_missed)
        return;
    changed.flags &= ~(uint32_t)SHOP_NEW;
    members->has_beat = shop_change(server, &changed) == 0; /* if not, with the next beat */
}

/* Promotions count on N: with more members than that, one could miss a change that was answered. */
static void count_check(struct server *server)
{
    struct members *members = &server->members;
    bool are_more = server->options.acks > 0 && server->replicas.following >= members_count(server);
    if (are_more && !members->are_more)
        server_notice(server,
                      "more replicas follow than --members says: a promotion that counts on "
                      "that number may lose what was answered. Start all members with the "
                      "right number, or stop the others");
    members->are_more = are_more;
}

void members_turn(struct server *server)
{
    struct members *members = &server->members;
    catch_up(server);
    if (members->role == MEMBER_WAITING && may_serve(server)) {
        server_notice(server, "enough other servers of this shop know of no newer epoch and have "
                              "what is here: serving");
        role_enter(server, MEMBER_SERVING);
    }
    count_check(server);
    if (members->role != MEMBER_SERVING || server->options.acks == 0)
        return;
    if (server->replicas.following >= server->options.acks) {
        members->short_us = 0;
    } else if (members->short_us == 0) {
        members->short_us = server->turn_us;
    }
    bool is_short = members->short_us > 0 &&
                    server->turn_us - members->short_us >= server->options.acks_wait_us;
    if (is_short == members->is_short)
        return;
    members->is_short = is_short;
    server_notice(server, is_short ? "fewer replicas follow than --acks asks for: requests are "
                                     "answered NO_QUORUM until enough do"
                                   : "enough replicas follow again");
    admits_update(server);
}

uint64_t members_wait_us(const struct server *server)
{
    const struct members *members = &server->members;
    if (members->role != MEMBER_SERVING || members->is_short || members->short_us == 0 ||
        server->options.acks == 0)
        return UINT64_MAX;
    return clock_left_us(server->turn_us, members->short_us, server->options.acks_wait_us);
}

void members_epoch_begun(struct server *server)
{
    server->members.is_epoch_due = false;
    admits_update(server);
}

bool members_is_primary(const struct server *server)
{
    return server->members.role == MEMBER_SERVING && !server->members.is_short;
}

bool members_is_replica(const struct server *server)
{
    return (server->members.shop.flags & SHOP_REPLICA) != 0;
}

enum outcome members_admit(const struct server *server, const struct message_info *message)
{
    return (enum outcome)server->members.admits[message->kind];
}

/* Where commands are taken, as far as it is known here. */
static void primary_tell(const struct server *server, struct text *primary)
{
    const struct members *members = &server->members;
    *primary = (struct text){{0}};
    if (members_is_replica(server))
        *primary = members->primary.bytes[0] != '\0' ? members->primary : members->shop.primary;
}

static uint64_t epoch_known(const struct server *server)
{
    uint64_t epoch = wal_epoch(server->wal);
    uint64_t sealed = server->members.shop.epoch_sealed;
    return sealed > epoch ? sealed : epoch;
}

void members_redirect(const struct server *server, struct redirect_body *body)
{
    *body =
        (struct redirect_body){.seq = wal_seq_durable(server->wal), .epoch = epoch_known(server)};
    primary_tell(server, &body->primary);
}

static uint8_t role_number(const struct server *server)
{
    bool is_primary =
        server->members.role == MEMBER_SERVING || server->members.role == MEMBER_WAITING;
    return is_primary ? server_role_PRIMARY : server_role_REPLICA;
}

void members_greet(const struct server *server, struct hello_reply_body *reply)
{
    reply->epoch = wal_epoch(server->wal);
    reply->role = role_number(server);
    reply->shop = server->members.shop.shop;
    primary_tell(server, &reply->primary);
}

/* What is not released when a primary is one no more is never answered: a promotion may count on
 * the seq that was told with the promise, and what became durable after that is not in it. Requests
 * that are not decided yet would wait as well: their clients are better told by the end of the
 * connection than left waiting. */
static void close_unreleased(struct server *server)
{
    for (uint32_t i = 1; i <= server->session_high; i++) {
        const struct session *session = session_at(server, i);
        if (session->state != SESSION_FREE && session->state != SESSION_CLOSING &&
            (session->output.released < session->output.written || session->undecided > 0))
            session_close(server, i);
    }
}

/* A newer epoch is there: this primary stops deciding at once. 0, or -errno when it could not be
 * written down; it has stopped all the same. */
static int fence(struct server *server, uint64_t epoch)
{
    struct shop changed = server->members.shop;
    char text[384];
    changed.epoch_sealed = epoch;
    changed.flags &= ~(uint32_t)SHOP_PROMOTED;
    int result = shop_write(server->disk, &changed);
    server->members.shop = changed;
    server->members.is_epoch_due = false;
    if (server->members.role != MEMBER_FENCED)
        role_enter(server, MEMBER_FENCED);
    snprintf(text, sizeof text,
             "epoch %" PRIu64 " of this shop has begun elsewhere, or is about to: this server "
             "decides nothing any more and answers NOT_PRIMARY. Make it a replica of the new "
             "primary with till follow; if nobody was promoted, repeat till promote%s%s",
             epoch, result < 0 ? ". It could not write that down: " : "",
             result < 0 ? strerror(-result) : "");
    server_notice(server, text);
    close_unreleased(server);
    return result;
}

void members_meet(struct server *server, struct id shop, uint64_t epoch)
{
    const struct members *members = &server->members;
    if (id_is_zero(shop) || !id_equal(shop, members->shop.shop) || epoch <= epoch_known(server) ||
        epoch > EPOCH_MAX)
        return;
    if (members->role == MEMBER_SERVING || members->role == MEMBER_WAITING)
        fence(server, epoch);
}

void members_heard(struct server *server, struct id member, uint64_t epoch_sealed)
{
    struct members *members = &server->members;
    if (members->role != MEMBER_WAITING || epoch_sealed > wal_epoch(server->wal) ||
        members->heard_count == REPLICAS_MAX)
        return;
    for (uint32_t i = 0; i < members->heard_count; i++) {
        if (id_equal(members->heard[i], member))
            return;
    }
    members->heard[members->heard_count++] = member;
}

/* A replica's changes. */

bool members_adopt(struct server *server, struct id shop)
{
    struct shop changed = server->members.shop;
    if (id_equal(changed.shop, shop))
        return true;
    TILL_ASSERT(id_is_zero(changed.shop) && members_is_replica(server));
    changed.shop = shop;
    return shop_change(server, &changed) == 0;
}

/* Notes what the next start has to do. */
static bool start_with(struct server *server, uint32_t flags, uint64_t fork_seq)
{
    struct shop changed = server->members.shop;
    changed.flags |= flags;
    changed.fork_seq = fork_seq;
    int result = shop_change(server, &changed);
    if (result == 0)
        return true;
    fail(server, "cannot be written", result);
    server_notice(server, server->error);
    return false;
}

void members_go_back(struct server *server, uint64_t seq)
{
    if (start_with(server, SHOP_FORKED, seq))
        server->is_restarting = true;
}

bool members_start_over(struct server *server, uint64_t seq)
{
    return start_with(server, SHOP_REBASED, seq);
}

void members_stop(struct server *server, const char *why)
{
    if (server->members.role == MEMBER_DIVERGED)
        return;
    role_enter(server, MEMBER_DIVERGED);
    server_notice(server, why);
}

void members_joined(struct server *server)
{
    server->members.has_joined = true;
    admits_update(server);
}

/* How fresh a replica's state is: the sender's state was the primary's last one beat_fresh_us, by
 * this machine's time since its boot, and this one's is when it has the same changes. */

void members_shown(struct server *server)
{
    struct members *members = &server->members;
    if (engine_seq(server->engine) >= members->beat_seq)
        members->fresh_us = members->beat_fresh_us;
}

void members_beat(struct server *server, const struct replica_beat_body *beat)
{
    struct members *members = &server->members;
    members->primary = beat->primary;
    members->primary_acks = beat->acks;
    members->primary_members = beat->members;
    /* Only a primary that decides has all that was answered: what a replica has tells nothing of
     * that, and what a fenced primary has not of another one. */
    bool is_primary = link_beat_is_primary(beat);
    if (is_primary && !members->has_beat)
        members->seq_missed = beat->seq;
    members->has_beat |= is_primary;
    if (beat->age >= server->turn_us)
        return;
    /* An older one that is not reached yet is kept: else a replica that is always a little behind
     * would never be fresh. */
    if (members->fresh_us < members->beat_fresh_us)
        members_shown(server);
    if (members->fresh_us == members->beat_fresh_us) {
        members->beat_fresh_us = server->turn_us - beat->age;
        members->beat_seq = beat->seq;
    }
    members_shown(server);
}

uint64_t members_age_us(const struct server *server)
{
    const struct members *members = &server->members;
    /* A primary that may not decide does not know what another one has decided. */
    if (!members_is_replica(server))
        return members->role == MEMBER_SERVING ? 0 : UINT64_MAX;
    return members->fresh_us > 0 ? server->turn_us - members->fresh_us : UINT64_MAX;
}

void members_self(const struct server *server, struct link_self *self)
{
    const struct members *members = &server->members;
    const struct server_options *options = &server->options;
    /* A replica that has not heard from its primary says what it was started with itself. */
    bool was_told = members_is_replica(server) && members->primary_members > 0;
    *self = (struct link_self){
        .shop = members->shop.shop,
        .member = members->shop.member,
        .epoch = server->replicas.epoch,
        .epoch_sealed = members->shop.epoch_sealed,
        .seq = wal_seq_durable(server->wal),
        .checksum = server->replicas.checksum,
        .ends_empty = server->replicas.ends_empty,
        .age_us = members_age_us(server),
        .acks = was_told ? members->primary_acks : options->acks,
        .members = was_told ? members->primary_members : members_count(server),
        .engine = server->engine,
    };
    if (server->snapshots.writer != NULL)
        self->snapshot_seq = writer_status(server->snapshots.writer)->seq_published;
    snprintf(self->name.bytes, sizeof self->name.bytes, "%s",
             options->name != NULL ? options->name : "");
    self->address = members->address;
    primary_tell(server, &self->primary);
}

/* What operators ask for. */

static uint8_t state_number(const struct server *server)
{
    const struct members *members = &server->members;
    switch (members->role) {
    case MEMBER_SERVING:
        return member_state_SERVING;
    case MEMBER_WAITING:
        return member_state_WAITING;
    case MEMBER_FENCED:
        return member_state_FENCED;
    case MEMBER_DIVERGED:
        return member_state_DIVERGED;
    case MEMBER_FOLLOWING:
        break;
    case MEMBER_ROLE_COUNT:
        till_unreachable();
    }
    if (members->is_syncing || (members->shop.flags & SHOP_NEW) != 0)
        return member_state_SYNCING;
    return members->is_streaming ? member_state_STREAMING : member_state_CONNECTING;
}

uint8_t members_state(const struct server *server)
{
    return state_number(server);
}

uint8_t members_role(const struct server *server)
{
    return role_number(server);
}

static enum outcome member_tell(const struct server *server, void *reply)
{
    struct link_self self;
    uint8_t state = state_number(server);
    members_self(server, &self);
    /* One that fetches a snapshot because it was away for long has all that it acknowledged: its
     * promise counts. */
    if (state == member_state_SYNCING && (server->members.shop.flags & SHOP_NEW) == 0)
        state = member_state_CONNECTING;
    struct member_body body = {
        .seq = self.seq,
        .shop = self.shop,
        .member = self.member,
        .epoch = self.epoch,
        .epoch_sealed = self.epoch_sealed,
        .checksum = self.checksum,
        .acks = self.acks,
        .members = self.members,
        .role = role_number(server),
        .state = state,
        .name = self.name,
        .primary = self.primary,
    };
    memcpy(reply, &body, sizeof body);
    return OUTCOME_OK;
}

static enum outcome reject(const struct server *server, void *reply, enum outcome outcome,
                           uint64_t subject)
{
    struct rejection_body body = rejection_make(wal_seq_durable(server->wal), subject, 0);
    memcpy(reply, &body, sizeof body);
    return outcome;
}

static bool is_other_shop(const struct server *server, struct id shop)
{
    return !id_equal(shop, server->members.shop.shop);
}

/* The same epoch is sealed once: of two who want to begin it, one is refused. */
enum outcome admin_member_seal(struct server *server, const void *request, void *reply)
{
    const struct member_seal_body *seal = request;
    struct shop changed = server->members.shop;
    if (seal->epoch == 0)
        return member_tell(server, reply);
    if (is_other_shop(server, seal->shop))
        return reject(server, reply, OUTCOME_NOT_FOUND, member_seal_field_shop);
    if (seal->epoch > EPOCH_MAX)
        return reject(server, reply, OUTCOME_INVALID, member_seal_field_epoch);
    if (seal->epoch <= epoch_known(server))
        return reject(server, reply, OUTCOME_STALE_VERSION, epoch_known(server));
    if (plant(PLANT_PROMOTED_UNSEALED))
        return member_tell(server, reply);
    if (!members_is_replica(server)) {
        return fence(server, seal->epoch) == 0 ? member_tell(server, reply)
                                               : reject(server, reply, OUTCOME_STORAGE_FULL, 0);
    }
    changed.epoch_sealed = seal->epoch;
    if (shop_change(server, &changed) < 0)
        return reject(server, reply, OUTCOME_STORAGE_FULL, 0);
    return member_tell(server, reply);
}

enum outcome admin_member_promote(struct server *server, const void *request, void *reply)
{
    const struct member_promote_body *promote = request;
    struct members *members = &server->members;
    struct shop changed = members->shop;
    if (plant(PLANT_PROMOTED_UNSEALED))
        changed.epoch_sealed = promote->epoch;
    if (is_other_shop(server, promote->shop))
        return reject(server, reply, OUTCOME_NOT_FOUND, member_promote_field_shop);
    if (promote->epoch != changed.epoch_sealed || promote->epoch <= wal_epoch(server->wal))
        return reject(server, reply, OUTCOME_STALE_VERSION, epoch_known(server));
    /* A sync is broken off, but not while the snapshot's file is being changed. Of what was decided
     * here as a primary, the open block must be under way: it is not of the new epoch. */
    bool is_block_open =
        wal_block_last(server->wal) == wal_block_open(server->wal) ||
        (members->role == MEMBER_FENCED && server->block_released < wal_block_durable(server->wal));
    if (members->role == MEMBER_DIVERGED || server->is_restarting || server->following.is_working ||
        server->following.is_fetched || is_block_open)
        return reject(server, reply, OUTCOME_REPLICA_BEHIND, engine_seq(server->engine));
    changed.flags = (changed.flags & ~(uint32_t)(SHOP_REPLICA | SHOP_NEW)) | SHOP_PROMOTED;
    if (shop_change(server, &changed) < 0)
        return reject(server, reply, OUTCOME_STORAGE_FULL, 0);
    if (!engine_follow(server->engine, SCHEMA, server->error, sizeof server->error)) {
        members_stop(server, server->error);
        return member_tell(server, reply);
    }
    members->primary = (struct text){{0}};
    epoch_begin(server, promote->epoch);
    timekeeping_take_over(server);
    /* A fenced primary may be made one again: it passes through the role of a replica. */
    if (members->role == MEMBER_FENCED || plant(PLANT_PROMOTED_UNSEALED))
        members->role = MEMBER_FOLLOWING;
    role_enter(server, MEMBER_SERVING);
    server_notice(server, "promoted: this server is the primary now");
    return member_tell(server, reply);
}

enum outcome admin_member_follow(struct server *server, const void *request, void *reply)
{
    const struct member_follow_body *follow = request;
    struct members *members = &server->members;
    struct shop changed = members->shop;
    struct address address;
    char own[sizeof follow->primary.bytes];
    snprintf(own, sizeof own, "%s", follow->primary.bytes);
    if (!address_split(&address, own) ||
        strncmp(follow->primary.bytes, members->address.bytes, sizeof own) == 0)
        return reject(server, reply, OUTCOME_INVALID, member_follow_field_primary);
    changed.flags = (changed.flags | SHOP_REPLICA) & ~(uint32_t)SHOP_PROMOTED;
    text_copy(&changed.primary, own);
    if (shop_change(server, &changed) < 0)
        return reject(server, reply, OUTCOME_STORAGE_FULL, 0);
    bool was_primary = members->role != MEMBER_FOLLOWING && members->role != MEMBER_DIVERGED;
    members->is_epoch_due = false;
    members->is_moved = true;
    members->is_stale |= members->role != MEMBER_FOLLOWING;
    members->has_beat = false;
    members->primary = (struct text){{0}};
    members->fresh_us = members->beat_fresh_us = 0;
    role_enter(server, MEMBER_FOLLOWING);
    if (was_primary)
        close_unreleased(server);
    return member_tell(server, reply);
}
