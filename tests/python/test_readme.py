"""Commands in the README and the other pages work as written, and links lead to existing files."""

import json
import os
import re
import shlex
import socket
import subprocess
from pathlib import Path

import harness
from harness import check, check_equal, test

ROOT = Path(__file__).resolve().parents[2]
BLOCK_SECONDS_MAX = 120

# Replaces ./till in the scratch folder: the same till, on a port of the test's own.
TILL = """#!/bin/sh
command=$1
shift
case $command in
serve) exec {till} serve --listen 127.0.0.1:{port} "$@" ;;
load | shell | snapshot) exec {till} "$command" --connect 127.0.0.1:{port} "$@" ;;
*) exec {till} "$command" "$@" ;;
esac
"""

# A person, too, would wait for the line that says that the server listens.
LISTENS = "until ./till shell </dev/null 2>/dev/null; do sleep 0.05; done"


def pages():
    patterns = ("*.md", "docs/*.md", "tests/*/*.md")
    return [path for pattern in patterns for path in ROOT.glob(pattern)]


def block(heading):
    """The lines of the first fenced block after a heading of the README."""
    text = (ROOT / "README.md").read_text().split(f"## {heading}\n")[1]
    return re.search(r"```\n(.*?)```", text, re.DOTALL)[1].splitlines()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def checkout(run):
    """A folder with what a fresh clone has that the block needs, and a till beside it."""
    folder = run.folder()
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    till = folder / "till"
    till.write_text(TILL.format(till=shlex.quote(run.binary), port=free_port()))
    till.chmod(0o755)
    return folder


@test
def the_block_by_hand_works_line_for_line(run):
    lines = block("By hand")
    commands = [line.split()[1] for line in lines if line.startswith("./till")]
    check_equal(commands[0], "serve", "the first command")
    for name in ("load", "backup", "verify", "log"):
        check(name in commands, f"{name} is shown: {commands}")
    script = ["set -e -o pipefail", "trap 'exit 1' TERM", "trap 'kill $server 2>&- || :' EXIT"]
    for line in lines:
        script += [f"echo {shlex.quote('== ' + line)}", line]
        if line.split("#")[0].rstrip().endswith("&"):
            script += ["server=$!", LISTENS]
    folder = checkout(run)
    done = subprocess.run(["timeout", str(BLOCK_SECONDS_MAX), "bash", "-c", "\n".join(script)],
                          cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    said = done.stdout
    check_equal(done.returncode, 0, f"the exit code of the block, with {said},")
    answers = dict(part.split("\n", 1) for part in said.split("== ")[1:])
    for line, answer in answers.items():
        if "| ./till shell" in line:
            check(answer.startswith("OK "), f"{line}: {answer}")
        if "./till verify" in line:
            check("all invariants hold" in answer, f"{line}: {answer}")
        if "./till log" in line:
            changes = [json.loads(change) for change in answer.splitlines()]
            check(changes and "seq" in changes[-1], f"{line}: {answer}")
    check((folder / "till-data").is_dir(), "./till-data is there")


@test
def the_two_commands_are_targets(run):
    lines = [line for line in block("Two commands") if line.startswith("make")]
    check_equal(len(lines), 2, "commands")
    for line in lines:
        targets = line.split("#")[0].split()[1:]
        done = subprocess.run(["make", "-n", "-C", str(ROOT), *targets], capture_output=True,
                              text=True, check=False,
                              env={name: value for name, value in os.environ.items()
                                   if not name.startswith("MAKE") and name != "MODE"})
        check_equal(done.returncode, 0, f"make -n {targets}: {done.stderr}")


@test
def links_lead_somewhere(run):
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                check((page.parent / target).exists(), f"{page.name}: {target} is not there")


@test
def commands_and_options_in_the_pages_exist(run):
    helps = {}
    for page in pages():
        for name, rest in re.findall(r"\btill ([a-z]+)((?: [^`\n|]*)?)", page.read_text()):
            options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest.split("#")[0])
            if not options:
                continue
            if name not in helps:
                helps[name] = run.till("help", name).stdout
            for option in options:
                known = option in ("--help", "--version") or f"{option} " in f"{helps[name]} "
                check(known or f"{option}\n" in helps[name],
                      f"{page.name}: till {name} has no {option}")


if __name__ == "__main__":
    harness.main()
