"""JSON for values that JSON does not have, so that they come back as they were.

The adapters use it for data whose types are not theirs to choose. What JSON has is written as it
is, lists and dicts with keys that are ``str`` included. For the rest, ``$`` marks what is not to be
taken literally:

- An object with the one key ``$tuple``, ``$set``, ``$frozenset``, ``$bytes``, ``$datetime``,
  ``$date``, ``$time``, ``$timedelta`` or ``$defaultdict`` is a value of that type.
- A key of a dict that starts with ``$`` is one that JSON does not have. What follows is the JSON of
  the key, and a list there is a tuple: ``$12`` is the int 12, ``$[1, 2]`` the tuple ``(1, 2)``. A
  ``str`` that starts with a dollar is written so too: ``$"$tuple"`` is the ``str`` ``$tuple``.

The name of a type is not the JSON of anything, so nothing that a program stores is taken for
something else.

A value of any other type is refused with its place, unless ``default`` makes something of it. So
nothing comes back as another type, with one exception: a ``str``, ``int`` or ``float`` of a
subclass, such as a member of an ``IntEnum``, comes back as the plain value, which is equal to it.
The ``fold`` of a time is kept where it makes a difference.
"""

from __future__ import annotations

import dataclasses
import json
import math
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from aiokv import MAX_DEPTH

_M = TypeVar("_M", datetime, time)

Default: TypeAlias = Callable[[Any], Any]
"""Makes something that can be stored of a value that cannot, as in ``json.dumps``."""

ObjectHook: TypeAlias = Callable[[dict[Any, Any]], Any]
"""Makes of a dict what it stands for, as in ``json.loads``."""


class Attribute(str):
    """A step to an attribute, where others lead to an item."""

    __slots__ = ()


def encode(value: Any, place: str, default: Default | None = None, *, depth: int = 0) -> Any:
    """Return the JSON of a value, which is going to be inside ``depth`` levels of other JSON.

    Raises TypeError or ValueError with the place of what cannot be stored, which starts with
    ``place``, and with what to do instead.
    """
    return _Encoder(place, default, depth).encode(value)


def decode(encoded: Any, place: str, object_hook: ObjectHook | None = None) -> Any:
    """Return the value that ``encode`` made the JSON of.

    Raises ValueError with the place of what ``encode`` cannot have made.
    """
    return _Decoder(place, object_hook).decode(encoded)


def encode_key(key: Any, place: str) -> str:
    """Return the JSON of a key of a dict as text, in which a list is a tuple."""
    return _Encoder(place, None, 0).key_text(key)


def decode_key(text: str, place: str) -> Any:
    """Return the key that ``encode_key`` made the text of."""
    return _Decoder(place, None).key_of(text)


# --- where in the value ---

_STEPS_SHOWN_MAX = 12


class _Walk:
    """Knows the way to the value that is being looked at."""

    __slots__ = ("_place", "_steps")

    def __init__(self, place: str) -> None:
        self._place = place
        self._steps: list[Any] = []

    def place(self) -> str:
        shown = "".join(map(_step_text, self._steps[:_STEPS_SHOWN_MAX]))
        return self._place + shown + "..." * (len(self._steps) > _STEPS_SHOWN_MAX)


class _Key(NamedTuple):
    """A step to a key, where others lead to what it stands for."""

    key: Any


