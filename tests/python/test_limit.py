"""The limit program (bench/limit): it answers as till would, however the bytes are split, and `till
bench` finds no wrong answer; and how the regression guard judges figures."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import harness
from harness import Skip, check, check_equal, test
from till_client import Client, Closed

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "check"))
sys.path.insert(0, str(ROOT / "bench" / "peers"))

import check as guard  # noqa: E402

USD = 840
PRICE = 1999
ORDERS = 500
STOP_SECONDS_MAX = 10


@contextlib.contextmanager
def limit(run, *options):
    """A limit program from the same build as till."""
    command = [str(Path(run.binary).parent / "limit"), "--folder", str(run.root), *options]
    log = run.root / "limit.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        line = process.stdout.readline()
        said = log.read_text()
        if "ulimit -l" in said:
            raise Skip(said.strip())
        check(line.startswith("listening on "), f"the limit says {line!r} {said}")
        host, port = line.split()[2].rsplit(":", 1)
        yield (host, int(port))
        check(process.poll() is None, f"the limit ended with {process.poll()}")
    finally:
        process.kill()
        process.wait(STOP_SECONDS_MAX)
        process.stdout.close()


def place(client, order, quantity=1):
    rows = [{"sku": 1, "quantity": quantity, "price": PRICE}]
    return client.queue("order.place", rows, order=order, customer=order, currency=USD)


def check_answers(client, requests):
    seq_last = 0
    for request in requests:
        reply = client.receive()
        check_equal(reply.request, request, "the request")
        check_equal(reply.outcome, "OK", "the outcome")
        check_equal(reply.body["total"], PRICE, "the total")
        check_equal(reply.body["money_due"], PRICE, "what is due")
        check_equal(reply.body["state"], "PENDING", "the state")
        check_equal(len(reply.rows), 1, "the number of takes")
        check_equal(reply.rows[0]["quantity"], 1, "the quantity taken")
        check(reply.body["seq"] > seq_last, "the seq does not grow")
        seq_last = reply.body["seq"]


@test
def limit_answers_orders_however_they_are_cut(run):
    for options in ([], ["--echo"], ["--writes", "1", "--log-bytes", "80"]):
        with limit(run, *options) as address, Client(address) as client:
            requests = [place(client, order) for order in range(1, ORDERS)]
            stream = b"".join(client.queued)
            client.queued = []
            while stream:
                size = run.random.randint(1, 300)
                client.send(stream[:size])
                stream = stream[size:]
            check_answers(client, requests)


@test
def limit_serves_more_connections_after_others_closed(run):
    with limit(run, "--connections", "16") as address:
        for _ in range(10):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(Client(address)) for _ in range(4)]
                requests = [place(client, 1) for client in clients]
                for client, request in zip(clients, requests):
                    client.flush()
                    check_answers(client, [request])


@test
def limit_closes_a_malformed_connection_only(run):
    with limit(run) as address, Client(address) as good, Client(address) as bad:
        bad.send(b"\x07" * 64)
        try:
            bad.receive()
            raise AssertionError("a malformed frame is answered")
        except Closed:
            pass
        request = place(good, 1)
        good.flush()
        check_answers(good, [request])


@test
def limit_satisfies_till_bench(run):
    for options in ([], ["--echo"]):
        with limit(run, *options) as address:
            done = run.till("bench", "--connect", "{}:{}".format(*address), "--seconds", 1,
                            "--connections", 8, "--in-flight", 32, "--json")
            check_equal(done.returncode, 0, f"the exit code, with {done.stderr},")
            result = json.loads(done.stdout)
            check_equal(result["wrong_answers"], 0, "the number of wrong answers")
            check(result["orders_per_second"] > 0, "nothing was ordered")


@test
def guard_judges_figures_by_their_floors(run):
    floors = {"count seal": "100.0", "ratio 64x64": "0.80"}
    cases = [
        ("count seal", 100, True, "ok"),
        ("count seal", 102.9, True, "ok"),
        ("count seal", 103.1, True, "WORSE"),
        ("count seal", 150, False, "another compiler"),
        ("count seal", 96, True, "better: record it"),
        ("ratio 64x64", 0.69, True, "ok"),
        ("ratio 64x64", 0.67, False, "WORSE"),
        ("count reply", 1, True, "not recorded"),
    ]
    for name, value, is_same_compiler, verdict in cases:
        check_equal(guard.judge(name, value, floors, is_same_compiler), verdict, f"{name} {value}")


@test
def guard_reads_what_each_stage_cost(run):
    profile = "\n".join([
        "fn=main", "cfn=stage_check.constprop.0", "calls=3 57", "127 2000", "128 50",
        "cfn=memcpy", "calls=1 1", "129 7", "cfn=stage_check", "calls=1 57", "127 500",
        "cfn=stage_seal", "calls=1 82", "105 30",
    ])
    costs = guard.stage_costs(profile)
    check_equal(costs, {"check": 2500, "decide": 0, "encode": 0, "seal": 30, "decode": 0},
                "the cost by stage")


if __name__ == "__main__":
    harness.main()
