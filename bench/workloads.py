"""The names of the workloads, what each is, and what stands beside the contestants in some."""

from __future__ import annotations

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
OPEN = "opening and first get"
GET_ALL = "get_all"
MEMORY = "memory"
BYTES_PER_SET = "bytes per set"
BYTES_AT_CLOSE = "bytes at close"
# With a file and processes of its own, whatever the number of keys.
IMPORT = "import aiokv beyond asyncio"
PROCESSES = "set from 4 processes at once, each"
WATCH = "watch: a change of another process"
BACKGROUND = "written for 50 sets on 100,000 keys"
OPEN_ONE_LINE = "opening a file on one line"

WATCHED = ("open", GET, SET, "delete", AT_ONCE, GET_ALL, "close")
WRITING = (
    *(SET, KV_SET, AT_ONCE, TASKS_AT_ONCE, ADD, INCREMENTS, TRANSACT, TRANSACTS),
    *(BYTES_PER_SET, BYTES_AT_CLOSE),
)

IDLE = "idle"

RAW_APPEND = "raw append"
RAW_REPLACE = "raw replace in Rust"
SETS_BESIDE = "200 sets at once"
REFERENCES = (RAW_APPEND, RAW_REPLACE, SETS_BESIDE)


def stop_during(operation: str) -> str:
    """Return the name of the workload that watches the event loop during an operation."""
    return f"stop during {operation}"


ALL = (
    *(OPEN, MEMORY, GET, SET, AT_ONCE, TASKS_AT_ONCE, GET_ALL, BYTES_PER_SET, BYTES_AT_CLOSE),
    *map(stop_during, WATCHED),
)

# In the order of the page.
EXPLANATIONS = {
    GET: "Random keys that are there, one after another, in a new order in every turn.",
    SET: "One after another. *raw append* is the loop that no durable `set` can beat: a line added "
    "to a file with `pwrite`, then `fdatasync`, on the event loop. *raw replace* does in Rust what "
    "aiokv does to a small file: create, write, flush, rename, flush the directory. aiokv makes "
    "its checkpoints between the turns, so that its contestants do not find the disk busy with it.",
    KV_GET: "Without `asyncio`: random keys, one after another, in a thread without an event loop.",
    KV_SET: "The same for changes. A peer is called as in the tables above, but without the detour "
    "through its thread.",
    GET_MANY: "100 random keys with one call; time for the call. Those stores take part that have "
    "one.",
    ADD: "A key that is absent is stored only if it is, one after another: the `add` of diskcache, "
    "`INSERT OR IGNORE`, `put` without `overwrite`, `SET NX`.",
    TRANSACT: "A number is read, and the next one written, only if nothing else changed it; one "
    "after another.",
    TRANSACTS: "The same 200 times at once, all on one key; time for each. SQLite has one "
    "transaction at a time on a connection, so they wait for each other.",
    INCREMENTS: "1 is added 200 times at once to one key; time for each. `incr` of diskcache, one "
    "statement of SQLite. Beside it, aiokv sets 200 keys at once.",
    KEYS: "100 keys that start alike, among all others; time for the list.",
    AT_ONCE: "1,000 changes of random keys, in the way that the documentation of the store names "
    "for many, a single batch or transaction if it can be had; time for each change.",
    TASKS_AT_ONCE: "The same from 1,000 tasks that know nothing of each other: "
    "`asyncio.gather` of `set`s, for all contestants.",
    OPEN: "From nothing to the answer of the first `get`, in a new process, files in the cache.",
    OPEN_ONE_LINE: "The same of a file that `json.dump` wrote on one line.",
    GET_ALL: "Everything as one dict.",
    MEMORY: "Memory in RAM after the first `get`, less what the process held before it, "
    "with all modules imported.",
    BYTES_PER_SET: "What a process writes to disk for a `set` with nothing else to do, by "
    "`write_bytes` of `/proc/self/io`, in whole pages. What still waits to be written is "
    "written before each, and aiokv gets no time for a checkpoint: that is in the next table.",
    BYTES_AT_CLOSE: "What `close` writes after those `set`s: the whole file of aiokv, brought up "
    "to date with its journal; a log of SQLite moved into the database.",
}