def _shortened(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _step_text(step: Any) -> str:
    if isinstance(step, _Key):
        return f", in the key {step.key!r}"
    if isinstance(step, Attribute):
        return f".{step}"
    return f"[{json.dumps(step, ensure_ascii=False) if isinstance(step, str) else repr(step)}]"


# --- values to JSON ---


class _Encoder(_Walk):
    __slots__ = ("_default", "_depth")

    def __init__(self, place: str, default: Default | None, depth: int) -> None:
        super().__init__(place)
        self._default, self._depth = default, depth

    def encode(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                self._refuse(ValueError, f"JSON has no {value}", "store None or a str instead")
            return float.__float__(value)
        kind = type(value)
        if kind is list:
            return self._nested(self._list, value)
        if kind is dict:
            return self._nested(self._dict, value)
        if kind in _NAMES:
            return self._nested(self._tagged, value)
        if self._default is not None:
            return self._nested(self.encode, self._default(value))
        return self._refuse(TypeError, *_problem_of(value))

    def key_text(self, key: Any) -> str:
        # What `default` makes of a key would not come back as a key.
        default, self._default = self._default, None
        self._steps.append(_Key(key))
        text = json.dumps(self._key_json(key), ensure_ascii=False)
        self._steps.pop()
        self._default = default
        return text

    def _key_json(self, key: Any) -> Any:
        return [self._key_json(item) for item in key] if type(key) is tuple else self.encode(key)

    def _list(self, items: Iterable[Any]) -> list[Any]:
        return [self._inside(step, item) for step, item in enumerate(items)]

    def _dict(self, items: dict[Any, Any]) -> dict[str, Any]:
        return {self._key(key): self._inside(key, item) for key, item in items.items()}

    def _key(self, key: Any) -> str:
        if isinstance(key, str) and not key.startswith("$"):
            return str.__str__(key)
        return "$" + self.key_text(key)

    def _tagged(self, value: Any) -> dict[str, Any]:
        name = _NAMES[type(value)]
        try:
            return {name: self._nested(self._content, value)}
        except _Refusal as refusal:
            return self._refuse(TypeError, *refusal.args)

    def _content(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return self._list(value)
        if isinstance(value, (set, frozenset)):
            return self._list(_in_order(value))
        if isinstance(value, defaultdict):
            return [_factory_name(value), self._nested(self._dict, value)]
        return _LEAVES[_NAMES[type(value)]].content(value)

    def _inside(self, step: Any, value: Any) -> Any:
        # Not in a `finally`: an error names the place where it was raised.
        self._steps.append(step)
        encoded = self.encode(value)
        self._steps.pop()
        return encoded

    def _nested(self, encode: Callable[[Any], Any], value: Any) -> Any:
        """Encode what is one level deeper in the JSON."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(
                ValueError,
                f"it contains itself, or its JSON is nested more than {MAX_DEPTH} levels deep",
                "store something flatter",
            )
        encoded = encode(value)
        self._depth -= 1
        return encoded

    def _refuse(self, kind: type[Exception], problem: str, remedy: str) -> NoReturn:
        raise kind(f"{self.place()}: {problem}: {remedy}") from None


# --- JSON to values ---


class _Decoder(_Walk):
    __slots__ = ("_object_hook",)

    def __init__(self, place: str, object_hook: ObjectHook | None) -> None:
        super().__init__(place)
        self._object_hook = object_hook

    def decode(self, encoded: Any) -> Any:
        if type(encoded) is list:
            return self._list(encoded)
        if type(encoded) is not dict:
            return encoded
        if len(encoded) == 1:
            ((name, content),) = encoded.items()
            if name in _TYPES:
                return self._untagged(name, content)
        value = self._dict(encoded)
        return value if self._object_hook is None else self._object_hook(value)

    def key_of(self, text: str) -> Any:
        try:
            key = self._key_of_json(json.loads(text))
            hash(key)
        except (TypeError, ValueError) as error:
            self._refuse(f"{text!r} stands for no key ({error})")
        return key

    def _key_of_json(self, encoded: Any) -> Any:
        if type(encoded) is list:
            return tuple(map(self._key_of_json, encoded))
        return self.decode(encoded)

    def _list(self, items: list[Any]) -> list[Any]:
        return [self._inside(step, item) for step, item in enumerate(items)]

    def _dict(self, items: dict[str, Any]) -> dict[Any, Any]:
        return {self._key(key): self._inside(key, item) for key, item in items.items()}

    def _key(self, key: str) -> Any:
        return self.key_of(key[1:]) if key.startswith("$") else key

    def _untagged(self, name: str, content: Any) -> Any:
        kind = _TYPES[name]
        make: Callable[[Any], Any] = _LEAVES[name].value if name in _LEAVES else kind
        match content:
            case list() if kind in _COLLECTIONS:
                content = self._list(content)
            case [str(factory), dict(items)] if kind is defaultdict and factory in _FACTORIES:
                make, content = partial(defaultdict, _FACTORIES[factory]), self._dict(items)
            case _ if name not in _LEAVES:
                self._refuse(f"{_shortened(content)} stands for no {name[1:]}")
        try:
            return make(content)
        except Exception as error:
            return self._refuse(f"{_shortened(content)} stands for no {name[1:]} ({error})")

    def _inside(self, step: Any, encoded: Any) -> Any:
        self._steps.append(step)
        value = self.decode(encoded)
        self._steps.pop()
        return value

    def _refuse(self, problem: str) -> NoReturn:
        raise ValueError(f"{self.place()}: {problem}: correct it in the file, or delete it")


# --- the types ---

_COLLECTIONS: set[type] = {tuple, set, frozenset}


def _in_order(items: set[Any] | frozenset[Any]) -> list[Any]:
    """A list in an order that is the same each time, if the elements have one."""
    try:
        return sorted(items)
    except TypeError:
        return list(items)


_FACTORIES = {kind.__name__: kind for kind in (bool, int, float, str, list, dict, set)}


def _factory_name(value: defaultdict[Any, Any]) -> str:
    for name, kind in _FACTORIES.items():
        if value.default_factory is kind:
            return name
    raise _Refusal(
        f"it is a defaultdict whose factory is none of {', '.join(_FACTORIES)}",
        "store dict(value), and make the defaultdict where you use it",
    )


class _Refusal(Exception):  # noqa: N818 - never leaves this module
    """Something about a value of a known type is unknown: what, and what to do."""


class _Leaf(NamedTuple):
    """A type whose values hold no others."""

    content: Callable[[Any], Any]
    value: Callable[[Any], Any]


def _moment_text(moment: datetime | time) -> str:
    """The text of ISO 8601, with the name of the time zone as in RFC 9557."""
    zone = moment.tzinfo
    if zone is None or type(zone) is timezone:
        return moment.isoformat()
    if type(zone) is ZoneInfo and zone.key:
        return f"{moment.isoformat()}[{zone.key}]"
    raise _Refusal(
        f"its time zone is a {type(zone).__name__}, which has no name to find it again",
        "use zoneinfo.ZoneInfo or datetime.timezone",
    )


def _moment(kind: type[_M], text: str) -> _M:
    iso, _, zone = text.removesuffix("]").partition("[")
    moment = kind.fromisoformat(iso)
    if not zone:
        return moment
    local = moment.replace(tzinfo=ZoneInfo(zone))
    # Where a clock shows the same time twice, the offset tells which one it is.
    return local if local.utcoffset() == moment.utcoffset() else local.replace(fold=1)


def _timedelta_content(length: timedelta) -> dict[str, int]:
    fields = {
        "days": length.days,
        "seconds": length.seconds,
        "microseconds": length.microseconds,
    }
    return {name: amount for name, amount in fields.items() if amount}


_LEAVES = {
    "$bytes": _Leaf(
        lambda value: b64encode(value).decode(),
        lambda text: b64decode(text, validate=True),
    ),
    "$datetime": _Leaf(_moment_text, lambda text: _moment(datetime, text)),
    "$date": _Leaf(date.isoformat, date.fromisoformat),
    "$time": _Leaf(_moment_text, lambda text: _moment(time, text)),
    "$timedelta": _Leaf(_timedelta_content, lambda fields: timedelta(**fields)),
}

_TYPES: dict[str, type[Any]] = {
    f"${kind.__name__}": kind
    for kind in (tuple, set, frozenset, bytes, datetime, date, time, timedelta, defaultdict)
}

_NAMES = {kind: name for name, kind in _TYPES.items()}

KNOWN_TYPES = frozenset({type(None), bool, int, float, str, list, dict, *_NAMES})
"""The types whose values come back as they were."""


def _problem_of(value: Any) -> tuple[str, str]:
    """What is wrong with a value of any other type, and what to do."""
    name = type(value).__name__
    problem = f"a value of the type {name} cannot be stored"
    hooks = ", or let `default` and `object_hook` convert it"
    if isinstance(value, Enum):
        return problem, "derive the class from enum.IntEnum, or store value.value" + hooks
    for base in (dict, list, tuple, set, frozenset):
        if isinstance(value, base):
            problem = f"a value of the type {name} would come back as a {base.__name__}"
            return problem, f"store {base.__name__}(value)" + hooks
    if dataclasses.is_dataclass(value):
        return problem, "store dataclasses.asdict(value)" + hooks
    if hasattr(value, "to_dict"):
        return problem, "store value.to_dict()" + hooks
    return problem, "store what it is made of, such as a dict of its attributes" + hooks
