"""How till scales: one curve for each thing that grows, as Markdown tables on stdout and plots.

    python3 bench/scaling/scaling.py [--seconds N] [--only CURVE,...] [--plots DIR]

The server is on one core, its client on another; each point has a server of its own, unless it is
about one that goes on. A point that cannot be measured (too few files, too little memory) says so
in its row. Progress goes to stderr.
"""

import argparse
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[at] / name) for at, name in enumerate(("peers", "tests/python"))]
sys.path.append(str(HERE.parent))

import peers  # noqa: E402
import plots  # noqa: E402
from servers import Failed, Limit, Till, install_package, say, till_bench  # noqa: E402
from till_client import PROTOCOL, Client, encode_body, encode_frame  # noqa: E402

MILLION = 1000 * 1000
RATE_MAX = 7 * MILLION  # for which the tables of a server that goes on have room
FILES_BESIDE = 64  # that a process has open besides its connections
CONNECTIONS_MANY = 1024  # from which on it takes a while until all are in step
WARM_UP_MANY_S = 2
EXPIRE_SKU = 1
EXPIRE_PRICE = 100
EXPIRE_UNITS = 10**9
EXPIRE_FILL_RATE = 250 * 1000  # orders a second that are placed at least
CREDIT_RATE = 100 * 1000  # lots a second that are made at least
EXPIRE_LEAD_S = 2.6  # from the start of a bench, warm-up and all, to when all holds have ended
EXPIRE_SECONDS = 3
EXPIRE_BATCH = 1024
RECOVERY_ORDERS = [count * MILLION for count in (2, 4, 8, 16)]
RECOVERY_STARTS = 3
RECOVERY_PAUSE_S = 0.002  # between two looks whether the server listens
REPLAYED = re.compile(r"(\d+) commands in \d+ blocks replayed")
MEMORY_MILLIONS = [1, 2, 4, 8, 16, 32, 50]


class Scaling:
    def __init__(self, arguments, folder):
        self.seconds = arguments.seconds
        self.build = Path(arguments.build).resolve()
        self.plots = Path(arguments.plots)
        self.folder = folder

    def till(self, *options):
        where = ["--folder", self.folder, "--seconds", self.seconds]
        result = till_bench(*where, *options, seconds=self.seconds)
        if result["orders"] == 0:
            raise Failed("no order was answered in this time")
        return result

    def limit(self, connections, in_flight, *options):
        server = Limit(self.folder, self.build)
        server.load_options = options
        server.arguments = ("--connections", connections + FILES_BESIDE)
        with server:
            return server.measure(connections, in_flight, self.seconds)

    def plot(self, name, title, x, series, y="orders/s", log_x=True):
        figure = {"kind": "curves", "title": title, "x": x, "y": y, "log_x": log_x}
        figure["series"] = {key: points for key, points in series.items() if points}
        path = self.plots / f"scaling-{name}.svg"
        print(plots.draw(path, figure, say, install_package), flush=True)


def attempt(what, measure):
    """What measure() returns, or the reason why it could not as text."""
    say(f"  {what}")
    try:
        return measure()
    except (Failed, OSError, subprocess.TimeoutExpired) as failure:
        say(f"  {what}: {failure}")
        return f"not measured: {str(failure).splitlines()[-1][:100]}"


def print_head(title, *columns):
    print(f"### {title}\n\n| {' | '.join(columns)} |")
    print(f"|{'--:|' * len(columns)}")


def print_row(x, *cells):
    print(f"| {x:,} | {' | '.join(cells)} |", flush=True)


LOAD_COLUMNS = ("orders/s", "p50 us", "p99 us", "server ns an order", "server's core", "client's")


def load_cells(result):
    """The cells of LOAD_COLUMNS."""
    if isinstance(result, str):
        return [result, *[""] * (len(LOAD_COLUMNS) - 1)]
    return [
        f"{result['orders_per_second']:,.0f}",
        f"{result['p50_us']:,.0f}",
        f"{result['p99_us']:,.0f}",
        f"{result['server_cpu_ns_per_order']:,.0f}",
        f"{100 * result['server_cpu_share']:.0f} %",
        f"{100 * result['client_cpu_share']:.0f} %",
    ]


def add_point(points, x, result):
    if not isinstance(result, str):
        points.append((x, result["orders_per_second"]))


def files_suffice(connections):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if connections + FILES_BESIDE > most:
        raise Failed(f"a process may open {most:,} files")


