#!/usr/bin/env python3
"""What replicas cost the primary, and how they keep up with it: Markdown on stdout.

    python3 bench/replicas/replicas.py [--quick] [--rounds N] [--seconds N] [--only PART,...]

The primary is on one core, its clients on another; a replica is on the clients' core, as there is
no third one. What that does to a figure is told beside it, and a sink, which takes the log,
acknowledges it at once and does nothing with it, shows what sending, and with --acks 1 waiting for
acknowledgements, cost the primary alone. Each round has new servers, whose runs alternate. Progress
goes to stderr.

    stream  orders a second, with none, with a replica, with a sink; both with --acks 1; a lonely
            client
    apply   what a replica decides a second, from its log and from a stream
    lag     how far it is behind at half of the load, and the primary's CPU time for each order
    sync    how long an empty replica takes to have all, and what the primary's clients notice
"""

import argparse
import signal
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "peers"), str(HERE.parent / "snapshots")]

import peers  # noqa: E402
import wire  # noqa: E402
from members import (  # noqa: E402
    Primary, Replica, Sink, Watch, await_streaming, streams
)
from servers import ROOT, Failed, cores, output_of, say, till_bench  # noqa: E402
from snapshots import ON_DEMAND, REPLAY_LINE  # noqa: E402

HOT, LONELY = (64, 64), (1, 1)
MILLION = 1000 * 1000
ORDERS_A_SECOND_MAX = 5 * MILLION  # more than were ever seen, for the room that is made
WARM_UP = 1.25  # a run with its warm-up, of its length
FILL_SECONDS = 1
ENGINE_RUNS = 3
APPLY_RUNS = 3
LAG_EVERY_S, SYNC_EVERY_S = 0.001, 0.01
SYNC_AFTER_S = 0.5  # of the load, which has a warm-up too

STREAM_GOAL = 0.95
ACKS_GOAL = 0.8
LONELY_GOAL_US = 60  # beyond two flushes
APPLY_GOAL = 0.66
LAG_GOAL_US = 5000
SYNC_GOAL_S = 10
SYNC_STALL_GOAL = 1.5


def room(seconds, rate=ORDERS_A_SECOND_MAX):
    return round(seconds * WARM_UP * rate) + MILLION


def median(values):
    return statistics.median(values)


def spread(values, form="{:,.2f}"):
    """The median, and what it lies between."""
    middle = form.format(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))} - {form.format(max(values))})"


def percentile(values, share):
    return sorted(values)[min(round(share * len(values)), len(values) - 1)]


class Rows:
    """The table that is printed at the end."""

    def __init__(self):
        self.rows = []

    def add(self, figure, goal, measured, is_met=None):
        met = "-" if is_met is None else "met" if is_met else "**not met**"
        self.rows.append(f"| {figure} | {goal} | {measured} | {met} |")

    def show(self):
        print("\n| figure | goal | measured | met |\n|---|---|---|---|")
        print("\n".join(self.rows))


class Measurements:
    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.folder = folder
        self.build = Path(arguments.build).resolve()
        self.rows = Rows()
        self.rate = None  # orders a second without a replica

    def primary(self, orders, *arguments):
        return Primary(self.folder, self.build, orders, arguments or ("--no-snapshots",))


# Streaming: a round has one primary and one replica, which leaves and joins again.


def stream_runs(primary, replica, seconds, order):
    """{kind: result} of one run of each kind, in that order."""

    def none():
        return primary.measure(*HOT, seconds)

    def with_replica():
        replica.join()
        result = primary.measure(*HOT, seconds)
        await_streaming(primary)
        replica.leave()
        return result

    def with_sink():
        with Sink(primary):
            return primary.measure(*HOT, seconds)

    kinds = [("none", none), ("replica", with_replica), ("sink", with_sink)]
    return {name: run() for name, run in kinds[order % 3:] + kinds[:order % 3]}


def acks_runs(measurements, follower, seconds):
    """A lonely client and many, with --acks 1 and a follower of that kind."""
    options = ("--no-snapshots", "--acks", 1)
    with measurements.primary(room(seconds + 1), *options) as primary, follower(primary) as member:
        await_streaming(primary)
        lonely = primary.measure(*LONELY, 1)
        seq, began = primary.seq(), member.cpu_ns()
        many = primary.measure(*HOT, seconds)
        await_streaming(primary)
        many["follower_cpu_ns"] = (member.cpu_ns() - began) / (primary.seq() - seq)
    return lonely, many


