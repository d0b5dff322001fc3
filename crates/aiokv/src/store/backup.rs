//! A copy of the store while it is in use.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::AioKv;
use crate::error::{Error, Result};
use crate::queue::{Key, Operation, Outcome};
use crate::writer::Copy;

impl AioKv {
    /// Writes everything that the store holds at one moment to another file, durably. The file is
    /// complete whenever it has that name; one that is there already is replaced. Operations go on
    /// meanwhile. In a namespace too, the copy is one of the whole store.
    ///
    /// A relative path is taken from the working directory of this moment. A new file may be read
    /// by the users that may read the file of the store.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`]; [`Error::Io`] if the copy cannot be written, or if `path` is one of the
    /// store's own files or a store with a journal; [`Error::Locked`] if another process is at work
    /// on it. `path` then names what it named before, except that the failure to flush its directory
    /// comes after the copy got its name.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let target = std::path::absolute(path).map_err(Error::io("write a copy to", path))?;
        let Outcome::Snapshot(snapshot) = self.ask(Operation::ReadPrefix(Key::default())).await?
        else {
            unreachable!("a read of a prefix is answered with a snapshot")
        };
        let copy = Copy {
            storage: Arc::clone(&self.shared.storage),
            source: self.shared.path.clone(),
            target,
            replaces: true,
            lock_timeout: self.shared.options.lock_timeout,
        };
        if self.is_blocking {
            return copy.write(snapshot);
        }
        let (sender, receiver) = oneshot::channel();
        let work = move || {
            // If the future was dropped, the copy is written all the same.
            let _ = sender.send(copy.write(snapshot));
        };
        let thread = thread::Builder::new().name("aiokv-backup".to_owned());
        thread.spawn(work).map_err(Error::io("start a thread for", path))?;
        receiver.await.unwrap_or_else(|_| Err(self.writer_gone()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_copy_holds_what_the_store_and_its_journal_hold() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = crate::Options::default().journal(crate::Journal::Always);
        let path = directory.path().join("state.json");
        let copy = directory.path().join("deep/copy.json");
        let kv = AioKv::with_options(&path, options).expect("a store");
        pollster::block_on(async {
            kv.set("a", &1).await?;
            kv.set("b", &2).await?;
            kv.backup(&copy).await?;
            kv.set("c", &3).await?;
            crate::blocking::AioKv::from(kv.clone()).backup(directory.path().join("other"))
        })
        .expect("nothing is in the way");
        let content = |path: &Path| fs::read_to_string(path).expect("it is there");
        assert_eq!(content(&copy), "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
        assert!(content(&directory.path().join("other")).contains("\"c\": 3"));
        let names = fs::read_dir(copy.parent().expect("one")).expect("it is there");
        assert_eq!(names.count(), 1, "nothing else is left");
    }

    #[test]
    fn the_files_of_the_store_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.json");
        let kv = AioKv::new(&path).expect("a store");
        pollster::block_on(kv.set("a", &1)).expect("nothing is in the way");
        let hard_link = directory.path().join("hard link");
        fs::hard_link(&path, &hard_link).expect("the file system has hard links");
        let others = ["state.json", "state.json.journal", ".state.json.aiokv-tmp", "hard link"];
        for name in others {
            let error = pollster::block_on(kv.backup(directory.path().join(name)));
            let error = error.expect_err("it would be the end of the store").to_string();
            assert!(error.contains("file of the store itself"), "{name}: {error}");
        }
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "{\n  \"a\": 1\n}\n");
    }
}
