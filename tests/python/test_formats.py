"""Folders that every released till wrote, and that this till must open: they are verified, queried
at moments of their past, restored, backed up and served; and the folders of a newer till, which it
must refuse."""

import json
import shutil

import formats
import harness
from formats import ask, generations, is_told, version_written
from harness import check, check_equal, test
from shop import segments, snapshots


def unpacked(run):
    """Each release's files, with a new copy of its folders."""
    check(generations(), f"no folder in {formats.FOLDER}")
    for generation in generations():
        yield (generation, *generation.unpack(run.folder()))


def succeeds(run, *command):
    result = run.till(*command)
    check_equal(result.returncode, 0, f"{command}: {result.stderr}")
    return result.stdout


def check_moment(run, generation, moment, *where):
    """Checks that till answers for the moment what was recorded for it."""
    answers = ask(run, list(moment["answers"]), *where, *generation.capacities)
    for query, recorded in moment["answers"].items():
        check(is_told(recorded, answers[query]),
              f"{generation.name}, {moment['what']}, {where}: {query} is answered with "
              f"{answers[query]}, not {recorded}")


def check_moments(run, generation, first, *where):
    """Does the same check for all moments from the seq `first` on."""
    for moment in generation.moments:
        if moment["seq"] >= first:
            check_moment(run, generation, moment, *where, "--seq", moment["seq"])


def the_snapshot(generation, data):
    """The moment that the folder has a snapshot of."""
    seq = formats.image_seq(snapshots(data)[0])
    return next(moment for moment in generation.moments if moment["seq"] == seq)


