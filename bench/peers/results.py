"""What was measured, and how it is kept, so that tables and plots need no second run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from measurement import spread

GET = "get"
SET = "set"
AT_ONCE = "1,000 at once"
TASKS_AT_ONCE = "1,000 tasks at once"
ADD = "add"
INCREMENTS = "200 increments at once"
TRANSACT = "transact"
TRANSACTS = "200 transactions at once"
GET_MANY = "get_many of 100"
KEYS = "keys of a prefix"
KV_GET = "KV.get"
KV_SET = "KV.set"
OPEN = "open and get"
GET_ALL = "get_all"
MEMORY = "memory"
BYTES_PER_SET = "bytes per set"
BYTES_AT_CLOSE = "bytes at close"
WATCHED = ("open", GET, SET, "delete", AT_ONCE, GET_ALL, "close")
WRITING = (
    *(SET, KV_SET, AT_ONCE, TASKS_AT_ONCE, ADD, INCREMENTS, TRANSACT, TRANSACTS),
    *(BYTES_PER_SET, BYTES_AT_CLOSE),
)

IDLE = "idle"

RAW_APPEND = "raw append"
JSON_LOAD = "json.load"


def stop_during(operation: str) -> str:
    """Return the name of the workload that watches the event loop during an operation."""
    return f"stop during {operation}"


ALL = (
    *(OPEN, MEMORY, GET, SET, AT_ONCE, TASKS_AT_ONCE, GET_ALL, BYTES_PER_SET, BYTES_AT_CLOSE),
    *map(stop_during, WATCHED),
)


@dataclass(frozen=True)
class Cell:
    """One contestant on one workload with one number of keys.

    A sample is microseconds or bytes of one call, and each stands for that many `calls`. There is
    one for each turn, and None for a turn that was left out because the time was used up. `note`
    says why there is none at all.
    """

    workload: str
    keys: int
    contestant: str
    samples: Sequence[float | None]
    calls: int = 1
    note: str = ""

    def median(self) -> float | None:
        """Return the median of the turns that took place."""
        samples = [sample for sample in self.samples if sample is not None]
        return median(samples) if samples else None

    def spread(self) -> float | None:
        """Return half the distance between the quartiles, as a part of the median."""
        samples = [sample for sample in self.samples if sample is not None]
        return spread(samples) if len(samples) >= 3 and median(samples) else None


@dataclass
class Results:
    """Everything that came out of a run."""

    machine: str
    packages: dict[str, str]
    sizes: list[int]
    cells: list[Cell] = field(default_factory=list)

    def cell(self, workload: str, keys: int, contestant: str) -> Cell | None:
        """Return the cell, if there is one."""
        for cell in self.cells:
            if (cell.workload, cell.keys, cell.contestant) == (workload, keys, contestant):
                return cell
        return None

    def median(self, workload: str, keys: int, contestant: str) -> float | None:
        """Return the median of the cell, if there is one."""
        cell = self.cell(workload, keys, contestant)
        return None if cell is None else cell.median()

    def ratio(self, workload: str, keys: int, contestant: str, reference: str) -> float | None:
        """Return how many times as much as the reference the contestant needs.

        It is the median over the turns that both had, side by side, because the disk of a machine
        is faster in one minute than in the next.
        """
        own = self.cell(workload, keys, contestant)
        other = self.cell(workload, keys, reference)
        if own is None or other is None:
            return None
        ratios = [
            sample / beside
            for sample, beside in zip(own.samples, other.samples, strict=False)
            if sample is not None and beside
        ]
        return median(ratios) if ratios else None

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        content["cells"] = [Cell(**cell) for cell in content["cells"]]
        return cls(**content)
