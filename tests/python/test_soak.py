"""The soak (bench/soak): honest clients beside every kind of hostile ones, about a minute in all.
Half an hour of it, with the percentiles checked too, is `make bench-soak`. Also tests that the soak
reports the failures that it must detect."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import harness
from harness import check, check_equal, test

STALL_MS = 5000  # a shared machine may keep any process waiting for a while
KINDS = ("deaf-64", "deaf-300", "deaf-1000", "slow-readers", "slow-writers", "halves", "silent",
         "churn", "invalid", "largest")
SHORT_SECONDS = 6


def start(run, *options):
    """A soak from the same build as till."""
    command = [str(Path(run.binary).parent / "soak"), "--till", run.binary,
               "--folder", str(run.root), "--json", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """The exit code and the report."""
    out, errors = process.communicate()
    check(out.startswith("{"), f"soak ends with {process.returncode}: {errors}")
    return process.returncode, json.loads(out)


def show(phase):
    print(f"   {phase['phase']:13} p50 {phase['p50_us']:9.0f} us, p99 {phase['p99_us']:9.0f} us, "
          f"stall {phase['stall_ms']:8.1f} ms, hello {phase['hello_ms']:8.1f} ms; "
          f"{phase['opened']} opened, {phase['closed']} closed by the server")


def server_beside(process, kind):
    """The pid of the soak's server, when this kind of hostile clients has just started."""
    for line in process.stderr:
        if line.strip() == kind:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            return int(children.split()[0])
    raise AssertionError("the soak ends before that")


def is_told(report, words):
    return any(words in failure for failure in report["failures"])


@test
def honest_clients_are_served_beside_every_kind_of_hostile_ones(run):
    process = start(run, "--seconds", run.arguments.seconds, "--stall-ms", STALL_MS)
    code, report = finish(process)
    print(f"   {report['rate']} requests/s of {report['rate_max']}")
    for phase in report["phases"]:
        show(phase)
    check_equal([phase["phase"] for phase in report["phases"]],
                [name for kind in KINDS for name in ("calm", kind)] + ["calm"], "the phases")
    for phase in report["phases"]:
        check(phase["phase"] == "calm" or phase["opened"] > 0, f"{phase['phase']} were there")
        check(phase["hellos"] > 0, f"new connections were made beside {phase['phase']}")
    check_equal(report["failures"], [], f"what failed, with the log {report['log']},")
    check_equal(code, 0, "the exit code")


@test
def soak_tells_of_a_server_that_stalls(run):
    process = start(run, "--seconds", SHORT_SECONDS, "--kinds", "silent", "--stall-ms", 400)
    server = server_beside(process, "silent")
    os.kill(server, signal.SIGSTOP)
    time.sleep(1)
    os.kill(server, signal.SIGCONT)
    code, report = finish(process)
    check_equal(code, 1, "the exit code")
    check(is_told(report, "nothing was answered for"), f"a stall in {report['failures']}")


@test
def soak_tells_of_a_server_that_ends_and_goes_on_with_another(run):
    process = start(run, "--seconds", SHORT_SECONDS, "--kinds", "halves", "--stall-ms", STALL_MS)
    os.kill(server_beside(process, "halves"), signal.SIGKILL)
    code, report = finish(process)
    check_equal(code, 1, "the exit code")
    check(is_told(report, "the server ended with signal 9"), f"it in {report['failures']}")
    check_equal(report["phases"][-1]["server"], "alive", "the server of the last phase")
    check(report["phases"][-1]["answered"] > 0, "the last phase is answered")


harness.main(("seconds", 50, "length of the soak"))
