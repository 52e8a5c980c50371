"""The tests' own tools: skipped tests are reported and counted, the output of suites that run side
by side is kept apart, the closing line adds up, and `make tidy` skips only what it has found
clean."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import check, check_equal, test

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS_MAX = 30

MIXED = '''
import harness
from harness import Skip, check, test

@test
def passes(run):
    check(run.root.is_dir(), "a folder of its own")

@test
def is_skipped(run):
    raise Skip("the moon is not full")

@test
def fails(run):
    check(run.arguments.seed == 0, "the seed is 0")

harness.main()
'''

MOUNTING = '''
import harness
from harness import test

@test
def needs_a_mount(run):
    harness.mounting()

harness.main()
'''

# Builds a root file system in a plain folder, which is no mount point, from parts of this one.
CHROOT = '''
set -e
for part in usr etc proc dev; do
    mkdir "$root/$part"
    mount --rbind "/$part" "$root/$part"
done
for link in bin sbin lib lib64; do
    if [ -L "/$link" ]; then cp -P "/$link" "$root/$link"; fi
done
mkdir -p "$root/tmp" "$root/till"
mount --bind "$till" "$root/till"
exec chroot "$root" "$@"
'''


def script_module(*path):
    """A script of tests/, whose name has no suffix, as a module."""
    loader = importlib.machinery.SourceFileLoader("script", str(ROOT.joinpath("tests", *path)))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("script", loader))
    was, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = was
    return module


def python(run, script, *arguments):
    path = run.root / "test_it.py"
    path.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, str(path), str(run.binary), *arguments],
                          capture_output=True, text=True, timeout=60, env=environment, check=False)


def commands_of(run, **scripts):
    """Suites that are shell commands."""
    return {name: ["sh", "-c", script] for name, script in scripts.items()}


def run_suites(run, jobs, **scripts):
    """Runs them with tests/run; returns the results by name, and its output."""
    module = script_module("run")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        results = module.Runner("release", run.root / "logs").run_all(
            commands_of(run, **scripts), jobs)
    return {result.name: result for result in results}, printed.getvalue()


@test
def skipped_tests_are_named_and_counted(run):
    done = python(run, MIXED)
    check_equal(done.returncode, 1, "the exit code with a failed test")
    lines = done.stdout.splitlines()
    check("SKIP is_skipped: the moon is not full" in lines, done.stdout)
    check_equal(lines[-1], "1 passed, 1 failed, 1 skipped", "the closing line")
    done = python(run, MIXED, "--seed", "0")
    check_equal(done.returncode, 0, "the exit code with a skipped test")
    check_equal(done.stdout.splitlines()[-1], "2 passed, 0 failed, 1 skipped", "the closing line")
    done = python(run, MIXED, "passes")
    check_equal(done.stdout.splitlines()[-1], "1 passed, 0 failed", "without any that is skipped")


@test
def tests_that_need_a_mount_are_skipped_in_a_chroot(run):
    harness.mounting()  # else there can be no chroot either
    if os.geteuid() != 0:
        raise harness.Skip("it makes a chroot, which only root may")
    root = run.folder()
    root.mkdir()
    (root / "test_it.py").write_text(MOUNTING)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", CHROOT, "-", "/usr/bin/python3", "/test_it.py",
         "/bin/true"], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "root": str(root), "till": str(ROOT),
             "PYTHONPATH": "/till/tests/python", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": "/tmp"})
    check_equal(done.returncode, 0, f"the exit code, with {done.stdout} {done.stderr},")
    check("SKIP needs_a_mount: it needs a mount of its own, and / is no mount point" in done.stdout,
          done.stdout)
    check_equal(done.stdout.splitlines()[-1], "0 passed, 0 failed, 1 skipped", "the closing line")


@test
def suites_are_judged_by_their_closing_line(run):
    judge = script_module("run").judge
    for code, lines, expected in (
        (0, ["ok a", "2 passed, 0 failed"], (2, 0, 0)),
        (0, ["SKIP b: why", "2 passed, 0 failed, 3 skipped"], (2, 0, 3)),
        (1, ["2 passed, 1 failed, 3 skipped"], (2, 1, 3)),
        (1, ["2 passed, 0 failed"], (2, 1, 0)),
        (0, ["2 passed, 0 failed", "and more"], (0, 1, 0)),
        (-9, [], (0, 1, 0)),
        ("did not end within 1 s", ["2 passed, 0 failed"], (0, 1, 0)),
    ):
        check_equal(judge(code, lines)[:3], expected, f"the counts of {lines}, exit code {code}")


@test
def suites_run_side_by_side_and_each_is_printed_in_one_piece(run):
    """Each waits for the other: neither ends when they run one after the other."""
    meet = 'touch {0}; until [ -e {1} ]; do sleep 0.01; done; echo FAIL {2}; echo "{3}"'
    first, second = run.root / "first", run.root / "second"
    results, printed = run_suites(
        run, 2, one=meet.format(first, second, "a", "1 passed, 1 failed"),
        two=meet.format(second, first, "b", "0 passed, 2 failed, 1 skipped"))
    check_equal(results["one"][1:4], (1, 1, 0), "the counts of the first")
    check_equal(results["two"][1:4], (0, 2, 1), "the counts of the second")
    lines = printed.splitlines()
    for name, said in (("one", "FAIL a"), ("two", "FAIL b")):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{name} "))
        check_equal(lines[at + 1].strip(), said, f"what follows the line of {name}")


@test
def suites_run_one_by_one_when_told_to(run):
    """With one job, and where a suite must run alone: no two ever run at the same time."""
    lone = f"mkdir {run.root}/here && rmdir {run.root}/here && echo '1 passed, 0 failed'"
    slow = f"mkdir {run.root}/here && sleep 0.2 && rmdir {run.root}/here && " \
           "echo '1 passed, 0 failed'"
    results, printed = run_suites(run, 1, one=slow, two=lone, three=slow)
    check_equal({result[1:4] for result in results.values()}, {(1, 0, 0)}, f"counts: {printed}")
    alone = script_module("run").ALONE
    check(alone, "there is a suite that wants to be alone")
    results, printed = run_suites(run, 4, one=slow, **dict.fromkeys(alone, lone))
    check_equal({result[1:4] for result in results.values()}, {(1, 0, 0)}, f"counts: {printed}")


def is_running(pid):
    """Not even when the other has ended and only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@test
