//! aiokv. Its futures run on an executor that does nothing but wait for one of them; the interface
//! without futures needs none.

use std::path::Path;

use ::aiokv::{AioKv, Options, blocking};
use futures_util::future::join_all;
use pollster::block_on;

use crate::store::{Entry, Result, Store};

/// A store with some [`Options`].
pub(crate) struct Aiokv {
    kv: AioKv,
}

impl Aiokv {
    pub(crate) fn open(directory: &Path, options: Options) -> Result<Box<dyn Store>> {
        let kv = AioKv::with_options(directory.join("state.json"), options)?;
        Ok(Box::new(Self { kv }))
    }
}

impl Store for Aiokv {
    fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(block_on(self.kv.get(key))?)
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        Ok(block_on(self.kv.set(key, text))?)
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        let sets = join_all(entries.iter().map(|(key, text)| self.kv.set(key, text)));
        Ok(block_on(sets).into_iter().collect::<::aiokv::Result<()>>()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(block_on(self.kv.close())?)
    }
}

/// A store without futures, with some [`Options`].
pub(crate) struct Blocking {
    kv: blocking::AioKv,
}

impl Blocking {
    pub(crate) fn open(directory: &Path, options: Options) -> Result<Box<dyn Store>> {
        let kv = blocking::AioKv::with_options(directory.join("state.json"), options)?;
        Ok(Box::new(Self { kv }))
    }
}

impl Store for Blocking {
    fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(self.kv.get(key)?)
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        Ok(self.kv.set(key, text)?)
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        Ok(self.kv.set_many(entries.iter().map(|(key, text)| (&**key, text)))?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.kv.close()?)
    }
}