def stream_round(measurements, number):
    """As above, and with --acks 1; both with a lonely client too."""
    seconds = measurements.arguments.seconds
    with measurements.primary(room(3 * seconds + 1)) as primary, Replica(primary) as replica:
        await_streaming(primary)
        replica.leave()
        found = stream_runs(primary, replica, seconds, number)
        replica.join()
        found["lonely"] = primary.measure(*LONELY, 1)
    followers = [("acks", Replica), ("acks sink", Sink)]
    for name, follower in followers[number % 2:] + followers[:number % 2]:
        found[f"lonely {name}"], found[name] = acks_runs(measurements, follower, seconds)
    say("  " + ", ".join(f"{kind} {run['orders_per_second']:,.0f}/s"
                         for kind, run in found.items()))
    return found


def cpu_note(kind, found):
    """What a follower took of the clients' core, where that was looked at."""
    used = [run[kind]["follower_cpu_ns"] for run in found if "follower_cpu_ns" in run[kind]]
    name = "sink" if "sink" in kind else "replica"
    return f"; the {name} takes {spread(used, '{:.0f}')} ns an order" if used else ""


def measure_stream(measurements):
    found = [stream_round(measurements, number) for number in range(measurements.arguments.rounds)]

    def add(kind, other, figure, goal, least):
        rates = [[run[name]["orders_per_second"] for run in found] for name in (other, kind)]
        ratios = [with_it / without for without, with_it in zip(*rates)]
        shown = f"{spread(ratios)}; {median(rates[0]):,.0f}/s to {median(rates[1]):,.0f}/s"
        measurements.rows.add(figure, goal, shown + cpu_note(kind, found),
                              None if least is None else median(ratios) >= least)

    measurements.rate = median([run["none"]["orders_per_second"] for run in found])
    add("replica", "none", "64 x 64 with one replica streaming, which shares the clients' core, "
        "against none", f"{STREAM_GOAL} times", STREAM_GOAL)
    add("sink", "none", "the same with a sink in the replica's place", f"{STREAM_GOAL} times",
        STREAM_GOAL)
    add("acks", "replica", "64 x 64 with --acks 1, against --acks 0, both with the replica",
        f"{ACKS_GOAL} times", ACKS_GOAL)
    add("acks sink", "sink", "the same, both with the sink, which acknowledges at once and has no "
        "disk: the price of waiting on the primary alone", "-", None)
    add_lonely(measurements, found)


def add_lonely(measurements, found):
    for kind, flushes, goal, what in (
            ("lonely", 1, None, "--acks 0"), ("lonely acks", 2, LONELY_GOAL_US, "--acks 1"),
            ("lonely acks sink", 1, None, "--acks 1 and the sink, which has no disk")):
        runs = [run[kind] for run in found]
        over = [run["p50_us"] - flushes * run["flush_us"] for run in runs]
        measurements.rows.add(
            f"a lonely client's p50 with {what}, beyond {flushes} flush{'es' * (flushes - 1)}",
            "-" if goal is None else f"{goal} us",
            f"{spread(over, '{:.0f}')} us: p50 {median([run['p50_us'] for run in runs]):.0f},"
            f" a flush {median([run['flush_us'] for run in runs]):.0f}",
            None if goal is None else median(over) <= goal)


# Applying: the replica leaves, the primary is filled, then the replica is alone on its core. The
# memory of its tables was taken before.


def fill(primary, count):
    target = primary.seq() + count
    while primary.seq() < target:
        primary.measure(*HOT, FILL_SECONDS)


def catch_up(primary, replica):
    """Commands a second from the join until the replica has all."""
    seq = primary.seq()
    with Watch(primary, SYNC_EVERY_S) as watch:
        replica.follow(primary.address)
        began, _, rows = watch.await_that(lambda at, seq, rows: rows, "join")
        ended, _, _ = watch.await_that(lambda at, seq, rows: streams(seq, rows), "catch up")
    count = seq - rows[0].seq_applied
    say(f"  stream: {count:,} commands in {ended - began:.2f} s")
    return count / (ended - began)


def replay(replica):
    """Commands a second of a start from the log alone."""
    replica.stop()
    replica.start()
    commands, seconds = map(float, REPLAY_LINE.findall(replica.log_text())[-1])
    say(f"  log: {commands:,.0f} commands in {seconds:.2f} s")
    return commands / max(seconds, 0.001)


