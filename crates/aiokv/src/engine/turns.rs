//! Whose turn it is to work on a key, where several would otherwise work on it in vain.
//!
//! Guarantees: one turn at a time for each key, in the order in which they were asked for; who stops
//! waiting is passed over. Protects nothing: that a change is made to the newest state is the
//! business of the writer, among processes too.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gate;
use crate::queue::Key;

/// The turns at the keys of one store.
#[derive(Default)]
pub(super) struct Turns {
    /// Who waits, for each key at which it is somebody's turn.
    waiting: Mutex<HashMap<Key, VecDeque<oneshot::Sender<Turn>>>>,
}

/// One's turn at a key. The next one comes when it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    key: Key,
    /// The process that asked for it, as forks count.
    generation: u32,
}

impl Turns {
    /// Asks for a turn, which arrives at once if nobody else has one.
    pub(super) fn ask(self: &Arc<Self>, key: Key) -> oneshot::AsyncReceiver<Turn> {
        let (sender, receiver) = oneshot::async_channel();
        let mut waiting = self.waiting();
        match waiting.get_mut(&key) {
            Some(waiting) => waiting.push_back(sender),
            None => {
                waiting.insert(key.clone(), VecDeque::new());
                drop(waiting);
                let turns = Arc::clone(self);
                let turn = Turn { turns, key, generation: gate::generation() };
                sender.send(turn).expect("the receiver is still here");
            }
        }
        receiver
    }

    /// Takes out who is next at a key. `None` if it is nobody's turn any more.
    fn next(&self, key: &Key) -> Option<oneshot::Sender<Turn>> {
        let mut all = self.waiting();
        let waiting = all.get_mut(key)?;
        while let Some(next) = waiting.pop_front() {
            if !next.is_closed() {
                return Some(next);
            }
        }
        all.remove(key);
        None
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, VecDeque<oneshot::Sender<Turn>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // In the child of a fork nobody waits, and a thread of the parent may hold the lock for ever.
        if self.generation != gate::generation() {
            return;
        }
        let Some(next) = self.turns.next(&self.key) else { return };
        let (turns, key) = (Arc::clone(&self.turns), self.key.clone());
        // If the receiver is gone by now, the turn comes back and is dropped, so it goes on.
        let _ = next.send(Turn { turns, key, generation: self.generation });
    }
}
