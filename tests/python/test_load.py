"""Shops loaded from CSV files; the log printed; damage to it refused by every command that reads
it."""

import json
import re
import subprocess
import time
from pathlib import Path

import harness
from harness import check, check_equal, test
from scripted_server import ScriptedServer

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


def load(run, server, *arguments, text=None):
    command = ("load", "--connect", "%s:%d" % server.address, *arguments)
    return run.till(*command) if text is None else run.till_with_input(text, *map(str, command))


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


COUNTED = """sku,name,price,currency,warehouse,on_hand
7,shoe,1999,USD,1,10
7,shoe,1999,USD,2,3
8,hat,500,USD,1,0
"""


def state(server):
    """The values that an absolute load sets, and the sizes of the log and the table of keys."""
    with server.client() as client:
        places = (7, 1), (7, 2), (8, 1)
        rows = client.call("stock.get", rows=[{"sku": sku, "warehouse": warehouse}
                                              for sku, warehouse in places]).rows
        stats = client.call("stats").body
    return [(row["price"], row["on_hand"]) for row in rows], stats["seq"], stats["keys"]


@test
def absolute_load_makes_the_stock_what_the_file_says_however_often(run):
    server = run.serve()
    counted = write(run, "counted.csv", COUNTED)
    first = load(run, server, counted)
    check_equal(first.returncode, 0, f"the exit code: {first.stderr}")
    check_equal(state(server), ([(1999, 10), (1999, 3), (500, 0)], 4, 0), "stock, seq and keys")
    again = load(run, server, counted)
    check_equal(again.returncode, 0, f"the exit code: {again.stderr}")
    check_equal(state(server), ([(1999, 10), (1999, 3), (500, 0)], 4, 0), "the same file again")
    check("3 as the file has them already" in again.stdout, f"that is told: {again.stdout}")

    # Edited: one count, one price, one name; the others stay. Orders are placed meanwhile.
    with server.client() as client:
        reply = client.call("order.place", order=1, customer=1, currency=840, flags="PAID",
                            rows=[{"sku": 7, "quantity": 2, "warehouse": 1, "price": 1999}])
        check_equal(reply.outcome, "OK", "an order")
    edited = COUNTED.replace("1,10", "1,25").replace("hat,500", "cap,550")
    result = load(run, server, write(run, "counted.csv", edited))
    check_equal(result.returncode, 0, f"the exit code: {result.stderr}")
    check_equal(state(server), ([(1999, 25), (1999, 3), (550, 0)], 7, 0), "the edited file")
    with server.client() as client:
        check_equal(client.call("stock.get", name="cap").rows[0]["sku"], 8, "the new name")
        check_equal(client.call("stock.get", name="hat").outcome, "NOT_FOUND", "the old name")
        row = client.call("stock.get", rows=[{"sku": 7, "warehouse": 1}]).rows[0]
        check_equal((row["available"], row["committed"]), (23, 2), "what was sold stays sold")
    below = load(run, server, write(run, "counted.csv", COUNTED.replace("1,10", "1,1")))
    check_equal(below.returncode, 1, "the exit code of less than is promised")
    check("counted.csv:2: stock.set: STOCK_BELOW_RESERVED" in below.stderr, below.stderr)
    run.finish(server)


@test
def absolute_load_tries_again_when_the_stock_has_changed(run):
    text = COUNTED.splitlines()[0] + "\n7,,1999,USD,1,10\n"
    for changes in (0, 1, 3, 1000):
        with ScriptedServer() as server:
            process = run.start("load", "--connect", server.address, "-", text=text)
            server.accept()
            read = server.request()
            check_equal((read.name, read.rows[0]["sku"]), ("stock.get", 7), "what is read")
            server.answer(read, rows=[{"sku": 7, "warehouse": 1, "price": 1000, "currency": 840,
                                       "on_hand": 4}])
            put = server.request()
            check_equal((put.name, put.body["key"]), ("sku.put", 0), "what is put")
            server.answer(put)
            for change in range(changes + 1):
                request = server.request_or_end()
                if request is None:
                    break
                check_equal((request.name, request.body["key"], request.body["on_hand"]),
                            ("stock.set", 0, 10), "what is set")
                check_equal(request.body["expected"], 100 + change if change > 0 else 4,
                            "what was read or told last is expected")
                if change < changes:
                    server.answer(request, "STALE_VERSION", value=101 + change)
                else:
                    server.answer(request, on_hand=10)
            stdout, stderr = process.communicate(timeout=30)
            if changes < 1000:
                check_equal(process.returncode, 0, f"the exit code: {stderr}")
                check("1 set" in stdout, f"what is told: {stdout}")
            else:
                check_equal(process.returncode, 1, "the exit code when it never stands still")
                check("-:2: on_hand was changed by others" in stderr, f"no line: {stderr}")


