"""The types of what can be stored, and marks for what is left out of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from typing import SupportsIndex

_T_co = TypeVar("_T_co", covariant=True)


class _ListOf(Protocol[_T_co]):
    """A list or a tuple, not a set, a ``str`` or ``bytes``."""

    def __contains__(self, item: object, /) -> bool: ...
    def __getitem__(self, index: SupportsIndex, /) -> _T_co: ...
    def __rmul__(self, value: SupportsIndex, /) -> _ListOf[_T_co]: ...


class _TypedDict(Protocol):
    """A ``TypedDict``. What it holds is not checked."""

    __required_keys__: ClassVar[frozenset[str]]
    __optional_keys__: ClassVar[frozenset[str]]


JSON: TypeAlias = (
    "bool | int | float | str | _ListOf[JSON] | Mapping[str, JSON] | _TypedDict | None"
)
"""What can be stored: what JSON has, in lists, tuples and dicts."""


class _Mark:
    """A default of a parameter, which is no value that JSON has."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}>"


NOW: Final[Any] = _Mark("now")
"""The value is the current time."""

MISSING: Final[Any] = _Mark("missing")
"""Nothing was given, or nothing is there."""


def require_number(key: object, what: str, value: object) -> None:
    """Refuse what is no number, such as a bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"cannot increment {key!r}: {what} must be an int or a float, "
            f"not {type(value).__name__}: {value!r}"
        )


def require_seconds(what: str, seconds: float) -> None:
    """Refuse what is no length of time."""
    if not seconds >= 0:
        raise ValueError(f"{what} is a number of seconds, not {seconds!r}")
