"""`till promote`, `till follow` and `till replicas` against scripted servers: what is asked of whom
in which order, and when nothing is promoted."""

import contextlib
import json
import socket

import harness
from harness import check, check_equal, test
from scripted_server import ScriptedServer

SHOP = 77


class Member(ScriptedServer):
    """A server that answers the three requests of a promotion, one connection each."""

    def __init__(self, **has):
        super().__init__()
        self.has = {"shop": SHOP, "member": 1, "epoch": 3, "epoch_sealed": 3, "seq": 100,
                    "acks": 1, "members": 3, "role": "REPLICA"} | has

    def take(self, name, **fields):
        """Takes the next request, of that name and with these fields, and answers it later."""
        self.accept()
        request = self.request()
        check_equal(request.name, name, "the request")
        for field, value in fields.items():
            check_equal(request.body[field], value, f"{field} of {name}")
        return request

    def obey(self, name, outcome="OK", **fields):
        has = self.has if outcome == "OK" else {"seq": self.has["seq"]}
        self.answer(self.take(name, **fields), outcome, **has)

    def tell(self):
        self.obey("member.seal", epoch=0, shop=0)

    def seal(self, epoch, outcome="OK"):
        self.obey("member.seal", outcome, epoch=epoch, shop=SHOP)

    def promote(self, epoch):
        self.obey("member.promote", epoch=epoch, shop=SHOP)

    def follow(self, winner):
        self.obey("member.follow", primary=winner.address)


def dead_address():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return "%s:%d" % gone.getsockname()


def start(run, *addresses, options=()):
    return run.start("promote", "--members", ",".join(addresses), *options, text="")


def check_result(process, code, *said):
    """The exit code, and what must be said on stdout or stderr. Returns what stdout has."""
    out, errors = process.communicate(timeout=60)
    check_equal(process.returncode, code, f"the exit code; said: {out}{errors}")
    for text in said:
        check(text in out + errors, f"{text!r} is not said: {out}{errors}")
    return out


@contextlib.contextmanager
def members(*has):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Member(**{"member": 1 + i} | fields))
               for i, fields in enumerate(has)]


@test
def the_first_of_equals_is_promoted_and_the_others_follow(run):
    with members({}, {"epoch_sealed": 5}, {"seq": 90}) as (first, second, third):
        process = start(run, first.address, second.address, third.address)
        for member in (first, second, third):
            member.tell()
        for member in (first, second, third):
            member.seal(6)
        first.promote(6)
        second.follow(first)
        third.follow(first)
        out = check_result(process, 0, f"{first.address}: is the primary of epoch 6")
        check_equal(len(out.splitlines()), 10, f"a line for each step in {out}")


@test
def the_old_primary_may_be_dead_and_the_newest_epoch_counts_before_the_seq(run):
    dead = dead_address()
    with members({"seq": 500, "epoch": 2}, {}) as (longer, newer):
        process = start(run, dead, longer.address, newer.address)
        for member in (longer, newer):
            member.tell()
        for member in (longer, newer):
            member.seal(4)
        newer.promote(4)
        longer.follow(newer)
        check_result(process, 0, f"{dead}: no answer: Connection refused", "at least 2 must",
                     f"{dead}: was not reached: when it is there again, use till follow "
                     f"{newer.address} --connect {dead}")


@test
def where_members_state_different_numbers_those_count_that_ask_for_more(run):
    for acks, code, needed in (((2, 2), 0, 2), ((2, 0), 0, 2), ((1, 2), 1, 3), ((0, 0), 1, 4)):
        with members({"members": 4, "acks": acks[0]}, {"members": 2, "acks": acks[1]}) as (
                first, second):
            process = start(run, first.address, second.address)
            for member in (first, second):
                member.tell()
            if code == 0:
                for member in (first, second):
                    member.seal(4)
                first.promote(4)
                second.follow(first)
            check_result(process, code, f"at least {needed} must refuse")


