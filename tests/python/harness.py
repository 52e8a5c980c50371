"""The harness of the tests in Python: runs tests by name, and the real server in scratch folders.

    python3 tests/python/test_x.py ./till [--seed N] [name-part...]

A test is a function of one argument, the Run, registered with @test. It prints `ok` or `FAIL` and
the name; what it started is ended and its folders are removed, but for those of a failed test. A
test that needs something that this system does not permit raises Skip, and is printed as `SKIP
name: why`.
"""

import argparse
import contextlib
import functools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib
from pathlib import Path

from till_client import Client

TESTS = []
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
CLOSE_SECONDS_MAX = 60
WAIT_SECONDS_MAX = 60
MEMORY_SECONDS_MAX = 60
MEMORY_FOLDER = "/dev/shm"
MEMORY_FOLDER_BYTES_MIN = 3 << 30

# Small tables, so that a server starts at once and fifty can be started in a row.
SMALL = {
    "skus": 4096,
    "stocks": 8192,
    "sales": 256,
    "pools": 4096,
    "tallies": 100_000,
    "customers": 100_000,
    "lots": 50_000,
    "ledger": 100_000,
    "orders": 400_000,
    "lines": 100_000,
    "pieces": 100_000,
    "moneys": 400_000,
    "steps": 800_000,
    "deadlines": 800_000,
    "payments": 400_000,
    "keys": 400_000,
    "earnings": 100_000,
    "accounts": 100_000,
    "fulfilments": 100_000,
    "parcels": 100_000,
    "refunds": 50_000,
    "opaques": 20_000,
}

# Taking 300 MB of tables at each start costs more than most tests; suites that test memory, or a
# server that has just started, set this to False.
LAZY_MEMORY = True


class Skip(Exception):
    """The test cannot be run here; its text says why."""


def test(function):
    TESTS.append(function)
    return function


def in_memory(function):
    """The folders of this test are in memory where there is room, so that it waits for no disk: it
    tests the content of files, not when they are durable."""
    function.is_in_memory = True
    return function


def memory_folder():
    """A file system in memory with room for files, or None."""
    if not os.path.isdir(MEMORY_FOLDER):
        return None
    is_roomy = shutil.disk_usage(MEMORY_FOLDER).free > MEMORY_FOLDER_BYTES_MIN
    return MEMORY_FOLDER if is_roomy else None


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_equal(actual, expected, what):
    check(actual == expected, f"{what} is {actual!r}, not {expected!r}")


def root_is_mounted():
    """False in a plain chroot, where no mount can be made private."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == "/" for line in mounts)


@functools.cache
def mounting():
    """The command prefix that gives a command mounts of its own; Skip where it fails."""
    prefix = ["unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--mount"]
    with tempfile.TemporaryDirectory(prefix="till-mount-") as folder:
        try:
            mount = ("mount", "-t", "tmpfs", "-o", "size=1m", "none", folder)
            done = subprocess.run([*prefix, *mount], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise Skip(f"it needs a mount of its own: {error}") from error
    if not root_is_mounted():
        raise Skip("it needs a mount of its own, and / is no mount point here (a chroot)")
    if done.returncode != 0:
        raise Skip(f"it needs a mount of its own, which is not permitted here: "
                   f"{done.stderr.strip()}")
    return tuple(prefix)


def allow_files(count):
    """Raises the limit of open files to this many, for this process and those it starts; Skip where
    that is not permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (ValueError, PermissionError) as error:
        raise Skip(f"it needs {count} open files, and {hard} are permitted (ulimit -Hn)") from error


def wait_until(ready, what):
    """Waits until the condition is true; `what` describes it when the wait fails: a text, or a
    function that returns one."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not ready():
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited in vain for {what() if callable(what) else what}")
        time.sleep(0.02)


def serve_command(binary, folder):
    command = [binary, "serve", "--data", str(folder), "--listen", "127.0.0.1:0"]
    for name, value in SMALL.items():
        command += [f"--{name}", str(value)]
    return command + ["--lazy-memory"] * LAZY_MEMORY


class Server:
    """One `till serve` over a folder."""

    def __init__(self, binary, folder, options=(), prefix=()):
        self.folder = folder
        self.log = Path(f"{folder}.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*prefix, *serve_command(binary, folder), *options],
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.address = None
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self.read_output, daemon=True)
        self.reader.start()
        self.listening.wait(START_SECONDS_MAX)
        if self.address is None:
            self.kill()
            raise AssertionError(f"the server did not start: {self.errors()}")

    def read_output(self):
        for line in self.process.stdout:
            if line.startswith("listening on "):
                host, port = line.split()[2].rsplit(":", 1)
                self.address = (host, int(port))
                self.listening.set()
        self.listening.set()

    def errors(self):
        return self.log.read_text(errors="replace")[-2000:]

    def client(self, **options):
        return Client(self.address, **options)

    def sees(self, path):
        """The path of a file, which may be on a file system that only the server has."""
        return Path(f"/proc/{self.process.pid}/root") / path.relative_to("/")

    def is_alive(self):
        return self.process.poll() is None

    def open_sockets(self):
        count = 0
        for entry in os.scandir(f"/proc/{self.process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(entry.path).startswith("socket:")
        return count

    def wait_for_sockets(self, count):
        """Waits until no more than count connections are open: the server closes them with some
        delay."""
        deadline = time.monotonic() + CLOSE_SECONDS_MAX
        while (now := self.open_sockets()) > count:
            check(time.monotonic() < deadline, f"{now} sockets stay open, not {count}")
            time.sleep(0.05)

    def memory_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.split("VmRSS:")[1].split()[0])

    def wait_for_memory(self):
        """Waits until the memory of its tables is taken; returns how much it has then."""
        deadline = time.monotonic() + MEMORY_SECONDS_MAX
        before = 0
        while (now := self.memory_bytes()) > before:
            check(time.monotonic() < deadline, "the server takes more and more memory")
            before = now
            time.sleep(0.5)
        return now

    def kill(self):
        if self.is_alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def stop(self):
        """Sends SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise AssertionError("the server does not stop") from error
        self.reader.join()
        self.process.stdout.close()
        return code

    def stop_clean(self):
        code = self.stop()
        check(code == 0, f"the server exits with {code}: {self.errors()}")


    def stop_clean_and_copy(self, folder, copy):
        """The same for a folder on a file system that disappears with the server."""
        kinds = {"mount": "mnt"} if os.geteuid() == 0 else {"user": "user", "mount": "mnt"}
        with contextlib.ExitStack() as stack:
            files = {kind: stack.enter_context(open(f"/proc/{self.process.pid}/ns/{name}", "rb"))
                     for kind, name in kinds.items()}
            self.stop_clean()
            enter = [f"--{kind}=/proc/self/fd/{file.fileno()}" for kind, file in files.items()]
            subprocess.run(["nsenter", *enter, "--preserve-credentials", "cp", "-r", str(folder),
                            str(copy)],
                           check=True, pass_fds=[file.fileno() for file in files.values()])


