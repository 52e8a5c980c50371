"""What the command line answers to right and wrong arguments: help and versions on standard output,
errors on standard error with exit code 2 and without doing anything."""

import re
from pathlib import Path

import harness
from formats import schema_written, version_written
from harness import check, check_equal, test

ROOT = Path(__file__).resolve().parents[2]
COLUMNS_MAX = 100


def subcommands(run):
    """As `till help` lists them."""
    listed = re.findall(r"^  ([a-z]+) +\S", run.till("help").stdout, re.MULTILINE)
    check({"serve", "load", "shell", "bench", "help", "version"} <= set(listed), f"{listed}")
    return listed


def check_refused(run, arguments, *parts):
    """Checks that there is only a message with all these parts, and the exit code of a usage
    error."""
    result = run.till(*arguments)
    check_equal((result.returncode, result.stdout), (2, ""), f"till {arguments}")
    check(result.stderr.count("\n") == 1, f"till {arguments} says why in a line: {result.stderr}")
    for part in parts:
        check(part in result.stderr, f"till {arguments} says {part!r}: {result.stderr}")


@test
def help_is_on_stdout_and_succeeds(run):
    whole = [run.till(*arguments) for arguments in (["help"], ["--help"], ["-h"], ["help", "help"])]
    check_equal({(result.returncode, result.stdout, result.stderr) for result in whole},
                {(0, whole[0].stdout, "")}, "the help, however it is asked for")
    for name in subcommands(run):
        said = [run.till(*arguments) for arguments in ((name, "--help"), (name, "-h"),
                                                       ("help", name))]
        check_equal({(result.returncode, result.stdout, result.stderr) for result in said},
                    {(0, said[0].stdout, "")}, f"the help of {name}")
        check(f"usage: till {'COMMAND' if name == 'help' else name}" in said[0].stdout,
              f"how {name} is used: {said[0].stdout}")


@test
def version_tells_the_protocol_and_the_formats(run):
    said = [run.till(*arguments) for arguments in (["version"], ["--version"], ["-V"],
                                                   ["serve", "-V"], ["shell", "--version"])]
    check_equal({(result.returncode, result.stdout, result.stderr) for result in said},
                {(0, said[0].stdout, "")}, "the version, however it is asked for")
    header = (ROOT / "cli" / "version.h").read_text()
    version = re.search(r'#define TILL_VERSION "(.*)"', header)[1]
    lines = said[0].stdout.splitlines()
    check(re.fullmatch(rf"till {re.escape(version)}( \([\w.-]+\))?", lines[0]), lines[0])
    check(f"log format {version_written('WAL_BLOCK_VERSION')}" in lines, f"{lines}")
    check(f"snapshot format {version_written('IMAGE_VERSION')}" in lines, f"{lines}")
    check(f"schema {schema_written()}" in lines, f"{lines}")
    check("protocol 1" in lines, f"{lines}")


@test
def changelog_has_the_version(run):
    header = (ROOT / "cli" / "version.h").read_text()
    version = re.search(r'#define TILL_VERSION "(.*)"', header)[1]
    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    check_equal(headings[0], "Unreleased", "the newest heading of CHANGELOG.md")
    check(len(headings) == 1 or version in headings, f"{version} is not in {headings}")


@test
def usage_errors_exit_with_2_and_try_nothing(run):
    folder = run.folder()
    for arguments in (["serve", "--data"], ["serve", "--data", folder, "surplus"], ["verify"],
                      ["log"], ["load"], ["restore"], ["backup"], ["version", "surplus"],
                      ["help", "serve", "surplus"],
                      ["serve", "--data", folder, "--listen", "7411"],
                      *([name, "--no-such-option"] for name in subcommands(run))):
        check_refused(run, arguments)
    result = run.till()
    check_equal((result.returncode, result.stdout), (2, ""), "till without a command")
    check("usage: till" in result.stderr, "what can be typed instead")
    check(not folder.exists(), "nothing was tried")


@test
def what_was_meant_is_named(run):
    for typed, meant in (("sevre", "serve"), ("verfy", "verify"), ("snap", "snapshot"),
                         ("server", "serve"), ("lod", "load")):
        check_refused(run, [typed], typed, f"did you mean {meant}?")
        check_refused(run, ["help", typed], typed, f"did you mean {meant}?")
    for arguments, meant in ((["serve", "--lisen", "x"], "--listen"),
                             (["serve", "--output_chunk", "16"], "--output-chunks"),
                             (["serve", "--order=1k"], "--orders"),
                             (["bench", "--in-fligth", "4"], "--in-flight"),
                             (["load", "--stric"], "--strict"),
                             (["serve", "-listen", "x"], "--listen")):
        check_refused(run, arguments, arguments[1].split("=")[0], f"did you mean {meant}?")
    for arguments in (["install"], ["serve", "--frobnicate"], ["log", "-x"]):
        check_refused(run, arguments, arguments[-1])
        check("did you mean" not in run.till(*arguments).stderr, f"nothing is near {arguments}")


