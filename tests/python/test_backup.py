"""Backups of a live server's folder: consistent under load, gone on with after an interruption,
brought up to date, verified, and never mixed with another history."""

import re
import shutil
import signal
import subprocess
import threading
import time

import harness
from harness import check, check_equal, test
from shop import flip, place, segments, set_up, snapshot, snapshots, stats

COPIED = re.compile(r"([\d.]+) MiB copied")
BATCH = 500


def backup(run, folder, target, *options):
    result = run.till("backup", target, "--data", folder, *options)
    check_equal(result.returncode, 0, f"till backup: {result.stderr}")
    return float(COPIED.search(result.stdout)[1])


def last_seq(run, folder):
    lines = run.till("log", folder).stdout.splitlines()
    return len(lines) and int(re.match(r'{"seq":(\d+)', lines[-1])[1])


def is_bad(run, words, *arguments):
    result = run.till("backup", *arguments)
    check_equal(result.returncode, 1, f"the exit code: {result.stdout}")
    check(words in result.stderr, f"{words!r} in {result.stderr}")


class Load:
    """Orders, batch after batch, until the end of the block."""

    def __init__(self, server, first):
        self.server = server
        self.answered = first
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping.is_set():
            outcomes = place(self.server, self.answered, BATCH)
            check_equal(outcomes, ["OK"] * BATCH, "orders")
            self.answered += BATCH

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


@test
def backup_under_load_has_all_that_was_answered_before_it_began(run):
    server = run.serve(options=("--snapshot-log", "2m", "--log-segment", "4"))
    set_up(server)
    target = run.folder()
    with Load(server, 1) as load:
        for number in range(5):
            time.sleep(run.random.uniform(0.2, 0.6))
            answered = stats(server)["orders"]
            backup(run, server.folder, target, "--rate", 0)
            copy = run.folder()
            shutil.copytree(target, copy)
            run.verify(copy)
            restored = run.serve(copy)
            check(stats(restored)["orders"] >= answered, f"orders in backup {number}")
            restored.stop_clean()
        check(load.answered > 5 * BATCH, "the load went on")
    before = stats(server)
    backup(run, server.folder, target)
    run.finish(server)
    restored = run.serve(target)
    check_equal(stats(restored), before, "stats of the last backup")
    run.finish(restored)


@test
def backup_is_a_folder_to_serve_restore_and_verify(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 1000)
    snapshot(run, server)
    place(server, 1001, 1000)
    before = stats(server)
    target, restored = run.folder(), run.folder()
    backup(run, server.folder, target)
    check_equal(len(snapshots(target)), 1, "snapshots in the backup")
    run.verify(target)
    result = run.till("restore", "--from", target, "--seq", 1500, "--data", restored)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    run.verify(restored)
    run.finish(server)
    served = run.serve(target)
    check_equal(stats(served), before, "stats")
    run.finish(served)


@test
def interrupted_backup_goes_on_where_it_was(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 60_000)
    snapshot(run, server)
    size = snapshots(server.folder)[0].stat().st_size
    target = run.folder()
    process = subprocess.Popen([run.binary, "backup", target, "--data", server.folder,
                                "--rate", "2"], stdout=subprocess.DEVNULL)
    partial = target / (snapshots(server.folder)[0].name + ".partial")
    deadline = time.monotonic() + 60
    while not partial.exists() or partial.stat().st_size < size // 4:
        check(time.monotonic() < deadline and process.poll() is None, "the backup copies")
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = partial.stat().st_size
    check(held < size, "it was interrupted before the end")
    copied = backup(run, server.folder, target, "--rate", 0) * 2**20
    check(copied < size - held + 2**20, f"{copied} bytes copied of {size}, with {held} there")
    run.verify(target)
    check(not list(target.glob("*.partial")), "nothing half copied is left")
    run.finish(server)


