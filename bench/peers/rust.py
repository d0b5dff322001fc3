"""The results of the Rust half, as criterion leaves them in its directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RustResult:
    """The median of one contestant: microseconds of a call, or of each of many at once."""

    workload: str
    keys: int
    contestant: str
    microseconds: float


def read_criterion(directory: Path) -> list[RustResult]:
    """Return what the last run left. A group is named `<workload>/<keys>`."""
    results = []
    for path in sorted(directory.glob("**/new/benchmark.json")):
        benchmark = json.loads(path.read_text(encoding="utf-8"))
        estimates = json.loads(path.with_name("estimates.json").read_text(encoding="utf-8"))
        workload, _slash, keys = benchmark["group_id"].rpartition("/")
        throughput = benchmark["throughput"] or {}
        nanoseconds = estimates["median"]["point_estimate"] / throughput.get("Elements", 1)
        results.append(
            RustResult(
                workload=workload,
                keys=int(keys),
                contestant=benchmark["function_id"],
                microseconds=nanoseconds / 1_000,
            )
        )
    return results
