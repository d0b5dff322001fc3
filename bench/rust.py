"""The results of the Rust half, as criterion leaves them in its directory."""

from __future__ import annotations

import json
from pathlib import Path

from bench.results import Cell

RUST_SET = "set in Rust"
RUST_BLOCKING = "aiokv blocking journal=always (power)"
RUST_PEERS = (
    "fjall persist=SyncAll (power)",
    "redb (power)",
    "rusqlite synchronous=FULL (power)",
)


def read_criterion(directory: Path) -> list[Cell]:
    """Return what the last run left. A group is named `<workload>/<keys>`.

    A cell has one sample, the median of one contestant: microseconds of a call, or of each of many
    at once.
    """
    cells = []
    for path in sorted(directory.glob("**/new/benchmark.json")):
        benchmark = json.loads(path.read_text(encoding="utf-8"))
        estimates = json.loads(path.with_name("estimates.json").read_text(encoding="utf-8"))
        workload, _slash, keys = benchmark["group_id"].rpartition("/")
        throughput = benchmark["throughput"] or {}
        nanoseconds = estimates["median"]["point_estimate"] / throughput.get("Elements", 1)
        name = benchmark["function_id"]
        cells.append(Cell(f"{workload} in Rust", int(keys), name, [nanoseconds / 1_000]))
    return cells