@test
def a_bad_value_is_named_with_its_range(run):
    folder = run.folder()
    for option, value, low, high in (("--connections", "0", 1, 65536),
                                     ("--connections", "70k", 1, 65536),
                                     ("--log-writes", "9", 1, 8),
                                     ("--output-chunks", "15", 16, 1 << 20),
                                     ("--spin", "1000001", 0, 1000000),
                                     ("--core", "1024", 0, 1023),
                                     ("--core", "-1", 0, 1023),
                                     ("--core", "1x", 0, 1023),
                                     ("--log-segment", "3", 4, 1024),
                                     ("--snapshot-memory", "1", 1 << 20, 2**32 - 1),
                                     ("--orders", "many", 1, 2**28 - 1),
                                     ("--orders", "0", 1, 2**28 - 1),
                                     ("--orders", "-5", 1, 2**28 - 1),
                                     ("--orders", "5x", 1, 2**28 - 1),
                                     ("--orders", "4g", 1, 2**28 - 1),
                                     ("--orders", "", 1, 2**28 - 1)):
        check_refused(run, ["serve", "--data", folder, option, value], option, value,
                      f"from {low} to {high}")
        check_refused(run, ["serve", "--data", folder, f"{option}={value}"], option, value,
                      f"from {low} to {high}")
    for option, value, low, high in (("--seconds", "0", 1, 3600), ("--lines", "33", 1, 32),
                                     ("--in-flight", "1m", 1, 4096)):
        check_refused(run, ["bench", option, value], option, value, f"from {low} to {high}")
    check_refused(run, ["serve", "--data", "--quiet"], "--data needs a value: DIR")
    check_refused(run, ["serve", "--data="], "--data needs a value: DIR")
    check_refused(run, ["serve", "--data", ""], "--data needs a value: DIR")
    check_refused(run, ["serve", "--quiet=yes"], "--quiet takes no value")
    check(not folder.exists(), "nothing was tried")


@test
def options_are_shown_in_groups_with_their_defaults(run):
    lines = run.till("serve", "--help").stdout.splitlines()
    for group, option, value in (("Network:", "--listen ADDR:PORT", "(127.0.0.1:7411)"),
                                 ("Network:", "--connections N", "(16k; 1 to 64k)"),
                                 ("Durability (the log):", "--log-writes N", "(2; 1 to 8)"),
                                 ("Snapshots:", "--snapshot-every SECONDS", "(300)")):
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(option))
        text = " ".join(line.strip() for line in lines[at:at + 3])
        check(value in text, f"the default of {option}: {text}")
        before = [line for line in lines[:at] if line and not line.startswith(" ")]
        check_equal(before[-1], group, f"the group of {option}")


@test
def every_option_is_in_the_document(run):
    """docs/options.md is generated from the tables of the options, and has everything that any help
    shows."""
    document = (ROOT / "docs" / "options.md").read_text()
    check_equal(run.till("help", "--markdown").stdout, document,
                "docs/options.md (till help --markdown >docs/options.md)")
    sections = dict(section.split("\n", 1) for section in document.split("\n## "))
    for name in subcommands(run):
        shown = re.findall(r"^  (--[a-z-]+)", run.till("help", name).stdout, re.MULTILINE)
        for option in shown:
            section = next(text for title, text in sections.items()
                           if title.split(" ")[:2] == ["till", name])
            check(re.search(rf"^\| `{option}[ `]", section, re.MULTILINE),
                  f"till {name} {option} is in docs/options.md")


@test
def help_fits_a_terminal_and_says_nothing_twice(run):
    for name in subcommands(run):
        for line in run.till("help", name).stdout.splitlines():
            check(len(line) <= COLUMNS_MAX, f"{name}: {len(line)} columns: {line}")
            check(not re.search(r"(\([^()]+\)) \1", line), f"{name}: a default twice: {line}")


@test
def output_that_cannot_be_written_is_an_error(run):
    for arguments in ("help", "serve --help", "version", "protocol"):
        result = run.shell(f"{run.binary} {arguments} >/dev/full")
        check_equal(result.returncode, 1, f"the exit code of till {arguments} on a full disk")
        check("No space left" in result.stderr or "cannot be written" in result.stderr,
              f"till {arguments}: {result.stderr}")


if __name__ == "__main__":
    harness.main()
