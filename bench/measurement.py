"""How a comparison is measured and how its results are shown.

The machine may be shared and its disk noisy, so the subjects of a comparison take turns in short
stretches. The time of a subject is the median over its stretches, and its ratio to another is the
median over the pairs of stretches that ran side by side.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter


@dataclass(frozen=True)
class Bound:
    """What is promised of a subject. Without a limit nothing is promised."""

    microseconds_max: float | None = None
    ratio_max: float | None = None

    def __str__(self) -> str:
        limits = []
        if self.microseconds_max is not None:
            limits.append(f"<= {format_time(self.microseconds_max)}")
        if self.ratio_max is not None:
            limits.append(f"<= {self.ratio_max:g} x")
        return ", ".join(limits)

    def verdict(self, microseconds: float, ratio: float | None) -> str:
        """Return `ok` or `MISSED`, or nothing if nothing was promised."""
        if self == Bound():
            return ""
        in_time = self.microseconds_max is None or microseconds <= self.microseconds_max
        in_ratio = self.ratio_max is None or (ratio is not None and ratio <= self.ratio_max)
        return "ok" if in_time and in_ratio else "MISSED"


@dataclass(frozen=True)
class Subject:
    """One of those that are compared on a workload.

    `stretch` makes `calls` calls and answers the microseconds of one. `durability` is what an
    acknowledged call has survived: the loss of "power", the "kill" of the process, or "none" where
    nothing is stored. `reference` names the subject that this one is a multiple of.
    """

    name: str
    stretch: Callable[[], Awaitable[float]]
    calls: int
    durability: str = "none"
    reference: str | None = None
    bound: Bound = Bound()


@dataclass(frozen=True)
class Measurement:
    """What came out for one subject on one workload."""

    workload: str
    subject: Subject
    microseconds: float
    spread: float
    ratio: float | None
    stretches: int

    def row(self) -> list[str]:
        """Return the cells of the row, in the order of the headings."""
        subject = self.subject
        ratio = "" if self.ratio is None else f"{format_number(self.ratio)} x {subject.reference}"
        return [
            self.workload,
            subject.name,
            subject.durability,
            format_time(self.microseconds),
            f"±{self.spread:.0%}",
            format_number(1_000_000 / self.microseconds),
            ratio,
            str(subject.bound),
            subject.bound.verdict(self.microseconds, self.ratio),
            f"{self.stretches} x {subject.calls:,}",
        ]


HEADINGS = [
    "workload",
    "subject",
    "survives",
    "median",
    "spread",
    "per second",
    "ratio",
    "bound",
    "verdict",
    "repeated",
]


@dataclass(frozen=True)
class Run:
    """Where a run works, and whether it is a quick one, which shows only that everything works."""

    directory: Path
    quick: bool

    def at_most(self, number: int, quick: int) -> int:
        """Return how much of something a run takes."""
        return min(number, quick) if self.quick else number

    async def compare(
        self, workload: str, stretches: int, subjects: Sequence[Subject]
    ) -> list[Measurement]:
        """Let the subjects take turns that many times."""
        report_progress(workload)
        return await compare(workload, self.at_most(stretches, 3), subjects)


async def compare(workload: str, stretches: int, subjects: Sequence[Subject]) -> list[Measurement]:
    """Let the subjects take turns, back and forth so that neighbours stay neighbours."""
    for subject in subjects:
        await subject.stretch()  # Not counted: the first one opens files and warms caches.
    samples: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for turn in range(stretches):
        for subject in subjects if turn % 2 == 0 else reversed(subjects):
            samples[subject.name].append(await subject.stretch())
    return [
        Measurement(
            workload,
            subject,
            microseconds=median(samples[subject.name]),
            spread=spread(samples[subject.name]),
            ratio=ratio_of_pairs(samples, subject),
            stretches=stretches,
        )
        for subject in subjects
    ]


def spread(samples: Sequence[float]) -> float:
    """Return half the distance between the quartiles, as a part of the median."""
    lower, middle, upper = quantiles(samples, n=4, method="inclusive")
    return (upper - lower) / 2 / middle


def ratio_of_pairs(samples: dict[str, list[float]], subject: Subject) -> float | None:
    """Return how many times as long as its reference the subject took, pair by pair."""
    if subject.reference is None:
        return None
    pairs = zip(samples[subject.name], samples[subject.reference], strict=True)
    return median(own / other for own, other in pairs)


_START = perf_counter()


def report_progress(message: str) -> None:
    """Tell whoever waits what is being measured, and since when."""
    print(f"{perf_counter() - _START:5.0f} s  {message}", file=sys.stderr, flush=True)


def format_table(measurements: Sequence[Measurement]) -> str:
    """Return one line for each measurement, with an empty line between two workloads."""
    return format_rows(HEADINGS, [measurement.row() for measurement in measurements])


def format_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows in columns. The first cell of a row says which workload it belongs to."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "  ".join(padded).rstrip()

    lines = [line(headings)]
    workload = None
    for row in rows:
        if row[0] != workload:
            workload = row[0]
            lines.append("")
        lines.append(line(row))
    return "\n".join(lines)


def format_time(microseconds: float) -> str:
    """Return the time in microseconds, or in milliseconds from one on."""
    if microseconds >= 1_000:
        return f"{format_number(microseconds / 1_000)} ms"
    return f"{format_number(microseconds)} us"


def format_number(number: float) -> str:
    """Return the number with two decimals, or with none where they would say nothing."""
    return f"{number:,.2f}" if number < 100 else f"{number:,.0f}"
