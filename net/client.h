/* A small C client that pipelines: one connection, calls that wait, requests queued and flushed
 * together, replies taken in order.
 *
 *   client_open, then any number of client_queue and client_receive, client_close.
 *
 * The caller keeps at most in_flight_max requests unanswered.
 *
 * With FRAME_FEATURE_FRESH each reply tells the age of what it shows, and requests can demand a
 * change (client_set_min_seq). A client that follows is led by replicas to their primary: see
 * client_call. */
#ifndef TILL_NET_CLIENT_H
#define TILL_NET_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/limits.h"
#include "net/frame.h"

enum {
    CLIENT_ERROR_SIZE = 256,
    CLIENT_OPEN_MS = 10000, /* how long connecting may take, and the answer to hello */
    CLIENT_HOPS_MAX = 3,    /* a call follows so many redirects, */
    CLIENT_PAUSES_MAX = 50, /* and while no primary is known it is made again so often, */
    CLIENT_PAUSE_MS = 100,  /* after so long each time */
};

/* Where a client looks for a server when it is not told: this machine, TILL_PORT_DEFAULT. */
#define CLIENT_ADDRESS_DEFAULT "127.0.0.1:7411"

struct client_reply {
    uint32_t request;
    uint16_t number;  /* message number */
    uint16_t outcome; /* enum outcome */
    uint32_t size;    /* of the body, as this client knows it, whatever the server's schema */
    const void *body; /* valid until the next call */
    uint64_t age_us;  /* with FRAME_FEATURE_FRESH: of the state that it shows; else 0 */
};

struct client {
    char error[CLIENT_ERROR_SIZE]; /* of the last call that failed */
    uint32_t in_flight;            /* queued and not answered yet */
    uint32_t in_flight_max;        /* as the server's hello said */
    uint64_t server_epoch;
    uint64_t server_seq;
    bool follows; /* set by the caller, when it likes: see client_call */

    /* Private. */
    int fd;
    uint16_t features;   /* as they were asked for */
    uint32_t head_size;  /* bytes before the body of a frame */
    uint64_t min_seq;    /* of the requests to come */
    struct id shop;      /* zero: not known; all servers that it is led to are of this shop, */
    uint64_t epoch_seen; /* and this is the newest epoch that any of them knew */
    bool checksum;
    bool has_ended; /* error says why; replies in the buffer can still be taken */
    uint32_t request_next;
    uint8_t *out;
    size_t out_size;
    uint8_t *in;
    size_t in_capacity;
    size_t in_start;
    size_t in_end;
    uint64_t fitted[FRAME_SIZE_MAX / 8]; /* the last reply, when the server's schema is another */
};

/* Connects to ADDR:PORT ([ADDR]:PORT for IPv6) and says hello, asking for FRAME_FEATURE_* bits.
 * False with client->error; nothing is left open then. */
bool client_open(struct client *client, const char *address, uint16_t features);

/* The same with a limit of one's own in place of CLIENT_OPEN_MS, for each address that the name
 * has. */
bool client_open_within(struct client *client, const char *address, uint16_t features,
                        int timeout_ms);
void client_close(struct client *client);

/* Queues a request; flushes by itself when its buffer is full. *request is the number its reply
 * will carry. False when the connection has ended: the request is then not in flight. */
bool client_queue(struct client *client, unsigned number, const void *body, uint32_t size,
                  uint32_t *request);

/* Sends what is queued, and takes in replies while that has to wait. False when the connection has
 * ended; replies that had come can still be taken. */
bool client_flush(struct client *client);

/* Takes the next reply, waiting up to timeout_ms (-1: for ever); what is queued is sent before it
 * waits. False on error, time-out, or when the server closed the connection; the error tells which,
 * with the server's reason if it gave one. */
bool client_receive(struct client *client, struct client_reply *reply, int timeout_ms);

/* The same without waiting and without sending: *has_come is false when there is none yet. */
bool client_take(struct client *client, struct client_reply *reply, bool *has_come);

/* For poll: readable when there may be something to take. */
int client_fd(const struct client *client);

/* The answers to all requests that are queued from here on show this change, or are
 * REPLICA_BEHIND. 0: nothing is demanded. Only with FRAME_FEATURE_FRESH. */
void client_set_min_seq(struct client *client, uint64_t seq);

/* Queue and receive: one request with nothing else in flight.
 *
 * If client->follows, an answer NOT_PRIMARY is not the end: the client connects to the primary that
 * it names, and makes the same call there, CLIENT_HOPS_MAX times at most. While no primary is
 * known, as between two of them, it makes the call again after a pause, CLIENT_PAUSES_MAX times at
 * most. Nothing has been done by such a call, so it can be repeated whatever it is. What remains
 * NOT_PRIMARY after that is the reply. False, with the address in the error, when the primary that
 * was named cannot be reached or is of another shop: the connection has ended then. */
bool client_call(struct client *client, unsigned number, const void *body, uint32_t size,
                 struct client_reply *reply);

#endif
