"""Measures, then prints the page: `python -m bench`, with `--peers` for the comparison."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contestants import ALWAYS, KILL, NOTHING, POWER, SQLITE_ALONE, Contestant
from bench.measure import Size
from bench.processes import measure_processes
from bench.report import ALONE_PAGE, PEERS_PAGE, format_report
from bench.results import Results
from bench.rust import read_criterion
from bench.turns import ALONE, PEERS, QUICK, Limits

REPOSITORY = Path(__file__).resolve().parents[1]
RAW_REPLACE = REPOSITORY / "crates" / "aiokv" / "examples" / "raw_replace.rs"


def main() -> None:
    """Measure, or take what was measured last, then write the page and the plot."""
    parser = argparse.ArgumentParser(description="Measure aiokv.", prog="python -m bench")
    parser.add_argument("--peers", action="store_true", help="beside other stores")
    parser.add_argument("--quick", action="store_true", help="a short run, for development")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, use the last run")
    parser.add_argument(
        "--directory",
        type=Path,
        default=REPOSITORY / "target" / "bench",
        help="where to work and to keep every sample (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=REPOSITORY / "docs",
        help="where to put peers.md and peers.svg (default: %(default)s)",
    )
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    kept = arguments.directory / ("peers.json" if arguments.peers else "alone.json")
    contestants = contestants_of_run(arguments.peers)
    if arguments.redraw:
        results = Results.load(kept)
    else:
        limits = QUICK if arguments.quick else PEERS if arguments.peers else ALONE
        results = asyncio.run(measure(limits, contestants, arguments.peers, kept))
    if arguments.peers:
        from bench.peers.plot import draw

        rust = read_criterion(arguments.directory / "criterion")
        results.cells += rust
        report = format_report(results, PEERS_PAGE, contestants, rust)
        (arguments.output / "peers.md").write_text(report, encoding="utf-8")
        draw(results, arguments.output / "peers.svg")
    else:
        report = format_report(results, ALONE_PAGE, contestants)
    print(report)


def contestants_of_run(with_peers: bool) -> Sequence[Contestant]:
    """Return who takes part, the most durable first. The peers are not always installed."""
    if with_peers:
        from bench.peers import contestants as peers

        contestants = [*ALWAYS, *peers.PEERS]
    else:
        contestants = [*ALWAYS, SQLITE_ALONE]
    return sorted(contestants, key=lambda one: (POWER, KILL, NOTHING).index(one.survives))


async def measure(
    limits: Limits, contestants: Sequence[Contestant], with_peers: bool, kept: Path
) -> Results:
    """Go through the sizes, and keep what is there after each."""
    packages = {contestant.package for contestant in contestants if contestant.package}
    results = Results(
        machine=machine_facts(kept.parent),
        packages={package: version(package) for package in sorted(packages)},
        survives={contestant.name: contestant.survives for contestant in contestants},
        sizes=list(limits.sizes),
    )
    with TemporaryDirectory(prefix="stores-", dir=kept.parent) as name:
        directory = Path(name)
        raw_replace = None
        if not with_peers:
            raw_replace = compile_raw_replace(directory)
            results.cells += await measure_processes(directory, limits)
        for keys in limits.sizes:
            with TemporaryDirectory(dir=directory) as own:
                size = Size(Path(own), keys, limits, contestants, raw_replace)
                results.cells += await size.measure()
            results.save(kept)
    return results


def compile_raw_replace(directory: Path) -> Path:
    """Compile the raw loop alone: it needs none of the crates that cargo would build for it."""
    program = directory / "raw_replace"
    options = ["--edition", "2024", "-O", "-o", str(program)]
    subprocess.run(["rustc", *options, str(RAW_REPLACE)], check=True)
    return program


def machine_facts(directory: Path) -> str:
    """Return what the figures depend on."""
    kind = file_system(directory)
    facts = [
        f"aiokv {version('aiokv')}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.python_implementation()} {platform.python_version()}",
        f"{platform.system()} {platform.release()} on {platform.machine()}, {os.cpu_count()} CPUs, "
        f"load {os.getloadavg()[0]:.1f}",
        f"file system {kind}",
    ]
    if kind in ("tmpfs", "ramfs"):
        facts.append("WARNING: flushes cost nothing on it, choose another --directory")
    return "\n".join(facts)


def file_system(path: Path) -> str:
    """Return the kind of file system that the path is on."""
    command = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(path)]
    return subprocess.check_output(command, text=True).strip()


if __name__ == "__main__":
    main()
