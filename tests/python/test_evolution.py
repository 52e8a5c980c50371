"""A till of a made-up schema, the next one, reads what today's wrote, and today's clients go on
working with it; today's till refuses by name the files that the newer till wrote."""

import contextlib
import copy
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import formats
import harness
import next_schema
from formats import generations, is_told
from harness import check, check_equal, test
from shop import USD, order_id, place, segments, set_up, snapshots, state_of, stats

BUILT = {}
NEWER = (f"written by a newer till: schema {next_schema.NUMBER}, "
         f"this one knows {next_schema.NUMBER - 1}")


def newer(run):
    """The same test's run, with the till of the next schema."""
    if not BUILT:
        folder = Path(tempfile.mkdtemp(prefix="till-next-schema-", dir=run.arguments.scratch))
        BUILT["folder"] = folder
        BUILT["binary"] = str(next_schema.build(folder / "till"))
    check("binary" in BUILT, "the till of the next schema was not built")
    other = copy.copy(run)
    other.binary = BUILT["binary"]
    return other


def succeeds(run, *command):
    result = run.till(*command)
    check_equal(result.returncode, 0, f"{command}: {result.stderr}")
    return result.stdout


def log_of(run, folder):
    return [json.loads(line) for line in succeeds(run, "log", folder).splitlines()]


