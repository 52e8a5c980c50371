"""A server that has less memory than its tables take: it refuses to start, with the numbers,
instead of being killed by the kernel later. In a real control group, as root."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import harness
from harness import Skip, check, check_equal, test
from till_client import Client

harness.LAZY_MEMORY = False

GROUPS = Path("/sys/fs/cgroup")
LIMIT_MIB = 160
REPLICAS_MIB = 64  # what links to replicas may take, which counts as connections
REMOVE_SECONDS_MAX = 10


def remove(folder):
    """A group can be removed when its last process has ended."""
    deadline = time.monotonic() + REMOVE_SECONDS_MAX
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            check(time.monotonic() < deadline, f"{folder} stays")
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)


@contextlib.contextmanager
def group(mebibytes):
    """A control group with this limit: the command prefix that runs a command in it, and the file
    with the limit."""
    name = f"till-test-{os.getpid()}"
    v1 = (GROUPS / "memory" / "memory.limit_in_bytes").exists()
    folder = GROUPS / "memory" / name if v1 else GROUPS / name
    limit = folder / ("memory.limit_in_bytes" if v1 else "memory.max")
    try:
        folder.mkdir()
    except OSError as error:
        raise Skip(f"it needs a control group of its own: {error}") from error
    try:
        if not limit.exists():
            raise Skip(f"the control groups below {GROUPS} have no memory controller")
        limit.write_text(str(mebibytes << 20))
        if not v1 and (folder / "memory.swap.max").exists():
            (folder / "memory.swap.max").write_text("0")
        yield ("sh", "-c", f"echo $$ >{folder}/cgroup.procs && exec \"$@\"", "-"), limit.name
    finally:
        remove(folder)


def serve(run, *options, prefix=()):
    return run.till("serve", "--data", run.folder(), "--listen", "127.0.0.1:0", *options,
                    prefix=prefix)


@test
def tables_above_the_limit_of_the_group_are_refused_with_the_numbers(run):
    with group(LIMIT_MIB) as (inside, file):
        result = serve(run, prefix=inside)
        check_equal(result.returncode, 1, f"the exit code, with {result.stderr},")
        check("listening" not in result.stdout, "it never listens")
        for words in (f"{file} of the control group", f"is {LIMIT_MIB}.0 MiB", "--deadlines (",
                      "--orders (", "--snapshot-memory", "--lazy-memory"):
            check(words in result.stderr, f"{words!r} is said: {result.stderr}")
        tables = float(re.search(r"tables ([\d.]+)", result.stderr)[1])
        check(tables > LIMIT_MIB, f"the tables take {tables} MiB")


@test
def a_server_that_fits_its_group_serves(run):
    with group(LIMIT_MIB + REPLICAS_MIB) as (inside, _):
        small = ("--orders", "16k", "--steps", "16k", "--deadlines", "16k", "--payments", "16k",
                 "--moneys", "16k", "--keys", "16k", "--earnings", "16k", "--accounts", "16k",
                 "--fulfilments", "16k", "--parcels", "16k", "--refunds", "16k",
                 "--connections", "64", "--output-chunks", "64", "--snapshot-memory", "1m")
        server = run.serve(options=small, prefix=inside)
        check_equal(server.errors(), "", "warnings")
        with server.client() as client:
            check_equal(client.call("stats").outcome, "OK", "stats")
        server.stop_clean()


@test
def lazy_memory_starts_with_a_warning(run):
    with group(LIMIT_MIB) as (inside, file):
        server = run.serve(options=("--lazy-memory", "--deadlines", "8m"), prefix=inside)
        check(file in server.errors() and "--deadlines (" in server.errors(), server.errors())
        with server.client() as client:
            check_equal(client.call("stats").outcome, "OK", "stats")
        server.stop_clean()


@test
def tables_above_what_the_machine_has_are_refused(run):
    most = [word for table in harness.SMALL for word in (f"--{table}", "255m")]
    result = serve(run, *most)
    check_equal(result.returncode, 1, f"the exit code, with {result.stderr},")
    check("--orders" in result.stderr and "MiB" in result.stderr, result.stderr)


def is_of_till(task):
    """The kernel's own workers of the loop's ring (iou-wrk) belong to the loop; the kernel starts
    and ends them at any time."""
    try:
        return (task / "comm").read_text().strip() == "till"
    except OSError:
        return False


@test
def loop_has_its_core_and_the_helpers_have_the_others(run):
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    server = run.serve(options=("--core", str(core)))
    tasks = Path(f"/proc/{server.process.pid}/task")
    check_equal(os.sched_getaffinity(server.process.pid), {core}, "the loop's cores")
    helpers = [int(task.name) for task in tasks.iterdir()
               if is_of_till(task) and int(task.name) != server.process.pid]
    check(helpers, "there are helper threads")
    for helper in helpers:
        check_equal(os.sched_getaffinity(helper), allowed - {core} or allowed, "a helper's cores")
    server.stop_clean()


@test
def server_outlives_whoever_reads_what_it_prints(run):
    """As behind `till serve | grep -m1 listening`: it prints more when its memory is taken."""
    folder = run.folder()
    process = subprocess.Popen(harness.serve_command(run.binary, folder), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line.startswith("listening on "):
            break
    process.stdout.close()
    host, port = line.split()[2].rsplit(":", 1)
    with Client((host, int(port))) as client:
        for _ in range(20):
            time.sleep(0.05)
            check_equal(client.call("stats").outcome, "OK", "stats")
    process.terminate()
    check(process.wait(60) >= 0, "it ends by itself")


@test
def core_that_is_not_there_is_refused_and_nothing_is_left(run):
    missing = max(set(range(1024)) - set(range(os.cpu_count())))
    folder = run.folder()
    result = run.till("serve", "--data", folder, "--core", missing)
    check_equal(result.returncode, 1, f"the exit code, with {result.stderr},")
    check(f"--core {missing}" in result.stderr, result.stderr)
    check(not folder.exists(), "no folder is left")


if __name__ == "__main__":
    harness.main()
