//! What the threads of an engine need of the machine: signals, limits, the clock.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::process::{Resource, getrlimit};

/// How many idle stores keep their files open: a state file each, and a journal. A process that may
/// open only a few files keeps fewer, an eighth of that number.
pub(super) const OPEN_STORES_MAX: usize = 128;
const OPEN_STORES_PART: usize = 8;

/// The time in seconds since 1970, as file systems have it.
pub(super) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How many idle stores keep their files open in this process.
pub(super) fn open_stores_max() -> usize {
    static MAX: OnceLock<usize> = OnceLock::new();
    *MAX.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        limit.map_or(OPEN_STORES_MAX, |limit| (limit / OPEN_STORES_PART).min(OPEN_STORES_MAX))
    })
}

/// Does something with all signals blocked in this thread. A thread that is started meanwhile
/// inherits that.
pub(super) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    // Neither call can fail for a set of all signals.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let done = work();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    done
}
