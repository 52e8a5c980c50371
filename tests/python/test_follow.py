"""How a client finds the primary: it follows what replicas tell it, and no further than it should.

The client is the C one, inside `till shell --follow`; the servers are scripted."""

import contextlib
import json
import socket

import harness
from harness import check, check_equal, test
from scripted_server import ScriptedServer
from till_client import FRESH

HOPS_MAX = 3
PAUSES_MAX = 50
CHANGE = "stock.adjust key=5 sku=7 warehouse=1 delta=3\n"


def server_pair(stack):
    return [stack.enter_context(ScriptedServer()) for _ in range(2)]


def result_of(process):
    out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors


def start(run, server, *arguments, text=CHANGE):
    return run.start("shell", "--connect", server.address, *arguments, text=text)


def send_on(server, primary):
    """Takes a connection and answers its one request with the address of the primary."""
    server.accept()
    request = server.request()
    server.answer(request, "NOT_PRIMARY", seq=3, epoch=2, primary=primary)
    return request


@test
def a_command_is_made_again_at_the_primary(run):
    with contextlib.ExitStack() as stack:
        replica, primary = server_pair(stack)
        process = start(run, replica, "--follow")
        hello = replica.accept(shop=77, epoch=2)
        check_equal((hello.body["shop"], hello.body["epoch"]), (0, 0), "what is known at first")
        first = replica.request()
        replica.answer(first, "NOT_PRIMARY", seq=3, epoch=6, primary=primary.address)
        hello = primary.accept(shop=77, epoch=6)
        check_equal((hello.body["shop"], hello.body["epoch"]), (77, 6), "what it has learned")
        again = primary.request()
        check_equal((again.name, again.body), (first.name, first.body), "the command")
        primary.answer(again, seq=9)
        code, out, errors = result_of(process)
        check_equal((code, errors), (0, ""), "exit code and errors")
        check(out.startswith("OK") and "seq=9" in out, f"the answer: {out}")


@test
def lines_behind_a_redirect_go_to_the_primary_in_order(run):
    with contextlib.ExitStack() as stack:
        replica, primary = server_pair(stack)
        text = "stock.get sku=7\n" + CHANGE + "stock.get sku=8\n"
        process = start(run, replica, "--follow", text=text)
        replica.accept()
        query = replica.request()
        replica.check_quiet()
        replica.answer(query, seq=3)
        replica.answer(replica.request(), "NOT_PRIMARY", primary=primary.address)
        primary.accept()
        for name in ("stock.adjust", "stock.get"):
            request = primary.request()
            check_equal(request.name, name, "the next command")
            primary.answer(request, seq=9)
        check_equal(result_of(process)[0], 0, "the exit code")


@test
def a_ring_of_redirects_ends(run):
    with contextlib.ExitStack() as stack:
        servers = server_pair(stack)
        process = start(run, servers[0], "--follow", "--fail")
        for hop in range(HOPS_MAX + 1):
            send_on(servers[hop % 2], servers[(hop + 1) % 2].address)
        code, out, errors = result_of(process)
        check_equal((code, errors), (1, ""), "exit code and errors")
        check(out.startswith("NOT_PRIMARY") and servers[0].address in out, f"the answer: {out}")


@test
def while_there_is_no_primary_the_command_is_tried_again(run):
    with ScriptedServer() as server:
        process = start(run, server, "--follow")
        server.accept()
        for _ in range(3):
            server.answer(server.request(), "NOT_PRIMARY", seq=3)
        server.answer(server.request(), seq=4)
        code, out, _ = result_of(process)
        check_equal((code, out.startswith("OK")), (0, True), "exit code and answer")
        process = start(run, server, "--follow")
        server.accept()
        for _ in range(PAUSES_MAX + 1):
            server.answer(server.request(), "NOT_PRIMARY", seq=3)
        code, out, _ = result_of(process)
        check_equal((code, out.startswith("NOT_PRIMARY")), (0, True), f"what remains: {out}")


@test
def a_primary_that_cannot_be_reached_is_named(run):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = "%s:%d" % gone.getsockname()
    with ScriptedServer() as server:
        process = start(run, server, "--follow", "--json")
        send_on(server, address)
        code, out, errors = result_of(process)
        check_equal(code, 1, "the exit code")
        check(f"the primary at {address}" in errors and "refused" in errors, f"errors: {errors}")
        check_equal(json.loads(out)["outcome"], "UNANSWERED", "what is told of the line")
    with ScriptedServer() as server:
        process = start(run, server, "--follow")
        send_on(server, "nonsense")
        code, _, errors = result_of(process)
        check("nonsense: expected ADDR:PORT" in errors, f"errors: {errors}")


@test
def nobody_is_led_to_another_shop(run):
    with contextlib.ExitStack() as stack:
        replica, other = server_pair(stack)
        process = start(run, replica, "--follow")
        replica.accept(shop=77)
        replica.answer(replica.request(), "NOT_PRIMARY", primary=other.address)
        other.accept(shop=78)
        code, _, errors = result_of(process)
        check_equal((code, "another shop" in errors), (1, True), f"exit code and {errors}")
        check(other.request_or_end() is None, "nothing is sent to another shop")


@test
def who_does_not_follow_is_told_the_address(run):
    with ScriptedServer() as server:
        process = start(run, server, "--json")
        send_on(server, "10.1.2.3:7411")
        code, out, _ = result_of(process)
        answer = json.loads(out)
        check_equal((code, answer["outcome"], answer["primary"]),
                    (0, "NOT_PRIMARY", "10.1.2.3:7411"), "exit code, outcome and address")


@test
def answers_tell_their_age_and_lines_demand_a_change(run):
    for form, expected in ((("--json",), '"age_us":1234'), ((), " age_us=1234")):
        with ScriptedServer() as server:
            process = start(run, server, "--age", "--min-seq", "12", *form, text="stats\n")
            hello = server.accept(features=FRESH)
            check(hello.body["features"] & FRESH, "freshness is asked for")
            request = server.request()
            check_equal(request.min_seq, 12, "the change that is demanded")
            server.answer(request, age_us=1234, seq=12)
            code, out, errors = result_of(process)
            check_equal((code, errors), (0, ""), "exit code and errors")
            check(expected in out, f"the age is told: {out}")


if __name__ == "__main__":
    harness.main()
