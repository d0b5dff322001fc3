"""Every claim about the speed of aiokv, and what it uses, measured by one harness.

`make bench` measures aiokv beside what needs no installation: a dict, a raw loop, SQLite, the same
interface in plain Python. `make bench-peers` measures it beside the stores that a program would
otherwise use, in Python and in Rust, and writes `docs/peers.md`. Both are `python -m bench` and
show one page, from top to bottom:

- `promises` lists every promise with its bound, and judges a run by it;
- `contestants` names who takes part; `stores` and `peers` say how each is called, and `floors` is
  what nothing can beat;
- `workloads` names what is measured, and explains it;
- `measure` measures it with one number of keys after another: `entrants` is what is done to stores
  that are open side by side, `children` what needs a process of its own;
- `processes` measures what has nothing to do with a number of keys;
- `spawn` starts a process of its own and listens to it; `timing` is how calls are timed;
- `turns` lets contestants take turns and stops a slow one; `results` keeps every sample;
- `report` writes the page; `rust` adds what criterion measured in `peers-rust`; `peers.plot` draws.

`day` is apart: it calculates how much is written in a day, for `make bench-day`.

It is a report: a bound that was missed is marked and changes nothing else, since timings depend on
the machine. Everything needs Linux, for what is read in /proc.
"""
