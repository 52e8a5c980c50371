#!/usr/bin/env python3
"""What snapshots cost while they are taken, and what they save at the start: Markdown on stdout.

    python3 bench/snapshots/snapshots.py [--millions N] [--seconds N] [--pairs N]

A server is given N million orders of half as many customers. Then runs alternate on this one
server: one without a snapshot, and one during which snapshots are taken back to back, each asked
for as soon as the one before is published; first in a closed loop, then in an open one at half of
the rate. Last, the start is timed with the log alone and with the snapshot, and what a server
without snapshots takes of memory. Progress goes to stderr.
"""

import argparse
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import peers  # noqa: E402
from servers import ROOT, Failed, Till, output_of, say  # noqa: E402

LOAD = (64, 64)
MILLION = 1000 * 1000
FILL_SECONDS = 2
STARTS = 3
ROOM = 1.5  # for more orders a second than were seen
NO_SNAPSHOTS = ("--no-snapshots",)
ON_DEMAND = ("--snapshot-every", "0", "--snapshot-log", "0")
SNAPSHOT_LINE = re.compile(r"snapshot of seq \d+, ([\d.]+) MiB of state in ([\d.]+) s")
REPLAY_LINE = re.compile(r"(\d+) commands in \d+ blocks replayed in ([\d.]+) s")

STALL_GOAL = 1.5
MEMORY_GOAL = 1.2
LOSS_GOAL = 0.9
LOAD_GOAL = 1.0  # GB of state a second
REPLAY_GOAL = 5.0  # million commands a second
START_GOAL = 10.0  # seconds


class Shop(Till):
    """A server that is started again and again, with the state that it had been saved in."""

    def __init__(self, parent, build, customers):
        super().__init__(parent, build)
        self.customers = customers
        self.run_options = ("--customers", customers)
        self.load_options = self.run_options
        self.start_seconds = 0.0

    def start(self):
        began = time.monotonic()
        super().start()
        self.start_seconds = time.monotonic() - began

    def kill(self):
        """Nothing is done at the end but what a crash leaves to the next start."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def save(self):
        self.kill()
        shutil.copytree(self.folder / "data", self.folder / "saved")

    def restart(self, orders, options, is_saved=False):
        self.kill()
        if is_saved:
            shutil.rmtree(self.folder / "data")
            shutil.copytree(self.folder / "saved", self.folder / "data")
        self.orders = orders
        self.arguments = options
        self.start()

    def said(self, line):
        """The numbers in the newest such line of the server's."""
        found = line.findall(self.log_text())
        if not found:
            raise Failed(f"the server did not say {line.pattern}")
        return [float(number) for number in found[-1]]

    def resident_bytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) << 10
        raise Failed("the server's memory cannot be read")

    def snapshot_bytes(self):
        return max(path.stat().st_size for path in (self.folder / "data").glob("snapshot-*.till"))


