"""What `till log` tells: every change, in a range, over archive and folder; and what happened to
one order, one customer or one SKU, compared with what the shop answers at those moments."""

import json
import time

import harness
from harness import check, check_equal, in_memory, test, wait_until
from shop import place_one_by_one, segments, set_up, snapshot, snapshots

EUR = 978
SKUS = (1, 2)
CUSTOMERS = (7, 8, 9)
WAREHOUSES = (1, 2, 3)
SALE = 5
UNITS = ("on_hand", "available", "pooled", "reserved_for_orders", "committed", "unsellable")
ORDERS_PER_SEGMENT = 4 * 256  # one by one, each is a block of 4 KiB


def lines_of(run, *arguments, code=0, notice=""):
    """The objects that `till log` prints, after its exit code and message were checked."""
    result = run.till("log", *arguments)
    check_equal(result.returncode, code, f"till log {arguments}: {result.stderr}")
    check(notice in result.stderr and (notice != "") == (result.stderr != ""),
          f"till log {arguments} says: {result.stderr}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def ask(run, question, *arguments):
    """The answer of a folder at a moment."""
    result = run.till_with_input(question + "\n", "shell", "--json", *arguments)
    check_equal(result.returncode, 0, f"{question}: {result.stderr}")
    return json.loads(result.stdout)


def without(answer, *names):
    return {name: value for name, value in answer.items() if name not in names}


def open_shop(client):
    for sku in SKUS:
        client.call("sku.put", key=sku, sku=sku, price=100 * sku, currency=EUR)
        for warehouse in WAREHOUSES:
            client.call("stock.adjust", key=10 * sku + warehouse, sku=sku, delta=200,
                        warehouse=warehouse)
    for customer in CUSTOMERS:
        client.call("points.credit", key=100 + customer, customer=customer, points=5000)
    client.call("sale.put", key=200, sale=SALE, points_share=10000, rate_points=1, rate_money=1,
                rows=[{"sku": 1, "quantity": 50, "warehouse": 2}])
    client.call("sale.open", key=201, sale=SALE)


def trade(run, client, first, count):
    """Random orders, most of which go on somehow; some only expire."""
    due = {}
    for order in range(first, first + count):
        sku, customer = run.random.choice(SKUS), run.random.choice(CUSTOMERS)
        sale = run.random.choice((0, SALE)) if sku == 1 else 0
        quantity = run.random.randint(1, 3)
        placed = client.call("order.place", order=order, customer=customer, sale=sale,
                             points=run.random.choice((0, 30)) if sale else 0,
                             hold=run.random.choice((1, 600)), currency=EUR,
                             allocation=run.random.choice(("SINGLE", "RANK")),
                             rows=[{"sku": sku, "quantity": quantity, "price": 100 * sku}])
        due[order] = placed.body["money_due"] if placed.outcome == "OK" else 100
        then = run.random.choice(("pay", "pay", "cancel", "extend", "release", "adjust", ""))
        old = run.random.randint(first, order)
        if then == "pay":
            client.call("payment.event", event=order, order=old, provider=1, status="SUCCESS",
                        amount=due[old] - run.random.choice((0, 0, 1)), currency=EUR)
        elif then == "cancel":
            client.call("order.cancel", key=1000 + order, order=old)
        elif then == "release":
            client.call("hold.release", key=1000 + order, order=old)
        elif then == "extend":
            client.call("hold.extend", key=1000 + order, order=old, hold=900)
        elif then == "adjust":
            client.call("stock.adjust", key=1000 + order, sku=sku, delta=7,
                        warehouse=run.random.choice(WAREHOUSES))


def wait_expired(client):
    """Waits until no hold that was placed for a second is left."""
    time.sleep(1.2)
    wait_until(lambda: client.call("stats").body["holds_due"] == 0, "the end of short holds")


def traded(run):
    """A folder in which everything has happened, with snapshots on the way."""
    server = run.serve()
    with server.client() as client:
        open_shop(client)
        client.call("order.place", order=999, customer=7, hold=1, currency=EUR,
                    rows=[{"sku": 1, "quantity": 1, "price": 100}])
        for round_ in range(3):
            trade(run, client, 1000 + 100 * round_, 40)
            wait_expired(client)
            if round_ < 2:
                snapshot(run, server)
    server.stop_clean()
    return server.folder


def played(lines):
    """What the lines of a history add up to: each order's answer, and each stock's units."""
    orders, units, points = {}, {}, None
    for line in lines:
        told = line.get("changed", line.get("state"))
        for change in told.get("orders", ()):
            orders.setdefault(change["order"], {}).update(change)
        for change in told.get("stocks", ()):
            now = units.setdefault(change["warehouse"], dict.fromkeys(UNITS, 0))
            moved = change.get("moved", {unit: change[unit] for unit in UNITS})
            for unit, by in moved.items():
                now[unit] += by
            check_equal(now, {unit: change[unit] for unit in UNITS}, "units after a movement")
        points = told.get("points", points)
    return orders, units, points


@test
@in_memory
def history_of_an_order_adds_up_to_what_order_get_answers_at_each_of_its_versions(run):
    folder = traded(run)
    for order in (999, *run.random.sample(range(1000, 1040), 8)):
        lines = lines_of(run, folder, "--order", order)
        versions = [change["version"] for line in lines
                    for change in line["changed"].get("orders", ()) if "version" in change]
        check_equal(sorted(set(versions)), versions, "versions that only grow")
        for count, line in enumerate(lines, 1):
            told = played(lines[:count])[0][str(order)]
            answer = ask(run, f"order.get order={order}", "--data", folder, "--seq", line["seq"])
            check_equal(told, without(answer, "line", "outcome", "seq"),
                        f"order {order} after seq {line['seq']}")
    check_equal([line["command"] for line in lines_of(run, folder, "--order", 999)],
                ["order.place", "hold.expire"], "what happened to an order that only expired")
    run.verify(folder)


@test
@in_memory
def history_of_a_sku_is_every_movement_of_its_stocks(run):
    folder = traded(run)
    commands = set()
    for sku in SKUS:
        lines = lines_of(run, folder, "--sku", sku)
        for count in {len(lines), *run.random.sample(range(1, len(lines)), 5)}:
            units = played(lines[:count])[1]
            seq = lines[count - 1]["seq"]
            for warehouse, now in units.items():
                row = ask(run, f"stock.get item={sku}/{warehouse}", "--data", folder, "--seq",
                          seq)["stocks"][0]
                check_equal(now, {unit: row[unit] for unit in UNITS},
                            f"SKU {sku} in warehouse {warehouse} at seq {seq}")
        commands |= {line["command"] for line in lines if line["changed"]}
        check_equal(lines[0]["changed"], {}, "what sku.put does to the stock")
    check({"stock.adjust", "order.place", "hold.expire", "payment.event"} <= commands,
          f"movements by {commands}")


@test
@in_memory
def history_of_a_customer_is_the_points_and_all_orders(run):
    folder = traded(run)
    signs = {"CREDIT": 1, "RETURN": 1, "SPEND": -1, "EXPIRE": -1, "HOLD": 0, "RELEASE": 0}
    held = {"HOLD": 1, "RELEASE": -1, "SPEND": -1}
    mine = {customer: set() for customer in CUSTOMERS}
    for line in lines_of(run, folder):
        if line["command"] == "order.place":
            mine[int(line["customer"])].add(line["order"])
    for customer in CUSTOMERS:
        lines = lines_of(run, folder, "--customer", customer)
        orders, _, points = played(lines)
        moves = [move for line in lines for move in line["changed"].get("ledger", ())]
        check_equal(set(orders), mine[customer], f"orders of customer {customer}")
        for order in run.random.sample(sorted(orders), 3):
            check_equal(orders[order],
                        without(ask(run, f"order.get order={order}", "--data", folder), "line",
                                "outcome", "seq"), f"order {order}")
        answer = ask(run, f"points.balance customer={customer}", "--data", folder)
        check_equal(sum(signs[move["kind"]] * move["points"] for move in moves),
                    answer["balance"], "the balance from the ledger")
        check_equal(sum(held.get(move["kind"], 0) * move["points"] for move in moves),
                    answer["held"], "held points from the ledger")
        check_equal(points, {"customer": str(customer),
                             **without(answer, "line", "outcome", "seq")}, "the points told last")


@test
@in_memory
def history_from_a_snapshot_on_goes_on_like_the_whole_one(run):
    folder = traded(run)
    taken = [int(path.stem.split("-")[1]) for path in snapshots(folder)]
    end = taken[-1]
    for subject in (("--order", 1101), ("--customer", 8), ("--sku", 1)):
        whole = lines_of(run, folder, *subject)
        for first in (2, taken[0], taken[0] + 1, taken[0] + 20, whole[-1]["seq"], end):
            last = run.random.randint(first, end)
            part = lines_of(run, folder, *subject, "--from", first, "--to", last,
                            **({} if any(line["seq"] <= last for line in whole) else
                               {"code": 1, "notice": "names it or has changed it"}))
            state = [line for line in part if "state" in line]
            check_equal([line for line in part if "state" not in line],
                        [line for line in whole if first <= line["seq"] <= last],
                        f"{subject} from {first} to {last}")
            before = [line for line in whole if line["seq"] < first]
            check_equal(played(state)[0], played(before)[0], f"the orders before seq {first}")
            check_equal(played(state)[1], played(before)[1], f"the stocks before seq {first}")
            check(all(line["seq"] == first - 1 for line in state), "the seq of how it was")
    # A snapshot alone shows how it was, and no more.
    whole = lines_of(run, folder, "--customer", 8)
    for path in [*segments(folder), *snapshots(folder)[:-1], folder / "log-note.till"]:
        path.unlink()
    told = lines_of(run, folder, "--customer", 8, notice=f"what was before seq {end}")
    check_equal([list(line) for line in told], [["seq", "time", "state"]], "a snapshot alone")
    check_equal(played(told)[0], played(whole)[0], "orders, by the snapshot alone")


def grow(run, server, first):
    """Three segments of log, the last of which a snapshot does not make unnecessary."""
    for number in range(3):
        start = first + number * ORDERS_PER_SEGMENT
        check_equal(place_one_by_one(server, start, ORDERS_PER_SEGMENT), {"OK"}, "orders")
        snapshot(run, server)
    check_equal(place_one_by_one(server, first + 50_000, ORDERS_PER_SEGMENT), {"OK"}, "orders")
    snapshot(run, server)


def grown(run, *options):
    """A folder whose log begins later than its archive, which has the rest."""
    archive = run.folder()
    server = run.serve(options=("--log-segment", "4", "--archive", str(archive), *options))
    set_up(server)
    grow(run, server, 1)
    wait_until(lambda: any(int(path.stem.split("-")[2]) > 2 * ORDERS_PER_SEGMENT
                           for path in archive.glob("log-*.till")), "archived segments")
    server.stop_clean()
    return server.folder, archive


@test
@in_memory
def archive_and_folder_are_one_log(run):
    folder, archive = grown(run)
    first = segments(folder)[0]
    check(first.name != "wal-0000000001.log", f"{first} is still there")
    whole = lines_of(run, folder, "--archive", archive)
    last = whole[-1]["seq"]
    check_equal([line["seq"] for line in whole], list(range(1, last + 1)), "every seq, once")
    for _ in range(5):
        bounds = sorted(run.random.randint(1, last) for _ in range(2))
        part = lines_of(run, folder, "--archive", archive, "--from", bounds[0], "--to", bounds[1])
        check_equal(part, whole[bounds[0] - 1:bounds[1]], f"from {bounds[0]} to {bounds[1]}")
    # One order of each end, one customer, and the stock that all of them took.
    placed = [line for line in whole if line["command"] == "order.place"]
    for line in (placed[0], placed[-1]):
        told = lines_of(run, folder, "--archive", archive, "--order", line["order"])
        check_equal([without(change, "changed") for change in told], [line], "an order's history")
        check_equal(told[0]["changed"]["orders"][0]["version"], 1, "its version")
    mine = [line["seq"] for line in placed if line["customer"] == placed[0]["customer"]]
    told = lines_of(run, folder, "--archive", archive, "--customer", placed[0]["customer"])
    check_equal([line["seq"] for line in told], mine, "a customer's history")
    told = lines_of(run, folder, "--archive", archive, "--sku", 1)
    check_equal([line["seq"] for line in told], list(range(1, last + 1)), "a SKU's history")
    # With the folder alone, the oldest snapshot is the beginning.
    oldest = int(snapshots(folder)[0].stem.split("-")[1])
    told = lines_of(run, folder, "--sku", 1, notice=f"what was before seq {oldest}")
    after = [line for line in told if line["seq"] > oldest]
    check_equal([line["seq"] for line in after], list(range(oldest + 1, last + 1)),
                "movements after the snapshot")
    check(all("changed" not in line for line in told if line["seq"] < oldest), "effects before it")
    check_equal([line["seq"] for line in told if "state" in line], [oldest], "how it was")


@test
@in_memory
def log_may_begin_before_its_archive(run):
    archive = run.folder()
    server = run.serve(options=("--log-segment", "4", "--no-snapshots", "--archive", str(archive),
                                "--archive-mib", "5"))
    set_up(server)
    place_one_by_one(server, 1, 3 * ORDERS_PER_SEGMENT)
    wait_until(lambda: any(int(path.stem.split("-")[1]) > 1 for path in archive.glob("log-*.till")),
               "an archive without its beginning")
    server.stop_clean()
    whole = lines_of(run, server.folder)
    check_equal(lines_of(run, server.folder, "--archive", archive), whole, "both together")
    order = whole[10]["order"]
    told = lines_of(run, server.folder, "--archive", archive, "--order", order)
    check_equal([line["seq"] for line in told], [11], "the history of an early order")


@test
@in_memory
def what_is_missing_is_said(run):
    folder, archive = grown(run)
    headless = grown(run, "--archive-mib", "5")[1]
    # An archive without its beginning has no state to begin with.
    files = sorted(headless.glob("log-*.till"))
    order = lines_of(run, headless)[-1]["order"]
    told = lines_of(run, headless, "--order", order, notice="and not what they did")
    check_equal([line["command"] for line in told], ["order.place"], "commands that name the order")
    check("changed" not in told[0], "effects without a state")
    # Neither does a file by itself; --text says the same for a person.
    result = run.till("log", files[-1], "--order", order, "--text")
    check_equal(result.returncode, 0, result.stderr)
    check("of a file by itself" in result.stderr, result.stderr)
    check_equal(result.stdout.split()[2:4], ["order.place", f"order={order}"], "as text")
    # Nothing that names it, in any of them.
    for place, extra in ((folder, ("--archive", archive)), (headless, ()), (files[-1], ())):
        result = run.till("log", place, *extra, "--order", 424242)
        check_equal((result.returncode, result.stdout), (1, ""), f"an unknown order in {place}")
        check("order 424242: no command from seq" in result.stderr, result.stderr)
    result = run.till("log", folder, "--archive", archive, "--sku", 1, "--from", 10**9)
    check_equal((result.returncode, result.stdout), (1, ""), "from beyond the end")
    check(f"no change from seq {10**9} on" in result.stderr, result.stderr)
    # Changes that are neither in the archive nor in the folder.
    server = run.serve(folder, ("--log-segment", "4"))
    grow(run, server, 200_001)
    grow(run, server, 300_001)
    server.stop_clean()
    result = run.till("log", folder, "--archive", archive)
    check_equal(result.returncode, 1, "the exit code with a hole")
    seqs = [json.loads(line)["seq"] for line in result.stdout.splitlines()]
    before, later = next(pair for pair in zip(seqs, seqs[1:]) if pair[1] > pair[0] + 1)
    check(f"seq {before + 1} to {later - 1} are neither in" in result.stderr,
          f"from {before} to {later}: {result.stderr}")
    result = run.till("log", folder, "--archive", archive, "--sku", 1)
    check_equal(result.returncode, 1, "the exit code with a hole")
    check(f"seq {before + 1} to {later - 1} are neither in" in result.stderr, result.stderr)


@test
def options_that_make_no_sense_are_refused(run):
    folder = run.folder()
    for arguments, expected in (
            (("--order", "x"), "--order x: expected a number above zero, a UUID"),
            (("--order", "0"), "not 0"),
            (("--sku", "-1"), "--sku -1: expected"),
            (("--order", "1", "--customer", "2"), "give one of them"),
            (("--from", "x"), "--from x: expected a number above zero"),
            (("--from", "9", "--to", "8"), "--from 9 is after --to 8")):
        result = run.till("log", folder, *arguments)
        check_equal((result.returncode, result.stdout), (2, ""), f"till log {arguments}")
        check(expected in result.stderr, result.stderr)
    result = run.till("log", folder, "--order", 1)
    check_equal(result.returncode, 1, "the exit code without a folder")
    check("there is no such folder" in result.stderr, result.stderr)


@test
@in_memory
def history_is_told_while_the_server_goes_on(run):
    server = run.serve()
    with server.client() as client:
        open_shop(client)
        for first in (1000, 2000):
            trade(run, client, first, 30)
            lines = lines_of(run, server.folder, "--sku", 1)
            check_equal([line["seq"] for line in lines], sorted({line["seq"] for line in lines}),
                        "seqs in their order")
            order = next(line["order"] for line in reversed(lines)
                         if line["command"] == "order.place")
            told = run.till("log", server.folder, "--order", order, "--text").stdout
            check(f"\n  order={order} customer=" in told and "state=PENDING" in told, told)
    run.finish(server)


harness.main()
