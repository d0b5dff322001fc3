"""The errors that Python does not have."""

from __future__ import annotations

import json
from typing import Any


class CorruptFileError(json.JSONDecodeError):
    """A ``json.JSONDecodeError`` about a place in a file.

    ``doc`` is an excerpt of the file and ``pos`` an index into it. ``lineno`` and ``colno`` are
    those of the file. Without a meaningful place, as for a journal that belongs to another file,
    ``doc`` is empty, both numbers are 1, and the text does not name them.
    """

    def __init__(
        self,
        msg: str,
        doc: str = "",
        pos: int = 0,
        lineno: int | None = None,
        colno: int | None = None,
    ) -> None:
        super().__init__(msg, doc, pos)
        self._place = lineno, colno
        # The base class has computed them from the excerpt.
        self.lineno, self.colno = lineno or 1, colno or 1
        place = "" if lineno is None else f": line {lineno} column {colno}"
        self.args = (msg + place,)

    def __reduce__(self) -> tuple[type[CorruptFileError], tuple[Any, ...]]:
        return type(self), (self.msg, self.doc, self.pos, *self._place)


class Conflict(Exception):  # noqa: N818 - a state of affairs, like `KeyboardInterrupt`
    """Another change of the same keys came first, so this one did not happen."""