@test
def with_too_few_that_answer_nobody_is_asked_to_promise(run):
    dead = dead_address()
    with members({"members": 4}, {"members": 2}) as (first, second):
        process = start(run, first.address, dead, second.address)
        first.tell()
        second.tell()
        check_result(process, 1, "2 of 4 members answer, at least 3 needed",
                     f"missing: {dead}, 1 that --members does not name",
                     "start one of these and name it", "--force")
        first.check_not_called()
        second.check_not_called()


@test
def force_goes_on_with_too_few_and_says_what_that_loses(run):
    dead = (dead_address(), dead_address())
    with members({}) as (alone,):
        process = start(run, *dead, alone.address, options=("--force",))
        alone.tell()
        alone.seal(4)
        alone.promote(4)
        check_result(process, 0, "--force: 1 of 3 members sealed, at least 2 needed",
                     f"missing: {dead[0]}, {dead[1]}",
                     "every change that only the missing ones have is lost", "primary of epoch 4")
    process = start(run, *dead, options=("--force",))
    check_result(process, 1, "no member that has a shop answers")


@test
def a_member_that_does_not_promise_is_not_counted(run):
    dead = dead_address()
    for force in ((), ("--force",)):
        with members({"seq": 200}, {}) as (refusing, second):
            process = start(run, dead, refusing.address, second.address, options=force)
            refusing.tell()
            second.tell()
            refusing.seal(4, "STALE_VERSION")
            second.seal(4)
            if force:
                second.promote(4)
                refusing.follow(second)
            check_result(process, 0 if force else 1, "does not promise: it answers STALE_VERSION",
                         "1 of 3 members sealed, at least 2 needed",
                         f"missing: {dead}, {refusing.address}")
            if not force:
                second.check_not_called()


@test
def members_of_another_shop_and_those_named_twice_are_refused(run):
    with members({}, {"shop": SHOP + 1}, {}) as (first, other, third):
        process = start(run, first.address, other.address, third.address)
        for member in (first, other, third):
            member.tell()
        check_result(process, 1, f"{other.address} is of another shop")
        first.check_not_called()
    with members({}, {"member": 1}) as (first, again):
        process = start(run, first.address, again.address)
        first.tell()
        again.tell()
        check_result(process, 1, f"{first.address} and {again.address} are the same server")
        first.check_not_called()


@test
def an_empty_member_does_not_count_and_follows(run):
    with members({}, {}, {"shop": 0, "epoch": 0, "epoch_sealed": 0, "seq": 0}) as (
            first, second, empty):
        process = start(run, empty.address, first.address, second.address)
        for member in (empty, first, second):
            member.tell()
        for member in (first, second):
            member.seal(4)
        first.promote(4)
        empty.follow(first)
        second.follow(first)
        check_result(process, 0, f"{empty.address}: is empty")


@test
def a_member_that_began_empty_and_has_not_caught_up_does_not_count(run):
    dead = dead_address()
    for force in ((), ("--force",)):
        with members({"state": "SYNCING", "seq": 20}, {}) as (syncing, second):
            process = start(run, dead, syncing.address, second.address, options=force)
            syncing.tell()
            second.tell()
            if force:
                syncing.seal(4)
                second.seal(4)
                second.promote(4)
                syncing.follow(second)
                check_result(process, 0, f"{syncing.address}: began empty and has not caught up",
                             "1 of 3 members sealed, at least 2 needed",
                             f"missing: {dead}, {syncing.address}")
                continue
            check_result(process, 1, "1 of 3 members answer, at least 2 needed")
            syncing.check_not_called()


@test
def a_promotion_that_failed_is_repeated_with_the_next_epoch(run):
    with members({}, {}, {}) as all_members:
        first, *others = all_members
        addresses = [member.address for member in all_members]
        process = start(run, *addresses)
        for member in all_members:
            member.tell()
        for member in all_members:
            member.seal(4)
            member.has["epoch_sealed"] = 4
        first.take("member.promote", epoch=4)
        first.close_connection()
        check_result(process, 1, f"{first.address} was not promoted", "closed the connection")
        first.close()
        process = start(run, *addresses)
        for member in others:
            member.tell()
        for member in others:
            member.seal(5)
        others[0].promote(5)
        others[1].follow(others[0])
        check_result(process, 0, f"{others[0].address}: is the primary of epoch 5")


