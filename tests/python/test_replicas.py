"""Replicas on the real binary: how the log gets to them, what they answer, what they cost the
primary, and how they come back from stops, kills, a full disk and damage.

Three real servers, real sockets; what decides is the replicas' state, compared with the primary's
at the same seq."""

import contextlib
import json
import select
import shutil
import struct
import subprocess
import time
from pathlib import Path

import harness
from cluster import Member, Proxy, wait_level
from formats import BLOCK, CHECKSUM_AT, CHECKSUM_FROM, OtherDigests, blocks
from harness import SMALL, check, check_equal, in_memory, test, wait_until
from scripted_server import ScriptedServer
from shop import (
    USD, flip, order_id, place, place_one_by_one, segments, set_up, snapshot, snapshots)
from till_client import HEADER, PROTOCOL, Closed, ServerError
from xxh3 import xxh3_64

ORDERS_PER_SEGMENT = 1024  # of one order per block, in a segment of 4 MiB
LONG_US = 4_000_000  # more than a link may be silent
RING_BYTES = 32 << 20
SMALL_LOG = ("--log-segment", "4", "--snapshot-every", "0", "--snapshot-log", "0")
FEW = "fewer replicas follow than --acks asks for"
LOG_AFTER_SNAPSHOT = 1 << 20
SINK_SECONDS_MAX = 10
KEEP_NOTHING = ("--replica-keep-mib", "0")


def pair(run, *options):
    """A primary with a shop that sells, and an empty replica of it."""
    primary = Member(run, "a", *options).start()
    set_up(primary)
    return primary, Member(run, "b", *options, of=primary)


def finish(run, *members):
    for member in members:
        member.stop()
    for member in members:
        run.verify(member.folder)


# How the log gets there.


@test
def an_empty_replica_streams_from_the_first_block(run):
    primary, replica = pair(run)
    place(primary, 1, 100)
    replica.start()
    wait_level(primary, replica)
    check_equal(place(primary, 101, 100), ["OK"] * 100, "orders with a replica")
    wait_level(primary, replica)
    row = primary.row(replica)
    check_equal((row["address"], row["lag_commands"], row["lag_us"]), (replica.address, 0, 0),
                "the row of a replica that has all")
    status = replica.status()
    check_equal((status["role"], status["state"], status["primary"], status["epoch"]),
                ("REPLICA", "STREAMING", primary.address, 1), "what the replica says of itself")
    finish(run, replica, primary)
    ours, theirs = (run.till("log", member.folder).stdout for member in (primary, replica))
    check_equal(theirs, ours, "the log of the replica")
    check_equal([path.read_bytes()[:64] for path in segments(replica.folder)][:1],
                [path.read_bytes()[:64] for path in segments(primary.folder)][:1], "its bytes")


