"""A bot that signs people in with a code, and knows its state only as py-key-value.

So the same bot runs on Redis or in memory. ``python key_value_bot.py`` tries it on a file, without
a network.
"""

import asyncio
import secrets

from aiokv import AioKV
from aiokv.ext.key_value import AioKVStore
from key_value.aio.protocols.key_value import AsyncKeyValue

FIVE_MINUTES = 5 * 60


class SignIn:
    def __init__(self, state: AsyncKeyValue) -> None:
        self.state = state

    async def send_code(self, user: int) -> str:
        code = f"{secrets.randbelow(1_000_000):06}"
        # A code that has expired is not found any more.
        await self.state.put(str(user), {"code": code}, collection="codes", ttl=FIVE_MINUTES)
        return code

    async def enter_code(self, user: int, code: str, name: str) -> str:
        sent = await self.state.get(str(user), collection="codes")
        if sent is None or not secrets.compare_digest(sent["code"], code):
            return "That is not the code, or it is too old."
        # A code counts once: of two that enter it at once, one deletes it.
        if not await self.state.delete(str(user), collection="codes"):
            return "That code has been used."
        await self.state.put(str(user), {"name": name}, collection="members")
        return f"Welcome, {name}."

    async def greet(self, user: int) -> str:
        member = await self.state.get(str(user), collection="members")
        return f"Hello, {member['name']}." if member else "Who are you?"


async def main() -> None:
    async with AioKVStore(AioKV("sign_in.json")) as state:
        await state.cull()  # removes what expired since the last start
        bot = SignIn(state)
        print(await bot.greet(7))
        code = await bot.send_code(7)
        print(await bot.enter_code(7, code, "Ada"))
        print(await bot.greet(7))


if __name__ == "__main__":
    asyncio.run(main())
