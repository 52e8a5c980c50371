/* Requests that wait for a change: their clients demand an answer that shows it (min_seq), and this
 * server has not come so far. On a replica the change is on its way; on a primary only one that was
 * lost can be waited for. */
#ifndef TILL_NET_AWAIT_H
#define TILL_NET_AWAIT_H

#include <stdbool.h>
#include <stdint.h>

struct server;

/* Sessions that are looked at in a turn, at most. */
enum { AWAIT_LOOKS_MAX = 256 };

/* Has the engine reached the change, so that the session's request can be handled? */
bool await_is_reached(struct server *server, uint32_t number, uint64_t min_seq);

/* It has not: has the request waited for it long enough? Its wait begins with the first call. */
bool await_is_over(struct server *server, uint32_t number, uint64_t min_seq);

/* The session's input waits, until await_next names the session. */
void await_add(struct server *server, uint32_t number);

/* The next session whose request can be handled or has waited long enough; it waits no longer. 0
 * when there is none, or when *looks, which counts down, is used up. */
uint32_t await_next(struct server *server, uint32_t *looks);

/* How long until await_next has something to do. */
uint64_t await_wait_us(const struct server *server);

#endif