def beside_limit(scaling, name, title, x_title, loads, x_of):
    """One curve of till and one of the limit, over (connections, in flight)."""
    print_head(title, x_title, *LOAD_COLUMNS, "limit, orders/s", "till is")
    series = {"till": [], "limit": []}
    for load in loads:
        connections, in_flight = load
        warm_up = ("--warm-up", WARM_UP_MANY_S) if connections >= CONNECTIONS_MANY else ()
        options = ("--connections", connections, "--in-flight", in_flight, *warm_up)

        def run_till(connections=connections, options=options):
            files_suffice(connections)
            return scaling.till(*options)

        def run_limit(connections=connections, in_flight=in_flight, warm_up=warm_up):
            files_suffice(connections)
            return scaling.limit(connections, in_flight, *warm_up)

        x = x_of(load)
        own = attempt(f"till, {connections} x {in_flight}", run_till)
        limit = attempt(f"limit, {connections} x {in_flight}", run_limit)
        add_point(series["till"], x, own)
        add_point(series["limit"], x, limit)
        beside = [limit, ""]
        if not isinstance(limit, str):
            beside = [f"{limit['orders_per_second']:,.0f}", ""]
            if not isinstance(own, str):
                ratio = own["orders_per_second"] / limit["orders_per_second"]
                beside[1] = f"{ratio:.2f} of it"
        print_row(x, *load_cells(own), *beside)
    print()
    scaling.plot(name, title, x_title, series)


def in_flight_curve(scaling):
    loads = [(64, depth) for depth in (1, 4, 16, 64, 256, 1024)]
    title = "Orders against requests in flight, 64 connections"
    beside_limit(scaling, "in-flight", title, "in flight on each", loads, lambda load: load[1])


def connections_curve(scaling):
    loads = [(count, 16) for count in (1, 4, 16, 64, 256, 1024, 4096, 10000)]
    title = "Orders against connections, 16 in flight on each"
    beside_limit(scaling, "connections", title, "connections", loads, lambda load: load[0])


def one_curve(scaling, name, title, x_title, values, options_of):
    """till alone at 64 x 64, over the values of one option."""
    print_head(title, x_title, *LOAD_COLUMNS)
    points = []
    for value in values:
        result = attempt(f"{name} {value:,}", lambda: scaling.till(*options_of(value)))
        add_point(points, value, result)
        print_row(value, *load_cells(result))
    print()
    return points


def skus_curve(scaling):
    title, values = "Orders against SKUs, by Zipf's law", (1, 10, 100, 1000, 10000, 131072)
    options_of = lambda count: ("--workload", "zipf", "--skus", count)  # noqa: E731
    points = one_curve(scaling, "skus", title, "SKUs", values, options_of)
    scaling.plot("skus", title, "SKUs", {"till": points})


def customers_curve(scaling):
    title = "Orders against customers that buyers are drawn from"
    values = [count * MILLION for count in (1, 2, 5, 10, 20, 50)]
    options_of = lambda count: ("--customers", count)  # noqa: E731
    points = one_curve(scaling, "customers", title, "customers", values, options_of)
    scaling.plot("customers", title, "customers", {"till": points})


def lines_curve(scaling):
    """Carts have 1 to N lines, all numbers as often, so N + 1 half on average."""
    title, x_title = "Orders against lines, carts of 1 to N lines", "lines an order, on average"
    print_head(title, "N", x_title, *LOAD_COLUMNS, "lines/s")
    series = {"orders/s": [], "lines/s": []}
    for most in (1, 2, 4, 8, 16, 32):
        mean = (most + 1) / 2
        options = ("--workload", "cart", "--lines", most)
        result = attempt(f"lines {most}", lambda: scaling.till(*options))
        add_point(series["orders/s"], mean, result)
        lines = ""
        if not isinstance(result, str):
            series["lines/s"].append((mean, result["orders_per_second"] * mean))
            lines = f"{result['orders_per_second'] * mean:,.0f}"
        print_row(most, f"{mean:.1f}", *load_cells(result), lines)
    print()
    scaling.plot("lines", title, x_title, series, y="per second")


def place_holds(server, count, ends_at):
    """Places count orders, all of whose holds end within the second before ends_at."""
    number = PROTOCOL.messages["order.place"].number
    with Client(("127.0.0.1", server.port)) as client:
        line = {"sku": EXPIRE_SKU, "quantity": 1, "price": EXPIRE_PRICE}
        batch = min(EXPIRE_BATCH, client.in_flight_max)
        for first in range(0, count, batch):
            hold = int(ends_at - time.time())
            if hold < 1:
                raise Failed(f"only {first:,} orders could be placed before the holds were to end")
            body = encode_body("order.place", [line], order=1, customer=7, hold=hold)
            frame = encode_frame(number, 1, body)
            head, tail = frame[:16], frame[32:]  # around the order's id
            numbers = range(first + 1, min(first + batch, count) + 1)
            ids = (order.to_bytes(16, "little") for order in numbers)
            client.send(b"".join(head + order + tail for order in ids))
            check_placed(client, len(numbers))


