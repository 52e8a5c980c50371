"""Folders that are not what a command was told they are: each is named, with what was looked for in
it, and nothing is left behind."""

import os
import shutil
import subprocess

import harness
from harness import check, check_equal, test
from shop import place, set_up

NOBODY = 65534


def run_as_nobody(run, *arguments):
    """Root may read everything, so what may not be read is shown to someone else."""
    binary = run.root / "till"
    shutil.copy(run.binary, binary)
    run.root.chmod(0o755)
    user = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    return subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, input="stats\n", **user)


def readers(run, path, sound):
    """Every command that reads a folder, as its arguments, with what it would make."""
    return (
        (("verify", path), None),
        (("log", path), None),
        (("shell", "--data", path), None),
        (("restore", "--from", path, "--data", (made := run.folder())), made),
        (("backup", (made := run.folder()), "--data", path), made),
        (("verify", sound, "--archive", path), None),
        (("shell", "--data", sound, "--archive", path), None),
        (("restore", "--from", sound, "--archive", path, "--data", (made := run.folder())), made),
    )


def check_refused(result, path, *words):
    check_equal(result.returncode, 1, f"the exit code of {result.args}: {result.stdout}")
    check_equal(result.stdout, "", f"the output of {result.args}")
    for word in (str(path), *words):
        check(word in result.stderr, f"{word!r} in {result.args}: {result.stderr}")
    check_equal(len(result.stderr.splitlines()), 1, f"the lines said: {result.stderr}")


def sound_folder(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 100)
    server.stop_clean()
    return server.folder


@test
def path_without_a_data_folder_is_named_by_every_command_that_reads_one(run):
    sound = sound_folder(run)
    empty, foreign, file = run.folder(), run.folder(), run.folder()
    empty.mkdir()
    foreign.mkdir()
    (foreign / "notes.txt").write_text("milk")
    (foreign / "wal-1.log").write_text("not one of till's names")
    (foreign / "snapshot-00000000000000000042.till.damaged").write_text("set aside")
    file.write_text("a file")
    for path, words in ((run.root / "nowhere", "no such folder"), (empty, "wal-*.log"),
                        (foreign, "wal-*.log"), (file, "a file")):
        for arguments, made in readers(run, path, sound):
            of_archive = "--archive" in arguments
            kind = "no archive" if of_archive else "no data folder"
            said = words.replace("wal-*.log", "log-*.till") if of_archive else words
            check_refused(run.till_with_input("stats\n", *arguments), path, kind, said)
            check(made is None or not made.exists(), f"{arguments} leaves {made}")
    run.verify(sound)


@test
def folder_that_may_not_be_read_is_named(run):
    sound = sound_folder(run)
    for mode in (0o000, 0o444):
        sound.chmod(mode)
        for arguments in (("verify", sound), ("log", sound), ("shell", "--data", sound)):
            result = run_as_nobody(run, *arguments)
            check_refused(result, sound, "Permission denied")
    sound.chmod(0o755)
    run.verify(sound)


@test
def data_folder_is_not_taken_for_an_archive(run):
    sound = sound_folder(run)
    for arguments in (("verify", sound, "--archive", sound),
                      ("shell", "--data", sound, "--archive", sound)):
        check_refused(run.till_with_input("stats\n", *arguments), sound, "no archive")


harness.main()
