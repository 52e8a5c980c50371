"""Folders that are not of the kind that a command needs: each is named in the message, with what
was looked for in it, and nothing is left behind."""

import os
import shutil

import harness
from formats import SHOP_FORKED, SHOP_NAME, SHOP_REPLICA, blocks, shop_read, shop_write
from harness import check, check_equal, test
from shop import flip, place, segments, set_up, snapshot, snapshots


def run_by_the_rules(run, *arguments):
    """Root may read everything, unless it gives up that capability."""
    prefix = ()
    if os.geteuid() == 0:
        prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")
    return run.till(*arguments, prefix=prefix)


def readers(run, path, sound):
    """The arguments of every command that reads a folder, with the path that it would create."""
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
            result = run_by_the_rules(run, *arguments)
            check_refused(result, sound, "Permission denied")
    sound.chmod(0o755)
    run.verify(sound)


@test
def data_folder_is_not_taken_for_an_archive(run):
    sound = sound_folder(run)
    for arguments in (("verify", sound, "--archive", sound),
                      ("shell", "--data", sound, "--archive", sound)):
        check_refused(run.till_with_input("stats\n", *arguments), sound, "no archive")


def entries(folder):
    """All that is below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@test
def archive_that_is_refused_loses_no_file(run):
    """Half-made files are continued by the command that made them, or belong to another program."""
    backup, downloads = run.folder(), run.folder()
    for folder, beside in ((backup, "backup.till.partial"), (downloads, "film.partial")):
        folder.mkdir()
        (folder / beside).write_text("half")
        (folder / "wal-0000000001.log").write_text("of no archive")
    sound = sound_folder(run)
    before = entries(backup), entries(downloads)
    for archive in (backup, downloads):
        result = run.till("serve", "--listen", "127.0.0.1:0", "--data", sound, "--archive", archive)
        check_refused(result, archive, "wal-0000000001.log")
        check_equal((entries(backup), entries(downloads)), before, "the files")


@test
def folder_with_only_a_note_or_its_shop_is_not_taken_for_an_archive(run):
    for name in ("clock-note.till", SHOP_NAME):
        archive = run.folder()
        archive.mkdir()
        (archive / name).write_text("x")
        result = run.till("serve", "--listen", "127.0.0.1:0", "--data", run.folder(), "--archive",
                          archive)
        check_refused(result, archive, name)


def shop_with_a_snapshot(run):
    """A folder of a shop, with a snapshot and a log after it, and its shop.till."""
    server = run.serve()
    set_up(server)
    place(server, 1, 100)
    snapshot(run, server)
    place(server, 101, 20)
    server.stop_clean()
    return server.folder, shop_write(server.folder, epoch_sealed=7)


@test
def backup_and_restored_folder_are_of_the_same_shop_and_no_members_yet(run):
    folder, shop = shop_with_a_snapshot(run)
    shop_write(folder, flags=SHOP_REPLICA, primary=b"till-1.example:7070")
    verified = run.till("verify", folder)
    check_equal(verified.returncode, 0, f"verify: {verified.stderr}")
    check("a replica of till-1.example:7070; refuses epochs before 7" in verified.stdout,
          verified.stdout)
    backup, restored, again = run.folder(), run.folder(), run.folder()
    for arguments in (("backup", backup, "--data", folder),
                      ("backup", backup, "--data", folder),
                      ("restore", "--from", folder, "--data", restored),
                      ("restore", "--from", backup, "--data", again)):
        result = run.till(*arguments)
        check_equal(result.returncode, 0, f"{arguments}: {result.stderr}")
    for made in (backup, restored, again):
        expected = shop._replace(flags=0, member=bytes(16), primary=bytes(96), fork_seq=0)
        check_equal(shop_read(made)._replace(checksum=0), expected._replace(checksum=0),
                    f"shop.till of {made}")
        run.verify(made)
    # The restored folder's only snapshot says it too.
    shop_write(restored, shop=b"another shop's !")
    check_refused(run.till("verify", restored), restored, SHOP_NAME, "another shop")
    (restored / SHOP_NAME).unlink()
    result = run.till("restore", "--from", restored, "--data", (third := run.folder()))
    check_equal(result.returncode, 0, f"a restore without shop.till: {result.stderr}")
    check_equal(shop_read(third).shop, shop.shop, "the shop that the snapshot says")


@test
def backup_of_another_shop_or_of_one_that_is_to_go_back_is_refused(run):
    folder, shop = shop_with_a_snapshot(run)
    backup = run.folder()
    check_equal(run.till("backup", backup, "--data", folder).returncode, 0, "a backup")
    before = entries(backup)
    shop_write(folder, shop=b"another shop's !")
    check_refused(run.till("backup", backup, "--data", folder), backup, "another shop")
    shop_write(folder, shop=shop.shop, flags=SHOP_FORKED, fork_seq=50)
    check_refused(run.till("backup", backup, "--data", folder), folder, "go back to seq 50")
    check_equal(entries(backup), before, "the files of the backup")
    check("goes back to seq 50" in run.till("verify", folder).stdout, "what verify tells")


def set_aside(folder):
    """A file with the last blocks of the folder's log, as a fork leaves it, and where the second
    one of them begins."""
    segment = segments(folder)[0]
    tail = [block for block in blocks(segment) if block.command_count > 0][-3:]
    path = folder / f"diverged-{1:010}-{tail[0].seq_first:020}.till"
    path.write_bytes(segment.read_bytes()[tail[0].offset : tail[-1].offset + tail[-1].block_size])
    return path, tail[1].offset - tail[0].offset, tail[0].seq_first


@test
def file_of_blocks_that_were_set_aside_is_printed_by_its_path(run):
    server = run.serve()
    set_up(server)
    for first in range(1, 100, 10):
        place(server, first, 10)
    server.stop_clean()
    path, second, seq_first = set_aside(server.folder)
    lines = run.till("log", server.folder).stdout.splitlines()
    for place_of in (path, os.path.relpath(path)):
        result = run.till("log", place_of)
        check_equal((result.returncode, result.stderr), (0, ""), "till log of the file")
        check_equal(result.stdout.splitlines(), lines[seq_first - 1 :], "what it prints")
    # A whole segment, with its free space, as it is left where a folder begins anew.
    aside = path.with_name("diverged-" + segments(server.folder)[0].name)
    shutil.copy(segments(server.folder)[0], aside)
    check_equal(run.till("log", aside).stdout.splitlines(), lines, "a segment that was set aside")
    # Damage is named, after what comes before it.
    flip(path, second + 100)
    result = run.till("log", path)
    check_equal(result.returncode, 1, "the exit code for a damaged file")
    check(f"{path.name}: it is damaged at offset {second}, behind seq" in result.stderr,
          result.stderr)
    check(0 < len(result.stdout.splitlines()) < len(lines) - seq_first + 1, "what it still prints")
    # Nothing else looks at such files, and a backup does not take them along.
    backup = run.folder()
    check_equal(run.till("backup", backup, "--data", server.folder).returncode, 0, "a backup")
    check(not list(backup.glob("diverged-*")), "files that were set aside are in the backup")
    run.verify(server.folder)
    run.finish(run.serve(server.folder))
    check(path.exists() and aside.exists(), "a start leaves them alone")


@test
def damaged_or_newer_shop_file_is_named(run):
    folder, _ = shop_with_a_snapshot(run)
    flip(folder / SHOP_NAME, 40)
    readers = (("verify", folder), ("backup", run.folder(), "--data", folder),
               ("restore", "--from", folder, "--data", run.folder()))
    for arguments in readers:
        check_refused(run.till(*arguments), folder, SHOP_NAME, "damaged")
    flip(folder / SHOP_NAME, 40)
    shop_write(folder, version=2)
    for arguments in readers:
        check_refused(run.till(*arguments), folder, SHOP_NAME, "newer version")


@test
def backup_into_anything_but_a_backup_is_refused_and_leaves_it_alone(run):
    sound = sound_folder(run)
    notes, nested, other, file = (run.folder() for _ in range(4))
    notes.mkdir()
    (notes / "notes.txt").write_text("milk")
    (nested / "below").mkdir(parents=True)
    shutil.copytree(sound, other)
    file.write_text("a file")
    linked = run.folder()
    linked.symlink_to(sound)
    before = entries(run.root)
    for target, *words in (
        (notes, "notes.txt", "not of a backup"),
        (nested, "below", "not of a backup"),
        (other, "no backup.till"),
        (file, "Not a directory"),
        (file / "deep", "Not a directory"),
        (sound, "are one folder"),
        (sound / "backup", "lies in"),
        (sound / "a" / ".." / "b", "lies in"),
        (linked, "are one folder"),
        (linked / "backup", "lies in"),
        (run.root, "lies in"),
    ):
        check_refused(run.till("backup", target, "--data", sound), target, *words)
        check_equal(entries(run.root), before, f"what is there after {target}")
    run.verify(sound)
    run.verify(other)


@test
def restore_into_anything_but_an_empty_folder_is_refused_and_leaves_it_alone(run):
    sound = sound_folder(run)
    notes, nested, file = (run.folder() for _ in range(3))
    notes.mkdir()
    (notes / "notes.txt").write_text("milk")
    (nested / "below").mkdir(parents=True)
    file.write_text("a file")
    before = entries(run.root)
    for target, *words in (
        (notes, "notes.txt", "not empty"),
        (nested, "below", "not empty"),
        (file, "is a file"),
        (file / "deep", "is a file"),
        (sound, "are one folder"),
        (sound / "new", "lies in"),
    ):
        check_refused(run.till("restore", "--from", sound, "--data", target), target, *words)
        check_equal(entries(run.root), before, f"what is there after {target}")
    run.verify(sound)


@test
def folders_above_the_target_are_made(run):
    sound = sound_folder(run)
    deep = run.folder() / "a" / "b"
    result = run.till("backup", deep / "backup", "--data", sound)
    check_equal(result.returncode, 0, f"backup: {result.stderr}")
    result = run.till("restore", "--from", deep / "backup", "--data", f"{deep}/c//d/")
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    run.verify(deep / "backup")
    run.verify(deep / "c" / "d")
    mounted = run.folder()
    (mounted / "lost+found").mkdir(parents=True)
    result = run.till("backup", mounted, "--data", sound)
    check_equal(result.returncode, 0, f"backup to the top of a file system: {result.stderr}")


@test
def moment_that_is_not_reached_is_refused_and_nothing_is_made(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 500)
    with server.client() as client:
        early = client.call("stats").body
    snapshot(run, server)
    place(server, 10_001, 500)
    target = run.folder()
    result = run.till("backup", target, "--data", server.folder)
    check_equal(result.returncode, 0, f"backup: {result.stderr}")
    for path in segments(target):
        check(path.stat().st_size > 0, "there is a log after the snapshot")
    place(server, 20_001, 500)
    with server.client() as client:
        late = client.call("stats").body
    server.stop_clean()
    year = 365 * 24 * 3600 * 10**6
    new = run.folder() / "new"
    for moment, words in (
        (("--seq", 5), "reaches back to seq 502 of"),
        (("--seq", late["seq"]), "there is no seq"),
        (("--at", early["time"] - year), "reaches back to seq 502 of"),
        (("--at", late["time"] + year), "tells nothing of"),
        (("--at", "2090-01-01T00:00:00Z"), "with seq 1002 as its last change"),
    ):
        for arguments in (("restore", "--from", target, "--data", new, *moment),
                          ("shell", "--data", target, *moment)):
            result = run.till_with_input("stats\n", *arguments)
            check_equal(result.returncode, 1, f"{arguments}: {result.stdout}")
            check(words in result.stderr, f"{arguments}: {result.stderr}")
            check(not new.parent.exists(), "what was made")
    for moment in (("--seq", 502), ("--seq", 1002), ("--at", late["time"])):
        source = server.folder if moment[0] == "--at" else target
        result = run.till("restore", "--from", source, "--data", new, *moment)
        check_equal(result.returncode, 0, f"{moment}: {result.stderr}")
        shutil.rmtree(new)


def with_snapshots(run, folder, first):
    """The folder, served for a while, with its newest snapshot before its end."""
    server = run.serve(folder)
    if first == 1:
        set_up(server)
    place(server, first, 500)
    snapshot(run, server)
    place(server, first + 5000, 500)
    server.kill()
    return server.folder


def two_snapshots(run):
    """A folder with two snapshots and a whole log, and one whose log begins after the first
    snapshot."""
    whole, rest = run.folder(), run.folder()
    with_snapshots(run, whole, 1)
    result = run.till("restore", "--from", whole, "--data", rest)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    for folder in (whole, rest):
        with_snapshots(run, folder, 100_000)
        check_equal(len(snapshots(folder)), 2, "snapshots")
    return whole, rest


@test
def damaged_snapshot_is_named_with_what_a_start_does_about_it(run):
    whole, rest = two_snapshots(run)
    for folder in (whole, rest):
        for damaged, words in (
            ((1,), f"falls back to {snapshots(folder)[0].name}"),
            ((0,), f"goes on from {snapshots(folder)[1].name}"),
            ((0, 1), "falls back to the beginning" if folder == whole
                     else "nothing to fall back to"),
        ):
            victims = [snapshots(folder)[number] for number in damaged]
            for path in victims:
                flip(path, 4096 + 60)
            result = run.till("verify", folder)
            check_equal(result.returncode, 1, f"the exit code with {damaged}")
            for word in (words, *(path.name for path in victims)):
                check(word in result.stderr, f"{word!r} in {result.stderr}")
            for path in victims:
                flip(path, 4096 + 60)
        run.verify(folder)


harness.main()
