"""The plot that the README shows: docs/peers.svg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from bench import workloads
from bench.contestants import NOTHING, OWN, POWER
from bench.results import Results

PANELS = {
    workloads.GET: "get",
    workloads.SET: "set, one after another",
    workloads.TASKS_AT_ONCE: "set from 1,000 tasks at once, each",
    workloads.OPEN: "open and first get",
}
# Bright enough for a dark page and dark enough for a bright one.
TEXT = "#7d8590"
OWN_COLOR = "#e5484d"
PEER_COLORS = (
    *("#3b82f6", "#16a34a", "#a855f7", "#ca8a04", "#0d9488", "#ec4899"),
    *("#64748b", "#84a52c", "#8b6f5c", "#6366f1", "#06a3c4", "#b45309"),
)
OWN_MARKERS = ("o", "s", "^")

matplotlib.rcParams.update(
    {
        "axes.edgecolor": TEXT,
        "axes.labelcolor": TEXT,
        "axes.titlecolor": TEXT,
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "grid.color": TEXT,
        "legend.labelcolor": TEXT,
        "svg.fonttype": "none",
        "svg.hashsalt": "aiokv",
        "text.color": TEXT,
        "xtick.color": TEXT,
        "ytick.color": TEXT,
    }
)


def draw(results: Results, path: Path) -> None:
    """Draw a panel for each workload: time over keys, both logarithmic."""
    figure, grid = pyplot.subplots(2, 2, figsize=(9, 8), layout="constrained")
    for axes, (workload, panel_title) in zip(grid.flat, PANELS.items(), strict=True):
        axes.set_title(panel_title)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(results.sizes)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        draw_lines(axes, results, workload)
    handles, labels = grid[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("Keys and time of a call; solid survives a loss of power, dashed only a kill")
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def draw_lines(axes: Any, results: Results, workload: str) -> None:
    """Draw the peers thin, and aiokv on top of them."""
    own_markers = iter(OWN_MARKERS)
    peer_colors = iter(PEER_COLORS)
    for name, survives in results.survives.items():
        if survives == NOTHING:
            continue
        own = name in OWN
        draw_line(
            axes,
            results,
            workload,
            name,
            color=OWN_COLOR if own else next(peer_colors),
            linestyle="solid" if survives == POWER else "dashed",
            linewidth=2.2 if own else 1.1,
            marker=next(own_markers) if own else None,
            markersize=5,
            zorder=3 if own else 2,
        )
    draw_line(axes, results, workload, workloads.RAW_APPEND, color=TEXT, linestyle="dotted")


def draw_line(
    axes: Any, results: Results, workload: str, contestant: str, **appearance: Any
) -> None:
    """Draw the medians that there are; without any there is no line and no legend."""
    medians = [(keys, results.median(workload, keys, contestant)) for keys in results.sizes]
    points = [(keys, microseconds / 1e6) for keys, microseconds in medians if microseconds]
    if points:
        axes.plot(*zip(*points, strict=True), label=contestant, **appearance)
