"""What till has to show, and what it shows, in one run: a Markdown table on stdout.

    python3 bench/goals/goals.py [--seconds N] [--pairs N] [--only ROW,...] [--peers] [--json FILE]

The server is on one core, its client on another, each run has a server of its own. Where the goal
is a ratio, till and the limit program alternate and the median of the pairs counts, so that what
else the machine does hits both; other goals are held against the median of as many runs. The limit
writes as many log bytes an order as till was seen to write. Progress goes to stderr. Exits with 1
when a row could not be measured; a goal that is not met is a result.
"""

import argparse
import json
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import peers  # noqa: E402
from servers import (  # noqa: E402
    Failed, Limit, LimitEcho, Till, cores, say, till_bench
)

HOT, GATEWAYS, SINGLE, LONELY = (64, 64), (16, 1024), (64, 1), (1, 1)
TEN_SINGLES_DAYS = 5.83e6
BLOCK = struct.Struct("<8s56xII")  # wal/block.h: magic, command_count, block_size
BLOCK_MAGIC = b"tillblk1"
COUNTERS = ("instructions", "cache_misses")  # bench/counters.h
MEMORY_ORDERS = 16 * 1000 * 1000
FULL_ORDERS = 300 * 1000
PEERS = {  # how many times its orders per second till has to do, by load
    peers.Tarantool: {HOT: 20, SINGLE: 2},
    peers.Redis: {HOT: 60, SINGLE: 2},
    peers.Postgres: {HOT: 900},
}


class Row(NamedTuple):
    figure: str
    goal: str
    measured: str
    met: object = None  # None: nothing is asked for under these conditions


