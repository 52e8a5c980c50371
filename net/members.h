/* Who this server is among those of its shop: its role, the epochs that it refuses, and whether it
 * may decide now. The state of it that must outlive the process stands in shop.till (net/shop.h).
 *
 *   MEMBER_WAITING --members_turn, enough others know of no newer epoch--> MEMBER_SERVING
 *   MEMBER_WAITING, MEMBER_SERVING --members_meet, seal: a newer epoch---> MEMBER_FENCED
 *   any --member.follow--------------------------------------------------> MEMBER_FOLLOWING
 *   MEMBER_FOLLOWING, MEMBER_FENCED --member.promote, of the sealed epoch-> MEMBER_SERVING
 *   MEMBER_FOLLOWING --members_stop, a digest differs--------------------> MEMBER_DIVERGED
 *
 * members_check (net/members.c) asserts this at each transition. What is durable is written before
 * it is acted upon, on the loop's thread: that takes a flush, at a change of roles only. */
#ifndef TILL_NET_MEMBERS_H
#define TILL_NET_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/messages.h"

struct server;
struct link_self;

enum member_role {
    MEMBER_SERVING,   /* the primary */
    MEMBER_WAITING,   /* a primary that was started again, and has not heard from enough others */
    MEMBER_FENCED,    /* it was the primary, and has met a newer epoch */
    MEMBER_FOLLOWING, /* a replica */
    MEMBER_DIVERGED,  /* a replica whose state is not the primary's: it shows nothing any more */
    MEMBER_ROLE_COUNT,
};

/* Before recovery: reads shop.till, and lets --replica-of change it. After recovery, when the log
 * is open: decides the role. snapshot_shop: what the snapshot that was loaded says. False with the
 * server's error. */
bool members_open(struct server *server);
bool members_begin(struct server *server, struct id snapshot_shop);

/* Once a turn, before anything is decided. */
void members_turn(struct server *server);
uint64_t members_wait_us(const struct server *server);

bool members_is_primary(
    const struct server *server); /* SERVING, and nothing keeps it from deciding */
bool members_is_replica(const struct server *server);

/* May this request be handled now? OK, or what it is answered with. Asked for messages of the kinds
 * that have a bit in server->kinds_asked: none on a primary that decides. */
enum outcome members_admit(const struct server *server, const struct message_info *message);
void members_redirect(const struct server *server, struct redirect_body *body);
void members_greet(const struct server *server, struct hello_reply_body *reply);

/* A client or another server has seen this epoch of the shop. */
void members_meet(struct server *server, struct id shop, uint64_t epoch);

/* Another member says in its join, which is not refused, which epoch it has sealed: counted for a
 * primary that waits. */
void members_heard(struct server *server, struct id member, uint64_t epoch_sealed);

/* The epoch of the newest change. It is not the log's before epoch.begin is in there. */
uint64_t members_epoch_shown(const struct server *server);

/* The epoch.begin that was due is in the log. */
void members_epoch_begun(struct server *server);

/* A replica takes on the shop of its primary. False: shop.till could not be written. */
bool members_adopt(struct server *server, struct id shop);

/* A replica must go back to this seq (0: to an empty folder): written down, then the server
 * restarts in place. Or it will start from the snapshot of that seq, if the folder has it then:
 * false when that could not be written. */
void members_go_back(struct server *server, uint64_t seq);
bool members_start_over(struct server *server, uint64_t seq);

/* A block led to another state than on the primary, or the primary refuses this replica for good.
 */
void members_stop(struct server *server, const char *why);

/* The primary has found this replica's place in its log: from now on it answers queries. */
void members_joined(struct server *server);

/* What a beat said; and that changes were applied. */
void members_beat(struct server *server, const struct replica_beat_body *beat);
void members_shown(struct server *server);

/* Microseconds since the state that is shown here was the primary's last one; 0 on the primary,
 * UINT64_MAX: not known. */
uint64_t members_age_us(const struct server *server);

/* As server_role and member_state name them. */
uint8_t members_role(const struct server *server);
uint8_t members_state(const struct server *server);

/* What this server has, for a join and for judging one. */
void members_self(const struct server *server, struct link_self *self);

#endif