def measure_apply(measurements):
    count = measurements.arguments.apply_millions * MILLION
    seconds = measurements.arguments.seconds
    engine = []
    for _ in range(ENGINE_RUNS):
        options = ("--engine-only", "--seconds", seconds)
        run = till_bench(*options, core=cores()[1], seconds=seconds)
        engine.append(run["orders_per_second"])
        say(f"  engine alone: {engine[-1]:,.0f}/s")
    orders = APPLY_RUNS * (count + room(FILL_SECONDS))
    streamed, replayed = [], []
    with measurements.primary(orders) as primary, Replica(primary, place=None) as replica:
        for _ in range(APPLY_RUNS):
            await_streaming(primary)
            replica.leave()
            fill(primary, count)
            streamed.append(catch_up(primary, replica))
            replayed.append(replay(replica))
    for rates, name in ((replayed, "its log"), (streamed, "a stream")):
        ratio = median(rates) / median(engine)
        measurements.rows.add(
            f"a replica alone on a core applies, from {name}",
            f"{APPLY_GOAL} of the engine alone", f"{ratio:.2f}: {spread(rates, '{:,.0f}')} "
            f"commands/s; the engine alone {median(engine):,.0f}/s", ratio >= APPLY_GOAL)


# Lag.


def lags_us(samples):
    """For each sample, how long ago the primary had durable what the replica has: later than that
    by the time between two samples at most."""
    found, place = [], 0
    for at, seq, rows in samples:
        while place + 1 < len(samples) and samples[place + 1][1] <= rows[0].seq_durable:
            place += 1
        found.append(0 if rows[0].seq_durable >= seq else (at - samples[place][0]) * 1e6)
    return found