@test
def dry_run_says_what_would_be_done_and_does_nothing(run):
    server = run.serve()
    load(run, server, write(run, "counted.csv", COUNTED))
    edited = write(run, "edited.csv", COUNTED.replace("1,10", "1,25").replace("hat,500", "hat,550")
                   + "9,cap,1,USD,1,4\n10,shoe,1,USD,1,4\n")
    added = write(run, "added.csv", "sku,price,currency,warehouse,quantity\n7,1999,USD,1,5\n")
    points = write(run, "points.csv", "customer,points\n42,500\n")
    before = state(server)
    result = load(run, server, "--dry-run", edited, added, points)
    check_equal(state(server), before, "stock, seq and keys")
    for line in (f"{edited}:2: sku 7 in warehouse 1: on_hand 10 becomes 25",
                 f"{edited}:4: sku 8: price 500 USD becomes 550 USD",
                 f"{edited}:5: sku 9 is new: 1 USD, name cap; in warehouse 1: on_hand 0 becomes 4",
                 f"{added}:2: sku 7 in warehouse 1: 5 are added to 10",
                 f"{points}:2: customer 42: 500 points that never expire, beside a balance of 0"):
        check(line in result.stdout, f"no {line!r} in {result.stdout}")
    check(f"{edited}:3:" not in result.stdout, "a row that changes nothing is not told")
    check(f"{edited}:6: name shoe is sku 7's" in result.stderr, f"a taken name: {result.stderr}")
    check_equal(result.returncode, 1, "the exit code with a row that would be refused")
    check("nothing was changed" in result.stdout, result.stdout)
    check_equal(load(run, server, "--dry-run", points).returncode, 0, "the exit code")
    run.finish(server)


@test
def standard_input_is_loaded_as_a_file_is(run):
    server = run.serve()
    points = write(run, "points.csv", "customer,points\n42,500\n")
    result = load(run, server, "-", points, text=COUNTED)
    check_equal(result.returncode, 0, f"the exit code: {result.stderr}")
    check_equal(state(server)[0], [(1999, 10), (1999, 3), (500, 0)], "stock")
    bad = load(run, server, "--strict", "-", text=COUNTED + "9,x,abc,USD,1,1\n")
    check("-:5: price is \"abc\"" in bad.stderr, f"the line is named: {bad.stderr}")
    good = load(run, server, "--strict", "-", text=COUNTED.replace("hat", '"hat"'))
    check_equal(good.returncode, 0, f"two passes over one input: {good.stderr}")
    twice = load(run, server, "-", "-", text=COUNTED)
    check_equal(twice.returncode, 2, "standard input can be read once")
    run.finish(server)


@test
def rows_that_are_there_twice_are_told_with_both_lines(run):
    server = run.serve()
    header = "sku,price,currency,warehouse,quantity\n"
    stock = write(run, "stock.csv", header + "7,100,USD,1,10\n7,100,USD,2,10\n7,100,USD,1,10\n")
    points = write(run, "points.csv", "customer,points,expires\n1,5,2100-01-01\n1,5,2100-01-02\n"
                   "1,7,2100-01-01\n")
    strict = load(run, server, "--strict", stock, points)
    check_equal((strict.returncode, on_hand(server, 7)), (1, "NOT_FOUND"), "strict sends nothing")
    result = load(run, server, stock, points)
    check_equal(result.returncode, 0, "a warning is no failure")
    check(f"{stock}:4: warning: sku 7 in warehouse 1 is on {stock}:2 too; both are added"
          in result.stderr, result.stderr)
    check(f"{points}:4: warning: customer 1 has points with this expiry on {points}:2 too; both "
          "are credited" in result.stderr, result.stderr)
    check_equal(result.stderr.count("warning"), 2, f"no other warnings: {result.stderr}")
    check_equal(on_hand(server, 7), 30, "stock")
    counted = header.replace("quantity", "on_hand")
    result = load(run, server, "-", text=counted + "7,100,USD,1,4\n7,100,USD,1,4\n7,100,USD,1,5\n")
    check("-:3: warning: sku 7 in warehouse 1 is on -:2 too" in result.stderr, result.stderr)
    check("-:4: sku 7 in warehouse 1 has another on_hand than on -:2" in result.stderr,
          result.stderr)
    check_equal(result.returncode, 1, "the exit code of a contradiction")
    check_equal(on_hand(server, 7), 14, "stock")
    run.finish(server)


