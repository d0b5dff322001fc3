//! [`CONTESTANTS`]: the stores, each with the durabilities that are worth a comparison.

use std::path::Path;

use ::aiokv::{Journal, Options};
use ::fjall::PersistMode;

use crate::aiokv::{Aiokv, Blocking};
use crate::append::Append;
use crate::fjall::Fjall;
use crate::json_file::JsonFile;
use crate::redb::Redb;
use crate::sled::Sled;
use crate::sqlite::Sqlite;
use crate::store::{Result, Store};

/// A store under one durability.
pub struct Contestant {
    /// The name of the store, the options that make the difference, and in parentheses what an
    /// acknowledged change survives: a loss of power, only a kill of the process, or none of both.
    pub name: &'static str,

    /// Opens the store in a directory of its own, or creates it there.
    pub open: fn(&Path) -> Result<Box<dyn Store>>,
}

/// Everyone who takes part, in the order of the results.
pub const CONTESTANTS: [Contestant; 13] = [
    Contestant {
        name: "aiokv (power)",
        open: |directory| Aiokv::open(directory, Options::default()),
    },
    Contestant {
        name: "aiokv journal=always (power)",
        open: |directory| Aiokv::open(directory, Options::default().journal(Journal::Always)),
    },
    Contestant {
        name: "aiokv blocking journal=always (power)",
        open: |directory| Blocking::open(directory, Options::default().journal(Journal::Always)),
    },
    Contestant {
        name: "aiokv fsync=false (kill)",
        open: |directory| Aiokv::open(directory, Options::default().fsync(false)),
    },
    Contestant { name: "redb (power)", open: Redb::open },
    Contestant {
        name: "fjall persist=SyncAll (power)",
        open: |directory| Fjall::open(directory, PersistMode::SyncAll),
    },
    Contestant {
        name: "fjall (kill)",
        open: |directory| Fjall::open(directory, PersistMode::Buffer),
    },
    Contestant { name: "sled flush (kill)", open: |directory| Sled::open(directory, true) },
    Contestant { name: "sled (none)", open: |directory| Sled::open(directory, false) },
    Contestant {
        name: "rusqlite synchronous=FULL (power)",
        open: |directory| Sqlite::open(directory, "FULL"),
    },
    Contestant {
        name: "rusqlite synchronous=NORMAL (kill)",
        open: |directory| Sqlite::open(directory, "NORMAL"),
    },
    Contestant { name: "append and fdatasync (power)", open: Append::open },
    Contestant { name: "serde_json file (power)", open: JsonFile::open },
];