def credit_lots(server, count, expires_at):
    """Gives count customers a lot each, all of which expire within the second before expires_at."""
    number = PROTOCOL.messages["points.credit"].number
    with Client(("127.0.0.1", server.port)) as client:
        batch = min(EXPIRE_BATCH, client.in_flight_max)
        expires = int(expires_at * 10**6)
        body = encode_body("points.credit", [], key=1, customer=1, points=100, expires=expires)
        frame = encode_frame(number, 1, body)
        head, tail = frame[:16], frame[48:]  # around the key and the customer
        for first in range(0, count, batch):
            numbers = range(first + 1, min(first + batch, count) + 1)
            ids = (one.to_bytes(16, "little") for one in numbers)
            client.send(b"".join(head + one + one + tail for one in ids))
            check_placed(client, len(numbers))
            if time.time() > expires_at - 1:
                raise Failed(f"only {first:,} lots could be made before they were to expire")


def check_placed(client, count):
    """Every reply is OK, and all are of one size."""
    data = client.received
    while len(data) < 4 or len(data) < count * int.from_bytes(data[:4], "little"):
        if client.ended:
            raise Failed(f"the server ended the connection: {client.ended}")
        client.read()
    size = int.from_bytes(data[:4], "little")
    if any(data[6::size]) or any(data[7::size]) or len(data) != count * size:
        raise Failed("one was not accepted")
    data.clear()


def set_up_expiry(server):
    with Client(("127.0.0.1", server.port)) as client:
        replies = [
            client.call("sku.put", key=1, sku=EXPIRE_SKU, price=EXPIRE_PRICE, currency=840),
            client.call("stock.adjust", key=2, sku=EXPIRE_SKU, delta=EXPIRE_UNITS, warehouse=1),
        ]
    if any(reply.outcome != "OK" for reply in replies):
        raise Failed(f"setting up the shop: {replies}")


def held_units(server):
    with Client(("127.0.0.1", server.port)) as client:
        reply = client.call("stock.get", rows=[{"sku": EXPIRE_SKU, "warehouse": 1}])
    return EXPIRE_UNITS - reply.rows[0]["available"]


def measure_expiry(scaling, count):
    """A load during which `count` holds of other orders end within one second."""
    server = Till(scaling.folder, scaling.build)
    server.orders = count + (EXPIRE_SECONDS + 2) * RATE_MAX
    server.load_options = ("--warm-up", 1)
    with server:
        set_up_expiry(server)
        ends_at = time.time() + EXPIRE_LEAD_S + 1 + count / EXPIRE_FILL_RATE
        place_holds(server, count, ends_at)
        if held_units(server) != count:
            raise Failed(f"{held_units(server):,} of {count:,} units are held")
        time.sleep(max(0, ends_at - EXPIRE_LEAD_S - time.time()))
        result = server.measure(64, 64, EXPIRE_SECONDS)
        if held_units(server) != 0:
            raise Failed(f"{held_units(server):,} of {count:,} units are still held")
        return result


def measure_lots(scaling, count):
    """A load during which `count` lots of points, each of another customer, expire within one
    second."""
    server = Till(scaling.folder, scaling.build)
    server.orders = count + (EXPIRE_SECONDS + 2) * RATE_MAX
    room = count + EXPIRE_BATCH  # a part of the keys is kept for operators
    server.arguments = (*server.arguments, "--lots", room, "--keys", 2 * room)
    server.arguments += ("--ledger", 2 * room)
    server.load_options = ("--warm-up", 1)
    with server:
        expires_at = time.time() + EXPIRE_LEAD_S + 1 + count / CREDIT_RATE
        credit_lots(server, count, expires_at)
        time.sleep(max(0, expires_at - EXPIRE_LEAD_S - time.time()))
        result = server.measure(64, 64, EXPIRE_SECONDS)
        used = {row["name"]: row["used"] for row in tables_of(server)}
        if used["ledger"] != 2 * count:
            raise Failed(f"{2 * count - used['ledger']:,} of {count:,} lots did not expire")
        return result


def tables_of(server):
    with Client(("127.0.0.1", server.port)) as client:
        return client.call("tables").rows


def expiries_curve(scaling):
    expiry_curve(scaling, "expiries", "holds end", measure_expiry)


def lots_curve(scaling):
    expiry_curve(scaling, "lots", "lots expire", measure_lots)


