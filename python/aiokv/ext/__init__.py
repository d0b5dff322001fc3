"""Adapters for frameworks, one module each: ``from aiokv.ext.aiogram import AioKVStorage``.

Each module needs its framework only when it is imported; ``aiokv`` itself needs none of them.
"""
