"""The names that people import from `aiokv`."""

from aiokv._blocking import KV
from aiokv._errors import Conflict
from aiokv._store import AioKV
from aiokv._transaction import Transaction
from aiokv._watch import Change

aiocache = AioKV
"""The class under its first name."""

__all__ = ["KV", "AioKV", "Change", "Conflict", "Transaction", "aiocache"]
