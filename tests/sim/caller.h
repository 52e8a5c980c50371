/* A client of till on a simulated connection: says hello, pipelines requests, and takes replies in
 * order, whatever pieces they arrive in. A server that breaks the protocol fails the test. */
#ifndef TILL_TESTS_SIM_CALLER_H
#define TILL_TESTS_SIM_CALLER_H

#include "engine/messages.h"
#include "net/frame.h"
#include "tests/sim/sim.h"

enum caller_state {
    CALLER_GREETING, /* the hello is in flight */
    CALLER_READY,
    CALLER_REFUSED, /* the server sent an error frame: caller->error */
};

struct caller_reply {
    uint32_t request; /* counted from 1 */
    uint16_t number;
    uint16_t outcome;
    uint32_t size;
    uint64_t body[FRAME_SIZE_MAX / 8];
};

struct caller {
    struct sim_client *client;
    enum caller_state state;
    uint32_t sent;     /* requests */
    uint32_t answered; /* of them */
    bool checksum;
    bool ended; /* the stream ended or the connection broke, and all of it was received */
    struct hello_reply_body hello; /* once ready */
    struct error_reply_body error; /* once refused */
    size_t in_size;
    uint8_t in[2 * FRAME_SIZE_MAX];
};

/* Connects and sends the hello; caller_greet one that says more than which features are wanted. */
void caller_open(struct caller *caller, struct sim_machine *machine, bool checksum);
void caller_greet(struct caller *caller, struct sim_machine *machine,
                  const struct hello_body *hello);
void caller_close(struct caller *caller);

/* Sends a request; the caller is ready. Returns its number, counted from 1. */
uint32_t caller_send(struct caller *caller, unsigned number, const void *body, uint32_t size);

/* Sends a frame unchanged except for its checksum, which is filled in when checksums are on. */
void caller_send_frame(struct caller *caller, struct frame frame, const void *body, uint32_t size);

/* Takes what has arrived; true with the next reply. */
bool caller_receive(struct caller *caller, struct caller_reply *reply);

static inline uint32_t caller_in_flight(const struct caller *caller)
{
    return caller->sent - caller->answered;
}

#endif
