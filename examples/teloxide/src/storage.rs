//! [`AioKvStorage`]: the state of each dialogue is one entry of the store, by the ID of the chat.
//!
//! When a future is done, the change is on disk. Nothing here keeps two handlers of one chat from
//! overwriting each other's states: the dispatcher of teloxide does, by letting one wait for the
//! other.

use std::pin::Pin;
use std::sync::Arc;

use aiokv::AioKv;
use serde::Serialize;
use serde::de::DeserializeOwned;
use teloxide::dispatching::dialogue::Storage;
use teloxide::types::ChatId;

/// What went wrong with a dialogue.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no dialogue to remove.
    #[error("there is no dialogue in chat {0}")]
    NotFound(ChatId),

    /// The store could not be read or changed, or what it holds is no state of the dialogue.
    #[error(transparent)]
    Store(#[from] aiokv::Error),
}

/// The dialogues of a bot, below `dialogue:` in a store.
pub struct AioKvStorage {
    dialogues: AioKv,
}

impl AioKvStorage {
    /// Keeps dialogues in a store, which may hold other things too.
    ///
    /// # Errors
    ///
    /// None: `dialogue` is a part that every namespace may have.
    pub fn new(kv: &AioKv) -> aiokv::Result<Arc<Self>> {
        Ok(Arc::new(Self { dialogues: kv.namespace(["dialogue"])? }))
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send>>;

impl<D> Storage<D> for AioKvStorage
where
    D: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Error = StorageError;

    fn remove_dialogue(self: Arc<Self>, chat: ChatId) -> Answer<()> {
        Box::pin(async move {
            match self.dialogues.delete_many(&[&chat.to_string()]).await? {
                0 => Err(StorageError::NotFound(chat)),
                _ => Ok(()),
            }
        })
    }

    fn update_dialogue(self: Arc<Self>, chat: ChatId, state: D) -> Answer<()> {
        Box::pin(async move { Ok(self.dialogues.set(&chat.to_string(), &state).await?) })
    }

    fn get_dialogue(self: Arc<Self>, chat: ChatId) -> Answer<Option<D>> {
        Box::pin(async move { Ok(self.dialogues.get(&chat.to_string()).await?) })
    }
}
