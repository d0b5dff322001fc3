"""What the operations of a store mean, said with a plain dict.

What depends on the clock to the second is said where it is compared.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any

Entries = MutableMapping[str, Any]
# What a transaction does, one call of `t` after another: the name and its arguments.
Program = list[tuple[Any, ...]]


class Below(Entries):
    """The entries of a dict whose keys start with a prefix, without it."""

    def __init__(self, entries: dict[str, Any], prefix: str) -> None:
        self.entries, self.prefix = entries, prefix

    def __getitem__(self, key: str) -> Any:
        return self.entries[self.prefix + key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.entries[self.prefix + key] = value

    def __delitem__(self, key: str) -> None:
        del self.entries[self.prefix + key]

    def __iter__(self) -> Iterator[str]:
        mine = [key for key in self.entries if key.startswith(self.prefix)]
        return iter([key.removeprefix(self.prefix) for key in mine])

    def __len__(self) -> int:
        return len(list(iter(self)))


class Oracle:
    """Answers, raises and changes its entries as a store has to."""

    def __init__(self, entries: Entries, now: float) -> None:
        self.entries, self.now = entries, now

    def get(self, key: str, default: Any = None) -> Any:
        return self.entries.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.set_many({key: value})

    def delete(self, key: str) -> bool:
        self.entries.pop(key, None)
        return True

    def clear(self) -> bool:
        self.entries.clear()
        return True

    def add(self, key: str, value: Any) -> bool:
        is_new = key not in self.entries
        self.set(key, self.entries.get(key, value))
        return is_new

    def setdefault(self, key: str, default: Any) -> Any:
        return self.entries.setdefault(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        return self.entries.pop(key, *default)

    def increment(self, key: str, by: Any = 1, default: Any = 0) -> Any:
        value = self.entries.get(key, default)
        for number in value, by, default:
            if type(number) not in (int, float):
                raise TypeError(number)
        try:
            total = value + by
        except OverflowError:
            total = math.inf
        if isinstance(total, float) and math.isinf(total):
            raise ValueError(by)
        self.set(key, total)
        return total

    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        new = function(copy.deepcopy(self.entries.get(key, default)))
        self.set(key, new)
        return new

    def edit(self, key: str, block: Callable[[Any], None], *default: Any) -> None:
        before = default[0] if default and key not in self.entries else self.entries[key]
        if not isinstance(before, (list, dict)):
            raise TypeError(before)
        value = copy.deepcopy(before)
        block(value)
        if value != before:
            self.set(key, value)

    def contains(self, key: str) -> bool:
        return key in self.entries

    def set_many(self, mapping: dict[str, Any]) -> None:
        for value in mapping.values():
            if is_refused(value):
                raise TypeError(value)
        self.entries.update(copy.deepcopy(mapping))

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        return {key: self.entries[key] for key in keys if key in self.entries}

    def delete_many(self, keys: Iterable[str]) -> int:
        there = {key for key in keys if key in self.entries}
        for key in there:
            del self.entries[key]
        return len(there)

    def transact(self, program: Program) -> list[Any]:
        changed = dict(self.entries)
        answers = run(program, Oracle(changed, self.now))
        self.delete_many(self.entries.keys() - changed.keys())
        self.entries.update(changed)
        return answers

    def keys(self, prefix: str = "") -> list[str]:
        return [key for key in self.entries if key.startswith(prefix)]

    def count(self, prefix: str = "") -> int:
        return len(self.keys(prefix))

    def get_all(self, prefix: str = "") -> dict[str, Any]:
        return self.get_many(self.keys(prefix))

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        return list(self.get_all(prefix).items())

    def delete_prefix(self, prefix: str) -> int:
        return self.delete_many(self.keys(prefix))

    def prune(self, prefix: str, older_than: float) -> int:
        limit = self.now - older_than
        times = {key: times_of(self.entries[key]) for key in self.keys(prefix)}
        return self.delete_many(key for key, last in times.items() if last and last[-1] < limit)


def times_of(value: Any) -> list[float] | None:
    """The times that a number or a list of numbers stands for, None for everything else."""
    numbers = value if isinstance(value, list) else [value]
    if any(type(number) not in (int, float) for number in numbers):
        return None
    try:
        return [float(number) for number in numbers]
    except OverflowError:
        return None


class Refused:
    """A value that no store takes."""


def is_refused(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, Refused) or any(map(is_refused, inside))


def run(program: Program, t: Any) -> list[Any]:
    """Does what a program says, and returns what it read."""
    answers = []
    for name, *arguments in program:
        if name == "fail":
            raise ArithmeticError
        answer = getattr(t, name)(*arguments)
        if name not in ("set", "delete"):
            answers.append(answer)
    return answers


def append(value: Any) -> None:
    """Changes a list or a dict in place."""
    value.append("more") if isinstance(value, list) else value.update(more=len(value))


def append_what_is_refused(value: Any) -> None:
    append(value)
    value.append(Refused()) if isinstance(value, list) else value.update(more=Refused())


def append_and_fail(value: Any) -> None:
    append(value)
    raise ArithmeticError


def leave(value: Any) -> None:
    """Changes nothing."""


def wrap(value: Any) -> Any:
    return [value]


def refuse(value: Any) -> Any:
    return {"in": Refused()}


def fail(value: Any) -> Any:
    raise ArithmeticError
