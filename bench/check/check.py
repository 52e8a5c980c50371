"""The guard against regressions, for machines whose speed cannot be relied on.

    python3 bench/check/check.py [--record] [--pairs N]

Two kinds of figures are held against what bench/check/floors says:
  counts   instructions per order in each stage of fixed work, by callgrind, and log bytes per
           order. The same in every run, so a few per cent more fail.
  ratios   till's orders per second to those of bench/limit, median of pairs of short runs that
           alternate on the same two cores, so that what else the machine does hits both.
Exits with 1 when one is worse than its floor allows; --record writes the floors anew.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

from servers import Failed, Limit, Till, output_of, say  # noqa: E402

FLOORS = HERE / "floors"
STAGES = ("check", "decide", "encode", "seal", "decode")
COUNT_SLACK = 0.03
RATIO_SLACK = 0.15
RATIO_LOADS = [(64, 1), (64, 64)]
RATIO_SECONDS = 1
CALLGRIND_SECONDS_MAX = 300
HEADER = """\
# What `make bench-check` holds the tree to; written by `make bench-check RECORD=1`.
# compiler: what the counts were taken with; with another one they are shown, not judged.
# count: instructions (or bytes) per order; up to 3 % more is let through.
# ratio: till's orders per second to the limit's; up to 15 % less is let through.
"""


def compiler(build):
    """The one that built the program, as it left its mark there."""
    text = output_of("readelf", "-p", ".comment", build / "stages")
    return text.rsplit("]", 1)[1].strip()


def stage_costs(profile):
    """Inclusive cost of each stage's function: on the line behind each of its calls."""
    costs = dict.fromkeys(STAGES, 0)
    stage = None
    for line in profile.splitlines():
        if line.startswith("cfn="):
            name = line[4:].split(".")[0]
            stage = name[6:] if name.startswith("stage_") else None
        elif stage is not None and line[:1].isdigit():
            costs[stage] += int(line.split()[1])
            stage = None
    return costs


def measure_counts(build):
    """Instructions per order by stage, and log bytes per order."""
    if shutil.which("valgrind") is None:
        raise Failed("valgrind is not installed")
    with tempfile.TemporaryDirectory(prefix="till-check-") as folder:
        profile = Path(folder) / "profile"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
        command += ["--compress-strings=no", "--compress-pos=no", str(build / "stages")]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CALLGRIND_SECONDS_MAX
        )
        if done.returncode != 0:
            raise Failed(done.stderr[-600:])
        words = done.stdout.split()
        orders, log_bytes = int(words[1]), int(words[3])
        costs = stage_costs(profile.read_text())
    figures = {f"count {stage}": costs[stage] / orders for stage in STAGES}
    figures["count log-bytes"] = log_bytes / orders
    return figures


def run_once(kind, build, load):
    """One short run on a fresh server, so that no run finds tables that another has filled."""
    with kind(Path.cwd(), build) as server:
        return server.measure(*load, RATIO_SECONDS)["orders_per_second"]


def measure_ratios(build, pairs):
    figures = {}
    for load in RATIO_LOADS if pairs > 0 else ():
        name = f"{load[0]}x{load[1]}"
        ratios = []
        for pair in range(pairs):
            kinds = [Till, Limit] if pair % 2 == 0 else [Limit, Till]
            rates = {kind: run_once(kind, build, load) for kind in kinds}
            ratios.append(rates[Till] / rates[Limit])
            say(f"{name}: till {rates[Till]:,.0f}/s, limit {rates[Limit]:,.0f}/s")
        figures[f"ratio {name}"] = statistics.median(ratios)
    return figures


def read_floors():
    """Name to text, of the lines that are no comment; empty without a file."""
    lines = FLOORS.read_text().splitlines() if FLOORS.exists() else []
    pairs = (line.split(":", 1) for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def write_floors(figures, made_by):
    lines = [f"compiler: {made_by}"]
    lines += [f"{name}: {value:.3f}" for name, value in figures.items()]
    FLOORS.write_text(HEADER + "\n".join(lines) + "\n")


def judge(name, value, floors, is_same_compiler):
    """What the table says of a figure; a regression is in capitals."""
    if name not in floors:
        return "not recorded"
    recorded = float(floors[name])
    if name.startswith("ratio"):
        return "ok" if value >= recorded * (1 - RATIO_SLACK) else "WORSE"
    if not is_same_compiler:
        return "another compiler"
    if value > recorded * (1 + COUNT_SLACK):
        return "WORSE"
    return "ok" if value >= recorded * (1 - COUNT_SLACK) else "better: record it"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the floors anew")
    parser.add_argument("--pairs", type=int, default=5, help="of runs; 0: counts only")
    parser.add_argument("--build", default="build/release", help="where the limit program is")
    parser.add_argument("--check-build", default="build/check", help="where stages is")
    arguments = parser.parse_args()
    stages = Path(arguments.check_build).resolve()
    try:
        made_by = compiler(stages)
        figures = measure_counts(stages)
        figures.update(measure_ratios(Path(arguments.build).resolve(), arguments.pairs))
    except (Failed, OSError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"bench-check: {failure}")
    if arguments.record:
        write_floors(figures, made_by)
    floors = read_floors()
    is_same_compiler = floors.get("compiler") == made_by
    verdicts = {name: judge(name, figures[name], floors, is_same_compiler) for name in figures}
    print("| figure | recorded | now | |\n|---|--:|--:|---|")
    for name, value in figures.items():
        print(f"| {name} | {floors.get(name, '')} | {value:.3f} | {verdicts[name]} |")
    sys.exit(1 if "WORSE" in verdicts.values() else 0)


if __name__ == "__main__":
    main()
