"""What was measured, and how it is kept, so that tables and plots need no second run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles


@dataclass(frozen=True)
class Cell:
    """One contestant on one workload with one number of keys.

    A sample is that of one call, in microseconds or in another `unit`, and stands for that many
    `calls`. There is one for each turn, and None for a turn that was left out because the time was
    used up. `note` says why there is none at all. Some workloads have nothing to do with a number
    of keys; theirs is 0.
    """

    workload: str
    keys: int
    contestant: str
    samples: Sequence[float | None]
    calls: int = 1
    note: str = ""
    unit: str = "us"

    def median(self) -> float | None:
        return self.part_below(0.5)

    def spread(self) -> float | None:
        """Return half the distance between the quartiles, as a part of the median."""
        samples = [sample for sample in self.samples if sample is not None]
        if len(samples) < 3:
            return None
        lower, middle, upper = quantiles(samples, n=4, method="inclusive")
        return (upper - lower) / 2 / middle if middle else None

    def part_below(self, part: float) -> float | None:
        """Return what that part of the samples does not exceed, the largest of all for 1."""
        samples = sorted(sample for sample in self.samples if sample is not None)
        if not samples:
            return None
        if part == 0.5:
            return median(samples)
        return samples[min(len(samples) - 1, int(len(samples) * part))]


@dataclass
class Results:
    """Everything that came out of a run. `survives` has the contestants, in the order of tables."""

    machine: str
    packages: dict[str, str]
    survives: dict[str, str]
    sizes: list[int]
    cells: list[Cell] = field(default_factory=list)

    def cell(self, workload: str, keys: int, contestant: str) -> Cell | None:
        wanted = workload, keys, contestant
        found = (c for c in self.cells if (c.workload, c.keys, c.contestant) == wanted)
        return next(found, None)

    def median(self, workload: str, keys: int, contestant: str) -> float | None:
        cell = self.cell(workload, keys, contestant)
        return cell.median() if cell else None

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
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["cells"] = [Cell(**cell) for cell in content["cells"]]
        return cls(**content)