class BackToBack:
    """Snapshots, one after the other, until the end of the block; then the last one is awaited."""

    def __init__(self, shop):
        self.shop = shop
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.asked = self.published = 0

    def run(self):
        while not self.stopping.is_set():
            self.asked += 1
            done = subprocess.run(
                [str(ROOT / "till"), "snapshot", "--connect", self.shop.address],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self.published += done.returncode == 0

    def __enter__(self):
        self.thread.start()
        time.sleep(0.2)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        if self.published < self.asked:
            raise Failed("a snapshot was not published")


def fill(shop, count):
    """Places so many orders at least; returns how many a second."""
    rates, placed = [], 0
    while placed < count:
        result = shop.measure(*LOAD, FILL_SECONDS)
        rates.append(result["orders_per_second"])
        placed += result["orders_per_second"] * FILL_SECONDS
        say(f"  {placed:,.0f} orders")
    return statistics.median(rates)


def measure_pairs(shop, arguments, what):
    """Runs without and with snapshots, in pairs, the other way round every second time."""
    quiet, busy = [], []
    for pair in range(arguments.pairs):
        for runs in (quiet, busy) if pair % 2 == 0 else (busy, quiet):
            if runs is quiet:
                runs.append(shop.measure(*LOAD, arguments.seconds))
            else:
                with BackToBack(shop):
                    runs.append(shop.measure(*LOAD, arguments.seconds))
                    runs[-1]["resident_bytes"] = shop.resident_bytes()
        say(f"  {what}: {quiet[-1]['orders_per_second']:,.0f}/s and "
            f"{busy[-1]['orders_per_second']:,.0f}/s, p99.9 {quiet[-1]['p999_us']:,.0f} and "
            f"{busy[-1]['p999_us']:,.0f} us")
    return quiet, busy


def median(runs, name):
    return statistics.median(run[name] for run in runs)


def ratios(quiet, busy, name):
    return [with_them[name] / without[name] for without, with_them in zip(quiet, busy)]


def verdict(is_met):
    return "met" if is_met else "**not met**"


def print_pairs(quiet, busy, name, title, is_met=None):
    each = ratios(quiet, busy, name)
    ratio = statistics.median(each)
    met = "-" if is_met is None else verdict(is_met(ratio))
    print(f"| {title} | {median(quiet, name):,.0f} | {median(busy, name):,.0f} | {ratio:.2f} "
          f"({min(each):.2f} - {max(each):.2f}) | {met} |")


def print_row(title, goal, measured, is_met):
    print(f"| {title} | {goal} | {measured} | {verdict(is_met)} |")


def measure_load(shop, arguments, orders, rate):
    """The closed loop, and the open one at half of what it did, each from the saved state on."""
    runs = 2 * arguments.pairs * arguments.seconds * 1.25 * ROOM
    shop.restart(orders + round(runs * rate), ON_DEMAND, is_saved=True)
    say("closed loop")
    closed = measure_pairs(shop, arguments, "closed")
    rate = median(closed[0], "orders_per_second")
    shop.restart(orders + round(runs * rate / 2), ON_DEMAND, is_saved=True)
    shop.load_options = (*shop.run_options, "--rate", round(rate / 2))
    say("open loop at half of it")
    opened = measure_pairs(shop, arguments, "open")
    shop.load_options = shop.run_options
    return closed, opened


def measure_starts(shop, orders):
    """Starts from the log alone and from a snapshot: the quickest of some each."""
    found = {"log": [], "snapshot": []}
    for _ in range(STARTS):
        shop.restart(orders, NO_SNAPSHOTS, is_saved=True)
        found["log"].append((shop.start_seconds, *shop.said(REPLAY_LINE)))
    found["resident_bytes"] = shop.resident_bytes()
    shop.restart(orders, ON_DEMAND, is_saved=True)
    output_of(ROOT / "till", "snapshot", "--connect", shop.address)
    found["snapshot_bytes"] = shop.snapshot_bytes()
    found["taking_bytes"] = shop.resident_bytes()
    for _ in range(STARTS):
        shop.restart(orders, NO_SNAPSHOTS)
        found["snapshot"].append((shop.start_seconds, *shop.said(SNAPSHOT_LINE)))
    return found


def print_starts(found):
    log_seconds, commands, replay_seconds = min(found["log"], key=lambda start: start[2])
    seconds, mebibytes, load_seconds = min(found["snapshot"], key=lambda start: start[2])
    replay_rate = commands / replay_seconds / MILLION
    load_rate = mebibytes * 2**20 / load_seconds / 1e9
    memory = found["taking_bytes"] / found["resident_bytes"]
    print("\n| figure | goal | measured | met |\n|---|---|---|---|")
    print_row("memory while snapshots are taken, of that without", f"{MEMORY_GOAL} times",
              f"{memory:.2f} times; {found['resident_bytes'] / 2**20:,.0f} MiB to "
              f"{found['taking_bytes'] / 2**20:,.0f} MiB", memory <= MEMORY_GOAL)
    print_row("load of a snapshot, one core", f"{LOAD_GOAL:.0f} GB of state/s",
              f"{load_rate:.2f} GB/s: {mebibytes:,.0f} MiB of state, "
              f"{found['snapshot_bytes'] / 2**20:,.0f} MiB on disk, in {load_seconds:.2f} s, its "
              f"indexes made anew", load_rate >= LOAD_GOAL)
    print_row("replay of the log", f"{REPLAY_GOAL:.0f} million commands/s",
              f"{replay_rate:.2f} million/s: {commands:,.0f} in {replay_seconds:.2f} s",
              replay_rate >= REPLAY_GOAL)
    print_row("start from the snapshot until it listens", f"{START_GOAL:.0f} s",
              f"{seconds:.2f} s, of which the memory of the tables takes most; from the log alone "
              f"{log_seconds:.2f} s", seconds < START_GOAL)


def measure(arguments, folder):
    orders = arguments.millions * MILLION
    shop = Shop(folder, Path(arguments.build).resolve(), orders // 2)
    shop.orders = room = 2 * orders + 10 * MILLION  # warm-ups place some more
    shop.arguments = NO_SNAPSHOTS
    with shop:
        say("filling")
        rate = fill(shop, orders)
        shop.save()
        closed, opened = measure_load(shop, arguments, room, rate)
        say("starts")
        found = measure_starts(shop, room)
    half = median(closed[0], "orders_per_second") / 2
    print(f"\n{arguments.millions} million orders at first, of {orders // 2 / MILLION:g} million "
          f"customers; half is {half:,.0f}/s.\n")
    print("| | no snapshot | back to back | ratio, median of pairs (least - most) | met |")
    print("|---|--:|--:|--:|---|")
    print_pairs(*closed, "orders_per_second", f"orders/s, closed loop, goal {LOSS_GOAL}",
                lambda ratio: ratio >= LOSS_GOAL)
    print_pairs(*opened, "p50_us", "open loop at half of it, p50 us")
    print_pairs(*opened, "p99_us", "p99 us")
    print_pairs(*opened, "p999_us", f"p99.9 us, goal {STALL_GOAL}",
                lambda ratio: ratio <= STALL_GOAL)
    print_pairs(*opened, "max_us", f"longest us, goal {STALL_GOAL}",
                lambda ratio: ratio <= STALL_GOAL)
    print_starts(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, default=10, help="orders before anything is timed")
    parser.add_argument("--seconds", type=int, default=2, help="length of each run")
    parser.add_argument("--pairs", type=int, default=7, help="of runs, whose median counts")
    parser.add_argument("--folder", default=".", help="where the server's folder goes, on a disk")
    parser.add_argument("--build", default="build/release")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(peers.conditions(arguments.folder, arguments.seconds))
    with tempfile.TemporaryDirectory(prefix="till-snapshots-", dir=arguments.folder) as folder:
        try:
            measure(arguments, Path(folder).resolve())
        except Failed as failure:
            say(f"failed: {failure}")
            sys.exit(1)


if __name__ == "__main__":
    main()