def expiry_curve(scaling, name, what, measure):
    title = f"Orders in {EXPIRE_SECONDS} seconds, in one of which N {what}"
    print_head(title, "N", "orders/s", "p50 us", "p99 us", "p99.9 us", "max us")
    points = []
    for count in (0, 10 * 1000, 100 * 1000, MILLION, 2 * MILLION):
        result = attempt(f"{name} {count:,}", lambda: measure(scaling, count))
        add_point(points, count / MILLION, result)
        cells = [result, "", "", "", ""]
        if not isinstance(result, str):
            names = ("orders_per_second", "p50_us", "p99_us", "p999_us", "max_us")
            cells = [f"{result[name]:,.0f}" for name in names]
        print_row(count, *cells)
    print()
    x_title = f"million {what} in one second"
    scaling.plot(name, title, x_title, {"till": points}, log_x=False)


def memory_curve(scaling):
    """From the tables as a server makes them; the memory is not taken, so 50 million fit."""
    title = "Memory of the tables against what there is room for"
    print_head(title, "millions", "bytes an order", "of it the order", "bytes a customer")
    series = {"order, until it has ended": [], "customer": []}
    for millions in MEMORY_MILLIONS:
        server = Till(scaling.folder, scaling.build)
        server.orders = server.customers = count = millions * MILLION
        server.arguments = ("--lazy-memory",)
        with server:
            tables = server.tables()
        order = sum(tables[name] for name in ("orders", "deadlines")) / count
        customer = tables["customers"] / count
        series["order, until it has ended"].append((millions, order))
        series["customer"].append((millions, customer))
        print_row(millions, f"{order:.1f}", f"{tables['orders'] / count:.1f}", f"{customer:.1f}")
    print()
    scaling.plot("memory", title, "room for so many millions", series, y="bytes each")


def seconds_to_start(server):
    """From the start of the process until it listens: the least of a few, and it goes on."""
    times = []
    for _ in range(RECOVERY_STARTS):
        server.stop()
        began = time.monotonic()
        server.start()
        times.append(time.monotonic() - began)
    return min(times)


def recovery_curve(scaling):
    """One folder that grows: filled, stopped, started. A start on an empty folder takes the memory
    of the same tables and replays nothing: it is subtracted. The very first start is not counted,
    since memory that a virtual machine has never used is slower to come by."""
    title = "Recovery against commands in the log"
    print_head(title, "commands", "start s", "of it replay s", "commands/s")
    points = []
    server = Till(scaling.folder, scaling.build)
    server.orders = RECOVERY_ORDERS[-1] + len(RECOVERY_ORDERS) * RATE_MAX // 4
    server.await_pause_s = RECOVERY_PAUSE_S
    with server:
        empty, placed = seconds_to_start(server), 0
        for orders in RECOVERY_ORDERS:
            say(f"  recovery {orders:,}")
            server.load_options = ("--count", orders - placed)
            server.measure(64, 64, 1)  # the count; the warm-up is a quarter of this second
            taken = seconds_to_start(server)
            placed = int(REPLAYED.findall(server.log_text())[-1])
            points.append((placed / MILLION, placed / max(taken - empty, 1e-3)))
            print_row(placed, f"{taken:.2f}", f"{taken - empty:.2f}", f"{points[-1][1]:,.0f}")
    print()
    x_title = "million commands in the log"
    scaling.plot("recovery", title, x_title, {"till": points}, y="commands/s", log_x=False)


CURVES = {
    "in-flight": in_flight_curve,
    "connections": connections_curve,
    "skus": skus_curve,
    "customers": customers_curve,
    "lines": lines_curve,
    "expiries": expiries_curve,
    "lots": lots_curve,
    "memory": memory_curve,
    "recovery": recovery_curve,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=2, help="length of each point")
    parser.add_argument("--only", default="", help=f"of {','.join(CURVES)}")
    parser.add_argument("--folder", default=".", help="where the servers' folders go, on a disk")
    parser.add_argument("--build", default="build/release", help="where the limit program is")
    parser.add_argument("--plots", default="build/plots", help="the folder for the plots")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended on the way
    names = arguments.only.split(",") if arguments.only else list(CURVES)
    if not set(names) <= set(CURVES):
        parser.error(f"--only takes some of {','.join(CURVES)}")
    print(f"{peers.conditions(arguments.folder, arguments.seconds)}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="till-scaling-", dir=arguments.folder) as folder:
        scaling = Scaling(arguments, Path(folder).resolve())
        for name in names:
            say(name)
            CURVES[name](scaling)


if __name__ == "__main__":
    main()
