//! Engines in some order, each once: when they are due, or since when they are idle.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::served::Engine;

/// See the [module](self).
pub(super) struct Ordered<K> {
    engines: BTreeMap<(K, u64), Arc<Engine>>,
    keys: HashMap<u64, K>,
}

impl<K> Default for Ordered<K> {
    fn default() -> Self {
        Self { engines: BTreeMap::new(), keys: HashMap::new() }
    }
}

impl<K: Ord + Copy> Ordered<K> {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of an engine, if it is in here.
    pub(super) fn key_of(&self, engine: &Engine) -> Option<K> {
        self.keys.get(&engine.id).copied()
    }

    /// The first key.
    pub(super) fn first(&self) -> Option<K> {
        self.engines.first_key_value().map(|((key, _), _)| *key)
    }

    pub(super) fn insert(&mut self, key: K, engine: &Arc<Engine>) {
        self.remove(engine);
        self.keys.insert(engine.id, key);
        self.engines.insert((key, engine.id), Arc::clone(engine));
    }

    pub(super) fn remove(&mut self, engine: &Engine) {
        if let Some(key) = self.keys.remove(&engine.id) {
            self.engines.remove(&(key, engine.id));
        }
    }

    /// Takes out the first engine if its key is one of those.
    pub(super) fn pop_first_if(&mut self, is_one: impl FnOnce(K) -> bool) -> Option<Arc<Engine>> {
        self.first().filter(|key| is_one(*key))?;
        let ((_, id), engine) = self.engines.pop_first()?;
        self.keys.remove(&id);
        Some(engine)
    }
}
