//! A bot that asks for a name and an age, and goes on where it was after a restart.

use aiokv::AioKv;
use serde::{Deserialize, Serialize};
use teloxide::dispatching::UpdateHandler;
use teloxide::prelude::*;

use crate::AioKvStorage;

/// What a handler returns.
type Handled = Result<(), Box<dyn std::error::Error + Send + Sync>>;

type Registration = Dialogue<State, AioKvStorage>;

/// Where the dialogue of a chat is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Nothing was asked yet.
    #[default]
    Start,
    /// The bot has asked for the name.
    Name,
    /// The bot has asked for the age.
    Age {
        /// What the user answered before.
        name: String,
    },
}

/// The handlers. They depend on an [`AioKvStorage`] and an [`AioKv`].
pub fn schema() -> UpdateHandler<Box<dyn std::error::Error + Send + Sync>> {
    Update::filter_message()
        .enter_dialogue::<Message, AioKvStorage, State>()
        .branch(dptree::case![State::Start].endpoint(start))
        .branch(dptree::case![State::Name].endpoint(receive_name))
        .branch(dptree::case![State::Age { name }].endpoint(receive_age))
}

async fn start(bot: Bot, registration: Registration, message: Message) -> Handled {
    registration.update(State::Name).await?;
    bot.send_message(message.chat.id, "What is your name?").await?;
    Ok(())
}

async fn receive_name(bot: Bot, registration: Registration, message: Message) -> Handled {
    if let Some(name) = message.text() {
        registration.update(State::Age { name: name.to_owned() }).await?;
        bot.send_message(message.chat.id, "How old are you?").await?;
    }
    Ok(())
}

async fn receive_age(
    bot: Bot,
    registration: Registration,
    kv: AioKv,
    name: String,
    message: Message,
) -> Handled {
    let Some(age) = message.text().and_then(|text| text.parse::<u8>().ok()) else {
        bot.send_message(message.chat.id, "Please send a number.").await?;
        return Ok(());
    };
    kv.set(&format!("user:{}", message.chat.id), &(&name, age)).await?;
    registration.exit().await?;
    bot.send_message(message.chat.id, format!("Welcome, {name}.")).await?;
    Ok(())
}