def files(*folders):
    return {path: path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


def check_versions_kept(written, kept):
    """Every version that is read has a folder, by the name of the version."""
    for name, version in written.items():
        missing = sorted(set(range(formats.VERSIONS_FIRST[name], version + 1)) - kept[name])
        check(not missing,
              f"{name} is {version} in {formats.VERSIONS[name].relative_to(formats.ROOT)}, and no "
              f"folder in tests/formats has version {missing}: write one, as "
              f"tests/formats/README.md says")


@test
def every_version_has_a_folder_that_is_kept(run):
    kept = {name: set() for name in formats.VERSIONS}
    for _, data, archive in unpacked(run):
        for path in [*segments(data), *archive.glob("log-*.till")]:
            kept["WAL_BLOCK_VERSION"].update(block.version for block in formats.blocks(path))
        kept["IMAGE_VERSION"].update(map(formats.image_version, snapshots(data)))
    written = {name: version_written(name) for name in formats.VERSIONS}
    check_versions_kept(written, kept)
    for name, version in written.items():
        try:
            check_versions_kept({**written, name: version + 1}, kept)
        except AssertionError as error:
            check(f"{name} is {version + 1}" in str(error) and "README" in str(error), str(error))
        else:
            raise AssertionError(f"a raised {name} passes")


@test
def every_recorded_schema_has_a_folder_that_is_kept(run):
    logged, imaged = set(), set()
    for _, data, archive in unpacked(run):
        for path in [*segments(data), *archive.glob("log-*.till")]:
            logged.update(block.schema for block in formats.blocks(path))
        imaged.update(map(formats.image_schema, snapshots(data)))
    recorded = formats.schemas_recorded()
    check(recorded <= logged and recorded <= imaged,
          f"tests/schema has {recorded}, folders of {logged} are kept, with snapshots of {imaged}: "
          f"write one, as tests/formats/README.md says")


@test
def kept_folders_are_small_and_have_what_they_should(run):
    for generation, data, archive in unpacked(run):
        check(generation.path.stat().st_size < 100 * 1024, f"{generation.path} is not small")
        check_equal(len(snapshots(data)), 1, "snapshots")
        seq = the_snapshot(generation, data)["seq"]
        logged = [[block for block in formats.blocks(path) if block.command_count > 0]
                  for path in segments(data)]
        ends = [blocks[-1].seq_first for blocks in logged if blocks]
        check(seq < ends[0] < ends[-1] <= generation.last, f"log of {ends} around snapshot {seq}")
        check(list(archive.glob("log-*.till")), "the archive has a segment")


@test
def kept_folder_verifies_and_its_log_is_read(run):
    for generation, data, archive in unpacked(run):
        digest = generation.moments[-1]["answers"]["stats"]["digest"]
        before = files(data, archive)
        for command in ((data,), (data, "--archive", archive)):
            said = succeeds(run, "verify", *command, *generation.capacities)
            check(f"seq {generation.last}, digest {digest}" in said, f"{command}: {said}")
            check(f"snapshot seq {the_snapshot(generation, data)['seq']}, " in said, said)
        check("all invariants hold" in succeeds(run, "verify", archive, *generation.capacities),
              "the archive is verified with what it leads to")
        for folder in (data, archive):
            listed = [json.loads(line)["seq"] for line in succeeds(run, "log", folder).splitlines()]
            check_equal(listed, list(range(1, len(listed) + 1)), f"the seqs in {folder}")
            check(folder == archive or len(listed) == generation.last, f"{len(listed)} in the log")
        check_equal(files(data, archive) == before, True, "reading leaves the files as they were")


@test
def every_moment_is_answered_as_it_was_recorded(run):
    for generation, data, archive in unpacked(run):
        for where in ((), ("--archive", archive)):
            check_moment(run, generation, generation.moments[-1], "--data", data, *where)
            check_moments(run, generation, 1, "--data", data, *where)


@test
def log_and_snapshot_alone_each_lead_where_they_should(run):
    for generation, data, archive in unpacked(run):
        log, snapshot = run.folder(), run.folder()
        shutil.copytree(data, log)
        shutil.copytree(data, snapshot)
        for path in snapshots(log):
            path.unlink()
        for path in (*segments(snapshot), snapshot / "log-note.till"):
            path.unlink()
        check_moments(run, generation, 1, "--data", log)
        check_moment(run, generation, the_snapshot(generation, data), "--data", snapshot)
        for folder in (log, snapshot):
            succeeds(run, "verify", folder, *generation.capacities)


@test
def archive_gives_what_the_log_has_no_more(run):
    for generation, data, archive in unpacked(run):
        segments(data)[0].unlink()
        check_moments(run, generation, 1, "--data", data, "--archive", archive)
        succeeds(run, "verify", data, "--archive", archive, *generation.capacities)


@test
def every_moment_is_restored(run):
    for generation, data, archive in unpacked(run):
        for moment in generation.moments:
            restored = run.folder()
            said = succeeds(run, "restore", "--from", data, "--archive", archive, "--data",
                            restored, "--seq", moment["seq"], *generation.capacities)
            check(moment["answers"]["stats"]["digest"] in said, said)
            check_moment(run, generation, moment, "--data", restored)
            succeeds(run, "verify", restored, *generation.capacities)
        restored = run.folder()
        early = generation.moments[0]
        succeeds(run, "restore", "--from", archive, "--data", restored, "--seq", early["seq"],
                 *generation.capacities)
        check_moment(run, generation, early, "--data", restored)


@test
def backup_of_a_kept_folder_has_its_moments(run):
    for generation, data, archive in unpacked(run):
        target = run.folder()
        succeeds(run, "backup", target, "--data", data)
        succeeds(run, "verify", target, *generation.capacities)
        check_moments(run, generation, the_snapshot(generation, data)["seq"], "--data", target)


def served_options(generation, archive):
    """Its log ended long ago, so the start needs --accept-clock."""
    return ("--accept-clock", "--log-segment", str(generation.record["segment_mib"]), "--archive",
            str(archive), *generation.capacities)


@test
def shop_is_served_on_from_a_kept_folder(run):
    """Its holds end in the meantime, however long that was; orders that were confirmed stay."""
    for generation, data, archive in unpacked(run):
        before = generation.moments[-1]["answers"]["stats"]
        server = run.serve(data, served_options(generation, archive))
        with server.client() as client:
            for sent in generation.record["again"]:
                reply = client.call("order.place", rows=sent["rows"], **sent["fields"])
                check_equal(reply.outcome, "REPLAYED", f"the outcome of {sent['fields']}")
                check(is_told(sent["reply"], reply.body), f"{reply} is not {sent['reply']}")
                check(is_told(sent["reply_rows"], reply.rows), f"{reply} is not {sent}")
            row = sent["rows"][0]
            client.call("stock.adjust", key=1, sku=row["sku"], warehouse=77, delta=5)
            reply = client.call("order.place", order=2**127, customer=5, flags="PAID",
                                rows=[{**row, "quantity": 1, "warehouse": 77}])
            check_equal(reply.outcome, "OK", f"the outcome of a new order: {reply}")
            after = client.call("stats").body
        check_equal(after["orders"], before["orders"] + 1, "orders")
        check_equal(after["confirmed"], before["confirmed"] + 1, "confirmed orders")
        check_equal(after["pending"] + after["expired"], before["pending"] + before["expired"],
                    "orders that are not decided, or too late")
        server.stop_clean()
        for where in ((data,), (data, "--archive", archive)):
            succeeds(run, "verify", *where, *generation.capacities)
        check_moments(run, generation, 1, "--data", data, "--archive", archive)


def check_refused(run, words, data, archive, victim, commands):
    """Each command says why and names the file, and changes nothing."""
    before = files(data, archive)
    for command in commands:
        result = run.till(*command)
        check_equal(result.returncode, 1, f"the exit code of {command}: {result.stdout}")
        check(words in result.stderr and victim.name in result.stderr,
              f"{command}: {result.stderr}")
        check_equal(files(data, archive) == before, True, f"{command} leaves the files alone")


def raised(version_raise, schema_raise, version_name):
    """Ways to make a file look like a newer till's, and the message for each: a newer version, a
    newer schema."""
    version, schema = version_written(version_name) + 1, formats.schema_written()
    yield lambda path: version_raise(path, version), f"format version {version};"
    yield (lambda path: schema_raise(path, schema + 1),
           f"written by a newer till: schema {schema + 1}, this one knows {schema}")


def newer_blocks():
    return raised(formats.raise_block_version, formats.raise_block_schema, "WAL_BLOCK_VERSION")


def commands_that_read(run, generation, data, archive):
    """The commands that read every snapshot and block of a data folder."""
    capacities = generation.capacities
    return [("serve", "--data", data, "--listen", "127.0.0.1:0",
             *served_options(generation, archive)),
            ("verify", data, *capacities),
            ("shell", "--data", data, *capacities),
            ("restore", "--from", data, "--data", run.folder(), *capacities),
            ("backup", run.folder(), "--data", data)]


@test
def log_of_a_newer_version_or_schema_is_refused_and_kept(run):
    for make_newer, words in newer_blocks():
        for generation, data, archive in unpacked(run):
            victim = [path for path in segments(data) if any(formats.blocks(path))][-1]
            make_newer(victim)
            check_refused(run, words, data, archive, victim,
                          [("log", data), *commands_that_read(run, generation, data, archive)])


@test
def archive_of_a_newer_version_or_schema_is_refused_and_kept(run):
    for make_newer, words in newer_blocks():
        for generation, data, archive in unpacked(run):
            victim = sorted(archive.glob("log-*.till"))[-1]
            make_newer(victim)
            check_refused(run, words, data, archive, victim,
                          [("log", archive), ("verify", archive, *generation.capacities),
                           ("restore", "--from", archive, "--data", run.folder(),
                            *generation.capacities),
                           ("verify", data, "--archive", archive, *generation.capacities)])


@test
def snapshot_of_a_newer_version_or_schema_is_refused_and_kept(run):
    for make_newer, words in raised(formats.raise_image_version, formats.raise_image_schema,
                                    "IMAGE_VERSION"):
        for generation, data, archive in unpacked(run):
            victim = snapshots(data)[-1]
            make_newer(victim)
            check_refused(run, words, data, archive, victim,
                          commands_that_read(run, generation, data, archive))


harness.main()
