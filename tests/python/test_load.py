"""Shops loaded from CSV files, the log printed, and damage to it refused by all who read it."""

import json
import time

import harness
from harness import check, check_equal, test

STOCK = """sku,name,price,currency,warehouse,quantity
7,shoe,1999,USD,1,10
8,hat,abc,USD,1,5
9,"big, red",500,USD,2,0
7,shoe,1999,USD,2,3
"""
POINTS = """customer,points,expires
42,500,2100-01-01
0,5,2100-01-01
"""
PAGE = 4096


def load(run, server, *arguments):
    return run.till("load", "--connect", "%s:%d" % server.address, *arguments)


def write(run, name, text):
    path = run.root / name
    path.write_text(text)
    return path


def on_hand(server, sku):
    with server.client() as client:
        reply = client.call("stock.get", rows=[{"sku": sku, "warehouse": 0}])
        return reply.rows[0]["on_hand"] if reply.outcome == "OK" else reply.outcome


@test
def bad_lines_are_named_and_the_rest_goes_in_once(run):
    server = run.serve()
    stock, points = write(run, "stock.csv", STOCK), write(run, "points.csv", POINTS)
    result = load(run, server, stock, points)
    check_equal(result.returncode, 1, "the exit code with bad lines")
    check(f"{stock}:3: price" in result.stderr, "the bad price is named with file and line")
    check(f"{points}:3: customer" in result.stderr, "the bad customer is named with file and line")
    check_equal([on_hand(server, sku) for sku in (7, 8, 9)], [13, "NOT_FOUND", 0], "stock")
    again = load(run, server, stock, points)
    check("REPLAYED" in again.stdout + again.stderr, "a file loaded twice is told")
    check_equal(on_hand(server, 7), 13, "stock after the second load")
    with server.client() as client:
        check_equal(client.call("points.balance", customer=42).body["balance"], 500, "points")
    server.stop_clean()
    run.verify(server.folder)
    lines = run.till("log", server.folder).stdout.splitlines()
    changes = [json.loads(line) for line in lines]
    check_equal([change["seq"] for change in changes], list(range(1, len(changes) + 1)), "seqs")
    check_equal(sorted({change["command"] for change in changes}),
                ["points.credit", "sku.put", "stock.adjust"], "the log's commands")


def wait_for_notice(server, text, count=1):
    deadline = time.monotonic() + 30
    while server.errors().count(text) < count:
        check(time.monotonic() < deadline, f"no notice {text!r}: {server.errors()}")
        time.sleep(0.05)


@test
def tables_that_fill_up_are_told_on_stderr_and_shown(run):
    options = ("--skus", "20", "--keys", "32")
    server = run.serve(options=options)
    with server.client() as client:
        def put(last):
            for sku in range(1, last + 1):
                client.call("sku.put", sku=sku, price=1, currency=840)

        put(15)
        for last, notice in ((16, "skus is 80 % full: 16 of 20"), (18, "skus is 90 % full"),
                             (20, "skus is full: 20 of 20")):
            check(notice not in server.errors(), f"{notice} before it is so: {server.errors()}")
            put(last)
            wait_for_notice(server, notice)
        rows = {row["name"]: row for row in client.call("tables").rows}
        check_equal((rows["skus"]["used"], rows["skus"]["capacity"]), (20, 20), "skus")
        check_equal((rows["keys"]["used"], rows["keys"]["reserve"]), (0, 2), "keys")
    server.kill()
    server = run.serve(server.folder, options)
    wait_for_notice(server, "skus is full", count=2)
    check_equal(server.errors().count("80 % full"), 1, "told once, not again at the start")
    run.finish(server)


@test
def strict_sends_nothing_when_something_is_bad(run):
    server = run.serve()
    result = load(run, server, "--strict", write(run, "stock.csv", STOCK))
    check_equal(result.returncode, 1, "the exit code")
    check(":3: price" in result.stderr, "the bad line is named")
    check_equal(on_hand(server, 7), "NOT_FOUND", "a SKU of a good line")
    good = write(run, "good.csv", STOCK.replace("abc", "100"))
    check_equal(load(run, server, "--strict", good).returncode, 0, "the exit code of a good file")
    check_equal(on_hand(server, 8), 5, "stock")
    run.finish(server)


@test
def damage_to_what_was_durable_is_refused_with_its_place(run):
    server = run.serve()
    with server.client() as client:
        client.call("sku.put", key=1, sku=1, price=100, currency=840)
        for i in range(20):
            client.call("stock.adjust", key=2 + i, sku=1, delta=1, warehouse=1)
    server.kill()
    segment = server.folder / "wal-0000000001.log"
    with segment.open("r+b") as file:
        file.seek(3 * PAGE + 100)
        byte = file.read(1)
        file.seek(3 * PAGE + 100)
        file.write(bytes([byte[0] ^ 0x40]))
    for name, arguments in {"verify": [server.folder], "log": [server.folder],
                            "serve": ["--data", server.folder, "--listen", "127.0.0.1:0"]}.items():
        result = run.till(name, *arguments)
        check_equal(result.returncode, 1, f"the exit code of {name}")
        check(segment.name in result.stderr and f"offset {3 * PAGE}" in result.stderr
              and "seq 4" in result.stderr, f"{name} names file, offset and seq: {result.stderr}")


harness.main()