@test
def damaged_half_is_found_when_it_is_whole(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 20_000)
    snapshot(run, server)
    whole = snapshots(server.folder)[0]
    target = run.folder()
    target.mkdir()
    partial = target / (whole.name + ".partial")
    partial.write_bytes(whole.read_bytes()[:64 * 4096])
    flip(partial, 20 * 4096)
    is_bad(run, "is damaged", target, "--data", server.folder)
    partial.unlink()
    backup(run, server.folder, target)
    run.verify(target)
    run.finish(server)


@test
def later_backup_copies_only_what_is_new(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 30_000)
    snapshot(run, server)
    target = run.folder()
    first = backup(run, server.folder, target)
    check_equal(backup(run, server.folder, target), 0.0, "MiB copied when nothing is new")
    place(server, 30_001, 4000)
    second = backup(run, server.folder, target)
    check(0 < second < first / 4, f"{second} MiB copied, {first} at first")
    snapshot(run, server)
    place(server, 40_001, 1000)
    backup(run, server.folder, target)
    check_equal([path.name for path in snapshots(target)],
                [snapshots(server.folder)[-1].name], "the snapshots kept in the backup")
    before = stats(server)
    run.finish(server)
    run.verify(target)
    served = run.serve(target)
    check_equal(stats(served), before, "stats")
    run.finish(served)


@test
def backup_of_a_log_without_snapshots_is_the_log(run):
    server = run.serve(options=("--no-snapshots",))
    is_bad(run, "nothing to back up", run.folder(), "--data", server.folder)
    set_up(server)
    place(server, 1, 3000)
    target = run.folder()
    backup(run, server.folder, target)
    check_equal(last_seq(run, target), stats(server)["seq"], "the last seq")
    place(server, 3001, 3000)
    backup(run, server.folder, target)
    check_equal(last_seq(run, target), stats(server)["seq"], "the last seq")
    run.finish(server)
    run.verify(target)


@test
def backup_of_another_history_is_refused_and_left_alone(run):
    servers = [run.serve(), run.serve()]
    target = run.folder()
    for number, server in enumerate(servers):
        set_up(server)
        place(server, 1 + 10_000 * number, 1000)
    backup(run, servers[0].folder, target)
    before = sorted((path.name, path.stat().st_size) for path in target.iterdir())
    is_bad(run, "another history", target, "--data", servers[1].folder)
    place(servers[1], 50_000, 1000)
    is_bad(run, "another history", target, "--data", servers[1].folder)
    check_equal(sorted((path.name, path.stat().st_size) for path in target.iterdir()), before,
                "the backup")
    is_bad(run, "nowhere", target, "--data", run.root / "nowhere")
    is_bad(run, "another till uses this folder", servers[0].folder, "--data", servers[1].folder)
    for server in servers:
        run.finish(server)


@test
def backup_that_fell_too_far_behind_says_so(run):
    server = run.serve(options=("--log-segment", "4"))
    set_up(server)
    target = run.folder()
    place(server, 1, 1000)
    backup(run, server.folder, target)
    first = segments(server.folder)[0].name
    order = 10_000
    while segments(server.folder)[0].name == first:
        place(server, order, 20_000)
        order += 20_000
        snapshot(run, server)
        check(order < 390_000, "segments are written again")
    is_bad(run, "empty folder", target, "--data", server.folder)
    backup(run, server.folder, run.folder())
    run.finish(server)


@test
def damage_in_the_folder_is_not_copied_in_silence(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 5000)
    snapshot(run, server)
    for number in range(5):
        place(server, 10_000 + 1000 * number, 1000)
    server.kill()
    victim = segments(server.folder)[0]
    flip(victim, 4096 + 60)
    is_bad(run, victim.name, run.folder(), "--data", server.folder)
    flip(victim, 4096 + 60)
    flip(snapshots(server.folder)[0], 4096 + 60)
    is_bad(run, "is damaged", run.folder(), "--data", server.folder)


harness.main()
