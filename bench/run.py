"""Measures what aiokv promises about speed and prints one table: `python bench/run.py`.

Needs a release build of `aiokv` in the environment, and `rustc` for the raw loop. It is a report:
a bound that was missed is marked and changes nothing else, since timings depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import operations
import promises
import workloads
from measurement import Measurement, Run, format_rows, format_table

REPOSITORY = Path(__file__).resolve().parent.parent
RAW_REPLACE = REPOSITORY / "crates" / "aiokv" / "examples" / "raw_replace.rs"

EXPLANATION = """\
survives    what an acknowledged set survives: a loss of power, or only a kill of the process
median      over the stretches; a stretch of sets one by one counts with its median, others with
            their mean, from the first start to the last answer of all processes
spread      half the distance between the quartiles of the stretches, as a part of the median
per second  a second divided by the median
ratio       median over the pairs of stretches that ran side by side
repeated    stretches x calls in each; the subjects of a workload take turns, stretch by stretch
floor       an `async def` on a dict
raw loop    create, write, flush, rename, flush directory, in Rust
raw append  a line with a checksum is written at the end of a file, then fdatasync, in Python
KV          the interface without `await`, called in a thread without an event loop
transact    reads a key and sets it; at once, all of them the same key
plain       the same interface with json, a temporary file, rename, a lock and threads
journal     with journal="always"; otherwise a small file is replaced at every set
SQLite      the same interface with sqlite3, called directly: WAL, synchronous=FULL, a transaction
            for each set
After every stretch of sets the file was read with json (SQLite's with a SELECT), and it held every
value set so far.

beside      two processes in tight loops, on one key of one file with 100 keys; "raw append" is what
            the disk takes for a line and a flush, with nothing beside it
watch       from the beginning of the `set` in one process to the change in the loop of another one
written     by `write_bytes` of /proc/self/io: every page of a file that the process made dirty,
            each time it had been clean; what is written in the background included, `close` not
stores      10,000 stores in one process, a hundred at a time, each with a file of its own; most
            threads and open files at any time, memory in RAM beyond that of the process before,
            longest time without a round of the event loop while they are set, and when all are
            dropped at once. "a loop with nothing to do" is what the machine itself does to it, and
            "work" the time that the processor spent on the loop between two of its rounds"""


def main() -> None:
    """Measure everything in a directory that is removed at the end, then print the table."""
    parser = argparse.ArgumentParser(description="Measure what aiokv promises about speed.")
    parser.add_argument(
        "--directory",
        type=Path,
        default=REPOSITORY.parent,
        help="where to put the working directory, removed at the end (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="a short run, for development")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="aiokv-bench-", dir=arguments.directory) as name:
        directory = Path(name)
        run = Run(directory, arguments.quick)
        print(machine_facts(directory))
        print("Measuring takes some minutes.", end="\n\n", flush=True)
        measurements = asyncio.run(measure(run, compile_raw_replace(directory)))
        print(format_table(measurements), end="\n\n", flush=True)
        readings = [
            *promises.beside_a_writer(run),
            *promises.watch(run),
            *promises.written_in_background(run),
            *promises.many_stores(run),
        ]
    print(format_rows(promises.HEADINGS, promises.rows(readings)), end="\n\n")
    print(EXPLANATION)


async def measure(run: Run, raw_replace: Path) -> list[Measurement]:
    """Go through the workloads one after another."""
    return [
        *await workloads.get(run, keys=100),
        *await workloads.get(run, keys=100_000),
        *await operations.get_without_await(run),
        *await operations.get_many(run),
        *await operations.keys_of_a_prefix(run),
        *await workloads.set_one_by_one(run, raw_replace),
        *await workloads.set_one_by_one_without_fsync(run),
        *await operations.set_without_await(run),
        *await operations.one_by_one(run),
        *await workloads.set_at_once(run),
        *await operations.at_once(run),
        *await workloads.set_from_several_processes(run),
        *await workloads.open_large_file(run),
        *await workloads.import_package(run),
    ]


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
    """Return the kind of file system that the path is on, where the system tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    kinds = {}
    for mount in mounts.splitlines():
        _device, mount_point, kind, *_options = mount.split(" ")
        kinds[Path(mount_point)] = kind
    resolved = path.resolve()
    return next(kinds[place] for place in (resolved, *resolved.parents) if place in kinds)


if __name__ == "__main__":
    main()
