#!/usr/bin/env python3
"""Runs the conformance scripts: tests/run_scripts.py PATH-TO-TILL [NAME-PART...]

A script is a session as a person would type it into `till shell`, with the answers:

    # a comment
    order.get order=1
    > OK order=1 state=PENDING hold_ends=* ...

* Every line is followed by `>` and its answer. A `*` in it stands for any characters but spaces.
  The answer's seq and key are compared only where the expected one names them.
* `! wait 2s` waits; `! restart` kills the server, starts it again on the same folder and continues;
  `! options --lots 4`, before the first line, starts the server with other options.

Each script gets a fresh server on a fresh folder. When it has run, the server is asked to stop and
must exit with 0, and `till verify` must find nothing wrong with the folder. Several scripts run at
the same time, since those with holds mostly wait.
"""
import difflib
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent / "scripts"
ANSWER_SECONDS_MAX = 15
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
JOBS = 4

CAPACITIES = {
    "skus": "1k", "stocks": "2k", "sales": "64", "pools": "1k", "tallies": "4k",
    "customers": "4k", "lots": "4k", "ledger": "8k", "orders": "4k", "lines": "4k",
    "pieces": "4k", "point-takes": "4k", "moneys": "4k", "steps": "8k", "deadlines": "4k",
    "payments": "4k", "keys": "4k",
}


class Failure(Exception):
    """The script cannot go on."""


def read_line(stream, seconds_max, what):
    """The next line of an unbuffered pipe; a failure when none comes in time."""
    line = b""
    deadline = time.monotonic() + seconds_max
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise Failure(f"{what}: nothing within {seconds_max} s")
        byte = stream.read(1)
        if not byte:
            raise Failure(f"{what}: ended with {line.decode(errors='replace')!r}")
        line += byte
    return line.decode(errors="replace").rstrip("\n")


class Session:
    """A server on a folder, and a shell connected to it."""

    def __init__(self, till, folder):
        self.till = till
        self.folder = folder
        self.capacities = dict(CAPACITIES)
        self.options = []
        self.server = None
        self.shell = None
        self.refused = False

    def capacity_options(self):
        return [word for name, value in self.capacities.items() for word in (f"--{name}", value)]

    def start(self):
        with open(f"{self.folder}.log", "ab") as log:
            self.server = subprocess.Popen(
                [self.till, "serve", "--data", self.folder, "--listen", "127.0.0.1:0",
                 *self.capacity_options(), *self.options],
                stdout=subprocess.PIPE, stderr=log, bufsize=0)
        line = ""
        while not line.startswith("listening on "):
            line = read_line(self.server.stdout, START_SECONDS_MAX, "the server's start")
        self.shell = subprocess.Popen(
            [self.till, "shell", "--connect", line.split()[2]], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)

    def ask(self, line):
        if self.server is None:
            self.start()
        self.shell.stdin.write(line.encode() + b"\n")
        answer = read_line(self.shell.stdout, ANSWER_SECONDS_MAX, line)
        answer = re.sub(r"^line \d+: ", "", answer)
        self.refused = self.refused or answer.startswith("refused:")
        return answer

    def end_shell(self):
        if self.shell is None:
            return
        self.shell.stdin.close()
        code = self.shell.wait(ANSWER_SECONDS_MAX)
        self.shell.stdout.close()
        self.shell = None
        if code != int(self.refused):
            raise Failure(f"the shell exits with {code}")
        self.refused = False

    def restart(self):
        self.end_shell()
        self.kill()
        self.start()

    def finish(self):
        """Checks that the server stops when asked, and that its folder is sound."""
        self.end_shell()
        if self.server is None:
            return
        self.server.send_signal(signal.SIGTERM)
        code = self.server.wait(STOP_SECONDS_MAX)
        self.kill()
        if code != 0:
            raise Failure(f"the server exits with {code}")
        verified = subprocess.run(
            [self.till, "verify", self.folder, *self.capacity_options()], capture_output=True,
            text=True, timeout=START_SECONDS_MAX, check=False)
        if verified.returncode != 0:
            raise Failure(f"till verify: {verified.stderr.strip()}")

    def kill(self):
        """Kills everything that is still running."""
        for process in (self.shell, self.server):
            if process is not None:
                process.kill()
                process.wait()
                process.stdout.close()
        self.shell = None
        self.server = None

    def server_errors(self):
        log = Path(f"{self.folder}.log")
        return log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []


def is_answer(expected, actual):
    for name in ("seq", "key"):
        if f" {name}=" not in expected:
            actual = re.sub(rf" {name}=\S+", "", actual)
    pattern = r"\S*".join(re.escape(part) for part in expected.split("*"))
    return re.fullmatch(pattern, actual) is not None


def direct(session, directive):
    word, *rest = directive.split()
    if word == "wait":
        time.sleep(float(rest[0].rstrip("s")))
    elif word == "restart":
        session.restart()
    elif word == "options" and session.server is None:
        for name, value in zip(rest[::2], rest[1::2]):
            if name.lstrip("-") in CAPACITIES:
                session.capacities[name.lstrip("-")] = value
            else:
                session.options += [name, value]
    else:
        raise Failure(f"no directive: ! {directive}")


def play(session, script):
    """Asks every line; returns the expected and the actual answers that differ, with context."""
    expected, actual = [], []
    lines = [line.strip() for line in script.read_text().splitlines()]
    asked = None
    for line in lines:
        if line.startswith(">"):
            if asked is None:
                raise Failure(f"an answer to nothing: {line}")
            answer = session.ask(asked)
            wanted = line[1:].strip()
            expected += [asked, "> " + wanted]
            actual += [asked, "> " + (wanted if is_answer(wanted, answer) else answer)]
            asked = None
            continue
        if asked is not None and line:
            raise Failure(f"no answer is given for: {asked}")
        if line.startswith("!"):
            direct(session, line[1:].strip())
        elif line and not line.startswith("#"):
            asked = line
    if asked is not None:
        raise Failure(f"no answer is given for: {asked}")
    return list(difflib.unified_diff(expected, actual, "expected", "actual", n=1, lineterm=""))


def run_script(till, script):
    """What is wrong, as lines; none when all is well."""
    with tempfile.TemporaryDirectory(prefix="till-script-", dir="/var/tmp") as folder:
        session = Session(till, f"{folder}/data")
        problems = []
        try:
            problems = play(session, script)
            session.finish()
        except (Failure, OSError, subprocess.TimeoutExpired) as error:
            problems += [str(error), *session.server_errors()]
        finally:
            session.kill()
    return problems


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 0 if sys.argv[1:2] in (["--help"], ["-h"]) else 2
    till, parts = str(Path(sys.argv[1]).resolve()), sys.argv[2:]
    scripts = [script for script in sorted(SCRIPTS.glob("*.till"))
               if not parts or any(part in script.stem for part in parts)]
    passed = failed = 0
    with ThreadPoolExecutor(JOBS) as pool:
        results = pool.map(lambda script: run_script(till, script), scripts)
        for script, problems in zip(scripts, results):
            print(f"{'FAIL' if problems else 'ok'} {script.stem}")
            for line in problems:
                print(f"    {line}")
            sys.stdout.flush()
            passed, failed = passed + (not problems), failed + bool(problems)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