class CpuWatch:
    """What share of a core a server takes while a load runs steadily: from its own processor time,
    between two fifths and nine tenths of the run."""

    def __init__(self, server):
        self.server = server
        self.samples = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.done.wait(0.02):
            self.samples.append((time.monotonic_ns(), self.server.cpu_ns()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def share(self):
        count = len(self.samples)
        (began, cpu_began), (ended, cpu_ended) = (
            self.samples[count * 2 // 5],
            self.samples[count * 9 // 10],
        )
        return (cpu_ended - cpu_began) / max(ended - began, 1)


def log_size(folder):
    """(bytes, commands) of all blocks in a data folder by their headers, which count as well, as
    does padding."""
    size = commands = 0
    for path in sorted(Path(folder).glob("wal-*.log")):
        data = path.read_bytes()
        offset = 0
        while offset + BLOCK.size <= len(data):
            magic, count, block_size = BLOCK.unpack_from(data, offset)
            if magic != BLOCK_MAGIC:
                break
            size += block_size
            commands += count
            offset += block_size
    return size, commands


class Measurements:
    """Runs that rows share are made once."""

    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.folder = folder
        self.build = Path(arguments.build).resolve()
        self.made = {}

    def once(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def till(self, load, *options):
        """One run of `till bench` with a server of its own."""
        seconds = self.arguments.seconds
        where = ["--connections", load[0], "--in-flight", load[1], "--folder", self.folder]
        result = till_bench(*where, "--seconds", seconds, *options, seconds=seconds)
        say(f"  till {load[0]} x {load[1]}: {result['requests_per_second']:,.0f}/s")
        return result

    def limit(self, kind, load, *options):
        """The same client against the limit, whose processor time is looked at from outside."""
        server = kind(self.folder, self.build)
        server.load_options = options
        if kind is Limit:
            server.arguments = ("--log-bytes", round(self.log_bytes()))
        with server, CpuWatch(server) as watch:
            result = server.measure(*load, self.arguments.seconds)
        share = watch.share()
        result["server_cpu_ns_per_order"] = share * 1e9 / result["orders_per_second"]
        say(f"  {kind.name} {load[0]} x {load[1]}: {result['requests_per_second']:,.0f}/s")
        return result

    def runs(self, load, *options):
        """As many runs of till alone as there are pairs; those of pairs count."""
        key = ("pairs", Limit.name, load, options)
        if key in self.made:
            return [till for till, _ in self.made[key]]
        count = self.arguments.pairs
        return self.once(
            ("runs", load, options), lambda: [self.till(load, *options) for _ in range(count)]
        )

    def pairs(self, kind, load, workload="hot", *options):
        """(till, limit) in turn, the other way round in every second pair."""

        def make():
            made = []
            for pair in range(self.arguments.pairs):
                runs = [
                    lambda: self.till(load, "--workload", workload, *options),
                    lambda: self.limit(kind, load, *options),
                ]
                done = [run() for run in (runs if pair % 2 == 0 else runs[::-1])]
                made.append(done if pair % 2 == 0 else done[::-1])
            return made

        key = ("pairs", kind.name, load, options if workload == "hot" else (workload, *options))
        return self.once(key, make)

    def log_bytes(self):
        def make():
            with Till(self.folder, self.build) as server:
                server.measure(*HOT, 1)
                server.stop()
                size, commands = log_size(server.folder / "data")
                return size / commands

        return self.once("log bytes", make)


def median(runs, name):
    return statistics.median(run[name] for run in runs)


def spread(values, form="{:.2f}"):
    """The median, and what it lies between."""
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))} - {form.format(max(values))})"


def ratio_row(pairs, figure, goal, least, name="orders_per_second"):
    ratios = [till[name] / limit[name] for till, limit in pairs]
    rates = [f"{median(runs, name):,.0f}" for runs in zip(*pairs)]
    full = sum(run["client_core_full"] for pair in pairs for run in pair)
    note = f"; the client's core was full in {full} of {2 * len(pairs)} runs" if full else ""
    text = f"{spread(ratios)}; {rates[0]}/s to {rates[1]}/s{note}"
    return Row(figure, goal, text, statistics.median(ratios) >= least)


def rate_row(runs, figure, least, goal, name="orders_per_second"):
    full = sum(run["client_core_full"] for run in runs)
    note = f"; the client's core was full in {full} of {len(runs)} runs" if full else ""
    text = spread([run[name] for run in runs], "{:,.0f}") + "/s" + note
    return Row(figure, goal, text, median(runs, name) >= least)


def hot_rows(measurements):
    pairs = measurements.pairs(Limit, HOT)
    yield ratio_row(pairs, "hot, 64 x 64, durable", "0.80 of the limit", 0.80)
    limit_rate = median([limit for _, limit in pairs], "orders_per_second")
    figure, goal = "the same", "3.5 million orders/s where the limit is above 5 million"
    row = rate_row([till for till, _ in pairs], figure, 3.5e6, goal)
    if limit_rate <= 5e6:
        row = row._replace(measured=f"{row.measured}; the limit is {limit_rate:,.0f}/s", met=None)
    yield row


def gateways_rows(measurements):
    runs = [till for till, _ in measurements.pairs(Limit, GATEWAYS)]
    goal = "5.83 million orders/s, ten times Singles' Day"
    yield rate_row(runs, "hot, 16 x 1,024, durable", TEN_SINGLES_DAYS, goal)


def single_rows(measurements):
    pairs = measurements.pairs(Limit, SINGLE)
    figure = "one in flight on 64 connections, durable"
    yield ratio_row(pairs, figure, "0.95 of the limit", 0.95)


def stampede_rows(measurements):
    pairs = measurements.pairs(LimitEcho, HOT, "stampede")
    figure, name = "stampede (99 % rejected), 64 x 64", "requests_per_second"
    yield ratio_row(pairs, figure, "0.6 of the limit's plain echo", 0.6, name)
    runs = measurements.runs(GATEWAYS, "--workload", "stampede")
    figure, goal = "stampede, 16 x 1,024", "14 million decisions/s"
    yield rate_row(runs, figure, 14e6, goal, name)


def cpu_rows(measurements):
    for load, most in ((HOT, 250), (GATEWAYS, 170)):
        pairs = measurements.pairs(Limit, load)
        name = "server_cpu_ns_per_order"
        used, limit = ([run[name] for run in runs] for runs in zip(*pairs))
        text = f"{spread(used, '{:.0f}')} ns; the limit {statistics.median(limit):.0f} ns"
        figure = f"server CPU per order, hot, {load[0]} x {load[1]:,}"
        goal = f"{most} ns, system calls included"
        yield Row(figure, goal, text, statistics.median(used) <= most)


def counted_text(runs, prefix):
    """What the hardware counted for an order in these runs; empty when it counted nothing."""
    texts = []
    for name in COUNTERS:
        values = [run[f"{prefix}_{name}_per_order"] for run in runs]
        if None not in values:
            texts.append(f"{spread(values, '{:,.1f}')} {name.replace('_', ' ')}")
    if texts and not all(run[f"{prefix}_counters_have_kernel"] for run in runs):
        texts.append("without the kernel's")
    return ", ".join(texts)


def counters_rows(measurements):
    figure, goal = "what the hardware counts for an order", "-"
    texts = {}
    for load in (HOT, GATEWAYS):
        runs = [till for till, _ in measurements.pairs(Limit, load)]
        texts[f"the server, hot, {load[0]} x {load[1]:,}"] = counted_text(runs, "server")
    texts["the engine alone"] = counted_text(engine_runs(measurements), "decide")
    if not any(texts.values()):
        yield Row(figure, goal, "no hardware counters on this machine")
    for name, text in texts.items():
        if text:
            yield Row(f"{figure}: {name}", goal, text)


def open_loop_rows(measurements):
    rate = round(median(measurements.runs(HOT), "orders_per_second") / 2)
    pairs = measurements.pairs(Limit, HOT, "hot", "--rate", rate)
    for name, title in (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9")):
        ratios = [till[name] / limit[name] for till, limit in pairs]
        times = [median(runs, name) for runs in zip(*pairs)]
        text = f"{spread(ratios)}; {times[0]:,.0f} us to {times[1]:,.0f} us"
        figure = f"open loop at half of maximum ({rate:,}/s), 64 x 64: {title}"
        yield Row(figure, "1.3 times the limit's", text, statistics.median(ratios) <= 1.3)


def lonely_rows(measurements):
    runs, echoes = zip(*measurements.pairs(LimitEcho, LONELY))
    over = [run["p50_us"] - run["flush_us"] for run in runs]
    p50, flush = median(runs, "p50_us"), median(runs, "flush_us")
    echo = spread([run["p50_us"] for run in echoes], "{:.0f}")
    text = (f"flush + {spread(over, '{:.0f}')} us: p50 {p50:.0f}, flush {flush:.0f}; "
            f"the limit's plain echo, without a disk, {echo}")
    goal, met = "flush + 25 us", statistics.median(over) <= 25
    yield Row("a lonely client, one order at a time: p50", goal, text, met)


def tables(measurements, orders):
    """Bytes of each table of a server with room for so many orders."""
    server = Till(measurements.folder, measurements.build)
    server.orders = orders
    server.arguments = ("--lazy-memory",)
    with server:
        return server.tables()


def tables_suffice(measurements):
    """A server whose tables have room for as many orders each takes so many: the first table that
    is full is that of the orders."""
    server = Till(measurements.folder, measurements.build)
    server.orders = FULL_ORDERS
    with server:
        try:
            server.measure(*HOT, 5)
        except Failed as failure:
            if "CAPACITY of orders" in str(failure):
                return
            raise
    raise Failed("the tables for the orders did not become full")


def memory_rows(measurements):
    """What all tables grow by for each order more that there is room for: everything that a
    single-line order takes until it has ended. What they take whatever the number of orders is
    told beside it."""
    tables_suffice(measurements)
    once, twice = (tables(measurements, factor * MEMORY_ORDERS) for factor in (1, 2))
    grown = {name: (twice[name] - once[name]) / MEMORY_ORDERS for name in once}
    parts = {name: size for name, size in grown.items() if size >= 0.1}
    fixed = sum(once[name] - parts[name] * MEMORY_ORDERS for name in parts)
    text = ", ".join(f"{name} {size:.1f}" for name, size in parts.items())
    text += f"; besides, {fixed / 2**20:.0f} MiB of them whatever the number"
    whole = sum(parts.values())
    figure = "memory per single-line order, all tables included"
    yield Row(figure, "160 bytes", f"{whole:.1f} bytes: {text}", whole <= 160)


def log_rows(measurements):
    size = measurements.log_bytes()
    text = f"{size:.1f} bytes, headers and padding of blocks included"
    yield Row("log bytes per single-line order on disk, 64 x 64", "48 bytes", text, size <= 48)


def engine_runs(measurements):
    def make():
        made = []
        for _ in range(measurements.arguments.pairs):
            seconds = measurements.arguments.seconds
            options = ("--engine-only", "--seconds", seconds)
            made.append(till_bench(*options, core=cores()[0], seconds=seconds))
            say(f"  engine: {made[-1]['orders_per_second']:,.0f}/s")
        return made

    return measurements.once("engine", make)


def engine_rows(measurements):
    runs = [dict(run, client_core_full=False) for run in engine_runs(measurements)]
    figure, goal = "engine alone, in process, no log", "15 million orders/s"
    yield rate_row(runs, figure, 15e6, goal)


def peer_rows(measurements):
    """Each durable peer once, on the loads that have a goal, against till's median."""
    for kind, goals in PEERS.items():
        server = kind(measurements.folder, measurements.build)
        there = peers.install(server)
        if there is not True:
            raise Failed(f"{kind.name}: {there}")
        with server:
            for load, factor in goals.items():
                rate = server.measure(*load, measurements.arguments.seconds)["orders_per_second"]
                say(f"  {kind.name} {load[0]} x {load[1]}: {rate:,.0f}/s")
                own = median(measurements.runs(load), "orders_per_second")
                text = f"{own / rate:,.1f} times; {own:,.0f}/s to {rate:,.0f}/s"
                figure = f"hot, {load[0]} x {load[1]}, against {kind.name} {server.version()}"
                yield Row(figure, f"{factor} times", text, own / rate >= factor)


ROWS = {
    "log": log_rows,
    "memory": memory_rows,
    "hot": hot_rows,
    "gateways": gateways_rows,
    "single": single_rows,
    "stampede": stampede_rows,
    "cpu": cpu_rows,
    "open-loop": open_loop_rows,
    "lonely": lonely_rows,
    "engine": engine_rows,
    "counters": counters_rows,
    "peers": peer_rows,
}


def measure(measurements, names):
    """All rows, and whether each could be measured."""
    rows, whole = [], True
    for name in names:
        say(name)
        try:
            rows += ROWS[name](measurements)
        except (Failed, OSError, subprocess.TimeoutExpired) as failure:
            whole = False
            say(f"{name}: {failure}")
            rows.append(Row(name, "", f"failed: {str(failure).splitlines()[-1][:120]}"))
    return rows, whole


def print_rows(rows):
    verdicts = {True: "met", False: "**not met**", None: "-"}
    print("| figure | goal | measured | met |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.figure} | {row.goal} | {row.measured} | {verdicts[row.met]} |")


def write_json(path, conditions, rows, measurements):
    runs = {" ".join(map(str, key)) if isinstance(key, tuple) else key: made
            for key, made in measurements.made.items()}
    whole = {"conditions": conditions, "rows": [row._asdict() for row in rows], "runs": runs}
    Path(path).write_text(json.dumps(whole, indent=1, default=str) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3, help="length of each run")
    parser.add_argument("--pairs", type=int, default=5, help="of runs, whose median counts")
    parser.add_argument("--only", default="", help=f"of {','.join(ROWS)}")
    parser.add_argument("--peers", action="store_true", help="the peers' factors as well")
    parser.add_argument("--folder", default=".", help="where the servers' folders go, on a disk")
    parser.add_argument("--build", default="build/release", help="where limit and peer-client are")
    parser.add_argument("--json", metavar="FILE", help="every run as well")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended on the way
    names = [name for name in ROWS if name != "peers" or arguments.peers]
    if arguments.only:
        names = arguments.only.split(",")
        if not set(names) <= set(ROWS):
            parser.error(f"--only takes some of {','.join(ROWS)}")
    conditions = peers.conditions(arguments.folder, arguments.seconds)
    if arguments.pairs > 1:
        conditions += f" Medians of {arguments.pairs} runs (least - most)."
    with tempfile.TemporaryDirectory(prefix="till-goals-", dir=arguments.folder) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL has a user of its own
        measurements = Measurements(arguments, Path(folder).resolve())
        rows, whole = measure(measurements, names)
    print(f"{conditions}\n")
    print_rows(rows)
    if arguments.json:
        write_json(arguments.json, conditions, rows, measurements)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
