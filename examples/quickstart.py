import asyncio

from aiokv import AioKV


async def main():
    kv = AioKV("state.json")
    await kv.set("last_command", "ping")
    await kv.set("seen", [1001, 1002])
    await kv.set("started")  # no value: the time, in seconds since 1970
    print(await kv.get("last_command"), await kv.get("absent", default=0))


asyncio.run(main())
