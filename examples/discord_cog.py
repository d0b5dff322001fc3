"""A Discord cog that keeps its state in one JSON file.

Settings, XP with a leaderboard, messages that count once, quotes, a daily reward and payments.
Each handler changes what it needs in one operation, so handlers that run at once lose nothing, nor
do two bots on one file. ``python discord_cog.py`` tries it without Discord.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from aiokv import AioKV, Transaction

_F = TypeVar("_F", bound=Callable[..., object])

# --- stand-ins for `from discord import Member, Message` and `from discord.ext import commands` ---


@dataclass
class Member:
    id: int


@dataclass
class Message:
    """A message, and the context of the command that it holds."""

    id: int
    guild: Member
    author: Member
    sent: list[str] = field(default_factory=list)

    async def send(self, text: str) -> None:
        self.sent.append(text)


class commands:  # noqa: N801 - the name of the module
    Context: TypeAlias = Message

    class Cog:
        @staticmethod
        def listener() -> Callable[[_F], _F]:
            return lambda handler: handler

    @staticmethod
    def command() -> Callable[[_F], _F]:
        return lambda handler: handler


# --- the cog ---

DAY = 24 * 60 * 60


class Community(commands.Cog):
    def __init__(self, kv: AioKV) -> None:
        self.kv = kv

    def guild(self, ctx: commands.Context) -> AioKV:
        """The keys of one guild."""
        return self.kv.namespace("guild", ctx.guild.id)

    @commands.Cog.listener()
    async def on_message(self, message: Message) -> None:
        # A bot leaves out direct messages and other bots here. Discord may deliver a message twice
        # after a reconnect; it counts once.
        if await self.kv.add(f"seen:{message.id}"):
            await self.guild(message).increment(f"xp:{message.author.id}")

    async def forget(self) -> int:
        """Forget the messages of more than a week ago. Call it once an hour."""
        return await self.kv.prune("seen:", older_than=7 * DAY)

    @commands.command()
    async def leaderboard(self, ctx: commands.Context) -> None:
        xp = await self.guild(ctx).namespace("xp").get_all()
        best = sorted(xp.items(), key=lambda item: item[1], reverse=True)[:10]
        await ctx.send("\n".join(f"<@{member}>: {points} XP" for member, points in best))

    @commands.command()
    async def configure(self, ctx: commands.Context, name: str, *, value: str) -> None:
        # A key for each setting: two that change at once do not meet.
        await self.guild(ctx).namespace("setting").set(name, value)
        await ctx.send(f"{name} is now {value}.")

    @commands.command()
    async def settings(self, ctx: commands.Context) -> None:
        settings = await self.guild(ctx).namespace("setting").get_all()
        await ctx.send("\n".join(f"{name}: {value}" for name, value in settings.items()))

    @commands.command()
    async def quote(self, ctx: commands.Context, *, text: str = "") -> None:
        if text:
            await self.guild(ctx).update("quotes", lambda quotes: [*quotes, text], default=[])
        quotes = await self.guild(ctx).get("quotes", default=["Nobody said anything yet."])
        await ctx.send("Noted." if text else random.choice(quotes))

    @commands.command()
    async def daily(self, ctx: commands.Context) -> None:
        wait = await self.guild(ctx).cooldown(f"daily:{ctx.author.id}", DAY)
        if wait:
            await ctx.send(f"Come back in {wait / 3600:.1f} hours.")
            return
        coins = await self.guild(ctx).increment(f"coins:{ctx.author.id}", 100)
        await ctx.send(f"Here are 100 coins. You have {coins}.")

    @commands.command()
    async def pay(self, ctx: commands.Context, to: Member, amount: int) -> None:
        payer, payee = f"coins:{ctx.author.id}", f"coins:{to.id}"

        def move(t: Transaction) -> bool:
            if not 0 < amount <= t.get(payer, default=0):
                return False
            t.increment(payer, -amount)
            t.increment(payee, amount)
            return True

        paid = await self.guild(ctx).transact(move)
        await ctx.send(f"<@{to.id}> got {amount} coins." if paid else "You cannot pay that.")


async def main() -> None:
    guild, ada, bob = Member(12), Member(1), Member(2)
    messages = [Message(number, guild, random.choice([ada, bob])) for number in range(100)]
    ctx = Message(100, guild, ada)
    async with AioKV("community.json") as kv:
        cog = Community(kv)
        # All at once, as Discord delivers them.
        await asyncio.gather(
            *(cog.on_message(message) for message in messages),
            *(cog.daily(ctx) for _ in range(5)),
            cog.configure(ctx, "prefix", value="!"),
            cog.configure(ctx, "language", value="en"),
            cog.quote(ctx, text="It works on my machine."),
        )
        await cog.pay(ctx, bob, 30)
        await cog.leaderboard(ctx)
        await cog.settings(ctx)
        await cog.quote(ctx)
    print("\n".join(ctx.sent))


if __name__ == "__main__":
    asyncio.run(main())
