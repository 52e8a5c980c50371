"""The folders that released tills wrote (tests/formats): unpacking them, querying them, and reading
the headers of their files as docs/formats.md describes them."""

import json
import re
import struct
import tarfile
from collections import namedtuple
from pathlib import Path

from harness import check, check_equal
from shop import COUNTS
from xxh3 import xxh3_64

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "formats"

Block = namedtuple("Block", "magic checksum previous epoch seq_first seq_durable time_us digest "
                            "command_count block_size ids_size ids_stored fields_size "
                            "fields_stored version schema offset")
BLOCK = struct.Struct("<8Q8I")
BLOCK_MAGIC = int.from_bytes(b"tillblk1", "little")
BLOCK_PREVIOUS_AT, BLOCK_DIGEST_AT = 16, 56
BLOCK_VERSION_AT, IMAGE_VERSION_AT = 88, 16
BLOCK_SCHEMA_AT, IMAGE_SCHEMA_AT = 92, 20
CHECKSUM_AT, CHECKSUM_FROM = 8, 16
IMAGE_HEADER_SIZE = 16 * 1024
IMAGE_FIXED_SIZE, IMAGE_SCALAR_SIZE = 80, 16
IMAGE_FOLDER_NUMBERS = 1000  # from here on, numbers are of the folder: its shop

# Where the sources say which version they write.
VERSIONS = {
    "WAL_BLOCK_VERSION": ROOT / "wal" / "block.h",
    "IMAGE_VERSION": ROOT / "snapshot" / "image.h",
}

# The oldest that is read: those before were never released.
VERSIONS_FIRST = {"WAL_BLOCK_VERSION": 3, "IMAGE_VERSION": 2}


def version_written(name):
    """The version that this till writes, from the header that defines it."""
    found = re.search(rf"^#define {name}\s+(\d+)$", VERSIONS[name].read_text(), re.MULTILINE)
    check(found, f"{VERSIONS[name]} does not define {name} as a number")
    return int(found[1])


def blocks(path):
    """The headers of a segment's blocks, in order."""
    data = path.read_bytes()
    offset = 0
    while offset + BLOCK.size <= len(data):
        block = Block(*BLOCK.unpack_from(data, offset), offset)
        if block.magic != BLOCK_MAGIC:
            return
        yield block
        offset += block.block_size


def schema_written():
    return int(re.search(r"\bSCHEMA = (\d+)", (ROOT / "base" / "schema.h").read_text())[1])


def schemas_recorded():
    return {int(path.stem) for path in (ROOT / "tests" / "schema").glob("*.txt")}


# Which shop a folder is of, as net/shop.h describes it.
Shop = namedtuple("Shop", "magic checksum version flags shop member epoch_sealed fork_seq primary "
                          "replica_of")
SHOP = struct.Struct("<QQII16s16sQQ96s96s")
SHOP_NAME = "shop.till"
SHOP_MAGIC = int.from_bytes(b"tillshop", "little")
SHOP_REPLICA, SHOP_FORKED = 1, 2
PAGE = 4096


def shop_read(folder):
    data = (folder / SHOP_NAME).read_bytes()
    check_equal(len(data), PAGE, "the size of shop.till")
    check_equal(struct.unpack_from("<Q", data, CHECKSUM_AT)[0], xxh3_64(data[CHECKSUM_FROM:]),
                "the checksum of shop.till")
    return Shop(*SHOP.unpack_from(data))


def shop_write(folder, **fields):
    """Writes shop.till, with these fields in place of those it has, if it is there."""
    shop = (shop_read(folder) if (folder / SHOP_NAME).exists() else
            Shop(SHOP_MAGIC, 0, 1, 0, b"shop-0123456789a", b"member-012345678", 0, 0, b"", b""))
    data = bytearray(SHOP.pack(*shop._replace(**fields)).ljust(PAGE, b"\0"))
    struct.pack_into("<Q", data, CHECKSUM_AT, xxh3_64(bytes(data[CHECKSUM_FROM:])))
    (folder / SHOP_NAME).write_bytes(data)
    return shop_read(folder)


def image_seq(path):
    return int(path.stem.split("-")[1])


def image_version(path):
    return struct.unpack_from("<I", path.read_bytes(), IMAGE_VERSION_AT)[0]


def image_schema(path):
    return struct.unpack_from("<I", path.read_bytes(), IMAGE_SCHEMA_AT)[0]


def table_names():
    """The engine's tables by the numbers that an image has for them."""
    rows = (ROOT / "engine" / "tables" / "tables.h").read_text()
    return {int(number): name for number, name in re.findall(r"^TABLE\((\d+), \w+, (\w+),", rows,
                                                             re.MULTILINE)}


def image_scalar_count(data):
    return struct.unpack_from("<I", data, IMAGE_VERSION_AT + 12)[0]


def image_scalar_number(data, index):
    return struct.unpack_from("<I", data, IMAGE_FIXED_SIZE + IMAGE_SCALAR_SIZE * index)[0]


def image_rows(data):
    """The rows of an image's tables, in order: (name, record size, count, capacity)."""
    table_count, scalar_count = struct.unpack_from("<II", data, IMAGE_VERSION_AT + 8)
    first = IMAGE_FIXED_SIZE + IMAGE_SCALAR_SIZE * scalar_count
    names = table_names()
    for row in struct.iter_unpack("<6I", data[first : first + 24 * table_count]):
        yield names[row[0]], *row[1:4]


