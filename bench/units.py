"""Numbers as text, and tables of them in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def format_measured(value: float, unit: str) -> str:
    """Return a time in "us", a size in "bytes", or a plain number."""
    if unit == "us":
        return format_time(value)
    return format_bytes(value) if unit == "bytes" else f"{value:,.0f}"


def format_time(microseconds: float) -> str:
    if microseconds >= 1_000:
        return f"{format_number(microseconds / 1_000)} ms"
    return f"{format_number(microseconds)} us"


def format_bytes(size: float) -> str:
    """Return the size in the unit that keeps it short."""
    for unit in ("B", "KiB"):
        if abs(size) < 1024:
            return f"{size:,.4g} {unit}"
        size /= 1024
    for unit in ("MiB", "GiB"):
        if abs(size) < 1024:
            return f"{format_number(size)} {unit}"
        size /= 1024
    return f"{format_number(size)} TiB"


def format_ratio(ratio: float) -> str:
    """Return the ratio, a small one with the digits that say something."""
    return f"{ratio:.1g} x" if ratio < 0.1 else f"{format_number(ratio)} x"


def format_number(number: float) -> str:
    """Return the number with two decimals, or with none where they would say nothing."""
    return f"{number:,.2f}" if number < 100 else f"{number:,.0f}"


def format_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