@test
@in_memory
def a_replica_that_the_log_does_not_reach_begins_with_a_snapshot(run):
    primary, replica = pair(run, *SMALL_LOG, *KEEP_NOTHING)
    for number in range(3):
        place_one_by_one(primary, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
        snapshot(run, primary.server)
    wait_until(lambda: segments(primary.folder)[0].name != "wal-0000000001.log",
               "the first segments to be released")
    replica.start()
    wait_level(primary, replica)
    check_equal(len(snapshots(replica.folder)), 1, "snapshots of the replica")
    wait_said(replica, f"fetching a snapshot of {primary.address}",
              f"following {primary.address}")
    place(primary, 900_001, 50)
    wait_level(primary, replica)
    replica.stop()
    place(primary, 900_051, 50)
    replica.start()
    wait_level(primary, replica)
    finish(run, replica, primary)


@test
def a_sink_acknowledges_what_it_is_sent(run):
    primary = Member(run, "a", "--acks", "1").start()
    command = [str(Path(run.binary).parent / "sink"), primary.address]
    sink = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        set_up(primary)
        check_equal(place(primary, 1, 200), ["OK"] * 200, "orders that wait for the sink")
        with primary.client() as client:
            row = client.call("replicas").rows[0]
        check_equal((row["name"], row["state"], row["lag_commands"]), ("sink", "STREAMING", 0),
                    "the row of the sink")
        primary.stop()
        check_equal(sink.wait(SINK_SECONDS_MAX), 0, f"its end, with {sink.stderr.read()},")
    finally:
        sink.kill()
        sink.wait()
        sink.stderr.close()
    run.verify(primary.folder)


@test
def a_replica_of_a_replica_has_the_same(run):
    primary, middle = pair(run)
    middle.start()
    last = Member(run, "c", of=middle).start()
    place(primary, 1, 100)
    wait_level(primary, middle)
    wait_level(middle, last)
    check_equal(last.status()["primary"], primary.address, "the primary that the last one names")
    # It began empty, and a replica cannot tell what was answered: its promise counts for nothing.
    check_equal(last.status()["state"], "SYNCING", "the state behind a replica")
    check_equal(middle.status()["state"], "STREAMING", "the state behind the primary")
    middle.stop()
    place(primary, 101, 100)
    with last.client(fresh=True) as client:
        check_equal(client.call("stats").outcome, "OK", "queries without the one in the middle")
    middle.start()
    wait_level(primary, middle)
    wait_level(middle, last)
    finish(run, last, middle, primary)


@test
def each_may_be_stopped_and_killed_while_the_others_go_on(run):
    primary, replica = pair(run)
    other = Member(run, "c", of=primary).start()
    replica.start()
    first = 1
    for stops in (Member.stop, Member.kill) * 2:
        for member in (replica, other, primary):
            stops(member)
            if member is not primary:
                check_equal(set(place(primary, first, 50)), {"OK"}, "orders meanwhile")
                first += 50
            member.start()
            check_equal(set(place(primary, first, 50)), {"OK"}, "orders after it")
            first += 50
            wait_level(primary, replica, other)
    finish(run, other, replica, primary)


# What they answer.


def queries():
    """One of each query that there is, with fields that find something."""
    fields = {
        "stock.get": {"rows": [{"sku": 1, "warehouse": 1}, {"sku": 1, "warehouse": 2}]},
        "points.balance": {"customer": 3},
        "order.get": {"order": order_id(5)},
        "points.lots": {"customer": 3},
        "points.ledger": {"customer": 3},
        "order.history": {"order": order_id(5)},
        "order.parcels": {"order": order_id(7)},
        "order.money": {"order": order_id(7)},
        "payment.get": {"event": 1, "provider": 1},
        "refund.get": {"refund": 1},
        "stats": {},
        "tables": {},
        "order.list": {"customer": 6, "state": "ANY"},
        "sale.get": {"sale": 1},
        "attention.list": {"kind": "REFUND_DUE"},
    }
    kinds = {name for name, message in PROTOCOL.messages.items() if message.kind == "QUERY"}
    check_equal(kinds, fields.keys(), "the queries that there are")
    return fields.items()


def answer(client, name, fields):
    """What depends on the state alone: of stats, what a server has done is left out."""
    reply = client.call(name, **fields)
    if name == "stats":
        return reply.outcome, comparable(reply.body)
    return reply.outcome, reply.body, reply.rows


def comparable(body):
    return {name: body[name] for name in ("seq", "digest", "orders", "pending", "keys", "stocks")}


@test
def every_query_is_answered_as_on_the_primary(run):
    primary, replica = pair(run, "--indexes", "on")
    replica.start()
    place(primary, 1, 100)
    with primary.client() as client:
        client.call("sale.put", key=8, sale=1)
        client.call("points.credit", key=9, customer=3, points=700)
        client.call("order.cancel", key=10, order=order_id(5))
        client.call("payment.event", event=1, order=order_id(7), amount=100, provider=1,
                    status="SUCCESS", currency=USD)
        client.call("order.ship", key=11, order=order_id(7))
        client.call("refund.begin", refund=1, order=order_id(7), kind="AMOUNT", amount=5)
    wait_level(primary, replica)
    with primary.client() as ours, replica.client() as theirs:
        for name, fields in queries():
            found = answer(ours, name, fields)
            check_equal(found[0], "OK", f"{name} on the primary")
            check_equal(answer(theirs, name, fields), found, name)
        unknown = {"order": order_id(12345)}
        check_equal(answer(theirs, "order.get", unknown), answer(ours, "order.get", unknown),
                    "an order that is not there")
    finish(run, replica, primary)


def listed(member):
    """What a member answers to who asks for a customer's orders, and how many it shows."""
    with member.client() as client:
        reply = client.call("order.list", customer=1, state="ANY")
        return reply.outcome, len(reply.rows or [])


@test
def lists_are_kept_by_who_starts_as_a_replica_and_stay_when_it_is_promoted(run):
    primary, replica = pair(run)
    replica.start()
    place(primary, 100, 101)
    wait_level(primary, replica)
    check_equal(listed(primary), ("NOT_INDEXED", 0), "the primary")
    check_equal(listed(replica), ("OK", 2), "the replica")
    primary.kill()
    promote(run, replica, primary)
    wait_until(lambda: place(replica, 300, 1) == ["OK"], "an order of the new primary")
    check_equal(listed(replica), ("OK", 3), "the replica that was promoted")
    replica.stop()
    replica.start()
    check_equal(listed(replica), ("NOT_INDEXED", 0), "as a primary from its start on")
    replica.stop()
    replica.start("--indexes", "on")
    check_equal(listed(replica), ("OK", 3), "with --indexes on")
    finish(run, replica)


@test
def commands_are_led_to_the_primary(run):
    primary, replica = pair(run)
    replica.start()
    wait_level(primary, replica)
    with replica.client() as client:
        for name, fields in (("stock.adjust", {"key": 2, "sku": 1, "warehouse": 1, "delta": 1}),
                             ("order.cancel", {"key": 3, "order": order_id(1)}),
                             ("points.credit", {"key": 4, "customer": 1, "points": 5})):
            reply = client.call(name, **fields)
            check_equal((reply.outcome, reply.body["primary"]), ("NOT_PRIMARY", primary.address),
                        f"the answer to {name}")
    result = run.till_with_input("sku.put key=77 sku=9 price=5 currency=USD\n"
                                 "stock.get sku=9\n", "shell", "--connect",
                                 replica.address, "--follow", "--fail")
    check_equal(result.returncode, 0, f"the shell, {result.stdout}{result.stderr}")
    wait_level(primary, replica)
    with replica.client() as client:
        reply = client.call("stock.get", rows=[{"sku": 9, "warehouse": 1}])
        check_equal(reply.rows[0]["price"], 5, "what the shell has changed")
    finish(run, replica, primary)


@test
def a_change_that_is_demanded_is_waited_for(run):
    primary, replica = pair(run)
    replica.start("--min-seq-wait-ms", "60000")
    wait_level(primary, replica)
    with primary.client() as client, replica.client(fresh=True) as reader:
        for order in range(1, 200):
            reply = client.call("order.place", order=order_id(order), customer=1, currency=USD,
                                rows=[{"sku": 1, "quantity": 1, "price": 100}])
            reader.min_seq = reply.body["seq"]
            shown = reader.call("order.get", order=order_id(order))
            check_equal(shown.outcome, "OK", f"an order, demanded by seq {reader.min_seq}")
            check(shown.body["seq"] >= reader.min_seq, f"{shown} does not show it")
    finish(run, replica, primary)


@test
def a_replica_that_is_cut_off_says_how_old_its_answers_are(run):
    primary, replica = pair(run)
    replica.start("--min-seq-wait-ms", "20")
    wait_level(primary, replica)
    seq = replica.seq()
    primary.suspend()
    with replica.client(fresh=True) as client:
        wait_until(lambda: client.call("stats").age > 1_500_000, "an age of more than 1.5 s")
        check_equal(client.call("stats").outcome, "OK", "a query without the primary")
        client.min_seq = seq + 1
        reply = client.call("stats")
        check_equal((reply.outcome, reply.body["value"]), ("REPLICA_BEHIND", seq), "the demand")
        client.min_seq = 0
        wait_until(lambda: "nothing came" in replica.said(), "the link to be given up")
        check_equal(replica.status()["state"], "CONNECTING", "the state of the replica")
        primary.resume()
        wait_until(lambda: client.call("stats").age < 1_000_000, "its answers to be new again")
    wait_level(primary, replica)
    check_equal(set(place(primary, 1, 10)), {"OK"}, "orders after that")
    wait_level(primary, replica)
    finish(run, replica, primary)


# Who is refused.


def wait_said(member, *texts):
    for text in texts:
        wait_until(lambda: text in member.said(), lambda: f"{text!r} in {member.said()}")


@test
def another_shop_is_refused(run):
    primary, _ = pair(run)
    stranger = Member(run, "x").start()
    set_up(stranger)
    stranger.stop()
    stranger.options += ["--replica-of", primary.address]
    stranger.start()
    wait_said(stranger, f"not following {primary.address}: it is of shop ",
              "follow your own, or use an empty --data")
    with stranger.client() as client:
        check_equal(client.call("stats").outcome, "REPLICA_BEHIND", "a query to the stranger")
    check_equal(set(place(primary, 1, 10)), {"OK"}, "orders of the primary")
    finish(run, stranger, primary)


@test
def a_primary_that_is_told_to_follow_itself_goes_on(run):
    primary = Member(run, "a").start()
    set_up(primary)
    with primary.client(operator=True) as client:
        reply = client.call("member.follow", primary=primary.address)
        check_equal(reply.outcome, "INVALID", "the answer to the primary's own address")
    check_equal(set(place(primary, 1, 10)), {"OK"}, "orders of the primary")
    finish(run, primary)


@test
def two_replicas_on_copies_of_one_folder_are_named(run):
    primary, replica = pair(run)
    replica.start()
    wait_level(primary, replica)
    replica.stop()
    copy = Member(run, "copy", of=primary)
    shutil.copytree(replica.folder, copy.folder, dirs_exist_ok=True)
    replica.start()
    wait_level(primary, replica)
    check("a copy of" not in primary.said(), f"of one replica the primary says {primary.said()}")
    copy.start()
    wait_said(primary, "the link to the replica b is closed: the same member has joined from",
              "start it with an empty one")
    copy.stop()
    wait_level(primary, replica)
    finish(run, primary, replica)


@test
def a_primary_that_waits_to_hear_of_newer_epochs_does_not_count_a_copy_of_itself(run):
    primary = Member(run, "a", "--acks", "1", "--members", "3").start()
    primary.stop()
    copy = Member(run, "copy", of=primary)
    shutil.copytree(primary.folder, copy.folder, dirs_exist_ok=True)
    primary.start()
    copy.start()
    wait_said(copy, "you cannot follow yourself, nor a copy of your data folder")
    check_equal(primary.status()["state"], "WAITING", "the state beside a copy")
    wait_said(primary, "deciding nothing yet", "of the 3 members 1 besides this one")
    member = Member(run, "b", of=primary).start()
    wait_until(lambda: primary.status()["state"] == "SERVING", "the primary to serve with a member")
    finish(run, member, copy, primary)


@test
def a_primary_whose_name_is_unknown_is_named(run):
    no_name = "a" * 64  # longer than a part of a name may be: no name server is asked
    replica = Member(run, "a", "--replica-of", f"{no_name}:7411").start()
    wait_said(replica, f"not following {no_name}:7411: there is no such host")
    replica.stop()


@test
def a_replica_with_smaller_tables_is_told_which_option_to_change(run):
    primary, _ = pair(run)
    for table in ("orders", "keys"):
        small = Member(run, "b", f"--{table}", SMALL[table] // 2, of=primary).start()
        wait_said(small, f"start this replica with --{table} {SMALL[table]} at least: it has "
                         f"{SMALL[table] // 2}")
        small.stop()
    larger = Member(run, "c", "--orders", SMALL["orders"] * 2, of=primary).start()
    wait_level(primary, larger)
    finish(run, larger, primary)


@test
def a_replica_that_knows_a_newer_epoch_stops_the_primary(run):
    primary, replica = pair(run)
    replica.start()
    place(primary, 1, 10)
    wait_level(primary, replica)
    with replica.client(operator=True) as client:
        member = client.call("member.seal").body
        reply = client.call("member.seal", shop=member["shop"], epoch=7)
        check_equal((reply.outcome, reply.body["epoch_sealed"]), ("OK", 7), "the seal")
    wait_until(lambda: primary.status()["state"] == "FENCED", "the primary to stop")
    check_equal(set(place(primary, 11, 5)), {"NOT_PRIMARY"}, "orders of the old primary")
    for member in (primary, replica):
        member.kill()
        member.start()
    check_equal(primary.status()["state"], "FENCED", "the state after a restart")
    check_equal(set(place(primary, 11, 5)), {"NOT_PRIMARY"}, "orders after a restart")
    with replica.client(operator=True) as client:
        reply = client.call("member.promote", shop=member_shop(replica), epoch=7)
        check_equal(reply.outcome, "OK", "the promotion")
    result = run.till("follow", replica.address, "--connect", primary.address)
    check_equal(result.returncode, 0, result.stderr)
    check_equal(set(place(replica, 11, 5)), {"OK"}, "orders of the new primary")
    wait_level(replica, primary)
    finish(run, primary, replica)


def member_shop(member):
    with member.client(operator=True) as client:
        return client.call("member.seal").body["shop"]


# Whom they follow.


@test
def nothing_is_answered_behind_the_promise_of_a_fenced_primary(run):
    """Without acknowledgements either. The promise tells up to which change the log is durable, and
    comes while orders on other connections are on their way to the disk."""
    rounds, clients_max, burst = 12, 4, 200
    primary = Member(run, "a").start()
    set_up(primary)
    order = 0
    for epoch in range(2, 2 + rounds):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(primary.client()) for _ in range(clients_max)]
            operator = stack.enter_context(primary.client(operator=True))
            told = operator.call("member.seal", epoch=0, shop=0).body
            operator.queue("member.seal", epoch=epoch * 2, shop=told["shop"])
            for client in clients:
                for order in range(order + 1, order + 1 + burst):
                    client.queue("order.place", order=order_id(order), customer=1, currency=USD,
                                 rows=[{"sku": 1, "quantity": 1, "price": 100}])
                client.flush()
            time.sleep(run.random.uniform(0, 0.002))
            operator.flush()
            promise = operator.receive()
            check_equal(promise.outcome, "OK", "the promise")
            answered = [seq for client in clients for seq in seqs_answered(client, burst)]
            check(max(answered, default=0) <= promise.body["seq"],
                  f"seq {max(answered, default=0)} was answered behind {promise.body['seq']}")
            again = operator.call("member.promote", epoch=epoch * 2, shop=told["shop"])
            while again.outcome == "REPLICA_BEHIND":
                again = operator.call("member.promote", epoch=epoch * 2, shop=told["shop"])
            check_equal(again.outcome, "OK", "the promotion of the same server")
    finish(run, primary)


def seqs_answered(client, count):
    """Of so many orders those that were accepted; fewer are answered when the server closes."""
    seqs = []
    with contextlib.suppress(Closed):
        for _ in range(count):
            reply = client.receive()
            if reply.outcome == "OK":
                seqs.append(reply.body["seq"])
    return seqs


@test
def the_command_line_is_obeyed_once_and_a_new_one_again(run):
    primary, replica = pair(run)
    replica.start()
    other = Member(run, "c", of=primary).start()
    wait_level(primary, replica, other)
    result = run.till("promote", "--connect", replica.address, "--members",
                      f"{primary.address},{replica.address},{other.address}", "--force")
    check_equal(result.returncode, 0, result.stderr)
    wait_level(replica, primary, other)
    for member in (replica, other, primary):
        member.stop()
    for member in (replica, other, primary):
        member.start()
    wait_level(replica, primary, other)
    for member in (replica, other):
        check("--replica-of is passed over" in member.said(), f"{member.name} says {member.said()}")
    replica.stop()
    other.stop()
    other.start("--replica-of", primary.address.replace("127.0.0.1", "localhost"))
    wait_level(primary, other)
    replica.start()
    wait_level(replica, primary)
    check_equal(set(place(replica, 1, 10)), {"OK"}, "orders of the primary")
    wait_level(primary, other)
    finish(run, other, primary, replica)


@test
def replicas_that_were_started_again_without_a_primary_know_what_a_promotion_needs(run):
    options = ("--acks", "1", "--members", "3")
    primary = Member(run, "a", *options).start()
    replicas = [Member(run, name, *options, of=primary).start() for name in ("b", "c")]
    wait_until(lambda: primary.status()["state"] == "SERVING", "the primary to serve")
    set_up(primary)
    wait_level(primary, *replicas)
    for replica in replicas:
        wait_until(lambda replica=replica: replica.status()["state"] == "STREAMING",
                   "the replicas to know that they have all")
    for member in (primary, *replicas):
        member.kill()
    for member in replicas:
        member.start()
    result = run.till("promote", "--members",
                      ",".join(member.address for member in (primary, *replicas)))
    check_equal(result.returncode, 0, result.stdout + result.stderr)
    check("3 members, 1 acknowledgements: at least 2" in result.stdout, result.stdout)
    wait_until(lambda: set(place(replicas[0], 1, 1)) <= {"OK", "REPLAYED"}, "an order")
    finish(run, *replicas)


@test
def a_replica_whose_disk_was_lost_counts_again_when_it_has_caught_up(run):
    primary = Member(run, "a", "--acks", "1", "--members", "2").start()
    replica = Member(run, "b", "--acks", "1", "--members", "2", of=primary).start()
    wait_until(lambda: replica.status()["state"] == "STREAMING", "the replica to stream")
    set_up(primary)
    wait_level(primary, replica)
    check_equal(replica.status()["state"], "STREAMING", "the state of one that has all")
    replica.kill()
    for path in replica.folder.iterdir():
        path.unlink()
    primary.suspend()
    replica.start()
    check_equal(replica.status()["state"], "SYNCING", "the state of one that has lost its disk")
    primary.resume()
    wait_level(primary, replica)
    wait_until(lambda: replica.status()["state"] == "STREAMING", "the replica to count")
    replica.kill()
    primary.suspend()
    replica.start()
    check_equal(replica.status()["state"], "CONNECTING", "the state after another start")
    primary.resume()
    wait_level(primary, replica)
    finish(run, replica, primary)


def promote(run, *members):
    """The first of them."""
    result = run.till("promote", "--connect", members[0].address, "--members",
                      ",".join(member.address for member in members), "--force")
    check_equal(result.returncode, 0, result.stdout + result.stderr)


@test
def of_two_primaries_of_one_epoch_the_one_that_is_promoted_again_is_followed(run):
    old, first = pair(run)
    first.start()
    second = Member(run, "c", of=old).start()
    wait_level(old, first, second)
    old.kill()
    promote(run, first)
    wait_until(lambda: place(first, 1, 1) == ["OK"], "an order of the first")
    place(first, 2, 4)
    first.kill()
    promote(run, second)
    wait_until(lambda: place(second, 11, 1) == ["OK"], "an order of the second")
    place(second, 12, 7)
    first.start()
    result = run.till("follow", second.address, "--connect", first.address)
    check_equal(result.returncode, 0, result.stderr)
    wait_said(first, "two were primary in it")
    promote(run, second, first)
    wait_level(second, first)
    check(list(first.folder.glob("diverged-*.till")), "nothing was set aside")
    finish(run, first, second)


# What they cost, and what happens when one is slow.


@test
@in_memory
def a_replica_that_stands_still_costs_no_memory_and_catches_up_from_files(run):
    primary, replica = pair(run, *SMALL_LOG)
    replica.start()
    place_one_by_one(primary, 1, RING_BYTES // 4096 + 200)  # every page of the ring was used
    wait_level(primary, replica)
    before = primary.server.memory_bytes()
    replica.suspend()
    orders = 3 * RING_BYTES // 4096
    check_equal(place_one_by_one(primary, 100_001, orders), {"OK"}, "orders without the replica")
    grown = primary.server.memory_bytes() - before
    check(grown < RING_BYTES // 2, f"the primary has {grown >> 20} MiB more")
    replica.resume()
    states = set()
    wait_until(lambda: states.add((primary.row(replica) or {}).get("state")) or
               "STREAMING" in states, f"the replica to stream: {states}")
    wait_level(primary, replica)
    finish(run, replica, primary)


@test
def with_acks_a_stopped_replica_is_told_and_service_heals_by_itself(run):
    primary = Member(run, "a", "--acks", "1", "--members", "2", "--acks-wait-ms", "300").start()
    replica = Member(run, "b", of=primary).start()
    wait_until(lambda: replica.status()["state"] == "STREAMING", "the replica to stream")
    set_up(primary)
    check_equal(set(place(primary, 1, 50)), {"OK"}, "orders with the replica")
    status = primary.status()
    check_equal((status["acks"], status["seq_released"]), (1, status["seq"]), "what is answered")
    few = primary.said().count(FEW)
    replica.suspend()
    with primary.client(timeout=60) as client:
        client.queue("order.place", order=order_id(51), customer=52, currency=USD,
                     rows=[{"sku": 1, "quantity": 1, "price": 100}])
        client.flush()
        wait_until(lambda: primary.said().count(FEW) == few + 1, "the replica to be missed")
        check_equal(set(place(primary, 52, 5)), {"NO_QUORUM"}, "orders without the replica")
        check_equal(primary.stats().outcome, "NO_QUORUM", "a query without it")
        check(not select.select([client.socket], [], [], 0)[0], "the order that waits is answered")
        replica.resume()
        check_equal(client.receive().outcome, "OK", "the order that has waited")
    wait_until(lambda: primary.stats().outcome == "OK", "service")
    check_equal(place(primary, 51, 6), ["REPLAYED"] + ["OK"] * 5, "orders with it again")
    wait_level(primary, replica)
    replica.kill()
    wait_until(lambda: primary.said().count(FEW) == few + 2, "the replica to be missed")
    check_equal(place(primary, 101, 1), ["NO_QUORUM"], "an order without it")
    replica.start()
    wait_until(lambda: primary.stats().outcome == "OK", "service again")
    check_equal(place(primary, 101, 1), ["OK"], "an order with it again")
    wait_level(primary, replica)
    finish(run, primary, replica)


def is_replica(run, member):
    """False also while it begins anew in place."""
    result = run.till("replicas", "--connect", member.address, "--json")
    return result.returncode == 0 and json.loads(result.stdout)["role"] == "REPLICA"


@test
def one_who_stops_the_primary_behind_orders_that_wait_loses_the_connection_only(run):
    for name in ("member.seal", "member.follow"):
        primary = Member(run, "a", "--acks", "1", "--members", "2").start()
        replica = Member(run, "b", of=primary).start()
        wait_until(lambda: replica.status()["state"] == "STREAMING", "the replica to stream")
        set_up(primary)
        fields = {"primary": replica.address} if name == "member.follow" else {
            "shop": member_shop(primary), "epoch": 7}
        replica.suspend()
        with primary.client(operator=True) as client:
            client.queue("order.place", order=order_id(1), customer=1, currency=USD,
                         rows=[{"sku": 1, "quantity": 1, "price": 100}])
            client.queue(name, **fields)
            client.queue("stats")
            client.flush()
            try:
                reply = client.receive()
                check(False, f"behind {name} the order is answered: {reply}")
            except Closed:
                pass
        replica.resume()
        wait_until(lambda: is_replica(run, primary), f"the end of {name}")
        for member in (replica, primary):
            member.stop()


# What can happen to a replica.


def part_of_first_sync(run, count):
    """A primary whose log does not reach back, with a large snapshot, and a replica that has got so
    many bytes. Returns both, and the proxy between them."""
    primary, _ = pair(run, *SMALL_LOG, *KEEP_NOTHING)
    for number in range(2):
        place(primary, 1 + number * 50_000, 50_000)
        snapshot(run, primary.server)
    proxy = Proxy(primary)
    proxy.allow(count)
    replica = Member(run, "b", *SMALL_LOG, "--replica-of", proxy.address).start()
    wait_until(lambda: proxy.passed >= count, "part of the snapshot to come")
    return primary, replica, proxy


@test
@in_memory
def a_first_sync_tells_how_far_it_is(run):
    part = 2 << 20
    primary, replica, proxy = part_of_first_sync(run, part)
    wait_until(lambda: replica.status()["sync_done"] > 0, "pieces to be written")
    status = replica.status()
    check_equal((status["role"], status["state"]), ("REPLICA", "SYNCING"), "what it is doing")
    check(0 < status["sync_done"] <= part < status["sync_bytes"] and status["sync_us"] > 0,
          f"the progress of a first sync: {status}")

    def primary_tells():
        proxy.allow(4096)  # else the connection is given up, as nothing comes
        return any(row["state"] == "SYNCING" and row["sync_bytes"] == status["sync_bytes"]
                   for row in primary.status()["replicas"])

    wait_until(primary_tells, "the snapshot's size, as the primary tells it")
    check("first sync: " in run.till("replicas", "--connect", replica.address).stdout,
          "it is told to people, too")
    check_equal(replica.stats().outcome, "REPLICA_BEHIND", "a query meanwhile")
    proxy.allow(None)
    wait_level(primary, replica)
    check_equal(replica.status()["sync_bytes"], 0, "what is told when it is done")
    finish(run, replica, primary)


@test
@in_memory
def a_first_sync_that_is_cut_off_goes_on_where_it_was(run):
    primary, replica, proxy = part_of_first_sync(run, 4 << 20)
    wait_until(lambda: replica.status()["sync_done"] >= 3 << 20, "pieces to be written")
    size = replica.status()["sync_bytes"]
    check_equal(set(place(primary, 900_001, 100)), {"OK"}, "orders meanwhile")
    proxy.cut()
    before = proxy.passed
    proxy.allow(None)
    wait_level(primary, replica)
    check(proxy.passed - before < size - (2 << 20) + LOG_AFTER_SNAPSHOT,
          f"{proxy.passed - before} bytes came after the cut, of a snapshot of {size}")
    finish(run, replica, primary)


@test
@in_memory
def a_first_sync_that_is_killed_begins_again(run):
    primary, replica, proxy = part_of_first_sync(run, 4 << 20)
    wait_until(lambda: replica.status()["sync_done"] >= 3 << 20, "pieces to be written")
    replica.kill()
    proxy.allow(None)
    for _ in range(4):
        replica.start()
        time.sleep(run.random.uniform(0, 0.1))
        replica.kill()
        place(primary, run.random.getrandbits(40), 10)
    replica.start()
    wait_level(primary, replica)
    check_equal([path.name for path in replica.folder.iterdir() if "partial" in path.name], [],
                "files that were begun")
    finish(run, replica, primary)


@test
@in_memory
def a_replica_whose_disk_is_full_goes_on_when_there_is_room(run):
    primary, _ = pair(run, *SMALL_LOG)
    folder = run.root / "disk" / "data"
    folder.parent.mkdir()
    replica = Member(run, "b", *SMALL_LOG, "--no-snapshots", of=primary, folder=folder,
                     disk_mebibytes=30).start()
    seen = replica.server.sees(folder)
    ballast = seen.parent / "ballast"
    ballast.write_bytes(bytes(10 << 20))
    for number in range(6):
        first = 1 + number * ORDERS_PER_SEGMENT
        check_equal(place_one_by_one(primary, first, ORDERS_PER_SEGMENT), {"OK"}, "orders")
    wait_said(replica, "the log's disk has no room for what comes")
    seq = replica.seq()
    check(seq < primary.seq(), "a full disk keeps the replica behind")
    with replica.client() as client:
        check_equal(client.call("stats").outcome, "OK", "a query of a full replica")
    ballast.unlink()
    wait_level(primary, replica)
    kept = run.folder()
    replica.server.stop_clean_and_copy(folder, kept)
    run.verify(kept)
    finish(run, primary)


def chain_with_a_wrong_block(member):
    """The blocks of its log as bytes, up to one with the commands of a later one in it."""
    path = segments(member.folder)[0]
    data = path.read_bytes()
    found = list(blocks(path))
    images = [data[block.offset:block.offset + block.block_size] for block in found]
    *_, wrong, other = [i for i, block in enumerate(found) if block.command_count > 0]
    return [*images[:wrong], with_commands_of(images[wrong], images[other])]


def with_commands_of(block, other):
    """The block with the commands of another one, which do not lead to its digest."""
    forged = bytearray(block[:BLOCK.size] + other[BLOCK.size:])
    struct.pack_into("<8I", forged, BLOCK.size - 32, *struct.unpack_from("<8I", other,
                                                                         BLOCK.size - 32))
    struct.pack_into("<Q", forged, CHECKSUM_AT, xxh3_64(bytes(forged[CHECKSUM_FROM:])))
    return bytes(forged)


def stream(upstream, shop, images):
    """Takes a replica's join, and sends it these blocks."""
    upstream.accept()
    upstream.answer(upstream.request(), answer="STREAM", epoch=1, shop=shop)
    number = PROTOCOL.messages["replica.block"].number
    for image in images:
        upstream.connection.sendall(HEADER.pack(HEADER.size + 8, number, 0, 0, 0) +
                                    struct.pack("<II", len(image), 0) + image)


@test
def a_replica_whose_state_differs_stops_and_is_made_anew_when_it_follows_another(run):
    primary = Member(run, "a").start()
    set_up(primary)
    place_one_by_one(primary, 1, 5)
    shop = member_shop(primary)
    images = chain_with_a_wrong_block(primary)
    with ScriptedServer() as upstream:
        replica = Member(run, "b", of=upstream).start()
        stream(upstream, shop, images)
        wait_said(replica, "this replica stops, and shows nothing any more: ", "the state's digest")
        check_equal(len(list(replica.folder.glob("rejected-*.till"))), 1, "the block that is kept")
        check_equal(replica.status()["state"], "DIVERGED", "the state")
        check_equal(replica.stats().outcome, "REPLICA_BEHIND", "a query")
    result = run.till("follow", primary.address, "--connect", replica.address)
    check_equal(result.returncode, 0, result.stderr)
    wait_level(primary, replica)
    check_equal(replica.said().count("this replica stops"), 1, "how often it has stopped")
    finish(run, replica, primary)


@test
def a_damaged_log_is_told_at_the_start_and_an_empty_folder_begins_anew(run):
    primary, replica = pair(run)
    replica.start()
    for first in range(1, 2000, 100):
        place(primary, first, 100)
    wait_level(primary, replica)
    replica.kill()
    flip(segments(replica.folder)[0], 8 * 4096 + 100)
    try:
        replica.start()
        raise AssertionError("it started with a damaged log")
    except AssertionError as error:
        check("damaged" in str(error), f"it says what is wrong: {error}")
    anew = Member(run, "b", of=primary).start()
    wait_level(primary, anew)
    finish(run, anew, primary)


@test
def a_replica_with_another_digest_stops_and_says_so(run):
    primary = Member(run, "a", "--acks", "1", "--members", "2", "--acks-wait-ms", "300").start()
    proxy = Proxy(primary)
    replica = Member(run, "b", "--replica-of", proxy.address).start()
    wait_until(lambda: replica.status()["state"] == "STREAMING", "the replica to stream")
    set_up(primary)
    check_equal(set(place(primary, 1, 10)), {"OK"}, "orders")
    few = primary.said().count(FEW)
    proxy.alter = OtherDigests()
    with primary.client() as client:
        client.queue("order.cancel", key=50, order=order_id(5))
        client.flush()
        wait_said(replica, "this replica stops, and shows nothing any more", "digest is ")
        wait_until(lambda: primary.said().count(FEW) > few, "the replica to be missed")
    check_equal(primary.row(replica)["state"], "DIVERGED", "what the primary tells of it")
    check_equal(replica.status()["state"], "DIVERGED", "what it tells of itself")
    check_equal(replica.stats().outcome, "REPLICA_BEHIND", "a query to it")
    check_equal(set(place(replica, 101, 1)), {"NOT_PRIMARY"}, "a command to it")
    kept = [path.name for path in replica.folder.glob("rejected-*.till")]
    check_equal(len(kept), 1, f"blocks that were kept: {kept}")
    wait_until(lambda: (primary.row(replica) or {"lag_us": LONG_US})["lag_us"] >= LONG_US,
               "a time after which a silent link is closed")
    check_equal((primary.row(replica) or {}).get("state"), "DIVERGED", "what is told then")
    replica.stop()
    check_equal(snapshots(replica.folder), [], "snapshots of a state that is wrong")
    proxy.alter = lambda data: data
    replica.start()
    wait_level(primary, replica)
    check_equal(place(primary, 101, 1), ["OK"], "an order, after it was started again")
    wait_level(primary, replica)
    finish(run, primary, replica)


if __name__ == "__main__":
    harness.main()