@test
def one_whose_last_block_is_on_the_way_to_its_disk_is_asked_again(run):
    with members({}, {"seq": 90}, {"seq": 90}) as (first, second, third):
        process = start(run, first.address, second.address, third.address)
        for member in (first, second, third):
            member.tell()
        for member in (first, second, third):
            member.seal(4)
        for _ in range(3):
            first.obey("member.promote", "REPLICA_BEHIND", epoch=4, shop=SHOP)
        first.promote(4)
        for member in (second, third):
            member.follow(first)
        check_result(process, 0, f"{first.address}: is the primary of epoch 4")


@test
def the_one_that_is_named_must_have_the_most(run):
    for force in ((), ("--force",)):
        with members({"seq": 90}, {"seq": 100}) as (named, better):
            process = start(run, named.address, better.address,
                            options=("--connect", named.address, *force))
            for member in (named, better):
                member.tell()
            if force:
                for member in (named, better):
                    member.seal(4)
                named.promote(4)
                better.follow(named)
                check_result(process, 0, f"{better.address} has more: epoch 3, seq 100", "is lost")
                continue
            check_result(process, 1, "nothing was changed", f"{better.address} has more")
            for member in (named, better):
                member.check_not_called()
    with members({}, {}) as (named, better):
        process = start(run, named.address, better.address, options=("--connect", named.address))
        for member in (named, better):
            member.tell()
        better.has["seq"] = 101
        for member in (named, better):
            member.seal(4)
        check_result(process, 1, f"{better.address} has more: epoch 3, seq 101",
                     "those that sealed take no commands", "repeat it with that one")
        named.check_not_called()
    with members({}, {}) as (first, named):
        process = start(run, first.address, named.address, options=("--connect", named.address))
        for member in (first, named):
            member.tell()
        for member in (first, named):
            member.seal(4)
        named.promote(4)
        first.follow(named)
        check_result(process, 0, f"{named.address}: is the primary")


@test
def nobody_is_asked_to_promise_when_the_one_that_is_named_is_not_there(run):
    dead = dead_address()
    for force in ((), ("--force",)):
        with members({}, {}) as (first, second):
            process = start(run, dead, first.address, second.address,
                            options=("--connect", dead, *force))
            for member in (first, second):
                member.tell()
            check_result(process, 1, f"nothing was changed: {dead} does not answer")
            for member in (first, second):
                member.check_not_called()


@test
def one_that_does_not_follow_is_named_with_what_to_do(run):
    with members({}, {}) as (first, second):
        process = start(run, first.address, second.address)
        for member in (first, second):
            member.tell()
        for member in (first, second):
            member.seal(4)
        second.listener.close()
        first.promote(4)
        check_result(process, 1, f"{second.address} does not follow",
                     f"till follow {first.address} --connect {second.address}")


@test
def a_member_that_is_silent_is_given_up(run):
    with socket.create_server(("127.0.0.1", 0)) as silent, members({}, {}) as (first, second):
        address = "%s:%d" % silent.getsockname()
        process = start(run, address, first.address, second.address)
        for member in (first, second):
            member.tell()
        for member in (first, second):
            member.seal(4)
        first.promote(4)
        second.follow(first)
        check_result(process, 0, f"{address}: no answer: no answer within")


@test
def what_cannot_be_meant_is_refused_before_anything_is_asked(run):
    for arguments, said in (((), "--members"), (("--members", "here"), "here: expected ADDR:PORT"),
                            (("--members", "a:1,,b:2"), "expected ADDR:PORT"),
                            (("--members", ":1"), "expected ADDR:PORT"),
                            (("--members", ",".join(f"a:{n}" for n in range(1, 18))),
                             "more than 16"),
                            (("--members", "a:1,b:2,a:1"), "a:1 is there twice"),
                            (("--members", "a:1", "--connect", "b:2"), "not one of --members")):
        result = run.till("promote", *arguments)
        check_equal((result.returncode, said in result.stderr), (2, True), result.stderr)
    for primary, said in ((":7411", "expected ADDR:PORT"), ("a:1", "a:1 cannot follow itself")):
        result = run.till("follow", primary, "--connect", "a:1")
        check_equal((result.returncode, said in result.stderr), (2, True), result.stderr)


