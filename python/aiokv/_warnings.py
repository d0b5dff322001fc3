"""Warnings about the code that uses a store, at its place."""

from __future__ import annotations

import sys
import warnings

_OURS = ("aiokv.", "contextlib")


def warn_of_key(place: str, kind: str) -> None:
    """Warn of a key of a dict that is not a ``str``."""
    level, frame = 1, sys._getframe()
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"{place} has a key of the type {kind}, which comes back as a str, because JSON has no "
        "other keys: convert it, as in `str(message.id)`, for writing and for reading",
        UserWarning,
        stacklevel=level,
    )