class Run:
    """What a test gets: the arguments, a random generator of its own, folders and servers."""

    def __init__(self, arguments, function):
        name = function.__name__
        scratch = arguments.scratch
        if scratch is None and getattr(function, "is_in_memory", False):
            scratch = memory_folder()
        self.arguments = arguments
        self.binary = arguments.binary
        self.random = random.Random(arguments.seed ^ zlib.crc32(name.encode()))
        self.root = Path(tempfile.mkdtemp(prefix=f"till-{name}-", dir=scratch))
        self.servers = []
        self.folder_count = 0
        self.is_kept = False  # the folders stay, for inspection

    def folder(self):
        self.folder_count += 1
        return self.root / f"data{self.folder_count}"

    def serve(self, folder=None, options=(), prefix=()):
        server = Server(self.binary, folder or self.folder(), options, prefix)
        self.servers.append(server)
        return server

    def serve_on_small_disk(self, mebibytes, place, folder=None, options=()):
        """A server that has a file system of this size at `place`, which only it has."""
        place.mkdir(exist_ok=True)
        mount = f"mount -t tmpfs -o size={mebibytes}m none '{place}' && exec \"$@\""
        return self.serve(folder, options, (*mounting(), "sh", "-c", mount, "-"))

    def till(self, *arguments, prefix=()):
        """Runs another subcommand to its end."""
        return subprocess.run([*prefix, self.binary, *map(str, arguments)], capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL)

    def till_with_input(self, text, *arguments):
        return subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True,
                              timeout=120, input=text)

    def shell(self, script, **options):
        """Runs lines of the shell to their end."""
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, **options)

    def start(self, *arguments, text):
        """Starts a subcommand with this text as its whole input, and returns the process."""
        process = subprocess.Popen([self.binary, *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        return process

    def verify(self, folder):
        result = self.till("verify", folder)
        check(result.returncode == 0, f"verify: {result.stdout[-1000:]} {result.stderr[-1000:]}")

    def clean_up(self):
        for server in self.servers:
            if server.is_alive():
                server.kill()
        if not self.is_kept:
            shutil.rmtree(self.root, ignore_errors=True)

    def finish(self, server):
        """The end of every server test: the server stops when told to, and its folder is sound."""
        server.stop_clean()
        self.verify(server.folder)


PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def run_one(function, arguments):
    """The result of a test, after printing a line with it."""
    name = function.__name__
    run = Run(arguments, function)
    began = time.monotonic()
    try:
        function(run)
    except Skip as why:
        print(f"SKIP {name}: {why}", flush=True)
        return SKIPPED
    except Exception:
        traceback.print_exc()
        for server in run.servers:
            print(f"server log of {server.folder}:\n{server.errors()}", file=sys.stderr)
        print(f"FAIL {name} (see {run.root})", flush=True)
        run.is_kept = True
        return FAILED
    finally:
        run.clean_up()
    print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return PASSED


def closing_line(results):
    """What tests/run adds up; skipped tests are named where there are any."""
    skipped = f", {results.count(SKIPPED)} skipped" if SKIPPED in results else ""
    return f"{results.count(PASSED)} passed, {results.count(FAILED)} failed{skipped}"


def main(*extra):
    """Runs the registered tests; extra has the (name, default, help) of further options that take a
    number."""
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("names", nargs="*", help="run only the tests whose name has one of these")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--scratch", help="where folders are made (a real disk)")
    for name, default, text in extra:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} ({default})")
    arguments = parser.parse_args()
    arguments.binary = str(Path(arguments.binary).resolve())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"seed {arguments.seed}", flush=True)
    chosen = [function for function in TESTS
              if not arguments.names or any(part in function.__name__ for part in arguments.names)]
    results = [run_one(function, arguments) for function in chosen]
    print(closing_line(results))
    sys.exit(0 if results and FAILED not in results else 1)
