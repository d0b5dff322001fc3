//! `TELOXIDE_TOKEN=123:abc cargo run --features tls` talks to Telegram and keeps its state in
//! `registration.json`.

use aiokv::AioKv;
use aiokv_teloxide::{AioKvStorage, registration};
use teloxide::prelude::*;

#[tokio::main]
async fn main() -> aiokv::Result<()> {
    let kv = AioKv::new("registration.json")?;
    let dependencies = dptree::deps![AioKvStorage::new(&kv)?, kv.clone()];
    Dispatcher::builder(Bot::from_env(), registration::schema())
        .dependencies(dependencies)
        .enable_ctrlc_handler()
        .build()
        .dispatch()
        .await;
    kv.close().await
}
