"""The data folder under a running server: it has one writer whatever is removed from it, and what is
moved, replaced or removed is told before anything acknowledged is lost without a word."""

import shutil
import time

import harness
from harness import check, check_equal, test
from shop import place, segments, set_up, stats

WAIT_SECONDS_MAX = 60


def wait_until(ready, what):
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not ready():
        check(time.monotonic() < deadline, f"waited in vain for {what()}")
        time.sleep(0.02)


def wait_end(server, words):
    """Until the server has ended by itself, saying why."""
    server.process.wait(WAIT_SECONDS_MAX)
    check_equal(server.process.returncode, 1, f"the exit code: {server.errors()}")
    check(words in server.errors(), f"{words!r} in {server.errors()}")


def refused(run, folder, words):
    result = run.till("serve", "--data", folder, "--listen", "127.0.0.1:0")
    check(result.returncode == 1 and words in result.stderr, f"{result.stdout} {result.stderr}")


@test
def nothing_that_can_be_removed_lets_a_second_writer_in(run):
    server = run.serve()
    set_up(server)
    for path in server.folder.iterdir():
        if path.stat().st_size == 0:
            path.unlink()
    refused(run, server.folder, "another till serves this folder")
    target = run.folder()
    backup = run.till("backup", target, "--data", server.folder)
    check_equal(backup.returncode, 0, f"a backup beside it: {backup.stderr}")
    restored = run.till("restore", "--from", target, "--data", server.folder)
    check("is not empty" in restored.stderr, f"a restore into it: {restored.stderr}")
    check_equal(place(server, 1, 10), ["OK"] * 10, "orders")
    run.finish(server)


@test
def folder_that_is_moved_stays_whole_locked_and_is_told(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 10)
    moved = run.folder()
    server.folder.rename(moved)
    check_equal(place(server, 11, 10), ["OK"] * 10, "orders in the moved folder")
    wait_until(lambda: f"no longer {server.folder}" in server.errors(), server.errors)
    refused(run, moved, "another till serves this folder")
    before = stats(server)
    server.stop_clean()
    check(not server.folder.exists(), "nothing was made where it stood")
    run.verify(moved)
    server = run.serve(moved)
    check_equal(stats(server), before, "stats")
    run.finish(server)


@test
def folder_that_is_removed_ends_the_server_and_says_why(run):
    server = run.serve()
    set_up(server)
    shutil.rmtree(server.folder)
    wait_end(server, "removed")
    server = run.serve(server.folder)
    check_equal(stats(server)["seq"], 0, "a new shop")
    run.finish(server)


@test
def folder_that_is_made_anew_has_a_server_of_its_own(run):
    first = run.serve()
    set_up(first)
    shutil.rmtree(first.folder)
    first.folder.mkdir()
    second = run.serve(first.folder)
    set_up(second)
    wait_end(first, "removed")
    check_equal(place(second, 1, 10), ["OK"] * 10, "orders in the new folder")
    run.finish(second)


@test
def segment_that_is_removed_ends_the_server_and_is_named_by_the_next(run):
    server = run.serve()
    set_up(server)
    segment = segments(server.folder)[0]
    segment.unlink()
    wait_end(server, segment.name)
    refused(run, server.folder, f"{segment.name} is missing")


@test
def segment_that_cannot_be_read_is_named(run):
    server = run.serve()
    set_up(server)
    server.kill()
    segment = segments(server.folder)[0]
    segment.unlink()
    segment.mkdir()
    refused(run, server.folder, segment.name)
    segment.rmdir()
    segment.symlink_to("/nowhere")
    refused(run, server.folder, segment.name)


harness.main()