def what_a_suite_leaves_running_is_ended(run):
    note = run.root / "pid"
    run_suites(run, 2, one=f"sleep 600 & echo $! >{note}; echo '1 passed, 0 failed'")
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while is_running(note.read_text().strip()):
        check(time.monotonic() < deadline, "it still runs")
        time.sleep(0.01)


@test
def what_was_skipped_is_shown_with_its_reason(run):
    results, printed = run_suites(
        run, 2, one="echo ok a; echo 'SKIP b: no moon'; echo '1 passed, 0 failed, 1 skipped'")
    check_equal(results["one"][1:4], (1, 0, 1), "the counts")
    check("    SKIP b: no moon" in printed.splitlines(), printed)
    check("ok a" not in printed, printed)


# Finds the word "wrong" in a file, or in the one header that there is.
CHECKER = """#!/bin/sh
[ "$1" = --version ] && exec cat {tree}/version
if grep -H wrong "$1" own.h; then exit 1; fi
"""


@test
def tidy_looks_again_at_what_a_verdict_follows_from_and_at_nothing_else(run):
    tree = run.folder()
    tree.mkdir()
    checker = tree / "checker"
    files = {"version": "1", "configuration": "all", "own.h": "extern int a;\n",
             "one.c": '#include "own.h"\n', "two.c": "int b;\n"}
    checker.write_text(CHECKER.format(tree=tree))
    checker.chmod(0o755)

    def looked_at():
        """The files that were checked, and the problems."""
        module = script_module("tidy", "run")
        module.ROOT, module.STAMPS = tree, tree / "build"
        checks = module.FileCheck(lambda path: [str(checker), path], module.included,
                                  ["configuration"])
        problems, note = checks.check_all([Path("one.c"), Path("two.c")])
        check_equal(note, f", {len(checks.checked)} of 2 files", "what is said of it")
        return sorted(str(path) for path in checks.checked), problems

    both, none = ["one.c", "two.c"], ([], [])
    for name, text in files.items():
        (tree / name).write_text(text)
    check_equal(looked_at(), (both, []), "at first")
    check_equal(looked_at(), none, "without a change")
    for name in files:
        os.utime(tree / name, (1, 1))
    check_equal(looked_at(), none, "with other times alone")
    for name, text, expected in (("own.h", "extern int b;\n", ["one.c"]),
                                 ("two.c", "int c;\n", ["two.c"]),
                                 ("configuration", "most", both), ("version", "2", both)):
        (tree / name).write_text(text)
        check_equal(looked_at(), (expected, []), f"after a change of {name}")
        check_equal(looked_at(), none, f"without a change after that of {name}")
    (tree / "two.c").write_text("int wrong;\n")
    for _ in range(2):
        check_equal(looked_at(), (["two.c"], ["two.c:int wrong;"]), "until it is mended")
    (tree / "two.c").write_text("int c;\n")
    check_equal(looked_at(), none, "as it was when it was found clean")
    (tree / "own.h").unlink()
    for _ in range(2):
        check_equal(looked_at()[0], ["one.c"], "while a header is missing")


# What .ci/run asks of make, each with its own kind of end.
STEPS = """
.SILENT:
deps deps-check gcc programs clang:
\techo built
test:
\techo 'in all: 3 s'; echo '7 passed, 0 failed, 2 skipped'
sanitize:
\techo '5 passed, 1 failed'; exit 1
tidy:
\techo '4 passed, 0 failed'; exit 1
fuzz:
\texit 1
"""


@test
def everything_is_added_up_side_by_side_or_not(run):
    folder = run.folder()
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    (folder / "Makefile").write_text(STEPS)
    done = subprocess.run(["bash", ".ci/run"], cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False)
    lines = done.stdout.splitlines()
    check_equal(done.returncode, 1, f"the exit code, with {done.stdout} {done.stderr},")
    check_equal(lines[-1], "20 passed, 3 failed, 2 skipped", "the closing line")
    for name, said in (("gcc", "1 passed, 0 failed"), ("test", "7 passed, 0 failed, 2 skipped"),
                       ("sanitize", "5 passed, 1 failed"), ("tidy", "4 passed, 1 failed"),
                       ("clang", "1 passed, 0 failed"), ("fuzz", "0 passed, 1 failed")):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"== {name} "))
        end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith("== ")), len(lines))
        check(f"   {said}" in lines[at:end], f"{name} says {lines[at:end]}")


if __name__ == "__main__":
    harness.main()
