"""What snapshots cost while they are taken, and what they save at the start: Markdown on stdout.

    python3 bench/snapshots/snapshots.py [--millions N] [--seconds N] [--pairs N]

A server is given N million orders of half as many customers. Then open-loop runs at half of what it
did alternate between two servers that begin with the same state: one that takes no snapshots, and
one that takes them back to back. The start is timed with the snapshot, and with the log alone.
Progress goes to stderr.
"""

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import peers  # noqa: E402
from servers import ROOT, Failed, Till, output_of, say  # noqa: E402

LOAD = (64, 64)
MILLION = 1000 * 1000
BACK_TO_BACK = ("--snapshot-log", "1m")  # the next is due before the last is published
FILL_SECONDS = 2


class Shop(Till):
    """A server that others can be started after, with the state that it had been saved in."""

    def __init__(self, parent, build, orders, customers):
        super().__init__(parent, build)
        self.orders = orders
        self.customers = customers
        self.options = ()
        self.start_seconds = 0.0

    def start(self):
        self.arguments = self.options
        began = time.monotonic()
        super().start()
        self.start_seconds = time.monotonic() - began

    def kill(self):
        """Nothing is done at the end but what a crash leaves to the next start."""
        self.process.kill()
        self.process.wait()

    def save(self, name):
        self.kill()
        shutil.copytree(self.folder / "data", self.folder / f"saved-{name}")

    def restart(self, name, *options):
        """With the state that was saved under this name; returns the seconds until it listens."""
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder / "data")
        shutil.copytree(self.folder / f"saved-{name}", self.folder / "data")
        self.options = options
        self.start()
        return self.start_seconds

    def take_snapshot(self):
        output_of(ROOT / "till", "snapshot", "--connect", self.address)

    def resident_bytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) << 10
        raise Failed("the server's memory cannot be read")


def fill(shop, count):
    """Places so many orders at least; returns how many a second."""
    rates, placed = [], 0
    while placed < count:
        result = shop.measure(*LOAD, FILL_SECONDS)
        rates.append(result["orders_per_second"])
        placed += result["orders_per_second"] * FILL_SECONDS
        say(f"  {placed:,.0f} orders")
    return statistics.median(rates)


def open_loop(shop, rate, seconds):
    shop.load_options = ("--rate", round(rate))
    try:
        result = shop.measure(*LOAD, seconds)
    finally:
        shop.load_options = ()
    result["resident_bytes"] = shop.resident_bytes()
    return result


def median(runs, name):
    return statistics.median(run[name] for run in runs)


def print_stalls(plain, busy):
    print("| open loop at half of maximum | no snapshots | back to back | ratio |")
    print("|---|--:|--:|--:|")
    for name, title in (("p50_us", "p50 us"), ("p99_us", "p99 us"), ("p999_us", "p99.9 us"),
                        ("max_us", "longest us"),
                        ("resident_bytes", "memory MiB")):
        scale = 2**20 if name == "resident_bytes" else 1
        without, with_them = median(plain, name) / scale, median(busy, name) / scale
        print(f"| {title} | {without:,.0f} | {with_them:,.0f} | {with_them / without:.2f} |")


def measure(arguments, folder):
    orders = arguments.millions * MILLION
    shop = Shop(folder, Path(arguments.build).resolve(), 4 * orders, orders)
    with shop:
        say("filling")
        fill(shop, orders)
        shop.save("log")
        log_only = min(shop.restart("log", "--no-snapshots") for _ in range(2))
        shop.restart("log", "--snapshot-every", "1000000")
        shop.take_snapshot()
        shop.save("snapshot")
        size = sum(path.stat().st_size
                   for path in (shop.folder / "saved-snapshot").glob("snapshot-*.till"))
        with_snapshot = min(shop.restart("snapshot", "--no-snapshots") for _ in range(2))
        say("closed loop")
        rates = {}
        for options in (("--no-snapshots",), BACK_TO_BACK) * arguments.pairs:
            shop.restart("snapshot", *options)
            rate = shop.measure(*LOAD, arguments.seconds)["orders_per_second"]
            rates.setdefault(options, []).append(rate)
            say(f"  {options[0]}: {rate:,.0f}/s")
        without, with_them = (statistics.median(runs) for runs in rates.values())
        say("open loop")
        runs = {}
        for options in (("--no-snapshots",), BACK_TO_BACK) * arguments.pairs:
            shop.restart("snapshot", *options)
            result = open_loop(shop, without / 2, arguments.seconds)
            runs.setdefault(options, []).append(result)
            say(f"  {options[0]}: p99.9 {result['p999_us']:,.0f} us")
    print(f"\n{arguments.millions} million orders at first, half at {without / 2:,.0f}/s; the "
          f"snapshot is {size / 2**20:,.0f} MiB on disk.\n")
    print_stalls(*runs.values())
    print(f"\n| closed loop, 64 x 64 | {without:,.0f}/s | {with_them:,.0f}/s | "
          f"{with_them / without:.2f} |\n|---|--:|--:|--:|")
    print(f"| start from the log, from the snapshot | {log_only:.2f} s | {with_snapshot:.2f} s | "
          f"{with_snapshot / log_only:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, default=10, help="orders before anything is timed")
    parser.add_argument("--seconds", type=int, default=4, help="length of each run")
    parser.add_argument("--pairs", type=int, default=3, help="of runs, whose median counts")
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
