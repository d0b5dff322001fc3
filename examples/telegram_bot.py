"""A Telegram bot that takes orders for pizza, and goes on in the middle of one after a restart.

Start it with ``BOT_TOKEN=... python telegram_bot.py``, and write /order to it.
"""

import os
from datetime import datetime, timezone
from typing import Any

from aiokv import AioKV
from aiokv.ext.telegram import AioKVPersistence
from telegram import Update
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CommandHandler,
    ContextTypes,
    ConversationHandler,
    MessageHandler,
    filters,
)

Context = ContextTypes.DEFAULT_TYPE
Bot = Application[Any, Any, Any, Any, Any, Any]
Builder = ApplicationBuilder[Any, Any, Any, Any, Any, Any]

SIZE, TOPPINGS = range(2)


async def order(update: Update, context: Context) -> int:
    await reply(update, "Which size, in centimetres?")
    return SIZE


async def size(update: Update, context: Context) -> int:
    # What a handler leaves here is what the next one finds, after a restart too.
    user_data(context)["order"] = {"size": int(text(update)), "toppings": set()}
    await reply(update, "What shall be on it? Say done when it is enough.")
    return TOPPINGS


async def topping(update: Update, context: Context) -> int:
    user_data(context)["order"]["toppings"].add(text(update))
    return TOPPINGS


async def done(update: Update, context: Context) -> int:
    ordered = user_data(context).pop("order")
    orders = user_data(context).setdefault("orders", [])
    orders.append((datetime.now(timezone.utc), ordered["size"], ordered["toppings"]))
    # By size: the keys of this dict are ints, and come back as ints.
    sold = context.bot_data.setdefault("sold", {})
    sold[ordered["size"]] = sold.get(ordered["size"], 0) + 1
    await reply(update, "Your pizza is on its way.")
    return ConversationHandler.END


async def orders(update: Update, context: Context) -> None:
    lines = [
        f"{moment:%d %B}: {centimetres} cm with {', '.join(sorted(toppings)) or 'nothing'}"
        for moment, centimetres, toppings in user_data(context).get("orders", [])
    ]
    await reply(update, "\n".join(lines) or "You have ordered nothing yet.")


async def problem(update: object, context: Context) -> None:
    """Print what went wrong, such as a value that cannot be stored, with its place."""
    print(context.error)


def user_data(context: Context) -> dict[Any, Any]:
    assert context.user_data is not None
    return context.user_data


def text(update: Update) -> str:
    message = update.effective_message
    assert message is not None and message.text is not None
    return message.text


async def reply(update: Update, answer: str) -> None:
    assert update.effective_message is not None
    await update.effective_message.reply_text(answer)


def new_application(builder: Builder, kv: AioKV) -> Bot:
    # At most five seconds of what was said are lost if the program is killed.
    application = builder.persistence(AioKVPersistence(kv, update_interval=5)).build()
    words = filters.TEXT & ~filters.COMMAND
    conversation = ConversationHandler(
        entry_points=[CommandHandler("order", order)],
        states={
            SIZE: [MessageHandler(filters.Regex(r"^\d{1,2}$"), size)],
            TOPPINGS: [
                MessageHandler(filters.Regex("^done$"), done),
                MessageHandler(words, topping),
            ],
        },
        fallbacks=[],
        # These two make it survive a restart.
        name="order",
        persistent=True,
    )
    application.add_handlers([conversation, CommandHandler("orders", orders)])
    application.add_error_handler(problem)
    return application


if __name__ == "__main__":
    builder = ApplicationBuilder().token(os.environ["BOT_TOKEN"])
    new_application(builder, AioKV("bot.json")).run_polling()