@test
def a_server_is_told_whom_to_follow(run):
    with Member(seq=12) as server:
        process = run.start("follow", "10.0.0.2:7411", "--connect", server.address, text="")
        server.obey("member.follow", primary="10.0.0.2:7411")
        check_result(process, 0, f"{server.address}: follows 10.0.0.2:7411 from seq 12 of epoch 3")
        process = run.start("follow", "10.0.0.2:7411", "--connect", server.address, text="")
        server.obey("member.follow", "STORAGE_FULL")
        check_result(process, 1, f"{server.address}: it answers STORAGE_FULL")


REPLICAS = [
    {"name": "eu-2", "address": "10.0.0.2:7411", "member": 2, "state": "STREAMING",
     "seq_sent": 1000, "seq_durable": 990, "seq_applied": 980, "lag_commands": 10,
     "lag_bytes": 3 << 19, "lag_us": 12_000, "since": 1_764_000_000_000_000},
    {"member": 3, "state": "SYNCING", "sync_done": 25, "sync_bytes": 100},
]


def ask_replicas(run, options, rows, **fields):
    with ScriptedServer() as server:
        process = run.start("replicas", "--connect", server.address, *options, text="")
        server.accept()
        server.answer(server.request(), rows=rows, **fields)
        return check_result(process, 0).replace(server.address, "HERE")


@test
def replicas_are_told_as_a_table(run):
    out = ask_replicas(run, (), REPLICAS, role="PRIMARY", seq=1000, seq_released=990, epoch=3,
                       acks=1)
    check_equal(out, """\
HERE: the primary, SERVING, epoch 3, seq 1000
waits for 1 of its replicas: answered up to seq 990

name  address        state         sent  durable  applied  behind by  log      behind for  \
in this state since
eu-2  10.0.0.2:7411  STREAMING     1000  990      980      10         1.5 MiB  0.012 s     \
2025-11-24T16:00:00Z
-     -              SYNCING 25 %  0     0        0        0          0.0 MiB  0.000 s     \
-
""", "the table")
    out = ask_replicas(run, (), [], role="REPLICA", state="SYNCING", seq=0, primary="10.0.0.1:7411",
                       acks=1,
                       age=2_500_000, sync_done=50 << 20, sync_bytes=200 << 20, sync_us=5_000_000)
    check_equal(out, """\
HERE: a replica, SYNCING, epoch 0, seq 0
follows 10.0.0.1:7411; its answers are 2.500 s old
first sync: 25.0 % of 200.0 MiB, 10.0 MiB/s, 15 s left
no replica follows it
""", "what a replica tells")
    out = ask_replicas(run, (), [], role="PRIMARY", state="WAITING", seq=7, epoch=1, acks=1)
    check_equal(out, """\
HERE: the primary, WAITING, epoch 1, seq 7
decides nothing until enough other members have joined it: requests are answered NO_QUORUM
waits for 1 of its replicas: answered up to seq 0
no replica follows it
""", "what a primary tells that does not decide yet")
    out = ask_replicas(run, (), [], role="REPLICA", state="FENCED", seq=7, epoch=1, acks=1)
    check_equal(out, """\
HERE: a replica, FENCED, epoch 1, seq 7
answers NOT_PRIMARY: a newer epoch has begun, or is about to. Lead it to the new primary with
till follow or, if nobody was promoted, repeat till promote
no replica follows it
""", "what a primary tells that was stopped")


@test
def replicas_are_told_as_an_object(run):
    out = json.loads(ask_replicas(run, ("--json",), REPLICAS, role="PRIMARY", seq=1000))
    check_equal((out["outcome"], out["role"], out["seq"]), ("OK", "PRIMARY", 1000), "the server")
    first = out["replicas"][0]
    check_equal((first["name"], first["state"], first["seq_durable"], first["lag_us"]),
                ("eu-2", "STREAMING", 990, 12_000), "the first replica")


if __name__ == "__main__":
    harness.main()