def lag_runs(measurements, rate):
    """The primary's CPU time for each order with none, a sink and a replica, at one rate; and the
    samples with the replica."""
    arguments = measurements.arguments
    seconds, short = arguments.lag_seconds, arguments.seconds
    cpu = {}
    orders = room(seconds + 2 * short + 3, rate)
    with measurements.primary(orders, "--no-snapshots", "--spin", 0) as primary:
        primary.at_rate(rate)
        _, cpu["none"] = primary.cpu_of(lambda: primary.measure(*HOT, short))
        with Sink(primary):
            _, cpu["sink"] = primary.cpu_of(lambda: primary.measure(*HOT, short))
        with Replica(primary):
            await_streaming(primary)
            with Watch(primary, LAG_EVERY_S) as watch:
                run, cpu["replica"] = primary.cpu_of(lambda: primary.measure(*HOT, seconds))
    busy = [sample for sample in watch.samples if sample[1] > watch.samples[0][1] and sample[2]]
    return cpu, run, busy[len(busy) // 5: -len(busy) // 20]


def measure_lag(measurements):
    rate = round((measurements.rate or probe_rate(measurements)) / 2)
    cpu, run, samples = lag_runs(measurements, rate)
    found = lags_us(samples)
    said = [rows[0].lag_us for _, _, rows in samples]
    text = (f"{percentile(found, 0.99):,.0f} us, p50 {percentile(found, 0.5):,.0f}, longest "
            f"{max(found):,.0f}, {len(found):,} samples; as `till replicas` says, p99 "
            f"{percentile(said, 0.99):,.0f}; the replica shares the clients' core, the clients' "
            f"p99 is {run['p99_us']:,.0f}")
    measurements.rows.add(f"lag at half of the load ({rate:,}/s), p99", f"{LAG_GOAL_US:,} us",
                          text, percentile(found, 0.99) <= LAG_GOAL_US)
    measurements.rows.add(
        "the primary's CPU time for each order at that rate", "-",
        f"{cpu['none']:.0f} ns with none, {cpu['sink']:.0f} with a sink, {cpu['replica']:.0f} with "
        f"a replica")


def probe_rate(measurements):
    seconds = measurements.arguments.seconds
    with measurements.primary(room(seconds)) as primary:
        return primary.measure(*HOT, seconds)["orders_per_second"]


# The first sync.


def first_sync(primary, load):
    """(samples from the start of an empty replica until it has the state of that moment, the load's
    result meanwhile)"""
    found = {}
    replica = Replica(primary, arguments=ON_DEMAND, gives_way=True)
    thread = threading.Thread(target=lambda: found.update(run=load()), daemon=True)
    with ExitStack() as stack:
        watch = stack.enter_context(Watch(primary, SYNC_EVERY_S))
        thread.start()
        time.sleep(SYNC_AFTER_S)
        seq, began = primary.seq(), time.monotonic()
        stack.enter_context(replica)
        ended, _, _ = watch.await_that(
            lambda at, _, rows: any(row.state == wire.STREAMING and row.seq_applied >= seq
                                    for row in rows), "sync")
        thread.join()
        if "run" not in found:
            raise Failed("the load during the sync failed")
        await_streaming(primary)
    return [sample for sample in watch.samples if began <= sample[0] <= ended], found["run"]


def sync_steps(samples):
    """(seconds in all, of fetching, of loading what was fetched, of catching up)"""
    fetching = [at for at, _, rows in samples if any(row.sync_bytes > 0 for row in rows)]
    if not fetching:
        raise Failed("the replica did not fetch a snapshot")
    joined = next(at for at, _, rows in samples
                  if at > fetching[-1] and any(row.sync_bytes == 0 for row in rows))
    began, ended = samples[0][0], samples[-1][0]
    return ended - began, fetching[-1] - fetching[0], joined - fetching[-1], ended - joined


def sync_once(measurements, rate):
    """(steps of a first sync, the clients' p99.9 before and during it)"""
    arguments = measurements.arguments
    count, seconds = arguments.sync_millions * MILLION, arguments.sync_seconds
    orders = count + room(FILL_SECONDS) + 2 * room(seconds, rate)
    with measurements.primary(orders, *ON_DEMAND) as primary:
        fill(primary, count)
        output_of(ROOT / "till", "snapshot", "--connect", primary.address)
        primary.at_rate(rate)
        before = primary.measure(*HOT, seconds)["p999_us"]
        samples, run = first_sync(primary, lambda: primary.measure(*HOT, seconds))
    steps = sync_steps(samples)
    say(f"  {steps[0]:.1f} s; p99.9 {before:,.0f} us before, {run['p999_us']:,.0f} during")
    return steps, before, run["p999_us"]


def measure_sync(measurements):
    arguments = measurements.arguments
    rate = round((measurements.rate or probe_rate(measurements)) / 4)
    steps, before, during = zip(*(sync_once(measurements, rate) for _ in range(arguments.syncs)))
    whole, fetching, loading, catching = ([step[i] for step in steps] for i in range(4))
    ratios = [two / one for one, two in zip(before, during)]
    measurements.rows.add(
        f"first sync of {arguments.sync_millions} million orders, from the start of an empty "
        f"replica until it has all", f"{SYNC_GOAL_S} s",
        f"{spread(whole, '{:.1f}')} s: {median(fetching):.1f} s of fetching, {median(loading):.1f} "
        f"of starting from it, {median(catching):.1f} of catching up", median(whole) <= SYNC_GOAL_S)
    measurements.rows.add(
        f"meanwhile the clients' p99.9 at {rate:,}/s, against before", f"{SYNC_STALL_GOAL} times",
        f"{spread(ratios)}; {median(before):,.0f} us to {median(during):,.0f} us",
        median(ratios) <= SYNC_STALL_GOAL)


PARTS = {"stream": measure_stream, "apply": measure_apply, "lag": measure_lag, "sync": measure_sync}


def measure(measurements, names):
    """Whether each part could be measured."""
    whole = True
    for name in names:
        say(name)
        try:
            PARTS[name](measurements)
        except (Failed, wire.Wrong, OSError) as failure:
            whole = False
            say(f"{name}: {failure}")
            measurements.rows.add(name, "", f"failed: {str(failure).splitlines()[-1][:120]}")
    return whole


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it out")
    parser.add_argument("--rounds", type=int, default=5, help="of streaming, whose median counts")
    parser.add_argument("--seconds", type=int, default=2, help="length of each of its runs")
    parser.add_argument("--only", default="", help=f"of {','.join(PARTS)}")
    parser.add_argument("--folder", default=".", help="where the servers' folders go, on a disk")
    parser.add_argument("--build", default="build/release")
    arguments = parser.parse_args()
    if not set(filter(None, arguments.only.split(","))) <= set(PARTS):
        parser.error(f"--only takes some of {','.join(PARTS)}")
    arguments.apply_millions, arguments.lag_seconds = 4, 10
    arguments.sync_millions, arguments.sync_seconds, arguments.syncs = 10, 12, 2
    if arguments.quick:
        arguments.rounds = arguments.seconds = arguments.apply_millions = 1
        arguments.lag_seconds = arguments.sync_millions = 2
        arguments.sync_seconds, arguments.syncs = 4, 1
    return arguments


def main():
    arguments = read_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended on the way
    print(peers.conditions(arguments.folder, arguments.seconds), flush=True)
    with tempfile.TemporaryDirectory(prefix="till-replicas-", dir=arguments.folder) as folder:
        measurements = Measurements(arguments, Path(folder).resolve())
        names = arguments.only.split(",") if arguments.only else list(PARTS)
        whole = measure(measurements, names)
    measurements.rows.show()
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
