"""Freshness: replies that tell how old their state is, and requests that demand a change.

On a primary the age is zero, and only a change that has not happened can be waited for. That makes
the waiting testable with one server: another connection makes the change."""

import harness
from harness import check, check_equal, test
from shop import set_up
from till_client import (
    FRESHNESS, HEADER, PROTOCOL, ServerError, encode_body, encode_frame)

SESSIONS = 600  # more than a turn of the server looks at
LONG_WAIT = ("--min-seq-wait-ms", "600000")
SHORT_WAIT = ("--min-seq-wait-ms", "20")
BEHIND = "REPLICA_BEHIND"


def change(server, key):
    with server.client() as client:
        reply = client.call("stock.adjust", key=key, sku=1, delta=1, warehouse=1)
        check_equal(reply.outcome, "OK", f"the outcome of {reply}")
        return reply.body["seq"]


def seq_of(client):
    client.min_seq = 0
    return client.call("stats").body["seq"]


def demand(client, seq):
    """Sends a query that demands this change."""
    client.min_seq = seq
    client.queue("stock.get", rows=[{"sku": 1, "warehouse": 1}])
    client.flush()


def check_shows(client, seq):
    reply = client.receive()
    check_equal(reply.outcome, "OK", f"the outcome of {reply}")
    check(reply.body["seq"] >= seq, f"{reply} shows {seq}")


@test
def an_answer_tells_its_age_and_shows_what_is_demanded(run):
    server = run.serve()
    set_up(server)
    for checksum in (False, True):
        with server.client(fresh=True, checksum=checksum) as client:
            seq = seq_of(client)
            demand(client, seq)
            check_shows(client, seq)
            reply = client.call("stock.adjust", key=10 + checksum, sku=1, delta=1, warehouse=1)
            check_equal((reply.outcome, reply.age), ("OK", 0), "outcome and age of a command")
            check_equal(client.call("order.get", order=99).age, 0, "the age of a rejection")
            check_equal(client.call("snapshot").age, 0, "the age of the server's own answer")
    run.finish(server)


@test
def a_request_waits_for_the_change_that_it_demands(run):
    server = run.serve(options=LONG_WAIT)
    set_up(server)
    with server.client(fresh=True) as client:
        seq = seq_of(client) + 1
        client.min_seq = seq
        client.queue("stock.get", rows=[{"sku": 1, "warehouse": 1}])
        client.min_seq = 0
        client.queue("stock.get", rows=[{"sku": 1, "warehouse": 1}])
        client.min_seq = seq + 1
        client.queue("stock.adjust", key=20, sku=1, delta=1, warehouse=1)
        client.flush()
        check_equal(change(server, 21), seq, "the change that is waited for")
        check_shows(client, seq)
        check_shows(client, seq)
        check_equal(change(server, 22), seq + 1, "the next one")
        reply = client.receive()
        check_equal((reply.outcome, reply.body["seq"]), ("OK", seq + 2), "a command that waited")
    run.finish(server)


@test
def a_change_that_does_not_come_is_told(run):
    server = run.serve(options=SHORT_WAIT)
    set_up(server)
    with server.client(fresh=True) as client:
        seq = seq_of(client)
        demand(client, seq + 5)
        demand(client, seq + 7)
        demand(client, seq)
        for _ in range(2):
            reply = client.receive()
            check_equal((reply.outcome, reply.body["value"]), (BEHIND, seq), "what is told")
        check_shows(client, seq)
        client.min_seq = seq + 1
        reply = client.call("snapshot")
        check_equal(reply.outcome, "OK", "what is for the server itself waits for nothing")
    run.finish(server)


@test
def many_that_wait_are_answered_when_their_changes_come(run):
    server = run.serve(options=LONG_WAIT)
    set_up(server)
    with server.client(fresh=True) as first:
        seq = seq_of(first)
    clients = [server.client(fresh=True) for _ in range(SESSIONS)]
    for number, client in enumerate(clients):
        demand(client, seq + 1 + number % 2)
    for client in clients[::7]:
        client.close()
    change(server, 30)
    for number, client in enumerate(clients):
        if number % 7 != 0 and number % 2 == 0:
            check_shows(client, seq + 1)
    change(server, 31)
    for number, client in enumerate(clients):
        if number % 7 != 0 and number % 2 == 1:
            check_shows(client, seq + 2)
        client.close()
    run.finish(server)


@test
def a_server_that_stops_answers_who_waits(run):
    server = run.serve(options=LONG_WAIT)
    set_up(server)
    with server.client(fresh=True) as client:
        seq = seq_of(client)
        demand(client, seq + 1)
        client.min_seq = 0
        change(server, 40)
        check_shows(client, seq + 1)
        demand(client, seq + 9)
        with server.client(fresh=True) as other:
            check_equal(seq_of(other), seq + 1, "the seq")
        server.stop_clean()
        check_equal(client.receive().outcome, BEHIND, "what is told at the stop")
    run.verify(server.folder)


@test
def requests_in_pieces_are_read_as_whole_ones(run):
    server = run.serve(options=LONG_WAIT)
    set_up(server)
    for checksum in (False, True):
        with server.client(fresh=True, checksum=checksum) as client:
            seq = seq_of(client)
            for min_seq in (seq, seq + 1, 0):
                client.min_seq = min_seq
                client.queue("stock.get", rows=[{"sku": 1, "warehouse": 1}])
            data = b"".join(client.queued)
            client.queued = []
            while data:
                size = run.random.randrange(1, 41)
                client.send(data[:size])
                data = data[size:]
            change(server, 60 + checksum)
            for demanded in (seq, seq + 1, seq + 1):
                check_shows(client, demanded)
    run.finish(server)


@test
def an_error_is_told_with_an_age_and_short_frames_are_refused(run):
    server = run.serve()
    number = PROTOCOL.messages["stats"].number
    body = encode_body("stats")
    for frame in (encode_frame(number, 1, FRESHNESS.pack(0)),
                  encode_frame(number, 1, body),
                  encode_frame(63, 1, FRESHNESS.pack(0) + body)):
        with server.client(fresh=True) as client:
            client.send(frame)
            try:
                reply = client.receive()
                raise AssertionError(f"{frame.hex()} is answered {reply}")
            except ServerError as error:
                check(str(error), "a reason is told")
    check(HEADER.size + FRESHNESS.size == 24, "a head has 24 bytes")
    run.finish(server)


@test
def a_link_has_no_features_and_only_a_link_acknowledges(run):
    server = run.serve()
    join = encode_body("replica.join", member=7)
    for options in ({"fresh": True}, {"checksum": True}):
        with server.client(**options) as client:
            client.queue_body(PROTOCOL.messages["replica.join"].number, join)
            client.flush()
            try:
                raise AssertionError(f"a join is answered {client.receive()}")
            except ServerError as error:
                check("no features" in str(error), f"the reason is told: {error}")
    with server.client() as client:
        client.queue("replica.ack", state="STREAMING")
        client.flush()
        try:
            raise AssertionError(f"an ack is answered {client.receive()}")
        except ServerError as error:
            check("only for a link" in str(error), f"the reason is told: {error}")
    run.finish(server)


if __name__ == "__main__":
    harness.main()
