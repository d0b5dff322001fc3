"""A program's own small state in one JSON file."""

from aiokv._aiokv import MAX_DEPTH, __version__
from aiokv._store import AioKV

aiocache = AioKV
"""The class under its first name."""

__all__ = ["MAX_DEPTH", "AioKV", "__version__", "aiocache"]