@test
def full_table_ends_a_load_with_one_line_and_a_count(run):
    rows, room = 5000, 100
    server = run.serve(options=("--skus", str(room)))
    header = "sku,price,currency,warehouse,%s\n"
    text = "".join(f"{sku},100,USD,1,5\n" for sku in range(1, rows + 1))
    for column in ("quantity", "on_hand"):
        result = load(run, server, "-", write(run, "points.csv", "customer,points\n1,1\n"),
                      text=header % column + text)
        check_equal(result.returncode, 1, "the exit code")
        check_equal(result.stderr.count("\n"), 1, f"lines of {result.stderr}")
        check(f"-:{room + 2}: the table of skus is full" in result.stderr
              and "--skus" in result.stderr, result.stderr)
        check(f"{rows - room + 1} rows are not in" in result.stdout
              and f"the first of them is -:{room + 2}" in result.stdout, result.stdout)
    with server.client() as client:
        check_equal(client.call("stats").body["skus"], room, "skus")
    run.finish(server)


@test
def load_that_fills_the_table_of_keys_leaves_room_for_operators(run):
    server = run.serve(options=("--keys", "160"))
    header = "sku,price,currency,warehouse,%s\n"
    text = "".join(f"{sku},100,USD,1,5\n" for sku in range(1, 1001))
    result = load(run, server, "-", text=header % "quantity" + text)
    check_equal(result.returncode, 1, "the exit code")
    check_equal(result.stderr.count("\n"), 1, f"lines of {result.stderr}")
    for word in ("the table of keys is full", "--keys", "on_hand", "within 24 hours"):
        check(word in result.stderr, f"no {word!r} in {result.stderr}")
    check("925 rows are not in" in result.stdout, result.stdout)
    said = run.till_with_input("sale.put sale=1\nsale.open sale=1\nsale.close sale=1\n"
                               "stock.adjust sku=1 warehouse=1 delta=1\n",
                               "shell", "--fail", "--connect", "%s:%d" % server.address)
    check_equal(said.returncode, 0, f"an operator's commands: {said.stdout}")
    result = load(run, server, "-", text=header % "on_hand" + text)
    check_equal(result.returncode, 0, f"an absolute load: {result.stderr}")
    with server.client() as client:
        stats = client.call("stats").body
    check_equal((stats["skus"], stats["keys"]), (1000, 154), "SKUs and keys")
    run.finish(server)


@test
def errors_are_bounded_and_name_line_field_and_what_was_expected(run):
    server = run.serve()
    header = "sku,name,price,currency,warehouse,quantity\n"
    result = load(run, server, "-", text=header + "x,,1,USD,1,1\n" * 1000 + "7,,1,USD,1,1\n")
    check_equal(result.stderr.count("\n"), 21, f"lines of {result.stderr}")
    check("980 more" in result.stderr and "--errors" in result.stderr, result.stderr)
    check_equal(on_hand(server, 7), 1, "the good line is in")
    result = load(run, server, "--errors", "3", "-", text=header + "x,,1,USD,1,1\n" * 1000)
    check_equal(result.stderr.count("\n"), 4, f"lines of {result.stderr}")
    for line, *words in (
            (",,1,USD,1,1", "sku", "expected a number above zero"),
            ("1,,1,,1,1", "currency", "expected letters or number of ISO 4217"),
            ("1,,-1,USD,1,1", "price", '"-1"', "expected whole minor units"),
            ("1,,1,USD,0,1", "warehouse", '"0"', "expected a number from 1"),
            ("1,,1,USD,1,", "quantity", "expected a number from 0"),
            ("1,,1,USD,1", "5 fields", "expected 6", "sku,name,price"),
            ('1,"a,1,USD,1,1', "name", "a quote that is not closed"),
            ('1,a"b,1,USD,1,1', "name", "a quote inside"),
            ("1," + "n" * 33 + ",1,USD,1,1", "name", "expected at most 32 bytes"),
            ("1," + "\x1b" * 5000 + ",1,USD,1,1", "name", "expected at most 32 bytes")):
        said = load(run, server, "-", text=header + line + "\n").stderr
        check(said.startswith("-:2: ") and len(said) < 300 and "\x1b" not in said, said)
        for word in words:
            check(word in said, f"no {word!r} for {line!r}: {said}")
    for head, *words in (("sku,colour", "colour", "expected"),
                         ("sku,sku", "sku", "twice"),
                         ("sku,price,currency,warehouse", "quantity", "on_hand"),
                         ("sku,price,currency,warehouse,quantity,on_hand", "quantity", "on_hand"),
                         ("sku,customer", "customer", "expected"),
                         ("sku;price;currency;warehouse;quantity", "expected", "commas")):
        said = load(run, server, "-", text=head + "\n1,1,1,1,1\n").stderr
        check(said.startswith("-:1: ") and said.count("\n") == 1, said)
        for word in words:
            check(word in said, f"no {word!r} for {head!r}: {said}")
    for name in ("missing.csv", "."):
        result = load(run, server, run.root / name)
        check(str(run.root / name) in result.stderr and result.returncode == 1, result.stderr)
    run.finish(server)


