"""Backups of a live server's folder: consistent under load, continued after an interruption,
brought up to date, verified, and never mixed with another history."""

import re
import shutil
import signal
import subprocess
import threading
import time

import harness
from harness import check, check_equal, test
from shop import COUNTS, flip, place, segments, set_up, snapshot, snapshots, stats

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
    """Places orders, batch after batch, until the end of the `with` block."""

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


def shop_with_a_snapshot(run, orders):
    server = run.serve()
    set_up(server)
    place(server, 1, orders)
    snapshot(run, server)
    return server


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
    server = shop_with_a_snapshot(run, 1000)
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
    server = shop_with_a_snapshot(run, 60_000)
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


def begun_backup(run, folder):
    """A backup that was killed before any of its files was whole, and the file it had begun."""
    target = run.folder()
    process = subprocess.Popen([run.binary, "backup", target, "--data", folder, "--rate", "1"],
                               stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    partial = target / (snapshots(folder)[-1].name + ".partial")
    while not partial.exists() or partial.stat().st_size == 0:
        check(time.monotonic() < deadline and process.poll() is None, "the backup copies")
        time.sleep(0.005)
    process.kill()
    process.wait()
    return target, partial


@test
def unfinished_backup_is_refused_as_a_data_folder_and_keeps_its_half(run):
    server = shop_with_a_snapshot(run, 20_000)
    target, partial = begun_backup(run, server.folder)
    half = partial.read_bytes()
    result = run.till("serve", "--listen", "127.0.0.1:0", "--data", target)
    check_equal(result.returncode, 1, f"the exit code, with {result.stderr},")
    check("not finished" in result.stderr, result.stderr)
    check_equal(partial.read_bytes(), half, "what was copied")
    backup(run, server.folder, target)
    run.verify(target)
    run.finish(server)


@test
def damaged_half_is_found_when_it_is_whole_and_copied_anew(run):
    server = shop_with_a_snapshot(run, 20_000)
    whole = snapshots(server.folder)[0]
    target, partial = begun_backup(run, server.folder)
    partial.write_bytes(whole.read_bytes()[:64 * 4096])
    flip(partial, 20 * 4096)
    backup(run, server.folder, target)
    check(not partial.exists(), "the half is gone")
    run.verify(target)
    run.finish(server)


@test
def snapshot_of_before_a_restore_is_not_backed_up(run):
    """It has the highest seq, and belongs to the history that the restore abandoned."""
    server = shop_with_a_snapshot(run, 200)
    first, restored = run.folder(), run.folder()
    backup(run, server.folder, first)
    place(server, 201, 2000)
    snapshot(run, server)
    left_behind = snapshots(server.folder)[-1]
    server.stop_clean()
    check_equal(run.till("restore", "--from", first, "--data", restored).returncode, 0, "restore")
    served = run.serve(restored)
    place(served, 5001, 100)
    snapshot(run, served)
    served.stop_clean()
    shutil.copy(left_behind, restored)
    is_bad(run, "before the shop was restored", run.folder(), "--data", restored)
    (restored / left_behind.name).unlink()
    backup(run, restored, run.folder())


@test
def later_backup_copies_only_what_is_new(run):
    server = shop_with_a_snapshot(run, 30_000)
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
    is_bad(run, "another shop", target, "--data", servers[1].folder)
    place(servers[1], 50_000, 1000)
    is_bad(run, "another shop", target, "--data", servers[1].folder)
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
    server = shop_with_a_snapshot(run, 5000)
    for number in range(5):
        place(server, 10_000 + 1000 * number, 1000)
    server.kill()
    victim = segments(server.folder)[0]
    flip(victim, 4096 + 60)
    is_bad(run, victim.name, run.folder(), "--data", server.folder)
    flip(victim, 4096 + 60)
    flip(snapshots(server.folder)[0], 4096 + 60)
    is_bad(run, "is damaged", run.folder(), "--data", server.folder)


def grown_backup(run):
    """A backup of some files, and the final state of its shop."""
    server = run.serve()
    set_up(server)
    target = run.folder()
    place(server, 1, 2000)
    snapshot(run, server)
    for number in range(3):
        place(server, 10_000 * (number + 1), 300)
        backup(run, server.folder, target)
    before = stats(server)
    server.stop_clean()
    check_equal((len(snapshots(target)), len(segments(target))), (1, 3), "files of the backup")
    return target, before


def readings(run, target):
    """Every command that relies on a backup's label."""
    return (("verify", target), ("restore", "--from", target, "--data", run.folder()),
            ("shell", "--data", target), ("backup", run.folder(), "--data", target),
            ("log", target),
            ("serve", "--data", target, "--listen", "127.0.0.1:0", "--quiet", "--lazy-memory"))


def cut(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def ruins(run, target):
    """Ways to damage a backup: the file concerned, and the function that does it."""
    files = [*snapshots(target), *segments(target), target / "backup.till"]
    for path in files:
        size = path.stat().st_size
        if path.name != "backup.till":
            yield path, path.unlink
        yield path, lambda path=path, size=size: cut(path, size // 2)
        yield path, lambda path=path, size=size: cut(path, size - 4096)
        yield path, lambda path=path: cut(path, 0)
        yield path, lambda path=path, size=size: cut(path, size + 4096)
        yield path, lambda path=path, size=size: flip(path, size - 1 - run.random.randrange(4096))
        yield path, lambda path=path, size=size: flip(path, run.random.randrange(size))
        yield path, lambda path=path, size=size: overwrite(path, size - 4096, bytes(4096))
        yield path, lambda path=path, size=size: overwrite(path, 0, bytes(size))
    first, second = segments(target)[:2]
    yield first, lambda: first.write_bytes(second.read_bytes())


@test
def backup_that_lost_anything_is_named_by_whoever_reads_it(run):
    target, before = grown_backup(run)
    kept = run.folder()
    shutil.copytree(target, kept)
    for path, ruin in ruins(run, target):
        ruin()
        ruined = {path.name: path.read_bytes() for path in target.iterdir()}
        for arguments in readings(run, target):
            result = run.till_with_input("stats\n", *arguments)
            check_equal(result.returncode, 1, f"{path} ruined, {arguments[0]}: {result.stdout}")
            check(str(path) in result.stderr, f"{path} ruined, {arguments[0]}: {result.stderr}")
        check_equal({path.name: path.read_bytes() for path in target.iterdir()} == ruined, True,
                    "reading leaves the files as they were")
        shutil.rmtree(target)
        shutil.copytree(kept, target)
    run.verify(target)
    served = run.serve(target)
    after = stats(served)
    # A start that comes late also logs the time that nothing proves, which is another seq.
    for name in COUNTS:
        check_equal(after[name], before[name], name)
    run.finish(served)


def verified_seq(run, folder):
    """The seq that a sound backup leads to; None for one that is called unfinished."""
    result = run.till("verify", folder)
    if result.returncode == 1 and "is not finished" in result.stderr:
        return None
    check_equal(result.returncode, 0, f"verify: {result.stderr}")
    return int(re.search(r"^state +seq (\d+)", result.stdout, re.MULTILINE)[1])


@test
def backup_killed_at_any_moment_is_unfinished_or_as_good_as_the_one_before(run):
    server = run.serve(options=("--log-segment", "4"))
    set_up(server)
    target, order, kept_seq, unfinished = run.folder(), 1, 0, 0
    for number in range(24):
        place(server, order, 1500)
        order += 1500
        if number % 3 == 0:
            snapshot(run, server)
        process = subprocess.Popen([run.binary, "backup", target, "--data", server.folder,
                                    "--rate", "0"], stdout=subprocess.PIPE, text=True)
        time.sleep(run.random.uniform(0, 0.05))
        process.kill()
        said, _ = process.communicate()
        if "backup up to seq" in said:
            kept_seq = int(said.split("seq ")[1].split()[0])
        if not target.exists() or not (target / "backup.till").exists():
            continue
        seq = verified_seq(run, target)
        unfinished += seq is None
        check(seq is not None or kept_seq == 0, f"the backup up to {kept_seq} is unfinished")
        check(seq is None or seq >= kept_seq, f"the backup goes up to {seq}, not {kept_seq}")
        if number % 4 == 3:
            backup(run, server.folder, target)
            kept_seq = stats(server)["seq"]
            check_equal(verified_seq(run, target), kept_seq, "the last seq")
    backup(run, server.folder, target)
    before = stats(server)
    run.finish(server)
    copy = run.folder()
    shutil.copytree(target, copy)
    check_equal(sorted(path.name for path in copy.glob("*.partial")), [], "what is half copied")
    restored = run.serve(copy)
    check_equal(stats(restored), before, "stats")
    run.finish(restored)


@test
def complete_backup_stays_one_while_its_log_begins(run):
    server = run.serve()
    set_up(server)
    snapshot(run, server)
    kept, between = run.folder(), 0
    backup(run, server.folder, kept)
    check_equal(segments(kept), [], "the log of a backup of a snapshot alone")
    kept_seq = verified_seq(run, kept)
    place(server, 1, 1500)
    for number in range(24):
        target = run.folder()
        shutil.copytree(kept, target)
        awaited = ("log-note.till", "wal-0000000001.log")[number % 2]
        process = subprocess.Popen([run.binary, "backup", target, "--data", server.folder,
                                    "--rate", "0"], stdout=subprocess.DEVNULL)
        while process.poll() is None and not (target / awaited).exists():
            pass
        process.kill()
        process.wait()
        label = (target / "backup.till").read_bytes()
        between += label == (kept / "backup.till").read_bytes()
        seq = verified_seq(run, target)
        check(seq is not None and seq >= kept_seq, f"killed at {awaited}: seq {seq}")
        restored = run.serve(target)
        check(stats(restored)["seq"] >= kept_seq, f"killed at {awaited}: what is served")
        run.finish(restored)
    check(between > 0, "none was killed before its label")
    run.finish(server)


@test
def unfinished_backup_is_refused_by_name_and_gone_on_with(run):
    server = shop_with_a_snapshot(run, 20_000)
    target, _ = begun_backup(run, server.folder)
    for arguments in readings(run, target):
        result = run.till_with_input("stats\n", *arguments)
        check_equal(result.returncode, 1, f"{arguments}: {result.stdout}")
        check(f"{target} is a backup that is not finished" in result.stderr, result.stderr)
    backup(run, server.folder, target)
    run.verify(target)
    run.finish(server)


@test
def served_backup_is_a_data_folder_from_then_on(run):
    target, before = grown_backup(run)
    label = target / "backup.till"
    result = run.till("serve", "--data", target, "--listen", "127.0.0.1:0", "--quiet",
                      "--orders", 100)
    check(result.returncode == 1 and label.exists(), "a start that fails leaves the backup one")
    run.verify(target)
    server = run.serve(target)
    check_equal(stats(server), before, "stats")
    check(not label.exists(), "the label is gone")
    place(server, 500_000, 100)
    before = stats(server)
    server.kill()
    server = run.serve(target)
    check_equal(stats(server), before, "stats after a kill")
    is_bad(run, "another till uses this folder", target, "--data", server.folder.parent / "data1")
    server.stop_clean()
    is_bad(run, "no backup.till", target, "--data", server.folder.parent / "data1")
    run.verify(target)


harness.main()
