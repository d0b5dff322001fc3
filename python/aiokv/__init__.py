"""A program's own small state in one JSON file."""

from aiokv._aiokv import MAX_DEPTH, __version__
from aiokv._blocking import KV
from aiokv._errors import Conflict
from aiokv._store import AioKV
from aiokv._transaction import Transaction
from aiokv._watch import Change

aiocache = AioKV
"""The class under its first name."""

__all__ = [
    "KV",
    "MAX_DEPTH",
    "AioKV",
    "Change",
    "Conflict",
    "Transaction",
    "__version__",
    "aiocache",
]