def image_fields(data):
    """The fields of an image's records: (table, number, offset in the record, size)."""
    table_count, scalar_count, member_count = struct.unpack_from("<III", data, IMAGE_VERSION_AT + 8)
    first = IMAGE_FIXED_SIZE + IMAGE_SCALAR_SIZE * scalar_count
    names = table_names()
    rows = list(struct.iter_unpack("<6I", data[first : first + 24 * table_count]))
    first += 24 * table_count
    members = list(struct.iter_unpack("<4H", data[first : first + 8 * member_count]))
    for row in rows:
        for number, offset, size, _ in members[row[4] : row[4] + row[5]]:
            yield names[row[0]], number, offset, size


def image_tables(path):
    """How many records an image has of each table, record 0 included."""
    return {name: count for name, _, count, _ in image_rows(path.read_bytes())}


def reseal(path, offset, version_at, version, end):
    """Writes a version into a header that begins at offset, and the checksum that makes it whole;
    `end` is the end of the bytes that the checksum covers, counted from the offset."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, offset + version_at, version)
    checksum = xxh3_64(bytes(data[offset + CHECKSUM_FROM : offset + end]))
    struct.pack_into("<Q", data, offset + CHECKSUM_AT, checksum)
    path.write_bytes(data)


class OtherDigests:
    """Alters bytes of a link, piece by piece: each block gets another digest, a checksum that is
    right, and its place behind the altered one before it."""

    def __init__(self):
        self.checksums = {}  # of the altered blocks, by what they were

    def __call__(self, data):
        data = bytearray(data)
        at = -1
        while (at := data.find(struct.pack("<Q", BLOCK_MAGIC), at + 1)) >= 0:
            block = Block(*BLOCK.unpack_from(data, at), at)
            end = at + block.block_size
            check(end <= len(data), "the block came in parts")
            data[at + BLOCK_DIGEST_AT] ^= 1
            previous = self.checksums.get(block.previous, block.previous)
            struct.pack_into("<Q", data, at + BLOCK_PREVIOUS_AT, previous)
            self.checksums[block.checksum] = xxh3_64(bytes(data[at + CHECKSUM_FROM : end]))
            struct.pack_into("<Q", data, at + CHECKSUM_AT, self.checksums[block.checksum])
        return bytes(data)


def raise_block_version(path, version):
    """Rewrites the segment's last block as a newer till would have appended it."""
    last = list(blocks(path))[-1]
    reseal(path, last.offset, BLOCK_VERSION_AT, version, last.block_size)


def raise_image_version(path, version):
    reseal(path, 0, IMAGE_VERSION_AT, version, IMAGE_HEADER_SIZE)


def raise_block_schema(path, schema):
    last = list(blocks(path))[-1]
    reseal(path, last.offset, BLOCK_SCHEMA_AT, schema, last.block_size)


def raise_image_schema(path, schema):
    reseal(path, 0, IMAGE_SCHEMA_AT, schema, IMAGE_HEADER_SIZE)


def capacity_options(capacities):
    return [part for name, value in capacities.items() for part in (f"--{name}", str(value))]


def ask(run, queries, *where):
    """The answers of `till shell` to queries, each by its query; `where` says what is queried:
    --connect or --data, and the moment."""
    result = run.till_with_input("\n".join(queries) + "\n", "shell", "--json", *where)
    check_equal(result.returncode, 0, f"till shell {where}: {result.stderr}")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    check_equal(len(answers), len(queries), "answers")
    for answer in answers:
        answer.pop("line", None)
    answers = dict(zip(queries, answers))
    if "stats" in answers:
        answers["stats"] = of_state(answers["stats"])
    return answers


def of_state(stats):
    """The answers of a folder, without what a server has done."""
    kept = ("outcome", "seq", "digest", "time", *COUNTS)
    return {name: value for name, value in stats.items() if name in kept}


def is_told(recorded, answer):
    """Is all that was recorded in the answer? A later till may answer more."""
    if isinstance(recorded, dict) and isinstance(answer, dict):
        return all(name in answer and is_told(value, answer[name])
                   for name, value in recorded.items())
    if isinstance(recorded, list) and isinstance(answer, list):
        return len(recorded) == len(answer) and all(map(is_told, recorded, answer))
    return recorded == answer


class Generation:
    """The files of one release: NAME.tar.xz with its folders, NAME.json with the answers that they
    must give."""

    def __init__(self, path):
        self.path = path
        self.name = path.name.removesuffix(".tar.xz")
        self.record = json.loads((path.parent / f"{self.name}.json").read_text())
        self.moments = self.record["moments"]
        for moment in self.moments:
            moment["answers"]["stats"] = of_state(moment["answers"]["stats"])
        self.last = self.moments[-1]["seq"]
        self.capacities = capacity_options(self.record["capacities"])

    def unpack(self, folder):
        """The data folder and its archive, in a new folder."""
        with tarfile.open(self.path) as archive:
            # Debian 12's Python has no extraction filters, and later versions require one.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)
        return folder / "data", folder / "archive"


def generations():
    return [Generation(path) for path in sorted(FOLDER.glob("*.tar.xz"))]