@test
def broken_connection_tells_what_is_unanswered(run):
    text = "customer,points\n" + "".join(f"{customer},5\n" for customer in range(1, 11))
    with ScriptedServer() as server:
        process = run.start("load", "--connect", server.address, "-", text=text)
        server.accept()
        for request in server.requests(10)[:4]:
            server.answer(request, balance=5, available=5)
        server.connection.close()
        stdout, stderr = process.communicate(timeout=30)
    check_equal(process.returncode, 1, "the exit code")
    check("the server closed the connection" in stderr, stderr)
    check("4 rows are in" in stdout and "6 rows are not known to be in" in stdout, stdout)


@test
def a_load_ends_where_no_row_can_be_taken(run):
    text = "customer,points\n" + "".join(f"{customer},5\n" for customer in range(1, 2001))
    for outcome, fields, said in (("NO_QUORUM", {}, "--acks"),
                                  ("NOT_PRIMARY", {"primary": "10.0.0.2:7411"}, "10.0.0.2:7411")):
        with ScriptedServer() as server:
            process = run.start("load", "--connect", server.address, "-", text=text)
            server.accept(in_flight_max=1)
            server.answer(server.request(), outcome, **fields)
            check(server.request_or_end() is None, f"nothing is sent after {outcome}")
            stdout, stderr = process.communicate(timeout=30)
        check_equal(process.returncode, 1, "the exit code")
        check(outcome in stdout + stderr and said in stdout + stderr, f"said: {stdout}{stderr}")


@test
def readme_s_lines_work_from_the_checkout(run):
    """Commands that run ./till by hand, on a folder and port of the test's own."""
    root = Path(__file__).resolve().parents[2]
    blocks = (root / "README.md").read_text().split("```")[1::2]
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()
             if "./till " in line]
    check(any("till load" in line for line in lines), f"no lines: {lines}")
    server = None
    for line in lines:
        for word in line.split():
            if word.endswith(".csv") and not (root / word).is_file():
                line = line.replace(word, f"examples/shop/{word}")
        if "till serve" in line:
            server = run.serve()
            continue
        if "till verify" in line:
            server.stop_clean()
        line = line.replace("till-backup", str(run.root / "backup"))
        line = re.sub(r"\btill-data\b", str(server.folder), line)
        line = line.replace("./till", run.binary)
        if "till backup" in line:
            line += f" --data {server.folder}"
        elif not re.search("till (verify|log) ", line):
            line += " --connect %s:%d" % server.address
        result = subprocess.run(["sh", "-ec", line], cwd=root, capture_output=True, text=True,
                                timeout=120, check=False)
        check_equal(result.returncode, 0, f"the exit code of {line}: {result.stderr}")
        check("refused" not in result.stderr, f"{line}: {result.stderr}")
        if "order.place" in line:
            check(result.stdout.startswith("OK "), f"{line}: {result.stdout}")


@test
def example_shop_loads_without_a_word_and_sells(run):
    server = run.serve()
    files = sorted((Path(__file__).resolve().parents[2] / "examples" / "shop").glob("*.csv"))
    check_equal([path.name for path in files], ["points.csv", "stock.csv"], "the files")
    for again in (False, True):
        result = load(run, server, *files)
        check_equal((result.returncode, result.stderr), (0, ""), f"loading, again: {again}")
        if not again:
            before = state(server)
    check_equal(state(server)[0], before[0], "loaded twice is loaded once")
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
