"""Measures aiokv beside its peers and writes `docs/peers.md` and `docs/peers.svg`.

`make bench-peers` runs it in an environment of its own, with `bench` on the path. It needs Linux,
for what it reads in /proc. It is a report: a bound that was missed is marked and changes nothing
else.
"""

from __future__ import annotations

import argparse
import asyncio
from importlib.metadata import version
from pathlib import Path

from run import machine_facts

from peers.contestants import CONTESTANTS
from peers.measure import measure_size
from peers.plot import draw
from peers.report import format_report
from peers.results import Results
from peers.rust import read_criterion
from peers.turns import FULL, QUICK, Limits

REPOSITORY = Path(__file__).resolve().parents[2]
WORKING_DIRECTORY = REPOSITORY / "target" / "peers"
RESULTS = WORKING_DIRECTORY / "results.json"
CRITERION = WORKING_DIRECTORY / "criterion"


def main() -> None:
    """Measure, or take what was measured last, then write the page and the plot."""
    parser = argparse.ArgumentParser(description="Measure aiokv beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a short run, for development")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, use the last run")
    parser.add_argument(
        "--output",
        type=Path,
        default=REPOSITORY / "docs",
        help="where to put peers.md and peers.svg (default: %(default)s)",
    )
    arguments = parser.parse_args()
    WORKING_DIRECTORY.mkdir(parents=True, exist_ok=True)
    if arguments.redraw:
        results = Results.load(RESULTS)
    else:
        results = asyncio.run(measure(QUICK if arguments.quick else FULL))
    rust = read_criterion(CRITERION)
    results.cells += rust
    report = format_report(results, rust)
    (arguments.output / "peers.md").write_text(report, encoding="utf-8")
    draw(results, arguments.output / "peers.svg")
    print(report)


async def measure(limits: Limits) -> Results:
    """Go through the sizes, and keep what is there after each."""
    packages = {contestant.package for contestant in CONTESTANTS if contestant.package}
    results = Results(
        machine=machine_facts(WORKING_DIRECTORY),
        packages={package: version(package) for package in sorted(packages)},
        sizes=list(limits.sizes),
    )
    for keys in limits.sizes:
        results.cells += await measure_size(WORKING_DIRECTORY, keys, limits)
        results.save(RESULTS)
    return results


if __name__ == "__main__":
    main()
