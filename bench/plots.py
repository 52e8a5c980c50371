"""Plots of measurements, as SVG: curves and bars, with Debian's python3-matplotlib.

    plots.draw(Path("plots/name.svg"), {"kind": "curves", "title": ..., "series": {...}, ...})

matplotlib belongs to the system's Python, which need not be the one that measures: draw() hands
the figure to it as JSON, on stdin of this very file. It is installed when the first plot is drawn;
where that fails, there is no plot and the tables stand alone.
"""

import json
import subprocess
import sys
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGE = "python3-matplotlib"
DRAW_SECONDS_MAX = 120
SIZE_INCHES = (8, 4.5)
COLORS = ["#c23b22", "#1f4e79", "#5b8c5a", "#b58900", "#6c5b7b", "#888888"]


def is_installed():
    query = [SYSTEM_PYTHON, "-c", "import matplotlib"]
    return subprocess.run(query, capture_output=True, check=False).returncode == 0


def draw(path, figure, say, install):
    """The Markdown that shows the plot, or nothing when it cannot be drawn."""
    problem = None if is_installed() else install(PACKAGE)
    if problem is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [SYSTEM_PYTHON, __file__, str(path)],
            input=json.dumps(figure),
            capture_output=True,
            text=True,
            timeout=DRAW_SECONDS_MAX,
            check=False,
        )
        if done.returncode == 0:
            return f"![{figure['title']}]({path.parent.name}/{path.name})\n"
        problem = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "failed"
    say(f"no plot {path}: {problem}")
    return ""


def short(value, _=None):
    """1234567 as 1.2M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def tick(value, _=None):
    """Whole where it is short enough: powers of two are known by all their digits."""
    return f"{value:,g}" if value < 1e5 else short(value)


def draw_curves(figure, axes):
    """series: name -> [[x, y], ...]; log_x, log_y: scales; x, y: what the axes are."""
    for color, (name, points) in zip(COLORS, figure["series"].items()):
        across, up = zip(*points) if points else ((), ())
        axes.plot(across, up, marker="o", color=color, label=name)
    if figure.get("log_x"):
        axes.set_xscale("log")
        ticks = sorted({x for points in figure["series"].values() for x, _ in points})
        axes.set_xticks(ticks)
        axes.minorticks_off()
    if figure.get("log_y"):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(tick)
    axes.yaxis.set_major_formatter(short)
    axes.grid(alpha=0.3)
    if len(figure["series"]) > 1:
        axes.legend()


def draw_bars(figure, axes):
    """series: name -> [[label, value], ...], labels in the order of the first that has them; on a
    logarithmic scale, each bar with its figure."""
    labels = []
    for points in figure["series"].values():
        labels += [label for label, _ in points if label not in labels]
    height = 0.8 / max(len(figure["series"]), 1)
    for number, (color, (name, points)) in enumerate(zip(COLORS, figure["series"].items())):
        places = [labels.index(label) + number * height for label, _ in points]
        values = [value for _, value in points]
        bars = axes.barh(places, values, height * 0.92, color=color, label=name)
        axes.bar_label(bars, [short(value) for value in values], padding=3, fontsize=7)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(labels))], labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(short)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")


def main():
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure = json.load(sys.stdin)
    pyplot.rcParams.update({"svg.hashsalt": figure["title"], "svg.fonttype": "none"})
    canvas, axes = pyplot.subplots(figsize=figure.get("size", SIZE_INCHES))
    {"curves": draw_curves, "bars": draw_bars}[figure["kind"]](figure, axes)
    axes.set_title(figure["title"])
    axes.set_xlabel(figure["x"])
    axes.set_ylabel(figure["y"])
    canvas.tight_layout()
    canvas.savefig(Path(sys.argv[1]), format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
