"""The data folder under a running server: it has one writer whatever is removed from it, and a
folder or file that is moved, replaced or removed is reported before anything acknowledged is lost
silently."""

import ctypes
import os
import select
import shutil

import harness
from harness import check, check_equal, test, wait_until
from shop import order_id, place, segments, set_up, stats

PAGE = 4096
PUNCH_HOLE = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


def wait_end(server, words):
    """Waits until the server has ended by itself, with a message that says why."""
    server.process.wait(harness.WAIT_SECONDS_MAX)
    check_equal(server.process.returncode, 1, f"the exit code: {server.errors()}")
    check(words in server.errors(), f"{words!r} in {server.errors()}")


def remove_folder(server):
    """The server may be making its next segment there meanwhile."""
    def is_removed():
        shutil.rmtree(server.folder, ignore_errors=True)
        return not server.folder.exists()
    wait_until(is_removed, f"{server.folder} to be removed")


def refused(run, folder, words):
    result = run.till("serve", "--data", folder, "--listen", "127.0.0.1:0")
    check(result.returncode == 1 and words in result.stderr, f"{result.stdout} {result.stderr}")


@test
def nothing_that_can_be_removed_lets_a_second_writer_in(run):
    server = run.serve()
    set_up(server)
    for path in server.folder.iterdir():
        # One that is being written is gone, or has its name, a moment later.
        if path.suffix != ".partial" and path.stat().st_size == 0:
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
    remove_folder(server)
    wait_end(server, "removed")
    server = run.serve(server.folder)
    check_equal(stats(server)["seq"], 0, "a new shop")
    run.finish(server)


@test
def folder_that_is_made_anew_has_a_server_of_its_own(run):
    first = run.serve()
    set_up(first)
    remove_folder(first)
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


def punch(path, offset):
    """Frees the space after an offset, as on storage that never allocated it."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size - offset
        result = libc.fallocate(file.fileno(), PUNCH_HOLE, ctypes.c_long(offset),
                                ctypes.c_long(size))
        check_equal(result, 0, f"punching a hole: {os.strerror(ctypes.get_errno())}")


def used_bytes(path):
    data = path.read_bytes()
    return max(at + PAGE for at in range(0, len(data), PAGE) if any(data[at : at + PAGE]))


def fill(path):
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError:
            pass


def is_refused(server, order):
    """Returns whether the order is refused at once; an order that came too early for that waits
    instead."""
    with server.client(timeout=1) as client:
        try:
            reply = client.call("order.place", order=order, customer=1, currency=840,
                                rows=[{"sku": 1, "quantity": 1, "price": 100}])
        except TimeoutError:
            return False
        return reply.outcome == "STORAGE_FULL"


@test
def storage_that_is_full_only_when_written_to_answers_STORAGE_FULL_and_recovers(run):
    folder = run.root / "disk" / "data"
    folder.parent.mkdir()
    server = run.serve_on_small_disk(24, folder.parent, folder, ("--log-segment", "4"))
    set_up(server)
    seen = server.sees(folder)
    wait_until(lambda: "end      sealed" in run.till("verify", seen).stdout, server.errors)
    wait_until(lambda: len(segments(seen)) == 2, server.errors)
    ballast = seen.parent / "ballast"
    punch(segments(seen)[0], used_bytes(segments(seen)[0]) - PAGE)  # the seal's page is removed too
    fill(ballast)
    first = server.client()
    first.queue("order.place", order=order_id(1), customer=2, currency=840,
                rows=[{"sku": 1, "quantity": 1, "price": 100}])
    first.flush()
    wait_until(lambda: is_refused(server, 1000), server.errors)
    check("no room" in server.errors(), f"it is told: {server.errors()}")
    check_equal(place(server, 3, 5), ["STORAGE_FULL"] * 5, "orders meanwhile")
    ready, _, _ = select.select([first.socket], [], [], 0)
    check_equal(ready, [], "an answer to what is not durable")
    ballast.unlink()
    check_equal(first.receive().outcome, "OK", "the answer once there is room")
    first.close()
    check_equal(place(server, 1, 3), ["REPLAYED", "OK", "OK"], "orders with room again")
    kept = run.folder()
    server.stop_clean_and_copy(folder, kept)
    run.verify(kept)


harness.main()
