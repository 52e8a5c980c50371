"""The servers under measurement as primary and replica, the sink that stands in for a replica, and
what is seen of them from outside: `replicas` of the primary, asked again and again."""

import os
import subprocess
import sys
import threading
import time

import wire
from servers import ROOT, Failed, Till, cores, on_core, output_of, process_cpu_ns, say

AWAIT_SECONDS_MAX = 120
PAUSE_S = 0.01
NOWHERE = "127.0.0.1:9"  # nobody listens there


class Primary(Till):
    """On the first core, as all servers under measurement."""

    name = "primary"

    def __init__(self, parent, build, orders, arguments=("--no-snapshots",)):
        super().__init__(parent, build)
        self.orders = orders
        self.arguments = arguments
        self.at_rate(None)

    def at_rate(self, rate):
        """The load from here on: an open loop at a rate, or a closed one. How long a flush takes is
        measured in the servers' own folder."""
        self.load_options = ("--folder", self.parent)
        if rate is not None:
            self.load_options += ("--rate", rate)

    def connection(self):
        return wire.Connection(self.address)

    def seq(self):
        with self.connection() as connection:
            return connection.replicas()[0]

    def cpu_of(self, run):
        """(what the run returns, nanoseconds of this process for each order that it placed)"""
        seq, began = self.seq(), self.cpu_ns()
        result = run()
        ended = self.cpu_ns()
        return result, (ended - began) / (self.seq() - seq)


class Replica(Till):
    """On the client's core, where it sleeps at once when it has nothing to do: one that polls would
    take the core away from the client. With a core of its own (place None) the loop is pinned to
    the second core, and the threads that help it are not there."""

    name = "replica"

    def __init__(self, primary, place=1, arguments=("--no-snapshots",), gives_way=False):
        super().__init__(primary.parent, primary.build)
        self.primary = primary
        self.orders = primary.orders
        self.customers = primary.customers
        self.place = place
        self.gives_way = gives_way
        alone = ("--core", cores()[1]) if place is None else ("--spin", 0)
        self.arguments = (*arguments, *alone, "--replica-of", primary.address, "--name", self.name)

    def spawn(self, *command, env=None):
        super().spawn(*command, env=env)
        if self.gives_way:
            os.sched_setscheduler(self.process.pid, os.SCHED_IDLE, os.sched_param(0))

    def follow(self, address):
        output_of(ROOT / "till", "follow", address, "--connect", self.address)

    def leave(self):
        self.follow(NOWHERE)
        await_rows(self.primary, lambda seq, rows: not rows, "let the replica go")

    def join(self):
        self.follow(self.primary.address)
        await_streaming(self.primary)


class Sink:
    """It acknowledges at once and does nothing else (bench/replicas/sink.c), on the client's core:
    a replica that takes next to nothing of that core, and whose disk costs nothing."""

    def __init__(self, primary):
        self.primary = primary

    def __enter__(self):
        self.process = subprocess.Popen(
            [str(self.primary.build / "sink"), self.primary.address],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=on_core(cores()[1]),
        )
        try:
            await_streaming(self.primary)
        except BaseException:
            self.__exit__()
            raise
        return self

    def cpu_ns(self):
        return process_cpu_ns(self.process.pid)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        await_rows(self.primary, lambda seq, rows: not rows, "let the sink go")


def await_rows(primary, is_there, what):
    deadline = time.monotonic() + AWAIT_SECONDS_MAX
    with primary.connection() as connection:
        while time.monotonic() < deadline:
            seq, rows = connection.replicas()
            if is_there(seq, rows):
                return
            time.sleep(PAUSE_S)
    raise Failed(f"the primary did not {what}: seq {seq}, {rows}; {primary.log_text()[-600:]}")


def streams(seq, rows):
    """One replica has all that there is, and gets what comes from memory."""
    return (len(rows) == 1 and rows[0].state == wire.STREAMING
            and seq == rows[0].seq_durable == rows[0].seq_applied)


def await_streaming(primary):
    await_rows(primary, streams, "get a replica that has all")


class Watch:
    """Asks the primary for its replicas every so often, from a thread, and keeps what it says."""

    def __init__(self, primary, every_s):
        self.primary = primary
        self.every_s = every_s
        self.samples = []  # (seconds, seq that is durable on the primary, rows)
        self.failure = None
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        try:
            with self.primary.connection() as connection:
                while not self.done.wait(self.every_s):
                    asked = time.monotonic()
                    self.samples.append((asked, *connection.replicas()))
        except (wire.Wrong, OSError) as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def await_that(self, is_there, what):
        """The first sample of which that is true."""
        deadline = time.monotonic() + AWAIT_SECONDS_MAX
        looked = 0
        while time.monotonic() < deadline and self.thread.is_alive():
            for sample in self.samples[looked:]:
                looked += 1
                if is_there(*sample):
                    return sample
            time.sleep(PAUSE_S)
        say(f"  the last sample: {self.samples[-1:]}")
        reason = self.failure or self.primary.log_text()[-600:]
        raise Failed(f"the replica did not {what}: {reason}")
