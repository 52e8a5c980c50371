"""The harness of the tests in Python: runs tests by name, and the real server in scratch folders.

    python3 tests/python/test_x.py ./till [--seed N] [name-part...]

A test is a function of one argument, the Run, registered with @test. It prints `ok` or `FAIL` and
the name; what it started is ended and its folders are removed, but for those of a failed test.
"""

import argparse
import contextlib
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
}


def test(function):
    TESTS.append(function)
    return function


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_equal(actual, expected, what):
    check(actual == expected, f"{what} is {actual!r}, not {expected!r}")


def serve_command(binary, folder):
    command = [binary, "serve", "--data", str(folder), "--listen", "127.0.0.1:0"]
    for name, value in SMALL.items():
        command += [f"--{name}", str(value)]
    return command


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
        """The path of a file that may be on a file system of the server's own."""
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
        """Until no more than count are open: the server closes in its own time."""
        deadline = time.monotonic() + CLOSE_SECONDS_MAX
        while (now := self.open_sockets()) > count:
            check(time.monotonic() < deadline, f"{now} sockets stay open, not {count}")
            time.sleep(0.05)

    def memory_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.split("VmRSS:")[1].split()[0])

    def kill(self):
        if self.is_alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def stop(self):
        """SIGTERM, and the exit code."""
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
        """The same for a folder on a file system that goes away with the server."""
        with open(f"/proc/{self.process.pid}/ns/mnt", "rb") as namespace:
            self.stop_clean()
            subprocess.run(["nsenter", f"--mount=/proc/self/fd/{namespace.fileno()}", "cp", "-r",
                            str(folder), str(copy)], check=True, pass_fds=(namespace.fileno(),))


class Run:
    """What a test is given: the arguments, randomness of its own, folders and servers."""

    def __init__(self, arguments, name):
        self.arguments = arguments
        self.binary = arguments.binary
        self.random = random.Random(arguments.seed ^ zlib.crc32(name.encode()))
        self.root = Path(tempfile.mkdtemp(prefix=f"till-{name}-", dir=arguments.scratch))
        self.servers = []
        self.folder_count = 0

    def folder(self):
        self.folder_count += 1
        return self.root / f"data{self.folder_count}"

    def serve(self, folder=None, options=(), prefix=()):
        server = Server(self.binary, folder or self.folder(), options, prefix)
        self.servers.append(server)
        return server

    def serve_on_small_disk(self, mebibytes, place, folder=None, options=()):
        """A server that finds a file system of this size, and of its own, at `place`."""
        place.mkdir(exist_ok=True)
        mount = f"mount -t tmpfs -o size={mebibytes}m none '{place}' && exec \"$@\""
        as_root = () if os.geteuid() == 0 else ("--map-root-user",)
        return self.serve(folder, options, ("unshare", *as_root, "--mount", "sh", "-c", mount, "-"))

    def till(self, *arguments):
        """Runs another subcommand to its end."""
        return subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True,
                              timeout=120, stdin=subprocess.DEVNULL)

    def till_with_input(self, text, *arguments):
        return subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True,
                              timeout=120, input=text)

    def start(self, *arguments, text):
        """Starts a subcommand with this as its whole input, and returns the process."""
        process = subprocess.Popen([self.binary, *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        return process

    def verify(self, folder):
        result = self.till("verify", folder)
        check(result.returncode == 0, f"verify: {result.stdout[-1000:]} {result.stderr[-1000:]}")

    def finish(self, server):
        """Every server test's end: it stops when told to, and what it left is sound."""
        server.stop_clean()
        self.verify(server.folder)


def run_one(function, arguments):
    name = function.__name__
    run = Run(arguments, name)
    began = time.monotonic()
    try:
        function(run)
    except Exception:
        traceback.print_exc()
        for server in run.servers:
            print(f"server log of {server.folder}:\n{server.errors()}", file=sys.stderr)
        print(f"FAIL {name} (see {run.root})", flush=True)
        return False
    finally:
        for server in run.servers:
            if server.is_alive():
                server.kill()
    shutil.rmtree(run.root)
    print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def main(*extra):
    """Runs the tests registered; extra are (name, default, help) of options with a number."""
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
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if results and all(results) else 1)
