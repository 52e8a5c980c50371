"""The Makefile for a newcomer: its help, and what `make deps` says where it can do nothing."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import harness
from harness import check, check_equal, test

ROOT = Path(__file__).resolve().parents[2]

# What the Makefile itself calls.
TOOLS = ("make", "sh", "grep", "nproc", "find", "git", "awk", "cmp", "mkdir", "cat", "echo", "env")


def make(*arguments, path=None):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("MAKE") and name not in ("MODE", "MFLAGS")}
    if path is not None:
        environment["PATH"] = str(path)
    return subprocess.run(["make", "-C", str(ROOT), "--no-print-directory", *arguments],
                          capture_output=True, text=True, check=False, env=environment)


def system(run, user, **programs):
    """A folder of fake programs: no package is installed, and make is run by this user."""
    folder = run.folder()
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found is not None:
            (folder / tool).symlink_to(found)
    for name, script in {"dpkg-query": "exit 1", "id": f"echo {user}", **programs}.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    return folder


def packages(target):
    return re.search(rf"^{target}: +PACKAGES := (.*)$", (ROOT / "Makefile").read_text(),
                     re.MULTILINE)[1].split()


def check_told(result, target, why):
    """Checks that it failed, and says what is missing, why nothing was done, and what to type."""
    check_equal(result.returncode, 2, f"the exit code of make {target}")
    check(why in result.stderr, f"make {target} says {why!r}: {result.stderr}")
    command = next((line for line in result.stderr.splitlines() if "apt-get install" in line), "")
    for package in packages(target):
        check(package in command.split(), f"{package} is in what to type: {result.stderr}")


@test
def help_lists_every_target_in_a_column(run):
    lines = make("help").stdout.splitlines()
    rows = [re.match(r"  ([a-z_.-]+)( +)\S", line) for line in lines]
    listed = {row[1]: len(row[0]) for row in rows if row}
    check_equal(len(set(listed.values())), 1, f"columns at which the texts begin: {listed}")
    check(all(len(row[2]) >= 2 for row in rows if row), "two spaces before each text")
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    wanted = set()
    for line in re.findall(r"^(?:\.PHONY:|TARGETS +:=)(.*)$", text, re.MULTILINE):
        wanted |= set(re.findall(r"(?<![\w(])[a-z][a-z-]*", line))
    check(len(wanted) > 15, f"targets: {wanted}")
    check_equal(wanted - listed.keys(), set(), "targets without a line of help")


@test
def deps_without_root_and_sudo_says_what_to_do(run):
    touched = run.root / "touched"
    folder = system(run, 1000, apt_get=f"echo x >>{touched}")
    for target in ("deps", "deps-check"):
        check_told(make(target, path=folder), target, "needs root, and there is no sudo")
    check(not touched.exists(), "nothing was tried")


@test
def deps_that_are_refused_say_what_to_do(run):
    folder = system(run, 1000, apt_get="exit 1", sudo='exec "$@"')
    check_told(make("deps", path=folder), "deps", "it was refused")
    folder = system(run, 0, apt_get="exit 1")
    check_told(make("deps", path=folder), "deps", "it was refused")


@test
def deps_without_apt_names_the_packages(run):
    check_told(make("deps", path=system(run, 0)), "deps", "there is no apt-get")


@test
def deps_are_installed_as_root_or_by_sudo(run):
    for user, programs in ((0, {}), (1000, {"sudo": f'echo sudo >>{run.root}/log; exec "$@"'})):
        log = run.root / "log"
        log.unlink(missing_ok=True)
        folder = system(run, user, apt_get=f'echo "$@" >>{log}', **programs)
        result = make("deps", path=folder)
        check_equal(result.returncode, 0, f"the exit code, with {result.stderr},")
        said = log.read_text()
        for package in packages("deps"):
            check(package in said, f"{package} is asked for: {said}")
        check_equal("sudo" in said, user != 0, "sudo is asked")


@test
def deps_that_are_there_are_left_alone(run):
    folder = system(run, 1000, dpkg_query="echo installed")
    result = make("deps", path=folder)
    check_equal((result.returncode, result.stdout), (0, "  DEPS nothing is missing\n"), "make deps")


@test
def editors_are_told_how_each_source_is_compiled(run):
    """The file is always generated again, and only from this tree."""
    result = make("compile_commands.json")
    check_equal(result.returncode, 0, f"the exit code, with {result.stderr},")
    told = json.loads((ROOT / "compile_commands.json").read_text())
    sources = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.c")
               if path.relative_to(ROOT).parts[0] != "build"}
    check_equal({entry["file"] for entry in told}, sources, "the sources")
    for entry in told:
        check_equal(entry["directory"], str(ROOT), "the folder")
        check("-std=gnu11" in entry["command"] and entry["command"].endswith(entry["file"]),
              f"the command {entry['command']}")


if __name__ == "__main__":
    harness.main()
