"""Servers under measurement: started on a free port with a folder of their own, pinned to one core,
driven by a client on another, checked, and ended by their process id. Here are what all have in
common, till itself, and the limit; the peers are in peers.py."""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STOCK = 10**12
LOADS = [(64, 1), (64, 16), (64, 64), (16, 1024)]
PEER_LOADS = LOADS[:3]
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
RUN_SECONDS_MARGIN = 60
PR_SET_PDEATHSIG = 1
LISTENING = "listening on"
MEMORY_TAKEN = "memory: all of it is taken"
TABLE_LINE = re.compile(r"^  (\w+) +\d+ +([\d.]+) MiB", re.M)
ORDERS_MAX = 48 * 1000 * 1000
ORDER_BYTES = 200  # more than an order takes with all tables


class Failed(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def cores():
    """The server's core and the client's; the same one when there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 % len(usable)]


def on_core(core):
    """What a child does before it becomes another program: it is pinned, and dies with us."""

    def prepare():
        if core is not None:
            os.sched_setaffinity(0, {core})
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return prepare


def process_cpu_ns(pid):
    """Processor time that all threads of a process have taken."""
    clock_of_process = ~pid << 3 | 2  # as clock_getcpuclockid makes it
    return time.clock_gettime_ns(clock_of_process)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def output_of(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=120, **options
    )
    if done.returncode != 0:
        raise Failed(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout.strip()


def install_package(package):
    """None when Debian's package could be installed; else the reason."""
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    say(f"installing {package} from Debian")
    try:
        # The runlevel keeps the package from starting a server of its own.
        settings = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
        options = ["-q", "-y", "--no-install-recommends"]
        output_of(*become, *settings, "apt-get", "install", *options, package)
    except (OSError, Failed, subprocess.TimeoutExpired) as failure:
        return f"not installed: {str(failure).splitlines()[-1][:120]}"
    return None


def memory_available():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) << 10
    return 0


def till_bench(*options, core=None, seconds=0):
    """The JSON of one `till bench`, whose answers were all right."""
    done = subprocess.run(
        [str(word) for word in (ROOT / "till", "bench", "--json", *options)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=2 * seconds + RUN_SECONDS_MARGIN,
        preexec_fn=on_core(core),
    )
    if done.returncode != 0:
        raise Failed(done.stderr.strip()[-600:])
    return json.loads(done.stdout)


class Server:
    """A process with a folder of its own; `with` starts and ends it."""

    name = "?"
    package = None
    durable = True
    loads = PEER_LOADS
    skus = 1
    stop_signal = signal.SIGTERM
    user = None
    place = 0  # of cores(): where it runs; None: on any
    await_pause_s = 0.05

    def __init__(self, parent, build):
        self.parent = parent
        self.build = build
        self.process = None
        self.folder = None
        self.port = None
        self.accepted = 0

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def installed(self):
        return True

    def version(self):
        return "this tree"

    def __enter__(self):
        prefix = f"till-peer-{type(self).__name__.lower()}-"
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.parent))
        self.log = (self.folder / "log").open("w+")
        self.port = free_port()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def cpu_ns(self):
        return process_cpu_ns(self.process.pid)

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace")

    def spawn(self, *command, env=None):
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=dict(os.environ, **env) if env else None,
            preexec_fn=on_core(None if self.place is None else cores()[self.place]),
            user=self.user,
            cwd=self.folder,
        )

    def await_that(self, ready, what):
        """Until ready() is true; what it raises while the server is not up yet is waited out."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if ready():
                    return
            except (OSError, Failed):
                pass
            time.sleep(self.await_pause_s)
        raise Failed(f"{self.name} did not {what}: {self.log_text()[-600:]}")

    def client(self, connections, in_flight, seconds):
        return [
            self.build / "peer-client",
            "--protocol",
            self.protocol,
            "--connect",
            self.address,
            "--procedure",
            self.procedure,
            "--skus",
            self.skus,
            "--connections",
            connections,
            "--in-flight",
            in_flight,
            "--seconds",
            seconds,
        ]

    def measure(self, connections, in_flight, seconds):
        """One point: the client's JSON, with the peer's own sums checked."""
        done = subprocess.run(
            [str(word) for word in self.client(connections, in_flight, seconds)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=2 * seconds + RUN_SECONDS_MARGIN,
            preexec_fn=on_core(cores()[1]),
        )
        if done.returncode != 0:
            raise Failed(done.stderr.strip()[-600:])
        result = json.loads(done.stdout)
        if result["wrong_answers"] != 0:
            raise Failed(f"{result['wrong_answers']} wrong answers")
        self.accepted += result.get("accepted", 0)
        self.check()
        return result

    def check(self):
        stock, orders, bought = self.audit()
        sold = self.skus * STOCK - stock
        if not sold == orders == bought == self.accepted:
            raise Failed(
                f"{self.accepted} orders accepted, {sold} units sold, {orders} orders kept, "
                f"{bought} units by customer"
            )


class Limit(Server):
    name = "limit"
    loads = LOADS
    arguments = ()
    load_options = ()

    def start(self):
        self.spawn(self.build / "limit", "--port", self.port, "--folder", ".", *self.arguments)
        self.await_that(self.listens, "listen")

    def listens(self):
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def client(self, connections, in_flight, seconds):
        load = ["--connections", connections, "--in-flight", in_flight, "--seconds", seconds]
        # The server is this program's own, and one measurement follows the other on it.
        connect = ["--connect", self.address, "--into-a-live-shop", *self.load_options]
        return [ROOT / "till", "bench", "--json", *connect, *load]

    def check(self):
        """It keeps nothing; `till bench` has looked at every answer."""


class LimitEcho(Limit):
    name = "limit, echo"
    durable = False
    arguments = ("--echo",)


class Till(Limit):
    """Started by hand rather than by `till bench`, so that it is pinned as the others are."""

    name = "till"
    orders = None  # that there is room for; else as many as a part of the free memory takes
    customers = 6 * 1000 * 1000
    arguments = ("--no-snapshots",)

    def start(self):
        orders = self.orders or min(ORDERS_MAX, memory_available() // 2 // ORDER_BYTES)
        room = ["--customers", self.customers]
        for table in ("orders", "deadlines"):
            room += [f"--{table}", orders]
        room += self.arguments
        data = self.folder / "data"
        ready = LISTENING if "--lazy-memory" in self.arguments else MEMORY_TAKEN
        said = self.log_text().count(ready)  # by those that were here before it
        self.spawn(ROOT / "till", "serve", "--data", data, "--listen", self.address, *room)
        self.await_that(lambda: self.log_text().count(ready) > said, "get ready")

    def tables(self):
        """Bytes of each table, as the server printed them when it started."""
        found = TABLE_LINE.findall(self.log_text())
        return {name: float(size) * 2**20 for name, size in found}