def tell(run, where, *lines):
    """The answers of `till shell` to these lines, as objects."""
    result = run.till_with_input("\n".join(lines) + "\n", "shell", "--json", *where)
    check_equal(result.returncode, 0, f"till shell {where}: {result.stdout} {result.stderr}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def address_of(server):
    return ("--connect", "%s:%d" % server.address)


def trade_with_gifts(run, server):
    """What only the next schema can say: a new command, a new field and a new field of a row."""
    said = tell(run, address_of(server), "gift.put key=901 value=5 hold=1h",
                "gift.put key=902 value=7 hold=1h",
                "order.place order=903 customer=4 currency=USD gift=77 line=1x1@100:note=88",
                "order.place order=903 customer=4 currency=USD gift=77 line=1x1@100:note=88",
                "order.place order=903 customer=4 currency=USD gift=78 line=1x1@100:note=88",
                "stats")
    check_equal([answer["outcome"] for answer in said],
                ["OK", "OK", "OK", "REPLAYED", "IDEM_MISMATCH", "OK"], f"outcomes of {said}")
    check_equal((said[1]["gift"], said[5]["gifts"]), (2, 2), "the gifts")


@test
def newer_till_answers_every_moment_of_kept_folders(run):
    other = newer(run)
    for generation in generations():
        data, archive = generation.unpack(run.folder())
        said = succeeds(other, "verify", data, "--archive", archive, *generation.capacities)
        check(generation.moments[-1]["answers"]["stats"]["digest"] in said, said)
        for moment in generation.moments:
            answers = formats.ask(other, list(moment["answers"]), "--data", data, "--archive",
                                  archive, "--seq", moment["seq"], *generation.capacities)
            for query, recorded in moment["answers"].items():
                check(is_told(recorded, answers[query]),
                      f"{generation.name}, {moment['what']}: {query}: {answers[query]}")
        # A snapshot of the next schema, made from one of an older.
        restored = run.folder()
        succeeds(other, "restore", "--from", data, "--archive", archive, "--data", restored,
                 *generation.capacities)
        succeeds(other, "verify", restored, *generation.capacities)


@test
def what_an_older_log_lacks_is_zero(run):
    other = newer(run)
    for generation in generations():
        data, _ = generation.unpack(run.folder())
        old, new = log_of(run, data), log_of(other, data)
        check_equal(len(new), len(old), "commands in the log")
        orders = 0
        for before, after in zip(old, new):
            check(is_told(before, after), f"{before} has become {after}")
            if after["command"] == "order.place":
                orders += 1
                check_equal(after["gift"], 0, "the field that the log lacks")
                check_equal({line["note"] for line in after["lines"]}, {0}, "that of its rows")
        check(orders > 0, "the log has orders")


def is_again(sent, reply):
    return (reply.outcome == "REPLAYED" and is_told(sent["reply"], reply.body) and
            is_told(sent["reply_rows"], reply.rows))


@test
def newer_till_goes_on_with_kept_folders_and_older_clients(run):
    """Orders of the older schema, sent again by an older client, are recognised as the same
    orders."""
    other = newer(run)
    for generation in generations():
        data, archive = generation.unpack(run.folder())
        server = other.serve(data, ("--accept-clock", "--log-segment",
                                    str(generation.record["segment_mib"]), "--archive",
                                    str(archive), *generation.capacities))
        with server.client() as client:
            for sent in generation.record["again"]:
                reply = client.call("order.place", rows=sent["rows"], **sent["fields"])
                check(is_again(sent, reply), f"{sent} is answered with {reply}")
        server.stop_clean()
        succeeds(other, "verify", data, "--archive", archive, *generation.capacities)


@test
def clients_of_either_schema_share_a_newer_server(run):
    other = newer(run)
    server = other.serve(options=("--snapshot-every", "0"))
    set_up(server)
    check_equal(set(place(server, 1, 300)), {"OK"}, "outcomes of many older requests at once")
    check_equal(set(place(server, 1, 300)), {"REPLAYED"}, "outcomes of the same ones again")
    trade_with_gifts(other, server)
    with server.client(checksum=True) as client:
        lines = [{"sku": 1, "quantity": 1 + i, "price": 100} for i in range(32)]
        reply = client.call("order.place", rows=lines, order=7, customer=3, currency=USD)
        check_equal(reply.outcome, "OK", f"the largest older request: {reply}")
        found = client.call("order.get", order=7)
        check_equal([row["quantity"] for row in found.rows], list(range(1, 33)), "longer rows")
        check_equal(client.call("order.get", order=903).body["total"], 100, "a newer order")
    # The same order from a client of the newer schema, with its new fields zero.
    line = " ".join(f"line=1x{1 + i}@100" for i in range(32))
    again = f"order.place order=7 customer=3 currency=USD {line}"
    check_equal(tell(other, address_of(server), again)[0]["outcome"], "REPLAYED", "of the same")
    old, new = (tell(one, address_of(server), "order.get order=7", "stats",
                     "points.balance customer=3") for one in (run, other))
    check(is_told(old[0], new[0]), f"{old[0]} and {new[0]} are of one order")
    check(is_told(old[2], new[2]) and "gift" not in old[2] and new[2]["gift"] == 0,
          f"{old[2]} and {new[2]} are of one customer")
    check("gifts" not in old[1] and new[1]["gifts"] == 2, f"{old[1]} and {new[1]}")
    server.kill()
    server = other.serve(server.folder)
    trade = tell(other, address_of(server), "gift.put key=901 value=5 hold=1h",
                 "gift.put key=904 value=1 hold=1h")
    check_equal([(one["outcome"], one["gift"]) for one in trade], [("REPLAYED", 1), ("OK", 3)],
                "gifts after a start from the log")
    succeeds(run, "snapshot", *address_of(server))
    server.kill()
    server = other.serve(server.folder)
    trade = tell(other, address_of(server), "gift.put key=905 value=1 hold=1h", "stats")
    check_equal(trade[1]["gifts"], 4, "gifts after a start from a snapshot")
    years = f"gift.put key=906 value=1 hold={next_schema.HOLD_SECONDS_MAX}"
    kept = tell(other, address_of(server), years)[0]
    check_equal(kept["outcome"], "OK", "a gift that is kept for years")
    server.kill()
    server = other.serve(server.folder)
    succeeds(run, "snapshot", *address_of(server))
    server.kill()
    succeeds(other, "verify", server.folder)
    server = other.serve(server.folder)
    again = tell(other, address_of(server), years, "gift.get gift=5")
    check_equal([one["ends"] for one in again], [kept["ends"]] * 2, "its end after both starts")
    server.stop_clean()
    succeeds(other, "verify", server.folder)
    placed = next(entry for entry in log_of(other, server.folder) if entry.get("gift"))
    check_equal((placed["gift"], placed["lines"][0]["note"]), (77, 88), "new fields in the log")


@test
def newer_client_reads_what_an_older_server_answers(run):
    other = newer(run)
    server = run.serve()
    set_up(server)
    check_equal(set(place(server, 1, 3)), {"OK"}, "outcomes")
    order = f"{order_id(2):x}"
    old, new = (tell(one, address_of(server), "stats", f"order.get order={order}",
                     "stock.get sku=1") for one in (run, other))
    check_equal(state_of(new[0]), state_of(old[0]), "the state that stats tell")
    for before, after in zip(old[1:], new[1:]):
        check(is_told(before, after), f"{before} has become {after}")
    check_equal(("gifts" in new[0], new[1]["pieces"][0]["note"]), (False, 0), "what it lacks")
    run.finish(server)


@test
def worked_example_does_what_its_script_says(run):
    other = newer(run)
    folder = BUILT["folder"] / "till"
    result = subprocess.run([sys.executable, folder / "tests" / "run_scripts.py", other.binary],
                            capture_output=True, text=True, check=False)
    check_equal(result.returncode, 0, f"gifts.till: {result.stdout}")
    diff = next_schema.worked_example()
    added = len(re.findall(r"^\+(?!\+\+ )", diff, re.MULTILINE))
    files = diff.count("diff --git")
    check(f"{files} files, {added} lines" in next_schema.CONTRIBUTING.read_text(),
          f"CONTRIBUTING.md counts {files} files, {added} lines")


def check_refused(run, command, folder, name):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run.till(*command)
    check_equal(result.returncode, 1, f"the exit code of {command}: {result.stdout}")
    check(NEWER in result.stderr and name in result.stderr, f"{command}: {result.stderr}")
    check_equal({path.name: path.read_bytes() for path in folder.iterdir()} == before, True,
                f"{command} leaves the files alone")


def commands_that_read(run, folder):
    return [("serve", "--data", folder, "--listen", "127.0.0.1:0", "--accept-clock"),
            ("verify", folder), ("shell", "--data", folder),
            ("restore", "--from", folder, "--data", run.folder()),
            ("backup", run.folder(), "--data", folder)]


@test
def log_and_snapshot_of_a_newer_schema_are_refused_by_name(run):
    """A folder that today's till began and the newer till continued."""
    other = newer(run)
    server = run.serve(options=("--snapshot-every", "0"))
    set_up(server)
    check_equal(set(place(server, 1, 20)), {"OK"}, "outcomes")
    before = stats(server)
    server.kill()
    succeeds(other, "verify", server.folder)
    server = other.serve(server.folder, ("--snapshot-every", "0"))
    check_equal(stats(server), before, "the state that the next schema makes of the older log")
    trade_with_gifts(other, server)
    server.kill()
    log = segments(server.folder)[0].name
    for command in [("log", server.folder), *commands_that_read(run, server.folder)]:
        check_refused(run, command, server.folder, log)
    server = other.serve(server.folder, ("--snapshot-every", "0"))
    succeeds(other, "snapshot", *address_of(server))
    server.kill()
    image = snapshots(server.folder)[-1].name
    for command in commands_that_read(run, server.folder):
        check_refused(run, command, server.folder, image)
    alone = run.folder()
    alone.mkdir()
    shutil.copy(snapshots(server.folder)[-1], alone)
    for command in commands_that_read(run, alone):
        check_refused(run, command, alone, image)


try:
    harness.main()
finally:
    with contextlib.suppress(KeyError):
        shutil.rmtree(BUILT["folder"])
